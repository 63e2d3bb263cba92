/** Who leaves because somebody else comes leaves only once that somebody is seen there. */
import { describe, expect, it } from "vitest";
import type { Batch } from "../../../src/model.js";
import type { Capabilities } from "../../../src/provider.js";
import { estimateCost } from "../../../src/reconcile/batch.js";
import { createPlan } from "../../../src/reconcile/reconcile.js";
import { type MemoryProvider, memoryCapabilities } from "../../../src/testing/memory.js";
import { actual, compare, everything, fact, group, line, noLimits, oneManager, type Scene } from "./builders.js";
import { crew, lab, linesOf, membersOf, names, refused, run, spec, writes } from "./apply-scenes.js";

describe("what waits", () => {
  const waiting = (scene: Scene) => compare(scene).changes.flatMap((change) => (change.waits ? [line(change)] : []));
  const members = (wanted: string[], there: string[], more: Partial<Scene> = {}): Scene => ({
    wanted: [group("crew", { members: wanted })],
    there: [actual("crew", there)],
    ...more,
  });
  const owners = (wanted: string[], there: string[], minOwners = 1, more: Partial<Scene> = {}): Scene => ({
    wanted: [group("crew", { members: ["x"], owners: wanted, guards: { ...noLimits, minOwners } })],
    there: [actual("crew", ["x", ...there])],
    ...more,
  });
  const guardedOwners: Capabilities = {
    ...everything,
    roles: { owner: { max: fact(null), clearable: fact(true), guarded: fact(true) } },
  };
  const invites = { ...everything, invitations: fact(true) };

  it.each<[string, Scene, string[]]>([
    ["everybody is replaced", members(["c"], ["a", "b"]), ["crew - a", "crew - b"]],
    ["somebody stays", members(["a", "c"], ["a", "b"]), []],
    ["nobody comes, as was acknowledged", members([], ["a"], { allow: ["empty-group"] }), []],
    ["those who stay are only invited", members(["b", "c"], ["a", "b…"]), ["crew - a"]],
    ["nobody can be added, only invited", members(["c"], ["a"], { capabilities: invites, allow: ["empty-group"] }), []],
    [
      "the group is too full for all of them at once",
      members(["c", "d"], ["a", "b"], { capabilities: { ...everything, maxMembers: fact(3) } }),
      [],
    ],
    [
      "the group has just room for all of them",
      members(["c", "d"], ["a", "b"], { capabilities: { ...everything, maxMembers: fact(4) } }),
      ["crew - a", "crew - b"],
    ],
    ["the only owner is replaced", owners(["b"], ["a:owner"]), ["crew - a as owner"]],
    ["the only owner becomes a member", owners(["x"], ["a:owner"]), ["crew - a as owner"]],
    ["one of two owners is replaced", owners(["b", "c"], ["a:owner", "b:owner"]), []],
    ["one of two, where two are the least", owners(["b", "c"], ["a:owner", "b:owner"], 2), ["crew - a as owner"]],
    ["an owner goes where none is needed", owners(["b"], ["a:owner"], 0), []],
    [
      "one of two owners is replaced where owners are guarded",
      owners(["b", "c"], ["a:owner", "b:owner"], 1, { capabilities: guardedOwners }),
      ["crew - a as owner"],
    ],
    [
      "an owner goes without a successor, as was acknowledged",
      owners([], ["a:owner"], 0, { capabilities: guardedOwners, allow: ["role-loss"] }),
      [],
    ],
    [
      "a manager is no last resort where there are owners",
      {
        wanted: [
          group("crew", { members: ["x"], managers: ["b"], owners: ["o"], guards: { ...noLimits, minOwners: 1 } }),
        ],
        there: [actual("crew", ["x", "a:manager", "o:owner"])],
      },
      [],
    ],
    [
      "a manager is replaced where there is one",
      {
        wanted: [group("crew", { members: ["a"], managers: ["b"] })],
        there: [actual("crew", ["a:manager", "b"])],
        capabilities: oneManager,
      },
      ["crew ~ a manager → member"],
    ],
  ])("%s", (_, scene, lines) => {
    expect(waiting(scene)).toEqual(lines);
  });

  it("is marked in what is held, too, which may be approved later", () => {
    const guards = { ...noLimits, maxRemovals: { count: 1, percent: 100 } };
    const { held } = compare({
      wanted: [group("crew", { members: ["c"], guards })],
      there: [actual("crew", ["a", "b"])],
    });
    expect(held.map(({ guard, waits }) => [guard, waits])).toEqual([
      ["max-removals", true],
      ["max-removals", true],
    ]);
  });
});

