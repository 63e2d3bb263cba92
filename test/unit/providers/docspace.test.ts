import { inspect } from "node:util";
import nock from "nock";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type ErrorCode, type GroupSyncError, isGroupSyncError } from "../../../src/errors.js";
import type { Batch, MemberEdit } from "../../../src/model.js";
import { type AccountKey, type CallContext, createCallContext, type GroupProvider } from "../../../src/provider.js";
import {
  createDocspaceApi,
  createDocspaceProvider,
  docspaceCapabilities,
  type DocspaceOptions,
  docspaceProviderType,
} from "../../../src/providers/docspace/index.js";
import { type CannedAnswer, type CapturedRequest, captureRequests } from "../../wire/compare.js";

const origin = "https://acme.example";
const guid = (n: number) => `3f1c9a52-7b1e-4f6d-9c2a-${n.toString(16).padStart(12, "0")}`;
const groupId = "b7d4e0aa-52c3-4a8e-8f10-000000000001";
const otherGroupId = "b7d4e0aa-52c3-4a8e-8f10-000000000002";
const everyone = "c5cc67d1-c3e8-43c0-a3ad-3928ae3e5b5e";
const lostUser = "4a515a15-d4d6-4b8e-828e-e0586f18f3a3";
const [ACTIVE, TERMINATED, PENDING] = [1, 2, 4];

interface TestPerson {
  readonly id: string;
  readonly email: string;
  readonly displayName: string;
  readonly status: number;
}
const person = (n: number, more: object = {}): TestPerson => ({
  id: guid(n),
  email: `p${n}@example.org`,
  displayName: `Person ${n}`,
  status: 1,
  ...more,
});
const people = (count: number) => Array.from({ length: count }, (_, index) => person(index + 1));
const member = (n: number, more: object = {}) => ({
  account: guid(n),
  role: "member",
  direct: true,
  state: "active",
  email: `p${n}@example.org`,
  name: `Person ${n}`,
  ...more,
});
const groupOf = (members: readonly object[], more: object = {}) => ({
  id: groupId,
  name: "Night shift",
  members,
  membersCount: members.length,
  ...more,
});

const ok = (response: unknown, more: object = {}): CannedAnswer => ({ status: 200, body: { response, ...more } });
const list = (rows: readonly unknown[], total: number | undefined = rows.length): CannedAnswer =>
  ok(rows, { count: rows.length, ...(total !== undefined && { total }) });
const failure = (status: number, body?: unknown): CannedAnswer => ({ status, ...(body !== undefined && { body }) });
const admin = { id: guid(900), email: "Root@Example.org", displayName: "Root", status: 1, isAdmin: true };
const fullKey = { name: "sync", permissions: ["*"], isActive: true, createBy: { id: admin.id, displayName: "Root" } };

type Route = CannedAnswer | ((request: CapturedRequest) => CannedAnswer);

const queryOf = (request: CapturedRequest | undefined) => Object.fromEntries(request?.query ?? []);

/** The rows that a page asks for, as the service would cut them. */
const pageOf =
  (rows: readonly unknown[], total = rows.length) =>
  (request: CapturedRequest): CannedAnswer => {
    const { startIndex = "0", count = "100" } = queryOf(request);
    return list(rows.slice(Number(startIndex), Number(startIndex) + Number(count)), total);
  };

/** The answer with the properties asked for, as `fields` has it; everything around the response stays, and errors do. */
function trim(answer: CannedAnswer, fields: readonly string[] | undefined): CannedAnswer {
  const { response, ...envelope } = (answer.body ?? {}) as { readonly response?: unknown };
  if (fields === undefined || typeof response !== "object" || (answer.status ?? 200) >= 400) return answer;
  return { ...answer, body: { ...envelope, response: pick(response, fields) } };
}

function pick(value: unknown, fields: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((each) => pick(each, fields));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, part]) => {
      if (fields.includes(name)) return [[name, part]];
      const nested = fields.filter((each) => each.startsWith(`${name}.`)).map((each) => each.slice(name.length + 1));
      return nested.length > 0 ? [[name, pick(part, nested)]] : [];
    }),
  );
}

/** A portal that answers by method and path; whatever it does not know is a 418. Paths are given without `/api/2.0`. */
function servePortal(routes: Readonly<Record<string, Route>>): {
  readonly sent: readonly CapturedRequest[];
  readonly calls: () => readonly string[];
} {
  const nameOf = ({ method, path }: CapturedRequest) => `${method} ${decodeURIComponent(path).replace("/api/2.0", "")}`;
  const sent = captureRequests(origin, (request) => {
    const route = routes[nameOf(request)] ?? failure(418);
    return trim(typeof route === "function" ? route(request) : route, queryOf(request)["fields"]?.split(","));
  });
  return { sent, calls: () => sent.map(nameOf) };
}

let made = 0;
/** A provider with a key of its own, so that no pause of one test leaks into the next. */
function makeProvider(options: Partial<DocspaceOptions> = {}) {
  made += 1;
  const hasCredential = ["apiKey", "token", "userName"].some((name) => name in options);
  return createDocspaceProvider({
    id: "docs",
    baseUrl: origin,
    ...(!hasCredential && { apiKey: `sk-secret-${made}` }),
    maxAttempts: 1,
    retryDelayMs: 1,
    ...options,
  });
}

async function errorOf(promise: Promise<unknown>): Promise<GroupSyncError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isGroupSyncError(error)) throw new Error(`Expected an error of ours, got ${inspect(error)}.`);
  return error;
}

const context = () => createCallContext();

beforeAll(() => nock.disableNetConnect());
afterEach(() => nock.cleanAll());
afterAll(() => nock.enableNetConnect());

describe("docspace options", () => {
  it.each<[string, object, RegExp]>([
    ["no credentials", { baseUrl: origin }, /credentials are missing/],
    ["two kinds of credentials", { baseUrl: origin, apiKey: "sk-hidden", token: "hidden" }, /only one of/],
    ["a password without a user name", { baseUrl: origin, password: "hidden" }, /go together/],
    ["an empty password", { baseUrl: origin, userName: "a@b.c", password: "" }, /empty/],
    ["an API key that is none", { baseUrl: origin, apiKey: "hidden" }, /begin with sk-/],
    ["an API key with the word Bearer", { baseUrl: origin, apiKey: "Bearer sk-hidden" }, /without the word Bearer/],
    ["a token with a line break", { baseUrl: origin, token: "hidden\n" }, /spaces or other characters/],
    ["plain http", { baseUrl: "http://acme.example", apiKey: "sk-hidden" }, /plain http/],
    ["no address", { baseUrl: "acme", apiKey: "sk-hidden" }, /not an address/],
    ["the API's path", { baseUrl: `${origin}/api/2.0/`, apiKey: "sk-hidden" }, /before \/api\/2\.0/],
    ["a misspelt key", { baseUrl: origin, apikey: "sk-hidden" }, /apikey/],
    ["a time-out of nothing", { baseUrl: origin, apiKey: "sk-hidden", timeoutMs: 0 }, /timeoutMs/],
    ["a missing address", { apiKey: "sk-hidden" }, /baseUrl/],
  ])("refuse %s in plain words and without the secret", async (_, options, message) => {
    const error = await errorOf(
      (async () => createDocspaceProvider({ id: "docs", ...(options as DocspaceOptions) }))(),
    );
    expect(error.code).toBe("options-invalid");
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^docs: /);
    expect(inspect(error)).not.toContain("hidden");
    expect(docspaceProviderType.options.safeParse(options).success).toBe(false);
  });

  it("make a provider by type, under the name that the spec gives", () => {
    const options = { baseUrl: "http://127.0.0.1:9/docspace", apiKey: "sk-x", timeoutMs: 1000 };
    expect(docspaceProviderType.options.safeParse(options).success).toBe(true);
    const provider = docspaceProviderType.create("docs", options);
    expect(provider).toMatchObject({ id: "docs", type: "docspace", capabilities: docspaceCapabilities });
  });

  it("take options that are undefined as left out", () => {
    const options = { baseUrl: origin, apiKey: "sk-x", token: undefined } as unknown as DocspaceOptions;
    expect(createDocspaceProvider(options).id).toBe("docspace");
  });
});

