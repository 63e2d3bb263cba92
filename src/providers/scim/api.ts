/**
 * A thin client of SCIM 2.0 (RFC 7643, RFC 7644): one function per call, arguments in our spelling, answers under the
 * names of the RFC.
 *
 * Only what groups need: the service's own description, groups, and looking users up. Answers are read with
 * tolerance, because services leave out what the RFC lets them leave out; what is sent is what all services are known
 * to take (one condition per filter, one removal per operation).
 */
import { z } from "zod";
import { GroupSyncError } from "../../errors.js";
import { createTokenCredential } from "../../http/auth.js";
import { createHttpClient, type ErrorDescription, type HttpRequest, path } from "../../http/client.js";
import type { ConnectionOptions } from "../../http/options.js";
import type { ProviderId } from "../../model.js";
import type { CallContext, Capabilities } from "../../provider.js";

/** Where and as whom to call. */
export interface ScimApiOptions extends ConnectionOptions {
  /** The name of this account in errors and events. @default "scim" */
  readonly provider?: ProviderId;
  /** The address before `/Groups` and `/Users`, such as `https://directory.example.org/scim/v2`. */
  readonly baseUrl: string;
  /** The bearer token. A 401 is final: how to renew one is not part of SCIM. */
  readonly token: string;
}

/** How the calls are throttled: the RFC names no limits, so these are cautious guesses. */
export const scimLimits = {
  rates: [],
  inFlight: {
    reads: { value: 4, source: "safe assumption: RFC 7644 names no limit" },
    writes: { value: 1, source: "safe assumption: RFC 7644 names no limit" },
  },
} as const satisfies Pick<Capabilities, "rates" | "inFlight">;

const GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/** RFC 7644 §3.1 and §8.1: SCIM's own type; plain JSON is what some services answer. */
const SCIM_JSON = "application/scim+json";

const metaSchema = z.object({ version: z.string().nullish() });
const memberSchema = z.object({
  value: z.string().min(1),
  $ref: z.string().nullish(),
  type: z.string().nullish(),
  display: z.string().nullish(),
});
const groupSchema = z.object({
  id: z.string().min(1),
  displayName: z.string(),
  members: z.array(memberSchema).nullish(),
  meta: metaSchema.nullish(),
});
const userSchema = z.object({
  id: z.string().min(1),
  userName: z.string().nullish(),
  displayName: z.string().nullish(),
  emails: z.array(z.object({ value: z.string().nullish(), primary: z.boolean().nullish() })).nullish(),
  active: z.boolean().nullish(),
});
const supportSchema = z.object({ supported: z.boolean().nullish() }).nullish();
const configSchema = z.object({ patch: supportSchema, filter: supportSchema, etag: supportSchema });

/** A member of a group: a user, or another group. `type` and `$ref` say which, where the service shows them. */
export type ScimMember = Readonly<z.infer<typeof memberSchema>>;
/** A group. Without members, `members` may be missing (RFC 7643 §2.5). `version` is the ETag, where there is one. */
export type ScimGroup = Readonly<z.infer<typeof groupSchema>> & { readonly version?: string };
/** A user, as far as finding one goes. */
export type ScimUser = Readonly<z.infer<typeof userSchema>>;
/** What the service says that it can do. */
export type ScimConfig = Readonly<z.infer<typeof configSchema>>;

/** One page of a list. */
export interface ScimPage<Row> {
  readonly rows: readonly Row[];
  /** `totalResults`: how many there are in all. */
  readonly total: number;
}

/** Which part of a list. */
export interface ScimPageQuery {
  /** The first row, from 1. */
  readonly startIndex: number;
  /** Rows per page; a service may give fewer. */
  readonly count: number;
}

/** One operation of a PATCH. All of a request take effect, or none (RFC 7644 §3.5.2). */
export interface ScimOperation {
  readonly op: "add" | "remove" | "replace";
  readonly path: string;
  readonly value?: unknown;
}

type Context = Partial<CallContext>;

