/**
 * Holds the documents that are made of data to the code: what docs/coverage.json says of the vendors' pages,
 * docs/traps.json of their traps, and the adapters of themselves.
 */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseTest, renderAll } from "../../scripts/docs.mjs";
import { createBrainstemApi } from "../../src/providers/brainstem/index.js";
import { builtinProviderTypes } from "../../src/providers/builtin.js";
import { createDocspaceApi } from "../../src/providers/docspace/index.js";
import { createGenesysApi } from "../../src/providers/genesys/index.js";
import { createNeuroioApi } from "../../src/providers/neuroio/index.js";
import { createScimApi, scimEquals } from "../../src/providers/scim/index.js";
import {
  brainstemSwitches,
  docspaceSwitches,
  genesysSwitches,
  neuroioSwitches,
  scimSwitches,
} from "../../src/sandbox/index.js";
import { renderJsonSchema } from "../../src/spec/index.js";
import { isPreferred, loadRecordings, type Recording, type WireService } from "../wire/compare.js";

interface Row {
  readonly row: string;
  readonly what: string;
  readonly api?: readonly string[];
  /** Sent by us as by the vendor's client: each is in a recording that a `wire` test of the row compares. */
  readonly fields?: readonly string[];
  /** Sent by us, and by no recording: each with its own test. */
  readonly fieldTests?: Readonly<Record<string, string>>;
  readonly tests?: readonly string[];
  /** Why there is no function. */
  readonly leftOut?: string;
}
interface Coverage {
  readonly services: Readonly<
    Record<
      string,
      { readonly endpoints: readonly Row[]; readonly pageRows: readonly Row[]; readonly more?: readonly Row[] }
    >
  >;
}
interface Table {
  /** As counted in the provider sheet. */
  readonly count: number;
  readonly rows: readonly {
    readonly how: string;
    readonly tests: readonly string[];
    readonly switches?: readonly string[];
  }[];
}
type Traps = Readonly<Record<string, { readonly traps: Table; readonly unknowns: Table }>>;

const root = new URL("../../", import.meta.url);
const readText = (path: string) => readFileSync(new URL(path, root), "utf8");
const coverage = JSON.parse(readText("docs/coverage.json")) as Coverage;
const traps = JSON.parse(readText("docs/traps.json")) as Traps;

const services = ["neuroio", "brainstem", "docspace", "genesys", "scim"] as const;
type Service = (typeof services)[number];
const baseUrl = "https://service.test";
/** The functions of each adapter below its provider. */
const functions: Readonly<Record<Service, readonly string[]>> = {
  neuroio: Object.keys(createNeuroioApi({ token: "t" })),
  brainstem: Object.keys(createBrainstemApi({ token: "t" })),
  docspace: Object.keys(createDocspaceApi({ baseUrl, apiKey: "sk-t" })),
  genesys: Object.keys(createGenesysApi({ region: "mypurecloud.de", clientId: "c", clientSecret: "s" })),
  scim: [...Object.keys(createScimApi({ baseUrl, token: "t" })), scimEquals.name],
};
const switches: Readonly<Record<Service, object>> = {
  neuroio: neuroioSwitches,
  brainstem: brainstemSwitches,
  docspace: docspaceSwitches,
  genesys: genesysSwitches,
  scim: scimSwitches,
};

const rowsOf = (service: Service): readonly Row[] => {
  const { endpoints = [], pageRows = [], more = [] } = coverage.services[service] ?? {};
  return [...endpoints, ...pageRows, ...more];
};

/** A recording's call as the tables name it. BrainSTEM's clients have one call for everything; what it is about follows. */
function wireName({ call: { method, args } }: Recording): string {
  if (Array.isArray(args)) return method;
  const { model, options } = args as { readonly model?: string; readonly options?: string };
  return [method, model, options].filter((part) => typeof part === "string").join(" ");
}

/** The fields of the requests that a call of the vendor's client makes. */
function recordedFields(service: WireService): ReadonlyMap<string, ReadonlySet<string>> {
  const fields = new Map<string, Set<string>>();
  for (const recording of loadRecordings(service).filter(isPreferred)) {
    const known = fields.get(wireName(recording)) ?? new Set();
    fields.set(wireName(recording), known);
    const { query, body } = recording.request;
    for (const [name] of query) known.add(name);
    JSON.stringify(body, (key, value: unknown) => {
      known.add(key);
      return value;
    });
  }
  return fields;
}
const recorded = new Map(
  services.flatMap((service) => (service === "scim" ? [] : [[service as string, recordedFields(service)] as const])),
);

