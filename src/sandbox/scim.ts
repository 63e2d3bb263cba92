/**
 * The SCIM emulator: groups and users of any service with SCIM 2.0, written from RFC 7643 and RFC 7644 alone.
 *
 * What the RFCs leave open is a switch (`scimSwitches`); the first value is what most services do. What stays the same
 * under every switch: a PATCH is done whole or not at all, a version in `If-Match` that is not current is refused with
 * 412, adding someone who is there already changes nothing, and an error is `{schemas, status, scimType, detail}`.
 *
 * Late reading: a write takes effect at once in what later writes and `control` see. What readers saw of a group
 * before is kept with the time at which it stops showing.
 */
import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import {
  type Emulator,
  type EmulatorControl,
  type EmulatorOptions,
  marksOf,
  readSwitches,
  type SeedGroup,
  type SeedPerson,
  stableUuid,
} from "./kit.js";

/** What the RFCs leave open; the first value is the default, `number` any whole number. */
export const scimSwitches = {
  /** Whether groups have a version, as `meta.version` and `ETag` (RFC 7644 §3.14), and where it shows. */
  etag: ["on", "header", "off"],
  /** Which filters are taken: `eq` with `and` and `or`, `eq` alone, `eq` on `userName` alone, or none. */
  filter: ["full", "eq", "userName", "off"],
  /** Whether members carry `type` and `$ref`, one of them, or neither. */
  memberKind: ["type+$ref", "$ref", "off"],
  /** Whether a group's members show by themselves, or only when `attributes` names them (RFC 7643 §7, `returned`). */
  members: ["default", "request"],
  /** What a PATCH answers. */
  patchAnswer: ["204", "200"],
  /** Removing someone who is no member. */
  absentRemove: ["ignore", "noTarget"],
  /** Adding an id that no user and no group has. */
  unknownMember: ["400", "ignore"],
  /** A name that another group has. */
  uniqueNames: ["off", "409"],
  /** The most rows of a page; a larger `count` is lowered (RFC 7644 §3.4.2.4). At least 1. */
  maxResults: [100, "number"],
  /** Milliseconds after which a write shows to readers. A mark on the request goes before it. */
  lag: [0, "number"],
} as const satisfies Readonly<Record<string, readonly (string | number)[]>>;

const schemaOf = {
  config: "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig",
  error: "urn:ietf:params:scim:api:messages:2.0:Error",
  group: "urn:ietf:params:scim:schemas:core:2.0:Group",
  list: "urn:ietf:params:scim:api:messages:2.0:ListResponse",
  patch: "urn:ietf:params:scim:api:messages:2.0:PatchOp",
  user: "urn:ietf:params:scim:schemas:core:2.0:User",
} as const;

interface User {
  readonly id: string;
  readonly email: string;
  readonly name: string;
  active: boolean;
}

/** A group as it is at one moment. Every write makes a new one. */
interface GroupRecord {
  readonly name: string;
  /** Ids of users and of groups, in the order in which they joined. */
  readonly members: readonly string[];
  readonly version: number;
}

interface Group {
  readonly id: string;
  /** Undefined once it is deleted. */
  record: GroupRecord | undefined;
  /** What readers saw before, oldest first, and until when. */
  past: readonly { readonly until: number; readonly record: GroupRecord | undefined }[];
}

/** Plain data and maps only, so that `structuredClone` copies it. */
interface State {
  readonly users: Map<string, User>;
  /** In the order of creation, deleted ones included: readers may still see them. */
  readonly groups: Map<string, Group>;
}

type Json = Readonly<Record<string, unknown>>;

/** An answer of status 400 or more, thrown by whatever notices the reason. */
class Refusal extends Error {
  constructor(
    readonly status: ContentfulStatusCode,
    readonly detail: string,
    readonly scimType?: string,
  ) {
    super(detail);
  }
}

/**
 * Makes a SCIM emulator. `credentials` is a bearer token with all rights; `otherCredentials`: `readOnly`, and `expired`
 * from the start. A user's id is derived from the seed id. Roles of the seed are plain memberships; a seed group of
 * another kind than `plain` is a plain group too.
 *
 * @throws Error for an unknown switch or value, or a `maxResults` of 0.
 */
