/**
 * The conformance suite: what every provider has to do, told as sentences, for our own adapters and for anyone's.
 *
 * It asks the provider and looks at the world behind it; what a provider's capabilities exclude is not left out but
 * tested to be refused, with nothing sent. Page and cap edges come from the capabilities as declared.
 */
// The expectations stand in the helpers of the scene, and what a capability excludes is expected to be refused instead.
/* oxlint-disable vitest/expect-expect, vitest/no-conditional-expect */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createCallContext } from "../provider.js";
import { describeListing, describeLookup, describeReading } from "./reading.js";
import { createScene, editsOf, keyOf, type ProviderFixture, type Scene, type Scenery } from "./scene.js";
import {
  describeGroupWrites,
  describeInvitations,
  describeMemberWrites,
  describeMishaps,
  describeMixtures,
  describeRoles,
} from "./writing.js";

/** How the suite is run. */
export interface ConformanceOptions {
  /** Time for one test, in milliseconds. Should exceed `capabilities.consistencyMs`. @default 120000 */
  readonly timeoutMs?: number;
}

/**
 * Registers the conformance tests of a provider with vitest. `setup` is called for each test and gives a world with
 * enough people (`countPeopleNeeded`) and without groups.
 *
 * @example
 * describeProvider("my service", async () => ({ provider: createMyProvider({ … }), world, dispose: () => {} }));
 */
export function describeProvider(
  name: string,
  setup: () => Promise<ProviderFixture>,
  { timeoutMs = 120_000 }: ConformanceOptions = {},
): void {
  // oxlint-disable-next-line vitest/valid-title -- the caller names the provider
  describe(name, { timeout: timeoutMs }, () => {
    let fixture: ProviderFixture | undefined;
    let scene: Scene | undefined;
    beforeEach(async () => {
      fixture = await setup();
      scene = createScene(fixture);
    });
    afterEach(async () => {
      await fixture?.dispose();
      fixture = undefined;
      scene = undefined;
    });
    const current: Scenery = () => {
      if (!scene) throw new Error("There is no scene outside a test.");
      return scene;
    };
    describeCapabilities(current);
    describeCalls(current);
    describeListing(current);
    describeReading(current);
    describeLookup(current);
    describeGroupWrites(current);
    describeMemberWrites(current);
    describeRoles(current);
    describeMixtures(current);
    describeInvitations(current);
    describeMishaps(current);
  });
}
function describeCapabilities(scene: Scenery): void {
  describe("capabilities", () => {
    it("are numbers that can be obeyed", () => {
      const { add, remove, maxMembers, roles, groups, lookup, consistencyMs, pageSize, rates, inFlight } =
        scene().capabilities;
      const atLeastOne = [
        add.accountsPerCall,
        add.groupsPerCall,
        remove.accountsPerCall,
        remove.groupsPerCall,
        lookup.keysPerCall,
        pageSize.groups,
        pageSize.members,
        inFlight.reads,
        inFlight.writes,
        maxMembers,
        ...Object.values(roles).map(({ max }) => max),
        ...rates.flatMap(({ requests, windowMs }) => [{ value: requests }, { value: windowMs }]),
      ].flatMap(({ value }) => (value === null ? [] : [value]));
      for (const value of [...atLeastOne, groups.membersOnCreate.value, consistencyMs.value]) {
        expect(Number.isSafeInteger(value), `${value} is a whole number`).toBe(true);
      }
      expect(Math.min(...atLeastOne)).toBeGreaterThanOrEqual(1);
      expect(groups.membersOnCreate.value).toBeGreaterThanOrEqual(0);
      expect(consistencyMs.value).toBeGreaterThanOrEqual(0);
    });

    it("each name their source", () => {
      const facts = factsIn(scene().capabilities, "capabilities");
      expect(facts.length).toBeGreaterThanOrEqual(20);
      for (const { path, source } of facts) expect(source, `the source of ${path}`).toMatch(/\S/);
    });

    it("and the provider's names are plain data", () => {
      const { provider, capabilities } = scene();
      expect(JSON.parse(JSON.stringify(capabilities))).toStrictEqual(capabilities);
      expect(provider.id).toMatch(/\S/);
      expect(provider.type).toMatch(/\S/);
    });
  });
}

