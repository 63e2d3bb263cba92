/** What a run tells while it works. */
import type { Batch, CallCount, ProviderId } from "../model.js";
import type { CallContext, CallEvent } from "../provider.js";
import { createCallContext } from "../provider.js";

/** An event of a run, for progress, logs and metrics. Never holds a secret. */
export type SyncEvent =
  | CallEvent
  /** A step of the straight line begins for a provider. */
  | {
      readonly type: "phase";
      readonly provider: ProviderId;
      readonly phase: "resolve" | "read" | "apply" | "verify" | "done";
    }
  | {
      readonly type: "progress";
      readonly provider: ProviderId;
      readonly phase: "read" | "apply" | "verify";
      readonly done: number;
      readonly total: number;
    }
  /** A batch was answered (`ok`) or failed. */
  | {
      readonly type: "batch";
      readonly provider: ProviderId;
      readonly kind: Batch["kind"];
      readonly changes: number;
      readonly ok: boolean;
    };

/** Counts the calls of one provider and makes contexts for its passes. */
export interface Meter {
  /** A context for one pass: what is read once in it is not read again. Calls through it are counted and told. */
  context(signal?: AbortSignal): CallContext;
  counts(): CallCount;
}

/** Makes a meter. `checkWrite` is asked before each write (see {@link CallContext}). */
export function createMeter(onEvent: (event: SyncEvent) => void, checkWrite?: () => void): Meter {
  const counts = { read: 0, write: 0, retried: 0, throttledMs: 0 };
  const onCall = (event: CallEvent) => {
    if (event.type === "call") counts[event.effect]++;
    else if (event.type === "retry") counts.retried++;
    else counts.throttledMs += event.delayMs;
    onEvent(event);
  };
  return {
    context: (signal) => createCallContext({ onCall, ...(checkWrite && { checkWrite }), ...(signal && { signal }) }),
    counts: () => ({
      read: counts.read,
      write: counts.write,
      retried: counts.retried,
      throttledSeconds: Math.round(counts.throttledMs / 100) / 10,
    }),
  };
}
