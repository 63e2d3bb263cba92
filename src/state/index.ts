/** Opens the store: a file on this machine, or PostgreSQL for many machines. Either is loaded only when it is used. */
import type { State } from "./state.js";

/** Where the store is: as in `state` of the spec. */
export type StatePlace =
  /** A SQLite file. Created, with its folders, when it is not there. */
  | { readonly file: string }
  /** The address of a PostgreSQL database: a secret. Needs the package `pg`. */
  | { readonly postgres: string };

/** How to open a store. */
export interface StateOptions {
  /** How long to wait, in milliseconds, while another process writes; then `busy`. @default 10000 */
  readonly busyTimeoutMs?: number;
}

/**
 * Opens the store, creates it when there is none, and brings an older one up to this tool's version. Close it at the
 * end. Throws `options-invalid` when it cannot be opened, is not ours, or was written by a newer tool, which leaves it as
 * it was; `network` when PostgreSQL does not answer; `busy` when another process keeps it locked.
 */
export async function openState(place: StatePlace, options: StateOptions = {}): Promise<State> {
  const busyTimeoutMs = options.busyTimeoutMs ?? 10_000;
  const { openSqlState } = await import("./sql.js");
  if ("file" in place) {
    const { openSqlite } = await import("./sqlite.js");
    return openSqlState(await openSqlite({ file: place.file, busyTimeoutMs }));
  }
  const { openPostgres } = await import("./postgres.js");
  return openSqlState(await openPostgres({ url: place.postgres, busyTimeoutMs }));
}
