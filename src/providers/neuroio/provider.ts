/**
 * NeuroIO as a provider of groups.
 *
 * A group there is a list of persons (faces), a member is a person's `pid`. There are no roles, addresses, names of
 * people, versions or invitations; so people have to be pinned by pid, and everything that was written is confirmed
 * by reading.
 */
import { z } from "zod";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { findBaseUrlProblem } from "../../http/client.js";
import { nameErrors } from "../../http/named.js";
import { readEach } from "../../http/many.js";
import { connectionShape } from "../../http/options.js";
import { type Page, proveByTotal, type Walk, walkPages } from "../../http/paginate.js";
import type { Batch, BatchResult, Evidence, Group, Member, MemberEdit, ProviderId, Snapshot } from "../../model.js";
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
  createNeuroioApi,
  findHostProblem,
  MAX_PIDS_PER_CALL,
  type NeuroioApiOptions,
  type NeuroioGroup,
  type NeuroioPage,
  type NeuroioUser,
  neuroioLimits,
  resolveNeuroioHosts,
} from "./api.js";

/**
 * Options of a NeuroIO account: either `token` (an account's or a space's), or `username` and `password`; and where.
 *
 * @see https://github.com/neuroio/neuroio-python
 */
export interface NeuroioProviderOptions extends Omit<NeuroioApiOptions, "provider"> {
  /** The key of this account in specs, plans and reports. @default "neuroio" */
  readonly id?: ProviderId;
}

const address = z.string().check((check) => {
  const problem = findBaseUrlProblem(check.value);
  if (problem) check.issues.push({ code: "custom", message: problem, input: check.value });
});

/** A header can hold nothing else, and a line break in it would start another header. */
const headerToken = z.string().regex(/^[\x21-\x7e]+$/, "a token is one word of printable ASCII characters");

/** What a spec may say about a NeuroIO account. Strict: an unknown key is an error. */
const neuroioOptionsSchema = z
  .strictObject({
    token: headerToken
      .optional()
      .describe("An API token of an account or a space, as ${NAME}. A permanent one does not end after 24 hours."),
    username: z.string().min(1).optional().describe("The name to log in with, instead of a token."),
    password: z.string().min(1).optional().describe("The password to `username`, as ${NAME}."),
    baseUrl: address.optional().describe("The host of groups and persons. Default https://api.neuroio.com."),
    iamUrl: address.optional().describe("The host of log-in, tokens and spaces. Default https://iam.neuroio.com."),
    ...connectionShape,
  })
  .check((check) => {
    const { token, username, password, baseUrl, iamUrl } = check.value;
    const hasLogIn = username !== undefined || password !== undefined;
    const problems = [
      token !== undefined && hasLogIn && "give a token, or a username and a password, but not both.",
      token === undefined && !hasLogIn && "give a token, or a username and a password.",
      hasLogIn && (username === undefined || password === undefined) && "username and password go together.",
      findHostProblem(baseUrl, iamUrl),
    ];
    for (const message of problems) if (message) check.issues.push({ code: "custom", message, input: undefined });
  });

const PERSON_GROUPS = 'the vendor\'s page "Person Groups"';

