/**
 * The NeuroIO emulator: person groups of the API host, and the log-in, tokens, spaces and who-am-I of the IAM host,
 * on one port (their paths do not collide). Written from the provider sheet alone.
 *
 * Nothing about the live server is published, so the sheet's unknowns are switches (`neuroioSwitches`), and the
 * defaults are its proposals. What stays the same under every switch: a token sees its own space only, every path
 * ends in a slash, a removal is a DELETE with a JSON body that answers 200, a group's deletion answers 204, and an
 * error is `{error_codes, message, fields}` save for the odd 403 of a malformed Authorization header.
 *
 * Late reading: a write takes effect at once in what later writes and `control` see. What readers saw before is
 * kept per fact (a name, one membership, an existence) with the time at which it stops showing, so writes with
 * different delays never hide one another. Tokens and spaces are never late.
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

/** What the sheet leaves unknown (§10), by its switch names; the first value is the default, `number` any whole number. */
export const neuroioSwitches = {
  /** Adding someone who is a member already: nothing happens, or the request is refused. */
  duplicateAdd: ["ignore", "400", "404"],
  /** Removing someone who is no member. */
  absentRemove: ["ignore", "400", "404"],
  /** A pid that the space does not know, in an add or a remove. */
  unknownPid: ["ignore", "400", "404"],
  /** A group id that the space does not know, in an add or a remove. */
  unknownGroup: ["ignore", "400", "404"],
  /** Whether a refused add or remove keeps the pairs (group by group, pid by pid) that came before the refusal. */
  partialApply: ["off", "on"],
  /** The body of a successful add or remove. */
  writeBody: ["empty", "{}"],
  /** More than 100 pids in a request, or more persons than a group holds: refused, or the surplus is dropped. */
  overLimit: ["400", "truncate"],
  /** The largest `limit` of a list; at least 1. */
  maxLimit: [100, "number"],
  /** A larger `limit`: refused, or lowered. */
  overMaxLimit: ["400", "clamp"],
  /** The shape of group and member lists; token lists are always bare arrays, space lists always `{results}`. */
  envelope: ["count+results", "results", "array", "count+next+previous+results"],
  /** Groups by id and members by time of joining, or a row that has nothing to do with either (the same on each page). */
  order: ["ascending", "shuffled"],
  /** Several pids in `pids_include`/`pids_exclude`: a group matches when it holds all, or any, of them. */
  pidsMatch: ["all", "any"],
  /** How `q` finds a name. */
  qMatch: ["contains", "prefix"],
  qCase: ["insensitive", "sensitive"],
  /** A name that another group of the space has. */
  uniqueNames: ["off", "400"],
  /** The longest group name, in code points. */
  maxName: [255, "number"],
  /** Requests per minute of the emulator's clock, over all tokens. */
  rateLimit: ["off", "number"],
  /** Whether a 429 of `rateLimit` says when to come back. */
  retryAfter: ["on", "off"],
  /** Milliseconds after which a write shows to readers. A mark on the request goes before it. */
  lag: [0, "number"],
  /** Whether a deleted person leaves the groups, or its pid stays in their lists. */
  deletePersonDropsMembership: ["on", "off"],
  /** A known path without the slash at its end. */
  slash: ["404", "307", "accept"],
  /** The answer to no token, an unknown one or an expired one; a wrong log-in takes the same status. */
  authFailure: ["401", "403odd"],
  /** A manager token on anything but the IAM paths. */
  managerToken: ["403", "401"],
  /** Whether a group carries `persons_count`. */
  personsCount: ["on", "off"],
  /** Not in §10: the most `groups_ids` of one request. The sheet says that no cap is documented, so one may exist. */
  maxGroups: ["off", "number"],
  /** Not in §10: persons per group. The documented 100,000, lowered by tests that want to meet it cheaply. */
  maxMembers: [100_000, "number"],
} as const satisfies Readonly<Record<string, readonly (string | number)[]>>;

/** Persons per add or remove request (sheet §4). */
const pidsPerRequest = 100;
/** Rows of a list when `limit` is left out: what the vendor's client sends (sheet §4). */
const defaultLimit = 20;
/** Life of a temporary token (sheet §1). */
const temporaryTokenMs = 24 * 60 * 60 * 1000;
/** Permanent tokens per account or space (sheet §1). */
const permanentTokens = 5;
const defaultSpaceId = 1;
const otherSpaceId = 2;
const login = { username: "sandbox@example.org", password: "sandbox-password" } as const;

/** What readers saw before, oldest first, and until when. `until` never falls along the row. */
type Past<T> = readonly { readonly until: number; readonly value: T }[];

interface Late<T> {
  readonly value: T;
  readonly past: Past<T>;
}

interface Person {
  readonly pid: string;
  readonly spaceId: number;
  readonly createdAt: number;
  exists: Late<boolean>;
}

interface Group {
  readonly id: number;
  readonly spaceId: number;
  exists: Late<boolean>;
  name: Late<string>;
  /** pid → the number of its joining, which orders the list. */
  readonly members: Map<string, number>;
  /** What readers still see otherwise: pid → past joining numbers, null for "no member". */
  readonly lateMembers: Map<string, Past<number | null>>;
}

interface Space {
  readonly id: number;
  name: string;
}

interface Token {
  readonly id: number;
  readonly key: string;
  readonly kind: "account" | "space" | "manager";
  readonly spaceId: number;
  readonly permanent: boolean;
  readonly createdAt: number;
  /** Milliseconds; none for a permanent token. */
  expiresAt: number | undefined;
  active: boolean;
}

