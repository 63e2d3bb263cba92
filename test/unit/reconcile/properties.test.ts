import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Resolution } from "../../../src/identity.js";
import type { Change, GuardSettings, Member, Role, Target } from "../../../src/model.js";
import { GUARDS, ROLES } from "../../../src/model.js";
import type { Capabilities } from "../../../src/provider.js";
import { effectiveRole } from "../../../src/reconcile/diff.js";
import {
  type Actual,
  actual,
  applyTo,
  compare,
  everything,
  fact,
  group,
  line,
  member,
  noLimits,
  oneManager,
  person,
  type Scene,
  TODAY,
  withoutRoles,
} from "./builders.js";

const PEOPLE = ["ada", "grace", "linus", "barbara", "alan", "edsger"];
const STRANGERS = ["eve", "mallory", "trent"];
const GROUPS = ["a", "b", "c", "d"];
const ALLOW_ALL = GUARDS.map(String);
const capable = fc.constantFrom(everything, withoutRoles, oneManager, { ...everything, invitations: fact(true) });
const role = fc.constantFrom(...ROLES);

/** Some roles managed, some people listed, some of them for a time. At most one manager, as validation sees to. */
const wish = (id: string) =>
  fc
    .record({
      managed: fc.record({ member: fc.boolean(), manager: fc.boolean(), owner: fc.boolean() }),
      listed: fc.uniqueArray(
        fc.record({
          person: fc.constantFrom(...PEOPLE),
          role,
          until: fc.option(fc.constantFrom("2026-06-14", TODAY, "2027-01-01"), { nil: undefined }),
        }),
        { selector: (each) => each.person },
      ),
      mode: fc.constantFrom("authoritative", "additive"),
      adopt: fc.boolean(),
      pinned: fc.boolean(),
      renamed: fc.boolean(),
      absent: fc.integer({ min: 0, max: 9 }).map((dice) => dice === 0),
      description: fc.option(fc.constantFrom("", "Words"), { nil: undefined }),
    })
    .map(({ managed, listed, pinned, renamed, mode, description, ...rest }): Target => {
      const members = listed
        .filter((each) => managed[each.role])
        .filter(
          (each, index, all) => each.role !== "manager" || all.findIndex((other) => other.role === "manager") === index,
        )
        .map(({ until, ...each }) => ({ ...each, ...(until !== undefined && { until }) }));
      return {
        ...group(id),
        ...rest,
        mode: mode as Target["mode"],
        managed,
        members,
        name: renamed ? `new ${id}` : id,
        ...(renamed && { previously: [id] }),
        ...(pinned && { groupId: `id-${id}` }),
        ...(description !== undefined && { description }),
      };
    });

/** A state of a service with these roles: one manager where it has room for one, direct members. */
const state = (id: string, { roles, invitations }: Capabilities): fc.Arbitrary<Actual> =>
  fc
    .uniqueArray(
      fc.record({
        who: fc.constantFrom(...PEOPLE, ...STRANGERS),
        role,
        state: fc.constantFrom("active", "active", "disabled", "pending"),
        direct: fc.integer({ min: 0, max: 4 }).map((dice) => dice > 0),
      }),
      { selector: ({ who }) => who },
    )
    .map((rows) => {
      let managers = 0;
      const members = rows.map((row): Member => {
        const pending = row.state === "pending" && invitations.value;
        const room = row.role !== "manager" || !roles.manager || roles.manager.max.value === null || managers++ === 0;
        const held: Role = pending || !room ? "member" : effectiveRole(row.role, { ...everything, roles });
        return {
          ...member(`${row.who}${pending ? "…" : ""}`),
          role: held,
          direct: pending || row.direct,
          state: pending ? "pending" : row.state === "disabled" ? "disabled" : "active",
        };
      });
      return actual(id, members);
    });

const world = (extra: Partial<Scene> = {}): fc.Arbitrary<Scene> =>
  capable.chain((capabilities) =>
    fc
      .record({
        wanted: fc.tuple(...GROUPS.map(wish)),
        there: fc
          .tuple(...GROUPS.map((id) => fc.option(state(id, capabilities), { nil: undefined, freq: 6 })))
          .map((groups) => groups.filter((each) => each !== undefined)),
      })
      .map((scene) => ({ ...scene, capabilities, ...extra })),
  );

const limits = fc.record({
  maxRemovals: fc.record({ count: fc.integer({ min: 0, max: 4 }), percent: fc.integer({ min: 0, max: 60 }) }),
  protect: fc.subarray(["ada", "grace", "eve@*", "t?ent@example.org"]),
  minOwners: fc.integer({ min: 0, max: 2 }),
});
const guarded = fc.record({ world: world(), limits, provider: limits, run: limits }).map(
  (each): Scene => ({
    ...each.world,
    wanted: each.world.wanted.map((target) => ({ ...target, guards: each.limits })),
    providerGuards: each.provider,
    runGuards: each.run,
  }),
);

