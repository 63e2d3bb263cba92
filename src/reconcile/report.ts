/** Puts the report of a run together. Pure. */
import type { Outcome, OutcomeStatus, ProviderPlan, ProviderReport, Report, Residual } from "../model.js";
import type { Book, Progress } from "./apply.js";

/** What one provider came to. */
export interface ProviderResult {
  readonly report: ProviderReport;
  readonly residual: readonly Residual[];
  /** The run was stopped by this: a long rate limit, Ctrl-C, a service that went away. */
  readonly stopped?: { readonly message: string; readonly code: string; readonly retryAt?: number };
}

/**
 * The outcomes of a provider: its changes as the book tells, and what was held. `groupIds`: the provider's ids by group
 * of the spec, of those that were just created too.
 */
export function listOutcomes(
  plan: ProviderPlan,
  book: Book,
  groupIds: ReadonlyMap<string, string> = new Map(),
): readonly Outcome[] {
  const made = plan.changes.flatMap((change): readonly Outcome[] => {
    const { status, error, madeAs }: Progress = book.get(change) ?? { status: "open" };
    // Nothing is left open by apply and verify; if it were, nobody could say how it ended.
    const ended = status === "open" || status === "sent" ? "unknown" : status;
    const groupId = change.groupId ?? groupIds.get(change.group);
    const outcome = { ...change, ...(groupId !== undefined && { groupId }), status: ended, ...(error && { error }) };
    if (madeAs === undefined) return [outcome];
    const { error: _error, ...added } = { ...outcome, role: madeAs, status: "applied" as const };
    return [added, { ...outcome, type: "member.update", previousRole: madeAs }];
  });
  return [...made, ...plan.held.map((held): Outcome => ({ ...held, status: "held" }))];
}

/** Differences that are still there, as far as the outcomes tell. */
export function listResidual(provider: string, outcomes: readonly Outcome[]): readonly Residual[] {
  return outcomes
    .filter(({ status }) => !["applied", "already", "pending"].includes(status))
    .map((outcome) => ({
      provider,
      group: outcome.group,
      ...(outcome.account !== undefined && { account: outcome.account }),
      ...(outcome.person !== undefined && { person: outcome.person }),
      message: `${outcome.type} ${outcome.status}: ${outcome.error?.message ?? outcome.reason}`,
    }));
}

/** Whether a difference is someone who was there, was not to be removed, and is gone (see verify.ts). */
export function isUnaskedLoss({ unasked }: Residual): boolean {
  return unasked === true;
}

/** The report of the whole run. */
export function buildReport(
  results: readonly ProviderResult[],
  facts: Pick<Report, "runId" | "planId" | "undoes"> & { readonly startedAt: Date; readonly finishedAt: Date },
): Report {
  const summary: Record<OutcomeStatus, number> = {
    applied: 0,
    already: 0,
    pending: 0,
    held: 0,
    skipped: 0,
    failed: 0,
    unknown: 0,
  };
  const reports = results.map(({ report }) => report);
  for (const { outcomes } of reports) for (const { status } of outcomes) summary[status]++;
  const residual = results.flatMap((result) => result.residual);
  const stops = results.flatMap(({ stopped }) => (stopped ? [stopped] : []));
  const retryAt = Math.max(0, ...stops.map((stop) => stop.retryAt ?? 0));
  return {
    kind: "report",
    formatVersion: 1,
    runId: facts.runId,
    planId: facts.planId,
    ...(facts.undoes !== undefined && { undoes: facts.undoes }),
    startedAt: facts.startedAt.toISOString(),
    finishedAt: facts.finishedAt.toISOString(),
    status: statusOf(reports, summary, residual),
    summary,
    providers: reports,
    residual,
    ...(stops.length > 0 && { stopped: [...new Set(stops.map(({ message }) => message))].join(" ") }),
    ...(retryAt > 0 && { retryAt: new Date(retryAt).toISOString() }),
  };
}

function statusOf(
  reports: readonly ProviderReport[],
  summary: Readonly<Record<OutcomeStatus, number>>,
  residual: readonly Residual[],
): Report["status"] {
  const broken = reports.filter(({ error }) => error);
  const done = summary.applied + summary.already + summary.pending;
  if (broken.length > 0 && broken.length === reports.length) return "failed";
  const undone = summary.failed + summary.unknown + summary.skipped;
  if (broken.length > 0 || undone > 0 || residual.some(isUnaskedLoss)) {
    // What a dry run did not do has not failed.
    const dry = reports.some(({ outcomes }) => outcomes.some(({ error }) => error?.code === "dry-run"));
    return !dry && done === 0 && undone > 0 && broken.length === 0 ? "failed" : "partial";
  }
  const unsettled = reports.some(({ unresolved, problems }) => unresolved.length + problems.length > 0);
  return summary.held > 0 || unsettled ? "held" : "converged";
}
