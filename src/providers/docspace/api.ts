/**
 * A thin, typed client of the ONLYOFFICE DocSpace API 2.0: one function per endpoint that concerns groups and people.
 *
 * It sends what it is told and checks what comes back; what is safe to do is decided in `provider.ts`. Facts are from
 * the server's source v3.7.2 (ONLYOFFICE/DocSpace-server @ ed2994e) unless a comment names something else.
 */
import { z } from "zod";
import { GroupSyncError } from "../../errors.js";
import type { ProviderId } from "../../model.js";
import type { CallContext, Capabilities } from "../../provider.js";
import { createRenewingCredential, createTokenCredential, type Credential, type IssuedToken } from "../../http/auth.js";
import { createHttpClient, type ErrorDescription, type HttpRequest, path } from "../../http/client.js";
import type { ConnectionOptions } from "../../http/options.js";

/** How to reach a portal and as whom: exactly one of `apiKey`, `token`, or `userName` with `password`. */
export interface DocspaceApiOptions extends ConnectionOptions {
  /** The name that errors and events give this client. @default "docspace" */
  readonly provider?: ProviderId;
  /** The portal's address without `/api/2.0`, such as `https://acme.onlyoffice.com`. */
  readonly baseUrl: string;
  /**
   * An API key (`sk-…`), sent as `Authorization: Bearer`. Groups need its scopes `accounts:read` and `accounts:write`.
   * https://api.onlyoffice.com/docspace/api-backend/get-started/authentication/api-keys
   */
  readonly apiKey?: string;
  /** A log-in or OAuth 2.0 token. Log-in tokens run out and cannot be renewed without the password. */
  readonly token?: string;
  /** The e-mail address of the account to log in as, with `password`. */
  readonly userName?: string;
  readonly password?: string;
}

/** States of a person as DocSpace numbers them; `default` and `all` exist in filters only. */
export const docspaceStatus = { active: 1, terminated: 2, pending: 4, default: 5, all: 7 } as const;

/** Kinds of person as DocSpace numbers them. `user` is the plain user (`isCollaborator` in answers). */
export const docspaceType = { all: 0, roomAdmin: 1, guest: 2, docSpaceAdmin: 3, user: 4 } as const;

/** Directions of sorting as DocSpace numbers them. */
export const docspaceSortOrder = { ascending: 0, descending: 1 } as const;

type ValueOf<T> = T[keyof T];

/** Where a page starts, how long it is, and in what order. */
export interface DocspacePaging {
  /** 1–100; more is refused with 400. @default 100 (the service's) */
  readonly count?: number;
  /** From 0. @default 0 (the service's) */
  readonly startIndex?: number;
  readonly sortBy?: string;
  readonly sortOrder?: ValueOf<typeof docspaceSortOrder>;
}

/** Which properties to answer with, such as `["id", "members.id"]`. Fewer bytes, the same work for the server. */
export interface DocspaceFields {
  readonly fields?: readonly string[];
}

/** Narrows a list of groups. */
export interface DocspaceGroupFilter extends DocspacePaging, DocspaceFields {
  /** Only groups of this person; unknown ids give an empty list. */
  readonly userId?: string;
  /** With `userId`: only groups that the person manages. */
  readonly manager?: boolean;
  /** A part of the name, in any case; not equality. */
  readonly filterValue?: string;
  /** @default "title" (the service's) */
  readonly sortBy?: "title" | "manager" | "membersCount";
}

/** Narrows a list of people. */
export interface DocspacePeopleFilter extends DocspacePaging, DocspaceFields {
  /** Left out: an admin gets every status, `terminated` included. */
  readonly employeeStatus?: ValueOf<typeof docspaceStatus>;
  readonly groupId?: string;
  /** 0 none, 1 activated, 2 pending. */
  readonly activationStatus?: number;
  readonly employeeType?: ValueOf<typeof docspaceType>;
  readonly employeeTypes?: readonly ValueOf<typeof docspaceType>[];
  readonly isAdministrator?: boolean;
  readonly payments?: number;
  readonly accountLoginType?: number;
  readonly quotaFilter?: number;
  readonly withoutGroup?: boolean;
  /** With `groupId`: the people who are not in it. */
  readonly excludeGroup?: boolean;
  readonly invitedByMe?: boolean;
  readonly inviterId?: string;
  /** 0 all, 1 people without guests, 2 guests. */
  readonly area?: 0 | 1 | 2;
  /** Splits `filterValue` into alternatives. Without it, spaces split it into parts that must all match. */
  readonly filterSeparator?: string;
  /** A part of the name or the e-mail address; not equality. */
  readonly filterValue?: string;
}

