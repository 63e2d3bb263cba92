/**
 * What a run knows of the runs before it, and what it writes down of itself.
 *
 * Without a state all of this is empty and everything else works the same: memory makes a run more careful (a changed
 * scope, a declined invitation) or lets it go on by itself (a group that was adopted once); it never says what is so.
 *
 * Order of writing: the intent before each call, its outcome after; what was added once it has been read back; the
 * report at the end. A process that dies in between leaves intents without outcomes, and the next run, which reads
 * everything anyway, settles them.
 */
import { hostname } from "node:os";
import { readlinkSync } from "node:fs";
import { groupBy } from "../collections.js";
import { GroupSyncError } from "../errors.js";
import type {
  Batch,
  Change,
  ErrorSummary,
  Outcome,
  Plan,
  ProviderId,
  ProviderPlan,
  ProviderReport,
  Report,
  Snapshot,
} from "../model.js";
import type { FormerAccount, Identities } from "../identity.js";
import type {
  InvitationRecord,
  JournalEntry,
  KnownAccount,
  Lease,
  MembershipKey,
  Scope,
  State,
} from "../state/state.js";
import type { Book, Progress } from "./apply.js";
import { buildReport, listOutcomes, listResidual } from "./report.js";
import type { Recollection } from "./guard.js";
import { isSo, type RememberedIds, type TargetReading } from "./snapshot.js";

/** What is remembered of one provider, ready to be asked. */
export interface ProviderMemory extends Recollection {
  /** Whether this installation added the membership. */
  readonly isOurs: (groupId: string, account: string) => boolean;
  /** Invitations of ours that were open when last seen. */
  readonly invited: readonly MembershipKey[];
  /** Whom the provider was last read as, whoever it was. */
  readonly lastIdentity?: string;
  /** ISO time of the last invitation of ours, where it was not accepted. */
  readonly invitedAt: (groupId: string, account: string) => string | undefined;
}

/** What is recalled without a state. */
export const NO_MEMORY: ProviderMemory = {
  managed: new Map(),
  isOurs: () => false,
  declined: () => false,
  invited: [],
  invitedAt: () => undefined,
};

/** Recalls what the store holds of a provider. */
export async function recall(state: State, scope: Scope): Promise<ProviderMemory> {
  const [former, groups, added, invitations] = await Promise.all([
    state.lastIdentity(scope.provider),
    state.managedGroups(scope),
    state.ownedMemberships(scope),
    state.invitations(scope),
  ]);
  const addedKeys = new Set(added.map(keyOf));
  const gone = new Set(invitations.filter((each) => each.state === "gone").map(keyOf));
  const sentAt = new Map(invitations.map((each) => [keyOf(each), each.sentAt]));
  return {
    ...(former !== undefined && { lastIdentity: former }),
    ...(former !== undefined && former !== scope.identity && { formerIdentity: former }),
    managed: new Map(groups.map(({ groupId, group }) => [groupId, group])),
    isOurs: (groupId, account) => addedKeys.has(keyOf({ groupId, account })),
    declined: (groupId, account) => gone.has(keyOf({ groupId, account })),
    invited: invitations.filter((each) => each.state === "pending"),
    invitedAt: (groupId, account) => sentAt.get(keyOf({ groupId, account })),
  };
}

/** Invitations that the service said yes to in runs without an end, which may have died before they wrote that down. */
export async function recallOpenInvitations(
  state: State,
  { provider, identity }: Scope,
): Promise<readonly MembershipKey[]> {
  const invited: MembershipKey[] = [];
  for (const { runId } of await state.openRuns()) {
    const run = await state.run(runId);
    if (!run?.plan.providers.some((part) => part.id === provider && part.identity === identity)) continue;
    for (const entry of run.journal) {
      if (entry.provider !== provider || entry.outcome !== "answered") continue;
      for (const { type, groupId, account } of entry.changes) {
        if (type === "member.add" && groupId !== undefined && account !== undefined) invited.push({ groupId, account });
      }
    }
  }
  return invited;
}

/** Recalls which account each person had when last resolved. */
export async function recallAccounts(state: State, scope: Scope): Promise<ReadonlyMap<string, FormerAccount>> {
  return new Map((await state.knownAccounts(scope)).map((each) => [each.person, each]));
}