/**
 * SCIM's calls. All throw {@link GroupSyncError}: `unauthenticated`, `forbidden`, `not-found`, `refused` (400; the
 * RFC's `scimType` in `facts.serviceCode`), `conflict` (409 and 412), `unavailable`, `network`, `timeout`,
 * `bad-answer`; and `options-invalid`, before anything is sent, for ids that cannot stand where they should.
 */
export interface ScimApi {
  /** `GET /ServiceProviderConfig` (RFC 7644 §4). */
  getConfig(context?: Context): Promise<ScimConfig>;
  /** `GET /Groups` without their members (RFC 7644 §3.4.2, §3.9). */
  listGroups(query: ScimPageQuery, context?: Context): Promise<ScimPage<ScimGroup>>;
  /** `GET /Groups/{id}`. Members are asked for by name: some services show them on request only. */
  getGroup(id: string, context?: Context): Promise<ScimGroup>;
  /** `POST /Groups`, answered 201 (RFC 7644 §3.3). */
  createGroup(name: string, members: readonly string[], context?: Context): Promise<ScimGroup>;
  /** `PATCH /Groups/{id}`, answered 200 or 204. With a version that is not current: 412, and nothing is done. */
  patchGroup(
    id: string,
    operations: readonly ScimOperation[],
    version: string | undefined,
    context?: Context,
  ): Promise<void>;
  /** `DELETE /Groups/{id}`, answered 204 (RFC 7644 §3.6). */
  deleteGroup(id: string, version: string | undefined, context?: Context): Promise<void>;
  /** `GET /Users?filter=`. The filter is made by {@link scimEquals}. */
  listUsers(filter: string, query: ScimPageQuery, context?: Context): Promise<ScimPage<ScimUser>>;
  /** `GET /Users/{id}`. */
  getUser(id: string, context?: Context): Promise<ScimUser>;
}

