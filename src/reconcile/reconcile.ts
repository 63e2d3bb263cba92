/**
 * The straight line, and the only file that knows its order:
 *
 *     spec → resolve people → read snapshots → diff → plan → guard → batch → apply → verify → report
 *
 * Everything up to the guards is gathered before the first write. Providers work side by side and do not wait for
 * each other; one that fails never stops the others.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { groupBy, renderCount } from "../collections.js";
import { GroupSyncError, isGroupSyncError, summarizeError } from "../errors.js";
import { confirmPins, distrustNewcomers, lookUpAccounts, normalizeId, notePins, resolvePeople } from "../identity.js";
import type {
  Change,
  GuardSettings,
  Person,
  Plan,
  Precondition,
  ProviderId,
  ProviderPlan,
  Report,
  Snapshot,
  Spec,
  Target,
  Unresolved,
} from "../model.js";
import type { AccessReport, CallContext, Capabilities, GroupProvider } from "../provider.js";
import type { State } from "../state/state.js";
import { toolVersion } from "../version.js";
import { applyChanges } from "./apply.js";
import { listValidApprovals, releaseApproved } from "./approve.js";
import { estimateCost } from "./batch.js";
import { doubtHolders, holdersToConfirm, pinsToConfirm } from "./confirm.js";
import { diffTarget, digestWish, type TargetDiff } from "./diff.js";
import { createMeter, type Meter, type SyncEvent } from "./events.js";
import { type Allowance, guardChanges, isAllowed, isOurs, matchesGlob, type ProviderDiff } from "./guard.js";
import {
  type BrokenRun,
  concludeProvider,
  concludeRun,
  createJournal,
  findBrokenRuns,
  findDeclined,
  type HeldLease,
  holdLease,
  mayShowLate,
  NO_MEMORY,
  type ProviderMemory,
  recall,
  recallAccounts,
  recallIds,
  recallOpenInvitations,
  rememberAccounts,
  rememberAnswers,
  rememberBroken,
  rememberLosses,
  rememberReport,
} from "./memory.js";
import { recallVerified, rememberVerified } from "./incremental.js";
import { buildPlan, digestMembers, parsePlan } from "./plan.js";
import { type Current, recheck, recheckMemory } from "./recheck.js";
import { buildReport, listOutcomes, listResidual, type ProviderResult } from "./report.js";
import { confirmKinds, type ReadingOptions, readTargets, type TargetReading } from "./snapshot.js";
import { diffDeed, listDeeds } from "./undo.js";
import { verifyChanges } from "./verify.js";

/** What a run may be told. */
export interface RunOptions {
  readonly providers: readonly GroupProvider[];
  /**
   * Where runs are remembered: history, undo, ownership, adoption, invitations. While a run may write, it holds the
   * lease on every account that it was given; another run there ends with `busy`. Absent: nothing is remembered.
   */
  readonly state?: State;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SyncEvent) => void;
  /** The clock. @default () => new Date() */
  readonly now?: () => Date;
  /** How long to wait for a write to show in a reading, in milliseconds. @default what each provider declares */
  readonly verifyMs?: number;
  /**
   * How long nobody else may write after this process has fallen silent, in milliseconds: while it lives, it says so
   * three times as often. @default 30000
   */
  readonly leaseMs?: number;
}

/** What planning may be told besides. */
export interface PlanOptions extends RunOptions {
  readonly spec: Spec;
  /** Replaces the limits of the whole run; those of providers and groups stay. */
  readonly guards?: Partial<GuardSettings>;
  /** Guards acknowledged for this run. @default [] */
  readonly allow?: readonly Allowance[];
  /** False: nothing is removed in this run. @default true */
  readonly removals?: boolean;
  /** Narrows the run to some providers and groups (ids of the spec). */
  readonly only?: { readonly providers?: readonly ProviderId[]; readonly groups?: readonly string[] };
}

/** What a whole run may be told besides. */
export interface ReconcileOptions extends PlanOptions {
  /** True: plan and report, write nothing. @default false */
  readonly dryRun?: boolean;
  /** Shown the plan before anything is written; false ends the run. */
  readonly confirm?: (plan: Plan) => boolean | Promise<boolean>;
}

/** Which run to take back. */
export interface UndoOptions extends ReconcileOptions {
  readonly state: State;
  /** A run's id, or enough of its beginning to tell it from others. */
  readonly runId: string;
}

/** One run, from its first request to its report. */
interface Run {
  readonly runId: string;
  readonly options: RunOptions;
  readonly now: () => Date;
  readonly onEvent: (event: SyncEvent) => void;
  /** The right to write, while there is a state to hold it in. */
  lease?: HeldLease;
}

