/**
 * The organisation behind the Genesys Cloud emulator: people, groups, tokens, and what a reader may see of them.
 *
 * Genesys answers a membership write with 202 and shows it later (sheet §8). So every group keeps two things: its
 * true state, and a short list of recent changes that readers must not see yet, each with what was there before.
 * A view of a moment is the true state with those changes taken back. Nothing has to happen when the time comes: a
 * change that is due is simply no longer taken back, so a late view can never differ from the truth. Changes of one
 * group become visible in the order in which they were made, as in a replicated log.
 *
 * Records are replaced, never edited in place (membership sets and the lists of changes excepted), so that a copy of
 * the whole state is cheap.
 */
import { createRandom, type SeedGroup, type SeedPerson, type SeedRole, stableUuid, type TrueGroup } from "../kit.js";

/** A user of the organisation. */
export interface UserRecord {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly state: "active" | "inactive" | "deleted";
  readonly version: number;
}

/** What a group is, apart from the people added to it one by one. */
export interface GroupFields {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly type: string;
  readonly state: string;
  readonly visibility: string;
  readonly rulesVisible: boolean;
  readonly rolesEnabled: boolean;
  readonly includeOwners: boolean;
  readonly callsEnabled: boolean;
  readonly email?: string;
  readonly addresses: readonly unknown[];
  readonly images: readonly unknown[];
  readonly owners: readonly string[];
  /** People who are in by a skill expression, not by having been added. */
  readonly derived: readonly string[];
  /** The skill expression (DynamicGroupQuery); absent for a plain group. */
  readonly query?: { readonly skillConditions: readonly unknown[] } | undefined;
  readonly version: number;
  readonly dateModified: string;
}

interface HiddenChange {
  readonly visibleAt: number;
  /** The fields before the change; undefined when the change made the group. */
  readonly before: GroupFields | undefined;
  /** For every person the change added or removed: was that person an individual before? */
  readonly wasIndividual: Map<string, boolean>;
}

interface Listing {
  readonly stamp: string;
  readonly users: readonly UserRecord[];
}

/** A group with the people added to it (individuals) and the changes that readers may not see yet. */
export interface GroupRecord {
  fields: GroupFields;
  readonly individuals: Set<string>;
  readonly changes: HiddenChange[];
  /** Grows with every change; part of the key under which listings are kept. */
  revision: number;
  readonly listings: Map<string, Listing>;
}

/** A group as readers see it at a moment. */
export interface GroupView {
  readonly record: GroupRecord;
  readonly fields: GroupFields;
  readonly wasIndividual: ReadonlyMap<string, boolean>;
  /** How many changes are still hidden; with the revision it says which view this is. */
  readonly hidden: number;
}

/** Everything the emulator remembers. */
export interface Organisation {
  readonly users: Map<string, UserRecord>;
  readonly accounts: Map<string, string>;
  /** User ids by lower-case e-mail: deleted people keep theirs, so there may be several. */
  readonly byEmail: Map<string, string[]>;
  readonly groups: Map<string, GroupRecord>;
  readonly tokens: Map<string, { readonly clientId: string; readonly expiresAt: number }>;
  /** Requests counted per token (or per client at the log-in) in the current minute. */
  readonly windows: Map<string, { readonly startedAt: number; readonly count: number }>;
  /** DELETE requests that were refused or lost once and will work when repeated. */
  readonly struck: Set<string>;
  /** Paths whose next reading drifts, by how often page 1 was asked for. */
  readonly passes: Map<string, number>;
  readonly userListings: Map<string, Listing>;
  groupCount: number;
  tokenCount: number;
  responseCount: number;
  /** Grows whenever a user changes. */
  userRevision: number;
}

export function createOrganisation(): Organisation {
  return {
    users: new Map(),
    accounts: new Map(),
    byEmail: new Map(),
    groups: new Map(),
    tokens: new Map(),
    windows: new Map(),
    struck: new Set(),
    passes: new Map(),
    userListings: new Map(),
    groupCount: 0,
    tokenCount: 0,
    responseCount: 0,
    userRevision: 0,
  };
}

export function copyOrganisation(organisation: Organisation): Organisation {
  const groups = new Map<string, GroupRecord>();
  for (const [id, record] of organisation.groups) {
    groups.set(id, {
      fields: record.fields,
      individuals: new Set(record.individuals),
      changes: record.changes.map((change) => ({ ...change, wasIndividual: new Map(change.wasIndividual) })),
      revision: record.revision,
      listings: new Map(),
    });
  }
  return {
    ...organisation,
    users: new Map(organisation.users),
    accounts: new Map(organisation.accounts),
    byEmail: new Map([...organisation.byEmail].map(([email, ids]) => [email, [...ids]])),
    groups,
    tokens: new Map(organisation.tokens),
    windows: new Map(organisation.windows),
    struck: new Set(organisation.struck),
    passes: new Map(organisation.passes),
    userListings: new Map(),
  };
}

