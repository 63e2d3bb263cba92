/**
 * Rate limits that many processes keep together, by `rate-limiter-flexible` on the server that holds the queues.
 *
 * It counts in fixed windows, so that a window that slides could see twice the limit where two of them meet. So each
 * limit is cut into smaller windows with fewer requests each: of n windows that make up the limit's own, any stretch of
 * that length touches at most n + 1, and all of those together stay within the limit.
 */
import { GroupSyncError } from "../errors.js";
import type { SharedLimits } from "../http/budget.js";

/** The part of `rate-limiter-flexible` that is needed, whatever it stands on. */
export interface Limiter {
  consume(key: string): Promise<unknown>;
  block(key: string, seconds: number): Promise<unknown>;
}

/** How a limit is cut: so many requests in each window of so many seconds. */
export interface SmallWindow {
  readonly requests: number;
  readonly seconds: number;
}

const MOST_PARTS = 60;
const ENOUGH = 0.8;

/**
 * Cuts a limit so that no stretch of its length sees more than the limit. The more windows, the more gets through in the
 * long run, the fewer at once: of those that let four fifths through, the fewest windows.
 */
export function cutLimit(requests: number, windowMs: number): SmallWindow {
  // Whole seconds: the store's own unit. A longer window with the same requests is never looser.
  const seconds = Math.max(1, Math.ceil(windowMs / 1000));
  // A window begins with its first request: where that is the only one, they are simply so far apart.
  const apart = Math.ceil(seconds / requests);
  let best: SmallWindow = { requests: 1, seconds: apart };
  let most = Math.floor(seconds / apart);
  for (let parts = 1; parts <= MOST_PARTS && parts <= seconds; parts++) {
    const each = Math.floor(requests / (parts + 1));
    if (seconds % parts !== 0 || each === 0) continue;
    const cut = { requests: each, seconds: seconds / parts };
    if (each * parts >= ENOUGH * requests) return cut;
    if (each * parts <= most) continue;
    most = each * parts;
    best = cut;
  }
  return best;
}

const LONGEST_PAUSE_S = 24 * 3600;
const PAUSE = "pause";
/** As good as no limit: it is only ever blocked. */
const PAUSES: SmallWindow = { requests: 1_000_000_000, seconds: 1 };

/** Makes the limits that processes share. `createLimiter` is asked once for each kind of window. */
export function createSharedLimits(createLimiter: (window: SmallWindow) => Promise<Limiter>): SharedLimits {
  const limiters = new Map<string, Promise<Limiter>>();
  const limiterOf = (window: SmallWindow) => {
    const name = `${window.requests}/${window.seconds}`;
    const limiter = limiters.get(name) ?? createLimiter(window);
    limiters.set(name, limiter);
    // Whoever asks again may find the server back.
    limiter.catch(() => limiters.delete(name));
    return limiter;
  };
  return {
    take: async (key, { requests, windowMs, scope }) => {
      const paused = await ask(limiterOf(PAUSES), `${PAUSE}:${key}`);
      if (paused > 0) return paused;
      return ask(limiterOf(cutLimit(requests, windowMs)), `${scope}:${key}`);
    },
    pause: async (key, ms) => {
      if (ms <= 0) return;
      const limiter = await limiterOf(PAUSES);
      await limiter.block(`${PAUSE}:${key}`, Math.min(LONGEST_PAUSE_S, Math.ceil(ms / 1000)));
    },
  };
}

async function ask(limiter: Promise<Limiter>, key: string): Promise<number> {
  try {
    await (await limiter).consume(key);
    return 0;
  } catch (answer) {
    // A refusal is thrown, and is no Error.
    if (typeof answer === "object" && answer !== null && "msBeforeNext" in answer) {
      return Math.max(1, Number(answer.msBeforeNext));
    }
    throw new GroupSyncError("network", "The rate limits that the workers share cannot be reached; nothing was sent.", {
      retryable: true,
      hint: "Check the server of --queue.",
    });
  }
}
