/**
 * `npm run chaos -- --seeds 5000`: plays scenarios and says what was violated.
 *
 *   --seeds N       how many (default 200)      --from K     the first number (default 1)
 *   --seed S        one scenario, told at length  --provider P…  only these services
 *   --at-once N     scenarios side by side (default 8)
 */
import { parseArgs } from "node:util";
import { lineOf, playMany, summarise } from "./play.js";
import { playScenario } from "./run.js";
import { createScenario, type Service, SERVICES } from "./scenario.js";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    provider: { type: "string", multiple: true },
    "at-once": { type: "string", default: "8" },
  },
});

function wholeNumber(text: string, option: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number;
  throw new Error(`--${option} takes a whole number, not ${JSON.stringify(text)}.`);
}

function readServices(): readonly Service[] {
  const unknown = values.provider?.find((name) => !SERVICES.some((known) => known === name));
  if (unknown !== undefined) {
    throw new Error(`There is no service ${JSON.stringify(unknown)}. Services: ${SERVICES.join(", ")}.`);
  }
  return values.provider ? SERVICES.filter((name) => values.provider?.includes(name)) : SERVICES;
}

async function main(): Promise<number> {
  const services = readServices();
  if (values.seed !== undefined) {
    const scenario = createScenario(wholeNumber(values.seed, "seed"), services);
    const play = await playScenario(scenario);
    const { people: _people, groups: _groups, spec: _spec, ...brief } = scenario;
    console.log(JSON.stringify(brief, undefined, 1));
    console.log(JSON.stringify({ people: scenario.people, groups: scenario.groups, spec: scenario.spec }));
    console.log(play.story.join("\n"));
    for (const { invariant, detail } of play.violations) console.log(`VIOLATED ${invariant}: ${detail}`);
    console.log(`${play.violations.length} violations`);
    return play.violations.length > 0 ? 1 : 0;
  }
  const from = wholeNumber(values.from, "from");
  const seeds = Array.from({ length: wholeNumber(values.seeds, "seeds") }, (_, index) => from + index);
  const started = performance.now();
  let told = started;
  const plays = await playMany(seeds, {
    services,
    atOnce: wholeNumber(values["at-once"], "at-once"),
    onPlay: (played, done, violated) => {
      if (played.violations.length > 0) process.stderr.write(`${lineOf(played, values.provider)}\n`);
      const now = performance.now();
      if (now - told < 5_000 && done < seeds.length) return;
      told = now;
      process.stderr.write(
        `${done} of ${seeds.length} scenarios, ${violated} violated, ${Math.round((now - started) / 1000)} s\n`,
      );
    },
  });
  console.log(summarise(plays, values.provider));
  return plays.some(({ violations }) => violations.length > 0) ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
