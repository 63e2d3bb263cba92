/**
 * A thin client of Genesys Cloud's Platform API v2: one function per call, with the names and the fields that the
 * service uses.
 *
 * What is sent here is what both official clients send (purecloud-platform-client-v2 262.0.0,
 * PureCloudPlatformClientV2 257.1.0): lists in a query as one comma-joined value, no body where there is nothing to
 * say. Answers are read with tolerance: unknown fields are handed on, only what a caller cannot do without is asked
 * for.
 *
 * Left out: SCIM (`/scim/v2`), which reaches the same groups a second way, by ETag instead of `version`.
 */
import { z } from "zod";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { type Credential, createRenewingCredential } from "../../http/auth.js";
import { createHttpClient, type ErrorDescription, type HttpRequest, path } from "../../http/client.js";
import type { ConnectionOptions } from "../../http/options.js";
import type { ProviderId } from "../../model.js";
import type { CallContext, Capabilities } from "../../provider.js";

/**
 * Where and as whom to call: `region`, or `baseUrl` and `loginUrl`.
 *
 * @see https://developer.genesys.cloud/platform/api/ (regions) and
 * https://developer.genesys.cloud/authorization/platform-auth/use-client-credentials
 */
export interface GenesysApiOptions extends ConnectionOptions {
  /** The name of this account in errors and events. @default "genesys" */
  readonly provider?: ProviderId;
  /** The organisation's region: its host (`mypurecloud.de`) or its name (`eu_central_1`, `eu-central-1`). */
  readonly region?: string;
  /** Instead of `region`: the address of the API, such as `https://api.mypurecloud.de`. */
  readonly baseUrl?: string;
  /** Together with `baseUrl`: the address that hands out tokens, such as `https://login.mypurecloud.de`. */
  readonly loginUrl?: string;
  /** The id of an OAuth client of the kind "client credentials". Its rights are its roles and divisions, not scopes. */
  readonly clientId: string;
  /** The client's secret. It goes to the log-in host only; tokens are fetched and renewed as needed. */
  readonly clientSecret: string;
}

/** Hosts by region name. Source: purecloud-platform-client-v2 262.0.0 and terraform-provider-genesyscloud @ f955430e. */
export const GENESYS_REGIONS = {
  us_east_1: "mypurecloud.com",
  eu_west_1: "mypurecloud.ie",
  ap_southeast_2: "mypurecloud.com.au",
  ap_northeast_1: "mypurecloud.jp",
  eu_central_1: "mypurecloud.de",
  us_west_2: "usw2.pure.cloud",
  ca_central_1: "cac1.pure.cloud",
  ap_northeast_2: "apne2.pure.cloud",
  eu_west_2: "euw2.pure.cloud",
  ap_south_1: "aps1.pure.cloud",
  us_east_2: "use2.us-gov-pure.cloud",
  sa_east_1: "sae1.pure.cloud",
  me_central_1: "mec1.pure.cloud",
  ap_northeast_3: "apne3.pure.cloud",
  eu_central_2: "euc2.pure.cloud",
  mx_central_1: "mxc1.pure.cloud",
  ap_southeast_1: "apse1.pure.cloud",
  eusc_de_east_1: "edee1.eusc-pure.cloud",
} as const satisfies Readonly<Record<string, string>>;

/** Members that one adding or removing call may name. Source: "a maximum of 50" in the Go, Python and .NET SDKs since 2025-01-23. */
export const MAX_MEMBERS_PER_CALL = 50;
/** Users that one list call may ask for by id. Source: error `max.user.ids`, "Only 100 users can be requested at a time.". */
export const MAX_USER_IDS_PER_CALL = 100;

/** How the calls are throttled. */
export const genesysLimits = {
  rates: [
    {
      scope: "token",
      requests: 300,
      windowMs: 60_000,
      counts: "all",
      source:
        "limits page: token.rate.per.minute and client.credentials.token.rate.per.minute, 300 each; the limit per organisation, client and user (3000) is never reached under it",
    },
  ],
  inFlight: {
    reads: {
      value: 4,
      source: "safe assumption: no limit is documented, and users report a 429 after a few parallel calls",
    },
    writes: {
      value: 1,
      source:
        "terraform-provider-genesyscloud writes one chunk after the other; every accepted change raises the group's version (inferred)",
    },
  },
} as const satisfies Pick<Capabilities, "rates" | "inFlight">;

