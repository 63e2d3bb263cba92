/**
 * The words of this project as plain, readonly JSON. Nothing here knows a service, a file or a network.
 *
 * The straight line that these types travel:
 *
 *     spec → resolve people → read snapshots → diff → plan → guard → batch → apply → verify → report
 */

/** The key of one account of one service in the spec, such as `docs` or `calls`. */
export type ProviderId = string;

/** What someone holds in a group. A manager or an owner is a member too, and is listed once, with the higher role. */
export type Role = "member" | "manager" | "owner";

/** Roles from the least to the most. */
export const ROLES = ["member", "manager", "owner"] as const satisfies readonly Role[];

/** The roles above plain membership. */
export const ABOVE_ROLES = ["manager", "owner"] as const satisfies readonly Role[];

/**
 * What the tool may do to a group's membership: `authoritative` removes direct members who are not listed;
 * `additive` never removes and never demotes; `owned` removes only memberships that this tool added.
 */
export type Mode = "authoritative" | "additive" | "owned";

/** A person of the spec: ours, not a service's. */
export interface Person {
  readonly id: string;
  readonly email?: string;
  readonly aliases: readonly string[];
  readonly name?: string;
  /** Pinned accounts by provider. `null`: known to have none there. Absent: to be looked up. */
  readonly accounts: Readonly<Record<ProviderId, string | null>>;
}

/** Someone's account at a provider: theirs, not ours. */
export interface Account {
  /** The key under which the provider lists members (NeuroIO pid, BrainSTEM e-mail, DocSpace and Genesys user id). */
  readonly id: string;
  /** The provider's own id of the account where it differs from the member key (BrainSTEM). */
  readonly userId?: string;
  readonly email?: string;
  readonly name?: string;
  readonly status: "active" | "pending" | "disabled" | "deleted";
  /** Whether the provider would take this account into a group now. */
  readonly eligible: boolean;
  /** In plain words why it is not eligible. */
  readonly note?: string;
}

/** A group as a provider lists it. */
export interface Group {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  /** The optimistic lock, where the provider has one. */
  readonly version?: string;
  /** Anything but `plain` is refused: its membership is decided elsewhere. */
  readonly kind: "plain" | "builtin" | "directory" | "dynamic";
}

/** One membership as read at a provider. */
export interface Member {
  readonly account: string;
  readonly role: Role;
  /** False: present by role or rule only, not added to the group as a member. Such people are never removed as members. */
  readonly direct: boolean;
  /** `pending`: invited and not yet answered. `disabled`: holds the membership, but the account is switched off. */
  readonly state: "active" | "pending" | "disabled";
  readonly email?: string;
  readonly name?: string;
  /** The id of the invitation, when pending. */
  readonly invitation?: string;
}

/**
 * What proves that a list was read to its end. Removals need a complete reading; nothing is ever concluded from
 * the absence of something in an incomplete one.
 */
export interface Evidence {
  readonly complete: boolean;
  /** How completeness was proved, or why it was not, in plain words. */
  readonly because: string;
  /** True: proved, but by weaker means (two equal passes instead of a declared total). */
  readonly weak?: boolean;
  /** True: the list moved while it was read, so reading once more may help. */
  readonly moved?: boolean;
  readonly pages: number;
  /** The total that the service declared; absent where it declares none. */
  readonly declared?: number;
  /** Distinct rows counted. */
  readonly counted: number;
  /** Rows that came more than once. */
  readonly duplicates: number;
  readonly versionBefore?: string;
  readonly versionAfter?: string;
  /** Whom and where the provider was read as. */
  readonly readAs?: string;
}

/** A group's membership at one moment, with the evidence that it is whole. */
export interface Snapshot {
  readonly group: Group;
  readonly members: readonly Member[];
  readonly evidence: Evidence;
}

/** Someone who should be in a group. */
export interface DesiredMember {
  readonly person: string;
  readonly role: Role;
  /** The last day (inclusive, `YYYY-MM-DD`, UTC) of the membership. */
  readonly until?: string;
}

/** Limits that hold removals. */
export interface GuardSettings {
  /** More removals than either limit are held: per group, per provider and per run. */
  readonly maxRemovals: { readonly count: number; readonly percent: number };
  /** Person ids, or globs over e-mail addresses, that are never removed. */
  readonly protect: readonly string[];
  /** How many owners (or managers, where there are no owners) a group keeps at least. */
  readonly minOwners: number;
}

