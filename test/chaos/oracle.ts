/**
 * What may be done, and what has to be, worked out from the wish and the true state alone. Written against the
 * contract and the sheets, not against the core: it shares no code with it, and reads the wish, not the parsed spec.
 */
import type { SeedPerson, TrueGroup, TrueMember } from "../../src/sandbox/index.js";
import {
  BRAINSTEM_OWN,
  type GroupWish,
  type GuardWish,
  type ListItem,
  type ModeName,
  type Role,
  type Scenario,
  type Service,
  type TargetWish,
} from "./scenario.js";

const ROLES = ["member", "manager", "owner"] as const satisfies readonly Role[];

/** The roles that a service has; others are plain membership there. */
const rolesOf: Readonly<Record<Service, readonly Role[]>> = {
  neuroio: ["member"],
  brainstem: ["member", "manager", "owner"],
  docspace: ["member", "manager"],
  genesys: ["member", "owner"],
};

/** The role of which a group keeps so many: owners, or managers where there are none. */
export const lastResort: Readonly<Partial<Record<Service, Role>>> = {
  brainstem: "owner",
  docspace: "manager",
  genesys: "owner",
};

export const rankOf = (role: Role | undefined): number => (role === undefined ? -1 : ROLES.indexOf(role));

/** What a service holds at a moment: groups, and the status of everybody. */
export interface TrueState {
  readonly groups: readonly TrueGroup[];
  readonly statuses: ReadonlyMap<string, NonNullable<SeedPerson["status"]>>;
}

/** How somebody of the spec stands at a service. */
type Standing =
  | { readonly state: "found"; readonly account: string; readonly sure: boolean }
  | { readonly state: "none" }
  /** `candidates`: accounts that may be theirs. */
  | { readonly state: "unresolved"; readonly candidates?: readonly string[] }
  /** The account is known and cannot be added. */
  | { readonly state: "unusable"; readonly account: string };

export interface Limits {
  readonly count: number;
  readonly percent: number;
  readonly protect: readonly string[];
  readonly minOwners: number;
}

/** A group of the spec at one service, with everything inherited. */
export interface Target {
  readonly service: Service;
  readonly group: GroupWish;
  readonly pinnedId?: string;
  readonly names: readonly string[];
  readonly mode: ModeName;
  readonly isOurs: boolean;
  readonly limits: Limits;
  readonly managed: Readonly<Record<Role, boolean>>;
  readonly listed: readonly { readonly person: string; readonly role: Role; readonly isOver: boolean }[];
}

export interface Oracle {
  readonly service: Service;
  readonly targets: readonly Target[];
  readonly ownAccount: string | undefined;
  standing(person: string, state: TrueState, group: TrueGroup | undefined): Standing;
  isProtected(account: string, target: Target, state: TrueState): boolean;
  /** The targets that mean this group, by its id or any of these names. */
  targetsOf(groupId: string, names: readonly string[]): readonly Target[];
  /** Groups that a target means, by the contract: one is right, several are a problem. */
  groupsOf(target: Target, state: TrueState): readonly TrueGroup[];
  /** Accounts that are wanted, by account, with the role that the service has for them. */
  wanted(target: Target, state: TrueState, group: TrueGroup | undefined): ReadonlyMap<string, Role>;
  /** People of the target who are not clear: no removals in that group. */
  unresolved(target: Target, state: TrueState, group: TrueGroup | undefined): readonly string[];
  /** Accounts that are somebody's of the list and cannot be added: kept, if there. */
  kept(target: Target, state: TrueState, group: TrueGroup | undefined): ReadonlySet<string>;
  isForeign(groupId: string): boolean;
  /** Whether a reader sees that the account is in the group at all. */
  isHidden(account: string, state: TrueState): boolean;
  allows(guard: string, target: Target): boolean;
  /** Whether a group may lose what it has: it is adopted, or was made by the tool. */
  isOurs(target: Target, groupId: string): boolean;
  /** Whether the mode lets the tool take this membership. */
  mayTake(target: Target, groupId: string, account: string): boolean;
  /** Whether the tool has to know that it may. */
  mustTake(target: Target, groupId: string, account: string): boolean;
  isStranger(): boolean;
  wasInvited(groupId: string, account: string): boolean;
  hasDeclined(groupId: string, account: string): boolean;
  emailOf(account: string): string | undefined;
  statusOf(account: string, state: TrueState): SeedPerson["status"];
  /** Somebody of the seed who is not deleted. */
  isUser(account: string, state: TrueState): boolean;
}

