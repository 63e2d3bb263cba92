/** What is there now, written as a spec that plans to no change. */
import { Document, isMap } from "yaml";
import { GroupSyncError } from "../errors.js";
import type { Group, Member, Role, Snapshot } from "../model.js";
import { createCallContext, type CallContext, type GroupProvider } from "../provider.js";
import { readGroupWhole } from "../reconcile/snapshot.js";
import pLimit from "p-limit";

/** What to export. */
export interface ExportOptions {
  readonly provider: GroupProvider;
  /** The provider's entry as it should stand in the spec: `type` and options, secrets as `${NAME}`. */
  readonly providerOptions: Readonly<Record<string, unknown>>;
  /** Only groups of these names or ids; each must be there. @default all */
  readonly groups?: readonly string[];
  readonly context?: CallContext;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A spec as text, and what could not go into it. */
export interface ExportedSpec {
  readonly text: string;
  readonly notes: readonly string[];
}

/**
 * Reads the groups of a provider and writes them as a spec. Throws `bad-answer` when a list cannot be read whole: a
 * spec made of half a reading would remove the other half. Throws `not-found` for a group that is not there.
 */
export async function exportSpec(options: ExportOptions): Promise<ExportedSpec> {
  const { provider } = options;
  const context = options.context ?? createCallContext();
  const access = await provider.checkAccess(context);
  const listing = await provider.listGroups(context);
  mustBeWhole(provider.id, "list of groups", listing.evidence);
  const chosen = chooseGroups(listing.groups, options);
  const limit = pLimit(Math.max(1, provider.capabilities.inFlight.reads.value));
  let done = 0;
  const snapshots = await Promise.all(
    chosen.map((group) =>
      limit(async () => {
        const snapshot = await readGroupWhole(group.id, provider, context);
        options.onProgress?.(++done, chosen.length);
        return snapshot;
      }),
    ),
  );
  const notes = [];
  const ours: Snapshot[] = [];
  for (const snapshot of snapshots) {
    const { name, kind } = snapshot.group;
    if (kind === "plain") {
      mustBeWhole(provider.id, `members of "${name}"`, snapshot.evidence);
      ours.push(snapshot);
    } else notes.push(`"${name}" is left out: a ${kind} group is not managed by group-sync.`);
  }
  const people = namePeople(ours, provider);
  const spec = {
    version: 1,
    mode: "authoritative",
    providers: { [provider.id]: options.providerOptions },
    people: Object.fromEntries(
      [...people.values()]
        .map(({ id, entry }) => [id, entry] as const)
        .toSorted(([left], [right]) => (left < right ? -1 : 1)),
    ),
    groups: Object.fromEntries(nameGroups(ours).map(([id, snapshot]) => [id, groupEntry(snapshot, people, provider)])),
  };
  const document = new Document(spec);
  document.commentBefore = ` What ${provider.id} (${access.identity}) held on ${new Date().toISOString()}.\n A plan from this file changes nothing until either side does.`;
  const peopleNode = document.get("people");
  if (isMap(peopleNode)) for (const pair of peopleNode.items) if (isMap(pair.value)) pair.value.flow = true;
  return { text: document.toString({ lineWidth: 120 }), notes };
}

function chooseGroups(groups: readonly Group[], { provider, groups: wanted }: ExportOptions): readonly Group[] {
  if (!wanted) return groups;
  const missing = wanted.filter((wish) => !groups.some(({ id, name }) => id === wish || name === wish));
  if (missing.length > 0) {
    throw new GroupSyncError("not-found", `${provider.id} has no group "${missing.join('", "')}".`, {
      provider: provider.id,
      hint: `It has: ${groups
        .slice(0, 10)
        .map(({ name }) => name)
        .join(", ")}${groups.length > 10 ? ` and ${groups.length - 10} more` : ""}.`,
    });
  }
  return groups.filter(({ id, name }) => wanted.includes(id) || wanted.includes(name));
}

function mustBeWhole(provider: string, what: string, { complete, because }: Snapshot["evidence"]): void {
  if (complete) return;
  throw new GroupSyncError("bad-answer", `The ${what} of ${provider} could not be read whole: ${because}.`, {
    provider,
    hint: "Export again; nothing was written.",
  });
}

interface NamedPerson {
  readonly id: string;
  readonly entry: Readonly<Record<string, unknown>>;
}

/** Ids for people: the local part of the e-mail where it is free, else the account. */
function namePeople(snapshots: readonly Snapshot[], provider: GroupProvider): ReadonlyMap<string, NamedPerson> {
  const members = new Map<string, Member>();
  for (const snapshot of snapshots) for (const member of snapshot.members) members.set(member.account, member);
  const taken = new Set<string>();
  const people = new Map<string, NamedPerson>();
  for (const [account, { email, name }] of [...members].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const id = freeName(email?.split("@")[0] ?? account, taken);
    people.set(account, {
      id,
      entry: {
        ...(email !== undefined && { email: literal(email) }),
        ...(name && { name: literal(name) }),
        accounts: { [provider.id]: literal(account) },
      },
    });
  }
  return people;
}

function nameGroups(snapshots: readonly Snapshot[]): readonly (readonly [string, Snapshot])[] {
  const taken = new Set<string>();
  return snapshots.map((snapshot) => [freeName(snapshot.group.name, taken), snapshot] as const);
}

/** What comes from a service is text, also where it looks like a reference to the environment. */
function literal(text: string): string {
  return text.replace(/\$(?=\{)/g, () => "$$");
}

/** A plain key of letters, digits and dashes that nobody has yet. */
function freeName(wish: string, taken: Set<string>): string {
  const base =
    wish
      .normalize("NFC")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-+|-+$/g, "") || "x";
  // A key of digits alone would be read back as a number.
  const plain = /^\d+$/.test(base) ? `n${base}` : base;
  let name = plain;
  for (let number = 2; taken.has(name); number++) name = `${plain}-${number}`;
  taken.add(name);
  return name;
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
