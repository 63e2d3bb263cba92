/** The part of the conformance suite that writes: groups, members, roles, and what goes wrong with them. */
// The expectations stand in the helpers of the scene, and what a capability excludes is expected to be refused instead.
/* oxlint-disable vitest/expect-expect, vitest/no-conditional-expect */
import { describe, expect, it } from "vitest";
import type { Group, MemberEdit, Role } from "../model.js";
import { ABOVE_ROLES } from "../model.js";
import { createCallContext } from "../provider.js";
import {
  editsOf,
  everybodyOf,
  LOCAL,
  plain,
  replaceRoles,
  type Scene,
  type Scenery,
  sortWanted,
  strangeIds,
  type Wanted,
  wantedOf,
  without,
} from "./scene.js";

/** Each is stored as it is: a name is text, whatever else it looks like. */
const names = [
  "Équipe de nuit – Ω, 夜勤 ✓",
  "مجموعة المناوبة",
  "../../admin",
  "..",
  "a/b\\c?d=e&f#g%2Fh",
  "<b>bold</b> & 'single' \"double\"",
  "comma, semicolon; pipe|",
  `{{name}} \${name} %s`,
  "null",
] as const;

/** Making, renaming, describing and deleting groups. */
export function describeGroupWrites(scene: Scenery): void {
  describe("groups", () => {
    it("are made empty, without adding anyone but ourselves, or not at all", async () => {
      const { world, capabilities, apply, expectRefused } = scene();
      const batch = { kind: "group.create", name: "Made here", add: [] } as const;
      if (!capabilities.groups.create.value) {
        await expectRefused(() => apply(batch));
        expect(await world.groups()).toEqual([]);
        return;
      }
      const { group } = await apply(batch);
      expect(group).toMatchObject({ name: "Made here", kind: "plain" });
      await expectNewMembers(scene(), group, "Made here", []);
    });

    it("are made with first members as far as declared", async () => {
      const { world, capabilities, accounts, apply, expectRefused } = scene();
      const most = capabilities.groups.create.value ? capabilities.groups.membersOnCreate.value : 0;
      for (const count of new Set([1, most - 1, most])) {
        if (count < 1 || count > most || count > world.people.length) continue;
        const name = `Made with ${count}`;
        const { group } = await apply({ kind: "group.create", name, add: editsOf(accounts(count)) });
        await expectNewMembers(scene(), group, name, plain(accounts(count)));
      }
      const before = await world.groups();
      const tooMany = accounts(most + 1);
      if (tooMany.length > most) {
        await expectRefused(() => apply({ kind: "group.create", name: "Too full", add: editsOf(tooMany) }), LOCAL);
      }
      expect(await world.groups()).toEqual(before);
    });

    it("are renamed, keeping their members, or not at all", async () => {
      const { world, capabilities, accounts, apply, refTo, readGroup, eventually, expectRefused, expectMembers } =
        scene();
      const groupId = await world.addGroup("Old name", accounts(2));
      const base = await everybodyOf(scene(), groupId);
      const batch = { kind: "group.update", group: await refTo(groupId), name: "New name" } as const;
      if (!capabilities.groups.rename.value) {
        await expectRefused(() => apply(batch));
        expect((await world.groups()).map(({ name }) => name)).toEqual(["Old name"]);
        return;
      }
      await apply(batch);
      await eventually(async () => expect((await readGroup(groupId)).group.name).toBe("New name"));
      expect((await world.groups()).map(({ name }) => name)).toEqual(["New name"]);
      await expectMembers(groupId, base);
    });

    it("get a description when made and later, or refuse one", async () => {
      const { world, capabilities, apply, refTo, readGroup, eventually, expectRefused } = scene();
      const groupId = await world.addGroup("Described");
      const update = { kind: "group.update", group: await refTo(groupId), description: "Über 夜" } as const;
      const create = { kind: "group.create", name: "Described from the start", description: "First", add: [] } as const;
      if (!capabilities.groups.description.value) {
        await expectRefused(() => apply(update));
        await expectRefused(() => apply(create));
        expect(await world.groups()).toHaveLength(1);
        return;
      }
      await apply(update);
      await eventually(async () => {
        expect((await readGroup(groupId)).group).toMatchObject({ name: "Described", description: "Über 夜" });
      });
      if (!capabilities.groups.create.value) return;
      const { group } = await apply(create);
      await eventually(async () => {
        expect((await readGroup(group?.id ?? "")).group).toMatchObject({ description: "First" });
      });
    });

    it("are deleted alone, also when asked twice, or not at all", async () => {
      const { world, capabilities, accounts, apply, refTo, readGroup, listGroups, eventually, expectRefused } = scene();
      const other = await world.addGroup("Stays", accounts(2));
      const groupId = await world.addGroup("Goes", accounts(2));
      const stays = await scene().trueGroup(other);
      const batch = { kind: "group.delete", group: await refTo(groupId) } as const;
      if (!capabilities.groups.delete.value) {
        await expectRefused(() => apply(batch));
        expect(await world.groups()).toHaveLength(2);
        return;
      }
      await apply(batch);
      await eventually(async () => {
        expect((await listGroups()).groups.map(({ id }) => id)).toEqual([other]);
        expect((await scene().failureOf(() => readGroup(groupId))).code).toBe("not-found");
      });
      const again = await scene().outcomeOf(() => apply(batch));
      if (again) expect(again.code).toBe("not-found");
      expect(await world.groups()).toEqual([stays]);
    });

    it.each(names)("keep the name %j as it is", async (name) => {
      const { world, capabilities, apply, refTo, listGroups, eventually, expectRefused } = scene();
      const { create, rename } = capabilities.groups;
      const groupId = await world.addGroup("Plain name");
      const renaming = { kind: "group.update", group: await refTo(groupId), name } as const;
      const wanted = ["Plain name"];
      if (create.value) {
        await apply({ kind: "group.create", name, add: [] });
        wanted.push(name);
      } else await expectRefused(() => apply({ kind: "group.create", name, add: [] }));
      if (!rename.value) await expectRefused(() => apply(renaming));
      // Two groups of one name may not be allowed; the longer name is as strange as this one.
      const longer = create.value ? `${name} 2` : name;
      if (rename.value) {
        await apply({ ...renaming, name: longer });
        wanted[0] = longer;
      }
      await eventually(async () => {
        const { groups } = await listGroups();
        expect(groups.map((group) => group.name).toSorted()).toEqual(wanted.toSorted());
      });
      expect((await world.groups()).map((group) => group.name)).toEqual(wanted);
    });

    it("keep an emoji in their name, or refuse it before anything is done", async () => {
      const { world, apply, outcomeOf } = scene();
      const error = await outcomeOf(() => apply({ kind: "group.create", name: "🦉 Night owls", add: [] }));
      const expected = error ? [] : ["🦉 Night owls"];
      expect((await world.groups()).map(({ name }) => name)).toEqual(expected);
      if (error) expect(["refused", ...LOCAL]).toContain(error.code);
    });

    it("keep a name of 2,000 characters, or refuse it and stay as they are", async () => {
      const { world, apply, refTo, outcomeOf } = scene();
      const long = "x".repeat(2_000);
      const groupId = await world.addGroup("Short");
      const renaming = { kind: "group.update", group: await refTo(groupId), name: `${long} 2` } as const;
      const refusals = [
        await outcomeOf(() => apply(renaming)),
        await outcomeOf(() => apply({ kind: "group.create", name: long, add: [] })),
      ];
      const expected = [refusals[0] ? "Short" : `${long} 2`, ...(refusals[1] ? [] : [long])];
      expect((await world.groups()).map(({ name }) => name)).toEqual(expected);
    });

    it.each(["", "   "])("never get the empty name %j", async (name) => {
      const { world, apply, refTo, expectRefused } = scene();
      const groupId = await world.addGroup("Has a name");
      const group = await refTo(groupId);
      await expectRefused(() => apply({ kind: "group.create", name, add: [] }), LOCAL);
      await expectRefused(() => apply({ kind: "group.update", group, name }), LOCAL);
      expect((await world.groups()).map((each) => each.name)).toEqual(["Has a name"]);
    });

    it("of one name are two, or the second is refused and the first untouched", async () => {
      const { world, capabilities, accounts, apply, outcomeOf, expectRefused } = scene();
      const first = await world.addGroup("Twice", accounts(2));
      const before = await scene().trueGroup(first);
      const batch = { kind: "group.create", name: "Twice", add: [] } as const;
      if (!capabilities.groups.create.value) await expectRefused(() => apply(batch));
      else {
        const error = await outcomeOf(() => apply(batch));
        expect(error === undefined).toBe(capabilities.groups.duplicateNames.value);
        expect(await world.groups()).toHaveLength(error ? 1 : 2);
      }
      expect(await scene().trueGroup(first)).toEqual(before);
    });

    it.each(strangeIds)("are left alone by changes to the id %j", async (id) => {
      const { world, accounts, apply, failureOf } = scene();
      await world.addGroup("Real", accounts(2));
      const before = await world.groups();
      const group = { id, name: "Real" };
      await failureOf(() => apply({ kind: "group.delete", group }));
      await failureOf(() => apply({ kind: "group.update", group, name: "Elsewhere" }));
      await failureOf(() =>
        apply({ kind: "members", groups: [group], add: editsOf(accounts(1, 5)), update: [], remove: [] }),
      );
      expect(await world.groups()).toEqual(before);
    });
  });
}

