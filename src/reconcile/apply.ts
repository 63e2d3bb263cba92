/**
 * Sends the batches of one provider and keeps book of how each change ended.
 *
 * A 2xx proves nothing about anybody: a change that was answered is `sent`, and only a reading makes it applied (see
 * verify.ts). When a batch fails, what happens next depends on what is known:
 *
 * - the outcome is unknown, or someone else was faster: read, strike out what is already so, send the rest;
 * - the service refused it: read, then split it until the bad entry stands alone;
 * - nothing more can succeed (credentials, a long rate limit, a service that is down): stop this provider.
 *
 * Nothing is repeated blindly, creations never: those are looked up.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pLimit from "p-limit";
import { groupBy } from "../collections.js";
import { GroupSyncError, isGroupSyncError, summarizeError } from "../errors.js";
import { lookUpAccounts } from "../identity.js";
import type { Batch, BatchResult, Change, ErrorSummary, GroupRef, OutcomeStatus, Role, Snapshot } from "../model.js";
import type { CallContext, CallEvent, GroupProvider } from "../provider.js";
import {
  type GroupBatches,
  buildGroupBatches,
  buildMemberPhases,
  findUnwanted,
  membersBatch,
  type MembersBatch,
  type PlannedBatch,
} from "./batch.js";
import type { Meter, SyncEvent } from "./events.js";
import { findStranded, isImplied } from "./handover.js";
import type { Journal } from "./memory.js";
import { digestMembers } from "./plan.js";
import { isSo, readGroupWhole } from "./snapshot.js";

/** How a change stands while a run is under way. */
export interface Progress {
  /** `sent`: answered with success, not yet seen by a reading. `open`: not sent. */
  readonly status: "open" | "sent" | Exclude<OutcomeStatus, "held">;
  readonly error?: ErrorSummary;
  /** Somebody was added and did not get the role of the change: with which role they are there. */
  readonly madeAs?: Role;
}

/** The book of one provider: every change of its plan and how it stands. */
export type Book = Map<Change, Progress>;

/** What {@link applyChanges} came to. */
export interface Applied {
  readonly book: Book;
  /** Ids of the groups that were written to, by their id in the spec. Includes those just created. */
  readonly groupIds: ReadonlyMap<string, string>;
  /** Why the provider was given up before its end. */
  readonly stopped?: GroupSyncError;
}

/** Everything that applying needs to know. */
export interface ApplyInput {
  readonly changes: readonly Change[];
  readonly provider: GroupProvider;
  /** The groups as they were read before, by provider id. */
  readonly before: ReadonlyMap<string, Snapshot>;
  readonly meter: Meter;
  readonly signal?: AbortSignal;
  readonly onEvent: (event: SyncEvent) => void;
  /** Where intents are written before each call. */
  readonly journal?: Journal;
  /** How long the service may take to show what was written, in milliseconds. */
  readonly windowMs: number;
}

const ATTEMPTS_AFTER_READING = 3;
const AFTER_CONFLICT_MS = 400;
const FIRST_PAUSE_MS = 200;

