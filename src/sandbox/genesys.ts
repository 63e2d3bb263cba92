/**
 * The emulator of Genesys Cloud groups (Platform API v2), written from the sheet `genesys.md`; § and trap numbers in
 * the comments are the sheet's.
 *
 * What matters to group synchronisation is the difference between *individuals* (people added by id) and *members*
 * (also owners, and people included by a skill expression), the `version` that an addition must carry, and a 202 that
 * shows later. What the vendor's documents leave open is a switch: see `genesysSwitches`.
 *
 * Choices of the emulator where the sheet names neither a value nor a switch:
 * - the largest page is 500 for groups and users, 200 for members, 100 for searches (the largest seen in use, §4);
 * - an empty `memberIds` or `ids` is refused with 400; so is a page number or page size below 1;
 * - the 202 of an addition has the body `{}`, that of a removal none (§2 allows either);
 * - a write that changes nothing is accepted and leaves the version alone;
 * - adding someone who is in already is accepted whatever `badId` says;
 * - a deleted group is 404 everywhere; `GET /users/{id}` shows inactive users, and deleted ones with `state=deleted`;
 * - users have no skills, so a new skill expression includes nobody, and the preview counts 0.
 */
import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";
import {
  badRequest,
  checkBody,
  errorBody,
  GenesysRefusal,
  invalidValue,
  missingPermission,
  rateLimitAnswer,
  readJson,
  refusal,
  serverErrorAnswer,
  tokenRefusal,
} from "./genesys/answers.js";
import {
  addGroupRecord,
  addSeedGroup,
  addUser,
  changeGroup,
  changeGroupAtOnce,
  compare,
  copyOrganisation,
  createOrganisation,
  forgetChanges,
  type GroupChange,
  type GroupFields,
  type GroupRecord,
  type GroupView,
  groupDefaults,
  isIndividual,
  listGroup,
  listGroups,
  listUsers,
  memberCount,
  type Organisation,
  setUserStatus,
  trueGroup,
  type UserRecord,
  viewGroup,
} from "./genesys/organisation.js";
import { addScimRoutes, scimError } from "./genesys/scim.js";
import {
  allCriteria,
  decodeQ64,
  encodeQ64,
  matchesQuery,
  parseSearch,
  type SearchRequest,
  sortHits,
} from "./genesys/search.js";
import { type Emulator, type EmulatorControl, type EmulatorOptions, marksOf, readSwitches, stableUuid } from "./kit.js";

/**
 * What is unknown of the live service (§10), first value = default. A number may be given where the values are
 * numerals (`mismatch: 408` is `mismatch: "408"`).
 */
export const genesysSwitches = {
  /** An addition without `version`. */
  missingVersion: ["accept", "400"],
  /** The answer to a stale version: 409, 400 with the text "does not match the current version", or 408. */
  mismatch: ["409", "400text", "408"],
  /** More than 50 ids: refused as a whole, or only the first 50 looked at. */
  overCap: ["400", "truncate"],
  /** Milliseconds until readers see a write (a request's own mark comes first). */
  lag: [0, "number"],
  /** `on`: every addition and removal is answered with 202 and then lost. */
  lost202: ["off", "on"],
  /** Unknown, deleted or repeated ids, and the removal of non-members: left out, or refused as a whole. */
  badId: ["ignore", "400", "404"],
  /** Removal of someone who is in as an owner or by a rule only: left out, or removed there. */
  removeDerived: ["ignore", "removes"],
  /** A page size above the maximum: refused, or made smaller. */
  pageOver: ["400", "clamp"],
  /** `truncated`: only the first 25, with the true `total`. `bare`: everyone, without any paging field (not in §10, but a row of §6). */
  individuals: ["full", "truncated", "bare"],
  /** `on`: every other DELETE of a group, and every other one of its members, is a 409; repeated, it works. */
  deleteConflict: ["off", "on"],
  /** Membership writes by a client without directory:group:edit. */
  writePermission: ["403", "allowed"],
  /** Which users a search finds that does not name `state`. */
  searchStates: ["active", "all"],
  /** Milliseconds that the index of group search lags behind readers. */
  searchLag: [0, "number"],
  /** Whether EXACT ignores case (§7 "case rule of EXACT [UNVERIFIED]"). */
  searchCase: ["insensitive", "sensitive"],
  /** The most `values` a criterion takes (§7 "maximum [UNVERIFIED]"); more are refused. */
  searchValues: ["off", "number"],
  /** The code of a 401 for a bad token; a missing token is always authentication.required. */
  authCode: ["bad.credentials", "authentication.required"],
  /** The status of a log-in with a wrong secret (§1). */
  wrongSecret: ["400", "401"],
  /** The status of calls that answer nothing. */
  voidStatus: ["200", "204"],
  /** A second group of one name, made or renamed. */
  uniqueNames: ["off", "400", "409"],
  /** The owner of a group made without ownerIds; `client` is an id that is no user. */
  creatorOwner: ["none", "client"],
  /** `on`: dynamicsettings of a plain group are 404, and additions to a group with a skill expression are refused. */
  dynamic404: ["on", "off"],
  /** `on`: every other reading of a paged list has rows shifted between its pages, and the last page has a nextUri. */
  pageDrift: ["off", "on"],
  /** Requests per minute and token; the log-in is throttled at the same number, with its 400. */
  rateLimit: ["off", "number"],
  /** Retry-After of those 429: what is left of the minute, or so many seconds. */
  retryAfter: ["window", "number"],
  /** An addition that takes someone over 100 groups of a type: the request is refused, or goes through. */
  groupCap: ["400", "ignore"],
  /** How far a change raises the version; at least 1. */
  versionStep: [1, "number"],
  /** `on`: the first DELETE of a group is answered like any other and has no effect; repeated, it works. */
  deleteLost: ["off", "on"],
  /** Whether individuals and members list inactive and deleted people. */
  listInactive: ["on", "off"],
} as const;