/** The members of a group just made: those wanted, and at most the account that made it. */
async function expectNewMembers(
  { provider, world, expectMembers, eventually, listGroups }: Scene,
  group: Group | undefined,
  name: string,
  wanted: readonly Wanted[],
): Promise<void> {
  await world.settle?.();
  const truth = (await world.groups()).find((each) => each.name === name);
  expect(group?.id, "the answer names the new group").toBe(truth?.id);
  const accounts = new Set(wanted.map(([account]) => account));
  const extra = (truth?.members ?? []).filter(({ account }) => !accounts.has(account));
  const { ownAccount } = await provider.checkAccess(createCallContext());
  for (const { account } of extra) expect(account, "nobody but the account that made it").toBe(ownAccount);
  await expectMembers(truth?.id ?? "", [...wanted, ...extra.map(wantedOf)]);
  await eventually(async () => {
    expect((await listGroups()).groups.filter((each) => each.name === name)).toHaveLength(1);
  });
}

/** One less than a cap, the cap; what is not a number of people is left out. */
function countsUpTo(cap: number): readonly number[] {
  return [...new Set([1, cap - 1, cap])].filter((count) => count > 0);
}

/** Adding and removing plain members, up to the caps. */
export function describeMemberWrites(scene: Scenery): void {
  describe("members", () => {
    it("are added one, one less than the cap and the cap at once", async () => {
      const { world, capabilities, accounts, apply, members, expectMembers } = scene();
      for (const count of countsUpTo(capabilities.add.accountsPerCall.value)) {
        const groupId = await world.addGroup(`Add ${count}`, accounts(1));
        const base = await everybodyOf(scene(), groupId);
        const newcomers = accounts(count, 1);
        const { members: told } = await apply(await members(groupId, { add: editsOf(newcomers) }));
        const wanted = [...base, ...plain(newcomers)];
        if (told) {
          // Where the answer shows the membership, it shows it whole; who is only invited may not be in it yet.
          const invited = capabilities.invitations.value ? newcomers : [];
          const shown = without(told.map(wantedOf), invited);
          expect(sortWanted(shown)).toEqual(sortWanted(without(wanted, invited)));
        }
        await expectMembers(groupId, wanted);
      }
    });

    it("are never added more than the cap at once: nothing is sent", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const groupId = await world.addGroup("Too many");
      const base = await everybodyOf(scene(), groupId);
      const tooMany = await members(groupId, { add: editsOf(accounts(capabilities.add.accountsPerCall.value + 1)) });
      await expectRefused(() => apply(tooMany), LOCAL);
      await expectMembers(groupId, base);
    });

    it("are removed one, one less than the cap and the cap at once, and nobody else", async () => {
      const { world, capabilities, accounts, apply, members, expectMembers } = scene();
      for (const count of countsUpTo(capabilities.remove.accountsPerCall.value)) {
        const groupId = await world.addGroup(`Remove ${count}`, accounts(count + 1));
        const base = await everybodyOf(scene(), groupId);
        const leaving = accounts(count);
        await apply(await members(groupId, { remove: editsOf(leaving) }));
        await expectMembers(groupId, without(base, leaving));
      }
    });

    it("are never removed more than the cap at once: nothing is sent", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const everybody = accounts(capabilities.remove.accountsPerCall.value + 1);
      const groupId = await world.addGroup("All of them", everybody);
      const base = await everybodyOf(scene(), groupId);
      const tooMany = await members(groupId, { remove: editsOf(everybody) });
      await expectRefused(() => apply(tooMany), LOCAL);
      await expectMembers(groupId, base);
    });

    it("go to the last one when asked", async () => {
      const { world, accounts, apply, members, expectMembers } = scene();
      const groupId = await world.addGroup("Emptied", accounts(3));
      const base = without(await everybodyOf(scene(), groupId), accounts(3));
      await apply(await members(groupId, { remove: editsOf(accounts(3)) }));
      await expectMembers(groupId, base);
    });

    it("who are members already are members once, and stay what they are", async () => {
      const { world, accounts, apply, members, outcomeOf, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Again", [first, second]);
      const base = await everybodyOf(scene(), groupId);
      await outcomeOf(async () => apply(await members(groupId, { add: editsOf([first]) })));
      await expectMembers(groupId, base);
      const error = await outcomeOf(async () => apply(await members(groupId, { add: editsOf([second, third]) })));
      await expectSubset(scene(), groupId, base, [third]);
      if (!error) await expectMembers(groupId, [...base, [third, "member"]]);
    });

    it("who are no members cannot be removed, and take nobody with them", async () => {
      const { world, accounts, apply, members, outcomeOf, expectMembers } = scene();
      const [first = "", second = "", stranger = ""] = accounts(3);
      const groupId = await world.addGroup("Absent", [first, second]);
      const base = await everybodyOf(scene(), groupId);
      await outcomeOf(async () => apply(await members(groupId, { remove: editsOf([stranger]) })));
      await expectMembers(groupId, base);
      const error = await outcomeOf(async () => apply(await members(groupId, { remove: editsOf([first, stranger]) })));
      await expectSubset(scene(), groupId, without(base, [first]), [first]);
      if (!error) await expectMembers(groupId, without(base, [first]));
    });

    it("are as wanted when a batch is repeated, as after an answer that was lost", async () => {
      const { world, accounts, apply, members, outcomeOf, expectMembers } = scene();
      const groupId = await world.addGroup("Repeated", accounts(2));
      const base = await everybodyOf(scene(), groupId);
      const add = await members(groupId, { add: editsOf(accounts(3, 2)) });
      await apply(add);
      await outcomeOf(() => apply(add));
      await expectMembers(groupId, [...base, ...plain(accounts(3, 2))]);
      const remove = await members(groupId, { remove: editsOf(accounts(2)) });
      await apply(remove);
      await outcomeOf(() => apply(remove));
      await expectMembers(groupId, [...without(base, accounts(2)), ...plain(accounts(3, 2))]);
    });

    it("of several groups are changed at the same time without mixing them up", async () => {
      const { world, accounts, apply, members, expectMembers } = scene();
      const made = [];
      for (const index of [0, 1, 2]) {
        const groupId = await world.addGroup(`At once ${index}`, accounts(2));
        made.push({ groupId, base: await everybodyOf(scene(), groupId), newcomer: accounts(1, 3 + index) });
      }
      await Promise.all(
        made.map(async ({ groupId, newcomer }) => apply(await members(groupId, { add: editsOf(newcomer) }))),
      );
      for (const { groupId, base, newcomer } of made) await expectMembers(groupId, [...base, ...plain(newcomer)]);
    });

    it("stay as they are when a batch says nothing", async () => {
      const { provider, world, accounts, members, callsDuring, outcomeOf, expectMembers } = scene();
      const groupId = await world.addGroup("Nothing to do", accounts(2));
      const base = await everybodyOf(scene(), groupId);
      const nothing = await members(groupId, {});
      const calls = await callsDuring((context) => outcomeOf(() => provider.applyBatch(nothing, context)));
      expect(calls.filter(({ effect }) => effect === "write")).toEqual([]);
      await expectMembers(groupId, base);
    });

    it("who joined or left by someone else's hand are kept as that someone left them", async () => {
      const { world, accounts, apply, members, expectMembers } = scene();
      const [first = "", second = "", third = "", fourth = ""] = accounts(4);
      const groupId = await world.addGroup("Two writers", [first, second]);
      const base = await everybodyOf(scene(), groupId);
      const batch = await members(groupId, { add: editsOf([fourth]) });
      await world.addMember(groupId, third);
      await world.removeMember(groupId, first);
      await apply(batch);
      await expectMembers(groupId, [...without(base, [first]), [third, "member"], [fourth, "member"]]);
    });
  });
}