/** A provider once it has been asked who we are there. */
interface Access {
  readonly provider: GroupProvider;
  readonly meter: Meter;
  readonly context: CallContext;
  readonly report?: AccessReport;
  readonly error?: GroupSyncError;
}

/** What is to be planned: places, and what differs there. */
interface Work {
  readonly targets: readonly Target[];
  /** Absent: compared with the spec. */
  readonly diff?: (reading: TargetReading, capabilities: Capabilities, isOurs: ProviderMemory["isOurs"]) => TargetDiff;
  /** The run that is taken back. */
  readonly undoes?: string;
  /** Whom that run wrote to. */
  readonly identities?: ReadonlyMap<ProviderId, string>;
}

/** Everything that is known of one provider once it has been read. */
interface ProviderDraft {
  readonly access: Access;
  readonly diff?: ProviderDiff;
  readonly readings: readonly TargetReading[];
  /** Whom the provider was last read as, whoever it was. */
  readonly lastIdentity?: string;
  /** What is told besides, such as what became of a run that died. */
  readonly notes?: readonly string[];
  readonly error?: GroupSyncError;
}

interface PlannedRun {
  readonly plan: Plan;
  readonly snapshots: ReadonlyMap<ProviderId, ReadonlyMap<string, Snapshot>>;
  readonly meters: ReadonlyMap<ProviderId, Meter>;
}

/** Plans: says what would change, what is held and why, and what it would cost. Writes nothing. */
export async function createPlan(options: PlanOptions): Promise<Plan> {
  const run = beginRun(options);
  const work = workOf(options);
  return (await planRun(work, await askAccess(work, run, options), run, options)).plan;
}

/**
 * Applies a plan, fresh or from a file. Every group is looked at again first: one that has moved since the plan was
 * made, or cannot be read any more, is left out, and the report says so; so is one that the memory tells something of since
 * (somebody was invited, or put back by others, or a run broke off). Held changes go along where the plan carries a valid
 * approval. Throws `plan-invalid` when the plan was changed, is too old, or was made for another account of the
 * provider; `busy` when another run is at work on the same accounts.
 */
export async function applyPlan(plan: Plan, options: RunOptions): Promise<Report> {
  const run = beginRun(options);
  const checked = parsePlan(plan, run.now());
  const missing = checked.providers.filter(({ id }) => !options.providers.some((provider) => provider.id === id));
  if (missing.length > 0) {
    throw new GroupSyncError(
      "plan-invalid",
      `The plan is for ${missing.map(({ id }) => id).join(", ")}, which this run does not have.`,
    );
  }
  const capabilities = new Map(options.providers.map((provider) => [provider.id, provider.capabilities]));
  const released = releaseApproved(checked, (id) => capabilities.get(id), run.now());
  const { planId } = checked;
  for (const { provider: _provider, ownChecksum: _ownChecksum, ...approval } of listValidApprovals(
    checked,
    run.now(),
  )) {
    await options.state?.recordApproval({ planId, ...approval });
  }
  const identities = released.providers.map(({ identity }) => identity);
  return whileHolding(identities, run, () => executePlan(released, run, undefined));
}

/** The whole line: plans, applies, verifies. Throws `busy` when another run is at work on the same accounts. */
export async function reconcile(options: ReconcileOptions): Promise<Report> {
  return runWork(workOf(options), options);
}

/**
 * Takes a run back: plans the inverse of what it did, guarded as everything else, and then as {@link reconcile}. Throws
 * `options-invalid` when there is no such run, or when it has not come to its end.
 */
export async function undo(options: UndoOptions): Promise<Report> {
  return runWork(await undoWork(options), options);
}

/** The plan of {@link undo}. Writes nothing. */
export async function createUndoPlan(options: Omit<UndoOptions, "dryRun" | "confirm">): Promise<Plan> {
  const run = beginRun(options);
  const work = await undoWork(options);
  return (await planRun(work, await askAccess(work, run, options), run, options)).plan;
}

async function runWork(work: Work, options: ReconcileOptions): Promise<Report> {
  const run = beginRun(options);
  const accesses = await askAccess(work, run, options);
  const carryOut = async () => {
    const planned = await planRun(work, accesses, run, options);
    const agreed = options.dryRun !== true && ((await options.confirm?.(planned.plan)) ?? true);
    if (!agreed) return reportOnly(planned, run);
    // Someone was asked, so time has passed: look again before writing.
    return executePlan(planned.plan, run, options.confirm ? undefined : planned);
  };
  if (options.dryRun) return carryOut();
  return whileHolding(
    accesses.map(({ report }) => report?.identity ?? ""),
    run,
    carryOut,
  );
}

