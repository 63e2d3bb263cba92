/** The store in memory, gone with the process: what the stores in SQL are compared with, and enough for a test. */
import { randomUUID } from "node:crypto";
import type { Plan, Report } from "../model.js";
import {
  atLeastNone,
  closed,
  distinct,
  findTaken,
  isHeld,
  leaseLost,
  leaseNames,
  type LeaseRow,
  misuse,
  pickRun,
  storable,
} from "./rows.js";
import type {
  ApprovalRecord,
  InvitationRecord,
  JournalEntry,
  KnownAccount,
  Lease,
  ManagedGroup,
  MembershipKey,
  Quarantine,
  RunRecord,
  Scope,
  State,
  VerifiedGroup,
} from "./state.js";

interface Run {
  readonly record: RunRecord;
  readonly plan: Plan;
  readonly journal: Map<string, JournalEntry>;
  readonly report?: Report;
}

/** Rows of one kind, by scope and then by key. */
interface Table<T> {
  list(scope: Scope): readonly T[];
  put(scope: Scope, rows: readonly T[]): void;
  drop<K extends object>(scope: Scope, rows: readonly K[], keyOf: (row: K) => readonly string[]): void;
}

const scopeKey = ({ provider, identity }: Scope): string => JSON.stringify([provider, identity]);
const membershipKey = ({ groupId, account }: MembershipKey): readonly string[] => [groupId, account];
const groupKey = ({ groupId }: { readonly groupId: string }): readonly string[] => [groupId];

/** As the databases order text: by its bytes in UTF-8. */
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

function byKey<T>(keyOf: (row: T) => readonly string[]): (a: T, b: T) => number {
  return (a, b) => {
    const others = keyOf(b);
    for (const [index, part] of keyOf(a).entries()) {
      const order = byBytes(part, others[index] ?? "");
      if (order !== 0) return order;
    }
    return 0;
  };
}

/** A copy as a file would give it back: the caller's object stays the caller's. */
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

function createTable<T extends object>(keyOf: (row: T) => readonly string[]): Table<T> {
  const scopes = new Map<string, Map<string, T>>();
  return {
    list: (scope) => [...(scopes.get(scopeKey(scope))?.values() ?? [])].map(copy).toSorted(byKey(keyOf)),
    put(scope, rows) {
      storable(rows.map((row) => ({ ...scope, ...row })));
      const kept = scopes.get(scopeKey(scope)) ?? new Map<string, T>();
      scopes.set(scopeKey(scope), kept);
      for (const row of distinct(rows, keyOf)) kept.set(JSON.stringify(keyOf(row)), copy(row));
    },
    drop(scope, rows, keyOf) {
      for (const row of storable(rows)) scopes.get(scopeKey(scope))?.delete(JSON.stringify(keyOf(row)));
    },
  };
}

