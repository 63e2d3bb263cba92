/**
 * One rate budget per scope, shared by everything in this process that uses the same credential.
 *
 * A budget knows the declared limits (so many requests in a window), how many requests may be under way at once, and
 * a pause: when the service says 429, the whole scope waits, not just the request that was hit. The limits are kept
 * as a sliding window, which is never looser than a service's own fixed window. Where several processes use one
 * credential, each asks for a place under {@link SharedLimits} too.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import { GroupSyncError } from "../errors.js";
import type { RateScope } from "../provider.js";

/** What kind of request wants to go out. */
export type Effect = "read" | "write";

/** Told when a request has to wait for its turn under a limit. */
type OnWait = (scope: string, delayMs: number, reason: string) => void;

/** See the module's description. */
export interface RateBudget {
  /**
   * Runs `send` when the limits allow it. Waiting ends at once when the signal aborts; what was sent is left alone.
   * Throws `rate-limited` at once when a declared limit asks for a longer wait than `maxWaitMs`. @default no bound
   */
  run<T>(
    effect: Effect,
    send: () => Promise<T>,
    signal: AbortSignal | undefined,
    onWait: OnWait,
    maxWaitMs?: number,
  ): Promise<T>;
  /** Nothing of this scope goes out before `until` (milliseconds since the epoch). */
  pause(until: number): void;
}

/** The limits of a budget. */
export interface BudgetLimits {
  readonly rates: readonly Omit<RateScope, "source">[];
  readonly reads: number;
  readonly writes: number;
}

/** Waits that are too short to be worth a word. */
const UNSPOKEN_WAIT_MS = 50;
/** How soon to look again where every place is taken by a request that has no answer yet. */
const ANSWER_MS = 10;
/** A shared place that took longer to get may be of a window that is over. */
const STALE_MS = 1_000;

interface Wait {
  readonly at: number;
  readonly scope: string;
  readonly reason: string;
  /** Whether `maxWaitMs` applies. */
  readonly isBounded: boolean;
}

const tooLong = (limit: string, scope: string, retryAt: number) =>
  new GroupSyncError("rate-limited", `The limit of ${limit} (${scope}) is used up.`, { retryable: true, retryAt });

const stopped = () => new GroupSyncError("cancelled", "Stopped before the request was sent.");

/** Limits that this process shares with others. */
export interface SharedLimits {
  /**
   * Takes the place of one request under a limit of a budget, known by its key. 0: it may go out now; else so many
   * milliseconds until it is worth asking again. Rejects when nobody can tell; then the request is not sent.
   */
  take(key: string, rate: Omit<RateScope, "source">): Promise<number>;
  /** Nothing of the budget goes out of any process for so many milliseconds. */
  pause(key: string, ms: number): Promise<void>;
}

/** The part of {@link SharedLimits} that one budget asks. */
interface Gate {
  take(rate: Omit<RateScope, "source">): Promise<number>;
  pause(ms: number): void;
}