function beginRun(options: RunOptions): Run {
  return {
    runId: `run-${randomUUID()}`,
    options,
    now: options.now ?? (() => new Date()),
    onEvent: options.onEvent ?? (() => {}),
  };
}

/** Does something that may write while nobody else may. Without a state there is nobody to agree with. */
async function whileHolding<T>(identities: readonly string[], run: Run, act: () => Promise<T>): Promise<T> {
  const { state } = run.options;
  if (!state) return act();
  run.lease = await holdLease(state, identities, run.runId, run.options.leaseMs);
  try {
    return await act();
  } finally {
    await run.lease.release();
  }
}

function workOf(options: PlanOptions): Work {
  const targets = narrow(options.spec.targets, options.only);
  checkTargets(targets, options);
  return { targets };
}

async function undoWork({ state, runId, spec, only, providers }: UndoOptions): Promise<Work> {
  const past = await state.run(runId);
  if (!past) {
    throw new GroupSyncError("options-invalid", `There is no run ${runId} in the state.`, {
      hint: "group-sync history lists them.",
    });
  }
  if (!past.report) {
    throw new GroupSyncError(
      "options-invalid",
      `${past.record.runId} has not come to its end, so nobody knows yet what it did.`,
      {
        hint: "The next group-sync apply finds out; then it can be taken back.",
      },
    );
  }
  const deeds = listDeeds(past.report, spec);
  const byPlace = new Map(deeds.map((deed) => [placeOf(deed.target), deed]));
  const targets = narrow(
    deeds.map(({ target }) => target),
    only,
  );
  const known = new Set(providers.map(({ id }) => id));
  const missing = new Set(targets.map(({ provider }) => provider).filter((id) => !known.has(id)));
  if (missing.size > 0) {
    throw new GroupSyncError(
      "options-invalid",
      `That run wrote to ${[...missing].join(", ")}, which the spec does not have.`,
    );
  }
  return {
    targets,
    undoes: past.record.runId,
    identities: new Map(past.plan.providers.map(({ id, identity }) => [id, identity])),
    diff: (reading, capabilities, isOurs) => {
      const deed = byPlace.get(placeOf(reading.target)) ?? { target: reading.target, outcomes: [] };
      return diffDeed(deed, reading, capabilities, isOurs);
    },
  };
}

function placeOf({ provider, group }: Target): string {
  return JSON.stringify([provider, group]);
}

/** Asks each provider who we are there. A failure is its own: it comes back with the error. */
function askAccess(work: Work, run: Run, options: RunOptions): Promise<readonly Access[]> {
  const wanted = new Set(work.targets.map(({ provider }) => provider));
  return Promise.all(
    options.providers
      .filter(({ id }) => wanted.has(id))
      .map(async (provider): Promise<Access> => {
        const meter = createMeter(run.onEvent, () => run.lease?.check());
        const context = meter.context(options.signal);
        try {
          return { provider, meter, context, report: await provider.checkAccess(context, "identity") };
        } catch (error) {
          if (isGroupSyncError(error, "cancelled") || !isGroupSyncError(error)) throw error;
          return { provider, meter, context, error };
        }
      }),
  );
}

async function planRun(work: Work, accesses: readonly Access[], run: Run, options: PlanOptions): Promise<PlannedRun> {
  const { spec } = options;
  const now = run.now();
  const byProvider = groupBy(work.targets, ({ provider }) => provider);
  const broken = options.state && run.lease ? await findBrokenRuns(options.state, run.lease.lease) : [];
  const drafts = await Promise.all(
    accesses.map((access) =>
      draftProvider(access, { ...work, targets: byProvider.get(access.provider.id) ?? [] }, broken, run, options),
    ),
  );
  const concluded = options.state ? await concludeRuns(broken, drafts, options.state, run, spec) : drafts;
  const diffs = concluded.flatMap(({ diff }) => (diff ? [diff] : []));
  const allow = options.allow ?? [];
  const guarded = new Map(
    guardChanges(diffs, {
      guards: { ...spec.guards, ...options.guards },
      people: spec.people,
      allow,
      removals: options.removals ?? true,
    }).map((result) => [result.provider, result]),
  );
  const providers = concluded.map((draft): ProviderPlan => {
    const { changes = [], held = [] } = guarded.get(draft.access.provider.id) ?? {};
    return planProvider(draft, changes, held, allow);
  });
  const facts = {
    specDigest: spec.digest,
    toolVersion,
    now,
    ...(work.undoes !== undefined && { undoes: work.undoes }),
  };
  return {
    plan: buildPlan(providers, facts),
    snapshots: new Map(drafts.map((draft) => [draft.access.provider.id, snapshotsOf(draft)])),
    meters: new Map(accesses.map(({ provider, meter }) => [provider.id, meter])),
  };
}

