import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Resolution } from "../../../src/identity.js";
import type { Change, GuardSettings, HeldChange, Member, Role, Target } from "../../../src/model.js";
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
      mode: fc.constantFrom<Target["mode"][]>("authoritative", "additive"),
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
        mode,
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
const rank = (role: Role | undefined) => (role === undefined ? -1 : ROLES.indexOf(role));
const membersOf = (group: Actual | undefined) =>
  new Map(group?.members.map((each) => [member(each).account, member(each)]));

/** Says in its own words what should be so of one target; the code under test says it in others. */
function desiredOf(
  target: Target,
  before: Actual | undefined,
  capabilities: Capabilities,
): Record<string, Role> | undefined {
  if (target.absent) return undefined;
  const was = membersOf(before);
  const listed = new Map(
    target.members
      .filter(({ until }) => until === undefined || until >= TODAY)
      .map((each) => [`@${each.person}`, effectiveRole(each.role, capabilities)]),
  );
  const desired: [string, Role][] = [];
  for (const account of new Set([...was.keys(), ...listed.keys()])) {
    const wanted = listed.get(account);
    const old = was.get(account);
    const mayLose =
      target.mode !== "additive" && old !== undefined && (old.role === "member" || target.managed[old.role]);
    const lowered = wanted !== undefined && old !== undefined && rank(wanted) < rank(old.role);
    let role: Role | undefined;
    if (wanted === undefined) {
      if (!mayLose) role = old?.role;
      else if (!old.direct) role = old.role === "member" ? "member" : undefined;
      else if (target.managed.member) role = undefined;
      else role = old.state === "pending" ? old.role : "member";
    } else if (old?.state === "pending") role = old.role;
    else role = lowered && !mayLose ? old.role : wanted;
    if (role) desired.push([account, role]);
  }
  return Object.fromEntries(desired);
}

function rolesOf(group: Actual | undefined): Record<string, Role> | undefined {
  return group && Object.fromEntries([...membersOf(group)].map(([account, { role }]) => [account, role]));
}

describe("when nothing is held", () => {
  it("applying all changes gives what is wanted, and leaves everything else alone", () => {
    fc.assert(
      fc.property(world({ allow: ALLOW_ALL }), (scene) => {
        const { changes, held } = compare(scene);
        // Where a role has room for one, additive mode takes it from nobody: the only thing that no word releases.
        const additive = new Set(scene.wanted.filter(({ mode }) => mode === "additive").map(({ group: id }) => id));
        const isRoom = (each: HeldChange) => scene.capabilities === oneManager && additive.has(each.group);
        expect(held.filter((each) => each.guard !== "role-loss" || !isRoom(each))).toEqual([]);
        const after = applyTo(scene.there, changes);
        for (const target of scene.wanted) {
          const find = (groups: readonly Actual[]) =>
            groups.find(({ id }) => id === `id-${target.group}` || id === `id-${target.name}`);
          // A pinned group that is not there is a problem, not a wish. Who displaces whom is a test of its own.
          const isWish = target.groupId === undefined || find(scene.there) !== undefined;
          if (!isWish || (scene.capabilities === oneManager && target.mode === "additive")) continue;
          const desired = desiredOf(target, find(scene.there), scene.capabilities ?? everything);
          const { name, description } = find(after) ?? {};
          expect(rolesOf(find(after))).toEqual(desired);
          expect(name).toBe(target.absent ? undefined : target.name);
          expect(description ?? "").toBe(
            (target.absent ? undefined : target.description) ?? find(scene.there)?.description ?? "",
          );
        }
      }),
      { numRuns: 250 },
    );
  });

  it("a second comparison finds nothing", () => {
    fc.assert(
      fc.property(world({ allow: ALLOW_ALL }), (scene) => {
        const first = compare(scene);
        const second = compare({ ...scene, there: applyTo(scene.there, first.changes) });
        const held = new Set(first.held.map(line));
        expect(second.wishes.filter((wished) => !held.has(wished))).toEqual([]);
        expect(second.problems).toEqual(first.problems);
      }),
      { numRuns: 250 },
    );
  });
});

describe("whatever the guards say", () => {
  it("every wish either goes or is held, and a second run only finds what was held", () => {
    fc.assert(
      fc.property(guarded, (scene) => {
        const { changes, held, wishes } = compare(scene);
        // An addition whose role has no room goes without it, and the role is held: one wish becomes two lines.
        const kept = [...changes, ...held].map(line).filter((text) => wishes.includes(text));
        const split = wishes.filter((text) => !kept.includes(text));
        expect(kept.length + split.length).toBe(wishes.length);
        expect(changes.length + held.length).toBe(wishes.length + split.length);
        expect(split.filter((text) => !text.endsWith(" as manager"))).toEqual([]);
        expect(scene.capabilities === oneManager ? [] : split).toEqual([]);
        const again = compare({ ...scene, there: applyTo(scene.there, changes) });
        const before = new Set(held.map(line));
        expect(again.wishes.filter((wished) => !before.has(wished))).toEqual([]);
      }),
      { numRuns: 250 },
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
      { numRuns: 150 },
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
      { numRuns: 150 },
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
        const lost = scene.there.flatMap((group) => {
          const is = membersOf(after.find(({ id }) => id === group.id));
          return [...membersOf(group)].filter(
            ([account, { role }]) => ["@eve", "@ada"].includes(account) && rank(is.get(account)?.role) < rank(role),
          );
        });
        expect(lost).toEqual([]);
      }),
      { numRuns: 150 },
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
      { numRuns: 150 },
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
        const isWithin = (id: string | undefined, { maxRemovals }: GuardSettings) => {
          const readable = scene.there.filter((each) => id === undefined || each.name === id);
          const members = readable.reduce((sum, each) => sum + each.members.length, 0);
          const removed = changes.filter(
            (change) => change.type === "member.remove" && (id ?? change.group) === change.group,
          ).length;
          return removed <= maxRemovals.count && (removed <= 1 || removed * 100 <= maxRemovals.percent * members);
        };
        expect(scene.wanted.filter((target) => !isWithin(target.group, target.guards))).toEqual([]);
        expect(isWithin(undefined, scene.providerGuards ?? noLimits)).toBe(true);
        expect(isWithin(undefined, scene.runGuards ?? noLimits)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});
