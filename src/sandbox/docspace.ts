/**
 * ONLYOFFICE DocSpace, the groups part of its API 2.0, as the provider sheet describes server v3.7.2.
 *
 * The order inside a request is fixed (sheet §10, row 17): proxy → route and GUID 404 → authenticate → 429 → 401 →
 * scope 403 → portal 404/403/402 → validation 400 → permission 403 → existence 404. The manager call alone asks for the
 * permission last.
 *
 * Not here: rooms, folders and files (the sharing views know the routes and answer 404), webhooks and audit, `/portal`
 * (another service of the vendor), making and changing keys. Routes under /people that the sheet only names in passing
 * (search, status, invite) follow the recordings and do the least that makes sense.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Context, Hono } from "hono";
import { type Caller, createAccess, createRateLimits, type Rejection } from "./docspace/access.js";
import {
  createAnswers,
  displayNameOf,
  Failure,
  type Fields,
  invalid,
  jsonAnswer,
  notFound,
  parseFields,
  renderFailure,
  thrownBody,
  vendorDate,
} from "./docspace/answers.js";
import { type Account, createPortal, type Group, mayBeMember, type MemberSave, truthOf } from "./docspace/portal.js";
import { type Emulator, type EmulatorOptions, marksOf, readSwitches, stableUuid } from "./kit.js";

/** What is unknown about the vendor, by the rows of sheet §10. The first value is the default: v3.7.2 behaviour. */
export const docspaceSwitches = {
  /** 1: body of 401, of a missing scope and of a closed portal. */
  authBody: ["empty", "problem", "error"],
  /** 2: shape 2 inside the success envelope, or bare problem details. */
  validationBody: ["envelope", "plain"],
  /** 3: GUIDs in JSON and query: 8-4-4-4-12 only, or also 32 digits, braces and parentheses. */
  guidForms: ["strict", "lenient"],
  /** 4: whether GET /group/{id} lists the members when not asked. */
  includeMembersDefault: ["true", "false"],
  /** 5: PUT members with `members` null or absent. No body at all is a 400 with either. */
  nullMembers: ["500", 500, "200", 200],
  /** 6: milliseconds until any write shows to readers. */
  lag: [0, "number"],
  /** 7: rows of equal sort keys change their order from page to page. */
  pageDrift: ["off", "on"],
  /** 8: `Retry-After` and `X-RateLimit-Reset` never, on the daily window alone, or on every 429. */
  retryAfter: ["none", "daily", "always"],
  /** 8: requests per minute and key owner; a number also switches on the daily window and the limits at once. */
  rateLimit: ["off", "number"],
  /** 9: a write fails with 500 after so many ids; what was saved stays. */
  failAfter: ["off", "number"],
  /** 10: `400` refuses `""` on update, and names with 4-byte characters anywhere. */
  emptyName: ["accept", "400", 400],
  /** 11: `403` leaves both rows when control or the seed adds a second manager, and then cannot read the group. */
  doubleManager: ["off", "403", 403],
  /** 12: PUT manager by someone without the right saves the manager's row before its 403. */
  managerBefore403: ["off", "on"],
  /** 13: writes to built-in groups. */
  systemGroupWrites: ["accept", "403", 403],
  /** 14: look-up by e-mail; insensitive also to accents, as MySQL's collation is. */
  emailCase: ["insensitive", "sensitive"],
  /** 15: server version. */
  compat: ["3.7", 3.7, "3.6", 3.6, "3.1", 3.1],
  /** 16: the whole portal: not found, unpaid (402), restoring or IP-blocked (403), or its proxy's HTML. */
  portal: ["ok", "404", 404, "402", 402, "403", 403, "502html"],
  /** 18: milliseconds, in real time, between doing the work and answering. */
  delay: [0, "number"],
} as const;

/** A route of the vendor with its gate. */
interface Route {
  /** Scopes of which a key needs one; absent: any key will do. */
  readonly scopes?: readonly string[];
  /** Open to everybody. */
  readonly anonymous?: boolean;
  /** Still answers while the tariff is unpaid (sheet §5). */
  readonly unpaidToo?: boolean;
}

/** One request past the gate. */
interface Call {
  readonly context: Context;
  readonly caller: Caller;
  readonly query: Query;
  readonly fields: Fields;
  /** When the effect of a write shows to readers. */
  readonly visibleAt: number;
  /** A part of the path, decoded. */
  readonly part: (name: string) => string;
  /** A GUID of the path, in lower case. */
  readonly guid: (name: string) => string;
  readonly body: () => Promise<Readonly<Record<string, unknown>>>;
  /** The success envelope. Lists count their rows, one object counts 1. */
  readonly answer: (response: unknown, total?: number, status?: number) => Response;
}

/** Query values, by names in any case (sheet §1). */
interface Query {
  text(name: string): string | undefined;
  flag(name: string): boolean | undefined;
  guid(name: string): string | undefined;
  /** One of an enumeration, by name or number. */
  choice(name: string, values: Readonly<Record<string, number>>): number | undefined;
  choices(name: string, values: Readonly<Record<string, number>>): readonly number[];
  whole(name: string, fallback: number, least: number, most: number): number;
}

