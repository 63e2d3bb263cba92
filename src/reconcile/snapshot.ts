/**
 * What is really so: finds the group of each target at a provider and reads its members, with the evidence.
 *
 * A reading that moved while it was made is made again, a bounded number of times. What is still not whole then is
 * kept and marked so; the guards see to it that nothing is removed on its word.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { groupBy } from "../collections.js";
import { isGroupSyncError } from "../errors.js";
import { readEach } from "../http/many.js";
import { normalizeId } from "../identity.js";
import type { Change, Group, Snapshot, Target } from "../model.js";
import type { CallContext, Capabilities, GroupListing, GroupProvider } from "../provider.js";

/** A target and what was found for it. */
export type TargetReading =
  /** The group is there. `matchedBy`: how it was recognised. */
  | {
      readonly state: "found";
      readonly target: Target;
      readonly matchedBy: "id" | "name" | "previous-name";
      readonly snapshot: Snapshot;
    }
  /** There, and known to be as wished without being read (see incremental.ts). */
  | { readonly state: "unread"; readonly target: Target; readonly group: Group }
  /** Proved not to be there, under no name; it may be created. */
  | { readonly state: "absent"; readonly target: Target }
  | Problem;

/** Nothing can be done for a target, and why. */
interface Problem {
  readonly state: "problem";
  readonly target: Target;
  readonly message: string;
}

const READINGS = 3;
const BETWEEN_READINGS_MS = 300;

/** How targets are read; nothing of it has to be known. */
export interface ReadingOptions {
  readonly onProgress?: (done: number, total: number) => void;
  /** Groups that need not be read. @default none */
  readonly isUnmoved?: ((target: Target, group: Group) => boolean) | undefined;
  /** Ids of groups that were ours, by group of the spec. @default none */
  readonly rememberedIds?: RememberedIds | undefined;
  /** What else the spec wants there: it is not read, but no group of it is taken for another's. @default none */
  readonly others?: readonly Target[];
}

/** Finds and reads the groups of targets of one provider. Throws when the list of groups cannot be read at all. */
export async function readTargets(
  targets: readonly Target[],
  provider: GroupProvider,
  context: CallContext,
  { onProgress = () => {}, isUnmoved = () => false, rememberedIds = new Map(), others = [] }: ReadingOptions = {},
): Promise<readonly TargetReading[]> {
  const list = () =>
    readWhole(
      () => provider.listGroups(context),
      ({ evidence }) => evidence,
      context.signal,
    );
  const first = await list();
  // A service that answers with no group at all may be in trouble. A group to be made is looked for once more before
  // that is done; that nothing is left to be deleted rests on the list alone.
  const isDoubtful = first.groups.length === 0 && targets.some(({ absent }) => absent);
  const listing = isDoubtful ? await list() : first;
  const named = [...targets, ...others].map((target) =>
    target.groupId === undefined ? target : { ...target, groupId: normalizeId(target.groupId, provider) },
  );
  const matched = matchTargets(named, listing, provider.capabilities).slice(0, targets.length);
  const matches = (await confirmAbsence(matched, listing, rememberedIds, provider, context)).map((match) =>
    match.state === "matched" && match.doubt === undefined && isUnmoved(match.target, match.group)
      ? { state: "unread" as const, target: match.target, group: match.group }
      : match,
  );
  const ids = matches.flatMap((match) => (match.state === "matched" ? [match.group.id] : []));
  const unread = matches.length - ids.length;
  const results = await readGroupsWhole(ids, provider, context, (done) => onProgress(unread + done, targets.length));
  return matches.map((match) =>
    match.state === "matched" ? describeReading(match, results.get(match.group.id)) : match,
  );
}

/** Ids of groups that this installation has made or adopted, by the group's id in the spec. */
export type RememberedIds = ReadonlyMap<string, readonly string[]>;

/**
 * A list may lie twice. What was ours and is not on it is asked for by itself before a group is taken for absent, and
 * perhaps made a second time: only a service that knows nothing of it proves that it is gone.
 */
async function confirmAbsence(
  matches: readonly Match[],
  listing: GroupListing,
  rememberedIds: RememberedIds,
  provider: GroupProvider,
  context: CallContext,
): Promise<readonly Match[]> {
  const listed = new Set(listing.groups.map(({ id }) => id));
  const asked = matches.flatMap((match) =>
    match.state === "absent"
      ? (rememberedIds.get(match.target.group) ?? []).flatMap((id) => (listed.has(id) ? [] : [{ match, id }]))
      : [],
  );
  if (asked.length === 0) return matches;
  const results = await readEach(asked, provider.capabilities.inFlight.reads.value, ({ id }) =>
    provider.readGroup(id, context),
  );
  const problems = new Map<Match, Match>();
  asked.forEach(({ match, id }, index) => {
    const result = results[index];
    const { target } = match;
    if (result?.status === "fulfilled") {
      const { name } = result.value.group;
      const message = `the list of groups does not show "${name}" (${id}), which was ours and is there when asked for by itself: the list was not whole, so nothing is done; run again`;
      problems.set(match, { state: "problem", target, message });
    } else if (!isGroupSyncError(result?.reason, "not-found")) {
      const what = `the list of groups does not show ${id}, which was ours, and whether it is gone could not be read`;
      problems.set(match, describeFailure(target, result?.reason, what));
    }
  });
  return matches.map((match) => problems.get(match) ?? match);
}

