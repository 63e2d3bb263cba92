/**
 * Rosters that people have: tables, JSON, peribolos, Google groups as kubernetes/k8s.io keeps them, SCIM lists. Each is
 * read into the same plain shape; what it says that a spec cannot say becomes a remark.
 */
import { parse as parseCsv } from "csv-parse/sync";
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { Role } from "../model.js";
import { readTable } from "../spec/csv.js";
import { type KeyPath, type Origin, type Problems, quote, renderPath } from "../spec/problems.js";
import { emailSchema } from "../spec/schema.js";

/** The forms that can be read. */
export const ROSTER_FORMATS = ["csv", "json", "peribolos", "google-groups", "scim"] as const;
export type RosterFormat = (typeof ROSTER_FORMATS)[number];

/** Someone of a roster, under the word by which its lists call them. */
interface RosterPerson {
  readonly email?: string;
  readonly name?: string;
  /** Their id at the service that the roster is from. */
  readonly account?: string;
}

export interface RosterMember {
  readonly person: string;
  readonly role: Role;
  readonly until?: string;
}

export interface RosterGroup {
  /** The word by which other groups of the roster call it. */
  readonly key: string;
  readonly name: string;
  readonly description?: string;
  readonly previously?: readonly string[];
  readonly members: readonly RosterMember[];
  /** Keys of groups whose people all belong to this one. */
  readonly includes: readonly string[];
  /** What could not be carried. */
  readonly remarks: readonly string[];
}

export interface Roster {
  readonly people: ReadonlyMap<string, RosterPerson>;
  readonly groups: readonly RosterGroup[];
  readonly remarks: readonly string[];
}

/** What is known of the file that is read. */
interface Source {
  readonly text: string;
  readonly file: string;
  readonly problems: Problems;
}

/** Reads a roster. What is wrong is told to `problems`; what could be read comes back all the same. */
export function readRoster(source: Source, format: RosterFormat): Roster {
  if (format === "csv") return readCsvRoster(source);
  const root = readTree(source);
  switch (format) {
    case "peribolos":
      return readPeribolos(root, source);
    case "google-groups":
      return readGoogleGroups(root, source);
    case "scim":
      return readScim(root, source);
    case "json":
      return readJson(root, source);
  }
}

/** The form that a file has, by its name and what stands in it. Undefined: none of them. */
export function detectFormat(text: string, file: string): RosterFormat | "spec" | undefined {
  if (/\.(csv|tsv)$/i.test(file)) return "csv";
  const { contents: root } = parseDocument(text, { logLevel: "silent", uniqueKeys: false });
  if (isSeq(root)) return "json";
  if (!isMap(root)) return /^[^\n]*,/.test(text) ? "csv" : undefined;
  const has = (key: string) => root.has(key);
  if (has("version") && has("providers")) return "spec";
  if (has("Resources") || has("schemas")) return "scim";
  if (has("orgs") || has("teams")) return "peribolos";
  const groups = root.get("groups");
  if (isSeq(groups) && groups.items.some((item) => isMap(item) && item.has("email-id"))) return "google-groups";
  return "json";
}

/** A value of a tree with the place where it stands. */
interface Tree {
  readonly kind: "map" | "list" | "text" | "nothing";
  readonly text: string;
  readonly origin: Origin;
  readonly items: readonly Tree[];
  readonly entries: readonly (readonly [string, Tree])[];
  get(key: string): Tree;
}

function readTree({ text, file, problems }: Source): Tree {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
  const placeAt = (offset: number, path: KeyPath): Origin => {
    const { line, col } = lines.linePos(offset);
    return { file, line, column: col, path: renderPath(path) };
  };
  for (const { pos, message } of document.errors.slice(0, 5))
    problems.error(placeAt(pos[0], []), `This cannot be read: ${message}.`);
  problems.throwIfAny();

  const grow = (written: unknown, path: KeyPath, above: Origin): Tree => {
    const node = isAlias(written) ? written.resolve(document) : written;
    const origin =
      isMap(node) || isSeq(node) || isScalar(node)
        ? placeAt(node.range?.[0] ?? 0, path)
        : { ...above, path: renderPath(path) };
    const entries = isMap(node)
      ? node.items.map(({ key, value }) => {
          const name = isScalar(key) ? String(key.value) : String(key);
          return [name, grow(value, [...path, name], origin)] as const;
        })
      : [];
    const byKey = new Map(entries);
    const nothing = isScalar(node) && node.value === null;
    return {
      kind: isMap(node) ? "map" : isSeq(node) ? "list" : isScalar(node) && !nothing ? "text" : "nothing",
      // As it is written: an id such as 007 is no number.
      text:
        isScalar(node) && !nothing
          ? String(typeof node.value === "string" ? node.value : (node.source ?? node.value))
          : "",
      origin,
      items: isSeq(node) ? node.items.map((item, index) => grow(item, [...path, index], origin)) : [],
      entries,
      get: (key) => byKey.get(key) ?? grow(undefined, [...path, key], origin),
    };
  };
  return grow(document.contents, [], { file, line: 1, column: 1, path: "" });
}

