/**
 * Takes a run back: the inverse of what it did, as far as it still stands. Pure.
 *
 * What someone else has changed since is theirs and stays. The inverse is planned like everything else: compared with
 * what is really so, guarded, applied and verified; and it can be taken back itself.
 */
import { groupBy } from "../collections.js";
import type { Change, GuardSettings, Member, Outcome, ProviderId, Report, Snapshot, Spec, Target } from "../model.js";
import type { Capabilities } from "../provider.js";
import { deleteChange, type TargetDiff } from "./diff.js";
import type { TargetReading } from "./snapshot.js";

/** What a run did to one group at one provider. */
export interface Deed {
  /** The group's place, as it has to be found now. */
  readonly target: Target;
  readonly outcomes: readonly Outcome[];
  /** Whether the run had taken another back. Whom it put back, somebody else may have added first. */
  readonly wasUndo?: boolean;
}

/**
 * Everything that a run did, or may have done to somebody, by provider and group. Limits of guards come from the spec at
 * hand.
 */
export function listDeeds(report: Report, spec: Pick<Spec, "targets" | "guards">): readonly Deed[] {
  return report.providers.flatMap(({ id, outcomes }) => {
    const done = outcomes.filter(
      ({ status, account }) =>
        status === "applied" || status === "pending" || (status === "unknown" && account !== undefined),
    );
    return [...groupBy(done, ({ group }) => group)].map(([group, ofGroup]) => ({
      target: targetOf(id, group, ofGroup, guardsOf(id, group, spec)),
      outcomes: ofGroup,
      ...(report.undoes !== undefined && { wasUndo: true }),
    }));
  });
}

function guardsOf(provider: ProviderId, group: string, spec: Pick<Spec, "targets" | "guards">): GuardSettings {
  return spec.targets.find((target) => target.provider === provider && target.group === group)?.guards ?? spec.guards;
}

function targetOf(provider: ProviderId, group: string, outcomes: readonly Outcome[], guards: GuardSettings): Target {
  const deleted = outcomes.find(({ type }) => type === "group.delete");
  const created = outcomes.find(({ type }) => type === "group.create");
  const renamed = outcomes.find(({ type, name }) => type === "group.update" && name !== undefined);
  const groupId = outcomes.find((outcome) => outcome.groupId !== undefined)?.groupId;
  return {
    group,
    provider,
    // A deleted group comes back under another id.
    ...(!deleted && groupId !== undefined && { groupId }),
    name: deleted?.name ?? created?.name ?? renamed?.name ?? group,
    previously: [],
    mode: "authoritative",
    adopt: true,
    // Gone already is as good as taken back.
    absent: created !== undefined,
    guards,
    // Nothing is wished of the group as a whole.
    managed: { member: false, manager: false, owner: false },
    members: [],
  };
}

/** The inverse of a deed, against what is there now. `isOurs`: whether this installation added the account to the group. */
export function diffDeed(
  { outcomes, wasUndo = false }: Deed,
  reading: TargetReading,
  capabilities: Capabilities,
  isOurs: (groupId: string, account: string) => boolean,
): TargetDiff {
  const { target } = reading;
  const nothing: TargetDiff = { target, reading, changes: [], unresolved: [], notes: [] };
  if (reading.state === "problem") return nothing;
  const deleted = outcomes.find(({ type }) => type === "group.delete");
  const restored = deleted && restoreGroup(deleted, reading);
  if (!restored && reading.state === "absent") return nothing;
  const { changes, notes } =
    restored ?? (reading.state === "found" ? invertAll(outcomes, target, reading.snapshot, isOurs, wasUndo) : nothing);
  const invited = changes.filter(({ type }) => type === "member.add").length;
  const invitation = `${invited} ${invited === 1 ? "person has" : "people have"} to accept a new invitation to be back`;
  const told = [...notes, ...(capabilities.invitations.value && invited > 0 ? [invitation] : [])];
  return { ...nothing, changes, notes: told.map((note) => `${target.group}: ${note}`) };
}

/** What is done, and what is said before. */
type Restoration = Pick<TargetDiff, "changes" | "notes">;

function invertAll(
  outcomes: readonly Outcome[],
  target: Target,
  snapshot: Snapshot,
  isOurs: (groupId: string, account: string) => boolean,
  wasUndo: boolean,
): Restoration {
  const { group, members } = snapshot;
  if (outcomes.some(({ type }) => type === "group.create")) {
    const added = new Set(outcomes.map(({ account }) => account));
    const others = members.filter(({ account, state, direct }) => !added.has(account) && state !== "pending" && direct);
    const many = others.length === 1 ? "1 person who was" : `${others.length} people who were`;
    return {
      changes: [deleteChange(target, snapshot, "was created by that run", isOurs)],
      notes: others.length > 0 ? [`${many} not added by that run would lose the group too`] : [],
    };
  }
  const actual = new Map(members.map((member) => [member.account, member]));
  // The last step first: a role that was given before another was taken is taken after that one is given back.
  const inverse = outcomes
    .toReversed()
    .map((outcome) =>
      invert(
        outcome,
        actual.get(outcome.account ?? ""),
        group,
        (wasUndo && outcome.status !== "unknown") || isOurs(group.id, outcome.account ?? ""),
      ),
    );
  const changes = inverse
    .flatMap((each) => ("change" in each ? [each.change] : []))
    .map(
      (change): Change => ({
        ...change,
        group: target.group,
        groupId: group.id,
        ...(change.type === "member.remove" && isOurs(group.id, change.account ?? "") && { ours: true }),
      }),
    );
  const adds = changes.filter(({ type }) => type === "member.add");
  const others = changes.filter(({ type }) => type !== "member.add" && type !== "member.remove");
  const removes = changes.filter(({ type }) => type === "member.remove");
  return {
    changes: [...adds, ...others, ...removes],
    notes: [...new Set(inverse.flatMap((each) => ("note" in each ? [each.note] : [])))],
  };
}