/** §4 */
const maxMemberIds = 50;
const maxUserIds = 100;
const maxGroupsPerUser = 100;
const maxInactiveRow = 10_000;
const pageMaximum = { groups: 500, users: 500, members: 200, search: 100 } as const;
/** What a token may do per minute on the live service (§4); shown in the headers while `rateLimit` is off. */
const liveRateLimit = 300;
const minuteMs = 60_000;
/** The default life of a token (§1). */
const tokenLifeSeconds = 86_400;

const allPermissions = [
  "directory:group:view",
  "directory:group:add",
  "directory:group:edit",
  "directory:group:delete",
  "directory:user:view",
] as const;

/** The OAuth clients of the organisation and their permissions; the secret is the id with `-secret`. */
const clients = new Map<string, readonly string[]>([
  ["sandbox-genesys-client", allPermissions],
  ["sandbox-genesys-editor", ["directory:group:view", "directory:group:edit", "directory:user:view"]],
  ["sandbox-genesys-read-only", ["directory:group:view", "directory:user:view"]],
  ["sandbox-genesys-no-rights", []],
]);

function credentialsOf(clientId: string): Readonly<Record<string, string>> {
  return { clientId, clientSecret: `${clientId}-secret` };
}

const organisationId = stableUuid("genesys", "organisation");
const organisationRef = { id: organisationId, name: "Sandbox" };
const division = { id: organisationId, name: "Home", selfUri: `/api/v2/authorization/divisions/${organisationId}` };

const ids = z.array(z.string());
const contact = z.looseObject({
  address: z.string().optional(),
  type: z.enum(["GROUPRING", "GROUPPHONE"]).optional(),
  mediaType: z.enum(["PHONE"]).optional(),
});
const optionalGroupFields = {
  description: z.string().nullish(),
  addresses: z.array(contact).nullish(),
  images: z.array(z.unknown()).nullish(),
  rolesEnabled: z.boolean().nullish(),
  includeOwners: z.boolean().nullish(),
  callsEnabled: z.boolean().nullish(),
  email: z.string().nullish(),
  ownerIds: ids.nullish(),
};
const groupCreate = z.looseObject({
  ...optionalGroupFields,
  name: z.string().min(1),
  type: z.enum(["official", "social"]),
  rulesVisible: z.boolean(),
  visibility: z.enum(["public", "owners", "members"]),
});
const groupUpdate = z.looseObject({
  ...optionalGroupFields,
  version: z.number().int(),
  name: z.string().min(1).nullish(),
  state: z.enum(["active", "inactive", "deleted"]).nullish(),
  rulesVisible: z.boolean().nullish(),
  // The model says `ownerIds`, a slip of the vendor's; Terraform goes on sending `owners` (trap 12).
  visibility: z.enum(["public", "ownerIds", "owners", "members"]).nullish(),
});
const membersUpdate = z.looseObject({ memberIds: ids.min(1), version: z.number().int().optional() });

const skillComparison = {
  comparator: z.enum(["EqualTo", "NotEqualTo", "LessThan", "GreaterThan", "GreaterThanOrEqualTo", "LessThanOrEqualTo"]),
  proficiency: z.number().min(0).max(5),
  childConditions: z.array(z.unknown()).optional(),
};
const dynamicQuery = z.object({
  skillConditions: z.array(
    z.object({
      routingSkillConditions: z.array(z.object({ routingSkill: z.string(), ...skillComparison })),
      languageSkillConditions: z.array(z.object({ languageSkill: z.string(), ...skillComparison })),
      operation: z.enum(["And", "Or", "Not"]),
    }),
  ),
});

/**
 * The emulator of Genesys Cloud. `credentials` is a client with all rights; `otherCredentials` are `editor` (view and
 * edit, but neither make nor delete groups), `readOnly`, `noRights` (logs in, has no permission at all) and
 * `wrongSecret` (a client that exists, with another secret).
 */
