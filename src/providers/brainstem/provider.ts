/**
 * BrainSTEM as a provider of groups.
 *
 * A group there is a lab, and a member is an e-mail address inside the group's one record. Adding someone only
 * invites them: the service answers 200, sends a mail, and the person stays outside until they accept. So a group is
 * read from two places, its record and the list of invitations, and nobody who is in that list is invited again.
 * Where the list cannot be read whole, nobody is invited at all: a second mail cannot be taken back.
 *
 * Addresses are compared trimmed and in lower case, which is also the member key; what is sent is the spelling that
 * the service showed last.
 */
import { z } from "zod";
import { chunk, groupBy } from "../../collections.js";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { findBaseUrlProblem } from "../../http/client.js";
import { readEach } from "../../http/many.js";
import { nameErrors } from "../../http/named.js";
import { type ConnectionOptions, connectionShape } from "../../http/options.js";
import { proveByTotal, type Walk, walkPages } from "../../http/paginate.js";
import {
  type Account,
  type Batch,
  type BatchResult,
  type Evidence,
  type Group,
  type GroupRef,
  type Member,
  type MemberEdit,
  type ProviderId,
  ROLES,
  type Role,
  type Snapshot,
} from "../../model.js";
import type {
  AccessFinding,
  AccessReport,
  AccountFinding,
  AccountKey,
  CallContext,
  Capabilities,
  GroupListing,
  GroupProvider,
  ProviderType,
} from "../../provider.js";
import {
  type BrainstemFlags,
  type BrainstemGroup,
  type BrainstemGroupApp,
  type BrainstemInvitation,
  type BrainstemInviteSpelling,
  type BrainstemListedGroup,
  type BrainstemPage,
  type BrainstemQuery,
  type BrainstemUser,
  type BrainstemUserChange,
  brainstemLimits,
  createBrainstemApi,
  DEFAULT_BASE_URL,
  findBrainstemUrlProblem,
  MAX_PAGE_SIZE,
} from "./api.js";

/**
 * Options of a BrainSTEM account.
 *
 * @see https://support.brainstem.org/api/
 */
export interface BrainstemProviderOptions extends ConnectionOptions {
  /** The key of this account in specs, plans and reports. @default "brainstem" */
  readonly id?: ProviderId;
  /**
   * A personal access token, made at `/private/users/tokens/` and shown once. It lives a year and longer while it is
   * used. Roles and names of a group take an owner's token, inviting and removing a manager's.
   */
  readonly token: string;
  /** Scheme and host, without `/api`. @default "https://www.brainstem.org" */
  readonly baseUrl?: string;
  /**
   * Where groups live in the address: the vendor's pages say `users`, its MATLAB client says `auth`. The other one is
   * tried when the list of groups is not there.
   * @default "users"
   */
  readonly groupApp?: BrainstemGroupApp;
  /**
   * How invitations are spelled in the address: `groupmembershipinvitation` (`joined`), as the vendor's pages have it,
   * or `group_membership_invitation` (`underscore`), as its Python client 2.0.0. The other one is tried when the list of
   * invitations is not there.
   * @default "joined"
   */
  readonly inviteSpelling?: BrainstemInviteSpelling;
  /**
   * The e-mail of the account that the token belongs to. BrainSTEM has no call that tells, so without this (and
   * without a token that names its user) the own account cannot be protected from being removed.
   */
  readonly account?: string;
}

const address = z.string().check((check) => {
  const problem = findBaseUrlProblem(check.value) ?? findBrainstemUrlProblem(check.value);
  if (problem) check.issues.push({ code: "custom", message: problem, input: check.value });
});

/** What a spec may say about a BrainSTEM account. Strict: an unknown key is an error. */
const brainstemOptionsSchema = z.strictObject({
  // A header can hold nothing else, and a line break in it would start another header.
  token: z
    .string()
    .regex(/^[\x21-\x7e]+$/, "a token is one word of printable ASCII characters")
    .describe("A personal access token, as ${NAME}; of an owner, where roles and names are managed."),
  baseUrl: address.optional().describe("Scheme and host, without /api. Default https://www.brainstem.org."),
  groupApp: z
    .enum(["users", "auth"])
    .optional()
    .describe("Where groups live in the address; the other one is tried too. Default users."),
  inviteSpelling: z
    .enum(["joined", "underscore"])
    .optional()
    .describe("How invitations are spelled in the address; the other way is tried too. Default joined."),
  account: z
    .string()
    .regex(/^\s*[^\s@]+@[^\s@]+\s*$/, "the account is an e-mail address")
    .optional()
    .describe("The e-mail of the account that the token belongs to; it is then never removed."),
  ...connectionShape,
});

const GROUP_PAGE = 'the vendor\'s page "Group"';
const PERMISSIONS_PAGE = 'the vendor\'s page "Permissions"';
const NO_CAP = `safe assumption: ${GROUP_PAGE} states no limit on entries of one change`;
const ROLE = {
  max: { value: null, source: `${GROUP_PAGE}: a flag of each member, no limit stated` },
  clearable: { value: true, source: `${GROUP_PAGE}: a flag that is sent as false is taken away` },
  guarded: { value: false, source: `${PERMISSIONS_PAGE}: any number of people hold a role; nobody has to succeed` },
} as const;

