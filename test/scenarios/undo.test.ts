/**
 * Whatever a run did to the four services, taking it back brings the former state, and taking that back the state after
 * the run: names, descriptions, members, roles, open invitations.
 *
 * Not so, and left out of what is generated or compared: a deleted group comes back under a new id, without the
 * invitations that were open in it; at BrainSTEM our own account owns what it makes, and whoever comes back has to
 * accept an invitation first; at Genesys Cloud an owner who was no member comes back as both.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { type Allowance, createProviders, parseSpec, type Report, reconcile, undo } from "../../src/index.js";
import { GUARDS } from "../../src/model.js";
import { UNLIFTABLE } from "../../src/reconcile/guard.js";
import type { SeedGroup } from "../../src/sandbox/index.js";
import { createMemoryState } from "../../src/state/memory.js";
import { BRAINSTEM_OWN } from "../chaos/scenario.js";
import { providerIds, providerKeys, specObject, startWorld, type World } from "./world.js";

const people = Array.from({ length: 7 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const NAMES = ["Alpha", "Beta", "Gamma"] as const;
const allow = GUARDS.filter((guard) => !UNLIFTABLE.includes(guard)).map((guard): Allowance => ({ guard }));

/** What each person is in a group; p0 owns it, as a group at BrainSTEM keeps an owner. */
const crew = fc
  .array(fc.constantFrom("none", "none", "member", "member", "manager", "owner"), { minLength: 6, maxLength: 6 })
  .map((roles) => {
    const of = (wanted: string) => people.slice(1).flatMap(({ id }, index) => (roles[index] === wanted ? [id] : []));
    return { members: of("member"), managers: of("manager"), owners: ["p0", ...of("owner")] };
  });
const words = fc.constantFrom("", "Those who are called at night", "The first");
const groups = fc.tuple(
  ...NAMES.map((name) =>
    fc.record({
      name: fc.constant(name),
      kind: fc.constantFrom("changed", "changed", "renamed", "new", "gone"),
      was: crew,
      is: crew,
      described: fc.tuple(words, words),
      invited: fc.boolean(),
    }),
  ),
);
type Wish = typeof groups extends fc.Arbitrary<infer T> ? T : never;

function seedOf(wish: Wish): readonly SeedGroup[] {
  return wish.flatMap(({ name, kind, was, described, invited }) => {
    if (kind === "new") return [];
    const inside = [...was.members, ...was.managers, ...was.owners];
    const outsider = people.find(({ id }) => !inside.includes(id));
    const asked = invited && kind !== "gone" && outsider ? [outsider.id] : [];
    return [{ name: kind === "renamed" ? `Old ${name}` : name, description: described[0], ...was, invited: asked }];
  });
}

interface GroupFile extends Record<string, unknown> {
  readonly targets: Record<string, object>;
  description?: string;
}

async function optionsFor(world: World, wish: Wish) {
  const wanted = wish.map(({ name, kind, is }) => ({
    name,
    ...is,
    ...(kind === "renamed" && { previously: [`Old ${name}`] }),
  }));
  const object = specObject(world, { groups: wanted, connection: { timeoutMs: 30_000 } }) as unknown as {
    readonly people: Record<string, object>;
    readonly groups: Record<string, GroupFile>;
  };
  object.people["sync"] = { email: BRAINSTEM_OWN, accounts: { faces: null, docs: null, calls: null } };
  for (const { name, kind, is, described } of wish) {
    const group = object.groups[name] ?? { targets: {} };
    group.description = described[1];
    // Whoever makes a group at BrainSTEM owns it.
    if (kind === "new") group.targets["lab"] = { owners: [...is.owners, "sync"] };
    if (kind === "gone") object.groups[name] = { name, delete: true, targets: group.targets };
  }
  const spec = await parseSpec(JSON.stringify(object), { file: "test.json" });
  return { spec, providers: createProviders(spec), allow, verifyMs: 2_000 };
}

/** Everything that is truly so, but for ids. */
function truth({ sandbox }: World): Readonly<Record<string, object>> {
  return Object.fromEntries(
    providerKeys.flatMap((key) =>
      sandbox.services[providerIds[key]].control
        .groups()
        .map(({ name, description = "", members, invited }): [string, object] => [
          `${key}: ${name}`,
          {
            description,
            members: members
              .filter(({ account }) => account !== BRAINSTEM_OWN)
              .map(({ account, role }) => `${account} ${role}`)
              .toSorted(),
            invited: invited.toSorted(),
          },
        ]),
    ),
  );
}

function withoutInvitations(state: ReturnType<typeof truth>, groups: readonly string[]): ReturnType<typeof truth> {
  return { ...state, ...Object.fromEntries(groups.map((group) => [group, { ...state[group], invited: [] }])) };
}

/** Those who are members in `state` accept what they are asked. */
function accept({ sandbox }: World, state: Readonly<Record<string, object>>): void {
  const { control } = sandbox.services.brainstem;
  for (const { id, name, invited } of control.groups()) {
    const { members = [] } = (state[`lab: ${name}`] ?? {}) as { readonly members?: readonly string[] };
    for (const account of invited) {
      const isIn = members.some((member) => member.startsWith(`${account} `));
      if (isIn) control.answerInvitations("accept", { groupId: id, account });
    }
  }
}

function expectDone({ status, providers }: Report): void {
  const open = providers.flatMap(({ id, outcomes }) =>
    outcomes
      .filter(({ status }) => status !== "applied" && status !== "pending")
      .map(({ type, group, account, status, error, reason }) => ({ id, type, group, account, status, error, reason })),
  );
  expect({ status, open }).toEqual({ status: "converged", open: [] });
}

it("what is taken back is as it was, and what is taken back twice as it was after the run", async () => {
  await fc.assert(
    fc.asyncProperty(groups, fc.boolean(), async (wish, isAccepted) => {
      const world = await startWorld({ seed: { people, groups: seedOf(wish) } });
      try {
        const state = createMemoryState();
        const options = { ...(await optionsFor(world, wish)), state };
        const former = truth(world);
        const first = await reconcile(options);
        expectDone(first);
        if (isAccepted) {
          const known = new Set(seedOf(wish).flatMap(({ invited = [] }) => invited));
          for (const { id } of people) {
            if (!known.has(id))
              world.sandbox.services.brainstem.control.answerInvitations("accept", { account: `${id}@example.org` });
          }
        }
        const after = truth(world);

        const back = await undo({ ...options, runId: first.runId });
        expectDone(back);
        accept(world, former);
        expect(truth(world)).toEqual(former);

        const again = await undo({ ...options, runId: back.runId });
        expectDone(again);
        accept(world, after);
        // What had been made was deleted, and is made anew.
        const fresh = wish.flatMap(({ name, kind }) => (kind === "new" ? [`lab: ${name}`] : []));
        expect(withoutInvitations(truth(world), fresh)).toEqual(withoutInvitations(after, fresh));
      } finally {
        await world.close();
      }
    }),
    { numRuns: 8 },
  );
}, 120_000);