export function createGenesysEmulator(options: EmulatorOptions): Emulator {
  const switches = readSwitches("genesys", genesysSwitches, withNumeralsAsText(options.switches ?? {}));
  const versionStep = Number(switches.versionStep);
  if (versionStep < 1) throw new Error("genesys: switch versionStep takes whole numbers from 1.");
  const lagMs = Number(switches.lag);
  const searchLagMs = Number(switches.searchLag);
  const now = options.now ?? Date.now;

  let organisation: Organisation = createOrganisation();
  const seedDate = new Date(now()).toISOString();
  for (const person of options.seed.people) {
    if (!person.services || person.services.includes("genesys")) addUser(organisation, person);
  }
  for (const group of options.seed.groups) {
    if (!group.services || group.services.includes("genesys")) addSeedGroup(organisation, group, seedDate);
  }

  const app = new Hono();
  const contextIds = new WeakMap<Request, string>();

  // Answers

  const nextContextId = () => stableUuid("genesys", "correlation", String(++organisation.responseCount));

  app.use(async (context, next) => {
    const contextId = nextContextId();
    contextIds.set(context.req.raw, contextId);
    await next();
    context.res.headers.set("ININ-Correlation-Id", contextId);
  });

  app.onError((error, context) => {
    // Anything else is a fault of the emulator and must not pass for an answer of the vendor.
    if (!(error instanceof GenesysRefusal)) throw error;
    const status = error.status as ContentfulStatusCode;
    if (context.req.path.startsWith("/api/v2/scim/")) return context.json(scimError(error), status, error.headers);
    const contextId = error.body.code === undefined ? {} : { contextId: contextIds.get(context.req.raw) };
    return context.json({ ...error.body, ...contextId }, status, error.headers);
  });

  app.notFound((context) => {
    const contextId = contextIds.get(context.req.raw);
    return context.json({ ...errorBody(404, "not.found", "HTTP 404 Not Found"), contextId }, 404);
  });

  const nothing = (context: Context) => context.body(null, switches.voidStatus === "204" ? 204 : 200);

  // Log-in, tokens, permissions, rate limits

  /** Counts a request of this minute; says how many seconds are left of it. */
  const countRequest = (key: string) => {
    const known = organisation.windows.get(key);
    const open = known && now() - known.startedAt < minuteMs ? known : { startedAt: now(), count: 0 };
    const count = open.count + 1;
    organisation.windows.set(key, { startedAt: open.startedAt, count });
    const secondsLeft = Math.max(1, Math.ceil((open.startedAt + minuteMs - now()) / 1000));
    return { count, secondsLeft, over: typeof switches.rateLimit === "number" && count > switches.rateLimit };
  };

  const tooMany = (secondsLeft: number, search = false) => {
    const retryAfter = typeof switches.retryAfter === "number" ? switches.retryAfter : secondsLeft;
    return new GenesysRefusal(429, rateLimitAnswer(retryAfter, search), { "Retry-After": String(retryAfter) });
  };

  app.post("/oauth/token", async (context) => {
    const form = new URLSearchParams(await context.req.text());
    if (!/^application\/x-www-form-urlencoded\b/i.test(context.req.header("content-type") ?? "")) {
      throw tokenRefusal(400, "invalid_request", "The content type must be application/x-www-form-urlencoded.");
    }
    const basic = /^Basic\s+(\S+)$/i.exec(context.req.header("authorization") ?? "")?.[1] ?? "";
    const [clientId = "", ...rest] = Buffer.from(basic, "base64").toString("utf8").split(":");
    if (!clients.has(clientId) || rest.join(":") !== `${clientId}-secret`) {
      const status = switches.wrongSecret === "401" ? 401 : 400;
      throw tokenRefusal(status, "invalid_client", "client authentication failed");
    }
    // Throttling of the log-in is a 400, not a 429 (§1, trap 18).
    if (countRequest(`client ${clientId}`).over) {
      throw tokenRefusal(400, "invalid_request", "rate limit exceeded; retry later");
    }
    const grant = form.get("grant_type");
    if (grant === null) throw tokenRefusal(400, "invalid_request", "grant_type is required");
    if (grant !== "client_credentials") {
      throw tokenRefusal(400, "unsupported_grant_type", `grant_type ${grant} is not supported`);
    }
    const token = `sandbox-genesys-token-${++organisation.tokenCount}`;
    organisation.tokens.set(token, { clientId, expiresAt: now() + tokenLifeSeconds * 1000 });
    return context.json({ access_token: token, token_type: "bearer", expires_in: tokenLifeSeconds });
  });

  const tokenOf = (context: Context) => /^Bearer\s+(\S+)$/i.exec(context.req.header("authorization") ?? "")?.[1] ?? "";
  const callerOf = (context: Context) => organisation.tokens.get(tokenOf(context))?.clientId ?? "";

  app.use("/api/*", async (context, next) => {
    const token = tokenOf(context);
    if (token === "") throw refusal(401, "authentication.required", "No authentication bearer token specified.");
    const known = organisation.tokens.get(token);
    if (!known || known.expiresAt <= now()) {
      throw refusal(401, String(switches.authCode), "Invalid login credentials.");
    }
    const { count, secondsLeft, over } = countRequest(`token ${token}`);
    if (over) throw tooMany(secondsLeft, context.req.path === "/api/v2/search");
    await next();
    context.res.headers.set("inin-ratelimit-count", String(count));
    context.res.headers.set(
      "inin-ratelimit-allowed",
      String(switches.rateLimit === "off" ? liveRateLimit : switches.rateLimit),
    );
    context.res.headers.set("inin-ratelimit-reset", String(secondsLeft));
  });

  const requireAny = (context: Context, ...permissions: readonly string[]) => {
    const held = clients.get(callerOf(context)) ?? [];
    if (!permissions.some((permission) => held.includes(permission))) throw missingPermission(...permissions);
  };

  /** §2 declares "none" for membership writes; enforcement is being tightened (trap 22). */
  const requireMemberWrite = (context: Context) => {
    if (switches.writePermission === "403") requireAny(context, "directory:group:edit");
  };

  // Groups, as readers see them and as they are

  const noGroup = () => refusal(404, "general.resource.not.found", "Unable to find a group with that groupId");

  const viewOf = (groupId: string | undefined): GroupView => {
    const record = organisation.groups.get(groupId ?? "");
    const view = record && viewGroup(record, now());
    if (!view) throw noGroup();
    return view;
  };

  const recordOf = (groupId: string | undefined): GroupRecord => {
    const record = organisation.groups.get(groupId ?? "");
    if (!record || record.fields.state === "deleted") throw noGroup();
    return record;
  };

  /** When readers see a write of this request; undefined for at once, so that nothing has to be remembered. */
  const visibleAt = (context: Context): number | undefined => {
    const delay = marksOf(context).lagMs ?? lagMs;
    return delay > 0 || searchLagMs > 0 ? now() + delay : undefined;
  };

  const change = (context: Context, record: GroupRecord, groupChange: GroupChange) => {
    forgetChanges(record, now() - searchLagMs);
    changeGroup(record, groupChange, { now: now(), visibleAt: visibleAt(context), versionStep });
  };

  const groupBody = (view: GroupView) => {
    const { fields } = view;
    return {
      id: fields.id,
      name: fields.name,
      description: fields.description,
      dateModified: fields.dateModified,
      memberCount: memberCount(view),
      state: fields.state,
      version: fields.version,
      type: fields.type,
      images: fields.images,
      addresses: fields.addresses,
      rulesVisible: fields.rulesVisible,
      visibility: fields.visibility,
      rolesEnabled: fields.rolesEnabled,
      includeOwners: fields.includeOwners,
      callsEnabled: fields.callsEnabled,
      email: fields.email,
      chat: { jabberId: jabberIdOf(fields.id) },
      owners: fields.owners.map((id) => ({ id, selfUri: `/api/v2/users/${id}` })),
      selfUri: `/api/v2/groups/${fields.id}`,
    };
  };

  const profileBody = ({ fields }: GroupView) => ({
    id: fields.id,
    name: fields.name,
    state: fields.state,
    dateModified: fields.dateModified,
    version: fields.version,
    selfUri: `/api/v2/groups/${fields.id}/profile`,
  });

  const userBody = (user: UserRecord, expand: readonly string[]) => ({
    id: user.id,
    name: user.name,
    email: user.email,
    username: user.email,
    chat: { jabberId: jabberIdOf(user.id) },
    division,
    state: user.state,
    version: user.version,
    // Expansion is best effort (§2): only groups are known here.
    ...(expand.includes("groups") ? { groups: groupsOf(user.id) } : {}),
    selfUri: `/api/v2/users/${user.id}`,
  });

  const groupsOf = (userId: string) =>
    [...organisation.groups.values()].flatMap((record) => {
      const view = viewGroup(record, now());
      if (!view || !(isIndividual(view, userId) || view.fields.derived.includes(userId))) return [];
      return [{ id: view.fields.id, name: view.fields.name, selfUri: `/api/v2/groups/${view.fields.id}` }];
    });

  // Paging

  const pageSizeWithin = (size: number, maximum: number) => {
    if (size < 1) throw invalidValue(size, "pageSize");
    if (size <= maximum) return size;
    if (switches.pageOver === "clamp") return maximum;
    throw badRequest(`pageSize must not be greater than ${maximum}.`);
  };

  /** The envelope of a list (§2): one page of `rows`, in the order asked for. */
  const listing = <T>(context: Context, rows: readonly T[], maximum: number, entity: (row: T) => unknown) => {
    const pageSize = pageSizeWithin(wholeQuery(context, "pageSize", 25), maximum);
    const pageNumber = wholeQuery(context, "pageNumber", 1);
    if (pageNumber < 1) throw invalidValue(pageNumber, "pageNumber");
    const sortOrder = context.req.query("sortOrder") ?? "ASC";
    if (!/^(asc|desc|ascending|descending)$/i.test(sortOrder)) throw invalidValue(sortOrder, "sortOrder");
    const pageCount = Math.ceil(rows.length / pageSize);
    const start = (pageNumber - 1) * pageSize + drift(context.req.path, pageNumber);
    const descending = /^desc/i.test(sortOrder);
    const page = descending
      ? rows.slice(Math.max(0, rows.length - start - pageSize), Math.max(0, rows.length - start)).reverse()
      : rows.slice(start, start + pageSize);
    const uri = (number: number) => {
      const query = new URL(context.req.url).searchParams;
      query.set("pageSize", String(pageSize));
      query.set("pageNumber", String(number));
      return `${context.req.path}?${query.toString()}`;
    };
    const hasNext = pageNumber < pageCount || switches.pageDrift === "on";
    return context.json({
      entities: page.map(entity),
      pageSize,
      pageNumber,
      total: rows.length,
      firstUri: uri(1),
      selfUri: uri(pageNumber),
      ...(hasNext ? { nextUri: uri(pageNumber + 1) } : {}),
      ...(pageNumber > 1 ? { previousUri: uri(pageNumber - 1) } : {}),
      lastUri: uri(Math.max(1, pageCount)),
      pageCount,
    });
  };

  /**
   * How many rows a page is off. Every other reading that begins at page 1 drifts: even pages repeat a row of the page
   * before, later odd pages leave rows out.
   */
  const drift = (path: string, pageNumber: number) => {
    if (switches.pageDrift === "off") return 0;
    if (pageNumber === 1) organisation.passes.set(path, (organisation.passes.get(path) ?? 0) + 1);
    if ((organisation.passes.get(path) ?? 0) % 2 === 0 || pageNumber === 1) return 0;
    return pageNumber % 2 === 0 ? -1 : 1;
  };

  // Groups: reading

  const requestedGroups = (context: Context) => {
    const wanted = listQuery(context, "id");
    const jabberIds = listQuery(context, "jabberId");
    if (wanted.length && jabberIds.length) throw badRequest("id and jabberId can not be requested together.");
    return listGroups(organisation, now()).filter(
      ({ fields }) =>
        (!wanted.length || wanted.includes(fields.id)) &&
        (!jabberIds.length || jabberIds.includes(jabberIdOf(fields.id))),
    );
  };

  app.get("/api/v2/groups", (context) => listing(context, requestedGroups(context), pageMaximum.groups, groupBody));

  app.get("/api/v2/profiles/groups", (context) =>
    listing(context, requestedGroups(context), pageMaximum.groups, profileBody),
  );

  app.get("/api/v2/groups/search", (context) => {
    const request = parseSearch("groups", decodeQ64(context.req.query("q64")));
    return context.json(searchGroups(request));
  });

  app.get("/api/v2/groups/:groupId", (context) => context.json(groupBody(viewOf(context.req.param("groupId")))));

  app.get("/api/v2/groups/:groupId/profile", (context) =>
    context.json(profileBody(viewOf(context.req.param("groupId")))),
  );

  app.get("/api/v2/groups/:groupId/members", (context) => {
    const users = listGroup(organisation, viewOf(context.req.param("groupId")), "members", listsInactive);
    const expand = listQuery(context, "expand");
    return listing(context, users, pageMaximum.members, (user) => userBody(user, expand));
  });

  app.get("/api/v2/groups/:groupId/individuals", (context) => {
    const users = listGroup(organisation, viewOf(context.req.param("groupId")), "individuals", listsInactive);
    const shown = switches.individuals === "truncated" ? users.slice(0, 25) : users;
    const entities = shown.map((user) => userBody(user, []));
    if (switches.individuals === "bare") return context.json({ entities });
    const uri = context.req.path;
    const pageSize = switches.individuals === "truncated" ? 25 : Math.max(1, users.length);
    const pageCount = Math.ceil(users.length / pageSize);
    const total = users.length;
    return context.json({
      entities,
      pageSize,
      pageNumber: 1,
      total,
      firstUri: uri,
      selfUri: uri,
      lastUri: uri,
      pageCount,
    });
  });

  const listsInactive = switches.listInactive === "on";

  app.get("/api/v2/fieldconfig", (context) => {
    const type = context.req.query("type") ?? "";
    if (!["person", "group", "org"].includes(type))
      throw refusal(400, "bad.entity.type", "The entity type is invalid.");
    const field = { key: "name", type: "text", required: true, repeatable: false, state: "active" };
    return context.json({
      id: stableUuid("genesys", "fieldconfig", type),
      name: type,
      entityType: type,
      state: "active",
      sections: [{ key: "general", state: "active", fieldList: [field], instructionText: "" }],
      version: "1",
      schemaVersion: "1",
      selfUri: `/api/v2/fieldconfig?type=${type}`,
    });
  });

  // Groups: writing

  const checkName = (name: string, self?: string) => {
    if (switches.uniqueNames === "off") return;
    for (const { fields } of organisation.groups.values()) {
      if (fields.name !== name || fields.id === self || fields.state === "deleted") continue;
      const message = `A group with the name ${name} already exists.`;
      throw switches.uniqueNames === "409" ? refusal(409, "general.conflict", message) : badRequest(message);
    }
  };

  /** What `badId` says of ids that can not be used: left out, or the whole request refused. */
  const usable = (given: readonly string[], isUsable: (id: string) => boolean, words: string): readonly string[] => {
    const distinct = [...new Set(given)];
    const good = distinct.filter(isUsable);
    if (switches.badId === "ignore" || good.length === given.length) return good;
    const bad = distinct.find((id) => !isUsable(id)) ?? given.find((id, index) => given.indexOf(id) < index) ?? "";
    const message = `${words}: ${bad}`;
    throw switches.badId === "404" ? refusal(404, "general.resource.not.found", message) : badRequest(message);
  };

  const isLiveUser = (id: string) => (organisation.users.get(id)?.state ?? "deleted") !== "deleted";
  const addable = (given: readonly string[]) => usable(given, isLiveUser, "Unable to find a user with that userId");

  const ownersOf = (given: readonly string[] | null | undefined): readonly string[] | undefined => {
    // An empty list clears nothing; Terraform clears with one blank (trap 13).
    if (!given || given.length === 0) return undefined;
    return addable(given.filter((id) => id.trim() !== ""));
  };

  const checkVersion = (record: GroupRecord, version: number) => {
    if (version === record.fields.version) return;
    // The text says "user" on groups too (trap 7).
    const message = "The version supplied does not match the current version of the user";
    if (switches.mismatch === "408") throw refusal(408, "request.timeout", message);
    throw switches.mismatch === "400text" ? badRequest(message) : refusal(409, "general.conflict", message);
  };

  /** True for the first of each two requests under a key: it is refused or lost, and works when repeated. */
  const strikes = (key: string) => {
    if (organisation.struck.delete(key)) return false;
    organisation.struck.add(key);
    return true;
  };

  const checkDelete = (key: string) => {
    if (switches.deleteConflict === "off" || !strikes(key)) return;
    throw refusal(409, "general.conflict", "The version supplied does not match the current version of the user");
  };

  app.post("/api/v2/groups", async (context) => {
    requireAny(context, "directory:group:add");
    const body = checkBody(groupCreate, await readJson(context));
    checkName(body.name);
    const given = ownersOf(body.ownerIds) ?? [];
    const client = stableUuid("genesys", "client", callerOf(context));
    const owners = given.length === 0 && switches.creatorOwner === "client" ? [client] : given;
    const includeOwners = body.includeOwners ?? groupDefaults.includeOwners;
    const fields: Omit<GroupFields, "id"> = {
      ...groupDefaults,
      // `description` is lost on POST, a known bug of the service (trap 11).
      name: body.name,
      type: body.type,
      visibility: body.visibility,
      rulesVisible: body.rulesVisible,
      rolesEnabled: body.rolesEnabled ?? groupDefaults.rolesEnabled,
      callsEnabled: body.callsEnabled ?? groupDefaults.callsEnabled,
      includeOwners,
      addresses: body.addresses ?? [],
      images: body.images ?? [],
      ...(body.email ? { email: body.email } : {}),
      owners,
      dateModified: new Date(now()).toISOString(),
    };
    const record = addGroupRecord(organisation, fields, includeOwners ? given : [], visibleAt(context));
    return context.json(groupBody({ record, fields: record.fields, wasIndividual: new Map(), hidden: 0 }));
  });

  app.put("/api/v2/groups/:groupId", async (context) => {
    requireAny(context, "directory:group:edit");
    const body = checkBody(groupUpdate, (await readJson(context)) ?? {});
    const record = recordOf(context.req.param("groupId"));
    checkVersion(record, body.version);
    if (body.name) checkName(body.name, record.fields.id);
    const owners = ownersOf(body.ownerIds);
    const newOwners = owners?.filter((id) => !record.fields.owners.includes(id)) ?? [];
    const visibility = body.visibility === "ownerIds" ? "owners" : body.visibility;
    const given = { ...body, visibility, owners };
    const fields = Object.fromEntries(
      updatable.flatMap((key) => (given[key] === null || given[key] === undefined ? [] : [[key, given[key]]])),
    );
    // Owners added while includeOwners holds become individuals (§3).
    const add = (body.includeOwners ?? record.fields.includeOwners) ? newOwners : [];
    change(context, record, { fields, add });
    return context.json(groupBody({ record, fields: record.fields, wasIndividual: new Map(), hidden: 0 }));
  });

  app.delete("/api/v2/groups/:groupId", (context) => {
    requireAny(context, "directory:group:delete");
    const record = recordOf(context.req.param("groupId"));
    checkDelete(`conflict ${record.fields.id}`);
    const lost = switches.deleteLost === "on" && strikes(`lost ${record.fields.id}`);
    if (!lost) change(context, record, { fields: { state: "deleted" } });
    return nothing(context);
  });

  const withinCap = (given: readonly string[], name: string) => {
    if (given.length <= maxMemberIds) return given;
    if (switches.overCap === "truncate") return given.slice(0, maxMemberIds);
    throw badRequest(`The number of ${name} exceeds the maximum of ${maxMemberIds}.`);
  };

  const checkGroupCap = (record: GroupRecord, added: readonly string[]) => {
    const { id, type } = record.fields;
    if (switches.groupCap === "ignore" || organisation.groups.size <= maxGroupsPerUser) return;
    const others = [...organisation.groups.values()].filter(
      ({ fields }) => fields.type === type && fields.id !== id && fields.state !== "deleted",
    );
    for (const userId of added) {
      if (record.individuals.has(userId)) continue;
      const held = others.reduce((count, other) => count + Number(other.individuals.has(userId)), 0);
      if (held >= maxGroupsPerUser) {
        throw badRequest(`User ${userId} is in the maximum of ${maxGroupsPerUser} ${type} groups.`);
      }
    }
  };

  app.post("/api/v2/groups/:groupId/members", async (context) => {
    requireMemberWrite(context);
    const json = await readJson(context);
    const record = recordOf(context.req.param("groupId"));
    const { memberIds, version } = checkBody(membersUpdate, json);
    const given = withinCap(memberIds, "memberIds");
    if (version !== undefined) checkVersion(record, version);
    else if (switches.missingVersion === "400") throw badRequest("version is required.");
    if (record.fields.query && switches.dynamic404 === "on") {
      throw badRequest("Members can not be added to a group with dynamic settings.");
    }
    const add = addable(given);
    checkGroupCap(record, add);
    if (switches.lost202 === "off") change(context, record, { add });
    return context.json({}, 202);
  });

  app.delete("/api/v2/groups/:groupId/members", (context) => {
    requireMemberWrite(context);
    const record = recordOf(context.req.param("groupId"));
    // One comma-separated text, not a repeated key (§2 #8).
    const asked = (context.req.query("ids") ?? "").split(",").filter((id) => id !== "");
    if (asked.length === 0) throw badRequest("ids is required.");
    const given = withinCap(asked, "ids");
    checkDelete(`conflict ${record.fields.id} members`);
    const { owners, derived } = record.fields;
    const isMember = (id: string) => record.individuals.has(id) || owners.includes(id) || derived.includes(id);
    const remove = usable(given, isMember, "The user is not a member of the group");
    if (switches.lost202 === "off") {
      const fields = {
        owners: owners.filter((id) => !remove.includes(id) || record.individuals.has(id)),
        derived: derived.filter((id) => !remove.includes(id) || record.individuals.has(id)),
      };
      const lessDerived = fields.owners.length + fields.derived.length < owners.length + derived.length;
      change(context, record, { remove, ...(switches.removeDerived === "removes" && lessDerived ? { fields } : {}) });
    }
    return context.body(null, 202);
  });

  // Skill expressions

  const noSettings = () => refusal(404, "general.resource.not.found", "Unable to find dynamic settings of that group");

  app.get("/api/v2/groups/:groupId/dynamicsettings", (context) => {
    requireAny(context, "directory:group:view");
    const { fields } = viewOf(context.req.param("groupId"));
    if (!fields.query && switches.dynamic404 === "on") throw noSettings();
    return context.json({
      group: { id: fields.id, selfUri: `/api/v2/groups/${fields.id}` },
      dateModified: fields.dateModified,
      query: fields.query ?? { skillConditions: [] },
      selfUri: `/api/v2/groups/${fields.id}/dynamicsettings`,
    });
  });

  app.put("/api/v2/groups/:groupId/dynamicsettings", async (context) => {
    requireAny(context, "directory:group:edit");
    const query = checkBody(dynamicQuery, await readJson(context));
    change(context, recordOf(context.req.param("groupId")), { fields: { query } });
    return nothing(context);
  });

  app.delete("/api/v2/groups/:groupId/dynamicsettings", (context) => {
    requireAny(context, "directory:group:delete");
    const record = recordOf(context.req.param("groupId"));
    if (!record.fields.query && switches.dynamic404 === "on") throw noSettings();
    change(context, record, { fields: { derived: [], query: undefined } });
    return nothing(context);
  });

  app.post("/api/v2/groups/dynamicsettings/preview", async (context) => {
    requireAny(context, "directory:group:view");
    checkBody(dynamicQuery, await readJson(context));
    return context.json({ userCount: 0 });
  });

  // People

  app.get("/api/v2/users", (context) => {
    const wanted = listQuery(context, "id");
    if (wanted.length > maxUserIds) {
      throw refusal(400, "max.user.ids", `Only ${maxUserIds} users can be requested at a time.`);
    }
    const jabberIds = listQuery(context, "jabberId");
    const state = context.req.query("state") ?? "active";
    if (!["active", "inactive", "deleted", "any"].includes(state)) throw invalidValue(state, "state");
    const lastRow = wholeQuery(context, "pageNumber", 1) * wholeQuery(context, "pageSize", 25);
    if (state === "inactive" && lastRow > maxInactiveRow) {
      throw badRequest(`Only the first ${maxInactiveRow} inactive users can be listed.`);
    }
    const expand = listQuery(context, "expand");
    const all = wanted.length ? usersById(wanted, state) : listUsers(organisation, state);
    const users = jabberIds.length ? all.filter(({ id }) => jabberIds.includes(jabberIdOf(id))) : all;
    return listing(context, users, pageMaximum.users, (user) => userBody(user, expand));
  });

  const usersById = (wanted: readonly string[], state: string) =>
    [...new Set(wanted)]
      .flatMap((id) => organisation.users.get(id) ?? [])
      .filter((user) => state === "any" || user.state === state)
      .sort((left, right) => compare(left.name, right.name));

  app.get("/api/v2/users/me", () => {
    throw badRequest(
      "This request requires a user context. Client credentials cannot be used for requests to this resource.",
    );
  });

  app.get("/api/v2/users/search", (context) => {
    requireAny(context, "directory:user:view");
    const request = parseSearch("users", decodeQ64(context.req.query("q64")));
    return context.json(searchUsers({ ...request, expand: [...listQuery(context, "expand")] }));
  });

  app.get("/api/v2/users/:userId", (context) => {
    const state = context.req.query("state") ?? "active";
    if (!["active", "deleted"].includes(state)) throw invalidValue(state, "state");
    const user = organisation.users.get(context.req.param("userId"));
    if (!user || (user.state === "deleted") !== (state === "deleted")) {
      throw refusal(404, "general.resource.not.found", "Unable to find a user with that userId");
    }
    return context.json(userBody(user, listQuery(context, "expand")));
  });

  app.post("/api/v2/users/:userId/invite", (context) => {
    if (!isLiveUser(context.req.param("userId"))) {
      throw refusal(404, "general.resource.not.found", "Unable to find a user with that userId");
    }
    return nothing(context);
  });

  // Searches

  const searchAnswer = <T>(
    request: SearchRequest,
    types: readonly string[],
    hits: readonly T[],
    render: (hit: T) => unknown,
  ) => {
    const pageSize = pageSizeWithin(request.pageSize ?? 25, pageMaximum.search);
    const pageNumber = request.pageNumber ?? 1;
    if (pageNumber < 1) throw invalidValue(pageNumber, "pageNumber");
    const pageCount = Math.ceil(hits.length / pageSize);
    const q64 = (number: number) => encodeQ64({ ...request, pageSize, pageNumber: number });
    return {
      total: hits.length,
      pageCount,
      pageSize,
      pageNumber,
      ...(pageNumber > 1 ? { previousPage: q64(pageNumber - 1) } : {}),
      currentPage: q64(pageNumber),
      ...(pageNumber < pageCount ? { nextPage: q64(pageNumber + 1) } : {}),
      types,
      results: hits.slice((pageNumber - 1) * pageSize, pageNumber * pageSize).map(render),
    };
  };

  const checkValues = (request: SearchRequest) => {
    const most = switches.searchValues;
    if (typeof most !== "number") return;
    if (allCriteria(request.query).some(({ values }) => (values?.length ?? 0) > most)) {
      throw badRequest(`A criterion takes at most ${most} values.`);
    }
  };

  const exactCase = switches.searchCase === "sensitive";

  const findGroups = (request: SearchRequest) => {
    checkValues(request);
    const hits = listGroups(organisation, now() - searchLagMs).filter(({ fields }) =>
      matchesQuery({ ...fields }, request.query, exactCase),
    );
    return sortHits(
      hits.map((view) => ({ ...view.fields, view })),
      request,
      "name",
    ).map(({ view }) => view);
  };

  const findUsers = (request: SearchRequest) => {
    checkValues(request);
    const criteria = allCriteria(request.query);
    const namesState = criteria.some(({ fields }) => fields?.includes("state"));
    const hits = candidates(request).filter(
      (user) =>
        (namesState || switches.searchStates === "all" || user.state === "active") &&
        matchesQuery({ ...user, username: user.email }, request.query, exactCase),
    );
    return sortHits(
      hits.map((user) => ({ ...user })),
      request,
      "name",
    );
  };

  /** The users a request can find at all: by the index of e-mails where it asks for exact ones. */
  const candidates = ({ query = [] }: SearchRequest): readonly UserRecord[] => {
    const exact = query.find(
      ({ type, fields, operator, group }) =>
        type === "EXACT" && !group && (operator ?? "AND") === "AND" && fields?.length === 1 && fields[0] === "email",
    );
    if (!exact) return listUsers(organisation, "any");
    const emails = new Set([exact.value ?? [], exact.values ?? []].flat().map((email) => email.toLowerCase()));
    const found = [...emails].flatMap((email) => organisation.byEmail.get(email) ?? []);
    return found.flatMap((id) => organisation.users.get(id) ?? []);
  };

  const searchGroups = (request: SearchRequest) => searchAnswer(request, ["groups"], findGroups(request), groupBody);

  const searchUsers = (request: SearchRequest) => {
    if (request.integrationPresenceSource !== undefined && (request.pageSize ?? 25) > 100) {
      throw badRequest("At most 100 users can be searched with integrationPresenceSource.");
    }
    const expand = request.expand ?? [];
    return searchAnswer(request, ["users"], findUsers(request), (user) => userBody(user, expand));
  };

  app.post("/api/v2/groups/search", async (context) =>
    context.json(searchGroups(parseSearch("groups", await readJson(context)))),
  );

  app.post("/api/v2/users/search", async (context) => {
    requireAny(context, "directory:user:view");
    return context.json(searchUsers(parseSearch("users", await readJson(context))));
  });

  app.post("/api/v2/search", async (context) => {
    requireAny(context, "directory:user:view", "routing:skill:view");
    const request = parseSearch("users", await readJson(context));
    const types = request.types ?? [];
    if (types.length === 0) throw badRequest("types is required.");
    const hits = [
      ...(types.includes("users") ? findUsers(request).map((user) => userBody(user, [])) : []),
      ...(types.includes("groups") ? findGroups(request).map(groupBody) : []),
    ];
    return context.json(searchAnswer(request, types, hits, (hit) => hit));
  });

  // The token and the organisation

  app.get("/api/v2/tokens/me", (context) =>
    context.json({
      organization: organisationRef,
      homeOrganization: organisationRef,
      authorizedScope: [],
      OAuthClient: { id: callerOf(context), name: callerOf(context), organization: organisationRef },
    }),
  );

  app.delete("/api/v2/tokens/me", (context) => {
    organisation.tokens.delete(tokenOf(context));
    return nothing(context);
  });

  app.get("/api/v2/organizations/me", (context) =>
    context.json({ ...organisationRef, state: "active", version: 1, selfUri: "/api/v2/organizations/me" }),
  );

  addScimRoutes(app, {
    requirePermission: requireAny,
    groups: () => listGroups(organisation, now()),
    users: () => listUsers(organisation, "any").filter(({ state }) => state !== "deleted"),
    view: viewOf,
    record: recordOf,
    individuals: (view) => listGroup(organisation, view, "individuals", listsInactive),
    addable,
    change,
    rateLimited: () => tooMany(minuteMs / 1000),
  });

  // The control surface

  const byHand = (groupId: string, groupChange: (fields: GroupFields) => GroupChange) => {
    const record = organisation.groups.get(groupId);
    if (!record || record.fields.state === "deleted") throw new Error(`genesys: no group ${groupId}`);
    changeGroupAtOnce(record, groupChange(record.fields), { now: now(), visibleAt: undefined, versionStep });
  };

  const control: EmulatorControl = {
    groups: () => [...organisation.groups.values()].filter(({ fields }) => fields.state !== "deleted").map(trueGroup),
    accountOf: (personId) => organisation.accounts.get(personId),
    addPerson: (person) => addUser(organisation, person),
    addGroup: (group) => addSeedGroup(organisation, group, new Date(now()).toISOString()),
    addMember: (groupId, account, role = "member") => {
      if (!organisation.users.has(account)) throw new Error(`genesys: no user ${account}`);
      byHand(groupId, ({ owners, includeOwners }) => {
        if (role !== "owner") return { add: [account] };
        const fields = { owners: [...new Set([...owners, account])] };
        return includeOwners ? { fields, add: [account] } : { fields };
      });
    },
    removeMember: (groupId, account) => {
      byHand(groupId, ({ owners, derived }) => {
        const others = (people: readonly string[]) => people.filter((id) => id !== account);
        const special = owners.includes(account) || derived.includes(account);
        return {
          remove: [account],
          ...(special ? { fields: { owners: others(owners), derived: others(derived) } } : {}),
        };
      });
    },
    renameGroup: (groupId, name) => byHand(groupId, () => ({ fields: { name } })),
    deleteGroup: (groupId) => byHand(groupId, () => ({ fields: { state: "deleted" } })),
    setPersonStatus: (account, status) => setUserStatus(organisation, account, status),
    answerInvitations: () => 0,
    expireTokens: () => organisation.tokens.clear(),
  };

  return {
    service: "genesys",
    app,
    control,
    credentials: credentialsOf("sandbox-genesys-client"),
    otherCredentials: {
      editor: credentialsOf("sandbox-genesys-editor"),
      readOnly: credentialsOf("sandbox-genesys-read-only"),
      noRights: credentialsOf("sandbox-genesys-no-rights"),
      wrongSecret: { clientId: "sandbox-genesys-client", clientSecret: "sandbox-genesys-wrong" },
    },
    listKeys: ["entities", "results", "Resources"],
    rateLimitBody: (retryAfterSeconds) => {
      const contextId = nextContextId();
      const body = { ...rateLimitAnswer(retryAfterSeconds), contextId };
      return { body, headers: { "ININ-Correlation-Id": contextId } };
    },
    serverErrorBody: (status) => ({ ...serverErrorAnswer(status), contextId: nextContextId() }),
    saveState: () => copyOrganisation(organisation),
    restoreState: (state) => {
      organisation = copyOrganisation(state as Organisation);
    },
  };
}