describe("docspace credentials", () => {
  it.each([
    ["an API key", { apiKey: "sk-abc" }, "Bearer sk-abc"],
    ["a token", { token: "abc" }, "Bearer abc"],
  ])("send %s with the word Bearer, without which it is no credential", async (_, options, header) => {
    const { sent } = servePortal({ "GET /group": list([]) });
    await makeProvider(options).listGroups(context());
    expect(sent[0]?.headers["authorization"]).toBe(header);
  });

  it("log in once without Authorization and use the token for everything", async () => {
    const { sent, calls } = servePortal({
      "POST /authentication": {
        status: 201,
        body: { response: { token: "issued-1", expires: "2999-01-01T00:00:00Z" } },
      },
      "GET /group": list([]),
    });
    const provider = makeProvider({ userName: "a@example.org", password: "pass-word-1" });
    await Promise.all([provider.listGroups(context()), provider.listGroups(context())]);
    expect(calls()).toEqual(["POST /authentication", "GET /group", "GET /group"]);
    expect(sent[0]?.headers["authorization"]).toBeUndefined();
    expect(sent[0]?.body).toEqual({ userName: "a@example.org", password: "pass-word-1" });
    expect(sent[1]?.headers["authorization"]).toBe("Bearer issued-1");
  });

  it("log in anew when the token is refused, and go on", async () => {
    let tokens = 0;
    const { calls } = servePortal({
      "POST /authentication": () => ({ status: 201, body: { response: { token: `token-${++tokens}` } } }),
      "GET /group": ({ headers }) => (headers["authorization"] === "Bearer token-2" ? list([]) : failure(401)),
    });
    await makeProvider({ userName: "b@example.org", password: "pass-word-2" }).listGroups(context());
    expect(calls()).toEqual(["POST /authentication", "GET /group", "POST /authentication", "GET /group"]);
  });

  it("say what may be wrong when a log-in gives no token", async () => {
    servePortal({ "POST /authentication": { status: 201, body: { response: { tfa: true } } } });
    const error = await errorOf(
      makeProvider({ userName: "c@example.org", password: "pass-word-3" }).listGroups(context()),
    );
    expect(error.code).toBe("bad-answer");
    expect(error.facts.hint).toMatch(/two-factor/);
    expect(inspect(error)).not.toContain("pass-word-3");
  });

  it("never show in an error, even when the service echoes them", async () => {
    servePortal({
      "POST /authentication": { status: 201, body: { response: { token: "issued-secret" } } },
      "GET /group": ({ headers }) =>
        failure(400, { error: { message: `bad: ${headers["authorization"]} issued-secret pass-word-4` } }),
    });
    const error = await errorOf(
      makeProvider({ userName: "d@example.org", password: "pass-word-4" }).listGroups(context()),
    );
    for (const text of [JSON.stringify(error), inspect(error, { depth: 10 }), error.stack ?? "", error.message]) {
      expect(text).not.toMatch(/issued-secret|pass-word-4/);
    }
    expect(error.message).toContain("[redacted]");
  });

  it("that are wrong throw unauthenticated", async () => {
    servePortal({ "GET /keys/@self": failure(401) });
    expect((await errorOf(makeProvider().checkAccess(context()))).code).toBe("unauthenticated");
  });
});

describe("docspace checkAccess", () => {
  const levels = (report: { readonly findings: readonly { level: string; message: string }[] }, level: string) =>
    report.findings.filter((finding) => finding.level === level).map(({ message }) => message);
  const portal = (key: object, own: object = {}) => ({
    "GET /keys/@self": ok({ ...fullKey, ...key }),
    [`GET /people/${admin.id}`]: ok({ ...admin, isAdmin: false, ...own }),
    "GET /people/@self": ok({ ...admin, isAdmin: false, ...own }),
    "GET /group": list([{ id: groupId, name: "x" }], 7),
  });

  it("finds everything well with an admin's full key, in three calls", async () => {
    const { calls } = servePortal(portal({}, { isAdmin: true }));
    const report = await makeProvider().checkAccess(context());
    expect(report).toMatchObject({ identity: "acme.example as root@example.org", ownAccount: admin.id });
    expect(report.findings.every(({ level }) => level === "ok")).toBe(true);
    expect(report.findings.map(({ message }) => message).join(" ")).toContain("7 there");
    expect(calls()).toEqual(["GET /keys/@self", `GET /people/${admin.id}`, "GET /group"]);
  });

  it.each([[[]], [["*"]], [["accounts:read", "accounts:write"]], [["*:write"]], [undefined]])(
    "takes the scopes %j as enough",
    async (permissions) => {
      servePortal(portal({ permissions }, { isOwner: true }));
      expect(levels(await makeProvider().checkAccess(context()), "error")).toEqual([]);
    },
  );

  it("names the missing read scope, though a write scope is there, and asks for nothing that would be refused", async () => {
    const { calls } = servePortal(portal({ permissions: ["accounts:write"] }));
    const report = await makeProvider().checkAccess(context());
    expect(levels(report, "error").join()).toMatch(/accounts:read/);
    expect(report).toMatchObject({ identity: `acme.example as ${admin.id}`, ownAccount: admin.id });
    expect(calls()).toEqual(["GET /keys/@self"]);
  });

  it("names the missing write scope", async () => {
    servePortal(portal({ permissions: ["accounts:read"] }, { isAdmin: true }));
    expect(levels(await makeProvider().checkAccess(context()), "error")).toEqual([
      expect.stringContaining("accounts:write"),
    ]);
  });

  it.each([
    ["a room admin", { isRoomAdmin: true }, /room admin/],
    ["a plain user", { isCollaborator: true }, /a user/],
    ["a guest", { isVisitor: true }, /a guest/],
  ])("says that %s has too few rights", async (_, own, message) => {
    servePortal(portal({}, own));
    expect(levels(await makeProvider().checkAccess(context()), "error").join()).toMatch(message);
  });

  it("warns when the portal does not tell the role", async () => {
    servePortal(portal({}));
    expect(levels(await makeProvider().checkAccess(context()), "warning").join()).toMatch(
      /role the portal does not say/,
    );
  });

  it.each([
    ["error", { isActive: false }, /switched off/],
    ["error", { expiresAt: "2020-01-31T10:00:00.0000000+03:00" }, /has expired/],
    ["warning", { expiresAt: new Date(Date.now() + 86_400_000).toISOString() }, /expires on \d{4}-\d\d-\d\d/],
  ])("reports an %s for a key with %j", async (level, key, message) => {
    servePortal(portal(key, { isAdmin: true }));
    expect(levels(await makeProvider().checkAccess(context()), level).join()).toMatch(message);
  });

  it("is silent about a key that lasts", async () => {
    servePortal(portal({ expiresAt: "2999-01-31T10:00:00Z" }, { isAdmin: true }));
    expect(levels(await makeProvider().checkAccess(context()), "warning")).toEqual([]);
  });

  it("reads itself when the key does not tell its owner", async () => {
    const { calls } = servePortal(portal({ createBy: null }, { isAdmin: true }));
    expect((await makeProvider().checkAccess(context())).ownAccount).toBe(admin.id);
    expect(calls()).toContain("GET /people/@self");
  });

  it("warns when the account behind a key cannot be read", async () => {
    const hidden = { ...portal({}), [`GET /people/${admin.id}`]: failure(403) };
    servePortal(hidden);
    const report = await makeProvider().checkAccess(context());
    expect(levels(report, "warning").join()).toMatch(/could not be read/);
    expect(report.ownAccount).toBe(admin.id);
  });

  it("warns that a token runs out, and asks no key endpoint for it", async () => {
    const { calls } = servePortal(portal({}, { isAdmin: true }));
    const report = await makeProvider({ token: "log-in-token" }).checkAccess(context());
    expect(levels(report, "warning").join()).toMatch(/runs out/);
    expect(report.identity).toBe("acme.example as root@example.org");
    expect(calls()).toEqual(["GET /people/@self", "GET /group"]);
  });

  it("treats an API key given as a token as the key that it is", async () => {
    const { calls } = servePortal(portal({}, { isAdmin: true }));
    await makeProvider({ token: "sk-as-token" }).checkAccess(context());
    expect(calls()).toContain("GET /keys/@self");
  });

  it("reports it when the list of groups is refused despite role and scopes", async () => {
    servePortal({ ...portal({}, { isAdmin: true }), "GET /group": failure(403) });
    expect(levels(await makeProvider().checkAccess(context()), "error").join()).toMatch(/refuses to list groups/);
  });

  it.each([
    ["404 (suspended, or a wrong host)", 404],
    ["403 (moving, or a closed network)", 403],
    ["402 (unpaid)", 402],
    ["503", 503],
  ])("throws unavailable for a portal that answers %s", async (_, status) => {
    servePortal({ "GET /keys/@self": failure(status) });
    expect((await errorOf(makeProvider().checkAccess(context()))).code).toBe("unavailable");
  });

  it("reports the unpaid tariff although people can be read", async () => {
    servePortal({ ...portal({}, { isAdmin: true }), "GET /group": failure(402) });
    const error = await errorOf(makeProvider().checkAccess(context()));
    expect(error).toMatchObject({ code: "unavailable", facts: { status: 402 } });
    expect(error.facts.hint).toMatch(/unpaid/);
  });
});

