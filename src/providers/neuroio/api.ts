/**
 * A thin client of NeuroIO's API: one function per call, arguments in our spelling, answers under the names that the
 * service uses.
 *
 * NeuroIO publishes no description of its API, and its reference pages are gone. What is sent here is what both
 * official clients send (neuroio-python 0.1.2, @neuroio/rest-api 4.2.2), the Python one where they differ. Answers
 * are read with tolerance: a list may be an array or an object with `results`, with or without `count`, since the
 * vendor's own samples disagree.
 *
 * Left out: the three calls that upload a photo (create, search and re-initialise a person by image). A photo says
 * nothing about membership, and a search that finds nobody answers 200 as well.
 */
import { z } from "zod";
import { GroupSyncError, isGroupSyncError } from "../../errors.js";
import { createRenewingCredential, createTokenCredential, type IssuedToken } from "../../http/auth.js";
import {
  createHttpClient,
  type ErrorDescription,
  type HttpClient,
  type HttpRequest,
  isLoopback,
  path,
} from "../../http/client.js";
import type { ConnectionOptions } from "../../http/options.js";
import type { ProviderId } from "../../model.js";
import type { CallContext, Capabilities } from "../../provider.js";

/**
 * Where and as whom to call. Either `token`, or `username` and `password`.
 *
 * @see https://github.com/neuroio/neuroio-python (the pages "Authentication", "Tokens" and "Spaces")
 */
export interface NeuroioApiOptions extends ConnectionOptions {
  /** The name of this account in errors and events. @default "neuroio" */
  readonly provider?: ProviderId;
  /** An account's or a space's API token. A 401 is final: NeuroIO has no way to renew a token. */
  readonly token?: string;
  /** The log-in name, instead of a token. */
  readonly username?: string;
  /**
   * The password to `username`. The log-in gives a token that lives 24 hours; a new one is fetched before its end
   * and once when it is refused.
   */
  readonly password?: string;
  /** The host of groups and persons. @default "https://api.neuroio.com" */
  readonly baseUrl?: string;
  /**
   * The host of log-in, tokens and spaces. Needed when `baseUrl` is somewhere else than NeuroIO's own, because a
   * token must not travel to a host that it is not for.
   * @default "https://iam.neuroio.com"; for a `baseUrl` on this machine: the same
   */
  readonly iamUrl?: string;
}

/** The address of groups and persons. Source: base URLs in both official clients. */
const DEFAULT_BASE_URL = "https://api.neuroio.com";
/** The address of log-in, tokens and spaces. Source: base URLs in both official clients. */
const DEFAULT_IAM_URL = "https://iam.neuroio.com";

/** People that one adding or removing call may name. Source: the vendor's page "Person Groups". */
export const MAX_PIDS_PER_CALL = 100;

/** How the calls are throttled: NeuroIO documents nothing, so these are cautious guesses. */
export const neuroioLimits = {
  rates: [],
  inFlight: {
    reads: { value: 4, source: "safe assumption: no rate limit is documented" },
    writes: {
      value: 1,
      source: "safe assumption: whether calls on people × groups are atomic is documented nowhere",
    },
  },
} as const satisfies Pick<Capabilities, "rates" | "inFlight">;

const groupSchema = z.object({
  id: z.int(),
  name: z.string(),
  space_id: z.int().nullish(),
  persons_count: z.int().nonnegative().nullish(),
});
const memberSchema = z.object({ pid: z.string().min(1) });
const personSchema = z.object({
  pid: z.string().min(1),
  pid_created: z.string().nullish(),
});
const createdPersonSchema = z.object({ result: z.string().nullish(), pid: z.string().nullish() });
const spaceSchema = z.object({ id: z.int(), name: z.string() });
const userSchema = z.object({ username: z.string().nullish(), space: spaceSchema.nullish() });
const tokenSchema = z.object({
  id: z.int().nullish(),
  key: z.string().min(1).nullish(),
  is_active: z.boolean().nullish(),
  created: z.string().nullish(),
  expires: z.string().nullish(),
});
const logInSchema = z.object({ user: userSchema.nullish(), token: tokenSchema.extend({ key: z.string().min(1) }) });