/** Plain data and maps only, so that `structuredClone` copies it. */
interface State {
  readonly persons: Map<string, Person>;
  /** In the order of creation, deleted ones included: readers may still see them. */
  readonly groups: Map<number, Group>;
  readonly spaces: Map<number, Space>;
  readonly tokens: Map<string, Token>;
}

interface FieldProblem {
  readonly name: string;
  readonly message: string;
}

/** An answer of status 400 or more, thrown by whatever notices the reason. */
class Refusal extends Error {
  constructor(
    readonly status: ContentfulStatusCode,
    readonly body: unknown,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(`refused with ${status}`);
  }
}

/**
 * Makes a NeuroIO emulator. `credentials` is a permanent account token, which acts as the space `default` (id 1),
 * where the seed lives. A person's pid is derived from the seed id.
 *
 * `otherCredentials`: `login` {username, password} for `POST /v1/auth/token/`; tokens `space` (confined to the second,
 * empty space `annex`, id 2), `manager` (IAM paths only), `temporary` (account, dies 24 h after the start),
 * `expired` (account, dead from the start), `inactive` (account, switched off).
 *
 * @throws Error for an unknown switch or value, or a `maxLimit` of 0.
 */
export function createNeuroioEmulator(options: EmulatorOptions): Emulator {
  const now = options.now ?? Date.now;
  const switches = readSwitches("neuroio", neuroioSwitches, statusesAsText(options.switches ?? {}));
  const maxLimit = Number(switches.maxLimit);
  if (maxLimit < 1) throw new Error("neuroio: switch maxLimit takes a whole number of at least 1.");
  const maxMembers = Number(switches.maxMembers);

  let state: State = { persons: new Map(), groups: new Map(), spaces: new Map(), tokens: new Map() };
  // Outside the state, as a database's sequences are: an id that was announced is never given to anything else.
  const last = { person: 0, group: 0, space: 0, token: 0, joining: 0 };
  const pidOfSeed = new Map<string, string>();
  const memberLists = new WeakMap<Group, { readonly validUntil: number; readonly pids: readonly string[] }>();
  const rateWindow = { startsAt: Number.NEGATIVE_INFINITY, requests: 0 };

  // ---- spaces, tokens, persons

  function addSpace(name: string): Space {
    const space: Space = { id: ++last.space, name };
    state.spaces.set(space.id, space);
    return space;
  }

  function issueToken(
    kind: Token["kind"],
    spaceId: number,
    permanent: boolean,
    start: { readonly key?: string; readonly createdAt?: number; readonly active?: boolean } = {},
  ): Token {
    const id = ++last.token;
    const createdAt = start.createdAt ?? now();
    const token: Token = {
      id,
      key: start.key ?? `sandbox-neuroio-token-${id}`,
      kind,
      spaceId,
      permanent,
      createdAt,
      expiresAt: permanent ? undefined : createdAt + temporaryTokenMs,
      active: start.active ?? true,
    };
    state.tokens.set(token.key, token);
    return token;
  }

  function addPerson(pid: string, spaceId: number, visibleAt: number): void {
    const known = state.persons.get(pid);
    if (known) {
      known.exists = writeLate(known.exists, true, visibleAt, now());
      return;
    }
    const exists = writeLate({ value: false, past: [] }, true, visibleAt, now());
    state.persons.set(pid, { pid, spaceId, createdAt: now(), exists });
  }

  /** The person, when it exists in that space; a pid of another space looks like an unknown one (sheet §7). */
  function findPerson(pid: string, spaceId: number): Person | undefined {
    const person = state.persons.get(pid);
    return person?.exists.value && person.spaceId === spaceId ? person : undefined;
  }

  function deletePerson(person: Person, visibleAt: number): void {
    person.exists = writeLate(person.exists, false, visibleAt, now());
    if (switches.deletePersonDropsMembership === "off") return;
    for (const group of state.groups.values()) {
      if (group.members.has(person.pid)) setMember(group, person.pid, false, visibleAt);
    }
  }

  // ---- groups

  function addGroup(name: string, spaceId: number, visibleAt: number): Group {
    const group: Group = {
      id: ++last.group,
      spaceId,
      exists: writeLate({ value: false, past: [] }, true, visibleAt, now()),
      name: { value: name, past: [] },
      members: new Map(),
      lateMembers: new Map(),
    };
    state.groups.set(group.id, group);
    return group;
  }

  function setMember(group: Group, pid: string, isMember: boolean, visibleAt: number): void {
    const value = group.members.get(pid) ?? null;
    const joining = isMember ? ++last.joining : null;
    const late = writeLate({ value, past: group.lateMembers.get(pid) ?? [] }, joining, visibleAt, now());
    if (joining === null) group.members.delete(pid);
    else group.members.set(pid, joining);
    if (late.past.length === 0) group.lateMembers.delete(pid);
    else group.lateMembers.set(pid, late.past);
    memberLists.delete(group);
  }

  /** The joining number under which readers see the pid in the group; null when they do not. */
  function seenMember(group: Group, pid: string): number | null {
    const past = group.lateMembers.get(pid) ?? [];
    return seenAt({ value: group.members.get(pid) ?? null, past }, now());
  }

  /** The pids that readers see in the group, in the order of lists; computed once per change, not per page. */
  function seenMembers(group: Group): readonly string[] {
    const cached = memberLists.get(group);
    if (cached && now() < cached.validUntil) return cached.pids;
    let validUntil = Number.POSITIVE_INFINITY;
    for (const [pid, past] of group.lateMembers) {
      const waiting = past.filter((entry) => now() < entry.until);
      for (const entry of waiting) validUntil = Math.min(validUntil, entry.until);
      if (waiting.length === 0) group.lateMembers.delete(pid);
    }
    const pids =
      group.lateMembers.size === 0
        ? [...group.members.keys()]
        : [...new Set([...group.members.keys(), ...group.lateMembers.keys()])].filter(
            (pid) => seenMember(group, pid) !== null,
          );
    const sorted = group.lateMembers.size === 0 && switches.order === "ascending" ? pids : sortMembers(group, pids);
    memberLists.set(group, { validUntil, pids: sorted });
    return sorted;
  }

  function sortMembers(group: Group, pids: readonly string[]): readonly string[] {
    const rank = (pid: string): number => (switches.order === "shuffled" ? hash(pid) : (seenMember(group, pid) ?? 0));
    return sortBy(pids, rank);
  }

  function renderGroup(group: Group, name: string, personsCount: number): Readonly<Record<string, unknown>> {
    const common = { id: group.id, name, space_id: group.spaceId };
    return switches.personsCount === "on" ? { ...common, persons_count: personsCount } : common;
  }

  /** A group as readers see it. */
  function renderSeen(group: Group): Readonly<Record<string, unknown>> {
    return renderGroup(group, seenAt(group.name, now()), seenMembers(group).length);
  }

  /** A group as a write to it answers: the state that the write made. */
  function renderWritten(group: Group): Readonly<Record<string, unknown>> {
    return renderGroup(group, group.name.value, group.members.size);
  }

  /** The group of the path, as writers find it. */
  function groupToChange(c: Context, holder: Token): Group {
    const group = state.groups.get(idOfPath(c));
    if (!group || group.spaceId !== holder.spaceId || !group.exists.value) throw notFound();
    return group;
  }

  /** The group of the path, as readers find it. */
  function groupToRead(c: Context, holder: Token): Group {
    const group = state.groups.get(idOfPath(c));
    if (!group || group.spaceId !== holder.spaceId || !seenAt(group.exists, now())) throw notFound();
    return group;
  }

  /** When the effect of this request begins to show to readers. */
  function visibleAt(c: Context): number {
    return now() + (marksOf(c).lagMs ?? Number(switches.lag));
  }

  // ---- requests and answers

  /** `limit` and `offset`; fastapi_contrib's bounds, 400 outside them (sheet §4). */
  function readPage(c: Context): { readonly limit: number; readonly offset: number } {
    const problems: FieldProblem[] = [];
    const limit = wholeNumberOfQuery(c, "limit", Math.min(defaultLimit, maxLimit), 1, problems);
    const offset = wholeNumberOfQuery(c, "offset", 0, 0, problems);
    if (limit > maxLimit && switches.overMaxLimit === "400") {
      problems.push({ name: "limit", message: `Ensure this value is less than or equal to ${maxLimit}.` });
    }
    if (problems.length > 0) throw invalid(problems);
    return { limit: Math.min(limit, maxLimit), offset };
  }

  function answerPage<T>(c: Context, rows: readonly T[], render: (row: T) => unknown): Response {
    const { limit, offset } = readPage(c);
    const results = rows.slice(offset, offset + limit).map(render);
    const count = rows.length;
    switch (switches.envelope) {
      case "array":
        return c.json(results);
      case "results":
        return c.json({ results });
      case "count+next+previous+results": {
        // Relative to the list itself, so that it holds under whatever prefix the emulator is mounted.
        const link = (at: number): string => {
          const query = new URLSearchParams(new URL(c.req.url).search);
          query.set("limit", String(limit));
          query.set("offset", String(at));
          return `?${query.toString()}`;
        };
        const next = offset + limit < count ? link(offset + limit) : null;
        const previous = offset > 0 ? link(Math.max(0, offset - limit)) : null;
        return c.json({ count, next, previous, results });
      }
      default:
        return c.json({ count, results });
    }
  }

  function readName(body: Readonly<Record<string, unknown>>): string {
    const { name } = body;
    if (name === undefined) throw invalid([{ name: "name", message: "Field required." }]);
    if (typeof name !== "string") throw invalid([{ name: "name", message: "Str type expected." }]);
    if (name.length === 0) throw invalid([{ name: "name", message: "Ensure this value has at least 1 characters." }]);
    if (Array.from(name).length > Number(switches.maxName)) {
      const message = `Ensure this value has at most ${switches.maxName} characters.`;
      throw invalid([{ name: "name", message }]);
    }
    return name;
  }

  /** A group's name that may be given to it: checked against the other groups of the space when names are unique. */
  function readGroupName(body: Readonly<Record<string, unknown>>, spaceId: number, self?: Group): string {
    const name = readName(body);
    if (switches.uniqueNames === "off") return name;
    for (const group of state.groups.values()) {
      if (group !== self && group.spaceId === spaceId && group.exists.value && group.name.value === name) {
        throw invalid([{ name: "name", message: "Group with this name already exists." }]);
      }
    }
    return name;
  }

  /** Whoever sent the request. */
  function authenticate(c: Context): Token {
    const header = c.req.header("authorization");
    if (header === undefined) throw notAuthenticated();
    const [scheme = "", ...rest] = header.split(" ");
    const key = rest.join(" ").trim();
    if (scheme.toLowerCase() !== "token" || key === "") throw oddForbidden();
    const token = state.tokens.get(key);
    const isAlive = token?.active && (token.expiresAt === undefined || now() < token.expiresAt);
    if (!token || !isAlive) throw notAuthenticated();
    return token;
  }

  function notAuthenticated(): Refusal {
    return switches.authFailure === "401" ? refusal(401, "Not authenticated.") : oddForbidden();
  }

  function checkRate(): void {
    if (switches.rateLimit === "off") return;
    if (now() - rateWindow.startsAt >= 60_000) {
      rateWindow.startsAt = now();
      rateWindow.requests = 0;
    }
    rateWindow.requests++;
    if (rateWindow.requests <= Number(switches.rateLimit)) return;
    const seconds = Math.ceil((rateWindow.startsAt + 60_000 - now()) / 1000);
    throw new Refusal(
      429,
      errorBody(429, "Too Many Requests."),
      switches.retryAfter === "on" ? { "Retry-After": String(seconds) } : {},
    );
  }

  const app = new Hono();
  type Answer = Response | Promise<Response>;

  /**
   * One path of the vendor with its methods; any other method is 405. It is also reached without its last slash, to
   * do as the switch says. `open` needs no token, `iam` admits every kind, `data` every kind but the manager's.
   */
  function path(
    access: "open" | "iam" | "data",
    vendorPath: string,
    methods: Readonly<Record<string, (c: Context, holder: Token) => Answer>>,
  ): void {
    app.all(vendorPath, (c) => answer(c, access, methods));
    app.all(vendorPath.slice(0, -1), (c) => {
      if (switches.slash === "404") return refused(c, notFound());
      if (switches.slash === "accept") return answer(c, access, methods);
      // Relative to the last segment: right under any prefix.
      const url = new URL(c.req.url);
      const lastSegment = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
      return c.body(null, 307, { Location: `${lastSegment}/${url.search}` });
    });
  }

  async function answer(
    c: Context,
    access: "open" | "iam" | "data",
    methods: Readonly<Record<string, (c: Context, holder: Token) => Answer>>,
  ): Promise<Response> {
    try {
      checkRate();
      const handler = methods[c.req.method];
      if (!handler) throw refusal(405, "Method Not Allowed.");
      if (access === "open") return await handler(c, noToken);
      const holder = authenticate(c);
      if (access === "data" && holder.kind === "manager") {
        throw switches.managerToken === "403" ? forbidden() : refusal(401, "Not authenticated.");
      }
      return await handler(c, holder);
    } catch (error) {
      if (error instanceof Refusal) return refused(c, error);
      throw error;
    }
  }

  // ---- person groups (API host)

  path("data", "/v1/groups/persons/", {
    GET: (c, holder) => {
      const query = c.req.query("q") ?? "";
      const spaces = idsOfQuery(c, "spaces_ids");
      const ids = idsOfQuery(c, "groups_ids");
      const include = listOfQuery(c, "pids_include");
      const exclude = listOfQuery(c, "pids_exclude");
      const holds = (group: Group, pids: readonly string[]): boolean =>
        switches.pidsMatch === "all"
          ? pids.every((pid) => seenMember(group, pid) !== null)
          : pids.some((pid) => seenMember(group, pid) !== null);
      const rows = [...state.groups.values()].filter(
        (group) =>
          // `spaces_ids` narrows and never widens: a token sees only its own space (sheet §1).
          group.spaceId === holder.spaceId &&
          seenAt(group.exists, now()) &&
          (!spaces || spaces.includes(group.spaceId)) &&
          (!ids || ids.includes(group.id)) &&
          (query === "" || matchesName(seenAt(group.name, now()), query)) &&
          (!include || holds(group, include)) &&
          (!exclude || !holds(group, exclude)),
      );
      const sorted = switches.order === "shuffled" ? sortBy(rows, (group) => hash(`group ${group.id}`)) : rows;
      return answerPage(c, sorted, renderSeen);
    },
    POST: async (c, holder) => {
      const name = readGroupName(await readJson(c), holder.spaceId);
      return c.json(renderWritten(addGroup(name, holder.spaceId, visibleAt(c))), 201);
    },
  });

  function matchesName(name: string, query: string): boolean {
    const fold = (text: string): string => (switches.qCase === "insensitive" ? text.toLowerCase() : text);
    return switches.qMatch === "prefix" ? fold(name).startsWith(fold(query)) : fold(name).includes(fold(query));
  }

  // Before `{id}`, which would take "pids" for an id.
  path("data", "/v1/groups/persons/pids/", {
    POST: async (c, holder) => changeMembers(c, holder, await readJson(c), true),
    DELETE: async (c, holder) => changeMembers(c, holder, await readJson(c), false),
  });

  /** Adds or removes every pid in every group: the product, group by group. */
  function changeMembers(
    c: Context,
    holder: Token,
    body: Readonly<Record<string, unknown>>,
    isMember: boolean,
  ): Response {
    const problems: FieldProblem[] = [];
    const given = readList(body, "pids", isText, "Str type expected.", problems);
    const groupIds = readList(body, "groups_ids", isWholeNumber, "Value is not a valid integer.", problems);
    if (given.length > pidsPerRequest && switches.overLimit === "400") {
      problems.push({ name: "pids", message: `Ensure this value has at most ${pidsPerRequest} items.` });
    }
    if (switches.maxGroups !== "off" && groupIds.length > Number(switches.maxGroups)) {
      problems.push({ name: "groups_ids", message: `Ensure this value has at most ${switches.maxGroups} items.` });
    }
    if (problems.length > 0) throw invalid(problems);
    const pids = new Set(given.slice(0, pidsPerRequest));

    const changes: { readonly group: Group; readonly pid: string }[] = [];
    let refusedBy: Refusal | undefined;
    try {
      for (const id of new Set(groupIds)) collectChanges(id, pids, holder, isMember, changes);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (switches.partialApply === "off") throw error;
      refusedBy = error;
    }
    const at = visibleAt(c);
    for (const { group, pid } of changes) setMember(group, pid, isMember, at);
    if (refusedBy) throw refusedBy;
    return switches.writeBody === "{}" ? c.json({}) : c.body(null, 200);
  }

  function collectChanges(
    groupId: number,
    pids: ReadonlySet<string>,
    holder: Token,
    isMember: boolean,
    changes: { readonly group: Group; readonly pid: string }[],
  ): void {
    const group = state.groups.get(groupId);
    if (!group || group.spaceId !== holder.spaceId || !group.exists.value) {
      refuseIf(switches.unknownGroup, "groups_ids", `Group ${groupId} does not exist.`);
      return;
    }
    let size = group.members.size;
    for (const pid of pids) {
      const wasMember = group.members.has(pid);
      // A deleted person may still be listed; then it is known well enough to be removed.
      if (!findPerson(pid, holder.spaceId) && (isMember || !wasMember)) {
        refuseIf(switches.unknownPid, "pids", `Person ${pid} does not exist.`);
      } else if (wasMember === isMember) {
        const message = `Person ${pid} is ${isMember ? "already" : "not"} in group ${groupId}.`;
        refuseIf(isMember ? switches.duplicateAdd : switches.absentRemove, "pids", message);
      } else if (isMember && size >= maxMembers) {
        if (switches.overLimit === "truncate") return;
        throw invalid([
          { name: "groups_ids", message: `Group ${groupId} can not hold more than ${maxMembers} persons.` },
        ]);
      } else {
        size++;
        changes.push({ group, pid });
      }
    }
  }

  path("data", "/v1/groups/persons/:id/", {
    GET: (c, holder) => c.json(renderSeen(groupToRead(c, holder))),
    PATCH: renameGroup,
    PUT: renameGroup,
    DELETE: (c, holder) => {
      const group = groupToChange(c, holder);
      group.exists = writeLate(group.exists, false, visibleAt(c), now());
      return c.body(null, 204);
    },
  });

  async function renameGroup(c: Context, holder: Token): Promise<Response> {
    const body = await readJson(c);
    const group = groupToChange(c, holder);
    group.name = writeLate(group.name, readGroupName(body, holder.spaceId, group), visibleAt(c), now());
    return c.json(renderWritten(group));
  }

  path("data", "/v1/groups/persons/:id/pids/", {
    GET: (c, holder) => {
      const group = groupToRead(c, holder);
      const filter = listOfQuery(c, "pids");
      // Looked up one by one: a point proof must not cost a walk over 100,000 members.
      const rows = filter
        ? sortMembers(
            group,
            [...new Set(filter)].filter((pid) => seenMember(group, pid) !== null),
          )
        : seenMembers(group);
      return answerPage(c, rows, (pid) => ({ pid, pid_source: "default" }));
    },
  });

  // ---- persons (API host): existence and deletion are real; photos are taken and forgotten

  path("data", "/v1/entries/stats/pid/:pid/", {
    GET: (c, holder) => {
      const person = state.persons.get(c.req.param("pid") ?? "");
      if (!person || person.spaceId !== holder.spaceId || !seenAt(person.exists, now())) throw notFound();
      return c.json({
        pid: person.pid,
        pid_created: new Date(person.createdAt).toISOString(),
        pid_source: { id: person.spaceId, name: "default" },
        age: null,
        sex: null,
        initial_face_image: null,
        initial_full_image: null,
        initial_facesize: null,
        initial_liveness: "undetermined",
        total: 1,
        exact: 0,
        ha: 0,
        junk: 0,
        reinit: 0,
        liveness: { passed: 0, failed: 0, undetermined: 1 },
      });
    },
  });

  function createPerson(c: Context, holder: Token): Response {
    const pid = stableUuid("neuroio", "created", String(++last.person));
    addPerson(pid, holder.spaceId, visibleAt(c));
    return c.json({ result: "new", pid, age: null, sex: null, mood: null }, 201);
  }

  path("data", "/v1/persons/", {
    POST: async (c, holder) => {
      await readForm(c, ["image", "source"]);
      return createPerson(c, holder);
    },
  });
  path("data", "/v1/persons/entry/", {
    POST: async (c, holder) => {
      readId(await readJson(c));
      return createPerson(c, holder);
    },
  });
  path("data", "/v1/persons/search/", {
    POST: async (c) => {
      await readForm(c, ["image"]);
      // Nobody is ever found in a made-up photo, and that is a 200 (sheet §9, 9).
      return c.json({ result: "nm", pid: null });
    },
  });
  path("data", "/v1/persons/reinit/", {
    POST: async (c) => {
      readId(await readJson(c));
      return c.body(null, 204);
    },
  });
  path("data", "/v1/persons/reinit/:pid/", {
    POST: async (c, holder) => {
      await readForm(c, ["image"]);
      if (!findPerson(c.req.param("pid") ?? "", holder.spaceId)) throw notFound();
      return c.body(null, 204);
    },
  });
  path("data", "/v1/persons/:pid/", {
    DELETE: (c, holder) => {
      const person = findPerson(c.req.param("pid") ?? "", holder.spaceId);
      if (!person) throw notFound();
      deletePerson(person, visibleAt(c));
      return c.body(null, 204);
    },
  });

  // ---- log-in, who am I, tokens, spaces (IAM host)

  path("open", "/v1/auth/token/", {
    POST: async (c) => {
      const body = await readJson(c);
      const missing = ["username", "password"].filter((name) => typeof body[name] !== "string");
      if (missing.length > 0) throw invalid(missing.map((name) => ({ name, message: "Field required." })));
      if (body.username !== login.username || body.password !== login.password) {
        // The body is documented, the status is not.
        const documented = { error_codes: [602], message: "Username and password do not match.", fields: [] };
        throw new Refusal(switches.authFailure === "401" ? 401 : 403, documented);
      }
      const token = issueToken("account", defaultSpaceId, false);
      return c.json({ user: { username: login.username, space: null }, token: renderToken(token) });
    },
  });

  path("iam", "/v1/whoami/", {
    GET: (c, holder) => {
      // An account or a manager is bound to no space of its own; the account merely acts as `default`.
      const space = holder.kind === "space" ? state.spaces.get(holder.spaceId) : undefined;
      return c.json({ username: login.username, space: space ?? null });
    },
  });

  /** The tokens of the kind that was sent: the token decides which kind is managed (sheet §2, 17). */
  function tokensOf(c: Context, holder: Token): readonly Token[] {
    const permanent = c.req.query("permanent");
    if (permanent !== undefined && !/^(?:true|false)$/i.test(permanent)) {
      throw invalid([{ name: "permanent", message: "Value could not be parsed to a boolean." }]);
    }
    return [...state.tokens.values()].filter(
      (token) =>
        token.kind === holder.kind &&
        token.spaceId === holder.spaceId &&
        (permanent === undefined || token.permanent === (permanent.toLowerCase() === "true")),
    );
  }

  async function createToken(c: Context, kind: Token["kind"], spaceId: number): Promise<Response> {
    const { permanent = false } = await readJson(c);
    if (typeof permanent !== "boolean") {
      throw invalid([{ name: "permanent", message: "Value could not be parsed to a boolean." }]);
    }
    const held = [...state.tokens.values()].filter(
      (token) => token.kind === kind && token.spaceId === spaceId && token.permanent,
    );
    if (permanent && held.length >= permanentTokens) {
      throw invalid([{ name: "permanent", message: `No more than ${permanentTokens} permanent tokens are allowed.` }]);
    }
    return c.json(renderToken(issueToken(kind, spaceId, permanent)), 201);
  }

  path("iam", "/v1/tokens/", {
    GET: (c, holder) => {
      const { limit, offset } = readPage(c);
      return c.json(
        tokensOf(c, holder)
          .slice(offset, offset + limit)
          .map(renderToken),
      );
    },
    POST: (c, holder) => createToken(c, holder.kind, holder.spaceId),
    DELETE: (c, holder) => {
      for (const token of tokensOf(c, holder)) state.tokens.delete(token.key);
      return c.body(null, 204);
    },
  });

  function tokenOfPath(c: Context, holder: Token): Token {
    const idOrKey = c.req.param("id") ?? "";
    const token = [...state.tokens.values()].find(({ id, key }) => String(id) === idOrKey || key === idOrKey);
    if (!token || token.kind !== holder.kind || token.spaceId !== holder.spaceId) throw notFound();
    return token;
  }

  async function changeToken(c: Context, holder: Token): Promise<Response> {
    // JSON from one of the vendor's clients, a form with the words true and false from the other.
    const isForm = (c.req.header("content-type") ?? "").startsWith("application/x-www-form-urlencoded");
    const body = isForm ? Object.fromEntries(new URLSearchParams(await c.req.text())) : await readJson(c);
    const active = String(body.is_active).toLowerCase();
    if (active !== "true" && active !== "false") {
      throw invalid([{ name: "is_active", message: "Value could not be parsed to a boolean." }]);
    }
    const token = tokenOfPath(c, holder);
    token.active = active === "true";
    return c.json(renderToken(token));
  }

  path("iam", "/v1/tokens/:id/", {
    GET: (c, holder) => c.json(renderToken(tokenOfPath(c, holder))),
    PATCH: changeToken,
    PUT: changeToken,
    DELETE: (c, holder) => {
      state.tokens.delete(tokenOfPath(c, holder).key);
      return c.body(null, 204);
    },
  });

  /** The spaces that a token sees: its own when it is confined to one, else all. */
  function spacesOf(holder: Token): readonly Space[] {
    return [...state.spaces.values()].filter((space) => holder.kind !== "space" || space.id === holder.spaceId);
  }

  function spaceOfPath(c: Context, holder: Token): Space {
    const id = idOfPath(c);
    const space = spacesOf(holder).find((candidate) => candidate.id === id);
    if (!space) throw notFound();
    return space;
  }

  /** A space token is confined to its space: it reads that one and changes none. */
  function checkMayChangeSpaces(holder: Token): void {
    if (holder.kind === "space") throw forbidden();
  }

  path("iam", "/v1/spaces/", {
    GET: (c, holder) => {
      const { limit, offset } = readPage(c);
      const query = c.req.query("q") ?? "";
      const rows = spacesOf(holder).filter((space) => query === "" || matchesName(space.name, query));
      return c.json({ results: rows.slice(offset, offset + limit) });
    },
    POST: async (c, holder) => {
      checkMayChangeSpaces(holder);
      return c.json(addSpace(readName(await readJson(c))), 201);
    },
  });

  async function renameSpace(c: Context, holder: Token): Promise<Response> {
    checkMayChangeSpaces(holder);
    const name = readName(await readJson(c));
    const space = spaceOfPath(c, holder);
    if (space.id === defaultSpaceId) throw invalid([{ name: "__all__", message: "Default space can not be changed." }]);
    space.name = name;
    return c.json(space);
  }

  path("iam", "/v1/spaces/:id/", {
    GET: (c, holder) => c.json(spaceOfPath(c, holder)),
    PATCH: renameSpace,
    PUT: renameSpace,
    DELETE: (c, holder) => {
      checkMayChangeSpaces(holder);
      const { id } = spaceOfPath(c, holder);
      if (id === defaultSpaceId) throw invalid([{ name: "__all__", message: "Default space can not be deleted." }]);
      state.spaces.delete(id);
      // All data belongs to exactly one space, so it goes with it.
      for (const group of state.groups.values()) if (group.spaceId === id) state.groups.delete(group.id);
      for (const person of state.persons.values()) if (person.spaceId === id) state.persons.delete(person.pid);
      for (const token of state.tokens.values()) if (token.spaceId === id) state.tokens.delete(token.key);
      return c.body(null, 204);
    },
  });
  path("iam", "/v1/spaces/:id/tokens/", {
    POST: (c, holder) => {
      checkMayChangeSpaces(holder);
      return createToken(c, "space", spaceOfPath(c, holder).id);
    },
  });
  path("iam", "/v1/lists/spaces/", { GET: (c, holder) => c.json({ results: spacesOf(holder) }) });

  app.all("*", (c) => refused(c, notFound()));

  // ---- the seed, and the control surface

  function seedPerson(person: SeedPerson): string {
    const pid = stableUuid("neuroio", "person", person.id);
    pidOfSeed.set(person.id, pid);
    addPerson(pid, defaultSpaceId, now());
    return pid;
  }

  function seedGroup(seed: SeedGroup): Group {
    const group = addGroup(seed.name, defaultSpaceId, now());
    // No roles here: whoever holds one elsewhere is a member like any other.
    for (const list of [seed.members, seed.managers, seed.owners]) {
      for (const personId of list ?? []) {
        const pid = pidOfSeed.get(personId);
        if (pid !== undefined && !group.members.has(pid) && findPerson(pid, defaultSpaceId)) {
          group.members.set(pid, ++last.joining);
        }
      }
    }
    return group;
  }

  const startedAt = now();
  addSpace("default");
  addSpace("annex");
  const key = (name: string): string => `sandbox-neuroio-${name}-token`;
  issueToken("account", defaultSpaceId, true, { key: key("account") });
  issueToken("account", defaultSpaceId, false, { key: key("temporary") });
  issueToken("account", defaultSpaceId, false, { key: key("inactive"), active: false });
  issueToken("account", defaultSpaceId, false, { key: key("expired"), createdAt: startedAt - 2 * temporaryTokenMs });
  issueToken("space", otherSpaceId, true, { key: key("space") });
  issueToken("manager", defaultSpaceId, true, { key: key("manager") });
  const seeded = options.seed.people.filter(({ services }) => !services || services.includes("neuroio"));
  for (const person of seeded) seedPerson(person);
  for (const group of options.seed.groups) {
    if (!group.services || group.services.includes("neuroio")) seedGroup(group);
  }
  // After the groups, so that the switch decides what is left of a deleted person's memberships.
  for (const { id, status } of seeded) {
    const person = status === "deleted" ? state.persons.get(pidOfSeed.get(id) ?? "") : undefined;
    if (person) deletePerson(person, now());
  }

  function groupOfControl(groupId: string): Group {
    const group = state.groups.get(Number(groupId));
    if (!group?.exists.value) throw new Error(`neuroio sandbox: there is no group ${groupId}.`);
    return group;
  }

  function personOfControl(account: string): Person {
    const person = state.persons.get(account);
    if (!person) throw new Error(`neuroio sandbox: there is no person ${account}.`);
    return person;
  }

  const control: EmulatorControl = {
    groups: () =>
      [...state.groups.values()]
        .filter((group) => group.exists.value)
        .map((group) => ({
          id: String(group.id),
          name: group.name.value,
          members: [...group.members.keys()].map((account) => ({ account, role: "member", direct: true })),
          invited: [],
        })),
    accountOf: (personId) => pidOfSeed.get(personId),
    addPerson: (person) => {
      const pid = seedPerson(person);
      if (person.status === "deleted") deletePerson(personOfControl(pid), now());
      return pid;
    },
    addGroup: (group) => String(seedGroup(group).id),
    addMember: (groupId, account) => {
      const group = groupOfControl(groupId);
      if (!personOfControl(account).exists.value) throw new Error(`neuroio sandbox: person ${account} is deleted.`);
      // Someone who is a member already may still be hidden from readers; then this edit shows it.
      if (!group.members.has(account) || group.lateMembers.has(account)) setMember(group, account, true, now());
    },
    removeMember: (groupId, account) => {
      setMember(groupOfControl(groupId), account, false, now());
    },
    renameGroup: (groupId, name) => {
      const group = groupOfControl(groupId);
      group.name = writeLate(group.name, name, now(), now());
    },
    deleteGroup: (groupId) => {
      const group = groupOfControl(groupId);
      group.exists = writeLate(group.exists, false, now(), now());
    },
    setPersonStatus: (account, status) => {
      const person = personOfControl(account);
      // The only state a person has here is to exist.
      if (status === "deleted") deletePerson(person, now());
      else person.exists = writeLate(person.exists, true, now(), now());
    },
    answerInvitations: () => 0,
    expireTokens: () => {
      for (const token of state.tokens.values()) token.expiresAt = Math.min(token.expiresAt ?? now(), now());
    },
  };

  return {
    service: "neuroio",
    app,
    control,
    credentials: { token: key("account") },
    otherCredentials: {
      login,
      space: { token: key("space") },
      manager: { token: key("manager") },
      temporary: { token: key("temporary") },
      expired: { token: key("expired") },
      inactive: { token: key("inactive") },
    },
    listKeys: ["results"],
    rateLimitBody: () => ({ body: errorBody(429, "Too Many Requests."), headers: {} }),
    serverErrorBody: (status) => errorBody(status, `${serverErrors[status] ?? "Internal Server Error"}.`),
    saveState: () => structuredClone(state),
    restoreState: (saved) => {
      state = structuredClone(saved as State);
    },
  };
}