/** What BrainSTEM can do. Where nothing is documented, the value is the safe one and says so. */
export const brainstemCapabilities: Capabilities = {
  memberKey: { value: "e-mail address, lower case", source: `${GROUP_PAGE}: users by e-mail` },
  add: { accountsPerCall: { value: 100, source: NO_CAP }, groupsPerCall: { value: 1, source: GROUP_PAGE } },
  remove: { accountsPerCall: { value: 100, source: NO_CAP }, groupsPerCall: { value: 1, source: GROUP_PAGE } },
  mixed: { value: true, source: `${GROUP_PAGE}: one change holds flags and removals by e-mail` },
  maxMembers: { value: null, source: "nothing is documented" },
  roles: { manager: ROLE, owner: ROLE },
  groups: {
    create: { value: true, source: `${GROUP_PAGE}: any user; the caller becomes the owner` },
    membersOnCreate: { value: 0, source: `${GROUP_PAGE}: users named when creating are not added` },
    rename: { value: true, source: `${GROUP_PAGE}: owners` },
    delete: { value: true, source: GROUP_PAGE },
    description: { value: false, source: `${GROUP_PAGE}: a group has a name and users` },
    duplicateNames: {
      value: false,
      source: "safe assumption: Django's groups, which these seem to be, have unique names",
    },
    maxNameLength: { value: 150, source: "safe assumption: Django's own groups take 150 characters" },
  },
  lookup: {
    by: {
      value: ["email", "id"],
      source: 'the vendor\'s pages "User" and "API": users by id, filters by field; e-mails are unique',
    },
    pinsAreKeys: {
      value: false,
      source: "members are listed by e-mail; a pin may be the integer user id, which outlives a change of address",
    },
    idsAreLowerCase: {
      value: true,
      source: "e-mail addresses are compared lower-cased (a safe assumption), ids are numbers",
    },
    keysPerCall: {
      value: 50,
      source: "safe assumption: fifty addresses keep the request line below 8 KB; a refusal is asked again one by one",
    },
  },
  invitations: { value: true, source: `${GROUP_PAGE}: a new user is invited and joins by accepting` },
  versions: { value: false, source: `${GROUP_PAGE}: no version and no precondition` },
  consistencyMs: { value: 5_000, source: "safe assumption: nothing is documented" },
  pageSize: {
    groups: { value: MAX_PAGE_SIZE, source: 'the vendor\'s page "API": limit up to 100' },
    members: { value: null, source: `${GROUP_PAGE}: all members come in one record` },
  },
  ...brainstemLimits,
};

/** Pages of this many rows come when nothing is asked for. Source: the page "API". */
const DEFAULT_PAGE_SIZE = 20;

/** How often a list that moved while it was read is read in all. */
const LIST_READINGS = 3;

/** Every pending invitation that the token sees, and whether that is all of them. */
interface Invitations {
  readonly rows: readonly BrainstemInvitation[];
  readonly evidence: Pick<Evidence, "complete" | "because" | "weak">;
}

