import { describe, expect, test } from "vitest";
import type { Spec, Target } from "../../../src/model.js";
import { HEAD, place, problemsOf, read, say } from "./kit.js";

const TWO = `version: 1
mode: authoritative
providers:
  docs: { type: plain, token: "\${TOKEN}" }
  calls: { type: plain, token: "\${TOKEN}" }
`;
const PEOPLE = `people:
  ada: { email: ada@x.org }
  bob: { email: bob@x.org }
  cyd: { email: cyd@x.org }
`;
const START = `${HEAD}${PEOPLE}`;

function targetOf(spec: Spec, group: string, provider = "main"): Target {
  const found = spec.targets.find((target) => target.group === group && target.provider === provider);
  if (!found) throw new Error(`There is no target ${group} at ${provider}.`);
  return found;
}

function roster({ members }: Target): readonly string[] {
  return members.map(({ person, role, until }) => [person, role, ...(until === undefined ? [] : [until])].join(" "));
}

describe("who is in a group", () => {
  test("members, managers and owners, with the last day where there is one", async () => {
    const spec = await read(
      `${START}groups:\n  a: { members: [ada, { person: bob, until: 2020-01-01 }], managers: [{ person: cyd }] }\n`,
    );
    const target = targetOf(spec, "a");
    // A membership that has ended stays in the spec: the core lets it end by its own clock.
    expect(roster(target)).toEqual(["ada member", "bob member 2020-01-01", "cyd manager"]);
    expect(target.managed).toEqual({ member: true, manager: true, owner: false });
  });

  test("a list that is not there is not managed; an empty one is", async () => {
    const spec = await read(`${START}groups:\n  a: {}\n  b: { members: [] }\n  c: { owners: [], includes: [] }\n`);
    expect(targetOf(spec, "a").managed).toEqual({ member: false, manager: false, owner: false });
    expect(targetOf(spec, "b").managed).toEqual({ member: true, manager: false, owner: false });
    expect(targetOf(spec, "c").managed).toEqual({ member: true, manager: false, owner: true });
    expect(spec.targets.flatMap(({ members }) => members)).toEqual([]);
  });

  test("someone who is listed twice is told, with where they were first", async () => {
    const text = `${START}groups:\n  a:\n    members: [ada, bob, ada]\n    managers: [bob]\n    owners: [bob]\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:11:25 error groups.a.members[2]: "ada" is listed here a second time (first in line 11); list everyone once.',
      'team.yaml:12:16 error groups.a.managers[0]: "bob" is listed as member (line 11) and as manager; list everyone once, with the higher role: a manager is a member too.',
      'team.yaml:13:14 error groups.a.owners[0]: "bob" is listed as member (line 11) and as owner; list everyone once, with the higher role: an owner is a member too.',
    ]);
  });
});

describe("includes", () => {
  test("bring everyone of other groups as plain members, over any number of steps", async () => {
    const spec = await read(
      `${START}groups:\n  all: { includes: [on-call] }\n  on-call: { managers: [ada], includes: [night], targets: [] }\n  night: { members: [bob], owners: [cyd], targets: [] }\n`,
    );
    expect(roster(targetOf(spec, "all"))).toEqual(["ada member", "bob member", "cyd member"]);
    expect(targetOf(spec, "all").managed).toEqual({ member: true, manager: false, owner: false });
    expect(spec.targets).toHaveLength(1);
  });

  test("leave a higher role that the group itself gives", async () => {
    const spec = await read(
      `${START}groups:\n  a: { managers: [ada], members: [bob], includes: [b] }\n  b: { members: [ada, bob, cyd] }\n`,
    );
    expect(roster(targetOf(spec, "a"))).toEqual(["bob member", "cyd member", "ada manager"]);
  });

  test("keep someone as long as any of the ways in lasts", async () => {
    const spec = await read(
      `${START}groups:\n  a: { members: [{ person: ada, until: 2027-01-01 }], includes: [b, c] }\n  b: { members: [{ person: ada, until: 2028-01-01 }, { person: bob, until: 2028-01-01 }] }\n  c: { members: [{ person: ada, until: 2026-01-01 }, bob] }\n`,
    );
    expect(roster(targetOf(spec, "a"))).toEqual(["ada member 2028-01-01", "bob member"]);
  });

  test("keep someone as a member whose higher role ends before", async () => {
    const spec = await read(
      `${START}groups:\n  a: { managers: [{ person: ada, until: 2027-01-01 }, { person: bob, until: 2029-01-01 }], includes: [b] }\n  b: { members: [ada, { person: bob, until: 2028-01-01 }] }\n`,
    );
    expect(roster(targetOf(spec, "a"))).toEqual(["ada member", "ada manager 2027-01-01", "bob manager 2029-01-01"]);
  });

  test("in a circle are told by name, each circle once", async () => {
    const text = `${START}groups:\n  a: { includes: [b] }\n  b: { includes: [c] }\n  c: { members: [], includes: [a] }\n  d: { members: [], includes: [d] }\n  e: { includes: [a] }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      "team.yaml:12:32 error groups.c.includes[0]: These groups include each other in a circle: a → b → c → a. Take one of the includes away.",
      "team.yaml:13:32 error groups.d.includes[0]: These groups include each other in a circle: d → d. Take one of the includes away.",
    ]);
  });

  test("need a group whose people the spec lists: absent is not empty", async () => {
    const text = `${START}groups:\n  a: { includes: [b, c, d] }\n  b: {}\n  c: { members: [] }\n  d: { managers: [ada] }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:10:19 error groups.a.includes[0]: The spec does not say who is in "b", so it cannot be included. Give it members ([] if it has none).',
    ]);
  });

  test("of an unknown group, or twice of one, are told", async () => {
    const text = `${START}groups:\n  night: { includes: [dya, day, day] }\n  day: { members: [] }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:10:23 error groups.night.includes[0]: There is no group "dya". Did you mean "day"?',
      'team.yaml:10:33 error groups.night.includes[2]: "day" is included here a second time.',
    ]);
  });

  test("may be chained as long as the spec is", async () => {
    const groups = Array.from({ length: 5000 }, (_, index) =>
      index === 4999 ? `  g${index}: { members: [ada] }` : `  g${index}: { includes: [g${index + 1}] }`,
    );
    const spec = await read(`${START}groups:\n${groups.join("\n")}\n`);
    expect(roster(targetOf(spec, "g0"))).toEqual(["ada member"]);
  });
});

