import { describe, expect, test } from "vitest";
import type { SpecError } from "../../../src/errors.js";
import { parseSpec } from "../../../src/spec/index.js";
import { HEAD, place, problemsOf, providerTypes, read, say, withFiles } from "./kit.js";

const PEOPLE = `people:
  ada: { email: ada@x.org }
  bob: { email: bob@x.org }
  cyd: { email: cyd@x.org }
  dan: { email: dan@x.org }
  eve: { email: eve@x.org }
  fay: { email: fay@x.org }
`;
const ROOMS = `version: 1
mode: authoritative
providers:
  rooms: { type: cramped, token: "\${TOKEN}", baseUrl: "https://rooms.example" }
${PEOPLE}`;
const FACES = ROOMS.replace(
  'type: cramped, token: "${TOKEN}", baseUrl: "https://rooms.example"',
  'type: blind, token: "${TOKEN}"',
);

describe("what a service cannot do is told before anything is sent", () => {
  test("more managers than it has places, with the fix", async () => {
    const text = `${ROOMS}groups:\n  a:\n    managers: [ada, bob]\n    targets: { rooms: {} }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      "team.yaml:14:15 error groups.a.managers: 2 managers are listed (ada, bob), but Cramped Rooms (rooms) has one place for a manager in a group. Name one in groups.a.targets.rooms.managers and list the others in groups.a.targets.rooms.members together with the members.",
    ]);
    const fixed = text.replace("rooms: {}", "rooms: { managers: [ada], members: [bob] }");
    expect((await read(fixed)).warnings).toEqual([]);
  });

  test("more managers than it has places, in the target's own list", async () => {
    const text = `${ROOMS}groups:\n  a:\n    targets: { rooms: { managers: [ada, bob, cyd, dan] } }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      "team.yaml:14:35 error groups.a.targets.rooms.managers: 4 managers are listed (ada, bob, cyd and 1 more), but Cramped Rooms (rooms) has one place for a manager in a group. Leave one and list the others in groups.a.targets.rooms.members together with the members.",
    ]);
  });

  test("but those who have left, or have no account there, take no place", async () => {
    const text = `${ROOMS.replace("cyd@x.org", "cyd@x.org, accounts: { rooms: null }")}groups:\n  a: { managers: [ada, { person: bob, until: 2026-11-14 }, cyd] }\n`;
    expect((await read(text)).warnings).toEqual([]);
    const lastDay = text.replace("2026-11-14", "2026-11-15");
    expect((await problemsOf(lastDay)).map(place)).toEqual(["team.yaml:13:18 groups.a.managers"]);
  });

  test("a role that it does not have is no error: the plan says what becomes of it", async () => {
    const spec = await read(`${ROOMS}groups:\n  a: { owners: [ada, bob] }\n`);
    expect(spec.warnings).toEqual([]);
    expect(spec.targets[0]?.members.map(({ role }) => role)).toEqual(["owner", "owner"]);
  });

  test("more members than fit", async () => {
    const text = `${ROOMS}groups:\n  a: { members: [ada, bob, cyd, dan, eve, fay] }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      "team.yaml:13:6 error groups.a: The group a has 6 members, but Cramped Rooms (rooms) takes at most 5 in a group. Split it, or list fewer in groups.a.targets.rooms.members.",
    ]);
    expect((await read(text.replace("eve, fay", "eve"))).targets[0]?.members).toHaveLength(5);
  });

  test("a group that is to be deleted is not held against it", async () => {
    expect((await read(`${ROOMS}groups:\n  a: { delete: true, managers: [ada, bob] }\n`)).targets[0]?.absent).toBe(
      true,
    );
  });

  test("people who cannot be found there are a warning, once per provider", async () => {
    const text = FACES.replace("ada@x.org", "ada@x.org, accounts: { rooms: p1 }").replace(
      "bob@x.org",
      "bob@x.org, accounts: { rooms: null }",
    );
    const spec = await read(
      `${text}groups:\n  a: { members: [ada, bob, cyd] }\n  b: { members: [fay, eve, dan, cyd] }\n`,
    );
    expect(spec.warnings.map(say)).toEqual([
      "team.yaml:8:8 warning people.cyd: Blind Faces (rooms) cannot look people up by e-mail, and 4 people (cyd, fay, eve and 1 more) in its groups cannot be found there: without a pinned account their groups get no removals. Pin the account (accounts.rooms: its id), or say that there is none (null).",
    ]);
  });

  test("people without an address are a warning where others are found by it", async () => {
    const spec = await read(
      `${HEAD}people: { ada: {}, bob: { aliases: [b@x.org] } }\ngroups: { a: { members: [ada, bob] } }\n`,
    );
    expect(spec.warnings.map(say)).toEqual([
      "team.yaml:5:16 warning people.ada: 1 person (ada) in groups at Plain Service (main) cannot be found there: without an e-mail their groups get no removals. Pin the account (accounts.main: its id), or say that there is none (null).",
    ]);
  });

  test("descriptions where there are none are a warning, once per provider", async () => {
    const spec = await read(`${FACES}groups:\n  a: { description: Night }\n  b: { description: Day }\n  c: {}\n`);
    expect(spec.warnings.map(say)).toEqual([
      "team.yaml:13:21 warning groups.a.description: Groups at Blind Faces (rooms) have no description, so there it is left out (a, b).",
    ]);
  });
});

describe("secrets", () => {
  test("written out in the file are a warning that names the variable to use", async () => {
    const spec = await read(
      "version: 1\nmode: additive\nproviders:\n  my-calls:\n    type: plain\n    token: hunter2\ngroups: {}\n",
    );
    expect(spec.warnings.map(say)).toEqual([
      "team.yaml:6:12 warning providers.my-calls.token: This is a secret, written out in the file. Keep it in the environment: token: ${MY_CALLS_TOKEN}.",
    ]);
    expect(spec.providers[0]?.options).toEqual({ token: "hunter2" });
  });

  test("of a database address too", async () => {
    const spec = await read(`${HEAD}groups: {}\nstate: { postgres: "postgres://me:hunter2@db/x" }\n`);
    expect(spec.warnings.map(place)).toEqual(["team.yaml:6:20 state.postgres"]);
    expect(spec.state).toEqual({ postgres: "postgres://me:hunter2@db/x" });
    expect((await read(`${HEAD}groups: {}\nstate: { postgres: "\${TOKEN}" }\n`)).warnings).toEqual([]);
  });

  test("never show in a message, whatever is wrong with them", async () => {
    const env = { TOKEN: "hunter2-token", URL: "hunter2 not an address" };
    const texts = [
      'version: 1\nmode: additive\nproviders:\n  a: { type: plain, token: "${TOKEN}", baseUrl: "${URL}", region: "${TOKEN}", timeoutMs: "${TOKEN}", x: "${TOKEN}" }\ngroups: {}\nstate: "${TOKEN}"\n',
      "version: 1\nmode: additive\nproviders:\n  a: { type: plain, token: [hunter2], timeoutMs: 5 }\n  b: { type: nope, password: hunter2 }\n  c: { token: hunter2 }\n  d: hunter2\n  f: 1234567890123\n  g: [{ token: hunter2 }]\n  e: { type: plain, token: { hunter2: hunter2 } }\ngroups: {}\nstate: { postgres: 5, file: [hunter2] }\n",
      "version: 1\nmode: additive\nproviders:\n  a: { type: plain, token: 1234567890123 }\ngroups: {}\nstate: postgres://me:hunter2@db\n",
    ];
    for (const text of texts) {
      const error = await parseSpec(text, { ...withFiles(), env }).then(
        () => undefined,
        (thrown: unknown) => thrown as SpecError,
      );
      expect(error?.problems.length).toBeGreaterThan(0);
      const messages = [error?.message, ...(error?.problems ?? []).map(({ message }) => message)].join("\n");
      expect(messages).not.toMatch(/hunter2|1234567890123/);
    }
  });

  test("from the environment show by name where a service's own words quote them", async () => {
    const text =
      'version: 1\nmode: additive\nproviders:\n  a: { type: cramped, token: "${TOKEN}", baseUrl: "${WHERE}" }\ngroups: {}\n';
    const problems = await problemsOf(text, {}, { env: { TOKEN: "t", WHERE: 'no "address"' } });
    expect(problems.map(({ message }) => message)).toEqual(['"${WHERE}" is not an address.']);
  });

  test("are not in the spec outside of the options and the state, nor in its digest", async () => {
    const text = `${HEAD}groups: { a: {} }\nstate: { postgres: "\${TOKEN}" }\n`;
    const { providers, state, ...rest } = await read(text);
    expect(providers[0]?.options).toEqual({ token: "t0p-secret" });
    expect(state).toEqual({ postgres: "t0p-secret" });
    expect(JSON.stringify(rest)).not.toContain("t0p-secret");
    const other = await parseSpec(text, { ...withFiles(), env: { TOKEN: "another" } });
    expect(other.digest).toBe(rest.digest);
  });
});

describe("the state", () => {
  test("is a file beside the spec", async () => {
    const text = `${HEAD}groups: {}\nstate: { file: .group-sync/state.db }\n`;
    expect((await parseSpec(text, withFiles({}, { file: "conf/team.yaml" }))).state).toEqual({
      file: "conf/.group-sync/state.db",
    });
    expect((await read(text.replace(".group-sync", "/var/lib"))).state).toEqual({ file: "/var/lib/state.db" });
  });

  test("is not in a spec that says nothing of it", async () => {
    expect(await read(`${HEAD}groups: {}\n`)).not.toHaveProperty("state");
  });
});

describe("the digest", () => {
  const base = `${ROOMS}groups:\n  a: { members: [ada], targets: [rooms] }\n  b: { targets: [rooms] }\n`;
  const digestOf = async (text: string) => (await read(text)).digest;

  const differing: readonly (readonly [what: string, from: string, to: string])[] = [
    ["a member", "members: [ada]", "members: [bob]"],
    ["a role", "members: [ada]", "managers: [ada]"],
    ["a last day", "members: [ada]", "members: [{ person: ada, until: 2027-01-01 }]"],
    ["an empty list instead of none", "  b: {", "  b: { members: [],"],
    ["the address of someone who is in a group", "ada@x.org", "ada@y.org"],
    ["a pinned account", "ada@x.org }", "ada@x.org, accounts: { rooms: null } }"],
    ["the mode", "authoritative", "additive"],
    ["adoption", "groups:", "adopt: true\ngroups:"],
    ["a limit", "groups:", "guards: { maxRemovals: { count: 1 } }\ngroups:"],
    ["a protected person", "groups:", "guards: { protect: [fay] }\ngroups:"],
    ["a service's address", "rooms.example", "rooms2.example"],
    ["a group's name", "  b: {", "  b: { name: B,"],
    ["a group's end", "  b: {", "  b: { delete: true,"],
  ];
  test.each(differing)("changes with %s", async (_, from, to) => {
    expect(base).toContain(from);
    expect(await digestOf(base.replace(from, to))).not.toBe(await digestOf(base));
  });

  const same: readonly (readonly [what: string, from: string, to: string])[] = [
    ["a comment", "groups:", "# hello\ngroups:"],
    ["the address of someone in no group", "fay@x.org", "fay@y.org"],
    ["someone in no group", "  fay: { email: fay@x.org }\n", ""],
    ["the form of a list", "members: [ada]", "members: [{ person: ada }]"],
    ["a group for includes only", "groups:\n", "groups:\n  z: { members: [bob], targets: [] }\n"],
    ["the state", "groups:", "state: { file: x.db }\ngroups:"],
    ["a name that is the key already", "  b: {", "  b: { name: b,"],
  ];
  test.each(same)("stays with %s", async (_, from, to) => {
    expect(base).toContain(from);
    expect(await digestOf(base.replace(from, to))).toBe(await digestOf(base));
  });

  test("is 64 hexadecimal digits", async () => {
    expect(await digestOf(base)).toMatch(/^[0-9a-f]{64}$/);
  });
});

test("a service's own options reach it as its schema gives them, without our keys", async () => {
  const text = HEAD.replace("token:", "mode: owned, adopt: true, guards: {}, region: south, token:");
  const spec = await parseSpec(`${text}groups: {}\n`, { ...withFiles(), providerTypes });
  expect(spec.providers).toMatchObject([{ id: "main", type: "plain" }]);
  expect(spec.providers[0]?.options).toEqual({ region: "south", token: "t0p-secret" });
});
