import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chunk, groupBy } from "../../../src/collections.js";
import type { Change, MemberEdit, Role } from "../../../src/model.js";
import type { Capabilities } from "../../../src/provider.js";
import {
  buildBatches,
  buildMemberPhases,
  estimateCost,
  findUnwanted,
  type MembersBatch,
  membersBatch,
} from "../../../src/reconcile/batch.js";
import { everything, fact, oneManager } from "./builders.js";

const refOf = (group: string) => ({ id: `id-${group}`, name: group });
const able = (accounts: number, groups: number, mixed = false): Capabilities => ({
  ...everything,
  add: { accountsPerCall: fact(accounts), groupsPerCall: fact(groups) },
  remove: { accountsPerCall: fact(accounts), groupsPerCall: fact(groups) },
  mixed: fact(mixed),
});
const add = (group: string, account: string, role: Role = "member"): Change => ({
  type: "member.add",
  group,
  account,
  role,
  reason: "test",
});
const remove = (group: string, account: string, more: Partial<Change> = {}): Change => ({
  type: "member.remove",
  group,
  account,
  role: "member",
  reason: "test",
  ...more,
});
const update = (group: string, account: string, previousRole: Role, role: Role): Change => ({
  type: "member.update",
  group,
  account,
  role,
  previousRole,
  reason: "test",
});
const create = (group: string): Change => ({ type: "group.create", group, name: `The ${group}`, reason: "test" });
const people = (count: number) => Array.from({ length: count }, (_, index) => `p${index}`);
const sizes = (batches: readonly { readonly batch: MembersBatch }[] | undefined) =>
  (batches ?? []).map(({ batch }) => batch.add.length + batch.update.length + batch.remove.length);
const namesOf = ({ add: added, update: updated, remove: removed }: MembersBatch) =>
  [...added, ...updated, ...removed].map(({ account }) => account);
const batchesOf = (changes: readonly Change[], capabilities: Capabilities) =>
  buildMemberPhases(changes, capabilities, refOf).flat();

describe("caps", () => {
  it.each([
    [0, []],
    [1, [1]],
    [49, [49]],
    [50, [50]],
    [51, [50, 1]],
    [100, [50, 50]],
    [101, [50, 50, 1]],
  ])("%i people at most 50 a call make calls of %j", (count, expected) => {
    for (const changes of [people(count).map((id) => add("g", id)), people(count).map((id) => remove("g", id))]) {
      expect(sizes(batchesOf(changes, able(50, 1)))).toEqual(expected);
      expect(sizes(batchesOf(changes, able(50, 1, true)))).toEqual(expected);
    }
  });

  it("people of different groups share no call where a call names one group", () => {
    const batches = batchesOf([add("a", "x"), add("b", "x"), add("a", "y")], able(50, 1));
    expect(batches.map(({ batch }) => batch.groups.map(({ name }) => name))).toEqual([["a"], ["b"]]);
  });

  it("a mixed call obeys the smaller of both caps", () => {
    const capabilities = { ...able(50, 1, true), remove: { accountsPerCall: fact(10), groupsPerCall: fact(1) } };
    const changes = [...people(15).map((id) => add("g", id)), ...people(15).map((id) => remove("g", `x${id}`))];
    expect(sizes(batchesOf(changes, capabilities))).toEqual([10, 10, 10]);
  });

  it("a cap below one is taken for one", () => {
    expect(sizes(batchesOf([add("g", "a"), add("g", "b")], able(0, 1)))).toEqual([1, 1]);
    expect(chunk([1, 2, 3], 0.5)).toEqual([[1], [2], [3]]);
    expect(chunk([1, 2, 3], Number.POSITIVE_INFINITY)).toEqual([[1, 2, 3]]);
  });
});

