/**
 * A provider in memory: the port, done as its documents say and nothing else.
 *
 * It is the reference that the conformance suite is held against, and the fixture of tests of the core: what it can do
 * is given as `capabilities`, what others do to it goes through `control`, and what goes wrong comes from `before`.
 * Nothing in it depends on the clock or on chance.
 */
import { type ErrorFacts, GroupSyncError } from "../errors.js";
import type {
  Account,
  Batch,
  BatchResult,
  Evidence,
  Group,
  GroupRef,
  Member,
  MemberEdit,
  ProviderId,
  Role,
  Snapshot,
} from "../model.js";
import { ABOVE_ROLES, ROLES } from "../model.js";
import type {
  AccessReport,
  AccountFinding,
  AccountKey,
  CallContext,
  Capabilities,
  Fact,
  GroupListing,
  GroupProvider,
} from "../provider.js";

/** Someone with an account. */
export interface MemoryPerson {
  /** The account's id, which is the member key. @default `account-1`, `account-2` … */
  readonly id?: string;
  readonly email?: string;
  readonly name?: string;
  /** @default "active" */
  readonly status?: Account["status"];
}

/** A group to begin with, or one made by someone else. */
export interface MemoryGroup {
  /** @default `group-1`, `group-2` … */
  readonly id?: string;
  readonly name: string;
  readonly description?: string;
  /** @default "plain" */
  readonly kind?: Group["kind"];
  /** A text stands for a plain, direct member. */
  readonly members?: readonly (string | MemoryMember)[];
  /** Accounts that hold an open invitation. */
  readonly invited?: readonly string[];
}

/** A membership. */
export interface MemoryMember {
  readonly account: string;
  /** @default "member" */
  readonly role?: Role;
  /** False: present by role or rule only. @default true */
  readonly direct?: boolean;
}

/** A group as it truly is. */
export interface MemoryTrueGroup {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly members: readonly Required<MemoryMember>[];
  /** Accounts with an open invitation. */
  readonly invited: readonly string[];
}

/** The methods of the port. */
export type MemoryOperation = "checkAccess" | "listGroups" | "readGroup" | "findAccounts" | "applyBatch";

/** One call that got past the provider's own refusals: what a request is to a service. */
export interface MemoryCall {
  readonly operation: MemoryOperation;
  /** The arguments without the context. */
  readonly args: readonly unknown[];
  /** Which call of this operation it is, from 1. */
  readonly nth: number;
}

/** What goes wrong with one call. */
export interface Misbehaviour {
  /** `listGroups`, `readGroup`: the last row is missing, and the evidence says that the reading is incomplete because of this. */
  readonly incomplete?: string;
  /** `applyBatch`: nothing is done, and the answer says that all is well. */
  readonly ignored?: boolean;
  /** Thrown when the call has had its effect, as when the connection breaks before the answer. */
  readonly thrownAfter?: Error;
}

/** Looks at a call before it is carried out. What it throws, the call throws, without effect; what it returns goes wrong. */
export type BeforeCall = (
  operation: MemoryOperation,
  args: readonly unknown[],
  nth: number,
) => Misbehaviour | undefined | void | Promise<Misbehaviour | undefined | void>;

/** How a provider in memory is made. */
export interface MemoryProviderOptions {
  /** @default "memory" */
  readonly id?: ProviderId;
  /** @default "memory" */
  readonly type?: string;
  /** Replaces parts of {@link memoryCapabilities}, which can do everything. */
  readonly capabilities?: Partial<Capabilities>;
  readonly people?: readonly MemoryPerson[];
  readonly groups?: readonly MemoryGroup[];
  /** The account that the provider says it acts as. */
  readonly ownAccount?: string;
  /**
   * For misbehaviour.
   *
   * @example before: (operation, _, nth) => {
   *   if (operation === "applyBatch" && nth === 2) throw new GroupSyncError("unavailable", "Down.");
   * }
   */
  readonly before?: BeforeCall;
}

/** What others do to the groups and what is truly there. All of it takes effect at once and is not a call. */
export interface MemoryControl {
  /** In the order of creation. */
  groups(): readonly MemoryTrueGroup[];
  /** Returns the account's id. */
  addPerson(person: MemoryPerson): string;
  /** `deleted` takes the account out of all groups. */
  setPersonStatus(account: string, status: Account["status"]): void;
  /** Returns the group's id. */
  addGroup(group: MemoryGroup): string;
  renameGroup(groupId: string, name: string): void;
  deleteGroup(groupId: string): void;
  /** Makes a member, or gives a member this role. Answers an open invitation. */
  addMember(groupId: string, account: string, role?: Role): void;
  removeMember(groupId: string, account: string): void;
  /** What all invitees (of one group) answer. Returns how many there were. */
  answerInvitations(answer: "accept" | "reject", groupId?: string): number;
  /** Every call so far, oldest first. */
  readonly calls: readonly MemoryCall[];
  clearCalls(): void;
}

