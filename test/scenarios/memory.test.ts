/**
 * What one run remembers for the next: adoption, ownership, scope, invitations, approvals, history; what it knows of a
 * run that died; and what happens when it can write nothing down.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  type Allowance,
  applyPlan,
  type Change,
  createCallContext,
  createPlan,
  createProviders,
  type HeldChange,
  parseSpec,
  type Plan,
  type ReconcileOptions,
  type Report,
  reconcile,
  type SyncEvent,
} from "../../src/index.js";
import { GUARDS } from "../../src/model.js";
import { approvePlan } from "../../src/reconcile/approve.js";
import { UNLIFTABLE } from "../../src/reconcile/guard.js";
import { digestOf } from "../../src/reconcile/plan.js";
import { undo } from "../../src/reconcile/reconcile.js";
import type { ServiceName } from "../../src/sandbox/index.js";
import { openState } from "../../src/state/index.js";
import type { JournalEntry, Scope, State } from "../../src/state/state.js";
import {
  type ProviderKey,
  providerIds,
  type SpecWish,
  specObject,
  startWorld,
  trueMembers,
  type World,
} from "./world.js";

const people = Array.from({ length: 14 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const noLimits = { maxRemovals: { count: 1000, percent: 100 }, minOwners: 0 };

/** A file in which runs are remembered. */
interface Store {
  readonly folder: string;
  open(): Promise<State>;
  /** Closes it, and opens it as the next process would. */
  again(state: State): Promise<State>;
}