/** What NeuroIO can do. Where nothing is documented, the value is the safe one and says so. */
export const neuroioCapabilities: Capabilities = {
  memberKey: { value: "pid", source: PERSON_GROUPS },
  add: {
    accountsPerCall: { value: MAX_PIDS_PER_CALL, source: PERSON_GROUPS },
    groupsPerCall: {
      value: 100,
      source: `safe assumption: ${PERSON_GROUPS} shows five and states no limit; a 400 that names groups_ids is halved`,
    },
  },
  remove: {
    accountsPerCall: { value: MAX_PIDS_PER_CALL, source: PERSON_GROUPS },
    groupsPerCall: {
      value: 100,
      source: `safe assumption: ${PERSON_GROUPS} shows five and states no limit; a 400 that names groups_ids is halved`,
    },
  },
  mixed: { value: false, source: `${PERSON_GROUPS}: adding and removing are two calls` },
  maxMembers: { value: 100_000, source: PERSON_GROUPS },
  roles: {},
  groups: {
    create: { value: true, source: PERSON_GROUPS },
    membersOnCreate: { value: 0, source: `${PERSON_GROUPS}: a new group takes a name only` },
    rename: { value: true, source: PERSON_GROUPS },
    delete: { value: true, source: PERSON_GROUPS },
    description: { value: false, source: `${PERSON_GROUPS}: a group has a name only` },
    duplicateNames: { value: true, source: "safe assumption: nothing says that names are unique" },
  },
  lookup: {
    by: {
      value: ["id"],
      source: "both official clients: statistics of a person by pid; a person has no name, address or other key",
    },
    pinsAreKeys: { value: true, source: "members are listed by pid" },
    idsAreLowerCase: { value: false, source: "both official clients: a pid is opaque text" },
    keysPerCall: { value: 1, source: "both official clients: no call takes several" },
  },
  invitations: { value: false, source: `${PERSON_GROUPS}: adding takes effect at once` },
  versions: { value: false, source: "both official clients: no version, no ETag, no conditional request" },
  consistencyMs: { value: 10_000, source: "safe assumption: nothing is documented" },
  pageSize: {
    groups: { value: 100, source: "safe assumption: the default is 20 and no maximum is documented" },
    members: { value: 100, source: "safe assumption: the default is 20 and no maximum is documented" },
  },
  ...neuroioLimits,
};

/** Asked for when a longer page is refused: what the Python client always asks for. */
const FALLBACK_PAGE_SIZE = 20;