export interface OracleInput {
  readonly scenario: Scenario;
  readonly service: Service;
  /** By seed person, where there is an account (also a deleted one). */
  readonly accounts: ReadonlyMap<string, string>;
  /** Ids of the seed's groups by name, in order. */
  readonly groupIds: ReadonlyMap<string, readonly string[]>;
  readonly foreignIds: ReadonlySet<string>;
  readonly ownAccount: string | undefined;
  /** Whether the tool remembers that somebody else's credentials read the service before. */
  readonly isStranger: () => boolean;
  /** Whether the tool, which remembers it, has made the group in an earlier run. */
  readonly hasMade: (groupId: string) => boolean;
  /** Whether the tool, which remembers it, has added or invited the account in an earlier run. */
  readonly hasAdded: (groupId: string, account: string) => boolean;
  /** Whether it did so in a run without faults, and nobody meddled with it. */
  readonly hasSurelyAdded: (groupId: string, account: string) => boolean;
  /** Whether the tool, which remembers it, has invited the account in an earlier run. */
  readonly wasInvited: (groupId: string, account: string) => boolean;
  /** Whether the invited has said no since. */
  readonly hasDeclined: (groupId: string, account: string) => boolean;
}

export function createOracle(input: OracleInput): Oracle {
  const { scenario, service, accounts, groupIds, foreignIds, ownAccount } = input;
  const { spec } = scenario;
  const switches = scenario.switches[service] ?? {};
  const seedOf = new Map(scenario.people.map((person) => [person.id, person]));
  const peopleOf = new Map<string, string[]>();
  for (const [person, account] of accounts) peopleOf.set(account, [...(peopleOf.get(account) ?? []), person]);

  const targets = spec.groups.flatMap((group) =>
    group.targets.filter((target) => target.service === service).map((target) => describeTarget(group, target)),
  );

  function describeTarget(group: GroupWish, target: TargetWish): Target {
    const pinnedId = target.pinnedTo === undefined ? undefined : groupIds.get(target.pinnedTo)?.[0];
    const levels = [spec.guards, spec.providerGuards[service], group.guards, target.guards];
    return {
      service,
      group,
      ...(pinnedId !== undefined && { pinnedId }),
      names: [group.name, ...group.previously],
      mode: group.mode ?? spec.mode,
      isOurs: (group.adopt ?? spec.adopt) || pinnedId !== undefined,
      limits: joinLimits(levels),
      managed: {
        member: target.lists.member !== undefined,
        manager: target.lists.manager !== undefined,
        owner: target.lists.owner !== undefined,
      },
      listed: ROLES.flatMap((role) =>
        (target.lists[role] ?? []).map(({ person, until }: ListItem) => ({
          person,
          role: rolesOf[service].includes(role) ? role : "member",
          isOver: until !== undefined && until < "2026",
        })),
      ),
    };
  }

  const statusOf = (account: string, state: TrueState) => {
    const [person] = peopleOf.get(account) ?? [];
    return person === undefined ? "active" : state.statuses.get(person);
  };
  const isAlive = (account: string, state: TrueState) => statusOf(account, state) !== "deleted";
  const emailOf = (account: string) =>
    service === "neuroio" ? undefined : seedOf.get(peopleOf.get(account)?.[0] ?? "")?.email.toLowerCase();

  const addressBooks = new WeakMap<TrueState["statuses"], ReadonlyMap<string, readonly string[]>>();

  /** Alive accounts with this address. */
  function byAddress(address: string, state: TrueState): readonly string[] {
    const known = addressBooks.get(state.statuses);
    if (known) return known.get(address) ?? [];
    const book = new Map<string, string[]>();
    for (const account of peopleOf.keys()) {
      const email = emailOf(account);
      if (email !== undefined && isAlive(account, state)) book.set(email, [...(book.get(email) ?? []), account]);
    }
    addressBooks.set(state.statuses, book);
    return book.get(address) ?? [];
  }

  function standingAlone(person: string, state: TrueState, group: TrueGroup | undefined): Standing {
    const wish = spec.people[person];
    if (!wish) return { state: "unresolved" };
    const pin = pinOf(wish.pins[service]);
    if (pin === "none") return { state: "none" };
    if (pin !== undefined) {
      const account = pin;
      // Where deleted people stay in their groups (NeuroIO, sheet), a pin that is seen in any of them counts as known.
      const seenIn = !group ? [] : service === "neuroio" ? state.groups : [group];
      const isThere = seenIn.some(({ members }) => members.some((member) => member.account === account));
      const known = peopleOf.has(account) && isAlive(account, state);
      if (!known && !isThere) {
        return isReborn(account, state) ? { state: "found", account, sure: false } : { state: "unresolved" };
      }
      return isUsable(account, state) || isThere
        ? { state: "found", account, sure: known }
        : { state: "unusable", account };
    }
    if (service === "neuroio") return { state: "unresolved" };
    const addresses = [...new Set([wish.email, ...wish.aliases].flatMap((each) => each?.toLowerCase() ?? []))];
    for (const address of addresses) {
      const [account, second] = byAddress(address, state);
      if (second) return { state: "unresolved", candidates: byAddress(address, state) };
      if (account === undefined) continue;
      return isUsable(account, state) ? { state: "found", account, sure: true } : { state: "unusable", account };
    }
    const reborn = addresses.find((address) => isReborn(address, state));
    return reborn === undefined ? { state: "unresolved" } : { state: "found", account: reborn, sure: false };
  }

  /** An invitation to the address of somebody who was deleted makes a new, empty account there. */
  function isReborn(address: string, { groups }: TrueState): boolean {
    const isShown = groups.some(
      ({ invited, members }) => invited.includes(address) || members.some(({ account }) => account === address),
    );
    return switches["unknownEmail"] === "invite" && isShown;
  }

  function pinOf(pin: (typeof spec.people)[string]["pins"][Service]): string | undefined {
    if (pin === undefined) return undefined;
    if (pin === "none") return "none";
    if (pin === "bogus") return "(nobody)";
    // Where there is no account, nothing is pinned (see run.ts).
    return accounts.get(pin.own);
  }

  function isUsable(account: string, state: TrueState): boolean {
    const status = statusOf(account, state);
    if (service === "docspace") return status !== "disabled" && status !== "guest" && status !== "deleted";
    if (service === "genesys") return status !== "disabled" && status !== "deleted";
    return status !== "deleted";
  }

  const everybody = [...new Set(targets.flatMap(({ listed }) => listed.map(({ person }) => person)))];

  const claims = new WeakMap<
    TrueState["statuses"],
    Map<TrueGroup | undefined, ReadonlyMap<string, readonly string[]>>
  >();

  /** Who of the wanted has an account, by account. */
  function claimsOf(state: TrueState, group: TrueGroup | undefined): ReadonlyMap<string, readonly string[]> {
    const ofStatuses =
      claims.get(state.statuses) ?? new Map<TrueGroup | undefined, ReadonlyMap<string, readonly string[]>>();
    claims.set(state.statuses, ofStatuses);
    const known = ofStatuses.get(group);
    if (known) return known;
    const found = new Map<string, string[]>();
    for (const person of everybody) {
      const theirs = standingAlone(person, state, group);
      if (theirs.state !== "found" && theirs.state !== "unusable") continue;
      found.set(theirs.account, [...(found.get(theirs.account) ?? []), person]);
    }
    ofStatuses.set(group, found);
    return found;
  }

  function standing(person: string, state: TrueState, group: TrueGroup | undefined): Standing {
    const alone = standingAlone(person, state, group);
    if (alone.state !== "found" && alone.state !== "unusable") return alone;
    // Two people who turn out to be one account: nobody may gain or lose by a mix-up.
    const isShared = (claimsOf(state, group).get(alone.account) ?? []).some((other) => other !== person);
    return isShared ? { state: "unresolved", candidates: [alone.account] } : alone;
  }

  const current = (target: Target) => target.listed.filter(({ isOver }) => !isOver);

  return {
    service,
    targets,
    ownAccount,
    standing,
    isProtected(account, target, state) {
      const matches = (text: string | undefined) =>
        text !== undefined && target.limits.protect.some((pattern) => globMatches(pattern, text));
      if (matches(emailOf(account)) || matches(account)) return true;
      return Object.entries(spec.people).some(([id, wish]) => {
        const addresses = [wish.email, ...wish.aliases].filter((each) => each !== undefined);
        if (![id, ...addresses].some(matches)) return false;
        const theirs = pinOf(wish.pins[service]);
        if (theirs === account) return true;
        const email = emailOf(account);
        if (email !== undefined && addresses.some((address) => address.toLowerCase() === email)) return true;
        const resolved = standing(id, state, undefined);
        return resolved.state === "found" && resolved.account === account;
      });
    },
    targetsOf: (groupId, names) =>
      targets.filter((target) =>
        target.pinnedId === undefined ? target.names.some((name) => names.includes(name)) : target.pinnedId === groupId,
      ),
    groupsOf(target, { groups }) {
      // Built-in groups of a portal are in no list, so no name finds them.
      const listed = groups.filter((group) => !(service === "docspace" && isBuiltIn(group.name, foreignIds, group.id)));
      if (target.pinnedId !== undefined) return listed.filter(({ id }) => id === target.pinnedId);
      for (const name of target.names) {
        const found = listed.filter((group) => group.name === name);
        if (found.length > 0) return found;
      }
      return [];
    },
    wanted(target, state, group) {
      const wanted = new Map<string, Role>();
      for (const { person, role } of current(target)) {
        const theirs = standing(person, state, group);
        if (theirs.state === "found") wanted.set(theirs.account, role);
      }
      return wanted;
    },
    unresolved: (target, state, group) =>
      current(target)
        .filter(({ person }) => standing(person, state, group).state === "unresolved")
        .map(({ person }) => person),
    kept(target, state, group) {
      const kept = current(target).flatMap(({ person }) => {
        const theirs = standing(person, state, group);
        // Who could not be found, or not be used, may still be there under an address of theirs.
        const wish = spec.people[person];
        const addresses = [wish?.email, ...(wish?.aliases ?? [])].flatMap((each) => each?.toLowerCase() ?? []);
        const known = [...peopleOf.keys()].filter((account) => addresses.includes(emailOf(account) ?? ""));
        if (theirs.state === "unresolved") return [...(theirs.candidates ?? []), ...known];
        return theirs.state === "unusable" ? [theirs.account, ...known] : [];
      });
      return new Set(kept);
    },
    isForeign: (groupId) => foreignIds.has(groupId),
    isHidden(account, state) {
      const status = statusOf(account, state);
      return (
        service === "genesys" && switches["listInactive"] === "off" && (status === "disabled" || status === "deleted")
      );
    },
    allows: (guard, { group }) =>
      scenario.run.allow.includes(guard) || scenario.run.allow.includes(`${guard}:${group.id}`),
    isOurs: ({ isOurs }, groupId) => isOurs || input.hasMade(groupId),
    mayTake: ({ mode }, groupId, account) =>
      mode === "authoritative" || (mode === "owned" && input.hasAdded(groupId, account)),
    mustTake: ({ mode }, groupId, account) =>
      mode === "authoritative" || (mode === "owned" && input.hasSurelyAdded(groupId, account)),
    isStranger: input.isStranger,
    wasInvited: input.wasInvited,
    hasDeclined: input.hasDeclined,
    emailOf,
    statusOf,
    isUser: (account, state) => peopleOf.has(account) && isAlive(account, state),
  };
}