/** Narrows a sharing view. */
export interface DocspaceSharingFilter extends DocspaceFields {
  /** Leaves out groups that have access already. */
  readonly excludeShared?: boolean;
  /** 1–100. @default 100 (the service's) */
  readonly count?: number;
  readonly startIndex?: number;
  readonly filterValue?: string;
}

/** Someone in the portal. Absent means false, none, or not asked for with `fields`: the service omits nulls. */
export interface DocspacePerson {
  readonly id: string;
  /** HTML-encoded: decode it for display, never match on it. */
  readonly displayName?: string | undefined;
  readonly firstName?: string | undefined;
  readonly lastName?: string | undefined;
  readonly userName?: string | undefined;
  readonly email?: string | undefined;
  /** See {@link docspaceStatus}. */
  readonly status?: number | undefined;
  /** 0 none, 1 activated, 2 pending. */
  readonly activationStatus?: number | undefined;
  readonly isOwner?: boolean | undefined;
  /** DocSpace admin. */
  readonly isAdmin?: boolean | undefined;
  readonly isRoomAdmin?: boolean | undefined;
  /** A plain user. */
  readonly isCollaborator?: boolean | undefined;
  /** A guest. Guests cannot be in groups. */
  readonly isVisitor?: boolean | undefined;
  readonly isLDAP?: boolean | undefined;
  readonly isSSO?: boolean | undefined;
}

/** A group. */
export interface DocspaceGroup {
  readonly id: string;
  /** Raw text, not HTML-encoded; not unique. */
  readonly name: string;
  /** Comes from a directory, which decides about its members. */
  readonly isLDAP?: boolean | undefined;
  /** Built in. */
  readonly isSystem?: boolean | undefined;
  /** May be a disabled person. */
  readonly manager?: DocspacePerson | undefined;
  /** All active and pending members, unpaged; disabled ones are hidden. Absent in lists. */
  readonly members?: readonly DocspacePerson[] | undefined;
  /** The length of `members`. */
  readonly membersCount?: number | undefined;
  /** In sharing views only. */
  readonly shared?: boolean | undefined;
}

/** A group in the list of someone's groups. */
export interface DocspaceGroupSummary {
  readonly id: string;
  readonly name: string;
  /** The manager's user name. */
  readonly manager?: string | undefined;
  readonly isSystem?: boolean | undefined;
}

/** One page of a list. */
export interface DocspacePage<Row> {
  readonly rows: readonly Row[];
  /** How many there are on all pages. Absent where the service does not page. */
  readonly total?: number;
}

/** The API key in use. */
export interface DocspaceKey {
  readonly name?: string | undefined;
  /** Scopes, such as `accounts:read`. Empty or `*`: everything. */
  readonly permissions?: readonly string[] | undefined;
  readonly isActive?: boolean | undefined;
  /** A date in ISO form; absent: never. */
  readonly expiresAt?: string | undefined;
  /** The person that the key acts as. */
  readonly createBy?: { readonly id: string; readonly displayName?: string | undefined } | undefined;
}

/** A token from a log-in. */
export interface DocspaceToken {
  readonly token: string;
  /** A date in ISO form. */
  readonly expires?: string | undefined;
}

/** What a new group starts with. */
export interface DocspaceNewGroup {
  /** 1–128 characters, not blank. */
  readonly groupName: string;
  readonly groupManager?: string;
  readonly members?: readonly string[];
}

/** What to change in a group. What is left out stays. */
export interface DocspaceGroupUpdate {
  /** 1–128 characters. An empty one is refused here: the service would blank the name. */
  readonly groupName?: string;
  /** Becomes a member too; the manager before stays a member. Cannot be cleared. */
  readonly groupManager?: string;
  readonly membersToAdd?: readonly string[];
  /** Carried out after the additions: an id in both lists ends removed. */
  readonly membersToRemove?: readonly string[];
}

