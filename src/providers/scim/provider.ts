/**
 * Any service with SCIM 2.0 as a provider of groups.
 *
 * A group is a resource with a `displayName` and a list of `members`, a member is a user's `id`. There are no roles
 * above membership, no descriptions and no invitations. Where the service has ETags, a write is checked against the
 * version that was read.
 *
 * Groups within groups are left alone: they are not people, so they are not listed as members and never removed. The
 * RFC lets a service leave out what a member is; then the members are held against the list of groups.
 */
import { z } from "zod";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { findBaseUrlProblem } from "../../http/client.js";
import { nameErrors } from "../../http/named.js";
import { connectionShape } from "../../http/options.js";
import { proveByTotal, type Walk, walkPages } from "../../http/paginate.js";
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
  createScimApi,
  type ScimApiOptions,
  scimEquals,
  type ScimGroup,
  scimLimits,
  type ScimMember,
  type ScimOperation,
  type ScimPage,
  type ScimPageQuery,
  type ScimUser,
} from "./api.js";

/**
 * Options of one service with SCIM.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7644
 */
export interface ScimProviderOptions extends Omit<ScimApiOptions, "provider"> {
  /** The key of this account in specs, plans and reports. @default "scim" */
  readonly id?: ProviderId;
  /**
   * Where users have their address. `both` costs two requests per address; not every service can be asked for
   * `emails`.
   * @default "both"
   */
  readonly addressIn?: "userName" | "emails" | "both";
}

const address = z.string().check((check) => {
  const problem = findBaseUrlProblem(check.value);
  if (problem) check.issues.push({ code: "custom", message: problem, input: check.value });
});

/** A header can hold nothing else, and a line break in it would start another header. */
const headerToken = z.string().regex(/^[\x21-\x7e]+$/, "a token is one word of printable ASCII characters");

/** What a spec may say about a service with SCIM. Strict: an unknown key is an error. */
const scimOptionsSchema = z.strictObject({
  baseUrl: address.describe("The address before /Groups and /Users, such as https://directory.example.org/scim/v2."),
  token: headerToken.describe("The bearer token, as ${NAME}."),
  addressIn: z
    .enum(["userName", "emails", "both"])
    .exactOptional()
    .describe("Where users have their e-mail address. Default both."),
  ...connectionShape,
});

const ONE_CALL = "safe assumption: RFC 7644 §3.5.2 names no limit for the operations of a PATCH";

/** What every service with SCIM can do. Where the RFC leaves it open, the value is the safe one and says so. */
export const scimCapabilities: Capabilities = {
  memberKey: { value: "user id", source: "RFC 7643 §4.2: members.value is the id of a user or a group" },
  add: {
    accountsPerCall: { value: 100, source: ONE_CALL },
    groupsPerCall: { value: 1, source: "RFC 7644 §3.5.2: a PATCH changes one resource" },
  },
  remove: {
    accountsPerCall: { value: 100, source: ONE_CALL },
    groupsPerCall: { value: 1, source: "RFC 7644 §3.5.2: a PATCH changes one resource" },
  },
  mixed: { value: true, source: "RFC 7644 §3.5.2: a PATCH holds several operations, and is done whole or not at all" },
  maxMembers: { value: null, source: "RFC 7643 §4.2 names no limit" },
  roles: {},
  groups: {
    create: { value: true, source: "RFC 7644 §3.3" },
    membersOnCreate: { value: 100, source: `RFC 7644 §3.3: a POST may hold members; ${ONE_CALL}` },
    rename: { value: true, source: "RFC 7643 §8.7.1: displayName is readWrite" },
    delete: { value: true, source: "RFC 7644 §3.6" },
    description: { value: false, source: "RFC 7643 §4.2: a group has a displayName and members" },
    duplicateNames: { value: true, source: "RFC 7643 §8.7.1: the uniqueness of a group's displayName is none" },
  },
  lookup: {
    by: { value: ["id", "email"], source: "RFC 7644 §3.4.1 (by id) and §3.4.2.2 (by filter)" },
    pinsAreKeys: { value: true, source: "RFC 7643 §4.2: members.value is the id" },
    idsAreLowerCase: { value: false, source: "RFC 7643 §3.1: the case of an id counts" },
    keysPerCall: { value: 1, source: "safe assumption: not every service takes a filter with `or`" },
  },
  invitations: { value: false, source: "RFC 7644 §3.5.2: a PATCH takes effect at once" },
  versions: { value: true, source: "RFC 7644 §3.14; a service may do without, then nothing is checked" },
  consistencyMs: { value: 10_000, source: "safe assumption: RFC 7644 promises nothing" },
  pageSize: {
    groups: { value: 100, source: "safe assumption: RFC 7644 §3.4.2.4 lets a service give fewer" },
    members: { value: null, source: "RFC 7644 §3.4.2.4: resources come in pages, their attributes do not" },
  },
  ...scimLimits,
};

