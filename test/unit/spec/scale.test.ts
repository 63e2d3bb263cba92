import { describe, expect, test } from "vitest";
import { problemsOf, read } from "./kit.js";

const TWO = `version: 1
mode: authoritative
providers:
  docs: { type: plain, token: "\${TOKEN}" }
  calls: { type: plain, token: "\${TOKEN}" }
`;

/** People, groups and memberships in proportion: at 10, ten thousand people, a thousand groups and 100,000 rows. */
function large(factor: number) {
  const people = Array.from(
    { length: factor * 1000 },
    (_, index) => `p${index},p${index}@x.org,alias${index}@x.org,Person ${index},`,
  );
  const groups = Array.from({ length: factor * 100 }, (_, index) => `  g${index}: { targets: [docs, calls] }`);
  const rows = Array.from({ length: factor * 10_000 }, (_, index) => {
    const group = index % (factor * 100);
    return `g${group},p${(group * 7 + Math.floor(index / (factor * 100))) % (factor * 1000)},,`;
  });
  return {
    text: `${TWO}people: { file: p.csv }\ngroups:\n${groups.join("\n")}\nmemberships: { file: m.csv }\n`,
    files: {
      "p.csv": `id,email,aliases,name,docs\n${people.join("\n")}\n`,
      "m.csv": `group,person,role,until\n${rows.join("\n")}\n`,
    },
  };
}

/** Processor time, which other work on the machine does not stretch as it does the clock's. The best of some runs. */
async function costOf(run: () => Promise<unknown>, rounds: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, user + system);
  }
  return best;
}

/** How many times more the big one costs. */
async function growth(small: () => Promise<unknown>, big: () => Promise<unknown>): Promise<number> {
  await small();
  return (await costOf(big, 2)) / (await costOf(small, 3));
}

describe("a spec of many times the size costs about as many times more", () => {
  test("when all is right: 10,000 people, 1,000 groups, 100,000 rows", async () => {
    const [small, big] = [large(1), large(10)];
    const spec = await read(big.text, big.files);
    expect(Object.keys(spec.people)).toHaveLength(10_000);
    expect(spec.targets).toHaveLength(2000);
    expect(spec.targets.every(({ members }) => members.length === 100)).toBe(true);
    expect(
      await growth(
        () => read(small.text, small.files),
        () => read(big.text, big.files),
      ),
    ).toBeLessThan(40);
  }, 60_000);

  test("when much is wrong: every row names someone who is not there", async () => {
    const wrong = (factor: number) => {
      const { text, files } = large(factor);
      return { text, files: { ...files, "m.csv": files["m.csv"].replaceAll(/,p(\d+)/g, ",q$1") } };
    };
    const [small, big] = [wrong(1), wrong(4)];
    expect(await problemsOf(big.text, big.files)).toHaveLength(2893);
    expect(
      await growth(
        () => problemsOf(small.text, small.files),
        () => problemsOf(big.text, big.files),
      ),
    ).toBeLessThan(16);
  }, 60_000);

  test("when people and lists stand in YAML", async () => {
    const inline = (factor: number) => {
      const people = Array.from({ length: factor * 200 }, (_, index) => `  p${index}: { email: p${index}@x.org }`);
      const groups = Array.from({ length: factor * 20 }, (_, index) => {
        const members = Array.from({ length: 50 }, (__, place) => `p${(index * 7 + place) % (factor * 200)}`);
        return `  g${index}: { members: [${members.join(", ")}], targets: [docs] }`;
      });
      return `${TWO}people:\n${people.join("\n")}\ngroups:\n${groups.join("\n")}\n`;
    };
    const [small, big] = [inline(1), inline(5)];
    expect(
      await growth(
        () => read(small),
        () => read(big),
      ),
    ).toBeLessThan(20);
  }, 60_000);
});