/** Makes a budget. Most callers want {@link sharedBudget}. */
export function createRateBudget(
  limits: BudgetLimits,
  now: () => number = Date.now,
  /** Asked before each request: limits may begin to be shared at any time. */
  gate: () => Gate | undefined = () => undefined,
): RateBudget {
  const lanes = { read: pLimit(limits.reads), write: pLimit(limits.writes) };
  // Only the first in a queue looks at the clock. If all did, those who come last could overtake the others for ever.
  const queues = { read: pLimit(1), write: pLimit(1), all: pLimit(1) };
  // When a request counts for the service lies somewhere between sending and answer: its place is taken from the first,
  // and its window runs from the second.
  const windows = limits.rates.map((rate) => ({ rate, underWay: 0, answered: [] as number[] }));
  let pausedUntil = 0;

  /** What holds back the next request: a pause, or a full window of those that count this. */
  function findWait(counts: RateScope["counts"]): Wait | undefined {
    const time = now();
    // Whoever paused the scope has weighed the wait already.
    if (pausedUntil > time) {
      return { at: pausedUntil, scope: "service", reason: "the service asked to wait", isBounded: false };
    }
    for (const { rate, underWay, answered } of windows) {
      if (rate.counts !== counts) continue;
      while (answered[0] !== undefined && answered[0] <= time - rate.windowMs) answered.shift();
      if (underWay + answered.length < rate.requests) continue;
      const [oldest] = answered;
      const reason = `${rate.requests} requests per ${rate.windowMs / 1000} s`;
      return oldest === undefined
        ? { at: time + ANSWER_MS, scope: rate.scope, reason, isBounded: false }
        : { at: oldest + rate.windowMs, scope: rate.scope, reason, isBounded: true };
    }
    return undefined;
  }

  function windowsOf(effect: Effect) {
    return windows.filter(({ rate }) => rate.counts === "all" || rate.counts === effect);
  }

  async function waitForTurn(
    effect: Effect,
    signal: AbortSignal | undefined,
    onWait: OnWait,
    maxWaitMs: number,
  ): Promise<void> {
    async function waitOut(counts: RateScope["counts"]): Promise<void> {
      for (;;) {
        if (signal?.aborted) throw stopped();
        const wait = findWait(counts);
        if (!wait) return takeShared(counts);
        const delayMs = Math.max(1, wait.at - now());
        if (wait.isBounded && delayMs > maxWaitMs) {
          throw tooLong(wait.reason, wait.scope, wait.at);
        }
        if (delayMs >= UNSPOKEN_WAIT_MS) onWait(wait.scope, delayMs, wait.reason);
        await pauseFor(delayMs);
      }
    }

    function pauseFor(delayMs: number): Promise<void> {
      return sleep(delayMs, undefined, signal ? { signal } : {}).catch(() => {
        throw stopped();
      });
    }

    /** What other processes leave of the limits, after our own. */
    async function takeShared(counts: RateScope["counts"]): Promise<void> {
      for (const rate of limits.rates.filter((each) => each.counts === counts)) {
        for (;;) {
          if (signal?.aborted) throw stopped();
          const asked = performance.now();
          const delayMs = (await gate()?.take(rate)) ?? 0;
          // A place that was given to a process before it fell asleep is of a window long gone.
          if (delayMs <= 0 && performance.now() - asked < STALE_MS) break;
          const limit = `${rate.requests} requests per ${rate.windowMs / 1000} s, shared with other processes`;
          if (delayMs > maxWaitMs) throw tooLong(limit, rate.scope, now() + delayMs);
          if (delayMs >= UNSPOKEN_WAIT_MS) onWait(rate.scope, delayMs, limit);
          if (delayMs > 0) await pauseFor(delayMs);
        }
      }
    }

    await queues[effect](async () => {
      // The limits of its own kind first: a write that has to wait for hours holds up no reading.
      await waitOut(effect);
      await queues.all(async () => {
        await waitOut("all");
        for (const window of windowsOf(effect)) window.underWay++;
      });
    });
  }

  return {
    run: (effect, send, signal, onWait, maxWaitMs = Number.POSITIVE_INFINITY) =>
      new Promise((resolve, reject) => {
        // Not only the wait for a limit ends: a place behind a request that is under way may take a minute to come up.
        const stop = () => reject(stopped());
        if (signal?.aborted) stop();
        signal?.addEventListener("abort", stop, { once: true });
        lanes[effect](async () => {
          await waitForTurn(effect, signal, onWait, maxWaitMs);
          try {
            // Stopped in this very moment: the caller has been told that nothing was sent, so nothing is.
            if (signal?.aborted) throw stopped();
            signal?.removeEventListener("abort", stop);
            return await send();
          } finally {
            for (const window of windowsOf(effect)) {
              window.underWay--;
              window.answered.push(now());
            }
          }
        })
          .finally(() => signal?.removeEventListener("abort", stop))
          .then(resolve, reject);
      }),
    pause: (until) => {
      gate()?.pause(until - now());
      pausedUntil = Math.max(pausedUntil, until);
    },
  };
}

const budgets = new Map<string, RateBudget>();
let shared: SharedLimits | undefined;

/** From now on all budgets of this process share their limits with others. Undefined: not any more. */
export function shareLimits(limits: SharedLimits | undefined): void {
  shared = limits;
}

function gateOf(key: string): Gate | undefined {
  const limits = shared;
  return (
    limits && {
      take: (rate) => limits.take(key, rate),
      // Whoever is not told meets the limit himself, and waits.
      pause: (ms) => void limits.pause(key, ms).catch(() => undefined),
    }
  );
}

/** The budget of a scope, made at first use. `key` names service, address and credential; it is a hash, never a secret. */
export function sharedBudget(key: string, limits: BudgetLimits): RateBudget {
  const known = budgets.get(key);
  if (known) return known;
  const budget = createRateBudget(limits, Date.now, () => gateOf(key));
  budgets.set(key, budget);
  return budget;
}