/** What the readers below collect. */
function createRoster({ problems }: Pick<Source, "problems">) {
  const people = new Map<string, RosterPerson>();
  const groups: RosterGroup[] = [];
  const remarks: string[] = [];
  /** Notes someone under the word of a list; letters of either case mean the same person. */
  function meet(word: string, more: RosterPerson = {}): string {
    const key = word.trim().toLowerCase();
    const email = emailSchema.safeParse(word.trim()).success ? { email: word.trim() } : {};
    people.set(key, { ...email, ...people.get(key), ...more });
    return key;
  }
  /** A list of words; anything else in it is told. */
  function words(list: Tree): readonly Tree[] {
    if (list.kind === "nothing") return [];
    if (list.kind !== "list") {
      problems.error(list.origin, `Found ${list.kind === "map" ? "a map" : quote(list.text)}; expected a list.`);
      return [];
    }
    return list.items.filter((item) => {
      const isGood = item.kind === "text" && item.text.trim() !== "";
      if (!isGood) problems.error(item.origin, "Found something that is not a name, an id or an address.");
      return isGood;
    });
  }
  return { people, groups, remarks, meet, words };
}

const ROLE_WORDS: Readonly<Record<string, Role>> = {
  "": "member",
  member: "member",
  manager: "manager",
  maintainer: "manager",
  admin: "owner",
  owner: "owner",
};

const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  group: ["group", "group name", "group_name", "team"],
  person: ["person", "user", "member", "id", "login", "username"],
  email: ["email", "e-mail", "mail", "email address"],
  name: ["name", "full name", "display name"],
  role: ["role"],
  until: ["until", "expires", "end"],
};

/** A table: one row per membership where there is a column for the group; else one row per person, one column per group. */
function readCsvRoster(source: Source): Roster {
  const { text, file, problems } = source;
  const roster = createRoster(source);
  const [header = []] = parseCsv(text.replace(/^\uFEFF/, ""), {
    to_line: 1,
    relax_quotes: true,
    relax_column_count: true,
  });
  const names = header.map((name) => name.trim());
  const rows = readTable(text, file, { required: names, optional: [] }, problems) ?? [];
  const columnFor = (what: string) => names.find((name) => COLUMNS[what]?.includes(name.toLowerCase()));
  const [group, person, email, name, role, until] = ["group", "person", "email", "name", "role", "until"].map(
    columnFor,
  );
  const start: Origin = { file, line: 1, column: 1, path: "" };
  const idColumn = person ?? email ?? name;
  if (idColumn === undefined) {
    problems.error(start, "No column says who: name one of them person, email or name.");
    return roster;
  }
  const lists = new Map<string, RosterMember[]>();
  const listOf = (key: string): RosterMember[] => {
    const list = lists.get(key) ?? [];
    lists.set(key, list);
    return list;
  };
  const used = new Set([group, person, email, name, role, until]);
  const others = names.filter((column) => !used.has(column));
  if (group === undefined) for (const column of others) listOf(column);
  else if (others.length > 0) roster.remarks.push(`The columns ${others.join(", ")} are not carried.`);
  for (const row of rows) {
    const at = (column: string) => row.origin(column, [])();
    const word = row.cell(idColumn) || (email === undefined ? "" : row.cell(email));
    if (word === "") {
      problems.error(at(idColumn), "This row says nobody.");
      continue;
    }
    const address = email === undefined ? "" : row.cell(email);
    if (address !== "" && !emailSchema.safeParse(address).success)
      problems.error(at(email ?? ""), `${quote(address)} is not an e-mail address.`);
    const key = roster.meet(word, {
      ...(address !== "" && { email: address }),
      ...(name !== undefined && row.cell(name) !== "" && { name: row.cell(name) }),
    });
    if (group !== undefined) {
      if (row.cell(group) === "") problems.error(at(group), "This row has no group.");
      const held = role === undefined ? "" : row.cell(role);
      const known = ROLE_WORDS[held.toLowerCase()];
      if (!known) problems.error(at(role ?? ""), `Found the role ${quote(held)}; expected member, manager or owner.`);
      const end = until === undefined ? "" : row.cell(until);
      listOf(row.cell(group)).push({ person: key, role: known ?? "member", ...(end !== "" && { until: end }) });
      continue;
    }
    for (const column of others) {
      const mark = row.cell(column).toLowerCase();
      if (["", "0", "-", "no", "n", "false"].includes(mark)) continue;
      const held = ["x", "1", "yes", "y", "true", "✓", "✔"].includes(mark) ? "member" : ROLE_WORDS[mark];
      if (held) listOf(column).push({ person: key, role: held });
      else
        problems.error(
          at(column),
          `Found ${quote(row.cell(column))}; expected x, nothing, or a role: member, manager, owner.`,
        );
    }
  }
  for (const [key, members] of lists) roster.groups.push({ key, name: key, members, includes: [], remarks: [] });
  return roster;
}

