/** What every store does alike with what it is given: the same order, the same refusals, the last of two wins. */
import { GroupSyncError } from "../errors.js";

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