/** Writes down which account each person has, where that or their addresses are news. */
export async function rememberAccounts(
  state: State,
  scope: Scope,
  { resolutions, addressesOf }: Identities,
  former: ReadonlyMap<string, FormerAccount>,
): Promise<void> {
  const found = [...resolutions].flatMap(([person, resolution]): readonly KnownAccount[] => {
    if (resolution.state !== "found") return [];
    return [{ person, account: resolution.account.id, addresses: addressesOf.get(person) ?? [] }];
  });
  const news = found.filter(({ person, account, addresses }) => {
    const before = former.get(person);
    return before?.account !== account || before.addresses.join("\n") !== addresses.join("\n");
  });
  if (news.length > 0) await state.rememberAccounts(scope, news);
}

/** Recalls which groups were ours, for those that a list does not show. */
export async function recallIds(state: State, scope: Scope): Promise<RememberedIds> {
  const groups = groupBy(await state.managedGroups(scope), ({ group }) => group);
  return new Map([...groups].map(([group, known]) => [group, known.map(({ groupId }) => groupId)]));
}

function keyOf({ groupId, account }: MembershipKey): string {
  return JSON.stringify([groupId, account]);
}

/** What a reading says of invitations that were open when last seen: nobody is asked again after saying no. */
export function findDeclined(recollection: ProviderMemory, readings: readonly TargetReading[]): ProviderMemory {
  if (recollection.invited.length === 0) return recollection;
  const whole = new Map(
    readings.flatMap((reading) =>
      reading.state === "found" && reading.snapshot.evidence.complete
        ? [[reading.snapshot.group.id, new Set(reading.snapshot.members.map(({ account }) => account))] as const]
        : [],
    ),
  );
  const gone = new Set(
    recollection.invited.filter(({ groupId, account }) => whole.get(groupId)?.has(account) === false).map(keyOf),
  );
  if (gone.size === 0) return recollection;
  return {
    ...recollection,
    declined: (groupId, account) => recollection.declined(groupId, account) || gone.has(keyOf({ groupId, account })),
  };
}

/** Writes down, before each call, what is about to be sent, and after it how it was answered. */
export interface Journal {
  /** Throws when it cannot be written, or when this run may not write any more; then nothing may be sent. */
  readonly intend: (kind: Batch["kind"], changes: readonly Change[]) => Promise<number>;
  readonly settle: (sequence: number, result: unknown) => Promise<void>;
}

/** The journal of one provider in one run. */
export function createJournal(state: State, runId: string, provider: ProviderId, lease: Lease | undefined): Journal {
  let last = 0;
  return {
    intend: async (kind, changes) => {
      const sequence = ++last;
      await state.recordIntent(runId, { provider, sequence, kind, changes }, lease);
      return sequence;
    },
    settle: (sequence, result) => state.recordOutcome(runId, provider, sequence, outcomeOf(result)),
  };
}

function outcomeOf(result: unknown): NonNullable<JournalEntry["outcome"]> {
  if (!(result instanceof GroupSyncError)) return "answered";
  return result.facts.outcomeUnknown ? "unknown" : "refused";
}

/**
 * Writes down what a run came to: its report, and what is to be known of its groups from now on. `inviting`: the
 * providers that send invitations.
 */
export async function rememberReport(
  state: State,
  plan: Plan,
  report: Report,
  inviting: ReadonlySet<ProviderId>,
): Promise<void> {
  const { unknown, skipped } = report.summary;
  const journal = unknown + skipped > 0 ? ((await state.run(report.runId))?.journal ?? []) : [];
  for (const part of plan.providers) {
    const outcomes = report.providers.find(({ id }) => id === part.id)?.outcomes ?? [];
    if (part.error) continue;
    if (part.formerIdentity === undefined) {
      await state.rememberIdentity({ provider: part.id, identity: part.identity });
    }
    await rememberProvider(state, part, outcomes, report);
    await rememberUnseen(state, part, outcomes, report, journal, inviting.has(part.id));
  }
  await state.endRun(report);
}