/** A group. `space_id` and `persons_count` are in the npm client's type only, so they may be missing. */
export type NeuroioGroup = Readonly<z.infer<typeof groupSchema>>;
/** A row of a group's member list. `pid` is all that the vendor's sources agree on. */
export type NeuroioMember = Readonly<z.infer<typeof memberSchema>>;
/** What the statistics of a person say about the person itself. There is no name and no address. */
export type NeuroioPerson = Readonly<z.infer<typeof personSchema>>;
/** What making a person answers. `result` may say that nobody was made, under the same status. */
export type NeuroioCreatedPerson = Readonly<z.infer<typeof createdPersonSchema>>;
/** A space: all data belongs to exactly one. */
export type NeuroioSpace = Readonly<z.infer<typeof spaceSchema>>;
/** Who the credentials are. The space is in the npm client's type only. */
export type NeuroioUser = Readonly<z.infer<typeof userSchema>>;
/** A token. `key` is the secret itself, where the service shows it. */
export type NeuroioToken = Readonly<z.infer<typeof tokenSchema>>;
/** The answer to a log-in; `token.key` is the API token. */
export type NeuroioLogIn = Readonly<z.infer<typeof logInSchema>>;

/** One page of a list. */
export interface NeuroioPage<Row> {
  readonly results: readonly Row[];
  /** How many rows the whole list has. Some of the vendor's samples have it, others don't. */
  readonly count?: number;
}

/** Which part of a list. */
export interface NeuroioPageQuery {
  /** Rows per page. The server's maximum is not documented. @default 20, as the Python client sends */
  readonly limit?: number;
  /** Rows to pass over. @default 0 */
  readonly offset?: number;
}

/** Filters of the list of groups. An empty list is refused: one client would send it as "everything". */
export interface NeuroioGroupQuery extends NeuroioPageQuery {
  /** Part of the name; prefix or anywhere, and the rule about case, are not documented. Empty text: no filter. */
  readonly q?: string;
  /** Groups with these people. Whether with all or any of several is not documented: name one. */
  readonly pidsInclude?: readonly string[];
  /** Groups without these people. The same doubt. */
  readonly pidsExclude?: readonly string[];
  readonly groupsIds?: readonly number[];
  /** Useful with rights on several spaces only. */
  readonly spacesIds?: readonly number[];
}

type Context = Partial<CallContext>;

/**
 * NeuroIO's calls. All throw {@link GroupSyncError}: `unauthenticated`, `forbidden`, `not-found`, `refused` (400; the
 * field in `facts.field`), `unavailable`, `network`, `timeout`, `bad-answer`; and `options-invalid`, before anything
 * is sent, for ids that cannot stand where they should. Groups and persons need an account's or a space's token; a
 * manager's token is for tokens and spaces only.
 *
 * Source of every call: clients, tests and pages of neuroio-python @ dcbe914 and neuroio-js @ 84e0cb5.
 */