const reference = z.looseObject({ id: z.string().min(1), name: z.string().nullish() });
const userSchema = z.looseObject({
  id: z.string().min(1),
  name: z.string().nullish(),
  email: z.string().nullish(),
  username: z.string().nullish(),
  state: z.string().nullish(),
  version: z.number().nullish(),
});
const groupSchema = z.looseObject({
  id: z.string().min(1),
  name: z.string(),
  description: z.string().nullish(),
  state: z.string().nullish(),
  version: z.number().nullish(),
  memberCount: z.number().nullish(),
  type: z.string().nullish(),
  visibility: z.string().nullish(),
  includeOwners: z.boolean().nullish(),
  owners: z.array(userSchema).nullish(),
});
const groupProfileSchema = z.looseObject({ id: z.string().min(1), name: z.string().nullish() });
const fieldConfigSchema = z.looseObject({
  entityType: z.string().nullish(),
  sections: z.array(z.looseObject({ fieldList: z.array(z.looseObject({ key: z.string() })).nullish() })).nullish(),
});
const dynamicDefinitionSchema = z.looseObject({
  group: reference.nullish(),
  query: z.looseObject({ skillConditions: z.array(z.unknown()).nullish() }).nullish(),
});
const dynamicPreviewSchema = z.looseObject({ userCount: z.number().nullish() });
const tokenInfoSchema = z.looseObject({
  organization: z.looseObject({ id: z.string().nullish(), name: z.string().nullish() }).nullish(),
  OAuthClient: z.looseObject({ id: z.string().nullish(), name: z.string().nullish() }).nullish(),
});
const issuedTokenSchema = z.looseObject({
  access_token: z.string().min(1),
  expires_in: z.number().positive().nullish(),
});

function listingSchema<Row extends z.ZodType>(row: Row) {
  return z.looseObject({
    entities: z.array(row),
    pageSize: z.number().nullish(),
    pageNumber: z.number().nullish(),
    total: z.int().nonnegative().nullish(),
    pageCount: z.int().nonnegative().nullish(),
    nextUri: z.string().nullish(),
  });
}

const searchEnvelope = { total: z.int().nonnegative(), pageCount: z.int().nonnegative().nullish() };

function foundSchema<Row extends z.ZodType>(row: Row) {
  return z.looseObject({ ...searchEnvelope, results: z.array(row) });
}

/** An account, or a reference to one with nothing but its id. */
export type GenesysUser = Readonly<z.infer<typeof userSchema>>;
/** A group. `memberCount` counts inactive people too, so it proves nothing about a list of members. */
export type GenesysGroup = Readonly<z.infer<typeof groupSchema>>;
/** A group's profile, long deprecated. */
export type GenesysGroupProfile = Readonly<z.infer<typeof groupProfileSchema>>;
/** The fields that profiles have. */
export type GenesysFieldConfig = Readonly<z.infer<typeof fieldConfigSchema>>;
/** The skill expression of a dynamic group. */
export type GenesysDynamicDefinition = Readonly<z.infer<typeof dynamicDefinitionSchema>>;
/** How many people a skill expression would include. */
export type GenesysDynamicPreview = Readonly<z.infer<typeof dynamicPreviewSchema>>;
/** What the token is for. Everything in it is optional. */
export type GenesysTokenInfo = Readonly<z.infer<typeof tokenInfoSchema>>;
/** An organisation: the tenant. */
export type GenesysOrganization = Readonly<z.infer<typeof reference>>;
/** A token just handed out. `expires_in` in seconds. */
export type GenesysIssuedToken = Readonly<z.infer<typeof issuedTokenSchema>>;

/** A page of a list. Pages are counted from 1; the service may return smaller ones than asked for. */
export interface GenesysListing<Row> {
  readonly entities: readonly Row[];
  readonly pageSize?: number | null | undefined;
  readonly pageNumber?: number | null | undefined;
  readonly total?: number | null | undefined;
  readonly pageCount?: number | null | undefined;
  readonly nextUri?: string | null | undefined;
}

/** A page of a search: the rows are under `results`, not `entities`. */
export interface GenesysSearchPage<Row> {
  readonly results: readonly Row[];
  readonly total: number;
  readonly pageCount?: number | null | undefined;
}

/** A page of the general search, whose rows depend on the types asked for. */
export interface GenesysSearchAnswer {
  readonly results: unknown;
  readonly total: number;
  readonly pageCount?: number | null | undefined;
}

/** Which page. */
export interface GenesysPageQuery {
  /** Rows per page. The maximum is not documented; 100 is seen everywhere. @default 25 */
  readonly pageSize?: number;
  /** From 1. @default 1 */
  readonly pageNumber?: number;
}

/** Filters of the list of groups. `id` and `jabberId` exclude each other. */
export interface GenesysGroupsQuery extends GenesysPageQuery {
  readonly id?: readonly string[];
  readonly jabberId?: readonly string[];
  /** @default "ASC", as the documents have it */
  readonly sortOrder?: "ascending" | "descending";
}

/** Filters of the list of users. */
export interface GenesysUsersQuery extends GenesysPageQuery {
  /** At most {@link MAX_USER_IDS_PER_CALL}. */
  readonly id?: readonly string[];
  readonly jabberId?: readonly string[];
  readonly sortOrder?: "ASC" | "DESC" | "ascending" | "descending";
  /** What else to tell about each user, such as `groups`. Best effort: "not guaranteed to be returned". */
  readonly expand?: readonly string[];
  /** With `inactive` the service answers 400 beyond 10,000 users. @default "active" */
  readonly state?: "active" | "inactive" | "deleted" | "any";
}

/** Which page of a group's members, and what else to tell about them. */
export interface GenesysMembersQuery extends GenesysPageQuery {
  /** @default "ASC", as the documents have it */
  readonly sortOrder?: "ascending" | "descending";
  /** Such as `groups` or `team`. Best effort. */
  readonly expand?: readonly string[];
}