/** Writes the reports of runs that died, as far as their groups have been read now, and says so. */
async function concludeRuns(
  broken: readonly BrokenRun[],
  drafts: readonly ProviderDraft[],
  state: State,
  run: Run,
  spec: Spec,
): Promise<readonly ProviderDraft[]> {
  const readingsOf = ({ id, identity }: ProviderPlan) =>
    drafts.find(({ access }) => access.provider.id === id && access.report?.identity === identity)?.readings ?? [];
  const notes: string[] = [];
  for (const each of broken) {
    const parts = each.plan.providers.map((plan) =>
      concludeProvider(each, plan, readingsOf(plan), isNamedIn(spec, plan.id)),
    );
    const known = parts.filter((part) => part !== undefined);
    if (known.length < parts.length) continue;
    const report = concludeRun(each, known, run.now());
    await state.endRun(report);
    const { applied, pending, skipped, failed, unknown } = report.summary;
    const doubt = unknown > 0 ? `, of ${unknown} nobody knows` : "";
    notes.push(
      `${each.runId} of ${each.startedAt} did not come to its end: ${applied + pending} of its changes were made, ${skipped + failed} were not${doubt}`,
    );
  }
  return notes.length === 0 ? drafts : drafts.map((draft, index) => (index === 0 ? { ...draft, notes } : draft));
}

function isNamedIn({ targets }: Spec, provider: ProviderId): (group: string) => boolean {
  return (group) => targets.some((target) => target.provider === provider && target.group === group);
}

function narrow(targets: readonly Target[], only: PlanOptions["only"]): readonly Target[] {
  return targets.filter(
    ({ provider, group }) => (only?.providers?.includes(provider) ?? true) && (only?.groups?.includes(group) ?? true),
  );
}

/** People whom a guard protects are looked up too: where members are listed without addresses, only an id tells who is who. */
function createProtection(patterns: readonly string[]): (person: Person) => boolean {
  const distinct = [...new Set(patterns)];
  return ({ id, email, aliases }) =>
    [id, email, ...aliases].some(
      (name) => name !== undefined && distinct.some((pattern) => matchesGlob(pattern, name)),
    );
}

function checkTargets(targets: readonly Target[], options: PlanOptions): void {
  const known = new Set(options.providers.map(({ id }) => id));
  const missing = new Set(targets.map(({ provider }) => provider).filter((id) => !known.has(id)));
  if (missing.size > 0) {
    throw new GroupSyncError(
      "options-invalid",
      `The spec names ${[...missing].join(", ")}, but no such provider was given.`,
    );
  }
  const owned = targets.find(({ mode }) => mode === "owned");
  if (owned && !options.state) {
    throw new GroupSyncError(
      "unsupported",
      `${owned.group} at ${owned.provider} has mode "owned", which needs to remember what was added.`,
      {
        hint: "This needs state, and none was given. Use authoritative or additive.",
      },
    );
  }
}

/** Whose an account is by the pins of the spec. */
function namesByPin({ people }: Spec, provider: GroupProvider): ReadonlyMap<string, string> {
  return new Map(
    Object.values(people).flatMap(({ id, accounts }) => {
      const pin = accounts[provider.id];
      return typeof pin === "string" ? [[normalizeId(pin, provider), id] as const] : [];
    }),
  );
}

/** Who is not wanted is not looked up; where the provider shows no name either, a pin of the spec tells a reader who it is. */
function nameStrangers(diff: TargetDiff, pinned: ReadonlyMap<string, string>): TargetDiff {
  if (pinned.size === 0) return diff;
  const changes = diff.changes.map((change) => {
    const label = pinned.get(change.account ?? "");
    return change.person !== undefined || change.label !== undefined || label === undefined
      ? change
      : { ...change, label };
  });
  return { ...diff, changes };
}