function isBuiltIn(name: string, foreignIds: ReadonlySet<string>, id: string): boolean {
  return name === "RoomAdmin" && foreignIds.has(id);
}

/** The account that nobody may take out, where the credentials belong to one. */
export function ownAccountOf(service: Service, docspaceOwner: string | undefined): string | undefined {
  return service === "brainstem" ? BRAINSTEM_OWN : service === "docspace" ? docspaceOwner : undefined;
}

export function joinLimits(levels: readonly (GuardWish | undefined)[]): Limits {
  let limits: Limits = { count: 50, percent: 25, protect: [], minOwners: 1 };
  for (const level of levels) {
    if (!level) continue;
    limits = {
      count: level.maxRemovals?.count ?? limits.count,
      percent: level.maxRemovals?.percent ?? limits.percent,
      protect: [...limits.protect, ...(level.protect ?? [])],
      minOwners: level.minOwners ?? limits.minOwners,
    };
  }
  return limits;
}

/** A glob over text without regard to case. */
function globMatches(pattern: string, text: string): boolean {
  const [glob, line] = [pattern.trim().toLowerCase(), text.trim().toLowerCase()];
  const match = (from: number, at: number): boolean => {
    for (let here = at, index = from; ; here++, index++) {
      const sign = glob[index];
      if (sign === undefined) return here === line.length;
      if (sign === "*") {
        for (let end = here; end <= line.length; end++) if (match(index + 1, end)) return true;
        return false;
      }
      if (here >= line.length || (sign !== "?" && sign !== line[here])) return false;
    }
  };
  return match(0, 0);
}

