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

/** See the module's description. All methods reject with a `GroupSyncError` when the store fails. */
export interface State {
  /** The identity under which a provider was last read to its end, whoever it was then. */
  lastIdentity(provider: ProviderId): Promise<string | undefined>;
  rememberIdentity(scope: Scope): Promise<void>;

  /** Groups of this scope that we created or adopted. */
  managedGroups(scope: Scope): Promise<readonly ManagedGroup[]>;
  rememberGroups(scope: Scope, groups: readonly ManagedGroup[]): Promise<void>;

  /** Memberships that this installation added and has not removed since. */
  ownedMemberships(scope: Scope): Promise<readonly MembershipKey[]>;
  rememberAdded(scope: Scope, runId: string, memberships: readonly MembershipKey[]): Promise<void>;
  forgetMemberships(scope: Scope, memberships: readonly MembershipKey[]): Promise<void>;

  /** Invitations that we sent. */
  invitations(scope: Scope): Promise<readonly InvitationRecord[]>;
  rememberInvitations(scope: Scope, invitations: readonly InvitationRecord[]): Promise<void>;
  forgetInvitations(scope: Scope, invitations: readonly MembershipKey[]): Promise<void>;

  beginRun(run: Pick<RunRecord, "runId" | "planId" | "startedAt">, plan: Plan): Promise<void>;
  recordIntent(runId: string, entry: Omit<JournalEntry, "outcome">): Promise<void>;
  recordOutcome(
    runId: string,
    provider: ProviderId,
    sequence: number,
    outcome: NonNullable<JournalEntry["outcome"]>,
  ): Promise<void>;
  endRun(report: Report): Promise<void>;
  /** Newest first. */
  runs(limit?: number): Promise<readonly RunRecord[]>;
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

  recordApproval(approval: ApprovalRecord): Promise<void>;
  approvals(planId: string): Promise<readonly ApprovalRecord[]>;

  /** The id of this installation: made once, the same for the life of the store. */
  installation(): Promise<string>;
  close(): Promise<void>;
}
