/** ONLYOFFICE DocSpace as a provider: portal groups with members and at most one manager. */
import { z } from "zod";
import { groupBy } from "../../collections.js";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { findBaseUrlProblem } from "../../http/client.js";
import { readEach } from "../../http/many.js";
import { nameErrors } from "../../http/named.js";
import { type ConnectionOptions, connectionShape } from "../../http/options.js";
import { type PagePosition, proveByTotal, type Walk, walkPages } from "../../http/paginate.js";
import type {
  Account,
  Batch,
  BatchResult,
  Evidence,
  Group,
  Member,
  MemberEdit,
  ProviderId,
  Snapshot,
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
  createDocspaceApi,
  type DocspaceGroup,
  type DocspaceGroupUpdate,
  type DocspaceKey,
  type DocspacePerson,
  type DocspacePeopleFilter,
  docspaceLimits,
  docspaceSortOrder,
  docspaceStatus,
  findCredentialProblem,
} from "./api.js";

/**
 * Where the portal is and as whom to act: `apiKey`, or `token`, or `userName` with `password`, one of them.
 * https://api.onlyoffice.com/docspace/api-backend/get-started/authentication/api-keys
 */
export interface DocspaceOptions extends ConnectionOptions {
  /** The portal's address without `/api/2.0`, such as `https://acme.onlyoffice.com`. Plain http for loopback only. */
  readonly baseUrl: string;
  /** An API key (`sk-…`) of a DocSpace admin with the scopes `accounts:read` and `accounts:write`. */
  readonly apiKey?: string;
  /** A log-in or OAuth 2.0 token of a DocSpace admin. Log-in tokens run out; an API key lasts. */
  readonly token?: string;
  /** The e-mail address of a DocSpace admin to log in as. Does not work with two-factor log-in. */
  readonly userName?: string;
  readonly password?: string;
}

