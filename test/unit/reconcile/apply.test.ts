/** Applying and verifying against a provider in memory: what fails, fails alone, and the report says what is so. */
import { describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Change } from "../../../src/model.js";
import { isSo } from "../../../src/reconcile/snapshot.js";
import { reconcile } from "../../../src/reconcile/reconcile.js";
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
import { actual, fact, group, noLimits, snapshotOf } from "./builders.js";

describe("a pinned account", () => {
  it("is asked about before it is added, though it is listed elsewhere as switched off", async () => {
    const provider = lab({
      groups: [
        { id: "g", name: "crew", members: ["p1", "p2", "p9"] },
        { id: "h", name: "other", members: ["p5"] },
      ],
    });
    provider.control.setPersonStatus("p5", "disabled");
    const report = await run(provider, [crew(["p1", "p2", "p5"]), group("other", { members: ["p5"] })]);
    expect(report.providers[0]?.unresolved).toMatchObject([{ person: "p5", state: "disabled" }]);
    expect(linesOf(report)).toEqual(["member.remove p9 applied"]);
  });

  it.each([
    ["by a role alone, which a service may leave to people who are gone", false, ["member.remove p9 held"]],
    ["as a member", true, ["member.add p5 applied", "member.remove p9 applied"]],
  ])("is asked about where it was seen %s", async (_how, direct, ends) => {
    const asked: string[] = [];
    const provider: MemoryProvider = {
      ...lab({
        groups: [
          { id: "g", name: "crew", members: ["p1", "p2", "p9"] },
          { id: "h", name: "other", members: ["p0", { account: "p5", role: "owner", direct }] },
        ],
      }),
      findAccounts: async (keys) => {
        asked.push(...keys.map(({ value }) => value));
        return keys.map((key) => ({ key, accounts: [] }));
      },
    };
    const report = await run(provider, [crew(["p1", "p2", "p5"]), group("other", { members: ["p0"] })]);
    expect(linesOf(report).filter((each) => !each.includes("owner"))).toEqual(ends);
    expect(asked).toEqual(direct ? [] : ["p5"]);
  });
});

describe("a role", () => {
  it("is not given to a pinned account that is switched off, and what is there stays", async () => {
    const provider = lab({ groups: [{ id: "g", name: "crew", members: ["p1", "p5"] }] });
    provider.control.setPersonStatus("p5", "disabled");
    const report = await run(provider, [group("crew", { members: ["p1"], managers: ["p5"] })]);
    expect(report.providers[0]?.unresolved).toMatchObject([{ person: "p5", state: "disabled" }]);
    expect(writes(provider)).toEqual([]);
    expect(membersOf(provider)).toEqual(["p1", "p5"]);
  });
});

describe("an owner", () => {
  it.each([
    ["disabled", "member.remove p0 held"],
    ["active", "member.remove p0 applied"],
  ] as const)("goes only where another stays who is in use, and not merely listed: %s", async (status, end) => {
    const guards = { ...noLimits, minOwners: 1 };
    const owners = [
      { account: "p0", role: "owner" },
      { account: "p1", role: "owner", direct: false },
    ] as const;
    const asked: string[] = [];
    const provider: MemoryProvider = {
      ...lab({ groups: [{ id: "g", name: "crew", members: ["p2", ...owners] }] }),
      // The list of members shows p1 as active, as it does not know better.
      findAccounts: async (keys) => {
        asked.push(...keys.map(({ value }) => value));
        return keys.map((key) => ({ key, accounts: [{ id: key.value, status, eligible: status === "active" }] }));
      },
    };
    const report = await run(provider, [group("crew", { members: ["p2"], owners: ["p1"], guards })]);
    expect(linesOf(report)).toEqual([end]);
    expect(asked).toEqual(["p1"]);
  });
});

it("nobody leaves a group while an owner by role alone, who may be protected, cannot be looked up", async () => {
  const members = [
    "p2",
    "p3",
    { account: "p0", role: "owner" },
    { account: "p1", role: "owner", direct: false },
  ] as const;
  const provider: MemoryProvider = {
    ...lab({ groups: [{ id: "g", name: "crew", members }] }),
    findAccounts: async () => {
      throw new GroupSyncError("refused", "No.");
    },
  };
  const report = await run(provider, [
    group("crew", { members: ["p2"], owners: ["p1"], guards: { ...noLimits, minOwners: 1 } }),
  ]);
  expect(linesOf(report).toSorted()).toEqual(["member.remove p0 held", "member.remove p3 held"]);
  const [first] = report.providers[0]?.outcomes ?? [];
  expect(first?.guard).toBe("incomplete-reading");
  expect(JSON.stringify(first)).toContain("of p1, who is owner there, the look-up failed: No.");
});