describe("order", () => {
  const changes = [
    remove("g", "gone"),
    remove("g", "invited", { invitation: "i1" }),
    remove("g", "invited too", { invitation: "i2" }),
    update("g", "raised", "member", "owner"),
    add("g", "new"),
    add("g", "new owner", "owner"),
  ];
  const kinds = (capabilities: Capabilities) =>
    buildMemberPhases(changes, capabilities, refOf).map((phase) =>
      phase.map(({ changes: some }) => some.map(({ account }) => account).join(", ")),
    );

  it("is adding, changing roles, removing, withdrawing one by one", () => {
    expect(kinds(able(50, 1))).toEqual([["new, new owner"], ["raised"], ["gone"], ["invited", "invited too"]]);
  });

  it("puts roles first and removals last in mixed calls", () => {
    expect(kinds(able(50, 1, true))).toEqual([["new owner, raised, new, gone"], ["invited", "invited too"]]);
    expect(kinds(able(2, 1, true))[0]).toEqual(["new owner, raised", "new, gone"]);
  });

  it("removes in the end, whoever goes: an owner too", () => {
    const changes = [add("g", "new"), remove("g", "old", { role: "owner" }), update("g", "raised", "member", "owner")];
    expect(batchesOf(changes, able(1, 1, true)).map(({ batch }) => namesOf(batch))).toEqual([
      ["raised"],
      ["new"],
      ["old"],
    ]);
  });

  it("has no phase without a call", () => {
    expect(buildMemberPhases([remove("g", "x")], able(50, 1), refOf)).toHaveLength(1);
    expect(buildMemberPhases([], able(50, 1, true), refOf)).toEqual([]);
  });

  it("keeps the hand-over of a single role in one call, however many others come", () => {
    const many = people(500).map((id) => add("g", id));
    const handOver = [...many, add("g", "new", "manager"), update("g", "old", "manager", "member")];
    const batches = batchesOf(handOver, { ...oneManager, ...able(100, 1, true), roles: oneManager.roles });
    const first = batches[0]?.batch;
    expect(first?.add[0]).toMatchObject({ account: "new", role: "manager" });
    expect(first?.update).toMatchObject([{ account: "old", role: "member" }]);
  });
});

it("an edit says what a service needs to know, and nothing else", () => {
  const changes = [add("g", "a"), update("g", "b", "owner", "member"), remove("g", "c", { invitation: "i" })];
  expect(membersBatch([refOf("g")], changes)).toStrictEqual({
    batch: {
      kind: "members",
      groups: [refOf("g")],
      add: [{ account: "a", role: "member" }],
      update: [{ account: "b", role: "member", previousRole: "owner" }],
      remove: [{ account: "c", role: "member", invitation: "i" }],
    },
    changes,
  });
});

