/** One suite over all stores: in memory, in a file by each engine, and in a real PostgreSQL. */
import { inspect } from "node:util";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isGroupSyncError } from "../../../src/errors.js";
import { openState } from "../../../src/state/index.js";
import { createMemoryState } from "../../../src/state/memory.js";
import type { InvitationRecord, Lease, MembershipKey, State } from "../../../src/state/state.js";
import {
  add,
  ENGINES,
  errorOf,
  expectVersionOne,
  faces,
  freePort,
  openWith,
  placesIn,
  plan,
  type Postgres,
  report,
  startPostgres,
  strangers,
  temporaryFolder,
  versionOne,
} from "./kit.js";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres?.stop();
});

const keys = (count: number, groupId = "g1"): MembershipKey[] =>
  Array.from({ length: count }, (_, index) => ({ groupId, account: `a${String(index).padStart(6, "0")}` }));

const startedAt = "2026-11-21T10:00:00.000Z";

describe.each(Object.entries(placesIn(() => postgres)))("the state in %s", (_name, place) => {
  async function fresh(): Promise<State> {
    return (await place()).open();
  }

  test("is empty at first, but has an installation", async () => {
    const state = await fresh();
    expect(await state.lastIdentity("faces")).toBeUndefined();
    expect(await state.managedGroups(faces)).toEqual([]);
    expect(await state.ownedMemberships(faces)).toEqual([]);
    expect(await state.invitations(faces)).toEqual([]);
    expect(await state.runs()).toEqual([]);
    expect(await state.run("r1")).toBeUndefined();
    expect(await state.run("")).toBeUndefined();
    expect(await state.approvals("p1")).toEqual([]);
    expect(await state.verifiedGroups(faces)).toEqual([]);
    expect(await state.quarantines()).toEqual([]);
    expect(await state.pruneRuns(0)).toBe(0);
    const installation = await state.installation();
    expect(installation).toMatch(/^[0-9a-f-]{36}$/);
    expect(await state.installation()).toBe(installation);
    await state.close();
  });

  test("another identity under the same provider is a stranger", async () => {
    const state = await fresh();
    await state.rememberIdentity(faces);
    await state.rememberGroups(faces, [{ groupId: "g1", group: "night-shift", origin: "created" }]);
    await state.rememberAdded(faces, "r1", keys(2));
    await state.rememberInvitations(faces, [{ groupId: "g1", account: "x", state: "pending", sentAt: startedAt }]);
    expect(await state.managedGroups(strangers)).toEqual([]);
    expect(await state.ownedMemberships(strangers)).toEqual([]);
    expect(await state.invitations(strangers)).toEqual([]);
    await state.forgetMemberships(strangers, keys(2));
    await state.forgetInvitations(strangers, [{ groupId: "g1", account: "x" }]);
    expect(await state.ownedMemberships(faces)).toEqual(keys(2));
    expect(await state.invitations(faces)).toHaveLength(1);
    await state.rememberIdentity(strangers);
    expect(await state.lastIdentity("faces")).toBe(strangers.identity);
    await state.close();
  });

  test("what is remembered twice is there once, as it was last", async () => {
    const state = await fresh();
    await state.rememberGroups(faces, [
      { groupId: "g1", group: "night-shift", origin: "adopted" },
      { groupId: "g1", group: "late-shift", origin: "created" },
    ]);
    expect(await state.managedGroups(faces)).toEqual([{ groupId: "g1", group: "late-shift", origin: "created" }]);
    await state.rememberAdded(faces, "r1", [...keys(2), ...keys(2)]);
    await state.rememberAdded(faces, "r2", keys(3));
    expect(await state.ownedMemberships(faces)).toEqual(keys(3));
    const invitation = { groupId: "g1", account: "x", sentAt: startedAt };
    await state.rememberInvitations(faces, [{ ...invitation, state: "pending" }]);
    await state.rememberInvitations(faces, [{ ...invitation, state: "gone" }]);
    expect(await state.invitations(faces)).toEqual([{ ...invitation, state: "gone" }]);
    await state.close();
  });

  test("only what is named is forgotten", async () => {
    const state = await fresh();
    await state.rememberAdded(faces, "r1", [...keys(3), ...keys(3, "g2")]);
    await state.forgetMemberships(faces, [
      { groupId: "g1", account: "a000001" },
      { groupId: "g2", account: "a000000" },
      { groupId: "g3", account: "nobody" },
    ]);
    expect(await state.ownedMemberships(faces)).toEqual([
      { groupId: "g1", account: "a000000" },
      { groupId: "g1", account: "a000002" },
      { groupId: "g2", account: "a000001" },
      { groupId: "g2", account: "a000002" },
    ]);
    await state.forgetMemberships(faces, []);
    expect(await state.ownedMemberships(faces)).toHaveLength(4);
    await state.close();
  });

  test("a group that is gone is forgotten with everything in it, and no other", async () => {
    const state = await fresh();
    const groups = ["g1", "g2"].map((groupId) => ({ groupId, group: "night-shift", origin: "created" as const }));
    const sent = ["g1", "g2"].map((groupId) => ({ groupId, account: "x", state: "gone" as const, sentAt: startedAt }));
    const seen = ["g1", "g2"].map((groupId) => ({ groupId, version: "7", wish: "digest", readAt: startedAt }));
    for (const scope of [faces, strangers]) {
      await state.rememberGroups(scope, groups);
      await state.rememberAdded(scope, "r1", [...keys(2), ...keys(1, "g2")]);
      await state.rememberInvitations(scope, sent);
      await state.rememberVerified(scope, seen);
    }
    await state.forgetGroups(faces, ["g1", "g3", "g1"]);
    await state.forgetGroups(faces, []);
    for (const [scope, left] of [
      [faces, 1],
      [strangers, 2],
    ] as const) {
      expect(await state.managedGroups(scope)).toEqual(groups.slice(-left));
      expect(await state.ownedMemberships(scope)).toEqual([...keys(2), ...keys(1, "g2")].slice(left === 1 ? 2 : 0));
      expect(await state.invitations(scope)).toEqual(sent.slice(-left));
      expect(await state.verifiedGroups(scope)).toEqual(seen.slice(-left));
    }
    await state.close();
  });

  test("lists come in the order of bytes, whatever the language of the database", async () => {
    const state = await fresh();
    const accounts = ["b", "a", "B", "ä", "Z", "_", "😀", "\uFFFD"];
    await state.rememberAdded(
      faces,
      "r1",
      accounts.map((account) => ({ groupId: "g", account })),
    );
    const sorted = ["B", "Z", "_", "a", "b", "ä", "\uFFFD", "😀"];
    expect((await state.ownedMemberships(faces)).map(({ account }) => account)).toEqual(sorted);
    await state.close();
  });

  test("a run is a plan, a journal and a report", async () => {
    const state = await fresh();
    const changes = [add("a1", 'why\u0000, "really" 😀')];
    await state.beginRun({ runId: "r1", planId: "p1", startedAt }, plan("p1", changes));
    await state.recordIntent("r1", { provider: "faces", sequence: 2, kind: "members", changes });
    await state.recordIntent("r1", { provider: "faces", sequence: 1, kind: "group.create", changes: [] });
    await state.recordIntent("r1", { provider: "docs", sequence: 1, kind: "members", changes: [] });
    await state.recordOutcome("r1", "faces", 1, "answered");
    const journal = [
      { provider: "docs", sequence: 1, kind: "members", changes: [] },
      { provider: "faces", sequence: 1, kind: "group.create", changes: [], outcome: "answered" },
      { provider: "faces", sequence: 2, kind: "members", changes },
    ];
    expect(await state.run("r1")).toStrictEqual({
      record: { runId: "r1", planId: "p1", startedAt },
      plan: plan("p1", changes),
      journal,
    });
    const done = report("r1", "p1");
    await state.endRun(done);
    const { finishedAt, status, summary } = done;
    const record = { runId: "r1", planId: "p1", startedAt, finishedAt, status, summary };
    expect(await state.run("r1")).toStrictEqual({ record, plan: plan("p1", changes), journal, report: done });
    expect(await state.runs()).toStrictEqual([record]);
    await state.close();
  });

  test("runs are listed newest first, as many as asked for", async () => {
    const state = await fresh();
    for (const [runId, day] of Object.entries({ r1: "20", r2: "22", r3: "21", r4: "22" })) {
      await state.beginRun({ runId, planId: "p", startedAt: `2026-11-${day}T00:00:00.000Z` }, plan("p"));
    }
    expect((await state.runs()).map(({ runId }) => runId)).toEqual(["r4", "r2", "r3", "r1"]);
    expect((await state.runs(2)).map(({ runId }) => runId)).toEqual(["r4", "r2"]);
    expect(await state.runs(0)).toEqual([]);
    await state.close();
  });

  test("the beginning of an id names a run, unless it begins several", async () => {
    const state = await fresh();
    for (const runId of ["abc-1", "abc-2", "abc-22", "ABC-3", "%_"]) {
      await state.beginRun({ runId, planId: "p", startedAt }, plan("p"));
    }
    expect((await state.run("abc-1"))?.record.runId).toBe("abc-1");
    expect((await state.run("abc-2"))?.record.runId).toBe("abc-2");
    expect((await state.run("A"))?.record.runId).toBe("ABC-3");
    expect((await state.run("%"))?.record.runId).toBe("%_");
    expect(await state.run("b")).toBeUndefined();
    expect(await state.run("abc-1x")).toBeUndefined();
    const error = await errorOf(state.run("abc"));
    expect(error.code).toBe("options-invalid");
    expect(error.message).toBe('Several runs begin with "abc": abc-1, abc-2, abc-22.');
    await state.close();
  });

  test("a journal that does not fit is a bug of ours, and changes nothing", async () => {
    const state = await fresh();
    const run = { runId: "r1", planId: "p1", startedAt };
    const intent = { provider: "faces", sequence: 1, kind: "members", changes: [] };
    expect((await errorOf(state.recordIntent("r1", intent))).message).toBe("There is no run r1 in the state.");
    expect((await errorOf(state.endRun(report("r1", "p1")))).code).toBe("internal");
    await state.beginRun(run, plan("p1"));
    expect((await errorOf(state.beginRun(run, plan("p2")))).code).toBe("internal");
    expect((await errorOf(state.recordOutcome("r1", "faces", 1, "answered"))).code).toBe("internal");
    await state.recordIntent("r1", intent);
    expect((await errorOf(state.recordIntent("r1", { ...intent, kind: "group.delete" }))).code).toBe("internal");
    expect(await state.run("r1")).toStrictEqual({ record: run, plan: plan("p1"), journal: [intent] });
    await state.close();
  });

  test("approvals are of one plan", async () => {
    const state = await fresh();
    const approval = {
      planId: "p1",
      checksum: "c1",
      group: "night-shift",
      approvedAt: startedAt,
      expiresAt: "2026-11-22T10:00:00.000Z",
      approvedBy: "ada",
    };
    await state.recordApproval({ ...approval, approvedBy: "grace" });
    await state.recordApproval(approval);
    await state.recordApproval({ ...approval, group: "day-shift" });
    await state.recordApproval({ ...approval, checksum: "c2" });
    await state.recordApproval({ ...approval, planId: "p2" });
    expect(await state.approvals("p1")).toStrictEqual([
      { ...approval, group: "day-shift" },
      approval,
      { ...approval, checksum: "c2" },
    ]);
    await state.close();
  });

  test("the runs that ended longest ago are forgotten, with all that is theirs; one without an end never is", async () => {
    const state = await fresh();
    for (const [runId, day] of Object.entries({ r1: "20", r2: "22", r3: "21", r4: "22", crashed: "01" })) {
      const run = { runId, planId: "p", startedAt: `2026-11-${day}T00:00:00.000Z` };
      await state.beginRun(run, plan("p"));
      await state.recordIntent(runId, { provider: "faces", sequence: 1, kind: "members", changes: [] });
      if (runId !== "crashed") await state.endRun(report(runId, "p"));
    }
    const left = async () => (await state.runs()).map(({ runId }) => runId);
    expect(await state.pruneRuns(4)).toBe(0);
    expect(await state.pruneRuns(2)).toBe(2);
    expect(await left()).toEqual(["r4", "r2", "crashed"]);
    expect((await state.openRuns()).map(({ runId }) => runId)).toEqual(["crashed"]);
    expect(await state.run("r1")).toBeUndefined();
    expect((await state.run("r2"))?.journal).toHaveLength(1);
    expect(await state.pruneRuns(-1)).toBe(2);
    expect(await left()).toEqual(["crashed"]);
    expect((await state.run("crashed"))?.journal).toHaveLength(1);
    // Nothing of the old journal is in the way of a new run under the old id.
    await state.beginRun({ runId: "r1", planId: "p", startedAt }, plan("p"));
    expect((await state.run("r1"))?.journal).toEqual([]);
    await state.close();
  });

  test("a verified group is remembered as it was last, per identity", async () => {
    const state = await fresh();
    const group = { groupId: "g1", version: "7", wish: "digest", readAt: startedAt };
    await state.rememberVerified(faces, [{ ...group, groupId: "g2" }, group]);
    await state.rememberVerified(faces, [{ ...group, version: "8" }]);
    await state.rememberVerified(strangers, [{ ...group, wish: "other" }]);
    await state.rememberVerified(faces, []);
    expect(await state.verifiedGroups(faces)).toStrictEqual([
      { ...group, version: "8" },
      { ...group, groupId: "g2" },
    ]);
    expect(await state.verifiedGroups(strangers)).toStrictEqual([{ ...group, wish: "other" }]);
    await state.close();
  });

  test("the account of a person is remembered as it was last, per identity", async () => {
    const state = await fresh();
    const ada = { person: "ada", account: "a1", addresses: ["ada@example.org", 'a,"b"@example.org'] };
    const bob = { person: "bob", account: "b1", addresses: [] };
    expect(await state.knownAccounts(faces)).toEqual([]);
    await state.rememberAccounts(faces, [bob, ada]);
    await state.rememberAccounts(strangers, [{ ...ada, account: "s1" }]);
    await state.rememberAccounts(faces, [{ ...bob, account: "b2" }]);
    await state.rememberAccounts(faces, []);
    expect(await state.knownAccounts(faces)).toStrictEqual([ada, { ...bob, account: "b2" }]);
    expect(await state.knownAccounts(strangers)).toStrictEqual([{ ...ada, account: "s1" }]);
    await state.close();
  });

  test("a quarantine is remembered as it was last, until it is forgotten", async () => {
    const state = await fresh();
    const quarantine = { provider: "faces", failures: 1, until: startedAt, reason: "faces answered 500." };
    const other = { ...quarantine, provider: "docs" };
    await state.rememberQuarantine(quarantine);
    await state.rememberQuarantine(other);
    await state.rememberQuarantine({ ...quarantine, failures: 2, reason: "again" });
    expect(await state.quarantines()).toStrictEqual([other, { ...quarantine, failures: 2, reason: "again" }]);
    await state.forgetQuarantine("faces");
    await state.forgetQuarantine("nobody");
    expect(await state.quarantines()).toStrictEqual([other]);
    await state.close();
  });

  test("an id that would come back changed is refused, and nothing of the list is kept", async () => {
    const state = await fresh();
    for (const account of ["a\0b", "half \ud83d"]) {
      const error = await errorOf(state.rememberAdded(faces, "r1", [...keys(3), { groupId: "g1", account }]));
      expect(error.code).toBe("bad-answer");
      expect(error.message).toContain(JSON.stringify(account));
    }
    expect(await state.ownedMemberships(faces)).toEqual([]);
    await state.close();
  });

  test("calls at the same time do not mix", async () => {
    const state = await fresh();
    await state.beginRun({ runId: "r1", planId: "p1", startedAt }, plan("p1"));
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const sequence = index + 1;
        await state.recordIntent("r1", { provider: "faces", sequence, kind: "members", changes: [] });
        await state.rememberAdded(faces, "r1", [{ groupId: "g1", account: `a${index}` }]);
        if (index % 2 === 0) await errorOf(state.recordOutcome("r1", "nobody", sequence, "answered"));
        await state.recordOutcome("r1", "faces", sequence, "answered");
      }),
    );
    const run = await state.run("r1");
    expect(run?.journal.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 40 }, () => "answered"));
    expect(await state.ownedMemberships(faces)).toHaveLength(40);
    await state.close();
  });

  test("a closed state says so, and can be closed again", async () => {
    const state = await fresh();
    await state.close();
    await state.close();
    const calls = [() => state.runs(), () => state.rememberAdded(faces, "r1", keys(1)), () => state.installation()];
    for (const call of calls) {
      expect((await errorOf(call())).message).toBe("The state is closed.");
    }
  });

  test("it is there again after closing, all of it", async () => {
    const { open, lasting } = await place();
    const first = await open();
    await fill(first);
    const before = await dump(first);
    const installation = await first.installation();
    await first.close();
    const second = await open();
    expect(await dump(second)).toEqual(lasting ? before : await dump(createMemoryState()));
    expect((await second.installation()) === installation).toBe(lasting);
    await second.close();
  });
});