/** The state of a Genesys user for a status of the seed: Genesys knows neither pending people nor guests. */
function userState(status: SeedPerson["status"]): UserRecord["state"] {
  if (status === "disabled") return "inactive";
  return status === "deleted" ? "deleted" : "active";
}

export function addUser(organisation: Organisation, person: SeedPerson): string {
  const id = stableUuid("genesys", "user", person.id);
  if (organisation.users.has(id)) throw new Error(`genesys: person "${person.id}" exists already`);
  const state = userState(person.status);
  organisation.users.set(id, { id, name: person.name ?? person.email, email: person.email, state, version: 1 });
  organisation.accounts.set(person.id, id);
  const email = person.email.toLowerCase();
  organisation.byEmail.set(email, [...(organisation.byEmail.get(email) ?? []), id]);
  organisation.userRevision++;
  return id;
}

export function setUserStatus(organisation: Organisation, id: string, status: SeedPerson["status"]): void {
  const user = organisation.users.get(id);
  if (!user) throw new Error(`genesys: no user ${id}`);
  organisation.users.set(id, { ...user, state: userState(status), version: user.version + 1 });
  organisation.userRevision++;
}

/** Values of a group that its maker did not give. */
export const groupDefaults = {
  type: "official",
  state: "active",
  visibility: "public",
  rulesVisible: true,
  rolesEnabled: false,
  includeOwners: false,
  callsEnabled: false,
  addresses: [],
  images: [],
  owners: [],
  derived: [],
  version: 1,
} as const satisfies Partial<GroupFields>;

/** Makes a group; with `visibleAt`, readers see it only from that moment on. */
export function addGroupRecord(
  organisation: Organisation,
  fields: Omit<GroupFields, "id">,
  individuals: Iterable<string>,
  visibleAt?: number,
): GroupRecord {
  organisation.groupCount++;
  const id = stableUuid("genesys", "group", String(organisation.groupCount));
  const record: GroupRecord = {
    fields: { ...fields, id },
    individuals: new Set(individuals),
    changes: visibleAt === undefined ? [] : [{ visibleAt, before: undefined, wasIndividual: new Map() }],
    revision: 0,
    listings: new Map(),
  };
  organisation.groups.set(id, record);
  return record;
}

/** Makes a group of the seed, or one made by hand: visible at once. People without an account here are left out. */
export function addSeedGroup(organisation: Organisation, group: SeedGroup, dateModified: string): string {
  const idsOf = (people: readonly string[] = []) => people.flatMap((person) => organisation.accounts.get(person) ?? []);
  const added = idsOf([...(group.members ?? []), ...(group.managers ?? [])]);
  const dynamic = group.kind === "dynamic";
  const record = addGroupRecord(
    organisation,
    {
      ...groupDefaults,
      name: group.name,
      ...(group.description === undefined ? {} : { description: group.description }),
      owners: [...new Set(idsOf(group.owners))],
      // In a group with a skill expression people are in because of the expression.
      derived: dynamic ? [...new Set(added)] : [],
      ...(dynamic ? { query: seedQuery(organisation.groupCount) } : {}),
      dateModified,
    },
    dynamic ? [] : added,
  );
  return record.fields.id;
}

function seedQuery(seed: number): { readonly skillConditions: readonly unknown[] } {
  const skill = stableUuid("genesys", "skill", String(seed));
  const proficiency = 1 + Math.floor(createRandom(seed)() * 5);
  const condition = { routingSkill: skill, comparator: "GreaterThanOrEqualTo", proficiency, childConditions: [] };
  return { skillConditions: [{ routingSkillConditions: [condition], languageSkillConditions: [], operation: "And" }] };
}

/** A change to a group, as a request makes it. */
export interface GroupChange {
  readonly fields?: Partial<Omit<GroupFields, "id" | "version" | "dateModified">>;
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
}

export interface ChangeTiming {
  readonly now: number;
  /** When readers may see the change; undefined for at once. */
  readonly visibleAt: number | undefined;
  readonly versionStep: number;
}

/** Applies a change of the API. A change that changes nothing leaves the version alone. Returns whether it did. */
export function changeGroup(record: GroupRecord, change: GroupChange, timing: ChangeTiming): boolean {
  const wasIndividual = new Map<string, boolean>();
  for (const id of change.remove ?? []) if (record.individuals.has(id)) wasIndividual.set(id, true);
  for (const id of change.add ?? []) if (!record.individuals.has(id)) wasIndividual.set(id, false);
  if (!change.fields && wasIndividual.size === 0) return false;
  if (timing.visibleAt !== undefined) {
    record.changes.push({ visibleAt: timing.visibleAt, before: record.fields, wasIndividual });
  }
  for (const [id, was] of wasIndividual) {
    if (was) record.individuals.delete(id);
    else record.individuals.add(id);
  }
  record.fields = changedFields(record.fields, change, timing);
  record.revision++;
  return true;
}

function changedFields(fields: GroupFields, change: GroupChange, timing: ChangeTiming): GroupFields {
  return {
    ...fields,
    ...change.fields,
    version: fields.version + timing.versionStep,
    dateModified: new Date(timing.now).toISOString(),
  };
}