describe("several groups in one call", () => {
  it("takes people who go to the same groups together", () => {
    const changes = ["a", "b", "c"].flatMap((group) => people(10).map((id) => add(group, id)));
    const batches = batchesOf(changes, able(100, 20));
    expect(batches).toHaveLength(1);
    expect(batches[0]?.batch.groups).toHaveLength(3);
    expect(batches[0]?.batch.add).toHaveLength(10);
    expect(batches[0]?.changes).toHaveLength(30);
  });

  it("obeys both caps: five groups and five people, two of each to a call", () => {
    const changes = ["a", "b", "c", "d", "e"].flatMap((group) => people(5).map((id) => add(group, id)));
    const batches = batchesOf(changes, able(2, 2)).map(({ batch }) => [batch.groups.length, batch.add.length]);
    expect(batches).toHaveLength(9);
    expect(Math.max(...batches.flat())).toBe(2);
  });

  it("goes group by group where that takes no more calls", () => {
    const changes = [add("a", "x"), add("a", "y"), add("b", "y"), add("b", "z")];
    expect(batchesOf(changes, able(100, 20)).map(({ batch }) => batch.groups.length)).toEqual([1, 1]);
  });

  it("are told apart from a call that reaches one pair too many", () => {
    const idOf = ({ group }: Change) => `id-${group}`;
    const changes = [add("a", "x"), add("a", "y"), add("b", "y")];
    const tooWide = membersBatch([refOf("a"), refOf("b")], changes);
    expect(findUnwanted(tooWide, idOf)).toEqual({ account: "x", group: "b" });
    expect(findUnwanted({ ...tooWide, changes: [...changes, add("b", "x")] }, idOf)).toBeUndefined();
    // A removal that is wanted does not allow an addition.
    expect(findUnwanted({ ...tooWide, changes: [...changes, remove("b", "x")] }, idOf)).toEqual({
      account: "x",
      group: "b",
    });
    // A group without an id is not the group that the call names.
    expect(findUnwanted(membersBatch([refOf("a")], [add("a", "x")]), () => undefined)).toEqual({
      account: "x",
      group: "a",
    });
  });

  it("never takes a role for a membership: who is in one group by a role alone is removed there by a call of its own", () => {
    const batches = batchesOf(
      [remove("a", "x", { role: "owner", direct: false }), remove("b", "x", { role: "owner" })],
      able(10, 10),
    );
    expect(batches.map(({ batch }) => [batch.groups, batch.remove])).toStrictEqual([
      [[refOf("a")], [{ account: "x", role: "owner", direct: false }]],
      [[refOf("b")], [{ account: "x", role: "owner" }]],
    ]);
  });

  it("never gives the role of one group in another", () => {
    const changes = [
      ...people(3).flatMap((id) => [add("a", id, "owner"), add("b", id)]),
      ...people(3).map((id) => add("c", id)),
    ];
    for (const { batch, changes: made } of batchesOf(changes, able(2, 20))) {
      for (const { account, role } of batch.add) {
        const roles = made.filter((change) => change.account === account).map((change) => change.role);
        expect(new Set(roles)).toEqual(new Set([role]));
      }
    }
  });

  const memberChange = fc.record({
    group: fc.constantFrom("a", "b", "c", "d", "e"),
    account: fc.constantFrom(...people(12)),
    kind: fc.constantFrom("add", "remove", "withdraw", "raise", "lower"),
    role: fc.constantFrom<Role>("member", "owner"),
  });
  const member = ({
    group,
    account,
    kind,
    role,
  }: {
    group: string;
    account: string;
    kind: string;
    role: Role;
  }): Change => {
    switch (kind) {
      case "add":
        return add(group, account, role);
      case "raise":
        return update(group, account, "member", "owner");
      case "lower":
        return update(group, account, "owner", "member");
      default:
        return remove(group, account, { role, ...(kind === "withdraw" && { invitation: `i-${group}-${account}` }) });
    }
  };

  it("contains every wanted pair once, no unwanted one, and exceeds no cap", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(memberChange, { selector: ({ group, account }) => `${group} ${account}`, maxLength: 50 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.boolean(),
        (wanted, accounts, groups, mixed) => {
          const changes = wanted.map(member);
          const capabilities = able(accounts, groups, mixed);
          const pair = (
            verb: string,
            group: string,
            { account, role, previousRole, invitation }: Partial<MemberEdit>,
          ) => [verb, group, account, role, previousRole, invitation].join(" ");
          const sent: string[] = [];
          const told: Change[] = [];
          for (const { batch, changes: made } of batchesOf(changes, capabilities)) {
            told.push(...made);
            const kinds = [batch.add, batch.update, batch.remove].filter((edits) => edits.length > 0);
            expect(kinds.flat().length).toBeLessThanOrEqual(accounts);
            expect(batch.groups.length).toBeLessThanOrEqual(mixed ? 1 : groups);
            expect(kinds.length).toBeLessThanOrEqual(mixed ? 3 : 1);
            for (const { name } of batch.groups) {
              for (const edit of batch.add) sent.push(pair("member.add", name, edit));
              for (const edit of batch.update) sent.push(pair("member.update", name, edit));
              for (const edit of batch.remove) sent.push(pair("member.remove", name, edit));
            }
          }
          expect(sent.toSorted()).toEqual(changes.map((change) => pair(change.type, change.group, change)).toSorted());
          expect(new Set(told)).toEqual(new Set(changes));
          expect(told).toHaveLength(changes.length);
        },
      ),
    );
  });
});