describe("docspace listGroups", () => {
  const groups = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ id: guid(5000 + index), name: `G${index}` }));

  it.each([0, 1, 99, 100, 101, 200, 250])("reads all of %d groups and proves it", async (count) => {
    const { sent } = servePortal({ "GET /group": pageOf(groups(count)) });
    const { groups: read, evidence } = await makeProvider().listGroups(context());
    expect(read).toHaveLength(count);
    expect(evidence).toMatchObject({ complete: true, declared: count, counted: count, duplicates: 0 });
    expect(sent).toHaveLength(Math.max(1, Math.ceil(count / 100)));
    expect(sent.every((request) => queryOf(request)["count"] === "100")).toBe(true);
  });

  it("goes on behind a page that is shorter than asked for", async () => {
    const rows = groups(150);
    const { sent } = servePortal({
      "GET /group": (request) => {
        const start = Number(queryOf(request)["startIndex"] ?? 0);
        return list(rows.slice(start, start === 0 ? 98 : 150), 150);
      },
    });
    expect((await makeProvider().listGroups(context())).evidence.complete).toBe(true);
    expect(queryOf(sent[1])["startIndex"]).toBe("98");
  });

  it("does not call a list whole in which rows shifted between pages", async () => {
    const rows = groups(150);
    servePortal({
      "GET /group": (request) => {
        const start = Number(queryOf(request)["startIndex"] ?? 0);
        return list(rows.slice(Math.max(0, start - 1), Math.max(0, start - 1) + 100).slice(0, 150 - start), 150);
      },
    });
    const { groups: read, evidence } = await makeProvider().listGroups(context());
    expect(new Set(read.map(({ id }) => id)).size).toBe(read.length);
    expect(evidence).toMatchObject({ complete: false, moved: true, duplicates: 1 });
  });

  it.each<[string, Route, boolean]>([
    ["an empty page before the total", (request) => pageOf(groups(100), 150)(request), true],
    ["a total that is too small", pageOf(groups(100), 40), true],
    [
      "a total that changes",
      (request) => pageOf(groups(150), queryOf(request)["startIndex"] === "0" ? 151 : 150)(request),
      true,
    ],
    ["no total", ok(groups(3)), false],
  ])("does not call a list with %s whole", async (_, route, moved) => {
    servePortal({ "GET /group": route });
    const { evidence } = await makeProvider().listGroups(context());
    expect(evidence.complete).toBe(false);
    expect(evidence.moved ?? false).toBe(moved);
  });

  it("marks what is not ours to change, and leaves names as they are", async () => {
    servePortal({
      "GET /group": list([
        { id: guid(1).toUpperCase(), name: "R&amp;D" },
        { id: guid(2), name: "From LDAP", isLDAP: true },
        { id: guid(3), name: "System", isSystem: true },
        { id: everyone, name: "Everyone", isLDAP: false },
      ]),
    });
    expect((await makeProvider().listGroups(context())).groups).toEqual([
      { id: guid(1), name: "R&amp;D", kind: "plain" },
      { id: guid(2), name: "From LDAP", kind: "directory" },
      { id: guid(3), name: "System", kind: "builtin" },
      { id: everyone, name: "Everyone", kind: "builtin" },
    ]);
  });

  it("takes a 404 as the portal's, not as an empty list", async () => {
    servePortal({ "GET /group": failure(404) });
    expect((await errorOf(makeProvider().listGroups(context()))).code).toBe("unavailable");
  });
});