async function fill(state: State): Promise<void> {
  await state.rememberIdentity(faces);
  await state.rememberGroups(faces, [{ groupId: "g1", group: "night-shift", origin: "adopted" }]);
  await state.rememberAdded(faces, "r1", keys(5));
  await state.rememberInvitations(strangers, [{ groupId: "g1", account: "x", state: "gone", sentAt: startedAt }]);
  await state.beginRun({ runId: "r1", planId: "p1", startedAt }, plan("p1"));
  await state.recordIntent("r1", { provider: "faces", sequence: 1, kind: "members", changes: [add("a1")] });
  await state.recordOutcome("r1", "faces", 1, "unknown");
  await state.endRun(report("r1", "p1"));
  const expiresAt = "2026-11-22T10:00:00.000Z";
  const approval = { planId: "p1", checksum: "c", group: "night-shift", approvedAt: startedAt, expiresAt };
  await state.recordApproval({ ...approval, approvedBy: "ada" });
  await state.rememberVerified(faces, [{ groupId: "g1", version: "7", wish: "digest", readAt: startedAt }]);
  await state.rememberQuarantine({ provider: "faces", failures: 3, until: startedAt, reason: "it failed" });
}

/** Everything that can be read. */
async function dump(state: State, plans: readonly string[] = ["p1"]): Promise<unknown> {
  const runs = await state.runs();
  return {
    identity: await state.lastIdentity("faces"),
    groups: [await state.managedGroups(faces), await state.managedGroups(strangers)],
    memberships: [await state.ownedMemberships(faces), await state.ownedMemberships(strangers)],
    invitations: [await state.invitations(faces), await state.invitations(strangers)],
    verified: [await state.verifiedGroups(faces), await state.verifiedGroups(strangers)],
    quarantines: await state.quarantines(),
    runs,
    details: await Promise.all(runs.map(({ runId }) => state.run(runId))),
    approvals: await Promise.all(plans.map((planId) => state.approvals(planId))),
  };
}

