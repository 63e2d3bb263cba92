/** What every store does alike with what it is given: the same order, the same refusals, the last of two wins. */
import { GroupSyncError } from "../errors.js";
import type { Lease, LeaseBusy } from "./state.js";

/** Whether a store can keep the text as it is. SQLite cuts a text at NUL, PostgreSQL refuses it; UTF-8 has no half characters. */
const isStorable = (text: string): boolean => !text.includes("\0") && !/\p{Cs}/u.test(text);

/**
 * The rows, if a store can keep their texts as they are; else throws `bad-answer`. An id that came back shorter than
 * it went in would be somebody else's.
 */
export function storable<T extends object>(rows: readonly T[]): readonly T[] {
  for (const row of rows) {
    for (const [column, value] of Object.entries(row)) {
      if (typeof value !== "string" || isStorable(value)) continue;
      const shown = JSON.stringify(value.slice(0, 80));
      throw new GroupSyncError("bad-answer", `A text that the state cannot keep came as ${column}: ${shown}.`, {
        hint: "It holds NUL or half a character. Nothing was written.",
      });
    }
  }
  return rows;
}

/** One row per key, the last one, in the order of the keys: two writers who take rows in one order never wait in a ring. */
export function distinct<T>(rows: readonly T[], keyOf: (row: T) => readonly string[]): readonly T[] {
  const byKey = new Map(rows.map((row) => [JSON.stringify(keyOf(row)), row]));
  return [...byKey].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

/** The run that a whole id or the beginning of one names. Throws `options-invalid` when it is the beginning of several. */
export function pickRun(begin: string, runIds: readonly string[]): string | undefined {
  if (begin === "") return undefined;
  if (runIds.includes(begin)) return begin;
  if (runIds.length > 1) {
    const some = runIds.slice(0, 3).join(", ");
    throw new GroupSyncError(
      "options-invalid",
      `Several runs begin with "${begin}": ${some}${runIds[3] ? ", …" : ""}.`,
      {
        hint: "Give more of the id.",
      },
    );
  }
  return runIds[0];
}

/** A limit as SQL takes it. */
export const atLeastNone = (limit: number): number => Math.max(0, Math.floor(limit));

/** How a bug of ours is reported: a call that does not fit what the store holds. */
export const misuse = (message: string): GroupSyncError => new GroupSyncError("internal", message);

/** The refusal of a store after `close()`. */
export const closed = (): GroupSyncError => misuse("The state is closed.");

/** A lease on one name, as kept: it counts until `expiresAt`, in milliseconds since the epoch by the store's clock. */
export interface LeaseRow {
  readonly name: string;
  readonly holder: string;
  readonly fence: number;
  readonly expiresAt: number;
}

/** The names of a lease, each once, in the order in which every store looks at them. */
export const leaseNames = (names: readonly string[]): readonly string[] => distinct(names, (name) => [name]);

/** Who stands in the way of a lease on these names. Undefined: nobody. */
export function findTaken(names: readonly string[], rows: readonly LeaseRow[], now: number): LeaseBusy | undefined {
  for (const name of names) {
    const row = rows.find((one) => one.name === name);
    if (!row || row.expiresAt <= now) continue;
    const { holder, fence, expiresAt } = row;
    return { busy: true, name, holder, fence, until: new Date(expiresAt).toISOString() };
  }
  return undefined;
}

/** Whether the lease is still held, on all of its names. */
export function isHeld({ names, holder, fence }: Lease, rows: readonly LeaseRow[], now: number): boolean {
  const held = rows.filter((row) => row.holder === holder && row.fence === fence && row.expiresAt > now);
  return names.every((name) => held.some((row) => row.name === name));
}

/** The refusal of an intention whose run has lost its lease. */
export const leaseLost = ({ names }: Lease): GroupSyncError =>
  new GroupSyncError("busy", `This run no longer holds its lease on ${names.join(", ")}; the call was not sent.`, {
    hint: "It was paused for too long, and another run may be at work. Plan again when that one has ended.",
  });