/**
 * Why this account may not be taken out of the group (or lose this role) now, going by the spec and the true state;
 * undefined when it may. `names`: what the group was called in the course of the run.
 */
export function whyNotTaken(oracle: Oracle, loss: Loss, state: TrueState, removals: boolean): string | undefined {
  const { groupId, names } = loss;
  if (oracle.isForeign(groupId)) return "the group's membership is decided elsewhere";
  const meant = oracle.targetsOf(groupId, names);
  const [target] = meant;
  if (!target) return "no group of the spec means this group";
  const group = state.groups.find(({ id }) => id === groupId);
  const reasons = meant.map((each) => whyNotInTarget(oracle, each, loss, group, state, removals));
  return reasons.some((reason) => reason === undefined) ? undefined : reasons[0];
}

export interface Loss {
  readonly groupId: string;
  readonly names: readonly string[];
  readonly account: string;
  readonly role: Role;
  readonly direct: boolean;
}

function whyNotInTarget(
  oracle: Oracle,
  target: Target,
  { groupId, account, role, direct }: Loss,
  group: TrueGroup | undefined,
  state: TrueState,
  removals: boolean,
): string | undefined {
  if (target.group.absent) return "the group should not exist, which is no reason to remove members";
  if (!removals) return "removals are switched off";
  if (!oracle.mayTake(target, groupId, account)) return `the mode is ${target.mode}`;
  if (oracle.isStranger() && !oracle.allows("changed-scope", target)) return "somebody else has read it before";
  if (account === oracle.ownAccount && !oracle.allows("own-account", target))
    return "it is the credentials' own account";
  if (oracle.wanted(target, state, group).has(account)) return "the spec lists the person";
  if (oracle.kept(target, state, group).has(account)) return "it is the account of somebody whom the spec lists";
  if (role !== "member" && !target.managed[role]) return `the spec says nothing about the role ${role}`;
  if (direct && !target.managed.member) return "the spec says nothing about members";
  if (!oracle.isOurs(target, groupId) && !oracle.allows("adoption", target)) return "the group is not adopted";
  if (oracle.isProtected(account, target, state) && !oracle.allows("protected-person", target)) return "protected";
  const unclear = oracle.unresolved(target, state, group);
  if (unclear.length > 0 && !oracle.allows("unresolved-person", target)) return `${unclear.join(", ")} unresolved`;
  return undefined;
}

