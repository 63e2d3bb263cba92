/** What goes out and what is told of it while changes are applied: versions, events, the journal, calls side by side, answers. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch } from "../../../src/model.js";
import type { SyncEvent } from "../../../src/reconcile/events.js";
import { reconcile } from "../../../src/reconcile/reconcile.js";
import { createMemoryState } from "../../../src/state/memory.js";
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
  oneByOne,
  people,
  refsOf,
  refused,
  run,
  spec,
  writes,
} from "./apply-scenes.js";
import { fact, group, noLimits } from "./builders.js";

describe("the version of a group", () => {
  const night = () => group("crew", { name: "Night crew", members: ["p0", "p1", "p2"] });
  const groups = [{ id: "g", name: "Night crew", members: ["p0"] }];

  it("as it was read goes with the first write, and is forgotten after it", async () => {
    const provider = lab({ groups, capabilities: oneByOne });
    await run(provider, [night()]);
    expect(writes(provider).map(refsOf)).toStrictEqual([
      [{ id: "g", name: "Night crew", version: "1" }],
      [{ id: "g", name: "Night crew" }],
    ]);
  });

  it("is forgotten after a refusal too", async () => {
    const provider = lab({
      groups,
      capabilities: oneByOne,
      onWrite: (_batch, nth) => {
        if (nth === 1) throw refused();
      },
    });
    await run(provider, [night()]);
    expect(writes(provider).map(refsOf)).toStrictEqual([
      [{ id: "g", name: "Night crew", version: "1" }],
      [{ id: "g", name: "Night crew" }],
    ]);
  });

  it("after a conflict is that of the reading", async () => {
    const provider: MemoryProvider = lab({
      groups,
      onWrite: (_batch, nth) => {
        if (nth > 1) return;
        provider.control.addMember("g", "p1");
        throw conflict();
      },
    });
    const report = await run(provider, [night()]);
    expect(writes(provider).map(refsOf)).toStrictEqual([
      [{ id: "g", name: "Night crew", version: "1" }],
      [{ id: "g", name: "Night crew", version: "2" }],
    ]);
    expect(linesOf(report)).toEqual(["member.add p1 already", "member.add p2 applied"]);
  });

  it("that a service does not tell is not sent", async () => {
    const provider = lab({ groups, capabilities: { versions: fact(false) } });
    await run(provider, [night()]);
    expect(writes(provider).map(refsOf)).toStrictEqual([[{ id: "g", name: "Night crew" }]]);
  });
});

describe("what is told while it goes on", () => {
  const listen = () => {
    const told: SyncEvent[] = [];
    const onEvent = (event: SyncEvent) => {
      if (event.type === "batch" || (event.type === "progress" && event.phase === "apply")) told.push(event);
    };
    return { told, onEvent };
  };
  const batch = (provider: string, changes: number, ok: boolean) =>
    ({ type: "batch", provider, kind: "members", changes, ok }) as const;
  const progress = (provider: string, done: number, total: number) =>
    ({ type: "progress", provider, phase: "apply", done, total }) as const;

  it("each batch and how it ended, and how many changes are done", async () => {
    const { told, onEvent } = listen();
    const provider = lab({
      capabilities: { ...oneByOne, ...inTurn },
      onWrite: (_batch, nth) => {
        if (nth === 2) throw refused();
      },
    });
    await run(provider, [crew(["p0", "p1", "p2", "p3", "p4"])], { onEvent });
    expect(told).toEqual([
      batch("lab", 1, true),
      progress("lab", 1, 3),
      batch("lab", 1, false),
      progress("lab", 1, 3),
      batch("lab", 1, true),
      // The one that was refused has come to its end too.
      progress("lab", 3, 3),
    ]);
  });

  it("what is sent again counts once", async () => {
    const { told, onEvent } = listen();
    const provider = lab({
      onWrite: (_batch, nth) => {
        if (nth === 1) throw conflict();
      },
    });
    await run(provider, [crew(["p0", "p1", "p2", "p3"])], { onEvent });
    expect(told).toEqual([batch("lab", 2, false), progress("lab", 0, 2), batch("lab", 2, true), progress("lab", 2, 2)]);
  });

  it("of each provider by itself", async () => {
    const { told, onEvent } = listen();
    const attic = createMemoryProvider({
      id: "attic",
      people: people.map((id) => ({ id, email: `${id}@example.org` })),
      groups: [{ id: "a", name: "crew" }],
    });
    const wanted = spec([crew(["p0", "p1", "p2"]), { ...crew(["p3", "p4"]), provider: "attic" }]);
    await reconcile({
      spec: {
        ...wanted,
        providers: [...wanted.providers, { id: "attic", type: "memory", options: {}, guards: noLimits }],
      },
      providers: [lab(), attic],
      verifyMs: 250,
      onEvent,
    });
    expect(told.filter(({ provider }) => provider === "lab")).toEqual([batch("lab", 1, true), progress("lab", 1, 1)]);
    expect(told.filter(({ provider }) => provider === "attic")).toEqual([
      batch("attic", 2, true),
      progress("attic", 2, 2),
    ]);
  });
});

describe("the journal", () => {
  it("has each call with its changes, and how it ended", async () => {
    const state = createMemoryState();
    const provider = lab({
      capabilities: { ...oneByOne, ...inTurn },
      onWrite: (batch, nth) => {
        if (names(batch).includes("p3")) throw refused();
        if (nth === 3) throw lost();
      },
    });
    const { runId } = await run(provider, [crew(["p0", "p1", "p2", "p3", "p4"])], { state });
    const { journal = [] } = (await state.run(runId)) ?? {};
    expect(journal.map(({ changes, ...entry }) => ({ ...entry, of: changes.map(({ account }) => account) }))).toEqual([
      { provider: "lab", sequence: 1, kind: "members", of: ["p2"], outcome: "answered" },
      { provider: "lab", sequence: 2, kind: "members", of: ["p3"], outcome: "refused" },
      { provider: "lab", sequence: 3, kind: "members", of: ["p4"], outcome: "unknown" },
      { provider: "lab", sequence: 4, kind: "members", of: ["p4"], outcome: "answered" },
    ]);
  });

  it("that has lost its lease stops everything before the write", async () => {
    const state = createMemoryState();
    const provider = lab({ capabilities: { ...oneByOne, ...inTurn } });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3", "p4"])], {
      state: {
        ...state,
        recordIntent: async (...args) => {
          if (args[1].sequence === 2) throw new GroupSyncError("busy", "Somebody else has it.");
          await state.recordIntent(...args);
        },
      },
    });
    expect(writes(provider).map(names)).toEqual([["p2"]]);
    expect(linesOf(report)).toEqual([
      "member.add p2 applied",
      "member.add p3 skipped busy",
      "member.add p4 skipped busy",
    ]);
    expect(report.stopped).toBe("Somebody else has it.");
  });

  it.each([
    ["an error of the disk", new Error("The disk is full.")],
    ["an error of the store", new GroupSyncError("unavailable", "The disk is full.")],
  ])("that cannot be written stops everything before the write: %s", async (_name, error) => {
    const provider = lab();
    const report = await run(provider, [crew(["p0", "p1", "p2"])], {
      state: { ...createMemoryState(), recordIntent: () => Promise.reject(error) },
    });
    expect(writes(provider)).toEqual([]);
    expect(linesOf(report)).toEqual(["member.add p2 skipped internal"]);
    expect(report.stopped).toBe("Nothing more is sent, as it cannot be written down: The disk is full.");
  });

  it("that cannot take down how a call ended stops everything after it, and what was done is told", async () => {
    const provider = lab({ capabilities: { ...oneByOne, ...inTurn } });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3"])], {
      state: { ...createMemoryState(), recordOutcome: () => Promise.reject(new Error("The disk is full.")) },
    });
    expect(writes(provider).map(names)).toEqual([["p2"]]);
    expect(linesOf(report)).toEqual(["member.add p2 applied", "member.add p3 skipped internal"]);
    expect(report.stopped).toBe("The disk is full.");
  });
});

describe("calls at the same time", () => {
  /** Takes a while for each call; `most`: how many were under way at once, `clashes`: how many of them for one group. */
  function watch(provider: MemoryProvider) {
    const seen = { most: 0, clashes: 0 };
    const underWay: Batch[] = [];
    const watched: MemoryProvider = {
      ...provider,
      applyBatch: async (batch, context) => {
        const busy = new Set(underWay.flatMap((each) => refsOf(each).map(({ id }) => id)));
        if (refsOf(batch).some(({ id }) => busy.has(id))) seen.clashes++;
        seen.most = Math.max(seen.most, underWay.push(batch));
        await sleep(20);
        underWay.splice(underWay.indexOf(batch), 1);
        return provider.applyBatch(batch, context);
      },
    };
    return { seen, watched };
  }
  const groups = ["g", "h", "i", "j"].map((id) => ({ id, name: id }));

  it("are for different groups: those for one group follow each other", async () => {
    const provider = lab({ groups, capabilities: oneByOne });
    const { seen, watched } = watch(provider);
    const report = await run(watched, [
      group("g", { members: ["p0", "p1", "p2"] }),
      group("h", { members: ["p3", "p4"] }),
    ]);
    expect(report.status).toBe("converged");
    expect(writes(provider)).toHaveLength(5);
    expect(seen).toEqual({ most: 2, clashes: 0 });
  });

  it("are no more than the service takes", async () => {
    const provider = lab({ groups, capabilities: { ...oneByOne, ...inTurn } });
    const { seen, watched } = watch(provider);
    await run(watched, [group("g", { members: ["p0"] }), group("h", { members: ["p1"] })]);
    expect(seen).toEqual({ most: 1, clashes: 0 });
  });

  it("wait for each other where one shares a group with two that share none", async () => {
    const provider = lab({
      groups,
      capabilities: { mixed: fact(false), add: { accountsPerCall: fact(1), groupsPerCall: fact(2) } },
    });
    const { seen, watched } = watch(provider);
    const report = await run(watched, [
      group("g", { members: ["p0"] }),
      group("h", { members: ["p1"] }),
      group("i", { members: ["p1", "p2"] }),
      group("j", { members: ["p0", "p2"] }),
    ]);
    expect(report.status).toBe("converged");
    expect(writes(provider).map((batch) => refsOf(batch).map(({ id }) => id))).toEqual([
      ["g", "j"],
      ["h", "i"],
      ["i", "j"],
    ]);
    expect(seen).toEqual({ most: 1, clashes: 0 });
  });
});

