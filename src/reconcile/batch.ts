/**
 * Changes → calls. Pure: given the capabilities, as few calls as the service allows, none above its caps, and in a
 * safe order: add first, then roles, then removals, so that a run which stops half-way has given before it takes.
 */
import { chunk, groupBy } from "../collections.js";
import type { Batch, Change, Cost, GroupRef, MemberEdit } from "../model.js";
import type { Capabilities } from "../provider.js";
import { coverPairs } from "./cover.js";
import { isImplied } from "./handover.js";

/** A batch and the changes that it makes. */
export interface PlannedBatch<B extends Batch = Batch> {
  readonly batch: B;
  readonly changes: readonly Change[];
}

/** A batch of memberships. */
export type MembersBatch = Extract<Batch, { kind: "members" }>;

/** The batches that concern groups themselves. */
export interface GroupBatches {
  readonly creates: readonly PlannedBatch<Extract<Batch, { kind: "group.create" }>>[];
  readonly updates: readonly PlannedBatch<Extract<Batch, { kind: "group.update" }>>[];
  readonly deletes: readonly PlannedBatch<Extract<Batch, { kind: "group.delete" }>>[];
  /** Changes of members that no creation carries. */
  readonly rest: readonly Change[];
}

/** The batches of one provider, phase by phase; within a phase, groups are independent of each other. */
export interface BatchPlan extends GroupBatches {
  readonly members: readonly (readonly PlannedBatch<MembersBatch>[])[];
}

/** All batches for the changes of one provider. `refOf` names a group for a batch. */
export function buildBatches(
  changes: readonly Change[],
  capabilities: Capabilities,
  refOf: (group: string) => GroupRef,
): BatchPlan {
  const batches = buildGroupBatches(changes, capabilities, refOf);
  return { ...batches, members: buildMemberPhases(batches.rest, capabilities, refOf) };
}

/**
 * Batches that create, change and delete groups. Groups that have still to be created are made first, and their
 * remaining members are batched once their id is known (see {@link buildMemberPhases}).
 */
export function buildGroupBatches(
  changes: readonly Change[],
  capabilities: Capabilities,
  refOf: (group: string) => GroupRef,
): GroupBatches {
  const onCreate = capabilities.groups.membersOnCreate.value;
  const carried = new Set<Change>();
  const addsOf = groupBy(
    changes.filter(({ type }) => type === "member.add"),
    ({ group }) => group,
  );
  const creates = changes
    .filter((change) => change.type === "group.create")
    .map((create) => {
      const first = byWeight(addsOf.get(create.group) ?? []).slice(0, onCreate);
      for (const change of first) carried.add(change);
      return {
        batch: {
          kind: "group.create" as const,
          name: create.name ?? create.group,
          ...(create.description !== undefined && { description: create.description }),
          add: first.map(editOf),
        },
        changes: [create, ...first],
      };
    });
  const updates = changes
    .filter((change) => change.type === "group.update")
    .map((change) => ({
      batch: {
        kind: "group.update" as const,
        group: refOf(change.group),
        ...(change.name !== undefined && { name: change.name }),
        ...(change.description !== undefined && { description: change.description }),
      },
      changes: [change],
    }));
  const deletes = changes
    .filter((change) => change.type === "group.delete")
    .map((change) => ({ batch: { kind: "group.delete" as const, group: refOf(change.group) }, changes: [change] }));
  const rest = changes.filter((change) => change.type.startsWith("member.") && !carried.has(change));
  return { creates, updates, deletes, rest };
}

/** Batches for member changes, phase by phase. A phase starts when the one before it has ended. What waits comes last. */
export function buildMemberPhases(
  changes: readonly Change[],
  capabilities: Capabilities,
  refOf: (group: string) => GroupRef,
): readonly (readonly PlannedBatch<MembersBatch>[])[] {
  const waiting = changes.filter(({ waits }) => waits);
  const others = waiting.length === 0 ? changes : changes.filter(({ waits }) => !waits);
  return [others, waiting].flatMap((part) => buildPhases(part, capabilities, refOf));
}

function buildPhases(
  changes: readonly Change[],
  capabilities: Capabilities,
  refOf: (group: string) => GroupRef,
): readonly (readonly PlannedBatch<MembersBatch>[])[] {
  const adds = changes.filter((change) => change.type === "member.add");
  const updates = changes.filter((change) => change.type === "member.update");
  const removes = changes.filter((change) => change.type === "member.remove" && change.invitation === undefined);
  const withdrawals = changes.filter((change) => change.type === "member.remove" && change.invitation !== undefined);
  const { add, remove } = capabilities;
  const phases = capabilities.mixed.value
    ? [
        perGroup(
          byWeight([...adds, ...updates, ...removes]),
          Math.min(add.accountsPerCall.value, remove.accountsPerCall.value),
          refOf,
        ),
      ]
    : [
        inFewestCalls(adds, add.accountsPerCall.value, add.groupsPerCall.value, refOf),
        perGroup(updates, add.accountsPerCall.value, refOf),
        inFewestCalls(removes, remove.accountsPerCall.value, remove.groupsPerCall.value, refOf),
      ];
  // An invitation is withdrawn by a call of its own.
  return [...phases, perGroup(withdrawals, 1, refOf)].filter((phase) => phase.length > 0);
}