/** A group's telephone number. */
export interface GenesysGroupContact {
  readonly address: string;
  readonly type: "GROUPRING" | "GROUPPHONE";
  readonly mediaType: "PHONE";
  readonly extension?: string;
}

/** A picture of a group. */
export interface GenesysImage {
  /** Such as `x96`. */
  readonly resolution?: string;
  readonly imageUri?: string;
}

/** A group to be made. */
export interface GenesysGroupCreate {
  readonly name: string;
  readonly type: "official" | "social";
  readonly rulesVisible: boolean;
  readonly visibility: "public" | "owners" | "members";
  /** Ignored by the service here (a known defect); set it with {@link GenesysApi.updateGroup}. */
  readonly description?: string;
  readonly addresses?: readonly GenesysGroupContact[];
  readonly images?: readonly GenesysImage[];
  readonly rolesEnabled?: boolean;
  /** Whether owners become individual members too. */
  readonly includeOwners?: boolean;
  readonly callsEnabled?: boolean;
  readonly email?: string;
  /** Left out: whoever makes the group owns it; with client credentials that is not documented. */
  readonly ownerIds?: readonly string[];
}

/** Changes to a group. What is absent stays as it is; the type cannot be changed. */
export interface GenesysGroupUpdate {
  /** The version last read; a stale one is refused (`conflict`). */
  readonly version: number;
  readonly name?: string;
  readonly description?: string;
  readonly state?: string;
  /** An empty list clears. */
  readonly addresses?: readonly GenesysGroupContact[];
  readonly images?: readonly GenesysImage[];
  readonly rulesVisible?: boolean;
  /** `ownerIds` is the vendor's own spelling here for what is `owners` elsewhere. */
  readonly visibility?: "public" | "ownerIds" | "members";
  readonly rolesEnabled?: boolean;
  readonly includeOwners?: boolean;
  readonly callsEnabled?: boolean;
  readonly email?: string;
  /** The whole list of owners. An empty list does not clear it. */
  readonly ownerIds?: readonly string[];
}

/** One condition of a search. All conditions of a query must hold. */
export interface GenesysSearchCriterion {
  /** Groups know only the first eight types. */
  readonly type:
    | "EXACT"
    | "STARTS_WITH"
    | "CONTAINS"
    | "REGEX"
    | "TERM"
    | "TERMS"
    | "REQUIRED_FIELDS"
    | "MATCH_ALL"
    | "QUERY_STRING"
    | "RANGE"
    | "LESS_THAN"
    | "LESS_THAN_EQUAL_TO"
    | "GREATER_THAN"
    | "GREATER_THAN_EQUAL_TO";
  readonly fields?: readonly string[];
  readonly value?: string;
  readonly values?: readonly string[];
  readonly operator?: "AND" | "OR" | "NOT";
  readonly group?: readonly GenesysSearchCriterion[];
  readonly startValue?: string;
  readonly endValue?: string;
  readonly dateFormat?: string;
}

/** A search. */
export interface GenesysSearchRequest extends GenesysPageQuery {
  readonly query?: readonly GenesysSearchCriterion[];
  readonly sortOrder?: "ASC" | "DESC" | "SCORE";
  readonly sortBy?: string;
  readonly sort?: readonly { readonly sortOrder?: "ASC" | "DESC" | "SCORE"; readonly sortBy?: string }[];
}

/** A search for users. */
export interface GenesysUserSearchRequest extends GenesysSearchRequest {
  readonly expand?: readonly string[];
  readonly enforcePermissions?: boolean;
  /** At most 100 users come back with it. */
  readonly integrationPresenceSource?: string;
}

/** A search over several kinds of things. */
export interface GenesysGeneralSearchRequest extends GenesysSearchRequest {
  /** Such as `users` and `groups`. The service wants at least one. */
  readonly types: readonly string[];
  readonly expand?: readonly string[];
}

/** A search as the service wrote it down: `q64` is the `nextPage` or `previousPage` of an earlier answer. */
export interface GenesysStoredSearch {
  readonly q64: string;
  readonly expand?: readonly string[];
}

/** A condition on one skill or language. */
export interface GenesysSkillCondition {
  readonly routingSkill?: string;
  readonly languageSkill?: string;
  readonly comparator:
    | "EqualTo"
    | "NotEqualTo"
    | "LessThan"
    | "GreaterThan"
    | "GreaterThanOrEqualTo"
    | "LessThanOrEqualTo";
  /** 0 to 5. */
  readonly proficiency: number;
  readonly childConditions?: readonly unknown[];
}

/** A skill expression. */
export interface GenesysDynamicQuery {
  readonly skillConditions: readonly {
    readonly routingSkillConditions: readonly GenesysSkillCondition[];
    readonly languageSkillConditions: readonly GenesysSkillCondition[];
    readonly operation: "And" | "Or" | "Not";
  }[];
}

type Context = Partial<CallContext>;

