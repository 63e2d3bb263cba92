import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch, MemberEdit } from "../../../src/model.js";
import { type CallContext, createCallContext, type GroupProvider } from "../../../src/provider.js";
import {
  createGenesysApi,
  createGenesysProvider,
  genesysCapabilities,
  genesysProviderType,
} from "../../../src/providers/genesys/index.js";
import { type CannedAnswer, type CapturedRequest, captureRequests } from "../../wire/compare.js";

const ORIGIN = "https://genesys.test";
const SECRET = "very-s3cret-secret";
const GROUP = "b7d4e0aa-52c3-4a8e-8f10-000000000001";
const groupPath = `/api/v2/groups/${GROUP}`;
const ADA = "3f1c9a52-7b1e-4f6d-9c2a-000000000001";
const BOB = "3f1c9a52-7b1e-4f6d-9c2a-000000000002";
const EVE = "3f1c9a52-7b1e-4f6d-9c2a-000000000003";

type Route = CannedAnswer | readonly CannedAnswer[] | ((request: CapturedRequest) => CannedAnswer);

const ok = (body: unknown): CannedAnswer => ({ status: 200, body });
const accepted: CannedAnswer = { status: 202 };
const errorBody = (status: number, code: string, message = "words"): CannedAnswer => ({
  status,
  body: { message, code, status, contextId: "c-1", details: [], errors: [] },
});
const noGroup = errorBody(404, "general.resource.not.found", "Unable to find a group with that groupId");
const noRight = errorBody(403, "missing.permissions", "You are missing the following permission(s): directory:x");
const group = (more: object = {}) => ({ id: GROUP, name: "Night shift", state: "active", version: 7, ...more });
const user = (id: string, more: object = {}) => ({ id, name: "Someone", state: "active", ...more });
const userIds = (count: number) =>
  Array.from({ length: count }, (_, i) => `3f1c9a52-7b1e-4f6d-9c2a-${(i + 1).toString(16).padStart(12, "0")}`);
const listing = (entities: readonly object[], more: object = {}) => ok({ entities, ...more });
const individuals = (...ids: readonly string[]) =>
  listing(
    ids.map((id) => user(id)),
    { total: ids.length },
  );

/** Answers by "METHOD path"; a list is used up one by one, its last one stays. Anything else is a 418. */
function serve(routes: Readonly<Record<string, Route>>): readonly CapturedRequest[] {
  const used = new Map<string, number>();
  return captureRequests(ORIGIN, (request) => {
    if (request.path === "/oauth/token") return ok({ access_token: "issued-t0ken", expires_in: 86_400 });
    const key = `${request.method} ${request.path}`;
    const route = routes[key];
    if (route === undefined) return errorBody(418, "unexpected", `unexpected ${key}`);
    if (typeof route === "function") return route(request);
    if ("status" in route) return route;
    const turn = used.get(key) ?? 0;
    used.set(key, turn + 1);
    return route[Math.min(turn, route.length - 1)] ?? errorBody(418, "empty");
  });
}

/** What went out besides the log-in. */
function calls(sent: readonly CapturedRequest[]): readonly string[] {
  return sent.filter(({ path }) => path !== "/oauth/token").map(({ method, path }) => `${method} ${path}`);
}

function writes(sent: readonly CapturedRequest[]): readonly CapturedRequest[] {
  return sent.filter(({ method, path }) => method !== "GET" && !/search$|token$/.test(path));
}

let made = 0;
/** Of a client of its own: calls of one client share rate limit and pauses. */
function options() {
  return {
    baseUrl: ORIGIN,
    loginUrl: ORIGIN,
    clientId: `client-${++made}`,
    clientSecret: SECRET,
    retryDelayMs: 1,
    maxAttempts: 2,
  };
}

function createProvider(): GroupProvider {
  return createGenesysProvider({ id: "calls", ...options() }, { intervalMs: 1, limitMs: 40 });
}

