/**
 * What a reader of a plan or report sees: provider by provider, group by group. One model; the renderings (text,
 * Markdown, HTML) only lay it out.
 */
import { groupBy, renderCount } from "../collections.js";
import type {
  Change,
  ErrorSummary,
  GuardName,
  HeldChange,
  Outcome,
  Plan,
  ProviderPlan,
  ProviderReport,
  Report,
} from "../model.js";

/** One line about one person or group. */
export interface LineView {
  readonly sign: "+" | "-" | "~" | "!" | "?";
  readonly what: string;
  readonly why: string;
  /** The person (or the account of someone unknown) whom it is about; absent: the group itself. */
  readonly who?: string;
}

/** How many lines there are of each sign. */
export type Tally = Readonly<Record<LineView["sign"], number>>;

/** A group's story at one provider. */
interface GroupView {
  readonly group: string;
  readonly lines: readonly LineView[];
}

/** What is held by one guard, with the guard's message. */
interface HeldView {
  readonly guard: GuardName;
  readonly group: string;
  readonly message: string;
  readonly lines: readonly LineView[];
}

/** A provider's part. */
export interface ProviderView {
  readonly id: string;
  readonly title: string;
  readonly error?: string;
  readonly groups: readonly GroupView[];
  readonly held: readonly HeldView[];
  readonly unresolved: readonly string[];
  readonly problems: readonly string[];
  readonly notes: readonly string[];
  readonly footer: string;
}

/** A past run: how many differences it met, and what became of them. */
export interface PastView {
  readonly runId: string;
  /** ISO time. */
  readonly at: string;
  readonly done: number;
  readonly held: number;
  /** Failed, unknown or skipped. */
  readonly open: number;
  /** False: the run did not come to its end. */
  readonly ended: boolean;
}

/** A whole plan or report, ready to be laid out. */
export interface DocumentView {
  readonly title: string;
  readonly headline: string;
  readonly providers: readonly ProviderView[];
  readonly closing: readonly string[];
  /** What it all takes. */
  readonly footer?: string;
  /** The last runs, oldest first. Empty or absent: nothing is remembered. */
  readonly history?: readonly PastView[];
}

/** What a view may show besides the plan or report itself. */
export interface ViewOptions {
  /** Past runs, in any order, as the state remembers them; the last twenty are shown. @default none */
  readonly history?: readonly PastRun[];
}

/** A run as it is remembered. */
interface PastRun {
  readonly runId: string;
  /** ISO time. */
  readonly startedAt: string;
  /** Absent: the run did not come to its end. */
  readonly summary?: Report["summary"];
}

/** How many past runs a view shows. */
export const MOST_PAST_RUNS = 20;

function viewHistory({ history = [] }: ViewOptions): Pick<DocumentView, "history"> {
  const inOrder = history.toSorted((left, right) => Date.parse(left.startedAt) - Date.parse(right.startedAt));
  const points = inOrder.slice(-MOST_PAST_RUNS).map(({ runId, startedAt, summary }) => ({
    runId,
    at: startedAt,
    done: summary ? summary.applied + summary.pending : 0,
    held: summary?.held ?? 0,
    open: summary ? summary.failed + summary.unknown + summary.skipped : 0,
    ended: summary !== undefined,
  }));
  return points.length > 0 ? { history: points } : {};
}

/** Counts lines by their sign. */
export function tally(lines: readonly LineView[]): Tally {
  const counts = { "+": 0, "-": 0, "~": 0, "!": 0, "?": 0 };
  for (const { sign } of lines) counts[sign]++;
  return counts;
}

/** `+3 -1 ~2`; empty for no lines. */
export function renderTally(counts: Tally): string {
  return Object.entries(counts)
    .filter(([, number]) => number > 0)
    .map(([sign, number]) => `${sign}${number}`)
    .join(" ");
}