/** Whatever has a source, or should have one because it has a value. */
function factsIn(value: unknown, path: string): readonly { readonly path: string; readonly source: unknown }[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((entry, index) => factsIn(entry, `${path}[${index}]`));
  if ("value" in value || "windowMs" in value) return [{ path, source: "source" in value ? value.source : undefined }];
  return Object.entries(value).flatMap(([key, entry]) => factsIn(entry, `${path}.${key}`));
}

function describeCalls(scene: Scenery): void {
  describe("every call", () => {
    it("checkAccess says who and where we are, the same each time, and that nothing is wrong", async () => {
      const { provider, secrets } = scene();
      const first = await provider.checkAccess(createCallContext());
      const second = await provider.checkAccess(createCallContext());
      expect(first.identity).toMatch(/\S/);
      expect(second.identity).toBe(first.identity);
      expect(second.ownAccount).toBe(first.ownAccount);
      expect(first.findings.length).toBeGreaterThanOrEqual(1);
      expect(first.findings.filter(({ level }) => level === "error")).toEqual([]);
      for (const { message } of first.findings) expect(message).toMatch(/\S/);
      for (const secret of secrets) expect(JSON.stringify(first)).not.toContain(secret);
    });

    it("answers with plain JSON", async () => {
      const { provider, world, accounts, capabilities, readGroup, listGroups, find, apply, members } = scene();
      const [first = "", second = ""] = accounts(2);
      const groupId = await world.addGroup("Plain", [first]);
      const answers: unknown[] = [
        await provider.checkAccess(createCallContext()),
        await listGroups(),
        await readGroup(groupId),
        await apply(await members(groupId, { add: editsOf([second]) })),
        await readGroup(groupId),
      ];
      if (capabilities.groups.create.value) {
        answers.push(await apply({ kind: "group.create", name: "Plain, too", add: [] }));
      }
      for (const by of capabilities.lookup.by.value) answers.push(await find([keyOf(scene(), by)]));
      for (const answer of answers) expect(JSON.parse(JSON.stringify(answer))).toStrictEqual(answer);
    });

    it("tells of every request that it sends, and reading never writes", async () => {
      const { provider, world, accounts, capabilities, callsDuring } = scene();
      const groupId = await world.addGroup("Counted", accounts(3));
      const truth = await world.groups();
      const before = await world.requests();
      const calls = [
        ...(await callsDuring((context) => provider.checkAccess(context))),
        ...(await callsDuring((context) => provider.listGroups(context))),
        ...(await callsDuring((context) => provider.readGroup(groupId, context))),
      ];
      for (const by of capabilities.lookup.by.value) {
        calls.push(...(await callsDuring((context) => provider.findAccounts([keyOf(scene(), by)], context))));
      }
      expect(calls.length).toBe((await world.requests()) - before);
      expect(calls.filter(({ effect }) => effect === "write")).toEqual([]);
      expect(new Set(calls.map(({ provider: id }) => id))).toEqual(new Set([provider.id]));
      expect(await world.groups()).toEqual(truth);
    });

    it("sends nothing once it is cancelled", async () => {
      const { provider, world, accounts, capabilities, members, expectRefused } = scene();
      const [first = "", second = ""] = accounts(2);
      const groupId = await world.addGroup("Cancelled", [first]);
      const add = await members(groupId, { add: editsOf([second]) });
      const context = createCallContext({ signal: AbortSignal.abort() });
      await expectRefused(() => provider.checkAccess(context), ["cancelled"]);
      await expectRefused(() => provider.listGroups(context), ["cancelled"]);
      await expectRefused(() => provider.readGroup(groupId, context), ["cancelled"]);
      await expectRefused(() => provider.applyBatch(add, context), ["cancelled"]);
      for (const by of capabilities.lookup.by.value) {
        await expectRefused(() => provider.findAccounts([keyOf(scene(), by)], context), ["cancelled"]);
      }
      if (capabilities.groups.create.value) {
        await expectRefused(
          () => provider.applyBatch({ kind: "group.create", name: "Never made", add: [] }, context),
          ["cancelled"],
        );
      }
    });
  });
}