/**
 * Genesys Cloud's calls. All throw {@link GroupSyncError}: `unauthenticated`, `forbidden` (the missing right is in the
 * message, `missing.permissions` in `facts.serviceCode`), `not-found`, `conflict` (a stale version), `refused`,
 * `rate-limited`, `unavailable`, `network`, `timeout`, `bad-answer`; and `options-invalid`, before anything is sent,
 * for ids that cannot stand where they should and for empty lists.
 *
 * "Needs nothing" is what the vendor's documents say; enforcement is being tightened (announcement of 2025-12-01), so
 * grant `directory:group:view`, `edit` (and `add`, `delete`) and `directory:user:view`.
 *
 * Source of every call: the GroupsApi page of the vendor's Python SDK, the JavaScript SDK 262.0.0 and its documents.
 */
export interface GenesysApi {
  /** Log-in host, `POST /oauth/token` with client credentials. The other calls do it by themselves. */
  logIn(context?: Context): Promise<GenesysIssuedToken>;

  /** `GET /groups`. Needs nothing. */
  listGroups(query?: GenesysGroupsQuery, context?: Context): Promise<GenesysListing<GenesysGroup>>;
  /** `POST /groups`, answered 200. Needs `directory:group:add`. Not to be repeated blindly: names may repeat. */
  createGroup(group: GenesysGroupCreate, context?: Context): Promise<GenesysGroup>;
  /** `GET /groups/{id}`. Needs nothing. */
  getGroup(groupId: string, context?: Context): Promise<GenesysGroup>;
  /** `PUT /groups/{id}`. Needs `directory:group:edit`. */
  updateGroup(groupId: string, update: GenesysGroupUpdate, context?: Context): Promise<GenesysGroup>;
  /**
   * `DELETE /groups/{id}`, answered with any 2xx. Needs `directory:group:delete`. It may be undone later: two systems
   * hold groups, and the second may refuse (source: comment in terraform-provider-genesyscloud). Read to be sure.
   */
  deleteGroup(groupId: string, context?: Context): Promise<void>;
  /**
   * `GET /groups/{id}/members`: individuals, owners and people included by rules. Needs nothing. Not the list to
   * compare a membership with; that is {@link GenesysApi.listGroupIndividuals}.
   */
  listGroupMembers(
    groupId: string,
    query?: GenesysMembersQuery,
    context?: Context,
  ): Promise<GenesysListing<GenesysUser>>;
  /** `GET /groups/{id}/individuals`: the people added one by one, without paging. Needs nothing. */
  listGroupIndividuals(groupId: string, context?: Context): Promise<GenesysListing<GenesysUser>>;
  /**
   * `POST /groups/{id}/members`, answered 202: accepted, not done, and nothing about any one person. At most
   * {@link MAX_MEMBERS_PER_CALL}. `version` is that of the group; the SDKs of 2026 made it optional, what leaving it
   * out does is not documented.
   */
  addGroupMembers(groupId: string, memberIds: readonly string[], version: number, context?: Context): Promise<void>;
  /** `DELETE /groups/{id}/members?ids=`, answered 202 as above. At most {@link MAX_MEMBERS_PER_CALL}. Takes no version. */
  removeGroupMembers(groupId: string, memberIds: readonly string[], context?: Context): Promise<void>;
  /** `POST /groups/search`. Needs nothing. A new group may take some seconds to be found. */
  searchGroups(request: GenesysSearchRequest, context?: Context): Promise<GenesysSearchPage<GenesysGroup>>;
  /** `GET /groups/search?q64=`. Needs nothing. */
  continueGroupSearch(search: GenesysStoredSearch, context?: Context): Promise<GenesysSearchPage<GenesysGroup>>;
  /** `GET /groups/{id}/dynamicsettings` (a preview of the vendor). Needs `directory:group:view`. 404: the group has none. */
  getGroupDynamicSettings(groupId: string, context?: Context): Promise<GenesysDynamicDefinition>;
  /** `PUT /groups/{id}/dynamicsettings` (a preview of the vendor). Needs `directory:group:edit`. */
  updateGroupDynamicSettings(groupId: string, query: GenesysDynamicQuery, context?: Context): Promise<void>;
  /** `DELETE /groups/{id}/dynamicsettings` (a preview of the vendor). Needs `directory:group:delete`. */
  deleteGroupDynamicSettings(groupId: string, context?: Context): Promise<void>;
  /**
   * `POST /groups/dynamicsettings/preview` (a preview of the vendor). Needs `directory:group:view`. Changes nothing.
   * @deprecated by the vendor
   */
  previewGroupDynamicSettings(query: GenesysDynamicQuery, context?: Context): Promise<GenesysDynamicPreview>;
  /**
   * `GET /groups/{id}/profile`. `fields`: keys of {@link GenesysApi.getFieldConfig}. Needs nothing.
   * @deprecated by the vendor since 2020-06; use {@link GenesysApi.getGroup}
   */
  getGroupProfile(
    groupId: string,
    query?: { readonly fields?: readonly string[] },
    context?: Context,
  ): Promise<GenesysGroupProfile>;
  /**
   * `GET /profiles/groups`. Needs nothing.
   * @deprecated by the vendor; use {@link GenesysApi.listGroups}
   */
  listGroupProfiles(query?: GenesysGroupsQuery, context?: Context): Promise<GenesysListing<GenesysGroupProfile>>;
  /**
   * `GET /fieldconfig?type=`. Needs nothing.
   * @deprecated by the vendor
   */
  getFieldConfig(type: "person" | "group" | "org" | "externalContact", context?: Context): Promise<GenesysFieldConfig>;

