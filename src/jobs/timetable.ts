/** When something is due: by a cron pattern, or every so often. */
import { Cron } from "croner";
import { GroupSyncError } from "../errors.js";

/** See the module's description. */
export interface Timetable {
  /** The first moment after `after`, both in milliseconds since the epoch. Undefined: never again. */
  next(after: number): number | undefined;
  /** In plain words, such as `every 15 min`. */
  readonly description: string;
}

/**
 * By a cron pattern of five fields (or six, with seconds first), read in the time zone of this machine unless another
 * is named. Throws `options-invalid` for a pattern that is none, and for one that no date ever fits.
 */
export function createCronTimetable(pattern: string, timeZone?: string): Timetable {
  const refuse = (why: string) =>
    new GroupSyncError("options-invalid", `The cron pattern "${pattern}" ${why}.`, {
      hint: 'Such as "*/15 * * * *" (every 15 minutes) or "0 6 * * 1-5" (at 6 on working days).',
    });
  let cron: Cron;
  try {
    // Paused: it only tells the time, and sets no timer of its own.
    cron = new Cron(pattern, {
      paused: true,
      mode: "5-or-6-parts",
      ...(timeZone !== undefined && { timezone: timeZone }),
    });
    // A zone that does not exist shows only when it is used.
    cron.nextRun();
  } catch (error) {
    throw refuse(`cannot be read: ${error instanceof Error ? error.message : "unknown failure"}`.replace(/\.$/, ""));
  }
  const next = (after: number) => cron.nextRun(new Date(after))?.getTime();
  if (next(Date.now()) === undefined) throw refuse("fits no date to come");
  return { next, description: `cron ${pattern}${timeZone === undefined ? "" : ` (${timeZone})`}` };
}

/** Every `periodMs` milliseconds, from the moment on that is asked about first. */
export function createPeriodicTimetable(periodMs: number): Timetable {
  let start: number | undefined;
  const next = (after: number) => {
    start ??= after + 1;
    return start + (Math.floor((after - start) / periodMs) + 1) * periodMs;
  };
  return {
    next,
    description: `every ${periodMs % 60_000 === 0 ? `${periodMs / 60_000} min` : `${periodMs / 1000} s`}`,
  };
}
