import { describe, expect, it } from "vitest";
import {
  brokenProviders,
  exitCodeOfError,
  exitCodeOfPlan,
  exitCodeOfReport,
  explainError,
} from "../../../src/cli/exit.js";
import { GroupSyncError, SpecError } from "../../../src/errors.js";
import type {
  ErrorSummary,
  Outcome,
  OutcomeStatus,
  Plan,
  ProviderPlan,
  ProviderReport,
  Report,
} from "../../../src/model.js";

const error = (code: string): ErrorSummary => ({ code, message: `${code}.` });
const plan = (status: Plan["status"], ...codes: (string | undefined)[]) =>
  ({
    status,
    providers: codes.map((code) => (code === undefined ? {} : { error: error(code) }) as ProviderPlan),
  }) as unknown as Plan;
const outcome = (status: OutcomeStatus, code?: string) =>
  ({
    type: "member.add",
    group: "g",
    reason: "r",
    status,
    ...(code !== undefined && { error: error(code) }),
  }) as Outcome;
const provider = (outcomes: readonly Outcome[], code?: string) =>
  ({
    outcomes,
    unresolved: [],
    problems: [],
    ...(code !== undefined && { error: error(code) }),
  }) as unknown as ProviderReport;
const report = (status: Report["status"], providers: readonly ProviderReport[], more: Partial<Report> = {}) =>
  ({ status, providers, residual: [], ...more }) as unknown as Report;

describe("of a plan", () => {
  it.each<[number, string, Plan]>([
    [0, "in sync", plan("in-sync", undefined)],
    [2, "changes", plan("changes", undefined)],
    [3, "held", plan("held", undefined)],
    [6, "a long rate limit comes before held", plan("held", undefined, "rate-limited")],
    [1, "an error comes before held", plan("held", undefined, "network")],
    [1, "an error comes before a rate limit", plan("held", "rate-limited", "unauthenticated")],
  ])("%i: %s", (code, _, of) => {
    expect(exitCodeOfPlan(of)).toBe(code);
  });
});

describe("of a report", () => {
  const applied = provider([outcome("applied"), outcome("already"), outcome("pending")]);
  const lost = { provider: "p", group: "g", message: "x is gone, though nobody here asked for that.", unasked: true };
  it.each<[number, string, Report]>([
    [0, "converged, invitations included", report("converged", [applied])],
    [0, "nothing written in a dry run", report("partial", [provider([outcome("skipped", "dry-run")])])],
    [3, "held", report("held", [applied, provider([outcome("held")])])],
    [
      3,
      "someone unresolved",
      report("held", [{ ...applied, unresolved: [{ person: "p", state: "missing", reason: "r", groups: ["g"] }] }]),
    ],
    [4, "failed", report("partial", [applied, provider([outcome("failed", "refused")])])],
    [
      4,
      "failed for a rate limit all the same",
      report("partial", [applied, provider([outcome("failed", "rate-limited")])]),
    ],
    [4, "unknown", report("partial", [applied, provider([outcome("unknown", "timeout")])])],
    [
      4,
      "unknown, because reading back hit a rate limit",
      report("partial", [provider([outcome("unknown", "rate-limited")])]),
    ],
    [4, "skipped for a conflict", report("partial", [provider([outcome("skipped", "conflict")])])],
    [4, "skipped without a reason", report("partial", [provider([outcome("skipped")])])],
    [4, "somebody gone unasked", report("partial", [applied], { residual: [lost] })],
    [4, "one provider of two down", report("partial", [applied, provider([], "unavailable")])],
    [
      4,
      "failed comes before a rate limit",
      report("partial", [provider([outcome("failed", "refused")]), provider([], "rate-limited")]),
    ],
    [4, "failed comes before held", report("partial", [provider([outcome("failed", "refused"), outcome("held")])])],
    [6, "skipped for a rate limit", report("partial", [applied, provider([outcome("skipped", "rate-limited")])])],
    [
      6,
      "a rate limit comes before held",
      report("partial", [provider([outcome("held"), outcome("skipped", "rate-limited")])]),
    ],
    [6, "a provider that could not be read for a rate limit", report("failed", [provider([], "rate-limited")])],
    [6, "a time to come back", report("converged", [applied], { retryAt: "2026-06-15T12:00:00Z" })],
    [1, "the only provider down", report("failed", [provider([outcome("skipped", "network")], "network")])],
    [1, "all providers down", report("failed", [provider([], "network"), provider([], "unavailable")])],
    [
      1,
      "credentials come before failures",
      report("partial", [provider([outcome("failed", "refused")]), provider([], "unauthenticated")]),
    ],
    [1, "a plan that does not fit", report("partial", [applied, provider([], "plan-invalid")])],
    [1, "a crash", report("partial", [applied, provider([], "internal")])],
    [
      1,
      "credentials come before a rate limit",
      report("failed", [provider([], "rate-limited"), provider([], "forbidden")]),
    ],
  ])("%i: %s", (code, _, of) => {
    expect(exitCodeOfReport(of)).toBe(code);
  });
});

describe("of something thrown", () => {
  it.each<[number, unknown]>([
    [5, new GroupSyncError("busy", "Another run is at work.")],
    [6, new GroupSyncError("rate-limited", "Come back later.")],
    [1, new GroupSyncError("plan-invalid", "Changed.")],
    [1, new SpecError([])],
    [1, new Error("crash")],
    [1, "not even an error"],
    [1, undefined],
  ])("%i: %s", (code, thrown) => {
    expect(exitCodeOfError(thrown)).toBe(code);
  });
});

describe("what is said about something thrown", () => {
  const problem = { file: "s.yaml", line: 3, column: 5, path: "groups.crew", message: "Found 7." } as const;
  it.each<[string, unknown, string]>([
    [
      "a spec: every problem at its place, then the sum",
      new SpecError([
        { ...problem, severity: "error" },
        { ...problem, severity: "warning", path: "", line: 4 },
      ]),
      "s.yaml:3:5: error: groups.crew: Found 7.\ns.yaml:4:5: warning: Found 7.\nNothing was sent.",
    ],
    ["ours: the message, and what to do", new GroupSyncError("busy", "Busy.", { hint: "Wait." }), "Busy.\nWait."],
    ["ours without a hint", new GroupSyncError("busy", "Busy."), "Busy."],
    [
      "Node's: its message",
      Object.assign(new Error("EADDRINUSE: port 80"), { code: "EADDRINUSE" }),
      "EADDRINUSE: port 80",
    ],
    [
      "a bug: that it is one",
      new TypeError("x is not a function"),
      "Unexpected error: x is not a function\nThis is a bug in group-sync; -v shows where it happened.",
    ],
    ["no error at all", 7, "Unexpected error: 7\nThis is a bug in group-sync; -v shows where it happened."],
  ])("%s", (_, thrown, text) => {
    expect(explainError(thrown)).toBe(text);
  });

  it("providers that are broken are named, others not", () => {
    expect(brokenProviders([{ id: "a" }, { id: "b", error: { ...error("network"), hint: "Plug it in." } }])).toEqual([
      "b: network. Plug it in.",
    ]);
  });
});
