// Writes the documents that are made of data: docs/coverage.md from docs/coverage.json, docs/capabilities.md from what
// the adapters declare, the tables in docs/providers/*.md from docs/traps.json, docs/commands.md from the commands and
// the tables in docs/spec.md from the JSON Schema. Works on dist: build first. With --check it writes nothing and fails
// when one of them is out of date. test/docs/coverage.test.ts holds the data against the sources.
import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { renderCommands, renderSpecPage } from "./reference.mjs";

const root = new URL("../", import.meta.url);

/**
 * A reference to a test, such as `unit: renames by PATCH`, as its parts. Behind `›`: one row of a table of tests. The
 * files are those in which the title stands; the first one is where it is run from.
 */
export function parseTest(reference, service) {
  const [, kind, title, row] = /^([a-z/ -]+): (.*?)(?: › (.*))?$/s.exec(reference) ?? [];
  if (!kind) throw new Error(`${JSON.stringify(reference)} names no kind of test.`);
  return { kind, title, row, files: filesOf(kind, service) };
}

function filesOf(kind, service) {
  const known = {
    wire: [`test/wire/${service}.wire.test.ts`],
    "wire test": [`test/wire/${service}.wire.test.ts`],
    unit: [`test/unit/providers/${service}.test.ts`],
    sandbox: [`test/sandbox/${service}.test.ts`],
    "official client": [`test/sandbox/${service}.official-client.test.ts`],
    conformance: [
      `test/conformance/${service}.test.ts`,
      ...["conformance", "reading", "writing"].map((part) => `src/testing/${part}.ts`),
    ],
    scenario: [service === "scim" ? "test/scenarios/scim-switches.test.ts" : "test/scenarios/switches.test.ts"],
    "check scenario": ["test/scenarios/check.test.ts"],
    "faults scenario": ["test/scenarios/faults.test.ts"],
    "real-org scenario": ["test/scenarios/real-org.test.ts"],
    large: ["test/scenarios/large.test.ts"],
    "cli/apply": ["test/cli/apply.test.ts"],
    "cli/commands": ["test/cli/commands.test.ts"],
    identity: ["test/unit/identity.test.ts"],
  }[kind];
  if (known) return known;
  if (/^(http|reconcile)\/[a-z]+$/.test(kind)) return [`test/unit/${kind}.test.ts`];
  throw new Error(`There is no kind of test called ${kind}.`);
}

/** A reference as a link from `docs/` (`up` leads from there to the root). */
function linkTest(reference, service, up) {
  const { kind, title, row, files } = parseTest(reference, service);
  const name = kind === "wire" ? `\`${title}\`` : `“${title}${row === undefined ? "" : ` › ${row}`}”`;
  return `[${kind}](${up}${files[0]}): ${name}`;
}

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function renderRows(service, rows) {
  return rows.map(({ row, what, api = [], fields = [], fieldTests = {}, tests = [], leftOut }) => {
    const code = (names) => names.map((name) => `\`${name}\``).join(", ");
    const proofs = [...tests, ...new Set(Object.values(fieldTests))].map((test) => linkTest(test, service, "../"));
    const names = [...fields, ...Object.keys(fieldTests)];
    const how = leftOut === undefined ? [code(api), code(names), proofs.join("<br>")] : ["left out", "", leftOut];
    return `| ${[row, what, ...how].map(cell).join(" | ")} |`;
  });
}

/** docs/coverage.md. */
function renderCoverage({ services }) {
  const lines = [
    "# What of the vendors' pages is covered",
    "",
    "Made by `npm run docs` from `docs/coverage.json`; `test/docs/coverage.test.ts` checks that every function exists,",
    "every test is there, and no row is without either.",
    "",
    "*wire* names a call of the vendor's own client: its recorded requests (`test/fixtures/wire`) are compared with what",
    "the function sends, field by field. *wire test* and *unit* are tests by their titles, *conformance* is the suite that",
    "every provider passes, *scenario* is a whole run against the sandbox under every setting of its switches.",
    "",
  ];
  for (const [service, { label, page, endpoints, pageRows, more = [] }] of Object.entries(services)) {
    const head = ["| row | what | function | fields sent | test |", "|---|---|---|---|---|"];
    lines.push(`## ${label}`, "", `### The vendor's page: ${page}`, "", ...head, ...renderRows(service, pageRows), "");
    lines.push("### Every endpoint", "", ...head, ...renderRows(service, endpoints), "");
    if (more.length > 0) lines.push("### Besides", "", ...head, ...renderRows(service, more), "");
  }
  return `${lines.join("\n").trimEnd()}\n`;
}

