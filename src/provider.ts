/**
 * The port: what the core asks of a service, and what a service declares about itself.
 *
 * It is narrow on purpose. An adapter translates; it does no diffing, batching, retrying, logging or dry-run. Limits,
 * verbs, caps and rate scopes are data (`Capabilities`), which the core obeys.
 */
import type { ZodType } from "zod";
import type { Account, Batch, BatchResult, Evidence, Group, ProviderId, Snapshot } from "./model.js";

/** A fact about a service with where it comes from: a document of the vendor, its code, or a safe assumption. */
export interface Fact<T> {
  readonly value: T;
  readonly source: string;
}

/** How many accounts and groups one writing call may name. */
export interface MemberVerb {
  readonly accountsPerCall: Fact<number>;
  /** More than 1: the call acts on the product accounts × groups. */
  readonly groupsPerCall: Fact<number>;
}

/** A role above plain membership. */
export interface RoleCapability {
  /** How many people may hold it in one group; `null`: any number. With 1, whoever gets it takes it over from its holder. */
  readonly max: Fact<number | null>;
  /** Whether it can be taken away without taking the membership away. */
  readonly clearable: Fact<boolean>;
  /** Whether taking it away without naming a successor is held by the guard `role-loss`. */
  readonly guarded: Fact<boolean>;
}

/** A limit on requests. Requests of everything in this process that shares `key` share the limit. */
export interface RateScope {
  /** What the limit is counted by, in plain words: `token`, `key owner`. */
  readonly scope: string;
  readonly requests: number;
  readonly windowMs: number;
  /** Which requests count. */
  readonly counts: "all" | "read" | "write";
  readonly source: string;
}

/** What a service can do and how much of it, each number with its source. */
export interface Capabilities {
  /** What identifies a member, in plain words. */
  readonly memberKey: Fact<string>;
  readonly add: MemberVerb;
  readonly remove: MemberVerb;
  /** Whether adds, role changes and removals can go in one call. */
  readonly mixed: Fact<boolean>;
  /** Most members a group can have; `null`: not stated. */
  readonly maxMembers: Fact<number | null>;
  /** Roles above `member` that the service has. A role that is not here is treated as plain membership, and the plan says so. */
  readonly roles: { readonly manager?: RoleCapability; readonly owner?: RoleCapability };
  readonly groups: {
    readonly create: Fact<boolean>;
    /** How many members a create call may bring along; 0: none. */
    readonly membersOnCreate: Fact<number>;
    readonly rename: Fact<boolean>;
    readonly delete: Fact<boolean>;
    /** Whether a group has a description that can be set. */
    readonly description: Fact<boolean>;
    /** Whether two groups may bear one name. */
    readonly duplicateNames: Fact<boolean>;
    /** Most characters that a group's name may have. Absent: not stated. */
    readonly maxNameLength?: Fact<number>;
  };
  readonly lookup: {
    /** `id`: an account id can be checked for existence; `email`: accounts can be found by address. */
    readonly by: Fact<readonly ("id" | "email")[]>;
    /**
     * Whether a pinned account is the member key itself. False: it may be another id of the account, and is looked up
     * before it is compared with members.
     */
    readonly pinsAreKeys: Fact<boolean>;
    /** Whether ids of accounts and groups are lower case there, however someone wrote them down. */
    readonly idsAreLowerCase: Fact<boolean>;
    /** How many keys `findAccounts` takes at once. */
    readonly keysPerCall: Fact<number>;
  };
  /** Whether adding someone only invites them, until they accept. */
  readonly invitations: Fact<boolean>;
  /** Whether groups carry a version that a write is checked against. */
  readonly versions: Fact<boolean>;
  /** How long a write may take to show to readers. Verification polls this long before it calls a change unknown. */
  readonly consistencyMs: Fact<number>;
  readonly pageSize: { readonly groups: Fact<number>; readonly members: Fact<number | null> };
  readonly rates: readonly RateScope[];
  /** Requests that may be under way at once. */
  readonly inFlight: { readonly reads: Fact<number>; readonly writes: Fact<number> };
}

/** One request that went out, or a wait before one. Carries no address with secrets, no headers and no bodies. */
export type CallEvent =
  | {
      readonly type: "call";
      readonly provider: ProviderId;
      readonly operation: string;
      readonly effect: "read" | "write";
      /** Absent when no answer came. */
      readonly status?: number;
      readonly ms: number;
      /** From 1. */
      readonly attempt: number;
    }
  | {
      readonly type: "retry";
      readonly provider: ProviderId;
      readonly operation: string;
      readonly attempt: number;
      readonly delayMs: number;
      readonly reason: string;
    }
  | {
      readonly type: "wait";
      readonly provider: ProviderId;
      readonly scope: string;
      readonly delayMs: number;
      readonly reason: string;
    };