describe("docspace readGroup", () => {
  const serve = (group: unknown, rows: readonly unknown[] | Route, more: Readonly<Record<string, Route>> = {}) =>
    servePortal({
      [`GET /group/${groupId}`]: ok(group),
      "GET /people/filter": Array.isArray(rows) ? pageOf(rows) : (rows as Route),
      ...more,
    });

  it("asks for the members by name and for the people in the one order without ties", async () => {
    const { sent } = serve(groupOf(people(1)), people(1));
    await makeProvider().readGroup(groupId, context());
    expect(queryOf(sent[0])).toMatchObject({ groupId, sortBy: "email", count: "100", startIndex: "0" });
    expect(queryOf(sent[0])).not.toHaveProperty("employeeStatus");
    expect(queryOf(sent[1])).toMatchObject({ includeMembers: "true" });
    expect(queryOf(sent[1])["fields"]).toContain("members.status");
    expect(sent).toHaveLength(2);
  });

  it("tells manager, invited and disabled people apart", async () => {
    const listed = [
      person(1),
      person(2, { status: PENDING }),
      person(4, { displayName: "J&#252;rgen &amp; &quot;Jo&quot;" }),
    ];
    serve(groupOf(listed, { manager: person(1) }), [...listed, person(3, { status: TERMINATED })]);
    const { group, members, evidence } = await makeProvider().readGroup(groupId, context());
    expect(group).toEqual({ id: groupId, name: "Night shift", kind: "plain" });
    expect(members).toEqual([
      member(1, { role: "manager" }),
      member(2),
      member(4, { name: 'Jürgen & "Jo"' }),
      member(3, { state: "disabled" }),
    ]);
    expect(evidence).toMatchObject({ complete: true, declared: 4, counted: 4, pages: 2 });
  });

  it("knows a manager who is disabled", async () => {
    const gone = person(9, { status: TERMINATED });
    serve(groupOf([person(1)], { manager: gone }), [person(1), gone]);
    const { members, evidence } = await makeProvider().readGroup(groupId, context());
    expect(members).toContainEqual(member(9, { role: "manager", state: "disabled" }));
    expect(evidence.complete).toBe(true);
  });

  it.each([0, 1, 99, 100, 101, 200, 201])("reads all of %d members", async (count) => {
    const { sent } = serve(groupOf(people(count)), people(count));
    const { members, evidence } = await makeProvider().readGroup(groupId, context());
    expect(members).toHaveLength(count);
    expect(evidence).toMatchObject({ complete: true, counted: count });
    expect(sent).toHaveLength(1 + Math.max(1, Math.ceil(count / 100)));
  });

  it("compares ids without regard to case", async () => {
    serve(
      groupOf([person(10, { id: guid(10).toUpperCase() })], { id: groupId.toUpperCase() }),
      people(0).concat(person(10)),
    );
    const { members, evidence } = await makeProvider().readGroup(groupId, context());
    expect(members).toEqual([member(10)]);
    expect(evidence.complete).toBe(true);
  });

  it.each<[string, object, readonly unknown[] | Route, boolean]>([
    ["the group's answer was cut", groupOf(people(2), { membersCount: 3 }), people(3), true],
    ["the group lists someone twice", groupOf([person(1), person(1)]), people(2), true],
    ["the group was emptied in the answer only", groupOf([]), people(3), true],
    ["the list of people lacks someone", groupOf(people(3)), people(2), true],
    ["the list of people holds someone more", groupOf(people(2)), people(3), true],
    ["the two lists name different people", groupOf(people(2)), [person(1), person(3)], true],
    ["the manager is not in the list of people", groupOf(people(1), { manager: person(5) }), people(1), true],
    ["the page of people came empty", groupOf(people(2)), list([], 2), true],
    ["the total of people is too large", groupOf(people(2)), pageOf(people(2), 3), true],
    [
      "the total of people moved",
      groupOf(people(150)),
      (request) => pageOf(people(150), queryOf(request)["startIndex"] === "0" ? 149 : 150)(request),
      true,
    ],
    [
      "people came twice",
      groupOf(people(150)),
      (request) => (queryOf(request)["startIndex"] === "0" ? list(people(100), 150) : list(people(150).slice(99), 150)),
      true,
    ],
    ["the list of people declares no total", groupOf(people(2)), ok(people(2)), false],
    ["the members are not there", { id: groupId, name: "x", membersCount: 2 }, people(2), false],
    ["their number is not there", { id: groupId, name: "x", members: people(2) }, people(2), false],
  ])("does not call a reading whole when %s", async (_, group, rows, moved) => {
    serve(group, rows);
    const { evidence } = await makeProvider().readGroup(groupId, context());
    expect(evidence.complete).toBe(false);
    expect(evidence.moved ?? false).toBe(moved);
    expect(evidence.because).not.toBe("");
  });

  it("leaves out the lost user that stands in for deleted people", async () => {
    const lost = person(1, { id: lostUser });
    serve(groupOf([lost, person(2)]), [lost, person(2)]);
    expect((await makeProvider().readGroup(groupId, context())).members).toEqual([member(2)]);
  });

  const nobody = { "GET /people/filter": list([]) };

  it("says not-found only when the portal still lists groups", async () => {
    const gone = { ...nobody, [`GET /group/${groupId}`]: failure(404), "GET /group": list([], 3) };
    const { calls } = servePortal(gone);
    expect((await errorOf(makeProvider().readGroup(groupId, context()))).code).toBe("not-found");
    expect(calls()).toEqual(["GET /people/filter", `GET /group/${groupId}`, "GET /group"]);
  });

  it("says not-found of a group that is gone, should its list of people be refused by 404", async () => {
    const refusing = { "GET /people/filter": failure(404), "GET /group": list([], 3) };
    servePortal({ ...refusing, [`GET /group/${groupId}`]: failure(404) });
    expect((await errorOf(makeProvider().readGroup(groupId, context()))).code).toBe("not-found");
  });

  it("says unavailable of a group that is there and whose list of people is refused by 404", async () => {
    servePortal({ "GET /people/filter": failure(404), [`GET /group/${groupId}`]: ok(groupOf([])) });
    expect((await errorOf(makeProvider().readGroup(groupId, context()))).code).toBe("unavailable");
  });

  it.each([404, 403, 402])("says unavailable when the whole portal answers %d", async (status) => {
    servePortal({
      "GET /people/filter": failure(status),
      [`GET /group/${groupId}`]: failure(status),
      "GET /group": failure(status),
      "GET /keys/@self": failure(status),
    });
    const error = await errorOf(makeProvider().readGroup(groupId, context()));
    expect(error.code).toBe("unavailable");
    expect(error.facts.hint).toBeTruthy();
  });

  it("lets the failure of the confirming call stand when that call fails otherwise", async () => {
    servePortal({ ...nobody, [`GET /group/${groupId}`]: failure(404), "GET /group": failure(401) });
    expect((await errorOf(makeProvider().readGroup(groupId, context()))).code).toBe("unauthenticated");
  });

  it("says forbidden when only the group is refused", async () => {
    servePortal({ ...nobody, [`GET /group/${groupId}`]: failure(403), "GET /keys/@self": ok(fullKey) });
    const error = await errorOf(makeProvider().readGroup(groupId, context()));
    expect(error.code).toBe("forbidden");
    expect(error.facts.hint).toMatch(/state forbids/);
  });

  it.each(["10001", "@self", "user", "..", ""])(
    "says not-found for %j, which is no GUID, and sends nothing",
    async (id) => {
      const { sent } = servePortal({});
      expect((await errorOf(makeProvider().readGroup(id, context()))).code).toBe("not-found");
      expect(sent).toHaveLength(0);
    },
  );

  it("refuses an answer about another group", async () => {
    serve(groupOf([], { id: otherGroupId }), []);
    expect((await errorOf(makeProvider().readGroup(groupId, context()))).code).toBe("bad-answer");
  });

  it("refuses people without a status, because nothing could be said about them", async () => {
    serve(groupOf([person(1)]), [{ id: guid(1), email: "p1@example.org" }]);
    expect((await errorOf(makeProvider().readGroup(groupId, context()))).code).toBe("bad-answer");
  });

  it("throws when the list of people fails, instead of going by the group alone", async () => {
    serve(groupOf(people(1)), failure(500));
    expect((await errorOf(makeProvider().readGroup(groupId, context()))).code).toBe("unavailable");
  });
});

it.each(["readGroup", "readGroups"] as const)(
  "docspace %s does not take somebody who is made manager meanwhile for a plain member",
  async (how) => {
    // A disabled person: no count of the group's own tells that they came.
    const disabled = person(3, { status: TERMINATED });
    let isManager = false;
    const record = () => groupOf([person(1)], isManager ? { manager: disabled } : {});
    servePortal({
      "GET /group": () => list([record()]),
      [`GET /group/${groupId}`]: () => ok(record()),
      "GET /people/filter": () => {
        isManager = true;
        return list([person(1), disabled]);
      },
    });
    const provider = makeProvider();
    const pass = context();
    await provider.listGroups(pass);
    const snapshot = how === "readGroup" ? await provider.readGroup(groupId, pass) : await readFirst(provider, pass);
    expect(snapshot.members.map(({ role }) => role)).toEqual(["member", "manager"]);
    expect(snapshot.evidence.complete).toBe(true);
  },
);

async function readFirst(provider: GroupProvider, pass: CallContext) {
  const [reading] = (await provider.readGroups?.([groupId], pass)) ?? [];
  if (reading?.status !== "fulfilled") throw new Error("not read");
  return reading.value;
}

