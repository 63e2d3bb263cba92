/**
 * A thin client of BrainSTEM's API: one function per call, arguments in our spelling, answers under the names that
 * the service uses.
 *
 * The server's source is not public. What is sent here is what the vendor's pages show (brainstem_support @ 28345af)
 * and what its Python client sends (2.0.0 and 0.2.0); where those disagree: the joined spelling of invitations and
 * requests, encoded filter values, a slash at every end, `Bearer`. Error bodies are those of Django REST framework,
 * which the server is built with as far as one can see, so nothing is decided on their words.
 *
 * Joining, leaving, accepting, rejecting and cancelling are GET requests that change something. They count as writes
 * here and are never repeated by themselves.
 */
import { z } from "zod";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { createTokenCredential } from "../../http/auth.js";
import { createHttpClient, type ErrorDescription, type HttpRequest, path } from "../../http/client.js";
import type { ConnectionOptions } from "../../http/options.js";
import type { ProviderId } from "../../model.js";
import type { CallContext, Capabilities } from "../../provider.js";

/**
 * Where groups live in the address: `users` in the vendor's pages and its Python client, `auth` in its MATLAB client
 * ("even though documented under Users").
 */
export type BrainstemGroupApp = "users" | "auth";

/**
 * How invitations and requests are spelled in the address: `groupmembershipinvitation` in the vendor's pages, its web
 * pages and most clients, `group_membership_invitation` in its Python client 2.0.0 alone.
 */
export type BrainstemInviteSpelling = "joined" | "underscore";

/** `private` needs a token; `public` is for anybody and for reading only. Source: the page "API". */
export type BrainstemPortal = "private" | "public";

/**
 * Where and as whom to call.
 *
 * @see https://support.brainstem.org/api/
 */
export interface BrainstemApiOptions extends Omit<ConnectionOptions, "requestsPerMinute"> {
  /** The name of this account in errors and events. @default "brainstem" */
  readonly provider?: ProviderId;
  /**
   * A personal access token, made at `/private/users/tokens/`; it lives a year and longer while it is used. A 401 is
   * final. Without one, only the public portal and the log-in calls make sense.
   */
  readonly token?: string;
  /** Scheme and host, without `/api`. @default "https://www.brainstem.org" */
  readonly baseUrl?: string;
  /**
   * Where groups live in the address. When the first page of the list of groups is not there, the other one is tried
   * and kept; never for a single group, where a 404 means that it does not exist.
   * @default "users"
   */
  readonly groupApp?: BrainstemGroupApp;
  /**
   * How invitations and requests are spelled in the address. When the first page of their list is not there, the other
   * spelling is tried and kept; never for a single one.
   * @default "joined"
   */
  readonly inviteSpelling?: BrainstemInviteSpelling;
  /** Through which portal groups and users are read. Everything else goes through `private`. @default "private" */
  readonly portal?: BrainstemPortal;
}

/** The address of the service. Source: the page "API". */
export const DEFAULT_BASE_URL = "https://www.brainstem.org";

/** Rows per page at most. Source: the page "API" since 2025-07-30. The default is 20. */
export const MAX_PAGE_SIZE = 100;

/** How the calls are throttled: BrainSTEM documents nothing, so these are cautious guesses. */
export const brainstemLimits = {
  rates: [],
  inFlight: {
    reads: { value: 4, source: "safe assumption: no rate limit is documented" },
    writes: {
      value: 1,
      source: "safe assumption: there is no version, so two writes at once could overtake each other",
    },
  },
} as const satisfies Pick<Capabilities, "rates" | "inFlight">;

/** Group and user ids are whole numbers on the wire today and were called UUIDs before 2026; text fits both. */
const idSchema = z.union([z.int(), z.string().min(1)]).transform(String);

