/** Many readings side by side. */
import pLimit from "p-limit";
import { isGroupSyncError } from "../errors.js";

/** Errors after which the next request fares no better: the rest need not be sent. */
export function endsEverything(error: unknown): boolean {
  return (
    isGroupSyncError(error) &&
    ["cancelled", "unauthenticated", "rate-limited", "network", "internal", "busy"].includes(error.code)
  );
}

/**
 * Reads each, at most `width` at a time, and says how each ended, in order. After an error that every other would meet
 * too (credentials, a long rate limit, no network), the rest end with the same error and are not begun.
 */
export async function readEach<Key, T>(
  keys: readonly Key[],
  width: number,
  read: (key: Key) => Promise<T>,
  onRead: (done: number) => void = () => {},
): Promise<readonly PromiseSettledResult<T>[]> {
  const limit = pLimit(Math.max(1, width));
  let end: { readonly error: unknown } | undefined;
  let done = 0;
  return Promise.allSettled(
    keys.map((key) =>
      limit(async () => {
        if (end) throw end.error;
        try {
          return await read(key);
        } catch (error) {
          if (endsEverything(error)) end = { error };
          throw error;
        } finally {
          onRead(++done);
        }
      }),
    ),
  );
}