/** The options as a spec gives them: strict, so that a misspelt key is an error. */
const docspaceOptionsSchema = z
  .strictObject({
    baseUrl: z
      .string()
      .superRefine((baseUrl, refinement) => {
        const problem =
          findBaseUrlProblem(baseUrl) ??
          (/\/api\/2\.0\/*$/.test(baseUrl)
            ? "the address should end before /api/2.0, which is added to it."
            : undefined);
        if (problem) refinement.addIssue({ code: "custom", message: problem });
      })
      .describe("The portal's address, such as https://acme.onlyoffice.com, without /api/2.0."),
    apiKey: z
      .string()
      .optional()
      .describe("An API key (sk-…) of a DocSpace admin with accounts:read and accounts:write, as ${NAME}."),
    token: z
      .string()
      .optional()
      .describe("A log-in or OAuth 2.0 token, instead of an API key, as ${NAME}. It runs out."),
    userName: z.string().optional().describe("The e-mail address to log in with, instead of an API key."),
    password: z.string().optional().describe("The password to `userName`, as ${NAME}."),
    ...connectionShape,
  })
  .superRefine((options, refinement) => {
    const problem = findCredentialProblem(options);
    if (problem) refinement.addIssue({ code: "custom", message: problem });
  });

const MAX_ACCOUNTS_PER_CALL = 100;
/** Keys that one look-up takes: enough to see whether listing everybody is cheaper. */
const MAX_KEYS = 10_000;
const ADDRESSES_PER_FILTER = 20;
/** Up to so many filters are asked without a look at the length of the list. */
const FEW_FILTERS = 3;
const PAGE_SIZE = 100;
const MAX_NAME_LENGTH = 128;

const SERVER = "DocSpace-server v3.7.2";

/** What DocSpace can do, with a source for each value. */
export const docspaceCapabilities: Capabilities = {
  memberKey: { value: "user id (GUID)", source: `${SERVER}, group request objects: members are GUIDs` },
  add: {
    accountsPerCall: {
      value: MAX_ACCOUNTS_PER_CALL,
      source: `${SERVER} has no cap, but saves each id on its own; 100 keeps a call well below the proxy's 60 s (a safe assumption)`,
    },
    groupsPerCall: { value: 1, source: `${SERVER}: PUT /group/{id} names one group` },
  },
  remove: {
    accountsPerCall: {
      value: MAX_ACCOUNTS_PER_CALL,
      source: `${SERVER} has no cap, but saves each id on its own; 100 keeps a call well below the proxy's 60 s (a safe assumption)`,
    },
    groupsPerCall: { value: 1, source: `${SERVER}: PUT /group/{id} names one group` },
  },
  mixed: { value: true, source: `${SERVER}: PUT /group/{id} takes groupManager, membersToAdd and membersToRemove` },
  maxMembers: { value: null, source: `${SERVER}: no limit in code` },
  roles: {
    manager: {
      max: { value: 1, source: `${SERVER}: a group has one manager; setting another replaces the one before` },
      clearable: {
        value: false,
        source: "DocSpace-client @ 4b8d3aa: no endpoint clears a manager; taking the person out and back in does",
      },
      guarded: {
        value: true,
        source: "follows from clearable: without a successor the person is out of the group between two calls",
      },
    },
  },
  groups: {
    create: { value: true, source: "api.onlyoffice.com, Manage groups: POST /group" },
    membersOnCreate: {
      value: MAX_ACCOUNTS_PER_CALL,
      source: `api.onlyoffice.com, Manage groups: POST /group takes members and groupManager; no cap in ${SERVER}, 100 as for additions`,
    },
    rename: { value: true, source: "api.onlyoffice.com, Manage groups: PUT /group/{id} with groupName" },
    delete: { value: true, source: "api.onlyoffice.com, Manage groups: DELETE /group/{id}; revokes shares for good" },
    description: { value: false, source: `${SERVER}, GroupDto: no description` },
    duplicateNames: { value: true, source: `${SERVER}, GroupsController: names are not unique` },
    maxNameLength: { value: MAX_NAME_LENGTH, source: `${SERVER}, group request objects: groupName 1 to 128` },
  },
  lookup: {
    by: { value: ["email", "id"], source: `${SERVER}: GET /people/email, GET /people/{userid}` },
    pinsAreKeys: { value: true, source: "members are listed by user id" },
    idsAreLowerCase: { value: true, source: "DocSpace server v3.7.2: ids are GUIDs and come back lower-case" },
    keysPerCall: {
      value: MAX_KEYS,
      source: `a choice: addresses go ${ADDRESSES_PER_FILTER} to a filter, which keeps the address line short, or are matched against the list of everybody where that takes fewer calls`,
    },
  },
  invitations: { value: false, source: `${SERVER}: someone invited to the portal can be a member at once` },
  versions: { value: false, source: `${SERVER}: no ETag, If-Match or version; the last writer wins` },
  consistencyMs: {
    value: 10_000,
    source: `${SERVER} caches groups per process and invalidates on writes: fresh on one node, a short lag across nodes (unverified; a safe assumption)`,
  },
  pageSize: {
    groups: { value: PAGE_SIZE, source: `${SERVER}, ApiContext: count is 1–100` },
    members: { value: PAGE_SIZE, source: `${SERVER}, ApiContext: count is 1–100 for /people/filter` },
  },
  rates: docspaceLimits.rates,
  inFlight: docspaceLimits.inFlight,
};

/** Groups that are portal roles in disguise: writing to them would change what people may do (Constants, v3.7.2). */
const BUILT_IN_GROUPS: ReadonlySet<string> = new Set([
  "c5cc67d1-c3e8-43c0-a3ad-3928ae3e5b5e", // Everyone
  "cd84e66b-b803-40fc-99f9-b2969a54a1de", // DocSpaceAdmin
  "abef62db-11a8-4673-9d32-ef1d8af19dc0", // RoomAdmin
  "88f11e7c-7407-4bea-b4cb-070010cdbb6b", // User
  "aced04fa-dd96-4b35-af3e-346bf1eb972d", // Guest
]);
/** Stands in for people who were deleted (Constants, v3.7.2). */
const LOST_USER = "4a515a15-d4d6-4b8e-828e-e0586f18f3a3";
const NO_ONE = "00000000-0000-0000-0000-000000000000";

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const MEMBER_FIELDS = ["id", "email", "displayName", "status"];
// Without `fields`, each member is some 3 kB of avatars, quotas and other groups.
const GROUP_FIELDS = [
  "id",
  "name",
  "isLDAP",
  "isSystem",
  "membersCount",
  ...MEMBER_FIELDS.flatMap((field) => [`manager.${field}`, `members.${field}`]),
];
const LISTED_FIELDS = ["id", "name", "isLDAP", "isSystem", "membersCount", "manager.id"];
const ACCOUNT_FIELDS = [...MEMBER_FIELDS, "isVisitor"];
const OWN_FIELDS = [...ACCOUNT_FIELDS, "isOwner", "isAdmin", "isRoomAdmin", "isCollaborator"];

/** The cheapest call that works exactly when groups can be read. */
const ONE_GROUP = { count: 1, fields: ["id", "name"] } as const;

const KNOWN_STATUSES = [docspaceStatus.active, docspaceStatus.terminated, docspaceStatus.pending] as const;
type KnownStatus = (typeof KNOWN_STATUSES)[number];
const ACCOUNT_STATUS: Readonly<Record<KnownStatus, Account["status"]>> = { 1: "active", 2: "disabled", 4: "pending" };

/** A key that ends within this time gets a warning. */
const SOON_MS = 14 * 86_400_000;
/** Of the OR-list, percent-encoded: far below the 8 kB that proxies take as an address line. */
const MAX_FILTER_LENGTH = 4_000;
const SEPARATOR = "|";

/**
 * Makes a provider for one portal. Throws `options-invalid` for options that cannot be right; sends nothing yet.
 *
 * @example createDocspaceProvider({ id: "docs", baseUrl: "https://acme.onlyoffice.com", apiKey })
 */
export function createDocspaceProvider(given: DocspaceOptions & { readonly id?: ProviderId }): GroupProvider {
  const { id = "docspace", ...rest } = given;
  const options = parseOptions(id, rest);
  const api = createDocspaceApi({ ...options, provider: id });
  /** How many pages the list of groups had when it was read last. */
  let listedPages = 1;
  const isKey = (options.apiKey ?? options.token)?.startsWith("sk-") ?? false;

  async function checkAccess(context: CallContext, extent: "identity" | "all" = "all"): Promise<AccessReport> {
    const findings: AccessFinding[] = [];
    const key = isKey ? await readOwnKey(context) : undefined;
    if (key) findings.push(...checkKey(key, Date.now()));
    const scopes = key ? scopesOf(key) : undefined;
    const own = await readOwnPerson(key, context);
    if (own) findings.push(...checkRole(own));
    else findings.push({ level: "warning", message: "The account behind the key could not be read." });
    if (options.token !== undefined && !isKey) {
      findings.push({
        level: "warning",
        message: "This is a log-in or OAuth token: it runs out and is not renewed. An API key (sk-…) lasts.",
      });
    }
    if (extent === "all" && scopes?.read !== false) findings.push(await checkGroups(context));
    const ownId = own?.id ?? key?.createBy?.id;
    const account = own?.email ?? ownId ?? key?.name;
    return {
      identity: `${portalOf(options.baseUrl)}${account === undefined ? "" : ` as ${account.toLowerCase()}`}`,
      ...(ownId !== undefined && { ownAccount: ownId.toLowerCase() }),
      findings,
    };
  }

  /** Every scope allows this call, so even a 403 is the portal's as a whole. */
  async function readOwnKey(context: CallContext): Promise<DocspaceKey> {
    try {
      return await api.getOwnKey(context);
    } catch (error) {
      throw toPortalError(error);
    }
  }

  /** A key often lacks the scope for `@self`, but may read its owner like anyone else. */
  async function readOwnPerson(
    key: DocspaceKey | undefined,
    context: CallContext,
  ): Promise<DocspacePerson | undefined> {
    if (!key) return withPortal(() => api.getOwnPerson({ fields: OWN_FIELDS }, context));
    const owner = key.createBy?.id;
    const scopes = scopesOf(key);
    try {
      if (scopes.read && owner !== undefined) {
        return await withPortal(() => api.getPerson(owner, { fields: OWN_FIELDS }, context));
      }
      return scopes.self ? await withPortal(() => api.getOwnPerson({ fields: OWN_FIELDS }, context)) : undefined;
    } catch (error) {
      // Guests and users may be refused even that; what they may not do is found out with the groups.
      if (!isGroupSyncError(error, "forbidden")) throw error;
      return undefined;
    }
  }

  async function checkGroups(context: CallContext): Promise<AccessFinding> {
    try {
      const { total } = await withPortal(() => api.listGroups(ONE_GROUP, context));
      return { level: "ok", message: `Groups can be read${total === undefined ? "" : ` (${total} there)`}.` };
    } catch (error) {
      if (!isGroupSyncError(error, "forbidden")) throw error;
      return { level: "error", message: "The portal refuses to list groups (403) to this account." };
    }
  }

  async function listGroups(context: CallContext): Promise<GroupListing> {
    const { records, evidence } = await readRecords(context);
    return { groups: records.map(toGroup), evidence };
  }

  async function readRecords(context: CallContext) {
    const walk = await withPortal(
      () =>
        walkPages(
          async ({ received }) =>
            api.listGroups({ count: PAGE_SIZE, startIndex: received, fields: LISTED_FIELDS }, context),
          (group) => group.id.toLowerCase(),
        ),
      context,
    );
    listedPages = walk.pages;
    return { records: walk.rows, evidence: proveByTotal(walk, "groups") };
  }

  /**
   * The records come from a list of groups after the members, where that takes no more calls than one for each group. A
   * list of people is complete by its own total, and is checked against the number of members in the record. Whoever
   * is not listed any more is read by `readGroup`.
   */
  async function readGroups(
    groupIds: readonly string[],
    context: CallContext,
    onRead?: (done: number) => void,
  ): Promise<readonly PromiseSettledResult<Snapshot>[]> {
    const width = docspaceCapabilities.inFlight.reads.value;
    if (listedPages > groupIds.length) {
      return readEach(groupIds, width, (groupId) => readGroup(groupId, context), onRead);
    }
    const readings = await readEach(groupIds, width, (groupId) => walkMembers(groupId, context), onRead);
    const { records } = await readRecords(context);
    const byId = new Map(records.map((record) => [record.id.toLowerCase(), record]));
    return Promise.allSettled(
      readings.map(async (reading, index) => {
        if (reading.status === "rejected") throw reading.reason;
        const groupId = groupIds[index] ?? "";
        const record = byId.get(groupId.toLowerCase());
        if (!record) return readGroup(groupId, context);
        const members = reading.value.rows.filter(isSomeone);
        return {
          group: toGroup(record),
          members: members.map((person) => toMember(person, record, statusOf(person))),
          evidence: provePeople(record, reading.value),
        };
      }),
    );
  }

  async function readGroup(groupId: string, context: CallContext): Promise<Snapshot> {
    // The group's own list hides disabled members, whose membership comes back with them; the list of people shows
    // them, and is read by other code in the service, which makes it the proof. The group comes last: whoever was made
    // manager meanwhile is not taken for a plain member.
    const walk = await walkMembers(groupId, context);
    const group = await readRecord(groupId, context);
    const people = walk.rows.filter(isSomeone).map((person) => toMember(person, group, statusOf(person)));
    const listed = new Set(people.map((member) => member.account));
    const unlisted = (group.members ?? [])
      .filter((person) => isSomeone(person) && !listed.has(person.id.toLowerCase()))
      .map((person) => toMember(person, group, person.status));
    return {
      group: toGroup(group),
      members: [...people, ...unlisted],
      evidence: proveMembers(group, walk),
    };
  }

  async function walkMembers(groupId: string, context: CallContext): Promise<Walk<DocspacePerson>> {
    if (!GUID.test(groupId)) {
      const message = `${id}: ${JSON.stringify(groupId)} is no id of a DocSpace group (a GUID).`;
      throw new GroupSyncError("not-found", message, { provider: id, operation: "getGroup" });
    }
    try {
      return await walkPeople({ groupId, fields: MEMBER_FIELDS }, context);
    } catch (error) {
      // Should the service say 404 where others answer with nobody, the group itself tells whether it is gone.
      if (isGroupSyncError(error, "unavailable") && error.facts.status === 404) await readRecord(groupId, context);
      throw error;
    }
  }

  async function readRecord(groupId: string, context: CallContext): Promise<DocspaceGroup> {
    const group = await named(
      () => api.getGroup(groupId, { includeMembers: true, fields: GROUP_FIELDS }, context),
      context,
    );
    requireSameId(group, groupId);
    return group;
  }

  async function walkPeople(filter: DocspacePeopleFilter, context: CallContext): Promise<Walk<DocspacePerson>> {
    return withPortal(() => walkPages(pagesOf(filter, context), (person) => person.id.toLowerCase()), context);
  }

  function pagesOf(filter: DocspacePeopleFilter, context: CallContext) {
    // The only order without ties: in any other, people may slip between pages.
    const order = { sortBy: "email", sortOrder: docspaceSortOrder.ascending } as const;
    return ({ received }: Pick<PagePosition, "received">) =>
      api.filterPeople({ ...filter, ...order, count: PAGE_SIZE, startIndex: received }, context);
  }

  async function findAccounts(keys: readonly AccountKey[], context: CallContext): Promise<readonly AccountFinding[]> {
    if (keys.length > MAX_KEYS) throw refuse(`more than ${MAX_KEYS} keys in one look-up.`);
    const valuesOf = (by: AccountKey["by"]) => keys.filter((key) => key.by === by).map((key) => key.value.trim());
    const addresses = new Map(valuesOf("email").map((value) => [value.toLowerCase(), value]));
    const ids = new Set(valuesOf("id").map((value) => value.toLowerCase()));
    const missing: string[] = [];
    const found = [
      ...(await findByAddress([...addresses.values()].filter(isAddress), missing, context)),
      // Anything but a GUID would be taken for a user name, or for a path of its own such as @self.
      ...(await Promise.all(
        [...ids].filter((each) => GUID.test(each)).map((each) => findById(each, missing, context)),
      )),
    ];
    // A suspended portal answers 404 to everything: nobody is missing before it has shown that it works.
    if (missing.length > 0) await withPortal(() => api.listGroups(ONE_GROUP, context), context);
    const people = new Map(found.flatMap((person) => (person ? [[person.id.toLowerCase(), person]] : [])));
    people.delete(LOST_USER);
    const byKey = {
      id: groupBy(people.values(), (person) => person.id.toLowerCase()),
      email: groupBy(people.values(), ({ email = "" }) => email.trim().toLowerCase()),
    };
    return keys.map((key) => {
      const wanted = key.value.trim().toLowerCase();
      const exact = wanted === "" ? [] : (byKey[key.by].get(wanted) ?? []);
      return { key, accounts: exact.map(toAccount) };
    });
  }

  /** Candidates: whoever has one of the addresses is among them, others may be too. */
  async function findByAddress(
    addresses: readonly string[],
    missing: string[],
    context: CallContext,
  ): Promise<readonly DocspacePerson[]> {
    const filters = buildFilters(addresses);
    const found = (await listEverybody(filters.length, context)) ?? (await filterPeople(filters, context));
    const known = new Set(found.map((person) => person.email?.trim().toLowerCase()));
    const open = addresses.filter((address) => !known.has(address.toLowerCase()));
    const exact = await Promise.all(open.map((address) => findByExactAddress(address, missing, context)));
    // Only a list shows everybody of one address. One that left out somebody who is there is asked again about them.
    const leftOut = open.filter((_, index) => exact[index] !== undefined);
    const others = await filterPeople(buildFilters(leftOut), context);
    return [...found, ...exact.filter((person) => person !== undefined), ...others];
  }

  async function filterPeople(filters: readonly string[], context: CallContext): Promise<readonly DocspacePerson[]> {
    const walks = await Promise.all(
      filters.map((filterValue) =>
        walkPeople({ filterValue, filterSeparator: SEPARATOR, fields: ACCOUNT_FIELDS }, context),
      ),
    );
    return walks.flatMap(({ rows }) => rows);
  }

  /**
   * Everybody whom the account sees, where listing them takes fewer calls than so many filters; else undefined. The
   * first page tells how long the list is.
   */
  async function listEverybody(filters: number, context: CallContext): Promise<readonly DocspacePerson[] | undefined> {
    if (filters <= FEW_FILTERS) return undefined;
    return context.once(`${id}: everybody`, async () => {
      const readPage = pagesOf({ fields: ACCOUNT_FIELDS }, context);
      const first = await withPortal(() => readPage({ received: 0 }), context);
      const pages = Math.ceil((first.total ?? Number.POSITIVE_INFINITY) / PAGE_SIZE);
      if (pages > filters) return undefined;
      const walk = await withPortal(
        () =>
          walkPages(
            async (position) => (position.index === 0 ? first : readPage(position)),
            (person) => person.id.toLowerCase(),
          ),
        context,
      );
      return proveByTotal(walk, "people").complete ? walk.rows : undefined;
    });
  }

  async function findByExactAddress(
    address: string,
    missing: string[],
    context: CallContext,
  ): Promise<DocspacePerson | undefined> {
    // Addresses are kept as typed and compared as the database does: PostgreSQL minds the case, MySQL does not.
    for (const email of new Set([address, address.toLowerCase()])) {
      try {
        return await api.getPersonByEmail(email, { fields: ACCOUNT_FIELDS }, context);
      } catch (error) {
        // 400 here means "not a valid address": nobody can have it.
        const isMissing =
          isGroupSyncError(error, "not-found") || (isGroupSyncError(error) && error.facts.status === 400);
        if (!isMissing) throw await explain(error, context);
        missing.push(email);
      }
    }
    return undefined;
  }

  async function findById(value: string, missing: string[], context: CallContext): Promise<DocspacePerson | undefined> {
    try {
      return await api.getPerson(value, { fields: ACCOUNT_FIELDS }, context);
    } catch (error) {
      if (!isGroupSyncError(error, "not-found")) throw await explain(error, context);
      missing.push(value);
      return undefined;
    }
  }

  async function applyBatch(batch: Batch, context: CallContext): Promise<BatchResult> {
    if (batch.kind === "group.create") return createGroup(batch, context);
    if (batch.kind === "group.update") return updateGroup(batch, context);
    if (batch.kind === "members") return changeMembers(batch, context);
    requireWritable(batch.group.id);
    await named(() => api.deleteGroup(batch.group.id, context), context);
    return {};
  }

  async function createGroup(
    batch: Extract<Batch, { kind: "group.create" }>,
    context: CallContext,
  ): Promise<BatchResult> {
    requireName(batch.name);
    if (batch.description !== undefined) throw refuse("a group has no description.");
    requireAccounts([batch.add]);
    const manager = managerOf(batch.add);
    const answer = await named(
      () =>
        api.createGroup(
          {
            groupName: batch.name,
            ...(manager !== undefined && { groupManager: manager }),
            ...(batch.add.length > 0 && { members: batch.add.map((edit) => edit.account) }),
          },
          { fields: GROUP_FIELDS },
          context,
        ),
      context,
    );
    return { group: toGroup(answer), ...membersOf(answer) };
  }

  async function updateGroup(
    batch: Extract<Batch, { kind: "group.update" }>,
    context: CallContext,
  ): Promise<BatchResult> {
    const { name } = batch;
    requireWritable(batch.group.id);
    if (batch.description !== undefined) throw refuse("a group has no description.");
    if (name === undefined) return {};
    requireName(name);
    const answer = await named(
      () => api.updateGroup(batch.group.id, { groupName: name }, { fields: GROUP_FIELDS }, context),
      context,
    );
    return { group: toGroup(answer), ...membersOf(answer) };
  }

  async function changeMembers(batch: Extract<Batch, { kind: "members" }>, context: CallContext): Promise<BatchResult> {
    const [group, ...others] = batch.groups;
    if (!group || others.length > 0) throw refuse("a call changes exactly one group.");
    requireWritable(group.id);
    requireAccounts([batch.add, batch.update, batch.remove]);
    const manager = managerOf([...batch.add, ...batch.update]);
    const demoted = batch.update
      .filter((edit) => edit.role === "member" && edit.previousRole === "manager")
      .map((edit) => edit.account);
    const toAdd = [
      ...batch.add,
      ...batch.update.filter((edit) => edit.direct === false && !demoted.includes(edit.account)),
    ].map((edit) => edit.account);
    // A new manager takes the role from the old one, who stays a member; otherwise only leaving the group takes it.
    const toReturn = manager === undefined ? demoted : [];
    for (const account of toReturn) await requireReturnable(account, context);
    const update = describeUpdate(manager, toAdd, [...batch.remove.map((edit) => edit.account), ...toReturn]);
    if (!update) return {};
    const changed = await named(() => api.updateGroup(group.id, update, { fields: GROUP_FIELDS }, context), context);
    const answer = toReturn.length === 0 ? changed : await putBack(group.id, toReturn, context);
    return membersOf(answer);
  }

  /** Disabled people and guests could be taken out, but not put back. */
  async function requireReturnable(account: string, context: CallContext): Promise<void> {
    const person = await named(() => api.getPerson(account, { fields: ACCOUNT_FIELDS }, context), context);
    const { eligible, note } = toAccount(person);
    if (!eligible) {
      throw refuse(`the manager role of ${account} can only be taken with the membership, because ${note}.`);
    }
  }

  async function putBack(groupId: string, accounts: readonly string[], context: CallContext): Promise<DocspaceGroup> {
    try {
      return await api.updateGroup(groupId, { membersToAdd: accounts }, { fields: GROUP_FIELDS }, context);
    } catch (error) {
      if (!isGroupSyncError(error)) throw error;
      throw new GroupSyncError(
        error.code,
        `${error.message} The manager had been taken out of the group to lose the role, and is not back in it yet.`,
        { ...error.facts, outcomeUnknown: true },
      );
    }
  }

  /**
   * Runs a call that names one group or person. Its 404 and 403 are only believed after another call has shown that
   * they are not the whole portal's answer: a suspended portal says 404 to everything, one that is being moved,
   * restored or closed to this network says 403.
   */
  async function named<T>(send: () => Promise<T>, context: CallContext): Promise<T> {
    try {
      return await send();
    } catch (error) {
      throw await explain(error, context);
    }
  }

  async function explain(error: unknown, context: CallContext): Promise<unknown> {
    const probe = isGroupSyncError(error, "not-found")
      ? () => api.listGroups(ONE_GROUP, context)
      : isGroupSyncError(error, "forbidden")
        ? () => (isKey ? api.getOwnKey(context) : api.getOwnPerson({ fields: ["id"] }, context))
        : undefined;
    if (!probe) return error;
    try {
      await probe();
      return error;
    } catch (failure) {
      return toPortalError(failure);
    }
  }

  /** Runs a call that names nothing which could be missing: its 404 is the portal's, and with a context its 403 too, if so. */
  async function withPortal<T>(send: () => Promise<T>, context?: CallContext): Promise<T> {
    try {
      return await send();
    } catch (error) {
      if (isGroupSyncError(error, "not-found")) throw toPortalError(error);
      throw context ? await explain(error, context) : error;
    }
  }

  function toPortalError(error: unknown): unknown {
    if (!isGroupSyncError(error, "not-found") && !isGroupSyncError(error, "forbidden")) return error;
    return new GroupSyncError("unavailable", `${id}: the portal as a whole refuses requests. ${error.message}`, {
      ...error.facts,
      hint: "Check the address. The portal may be suspended, unpaid, moving, being restored, or closed to this network.",
    });
  }

  function refuse(message: string): GroupSyncError {
    return new GroupSyncError("unsupported", `${id}: ${message} Nothing was sent.`, { provider: id });
  }

  function requireSameId(group: DocspaceGroup, groupId: string): void {
    if (group.id.toLowerCase() === groupId.toLowerCase()) return;
    throw new GroupSyncError("bad-answer", `${id} was asked for group ${groupId} and answered with another.`, {
      provider: id,
      operation: "getGroup",
    });
  }

  function requireWritable(groupId: string): void {
    if (!GUID.test(groupId)) throw refuse(`${JSON.stringify(groupId)} is no id of a DocSpace group (a GUID).`);
    if (BUILT_IN_GROUPS.has(groupId.toLowerCase())) {
      throw refuse("built-in groups are not changed: their members are the portal's roles.");
    }
  }

  function requireName(name: string): void {
    if (name.trim() === "" || name.length > MAX_NAME_LENGTH)
      throw refuse(`a group's name has 1 to ${MAX_NAME_LENGTH} characters and is not blank.`);
    if (/[\u{10000}-\u{10ffff}]/u.test(name)) {
      throw refuse("a group's name with emoji or other characters beyond U+FFFF may not be stored as it is.");
    }
  }

  /** One malformed id makes the service refuse the whole call; one that is in two lists ends removed. */
  function requireAccounts(lists: readonly (readonly MemberEdit[])[]): void {
    const accounts = lists.flat().map((edit) => edit.account.toLowerCase());
    for (const account of accounts) {
      if (!GUID.test(account) || account === NO_ONE || account === LOST_USER) {
        throw refuse(`${JSON.stringify(account)} is no id of a DocSpace person (a GUID).`);
      }
    }
    if (new Set(accounts).size < accounts.length) throw refuse("an account stands in the batch more than once.");
    if (lists.some((edits) => edits.length > MAX_ACCOUNTS_PER_CALL)) {
      throw refuse(`more than ${MAX_ACCOUNTS_PER_CALL} accounts in one call.`);
    }
    if (lists.flat().some((edit) => edit.invitation !== undefined)) throw refuse("there are no invitations to groups.");
  }

  function managerOf(edits: readonly MemberEdit[]): string | undefined {
    if (edits.some((edit) => edit.role === "owner")) throw refuse("groups have no owners.");
    const [manager, ...others] = edits.filter((edit) => edit.role === "manager");
    if (others.length > 0) throw refuse("a group has one manager at most.");
    return manager?.account;
  }

  function statusOf(person: DocspacePerson): KnownStatus {
    const status = KNOWN_STATUSES.find((known) => known === person.status);
    if (status !== undefined) return status;
    throw new GroupSyncError(
      "bad-answer",
      `${id} gave a person the status ${person.status ?? "(none)"}, which is none of 1, 2 and 4.`,
      { provider: id },
    );
  }

  function toAccount(person: DocspacePerson): Account {
    const status = statusOf(person);
    const note =
      status === docspaceStatus.terminated
        ? "the account is disabled"
        : person.isVisitor
          ? "the account is a guest, and guests cannot be in groups"
          : undefined;
    return {
      id: person.id.toLowerCase(),
      ...describePerson(person),
      status: ACCOUNT_STATUS[status],
      eligible: note === undefined,
      ...(note !== undefined && { note }),
    };
  }

  return nameErrors({
    id,
    type: "docspace",
    capabilities: docspaceCapabilities,
    checkAccess,
    listGroups,
    readGroup,
    readGroups,
    findAccounts,
    applyBatch,
  });
}

/** DocSpace for specs: `type: docspace`. */
export const docspaceProviderType: ProviderType = {
  type: "docspace",
  label: "ONLYOFFICE DocSpace",
  options: docspaceOptionsSchema,
  secretOptions: ["apiKey", "token", "password"],
  capabilities: docspaceCapabilities,
  create: (id, options) => createDocspaceProvider({ ...(options as DocspaceOptions), id }),
};

function parseOptions(id: ProviderId, options: unknown): DocspaceOptions {
  const parsed = docspaceOptionsSchema.safeParse(options);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => [...path, message].join(": "));
    throw new GroupSyncError("options-invalid", `${id}: ${problems.join("; ")}`, { provider: id });
  }
  return Object.fromEntries(
    Object.entries(parsed.data).filter(([, value]) => value !== undefined),
  ) as unknown as DocspaceOptions;
}

function portalOf(baseUrl: string): string {
  const { host, pathname } = new URL(baseUrl);
  return `${host}${pathname}`.replace(/\/+$/, "");
}

/** What the key's scopes allow. Reading groups needs a read scope: `accounts:write` alone does not do (v3.7.2). */
function scopesOf(key: DocspaceKey): { readonly read: boolean; readonly write: boolean; readonly self: boolean } {
  const granted = key.permissions ?? [];
  const has = (...scopes: readonly string[]) =>
    granted.length === 0 || granted.includes("*") || scopes.some((scope) => granted.includes(scope));
  return {
    read: has("accounts:read", "*:read", "*:write"),
    write: has("accounts:write", "*:write"),
    self: has("accounts.self:read", "accounts.self:write", "*:read", "*:write"),
  };
}

function checkKey(key: DocspaceKey, now: number): readonly AccessFinding[] {
  const findings: AccessFinding[] = [];
  const scopes = scopesOf(key);
  if (!scopes.read) {
    findings.push({
      level: "error",
      message: "The API key lacks the scope accounts:read (accounts:write alone does not allow reading groups).",
    });
  }
  if (!scopes.write) {
    findings.push({
      level: "error",
      message: "The API key lacks the scope accounts:write: groups cannot be changed with it.",
    });
  }
  if (scopes.read && scopes.write) {
    findings.push({ level: "ok", message: "The API key's scopes allow reading and changing groups." });
  }
  if (key.isActive === false) findings.push({ level: "error", message: "The API key is switched off." });
  const endsAt = key.expiresAt === undefined ? Number.NaN : Date.parse(key.expiresAt);
  if (endsAt <= now) findings.push({ level: "error", message: "The API key has expired." });
  else if (endsAt - now < SOON_MS) {
    findings.push({
      level: "warning",
      message: `The API key expires on ${new Date(endsAt).toISOString().slice(0, 10)}.`,
    });
  }
  return findings;
}

function checkRole(person: DocspacePerson): readonly AccessFinding[] {
  const name = describePerson(person).name ?? person.id;
  if (person.isOwner || person.isAdmin) {
    return [
      { level: "ok", message: `Acts as ${name}, ${person.isOwner ? "the portal's owner" : "a DocSpace admin"}.` },
    ];
  }
  if (person.isRoomAdmin) {
    return [
      {
        level: "error",
        message: `Acts as ${name}, a room admin, who may read groups (without disabled people), but not change them. Use the key of a DocSpace admin.`,
      },
    ];
  }
  if (person.isCollaborator || person.isVisitor) {
    return [
      {
        level: "error",
        message: `Acts as ${name}, a ${person.isVisitor ? "guest" : "user"}, who may neither read nor change groups. Use the key of a DocSpace admin.`,
      },
    ];
  }
  return [
    {
      level: "warning",
      message: `Acts as ${name}, whose role the portal does not say; only a DocSpace admin may write.`,
    },
  ];
}

/** Whether this is a person at all: in some answers the lost user stands in for someone deleted. */
function isSomeone(person: DocspacePerson): boolean {
  return person.id.toLowerCase() !== LOST_USER;
}

function toGroup(group: DocspaceGroup): Group {
  const id = group.id.toLowerCase();
  const kind = BUILT_IN_GROUPS.has(id) || group.isSystem ? "builtin" : group.isLDAP ? "directory" : "plain";
  return { id, name: group.name, kind };
}

function toMember(person: DocspacePerson, group: DocspaceGroup, status: number | undefined): Member {
  const account = person.id.toLowerCase();
  return {
    account,
    role: group.manager?.id.toLowerCase() === account ? "manager" : "member",
    direct: true,
    // Someone who has not yet accepted the invitation to the portal is a full member of the group already.
    state: status === docspaceStatus.terminated ? "disabled" : "active",
    ...describePerson(person),
  };
}

function describePerson(person: DocspacePerson): { readonly email?: string; readonly name?: string } {
  return {
    ...(person.email !== undefined && { email: person.email }),
    ...(person.displayName !== undefined && { name: decodeHtml(person.displayName) }),
  };
}

/**
 * The verdict on a reading of members. The group's own list (`membersCount` is merely its length) must agree with the
 * list of people, which must be whole by its own total: two readings by different code of the service.
 */
function proveMembers(group: DocspaceGroup, walk: Walk<DocspacePerson>): Evidence {
  const people = proveByTotal(walk, "people");
  const facts = { ...people, pages: walk.pages + 1 };
  const failed = (because: string, moved: boolean): Evidence => {
    const { moved: _, ...others } = facts;
    return { ...others, complete: false, because, ...(moved && { moved: true }) };
  };
  const { members, membersCount } = group;
  if (members === undefined) return failed("the group came without its list of members", false);
  if (membersCount === undefined) return failed("the group came without the number of its members", false);
  const ids = new Set(members.map((person) => person.id.toLowerCase()));
  if (members.length !== membersCount || ids.size !== members.length) {
    return failed(`the group lists ${ids.size} distinct members, but declares ${membersCount}`, true);
  }
  if (!people.complete) return facts;
  if (walk.duplicates > 0) return failed("people came twice in the list of people", true);
  const usable = walk.rows.filter((person) => person.status !== docspaceStatus.terminated).length;
  if (usable !== membersCount) {
    return failed(
      `the group lists ${membersCount} members, but the list of people ${usable} who are not disabled`,
      true,
    );
  }
  const listed = new Set(walk.rows.map((person) => person.id.toLowerCase()));
  const expected =
    group.manager && group.manager.id.toLowerCase() !== LOST_USER ? [...ids, group.manager.id.toLowerCase()] : [...ids];
  if (expected.some((account) => !listed.has(account))) {
    return failed("the group lists someone who is not in the list of people", true);
  }
  return {
    ...facts,
    because: `${walk.rows.length} distinct people equal the declared total, and those not disabled are the group's own ${membersCount} members`,
  };
}

/** The membership that an answer to a write carries, active and pending; nothing when it is not whole. */
function membersOf(group: DocspaceGroup): Pick<BatchResult, "members"> {
  const { members, membersCount } = group;
  if (members === undefined || members.length !== membersCount) return {};
  return {
    members: members.filter(isSomeone).map((person) => toMember(person, group, person.status)),
  };
}

/** The verdict where the number of members and the manager come from the list of groups. */
function provePeople(group: DocspaceGroup, walk: Walk<DocspacePerson>): Evidence {
  const people = proveByTotal(walk, "people");
  if (!people.complete) return people;
  const moved = (because: string): Evidence => ({ ...people, complete: false, moved: true, because });
  if (walk.duplicates > 0) return moved("people came twice in the list of people");
  const usable = walk.rows.filter((person) => person.status !== docspaceStatus.terminated).length;
  if (usable !== group.membersCount) {
    return moved(
      `the list of groups declares ${group.membersCount ?? "no number of"} members, the list of people shows ${usable} who are not disabled`,
    );
  }
  const manager = group.manager?.id.toLowerCase();
  const isMissing = manager !== undefined && !walk.rows.some((person) => person.id.toLowerCase() === manager);
  if (isMissing && manager !== LOST_USER) return moved("the group's manager is not in the list of people");
  return {
    ...people,
    because: `${walk.rows.length} distinct people equal the declared total, and those not disabled the number in the list of groups`,
  };
}

function describeUpdate(
  manager: string | undefined,
  toAdd: readonly string[],
  toRemove: readonly string[],
): DocspaceGroupUpdate | undefined {
  if (manager === undefined && toAdd.length === 0 && toRemove.length === 0) return undefined;
  return {
    ...(manager !== undefined && { groupManager: manager }),
    ...(toAdd.length > 0 && { membersToAdd: toAdd }),
    ...(toRemove.length > 0 && { membersToRemove: toRemove }),
  };
}

/** 255 is the longest address that the service takes. */
function isAddress(value: string): boolean {
  return /^[^\s@]+@[^\s@]+$/.test(value) && value.length <= 255;
}

/** OR-lists that keep the address line short. An address that holds the separator is left to the exact endpoint. */
function buildFilters(addresses: readonly string[]): readonly string[] {
  const filters: string[][] = [];
  for (const address of addresses.filter((each) => !each.includes(SEPARATOR)).map((each) => each.toLowerCase())) {
    const last = filters.at(-1) ?? [];
    const length = encodeURIComponent([...last, address].join(SEPARATOR)).length;
    if (last.length > 0 && last.length < ADDRESSES_PER_FILTER && length <= MAX_FILTER_LENGTH) last.push(address);
    else filters.push([address]);
  }
  return filters.map((filter) => filter.join(SEPARATOR));
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

/** Undoes .NET's HTML encoding: five names, and numbers for everything else. Once: `&amp;lt;` is `&lt;`. */
function decodeHtml(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,4}));/gi, (whole, decimal, hex, name) => {
    if (typeof name === "string") return ENTITIES[name] ?? whole;
    const point = Number.parseInt(String(decimal ?? hex), decimal === undefined ? 16 : 10);
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}