/** A provider in memory. */
export interface MemoryProvider extends GroupProvider {
  readonly control: MemoryControl;
}

const own = <T>(value: T): Fact<T> => ({ value, source: "createMemoryProvider" });

/** Able to do everything: roles, descriptions, versions, mixed and cross-group calls. Adding takes effect at once. */
export const memoryCapabilities: Capabilities = {
  memberKey: own("account id"),
  add: { accountsPerCall: own(100), groupsPerCall: own(20) },
  remove: { accountsPerCall: own(100), groupsPerCall: own(20) },
  mixed: own(true),
  maxMembers: own(null),
  roles: {
    manager: { max: own(null), clearable: own(true), guarded: own(false) },
    owner: { max: own(null), clearable: own(true), guarded: own(false) },
  },
  groups: {
    create: own(true),
    membersOnCreate: own(100),
    rename: own(true),
    delete: own(true),
    description: own(true),
    duplicateNames: own(true),
  },
  lookup: {
    by: own(["id", "email"]),
    pinsAreKeys: own(true),
    idsAreLowerCase: own(false),
    keysPerCall: own(100),
  },
  invitations: own(false),
  versions: own(true),
  consistencyMs: own(0),
  pageSize: { groups: own(100), members: own(100) },
  rates: [],
  inFlight: { reads: own(10), writes: own(10) },
};

interface StoredGroup {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly kind: Group["kind"];
  readonly version: number;
  readonly members: ReadonlyMap<string, { readonly role: Role; readonly direct: boolean }>;
  /** By the invitation's id. */
  readonly invitations: ReadonlyMap<string, { readonly account: string; readonly role: Role }>;
}

type MembersBatch = Extract<Batch, { kind: "members" }>;
type Membership = Pick<StoredGroup, "members" | "invitations">;

/**
 * Makes a provider in memory. A batch is done as a whole or not at all: someone unknown or switched off among those to
 * be added refuses all of it. What the capabilities exclude is refused as `unsupported` before it counts as a call.
 *
 * @example
 * const provider = createMemoryProvider({ people: [{ id: "ada" }], groups: [{ name: "Night shift", members: ["ada"] }] });
 */
