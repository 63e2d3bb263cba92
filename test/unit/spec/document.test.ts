import { describe, expect, test } from "vitest";
import { parseSpec } from "../../../src/spec/index.js";
import { HEAD, place, problemsOf, read, say, withFiles } from "./kit.js";

const SMALL = `${HEAD}people: { ada: { email: ada@x.org } }\ngroups:\n  a: { members: [ada] }\n`;

describe("what YAML allows and a spec does not", () => {
  const traps: readonly (readonly [what: string, text: string, at: string, says: string])[] = [
    ["an empty file", "", "1:1 ", "The file is empty"],
    ["a file of blanks", " \n\n", "1:1 ", "The file is empty"],
    ["nothing but comments", "# later\n", "1:1 ", "nothing but comments"],
    ["a list as the root", "- a\n", "1:1 ", "Found a list; a spec is a map"],
    ["text as the root", "hello\n", "1:1 ", "Found text; a spec is a map"],
    ["a binary file", "PK\u0003\u0004\u0000\u0000", "1:1 ", "not a text file"],
    ["a tab as indentation", `${HEAD}groups:\n\ta: {}\n`, "6:1 ", "YAML takes spaces only"],
    ["two documents", `${HEAD}groups: {}\n---\na: 1\n`, "6:1 ", "a spec is one document"],
    ["a key twice", `${HEAD}groups: {}\ngroups: {}\n`, "6:1 groups", "a second time (first in line 5)"],
    [
      "a nested key twice",
      `${HEAD}groups:\n  a:\n    members: []\n    members: []\n`,
      "8:5 groups.a.members",
      "first in line 7",
    ],
    ["a quote that is not closed", `${HEAD}groups: {}\nstate: { file: "x }\n`, "7:1 ", "Not valid YAML"],
    ["a value that starts with @", `${HEAD}groups:\n  a: { name: @x }\n`, "6:14 ", "put the value in quotes"],
    ["a colon inside a value", `${HEAD}groups:\n  a:\n    name: b: c\n`, "7:11 ", 'a second ": "'],
    ["a tag", `${HEAD}groups: {}\nstate: { file: !x a.db }\n`, "6:16 ", "YAML tags (!…) have no meaning here"],
    ["an alias without an anchor", `${HEAD}groups: *all\n`, "5:9 groups", "No anchor &all"],
    ["an alias inside its anchor", `${HEAD}groups: &all { a: *all }\n`, "5:19 groups.a", "contains itself"],
    ["a list as a key", `${HEAD}groups: {}\n? [a]\n: b\n`, "6:3 ", "Found a list as a key"],
    ["a merge of text", `${HEAD}groups:\n  a: { <<: x, members: [] }\n`, "6:8 groups.a", "merges a map"],
    [
      "the key __proto__",
      `${HEAD}groups:\n  __proto__: { members: [] }\n`,
      "6:3 groups.__proto__",
      "choose another word",
    ],
  ];

  test.each(traps)("%s", async (_, text, at, says) => {
    const problems = (await problemsOf(text)).filter(({ severity }) => severity === "error");
    expect(problems.map(place)).toEqual([`team.yaml:${at}`]);
    expect(problems[0]?.message).toContain(says);
  });

  test("nesting without end", async () => {
    for (const depth of [60, 5000]) {
      const problems = await problemsOf(`${HEAD}groups: ${"[".repeat(depth)}${"]".repeat(depth)}\n`);
      expect(problems.some(({ message }) => message === "The file is nested too deeply.")).toBe(true);
      expect(problems.length).toBeLessThan(3);
    }
  });

  test("aliases that multiply", async () => {
    const names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    const lines = names.map((name, index) => {
      const inner = index === 0 ? "lol" : `*${names[index - 1]}`;
      return `x-${name}: &${name} [${Array.from({ length: 10 }, () => inner).join(", ")}]`;
    });
    const problems = await problemsOf(`${HEAD}${lines.join("\n")}\ngroups: { a: { members: *i } }\n`);
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringContaining("stand for more than 1000000 values"),
    ]);
  });

  test("every reference without quotes inside braces is told, and the rest of the file is still checked", async () => {
    const text =
      "version: 1\nmode: additive\nproviders:\n  a: { type: plain, token: ${TOKEN} }\n  b: { type: plain, token: ${TOKEN}, regon: north }\ngroups: {}\nadopt: 1\n";
    expect((await problemsOf(text)).map(place)).toEqual([
      "team.yaml:4:28 ",
      "team.yaml:5:28 ",
      "team.yaml:5:38 providers.b.regon",
      "team.yaml:7:8 adopt",
    ]);
  });
});

