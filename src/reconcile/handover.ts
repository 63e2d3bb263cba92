/**
 * Hand-overs: one leaves because another comes. The guards let a group lose all of its members, or the holder of a
 * role, where somebody takes over; but an addition may still fail, or be accepted and not done. So in a hand-over what
 * is taken waits until what is given was seen there, and stays where it was not.
 */
import type { Change, Member, Snapshot } from "../model.js";
import { ABOVE_ROLES } from "../model.js";
import type { Capabilities } from "../provider.js";
import { isGainOf, isLossOf } from "./diff.js";
import { isSo } from "./snapshot.js";

/** Which changes of a group have to wait. `minOwners`: so many owners the guards leave to the group. */
export function findWaiting(
  changes: readonly Change[],
  members: readonly Member[],
  capabilities: Capabilities,
  minOwners: number,
): ReadonlySet<Change> {
  const waiting = new Set<Change>();
  // An invitation is no member yet; the guards do not count on it either.
  const coming = changes.filter(({ type }) => type !== "member.add" || !capabilities.invitations.value);
  const added = coming.filter(({ type }) => type === "member.add");
  const removals = changes.filter(isMemberRemoval);
  const room = (capabilities.maxMembers.value ?? Number.POSITIVE_INFINITY) - members.length;
  const isReplaced = added.length > 0 && removals.length >= members.filter(isPresent).length;
  if (isReplaced && added.length <= room) for (const change of removals) waiting.add(change);
  for (const role of ABOVE_ROLES) {
    const capability = capabilities.roles[role];
    const losses = changes.filter((change) => isLossOf(role, change));
    if (!capability || losses.length === 0 || !coming.some((change) => isGainOf(role, change))) continue;
    const holders = members.filter((member) => member.role === role && member.state === "active").length;
    const isLastResort = role === "owner" || !capabilities.roles.owner;
    const isNeeded = isLastResort && holders - losses.length < Math.min(minOwners, holders);
    if (!capability.guarded.value && !isNeeded) continue;
    for (const change of losses) waiting.add(change);
  }
  return waiting;
}

/** A role with room for one goes over to the next holder in one step: who had it needs no call to lose it. */
export function isImplied({ type, previousRole }: Change, { roles }: Capabilities): boolean {
  return (
    type === "member.update" &&
    previousRole !== undefined &&
    previousRole !== "member" &&
    roles[previousRole]?.max.value === 1
  );
}

/** A change that may not be made after all, and why. */
export interface Stranded {
  readonly change: Change;
  readonly why: string;
}

/**
 * Which of the waiting changes of a group would leave it empty, or a role without the successor that was named.
 * `gains`: what the group was to be given in this run.
 */
export function findStranded(
  waiting: readonly Change[],
  gains: readonly Change[],
  snapshot: Snapshot,
  { invitations }: Capabilities,
): readonly Stranded[] {
  const leaving = new Set(waiting.filter(isMemberRemoval).map(({ account }) => account));
  const stays = snapshot.members.some((member) => isPresent(member) && !leaving.has(member.account));
  const disabled = new Set(snapshot.members.flatMap(({ account, state }) => (state === "disabled" ? [account] : [])));
  const awaited = gains.filter(
    (change) =>
      !(invitations.value && change.type === "member.add") &&
      !(isSo(change, snapshot) && !disabled.has(change.account ?? "")),
  );
  return waiting.flatMap((change): readonly Stranded[] => {
    const role = change.previousRole ?? change.role ?? "member";
    const absent = role === "member" ? [] : awaited.filter((gain) => isGainOf(role, gain));
    if (absent.length > 0) {
      const successors = absent.map(({ person, account }) => person ?? account ?? "");
      const verb = successors.length === 1 ? "is" : "are";
      const why = `Not done, because ${successors.join(", ")} ${verb} not seen as ${role} there, and nobody else takes over. Run again.`;
      return [{ change, why }];
    }
    if (stays || !isMemberRemoval(change)) return [];
    const why =
      "Not removed, because nobody who was to be added is seen there, and the group would be left empty. Run again.";
    return [{ change, why }];
  });
}

function isMemberRemoval({ type, invitation }: Change): boolean {
  return type === "member.remove" && invitation === undefined;
}

function isPresent({ state }: Member): boolean {
  return state !== "pending";
}
