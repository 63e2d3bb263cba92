/** How a client shows who it is: a fixed token, or one that is fetched and renewed in mid-run. */
import { GroupSyncError, isGroupSyncError } from "../errors.js";
import type { CallContext } from "../provider.js";

/** What goes along as the `Authorization` header. */
export interface Credential {
  /** The header's value. May have to log in first. */
  authorization(context: Partial<CallContext>): Promise<string>;
  /**
   * The header `used` was refused (401). True: a new one can be had, try once more. False: it is final.
   * Several requests that fail together renew once.
   */
  renew(used: string): boolean;
  /** Values that must never be printed, as known so far. */
  secrets(): readonly string[];
}

/** A token that is as it is. A 401 is final. */
export function createTokenCredential(scheme: string, token: string): Credential {
  const header = `${scheme} ${token}`;
  return { authorization: async () => header, renew: () => false, secrets: () => [token] };
}

/** A token just received, and how long it lives if the service says so. */
export interface IssuedToken {
  readonly token: string;
  readonly expiresInMs?: number;
}

/** Renewed this long before its end: as Genesys' Go SDK does (`expires_in` − 60 s). */
const RENEW_BEFORE_MS = 60_000;

/** A token that `logIn` fetches: at first use, shortly before its end, and once after a 401. */
export function createRenewingCredential(options: {
  readonly scheme: string;
  readonly logIn: (context: Partial<CallContext>) => Promise<IssuedToken>;
  /** What `logIn` is done with (a client secret, a password). */
  readonly secrets: readonly string[];
  readonly now?: () => number;
}): Credential {
  const now = options.now ?? Date.now;
  let held: { readonly header: string; readonly token: string; readonly renewAt: number } | undefined;
  let logIn: Promise<string> | undefined;

  async function fetchToken(context: Partial<CallContext>): Promise<string> {
    const issued = await options.logIn(context);
    const lifeMs = issued.expiresInMs ?? Number.POSITIVE_INFINITY;
    // A token that lives shorter than the margin is used for half its life, not renewed at every request.
    const renewAt = now() + Math.max(lifeMs - RENEW_BEFORE_MS, lifeMs / 2);
    held = { header: `${options.scheme} ${issued.token}`, token: issued.token, renewAt };
    return held.header;
  }

  return {
    authorization: async (context) => {
      for (;;) {
        if (held && now() < held.renewAt) return held.header;
        const isOurs = logIn === undefined;
        // Whoever comes while a log-in is under way shares it.
        logIn ??= fetchToken(context).finally(() => {
          logIn = undefined;
        });
        try {
          return await orCancelled(logIn, context.signal);
        } catch (error) {
          // The one who began the log-in was stopped, and the log-in with it. We were not: the next one is ours.
          if (isOurs || context.signal?.aborted || !isGroupSyncError(error, "cancelled")) throw error;
        }
      }
    },
    renew: (used) => {
      if (held?.header === used) held = undefined;
      return true;
    },
    secrets: () => (held ? [...options.secrets, held.token] : options.secrets),
  };
}

/** Ends with the work, or at once when the signal aborts. */
function orCancelled<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(new GroupSyncError("cancelled", "Stopped while waiting for a log-in."));
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    work.finally(() => signal?.removeEventListener("abort", stop)).then(resolve, reject);
  });
}