const groupUserSchema = z.object({ is_manager: z.boolean().nullish(), is_owner: z.boolean().nullish() });
const usersSchema = z.record(z.string(), groupUserSchema);
const listedGroupSchema = z.object({ id: idSchema, name: z.string(), users: usersSchema.nullish() });
const groupSchema = listedGroupSchema.extend({ users: usersSchema });
const invitationSchema = z.object({
  id: idSchema,
  user_account_invitation: idSchema,
  authgroup: idSchema,
  new_manager: z.boolean().nullish(),
  new_owner: z.boolean().nullish(),
});
const requestSchema = z.object({ id: idSchema, user_account_request: idSchema, authgroup: idSchema });
const userSchema = z.object({
  id: idSchema,
  email: z.string().nullish(),
  first_name: z.string().nullish(),
  last_name: z.string().nullish(),
  groups_own_json: z
    .array(z.object({ id: idSchema, name: z.string() }))
    .nullish()
    .catch(undefined),
});
const deviceSchema = z.object({
  device_code: z.string().min(1),
  user_code: z.string().nullish(),
  verification_uri: z.string().nullish(),
  verification_uri_complete: z.string().nullish(),
  expires_in: z.number().nullish(),
  interval: z.number().nullish(),
});
const pollSchema = z.union([
  z.object({ status: z.literal("success"), token: z.string().min(1) }),
  z.object({ status: z.literal("authorization_pending") }),
  z.object({ error: z.string().min(1) }),
]);
const accessSchema = z.object({
  access: z.string().min(1),
  refresh: z.string().nullish(),
  expires_in: z.number().nullish(),
});
const oldTokenSchema = z.union([
  z.object({ access: z.string().min(1) }).transform(({ access }) => ({ token: access })),
  z.object({ token: z.string().min(1) }),
]);
const countSchema = z.int().nonnegative().nullish().catch(undefined);
const metaSchema = z
  .object({ page: countSchema, per_page: countSchema, total_results: countSchema, total_pages: countSchema })
  .nullish()
  .catch(undefined);

/** A group with its members by e-mail. People who are only invited are not among them. */
export type BrainstemGroup = Readonly<z.infer<typeof groupSchema>>;
/** A group as lists and writes show it: `users` may be missing there. */
export type BrainstemListedGroup = Readonly<z.infer<typeof listedGroupSchema>>;
/** An invitation into a group: no state, no e-mail, no date. */
export type BrainstemInvitation = Readonly<z.infer<typeof invitationSchema>>;
/** Someone's request to join a group. */
export type BrainstemRequest = Readonly<z.infer<typeof requestSchema>>;
/** A user. `groups_own_json` lists the groups that the user OWNS, not all groups. */
export type BrainstemUser = Readonly<z.infer<typeof userSchema>>;
/** A device log-in under way; `interval` (seconds) between polls, `expires_in` seconds in all (15 minutes). */
export type BrainstemDevice = Readonly<z.infer<typeof deviceSchema>>;
/** The answer to {@link BrainstemApi.createAccessToken}; `expires_in` in seconds. */
export type BrainstemAccess = Readonly<z.infer<typeof accessSchema>>;

/** Both flags of a member. A flag that is left out becomes false, so there is no leaving out. */
export interface BrainstemFlags {
  readonly is_manager: boolean;
  readonly is_owner: boolean;
}

/** What a change says about one e-mail: its flags, or that it leaves. */
export type BrainstemUserChange = BrainstemFlags | { readonly remove: true };

/** How a device log-in stands. `refused`: `access_denied`, `expired_token` or `already_used`. */
export type BrainstemDeviceLogIn =
  | { readonly status: "pending" }
  | { readonly status: "success"; readonly token: string }
  | { readonly status: "refused"; readonly reason: string };

/** One page of a list, with whatever the service says about the whole. All of that may be missing. */
export interface BrainstemPage<Row> {
  readonly rows: readonly Row[];
  /** From 1. */
  readonly page?: number;
  /** The page size that was granted. */
  readonly perPage?: number;
  /** Rows in the whole list: `meta.total_results`, else a `count` beside the list. */
  readonly total?: number;
  readonly totalPages?: number;
}