/** Makes the changes so, phase by phase. Never throws for what a service does; the book tells. */
export async function applyChanges(input: ApplyInput): Promise<Applied> {
  const { provider, before, meter, signal } = input;
  const { capabilities } = provider;
  const book: Book = new Map(input.changes.map((change) => [change, { status: "open" }]));
  const groupIds = new Map<string, string>();
  for (const change of input.changes) if (change.groupId !== undefined) groupIds.set(change.group, change.groupId);
  const versions = new Map<string, string>();
  for (const [id, { group }] of before) if (group.version !== undefined) versions.set(id, group.version);
  /** How many came along with the creation of a group. */
  const aboard = new Map<string, number>();
  /** What ended batches of several calls after one of the calls had gone through. */
  const halfDone = new WeakSet<GroupSyncError>();
  const limit = pLimit(Math.max(1, capabilities.inFlight.writes.value));
  let stopped: GroupSyncError | undefined;

  const context = (): CallContext => meter.context(signal);
  let done = 0;
  const mark = (changes: readonly Change[], status: Progress["status"], error?: unknown) => {
    for (const change of changes) {
      if (book.get(change)?.status === "open") done++;
      book.set(change, { status, ...(error !== undefined && { error: summarizeError(error) }) });
    }
  };
  /** Leaves a change that should not be made after all. */
  const leave = (change: Change, why: string) => {
    mark([change], "skipped");
    book.set(change, { status: "skipped", error: { code: "not-applied", message: why } });
  };
  const stop = (error: GroupSyncError) => {
    stopped ??= error;
  };
  const mayGoOn = () => {
    if (signal?.aborted) stop(new GroupSyncError("cancelled", "Stopped on request.", { provider: provider.id }));
    return stopped === undefined;
  };
  const refOf = (group: string): GroupRef => {
    const id = groupIds.get(group) ?? "";
    const version = versions.get(id);
    const name = before.get(id)?.group.name ?? group;
    return { id, name, ...(version !== undefined && { version }) };
  };

  /** Sends one batch. Returns the error instead of throwing it. */
  async function send(batch: Batch, changes: readonly Change[]): Promise<BatchResult | GroupSyncError> {
    const told = (ok: boolean) => {
      input.onEvent({ type: "batch", provider: provider.id, kind: batch.kind, changes: changes.length, ok });
      input.onEvent({ type: "progress", provider: provider.id, phase: "apply", done, total: book.size });
    };
    // Any write moves the version on, whether it succeeds or not.
    const touched = batch.kind === "members" ? batch.groups : batch.kind === "group.create" ? [] : [batch.group];
    const unwanted = batch.kind === "members" && findUnwanted({ batch, changes }, ({ group }) => groupIds.get(group));
    if (unwanted) {
      // Cannot happen; if it did, someone would get or lose a membership that nobody planned.
      const message = `A call would have touched ${unwanted.account} in "${unwanted.group}", which no change asks for; it was not sent.`;
      return new GroupSyncError("internal", message, { provider: provider.id });
    }
    let intent: number;
    try {
      intent = (await input.journal?.intend(batch.kind, changes)) ?? 0;
    } catch (error) {
      // What cannot be written down is not sent.
      if (isGroupSyncError(error, "busy")) return error;
      const why = error instanceof Error ? error.message : "unknown failure";
      return new GroupSyncError("internal", `Nothing more is sent, as it cannot be written down: ${why}`, {
        provider: provider.id,
      });
    }
    const { onCall, ...rest } = context();
    let hasWritten = false;
    const listen = (event: CallEvent) => {
      const { status = Number.POSITIVE_INFINITY, effect = "read" } = event.type === "call" ? event : {};
      if (effect === "write" && status < 300) hasWritten = true;
      onCall?.(event);
    };
    let result: BatchResult | GroupSyncError;
    try {
      result = await provider.applyBatch(batch, { ...rest, onCall: listen });
      mark(changes, "sent");
    } catch (error) {
      result = asGroupSyncError(error, provider.id);
      if (hasWritten) halfDone.add(result);
    }
    for (const { id } of touched) versions.delete(id);
    told(!(result instanceof GroupSyncError));
    try {
      await input.journal?.settle(intent, result);
    } catch (error) {
      stop(asGroupSyncError(error, provider.id));
    }
    return result;
  }

  /**
   * A second list before the first creation: one empty page would otherwise make every group anew. Whoever is there
   * after all, or cannot be ruled out, is left to the next run.
   */
  async function confirmAbsent(creates: GroupBatches["creates"]): Promise<GroupBatches["creates"]> {
    const skip = (planned: PlannedBatch, error: GroupSyncError) => {
      const group = groupOf(planned);
      mark(
        input.changes.filter((change) => change.group === group),
        "skipped",
        error,
      );
    };
    try {
      const { groups, evidence } = await provider.listGroups(context());
      const names = new Set(groups.map(({ name }) => name));
      return creates.filter((planned) => {
        const { name } = planned.batch;
        if (evidence.complete && !names.has(name)) return true;
        const message = names.has(name)
          ? `A group called "${name}" is there after all; nothing was created. Run again.`
          : `Nothing was created: the list of groups could not be read whole: ${evidence.because}.`;
        skip(planned, new GroupSyncError("conflict", message, { provider: provider.id }));
        return false;
      });
    } catch (thrown) {
      const error = asGroupSyncError(thrown, provider.id);
      if (isFinal(error)) stop(error);
      for (const planned of creates) skip(planned, error);
      return [];
    }
  }

  async function create(planned: PlannedBatch<Extract<Batch, { kind: "group.create" }>>): Promise<void> {
    if (!mayGoOn()) return;
    const [created] = planned.changes;
    if (!created) return;
    let result = await send(planned.batch, planned.changes);
    let carried = planned.changes;
    if (result instanceof GroupSyncError && planned.batch.add.length > 0 && isAboutEntries(result)) {
      // Refused for the sake of someone on board: the group is made alone, its members are added (and told apart) after.
      carried = [created];
      result = await send({ ...planned.batch, add: [] }, carried);
    }
    if (result instanceof GroupSyncError && result.facts.outcomeUnknown) {
      result = (await findCreated(planned.batch.name)) ?? result;
      // How many came along is not known: they are left to the next step, which adds whoever is missing.
      carried = [created];
      if (!(result instanceof GroupSyncError)) mark(carried, "sent");
    }
    if (result instanceof GroupSyncError) {
      if (isFinal(result)) stop(result);
      const ofGroup = input.changes.filter(({ group }) => group === created.group);
      mark([created], result.facts.outcomeUnknown ? "unknown" : isFinal(result) ? "skipped" : "failed", result);
      const others = ofGroup.filter((change) => change !== created);
      // What stopped the whole run is the reason for them too: a rate limit is not a failure.
      const reason = isFinal(result)
        ? result
        : new GroupSyncError("not-found", "The group could not be created.", { provider: provider.id });
      mark(others, "skipped", reason);
      return;
    }
    if (result.group) {
      const { id, name } = result.group;
      if (before.has(id) || [...groupIds.values()].includes(id)) {
        // Whose people would be added to it? One of the two creations is not what it was said to be.
        const message = `The new group "${name}" came with the id ${id}, which another group has; nothing more is sent.`;
        const error = new GroupSyncError("bad-answer", message, { provider: provider.id });
        stop(error);
        mark([created], "unknown", error);
        mark(
          planned.changes.filter((change) => change !== created),
          "skipped",
          error,
        );
        return;
      }
      groupIds.set(created.group, id);
      aboard.set(id, carried.length - 1);
      if (result.group.version !== undefined && carried.length === 1)
        versions.set(result.group.id, result.group.version);
    }
  }

  /** A creation whose outcome is unknown: exactly one group of that name that was not there before is it. */
  async function findCreated(name: string): Promise<BatchResult | undefined> {
    const listing = await provider.listGroups(context()).catch(() => undefined);
    const [group, second] = (listing?.groups ?? []).filter(
      (candidate) => candidate.name === name && !before.has(candidate.id),
    );
    return group && !second ? { group } : undefined;
  }

  /** `looked`: the group was read after a refusal of this very batch or one that it is part of. */
  async function sendMembers(planned: PlannedBatch<MembersBatch>, attempt = 1, looked = false): Promise<void> {
    if (planned.changes.length === 0 || !mayGoOn()) return;
    const result = await send(planned.batch, planned.changes);
    if (!(result instanceof GroupSyncError)) {
      const vanished = findVanished(planned, result, before, input.changes);
      if (vanished) stop(vanished);
      return;
    }
    if (isFinal(result)) {
      stop(result);
      // What may have been done is read back, as far as reading still goes.
      mark(planned.changes, result.facts.outcomeUnknown ? "sent" : "skipped", result);
      return;
    }
    const alone = planned.changes.length === 1;
    const settles = result.facts.outcomeUnknown === true || result.code === "conflict";
    if (!settles && alone) {
      mark(planned.changes, "failed", result);
      return;
    }
    if (result.code === "conflict" && attempt < ATTEMPTS_AFTER_READING) await letVersionShow(attempt);
    // Some of a batch that the service refused may have been invited all the same, which may show late; a second mail
    // cannot be taken back. What has no status was never sent.
    const mayHaveInvited =
      capabilities.invitations.value &&
      result.facts.status !== undefined &&
      planned.changes.some(({ type }) => type === "member.add");
    if (mayHaveInvited && !settles) await pause(input.windowMs);
    // Else a refusal is looked into once, not at every step of the splitting; verification has the last word anyway.
    const left = settles || mayHaveInvited || !looked ? await readWhatIsOpen(planned, result) : planned.changes;
    if (!left) return;
    // An invitation that went out may show only later, and a second mail cannot be taken back: the next run sends it.
    const uncertain = result.facts.outcomeUnknown === true && capabilities.invitations.value;
    const open = uncertain ? left.filter(({ type }) => type !== "member.add") : left;
    const added = left.filter((change) => !open.includes(change));
    mark(added, "sent", result);
    if (open.length === 0) return;
    if (settles && attempt >= ATTEMPTS_AFTER_READING) {
      mark(open, result.code === "conflict" ? "failed" : "unknown", result);
      return;
    }
    // After a timeout a smaller batch has better chances; after a refusal the bad entry has to be found.
    const split = !settles || result.code === "timeout";
    for (const part of partsOf(open, split)) {
      for (const phase of buildMemberPhases(part, capabilities, refOf)) {
        for (const next of phase) await sendMembers(next, settles ? attempt + 1 : attempt, !settles);
      }
    }
  }

  /** Reads the groups of a failed batch, books what is already so, and returns what is still to be done. */
  async function readWhatIsOpen(
    planned: PlannedBatch<MembersBatch>,
    cause: GroupSyncError,
  ): Promise<readonly Change[] | undefined> {
    try {
      const open: Change[] = [];
      for (const ref of planned.batch.groups) {
        const snapshot = await readGroupWhole(ref.id, provider, context());
        if (snapshot.group.version !== undefined) versions.set(ref.id, snapshot.group.version);
        const ofGroup = planned.changes.filter((change) => groupIds.get(change.group) === ref.id);
        for (const change of ofGroup) {
          // Others may have added whoever is there after a refusal. An open invitation is taken for ours all the same,
          // so that whoever says no to it is not asked again.
          const isInvited = snapshot.members.some(
            (each) => each.account === change.account && each.state === "pending",
          );
          const { outcomeUnknown = false, status } = cause.facts;
          const isOurs = outcomeUnknown || halfDone.has(cause) || (isInvited && status !== undefined);
          if (isSo(change, snapshot)) mark([change], isOurs ? "sent" : "already");
          else open.push(change);
        }
      }
      return open;
    } catch (error) {
      // Writing fails and reading fails: the service is not there, or the group is gone.
      mark(planned.changes, cause.facts.outcomeUnknown ? "unknown" : "failed", cause);
      if (!isGroupSyncError(error, "not-found")) stop(isGroupSyncError(error) ? error : cause);
      return undefined;
    }
  }

  async function sendGroup(planned: PlannedBatch<Exclude<Batch, { kind: "members" | "group.create" }>>): Promise<void> {
    for (let attempt = 1; mayGoOn(); attempt++) {
      const result = await send({ ...planned.batch, group: refOf(groupOf(planned)) }, planned.changes);
      if (!(result instanceof GroupSyncError)) {
        if (result.group?.version !== undefined) versions.set(result.group.id, result.group.version);
        return;
      }
      if (isFinal(result)) stop(result);
      // Someone was faster: the adapter takes the version anew, as ours is forgotten.
      const repeat = result.code === "conflict" && attempt < ATTEMPTS_AFTER_READING;
      // Verification reads what became of it.
      if (!repeat) {
        mark(planned.changes, result.facts.outcomeUnknown ? "sent" : isFinal(result) ? "skipped" : "failed", result);
        return;
      }
      await letVersionShow(attempt);
      if (planned.batch.kind === "group.delete" && !(await isAsRead(planned, result))) return;
    }
  }

  /** Whether a group that is to be deleted still has the members that the deletion names; else books why it stays. */
  async function isAsRead(planned: PlannedBatch, cause: GroupSyncError): Promise<boolean> {
    const { id, name } = refOf(groupOf(planned));
    try {
      const { members } = await readGroupWhole(id, provider, context());
      if (digestMembers(members) === digestMembers(before.get(id)?.members ?? [])) return true;
      const message = `"${name}" has changed since it was read, so it was not deleted. Run again.`;
      mark(planned.changes, "failed", new GroupSyncError("conflict", message, { provider: provider.id }));
    } catch (error) {
      if (isGroupSyncError(error, "not-found")) {
        mark(planned.changes, "already");
        return false;
      }
      mark(planned.changes, "failed", cause);
      stop(asGroupSyncError(error, provider.id));
    }
    return false;
  }

  /** The newer version may be that of our own last write, which a service shows only after a while. */
  async function letVersionShow(attempt: number): Promise<void> {
    await pause(Math.min(AFTER_CONFLICT_MS * attempt, capabilities.consistencyMs.value));
  }

  /** Waits, or less: until the run is stopped. */
  async function pause(ms: number): Promise<void> {
    if (ms > 0) await sleep(ms, undefined, signal ? { signal } : {}).catch(() => {});
  }

  async function sendAll(changes: readonly Change[]): Promise<void> {
    for (const phase of phasesFor(changes)) {
      // Batches of one group go one after the other: each moves the group's version.
      await Promise.all(
        inLanes(phase).map((lane) =>
          limit(async () => {
            for (const planned of lane) await sendMembers(withRefs(planned, refOf));
          }),
        ),
      );
    }
  }

  /** Of the changes that wait, those that may go now. What may not, and what is so already, is booked. */
  async function confirmHandovers(waiting: readonly Change[]): Promise<readonly Change[]> {
    const ready = [...groupBy(waiting, ({ group }) => group)].map(([group, changes]) =>
      limit(async () => (mayGoOn() ? confirmHandover(group, changes) : [])),
    );
    return (await Promise.all(ready)).flat();
  }

  async function confirmHandover(group: string, waiting: readonly Change[]): Promise<readonly Change[]> {
    const gains = input.changes.filter((change) => change.group === group && !change.waits);
    try {
      const snapshot = await showStates(await readUntil(groupIds.get(group) ?? "", gains));
      const stranded = findStranded(waiting, gains, snapshot, capabilities);
      for (const { change, why } of stranded) leave(change, why);
      const free = waiting.filter((change) => !stranded.some((each) => each.change === change));
      for (const change of free) {
        // A role with room for one has gone over with the successor: that was us.
        if (isSo(change, snapshot)) mark([change], isImplied(change, capabilities) ? "sent" : "already");
      }
      return free.filter((change) => !isSo(change, snapshot));
    } catch (thrown) {
      const error = asGroupSyncError(thrown, provider.id);
      if (isFinal(error)) stop(error);
      for (const change of waiting) leave(change, `Not done, because it was not seen who takes over: ${error.message}`);
      return [];
    }
  }

  /** Of those who are there by a role alone no reading tells whether they are switched off. */
  async function showStates(snapshot: Snapshot): Promise<Snapshot> {
    const doubtful = snapshot.members.filter(({ role, direct }) => role !== "member" && !direct);
    const { accounts } = await lookUpAccounts(
      doubtful.map(({ account }) => account),
      provider,
      context(),
    );
    const isInUse = (account: string) => !accounts.has(account) || accounts.get(account)?.status === "active";
    const members = snapshot.members.map((each) =>
      isInUse(each.account) ? each : { ...each, state: "disabled" as const },
    );
    return { ...snapshot, members };
  }

  /** Reads a group until it shows what was sent, for as long as the service may take to show it. */
  async function readUntil(groupId: string, gains: readonly Change[]): Promise<Snapshot> {
    const deadline = Date.now() + input.windowMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
      const snapshot = await readGroupWhole(groupId, provider, context());
      if (snapshot.group.version !== undefined) versions.set(groupId, snapshot.group.version);
      const isShown = gains.every((change) => book.get(change)?.status !== "sent" || isSo(change, snapshot));
      if (isShown || Date.now() + pauseMs > deadline || !mayGoOn()) return snapshot;
      await pause(pauseMs);
    }
  }

  /** Additions first, but where a group has no room for them before somebody leaves. */
  function phasesFor(changes: readonly Change[]): ReturnType<typeof buildMemberPhases> {
    const most = capabilities.maxMembers.value;
    if (most === null) return buildMemberPhases(changes, capabilities, refOf);
    const early: Change[] = [];
    const later: Change[] = [];
    for (const [group, ofGroup] of groupBy(changes, (change) => change.group)) {
      const adds = ofGroup.filter(({ type }) => type === "member.add");
      const removes = ofGroup.filter(({ type }) => type === "member.remove");
      const id = groupIds.get(group) ?? "";
      const room = most - (before.get(id)?.members.length ?? aboard.get(id) ?? 0);
      const surplus = adds.slice(Math.max(0, room + removes.length));
      if (surplus.length > 0) {
        const message = `A group there has room for ${most} members; this addition would be one too many.`;
        mark(surplus, "failed", new GroupSyncError("unsupported", message, { provider: provider.id }));
      }
      if (adds.length > room) early.push(...removes);
      const left = adds.length > room ? ofGroup.filter((change) => change.type !== "member.remove") : ofGroup;
      later.push(...left.filter((change) => !surplus.includes(change)));
    }
    return [...buildMemberPhases(early, capabilities, refOf), ...buildMemberPhases(later, capabilities, refOf)];
  }

  const plan = buildGroupBatches(input.changes, capabilities, refOf);
  const toCreate = plan.creates.length > 0 && mayGoOn() ? await confirmAbsent(plan.creates) : [];
  await Promise.all(toCreate.map((planned) => limit(() => create(planned))));
  await Promise.all(plan.updates.map((planned) => limit(() => sendGroup(planned))));
  const open = input.changes.filter(
    (change) => change.type.startsWith("member.") && book.get(change)?.status === "open",
  );
  await sendAll(open.filter(({ waits }) => !waits));
  await sendAll(await confirmHandovers(open.filter(({ waits }) => waits)));
  await Promise.all(plan.deletes.map((planned) => limit(() => sendGroup(planned))));

  if (stopped) {
    const reason = stopped;
    for (const [change, { status }] of book) if (status === "open") mark([change], "skipped", reason);
  }
  return { book, groupIds, ...(stopped && { stopped }) };
}