/** Makes a provider of one NeuroIO account. Throws `options-invalid`; sends nothing. */
export function createNeuroioProvider(options: NeuroioProviderOptions): GroupProvider {
  const { id = "neuroio", ...settings } = options;
  const checked = neuroioOptionsSchema.safeParse(settings);
  if (!checked.success) {
    const problems = checked.error.issues.map((issue) => [...issue.path, issue.message].join(": "));
    throw new GroupSyncError("options-invalid", `${id}: ${problems.join("; ")}`, { provider: id });
  }
  const api = createNeuroioApi({ ...settings, provider: id });
  const host = resolveNeuroioHosts(settings.baseUrl, settings.iamUrl, id).baseUrl.replace(/^https?:\/\/|\/+$/g, "");
  let pageSize = neuroioCapabilities.pageSize.groups.value;
  /** How many pages the list of groups had when it was read last. */
  let listedPages = 1;

  async function checkAccess(context: CallContext, extent: "identity" | "all" = "all"): Promise<AccessReport> {
    const findings: AccessFinding[] = [];
    const user = await readUser(context, findings);
    if (extent === "all") {
      await checkGroups(user, context, findings);
      await checkTokenLife(context, findings);
    }
    const space = user?.space ? `space ${user.space.id}` : "the space of the credentials";
    return { identity: `NeuroIO at ${host}, ${space}, as ${user?.username ?? "an account without a name"}`, findings };
  }

  async function readUser(context: CallContext, findings: AccessFinding[]): Promise<NeuroioUser | undefined> {
    try {
      const user = await api.whoAmI(context);
      const space = user.space ? `in the space ${user.space.name} (${user.space.id})` : "in a space that is not told";
      findings.push({ level: "ok", message: `The credentials belong to ${user.username ?? "someone"}, ${space}.` });
      return user;
    } catch (error) {
      // Which kinds of token may ask is documented nowhere, and reading groups does not need the answer.
      if (!isGroupSyncError(error, "forbidden") && !isGroupSyncError(error, "not-found")) throw error;
      findings.push({
        level: "warning",
        message: `Whom the credentials belong to cannot be read (${error.facts.status}), so the space is not known. Check it yourself: another space's token shows other groups, not an error.`,
      });
      return undefined;
    }
  }

  async function checkGroups(
    user: NeuroioUser | undefined,
    context: CallContext,
    findings: AccessFinding[],
  ): Promise<void> {
    try {
      const { results } = await readFirstGroup(context);
      const space = results[0]?.space_id ?? undefined;
      if (results.length === 0) {
        findings.push({
          level: "warning",
          message:
            "No group is visible. That is right for a new space; but another space's token shows an empty world too, not an error.",
        });
      } else if (user?.space && space !== undefined && space !== user.space.id) {
        findings.push({
          level: "warning",
          message: `The credentials belong to space ${user.space.id}, but a group of space ${space} is visible: they reach more than one space.`,
        });
      } else {
        findings.push({
          level: "ok",
          message: `Groups can be read${space === undefined ? "" : `; they are in space ${space}`}.`,
        });
      }
    } catch (error) {
      if (!isGroupSyncError(error, "forbidden")) throw error;
      findings.push({
        level: "error",
        message:
          "Groups cannot be read (403). A manager's token is for tokens and spaces only; take an account's or a space's token.",
      });
    }
  }

  /** A temporary token ends a long run in its middle, so it is worth a word beforehand. */
  async function checkTokenLife(context: CallContext, findings: AccessFinding[]): Promise<void> {
    if (settings.token === undefined) {
      findings.push({ level: "ok", message: "Logged in; the token lives 24 hours and is fetched anew when it ends." });
      return;
    }
    let permanent: boolean | undefined;
    try {
      const { results } = await api.listTokens({ permanent: true, limit: FALLBACK_PAGE_SIZE }, context);
      if (results.some(({ key }) => key === settings.token)) permanent = true;
      else if (results.every(({ key }) => key)) permanent = false;
    } catch (error) {
      // Nothing else needs the list of tokens, so its absence is worth a warning, not the run.
      if (!isGroupSyncError(error) || error.code === "cancelled" || error.code === "rate-limited") throw error;
    }
    if (permanent) {
      findings.push({ level: "ok", message: "The token is permanent." });
      return;
    }
    const known =
      permanent === false ? "The token is not listed among the permanent ones" : "The token may be a temporary one";
    findings.push({
      level: "warning",
      message: `${known}; a temporary token ends 24 hours after its creation, in the middle of a run if need be. For scheduled runs take a permanent token, or username and password.`,
    });
  }

  async function listGroups(context: CallContext): Promise<GroupListing> {
    const { records, evidence } = await readRecords(context);
    // For `readGroups` of the same pass.
    (await lastRecords(context)).records = records;
    return { groups: records.map(describeGroup), evidence };
  }

  async function readRecords(context: CallContext) {
    const { rows: records, evidence } = await readWhole(
      (limit, offset) => api.listGroups({ limit, offset }, context),
      (group) => String(group.id),
      "groups",
    );
    listedPages = evidence.pages;
    return { records, evidence };
  }

  /** The records of the last list of this pass. */
  function lastRecords(context: CallContext): Promise<{ records?: readonly NeuroioGroup[] }> {
    return context.once(`${id}: records`, async () => ({}));
  }

  async function readGroup(groupId: string, context: CallContext): Promise<Snapshot> {
    const number = parseGroupId(groupId);
    const before = await readRecord(number, context);
    const { rows, evidence } = await readMembers(number, context);
    const after = typeof before.persons_count === "number" ? await readRecord(number, context) : before;
    return describeSnapshot(after, rows, compareWithRecord(evidence, before, after));
  }

  /** The records before and after come from two lists of groups, where that takes fewer calls than two for each group. */
  async function readGroups(
    groupIds: readonly string[],
    context: CallContext,
    onRead?: (done: number) => void,
  ): Promise<readonly PromiseSettledResult<Snapshot>[]> {
    const width = neuroioCapabilities.inFlight.reads.value;
    const known = (await lastRecords(context)).records;
    if ((known ? 1 : 2) * listedPages > 2 * groupIds.length) {
      return readEach(groupIds, width, (groupId) => readGroup(groupId, context), onRead);
    }
    const before = byId(known ?? (await readRecords(context)).records);
    const readings = await readEach(
      groupIds,
      width,
      async (groupId) => {
        const record = before.get(groupId);
        // What no list shows is looked for by itself: that tells whether it is gone.
        return record ? { record, ...(await readMembers(record.id, context)) } : readGroup(groupId, context);
      },
      onRead,
    );
    const isCounted = [...before.values()].some(({ persons_count: count }) => typeof count === "number");
    const after = isCounted ? byId((await readRecords(context)).records) : before;
    return readings.map((reading): PromiseSettledResult<Snapshot> => {
      if (reading.status === "rejected") return reading;
      if (!("record" in reading.value)) return { status: "fulfilled", value: reading.value };
      const { record, rows, evidence } = reading.value;
      const now = after.get(String(record.id));
      const verdict = now
        ? compareWithRecord(evidence, record, now)
        : { ...evidence, complete: false, moved: true, because: "the group was not listed any more after the reading" };
      return { status: "fulfilled", value: describeSnapshot(now ?? record, rows, verdict) };
    });
  }

  async function readMembers(number: number, context: CallContext) {
    try {
      return await readWhole(
        (limit, offset) => api.listGroupPersons(number, { limit, offset }, context),
        ({ pid }) => pid,
        "persons",
      );
    } catch (error) {
      if (!isGroupSyncError(error, "not-found")) throw error;
      // Either the group has just been deleted, then this throws; or the 404 says nothing about the group.
      await readRecord(number, context);
      throw new GroupSyncError("unavailable", `${id} has group ${number}, but answers 404 to its list of members.`, {
        ...error.facts,
        hint: "Something between us and the service may have answered; check the address.",
      });
    }
  }

  async function readRecord(number: number, context: CallContext): Promise<NeuroioGroup> {
    try {
      const group = await api.getGroup(number, context);
      if (group.id === number) return group;
      throw new GroupSyncError("bad-answer", `${id} was asked for group ${number} and answered group ${group.id}.`, {
        provider: id,
        operation: "getGroup",
      });
    } catch (error) {
      if (!isGroupSyncError(error, "not-found")) throw error;
      await assertGroupsAnswer(context);
      throw new GroupSyncError("not-found", `${id} has no group ${number} in the space of these credentials.`, {
        ...error.facts,
        hint: "It was deleted, or it is in another space than the token.",
      });
    }
  }

  /** Throws when the list of groups is not there either: then a 404 is about the address, not about a thing. */
  async function assertGroupsAnswer(context: CallContext): Promise<void> {
    await readFirstGroup(context);
  }

  function readFirstGroup(context: CallContext): Promise<NeuroioPage<NeuroioGroup>> {
    return context.once(`${id}: first group`, async () => {
      try {
        return await api.listGroups({ limit: 1 }, context);
      } catch (error) {
        if (!isGroupSyncError(error, "not-found")) throw error;
        throw new GroupSyncError("unavailable", `${id} answers 404 even to the list of groups.`, {
          ...error.facts,
          hint: "Check baseUrl: nothing can be concluded from a 404 there.",
        });
      }
    });
  }

  async function findAccounts(keys: readonly AccountKey[], context: CallContext): Promise<readonly AccountFinding[]> {
    if (keys.some(({ by }) => by !== "id")) {
      throw new GroupSyncError(
        "unsupported",
        `${id} cannot look people up by address: a person in NeuroIO has neither an address nor a name. Pin the pid.`,
        { provider: id },
      );
    }
    return Promise.all(keys.map((key) => findAccount(key, context)));
  }

  async function findAccount(key: AccountKey, context: CallContext): Promise<AccountFinding> {
    const pid = key.value.trim();
    try {
      const person = await api.getPersonStatistics(pid, context);
      if (person.pid.toLowerCase() === pid.toLowerCase()) {
        return { key, accounts: [{ id: person.pid, status: "active", eligible: true }] };
      }
    } catch (error) {
      if (!isGroupSyncError(error, "not-found")) throw error;
      await assertGroupsAnswer(context);
      return { key, accounts: [] };
    }
    throw new GroupSyncError("bad-answer", `${id} was asked for one person and answered another.`, {
      provider: id,
      operation: "getPersonStatistics",
    });
  }

  async function applyBatch(batch: Batch, context: CallContext): Promise<BatchResult> {
    switch (batch.kind) {
      case "group.create": {
        if (batch.add.length > 0) throw unsupported("a new group takes no members; add them afterwards");
        const name = checkName(batch);
        return { group: describeGroup(await api.createGroup(name, context)) };
      }
      case "group.update": {
        const name = checkName(batch);
        return { group: describeGroup(await api.updateGroup(parseGroupId(batch.group.id), name, context)) };
      }
      case "group.delete": {
        await api.deleteGroup(parseGroupId(batch.group.id), context);
        return {};
      }
      case "members":
        break;
    }
    await applyMembers(batch, context);
    return {};
  }

  async function applyMembers(batch: Batch & { readonly kind: "members" }, context: CallContext): Promise<void> {
    const { add, update, remove } = batch;
    if (update.length > 0 || add.some(({ role }) => role !== "member")) throw unsupported("there are no roles");
    if (add.length > 0 && remove.length > 0) throw unsupported("adding and removing do not go in one call");
    if ([...add, ...remove].some(({ invitation }) => invitation !== undefined)) {
      throw unsupported("there are no invitations");
    }
    const verb = add.length > 0 ? neuroioCapabilities.add : neuroioCapabilities.remove;
    const pids = uniqueAccounts(add.length > 0 ? add : remove);
    const numbers = [...new Set(batch.groups.map((group) => parseGroupId(group.id)))];
    if (pids.length > verb.accountsPerCall.value) throw unsupported(`${pids.length} people are too many for one call`);
    if (numbers.length > verb.groupsPerCall.value)
      throw unsupported(`${numbers.length} groups are too many for one call`);
    await (add.length > 0 ? api.addPersons(pids, numbers, context) : api.removePersons(pids, numbers, context));
  }

  function checkName(batch: { readonly name?: string; readonly description?: string }): string {
    if (batch.description !== undefined) throw unsupported("a group has no description");
    if (batch.name === undefined || batch.name.trim() === "") {
      throw new GroupSyncError("options-invalid", `${id}: a group needs a name.`, { provider: id });
    }
    return batch.name;
  }

  function parseGroupId(groupId: string): number {
    const number = Number(groupId);
    if (/^(0|[1-9]\d*)$/.test(groupId) && Number.isSafeInteger(number)) return number;
    throw new GroupSyncError(
      "options-invalid",
      `${id}: ${JSON.stringify(groupId)} is not a group id; NeuroIO's are whole numbers.`,
      { provider: id },
    );
  }

  function unsupported(why: string): GroupSyncError {
    return new GroupSyncError("unsupported", `${id} cannot do that: ${why}. Nothing was sent.`, { provider: id });
  }

  /**
   * Reads a list to its end and says what proves it: a total that every page declares; without any total, two passes
   * that agree. A short page is no end, because the service may give shorter pages than asked for.
   */
  async function readWhole<Row>(
    readPage: (limit: number, offset: number) => Promise<NeuroioPage<Row>>,
    idOf: (row: Row) => string,
    what: string,
  ): Promise<{ readonly rows: readonly Row[]; readonly evidence: Evidence }> {
    const walkOnce = () =>
      walkPages(async ({ received }): Promise<Page<Row>> => {
        const { results, count } = await readAdaptedPage(readPage, received);
        return { rows: results, ...(count !== undefined && { total: count }) };
      }, idOf);

    const first = await walkOnce();
    if (first.totals === first.pages) return { rows: first.rows, evidence: proveByTotal(first, what) };
    const broken = findBreak(first, what);
    if (broken) return { rows: first.rows, evidence: broken };
    const second = await walkOnce();
    const evidence = findBreak(second, what) ?? proveByAgreement(first, second, idOf, what);
    return { rows: second.rows, evidence: { ...evidence, pages: first.pages + second.pages } };
  }

  /** One page of the length that the service takes: its maximum is not documented, so a refusal teaches it. */
  async function readAdaptedPage<Row>(
    readPage: (limit: number, offset: number) => Promise<NeuroioPage<Row>>,
    offset: number,
  ): Promise<NeuroioPage<Row>> {
    const limit = pageSize;
    try {
      return await readPage(limit, offset);
    } catch (error) {
      if (limit === FALLBACK_PAGE_SIZE || !isGroupSyncError(error, "refused") || error.facts.field !== "limit")
        throw error;
      pageSize = FALLBACK_PAGE_SIZE;
      return readPage(pageSize, offset);
    }
  }

  return nameErrors({
    id,
    type: "neuroio",
    capabilities: neuroioCapabilities,
    checkAccess,
    listGroups,
    readGroup,
    readGroups,
    findAccounts,
    applyBatch,
  });
}