export interface NeuroioApi {
  /** `POST /v1/groups/persons/`. A name is all that a new group takes; it begins empty. Not to be repeated blindly. */
  createGroup(name: string, context?: Context): Promise<NeuroioGroup>;
  /** `GET /v1/groups/persons/`. The groups of the token's space. */
  listGroups(query?: NeuroioGroupQuery, context?: Context): Promise<NeuroioPage<NeuroioGroup>>;
  /** `GET /v1/groups/persons/{id}/`. Groups of another space look like unknown ones. */
  getGroup(id: number, context?: Context): Promise<NeuroioGroup>;
  /** `PATCH /v1/groups/persons/{id}/`. The name shows in notifications about the group's people. */
  updateGroup(id: number, name: string, context?: Context): Promise<NeuroioGroup>;
  /** `DELETE /v1/groups/persons/{id}/`, answered 204. The persons stay. */
  deleteGroup(id: number, context?: Context): Promise<void>;
  /** `GET /v1/groups/persons/{id}/pids/`. With `pids`: only those of them that are members. The order is not documented. */
  listGroupPersons(
    id: number,
    query?: NeuroioPageQuery & { readonly pids?: readonly string[] },
    context?: Context,
  ): Promise<NeuroioPage<NeuroioMember>>;
  /**
   * `POST /v1/groups/persons/pids/`. Adds every one of the pids (at most 100) to every one of the groups. The answer
   * is a 200 without a documented body, so it proves nothing about anybody.
   */
  addPersons(pids: readonly string[], groupsIds: readonly number[], context?: Context): Promise<void>;
  /** `DELETE /v1/groups/persons/pids/` with a JSON body. As {@link NeuroioApi.addPersons}; answered 200, not 204. */
  removePersons(pids: readonly string[], groupsIds: readonly number[], context?: Context): Promise<void>;
  /** `GET /v1/entries/stats/pid/{pid}/`. The only way to see whether a pid exists: 404 when not, in this space. */
  getPersonStatistics(pid: string, context?: Context): Promise<NeuroioPerson>;
  /** `POST /v1/persons/entry/`. Makes a person of an entry. */
  createPersonFromEntry(
    entry: { readonly id: number; readonly createOnHa: boolean; readonly createOnJunk: boolean },
    context?: Context,
  ): Promise<NeuroioCreatedPerson>;
  /** `POST /v1/persons/reinit/`, answered 204. Takes the face of this entry for its person. */
  reinitializePerson(entryId: number, context?: Context): Promise<void>;
  /** `DELETE /v1/persons/{pid}/`, answered 204. Presumably ends the person's memberships too. */
  deletePerson(pid: string, context?: Context): Promise<void>;
  /** IAM `POST /v1/auth/token/`, sent without a token. The token it gives lives 24 hours. */
  logIn(username: string, password: string, context?: Context): Promise<NeuroioLogIn>;
  /** IAM `GET /v1/whoami/`. */
  whoAmI(context?: Context): Promise<NeuroioUser>;
  /** IAM `POST /v1/tokens/`. At most five permanent ones per account or space. */
  createToken(permanent: boolean, context?: Context): Promise<NeuroioToken>;
  /** IAM `GET /v1/tokens/`. Tokens of the kind that asks. */
  listTokens(
    query?: NeuroioPageQuery & { readonly permanent?: boolean },
    context?: Context,
  ): Promise<NeuroioPage<NeuroioToken>>;
  /** IAM `GET /v1/tokens/{id}/`. Takes a key too; prefer the id, since addresses end up in logs. */
  getToken(idOrKey: number | string, context?: Context): Promise<NeuroioToken>;
  /** IAM `PATCH /v1/tokens/{id}/` with JSON: the method of the Python client, the body of the npm one. */
  updateToken(idOrKey: number | string, isActive: boolean, context?: Context): Promise<void>;
  /** IAM `DELETE /v1/tokens/{id}/`, answered 204. The npm client's log-out is this. */
  deleteToken(idOrKey: number | string, context?: Context): Promise<void>;
  /** IAM `DELETE /v1/tokens/`, answered 204. Deletes all tokens of a kind, perhaps the one that asks too. */
  deleteTokens(query?: { readonly permanent?: boolean }, context?: Context): Promise<void>;
  /** IAM `POST /v1/spaces/`. */
  createSpace(name: string, context?: Context): Promise<NeuroioSpace>;
  /** IAM `GET /v1/spaces/`. Empty `q`: no filter. */
  listSpaces(query?: NeuroioPageQuery & { readonly q?: string }, context?: Context): Promise<NeuroioPage<NeuroioSpace>>;
  /** IAM `GET /v1/lists/spaces/`: all spaces at once. */
  listAllSpaces(context?: Context): Promise<NeuroioPage<NeuroioSpace>>;
  /** IAM `GET /v1/spaces/{id}/`. */
  getSpace(id: number, context?: Context): Promise<NeuroioSpace>;
  /** IAM `PATCH /v1/spaces/{id}/`. */
  updateSpace(id: number, name: string, context?: Context): Promise<NeuroioSpace>;
  /** IAM `DELETE /v1/spaces/{id}/`, answered 204. */
  deleteSpace(id: number, context?: Context): Promise<void>;
  /** IAM `POST /v1/spaces/{id}/tokens/`. A token that is confined to the space. */
  createSpaceToken(id: number, permanent: boolean, context?: Context): Promise<NeuroioToken>;
}

