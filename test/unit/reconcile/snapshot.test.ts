import { describe, expect, it } from "vitest";
import { type ErrorCode, GroupSyncError } from "../../../src/errors.js";
import { createCallContext, type GroupProvider } from "../../../src/provider.js";
import { matchTargets, readTargets } from "../../../src/reconcile/snapshot.js";
import { createMemoryProvider, type MemoryProvider } from "../../../src/testing/memory.js";
import { actual, type Actual, evidence, everything, fact, group, snapshotOf } from "./builders.js";

const listing = (there: readonly Actual[], incomplete?: string) => ({
  groups: there.map((each) => snapshotOf(each).group),
  evidence: evidence(incomplete),
});
const match = (targets: Parameters<typeof matchTargets>[0], there: readonly Actual[], incomplete?: string) =>
  matchTargets(targets, listing(there, incomplete), everything).map((each) =>
    each.state === "matched"
      ? `${each.group.id} by ${each.matchedBy}`
      : each.state === "absent"
        ? "absent"
        : each.message,
  );

describe("which group a target means", () => {
  it("is its pinned id, whatever its name", () => {
    expect(match([group("crew", { groupId: "id-Other" })], [actual("crew", []), actual("Other", [])])).toEqual([
      "id-Other by id",
    ]);
  });

  it("is its exact name, without regard to previous names that exist as well", () => {
    const target = group("crew", { name: "Crew", previously: ["Old"] });
    expect(match([target], [actual("Old", []), actual("Crew", [])])).toEqual(["id-Crew by name"]);
    expect(match([target], [actual("crew", []), actual("Crew ", [])])).toEqual(["absent"]);
  });

  it("is the first previous name that is there", () => {
    const target = group("crew", { name: "Crew", previously: ["Older", "Oldest"] });
    expect(match([target], [actual("Oldest", []), actual("Older", [])])).toEqual(["id-Older by previous-name"]);
  });

  it("is nobody's when the name is there twice", () => {
    const twins = [actual("crew", [], { id: "1" }), actual("crew", [], { id: "2" })];
    expect(match([group("crew")], twins)).toEqual([
      'more than one group is called "crew"; pin the right one by its id',
    ]);
    expect(match([group("new", { name: "New", previously: ["crew"] })], twins)[0]).toContain("more than one group");
  });

  it("is the one of several of its name that nobody else is pinned to", () => {
    const three = ["1", "2", "3"].map((id) => actual("crew", [], { id }));
    const pinned = group("old", { groupId: "1" });
    expect(match([pinned, group("crew")], three.slice(0, 2))).toEqual(["1 by id", "2 by name"]);
    expect(match([pinned, group("crew")], three)[1]).toContain("more than one group");
    expect(match([pinned, group("crew")], three.slice(0, 1))[1]).toContain("both mean");
  });

  it("is not ambiguous because the service listed one group twice", () => {
    expect(match([group("crew")], [actual("crew", []), actual("crew", [])])).toEqual(["id-crew by name"]);
  });

  it("is a problem when the pinned id is not there", () => {
    expect(match([group("crew", { groupId: "7" })], [actual("crew", [])])[0]).toMatch(/^no group with the pinned id 7/);
  });

  it("is nothing any more when a group that should not exist is gone, also if its id was pinned", () => {
    expect(match([group("crew", { groupId: "7", absent: true }), group("old", { absent: true })], [])).toEqual([
      "absent",
      "absent",
    ]);
  });
});

