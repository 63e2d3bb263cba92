/**
 * The straight line, and the only file that knows its order:
 *
 *     spec → resolve people → read snapshots → diff → plan → guard → batch → apply → verify → report
 *
 * Everything up to the guards is gathered before the first write. Providers work side by side and do not wait for
 * each other; one that fails never stops the others.
 */
import { randomUUID } from "node:crypto";
import { groupBy } from "../collections.js";
import { GroupSyncError, isGroupSyncError, summarizeError } from "../errors.js";
import { confirmPins, resolvePeople } from "../identity.js";
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
import type { GroupProvider } from "../provider.js";
import { toolVersion } from "../version.js";
import { applyChanges } from "./apply.js";
import { releaseApproved } from "./approve.js";
import { estimateCost } from "./batch.js";
import { diffTarget, type TargetDiff } from "./diff.js";
import { createMeter, type Meter, type SyncEvent } from "./events.js";
import { type Allowance, guardChanges, matchesGlob, type ProviderDiff } from "./guard.js";
import { buildPlan, digestMembers, parsePlan } from "./plan.js";
import { buildReport, listOutcomes, listResidual, type ProviderResult } from "./report.js";
import { readGroupWhole, readTargets, type TargetReading } from "./snapshot.js";
import { verifyChanges } from "./verify.js";

/** What a run may be told. */
export interface RunOptions {
  readonly providers: readonly GroupProvider[];
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SyncEvent) => void;
  /** The clock. @default () => new Date() */
  readonly now?: () => Date;
  /** How long to wait for a write to show in a reading, in milliseconds. @default what each provider declares */
  readonly verifyMs?: number;
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

/** Everything that is known of one provider once it has been read. */
interface ProviderDraft {
  readonly provider: GroupProvider;
  readonly meter: Meter;
  readonly identity: string;
  readonly diff?: ProviderDiff;
  readonly readings: readonly TargetReading[];
  readonly error?: GroupSyncError;
}

interface PlannedRun {
  readonly plan: Plan;
  readonly snapshots: ReadonlyMap<ProviderId, ReadonlyMap<string, Snapshot>>;
  readonly meters: ReadonlyMap<ProviderId, Meter>;
}

/** Plans: says what would change, what is held and why, and what it would cost. Writes nothing. */
export async function createPlan(options: PlanOptions): Promise<Plan> {
  return (await planRun(options)).plan;
}

/**
 * Applies a plan, fresh or from a file. Every group is looked at again first: one that has moved since the plan was
 * made is left out, and the report says so. Held changes go along where the plan carries a valid approval. Throws `plan-invalid` when the plan was changed, is too old, or was made
 * for another account of the provider.
 */
export async function applyPlan(plan: Plan, options: RunOptions): Promise<Report> {
  const now = options.now ?? (() => new Date());
  const checked = parsePlan(plan, now());
  const missing = checked.providers.filter(({ id }) => !options.providers.some((provider) => provider.id === id));
  if (missing.length > 0) {
    throw new GroupSyncError(
      "plan-invalid",
      `The plan is for ${missing.map(({ id }) => id).join(", ")}, which this run does not have.`,
    );
  }
  const capabilities = new Map(options.providers.map((provider) => [provider.id, provider.capabilities]));
  const released = releaseApproved(checked, (id) => capabilities.get(id), now());
  return executePlan(released, options, undefined);
}

/** The whole line: plans, applies, verifies. */
export async function reconcile(options: ReconcileOptions): Promise<Report> {
  const planned = await planRun(options);
  const agreed = options.dryRun !== true && ((await options.confirm?.(planned.plan)) ?? true);
  if (!agreed) return reportOnly(planned, options);
  // Someone was asked, so time has passed: look again before writing.
  return executePlan(planned.plan, options, options.confirm ? undefined : planned);
}

async function planRun(options: PlanOptions): Promise<PlannedRun> {
  const { spec } = options;
  const now = options.now?.() ?? new Date();
  const onEvent = options.onEvent ?? (() => {});
  const targets = groupBy(narrow(spec.targets, options.only), ({ provider }) => provider);
  checkTargets([...targets.values()].flat(), options);
  const drafts = await Promise.all(
    options.providers
      .filter(({ id }) => targets.has(id))
      .map((provider) => draftProvider(provider, targets.get(provider.id) ?? [], options, now, onEvent)),
  );
  const diffs = drafts.flatMap(({ diff }) => (diff ? [diff] : []));
  const guarded = new Map(
    guardChanges(diffs, {
      guards: { ...spec.guards, ...options.guards },
      people: spec.people,
      allow: options.allow ?? [],
      removals: options.removals ?? true,
    }).map((result) => [result.provider, result]),
  );
  const providers = drafts.map((draft): ProviderPlan => {
    const { changes = [], held = [] } = guarded.get(draft.provider.id) ?? {};
    return planProvider(draft, changes, held);
  });
  return {
    plan: buildPlan(providers, { specDigest: spec.digest, toolVersion, now }),
    snapshots: new Map(drafts.map((draft) => [draft.provider.id, snapshotsOf(draft)])),
    meters: new Map(drafts.map(({ provider, meter }) => [provider.id, meter])),
  };
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
  if (owned) {
    throw new GroupSyncError(
      "unsupported",
      `${owned.group} at ${owned.provider} has mode "owned", which needs to remember what was added.`,
      {
        hint: "This needs state, and none was given. Use authoritative or additive.",
      },
    );
  }
}