/** Makes a client. Throws `options-invalid` when an address or the credentials are missing or wrong. */
export function createNeuroioApi(options: NeuroioApiOptions): NeuroioApi {
  const { provider = "neuroio", token, username, password, baseUrl, iamUrl, ...timing } = options;
  const hosts = resolveNeuroioHosts(baseUrl, iamUrl, provider);
  const connection = {
    ...timing,
    provider,
    capabilities: neuroioLimits,
    credential: createCredential(),
    scopeKey: token ?? `user ${username}`,
    // The name under which fastapi_contrib, the vendor's own framework, hands the request id back (inferred).
    requestIdHeader: "request-id",
    describeError: describeNeuroioError,
  };
  const groups = createHttpClient({ ...connection, baseUrl: hosts.baseUrl });
  const iam = createHttpClient({ ...connection, baseUrl: hosts.iamUrl });

  function createCredential() {
    if (token !== undefined) return createTokenCredential("Token", token);
    if (username === undefined || password === undefined) {
      throw new GroupSyncError("options-invalid", `${provider}: give a token, or a username and a password.`, {
        provider,
      });
    }
    return createRenewingCredential({
      scheme: "Token",
      secrets: [password],
      logIn: async (context) => {
        const answer = await logIn(username, password, context).catch(rethrowLogInError);
        return describeIssuedToken(answer.token);
      },
    });
  }

  /** Sends and reads the answer; what it must hold is in the schema. */
  async function ask<T>(
    client: HttpClient,
    request: HttpRequest,
    schema: z.ZodType<T>,
    context: Context | undefined,
  ): Promise<T> {
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
        // The service took the write; only what it made is not known.
        outcomeUnknown: request.effect === "write",
        hint: "Check the address of this provider. If it is right, the service's answers have changed.",
      },
    );
  }

  /** Sends something whose answer says nothing: its body is documented nowhere, and never parsed. */
  async function tell(client: HttpClient, request: HttpRequest, context: Context | undefined): Promise<void> {
    await client.send({ ...request, ignoreBody: true }, context);
  }

  /** One page, whether it comes as an array or as an object with `results`. */
  async function askPage<Row>(
    client: HttpClient,
    request: HttpRequest,
    row: z.ZodType<Row>,
    context: Context | undefined,
  ): Promise<NeuroioPage<Row>> {
    const envelope = z.object({ results: z.array(row), count: z.int().nonnegative().nullish() });
    const schema = z.preprocess((data) => (Array.isArray(data) ? { results: data } : data), envelope);
    const { results, count } = await ask(client, request, schema, context);
    return { results, ...(typeof count === "number" && { count }) };
  }

  function logIn(username: string, password: string, context?: Context): Promise<NeuroioLogIn> {
    return ask(
      iam,
      {
        operation: "logIn",
        method: "POST",
        path: "/v1/auth/token/",
        body: { username, password },
        authorization: null,
        effect: "read",
      },
      logInSchema,
      context,
    );
  }

  return {
    createGroup: (name, context) =>
      ask(
        groups,
        { operation: "createGroup", method: "POST", path: "/v1/groups/persons/", body: { name }, effect: "write" },
        groupSchema,
        context,
      ),
    listGroups: async (query = {}, context) =>
      askPage(
        groups,
        {
          operation: "listGroups",
          method: "GET",
          path: "/v1/groups/persons/",
          query: [
            ...textParameter("q", query.q),
            ...listParameter("pids_include", query.pidsInclude),
            ...listParameter("pids_exclude", query.pidsExclude),
            ...listParameter("groups_ids", query.groupsIds),
            ...listParameter("spaces_ids", query.spacesIds),
            ...pageParameters(query),
          ],
          effect: "read",
        },
        groupSchema,
        context,
      ),
    getGroup: async (id, context) =>
      ask(
        groups,
        { operation: "getGroup", method: "GET", path: path`/v1/groups/persons/${id}/`, effect: "read" },
        groupSchema,
        context,
      ),
    updateGroup: async (id, name, context) =>
      ask(
        groups,
        {
          operation: "updateGroup",
          method: "PATCH",
          path: path`/v1/groups/persons/${id}/`,
          body: { name },
          effect: "write",
        },
        groupSchema,
        context,
      ),
    deleteGroup: async (id, context) =>
      tell(
        groups,
        { operation: "deleteGroup", method: "DELETE", path: path`/v1/groups/persons/${id}/`, effect: "write" },
        context,
      ),
    listGroupPersons: async (id, query = {}, context) =>
      askPage(
        groups,
        {
          operation: "listGroupPersons",
          method: "GET",
          path: path`/v1/groups/persons/${id}/pids/`,
          query: [...listParameter("pids", query.pids), ...pageParameters(query)],
          effect: "read",
        },
        memberSchema,
        context,
      ),
    addPersons: async (pids, groupsIds, context) =>
      tell(
        groups,
        {
          operation: "addPersons",
          method: "POST",
          path: "/v1/groups/persons/pids/",
          body: productBody(pids, groupsIds),
          effect: "write",
        },
        context,
      ),
    removePersons: async (pids, groupsIds, context) =>
      tell(
        groups,
        {
          operation: "removePersons",
          method: "DELETE",
          path: "/v1/groups/persons/pids/",
          body: productBody(pids, groupsIds),
          effect: "write",
        },
        context,
      ),
    getPersonStatistics: async (pid, context) =>
      ask(
        groups,
        {
          operation: "getPersonStatistics",
          method: "GET",
          path: path`/v1/entries/stats/pid/${pid}/`,
          effect: "read",
        },
        personSchema,
        context,
      ),
    createPersonFromEntry: (entry, context) =>
      ask(
        groups,
        {
          operation: "createPersonFromEntry",
          method: "POST",
          path: "/v1/persons/entry/",
          body: { id: entry.id, create_on_ha: entry.createOnHa, create_on_junk: entry.createOnJunk },
          effect: "write",
        },
        createdPersonSchema,
        context,
      ),
    reinitializePerson: (entryId, context) =>
      tell(
        groups,
        {
          operation: "reinitializePerson",
          method: "POST",
          path: "/v1/persons/reinit/",
          body: { id: entryId },
          effect: "write",
        },
        context,
      ),
    deletePerson: async (pid, context) =>
      tell(
        groups,
        { operation: "deletePerson", method: "DELETE", path: path`/v1/persons/${pid}/`, effect: "write" },
        context,
      ),
    logIn,
    whoAmI: (context) =>
      ask(iam, { operation: "whoAmI", method: "GET", path: "/v1/whoami/", effect: "read" }, userSchema, context),
    createToken: (permanent, context) =>
      ask(
        iam,
        { operation: "createToken", method: "POST", path: "/v1/tokens/", body: { permanent }, effect: "write" },
        tokenSchema,
        context,
      ),
    listTokens: (query = {}, context) =>
      askPage(
        iam,
        {
          operation: "listTokens",
          method: "GET",
          path: "/v1/tokens/",
          query: [...pageParameters(query), ...flagParameter("permanent", query.permanent)],
          effect: "read",
        },
        tokenSchema,
        context,
      ),
    getToken: async (idOrKey, context) =>
      ask(
        iam,
        { operation: "getToken", method: "GET", path: path`/v1/tokens/${idOrKey}/`, effect: "read" },
        tokenSchema,
        context,
      ),
    updateToken: async (idOrKey, isActive, context) =>
      tell(
        iam,
        {
          operation: "updateToken",
          method: "PATCH",
          path: path`/v1/tokens/${idOrKey}/`,
          body: { is_active: isActive },
          effect: "write",
        },
        context,
      ),
    deleteToken: async (idOrKey, context) =>
      tell(
        iam,
        { operation: "deleteToken", method: "DELETE", path: path`/v1/tokens/${idOrKey}/`, effect: "write" },
        context,
      ),
    deleteTokens: (query = {}, context) =>
      tell(
        iam,
        {
          operation: "deleteTokens",
          method: "DELETE",
          path: "/v1/tokens/",
          query: flagParameter("permanent", query.permanent),
          effect: "write",
        },
        context,
      ),
    createSpace: (name, context) =>
      ask(
        iam,
        { operation: "createSpace", method: "POST", path: "/v1/spaces/", body: { name }, effect: "write" },
        spaceSchema,
        context,
      ),
    listSpaces: (query = {}, context) =>
      askPage(
        iam,
        {
          operation: "listSpaces",
          method: "GET",
          path: "/v1/spaces/",
          query: [...textParameter("q", query.q), ...pageParameters(query)],
          effect: "read",
        },
        spaceSchema,
        context,
      ),
    listAllSpaces: (context) =>
      askPage(
        iam,
        { operation: "listAllSpaces", method: "GET", path: "/v1/lists/spaces/", effect: "read" },
        spaceSchema,
        context,
      ),
    getSpace: async (id, context) =>
      ask(
        iam,
        { operation: "getSpace", method: "GET", path: path`/v1/spaces/${id}/`, effect: "read" },
        spaceSchema,
        context,
      ),
    updateSpace: async (id, name, context) =>
      ask(
        iam,
        {
          operation: "updateSpace",
          method: "PATCH",
          path: path`/v1/spaces/${id}/`,
          body: { name },
          effect: "write",
        },
        spaceSchema,
        context,
      ),
    deleteSpace: async (id, context) =>
      tell(
        iam,
        { operation: "deleteSpace", method: "DELETE", path: path`/v1/spaces/${id}/`, effect: "write" },
        context,
      ),
    createSpaceToken: async (id, permanent, context) =>
      ask(
        iam,
        {
          operation: "createSpaceToken",
          method: "POST",
          path: path`/v1/spaces/${id}/tokens/`,
          body: { permanent },
          effect: "write",
        },
        tokenSchema,
        context,
      ),
  };
}