/** The vendor's own server faults are 500; the others come from whatever stands before it. */
const serverErrors: Readonly<Record<number, string>> = {
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Stands in where a path needs no token. */
const noToken: Token = {
  id: 0,
  key: "",
  kind: "account",
  spaceId: 0,
  permanent: false,
  createdAt: 0,
  expiresAt: 0,
  active: false,
};

/** A status given as a number (`slash: 307`) means the text of the table, as far as the switch takes no numbers. */
function statusesAsText(given: Readonly<Record<string, string | number>>): Readonly<Record<string, string | number>> {
  const table: Readonly<Record<string, readonly (string | number)[]>> = neuroioSwitches;
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, table[name]?.includes(String(value)) ? String(value) : value]),
  );
}

// ---- late values

/** What readers see at that time. */
function seenAt<T>(late: Late<T>, at: number): T {
  const shown = late.past.find((entry) => at < entry.until);
  return shown ? shown.value : late.value;
}

/** The new value, shown from `visibleAt` on; older writes that would show later than that are overtaken. */
function writeLate<T>(late: Late<T>, value: T, visibleAt: number, now: number): Late<T> {
  const past = late.past.map((entry) => ({ until: Math.min(entry.until, visibleAt), value: entry.value }));
  past.push({ until: visibleAt, value: late.value });
  return { value, past: past.filter((entry) => now < entry.until) };
}

