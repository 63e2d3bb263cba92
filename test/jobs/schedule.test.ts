import { describe, expect, it } from "vitest";
import { type Clock, runSchedule, type ScheduleEvent } from "../../src/jobs/schedule.js";
import { createCronTimetable, createPeriodicTimetable } from "../../src/jobs/timetable.js";

const START = Date.parse("2027-03-01T12:00:00Z");
const MINUTE = 60_000;

/** A clock that goes on only when somebody waits. */
function createFakeClock(start = START) {
  let time = start;
  const clock: Clock = {
    now: () => time,
    wait: async (ms) => {
      time += ms;
    },
  };
  return { clock, pass: (ms: number) => (time += ms) };
}

/** Runs a schedule for so many turns; the times of the turns and everything it told. */
async function runTurns(
  count: number,
  options: Omit<Parameters<typeof runSchedule>[0], "turn" | "signal" | "onEvent">,
  turn: (index: number) => void = () => {},
) {
  const stopper = new AbortController();
  const times: string[] = [];
  const events: ScheduleEvent[] = [];
  await runSchedule({
    ...options,
    signal: stopper.signal,
    onEvent: (event) => events.push(event),
    turn: async () => {
      times.push(new Date(options.clock?.now() ?? 0).toISOString().slice(11, 19));
      if (times.length === count) stopper.abort();
      turn(times.length);
    },
  });
  return { times, events };
}

describe("a schedule", () => {
  it("begins at once with a period, and keeps to it whatever a turn takes", async () => {
    const { clock, pass } = createFakeClock();
    const { times } = await runTurns(3, { timetable: createPeriodicTimetable(15 * MINUTE), clock }, () =>
      pass(4 * MINUTE),
    );
    expect(times).toEqual(["12:00:00", "12:15:00", "12:30:00"]);
  });

  it("waits for the first time of a cron pattern", async () => {
    const { clock } = createFakeClock(START + 1);
    const { times } = await runTurns(2, { timetable: createCronTimetable("*/20 * * * *", "UTC"), clock });
    expect(times).toEqual(["12:20:00", "12:40:00"]);
  });

  it("leaves out the turns that pass while one is under way, and tells how many", async () => {
    const { clock, pass } = createFakeClock();
    const { times, events } = await runTurns(2, { timetable: createPeriodicTimetable(10 * MINUTE), clock }, (index) => {
      if (index === 1) pass(35 * MINUTE);
    });
    expect(times).toEqual(["12:00:00", "12:40:00"]);
    expect(events).toContainEqual({ type: "missed", turns: 3 });
  });

  it("begins late by a part of the jitter", async () => {
    const { clock } = createFakeClock();
    const timetable = createPeriodicTimetable(10 * MINUTE);
    const { times } = await runTurns(2, { timetable, clock, jitterMs: 2 * MINUTE, random: () => 0.5 });
    expect(times).toEqual(["12:01:00", "12:11:00"]);
  });

  it("begins soon after a machine wakes, and makes up for nothing", async () => {
    const fake = createFakeClock();
    let slept = false;
    const clock: Clock = {
      now: () => fake.clock.now(),
      wait: async (ms, signal) => {
        await fake.clock.wait(ms, signal);
        if (!slept && fake.clock.now() > START) fake.pass(8 * 60 * MINUTE);
        slept ||= fake.clock.now() > START;
      },
    };
    const { times } = await runTurns(3, { timetable: createPeriodicTimetable(60 * MINUTE), clock });
    expect(times).toEqual(["12:00:00", "20:00:30", "21:00:00"]);
  });

  it("ends at once when it is stopped while it waits", async () => {
    const stopper = new AbortController();
    let turns = 0;
    const ended = runSchedule({
      timetable: createPeriodicTimetable(3_600_000),
      signal: stopper.signal,
      turn: async () => {
        turns++;
        setTimeout(() => stopper.abort(), 20);
      },
    });
    const before = Date.now();
    await ended;
    expect(turns).toBe(1);
    expect(Date.now() - before).toBeLessThan(2_000);
  });
});

describe("a cron pattern", () => {
  it("is refused with an example when it cannot be read, fits no date, or names no time zone that there is", () => {
    for (const wrong of ["every day", "61 * * * *", "0 0 31 2 *", ""]) {
      expect(() => createCronTimetable(wrong), wrong).toThrow(/The cron pattern ".*" (cannot be read|fits no date)/);
    }
    expect(() => createCronTimetable("0 6 * * *", "Mars/Olympus")).toThrow(/cannot be read/);
  });

  it("means local time, summer and winter", () => {
    const timetable = createCronTimetable("0 6 * * *", "Europe/Berlin");
    const after = (time: string) => new Date(timetable.next(Date.parse(time)) ?? 0).toISOString();
    expect(after("2027-03-27T12:00:00Z")).toBe("2027-03-28T04:00:00.000Z");
    expect(after("2027-10-30T12:00:00Z")).toBe("2027-10-31T05:00:00.000Z");
  });
});
