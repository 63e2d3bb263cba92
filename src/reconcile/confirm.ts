/** Of whom the readings do not tell enough: people to be looked up before the guards decide. Pure. */
import type { Change } from "../model.js";
import { isLossOf, isRaise, type TargetDiff } from "./diff.js";
import type { TargetReading } from "./snapshot.js";

/** Gives a membership or a role. */
function isGain({ type, role, previousRole }: Change): boolean {
  return type === "member.add" || (type === "member.update" && isRaise(previousRole, role));
}

/**
 * Pinned accounts that are about to be given something and were seen nowhere in use may not be usable. Where a look-up
 * costs a call per person, only those are asked about whose group would also lose people: there a wrong pin could cost
 * somebody else.
 */
export function pinsToConfirm(
  diffs: readonly TargetDiff[],
  readings: readonly TargetReading[],
  cheap: boolean,
): readonly string[] {
  const doubtful = diffs
    .filter(({ changes }) => cheap || changes.some(({ type }) => type === "member.remove" || type === "member.update"))
    .flatMap(({ changes }) => changes.filter(isGain));
  const unseen = new Set(doubtful.map(({ account }) => account));
  for (const reading of readings) {
    if (unseen.size === 0) break;
    for (const { account, state, role, direct } of reading.state === "found" ? reading.snapshot.members : []) {
      // Whoever is switched off, or is there by a role alone, may be gone for good, and still be listed.
      if (state === "active" && (direct || role === "member")) unseen.delete(account);
    }
  }
  const people = doubtful.flatMap(({ person, account }) =>
    person !== undefined && unseen.has(account) ? [person] : [],
  );
  return [...new Set(people)];
}

/**
 * Where somebody loses a role, those who have it and are there by it alone: no list of members tells their address, by
 * which they may be protected, nor whether they are switched off and thus of no use as owners.
 */
export function holdersToConfirm(diffs: readonly TargetDiff[]): readonly string[] {
  const holders = diffs.flatMap(({ reading, changes }) =>
    reading.state !== "found"
      ? []
      : reading.snapshot.members.filter(
          ({ role, direct }) => role !== "member" && !direct && changes.some((change) => isLossOf(role, change)),
        ),
  );
  return [...new Set(holders.map(({ account }) => account))];
}

/** Who holds a role and could not be looked up may be protected, or the last one of use: then nobody loses anything there. */
export function doubtHolders(diff: TargetDiff, failed: ReadonlyMap<string, string>): TargetDiff {
  const { reading } = diff;
  if (failed.size === 0 || reading.state !== "found") return diff;
  const { snapshot } = reading;
  const holder = snapshot.members.find(({ account, direct }) => !direct && failed.has(account));
  if (!holder) return diff;
  const because = `of ${holder.account}, who is ${holder.role} there, ${failed.get(holder.account)}`;
  const evidence = { ...snapshot.evidence, complete: false, because };
  return { ...diff, reading: { ...reading, snapshot: { ...snapshot, evidence } } };
}