/** Reads groups, each again if it moved meanwhile: together where the provider can, else one by one. By group id. */
export async function readGroupsWhole(
  groupIds: readonly string[],
  provider: GroupProvider,
  context: CallContext,
  onRead: (done: number) => void = () => {},
): Promise<ReadonlyMap<string, PromiseSettledResult<Snapshot>>> {
  // Its own limiter: requests have theirs, and nesting one limiter in itself would deadlock.
  const width = provider.capabilities.inFlight.reads.value;
  const ids = [...new Set(groupIds)];
  if (!provider.readGroups || ids.length < 2) {
    const results = await readEach(ids, width, (id) => readGroupWhole(id, provider, context), onRead);
    return new Map(results.map((result, index) => [ids[index] ?? "", result]));
  }
  const together = await provider
    .readGroups(ids, context, onRead)
    .catch((reason: unknown) => ids.map(() => ({ status: "rejected", reason }) as const));
  const results = new Map(together.map((result, index) => [ids[index] ?? "", result]));
  const moved = ids.filter((id) => {
    const result = results.get(id);
    return result?.status === "fulfilled" && !result.value.evidence.complete && result.value.evidence.moved;
  });
  const again = await readEach(moved, width, (id) => readGroupWhole(id, provider, context));
  again.forEach((result, index) => results.set(moved[index] ?? "", result));
  return results;
}

/**
 * Asks what decides about the membership of these groups, where their readings do not tell (see `readKind`): before
 * anything is written there, and only then.
 */
export async function confirmKinds(
  readings: readonly TargetReading[],
  groupIds: ReadonlySet<string | undefined>,
  provider: GroupProvider,
  context: CallContext,
): Promise<readonly TargetReading[]> {
  const readKind = provider.readKind?.bind(provider);
  if (!readKind) return readings;
  const asked = readings.filter((reading) => reading.state === "found" && groupIds.has(reading.snapshot.group.id));
  if (asked.length === 0) return readings;
  const results = await readEach(
    asked,
    provider.capabilities.inFlight.reads.value,
    async (reading) => reading.state === "found" && (await readKind(reading.snapshot.group.id, context)),
  );
  const answers = new Map(asked.map((reading, index) => [reading, results[index]]));
  return readings.map((reading) => {
    const answer = answers.get(reading);
    if (reading.state !== "found" || !answer) return reading;
    if (answer.status === "rejected") {
      return describeFailure(reading.target, answer.reason, "what decides about its members could not be read");
    }
    const { snapshot } = reading;
    return answer.value
      ? { ...reading, snapshot: { ...snapshot, group: { ...snapshot.group, kind: answer.value } } }
      : reading;
  });
}

/** Reads one group, again if it moved meanwhile. */
export async function readGroupWhole(
  groupId: string,
  provider: GroupProvider,
  context: CallContext,
): Promise<Snapshot> {
  return readWhole(
    () => provider.readGroup(groupId, context),
    ({ evidence }) => evidence,
    context.signal,
  );
}

async function readWhole<T>(
  read: () => Promise<T>,
  evidenceOf: (answer: T) => Snapshot["evidence"],
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let reading = 1; ; reading++) {
    const answer = await read();
    const evidence = evidenceOf(answer);
    if (evidence.complete || !evidence.moved || reading === READINGS) return answer;
    // Stopped meanwhile, the next request says so.
    await sleep(BETWEEN_READINGS_MS * reading, undefined, signal ? { signal } : {}).catch(() => {});
  }
}

interface Matched {
  readonly state: "matched";
  readonly target: Target;
  readonly group: Group;
  readonly matchedBy: "id" | "name" | "previous-name";
  /** Why this may be the wrong group all the same. */
  readonly doubt?: string;
}
type Match = Matched | Exclude<TargetReading, { state: "found" | "unread" }>;

