import { describe, expect, test } from "vitest";
import { HEAD, place, problemsOf, say } from "./kit.js";

/** What newcomers write, where we point, and a part of what we say. */
interface Mistake {
  readonly what: string;
  readonly text: string;
  readonly at: string;
  readonly says: string;
}

const PROVIDERS = 'providers:\n  main: { type: plain, token: "${TOKEN}" }\n';

const mistakes: readonly Mistake[] = [
  { what: "no version", text: `mode: additive\n${PROVIDERS}groups: {}\n`, at: "1:1 version", says: "`version: 1`" },
  {
    what: "the version as text",
    text: `version: "1"\nmode: additive\n${PROVIDERS}groups: {}\n`,
    at: "1:10 version",
    says: "the number 1",
  },
  {
    what: "no mode",
    text: `version: 1\n${PROVIDERS}groups: {}\n`,
    at: "1:1 mode",
    says: "there is no silent default: authoritative (removes direct members who are not listed), additive (never removes anyone), owned",
  },
  {
    what: "a mistyped mode",
    text: `version: 1\nmode: authorative\n${PROVIDERS}groups: {}\n`,
    at: "2:7 mode",
    says: 'Found the text "authorative"; expected one of authoritative, additive, owned. Did you mean "authoritative"?',
  },
  { what: "no groups", text: HEAD, at: "1:1 groups", says: "This is missing" },
  { what: "groups with nothing below", text: `${HEAD}groups:\n`, at: "5:1 groups", says: "Write {} for an empty map" },
  {
    what: "no provider",
    text: "version: 1\nmode: additive\nproviders: {}\ngroups: {}\n",
    at: "3:12 providers",
    says: "list at least one",
  },
  {
    what: "a provider's key with a blank",
    text: `version: 1\nmode: additive\nproviders:\n  my docs: { type: plain, token: "\${TOKEN}" }\ngroups: {}\n`,
    at: '4:3 providers["my docs"]',
    says: "one word",
  },
  {
    what: "a service that does not exist",
    text: "version: 1\nmode: additive\nproviders:\n  main: { type: plian, token: x }\ngroups: {}\n",
    at: "4:17 providers.main.type",
    says: 'There is no service "plian"; the types are: plain (Plain Service), cramped (Cramped Rooms), blind (Blind Faces).',
  },
  {
    what: "a mistyped option of a provider",
    text: "version: 1\nmode: additive\nproviders:\n  main:\n    type: plain\n    tokn: ${TOKEN}\ngroups: {}\n",
    at: "6:5 providers.main.tokn",
    says: 'There is no key "tokn" here. Did you mean "token"?',
  },
  {
    what: "a missing option of a provider",
    text: "version: 1\nmode: additive\nproviders:\n  main:\n    type: plain\ngroups: {}\n",
    at: "4:3 providers.main.token",
    says: "This is missing: The token.",
  },
  {
    what: "an option of the wrong kind",
    text: `version: 1\nmode: additive\nproviders:\n  main: { type: plain, token: "\${TOKEN}", timeoutMs: "5000" }\ngroups: {}\n`,
    at: "4:54 providers.main.timeoutMs",
    says: "Write it without quotes",
  },
  {
    what: "options that exclude each other",
    text: "version: 1\nmode: additive\nproviders:\n  main:\n    type: blind\n    token: ${TOKEN}\n    user: me\ngroups: {}\n",
    at: "5:5 providers.main",
    says: "Give a token, or a user.",
  },
  {
    what: "a reference without quotes inside braces",
    text: "version: 1\nmode: additive\nproviders:\n  main: { type: plain, token: ${TOKEN} }\ngroups: {}\n",
    at: "4:31 ",
    says: 'YAML wants quotes around a reference: "${TOKEN}"',
  },
  {
    what: "a reference with a default, as in a shell",
    text: "version: 1\nmode: additive\nproviders:\n  main:\n    type: plain\n    token: ${TOKEN:-none}\ngroups: {}\n",
    at: "6:12 providers.main.token",
    says: "without defaults",
  },
  {
    what: "a reference as a key",
    text: `${HEAD}groups:\n  \${TOKEN}: { members: [] }\n`,
    at: '6:3 groups["${TOKEN}"]',
    says: "never in keys",
  },
  {
    what: "a mistyped section",
    text: `${HEAD}group: {}\ngroups: {}\n`,
    at: "5:1 group",
    says: 'There is no key "group" here.',
  },
  {
    what: "a mistyped list",
    text: `${HEAD}groups:\n  a:\n    memebrs: []\n`,
    at: "7:5 groups.a.memebrs",
    says: 'Did you mean "members"?',
  },
  {
    what: "a list without entries",
    text: `${HEAD}groups:\n  a:\n    members:\n`,
    at: "7:5 groups.a.members",
    says: "Write [] for an empty list, or leave the key out",
  },
  {
    what: "a list without brackets",
    text: `${HEAD}people: { ada: { email: ada@x.org } }\ngroups:\n  a: { members: ada }\n`,
    at: "7:17 groups.a.members",
    says: "Put it in brackets",
  },
  {
    what: "an id that YAML takes for a number",
    text: `${HEAD}groups:\n  a: { members: [007] }\n`,
    at: "6:18 groups.a.members[0]",
    says: 'Found the number 7 (written 007); expected text or a map (key: value). Put it in quotes to make it text: "007".',
  },
  {
    what: "an id that YAML takes for a large number",
    text: `${HEAD}groups:\n  a: { members: [1e3] }\n`,
    at: "6:18 groups.a.members[0]",
    says: "the number 1000 (written 1e3)",
  },
  {
    what: "an id that YAML takes for true",
    text: `${HEAD}groups:\n  a: { members: [true] }\n`,
    at: "6:18 groups.a.members[0]",
    says: "Found the boolean true; expected text",
  },
  {
    what: "an id that YAML takes for null",
    text: `${HEAD}groups:\n  a: { members: [~] }\n`,
    at: "6:18 groups.a.members[0]",
    says: "Found null (written ~)",
  },
  {
    what: "a key that YAML takes for a number",
    text: `${HEAD}people:\n  42: { email: ada@x.org }\ngroups: {}\n`,
    at: "6:3 people.42",
    says: 'a key is text. Put it in quotes: "42".',
  },
  { what: "yes for true", text: `${HEAD}adopt: yes\ngroups: {}\n`, at: "5:8 adopt", says: "knows only true and false" },
  {
    what: "a number as a name",
    text: `${HEAD}groups:\n  a: { name: 2024, members: [] }\n`,
    at: "6:14 groups.a.name",
    says: 'Put it in quotes to make it text: "2024"',
  },
  {
    what: "a blank name",
    text: `${HEAD}groups:\n  a: { name: " ", members: [] }\n`,
    at: "6:14 groups.a.name",
    says: "Found blank text",
  },
  {
    what: "a name with blanks at its ends",
    text: `${HEAD}groups:\n  a: { name: "A ", members: [] }\n`,
    at: "6:14 groups.a.name",
    says: "Found blanks at the ends",
  },
  {
    what: "an empty id",
    text: `${HEAD}groups:\n  "": { members: [] }\n`,
    at: '6:3 groups[""]',
    says: "Found blank text",
  },
  {
    what: "a number as a pinned id",
    text: `${HEAD}groups:\n  a: { members: [], targets: { main: { id: 42 } } }\n`,
    at: "6:44 groups.a.targets.main.id",
    says: '"42"',
  },
  {
    what: "a day that does not exist",
    text: `${HEAD}people: { ada: { email: ada@x.org } }\ngroups:\n  a:\n    members:\n      - { person: ada, until: 2027-02-30 }\n`,
    at: "9:31 groups.a.members[0].until",
    says: 'Found the text "2027-02-30"; expected a day that exists',
  },
  {
    what: "a day in another form",
    text: `${HEAD}people: { ada: { email: ada@x.org } }\ngroups:\n  a:\n    members:\n      - { person: ada, until: 31.3.2027 }\n`,
    at: "9:31 groups.a.members[0].until",
    says: "YYYY-MM-DD",
  },
  {
    what: "a person who is not there",
    text: `${HEAD}people: { grace: { email: g@x.org } }\ngroups:\n  a: { members: [graec] }\n`,
    at: "7:18 groups.a.members[0]",
    says: 'There is no person "graec". Did you mean "grace"?',
  },
  {
    what: "a person by e-mail",
    text: `${HEAD}people: { grace: { email: g@x.org } }\ngroups:\n  a: { members: [G@x.org] }\n`,
    at: "7:18 groups.a.members[0]",
    says: 'that is grace. Write "grace".',
  },
  {
    what: "a group as a member",
    text: `${HEAD}groups:\n  a: { members: [b] }\n  b: { members: [] }\n`,
    at: "6:18 groups.a.members[0]",
    says: "list it under includes",
  },
  {
    what: "a person as an include",
    text: `${HEAD}people: { ada: { email: a@x.org } }\ngroups:\n  a: { includes: [ada] }\n`,
    at: "7:19 groups.a.includes[0]",
    says: "list them under members",
  },
  {
    what: "nobody at all in people",
    text: `${HEAD}groups:\n  a: { members: [ada] }\n`,
    at: "6:18 groups.a.members[0]",
    says: "the spec has no people",
  },
  {
    what: "an address that is none",
    text: `${HEAD}people:\n  ada: { email: "Ada <ada@x.org>" }\ngroups: {}\n`,
    at: "6:17 people.ada.email",
    says: "write one address alone",
  },
  {
    what: "people as a list",
    text: `${HEAD}people: [ada]\ngroups: {}\n`,
    at: "5:9 people",
    says: "Found a list; expected a map",
  },
  {
    what: "a provider that is not there as a target",
    text: `${HEAD}groups:\n  a: { members: [], targets: [mian] }\n`,
    at: "6:31 groups.a.targets[0]",
    says: 'There is no provider "mian". Did you mean "main"?',
  },
  {
    what: "a target twice",
    text: `${HEAD}groups:\n  a: { members: [], targets: [main, main] }\n`,
    at: "6:37 groups.a.targets[1]",
    says: "a second time",
  },
  {
    what: "a percentage over 100",
    text: `${HEAD}groups: {}\nguards: { maxRemovals: { percent: 101 } }\n`,
    at: "6:35 guards.maxRemovals.percent",
    says: "Found the number 101; expected at most 100.",
  },
  {
    what: "a number for maxRemovals",
    text: `${HEAD}groups: {}\nguards: { maxRemovals: 10 }\n`,
    at: "6:24 guards.maxRemovals",
    says: "Found the number 10; expected a map",
  },
  {
    what: "half an owner",
    text: `${HEAD}groups: {}\nguards: { minOwners: 1.5 }\n`,
    at: "6:22 guards.minOwners",
    says: "expected a whole number",
  },
  {
    what: "a protected person who is not there",
    text: `${HEAD}people: { grace: { email: g@x.org } }\ngroups: {}\nguards: { protect: [graec] }\n`,
    at: "7:21 guards.protect[0]",
    says: 'Did you mean "grace"?',
  },
  {
    what: "an account at a provider that is not there",
    text: `${HEAD}people:\n  ada: { accounts: { mian: x } }\ngroups: {}\n`,
    at: "6:28 people.ada.accounts.mian",
    says: 'Did you mean "main"?',
  },
  {
    what: "both kinds of state",
    text: `${HEAD}groups: {}\nstate: { file: a.db, postgres: "\${TOKEN}" }\n`,
    at: "6:8 state",
    says: "Found both `file` and `postgres`",
  },
  {
    what: "state as text",
    text: `${HEAD}groups: {}\nstate: a.db\n`,
    at: "6:8 state",
    says: "Found text; expected a map",
  },
];