/** Nobody of `kept` is gone, and nobody is there besides them and `possible`; the provider reads just that. */
async function expectSubset(
  { world, trueGroup, expectMembers }: Scene,
  groupId: string,
  kept: readonly Wanted[],
  possible: readonly string[],
): Promise<void> {
  await world.settle?.();
  const truth = (await trueGroup(groupId)).members.map(wantedOf);
  expect(sortWanted(without(truth, possible))).toEqual(sortWanted(without(kept, possible)));
  await expectMembers(groupId, truth);
}

/** Roles above plain membership: given, handed on, taken away. */
export function describeRoles(scene: Scenery): void {
  describe.each(ABOVE_ROLES)("the role %s", (role) => {
    it("is given with the membership, or refused", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const [first = "", second = ""] = accounts(2);
      const groupId = await world.addGroup("Given", [first]);
      const base = await everybodyOf(scene(), groupId);
      const batch = await members(groupId, { add: editsOf([second], role) });
      if (capabilities.roles[role]) await apply(batch);
      else await expectRefused(() => apply(batch));
      await expectMembers(groupId, capabilities.roles[role] ? [...base, [second, role]] : base);
    });

    it("is given to a member, or refused", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const [first = "", second = ""] = accounts(2);
      const groupId = await world.addGroup("Raised", [first, second]);
      const base = await everybodyOf(scene(), groupId);
      const batch = await members(groupId, { update: [{ account: first, role, previousRole: "member" }] });
      if (capabilities.roles[role]) await apply(batch);
      else await expectRefused(() => apply(batch));
      await expectMembers(groupId, capabilities.roles[role] ? replaceRoles(base, [[first, role]]) : base);
    });

    it("is handed on in one batch, or refused", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Handed on", [first, second, third]);
      if (capabilities.roles[role]) await world.addMember(groupId, first, role);
      const base = await everybodyOf(scene(), groupId);
      const batch = await members(groupId, {
        update: [
          { account: second, role, previousRole: "member" },
          { account: first, role: "member", previousRole: role },
        ],
      });
      if (capabilities.roles[role]) await apply(batch);
      else await expectRefused(() => apply(batch));
      await expectMembers(
        groupId,
        capabilities.roles[role]
          ? replaceRoles(base, [
              [first, "member"],
              [second, role],
            ])
          : base,
      );
    });

    it("is given besides others, or goes over from its only holder, who stays a member", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Given over", [first, second, third]);
      const capability = capabilities.roles[role];
      if (capability) await world.addMember(groupId, first, role);
      const base = await everybodyOf(scene(), groupId);
      const batch = await members(groupId, { update: [{ account: second, role, previousRole: "member" }] });
      if (!capability) {
        await expectRefused(() => apply(batch));
        await expectMembers(groupId, base);
        return;
      }
      await apply(batch);
      const former: Role = capability.max.value === 1 ? "member" : role;
      await expectMembers(
        groupId,
        replaceRoles(base, [
          [first, former],
          [second, role],
        ]),
      );
    });

    it("is taken away without the membership where that is declared, and never takes the membership with it", async () => {
      const { world, capabilities, accounts, apply, members, outcomeOf, expectRefused, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Taken away", [first, second, third]);
      const base = await holdRole(scene(), groupId, role, [first, second]);
      const batch = await members(groupId, { update: [{ account: first, role: "member", previousRole: role }] });
      const capability = capabilities.roles[role];
      if (!capability) {
        // Nobody holds the role, so there is nothing to take; whether that is refused is open.
        await outcomeOf(() => apply(batch));
        await expectMembers(groupId, base);
        await expectRefused(async () => apply(await members(groupId, { add: editsOf(accounts(1, 4), role) })));
        return;
      }
      const error = await outcomeOf(() => apply(batch));
      if (capability.clearable.value) expect(error).toBeUndefined();
      await expectMembers(groupId, error ? base : replaceRoles(base, [[first, "member"]]));
    });

    it("goes to as many as may hold it, and to no more: nothing is sent", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const most = capabilities.roles[role] ? (capabilities.roles[role].max.value ?? 3) : 0;
      const groupId = await world.addGroup("Many holders", accounts(1));
      const base = await everybodyOf(scene(), groupId);
      const room = Math.min(most, 3, capabilities.add.accountsPerCall.value);
      const holders = accounts(room, 1);
      if (holders.length > 0) await apply(await members(groupId, { add: editsOf(holders, role) }));
      const wanted: readonly Wanted[] = [...base, ...holders.map((account): Wanted => [account, role])];
      await expectMembers(groupId, wanted);
      const limited = !capabilities.roles[role] || capabilities.roles[role].max.value !== null;
      const tooMany = await members(groupId, { add: editsOf(accounts(most + 1, 5), role) });
      if (limited) await expectRefused(() => apply(tooMany), LOCAL);
      await expectMembers(groupId, wanted);
    });

    it("goes with the membership of who is removed", async () => {
      const { world, capabilities, accounts, apply, members, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Gone with it", [first, second, third]);
      const base = await holdRole(scene(), groupId, role, [first, second]);
      const held = capabilities.roles[role] ? role : "member";
      await apply(await members(groupId, { remove: [{ account: first, role: held }] }));
      await expectMembers(groupId, without(base, [first]));
    });
  });
}

