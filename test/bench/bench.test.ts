/** The benchmark runs, and no figure of calls is missed. Times are another matter: a busy machine is no failure. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { isReached, renderTable } from "../../bench/figures.js";

const run = promisify(execFile);

it("measures every line of the table, and reaches all figures of calls", async () => {
  await run("npx", ["tsc", "-p", "bench/tsconfig.json"]);
  // Ends with 1 when one is missed, and names it.
  const { stdout } = await run(process.execPath, ["coverage/bench/bench/main.js", "--quick"]);
  const rows = stdout.split("\n").filter((line) => line.startsWith("| "));
  const measures = [
    /^NeuroIO, 10,000 people into role-structured groups/,
    /^NeuroIO, 10,000 people into the same 8 groups/,
    /^NeuroIO, random memberships/,
    /^NeuroIO, 3 % drift/,
    /^NeuroIO, finding the worst of these covers/,
    /^Genesys: writes ÷/,
    /^Genesys: version reads ÷/,
    /^DocSpace: writes ÷/,
    /^BrainSTEM: writes ÷/,
    /^(NeuroIO|BrainSTEM|DocSpace|Genesys): calls that the plan tells/,
    /^(NeuroIO|BrainSTEM|DocSpace|Genesys), nothing to change/,
    /^four services at once/,
    /^a plain script for Genesys.*calls/,
    /^a plain script for Genesys.*wall time/,
    /^a plain script for NeuroIO.*calls/,
    /^a plain script for NeuroIO.*wall time/,
    /^difference and plan of 100,000 memberships.*time ÷/,
    /^difference and plan of 100,000 memberships.*memory ÷/,
    /^how time grows/,
    /^group-sync --version/,
  ];
  const cells = rows.map((row) => row.split("|").map((cell) => cell.trim()));
  for (const measure of measures) {
    const found = cells.filter(([, name = ""]) => measure.test(name));
    expect(found, String(measure)).not.toEqual([]);
    for (const [, , , measured = ""] of found) expect(Number.parseFloat(measured)).toBeGreaterThanOrEqual(0);
  }
  expect(cells.find(([, name]) => name === "measure")).toMatchObject({ 2: "must reach", 3: "measured", 4: "ok" });
}, 180_000);

it("tells a figure that is missed from one that is reached, and from one of which nothing is asked", () => {
  const figure = { measure: "calls", value: 1.2, detail: "12 ÷ 10", kind: "count" } as const;
  const figures = [
    { ...figure, bound: { atMost: 1.1 } },
    { ...figure, bound: { atMost: 1.2 } },
    { ...figure, bound: { atLeast: 1.3 } },
    { ...figure, bound: { exactly: 1 } },
    { ...figure, bound: "reported" as const },
    // Not a number is not reached.
    { ...figure, value: Number.NaN, bound: { atMost: 1 } },
  ];
  expect(figures.map(isReached)).toEqual([false, true, false, false, undefined, false]);
  const ok = renderTable(figures)
    .split("\n")
    .slice(2)
    .map((row) => row.split("|")[4]?.trim());
  expect(ok).toEqual(["NO", "yes", "NO", "NO", "–", "NO"]);
});