// ---- errors (sheet §5)

function errorBody(status: number, message: string, fields: readonly FieldProblem[] = []): unknown {
  return {
    error_codes: [status],
    message,
    fields: fields.map((field) => ({ name: field.name, message: field.message, error_code: status })),
  };
}

function refusal(status: ContentfulStatusCode, message: string): Refusal {
  return new Refusal(status, errorBody(status, message));
}

function invalid(fields: readonly FieldProblem[]): Refusal {
  return new Refusal(400, errorBody(400, "Validation error.", fields));
}

function notFound(): Refusal {
  return refusal(404, "Not found.");
}

function forbidden(): Refusal {
  return refusal(403, "Forbidden.");
}

/** The one body of another shape: a header with a foreign scheme, or without credentials. */
function oddForbidden(): Refusal {
  return new Refusal(403, { code: 403, detail: "Forbidden.", fields: [] });
}

/** Does nothing for `ignore`; else refuses with the status that the switch names. */
function refuseIf(choice: string | number, field: string, message: string): void {
  if (choice === "404") throw notFound();
  if (choice === "400") throw invalid([{ name: field, message }]);
}

function refused(c: Context, refusedBy: Refusal): Response {
  return c.json(refusedBy.body, refusedBy.status, refusedBy.headers);
}

// ---- reading requests