describe("everybody is replaced", () => {
  const wanted = [crew(["p5", "p6"])];
  const kinds = (provider: MemoryProvider) =>
    writes(provider).map((batch) => (batch.kind === "members" ? [batch.add.length, batch.remove.length] : []));

  it("first those come, then these go; and the plan tells both calls", async () => {
    const provider = lab();
    const { cost } = (await createPlan({ spec: spec(wanted), providers: [provider] })).providers[0] ?? {};
    const report = await run(provider, wanted);
    expect(membersOf(provider)).toEqual(["p5", "p6"]);
    expect(kinds(provider)).toEqual([
      [2, 0],
      [0, 2],
    ]);
    expect(cost?.calls).toBe(2);
    expect(report.status).toBe("converged");
  });

  it("takes one call where somebody stays", async () => {
    const provider = lab();
    await run(provider, [crew(["p0", "p5"])]);
    expect(kinds(provider)).toEqual([[1, 1]]);
  });

  const adds = (batch: Batch) => batch.kind === "members" && batch.add.length > 0;
  it.each<[string, (batch: Batch) => { ignored: true } | undefined]>([
    [
      "is refused",
      (batch) => {
        if (adds(batch)) throw refused();
        return undefined;
      },
    ],
    ["is accepted and not done", (batch) => (adds(batch) ? { ignored: true } : undefined)],
  ])("nobody goes when the addition %s", async (_, onWrite) => {
    const provider = lab({ onWrite });
    const report = await run(provider, wanted);
    expect(membersOf(provider)).toEqual(["p0", "p1"]);
    const removals = report.providers[0]?.outcomes.filter(({ type }) => type === "member.remove");
    expect(removals?.map(({ status, error }) => [status, error?.message])).toEqual(
      ["p0", "p1"].map(() => [
        "skipped",
        "Not removed, because nobody who was to be added is seen there, and the group would be left empty. Run again.",
      ]),
    );
    expect(report.status).toBe("failed");
  });

  it("one who came is enough", async () => {
    const provider = lab({
      onWrite: (batch) => {
        if (names(batch).includes("p6")) throw refused();
      },
    });
    const report = await run(provider, wanted);
    expect(membersOf(provider)).toEqual(["p5"]);
    expect(linesOf(report)).toEqual([
      "member.add p5 applied",
      "member.add p6 failed refused",
      "member.remove p0 applied",
      "member.remove p1 applied",
    ]);
  });

  it("a service that shows late is waited for", async () => {
    let reads = 0;
    const provider = lab();
    const late: MemoryProvider = {
      ...provider,
      readGroup: async (id, context) => {
        const snapshot = await provider.readGroup(id, context);
        // The second reading, right after the additions, still shows the old state.
        if (++reads !== 2) return snapshot;
        return { ...snapshot, members: snapshot.members.filter(({ account }) => ["p0", "p1"].includes(account)) };
      },
    };
    const report = await run(late, wanted, { verifyMs: 2_000 });
    expect(membersOf(provider)).toEqual(["p5", "p6"]);
    expect(report.status).toBe("converged");
  });

  it("nobody goes when the group cannot be read in between", async () => {
    const provider = lab({
      onRead: (_id, nth) => {
        if (nth > 1) throw refused();
      },
    });
    const report = await run(provider, wanted);
    expect(membersOf(provider)).toEqual(["p0", "p1", "p5", "p6"]);
    expect(linesOf(report).slice(2)).toEqual([
      "member.remove p0 skipped not-applied",
      "member.remove p1 skipped not-applied",
    ]);
  });
});

