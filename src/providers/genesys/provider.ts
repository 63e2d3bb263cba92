/**
 * Genesys Cloud as a provider.
 *
 * What is kept in step is the list of individuals: the people who were added one by one. People included by rules
 * show in `/members` only and are never touched; owners are a list of their own on the group, and may or may not be
 * individuals besides.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { chunk, groupBy } from "../../collections.js";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { findBaseUrlProblem } from "../../http/client.js";
import { readEach } from "../../http/many.js";
import { nameErrors } from "../../http/named.js";
import { type ConnectionOptions, connectionShape } from "../../http/options.js";
import { type Page, type PagePosition, proveByTotal, type Walk, walkPages } from "../../http/paginate.js";
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
  checkIds,
  createGenesysApi,
  findHostProblem,
  type GenesysGroup,
  type GenesysListing,
  type GenesysUser,
  genesysLimits,
  MAX_MEMBERS_PER_CALL,
  MAX_USER_IDS_PER_CALL,
} from "./api.js";

/**
 * Options of a Genesys Cloud organisation: `region`, or `baseUrl` and `loginUrl`; and an OAuth client.
 *
 * @see https://help.mypurecloud.com/articles/create-an-oauth-client/ (grant type "Client Credentials"; give it a role
 * with directory:group:view, add, edit, delete and directory:user:view)
 */
export interface GenesysOptions extends ConnectionOptions {
  /** The key of this provider in the spec. @default "genesys" */
  readonly id?: ProviderId;
  /** The organisation's region: its host (`mypurecloud.de`) or its name (`eu_central_1`, `eu-central-1`). */
  readonly region?: string;
  /** Instead of `region`: the address of the API. Plain http for loopback only. */
  readonly baseUrl?: string;
  /** Together with `baseUrl`: the address that hands out tokens. */
  readonly loginUrl?: string;
  readonly clientId: string;
  /** A secret. */
  readonly clientSecret: string;
}