/** Creates an empty store in memory. */
export function createMemoryState(): State {
  const identities = new Map<string, string>();
  const groups = createTable<ManagedGroup>(groupKey);
  const memberships = createTable<MembershipKey>(membershipKey);
  const invitations = createTable<InvitationRecord>(membershipKey);
  const accounts = createTable<KnownAccount>(({ person }) => [person]);
  const runs = new Map<string, Run>();
  const verified = createTable<VerifiedGroup>(groupKey);
  const leases = new Map<string, LeaseRow>();
  const quarantined = new Map<string, Quarantine>();
  const approvals = new Map<string, ApprovalRecord>();
  const installation = randomUUID();
  let lastFence = 0;
  let open = true;

  /** Every method is asynchronous, and refuses after `close()`, as a store on a disk does. */
  const attempt = async <T>(work: () => T): Promise<T> => {
    if (!open) throw closed();
    return work();
  };
  const mustRun = (runId: string): Run => {
    const run = runs.get(runId);
    if (!run) throw misuse(`There is no run ${runId} in the state.`);
    return run;
  };
  const newestFirst = (): readonly RunRecord[] =>
    [...runs.values()]
      .map(({ record }) => record)
      .toSorted(byKey(({ startedAt, runId }) => [startedAt, runId]))
      .toReversed();
  const holds = (lease: Lease): boolean => isHeld(lease, [...leases.values()], Date.now());
  const putLease = ({ names, holder, fence }: Lease, ttlMs: number): void => {
    const expiresAt = Date.now() + atLeastNone(ttlMs);
    for (const name of names) leases.set(name, { name, holder, fence, expiresAt });
  };

  return {
    lastIdentity: (provider) => attempt(() => identities.get(provider)),
    rememberIdentity: (scope) =>
      attempt(() => {
        storable([scope]);
        identities.set(scope.provider, scope.identity);
      }),

    managedGroups: (scope) => attempt(() => groups.list(scope)),
    rememberGroups: (scope, rows) => attempt(() => groups.put(scope, rows)),
    forgetGroups: (scope, groupIds) =>
      attempt(() => {
        const gone = new Set(groupIds);
        const among = <T extends { readonly groupId: string }>(table: Table<T>) =>
          table.list(scope).filter(({ groupId }) => gone.has(groupId));
        storable(groupIds.map((groupId) => ({ groupId })));
        groups.drop(scope, among(groups), groupKey);
        memberships.drop(scope, among(memberships), membershipKey);
        invitations.drop(scope, among(invitations), membershipKey);
        verified.drop(scope, among(verified), groupKey);
      }),

    ownedMemberships: (scope) => attempt(() => memberships.list(scope)),
    rememberAdded: (scope, runId, rows) =>
      attempt(() => {
        storable(rows.map(() => ({ runId })));
        memberships.put(
          scope,
          rows.map(({ groupId, account }) => ({ groupId, account })),
        );
      }),
    forgetMemberships: (scope, rows) => attempt(() => memberships.drop(scope, rows, membershipKey)),

    invitations: (scope) => attempt(() => invitations.list(scope)),
    rememberInvitations: (scope, rows) => attempt(() => invitations.put(scope, rows)),
    forgetInvitations: (scope, rows) => attempt(() => invitations.drop(scope, rows, membershipKey)),

    knownAccounts: (scope) => attempt(() => accounts.list(scope)),
    rememberAccounts: (scope, rows) => attempt(() => accounts.put(scope, rows)),

    beginRun: ({ runId, planId, startedAt }, plan) =>
      attempt(() => {
        const record = { runId, planId, startedAt };
        storable([record]);
        if (runs.has(runId)) throw misuse(`There is already a run ${runId} in the state.`);
        runs.set(runId, { record, plan: copy(plan), journal: new Map() });
      }),
    recordIntent: (runId, { provider, sequence, kind, changes }, lease) =>
      attempt(() => {
        storable([{ provider, kind }]);
        const { journal } = mustRun(runId);
        const key = JSON.stringify([provider, sequence]);
        if (journal.has(key)) throw misuse(`Run ${runId} has already sent its call ${sequence} to ${provider}.`);
        if (lease && !holds(lease)) throw leaseLost(lease);
        journal.set(key, copy({ provider, sequence, kind, changes }));
      }),
    recordOutcome: (runId, provider, sequence, outcome) =>
      attempt(() => {
        const key = JSON.stringify([provider, sequence]);
        const entry = runs.get(runId)?.journal.get(key);
        if (!entry) throw misuse(`Run ${runId} has no call ${sequence} to ${provider}.`);
        mustRun(runId).journal.set(key, { ...entry, outcome });
      }),
    endRun: (report) =>
      attempt(() => {
        const { runId, finishedAt, status, summary } = copy(report);
        storable([{ finishedAt, status }]);
        const run = mustRun(runId);
        runs.set(runId, { ...run, record: { ...run.record, finishedAt, status, summary }, report: copy(report) });
      }),
    runs: (limit) =>
      attempt(() =>
        newestFirst()
          .slice(0, limit && atLeastNone(limit))
          .map(copy),
      ),
    openRuns: () =>
      attempt(() =>
        newestFirst()
          .filter(({ finishedAt }) => finishedAt === undefined)
          .map(copy),
      ),
    run: (begin) =>
      attempt(() => {
        const runId = pickRun(begin, [...runs.keys()].filter((id) => id.startsWith(begin)).toSorted(byBytes));
        if (runId === undefined) return undefined;
        const { journal, ...rest } = mustRun(runId);
        const entries = [...journal.values()].toSorted(
          (a, b) => byBytes(a.provider, b.provider) || a.sequence - b.sequence,
        );
        return copy({ ...rest, journal: entries });
      }),

    pruneRuns: (keep) =>
      attempt(() => {
        const ended = newestFirst().filter(({ finishedAt }) => finishedAt !== undefined);
        const old = ended.slice(atLeastNone(keep));
        for (const { runId } of old) runs.delete(runId);
        return old.length;
      }),

    verifiedGroups: (scope) => attempt(() => verified.list(scope)),
    rememberVerified: (scope, rows) => attempt(() => verified.put(scope, rows)),

    acquireLeases: (wanted, holder, ttlMs) =>
      attempt(() => {
        const names = leaseNames(wanted);
        storable(names.map((name) => ({ name, holder })));
        const lease = { names, holder, fence: ++lastFence };
        const taken = findTaken(names, [...leases.values()], Date.now());
        if (taken) return taken;
        putLease(lease, ttlMs);
        return lease;
      }),
    renewLeases: (lease, ttlMs) =>
      attempt(() => {
        const held = holds(lease);
        if (held) putLease(lease, ttlMs);
        return held;
      }),
    releaseLeases: ({ names, holder, fence }) =>
      attempt(() => {
        for (const name of names) {
          const row = leases.get(name);
          if (row?.holder === holder && row.fence === fence) leases.delete(name);
        }
      }),

    quarantines: () => attempt(() => [...quarantined.values()].map(copy).toSorted(byKey(({ provider }) => [provider]))),
    rememberQuarantine: ({ provider, failures, until, reason }) =>
      attempt(() => {
        const quarantine = { provider, failures, until, reason };
        storable([quarantine]);
        quarantined.set(provider, quarantine);
      }),
    forgetQuarantine: (provider) => attempt(() => void quarantined.delete(provider)),

    recordApproval: ({ planId, checksum, group, approvedAt, expiresAt, approvedBy }) =>
      attempt(() => {
        const approval = { planId, checksum, group, approvedAt, expiresAt, approvedBy };
        storable([approval]);
        approvals.set(JSON.stringify([planId, checksum, group]), approval);
      }),
    approvals: (planId) =>
      attempt(() =>
        [...approvals.values()]
          .filter((approval) => approval.planId === planId)
          .map(copy)
          .toSorted(byKey(({ group, checksum }) => [group, checksum])),
      ),

    installation: () => attempt(() => installation),
    close: async () => {
      open = false;
    },
  };
}