describe("all stores do alike", () => {
  type Step = readonly [string, (state: State) => Promise<unknown>];

  /** Text that comes again, and text of all kinds. */
  const text = (...often: readonly string[]) =>
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...often) },
      { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 6 }).map((some) => some.replaceAll("\0", "")) },
    );
  const scope = fc.constantFrom(faces, strangers);
  const runId = text("run", "run-1", "run-2", "RUN");
  const planId = fc.constantFrom("p1", "p2");
  const provider = fc.constantFrom("faces", "docs");
  const sequence = fc.integer({ min: 1, max: 3 });
  const time = fc.constantFrom("2026-11-20T00:00:00.000Z", "2026-11-21T00:00:00.000Z", "2026-11-21T00:00:00.001Z");
  const account = text("a", "A", "ä", "a b", "%", "'", '"', "😀", "\uFFFD", "");
  const pair = fc.record({ groupId: text("g1", "g2", "G1"), account });
  const pairs = fc.array(pair, { maxLength: 6 });
  const invitation: fc.Arbitrary<InvitationRecord> = fc
    .tuple(pair, fc.constantFrom("pending" as const, "gone" as const), time)
    .map(([key, state, sentAt]) => ({ ...key, state, sentAt }));
  const group = fc.record({
    groupId: text("g1", "g2"),
    group: text("night-shift", "day-shift"),
    origin: fc.constantFrom("created" as const, "adopted" as const),
  });
  const changes = fc.array(
    fc.string({ unit: "binary" }).map((reason) => add("a1", reason)),
    { maxLength: 2 },
  );
  const approval = fc.record({
    planId,
    checksum: text("c1", "c2"),
    group: text("night-shift", "day-shift"),
    approvedAt: time,
    expiresAt: time,
    approvedBy: text("ada", "grace"),
  });
  const verified = fc.record({
    groupId: text("g1", "g2"),
    version: text("1", "2"),
    wish: text("digest", "other digest"),
    readAt: time,
  });
  const quarantine = fc.record({ provider, failures: fc.integer({ min: 1, max: 9 }), until: time, reason: account });
  const names = fc.array(text("faces", "docs", "Docs"), { maxLength: 3 });
  const holder = text("host-1", "host-2");
  /** An hour, or over at once: what lies between is the business of clocks. */
  const ttlMs = fc.constantFrom(3_600_000, 0);
  const lease: fc.Arbitrary<Lease> = fc.record({ names, holder, fence: fc.integer({ min: 1, max: 4 }) });
  const acquire = async (state: State, ...args: Parameters<State["acquireLeases"]>) => {
    const acquired = await state.acquireLeases(...args);
    // Their clocks differ a little.
    return "busy" in acquired ? { ...acquired, until: typeof acquired.until } : acquired;
  };
  const step = <T extends readonly unknown[]>(
    name: string,
    args: { [K in keyof T]: fc.Arbitrary<T[K]> },
    call: (state: State, ...args: T) => Promise<unknown>,
  ): fc.Arbitrary<Step> =>
    fc.tuple<unknown[]>(...args).map((given) => {
      const values = given as unknown as T;
      return [`${name}(${values.map((value) => JSON.stringify(value)).join(", ")})`, (state) => call(state, ...values)];
    });
  const steps = fc.array(
    fc.oneof(
      step("rememberIdentity", [scope], (state, ...args) => state.rememberIdentity(...args)),
      step("rememberGroups", [scope, fc.array(group, { maxLength: 4 })], (state, ...args) =>
        state.rememberGroups(...args),
      ),
      step(
        "forgetGroups",
        [
          scope,
          fc.array(
            pair.map(({ groupId }) => groupId),
            { maxLength: 3 },
          ),
        ],
        (state, ...args) => state.forgetGroups(...args),
      ),
      step("rememberAdded", [scope, runId, pairs], (state, ...args) => state.rememberAdded(...args)),
      step("forgetMemberships", [scope, pairs], (state, ...args) => state.forgetMemberships(...args)),
      step("rememberInvitations", [scope, fc.array(invitation, { maxLength: 4 })], (state, ...args) =>
        state.rememberInvitations(...args),
      ),
      step("forgetInvitations", [scope, pairs], (state, ...args) => state.forgetInvitations(...args)),
      step("beginRun", [fc.record({ runId, planId, startedAt: time }), changes], (state, run, changes) =>
        state.beginRun(run, plan(run.planId, changes)),
      ),
      step("recordIntent", [runId, provider, sequence, changes], (state, runId, provider, sequence, changes) =>
        state.recordIntent(runId, { provider, sequence, kind: "members", changes }),
      ),
      step(
        "recordOutcome",
        [runId, provider, sequence, fc.constantFrom("answered" as const, "refused" as const, "unknown" as const)],
        (state, ...args) => state.recordOutcome(...args),
      ),
      step("endRun", [runId, planId, time], (state, ...args) => state.endRun(report(...args))),
      step("run", [fc.oneof(runId, fc.constantFrom("r", "ru", "run-"))], (state, ...args) => state.run(...args)),
      step("runs", [fc.integer({ min: -1, max: 3 })], (state, ...args) => state.runs(...args)),
      step("openRuns", [], (state) => state.openRuns()),
      step("recordIntent", [runId, provider, sequence, lease], (state, runId, provider, sequence, lease) =>
        state.recordIntent(runId, { provider, sequence, kind: "members", changes: [] }, lease),
      ),
      step("pruneRuns", [fc.integer({ min: -1, max: 2 })], (state, ...args) => state.pruneRuns(...args)),
      step("rememberVerified", [scope, fc.array(verified, { maxLength: 4 })], (state, ...args) =>
        state.rememberVerified(...args),
      ),
      step("acquireLeases", [names, holder, ttlMs], acquire),
      step("acquireLeases", [names, holder, ttlMs], acquire),
      step("renewLeases", [lease, ttlMs], (state, ...args) => state.renewLeases(...args)),
      step("releaseLeases", [lease], (state, ...args) => state.releaseLeases(...args)),
      step("rememberQuarantine", [quarantine], (state, ...args) => state.rememberQuarantine(...args)),
      step("forgetQuarantine", [provider], (state, ...args) => state.forgetQuarantine(...args)),
      step("recordApproval", [approval], (state, ...args) => state.recordApproval(...args)),
    ),
    { maxLength: 30 },
  );

  const outcomeOf = (promise: Promise<unknown>) =>
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ code: isGroupSyncError(error) ? error.code : error, message: String(error) }),
    );

  test("whatever is called, and after opening it again", { timeout: 60_000 }, async () => {
    const url = await postgres.createDatabase();
    await (await openState({ postgres: url })).close();
    const folder = temporaryFolder();
    let turn = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (calls) => {
        await postgres.query(
          url,
          `truncate group_sync_identities, group_sync_groups, group_sync_memberships, group_sync_invitations,
             group_sync_journal, group_sync_runs, group_sync_approvals, group_sync_leases, group_sync_verified,
             group_sync_quarantines, group_sync_accounts;
           update group_sync_fence set last = 0`,
        );
        turn++;
        const opens = [
          ...ENGINES.map((engine) => () => openWith(engine, join(folder, `${engine}-${turn}.db`))),
          () => openState({ postgres: url }),
        ];
        const memory = createMemoryState();
        const stores = await Promise.all(opens.map((open) => open()));
        for (const [name, call] of calls) {
          const expected = await outcomeOf(call(memory));
          for (const store of stores) expect([name, await outcomeOf(call(store))]).toStrictEqual([name, expected]);
        }
        await Promise.all(stores.map((store) => store.close()));
        const expected = await dump(memory, ["p1", "p2"]);
        for (const open of opens) {
          const store = await open();
          expect(await dump(store, ["p1", "p2"])).toStrictEqual(expected);
          await store.close();
        }
      }),
      { numRuns: 30 },
    );
  });

  test("100,000 memberships go in, come out and are forgotten, and the thread is not held meanwhile", {
    timeout: 60_000,
  }, async () => {
    const many = keys(100_000);
    const url = await postgres.createDatabase();
    const folder = temporaryFolder();
    const opens = [
      ...ENGINES.map((engine) => () => openWith(engine, join(folder, `${engine}.db`))),
      () => openState({ postgres: url }),
    ];
    for (const open of opens) {
      const state = await open();
      let ticks = 0;
      const clock = setInterval(() => ticks++, 5);
      await state.rememberAdded(faces, "r1", many);
      clearInterval(clock);
      expect(ticks).toBeGreaterThan(20);
      // As text: telling 100,000 objects apart one by one takes seconds.
      expect(JSON.stringify(await state.ownedMemberships(faces)) === JSON.stringify(many)).toBe(true);
      await state.forgetMemberships(faces, many.slice(0, 99_999));
      expect(await state.ownedMemberships(faces)).toEqual(many.slice(-1));
      await state.close();
    }
  });
});

