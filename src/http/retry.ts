/**
 * Whether to send a request again, and when: a pure decision.
 *
 * A reading may be repeated after anything transient. A write may be repeated only when it is certain that the
 * service did not do it (a rate limit, a connection that was never made); after anything else the core reads first,
 * because the outcome is unknown.
 */
import { type GroupSyncError, isGroupSyncError } from "../errors.js";

/** How patient a client is. */
export interface RetryPolicy {
  /** Attempts in all, the first included. @default 5 */
  readonly maxAttempts: number;
  /** First step of the exponential back-off, before jitter. @default 500 */
  readonly baseDelayMs: number;
  /** Longest back-off of our own choosing. @default 30000 */
  readonly maxDelayMs: number;
  /** A wait that the service asks for beyond this ends the run instead; the error says when to come back. @default 180000 */
  readonly maxWaitMs: number;
}

/** The policy where nothing else was asked for. Genesys' own SDKs give up above 180 s too (Go and .NET SDK). */
export const defaultRetryPolicy: RetryPolicy = {
  maxAttempts: 5,
  baseDelayMs: 500,
  maxDelayMs: 30_000,
  maxWaitMs: 180_000,
};

/** What {@link decideRetry} found, with the reason in plain words. */
export type RetryDecision =
  | { readonly retry: false; readonly reason: string }
  | { readonly retry: true; readonly delayMs: number; readonly reason: string };

/** Rate limits are answered more often than faults: waiting as told is no failure. Still bounded. */
const EXTRA_RATE_LIMIT_ATTEMPTS = 5;

/**
 * Decides about one failed attempt (counted from 1). `random` in [0, 1) spreads the upper half of a back-off, so that
 * clients which failed together do not come back together.
 */
export function decideRetry(
  error: unknown,
  attempt: number,
  effect: "read" | "write",
  policy: RetryPolicy,
  now: number,
  random: number,
): RetryDecision {
  if (!isGroupSyncError(error)) return { retry: false, reason: "not an error of the connection" };
  if (error.code === "cancelled") return { retry: false, reason: "cancelled" };
  if (error.code === "rate-limited") return decideRateLimit(error, attempt, policy, now, random);
  if (!error.facts.retryable) return { retry: false, reason: `${error.code} does not go away by itself` };
  if (effect === "write" && error.facts.outcomeUnknown) {
    return { retry: false, reason: "the outcome of a write is unknown; it has to be read first" };
  }
  if (attempt >= policy.maxAttempts) return { retry: false, reason: `gave up after ${attempt} attempts` };
  const asked = error.facts.retryAt === undefined ? 0 : error.facts.retryAt - now;
  if (asked > policy.maxWaitMs) return { retry: false, reason: "the service asks for too long a wait" };
  const delayMs = Math.max(asked, backOff(attempt, policy, random));
  return { retry: true, delayMs, reason: error.code };
}

function decideRateLimit(
  error: GroupSyncError,
  attempt: number,
  policy: RetryPolicy,
  now: number,
  random: number,
): RetryDecision {
  if (attempt >= policy.maxAttempts + EXTRA_RATE_LIMIT_ATTEMPTS) {
    return { retry: false, reason: `still limited after ${attempt} attempts` };
  }
  const asked = error.facts.retryAt === undefined ? undefined : Math.max(0, error.facts.retryAt - now);
  if (asked !== undefined && asked > policy.maxWaitMs) {
    return { retry: false, reason: "the service asks for too long a wait" };
  }
  // Told when: exactly then, plus a little so that all clocks agree. Not told: back off.
  const delayMs = asked === undefined ? backOff(attempt, policy, random) : asked + Math.round(random * 250);
  return { retry: true, delayMs, reason: "rate limit" };
}

function backOff(attempt: number, policy: RetryPolicy, random: number): number {
  const ceiling = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (attempt - 1));
  return Math.round(ceiling * (0.5 + random / 2));
}

/**
 * `Retry-After` as milliseconds since the epoch: whole seconds, or an HTTP date in any of its three forms. Anything
 * else, and a date in the past, gives undefined: then we back off by ourselves.
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim();
  if (!text) return undefined;
  if (/^\d{1,9}$/.test(text)) return now + Number(text) * 1000;
  // Date.parse alone finds a date in nearly anything that holds a number: `-5`, `1.5`, `try 2099`.
  if (!/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? .*\d\d:\d\d:\d\d/.test(text)) return undefined;
  // asctime has no zone; HTTP dates are always GMT (RFC 9110 §5.6.7).
  const at = Date.parse(/GMT|[+-]\d{4}$/.test(text) ? text : `${text} GMT`);
  return Number.isNaN(at) || at < now ? undefined : at;
}
