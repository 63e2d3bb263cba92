/**
 * What a run remembers for the next one: one interface, whatever is behind it.
 *
 * Memory is a cache of history, never of truth: what is so is read from the services each time. Losing it loses
 * history, undo and ownership, never correctness. There is never a secret in it.
 *
 * A `scope` names one account of one service as it was read: the provider id of the spec and the identity that
 * `checkAccess` returned. Everything about groups and accounts is kept per scope, so that another tenant under the
 * same name is a stranger.
 */
import type { Change, Plan, ProviderId, Report } from "../model.js";

/** A provider as it was read. */
export interface Scope {
  readonly provider: ProviderId;
  readonly identity: string;
}

/** One membership, by the provider's own ids. */
export interface MembershipKey {
  readonly groupId: string;
  readonly account: string;
}

/** A group that was met and is ours to manage. */
export interface ManagedGroup {
  readonly groupId: string;
  /** The group's id in the spec. */
  readonly group: string;
  /** `created`: by us. `adopted`: was there before, and someone said that it is ours. */
  readonly origin: "created" | "adopted";
}

/** An invitation that we sent, as last seen. `gone`: neither pending nor a member any more: declined, or withdrawn there. */
export interface InvitationRecord extends MembershipKey {
  readonly state: "pending" | "gone";
  readonly sentAt: string;
}

/** A line of history. */
export interface RunRecord {
  readonly runId: string;
  readonly planId: string;
  readonly startedAt: string;
  readonly finishedAt?: string;
  /** Absent: the run did not come to its end. */
  readonly status?: Report["status"];
  readonly summary?: Report["summary"];
}

/** An intention, written before the call that carries it out, and how it ended, written after. */
export interface JournalEntry {
  readonly provider: ProviderId;
  /** From 1, per run and provider, in the order of sending. */
  readonly sequence: number;
  readonly kind: string;
  readonly changes: readonly Change[];
  /** Absent: sent or not, nobody knows; the next run reads. */
  readonly outcome?: "answered" | "refused" | "unknown";
}

/** An approval of held removals of exactly one plan. */
export interface ApprovalRecord {
  readonly planId: string;
  readonly checksum: string;
  readonly group: string;
  readonly approvedAt: string;
  readonly expiresAt: string;
  readonly approvedBy: string;
}

/** A group that was read whole and found to be as wished. */
export interface VerifiedGroup {
  readonly groupId: string;
  /** The service's own version of the group at that reading. */
  readonly version: string;
  /** A digest of what was wished of the group then. */
  readonly wish: string;
  readonly readAt: string;
}

/** The account that a person of the spec was found to have. */
export interface KnownAccount {
  /** The person's id in the spec. */
  readonly person: string;
  readonly account: string;
  /** The person's addresses in the spec then, in lower case. */
  readonly addresses: readonly string[];
}

/** The right to write to some accounts of services, until it runs out. */
export interface Lease {
  /** What it is on, such as identities of providers. */
  readonly names: readonly string[];
  /** Who has it: one run of one process. */
  readonly holder: string;
  /** Grows with every lease that is given out, so that an older holder can be told from a newer one. */
  readonly fence: number;
}

/** Why there is no lease: somebody else has it. */
export interface LeaseBusy {
  readonly busy: true;
  /** The first of the names that is taken. */
  readonly name: string;
  /** Who has it, and by which lease. */
  readonly holder: string;
  readonly fence: number;
  /** ISO time at which the other's lease runs out, if it is not renewed. */
  readonly until: string;
}

/** A provider that is left alone for a while after failing. */
export interface Quarantine {
  readonly provider: ProviderId;
  /** How many runs in a row failed. */
  readonly failures: number;
  /** ISO time; from then on it is tried again. */
  readonly until: string;
  readonly reason: string;
}

/** See the module's description. All methods reject with a `GroupSyncError` when the store fails. */
export interface State {
  /** The identity under which a provider was last read to its end, whoever it was then. */
  lastIdentity(provider: ProviderId): Promise<string | undefined>;
  rememberIdentity(scope: Scope): Promise<void>;