/** `{ groups: [{ name, members, managers, owners }], people: [{ id, email }] }`, `{ group: [people] }`, or rows. */
function readJson(root: Tree, source: Source): Roster {
  const roster = createRoster(source);
  const { problems } = source;
  if (root.kind === "list") {
    const lists = new Map<string, RosterMember[]>();
    for (const row of root.items) {
      const [group, role] = [row.get("group").text, row.get("role").text];
      const word = row.get("person").text || row.get("email").text;
      const known = ROLE_WORDS[role.toLowerCase()];
      if (group === "" || word === "") problems.error(row.origin, "Expected { group, person or email, role? }.");
      else if (!known)
        problems.error(row.get("role").origin, `Found the role ${quote(role)}; expected member, manager or owner.`);
      else lists.set(group, [...(lists.get(group) ?? []), { person: roster.meet(word, describe(row)), role: known }]);
    }
    for (const [key, members] of lists) roster.groups.push({ key, name: key, members, includes: [], remarks: [] });
    return roster;
  }
  for (const person of root.get("people").items) {
    const word = person.get("id").text || person.get("email").text;
    if (word === "") problems.error(person.origin, "This person has neither id nor email.");
    else roster.meet(word, describe(person));
  }
  const listed = root.get("groups");
  const groups =
    listed.kind === "list"
      ? listed.items.map((group) => [group.get("name").text, group] as const)
      : (listed.kind === "map" ? listed : root).entries;
  for (const [key, group] of groups) {
    if (key === "") {
      problems.error(group.origin, "This group has no name.");
      continue;
    }
    const lists = group.kind === "map" ? group : undefined;
    const known = ["name", "description", "members", "managers", "owners", "previously"];
    const lost = (lists?.entries ?? []).map(([name]) => name).filter((name) => !known.includes(name));
    const description = lists?.get("description").text;
    roster.groups.push({
      key,
      name: lists?.get("name").text || key,
      ...(description && { description }),
      ...(lists &&
        lists.get("previously").kind === "list" && {
          previously: roster.words(lists.get("previously")).map(({ text }) => text),
        }),
      members: [
        ...listMembers(lists?.get("members") ?? group, "member", roster),
        ...(lists ? listMembers(lists.get("managers"), "manager", roster) : []),
        ...(lists ? listMembers(lists.get("owners"), "owner", roster) : []),
      ],
      includes: [],
      remarks: lost.length > 0 ? [`not carried: ${lost.join(", ")}`] : [],
    });
  }
  return roster;
}

function describe(row: Tree): RosterPerson {
  const [email, name] = [row.get("email").text, row.get("name").text];
  return { ...(email !== "" && { email }), ...(name !== "" && { name }) };
}

function listMembers(list: Tree, role: Role, roster: ReturnType<typeof createRoster>): readonly RosterMember[] {
  return roster.words(list).map(({ text }) => ({ person: roster.meet(text), role }));
}