/** Makes a client. Throws `options-invalid` when the address is wrong. */
export function createScimApi(options: ScimApiOptions): ScimApi {
  const { provider = "scim", baseUrl, token, ...timing } = options;
  const client = createHttpClient({
    ...timing,
    provider,
    baseUrl,
    credential: createTokenCredential("Bearer", token),
    capabilities: scimLimits,
    scopeKey: token,
    describeError: describeScimError,
  });

  /** Sends a request with SCIM's content type; with a version, the service refuses when it is not current. */
  function send(request: HttpRequest, version: string | undefined, context: Context | undefined) {
    return client.send(
      {
        ...request,
        headers: {
          accept: `${SCIM_JSON}, application/json`,
          ...(request.body !== undefined && { "content-type": SCIM_JSON }),
          ...(version !== undefined && { "if-match": checkVersion(version) }),
        },
      },
      context,
    );
  }

  /** Sends and reads the answer; what it must hold is in the schema. */
  async function ask<T>(request: HttpRequest, schema: z.ZodType<T>, context: Context | undefined) {
    const { data, status, headers } = await send(request, undefined, context);
    const parsed = schema.safeParse(data);
    if (parsed.success) return { data: parsed.data, headers };
    const where = parsed.error.issues[0]?.path.join(".");
    throw new GroupSyncError(
      "bad-answer",
      `${provider} answered ${status} to ${request.operation}, but ${where || "the answer"} is not as RFC 7643 says.`,
      {
        provider,
        operation: request.operation,
        status,
        // The service took the write; only what it made is not known.
        outcomeUnknown: request.effect === "write",
        hint: "Check baseUrl: it is the address before /Groups and /Users.",
      },
    );
  }

  async function askGroup(request: HttpRequest, context: Context | undefined): Promise<ScimGroup> {
    const { data, headers } = await ask(request, groupSchema, context);
    // RFC 7644 §3.14: both are the same; a service may leave one out.
    return withVersion(data, data.meta?.version ?? headers["etag"]);
  }

  async function askPage<Row>(
    request: HttpRequest,
    row: z.ZodType<Row>,
    context: Context | undefined,
  ): Promise<ScimPage<Row>> {
    // Without results, `Resources` may be missing (RFC 7644 §3.4.2).
    const schema = z.object({ totalResults: z.int().nonnegative(), Resources: z.array(row).nullish() });
    const { data } = await ask(request, schema, context);
    return { rows: data.Resources ?? [], total: data.totalResults };
  }

  return {
    getConfig: async (context) => {
      const request = {
        operation: "getConfig",
        method: "GET",
        path: "/ServiceProviderConfig",
        effect: "read",
      } as const;
      return (await ask(request, configSchema, context)).data;
    },
    listGroups: async (query, context) => {
      const request: HttpRequest = {
        operation: "listGroups",
        method: "GET",
        path: "/Groups",
        query: [...pageParameters(query), ["excludedAttributes", "members"]],
        effect: "read",
      };
      const { rows, total } = await askPage(request, groupSchema, context);
      return { rows: rows.map((group) => withVersion(group, group.meta?.version)), total };
    },
    getGroup: async (id, context) =>
      askGroup(
        {
          operation: "getGroup",
          method: "GET",
          path: path`/Groups/${id}`,
          query: [["attributes", "displayName,members,meta"]],
          effect: "read",
        },
        context,
      ),
    createGroup: async (name, members, context) =>
      askGroup(
        {
          operation: "createGroup",
          method: "POST",
          path: "/Groups",
          body: { schemas: [GROUP_SCHEMA], displayName: name, members: members.map((value) => ({ value })) },
          effect: "write",
        },
        context,
      ),
    patchGroup: async (id, operations, version, context) => {
      const body = { schemas: [PATCH_SCHEMA], Operations: operations };
      await send(
        { operation: "patchGroup", method: "PATCH", path: path`/Groups/${id}`, body, effect: "write" },
        version,
        context,
      );
    },
    deleteGroup: async (id, version, context) => {
      await send(
        { operation: "deleteGroup", method: "DELETE", path: path`/Groups/${id}`, effect: "write" },
        version,
        context,
      );
    },
    listUsers: async (filter, query, context) =>
      askPage(
        {
          operation: "listUsers",
          method: "GET",
          path: "/Users",
          query: [["filter", filter], ...pageParameters(query)],
          effect: "read",
        },
        userSchema,
        context,
      ),
    getUser: async (id, context) => {
      const request = { operation: "getUser", method: "GET", path: path`/Users/${id}`, effect: "read" } as const;
      return (await ask(request, userSchema, context)).data;
    },
  };
}

/**
 * A filter for one value. Text is quoted and escaped as JSON (RFC 7644 §3.4.2.2), so that no address can be more than
 * an address.
 *
 * @example scimEquals("userName", 'a"b') // userName eq "a\"b"
 */
export function scimEquals(attribute: string, value: string | boolean): string {
  return `${attribute} eq ${JSON.stringify(value)}`;
}

function pageParameters({ startIndex, count }: ScimPageQuery): readonly (readonly [string, string])[] {
  return [
    ["startIndex", String(startIndex)],
    ["count", String(count)],
  ];
}

function withVersion(group: z.infer<typeof groupSchema>, version: string | null | undefined): ScimGroup {
  return { ...group, ...(version && { version }) };
}

/** A version goes into a header, where a line break would start another one. */
function checkVersion(version: string): string {
  if (/^[\x20-\x7e]+$/.test(version)) return version;
  throw new GroupSyncError("options-invalid", `${JSON.stringify(version)} is not a version that can be sent.`);
}

const errorSchema = z.object({
  scimType: z.string().optional().catch(undefined),
  detail: z.string().optional().catch(undefined),
});

/** What an error answer says (RFC 7644 §3.12): `{schemas, status, scimType, detail}`, or anything else, which says nothing. */
function describeScimError(_status: number, data: unknown): ErrorDescription {
  const { scimType, detail } = errorSchema.safeParse(data).data ?? {};
  return {
    ...(detail !== undefined && { message: detail }),
    ...(scimType !== undefined && { serviceCode: scimType }),
  };
}