/** Pure: which listed group each target means. Names are compared exactly; a name that fits twice fits nobody. */
export function matchTargets(
  targets: readonly Target[],
  listing: GroupListing,
  capabilities: Capabilities,
): readonly Match[] {
  const byId = new Map(listing.groups.map((group) => [group.id, group]));
  const pinned = new Set(targets.map(({ groupId }) => groupId));
  const byName = groupBy(byId.values(), (group) => group.name);
  // Of several that bear a name, those that other targets are pinned to are spoken for.
  for (const [name, groups] of byName) {
    const free = groups.filter(({ id }) => !pinned.has(id));
    if (free.length === 1) byName.set(name, free);
  }
  const matches = targets.map((target) => withinAbilities(matchTarget(target, byId, byName, listing), capabilities));
  const wanted = groupBy(
    targets.filter(({ absent }) => !absent),
    ({ name }) => name,
  );
  // Two targets must never mean one group: each would remove the other's people.
  const takers = groupBy(
    matches.filter((match) => match.state === "matched"),
    (match) => match.group.id,
  );
  return matches.map((match): Match => {
    const namesakes = wanted.get(match.target.name) ?? [];
    if (match.state === "absent" && !match.target.absent && namesakes.length > 1) {
      // A group of that name would be made beside the other, and the next run could not tell them apart.
      const names = namesakes.map(({ group }) => group).join(" and ");
      const message = `the groups ${names} of the spec are both to be called "${match.target.name}"; give them different names`;
      return { state: "problem", target: match.target, message };
    }
    const rivals = match.state === "matched" ? (takers.get(match.group.id) ?? []) : [];
    if (match.state !== "matched" || rivals.length < 2) return match;
    const names = rivals.map(({ target }) => target.group).join(" and ");
    return {
      state: "problem",
      target: match.target,
      message: `the groups ${names} of the spec both mean "${match.group.name}" (${match.group.id})`,
    };
  });
}

/** What the service cannot do is told before anything is sent. */
function withinAbilities(match: Match, { groups }: Capabilities): Match {
  const { target } = match;
  if (match.state === "absent" && !target.absent && !groups.create.value) {
    const message = `there is no group called "${target.name}", and ${target.provider} cannot create one`;
    return { state: "problem", target, message };
  }
  if (match.state === "matched" && target.absent && !groups.delete.value) {
    return { state: "problem", target, message: `${target.provider} cannot delete groups; delete it there by hand` };
  }
  return match;
}

function matchTarget(
  target: Target,
  byId: ReadonlyMap<string, Group>,
  byName: ReadonlyMap<string, readonly Group[]>,
  { evidence }: GroupListing,
): Match {
  if (target.groupId !== undefined) {
    const group = byId.get(target.groupId);
    if (group) return { state: "matched", target, group, matchedBy: "id" };
    if (target.absent && evidence.complete) return { state: "absent", target };
    return {
      state: "problem",
      target,
      message: evidence.complete
        ? `no group with the pinned id ${target.groupId}; it was deleted, or the credentials are for another tenant`
        : `the pinned id ${target.groupId} was not found, but the list of groups could not be read whole: ${evidence.because}`,
    };
  }
  for (const [name, matchedBy] of [
    [target.name, "name"] as const,
    ...target.previously.map((previous) => [previous, "previous-name"] as const),
  ]) {
    const [group, second] = byName.get(name) ?? [];
    if (second) {
      return {
        state: "problem",
        target,
        message: `more than one group is called "${name}"; pin the right one by its id`,
      };
    }
    if (group && evidence.complete) return { state: "matched", target, group, matchedBy };
    // The list is not whole: it may lack a namesake, or the very name that comes before a previous one.
    if (group && matchedBy === "previous-name") break;
    if (group) {
      const doubt = `the list of groups could not be read whole (${evidence.because}), so another group may be called "${name}" too`;
      return { state: "matched", target, group, matchedBy, doubt };
    }
  }
  if (evidence.complete) return { state: "absent", target };
  return {
    state: "problem",
    target,
    message: `no group called "${target.name}" was seen, but the list of groups could not be read whole: ${evidence.because}`,
  };
}

function describeReading(match: Matched, result: PromiseSettledResult<Snapshot> | undefined): TargetReading {
  const { target, matchedBy, doubt } = match;
  if (result?.status !== "fulfilled") return describeFailure(target, result?.reason, "its members could not be read");
  const snapshot = result.value;
  if (doubt === undefined) return { state: "found", target, matchedBy, snapshot };
  const evidence = { ...snapshot.evidence, complete: false, because: doubt };
  return { state: "found", target, matchedBy, snapshot: { ...snapshot, evidence } };
}

/** The whole run stops for some errors; everything else concerns this group alone. */
function describeFailure(target: Target, error: unknown, what: string): Problem {
  const fatal = isGroupSyncError(error) && ["cancelled", "unauthenticated", "rate-limited"].includes(error.code);
  if (!isGroupSyncError(error) || fatal) throw error;
  return { state: "problem", target, message: `${what}: ${error.message}` };
}

/** Whether the reading shows that a change is so. Something missing from an incomplete reading shows nothing. */
export function isSo(change: Change, snapshot: Snapshot): boolean {
  const member = snapshot.members.find(({ account }) => account === change.account);
  switch (change.type) {
    case "member.add":
      return member !== undefined && (member.state === "pending" || member.role === change.role);
    case "member.update":
      return member?.role === change.role;
    case "member.remove":
      // Who is no direct member any more may still be there by a rule, but with no role.
      return snapshot.evidence.complete && (member === undefined || (!member.direct && member.role === "member"));
    case "group.update":
      return (
        (change.name === undefined || snapshot.group.name === change.name) &&
        (change.description === undefined || (snapshot.group.description ?? "") === change.description)
      );
    case "group.create":
      return change.name === undefined || snapshot.group.name === change.name;
    case "group.delete":
      return false;
  }
}
