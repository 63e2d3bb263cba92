/**
 * Decides which changes may go and which are held. Pure, evaluated over everything at once before the first write.
 *
 * A guard has a name, a limit, and a message that says what was found, how much, the limit, and how to acknowledge.
 * Additions are never held but in a group that is not ours to touch (`foreign-group`), and where they would be
 * invitations to somebody who has declined (`declined-invitation`) or may have (`changed-scope`): whoever is held back
 * keeps what they have. The order of the guards below is the order in which they are asked; the first that objects to a
 * change is the one that is named. The counting guards come near the end and count only what would still be removed.
 * The last one looks at what all others have left: a role that one person keeps cannot go to another where there is
 * room for one.
 */
import { groupBy, renderCount } from "../collections.js";
import type { Identities } from "../identity.js";
import { normalizeEmail, normalizeId } from "../identity.js";
import type { Account, Change, GuardName, GuardSettings, HeldChange, Member, Person, ProviderId } from "../model.js";
import { ABOVE_ROLES } from "../model.js";
import type { Capabilities } from "../provider.js";
import { isGainOf, isLoss, isLossOf, type TargetDiff } from "./diff.js";
import { findWaiting } from "./handover.js";
import type { TargetReading } from "./snapshot.js";

/** An acknowledgement for the run at hand: a guard, everywhere or for one group of the spec. */
export interface Allowance {
  readonly guard: GuardName;
  readonly group?: string;
}

/** What the guards look at, of one provider. */
export interface ProviderDiff {
  readonly provider: ProviderId;
  readonly capabilities: Capabilities;
  readonly guards: GuardSettings;
  readonly identities: Identities;
  /** The account that the credentials act as. */
  readonly ownAccount?: string;
  readonly recollection?: Recollection;
  /** Holders of roles of whom the readings say no more than that, looked up by id; undefined: gone. */
  readonly holders?: ReadonlyMap<string, Account | undefined>;
  readonly targets: readonly TargetDiff[];
}

/** What the guards ask of former runs. Absent: nothing is remembered. */
export interface Recollection {
  /** Whom the provider was last read as, when that was somebody else. */
  readonly formerIdentity?: string;
  /** Ids of groups that we created or adopted, and for which group of the spec: another group of it is a stranger there. */
  readonly managed: ReadonlyMap<string, string>;
  /** Whether an invitation of ours was declined, or withdrawn by somebody there. */
  readonly declined: (groupId: string, account: string) => boolean;
}

/** What the guards need to know besides the differences. */
export interface GuardOptions {
  /** The limits of the whole run. */
  readonly guards: GuardSettings;
  readonly people: Readonly<Record<string, Person>>;
  readonly allow: readonly Allowance[];
  /** False: the switch `--no-removals`. */
  readonly removals: boolean;
}

/** The changes of one provider, sorted into those that go and those that are held. */
export interface Guarded {
  readonly provider: ProviderId;
  readonly changes: readonly Change[];
  readonly held: readonly HeldChange[];
}

/** Guards that no acknowledgement on the command line lifts: there is no proof, or the group is not ours. */
export const UNLIFTABLE: readonly GuardName[] = ["incomplete-reading", "foreign-group", "no-removals"];

/** Guards whose message says in numbers what it is about. */
const COUNTING: readonly GuardName[] = ["group-delete", "last-owner", "empty-group", "max-removals"];

/** Asks all guards about all changes of the run. */
export function guardChanges(diffs: readonly ProviderDiff[], options: GuardOptions): readonly Guarded[] {
  const ledgers = diffs.map((diff) => ({
    diff,
    targets: diff.targets.map((target) => openLedger(diff, target)),
  }));
  for (const { diff, targets } of ledgers) {
    for (const ledger of targets) guardTarget(ledger, diff, options);
    guardEmptySource(targets, options);
  }
  for (const { diff, targets } of ledgers) {
    for (const ledger of targets) {
      holdOverLimit([ledger], ledger.diff.target.guards, `the group ${ledger.diff.target.group}`, options);
      holdRolesOverLimit(ledger, options);
    }
    holdOverLimit(targets, diff.guards, `the provider ${diff.provider}`, options);
  }
  holdOverLimit(
    ledgers.flatMap(({ targets }) => targets),
    options.guards,
    "the run",
    options,
  );
  for (const { diff, targets } of ledgers) for (const ledger of targets) guardRoom(ledger, diff, options);
  return ledgers.map(({ diff, targets }) => {
    const settled = targets.map((ledger) => settle(ledger, diff));
    return {
      provider: diff.provider,
      changes: settled.flatMap(({ changes }) => changes),
      held: settled.flatMap(({ held }) => held),
    };
  });
}