const PAGE_SIZE = scimCapabilities.pageSize.groups.value;

/** Makes a provider of one service with SCIM. Throws `options-invalid`; sends nothing. */
export function createScimProvider(options: ScimProviderOptions): GroupProvider {
  const { id = "scim", ...settings } = options;
  const checked = scimOptionsSchema.safeParse(settings);
  if (!checked.success) {
    const problems = checked.error.issues.map((issue) => [...issue.path, issue.message].join(": "));
    throw new GroupSyncError("options-invalid", `${id}: ${problems.join("; ")}`, { provider: id });
  }
  const { addressIn = "both", ...connection } = settings;
  const api = createScimApi({ ...connection, provider: id });
  const host = settings.baseUrl.replace(/^https?:\/\/|\/+$/g, "");
  const addressAttributes = { userName: ["userName"], emails: ["emails.value"], both: ["userName", "emails.value"] };

  async function checkAccess(context: CallContext, extent: "identity" | "all" = "all"): Promise<AccessReport> {
    const identity = `SCIM 2.0 at ${host}`;
    // No call tells who we are there; whether we may read, the list of groups shows.
    if (extent === "identity") return { identity, findings: [] };
    const findings: AccessFinding[] = [];
    await checkConfig(context, findings);
    const { total } = await readFirstGroup(context);
    findings.push({ level: "ok", message: `Groups can be read; there are ${total}.` });
    if ((await readInactive(context)) === undefined) {
      findings.push({
        level: "warning",
        message:
          "Users cannot be asked for by `active eq false`, so members whose account is switched off are shown as active.",
      });
    }
    return { identity, findings };
  }

  async function checkConfig(context: CallContext, findings: AccessFinding[]): Promise<void> {
    try {
      const { patch, filter, etag } = await api.getConfig(context);
      if (patch?.supported === false) {
        findings.push({ level: "error", message: "The service takes no PATCH, so members cannot be changed safely." });
      }
      if (filter?.supported === false) {
        findings.push({
          level: "warning",
          message: "The service takes no filters, so people cannot be found by address: pin their ids.",
        });
      }
      if (etag?.supported === false) {
        findings.push({
          level: "warning",
          message: "The service has no ETags, so an edit by someone else between reading and writing is not noticed.",
        });
      }
    } catch (error) {
      // Every service should have it (RFC 7644 §4), and nothing else needs the answer.
      if (!isGroupSyncError(error, "not-found") && !isGroupSyncError(error, "forbidden")) throw error;
      findings.push({
        level: "warning",
        message: `What the service can do cannot be read (${error.facts.status} for ServiceProviderConfig).`,
      });
    }
  }

  async function listGroups(context: CallContext): Promise<GroupListing> {
    const walk = await walkAll((query) => api.listGroups(query, context));
    return { groups: walk.rows.map(describeGroup), evidence: proveByTotal(walk, "groups") };
  }

  async function readGroup(groupId: string, context: CallContext): Promise<Snapshot> {
    // All members come in one answer without a total, so a second one has to agree.
    const first = await readRecord(groupId, context);
    const second = await readRecord(groupId, context);
    const { people, evidence } = await findPeople(second, proveByAgreement(first, second), context);
    const inactive = (await readInactive(context)) ?? new Set();
    const members = people.map(
      ({ value, display }): Member => ({
        account: value,
        role: "member",
        direct: true,
        state: inactive.has(value) ? "disabled" : "active",
        ...(display && { name: display }),
      }),
    );
    return { group: describeGroup(second), members, evidence };
  }

  async function readRecord(groupId: string, context: CallContext): Promise<ScimGroup> {
    try {
      const group = await api.getGroup(groupId, context);
      if (group.id === groupId) return group;
    } catch (error) {
      if (isGroupSyncError(error, "not-found")) await readFirstGroup(context);
      throw error;
    }
    throw new GroupSyncError("bad-answer", `${id} was asked for group ${groupId} and answered another.`, {
      provider: id,
      operation: "getGroup",
    });
  }

  /** Throws `unavailable` when not even the list of groups is there: then a 404 is about the address, not about a thing. */
  function readFirstGroup(context: CallContext): Promise<ScimPage<ScimGroup>> {
    return context.once(`${id}: first group`, async () => {
      try {
        return await api.listGroups({ startIndex: 1, count: 1 }, context);
      } catch (error) {
        if (!isGroupSyncError(error, "not-found")) throw error;
        throw new GroupSyncError("unavailable", `${id} answers 404 even to the list of groups.`, {
          ...error.facts,
          hint: "Check baseUrl: nothing can be concluded from a 404 there.",
        });
      }
    });
  }

  /** The members that are users, each once. */
  async function findPeople(
    group: ScimGroup,
    evidence: Evidence,
    context: CallContext,
  ): Promise<{ readonly people: readonly ScimMember[]; readonly evidence: Evidence }> {
    const members = distinctMembers(group);
    if (members.every((member) => kindOf(member) !== undefined)) {
      const people = members.filter((member) => kindOf(member) === "user");
      return { people, evidence: countPeople(evidence, people.length, members.length) };
    }
    // An id is unique among all resources of a service (RFC 7643 §3.1), so the id of a group is no user's.
    const { groups, evidence: listing } = await context.once(`${id}: groups`, () => listGroups(context));
    const groupIds = new Set(groups.map((each) => each.id));
    const people = members.filter((member) => (kindOf(member) ?? "user") === "user" && !groupIds.has(member.value));
    const counted = countPeople(evidence, people.length, members.length);
    if (listing.complete || !counted.complete) return { people, evidence: counted };
    const because = `whether members are people or groups is not told, and ${listing.because}`;
    return { people, evidence: { ...counted, complete: false, moved: listing.moved ?? false, because } };
  }

  /** The ids of all users who are switched off, once per pass; undefined where the service cannot be asked for them. */
  function readInactive(context: CallContext): Promise<ReadonlySet<string> | undefined> {
    return context.once(`${id}: inactive users`, async () => {
      try {
        const filter = scimEquals("active", false);
        const { rows } = await walkAll((query) => api.listUsers(filter, query, context));
        return new Set(rows.filter(({ active }) => active === false).map((user) => user.id));
      } catch (error) {
        if (isGroupSyncError(error, "refused")) return undefined;
        throw error;
      }
    });
  }

  async function findAccounts(keys: readonly AccountKey[], context: CallContext): Promise<readonly AccountFinding[]> {
    return Promise.all(
      keys.map(async (key) => ({
        key,
        accounts: key.by === "id" ? await findById(key.value, context) : await findByAddress(key.value, context),
      })),
    );
  }

  async function findById(userId: string, context: CallContext): Promise<readonly Account[]> {
    try {
      const user = await api.getUser(userId, context);
      if (user.id === userId) return [describeAccount(user)];
    } catch (error) {
      if (!isGroupSyncError(error, "not-found")) throw error;
      await readFirstGroup(context);
      return [];
    }
    throw new GroupSyncError("bad-answer", `${id} was asked for one user and answered another.`, {
      provider: id,
      operation: "getUser",
    });
  }

  async function findByAddress(wanted: string, context: CallContext): Promise<readonly Account[]> {
    const found = await Promise.all(
      addressAttributes[addressIn].map(async (attribute) => {
        const walk = await askFor(attribute, wanted, context);
        const { complete, because } = proveByTotal(walk, "users");
        if (complete) return walk.rows;
        throw new GroupSyncError("bad-answer", `${id} cannot say who has an address: ${because}.`, {
          provider: id,
          operation: "listUsers",
          retryable: true,
        });
      }),
    );
    // What a service takes for equal is its own affair; only the very address counts here.
    const exact = found.flat().filter((user) => addressesOf(user).some((each) => isSameAddress(each, wanted)));
    return [...new Map(exact.map((user) => [user.id, describeAccount(user)])).values()];
  }

  async function askFor(attribute: string, wanted: string, context: CallContext): Promise<Walk<ScimUser>> {
    try {
      return await walkAll((query) => api.listUsers(scimEquals(attribute, wanted), query, context));
    } catch (error) {
      if (!isGroupSyncError(error, "refused")) throw error;
      const hint = `If the service cannot be asked for ${attribute}, set addressIn to "userName" or "emails".`;
      throw new GroupSyncError(error.code, error.message, { ...error.facts, hint });
    }
  }

  async function applyBatch(batch: Batch, context: CallContext): Promise<BatchResult> {
    switch (batch.kind) {
      case "group.create": {
        const name = checkName(batch);
        const accounts = checkJoining(batch.add, scimCapabilities.groups.membersOnCreate.value);
        return { group: describeGroup(await api.createGroup(name, accounts, context)) };
      }
      case "group.update": {
        const rename: ScimOperation = { op: "replace", path: "displayName", value: checkName(batch) };
        await api.patchGroup(batch.group.id, [rename], batch.group.version, context);
        return {};
      }
      case "group.delete":
        await api.deleteGroup(batch.group.id, batch.group.version, context);
        return {};
      case "members":
        return applyMembers(batch, context);
    }
  }

  /** One PATCH: all additions, then a removal per person; given before taken. */
  async function applyMembers(batch: Batch & { readonly kind: "members" }, context: CallContext): Promise<BatchResult> {
    const [group, ...others] = batch.groups;
    if (group === undefined || others.length > 0) throw unsupported("a call changes one group");
    if (batch.update.length > 0) throw unsupported("there are no roles");
    const added = checkJoining(batch.add, scimCapabilities.add.accountsPerCall.value);
    const removed = checkAccounts(batch.remove, scimCapabilities.remove.accountsPerCall.value);
    const operations: readonly ScimOperation[] = [
      ...(added.length > 0 ? [{ op: "add" as const, path: "members", value: added.map((value) => ({ value })) }] : []),
      // A removal with a list of values is not in the RFC, and a service may take it for "remove all members".
      ...removed.map((account) => ({ op: "remove" as const, path: `members[${scimEquals("value", account)}]` })),
    ];
    if (operations.length > 0) await api.patchGroup(group.id, operations, group.version, context);
    return {};
  }

  function checkJoining(edits: readonly MemberEdit[], most: number): readonly string[] {
    if (edits.some(({ role }) => role !== "member")) throw unsupported("there are no roles");
    return checkAccounts(edits, most);
  }

  function checkAccounts(edits: readonly MemberEdit[], most: number): readonly string[] {
    if (edits.some(({ invitation }) => invitation !== undefined)) throw unsupported("there are no invitations");
    const accounts = [...new Set(edits.map(({ account }) => account))];
    if (accounts.length > most) throw unsupported(`${accounts.length} people are too many for one call`);
    if (accounts.every((account) => account.trim() !== "")) return accounts;
    throw new GroupSyncError("options-invalid", `${id}: an empty id names nobody.`, { provider: id });
  }

  function checkName(batch: { readonly name?: string; readonly description?: string }): string {
    if (batch.description !== undefined) throw unsupported("a group has no description");
    if (batch.name !== undefined && batch.name.trim() !== "") return batch.name;
    throw new GroupSyncError("options-invalid", `${id}: a group needs a name.`, { provider: id });
  }

  function unsupported(why: string): GroupSyncError {
    return new GroupSyncError("unsupported", `${id} cannot do that: ${why}. Nothing was sent.`, { provider: id });
  }

  return nameErrors({
    id,
    type: "scim",
    capabilities: scimCapabilities,
    checkAccess,
    listGroups,
    readGroup,
    findAccounts,
    applyBatch,
  });
}