describe("docspace readGroups", () => {
  const both = [groupId, otherGroupId];
  const peopleOf = (request: CapturedRequest) =>
    pageOf(queryOf(request)["groupId"] === groupId ? [person(1)] : [person(2)])(request);
  const records = [groupOf([person(1)]), groupOf([person(2)], { id: otherGroupId })];

  it("takes one call for each group, and a list of groups after them", async () => {
    const { calls } = servePortal({ "GET /group": list(records), "GET /people/filter": peopleOf });
    const seen: number[] = [];
    const readings = await makeProvider().readGroups?.(both, context(), (done) => seen.push(done));
    expect(calls()).toEqual(["GET /people/filter", "GET /people/filter", "GET /group"]);
    expect(readings?.map((reading) => reading.status === "fulfilled" && reading.value.members)).toEqual([
      [member(1)],
      [member(2)],
    ]);
    expect(seen).toEqual([1, 2]);
  });

  it("asks for a group that is not listed any more by itself", async () => {
    const { calls } = servePortal({
      "GET /group": list(records.slice(0, 1)),
      "GET /people/filter": peopleOf,
      [`GET /group/${otherGroupId}`]: failure(404),
    });
    const readings = await makeProvider().readGroups?.(both, context());
    expect(readings?.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(readings?.[1]).toMatchObject({ reason: { code: "not-found" } });
    expect(calls().slice(3)).toEqual(["GET /people/filter", `GET /group/${otherGroupId}`, "GET /group"]);
  });

  it("does not go through a long list for the sake of few groups", async () => {
    const many = Array.from({ length: 250 }, (_, index) => groupOf([], { id: guid(5000 + index) }));
    const { calls } = servePortal({
      "GET /group": pageOf([...records, ...many]),
      "GET /people/filter": peopleOf,
      [`GET /group/${groupId}`]: ok(records[0]),
    });
    const provider = makeProvider();
    const pass = context();
    await provider.listGroups(pass);
    expect(calls()).toHaveLength(3);
    expect((await readFirst(provider, pass)).members).toEqual([member(1)]);
    expect(calls().slice(3)).toEqual(["GET /people/filter", `GET /group/${groupId}`]);
  });

  it("settles each group by itself", async () => {
    servePortal({
      "GET /group": list(records),
      "GET /people/filter": (request) => (queryOf(request)["groupId"] === groupId ? failure(500) : list([person(2)])),
    });
    const readings = await makeProvider().readGroups?.([...both, "no guid"], context());
    expect(readings?.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
    expect(readings?.[2]).toMatchObject({ reason: { code: "not-found" } });
  });
});

describe("docspace findAccounts", () => {
  const byEmail = (value: string): AccountKey => ({ by: "email", value });
  const byId = (value: string): AccountKey => ({ by: "id", value });
  const nobody = { "GET /people/filter": list([]), "GET /people/email": failure(404), "GET /group": list([], 1) };

  it("asks a list again that left out somebody who is there: it may have left out a namesake, too", async () => {
    const twins = [person(1, { email: "Twin@example.org" }), person(2, { email: "twin@example.org" })];
    let lists = 0;
    const { calls } = servePortal({
      "GET /people/filter": () => list(++lists === 1 ? [] : twins),
      "GET /people/email": ok(twins[0]),
    });
    const [finding] = await makeProvider().findAccounts([byEmail("twin@example.org")], context());
    expect(finding?.accounts.map((account) => account.id).toSorted()).toEqual([guid(1), guid(2)]);
    expect(calls()).toEqual(["GET /people/filter", "GET /people/email", "GET /people/filter"]);
  });

  it("asks for many addresses in one request and checks equality itself", async () => {
    const { sent } = servePortal({
      "GET /people/filter": list([person(1), person(11), person(2, { email: "P2@Example.ORG" })]),
    });
    const found = await makeProvider().findAccounts(
      [byEmail("p1@example.org"), byEmail(" p2@example.org ")],
      context(),
    );
    expect(found.map(({ accounts }) => accounts.map(({ id }) => id))).toEqual([[guid(1)], [guid(2)]]);
    expect(queryOf(sent[0])).toMatchObject({ filterValue: "p1@example.org|p2@example.org", filterSeparator: "|" });
    expect(sent).toHaveLength(1);
  });

  it("lists everyone with the same address, so that an ambiguous one is seen", async () => {
    servePortal({ "GET /people/filter": list([person(1), person(2, { email: "P1@example.org" })]) });
    const [found] = await makeProvider().findAccounts([byEmail("p1@example.org")], context());
    expect(found?.accounts.map(({ id }) => id)).toEqual([guid(1), guid(2)]);
  });

  it.each([
    ["an active account", {}, { status: "active", eligible: true }],
    ["an invited account", { status: PENDING }, { status: "pending", eligible: true }],
    [
      "a disabled account",
      { status: TERMINATED },
      { status: "disabled", eligible: false, note: "the account is disabled" },
    ],
    [
      "a guest",
      { isVisitor: true },
      { status: "active", eligible: false, note: expect.stringContaining("guest") as string },
    ],
  ])("tells %s apart", async (_, more, expected) => {
    servePortal({ "GET /people/filter": list([person(1, more)]) });
    const [found] = await makeProvider().findAccounts([byEmail("p1@example.org")], context());
    expect(found?.accounts).toEqual([{ id: guid(1), email: "p1@example.org", name: "Person 1", ...expected }]);
  });

  it("asks the exact endpoint, as typed and in lower case, before it calls an address missing", async () => {
    const { sent, calls } = servePortal(nobody);
    const [found] = await makeProvider().findAccounts([byEmail("Ana+Lab@example.org")], context());
    expect(found?.accounts).toEqual([]);
    expect(calls()).toEqual(["GET /people/filter", "GET /people/email", "GET /people/email", "GET /group"]);
    expect(sent.slice(1, 3).map((request) => queryOf(request)["email"])).toEqual([
      "Ana+Lab@example.org",
      "ana+lab@example.org",
    ]);
  });

  it("finds someone whom only the exact endpoint shows", async () => {
    servePortal({ ...nobody, "GET /people/email": ok(person(3, { email: "r&d@example.org" })) });
    const [found] = await makeProvider().findAccounts([byEmail("R&D@example.org")], context());
    expect(found?.accounts).toMatchObject([{ id: guid(3) }]);
  });

  it("does not take a similar address for the one asked for", async () => {
    servePortal({ ...nobody, "GET /people/email": ok(person(3, { email: "jurgen@example.org" })) });
    const [found] = await makeProvider().findAccounts([byEmail("jürgen@example.org")], context());
    expect(found?.accounts).toEqual([]);
  });

  it("reads all pages of a look-up", async () => {
    const crowd = people(150).map((each) => ({ ...each, email: `x${each.email}` }));
    servePortal({ "GET /people/filter": pageOf([...crowd, person(999)]) });
    const [found] = await makeProvider().findAccounts([byEmail("p999@example.org")], context());
    expect(found?.accounts).toMatchObject([{ id: guid(999) }]);
  });

  it("keeps the address line short for long addresses", async () => {
    const { sent } = servePortal({
      ...nobody,
      "GET /people/filter": (request) => list([], queryOf(request)["filterValue"] === undefined ? 100_000 : 0),
    });
    const long = Array.from({ length: 20 }, (_, index) => byEmail(`${"ü".repeat(200)}${index}@example.org`));
    await makeProvider().findAccounts(long, context());
    const filters = sent.filter(({ path }) => path.endsWith("/people/filter")).map(queryOf);
    const asked = filters.flatMap(({ filterValue }) => (filterValue === undefined ? [] : [filterValue]));
    expect(asked.flatMap((value) => value.split("|"))).toHaveLength(20);
    for (const value of asked) expect(encodeURIComponent(value).length).toBeLessThan(4_000);
  });

  it.each([
    ["lists everybody once where that takes fewer calls than filters", 300, { lists: 3, filters: 0 }],
    ["asks 20 to a filter where the list of everybody is longer", 5_000, { lists: 1, filters: 10 }],
  ])("%s", async (_, size, expected) => {
    const everybody = people(size);
    const { sent } = servePortal({
      ...nobody,
      "GET /people/filter": (request) => {
        const value = queryOf(request)["filterValue"];
        return value === undefined
          ? pageOf(everybody)(request)
          : list(everybody.filter(({ email }) => value.split("|").includes(email.toLowerCase())));
      },
    });
    const provider = makeProvider();
    const keys = everybody.slice(0, 200).map(({ email }) => byEmail(email));
    const findings = await provider.findAccounts(keys, context());
    expect(findings.map(({ accounts }) => accounts.map(({ email }) => email))).toEqual(
      keys.map(({ value }) => [value]),
    );
    const asked = sent.map((request) => queryOf(request)["filterValue"] !== undefined);
    expect({ lists: asked.filter((is) => !is).length, filters: asked.filter((is) => is).length }).toEqual(expected);
  });

  it("takes nobody for missing whom a cut list of everybody lacks", async () => {
    const everybody = people(200);
    const { sent } = servePortal({
      ...nobody,
      "GET /people/filter": (request) =>
        // A list that declares more than it shows.
        queryOf(request)["filterValue"] === undefined
          ? list(everybody.slice(0, 90), 91)
          : list(everybody.filter(({ email }) => queryOf(request)["filterValue"]?.includes(email))),
    });
    const keys = everybody.slice(0, 100).map(({ email }) => byEmail(email));
    const findings = await makeProvider().findAccounts(keys, context());
    expect(findings.filter(({ accounts }) => accounts.length === 1)).toHaveLength(100);
    expect(sent.some(({ path }) => path.endsWith("/people/email"))).toBe(false);
  });

  it("leaves an address that holds the separator to the exact endpoint", async () => {
    const { sent } = servePortal({ ...nobody, "GET /people/email": ok(person(4, { email: "a|b@example.org" })) });
    const [found] = await makeProvider().findAccounts([byEmail("a|b@example.org")], context());
    expect(found?.accounts).toMatchObject([{ id: guid(4) }]);
    expect(sent).toHaveLength(1);
  });

  it.each(["", "no address", "two words@example.org", `${"a".repeat(250)}@example.org`])(
    "knows without asking that nobody has the address %j",
    async (value) => {
      const { sent } = servePortal({});
      const [found] = await makeProvider().findAccounts([byEmail(value)], context());
      expect(found?.accounts).toEqual([]);
      expect(sent).toHaveLength(0);
    },
  );

  it("takes an address that the service calls invalid as nobody's", async () => {
    servePortal({ ...nobody, "GET /people/email": failure(400) });
    const [found] = await makeProvider().findAccounts([byEmail("odd..dots@example.org")], context());
    expect(found?.accounts).toEqual([]);
  });

  it("finds accounts by id in any case", async () => {
    servePortal({ [`GET /people/${guid(10)}`]: ok(person(10)) });
    const [found] = await makeProvider().findAccounts([byId(guid(10).toUpperCase())], context());
    expect(found?.accounts).toMatchObject([{ id: guid(10), status: "active" }]);
  });

  it.each(["@self", "filter", "ada", "10001", ""])("does not ask for the id %j, which is no GUID", async (value) => {
    const { sent } = servePortal({});
    const [found] = await makeProvider().findAccounts([byId(value)], context());
    expect(found?.accounts).toEqual([]);
    expect(sent).toHaveLength(0);
  });

  it("treats the lost user as nobody", async () => {
    servePortal({ [`GET /people/${lostUser}`]: ok({ id: lostUser, displayName: "Unknown", status: ACTIVE }) });
    const [found] = await makeProvider().findAccounts([byId(lostUser)], context());
    expect(found?.accounts).toEqual([]);
  });

  it("answers in the order of mixed keys, the missing ones empty", async () => {
    servePortal({
      ...nobody,
      "GET /people/filter": list([person(1)]),
      [`GET /people/${guid(2)}`]: ok(person(2)),
      [`GET /people/${guid(3)}`]: failure(404),
    });
    const keys = [byId(guid(3)), byEmail("p1@example.org"), byId(guid(2)), byEmail("x@example.org")];
    const found = await makeProvider().findAccounts(keys, context());
    expect(found.map(({ key }) => key)).toEqual(keys);
    expect(found.map(({ accounts }) => accounts.length)).toEqual([0, 1, 1, 0]);
  });

  it.each([
    ["by id", [byId(guid(3))]],
    ["by e-mail", [byEmail("x@example.org")]],
  ])("never calls anyone missing %s while the whole portal answers 404", async (_, keys) => {
    servePortal({
      [`GET /people/${guid(3)}`]: failure(404),
      "GET /group": failure(404),
      "GET /people/filter": failure(404),
    });
    expect((await errorOf(makeProvider().findAccounts(keys, context()))).code).toBe("unavailable");
  });

  it.each([
    ["the bulk look-up", { "GET /people/filter": failure(500) }],
    ["the exact look-up", { "GET /people/filter": list([]), "GET /people/email": failure(500) }],
  ])("throws when %s fails: an error is not absence", async (_, routes) => {
    servePortal(routes);
    expect((await errorOf(makeProvider().findAccounts([byEmail("x@example.org")], context()))).code).toBe(
      "unavailable",
    );
  });

  it("refuses more keys than it declares", async () => {
    const { sent } = servePortal({});
    const keys = people(docspaceCapabilities.lookup.keysPerCall.value + 1).map(({ email }) => byEmail(email));
    expect((await errorOf(makeProvider().findAccounts(keys, context()))).code).toBe("unsupported");
    expect(sent).toHaveLength(0);
  });

  it("asks nothing for no keys", async () => {
    const { sent } = servePortal({});
    expect(await makeProvider().findAccounts([], context())).toEqual([]);
    expect(sent).toHaveLength(0);
  });
});

describe("docspace applyBatch", () => {
  const ref = { id: groupId, name: "Night shift" };
  const edit = (n: number, more: Partial<MemberEdit> = {}): MemberEdit => ({
    account: guid(n),
    role: "member",
    ...more,
  });
  const edits = (count: number, from = 1) => Array.from({ length: count }, (_, index) => edit(from + index));
  const change = (more: Partial<Extract<Batch, { kind: "members" }>>): Batch => ({
    kind: "members",
    groups: [ref],
    add: [],
    update: [],
    remove: [],
    ...more,
  });
  const put = `PUT /group/${groupId}`;
  const bodies = (sent: readonly CapturedRequest[]) => sent.map(({ body }) => body);

  it("creates a group with its members and manager in one call and gives back who is really in it", async () => {
    const { sent, calls } = servePortal({
      "POST /group": ok(groupOf([person(1), person(2)], { manager: person(2) })),
    });
    const result = await makeProvider().applyBatch(
      { kind: "group.create", name: "Night shift", add: [edit(1), edit(2, { role: "manager" }), edit(3)] },
      context(),
    );
    expect(calls()).toEqual(["POST /group"]);
    expect(bodies(sent)).toEqual([
      { groupName: "Night shift", groupManager: guid(2), members: [guid(1), guid(2), guid(3)] },
    ]);
    expect(result).toEqual({
      group: { id: groupId, name: "Night shift", kind: "plain" },
      members: [member(1), member(2, { role: "manager" })],
    });
  });

  it("creates an empty group by its name alone", async () => {
    const { sent } = servePortal({ "POST /group": ok(groupOf([])) });
    await makeProvider().applyBatch({ kind: "group.create", name: " padded ", add: [] }, context());
    expect(bodies(sent)).toEqual([{ groupName: " padded " }]);
  });

  it("renames with nothing but the name", async () => {
    const { sent } = servePortal({ [put]: ok(groupOf([], { name: "Late" })) });
    const result = await makeProvider().applyBatch({ kind: "group.update", group: ref, name: "Late" }, context());
    expect(bodies(sent)).toEqual([{ groupName: "Late" }]);
    expect(result.group).toMatchObject({ name: "Late" });
  });

  it.each([
    ["204 and no body", { status: 204 }],
    ["200", ok(true)],
  ])("deletes, answered by %s", async (_, answer) => {
    const { calls } = servePortal({ [`DELETE /group/${groupId}`]: answer });
    expect(await makeProvider().applyBatch({ kind: "group.delete", group: ref }, context())).toEqual({});
    expect(calls()).toEqual([`DELETE /group/${groupId}`]);
  });

  it("says not-found for a group that was deleted already, once the portal has shown that it works", async () => {
    servePortal({ [`DELETE /group/${groupId}`]: failure(404), "GET /group": list([]) });
    const error = await errorOf(makeProvider().applyBatch({ kind: "group.delete", group: ref }, context()));
    expect(error.code).toBe("not-found");
  });

  it("adds, removes and names the manager in one call", async () => {
    const { sent } = servePortal({ [put]: ok(groupOf([person(1)], { manager: person(1) })) });
    const result = await makeProvider().applyBatch(
      change({
        add: [edit(2), edit(3, { role: "manager" })],
        update: [edit(4, { previousRole: "member", direct: false })],
        remove: [edit(5)],
      }),
      context(),
    );
    expect(bodies(sent)).toEqual([
      { groupManager: guid(3), membersToAdd: [guid(2), guid(3), guid(4)], membersToRemove: [guid(5)] },
    ]);
    expect(queryOf(sent[0])["fields"]).toContain("members.id");
    expect(result).toEqual({ members: [member(1, { role: "manager" })] });
  });

  it("promotes a member with the manager alone", async () => {
    const { sent } = servePortal({ [put]: ok(groupOf([])) });
    await makeProvider().applyBatch(
      change({ update: [edit(1, { role: "manager", previousRole: "member" })] }),
      context(),
    );
    expect(bodies(sent)).toEqual([{ groupManager: guid(1) }]);
  });

  it("lets a successor take the role from the manager before, who stays a member", async () => {
    const { sent } = servePortal({ [put]: ok(groupOf([])) });
    await makeProvider().applyBatch(
      change({
        update: [edit(1, { previousRole: "manager" }), edit(2, { role: "manager", previousRole: "member" })],
      }),
      context(),
    );
    expect(bodies(sent)).toEqual([{ groupManager: guid(2) }]);
  });

  it("takes the role without a successor by taking the person out and back in", async () => {
    let puts = 0;
    const { sent, calls } = servePortal({
      [`GET /people/${guid(1)}`]: ok(person(1)),
      [put]: () => ok(groupOf(++puts === 1 ? [person(3)] : [person(1), person(3)])),
    });
    const result = await makeProvider().applyBatch(
      change({ add: [edit(3)], update: [edit(1, { previousRole: "manager" })], remove: [edit(4)] }),
      context(),
    );
    expect(calls()).toEqual([`GET /people/${guid(1)}`, put, put]);
    expect(bodies(sent.slice(1))).toEqual([
      { membersToAdd: [guid(3)], membersToRemove: [guid(4), guid(1)] },
      { membersToAdd: [guid(1)] },
    ]);
    expect(result.members).toEqual([member(1), member(3)]);
  });

  it("does not take out a disabled manager, who could not come back", async () => {
    const { calls } = servePortal({ [`GET /people/${guid(1)}`]: ok(person(1, { status: TERMINATED })) });
    const error = await errorOf(
      makeProvider().applyBatch(change({ update: [edit(1, { previousRole: "manager" })] }), context()),
    );
    expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining("disabled") as string });
    expect(calls()).toEqual([`GET /people/${guid(1)}`]);
  });

  it("marks the outcome unknown when someone could not be put back", async () => {
    let puts = 0;
    servePortal({
      [`GET /people/${guid(1)}`]: ok(person(1)),
      [put]: () => (++puts === 1 ? ok(groupOf([])) : failure(400)),
    });
    const error = await errorOf(
      makeProvider().applyBatch(change({ update: [edit(1, { previousRole: "manager" })] }), context()),
    );
    expect(error).toMatchObject({ code: "refused", facts: { outcomeUnknown: true, status: 400 } });
    expect(error.message).toMatch(/not back in it/);
  });

  it.each([
    ["declare more members than they list", groupOf([person(1)], { membersCount: 2 })],
    ["list no members", { id: groupId, name: "x" }],
  ])("gives no membership from answers that %s", async (_, answer) => {
    servePortal({ [put]: ok(answer) });
    expect(await makeProvider().applyBatch(change({ add: [edit(1)] }), context())).toEqual({});
  });

  it("sends nothing when there is nothing to do", async () => {
    const { sent } = servePortal({});
    expect(await makeProvider().applyBatch(change({}), context())).toEqual({});
    expect(await makeProvider().applyBatch({ kind: "group.update", group: ref }, context())).toEqual({});
    expect(sent).toHaveLength(0);
  });

  it("takes as many accounts as it declares", async () => {
    const { sent } = servePortal({ [put]: ok(groupOf([])) });
    await makeProvider().applyBatch(change({ add: edits(100), remove: edits(100, 200) }), context());
    expect(sent).toHaveLength(1);
  });

  it.each<[string, Batch]>([
    ["an owner", change({ add: [edit(1, { role: "owner" })] })],
    ["two managers", change({ add: [edit(1, { role: "manager" }), edit(2, { role: "manager" })] })],
    [
      "two managers on creation",
      { kind: "group.create", name: "x", add: [edit(1, { role: "manager" }), edit(2, { role: "manager" })] },
    ],
    ["an account in two lists", change({ add: [edit(1)], remove: [edit(1)] })],
    [
      "an account twice, in different case",
      change({ add: [edit(10), { ...edit(10), account: guid(10).toUpperCase() }] }),
    ],
    ["an empty id", change({ add: [{ ...edit(1), account: "" }] })],
    ["an id with a comma", change({ remove: [{ ...edit(1), account: `${guid(1)},${guid(2)}` }] })],
    ["the zero id", change({ add: [{ ...edit(1), account: "00000000-0000-0000-0000-000000000000" }] })],
    ["the lost user", change({ add: [{ ...edit(1), account: lostUser }] })],
    ["too many additions", change({ add: edits(101) })],
    ["too many removals", change({ remove: edits(101) })],
    ["too many on creation", { kind: "group.create", name: "x", add: edits(101) }],
    ["two groups", change({ groups: [ref, { id: otherGroupId, name: "y" }], add: [edit(1)] })],
    ["no group", change({ groups: [], add: [edit(1)] })],
    ["an invitation", change({ remove: [edit(1, { invitation: "i" })] })],
    ["a built-in group", change({ groups: [{ id: everyone.toUpperCase(), name: "Everyone" }], add: [edit(1)] })],
    ["deletion of a built-in group", { kind: "group.delete", group: { id: everyone, name: "Everyone" } }],
    ["renaming of a built-in group", { kind: "group.update", group: { id: everyone, name: "Everyone" }, name: "x" }],
    ["a group id that is none", { kind: "group.delete", group: { id: "10001", name: "x" } }],
    ["a description on creation", { kind: "group.create", name: "x", description: "y", add: [] }],
    ["a description", { kind: "group.update", group: ref, name: "x", description: "y" }],
    ["an empty name", { kind: "group.update", group: ref, name: "" }],
    ["a blank name", { kind: "group.create", name: " \t", add: [] }],
    ["a name of 129 characters", { kind: "group.create", name: "x".repeat(129), add: [] }],
    ["a name with an emoji", { kind: "group.update", group: ref, name: "Night 🌙" }],
  ])("refuses %s and sends nothing", async (_, batch) => {
    const { sent } = servePortal({});
    expect((await errorOf(makeProvider().applyBatch(batch, context()))).code).toBe("unsupported");
    expect(sent).toHaveLength(0);
  });

  it("takes a name of 128 characters", async () => {
    const { sent } = servePortal({ "POST /group": ok(groupOf([])) });
    await makeProvider().applyBatch({ kind: "group.create", name: "x".repeat(128), add: [] }, context());
    expect(sent).toHaveLength(1);
  });

  it.each([500, 502, 503])(
    "leaves the outcome of a write that ended with %d open and does not repeat it",
    async (status) => {
      const { sent } = servePortal({ [put]: failure(status) });
      const error = await errorOf(makeProvider({ maxAttempts: 3 }).applyBatch(change({ add: [edit(1)] }), context()));
      expect(error).toMatchObject({ code: "unavailable", facts: { outcomeUnknown: true } });
      expect(sent).toHaveLength(1);
    },
  );

  it("leaves the outcome of a write open whose answer cannot be read", async () => {
    servePortal({ [put]: ok({ unexpected: true }) });
    const error = await errorOf(makeProvider().applyBatch(change({ add: [edit(1)] }), context()));
    expect(error).toMatchObject({ code: "bad-answer", facts: { outcomeUnknown: true } });
  });
});