describe("a newcomer's mistake is told with its place, what was found and what would be right", () => {
  test.each(mistakes)("$what", async ({ text, at, says }) => {
    const problems = (await problemsOf(text)).filter(({ severity }) => severity === "error");
    expect(problems.map(say)).toHaveLength(1);
    expect(problems.map(place)).toEqual([`team.yaml:${at}`]);
    expect(problems[0]?.message).toContain(says);
  });
});

test("all mistakes of a file are told at once, in the order of the file", async () => {
  const text = [
    "version: 2",
    "mod: authoritative",
    "providers:",
    "  faces: { type: plane, token: x }",
    '  docs: { type: plain, tokn: x, timeoutMs: "5" }',
    "  b: { type: blind, token: ${TOKEN}, z: 1 }",
    "people:",
    "  ada: { email: ada, nme: x }",
    "  eve: { accounts: { dcs: a } }",
    "groups:",
    "  night-shift:",
    "    members: [42, adda, { person: eve, until: 2027-02-30 }, { preson: eve }, eve]",
    "    managers:",
    "    includes: [night]",
    "    targets: [docs, faecs]",
    "guards: { minOwners: -1 }",
  ].join("\n");
  expect((await problemsOf(text)).map(place)).toEqual([
    "team.yaml:1:10 version",
    "team.yaml:2:1 mod",
    "team.yaml:4:18 providers.faces.type",
    "team.yaml:5:24 providers.docs.tokn",
    "team.yaml:5:44 providers.docs.timeoutMs",
    "team.yaml:6:28 ",
    "team.yaml:6:38 providers.b.z",
    "team.yaml:8:17 people.ada.email",
    "team.yaml:8:22 people.ada.nme",
    "team.yaml:9:27 people.eve.accounts.dcs",
    "team.yaml:12:15 groups.night-shift.members[0]",
    "team.yaml:12:19 groups.night-shift.members[1]",
    "team.yaml:12:47 groups.night-shift.members[2].until",
    "team.yaml:12:63 groups.night-shift.members[3].preson",
    "team.yaml:12:78 groups.night-shift.members[4]",
    "team.yaml:13:5 groups.night-shift.managers",
    "team.yaml:14:16 groups.night-shift.includes[0]",
    "team.yaml:15:21 groups.night-shift.targets[1]",
    "team.yaml:16:22 guards.minOwners",
  ]);
});

