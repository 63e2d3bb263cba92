/** Applying and verifying against a provider in memory: what fails, fails alone, and the report says what is so. */
import { describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch, Outcome, Report, Spec, Target } from "../../../src/model.js";
import { type ReconcileOptions, reconcile } from "../../../src/reconcile/reconcile.js";
import {
  createMemoryProvider,
  type MemoryProvider,
  type MemoryProviderOptions,
  memoryCapabilities,
  type Misbehaviour,
} from "../../../src/testing/memory.js";
import { fact, group, noLimits, person } from "./builders.js";

const people = Array.from({ length: 12 }, (_, index) => `p${index}`);
const spec = (targets: readonly Target[]): Spec => ({
  version: 1,
  mode: "authoritative",
  providers: [{ id: "lab", type: "memory", options: {}, guards: noLimits }],
  people: Object.fromEntries(
    people.map((id) => [id, person(id, { accounts: { lab: id }, email: `${id}@example.org` })]),
  ),
  targets,
  guards: noLimits,
  digest: "spec",
  warnings: [],
});
const crew = (members: readonly string[]) => group("crew", { members });
type Before = (batch: Batch, nth: number) => Misbehaviour | undefined | void;

function lab(options: Omit<MemoryProviderOptions, "before"> & { readonly onWrite?: Before } = {}): MemoryProvider {
  const { onWrite, capabilities, ...rest } = options;
  return createMemoryProvider({
    id: "lab",
    people: people.map((id) => ({ id, email: `${id}@example.org` })),
    groups: [{ id: "g", name: "crew", members: ["p0", "p1"] }],
    capabilities: { consistencyMs: fact(200), ...capabilities },
    ...rest,
    before: (operation, args, nth) => (operation === "applyBatch" ? onWrite?.(args[0] as Batch, nth) : undefined),
  });
}

const run = (provider: MemoryProvider, targets: readonly Target[], more: Partial<ReconcileOptions> = {}) =>
  reconcile({ spec: spec(targets), providers: [provider], verifyMs: 250, ...more });
const writes = ({ control }: MemoryProvider) =>
  control.calls.flatMap(({ operation, args }) => (operation === "applyBatch" ? [args[0] as Batch] : []));
const membersOf = ({ control }: MemoryProvider, name = "crew") =>
  control
    .groups()
    .find((each) => each.name === name)
    ?.members.map(({ account }) => account);
const line = ({ type, account, status, error }: Outcome) =>
  `${type} ${account ?? ""} ${status}${error ? ` ${error.code}` : ""}`.replace("  ", " ");
const linesOf = (report: Report) => report.providers.flatMap(({ outcomes }) => outcomes.map(line));
const names = (batch: Batch) =>
  batch.kind === "members" ? [...batch.add, ...batch.update, ...batch.remove].map(({ account }) => account) : [];
const refused = (facts = {}) => new GroupSyncError("refused", "No.", facts);

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

  it("invites nobody a second time in the same run", async () => {
    const provider = lab({
      capabilities: { invitations: fact(true) },
      onWrite: (_batch, nth) => lost(false)(nth),
    });
    const report = await run(provider, [crew(["p0", "p1", "p2"])]);
    expect(writes(provider)).toHaveLength(1);
    expect(linesOf(report)).toEqual([expect.stringMatching(/^member\.add p2 (skipped|unknown)/)]);
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

describe("what cannot succeed any more", () => {
  it.each(["unauthenticated", "rate-limited", "internal", "busy"] as const)(
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