/** What goes and what is held of one target. What a hand-over takes is marked: it waits for what it gives. */
function settle({ diff, members, held, lessened }: Ledger, { capabilities }: ProviderDiff): Omit<Guarded, "provider"> {
  const going = diff.changes.flatMap((change) => lessened.get(change) ?? (held.has(change) ? [] : [change]));
  const kept = [...held.values()];
  // What is held may be acknowledged later, so it counts.
  const waiting = findWaiting([...going, ...kept], members, capabilities, diff.target.guards.minOwners);
  const mark = <C extends Change>(change: C): C => (waiting.has(change) ? { ...change, waits: true } : change);
  return { changes: going.map(mark), held: kept.map(mark) };
}

/** One target, and what has been held of it so far. */
interface Ledger {
  readonly diff: TargetDiff;
  readonly members: readonly Member[];
  readonly held: Map<Change, HeldChange>;
  /** What goes instead of a held addition with a role: the addition without it. */
  readonly lessened: Map<Change, Change>;
  readonly identities: Identities;
}

function openLedger(diff: ProviderDiff, target: TargetDiff): Ledger {
  const members = target.reading.state === "found" ? target.reading.snapshot.members : [];
  return { diff: target, members, held: new Map(), lessened: new Map(), identities: diff.identities };
}

/** What takes something from anybody: from one person, or from all who are in the group. */
function isLossOrDelete(change: Change): boolean {
  return isLoss(change) || change.type === "group.delete";
}

function isRemoval(change: Change): boolean {
  return change.type === "member.remove";
}

function pending(ledger: Ledger, is: (change: Change) => boolean): readonly Change[] {
  return ledger.diff.changes.filter((change) => is(change) && !ledger.held.has(change));
}

/** What is pending and takes something from certain accounts; a deletion takes from every member of the group. */
function lossesOf(ledger: Ledger, isMeant: (account: string) => boolean): readonly Change[] {
  return pending(ledger, isLossOrDelete).filter((change) =>
    change.type === "group.delete"
      ? ledger.members.some(({ account }) => isMeant(account))
      : change.account !== undefined && isMeant(change.account),
  );
}

/** Whom changes take something from, each once. */
function accountsIn({ members }: Ledger, changes: readonly Change[]): readonly string[] {
  return [
    ...new Set(
      changes.flatMap(({ type, account }) =>
        type === "group.delete" ? members.map((member) => member.account) : account === undefined ? [] : [account],
      ),
    ),
  ];
}

/** Members as a reader knows them. */
function nameAll({ members, identities }: Ledger, accounts: readonly string[]): string {
  const nameOf = new Map(members.map(({ account, name }) => [account, name]));
  return listed(accounts.map((account) => identities.personOf.get(account) ?? nameOf.get(account) ?? account));
}

/** Holds changes that are still {@link pending}. */
function hold(
  ledger: Ledger,
  changes: readonly Change[],
  guard: GuardName,
  options: GuardOptions,
  message: string,
  how = UNLIFTABLE.includes(guard) ? "" : ` Acknowledge with --allow ${guard}:${ledger.diff.target.group}.`,
): void {
  if (isAcknowledged(ledger, guard, options)) return;
  const howMuch = COUNTING.includes(guard) ? "" : ` Holds ${renderCount(changes.length, "change", "changes")}.`;
  for (const change of changes) {
    ledger.held.set(change, { ...change, guard, reason: message + howMuch + how, wantedBecause: change.reason });
  }
}

