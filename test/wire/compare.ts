/**
 * Compares what an adapter puts on the wire with what the vendor's own client sent for the same intent.
 *
 * The recordings and the rules of comparison come from the shared wire folder; its README is the source of every
 * rule here. A recording shows what a client sends, never what a service accepts.
 */
import { readFileSync } from "node:fs";
import nock from "nock";
import { expect } from "vitest";

/** The services with recordings. */
export type WireService = "neuroio" | "brainstem" | "docspace" | "genesys";

/** One request of a vendor's client, and the call that made it. */
export interface Recording {
  readonly client: string;
  readonly clientVersion: string;
  readonly call: { readonly method: string; readonly args: unknown };
  readonly request: {
    readonly method: string;
    /** As sent, percent-encoded, without query. */
    readonly path: string;
    /** Decoded, in the order sent. */
    readonly query: readonly (readonly [string, string])[];
    readonly headers: Readonly<Record<string, string>>;
    /** Parsed JSON, or a form as an object; no key: no body was sent. */
    readonly body?: unknown;
  };
  readonly note?: string;
}

/** One request as it left us. */
export interface CapturedRequest {
  readonly method: string;
  /** As sent, percent-encoded, without query. */
  readonly path: string;
  /** Decoded, in the order sent. */
  readonly query: readonly (readonly [string, string])[];
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed JSON, or a form as an object; no key: no body was sent. */
  readonly body?: unknown;
}

/** What may differ between a recording and an equivalent request. */
export interface WireRules {
  readonly slash: "exact" | "ignored";
  /** Query parameters in which one comma-joined value means the same as a repeated parameter, in any order. */
  readonly isListParameter: (name: string) => boolean;
  /** Query parameters that we may send where the recording has none; a text: only with this value. */
  readonly mayAdd: Readonly<Record<string, string | null>>;
}

/** Lists of ids in bodies: sets for the services, so a sorted one is equivalent. */
const ID_LISTS = new Set([
  "pids",
  "groups_ids",
  "members",
  "membersToAdd",
  "membersToRemove",
  "memberIds",
  "department",
  "userIds",
]);

/** The rules by service: the table in the README of the recordings. How long a page is, is free; where it starts is not. */
export const wireRules: Readonly<Record<WireService, WireRules>> = {
  neuroio: {
    slash: "exact",
    isListParameter: oneOf("pids", "pids_include", "pids_exclude", "groups_ids", "spaces_ids"),
    mayAdd: { limit: null, offset: "0" },
  },
  brainstem: {
    slash: "ignored",
    isListParameter: (name) => /^filter\{.*\.in\}$/.test(name) || name === "include[]",
    mayAdd: { limit: null, offset: "0", page: "1", per_page: null, "sort[]": null },
  },
  docspace: {
    slash: "exact",
    isListParameter: oneOf("employeeTypes"),
    mayAdd: { fields: null, includeMembers: null },
  },
  genesys: {
    slash: "exact",
    isListParameter: oneOf(
      "id",
      "jabberId",
      "expand",
      "ids",
      "fields",
      "attributes",
      "excludedAttributes",
      "userCustomAttributeSchemaIds",
    ),
    mayAdd: { pageSize: null, pageNumber: "1" },
  },
};

function oneOf(...names: readonly string[]): (name: string) => boolean {
  return (name) => names.includes(name);
}

/** All recordings of a service in their order, shortened lists written out. */
export function loadRecordings(service: WireService): readonly Recording[] {
  const text = readFileSync(new URL(`../fixtures/wire/${service}.json`, import.meta.url), "utf8");
  return expandLists(JSON.parse(text)) as readonly Recording[];
}

/** Writes every `{ "$list": { count, first, last, join? } }` out, at any depth; everything else stays as it is. */
export function expandLists(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expandLists);
  if (typeof value !== "object" || value === null) return value;
  if ("$list" in value) {
    const { count, first, last, join } = value.$list as { count: number; first: string; last: string; join?: string };
    const stem = first.slice(0, -12);
    const start = Number.parseInt(first.slice(-12), 16);
    const items = Array.from({ length: count }, (_, i) => stem + (start + i).toString(16).padStart(12, "0"));
    if (items.at(-1) !== last) throw new Error(`A shortened list should end with ${last}, not ${items.at(-1)}.`);
    return join === undefined ? items : items.join(join);
  }
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, expandLists(part)]));
}