async function failure(promise: Promise<unknown>): Promise<GroupSyncError> {
  const error: unknown = await promise.then(
    () => new Error("nothing was thrown"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof GroupSyncError) return error;
  throw error;
}

let context: CallContext;
beforeEach(() => {
  nock.disableNetConnect();
  context = createCallContext();
});
afterEach(() => {
  nock.cleanAll();
  nock.enableNetConnect();
});

describe("options", () => {
  const good = { region: "mypurecloud.de", clientId: "id", clientSecret: "s" };
  it.each([
    ["an unknown region", { ...good, region: "mypurecloud.xx" }, /mypurecloud\.xx.*not known.*eu_central_1/],
    ["no place at all", { clientId: "id", clientSecret: "s" }, /give the region/],
    ["both a region and addresses", { ...good, baseUrl: ORIGIN, loginUrl: ORIGIN }, /either the region/],
    ["a baseUrl alone", { clientId: "id", clientSecret: "s", baseUrl: ORIGIN }, /go together/],
    ["plain http", { clientId: "id", clientSecret: "s", baseUrl: "http://x.test", loginUrl: ORIGIN }, /baseUrl.*http/],
    ["an empty secret", { ...good, clientSecret: "" }, /clientSecret: is empty/],
    ["a colon in the client id", { ...good, clientId: "a:b" }, /clientId: holds a colon/],
    ["a misspelt key", { ...good, clientsecret: "s" }, /clientsecret/],
    ["a time that is no number", { ...good, timeoutMs: 0 }, /timeoutMs/],
  ])("are refused with %s", (_what, given, message) => {
    expect(() => createGenesysProvider(given)).toThrow(message);
    expect(genesysProviderType.options.safeParse(given).success).toBe(false);
  });

  it("are accepted for loopback by plain http, and with all settings of the connection", () => {
    const given = {
      baseUrl: "http://127.0.0.1:9/api",
      loginUrl: "http://127.0.0.1:9/login",
      clientId: "id",
      clientSecret: "s",
      timeoutMs: 1,
      maxAttempts: 1,
      retryDelayMs: 0,
      maxWaitMs: 0,
      requestsPerMinute: 10,
    };
    expect(genesysProviderType.options.parse(given)).toEqual(given);
    expect(genesysProviderType.create("second", given)).toMatchObject({ id: "second", type: "genesys" });
  });

  it("name the secret, and are checked by the bare client too", () => {
    expect(genesysProviderType.secretOptions).toEqual(["clientSecret"]);
    expect(() => createGenesysApi({ region: "eu_west_1", clientId: "a:b", clientSecret: "s" })).toThrow(/clientId/);
    expect(() => createGenesysApi({ region: "nowhere", clientId: "a", clientSecret: "s" })).toThrow(/not known/);
  });
});

describe("logging in", () => {
  function refuseLogIn(...answers: readonly CannedAnswer[]): readonly CapturedRequest[] {
    let turn = 0;
    return captureRequests(ORIGIN, ({ path }) => {
      if (path !== "/oauth/token") return ok({ organization: { id: "o" }, entities: [], results: [], total: 0 });
      return answers[Math.min(turn++, answers.length - 1)] ?? accepted;
    });
  }
  const throttled = {
    status: 400,
    body: { error: "invalid_request", error_description: "rate limit exceeded; try again later" },
  };

  it("waits when the token endpoint throttles, though that is a 400", async () => {
    const sent = refuseLogIn(throttled, ok({ access_token: "t" }));
    await expect(createGenesysApi(options()).getOwnToken()).resolves.toMatchObject({ organization: { id: "o" } });
    expect(sent.map(({ path }) => path)).toEqual(["/oauth/token", "/oauth/token", "/api/v2/tokens/me"]);
  });

  it("says rate-limited, not bad credentials, when the throttling does not end", async () => {
    refuseLogIn(throttled);
    expect(await failure(createGenesysApi(options()).getOwnToken())).toMatchObject({ code: "rate-limited" });
  });

  it.each([
    ["400 invalid_client", { status: 400, body: { error: "invalid_client", error_description: "client not found" } }],
    ["401 invalid_client", { status: 401, body: { error: "invalid_client" } }],
    ["401 without a body", { status: 401 }],
    ["an ErrorBody", { status: 400, body: { code: "bad.credentials", message: "Invalid login credentials." } }],
  ])("takes %s for bad credentials, and does not try again", async (_what, answer) => {
    const sent = refuseLogIn(answer);
    const error = await failure(createProvider().checkAccess(context));
    expect(error).toMatchObject({ code: "unauthenticated", facts: { operation: "logIn", status: answer.status } });
    expect(error.facts.hint).toMatch(/clientSecret/);
    expect(sent).toHaveLength(1);
  });

  it("takes another 400 for what it is: a request that was refused", async () => {
    refuseLogIn({ status: 400, body: { error: "invalid_request", error_description: "grant_type missing" } });
    expect(await failure(createProvider().checkAccess(context))).toMatchObject({ code: "refused" });
  });

  it("never takes a 404 of the log-in host for a group that is gone", async () => {
    refuseLogIn({ status: 404, body: { code: "not.found", message: "no such page" } });
    expect(await failure(createProvider().readGroup(GROUP, context))).toMatchObject({ code: "unavailable" });
  });

  it("refuses a token answer without a token, and does not repeat what was in it", async () => {
    refuseLogIn(ok({ accessToken: "hidden-in-the-wrong-field" }));
    const error = await failure(createProvider().checkAccess(context));
    expect(error.code).toBe("bad-answer");
    expect(error.message).toMatch(/access_token is missing or wrong/);
    expect(inspect(error)).not.toContain("hidden-in-the-wrong-field");
  });

  it.each([
    [120, 1],
    [0.05, 2],
  ])("takes the life of a token in seconds: of %d s, it logs in %i times", async (seconds, logIns) => {
    const sent = captureRequests(ORIGIN, ({ path }) =>
      path === "/oauth/token" ? ok({ access_token: "t", expires_in: seconds }) : ok({}),
    );
    const api = createGenesysApi(options());
    await api.getOwnToken();
    await sleep(100);
    await api.getOwnToken();
    expect(sent.filter(({ path }) => path === "/oauth/token")).toHaveLength(logIns);
  });

  it("logs in once more when a token is refused in mid-run", async () => {
    const sent = serve({
      "GET /api/v2/tokens/me": [errorBody(401, "bad.credentials"), ok({ organization: { id: "o" } })],
    });
    await createGenesysApi(options()).getOwnToken();
    expect(sent.map(({ path }) => path)).toEqual([
      "/oauth/token",
      "/api/v2/tokens/me",
      "/oauth/token",
      "/api/v2/tokens/me",
    ]);
  });
});

describe("checkAccess", () => {
  const fine = {
    "GET /api/v2/tokens/me": ok({ organization: { id: "org-1", name: "Acme" }, OAuthClient: { name: "sync" } }),
    "GET /api/v2/groups": listing([group()], { total: 12 }),
    [`GET ${groupPath}/dynamicsettings`]: noGroup,
    "POST /api/v2/users/search": ok({ results: [], total: 0 }),
  };
  const levels = async (routes: Readonly<Record<string, Route>>) => {
    serve(routes);
    const { findings } = await createProvider().checkAccess(context);
    return findings.filter(({ level }) => level !== "ok").map(({ level, message }) => `${level}: ${message}`);
  };

  it("names the organisation and the client by their ids, and nobody as its own account", async () => {
    serve(fine);
    const given = options();
    const report = await createGenesysProvider(given).checkAccess(context);
    expect(report.identity).toBe(`organisation org-1, OAuth client ${given.clientId}`);
    expect(report.ownAccount).toBeUndefined();
    expect(report.findings.map(({ level }) => level)).not.toContain("error");
    expect(report.findings.map(({ message }) => message).join(" ")).toMatch(/"sync".*"Acme".*12 groups/);
    expect(inspect(report)).not.toContain(SECRET);
  });

  it("asks for the organisation when the token does not tell it", async () => {
    serve({
      ...fine,
      "GET /api/v2/tokens/me": ok({}),
      "GET /api/v2/organizations/me": ok({ id: "org-2", name: "Acme" }),
    });
    expect((await createProvider().checkAccess(context)).identity).toMatch(/^organisation org-2,/);
  });

  it("finds nothing wrong when everything may be read", async () => {
    expect(await levels(fine)).toEqual([]);
  });

  it("finds that people cannot be looked up", async () => {
    expect(await levels({ ...fine, "POST /api/v2/users/search": noRight })).toEqual([
      expect.stringMatching(/^error: .*directory:user:view/),
    ]);
  });

  it("finds that groups cannot be read", async () => {
    expect(await levels({ ...fine, "GET /api/v2/groups": noRight })).toEqual([
      expect.stringMatching(/^error: .*directory:group:view/),
    ]);
  });

  it("warns when dynamic groups cannot be told apart", async () => {
    expect(await levels({ ...fine, [`GET ${groupPath}/dynamicsettings`]: noRight })).toEqual([
      expect.stringMatching(/^warning: .*directory:group:view/),
    ]);
  });

  it("has nothing to try dynamic settings on in an empty organisation", async () => {
    expect(await levels({ ...fine, "GET /api/v2/groups": listing([], { total: 0 }) })).toEqual([]);
  });
});

describe("listGroups", () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ id: `g-${i}`, name: `Group ${i}`, state: "active", version: 1 }));
  /** Serves a list by pages, of at most `max` rows whatever is asked for. */
  const paged =
    (rows: readonly object[], max = 100, more: object = {}): Route =>
    ({ query }) => {
      const asked = new Map(query);
      const pageSize = Math.min(max, Number(asked.get("pageSize")));
      const pageNumber = Number(asked.get("pageNumber"));
      const pageCount = Math.ceil(rows.length / pageSize);
      const entities = rows.slice((pageNumber - 1) * pageSize, pageNumber * pageSize);
      return listing(entities, { pageSize, pageNumber, total: rows.length, pageCount, ...more });
    };

  it.each([
    [0, 1],
    [1, 1],
    [99, 1],
    [100, 1],
    [101, 2],
    [250, 3],
  ])("reads %i groups on %i pages, and proves it", async (count, pages) => {
    const sent = serve({ "GET /api/v2/groups": paged(many(count)) });
    const { groups, evidence } = await createProvider().listGroups(context);
    expect(groups).toHaveLength(count);
    expect(evidence).toMatchObject({ complete: true, counted: count, declared: count, pages });
    expect(calls(sent)).toHaveLength(pages);
  });

  it("goes by the pages that come, when they are smaller than asked for", async () => {
    serve({ "GET /api/v2/groups": paged(many(60), 25) });
    const { groups, evidence } = await createProvider().listGroups(context);
    expect(groups).toHaveLength(60);
    expect(evidence).toMatchObject({ complete: true, pages: 3 });
  });

  it("is not complete when rows shift between pages", async () => {
    const rows = many(150);
    serve({
      "GET /api/v2/groups": [
        listing(rows.slice(0, 100), { total: 150, pageCount: 2 }),
        listing(rows.slice(99, 149), { total: 150, pageCount: 2 }),
      ],
    });
    const { evidence } = await createProvider().listGroups(context);
    expect(evidence).toMatchObject({ complete: false, moved: true, duplicates: 1, counted: 149 });
  });

  it("is not complete when the total lies, a page is empty, or no total is declared", async () => {
    const cases: readonly Route[] = [
      listing(many(3), { total: 5, pageCount: 1 }),
      [listing(many(3), { total: 5 }), listing([], { total: 5 })],
      listing(many(3), { pageCount: 1 }),
    ];
    for (const route of cases) {
      nock.cleanAll();
      serve({ "GET /api/v2/groups": route });
      const { evidence } = await createProvider().listGroups(createCallContext());
      expect(evidence.complete).toBe(false);
    }
  });

  it("leaves out groups that are not active, but counts them", async () => {
    const rows = [group(), { ...group(), id: "g-2", state: "deleted" }, { ...group(), id: "g-3", state: "inactive" }];
    serve({ "GET /api/v2/groups": listing(rows, { total: 3, pageCount: 1 }) });
    const { groups, evidence } = await createProvider().listGroups(context);
    expect(groups).toEqual([{ id: GROUP, name: "Night shift", version: "7", kind: "plain" }]);
    expect(evidence).toMatchObject({ complete: true, counted: 3 });
  });

  it("reads the list anew when asked again, as for one that moved", async () => {
    const sent = serve({ "GET /api/v2/groups": paged(many(2)) });
    const provider = createProvider();
    await provider.listGroups(context);
    await provider.listGroups(context);
    expect(calls(sent)).toHaveLength(2);
  });

  it("accepts unknown and missing fields, but not a list without entities", async () => {
    serve({ "GET /api/v2/groups": listing([{ id: "g", name: "G", chat: { jabberId: "x" } }], { total: 1 }) });
    expect((await createProvider().listGroups(context)).groups).toEqual([{ id: "g", name: "G", kind: "plain" }]);
    nock.cleanAll();
    serve({ "GET /api/v2/groups": ok({ results: [], total: 0 }) });
    const error = await failure(createProvider().listGroups(createCallContext()));
    expect(error).toMatchObject({ code: "bad-answer", message: expect.stringMatching(/entities is missing/) });
  });
});