  /** `GET /users`. Needs nothing. */
  listUsers(query?: GenesysUsersQuery, context?: Context): Promise<GenesysListing<GenesysUser>>;
  /** `GET /users/{id}`. Needs nothing. Deleted users are shown when asked for with `state`. */
  getUser(
    userId: string,
    query?: { readonly expand?: readonly string[]; readonly state?: "active" | "deleted" },
    context?: Context,
  ): Promise<GenesysUser>;
  /** `GET /users/me`. Works for tokens of people; a client of its own is nobody. */
  getOwnUser(context?: Context): Promise<GenesysUser>;
  /** `POST /users/search`. Needs `directory:user:view`. Which states it covers by default is not documented. */
  searchUsers(request: GenesysUserSearchRequest, context?: Context): Promise<GenesysSearchPage<GenesysUser>>;
  /** `GET /users/search?q64=`. Needs `directory:user:view`. */
  continueUserSearch(search: GenesysStoredSearch, context?: Context): Promise<GenesysSearchPage<GenesysUser>>;
  /** `POST /search`. Needs any of `directory:user:view` and `routing:skill:view`. */
  search(
    request: GenesysGeneralSearchRequest,
    query?: { readonly profile?: boolean },
    context?: Context,
  ): Promise<GenesysSearchAnswer>;
  /** `POST /users/{id}/invite`: sends the person a mail. `force`: even if already invited. */
  inviteUser(userId: string, query?: { readonly force?: boolean }, context?: Context): Promise<void>;

  /** `GET /tokens/me`: what the token in use is for. */
  getOwnToken(context?: Context): Promise<GenesysTokenInfo>;
  /** `DELETE /tokens/me`: ends the token in use. The next call fetches a new one. */
  deleteOwnToken(context?: Context): Promise<void>;
  /** `GET /organizations/me`. */
  getOrganization(context?: Context): Promise<GenesysOrganization>;
}