const groupRead: Route = { scopes: ["accounts:read", "*:read", "*:write"] };
const groupWrite: Route = { scopes: ["accounts:write", "*:write"] };
const peopleRead: Route = { scopes: ["accounts:read", "accounts:write", "*:read", "*:write"] };
const selfRead: Route = { scopes: ["accounts.self:read", "accounts.self:write", "*:read", "*:write"] };

const guidText = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
const strictGuid = new RegExp(`^${guidText}$`);
const lenientGuid = new RegExp(`^(?:\\{${guidText}\\}|\\(${guidText}\\)|${guidText}|[0-9a-fA-F]{32})$`);

const sortOrders = { ascending: 0, descending: 1 };
const statuses = { active: 1, terminated: 2, pending: 4, default: 5, all: 7 };
const activations = { notactivated: 0, activated: 1, pending: 2 };
const employeeTypes = { all: 0, roomadmin: 1, guest: 2, docspaceadmin: 3, user: 4 };
const paymentKinds = { paid: 0, free: 1 };
const areas = { all: 0, people: 1, guests: 2 };

const typeNumbers = { owner: 3, admin: 3, roomAdmin: 1, user: 4, guest: 2 } as const;
const typeRanks = { owner: 0, admin: 1, roomAdmin: 2, user: 3, guest: 4 } as const;

const fourBytePattern = /[\u{10000}-\u{10FFFF}]/u;
const emailPattern = /^[^\s@]+@[^\s@]+\.[^\s@]+$/u;

/** Sorts by a key. Equal keys keep their order, or are turned round by so many places. */
function sortRows<T>(rows: readonly T[], keyOf: (row: T) => string | number, descending: boolean, turn: number): T[] {
  const keyed = rows.map((row) => ({ row, key: keyOf(row) }));
  const sign = descending ? -1 : 1;
  keyed.sort((left, right) => (left.key < right.key ? -sign : left.key > right.key ? sign : 0));
  if (turn === 0) return keyed.map(({ row }) => row);
  const turned: T[] = [];
  for (let start = 0, end = 0; start < keyed.length; start = end) {
    while (end < keyed.length && keyed[end]?.key === keyed[start]?.key) end++;
    const equal = keyed.slice(start, end).map(({ row }) => row);
    const places = turn % equal.length;
    turned.push(...equal.slice(places), ...equal.slice(0, places));
  }
  return turned;
}