const address = z.string().superRefine((value, context) => {
  const problem = findBaseUrlProblem(value);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

const optionsSchema = z
  .strictObject({
    region: z
      .string()
      .exactOptional()
      .describe("The organisation's region by host (mypurecloud.de) or by name (eu_central_1)."),
    baseUrl: address.exactOptional().describe("Instead of `region`: the address of the API."),
    loginUrl: address.exactOptional().describe("With `baseUrl`: the address that hands out tokens."),
    // A colon would end the id in the Authorization header.
    clientId: z
      .string()
      .min(1, "is empty")
      .regex(/^[^:\s]*$/, "holds a colon or white space")
      .describe('The id of an OAuth client with the grant "client credentials".'),
    clientSecret: z.string().min(1, "is empty").describe("The secret of that client, as ${NAME}."),
    ...connectionShape,
  })
  .superRefine((options, context) => {
    const problem = findHostProblem(options);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  });

/** Keys that one look-up takes: enough to see whether listing everybody is cheaper. */
const MAX_KEYS = 10_000;
/** Up to so many addresses are searched without a look at the length of the list. */
const FEW_SEARCHES = 3;
const PAGE_SIZE = 100;

/** What Genesys Cloud can do, each fact with its source. */
export const genesysCapabilities: Capabilities = {
  ...genesysLimits,
  memberKey: { value: "user id", source: "GroupMembersUpdate.memberIds in every SDK" },
  add: {
    accountsPerCall: {
      value: MAX_MEMBERS_PER_CALL,
      source: '"a maximum of 50" in the Go, Python, .NET and JavaScript SDKs since 2025-01-23',
    },
    groupsPerCall: { value: 1, source: "the group is in the path of POST /groups/{groupId}/members" },
  },
  remove: {
    accountsPerCall: {
      value: MAX_MEMBERS_PER_CALL,
      source: '"a maximum of 50" in the Go, Python, .NET and JavaScript SDKs since 2025-01-23',
    },
    groupsPerCall: { value: 1, source: "the group is in the path of DELETE /groups/{groupId}/members" },
  },
  mixed: { value: false, source: "adding is a POST, removing a DELETE; there is no call for both" },
  maxMembers: {
    value: null,
    source: "help page Add group members: 1000 individuals are recommended as the most; a hard limit is not documented",
  },
  roles: {
    owner: {
      max: { value: null, source: "no limit is documented for ownerIds" },
      clearable: {
        value: true,
        source: "PUT /groups/{groupId} with a shorter ownerIds; the last owner cannot be taken away, [] does not clear",
      },
      guarded: {
        value: true,
        source:
          "a choice: owners decide about the group, and a client without owners cannot be made one by the API alone",
      },
    },
  },
  groups: {
    create: { value: true, source: "POST /groups, permission directory:group:add" },
    membersOnCreate: { value: 0, source: "GroupCreate has no list of members" },
    rename: { value: true, source: "PUT /groups/{groupId}, permission directory:group:edit" },
    delete: { value: true, source: "DELETE /groups/{groupId}, permission directory:group:delete" },
    description: { value: true, source: "GroupUpdate.description; POST ignores it (terraform-provider-genesyscloud)" },
    duplicateNames: { value: true, source: "safe assumption: uniqueness of names is not documented" },
  },
  lookup: {
    by: { value: ["email", "id"], source: "POST /users/search (permission directory:user:view) and GET /users?id=" },
    pinsAreKeys: { value: true, source: "members are listed by user id" },
    idsAreLowerCase: { value: false, source: "ids are opaque text of 36 characters" },
    keysPerCall: {
      value: MAX_KEYS,
      source:
        "a choice: ids go 100 to a call (error max.user.ids); many addresses are matched against the whole list of users where that takes fewer calls than searching one by one",
    },
  },
  invitations: { value: false, source: "POST /groups/{groupId}/members adds at once" },
  versions: { value: true, source: "Group.version, checked by POST members and PUT group" },
  consistencyMs: {
    value: 30_000,
    source:
      "202 means accepted; terraform-provider-genesyscloud reads again until the state fits, up to minutes, and older code slept 5 s",
  },
  pageSize: {
    groups: {
      value: PAGE_SIZE,
      source: "the maximum is not documented; 100 is in use in public code for groups, users and members",
    },
    members: { value: null, source: "GET /groups/{groupId}/individuals declares no paging" },
  },
};

/** How long and how often it is looked whether a deleted group is gone. In milliseconds. */
interface DeletionTiming {
  /** @default 2000 */
  readonly intervalMs: number;
  /** @default 60000, as terraform-provider-genesyscloud */
  readonly limitMs: number;
}

const DEFAULT_TIMING: DeletionTiming = { intervalMs: 2000, limitMs: 60_000 };

/** Lengths that a cut list would have: the default page and those seen in public code. */
const PAGE_LIKE_LENGTHS = [25, 50, 100, 200, 500];

/**
 * Makes a provider. Throws `options-invalid`. `timing` is for tests.
 *
 * @example createGenesysProvider({ region: "mypurecloud.de", clientId: "…", clientSecret: "…" })
 */
export function createGenesysProvider(options: GenesysOptions, timing: DeletionTiming = DEFAULT_TIMING): GroupProvider {
  const { id = "genesys", ...given } = options;
  const checked = optionsSchema.safeParse(given);
  if (!checked.success) {
    const problems = checked.error.issues.map(({ path, message }) => [...path.map(String), message].join(": "));
    throw new GroupSyncError("options-invalid", `${id}: ${problems.join("; ")}`, { provider: id });
  }
  const { clientId } = checked.data;
  const api = createGenesysApi({ ...checked.data, provider: id });
  /** How many pages the list of groups had when it was read last. */
  let listedPages = 1;

  async function checkAccess(context: CallContext, extent: "identity" | "all" = "all"): Promise<AccessReport> {
    const token = await api.getOwnToken(context);
    const tenant = token.organization?.id
      ? { id: token.organization.id, name: token.organization.name }
      : await api.getOrganization(context);
    const identity = `organisation ${tenant.id}, OAuth client ${clientId}`;
    if (extent === "identity") return { identity, findings: [] };
    const client = token.OAuthClient?.name ? `the OAuth client "${token.OAuthClient.name}"` : "an OAuth client";
    const findings: AccessFinding[] = [
      {
        level: "ok",
        message: `Acts as ${client} of the organisation ${tenant.name ? `"${tenant.name}"` : tenant.id}.`,
      },
      ...(await checkGroupAccess(context)),
      ...(await checkUserAccess(context)),
      {
        level: "ok",
        message:
          "Whether groups may be written shows only when writing. The role needs directory:group:edit for members, owners and names, directory:group:add to create and directory:group:delete to delete groups.",
      },
    ];
    return { identity, findings };
  }

  async function checkGroupAccess(context: CallContext): Promise<readonly AccessFinding[]> {
    const page = await unlessForbidden(api.listGroups({ pageSize: 1, pageNumber: 1 }, context));
    if (page === "forbidden") {
      return [{ level: "error", message: "Groups cannot be read. The role needs directory:group:view." }];
    }
    const seen: AccessFinding = {
      level: "ok",
      message: typeof page.total === "number" ? `Sees ${page.total} groups.` : "Sees groups.",
    };
    const [sample] = page.entities;
    if (!sample || (await readKind(sample.id, context)) !== "unknown") return [seen];
    return [
      seen,
      {
        level: "warning",
        message:
          "Dynamic groups (by skill expression) cannot be told from plain ones, so they would not be refused. The role needs directory:group:view.",
      },
    ];
  }

  async function checkUserAccess(context: CallContext): Promise<readonly AccessFinding[]> {
    // Nobody has an address under .invalid (RFC 2606): only the right to search is of interest.
    const answer = await unlessForbidden(api.searchUsers(emailSearch("nobody@group-sync.invalid", 1), context));
    return answer === "forbidden"
      ? [{ level: "error", message: "People cannot be looked up by e-mail. The role needs directory:user:view." }]
      : [{ level: "ok", message: "May look people up by e-mail." }];
  }

  async function listGroups(context: CallContext): Promise<GroupListing> {
    const { records, evidence } = await readRecords(context);
    // For `readGroups` of the same pass.
    (await lastRecords(context)).records = records;
    return { groups: records.filter(isActive).map((group) => describeGroup(group, "plain")), evidence };
  }

  async function readRecords(context: CallContext) {
    const walk = await walkListing((pageNumber) => api.listGroups({ pageSize: PAGE_SIZE, pageNumber }, context));
    listedPages = walk.pages;
    return { records: walk.rows, evidence: proveByTotal(walk, "groups") };
  }

  /** The records of the last list of this pass. */
  function lastRecords(context: CallContext): Promise<{ records?: readonly GenesysGroup[] }> {
    return context.once(`${id}:records`, async () => ({}));
  }

  async function readGroup(groupId: string, context: CallContext): Promise<Snapshot> {
    const before = await readActiveGroup(groupId, context);
    const kind = await context.once(`${id}:dynamic:${groupId}`, () => readKind(groupId, context));
    const individuals = await readIndividuals(before, context);
    return describeSnapshot(before, individuals, await readActiveGroup(groupId, context), kind);
  }

  /**
   * The versions before and after come from two lists of groups, where that takes fewer calls than two for each group.
   * Whether a group is a dynamic one, no list tells; see `readKind`.
   */
  async function readGroups(
    groupIds: readonly string[],
    context: CallContext,
    onRead?: (done: number) => void,
  ): Promise<readonly PromiseSettledResult<Snapshot>[]> {
    const width = genesysCapabilities.inFlight.reads.value;
    const known = (await lastRecords(context)).records;
    if ((known ? 1 : 2) * listedPages > 2 * groupIds.length) {
      return readEach(
        groupIds,
        width,
        async (groupId) => {
          const before = await readActiveGroup(groupId, context);
          const individuals = await readIndividuals(before, context);
          return describeSnapshot(before, individuals, await readActiveGroup(groupId, context), "plain");
        },
        onRead,
      );
    }
    const before = recordsById(known ?? (await readRecords(context)).records);
    const readings = await readEach(
      groupIds,
      width,
      async (groupId) => {
        const record = before.get(groupId);
        // Only its own record tells whether it is gone; and one without its owners says nothing about roles.
        if (!record?.owners || !isActive(record)) return readGroup(groupId, context);
        return { record, individuals: await readIndividuals(record, context) };
      },
      onRead,
    );
    const after = recordsById((await readRecords(context)).records);
    return readings.map((reading): PromiseSettledResult<Snapshot> => {
      if (reading.status === "rejected") return reading;
      if (!("record" in reading.value)) return { status: "fulfilled", value: reading.value };
      const { record, individuals } = reading.value;
      const now = after.get(record.id);
      const snapshot = describeSnapshot(record, individuals, now ?? record, "plain");
      const isListed = now?.owners !== undefined && isActive(now);
      const because = "the group was not listed any more after the reading";
      const evidence = isListed ? snapshot.evidence : { ...snapshot.evidence, complete: false, moved: true, because };
      return { status: "fulfilled", value: { ...snapshot, evidence } };
    });
  }

  async function readActiveGroup(groupId: string, context: CallContext): Promise<GenesysGroup> {
    const group = await api.getGroup(groupId, context);
    const facts = { provider: id, operation: "getGroup" };
    if (group.state === "deleted")
      throw new GroupSyncError("not-found", `${id}: the group ${groupId} is deleted.`, facts);
    if (!isActive(group)) {
      throw new GroupSyncError("unsupported", `${id}: the group "${group.name}" is ${group.state}.`, {
        ...facts,
        hint: "Activate the group at Genesys Cloud, or take it out of the spec.",
      });
    }
    return group;
  }

  /**
   * Twice where the list declares no total: then only a second equal reading is a proof. And where it is empty though
   * the record counts members: those may all be owners, or the answer was an empty one.
   */
  async function readIndividuals(record: GenesysGroup, context: CallContext): Promise<Individuals> {
    const first = await listIndividuals(record.id, context);
    const isOddlyEmpty = first?.entities.length === 0 && (record.memberCount ?? 0) > 0;
    if (!first || (typeof first.total === "number" && !isOddlyEmpty)) return { first };
    return { first, second: await listIndividuals(record.id, context) };
  }

  /** A group that was just made may have no list yet (404); that says nothing about its members. */
  async function listIndividuals(
    groupId: string,
    context: CallContext,
  ): Promise<GenesysListing<GenesysUser> | undefined> {
    return api.listGroupIndividuals(groupId, context).catch((error: unknown) => {
      if (isGroupSyncError(error, "not-found")) return undefined;
      throw error;
    });
  }

  /** Only skill expressions can be seen; rules made in the user interface have no API, but add nobody to individuals. */
  async function readKind(groupId: string, context: CallContext): Promise<"dynamic" | "plain" | "unknown"> {
    try {
      const { query } = await api.getGroupDynamicSettings(groupId, context);
      // Whether a plain group answers 404 is documented nowhere; one without a single condition includes nobody by them.
      return query?.skillConditions?.length === 0 ? "plain" : "dynamic";
    } catch (error) {
      if (isGroupSyncError(error, "not-found")) return "plain";
      if (isGroupSyncError(error, "forbidden")) return "unknown";
      throw error;
    }
  }

  async function findAccounts(keys: readonly AccountKey[], context: CallContext): Promise<readonly AccountFinding[]> {
    if (keys.length > MAX_KEYS) {
      throw new GroupSyncError("unsupported", `${id}: at most ${MAX_KEYS} keys at once.`, {
        provider: id,
      });
    }
    if (keys.some((key) => key.by === "email" && key.value.trim() === "")) {
      throw new GroupSyncError("options-invalid", `${id}: an empty address cannot be looked up.`, { provider: id });
    }
    const ids = [...new Set(keys.filter(({ by }) => by === "id").map(({ value }) => value))];
    const byId = new Map<string, GenesysUser>();
    for (const piece of chunk(ids, MAX_USER_IDS_PER_CALL)) {
      for (const [userId, user] of await findByIds(piece, context)) byId.set(userId, user);
    }
    const emails = new Set(keys.filter(({ by }) => by === "email").map(({ value }) => normalizeEmail(value)));
    const listed = await listByEmail(emails.size, context);
    const searched = new Map<string, Promise<readonly Account[]>>();
    const search = (email: string) => {
      const answer = searched.get(email) ?? findByEmail(email, context);
      searched.set(email, answer);
      return answer;
    };
    return Promise.all(
      keys.map(async (key) => {
        if (key.by === "email") {
          // Only someone alive in the list is taken from it; the search has the last word on everybody else.
          const known = listed.get(normalizeEmail(key.value)) ?? [];
          return { key, accounts: known.length > 0 ? known : await search(key.value) };
        }
        const user = byId.get(key.value.toLowerCase());
        return { key, accounts: user ? [describeAccount(user)] : [] };
      }),
    );
  }

  /**
   * Everybody who is not deleted, by address, where listing all users takes fewer calls than searching `searches`
   * addresses (two calls each at worst); else nobody. The first page tells how long the list is.
   */
  async function listByEmail(searches: number, context: CallContext): Promise<ReadonlyMap<string, readonly Account[]>> {
    if (searches <= FEW_SEARCHES) return new Map();
    const users = await context.once(`genesys ${id} users`, async () => {
      const readPage = (pageNumber: number) =>
        api.listUsers({ state: "any", pageSize: PAGE_SIZE, pageNumber }, context);
      const first = await readPage(1);
      const pages = first.pageCount ?? Number.POSITIVE_INFINITY;
      if (pages >= searches) return [];
      const walk = await walkListing((pageNumber) =>
        pageNumber === 1 ? Promise.resolve(first) : readPage(pageNumber),
      );
      return proveByTotal(walk, "users").complete ? walk.rows : [];
    });
    const alive = users
      .map((user) => ({ user, account: describeAccount(user) }))
      .filter(({ account }) => account.status !== "deleted");
    return new Map(
      [...groupBy(alive, ({ user }) => normalizeEmail(user.email ?? ""))].map(([email, all]) => [
        email,
        all.map(({ account }) => account),
      ]),
    );
  }

  /** By lower-case id. */
  async function findByIds(ids: readonly string[], context: CallContext): Promise<ReadonlyMap<string, GenesysUser>> {
    const walk = await walkListing((pageNumber) =>
      api.listUsers({ id: ids, state: "any", pageSize: PAGE_SIZE, pageNumber }, context),
    );
    const users = new Map(walk.rows.map((user) => [user.id.toLowerCase(), user]));
    const missing = ids.some((userId) => !users.has(userId.toLowerCase()));
    if (missing) requireWhole(walk, "listUsers");
    return users;
  }

  async function findByEmail(email: string, context: CallContext): Promise<readonly Account[]> {
    const wanted = normalizeEmail(email);
    const deleted = new Map<string, Account>();
    // Whether EXACT heeds case, and which states it covers, is documented nowhere: absence is concluded from all four.
    for (const states of [undefined, ["inactive", "deleted"]]) {
      for (const spelling of new Set([email.trim(), wanted])) {
        const found = (await searchByEmail(spelling, states, context))
          .filter((user) => normalizeEmail(user.email ?? "") === wanted)
          .map(describeAccount);
        const alive = found.filter(({ status }) => status !== "deleted");
        if (alive.length > 0) return alive;
        for (const account of found) deleted.set(account.id, account);
      }
    }
    return [...deleted.values()];
  }

  async function searchByEmail(
    value: string,
    states: readonly string[] | undefined,
    context: CallContext,
  ): Promise<readonly GenesysUser[]> {
    const walk = await walkPages(
      async ({ index }) => {
        const { results, ...page } = await api.searchUsers(emailSearch(value, index + 1, states), context);
        return describePage(results, page, index);
      },
      (user) => user.id,
    );
    requireWhole(walk, "searchUsers");
    return walk.rows;
  }

  /** An answer that was cut is no proof that someone is missing. */
  function requireWhole(walk: Walk<GenesysUser>, operation: string): void {
    const evidence = proveByTotal(walk, "users");
    if (evidence.complete) return;
    throw new GroupSyncError("bad-answer", `${id}: a look-up could not be read whole: ${evidence.because}.`, {
      provider: id,
      operation,
      retryable: true,
    });
  }

  async function applyBatch(batch: Batch, context: CallContext): Promise<BatchResult> {
    if (batch.kind === "group.create") return createGroup(batch, context);
    if (batch.kind === "group.update") return updateGroup(batch, context);
    if (batch.kind === "group.delete") return deleteGroup(batch.group, context);
    return changeMembers(batch, context);
  }

  async function createGroup(
    batch: Extract<Batch, { kind: "group.create" }>,
    context: CallContext,
  ): Promise<BatchResult> {
    if (batch.add.length > 0) throw unsupported("a group is made empty; members are added afterwards");
    requireName(batch.name);
    const created = await api.createGroup(
      { name: batch.name, type: "official", rulesVisible: true, visibility: "public" },
      context,
    );
    // The service loses a description on POST (source: terraform-provider-genesyscloud), so it is put afterwards.
    const described = batch.description ? await describeNewGroup(created, batch.description, context) : created;
    return { group: describeGroup(described, "plain") };
  }

  /**
   * The group is there, whatever happens here: a failure must not look as if it were not. The result then shows it
   * without the description, and the next reading shows the difference.
   */
  async function describeNewGroup(
    created: GenesysGroup,
    description: string,
    context: CallContext,
  ): Promise<GenesysGroup> {
    try {
      return await api.updateGroup(created.id, { version: requireVersion(created), description }, context);
    } catch (error) {
      if (isGroupSyncError(error)) return created;
      throw error;
    }
  }

  async function updateGroup(
    { group, name, description }: Extract<Batch, { kind: "group.update" }>,
    context: CallContext,
  ): Promise<BatchResult> {
    if (name === undefined && description === undefined) throw unsupported("nothing to change in the group");
    if (name !== undefined) requireName(name);
    const version = await currentVersion(group, context);
    const updated = await api.updateGroup(
      group.id,
      { version, ...(name !== undefined && { name }), ...(description !== undefined && { description }) },
      context,
    );
    return { group: describeGroup(updated, "plain") };
  }

  /** A deletion that was accepted may still fail later in the second of the vendor's two systems, so it is watched. */
  async function deleteGroup(group: GroupRef, context: CallContext): Promise<BatchResult> {
    await api.deleteGroup(group.id, context);
    try {
      await watchDeletion(group, context);
    } catch (error) {
      if (!isGroupSyncError(error)) throw error;
      // The deletion was accepted; only looking has failed.
      throw new GroupSyncError(error.code, error.message, { ...error.facts, outcomeUnknown: true });
    }
    return {};
  }

  async function watchDeletion(group: GroupRef, context: CallContext): Promise<void> {
    const started = performance.now();
    let repeated = false;
    while (!(await isGone(group.id, context))) {
      const elapsed = performance.now() - started;
      if (!repeated && elapsed >= timing.limitMs / 2) {
        repeated = true;
        await repeatDeletion(group.id, context);
      } else if (elapsed >= timing.limitMs) {
        throw new GroupSyncError("timeout", `${id} accepted to delete "${group.name}", but still shows it.`, {
          provider: id,
          operation: "deleteGroup",
          hint: "Look again later; if the group is still there then, delete it once more.",
        });
      }
      await pause(context.signal);
    }
  }

  async function repeatDeletion(groupId: string, context: CallContext): Promise<void> {
    await api.deleteGroup(groupId, context).catch((error: unknown) => {
      // Gone meanwhile, or still busy with the first one: looking goes on either way.
      if (!isGroupSyncError(error, "not-found") && !isGroupSyncError(error, "conflict")) throw error;
    });
  }

  async function isGone(groupId: string, context: CallContext): Promise<boolean> {
    try {
      return (await api.getGroup(groupId, context)).state === "deleted";
    } catch (error) {
      if (isGroupSyncError(error, "not-found")) return true;
      throw error;
    }
  }

  async function pause(signal: AbortSignal | undefined): Promise<void> {
    await sleep(timing.intervalMs, undefined, signal ? { signal } : {}).catch(() => {
      throw new GroupSyncError("cancelled", `Stopped while looking whether the group is gone at ${id}.`, {
        provider: id,
        operation: "deleteGroup",
      });
    });
  }

  async function changeMembers(batch: Extract<Batch, { kind: "members" }>, context: CallContext): Promise<BatchResult> {
    const group = checkMembersBatch(batch);
    if (batch.add.length > 0) await addMembers(group, batch.add, context);
    else if (batch.update.length > 0) await changeRoles(group, batch.update, context);
    else await removeMembers(group, batch.remove, context);
    // 202 says nothing about anybody.
    return {};
  }

  /** Everything that can be refused without asking the service, so that nothing is sent of a batch that cannot be done. */
  function checkMembersBatch({ groups, add, update, remove }: Extract<Batch, { kind: "members" }>): GroupRef {
    const [group, ...others] = groups;
    if (!group || others.length > 0) throw unsupported("one call changes one group");
    const lists = [add, update, remove].filter((list) => list.length > 0);
    const [edits] = lists;
    if (!edits || lists.length > 1) throw unsupported("one call either adds, or changes, or removes");
    if (edits.length > MAX_MEMBERS_PER_CALL) throw unsupported(`at most ${MAX_MEMBERS_PER_CALL} people in one call`);
    if (edits.some(({ role }) => role === "manager")) throw unsupported("there are no managers, only owners");
    if (edits.some(({ invitation }) => invitation !== undefined)) throw unsupported("there are no invitations");
    checkIds(accountsOf(edits), MAX_MEMBERS_PER_CALL);
    return group;
  }

  async function addMembers(group: GroupRef, edits: readonly MemberEdit[], context: CallContext): Promise<void> {
    await api.addGroupMembers(group.id, accountsOf(edits), await currentVersion(group, context), context);
    const owners = accountsOf(edits.filter(({ role }) => role === "owner"));
    if (owners.length === 0) return;
    const current = await api.getGroup(group.id, context);
    await putOwners(current, [...ownersOf(current), ...owners], context);
  }

  async function changeRoles(group: GroupRef, edits: readonly MemberEdit[], context: CallContext): Promise<void> {
    let current = await readUnchanged(group, context);
    const apply = (owners: readonly string[]) => [
      ...withoutAll(owners, accountsOf(edits.filter(({ role }) => role !== "owner"))),
      ...accountsOf(edits.filter(({ role }) => role === "owner")),
    ];
    refuseOwnerless(current, apply(ownersOf(current)));
    // First in, then out of the list of owners: nobody falls out of the group in between.
    const newcomers = accountsOf(edits.filter(({ direct }) => direct === false));
    if (newcomers.length > 0) {
      await api.addGroupMembers(group.id, newcomers, requireVersion(current), context);
      current = await api.getGroup(group.id, context);
      await requireMembers(current, newcomers, context);
      refuseOwnerless(current, apply(ownersOf(current)));
    }
    await putOwners(current, apply(ownersOf(current)), context);
  }

  /** A 202 says nothing: whoever is there by a role alone keeps it until the membership shows. */
  async function requireMembers(group: GenesysGroup, accounts: readonly string[], context: CallContext): Promise<void> {
    const { first, second } = await readIndividuals(group, context);
    const present = new Set((second ?? first)?.entities?.map((user) => user.id));
    if (accounts.every((account) => present.has(account))) return;
    const message = `${id}: "${group.name}" does not show its new members yet, so their roles were not changed.`;
    throw new GroupSyncError("conflict", message, { provider: id, operation: "updateGroup" });
  }

  async function removeMembers(group: GroupRef, edits: readonly MemberEdit[], context: CallContext): Promise<void> {
    const owners = accountsOf(edits.filter(({ role, previousRole }) => (previousRole ?? role) === "owner"));
    if (owners.length > 0) {
      const current = await readUnchanged(group, context);
      const left = withoutAll(ownersOf(current), owners);
      refuseOwnerless(current, left);
      await putOwners(current, left, context);
    }
    // DELETE on someone who is present by role or rule only is documented nowhere, so it is never sent.
    const members = accountsOf(edits.filter(({ direct }) => direct !== false));
    if (members.length > 0) await api.removeGroupMembers(group.id, members, context);
  }

  /** Sends the list of owners, unless the group has just these. */
  async function putOwners(current: GenesysGroup, owners: readonly string[], context: CallContext): Promise<void> {
    const wanted = new Set(owners);
    const present = new Set(ownersOf(current));
    if (wanted.size === present.size && [...wanted].every((owner) => present.has(owner))) return;
    await api.updateGroup(current.id, { version: requireVersion(current), ownerIds: [...wanted] }, context);
  }

  function refuseOwnerless(current: GenesysGroup, owners: readonly string[]): void {
    if (owners.length > 0 || ownersOf(current).length === 0) return;
    throw unsupported(`"${current.name}" would be left without an owner, and an empty list of owners is ignored`);
  }

  /** The group as it is now; a conflict when it is not as it was read. Owners are written as a whole list. */
  async function readUnchanged(group: GroupRef, context: CallContext): Promise<GenesysGroup> {
    const current = await api.getGroup(group.id, context);
    if (group.version === undefined || group.version === versionOf(current)) return current;
    throw new GroupSyncError("conflict", `${id}: the group "${group.name}" has changed since it was read.`, {
      provider: id,
      operation: "getGroup",
    });
  }

  async function currentVersion(group: GroupRef, context: CallContext): Promise<number> {
    if (group.version === undefined) return requireVersion(await api.getGroup(group.id, context));
    const version = Number(group.version);
    if (Number.isSafeInteger(version) && group.version.trim() !== "") return version;
    throw new GroupSyncError(
      "options-invalid",
      `${id}: ${JSON.stringify(group.version)} is not a version of a group.`,
      {
        provider: id,
      },
    );
  }

  /** What the service makes of a blank name is not documented, and nobody could find the group by it again. */
  function requireName(name: string): void {
    if (name.trim() !== "") return;
    throw new GroupSyncError("options-invalid", `${id}: a group needs a name. Nothing was sent.`, { provider: id });
  }

  function requireVersion(group: GenesysGroup): number {
    if (typeof group.version === "number") return group.version;
    throw new GroupSyncError("bad-answer", `${id} gave the group "${group.name}" without a version.`, { provider: id });
  }

  function unsupported(what: string): GroupSyncError {
    return new GroupSyncError("unsupported", `${id} cannot do this: ${what}.`, {
      provider: id,
      operation: "applyBatch",
    });
  }

  return nameErrors({
    id,
    type: "genesys",
    capabilities: genesysCapabilities,
    checkAccess,
    listGroups,
    readGroup,
    readGroups,
    readKind: async (groupId, context) => ((await readKind(groupId, context)) === "dynamic" ? "dynamic" : "plain"),
    findAccounts,
    applyBatch,
  });
}

/** Genesys Cloud as the spec names it. */
export const genesysProviderType: ProviderType = {
  type: "genesys",
  label: "Genesys Cloud",
  options: optionsSchema,
  secretOptions: ["clientSecret"],
  capabilities: genesysCapabilities,
  create: (id, options) => createGenesysProvider({ ...(options as Omit<GenesysOptions, "id">), id }),
};

async function unlessForbidden<T>(call: Promise<T>): Promise<T | "forbidden"> {
  return call.catch((error: unknown) => {
    if (isGroupSyncError(error, "forbidden")) return "forbidden" as const;
    throw error;
  });
}

async function walkListing<Row extends { readonly id: string }>(
  readPage: (pageNumber: number) => Promise<GenesysListing<Row>>,
): Promise<Walk<Row>> {
  return walkPages(
    async ({ index }: PagePosition) => {
      const { entities, ...page } = await readPage(index + 1);
      return describePage(entities, page, index);
    },
    (row) => row.id,
  );
}

/** The service may make pages smaller than asked for; its own count of pages says which one is the last. */
function describePage<Row>(
  rows: readonly Row[],
  page: { readonly total?: number | null | undefined; readonly pageCount?: number | null | undefined },
  index: number,
): Page<Row> {
  return {
    rows,
    ...(typeof page.total === "number" && { total: page.total }),
    ...(typeof page.pageCount === "number" && { last: index + 1 >= page.pageCount }),
  };
}

function emailSearch(value: string, pageNumber: number, states?: readonly string[]) {
  return {
    pageSize: PAGE_SIZE,
    pageNumber,
    query: [
      { type: "EXACT", fields: ["email"], value },
      ...(states ? [{ type: "EXACT", fields: ["state"], values: states } as const] : []),
    ],
  } as const;
}

function normalizeEmail(email: string): string {
  return email.trim().toLowerCase();
}

function accountsOf(edits: readonly MemberEdit[]): readonly string[] {
  return [...new Set(edits.map(({ account }) => account))];
}

function withoutAll(accounts: readonly string[], leaving: readonly string[]): readonly string[] {
  return accounts.filter((account) => !leaving.includes(account));
}

function ownersOf(group: GenesysGroup): readonly string[] {
  return (group.owners ?? []).map((owner) => owner.id);
}

function versionOf(group: GenesysGroup): string | undefined {
  return typeof group.version === "number" ? String(group.version) : undefined;
}

function isActive({ state }: GenesysGroup): boolean {
  return typeof state !== "string" || state === "active";
}

function describeGroup(group: GenesysGroup, kind: Group["kind"]): Group {
  const version = versionOf(group);
  return {
    id: group.id,
    name: group.name,
    ...(typeof group.description === "string" && { description: group.description }),
    ...(version !== undefined && { version }),
    kind,
  };
}

function recordsById(records: readonly GenesysGroup[]): ReadonlyMap<string, GenesysGroup> {
  return new Map(records.map((record) => [record.id, record]));
}

/** The answers of a list of individuals: the second one where the first declares no total. */
interface Individuals {
  readonly first: GenesysListing<GenesysUser> | undefined;
  readonly second?: GenesysListing<GenesysUser> | undefined;
}

function describeSnapshot(
  before: GenesysGroup,
  { first, second }: Individuals,
  after: GenesysGroup,
  kind: "dynamic" | "plain" | "unknown",
): Snapshot {
  return {
    group: describeGroup(after, kind === "dynamic" ? "dynamic" : "plain"),
    members: describeMembers((second ?? first)?.entities ?? [], after),
    evidence: judgeReading(before, first, second, after),
  };
}

function describeAccount(user: GenesysUser): Account {
  const known = {
    id: user.id,
    ...(typeof user.email === "string" && { email: user.email }),
    ...(typeof user.name === "string" && { name: user.name }),
  };
  switch (user.state) {
    case "active":
      return { ...known, status: "active", eligible: true };
    case "deleted":
      return { ...known, status: "deleted", eligible: false, note: "the account is deleted at Genesys Cloud" };
    case "inactive":
      return { ...known, status: "disabled", eligible: false, note: "the account is inactive at Genesys Cloud" };
    default:
      return {
        ...known,
        status: "disabled",
        eligible: false,
        note: "Genesys Cloud does not say whether the account is active",
      };
  }
}

function describeMembers(individuals: readonly GenesysUser[], group: GenesysGroup): readonly Member[] {
  const owners = new Set(ownersOf(group));
  const direct = new Map(
    individuals.map((user) => [user.id, describeMember(user, owners.has(user.id) ? "owner" : "member", true)]),
  );
  const others = (group.owners ?? []).filter((owner) => !direct.has(owner.id));
  const indirect = new Map(others.map((owner) => [owner.id, describeMember(owner, "owner", false)]));
  return [...direct.values(), ...indirect.values()];
}

function describeMember(user: GenesysUser, role: Member["role"], direct: boolean): Member {
  return {
    account: user.id,
    role,
    direct,
    state: user.state === "inactive" || user.state === "deleted" ? "disabled" : "active",
    ...(typeof user.email === "string" && { email: user.email }),
    ...(typeof user.name === "string" && { name: user.name }),
  };
}

/**
 * Whether a reading of the individuals is whole. The list declares no paging, and whether it can be cut is documented
 * nowhere; so its total has to fit, and the group's version must be the same before and after. `memberCount` is no
 * check: it counts inactive people too, and perhaps owners.
 */
function judgeReading(
  before: GenesysGroup,
  first: GenesysListing<GenesysUser> | undefined,
  second: GenesysListing<GenesysUser> | undefined,
  after: GenesysGroup,
): Evidence {
  const list = second ?? first;
  const ids = distinctIds(list);
  const [versionBefore, versionAfter] = [versionOf(before), versionOf(after)];
  const facts = {
    pages: 1,
    counted: ids.size,
    duplicates: (list?.entities.length ?? 0) - ids.size,
    ...(typeof list?.total === "number" && { declared: list.total }),
    ...(versionBefore !== undefined && { versionBefore }),
    ...(versionAfter !== undefined && { versionAfter }),
  };
  const incomplete = (because: string): Evidence => ({ ...facts, complete: false, because });
  const moved = (because: string): Evidence => ({ ...incomplete(because), moved: true });

  if (!list) return moved("the group is there, but its list of individuals is not (yet)");
  if (versionBefore !== versionAfter) {
    return moved(
      `the group's version went from ${versionBefore ?? "none"} to ${versionAfter ?? "none"} while it was read`,
    );
  }
  if (versionBefore === undefined) return incomplete("the group carries no version, so a change would not be seen");
  const cut = findCut(list);
  // Rows that are missing on the one page there is may be this answer's fault; pages that are not read never come.
  if (cut !== undefined)
    return (list.pageCount ?? 1) > 1 || typeof list.total !== "number" ? incomplete(cut) : moved(cut);
  const under = `under version ${versionBefore}`;
  if (typeof list.total === "number") {
    return list.total === ids.size
      ? { ...facts, complete: true, because: `${ids.size} distinct individuals equal the declared total, ${under}` }
      : moved(`${ids.size} distinct individuals were read, but ${list.total} are declared`);
  }
  const earlier = distinctIds(first);
  if (earlier.size !== ids.size || [...ids].some((userId) => !earlier.has(userId))) {
    return moved("two readings of the individuals differ, and no total is declared");
  }
  const length = list.entities.length;
  if (PAGE_LIKE_LENGTHS.includes(length) || (length > 0 && length === list.pageSize)) {
    return incomplete(`no total is declared, and ${length} individuals may be just a first page`);
  }
  return {
    ...facts,
    complete: true,
    weak: true,
    because: `two readings gave the same ${ids.size} individuals ${under}; no total is declared`,
  };
}

function distinctIds(list: GenesysListing<GenesysUser> | undefined): ReadonlySet<string> {
  return new Set((list?.entities ?? []).map((user) => user.id));
}

/** A sign that the list goes on beyond what was read. */
function findCut({ entities, total, pageCount, nextUri }: GenesysListing<GenesysUser>): string | undefined {
  if (typeof total === "number" && total > entities.length) {
    return `the list was cut: ${entities.length} individuals of ${total}`;
  }
  if (typeof pageCount === "number" && pageCount > 1) return `the list was cut: 1 page of ${pageCount}`;
  // Whether the last page names a next one is documented nowhere, so a total that fits outweighs it.
  if (typeof total !== "number" && nextUri) return "the list was cut: it names a next page";
  return undefined;
}
