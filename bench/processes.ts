/** What is measured from outside: the program's start, and plans of very many memberships. */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { count, fastest, type Figure } from "./figures.js";
import type { Sample } from "./memberships.js";

/** `group-sync --version` against a Node that does nothing. */
export async function measureStart(quick: boolean): Promise<readonly Figure[]> {
  const program = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
  const started = (args: readonly string[]) => () =>
    void execFileSync(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  const times = quick ? 5 : 25;
  const ours = await fastest(times, started([program, "--version"]));
  const bare = await fastest(times, started(["-e", ""]));
  return [
    {
      measure: 'group-sync --version: time ÷ node -e ""',
      bound: { atMost: 2.5 },
      value: ours / bare,
      detail: `${count(ours)} ÷ ${count(bare)} ms, the fastest of ${times}`,
      kind: "time",
    },
  ];
}

/** Difference and plan of 1,000,000 memberships against the same ids in bare Sets. */
export async function measureMemberships(quick: boolean): Promise<readonly Figure[]> {
  const groups = quick ? 100 : 1_000;
  const script = fileURLToPath(new URL("memberships.js", import.meta.url));
  const run = (job: string, size: number) =>
    JSON.parse(
      execFileSync(process.execPath, ["--expose-gc", script, job, String(size)], { encoding: "utf8" }),
    ) as Sample;
  /** The least of three of each, in turns: whatever else the machine does only adds to them. */
  const turns = Array.from({ length: quick ? 1 : 3 }, () => ({
    nothing: run("nothing", 0),
    ids: run("ids", groups),
    sets: run("sets", groups),
    tenth: run("ours", groups / 10),
    ours: run("ours", groups),
  }));
  const least = (job: keyof (typeof turns)[number], what: "ms" | "peakBytes") =>
    Math.min(...turns.map((turn) => turn[job][what]));
  if (turns.some(({ ours, sets }) => ours.found !== sets.found)) throw new Error("The plan misses differences.");
  const size = `${count(groups * 1_000)} memberships in ${count(groups)} groups`;
  const memory = (job: keyof (typeof turns)[number]) => (least(job, "peakBytes") - least("nothing", "peakBytes")) / 1e6;
  return [
    {
      measure: `difference and plan of ${size}: time ÷ bare Set differences`,
      bound: { atMost: 3 },
      value: least("ours", "ms") / least("sets", "ms"),
      detail: `${count(least("ours", "ms"))} ÷ ${count(least("sets", "ms"))} ms of the processor; the plan resolves people, guards, batches and digests too`,
      kind: "time",
    },
    {
      measure: `difference and plan of ${size}: peak memory ÷ holding the ids`,
      bound: { atMost: 3 },
      value: memory("ours") / memory("ids"),
      detail: `${count(memory("ours"))} ÷ ${count(memory("ids"))} MB more than a process that does nothing`,
      kind: "time",
    },
    {
      measure: "how time grows: 10 times the memberships",
      bound: { atMost: 11 },
      value: least("ours", "ms") / least("tenth", "ms"),
      detail: `${count(least("ours", "ms"))} ÷ ${count(least("tenth", "ms"))} ms of the processor`,
      kind: "time",
    },
  ];
}
