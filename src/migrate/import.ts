/** A roster that people have already, written as a spec with comments on what could not be carried. */
import { Document, isMap, isScalar } from "yaml";
import { GroupSyncError } from "../errors.js";
import { ROLES, type Role } from "../model.js";
import type { ProviderType } from "../provider.js";
import { createProblems } from "../spec/problems.js";
import { literal } from "./export.js";
import {
  detectFormat,
  readRoster,
  type Roster,
  ROSTER_FORMATS,
  type RosterFormat,
  type RosterGroup,
  type RosterMember,
} from "./roster.js";
import { createNamer } from "./source.js";

/** How a roster is read. */
export interface ImportOptions {
  /** The name in messages; its ending helps to tell the form. @default "roster" */
  readonly file?: string;
  /** @default what the file looks like */
  readonly from?: RosterFormat;
  /** The provider at which the groups shall stand. */
  readonly provider: {
    readonly id: string;
    readonly type: ProviderType;
    /** Its entry as it should stand in the spec: options, secrets as `${NAME}`. */
    readonly options: Readonly<Record<string, unknown>>;
  };
}

/** A spec as text, and what is worth saying about it. */
export interface ImportedSpec {
  readonly format: RosterFormat;
  readonly text: string;
  readonly people: number;
  readonly groups: number;
  readonly notes: readonly string[];
}

/**
 * Writes a roster as a spec in mode `additive`, so that nobody is removed on the word of a first import. Throws
 * `SpecError` with everything that cannot be understood, each with line and column, and `options-invalid` when the file
 * is no roster at all.
 */
export function importSpec(text: string, options: ImportOptions): ImportedSpec {
  const { file = "roster" } = options;
  const format = options.from ?? detectFormat(text, file);
  if (format === undefined || format === "spec") {
    const what = format === "spec" ? "is a spec of group-sync already" : "is none of the rosters that can be imported";
    throw new GroupSyncError("options-invalid", `${file} ${what}.`, {
      hint: `Forms: ${ROSTER_FORMATS.join(", ")}; --from names one.`,
    });
  }
  const problems = createProblems(file);
  const roster = readRoster({ text, file, problems }, format);
  if (roster.groups.length === 0 && !problems.hasErrors()) {
    problems.error({ file, line: 1, column: 1, path: "" }, `There is no group in it (read as ${format}).`);
  }
  problems.throwIfAny();
  return { format, people: roster.people.size, groups: roster.groups.length, ...writeSpec(roster, format, options) };
}