/** The plan as a reviewer wants it. */
export function viewPlan(plan: Plan, options: ViewOptions = {}): DocumentView {
  const { summary } = plan;
  const counts = [
    count(summary.create, "group to create", "groups to create"),
    count(summary.rename, "group to change", "groups to change"),
    count(summary.delete, "group to delete", "groups to delete"),
    count(summary.add, "addition", "additions"),
    count(summary.role, "role change", "role changes"),
    count(summary.remove, "removal", "removals"),
    count(summary.held, "change held", "changes held"),
    count(summary.unresolved, "person unresolved", "people unresolved"),
  ].filter((text) => text !== "");
  const broken = plan.providers.some(({ error, problems }) => error || problems.length > 0);
  const headline =
    plan.status === "in-sync"
      ? "In sync: nothing to change."
      : `${counts.join(", ") || "Nothing to change"}${broken ? "; not everything could be planned" : ""}.`;
  return {
    title: `Plan ${plan.planId}`,
    headline,
    providers: plan.providers.map(viewProviderPlan),
    closing: [],
    ...sumUp(plan),
    ...viewHistory(options),
  };
}

/** What it all takes, where that is not said by the only provider. */
function sumUp({ providers }: Plan): Pick<DocumentView, "footer"> {
  const writing = providers.filter(({ changes }) => changes.length > 0);
  if (writing.length < 2) return {};
  const calls = writing.reduce((sum, { cost }) => sum + cost.calls, 0);
  // Providers work side by side.
  const seconds = Math.max(...writing.map(({ cost }) => cost.seconds));
  return { footer: `In all: ${count(calls, "call", "calls")} at ${writing.length} providers, about ${seconds} s.` };
}

function viewProviderPlan(provider: ProviderPlan): ProviderView {
  const { calls, seconds } = provider.cost;
  return {
    ...viewCommon(provider),
    title: titleOf(provider.id, provider.type, provider.identity),
    groups: viewGroups(provider.changes, (change) => viewLine(change, change.reason)),
    held: viewHeld(provider.held),
    footer: provider.error
      ? "not planned"
      : provider.changes.length === 0
        ? "nothing to write"
        : `${count(calls, "call", "calls")}, about ${seconds} s`,
  };
}

/** The report: what was done, and what was not. */
export function viewReport(report: Report, options: ViewOptions = {}): DocumentView {
  const counts = Object.entries(report.summary)
    .filter(([, number]) => number > 0)
    .map(([status, number]) => `${number} ${status}`);
  const headline = `${{ converged: "Converged", held: "Done, but something is held", partial: "Partly done", failed: "Failed" }[report.status]}: ${counts.join(", ") || (report.status === "converged" ? "nothing to do" : "nothing was done")}.`;
  const saidByProvider = report.providers.some(({ error }) => error && report.stopped?.includes(error.message));
  const closing = [
    ...report.residual.filter(({ unasked }) => unasked).map(({ group, message }) => `${group}: ${message}`),
    ...(report.stopped === undefined || saidByProvider ? [] : [`Stopped early: ${report.stopped}`]),
    ...(report.stateError ? [`This run could not be remembered: ${report.stateError.message}`] : []),
    ...(report.retryAt === undefined ? [] : [`Come back after ${report.retryAt}.`]),
  ];
  return {
    title: `Report ${report.runId}`,
    headline,
    providers: report.providers.map((part) => viewProviderReport(part, report.stopped)),
    closing,
    ...viewHistory(options),
  };
}

function viewProviderReport(provider: ProviderReport, stopped: string | undefined): ProviderView {
  const saidElsewhere = [stopped, provider.error?.message].filter((text) => text !== undefined).join(" ");
  const made = provider.outcomes.filter(({ status }) => status !== "held");
  const held = provider.outcomes.flatMap((outcome) =>
    outcome.status === "held" && outcome.guard ? [{ ...outcome, guard: outcome.guard, wantedBecause: "" }] : [],
  );
  const { read, write, retried, throttledSeconds } = provider.calls;
  const waits = throttledSeconds > 0 ? `, ${throttledSeconds} s waited for rate limits` : "";
  return {
    ...viewCommon(provider),
    title: titleOf(provider.id, provider.type),
    groups: viewGroups(made, (outcome) => viewOutcome(outcome, saidElsewhere)),
    held: viewHeld(held),
    footer: `${read} read and ${write} writing calls, ${retried} repeated${waits}`,
  };
}