/** What goes along with every call through the port. */
export interface CallContext {
  readonly signal?: AbortSignal;
  readonly onCall?: (event: CallEvent) => void;
  /**
   * Asked right before a writing request goes out, retries included. Throws when this run may not write any more, such
   * as `busy` after its lease ran out while the process was asleep.
   */
  readonly checkWrite?: () => void;
  /**
   * Reads something once per pass: the first call with a key reads, later ones get the same answer. The core makes a
   * new context for each pass (planning, verifying), so nothing stale survives. An adapter uses it for lists that
   * serve many groups, such as invitations.
   */
  readonly once: <T>(key: string, read: () => Promise<T>) => Promise<T>;
}

/** One finding of `checkAccess`, in plain words. */
export interface AccessFinding {
  readonly level: "ok" | "warning" | "error";
  readonly message: string;
}

/** What `checkAccess` found. */
export interface AccessReport {
  /** Tenant, space or portal and the account acted as, in plain words, the same for the same place. Never a secret. */
  readonly identity: string;
  /** The account (member key) that the credentials act as, where it is one; it is never removed from a group. */
  readonly ownAccount?: string;
  readonly findings: readonly AccessFinding[];
}

/** The groups of a provider, with the evidence that the list is whole. */
export interface GroupListing {
  readonly groups: readonly Group[];
  readonly evidence: Evidence;
}

/** A question to `findAccounts`. */
export interface AccountKey {
  readonly by: "id" | "email";
  readonly value: string;
}

/** The answer to one key: no account, one, or several. */
export interface AccountFinding {
  readonly key: AccountKey;
  readonly accounts: readonly Account[];
}

/** One account of one service. Anyone can write one: see docs/guides/write-a-provider.md. */
export interface GroupProvider {
  readonly id: ProviderId;
  /** The service, such as `genesys`. */
  readonly type: string;
  readonly capabilities: Capabilities;
  /**
   * Who and where are we, and are our rights sufficient? Throws when the service cannot be reached or refuses us.
   * `identity`: only who and where, as each run asks; then findings may be missing, and fewer calls are made.
   * @default extent "all"
   */
  checkAccess(context: CallContext, extent?: "identity" | "all"): Promise<AccessReport>;
  /** All groups that these credentials see. */
  listGroups(context: CallContext): Promise<GroupListing>;
  /** One group and its members. Throws `not-found` when there is no such group. */
  readGroup(groupId: string, context: CallContext): Promise<Snapshot>;
  /**
   * Many groups, each as `readGroup` would read it and with as good a proof, where that takes fewer calls together: the
   * record before and after from lists, for example. In the order of the ids; a group that cannot be read is rejected
   * in its place. `onRead` is told how many are done. Absent: `readGroup` is called for each.
   */
  readGroups?(
    groupIds: readonly string[],
    context: CallContext,
    onRead?: (done: number) => void,
  ): Promise<readonly PromiseSettledResult<Snapshot>[]>;
  /**
   * What decides about a group's membership, where `readGroups` does not tell and a call of its own does. Asked before
   * a group is changed. Absent: what a reading says is right.
   */
  readKind?(groupId: string, context: CallContext): Promise<Group["kind"]>;
  /**
   * Accounts for keys, in the order of the keys. At most `capabilities.lookup.keysPerCall` keys, each of a kind in
   * `capabilities.lookup.by`. An answer lists disabled and deleted accounts too, marked so; matching is exact, and
   * addresses are compared without regard to case.
   */
  findAccounts(keys: readonly AccountKey[], context: CallContext): Promise<readonly AccountFinding[]>;
  /**
   * Makes one batch so. Throws when the provider refused it or the outcome is unknown (`facts.outcomeUnknown`); the
   * core then reads, and splits or repeats what is safe.
   */
  applyBatch(batch: Batch, context: CallContext): Promise<BatchResult>;
}

/** A service as the spec names it under `type`: how its options are checked and how a provider is made of them. */
export interface ProviderType {
  /** The word in the spec, such as `genesys`. */
  readonly type: string;
  /** The service's name for people, such as `Genesys Cloud`. */
  readonly label: string;
  /** Strict: an unknown key is an error. `type` and `guards` are not part of it. */
  readonly options: ZodType;
  /** Option names that hold secrets; a literal value in a spec file is a warning. */
  readonly secretOptions: readonly string[];
  readonly capabilities: Capabilities;
  /** Options have passed `options`. */
  create(id: ProviderId, options: unknown): GroupProvider;
}

/** A context for calls outside a run. */
export function createCallContext(options: Omit<CallContext, "once"> = {}): CallContext {
  const answers = new Map<string, Promise<unknown>>();
  return {
    ...options,
    once: <T>(key: string, read: () => Promise<T>): Promise<T> => {
      const known = answers.get(key);
      if (known) return known as Promise<T>;
      const answer = read();
      answers.set(key, answer);
      // A failed read is not remembered: the next caller asks again.
      answer.catch(() => answers.delete(key));
      return answer;
    },
  };
}