/** Gives the role to as many of the accounts as may hold it, where there is such a role. Returns who is there then. */
async function holdRole(
  current: Scene,
  groupId: string,
  role: "manager" | "owner",
  accounts: readonly string[],
): Promise<readonly Wanted[]> {
  const capability = current.capabilities.roles[role];
  const most = capability ? (capability.max.value ?? accounts.length) : 0;
  for (const account of accounts.slice(0, most)) await current.world.addMember(groupId, account, role);
  return everybodyOf(current, groupId);
}

/** What goes together in one batch: kinds of edits, groups, versions. */
export function describeMixtures(scene: Scenery): void {
  describe("one batch", () => {
    it("adds, changes and removes together, or is refused whole", async () => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const [first = "", second = "", third = "", newcomer = ""] = accounts(4);
      const groupId = await world.addGroup("Mixed", [first, second, third]);
      const base = await everybodyOf(scene(), groupId);
      const role = ABOVE_ROLES.find((each) => capabilities.roles[each]);
      const update: readonly MemberEdit[] = role ? [{ account: second, role, previousRole: "member" }] : [];
      const batch = await members(groupId, { add: editsOf([newcomer]), update, remove: editsOf([first]) });
      if (!capabilities.mixed.value) {
        await expectRefused(() => apply(batch));
        await expectMembers(groupId, base);
        return;
      }
      await apply(batch);
      const raised = role ? replaceRoles(base, [[second, role]]) : base;
      await expectMembers(groupId, [...without(raised, [first]), [newcomer, "member"]]);
    });

    it.each(["add", "remove"] as const)("can %s people in as many groups as declared, and in no more", async (verb) => {
      const { world, capabilities, accounts, apply, members, expectRefused, expectMembers } = scene();
      const most = capabilities[verb].groupsPerCall.value;
      const people = accounts(Math.min(2, capabilities[verb].accountsPerCall.value));
      const groupIds: string[] = [];
      while (groupIds.length <= most) {
        groupIds.push(
          await world.addGroup(`Many ${groupIds.length}`, [...accounts(1, 5), ...(verb === "remove" ? people : [])]),
        );
      }
      const before = await world.groups();
      await expectRefused(async () => apply(await members(groupIds, { [verb]: editsOf(people) })), LOCAL);
      expect(await world.groups()).toEqual(before);
      const together = groupIds.slice(0, most);
      await apply(await members(together, { [verb]: editsOf(people) }));
      for (const { id, members: were } of before) {
        const base = were.map(wantedOf);
        const changed = verb === "add" ? [...base, ...plain(people)] : without(base, people);
        // Reading a few is enough: the truth is looked at for all of them.
        if (id === groupIds[0] || id === groupIds[most - 1] || id === groupIds[most]) {
          await expectMembers(id, together.includes(id) ? changed : base);
        }
        const truth = await everybodyOf(scene(), id);
        expect(sortWanted(truth)).toEqual(sortWanted(together.includes(id) ? changed : base));
      }
    });

    it("with a version that is not current is a conflict and changes nothing, where there are versions", async () => {
      const { world, capabilities, accounts, apply, members, readGroup, failureOf, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Versioned", [first]);
      const base = await everybodyOf(scene(), groupId);
      const { group } = await readGroup(groupId);
      expect(group.version !== undefined).toBe(capabilities.versions.value);
      await world.addMember(groupId, second);
      const batch = await members(groupId, { add: editsOf([third]) });
      const wanted: readonly Wanted[] = [...base, [second, "member"]];
      if (!capabilities.versions.value || batch.kind !== "members") {
        await apply(batch);
        await expectMembers(groupId, [...wanted, [third, "member"]]);
        return;
      }
      const withVersion = (version: string | undefined) => ({
        ...batch,
        groups: batch.groups.map((ref) => ({ ...ref, ...(version !== undefined && { version }) })),
      });
      const error = await failureOf(() => apply(withVersion(group.version)));
      expect(error.code).toBe("conflict");
      const fresh = await expectMembers(groupId, wanted);
      await apply(withVersion(fresh.group.version));
      await expectMembers(groupId, [...wanted, [third, "member"]]);
    });
  });
}