/** Makes a client. Throws `options-invalid` when the region, an address or the credentials are missing or wrong. */
export function createGenesysApi(options: GenesysApiOptions): GenesysApi {
  const { provider = "genesys", region, baseUrl, loginUrl, clientId, clientSecret, ...timing } = options;
  if (clientId === "" || clientId.includes(":") || clientSecret === "") {
    throw new GroupSyncError(
      "options-invalid",
      `${provider}: give the clientId and the clientSecret of an OAuth client.`,
      {
        provider,
      },
    );
  }
  const hosts = resolveGenesysHosts({ region, baseUrl, loginUrl }, provider);
  const basic = Buffer.from(`${clientId}:${clientSecret}`, "utf8").toString("base64");
  const shared = { ...timing, provider, requestIdHeader: "inin-correlation-id" };
  const login = createHttpClient({
    ...shared,
    baseUrl: hosts.loginUrl,
    credential: createBasicCredential(basic, [clientSecret, basic]),
    // Not the API's limit: what the log-in host allows is documented nowhere, and one log-in serves a whole run.
    capabilities: { ...genesysLimits, rates: [] },
    scopeKey: `log-in ${clientId}`,
    describeError: describeLogInError,
  });
  const client = createHttpClient({
    ...shared,
    baseUrl: hosts.baseUrl,
    credential: createRenewingCredential({
      scheme: "Bearer",
      secrets: [clientSecret, basic],
      logIn: async (context) => {
        const { access_token: token, expires_in: seconds } = await logIn(context);
        return { token, ...(typeof seconds === "number" && { expiresInMs: seconds * 1000 }) };
      },
    }),
    capabilities: genesysLimits,
    scopeKey: clientId,
    describeError: describeGenesysError,
  });

  async function logIn(context?: Context): Promise<GenesysIssuedToken> {
    const request = {
      operation: "logIn",
      method: "POST",
      path: "/oauth/token",
      form: { grant_type: "client_credentials" },
      effect: "read",
    } as const satisfies HttpRequest;
    return parseAnswer(await login.send(request, context), request, issuedTokenSchema);
  }

  /** Sends and reads the answer; what it must hold is in the schema. */
  async function ask<T>(request: HttpRequest, schema: z.ZodType<T>, context: Context | undefined): Promise<T> {
    return parseAnswer(await client.send(request, context), request, schema);
  }

  /** Sends something whose answer says nothing: an empty body, or `{}`. */
  async function tell(request: HttpRequest, context: Context | undefined): Promise<void> {
    await client.send(request, context);
  }

  function parseAnswer<T>(
    answer: { readonly status: number; readonly data: unknown; readonly headers: Readonly<Record<string, string>> },
    request: HttpRequest,
    schema: z.ZodType<T>,
  ): T {
    const parsed = schema.safeParse(answer.data);
    if (parsed.success) return parsed.data;
    const requestId = answer.headers["inin-correlation-id"];
    throw new GroupSyncError(
      "bad-answer",
      `${provider} answered ${answer.status} to ${request.operation}, but not as documented: ${describeIssue(parsed.error, answer.data)}.`,
      {
        provider,
        operation: request.operation,
        status: answer.status,
        ...(requestId !== undefined && { requestId }),
        // The service took the write; only what it made of it is not known.
        outcomeUnknown: request.effect === "write",
        hint: "Check the region or address of this provider. If it is right, the service's answers have changed.",
      },
    );
  }

  /** For calls that carry a version: their 408 is a stale version too (source: terraform-provider-genesyscloud). */
  async function withVersion<T>(call: Promise<T>): Promise<T> {
    return call.catch((error: unknown) => {
      if (!isGroupSyncError(error) || error.facts.status !== 408) throw error;
      // If it was a plain timeout after all, reading again and repeating with the new version does no harm.
      throw new GroupSyncError("conflict", error.message, { ...error.facts, retryable: false, outcomeUnknown: false });
    });
  }

  return {
    logIn,

    listGroups: async (query = {}, context) =>
      ask(read("listGroups", "/api/v2/groups", groupsParameters(query)), listingSchema(groupSchema), context),
    createGroup: async (group, context) =>
      ask(
        { operation: "createGroup", method: "POST", path: "/api/v2/groups", body: group, effect: "write" },
        groupSchema,
        context,
      ),
    getGroup: async (groupId, context) => ask(read("getGroup", path`/api/v2/groups/${groupId}`), groupSchema, context),
    updateGroup: async (groupId, update, context) =>
      withVersion(
        ask(
          {
            operation: "updateGroup",
            method: "PUT",
            path: path`/api/v2/groups/${groupId}`,
            body: update,
            effect: "write",
          },
          groupSchema,
          context,
        ),
      ),
    deleteGroup: async (groupId, context) =>
      tell(
        { operation: "deleteGroup", method: "DELETE", path: path`/api/v2/groups/${groupId}`, effect: "write" },
        context,
      ),
    listGroupMembers: async (groupId, query = {}, context) =>
      ask(
        read("listGroupMembers", path`/api/v2/groups/${groupId}/members`, [
          ...pageParameters(query),
          ...textParameter("sortOrder", query.sortOrder),
          ...listParameter("expand", query.expand),
        ]),
        listingSchema(userSchema),
        context,
      ),
    listGroupIndividuals: async (groupId, context) =>
      ask(
        read("listGroupIndividuals", path`/api/v2/groups/${groupId}/individuals`),
        listingSchema(userSchema),
        context,
      ),
    addGroupMembers: async (groupId, memberIds, version, context) =>
      withVersion(
        tell(
          {
            operation: "addGroupMembers",
            method: "POST",
            path: path`/api/v2/groups/${groupId}/members`,
            body: { memberIds: checkIds(memberIds, MAX_MEMBERS_PER_CALL), version },
            effect: "write",
          },
          context,
        ),
      ),
    removeGroupMembers: async (groupId, memberIds, context) =>
      tell(
        {
          operation: "removeGroupMembers",
          method: "DELETE",
          path: path`/api/v2/groups/${groupId}/members`,
          query: [["ids", checkIds(memberIds, MAX_MEMBERS_PER_CALL).join(",")]],
          effect: "write",
        },
        context,
      ),
    searchGroups: async (request, context) =>
      ask(readByPost("searchGroups", "/api/v2/groups/search", request), foundSchema(groupSchema), context),
    continueGroupSearch: async (search, context) =>
      ask(
        read("continueGroupSearch", "/api/v2/groups/search", storedSearchParameters(search)),
        foundSchema(groupSchema),
        context,
      ),
    getGroupDynamicSettings: async (groupId, context) =>
      ask(
        read("getGroupDynamicSettings", path`/api/v2/groups/${groupId}/dynamicsettings`),
        dynamicDefinitionSchema,
        context,
      ),
    updateGroupDynamicSettings: async (groupId, query, context) =>
      tell(
        {
          operation: "updateGroupDynamicSettings",
          method: "PUT",
          path: path`/api/v2/groups/${groupId}/dynamicsettings`,
          body: query,
          effect: "write",
        },
        context,
      ),
    deleteGroupDynamicSettings: async (groupId, context) =>
      tell(
        {
          operation: "deleteGroupDynamicSettings",
          method: "DELETE",
          path: path`/api/v2/groups/${groupId}/dynamicsettings`,
          effect: "write",
        },
        context,
      ),
    previewGroupDynamicSettings: async (query, context) =>
      ask(
        readByPost("previewGroupDynamicSettings", "/api/v2/groups/dynamicsettings/preview", query),
        dynamicPreviewSchema,
        context,
      ),
    getGroupProfile: async (groupId, query = {}, context) =>
      ask(
        read("getGroupProfile", path`/api/v2/groups/${groupId}/profile`, listParameter("fields", query.fields)),
        groupProfileSchema,
        context,
      ),
    listGroupProfiles: async (query = {}, context) =>
      ask(
        read("listGroupProfiles", "/api/v2/profiles/groups", groupsParameters(query)),
        listingSchema(groupProfileSchema),
        context,
      ),
    getFieldConfig: async (type, context) =>
      ask(read("getFieldConfig", "/api/v2/fieldconfig", [["type", type]]), fieldConfigSchema, context),

    listUsers: async (query = {}, context) =>
      ask(
        read("listUsers", "/api/v2/users", [
          ...pageParameters(query),
          ...(query.id ? [["id", checkIds(query.id, MAX_USER_IDS_PER_CALL).join(",")] as const] : []),
          ...listParameter("jabberId", query.jabberId),
          ...textParameter("sortOrder", query.sortOrder),
          ...listParameter("expand", query.expand),
          ...textParameter("state", query.state),
        ]),
        listingSchema(userSchema),
        context,
      ),
    getUser: async (userId, query = {}, context) =>
      ask(
        read("getUser", path`/api/v2/users/${userId}`, [
          ...listParameter("expand", query.expand),
          ...textParameter("state", query.state),
        ]),
        userSchema,
        context,
      ),
    getOwnUser: async (context) => ask(read("getOwnUser", "/api/v2/users/me"), userSchema, context),
    searchUsers: async (request, context) =>
      ask(readByPost("searchUsers", "/api/v2/users/search", request), foundSchema(userSchema), context),
    continueUserSearch: async (search, context) =>
      ask(
        read("continueUserSearch", "/api/v2/users/search", storedSearchParameters(search)),
        foundSchema(userSchema),
        context,
      ),
    search: async (request, query = {}, context) =>
      ask(
        {
          ...readByPost("search", "/api/v2/search", request),
          query: textParameter("profile", query.profile === undefined ? undefined : String(query.profile)),
        },
        z.looseObject({ ...searchEnvelope, results: z.union([z.array(z.unknown()), z.looseObject({})]) }),
        context,
      ),
    inviteUser: async (userId, query = {}, context) =>
      tell(
        {
          operation: "inviteUser",
          method: "POST",
          path: path`/api/v2/users/${userId}/invite`,
          query: textParameter("force", query.force === undefined ? undefined : String(query.force)),
          effect: "write",
        },
        context,
      ),

    getOwnToken: async (context) => ask(read("getOwnToken", "/api/v2/tokens/me"), tokenInfoSchema, context),
    deleteOwnToken: async (context) =>
      tell({ operation: "deleteOwnToken", method: "DELETE", path: "/api/v2/tokens/me", effect: "write" }, context),
    getOrganization: async (context) => ask(read("getOrganization", "/api/v2/organizations/me"), reference, context),
  };
}