describe("readGroup", () => {
  const plain = { [`GET ${groupPath}/dynamicsettings`]: noGroup };
  const read = async (routes: Readonly<Record<string, Route>>) => {
    const sent = serve({ [`GET ${groupPath}`]: ok(group()), ...plain, ...routes });
    const snapshot = await createProvider().readGroup(GROUP, context);
    return { ...snapshot, sent };
  };
  const list = `GET ${groupPath}/individuals`;

  it("is complete when the total equals the individuals under one version", async () => {
    const { evidence, members, sent } = await read({ [list]: individuals(ADA, BOB) });
    expect(evidence).toMatchObject({
      complete: true,
      counted: 2,
      declared: 2,
      versionBefore: "7",
      versionAfter: "7",
    });
    expect(evidence.weak).toBeUndefined();
    expect(members.map(({ account }) => account)).toEqual([ADA, BOB]);
    expect(calls(sent)).toEqual([`GET ${groupPath}`, `GET ${groupPath}/dynamicsettings`, list, `GET ${groupPath}`]);
  });

  it("never takes /members for the membership", async () => {
    const { sent } = await read({ [list]: individuals(ADA) });
    expect(sent.some(({ path }) => path.endsWith("/members"))).toBe(false);
  });

  it("does not compare with memberCount, which counts others too", async () => {
    const { evidence } = await read({
      [`GET ${groupPath}`]: ok(group({ memberCount: 40 })),
      [list]: individuals(ADA),
    });
    expect(evidence.complete).toBe(true);
  });

  it("proves an empty group like any other", async () => {
    expect((await read({ [list]: individuals() })).evidence).toMatchObject({ complete: true, counted: 0 });
  });

  it("asks to be read again when the version changed meanwhile", async () => {
    const { evidence } = await read({
      [`GET ${groupPath}`]: [ok(group()), ok(group({ version: 8 }))],
      [list]: individuals(ADA),
    });
    expect(evidence).toMatchObject({ complete: false, moved: true, versionBefore: "7", versionAfter: "8" });
  });

  it.each([
    ["there are more pages", { total: 1, pageCount: 2 }],
    ["there are more pages and no total", { pageCount: 2 }],
    ["a next page is named and no total", { nextUri: "/api/v2/groups/x/individuals?pageNumber=2" }],
  ])("is cut, and not complete, when %s", async (_what, more) => {
    const { evidence } = await read({ [list]: listing([user(ADA)], more) });
    expect(evidence.complete).toBe(false);
    expect(evidence.moved).toBeUndefined();
    expect(evidence.because).toMatch(/cut/);
  });

  it("is cut, and asks to be read again, when the total is larger than the one page", async () => {
    const { evidence } = await read({ [list]: listing([user(ADA)], { total: 3 }) });
    expect(evidence).toMatchObject({ complete: false, moved: true, because: expect.stringMatching(/cut/) });
  });

  it("is not taken for empty at once where the record counts members", async () => {
    const routes = {
      [`GET ${groupPath}`]: ok(group({ memberCount: 1 })),
      [list]: [individuals(), individuals(ADA)],
    };
    const { members, evidence } = await read(routes);
    expect(evidence).toMatchObject({ complete: true, counted: 1 });
    expect(members).toHaveLength(1);
  });

  it("does not take a next page for a cut when the total fits", async () => {
    const { evidence } = await read({ [list]: listing([user(ADA)], { total: 1, pageCount: 1, nextUri: "/x" }) });
    expect(evidence.complete).toBe(true);
  });

  it("is not complete when a row came twice in place of another, or the total is too small", async () => {
    const twice = await read({ [list]: listing([user(ADA), user(ADA)], { total: 2 }) });
    expect(twice.evidence).toMatchObject({ complete: false, duplicates: 1, counted: 1 });
    nock.cleanAll();
    const short = await read({ [list]: listing([user(ADA), user(BOB)], { total: 1 }) });
    expect(short.evidence.complete).toBe(false);
  });

  it("is complete by weaker proof when two readings without a total are equal", async () => {
    const { evidence, sent } = await read({
      [list]: [listing([user(ADA), user(BOB)]), listing([user(BOB), user(ADA)])],
    });
    expect(evidence).toMatchObject({ complete: true, weak: true, counted: 2 });
    expect(evidence.declared).toBeUndefined();
    expect(calls(sent).filter((call) => call === list)).toHaveLength(2);
  });

  it("asks to be read again when two readings without a total differ", async () => {
    const { evidence } = await read({ [list]: [listing([user(ADA)]), listing([user(BOB)])] });
    expect(evidence).toMatchObject({ complete: false, moved: true });
  });

  it.each([25, 50, 100, 200, 500])("does not trust %i individuals without a total: that is a page", async (length) => {
    const { evidence } = await read({ [list]: listing(userIds(length).map((id) => user(id))) });
    expect(evidence).toMatchObject({ complete: false, counted: length });
  });

  it.each([24, 26, 51])("trusts %i individuals without a total", async (length) => {
    const { evidence } = await read({ [list]: listing(userIds(length).map((id) => user(id))) });
    expect(evidence).toMatchObject({ complete: true, weak: true });
  });

  it("does not trust as many individuals as the answer says fit a page", async () => {
    const { evidence } = await read({ [list]: listing([user(ADA), user(BOB)], { pageSize: 2 }) });
    expect(evidence.complete).toBe(false);
  });

  it("proves nothing without a version", async () => {
    const { evidence, group: found } = await read({
      [`GET ${groupPath}`]: ok({ id: GROUP, name: "N" }),
      [list]: individuals(ADA),
    });
    expect(evidence.complete).toBe(false);
    expect(found.version).toBeUndefined();
  });

  it("tells owners from members, and whether they are individuals too", async () => {
    const { members } = await read({
      [`GET ${groupPath}`]: ok(group({ owners: [{ id: ADA, selfUri: "/x" }, { id: EVE }] })),
      [list]: individuals(ADA, BOB),
    });
    expect(members.map(({ account, role, direct }) => ({ account, role, direct }))).toEqual([
      { account: ADA, role: "owner", direct: true },
      { account: BOB, role: "member", direct: true },
      { account: EVE, role: "owner", direct: false },
    ]);
  });

  it("marks inactive and deleted people as disabled, and keeps address and name", async () => {
    const { members } = await read({
      [list]: listing(
        [
          user(ADA, { email: "ada@example.org", name: "Ada" }),
          user(BOB, { state: "inactive" }),
          { id: EVE, state: "deleted" },
        ],
        { total: 3 },
      ),
    });
    expect(members.map(({ state }) => state)).toEqual(["active", "disabled", "disabled"]);
    expect(members[0]).toMatchObject({ email: "ada@example.org", name: "Ada" });
  });

  it("marks a group with a skill expression as dynamic", async () => {
    const { group: found } = await read({
      [`GET ${groupPath}/dynamicsettings`]: ok({ group: { id: GROUP }, query: { skillConditions: [{}] } }),
      [list]: individuals(ADA),
    });
    expect(found.kind).toBe("dynamic");
  });

  it.each([
    ["plain", "no condition at all", { group: { id: GROUP }, query: { skillConditions: [] } }],
    ["dynamic", "an expression that is not shown", { group: { id: GROUP } }],
  ])("takes a group for %s whose dynamic settings hold %s", async (kind, _what, settings) => {
    const { group: found } = await read({
      [`GET ${groupPath}/dynamicsettings`]: ok(settings),
      [list]: individuals(ADA),
    });
    expect(found.kind).toBe(kind);
  });

  it("takes a group for plain when dynamic settings may not be read", async () => {
    const { group: found } = await read({
      [`GET ${groupPath}/dynamicsettings`]: noRight,
      [list]: individuals(ADA),
    });
    expect(found.kind).toBe("plain");
  });

  it("asks for dynamic settings once per pass", async () => {
    const sent = serve({ [`GET ${groupPath}`]: ok(group()), ...plain, [list]: individuals(ADA) });
    const provider = createProvider();
    await provider.readGroup(GROUP, context);
    await provider.readGroup(GROUP, context);
    expect(calls(sent).filter((call) => call.endsWith("dynamicsettings"))).toHaveLength(1);
  });

  it("does not find a group that answers 404 with a code, or is deleted", async () => {
    for (const answer of [noGroup, errorBody(404, "not.found"), ok(group({ state: "deleted" }))]) {
      nock.cleanAll();
      serve({ [`GET ${groupPath}`]: answer });
      expect(await failure(createProvider().readGroup(GROUP, createCallContext()))).toMatchObject({
        code: "not-found",
      });
    }
  });

  it("does not take a 404 without a code for a group that is gone", async () => {
    serve({ [`GET ${groupPath}`]: { status: 404, body: { message: "no route" } } });
    expect(await failure(createProvider().readGroup(GROUP, context))).toMatchObject({ code: "unavailable" });
  });

  it("refuses an inactive group", async () => {
    serve({ [`GET ${groupPath}`]: ok(group({ state: "inactive" })) });
    expect(await failure(createProvider().readGroup(GROUP, context))).toMatchObject({ code: "unsupported" });
  });

  it("asks to be read again when a new group has no list of individuals yet", async () => {
    const { evidence, members } = await read({ [list]: noGroup });
    expect(evidence).toMatchObject({ complete: false, moved: true });
    expect(members).toEqual([]);
  });

  it.each(["", ".", ".."])("sends nothing for the id %j", async (groupId) => {
    const sent = serve({});
    expect(await failure(createProvider().readGroup(groupId, context))).toMatchObject({ code: "options-invalid" });
    expect(sent).toEqual([]);
  });
});

