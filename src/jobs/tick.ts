/**
 * One turn of a service that keeps reconciling: read the spec as it is now, leave out who is in quarantine, reconcile,
 * and say what came of it. Never throws: whatever goes wrong in one turn is told, and the next one begins anew.
 */
import { isGroupSyncError, summarizeError } from "../errors.js";
import type { ErrorSummary, ProviderId, ProviderReport, Report } from "../model.js";
import type { SyncEvent } from "../reconcile/events.js";
import { type ReconcileOptions, reconcile } from "../reconcile/reconcile.js";
import type { Quarantine, State } from "../state/state.js";
import { defaultQuarantine, type QuarantineEvent, type QuarantinePolicy, settleQuarantines } from "./quarantine.js";
import type { ScheduleEvent } from "./schedule.js";

/** What a turn works with: as for `reconcile`, with a state. */
interface TickWork extends Omit<ReconcileOptions, "signal" | "onEvent" | "now" | "dryRun" | "confirm"> {
  readonly state: State;
}

/** How a turn ended. `resting`: everybody is in quarantine. `stopped`: on request, before anything was written. */
type TickStatus = Report["status"] | "busy" | "error" | "resting" | "stopped";

/** What came of a turn. */
export interface Tick {
  readonly status: TickStatus;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly report?: Report;
  /** Why it is `busy` or an `error`; with a report: why that could not be written down. */
  readonly error?: ErrorSummary;
  /** Changes that were needed although nobody had changed the spec since all was well. */
  readonly drift: number;
  /** Who was left alone in this turn. */
  readonly resting: readonly Quarantine[];
  /** All providers of the spec. Empty when there was no spec to be read. */
  readonly providers: readonly ProviderId[];
  /** Everything that the spec asked for in this turn. Empty when there was no spec to be read. */
  readonly targets: readonly { readonly provider: ProviderId; readonly group: string }[];
}

/** Why a turn was aborted: its work is somebody else's by now, and so is what is to be said of the service. */
export const LOST = "lost to another worker";

/** Everything that a service tells while it works. */
export type JobEvent =
  | SyncEvent
  | ScheduleEvent
  | QuarantineEvent
  | { readonly type: "begin" }
  | { readonly type: "tick"; readonly tick: Tick };

/** How turns go. */
export interface TickerOptions {
  /** Opens what a turn works with, for the time of `act`: the spec and its credentials as they are now, and the state. */
  readonly withWork: <T>(act: (work: TickWork) => Promise<T>) => Promise<T>;
  /** A turn that takes longer is stopped as by Ctrl-C: what is under way is finished, the rest is left. @default no end */
  readonly deadlineMs?: number;
  readonly quarantine?: QuarantinePolicy;
  readonly onEvent?: (event: JobEvent) => void;
  /** In milliseconds since the epoch. @default Date.now */
  readonly now?: () => number;
}

/** Makes turns. It remembers from one to the next what was well, so that drift can be told from a changed spec. */
export function createTicker(options: TickerOptions): (signal: AbortSignal) => Promise<Tick> {
  const { now = Date.now, onEvent = () => {}, quarantine: policy = defaultQuarantine } = options;
  /** By provider: the digest of the spec that it was in sync with. */
  const settled = new Map<ProviderId, string>();

  async function carryOut(work: TickWork, signal: AbortSignal, isLate: () => boolean): Promise<Ending> {
    const { spec, state, only } = work;
    const targets = spec.targets.filter(
      ({ provider, group }) => (only?.providers?.includes(provider) ?? true) && (only?.groups?.includes(group) ?? true),
    );
    const wanted = new Set(targets.map(({ provider }) => provider));
    const resting = (await state.quarantines()).filter(
      ({ provider, until }) => wanted.has(provider) && Date.parse(until) > now(),
    );
    for (const { provider } of resting) wanted.delete(provider);
    const facts = {
      resting,
      providers: spec.providers.map(({ id }) => id),
      targets: targets.map(({ provider, group }) => ({ provider, group })),
      drift: 0,
    };
    if (wanted.size === 0 && resting.length > 0) return { status: "resting", ...facts };
    try {
      const report = await reconcile({
        ...work,
        only: { ...only, providers: [...wanted] },
        signal,
        onEvent,
        now: () => new Date(now()),
      });
      let drift = 0;
      for (const part of report.providers) {
        if (settled.get(part.id) === spec.digest) drift += part.outcomes.filter(isChange).length;
        if (isSettled(part)) settled.set(part.id, spec.digest);
        else settled.delete(part.id);
      }
      const facing = { policy, now: new Date(now()), cancelledIsFailure: isLate(), onEvent };
      // What was done is told, even when it could not be written down.
      // Whoever was asleep takes its own silence for the service's.
      const unsettled =
        signal.reason === LOST
          ? undefined
          : await settleQuarantines(state, report.providers, facing).then(() => undefined, summarizeError);
      const error = report.stateError ?? unsettled;
      return { status: report.status, report, ...(error && { error }), ...facts, drift };
    } catch (error) {
      return { ...endOf(error, signal, isLate), ...facts };
    }
  }

  return async (signal) => {
    const startedAt = new Date(now()).toISOString();
    onEvent({ type: "begin" });
    // By hand: AbortSignal.any leaves a trace on the service's signal for every turn in Node 20.
    const stopper = new AbortController();
    const stop = () => stopper.abort(signal.reason);
    let late = false;
    const timer =
      options.deadlineMs === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            stop();
          }, options.deadlineMs);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const isLate = () => late && !signal.aborted;
    let ending: Ending;
    try {
      ending = await options.withWork((work) => carryOut(work, stopper.signal, isLate));
    } catch (error) {
      // Such as a spec that cannot be used, or a state that cannot be opened.
      ending = { ...endOf(error, stopper.signal, isLate), drift: 0, resting: [], providers: [], targets: [] };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
    const tick: Tick = { ...ending, startedAt, finishedAt: new Date(now()).toISOString() };
    onEvent({ type: "tick", tick });
    return tick;
  };
}

type Ending = Omit<Tick, "startedAt" | "finishedAt">;

function endOf(error: unknown, signal: AbortSignal, isLate: () => boolean): Pick<Tick, "status" | "error"> {
  if (isGroupSyncError(error, "busy")) return { status: "busy", error: summarizeError(error) };
  if (isGroupSyncError(error, "cancelled") && signal.aborted) {
    if (!isLate()) return { status: "stopped" };
    return {
      status: "error",
      error: { code: "timeout", message: "The time for a run was up before anything was written." },
    };
  }
  return { status: "error", error: summarizeError(error) };
}

function isChange({ status, error }: ProviderReport["outcomes"][number]): boolean {
  return status !== "held" && error?.code !== "cancelled";
}

function isSettled({ error, outcomes }: ProviderReport): boolean {
  return !error && outcomes.every(({ status }) => ["applied", "already", "pending", "held"].includes(status));
}
