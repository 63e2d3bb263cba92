import { describe, expect, it } from "vitest";
import type { Change, HeldChange, Outcome, Plan, ProviderPlan, ProviderReport, Report } from "../../../src/model.js";
import { buildPlan } from "../../../src/reconcile/plan.js";
import { viewPlan, viewReport } from "../../../src/report/model.js";

const calls = { read: 3, write: 2, retried: 1, throttledSeconds: 0 };
const providerPlan = (more: Partial<ProviderPlan> = {}): ProviderPlan => ({
  id: "lab",
  type: "memory",
  identity: "memory lab",
  changes: [],
  held: [],
  unresolved: [],
  problems: [],
  groups: [],
  notes: [],
  cost: { calls: 0, seconds: 0 },
  calls,
  ...more,
});
const planOf = (...providers: ProviderPlan[]): Plan =>
  buildPlan(providers, { specDigest: "d", toolVersion: "1", now: new Date("2026-06-15T12:00:00Z") });
const reportOf = (more: Partial<Report>, ...providers: Partial<ProviderReport>[]): Report => ({
  kind: "report",
  formatVersion: 1,
  runId: "run-1",
  planId: "plan-1",
  startedAt: "",
  finishedAt: "",
  status: "converged",
  summary: { applied: 0, already: 0, pending: 0, held: 0, skipped: 0, failed: 0, unknown: 0 },
  providers: providers.map((each) => ({
    id: "lab",
    type: "memory",
    outcomes: [],
    unresolved: [],
    problems: [],
    notes: [],
    calls,
    ...each,
  })),
  residual: [],
  ...more,
});
const add: Change = {
  type: "member.add",
  group: "crew",
  account: "@ada",
  person: "ada",
  role: "member",
  reason: "listed",
};

describe("a line", () => {
  const whatOf = (change: Change) =>
    viewPlan(planOf(providerPlan({ changes: [change] }))).providers[0]?.groups[0]?.lines[0];
  it.each<[Partial<Change>, string]>([
    [{}, "+ add ada (@ada)"],
    [{ account: "ada" }, "+ add ada"],
    [{ role: "owner" }, "+ add ada (@ada) as owner"],
    [{ type: "member.update", role: "manager", previousRole: "member" }, "~ make ada (@ada) manager (was member)"],
    [{ type: "member.remove" }, "- remove ada (@ada)"],
    [{ type: "member.remove", invitation: "7" }, "- withdraw the invitation of ada (@ada)"],
    [{ type: "group.create", name: "Crew" }, '+ create the group "Crew"'],
    [{ type: "group.delete", name: "Crew" }, '- delete the group "Crew"'],
    [{ type: "group.update", name: "Crew", previousName: "Old" }, '~ rename "Old" to "Crew"'],
    [{ type: "group.update", description: "x" }, "~ set the description"],
  ])("of %j is %s", (more, text) => {
    const view = whatOf({ ...add, ...more });
    expect(`${view?.sign} ${view?.what}`).toBe(text);
    expect(view?.why).toBe("listed");
  });

  it("names the account of someone unknown", () => {
    const stranger = { type: "member.remove", group: "crew", account: "@eve", reason: "r" } as const;
    expect(whatOf(stranger)?.what).toBe("remove @eve");
    expect(whatOf({ ...stranger, label: "eve@example.org" })?.what).toBe("remove eve@example.org (@eve)");
  });
});

describe("a plan", () => {
  const held = (account: string, reason: string): HeldChange => ({
    ...add,
    type: "member.remove",
    account,
    guard: "max-removals",
    reason,
    wantedBecause: "not listed",
  });

  it("in sync says so", () => {
    const view = viewPlan(planOf(providerPlan()));
    expect(view.headline).toBe("In sync: nothing to change.");
    expect(view.providers[0]).toMatchObject({ title: "lab · memory · memory lab", footer: "nothing to write" });
  });

  it("counts in words, one and many", () => {
    const changes: Change[] = [add, add, { ...add, type: "group.create" }, { ...add, type: "member.remove" }];
    const view = viewPlan(planOf(providerPlan({ changes, held: [held("@x", "m")], cost: { calls: 1, seconds: 2 } })));
    expect(view.headline).toBe("1 group to create, 2 additions, 1 removal, 1 change held.");
    expect(view.providers[0]?.footer).toBe("1 call, about 2 s");
  });

  it("says when not everything could be planned", () => {
    expect(viewPlan(planOf(providerPlan({ problems: [{ group: "g", message: "m" }] }))).headline).toBe(
      "Nothing to change; not everything could be planned.",
    );
    const broken = viewPlan(planOf(providerPlan({ error: { code: "network", message: "Down.", hint: "Wait." } })));
    expect(broken.providers[0]?.error).toBe("Down. Wait.");
  });

  it("puts each group's lines together, and what one guard says about a group", () => {
    const changes = [add, { ...add, group: "other" }, { ...add, account: "@grace", person: "grace" }];
    const view = viewPlan(
      planOf(providerPlan({ changes, held: [held("@x", "m"), held("@y", "m"), held("@z", "other words")] })),
    );
    expect(view.providers[0]?.groups.map(({ group, lines }) => [group, lines.length])).toEqual([
      ["crew", 2],
      ["other", 1],
    ]);
    expect(view.providers[0]?.held.map(({ message, lines }) => [message, lines.length])).toEqual([
      ["m", 2],
      ["other words", 1],
    ]);
    expect(view.providers[0]?.held[0]?.lines[0]?.why).toBe("not listed");
  });

  it("names three groups that want someone, and counts the rest", () => {
    const unresolved = [
      { person: "ada", state: "missing", reason: "no account", groups: ["a", "b", "c", "d", "e"] },
    ] as const;
    const view = viewPlan(
      planOf(providerPlan({ unresolved, problems: [{ group: "g", message: "twice" }], notes: ["note"] })),
    );
    expect(view.providers[0]).toMatchObject({
      unresolved: ["ada: no account (wanted in a, b, c and 2 more)"],
      problems: ["g: twice"],
      notes: ["note"],
    });
  });
});