function isAcknowledged({ diff }: Ledger, guard: GuardName, { allow }: GuardOptions): boolean {
  return !UNLIFTABLE.includes(guard) && isAllowed(guard, diff.target.group, allow);
}

/** Whether a guard is acknowledged for a group of the spec, or everywhere. */
export function isAllowed(guard: GuardName, group: string | undefined, allow: readonly Allowance[]): boolean {
  return allow.some((each) => each.guard === guard && (each.group ?? group) === group);
}

function guardTarget(ledger: Ledger, provider: ProviderDiff, options: GuardOptions): void {
  const { reading, unresolved } = ledger.diff;
  if (reading.state !== "found") return;
  const { group, evidence } = reading.snapshot;

  if (group.kind !== "plain") {
    const what = { builtin: "a built-in group", directory: "kept by a directory (LDAP)", dynamic: "filled by rules" }[
      group.kind
    ];
    hold(
      ledger,
      ledger.diff.changes,
      "foreign-group",
      options,
      `"${group.name}" is ${what}; its membership is decided elsewhere and is not touched.`,
    );
  }
  if (!options.removals) {
    hold(
      ledger,
      pending(ledger, isLossOrDelete),
      "no-removals",
      options,
      "Removals are switched off for this run (--no-removals).",
    );
  }
  hold(
    ledger,
    pending(ledger, (change) => change.type === "group.delete"),
    "group-delete",
    options,
    `Deleting "${group.name}" takes it from its ${renderCount(ledger.members.length, "member", "members")}, and what was shared with it may be lost for good.`,
  );
  const former = provider.recollection?.formerIdentity;
  const sendsMail = provider.capabilities.invitations.value;
  if (former !== undefined) {
    hold(
      ledger,
      // Invitations that were sent, and answers to them, may be out of sight too.
      pending(ledger, (change) => isLossOrDelete(change) || (sendsMail && change.type === "member.add")),
      "changed-scope",
      options,
      `${provider.provider} was last read as ${former} and is read as ${evidence.readAs ?? "somebody else"} now, so who is missing may only be out of sight.`,
    );
  }
  if (!evidence.complete) {
    hold(
      ledger,
      pending(ledger, isLossOrDelete),
      "incomplete-reading",
      options,
      `The reading is not whole: ${evidence.because}. Nobody is removed on the word of such a reading; run again.`,
    );
  }
  const doubtful = unresolved.filter((person) => ledger.identities.resolutions.get(person)?.state !== "disabled");
  if (doubtful.length > 0) {
    hold(
      ledger,
      pending(ledger, isLossOrDelete),
      "unresolved-person",
      options,
      `${listed(doubtful)} could not be found there, so it is not certain who the others are. Pin the account, or say accounts.${provider.provider}: null.`,
    );
  }
  const own = lossesOf(ledger, (account) => account === provider.ownAccount);
  if (own.length > 0)
    hold(
      ledger,
      own,
      "own-account",
      options,
      `${nameAll(ledger, [provider.ownAccount ?? ""])} is the account that group-sync itself acts as.`,
    );

  guardProtected(ledger, provider, options);

  const declined = pending(
    ledger,
    ({ type, account }) => type === "member.add" && provider.recollection?.declined(group.id, account ?? "") === true,
  );
  hold(
    ledger,
    declined,
    "declined-invitation",
    options,
    "Was invited before, and the invitation is not there any more: declined, taken back there, or lost; nobody is asked again unasked.",
  );
  if (!isOurs(reading, provider)) {
    hold(
      ledger,
      pending(ledger, isLossOrDelete),
      "adoption",
      options,
      `"${group.name}" was there before us and was found by its name alone, so additions go and removals wait until it is adopted: pin its id, or set adopt: true.`,
    );
  }
  guardRoles(ledger, provider, options);
  guardEmptyGroup(ledger, provider, options);
}

/** Whether a group is ours to manage: pinned, adopted by the spec, or remembered as created or adopted. */
export function isOurs(
  reading: Extract<TargetReading, { state: "found" }>,
  { recollection }: Pick<ProviderDiff, "recollection">,
): boolean {
  const { target, matchedBy, snapshot } = reading;
  return matchedBy === "id" || target.adopt || recollection?.managed.get(snapshot.group.id) === target.group;
}