describe("findAccounts", () => {
  const found = (...results: readonly object[]) => ok({ results, total: results.length, pageCount: 1 });
  const byEmail = (value: string) => [{ by: "email" as const, value }];

  it("asks for ids all at once, whatever their state, and answers in the order of the keys", async () => {
    const sent = serve({
      "GET /api/v2/users": listing([user(BOB, { state: "inactive" }), user(ADA, { email: "ada@example.org" })], {
        total: 2,
        pageCount: 1,
      }),
    });
    const keys = [ADA, EVE, BOB].map((value) => ({ by: "id" as const, value }));
    const findings = await createProvider().findAccounts(keys, context);
    expect(findings.map(({ key }) => key)).toEqual(keys);
    expect(findings.map(({ accounts }) => accounts[0]?.status)).toEqual(["active", undefined, "disabled"]);
    expect(findings[2]?.accounts[0]).toMatchObject({ eligible: false, note: expect.stringMatching(/inactive/) });
    const [request] = sent.filter(({ path }) => path === "/api/v2/users");
    expect(Object.fromEntries(request?.query ?? [])).toMatchObject({ id: `${ADA},${EVE},${BOB}`, state: "any" });
  });

  it("reads on when the service makes its pages smaller", async () => {
    serve({
      "GET /api/v2/users": [
        listing([user(ADA)], { total: 2, pageCount: 2 }),
        listing([user(BOB)], { total: 2, pageCount: 2 }),
      ],
    });
    const keys = [ADA, BOB].map((value) => ({ by: "id" as const, value }));
    const findings = await createProvider().findAccounts(keys, context);
    expect(findings.every(({ accounts }) => accounts.length === 1)).toBe(true);
  });

  it("never takes a cut answer for absence", async () => {
    serve({ "GET /api/v2/users": listing([user(ADA)], { total: 2, pageCount: 1 }) });
    const keys = [ADA, BOB].map((value) => ({ by: "id" as const, value }));
    expect(await failure(createProvider().findAccounts(keys, context))).toMatchObject({ code: "bad-answer" });
    nock.cleanAll();
    serve({ "POST /api/v2/users/search": ok({ results: [], total: 1, pageCount: 1 }) });
    expect(await failure(createProvider().findAccounts(byEmail("a@b.org"), context))).toMatchObject({
      code: "bad-answer",
    });
  });

  it("throws when a look-up fails", async () => {
    serve({ "POST /api/v2/users/search": noRight });
    expect(await failure(createProvider().findAccounts(byEmail("a@b.org"), context))).toMatchObject({
      code: "forbidden",
    });
  });

  it("searches an address exactly, and compares without regard to case and outer spaces", async () => {
    const sent = serve({
      "POST /api/v2/users/search": found(
        user(ADA, { email: "Ana+Lab@Example.org" }),
        user(BOB, { email: "ana@example.org" }),
      ),
    });
    const [finding] = await createProvider().findAccounts(byEmail(" ana+lab@example.ORG "), context);
    expect(finding?.accounts.map(({ id }) => id)).toEqual([ADA]);
    expect(sent.at(-1)?.body).toMatchObject({
      query: [{ type: "EXACT", fields: ["email"], value: "ana+lab@example.ORG" }],
    });
  });

  it("asks in lower case too, and for inactive and deleted people, before it says that nobody is there", async () => {
    const sent = serve({ "POST /api/v2/users/search": found() });
    const [finding] = await createProvider().findAccounts(byEmail("Ana@Example.org"), context);
    expect(finding?.accounts).toEqual([]);
    const queries = sent
      .filter(({ path }) => path === "/api/v2/users/search")
      .map(({ body }) => (body as { query: readonly { value?: string; values?: readonly string[] }[] }).query)
      .map(([email, state]) => [email?.value, state?.values]);
    expect(queries).toEqual([
      ["Ana@Example.org", undefined],
      ["ana@example.org", undefined],
      ["Ana@Example.org", ["inactive", "deleted"]],
      ["ana@example.org", ["inactive", "deleted"]],
    ]);
  });

  it("returns all who have the address", async () => {
    serve({
      "POST /api/v2/users/search": found(
        user(ADA, { email: "a@b.org" }),
        user(BOB, { email: "A@b.org", state: "inactive" }),
      ),
    });
    const [finding] = await createProvider().findAccounts(byEmail("a@b.org"), context);
    expect(finding?.accounts.map(({ id, eligible }) => [id, eligible])).toEqual([
      [ADA, true],
      [BOB, false],
    ]);
  });

  it("prefers a living account to a deleted one, and finds an inactive one that the plain search hides", async () => {
    serve({
      "POST /api/v2/users/search": [
        found(user(EVE, { email: "a@b.org", state: "deleted" })),
        found(user(EVE, { email: "a@b.org", state: "deleted" }), user(BOB, { email: "a@b.org", state: "inactive" })),
      ],
    });
    const [finding] = await createProvider().findAccounts(byEmail("a@b.org"), context);
    expect(finding?.accounts).toMatchObject([{ id: BOB, status: "disabled", eligible: false }]);
  });

  it("says that only a deleted account had the address", async () => {
    serve({ "POST /api/v2/users/search": found(user(EVE, { email: "a@b.org", state: "deleted" })) });
    const [finding] = await createProvider().findAccounts(byEmail("a@b.org"), context);
    expect(finding?.accounts).toMatchObject([{ id: EVE, status: "deleted", eligible: false }]);
  });

  it("does not call an account eligible whose state it was not told", async () => {
    serve({ "POST /api/v2/users/search": found({ id: ADA, email: "a@b.org" }) });
    const [finding] = await createProvider().findAccounts(byEmail("a@b.org"), context);
    expect(finding?.accounts).toMatchObject([{ id: ADA, eligible: false, note: expect.stringMatching(/not say/) }]);
  });

  it("reads a search of several pages, and rejects one without results", async () => {
    serve({
      "POST /api/v2/users/search": ({ body }) => {
        const { pageNumber } = body as { pageNumber: number };
        const results = [user(pageNumber === 1 ? ADA : BOB, { email: "a@b.org" })];
        return ok({ results, total: 2, pageCount: 2 });
      },
    });
    const [finding] = await createProvider().findAccounts(byEmail("a@b.org"), context);
    expect(finding?.accounts).toHaveLength(2);
    nock.cleanAll();
    serve({ "POST /api/v2/users/search": ok({ entities: [], total: 0 }) });
    expect(await failure(createProvider().findAccounts(byEmail("a@b.org"), context))).toMatchObject({
      code: "bad-answer",
    });
  });

  it.each([
    ["an empty address", [{ by: "email" as const, value: "  " }]],
    ["an empty id", [{ by: "id" as const, value: "" }]],
    ["an id with a comma", [{ by: "id" as const, value: `${ADA},${BOB}` }]],
    ["too many keys", userIds(10_001).map((value) => ({ by: "id" as const, value }))],
  ])("sends nothing for %s", async (_what, keys) => {
    const sent = serve({});
    expect((await failure(createProvider().findAccounts(keys, context))).code).toMatch(/options-invalid|unsupported/);
    expect(sent).toEqual([]);
  });

  it("takes as many ids as it declares, a hundred to a call", async () => {
    const ids = userIds(genesysCapabilities.lookup.keysPerCall.value);
    const sent = serve({
      "GET /api/v2/users": ({ query }) => {
        const asked = (query.find(([name]) => name === "id")?.[1] ?? "").split(",");
        return listing(
          asked.map((id) => user(id)),
          { total: asked.length, pageCount: 1 },
        );
      },
    });
    const findings = await createProvider().findAccounts(
      ids.map((value) => ({ by: "id" as const, value })),
      context,
    );
    expect(findings.filter(({ accounts }) => accounts.length === 1)).toHaveLength(ids.length);
    expect(calls(sent)).toHaveLength(ids.length / 100);
  });

  const mails = ["ada@b.org", "bob@b.org", "cid@b.org", "dee@b.org", "eve@b.org"];
  const byMails = mails.map((value) => ({ by: "email" as const, value }));

  it("lists everybody instead of searching one by one where that takes fewer calls", async () => {
    const ids = userIds(5);
    const sent = serve({
      "GET /api/v2/users": listing(
        ids.map((id, index) => user(id, { email: mails[index]?.toUpperCase() ?? "" })),
        { total: 5, pageCount: 1 },
      ),
    });
    const findings = await createProvider().findAccounts(byMails, context);
    expect(findings.map(({ accounts }) => accounts.map(({ id }) => id))).toEqual(ids.map((id) => [id]));
    expect(calls(sent)).toHaveLength(1);
  });

  it("searches for whoever is not in the list, or only deleted there", async () => {
    const [ada = "", ...others] = userIds(5);
    const sent = serve({
      "GET /api/v2/users": listing(
        [
          user(ada, { email: "ada@b.org", state: "deleted" }),
          ...others.slice(1).map((id, index) => user(id, { email: mails[index + 2] ?? "" })),
        ],
        { total: 4, pageCount: 1 },
      ),
      "POST /api/v2/users/search": found(),
    });
    const findings = await createProvider().findAccounts(byMails, context);
    expect(findings.map(({ accounts }) => accounts.length)).toEqual([0, 0, 1, 1, 1]);
    const searched = sent.filter(({ path }) => path === "/api/v2/users/search").map(({ body }) => JSON.stringify(body));
    expect(searched.every((body) => /ada@b.org|bob@b.org/.test(body))).toBe(true);
    expect(searched.length).toBeGreaterThan(0);
  });

  it("searches one by one when the list is longer than the addresses, or cannot be read whole", async () => {
    for (const page of [
      { total: 900, pageCount: 9 },
      { total: 2, pageCount: 1 },
    ]) {
      nock.cleanAll();
      const sent = serve({
        "GET /api/v2/users": listing([user(ADA, { email: "ada@b.org" })], page),
        "POST /api/v2/users/search": found(user(BOB, { email: "ada@b.org" })),
      });
      const [ada] = await createProvider().findAccounts(byMails, createCallContext());
      expect(ada?.accounts.map(({ id }) => id)).toEqual([BOB]);
      expect(sent.filter(({ path }) => path === "/api/v2/users")).toHaveLength(1);
    }
  });
});