describe("a role with room for one", () => {
  const onlyManager = { ...memoryCapabilities, roles: oneManager.roles };
  const scene = (options: Parameters<typeof lab>[0] = {}) =>
    lab({
      ...options,
      capabilities: onlyManager,
      groups: [{ id: "g", name: "crew", members: ["p2", { account: "p0", role: "manager" }] }],
    });
  const wish = (members: string[]) => [group("crew", { members, managers: ["p1"] })];

  it("goes over in one call, which takes it from the holder", async () => {
    const provider = scene();
    const plan = await createPlan({ spec: spec(wish(["p0", "p2"])), providers: [provider] });
    const report = await run(provider, wish(["p0", "p2"]));
    expect(linesOf(report)).toEqual(["member.add p1 applied", "member.update p0 applied"]);
    expect(writes(provider)).toHaveLength(1);
    expect(plan.providers[0]?.cost.calls).toBe(1);
  });

  it("is not taken, with the membership or alone, when the successor is refused", async () => {
    for (const members of [["p0", "p2"], ["p2"]]) {
      const provider = scene({
        onWrite: (batch) => {
          if (names(batch).includes("p1")) throw refused();
        },
      });
      const report = await run(provider, wish(members));
      expect(provider.control.groups()[0]?.members).toMatchObject([
        { account: "p2", role: "member" },
        { account: "p0", role: "manager" },
      ]);
      expect(report.providers[0]?.outcomes.at(-1)?.error?.message).toBe(
        "Not done, because p1 is not seen as manager there, and nobody else takes over. Run again.",
      );
      expect(report.status).toBe("failed");
    }
  });
});

it.each(["disabled", "active"] as const)(
  "an owner goes only when the successor is in use, whom a list may show by the role alone: %s",
  async (status) => {
    const owner = { account: "p0", role: "owner" } as const;
    const provider = lab({ groups: [{ id: "g", name: "crew", members: ["p1", owner] }] });
    const shy: MemoryProvider = {
      ...provider,
      readGroup: async (id, context) => {
        const snapshot = await provider.readGroup(id, context);
        const members = snapshot.members.map((each) =>
          each.account === "p1" && each.role === "owner" ? { ...each, direct: false } : each,
        );
        return { ...snapshot, members };
      },
      findAccounts: async (keys) =>
        keys.map((key) => ({ key, accounts: [{ id: key.value, status, eligible: status === "active" }] })),
    };
    const guards = { ...noLimits, minOwners: 1 };
    const report = await run(shy, [group("crew", { members: ["p0"], owners: ["p1"], guards })]);
    expect(linesOf(report)).toEqual([
      "member.update p1 applied",
      status === "active" ? "member.update p0 applied" : "member.update p0 skipped not-applied",
    ]);
  },
);

it("a hand-over waits for its own group, whatever another is given meanwhile", async () => {
  const guards = { ...noLimits, minOwners: 1 };
  const provider = lab({
    groups: [
      { id: "g", name: "crew", members: [{ account: "p0", role: "owner" }] },
      { id: "h", name: "deck", members: ["p3"] },
    ],
    onWrite: (batch) => (names(batch).includes("p2") ? { ignored: true } : undefined),
  });
  const report = await run(provider, [
    group("crew", { members: ["p0"], owners: ["p1"], guards }),
    group("deck", { members: ["p3"], owners: ["p2"], guards }),
  ]);
  expect(linesOf(report)).toEqual([
    "member.add p1 applied",
    "member.update p0 applied",
    "member.add p2 skipped not-applied",
  ]);
});

it("what waits is counted as calls of its own", () => {
  const change = { group: "crew", role: "member", reason: "" } as const;
  const adds = { ...change, type: "member.add", account: "a" } as const;
  const removes = { ...change, type: "member.remove", account: "b" } as const;
  expect(estimateCost([adds, removes], memoryCapabilities).calls).toBe(1);
  expect(estimateCost([adds, { ...removes, waits: true }], memoryCapabilities).calls).toBe(2);
});