function guardProtected(ledger: Ledger, provider: ProviderDiff, options: GuardOptions): void {
  if (ledger.diff.target.guards.protect.length === 0 || pending(ledger, isLossOrDelete).length === 0) return;
  const isProtected = protection(ledger, provider, options.people);
  const shielded = lossesOf(ledger, isProtected);
  if (shielded.length === 0) return;
  const who = accountsIn(ledger, shielded).filter(isProtected);
  hold(
    ledger,
    shielded,
    "protected-person",
    options,
    `${nameAll(ledger, who)} ${who.length === 1 ? "is" : "are"} protected by guards.protect (${listed(ledger.diff.target.guards.protect)}).`,
  );
}

function guardRoles(ledger: Ledger, { capabilities, holders: known }: ProviderDiff, options: GuardOptions): void {
  for (const role of ABOVE_ROLES) {
    const capability = capabilities.roles[role];
    if (!capability) continue;
    const takesRole = (change: Change) => isLossOf(role, change);
    const gains = ledger.diff.changes.filter((change) => isGainOf(role, change));
    if (capability.guarded.value && gains.length === 0) {
      hold(
        ledger,
        pending(ledger, takesRole),
        "role-loss",
        options,
        `Takes away the role ${role} without naming a successor.`,
      );
    }
    // Owners are the last resort of a group; where a service has none, its managers are.
    if (role === "manager" && capabilities.roles.owner) continue;
    // Someone who is switched off, or has only been invited, cannot act as an owner.
    const isInUse = ({ account, state }: Member) =>
      state === "active" && (!known?.has(account) || known.get(account)?.status === "active");
    const active = ledger.members.filter((member) => member.role === role && isInUse(member));
    const accounts = new Set(active.map(({ account }) => account));
    const holders = active.length;
    const losses = pending(ledger, (change) => takesRole(change) && accounts.has(change.account ?? ""));
    const coming = capabilities.invitations.value ? gains.filter(({ type }) => type !== "member.add") : gains;
    const wanted = Math.min(ledger.diff.target.guards.minOwners, holders);
    const left = holders - losses.length + coming.length;
    if (losses.length > 0 && left < wanted) {
      hold(
        ledger,
        losses,
        "last-owner",
        options,
        `Would leave ${left} of ${holders} ${role}s; guards.minOwners is ${ledger.diff.target.guards.minOwners}.`,
      );
    }
  }
}

/**
 * Where a role has room for so many, giving it to another takes it from whoever has it, also if nothing says so: in
 * additive mode, or when that person's own change is held. The newcomers are added without it meanwhile.
 */
function guardRoom(ledger: Ledger, { capabilities }: ProviderDiff, options: GuardOptions): void {
  for (const role of ABOVE_ROLES) {
    const max = capabilities.roles[role]?.max.value ?? null;
    if (max === null) continue;
    const { reading } = ledger.diff;
    if (reading.state === "found" && !reading.snapshot.evidence.complete) {
      // Whoever has the role may be out of sight.
      const message = `The reading is not whole: ${reading.snapshot.evidence.because}. Where a group has room for ${max} ${role}, giving the role could take it from somebody who was not seen; run again.`;
      lessen(
        ledger,
        pending(ledger, (change) => isGainOf(role, change)),
        "incomplete-reading",
        options,
        message,
      );
      continue;
    }
    const leaving = new Set(pending(ledger, (change) => isLossOf(role, change)).map(({ account }) => account));
    const staying = ledger.members.filter((member) => member.role === role && !leaving.has(member.account));
    const gains = pending(ledger, (change) => isGainOf(role, change));
    const over = gains
      .toSorted((left, right) => ((left.account ?? "") < (right.account ?? "") ? -1 : 1))
      .slice(Math.max(0, max - staying.length));
    if (staying.length === 0 || over.length === 0) continue;
    const keepers = nameAll(
      ledger,
      staying.map(({ account }) => account),
    );
    // A holder whose own loss is held does not lose the role by another way.
    const keeps = staying.flatMap(({ account }) =>
      [...ledger.held.values()].filter((each) => each.account === account),
    );
    const [kept] = keeps.filter((each) => isLossOf(role, each));
    const room = `${max} ${role}${max === 1 ? "" : "s"}`;
    const message = `The group has room for ${room}, and ${keepers} would lose the role to ${listed(over.map(({ person, account }) => person ?? account ?? ""))}.`;
    if (!kept) {
      // Nothing says that the holder should lose it, so there is nothing to acknowledge.
      const how = ` The mode is ${ledger.diff.target.mode}, which takes it from nobody: take it away there, or make the group authoritative.`;
      lessen(ledger, over, "role-loss", { ...options, allow: [] }, message + how, "");
      continue;
    }
    const guard = isAcknowledged(ledger, "role-loss", options) ? kept.guard : "role-loss";
    lessen(ledger, over, guard, options, message);
  }
}