async function rememberProvider(
  state: State,
  plan: ProviderPlan,
  outcomes: readonly Outcome[],
  { runId, undoes, finishedAt }: Pick<Report, "runId" | "undoes" | "finishedAt">,
): Promise<void> {
  const scope = { provider: plan.id, identity: plan.identity };
  const made = outcomes.filter(({ status }) => ["applied", "pending", "already"].includes(status));
  const keysOf = (wanted: (outcome: Outcome) => boolean): readonly MembershipKey[] =>
    made.flatMap((outcome) => {
      const { groupId, account } = outcome;
      return wanted(outcome) && groupId !== undefined && account !== undefined ? [{ groupId, account }] : [];
    });
  // Who is put back had been added by whoever added them first.
  const added = keysOf(
    ({ type, status, ours }) =>
      type === "member.add" && status !== "already" && (undoes === undefined || ours === true),
  );
  const removed = keysOf(({ type }) => type === "member.remove");
  // A role of somebody who had just left is an invitation too.
  const invited = keysOf(({ type, status }) => type !== "member.remove" && status === "pending");
  const joined = keysOf(({ type, status }) => type === "member.add" && status === "applied");
  const created = made.flatMap(({ type, status, group, groupId }) =>
    type === "group.create" && status !== "already" && groupId !== undefined
      ? [{ groupId, group, origin: "created" as const }]
      : [],
  );
  // An id may be given to another group.
  const deleted = made.flatMap(({ type, groupId }) => (type === "group.delete" ? (groupId ?? []) : []));
  // Taking something back in a group does not make the group ours.
  const adopted = (undoes === undefined ? plan.groups : []).flatMap(({ group, groupId, ours }) =>
    ours && groupId !== undefined ? [{ groupId, group, origin: "adopted" as const }] : [],
  );
  const known = new Map((await state.managedGroups(scope)).map((each) => [each.groupId, each]));
  await state.rememberGroups(
    scope,
    [...created, ...adopted]
      // How it came to be ours stays; what the spec calls it may change.
      .map((each) => ({ ...each, origin: known.get(each.groupId)?.origin ?? each.origin }))
      .filter(({ groupId, group }) => known.get(groupId)?.group !== group),
  );
  await state.rememberAdded(scope, runId, added);
  await state.forgetMemberships(scope, removed);
  await state.rememberInvitations(
    scope,
    invited.map((key) => ({ ...key, state: "pending" as const, sentAt: finishedAt })),
  );
  // What was sent since the run began is none of its business: it may have broken off long ago.
  const newer = new Set((await state.invitations(scope)).filter(({ sentAt }) => sentAt > finishedAt).map(keyOf));
  await state.forgetInvitations(
    scope,
    [...joined, ...removed].filter((key) => !newer.has(keyOf(key))),
  );
  await state.forgetGroups(scope, deleted);
}

/**
 * What a service said yes to, and nobody could read afterwards, is taken for done until a whole reading tells more: who
 * is added counts as ours, and who is invited is not asked again after saying no.
 */
async function rememberUnseen(
  state: State,
  plan: ProviderPlan,
  outcomes: readonly Outcome[],
  { runId, undoes, finishedAt }: Pick<Report, "runId" | "undoes" | "finishedAt">,
  journal: readonly JournalEntry[],
  sendsInvitations: boolean,
): Promise<void> {
  const scope = { provider: plan.id, identity: plan.identity };
  const answered = new Set(
    journal
      .filter(({ provider, outcome }) => provider === plan.id && outcome === "answered")
      .flatMap(({ changes }) => changes.map(changeKey)),
  );
  const accepted = outcomes.flatMap((outcome): readonly (Outcome & MembershipKey)[] => {
    const { type, groupId, account } = outcome;
    const isAccepted = type === "member.add" && answered.has(changeKey(outcome));
    return isAccepted && groupId !== undefined && account !== undefined ? [{ ...outcome, groupId, account }] : [];
  });
  const unread = accepted.filter(({ status }) => status === "unknown");
  await state.rememberAdded(
    scope,
    runId,
    unread.filter(({ ours }) => undoes === undefined || ours === true),
  );
  if (!sendsInvitations) return;
  // Who is not shown as invited may have said no at once.
  const unseen = accepted.filter(({ status, error }) => status === "skipped" && error?.code === "not-applied");
  await state.rememberInvitations(
    scope,
    [...unread, ...unseen].map(({ groupId, account }) => ({ groupId, account, state: "pending", sentAt: finishedAt })),
  );
}

