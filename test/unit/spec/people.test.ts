import { describe, expect, test } from "vitest";
import { HEAD, place, problemsOf, read, say } from "./kit.js";

const CSV = `${HEAD}people: { file: people.csv }\ngroups: {}\n`;

describe("people in the file", () => {
  test("with addresses, a name and pinned accounts; null is no account, and no key is to be looked up", async () => {
    const { people } = await read(
      `${HEAD}people:\n  ada: { email: ada@x.org, aliases: [a@x.org], name: Ada L., accounts: { main: A1 } }\n  bob: { accounts: { main: null } }\n  cyd: {}\ngroups: {}\n`,
    );
    expect(people).toEqual({
      ada: { id: "ada", email: "ada@x.org", aliases: ["a@x.org"], name: "Ada L.", accounts: { main: "A1" } },
      bob: { id: "bob", aliases: [], accounts: { main: null } },
      cyd: { id: "cyd", aliases: [], accounts: {} },
    });
  });

  test("two with one address, in whatever case, are told", async () => {
    const text = `${HEAD}people:\n  ada: { email: ada@x.org, aliases: [ADA@x.org] }\n  bob: { email: bob@x.org, aliases: [b@x.org, Ada@X.org] }\ngroups: {}\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:7:47 error people.bob.aliases[1]: "Ada@X.org" belongs to ada already (line 6); an address is one person\'s.',
    ]);
  });

  test("two with one account are told; where a provider's ids are lower case, whatever the case", async () => {
    const text = (type: string) =>
      `version: 1\nmode: additive\nproviders:\n  p: { type: ${type}, token: "\${TOKEN}" }\npeople:\n  ada: { accounts: { p: 7B } }\n  bob: { accounts: { p: 7b } }\n  cyd: { accounts: { p: null } }\n  dan: { accounts: { p: null } }\ngroups: {}\n`;
    expect((await read(text("plain"))).warnings).toEqual([]);
    expect((await problemsOf(text("blind"))).map(say)).toEqual([
      "team.yaml:7:25 error people.bob.accounts.p: This account at p is pinned for ada already (line 6); an account is one person's.",
    ]);
  });

  test("addresses of intranets and of other scripts are addresses", async () => {
    const addresses = ["root@localhost", "jörg@müller.example", "a+b@x.co.uk", "o'brien@x.org"];
    for (const email of addresses) {
      expect((await read(`${HEAD}people: { a: { email: "${email}" } }\ngroups: {}\n`)).people["a"]?.email).toBe(email);
    }
    for (const email of [
      "ada",
      "@x.org",
      "ada@",
      "a@b@c",
      "a b@x.org",
      "a@x..org",
      "a@x.org.",
      "a@x.org, b@x.org",
      " a@x.org",
      "",
    ]) {
      const problems = await problemsOf(`${HEAD}people: { a: { email: "${email}" } }\ngroups: {}\n`);
      expect(problems.map(place)).toEqual(["team.yaml:5:23 people.a.email"]);
    }
  });
});

describe("people from a CSV file", () => {
  test("are the same as in the file", async () => {
    const spec = await read(CSV, {
      "people.csv":
        'id,email,aliases,name,main\nada,ada@x.org,a@x.org;b@x.org c@x.org,"Lovelace, ""Ada""",A1\nbob,,,,null\ncyd,,,,-\ndan,,,,\n',
    });
    expect(spec.people).toEqual({
      ada: {
        id: "ada",
        email: "ada@x.org",
        aliases: ["a@x.org", "b@x.org", "c@x.org"],
        name: 'Lovelace, "Ada"',
        accounts: { main: "A1" },
      },
      bob: { id: "bob", aliases: [], accounts: { main: null } },
      cyd: { id: "cyd", aliases: [], accounts: { main: null } },
      dan: { id: "dan", aliases: [], accounts: {} },
    });
  });

  test("may have a byte order mark, Windows line ends, blanks around cells and blank lines", async () => {
    const spec = await read(CSV, { "people.csv": "\uFEFF id , email \r\n\r\nada , ada@x.org \r\n  \r\nbob,\r\n" });
    expect(spec.people).toMatchObject({ ada: { email: "ada@x.org" }, bob: {} });
  });

  test("are read from the folder of the spec", async () => {
    const { parseSpec } = await import("../../../src/spec/index.js");
    const { withFiles } = await import("./kit.js");
    const spec = await parseSpec(CSV, withFiles({ "conf/people.csv": "id\nada\n" }, { file: "conf/team.yaml" }));
    expect(Object.keys(spec.people)).toEqual(["ada"]);
  });

  test("are told with line and column, also behind quoted line breaks and letters of several bytes", async () => {
    const problems = await problemsOf(CSV, {
      "people.csv":
        'id,name,email,aliases\nada,"two\r\nlines",ada@x.org,\nbob,Zoë €,bob,a@x.org;no\nada,,,\n,,x@x.org,\ncyd,,ADA@x.org,\n',
    });
    expect(problems.map(say)).toEqual([
      'people.csv:4:11 error people.bob.email: Found "bob". This is not an e-mail address; write one address alone, such as ada@example.org.',
      'people.csv:4:15 error people.bob.aliases: Found "no". This is not an e-mail address; write one address alone, such as ada@example.org.',
      'people.csv:5:1 error people.ada: The person "ada" stands here a second time (first in line 2).',
      "people.csv:6:1 error people: This row has no id.",
      'people.csv:7:6 error people.cyd.email: "ADA@x.org" belongs to ada already (line 3); an address is one person\'s.',
    ]);
  });

  const broken: readonly (readonly [what: string, csv: string, at: string, says: string])[] = [
    ["an empty file", "", "1:1", "its first line names the columns"],
    ["no header", "ada,ada@x.org\n", "1:1", 'There is no column "ada"'],
    [
      "a column that is not known",
      "id,emial\nada,x\n",
      "1:4",
      'There is no column "emial" in this table. Did you mean "email"?',
    ],
    ["a column twice", "id,email,email\n", "1:10", "a second time"],
    ["no id", "email\n", "1:1", "The column id is missing"],
    ["semicolons", "id;email\nada;ada@x.org\n", "1:1", 'separated by ";"; separate them by commas'],
    ["tabs", "id\temail\n", "1:1", "separated by tabs"],
    ["a quote within a cell", 'id,name\nada,A "B" C\n', "2:5", "Found a double quote in the middle of a cell"],
    ["text after a quote", 'id,name\nada,"A" B\n', "2:5", "Found a double quote in the middle of a cell"],
    ["a quote that stays open", 'id,name\nada,"A\nbob,\n', "2:5", "never closed"],
    ["a binary file", "id\n\u0000\n", "1:1", "not a text file"],
  ];

  test.each(broken)("that have %s are told", async (_, csv, at, says) => {
    const problems = await problemsOf(CSV, { "people.csv": csv });
    expect(problems.map(({ file, line, column }) => `${file}:${line}:${column}`)[0]).toBe(`people.csv:${at}`);
    expect(problems.map(({ message }) => message).join()).toContain(says);
  });

  test("that cannot be read make nobody unknown", async () => {
    const text = `${HEAD}people: { file: people.csv }\ngroups: { a: { members: [ada] } }\nguards: { protect: [ada] }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:5:17 error people.file: Cannot read "people.csv": there is no such file. (The path is relative to the spec\'s folder.)',
    ]);
  });
});

test("a provider cannot bear the name of a column that people have anyway", async () => {
  const text = CSV.replace("main:", "email:");
  expect((await problemsOf(text, { "people.csv": "id,email\nada,ada@x.org\n" })).map(place)).toEqual([
    "team.yaml:4:3 providers.email",
  ]);
});

test("a person may have the id file", async () => {
  expect((await read(`${HEAD}people: { file: { email: f@x.org } }\ngroups: {}\n`)).people).toHaveProperty(
    "file.email",
    "f@x.org",
  );
});
