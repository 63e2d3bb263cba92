import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { SpecError } from "../../../src/errors.js";
import type { Spec } from "../../../src/model.js";
import { createSpeller, editDistance, renderPath } from "../../../src/spec/problems.js";
import { parseSpec } from "../../../src/spec/index.js";
import { HEAD, problemsFrom, withFiles } from "./kit.js";

/** Ids that YAML would like to take for something else, and some that it would not. */
const ids = [
  "ada",
  "no",
  "007",
  "1e3",
  "null",
  "~",
  "a b",
  "x.y",
  "ö",
  "constructor",
  "file",
  "#1",
  "- x",
  "2027-01-01",
];

const listOf = (people: readonly string[]) => fc.subarray([...people]);

const groupEntry = fc.record(
  {
    name: fc.constantFrom("One", "Two words", "3"),
    description: fc.string(),
    members: listOf(ids.slice(0, 7)),
    managers: listOf(ids.slice(7, 10)),
    owners: listOf(ids.slice(10)),
    mode: fc.constantFrom("authoritative", "additive", "owned"),
    adopt: fc.boolean(),
    guards: fc.record({ protect: listOf(ids), minOwners: fc.nat(5) }, { requiredKeys: [] }),
    targets: fc.record({ docs: fc.constant({}), calls: fc.record({ delete: fc.boolean() }) }, { requiredKeys: [] }),
  },
  { requiredKeys: ["targets"] },
);

const specFile = fc
  .record({
    mode: fc.constantFrom("authoritative", "additive", "owned"),
    adopt: fc.boolean(),
    groups: fc.dictionary(fc.constantFrom(...ids), groupEntry, { maxKeys: 6 }),
    guards: fc.record({ maxRemovals: fc.record({ count: fc.nat(99), percent: fc.nat(100) }, { requiredKeys: [] }) }),
  })
  .map(({ groups, ...rest }) => ({
    version: 1,
    ...rest,
    providers: {
      docs: { type: "plain", token: "${TOKEN}", region: "north" },
      calls: { type: "plain", token: "${TOKEN}", mode: "additive" },
    },
    people: Object.fromEntries(
      ids.map((id, index) => [id, { email: `p${index}@x.org`, aliases: [`q${index}@x.org`] }]),
    ),
    // Names are made unique here: two groups of one name are an error.
    groups: Object.fromEntries(
      Object.entries(groups).map(([id, { name, description, ...group }]) => [
        id,
        {
          ...group,
          ...(name !== undefined && { name: `${name} ${id}` }),
          ...(description !== undefined && { description: description.replaceAll("$", "") }),
        },
      ]),
    ),
  }));

/** The same data with the keys of every map in another order. */
function shuffleKeys(value: unknown, order: () => number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffleKeys(item, order));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => ({
    key,
    inner: shuffleKeys(inner, order),
    rank: order(),
  }));
  return Object.fromEntries(
    entries.toSorted((left, right) => left.rank - right.rank).map(({ key, inner }) => [key, inner]),
  );
}

/** The same data with the entries of people's lists in another order. */
function shuffleLists(value: unknown, order: () => number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    return value
      .map((item: unknown) => ({ item, rank: order() }))
      .toSorted((left, right) => left.rank - right.rank)
      .map(({ item }) => item);
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, key === "aliases" ? inner : shuffleLists(inner, order)]),
  );
}

function ranks(seed: readonly number[]): () => number {
  let index = 0;
  return () => seed[index++ % seed.length] ?? 0;
}

/** Targets without any order in them. */
function unordered({ targets }: Spec): unknown {
  return targets
    .map((target) => ({
      ...target,
      members: target.members.map((member) => JSON.stringify(member)).toSorted(),
      guards: { ...target.guards, protect: target.guards.protect.toSorted() },
    }))
    .toSorted((left, right) => (`${left.group}\n${left.provider}` < `${right.group}\n${right.provider}` ? -1 : 1));
}

const seeds = fc.array(fc.nat(1000), { minLength: 5, maxLength: 40 });