/** Invitations, where adding someone only invites them. */
export function describeInvitations(scene: Scenery): void {
  describe("invitations", () => {
    it("are what an addition makes, once per person, or there are none", async () => {
      const {
        world,
        capabilities,
        accounts,
        apply,
        members,
        readGroup,
        trueGroup,
        outcomeOf,
        eventually,
        expectMembers,
      } = scene();
      const [first = "", second = ""] = accounts(2);
      const groupId = await world.addGroup("Invited", [first]);
      const base = await everybodyOf(scene(), groupId);
      const invite = await members(groupId, { add: editsOf([second]) });
      await apply(invite);
      const state = capabilities.invitations.value ? "pending" : "active";
      await eventually(async () => {
        const { members: read } = await readGroup(groupId);
        const member = read.find(({ account }) => account === second);
        expect(member).toMatchObject({ role: "member", state });
        expect(member?.invitation !== undefined).toBe(capabilities.invitations.value);
      });
      await outcomeOf(() => apply(invite));
      expect((await trueGroup(groupId)).invited).toEqual(capabilities.invitations.value ? [second] : []);
      await expectMembers(groupId, [...base, [second, "member"]]);
    });

    it("are withdrawn without touching anyone else, or refused", async () => {
      const {
        world,
        capabilities,
        accounts,
        apply,
        members,
        readGroup,
        trueGroup,
        eventually,
        expectRefused,
        expectMembers,
      } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Withdrawn", [first]);
      const base = await everybodyOf(scene(), groupId);
      if (!capabilities.invitations.value) {
        const edit: MemberEdit = { account: first, role: "member", invitation: "1" };
        await expectRefused(async () => apply(await members(groupId, { remove: [edit] })));
        await expectMembers(groupId, base);
        return;
      }
      await apply(await members(groupId, { add: editsOf([second, third]) }));
      const invitation = await eventually(async () => {
        const { members: read } = await readGroup(groupId);
        const pending = read.filter(({ state }) => state === "pending");
        expect(pending.map(({ account }) => account).toSorted()).toEqual([second, third].toSorted());
        return pending.find(({ account }) => account === second)?.invitation ?? "";
      });
      await apply(await members(groupId, { remove: [{ account: second, role: "member", invitation }] }));
      expect((await trueGroup(groupId)).invited).toEqual([third]);
      await expectMembers(groupId, [...base, [third, "member"]]);
    });

    it("carry the role that was wanted", async () => {
      const { world, capabilities, accounts, apply, members, expectMembers } = scene();
      const [first = "", second = ""] = accounts(2);
      const groupId = await world.addGroup("Invited to lead", [first]);
      const base = await everybodyOf(scene(), groupId);
      const role = ABOVE_ROLES.find((each) => capabilities.roles[each]) ?? "member";
      await apply(await members(groupId, { add: editsOf([second], role) }));
      await expectMembers(groupId, [...base, [second, role]]);
    });
  });
}