type Context = Partial<CallContext>;

/**
 * The endpoints. Reads need a DocSpace admin or room admin (a key: scope `accounts:read`), writes a DocSpace admin
 * (a key: scope `accounts:write`). Every function throws `GroupSyncError`; an answer that is not what is documented
 * is `bad-answer`.
 */
export interface DocspaceApi {
  /** `GET /group`: groups without members, ordered by name. Built-in and deleted groups never appear. */
  listGroups(filter?: DocspaceGroupFilter, context?: Context): Promise<DocspacePage<DocspaceGroup>>;
  /**
   * `POST /group`: from v3.7 one unusable id among members and manager refuses the whole call (400), before that it
   * was skipped. Never repeat it blindly: names are not unique.
   */
  createGroup(group: DocspaceNewGroup, options?: DocspaceFields, context?: Context): Promise<DocspaceGroup>;
  /** `GET /group/{id}`. `includeMembers` is always sent: its default is documented in two ways. @default true */
  getGroup(
    id: string,
    options?: DocspaceFields & { readonly includeMembers?: boolean },
    context?: Context,
  ): Promise<DocspaceGroup>;
  /**
   * `PUT /group/{id}`: name, then manager, then additions, then removals, one save each and no transaction. Unknown,
   * disabled and guest ids in `membersToAdd` are skipped without a word; `members` in the answer shows the truth.
   * Throws `options-invalid`, nothing sent, for an empty change and for an empty name.
   */
  updateGroup(
    id: string,
    update: DocspaceGroupUpdate,
    options?: DocspaceFields,
    context?: Context,
  ): Promise<DocspaceGroup>;
  /** `DELETE /group/{id}`: revokes every share given to the group, for good. A second call answers 404. */
  deleteGroup(id: string, context?: Context): Promise<void>;
  /** `PUT /group/{id}/members` adds. Unusable ids are skipped without a word. No audit entry, no webhook. */
  addGroupMembers(id: string, members: readonly string[], context?: Context): Promise<DocspaceGroup>;
  /** `DELETE /group/{id}/members` removes. Unknown ids are ignored. No audit entry, no webhook. */
  removeGroupMembers(id: string, members: readonly string[], context?: Context): Promise<DocspaceGroup>;
  /**
   * `POST /group/{id}/members` replaces. Not atomic, loses the manager, and up to v3.6.1 wiped the group when no id
   * was usable: prefer `updateGroup`. No audit entry, no webhook.
   */
  replaceGroupMembers(id: string, members: readonly string[], context?: Context): Promise<DocspaceGroup>;
  /** `PUT /group/{id}/manager`: the person becomes a member too; for a disabled one or a guest nothing changes. */
  setGroupManager(id: string, userId: string, context?: Context): Promise<DocspaceGroup>;
  /**
   * `PUT /group/{fromId}/members/{toId}` moves all members (copies them up to v3.6.1). Throws `options-invalid`,
   * nothing sent, when both are the same group: that would empty it. Answers with the target group.
   */
  moveGroupMembers(fromId: string, toId: string, context?: Context): Promise<DocspaceGroup>;
  /** `GET /group/user/{userid}`: someone's groups, unpaged. An unknown person gives an empty list. */
  listGroupsOfPerson(userId: string, context?: Context): Promise<readonly DocspaceGroupSummary[]>;
  /** `GET /group/room/{id}`: groups with their access to a room. A sharing view, not membership. */
  listGroupsOfRoom(id: number, filter?: DocspaceSharingFilter, context?: Context): Promise<DocspacePage<DocspaceGroup>>;
  /** `GET /group/folder/{id}`: as for rooms. */
  listGroupsOfFolder(
    id: number,
    filter?: DocspaceSharingFilter,
    context?: Context,
  ): Promise<DocspacePage<DocspaceGroup>>;
  /** `GET /group/file/{id}`: as for rooms. */
  listGroupsOfFile(id: number, filter?: DocspaceSharingFilter, context?: Context): Promise<DocspacePage<DocspaceGroup>>;
  /** `GET /people/filter`. A room admin sees no disabled people and only related guests. */
  filterPeople(filter?: DocspacePeopleFilter, context?: Context): Promise<DocspacePage<DocspacePerson>>;
  /** `GET /people/simple/filter`: as {@link DocspaceApi.filterPeople}, but without e-mail and status. */
  filterPeopleLight(filter?: DocspacePeopleFilter, context?: Context): Promise<DocspacePage<DocspacePerson>>;
  /** `GET /people/email`: one person by the exact address, whatever the status; `not-found` when there is none. */
  getPersonByEmail(email: string, options?: DocspaceFields, context?: Context): Promise<DocspacePerson>;
  /** `GET /people/{userid}`: one person by id or user name. */
  getPerson(idOrUserName: string, options?: DocspaceFields, context?: Context): Promise<DocspacePerson>;
  /** `GET /people/@self`: the person acted as. A key needs the scope `accounts.self:read` (or `*`). */
  getOwnPerson(options?: DocspaceFields, context?: Context): Promise<DocspacePerson>;
  /** `GET /people`: active people only. */
  listPeople(
    paging?: DocspacePaging &
      DocspaceFields &
      Pick<DocspacePeopleFilter, "filterSeparator" | "filterValue"> & {
        readonly filterBy?: string;
      },
    context?: Context,
  ): Promise<DocspacePage<DocspacePerson>>;
  /** `GET /keys/@self`: the API key in use; any scope will do. */
  getOwnKey(context?: Context): Promise<DocspaceKey>;
  /** `POST /authentication`, sent without a token. Does not change what this client uses. */
  logIn(userName: string, password: string, context?: Context): Promise<DocspaceToken>;
  /** `GET /authentication`: whether the credentials are good. */
  checkAuthentication(context?: Context): Promise<boolean>;
  /** `POST /authentication/logout`: ends the session of a log-in token. */
  logOut(context?: Context): Promise<void>;
}