/** Holds a role back; whoever would have come with it comes without. */
function lessen(
  ledger: Ledger,
  changes: readonly Change[],
  guard: GuardName,
  options: GuardOptions,
  message: string,
  how?: string,
): void {
  hold(ledger, changes, guard, options, message, how);
  for (const change of changes) {
    const held = ledger.held.get(change);
    if (!held || change.type !== "member.add") continue;
    ledger.held.set(change, { ...held, type: "member.update", previousRole: "member" });
    ledger.lessened.set(change, { ...change, role: "member" });
  }
}

function guardEmptyGroup(ledger: Ledger, { capabilities }: ProviderDiff, options: GuardOptions): void {
  const removals = pending(ledger, isRemoval);
  const present = ledger.members.filter((member) => member.state !== "pending").length;
  const removed = removals.filter((change) => change.invitation === undefined).length;
  // An invitation may be declined: it fills no group.
  const added = capabilities.invitations.value
    ? 0
    : ledger.diff.changes.filter((change) => change.type === "member.add").length;
  if (removed === 0 || present - removed + added > 0) return;
  hold(
    ledger,
    removals,
    "empty-group",
    options,
    `Would remove ${present === 1 ? "its only member" : `all ${present} members`} and leave the group empty.`,
  );
}

/** Every group of a provider wanted empty looks like a source that failed, not like a wish. */
function guardEmptySource(targets: readonly Ledger[], options: GuardOptions): void {
  const managed = targets.filter(({ diff }) => diff.target.managed.member && !diff.target.absent);
  const affected = managed.filter((ledger) => ledger.diff.changes.some(isRemoval));
  if (affected.length < 2 || managed.some(({ diff }) => diff.target.members.length > 0)) return;
  for (const ledger of affected) {
    hold(
      ledger,
      pending(ledger, isLoss),
      "empty-source",
      options,
      `The spec wants all ${managed.length} groups of this provider empty, as it would if its source had failed.`,
    );
  }
}

/**
 * `maxRemovals`: either limit holds the removals it concerns. One removal never trips the percentage; a group that
 * it would empty is held by its own guard, before. What has been acknowledged is not counted: saying yes to one
 * group's removals never holds those of another.
 */
function holdOverLimit(ledgers: readonly Ledger[], limits: GuardSettings, what: string, options: GuardOptions): void {
  const { count, percent } = limits.maxRemovals;
  const byLedger = ledgers
    .filter((ledger) => !isAcknowledged(ledger, "max-removals", options))
    .map((ledger) => ({ ledger, removals: pending(ledger, isRemoval) }));
  const removals = byLedger.reduce((sum, entry) => sum + entry.removals.length, 0);
  const members = ledgers.reduce((sum, ledger) => sum + ledger.members.length, 0);
  const share = members === 0 ? 0 : (removals / members) * 100;
  const overCount = removals > count;
  const overPercent = removals > 1 && removals * 100 > percent * members;
  if (!overCount && !overPercent) return;
  const limit = overCount ? `more than ${count} at once` : `more than ${percent} %`;
  const message = `${removals} of ${members} memberships of ${what} would be removed (${share.toFixed(1)} %): ${limit} (guards.maxRemovals).`;
  for (const { ledger, removals: changes } of byLedger) hold(ledger, changes, "max-removals", options, message);
}