type Parameters = readonly (readonly [string, string])[];

function read(operation: string, address: string, query: Parameters = []): HttpRequest {
  return { operation, method: "GET", path: address, query, effect: "read" };
}

/** A search is a POST that changes nothing, so it may be repeated like a GET. */
function readByPost(operation: string, address: string, body: unknown): HttpRequest {
  return { operation, method: "POST", path: address, body, effect: "read" };
}

function textParameter(name: string, value: string | undefined): Parameters {
  return value === undefined ? [] : [[name, value]];
}

function listParameter(name: string, values: readonly string[] | undefined): Parameters {
  return values === undefined ? [] : [[name, checkIds(values, Number.POSITIVE_INFINITY).join(",")]];
}

function pageParameters({ pageSize, pageNumber }: GenesysPageQuery): Parameters {
  return [...textParameter("pageSize", pageSize?.toString()), ...textParameter("pageNumber", pageNumber?.toString())];
}

function groupsParameters(query: GenesysGroupsQuery): Parameters {
  if (query.id && query.jabberId) {
    throw new GroupSyncError("options-invalid", "Genesys takes id or jabberId to list groups by, not both.");
  }
  return [
    ...pageParameters(query),
    ...listParameter("id", query.id),
    ...listParameter("jabberId", query.jabberId),
    ...textParameter("sortOrder", query.sortOrder),
  ];
}

function storedSearchParameters({ q64, expand }: GenesysStoredSearch): Parameters {
  if (q64 === "") throw new GroupSyncError("options-invalid", "A stored search needs the q64 of an earlier answer.");
  return [["q64", q64], ...listParameter("expand", expand)];
}

/**
 * Ids that can go into one request, as they came. Lists travel as one text with commas, so an id with a comma would
 * become two, and an empty list would be sent as "no filter". Throws `options-invalid`.
 */
export function checkIds(ids: readonly string[], max: number): readonly string[] {
  const wrong = ids.find((id) => id === "" || id.trim() !== id || id.includes(","));
  if (wrong !== undefined) {
    throw new GroupSyncError("options-invalid", `${JSON.stringify(wrong)} is not an id that Genesys could have given.`);
  }
  if (ids.length === 0) throw new GroupSyncError("options-invalid", "An empty list is not sent: it would mean all.");
  if (ids.length > max) {
    throw new GroupSyncError("options-invalid", `${ids.length} ids are too many for one request; the most is ${max}.`);
  }
  return ids;
}

function resolveGenesysHosts(
  options: {
    readonly region?: string | undefined;
    readonly baseUrl?: string | undefined;
    readonly loginUrl?: string | undefined;
  },
  provider: ProviderId,
): { readonly baseUrl: string; readonly loginUrl: string } {
  const problem = findHostProblem(options);
  if (problem !== undefined) throw new GroupSyncError("options-invalid", `${provider}: ${problem}`, { provider });
  const { baseUrl, loginUrl } = options;
  if (baseUrl !== undefined && loginUrl !== undefined) return { baseUrl, loginUrl };
  const host = findRegionHost(options.region ?? "");
  return { baseUrl: `https://api.${host}`, loginUrl: `https://login.${host}` };
}