function createStore(): Store {
  const folder = mkdtempSync(join(tmpdir(), "group-sync-memory-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const open = async () => {
    const state = await openState({ file: join(folder, "state.db") });
    onTestFinished(() => state.close());
    return state;
  };
  return {
    folder,
    open,
    again: async (state) => {
      await state.close();
      return open();
    },
  };
}

async function startWith(service: ServiceName, groups: World["seed"]["groups"] = []): Promise<World> {
  const world = await startWorld({ services: [service], seed: { people, groups } });
  onTestFinished(() => world.close());
  return world;
}

interface More extends Partial<Omit<ReconcileOptions, "allow">> {
  /** As on the command line. */
  readonly allow?: readonly Allowance["guard"][] | readonly Allowance[];
  /** Other options of a provider, such as another key. */
  readonly as?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

async function optionsFor(world: World, wish: SpecWish, state: State | undefined, { allow = [], as, ...more }: More) {
  const object = specObject(world, { guards: noLimits, adopt: false, ...wish });
  const given = object["providers"] as Record<string, object>;
  const providers = Object.fromEntries(Object.entries(given).map(([id, rest]) => [id, { ...rest, ...as?.[id] }]));
  const spec = await parseSpec(JSON.stringify({ ...object, providers }), { file: "test.json" });
  return {
    spec,
    providers: createProviders(spec),
    verifyMs: 300,
    allow: allow.map((each): Allowance => (typeof each === "string" ? { guard: each } : each)),
    ...(state && { state }),
    ...more,
  };
}

async function run(world: World, wish: SpecWish, state: State | undefined, more: More = {}): Promise<Report> {
  return reconcile(await optionsFor(world, wish, state, more));
}

async function takeBack(world: World, wish: SpecWish, state: State, runId: string, more: More = {}): Promise<Report> {
  return undo({ ...(await optionsFor(world, wish, state, more)), state, runId });
}

const crew = (...members: readonly string[]): SpecWish => ({ groups: [{ name: "Crew", members }] });
/** What is held, and of whom. */
function heldOf({ providers }: Report, { sandbox, seed }: World): readonly string[] {
  return providers.flatMap(({ outcomes, type }) => {
    const { control } = sandbox.services[type as ServiceName];
    const personOf = new Map(seed.people.map(({ id }) => [control.accountOf(id), id]));
    return outcomes.flatMap(({ status, guard, account, group }) =>
      status === "held" ? [`${guard}: ${personOf.get(account) ?? group}`] : [],
    );
  });
}
const heldIn = (plan: Plan): readonly HeldChange[] => plan.providers.flatMap(({ held }) => held);
const notesOf = ({ providers }: Pick<Report | Plan, "providers">): string =>
  providers.flatMap(({ notes }) => notes).join("\n");
const writes = ({ sandbox }: World): number => sandbox.log.filter(({ write }) => write).length;
const controlOf = ({ sandbox }: World, key: ProviderKey) => sandbox.services[providerIds[key]].control;

function groupIdOf(world: World, key: ProviderKey, name = "Crew"): string {
  const group = controlOf(world, key)
    .groups()
    .find((each) => each.name === name);
  if (!group) throw new Error(`no ${name}`);
  return group.id;
}

function accountOf(world: World, key: ProviderKey, person: string): string {
  const account = controlOf(world, key).accountOf(person);
  if (account === undefined) throw new Error(`no account of ${person}`);
  return account;
}

/** Under which identity a provider was read in a run. */
async function scopeOf(state: State, report: Pick<Report, "runId">, provider: ProviderKey): Promise<Scope> {
  const past = await state.run(report.runId);
  return { provider, identity: past?.plan.providers.find(({ id }) => id === provider)?.identity ?? "" };
}

describe("a group that was there before us", () => {
  const seed = [{ name: "Crew", members: ["p0", "p1", "p2"] }];

  it("is adopted once, and needs no word from then on", async () => {
    const world = await startWith("docspace", seed);
    const store = createStore();
    let state = await store.open();
    const first = await run(world, crew("p0", "p3"), state);
    expect(heldOf(first, world).toSorted()).toEqual(["adoption: p1", "adoption: p2"]);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1", "p2", "p3"]);
    // Having been there once makes nothing ours.
    expect(heldOf(await run(world, crew("p0", "p3"), state), world)).toHaveLength(2);

    const adopting = await run(world, crew("p0", "p3"), state, { allow: ["adoption"] });
    expect(adopting.status).toBe("converged");
    state = await store.again(state);
    const next = await run(world, crew("p0"), state);
    expect(next.status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
  });

  it("is adopted for itself alone", async () => {
    const world = await startWith("docspace", [...seed, { name: "Deck", members: ["p0", "p1"] }]);
    const state = await createStore().open();
    const wish = { groups: [...crew("p0").groups, { name: "Deck", members: ["p0"] }] };
    await run(world, wish, state, { allow: [{ guard: "adoption", group: "Crew" }] });
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
    expect(trueMembers(world, "docs", "Deck")).toEqual(["p0", "p1"]);
    const next = { groups: [{ name: "Crew", members: ["p1"] }, wish.groups[1] ?? { name: "Deck" }] };
    expect(heldOf(await run(world, next, state), world)).toEqual(["adoption: p1"]);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p1"]);
  });

  it("is not adopted by taking back what was done in it", async () => {
    const world = await startWith("docspace", seed);
    const state = await createStore().open();
    const { runId } = await run(world, crew("p0", "p3"), state);
    expect((await takeBack(world, crew("p0", "p3"), state, runId)).status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1", "p2"]);
    expect(heldOf(await run(world, crew("p0", "p3"), state), world)).toHaveLength(2);
  });

  it("and is deleted and made anew by others is a stranger again", async () => {
    const world = await startWith("docspace", seed);
    const state = await createStore().open();
    await run(world, crew("p0", "p1", "p2"), state, { allow: ["adoption"] });
    const control = controlOf(world, "docs");
    control.deleteGroup(groupIdOf(world, "docs"));
    control.addGroup({ name: "Crew", members: ["p0", "p1"] });
    expect(heldOf(await run(world, crew("p0"), state), world)).toEqual(["adoption: p1"]);
  });
});

it.each(["faces", "lab", "docs", "calls"] as const)("a group that we made at %s is ours", async (key) => {
  const world = await startWith(providerIds[key]);
  const store = createStore();
  const state = await store.open();
  await run(world, crew("p0", "p1", "p2"), state);
  controlOf(world, key).answerInvitations("accept");
  expect(trueMembers(world, key, "Crew")).toEqual(["p0", "p1", "p2"]);
  const next = await run(world, crew("p0", "p1"), await store.again(state));
  expect(heldOf(next, world)).toEqual([]);
  expect(trueMembers(world, key, "Crew")).toEqual(["p0", "p1"]);
});

it.each(["faces", "lab", "docs", "calls"] as const)(
  "a group at %s that the spec does not name is left as it is, made by hand or by us, whatever is acknowledged",
  async (key) => {
    const world = await startWith(providerIds[key], [{ name: "By hand", members: ["p0", "p1"] }]);
    const store = createStore();
    const state = await store.open();
    const allow = GUARDS.filter((guard) => !UNLIFTABLE.includes(guard));
    await run(world, crew("p0", "p3"), state, { allow });
    controlOf(world, key).answerInvitations("accept");
    const deck: SpecWish = { groups: [{ name: "Deck", members: ["p2"] }] };
    const next = await run(world, deck, await store.again(state), { allow });
    expect(next.status).toBe("converged");
    const named = new Set(next.providers.flatMap(({ outcomes }) => outcomes.map(({ group }) => group)));
    expect([...named]).toEqual(["Deck"]);
    expect(trueMembers(world, key, "By hand")).toEqual(["p0", "p1"]);
    expect(trueMembers(world, key, "Crew")).toEqual(["p0", "p3"]);
  },
);

it.each(["docs", "calls"] as const)(
  "an address at %s that was given to somebody else gives them nothing, until that account is pinned",
  async (key) => {
    const world = await startWith(providerIds[key]);
    const store = createStore();
    let state = await store.open();
    const control = controlOf(world, key);
    const adopted = (...members: readonly string[]) => ({ ...crew(...members), adopt: true });
    await run(world, adopted("p0", "p1", "p2"), state);
    const before = accountOf(world, key, "p1");
    control.setPersonStatus(before, "deleted");
    const heir = control.addPerson({ id: "heir", email: "p1@example.org" });
    const membersNow = () =>
      control
        .groups()[0]
        ?.members.map(({ account }) => account)
        .filter((account) => account !== before)
        .toSorted();
    const accounts = (...ids: readonly string[]) => ids.map((id) => accountOf(world, key, id)).toSorted();
    state = await store.again(state);

    for (let turn = 0; turn < 2; turn++) {
      const report = await run(world, adopted("p0", "p1", "p3"), state);
      expect(report.providers[0]?.unresolved).toEqual([
        {
          person: "p1",
          state: "ambiguous",
          reason: `was account ${before} before, and is account ${heir} now under the same address; pin the right one: people.p1.accounts.${key}`,
          groups: ["Crew"],
        },
      ]);
      expect(heldOf(report, world)).toContain("unresolved-person: p2");
      expect(membersNow()).toEqual(accounts("p0", "p2", "p3"));
    }

    const { spec, ...options } = await optionsFor(world, adopted("p0", "p1", "p3"), state, {});
    const p1 = spec.people["p1"];
    if (!p1) throw new Error("no p1");
    const pinned = { ...spec, people: { ...spec.people, p1: { ...p1, accounts: { [key]: heir } } } };
    expect((await reconcile({ ...options, spec: pinned })).status).toBe("converged");
    expect(membersNow()).toEqual([...accounts("p0", "p3"), heir].toSorted());
    // Known from then on, pinned or not.
    expect((await run(world, adopted("p0", "p1", "p3"), state)).status).toBe("converged");
    expect(membersNow()).toEqual([...accounts("p0", "p3"), heir].toSorted());
  },
);

it("a dry run neither settles nor remembers who has an address, and without state nobody knows", async () => {
  const world = await startWith("docspace");
  const state = await createStore().open();
  const control = controlOf(world, "docs");
  await run(world, crew("p0", "p1"), state, { dryRun: true });
  const before = accountOf(world, "docs", "p1");
  control.setPersonStatus(before, "deleted");
  const heir = control.addPerson({ id: "heir", email: "p1@example.org" });
  expect((await run(world, crew("p0", "p1"), state)).providers[0]?.unresolved).toEqual([]);
  expect(control.groups()[0]?.members.map(({ account }) => account)).toContain(heir);
  control.setPersonStatus(heir, "deleted");
  control.addPerson({ id: "third", email: "p1@example.org" });
  expect((await run(world, crew("p0", "p1"), state)).providers[0]?.unresolved).toHaveLength(1);
  expect((await run(world, crew("p0", "p1"), undefined)).providers[0]?.unresolved).toEqual([]);
});

describe("a group of ours that the list does not show", () => {
  const lists = {
    faces: "/\\/groups\\/persons\\/(\\?|$)/",
    lab: "/\\/groups?\\/(\\?|$)/",
    docs: "/\\/group(\\?|$)/",
    calls: "/\\/groups(\\?|$)/",
  };
  const hideGroups = (world: World, key: ProviderKey) =>
    world.sandbox.addFault({
      kind: "empty-page",
      totals: "too",
      when: "read",
      times: 0,
      service: providerIds[key],
      path: lists[key],
    });

  it.each(["faces", "lab", "docs", "calls"] as const)(
    "is not made a second time at %s, however often the list lies",
    async (key) => {
      const world = await startWith(providerIds[key]);
      const state = await createStore().open();
      await run(world, crew("p0", "p1"), state);
      const before = controlOf(world, key).groups();
      hideGroups(world, key);
      const report = await run(world, crew("p0", "p2"), state);
      expect(report.status).not.toBe("converged");
      expect(report.providers[0]?.problems).toEqual([
        {
          group: "Crew",
          message: `the list of groups does not show "Crew" (${groupIdOf(world, key)}), which was ours and is there when asked for by itself: the list was not whole, so nothing is done; run again`,
        },
      ]);
      expect(controlOf(world, key).groups()).toEqual(before);
      world.sandbox.clearFaults();
      expect((await run(world, crew("p0", "p1"), state)).status).toBe("converged");
    },
  );

  it("is made anew once it is truly gone", async () => {
    const world = await startWith("docspace");
    const state = await createStore().open();
    await run(world, crew("p0", "p1"), state);
    const control = controlOf(world, "docs");
    control.deleteGroup(groupIdOf(world, "docs"));
    expect((await run(world, crew("p0", "p1"), state)).status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
  });

  it("is a stranger to another group of a spec until it is adopted, and known by that from then on", async () => {
    const world = await startWith("docspace");
    const state = await createStore().open();
    const { runId } = await run(world, crew("p0", "p1"), state);
    const scope = await scopeOf(state, { runId }, "docs");
    const as = async (allow: readonly Allowance[]) => {
      const { spec, ...options } = await optionsFor(world, crew("p0"), state, { allow });
      const targets = spec.targets.map((target) => ({ ...target, group: "team" }));
      return reconcile({ ...options, spec: { ...spec, targets } });
    };
    expect(heldOf(await as([]), world)).toEqual(["adoption: p1"]);
    expect(await state.managedGroups(scope)).toMatchObject([{ group: "Crew" }]);
    expect((await as([{ guard: "adoption" }])).status).toBe("converged");
    expect(await state.managedGroups(scope)).toEqual([
      { groupId: groupIdOf(world, "docs").toLowerCase(), group: "team", origin: "created" },
    ]);
  });
});

/** From the first batch on, no reading comes through. `ok`: from the first that was answered well. */
function blindedBy(world: World, service: ServiceName, ok = true): (event: SyncEvent) => void {
  let isBlind = false;
  return (event) => {
    if (isBlind || event.type !== "batch" || event.ok !== ok) return;
    isBlind = true;
    world.sandbox.addFault({ kind: "server-error", service, when: "read", status: 500, times: 0 });
  };
}

describe("mode owned", () => {
  const owned = (...members: readonly string[]): SpecWish => ({ ...crew(...members), mode: "owned", adopt: true });

  it("takes whom it added though nobody could read that back", async () => {
    const world = await startWith("genesys", [{ name: "Crew", members: ["p0"] }]);
    const state = await createStore().open();
    const first = await run(world, owned("p1", "p2"), state, { onEvent: blindedBy(world, "genesys") });
    expect(first.summary).toMatchObject({ unknown: 2 });
    world.sandbox.clearFaults();
    expect((await run(world, owned("p2"), state)).summary).toMatchObject({ applied: 1, already: 0 });
    expect(trueMembers(world, "calls", "Crew")).toEqual(["p0", "p2"]);
  });

  it.each(["faces", "lab", "docs", "calls"] as const)(
    "takes away at %s what this installation added, and nobody else",
    async (key) => {
      const world = await startWith(providerIds[key], [{ name: "Crew", members: ["p0", "p1"] }]);
      const store = createStore();
      let state = await store.open();
      // p1 is listed, and was there before: that does not make the membership ours.
      await run(world, owned("p1", "p2", "p3"), state);
      controlOf(world, key).answerInvitations("accept");
      controlOf(world, key).addMember(groupIdOf(world, key), accountOf(world, key, "p4"));
      state = await store.again(state);
      const report = await run(world, owned("p3"), state);
      expect(report.status).toBe("converged");
      expect(trueMembers(world, key, "Crew")).toEqual(["p0", "p1", "p3", "p4"]);
    },
  );

  it("does not take away whom others have put back", async () => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0"] }]);
    const state = await createStore().open();
    await run(world, owned("p2"), state);
    await run(world, owned(), state);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
    controlOf(world, "docs").addMember(groupIdOf(world, "docs"), accountOf(world, "docs", "p2"));
    const report = await run(world, owned(), state);
    expect(report.summary.applied).toBe(0);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p2"]);
  });

  it.each(["faces", "lab", "docs", "calls"] as const)(
    "does not take away at %s whom others have taken out and put back",
    async (key) => {
      const world = await startWith(providerIds[key], [{ name: "Crew", members: ["p0"] }]);
      const store = createStore();
      let state = await store.open();
      const [crewId, p3] = [groupIdOf(world, key), accountOf(world, key, "p3")];
      await run(world, owned("p1", "p3"), state);
      const scope = await scopeOf(state, { runId: (await state.runs(1))[0]?.runId ?? "" }, key);
      expect((await state.ownedMemberships(scope)).map(({ account }) => account)).toContain(p3);
      controlOf(world, key).removeMember(crewId, p3);
      state = await store.again(state);
      // A plan takes no notice for others.
      await run(world, owned("p1"), state, { dryRun: true });
      expect((await state.ownedMemberships(scope)).map(({ account }) => account)).toContain(p3);
      await run(world, owned("p1"), state);
      controlOf(world, key).addMember(crewId, p3);
      const report = await run(world, owned("p1"), state);
      expect(report.summary.applied).toBe(0);
      expect(trueMembers(world, key, "Crew")).toEqual(["p0", "p1", "p3"]);
      // Who is listed again while they are there stays a member of others.
      await run(world, owned("p1", "p3"), state);
      await run(world, owned("p1"), state);
      expect(trueMembers(world, key, "Crew")).toEqual(["p0", "p1", "p3"]);
    },
  );

  it("takes no role from anybody whose membership is not ours", async () => {
    const world = await startWith("genesys", [{ name: "Crew", owners: ["p0"], members: ["p1"] }]);
    const store = createStore();
    let state = await store.open();
    const wish = (owners: readonly string[], members: readonly string[]): SpecWish => ({
      mode: "owned",
      adopt: true,
      groups: [{ name: "Crew", owners, members }],
    });
    const rolesIn = () =>
      Object.fromEntries(
        (controlOf(world, "calls").groups()[0]?.members ?? []).map(({ account, role }) => [
          people.find(({ id }) => accountOf(world, "calls", id) === account)?.id,
          role,
        ]),
      );
    await run(world, wish(["p2", "p3"], ["p0", "p1"]), state);
    expect(rolesIn()).toEqual({ p0: "owner", p1: "member", p2: "owner", p3: "owner" });
    state = await store.again(state);
    await run(world, wish(["p3"], ["p0", "p1", "p2"]), state, { allow: ["role-loss"] });
    expect(rolesIn()).toEqual({ p0: "owner", p1: "member", p2: "member", p3: "owner" });
  });

  it("knows its own again after an undo and the undo of the undo", async () => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0"] }]);
    const state = await createStore().open();
    const first = await run(world, owned("p2"), state);
    const second = await takeBack(world, owned("p2"), state, first.runId);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
    await takeBack(world, owned("p2"), state, second.runId);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p2"]);
    await run(world, owned(), state);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
  });

  it("does not call its own whom an undo has put back for others", async () => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0", "p1"] }]);
    const state = await createStore().open();
    const { runId } = await run(world, { ...crew("p0"), adopt: true }, state);
    await takeBack(world, crew("p0"), state, runId);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
    await run(world, owned("p0"), state);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
  });
});

describe("an account that is read as somebody else", () => {
  const seed = [
    { name: "Crew", members: ["p0", "p1"] },
    { name: "Deck", members: ["p0", "p1"] },
  ];
  const both = (...members: readonly string[]): SpecWish => ({
    adopt: true,
    groups: [
      { name: "Crew", members },
      { name: "Deck", members },
    ],
  });

  async function scene() {
    const world = await startWith("docspace", seed);
    const { otherCredentials } = world.sandbox.services.docspace;
    const store = createStore();
    const as = { docs: { apiKey: otherCredentials["admin"]?.["apiKey"] ?? "" } };
    return { world, store, state: await store.open(), as };
  }

  it("is held from removing until that is acknowledged, and then known", async () => {
    const { world, store, state: opened, as } = await scene();
    let state = opened;
    expect((await run(world, both("p0", "p1"), state)).status).toBe("converged");
    const changed = await run(world, both("p0", "p2"), state, { as });
    expect(heldOf(changed, world)).toEqual(["changed-scope: p1", "changed-scope: p1"]);
    expect(notesOf(changed)).toBe("");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1", "p2"]);
    // Nobody has said that it is all right: it does not become so by itself.
    state = await store.again(state);
    expect(heldOf(await run(world, both("p0", "p2"), state, { as }), world)).toHaveLength(2);

    // For one group, for once.
    const allow: readonly Allowance[] = [{ guard: "changed-scope", group: "Crew" }];
    expect(heldOf(await run(world, both("p0", "p2"), state, { as, allow }), world)).toEqual(["changed-scope: p1"]);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p2"]);
    expect(heldOf(await run(world, both("p0"), state, { as }), world)).toHaveLength(3);

    expect((await run(world, both("p0"), state, { as, allow: ["changed-scope"] })).status).toBe("converged");
    expect(trueMembers(world, "docs", "Deck")).toEqual(["p0"]);
    state = await store.again(state);
    await run(world, both("p0", "p3"), state, { as });
    expect(heldOf(await run(world, both("p0"), state, { as }), world)).toEqual([]);
    // The first one is the stranger now.
    await run(world, both("p0", "p4"), state, { as });
    expect(heldOf(await run(world, both("p0"), state), world)).toHaveLength(2);
  });

  it("is held in a saved plan too, and applying that plan acknowledges nothing", async () => {
    const { world, state, as } = await scene();
    await run(world, both("p0", "p1"), state);
    const options = await optionsFor(world, both("p0"), state, { as });
    const plan = await createPlan(options);
    expect(heldIn(plan).map(({ guard }) => guard)).toEqual(["changed-scope", "changed-scope"]);
    const report = await applyPlan(plan, options);
    expect(heldOf(report, world)).toHaveLength(2);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
    expect(heldIn(await createPlan(options))).toHaveLength(2);

    const agreed = await createPlan({ ...options, allow: [{ guard: "changed-scope" }] });
    expect((await applyPlan(agreed, options)).status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
    expect(heldIn(await createPlan(await optionsFor(world, both(), state, { as })))).not.toContainEqual(
      expect.objectContaining({ guard: "changed-scope" }),
    );
  });

  it("takes nothing back of what was done as the other, but where that is acknowledged", async () => {
    const { world, state, as } = await scene();
    const { runId } = await run(world, both("p0", "p1", "p2"), state);
    const before = writes(world);
    const refused = await takeBack(world, both("p0", "p1"), state, runId, { as });
    expect(refused.providers[0]?.error).toMatchObject({
      code: "plan-invalid",
      message: expect.stringMatching(/^That run wrote to .* as owner.*, but docs is now .* as admin/) as string,
    });
    expect(writes(world)).toBe(before);
    const allowed = await takeBack(world, both("p0", "p1"), state, runId, { as, allow: ["changed-scope"] });
    expect(allowed.status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
  });
});

it("another tenant under the same name is a stranger: nothing that is remembered of the first counts there", async () => {
  const group = { name: "Crew", members: ["p0", "p1"] };
  const [first, second] = [await startWith("docspace", [group]), await startWith("docspace", [group])];
  const state = await createStore().open();
  await run(first, crew("p0", "p1"), state, { allow: ["adoption"] });
  const report = await run(second, crew("p0"), state);
  expect(heldOf(report, second)).toEqual(["changed-scope: p1"]);
  const acknowledged = await run(second, crew("p0"), state, { allow: ["changed-scope"] });
  // The ids of the groups may well be the same.
  expect(heldOf(acknowledged, second)).toEqual(["adoption: p1"]);
  expect(trueMembers(second, "docs", "Crew")).toEqual(["p0", "p1"]);
});

describe("a plan that was made before", () => {
  const mail = (person: string) => `${person}@example.org`;
  const errorsIn = ({ providers }: Report) =>
    providers.flatMap(({ error, outcomes }) => [
      ...(error ? [error.message] : []),
      ...outcomes.flatMap((outcome) => (outcome.status === "skipped" && outcome.error ? [outcome.error.message] : [])),
    ]);

  it("invites nobody who was invited since, though they have declined meanwhile", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const options = await optionsFor(world, crew("p1"), state, {});
    const plan = await createPlan(options);
    expect((await applyPlan(plan, options)).summary.pending).toBe(1);
    controlOf(world, "lab").answerInvitations("reject", { account: mail("p1") });
    const before = writes(world);
    expect(errorsIn(await applyPlan(plan, options))).toEqual([
      "p1 has been invited since the plan was made, and nobody is asked twice; plan anew.",
    ]);
    expect(writes(world)).toBe(before);
  });

  it("invites nobody who has declined, of which it does not know; what it knows was acknowledged", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    await run(world, crew("p1"), state);
    controlOf(world, "lab").answerInvitations("reject", { account: mail("p1") });
    await run(world, crew("p1"), state);
    const options = await optionsFor(world, crew("p1"), state, { allow: ["declined-invitation"] });
    const { state: _state, ...forgetful } = options;
    expect(errorsIn(await applyPlan(await createPlan(forgetful), options))).toEqual([
      "p1 was invited before and has declined, of which the plan does not know; plan anew.",
    ]);
    expect((await applyPlan(await createPlan(options), options)).summary.pending).toBe(1);
  });

  it.each(["faces", "lab", "docs"] as const)("takes nobody out at %s whom others have put back since", async (key) => {
    const world = await startWith(providerIds[key], [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const wish = (...members: readonly string[]): SpecWish => ({ ...crew("p0", ...members), adopt: true });
    await run(world, wish("p1"), state);
    controlOf(world, key).answerInvitations("accept");
    const options = await optionsFor(world, { ...wish(), mode: "owned" }, state, {});
    const plan = await createPlan(options);
    expect((await applyPlan(plan, options)).summary.applied).toBe(1);
    controlOf(world, key).addMember(groupIdOf(world, key), accountOf(world, key, "p1"));
    expect(errorsIn(await applyPlan(plan, options))).toEqual([
      expect.stringContaining("who put them back is somebody"),
    ]);
    expect(trueMembers(world, key, "Crew")).toEqual(["p0", "p1"]);
  });

  it.each(["without a memory", "before somebody else read it"])("takes nobody out when it was made %s", async (how) => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0", "p1"] }]);
    const { otherCredentials } = world.sandbox.services.docspace;
    const as = { docs: { apiKey: otherCredentials["admin"]?.["apiKey"] ?? "" } };
    const state = await createStore().open();
    const wish = { ...crew("p0"), adopt: true };
    const keep = { ...crew("p0", "p1"), adopt: true };
    const asOther = await optionsFor(world, wish, state, { as });
    if (how === "without a memory") await run(world, keep, state);
    const { state: _state, ...forgetful } = asOther;
    const plan = await createPlan(how === "without a memory" ? forgetful : asOther);
    if (how !== "without a memory") await run(world, keep, state);
    expect(plan.summary.remove).toBe(1);
    expect(errorsIn(await applyPlan(plan, asOther))).toContainEqual(
      expect.stringMatching(/^docs was last read as .* as owner.*, of which the plan for .* as admin.* does not know/),
    );
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
    // Planned with it in mind, and acknowledged, it goes.
    const knowing = await createPlan({ ...asOther, allow: [{ guard: "changed-scope" }] });
    expect((await applyPlan(knowing, asOther)).status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
  });

  it("makes no group again that it was making when its process ended", async () => {
    const world = await startWith("docspace", [{ name: "Deck", members: ["p0"] }]);
    const state = await createStore().open();
    const wish: SpecWish = { groups: [...crew("p0").groups, { name: "Deck", members: ["p0", "p1"] }] };
    const options = await optionsFor(world, wish, state, {});
    const plan = await createPlan(options);
    const changes = plan.providers.flatMap((part) => part.changes).filter(({ group }) => group === "Crew");
    await state.beginRun({ runId: "run-dead", planId: plan.planId, startedAt: plan.createdAt }, plan);
    await state.recordIntent("run-dead", { provider: "docs", sequence: 1, kind: "group.create", changes });
    const report = await applyPlan(plan, options);
    expect(errorsIn(report)).toEqual([
      "A run that broke off was writing to the group since the plan was made; plan anew.",
      "A run that broke off was writing to the group since the plan was made; plan anew.",
    ]);
    expect(controlOf(world, "docs").groups()).toHaveLength(1);
    expect(trueMembers(world, "docs", "Deck")).toEqual(["p0", "p1"]);
  });
});

it("a group is not taken for one that is pinned for another, which was left out this time", async () => {
  const world = await startWith("docspace", [{ name: "Crew", members: ["p0", "p6", "p7"] }]);
  const state = await createStore().open();
  const { spec, ...options } = await optionsFor(world, { ...crew("p0"), adopt: true }, state, {});
  const [target] = spec.targets;
  if (!target) throw new Error("no target");
  const everybody = ["p0", "p6", "p7"].map((person) => ({ person, role: "member" as const }));
  const pinned = { ...target, group: "b", name: "Ops", groupId: groupIdOf(world, "docs"), members: everybody };
  const both = { ...spec, targets: [{ ...target, group: "a" }, pinned] };
  for (const only of [undefined, { groups: ["a"] }]) {
    const report = await reconcile({ ...options, spec: both, ...(only && { only }) });
    expect(report.providers[0]?.problems[0]?.message).toMatch(/^the groups a and b of the spec both mean "Crew"/);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p6", "p7"]);
  }
});

it("a group that was deleted from here is forgotten: its id may be given to another", async () => {
  const state = await createStore().open();
  const first = await startWith("neuroio");
  const made = await run(first, crew("p1"), state);
  const scope = await scopeOf(state, made, "faces");
  expect([await state.managedGroups(scope), await state.ownedMemberships(scope)].map(({ length }) => length)).toEqual([
    1, 1,
  ]);
  await takeBack(first, crew("p1"), state, made.runId, { allow: ["group-delete"] });
  expect(first.sandbox.services.neuroio.control.groups()).toEqual([]);
  expect([await state.managedGroups(scope), await state.ownedMemberships(scope)]).toEqual([[], []]);
});

describe("an invitation", () => {
  const invitedIn = (world: World) => controlOf(world, "lab").groups()[0]?.invited.toSorted() ?? [];
  const mail = (person: string) => `${person}@example.org`;

  async function scene() {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const store = createStore();
    const state = await store.open();
    const first = await run(world, crew("p1", "p2"), state);
    expect(first.summary.pending).toBe(2);
    return { world, store, state, scope: await scopeOf(state, first, "lab") };
  }

  it("that was declined is not sent again until that is acknowledged, and then once", async () => {
    const { world, store, state: opened, scope } = await scene();
    let state = opened;
    const control = controlOf(world, "lab");
    expect(control.answerInvitations("reject", { account: mail("p1") })).toBe(1);
    const before = writes(world);
    // Seen for the first time, and known from then on.
    for (const when of ["first", "known"]) {
      const report = await run(world, crew("p1", "p2"), state);
      expect({ when, held: heldOf(report, world) }).toEqual({ when, held: ["declined-invitation: p1"] });
      expect(notesOf(report)).not.toContain("taken out there");
      state = await store.again(state);
    }
    expect(writes(world)).toBe(before);
    expect(await state.invitations(scope)).toMatchObject([
      { account: mail("p1"), state: "gone" },
      { account: mail("p2"), state: "pending" },
    ]);

    const again = await run(world, crew("p1", "p2"), state, { allow: ["declined-invitation"] });
    expect(again.summary).toMatchObject({ pending: 1, held: 0 });
    expect(invitedIn(world)).toEqual([mail("p1"), mail("p2")]);
    const asked = writes(world);
    expect((await run(world, crew("p1", "p2"), state)).status).toBe("converged");
    expect(writes(world)).toBe(asked);
  });

  it("that went out though its call was refused is not sent again when it was declined", async () => {
    const world = await startWorld({
      services: ["brainstem"],
      seed: { people, groups: [{ name: "Crew", owners: ["p0"] }] },
      switches: { brainstem: { unknownEmail: "400", badEntry: "applyOthers" } },
    });
    onTestFinished(() => world.close());
    const state = await createStore().open();
    const edit = { action: "set-status", person: "p2", status: "deleted" } as const;
    world.sandbox.addFault({ kind: "edit", service: "brainstem", when: "write", at: "before", times: 1, edit });
    const first = await run(world, crew("p1", "p2"), state);
    expect(first.summary).toMatchObject({ pending: 1, failed: 1 });
    controlOf(world, "lab").answerInvitations("reject", { account: mail("p1") });
    const asked = writes(world);
    const report = await run(world, crew("p1", "p2"), state);
    expect(heldOf(report, world)).toEqual(["declined-invitation: p1"]);
    expect(writes(world)).toBe(asked);
  });

  it("that nobody could read back is not sent again when it was declined, and is when it never arrived", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const first = await run(world, crew("p1", "p2"), state, { onEvent: blindedBy(world, "brainstem") });
    expect(first.summary).toMatchObject({ unknown: 2 });
    world.sandbox.clearFaults();
    controlOf(world, "lab").answerInvitations("reject", { account: mail("p1") });
    const report = await run(world, crew("p1", "p2"), state);
    expect(heldOf(report, world)).toEqual(["declined-invitation: p1"]);

    world.sandbox.addFault({ kind: "reset-before", service: "brainstem", when: "write", times: 0 });
    const lost = await run(world, crew("p1", "p2", "p3"), state, { onEvent: blindedBy(world, "brainstem", false) });
    expect(lost.summary).toMatchObject({ unknown: 1 });
    world.sandbox.clearFaults();
    const again = await run(world, crew("p1", "p2", "p3"), state);
    expect([heldOf(again, world), again.summary.pending]).toEqual([["declined-invitation: p1"], 1]);
  });

  it("that was declined before anybody could see it is not sent again", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const onEvent = (event: SyncEvent) => {
      if (event.type === "batch") controlOf(world, "lab").answerInvitations("reject");
    };
    expect((await run(world, crew("p1"), state, { onEvent })).summary.skipped).toBe(1);
    expect(heldOf(await run(world, crew("p1"), state), world)).toEqual(["declined-invitation: p1"]);
  });

  it("that a role has become, as its holder had just left, is remembered as one", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"], members: ["p1"] }]);
    const state = await createStore().open();
    const wish: SpecWish = { groups: [{ name: "Crew", managers: ["p1"] }] };
    world.sandbox.addFault({
      kind: "edit",
      service: "brainstem",
      when: "write",
      at: "before",
      times: 1,
      edit: { action: "remove-member", group: "Crew", person: "p1" },
    });
    expect((await run(world, wish, state)).summary.pending).toBe(1);
    controlOf(world, "lab").answerInvitations("reject");
    expect(heldOf(await run(world, wish, state), world)).toEqual(["declined-invitation: p1"]);
  });

  it("is not sent by somebody else's token until that is acknowledged: it may have been declined", async () => {
    const { world, state } = await scene();
    controlOf(world, "lab").answerInvitations("reject", { account: mail("p1") });
    const as = { lab: { token: "sandbox-brainstem-owner", account: "owner@sandbox.example" } };
    controlOf(world, "lab").addMember(groupIdOf(world, "lab"), "owner@sandbox.example", "owner");
    const report = await run(world, crew("p1", "p2"), state, { as });
    expect(heldOf(report, world)).toEqual(["changed-scope: p1"]);
  });

  it("that was accepted is forgotten", async () => {
    const { world, state, scope } = await scene();
    controlOf(world, "lab").answerInvitations("accept", { account: mail("p1") });
    await run(world, crew("p1", "p2"), state);
    expect((await state.invitations(scope)).map(({ account }) => account)).toEqual([mail("p2")]);
    // Who was in and was taken out has not declined anything.
    controlOf(world, "lab").removeMember(groupIdOf(world, "lab"), mail("p1"));
    const report = await run(world, crew("p1", "p2"), state);
    expect(heldOf(report, world)).toEqual([]);
    expect(report.summary.pending).toBe(1);
  });

  it("that we have withdrawn ourselves is nothing that somebody declined", async () => {
    const { world, state, scope } = await scene();
    await run(world, { ...crew("p1"), adopt: true }, state);
    expect(invitedIn(world)).toEqual([mail("p1")]);
    expect((await state.invitations(scope)).map(({ account }) => account)).toEqual([mail("p1")]);
    expect((await run(world, crew("p1", "p2"), state)).summary).toMatchObject({ pending: 1, held: 0 });
    expect(invitedIn(world)).toEqual([mail("p1"), mail("p2")]);
  });

  it("is not taken for declined on the word of a reading that is not whole", async () => {
    const { world, state, scope } = await scene();
    controlOf(world, "lab").answerInvitations("reject", { account: mail("p1") });
    world.sandbox.addFault({ kind: "server-error", service: "brainstem", when: "read", times: 0 });
    await run(world, crew("p1", "p2"), state);
    world.sandbox.clearFaults();
    expect((await state.invitations(scope)).map((each) => each.state)).toEqual(["pending", "pending"]);
  });

  it("that a plan sees declined is held in it, though a plan writes nothing down", async () => {
    const { world, state, scope } = await scene();
    controlOf(world, "lab").answerInvitations("reject", { account: mail("p1") });
    const plan = await createPlan(await optionsFor(world, crew("p1", "p2"), state, {}));
    expect(heldIn(plan).map(({ guard, person }) => [guard, person])).toEqual([["declined-invitation", "p1"]]);
    expect((await state.invitations(scope)).map((each) => each.state)).toEqual(["pending", "pending"]);
  });
});

it("says who was added from here and has been taken out there since", async () => {
  const world = await startWith("docspace", [{ name: "Crew", members: ["p0"] }]);
  const state = await createStore().open();
  expect(notesOf(await run(world, crew("p0", "p1", "p2", "p3"), state))).toBe("");
  const takeOut = (person: string) =>
    controlOf(world, "docs").removeMember(groupIdOf(world, "docs"), accountOf(world, "docs", person));
  takeOut("p0");
  expect(notesOf(await run(world, crew("p0", "p1", "p2", "p3"), state))).toBe("");
  takeOut("p1");
  const report = await run(world, crew("p0", "p1", "p2", "p3"), state);
  expect(notesOf(report)).toContain("Crew: p1 had been added from here and was taken out there since; if something");
  expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1", "p2", "p3"]);
  takeOut("p1");
  takeOut("p2");
  expect(notesOf(await run(world, crew("p0", "p1", "p2", "p3"), state))).toContain(
    "Crew: 2 people had been added from here and were taken out there since",
  );
});

it("records the approvals that a plan is applied with, and no others", async () => {
  const world = await startWith("docspace", [{ name: "Crew", members: ["p0", "p1", "p2"] }]);
  const store = createStore();
  const state = await store.open();
  const wish = { ...crew("p0"), adopt: true, guards: { maxRemovals: { count: 1, percent: 100 } } };
  const options = await optionsFor(world, wish, state, {});
  const plan = await createPlan(options);
  const approved = approvePlan(plan, { group: "Crew", approvedBy: "ada@example.org", now: new Date() });
  const [valid] = approved.approvals ?? [];
  if (!valid) throw new Error("not approved");
  const { ownChecksum: _ownChecksum, ...rest } = valid;
  const past = { ...rest, group: "Past", expiresAt: "2026-01-01T00:00:00.000Z" };
  const expired = { ...past, ownChecksum: digestOf(past) };
  const report = await applyPlan({ ...approved, approvals: [valid, expired] }, options);
  expect(report.status).toBe("converged");
  const { provider: _provider, ...recorded } = rest;
  expect(await (await store.again(state)).approvals(plan.planId)).toEqual([{ planId: plan.planId, ...recorded }]);
});

it("keeps runs newest first, each with its plan, journal and report, by the beginning of its id", async () => {
  const world = await startWith("genesys", [{ name: "Crew", members: ["p0"] }]);
  const store = createStore();
  let state = await store.open();
  const reports: Report[] = [];
  for (const [index, members] of [
    ["p0", "p1"],
    ["p0", "p1", "p2"],
    ["p0", "p1", "p2"],
  ].entries()) {
    const now = () => new Date(Date.UTC(2026, 5, 15, 10 + index));
    reports.push(await run(world, crew(...members), state, { now }));
  }
  // Who only looks is no part of history.
  await createPlan(await optionsFor(world, crew("p5"), state, {}));
  await run(world, crew("p5"), state, { dryRun: true });
  await run(world, crew("p5"), state, { confirm: () => false });
  state = await store.again(state);
  expect((await state.runs()).map(({ runId }) => runId)).toEqual(reports.map(({ runId }) => runId).toReversed());
  expect((await state.runs(1))[0]).toMatchObject({ runId: reports[2]?.runId, status: "converged" });
  const [first] = reports;
  const past = await state.run(first?.runId.slice(0, 12) ?? "");
  expect(past?.report).toEqual(first);
  expect(past?.plan.planId).toBe(first?.planId);
  expect(past?.journal).toMatchObject([
    { provider: "calls", sequence: 1, kind: "members", outcome: "answered", changes: [{ person: "p1" }] },
  ]);
  expect((await state.run(reports[2]?.runId ?? ""))?.journal).toEqual([]);
  await expect(state.run("run-")).rejects.toThrow(/Several runs begin with/);
});

describe("a run that died", () => {
  /** The state as it is left behind: what had been written down before each call, and after some. */
  async function die(
    state: State,
    plan: Plan,
    journal: readonly (Pick<JournalEntry, "changes" | "outcome"> & { readonly kind?: string })[],
    runId = "run-dead",
  ): Promise<void> {
    await state.beginRun({ runId, planId: plan.planId, startedAt: plan.createdAt }, plan);
    for (const [index, { kind = "members", changes, outcome }] of journal.entries()) {
      const provider = plan.providers[0]?.id ?? "";
      await state.recordIntent(runId, { provider, sequence: index + 1, kind, changes });
      if (outcome) await state.recordOutcome(runId, provider, index + 1, outcome);
    }
  }

  async function planOf(
    world: World,
    wish: SpecWish,
    state: State,
  ): Promise<{ plan: Plan; changes: readonly Change[] }> {
    const plan = await createPlan(await optionsFor(world, wish, state, {}));
    return { plan, changes: plan.providers.flatMap(({ changes }) => changes) };
  }

  const statusesOf = async (state: State, runId = "run-dead") =>
    (await state.run(runId))?.report?.providers.flatMap(({ outcomes }) =>
      outcomes.map(({ person, type, status }) => `${person ?? type}: ${status}`),
    );

  it("is concluded by the next one: what was made, what was not, and why", async () => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0", "p9"] }]);
    const state = await createStore().open();
    const wish = { ...crew("p0", "p1", "p2", "p3", "p4"), adopt: true };
    const { plan, changes } = await planOf(world, wish, state);
    const of = (...who: readonly string[]) => changes.filter(({ person = "p9" }) => who.includes(person));
    await die(state, plan, [
      { changes: of("p1"), outcome: "answered" },
      { changes: of("p2"), outcome: "refused" },
      { changes: of("p3") },
      { changes: of("p9") },
    ]);
    const control = controlOf(world, "docs");
    const id = groupIdOf(world, "docs");
    control.addMember(id, accountOf(world, "docs", "p1"));
    control.removeMember(id, accountOf(world, "docs", "p9"));

    const report = await run(world, wish, state);
    expect(report.status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1", "p2", "p3", "p4"]);
    expect(notesOf(report)).toBe(
      `run-dead of ${plan.createdAt} did not come to its end: 2 of its changes were made, 3 were not`,
    );
    expect(await statusesOf(state)).toEqual([
      "p1: applied",
      "p2: failed",
      "p3: skipped",
      "p4: skipped",
      "member.remove: applied",
    ]);
    const dead = (await state.run("run-dead"))?.report;
    expect(dead).toMatchObject({ status: "partial", planId: plan.planId, startedAt: plan.createdAt });
    expect(dead?.stopped).toMatch(/^The process ended before the run did; [^.]*\.$/);
    expect(dead?.providers[0]?.calls.write).toBe(4);
    expect(dead?.providers[0]?.outcomes.map(({ error }) => error?.message)).toEqual([
      undefined,
      "The service refused this, and the process ended before it was looked into.",
      "The process ended while this was sent, and a reading does not show it.",
      "The process ended before this was sent.",
      undefined,
    ]);
    // Once is enough.
    expect(notesOf(await run(world, wish, state))).toBe("");
  });

  it("can be taken back once it is concluded, and not before", async () => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0"] }]);
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p0", "p1"), state);
    await die(state, plan, [{ changes }]);
    controlOf(world, "docs").addMember(groupIdOf(world, "docs"), accountOf(world, "docs", "p1"));
    await expect(takeBack(world, crew("p0"), state, "run-dead")).rejects.toThrow(/has not come to its end/);
    await run(world, crew("p0", "p1"), state);
    expect((await takeBack(world, crew("p0"), state, "run-dead")).status).toBe("converged");
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0"]);
  });

  it("made groups and added people that are ours in the very next run", async () => {
    const world = await startWith("docspace", [{ name: "Deck", members: ["p0"] }]);
    const state = await createStore().open();
    const wish = (deck: readonly string[], made: readonly string[]): SpecWish => ({
      groups: [
        { name: "Crew", members: made },
        { name: "Deck", members: deck },
      ],
    });
    const { plan, changes } = await planOf(world, wish(["p0", "p1"], ["p2", "p3"]), state);
    await die(state, plan, [
      { kind: "group.create", changes: changes.filter(({ group }) => group === "Crew") },
      { changes: changes.filter(({ group }) => group === "Deck"), outcome: "answered" },
    ]);
    const control = controlOf(world, "docs");
    control.addGroup({ name: "Crew", members: ["p2", "p3"] });
    control.addMember(groupIdOf(world, "docs", "Deck"), accountOf(world, "docs", "p1"));

    const report = await run(world, { ...wish(["p4"], ["p2"]), mode: "owned" }, state);
    expect(heldOf(report, world)).toEqual(["adoption: p1"]);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p2"]);
    const adopted = await run(world, { ...wish(["p4"], ["p2"]), mode: "owned", adopt: true }, state);
    expect(adopted.status).toBe("converged");
    // p0 was there before.
    expect(trueMembers(world, "docs", "Deck")).toEqual(["p0", "p4"]);
  });

  it("added somebody who did not get the role any more: they are ours, as what they are", async () => {
    const world = await startWith("genesys", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const wish = (...owners: readonly string[]): SpecWish => ({ groups: [{ name: "Crew", owners, members: [] }] });
    const { plan, changes } = await planOf(world, wish("p0", "p1"), state);
    await die(state, plan, [{ changes }]);
    controlOf(world, "calls").addMember(groupIdOf(world, "calls"), accountOf(world, "calls", "p1"));
    const { runId } = await run(world, wish("p0", "p1"), state);
    expect((await state.run("run-dead"))?.report?.providers[0]?.outcomes).toMatchObject([
      { type: "member.add", person: "p1", role: "member", status: "applied" },
    ]);
    // Both taken back, they are out again.
    await takeBack(world, wish("p0"), state, runId, { allow: ["role-loss"] });
    await takeBack(world, wish("p0"), state, "run-dead");
    expect(trueMembers(world, "calls", "Crew")).toEqual(["p0"]);
  });

  it("was refused, and somebody else did it since: that is theirs", async () => {
    const world = await startWith("docspace", [{ name: "Deck", members: ["p0"] }]);
    const state = await createStore().open();
    const wish: SpecWish = {
      groups: [
        { name: "Crew", members: ["p0"] },
        { name: "Deck", members: ["p0", "p1"] },
      ],
    };
    const { plan, changes } = await planOf(world, wish, state);
    const of = (name: string) => changes.filter(({ group }) => group === name);
    await die(state, plan, [
      { kind: "group.create", changes: of("Crew"), outcome: "refused" },
      { changes: of("Deck"), outcome: "refused" },
    ]);
    const control = controlOf(world, "docs");
    control.addGroup({ name: "Crew", members: ["p0", "p5"] });
    control.addMember(groupIdOf(world, "docs", "Deck"), accountOf(world, "docs", "p1"));
    expect(heldOf(await run(world, wish, state), world)).toEqual(["adoption: p5"]);
    expect(new Set(await statusesOf(state))).toEqual(new Set(["group.create: already", "p0: already", "p1: already"]));
    const owned = { ...wish, groups: [{ name: "Deck", members: ["p0"] }], mode: "owned", adopt: true };
    expect((await run(world, owned, state)).summary.applied).toBe(0);
    expect(trueMembers(world, "docs", "Deck")).toEqual(["p0", "p1"]);
  });

  it("was making a group of which nobody knows whether it is the one with strangers in it: that one is not ours", async () => {
    const world = await startWith("docspace");
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p0"), state);
    await die(state, plan, [{ kind: "group.create", changes }]);
    controlOf(world, "docs").addGroup({ name: "Crew", members: ["p0", "p5"] });
    expect(heldOf(await run(world, crew("p0"), state), world)).toEqual(["adoption: p5"]);
  });

  it("was at work on a group that has made room for another of its name: nothing is told of that one", async () => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0"] }]);
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p0", "p1"), state);
    await die(state, plan, [{ changes }]);
    const control = controlOf(world, "docs");
    control.renameGroup(groupIdOf(world, "docs"), "Old");
    control.addGroup({ name: "Crew", members: ["p0", "p1"] });
    await run(world, crew("p0", "p1"), state);
    expect(await statusesOf(state)).toEqual(["p1: unknown"]);
  });

  it("invited somebody, and a run of fewer providers saw it: a refusal is noticed all the same", async () => {
    const world = await startWorld({
      services: ["brainstem", "docspace"],
      seed: { people, groups: [{ name: "Crew", owners: ["p0"], members: ["p2"] }] },
    });
    onTestFinished(() => world.close());
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p0", "p1"), state);
    await state.beginRun({ runId: "run-dead", planId: plan.planId, startedAt: plan.createdAt }, plan);
    const invited = changes.filter(({ account }) => account === "p1@example.org");
    await state.recordIntent("run-dead", { provider: "lab", sequence: 1, kind: "members", changes: invited });
    await state.recordOutcome("run-dead", "lab", 1, "answered");
    const lab = controlOf(world, "lab");
    const [batch] = [{ id: groupIdOf(world, "lab"), name: "Crew" }];
    const [provider] = createProviders((await optionsFor(world, crew("p0"), state, {})).spec).filter(
      ({ id }) => id === "lab",
    );
    await provider?.applyBatch(
      {
        kind: "members",
        groups: [batch],
        add: [{ account: "p1@example.org", role: "member" }],
        update: [],
        remove: [],
      },
      createCallContext(),
    );
    await run(world, crew("p0", "p1"), state, { only: { providers: ["lab"] } });
    lab.answerInvitations("reject");
    const report = await run(world, crew("p0", "p1"), state, { only: { providers: ["lab"] } });
    expect(heldOf(report, world)).toContain("declined-invitation: p1");
  });

  it("invited somebody who has declined since: nobody is asked twice for that", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p1", "p2"), state);
    await die(state, plan, [
      { changes: changes.filter(({ person }) => person === "p1"), outcome: "answered" },
      { changes: changes.filter(({ person }) => person === "p2") },
    ]);
    const report = await run(world, crew("p1", "p2"), state);
    expect(heldOf(report, world)).toEqual(["declined-invitation: p1"]);
    // Of this one nobody knows whether it was ever sent.
    expect(report.summary.pending).toBe(1);
  });

  it("is not judged by what somebody else sees", async () => {
    const world = await startWorld({
      services: ["docspace", "genesys"],
      seed: { people, groups: [{ name: "Crew", members: ["p0"] }] },
    });
    onTestFinished(() => world.close());
    const { otherCredentials } = world.sandbox.services.docspace;
    const as = { docs: { apiKey: otherCredentials["admin"]?.["apiKey"] ?? "" } };
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p0", "p1"), state);
    await die(state, plan, [{ changes: changes.slice(0, 1) }]);
    await run(world, crew("p0", "p1"), state, { as });
    expect((await state.run("run-dead"))?.report).toBeUndefined();
    await run(world, crew("p0", "p1"), state);
    expect((await state.run("run-dead"))?.report?.providers).toHaveLength(2);
  });

  it("invited somebody who has declined since: a plan sees it, though it writes nothing down", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p1", "p2"), state);
    await die(state, plan, [{ changes: changes.filter(({ person }) => person === "p1"), outcome: "answered" }]);
    const next = (await planOf(world, crew("p1", "p2"), state)).plan;
    expect(heldIn(next).map(({ guard, person }) => [guard, person])).toEqual([["declined-invitation", "p1"]]);
    expect(next.summary.add).toBe(1);
  });

  it("waits for a run that reads its groups, and then for none that never will", async () => {
    const world = await startWith("docspace", [
      { name: "Crew", members: ["p0"] },
      { name: "Deck", members: ["p0"] },
    ]);
    const state = await createStore().open();
    const both = (...members: readonly string[]): SpecWish => ({
      groups: [...crew("p0", "p1").groups, { name: "Deck", members }],
    });
    const { plan, changes } = await planOf(world, both("p0", "p1"), state);
    await die(state, plan, [{ changes: changes.filter(({ group }) => group === "Deck") }]);
    await run(world, both("p0", "p1"), state, { only: { groups: ["Crew"] } });
    expect((await state.run("run-dead"))?.report).toBeUndefined();

    const report = await run(world, crew("p0", "p1"), state);
    expect(notesOf(report)).toContain("0 of its changes were made, 1 were not, of 1 nobody knows");
    expect(await statusesOf(state)).toEqual(["p1: skipped", "p1: unknown"]);
  });

  it("sent what shows only after a while: it is not sent twice", async () => {
    const world = await startWith("docspace", [{ name: "Deck", members: ["p0"] }]);
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p0", "p1"), state);
    await die(state, plan, [{ kind: "group.create", changes }]);
    const control = controlOf(world, "docs");
    const begun = performance.now();
    setTimeout(() => control.addGroup({ name: "Crew", members: ["p0"] }), 400);
    const report = await run(world, crew("p0", "p1"), state, { verifyMs: 20_000 });
    // No longer than it takes to show.
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(report.status).toBe("converged");
    expect(control.groups().map(({ name }) => name)).toEqual(["Deck", "Crew"]);
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
    expect(await statusesOf(state)).toEqual(["group.create: applied", "p0: applied", "p1: skipped"]);
  });

  it("may have sent what never shows: it is waited for once, and then sent", async () => {
    const world = await startWith("brainstem", [{ name: "Crew", owners: ["p0"] }]);
    const state = await createStore().open();
    const { plan, changes } = await planOf(world, crew("p1"), state);
    await die(state, plan, [{ changes }]);
    const reads = () => world.sandbox.log.filter(({ write }) => !write).length;
    const before = reads();
    expect((await run(world, crew("p1"), state, { verifyMs: 700 })).summary.pending).toBe(1);
    const waiting = reads() - before;
    await run(world, crew("p1"), state, { verifyMs: 700 });
    expect(reads() - before - waiting).toBeLessThan(waiting);
    expect(controlOf(world, "lab").groups()[0]?.invited).toEqual(["p1@example.org"]);
  });

  it("was another account's: nothing is said of it here", async () => {
    const [first, second] = [await startWith("docspace"), await startWith("docspace")];
    const state = await createStore().open();
    const { plan, changes } = await planOf(first, crew("p0"), state);
    await die(state, plan, [{ kind: "group.create", changes }]);
    expect(notesOf(await run(second, crew("p0"), state))).toBe("");
    expect((await state.run("run-dead"))?.report).toBeUndefined();
  });

  it("was an undo, and is remembered as one", async () => {
    const world = await startWith("docspace", [{ name: "Crew", members: ["p0", "p1"] }]);
    const state = await createStore().open();
    const { runId } = await run(world, { ...crew("p0"), adopt: true }, state);
    const { plan } = await planOf(world, crew("p0", "p1"), state);
    await die(state, { ...plan, undoes: runId }, [{ changes: plan.providers[0]?.changes ?? [], outcome: "answered" }]);
    controlOf(world, "docs").addMember(groupIdOf(world, "docs"), accountOf(world, "docs", "p1"));
    await run(world, { ...crew("p0"), mode: "owned", adopt: true }, state);
    expect((await state.run("run-dead"))?.report).toMatchObject({ undoes: runId, status: "converged" });
    expect(trueMembers(world, "docs", "Crew")).toEqual(["p0", "p1"]);
  });
});