it("a service that replaces where it should merge is stopped after one change", async () => {
  const provider = lab({
    groups: [
      { id: "g", name: "crew", members: people.slice(0, 6) },
      { id: "h", name: "other", members: people.slice(0, 6) },
    ],
    capabilities: {
      add: { accountsPerCall: fact(100), groupsPerCall: fact(1) },
      inFlight: { ...memoryCapabilities.inFlight, writes: fact(1) },
    },
  });
  const replacing: MemoryProvider = {
    ...provider,
    applyBatch: async (batch, context) => {
      await provider.applyBatch(batch, context);
      if (batch.kind !== "members") return {};
      const [ref] = batch.groups;
      for (const id of people.slice(0, 6)) provider.control.removeMember(ref?.id ?? "", id);
      return { members: batch.add.map(({ account, role }) => ({ account, role, direct: true, state: "active" })) };
    },
  };
  const wanted = [...people.slice(0, 6), "p8"];
  const report = await run(replacing, [crew(wanted), group("other", { members: wanted })]);
  expect(report.stopped).toMatch(/The service replaces where it should merge/);
  expect(membersOf(provider, "other")).toEqual(people.slice(0, 6));
  expect(report.residual.filter(({ unasked }) => unasked)).toHaveLength(6);
});

describe("an answer that lacks members who were not part of the change", () => {
  const inTwo = (first: readonly string[], second = first) => [
    { id: "g", name: "crew", members: first },
    { id: "h", name: "other", members: second },
  ];
  /** Answers with nobody but these, though everybody is there. */
  function telling(provider: MemoryProvider, told: readonly string[]): MemoryProvider {
    return {
      ...provider,
      applyBatch: async (batch, context) => {
        await provider.applyBatch(batch, context);
        return { members: told.map((account) => ({ account, role: "member", direct: true, state: "active" })) };
      },
    };
  }
  const capabilities = { ...inTurn, add: { accountsPerCall: fact(100), groupsPerCall: fact(1) } };
  const four = people.slice(0, 4);

  it("but for half of them stops", async () => {
    const provider = lab({ groups: inTwo(four), capabilities });
    const wanted = [...four, "p8"];
    const report = await run(telling(provider, ["p0", "p1", "p8"]), [
      crew(wanted),
      group("other", { members: wanted }),
    ]);
    const message =
      'After a change to "crew", 2 of 4 members who were not part of it are gone. The service replaces where it should merge; nothing more is sent to it.';
    expect(report.stopped).toBe(message);
    expect(linesOf(report)).toEqual(["member.add p8 applied", "member.add p8 skipped bad-answer"]);
    expect(report.providers[0]?.outcomes[1]?.error).toEqual({
      code: "bad-answer",
      message,
      hint: "Look at the group there. Those people are restored by the next run, if the spec lists them.",
    });
  });

  it("but for most of them goes on", async () => {
    const provider = lab({ groups: inTwo(four), capabilities });
    const wanted = [...four, "p8"];
    const report = await run(telling(provider, ["p0", "p1", "p2", "p8"]), [
      crew(wanted),
      group("other", { members: wanted }),
    ]);
    expect(report.stopped).toBeUndefined();
    expect(membersOf(provider, "other")).toEqual(wanted);
  });

  it("is not excused by what is taken from another group", async () => {
    const provider = lab({ groups: inTwo(four), capabilities });
    const report = await run(telling(provider, ["p8"]), [crew([...four, "p8"]), group("other", { members: ["p8"] })]);
    expect(report.stopped).toMatch(/^After a change to "crew", 4 of 4 members/);
    expect(membersOf(provider, "other")).toEqual(four);
  });

  it("goes on where those are invited, switched off, or there by a rule", async () => {
    const provider = lab({
      groups: [
        {
          id: "g",
          name: "crew",
          members: ["p0", "p1", { account: "p2", direct: false }, { account: "p3", direct: false }],
          invited: ["p4", "p5"],
        },
      ],
      capabilities: { ...capabilities, invitations: fact(true) },
    });
    provider.control.setPersonStatus("p1", "disabled");
    const report = await run(telling(provider, ["p0"]), [crew(["p0", "p1", "p2", "p3", "p4", "p5", "p8"])]);
    expect(writes(provider).map(names)).toEqual([["p8"]]);
    expect(report.stopped).toBeUndefined();
    expect(linesOf(report)).toEqual(["member.add p8 pending"]);
  });
});
