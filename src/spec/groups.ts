/**
 * Groups as they are meant: lists from YAML and CSV joined, includes resolved, each provider's overrides applied.
 *
 * Absent is not empty. A role is managed at a target when the spec has a list for it: a key (`members`, `managers`,
 * `owners`; `includes` counts as members), or at least one row of that role in the memberships file. `[]` is a list.
 */
import type { DesiredMember, Mode, Role } from "../model.js";
import { ABOVE_ROLES, ROLES } from "../model.js";
import type { TableRow } from "./csv.js";
import { readTable } from "./csv.js";
import type { Directory } from "./people.js";
import {
  createSpeller,
  didYouMean,
  type KeyPath,
  type LazyOrigin,
  type Problems,
  quote,
  renderPath,
} from "./problems.js";
import { dateSchema, type GroupEntry, type MemberEntry, type TargetEntry } from "./schema.js";

/** One entry of a list, and where it stands. */
interface Listing {
  readonly person: string;
  readonly until?: string;
  readonly origin: LazyOrigin;
}

/** What the spec says about each role; a role without a list is not managed. */
type RoleLists = Readonly<Partial<Record<Role, readonly Listing[]>>>;

/** Where the list of a role stands. */
export const LIST_KEYS = { member: "members", manager: "managers", owner: "owners" } as const satisfies Record<
  Role,
  string
>;

/** The membership of a group at a target. */
interface Roster {
  readonly managed: Readonly<Record<Role, boolean>>;
  readonly members: readonly DesiredMember[];
}

/** What the resolving of groups needs. */
export interface GroupContext {
  readonly groups: ReadonlyMap<string, GroupEntry>;
  /** Groups that are in the file, even if what is said about them is wrong. */
  readonly groupIds: ReadonlySet<string>;
  readonly isBroken: (path: KeyPath) => boolean;
  readonly directory: Directory;
  readonly origin: (path: KeyPath) => LazyOrigin;
  readonly problems: Problems;
}

/** A membership of the memberships file. */
export interface MembershipRow extends Listing {
  readonly role: Role;
}

const ROLE_NAMES: readonly string[] = ROLES;

/** Reads the memberships file: rows by group. Undefined when it cannot be read. */
export function readMemberships(
  text: string,
  file: string,
  context: Pick<GroupContext, "groupIds" | "directory" | "problems">,
): ReadonlyMap<string, readonly MembershipRow[]> | undefined {
  const { groupIds, directory, problems } = context;
  const rows = readTable(text, file, { required: ["group", "person"], optional: ["role", "until"] }, problems);
  if (!rows) return undefined;
  const unknownGroups = createTally();
  const unknownPeople = createTally();
  const memberships = new Map<string, MembershipRow[]>();
  rows.forEach((row, index) => {
    const at = (column: string): LazyOrigin => row.origin(column, ["memberships", index, column]);
    const group = row.cell("group");
    const person = row.cell("person");
    if (group === "") problems.error(at("group")(), "This row has no group.");
    else if (!groupIds.has(group)) unknownGroups.add(group, at("group"));
    if (person === "") problems.error(at("person")(), "This row has no person.");
    else if (!directory.isKnown(person)) unknownPeople.add(person, at("person"));
    const role = readRole(row, at, problems);
    const until = readUntil(row, at, problems);
    if (!groupIds.has(group) || person === "" || role === undefined) return;
    const membership = { person, role, ...(until !== undefined && { until }), origin: at("person") };
    const known = memberships.get(group);
    if (known) known.push(membership);
    else memberships.set(group, [membership]);
  });
  const speller = createSpeller(groupIds);
  unknownGroups.each((group, origin, times) => {
    const hint = didYouMean(group, speller) || " Add it to groups.";
    problems.error(origin(), `There is no group ${quote(group)}${times}.${hint}`);
  });
  unknownPeople.each((person, origin, times) => {
    const message = directory.explainUnknown(person, groupIds);
    problems.error(origin(), times === "" ? message : `${message} (${times.trim()})`);
  });
  return memberships;
}