/** Marks invitations that a whole reading does not show any more, and forgets those that were accepted. */
export async function rememberAnswers(state: State, scope: Scope, readings: readonly TargetReading[]): Promise<void> {
  const known = await state.invitations(scope);
  if (known.length === 0) return;
  const members = new Map(
    readings.flatMap((reading) =>
      reading.state === "found" && reading.snapshot.evidence.complete
        ? [[reading.snapshot.group.id, new Map(reading.snapshot.members.map((each) => [each.account, each]))] as const]
        : [],
    ),
  );
  const seen = known.filter(({ groupId }) => members.has(groupId));
  const memberOf = (key: MembershipKey) => members.get(key.groupId)?.get(key.account);
  const accepted = seen.filter((key) => memberOf(key)?.state === "active");
  const gone = seen.filter((key) => key.state === "pending" && memberOf(key) === undefined);
  await state.forgetInvitations(scope, accepted);
  await state.rememberInvitations(
    scope,
    gone.map((each) => ({ ...each, state: "gone" as const })),
  );
}

/**
 * Forgets that we added whom a whole reading does not show any more: whoever puts them back makes the membership theirs.
 * What a broken run has sent may show late, so nothing is forgotten in the groups that it was writing to.
 */
export async function rememberLosses(
  state: State,
  scope: Scope,
  readings: readonly TargetReading[],
  broken: readonly BrokenRun[],
): Promise<void> {
  const sentTo = new Set(
    broken.flatMap(({ journal }) =>
      journal.flatMap(({ provider, changes }) =>
        provider === scope.provider ? changes.map(({ group }) => group) : [],
      ),
    ),
  );
  const members = new Map(
    readings.flatMap((reading) => {
      if (reading.state !== "found" || sentTo.has(reading.target.group)) return [];
      const { group, members: shown, evidence } = reading.snapshot;
      // Whoever is there by role alone is not there because we added them.
      const direct = shown.filter((member) => member.direct).map(({ account }) => account);
      return evidence.complete && !evidence.weak ? [[group.id, new Set(direct)] as const] : [];
    }),
  );
  if (members.size === 0) return;
  const added = await state.ownedMemberships(scope);
  const lost = added.filter(({ groupId, account }) => members.get(groupId)?.has(account) === false);
  if (lost.length > 0) await state.forgetMemberships(scope, lost);
}

/** A run that began and never came to its end: its process was killed, or its machine died. */
export interface BrokenRun {
  readonly runId: string;
  readonly startedAt: string;
  readonly plan: Plan;
  readonly journal: readonly JournalEntry[];
}

/** Runs that did not come to their end and wrote to something that the lease is on. */
export async function findBrokenRuns(state: State, lease: Lease): Promise<readonly BrokenRun[]> {
  const broken: BrokenRun[] = [];
  for (const { runId, startedAt } of await state.openRuns()) {
    const run = await state.run(runId);
    // Whose lease we have, at one of its providers, writes no more.
    if (run?.plan.providers.some(({ identity }) => lease.names.includes(identity))) {
      broken.push({ runId, startedAt, plan: run.plan, journal: run.journal });
    }
  }
  return broken;
}

/**
 * Whether a broken run may have sent something to this group that the reading does not show, or not yet, and that must
 * not be sent twice: a creation, an invitation.
 */
export function mayShowLate(run: BrokenRun, reading: TargetReading, sendsInvitations: boolean): boolean {
  const { target } = reading;
  if (reading.state === "problem") return false;
  return run.journal.some(
    ({ provider, outcome, changes }) =>
      provider === target.provider &&
      outcome !== "refused" &&
      changes.some(
        (change) =>
          change.group === target.group &&
          (change.type === "group.create" || (sendsInvitations && change.type === "member.add")) &&
          !(reading.state === "found" && isSo(change, reading.snapshot)),
      ),
  );
}

/**
 * What became of a broken run at one provider, as read now. Undefined while a group that it was writing to has not been
 * read; `isNamed` tells groups of the spec, as no run will ever read others.
 */