const edit = (account: string, role: MemberEdit["role"] = "member", more: Partial<MemberEdit> = {}): MemberEdit => ({
  account,
  role,
  ...more,
});
const ref = (version?: string) => ({ id: GROUP, name: "Night shift", ...(version !== undefined && { version }) });
const members = (
  edits: Partial<Record<"add" | "update" | "remove", readonly MemberEdit[]>>,
  version?: string,
): Batch => ({ kind: "members", groups: [ref(version)], add: [], update: [], remove: [], ...edits });

describe("applyBatch to members", () => {
  const apply = (batch: Batch) => createProvider().applyBatch(batch, context);

  it("adds with the version that was read, in one request, and claims nothing about anybody", async () => {
    const sent = serve({ [`POST ${groupPath}/members`]: accepted });
    expect(await apply(members({ add: [edit(ADA), edit(BOB)] }, "7"))).toEqual({});
    expect(calls(sent)).toEqual([`POST ${groupPath}/members`]);
    expect(sent.at(-1)?.body).toEqual({ memberIds: [ADA, BOB], version: 7 });
  });

  it("reads the version when it was not given", async () => {
    const sent = serve({
      [`GET ${groupPath}`]: ok(group({ version: 9 })),
      [`POST ${groupPath}/members`]: { status: 202, body: {} },
    });
    await apply(members({ add: [edit(ADA)] }));
    expect(writes(sent).map(({ body }) => body)).toEqual([{ memberIds: [ADA], version: 9 }]);
  });

  it("removes by one list of ids in the query, without a body and without a version", async () => {
    const sent = serve({ [`DELETE ${groupPath}/members`]: accepted });
    await apply(members({ remove: [edit(ADA), edit(BOB)] }, "7"));
    expect(calls(sent)).toEqual([`DELETE ${groupPath}/members`]);
    expect(sent.at(-1)?.query).toEqual([["ids", `${ADA},${BOB}`]]);
    expect(sent.at(-1)).not.toHaveProperty("body");
  });

  it("adds an owner as a member first, then to the list of owners", async () => {
    const sent = serve({
      [`GET ${groupPath}`]: ok(group({ version: 8, owners: [{ id: EVE }] })),
      [`POST ${groupPath}/members`]: accepted,
      [`PUT ${groupPath}`]: ok(group({ version: 9 })),
    });
    await apply(members({ add: [edit(ADA, "owner"), edit(BOB)] }, "7"));
    expect(writes(sent).map(({ method, body }) => [method, body])).toEqual([
      ["POST", { memberIds: [ADA, BOB], version: 7 }],
      ["PUT", { version: 8, ownerIds: [EVE, ADA] }],
    ]);
  });

  it("raises a member and lowers an owner by one list of owners", async () => {
    const sent = serve({
      [`GET ${groupPath}`]: ok(group({ owners: [{ id: ADA }, { id: EVE }] })),
      [`PUT ${groupPath}`]: ok(group({ version: 8 })),
    });
    await apply(members({ update: [edit(ADA, "member", { previousRole: "owner" }), edit(BOB, "owner")] }, "7"));
    expect(writes(sent).map(({ body }) => body)).toEqual([{ version: 7, ownerIds: [EVE, BOB] }]);
  });

  it.each([true, false])(
    "adds an owner who is lowered to a member, and was no individual, and takes the ownership once that shows (%s)",
    async (shows) => {
      const sent = serve({
        [`GET ${groupPath}`]: [
          ok(group({ owners: [{ id: ADA }, { id: EVE }] })),
          ok(group({ version: 8, owners: [{ id: ADA }, { id: EVE }] })),
        ],
        [`GET ${groupPath}/individuals`]: ok({ entities: shows ? [{ id: ADA }] : [], total: shows ? 1 : 0 }),
        [`POST ${groupPath}/members`]: accepted,
        [`PUT ${groupPath}`]: ok(group({ version: 9 })),
      });
      const change = () =>
        apply(members({ update: [edit(ADA, "member", { previousRole: "owner", direct: false })] }, "7"));
      if (shows) await change();
      else await expect(change()).rejects.toMatchObject({ code: "conflict" });
      const added = ["POST", { memberIds: [ADA], version: 7 }];
      expect(writes(sent).map(({ method, body }) => [method, body])).toEqual(
        shows ? [added, ["PUT", { version: 8, ownerIds: [EVE] }]] : [added],
      );
    },
  );

  it("writes nothing when the owners are as wished already", async () => {
    const sent = serve({ [`GET ${groupPath}`]: ok(group({ owners: [{ id: ADA }] })) });
    await apply(members({ update: [edit(ADA, "owner")] }, "7"));
    expect(writes(sent)).toEqual([]);
  });

  it("takes the ownership of someone who is removed before the membership", async () => {
    const sent = serve({
      [`GET ${groupPath}`]: ok(group({ owners: [{ id: ADA }, { id: EVE }] })),
      [`PUT ${groupPath}`]: ok(group({ version: 8 })),
      [`DELETE ${groupPath}/members`]: accepted,
    });
    await apply(members({ remove: [edit(ADA, "owner"), edit(BOB)] }, "7"));
    expect(writes(sent).map(({ method, body, query }) => [method, body, query])).toEqual([
      ["PUT", { version: 7, ownerIds: [EVE] }, []],
      ["DELETE", undefined, [["ids", `${ADA},${BOB}`]]],
    ]);
  });

  it("never asks to remove someone who is present as an owner only", async () => {
    const sent = serve({
      [`GET ${groupPath}`]: ok(group({ owners: [{ id: ADA }, { id: EVE }] })),
      [`PUT ${groupPath}`]: ok(group({ version: 8 })),
    });
    await apply(members({ remove: [edit(ADA, "owner", { direct: false })] }, "7"));
    expect(writes(sent).map(({ method }) => method)).toEqual(["PUT"]);
  });

  it.each([
    ["lowering", members({ update: [edit(ADA, "member", { previousRole: "owner" })] }, "7")],
    ["lowering and adding", members({ update: [edit(ADA, "member", { previousRole: "owner", direct: false })] }, "7")],
    ["removing", members({ remove: [edit(ADA, "owner")] }, "7")],
  ])("writes nothing when %s would leave no owner: an empty list is ignored", async (_what, batch) => {
    const sent = serve({ [`GET ${groupPath}`]: ok(group({ owners: [{ id: ADA }] })) });
    expect(await failure(apply(batch))).toMatchObject({ code: "unsupported" });
    expect(writes(sent)).toEqual([]);
  });

  it("writes no owners over a group that changed since it was read", async () => {
    const sent = serve({ [`GET ${groupPath}`]: ok(group({ version: 8, owners: [{ id: EVE }] })) });
    const error = await failure(apply(members({ update: [edit(ADA, "owner")] }, "7")));
    expect(error.code).toBe("conflict");
    expect(writes(sent)).toEqual([]);
  });

  it.each([
    ["409", errorBody(409, "general.conflict", "The version supplied does not match the current version of the user")],
    ["408", errorBody(408, "request.timeout", "Request timed out")],
    ["400 with the text", errorBody(400, "bad.request", "Version 7 does not match the current version")],
  ])("calls a stale version a conflict, told as %s, and does not try again", async (_what, answer) => {
    const sent = serve({ [`POST ${groupPath}/members`]: answer });
    const error = await failure(apply(members({ add: [edit(ADA)] }, "7")));
    expect(error.code).toBe("conflict");
    expect(error.facts.outcomeUnknown ?? false).toBe(false);
    expect(writes(sent)).toHaveLength(1);
  });

  it("calls a 409 on removing a conflict too", async () => {
    serve({ [`DELETE ${groupPath}/members`]: errorBody(409, "general.conflict") });
    expect(await failure(apply(members({ remove: [edit(ADA)] })))).toMatchObject({ code: "conflict" });
  });

  it("does not know the outcome of a removal that timed out", async () => {
    const sent = serve({ [`DELETE ${groupPath}/members`]: errorBody(408, "request.timeout") });
    const error = await failure(apply(members({ remove: [edit(ADA)] })));
    expect(error).toMatchObject({ code: "timeout", facts: { outcomeUnknown: true } });
    expect(writes(sent)).toHaveLength(1);
  });

  it("does not repeat an addition after a 503, whose outcome is unknown", async () => {
    const sent = serve({ [`POST ${groupPath}/members`]: errorBody(503, "service.unavailable") });
    const error = await failure(apply(members({ add: [edit(ADA)] }, "7")));
    expect(error).toMatchObject({ code: "unavailable", facts: { outcomeUnknown: true } });
    expect(writes(sent)).toHaveLength(1);
  });

  it("refuses to add to a group that carries no version", async () => {
    const sent = serve({ [`GET ${groupPath}`]: ok({ id: GROUP, name: "N" }) });
    expect(await failure(apply(members({ add: [edit(ADA)] })))).toMatchObject({ code: "bad-answer" });
    expect(writes(sent)).toEqual([]);
  });

  it("adds and removes fifty people in one request", async () => {
    const edits = userIds(genesysCapabilities.add.accountsPerCall.value).map((id) => edit(id));
    const sent = serve({ [`POST ${groupPath}/members`]: accepted, [`DELETE ${groupPath}/members`]: accepted });
    await apply(members({ add: edits }, "7"));
    await apply(members({ remove: edits }, "7"));
    expect(writes(sent)).toHaveLength(2);
  });

  it.each([
    ["fifty-one people", members({ add: userIds(51).map((id) => edit(id)) }, "7"), "unsupported"],
    ["fifty-one removals", members({ remove: userIds(51).map((id) => edit(id)) }, "7"), "unsupported"],
    ["no people at all", members({}, "7"), "unsupported"],
    ["adds and removals together", members({ add: [edit(ADA)], remove: [edit(BOB)] }, "7"), "unsupported"],
    ["a manager", members({ add: [edit(ADA, "manager")] }, "7"), "unsupported"],
    ["an invitation", members({ remove: [edit(ADA, "member", { invitation: "i" })] }, "7"), "unsupported"],
    [
      "two groups",
      { kind: "members", groups: [ref("7"), ref("7")], add: [edit(ADA)], update: [], remove: [] } as const,
      "unsupported",
    ],
    ["an empty id", members({ remove: [edit("")] }, "7"), "options-invalid"],
    ["an id with a comma", members({ remove: [edit(`${ADA},${BOB}`)] }, "7"), "options-invalid"],
    ["an id with spaces", members({ add: [edit(` ${ADA}`)] }, "7"), "options-invalid"],
    ["a version that is no number", members({ add: [edit(ADA)] }, "seven"), "options-invalid"],
  ])("sends nothing for %s", async (_what, batch, code) => {
    const sent = serve({});
    expect(await failure(apply(batch))).toMatchObject({ code });
    expect(sent).toEqual([]);
  });
});