/** Reads all pages. A page may be shorter than asked for, so the next one starts after what was received. */
function walkAll<Row extends { readonly id: string }>(
  readPage: (query: ScimPageQuery) => Promise<ScimPage<Row>>,
): Promise<Walk<Row>> {
  return walkPages(
    ({ received }) => readPage({ startIndex: received + 1, count: PAGE_SIZE }),
    (row) => row.id,
  );
}

function describeGroup({ id, displayName, version }: ScimGroup): Group {
  return { id, name: displayName, kind: "plain", ...(version !== undefined && { version }) };
}

/** The verdict on the members: two answers in a row that show the same ones. */
function proveByAgreement(first: ScimGroup, second: ScimGroup): Evidence {
  const [before, after] = [distinctMembers(first), distinctMembers(second)];
  const known = new Set(before.map(({ value }) => value));
  const agree = before.length === after.length && after.every(({ value }) => known.has(value));
  const facts = {
    pages: 2,
    counted: after.length,
    duplicates: (second.members?.length ?? 0) - after.length,
    ...(first.version !== undefined && { versionBefore: first.version }),
    ...(second.version !== undefined && { versionAfter: second.version }),
  };
  return agree
    ? { ...facts, complete: true, weak: true, because: `two answers in a row showed the same ${after.length} members` }
    : { ...facts, complete: false, moved: true, because: "two answers in a row showed different members" };
}