/** Counts what is wrong in many rows in the same way: it is told once, at the first. */
function createTally() {
  const firsts = new Map<string, { readonly origin: LazyOrigin; count: number }>();
  return {
    add: (word: string, origin: LazyOrigin): void => {
      const first = firsts.get(word);
      if (first) first.count++;
      else firsts.set(word, { origin, count: 1 });
    },
    each: (tell: (word: string, origin: LazyOrigin, times: string) => void): void => {
      for (const [word, { origin, count }] of firsts) tell(word, origin, count === 1 ? "" : ` in ${count} rows`);
    },
  };
}

function readRole(row: TableRow, at: (column: string) => LazyOrigin, problems: Problems): Role | undefined {
  const text = row.cell("role") || "member";
  const role = ROLES.find((known) => known === text);
  if (role === undefined) {
    const near = didYouMean(text, createSpeller(ROLE_NAMES));
    problems.error(at("role")(), `Found the role ${quote(text)}; expected one of ${ROLE_NAMES.join(", ")}.${near}`);
  }
  return role;
}

function readUntil(row: TableRow, at: (column: string) => LazyOrigin, problems: Problems): string | undefined {
  const text = row.cell("until");
  if (text === "") return undefined;
  if (!dateSchema.safeParse(text).success) {
    problems.error(at("until")(), `Found ${quote(text)}; expected a day that exists, as YYYY-MM-DD.`);
  }
  return text;
}

/** Everyone's memberships, group by group, before any provider's overrides. */
export interface ResolvedGroups {
  /** The roster of a group at a target; the same object for targets that override nothing. */
  readonly rosterOf: (group: string, target: TargetEntry | undefined, targetPath: KeyPath) => Roster;
}

/** Joins the lists of all groups and resolves their includes. */
export function resolveGroups(
  context: GroupContext,
  memberships: ReadonlyMap<string, readonly MembershipRow[]>,
): ResolvedGroups {
  const lists = new Map<string, RoleLists>();
  for (const [id, entry] of context.groups) {
    const own = readLists(entry, ["groups", id], context);
    const joined = joinRows(own, memberships.get(id) ?? []);
    checkListedOnce(joined, context.problems);
    lists.set(id, joined);
  }
  const cyclic = checkIncludes(context, lists);
  const reach = resolveIncludes(context, lists, cyclic);
  const rosters = new Map<string, Roster>();

  function rosterOf(group: string, target: TargetEntry | undefined, targetPath: KeyPath): Roster {
    const overrides = target ? readLists(target, targetPath, context) : {};
    const isOverridden = Object.keys(overrides).length > 0;
    const known = isOverridden ? undefined : rosters.get(group);
    if (known) return known;
    const entry = context.groups.get(group);
    const own = lists.get(group) ?? {};
    const included =
      overrides.member || cyclic.has(group) ? [] : (entry?.includes ?? []).map((id) => reach.get(id) ?? new Map());
    if (isOverridden) checkListedOnce(overrides, context.problems);
    const effective = isOverridden ? override(own, overrides) : own;
    const roster = {
      managed: {
        member: effective.member !== undefined || (entry?.includes !== undefined && !overrides.member),
        manager: effective.manager !== undefined,
        owner: effective.owner !== undefined,
      },
      members: joinMembers(effective, included),
    };
    if (isOverridden) warnOfDropped(own, overrides, roster, targetPath, context);
    else rosters.set(group, roster);
    return roster;
  }

  return { rosterOf };
}

function readLists(entry: GroupEntry | TargetEntry, path: KeyPath, context: GroupContext): RoleLists {
  const lists: Partial<Record<Role, readonly Listing[]>> = {};
  for (const role of ROLES) {
    const key = LIST_KEYS[role];
    const list = entry[key];
    if (list) lists[role] = list.map((item, index) => readListing(item, [...path, key, index], context));
  }
  return lists;
}

function readListing(item: MemberEntry, path: KeyPath, context: GroupContext): Listing {
  const { person, until } = typeof item === "string" ? { person: item, until: undefined } : item;
  const origin = context.origin(typeof item === "string" ? path : [...path, "person"]);
  if (!context.directory.isKnown(person)) {
    context.problems.error(origin(), context.directory.explainUnknown(person, context.groupIds));
  }
  return { person, ...(until !== undefined && { until }), origin };
}