describe("applyBatch to groups", () => {
  const apply = (batch: Batch) => createProvider().applyBatch(batch, context);
  const create = (more: object = {}): Batch => ({ kind: "group.create", name: "Night shift", add: [], ...more });

  it("makes an official, public group, without owners", async () => {
    const sent = serve({ "POST /api/v2/groups": ok(group({ version: 1 })) });
    expect(await apply(create())).toEqual({
      group: { id: GROUP, name: "Night shift", version: "1", kind: "plain" },
    });
    expect(writes(sent).map(({ body }) => body)).toEqual([
      { name: "Night shift", type: "official", rulesVisible: true, visibility: "public" },
    ]);
  });

  it("puts the description afterwards, which is lost on creating", async () => {
    const sent = serve({
      "POST /api/v2/groups": ok(group({ version: 1 })),
      [`PUT ${groupPath}`]: ok(group({ version: 2, description: "Nights" })),
    });
    expect(await apply(create({ description: "Nights" }))).toMatchObject({
      group: { description: "Nights", version: "2" },
    });
    expect(writes(sent).map(({ body }) => body)).toEqual([
      { name: "Night shift", type: "official", rulesVisible: true, visibility: "public" },
      { version: 1, description: "Nights" },
    ]);
  });

  it("still says which group was made when the description was refused", async () => {
    serve({ "POST /api/v2/groups": ok(group({ version: 1 })), [`PUT ${groupPath}`]: noRight });
    const { group: created } = await apply(create({ description: "Nights" }));
    expect(created).toEqual({ id: GROUP, name: "Night shift", version: "1", kind: "plain" });
  });

  it("does not know what was made when the answer to creating cannot be read", async () => {
    serve({ "POST /api/v2/groups": ok({ name: "Night shift" }) });
    expect(await failure(apply(create()))).toMatchObject({ code: "bad-answer", facts: { outcomeUnknown: true } });
  });

  it("sends nothing when members are to come along, or nothing is to change", async () => {
    const sent = serve({});
    expect(await failure(apply(create({ add: [edit(ADA)] })))).toMatchObject({ code: "unsupported" });
    expect(await failure(apply({ kind: "group.update", group: ref("7") }))).toMatchObject({ code: "unsupported" });
    expect(sent).toEqual([]);
  });

  it("changes the name with the version, and leaves everything else out", async () => {
    const sent = serve({ [`PUT ${groupPath}`]: ok(group({ name: "Nights", version: 8 })) });
    expect(await apply({ kind: "group.update", group: ref("7"), name: "Nights" })).toMatchObject({
      group: { name: "Nights", version: "8" },
    });
    expect(writes(sent).map(({ body }) => body)).toEqual([{ version: 7, name: "Nights" }]);
  });

  it("reads the version for a change when it was not given", async () => {
    const sent = serve({ [`GET ${groupPath}`]: ok(group({ version: 5 })), [`PUT ${groupPath}`]: ok(group()) });
    await apply({ kind: "group.update", group: ref(), description: "" });
    expect(writes(sent).map(({ body }) => body)).toEqual([{ version: 5, description: "" }]);
  });

  it("deletes, and looks until the group is gone", async () => {
    const sent = serve({
      [`DELETE ${groupPath}`]: { status: 200 },
      [`GET ${groupPath}`]: [ok(group()), ok(group()), noGroup],
    });
    // Half of the limit is far away: the deletion must not be repeated just because this machine is slow.
    const provider = createGenesysProvider({ id: "calls", ...options() }, { intervalMs: 1, limitMs: 60_000 });
    expect(await provider.applyBatch({ kind: "group.delete", group: ref() }, context)).toEqual({});
    expect(calls(sent)).toEqual([`DELETE ${groupPath}`, ...Array.from({ length: 3 }, () => `GET ${groupPath}`)]);
  });

  it("takes the state deleted for gone", async () => {
    const sent = serve({
      [`DELETE ${groupPath}`]: { status: 204 },
      [`GET ${groupPath}`]: ok(group({ state: "deleted" })),
    });
    await apply({ kind: "group.delete", group: ref() });
    expect(calls(sent)).toHaveLength(2);
  });

  it("deletes once more when the group stays, and only once", async () => {
    const sent = serve({ [`DELETE ${groupPath}`]: { status: 200 }, [`GET ${groupPath}`]: ok(group()) });
    const error = await failure(apply({ kind: "group.delete", group: ref() }));
    expect(error).toMatchObject({ code: "timeout", facts: { outcomeUnknown: true, operation: "deleteGroup" } });
    expect(writes(sent)).toHaveLength(2);
  });

  it("does not take a 404 without a code for a deletion", async () => {
    serve({ [`DELETE ${groupPath}`]: { status: 200 }, [`GET ${groupPath}`]: { status: 404 } });
    expect(await failure(apply({ kind: "group.delete", group: ref() }))).toMatchObject({
      code: "unavailable",
      facts: { outcomeUnknown: true },
    });
  });

  it("stops looking when told to, the outcome unknown", async () => {
    const stop = new AbortController();
    serve({
      [`DELETE ${groupPath}`]: { status: 200 },
      [`GET ${groupPath}`]: () => {
        setTimeout(() => stop.abort(), 20);
        return ok(group());
      },
    });
    const provider = createGenesysProvider({ ...options() }, { intervalMs: 60_000, limitMs: 120_000 });
    const deletion = failure(
      provider.applyBatch({ kind: "group.delete", group: ref() }, createCallContext({ signal: stop.signal })),
    );
    expect(await deletion).toMatchObject({ code: "cancelled", facts: { outcomeUnknown: true } });
  });

  it("says not-found when there is nothing to delete", async () => {
    serve({ [`DELETE ${groupPath}`]: noGroup });
    expect(await failure(apply({ kind: "group.delete", group: ref() }))).toMatchObject({ code: "not-found" });
  });
});