describe("groups", () => {
  it("are created with as many first members as a create call takes, roles first", () => {
    const changes = [create("g"), ...people(5).map((id) => add("g", id)), add("g", "boss", "manager"), add("h", "x")];
    const capabilities = { ...everything, groups: { ...everything.groups, membersOnCreate: fact(3) } };
    const plan = buildBatches(changes, capabilities, refOf);
    expect(plan.creates.map(({ batch }) => batch)).toEqual([
      {
        kind: "group.create",
        name: "The g",
        add: [
          { account: "boss", role: "manager" },
          { account: "p0", role: "member" },
          { account: "p1", role: "member" },
        ],
      },
    ]);
    expect(plan.creates[0]?.changes).toHaveLength(4);
    expect(sizes(plan.members.flat())).toEqual([3, 1]);
  });

  it("are created empty where a create call takes nobody", () => {
    const capabilities = { ...everything, groups: { ...everything.groups, membersOnCreate: fact(0) } };
    const plan = buildBatches([create("g"), add("g", "x")], capabilities, refOf);
    expect(plan.creates[0]?.batch.add).toEqual([]);
    expect(plan.members.flat()).toHaveLength(1);
  });

  it("are created without members when there are none, and with their description", () => {
    const described: Change = { ...create("g"), description: "At night" };
    const capabilities = { ...everything, groups: { ...everything.groups, membersOnCreate: fact(3) } };
    expect(buildBatches([described, create("h")], capabilities, refOf).creates).toStrictEqual([
      { batch: { kind: "group.create", name: "The g", description: "At night", add: [] }, changes: [described] },
      { batch: { kind: "group.create", name: "The h", add: [] }, changes: [create("h")] },
    ]);
  });

  it("are changed with only what changes, and deleted", () => {
    const changes: Change[] = [
      { type: "group.update", group: "a", name: "A", reason: "" },
      { type: "group.update", group: "b", description: "", reason: "" },
      { type: "group.delete", group: "c", reason: "" },
    ];
    const plan = buildBatches(changes, everything, refOf);
    const [named, described, gone] = changes;
    expect(plan.updates).toStrictEqual([
      { batch: { kind: "group.update", group: refOf("a"), name: "A" }, changes: [named] },
      { batch: { kind: "group.update", group: refOf("b"), description: "" }, changes: [described] },
    ]);
    expect(plan.deletes).toStrictEqual([{ batch: { kind: "group.delete", group: refOf("c") }, changes: [gone] }]);
  });

  it("many of them with many people are batched group by group", () => {
    const changes = Array.from({ length: 1000 }, (_, index) => [
      create(`g${index}`),
      ...people(50).map((id) => add(`g${index}`, id)),
    ]).flat();
    expect(buildBatches(changes, everything, refOf).creates).toHaveLength(1000);
  });
});

describe("cost", () => {
  const limited = (requests: number, counts: "all" | "read" | "write" = "all"): Capabilities => ({
    ...able(1, 1),
    rates: [{ scope: "token", requests, windowMs: 60_000, counts, source: "test" }],
    inFlight: { reads: fact(1), writes: fact(1) },
  });
  const changes = (count: number) => people(count).map((id) => add("g", id));

  it("is nothing for nothing", () => {
    expect(estimateCost([], everything)).toEqual({ calls: 0, seconds: 0 });
  });

  it("counts calls as they are batched, groups among them", () => {
    expect(estimateCost(changes(101), able(50, 1)).calls).toBe(3);
    expect(
      estimateCost(
        [create("g"), ...changes(2), remove("h", "x"), { type: "group.delete", group: "k", reason: "" }],
        able(50, 1),
      ).calls,
    ).toBe(3);
    expect(
      estimateCost([create("g"), create("h"), { type: "group.update", group: "k", name: "K", reason: "" }], able(50, 1))
        .calls,
    ).toBe(3);
  });

  it.each([
    [10, 3],
    [11, 60],
    [20, 60],
    [21, 120],
  ])("%i calls at 10 a minute take %i seconds", (calls, seconds) => {
    expect(estimateCost(changes(calls), limited(10))).toEqual({ calls, seconds });
  });

  it("does not wait for limits on reading", () => {
    expect(estimateCost(changes(100), limited(1, "read")).seconds).toBe(30);
  });

  it("is divided among the calls that may be under way at once", () => {
    const capabilities = { ...able(1, 1), inFlight: { reads: fact(1), writes: fact(10) } };
    expect(estimateCost(changes(100), capabilities).seconds).toBe(3);
  });
});

it("values are grouped in order of first appearance", () => {
  expect([...groupBy([3, 1, 4, 1, 5, 9, 2, 6], (value) => value % 3)]).toEqual([
    [0, [3, 9, 6]],
    [1, [1, 4, 1]],
    [2, [5, 2]],
  ]);
});