describe("what a spec takes as it comes", () => {
  test("a byte order mark and Windows line ends, with true places", async () => {
    const text = `\uFEFF${SMALL.replaceAll("\n", "\r\n")}`;
    expect((await read(text)).digest).toBe((await read(SMALL)).digest);
    expect((await problemsOf(`${text}adopt: 1\r\n`)).map(place)).toEqual(["team.yaml:8:8 adopt"]);
    expect((await problemsOf("\uFEFFadopt: 1")).map(place)).toContain("team.yaml:1:8 adopt");
  });

  test("JSON, also with tabs, with true places", async () => {
    const data = {
      version: 1,
      mode: "authoritative",
      providers: { main: { type: "plain", token: "${TOKEN}" } },
      people: { ada: { email: "ada@x.org" } },
      groups: { a: { members: ["ada"] } },
    };
    const spec = await parseSpec(JSON.stringify(data, null, "\t"), withFiles({}, { file: "team.json" }));
    expect(spec.digest).toBe((await read(SMALL)).digest);
    const wrong = JSON.stringify({ ...data, groups: { a: { members: ["adaa"] } } }, null, "\t");
    expect((await problemsOf(wrong, {}, { file: "team.json" })).map(place)).toEqual([
      "team.json:18:5 groups.a.members[0]",
    ]);
  });

  test("words that YAML 1.1 took for true, false and numbers are text", async () => {
    const spec = await read(
      `${HEAD}people: { no: { email: no@x.org }, on: { email: on@x.org }, 2027-01-01: { email: d@x.org } }\ngroups:\n  yes: { members: [no, on, 2027-01-01] }\n`,
    );
    expect(spec.targets[0]?.members.map(({ person }) => person)).toEqual(["no", "on", "2027-01-01"]);
    expect(spec.targets[0]?.name).toBe("yes");
  });

  test("ids that mean something to JavaScript", async () => {
    const spec = await read(
      `${HEAD}people: { constructor: { email: c@x.org, accounts: { main: valueOf } } }\ngroups:\n  toString: { members: [constructor] }\n`,
    );
    expect(spec.targets).toMatchObject([{ group: "toString", members: [{ person: "constructor" }] }]);
    expect(spec.people["hasOwnProperty"]).toBeUndefined();
    expect(await problemsOf(`${HEAD}people: {}\ngroups: { a: { members: [toString] } }\n`)).toHaveLength(1);
  });

  test("anchors in sections that start with x-, aliases and merges", async () => {
    const spec = await read(
      `${HEAD}x-common: &common { mode: additive, adopt: true }\nx-all: &all [ada, bob]\npeople: { ada: { email: a@x.org }, bob: { email: b@x.org } }\ngroups:\n  a:\n    <<: *common\n    adopt: false\n    members: *all\n`,
    );
    expect(spec.targets).toMatchObject([
      { mode: "additive", adopt: false, members: [{ person: "ada" }, { person: "bob" }] },
    ]);
  });

  test("what comes by an alias or a merge is told where it stands", async () => {
    const text = `${HEAD}x-common: &common\n  adopt: maybe\nx-all: &all [nobody]\npeople: {}\ngroups:\n  a:\n    <<: *common\n    members: *all\n`;
    expect((await problemsOf(text)).map(place)).toEqual([
      "team.yaml:6:10 groups.a.adopt",
      "team.yaml:7:14 groups.a.members[0]",
    ]);
  });
});

describe("${NAME}", () => {
  const text = (value: string) =>
    `version: 1\nmode: additive\nproviders:\n  main:\n    type: plain\n    token: ${value}\ngroups: {}\n`;
  const tokenOf = async (value: string) => (await read(text(value))).providers[0]?.options["token"];

  test("is filled in from the environment, alone or within a value", async () => {
    expect(await tokenOf("${TOKEN}")).toBe("t0p-secret");
    expect(await tokenOf('"key ${TOKEN}/${TOKEN}."')).toBe("key t0p-secret/t0p-secret.");
  });

  test("is text when the sign is doubled", async () => {
    expect(await tokenOf('"a$${TOKEN}$5"')).toBe("a${TOKEN}$5");
  });

  test("is filled in anywhere in the file, and not a second time within what was filled in", async () => {
    const spec = await parseSpec(`${HEAD}groups: { a: { name: "\${NAME}", members: [] } }\n`, {
      ...withFiles(),
      env: { TOKEN: "t0p-secret", NAME: "Team ${TOKEN}" },
    });
    expect(spec.targets[0]?.name).toBe("Team ${TOKEN}");
  });

  test("all that are missing are told together, unset and empty apart", async () => {
    const spec = `version: 1\nmode: additive\nproviders:\n  a: { type: plain, token: "\${NOPE}" }\n  b: { type: cramped, token: "x\${EMPTY}", baseUrl: "\${ALSO_NOPE}" }\ngroups: {}\n`;
    expect((await problemsOf(spec)).map(say)).toEqual([
      "team.yaml:4:28 error providers.a.token: The environment variable NOPE is not set.",
      "team.yaml:5:30 error providers.b.token: The environment variable EMPTY is set, but empty.",
      "team.yaml:5:52 error providers.b.baseUrl: The environment variable ALSO_NOPE is not set.",
    ]);
  });

  test("is not read in CSV files", async () => {
    const spec = await read(`${HEAD}people: { file: p.csv }\ngroups: {}\n`, { "p.csv": "id,name\nada,${TOKEN}\n" });
    expect(spec.people["ada"]?.name).toBe("${TOKEN}");
  });

  test("is not needed in sections that are not read", async () => {
    expect((await read(`${HEAD}x-later: { a: "\${NOPE}" }\ngroups: {}\n`)).warnings).toEqual([]);
  });
});