/** Whether an adapter should send the like; the others only show a disagreement between clients. */
export function isPreferred(recording: Recording): boolean {
  return !recording.note?.startsWith("not preferred: ");
}

/** What a captured request is answered with. Without body and text: an empty one. */
export interface CannedAnswer {
  readonly status: number;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Answers every request to `origin` and keeps what was sent. Returns the list, which grows. The caller cleans up with
 * `nock.cleanAll()`.
 */
export function captureRequests(
  origin: string,
  answer: (request: CapturedRequest) => CannedAnswer = () => ({ status: 200, body: {} }),
): readonly CapturedRequest[] {
  const captured: CapturedRequest[] = [];
  const scope = nock(origin).persist();
  for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
    scope.intercept(/^/, method).reply(function () {
      const raw = this.req as unknown as { requestBodyBuffers?: readonly Buffer[] };
      const text = Buffer.concat(raw.requestBodyBuffers ?? []).toString("utf8");
      const request = describeRequest(method, this.req.path, this.req.headers, text);
      captured.push(request);
      const { status, body, text: plain, headers } = answer(request);
      return [status, plain ?? (body === undefined ? "" : JSON.stringify(body)), { ...headers }];
    });
  }
  return captured;
}

function describeRequest(
  method: string,
  target: string,
  headers: Readonly<Record<string, unknown>>,
  text: string,
): CapturedRequest {
  const [path = "", query = ""] = target.split(/\?(.*)/s);
  const lowerCased = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      Array.isArray(value) ? value.join(", ") : String(value),
    ]),
  );
  const isForm = lowerCased["content-type"]?.startsWith("application/x-www-form-urlencoded");
  return {
    method,
    path,
    query: [...new URLSearchParams(query)],
    headers: lowerCased,
    ...(text !== "" && {
      body: isForm ? Object.fromEntries(new URLSearchParams(text)) : (JSON.parse(text) as unknown),
    }),
  };
}

/** Fails when the request is not equivalent to the recording, and says in what. */
export function expectEquivalent(captured: CapturedRequest | undefined, recording: Recording, rules: WireRules): void {
  expect(captured === undefined ? ["nothing was sent"] : findDifferences(captured, recording, rules)).toEqual([]);
}

/** Every difference that matters, in plain words. */
export function findDifferences(captured: CapturedRequest, recording: Recording, rules: WireRules): readonly string[] {
  const wanted = recording.request;
  return [
    ...differ("method", captured.method, wanted.method),
    ...differ("path", segments(captured.path, rules), segments(wanted.path, rules)),
    ...differ(
      "query",
      comparableQuery(withoutAdditions(captured.query, wanted.query, rules), rules),
      comparableQuery(wanted.query, rules),
    ),
    ...differ(
      "authorization scheme",
      scheme(captured.headers["authorization"]),
      scheme(wanted.headers["authorization"]),
    ),
    ...differ("body", describeBody(captured), describeBody(wanted)),
    ...differContentType(captured, wanted),
    ...differAccept(captured.headers["accept"]),
  ];
}

function differ(what: string, sent: unknown, wanted: unknown): readonly string[] {
  const [a, b] = [JSON.stringify(sent), JSON.stringify(wanted)];
  return a === b ? [] : [`${what}: sent ${a}, the vendor's client ${b}`];
}

function segments(path: string, rules: WireRules): readonly string[] {
  const comparable = rules.slash === "ignored" ? path.replace(/\/+$/, "") : path;
  return comparable.split("/").map(decodeURIComponent);
}

type Query = readonly (readonly [string, string])[];

function withoutAdditions(sent: Query, wanted: Query, rules: WireRules): Query {
  return sent.filter(([name, value]) => {
    if (wanted.some(([other]) => other === name)) return true;
    const allowed = Object.hasOwn(rules.mayAdd, name) ? rules.mayAdd[name] : undefined;
    return allowed === undefined || (allowed !== null && allowed !== value);
  });
}