/** Makes a provider of one BrainSTEM account. Throws `options-invalid`; sends nothing. */
export function createBrainstemProvider(options: BrainstemProviderOptions): GroupProvider {
  const { id = "brainstem", ...settings } = options;
  const checked = brainstemOptionsSchema.safeParse(settings);
  if (!checked.success) {
    const problems = checked.error.issues.map((issue) => [...issue.path, issue.message].join(": "));
    throw new GroupSyncError("options-invalid", `${id}: ${problems.join("; ")}`, { provider: id });
  }
  const { account, ...connection } = settings;
  const api = createBrainstemApi({ ...connection, provider: id });
  const host = (settings.baseUrl ?? DEFAULT_BASE_URL).replace(/^https?:\/\/|\/+$/g, "");
  let ownAccount = account === undefined ? undefined : normalizeEmail(account);
  /** The members of each group as the service showed them last. */
  const lastSeen = new Map<string, ReadonlyMap<string, Member>>();
  /** Rows of invitations that members of a group still have: group, then account, then the ids. */
  const rowsOfMembers = new Map<string, ReadonlyMap<string, readonly string[]>>();
  /** E-mails as the service spells them in profiles. */
  const spellings = new Map<string, string>();
  /** Filters over many values that the service has not refused or ignored so far. */
  const bulkFilters = new Set(["id.in", "email.in"]);
  let filtersWithoutCase = true;
  /** Rows that the service refused to cancel: they were answered, and stay listed all the same. */
  const answeredInvitations = new Set<string>();
  /** Moves on with everything that may change the list of invitations, so that an older reading is not used again. */
  let invitationsEpoch = 0;
  /** How many pages the list of groups had when it was read last. */
  let listedPages = 1;

  async function checkAccess(context: CallContext, extent: "identity" | "all" = "all"): Promise<AccessReport> {
    // Read now, and not with the first group, so that the list of groups comes after them; see `readGroups`.
    if (extent === "identity") await readInvitations(context);
    const findings: AccessFinding[] = [
      ...(extent === "all" ? [await checkGroups(context), await checkInvitations(context)] : []),
      ...(await checkOwnAccount(context)),
    ];
    const who = ownAccount ?? "an account that the token does not name";
    return {
      identity: `BrainSTEM at ${host}, as ${who}`,
      ...(ownAccount !== undefined && { ownAccount }),
      findings,
    };
  }

  async function checkGroups(context: CallContext): Promise<AccessFinding> {
    const configured = api.groupApp();
    try {
      await api.listGroups({ limit: 1, perPage: 1 }, context);
    } catch (error) {
      if (!isGroupSyncError(error, "forbidden")) throw error;
      return { level: "error", message: "Groups cannot be read (403), though any token should be able to." };
    }
    const found = api.groupApp();
    return found === configured
      ? { level: "ok", message: "The token is good, and groups can be read." }
      : {
          level: "warning",
          message: `Groups can be read, but under ${found}/group/ and not under ${configured}/group/; set groupApp: ${found}.`,
        };
  }

  async function checkInvitations(context: CallContext): Promise<AccessFinding> {
    const configured = api.inviteSpelling();
    try {
      await api.listInvitations({ limit: 1, perPage: 1 }, context);
      const found = api.inviteSpelling();
      return found === configured
        ? { level: "ok", message: "Pending invitations can be read." }
        : {
            level: "warning",
            message: `Pending invitations can be read, but not in the spelling that was expected; set inviteSpelling: ${found}.`,
          };
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return {
        level: "error",
        message: `Pending invitations cannot be read (${error.facts.status}). Without them nobody is invited, because it could be for the second time, and nobody is removed.`,
      };
    }
  }

  async function checkOwnAccount(context: CallContext): Promise<readonly AccessFinding[]> {
    const user = await readOwnUser(context);
    const email = user?.email ? normalizeEmail(user.email) : undefined;
    if (!user || email === undefined) {
      return [
        account === undefined
          ? {
              level: "warning",
              message:
                "Whose token this is cannot be read: BrainSTEM has no call that tells. Set `account` to its e-mail, so that the own account is never removed from a group.",
            }
          : { level: "error", message: `No user has the e-mail ${account.trim()} that is set as \`account\`.` },
      ];
    }
    const findings: AccessFinding[] = [];
    if (account !== undefined && email !== normalizeEmail(account)) {
      findings.push({
        level: "error",
        message: `The token belongs to ${email}, but \`account\` is set to ${account.trim()}.`,
      });
    }
    ownAccount = email;
    const owned = user.groups_own_json ?? [];
    const names = owned.map(({ name }) => name);
    findings.push(
      owned.length > 0
        ? {
            level: "ok",
            message: `${email} owns ${describeNames(names)}: names and roles can be changed there; elsewhere people can be invited and removed where ${email} is a manager.`,
          }
        : {
            level: "warning",
            message: `${email} owns no group. It can create groups, and invite and remove plain members where it is a manager; names and roles of other groups it cannot change.`,
          },
    );
    return findings;
  }

  /** The user whom the token names, else the one whom the options name. */
  async function readOwnUser(context: CallContext): Promise<BrainstemUser | undefined> {
    const named = readTokenUser(settings.token);
    if (named !== undefined) {
      const user = (await readUsers([named], context)).get(named);
      if (user) return user;
    }
    return account === undefined ? undefined : (await findUsers([account], context)).get(normalizeEmail(account))?.[0];
  }

  async function listGroups(context: CallContext): Promise<GroupListing> {
    const pass = await passOf(context);
    const isAfterInvitations = pass.hasInvitations;
    const walk = await walkList((query) => api.listGroups(query, context));
    listedPages = walk.pages;
    pass.records = isAfterInvitations ? walk.rows : undefined;
    return { groups: walk.rows.map(describeGroup), evidence: proveList(walk, "groups") };
  }

  /** What this pass has read so far. */
  function passOf(
    context: CallContext,
  ): Promise<{ hasInvitations: boolean; records?: readonly BrainstemListedGroup[] | undefined }> {
    return context.once(`${id}: pass`, async () => ({ hasInvitations: false }));
  }

  /**
   * The list of groups holds the very records, members and all, that are read one by one otherwise. It serves where it
   * was read after the invitations; which comes first matters, see `readGroup`.
   */
  async function readGroups(
    groupIds: readonly string[],
    context: CallContext,
    onRead?: (done: number) => void,
  ): Promise<readonly PromiseSettledResult<Snapshot>[]> {
    await readInvitations(context);
    const pass = await passOf(context);
    if (!pass.records && listedPages < groupIds.length) await listGroups(context);
    const records = new Map((pass.records ?? []).map((record) => [record.id, record]));
    return readEach(
      groupIds,
      brainstemCapabilities.inFlight.reads.value,
      (groupId) => {
        const record = records.get(groupId);
        return record?.users
          ? describeRecord({ ...record, users: record.users }, context)
          : readGroup(groupId, context);
      },
      onRead,
    );
  }

  async function readGroup(groupId: string, context: CallContext): Promise<Snapshot> {
    // Invitations first: who accepts in between is then seen as a member. The other way round they would be in neither.
    await readInvitations(context);
    return describeRecord(await readRecord(groupId, context), context);
  }

  async function describeRecord(record: BrainstemGroup, context: CallContext): Promise<Snapshot> {
    const groupId = record.id;
    const invitations = await readInvitations(context);
    const { members, collisions } = describeMembers(record.users);
    lastSeen.set(groupId, new Map(members.map((member) => [member.account, member])));
    const invited = await readInvited(groupId, invitations, context);
    const present = new Set(members.map((member) => member.account));
    const open = invited.filter((person) => rowsOf(person).some((row) => !answeredInvitations.has(row)));
    const pending = open.filter(({ account }) => !present.has(account));
    const kept = open.filter(({ account }) => present.has(account));
    rowsOfMembers.set(groupId, new Map(kept.map((person) => [person.account, rowsOf(person)])));
    return {
      group: describeGroup(record),
      members: [...members, ...pending],
      evidence: describeReading(members.length, pending.length, collisions, invitations),
    };
  }

  async function readRecord(groupId: string, context: CallContext): Promise<BrainstemGroup> {
    const app = api.groupApp();
    try {
      return await readExactRecord(groupId, context);
    } catch (error) {
      if (!isGroupSyncError(error, "not-found")) throw error;
      // A 404 is about the group only where the list of groups is; asking for the list may move us to where it is.
      await context.once(`${id}: list of groups`, () => api.listGroups({ limit: 1, perPage: 1 }, context));
      if (api.groupApp() === app) throw error;
      return readExactRecord(groupId, context);
    }
  }

  async function readExactRecord(groupId: string, context: CallContext): Promise<BrainstemGroup> {
    const group = await api.getGroup(groupId, context);
    if (group.id === groupId) return group;
    throw new GroupSyncError("bad-answer", `${id} was asked for group ${groupId} and answered group ${group.id}.`, {
      provider: id,
      operation: "getGroup",
    });
  }

  /** The list serves all groups of a pass, until we write something that changes it. */
  function readInvitations(context: CallContext): Promise<Invitations> {
    return context.once(`${id}: invitations ${invitationsEpoch}`, async () => {
      const pass = await passOf(context);
      pass.hasInvitations = false;
      pass.records = undefined;
      try {
        for (let reading = 1; ; reading++) {
          const walk = await walkList((query) => api.listInvitations(query, context));
          const evidence = proveList(walk, "invitations");
          if (evidence.moved && reading < LIST_READINGS) continue;
          pass.hasInvitations = true;
          return { rows: walk.rows, evidence };
        }
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        return { rows: [], evidence: { complete: false, because: `it is answered with ${error.facts.status}` } };
      }
    });
  }

  /**
   * People with an invitation into the group. Rows have no state: who is not a member is taken for pending, and a row of
   * a member for one that was answered, until the member is removed.
   */
  async function readInvited(groupId: string, { rows }: Invitations, context: CallContext): Promise<readonly Member[]> {
    const ours = rows.filter((row) => row.authgroup === groupId);
    const users = await readUsers([...new Set(ours.map((row) => row.user_account_invitation))], context);
    const invited = new Map<string, Member>();
    for (const row of ours) {
      const user = users.get(row.user_account_invitation);
      // An invitation of a deleted account can still be withdrawn; there is no address to call it by.
      const account = user?.email ? normalizeEmail(user.email) : row.user_account_invitation;
      const known = invited.get(account);
      const role = roleOf({ is_manager: row.new_manager, is_owner: row.new_owner });
      invited.set(account, {
        account,
        role: known ? higherRole(known.role, role) : role,
        direct: true,
        state: "pending",
        ...(user && describePerson(user)),
        // Someone may have been invited twice; both are withdrawn together.
        invitation: known?.invitation === undefined ? row.id : `${known.invitation},${row.id}`,
      });
    }
    return [...invited.values()];
  }

  /** Users by id; who is missing does not exist. Each is read once per pass. */
  async function readUsers(
    ids: readonly string[],
    context: CallContext,
  ): Promise<ReadonlyMap<string, BrainstemUser | undefined>> {
    const known = await context.once(`${id}: users by id`, async () => new Map<string, BrainstemUser | undefined>());
    const wanted = ids.filter((userId) => !known.has(userId));
    const numbers = wanted.filter((userId) => /^\d+$/.test(userId));
    for (const user of await askInBulk("id.in", numbers, (candidate) => candidate.id, context)) {
      known.set(user.id, user);
    }
    await Promise.all(
      wanted
        .filter((userId) => !known.has(userId))
        .map(async (userId) => known.set(userId, await readUser(userId, context))),
    );
    return known;
  }

  async function readUser(userId: string, context: CallContext): Promise<BrainstemUser | undefined> {
    try {
      const user = await api.getUser(userId, context);
      if (user.id === userId) return user;
    } catch (error) {
      if (isGroupSyncError(error, "not-found")) return undefined;
      throw error;
    }
    throw new GroupSyncError("bad-answer", `${id} was asked for user ${userId} and answered another one.`, {
      provider: id,
      operation: "getUser",
    });
  }

  /**
   * The users with any of these values, as far as the service finds them so. Such filters are not documented, so
   * nothing is concluded from who is missing; a filter that is refused or ignored is not used again.
   */
  async function askInBulk(
    filter: string,
    values: readonly string[],
    keyOf: (user: BrainstemUser) => string,
    context: CallContext,
  ): Promise<readonly BrainstemUser[]> {
    const found = new Map<string, BrainstemUser>();
    const keys = new Set(values.map(normalizeEmail));
    // A single one is asked for by itself, which is documented.
    if (keys.size < 2) return [];
    for (const piece of chunk(values, brainstemCapabilities.lookup.keysPerCall.value)) {
      if (!bulkFilters.has(filter)) break;
      try {
        const { rows } = await askUsers({ [filter]: piece }, context);
        const asked = rows.filter((user) => keys.has(keyOf(user)));
        if (asked.length < rows.length) bulkFilters.delete(filter);
        for (const user of asked) found.set(user.id, user);
      } catch (error) {
        if (!isGroupSyncError(error, "refused")) throw error;
        bulkFilters.delete(filter);
      }
    }
    return [...found.values()];
  }

  async function findAccounts(keys: readonly AccountKey[], context: CallContext): Promise<readonly AccountFinding[]> {
    const isAddress = ({ by, value }: AccountKey) => by === "email" || value.includes("@");
    const addresses = keys.filter(isAddress).map(({ value }) => value);
    const userIds = keys.filter((key) => !isAddress(key)).map(({ value }) => value.trim());
    const byEmail = await findUsers(addresses, context);
    const byId = await readUsers([...new Set(userIds)], context);
    return keys.map((key) => {
      const one = byId.get(key.value.trim());
      const users = isAddress(key) ? (byEmail.get(normalizeEmail(key.value)) ?? []) : one ? [one] : [];
      return { key, accounts: users.map(describeAccount) };
    });
  }

  /** Users by e-mail, compared without regard to case. More than one for an address: it is ambiguous. */
  async function findUsers(
    addresses: readonly string[],
    context: CallContext,
  ): Promise<ReadonlyMap<string, readonly BrainstemUser[]>> {
    // As given and in lower case: whether the service minds the case is not known.
    const given = new Map(addresses.map((value) => [normalizeEmail(value), value.trim()]));
    given.delete("");
    const spelled = [...new Set([...given].flat())].filter((value) => !value.includes(","));
    const keyOf = (user: BrainstemUser) => normalizeEmail(user.email ?? "");
    const found = groupBy(await askInBulk("email.in", spelled, keyOf, context), keyOf);
    await Promise.all(
      [...given]
        .filter(([key]) => !found.has(key))
        .map(async ([key, value]) => found.set(key, [...(await findUsersByAddress(value, context))])),
    );
    for (const [key, [first]] of found) if (first?.email) spellings.set(key, first.email.trim());
    return found;
  }

  async function findUsersByAddress(value: string, context: CallContext): Promise<readonly BrainstemUser[]> {
    const key = normalizeEmail(value);
    const exact = [...new Set([value, key])].map((email) => ({ email }));
    const filters = filtersWithoutCase ? [{ "email.iexact": value }] : exact;
    for (const filter of filters) {
      let rows: readonly BrainstemUser[];
      try {
        ({ rows } = await askUsers(filter, context));
      } catch (error) {
        if (!filtersWithoutCase || !isGroupSyncError(error, "refused")) throw error;
        // Only the Python client's page lists `iexact`.
        filtersWithoutCase = false;
        return findUsersByAddress(value, context);
      }
      const matches = rows.filter((user) => normalizeEmail(user.email ?? "") === key);
      if (matches.length > 0) return matches;
      if (rows.length > 0) {
        throw new GroupSyncError("bad-answer", `${id} was asked for one e-mail and answered other users.`, {
          provider: id,
          operation: "listUsers",
          hint: "The service ignores the filter, so nobody can be found by e-mail; pin user ids instead.",
        });
      }
    }
    return [];
  }

  async function askUsers(
    filters: NonNullable<BrainstemQuery["filters"]>,
    context: CallContext,
  ): Promise<BrainstemPage<BrainstemUser>> {
    try {
      return await api.listUsers({ filters, ...pageQuery(0, 0) }, context);
    } catch (error) {
      if (!isGroupSyncError(error, "not-found")) throw error;
      throw new GroupSyncError("unavailable", `${id} has no list of users, so nobody can be looked up.`, {
        ...error.facts,
        hint: "Check baseUrl: nothing can be concluded from a 404 there.",
      });
    }
  }

  async function applyBatch(batch: Batch, context: CallContext): Promise<BatchResult> {
    switch (batch.kind) {
      case "group.create": {
        if (batch.add.length > 0) throw unsupported("a new group takes no members; add them afterwards");
        return describeWritten(await api.createGroup(checkName(batch), context));
      }
      case "group.update":
        return describeWritten(await api.updateGroup(batch.group.id, { name: checkName(batch) }, context));
      case "group.delete":
        await api.deleteGroup(batch.group.id, context);
        return {};
      case "members":
        break;
    }
    return applyMembers(batch, context);
  }

  async function applyMembers(
    batch: Extract<Batch, { readonly kind: "members" }>,
    context: CallContext,
  ): Promise<BatchResult> {
    const [group, second] = batch.groups;
    if (!group || second) throw unsupported("a change concerns exactly one group");
    const withdrawn = batch.remove.flatMap(rowsOf);
    const removed = batch.remove.filter(({ invitation }) => invitation === undefined);
    checkEdits(batch.add, batch.update, removed);
    if (withdrawn.includes("")) throw unsupported("an invitation without an id cannot be withdrawn");
    checkOwners(group, batch.update, removed);
    const invited = await leaveOutInvited(group, batch.add, context);
    const leftOver = removed.flatMap((edit) => rowsOfMembers.get(group.id)?.get(normalizeEmail(edit.account)) ?? []);
    if (batch.add.length > 0 || withdrawn.length > 0 || leftOver.length > 0) invitationsEpoch++;
    // Promotions first: should the service go through the entries one by one, there is an owner at every moment.
    const updated = batch.update.toSorted((left, right) => ROLES.indexOf(right.role) - ROLES.indexOf(left.role));
    const entries = [
      ...[...updated, ...invited].map((edit) => [spell(group, edit), flagsOf(edit.role)] as const),
      ...removed.map((edit) => [spell(group, edit), { remove: true }] as const),
    ];
    const users: Record<string, BrainstemUserChange> = Object.fromEntries(entries);
    const written = entries.length > 0 ? await api.updateGroup(group.id, { users }, context) : undefined;
    for (const invitation of withdrawn) await withdraw(invitation, context);
    for (const invitation of leftOver) await tidy(invitation, context);
    return written ? describeWritten(written) : {};
  }

  async function withdraw(invitation: string, context: CallContext): Promise<void> {
    try {
      await api.cancelInvitation(invitation, context);
    } catch (error) {
      // Answered or withdrawn by somebody else since it was read; which of the two, the next reading shows.
      if (isGroupSyncError(error, "not-found")) return;
      // An answered row may stay listed, and rows have no state: that it cannot be cancelled is what tells.
      if (!(isGroupSyncError(error, "refused") && error.facts.status === 400)) throw error;
      answeredInvitations.add(invitation);
    }
  }

  /**
   * Withdraws what is left of the invitation of somebody who was just removed: open, it would let them back in, and
   * answered, it would make them look invited. Where that fails, the removal stands, and the next reading shows the row.
   */
  async function tidy(invitation: string, context: CallContext): Promise<void> {
    try {
      await withdraw(invitation, context);
    } catch (error) {
      if (!(error instanceof GroupSyncError)) throw error;
    }
  }

  /** Who has an invitation is not sent another one. Throws when it is not known who has. */
  async function leaveOutInvited(
    group: GroupRef,
    add: readonly MemberEdit[],
    context: CallContext,
  ): Promise<readonly MemberEdit[]> {
    if (add.length === 0) return [];
    const invitations = await readInvitations(context);
    if (!invitations.evidence.complete) {
      throw new GroupSyncError(
        "unavailable",
        `${id}: the list of invitations could not be read whole: ${invitations.evidence.because}. Nobody is invited, because it could be for the second time.`,
        { provider: id, operation: "listInvitations" },
      );
    }
    const listed = await readInvited(group.id, invitations, context);
    const accounts = new Set(listed.map((member) => member.account));
    return add.filter((edit) => !accounts.has(normalizeEmail(edit.account)));
  }

  function checkEdits(add: readonly MemberEdit[], update: readonly MemberEdit[], remove: readonly MemberEdit[]): void {
    const edits = [...add, ...update, ...remove];
    if ([...add, ...update].some(({ invitation }) => invitation !== undefined)) {
      throw unsupported("an invitation cannot be changed; it can be withdrawn, and sent anew");
    }
    const stranger = edits.find((edit) => !/^[^\s@]+@[^\s@]+$/.test(normalizeEmail(edit.account)));
    if (stranger) {
      throw new GroupSyncError(
        "options-invalid",
        `${id}: ${JSON.stringify(stranger.account)} is not an e-mail address, by which BrainSTEM names members. Nothing was sent.`,
        { provider: id },
      );
    }
    if (new Set(edits.map((edit) => normalizeEmail(edit.account))).size < edits.length) {
      throw unsupported("one person cannot be changed twice in one call");
    }
    const most = brainstemCapabilities.add.accountsPerCall.value;
    if (edits.length > most) throw unsupported(`${edits.length} people are too many for one call; it takes ${most}`);
  }

  /** What becomes of a group whose last owner leaves, or of a token that removes itself, is documented nowhere. */
  function checkOwners(group: GroupRef, update: readonly MemberEdit[], remove: readonly MemberEdit[]): void {
    const removed = new Set(remove.map((edit) => normalizeEmail(edit.account)));
    if (ownAccount !== undefined && removed.has(ownAccount)) {
      throw unsupported(`${ownAccount} is the account of the token and would remove itself`);
    }
    const roles = new Map([...(lastSeen.get(group.id) ?? [])].map(([account, { role }]) => [account, role]));
    const isOwned = () => [...roles.values()].includes("owner");
    if (!isOwned()) return;
    for (const edit of update) roles.set(normalizeEmail(edit.account), edit.role);
    for (const gone of removed) roles.delete(gone);
    if (!isOwned()) throw unsupported(`"${group.name}" would be left without an owner; make somebody else one first`);
  }

  function spell(group: GroupRef, edit: MemberEdit): string {
    const key = normalizeEmail(edit.account);
    return lastSeen.get(group.id)?.get(key)?.email ?? spellings.get(key) ?? key;
  }

  function describeWritten(record: BrainstemListedGroup): BatchResult {
    if (!record.users) return { group: describeGroup(record) };
    const { members } = describeMembers(record.users);
    lastSeen.set(record.id, new Map(members.map((member) => [member.account, member])));
    return { group: describeGroup(record), members };
  }

  function checkName(batch: { readonly name?: string; readonly description?: string }): string {
    if (batch.description !== undefined) throw unsupported("a group has no description");
    if (batch.name === undefined || batch.name.trim() === "") {
      throw new GroupSyncError("options-invalid", `${id}: a group needs a name.`, { provider: id });
    }
    return batch.name;
  }

  function unsupported(why: string): GroupSyncError {
    return new GroupSyncError("unsupported", `${id} cannot do that: ${why}. Nothing was sent.`, { provider: id });
  }

  return nameErrors({
    id,
    type: "brainstem",
    capabilities: brainstemCapabilities,
    checkAccess,
    listGroups,
    readGroup,
    readGroups,
    findAccounts,
    applyBatch,
  });
}