/** What gives or takes a role goes first, so that a change of a single manager stays in one call; the rest as it comes. */
function byWeight(changes: readonly Change[]): readonly Change[] {
  const isAboutRole = ({ type, role }: Change) =>
    type === "member.update" || (type === "member.add" && role !== "member");
  return [...changes.filter(isAboutRole), ...changes.filter((change) => !isAboutRole(change))];
}

function perGroup(
  changes: readonly Change[],
  size: number,
  refOf: (group: string) => GroupRef,
): readonly PlannedBatch<MembersBatch>[] {
  return [...groupBy(changes, ({ group }) => group)].flatMap(([group, ofGroup]) =>
    chunk(ofGroup, size).map((piece) => membersBatch([refOf(group)], piece)),
  );
}

/**
 * Where one call takes people × groups, as few products as {@link coverPairs} finds. Someone with a role in one group
 * and without it in another is two people here, as a call gives one role in all of its groups.
 */
function inFewestCalls(
  changes: readonly Change[],
  accountsPerCall: number,
  groupsPerCall: number,
  refOf: (group: string) => GroupRef,
): readonly PlannedBatch<MembersBatch>[] {
  if (groupsPerCall < 2) return perGroup(changes, accountsPerCall, refOf);
  const byGroup = groupBy(changes, ({ group }) => group);
  const byPerson = new Map(
    [...byGroup].map(([group, ofGroup]) => [group, new Map(ofGroup.map((change) => [personKey(change), change]))]),
  );
  const pairs = changes.map((change) => [personKey(change), change.group] as const);
  return coverPairs(pairs, { people: accountsPerCall, groups: groupsPerCall }).map(({ people, groups }) => {
    const made = groups.flatMap((group) => people.flatMap((person) => byPerson.get(group)?.get(person) ?? []));
    return membersBatch(groups.map(refOf), made);
  });
}

function personKey({ account, role, direct }: Change): string {
  return `${role ?? ""} ${direct ?? ""} ${account ?? ""}`;
}

/**
 * Someone whom the batch would put into a group (or take out of it) without a change that says so; undefined when
 * there is nobody. Looked at before each sending: a product of people × groups acts on every pair of it.
 */
export function findUnwanted(
  { batch, changes }: PlannedBatch<MembersBatch>,
  groupIdOf: (change: Change) => string | undefined,
): { readonly account: string; readonly group: string } | undefined {
  const wanted = new Map<string, Set<string | undefined>>();
  for (const change of changes) {
    const key = `${change.type} ${groupIdOf(change)}`;
    const accounts = wanted.get(key);
    if (accounts) accounts.add(change.account);
    else wanted.set(key, new Set([change.account]));
  }
  for (const { id, name } of batch.groups) {
    for (const [type, edits] of [
      ["member.add", batch.add],
      ["member.update", batch.update],
      ["member.remove", batch.remove],
    ] as const) {
      const accounts = wanted.get(`${type} ${id}`);
      const stranger = edits.find(({ account }) => !accounts?.has(account));
      if (stranger) return { account: stranger.account, group: name };
    }
  }
  return undefined;
}

/** One batch for changes that all concern all of the groups. */
export function membersBatch(groups: readonly GroupRef[], changes: readonly Change[]): PlannedBatch<MembersBatch> {
  const edits = (type: Change["type"]) => [
    ...new Map(
      changes.filter((change) => change.type === type).map((change) => [change.account, editOf(change)]),
    ).values(),
  ];
  return {
    batch: {
      kind: "members",
      groups,
      add: edits("member.add"),
      update: edits("member.update"),
      remove: edits("member.remove"),
    },
    changes,
  };
}

function editOf(change: Change): MemberEdit {
  return {
    account: change.account ?? "",
    role: change.role ?? "member",
    ...(change.previousRole !== undefined && { previousRole: change.previousRole }),
    ...(change.invitation !== undefined && { invitation: change.invitation }),
    ...(change.direct !== undefined && { direct: change.direct }),
  };
}

/** A call's own time where nothing limits the rate. */
const SECONDS_PER_CALL = 0.3;

/** Writing calls, and the seconds that they take under the declared limits. */
export function estimateCost(changes: readonly Change[], capabilities: Capabilities): Cost {
  const called = changes.filter((change) => !(change.waits && isImplied(change, capabilities)));
  const plan = buildBatches(called, capabilities, (group) => ({ id: group, name: group }));
  const calls = plan.creates.length + plan.updates.length + plan.members.flat().length + plan.deletes.length;
  const sending = (calls * SECONDS_PER_CALL) / Math.max(1, capabilities.inFlight.writes.value);
  const waiting = capabilities.rates
    .filter(({ counts }) => counts !== "read")
    .map(({ requests, windowMs }) => (Math.floor(Math.max(0, calls - 1) / requests) * windowMs) / 1000);
  return { calls, seconds: Math.ceil(Math.max(sending, ...waiting)) };
}