export function createScimEmulator(options: EmulatorOptions): Emulator {
  const now = options.now ?? Date.now;
  const switches = readSwitches("scim", scimSwitches, options.switches);
  const maxResults = Number(switches.maxResults);
  if (maxResults < 1) throw new Error("scim: switch maxResults takes a whole number of at least 1.");

  let state: State = { users: new Map(), groups: new Map() };
  // Outside the state, as a database's sequences are: an id that was announced is never given to anything else.
  const last = { group: 0, version: 0 };
  const userOfSeed = new Map<string, string>();
  const tokens = {
    full: "sandbox-scim-token",
    readOnly: "sandbox-scim-readonly-token",
    expired: "sandbox-scim-expired",
  };
  let expired = false;

  // ---- groups

  function write(group: Group, record: Omit<GroupRecord, "version"> | undefined, visibleAt: number): void {
    // A write that shows earlier overtakes those before it.
    const past = group.past.map((entry) => ({ ...entry, until: Math.min(entry.until, visibleAt) }));
    group.past = [...past, { until: visibleAt, record: group.record }].filter((entry) => now() < entry.until);
    group.record = record && { ...record, version: ++last.version };
  }

  function seen(group: Group): GroupRecord | undefined {
    const shown = group.past.find((entry) => now() < entry.until);
    return shown ? shown.record : group.record;
  }

  function addGroup(name: string, members: readonly string[], visibleAt: number): Group {
    const group: Group = { id: stableUuid("scim", "group", String(++last.group)), record: undefined, past: [] };
    write(group, { name, members }, visibleAt);
    state.groups.set(group.id, group);
    return group;
  }

  function setMembers(group: Group, change: (members: readonly string[]) => readonly string[], visibleAt: number) {
    const { record } = group;
    if (!record) return;
    const members = [...new Set(change(record.members))];
    const isSame = members.length === record.members.length && members.every((id, at) => id === record.members[at]);
    // RFC 7644 §3.5.2.1: what is there already changes nothing, its version neither.
    if (!isSame) write(group, { ...record, members }, visibleAt);
  }

  function renderMember(c: Context, id: string): Json {
    const kind = state.users.has(id) ? "User" : "Group";
    const display = state.users.get(id)?.name ?? state.groups.get(id)?.record?.name;
    return {
      value: id,
      ...(switches.memberKind !== "off" && { $ref: locationOf(c, `${kind}s`, id) }),
      ...(switches.memberKind === "type+$ref" && { type: kind }),
      ...(display !== undefined && { display }),
    };
  }

  /** A group as far as the query asks for its attributes (RFC 7644 §3.9). `id` and `schemas` are always there. */
  function renderGroup(c: Context, { id }: Group, record: GroupRecord): Json {
    const asked = listOfQuery(c, "attributes");
    const excluded = listOfQuery(c, "excludedAttributes") ?? [];
    const byItself = (name: string) => name !== "members" || switches.members === "default";
    const shows = (name: string) => (asked ? asked.includes(name) : byItself(name) && !excluded.includes(name));
    return {
      schemas: [schemaOf.group],
      id,
      ...(shows("displayname") && { displayName: record.name }),
      // Without values an attribute is unassigned, and may be left out (RFC 7643 §2.5).
      ...(shows("members") &&
        record.members.length > 0 && { members: record.members.map((member) => renderMember(c, member)) }),
      ...(shows("meta") && {
        meta: {
          resourceType: "Group",
          location: locationOf(c, "Groups", id),
          ...(switches.etag === "on" && { version: etagOf(record) }),
        },
      }),
    };
  }

  function answerGroup(c: Context, group: Group, record: GroupRecord, status: 200 | 201 = 200): Response {
    const headers = {
      ...(switches.etag !== "off" && { etag: etagOf(record) }),
      ...(status === 201 && { location: locationOf(c, "Groups", group.id) }),
    };
    return answer(renderGroup(c, group, record), status, headers);
  }

  function renderUser({ id, email, name, active }: User): Json {
    const emails = [{ value: email, type: "work", primary: true }];
    return {
      schemas: [schemaOf.user],
      id,
      userName: email,
      displayName: name,
      emails,
      active,
      meta: { resourceType: "User" },
    };
  }

  /** The group of the path as writers find it, when `If-Match` allows the write. */
  function groupToChange(c: Context): { readonly group: Group; readonly record: GroupRecord } {
    const group = state.groups.get(c.req.param("id") ?? "");
    if (!group?.record) throw notFound("Group", c);
    const wanted = c.req.header("if-match");
    const isCurrent = wanted === undefined || wanted === "*" || wanted.split(/\s*,\s*/).includes(etagOf(group.record));
    if (switches.etag !== "off" && !isCurrent) throw new Refusal(412, "The resource has changed on the server.");
    return { group, record: group.record };
  }

  /** When the effect of this request begins to show to readers. */
  function visibleAt(c: Context): number {
    return now() + (marksOf(c).lagMs ?? Number(switches.lag));
  }

  // ---- requests and answers

  /** One page of a list; `startIndex` from 1, and below 1 it is 1 (RFC 7644 §3.4.2.4). */
  function answerPage<Row>(c: Context, rows: readonly Row[], render: (row: Row) => Json): Response {
    const startIndex = Math.max(1, wholeNumberOfQuery(c, "startIndex", 1));
    const count = Math.min(Math.max(0, wholeNumberOfQuery(c, "count", maxResults)), maxResults);
    const page = rows.slice(startIndex - 1, startIndex - 1 + count);
    return answer({
      schemas: [schemaOf.list],
      totalResults: rows.length,
      startIndex,
      itemsPerPage: page.length,
      Resources: page.map(render),
    });
  }

  function checkName(value: unknown, self?: Group): string {
    if (typeof value !== "string" || value === "") throw invalid("displayName is required.", "invalidValue");
    const isTaken = [...state.groups.values()].some((group) => group !== self && group.record?.name === value);
    if (switches.uniqueNames === "409" && isTaken) {
      throw new Refusal(409, "A group with this displayName exists.", "uniqueness");
    }
    return value;
  }

  /** The ids in a list of members that are ids of something. */
  function checkMembers(value: unknown): readonly string[] {
    const list = Array.isArray(value) ? value : [value];
    const ids = list.map((member: unknown) => {
      if (isObject(member) && typeof member["value"] === "string") return member["value"];
      throw invalid("A member needs a value.", "invalidValue");
    });
    const isKnown = (id: string) => state.users.has(id) || state.groups.get(id)?.record !== undefined;
    const unknown = ids.find((id) => !isKnown(id));
    if (unknown !== undefined && switches.unknownMember === "400") {
      throw invalid(`There is no resource ${unknown}.`, "invalidValue");
    }
    return ids.filter(isKnown);
  }

  /** One operation of a PATCH (RFC 7644 §3.5.2), as a new state of the group. */
  function patched(group: Group, record: GroupRecord, operation: unknown): GroupRecord {
    if (!isObject(operation)) throw invalid("An operation is an object.", "invalidSyntax");
    const op = String(operation["op"]).toLowerCase();
    const { path, value } = operation;
    if (path === undefined) {
      if (op === "remove") throw invalid("A removal needs a path.", "noTarget");
      if (!isObject(value)) throw invalid("Without a path, value is an object.", "invalidValue");
      return Object.entries(value).reduce(
        (result, [name, part]) => patched(group, result, { op, path: name, value: part }),
        record,
      );
    }
    if (typeof path !== "string") throw invalid("path is text.", "invalidPath");
    if (path.toLowerCase() === "displayname" && (op === "add" || op === "replace")) {
      return { ...record, name: checkName(value, group) };
    }
    const [, attribute = "", condition] = /^(\w+)(?:\[(.*)\])?$/s.exec(path) ?? [];
    if (attribute.toLowerCase() !== "members") throw invalid(`${path} is no path of a group.`, "invalidPath");
    const { members } = record;
    if (condition === undefined) {
      if (op === "add") return { ...record, members: [...new Set([...members, ...checkMembers(value)])] };
      if (op === "replace") return { ...record, members: [...new Set(checkMembers(value))] };
      // With a value it is no removal of the RFC, and the path alone says "all members" (§3.5.2.2).
      if (op === "remove") return { ...record, members: [] };
      throw invalid(`${op} is no operation.`, "invalidSyntax");
    }
    if (op !== "remove") throw invalid(`${op} of a value of members is not supported.`, "invalidPath");
    const matches = parseFilter(condition, ["value"], "invalidPath");
    const left = members.filter((id) => !matches((name) => (name === "value" ? [id] : [])));
    if (left.length === members.length && switches.absentRemove === "noTarget") {
      throw invalid("No member matches the path.", "noTarget");
    }
    return { ...record, members: left };
  }

  function authenticate(c: Context): void {
    const [, token] = /^bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "") ?? [];
    if (expired || (token !== tokens.full && token !== tokens.readOnly)) {
      throw new Refusal(401, "Authorization failure. The authorization header is invalid or missing.");
    }
    if (token === tokens.readOnly && c.req.method !== "GET") throw new Refusal(403, "The token may only read.");
  }

  const app = new Hono();
  type Handler = (c: Context) => Response | Promise<Response>;

  /** One path with its methods; any other method is 405. */
  function route(path: string, methods: Readonly<Record<string, Handler>>): void {
    app.all(path, async (c) => {
      try {
        authenticate(c);
        const handler = methods[c.req.method];
        if (!handler) throw new Refusal(405, `${c.req.method} is not allowed here.`);
        return await handler(c);
      } catch (error) {
        if (error instanceof Refusal) return refused(error);
        throw error;
      }
    });
  }

  route("/ServiceProviderConfig", {
    GET: () =>
      answer({
        schemas: [schemaOf.config],
        patch: { supported: true },
        bulk: { supported: false, maxOperations: 0, maxPayloadSize: 0 },
        filter: { supported: switches.filter !== "off", maxResults },
        changePassword: { supported: false },
        sort: { supported: false },
        etag: { supported: switches.etag !== "off" },
        authenticationSchemes: [{ type: "oauthbearertoken", name: "Bearer", description: "A bearer token" }],
      }),
  });

  route("/Groups", {
    GET: (c) => {
      if (c.req.query("filter") !== undefined) throw invalid("Groups cannot be filtered.", "invalidFilter");
      const rows = [...state.groups.values()].flatMap((group) => {
        const record = seen(group);
        return record ? [{ group, record }] : [];
      });
      return answerPage(c, rows, ({ group, record }) => renderGroup(c, group, record));
    },
    POST: async (c) => {
      const body = await readJson(c, schemaOf.group);
      const name = checkName(body["displayName"]);
      const members = body["members"] === undefined ? [] : checkMembers(body["members"]);
      const group = addGroup(name, [...new Set(members)], visibleAt(c));
      if (!group.record) throw new Error("scim sandbox: a group just made has a record.");
      return answerGroup(c, group, group.record, 201);
    },
  });

  route("/Groups/:id", {
    GET: (c) => {
      const group = state.groups.get(c.req.param("id") ?? "");
      const record = group && seen(group);
      if (!record) throw notFound("Group", c);
      return answerGroup(c, group, record);
    },
    PATCH: async (c) => {
      const { Operations: operations } = await readJson(c, schemaOf.patch);
      if (!Array.isArray(operations)) throw invalid("Operations is a list.", "invalidSyntax");
      const { group, record } = groupToChange(c);
      // All of them before anything is kept: one that is refused leaves nothing of the others.
      const { name, members } = operations.reduce<GroupRecord>((result, each) => patched(group, result, each), record);
      if (name !== record.name) write(group, { name, members }, visibleAt(c));
      else setMembers(group, () => members, visibleAt(c));
      if (switches.patchAnswer === "200" && group.record) return answerGroup(c, group, group.record);
      return new Response(null, { status: 204 });
    },
    DELETE: (c) => {
      const { group } = groupToChange(c);
      removeEverywhere(group.id, visibleAt(c));
      write(group, undefined, visibleAt(c));
      return new Response(null, { status: 204 });
    },
  });

  route("/Users", {
    GET: (c) => {
      const filter = c.req.query("filter");
      const users = [...state.users.values()];
      if (filter === undefined) return answerPage(c, users, renderUser);
      if (switches.filter === "off") throw invalid("Filters are not supported.", "invalidFilter");
      if (switches.filter !== "full" && /\s(and|or)\s/i.test(filter.replace(/"(?:[^"\\]|\\.)*"/g, '""'))) {
        throw invalid("A filter has one condition.", "invalidFilter");
      }
      const known =
        switches.filter === "userName" ? ["username"] : ["id", "username", "emails", "emails.value", "active"];
      const matches = parseFilter(filter, known, "invalidFilter");
      const valuesOf = (user: User) => (attribute: string) =>
        ({
          id: [user.id],
          username: [user.email],
          emails: [user.email],
          "emails.value": [user.email],
          active: [user.active],
        })[attribute] ?? [];
      return answerPage(
        c,
        users.filter((user) => matches(valuesOf(user))),
        renderUser,
      );
    },
  });

  route("/Users/:id", {
    GET: (c) => {
      const user = state.users.get(c.req.param("id") ?? "");
      if (!user) throw notFound("User", c);
      return answer(renderUser(user));
    },
  });

  app.all("*", () => refused(new Refusal(404, "There is no such endpoint.")));

  // ---- the seed, and the control surface

  function removeEverywhere(id: string, at: number): void {
    for (const group of state.groups.values())
      setMembers(group, (members) => members.filter((each) => each !== id), at);
  }

  function addUser({ id: seedId, email, name, status }: SeedPerson): string {
    const id = stableUuid("scim", "user", seedId);
    userOfSeed.set(seedId, id);
    state.users.set(id, { id, email, name: name ?? email, active: status !== "disabled" });
    return id;
  }

  function seedGroup({ name, members = [], managers = [], owners = [] }: SeedGroup): string {
    const ids = [...members, ...managers, ...owners].flatMap((person) => userOfSeed.get(person) ?? []);
    return addGroup(name, [...new Set(ids)], now()).id;
  }

  function deleteUser(id: string): void {
    state.users.delete(id);
    removeEverywhere(id, now());
  }

  const seeded = options.seed.people.filter(({ services }) => !services || services.includes("scim"));
  for (const person of seeded) addUser(person);
  for (const group of options.seed.groups) if (!group.services || group.services.includes("scim")) seedGroup(group);
  for (const { id, status } of seeded) if (status === "deleted") deleteUser(userOfSeed.get(id) ?? "");

  function groupOfControl(groupId: string): Group & { readonly record: GroupRecord } {
    const group = state.groups.get(groupId);
    if (!group?.record) throw new Error(`scim sandbox: there is no group ${groupId}.`);
    return group as Group & { readonly record: GroupRecord };
  }

  const control: EmulatorControl = {
    groups: () =>
      [...state.groups.values()].flatMap(({ id, record }) =>
        record
          ? [
              {
                id,
                name: record.name,
                // A group within the group is there in name only: its people are not.
                members: record.members.map((account) => ({
                  account,
                  role: "member",
                  direct: state.users.has(account),
                })),
                invited: [],
              },
            ]
          : [],
      ),
    accountOf: (personId) => userOfSeed.get(personId),
    addPerson: (person) => {
      const id = addUser(person);
      if (person.status === "deleted") deleteUser(id);
      return id;
    },
    addGroup: seedGroup,
    addMember: (groupId, account) => {
      const group = groupOfControl(groupId);
      // Also a group: that is how one gets into another.
      if (!state.users.has(account)) groupOfControl(account);
      setMembers(group, (members) => [...members, account], now());
    },
    removeMember: (groupId, account) =>
      setMembers(groupOfControl(groupId), (members) => members.filter((id) => id !== account), now()),
    renameGroup: (groupId, name) => {
      const group = groupOfControl(groupId);
      write(group, { ...group.record, name }, now());
    },
    deleteGroup: (groupId) => {
      const group = groupOfControl(groupId);
      removeEverywhere(groupId, now());
      write(group, undefined, now());
    },
    setPersonStatus: (account, status) => {
      const user = state.users.get(account);
      if (!user) throw new Error(`scim sandbox: there is no user ${account}.`);
      if (status === "deleted") deleteUser(account);
      else user.active = status !== "disabled";
    },
    answerInvitations: () => 0,
    expireTokens: () => {
      expired = true;
    },
  };

  return {
    service: "scim",
    app,
    control,
    credentials: { token: tokens.full },
    otherCredentials: { readOnly: { token: tokens.readOnly }, expired: { token: tokens.expired } },
    listKeys: ["Resources", "members"],
    rateLimitBody: () => ({ body: errorBody(new Refusal(429, "Too many requests.")), headers: {} }),
    serverErrorBody: (status) => errorBody(new Refusal(status as ContentfulStatusCode, "The server failed.")),
    saveState: () => structuredClone(state),
    restoreState: (saved) => {
      state = structuredClone(saved as State);
    },
  };
}