/** Errors after which nothing more can succeed at this provider in this run. */
function isFinal(error: GroupSyncError): boolean {
  if (["cancelled", "rate-limited", "unauthenticated", "internal", "busy"].includes(error.code)) return true;
  // Attempts are used up and the request never got through.
  return (error.code === "network" || error.code === "unavailable") && !error.facts.outcomeUnknown;
}

function asGroupSyncError(error: unknown, provider: string): GroupSyncError {
  if (isGroupSyncError(error)) return error;
  return new GroupSyncError("internal", error instanceof Error ? error.message : "unknown failure", { provider });
}

/** Refusals that may be about one of several entries. */
function isAboutEntries(error: GroupSyncError): boolean {
  return ["refused", "not-found", "forbidden", "too-large", "unsupported", "options-invalid"].includes(error.code);
}

function partsOf(changes: readonly Change[], split: boolean): readonly (readonly Change[])[] {
  if (!split || changes.length < 2) return [changes];
  const middle = Math.ceil(changes.length / 2);
  return [changes.slice(0, middle), changes.slice(middle)];
}

/** Batches that share a group follow each other in one lane; all others are independent. */
function inLanes(phase: readonly PlannedBatch<MembersBatch>[]): readonly (readonly PlannedBatch<MembersBatch>[])[] {
  const lanes: { readonly groups: Set<string>; readonly batches: PlannedBatch<MembersBatch>[] }[] = [];
  for (const planned of phase) {
    const ids = planned.batch.groups.map(({ id }) => id);
    const shared = lanes.filter(({ groups }) => ids.some((id) => groups.has(id)));
    const [lane = { groups: new Set<string>(), batches: [] }, ...others] = shared;
    if (shared.length === 0) lanes.push(lane);
    for (const other of others) {
      lane.batches.push(...other.batches);
      for (const id of other.groups) lane.groups.add(id);
      lanes.splice(lanes.indexOf(other), 1);
    }
    lane.batches.push(planned);
    for (const id of ids) lane.groups.add(id);
  }
  return lanes.map(({ batches }) => batches);
}

