/** Whether the groups of a saved plan are still as the plan found them. */
import { groupBy } from "../collections.js";
import { GroupSyncError, isGroupSyncError, summarizeError } from "../errors.js";
import { endsEverything, readEach } from "../http/many.js";
import type { Change, ErrorSummary, Precondition, ProviderPlan, Snapshot } from "../model.js";
import type { GroupProvider } from "../provider.js";
import type { Meter } from "./events.js";
import type { BrokenRun, ProviderMemory } from "./memory.js";
import { digestMembers } from "./plan.js";
import { readGroupWhole } from "./snapshot.js";

/** What there is right before the first write. */
export interface Current {
  readonly snapshots: ReadonlyMap<string, Snapshot>;
  /** Groups of the spec that are not as the plan found them, or could not be looked at again, and why. */
  readonly moved: ReadonlyMap<string, ErrorSummary>;
}

/**
 * Looks at everything that the plan wants to change, before the first write. Throws `plan-invalid` when the provider is
 * read as somebody else than the plan was made for, and what concerns all groups alike.
 */
export async function recheck(
  plan: ProviderPlan,
  provider: GroupProvider,
  meter: Meter,
  signal: AbortSignal | undefined,
): Promise<Current> {
  const context = meter.context(signal);
  const { identity } = await provider.checkAccess(context, "identity");
  if (identity !== plan.identity) {
    throw new GroupSyncError(
      "plan-invalid",
      `The plan was made for ${plan.identity}, but ${plan.id} is now ${identity}.`,
      { provider: plan.id },
    );
  }
  const snapshots = new Map<string, Snapshot>();
  const moved = new Map<string, ErrorSummary>();
  const leaveOut = (group: string, message: string) => moved.set(group, { code: "conflict", message });
  const creating = plan.changes.filter(({ type }) => type === "group.create");
  const names =
    creating.length === 0
      ? new Set<string>()
      : new Set((await provider.listGroups(context)).groups.map(({ name }) => name));
  for (const { group, name } of creating) {
    if (names.has(name ?? group))
      leaveOut(group, `A group called "${name ?? group}" has appeared since the plan was made; plan anew.`);
  }
  const changesOf = groupBy(plan.changes, ({ group }) => group);
  const affected = plan.groups.filter(({ group, groupId }) => groupId !== undefined && changesOf.has(group));
  const readings = await readEach(affected, provider.capabilities.inFlight.reads.value, ({ groupId = "" }) =>
    readGroupWhole(groupId, provider, context),
  );
  for (const [index, precondition] of affected.entries()) {
    const { group, groupId = "" } = precondition;
    const reading = readings[index];
    if (reading?.status === "fulfilled") {
      snapshots.set(groupId, reading.value);
      const message = describeMove(precondition, reading.value, changesOf.get(group) ?? []);
      if (message !== undefined) leaveOut(group, message);
      continue;
    }
    const error: unknown = reading?.reason;
    if (!isGroupSyncError(error) || endsEverything(error)) throw error;
    if (error.code === "not-found") {
      leaveOut(group, "The group has disappeared since the plan was made; plan anew.");
    } else {
      // It concerns this group alone: all others go on.
      moved.set(group, { ...summarizeError(error), message: `The group could not be read again: ${error.message}` });
    }
  }
  return { snapshots, moved };
}

/**
 * What has been remembered since the plan was made, and stands against it: groups to leave out, and why. Throws
 * `plan-invalid` when the provider was read as somebody else meanwhile. `createdAt`: when the plan was made.
 */
export function recheckMemory(
  plan: ProviderPlan,
  createdAt: string,
  memory: ProviderMemory,
  broken: readonly BrokenRun[],
): ReadonlyMap<string, ErrorSummary> {
  const { id, identity, lastIdentity, changes } = plan;
  const { lastIdentity: last } = memory;
  if (last !== undefined && last !== identity && last !== lastIdentity) {
    throw new GroupSyncError(
      "plan-invalid",
      `${id} was last read as ${last}, of which the plan for ${identity} does not know; plan anew.`,
      { provider: id },
    );
  }
  const moved = new Map<string, ErrorSummary>();
  for (const change of changes) {
    const message = describeMemory(change, plan, createdAt, memory);
    if (message !== undefined) moved.set(change.group, { code: "conflict", message });
  }
  const message = "A run that broke off was writing to the group since the plan was made; plan anew.";
  for (const { startedAt, plan: other, journal } of broken) {
    const isSame = other.providers.some((part) => part.id === id && part.identity === identity);
    if (!isSame || startedAt < createdAt) continue;
    const sent = journal.flatMap((entry) => (entry.provider === id ? entry.changes : []));
    for (const { group } of sent) moved.set(group, { code: "conflict", message });
  }
  return moved;
}

/** Why a change is not what it was when it was planned. */
function describeMemory(
  { type, ours, person, account = "", groupId = "" }: Change,
  { lastIdentity }: ProviderPlan,
  createdAt: string,
  { isOurs, invitedAt, declined }: ProviderMemory,
): string | undefined {
  const who = person ?? account;
  if (type === "member.remove" && ours && !isOurs(groupId, account)) {
    return `${who} had been added from here when the plan was made, and was taken out since: who put them back is somebody else; plan anew.`;
  }
  if (type !== "member.add") return undefined;
  if ((invitedAt(groupId, account) ?? "") > createdAt) {
    return `${who} has been invited since the plan was made, and nobody is asked twice; plan anew.`;
  }
  return lastIdentity === undefined && declined(groupId, account)
    ? `${who} was invited before and has declined, of which the plan does not know; plan anew.`
    : undefined;
}

/** How a group differs from what the plan found, if it does. Not every service has versions, so all else is compared too. */
function describeMove(
  { name, version, membersDigest }: Precondition,
  { group, members }: Snapshot,
  changes: readonly Change[],
): string | undefined {
  if (group.kind !== "plain") return "The group is not ours to touch any more; plan anew.";
  if (group.name !== name) {
    return `The group was called "${name}" when the plan was made, and is called "${group.name}" now; plan anew.`;
  }
  const isOverwritten = changes.some(
    ({ previousDescription: previous }) => previous !== undefined && previous !== (group.description ?? ""),
  );
  if (isOverwritten) return "The description of the group has changed since the plan was made; plan anew.";
  const hasNewVersion = version !== undefined && group.version !== undefined && group.version !== version;
  return hasNewVersion || digestMembers(members) !== membersDigest
    ? "The group has changed since the plan was made; plan anew."
    : undefined;
}