describe("a batch that is refused", () => {
  it("is split until the bad one stands alone, and everybody else goes through", async () => {
    const provider = lab({
      onWrite: (batch) => {
        if (names(batch).includes("p5")) throw refused();
      },
    });
    const report = await run(provider, [crew(people)]);
    expect(membersOf(provider)).toEqual(people.filter((id) => id !== "p5"));
    expect(linesOf(report).filter((each) => !each.endsWith(" applied"))).toEqual(["member.add p5 failed refused"]);
    // Ten people: halving takes a few calls, not one for each.
    expect(writes(provider).length).toBeLessThanOrEqual(8);
    expect(report.status).toBe("partial");
  });

  it.each([1, 2, 3])("is looked into once, and then only halved: %i bad ones", async (bad) => {
    const culprits = people.slice(5, 5 + bad);
    const provider = lab({
      onWrite: (batch) => {
        if (names(batch).some((id) => culprits.includes(id))) throw refused();
      },
    });
    const report = await run(provider, [crew(people)]);
    expect(linesOf(report).filter((each) => each.endsWith("refused"))).toHaveLength(bad);
    const reads = provider.control.calls.filter(({ operation }) => operation === "readGroup").length;
    // Once for the plan, once after the refusal, and the rounds of reading back.
    expect(reads).toBeLessThanOrEqual(6);
  });

  it("of which a part was done all the same is booked as it is", async () => {
    const provider: MemoryProvider = lab({
      onWrite: (_batch, nth) => {
        if (nth !== 1) return;
        provider.control.addMember("g", "p2");
        throw refused();
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3"])]);
    expect(linesOf(report)).toEqual(["member.add p2 already", "member.add p3 applied"]);
    expect(report.status).toBe("converged");
  });

  it("that took somebody in without the role tells both", async () => {
    const provider: MemoryProvider = lab({
      onWrite: (_batch, nth) => {
        if (nth === 1) provider.control.addMember("g", "p2");
        throw refused();
      },
    });
    const report = await run(provider, [group("crew", { members: ["p0", "p1"], owners: ["p2"] })]);
    expect(linesOf(report)).toEqual(["member.add p2 applied", "member.update p2 failed refused"]);
    expect(report.providers[0]?.outcomes).toMatchObject([
      { role: "member" },
      { role: "owner", previousRole: "member" },
    ]);
    expect(report).toMatchObject({ status: "partial", summary: { applied: 1, failed: 1 } });
  });

  it("too large, it goes on in smaller parts", async () => {
    const provider = lab({
      onWrite: (batch) => {
        if (names(batch).length > 3) throw new GroupSyncError("too-large", "Too much.");
      },
    });
    const report = await run(provider, [crew(people)]);
    expect(report.status).toBe("converged");
    expect(Math.max(...writes(provider).map((batch) => names(batch).length))).toBe(10);
  });

  it("one bad group never stops the others", async () => {
    const provider = lab({
      groups: [
        { id: "g", name: "crew" },
        { id: "h", name: "other" },
      ],
      onWrite: (batch) => {
        if (batch.kind === "members" && batch.groups.some(({ id }) => id === "g")) throw refused();
      },
    });
    const report = await run(provider, [crew(["p1"]), group("other", { members: ["p2", "p3"] })]);
    expect(membersOf(provider, "other")).toEqual(["p2", "p3"]);
    expect(linesOf(report)).toContain("member.add p1 failed refused");
  });
});

describe("a batch of which nobody knows the end", () => {
  const lost = (done: boolean) => (nth: number) => {
    const error = new GroupSyncError("network", "Broken.", { outcomeUnknown: true });
    if (nth > 1) return undefined;
    if (done) return { thrownAfter: error };
    throw error;
  };

  it.each([true, false])("is settled by reading, and sent again only where it is not so (done: %s)", async (done) => {
    const provider = lab({ onWrite: (_batch, nth) => lost(done)(nth) });
    const report = await run(provider, [crew(["p0", "p2", "p3"])]);
    expect(membersOf(provider)).toEqual(["p0", "p2", "p3"]);
    expect(report.status).toBe("converged");
    expect(writes(provider)).toHaveLength(done ? 1 : 2);
  });

  it("is read back when it was the last one, because of a stop", async () => {
    const stopper = new AbortController();
    const provider = lab({
      onWrite: () => {
        stopper.abort();
        return { thrownAfter: new GroupSyncError("cancelled", "Stopped.", { outcomeUnknown: true }) };
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])], { signal: stopper.signal });
    expect(membersOf(provider)).toEqual(["p0", "p1", "p2"]);
    expect(linesOf(report)).toEqual(["member.add p2 applied"]);
    expect(report.stopped).toBe("Stopped.");
  });

  it("invites nobody a second time in the same run", async () => {
    const provider = lab({
      capabilities: { invitations: fact(true) },
      onWrite: (_batch, nth) => lost(false)(nth),
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(writes(provider)).toHaveLength(1);
    expect(linesOf(report)).toEqual([expect.stringMatching(/^member\.add p2 (skipped|unknown)/)]);
  });

  it("invites nobody a second time who was invited by a batch that was refused, though it shows late", async () => {
    const invited: string[] = [];
    const provider: MemoryProvider = lab({
      capabilities: { invitations: fact(true) },
      onWrite: (batch) => {
        const good = names(batch).filter((id) => id !== "p5");
        invited.push(...good);
        if (good.length === names(batch).length) return;
        // Everybody but the bad one is invited all the same, which shows after a while.
        setTimeout(() => {
          for (const id of good) provider.control.addMember("g", id);
        }, 100);
        throw refused({ status: 400 });
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3", "p4", "p5"])], { verifyMs: 300 });
    expect(invited).toEqual(["p2", "p3", "p4"]);
    expect(linesOf(report).at(-1)).toBe("member.add p5 failed refused");
  });

  it("looks after every refusal who was invited by it", async () => {
    const invited: string[] = [];
    const provider: MemoryProvider = lab({
      capabilities: { invitations: fact(true) },
      onWrite: (batch) => {
        const good = names(batch).filter((id) => id !== "p2");
        if (good.length === names(batch).length) return void invited.push(...good);
        // The last one is invited all the same.
        for (const id of good.slice(-1)) {
          invited.push(id);
          provider.control.addMember("g", id);
        }
        throw refused({ status: 400 });
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3", "p4", "p5"])], { verifyMs: 50 });
    expect(invited.toSorted()).toEqual(["p3", "p4", "p5"]);
    expect(linesOf(report)[0]).toBe("member.add p2 failed refused");
  });

  it("takes nothing for its own because somebody else is invited there", async () => {
    const provider = lab({
      groups: [{ id: "g", name: "crew", members: ["p0", "p1", "p2"], invited: ["p9"] }],
      capabilities: { invitations: fact(true) },
      onWrite: () => ({ thrownAfter: refused({ status: 400 }) }),
    });
    const report = await run(provider, [group("crew", { members: ["p0"], owners: ["p1", "p2"], mode: "additive" })]);
    expect(linesOf(report)).toEqual(["member.update p1 already", "member.update p2 already"]);
  });

  it.each([
    ["is ours where the service refused it all the same", true, "pending"],
    ["is somebody else's where nothing was sent", false, "already"],
  ])("shows an invitation that %s", async (_what, isSent, status) => {
    const provider = lab({
      capabilities: { invitations: fact(true) },
      onWrite: () => ({ thrownAfter: refused(isSent ? { status: 400 } : {}) }),
    });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3"])], { verifyMs: 0 });
    expect(linesOf(report)).toEqual([`member.add p2 ${status}`, `member.add p3 ${status}`]);
  });

  it.each([
    ["ours where one of its calls had gone through", 202, "applied"],
    ["somebody else's where none had", 409, "already"],
    ["somebody else's where none was answered", undefined, "already"],
  ])("conflicts: who is there then is %s", async (_whose, status, outcome) => {
    const memory = lab({ onWrite: (_batch, nth) => (nth === 1 ? { thrownAfter: conflict() } : undefined) });
    const provider: MemoryProvider = {
      ...memory,
      applyBatch: (batch, context) => {
        const call = {
          type: "call",
          provider: "lab",
          operation: "addMembers",
          effect: "write",
          ms: 1,
          attempt: 1,
        } as const;
        context.onCall?.({ ...call, ...(status !== undefined && { status }) });
        return memory.applyBatch(batch, { ...context, onCall: () => {} });
      },
    };
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(linesOf(report)).toEqual([`member.add p2 ${outcome}`]);
  });

  it("gives up after a few tries, and says that it does not know", async () => {
    const provider = lab({
      onWrite: () => {
        throw new GroupSyncError("timeout", "Late.", { outcomeUnknown: true });
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(writes(provider)).toHaveLength(3);
    expect(linesOf(report)).toEqual(["member.add p2 unknown timeout"]);
    expect(report.status).not.toBe("converged");
  });

  it("that timed out goes on in smaller parts", async () => {
    const provider = lab({
      onWrite: (batch) => {
        if (names(batch).length > 5) throw new GroupSyncError("timeout", "Late.", { outcomeUnknown: true });
      },
    });
    const report = await run(provider, [crew(people)]);
    expect(report.status).toBe("converged");
    expect(writes(provider).map((batch) => names(batch).length)).toEqual([10, 5, 5]);
  });

  it("is never sent again when it was a creation: it is looked for", async () => {
    const provider = lab({
      groups: [],
      onWrite: (batch) =>
        batch.kind === "group.create"
          ? { thrownAfter: new GroupSyncError("network", "Broken.", { outcomeUnknown: true }) }
          : undefined,
    });
    const report = await run(provider, [crew(["p0", "p1"])]);
    expect(provider.control.groups()).toHaveLength(1);
    expect(membersOf(provider)).toEqual(["p0", "p1"]);
    expect(report.status).toBe("converged");
    expect(writes(provider).filter(({ kind }) => kind === "group.create")).toHaveLength(1);
  });
});

describe("someone else was faster", () => {
  it("a conflict is read again, and only what is left is sent", async () => {
    const provider: MemoryProvider = lab({
      onWrite: (_batch, nth) => {
        if (nth > 1) return;
        provider.control.addMember("g", "p2");
        throw new GroupSyncError("conflict", "Changed.");
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3"])]);
    expect(writes(provider).map(names)).toEqual([["p2", "p3"], ["p3"]]);
    expect(linesOf(report)).toEqual(["member.add p2 already", "member.add p3 applied"]);
  });

  it("a conflict that does not end is a failure of those changes", async () => {
    const provider = lab({
      onWrite: () => {
        throw new GroupSyncError("conflict", "Changed.");
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(writes(provider)).toHaveLength(3);
    expect(linesOf(report)).toEqual(["member.add p2 failed conflict"]);
  });

  it("a group that disappeared fails alone", async () => {
    const provider: MemoryProvider = lab({
      groups: [
        { id: "g", name: "crew" },
        { id: "h", name: "other" },
      ],
      capabilities: { add: { accountsPerCall: fact(100), groupsPerCall: fact(1) } },
      onWrite: (_batch, nth) => {
        if (nth === 1) provider.control.deleteGroup("g");
      },
    });
    const report = await run(provider, [crew(["p1"]), group("other", { members: ["p2"] })]);
    expect(membersOf(provider, "other")).toEqual(["p2"]);
    expect(linesOf(report)[0]).toMatch(/^member\.add p1 (failed|skipped|unknown)/);
  });
});

describe("a service that lies", () => {
  it("a yes that did nothing is not applied", async () => {
    const provider = lab({ onWrite: () => ({ ignored: true }) });
    const report = await run(provider, [crew(["p0", "p2"])]);
    expect(linesOf(report)).toEqual(["member.add p2 skipped not-applied", "member.remove p1 skipped not-applied"]);
    expect(report.residual.map(({ account }) => account)).toEqual(["p2", "p1"]);
  });

  it("a removal that a reading which is not whole does not show is unknown, not done", async () => {
    let written = false;
    const provider = createMemoryProvider({
      id: "lab",
      people: people.map((id) => ({ id })),
      groups: [{ id: "g", name: "crew", members: ["p0", "p1"] }],
      capabilities: { consistencyMs: fact(200) },
      before: (operation) => {
        if (operation === "applyBatch") written = true;
        return operation === "readGroup" && written ? { incomplete: "page 2 failed" } : undefined;
      },
    });
    const report = await run(provider, [crew(["p0"])]);
    expect(linesOf(report)).toEqual(["member.remove p1 unknown not-applied"]);
  });

  it("somebody who is gone without being asked to go is told", async () => {
    const provider: MemoryProvider = lab({
      onWrite: (_batch, nth) => {
        if (nth === 1) provider.control.removeMember("g", "p1");
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(report.residual).toMatchObject([{ account: "p1", unasked: true }]);
    expect(report.status).toBe("partial");
  });

  it("a lag is waited for", async () => {
    let reads = 0;
    const provider = createMemoryProvider({
      id: "lab",
      people: people.map((id) => ({ id })),
      groups: [{ id: "g", name: "crew", members: ["p0"] }],
      capabilities: { consistencyMs: fact(2_000) },
    });
    const slow: MemoryProvider = {
      ...provider,
      readGroup: async (id, context) => {
        const snapshot = await provider.readGroup(id, context);
        // The second reading, right after the write, still shows the old state.
        if (++reads !== 2) return snapshot;
        return { ...snapshot, members: snapshot.members.filter(({ account }) => account !== "p1") };
      },
    };
    const report = await run(slow, [crew(["p0", "p1"])], { verifyMs: 2_000 });
    expect(report.status).toBe("converged");
    expect(reads).toBe(3);
  });
});

it("a new role of somebody who left meanwhile, and is invited by it, is pending", async () => {
  const provider = lab({ capabilities: { invitations: fact(true) } });
  let reads = 0;
  const inviting: MemoryProvider = {
    ...provider,
    readGroup: async (id, context) => {
      const snapshot = await provider.readGroup(id, context);
      if (++reads === 1) return snapshot;
      const members = snapshot.members.map((each) =>
        each.account === "p1" ? { ...each, state: "pending" as const, invitation: "i" } : each,
      );
      return { ...snapshot, members };
    },
  };
  const report = await run(inviting, [group("crew", { members: ["p0"], owners: ["p1"] })]);
  expect(linesOf(report)).toEqual(["member.update p1 pending"]);
});

describe("what cannot succeed any more", () => {
  it.each(["unauthenticated", "rate-limited", "internal", "busy", "network", "unavailable"] as const)(
    "%s stops the provider: the rest is skipped with the reason",
    async (code) => {
      const provider = lab({
        groups: [
          { id: "g", name: "crew" },
          { id: "h", name: "other" },
        ],
        capabilities: {
          add: { accountsPerCall: fact(1), groupsPerCall: fact(1) },
          inFlight: { ...memoryCapabilities.inFlight, writes: fact(1) },
        },
        onWrite: (_batch, nth) => {
          if (nth === 2) throw new GroupSyncError(code, "No more.");
        },
      });
      const report = await run(provider, [crew(["p1", "p2"]), group("other", { members: ["p3"] })]);
      expect(writes(provider)).toHaveLength(2);
      const outcomes = linesOf(report);
      expect(outcomes.filter((each) => each.endsWith(" applied"))).toHaveLength(1);
      expect(outcomes.filter((each) => each.endsWith(`skipped ${code}`))).toHaveLength(2);
    },
  );

  it("a cancelled run sends nothing more, and tells what was done", async () => {
    const stopper = new AbortController();
    const provider = lab({
      groups: [{ id: "g", name: "crew" }],
      capabilities: { add: { accountsPerCall: fact(1), groupsPerCall: fact(1) } },
      onWrite: (_batch, nth) => {
        if (nth === 2) stopper.abort();
      },
    });
    const report = await run(provider, [crew(["p1", "p2", "p3", "p4"])], { signal: stopper.signal });
    expect(writes(provider)).toHaveLength(2);
    expect(membersOf(provider)).toEqual(["p1", "p2"]);
    expect(linesOf(report).filter((each) => each.endsWith("skipped cancelled"))).toHaveLength(2);
    expect(report.stopped).toMatch(/Stopped/);
  });

  it("one provider that is down never stops the others", async () => {
    const down = createMemoryProvider({
      id: "down",
      before: () => {
        throw new GroupSyncError("unavailable", "Down.");
      },
    });
    const provider = lab();
    const wanted = spec([crew(["p0", "p2"]), { ...crew(["p0"]), provider: "down" }]);
    const report = await reconcile({
      spec: {
        ...wanted,
        providers: [...wanted.providers, { id: "down", type: "memory", options: {}, guards: noLimits }],
      },
      providers: [down, provider],
      verifyMs: 250,
    });
    expect(membersOf(provider)).toEqual(["p0", "p2"]);
    expect(report.providers.map(({ id, error }) => [id, error?.code])).toEqual([
      ["down", "unavailable"],
      ["lab", undefined],
    ]);
    expect(report.status).toBe("partial");
  });
});

it("all is decided by readings made before the first guard: who joins after them is neither planned nor removed", async () => {
  const order: string[] = [];
  const provider = createMemoryProvider({
    id: "lab",
    people: people.map((id) => ({ id, email: `${id}@example.org` })),
    groups: [
      { id: "g", name: "crew", members: ["p0", "p1", "p3"] },
      { id: "h", name: "deck", members: ["p0", "p4"] },
    ],
    capabilities: { ...oneByOne, ...inTurn },
    before: (operation) => {
      order.push(operation);
    },
  });
  /** Limits that tell when a guard looks at them first, which is when others add somebody. */
  const guards = new Proxy(noLimits, {
    get: (limits, key: keyof typeof noLimits) => {
      // The names of the protected are asked for before, to look them up.
      if (key !== "maxRemovals") return limits[key];
      if (!order.includes("guard")) for (const id of ["g", "h"]) provider.control.addMember(id, "p9");
      order.push("guard");
      return limits[key];
    },
  });
  const wanted = [crew(["p0", "p2"]), group("deck", { members: ["p0", "p5"] })].map((each) => ({ ...each, guards }));
  const report = await run(provider, wanted);
  const [guard, write] = [order.indexOf("guard"), order.indexOf("applyBatch")];
  expect(order.slice(0, guard)).toEqual(expect.arrayContaining(["listGroups", "readGroup"]));
  expect(order.slice(guard, write).filter((each) => each !== "guard")).toEqual([]);
  expect(order.slice(write).filter((each) => each === "guard")).toEqual([]);
  expect(linesOf(report).toSorted()).toEqual([
    "member.add p2 applied",
    "member.add p5 applied",
    "member.remove p1 applied",
    "member.remove p3 applied",
    "member.remove p4 applied",
  ]);
  // The versions have moved on, so that some is sent again.
  expect([...new Set(writes(provider).flatMap(names))].toSorted()).toEqual(["p1", "p2", "p3", "p4", "p5"]);
  expect(membersOf(provider)?.toSorted()).toEqual(["p0", "p2", "p9"]);
  expect(membersOf(provider, "deck")?.toSorted()).toEqual(["p0", "p5", "p9"]);
});

it("a full group gives room before it takes, and takes no more than it holds", async () => {
  const provider = lab({
    groups: [{ id: "g", name: "crew", members: ["p0", "p1", "p2"] }],
    capabilities: { maxMembers: fact(3) },
  });
  const report = await run(provider, [crew(["p0", "p3", "p4", "p5"])]);
  expect(names(writes(provider)[0] ?? { kind: "members", groups: [], add: [], update: [], remove: [] })).toEqual([
    "p1",
    "p2",
  ]);
  expect(membersOf(provider)).toEqual(["p0", "p3", "p4"]);
  expect(linesOf(report)).toContain("member.add p5 failed unsupported");
});

describe("a conflict", () => {
  /** A service that takes long to show a write. */
  const slow = { consistencyMs: fact(10_000) };
  /** When each call of a kind began. */
  const clock = () => {
    const times: number[] = [];
    return {
      times,
      tick: () => void times.push(performance.now()),
      after: (nth: number) => (times[nth] ?? 0) - (times[nth - 1] ?? 0),
    };
  };

  it("is given time to show our own last write, a little more each time, but not for nothing", async () => {
    const { times, tick, after } = clock();
    let readAfterwards = 0;
    const provider = lab({
      capabilities: slow,
      onWrite: () => {
        tick();
        throw conflict();
      },
      onRead: () => {
        if (times.length === 3 && readAfterwards === 0) readAfterwards = performance.now();
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(linesOf(report)).toEqual(["member.add p2 failed conflict"]);
    expect(times).toHaveLength(3);
    // A timer may be early by a millisecond.
    expect(after(1)).toBeGreaterThanOrEqual(395);
    expect(after(2)).toBeGreaterThanOrEqual(795);
    expect(after(1) + after(2)).toBeLessThan(5_000);
    expect(readAfterwards - (times[2] ?? 0)).toBeLessThan(1_000);
  });

  it("alone is waited for: what got lost is looked at at once", async () => {
    const { times, tick } = clock();
    const provider = lab({
      capabilities: slow,
      onWrite: () => {
        tick();
        throw lost();
      },
    });
    await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(times).toHaveLength(3);
    expect((times[2] ?? 0) - (times[0] ?? 0)).toBeLessThan(1_000);
  });

  it("after which the run is cancelled leaves what is left unsent", async () => {
    const stopper = new AbortController();
    const provider = lab({
      onWrite: () => {
        throw conflict();
      },
      onRead: (_groupId, nth) => {
        if (nth === 2) stopper.abort();
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])], { signal: stopper.signal });
    expect(writes(provider)).toHaveLength(1);
    expect(linesOf(report)).toEqual(["member.add p2 skipped cancelled"]);
    expect(report.stopped).toBe("Stopped on request.");
  });
});

describe("a group that cannot be read after a failure", () => {
  const groups = [
    { id: "g", name: "crew" },
    { id: "h", name: "other" },
  ];
  const wanted = [crew(["p1", "p2"]), group("other", { members: ["p3"] })];

  it.each([
    ["refused", refused(), ["member.add p1 failed refused", "member.add p2 failed refused"]],
    ["lost", lost(), ["member.add p1 unknown network", "member.add p2 unknown network"]],
  ])("is a reason to stop, and its changes ended as they were answered: %s", async (_name, error, expected) => {
    const provider = lab({
      groups,
      capabilities: inTurn,
      onWrite: () => {
        throw error;
      },
      onRead: (_groupId, nth) => {
        if (nth > 2) throw new GroupSyncError("unavailable", "Down.");
      },
    });
    const report = await run(provider, wanted);
    expect(writes(provider).map(names)).toEqual([["p1", "p2"]]);
    expect(linesOf(report)).toEqual([...expected, "member.add p3 skipped unavailable"]);
    expect(report.stopped).toBe("Down.");
  });

  it("for a reason that is none of ours, the first failure is what stopped it", async () => {
    const provider = lab({
      groups,
      capabilities: inTurn,
      onWrite: () => {
        throw refused();
      },
      onRead: (_groupId, nth) => {
        if (nth > 2) throw new Error("Odd.");
      },
    });
    const report = await run(provider, wanted);
    expect(linesOf(report)).toEqual([
      "member.add p1 failed refused",
      "member.add p2 failed refused",
      "member.add p3 skipped refused",
    ]);
    expect(report.stopped).toBe("No.");
  });

  it("as it is gone, the others go on", async () => {
    const provider: MemoryProvider = lab({
      groups,
      capabilities: inTurn,
      onWrite: (_batch, nth) => {
        if (nth === 1) provider.control.deleteGroup("g");
      },
    });
    const report = await run(provider, wanted);
    expect(linesOf(report)).toEqual([
      "member.add p1 failed not-found",
      "member.add p2 failed not-found",
      "member.add p3 applied",
    ]);
    expect(report.stopped).toBeUndefined();
  });
});

describe("a service that invites", () => {
  it("splits what is refused as any other", async () => {
    const provider = lab({
      capabilities: { invitations: fact(true) },
      onWrite: (batch) => {
        if (names(batch).includes("p5")) throw refused();
      },
    });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p5"])]);
    expect(linesOf(report)).toEqual(["member.add p2 pending", "member.add p5 failed refused"]);
  });

  it("after a loss is sent the removals again, and no additions", async () => {
    const provider = lab({
      capabilities: { invitations: fact(true) },
      onWrite: (_batch, nth) => {
        if (nth === 1) throw lost();
      },
    });
    const report = await run(provider, [crew(["p0", "p2"])]);
    expect(writes(provider).map(names)).toEqual([["p2", "p1"], ["p1"]]);
    expect(linesOf(report)).toEqual(["member.add p2 skipped network", "member.remove p1 applied"]);
  });
});

it("a call for several groups that was done in one is sent again for the other alone", async () => {
  const provider: MemoryProvider = lab({
    groups: [
      { id: "g", name: "crew" },
      { id: "h", name: "other" },
    ],
    capabilities: { mixed: fact(false) },
    onWrite: (_batch, nth) => {
      if (nth > 1) return;
      provider.control.addMember("g", "p2");
      throw lost();
    },
  });
  const report = await run(provider, [crew(["p2"]), group("other", { members: ["p2"] })]);
  expect(writes(provider).map((batch) => refsOf(batch).map(({ id }) => id))).toEqual([["g", "h"], ["h"]]);
  expect(linesOf(report)).toEqual(["member.add p2 applied", "member.add p2 applied"]);
});

describe("a group with a limit", () => {
  const three = [{ id: "g", name: "crew", members: ["p0", "p1", "p2"] }];

  it("and just enough room is given to before it is taken from", async () => {
    const provider = lab({ groups: three, capabilities: { maxMembers: fact(4), mixed: fact(false) } });
    const report = await run(provider, [crew(["p0", "p1", "p3"])]);
    expect(writes(provider).map(names)).toEqual([["p3"], ["p2"]]);
    expect(report.status).toBe("converged");
  });

  it("and no room is taken from once, then given to", async () => {
    const provider = lab({ groups: three, capabilities: { maxMembers: fact(3), mixed: fact(false) } });
    const report = await run(provider, [group("crew", { members: ["p1", "p3"], owners: ["p0"] })]);
    expect(writes(provider).map(names)).toEqual([["p2"], ["p3"], ["p0"]]);
    expect(linesOf(report)).toEqual(["member.add p3 applied", "member.update p0 applied", "member.remove p2 applied"]);
  });

  it("that nobody leaves takes nobody in, and says why", async () => {
    const provider = lab({ groups: three, capabilities: { maxMembers: fact(3) } });
    const report = await run(provider, [crew(["p0", "p1", "p2", "p3"])]);
    expect(writes(provider)).toEqual([]);
    expect(report.providers[0]?.outcomes.map(({ account, status, error }) => ({ account, status, error }))).toEqual([
      {
        account: "p3",
        status: "failed",
        error: {
          code: "unsupported",
          message: "A group there has room for 3 members; this addition would be one too many.",
        },
      },
    ]);
  });
});

it("an error that is none of ours stops the provider, and says what it was", async () => {
  const provider = lab({
    capabilities: { ...oneByOne, ...inTurn },
    onWrite: () => {
      throw new TypeError("Odd.");
    },
  });
  const report = await run(provider, [crew(["p0", "p1", "p2", "p3"])]);
  expect(writes(provider)).toHaveLength(1);
  expect(linesOf(report)).toEqual(["member.add p2 skipped internal", "member.add p3 skipped internal"]);
  expect(report.stopped).toBe("Odd.");
});

describe("whether a reading shows a change", () => {
  const there = actual("crew", ["ada:owner", "eve", "ivy…", "rule?", "chief:owner?"], { description: "By night." });
  const rows: readonly (readonly [what: string, change: Partial<Change> & Pick<Change, "type">, so: boolean])[] = [
    ["added, with the role", { type: "member.add", account: "@ada", role: "owner" }, true],
    ["added, with another role", { type: "member.add", account: "@eve", role: "owner" }, false],
    ["invited, whatever the role", { type: "member.add", account: "@ivy", role: "owner" }, true],
    ["added, but not there", { type: "member.add", account: "@joe", role: "member" }, false],
    ["given the role", { type: "member.update", account: "@ada", role: "owner" }, true],
    ["not given the role", { type: "member.update", account: "@eve", role: "owner" }, false],
    ["given a role, but not there", { type: "member.update", account: "@joe", role: "owner" }, false],
    ["removed", { type: "member.remove", account: "@joe", role: "member" }, true],
    ["removed, but there", { type: "member.remove", account: "@eve", role: "member" }, false],
    ["removed, and there by a rule", { type: "member.remove", account: "@rule", role: "member" }, true],
    ["removed, and there by a role", { type: "member.remove", account: "@chief", role: "owner" }, false],
    ["renamed", { type: "group.update", name: "crew" }, true],
    ["not renamed", { type: "group.update", name: "team" }, false],
    ["described", { type: "group.update", description: "By night." }, true],
    ["not described", { type: "group.update", description: "By day." }, false],
    ["renamed and described", { type: "group.update", name: "crew", description: "By night." }, true],
    ["renamed, but not described", { type: "group.update", name: "crew", description: "By day." }, false],
    ["described, but not renamed", { type: "group.update", name: "team", description: "By night." }, false],
    ["created", { type: "group.create", name: "crew" }, true],
    ["created under another name", { type: "group.create", name: "team" }, false],
    ["created under no name of its own", { type: "group.create" }, true],
    ["deleted, but there", { type: "group.delete" }, false],
  ];

  it.each(rows)("%s", (_what, change, so) => {
    expect(isSo({ group: "crew", reason: "", ...change }, snapshotOf(there))).toBe(so);
  });

  it("no description is an empty one", () => {
    const bare = snapshotOf(actual("crew", []));
    const described = (description: string): Change => ({
      type: "group.update",
      group: "crew",
      reason: "",
      description,
    });
    expect(isSo(described(""), bare)).toBe(true);
    expect(isSo(described("By night."), bare)).toBe(false);
  });

  it("nobody is shown to be gone by a reading that is not whole", () => {
    const removal: Change = { type: "member.remove", group: "crew", reason: "", account: "@joe", role: "member" };
    expect(isSo(removal, snapshotOf({ ...there, incomplete: "page 2 failed" }))).toBe(false);
  });
});