describe("two targets that mean one group", () => {
  it.each([
    ["by name and by id", group("a", { name: "crew" }), group("b", { groupId: "id-crew" })],
    ["by name and by previous name", group("a", { name: "crew" }), group("b", { previously: ["crew"] })],
    ["by one name", group("a", { name: "crew" }), group("b", { name: "crew" })],
    ["one of them to delete it", group("a", { name: "crew" }), group("b", { name: "crew", absent: true })],
  ])("are both refused: %s", (_, first, second) => {
    const message = 'the groups a and b of the spec both mean "crew" (id-crew)';
    expect(match([first, second], [actual("crew", [])])).toEqual([message, message]);
  });

  it("are both refused when the group has still to be made", () => {
    const message = 'the groups a and b of the spec are both to be called "crew"; give them different names';
    expect(match([group("a", { name: "crew" }), group("b", { name: "crew" })], [])).toEqual([message, message]);
  });

  it("keep a group from being made under a name that another is about to get", () => {
    const targets = [group("a", { name: "crew", previously: ["old"] }), group("b", { name: "crew" })];
    expect(match(targets, [actual("old", [])])).toEqual([
      "id-old by previous-name",
      expect.stringContaining("both to be called"),
    ]);
  });

  it("do not stand in the way of a third", () => {
    const targets = [group("a", { name: "crew" }), group("b", { name: "crew" }), group("c")];
    expect(match(targets, [actual("crew", []), actual("c", [])])[2]).toBe("id-c by name");
  });
});

describe("a list of groups that is not whole", () => {
  const why = "page 2 failed";

  it("is no ground for creating a group", () => {
    expect(match([group("crew")], [], why)).toEqual([
      `no group called "crew" was seen, but the list of groups could not be read whole: ${why}`,
    ]);
  });

  it("is no ground for calling a pinned group deleted, nor for calling a deletion done", () => {
    expect(match([group("crew", { groupId: "7" })], [], why)[0]).toContain("could not be read whole: page 2 failed");
    expect(match([group("crew", { groupId: "7", absent: true })], [], why)[0]).toContain("could not be read whole");
  });

  it("is no ground for renaming: the new name may be on the page that is missing", () => {
    const target = group("crew", { name: "Crew", previously: ["Old"] });
    expect(match([target], [actual("Old", [])], why)[0]).toContain('no group called "Crew" was seen');
  });

  it("still shows pinned groups for certain", () => {
    expect(match([group("crew", { groupId: "id-crew" })], [actual("crew", [])], why)).toEqual(["id-crew by id"]);
  });
});

describe("what the service cannot do", () => {
  const cannot = { ...everything, groups: { ...everything.groups, create: fact(false), delete: fact(false) } };
  it("is told as a problem of the group", () => {
    const targets = [group("new"), group("crew", { absent: true }), group("gone", { absent: true })];
    expect(matchTargets(targets, listing([actual("crew", [])]), cannot)).toMatchObject([
      { state: "problem", message: 'there is no group called "new", and lab cannot create one' },
      { state: "problem", message: "lab cannot delete groups; delete it there by hand" },
      { state: "absent" },
    ]);
  });
});