export function concludeProvider(
  run: BrokenRun,
  plan: ProviderPlan,
  readings: readonly TargetReading[],
  isNamed: (group: string) => boolean,
): ProviderReport | undefined {
  const readingOf = new Map(readings.map((reading) => [reading.target.group, reading]));
  const entries = run.journal.filter(({ provider }) => provider === plan.id);
  const sent = new Map(entries.flatMap((entry) => entry.changes.map((change) => [changeKey(change), entry] as const)));
  const groupIds = new Map<string, string>();
  const book: Book = new Map();
  for (const planned of plan.changes) {
    const entry = sent.get(changeKey(planned));
    const reading = readingOf.get(planned.group);
    const isNoMore = reading ? isAnother(planned, reading) : !isNamed(planned.group);
    if (!entry) book.set(planned, { status: "skipped", error: NOT_SENT });
    else if (isNoMore) book.set(planned, { status: "unknown", error: NOT_READ });
    else if (!reading || reading.state === "problem" || reading.state === "unread") return undefined;
    else {
      if (reading.state === "found") groupIds.set(planned.group, reading.snapshot.group.id);
      const change = asFarAsMade(planned, reading);
      book.set(change, endOf(change, entry, reading, plan.changes));
    }
  }
  const { id, type, unresolved, problems, notes } = plan;
  const calls = { read: 0, write: entries.length, retried: 0, throttledSeconds: 0 };
  const outcomes = listOutcomes({ ...plan, changes: [...book.keys()] }, book, groupIds);
  return { id, type, outcomes, unresolved, problems, notes, calls };
}

/** Whether the group of the spec is another one there by now than the one that was written to. */
function isAnother({ groupId }: Change, reading: TargetReading): boolean {
  return reading.state === "found" && groupId !== undefined && reading.snapshot.group.id !== groupId;
}

/** Writes down what a broken run has truly done at one provider: before it is asked what is ours and who was invited. */
export async function rememberBroken(
  state: State,
  run: BrokenRun,
  plan: ProviderPlan,
  { outcomes }: ProviderReport,
  sendsInvitations: boolean,
): Promise<void> {
  const { undoes } = run.plan;
  const facts = { runId: run.runId, ...(undoes !== undefined && { undoes }), finishedAt: run.startedAt };
  await rememberProvider(state, plan, outcomes, facts);
  const unread = outcomes.filter(({ status }) => status === "unknown");
  await rememberUnseen(state, plan, unread, facts, run.journal, sendsInvitations);
  if (!sendsInvitations) return;
  // The service had said yes to inviting them, and shows no invitation: they have said no by now.
  const gone = outcomes.flatMap(({ type, groupId, account, error }): readonly InvitationRecord[] =>
    type === "member.add" && error === NOT_SHOWN.answered && groupId !== undefined && account !== undefined
      ? [{ groupId, account, state: "gone", sentAt: run.startedAt }]
      : [],
  );
  await state.rememberInvitations({ provider: plan.id, identity: plan.identity }, gone);
}

/** The report of a broken run, of what became of it at each provider. */
export function concludeRun(run: BrokenRun, parts: readonly ProviderReport[], now: Date): Report {
  const message = "The process ended before the run did; what became of it was read by the run after it.";
  const { planId, undoes } = run.plan;
  const results = parts.map((report) => ({
    report,
    residual: listResidual(report.id, report.outcomes),
    stopped: { message, code: "cancelled" },
  }));
  const facts = { runId: run.runId, planId, ...(undoes !== undefined && { undoes }) };
  return buildReport(results, { ...facts, startedAt: new Date(run.startedAt), finishedAt: now });
}

const NOT_SENT: ErrorSummary = { code: "stopped", message: "The process ended before this was sent." };
const NOT_READ: ErrorSummary = {
  code: "not-read",
  message:
    "The process ended while this was sent, and the spec does not name that group any more, so nobody has looked.",
};
/** Why something is not so, by how its call ended. */
const NOT_SHOWN = {
  answered: {
    code: "not-applied",
    message: "The service accepted this, but a reading after the process had ended does not show it.",
  },
  refused: { code: "refused", message: "The service refused this, and the process ended before it was looked into." },
  unknown: {
    code: "not-applied",
    message: "The process ended while this was sent, and a reading does not show it.",
  },
} as const satisfies Record<NonNullable<JournalEntry["outcome"]>, ErrorSummary>;

/** Whoever was added and did not get the role any more was added all the same: as what they are. */
function asFarAsMade(change: Change, reading: TargetReading): Change {
  if (change.type !== "member.add" || reading.state !== "found") return change;
  const member = reading.snapshot.members.find(({ account }) => account === change.account);
  return member?.state === "active" && member.direct ? { ...change, role: member.role } : change;
}