/** Rates and concurrency as the service limits them per key owner, which the owner's browser and other keys share. */
export const docspaceLimits = {
  rates: [
    {
      scope: "key owner",
      requests: 1500,
      windowMs: 60_000,
      counts: "all",
      source: "RateLimiterSettings in DocSpace-server v3.7.2 and api.onlyoffice.com: 1500 requests a minute per user",
    },
    {
      scope: "key owner, POST and PUT a day",
      requests: 10_000,
      windowMs: 86_400_000,
      counts: "write",
      source:
        "RateLimiterSettings in DocSpace-server v3.7.2: 10,000 POST and PUT a day per user; DELETE, which is free, is counted too here",
    },
  ],
  inFlight: {
    reads: { value: 50, source: "RateLimiterSettings in DocSpace-server v3.7.2: 50 concurrent GET per user, no queue" },
    writes: {
      value: 15,
      source: "RateLimiterSettings in DocSpace-server v3.7.2: 15 concurrent others per user, no queue",
    },
  },
} as const satisfies Pick<Capabilities, "rates" | "inFlight">;

const optionalText = z.string().nullish().transform(absentIfNull);
const optionalFlag = z.boolean().nullish().transform(absentIfNull);
const optionalNumber = z.number().nullish().transform(absentIfNull);

const personSchema: z.ZodType<DocspacePerson> = z.object({
  id: z.string().min(1),
  displayName: optionalText,
  firstName: optionalText,
  lastName: optionalText,
  userName: optionalText,
  email: optionalText,
  status: optionalNumber,
  activationStatus: optionalNumber,
  isOwner: optionalFlag,
  isAdmin: optionalFlag,
  isRoomAdmin: optionalFlag,
  isCollaborator: optionalFlag,
  isVisitor: optionalFlag,
  isLDAP: optionalFlag,
  isSSO: optionalFlag,
});

const groupSchema: z.ZodType<DocspaceGroup> = z.object({
  id: z.string().min(1),
  name: z.string(),
  isLDAP: optionalFlag,
  isSystem: optionalFlag,
  manager: personSchema.nullish().transform(absentIfNull),
  members: z.array(personSchema).nullish().transform(absentIfNull),
  membersCount: optionalNumber,
  shared: optionalFlag,
});