const isLoss = (change: Change) =>
  change.type === "member.remove" ||
  change.type === "group.delete" ||
  (change.type === "member.update" &&
    ROLES.indexOf(change.role ?? "member") < ROLES.indexOf(change.previousRole ?? "member"));
const rolesThere = (there: readonly Actual[], id: string | undefined) =>
  new Map(there.find((each) => each.id === id)?.members.map((each) => [member(each).account, member(each)]));

/** Says in its own words what should be so; the code under test says it in others. */
function expectDesired(
  target: Target,
  before: Actual | undefined,
  after: Actual | undefined,
  capabilities: Capabilities,
) {
  if (target.absent) return expect(after).toBeUndefined();
  expect(after?.name).toBe(target.name);
  if (target.description !== undefined) expect(after?.description ?? "").toBe(target.description);
  const was = rolesThere(before ? [before] : [], before?.id);
  const is = rolesThere(after ? [after] : [], after?.id);
  const listed = new Map(
    target.members
      .filter(({ until }) => until === undefined || until >= TODAY)
      .map((each) => [`@${each.person}`, effectiveRole(each.role, capabilities)]),
  );
  for (const account of new Set([...was.keys(), ...is.keys(), ...listed.keys()])) {
    const wanted = listed.get(account);
    const [old, now] = [was.get(account), is.get(account)];
    const mayLose =
      target.mode !== "additive" && old !== undefined && (old.role === "member" || target.managed[old.role]);
    const lowered = wanted !== undefined && old !== undefined && ROLES.indexOf(wanted) < ROLES.indexOf(old.role);
    let role: Role | undefined;
    if (wanted === undefined) {
      if (!mayLose) role = old?.role;
      else if (!old.direct) role = old.role === "member" ? "member" : undefined;
      else if (target.managed.member) role = undefined;
      else role = old.state === "pending" ? old.role : "member";
    } else if (old?.state === "pending") role = old.role;
    else role = lowered && !mayLose ? old.role : wanted;
    expect([account, now?.role]).toEqual([account, role]);
  }
}

