// Writes the documents that are made of data: docs/coverage.md from docs/coverage.json, docs/capabilities.md from what
// the adapters declare. Works on dist: build first. The tests under test/docs hold both against the sources.
import { readFile, writeFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const root = new URL("../", import.meta.url);

/** A reference to a test, such as `unit: renames by PATCH`, as its parts. */
export function parseTest(reference) {
  const [, kind, title] = /^([a-z ]+): (.*)$/s.exec(reference) ?? [];
  if (!kind) throw new Error(`${JSON.stringify(reference)} names no kind of test.`);
  return { kind, title };
}

/** Where the tests of a kind are run from. */
export function fileOf(kind, service) {
  const file = {
    wire: `test/wire/${service}.wire.test.ts`,
    "wire test": `test/wire/${service}.wire.test.ts`,
    unit: `test/unit/providers/${service}.test.ts`,
    conformance: `test/conformance/${service}.test.ts`,
    scenario: "test/scenarios/switches.test.ts",
    large: "test/scenarios/large.test.ts",
  }[kind];
  if (!file) throw new Error(`There is no kind of test called ${kind}.`);
  return file;
}

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

function renderRows(service, rows) {
  return rows.map(({ row, what, api = [], tests = [], leftOut }) => {
    const functions = api.map((name) => `\`${name}\``).join(", ");
    const links = tests.map((reference) => {
      const { kind, title } = parseTest(reference);
      return `[${kind}](../${fileOf(kind, service)}): ${kind === "wire" ? `\`${title}\`` : `“${title}”`}`;
    });
    const how = leftOut === undefined ? [functions, links.join("<br>")] : ["left out", leftOut];
    return `| ${[row, what, ...how].map(cell).join(" | ")} |`;
  });
}

/** docs/coverage.md. */
export function renderCoverage({ services }) {
  const lines = [
    "# What of the vendors' pages is covered",
    "",
    "Made by `npm run docs` from `docs/coverage.json`; `test/docs/coverage.test.ts` checks that every function exists,",
    "every test is there, and no row is without either.",
    "",
    "*wire* names a call of the vendor's own client: its recorded requests (`test/fixtures/wire`) are compared with what",
    "the function sends. *wire test* and *unit* are tests by their titles, *conformance* is the suite that every provider",
    "passes, *scenario* is a whole run against the sandbox under every setting of its switches.",
    "",
  ];
  for (const [service, { label, page, endpoints, pageRows, more = [] }] of Object.entries(services)) {
    const head = ["| row | what | function | test |", "|---|---|---|---|"];
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
export function renderCapabilities(types) {
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

async function main() {
  const coverage = JSON.parse(await readFile(new URL("docs/coverage.json", root), "utf8"));
  const { builtinProviderTypes } = await import(new URL("dist/providers/builtin.js", root).href);
  await writeFile(new URL("docs/coverage.md", root), renderCoverage(coverage));
  await writeFile(new URL("docs/capabilities.md", root), renderCapabilities(builtinProviderTypes));
  console.log("docs/coverage.md and docs/capabilities.md are written.");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