/** BrainSTEM as the spec names it. */
export const brainstemProviderType: ProviderType = {
  type: "brainstem",
  label: "BrainSTEM",
  options: brainstemOptionsSchema,
  secretOptions: ["token"],
  capabilities: brainstemCapabilities,
  create: (id, options) => createBrainstemProvider({ ...(options as BrainstemProviderOptions), id }),
};

/** How addresses are compared. Whether BrainSTEM itself minds the case is not known. */
function normalizeEmail(email: string): string {
  return email.trim().toLowerCase();
}

function describeGroup(group: BrainstemListedGroup): Group {
  return { id: group.id, name: group.name, kind: "plain" };
}

/** Members by normalised address; two spellings of one are listed once, with the higher role, and reported. */
function describeMembers(users: BrainstemGroup["users"]): {
  readonly members: readonly Member[];
  readonly collisions: readonly string[];
} {
  const members = new Map<string, Member>();
  const collisions: string[] = [];
  for (const [email, flags] of Object.entries(users)) {
    const account = normalizeEmail(email);
    const known = members.get(account);
    if (known) collisions.push(`${known.email} and ${email}`);
    const role = roleOf(flags);
    members.set(account, {
      account,
      role: known ? higherRole(known.role, role) : role,
      direct: true,
      state: "active",
      email: known?.email ?? email,
    });
  }
  return { members: [...members.values()], collisions };
}

