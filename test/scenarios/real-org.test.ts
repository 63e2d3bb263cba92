/**
 * A real year of drift: the memberships of a real organisation as of 2023 stand at all four services, and those of 2024
 * are the spec. The data lie beside the project and are not part of it.
 */
import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createPlan, createProviders, exportSpec, parseSpec, type Report, reconcile } from "../../src/index.js";
import type { Seed } from "../../src/sandbox/index.js";
import {
  expectConverged,
  type ProviderKey,
  providerIds,
  providerKeys,
  specFor,
  startWorld,
  type World,
} from "./world.js";

interface RealOrg {
  readonly people: readonly { readonly id: string; readonly email: string }[];
  readonly groups: readonly {
    readonly name: string;
    readonly previously?: readonly string[];
    readonly managers: readonly string[];
    readonly members: readonly string[];
  }[];
}

const folder = new URL("../../../shared/data/", import.meta.url);
const isThere = existsSync(folder);

/** Without the data the same story is told with a small organisation of our own. */
const small = (year: number): RealOrg => ({
  people: Array.from({ length: 120 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` })),
  groups: Array.from({ length: 12 }, (_, group) => ({
    name: year === 2024 && group === 3 ? "org/renamed" : `org/group-${group}`,
    ...(group === 3 && { previously: ["org/group-3"] }),
    managers: group % 4 === 0 ? [`p${group}`] : [],
    members: Array.from(
      { length: 40 },
      (_, index) => `p${(group * 7 + index * 2 + 1 + (year === 2024 && index < 3 ? 100 : 0)) % 120}`,
    ).filter((person, index, all) => all.indexOf(person) === index && !(group % 4 === 0 && person === `p${group}`)),
  })),
});

function load(year: number): RealOrg {
  if (!isThere) return small(year);
  return JSON.parse(readFileSync(new URL(`real-org-${year}.json`, folder), "utf8")) as RealOrg;
}

const then = load(2023);
const now = load(2024);
// A service may not have two groups of one name; a former name that somebody else bears now is no former name.
const names = new Set(now.groups.map(({ name }) => name));
const wish = {
  groups: now.groups.map(({ name, managers, members, previously }) => ({
    name,
    managers,
    members,
    ...(previously && { previously: previously.filter((former) => !names.has(former)) }),
  })),
  guards: { maxRemovals: { count: 100_000, percent: 100 } },
};
const everybody = new Map([...then.people, ...now.people].map((person) => [person.id, person]));
const seed: Seed = { people: [...everybody.values()], groups: then.groups };

let world: World;
let report: Report;

beforeAll(async () => {
  if (!isThere) console.log("shared/data is not here: a small organisation of our own stands for the real one.");
  world = await startWorld({ seed });
  const { spec, providers } = await specFor(world, wish);
  report = await reconcile({
    spec,
    providers,
    allow: [{ guard: "empty-group" }, { guard: "role-loss" }, { guard: "last-owner" }],
  });
}, 300_000);

afterAll(async () => {
  await world?.close();
});

it("converges, every group of every service equal to the spec, nobody invited twice", () => {
  expect(report.residual.slice(0, 5)).toEqual([]);
  expect(report.status).toBe("converged");
  expectConverged(world, wish);
});

it("writes nothing but the differences", () => {
  const former = new Map(then.groups.map((group) => [group.name, group]));
  let adds = 0;
  let removes = 0;
  for (const group of wish.groups) {
    const was = [group.name, ...(group.previously ?? [])].flatMap((name) => former.get(name) ?? [])[0];
    const before = new Set(was ? [...was.members, ...was.managers] : []);
    const after = new Set([...group.members, ...group.managers]);
    adds += [...after].filter((person) => !before.has(person)).length;
    removes += [...before].filter((person) => !after.has(person)).length;
  }
  for (const { id, outcomes } of report.providers) {
    const count = (type: string) => outcomes.filter((outcome) => outcome.type === type).length;
    expect({ id, adds: count("member.add"), removes: count("member.remove") }).toEqual({ id, adds, removes });
  }
});

it("says in the report what it took, as the sandbox counted", () => {
  for (const { id, calls } of report.providers) {
    const service = providerIds[id as ProviderKey];
    expect(calls.read + calls.write).toBeGreaterThan(0);
    const writes = world.sandbox.log.filter((entry) => entry.service === service && entry.write).length;
    if (world.sandbox.log.dropped === 0) expect({ id, writes: calls.write }).toEqual({ id, writes });
    console.log(`${id}: ${calls.read} reading and ${calls.write} writing calls`);
  }
});

it("is in sync afterwards", async () => {
  const { spec, providers } = await specFor(world, wish);
  const plan = await createPlan({ spec, providers });
  expect(plan.summary).toEqual({ create: 0, rename: 0, delete: 0, add: 0, role: 0, remove: 0, held: 0, unresolved: 0 });
  expect(plan.status).toBe("in-sync");
}, 120_000);

it.each(providerKeys)(
  "exports %s as a spec that plans to no change",
  async (id) => {
    const { providers } = await specFor(world, wish);
    const provider = providers.find((candidate) => candidate.id === id);
    if (!provider) throw new Error(`no provider ${id}`);
    const options = { ...world.sandbox.config()[id], retryDelayMs: 1, requestsPerMinute: 1_000_000 };
    const { text } = await exportSpec({ provider, providerOptions: options });
    const spec = await parseSpec(text);
    const plan = await createPlan({ spec, providers: createProviders(spec) });
    expect(plan.providers[0]?.problems).toEqual([]);
    expect(plan.summary).toEqual({
      create: 0,
      rename: 0,
      delete: 0,
      add: 0,
      role: 0,
      remove: 0,
      held: 0,
      unresolved: 0,
    });
    expect(plan.status).toBe("in-sync");
  },
  120_000,
);
