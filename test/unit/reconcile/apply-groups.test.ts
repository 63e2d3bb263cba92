/** Applying what concerns groups themselves, against a provider in memory: creations, updates and deletions. */
import { describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch } from "../../../src/model.js";
import type { SyncEvent } from "../../../src/reconcile/events.js";
import { createMemoryProvider, type MemoryProvider, memoryCapabilities } from "../../../src/testing/memory.js";
import {
  conflict,
  crew,
  inTurn,
  lab,
  linesOf,
  lost,
  membersOf,
  names,
  people,
  refsOf,
  refused,
  run,
  writes,
} from "./apply-scenes.js";
import { fact, group } from "./builders.js";

/** So many members are taken along when a group is made. */
const onBoard = (count: number) => ({ groups: { ...memoryCapabilities.groups, membersOnCreate: fact(count) } });
const kinds = (provider: MemoryProvider) => writes(provider).map(({ kind }) => kind);
/** Whom a batch adds. */
const added = (batch: Batch) =>
  batch.kind === "members" || batch.kind === "group.create" ? batch.add.map(({ account }) => account) : [];

describe("creations", () => {
  it("are given up when the second list shows the group, or is not whole", async () => {
    for (const spoil of ["there", "incomplete"] as const) {
      let lists = 0;
      const provider: MemoryProvider = createMemoryProvider({
        id: "lab",
        people: people.map((id) => ({ id })),
        before: (operation) => {
          if (operation !== "listGroups" || ++lists < 2) return undefined;
          if (spoil === "incomplete") return { incomplete: "page 2 failed" };
          provider.control.addGroup({ name: "crew" });
          return undefined;
        },
      });
      const report = await run(provider, [crew(["p0"])]);
      expect(writes(provider)).toEqual([]);
      expect(linesOf(report)).toEqual(["group.create skipped conflict", "member.add p0 skipped conflict"]);
    }
  });

  it("refused for the sake of someone on board, the group is made alone", async () => {
    const provider = lab({
      groups: [],
      onWrite: (batch) => {
        const on = batch.kind === "group.create" ? batch.add.map(({ account }) => account) : names(batch);
        if (on.includes("p1")) throw refused();
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(membersOf(provider)).toEqual(["p0", "p2"]);
    expect(linesOf(report)).toEqual([
      "group.create applied",
      "member.add p0 applied",
      "member.add p1 failed refused",
      "member.add p2 applied",
    ]);
  });

  it("that fail leave their people out, with the reason", async () => {
    const provider = lab({
      groups: [],
      onWrite: (batch) => {
        if (batch.kind === "group.create") throw refused();
      },
    });
    const report = await run(provider, [crew(["p0"])]);
    expect(linesOf(report)).toEqual(["group.create failed refused", "member.add p0 skipped not-found"]);
  });

  it("that come with the id of another group stop everything", async () => {
    const provider = lab();
    const confused: MemoryProvider = {
      ...provider,
      applyBatch: async (batch, context) => {
        const result = await provider.applyBatch(batch, context);
        return batch.kind === "group.create" ? { group: { id: "g", name: "new", kind: "plain" } } : result;
      },
    };
    const report = await run(confused, [crew(["p0", "p1"]), group("new", { members: ["p5"] })]);
    expect(membersOf(provider)).toEqual(["p0", "p1"]);
    expect(report.stopped).toMatch(/came with the id g, which another group has/);
  });
});

describe("before the first creation", () => {
  const wanted = [crew(["p0", "p1", "p2"]), group("new", { members: ["p5"] })];

  it("a second list that shows the group leaves it and its people to the next run, and all else goes on", async () => {
    const provider: MemoryProvider = lab({
      onList: (nth) => {
        if (nth === 2) provider.control.addGroup({ name: "new" });
      },
    });
    const report = await run(provider, wanted);
    expect(linesOf(report)).toEqual([
      "member.add p2 applied",
      "group.create skipped conflict",
      "member.add p5 skipped conflict",
    ]);
    expect(report.providers[0]?.outcomes[1]?.error).toEqual({
      code: "conflict",
      message: 'A group called "new" is there after all; nothing was created. Run again.',
    });
  });

  it("a second list that is refused costs the creations alone", async () => {
    const provider = lab({
      onList: (nth) => {
        if (nth === 2) throw new GroupSyncError("forbidden", "Not for you.");
      },
    });
    const report = await run(provider, wanted);
    expect(linesOf(report)).toEqual([
      "member.add p2 applied",
      "group.create skipped forbidden",
      "member.add p5 skipped forbidden",
    ]);
    expect(report.stopped).toBeUndefined();
  });

  it("a service that is down for the second list is given up", async () => {
    const provider = lab({
      onList: (nth) => {
        if (nth === 2) throw new GroupSyncError("unavailable", "Down.");
      },
    });
    const report = await run(provider, wanted);
    expect(writes(provider)).toEqual([]);
    expect(linesOf(report)).toEqual([
      "member.add p2 skipped unavailable",
      "group.create skipped unavailable",
      "member.add p5 skipped unavailable",
    ]);
    expect(report.stopped).toBe("Down.");
  });

  it("the groups are listed again, and only then", async () => {
    for (const [targets, lists] of [
      [wanted, 2],
      [[crew(["p0", "p1", "p2"])], 1],
    ] as const) {
      const provider = lab();
      await run(provider, targets);
      expect(provider.control.calls.filter(({ operation }) => operation === "listGroups")).toHaveLength(lists);
    }
  });
});

describe("a creation that fails", () => {
  it("without anybody on board is not sent again, and all else goes on", async () => {
    const provider = lab({
      capabilities: onBoard(0),
      onWrite: (batch) => {
        if (batch.kind === "group.create") throw refused();
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"]), group("new", { members: ["p5"] })]);
    expect(kinds(provider)).toEqual(["group.create", "members"]);
    expect(linesOf(report)).toEqual([
      "member.add p2 applied",
      "group.create failed refused",
      "member.add p5 skipped not-found",
    ]);
    expect(report.stopped).toBeUndefined();
  });

  it.each(["rate-limited", "unauthenticated"] as const)("for good stops all others: %s", async (code) => {
    const provider = lab({
      capabilities: inTurn,
      onWrite: () => {
        throw new GroupSyncError(code, "No more.");
      },
    });
    const report = await run(provider, [
      crew(["p0", "p1", "p2"]),
      group("new", { members: ["p5"] }),
      group("newer", { members: ["p6"] }),
    ]);
    expect(kinds(provider)).toEqual(["group.create"]);
    expect(linesOf(report)).toEqual([
      `member.add p2 skipped ${code}`,
      `group.create skipped ${code}`,
      `member.add p5 skipped ${code}`,
      `group.create skipped ${code}`,
      `member.add p6 skipped ${code}`,
    ]);
    expect(report.stopped).toBe("No more.");
  });

  it("for the sake of several on board takes in all others", async () => {
    const provider = lab({
      groups: [],
      onWrite: (batch) => {
        if (added(batch).some((id) => ["p1", "p3"].includes(id))) throw refused();
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3", "p4"])]);
    expect(kinds(provider).filter((kind) => kind === "group.create")).toHaveLength(2);
    expect(membersOf(provider)).toEqual(["p0", "p2", "p4"]);
    expect(linesOf(report)).toEqual([
      "group.create applied",
      "member.add p0 applied",
      "member.add p1 failed refused",
      "member.add p2 applied",
      "member.add p3 failed refused",
      "member.add p4 applied",
    ]);
  });
});

describe("a creation of which nobody knows the end", () => {
  const orphan = ["group.create unknown network", "member.add p0 skipped not-found"];

  it("is found among all others, and its people are added to what is missing there", async () => {
    const told: SyncEvent[] = [];
    const provider = lab({
      groups: [
        { id: "g", name: "stranger" },
        { id: "h", name: "another stranger" },
      ],
      onWrite: (batch) => (batch.kind === "group.create" ? { thrownAfter: lost() } : undefined),
    });
    const report = await run(provider, [crew(["p0", "p1"])], {
      onEvent: (event) => {
        if (event.type === "progress" && event.phase === "apply") told.push(event);
      },
    });
    expect(writes(provider).map(added)).toEqual([
      ["p0", "p1"],
      ["p0", "p1"],
    ]);
    expect(writes(provider).map(refsOf)).toStrictEqual([[], [{ id: "group-1", name: "crew", version: "1" }]]);
    expect(linesOf(report)).toEqual(["group.create applied", "member.add p0 applied", "member.add p1 applied"]);
    // Those who were on board are counted when they have been added.
    const progress = { type: "progress", provider: "lab", phase: "apply", total: 3 };
    expect(told).toEqual([
      { ...progress, done: 0 },
      { ...progress, done: 3 },
    ]);
  });

  it("is not looked for in two groups of that name", async () => {
    const provider: MemoryProvider = lab({
      groups: [],
      onWrite: () => {
        provider.control.addGroup({ name: "crew" });
        provider.control.addGroup({ name: "crew" });
        throw lost();
      },
    });
    const report = await run(provider, [crew(["p0"])]);
    expect(kinds(provider)).toEqual(["group.create"]);
    expect(linesOf(report)).toEqual(orphan);
    expect(provider.control.groups().map(({ members }) => members)).toEqual([[], []]);
  });

  it("is not looked for in a group that was there before and is called so now", async () => {
    const provider: MemoryProvider = lab({
      groups: [{ id: "h", name: "other", members: ["p3"] }],
      onWrite: () => {
        provider.control.renameGroup("h", "crew");
        throw lost();
      },
    });
    const report = await run(provider, [crew(["p0"]), group("other", { members: ["p3"] })]);
    expect(kinds(provider)).toEqual(["group.create"]);
    expect(linesOf(report)).toEqual(orphan);
    expect(membersOf(provider)).toEqual(["p3"]);
  });

  it("stays unknown where nothing is found, or the list cannot be read", async () => {
    for (const unlisted of [true, false]) {
      const provider = lab({
        groups: [],
        onWrite: () => {
          throw lost();
        },
        onList: (nth) => {
          if (unlisted && nth > 2) throw new GroupSyncError("forbidden", "Not for you.");
        },
      });
      const report = await run(provider, [crew(["p0"])]);
      expect(kinds(provider)).toEqual(["group.create"]);
      expect(linesOf(report)).toEqual(orphan);
      expect(report.stopped).toBeUndefined();
    }
  });
});

describe("a group that was just made", () => {
  it("alone is still as it was made when its people are added", async () => {
    const provider = lab({ groups: [], capabilities: onBoard(0) });
    await run(provider, [crew(["p0", "p1"])]);
    expect(writes(provider)).toStrictEqual([
      { kind: "group.create", name: "crew", add: [] },
      {
        kind: "members",
        groups: [{ id: "group-1", name: "crew", version: "1" }],
        add: [
          { account: "p0", role: "member" },
          { account: "p1", role: "member" },
        ],
        update: [],
        remove: [],
      },
    ]);
  });

  it("with people on board may have moved since", async () => {
    const provider = lab({ groups: [], capabilities: onBoard(2) });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(writes(provider).map(added)).toEqual([["p0", "p1"], ["p2"]]);
    expect(writes(provider).map(refsOf)).toStrictEqual([[], [{ id: "group-1", name: "crew" }]]);
    expect(report.status).toBe("converged");
  });

  it("has all its room, where there is a limit", async () => {
    const provider = lab({ groups: [], capabilities: { ...onBoard(0), maxMembers: fact(2) } });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(linesOf(report)).toEqual([
      "group.create applied",
      "member.add p0 applied",
      "member.add p1 applied",
      "member.add p2 failed unsupported",
    ]);
  });

  it("without an answer that says which it is has nobody added to it", async () => {
    const provider = lab({ groups: [], capabilities: onBoard(0) });
    const silent: MemoryProvider = {
      ...provider,
      applyBatch: async (batch, context) => {
        const result = await provider.applyBatch(batch, context);
        return batch.kind === "group.create" ? {} : result;
      },
    };
    const report = await run(silent, [crew(["p0"])]);
    expect(kinds(provider)).toEqual(["group.create"]);
    expect(report.stopped).toBe('A call would have touched p0 in "crew", which no change asks for; it was not sent.');
    expect(linesOf(report)).toEqual(["group.create unknown not-applied", "member.add p0 skipped internal"]);
  });

  it("and comes with the id of another that was just made stops everything", async () => {
    const provider = lab({ groups: [], capabilities: inTurn });
    const confused: MemoryProvider = {
      ...provider,
      applyBatch: async (batch, context) => {
        const result = await provider.applyBatch(batch, context);
        return batch.kind === "group.create" ? { group: { id: "group-1", name: batch.name, kind: "plain" } } : result;
      },
    };
    const report = await run(confused, [
      crew(["p0"]),
      group("new", { members: ["p5", "p6"] }),
      group("newer", { members: ["p7"] }),
    ]);
    expect(kinds(provider)).toEqual(["group.create", "group.create"]);
    expect(report.stopped).toBe(
      'The new group "new" came with the id group-1, which another group has; nothing more is sent.',
    );
    expect(linesOf(report)).toEqual([
      "group.create applied",
      "member.add p0 applied",
      "group.create unknown bad-answer",
      "member.add p5 skipped bad-answer",
      "member.add p6 skipped bad-answer",
      "group.create skipped bad-answer",
      "member.add p7 skipped bad-answer",
    ]);
  });
});

describe.each([
  ["group.update", group("crew", { members: ["p0", "p1"], description: "By night." })],
  ["group.delete", group("crew", { absent: true })],
] as const)("%s", (kind, target) => {
  const more = { allow: [{ guard: "group-delete" }] } as const;
  const isDone = ({ control }: MemoryProvider) => {
    const there = control.groups().find(({ id }) => id === "g");
    return kind === "group.delete" ? there === undefined : there?.description === "By night.";
  };
  const groups = [
    { id: "g", name: "crew", members: ["p0", "p1"] },
    { id: "h", name: "other" },
  ];
  const others = group("other", { members: ["p3"] });
  /** What became of the group's own change and, after it, of that of the other group. */
  const ends = (own: string, other: string) => [`${kind} ${own}`, `member.add p3 ${other}`];

  it("names the version that was read", async () => {
    const provider = lab({ groups });
    const report = await run(provider, [target], more);
    expect(kinds(provider)).toEqual([kind]);
    expect(writes(provider).map(refsOf)).toStrictEqual([[{ id: "g", name: "crew", version: "1" }]]);
    expect(linesOf(report)).toEqual([`${kind} applied`]);
    expect(isDone(provider)).toBe(true);
  });

  it("that is refused fails alone, and is not sent again", async () => {
    const provider = lab({
      groups,
      onWrite: (batch) => {
        if (batch.kind === kind) throw refused();
      },
    });
    const report = await run(provider, [target, others], more);
    expect(kinds(provider).filter((each) => each === kind)).toHaveLength(1);
    expect(linesOf(report)).toEqual(ends("failed refused", "applied"));
    expect(report.stopped).toBeUndefined();
  });

  it("after a conflict is sent again without the version", async () => {
    const provider = lab({
      groups,
      onWrite: (_batch, nth) => {
        if (nth === 1) throw conflict();
      },
    });
    const report = await run(provider, [target], more);
    expect(writes(provider).map(refsOf)).toStrictEqual([
      [{ id: "g", name: "crew", version: "1" }],
      [{ id: "g", name: "crew" }],
    ]);
    expect(linesOf(report)).toEqual([`${kind} applied`]);
    expect(isDone(provider)).toBe(true);
  });

  it("in a conflict that does not end fails after three times", async () => {
    const provider = lab({
      groups,
      onWrite: () => {
        throw conflict();
      },
    });
    const report = await run(provider, [target], more);
    expect(kinds(provider)).toEqual([kind, kind, kind]);
    expect(linesOf(report)).toEqual([`${kind} failed conflict`]);
  });

  it.each([
    [true, "applied"],
    [false, "skipped network"],
  ])("of which nobody knows the end is not sent again: a reading tells (done: %s)", async (done, end) => {
    const provider = lab({
      groups,
      onWrite: () => {
        if (done) return { thrownAfter: lost() };
        throw lost();
      },
    });
    const report = await run(provider, [target], more);
    expect(kinds(provider)).toEqual([kind]);
    expect(linesOf(report)).toEqual([`${kind} ${end}`]);
    expect(report.stopped).toBeUndefined();
  });

  it("that cannot succeed any more stops all others", async () => {
    const provider = lab({
      groups,
      capabilities: inTurn,
      onWrite: (batch) => {
        if (batch.kind === kind) throw new GroupSyncError("rate-limited", "No more.");
      },
    });
    const alike = kind === "group.delete" ? group("other", { absent: true }) : others;
    const report = await run(provider, [target, alike], more);
    expect(kinds(provider)).toEqual([kind]);
    expect(linesOf(report)).toEqual([
      `${kind} skipped rate-limited`,
      kind === "group.delete" ? `${kind} skipped rate-limited` : "member.add p3 skipped rate-limited",
    ]);
    expect(report.stopped).toBe("No more.");
  });
});

describe("after an update", () => {
  const wanted = group("crew", { members: ["p0", "p1", "p2"], description: "By night." });

  it("the version that was answered goes with the next write", async () => {
    const provider = lab();
    const report = await run(provider, [wanted]);
    expect(kinds(provider)).toEqual(["group.update", "members"]);
    expect(writes(provider).map(refsOf)).toStrictEqual([
      [{ id: "g", name: "crew", version: "1" }],
      [{ id: "g", name: "crew", version: "2" }],
    ]);
    expect(report.status).toBe("converged");
  });

  it("no version goes with the next write if none was answered", async () => {
    const provider = lab();
    const silent: MemoryProvider = {
      ...provider,
      applyBatch: async (batch, context) => {
        await provider.applyBatch(batch, context);
        return {};
      },
    };
    const report = await run(silent, [wanted]);
    expect(writes(provider).map(refsOf)).toStrictEqual([
      [{ id: "g", name: "crew", version: "1" }],
      [{ id: "g", name: "crew" }],
    ]);
    expect(report.status).toBe("converged");
  });
});

describe("a deletion that conflicts", () => {
  const gone = [group("crew", { absent: true })];
  const allowed = { allow: [{ guard: "group-delete" }] } as const;
  const onceConflict = (meanwhile: (provider: MemoryProvider) => void) => {
    const provider: MemoryProvider = lab({
      onWrite: (_batch, nth) => {
        if (nth > 1) return;
        meanwhile(provider);
        throw conflict();
      },
    });
    return provider;
  };

  it("is not sent again once somebody has joined, whom nobody meant to throw out", async () => {
    const provider = onceConflict(({ control }) => control.addMember("g", "p9"));
    const report = await run(provider, gone, allowed);
    expect(membersOf(provider)).toEqual(["p0", "p1", "p9"]);
    expect(linesOf(report)).toEqual(["group.delete failed conflict"]);
    expect(report.providers[0]?.outcomes[0]?.error?.message).toBe(
      '"crew" has changed since it was read, so it was not deleted. Run again.',
    );
  });

  it("is not sent again when somebody else was faster", async () => {
    const provider = onceConflict(({ control }) => control.deleteGroup("g"));
    const report = await run(provider, gone, allowed);
    expect(writes(provider)).toHaveLength(1);
    expect(linesOf(report)).toEqual(["group.delete already"]);
  });

  it("is not sent again when the group cannot be read", async () => {
    let isBroken = false;
    const provider = lab({
      onWrite: () => {
        isBroken = true;
        throw conflict();
      },
      onRead: () => {
        if (isBroken) throw new GroupSyncError("unavailable", "Down.");
      },
    });
    const report = await run(provider, gone, allowed);
    expect(writes(provider)).toHaveLength(1);
    expect(linesOf(report)).toEqual(["group.delete failed conflict"]);
    expect(report.stopped).toBe("Down.");
  });
});

it("an odd error of the second list stops that provider, and is told", async () => {
  const provider = lab({
    onList: (nth) => {
      if (nth === 2) throw new Error("Odd.");
    },
  });
  const report = await run(provider, [group("new", { members: ["p5"] })]);
  expect(writes(provider)).toEqual([]);
  expect(linesOf(report)).toEqual(["group.create skipped internal", "member.add p5 skipped internal"]);
  expect(report.stopped).toBe("Odd.");
});

it("a group that was made with people on board has room for the others only", async () => {
  const provider = lab({ groups: [], capabilities: { ...onBoard(2), maxMembers: fact(3) } });
  const report = await run(provider, [crew(["p0", "p1", "p2", "p3", "p4"])]);
  expect(linesOf(report)).toEqual([
    "group.create applied",
    "member.add p0 applied",
    "member.add p1 applied",
    "member.add p2 applied",
    "member.add p3 failed unsupported",
    "member.add p4 failed unsupported",
  ]);
  expect(writes(provider)).toHaveLength(2);
});