function endOf(
  change: Change,
  { outcome = "unknown" }: JournalEntry,
  reading: TargetReading,
  planned: readonly Change[],
): Progress {
  const found = reading.state === "found" ? reading.snapshot : undefined;
  const so = found ? isSo(change, found) : change.type === "group.delete" || change.type === "member.remove";
  if (!so) return { status: outcome === "refused" ? "failed" : "skipped", error: NOT_SHOWN[outcome] };
  const member = found?.members.find(({ account }) => account === change.account);
  // An invitation is taken for ours, so that whoever says no to it is not asked again.
  if (change.type === "member.add" && member?.state === "pending") return { status: "pending" };
  const isByOthers =
    outcome === "refused" ||
    (outcome === "unknown" && change.type === "group.create" && found !== undefined && hasStrangers(found, planned));
  return { status: isByOthers ? "already" : "applied" };
}

/** Whether people are in a group whom nobody was about to put there; whoever makes a group may own it. */
function hasStrangers({ members }: Snapshot, planned: readonly Change[]): boolean {
  const coming = new Set(planned.filter(({ type }) => type === "member.add").map(({ account }) => account));
  const strangers = members.filter(({ account }) => !coming.has(account));
  return strangers.length > 1 || strangers.some(({ role }) => role !== "owner");
}

function changeKey({ type, group, account, role }: Change): string {
  return JSON.stringify([type, group, account, role]);
}

/** A lease that is being renewed until it is given back. */
export interface HeldLease {
  readonly lease: Lease;
  /** Throws `busy` once the lease may have run out, such as after the process was asleep. */
  readonly check: () => void;
  readonly release: () => Promise<void>;
}

/** A lease runs this long without being renewed, unless a run is told otherwise. */
const LEASE_MS = 30_000;

/**
 * Takes the right to write to these accounts, all or none. Throws `busy` when somebody else has it. The lease of a
 * process of this machine that is not there any more is taken over at once, any other when it has run out.
 */
export async function holdLease(
  state: State,
  names: readonly string[],
  runId: string,
  leaseMs = LEASE_MS,
): Promise<HeldLease> {
  const distinct = [...new Set(names)].filter((name) => name !== "").toSorted();
  const holder = `${processName()}/${process.pid}/${runId}`;
  let taken = performance.now();
  let answer = await state.acquireLeases(distinct, holder, leaseMs);
  for (let attempt = 0; "busy" in answer && attempt < distinct.length && isDead(answer.holder); attempt++) {
    await state.releaseLeases({ names: [answer.name], holder: answer.holder, fence: answer.fence });
    taken = performance.now();
    answer = await state.acquireLeases(distinct, holder, leaseMs);
  }
  if ("busy" in answer) {
    throw new GroupSyncError("busy", `Another run is at work on ${answer.name}; it has until ${answer.until}.`, {
      hint: "Wait until it is done. If its machine has died, its turn ends by itself at that time.",
    });
  }
  const lease = answer;
  let lost = false;
  const renew = async () => {
    const before = performance.now();
    if (await state.renewLeases(lease, leaseMs)) taken = before;
    else lost = true;
  };
  const timer = setInterval(() => void renew().catch(() => undefined), leaseMs / 3);
  timer.unref();
  return {
    lease,
    check: () => {
      // `performance.now` goes on while a process is stopped.
      if (!lost && performance.now() - taken < leaseMs) return;
      throw new GroupSyncError(
        "busy",
        "This run has lost its turn: it was asleep for too long. Nothing more is sent.",
        {
          hint: "Run again; what was done stays done.",
        },
      );
    },
    release: async () => {
      clearInterval(timer);
      // What cannot be given back runs out by itself; what was done is told all the same.
      await state.releaseLeases(lease).catch(() => {});
    },
  };
}

/** This machine, as far as process ids go: two containers of one name are two. */
function processName(): string {
  try {
    return `${hostname()}/${readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")}`;
  } catch {
    return `${hostname()}/0`;
  }
}

function isDead(holder: string): boolean {
  const [host, space, pid] = holder.split("/");
  if (`${host}/${space}` !== processName() || !pid) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}