describe("memberships from a CSV file", () => {
  const text = (groups: string) => `${START}groups:\n${groups}memberships: { file: m.csv }\n`;

  test("add to the lists; a role is managed in a group that has rows of that role", async () => {
    const spec = await read(text("  a: { members: [ada] }\n  b: {}\n  c: {}\n"), {
      "m.csv": "group,person,role,until\na,bob,,2027-01-01\na,cyd,owner,\nb,ada,manager,\n",
    });
    expect(roster(targetOf(spec, "a"))).toEqual(["ada member", "bob member 2027-01-01", "cyd owner"]);
    expect(targetOf(spec, "a").managed).toEqual({ member: true, manager: false, owner: true });
    expect(targetOf(spec, "b").managed).toEqual({ member: false, manager: true, owner: false });
    expect(targetOf(spec, "c").managed).toEqual({ member: false, manager: false, owner: false });
  });

  test("need no columns but group and person, in any order", async () => {
    const spec = await read(text("  a: {}\n"), { "m.csv": "person,group\nada,a\n\n , \nbob,a\n" });
    expect(roster(targetOf(spec, "a"))).toEqual(["ada member", "bob member"]);
  });

  test("are told with the line and column of the CSV file", async () => {
    const problems = await problemsOf(text("  night: { members: [ada] }\n"), {
      "m.csv":
        'group,person,role,until\nnight,ada,,\nnight,"bbo",manger,2027-02-30\nnigth,bob,,\nnigth,cyd,,\n,ada,,\nnight,,,\nnight\nnight,bob,,,\n',
    });
    expect(problems.map(say)).toEqual([
      'm.csv:2:7 error memberships[0].person: "ada" is listed here a second time (first in team.yaml:10); list everyone once.',
      'm.csv:3:7 error memberships[1].person: There is no person "bbo". Did you mean "bob"?',
      'm.csv:3:13 error memberships[1].role: Found the role "manger"; expected one of member, manager, owner. Did you mean "manager"?',
      'm.csv:3:20 error memberships[1].until: Found "2027-02-30"; expected a day that exists, as YYYY-MM-DD.',
      'm.csv:4:1 error memberships[2].group: There is no group "nigth" in 2 rows. Did you mean "night"?',
      "m.csv:6:1 error memberships[4].group: This row has no group.",
      "m.csv:7:7 error memberships[5].person: This row has no person.",
      "m.csv:8:1 error : This row has 1 cell, the header has 4. A cell that holds a comma goes in double quotes.",
      "m.csv:9:13 error : This row has 5 cells, the header has 4. A cell that holds a comma goes in double quotes.",
    ]);
  });

  test("of a person in two roles are told", async () => {
    const problems = await problemsOf(text("  a: {}\n"), { "m.csv": "group,person,role\na,ada,\na,ada,owner\n" });
    expect(problems.map(place)).toEqual(["m.csv:3:3 memberships[1].person"]);
  });

  test("that cannot be read are told where the spec names them", async () => {
    expect((await problemsOf(text("  a: {}\n"))).map(say)).toEqual([
      'team.yaml:11:22 error memberships.file: Cannot read "m.csv": there is no such file. (The path is relative to the spec\'s folder.)',
    ]);
  });
});