describe("PostgreSQL", () => {
  const everythingOf = (error: unknown) => `${inspect(error, { depth: 9, showHidden: true })} ${JSON.stringify(error)}`;

  test("many who open a new database at once make one store", async () => {
    const url = await postgres.createDatabase();
    const states = await Promise.all(Array.from({ length: 6 }, () => openState({ postgres: url })));
    const installations = await Promise.all(states.map((state) => state.installation()));
    expect(new Set(installations).size).toBe(1);
    expect(await postgres.query(url, "select version from group_sync_migrations")).toEqual([
      { version: 1 },
      { version: 2 },
      { version: 3 },
    ]);
    await Promise.all(states.map((state) => state.close()));
  });

  test("two who write the same rows in different orders both succeed", async () => {
    const url = await postgres.createDatabase();
    const states = [await openState({ postgres: url }), await openState({ postgres: url })] as const;
    const rows = keys(3000);
    await Promise.all([
      states[0].rememberAdded(faces, "r1", rows),
      states[1].rememberAdded(faces, "r2", rows.toReversed()),
      states[0].rememberAdded(faces, "r3", rows.toReversed()),
      states[1].rememberAdded(faces, "r4", rows),
    ]);
    expect(await states[0].ownedMemberships(faces)).toEqual(rows);
    await Promise.all(states.map((state) => state.close()));
  });

  test("a store of version 1 is brought up to date, once, with all that is in it", async () => {
    const url = await postgres.createDatabase();
    await postgres.query(url, versionOne.replaceAll(" text", ' text collate "C"'));
    const states = await Promise.all(Array.from({ length: 3 }, () => openState({ postgres: url })));
    for (const state of states) await expectVersionOne(state);
    expect(await postgres.query(url, "select version from group_sync_migrations order by 1")).toEqual([
      { version: 1 },
      { version: 2 },
      { version: 3 },
    ]);
    await Promise.all(states.map((state) => state.close()));
  });

  test("a store of a newer tool is refused and left alone", async () => {
    const url = await postgres.createDatabase();
    await (await openState({ postgres: url })).close();
    await postgres.query(url, "insert into group_sync_migrations values (7, 'from the future', 'then')");
    const error = await errorOf(openState({ postgres: url }));
    expect(error.code).toBe("options-invalid");
    expect(error.message).toBe(
      "The state in PostgreSQL has version 7, written by a newer group-sync; this one knows version 3.",
    );
  });

  test("a lock that lasts is busy", async () => {
    const url = await postgres.createDatabase();
    const state = await openState({ postgres: url }, { busyTimeoutMs: 100 });
    const holding = postgres.query(url, "begin; lock table group_sync_identities; select pg_sleep(0.7); commit");
    await expect
      .poll(() => postgres.query(url, "select 1 from pg_locks where mode = 'AccessExclusiveLock'"))
      .toHaveLength(1);
    const error = await errorOf(state.rememberIdentity(faces));
    expect([error.code, error.facts.retryable]).toEqual(["busy", true]);
    await holding;
    await state.rememberIdentity(faces);
    await state.close();
  });

  test("who migrates keeps others waiting, then busy", async () => {
    const url = await postgres.createDatabase();
    const holding = postgres.query(url, "begin; select pg_advisory_xact_lock(7310311904), pg_sleep(0.7); commit");
    await expect.poll(() => postgres.query(url, "select 1 from pg_locks where locktype = 'advisory'")).toHaveLength(1);
    expect((await errorOf(openState({ postgres: url }, { busyTimeoutMs: 100 }))).code).toBe("busy");
    await holding;
    await (await openState({ postgres: url })).close();
  });

  test("connections that are cut are replaced, and the cut is told as of the network", async () => {
    const url = await postgres.createDatabase();
    const state = await openState({ postgres: url });
    await state.rememberIdentity(faces);
    await postgres.query(
      url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'group-sync'",
    );
    // A server that is busy cuts them a moment later than it says, and one query may meet each.
    const answers: unknown[] = [];
    const ask = async () => {
      const answer = await state.lastIdentity("faces").catch((error: unknown) => error);
      answers.push(answer);
      return answer;
    };
    await expect.poll(ask, { timeout: 30_000 }).toBe(faces.identity);
    expect(answers.slice(0, -1).filter((answer) => !isGroupSyncError(answer, "network"))).toEqual([]);
    await state.close();
  });

  test("no error names the address or the password", async () => {
    const url = await postgres.createDatabase();
    const secret = postgres.password;
    const at = `127.0.0.1:${postgres.port}`;
    const closedPort = await freePort();
    const wrong: Readonly<Record<string, readonly [string, string]>> = {
      "the password": [`postgres://postgres:${secret}x@${at}/postgres`, "options-invalid"],
      "the user": [`postgres://${secret}:${secret}@${at}/postgres`, "options-invalid"],
      "the database": [`postgres://postgres:${secret}@${at}/${secret}`, "options-invalid"],
      "the port": [`postgres://postgres:${secret}@127.0.0.1:${closedPort}/postgres`, "network"],
      "the host": [`postgres://postgres:${secret}@${secret}.invalid/postgres`, "network"],
      "the encoding": [`postgres://postgres:${secret}#@${at}/postgres`, "options-invalid"],
      "a port that is none": [`postgres://postgres:${secret}@127.0.0.1:999999/postgres`, "options-invalid"],
      "the service": [url.replace("postgres:", "mysql:"), "options-invalid"],
      everything: [secret, "options-invalid"],
      tls: [`${url}?sslmode=verify-full`, "network"],
    };
    for (const [what, [address, code]] of Object.entries(wrong)) {
      const error = await errorOf(openState({ postgres: address }));
      expect([what, error.code]).toEqual([what, code]);
      expect(everythingOf(error)).not.toContain(secret);
    }
    const state = await openState({ postgres: url });
    await postgres.query(
      url,
      `drop table group_sync_identities; create view "group_sync_identities" as select 1 as "${secret}"`,
    );
    for (const call of [() => state.rememberIdentity(faces), () => state.lastIdentity("faces")]) {
      expect(everythingOf(await errorOf(call()))).not.toContain(secret);
    }
    await state.close();
  });

  test("a user without rights is told which", async () => {
    const url = await postgres.createDatabase();
    await postgres.query(url, "create role weak login password 'weak'");
    const weak = url.replace(`postgres:${postgres.password}@`, "weak:weak@");
    const error = await errorOf(openState({ postgres: weak }));
    expect(error.code).toBe("options-invalid");
    expect(error.message).toBe("The state in PostgreSQL lacks a right: permission denied for schema public.");
  });
});