/** Both hosts, defaults filled in. Throws `options-invalid` as {@link findHostProblem} says. */
export function resolveNeuroioHosts(
  baseUrl: string | undefined,
  iamUrl: string | undefined,
  provider: ProviderId,
): { readonly baseUrl: string; readonly iamUrl: string } {
  const problem = findHostProblem(baseUrl, iamUrl);
  if (problem) throw new GroupSyncError("options-invalid", `${provider}: ${problem}`, { provider });
  const base = baseUrl ?? DEFAULT_BASE_URL;
  return { baseUrl: base, iamUrl: iamUrl ?? (isLoopback(base) ? base : DEFAULT_IAM_URL) };
}

/**
 * What is wrong with the pair of hosts; undefined when it is fine. A `baseUrl` of its own needs an `iamUrl`: falling
 * back to NeuroIO's would send the token there.
 */
export function findHostProblem(baseUrl: string | undefined, iamUrl: string | undefined): string | undefined {
  if (iamUrl !== undefined || baseUrl === undefined || isLoopback(baseUrl)) return undefined;
  if (baseUrl.replace(/\/+$/, "") === DEFAULT_BASE_URL) return undefined;
  return `iamUrl is missing. With a baseUrl other than ${DEFAULT_BASE_URL}, say which host does the log-in.`;
}

