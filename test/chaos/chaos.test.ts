/** A sample of the chaos runner in CI: random specs, states, faults and ways of running, and nothing is violated. */
import { describe, expect, it } from "vitest";
import { brainstemSwitches, docspaceSwitches, genesysSwitches, neuroioSwitches } from "../../src/sandbox/index.js";
import { playMany } from "./play.js";
import { createScenario, SERVICES } from "./scenario.js";
import { namedSwitches } from "./switches.js";

describe("200 scenarios", () => {
  it("violate nothing", async () => {
    const seeds = Array.from({ length: 200 }, (_, index) => index + 1);
    const plays = await playMany(seeds, { atOnce: 16 });
    const violated = plays.flatMap(({ seed, violations }) =>
      violations.map(({ invariant, detail }) => `npm run chaos -- --seed ${seed}   # ${invariant}: ${detail}`),
    );
    expect(violated).toEqual([]);
    // A sample in which nothing goes wrong would prove nothing.
    const struck = plays.filter((play) => play.struck.length > 0).length;
    expect(struck).toBeGreaterThan(seeds.length / 3);
  }, 180_000);
});

describe("a scenario", () => {
  it("is the same for the same number", () => {
    expect(createScenario(7)).toEqual(createScenario(7));
  });

  it.each([
    ["neuroio", neuroioSwitches, ["qMatch", "qCase", "pidsMatch", "maxName", "maxMembers"]],
    ["brainstem", brainstemSwitches, ["maxName", "usersPatch"]],
    ["docspace", docspaceSwitches, []],
    ["genesys", genesysSwitches, ["retryAfter", "deleteLost"]],
  ] as const)("of %s knows every switch but those that no run meets", (service, switches, unused) => {
    const known = new Set([...namedSwitches(service), ...unused]);
    expect(Object.keys(switches).filter((name) => !known.has(name))).toEqual([]);
    expect(SERVICES).toContain(service);
  });
});