/** As {@link whyNotTaken}, for a role that is lowered while the membership stays. */
export function whyNotDemoted(
  oracle: Oracle,
  { groupId, names, account, from, to }: Omit<Loss, "role" | "direct"> & { readonly from: Role; readonly to: Role },
  state: TrueState,
  removals: boolean,
): string | undefined {
  if (oracle.isForeign(groupId)) return "the group's membership is decided elsewhere";
  const group = state.groups.find(({ id }) => id === groupId);
  const reasons = oracle.targetsOf(groupId, names).map((target): string | undefined => {
    const wantedRole = oracle.wanted(target, state, group).get(account);
    if (!removals) return "removals are switched off";
    if (!oracle.mayTake(target, groupId, account)) return `the mode is ${target.mode}`;
    if (oracle.isStranger() && !oracle.allows("changed-scope", target)) return "somebody else has read it before";
    if (account === oracle.ownAccount && !oracle.allows("own-account", target))
      return "it is the credentials' own account";
    if (wantedRole !== undefined && rankOf(wantedRole) > rankOf(to))
      return `the spec lists the person as ${wantedRole}`;
    if (oracle.kept(target, state, group).has(account)) return "it is the account of somebody whom the spec lists";
    if (!target.managed[from]) return `the spec says nothing about the role ${from}`;
    if (!oracle.isOurs(target, groupId) && !oracle.allows("adoption", target)) return "the group is not adopted";
    if (oracle.isProtected(account, target, state) && !oracle.allows("protected-person", target)) return "protected";
    const unclear = oracle.unresolved(target, state, group);
    if (unclear.length > 0 && !oracle.allows("unresolved-person", target)) return `${unclear.join(", ")} unresolved`;
    return undefined;
  });
  if (reasons.length === 0) return "no group of the spec means this group";
  return reasons.some((reason) => reason === undefined) ? undefined : reasons[0];
}

/** Whoever is in a group as a member, or by a role alone. */
export function memberOf(group: TrueGroup, account: string): TrueMember | undefined {
  return group.members.find((member) => member.account === account);
}