describe("a state that cannot be written any more", () => {
  const wish: SpecWish = {
    mode: "additive",
    groups: ["Alpha", "Beta", "Gamma", "Delta"].map((name) => ({ name, members: ["p1", "p2"] })),
  };
  const seed = wish.groups.map(({ name }) => ({ name, members: ["p0"] }));

  it.each(["recordIntent", "recordOutcome"] as const)("in %s stops the run, and nothing is lost", async (method) => {
    const world = await startWith("genesys", seed);
    const store = createStore();
    const state = await store.open();
    let calls = 0;
    const mayFail = (name: typeof method) => {
      if (name === method && ++calls === 2) throw new Error("the disk is full");
    };
    const failing: State = {
      ...state,
      recordIntent: async (...given) => {
        mayFail("recordIntent");
        return state.recordIntent(...given);
      },
      recordOutcome: async (...given) => {
        mayFail("recordOutcome");
        return state.recordOutcome(...given);
      },
    };
    const report = await run(world, wish, failing);
    expect(report.status).toBe("partial");
    expect(report.stopped).toContain("the disk is full");
    expect(report.stateError).toBeUndefined();
    const made = report.providers.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status === "applied"));
    const names = wish.groups.map(({ name }) => name);
    const truth = names.flatMap((name) =>
      (trueMembers(world, "calls", name) ?? [])
        .filter((person) => person !== "p0")
        .map((person) => `${name} ${person}`),
    );
    expect(made.map(({ group, person }) => `${group} ${person}`).toSorted()).toEqual(truth.toSorted());
    expect(truth.length).toBeGreaterThan(0);
    const sent = world.sandbox.log.filter(({ write, path }) => write && path.endsWith("/members"));
    const journal = (await state.run(report.runId))?.journal ?? [];
    // Whatever was sent had been written down before.
    expect(sent.length).toBe(journal.length);
    expect(sent.length).toBeLessThan(names.length);
    for (const { status, error } of report.providers[0]?.outcomes ?? []) {
      if (status !== "applied") expect({ status, message: error?.message }).toMatchObject({ status: "skipped" });
    }
    expect((await run(world, wish, await store.again(state))).status).toBe("converged");
  });

  it("at all stops the run, the report says so, and the next one finds out what it did", async () => {
    const world = await startWith("genesys", seed);
    const store = createStore();
    const state = await store.open();
    let isBroken = false;
    let intents = 0;
    const broken = async (): Promise<never> => {
      throw new Error("the disk is gone");
    };
    const failing = new Proxy(state, {
      get: (target, name: keyof State) => {
        if (isBroken) return broken;
        if (name !== "recordIntent") return target[name].bind(target);
        return async (...given: Parameters<State["recordIntent"]>) => {
          if (++intents === 2) isBroken = true;
          return isBroken ? broken() : target.recordIntent(...given);
        };
      },
    });
    const report = await reconcile(await optionsFor(world, wish, failing, {})).catch((error: unknown) => error);
    // Not even the lease can be given back; what was done is told all the same.
    expect(report).toMatchObject({
      kind: "report",
      stateError: { message: expect.stringContaining("the disk is gone") as string },
    });
    const told = (report as Report).providers.flatMap(({ outcomes }) => outcomes);
    expect(told.filter(({ status }) => status === "applied").length).toBeGreaterThan(0);

    // The lease of a process that lives is not taken over: as if it had died, it is given up here.
    await releaseAll(state, report as Report);
    const next = await run(world, wish, await store.again(state));
    expect(next.status).toBe("converged");
    expect(notesOf(next)).toContain(`${(report as Report).runId} of`);
  });

  async function releaseAll(state: State, { runId }: Report): Promise<void> {
    const names = (await state.run(runId))?.plan.providers.map(({ identity }) => identity) ?? [];
    const busy = await state.acquireLeases(names, "test", 1);
    if ("busy" in busy) await state.releaseLeases({ names, holder: busy.holder, fence: busy.fence });
  }

  it("before anything is sent ends the run without a request that writes", async () => {
    const world = await startWith("genesys", seed);
    const state = await createStore().open();
    const failing: State = {
      ...state,
      beginRun: async () => {
        throw new Error("the disk is full");
      },
    };
    await expect(run(world, wish, failing)).rejects.toThrow("the disk is full");
    expect(writes(world)).toBe(0);
    expect(await state.runs()).toEqual([]);
  });

  it("that was closed sends nothing at all", async () => {
    const world = await startWith("genesys", seed);
    const state = await createStore().open();
    await state.close();
    await expect(run(world, wish, state)).rejects.toThrow(/state is closed/);
    expect(writes(world)).toBe(0);
  });
});