function joinRows(own: RoleLists, rows: readonly MembershipRow[]): RoleLists {
  if (rows.length === 0) return own;
  const joined: Partial<Record<Role, readonly Listing[]>> = { ...own };
  for (const role of ROLES) {
    const ofRole = rows.filter((row) => row.role === role);
    if (ofRole.length > 0) joined[role] = [...(own[role] ?? []), ...ofRole];
  }
  return joined;
}

function checkListedOnce(lists: RoleLists, problems: Problems): void {
  const seen = new Map<string, { readonly role: Role; readonly origin: LazyOrigin }>();
  for (const role of ROLES) {
    for (const { person, origin } of lists[role] ?? []) {
      const first = seen.get(person);
      if (!first) {
        seen.set(person, { role, origin });
        continue;
      }
      const { file, line } = first.origin();
      const here = origin();
      const where = file === here.file ? `line ${line}` : `${file}:${line}`;
      problems.error(
        here,
        first.role === role
          ? `${quote(person)} is listed here a second time (first in ${where}); list everyone once.`
          : `${quote(person)} is listed as ${first.role} (${where}) and as ${role}; list everyone once, with the higher role: ${role === "owner" ? "an" : "a"} ${role} is a member too.`,
      );
    }
  }
}

/** A target's own lists, and the group's for the other roles without those whom the target lists itself. */
function override(own: RoleLists, overrides: RoleLists): RoleLists {
  const moved = new Set(ROLES.flatMap((role) => (overrides[role] ?? []).map(({ person }) => person)));
  const lists: Partial<Record<Role, readonly Listing[]>> = {};
  for (const role of ROLES) {
    const list = overrides[role] ?? own[role]?.filter(({ person }) => !moved.has(person));
    if (list) lists[role] = list;
  }
  return lists;
}

/** Overriding the managers of a group does not make plain members of the others, which is easily overlooked. */
function warnOfDropped(
  own: RoleLists,
  overrides: RoleLists,
  roster: Roster,
  targetPath: KeyPath,
  { problems, origin }: GroupContext,
): void {
  const listed = new Set(roster.members.map(({ person }) => person));
  for (const role of ABOVE_ROLES) {
    const dropped = overrides[role] ? (own[role] ?? []).filter(({ person }) => !listed.has(person)) : [];
    const [first] = dropped;
    if (!first) continue;
    const names = dropped.map(({ person }) => person).join(", ");
    problems.warn(
      origin([...targetPath, LIST_KEYS[role]])(),
      `${names} ${dropped.length === 1 ? `is ${role}` : `are ${role}s`} of the group, and not listed here at all. To keep them as members, list them in ${renderPath([...targetPath, "members"])}.`,
    );
  }
}

/** The last day by person; undefined: without end. */
type Reach = ReadonlyMap<string, string | undefined>;

function checkIncludes(context: GroupContext, lists: ReadonlyMap<string, RoleLists>): ReadonlySet<string> {
  const { groups, groupIds, isBroken, origin, problems } = context;
  const speller = createSpeller(groupIds);
  for (const [id, { includes = [] }] of groups) {
    includes.forEach((included, index) => {
      const at = origin(["groups", id, "includes", index]);
      const entry = groups.get(included);
      if (!groupIds.has(included)) {
        const hint = context.directory.isKnown(included)
          ? ` ${quote(included)} is a person; list them under members.`
          : didYouMean(included, speller) || " Only groups of this spec can be included.";
        problems.error(at(), `There is no group ${quote(included)}.${hint}`);
      } else if (includes.indexOf(included) !== index) {
        problems.error(at(), `${quote(included)} is included here a second time.`);
      } else if (entry && !entry.includes && Object.keys(lists.get(included) ?? {}).length === 0) {
        if (isBroken(["groups", included])) return;
        problems.error(
          at(),
          `The spec does not say who is in ${quote(included)}, so it cannot be included. Give it members ([] if it has none).`,
        );
      }
    });
  }
  return checkCycles(context);
}