describe("a report", () => {
  const outcome = (more: Partial<Outcome>): Outcome => ({ ...add, status: "applied", ...more });
  it("shows what was not done as an alarm, with the reason", () => {
    const outcomes = [
      outcome({}),
      outcome({ status: "pending" }),
      outcome({ status: "failed", error: { code: "refused", message: "No.", hint: "Ask." } }),
      outcome({ status: "held", guard: "adoption", reason: "not ours" }),
    ];
    const summary = { applied: 1, already: 0, pending: 1, held: 1, skipped: 0, failed: 1, unknown: 0 };
    const view = viewReport(reportOf({ status: "partial", summary }, { outcomes }));
    expect(view.headline).toBe("Partly done: 1 applied, 1 pending, 1 held, 1 failed.");
    expect(view.providers[0]?.groups[0]?.lines.map(({ sign, why }) => `${sign} ${why}`)).toEqual([
      "+ listed",
      "+ pending: listed",
      "! failed: No. Ask.",
    ]);
    expect(view.providers[0]?.held).toMatchObject([{ guard: "adoption", message: "not ours" }]);
    expect(view.providers[0]?.footer).toBe("3 read and 2 writing calls, 1 repeated");
  });

  it.each([
    ["converged", "Converged: nothing to do."],
    ["held", "Done, but something is held: nothing was done."],
    ["failed", "Failed: nothing was done."],
  ] as const)("%s: %s", (status, headline) => {
    expect(viewReport(reportOf({ status })).headline).toBe(headline);
  });

  it("ends with losses, the stop, and when to come back", () => {
    const residual = [
      { provider: "lab", group: "crew", message: "eve is gone, though nobody here asked for that.", unasked: true },
      { provider: "lab", group: "crew", message: "member.add failed: No." },
    ];
    const view = viewReport(
      reportOf({ residual, stopped: "Slow.", retryAt: "2026-06-16" }, { calls: { ...calls, throttledSeconds: 4 } }),
    );
    expect(view.closing).toEqual([
      "crew: eve is gone, though nobody here asked for that.",
      "Stopped early: Slow.",
      "Come back after 2026-06-16.",
    ]);
    expect(view.providers[0]?.footer).toContain(", 4 s waited for rate limits");
  });
});

describe("what goes beside it", () => {
  const summary = { applied: 2, already: 5, pending: 1, held: 4, skipped: 1, failed: 1, unknown: 1 };
  it("the last twenty runs, oldest first", () => {
    const history = Array.from({ length: 25 }, (_, index) => ({
      runId: `run-${index}`,
      startedAt: new Date(Date.UTC(2026, 5, 30 - index)).toISOString(),
      ...(index > 0 && { summary }),
    }));
    const view = viewPlan(planOf(), { history });
    expect(view.history).toHaveLength(20);
    expect(view.history?.[0]).toEqual({
      runId: "run-19",
      at: "2026-06-11T00:00:00.000Z",
      done: 3,
      held: 4,
      open: 3,
      ended: true,
    });
    expect(view.history?.at(-1)).toMatchObject({ runId: "run-0", done: 0, ended: false });
    expect(viewReport(reportOf({}), { history }).history).toHaveLength(20);
    expect(viewPlan(planOf()).history).toBeUndefined();
  });

  it("the cost in all, where several providers write", () => {
    const one = providerPlan({ changes: [add], cost: { calls: 2, seconds: 3 } });
    const other = providerPlan({ id: "calls", changes: [add], cost: { calls: 5, seconds: 1 } });
    expect(viewPlan(planOf(one, other, providerPlan())).footer).toBe("In all: 7 calls at 2 providers, about 3 s.");
    expect(viewPlan(planOf(one, providerPlan())).footer).toBeUndefined();
  });
});