/** A group's place at one provider: everything that is wanted of it there, overrides and includes applied. */
export interface Target {
  /** The group's id in the spec. */
  readonly group: string;
  readonly provider: ProviderId;
  /** The provider's own id, when pinned. */
  readonly groupId?: string;
  readonly name: string;
  /** Absent: not managed. */
  readonly description?: string;
  readonly previously: readonly string[];
  readonly mode: Mode;
  readonly adopt: boolean;
  /** True: the group should not exist there. */
  readonly absent: boolean;
  readonly guards: GuardSettings;
  /** Which roles the spec speaks about. A role without a key in the spec is left alone: absent is not empty. */
  readonly managed: Readonly<Record<Role, boolean>>;
  readonly members: readonly DesiredMember[];
}

/** The desired state, checked and normalised. Credentials are not in it; they stay with the providers' options. */
export interface Spec {
  readonly version: 1;
  readonly mode: Mode;
  readonly providers: readonly SpecProvider[];
  readonly people: Readonly<Record<string, Person>>;
  readonly targets: readonly Target[];
  readonly guards: GuardSettings;
  /**
   * Where the tool remembers its runs, as far as the spec says so: a file (its path already joined to the spec's
   * folder), or a Postgres address, which is a secret. Not part of the digest.
   */
  readonly state?: { readonly file: string } | { readonly postgres: string };
  /** SHA-256 over everything that decides who should be where: not over credentials, comments or order. */
  readonly digest: string;
  readonly warnings: readonly SpecProblem[];
}

/** One entry of the spec's `providers`. */
export interface SpecProvider {
  readonly id: ProviderId;
  readonly type: string;
  /** The options of the adapter, environment variables filled in. Holds secrets: never printed, saved or logged. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly guards: GuardSettings;
  /**
   * True: with state, a group whose version has not moved since it was last read whole and found to be as wished is not
   * read again for a day. Counts where the service has versions (Genesys). @default false
   */
  readonly incremental?: boolean;
}

/** Something wrong (or doubtful) in a spec: what was found, where, and what would be right. */
export interface SpecProblem {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** The key path, such as `groups.night-shift.members[2]`. */
  readonly path: string;
  readonly message: string;
}

/** The kinds of change, as they stand in a plan. */
export type ChangeType =
  | "group.create"
  | "group.update"
  | "group.delete"
  | "member.add"
  | "member.update"
  | "member.remove";

/** One difference between spec and snapshot. */
export interface Change {
  readonly type: ChangeType;
  /** The group's id in the spec. */
  readonly group: string;
  /** The provider's id of the group; absent while the group has still to be created. */
  readonly groupId?: string;
  readonly person?: string;
  readonly account?: string;
  /** Who it is, for people to read, where `person` is absent: the e-mail or name there, else whom the spec pins to it. */
  readonly label?: string;
  readonly role?: Role;
  readonly previousRole?: Role;
  /** New name or description, for `group.create` and `group.update`. */
  readonly name?: string;
  readonly previousName?: string;
  readonly description?: string;
  readonly previousDescription?: string;
  /** `group.delete`: who is in the group, so that the deletion can be taken back. */
  readonly members?: readonly (Pick<Member, "account" | "role"> & Pick<Change, "ours">)[];
  /** `member.remove`: withdraws this pending invitation instead of a membership. */
  readonly invitation?: string;
  /**
   * `member.remove`: this installation had added the membership, as far as is remembered. `member.add`: puts such a
   * membership back, so it is ours again.
   */
  readonly ours?: boolean;
  /**
   * False: the account is there by role only. In a `member.update` it has to be added as a direct member; a
   * `member.remove` takes the role away, as there is no membership to take.
   */
  readonly direct?: boolean;
  /** True: part of a hand-over, made only once what the group gains was seen there; otherwise it is left. */
  readonly waits?: boolean;
  /** Why, in plain words. */
  readonly reason: string;
}

