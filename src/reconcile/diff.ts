/**
 * What differs between a target and its snapshot. Pure, and in one place for all services.
 *
 * Absent is not empty: a role that the spec does not mention is left alone. A provider without a role treats its
 * holder as a plain member. Nothing here knows a guard; everything that could be wished for is listed.
 */
import { type Identities, normalizeEmail, type Resolution } from "../identity.js";
import type { Account, Change, DesiredMember, Group, Member, Role, Snapshot, Target } from "../model.js";
import { ROLES } from "../model.js";
import type { Capabilities } from "../provider.js";
import { digestOf } from "./plan.js";
import type { TargetReading } from "./snapshot.js";

/** A target with everything that would have to change there. */
export interface TargetDiff {
  readonly target: Target;
  readonly reading: TargetReading;
  readonly changes: readonly Change[];
  /** People whom the target wants and who could not be matched to a usable account. */
  readonly unresolved: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Compares one target with what was read. `today` (YYYY-MM-DD) decides which memberships have expired. `isOurs`: whether
 * this installation added the account to the group; mode `owned` takes away nothing else.
 */
export function diffTarget(
  reading: TargetReading,
  identities: Identities,
  capabilities: Capabilities,
  today: string,
  isOurs: (groupId: string, account: string) => boolean = () => false,
): TargetDiff {
  const { target } = reading;
  const nothing = { target, reading, changes: [], unresolved: [], notes: [] };
  if (reading.state === "problem" || reading.state === "unread") return nothing;
  if (target.absent) {
    if (reading.state !== "found") return nothing;
    return {
      ...nothing,
      unresolved: resolveDesired(target, identities, capabilities, today).unresolved,
      changes: [deleteChange(target, reading.snapshot, "the spec says that this group should not exist", isOurs)],
    };
  }
  const wasAdded = (account: string): boolean =>
    reading.state === "found" && isOurs(reading.snapshot.group.id, account);
  const mayTake = (account: string): boolean =>
    target.mode === "owned" ? wasAdded(account) : target.mode === "authoritative";
  const desired = resolveDesired(target, identities, capabilities, today);
  const actual = reading.state === "found" ? reading.snapshot : undefined;
  const group: Pick<Change, "group" | "groupId"> = {
    group: target.group,
    ...(actual && { groupId: actual.group.id }),
  };
  const changes = [
    ...(actual ? diffGroup(target, actual.group, capabilities) : [createChange(target, capabilities)]),
    ...diffMembers(target, desired, actual?.members ?? [], identities, mayTake).map((change) => ({
      ...change,
      ...group,
      ...(change.type === "member.remove" && wasAdded(change.account ?? "") && { ours: true }),
    })),
  ];
  const notes = [...(actual ? noteName(target, actual.group, capabilities) : []), ...desired.notes];
  return { target, reading, changes, unresolved: desired.unresolved, notes };
}

/** A fingerprint of everything that {@link diffTarget} goes by, but for the reading and what is remembered. */
export function digestWish(target: Target, identities: Identities, capabilities: Capabilities, today: string): string {
  const { name, description, mode, absent, managed } = target;
  const { wanted, expired, kept, unresolved } = resolveDesired(target, identities, capabilities, today);
  const accounts = [...wanted].map(([account, { role }]) => `${account}\n${role}`);
  const lists = [accounts, [...expired.keys()], [...kept], [...unresolved]].map((list) => list.toSorted());
  return digestOf({ name, description, mode, absent, managed, lists });
}

interface Desired {
  /** By account. */
  readonly wanted: ReadonlyMap<string, { readonly person: string; readonly role: Role }>;
  /** Why someone is not wanted (any more), by account. */
  readonly expired: ReadonlyMap<string, string>;
  /** Accounts that are or may be those of wanted people who cannot be added (disabled, ambiguous): kept if there. */
  readonly kept: ReadonlySet<string>;
  /** Addresses of wanted people who were not found: whoever is there under one of them is they, and is kept. */
  readonly keptAddresses: ReadonlySet<string>;
  readonly unresolved: readonly string[];
  readonly notes: readonly string[];
}

function resolveDesired(target: Target, identities: Identities, capabilities: Capabilities, today: string): Desired {
  const wanted = new Map<string, Pick<DesiredMember, "person" | "role">>();
  const expired = new Map<string, string>();
  const kept = new Set<string>();
  const keptAddresses = new Set<string>();
  const unresolved: string[] = [];
  const downgraded = new Map<Role, string[]>();
  for (const member of target.members) {
    const resolution = identities.resolutions.get(member.person);
    if (isExpired(member, today)) {
      const accounts = resolution ? accountsOf(resolution) : [];
      for (const { id } of accounts) expired.set(id, `membership ended on ${member.until}`);
      continue;
    }
    if (resolution?.state === "found") {
      const role = effectiveRole(member.role, capabilities);
      if (role !== member.role) downgraded.set(member.role, [...(downgraded.get(member.role) ?? []), member.person]);
      wanted.set(resolution.account.id, role === member.role ? member : { person: member.person, role });
    } else if (resolution?.state !== "none") {
      unresolved.push(member.person);
      for (const { id } of resolution ? accountsOf(resolution) : []) kept.add(id);
      for (const address of identities.addressesOf.get(member.person) ?? []) keptAddresses.add(address);
    }
  }
  const notes = [...downgraded].map(
    ([role, people]) =>
      `${target.group}: ${target.provider} has no ${role}s; ${people.length === 1 ? people[0] : `${people.length} people`} listed as ${role} ${people.length === 1 ? "is a plain member" : "are plain members"} there`,
  );
  return { wanted, expired, kept, keptAddresses, unresolved, notes };
}

function accountsOf(resolution: Resolution): readonly Account[] {
  if (resolution.state === "found") return [resolution.account];
  return resolution.state === "none" ? [] : (resolution.candidates ?? []);
}

function isExpired(member: DesiredMember, today: string): boolean {
  return member.until !== undefined && member.until < today;
}

/** The role as the provider knows it: one that it lacks is plain membership. */
export function effectiveRole(role: Role, capabilities: Capabilities): Role {
  return role === "member" || capabilities.roles[role] ? role : "member";
}

function createChange(target: Target, capabilities: Capabilities): Change {
  return {
    type: "group.create",
    group: target.group,
    name: target.name,
    ...(target.description !== undefined &&
      capabilities.groups.description.value && { description: target.description }),
    reason: "no group of this name exists there",
  };
}

/** Deletes a group, and keeps what it takes to make it anew. */
export function deleteChange(
  { group: id }: Target,
  { group, members }: Snapshot,
  reason: string,
  isOurs: (groupId: string, account: string) => boolean,
): Change {
  return {
    type: "group.delete",
    group: id,
    groupId: group.id,
    name: group.name,
    ...(group.description !== undefined && { description: group.description }),
    members: members
      .filter(({ direct, role, state }) => state !== "pending" && (direct || role !== "member"))
      .map(({ account, role }) => ({ account, role, ...(isOurs(group.id, account) && { ours: true }) })),
    reason,
  };
}

function diffGroup(target: Target, group: Group, capabilities: Capabilities): readonly Change[] {
  const renamed = target.name !== group.name && capabilities.groups.rename.value;
  const described =
    target.description !== undefined &&
    capabilities.groups.description.value &&
    target.description !== (group.description ?? "");
  if (!renamed && !described) return [];
  const reasons = [
    ...(renamed ? [`is called "${group.name}" there`] : []),
    ...(described ? ["the description differs"] : []),
  ];
  return [
    {
      type: "group.update",
      group: target.group,
      groupId: group.id,
      ...(renamed && { name: target.name, previousName: group.name }),
      ...(described &&
        target.description !== undefined && {
          description: target.description,
          previousDescription: group.description ?? "",
        }),
      reason: reasons.join("; "),
    },
  ];
}

function noteName(target: Target, group: Group, capabilities: Capabilities): readonly string[] {
  return target.name === group.name || capabilities.groups.rename.value
    ? []
    : [`${target.group}: is called "${group.name}" at ${target.provider}, where groups cannot be renamed`];
}

type MemberChange = Omit<Change, "group">;

function diffMembers(
  target: Target,
  desired: Desired,
  members: readonly Member[],
  identities: Identities,
  mayTake: (account: string) => boolean,
): readonly MemberChange[] {
  // Whoever is there and not, or not yet, found to be wanted.
  const others = new Map<string, Member>();
  for (const member of members) others.set(member.account, member);
  const adds: MemberChange[] = [];
  const updates: MemberChange[] = [];
  const removes: MemberChange[] = [];
  for (const [account, { person, role }] of desired.wanted) {
    const member = others.get(account);
    others.delete(account);
    if (!member) {
      adds.push({ type: "member.add", person, account, role, reason: "listed in the spec, not a member there" });
    } else if (member.role !== role && mayChangeRole(target, member, role, mayTake) && member.state !== "pending") {
      updates.push({
        type: "member.update",
        person,
        account,
        role,
        previousRole: member.role,
        ...(!member.direct && { direct: false }),
        reason: `is ${member.role} there, listed as ${role}`,
      });
    }
  }
  for (const member of others.values()) {
    if (!mayTake(member.account) || desired.kept.has(member.account)) continue;
    if (member.email !== undefined && desired.keptAddresses.has(normalizeEmail(member.email))) continue;
    const person = identities.personOf.get(member.account);
    const label = member.email ?? member.name;
    const who = {
      ...(person !== undefined && { person }),
      account: member.account,
      ...(person === undefined && label !== undefined && label !== member.account && { label }),
    };
    const why = desired.expired.get(member.account) ?? "not listed in the spec";
    if (member.role !== "member" && !target.managed[member.role]) continue;
    // Whoever is there by a role alone is gone without it. A role of a direct member goes with the membership.
    const byRoleAlone = !member.direct && member.role !== "member";
    if (byRoleAlone || (target.managed.member && member.direct)) {
      removes.push({
        type: "member.remove",
        ...who,
        role: member.role,
        ...(byRoleAlone && { direct: false }),
        ...(member.invitation !== undefined && { invitation: member.invitation }),
        reason: member.state === "pending" ? `invited, ${why}` : why,
      });
    } else if (member.role !== "member" && member.state !== "pending") {
      updates.push({
        type: "member.update",
        ...who,
        role: "member",
        previousRole: member.role,
        reason: `is ${member.role} there, ${why}`,
      });
    }
  }
  // A role is given before it is taken, so that a group is not without an owner in between.
  const raises = updates.filter(({ role, previousRole }) => isRaise(previousRole, role));
  const lowers = updates.filter(({ role, previousRole }) => !isRaise(previousRole, role));
  return [...adds, ...raises, ...lowers, ...removes];
}

/** Whether the spec speaks about the roles involved, and the mode lets a role be taken away. */
function mayChangeRole(target: Target, member: Member, role: Role, mayTake: (account: string) => boolean): boolean {
  return isRaise(member.role, role) || (target.managed[member.role] && mayTake(member.account));
}

/** Whether a role is more than another. */
export function isRaise(from: Role = "member", to: Role = "member"): boolean {
  return ROLES.indexOf(to) > ROLES.indexOf(from);
}

/** A removal takes a membership, a demotion takes a role; both take away access. */
export function isLoss(change: Change): boolean {
  if (change.type === "member.remove") return true;
  return change.type === "member.update" && isRaise(change.role, change.previousRole);
}

/** Whether a change takes a role, alone or with the membership. */
export function isLossOf(role: Role, change: Change): boolean {
  return isLoss(change) && (change.previousRole ?? change.role) === role;
}

/** Whether a change gives a role, alone or with the membership. */
export function isGainOf(role: Role, change: Change): boolean {
  return change.role === role && (change.type === "member.add" || (change.type === "member.update" && !isLoss(change)));
}
