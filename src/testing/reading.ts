/** The part of the conformance suite that reads: groups, members, accounts. */
// The expectations stand in the helpers of the scene, and what a capability excludes is expected to be refused instead.
/* oxlint-disable vitest/expect-expect, vitest/no-conditional-expect */
import { describe, expect, it } from "vitest";
import type { Group, Snapshot } from "../model.js";
import { type AccountKey, createCallContext } from "../provider.js";
import {
  everybodyOf,
  keyOf,
  LOCAL,
  replaceRoles,
  type Scenery,
  strangeIds,
  without,
  type WorldStatus,
} from "./scene.js";

/** `listGroups`: every group once, in a list that is proved whole. */
export function describeListing(scene: Scenery): void {
  describe("listGroups", () => {
    it("lists no group where there is none, and one where there is one", async () => {
      const { world, listGroups } = scene();
      expect(await world.groups()).toEqual([]);
      const none = await listGroups();
      expect(none.groups).toEqual([]);
      expect(none.evidence.complete).toBe(true);
      const id = await world.addGroup("Alone");
      const one = await listGroups();
      expect(one.groups).toEqual([expect.objectContaining({ id, name: "Alone", kind: "plain" })]);
      expect(one.evidence.complete).toBe(true);
    });

    it("lists every group once over many pages, and says why the list is whole", async () => {
      const { world, capabilities, listGroups } = scene();
      const pageSize = capabilities.pageSize.groups.value;
      let made = 0;
      for (const count of [pageSize - 1, pageSize, pageSize + 1, 2 * pageSize + 1]) {
        while (made < count) await world.addGroup(`Group ${++made}`);
        const { groups, evidence } = await listGroups();
        const truth = await world.groups();
        expect(namesById(groups)).toEqual(namesById(truth));
        expect(groups.length, "each once").toBe(count);
        expect(evidence).toMatchObject({ complete: true, because: expect.stringMatching(/\S/), counted: count });
        expect(evidence.pages).toBeGreaterThanOrEqual(Math.ceil(count / pageSize));
      }
    });

    it("shows what others did: groups made, renamed by deleting and making anew, and deleted", async () => {
      const { world, listGroups, eventually } = scene();
      const first = await world.addGroup("First");
      const second = await world.addGroup("Second");
      await world.deleteGroup(first);
      await eventually(async () => {
        const { groups } = await listGroups();
        expect(groups.map(({ id }) => id)).toEqual([second]);
      });
    });

    it("lists two groups of one name as two", async () => {
      const { world, listGroups } = scene();
      const ids = [await world.addGroup("Twins"), await world.addGroup("Twins")];
      const { groups } = await listGroups();
      expect(groups.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    });
  });
}

/** What a reading says, without how it was proved. */
function readingOf(result: PromiseSettledResult<Snapshot>) {
  if (result.status === "rejected") return result.reason as unknown;
  const { group, members, evidence } = result.value;
  const sorted = members.toSorted((left, right) => (left.account < right.account ? -1 : 1));
  return { group, members: sorted, complete: evidence.complete, weak: evidence.weak ?? false };
}

function namesById(groups: readonly Pick<Group, "id" | "name">[]): ReadonlyMap<string, string> {
  return new Map(groups.toSorted((left, right) => (left.id < right.id ? -1 : 1)).map(({ id, name }) => [id, name]));
}

/** `readGroup`: every member once, with role and state, whoever changed the group. */
export function describeReading(scene: Scenery): void {
  describe("readGroup", () => {
    it("reads groups of every size around a cap and a page, whole, each member once", async () => {
      const { world, capabilities, accounts, expectMembers } = scene();
      const cap = capabilities.add.accountsPerCall.value;
      const page = capabilities.pageSize.members.value ?? cap;
      const sizes = new Set([0, 1, 2, cap - 1, cap, cap + 1, page - 1, page, page + 1, 2 * page, 2 * page + 1]);
      for (const size of [...sizes].filter((count) => count <= world.people.length)) {
        const groupId = await world.addGroup(`Size ${size}`, accounts(size));
        const { group, members, evidence } = await expectMembers(groupId, await everybodyOf(scene(), groupId));
        expect(group).toMatchObject({ id: groupId, name: `Size ${size}`, kind: "plain" });
        expect(members.length).toBeGreaterThanOrEqual(size);
        expect(members.every(({ direct, state }) => direct && state === "active")).toBe(true);
        expect(evidence.pages).toBeGreaterThanOrEqual(1);
      }
    });

    it("reads who holds which role", async () => {
      const { world, capabilities, accounts, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Roles", [first, second, third]);
      if (capabilities.roles.manager) await world.addMember(groupId, second, "manager");
      if (capabilities.roles.owner) await world.addMember(groupId, third, "owner");
      await expectMembers(
        groupId,
        replaceRoles(await everybodyOf(scene(), groupId), [
          [first, "member"],
          [second, capabilities.roles.manager ? "manager" : "member"],
          [third, capabilities.roles.owner ? "owner" : "member"],
        ]),
      );
    });

    it("reads someone whose account is not active as the member they are, marked so", async () => {
      const { world, accounts, readGroup, eventually } = scene();
      const [active = "", ...others] = accounts(1 + world.statuses.length);
      const groupId = await world.addGroup("States", [active, ...others]);
      const states: readonly (readonly [string, WorldStatus])[] = world.statuses.map((status, index) => [
        others[index] ?? "",
        status,
      ]);
      for (const [account, status] of states) await world.setStatus(account, status);
      await eventually(async () => {
        const { members, evidence } = await readGroup(groupId);
        expect(evidence.complete).toBe(true);
        expect(members.find(({ account }) => account === active)).toMatchObject({ state: "active" });
        for (const [account, status] of states) {
          const member = members.find((each) => each.account === account);
          // Who is deleted is a member no more, or is left over; the others still hold what they held. Only an
          // invitation to the group is pending: an account that its owner has not taken up yet is a member.
          if (status === "deleted") expect(member?.state).not.toBe("active");
          else expect(member).toMatchObject({ role: "member", state: status === "disabled" ? "disabled" : "active" });
          expect(member?.invitation).toBeUndefined();
        }
      });
    });

    it("reads many groups together as it reads each alone, in no more calls, after a list and without one", async () => {
      const { provider, world, accounts, eventually } = scene();
      const people = accounts(12);
      const ids: string[] = [];
      for (let made = 0; made < 12; made++) ids.push(await world.addGroup(`Many ${made}`, people.slice(0, made)));
      if (provider.capabilities.roles.owner) await world.addMember(ids[3] ?? "", people[1] ?? "", "owner");
      if (provider.capabilities.roles.manager) await world.addMember(ids[4] ?? "", people[2] ?? "", "manager");
      const gone = await world.addGroup("Gone");
      await world.deleteGroup(gone);
      const asked = [...ids.toReversed(), gone];
      const together =
        provider.readGroups?.bind(provider) ??
        ((groupIds, context) => Promise.allSettled(groupIds.map((id) => provider.readGroup(id, context))));
      await eventually(async () => {
        for (const isListed of [true, false]) {
          const context = createCallContext();
          if (isListed) await provider.listGroups(context);
          const before = await world.requests();
          const results = await together(asked, context);
          const calls = (await world.requests()) - before;
          const alone: Snapshot[] = [];
          for (const id of ids.toReversed()) alone.push(await provider.readGroup(id, createCallContext()));
          expect(calls).toBeLessThanOrEqual((await world.requests()) - before - calls + 3);
          expect(results).toHaveLength(asked.length);
          expect(results.slice(0, -1).map(readingOf)).toEqual(
            alone.map((value) => readingOf({ status: "fulfilled", value })),
          );
          expect(results.at(-1)).toMatchObject({ status: "rejected", reason: { code: "not-found" } });
        }
      });
    });

    it("shows what others did to the members since the last reading", async () => {
      const { world, accounts, expectMembers } = scene();
      const [first = "", second = "", third = ""] = accounts(3);
      const groupId = await world.addGroup("Moving", [first, second]);
      const base = await everybodyOf(scene(), groupId);
      await expectMembers(groupId, base);
      await world.addMember(groupId, third);
      await expectMembers(groupId, [...base, [third, "member"]]);
      await world.removeMember(groupId, first);
      await expectMembers(groupId, [...without(base, [first]), [third, "member"]]);
    });

    it("says not-found of a group that is not there any more", async () => {
      const { world, readGroup, failureOf, eventually } = scene();
      await world.addGroup("Left alone");
      const groupId = await world.addGroup("Gone");
      await world.deleteGroup(groupId);
      await eventually(async () => {
        const error = await failureOf(() => readGroup(groupId));
        expect(error.code).toBe("not-found");
      });
    });

    it.each(strangeIds)("reads nothing for the id %j, which looks like something else", async (groupId) => {
      const { world, readGroup, failureOf } = scene();
      await world.addGroup("Real");
      const error = await failureOf(() => readGroup(groupId));
      expect(["not-found", "refused", ...LOCAL]).toContain(error.code);
    });
  });
}

/** `findAccounts`: exact, in order, and only by what is declared. */
export function describeLookup(scene: Scenery): void {
  describe("findAccounts", () => {
    it.each(["id", "email"] as const)("finds an account by %s, or refuses the question", async (by) => {
      const { world, capabilities, find, expectRefused } = scene();
      if (!capabilities.lookup.by.value.includes(by)) {
        await expectRefused(() => find([keyOf(scene(), by)]));
        return;
      }
      for (const person of world.people.slice(0, 3)) {
        const key = { by, value: person[by] };
        expect(await find([key])).toEqual([
          { key, accounts: [expect.objectContaining({ id: person.id, status: "active", eligible: true })] },
        ]);
      }
    });

    it.each(["id", "email"] as const)("finds nobody by an %s that nobody has", async (by) => {
      const { world, capabilities, find, expectRefused } = scene();
      const key = { by, value: by === "id" ? world.unknownAccount : "nobody.at.all@conformance.example" };
      if (capabilities.lookup.by.value.includes(by)) expect(await find([key])).toEqual([{ key, accounts: [] }]);
      else await expectRefused(() => find([key]));
    });

    it("finds addresses whatever their case, alphabet and signs, and never by a part of one", async () => {
      const { world, capabilities, find, expectRefused } = scene();
      const local = ["ann", "joann", "ann+tag", "jörg.müller", "o'neil&co", "a%2bb"];
      const addresses = local.map((part) => `${part}@conformance.example`);
      const people = [];
      for (const address of addresses) people.push(await world.addPerson(address));
      const keys: readonly AccountKey[] = addresses.map((value) => ({ by: "email", value }));
      const upper: readonly AccountKey[] = addresses.map((value) => ({ by: "email", value: value.toUpperCase() }));
      if (!capabilities.lookup.by.value.includes("email")) {
        for (const key of [...keys, ...upper]) await expectRefused(() => find([key]));
        return;
      }
      for (const [index, person] of people.entries()) {
        for (const key of [keys[index], upper[index]].filter((each) => each !== undefined)) {
          const [finding] = await find([key]);
          expect(finding?.key).toEqual(key);
          expect(finding?.accounts.map(({ id }) => id)).toEqual([person.id]);
          expect(finding?.accounts[0]?.email?.toLowerCase()).toBe(key.value.toLowerCase());
        }
      }
    });

    it("answers as many keys as it takes at once, each kind mixed, in their order, one asked twice included", async () => {
      const { world, capabilities, find } = scene();
      const { by, keysPerCall } = capabilities.lookup;
      const known = world.people.flatMap(({ id, email }) =>
        by.value.map((kind): AccountKey => ({ by: kind, value: { id, email }[kind] })),
      );
      const unknown = by.value.map(
        (kind): AccountKey => ({ by: kind, value: kind === "id" ? world.unknownAccount : "no@conformance.example" }),
      );
      const some = [...known.slice(0, 1), ...unknown, ...known];
      // Where more keys go than there are people, they are asked for again.
      const rounds = Math.ceil(keysPerCall.value / Math.max(1, some.length));
      const keys = Array.from({ length: rounds }, () => some)
        .flat()
        .slice(0, keysPerCall.value);
      const findings = await find(keys);
      expect(findings.map(({ key }) => key)).toEqual(keys);
      for (const { key, accounts } of findings) {
        const person = world.people.find((each) => each[key.by] === key.value);
        expect(accounts.map(({ id }) => id)).toEqual(person ? [person.id] : []);
      }
    });

    it("finds someone by every id that an account has, in whatever case where ids are lower case", async () => {
      const { world, capabilities, find, expectRefused } = scene();
      const { by, pinsAreKeys, idsAreLowerCase } = capabilities.lookup;
      const [person] = world.people;
      const id = person?.id ?? "";
      if (!by.value.includes("id")) {
        await expectRefused(() => find([{ by: "id", value: id }]));
        return;
      }
      const [known] = await find([{ by: "id", value: id }]);
      const account = known?.accounts[0];
      // Where a pin is the member key, there is no other id; elsewhere the other one leads to the key.
      if (pinsAreKeys.value) expect(account?.userId).toBeUndefined();
      else if (account?.userId !== undefined) {
        const [other] = await find([{ by: "id", value: account.userId }]);
        expect(other?.accounts.map((each) => each.id)).toEqual([id]);
      }
      if (!idsAreLowerCase.value) return;
      expect(id).toBe(id.toLowerCase());
      const [upper] = await find([{ by: "id", value: id.toUpperCase() }]);
      expect(upper?.accounts.map((each) => each.id)).toEqual([id]);
    });

    it("sends nothing when there is nothing to ask", async () => {
      const { world, find } = scene();
      const before = await world.requests();
      expect(await find([])).toEqual([]);
      expect(await world.requests()).toBe(before);
    });

    it("says of an account that is not active what it is, and whether it may be added", async () => {
      const { world, capabilities, find, eventually } = scene();
      const [, ...others] = world.people;
      const { by } = capabilities.lookup;
      for (const [index, status] of world.statuses.entries()) {
        const person = others[index];
        if (!person) throw new Error("too few people");
        await world.setStatus(person.id, status);
        for (const kind of by.value) {
          await eventually(async () => {
            const [finding] = await find([{ by: kind, value: person[kind] }]);
            const found = finding?.accounts ?? [];
            if (status !== "deleted") expect(found.map(({ id }) => id)).toEqual([person.id]);
            for (const account of found) {
              expect(account).toMatchObject({ status, eligible: status === "pending" });
              if (!account.eligible) expect(account.note).toMatch(/\S/);
            }
          });
        }
      }
    });

    it("finds nobody for what looks like a pattern, a list or a path", async () => {
      const { world, capabilities, find, outcomeOf } = scene();
      const [first, second] = world.people;
      const values = [
        ...strangeIds,
        "*@conformance.example",
        "%",
        "@",
        "_",
        "a@b|c@d",
        ...[",", "|", ";", " "].flatMap((separator) => [`${first?.email}${separator}${second?.email}`]),
        `${first?.id},${second?.id}`,
      ];
      for (const by of capabilities.lookup.by.value) {
        for (const value of values) {
          const error = await outcomeOf(async () => {
            const [finding] = await find([{ by, value }]);
            expect(finding?.accounts, `${by} ${value}`).toEqual([]);
          });
          if (error) expect(LOCAL).toContain(error.code);
        }
      }
      expect(await world.groups()).toEqual([]);
    });
  });
}