/** What is wrong with the place that the options name, in plain words; undefined when it is clear. */
export function findHostProblem(options: {
  readonly region?: string | undefined;
  readonly baseUrl?: string | undefined;
  readonly loginUrl?: string | undefined;
}): string | undefined {
  const { region, baseUrl, loginUrl } = options;
  const addresses = [baseUrl, loginUrl].filter((address) => address !== undefined).length;
  if (region === undefined) {
    if (addresses === 2) return undefined;
    return addresses === 0
      ? "give the region, such as mypurecloud.de or eu_central_1."
      : "baseUrl and loginUrl go together: give both, or the region instead.";
  }
  if (addresses > 0) return "give either the region, or baseUrl and loginUrl.";
  if (findRegionHost(region) !== undefined) return undefined;
  // The secret goes to the log-in host, so a host is not guessed from a text that may be mistyped.
  return `the region ${JSON.stringify(region)} is not known; give one of ${Object.keys(GENESYS_REGIONS).join(", ")}, or its host, or baseUrl and loginUrl for a new one.`;
}

function findRegionHost(region: string): string | undefined {
  const given = region.trim().toLowerCase();
  const name = given.replaceAll("-", "_");
  return Object.entries(GENESYS_REGIONS).find(([key, host]) => key === name || host === given)?.[1];
}

function createBasicCredential(basic: string, secrets: readonly string[]): Credential {
  return { authorization: async () => `Basic ${basic}`, renew: () => false, secrets: () => secrets };
}

const text = z.string().optional().catch(undefined);
const nestedErrorSchema = z.looseObject({ message: text, code: text });
/** Everything is optional in the vendor's ErrorBody, so nothing that is odd in it may hide the rest. */
const errorBodySchema = nestedErrorSchema.extend({
  details: z
    .array(z.looseObject({ errorCode: text, fieldName: text }))
    .optional()
    .catch(undefined),
  errors: z.array(nestedErrorSchema).optional().catch(undefined),
});

/**
 * An ErrorBody: `code` is the machine's word. A stale version comes as 409, or as 400 with this text and no code of
 * its own (source: terraform-provider-genesyscloud); nothing else is decided by text.
 */
function describeGenesysError(status: number, data: unknown): ErrorDescription {
  const parsed = errorBodySchema.safeParse(data);
  const body = parsed.success ? parsed.data : {};
  const [detail] = body.details ?? [];
  const [nested] = body.errors ?? [];
  const message = body.message ?? nested?.message;
  const serviceCode = body.code ?? nested?.code ?? detail?.errorCode;
  const described = {
    ...(message !== undefined && { message }),
    ...(serviceCode !== undefined && { serviceCode }),
    ...(detail?.fieldName !== undefined && { field: detail.fieldName }),
  };
  if (status === 400 && message?.includes("does not match the current version")) {
    return { ...described, code: "conflict" };
  }
  if ((status === 404 || status === 410) && serviceCode === undefined) {
    return {
      ...described,
      code: "unavailable",
      hint: "This answer is not from the service itself (it has no error code). Check the region or address of this provider.",
    };
  }
  return described;
}

const logInErrorSchema = z.looseObject({ error: text, error_description: text, message: text, code: text });
const BAD_CLIENT = ["invalid_client", "unauthorized_client", "invalid_grant", "bad.credentials"];

/**
 * `{ error, error_description }` of the token endpoint. It throttles with 400 `invalid_request` and says so in the
 * description only (source: Go SDK and terraform-provider-genesyscloud), so this one text is read; a wrong secret is
 * 400 or 401.
 */
function describeLogInError(status: number, data: unknown): ErrorDescription {
  const parsed = logInErrorSchema.safeParse(data);
  const body = parsed.success ? parsed.data : {};
  const message = body.error_description ?? body.message;
  const serviceCode = body.error ?? body.code;
  const described = {
    ...(message !== undefined && { message }),
    ...(serviceCode !== undefined && { serviceCode }),
  };
  const throttled = status === 400 && serviceCode === "invalid_request" && /rate limit exceeded/i.test(message ?? "");
  if (throttled) return { ...described, code: "rate-limited" };
  // Told apart from a 404 of the API, which would mean that a group is gone.
  if (status === 404 || status === 410) {
    return { ...described, code: "unavailable", hint: "Check the region or loginUrl of this provider." };
  }
  if (status === 401 || status === 403 || (status === 400 && BAD_CLIENT.includes(serviceCode ?? ""))) {
    return {
      ...described,
      code: "unauthenticated",
      hint: "Check clientId, clientSecret and region: the OAuth client must be of the kind client credentials, in an organisation of that region.",
    };
  }
  return described;
}

function describeIssue(error: z.ZodError, data: unknown): string {
  const issue = error.issues[0];
  const where = issue?.path.map(String).join(".");
  if (where) return `${where} is missing or wrong`;
  return data === undefined ? "nothing was in it" : `it holds ${Array.isArray(data) ? "a list" : `a ${typeof data}`}`;
}
