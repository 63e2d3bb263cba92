/**
 * Scenes for tests of the core, in the manner of rust-lang/team: say what is wanted, freeze it as what is there, change
 * one of the two, and look at the difference.
 *
 * A person `ada` has the account `@ada`. Changes are read as lines: `night-shift + ada as manager`.
 */
import type { Identities, Resolution } from "../../../src/identity.js";
import type {
  Account,
  Change,
  Evidence,
  Group,
  GuardSettings,
  HeldChange,
  Member,
  Person,
  Role,
  Snapshot,
  Target,
} from "../../../src/model.js";
import { GUARDS } from "../../../src/model.js";
import type { Capabilities, Fact } from "../../../src/provider.js";
import { diffTarget, effectiveRole, type TargetDiff } from "../../../src/reconcile/diff.js";
import { guardChanges, parseAllowance, type Recollection } from "../../../src/reconcile/guard.js";
import { matchTargets, type TargetReading } from "../../../src/reconcile/snapshot.js";
import { memoryCapabilities } from "../../../src/testing/memory.js";

export const fact = <T>(value: T): Fact<T> => ({ value, source: "test" });

/** Able to do everything, adds and removals in calls of their own. */
export const everything: Capabilities = { ...memoryCapabilities, mixed: fact(false) };

/** A service without roles above plain membership. */
export const withoutRoles: Capabilities = { ...everything, roles: {} };

/** A service with at most one manager, who is replaced by the next one: DocSpace. */
export const oneManager: Capabilities = {
  ...everything,
  roles: { manager: { max: fact(1), clearable: fact(false), guarded: fact(true) } },
};

export const TODAY = "2026-06-15";

/** Limits that hold nothing. */
export const noLimits: GuardSettings = { maxRemovals: { count: 1_000_000, percent: 100 }, protect: [], minOwners: 0 };

/** The documented defaults. */
export const defaults: GuardSettings = { maxRemovals: { count: 50, percent: 25 }, protect: [], minOwners: 1 };

/** Who should be in a group. A role without a list is not managed. `ada until 2026-01-31` has a last day. */
export interface Wish extends Partial<Omit<Target, "members" | "managed">> {
  readonly members?: readonly string[];
  readonly managers?: readonly string[];
  readonly owners?: readonly string[];
}

/** A wanted group: authoritative, adopted, without limits, unless it is said otherwise. */
export function group(id: string, wish: Wish = {}): Target {
  const { members, managers, owners, ...rest } = wish;
  const lists = { member: members, manager: managers, owner: owners };
  return {
    group: id,
    provider: "lab",
    name: id,
    previously: [],
    mode: "authoritative",
    adopt: true,
    absent: false,
    guards: noLimits,
    managed: { member: members !== undefined, manager: managers !== undefined, owner: owners !== undefined },
    members: Object.entries(lists).flatMap(([role, entries]) =>
      (entries ?? []).map((entry) => {
        const [person = "", until] = entry.split(" until ");
        return { person, role: role as Role, ...(until !== undefined && { until }) };
      }),
    ),
    ...rest,
  };
}

/** A group as it is. Members are written `ada`, `ada:owner`, `ada:owner?` (not direct), `ada!` (disabled), `ada…` (invited). */
export interface Actual {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly kind?: Group["kind"];
  readonly members: readonly (string | Member)[];
  /** Why the reading is not whole. */
  readonly incomplete?: string;
}

export function actual(name: string, members: readonly (string | Member)[], more: Partial<Actual> = {}): Actual {
  return { id: `id-${name}`, name, members, ...more };
}

export function member(text: string | Member): Member {
  if (typeof text !== "string") return text;
  const [, person = "", role = "member", mark] = /^(\w+)(?::(\w+))?([?!…])?$/.exec(text) ?? [];
  return {
    account: `@${person}`,
    role: role as Role,
    direct: mark !== "?",
    state: mark === "!" ? "disabled" : mark === "…" ? "pending" : "active",
    email: `${person}@example.org`,
    ...(mark === "…" && { invitation: `invitation-${person}` }),
  };
}