function writeSpec(
  roster: Roster,
  format: RosterFormat,
  { file = "roster", provider }: ImportOptions,
): Pick<ImportedSpec, "text" | "notes"> {
  const namePerson = createNamer();
  const nameGroup = createNamer();
  const personIds = new Map(
    [...roster.people].map(([key, { email }]) => [key, namePerson(email?.split("@")[0] ?? key)]),
  );
  const groupIds = roster.groups.map(({ name }) => nameGroup(name));
  const idOfKey = new Map(roster.groups.map(({ key }, index) => [key, groupIds[index] ?? key]));
  const addresses = new Set<string>();
  const notes = [...roster.remarks];
  const comments = new Map<string, readonly string[]>();
  const names = new Set<string>();

  const people = [...roster.people].map(([key, { email, name, account }]) => {
    const isTaken = email !== undefined && addresses.has(email.toLowerCase());
    if (isTaken) notes.push(`${personIds.get(key)}: ${email} is somebody else's too, and left out here.`);
    if (email !== undefined) addresses.add(email.toLowerCase());
    const pinned = account !== undefined && format === provider.type.type;
    return [
      personIds.get(key) ?? key,
      {
        ...(email !== undefined && !isTaken && { email: literal(email) }),
        ...(name !== undefined && { name: literal(plain(name)) }),
        ...(pinned && { accounts: { [provider.id]: literal(account) } }),
      },
    ] as const;
  });
  const unknown = people.filter(([, entry]) => !("email" in entry) && !("accounts" in entry)).length;
  if (unknown > 0) {
    notes.push(
      `${unknown} of ${people.length} people have no e-mail here: add it, or pin their accounts, so that they can be found.`,
    );
  }

  const groups = roster.groups.map((group, index) => {
    const id = groupIds[index] ?? group.key;
    const remarks = [...group.remarks];
    const lists = settleRoles(group, provider.type, remarks);
    const name = uniqueName(plain(group.name), names);
    if (name !== plain(group.name)) remarks.push(`another group is called "${group.name}" too`);
    if (remarks.length > 0) comments.set(id, remarks);
    const idsOf = (role: Role) =>
      lists.filter((member) => member.role === role).map((member) => entryOf(member, personIds));
    const [managers, owners] = [idsOf("manager"), idsOf("owner")];
    const includes = group.includes.filter((key) => key !== group.key).map((key) => idOfKey.get(key) ?? key);
    return [
      id,
      {
        name: literal(name),
        ...(group.description !== undefined && { description: literal(group.description) }),
        members: idsOf("member"),
        ...(managers.length > 0 && { managers }),
        ...(owners.length > 0 && { owners }),
        ...(includes.length > 0 && { includes }),
        ...(group.previously && group.previously.length > 0 && { previously: group.previously.map(literal) }),
      },
    ] as const;
  });

  const document = new Document({
    version: 1,
    mode: "additive",
    providers: { [provider.id]: { type: provider.type.type, ...provider.options } },
    people: Object.fromEntries(people),
    groups: Object.fromEntries(groups),
  });
  document.commentBefore = [
    ` Imported from ${plain(file)} (${format}).`,
    " Nobody is removed yet; with mode: authoritative, whoever is not listed is.",
    ...notes.map((note) => ` ${plain(note)}`),
  ].join("\n");
  flow(document.get("people"));
  const groupsNode = document.get("groups");
  if (isMap(groupsNode)) {
    for (const { key } of groupsNode.items) {
      const remarks = isScalar(key) ? comments.get(String(key.value)) : undefined;
      if (remarks && isScalar(key)) key.commentBefore = remarks.map((remark) => ` ${plain(remark)}`).join("\n");
    }
  }
  const groupNotes = [...comments].flatMap(([id, remarks]) => remarks.map((remark) => `${id}: ${remark}`));
  return { text: document.toString({ lineWidth: 120 }), notes: [...notes, ...groupNotes] };
}

/** Everyone once, with the higher role, and no more of a role than the provider has places for. */
function settleRoles(group: RosterGroup, type: ProviderType, remarks: string[]): readonly RosterMember[] {
  const highest = new Map<string, RosterMember>();
  for (const member of group.members) {
    const known = highest.get(member.person);
    if (known) remarks.push(`${member.person} was listed twice; the higher role is kept`);
    if (!known || ROLES.indexOf(member.role) > ROLES.indexOf(known.role)) highest.set(member.person, member);
  }
  const seats = new Map<Role, number>();
  return [...highest.values()].map((member) => {
    const places = member.role === "member" ? null : (type.capabilities.roles[member.role]?.max.value ?? null);
    const taken = seats.get(member.role) ?? 0;
    seats.set(member.role, taken + 1);
    if (places === null || taken < places) return member;
    remarks.push(
      `${member.person} was ${member.role} too; ${type.label} has ${places === 1 ? "one place" : `${places} places`} for that`,
    );
    return { ...member, role: "member" };
  });
}

function entryOf({ person, until }: RosterMember, ids: ReadonlyMap<string, string>): unknown {
  const id = ids.get(person) ?? person;
  return until === undefined ? id : { person: id, until };
}

function uniqueName(wish: string, taken: Set<string>): string {
  let name = wish;
  for (let number = 2; taken.has(name); number++) name = `${wish} (${number})`;
  taken.add(name);
  return name;
}

/** On one line and without blanks at its ends, as a spec wants names, and comments are. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
}

function flow(node: unknown): void {
  if (isMap(node)) for (const { value } of node.items) if (isMap(value)) value.flow = true;
}
