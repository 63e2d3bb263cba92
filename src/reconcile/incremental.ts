/**
 * Groups that need not be read again: those that the list shows under the very version under which they were last read
 * whole and found to be as wished, by the same wish.
 *
 * Nothing is ever concluded about such a group but that there is nothing to do: it brings no change, so nobody is
 * removed (or added) on the word of what was not read. That every change of members raises the version is documented
 * nowhere, though it seems so (Genesys); therefore each group is read whole again after a day at the latest.
 */
import type { Group, Target } from "../model.js";
import type { Scope, State, VerifiedGroup } from "../state/state.js";
import type { TargetDiff } from "./diff.js";

/** Within this time after a whole reading, an equal version stands for one. */
const FULL_READING_MS = 24 * 60 * 60 * 1000;

/** Whether a group need not be read for a target. */
export type IsUnmoved = (target: Target, group: Group) => boolean;

/** Recalls what was read before. `wishOf`: the digest of everything that is wished of a target now. */
export async function recallVerified(
  state: State,
  scope: Scope,
  wishOf: (target: Target) => string,
  now: Date,
): Promise<IsUnmoved> {
  const known = new Map((await state.verifiedGroups(scope)).map((each) => [each.groupId, each]));
  return (target, { id, version }) => {
    const last = known.get(id);
    if (!last || version === undefined || version !== last.version) return false;
    const ageMs = now.getTime() - Date.parse(last.readAt);
    // Not `age < limit` alone: a clock that was set back must not make a reading last for ever.
    return ageMs >= 0 && ageMs < FULL_READING_MS && last.wish === wishOf(target);
  };
}

/** Remembers the groups that have been read whole and need nothing. */
export async function rememberVerified(
  state: State,
  scope: Scope,
  diffs: readonly TargetDiff[],
  wishOf: (target: Target) => string,
  now: Date,
): Promise<void> {
  const rows = diffs.flatMap(({ target, reading, changes, unresolved }): readonly VerifiedGroup[] => {
    if (reading.state !== "found" || changes.length > 0 || unresolved.length > 0) return [];
    const { group, evidence } = reading.snapshot;
    const { id, kind, version } = group;
    const isProved = evidence.complete && !evidence.weak && evidence.versionAfter === version;
    if (kind !== "plain" || version === undefined || !isProved) return [];
    return [{ groupId: id, version, wish: wishOf(target), readAt: now.toISOString() }];
  });
  if (rows.length > 0) await state.rememberVerified(scope, rows);
}