/** What is wanted, as if it were so. */
export function freeze(targets: readonly Target[], capabilities = everything): readonly Actual[] {
  return targets
    .filter(({ absent }) => !absent)
    .map((target) =>
      actual(
        target.name,
        target.members.map(({ person, role }) => `${person}:${effectiveRole(role, capabilities)}`),
        { ...(target.description !== undefined && { description: target.description }) },
      ),
    );
}

export function evidence(incomplete?: string): Evidence {
  const because = incomplete ?? "the rows equal the declared total";
  return { complete: incomplete === undefined, because, pages: 1, counted: 0, duplicates: 0 };
}

export function snapshotOf({ id, name, description, kind = "plain", members, incomplete }: Actual): Snapshot {
  return {
    group: { id, name, kind, ...(description !== undefined && { description }) },
    members: members.map(member),
    evidence: evidence(incomplete),
  };
}

export function person(id: string, more: Partial<Person> = {}): Person {
  return { id, email: `${id}@example.org`, aliases: [], accounts: {}, ...more };
}

/** Everyone has an account, but for those about whom something else is said. `known`: whose addresses are known. */
export function identitiesOf(
  people: Iterable<string>,
  others: Readonly<Record<string, Resolution>> = {},
  known: readonly Person[] = [],
): Identities {
  const resolutions = new Map<string, Resolution>();
  const personOf = new Map<string, string>();
  for (const id of people) {
    const account = { id: `@${id}`, status: "active", eligible: true } as const;
    const resolution = others[id] ?? { state: "found", account, pinned: false };
    resolutions.set(id, resolution);
    if (resolution.state === "found") personOf.set(resolution.account.id, id);
    const [candidate, second] = resolution.state === "disabled" ? (resolution.candidates ?? []) : [];
    if (candidate && !second) personOf.set(candidate.id, id);
  }
  const addressesOf = new Map(known.map(({ id, email, aliases }) => [id, [...(email ? [email] : []), ...aliases]]));
  return { provider: "lab", resolutions, personOf, addressesOf };
}

export const missing: Resolution = { state: "missing", reason: "no account" };
export const disabled = (id: string): Resolution => ({
  state: "disabled",
  reason: "switched off",
  candidates: [{ id: `@${id}`, status: "disabled", eligible: false }],
});

/** Everything that a comparison needs; most of it has a default. */
export interface Scene {
  readonly wanted: readonly Target[];
  readonly there: readonly Actual[];
  readonly capabilities?: Capabilities;
  readonly resolutions?: Readonly<Record<string, Resolution>>;
  readonly people?: readonly Person[];
  /** As on the command line: `adoption`, `max-removals:night-shift`. */
  readonly allow?: readonly string[];
  readonly removals?: boolean;
  readonly ownAccount?: string;
  readonly recollection?: Partial<Recollection>;
  /** Holders of roles who were looked up. */
  readonly holders?: readonly Account[];
  /** Whether an account of a group was added by this installation; for mode `owned`. */
  readonly isOurs?: (groupId: string, account: string) => boolean;
  /** Why the list of groups is not whole. */
  readonly listing?: string;
  readonly today?: string;
  /** Limits of the provider and of the run. */
  readonly providerGuards?: GuardSettings;
  readonly runGuards?: GuardSettings;
}

export interface Compared {
  readonly diffs: readonly TargetDiff[];
  readonly changes: readonly Change[];
  readonly held: readonly HeldChange[];
  /** Everything that differs, before any guard, as lines. */
  readonly wishes: readonly string[];
  /** The changes that go, as lines. */
  readonly lines: readonly string[];
  /** The changes that are held, as lines with the guard's name before. */
  readonly heldLines: readonly string[];
  readonly notes: readonly string[];
  readonly problems: readonly string[];
}

function readingsOf({ wanted, there, listing, capabilities = everything }: Scene): readonly TargetReading[] {
  const snapshots = there.map(snapshotOf);
  const groups = snapshots.map((snapshot) => snapshot.group);
  return matchTargets(wanted, { groups, evidence: evidence(listing) }, capabilities).map((match) => {
    if (match.state !== "matched") return match;
    const snapshot = snapshots.find((each) => each.group === match.group);
    if (!snapshot) throw new Error("matched a group that is not there");
    return { state: "found", target: match.target, matchedBy: match.matchedBy, snapshot };
  });
}