const files = new Map<string, string>();
function textOf(path: string): string {
  const text = files.get(path) ?? (existsSync(new URL(path, root)) ? readText(path) : "");
  files.set(path, text);
  return text;
}

const quoted = (text: string) => [JSON.stringify(text), `\`${text}\``, `'${text}'`];
/** Titles of tests that run: first arguments of it, test, and of what their `each` gives. */
function titlesIn(text: string): ReadonlySet<string> {
  const titles = text.matchAll(/(?:\b(?:it|test)(?:\.(?!skip|todo)\w+)*|\))\(\s*(["`])((?:\\.|(?!\1).)*)\1,/gs);
  return new Set([...titles].map(([, , title = ""]) => title.replaceAll('\\"', '"')));
}

/** What is wrong with a reference to a test. */
function findProblem(reference: string, service: Service): string | undefined {
  const { kind, title, row, files: paths } = parseTest(reference, service);
  if (kind === "wire") return recorded.get(service)?.has(title) ? undefined : `no recording is compared: ${reference}`;
  const found = paths.find((path) => titlesIn(textOf(path)).has(title));
  if (found === undefined) return `no test has this title: ${reference}`;
  if (row !== undefined && !quoted(row).some((text) => textOf(found).includes(text)))
    return `no such row: ${reference}`;
  return undefined;
}
const findProblems = (references: readonly string[], service: Service) =>
  references.map((reference) => findProblem(reference, service)).filter((problem) => problem !== undefined);

describe("a reference to a test", () => {
  it("leads nowhere when the title, the row or the recording is not there", () => {
    const wrong = ["unit: renames by POST", "wire: groups.rename", "unit: sends nothing for %s › no such row"];
    expect(findProblems(wrong, "genesys")).toHaveLength(3);
    expect(titlesIn('it.skip("a", () => {});\nit.each([1])(\n  "b", () => {});\ntest("c \\"d\\"", () => {});')).toEqual(
      new Set(["b", 'c "d"']),
    );
    expect(() => parseTest("hearsay: it works", "genesys")).toThrow("no kind of test");
  });
});

describe.each(services)("what is covered of %s", (service) => {
  const rows = rowsOf(service);

  it("has no row without function and test, unless it says why", () => {
    const isProved = ({ api = [], tests = [], fieldTests = {} }: Row) =>
      api.length > 0 && tests.length + Object.keys(fieldTests).length > 0;
    const bare = rows.filter((row) =>
      row.leftOut === undefined ? !isProved(row) : isProved(row) || row.leftOut === "",
    );
    expect(bare.map(({ row, what }) => `${row} ${what}`)).toEqual([]);
    expect(rows.length).toBeGreaterThan(10);
  });

  it("names functions that exist, and every function that exists", () => {
    const named = rows.flatMap(({ api = [] }) => api);
    expect(named.filter((name) => !functions[service].includes(name))).toEqual([]);
    expect(functions[service].filter((name) => !named.includes(name))).toEqual([]);
  });

  it("names tests that exist", () => {
    const references = rows.flatMap(({ tests = [], fieldTests = {} }) => [...tests, ...Object.values(fieldTests)]);
    expect(findProblems(references, service)).toEqual([]);
  });

  it("names fields that a compared request of the vendor's client carries, and with a test of their own all others", () => {
    const missing = rows.flatMap(({ row, fields = [], fieldTests = {}, tests = [] }) => {
      const calls = tests.filter((test) => test.startsWith("wire: ")).map((test) => test.slice("wire: ".length));
      const sent = new Set(calls.flatMap((call) => [...(recorded.get(service)?.get(call) ?? [])]));
      return [
        ...fields.filter((field) => !sent.has(field)).map((field) => `${row}: nothing compares ${field}`),
        ...Object.entries(fieldTests)
          .filter(([field, test]) => !parseTest(test, service).files.some((path) => textOf(path).includes(field)))
          .map(([field]) => `${row}: the test does not speak of ${field}`),
      ];
    });
    expect(missing).toEqual([]);
  });

  it("has the rows of the provider's sheet", () => {
    const sheet = new URL(`../shared/providers/${service}.md`, root);
    if (service === "scim" || !existsSync(sheet)) {
      console.log(`There is no sheet of ${service} beside this folder: its tables are taken as they are.`);
      expect(traps[service]?.traps.rows).not.toHaveLength(0);
      return;
    }
    const sections = readFileSync(sheet, "utf8").split(/^## /m);
    const section = (number: number) => sections.find((text) => text.startsWith(`${number} `)) ?? "";
    const numbered = (text: string) => [...text.matchAll(/^\| (\d+) \|/gm)].map((match) => match[1]);
    const { endpoints = [], pageRows = [] } = coverage.services[service] ?? {};
    const ours = (part: readonly Row[]) => [...new Set(part.map(({ row }) => row.split(".")[1]))];
    expect(ours(endpoints)).toEqual(numbered(section(2)));
    const pageLines = section(11).match(/^\| (?!seed names|---)/gm)?.length;
    expect(ours(pageRows)).toHaveLength(pageLines ?? 0);
    expect(traps[service]?.traps.count).toBe(section(9).match(/^\d+\. /gm)?.length);
    expect(traps[service]?.unknowns.count).toBe(numbered(section(10)).length);
  });
});

describe.each(services)("the page of %s", (service) => {
  const { traps: known, unknowns } = traps[service] ?? {};
  const page = readText(`docs/providers/${service}.md`);

  it("has every trap and every unknown, each with how it is handled and a test", () => {
    for (const table of [known, unknowns]) {
      expect(table?.rows).toHaveLength(table?.count ?? -1);
      expect(table?.rows.filter(({ how, tests }) => how === "" || tests.length === 0)).toEqual([]);
      expect(findProblems(table?.rows.flatMap(({ tests }) => tests) ?? [], service)).toEqual([]);
    }
  });

  it("has a whole run for every value of every switch", () => {
    const bare = unknowns?.rows.filter(
      (row) => row.switches?.length && !row.tests.some((test) => test.startsWith("scenario: ")),
    );
    expect(bare).toEqual([]);
  });

  it("names switches of the sandbox, each of them", () => {
    const named = unknowns?.rows.flatMap((row) => row.switches ?? []) ?? [];
    expect(named.filter((name) => !Object.hasOwn(switches[service], name))).toEqual([]);
    // Those that the sheets do not have: caps to meet cheaply, and who is a member besides.
    const ours = ["maxGroups", "staff"];
    expect(Object.keys(switches[service]).filter((name) => !named.includes(name) && !ours.includes(name))).toEqual([]);
  });

  it("names every option of its own", () => {
    const schema = renderJsonSchema(builtinProviderTypes) as {
      readonly properties: {
        readonly providers: {
          readonly additionalProperties: { readonly anyOf: readonly { readonly properties: object }[] };
        };
      };
    };
    const variants = schema.properties.providers.additionalProperties.anyOf.map(({ properties }) => properties);
    const own = variants.find((options) => JSON.stringify(options).includes(`"const":"${service}"`)) ?? {};
    const shared = readText("docs/providers/README.md");
    const names = Object.keys(own).filter((name) => !["type", "mode", "adopt", "guards"].includes(name));
    expect(names.length).toBeGreaterThan(5);
    expect(names.filter((name) => !page.includes(`\`${name}\``) && !shared.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("the documents that are made", async () => {
  const documents = await renderAll(builtinProviderTypes);

  it.each(Object.entries(documents))("docs/%s is up to date; npm run docs makes it anew", (name, text) => {
    expect(readText(`docs/${name}`)).toBe(text);
  });

  it("cite the source of every fact that the adapters declare", () => {
    const sources = builtinProviderTypes.flatMap(({ capabilities }) =>
      [...JSON.stringify(capabilities).matchAll(/"source":("(?:\\.|[^"\\])*")/g)].map(
        ([, source = ""]) => JSON.parse(source) as string,
      ),
    );
    expect(sources.length).toBeGreaterThan(100);
    expect(sources.filter((source) => !documents["capabilities.md"]?.includes(`]: ${source}\n`))).toEqual([]);
  });

  it("link to files that are there", () => {
    const broken = Object.entries({
      ...documents,
      "providers/README.md": readText("docs/providers/README.md"),
    }).flatMap(([name, text]) => {
      const targets = [...text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, target = ""]) => target);
      return targets.filter((target) => !existsSync(new URL(target, new URL(`docs/${name}`, root))));
    });
    expect([...new Set(broken)]).toEqual([]);
  });
});