/** The fields that PUT changes: all but the type, which stays (§2 GroupUpdate). Null and absent leave a field alone. */
const updatable = [
  "name",
  "description",
  "state",
  "addresses",
  "images",
  "rulesVisible",
  "rolesEnabled",
  "includeOwners",
  "callsEnabled",
  "email",
  "visibility",
  "owners",
] as const;

function jabberIdOf(id: string): string {
  return `${id.replaceAll("-", "")}@sandbox.orgspan.example`;
}

/** A list in a query: comma-joined as the SDKs send it, or a repeated key as the API declares (§1). Empty texts are nothing. */
function listQuery(context: Context, name: string): readonly string[] {
  return (context.req.queries(name) ?? []).flatMap((value) => value.split(",")).filter((value) => value !== "");
}

function wholeQuery(context: Context, name: string, standard: number): number {
  const text = context.req.query(name);
  if (text === undefined) return standard;
  if (!/^\d{1,9}$/.test(text)) throw invalidValue(text, "integer");
  return Number(text);
}

/** Configuration files give `mismatch: 408` as a number; the switches of that kind are texts. */
function withNumeralsAsText(given: Readonly<Record<string, string | number>>): Record<string, string | number> {
  const table: Readonly<Record<string, readonly (string | number)[]>> = genesysSwitches;
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, table[name]?.includes(String(value)) ? String(value) : value]),
  );
}