/** A JSON object; DELETE carries one too. */
async function readJson(c: Context): Promise<Readonly<Record<string, unknown>>> {
  let body: unknown;
  try {
    body = JSON.parse(await c.req.text());
  } catch {
    throw invalid([{ name: "__all__", message: "Invalid JSON." }]);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw invalid([{ name: "__all__", message: "Value is not a valid dict." }]);
  }
  return body as Readonly<Record<string, unknown>>;
}

async function readForm(c: Context, required: readonly string[]): Promise<void> {
  const isForm = (c.req.header("content-type") ?? "").startsWith("multipart/form-data");
  const form: Readonly<Record<string, unknown>> = isForm ? await c.req.parseBody().catch(() => ({})) : {};
  const missing = required.filter((name) => form[name] === undefined);
  if (missing.length > 0) throw invalid(missing.map((name) => ({ name, message: "Field required." })));
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isWholeNumber(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function readId(body: Readonly<Record<string, unknown>>): void {
  if (!isWholeNumber(body.id)) throw invalid([{ name: "id", message: "Value is not a valid integer." }]);
}

function readList<T>(
  body: Readonly<Record<string, unknown>>,
  name: string,
  isItem: (value: unknown) => value is T,
  message: string,
  problems: FieldProblem[],
): readonly T[] {
  const list = body[name];
  if (Array.isArray(list) && list.every(isItem)) return list;
  if (list === undefined) problems.push({ name, message: "Field required." });
  else problems.push({ name, message: Array.isArray(list) ? message : "Value is not a valid list." });
  return [];
}

function idOfPath(c: Context): number {
  const text = c.req.param("id") ?? "";
  if (!/^\d+$/.test(text)) throw invalid([{ name: "id", message: "Value is not a valid integer." }]);
  return Number(text);
}

function wholeNumberOfQuery(
  c: Context,
  name: string,
  whenAbsent: number,
  least: number,
  problems: FieldProblem[],
): number {
  const text = c.req.query(name);
  if (text === undefined) return whenAbsent;
  if (!/^-?\d+$/.test(text)) {
    problems.push({ name, message: "Value is not a valid integer." });
    return whenAbsent;
  }
  const value = Number(text);
  if (value < least) problems.push({ name, message: `Ensure this value is greater than or equal to ${least}.` });
  return value;
}

/** One comma-joined parameter (sheet §2). An empty one filters nothing: it has no agreed meaning. */
function listOfQuery(c: Context, name: string): readonly string[] | undefined {
  const text = c.req.query(name);
  return text === undefined || text === "" ? undefined : text.split(",");
}

function idsOfQuery(c: Context, name: string): readonly number[] | undefined {
  const list = listOfQuery(c, name);
  if (list?.some((text) => !/^\d+$/.test(text))) throw invalid([{ name, message: "Value is not a valid integer." }]);
  return list?.map(Number);
}

// ---- rendering and ordering

/** A permanent token has no end; the vendor's type calls `expires` text, which can then only be absent or null. */
function renderToken(token: Token): Readonly<Record<string, unknown>> {
  return {
    id: token.id,
    key: token.key,
    is_active: token.active,
    created: new Date(token.createdAt).toISOString(),
    expires: token.expiresAt === undefined ? null : new Date(token.expiresAt).toISOString(),
  };
}

/** FNV-1a with a last mix: an order without meaning that is the same in every run. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}

function sortBy<T>(rows: readonly T[], rank: (row: T) => number): readonly T[] {
  return rows
    .map((row) => ({ row, rank: rank(row) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ row }) => row);
}