/** Resolves, reads and compares one provider. Its failure is its own: it comes back as a draft with an error. */
async function draftProvider(
  provider: GroupProvider,
  targets: readonly Target[],
  { spec, signal }: PlanOptions,
  now: Date,
  onEvent: (event: SyncEvent) => void,
): Promise<ProviderDraft> {
  const meter = createMeter(onEvent);
  const context = meter.context(signal);
  const { id, capabilities } = provider;
  try {
    const access = await provider.checkAccess(context);
    onEvent({ type: "phase", provider: id, phase: "resolve" });
    const wanted = new Set(targets.flatMap(({ members }) => members.map(({ person }) => person)));
    const isProtected = createProtection(targets.flatMap(({ guards }) => guards.protect));
    const people = Object.values(spec.people).filter((person) => wanted.has(person.id) || isProtected(person));
    let identities = await resolvePeople(people, provider, context);

    onEvent({ type: "phase", provider: id, phase: "read" });
    const readings = await readTargets(targets, provider, context, (done, total) =>
      onEvent({ type: "progress", provider: id, phase: "read", done, total }),
    );
    const today = now.toISOString().slice(0, 10);
    const compare = () => readings.map((reading) => diffTarget(reading, identities, capabilities, today));
    let diffs = compare();
    const doubtful = pinsToConfirm(diffs, readings, capabilities.lookup.keysPerCall.value > 1);
    if (doubtful.length > 0) {
      identities = await confirmPins(identities, doubtful, provider, context);
      diffs = compare();
    }
    const guards = spec.providers.find((entry) => entry.id === id)?.guards ?? spec.guards;
    const own = access.ownAccount === undefined ? {} : { ownAccount: access.ownAccount };
    return {
      provider,
      meter,
      identity: access.identity,
      readings,
      diff: { provider: id, capabilities, guards, identities, ...own, targets: diffs },
    };
  } catch (error) {
    if (isGroupSyncError(error, "cancelled") || !isGroupSyncError(error)) throw error;
    return { provider, meter, identity: "", readings: [], error };
  }
}

/**
 * Pinned accounts that are about to be added and were seen nowhere may not exist. Where a look-up costs a call per
 * person, only those are asked about whose group would also lose people: there a wrong pin could cost somebody else.
 */
function pinsToConfirm(
  diffs: readonly TargetDiff[],
  readings: readonly TargetReading[],
  cheap: boolean,
): readonly string[] {
  const seen = new Set(
    readings.flatMap((reading) =>
      reading.state === "found" ? reading.snapshot.members.map(({ account }) => account) : [],
    ),
  );
  const doubtful = diffs
    .filter(({ changes }) => cheap || changes.some(({ type }) => type === "member.remove" || type === "member.update"))
    .flatMap(({ changes }) =>
      changes.filter((change) => change.type === "member.add" && !seen.has(change.account ?? "")),
    );
  return [...new Set(doubtful.flatMap(({ person }) => (person === undefined ? [] : [person])))];
}

