import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { ServiceName } from "../../src/sandbox/kit.js";
import { type Sandbox, sampleEnvironment, sampleSeed, sampleSpec, startSandbox } from "../../src/sandbox/index.js";

interface Spec {
  readonly version: number;
  readonly mode: string;
  readonly adopt: boolean;
  readonly providers: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly people: Readonly<
    Record<string, { email: string; aliases?: readonly string[]; accounts: Readonly<Record<string, string | null>> }>
  >;
  readonly groups: Readonly<
    Record<
      string,
      {
        name: string;
        previously?: readonly string[];
        owners?: readonly string[];
        managers?: readonly string[];
        members: readonly (string | { person: string; until: Date | string })[];
        includes?: readonly string[];
        targets: readonly string[];
      }
    >
  >;
}

let sandbox: Sandbox;
let text: string;
let spec: Spec;

beforeAll(async () => {
  sandbox = await startSandbox();
  text = sampleSpec(sandbox);
  spec = parse(text) as Spec;
});

afterAll(async () => {
  await sandbox.close();
});

/** Everyone of a group of the spec, with the role in it. */
function wanted(id: string): Map<string, string> {
  const group = spec.groups[id];
  if (!group) throw new Error(`no group ${id}`);
  const all = new Map<string, string>();
  for (const other of group.includes ?? []) for (const person of wanted(other).keys()) all.set(person, "member");
  for (const entry of group.members) all.set(typeof entry === "string" ? entry : entry.person, "member");
  for (const person of group.managers ?? []) all.set(person, "manager");
  for (const person of group.owners ?? []) all.set(person, "owner");
  return all;
}

/** What separates spec and services, at every target. */
function differences() {
  return Object.entries(spec.groups).flatMap(([id, group]) =>
    group.targets.map((target) => {
      const service = spec.providers[target]?.["type"] as ServiceName;
      const { control } = sandbox.services[service];
      const names = [group.name, ...(group.previously ?? [])];
      const found = control.groups().find(({ name }) => names.includes(name));
      const people = new Map(sampleSeed.people.map((person) => [control.accountOf(person.id), person.id]));
      const held = new Map((found?.members ?? []).map(({ account, role }) => [people.get(account) ?? account, role]));
      const invited = (found?.invited ?? []).map((account) => people.get(account) ?? account);
      // Someone without an account at this service is wanted nowhere there.
      const want = new Map([...wanted(id)].filter(([person]) => control.accountOf(person) !== undefined));
      return {
        place: `${id}@${target}`,
        created: found === undefined,
        renamed: found !== undefined && found.name !== group.name,
        added: [...want.keys()].filter((person) => !held.has(person) && !invited.includes(person)),
        pending: invited,
        removed: [...held.keys()].filter((person) => !want.has(person)),
        promoted: [...want]
          .filter(([person, role]) => held.has(person) && held.get(person) !== role)
          .map(([person]) => person),
        size: held.size,
      };
    }),
  );
}