describe("when nothing is held", () => {
  it("applying all changes gives what is wanted, and leaves everything else alone", () => {
    fc.assert(
      fc.property(world({ allow: ALLOW_ALL }), (scene) => {
        const { changes, held } = compare(scene);
        expect(held).toEqual([]);
        const after = applyTo(scene.there, changes);
        for (const target of scene.wanted) {
          if (scene.capabilities === oneManager && target.mode === "additive") continue;
          const find = (groups: readonly Actual[]) =>
            groups.find(({ id }) => id === `id-${target.group}` || id === `id-${target.name}`);
          // A pinned group that is not there is a problem, not a wish.
          if (target.groupId !== undefined && !find(scene.there)) continue;
          expectDesired(target, find(scene.there), find(after), scene.capabilities ?? everything);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("a second comparison finds nothing", () => {
    fc.assert(
      fc.property(world({ allow: ALLOW_ALL }), (scene) => {
        const first = compare(scene);
        const second = compare({ ...scene, there: applyTo(scene.there, first.changes) });
        expect(second.wishes).toEqual([]);
        expect(second.problems).toEqual(first.problems);
      }),
      { numRuns: 500 },
    );
  });
});

describe("whatever the guards say", () => {
  it("every wish either goes or is held, and a second run only finds what was held", () => {
    fc.assert(
      fc.property(guarded, (scene) => {
        const { changes, held, wishes } = compare(scene);
        if (scene.capabilities !== oneManager)
          expect([...changes, ...held].map(line).toSorted()).toEqual(wishes.toSorted());
        const again = compare({ ...scene, there: applyTo(scene.there, changes) });
        const before = new Set(held.map(line));
        expect(again.wishes.filter((wished) => !before.has(wished))).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it("no addition is held", () => {
    fc.assert(
      fc.property(guarded, (scene) => {
        const { held, changes, diffs } = compare(scene);
        expect(held.filter(({ type }) => type === "member.add" || type === "group.create")).toEqual([]);
        const added = (all: readonly Change[]) =>
          all.filter(({ type }) => type === "member.add").map(({ group: id, account }) => `${id} ${account}`);
        expect(added(changes)).toEqual(added(diffs.flatMap((diff) => diff.changes)));
      }),
      { numRuns: 300 },
    );
  });

  it("the order of groups, people and members does not matter", () => {
    fc.assert(
      fc.property(guarded, fc.infiniteStream(fc.nat()), (scene, dice) => {
        const shuffle = <T>(values: readonly T[]) =>
          values
            .map((value) => ({ value, at: dice.next().value ?? 0 }))
            .toSorted((left, right) => left.at - right.at)
            .map(({ value }) => value);
        const shuffled = {
          ...scene,
          wanted: shuffle(scene.wanted).map((target) => ({ ...target, members: shuffle(target.members) })),
          there: shuffle(scene.there).map((each) => ({ ...each, members: shuffle(each.members) })),
        };
        const [one, other] = [compare(scene), compare(shuffled)];
        expect(other.lines.toSorted()).toEqual(one.lines.toSorted());
        expect(other.heldLines.toSorted()).toEqual(one.heldLines.toSorted());
      }),
      { numRuns: 300 },
    );
  });

  it("protected people keep membership and role", () => {
    fc.assert(
      fc.property(guarded, fc.subarray(ALLOW_ALL), (scene, allowed) => {
        const allow = allowed.filter((guard) => guard !== "protected-person" && guard !== "role-loss");
        const wanted = scene.wanted.map((target) => ({
          ...target,
          guards: { ...target.guards, protect: ["eve@*", "ada"] },
        }));
        const { changes } = compare({ ...scene, wanted, allow, people: [person("ada")] });
        const after = applyTo(scene.there, changes);
        for (const { id } of scene.there) {
          const [was, is] = [rolesThere(scene.there, id), rolesThere(after, id)];
          for (const account of ["@eve", "@ada"]) {
            const [old, now] = [was.get(account), is.get(account)];
            if (old)
              expect(ROLES.indexOf(now?.role ?? "member"), `${account} in ${id}`).toBeGreaterThanOrEqual(
                ROLES.indexOf(old.role),
              );
            if (old) expect(now).toBeDefined();
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it("a role with room for one has one holder afterwards, and a protected holder keeps it", () => {
    fc.assert(
      fc.property(guarded, (scene) => {
        const there = scene.there.filter(
          (each) => each.members.filter((row) => member(row).role === "manager").length <= 1,
        );
        const { changes } = compare({ ...scene, there, capabilities: oneManager });
        for (const { members } of applyTo(there, changes)) {
          expect(members.filter((each) => member(each).role === "manager").length).toBeLessThanOrEqual(1);
        }
      }),
      { numRuns: 300 },
    );
  });

  it("no loss goes on the word of an incomplete reading, whatever is acknowledged", () => {
    fc.assert(
      fc.property(world(), fc.subarray(ALLOW_ALL), fc.constantFrom(...GROUPS), (scene, allow, id) => {
        const there = scene.there.map((each) => (each.name === id ? { ...each, incomplete: "page 2 failed" } : each));
        const { changes } = compare({ ...scene, there, allow });
        expect(changes.filter((change) => change.group === id && isLoss(change))).toEqual([]);
      }),
    );
  });

  it("no loss goes in a group that wants someone unresolved", () => {
    const states: readonly Resolution[] = (["missing", "ambiguous", "unpinned"] as const).map((state) => ({
      state,
      reason: "r",
    }));
    fc.assert(
      fc.property(guarded, fc.constantFrom(...PEOPLE), fc.constantFrom(...states), (scene, who, resolution) => {
        const { changes, diffs } = compare({ ...scene, resolutions: { [who]: resolution } });
        for (const { target, unresolved } of diffs) {
          if (!unresolved.includes(who) || target.absent) continue;
          expect(changes.filter((change) => change.group === target.group && isLoss(change))).toEqual([]);
        }
      }),
    );
  });

  it("additive mode takes nothing from anybody", () => {
    fc.assert(
      fc.property(world({ allow: ALLOW_ALL }), (scene) => {
        const wanted = scene.wanted.map((target) => ({ ...target, mode: "additive" as const, absent: false }));
        expect(compare({ ...scene, wanted }).changes.filter(isLoss)).toEqual([]);
      }),
    );
  });

  it("with --no-removals nothing is taken from anybody", () => {
    fc.assert(
      fc.property(guarded, fc.subarray(ALLOW_ALL), (scene, allow) => {
        expect(compare({ ...scene, allow, removals: false }).changes.filter(isLoss)).toEqual([]);
      }),
    );
  });

  it("a group, a provider and a run never lose more than the limits let them", () => {
    fc.assert(
      fc.property(guarded, (scene) => {
        const { changes } = compare(scene);
        const check = (id: string | undefined, { maxRemovals }: GuardSettings) => {
          const readable = scene.there.filter((each) => id === undefined || each.name === id);
          const members = readable.reduce((sum, each) => sum + each.members.length, 0);
          const removed = changes.filter(
            (change) => change.type === "member.remove" && (id ?? change.group) === change.group,
          ).length;
          expect(removed).toBeLessThanOrEqual(maxRemovals.count);
          if (removed > 1) expect(removed * 100).toBeLessThanOrEqual(maxRemovals.percent * members);
        };
        for (const target of scene.wanted) check(target.group, target.guards);
        check(undefined, scene.providerGuards ?? noLimits);
        check(undefined, scene.runGuards ?? noLimits);
      }),
      { numRuns: 300 },
    );
  });
});