/** Creates the emulator. `otherCredentials`: see `docspace/access.ts` (holders and owner's keys, by name). */
export function createDocspaceEmulator(options: EmulatorOptions): Emulator {
  const now = options.now ?? Date.now;
  const switches = readSwitches("docspace", docspaceSwitches, options.switches);
  const is = (name: keyof typeof docspaceSwitches, value: string): boolean => String(switches[name]) === value;
  const numberOf = (name: keyof typeof docspaceSwitches): number | undefined => {
    const value = switches[name];
    return typeof value === "number" ? value : undefined;
  };
  const isOld = !is("compat", "3.7");
  const delayMs = numberOf("delay") ?? 0;
  const style = { authBody: String(switches.authBody), validationBody: String(switches.validationBody) };

  const portal = createPortal({ seed: options.seed, now, doubleManagers: is("doubleManager", "403") });
  const access = createAccess(portal, now);
  const answers = createAnswers(portal, is("doubleManager", "403"));
  const admit = createRateLimits(numberOf("rateLimit"), now);
  const app = new Hono();

  // Reading what was sent

  function parseGuid(text: string): string | undefined {
    const pattern = is("guidForms", "lenient") ? lenientGuid : strictGuid;
    if (!pattern.test(text)) return undefined;
    const hex = text.toLowerCase().replace(/[^0-9a-f]/g, "");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  function createQuery(parameters: URLSearchParams): Query {
    const values = new Map<string, string[]>();
    for (const [name, value] of parameters) {
      const known = values.get(name.toLowerCase());
      if (known) known.push(value);
      else values.set(name.toLowerCase(), [value]);
    }
    const text = (name: string): string | undefined => {
      const value = values.get(name.toLowerCase())?.[0];
      return value === "" ? undefined : value;
    };
    const refuse = (name: string, value: string) => invalid(name, `The value '${value}' is not valid.`);
    const choose = (name: string, value: string, table: Readonly<Record<string, number>>): number => {
      const byName = table[value.trim().toLowerCase()];
      if (byName !== undefined) return byName;
      if (/^\d+$/.test(value.trim()) && Object.values(table).includes(Number(value))) return Number(value);
      throw refuse(name, value);
    };
    return {
      text,
      flag: (name) => {
        const value = text(name);
        if (value === undefined) return undefined;
        if (/^true$/i.test(value)) return true;
        if (/^false$/i.test(value)) return false;
        throw refuse(name, value);
      },
      guid: (name) => {
        const value = text(name);
        if (value === undefined) return undefined;
        const guid = parseGuid(value);
        if (guid === undefined) throw refuse(name, value);
        return guid;
      },
      choice: (name, table) => {
        const value = text(name);
        return value === undefined ? undefined : choose(name, value, table);
      },
      choices: (name, table) =>
        (values.get(name.toLowerCase()) ?? [])
          .flatMap((value) => value.split(","))
          .filter((value) => value !== "")
          .map((value) => choose(name, value, table)),
      whole: (name, fallback, least, most) => {
        const value = text(name);
        if (value === undefined) return fallback;
        if (!/^-?\d+$/.test(value)) throw refuse(name, value);
        const number = Number(value);
        if (number < least || number > most) {
          throw invalid(name, `The field ${name} must be between ${least} and ${most}.`);
        }
        return number;
      },
    };
  }

  function readPage(query: Query): { count: number; startIndex: number } {
    const startIndex = query.whole("startIndex", 0, 0, 2 ** 31 - 1);
    // Up to 3.1.1 the page could be 1000 long and anything else was cut down without a word (sheet §4).
    if (is("compat", "3.1")) {
      const asked = query.whole("count", 100, -(2 ** 31), 2 ** 31 - 1);
      return { count: Math.min(Math.max(asked, 1), 1000), startIndex };
    }
    return { count: query.whole("count", 100, 1, 100), startIndex };
  }

  async function readBody(context: Context): Promise<Readonly<Record<string, unknown>>> {
    const text = await context.req.text();
    if (text === "") throw invalid("", "A non-empty request body is required.");
    if (!/\bjson\b/i.test(context.req.header("content-type") ?? "")) {
      throw new Failure(415, "gate", "Unsupported Media Type");
    }
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw invalid("$", "The JSON value could not be read.");
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw invalid("$", "The JSON value could not be converted to the request.");
    }
    return value as Record<string, unknown>;
  }

  function readGuid(property: string, value: unknown): string | undefined {
    if (value === undefined || value === null) return undefined;
    const guid = typeof value === "string" ? parseGuid(value) : undefined;
    if (guid === undefined) throw invalid(`$.${property}`, "The JSON value could not be converted to System.Guid.");
    return guid;
  }

  /** One malformed id refuses the whole request (sheet §1). */
  function readGuids(property: string, value: unknown): readonly string[] | undefined {
    if (value === undefined || value === null) return undefined;
    if (!Array.isArray(value)) throw invalid(`$.${property}`, "The JSON value could not be converted to a list.");
    return value.map((item, index) => {
      const guid = readGuid(`${property}[${index}]`, item);
      if (guid === undefined) throw invalid(`$.${property}[${index}]`, "The JSON value could not be converted.");
      return guid;
    });
  }

  function readName(value: unknown): string | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "string") throw invalid("$.groupName", "The JSON value could not be converted to a text.");
    if (value.length > 128) throw invalid("GroupName", "The field GroupName must have a length of at most 128.");
    if (is("emptyName", "400") && fourBytePattern.test(value))
      throw invalid("GroupName", "The GroupName is not valid.");
    return value;
  }

  // Rights

  const isAdmin = ({ account }: Caller): boolean => account.type === "owner" || account.type === "admin";
  const isReader = (caller: Caller): boolean => isAdmin(caller) || caller.account.type === "roomAdmin";
  const accessDenied = () => new Failure(403, "thrown", "Access denied");

  function requireAdmin(caller: Caller): void {
    if (!isAdmin(caller)) throw accessDenied();
  }

  function requireReader(caller: Caller): void {
    if (!isReader(caller)) throw accessDenied();
  }

  // The gate

  function tooMany(rejection: Rejection): Response {
    const headers = new Headers({ "X-RateLimit-Limit": String(rejection.limit), "X-RateLimit-Remaining": "0" });
    if (is("retryAfter", "always") || (is("retryAfter", "daily") && rejection.daily)) {
      headers.set("Retry-After", String(rejection.retryAfterSeconds));
      headers.set("X-RateLimit-Reset", String(Math.ceil(now() / 1000) + rejection.retryAfterSeconds));
    }
    return new Response(null, { status: 429, headers });
  }

  function checkGate(route: Route, caller: Caller | undefined): void {
    if (!caller && !route.anonymous) throw new Failure(401, "gate", "Unauthorized");
    const scopes = caller?.key?.scopes ?? [];
    const isFull = scopes.length === 0 || scopes.includes("*");
    if (!isFull && route.scopes && !route.scopes.some((scope) => scopes.includes(scope))) {
      throw new Failure(403, "gate", "Forbidden");
    }
    if (is("portal", "404")) throw new Failure(404, "gate", "Portal not found");
    if (is("portal", "403")) throw new Failure(403, "gate", "Portal is being restored");
    if (is("portal", "402") && !route.unpaidToo) throw new Failure(402, "gate", "Payment required");
  }

  function createCall(context: Context, caller: Caller): Call {
    const url = new URL(context.req.url);
    const href = `${url.pathname}${url.search}`;
    const query = createQuery(url.searchParams);
    const lagMs = marksOf(context).lagMs ?? numberOf("lag") ?? 0;
    const part = (name: string): string => context.req.param(name) ?? "";
    const fields = parseFields(query.text("fields"));
    return {
      context,
      caller,
      query,
      fields,
      visibleAt: now() + lagMs,
      part,
      guid: (name) => part(name).toLowerCase(),
      body: () => readBody(context),
      answer: (response, total, status = 200) =>
        jsonAnswer(status, {
          ...(response === undefined ? {} : { response }),
          count: response === undefined ? 0 : Array.isArray(response) ? response.length : 1,
          ...(total === undefined ? {} : { total }),
          links: [{ href, action: context.req.method }],
          status: 0,
          statusCode: status,
        }),
    };
  }

  const paths = new Set<string>();

  function on(method: string, path: string, route: Route, handler: (call: Call) => Response | Promise<Response>): void {
    paths.add(path);
    app.on(method, path, async (context) => {
      const url = new URL(context.req.url);
      const caller = access.authenticate(context.req.header("authorization"), context.req.header("cookie"));
      const admitted = admit(caller?.account.id ?? "address", method);
      if (typeof admitted !== "function") return tooMany(admitted);
      try {
        checkGate(route, caller);
        // An anonymous route asks nothing of its caller, so the stand-in is never looked at.
        const response = await handler(createCall(context, caller ?? { account: nobody }));
        if (delayMs > 0) await sleep(delayMs);
        return response;
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return renderFailure(error, { ...style, href: `${url.pathname}${url.search}`, method });
      } finally {
        admitted();
      }
    });
  }

  const nobody: Account = {
    id: "",
    email: "",
    firstName: "",
    lastName: "",
    userName: "",
    status: 2,
    type: "guest",
    removed: true,
    registeredAt: 0,
    visibleFrom: 0,
  };

  app.use("*", async (_context, next) => {
    if (!is("portal", "502html")) return next();
    const page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
    return new Response(page, { status: 502, headers: { "content-type": "text/html" } });
  });

  // Groups: reading

  /** A group that a reader of this moment finds. */
  function readableGroup(id: string): Group {
    const group = portal.group(id);
    if (!group || !portal.viewOf(group).exists) throw notFound("group");
    return group;
  }

  /** A group that the node which writes finds: the truth. */
  function writableGroup(id: string): Group {
    const group = portal.group(id);
    if (!group?.truth.exists) throw notFound("group");
    if (group.system && is("systemGroupWrites", "403")) {
      throw new Failure(403, "thrown", "The operation is not valid for a system group");
    }
    return group;
  }

  /** By how many places rows of equal keys are turned on this page: without a tie-breaker their order may change. */
  const turnOf = (page: { count: number; startIndex: number }): number =>
    is("pageDrift", "on") ? Math.floor(page.startIndex / page.count) : 0;

  on("GET", "/api/2.0/group", groupRead, ({ caller, query, fields, answer }) => {
    const page = readPage(query);
    const userId = query.guid("userId");
    const asManager = query.flag("manager") ?? false;
    const text = query.text("filterValue")?.trim().toLowerCase() ?? "";
    const descending = query.choice("sortOrder", sortOrders) === 1;
    const sortBy = query.text("sortBy")?.toLowerCase();
    requireReader(caller);

    const rows: Group[] = [];
    for (const group of portal.groups()) {
      if (group.system) continue;
      const view = portal.viewOf(group);
      if (!view.exists || !view.name.toLowerCase().includes(text)) continue;
      if (userId !== undefined) {
        const isIn = asManager ? view.managers.has(userId) : view.members.has(userId) || view.managers.has(userId);
        if (!isIn) continue;
      }
      rows.push(group);
    }
    const keyOf = (group: Group): string | number => {
      const view = portal.viewOf(group);
      if (sortBy === "memberscount") return answers.membersCount(group, view);
      if (sortBy !== "manager") return view.name.toLowerCase();
      const manager = answers.managerOf(view);
      return manager ? displayNameOf(manager).toLowerCase() : "";
    };
    const sorted = sortRows(rows, keyOf, descending, turnOf(page));
    const shown = sorted.slice(page.startIndex, page.startIndex + page.count);
    return answer(
      shown.map((group) => answers.group(group, portal.viewOf, false, fields)),
      rows.length,
    );
  });

  on("GET", `/api/2.0/group/:id{${guidText}}`, groupRead, ({ caller, query, fields, guid, answer }) => {
    const withMembers = query.flag("includeMembers") ?? is("includeMembersDefault", "true");
    requireReader(caller);
    return answer(answers.group(readableGroup(guid("id")), portal.viewOf, withMembers, fields));
  });

  on("GET", `/api/2.0/group/user/:userid{${guidText}}`, groupRead, ({ caller, fields, guid, answer }) => {
    requireReader(caller);
    const found = portal.groupsOf(guid("userid"), portal.viewOf);
    const sorted = sortRows(found, (group) => portal.viewOf(group).name, false, 0);
    return answer(sorted.map((group) => answers.groupSummary(group, portal.viewOf, fields)));
  });

  for (const place of ["room", "folder", "file"]) {
    on("GET", `/api/2.0/group/${place}/:id{[0-9]+}`, groupRead, ({ query }) => {
      readPage(query);
      query.flag("excludeShared");
      // The sandbox has no rooms: whoever asks, there is nothing under that number.
      throw notFound(place);
    });
  }

  // Groups: writing

  const validIds = (ids: readonly string[]): string[] => ids.filter((id) => mayBeMember(portal.account(id)));

  const savesOf = (kind: MemberSave["kind"], group: Group, ids: readonly string[]): MemberSave[] =>
    ids.map((accountId) => ({ kind, group, accountId }));

  /** Saves one id after the other. With `failAfter` the rest is lost and what was saved stays. */
  function applySaves(call: Call, saves: readonly MemberSave[]): void {
    const limit = numberOf("failAfter") ?? Number.POSITIVE_INFINITY;
    portal.applySaves(saves.slice(0, limit), call.visibleAt);
    if (saves.length > limit) throw new Failure(500, "thrown", "An error occurred while saving the entity changes.");
  }

  /** Every write but delete answers with the group and all its members, unpaged, as the writing node sees them. */
  const answerGroup = (call: Call, group: Group): Response =>
    call.answer(answers.group(group, truthOf, true, call.fields));

  on("POST", "/api/2.0/group", groupWrite, async (call) => {
    const body = await call.body();
    const name = readName(body.groupName);
    const managerId = readGuid("groupManager", body.groupManager);
    const memberIds = readGuids("members", body.members) ?? [];
    if (name === undefined || name.trim() === "") throw invalid("GroupName", "The GroupName field is required.");
    const ids = managerId === undefined ? memberIds : [managerId, ...memberIds];
    const valid = validIds(ids);
    // Since 3.7 a single bad id refuses the whole; before, it was passed over (sheet §8).
    if (!isOld && valid.length < ids.length) {
      throw new Failure(400, "thrown", "The member or the manager is not valid");
    }
    requireAdmin(call.caller);
    const group = portal.createGroup(name, call.visibleAt);
    if (managerId !== undefined && valid.includes(managerId)) portal.setManager(group, managerId, call.visibleAt);
    applySaves(call, savesOf("add", group, validIds(memberIds)));
    return answerGroup(call, group);
  });

  on("PUT", `/api/2.0/group/:id{${guidText}}`, groupWrite, async (call) => {
    const body = await call.body();
    const name = readName(body.groupName);
    const managerId = readGuid("groupManager", body.groupManager);
    const toAdd = readGuids("membersToAdd", body.membersToAdd) ?? [];
    const toRemove = readGuids("membersToRemove", body.membersToRemove) ?? [];
    if (name === "" && is("emptyName", "400")) throw invalid("GroupName", "The GroupName field is required.");
    requireAdmin(call.caller);
    const group = writableGroup(call.guid("id"));
    if (name !== undefined) portal.rename(group, name, call.visibleAt);
    if (managerId !== undefined && mayBeMember(portal.account(managerId))) {
      portal.setManager(group, managerId, call.visibleAt);
    }
    const known = toRemove.filter((id) => portal.account(id));
    applySaves(call, [...savesOf("add", group, validIds(toAdd)), ...savesOf("remove", group, known)]);
    return answerGroup(call, group);
  });

  on("DELETE", `/api/2.0/group/:id{${guidText}}`, groupWrite, (call) => {
    requireAdmin(call.caller);
    portal.deleteGroup(writableGroup(call.guid("id")), call.visibleAt);
    return new Response(null, { status: 204 });
  });

  on("PUT", `/api/2.0/group/:id{${guidText}}/members`, groupWrite, async (call) => {
    const ids = readGuids("members", (await call.body()).members);
    requireAdmin(call.caller);
    const group = writableGroup(call.guid("id"));
    if (ids === undefined && is("nullMembers", "500")) {
      throw new Failure(500, "thrown", "Value cannot be null. (Parameter 'source')");
    }
    applySaves(call, savesOf("add", group, validIds(ids ?? [])));
    return answerGroup(call, group);
  });

  on("DELETE", `/api/2.0/group/:id{${guidText}}/members`, groupWrite, async (call) => {
    const ids = readGuids("members", (await call.body()).members);
    requireAdmin(call.caller);
    const group = writableGroup(call.guid("id"));
    if (ids === undefined && isOld) throw new Failure(500, "thrown", "Value cannot be null. (Parameter 'source')");
    const known = (ids ?? []).filter((id) => portal.account(id));
    applySaves(call, savesOf("remove", group, known));
    return answerGroup(call, group);
  });

  on("POST", `/api/2.0/group/:id{${guidText}}/members`, groupWrite, async (call) => {
    const ids = readGuids("members", (await call.body()).members);
    if (ids === undefined) throw invalid("Members", "The Members field is required.");
    const valid = validIds(ids);
    if (!isOld && valid.length === 0) throw new Failure(400, "thrown", "There is no valid member in the list");
    requireAdmin(call.caller);
    const group = writableGroup(call.guid("id"));
    const present = answers.visibleMembers(group, group.truth).map((account) => account.id);
    // First out, then in: in between the group is empty, and the manager's role does not come back.
    applySaves(call, [...savesOf("remove", group, present), ...savesOf("add", group, valid)]);
    return answerGroup(call, group);
  });

  on("PUT", `/api/2.0/group/:id{${guidText}}/manager`, groupWrite, async (call) => {
    const userId = readGuid("userId", (await call.body()).userId);
    if (userId === undefined) throw invalid("UserId", "The UserId field is required.");
    const group = writableGroup(call.guid("id"));
    const account = portal.account(userId);
    if (!account || account.removed) throw notFound("user");
    if (!isAdmin(call.caller)) {
      if (is("managerBefore403", "on") && mayBeMember(account)) portal.addManagerRow(group, userId, call.visibleAt);
      throw accessDenied();
    }
    if (mayBeMember(account)) portal.setManager(group, userId, call.visibleAt);
    return answerGroup(call, group);
  });

  on("PUT", `/api/2.0/group/:fromId{${guidText}}/members/:toId{${guidText}}`, groupWrite, (call) => {
    requireAdmin(call.caller);
    const from = writableGroup(call.guid("fromId"));
    const to = writableGroup(call.guid("toId"));
    // Person by person, so that a move onto itself takes everybody out (vendor bug 81710). Before 3.7 it only copied.
    const saves = answers.visibleMembers(from, from.truth).flatMap(({ id }) => {
      const copy = savesOf("add", to, [id]);
      return isOld ? copy : [...copy, ...savesOf("remove", from, [id])];
    });
    applySaves(call, saves);
    return answerGroup(call, to);
  });

  // People

  /** Sort keys of people (sheet §6). Only the e-mail is unique. */
  function personKey(sortBy: string | undefined): (account: Account) => string | number {
    if (sortBy === undefined) return (account) => `${account.status} ${account.firstName.toLowerCase()}`;
    if (sortBy === "lastname") return (account) => account.lastName.toLowerCase();
    if (sortBy === "displayname") return (account) => displayNameOf(account).toLowerCase();
    if (sortBy === "type") return (account) => typeRanks[account.type];
    if (sortBy === "email") return (account) => account.email.toLowerCase();
    if (sortBy === "usedspace") return () => 0;
    if (sortBy === "createdby") return (account) => account.inviterId ?? "";
    if (sortBy === "registrationdate") return (account) => account.registeredAt;
    if (sortBy !== "department") return (account) => account.firstName.toLowerCase();
    return (account) =>
      portal
        .groupsOf(account.id, portal.viewOf)
        .map((group) => portal.viewOf(group).name)
        .join(", ");
  }

  /** Substrings of the names and the e-mail: any of those between separators, else all of those between spaces. */
  function createTextFilter(text: string | undefined, separator: string | undefined): (account: Account) => boolean {
    if (text === undefined || text.trim() === "") return () => true;
    const terms = (separator === undefined ? text.trim().split(/\s+/u) : text.split(separator))
      .map((term) => term.trim().toLowerCase())
      .filter((term) => term !== "");
    return (account) => {
      const names = [account.firstName, account.lastName, account.email].map((name) => name.toLowerCase());
      const holds = (term: string) => names.some((name) => name.includes(term));
      return separator === undefined ? terms.every(holds) : terms.some(holds);
    };
  }

  /** Whom the caller may see: a RoomAdmin no disabled people, and of the guests only those invited by him. */
  function isViewable({ account: viewer }: Caller, account: Account): boolean {
    if (viewer.type === "owner" || viewer.type === "admin" || viewer.id === account.id) return true;
    if (viewer.type !== "roomAdmin" || account.status === 2) return false;
    return account.type !== "guest" || account.inviterId === viewer.id;
  }

  /** Long lists are filtered and sorted once, and paged from here until something changes. */
  let listCache = { version: -1, lists: new Map<string, readonly Account[]>() };

  function cachedList(key: string, build: () => readonly Account[]): readonly Account[] {
    const version = portal.version();
    if (listCache.version !== version || listCache.lists.size > 100) listCache = { version, lists: new Map() };
    const known = listCache.lists.get(key);
    if (known) return known;
    const built = build();
    listCache.lists.set(key, built);
    return built;
  }

  function listPeople(call: Call, fixedStatus: number | undefined, present: typeof answers.person): Response {
    const { query, caller } = call;
    const page = readPage(query);
    const status = fixedStatus ?? query.choice("employeeStatus", statuses);
    const sortBy = query.text("sortBy")?.toLowerCase();
    const filter = {
      viewer: caller.account.id,
      type: caller.account.type,
      status,
      groupId: query.guid("groupId"),
      excludeGroup: query.flag("excludeGroup") ?? false,
      withoutGroup: query.flag("withoutGroup") ?? false,
      activation: query.choice("activationStatus", activations),
      types: [...query.choices("employeeType", employeeTypes), ...query.choices("employeeTypes", employeeTypes)],
      administrators: query.flag("isAdministrator") ?? false,
      payments: query.choice("payments", paymentKinds),
      login: query.text("accountLoginType"),
      area: query.choice("area", areas) ?? 0,
      inviterId: query.guid("inviterId"),
      invitedByMe: query.flag("invitedByMe") ?? false,
      text: query.text("filterValue"),
      separator: query.text("filterSeparator"),
      sortBy,
      descending: query.choice("sortOrder", sortOrders) === 1,
      turn: sortBy === "email" ? 0 : turnOf(page),
    };
    requireReader(caller);

    const list = cachedList(JSON.stringify(filter), () => {
      const group = filter.groupId === undefined ? undefined : portal.group(filter.groupId);
      const view = group && portal.viewOf(group);
      const isIn = (account: Account): boolean =>
        group !== undefined && view?.exists === true && portal.isMember(group, view, account);
      // 1 and 5 are both Active here; 7 and nothing are everybody (sheet §6).
      const wantedStatus = status === 5 ? 1 : status === 7 ? undefined : status;
      const matchesText = createTextFilter(filter.text, filter.separator);
      const wantsAnyType = filter.types.length === 0 || filter.types.includes(0);
      const rows: Account[] = [];
      for (const account of portal.accounts()) {
        if (!portal.isVisible(account) || !isViewable(caller, account)) continue;
        if (wantedStatus !== undefined && account.status !== wantedStatus) continue;
        if (filter.groupId !== undefined && isIn(account) === filter.excludeGroup) continue;
        if (filter.withoutGroup && portal.groupsOf(account.id, portal.viewOf).length > 0) continue;
        if (filter.activation !== undefined && filter.activation !== (account.status === 4 ? 2 : 1)) continue;
        if (!wantsAnyType && !filter.types.includes(typeNumbers[account.type])) continue;
        if (filter.administrators && account.type !== "owner" && account.type !== "admin") continue;
        const isFree = account.type === "user" || account.type === "guest";
        if (filter.payments !== undefined && isFree !== (filter.payments === 1)) continue;
        // Everybody here logs in with a password: neither LDAP (0) nor SSO (1).
        if (filter.login === "0" || filter.login === "1") continue;
        if (filter.area === 1 && account.type === "guest") continue;
        if (filter.area === 2 && account.type !== "guest") continue;
        if (filter.inviterId !== undefined && account.inviterId !== filter.inviterId) continue;
        if (filter.invitedByMe && account.inviterId !== caller.account.id) continue;
        if (!matchesText(account)) continue;
        rows.push(account);
      }
      return sortRows(rows, personKey(sortBy), filter.descending, filter.turn);
    });
    const shown = list.slice(page.startIndex, page.startIndex + page.count);
    return call.answer(
      shown.map((account) => present(account, portal.viewOf, call.fields)),
      list.length,
    );
  }

  /** The unpaged searches: substrings, of active people unless a status is asked for. */
  function searchPeople(call: Call, text: string | undefined, status: number): Response {
    requireReader(call.caller);
    const matchesText = createTextFilter(text, undefined);
    const found = [...portal.accounts()].filter(
      (account) =>
        portal.isVisible(account) &&
        isViewable(call.caller, account) &&
        (status === 7 || account.status === status) &&
        matchesText(account),
    );
    return call.answer(found.map((account) => answers.person(account, portal.viewOf, call.fields)));
  }

  on("GET", "/api/2.0/people", peopleRead, (call) => listPeople(call, 1, answers.person));

  on("GET", "/api/2.0/people/filter", { ...peopleRead, unpaidToo: true }, (call) =>
    listPeople(call, undefined, answers.person),
  );

  on("GET", "/api/2.0/people/simple/filter", peopleRead, (call) => listPeople(call, undefined, answers.personLight));

  on("GET", "/api/2.0/people/status/:status{[0-9A-Za-z]+}", peopleRead, (call) =>
    listPeople(call, readStatus(call), answers.person),
  );

  on("GET", "/api/2.0/people/status/:status{[0-9A-Za-z]+}/search", peopleRead, (call) =>
    searchPeople(call, call.query.text("query"), readStatus(call)),
  );

  on("GET", "/api/2.0/people/search", peopleRead, (call) => searchPeople(call, call.query.text("query"), 1));

  on("GET", "/api/2.0/people/:search{@search|%40search}/:query", peopleRead, (call) =>
    searchPeople(call, call.part("query"), 1),
  );

  function readStatus(call: Call): number {
    const given = createQuery(new URLSearchParams({ status: call.part("status") }));
    return given.choice("status", statuses) ?? 7;
  }

  on("GET", "/api/2.0/people/email", peopleRead, (call) => {
    const email = call.query.text("email")?.trim() ?? "";
    if (email === "" || email.length > 255 || !emailPattern.test(email)) {
      throw invalid("Email", "The Email field is not a valid e-mail address.");
    }
    const account = portal.accountByEmail(email, is("emailCase", "sensitive"));
    if (!account || !portal.isVisible(account)) throw notFound("user");
    // The right depends on who is looked at, so existence comes first here.
    if (!isViewable(call.caller, account)) throw accessDenied();
    return call.answer(answers.person(account, portal.viewOf, call.fields));
  });

  on("GET", "/api/2.0/people/exists", peopleRead, () => {
    // Serves invite links only: a key gets nothing here (sheet §2).
    throw accessDenied();
  });

  on("POST", "/api/2.0/people/invite", groupWrite, async (call) => {
    const { invitations } = await call.body();
    if (!Array.isArray(invitations)) throw invalid("Invitations", "The Invitations field is required.");
    const wanted = invitations.map((invitation: unknown) => {
      const { email, type } = (invitation ?? {}) as { email?: unknown; type?: unknown };
      if (typeof email !== "string" || email.length > 255 || !emailPattern.test(email)) {
        throw invalid("Email", "The Email field is not a valid e-mail address.");
      }
      return { email, type: type === 2 || type === "Guest" ? ("guest" as const) : ("user" as const) };
    });
    requireReader(call.caller);
    const people = wanted.map(
      ({ email, type }) =>
        portal.accountByEmail(email, false) ??
        portal.register({
          id: stableUuid("docspace", "invited", email),
          email,
          name: undefined,
          type,
          status: 4,
          registeredAt: now(),
          inviterId: call.caller.account.id,
          visibleAt: call.visibleAt,
        }),
    );
    return call.answer(people.map((account) => answers.personLight(account, truthOf, call.fields)));
  });

  on("PUT", "/api/2.0/people/invite", groupWrite, async (call) => {
    const body = await call.body();
    const ids = readGuids("userIds", body.userIds) ?? [];
    requireReader(call.caller);
    const pending = ids.map((id) => portal.account(id)).filter((account) => account?.status === 4);
    return call.answer(pending.map((account) => answers.personLight(account ?? nobody, truthOf, call.fields)));
  });

  on("GET", "/api/2.0/people/:self{@self|%40self}", selfRead, (call) =>
    call.answer(answers.person(call.caller.account, portal.viewOf, call.fields)),
  );

  on("GET", "/api/2.0/people/:userid", { ...peopleRead, unpaidToo: true }, (call) => {
    const userid = call.part("userid");
    const account = strictGuid.test(userid) ? portal.account(userid.toLowerCase()) : portal.accountByUserName(userid);
    if (account?.id !== call.caller.account.id) requireReader(call.caller);
    if (!account || !portal.isVisible(account)) throw notFound("user");
    if (!isViewable(call.caller, account)) throw accessDenied();
    return call.answer(answers.person(account, portal.viewOf, call.fields));
  });

  on("PUT", `/api/2.0/people/:userid{${guidText}}`, groupWrite, async (call) => {
    const body = await call.body();
    const wanted = readGuids("department", body.department);
    const account = portal.account(call.guid("userid"));
    const isSelf = account?.id === call.caller.account.id;
    if (!isSelf) requireAdmin(call.caller);
    if (!account || account.removed) throw notFound("user");
    // The branch that rewrites one's own list of groups, for those who may edit groups (sheet §3, "another writer").
    if (wanted && isSelf && isAdmin(call.caller)) {
      const groups = new Set<Group>();
      for (const id of wanted) {
        const group = portal.group(id);
        if (group?.truth.exists && !group.system) groups.add(group);
      }
      const left = portal.groupsOf(account.id, truthOf).filter((group) => !groups.has(group));
      const saves = left.flatMap((group) => savesOf("remove", group, [account.id]));
      for (const group of groups) saves.push(...savesOf("add", group, [account.id]));
      applySaves(call, saves);
    }
    return call.answer(answers.person(account, truthOf, call.fields));
  });

  // Keys and log-in

  const keyDto = (key: NonNullable<Caller["key"]>, owner: Account) => ({
    id: key.id,
    name: key.name,
    keyPostfix: key.secret.slice(-4),
    permissions: key.scopes,
    createBy: answers.personLight(owner, portal.viewOf, undefined),
    ...(key.expiresAt === undefined ? {} : { expiresAt: vendorDate(key.expiresAt) }),
    isActive: key.isActive,
  });

  on("GET", "/api/2.0/keys/:self{@self|%40self}", {}, (call) => {
    // A log-in token is no key, so there is none to show.
    if (!call.caller.key) throw notFound("key");
    return call.answer(keyDto(call.caller.key, call.caller.account));
  });

  on("GET", "/api/2.0/keys", {}, ({ caller, answer }) =>
    answer(access.keysOf(caller.account.id).map((key) => keyDto(key, caller.account))),
  );

  on("GET", "/api/2.0/keys/permissions", {}, ({ answer }) =>
    answer(["*", "*:read", "*:write", "accounts:read", "accounts:write", "accounts.self:read", "accounts.self:write"]),
  );

  on("POST", "/api/2.0/authentication", { anonymous: true }, async (call) => {
    const body = await call.body();
    const { userName, password } = body;
    const session =
      typeof userName === "string" && typeof password === "string" ? access.logIn(userName, password) : undefined;
    if (!session) throw new Failure(401, "thrown", "User authentication failed");
    return call.answer({ token: session.token, expires: vendorDate(session.expiresAt) }, undefined, 201);
  });

  on("GET", "/api/2.0/authentication", { anonymous: true }, ({ caller, answer }) => answer(caller.account !== nobody));

  on("POST", "/api/2.0/authentication/logout", { anonymous: true }, ({ context, answer }) => {
    access.logOut(context.req.header("authorization"));
    return answer(undefined);
  });

  for (const path of paths) app.all(path, () => new Response(null, { status: 405 }));
  app.notFound(() => new Response(null, { status: 404 }));
  app.onError((error) => jsonAnswer(500, thrownBody(500, error.message)));

  // What tests see

  function knownGroup(groupId: string): Group {
    const group = portal.group(groupId);
    if (!group?.truth.exists) throw new Error(`docspace: there is no group ${groupId}.`);
    return group;
  }

  return {
    service: "docspace",
    app,
    credentials: access.credentials,
    otherCredentials: access.otherCredentials,
    listKeys: ["response", "members"],
    control: {
      groups: portal.trueGroups,
      accountOf: portal.accountOf,
      addPerson: portal.addPerson,
      addGroup: portal.addGroup,
      addMember: (groupId, account, role) => portal.putMember(knownGroup(groupId), account, role),
      removeMember: (groupId, account) =>
        portal.applySaves([{ kind: "remove", group: knownGroup(groupId), accountId: account }], now()),
      renameGroup: (groupId, name) => portal.rename(knownGroup(groupId), name, now()),
      deleteGroup: (groupId) => portal.deleteGroup(knownGroup(groupId), now()),
      setPersonStatus: portal.setStatus,
      answerInvitations: () => 0,
      expireTokens: access.expireTokens,
    },
    rateLimitBody: () => ({ body: "", headers: { "X-RateLimit-Limit": "1500", "X-RateLimit-Remaining": "0" } }),
    serverErrorBody: (status) => thrownBody(status, "Internal server error"),
    saveState: () => ({ portal: portal.saveState(), access: access.saveState() }),
    restoreState: (state) => {
      const saved = state as { portal: unknown; access: unknown };
      portal.restoreState(saved.portal);
      access.restoreState(saved.access);
    },
  };
}