describe("for any spec", () => {
  test("the order of keys and of people in lists changes neither digest nor targets", async () => {
    await fc.assert(
      fc.asyncProperty(specFile, seeds, async (data, seed) => {
        const order = ranks(seed);
        const given = await parseSpec(stringify(data), withFiles());
        const other = await parseSpec(stringify(shuffleLists(shuffleKeys(data, order), order)), withFiles());
        expect(other.digest).toBe(given.digest);
        expect(unordered(other)).toEqual(unordered(given));
      }),
      { numRuns: 60 },
    );
  });

  test("YAML, JSON and CSV say the same", async () => {
    await fc.assert(
      fc.asyncProperty(specFile, async (data) => {
        const { people, groups, ...rest } = data;
        const quoted = (cell: string) => `"${cell.replaceAll('"', '""')}"`;
        const rows = Object.entries(people).map(([id, { email, aliases }]) =>
          [id, email, aliases.join(";")].map(quoted).join(),
        );
        const memberships = Object.entries(groups).flatMap(([id, { members, managers, owners }]) =>
          Object.entries({ member: members, manager: managers, owner: owners }).flatMap(([role, list]) =>
            (list ?? []).map((person) => [id, person, role].map(quoted).join()),
          ),
        );
        // An empty list has no rows to stand for it; it stays in the file, as people would write it.
        const bare = Object.fromEntries(
          Object.entries(groups).map(([id, group]) => [
            id,
            Object.fromEntries(
              Object.entries(group).filter(
                ([key, value]) =>
                  !(["members", "managers", "owners"].includes(key) && Array.isArray(value) && value.length > 0),
              ),
            ),
          ]),
        );
        const split = { ...rest, people: { file: "p.csv" }, groups: bare, memberships: { file: "m.csv" } };
        const files = {
          "p.csv": `id,email,aliases\n${rows.join("\n")}\n`,
          "m.csv": `group,person,role\r\n${memberships.join("\r\n")}\r\n`,
        };
        const specs = await Promise.all([
          parseSpec(stringify(data), withFiles()),
          parseSpec(JSON.stringify(data), withFiles()),
          parseSpec(stringify(split), withFiles(files)),
        ]);
        expect(new Set(specs.map(({ digest }) => digest)).size).toBe(1);
        expect(unordered(specs[1])).toEqual(unordered(specs[0]));
        expect(unordered(specs[2])).toEqual(unordered(specs[0]));
      }),
      { numRuns: 40 },
    );
  });

  test("it is plain data: JSON gives it back", async () => {
    await fc.assert(
      fc.asyncProperty(specFile, async (data) => {
        const spec = await parseSpec(stringify(data), withFiles());
        expect(JSON.parse(JSON.stringify(spec))).toEqual(spec);
        for (const { members } of spec.targets) {
          expect(new Set(members.map(({ person }) => person)).size).toBe(members.length);
        }
      }),
      { numRuns: 30 },
    );
  });
});

/** What comes of reading a text: `spec`, `refused` as it should be, or a description of what should not be. */
async function readAnything(text: string, files: Readonly<Record<string, string | Uint8Array>> = {}): Promise<string> {
  try {
    await parseSpec(text, withFiles(files));
    return "spec";
  } catch (error) {
    if (!(error instanceof SpecError)) return `threw ${String(error)}`;
    const { problems } = error;
    if (!problems.some(({ severity }) => severity === "error")) return "refused without an error";
    const bad = problems.find(
      ({ line, column, file, message }) =>
        line < 1 || column < 1 || file === "" || message === "" || message.includes("\u0000"),
    );
    return bad ? `badly told: ${JSON.stringify(bad)}` : "refused";
  }
}

const ENDS = /^(spec|refused)$/;

const yamlBits = fc
  .array(
    fc.constantFrom(
      "version",
      "mode",
      "providers",
      "people",
      "groups",
      "members",
      "targets",
      "includes",
      "file",
      "x-a",
      "guards",
      ": ",
      ":\n",
      "\n",
      "\n  ",
      "\n    ",
      "- ",
      "[",
      "]",
      "{",
      "}",
      ", ",
      '"',
      "'",
      "#",
      "&a ",
      "*a",
      "!t ",
      "<<: ",
      "${",
      "${TOKEN}",
      "${NOPE}",
      "$$",
      "|",
      ">",
      "? ",
      "%",
      "---\n",
      "...",
      "\t",
      "1",
      "~",
      "true",
      "ada",
      "@",
      "`",
      "\uFEFF",
      "\uffff",
      "\r",
    ),
    { maxLength: 60 },
  )
  .map((bits) => bits.join(""));