const groupSummarySchema: z.ZodType<DocspaceGroupSummary> = z.object({
  id: z.string().min(1),
  name: z.string(),
  manager: optionalText,
  isSystem: optionalFlag,
});

const keySchema: z.ZodType<DocspaceKey> = z.object({
  name: optionalText,
  permissions: z.array(z.string()).nullish().transform(absentIfNull),
  isActive: optionalFlag,
  expiresAt: optionalText,
  createBy: z
    .object({ id: z.string().min(1), displayName: optionalText })
    .nullish()
    .transform(absentIfNull),
});

const tokenSchema: z.ZodType<DocspaceToken> = z.object({ token: z.string().min(1), expires: optionalText });

function absentIfNull<T>(value: T | null | undefined): T | undefined {
  return value ?? undefined;
}

/** What is wrong with the credentials, in plain words; undefined when exactly one kind is given, and whole. */
export function findCredentialProblem(
  options: Partial<Record<"apiKey" | "token" | "userName" | "password", string | undefined>>,
): string | undefined {
  const { apiKey, token, userName, password } = options;
  if ((userName === undefined) !== (password === undefined)) return "userName and password go together.";
  const given = [apiKey, token, userName].filter((value) => value !== undefined).length;
  if (given === 0) return "credentials are missing: give apiKey, or token, or userName with password.";
  if (given > 1) return "give only one of apiKey, token, or userName with password.";
  if (userName === "" || password === "") return "userName or password is empty.";
  const secret = apiKey ?? token;
  if (secret === undefined) return undefined;
  const name = apiKey === undefined ? "token" : "apiKey";
  if (/^bearer\s/i.test(secret)) return `${name} should be given without the word Bearer.`;
  // Anything else cannot stand in a header, and is a copying mistake.
  if (!/^[\x21-\x7e]+$/.test(secret))
    return `${name} is empty, or holds spaces or other characters that no ${name} has.`;
  if (apiKey !== undefined && !apiKey.startsWith("sk-")) {
    return "apiKey should begin with sk-; a log-in or OAuth token goes under token.";
  }
  return undefined;
}