  /** Groups of this scope that we created or adopted. */
  managedGroups(scope: Scope): Promise<readonly ManagedGroup[]>;
  rememberGroups(scope: Scope, groups: readonly ManagedGroup[]): Promise<void>;
  /** Forgets groups that are gone, with everything that is remembered of them: an id may be given to another group. */
  forgetGroups(scope: Scope, groupIds: readonly string[]): Promise<void>;

  /** Memberships that this installation added and has not removed since. */
  ownedMemberships(scope: Scope): Promise<readonly MembershipKey[]>;
  rememberAdded(scope: Scope, runId: string, memberships: readonly MembershipKey[]): Promise<void>;
  forgetMemberships(scope: Scope, memberships: readonly MembershipKey[]): Promise<void>;

  /** Invitations that we sent. */
  invitations(scope: Scope): Promise<readonly InvitationRecord[]>;
  rememberInvitations(scope: Scope, invitations: readonly InvitationRecord[]): Promise<void>;
  forgetInvitations(scope: Scope, invitations: readonly MembershipKey[]): Promise<void>;

  /** Which account each person was last found to have. */
  knownAccounts(scope: Scope): Promise<readonly KnownAccount[]>;
  /** Replaces what is remembered of these people. */
  rememberAccounts(scope: Scope, accounts: readonly KnownAccount[]): Promise<void>;

  beginRun(run: Pick<RunRecord, "runId" | "planId" | "startedAt">, plan: Plan): Promise<void>;
  /**
   * Writes down what is about to be sent. With a lease, rejects with `busy` when that lease is not held any more (it ran
   * out, or somebody else has it): checked in the same transaction, so that whoever wakes from a pause sends nothing.
   */
  recordIntent(runId: string, entry: Omit<JournalEntry, "outcome">, lease?: Lease): Promise<void>;
  recordOutcome(
    runId: string,
    provider: ProviderId,
    sequence: number,
    outcome: NonNullable<JournalEntry["outcome"]>,
  ): Promise<void>;
  endRun(report: Report): Promise<void>;
  /** Newest first. */
  runs(limit?: number): Promise<readonly RunRecord[]>;
  /** Runs without an end: under way, or broken off. Newest first. */
  openRuns(): Promise<readonly RunRecord[]>;
  /** One run, with its plan, journal and report. Undefined when there is no such run. A unique prefix of the id will do. */
  run(runId: string): Promise<
    | {
        readonly record: RunRecord;
        readonly plan: Plan;
        readonly journal: readonly JournalEntry[];
        readonly report?: Report;
      }
    | undefined
  >;

  /** Forgets all but the newest runs that have ended, with their plans and journals. Returns how many were forgotten. */
  pruneRuns(keep: number): Promise<number>;

  /** What `incremental` reading goes by. */
  verifiedGroups(scope: Scope): Promise<readonly VerifiedGroup[]>;
  /** Replaces what is remembered of these groups. */
  rememberVerified(scope: Scope, groups: readonly VerifiedGroup[]): Promise<void>;

  /** All names or none, in one transaction, by the store's own clock. A lease that has run out is free. */
  acquireLeases(names: readonly string[], holder: string, ttlMs: number): Promise<Lease | LeaseBusy>;
  /** False when it is not held any more; then it is not renewed. */
  renewLeases(lease: Lease, ttlMs: number): Promise<boolean>;
  /** Gives back what is still held. */
  releaseLeases(lease: Lease): Promise<void>;

  quarantines(): Promise<readonly Quarantine[]>;
  /** Replaces what is remembered of the provider. */
  rememberQuarantine(quarantine: Quarantine): Promise<void>;
  forgetQuarantine(provider: ProviderId): Promise<void>;

  recordApproval(approval: ApprovalRecord): Promise<void>;
  approvals(planId: string): Promise<readonly ApprovalRecord[]>;

  /** The id of this installation: made once, the same for the life of the store. */
  installation(): Promise<string>;
  close(): Promise<void>;
}