describe("where a group exists", () => {
  test("at the listed providers, in the order of the providers", async () => {
    const spec = await read(
      `${TWO}groups:\n  b: { targets: [calls, docs] }\n  a: { targets: { calls: , docs: {} } }\n`,
    );
    expect(spec.targets.map(({ group, provider }) => `${group}@${provider}`)).toEqual([
      "b@docs",
      "b@calls",
      "a@docs",
      "a@calls",
    ]);
  });

  test("at the only provider when the group does not say; with several it has to say", async () => {
    expect((await read(`${HEAD}groups: { a: {} }\n`)).targets).toHaveLength(1);
    expect((await read(`${HEAD}groups: { a: { targets: [] } }\n`)).targets).toHaveLength(0);
    expect((await problemsOf(`${TWO}groups:\n  a: {}\n`)).map(say)).toEqual([
      "team.yaml:7:6 error groups.a: This group has no `targets`, and the spec has several providers. Say where it exists: targets: [docs, calls]; [] for a group that only others include.",
    ]);
  });

  test("with its own id, name, description, former names, mode and adoption there", async () => {
    const spec = await read(
      `${TWO}groups:\n  night:\n    name: Night\n    description: All\n    previously: [Late]\n    targets:\n      docs: {}\n      calls: { id: "7", name: Night EMEA, description: "", previously: [], mode: owned, adopt: true, delete: true }\n`,
    );
    expect(targetOf(spec, "night", "docs")).toMatchObject({
      name: "Night",
      description: "All",
      previously: ["Late"],
      mode: "authoritative",
      adopt: false,
      absent: false,
    });
    expect(targetOf(spec, "night", "docs")).not.toHaveProperty("groupId");
    expect(targetOf(spec, "night", "calls")).toMatchObject({
      groupId: "7",
      name: "Night EMEA",
      description: "",
      previously: [],
      mode: "owned",
      adopt: true,
      absent: true,
    });
  });

  test("under the group's key when it has no name, and without a description when there is none", async () => {
    const spec = await read(`${HEAD}groups: { night: {} }\n`);
    expect(targetOf(spec, "night").name).toBe("night");
    expect(targetOf(spec, "night")).not.toHaveProperty("description");
  });

  test("no longer, when it is deleted; a target may keep it", async () => {
    const spec = await read(`${TWO}groups:\n  a: { delete: true, targets: { docs: {}, calls: { delete: false } } }\n`);
    expect(spec.targets.map(({ provider, absent }) => [provider, absent])).toEqual([
      ["docs", true],
      ["calls", false],
    ]);
  });
});

describe("a target's own lists", () => {
  test("replace the group's; whoever is listed there leaves the group's other lists", async () => {
    const spec = await read(
      `${TWO}${PEOPLE}groups:\n  a:\n    members: [cyd]\n    managers: [ada, bob]\n    targets:\n      docs: {}\n      calls: { managers: [ada], members: [bob, cyd] }\n`,
    );
    expect(roster(targetOf(spec, "a", "docs"))).toEqual(["cyd member", "ada manager", "bob manager"]);
    expect(roster(targetOf(spec, "a", "calls"))).toEqual(["bob member", "cyd member", "ada manager"]);
    expect(spec.warnings).toEqual([]);
  });

  test("of members replace includes too", async () => {
    const spec = await read(
      `${TWO}${PEOPLE}groups:\n  a: { includes: [b], targets: { docs: {}, calls: { members: [] } } }\n  b: { members: [ada], targets: [] }\n`,
    );
    expect(roster(targetOf(spec, "a", "docs"))).toEqual(["ada member"]);
    expect(targetOf(spec, "a", "calls")).toMatchObject({ members: [], managed: { member: true } });
  });

  test("that drop a manager altogether are warned of", async () => {
    const spec = await read(
      `${TWO}${PEOPLE}groups:\n  a:\n    managers: [ada, bob]\n    targets:\n      docs: {}\n      calls: { managers: [ada] }\n`,
    );
    expect(roster(targetOf(spec, "a", "calls"))).toEqual(["ada manager"]);
    expect(spec.warnings.map(say)).toEqual([
      "team.yaml:15:26 warning groups.a.targets.calls.managers: bob is manager of the group, and not listed here at all. To keep them as members, list them in groups.a.targets.calls.members.",
    ]);
  });

  test("are checked like the group's", async () => {
    const text = `${TWO}${PEOPLE}groups:\n  a: { targets: { docs: { members: [ada, adda, ada] } } }\n`;
    expect((await problemsOf(text)).map(place)).toEqual([
      "team.yaml:11:42 groups.a.targets.docs.members[1]",
      "team.yaml:11:48 groups.a.targets.docs.members[2]",
    ]);
  });
});

