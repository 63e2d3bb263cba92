/**
 * `npm run bench`: measures everything side by side in one run and writes docs/benchmarks.md.
 *
 *   --quick        small sizes, in less than a minute; ends with 1 when a figure of calls is missed. Times are shown only,
 *                  and nothing is written.
 *   --only <part>  one part; nothing is written
 */
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureCovers } from "./cover.js";
import { type Figure, isReached, renderTable } from "./figures.js";
import { measureMemberships, measureStart } from "./processes.js";
import { measureClients, measureLimit, measureQuietRuns, measureTogether, measureWrites } from "./services.js";

const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, only: { type: "string" } } });
const { quick, only } = values;

const parts: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  covers: measureCovers,
  writes: () => measureWrites(quick),
  reads: () => measureQuietRuns(quick),
  ...(!quick && { limit: measureLimit }),
  together: () => measureTogether(quick),
  clients: () => measureClients(quick),
  memberships: () => measureMemberships(quick),
  start: () => measureStart(quick),
};

function renderPage(table: string): string {
  const processors = cpus();
  const machine = `${processors.length} × ${processors[0]?.model.trim() ?? "unknown processor"}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`;
  return `# Benchmarks

Written by \`npm run bench\`; do not edit. One run, on the emulators of \`group-sync sandbox\`, which run in a process of
their own and answer 20 ms late. Everything random comes from fixed seeds. ${machine}.

Whole runs are timed from the parsed spec to the report, verification included. Their providers are told that nothing is
limited, unless a limit is what is measured. Figures of calls are the same on every machine; times are not, but what a
time is divided by was measured beside it.

${table}
`;
}

async function main(): Promise<void> {
  const figures: Figure[] = [];
  for (const [name, measure] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue;
    process.stderr.write(`${name} …\n`);
    figures.push(...(await measure()));
  }
  const table = renderTable(figures);
  console.log(table);
  if (!quick && only === undefined) {
    await writeFile(fileURLToPath(new URL("../../../docs/benchmarks.md", import.meta.url)), renderPage(table));
  }
  const missed = figures.filter((figure) => isReached(figure) === false && (!quick || figure.kind === "count"));
  for (const { measure } of missed) console.error(`Missed: ${measure}`);
  process.exitCode = missed.length > 0 ? 1 : 0;
}

await main().catch((error: unknown) => {
  // Errors of a spec hold a thousand problems.
  console.error((error instanceof Error ? error.message : String(error)).slice(0, 2_000));
  process.exitCode = 1;
});