/** Makes a client. Throws `options-invalid` for a bad address or unclear credentials; sends nothing yet. */
export function createDocspaceApi(options: DocspaceApiOptions): DocspaceApi {
  const provider = options.provider ?? "docspace";
  const problem = findCredentialProblem(options);
  if (problem) throw new GroupSyncError("options-invalid", `${provider}: ${problem}`, { provider });
  const credential = createCredential(options, (userName, password, context) => logIn(userName, password, context));
  const client = createHttpClient({
    ...options,
    provider,
    credential,
    capabilities: docspaceLimits,
    scopeKey: `docspace ${options.apiKey ?? options.token ?? `${options.userName} ${options.password}`}`,
    describeError,
  });

  async function call<T>(request: HttpRequest, schema: z.ZodType<T>, context: Context): Promise<T> {
    const answer = await client.send(request, context);
    return parseAnswer(schema, answer.data, provider, request, answer.status);
  }

  async function callForOne<T>(request: HttpRequest, schema: z.ZodType<T>, context: Context): Promise<T> {
    return (await call(request, z.object({ response: schema }), context)).response;
  }

  async function callForPage<T>(
    request: HttpRequest,
    schema: z.ZodType<T>,
    context: Context,
  ): Promise<DocspacePage<T>> {
    const envelope = z.object({ response: z.array(schema), total: z.int().nonnegative().nullish() });
    const { response, total } = await call(request, envelope, context);
    return { rows: response, ...(typeof total === "number" && { total }) };
  }

  function read(operation: string, to: string, query: Readonly<Record<string, QueryValue>> = {}): HttpRequest {
    return { operation, method: "GET", path: `/api/2.0${to}`, query: toQuery(query), effect: "read" };
  }

  function write(
    operation: string,
    method: "POST" | "PUT" | "DELETE",
    to: string,
    body?: unknown,
    query: Readonly<Record<string, QueryValue>> = {},
  ): HttpRequest {
    return {
      operation,
      method,
      path: `/api/2.0${to}`,
      query: toQuery(query),
      ...(body !== undefined && { body }),
      effect: "write",
    };
  }

  function refuse(message: string): GroupSyncError {
    return new GroupSyncError("options-invalid", `${provider}: ${message}`, { provider });
  }

  function requireSome(members: readonly string[]): { readonly members: readonly string[] } {
    // An empty list is a no-op, a 500 or a wiped group, depending on call and version.
    if (members.length === 0) throw refuse("a list of members to add, remove or replace must not be empty.");
    return { members };
  }

  async function logIn(userName: string, password: string, context: Context = {}): Promise<DocspaceToken> {
    const request: HttpRequest = {
      operation: "logIn",
      method: "POST",
      path: "/api/2.0/authentication",
      body: { userName, password },
      authorization: null,
      effect: "read",
    };
    const { data, status } = await client.send(request, context);
    const envelope = z.object({ response: tokenSchema });
    if (!envelope.safeParse(data).success) {
      throw new GroupSyncError("bad-answer", `${provider} answered ${status} to logIn, but gave no token.`, {
        provider,
        operation: "logIn",
        status,
        hint: "An account with two-factor log-in cannot be used with a password; use an API key.",
      });
    }
    return parseAnswer(envelope, data, provider, request, status).response;
  }

  return {
    listGroups: (filter = {}, context = {}) =>
      callForPage(read("listGroups", "/group", { ...filter }), groupSchema, context),
    createGroup: (group, { fields } = {}, context = {}) =>
      callForOne(write("createGroup", "POST", "/group", group, { fields }), groupSchema, context),
    getGroup: async (id, { includeMembers = true, fields } = {}, context = {}) =>
      callForOne(read("getGroup", path`/group/${id}`, { includeMembers, fields }), groupSchema, context),
    updateGroup: async (id, update, { fields } = {}, context = {}) => {
      if (Object.values(update).every((value) => value === undefined)) throw refuse("an update must change something.");
      if (update.groupName === "") throw refuse("an empty groupName would blank the group's name.");
      return callForOne(write("updateGroup", "PUT", path`/group/${id}`, update, { fields }), groupSchema, context);
    },
    deleteGroup: async (id, context = {}) => {
      await client.send(write("deleteGroup", "DELETE", path`/group/${id}`), context);
    },
    addGroupMembers: async (id, members, context = {}) =>
      callForOne(
        write("addGroupMembers", "PUT", path`/group/${id}/members`, requireSome(members)),
        groupSchema,
        context,
      ),
    removeGroupMembers: async (id, members, context = {}) =>
      callForOne(
        write("removeGroupMembers", "DELETE", path`/group/${id}/members`, requireSome(members)),
        groupSchema,
        context,
      ),
    replaceGroupMembers: async (id, members, context = {}) =>
      callForOne(
        write("replaceGroupMembers", "POST", path`/group/${id}/members`, requireSome(members)),
        groupSchema,
        context,
      ),
    setGroupManager: async (id, userId, context = {}) => {
      if (userId === "") throw refuse("a manager needs an id.");
      return callForOne(write("setGroupManager", "PUT", path`/group/${id}/manager`, { userId }), groupSchema, context);
    },
    moveGroupMembers: async (fromId, toId, context = {}) => {
      if (fromId.toLowerCase() === toId.toLowerCase()) throw refuse("moving a group onto itself would empty it.");
      return callForOne(write("moveGroupMembers", "PUT", path`/group/${fromId}/members/${toId}`), groupSchema, context);
    },
    listGroupsOfPerson: async (userId, context = {}) =>
      callForOne(read("listGroupsOfPerson", path`/group/user/${userId}`), z.array(groupSummarySchema), context),
    listGroupsOfRoom: async (id, filter = {}, context = {}) =>
      callForPage(read("listGroupsOfRoom", path`/group/room/${id}`, { ...filter }), groupSchema, context),
    listGroupsOfFolder: async (id, filter = {}, context = {}) =>
      callForPage(read("listGroupsOfFolder", path`/group/folder/${id}`, { ...filter }), groupSchema, context),
    listGroupsOfFile: async (id, filter = {}, context = {}) =>
      callForPage(read("listGroupsOfFile", path`/group/file/${id}`, { ...filter }), groupSchema, context),
    filterPeople: (filter = {}, context = {}) =>
      callForPage(read("filterPeople", "/people/filter", { ...filter }), personSchema, context),
    filterPeopleLight: (filter = {}, context = {}) =>
      callForPage(read("filterPeopleLight", "/people/simple/filter", { ...filter }), personSchema, context),
    getPersonByEmail: (email, { fields } = {}, context = {}) =>
      callForOne(read("getPersonByEmail", "/people/email", { email, fields }), personSchema, context),
    getPerson: async (idOrUserName, { fields } = {}, context = {}) =>
      callForOne(read("getPerson", path`/people/${idOrUserName}`, { fields }), personSchema, context),
    getOwnPerson: ({ fields } = {}, context = {}) =>
      callForOne(read("getOwnPerson", "/people/@self", { fields }), personSchema, context),
    listPeople: (paging = {}, context = {}) =>
      callForPage(read("listPeople", "/people", { ...paging }), personSchema, context),
    getOwnKey: (context = {}) => callForOne(read("getOwnKey", "/keys/@self"), keySchema, context),
    logIn,
    checkAuthentication: (context = {}) =>
      callForOne(read("checkAuthentication", "/authentication"), z.boolean(), context),
    logOut: async (context = {}) => {
      await client.send(write("logOut", "POST", "/authentication/logout"), context);
    },
  };
}