/** The names of the guards. `no-removals` is the switch on the command line. */
export const GUARDS = [
  "incomplete-reading",
  "unresolved-person",
  "max-removals",
  "empty-group",
  "empty-source",
  "protected-person",
  "last-owner",
  "own-account",
  "adoption",
  "group-delete",
  "role-loss",
  "foreign-group",
  "changed-scope",
  "declined-invitation",
  "no-removals",
] as const;

/** A guard's name, as in `--allow <guard>[:<group>]`. */
export type GuardName = (typeof GUARDS)[number];

/** A change that a guard holds back. `reason` says what was found, how much, the limit, and how to acknowledge. */
export interface HeldChange extends Change {
  readonly guard: GuardName;
  /** Why the change was wanted: the `reason` it would have had if it were not held. */
  readonly wantedBecause: string;
}

/** A group that cannot be planned at one provider, and why. Nothing is done to it. */
export interface TargetProblem {
  readonly group: string;
  readonly message: string;
}

/** A person who could not be matched to exactly one usable account. */
export interface Unresolved {
  readonly person: string;
  readonly state: "missing" | "ambiguous" | "disabled" | "unpinned";
  readonly reason: string;
  /** Spec groups at this provider that wanted the person. */
  readonly groups: readonly string[];
}

/** What a plan assumes of one group at one provider; checked again before a saved plan is applied. */
export interface Precondition {
  readonly group: string;
  readonly groupId?: string;
  readonly name: string;
  /** The version read, where the service has versions. */
  readonly version?: string;
  /** SHA-256 over the members read (accounts, roles, states). Absent for a group that has to be created. */
  readonly membersDigest?: string;
  /** How many members were read. */
  readonly memberCount: number;
  readonly evidence?: Evidence;
  /** True: ours to manage (pinned, adopted, created by us or remembered as such), so that removals need no adoption. */
  readonly ours?: boolean;
}

/** What a provider would have to be asked for. */
export interface Cost {
  /** Writing calls, as batched. */
  readonly calls: number;
  /** Estimated seconds for them under the provider's declared limits. */
  readonly seconds: number;
}

/** The part of a plan that concerns one provider. */
export interface ProviderPlan {
  readonly id: ProviderId;
  readonly type: string;
  /** Whom and where the provider was read as: tenant, space, key owner. Never a secret. */
  readonly identity: string;
  /** Whom the provider was read as in the run before, when that was somebody else and nobody has acknowledged it. */
  readonly formerIdentity?: string;
  /** Whom the provider had last been read as, whoever it was, as far as was remembered when the plan was made. */
  readonly lastIdentity?: string;
  readonly changes: readonly Change[];
  readonly held: readonly HeldChange[];
  readonly unresolved: readonly Unresolved[];
  readonly problems: readonly TargetProblem[];
  readonly groups: readonly Precondition[];
  /** Things a reader should know: a role that does not exist there, an owner counted as a member, a weak proof. */
  readonly notes: readonly string[];
  readonly cost: Cost;
  /** Why the provider could not be planned at all. Then there are no changes for it. */
  readonly error?: ErrorSummary;
  /** Reading calls that this plan took. */
  readonly calls: CallCount;
}

/** An error as it stands in plans and reports: no secrets, no bodies. */
export interface ErrorSummary {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly status?: number;
  readonly requestId?: string;
  /** ISO time from which it makes sense to come back (long rate limits). */
  readonly retryAt?: string;
}

/** A release of held removals of exactly one plan, for one group. */
export interface Approval {
  /** The checksum of the plan that was looked at. */
  readonly checksum: string;
  /** The group's id in the spec. */
  readonly group: string;
  /** Absent: at all providers of the plan. */
  readonly provider?: ProviderId;
  readonly approvedBy: string;
  readonly approvedAt: string;
  /** After this moment the approval counts for nothing. */
  readonly expiresAt: string;
  /** SHA-256 over everything else in the approval, the checksum of the plan among it. A changed byte is refused. */
  readonly ownChecksum: string;
}

