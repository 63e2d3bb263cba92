/**
 * What is really so: finds the group of each target at a provider and reads its members, with the evidence.
 *
 * A reading that moved while it was made is made again, a bounded number of times. What is still not whole then is
 * kept and marked so; the guards see to it that nothing is removed on its word.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import { groupBy } from "../collections.js";
import { isGroupSyncError } from "../errors.js";
import { normalizeId } from "../identity.js";
import type { Group, Snapshot, Target } from "../model.js";
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
  /** Proved not to be there, under no name; it may be created. */
  | { readonly state: "absent"; readonly target: Target }
  /** Nothing can be done for this target, and why. */
  | { readonly state: "problem"; readonly target: Target; readonly message: string };

const READINGS = 3;
const BETWEEN_READINGS_MS = 300;

/** Finds and reads the groups of all targets of one provider. Throws when the list of groups cannot be read at all. */
export async function readTargets(
  targets: readonly Target[],
  provider: GroupProvider,
  context: CallContext,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<readonly TargetReading[]> {
  const listing = await readWhole(
    () => provider.listGroups(context),
    ({ evidence }) => evidence,
    context.signal,
  );
  const named = targets.map((target) =>
    target.groupId === undefined ? target : { ...target, groupId: normalizeId(target.groupId, provider) },
  );
  const matches = matchTargets(named, listing, provider.capabilities);
  // Its own limiter: requests have theirs, and nesting one limiter in itself would deadlock.
  const limit = pLimit(Math.max(1, provider.capabilities.inFlight.reads.value));
  let done = 0;
  return Promise.all(
    matches.map((match) =>
      limit(async (): Promise<TargetReading> => {
        const reading = match.state === "matched" ? await readMatched(match, provider, context) : match;
        onProgress(++done, targets.length);
        return reading;
      }),
    ),
  );
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
    await sleep(BETWEEN_READINGS_MS * reading, undefined, signal ? { signal } : {});
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
type Match = Matched | Exclude<TargetReading, { state: "found" }>;

/** Pure: which listed group each target means. Names are compared exactly; a name that fits twice fits nobody. */
export function matchTargets(
  targets: readonly Target[],
  listing: GroupListing,
  capabilities: Capabilities,
): readonly Match[] {
  const byId = new Map(listing.groups.map((group) => [group.id, group]));
  const byName = groupBy(byId.values(), (group) => group.name);
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

async function readMatched(match: Matched, provider: GroupProvider, context: CallContext): Promise<TargetReading> {
  const { target, group, matchedBy, doubt } = match;
  try {
    const snapshot = await readGroupWhole(group.id, provider, context);
    if (doubt === undefined) return { state: "found", target, matchedBy, snapshot };
    const evidence = { ...snapshot.evidence, complete: false, because: doubt };
    return { state: "found", target, matchedBy, snapshot: { ...snapshot, evidence } };
  } catch (error) {
    // The whole run stops for these; everything else concerns this group alone.
    const fatal = isGroupSyncError(error) && ["cancelled", "unauthenticated", "rate-limited"].includes(error.code);
    if (!isGroupSyncError(error) || fatal) throw error;
    return { state: "problem", target, message: `its members could not be read: ${error.message}` };
  }
}