/** Compares, and asks the guards. */
export function compare(scene: Scene): Compared {
  const { wanted, capabilities = everything, resolutions = {}, today = TODAY, people = [], ownAccount } = scene;
  const identities = identitiesOf(
    new Set(wanted.flatMap(({ members }) => members.map((each) => each.person))),
    resolutions,
    people,
  );
  const readings = readingsOf(scene);
  const diffs = readings.map((reading) => diffTarget(reading, identities, capabilities, today, scene.isOurs));
  const [guarded] = guardChanges(
    [
      {
        provider: "lab",
        capabilities,
        guards: scene.providerGuards ?? noLimits,
        identities,
        ...(ownAccount !== undefined && { ownAccount }),
        holders: new Map((scene.holders ?? []).map((account) => [account.id, account])),
        recollection: { managed: new Map(), declined: () => false, ...scene.recollection },
        targets: diffs,
      },
    ],
    {
      guards: scene.runGuards ?? noLimits,
      people: Object.fromEntries(people.map((each) => [each.id, each])),
      allow: (scene.allow ?? []).map((text) => {
        const allowance = parseAllowance(text, GUARDS);
        if (!allowance) throw new Error(`no such guard: ${text}`);
        return allowance;
      }),
      removals: scene.removals ?? true,
    },
  );
  const { changes = [], held = [] } = guarded ?? {};
  return {
    diffs,
    changes,
    held,
    wishes: diffs.flatMap((diff) => diff.changes.map(line)),
    lines: changes.map(line),
    heldLines: held.map((change) => `${change.guard}: ${line(change)}`),
    notes: diffs.flatMap(({ notes }) => notes),
    problems: readings.flatMap((reading) => (reading.state === "problem" ? [reading.message] : [])),
  };
}

/** A change as a line. */
export function line(change: Change): string {
  const { type, group: id, role, previousRole } = change;
  const who = change.account?.replace("@", "") ?? "";
  const as = role === undefined || role === "member" ? "" : ` as ${role}`;
  switch (type) {
    case "group.create":
      return `${id} create`;
    case "group.update":
      return `${id} update${change.name === undefined ? "" : ` name=${change.name}`}${change.description === undefined ? "" : ` description=${change.description}`}`;
    case "group.delete":
      return `${id} delete`;
    case "member.add":
      return `${id} + ${who}${as}`;
    case "member.update":
      return `${id} ~ ${who} ${previousRole} → ${role}${change.direct === false ? " (add)" : ""}`;
    case "member.remove":
      return `${id} - ${who}${as}${change.direct === false ? " (role alone)" : ""}${change.invitation === undefined ? "" : " (invitation)"}`;
  }
}

/** What a service that does as it is told makes of changes. */
export function applyTo(there: readonly Actual[], changes: readonly Change[]): readonly Actual[] {
  const groups = new Map(there.map((each) => [each.id, { ...each, members: each.members.map(member) }]));
  const idOf = new Map<string, string>();
  for (const change of changes) {
    const id = change.groupId ?? idOf.get(change.group) ?? `id-${change.name ?? change.group}`;
    idOf.set(change.group, id);
    const known = groups.get(id) ?? { id, name: change.name ?? change.group, members: [] };
    const others = known.members.filter(({ account }) => account !== change.account);
    const before = known.members.find(({ account }) => account === change.account);
    const after = {
      account: change.account ?? "",
      role: change.role ?? "member",
      direct: true,
      state: before?.state ?? "active",
    } as const;
    switch (change.type) {
      case "group.create":
      case "group.update":
        groups.set(id, {
          ...known,
          ...(change.name !== undefined && { name: change.name }),
          ...(change.description !== undefined && { description: change.description }),
        });
        break;
      case "group.delete":
        groups.delete(id);
        break;
      case "member.add":
      case "member.update":
        groups.set(id, { ...known, members: [...others, after] });
        break;
      case "member.remove":
        groups.set(id, { ...known, members: others });
    }
  }
  return [...groups.values()];
}