describe("docspace errors", () => {
  const shapes: readonly (readonly [string, unknown, string | undefined])[] = [
    [
      "a thrown exception",
      { error: { message: "Nicht gefunden", type: "ItemNotFoundException", stack: null, hresult: 0 }, status: 1 },
      "Nicht gefunden",
    ],
    [
      "a validation problem inside the envelope",
      { response: { title: "One or more validation errors occurred.", errors: { Count: ["Too much."] } }, status: 1 },
      "One or more validation errors occurred. Count Too much.",
    ],
    ["a bare problem", { type: "about:blank", title: "Unauthorized", status: 401 }, "Unauthorized"],
    ["nothing", undefined, undefined],
    ["an empty error", { error: { message: null, type: null } }, undefined],
    ["something else", ["odd"], undefined],
  ];

  it.each(
    shapes.flatMap(([name, body, message]) =>
      (
        [
          [400, "refused"],
          [401, "unauthenticated"],
          [402, "unavailable"],
          [415, "refused"],
          [500, "unavailable"],
        ] satisfies [number, ErrorCode][]
      ).map(([status, code]) => ({ name, body, message, status, code })),
    ),
  )("decide by the status $status whether the body is $name", async ({ body, message, status, code }) => {
    servePortal({ "GET /group": failure(status, body) });
    const error = await errorOf(makeProvider().listGroups(context()));
    expect(error).toMatchObject({ code, facts: { status, provider: "docs", operation: "listGroups" } });
    expect(error.message).toBe(`docs answered ${status} to listGroups${message === undefined ? "." : `: ${message}`}`);
  });

  it("name the field that a validation complains about", async () => {
    servePortal({ "GET /group": failure(400, { response: { title: "Invalid.", errors: { Count: ["1–100"] } } }) });
    expect((await errorOf(makeProvider().listGroups(context()))).facts.field).toBe("Count");
  });

  it("tolerate HTML from a proxy", async () => {
    nock(origin).get("/api/2.0/group").query(true).reply(502, "<html>Bad gateway</html>");
    expect((await errorOf(makeProvider().listGroups(context()))).code).toBe("unavailable");
  });

  it.each([
    ["HTML", "<html>Log in</html>", /HTML/],
    ["broken JSON", '{"response":[', /broken JSON/],
    ["an empty body", "", /not as documented/],
    ["no response", '{"count":0}', /response/],
    ["an object for a list", '{"response":{}}', /response/],
    ["a group without an id", '{"response":[{"name":"x"}],"total":1}', /response\.0\.id/],
    ["a group without a name", '{"response":[{"id":"x"}],"total":1}', /response\.0\.name/],
    ["a total that is no number", '{"response":[],"total":"many"}', /total/],
  ])("call a 200 with %s a bad answer and name what was found", async (_, body, message) => {
    nock(origin).get("/api/2.0/group").query(true).reply(200, body);
    const error = await errorOf(makeProvider().listGroups(context()));
    expect(error.code).toBe("bad-answer");
    expect(error.message).toMatch(message);
  });

  it("tolerate unknown keys and nulls in answers", async () => {
    servePortal({
      "GET /group": list([{ id: groupId, name: "x", isLDAP: null, manager: null, members: null, brandNew: { a: 1 } }]),
    });
    expect((await makeProvider().listGroups(context())).groups).toEqual([{ id: groupId, name: "x", kind: "plain" }]);
  });

  it("wait and go on after a 429 that does not say for how long", async () => {
    let calls = 0;
    servePortal({ "GET /group": () => (++calls === 1 ? failure(429) : list([])) });
    expect((await makeProvider({ maxAttempts: 2 }).listGroups(context())).groups).toEqual([]);
    expect(calls).toBe(2);
  });

  it("say when to come back after the daily limit", async () => {
    servePortal({ "GET /group": { status: 429, headers: { "retry-after": "7200" } } });
    const error = await errorOf(makeProvider().listGroups(context()));
    expect(error.code).toBe("rate-limited");
    expect(error.facts.retryAt).toBeGreaterThan(Date.now() + 7_000_000);
  });

  it("never follow a redirect", async () => {
    servePortal({ "GET /group": { status: 302, headers: { location: "https://elsewhere.example/" } } });
    expect((await errorOf(makeProvider().listGroups(context()))).code).toBe("bad-answer");
  });

  it("never hold the key, even when the service echoes it", async () => {
    const { sent } = servePortal({
      "GET /group": ({ headers }) => failure(400, { error: { message: `bad ${headers["authorization"]}` } }),
    });
    const error = await errorOf(makeProvider({ apiKey: "sk-very-secret" }).listGroups(context()));
    expect(sent[0]?.headers["authorization"]).toContain("sk-very-secret");
    for (const text of [JSON.stringify(error), inspect(error, { depth: 10 }), error.stack ?? ""]) {
      expect(text).not.toContain("sk-very-secret");
    }
  });
});