/** Applies an edit made by hand: readers see it at once, while changes still hidden stay hidden. */
export function changeGroupAtOnce(record: GroupRecord, change: GroupChange, timing: ChangeTiming): void {
  changeGroup(record, change, { ...timing, visibleAt: undefined });
  for (const [index, hidden] of record.changes.entries()) {
    const before = hidden.before && changedFields(hidden.before, change, timing);
    const wasIndividual = new Map(hidden.wasIndividual);
    for (const id of [...(change.add ?? []), ...(change.remove ?? [])]) wasIndividual.delete(id);
    record.changes[index] = { visibleAt: hidden.visibleAt, before, wasIndividual };
  }
  record.revision++;
}

/** The group as a reader sees it at a moment; undefined when it was not there, or is deleted. */
export function viewGroup(record: GroupRecord, at: number): GroupView | undefined {
  // Whatever came after a change that is still hidden is hidden with it: no change overtakes another.
  const first = record.changes.findIndex((change) => change.visibleAt > at);
  const hidden = first < 0 ? [] : record.changes.slice(first);
  const fields = hidden[0] ? hidden[0].before : record.fields;
  if (!fields || fields.state === "deleted") return undefined;
  const wasIndividual = new Map<string, boolean>();
  // From the newest to the oldest: what was there before the oldest hidden change is what a reader sees.
  for (const change of hidden.toReversed()) for (const [id, was] of change.wasIndividual) wasIndividual.set(id, was);
  return { record, fields, wasIndividual, hidden: hidden.length };
}

/** Forgets changes that every reader may see from now on. */
export function forgetChanges(record: GroupRecord, visibleSince: number): void {
  while (record.changes[0] && record.changes[0].visibleAt <= visibleSince) record.changes.shift();
}

export function isIndividual(view: GroupView, userId: string): boolean {
  return view.wasIndividual.get(userId) ?? view.record.individuals.has(userId);
}

/** Individuals and people included by a rule, inactive ones too [HELP-add]; owners who are neither do not count. */
export function memberCount(view: GroupView): number {
  let count = view.record.individuals.size;
  for (const [id, was] of view.wasIndividual) count += Number(was) - Number(view.record.individuals.has(id));
  for (const id of view.fields.derived) if (!isIndividual(view, id)) count++;
  return count;
}

/** The people of `/individuals` or of `/members` (with owners and people included by a rule), ordered by name. */
export function listGroup(
  organisation: Organisation,
  view: GroupView,
  kind: "individuals" | "members",
  inactive: boolean,
): readonly UserRecord[] {
  const stamp = `${view.record.revision}:${view.hidden}:${organisation.userRevision}`;
  return cached(view.record.listings, kind, stamp, () => {
    const ids = new Set<string>();
    for (const id of view.record.individuals) if (isIndividual(view, id)) ids.add(id);
    for (const [id, was] of view.wasIndividual) if (was) ids.add(id);
    if (kind === "members") for (const id of [...view.fields.owners, ...view.fields.derived]) ids.add(id);
    const users = [...ids].flatMap((id) => organisation.users.get(id) ?? []);
    return byName(inactive ? users : users.filter((user) => user.state === "active"));
  });
}

/** Every user in a state (`any` for all), ordered by name. */
export function listUsers(organisation: Organisation, state: string): readonly UserRecord[] {
  return cached(organisation.userListings, state, String(organisation.userRevision), () =>
    byName([...organisation.users.values()].filter((user) => state === "any" || user.state === state)),
  );
}

/** Every group a reader sees at a moment, ordered by name. */
export function listGroups(organisation: Organisation, at: number): readonly GroupView[] {
  const views = [...organisation.groups.values()].flatMap((record) => viewGroup(record, at) ?? []);
  return views.sort((left, right) => compare(left.fields.name, right.fields.name) || compareIds(left, right));
}

function cached(
  listings: Map<string, Listing>,
  key: string,
  stamp: string,
  build: () => readonly UserRecord[],
): readonly UserRecord[] {
  const known = listings.get(key);
  if (known?.stamp === stamp) return known.users;
  const users = build();
  listings.set(key, { stamp, users });
  return users;
}

function byName(users: UserRecord[]): readonly UserRecord[] {
  return users.sort((left, right) => compare(left.name, right.name) || compare(left.id, right.id));
}

function compareIds(left: GroupView, right: GroupView): number {
  return compare(left.fields.id, right.fields.id);
}

/** Order by code unit: fast, and the same on every machine. */
export function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** The group as it truly is. An owner who was added as well is shown once, as an owner who is an individual. */
export function trueGroup(record: GroupRecord): TrueGroup {
  const { id, name, description, owners, derived } = record.fields;
  const roles = new Map<string, SeedRole>([...record.individuals, ...derived].map((account) => [account, "member"]));
  for (const owner of owners) roles.set(owner, "owner");
  return {
    id,
    name,
    ...(description === undefined ? {} : { description }),
    members: [...roles].map(([account, role]) => ({ account, role, direct: record.individuals.has(account) })),
    invited: [],
  };
}
