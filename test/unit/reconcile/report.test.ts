import { describe, expect, it } from "vitest";
import type {
  Change,
  ErrorSummary,
  HeldChange,
  Outcome,
  OutcomeStatus,
  ProviderPlan,
  Residual,
} from "../../../src/model.js";
import {
  buildReport,
  isUnaskedLoss,
  listOutcomes,
  listResidual,
  type ProviderResult,
} from "../../../src/reconcile/report.js";

const change: Change = {
  type: "member.add",
  group: "crew",
  account: "@ada",
  person: "ada",
  role: "member",
  reason: "listed",
};
const outcome = (status: OutcomeStatus, code?: string): Outcome => ({
  ...change,
  status,
  ...(code !== undefined && { error: { code, message: `${code}!` } }),
});
const calls = { read: 1, write: 1, retried: 0, throttledSeconds: 0 };
const result = (outcomes: readonly Outcome[], more: Partial<ProviderResult["report"]> = {}): ProviderResult => ({
  report: { id: "lab", type: "memory", outcomes, unresolved: [], problems: [], notes: [], calls, ...more },
  residual: listResidual("lab", outcomes),
});
const facts = {
  runId: "run-1",
  planId: "plan-1",
  startedAt: new Date("2026-06-15T12:00:00Z"),
  finishedAt: new Date("2026-06-15T12:01:00Z"),
};
const build = (...results: ProviderResult[]) => buildReport(results, facts);
const down: ErrorSummary = { code: "unavailable", message: "Down." };
const lost: Residual = {
  provider: "lab",
  group: "crew",
  account: "@eve",
  message: "@eve was a member before this run and is not any more, though nobody here asked for that.",
  unasked: true,
};

describe("the status of a report", () => {
  it.each<[string, ReturnType<typeof build>["status"], ProviderResult[]]>([
    ["there is nothing to do", "converged", [result([])]],
    ["there is no provider", "converged", []],
    [
      "all is done, was so, or waits for somebody else",
      "converged",
      [result([outcome("applied"), outcome("already"), outcome("pending")])],
    ],
    ["something is held", "held", [result([outcome("applied"), outcome("held")])]],
    [
      "someone is unresolved",
      "held",
      [result([], { unresolved: [{ person: "p", state: "missing", reason: "r", groups: [] }] })],
    ],
    ["a group could not be planned", "held", [result([], { problems: [{ group: "g", message: "m" }] })]],
    ["some failed", "partial", [result([outcome("applied"), outcome("failed", "refused")])]],
    ["some are unknown", "partial", [result([outcome("pending"), outcome("unknown", "timeout")])]],
    [
      "some were skipped, besides a hold",
      "partial",
      [result([outcome("already"), outcome("skipped", "conflict"), outcome("held")])],
    ],
    ["all failed", "failed", [result([outcome("failed", "refused"), outcome("unknown", "timeout")])]],
    ["all are unknown, and nobody knows why", "failed", [result([outcome("unknown")])]],
    ["one provider of two is down", "partial", [result([outcome("applied")]), result([], { error: down })]],
    [
      "all providers are down",
      "failed",
      [result([], { error: down }), result([outcome("skipped", "unavailable")], { error: down })],
    ],
    ["a dry run did nothing", "partial", [result([outcome("skipped", "dry-run")])]],
    ["somebody is gone unasked", "partial", [{ ...result([outcome("applied")]), residual: [lost] }]],
  ])("when %s", (_, status, results) => {
    expect(build(...results).status).toBe(status);
  });
});

it("all outcomes of all providers are counted", () => {
  const { summary } = build(
    result([outcome("applied"), outcome("held")]),
    result([outcome("applied"), outcome("unknown")]),
  );
  expect(summary).toEqual({ applied: 2, already: 0, pending: 0, held: 1, skipped: 0, failed: 0, unknown: 1 });
});

it("the latest time to come back is told, and every stop", () => {
  const report = build(
    { ...result([]), stopped: { code: "rate-limited", message: "Lab is slow.", retryAt: 1000 } },
    { ...result([]), stopped: { code: "rate-limited", message: "Docs are slow.", retryAt: 2000 } },
    { ...result([]), stopped: { code: "cancelled", message: "Stopped on request." } },
  );
  expect(report).toMatchObject({
    stopped: "Lab is slow. Docs are slow. Stopped on request.",
    retryAt: "1970-01-01T00:00:02.000Z",
  });
  expect(build(result([]))).not.toHaveProperty("stopped");
  expect(build(result([]))).not.toHaveProperty("retryAt");
});

describe("outcomes", () => {
  const second: Change = { ...change, account: "@grace" };
  const held: HeldChange = {
    ...change,
    type: "member.remove",
    guard: "adoption",
    reason: "not ours",
    wantedBecause: "not listed",
  };
  const plan = { changes: [change, second], held: [held] } as unknown as ProviderPlan;

  it("are as the book tells, and held changes follow", () => {
    const error = { code: "refused", message: "No." };
    const book = new Map([
      [change, { status: "applied" as const }],
      [second, { status: "failed" as const, error }],
    ]);
    expect(listOutcomes(plan, book)).toEqual([
      { ...change, status: "applied" },
      { ...second, status: "failed", error },
      { ...held, status: "held" },
    ]);
  });

  it("that the book left open, or does not know, are unknown", () => {
    for (const status of ["open", "sent"] as const) {
      const [first, missing] = listOutcomes(plan, new Map([[change, { status }]]));
      expect([first?.status, missing?.status]).toEqual(["unknown", "unknown"]);
    }
  });

  it("leave a difference unless they are applied, were so, or wait", () => {
    const all = (["applied", "already", "pending", "held", "skipped", "failed", "unknown"] as const).map((status) =>
      outcome(status),
    );
    expect(listResidual("lab", all).map(({ message }) => message)).toEqual([
      "member.add held: listed",
      "member.add skipped: listed",
      "member.add failed: listed",
      "member.add unknown: listed",
    ]);
    expect(listResidual("lab", [outcome("failed", "refused")])).toEqual([
      { provider: "lab", group: "crew", account: "@ada", person: "ada", message: "member.add failed: refused!" },
    ]);
  });

  it("are no unasked losses", () => {
    expect(listResidual("lab", [outcome("failed")]).some(isUnaskedLoss)).toBe(false);
    expect(isUnaskedLoss(lost)).toBe(true);
  });
});