/** Resolves, reads and compares one provider. Its failure is its own: it comes back as a draft with an error. */
async function draftProvider(
  access: Access,
  work: Work,
  broken: readonly BrokenRun[],
  run: Run,
  { spec, state, allow = [] }: PlanOptions,
): Promise<ProviderDraft> {
  const { provider, context, report } = access;
  const { id, capabilities } = provider;
  const { targets } = work;
  if (!report) return { access, readings: [], ...(access.error && { error: access.error }) };
  try {
    const scope = { provider: id, identity: report.identity };
    const former = work.identities?.get(id) ?? scope.identity;
    if (former !== scope.identity && !isAllowed("changed-scope", undefined, allow)) {
      throw new GroupSyncError("plan-invalid", `That run wrote to ${former}, but ${id} is now ${scope.identity}.`, {
        provider: id,
        hint: "If that is the same place, acknowledge it: --allow changed-scope.",
      });
    }
    run.onEvent({ type: "phase", provider: id, phase: "resolve" });
    const wanted = new Set<string>();
    for (const { members } of targets) for (const { person } of members) wanted.add(person);
    const isProtected = createProtection(targets.flatMap(({ guards }) => guards.protect));
    const people = Object.values(spec.people).filter((person) => wanted.has(person.id) || isProtected(person));
    const known = state ? await recallAccounts(state, scope) : undefined;
    let identities = await resolvePeople(people, provider, context);
    if (known) identities = distrustNewcomers(identities, known);

    run.onEvent({ type: "phase", provider: id, phase: "read" });
    const isLate = (reading: TargetReading) =>
      broken.some((each) => mayShowLate(each, reading, capabilities.invitations.value));
    const today = run.now().toISOString().slice(0, 10);
    const wishOf = (target: Target) => digestWish(target, identities, capabilities, today);
    const isIncremental = spec.providers.find((entry) => entry.id === id)?.incremental === true;
    // What is taken back, and what a dead run may have done, is looked at.
    const mayTrust = isIncremental && !work.diff && broken.length === 0;
    const isUnmoved = state && mayTrust ? await recallVerified(state, scope, wishOf, run.now()) : undefined;
    const rememberedIds = state ? await recallIds(state, scope) : undefined;
    // What is taken back is found by its id, whatever the spec says by now.
    const others = work.diff ? [] : targetsBeside(targets, spec.targets).filter((each) => each.provider === id);
    const read = await readPastLate(access, targets, isLate, run, { isUnmoved, rememberedIds, others });
    let readings = stampReadings(read, report.identity);
    for (const each of state ? broken : []) {
      const plan = each.plan.providers.find((part) => part.id === id && part.identity === scope.identity);
      const part = plan && concludeProvider(each, plan, readings, isNamedIn(spec, id));
      if (state && part) await rememberBroken(state, each, plan, part, capabilities.invitations.value);
    }
    const recalled = state ? await recall(state, scope) : NO_MEMORY;
    const sent = state && capabilities.invitations.value ? await recallOpenInvitations(state, scope) : [];
    const memory = findDeclined({ ...recalled, invited: [...recalled.invited, ...sent] }, readings);
    const then = state && former !== scope.identity ? await recall(state, { ...scope, identity: former }) : memory;
    if (state && run.lease) {
      await rememberAnswers(state, scope, readings);
      await rememberLosses(state, scope, readings, broken);
    }
    const pinned = namesByPin(spec, provider);
    const compare = () =>
      readings.map((reading) =>
        nameStrangers(
          work.diff?.(reading, capabilities, then.isOurs) ??
            diffTarget(reading, identities, capabilities, today, memory.isOurs),
          pinned,
        ),
      );
    let diffs = compare();
    const doubtful = pinsToConfirm(diffs, readings, capabilities.lookup.keysPerCall.value > 1);
    if (doubtful.length > 0) {
      identities = await confirmPins(identities, doubtful, provider, context);
      diffs = compare();
    }
    if (state && known && run.lease) await rememberAccounts(state, scope, identities, known);
    const changed = new Set(diffs.flatMap(({ changes }) => changes.map(({ groupId }) => groupId)));
    const sure = await confirmKinds(readings, changed, provider, context);
    if (sure !== readings) {
      readings = sure;
      diffs = compare();
    }
    const { accounts: holders, failed } = await lookUpAccounts(holdersToConfirm(diffs), provider, context);
    diffs = diffs.map((diff) => doubtHolders(diff, failed));
    if (state && run.lease && isIncremental) await rememberVerified(state, scope, diffs, wishOf, run.now());
    const notes = [
      ...notePins(identities, spec.people, addressesIn(readings)),
      ...noteUnread(readings, isIncremental && !state),
    ];
    const guards = spec.providers.find((entry) => entry.id === id)?.guards ?? spec.guards;
    const own = report.ownAccount === undefined ? {} : { ownAccount: report.ownAccount };
    const { formerIdentity, ...rest } = memory;
    // Acknowledged for one group, it is still another account for all others.
    const isNew = formerIdentity !== undefined && !isAllowed("changed-scope", undefined, allow);
    const recollection = { ...rest, ...(isNew && { formerIdentity }) };
    return {
      access,
      readings,
      ...(memory.lastIdentity !== undefined && { lastIdentity: memory.lastIdentity }),
      notes,
      diff: {
        provider: id,
        capabilities,
        guards,
        identities,
        ...own,
        recollection,
        holders,
        targets: diffs.map((diff) => noteContested(diff, memory)),
      },
    };
  } catch (error) {
    if (isGroupSyncError(error, "cancelled") || !isGroupSyncError(error)) throw error;
    return { access, readings: [], error };
  }
}