/** Any JSON value in the place of any part of a good spec. */
const damagedSpec = fc
  .tuple(specFile, fc.jsonValue(), fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }))
  .map(([data, value, path]) => {
    const damage = (part: unknown, [step, ...rest]: readonly number[]): unknown => {
      if (step === undefined || typeof part !== "object" || part === null || Object.keys(part).length === 0)
        return value;
      const keys = Object.keys(part);
      const chosen = keys[step % keys.length] ?? "";
      if (Array.isArray(part)) return part.map((item, index) => (String(index) === chosen ? damage(item, rest) : item));
      return { ...part, [chosen]: damage((part as Readonly<Record<string, unknown>>)[chosen], rest) };
    };
    return damage(data, path);
  });

describe("whatever stands in a file, only a SpecError comes out, with places", () => {
  test("any text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: "binary" }), fc.string()), async (text) => {
        expect(await readAnything(text)).toMatch(ENDS);
      }),
      { numRuns: 300 },
    );
  });

  test("any heap of YAML's own signs", async () => {
    await fc.assert(
      fc.asyncProperty(yamlBits, async (text) => {
        expect(await readAnything(text)).toMatch(ENDS);
      }),
      { numRuns: 500 },
    );
    await fc.assert(
      fc.asyncProperty(yamlBits, async (text) => {
        expect(await readAnything(`${HEAD}groups: ${text}\n`)).toMatch(ENDS);
      }),
      { numRuns: 500 },
    );
  });

  test("a good spec with something else in any place", async () => {
    await fc.assert(
      fc.asyncProperty(damagedSpec, async (data) => {
        expect(await readAnything(stringify(data))).toMatch(ENDS);
      }),
      { numRuns: 300 },
    );
  });

  test("any CSV file", async () => {
    const text = `${HEAD}people: { file: p.csv }\ngroups: { a: {} }\nmemberships: { file: m.csv }\n`;
    const bits = fc
      .array(
        fc.constantFrom(
          "id",
          "email",
          "group",
          "person",
          "role",
          ",",
          ",",
          "\n",
          "\r\n",
          "\r",
          '"',
          '""',
          "a",
          "ada",
          " ",
          ";",
          "é",
          "x@y",
          "null",
        ),
        { maxLength: 40 },
      )
      .map((parts) => parts.join(""));
    const people = fc.oneof(
      bits,
      bits.map((rest) => `id,email,name\n${rest}`),
      fc.uint8Array(),
    );
    const rows = fc.oneof(
      bits,
      bits.map((rest) => `group,person,role\n${rest}`),
      fc.uint8Array(),
    );
    await fc.assert(
      fc.asyncProperty(people, rows, async (p, m) => {
        expect(await readAnything(text, { "p.csv": p, "m.csv": m })).toMatch(ENDS);
      }),
      { numRuns: 400 },
    );
  });
});

describe("the tools behind the messages", () => {
  test("the edit distance is a distance, and small for one slip", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 8 }), fc.string({ maxLength: 8 }), (left, right) => {
        expect(editDistance(left, right)).toBe(editDistance(right, left));
        expect(editDistance(left, right) === 0).toBe(left === right);
        expect(editDistance(left, right)).toBeLessThanOrEqual(Math.max(left.length, right.length));
      }),
    );
    expect(editDistance("memebrs", "members")).toBe(1);
    expect(editDistance("kitten", "sitting")).toBe(3);
  });

  test("only near words are suggested, whatever their case", () => {
    const speller = createSpeller(["members", "managers", "Ada", "no"]);
    expect([
      speller("memebrs"),
      speller("MEMBERS"),
      speller("ada"),
      speller("na"),
      speller("owners"),
      speller("x"),
    ]).toEqual(["members", "members", "Ada", undefined, undefined, undefined]);
  });

  test("a key path is written as people read it", () => {
    expect(renderPath(["groups", "night-shift", "members", 2, "person"])).toBe("groups.night-shift.members[2].person");
    expect(renderPath(["people", "a.b", "x y", ""])).toBe('people["a.b"]["x y"][""]');
    expect(renderPath([])).toBe("");
  });
});

test("a spec that is refused once is refused in the same words again", async () => {
  const text = `${HEAD}groups: { a: { members: [x], membres: 1 } }\nadopt: 1\n`;
  const said = await Promise.all([1, 2].map(() => problemsFrom(parseSpec(text, withFiles()))));
  expect(said[0]).toEqual(said[1]);
});