function viewOutcome(outcome: Outcome, saidElsewhere: string): LineView {
  const good = outcome.status === "applied" || outcome.status === "already" || outcome.status === "pending";
  // What stopped the whole run is said once, not beside everything that was not done for it.
  if (outcome.status === "skipped" && outcome.error && saidElsewhere.includes(outcome.error.message))
    return { ...viewLine(outcome, "skipped"), sign: "!" };
  const status = outcome.status === "applied" ? "" : `${outcome.status}: `;
  const line = viewLine(outcome, status + (outcome.error ? describeError(outcome.error) : outcome.reason));
  return good ? line : { ...line, sign: "!" };
}

/** An error in one line: what happened, what to do, when to come back. */
export function describeError({ message, hint, retryAt }: ErrorSummary): string {
  // What a service says in its own words may end without a full stop.
  const sentence = /[.!?…]$/.test(message) ? message : `${message}.`;
  return [sentence, hint, retryAt && `Come back after ${retryAt}.`].filter(Boolean).join(" ");
}

function viewCommon(
  part: ProviderPlan | ProviderReport,
): Pick<ProviderView, "id" | "error" | "unresolved" | "problems" | "notes"> {
  return {
    id: part.id,
    ...(part.error && { error: describeError(part.error) }),
    unresolved: part.unresolved.map(
      ({ person, reason, groups }) =>
        `${person}: ${reason} (wanted in ${groups.slice(0, 3).join(", ")}${groups.length > 3 ? ` and ${groups.length - 3} more` : ""})`,
    ),
    problems: part.problems.map(({ group, message }) => `${group}: ${message}`),
    notes: part.notes,
  };
}

function viewGroups<C extends Change>(changes: readonly C[], lineOf: (change: C) => LineView): readonly GroupView[] {
  return [...groupBy(changes, ({ group }) => group)].map(([group, ofGroup]) => ({ group, lines: ofGroup.map(lineOf) }));
}

function viewHeld(held: readonly HeldChange[]): readonly HeldView[] {
  return [...groupBy(held, ({ guard, group, reason }) => JSON.stringify([guard, group, reason])).values()].flatMap(
    (alike) => {
      const [first] = alike;
      if (!first) return [];
      const lines = alike.map((change) => viewLine(change, change.wantedBecause));
      return [{ guard: first.guard, group: first.group, message: first.reason, lines }];
    },
  );
}

function viewLine(change: Change, why: string): LineView {
  const who = change.person ?? change.label ?? change.account;
  return { sign: signOf(change), what: describe(change), why, ...(who !== undefined && { who }) };
}

function signOf({ type }: Change): LineView["sign"] {
  if (type.endsWith("create") || type.endsWith("add")) return "+";
  return type.endsWith("delete") || type.endsWith("remove") ? "-" : "~";
}

function describe(change: Change): string {
  const who = change.person ?? change.label ?? change.account ?? "";
  const account = change.account !== undefined && change.account !== who ? ` (${change.account})` : "";
  switch (change.type) {
    case "group.create":
      return `create the group "${change.name ?? change.group}"`;
    case "group.update":
      return change.previousName === undefined
        ? "set the description"
        : `rename "${change.previousName}" to "${change.name ?? ""}"`;
    case "group.delete":
      return `delete the group "${change.name ?? change.group}"`;
    case "member.add":
      return `add ${who}${account}${change.role === "member" || change.role === undefined ? "" : ` as ${change.role}`}`;
    case "member.update":
      return `make ${who}${account} ${change.role ?? "member"} (was ${change.previousRole ?? "member"})`;
    case "member.remove":
      return change.invitation === undefined
        ? `remove ${who}${account}`
        : `withdraw the invitation of ${who}${account}`;
  }
}

function titleOf(id: string, type: string, identity?: string): string {
  return [id, type, identity].filter(Boolean).join(" · ");
}

function count(number: number, one: string, many: string): string {
  return number === 0 ? "" : renderCount(number, one, many);
}
