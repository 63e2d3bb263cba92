/** Many scenarios, a few side by side, and what they came to. */
import pLimit from "p-limit";
import { type Play, playScenario } from "./run.js";
import { createScenario, type Scenario, type Service, SERVICES } from "./scenario.js";

export interface Played extends Play {
  readonly scenario: Scenario;
}

export interface PlayOptions {
  readonly services?: readonly Service[];
  /** @default 8 */
  readonly atOnce?: number;
  readonly onPlay?: (played: Play, done: number, violated: number) => void;
}

export async function playMany(
  seeds: readonly number[],
  { services = SERVICES, atOnce = 8, onPlay }: PlayOptions = {},
): Promise<readonly Played[]> {
  const limit = pLimit(atOnce);
  let done = 0;
  let violated = 0;
  return Promise.all(
    seeds.map((seed) =>
      limit(async (): Promise<Played> => {
        const scenario = createScenario(seed, services);
        const play = await playSafely(scenario);
        done++;
        if (play.violations.length > 0) violated++;
        onPlay?.(play, done, violated);
        // The story is long, and one seed tells it again.
        return { ...play, story: [], scenario };
      }),
    ),
  );
}

/** A scenario that cannot be played is a mistake of ours, and is told like a violation. */
async function playSafely(scenario: Scenario): Promise<Play> {
  try {
    return await playScenario(scenario);
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const violations = [{ invariant: "the scenario can be played", detail }];
    return { seed: scenario.seed, violations, outcomes: [], struck: [], story: [] };
  }
}

/** Counts by service, fault, way of running and outcome; then each violated seed with the line that plays it again. */
export function summarise(plays: readonly Played[], providers: readonly string[] = []): string {
  const bad = plays.filter(({ violations }) => violations.length > 0);
  return [
    `${plays.length} scenarios`,
    `services: ${countOf(plays.flatMap(({ scenario }) => scenario.services))}`,
    `faults that struck: ${countOf(plays.flatMap(({ struck }) => struck))}`,
    `at once: ${countOf(plays.map(({ scenario }) => `${scenario.faults.length}`))}`,
    `ways: ${countOf(plays.map(({ scenario }) => scenario.run.kind))}`,
    `successions: ${plays.filter(({ scenario }) => scenario.succession).length}`,
    `modes: ${countOf(plays.map(({ scenario }) => scenario.spec.mode))}`,
    `with a memory: ${plays.filter(({ scenario }) => scenario.remembers).length}, a run before: ${plays.filter(({ scenario }) => scenario.earlier).length}`,
    ...["before", "under faults", "afterwards", "once more"].map(
      (run) =>
        `${run}: ${countOf(plays.flatMap(({ outcomes }) => outcomes.filter((each) => each.startsWith(`${run}:`)).map((each) => each.slice(run.length + 2))))}`,
    ),
    ...bad.map((play) => lineOf(play, providers)),
    bad.length === 0 ? "0 violations" : `${bad.length} of ${plays.length} scenarios violated`,
  ].join("\n");
}

/** The line that plays a violated scenario again. */
export function lineOf({ seed, violations }: Play, providers: readonly string[] = []): string {
  const filter = providers.map((provider) => ` --provider ${provider}`).join("");
  const [first] = violations;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
  return `npm run chaos -- --seed ${seed}${filter}   # ${first?.invariant}: ${first?.detail.split("\n")[0]}${more}`;
}

function countOf(values: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const rows = [...counts].sort(([one], [other]) => (one < other ? -1 : 1));
  return rows.map(([value, count]) => `${value} ${count}`).join(", ") || "none";
}