/** What each declared fact is called, in the order of the table. */
const FACTS = [
  ["a member is named by", (c) => c.memberKey],
  ["people per adding call", (c) => c.add.accountsPerCall],
  ["groups per adding call", (c) => c.add.groupsPerCall],
  ["people per removing call", (c) => c.remove.accountsPerCall],
  ["groups per removing call", (c) => c.remove.groupsPerCall],
  ["adds and removes in one call", (c) => c.mixed],
  ["most members of a group", (c) => c.maxMembers, "not stated"],
  ...["manager", "owner"].flatMap((role) => [
    [`${role}s: how many`, (c) => (c.roles[role] ? c.roles[role].max : "none"), "any number"],
    [`${role}s: can be taken away alone`, (c) => (c.roles[role] ? c.roles[role].clearable : "–")],
    [`${role}s: taking away is guarded`, (c) => (c.roles[role] ? c.roles[role].guarded : "–")],
  ]),
  ["groups can be created", (c) => c.groups.create],
  ["members that a creation takes along", (c) => c.groups.membersOnCreate],
  ["groups can be renamed", (c) => c.groups.rename],
  ["groups can be deleted", (c) => c.groups.delete],
  ["groups have a description", (c) => c.groups.description],
  ["longest name of a group, in characters", (c) => c.groups.maxNameLength ?? "not stated"],
  ["two groups may bear one name", (c) => c.groups.duplicateNames],
  ["people are found by", (c) => c.lookup.by],
  ["a pinned account is the member key", (c) => c.lookup.pinsAreKeys],
  ["ids are lower case", (c) => c.lookup.idsAreLowerCase],
  ["keys per look-up", (c) => c.lookup.keysPerCall],
  ["adding only invites", (c) => c.invitations],
  ["groups carry a version", (c) => c.versions],
  ["a write shows within", (c) => c.consistencyMs, undefined, (value) => `${value / 1000} s`],
  ["groups per page", (c) => c.pageSize.groups],
  ["members per page", (c) => c.pageSize.members, "no pages"],
  ["reading requests at once", (c) => c.inFlight.reads],
  ["writing requests at once", (c) => c.inFlight.writes],
];

function showValue(value, absent = "–") {
  if (value === null) return absent;
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "number" ? value.toLocaleString("en-GB") : String(value);
}

/** docs/capabilities.md. `types` are the provider types, each with `label` and `capabilities`. */
function renderCapabilities(types) {
  const sources = new Map();
  const cite = (source) => {
    if (!sources.has(source)) sources.set(source, sources.size + 1);
    return `[^${sources.get(source)}]`;
  };
  const show = (fact, absent, format = (value) => showValue(value, absent)) =>
    typeof fact === "string" ? fact : `${cell(format(fact.value))}${cite(fact.source)}`;
  const rates = ({ capabilities }) =>
    capabilities.rates
      .map(
        ({ scope, requests, windowMs, counts, source }) =>
          `${showValue(requests)} ${counts === "all" ? "requests" : `${counts}s`} in ${showValue(windowMs / 1000)} s per ${cell(scope)}${cite(source)}`,
      )
      .join("<br>") || "none documented";
  const lines = [
    "# What each service can do",
    "",
    "Made by `npm run docs` from what the adapters declare (`Capabilities` in `src/provider.ts`); the core obeys the same",
    "values. Each comes with its source below the table; a safe assumption says that it is one.",
    "",
    `| | ${types.map(({ label }) => label).join(" | ")} |`,
    `|---|${types.map(() => "---|").join("")}`,
    ...FACTS.map(
      ([title, pick, absent, format]) =>
        `| ${String(title)} | ${types.map(({ capabilities }) => show(pick(capabilities), absent, format)).join(" | ")} |`,
    ),
    `| limits on requests | ${types.map(rates).join(" | ")} |`,
    "",
    ...[...sources].map(([source, number]) => `[^${number}]: ${source.replaceAll("\n", " ")}`),
  ];
  return `${lines.join("\n")}\n`;
}