function describeAccount(user: BrainstemUser): Account {
  const person = describePerson(user);
  const email = person.email;
  return email === undefined
    ? {
        id: user.id,
        ...person,
        status: "active",
        eligible: false,
        note: "the profile shows no e-mail, by which members are named there",
      }
    : { id: normalizeEmail(email), userId: user.id, ...person, status: "active", eligible: true };
}

function describePerson(user: BrainstemUser): { readonly email?: string; readonly name?: string } {
  const name = [user.first_name, user.last_name].filter(Boolean).join(" ");
  const email = user.email?.trim();
  return { ...(email && { email }), ...(name && { name }) };
}

function roleOf(flags: {
  readonly is_manager?: boolean | null | undefined;
  readonly is_owner?: boolean | null | undefined;
}): Role {
  if (flags.is_owner) return "owner";
  return flags.is_manager ? "manager" : "member";
}

/** Both flags, always: one that is missing becomes false. Whether an owner is a manager by that alone is not known. */
function flagsOf(role: Role): BrainstemFlags {
  return { is_manager: role !== "member", is_owner: role === "owner" };
}

function higherRole(left: Role, right: Role): Role {
  return ROLES.indexOf(left) > ROLES.indexOf(right) ? left : right;
}

function describeReading(
  present: number,
  pending: number,
  collisions: readonly string[],
  { evidence }: Invitations,
): Evidence {
  const facts = { pages: 1, counted: present, duplicates: collisions.length };
  if (collisions.length > 0) {
    return {
      ...facts,
      complete: false,
      because: `the group lists one address in two spellings (${collisions.join("; ")}), so it is not clear who is meant`,
    };
  }
  if (!evidence.complete) {
    return {
      ...facts,
      complete: false,
      because: `all ${present} members come in one record, but the list of invitations could not be read whole: ${evidence.because}`,
    };
  }
  return {
    ...facts,
    complete: true,
    ...(evidence.weak && { weak: true }),
    because: `all ${present} members come in one record, and ${pending} are invited (${evidence.because})`,
  };
}