describe("errors", () => {
  const token = "GET /api/v2/tokens/me";
  const fail = async (answer: CannedAnswer) => {
    serve({ [token]: answer });
    return failure(createGenesysApi(options()).getOwnToken());
  };

  it.each([
    [400, "bad.request", "refused"],
    [400, "max.user.ids", "refused"],
    [401, "authentication.required", "unauthenticated"],
    [403, "missing.any.permissions", "forbidden"],
    [404, "not.found", "not-found"],
    [409, "general.conflict", "conflict"],
    [413, "request.too.large", "too-large"],
    [415, "unsupported.media.type", "refused"],
    [500, "internal.server.error", "unavailable"],
    [504, "authentication.request.timeout", "unavailable"],
  ])("are told by status and code: %i %s is %s", async (status, serviceCode, code) => {
    const error = await fail(errorBody(status, serviceCode, "Some words"));
    expect(error).toMatchObject({ code, facts: { status, serviceCode, provider: "genesys" } });
    expect(error.message).toMatch(/Some words/);
  });

  it("are not told by text: words about a version mean nothing under another status", async () => {
    const error = await fail(errorBody(403, "not.authorized", "does not match the current version"));
    expect(error.code).toBe("forbidden");
  });

  it("name the field and the request, and take what they can from nested errors", async () => {
    const nested = await fail({
      status: 400,
      headers: { "Inin-Correlation-Id": "corr-9" },
      body: {
        message: null,
        errors: [{ message: "inner words", code: "invalid.value" }],
        details: [{ errorCode: "x", fieldName: "visibility" }],
      },
    });
    expect(nested.facts).toMatchObject({ serviceCode: "invalid.value", field: "visibility", requestId: "corr-9" });
    expect(nested.message).toMatch(/inner words/);
  });

  it.each([
    ["a text", "boom"],
    ["a list", [1]],
    ["odd fields", { code: 7, message: {}, errors: "x", details: {} }],
    ["nothing", undefined],
  ])("may hold %s", async (_what, body) => {
    expect(await fail({ status: 400, body })).toMatchObject({ code: "refused", facts: { status: 400 } });
  });

  it("stop the run when the service asks to wait for hours, and say until when", async () => {
    const error = await fail({
      ...errorBody(429, "too.many.requests.retry.after", "Rate limit exceeded the maximum."),
      headers: { "Retry-After": "7200" },
    });
    expect(error.code).toBe("rate-limited");
    expect(error.facts.retryAt).toBeGreaterThan(Date.now() + 7_000_000);
  });

  it("do not come of a short wait, which is made as asked", async () => {
    const sent = serve({
      [token]: [{ ...errorBody(429, "too.many.requests.retry.after"), headers: { "Retry-After": "0" } }, ok({})],
    });
    await createGenesysApi(options()).getOwnToken();
    expect(calls(sent)).toHaveLength(2);
  });

  it.each([
    ["HTML", "<html>log in</html>"],
    ["cut JSON", '{"id": "o'],
  ])("come of a 200 that is %s", async (what, body) => {
    nock(ORIGIN).post("/oauth/token").reply(200, { access_token: "t" });
    nock(ORIGIN).get("/api/v2/organizations/me").times(2).reply(200, body);
    const error = await failure(createGenesysApi(options()).getOrganization());
    expect(error.code).toBe("bad-answer");
    expect(error.message).toContain(what.replace("cut", "cut or broken"));
  });

  it("come of an empty body where something should be", async () => {
    serve({ "GET /api/v2/organizations/me": { status: 200 } });
    const error = await failure(createGenesysApi(options()).getOrganization());
    expect(error).toMatchObject({ code: "bad-answer", message: expect.stringMatching(/nothing was in it/) });
  });

  it("never hold the secret or the token, even when the service repeats them", async () => {
    const given = options();
    const basic = Buffer.from(`${given.clientId}:${SECRET}`).toString("base64");
    captureRequests(ORIGIN, ({ path }) =>
      path === "/oauth/token"
        ? ok({ access_token: "issued-t0ken" })
        : errorBody(400, "bad.request", `You sent Bearer issued-t0ken for ${SECRET} (${basic})`),
    );
    const errors = [await failure(createGenesysApi(given).getOwnToken())];
    nock.cleanAll();
    captureRequests(ORIGIN, () => ({
      status: 400,
      body: { error: "invalid_client", error_description: `secret ${SECRET}, header Basic ${basic}` },
    }));
    errors.push(await failure(createGenesysApi(given).getOwnToken()));
    nock.cleanAll();
    nock(ORIGIN).post("/oauth/token").times(5).replyWithError("socket hang up");
    errors.push(await failure(createGenesysApi(given).getOwnToken()));
    expect(errors.map(({ code }) => code)).toEqual(["refused", "unauthenticated", "network"]);
    for (const error of errors) {
      const everything = `${error.message} ${JSON.stringify(error)} ${inspect(error, { depth: 9, showHidden: true })}`;
      expect(everything).not.toContain(SECRET);
      expect(everything).not.toContain("issued-t0ken");
      expect(everything).not.toContain(basic);
    }
  });
});