/** Finds groups that include themselves, over others or at once. Each cycle is told once, by name. */
function checkCycles({ groups, origin, problems }: GroupContext): ReadonlySet<string> {
  const done = new Set<string>();
  const cyclic = new Set<string>();
  for (const start of groups.keys()) {
    // By hand instead of by recursion: a chain of includes may be as long as the spec.
    const trail: { readonly id: string; next: number }[] = [{ id: start, next: 0 }];
    const onTrail = new Set([start]);
    while (!done.has(start)) {
      const top = trail.at(-1);
      if (!top) break;
      const index = top.next++;
      const included = groups.get(top.id)?.includes?.[index];
      if (included === undefined) {
        done.add(top.id);
        onTrail.delete(top.id);
        trail.pop();
      } else if (onTrail.has(included)) {
        const cycle = trail.slice(trail.findIndex(({ id }) => id === included)).map(({ id }) => id);
        for (const id of cycle) cyclic.add(id);
        problems.error(
          origin(["groups", top.id, "includes", index])(),
          `These groups include each other in a circle: ${[...cycle, included].join(" → ")}. Take one of the includes away.`,
        );
      } else if (groups.has(included) && !done.has(included)) {
        trail.push({ id: included, next: 0 });
        onTrail.add(included);
      }
    }
  }
  return cyclic;
}

/** Who belongs to each group that others include, in whatever role, over all its includes. */
function resolveIncludes(
  { groups }: GroupContext,
  lists: ReadonlyMap<string, RoleLists>,
  cyclic: ReadonlySet<string>,
): ReadonlyMap<string, Reach> {
  const reach = new Map<string, Reach>();
  const roots = [...groups.values()].flatMap(({ includes }) => includes ?? []);
  const open = [...new Set(roots)];
  while (open.length > 0) {
    const id = open.at(-1) ?? "";
    const includes = cyclic.has(id) ? [] : (groups.get(id)?.includes ?? []).filter((inner) => groups.has(inner));
    const missing = includes.filter((inner) => !reach.has(inner) && !cyclic.has(inner));
    if (reach.has(id) || missing.length === 0) {
      open.pop();
      if (!reach.has(id))
        reach.set(
          id,
          unite(
            lists.get(id) ?? {},
            includes.map((inner) => reach.get(inner) ?? new Map()),
          ),
        );
    } else open.push(...missing);
  }
  return reach;
}

function unite(own: RoleLists, included: readonly Reach[]): Reach {
  const all = new Map<string, string | undefined>();
  const add = (person: string, until: string | undefined): void => {
    all.set(person, all.has(person) ? later(all.get(person), until) : until);
  };
  for (const role of ROLES) for (const { person, until } of own[role] ?? []) add(person, until);
  for (const reach of included) for (const [person, until] of reach) add(person, until);
  return all;
}

/** Of two last days the later; without end is the latest. */
function later(left: string | undefined, right: string | undefined): string | undefined {
  return left === undefined || right === undefined ? undefined : left > right ? left : right;
}

/**
 * Everyone of a group. Who comes by an include is a plain member, unless a list gives them more. Who has a higher
 * role here that ends before the included membership does is there twice: as the member that they will be, then as
 * what they are until then. Apart from that, everyone is there once.
 */
function joinMembers(own: RoleLists, included: readonly Reach[]): readonly DesiredMember[] {
  const reach = unite({}, included);
  const higher = new Map<string, Listing>();
  for (const role of ABOVE_ROLES) for (const item of own[role] ?? []) higher.set(item.person, item);
  const plain = new Map<string, string | undefined>();
  for (const { person, until } of own.member ?? [])
    plain.set(person, reach.has(person) ? later(until, reach.get(person)) : until);
  for (const [person, until] of reach) {
    const above = higher.get(person);
    const outlasts = above?.until !== undefined && later(above.until, until) !== above.until;
    if (!plain.has(person) && (!above || outlasts)) plain.set(person, until);
  }
  const toMember = (person: string, role: Role, until: string | undefined): DesiredMember => ({
    person,
    role,
    ...(until !== undefined && { until }),
  });
  return [
    ...[...plain].map(([person, until]) => toMember(person, "member", until)),
    ...(own.manager ?? []).map(({ person, until }) => toMember(person, "manager", until)),
    ...(own.owner ?? []).map(({ person, until }) => toMember(person, "owner", until)),
  ];
}

/** The most specific of several settings that may be left out, given from the general to the specific. */
export function mostSpecific<T extends Mode | boolean>(...settings: readonly (T | undefined)[]): T | undefined {
  return settings.findLast((setting) => setting !== undefined);
}