test("what is a consequence of a mistake is not told as another", async () => {
  const text = [
    "version: 1",
    "mode: authoritative",
    "providers:",
    '  docs: { type: cramped, token: "${TOKEN}", baseUrl: 5 }',
    "people:",
    "  ada: []",
    "groups:",
    "  a: { members: [ada], includes: [b], targets: [docs] }",
    "  b: 7",
  ].join("\n");
  expect((await problemsOf(text)).map(place)).toEqual([
    "team.yaml:4:54 providers.docs.baseUrl",
    "team.yaml:6:8 people.ada",
    "team.yaml:9:6 groups.b",
  ]);
});

test("a mistyped person beyond a wrong entry is told at its own place in the file", async () => {
  const text = `${HEAD}people: { ada: { email: a@x.org } }\ngroups:\n  a:\n    members:\n      - 1\n      - ada\n      - 2\n      - adaa\n      - ada\n`;
  expect((await problemsOf(text)).map(say)).toEqual([
    expect.stringMatching(/^team\.yaml:9:9 error groups\.a\.members\[0\]: Found the number 1/),
    expect.stringMatching(/^team\.yaml:11:9 error groups\.a\.members\[2\]: Found the number 2/),
    expect.stringMatching(/^team\.yaml:12:9 error groups\.a\.members\[3\]: .*Did you mean "ada"/),
    expect.stringMatching(
      /^team\.yaml:13:9 error groups\.a\.members\[4\]: "ada" is listed here a second time \(first in line 10\)/,
    ),
  ]);
});

test("keys that are there already are not suggested", async () => {
  const [problem] = await problemsOf(`${HEAD.replace("token:", "typo: 1, token:")}groups: {}\n`);
  expect(problem?.message).not.toContain("Did you mean");
  expect(problem?.message).toContain(
    "Known here: type, mode, adopt, guards, incremental, token, baseUrl, region, timeoutMs.",
  );
});