describe("settings are inherited", () => {
  test("mode and adoption from the spec to provider, group and target", async () => {
    const spec = await read(
      `version: 1\nmode: authoritative\nadopt: true\nproviders:\n  docs: { type: plain, token: "\${TOKEN}", mode: additive, adopt: false }\n  calls: { type: plain, token: "\${TOKEN}" }\ngroups:\n  a: { targets: [docs, calls] }\n  b: { mode: owned, adopt: true, targets: { docs: {}, calls: { mode: additive, adopt: false } } }\n`,
    );
    expect(spec.targets.map(({ mode, adopt }) => [mode, adopt])).toEqual([
      ["additive", false],
      ["authoritative", true],
      ["owned", true],
      ["additive", false],
    ]);
    expect(spec.providers[0]?.options).toEqual({ token: "t0p-secret" });
  });

  test("limits, each half alone; protected people add up", async () => {
    const spec = await read(
      `version: 1\nmode: authoritative\nproviders:\n  docs:\n    type: plain\n    token: "\${TOKEN}"\n    guards: { maxRemovals: { percent: 10 }, protect: ["*@board.org"] }\n${PEOPLE}groups:\n  a:\n    guards: { maxRemovals: { count: 3 }, minOwners: 2 }\n    targets: { docs: { guards: { protect: [ada, chief@x.org], minOwners: 0 } } }\n  b: {}\nguards: { maxRemovals: { count: 9 }, protect: [bob] }\n`,
    );
    expect(spec.guards).toEqual({ maxRemovals: { count: 9, percent: 25 }, protect: ["bob"], minOwners: 1 });
    expect(spec.providers[0]?.guards).toEqual({
      maxRemovals: { count: 9, percent: 10 },
      protect: ["bob", "*@board.org"],
      minOwners: 1,
    });
    expect(targetOf(spec, "a", "docs").guards).toEqual({
      maxRemovals: { count: 3, percent: 10 },
      protect: ["bob", "*@board.org", "ada", "chief@x.org"],
      minOwners: 0,
    });
    expect(targetOf(spec, "b", "docs").guards).toEqual(spec.providers[0]?.guards);
  });

  test("without guards, the documented defaults hold", async () => {
    const { guards } = await read(`${HEAD}groups: {}\n`);
    expect(guards).toEqual({ maxRemovals: { count: 50, percent: 25 }, protect: [], minOwners: 1 });
  });
});

describe("two groups that would be taken for one", () => {
  test("by name at a provider, after all overrides", async () => {
    const text = `${TWO}groups:\n  a: { name: Night, targets: [docs, calls] }\n  b: { name: Night, targets: { docs: { name: Late }, calls: {} } }\n  Late: { targets: [docs] }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:8:14 error groups.b.name: At calls the groups a (line 7) and b would both be called "Night"; groups are told apart by name, or by a pinned id each.',
      'team.yaml:9:3 error groups.Late.name: At docs the groups b (line 8) and Late would both be called "Late"; groups are told apart by name, or by a pinned id each.',
    ]);
  });

  test("but not when each is pinned by its own id", async () => {
    const text = `${TWO}groups:\n  a: { name: Night, targets: { docs: { id: "7" } } }\n  b: { name: Night, targets: { docs: { id: "8" } } }\n`;
    expect((await read(text)).targets.map(({ groupId }) => groupId)).toEqual(["7", "8"]);
  });

  test("by pinned id at a provider", async () => {
    const text = `${TWO}groups:\n  a: { targets: { docs: { id: "7" }, calls: { id: "8" } } }\n  b: { targets: { docs: { id: "8" }, calls: { id: "8" } } }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:8:51 error groups.b.targets.calls.id: The groups a (line 7) and b are both pinned to "8" at calls.',
    ]);
  });

  test("by a former name", async () => {
    const text = `${HEAD}groups:\n  a: { previously: [b, a] }\n  b: {}\n  c: { previously: [Old] }\n  d: { previously: [Old] }\n`;
    expect((await problemsOf(text)).map(say)).toEqual([
      'team.yaml:6:20 error groups.a.previously: "b" is the name of the group b at main too; a group that is found by it could be either.',
      'team.yaml:9:20 error groups.d.previously: "Old" is a former name of the group c at main too; a group that is found by it could be either.',
    ]);
  });
});