// ---- answers

function answer(body: Json, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/scim+json", ...headers },
  });
}

/** RFC 7644 §3.12; the status is text there. */
function errorBody({ status, detail, scimType }: Refusal): Json {
  return { schemas: [schemaOf.error], status: String(status), ...(scimType !== undefined && { scimType }), detail };
}

function refused(refusal: Refusal): Response {
  return answer(errorBody(refusal), refusal.status);
}

function invalid(detail: string, scimType: string): Refusal {
  return new Refusal(400, detail, scimType);
}

function notFound(kind: "Group" | "User", c: Context): Refusal {
  return new Refusal(404, `${kind} ${c.req.param("id")} not found.`);
}

function etagOf({ version }: GroupRecord): string {
  return `W/"${version}"`;
}

function locationOf(c: Context, endpoint: string, id: string): string {
  return `${new URL(c.req.url).origin}/${endpoint}/${id}`;
}

// ---- reading requests

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A JSON object of the schema, sent as SCIM or as plain JSON (RFC 7644 §3.1). */
async function readJson(c: Context, schema: string): Promise<Json> {
  if (!/^application\/(scim\+)?json\b/i.test(c.req.header("content-type") ?? "")) {
    throw new Refusal(415, "The body has to be application/scim+json.");
  }
  let body: unknown;
  try {
    body = JSON.parse(await c.req.text());
  } catch {
    throw invalid("The body is not JSON.", "invalidSyntax");
  }
  if (!isObject(body)) throw invalid("The body is not an object.", "invalidSyntax");
  const { schemas } = body;
  if (!Array.isArray(schemas) || !schemas.includes(schema)) throw invalid(`schemas lacks ${schema}.`, "invalidSyntax");
  return body;
}

