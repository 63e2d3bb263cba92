/**
 * Does something again and again at its times, in this process, until it is stopped.
 *
 * Two turns never overlap: the next one is looked for when the last has ended, and times that passed meanwhile are
 * told as missed, not made up for. The clock is looked at often enough that a machine that was asleep is not late by
 * more than half a minute, and that a time weeks away is no timer that Node cannot hold.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Timetable } from "./timetable.js";

/** What a schedule tells. */
export type ScheduleEvent =
  /** The next turn is at this time. */
  | { readonly type: "next"; readonly at: string }
  /** So many turns were left out, because the one before took too long. */
  | { readonly type: "missed"; readonly turns: number };

/** The time, and waiting for it. */
export interface Clock {
  now(): number;
  /** Ends early, without complaint, when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

/** How a schedule goes. */
export interface ScheduleOptions {
  readonly timetable: Timetable;
  /** Each turn is late by a random part of this, so that many machines do not begin together. @default 0 */
  readonly jitterMs?: number;
  /** One turn. What it throws ends the schedule. */
  readonly turn: (signal: AbortSignal) => Promise<void>;
  /** Ends the schedule. A turn under way is told by the same signal, and waited for. */
  readonly signal: AbortSignal;
  readonly onEvent?: (event: ScheduleEvent) => void;
  /** @default the time of this machine */
  readonly clock?: Clock;
  /** In [0, 1). @default Math.random */
  readonly random?: () => number;
}

/** The time of this machine. */
const systemClock: Clock = {
  now: Date.now,
  wait: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => undefined),
};

const LOOK_AGAIN_MS = 30_000;
const COUNT_MISSED_TO = 1000;

/** See the module's description. Ends when the signal aborts, or when the timetable has no further time. */
export async function runSchedule(options: ScheduleOptions): Promise<void> {
  const { timetable, signal, jitterMs = 0, clock = systemClock, random = Math.random, onEvent = () => {} } = options;
  // The very first turn may be due now.
  let due = timetable.next(clock.now() - 1);
  while (due !== undefined && !signal.aborted) {
    const at = due + Math.floor(random() * jitterMs);
    onEvent({ type: "next", at: new Date(at).toISOString() });
    for (let left = at - clock.now(); left > 0 && !signal.aborted; left = at - clock.now()) {
      await clock.wait(Math.min(left, LOOK_AGAIN_MS), signal);
    }
    if (signal.aborted) return;
    await options.turn(signal);

    const ended = clock.now();
    let missed = 0;
    due = timetable.next(due);
    while (due !== undefined && due <= ended && missed < COUNT_MISSED_TO) {
      missed++;
      due = timetable.next(due);
    }
    if (due !== undefined && due <= ended) due = timetable.next(ended);
    if (missed > 0) onEvent({ type: "missed", turns: missed });
  }
}
