/** What is there now, written as a spec that plans to no change. */
import { Document, isMap } from "yaml";
import { renderCount } from "../collections.js";
import type { Member, Role, Snapshot } from "../model.js";
import type { GroupProvider } from "../provider.js";
import { compareText } from "../spec/problems.js";
import { createNamer, readSource, type Source, type SourceOptions } from "./source.js";

/** What to export. */
export interface ExportOptions extends SourceOptions {
  /** The provider's entry as it should stand in the spec: `type` and options, secrets as `${NAME}`. */
  readonly providerOptions: Readonly<Record<string, unknown>>;
}

/** A spec as text, and what could not go into it. */
export interface ExportedSpec {
  readonly text: string;
  readonly notes: readonly string[];
}

/**
 * Reads the groups of a provider and writes them as a spec, stamped with where and when they were read. Throws
 * `bad-answer` when a list cannot be read whole: a spec made of half a reading would remove the other half. Throws
 * `not-found` for a group that is not there.
 */
export async function exportSpec(options: ExportOptions): Promise<ExportedSpec> {
  const { provider } = options;
  const source = await readSource(options);
  const people = namePeople(source.snapshots, provider);
  const nameGroup = createNamer();
  const spec = {
    // Not read by anything: for whoever finds the file later, and for scripts.
    "x-exported": { provider: source.provider, type: source.type, identity: source.identity, at: source.readAt },
    version: 1,
    mode: "authoritative",
    providers: { [provider.id]: options.providerOptions },
    people: Object.fromEntries(
      [...people.values()].map(({ id, entry }) => [id, entry] as const).toSorted(([a], [b]) => compareText(a, b)),
    ),
    groups: Object.fromEntries(
      source.snapshots.map((snapshot) => [nameGroup(snapshot.group.name), groupEntry(snapshot, people, provider)]),
    ),
  };
  const document = new Document(spec);
  const removing = leftOutNote(source);
  document.commentBefore = [
    ` What ${provider.id} (${source.identity}) held on ${source.readAt}.`,
    removing === undefined ? " A plan from this file changes nothing until either side does." : ` ${removing}`,
  ].join("\n");
  const peopleNode = document.get("people");
  if (isMap(peopleNode)) for (const pair of peopleNode.items) if (isMap(pair.value)) pair.value.flow = true;
  return { text: document.toString({ lineWidth: 120 }), notes: listNotes(source) };
}

function listNotes(source: Source): readonly string[] {
  const removing = leftOutNote(source);
  return [
    ...source.foreign.map(({ name, kind }) => `"${name}" is left out: a ${kind} group is not managed by group-sync.`),
    ...(removing === undefined ? [] : [removing]),
  ];
}

function leftOutNote({ leftOut }: Source): string | undefined {
  if (leftOut.length === 0) return undefined;
  const people = new Set(leftOut.map(({ member }) => member.account)).size;
  return `${renderCount(people, "person", "people")} without an active account ${people === 1 ? "is" : "are"} left out (${renderCount(leftOut.length, "membership", "memberships")}): a plan from this file takes them out.`;
}

interface NamedPerson {
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
}

/** Ids for people: the local part of the e-mail where it is free, else the account. */
function namePeople(snapshots: readonly Snapshot[], provider: GroupProvider): ReadonlyMap<string, NamedPerson> {
  const members = new Map<string, Member>();
  for (const snapshot of snapshots) for (const member of snapshot.members) members.set(member.account, member);
  const nameOf = createNamer();
  const people = new Map<string, NamedPerson>();
  for (const [account, { email, name }] of [...members].toSorted(([a], [b]) => compareText(a, b))) {
    people.set(account, {
      id: nameOf(email?.split("@")[0] ?? account),
      entry: {
        ...(email !== undefined && { email: literal(email) }),
        ...(name && { name: literal(name) }),
        accounts: { [provider.id]: literal(account) },
      },
    });
  }
  return people;
}

/** What comes from a service is text, also where it looks like a reference to the environment. */
export function literal(text: string): string {
  return text.replace(/\$(?=\{)/g, () => "$$");
}

function groupEntry(
  { group, members }: Snapshot,
  people: ReadonlyMap<string, NamedPerson>,
  provider: GroupProvider,
): Readonly<Record<string, unknown>> {
  const holders = (role: Role) =>
    members
      .filter((member) => member.role === role)
      .map(({ account }) => people.get(account)?.id ?? account)
      .toSorted();
  const { roles, groups } = provider.capabilities;
  return {
    name: literal(group.name),
    ...(groups.description.value && group.description && { description: literal(group.description) }),
    members: holders("member"),
    ...(roles.manager && { managers: holders("manager") }),
    ...(roles.owner && { owners: holders("owner") }),
    targets: { [provider.id]: { id: literal(group.id) } },
  };
}