export function createMemoryProvider(options: MemoryProviderOptions = {}): MemoryProvider {
  const id = options.id ?? "memory";
  const capabilities: Capabilities = { ...memoryCapabilities, ...options.capabilities };
  const people = new Map<string, Account>();
  const groups = new Map<string, StoredGroup>();
  const calls: MemoryCall[] = [];
  const made = { people: 0, groups: 0, invitations: 0 };

  // ---- what others do

  function addPerson(person: MemoryPerson): string {
    const account = person.id ?? `account-${++made.people}`;
    const { email, name, status = "active" } = person;
    people.set(account, {
      id: account,
      ...(email !== undefined && { email }),
      ...(name !== undefined && { name }),
      ...statusOf(status),
    });
    return account;
  }

  function personOf(account: string): Account {
    const person = people.get(account);
    if (!person) throw new Error(`memory: there is no account ${account}`);
    return person;
  }

  function groupOf(groupId: string): StoredGroup {
    const group = groups.get(groupId);
    if (!group) throw new Error(`memory: there is no group ${groupId}`);
    return group;
  }

  function store(group: StoredGroup): StoredGroup {
    const next = { ...group, version: group.version + 1 };
    groups.set(group.id, next);
    return next;
  }

  function addGroup(group: MemoryGroup): string {
    const members = (group.members ?? []).map((member) => (typeof member === "string" ? { account: member } : member));
    for (const { account } of members) personOf(account);
    return store({
      id: group.id ?? `group-${++made.groups}`,
      name: group.name,
      ...(group.description !== undefined && { description: group.description }),
      kind: group.kind ?? "plain",
      version: 0,
      members: new Map(members.map(({ account, role = "member", direct = true }) => [account, { role, direct }])),
      invitations: new Map((group.invited ?? []).map((account) => [nextInvitation(), { account, role: "member" }])),
    }).id;
  }

  function nextInvitation(): string {
    return `invitation-${++made.invitations}`;
  }

  const control: MemoryControl = {
    groups: () =>
      [...groups.values()].map((group) => ({
        id: group.id,
        name: group.name,
        ...(group.description !== undefined && { description: group.description }),
        members: [...group.members].map(([account, membership]) => ({ account, ...membership })),
        invited: [...group.invitations.values()].map(({ account }) => account),
      })),
    addPerson,
    setPersonStatus: (account, status) => {
      people.set(account, { ...withoutStatus(personOf(account)), ...statusOf(status) });
      if (status !== "deleted") return;
      for (const group of groups.values()) {
        if (group.members.has(account)) store({ ...group, ...without(group, account) });
      }
    },
    addGroup,
    renameGroup: (groupId, name) => {
      store({ ...groupOf(groupId), name });
    },
    deleteGroup: (groupId) => {
      groups.delete(groupOf(groupId).id);
    },
    addMember: (groupId, account, role = "member") => {
      const group = groupOf(groupId);
      personOf(account);
      store({ ...group, ...withMember(group, account, role) });
    },
    removeMember: (groupId, account) => {
      const group = groupOf(groupId);
      store({ ...group, ...without(group, account) });
    },
    answerInvitations: (answer, groupId) => {
      const asked = groupId === undefined ? [...groups.values()] : [groupOf(groupId)];
      let count = 0;
      for (const group of asked) {
        if (group.invitations.size === 0) continue;
        count += group.invitations.size;
        const accepted = answer === "accept" ? [...group.invitations.values()] : [];
        const members = accepted.map(({ account, role }) => [account, { role, direct: true }] as const);
        store({ ...group, members: new Map([...group.members, ...members]), invitations: new Map() });
      }
      return count;
    },
    calls,
    clearCalls: () => {
      calls.length = 0;
    },
  };

  // ---- the port

  function fail(code: "unsupported" | "options-invalid", why: string): GroupSyncError {
    return new GroupSyncError(code, `${id}: ${why}. Nothing was sent.`, { provider: id });
  }

  function refused(
    operation: MemoryOperation,
    code: "refused" | "not-found" | "conflict",
    why: string,
    status: number,
  ): GroupSyncError {
    const facts: ErrorFacts = { provider: id, operation, status };
    return new GroupSyncError(code, `${id} answered ${status} to ${operation}: ${why}.`, facts);
  }

  /** One call: counted, told of, and spoilt if `before` says so. */
  async function call<T>(
    operation: MemoryOperation,
    args: readonly unknown[],
    context: CallContext,
    act: (misbehaviour: Misbehaviour) => T,
  ): Promise<T> {
    throwIfCancelled(operation, context);
    const nth = calls.filter((earlier) => earlier.operation === operation).length + 1;
    calls.push({ operation, args, nth });
    const effect = operation === "applyBatch" ? "write" : "read";
    const event = { type: "call", provider: id, operation, effect, ms: 0, attempt: 1 } as const;
    try {
      const misbehaviour = (await options.before?.(operation, args, nth)) ?? {};
      const answer = act(misbehaviour);
      if (misbehaviour.thrownAfter) throw misbehaviour.thrownAfter;
      context.onCall?.({ ...event, status: 200 });
      return answer;
    } catch (error) {
      const status = error instanceof GroupSyncError ? error.facts.status : undefined;
      context.onCall?.({ ...event, ...(status !== undefined && { status }) });
      throw error;
    }
  }

  function throwIfCancelled(operation: MemoryOperation, context: CallContext): void {
    if (!context.signal?.aborted) return;
    throw new GroupSyncError("cancelled", `Stopped before ${operation} at ${id}.`, { provider: id, operation });
  }

  async function checkAccess(context: CallContext): Promise<AccessReport> {
    return call("checkAccess", [], context, () => ({
      identity: `memory ${id}`,
      ...(options.ownAccount !== undefined && { ownAccount: options.ownAccount }),
      findings: [{ level: "ok", message: "Groups in memory can be read and changed." }],
    }));
  }

  async function listGroups(context: CallContext): Promise<GroupListing> {
    return call("listGroups", [], context, ({ incomplete }) => {
      const rows = [...groups.values()].map(describeGroup);
      const pageSize = capabilities.pageSize.groups.value;
      return {
        groups: incomplete === undefined ? rows : rows.slice(0, -1),
        evidence: describeReading(rows.length, pageSize, incomplete),
      };
    });
  }

  async function readGroup(groupId: string, context: CallContext): Promise<Snapshot> {
    return call("readGroup", [groupId], context, ({ incomplete }) => {
      const group = groups.get(groupId);
      if (!group) throw refused("readGroup", "not-found", `there is no group ${JSON.stringify(groupId)}`, 404);
      const rows = describeMembers(group);
      const evidence = describeReading(rows.length, capabilities.pageSize.members.value, incomplete);
      const version = String(group.version);
      return {
        group: describeGroup(group),
        members: incomplete === undefined ? rows : rows.slice(0, -1),
        evidence: capabilities.versions.value
          ? { ...evidence, versionBefore: version, versionAfter: version }
          : evidence,
      };
    });
  }

  async function findAccounts(keys: readonly AccountKey[], context: CallContext): Promise<readonly AccountFinding[]> {
    const { by, keysPerCall } = capabilities.lookup;
    for (const key of keys) {
      if (!by.value.includes(key.by)) throw fail("unsupported", `people cannot be looked up by ${key.by}`);
    }
    if (keys.length > keysPerCall.value) throw fail("unsupported", `more than ${keysPerCall.value} keys in one call`);
    if (keys.length === 0) {
      throwIfCancelled("findAccounts", context);
      return [];
    }
    return call("findAccounts", [keys], context, () =>
      keys.map((key) => ({ key, accounts: [...people.values()].filter((account) => matches(account, key)) })),
    );
  }

  async function applyBatch(batch: Batch, context: CallContext): Promise<BatchResult> {
    checkBatch(batch);
    const saysNothing = batch.kind === "members" && batch.add.length + batch.update.length + batch.remove.length === 0;
    if (saysNothing) {
      throwIfCancelled("applyBatch", context);
      return {};
    }
    return call("applyBatch", [batch], context, ({ ignored }) => {
      // What is carried out on copies can be thrown away whole.
      const before = new Map(groups);
      const result = applyChecked(batch);
      if (!ignored) return result;
      groups.clear();
      for (const [groupId, group] of before) groups.set(groupId, group);
      return batch.kind === "group.create" && result.group ? { group: result.group } : {};
    });
  }

  function applyChecked(batch: Batch): BatchResult {
    switch (batch.kind) {
      case "group.create": {
        requireFreeName(batch.name);
        const empty: StoredGroup = {
          id: `group-${++made.groups}`,
          name: batch.name,
          ...(batch.description !== undefined && { description: batch.description }),
          kind: "plain",
          version: 0,
          members: new Map(),
          invitations: new Map(),
        };
        const group = store({ ...empty, ...edit(empty, { add: batch.add, update: [], remove: [] }) });
        return { group: describeGroup(group), members: describeMembers(group) };
      }
      case "group.update": {
        const group = requireGroup(batch.group);
        if (batch.name !== undefined && batch.name !== group.name) requireFreeName(batch.name);
        const updated = store({
          ...group,
          ...(batch.name !== undefined && { name: batch.name }),
          ...(batch.description !== undefined && { description: batch.description }),
        });
        return { group: describeGroup(updated) };
      }
      case "group.delete":
        groups.delete(requireGroup(batch.group).id);
        return {};
      case "members": {
        const edited = batch.groups.map((ref) => {
          const group = requireGroup(ref);
          return { ...group, ...edit(group, batch) };
        });
        const [first, ...others] = edited.map(store);
        return first && others.length === 0 ? { members: describeMembers(first) } : {};
      }
    }
  }

  // ---- refused without a call: what the capabilities exclude

  function checkBatch(batch: Batch): void {
    const can = capabilities.groups;
    if (batch.kind === "group.delete" && !can.delete.value) throw fail("unsupported", "groups cannot be deleted");
    if (batch.kind === "group.create" || batch.kind === "group.update") {
      if (batch.kind === "group.create" && !can.create.value) throw fail("unsupported", "groups cannot be made");
      if (batch.kind === "group.update" && batch.name !== undefined && !can.rename.value) {
        throw fail("unsupported", "groups cannot be renamed");
      }
      if (batch.description !== undefined && !can.description.value) {
        throw fail("unsupported", "groups have no description");
      }
      if (batch.name !== undefined && batch.name.trim() === "") throw fail("options-invalid", "a group needs a name");
    }
    if (batch.kind === "group.create") {
      const most = can.membersOnCreate.value;
      if (batch.add.length > most) throw fail("unsupported", `a new group takes ${most} members at most`);
      checkEdits([batch.add]);
    }
    if (batch.kind === "members") checkMembersBatch(batch);
  }

  function checkMembersBatch({ groups: refs, add, update, remove }: MembersBatch): void {
    if (refs.length === 0) throw fail("options-invalid", "a batch names no group");
    const kinds = [add, update, remove].filter((edits) => edits.length > 0);
    if (kinds.length > 1 && !capabilities.mixed.value) {
      throw fail("unsupported", "adding, changing and removing do not go in one call");
    }
    for (const [edits, verb] of [
      [add, capabilities.add],
      [update, capabilities.add],
      [remove, capabilities.remove],
    ] as const) {
      if (edits.length === 0) continue;
      if (edits.length > verb.accountsPerCall.value) throw fail("unsupported", `${edits.length} people in one call`);
      if (refs.length > verb.groupsPerCall.value) throw fail("unsupported", `${refs.length} groups in one call`);
    }
    checkEdits([add, update, remove]);
    const gained = new Set([...add, ...update].map(({ role }) => role));
    for (const { role, previousRole } of update) {
      if (previousRole === undefined || previousRole === "member" || role === previousRole) continue;
      const clearable = capabilities.roles[previousRole]?.clearable.value ?? true;
      if (!clearable && !gained.has(previousRole)) {
        throw fail("unsupported", `the role ${previousRole} can be handed on, but not taken away`);
      }
    }
  }

  function checkEdits(lists: readonly (readonly MemberEdit[])[]): void {
    const edits = lists.flat();
    if (edits.some(({ account }) => account === "")) throw fail("options-invalid", "an account without an id");
    if (new Set(edits.map(({ account }) => account)).size < edits.length) {
      throw fail("options-invalid", "an account stands in the batch more than once");
    }
    if (!capabilities.invitations.value && edits.some(({ invitation }) => invitation !== undefined)) {
      throw fail("unsupported", "there are no invitations");
    }
    const [add = [], update = []] = lists;
    for (const role of ABOVE_ROLES) {
      const capability = capabilities.roles[role];
      if (!capability && edits.some((each) => each.role === role)) throw fail("unsupported", `there are no ${role}s`);
      const gaining = [...add, ...update].filter((each) => each.role === role).length;
      const most = capability?.max.value ?? null;
      if (most !== null && gaining > most) throw fail("unsupported", `a group has ${most} ${role}s at most`);
    }
  }

  // ---- refused by a call: what only the state can tell

  function requireFreeName(name: string): void {
    if (capabilities.groups.duplicateNames.value) return;
    const taken = [...groups.values()].some((group) => group.name === name);
    if (taken) throw refused("applyBatch", "refused", `there is a group ${JSON.stringify(name)} already`, 400);
  }

  function requireGroup(ref: GroupRef): StoredGroup {
    const group = groups.get(ref.id);
    if (!group) throw refused("applyBatch", "not-found", `there is no group ${JSON.stringify(ref.id)}`, 404);
    if (group.kind !== "plain")
      throw refused("applyBatch", "refused", `${JSON.stringify(group.name)} is ${group.kind}`, 403);
    if (capabilities.versions.value && ref.version !== undefined && ref.version !== String(group.version)) {
      throw refused("applyBatch", "conflict", `version ${ref.version} is not the current ${group.version}`, 409);
    }
    return group;
  }

  /** The membership after the edits; roles are counted at the end, so that one can be handed on in one batch. */
  function edit(group: StoredGroup, edits: Pick<MembersBatch, "add" | "update" | "remove">): Membership {
    let after: Membership = group;
    for (const { account, role } of edits.add) {
      requireEligible(account);
      const known = after.members.get(account);
      if (known) {
        // An addition never takes a role away.
        if (ROLES.indexOf(role) > ROLES.indexOf(known.role)) after = give(after, account, role);
      } else if (!capabilities.invitations.value) after = give(after, account, role);
      else if (!isInvited(after, account)) {
        after = { ...after, invitations: new Map([...after.invitations, [nextInvitation(), { account, role }]]) };
      }
    }
    for (const { account, role } of edits.update) {
      if (!after.members.has(account)) throw refused("applyBatch", "refused", `${account} is no member`, 400);
      after = give(after, account, role);
    }
    for (const { account, invitation } of edits.remove) {
      after =
        invitation === undefined
          ? without(after, account)
          : { ...after, invitations: new Map([...after.invitations].filter(([known]) => known !== invitation)) };
    }
    requireRoom(after);
    return after;
  }

  /** A role with room for one goes over to whoever gets it. */
  function give(membership: Membership, account: string, role: Role): Membership {
    const isSingle = role !== "member" && capabilities.roles[role]?.max.value === 1;
    if (!isSingle) return withMember(membership, account, role);
    const others = [...membership.members].map(
      ([id, each]) => [id, each.role === role ? { ...each, role: "member" as const } : each] as const,
    );
    return withMember({ ...membership, members: new Map(others) }, account, role);
  }

  function requireEligible(account: string): void {
    const person = people.get(account);
    if (!person) throw refused("applyBatch", "refused", `there is no account ${JSON.stringify(account)}`, 400);
    if (!person.eligible) throw refused("applyBatch", "refused", `${account}: ${person.note ?? person.status}`, 400);
  }

  function requireRoom({ members }: Membership): void {
    const most = capabilities.maxMembers.value;
    if (most !== null && members.size > most) {
      throw refused("applyBatch", "refused", `a group has ${most} members at most`, 400);
    }
    for (const role of ABOVE_ROLES) {
      const max = capabilities.roles[role]?.max.value ?? null;
      const holders = [...members.values()].filter((member) => member.role === role).length;
      if (max !== null && holders > max) {
        throw refused("applyBatch", "refused", `a group has ${max} ${role}s at most`, 400);
      }
    }
  }

  // ---- how it is told

  function describeGroup(group: StoredGroup): Group {
    return {
      id: group.id,
      name: group.name,
      ...(capabilities.groups.description.value &&
        group.description !== undefined && { description: group.description }),
      ...(capabilities.versions.value && { version: String(group.version) }),
      kind: group.kind,
    };
  }

  function describeMembers(group: StoredGroup): readonly Member[] {
    const members = [...group.members].map(([account, { role, direct }]): Member => {
      const { status, email, name } = personOf(account);
      return {
        account,
        role: role === "member" || capabilities.roles[role] ? role : "member",
        direct,
        // Only an invitation to the group is pending: an account that its owner has not taken up yet is a member.
        state: status === "disabled" ? "disabled" : "active",
        ...(email !== undefined && { email }),
        ...(name !== undefined && { name }),
      };
    });
    const invited = [...group.invitations].map(
      ([invitation, { account, role }]): Member => ({ account, role, direct: true, state: "pending", invitation }),
    );
    return [...members, ...invited];
  }

  for (const person of options.people ?? []) addPerson(person);
  for (const group of options.groups ?? []) addGroup(group);
  return {
    id,
    type: options.type ?? "memory",
    capabilities,
    checkAccess,
    listGroups,
    readGroup,
    findAccounts,
    applyBatch,
    control,
  };
}