const OPENING = "<!-- Made by `npm run docs` from docs/traps.json. -->";
const CLOSING = "<!-- End of what is made. -->";

/** A page of docs/providers with its tables made anew; the rest of it is written by hand. */
function renderProviderPage(page, service, { traps, unknowns }) {
  const [before, rest] = page.split(OPENING);
  const after = rest?.split(CLOSING)[1];
  if (after === undefined) throw new Error(`docs/providers/${service}.md has no place for its tables.`);
  const proofs = (tests) => tests.map((test) => linkTest(test, service, "../../")).join("<br>");
  const lines = (rows) => rows.map((cells, index) => `| ${[String(index + 1), ...cells].map(cell).join(" | ")} |`);
  const code = (switches) => switches.map((name) => `\`${name}\``).join(", ");
  const tables = [
    OPENING,
    "",
    "| | trap | how it is handled | test |",
    "|---|---|---|---|",
    ...lines(traps.rows.map(({ trap, how, tests }) => [trap, how, proofs(tests)])),
    "",
    "What the vendor's documents leave open, and the switch of the sandbox that plays it every way:",
    "",
    "| | unknown | what is done | switch | test |",
    "|---|---|---|---|---|",
    ...lines(unknowns.rows.map(({ unknown, how, switches, tests }) => [unknown, how, code(switches), proofs(tests)])),
    "",
    CLOSING,
  ];
  return `${before}${tables.join("\n")}${after}`;
}

/** Every document that is made, by its name under docs/. */
export async function renderAll(types) {
  const read = (name) => readFile(new URL(`docs/${name}`, root), "utf8");
  const coverage = JSON.parse(await read("coverage.json"));
  const traps = JSON.parse(await read("traps.json"));
  const pages = Object.entries(traps).map(async ([service, tables]) => {
    const name = `providers/${service}.md`;
    return [name, renderProviderPage(await read(name), service, tables)];
  });
  return Object.fromEntries([
    ["coverage.md", renderCoverage(coverage)],
    ["capabilities.md", renderCapabilities(types)],
    ...(await Promise.all(pages)),
  ]);
}

/** The reference pages, by their names under docs/. */
export async function renderReference(program, schema) {
  const page = await readFile(new URL("docs/spec.md", root), "utf8");
  return { "commands.md": renderCommands(program), "spec.md": renderSpecPage(page, schema) };
}

async function main() {
  const load = (path) => import(new URL(`dist/${path}`, root).href);
  const { builtinProviderTypes } = await load("providers/builtin.js");
  const { renderJsonSchema } = await load("spec/index.js");
  const { createProgram } = await load("cli/program.js");
  const documents = {
    ...(await renderAll(builtinProviderTypes)),
    ...(await renderReference(
      createProgram(() => {}),
      renderJsonSchema(builtinProviderTypes),
    )),
  };
  const isCheck = process.argv.includes("--check");
  const stale = [];
  for (const [name, text] of Object.entries(documents)) {
    const file = new URL(`docs/${name}`, root);
    const current = await readFile(file, "utf8").catch(() => undefined);
    if (current === text) continue;
    stale.push(name);
    if (!isCheck) await writeFile(file, text);
  }
  if (stale.length === 0) console.log("Every document is up to date.");
  else if (!isCheck) console.log(`Written: ${stale.join(", ")}.`);
  else {
    console.error(`Out of date: ${stale.join(", ")}. Run npm run docs.`);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