/** NeuroIO's code for a wrong user name or password. Source: the page "Authentication" of the Python client. */
const WRONG_LOG_IN = 602;

/**
 * The error of a log-in that happens on the way to another call. It must not look like that call's own: a 404 there
 * is no missing group. Which status a refused log-in has is documented nowhere, so any refusal counts.
 */
function rethrowLogInError(error: unknown): never {
  if (isGroupSyncError(error, "not-found")) {
    const hint = "Check iamUrl: the log-in is not there.";
    throw new GroupSyncError("unavailable", error.message, { ...error.facts, hint });
  }
  if (isGroupSyncError(error, "refused") || isGroupSyncError(error, "forbidden")) {
    const hint = "Check the user name and the password of this provider.";
    throw new GroupSyncError("unauthenticated", error.message, { ...error.facts, hint });
  }
  throw error;
}

const errorSchema = z.object({
  error_codes: z
    .array(z.union([z.int(), z.string()]))
    .optional()
    .catch(undefined),
  code: z.union([z.int(), z.string()]).optional().catch(undefined),
  message: z.string().optional().catch(undefined),
  detail: z.string().optional().catch(undefined),
  fields: z
    .array(z.object({ name: z.string().optional().catch(undefined), message: z.string().optional().catch(undefined) }))
    .optional()
    .catch(undefined),
});

/**
 * What an error answer says: `{error_codes, message, fields}` as documented, `{code, detail, fields}` as its framework
 * answers a header without a usable credential, `{detail}`, or anything else, which says nothing.
 */
