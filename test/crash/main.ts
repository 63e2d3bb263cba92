/**
 * `npm run crash -- --kills 200`: kills runs at random moments and says what did not hold.
 *
 *   --kills N      how many runs are killed (default 20)   --from K   the first scene (default 1)
 *   --seed S       one scene, told at length               --state sqlite|postgres (default sqlite)
 *   --at-once N    scenes side by side (default 2)
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../unit/state/postgres.js";
import { type CrashOptions, type CrashPlay, playCrash } from "./play.js";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    state: { type: "string", default: "sqlite" },
    "at-once": { type: "string", default: "2" },
  },
});

function wholeNumber(text: string, option: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new Error(`--${option} takes a whole number, not ${JSON.stringify(text)}.`);
}

/** The command line, compiled beside this file. */
const cli = join(import.meta.dirname, "../../src/cli/main.js");

async function main(options: CrashOptions): Promise<number> {
  if (values.seed !== undefined) {
    const play = await playCrash(wholeNumber(values.seed, "seed"), options);
    for (const { killed, code, effects, writes, said } of play.attempts) {
      console.log(`${killed ? "killed" : `ended with ${code}`} after ${writes} writes, ${effects.length} effects`);
      for (const { service, groupName, kind, account, value, during } of effects) {
        console.log(`  ${service}: ${groupName} ${kind} ${account ?? value ?? ""}   # ${during}`);
      }
      if (!killed) console.log(said);
    }
    console.log(play.violations.join("\n"));
    return play.violations.length > 0 ? 1 : 0;
  }
  const wanted = wholeNumber(values.kills, "kills");
  const plays: CrashPlay[] = [];
  const killsOf = (play: CrashPlay) => play.attempts.filter(({ killed }) => killed).length;
  const kills = () => plays.reduce((sum, play) => sum + killsOf(play), 0);
  let seed = wholeNumber(values.from, "from");
  const workers = Array.from({ length: wholeNumber(values["at-once"], "at-once") }, async () => {
    while (kills() < wanted) {
      const play = await playCrash(seed++, options);
      plays.push(play);
      const [first] = play.violations;
      if (first !== undefined) {
        process.stderr.write(`npm run crash -- --seed ${play.seed}   # ${first} (${play.violations.length} in all)\n`);
      } else if (plays.length % 10 === 0) process.stderr.write(`${kills()} of ${wanted} kills\n`);
    }
  });
  await Promise.all(workers);
  const attempts = plays.flatMap((play) => play.attempts);
  const violated = plays.filter(({ violations }) => violations.length > 0);
  console.log(
    [
      `${kills()} runs were killed in ${plays.length} scenes, ${plays.reduce((sum, { midway }) => sum + midway, 0)} of them midway through their writes`,
      `${attempts.filter(({ killed }) => !killed).length} runs came to their end`,
      ...violated.map((play) => `npm run crash -- --seed ${play.seed}   # ${play.violations[0]}`),
      `${violated.length} scenes violated`,
    ].join("\n"),
  );
  return violated.length > 0 ? 1 : 0;
}

try {
  const postgres = values.state === "postgres" ? await startPostgres() : undefined;
  if (!postgres && values.state !== "sqlite") throw new Error(`--state takes sqlite or postgres, not ${values.state}.`);
  try {
    process.exitCode = await main({
      cli,
      ...(postgres && { createPlace: async () => ({ postgres: await postgres.createDatabase() }) }),
    });
  } finally {
    await postgres?.stop();
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