describe("the docspace API client", () => {
  const makeApi = () =>
    createDocspaceApi({ baseUrl: origin, apiKey: `sk-api-${++made}`, maxAttempts: 1, retryDelayMs: 1 });

  it.each<[string, (api: ReturnType<typeof makeApi>) => Promise<unknown>]>([
    ["adding nobody", (api) => api.addGroupMembers(groupId, [])],
    ["removing nobody", (api) => api.removeGroupMembers(groupId, [])],
    ["replacing by nobody", (api) => api.replaceGroupMembers(groupId, [])],
    ["changing nothing", (api) => api.updateGroup(groupId, {})],
    ["blanking a name", (api) => api.updateGroup(groupId, { groupName: "" })],
    ["naming no manager", (api) => api.setGroupManager(groupId, "")],
    ["moving a group onto itself", (api) => api.moveGroupMembers(groupId, groupId.toUpperCase())],
    ["an id that leads elsewhere", (api) => api.getGroup("..")],
    ["an empty id", (api) => api.getPerson("")],
  ])("refuses %s and sends nothing", async (_, call) => {
    const { sent } = servePortal({});
    expect((await errorOf(call(makeApi()))).code).toBe("options-invalid");
    expect(sent).toHaveLength(0);
  });

  it("refuses unclear credentials", async () => {
    const error = await errorOf((async () => createDocspaceApi({ baseUrl: origin }))());
    expect(error.code).toBe("options-invalid");
  });

  it("sends the token with the authentication status and the log-out, which has no body", async () => {
    const { sent } = servePortal({ "GET /authentication": ok(true), "POST /authentication/logout": ok(undefined) });
    const api = makeApi();
    expect(await api.checkAuthentication()).toBe(true);
    await api.logOut();
    expect(sent.map(({ headers }) => headers["authorization"])).toEqual([
      expect.stringMatching(/^Bearer sk-api-/),
      expect.stringMatching(/^Bearer sk-api-/),
    ]);
    expect(sent[1]).not.toHaveProperty("body");
  });

  it("always says whether it wants members", async () => {
    const { sent } = servePortal({ [`GET /group/${groupId}`]: ok({ id: groupId, name: "x", membersCount: 2 }) });
    const api = makeApi();
    expect((await api.getGroup(groupId, { includeMembers: false })).members).toBeUndefined();
    await api.getGroup(groupId);
    expect(sent.map((request) => queryOf(request)["includeMembers"])).toEqual(["false", "true"]);
  });

  it("reads the groups of a person and the own key", async () => {
    servePortal({
      [`GET /group/user/${guid(1)}`]: ok([{ id: groupId, name: "x", manager: "ada" }]),
      "GET /keys/@self": ok({ permissions: ["accounts:read"], expiresAt: null }),
    });
    const api = makeApi();
    expect(await api.listGroupsOfPerson(guid(1))).toMatchObject([{ id: groupId, manager: "ada" }]);
    expect(await api.getOwnKey()).toMatchObject({ permissions: ["accounts:read"] });
  });
});