function describeReading(counted: number, pageSize: number | null, incomplete: string | undefined): Evidence {
  return {
    complete: incomplete === undefined,
    because: incomplete ?? `${counted} rows equal the declared total`,
    pages: pageSize === null ? 1 : Math.max(1, Math.ceil(counted / pageSize)),
    declared: counted,
    counted: incomplete === undefined ? counted : Math.max(0, counted - 1),
    duplicates: 0,
  };
}

function statusOf(status: Account["status"]): Pick<Account, "status" | "eligible" | "note"> {
  const eligible = status === "active" || status === "pending";
  return { status, eligible, ...(!eligible && { note: `the account is ${status}` }) };
}

function withoutStatus({ id, email, name }: Account): Pick<Account, "id" | "email" | "name"> {
  return { id, ...(email !== undefined && { email }), ...(name !== undefined && { name }) };
}

function matches(account: Account, key: AccountKey): boolean {
  if (key.by === "id") return account.id === key.value;
  return account.email?.trim().toLowerCase() === key.value.trim().toLowerCase();
}

function withMember({ members, invitations }: Membership, account: string, role: Role): Membership {
  return {
    members: new Map([...members, [account, { role, direct: true }]]),
    invitations: new Map([...invitations].filter(([, invitation]) => invitation.account !== account)),
  };
}

/** The membership is gone; an open invitation stays, as it is withdrawn by its own id. */
function without({ members, invitations }: Membership, account: string): Membership {
  return { members: new Map([...members].filter(([member]) => member !== account)), invitations };
}

function isInvited({ invitations }: Membership, account: string): boolean {
  return [...invitations.values()].some((invitation) => invitation.account === account);
}