describe("the thin client", () => {
  const withoutLogIn = (sent: readonly CapturedRequest[]) => sent.filter(({ path }) => path !== "/oauth/token");

  it.each([
    ["an empty list of ids", (api: ReturnType<typeof createGenesysApi>) => api.listGroups({ id: [] })],
    ["id and jabberId together", (api) => api.listGroups({ id: ["a"], jabberId: ["b"] })],
    ["an empty list of removals", (api) => api.removeGroupMembers(GROUP, [])],
    ["an empty list of additions", (api) => api.addGroupMembers(GROUP, [], 1)],
    ["fifty-one members", (api) => api.addGroupMembers(GROUP, userIds(51), 1)],
    ["one hundred and one users", (api) => api.listUsers({ id: userIds(101) })],
    ["an empty q64", (api) => api.continueUserSearch({ q64: "" })],
    ["a group id that climbs", (api) => api.deleteGroup("..")],
  ] satisfies readonly (readonly [string, (api: ReturnType<typeof createGenesysApi>) => Promise<unknown>])[])(
    "sends nothing for %s",
    async (_what, call) => {
      const sent = serve({});
      expect(await failure(call(createGenesysApi(options())))).toMatchObject({ code: "options-invalid" });
      expect(sent).toEqual([]);
    },
  );

  it("repeats a search after a 503: it changes nothing, though it is a POST", async () => {
    const sent = serve({
      "POST /api/v2/groups/search": [errorBody(503, "service.unavailable"), ok({ results: [], total: 0 })],
    });
    await createGenesysApi(options()).searchGroups({ query: [] });
    expect(calls(sent)).toHaveLength(2);
  });

  it("reads one user in the state that is asked for", async () => {
    const sent = serve({ [`GET /api/v2/users/${ADA}`]: ok({ id: ADA, state: "deleted" }) });
    await createGenesysApi(options()).getUser(ADA, { state: "deleted", expand: ["groups", "team"] });
    expect(sent.at(-1)?.query).toEqual([
      ["expand", "groups,team"],
      ["state", "deleted"],
    ]);
  });

  it("hands on fields that it does not know", async () => {
    serve({ [`GET ${groupPath}`]: ok(group({ addresses: [{ display: "x" }], novelty: 1 })) });
    expect(await createGenesysApi(options()).getGroup(GROUP)).toMatchObject({ novelty: 1 });
  });

  it("sends every field of a new group and of a change as it was given", async () => {
    const sent = serve({ "POST /api/v2/groups": ok(group()), [`PUT ${groupPath}`]: ok(group()) });
    const common = {
      name: "Night shift",
      description: "On call",
      addresses: [{ address: "+49 30 1", type: "GROUPRING", mediaType: "PHONE", extension: "7" }],
      images: [{ resolution: "x96", imageUri: "https://pictures.test/1" }],
      rulesVisible: true,
      rolesEnabled: false,
      includeOwners: true,
      callsEnabled: false,
      email: "night@example.org",
      ownerIds: [ADA],
    } as const;
    const made = { ...common, type: "social", visibility: "owners" } as const;
    const changed = { ...common, version: 7, state: "active", visibility: "ownerIds" } as const;
    const api = createGenesysApi(options());
    await api.createGroup(made);
    await api.updateGroup(GROUP, changed);
    expect(withoutLogIn(sent).map(({ body }) => body)).toEqual([made, changed]);
  });

  it("sends every part of a search as it was given", async () => {
    const found = ok({ results: [], total: 0 });
    const sent = serve({ "POST /api/v2/groups/search": found, "POST /api/v2/users/search": found });
    const search = {
      query: [
        { type: "EXACT", fields: ["name"], values: ["a", "b"], operator: "OR" },
        { type: "RANGE", fields: ["dateModified"], startValue: "1", endValue: "2", dateFormat: "yyyy" },
        { type: "MATCH_ALL", group: [{ type: "TERM", fields: ["name"], value: "a" }], operator: "NOT" },
      ],
      sort: [{ sortBy: "name", sortOrder: "DESC" }],
      sortBy: "name",
      sortOrder: "SCORE",
      pageSize: 10,
      pageNumber: 2,
    } as const;
    const forUsers = { ...search, expand: ["groups"], enforcePermissions: true, integrationPresenceSource: "Teams" };
    const api = createGenesysApi(options());
    await api.searchGroups(search);
    await api.searchUsers(forUsers);
    expect(withoutLogIn(sent).map(({ body }) => body)).toEqual([search, forUsers]);
  });

  it("sends conditions on skills and on languages as they were given", async () => {
    const settings = `${groupPath}/dynamicsettings`;
    const preview = "/api/v2/groups/dynamicsettings/preview";
    const sent = serve({ [`PUT ${settings}`]: { status: 204 }, [`POST ${preview}`]: ok({ userCount: 3 }) });
    const condition = { comparator: "LessThan", proficiency: 0, childConditions: [] } as const;
    const query = {
      skillConditions: [
        {
          routingSkillConditions: [{ ...condition, routingSkill: "Billing" }],
          languageSkillConditions: [{ ...condition, languageSkill: "Deutsch" }],
          operation: "Not",
        },
      ],
    } as const;
    const api = createGenesysApi(options());
    await api.updateGroupDynamicSettings(GROUP, query);
    expect(await api.previewGroupDynamicSettings(query)).toEqual({ userCount: 3 });
    expect(withoutLogIn(sent).map(({ body }) => body)).toEqual([query, query]);
  });

  it("asks for all 22 things that the documents name about a member", async () => {
    const sent = serve({ [`GET ${groupPath}/members`]: individuals() });
    const expand =
      "routingStatus presence integrationPresence conversationSummary outOfOffice geolocation station authorization lasttokenissued authorization.unusedRoles team workPlanBidRanks profileSkills certifications locations groups skills languages languagePreference employerInfo biography dateLastLogin".split(
        " ",
      );
    expect(expand).toHaveLength(22);
    await createGenesysApi(options()).listGroupMembers(GROUP, { expand, sortOrder: "descending" });
    expect(withoutLogIn(sent)[0]?.query).toEqual([
      ["sortOrder", "descending"],
      ["expand", expand.join(",")],
    ]);
  });
});