/** Values by name, names sorted: the order of values is kept for `sort[]` only. */
function comparableQuery(query: Query, rules: WireRules): unknown {
  const values = new Map<string, string[]>();
  for (const [name, value] of query) {
    const parts = rules.isListParameter(name) ? value.split(",") : [value];
    values.set(name, [...(values.get(name) ?? []), ...parts]);
  }
  return [...values]
    .map(([name, list]) => [name, name === "sort[]" ? list : list.toSorted()] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function scheme(authorization: string | undefined): string | undefined {
  return authorization?.split(" ")[0]?.toLowerCase();
}

/** The body with sorted keys and id lists. An absent body is told apart from the literal `null`. */
function describeBody(request: { readonly body?: unknown }): unknown {
  return "body" in request ? { body: sorted(request.body) } : "none";
}

function sorted(value: unknown, key?: string): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => sorted(item));
    const isIdList = key !== undefined && ID_LISTS.has(key) && items.every((item) => typeof item !== "object");
    return isIdList ? items.toSorted((a, b) => (String(a) < String(b) ? -1 : 1)) : items;
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, part]) => [name, sorted(part, name)]),
  );
}

function differContentType(captured: CapturedRequest, wanted: Recording["request"]): readonly string[] {
  if (!("body" in captured)) return [];
  const type = (headers: Readonly<Record<string, string>>) => headers["content-type"]?.split(";")[0]?.trim();
  return differ("content type", type(captured.headers), type(wanted.headers));
}

function differAccept(accept: string | undefined): readonly string[] {
  if (accept === undefined || /application\/json|application\/\*|\*\/\*/.test(accept)) return [];
  return [`accept: ${accept} does not admit JSON`];
}

/** Recordings that an adapter leaves out, and why. */
export interface OutOfScope {
  /** The client's method, such as `persons.search`. */
  readonly method: string;
  /** Narrows it down to some recordings of that method. */
  readonly when?: (recording: Recording) => boolean;
  readonly reason: string;
}

/**
 * Sorts the preferred recordings: those that a driver covers, and what is wrong with the two tables (a recording in
 * neither, a driver or an exemption that fits none). A test asserts that nothing is wrong, so a new recording fails.
 */
export function sortRecordings(
  recordings: readonly Recording[],
  drivers: Readonly<Record<string, unknown>>,
  outOfScope: readonly OutOfScope[],
): {
  readonly covered: readonly Recording[];
  readonly problems: readonly string[];
  /** Together all recordings: none is lost on the way. */
  readonly counts: { readonly compared: number; readonly leftOut: number; readonly notPreferred: number };
} {
  const preferred = recordings.filter(isPreferred);
  const exempts = (entry: OutOfScope, recording: Recording) =>
    entry.method === recording.call.method && (entry.when?.(recording) ?? true);
  const inScope = preferred.filter((recording) => !outOfScope.some((entry) => exempts(entry, recording)));
  const covered = inScope.filter((recording) => Object.hasOwn(drivers, recording.call.method));
  return {
    covered,
    counts: {
      compared: covered.length,
      leftOut: preferred.length - inScope.length,
      notPreferred: recordings.length - preferred.length,
    },
    problems: [
      ...inScope
        .filter((recording) => !covered.includes(recording))
        .map((recording) => `nothing covers ${titleOf(recording)}`),
      ...Object.keys(drivers)
        .filter((method) => !covered.some((recording) => recording.call.method === method))
        .map((method) => `no recording needs the driver ${method}`),
      ...outOfScope
        .filter((entry) => !preferred.some((recording) => exempts(entry, recording)))
        .map((entry) => `no recording needs the exemption ${entry.method}`),
    ],
  };
}

/** A recording as the title of a test. */
export function titleOf({ client, clientVersion, call, note }: Recording): string {
  const args = JSON.stringify(call.args);
  const short = args.length > 120 ? `${args.slice(0, 119)}…` : args;
  return `${client} ${clientVersion}: ${call.method} ${short}${note ? ` (${note})` : ""}`;
}