describe("the sample organisation", () => {
  test("starts on all four services, with about forty people and ten groups", () => {
    expect(sampleSeed.people.length).toBeGreaterThanOrEqual(38);
    expect(sampleSeed.groups.length).toBeGreaterThanOrEqual(10);
    expect(Object.values(sandbox.services).map(({ control }) => control.groups().length)).toEqual([4, 2, 5, 6]);
    const groups = Object.values(sandbox.services).flatMap(({ control }) => control.groups());
    expect(groups.filter(({ members }) => members.length < 2)).toEqual([]);
  });

  test("has unique people, and every name in a group is one of them", () => {
    const ids = sampleSeed.people.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(sampleSeed.people.map(({ email }) => email)).size).toBe(ids.length);
    for (const { members, managers, owners, invited } of sampleSeed.groups) {
      expect(ids).toEqual(
        expect.arrayContaining([...(members ?? []), ...(managers ?? []), ...(owners ?? []), ...(invited ?? [])]),
      );
    }
  });

  test("the spec is YAML of version 1, authoritative, adopting, with the sandbox's providers", () => {
    expect(spec).toMatchObject({ version: 1, mode: "authoritative", adopt: true });
    expect(spec.providers).toEqual(sandbox.config());
  });

  test("every person in a group of the spec is described there, with the pid that NeuroIO needs", () => {
    const inGroups = Object.keys(spec.groups).flatMap((id) => [...wanted(id).keys()]);
    const pinned = inGroups.map((person) => [person, spec.people[person]?.accounts["faces"]]);
    expect(pinned).toEqual(inGroups.map((person) => [person, sandbox.services.neuroio.control.accountOf(person)]));
    expect(spec.people["tim"]?.accounts).toMatchObject({ calls: null });
  });

  test("every e-mail or alias of the spec is the one that the services know", () => {
    for (const [id, { email, aliases = [] }] of Object.entries(spec.people)) {
      expect([email, ...aliases]).toContain(sampleSeed.people.find((person) => person.id === id)?.email);
    }
  });

  test("a plan shows creations, a rename, additions, removals, promotions, a pending invitation", () => {
    const all = differences();
    const places = (has: (row: (typeof all)[number]) => boolean) => all.filter(has).map(({ place }) => place);
    expect(places(({ created }) => created)).toEqual(["sales-queue@calls", "emergency-doors@faces"]);
    expect(places(({ renamed }) => renamed)).toEqual(["night-shift@faces", "night-shift@calls"]);
    expect(places(({ promoted }) => promoted.length > 0)).toEqual(
      expect.arrayContaining(["platform-team@docs", "vision-lab@lab"]),
    );
    expect(all.find(({ place }) => place === "vision-lab@lab")).toMatchObject({
      added: ["cecilia"],
      pending: ["emmy"],
      removed: ["john"],
      promoted: ["shafi"],
    });
    expect(all.find(({ place }) => place === "platform-team@docs")).toMatchObject({
      added: ["margaret"],
      removed: ["niklaus"],
    });
    expect(places((row) => row.size > 0 && row.added.length + row.removed.length + row.promoted.length === 0)).toEqual(
      expect.arrayContaining(["sleep-lab@lab", "reception@faces"]),
    );
  });

  test("no removal trips a default guard", () => {
    const all = differences();
    const trips = all.filter(({ removed, size }) => removed.length > Math.max(1, size * 0.25));
    const emptied = all.filter(({ removed, size }) => size > 0 && removed.length >= size);
    expect([trips, emptied]).toEqual([[], []]);
    const shares = Object.keys(spec.providers).map((target) => {
      const here = all.filter(({ place }) => place.endsWith(`@${target}`));
      const removed = here.reduce((sum, row) => sum + row.removed.length, 0);
      return removed / here.reduce((sum, row) => sum + row.size, 0);
    });
    expect(Math.max(...shares)).toBeLessThanOrEqual(0.25);
  });

  test("each group has one manager at most, as DocSpace has one place", () => {
    const atDocs = Object.values(spec.groups).filter(({ targets }) => targets.includes("docs"));
    expect(atDocs.map(({ managers = [] }) => managers.length)).toEqual([1, 0, 1]);
  });

  test("groups that must be left alone are not in the spec", () => {
    const names = Object.values(spec.groups).flatMap(({ name, previously = [] }) => [name, ...previously]);
    const alone = sampleSeed.groups.filter(({ name }) => !names.includes(name)).map(({ name }) => name);
    expect(alone).toEqual(["All employees", "Spanish speakers", "Chess club"]);
  });

  test("with secrets: environment the file names them, and sampleEnvironment has them", () => {
    const file = sampleSpec(sandbox, { secrets: "environment" });
    const environment = sampleEnvironment(sandbox);
    expect(Object.keys(environment).sort()).toEqual([
      "BRAINSTEM_TOKEN",
      "DOCSPACE_API_KEY",
      "GENESYS_CLIENT_ID",
      "GENESYS_CLIENT_SECRET",
      "NEUROIO_TOKEN",
    ]);
    const filled = file.replace(/\$\{([A-Z_]+)\}/g, (_, name: string) => JSON.stringify(environment[name]));
    expect(parse(filled)).toEqual(parse(text));
    expect(Object.values(environment).filter((value) => file.includes(value))).toEqual([]);
  });

  test("a sandbox with fewer services, or another seed, is refused", async () => {
    const fewer = await startSandbox({ services: ["docspace"] });
    expect(() => sampleSpec(fewer)).toThrow('has no "faces"');
    await fewer.close();
    const other = await startSandbox({ seed: { people: [], groups: [] } });
    expect(() => sampleSpec(other)).toThrow("started from sampleSeed");
    await other.close();
  });
});