function describeNeuroioError(status: number, data: unknown): ErrorDescription {
  const parsed = errorSchema.safeParse(data);
  if (!parsed.success) return {};
  const { error_codes: codes, code, message, detail, fields = [] } = parsed.data;
  const complaints = fields.filter((field) => field.name !== undefined);
  const text = [message ?? detail, ...complaints.map((field) => `${field.name}: ${field.message ?? "refused"}`)];
  const serviceCode = codes?.[0] ?? code;
  const field = complaints[0]?.name;
  return {
    ...(text.some((part) => part !== undefined) && { message: text.filter((part) => part !== undefined).join(" ") }),
    ...(serviceCode !== undefined && { serviceCode: String(serviceCode) }),
    ...(field !== undefined && { field }),
    ...(codes?.includes(WRONG_LOG_IN) && {
      code: "unauthenticated" as const,
      hint: "Check the user name and the password of this provider.",
    }),
    // The odd shape comes from reading the Authorization header, before any right is looked at (fastapi_contrib).
    ...(status === 403 &&
      codes === undefined &&
      code !== undefined &&
      detail !== undefined && {
        code: "unauthenticated" as const,
        hint: "Check the credentials of this provider: they are wrong, expired or revoked.",
      }),
  };
}

/** A temporary token lives 24 hours from its creation. Source: the page "Tokens" of the Python client. */
const TEMPORARY_TOKEN_LIFE_MS = 24 * 60 * 60 * 1000;

/** How long a fresh token lives by its own two dates: their difference is right whatever our clock shows. */
function describeIssuedToken(token: z.infer<typeof logInSchema>["token"]): IssuedToken {
  const lifeMs = Date.parse(token.expires ?? "") - Date.parse(token.created ?? "");
  return { token: token.key, expiresInMs: lifeMs > 0 ? lifeMs : TEMPORARY_TOKEN_LIFE_MS };
}

type Parameters = readonly (readonly [string, string])[];

/** Always both, as the Python client: what the server takes when they are missing is not documented. */
function pageParameters(query: NeuroioPageQuery): Parameters {
  return [
    ["limit", String(query.limit ?? 20)],
    ["offset", String(query.offset ?? 0)],
  ];
}

function textParameter(name: string, value: string | undefined): Parameters {
  return value ? [[name, value]] : [];
}

function flagParameter(name: string, value: boolean | undefined): Parameters {
  return value === undefined ? [] : [[name, String(value)]];
}

/** A list is one comma-joined value, so a comma inside an id would ask for something else. */
function listParameter(name: string, values: readonly (string | number)[] | undefined): Parameters {
  if (values === undefined) return [];
  if (values.length === 0) {
    throw new GroupSyncError("options-invalid", `An empty ${name} has no agreed meaning as a filter.`);
  }
  const bad = values.find((value) => value === "" || String(value).includes(","));
  if (bad !== undefined) {
    throw new GroupSyncError("options-invalid", `${JSON.stringify(bad)} cannot be asked for in ${name}.`);
  }
  return [[name, values.join(",")]];
}

/** People × groups, as adding and removing take them. */
function productBody(pids: readonly string[], groupsIds: readonly number[]): unknown {
  if (pids.length === 0 || groupsIds.length === 0) {
    throw new GroupSyncError("options-invalid", "No people or no groups are named, so there is nothing to send.");
  }
  if (pids.length > MAX_PIDS_PER_CALL) {
    throw new GroupSyncError(
      "options-invalid",
      `${pids.length} people are named; one call takes ${MAX_PIDS_PER_CALL}.`,
    );
  }
  if (pids.includes("")) throw new GroupSyncError("options-invalid", "An empty pid names nobody.");
  return { pids, groups_ids: groupsIds };
}

/** What kind of answer came, in words and without its values. */
function describeFound(data: unknown): string {
  if (data === undefined) return "an empty body";
  if (data === null) return "null";
  if (Array.isArray(data)) return `a list of ${data.length}`;
  if (typeof data !== "object") return `a ${typeof data}`;
  const keys = Object.keys(data);
  const named = keys.slice(0, 6).join(", ");
  return keys.length === 0 ? "an empty object" : `an object of ${named}${keys.length > 6 ? ", …" : ""}`;
}