function describeNames(names: readonly string[]): string {
  const [first, second, third] = names;
  const shown = [first, second, third].filter((name) => name !== undefined).map((name) => JSON.stringify(name));
  return names.length > 3 ? `${names.length} groups (${shown.join(", ")} …)` : shown.join(", ");
}

/** The invitations of one person; somebody may have been invited twice. */
function rowsOf({ invitation }: { readonly invitation?: string | undefined }): readonly string[] {
  return invitation?.split(",") ?? [];
}

/** A list that the service does not show us, in contrast to one that it failed to show. */
function isUnreadable(error: unknown): error is GroupSyncError {
  return isGroupSyncError(error, "forbidden") || isGroupSyncError(error, "not-found");
}

const claimsSchema = z.object({ user_id: z.union([z.int(), z.string().regex(/^\d+$/)]).transform(String) });

/**
 * The user that a token names, if it is one that names anybody: BrainSTEM's tokens have been JWTs since October 2025,
 * and simplejwt puts the user's id into `user_id`. It is our own token, so there is no signature to check.
 */
function readTokenUser(token: string): string | undefined {
  const [, claims, signature] = token.split(".");
  if (claims === undefined || signature === undefined) return undefined;
  try {
    const parsed = claimsSchema.safeParse(JSON.parse(Buffer.from(claims, "base64url").toString("utf8")));
    return parsed.success ? parsed.data.user_id : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Both ways of asking for a page: the vendor's pages document `limit` and `offset`, the library beneath knows `page`
 * and `per_page`, and it is not known which of them is listened to. The offset counts the rows received, because the
 * service may give shorter pages than asked for.
 */
function pageQuery(index: number, received: number): BrainstemQuery {
  return { sort: ["id"], limit: MAX_PAGE_SIZE, offset: received, page: index + 1, perPage: MAX_PAGE_SIZE };
}

function walkList<Row extends { readonly id: string }>(
  readPage: (query: BrainstemQuery) => Promise<BrainstemPage<Row>>,
): Promise<Walk<Row>> {
  return walkPages(
    async ({ index, received }) => {
      try {
        const { rows, total, page, perPage, totalPages } = await readPage(pageQuery(index, received));
        // A total says more than page numbers, which may be counted by another page size than the one granted.
        if (total !== undefined) return { rows, total };
        const isLast = page !== undefined && totalPages !== undefined && page >= totalPages;
        return { rows, last: isLast || (perPage !== undefined && rows.length < perPage) };
      } catch (error) {
        // Behind the end the library beneath answers 404 ("Invalid page").
        if (index === 0 || !isGroupSyncError(error, "not-found")) throw error;
        return { rows: [] };
      }
    },
    (row) => row.id,
  );
}

/**
 * The verdict on a list. With a total: the total. Without: complete when it is so short that paging does not come
 * into it, weakly so when the service turned the pages and ended the list itself; but when it gives the same page
 * again and again, nothing says what is behind it.
 */
function proveList<Row>(walk: Walk<Row>, what: string): Evidence {
  const facts = {
    pages: walk.pages,
    counted: walk.rows.length,
    duplicates: walk.duplicates,
    ...(walk.declared !== undefined && { declared: walk.declared }),
  };
  const repeats = walk.ended === "nothing-new" && !walk.totalMoved;
  if (walk.declared !== undefined && !repeats) return proveByTotal(walk, what);
  if (walk.declared === undefined && walk.rows.length < DEFAULT_PAGE_SIZE) {
    return {
      ...facts,
      complete: true,
      because: `${walk.rows.length} ${what}, fewer than one page of ${DEFAULT_PAGE_SIZE}, and asking on brought nothing new`,
    };
  }
  if (repeats) {
    return {
      ...facts,
      complete: false,
      because: `a page repeated the ${what} of another one, so the service ignores paging and ${walk.rows.length} may not be all`,
    };
  }
  if (walk.duplicates > 0) {
    return { ...facts, complete: false, moved: true, because: `${walk.duplicates} of the ${what} came more than once` };
  }
  return {
    ...facts,
    complete: true,
    weak: true,
    because: `no total of ${what} is declared, but the service ended the list after ${walk.rows.length}`,
  };
}