/** What would change, what is held and why, and what it would cost. Plain JSON: save it, review it, apply it later. */
export interface Plan {
  readonly kind: "plan";
  readonly formatVersion: 1;
  readonly planId: string;
  /**
   * SHA-256 over everything else in the plan but its approvals, of which each has a checksum of its own. A changed byte
   * is refused.
   */
  readonly checksum: string;
  readonly createdAt: string;
  /** After this moment the plan is refused. */
  readonly expiresAt: string;
  readonly toolVersion: string;
  readonly specDigest: string;
  /** The run that this plan takes back. */
  readonly undoes?: string;
  readonly status: "in-sync" | "changes" | "held";
  readonly summary: {
    readonly create: number;
    readonly rename: number;
    readonly delete: number;
    readonly add: number;
    readonly role: number;
    readonly remove: number;
    readonly held: number;
    readonly unresolved: number;
  };
  readonly providers: readonly ProviderPlan[];
  /** Added after the plan was made; each is bound to its checksum. */
  readonly approvals?: readonly Approval[];
}

/** What a batch says about one account. */
export interface MemberEdit {
  readonly account: string;
  readonly role: Role;
  readonly previousRole?: Role;
  readonly invitation?: string;
  readonly direct?: boolean;
}

/** A group as a batch names it. */
export interface GroupRef {
  readonly id: string;
  readonly name: string;
  /** The version last read, if nothing has been written to the group since. */
  readonly version?: string;
}

/** One call (or as few as the provider needs) that an adapter translates. Never exceeds the adapter's capabilities. */
export type Batch =
  | {
      readonly kind: "group.create";
      readonly name: string;
      readonly description?: string;
      /** First members, where the capability allows; else empty. */
      readonly add: readonly MemberEdit[];
    }
  | {
      readonly kind: "group.update";
      readonly group: GroupRef;
      readonly name?: string;
      readonly description?: string;
    }
  | { readonly kind: "group.delete"; readonly group: GroupRef }
  | {
      readonly kind: "members";
      /** More than one only where the provider takes people × groups in one call. */
      readonly groups: readonly GroupRef[];
      readonly add: readonly MemberEdit[];
      readonly update: readonly MemberEdit[];
      readonly remove: readonly MemberEdit[];
    };

/** What a provider answered to a batch. A 2xx alone proves nothing about anybody; say only what the answer shows. */
export interface BatchResult {
  /** The group after a create or an update. */
  readonly group?: Group;
  /** The whole membership after the write, where the answer carries it. Absent: confirm by reading. */
  readonly members?: readonly Member[];
}

/** How one change ended. */
export type OutcomeStatus = "applied" | "already" | "pending" | "held" | "skipped" | "failed" | "unknown";

/** A change and how it ended. */
export interface Outcome extends Change {
  readonly status: OutcomeStatus;
  readonly guard?: GuardName;
  readonly error?: ErrorSummary;
}

/** Calls of one provider in one run. */
export interface CallCount {
  readonly read: number;
  readonly write: number;
  readonly retried: number;
  /** Seconds spent waiting for a rate limit. */
  readonly throttledSeconds: number;
}

/** A difference that is still there after apply, as read. */
export interface Residual {
  readonly provider: ProviderId;
  readonly group: string;
  readonly account?: string;
  readonly person?: string;
  readonly message: string;
  /** True: somebody lost a membership that this run did not touch. */
  readonly unasked?: boolean;
}

/** The part of a report that concerns one provider. */
export interface ProviderReport {
  readonly id: ProviderId;
  readonly type: string;
  readonly outcomes: readonly Outcome[];
  readonly unresolved: readonly Unresolved[];
  readonly problems: readonly TargetProblem[];
  readonly notes: readonly string[];
  readonly calls: CallCount;
  readonly error?: ErrorSummary;
}

/** What was done, as read back afterwards. */
export interface Report {
  readonly kind: "report";
  readonly formatVersion: 1;
  readonly runId: string;
  readonly planId: string;
  /** The run that this run took back. */
  readonly undoes?: string;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly status: "converged" | "held" | "partial" | "failed";
  readonly summary: Readonly<Record<OutcomeStatus, number>>;
  readonly providers: readonly ProviderReport[];
  readonly residual: readonly Residual[];
  /** Set when the run was stopped before its end, in plain words. */
  readonly stopped?: string;
  /** ISO time from which it makes sense to come back, when a long rate limit stopped the run. */
  readonly retryAt?: string;
  /** Why the run could not be written into the state. What was done at the providers stands above all the same. */
  readonly stateError?: ErrorSummary;
}