function describeGroup(group: NeuroioGroup): Group {
  return { id: String(group.id), name: group.name, kind: "plain" };
}

function byId(records: readonly NeuroioGroup[]): ReadonlyMap<string, NeuroioGroup> {
  return new Map(records.map((record) => [String(record.id), record]));
}

function describeSnapshot(
  group: NeuroioGroup,
  rows: readonly { readonly pid: string }[],
  evidence: Evidence,
): Snapshot {
  const members = rows.map(({ pid }): Member => ({ account: pid, role: "member", direct: true, state: "active" }));
  return { group: describeGroup(group), members, evidence };
}

function uniqueAccounts(edits: readonly MemberEdit[]): readonly string[] {
  return [...new Set(edits.map(({ account }) => account))];
}

/** Why a pass without a total on every page proves nothing; undefined when a second pass may. */
function findBreak<Row>(walk: Walk<Row>, what: string): Evidence | undefined {
  const facts = countWalk(walk);
  if (walk.totals > 0) {
    return {
      ...facts,
      complete: false,
      because: `only ${walk.totals} of ${walk.pages} pages declare a total of ${what}`,
    };
  }
  if (walk.duplicates > 0) {
    // Rows that come twice push others out of sight, and two passes can miss the same one. A service that ignores the
    // position shows itself here too: its second page is the first one again.
    return { ...facts, complete: false, moved: true, because: `${walk.duplicates} of the ${what} came more than once` };
  }
  return undefined;
}