/** The same limits for each role above plain membership: who loses it, by removal or by demotion, of those who have it. */
function holdRolesOverLimit(ledger: Ledger, options: GuardOptions): void {
  const { group, guards } = ledger.diff.target;
  const { count, percent } = guards.maxRemovals;
  for (const role of ABOVE_ROLES) {
    const holders = ledger.members.filter((member) => member.role === role).length;
    const losses = pending(ledger, (change) => isLossOf(role, change));
    const over = losses.length > count ? `more than ${count} at once` : `more than ${percent} %`;
    if (losses.length <= count && (losses.length < 2 || losses.length * 100 <= percent * holders)) continue;
    const share = ((losses.length / holders) * 100).toFixed(1);
    const message = `${losses.length} of ${holders} ${role}s of the group ${group} would lose the role (${share} %): ${over} (guards.maxRemovals).`;
    hold(ledger, losses, "max-removals", options, message);
  }
}

/**
 * Whether an account is one that `guards.protect` means. People are recognised by what the spec says of them too:
 * someone who was just taken out of all lists is not looked up any more, and is the very one to protect.
 */
function protection(
  ledger: Ledger,
  provider: ProviderDiff,
  people: Readonly<Record<string, Person>>,
): (account: string) => boolean {
  const isMeant = createGlob(ledger.diff.target.guards.protect);
  const persons = new Set<string>();
  const accounts = new Set<string>();
  const addresses = new Set<string>();
  for (const { id, email, aliases, accounts: pins } of Object.values(people)) {
    const known = [email, ...aliases].filter((address) => address !== undefined);
    if (![id, ...known].some(isMeant)) continue;
    persons.add(id);
    const pin = pins[provider.provider];
    if (typeof pin === "string") accounts.add(normalizeId(pin, provider));
    for (const address of known) addresses.add(normalizeEmail(address));
  }
  const emails = new Map(
    ledger.members.map(({ account, email }) => [account, email ?? provider.holders?.get(account)?.email]),
  );
  return (account) => {
    const person = ledger.identities.personOf.get(account);
    const names = [account, emails.get(account), person];
    return (
      accounts.has(account) ||
      // Not every reading shows an address.
      (person !== undefined && persons.has(person)) ||
      names.some((name) => name !== undefined && (isMeant(name) || addresses.has(normalizeEmail(name))))
    );
  };
}

/** `*` stands for any text, `?` for one character; case does not matter. */
export function matchesGlob(pattern: string, text: string): boolean {
  return createGlob([pattern])(text);
}

function createGlob(patterns: readonly string[]): (text: string) => boolean {
  const expressions = patterns.map((pattern) => {
    const source = normalizeEmail(pattern)
      .replace(/[.+^${}()|[\]\\]/g, "\\$&")
      .replace(/\*+/g, ".*")
      .replaceAll("?", ".");
    return new RegExp(`^${source}$`, "su");
  });
  return (text) => expressions.some((expression) => expression.test(normalizeEmail(text)));
}

function listed(people: readonly string[]): string {
  const shown = people.slice(0, 3).join(", ");
  return people.length > 3 ? `${shown} and ${people.length - 3} more` : shown;
}

/** Reads `<guard>` or `<guard>:<group>`, as on the command line. Undefined when the guard is not known. */
export function parseAllowance(text: string, guards: readonly GuardName[]): Allowance | undefined {
  const [name, ...rest] = text.split(":");
  const guard = guards.find((known) => known === name);
  if (!guard) return undefined;
  if (rest.length === 0) return { guard };
  // "max-removals:" comes of an empty variable in a script, not of a wish to acknowledge it everywhere.
  const group = rest.join(":");
  return group === "" ? undefined : { guard, group };
}

/** Held changes by guard, for a summary. */
export function countByGuard(held: readonly HeldChange[]): ReadonlyMap<GuardName, number> {
  return new Map([...groupBy(held, ({ guard }) => guard)].map(([guard, changes]) => [guard, changes.length]));
}
