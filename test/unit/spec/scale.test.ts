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

/** The best of some runs: the others measure the machine. */
async function timeOf(run: () => Promise<unknown>, rounds = 2): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await run();
    best = Math.min(best, performance.now() - started);
  }
  return best;
}

describe("ten times the spec takes about ten times as long", () => {
  test("when all is right: 10,000 people, 1,000 groups, 100,000 rows", async () => {
    const [small, big] = [large(1), large(10)];
    const spec = await read(big.text, big.files);
    expect(Object.keys(spec.people)).toHaveLength(10_000);
    expect(spec.targets).toHaveLength(2000);
    expect(spec.targets.every(({ members }) => members.length === 100)).toBe(true);
    const ratio = (await timeOf(() => read(big.text, big.files))) / (await timeOf(() => read(small.text, small.files)));
    expect(ratio).toBeLessThan(40);
  }, 60_000);

  test("when much is wrong: every row names someone who is not there", async () => {
    const wrong = (factor: number) => {
      const { text, files } = large(factor);
      return { text, files: { ...files, "m.csv": files["m.csv"].replaceAll(/,p(\d+)/g, ",q$1") } };
    };
    const [small, big] = [wrong(1), wrong(10)];
    expect(await problemsOf(big.text, big.files)).toHaveLength(7093);
    const ratio =
      (await timeOf(() => problemsOf(big.text, big.files))) / (await timeOf(() => problemsOf(small.text, small.files)));
    expect(ratio).toBeLessThan(60);
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
    const [small, big] = [inline(1), inline(10)];
    const ratio = (await timeOf(() => read(big))) / (await timeOf(() => read(small)));
    expect(ratio).toBeLessThan(40);
  }, 60_000);
});