/** Says of groups within the group that they were seen and left alone. */
function countPeople(evidence: Evidence, people: number, members: number): Evidence {
  if (people === members) return evidence;
  const because = `${evidence.because}; ${members - people} of them are groups and left alone`;
  return { ...evidence, counted: people, because };
}

function distinctMembers({ members }: ScimGroup): readonly ScimMember[] {
  return [...new Map((members ?? []).map((member) => [member.value, member])).values()];
}

/** What a member is, as far as it is told (RFC 7643 §4.2: `type` and `$ref` say so where they are). */
function kindOf({ type, $ref }: ScimMember): "user" | "group" | undefined {
  const told = [type, /\/(User|Group)s\/[^/]*$/i.exec($ref ?? "")?.[1]].map((each) => each?.toLowerCase());
  return (["group", "user"] as const).find((kind) => told.includes(kind));
}

function describeAccount(user: ScimUser): Account {
  const [email] = addressesOf(user);
  // RFC 7643 §4.1.1: `active` may be missing; what it means is the service's affair.
  const isActive = user.active !== false;
  return {
    id: user.id,
    ...(email !== undefined && { email }),
    ...(user.displayName && { name: user.displayName }),
    status: isActive ? "active" : "disabled",
    eligible: isActive,
    ...(!isActive && { note: "the account is switched off (active is false)" }),
  };
}

/** All addresses of a user, the one to show first. */
function addressesOf({ emails, userName }: ScimUser): readonly string[] {
  const byRank = (emails ?? []).toSorted((one, other) => Number(other.primary ?? false) - Number(one.primary ?? false));
  const all = [...byRank.map(({ value }) => value), userName];
  return all.filter((each) => typeof each === "string").filter((each) => each.includes("@"));
}

function isSameAddress(one: string, other: string): boolean {
  return one.trim().toLowerCase() === other.trim().toLowerCase();
}

/** SCIM as a spec names it. */
export const scimProviderType: ProviderType = {
  type: "scim",
  label: "SCIM 2.0",
  options: scimOptionsSchema,
  secretOptions: ["token"],
  capabilities: scimCapabilities,
  create: (id, options) => createScimProvider({ ...(options as ScimProviderOptions), id }),
};