/** The query grammar of lists (the page "API"; ops beyond it are those of dynamic-rest). */
export interface BrainstemQuery {
  /**
   * By field and operator, as in `{ "name.icontains": "lab" }`; several must all hold. An array is for `.in` only
   * and goes out comma-joined, so its values can have no comma.
   */
  readonly filters?: Readonly<Record<string, string | number | boolean | readonly (string | number)[]>>;
  /** Fields, a `-` before those that fall. Without, the order is not documented. */
  readonly sort?: readonly string[];
  /** Relations to embed. Groups have none worth it. */
  readonly include?: readonly string[];
  /** At most 100. @default 20, by the service */
  readonly limit?: number;
  readonly offset?: number;
  /** From 1. The native parameter of dynamic-rest, not in the vendor's pages. */
  readonly page?: number;
  /** Goes with `page`. */
  readonly perPage?: number;
}

type Context = Partial<CallContext>;

/**
 * BrainSTEM's calls. All throw {@link GroupSyncError}: `unauthenticated`, `forbidden`, `not-found`, `refused` (400; the
 * field in `facts.field`), `unavailable`, `network`, `timeout`, `bad-answer`; and `options-invalid`, before anything
 * is sent, for arguments that cannot be put into a request.
 *
 * Source of every call, where nothing else is said: the vendor's pages "Group", "Group Membership Invitation", "Group
 * Membership Request", "User" and "API" (brainstem_support @ 28345af).
 */
export interface BrainstemApi {
  /** Where groups are found: as configured, or the other one after the list was not there. */
  groupApp(): BrainstemGroupApp;
  /** How invitations and requests are spelled: as configured, or the other way after a list was not there. */
  inviteSpelling(): BrainstemInviteSpelling;
  /**
   * `GET …/group/`. Any token. Presumably shows every group of the site, not just the caller's. Throws `unavailable`
   * when neither address has a list.
   */
  listGroups(query?: BrainstemQuery, context?: Context): Promise<BrainstemPage<BrainstemListedGroup>>;
  /** `POST …/group/`, answered 201. Any user, who becomes its owner and only member. Takes nothing but a name. */
  createGroup(name: string, context?: Context): Promise<BrainstemListedGroup>;
  /** `GET …/group/{id}/`. Any token. The one complete list of members. */
  getGroup(id: string, context?: Context): Promise<BrainstemGroup>;
  /**
   * `PATCH …/group/{id}/`. A name and roles: owners; invite and remove: managers. `users` is merged by e-mail: flags
   * for someone who is not a member only invite, under the same 200, and do not show in the answer. No cap on the
   * number of entries is documented.
   */
  updateGroup(
    id: string,
    change: { readonly name?: string; readonly users?: Readonly<Record<string, BrainstemUserChange>> },
    context?: Context,
  ): Promise<BrainstemListedGroup>;
  /** `DELETE …/group/{id}/`, answered 204. Presumably owners only. */
  deleteGroup(id: string, context?: Context): Promise<void>;
  /** `GET …/group/{id}/join/`. Makes a membership request of the CALLER. */
  joinGroup(id: string, context?: Context): Promise<void>;
  /** `GET …/group/{id}/leave/`. The CALLER leaves. */
  leaveGroup(id: string, context?: Context): Promise<void>;
  /** `GET …/groupmembershipinvitation/`. Presumably one's own and those of the groups that one manages. */
  listInvitations(query?: BrainstemQuery, context?: Context): Promise<BrainstemPage<BrainstemInvitation>>;
  /** `GET …/groupmembershipinvitation/{uuid}/`. */
  getInvitation(id: string, context?: Context): Promise<BrainstemInvitation>;
  /** `GET …/groupmembershipinvitation/{uuid}/accept/`. The invited person only. */
  acceptInvitation(id: string, context?: Context): Promise<void>;
  /** `GET …/groupmembershipinvitation/{uuid}/reject/`. The invited person only. */
  rejectInvitation(id: string, context?: Context): Promise<void>;
  /** `GET …/groupmembershipinvitation/{uuid}/cancel/`. Presumably managers of the group. */
  cancelInvitation(id: string, context?: Context): Promise<void>;
  /** `GET …/groupmembershiprequest/`. Scope as of {@link BrainstemApi.listInvitations}. */
  listRequests(query?: BrainstemQuery, context?: Context): Promise<BrainstemPage<BrainstemRequest>>;
  /** `GET …/groupmembershiprequest/{uuid}/`. */
  getRequest(id: string, context?: Context): Promise<BrainstemRequest>;
  /** `GET …/groupmembershiprequest/{uuid}/accept/`. Managers of the group. */
  acceptRequest(id: string, context?: Context): Promise<void>;
  /** `GET …/groupmembershiprequest/{uuid}/reject/`. Managers of the group. */
  rejectRequest(id: string, context?: Context): Promise<void>;
  /** `GET …/groupmembershiprequest/{uuid}/cancel/`. Presumably who asked. */
  cancelRequest(id: string, context?: Context): Promise<void>;
  /** `GET …/user/`. Any token: all profiles are public within the system. */
  listUsers(query?: BrainstemQuery, context?: Context): Promise<BrainstemPage<BrainstemUser>>;
  /** `GET …/user/{id}/`. Any token. */
  getUser(id: string, context?: Context): Promise<BrainstemUser>;
  /** `PATCH …/user/{id}/`. One's own profile; administrators any. */
  updateUser(id: string, profile: Readonly<Record<string, unknown>>, context?: Context): Promise<BrainstemUser>;
  /** `DELETE …/user/{id}/`, answered 204. Administrators. */
  deleteUser(id: string, context?: Context): Promise<void>;
  /** `POST /api/auth/device/`, sent without a token. Begins a log-in that a person confirms in a browser. */
  startDeviceLogIn(clientName: string, context?: Context): Promise<BrainstemDevice>;
  /** `POST /api/auth/device/token/`, sent without a token, every `interval` seconds. Answers 200 to failures too. */
  pollDeviceLogIn(deviceCode: string, context?: Context): Promise<BrainstemDeviceLogIn>;
  /**
   * `POST /api/auth/token/`, sent without a token.
   * @deprecated Withdrawn from the vendor's pages on 2026-03-30; use a personal token or the device log-in.
   */
  createAccessToken(email: string, password: string, context?: Context): Promise<BrainstemAccess>;
  /**
   * `POST /api/auth/token/refresh/`, sent without a token.
   * @deprecated Withdrawn from the vendor's pages on 2026-03-30; use a personal token or the device log-in.
   */
  refreshAccessToken(refresh: string, context?: Context): Promise<BrainstemAccess>;
  /**
   * `POST /api/token/`, sent without a token. Two shapes of answers were documented; both give a token.
   * @deprecated Withdrawn from the vendor's pages on 2026-03-30; use a personal token or the device log-in.
   */
  createToken(username: string, password: string, context?: Context): Promise<{ readonly token: string }>;
}