it("a store holds no credential, whatever has happened", async () => {
  const world = await startWorld({
    seed: { people, groups: [{ name: "Crew", members: ["p0", "p1", "p2"] }] },
  });
  onTestFinished(() => world.close());
  const store = createStore();
  const state = await store.open();
  const wish = { ...crew("p0", "p3", "p4"), adopt: true };
  const first = await run(world, wish, state);
  await takeBack(world, wish, state, first.runId);
  world.sandbox.addFault({ kind: "server-error", when: "write", times: 3 });
  await run(world, wish, state);
  world.sandbox.clearFaults();
  for (const service of Object.values(world.sandbox.services)) service.control.expireTokens();
  await run(world, crew("p0"), state).catch(() => undefined);
  await state.close();

  const bytes = Buffer.concat(readdirSync(store.folder).map((name) => readFileSync(join(store.folder, name))));
  expect(bytes.includes("p3@example.org")).toBe(true);
  const harmless = new Set(["account", "clientId", "userName", "username", "email", "type", "baseUrl"]);
  const secrets = Object.values(world.sandbox.services).flatMap(({ credentials, otherCredentials }) =>
    [credentials, ...Object.values(otherCredentials)].flatMap((each) =>
      Object.entries(each).flatMap(([name, value]) => (harmless.has(name) || value.length < 8 ? [] : [value])),
    ),
  );
  expect(secrets.length).toBeGreaterThan(8);
  for (const secret of secrets) {
    for (const form of [secret, Buffer.from(secret).toString("base64"), encodeURIComponent(secret)]) {
      expect({ secret, found: bytes.includes(form) }).toEqual({ secret, found: false });
    }
  }
  expect(bytes.includes("Bearer ")).toBe(false);
});