/** The addresses that readings have shown, by account. */
function addressesIn(readings: readonly TargetReading[]): ReadonlyMap<string, string> {
  const addresses = new Map<string, string>();
  for (const reading of readings) {
    for (const { account, email } of reading.state === "found" ? reading.snapshot.members : []) {
      if (email !== undefined) addresses.set(account, email);
    }
  }
  return addresses;
}

function targetsBeside(some: readonly Target[], all: readonly Target[]): readonly Target[] {
  const among = new Set(some);
  return all.filter((target) => !among.has(target));
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Reads all targets; some again, for as long as a write may take to show, while something that a dead run had sent may
 * yet appear there.
 */
async function readPastLate(
  { provider, context, meter }: Access,
  targets: readonly Target[],
  isLate: (reading: TargetReading) => boolean,
  { onEvent, options: { signal, verifyMs } }: Run,
  more: Pick<ReadingOptions, "isUnmoved" | "rememberedIds" | "others">,
): Promise<readonly TargetReading[]> {
  const tell = (done: number, total: number) =>
    onEvent({ type: "progress", provider: provider.id, phase: "read", done, total });
  const read = (which: readonly Target[], within: CallContext) =>
    readTargets(which, provider, within, {
      ...more,
      onProgress: tell,
      // Read again by themselves, some are among others all the same.
      others: [...(more.others ?? []), ...targetsBeside(which, targets)],
    });
  const readings = await read(targets, context);
  let late = readings.filter(isLate);
  if (late.length === 0) return readings;
  const deadline = Date.now() + (verifyMs ?? provider.capabilities.consistencyMs.value);
  for (let pauseMs = FIRST_PAUSE_MS; late.length > 0; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const leftMs = deadline - Date.now();
    if (leftMs <= 0 || signal?.aborted) break;
    // Stopped meanwhile, the next request says so.
    await sleep(Math.min(pauseMs, leftMs), undefined, signal ? { signal } : {}).catch(() => {});
    const again = late.map(({ target }) => target);
    late = (await read(again, meter.context(signal))).filter(isLate);
  }
  return read(targets, meter.context(signal));
}

/** Says what an incremental run has not looked at, or that it could not be one. */
function noteUnread(readings: readonly TargetReading[], lacksState: boolean): readonly string[] {
  if (lacksState) return ["every group is read each time: incremental needs state, and none was given"];
  const unread = readings.filter(({ state }) => state === "unread").length;
  if (unread === 0) return [];
  const groups = renderCount(unread, "group was", "groups were");
  return [`${groups} not read again: as wished when last read, and of the same version since (incremental)`];
}

/** Each reading says as whom it was made. */
function stampReadings(readings: readonly TargetReading[], readAs: string): readonly TargetReading[] {
  return readings.map((reading) =>
    reading.state === "found"
      ? { ...reading, snapshot: { ...reading.snapshot, evidence: { ...reading.snapshot.evidence, readAs } } }
      : reading,
  );
}

/** Whom we added and who is gone again was taken out by somebody else, who may do so each time. */
function noteContested(diff: TargetDiff, { isOurs, declined }: ProviderMemory): TargetDiff {
  const again = diff.changes.filter(
    ({ type, groupId = "", account = "" }) =>
      // Who declines an invitation was never in.
      type === "member.add" && isOurs(groupId, account) && !declined(groupId, account),
  );
  if (again.length === 0) return diff;
  const who = again.length === 1 ? (again[0]?.person ?? again[0]?.account) : `${again.length} people`;
  const note = `${diff.target.group}: ${who} had been added from here and ${again.length === 1 ? "was" : "were"} taken out there since; if something else manages this group too, the two undo each other`;
  return { ...diff, notes: [...diff.notes, note] };
}

function planProvider(
  draft: ProviderDraft,
  changes: readonly Change[],
  held: ProviderPlan["held"],
  allow: readonly Allowance[],
): ProviderPlan {
  const { diff, readings } = draft;
  const { provider, report, meter } = draft.access;
  const former = diff?.recollection?.formerIdentity;
  return {
    id: provider.id,
    type: provider.type,
    identity: report?.identity ?? "",
    ...(former !== undefined && { formerIdentity: former }),
    ...(draft.lastIdentity !== undefined && { lastIdentity: draft.lastIdentity }),
    changes,
    held,
    unresolved: diff ? listUnresolved(diff) : [],
    problems: readings.flatMap((reading) =>
      reading.state === "problem" ? [{ group: reading.target.group, message: reading.message }] : [],
    ),
    groups: readings.flatMap((reading) => preconditionOf(reading, diff, allow)),
    notes: [...(draft.notes ?? []), ...(diff ? listNotes(diff) : [])],
    cost: estimateCost(changes, provider.capabilities),
    ...(draft.error && { error: summarizeError(draft.error) }),
    calls: meter.counts(),
  };
}

function listUnresolved({ targets, identities }: ProviderDiff): readonly Unresolved[] {
  const wantedBy = groupBy(
    targets.flatMap(({ target, unresolved }) => unresolved.map((person) => ({ person, group: target.group }))),
    ({ person }) => person,
  );
  return [...wantedBy].map(([person, wanted]) => {
    const resolution = identities.resolutions.get(person);
    const groups = wanted.map(({ group }) => group);
    return resolution === undefined || resolution.state === "found" || resolution.state === "none"
      ? { person, state: "missing", reason: "is not among the people of the spec", groups }
      : { person, state: resolution.state, reason: resolution.reason, groups };
  });
}

function listNotes({ targets }: ProviderDiff): readonly string[] {
  return targets.flatMap(({ target, reading, notes }) => {
    const weak = reading.state === "found" && reading.snapshot.evidence.weak;
    return weak
      ? [...notes, `${target.group}: read whole by weaker proof: ${reading.snapshot.evidence.because}`]
      : notes;
  });
}

function preconditionOf(
  reading: TargetReading,
  diff: ProviderDiff | undefined,
  allow: readonly Allowance[],
): readonly Precondition[] {
  if (reading.state === "problem" || reading.state === "unread") return [];
  const { group, name } = reading.target;
  if (reading.state === "absent") return [{ group, name, memberCount: 0 }];
  const { snapshot } = reading;
  return [
    {
      group,
      groupId: snapshot.group.id,
      name: snapshot.group.name,
      ...(snapshot.group.version !== undefined && { version: snapshot.group.version }),
      membersDigest: digestMembers(snapshot.members),
      memberCount: snapshot.members.length,
      evidence: snapshot.evidence,
      ...((isOurs(reading, diff ?? {}) || isAllowed("adoption", group, allow)) && { ours: true }),
    },
  ];
}

function snapshotsOf({ readings }: ProviderDraft): ReadonlyMap<string, Snapshot> {
  return new Map(
    readings.flatMap((reading) =>
      reading.state === "found" ? [[reading.snapshot.group.id, reading.snapshot] as const] : [],
    ),
  );
}

/** Applies and verifies all providers of a plan side by side. Without a fresh reading, the groups are read again first. */
async function executePlan(plan: Plan, run: Run, fresh: PlannedRun | undefined): Promise<Report> {
  const { options, runId } = run;
  const { state } = options;
  const startedAt = run.now();
  await state?.beginRun({ runId, planId: plan.planId, startedAt: startedAt.toISOString() }, plan);
  const executed = await Promise.all(
    plan.providers.map(async (providerPlan): Promise<ProviderResult> => {
      const provider = options.providers.find(({ id }) => id === providerPlan.id);
      const meter = fresh?.meters.get(providerPlan.id) ?? createMeter(run.onEvent, () => run.lease?.check());
      if (!provider || providerPlan.error) return failedResult(providerPlan, meter);
      const current = fresh && { snapshots: fresh.snapshots.get(provider.id) ?? new Map(), moved: new Map() };
      const look = () => recheckAll(providerPlan, plan.createdAt, provider, meter, run);
      return executeProvider(providerPlan, provider, meter, current ? () => Promise.resolve(current) : look, run);
    }),
  );
  const facts = { runId, planId: plan.planId, ...(plan.undoes !== undefined && { undoes: plan.undoes }), startedAt };
  const report = buildReport(executed, { ...facts, finishedAt: run.now() });
  if (!state) return report;
  try {
    const inviting = options.providers.filter(({ capabilities }) => capabilities.invitations.value);
    await rememberReport(state, plan, report, new Set(inviting.map(({ id }) => id)));
    await state.pruneRuns(RUNS_KEPT);
    return report;
  } catch (error) {
    // What was done stays done; the next run finds it.
    return { ...report, stateError: summarizeError(error) };
  }
}

/** What there is before the first write, and what stands against the plan since it was made. */
async function recheckAll(
  plan: ProviderPlan,
  createdAt: string,
  provider: GroupProvider,
  meter: Meter,
  { options: { state, signal }, lease, runId }: Run,
): Promise<Current> {
  const { snapshots, moved } = await recheck(plan, provider, meter, signal);
  if (!state || !lease) return { snapshots, moved };
  const memory = await recall(state, { provider: plan.id, identity: plan.identity });
  const broken = (await findBrokenRuns(state, lease.lease)).filter((each) => each.runId !== runId);
  return { snapshots, moved: new Map([...recheckMemory(plan, createdAt, memory, broken), ...moved]) };
}

/** So many runs can be shown and taken back. */
const RUNS_KEPT = 1000;

async function executeProvider(
  plan: ProviderPlan,
  provider: GroupProvider,
  meter: Meter,
  look: () => Promise<Current>,
  run: Run,
): Promise<ProviderResult> {
  const { onEvent, options } = run;
  const { signal, state } = options;
  let current: Current;
  try {
    current = await look();
  } catch (error) {
    if (!isGroupSyncError(error)) throw error;
    return failedResult({ ...plan, error: summarizeError(error) }, meter, error);
  }
  const changes = plan.changes.filter(({ group }) => !current.moved.has(group));
  const base = { provider, meter, before: current.snapshots, onEvent };
  onEvent({ type: "phase", provider: plan.id, phase: "apply" });
  const windowMs = options.verifyMs ?? provider.capabilities.consistencyMs.value;
  const { book, groupIds, stopped } = await applyChanges({
    ...base,
    changes,
    windowMs,
    ...(signal && { signal }),
    ...(state && { journal: createJournal(state, run.runId, plan.id, run.lease?.lease) }),
  });

  onEvent({ type: "phase", provider: plan.id, phase: "verify" });
  // After Ctrl-C what was done is still read back, once and not for long, so that the report can say it.
  const reading = signal?.aborted ? AbortSignal.timeout(READ_BACK_AFTER_STOP_MS) : signal;
  const losses = await verifyChanges({
    ...base,
    book,
    groupIds,
    windowMs: stopped ? 0 : windowMs,
    ...(reading && { signal: reading }),
  });
  for (const change of plan.changes) {
    const error = current.moved.get(change.group);
    if (error) book.set(change, { status: "skipped", error });
  }
  onEvent({ type: "phase", provider: plan.id, phase: "done" });
  const outcomes = listOutcomes(plan, book, groupIds);
  return {
    report: {
      id: plan.id,
      type: plan.type,
      outcomes,
      unresolved: plan.unresolved,
      problems: plan.problems,
      notes: plan.notes,
      calls: meter.counts(),
    },
    residual: [...listResidual(plan.id, outcomes), ...losses],
    ...(stopped && { stopped: stopOf(stopped) }),
  };
}

const READ_BACK_AFTER_STOP_MS = 15_000;

function failedResult(plan: ProviderPlan, meter: Meter, error?: GroupSyncError): ProviderResult {
  const book = new Map(
    plan.changes.map((change) => [change, { status: "skipped" as const, ...(plan.error && { error: plan.error }) }]),
  );
  const outcomes = listOutcomes(plan, book);
  const message = plan.error?.message ?? "There is no such provider in this run.";
  const retryAt = plan.error?.retryAt === undefined ? undefined : Date.parse(plan.error.retryAt);
  return {
    report: {
      id: plan.id,
      type: plan.type,
      outcomes,
      unresolved: plan.unresolved,
      problems: plan.problems,
      notes: plan.notes,
      calls: meter.counts(),
      error: plan.error ?? { code: "options-invalid", message },
    },
    residual: listResidual(plan.id, outcomes),
    ...(plan.error?.code === "rate-limited" && {
      stopped: { message, code: "rate-limited", ...(retryAt !== undefined && { retryAt }) },
    }),
    ...(error && { stopped: stopOf(error) }),
  };
}

function stopOf(error: GroupSyncError): NonNullable<ProviderResult["stopped"]> {
  const { retryAt } = error.facts;
  return { message: error.message, code: error.code, ...(retryAt !== undefined && { retryAt }) };
}

/** The report of a run that wrote nothing: a dry run, or one that was not agreed to. */
function reportOnly({ plan, meters }: PlannedRun, run: Run): Report {
  const now = run.now();
  const reason = { code: "dry-run", message: "Nothing was written in this run." };
  const results = plan.providers.map((provider): ProviderResult => {
    const book = new Map(provider.changes.map((change) => [change, { status: "skipped" as const, error: reason }]));
    const outcomes = listOutcomes(provider, book);
    const { id, type, unresolved, problems, notes, error } = provider;
    const calls = meters.get(id)?.counts() ?? provider.calls;
    return {
      report: { id, type, outcomes, unresolved, problems, notes, calls, ...(error && { error }) },
      residual: listResidual(id, outcomes),
    };
  });
  return buildReport(results, { runId: run.runId, planId: plan.planId, startedAt: now, finishedAt: now });
}
