/** What a provider holds, read whole: where an export and a migration begin. */
import { GroupSyncError } from "../errors.js";
import { readEach } from "../http/many.js";
import type { Group, Member, ProviderId, Snapshot } from "../model.js";
import { type CallContext, createCallContext, type GroupProvider } from "../provider.js";
import { readGroupsWhole } from "../reconcile/snapshot.js";

/** What to read of a provider. */
export interface SourceOptions {
  readonly provider: GroupProvider;
  /** Only groups of these names or ids; each must be there. @default all */
  readonly groups?: readonly string[];
  /** True: without people whose account is switched off or whose invitation is still open. @default false */
  readonly active?: boolean;
  readonly context?: CallContext;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A membership that was read and left out, as `active` asked. */
interface LeftOutMember {
  readonly group: Group;
  readonly member: Member;
}

/** The groups of one provider at one moment, stamped with where they are from. */
export interface Source {
  readonly provider: ProviderId;
  readonly type: string;
  /** Tenant, space or portal, and the account that read it. Never a secret. */
  readonly identity: string;
  /** ISO time. */
  readonly readAt: string;
  /** Plain groups, each read whole. */
  readonly snapshots: readonly Snapshot[];
  /** Groups whose membership is decided elsewhere: built in, from a directory, or filled by rules. Not read. */
  readonly foreign: readonly Group[];
  readonly leftOut: readonly LeftOutMember[];
}

/**
 * Reads the groups of a provider. Throws `bad-answer` when a list cannot be read whole: what is made of half a reading
 * would lose the other half. Throws `not-found` for a group that is not there.
 */
export async function readSource(options: SourceOptions): Promise<Source> {
  const { provider } = options;
  const context = options.context ?? createCallContext();
  const { identity } = await provider.checkAccess(context);
  const listing = await provider.listGroups(context);
  mustBeWhole(provider.id, "list of groups", listing.evidence);
  const chosen = chooseGroups(listing.groups, options);
  const asked = await confirmKinds(chosen, provider, context);
  const plain = asked.filter(({ kind }) => kind === "plain");
  const readings = await readGroupsWhole(
    plain.map(({ id }) => id),
    provider,
    context,
    (done) => options.onProgress?.(done, plain.length),
  );
  const read = plain.flatMap(({ id }) => valuesOf(readings.get(id)));
  // A service may tell only with the members that a group is not a plain one.
  const snapshots = read.filter(({ group }) => group.kind === "plain");
  for (const { group, evidence } of snapshots) mustBeWhole(provider.id, `members of "${group.name}"`, evidence);
  const foreign = [...asked, ...read.map(({ group }) => group)].filter(({ kind }) => kind !== "plain");
  const base = { provider: provider.id, type: provider.type, identity, readAt: new Date().toISOString(), foreign };
  if (!options.active) return { ...base, snapshots, leftOut: [] };
  return {
    ...base,
    snapshots: snapshots.map((snapshot) => ({
      ...snapshot,
      members: snapshot.members.filter(({ state }) => state === "active"),
    })),
    leftOut: snapshots.flatMap(({ group, members }) =>
      members.flatMap((member) => (member.state === "active" ? [] : [{ group, member }])),
    ),
  };
}

/** Groups with what decides about their membership, where only a call of its own tells that. */
async function confirmKinds(
  groups: readonly Group[],
  provider: GroupProvider,
  context: CallContext,
): Promise<readonly Group[]> {
  const readKind = provider.readKind?.bind(provider);
  if (!readKind) return groups;
  const results = await readEach(groups, provider.capabilities.inFlight.reads.value, async (group) =>
    group.kind === "plain" ? { ...group, kind: await readKind(group.id, context) } : group,
  );
  return results.flatMap(valuesOf);
}

/** What was read, or the error with which it failed. */
function valuesOf<T>(result: PromiseSettledResult<T> | undefined): readonly T[] {
  if (result?.status === "rejected") throw result.reason;
  return result ? [result.value] : [];
}

function chooseGroups(groups: readonly Group[], { provider, groups: wanted }: SourceOptions): readonly Group[] {
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
    hint: "Try again; nothing was written.",
  });
}

/** Gives out plain keys of letters, digits and dashes, none of them twice. */
export function createNamer(): (wish: string) => string {
  const taken = new Set<string>();
  return (wish) => {
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
  };
}