/** Makes a client. Throws `options-invalid` for an address that cannot be one; sends nothing. */
export function createBrainstemApi(options: BrainstemApiOptions): BrainstemApi {
  const { provider = "brainstem", token, baseUrl = DEFAULT_BASE_URL, portal = "private" } = options;
  const problem = findBrainstemUrlProblem(baseUrl);
  if (problem) throw new GroupSyncError("options-invalid", `${provider}: ${problem}`, { provider });
  let groupApp = options.groupApp ?? "users";
  let inviteSpelling = options.inviteSpelling ?? "joined";
  /** What log-ins were done with. */
  const secrets = new Set<string>();
  const client = createHttpClient({
    ...options,
    provider,
    baseUrl,
    ...(token !== undefined && { credential: createTokenCredential("Bearer", token) }),
    capabilities: brainstemLimits,
    scopeKey: token ?? "anonymous",
    describeError: (status, data) => redact(describeBrainstemError(status, data), secrets),
  });

  /** Sends and reads the answer; what it must hold is in the schema. */
  async function ask<T>(request: HttpRequest, schema: z.ZodType<T>, context: Context | undefined): Promise<T> {
    const { data, status } = await client.send(request, context);
    const parsed = schema.safeParse(data);
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    const where = issue?.path.length ? `, but ${issue.path.join(".")} is not as expected` : "";
    throw new GroupSyncError(
      "bad-answer",
      `${provider} answered ${status} to ${request.operation} with ${describeFound(data)}${where}.`,
      {
        provider,
        operation: request.operation,
        status,
        outcomeUnknown: request.effect === "write",
        hint: "Check the address of this provider. If it is right, the service's answers have changed.",
      },
    );
  }

  /** A single record comes under its own name, as in `{"group": {…}}`. */
  async function askOne<T>(
    request: HttpRequest,
    name: string,
    schema: z.ZodType<T>,
    context: Context | undefined,
  ): Promise<T> {
    const envelope = await ask(request, z.object({ [name]: schema }), context);
    return envelope[name] as T;
  }

  async function askPage<Row>(
    request: HttpRequest,
    name: string,
    row: z.ZodType<Row>,
    context: Context | undefined,
  ): Promise<BrainstemPage<Row>> {
    const answer = await ask(
      request,
      z.object({ [name]: z.array(row), meta: z.unknown().optional(), count: z.unknown().optional() }),
      context,
    );
    const meta = metaSchema.parse(answer["meta"]);
    const total = meta?.total_results ?? countSchema.parse(answer["count"]);
    return {
      rows: answer[name] as readonly Row[],
      ...(typeof meta?.page === "number" && { page: meta.page }),
      ...(typeof meta?.per_page === "number" && { perPage: meta.per_page }),
      ...(typeof total === "number" && { total }),
      ...(typeof meta?.total_pages === "number" && { totalPages: meta.total_pages }),
    };
  }

  /**
   * A GET that changes something. Its body is documented nowhere and may be empty; but a page of HTML is not an
   * answer of the API, so the body is not simply ignored.
   */
  async function act(operation: string, actionPath: string, context: Context | undefined): Promise<void> {
    await client.send({ operation, method: "GET", path: actionPath, effect: "write" }, context);
  }

  async function remove(operation: string, itemPath: string, context: Context | undefined): Promise<void> {
    await client.send({ operation, method: "DELETE", path: itemPath, effect: "write", ignoreBody: true }, context);
  }

  /** A log-in: shows no token, and what it sends must not come back in an error. */
  async function logIn<T>(
    operation: string,
    logInPath: string,
    body: Readonly<Record<string, string>>,
    confidential: readonly string[],
    schema: z.ZodType<T>,
    context: Context | undefined,
  ): Promise<T> {
    for (const secret of confidential) secrets.add(secret);
    return ask(
      { operation, method: "POST", path: logInPath, body, authorization: null, effect: "read" },
      schema,
      context,
    );
  }

  /**
   * A list that may be in either of two places; where the first page was found, the rest is looked for. Never for single
   * things, whose 404 means that they do not exist.
   */
  async function readEither<Place extends string, Row>(
    query: BrainstemQuery,
    [configured, other]: readonly [Place, Place],
    read: (place: Place) => Promise<BrainstemPage<Row>>,
    keep: (place: Place) => void,
  ): Promise<BrainstemPage<Row>> {
    try {
      return await read(configured);
    } catch (error) {
      // Behind the first page a 404 is the end of the list.
      if (!isFirstPage(query) || !isGroupSyncError(error, "not-found")) throw error;
    }
    const answer = await read(other);
    keep(other);
    return answer;
  }

  /** Invitations or requests, in either spelling. */
  function listEither<Row>(
    what: "invitation" | "request",
    operation: string,
    row: z.ZodType<Row>,
    query: BrainstemQuery,
    context: Context | undefined,
  ): Promise<BrainstemPage<Row>> {
    const other = inviteSpelling === "joined" ? "underscore" : "joined";
    return readEither(
      query,
      [inviteSpelling, other],
      (spelling) =>
        askPage(
          {
            operation,
            method: "GET",
            path: path`/api/private/users/${spell(what, spelling)}/`,
            query: queryParameters(query),
            effect: "read",
          },
          `group_membership_${what}s`,
          row,
          context,
        ),
      (spelling) => {
        inviteSpelling = spelling;
      },
    );
  }

  const spell = (what: "invitation" | "request", spelling = inviteSpelling) =>
    spelling === "joined" ? `groupmembership${what}` : `group_membership_${what}`;

  return {
    groupApp: () => groupApp,
    inviteSpelling: () => inviteSpelling,
    listGroups: async (query = {}, context) => {
      const read = (app: BrainstemGroupApp) =>
        askPage(
          {
            operation: "listGroups",
            method: "GET",
            path: path`/api/${portal}/${app}/group/`,
            query: queryParameters(query),
            effect: "read",
          },
          "groups",
          listedGroupSchema,
          context,
        );
      const places = groupApp === "users" ? (["users", "auth"] as const) : (["auth", "users"] as const);
      try {
        return await readEither<BrainstemGroupApp, BrainstemListedGroup>(query, places, read, (found) => {
          groupApp = found;
        });
      } catch (error) {
        if (!isFirstPage(query) || !isGroupSyncError(error, "not-found")) throw error;
        throw new GroupSyncError(
          "unavailable",
          `${provider} has no list of groups, neither under ${places[0]}/group/ nor under ${places[1]}/group/.`,
          { ...error.facts, hint: "Check baseUrl: nothing can be concluded from a 404 there." },
        );
      }
    },
    createGroup: async (name, context) =>
      askOne(
        {
          operation: "createGroup",
          method: "POST",
          path: path`/api/private/${groupApp}/group/`,
          body: { name },
          effect: "write",
        },
        "group",
        listedGroupSchema,
        context,
      ),
    getGroup: async (id, context) =>
      askOne(
        { operation: "getGroup", method: "GET", path: path`/api/${portal}/${groupApp}/group/${id}/`, effect: "read" },
        "group",
        groupSchema,
        context,
      ),
    updateGroup: async (id, change, context) =>
      askOne(
        {
          operation: "updateGroup",
          method: "PATCH",
          path: path`/api/private/${groupApp}/group/${id}/`,
          body: groupChange(change),
          effect: "write",
        },
        "group",
        listedGroupSchema,
        context,
      ),
    deleteGroup: async (id, context) => remove("deleteGroup", path`/api/private/${groupApp}/group/${id}/`, context),
    joinGroup: async (id, context) => act("joinGroup", path`/api/private/${groupApp}/group/${id}/join/`, context),
    leaveGroup: async (id, context) => act("leaveGroup", path`/api/private/${groupApp}/group/${id}/leave/`, context),
    listInvitations: async (query = {}, context) =>
      listEither("invitation", "listInvitations", invitationSchema, query, context),
    getInvitation: async (id, context) =>
      askOne(
        {
          operation: "getInvitation",
          method: "GET",
          path: path`/api/private/users/${spell("invitation")}/${id}/`,
          effect: "read",
        },
        "group_membership_invitation",
        invitationSchema,
        context,
      ),
    acceptInvitation: async (id, context) =>
      act("acceptInvitation", path`/api/private/users/${spell("invitation")}/${id}/accept/`, context),
    rejectInvitation: async (id, context) =>
      act("rejectInvitation", path`/api/private/users/${spell("invitation")}/${id}/reject/`, context),
    cancelInvitation: async (id, context) =>
      act("cancelInvitation", path`/api/private/users/${spell("invitation")}/${id}/cancel/`, context),
    listRequests: async (query = {}, context) => listEither("request", "listRequests", requestSchema, query, context),
    getRequest: async (id, context) =>
      askOne(
        {
          operation: "getRequest",
          method: "GET",
          path: path`/api/private/users/${spell("request")}/${id}/`,
          effect: "read",
        },
        "group_membership_request",
        requestSchema,
        context,
      ),
    acceptRequest: async (id, context) =>
      act("acceptRequest", path`/api/private/users/${spell("request")}/${id}/accept/`, context),
    rejectRequest: async (id, context) =>
      act("rejectRequest", path`/api/private/users/${spell("request")}/${id}/reject/`, context),
    cancelRequest: async (id, context) =>
      act("cancelRequest", path`/api/private/users/${spell("request")}/${id}/cancel/`, context),
    listUsers: async (query = {}, context) =>
      askPage(
        {
          operation: "listUsers",
          method: "GET",
          path: path`/api/${portal}/users/user/`,
          query: queryParameters(query),
          effect: "read",
        },
        "users",
        userSchema,
        context,
      ),
    getUser: async (id, context) =>
      askOne(
        { operation: "getUser", method: "GET", path: path`/api/${portal}/users/user/${id}/`, effect: "read" },
        "user",
        userSchema,
        context,
      ),
    updateUser: async (id, profile, context) =>
      askOne(
        {
          operation: "updateUser",
          method: "PATCH",
          path: path`/api/private/users/user/${id}/`,
          body: profile,
          effect: "write",
        },
        "user",
        userSchema,
        context,
      ),
    deleteUser: async (id, context) => remove("deleteUser", path`/api/private/users/user/${id}/`, context),
    startDeviceLogIn: (clientName, context) =>
      logIn("startDeviceLogIn", "/api/auth/device/", { client_name: clientName }, [], deviceSchema, context),
    pollDeviceLogIn: async (deviceCode, context) => {
      const body = { device_code: deviceCode };
      const answer = await logIn("pollDeviceLogIn", "/api/auth/device/token/", body, [deviceCode], pollSchema, context);
      if ("error" in answer) return { status: "refused", reason: answer.error };
      return answer.status === "success" ? { status: "success", token: answer.token } : { status: "pending" };
    },
    createAccessToken: (email, password, context) =>
      logIn("createAccessToken", "/api/auth/token/", { email, password }, [password], accessSchema, context),
    refreshAccessToken: (refresh, context) =>
      logIn("refreshAccessToken", "/api/auth/token/refresh/", { refresh }, [refresh], accessSchema, context),
    createToken: (username, password, context) =>
      logIn("createToken", "/api/token/", { username, password }, [password], oldTokenSchema, context),
  };
}