function planProvider(draft: ProviderDraft, changes: readonly Change[], held: ProviderPlan["held"]): ProviderPlan {
  const { provider, diff, readings } = draft;
  return {
    id: provider.id,
    type: provider.type,
    identity: draft.identity,
    changes,
    held,
    unresolved: diff ? listUnresolved(diff) : [],
    problems: readings.flatMap((reading) =>
      reading.state === "problem" ? [{ group: reading.target.group, message: reading.message }] : [],
    ),
    groups: readings.flatMap(preconditionOf),
    notes: diff ? listNotes(diff) : [],
    cost: estimateCost(changes, provider.capabilities),
    ...(draft.error && { error: summarizeError(draft.error) }),
    calls: draft.meter.counts(),
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

function preconditionOf(reading: TargetReading): readonly Precondition[] {
  if (reading.state === "problem") return [];
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
async function executePlan(plan: Plan, options: RunOptions, fresh: PlannedRun | undefined): Promise<Report> {
  const now = options.now ?? (() => new Date());
  const startedAt = now();
  const results = await Promise.all(
    plan.providers.map(async (providerPlan): Promise<ProviderResult> => {
      const provider = options.providers.find(({ id }) => id === providerPlan.id);
      const meter = fresh?.meters.get(providerPlan.id) ?? createMeter(options.onEvent ?? (() => {}));
      if (!provider || providerPlan.error) return failedResult(providerPlan, meter);
      return executeProvider(providerPlan, provider, meter, fresh?.snapshots.get(provider.id), options);
    }),
  );
  return buildReport(results, { runId: `run-${randomUUID()}`, planId: plan.planId, startedAt, finishedAt: now() });
}

async function executeProvider(
  plan: ProviderPlan,
  provider: GroupProvider,
  meter: Meter,
  fresh: ReadonlyMap<string, Snapshot> | undefined,
  options: RunOptions,
): Promise<ProviderResult> {
  const { signal } = options;
  const onEvent = options.onEvent ?? (() => {});
  let current: Current;
  try {
    current = fresh ? { snapshots: fresh, moved: new Map() } : await recheck(plan, provider, meter, signal);
  } catch (error) {
    if (!isGroupSyncError(error)) throw error;
    return failedResult({ ...plan, error: summarizeError(error) }, meter, error);
  }
  const changes = plan.changes.filter(({ group }) => !current.moved.has(group));
  const base = { provider, meter, before: current.snapshots, onEvent };
  onEvent({ type: "phase", provider: plan.id, phase: "apply" });
  const { book, groupIds, stopped } = await applyChanges({ ...base, changes, ...(signal && { signal }) });

  onEvent({ type: "phase", provider: plan.id, phase: "verify" });
  // After Ctrl-C what was done is still read back, once and not for long, so that the report can say it.
  const reading = signal?.aborted ? AbortSignal.timeout(READ_BACK_AFTER_STOP_MS) : signal;
  const losses = await verifyChanges({
    ...base,
    book,
    groupIds,
    windowMs: stopped ? 0 : (options.verifyMs ?? provider.capabilities.consistencyMs.value),
    ...(reading && { signal: reading }),
  });
  for (const change of plan.changes) {
    const message = current.moved.get(change.group);
    if (message !== undefined) book.set(change, { status: "skipped", error: { code: "conflict", message } });
  }
  onEvent({ type: "phase", provider: plan.id, phase: "done" });
  const outcomes = listOutcomes(plan, book);
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

interface Current {
  readonly snapshots: ReadonlyMap<string, Snapshot>;
  /** Groups of the spec that are not as the plan found them, and how so. */
  readonly moved: ReadonlyMap<string, string>;
}

/** Looks at everything that the plan wants to change, before the first write. */
async function recheck(
  plan: ProviderPlan,
  provider: GroupProvider,
  meter: Meter,
  signal: AbortSignal | undefined,
): Promise<Current> {
  const context = meter.context(signal);
  const { identity } = await provider.checkAccess(context);
  if (identity !== plan.identity) {
    throw new GroupSyncError(
      "plan-invalid",
      `The plan was made for ${plan.identity}, but ${plan.id} is now ${identity}.`,
      { provider: plan.id },
    );
  }
  const snapshots = new Map<string, Snapshot>();
  const moved = new Map<string, string>();
  const affected = new Set(plan.changes.map(({ group }) => group));
  const creating = plan.changes.filter(({ type }) => type === "group.create");
  const names =
    creating.length === 0
      ? new Set<string>()
      : new Set((await provider.listGroups(context)).groups.map(({ name }) => name));
  for (const { group, name } of creating) {
    if (names.has(name ?? group))
      moved.set(group, `A group called "${name ?? group}" has appeared since the plan was made; plan anew.`);
  }
  await Promise.all(
    plan.groups.map(async ({ group, groupId, membersDigest }) => {
      if (groupId === undefined || !affected.has(group)) return;
      try {
        const snapshot = await readGroupWhole(groupId, provider, context);
        snapshots.set(groupId, snapshot);
        if (snapshot.group.kind !== "plain") moved.set(group, "The group is not ours to touch any more; plan anew.");
        else if (digestMembers(snapshot.members) !== membersDigest)
          moved.set(group, "The group has changed since the plan was made; plan anew.");
      } catch (error) {
        if (!isGroupSyncError(error, "not-found")) throw error;
        moved.set(group, "The group has disappeared since the plan was made; plan anew.");
      }
    }),
  );
  return { snapshots, moved };
}

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
function reportOnly({ plan, meters }: PlannedRun, options: RunOptions): Report {
  const now = options.now?.() ?? new Date();
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
  return buildReport(results, { runId: `run-${randomUUID()}`, planId: plan.planId, startedAt: now, finishedAt: now });
}
