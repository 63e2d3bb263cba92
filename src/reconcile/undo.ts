/**
 * Takes a run back: the inverse of what it did, as far as it still stands. Pure.
 *
 * What someone else has changed since is theirs and stays. The inverse is planned like everything else: compared with
 * what is really so, guarded, applied and verified; and it can be taken back itself.
 */
import { groupBy } from "../collections.js";
import type { Change, GuardSettings, Member, Outcome, ProviderId, Report, Spec, Target } from "../model.js";
import type { Capabilities } from "../provider.js";
import type { TargetDiff } from "./diff.js";
import type { TargetReading } from "./snapshot.js";

/** What a run did to one group at one provider. */
export interface Deed {
  /** The group's place, as it has to be found now. */
  readonly target: Target;
  readonly outcomes: readonly Outcome[];
}

/** Everything that a run did, by provider and group. Limits of guards come from the spec at hand. */
export function listDeeds(report: Report, spec: Pick<Spec, "targets" | "guards">): readonly Deed[] {
  return report.providers.flatMap(({ id, outcomes }) => {
    const done = outcomes.filter(({ status }) => status === "applied" || status === "pending");
    return [...groupBy(done, ({ group }) => group)].map(([group, ofGroup]) => ({
      target: targetOf(id, group, ofGroup, guardsOf(id, group, spec)),
      outcomes: ofGroup,
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

/** The inverse of a deed, against what is there now. */
export function diffDeed({ outcomes }: Deed, reading: TargetReading, capabilities: Capabilities): TargetDiff {
  const { target } = reading;
  const nothing: TargetDiff = { target, reading, changes: [], unresolved: [], notes: [] };
  if (reading.state === "problem") return nothing;
  const deleted = outcomes.find(({ type }) => type === "group.delete");
  if (deleted) return restoreGroup(deleted, reading);
  if (reading.state === "absent") return nothing;
  const { group, members } = reading.snapshot;
  if (outcomes.some(({ type }) => type === "group.create")) {
    const what: Change = {
      type: "group.delete",
      group: target.group,
      groupId: group.id,
      name: group.name,
      ...(group.description !== undefined && { description: group.description }),
      members: members
        .filter(({ state, direct, role }) => state !== "pending" && (direct || role !== "member"))
        .map(({ account, role }) => ({ account, role })),
      reason: "was created by that run",
    };
    return { ...nothing, changes: [what] };
  }
  const actual = new Map(members.map((member) => [member.account, member]));
  const inverse = outcomes.map((outcome) => invert(outcome, actual.get(outcome.account ?? ""), reading.snapshot.group));
  const changes = inverse
    .flatMap((each) => ("change" in each ? [each.change] : []))
    .map((change) => ({ ...change, group: target.group, groupId: group.id }));
  const notes = [...new Set(inverse.flatMap((each) => ("note" in each ? [each.note] : [])))];
  const invited = changes.filter(({ type }) => type === "member.add").length;
  if (capabilities.invitations.value && invited > 0) {
    notes.push(`${invited} ${invited === 1 ? "person has" : "people have"} to accept a new invitation to be back`);
  }
  const adds = changes.filter(({ type }) => type === "member.add");
  const others = changes.filter(({ type }) => type !== "member.add" && type !== "member.remove");
  const removes = changes.filter(({ type }) => type === "member.remove");
  return {
    ...nothing,
    changes: [...adds, ...others, ...removes],
    notes: notes.map((note) => `${target.group}: ${note}`),
  };
}

function restoreGroup(deleted: Outcome, reading: Exclude<TargetReading, { state: "problem" }>): TargetDiff {
  const { target } = reading;
  const there = reading.state === "found" ? reading.snapshot : undefined;
  const present = new Set(there?.members.map(({ account }) => account));
  const place = { group: target.group, ...(there && { groupId: there.group.id }) };
  const reason = "was deleted by that run";
  const create: Change = {
    type: "group.create",
    group: target.group,
    name: target.name,
    ...(deleted.description !== undefined && { description: deleted.description }),
    reason,
  };
  const adds = (deleted.members ?? [])
    .filter(({ account }) => !present.has(account))
    .map(
      ({ account, role }): Change => ({
        type: "member.add",
        ...place,
        account,
        role,
        reason: "was in the deleted group",
      }),
    );
  const note = `${target.group}: comes back under a new id; what had been shared with the deleted group is not shared with it`;
  return { target, reading, changes: [...(there ? [] : [create]), ...adds], unresolved: [], notes: [note] };
}

type Inverse = { readonly change: Omit<Change, "group"> } | { readonly note: string } | Record<string, never>;

/** What takes one change back; nothing where it does not stand any more. */
function invert(
  outcome: Outcome,
  member: Member | undefined,
  group: { readonly name: string; readonly description?: string },
): Inverse {
  const { account, person, role } = outcome;
  const who = { ...(person !== undefined && { person }), ...(account !== undefined && { account }) };
  switch (outcome.type) {
    case "member.add":
      if (!member) return {};
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
      if (!member)
        return { change: { type: "member.add", ...who, role: role ?? "member", reason: "was removed by that run" } };
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
      if (member.role !== role || outcome.previousRole === undefined) return {};
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