/** Names of attributes, in lower case: their case does not count (RFC 7643 §2.1). */
function listOfQuery(c: Context, name: string): readonly string[] | undefined {
  return c.req
    .query(name)
    ?.toLowerCase()
    .split(/\s*,\s*/);
}

function wholeNumberOfQuery(c: Context, name: string, whenAbsent: number): number {
  const text = c.req.query(name);
  if (text === undefined) return whenAbsent;
  if (!/^-?\d{1,9}$/.test(text)) throw invalid(`${name} is a whole number.`, "invalidValue");
  return Number(text);
}

/** Whether something matches a filter, told what its attributes hold. */
type Match = (valuesOf: (attribute: string) => readonly (string | boolean)[]) => boolean;

/** `attribute eq value` with `and` and `or` (RFC 7644 §3.4.2.2); `and` binds closer. Other operators are refused. */
function parseFilter(text: string, known: readonly string[], scimType: "invalidFilter" | "invalidPath"): Match {
  const wrong = () => invalid(`The filter ${text} is not supported.`, scimType);
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[^\s"]+|"/g) ?? [];
  if (tokens.length % 4 !== 3) throw wrong();
  const alternatives: Match[][] = [[]];
  for (let at = 0; at < tokens.length; at += 4) {
    const [name = "", operator = "", literal = "", joint = ""] = tokens.slice(at, at + 4);
    const attribute = name.toLowerCase();
    if (!known.includes(attribute) || operator.toLowerCase() !== "eq") throw wrong();
    const wanted = readLiteral(literal);
    if (wanted === undefined || !/^(and|or)?$/i.test(joint)) throw wrong();
    alternatives.at(-1)?.push((valuesOf) => valuesOf(attribute).some((value) => isEqual(attribute, value, wanted)));
    if (joint.toLowerCase() === "or") alternatives.push([]);
  }
  return (valuesOf) => alternatives.some((all) => all.every((match) => match(valuesOf)));
}

function readLiteral(text: string): string | boolean | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" || typeof value === "boolean" ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The case of ids counts, that of names and addresses does not (RFC 7643 §8.7.1, `caseExact`). */
function isEqual(attribute: string, value: string | boolean, wanted: string | boolean): boolean {
  if (typeof value !== "string" || typeof wanted !== "string") return value === wanted;
  return attribute === "id" || attribute === "value" ? value === wanted : value.toLowerCase() === wanted.toLowerCase();
}