/** The verdict without totals: two passes with the same rows. */
function proveByAgreement<Row>(
  first: Walk<Row>,
  second: Walk<Row>,
  idOf: (row: Row) => string,
  what: string,
): Evidence {
  const known = new Set(first.rows.map(idOf));
  const agree = first.rows.length === second.rows.length && second.rows.every((row) => known.has(idOf(row)));
  return agree
    ? {
        ...countWalk(second),
        complete: true,
        weak: true,
        because: `no total is declared, but two passes gave the same ${second.rows.length} ${what}`,
      }
    : {
        ...countWalk(second),
        complete: false,
        moved: true,
        because: `no total is declared, and two passes gave different ${what}`,
      };
}

function countWalk<Row>(walk: Walk<Row>) {
  return {
    pages: walk.pages,
    counted: walk.rows.length,
    duplicates: walk.duplicates,
    ...(walk.declared !== undefined && { declared: walk.declared }),
  };
}

/** Holds the count in the group's own record, read before and after, against what was read. */
function compareWithRecord(evidence: Evidence, before: NeuroioGroup, after: NeuroioGroup): Evidence {
  const [first, last] = [before.persons_count, after.persons_count];
  if (typeof first !== "number" || !evidence.complete) return evidence;
  const { weak: _, ...facts } = evidence;
  if (first !== last) {
    return {
      ...facts,
      complete: false,
      moved: true,
      because: `the group's own count of persons was ${first} before the reading and ${last ?? "missing"} after it`,
    };
  }
  if (first !== evidence.counted) {
    return {
      ...facts,
      complete: false,
      moved: true,
      because: `${evidence.counted} distinct persons were read, but the group's own count is ${first}`,
    };
  }
  return { ...evidence, because: `${evidence.because}, and the group's own count before and after` };
}

/** NeuroIO as a spec names it. */
export const neuroioProviderType: ProviderType = {
  type: "neuroio",
  label: "NeuroIO",
  options: neuroioOptionsSchema,
  secretOptions: ["token", "password"],
  capabilities: neuroioCapabilities,
  create: (id, options) => createNeuroioProvider({ ...(options as NeuroioProviderOptions), id }),
};
