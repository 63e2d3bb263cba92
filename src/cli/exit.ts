/** Exit codes, as promised: 0 · 1 error · 2 changes · 3 held · 4 failed or unknown · 5 busy · 6 rate limit. */
import { GroupSyncError, isGroupSyncError, SpecError, summarizeError } from "../errors.js";
import type { ErrorSummary, Plan, ProviderPlan, Report } from "../model.js";
import { isUnaskedLoss } from "../reconcile/report.js";
import { describeError } from "../report/model.js";
import { formatProblem } from "./problem.js";

/** When several apply: 1, then 4, 6, 3. */
export function exitCodeOfPlan(plan: Plan): number {
  const errors = plan.providers.flatMap(({ error }) => (error ? [error] : []));
  if (errors.some(({ code }) => code !== "rate-limited")) return 1;
  if (errors.length > 0) return 6;
  return { "in-sync": 0, changes: 2, held: 3 }[plan.status];
}

/** As {@link exitCodeOfPlan}, for what was done. What was not sent for a rate limit is not a failure; it is 6. */
export function exitCodeOfReport(report: Report): number {
  if (report.stateError) return 1;
  const errors = report.providers.flatMap(({ error }) => (error ? [error] : []));
  const hopeless = ["unauthenticated", "forbidden", "options-invalid", "plan-invalid", "internal"];
  if (errors.some(({ code }) => hopeless.includes(code))) return 1;
  if (
    errors.length > 0 &&
    errors.length === report.providers.length &&
    errors.every(({ code }) => code !== "rate-limited")
  )
    return 1;
  const outcomes = report.providers.flatMap((provider) => provider.outcomes);
  const failed = outcomes.some(
    ({ status, error }) =>
      status === "failed" ||
      status === "unknown" ||
      (status === "skipped" && error?.code !== "rate-limited" && error?.code !== "dry-run"),
  );
  const lost = report.residual.some(isUnaskedLoss);
  if (failed || lost || errors.some(({ code }) => code !== "rate-limited")) return 4;
  if (report.retryAt !== undefined || errors.length > 0 || outcomes.some(({ error }) => error?.code === "rate-limited"))
    return 6;
  const unsettled = report.providers.some(({ unresolved, problems }) => unresolved.length + problems.length > 0);
  return unsettled || outcomes.some(({ status }) => status === "held") ? 3 : 0;
}

/** For something thrown. */
export function exitCodeOfError(error: unknown): number {
  if (isGroupSyncError(error, "busy")) return 5;
  if (isGroupSyncError(error, "rate-limited")) return 6;
  return 1;
}

/** For a look at whether the providers can be reached. */
export function exitCodeOfAccess(checked: readonly { readonly ok: boolean; readonly error?: ErrorSummary }[]): number {
  const bad = checked.filter(({ ok }) => !ok);
  if (bad.length === 0) return 0;
  return bad.every(({ error }) => error?.code === "rate-limited") ? 6 : 1;
}

/** What went wrong, in a few lines, never with a stack trace. */
export function explainError(error: unknown): string {
  if (error instanceof SpecError) return [...error.problems.map(formatProblem), "Nothing was sent."].join("\n");
  if (error instanceof GroupSyncError) return [error.message, error.facts.hint].filter(Boolean).join("\n");
  // A message of Node is plain enough; anything else is a bug of ours.
  if (error instanceof Error && "code" in error) return error.message;
  return `Unexpected error: ${error instanceof Error ? error.message : String(error)}\nThis is a bug in group-sync; -v shows where it happened.`;
}

/** The same for machines. */
export function errorDocument(error: unknown): unknown {
  const problems = error instanceof SpecError && { problems: error.problems };
  return { kind: "error", formatVersion: 1, ...summarizeError(error), ...problems };
}

/** Lines for each provider that could not be planned or applied. */
export function brokenProviders(parts: readonly Pick<ProviderPlan, "id" | "error">[]): readonly string[] {
  return parts.flatMap(({ id, error }) => {
    if (!error) return [];
    const line = describeError(error);
    // Most errors name their provider themselves.
    return [line.startsWith(id) ? line : `${id}: ${line}`];
  });
}
