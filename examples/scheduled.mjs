// Keeps groups right, turn after turn, with a memory beside it. Between the turns a colleague takes someone out of a
// group by hand; the next turn finds that as drift and mends it. `group-sync run` is this with logs, metrics and notices.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPeriodicTimetable, createProviders, createTicker, openState, parseSpec, runSchedule } from "group-sync";
import { sampleSpec, startSandbox } from "group-sync/sandbox";

const folder = await mkdtemp(join(tmpdir(), "group-sync-example-"));
const sandbox = await startSandbox();
const stopper = new AbortController();
process.once("SIGTERM", () => stopper.abort());

const tick = createTicker({
  deadlineMs: 60_000,
  // Opened anew for each turn, so that a changed spec, credential or database is no matter.
  withWork: async (act) => {
    const spec = await parseSpec(sampleSpec(sandbox));
    const state = await openState({ file: join(folder, "state.db") });
    try {
      return await act({ spec, providers: createProviders(spec), state });
    } finally {
      await state.close();
    }
  },
});

try {
  let turns = 0;
  await runSchedule({
    timetable: createPeriodicTimetable(500), // createCronTimetable("*/15 * * * *", "Europe/Berlin") in real life
    signal: stopper.signal,
    turn: async (signal) => {
      const { status, drift, report } = await tick(signal);
      console.log(`turn ${++turns}: ${status}, ${report?.summary.applied ?? 0} applied, ${drift} of them drift`);
      if (turns === 1) await meddle();
      if (turns === 3) stopper.abort();
    },
  });
} finally {
  await sandbox.close();
  await rm(folder, { recursive: true });
}

/** Someone else's edit, in the service's own pages. */
async function meddle() {
  const edit = { service: "docspace", action: "remove-member", group: "On-call", person: "ken" };
  const answer = await fetch(`${sandbox.url}/_sandbox/edits`, { method: "POST", body: JSON.stringify(edit) });
  if (!answer.ok) throw new Error(await answer.text());
}