/** Wrong batches: they must not cost anyone else their membership. */
export function describeMishaps(scene: Scenery): void {
  describe("when something is wrong with a batch", () => {
    it.each(["add", "remove"] as const)("an unknown account to %s changes nobody else's membership", async (verb) => {
      const { world, accounts, apply, members, outcomeOf } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Unknown", [first, second]);
      const base = await everybodyOf(scene(), groupId);
      const concerned = verb === "add" ? [third] : [second];
      const batch = await members(groupId, { [verb]: editsOf([...concerned, world.unknownAccount]) });
      await outcomeOf(() => apply(batch));
      await expectSubset(scene(), groupId, base, concerned);
    });

    it("an account that is switched off takes nobody else's place", async () => {
      const { world, accounts, apply, members, outcomeOf } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      for (const [index, status] of world.statuses.entries()) {
        const [off = ""] = accounts(1, 3 + index);
        const groupId = await world.addGroup(`Switched off: ${status}`, [first, second]);
        const base = await everybodyOf(scene(), groupId);
        await world.setStatus(off, status);
        const batch = await members(groupId, { add: editsOf([third, off]) });
        const error = await outcomeOf(() => apply(batch));
        await world.settle?.();
        const present = await everybodyOf(scene(), groupId);
        expect(sortWanted(without(present, [third, off])), status).toEqual(sortWanted(base));
        if (error) {
          // Refused for what is in it, so that it is worth the while to look for the bad one: the good one goes alone.
          expect(["refused", "not-found", "forbidden"], `the code of: ${error.message}`).toContain(error.code);
          const isIn = present.some(([account]) => account === third);
          if (!isIn) await apply(await members(groupId, { add: editsOf([third]) }));
          await outcomeOf(async () => apply(await members(groupId, { add: editsOf([off]) })));
        }
        await world.settle?.();
        const truth = without(await everybodyOf(scene(), groupId), [off]);
        expect(sortWanted(truth), status).toEqual(sortWanted([...base, [third, "member"]]));
        await apply(await members(groupId, { remove: editsOf([second]) }));
        const left = without(await everybodyOf(scene(), groupId), [off]);
        expect(sortWanted(left), status).toEqual(sortWanted(without(truth, [second])));
      }
    });

    it("an account named twice is added once, or nobody is", async () => {
      const { world, accounts, apply, members, outcomeOf } = scene();
      const [first = "", second = ""] = accounts(2);
      const groupId = await world.addGroup("Named twice", [first]);
      const base = await everybodyOf(scene(), groupId);
      const batch = await members(groupId, { add: editsOf([second, second]) });
      const error = await outcomeOf(() => apply(batch));
      await expectSubset(scene(), groupId, base, [second]);
      const present = (await everybodyOf(scene(), groupId)).filter(([account]) => account === second);
      expect(present).toHaveLength(error ? 0 : 1);
    });

    it("an account id that looks like a list, a path or a pattern reaches nobody", async () => {
      const { world, accounts, apply, members, outcomeOf, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Injected", [first, second]);
      const base = await everybodyOf(scene(), groupId);
      const ids = [
        ...strangeIds,
        `${first},${second}`,
        `${first}&ids=${second}`,
        `${first}|${second}`,
        `${first}/../${second}`,
      ];
      for (const account of ids) {
        await outcomeOf(async () => apply(await members(groupId, { remove: editsOf([account]) })));
        await outcomeOf(async () => apply(await members(groupId, { add: editsOf([account, `${account},${third}`]) })));
        expect(sortWanted(await everybodyOf(scene(), groupId)), `after ${account}`).toEqual(sortWanted(base));
      }
      await expectMembers(groupId, base);
    });

    it("a group that is gone stays gone, whatever is asked of it, and nothing else happens", async () => {
      const { world, accounts, apply, members, readGroup, failureOf, outcomeOf, eventually } = scene();
      await world.addGroup("Stays", accounts(1));
      const groupId = await world.addGroup("Goes", accounts(2));
      const add = await members(groupId, { add: editsOf(accounts(1, 4)) });
      const remove = await members(groupId, { remove: editsOf(accounts(1)) });
      await world.deleteGroup(groupId);
      const before = await world.groups();
      for (const batch of [add, remove]) {
        // A service may take it without a word: a success alone proves nothing, reading does.
        const error = await outcomeOf(() => apply(batch));
        if (error) expect(error.code).toBe("not-found");
      }
      await eventually(async () => {
        const error = await failureOf(() => readGroup(groupId));
        expect(error.code).toBe("not-found");
        expect(error.facts.operation).toMatch(/\S/);
      });
      expect(await world.groups()).toEqual(before);
    });
  });
}