function createCredential(
  options: DocspaceApiOptions,
  logIn: (userName: string, password: string, context: Context) => Promise<DocspaceToken>,
): Credential {
  const { userName = "", password = "" } = options;
  // A key without the word Bearer is not recognised as one, though several of the vendor's samples show it so.
  const fixed = options.apiKey ?? options.token;
  if (fixed !== undefined) return createTokenCredential("Bearer", fixed);
  return createRenewingCredential({
    scheme: "Bearer",
    secrets: [password],
    logIn: async (context): Promise<IssuedToken> => {
      const { token, expires } = await logIn(userName, password, context);
      const expiresInMs = expires === undefined ? Number.NaN : Date.parse(expires) - Date.now();
      return { token, ...(expiresInMs > 0 && { expiresInMs }) };
    },
  });
}

type QueryValue = string | number | boolean | readonly (string | number)[] | undefined;

function toQuery(values: Readonly<Record<string, QueryValue>>): readonly (readonly [string, string])[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    return [[name, Array.isArray(value) ? value.join(",") : String(value)] as const];
  });
}

function parseAnswer<T>(
  schema: z.ZodType<T>,
  data: unknown,
  provider: ProviderId,
  request: HttpRequest,
  status: number,
): T {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue?.path.length ? issue.path.join(".") : "the body";
  throw new GroupSyncError(
    "bad-answer",
    `${provider} answered ${status} to ${request.operation}, but not as documented: ${where}: ${issue?.message ?? "unreadable"}.`,
    { provider, operation: request.operation, status, outcomeUnknown: request.effect === "write" },
  );
}

/** Reads any of the four shapes of error bodies; only the status decides, because messages come in many languages. */
function describeError(status: number, data: unknown): ErrorDescription {
  const { error, response } = asRecord(data);
  const problem = [data, response].map(asRecord).find((part) => typeof part["title"] === "string") ?? {};
  const [field, complaints] = Object.entries(asRecord(problem["errors"]))[0] ?? [];
  const complaint: unknown = Array.isArray(complaints) ? complaints[0] : undefined;
  const message =
    asText(asRecord(error)["message"]) ??
    ([problem["title"], field, complaint].map(asText).filter(Boolean).join(" ") || undefined);
  const serviceCode = asText(asRecord(error)["type"]);
  return {
    ...(message !== undefined && { message }),
    ...(serviceCode !== undefined && { serviceCode }),
    ...(field !== undefined && { field }),
    ...(status === 403 && {
      hint: "A right may be lacking (`group-sync check` says which); DocSpace also answers 403 to operations that a state forbids, and while a portal is moved, restored or closed to this network.",
    }),
  };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