/** https://github.com/kubernetes-sigs/prow, peribolos: orgs with members, admins and teams; teams have children. */
function readPeribolos(root: Tree, source: Source): Roster {
  const roster = createRoster(source);
  const orgs = root.get("orgs").kind === "map" ? root.get("orgs").entries : [["", root] as const];
  const several = orgs.length > 1;
  const addTeam = (name: string, team: Tree, prefix: string, parent: string | undefined): void => {
    const lost = team.entries.map(([key]) => key).filter((key) => ["privacy", "repos"].includes(key));
    const children = team.get("children").entries;
    const description = team.get("description").text;
    roster.groups.push({
      key: prefix + name,
      name: prefix + name,
      ...(description && { description }),
      ...(team.get("previously").kind === "list" && {
        previously: roster.words(team.get("previously")).map(({ text }) => prefix + text),
      }),
      members: [
        ...listMembers(team.get("members"), "member", roster),
        ...listMembers(team.get("maintainers"), "manager", roster),
      ],
      includes: [],
      remarks: [
        ...(parent === undefined ? [] : [`was a team within ${parent}; groups here stand side by side`]),
        ...(lost.length > 0 ? [`not carried: ${lost.join(", ")}`] : []),
      ],
    });
    for (const [child, inner] of children) addTeam(child, inner, prefix, prefix + name);
  };
  for (const [org, content] of orgs) {
    const prefix = several ? `${org}/` : "";
    const members = [
      ...listMembers(content.get("members"), "member", roster),
      ...listMembers(content.get("admins"), "owner", roster),
    ];
    if (members.length > 0) {
      const name = org === "" ? "organisation" : org;
      roster.groups.push({
        key: `org ${name}`,
        name,
        members,
        includes: [],
        remarks: ["everybody of the organisation; its admins are owners"],
      });
    }
    const lost = content.entries
      .map(([key]) => key)
      .filter((key) => !["members", "admins", "teams", "orgs"].includes(key));
    if (lost.length > 0) roster.remarks.push(`Not carried of ${org || "the organisation"}: ${lost.join(", ")}.`);
    for (const [name, team] of content.get("teams").entries) addTeam(name, team, prefix, undefined);
  }
  return roster;
}

/** https://github.com/kubernetes/k8s.io/tree/main/groups: addresses throughout; a group may be a member of another. */
function readGoogleGroups(root: Tree, source: Source): Roster {
  const roster = createRoster(source);
  const groups = root.get("groups").items;
  const keys = new Set(groups.map((group) => group.get("email-id").text.toLowerCase()));
  for (const group of groups) {
    const key = group.get("email-id").text.toLowerCase();
    if (key === "") {
      source.problems.error(group.origin, "This group has no email-id.");
      continue;
    }
    const remarks: string[] = [];
    const includes: string[] = [];
    const members: RosterMember[] = [];
    for (const [list, role] of [
      ["members", "member"],
      ["managers", "manager"],
      ["owners", "owner"],
    ] as const) {
      for (const { text } of roster.words(group.get(list))) {
        const word = text.trim().toLowerCase();
        if (!keys.has(word)) members.push({ person: roster.meet(text), role });
        else {
          includes.push(word);
          if (role !== "member") remarks.push(`the people of ${word} were ${list}; included people are plain members`);
        }
      }
    }
    const settings = group.get("settings").entries.map(([name]) => name);
    if (settings.length > 0) remarks.push(`settings are not carried: ${settings.join(", ")}`);
    const description = group.get("description").text.replace(/\s+/g, " ").trim();
    roster.groups.push({
      key,
      name: group.get("name").text || (key.split("@")[0] ?? key),
      ...(description && { description }),
      members,
      includes: [...new Set(includes)],
      remarks,
    });
  }
  return roster;
}

/** RFC 7644 §3.4.2: a list response with groups, and users where they are in it. */
function readScim(root: Tree, source: Source): Roster {
  const roster = createRoster(source);
  const { problems } = source;
  const resources = root.get("Resources").kind === "list" ? root.get("Resources").items : [root];
  const total = Number(root.get("totalResults").text || resources.length);
  if (total > resources.length) {
    problems.error(
      root.get("totalResults").origin,
      `The list holds ${resources.length} of ${total}; save all of its pages in one file.`,
    );
  }
  const isUser = (resource: Tree) => resource.get("userName").kind === "text";
  for (const user of resources.filter(isUser)) {
    const [email] = [
      ...user.get("emails").items.map((each) => each.get("value").text),
      user.get("userName").text,
    ].filter((text) => emailSchema.safeParse(text).success);
    const name = user.get("displayName").text;
    roster.meet(user.get("id").text, {
      account: user.get("id").text,
      ...(email !== undefined && { email }),
      ...(name !== "" && { name }),
    });
  }
  const groups = resources.filter((resource) => !isUser(resource));
  const keys = new Set(groups.map((group) => group.get("id").text));
  for (const group of groups) {
    const [key, name] = [group.get("id").text, group.get("displayName").text];
    if (key === "" || name === "") {
      problems.error(group.origin, "Expected a group with id and displayName.");
      continue;
    }
    const includes: string[] = [];
    const members: RosterMember[] = [];
    for (const member of group.get("members").items) {
      const [value, display] = [member.get("value").text, member.get("display").text];
      if (value === "") problems.error(member.origin, "This member has no value.");
      else if (keys.has(value)) includes.push(value);
      else {
        const isAddress = emailSchema.safeParse(display).success;
        const person = roster.meet(value, {
          account: value,
          ...(display !== "" && (isAddress ? { email: display } : { name: display })),
        });
        members.push({ person, role: "member" });
      }
    }
    roster.groups.push({ key, name, members, includes, remarks: [] });
  }
  return roster;
}