describe("reading", () => {
  const provider = (before?: Parameters<typeof createMemoryProvider>[0]): MemoryProvider =>
    createMemoryProvider({
      id: "lab",
      people: [{ id: "@ada" }],
      groups: [{ name: "crew", id: "id-crew", members: ["@ada"] }],
      ...before,
    });
  const read = (targets: Parameters<typeof readTargets>[0], from: GroupProvider) =>
    readTargets(targets, from, createCallContext());

  it("finds the members with their evidence", async () => {
    await expect(read([group("crew")], provider())).resolves.toMatchObject([
      { state: "found", matchedBy: "name", snapshot: { members: [{ account: "@ada" }], evidence: { complete: true } } },
    ]);
  });

  it("asks for nobody's members where the group is missing", async () => {
    const lab = provider();
    await expect(read([group("new")], lab)).resolves.toMatchObject([{ state: "absent" }]);
    expect(lab.control.calls.map(({ operation }) => operation)).toEqual(["listGroups"]);
  });

  it("does not take one list without any group as proof that a group is deleted", async () => {
    const lab = provider();
    let lists = 0;
    const blank: GroupProvider = {
      ...lab,
      listGroups: async (context) =>
        ++lists === 1 ? { groups: [], evidence: evidence() } : await lab.listGroups(context),
    };
    await expect(read([group("crew", { absent: true })], blank)).resolves.toMatchObject([{ state: "found" }]);
    expect(lists).toBe(2);
    await expect(read([group("gone", { absent: true })], lab)).resolves.toMatchObject([{ state: "absent" }]);
    expect(lab.control.calls.filter(({ operation }) => operation === "listGroups")).toHaveLength(2);
  });

  it("takes a group that was found by name in an incomplete list for an incomplete reading", async () => {
    const lab = provider();
    const cut: GroupProvider = {
      ...lab,
      listGroups: async (context) => ({ ...(await lab.listGroups(context)), evidence: evidence("page 2 failed") }),
    };
    const [byName, byId] = await Promise.all([
      read([group("crew")], cut),
      read([group("crew", { groupId: "id-crew" })], cut),
    ]);
    expect(byName).toMatchObject([{ state: "found", snapshot: { evidence: { complete: false } } }]);
    expect(JSON.stringify(byName)).toContain('another group may be called \\"crew\\" too');
    expect(byId).toMatchObject([{ state: "found", snapshot: { evidence: { complete: true } } }]);
  });

  it("reads again what moved, and keeps what still moves as incomplete", async () => {
    const lab = provider();
    let readings = 0;
    const restless: GroupProvider = {
      ...lab,
      readGroup: async (id, context) => {
        readings++;
        return { ...(await lab.readGroup(id, context)), evidence: { ...evidence("it moved"), moved: true } };
      },
    };
    await expect(read([group("crew")], restless)).resolves.toMatchObject([
      { snapshot: { evidence: { complete: false } } },
    ]);
    expect(readings).toBe(3);
  });

  const failing = (code: ErrorCode) =>
    provider({
      before: (operation) => {
        if (operation === "readGroup") throw new GroupSyncError(code, "No.");
      },
    });

  it.each(["not-found", "unavailable", "network"] as const)(
    "%s at one group concerns that group alone",
    async (code) => {
      await expect(read([group("crew"), group("new")], failing(code))).resolves.toMatchObject([
        { state: "problem", message: "its members could not be read: No." },
        { state: "absent" },
      ]);
    },
  );

  it.each(["unauthenticated", "rate-limited", "cancelled"] as const)("%s at one group concerns all", async (code) => {
    await expect(read([group("crew"), group("new")], failing(code))).rejects.toMatchObject({ code });
  });

  describe("what was ours and is not listed", () => {
    const remembered = new Map([["crew", ["id-crew"]]]);
    const blind = (lab: MemoryProvider): MemoryProvider => ({
      ...lab,
      listGroups: async () => ({ groups: [], evidence: evidence() }),
    });
    const recalling = (target: Parameters<typeof group>, from: GroupProvider) =>
      readTargets([group(...target)], from, createCallContext(), { rememberedIds: remembered });

    it.each([false, true])(
      "is no ground to make or to forget it, while it answers by itself (absent: %s)",
      async (absent) => {
        const message =
          'the list of groups does not show "crew" (id-crew), which was ours and is there when asked for by itself: the list was not whole, so nothing is done; run again';
        await expect(recalling(["crew", { absent }], blind(provider()))).resolves.toMatchObject([
          { state: "problem", message },
        ]);
      },
    );

    it("is absent when the service says so", async () => {
      await expect(recalling(["crew"], blind(failing("not-found")))).resolves.toMatchObject([{ state: "absent" }]);
    });

    it("is not absent while that cannot be read", async () => {
      const message =
        "the list of groups does not show id-crew, which was ours, and whether it is gone could not be read: No.";
      await expect(recalling(["crew"], blind(failing("forbidden")))).resolves.toMatchObject([
        { state: "problem", message },
      ]);
      await expect(recalling(["crew"], blind(failing("unauthenticated")))).rejects.toMatchObject({
        code: "unauthenticated",
      });
    });

    it("costs nothing where the list shows the group, by whatever name, and where nothing is remembered", async () => {
      const lab = provider();
      await expect(recalling(["crew", { name: "Crew" }], lab)).resolves.toMatchObject([{ state: "absent" }]);
      await expect(recalling(["deck"], blind(lab))).resolves.toMatchObject([{ state: "absent" }]);
      await expect(read([group("crew")], blind(lab))).resolves.toMatchObject([{ state: "absent" }]);
      expect(lab.control.calls.filter(({ operation }) => operation === "readGroup")).toEqual([]);
    });
  });
});