function withRefs(planned: PlannedBatch<MembersBatch>, refOf: (group: string) => GroupRef): PlannedBatch<MembersBatch> {
  const groups = [...new Set(planned.changes.map(({ group }) => group))].map(refOf);
  return membersBatch(groups, planned.changes);
}

function groupOf(planned: PlannedBatch): string {
  return planned.changes[0]?.group ?? "";
}

/**
 * An answer that carries the membership shows at once whether the service did more than it was asked: a change that
 * merges, as documented, leaves everybody else alone. If most of the others are gone, it replaces, and we stop.
 */
function findVanished(
  planned: PlannedBatch<MembersBatch>,
  result: BatchResult,
  before: ReadonlyMap<string, Snapshot>,
  changes: readonly Change[],
): GroupSyncError | undefined {
  const [ref] = planned.batch.groups;
  const was = ref && before.get(ref.id);
  if (!result.members || !was) return undefined;
  const now = new Set(result.members.map(({ account }) => account));
  const leaving = new Set(
    changes.filter((change) => change.groupId === ref.id && change.type !== "member.add").map(({ account }) => account),
  );
  const others = was.members.filter(
    ({ account, state, direct }) => state === "active" && direct && !leaving.has(account),
  );
  const gone = others.filter(({ account }) => !now.has(account));
  if (gone.length === 0 || gone.length * 2 < others.length) return undefined;
  return new GroupSyncError(
    "bad-answer",
    `After a change to "${ref.name}", ${gone.length} of ${others.length} members who were not part of it are gone. The service replaces where it should merge; nothing more is sent to it.`,
    { hint: "Look at the group there. Those people are restored by the next run, if the spec lists them." },
  );
}