/** What is wrong with the address beyond the common rules, in plain words; undefined when nothing is. */
export function findBrainstemUrlProblem(baseUrl: string): string | undefined {
  // The vendor's pages and its MATLAB client call the address with `/api/` the base.
  return /\/api\/*$/.test(baseUrl)
    ? `${JSON.stringify(baseUrl)} should end before /api, as in ${DEFAULT_BASE_URL}.`
    : undefined;
}

function isFirstPage({ offset = 0, page = 1 }: BrainstemQuery): boolean {
  return offset === 0 && page === 1;
}

type Parameters = readonly (readonly [string, string])[];

function queryParameters(query: BrainstemQuery): Parameters {
  const { filters = {}, sort = [], include = [] } = query;
  return [
    ...Object.entries(filters).map(([name, value]) => [filterName(name), filterValue(name, value)] as const),
    ...sort.map((field) => ["sort[]", field] as const),
    // The clients embed whole records, `users.*`, not ids.
    ...include.map((relation) => ["include[]", `${relation}.*`] as const),
    ...numberParameter("limit", query.limit),
    ...numberParameter("offset", query.offset),
    ...numberParameter("page", query.page),
    ...numberParameter("per_page", query.perPage),
  ];
}

function filterName(name: string): string {
  if (!/^-?\w+(\.\w+)*$/.test(name)) {
    throw new GroupSyncError("options-invalid", `${JSON.stringify(name)} cannot be a filter.`);
  }
  return `filter{${name}}`;
}

function filterValue(name: string, value: string | number | boolean | readonly (string | number)[]): string {
  if (typeof value !== "object") return String(value);
  if (!name.endsWith(".in")) {
    throw new GroupSyncError("options-invalid", `The filter ${name} takes one value; several go with ${name}.in.`);
  }
  const bad = value.find((item) => item === "" || String(item).includes(","));
  if (value.length === 0 || bad !== undefined) {
    throw new GroupSyncError(
      "options-invalid",
      value.length === 0
        ? `An empty ${name} has no agreed meaning as a filter.`
        : `${JSON.stringify(bad)} cannot stand in the list ${name}.`,
    );
  }
  return value.join(",");
}

function numberParameter(name: string, value: number | undefined): Parameters {
  return value === undefined ? [] : [[name, String(value)]];
}

/** An empty change asks for nothing, so it is not sent; the vendor's client sends it. */
function groupChange(change: {
  readonly name?: string;
  readonly users?: Readonly<Record<string, BrainstemUserChange>>;
}): unknown {
  const emails = change.users && Object.keys(change.users);
  if (emails?.length === 0 || (change.name === undefined && emails === undefined)) {
    throw new GroupSyncError("options-invalid", "The change names nothing, so there is nothing to send.");
  }
  if (emails?.some((email) => email.trim() === "")) {
    throw new GroupSyncError("options-invalid", "An empty e-mail names nobody.");
  }
  return {
    ...(change.name !== undefined && { name: change.name }),
    ...(change.users !== undefined && { users: change.users }),
  };
}

function describeFound(data: unknown): string {
  if (data === undefined) return "nothing";
  if (Array.isArray(data)) return "an array";
  return typeof data === "object" && data !== null ? "an object" : `a ${typeof data}`;
}

/** What simplejwt answers for a token that is expired, revoked or made up. */
const BAD_TOKEN = "token_not_valid";

/** Keys of error bodies that are not fields of what was sent. */
const NO_FIELDS = new Set(["detail", "code", "messages", "message", "error", "non_field_errors"]);

/** `{"users": {"<e-mail>": {"is_owner": ["…"]}}}` is as deep as the service's own complaints can go. */
const DEEPEST_COMPLAINT = 4;

/** What an error answer says: an object with `detail` or with fields, an array, a text, or nothing readable. */
function describeBrainstemError(status: number, data: unknown): ErrorDescription {
  const message = describeComplaint(data);
  const body = typeof data === "object" && data !== null && !Array.isArray(data) ? data : {};
  const serviceCode = "code" in body && typeof body.code === "string" ? body.code : undefined;
  const field = Object.keys(body).find((key) => !NO_FIELDS.has(key));
  const refused = status === 401 || serviceCode === BAD_TOKEN;
  return {
    ...(message !== undefined && { message }),
    ...(serviceCode !== undefined && { serviceCode }),
    ...(status === 400 && field !== undefined && { field }),
    // A refusal of the service itself says why; what is not JSON comes from something between.
    ...(status === 400 && data === undefined && { code: "bad-answer" as const }),
    ...(refused && {
      code: "unauthenticated" as const,
      hint: "Check the token of this provider: it is wrong, revoked, or was not used for a year. A new one is made on the web page /private/users/tokens/.",
    }),
    ...(status === 403 &&
      !refused && {
        hint: "Inviting and removing takes a manager of the group; a new name, roles and managers take an owner.",
      }),
  };
}

/** The words of an error body, whatever its shape. `messages` only repeats `detail` in detail. */
function describeComplaint(data: unknown, depth = 0): string | undefined {
  if (typeof data === "string") return data || undefined;
  if (typeof data !== "object" || data === null || depth > DEEPEST_COMPLAINT) return undefined;
  if (Array.isArray(data)) {
    const parts = data.map((part) => describeComplaint(part, depth + 1)).filter((part) => part !== undefined);
    return parts.length > 0 ? parts.join(" ") : undefined;
  }
  const parts = Object.entries(data).flatMap(([key, value]) => {
    if (key === "code" || key === "messages") return [];
    const text = describeComplaint(value, depth + 1);
    if (text === undefined) return [];
    return [NO_FIELDS.has(key) ? text : `${key}: ${text}`];
  });
  return parts.length > 0 ? parts.join(" ") : undefined;
}

/** Passwords and codes of log-ins, which are not part of the credential that the client itself keeps out of errors. */
function redact(description: ErrorDescription, secrets: ReadonlySet<string>): ErrorDescription {
  if (description.message === undefined) return description;
  let message = description.message;
  for (const secret of secrets) if (secret !== "") message = message.replaceAll(secret, "[redacted]");
  return { ...description, message };
}