function restoreGroup(deleted: Outcome, reading: Exclude<TargetReading, { state: "problem" }>): Restoration {
  const { target } = reading;
  const there = reading.state === "found" ? reading.snapshot : undefined;
  const present = new Set(there?.members.map(({ account }) => account));
  const place = { group: target.group, ...(there && { groupId: there.group.id }) };
  const create: Change = {
    type: "group.create",
    group: target.group,
    name: target.name,
    ...(deleted.description !== undefined && { description: deleted.description }),
    reason: "was deleted by that run",
  };
  const adds = (deleted.members ?? [])
    .filter(({ account }) => !present.has(account))
    .map(
      ({ account, role, ours }): Change => ({
        type: "member.add",
        ...place,
        account,
        role,
        ...(ours && { ours }),
        reason: "was in the deleted group",
      }),
    );
  const note = there
    ? `a group called "${target.name}" is there again; who was in the deleted one is added to it, and nothing else is changed`
    : "comes back under a new id; what had been shared with the deleted group is not shared with it";
  return { changes: there ? adds : [create, ...adds], notes: there && adds.length === 0 ? [] : [note] };
}

type Inverse = { readonly change: Omit<Change, "group"> } | { readonly note: string } | Record<string, never>;

/** What takes one change back; nothing where it does not stand any more. */
function invert(
  outcome: Outcome,
  member: Member | undefined,
  group: { readonly name: string; readonly description?: string },
  isOurs: boolean,
): Inverse {
  const { account, person, label, role } = outcome;
  const who = {
    ...(person !== undefined && { person }),
    ...(account !== undefined && { account }),
    ...(label !== undefined && { label }),
  };
  if (outcome.status === "unknown" && !(outcome.type === "member.add" && (isOurs || !member))) {
    return { note: `how the change for ${nameOf(outcome)} ended in that run is not known; left alone` };
  }
  switch (outcome.type) {
    case "member.add":
      if (!member) return {};
      if (!isOurs) return { note: `${nameOf(outcome)} was taken out and put back since; left alone` };
      if (member.role !== role && member.state !== "pending")
        return { note: `${nameOf(outcome)} is ${member.role} by now; left alone` };
      return {
        change: {
          type: "member.remove",
          ...who,
          role: member.role,
          ...(!member.direct && { direct: false }),
          ...(member.invitation !== undefined && { invitation: member.invitation }),
          reason: "was added by that run",
        },
      };
    case "member.remove":
      if (!member) {
        const change = {
          type: "member.add",
          ...who,
          role: role ?? "member",
          reason: "was removed by that run",
        } as const;
        return { change: { ...change, ...(outcome.ours && { ours: true }) } };
      }
      // The role was taken; the person is still there by a rule.
      if (outcome.direct === false && role !== undefined && member.role === "member") {
        return {
          change: {
            type: "member.update",
            ...who,
            role,
            previousRole: "member",
            ...(!member.direct && { direct: false }),
            reason: "the role was taken by that run",
          },
        };
      }
      return {};
    case "member.update":
      if (!member) return { note: `${nameOf(outcome)} is not there any more; left alone` };
      if (outcome.previousRole === undefined || member.role === outcome.previousRole) return {};
      if (member.role !== role) return { note: `${nameOf(outcome)} is ${member.role} by now; left alone` };
      return {
        change: {
          type: "member.update",
          ...who,
          role: outcome.previousRole,
          previousRole: member.role,
          reason: "the role was changed by that run",
        },
      };
    case "group.update": {
      const name = outcome.name !== undefined && outcome.name === group.name ? outcome.previousName : undefined;
      const description =
        outcome.description !== undefined && outcome.description === (group.description ?? "")
          ? outcome.previousDescription
          : undefined;
      if (name === undefined && description === undefined) return {};
      return {
        change: {
          type: "group.update",
          ...(name !== undefined && { name, previousName: group.name }),
          ...(description !== undefined && { description, previousDescription: group.description ?? "" }),
          reason: "was changed by that run",
        },
      };
    }
    default:
      return {};
  }
}

function nameOf({ person, account }: Outcome): string {
  return person ?? account ?? "someone";
}
