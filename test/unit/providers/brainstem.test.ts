import { inspect } from "node:util";
import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch, Evidence, MemberEdit } from "../../../src/model.js";
import { createCallContext } from "../../../src/provider.js";
import {
  type BrainstemApiOptions,
  type BrainstemProviderOptions,
  brainstemCapabilities,
  brainstemProviderType,
  createBrainstemApi,
  createBrainstemProvider,
} from "../../../src/providers/brainstem/index.js";
import { type CannedAnswer, type CapturedRequest, captureRequests } from "../../wire/compare.js";

const origin = "https://brainstem.test";
const GROUPS = "/api/private/users/group/";
const AUTH_GROUPS = "/api/private/auth/group/";
const INVITATIONS = "/api/private/users/groupmembershipinvitation/";
const USERS = "/api/private/users/user/";

let tokens = 0;
/** A budget belongs to a token, so each provider of a test gets a token of its own. */
const nextToken = () => `secret-token-${++tokens}`;
const makeApi = (options: Partial<BrainstemApiOptions> = {}) =>
  createBrainstemApi({ token: nextToken(), baseUrl: origin, maxAttempts: 1, ...options });
const makeProvider = (options: Partial<BrainstemProviderOptions> = {}) =>
  createBrainstemProvider({ id: "lab", token: nextToken(), baseUrl: origin, maxAttempts: 1, ...options });

type Route = CannedAnswer | ((request: CapturedRequest) => CannedAnswer);
const ok = (body?: unknown): CannedAnswer => (body === undefined ? { status: 200 } : { status: 200, body });
const fail = (status: number, body: unknown = { detail: "no" }): CannedAnswer => ({ status, body });
const notFound = fail(404, { detail: "Not found." });

/** A service of fixed answers; what is not among them is not there. */
function serve(routes: Readonly<Record<string, Route>>): readonly CapturedRequest[] {
  return captureRequests(origin, (request) => {
    const route = routes[`${request.method} ${request.path}`] ?? notFound;
    return typeof route === "function" ? route(request) : route;
  });
}

const parameter = (request: CapturedRequest, name: string) => request.query.find(([key]) => key === name)?.[1];
const parameters = (request: CapturedRequest | undefined) => Object.fromEntries(request?.query ?? []);
const lines = (sent: readonly CapturedRequest[]) => sent.map(({ method, path }) => `${method} ${path}`);

interface Paging {
  /** What pages say about the whole. @default true */
  readonly meta?: boolean;
  /** The service's largest page. @default 100 */
  readonly cap?: number;
  /** @default "offset" */
  readonly by?: "offset" | "page" | "nothing";
  /** Told instead of the truth, from the given page index on. */
  readonly total?: (index: number) => number;
}

/** A list that pages as told, under the rules of the library that the service seems to be made with. */
function paged(
  name: string,
  rows: readonly unknown[],
  paging: Paging = {},
): (request: CapturedRequest) => CannedAnswer {
  const { meta = true, cap = 100, by = "offset", total = () => rows.length } = paging;
  return (request) => {
    const asked = Number(parameter(request, by === "page" ? "per_page" : "limit") ?? "20");
    const size = by === "nothing" ? cap : Math.min(asked, cap);
    const index = Number(parameter(request, "page") ?? "1") - 1;
    const start = by === "nothing" ? 0 : by === "page" ? index * size : Number(parameter(request, "offset") ?? "0");
    if (by === "page" && index > 0 && start >= rows.length) return fail(404, { detail: "Invalid page." });
    const pages = Math.max(1, Math.ceil(rows.length / size));
    return ok({
      [name]: rows.slice(start, start + size),
      ...(meta && { meta: { page: index + 1, per_page: size, total_results: total(index), total_pages: pages } }),
    });
  };
}

const labs = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: index + 1, name: `Lab ${index + 1}` }));
const flags = (is_manager = false, is_owner = false) => ({ is_manager, is_owner });
const groupOf = (users: Readonly<Record<string, unknown>>) => ok({ group: { id: 48, name: "Petersen lab", users } });
const invitation = (id: string, user: number, more: object = {}) => ({
  id,
  user_account_invitation: user,
  authgroup: 48,
  new_manager: false,
  new_owner: false,
  ...more,
});
const noInvitations = paged("group_membership_invitations", []);
const people = [
  {
    id: 1,
    email: "owner@example.org",
    first_name: "Olga",
    last_name: "Owner",
    groups_own_json: [{ id: 48, name: "L" }],
  },
  { id: 7, email: "Ana.Ruiz@Example.org", first_name: "Ana", last_name: "Ruiz" },
  { id: 8, email: "bo+lab@example.org", first_name: "", last_name: null },
];

/** Users that can be found by `email.in`, `email.iexact`, `email`, `id.in`, and by id. */
function userRoutes(users: readonly { readonly id: number; readonly email: string | null }[] = people) {
  const list = (request: CapturedRequest) => {
    const [name = "", value = ""] = request.query.find(([key]) => key.startsWith("filter{")) ?? [];
    const values = value.split(",");
    const fits = (user: (typeof users)[number]) => {
      if (name === "filter{id.in}") return values.includes(String(user.id));
      if (name === "filter{email.in}") return values.includes(user.email ?? "");
      if (name === "filter{email.iexact}") return user.email?.toLowerCase() === value.toLowerCase();
      return user.email === value;
    };
    return ok({ users: users.filter(fits), meta: { page: 1 } });
  };
  return {
    [`GET ${USERS}`]: list,
    ...Object.fromEntries(users.map((user) => [`GET ${USERS}${user.id}/`, ok({ user })])),
  };
}

const edit = (account: string, role: MemberEdit["role"] = "member", more: Partial<MemberEdit> = {}): MemberEdit => ({
  account,
  role,
  ...more,
});
const membersBatch = (
  edits: Partial<Pick<Extract<Batch, { kind: "members" }>, "add" | "update" | "remove">>,
): Extract<Batch, { kind: "members" }> => ({
  kind: "members",
  groups: [{ id: "48", name: "Petersen lab" }],
  add: [],
  update: [],
  remove: [],
  ...edits,
});

async function errorOf(call: Promise<unknown>): Promise<GroupSyncError> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof GroupSyncError)) throw new Error(`Expected an error of ours, got ${inspect(error)}.`);
  return error;
}

describe("BrainSTEM", () => {
  beforeEach(() => nock.disableNetConnect());
  afterEach(() => {
    nock.cleanAll();
    nock.enableNetConnect();
  });

  describe("options", () => {
    it.each([
      ["no token", { token: "" }, "token: a token is one word"],
      ["a token with a line break", { token: "a\nb" }, "token: a token is one word"],
      ["plain http", { token: "t", baseUrl: "http://brainstem.org" }, "plain http"],
      ["an address with /api", { token: "t", baseUrl: "https://www.brainstem.org/api/" }, "should end before /api"],
      ["an unknown group app", { token: "t", groupApp: "groups" }, "groupApp"],
      ["an account that is no e-mail", { token: "t", account: "ada" }, "account: the account is an e-mail address"],
      ["an unknown key", { token: "t", portal: "private" }, "portal"],
      ["no attempts", { token: "t", maxAttempts: 0 }, "maxAttempts"],
    ])("refuse %s and say so", async (_title, options, message) => {
      const error = await errorOf((async () => createBrainstemProvider(options as BrainstemProviderOptions))());
      expect(error.code).toBe("options-invalid");
      expect(error.message).toContain(message);
    });

    it("take what the spec may say, and name the secret", () => {
      const options = { token: "t", baseUrl: origin, groupApp: "auth", account: "a@b.org", timeoutMs: 1, maxWaitMs: 0 };
      expect(brainstemProviderType.options.safeParse(options).success).toBe(true);
      expect(brainstemProviderType.secretOptions).toEqual(["token"]);
      expect(brainstemProviderType.create("lab", options)).toMatchObject({ id: "lab", type: "brainstem" });
    });

    it("give every declared fact a source", () => {
      const facts: unknown[] = [];
      JSON.stringify(brainstemCapabilities, (_key, value: unknown) => {
        if (typeof value === "object" && value !== null && "value" in value) facts.push(value);
        return value;
      });
      expect(facts.length).toBeGreaterThan(20);
      for (const fact of facts) expect(fact).toMatchObject({ source: expect.stringMatching(/\w{3}/) });
    });

    it("declare both roles without a limit, clearable and not guarded", () => {
      const role = { max: { value: null }, clearable: { value: true }, guarded: { value: false } };
      expect(brainstemCapabilities.roles).toMatchObject({ manager: role, owner: role });
    });
  });

  describe("the client", () => {
    it("percent-encodes braces and values, so that + and & arrive as they are", async () => {
      const raw: string[] = [];
      nock(origin)
        .get(/.*/)
        .reply(function () {
          raw.push(this.req.path);
          return [200, { users: [] }];
        });
      await makeApi().listUsers({ filters: { email: "ana+lab&x=1@exämple.org" } });
      expect(raw).toEqual([`${USERS}?filter%7Bemail%7D=ana%2Blab%26x%3D1%40ex%C3%A4mple.org`]);
    });

    it.each([
      ["an id that leaves the path", (api: ReturnType<typeof makeApi>) => api.getGroup("..")],
      ["an empty id", (api: ReturnType<typeof makeApi>) => api.leaveGroup("")],
      ["an empty list of values", (api: ReturnType<typeof makeApi>) => api.listUsers({ filters: { "id.in": [] } })],
      ["a comma in a list", (api: ReturnType<typeof makeApi>) => api.listUsers({ filters: { "email.in": ["a,b"] } })],
      ["a list without .in", (api: ReturnType<typeof makeApi>) => api.listUsers({ filters: { email: ["a", "b"] } })],
      ["a malformed filter", (api: ReturnType<typeof makeApi>) => api.listUsers({ filters: { "a}": "b" } })],
      ["a change of nothing", (api: ReturnType<typeof makeApi>) => api.updateGroup("48", {})],
      ["a change of nobody", (api: ReturnType<typeof makeApi>) => api.updateGroup("48", { users: {} })],
      [
        "a change of an empty e-mail",
        (api: ReturnType<typeof makeApi>) => api.updateGroup("48", { users: { " ": { remove: true } } }),
      ],
    ])("refuses %s and sends nothing", async (_title, call) => {
      const sent = serve({});
      expect((await errorOf(call(makeApi()))).code).toBe("options-invalid");
      expect(sent).toEqual([]);
    });

    it("keeps ids as text, whether the service shows numbers or UUIDs", async () => {
      serve({
        [`GET ${GROUPS}`]: ok({
          groups: [
            { id: 9, name: "a" },
            { id: "3654964e", name: "b" },
          ],
        }),
      });
      expect((await makeApi().listGroups()).rows.map(({ id }) => id)).toEqual(["9", "3654964e"]);
    });

    it("ignores unknown keys and a meta that it cannot read", async () => {
      serve({
        [`GET ${GROUPS}`]: ok({ groups: [{ id: 9, name: "a", links: {} }], meta: { total_results: "9" }, x: 1 }),
      });
      expect(await makeApi().listGroups()).toEqual({ rows: [{ id: "9", name: "a" }] });
    });

    it.each([
      ["an array instead of an envelope", [], "an array"],
      ["a list under another name", { results: [] }, "groups"],
      ["a row without a name", { groups: [{ id: 1 }] }, "groups.0.name"],
      ["a text", "hello", "a string"],
      ["nothing", undefined, "nothing"],
    ])("calls %s a bad answer and says what was found", async (_title, body, found) => {
      serve({ [`GET ${GROUPS}`]: ok(body) });
      const error = await errorOf(makeApi().listGroups());
      expect(error).toMatchObject({ code: "bad-answer", facts: { status: 200, operation: "listGroups" } });
      expect(error.message).toContain(found);
    });

    it("takes HTML under 200 for a bad answer, of reads and of actions alike", async () => {
      nock(origin).get(/.*/).times(2).reply(200, "<!doctype html><title>Log in</title>");
      expect(await errorOf(makeApi().getGroup("48"))).toMatchObject({ code: "bad-answer" });
      expect(await errorOf(makeApi().cancelInvitation("i-1"))).toMatchObject({
        code: "bad-answer",
        facts: { outcomeUnknown: true },
      });
    });

    it.each([
      [400, { name: ["This field is required."] }, "refused", "name: This field is required.", "name"],
      [400, { users: { "a@b.org": ["No such user."] } }, "refused", "users: a@b.org: No such user.", "users"],
      [400, ["Invalid filter field: foo"], "refused", "Invalid filter field: foo", undefined],
      [400, "broken", "refused", "broken", undefined],
      [400, { detail: "JSON parse error" }, "refused", "JSON parse error", undefined],
      [401, { detail: "Authentication credentials were not provided." }, "unauthenticated", "credentials", undefined],
      [
        401,
        { detail: "Given token not valid", code: "token_not_valid", messages: [{ message: "Token is expired" }] },
        "unauthenticated",
        "Given token not valid",
        undefined,
      ],
      [403, { detail: "expired", code: "token_not_valid" }, "unauthenticated", "expired", undefined],
      [403, { detail: "You do not have permission." }, "forbidden", "You do not have permission.", undefined],
      [404, { detail: "No Group matches the given query." }, "not-found", "No Group matches", undefined],
      [405, { detail: 'Method "POST" not allowed.' }, "refused", "not allowed", undefined],
      [500, undefined, "unavailable", "500", undefined],
      [502, null, "unavailable", "502", undefined],
    ])("reads an error %s with %j", async (status, body, code, message, field) => {
      serve({ [`PATCH ${GROUPS}48/`]: body === undefined ? { status } : fail(status, body) });
      const error = await errorOf(makeApi().updateGroup("48", { name: "x" }));
      expect(error.code).toBe(code);
      expect(error.message).toContain(message);
      expect(error.facts.field).toBe(field);
      expect(error.facts.status).toBe(status);
    });

    it("survives an error that is HTML or absurdly nested", async () => {
      // What is no JSON is not the service's own refusal.
      nock(origin).get(/.*/).reply(400, "<html>no</html>");
      expect(await errorOf(makeApi().getGroup("48"))).toMatchObject({ code: "bad-answer" });
      nock(origin)
        .get(/.*/)
        .reply(400, `${"[".repeat(5_000)}${"]".repeat(5_000)}`);
      expect(await errorOf(makeApi().getGroup("48"))).toMatchObject({ code: "refused" });
    });

    it("repeats a failed read, but never a change, nor a GET that acts", async () => {
      const sent = captureRequests(origin, () => fail(503));
      const api = makeApi({ maxAttempts: 3, retryDelayMs: 1 });
      await errorOf(api.getGroup("48"));
      expect(sent).toHaveLength(3);
      for (const call of [
        () => api.updateGroup("48", { name: "x" }),
        () => api.joinGroup("48"),
        () => api.leaveGroup("48"),
        () => api.acceptInvitation("i"),
        () => api.rejectInvitation("i"),
        () => api.cancelInvitation("i"),
        () => api.acceptRequest("r"),
        () => api.rejectRequest("r"),
        () => api.cancelRequest("r"),
      ]) {
        const before = sent.length;
        expect((await errorOf(call())).facts.outcomeUnknown).toBe(true);
        expect(sent).toHaveLength(before + 1);
      }
    });

    it("does not follow a redirect of a GET that acts", async () => {
      const sent = captureRequests(origin, () => ({ status: 302, headers: { location: `${origin}/elsewhere/` } }));
      expect((await errorOf(makeApi().leaveGroup("48"))).code).toBe("bad-answer");
      expect(sent).toHaveLength(1);
    });

    it("accepts any body of an action and of a deletion, and none", async () => {
      serve({
        [`GET ${GROUPS}48/join/`]: ok({}),
        [`GET ${GROUPS}48/leave/`]: ok(),
        [`DELETE ${GROUPS}48/`]: { status: 204 },
        [`DELETE ${USERS}7/`]: { status: 204 },
      });
      const api = makeApi();
      await expect(api.joinGroup("48")).resolves.toBeUndefined();
      await expect(api.leaveGroup("48")).resolves.toBeUndefined();
      await expect(api.deleteGroup("48")).resolves.toBeUndefined();
      await expect(api.deleteUser("7")).resolves.toBeUndefined();
    });

    it("changes the own profile by PATCH with what is given", async () => {
      const sent = serve({ [`PATCH ${USERS}7/`]: ok({ user: people[1] }) });
      expect((await makeApi().updateUser("7", { website: "https://x.org" })).id).toBe("7");
      expect(sent[0]?.body).toEqual({ website: "https://x.org" });
    });

    it("reads groups and users through the public portal without a token", async () => {
      const sent = serve({
        "GET /api/public/users/group/": ok({ groups: [] }),
        "GET /api/public/users/group/48/": groupOf({}),
        "GET /api/public/users/user/7/": ok({ user: people[1] }),
      });
      const api = createBrainstemApi({ baseUrl: origin, portal: "public", maxAttempts: 1 });
      await api.listGroups();
      await api.getGroup("48");
      await api.getUser("7");
      expect(sent.map(({ headers }) => headers["authorization"])).toEqual([undefined, undefined, undefined]);
    });

    it.each([
      [{ status: "authorization_pending" }, { status: "pending" }],
      [
        { status: "success", token: "issued" },
        { status: "success", token: "issued" },
      ],
      [{ error: "access_denied" }, { status: "refused", reason: "access_denied" }],
      [
        { status: "error", error: "expired_token" },
        { status: "refused", reason: "expired_token" },
      ],
    ])("reads the poll %j by its words, since all of them come under 200", async (body, expected) => {
      const sent = serve({ "POST /api/auth/device/token/": ok(body) });
      expect(await makeApi().pollDeviceLogIn("device-1")).toEqual(expected);
      expect(sent[0]?.headers["authorization"]).toBeUndefined();
    });

    it("does not take a poll without either word for a success", async () => {
      serve({ "POST /api/auth/device/token/": ok({ status: "success" }) });
      expect((await errorOf(makeApi().pollDeviceLogIn("device-1"))).code).toBe("bad-answer");
    });

    it("still knows the log-ins that were withdrawn", async () => {
      const sent = serve({
        "POST /api/auth/token/": ok({ access: "a", refresh: "r", expires_in: 3600 }),
        "POST /api/auth/token/refresh/": ok({ access: "b" }),
        "POST /api/token/": (request) =>
          ok((request.body as { username: string }).username === "new" ? { access: "c", token_id: 1 } : { token: "d" }),
      });
      const api = makeApi();
      expect(await api.createAccessToken("a@b.org", "pw-1")).toEqual({ access: "a", refresh: "r", expires_in: 3600 });
      expect(await api.refreshAccessToken("r")).toEqual({ access: "b" });
      expect(await api.createToken("new", "pw-1")).toEqual({ token: "c" });
      expect(await api.createToken("old", "pw-1")).toEqual({ token: "d" });
      expect(sent.map(({ body }) => body)).toEqual([
        { email: "a@b.org", password: "pw-1" },
        { refresh: "r" },
        { username: "new", password: "pw-1" },
        { username: "old", password: "pw-1" },
      ]);
      expect(sent.some(({ headers }) => "authorization" in headers)).toBe(false);
    });

    it.each([300, 400, 401, 403, 404, 429, 500])("keeps token and password out of an error %s", async (status) => {
      const token = nextToken();
      const password = "pass-word-1";
      captureRequests(origin, () => ({
        ...fail(status, { detail: `Bearer ${token} of ${password} is bad`, password: [password] }),
        headers: { "retry-after": "900" },
      }));
      const api = makeApi({ token });
      const shown = (error: GroupSyncError) => `${JSON.stringify(error)} ${inspect(error, { depth: 9 })}`;
      expect(shown(await errorOf(api.createToken("sync", password)))).not.toContain(password);
      expect(shown(await errorOf(api.getGroup("48")))).not.toContain(token);
      expect(shown(await errorOf(api.updateGroup("48", { name: "x" })))).not.toContain(token);
    });
  });

  describe("the list of groups", () => {
    const read = async (paging: Paging, count: number) => {
      const sent = serve({ [`GET ${GROUPS}`]: paged("groups", labs(count), paging) });
      const listing = await makeProvider().listGroups(createCallContext());
      return { ...listing, sent };
    };

    it("asks in both ways at once, sorted by id", async () => {
      const { sent } = await read({}, 101);
      expect(sent.map(parameters)).toEqual([
        { "sort[]": "id", limit: "100", offset: "0", page: "1", per_page: "100" },
        { "sort[]": "id", limit: "100", offset: "100", page: "2", per_page: "100" },
      ]);
    });

    it.each([0, 1, 19, 20, 21, 99, 100, 101, 200, 201])(
      "reads %i groups whole by the declared total",
      async (count) => {
        for (const by of ["offset", "page"] as const) {
          nock.cleanAll();
          const { groups, evidence, sent } = await read({ by }, count);
          expect(groups.map(({ id }) => id)).toEqual(labs(count).map(({ id }) => String(id)));
          expect(evidence).toMatchObject({ complete: true, counted: count, declared: count, duplicates: 0 });
          expect(evidence.weak).toBeUndefined();
          expect(sent).toHaveLength(Math.max(1, Math.ceil(count / 100)));
        }
      },
    );

    it.each(["offset", "page"] as const)("goes by the page size that is granted (%s)", async (by) => {
      const { groups, evidence } = await read({ by, cap: 20 }, 45);
      expect(groups).toHaveLength(45);
      expect(evidence).toMatchObject({ complete: true, pages: 3 });
    });

    it("takes a short list without a total for whole after asking once more", async () => {
      for (const by of ["offset", "page", "nothing"] as const) {
        nock.cleanAll();
        const { groups, evidence, sent } = await read({ meta: false, by }, 19);
        expect(groups).toHaveLength(19);
        expect(evidence).toMatchObject({ complete: true, counted: 19 });
        expect(evidence.weak).toBeUndefined();
        expect(sent).toHaveLength(2);
      }
    });

    it.each([20, 100, 37])("does not take a list for whole when page 1 of %i comes again and again", async (cap) => {
      const { evidence, sent } = await read({ meta: false, by: "nothing", cap }, 137);
      expect(evidence).toMatchObject({ complete: false, counted: cap });
      expect(evidence.moved).toBeUndefined();
      expect(evidence.because).toContain("ignores paging");
      expect(sent).toHaveLength(2);
    });

    it("does not loop, and does not ask to read again, when a declared total cannot be reached by paging", async () => {
      const { evidence, sent } = await read({ by: "nothing", cap: 20 }, 45);
      expect(evidence).toMatchObject({ complete: false, counted: 20, declared: 45 });
      expect(evidence.moved).toBeUndefined();
      // The second and the third page are asked for together.
      expect(sent).toHaveLength(3);
    });

    it.each(["offset", "page"] as const)("proves pages without a total weakly by their end (%s)", async (by) => {
      const { groups, evidence } = await read({ meta: false, by }, 137);
      expect(groups).toHaveLength(137);
      expect(evidence).toMatchObject({ complete: true, weak: true });
    });

    it("wants another reading when the total changes between pages", async () => {
      const { evidence } = await read({ total: (index) => 150 + index }, 150);
      expect(evidence).toMatchObject({ complete: false, moved: true });
    });

    it.each([
      ["more than there are", 152],
      ["fewer than there are", 149],
    ])("wants another reading when %s are declared", async (_title, total) => {
      const { evidence } = await read({ total: () => total }, 150);
      expect(evidence).toMatchObject({ complete: false, moved: true, declared: total });
    });

    it.each([
      ["with a total", { total_results: 150 }, 149],
      ["without", undefined, 150],
    ])("wants another reading when rows shift between pages, %s", async (_title, meta, counted) => {
      serve({
        [`GET ${GROUPS}`]: (request) => {
          const offset = Number(parameter(request, "offset"));
          // A group with a low id came into being after the first page.
          return ok({ groups: labs(150).slice(Math.max(0, offset - 1), Math.max(100, offset + 49)), meta });
        },
      });
      const { evidence } = await makeProvider().listGroups(createCallContext());
      expect(evidence).toMatchObject({ complete: false, moved: true, counted, duplicates: 1 });
    });

    it("believes a count beside the list, and the service's word that a page is the last", async () => {
      serve({ [`GET ${GROUPS}`]: ok({ groups: labs(25), count: 25, next: null, previous: null }) });
      const counted = await makeProvider().listGroups(createCallContext());
      expect(counted.evidence).toMatchObject({ complete: true, declared: 25, pages: 1 });
      nock.cleanAll();
      serve({ [`GET ${GROUPS}`]: ok({ groups: labs(25), meta: { page: 1, total_pages: 1 } }) });
      const last = await makeProvider().listGroups(createCallContext());
      expect(last.evidence).toMatchObject({ complete: true, weak: true, pages: 1 });
    });

    it("is looked for under the other address when it is not there, once, and then always", async () => {
      const sent = serve({
        [`GET ${AUTH_GROUPS}`]: paged("groups", labs(101)),
        [`GET ${AUTH_GROUPS}48/`]: groupOf({}),
        [`GET ${INVITATIONS}`]: noInvitations,
      });
      const provider = makeProvider();
      expect((await provider.listGroups(createCallContext())).groups).toHaveLength(101);
      await provider.readGroup("48", createCallContext());
      expect(lines(sent)).toEqual([
        `GET ${GROUPS}`,
        `GET ${AUTH_GROUPS}`,
        `GET ${AUTH_GROUPS}`,
        `GET ${INVITATIONS}`,
        `GET ${AUTH_GROUPS}48/`,
      ]);
    });

    it("starts at the configured address", async () => {
      const sent = serve({ [`GET ${AUTH_GROUPS}`]: paged("groups", []) });
      await makeProvider({ groupApp: "auth" }).listGroups(createCallContext());
      expect(lines(sent)).toEqual([`GET ${AUTH_GROUPS}`]);
    });

    it("is unavailable, not empty, when it is at neither address", async () => {
      serve({});
      expect((await errorOf(makeProvider().listGroups(createCallContext()))).code).toBe("unavailable");
    });
  });

  describe("the list of invitations", () => {
    const spelled = "/api/private/users/group_membership_invitation/";

    it("is looked for in the other spelling when it is not there, once, and then always", async () => {
      const requests = "/api/private/users/group_membership_request/";
      const sent = serve({
        [`GET ${spelled}`]: ok({ group_membership_invitations: [] }),
        [`GET ${spelled}i-1/cancel/`]: ok(),
        [`GET ${requests}`]: ok({ group_membership_requests: [] }),
      });
      const api = makeApi();
      await api.listInvitations();
      await api.cancelInvitation("i-1");
      await api.listRequests();
      expect(lines(sent)).toEqual([
        `GET ${INVITATIONS}`,
        `GET ${spelled}`,
        `GET ${spelled}i-1/cancel/`,
        `GET ${requests}`,
      ]);
    });

    it("starts in the configured spelling", async () => {
      const sent = serve({ [`GET ${spelled}`]: ok({ group_membership_invitations: [] }) });
      const api = createBrainstemApi({ token: "t", baseUrl: origin, inviteSpelling: "underscore" });
      await api.listInvitations();
      expect(lines(sent)).toEqual([`GET ${spelled}`]);
    });

    it("is not looked for elsewhere behind its first page, nor for a single invitation", async () => {
      const sent = serve({});
      const api = makeApi();
      expect((await errorOf(api.listInvitations({ limit: 100, offset: 100 }))).code).toBe("not-found");
      expect((await errorOf(api.acceptInvitation("i-1"))).code).toBe("not-found");
      expect(sent).toHaveLength(2);
    });
  });

  describe("reading a group", () => {
    const read = async (users: Readonly<Record<string, unknown>>, invitations: Route = noInvitations, more = {}) => {
      const sent = serve({
        [`GET ${GROUPS}48/`]: groupOf(users),
        [`GET ${INVITATIONS}`]: invitations,
        ...userRoutes(),
        ...more,
      });
      return { ...(await makeProvider().readGroup("48", createCallContext())), sent };
    };

    it("lists members by lower-cased e-mail with the highest role and the spelling shown", async () => {
      const { group, members, evidence } = await read({
        "Owner@Example.org": flags(true, true),
        "lone.owner@example.org": flags(false, true),
        "manager@example.org": flags(true),
        "plain@example.org": {},
      });
      expect(group).toEqual({ id: "48", name: "Petersen lab", kind: "plain" });
      const common = { direct: true, state: "active" };
      expect(members).toEqual([
        { account: "owner@example.org", role: "owner", email: "Owner@Example.org", ...common },
        { account: "lone.owner@example.org", role: "owner", email: "lone.owner@example.org", ...common },
        { account: "manager@example.org", role: "manager", email: "manager@example.org", ...common },
        { account: "plain@example.org", role: "member", email: "plain@example.org", ...common },
      ]);
      expect(evidence).toMatchObject({ complete: true, counted: 4, duplicates: 0 });
    });

    it("is whole by construction, even when empty", async () => {
      const { members, evidence } = await read({});
      expect(members).toEqual([]);
      expect(evidence).toMatchObject({ complete: true, counted: 0 });
    });

    it("is not whole when one address stands there in two spellings", async () => {
      const { members, evidence } = await read({ "Ana@example.org": flags(), "ana@example.org": flags(true) });
      expect(members).toMatchObject([{ account: "ana@example.org", role: "manager", email: "Ana@example.org" }]);
      expect(evidence).toMatchObject({ complete: false, duplicates: 1 });
      expect(evidence.because).toContain("Ana@example.org and ana@example.org");
    });

    it("adds those who are invited and not yet members, with role, name and invitation", async () => {
      const rows = [
        invitation("i-1", 7, { new_manager: true }),
        invitation("i-2", 8, { authgroup: 49 }),
        invitation("i-3", 1, { new_owner: true }),
      ];
      const { members, evidence, sent } = await read(
        { "owner@example.org": flags(true, true) },
        paged("group_membership_invitations", rows),
      );
      expect(members.slice(1)).toEqual([
        {
          account: "ana.ruiz@example.org",
          role: "manager",
          direct: true,
          state: "pending",
          email: "Ana.Ruiz@Example.org",
          name: "Ana Ruiz",
          invitation: "i-1",
        },
      ]);
      expect(evidence).toMatchObject({ complete: true, counted: 1 });
      expect(parameters(sent.find(({ path }) => path === USERS))["filter{id.in}"]).toBe("7,1");
    });

    it("reads the list of invitations before the group, so that nobody who accepts meanwhile is in neither", async () => {
      const { sent } = await read({});
      expect(lines(sent)).toEqual([`GET ${INVITATIONS}`, `GET ${GROUPS}48/`]);
    });

    it("reads the list of invitations once for all groups of a pass, and each user once", async () => {
      const rows = [invitation("i-1", 7), invitation("i-2", 7, { authgroup: 49 })];
      const sent = serve({
        [`GET ${GROUPS}48/`]: groupOf({}),
        [`GET ${GROUPS}49/`]: ok({ group: { id: 49, name: "Other", users: {} } }),
        [`GET ${INVITATIONS}`]: paged("group_membership_invitations", rows),
        ...userRoutes(),
      });
      const provider = makeProvider();
      const context = createCallContext();
      for (const id of ["48", "49"]) {
        expect((await provider.readGroup(id, context)).members).toMatchObject([{ account: "ana.ruiz@example.org" }]);
      }
      expect(sent.filter(({ path }) => path === INVITATIONS)).toHaveLength(1);
      expect(sent.filter(({ path }) => path.startsWith(USERS))).toHaveLength(1);
    });

    it.each([
      ["refused", fail(400, ["Invalid filter field: id"])],
      ["ignored", ok({ users: [{ id: 99, email: "else@example.org" }] })],
    ])("looks invited people up one by one when a filter over many is %s", async (_title, answer) => {
      const rows = [invitation("i-1", 7), invitation("i-2", 8)];
      const { members, sent } = await read({}, paged("group_membership_invitations", rows), {
        [`GET ${USERS}`]: answer,
      });
      expect(members.map(({ account }) => account)).toEqual(["ana.ruiz@example.org", "bo+lab@example.org"]);
      expect(lines(sent).filter((line) => line.includes(USERS))).toEqual([
        `GET ${USERS}`,
        `GET ${USERS}7/`,
        `GET ${USERS}8/`,
      ]);
    });

    it("names an invited account that is gone by its id, so that the invitation can be withdrawn", async () => {
      const { members } = await read({}, paged("group_membership_invitations", [invitation("i-1", 404)]));
      expect(members).toEqual([{ account: "404", role: "member", direct: true, state: "pending", invitation: "i-1" }]);
    });

    it("fails when an invited person cannot be looked up, instead of leaving them out", async () => {
      const rows = paged("group_membership_invitations", [invitation("i-1", 7)]);
      const broken = { [`GET ${USERS}7/`]: fail(500) };
      expect((await errorOf(read({}, rows, broken))).code).toBe("unavailable");
    });

    it("lists someone who was invited twice once, with both invitations", async () => {
      const rows = [invitation("i-1", 7), invitation("i-2", 7, { new_manager: true })];
      const { members } = await read({}, paged("group_membership_invitations", rows));
      expect(members).toMatchObject([{ account: "ana.ruiz@example.org", role: "manager", invitation: "i-1,i-2" }]);
    });

    const incomplete: readonly (readonly [string, Route])[] = [
      [
        "ignores paging",
        paged("group_membership_invitations", manyInvitations(45), { meta: false, by: "nothing", cap: 20 }),
      ],
      [
        "keeps changing",
        paged("group_membership_invitations", manyInvitations(150), { total: (index) => 150 + index }),
      ],
      ["is forbidden", fail(403)],
      ["is not there", notFound],
    ];
    it.each(incomplete)("is not whole when the list of invitations %s", async (_title, invitations) => {
      const { members, evidence } = await read({ "ana.ruiz@example.org": flags() }, invitations);
      expect(members).toMatchObject([{ account: "ana.ruiz@example.org", state: "active" }]);
      expect(evidence.complete).toBe(false);
      expect(evidence.because).toContain("list of invitations");
      // Reading the group once more would only meet the same list again.
      expect(evidence.moved).toBeUndefined();
    });

    it("reads a list of invitations that changes again, but not for ever", async () => {
      const { sent } = await read(
        {},
        paged("group_membership_invitations", manyInvitations(150), { total: (index) => 150 + index }),
      );
      expect(sent.filter(({ path }) => path === INVITATIONS)).toHaveLength(6);
    });

    it("passes on that the list of invitations is proved weakly only", async () => {
      const rows = paged("group_membership_invitations", manyInvitations(50), { meta: false });
      const { evidence } = await read({}, rows);
      expect(evidence).toMatchObject({ complete: true, weak: true } satisfies Partial<Evidence>);
    });

    it("fails when the list of invitations fails, instead of taking nobody for invited", async () => {
      expect((await errorOf(read({}, fail(500)))).code).toBe("unavailable");
    });

    it("concludes that a group does not exist only where the list of groups does", async () => {
      const sent = serve({ [`GET ${INVITATIONS}`]: noInvitations, [`GET ${GROUPS}`]: paged("groups", labs(3)) });
      expect((await errorOf(makeProvider().readGroup("48", createCallContext()))).code).toBe("not-found");
      expect(lines(sent)).toContain(`GET ${GROUPS}`);
      nock.cleanAll();
      serve({ [`GET ${INVITATIONS}`]: noInvitations });
      expect((await errorOf(makeProvider().readGroup("48", createCallContext()))).code).toBe("unavailable");
    });

    it("finds a group under the other address once the list of groups is seen there", async () => {
      serve({
        [`GET ${INVITATIONS}`]: noInvitations,
        [`GET ${AUTH_GROUPS}`]: paged("groups", labs(3)),
        [`GET ${AUTH_GROUPS}48/`]: groupOf({ "a@b.org": flags() }),
      });
      expect((await makeProvider().readGroup("48", createCallContext())).members).toHaveLength(1);
    });

    it.each([
      ["without users", { id: 48, name: "L" }],
      ["with a list of users", { id: 48, name: "L", users: [] }],
      ["with a flag that is no flag", { id: 48, name: "L", users: { "a@b.org": { is_owner: "yes" } } }],
      ["of another id", { id: 49, name: "L", users: {} }],
    ])("never takes a record %s for an empty group", async (_title, group) => {
      serve({ [`GET ${GROUPS}48/`]: ok({ group }), [`GET ${INVITATIONS}`]: noInvitations });
      expect((await errorOf(makeProvider().readGroup("48", createCallContext()))).code).toBe("bad-answer");
    });
  });

  describe("looking people up", () => {
    const byEmail = (...values: readonly string[]) => values.map((value) => ({ by: "email" as const, value }));
    const byId = (...values: readonly string[]) => values.map((value) => ({ by: "id" as const, value }));

    it("finds one by e-mail without regard to case and white space, and keys it by e-mail", async () => {
      const sent = serve(userRoutes());
      const findings = await makeProvider().findAccounts(byEmail(" ANA.ruiz@example.org "), createCallContext());
      expect(findings).toEqual([
        {
          key: { by: "email", value: " ANA.ruiz@example.org " },
          accounts: [
            {
              id: "ana.ruiz@example.org",
              userId: "7",
              email: "Ana.Ruiz@Example.org",
              name: "Ana Ruiz",
              status: "active",
              eligible: true,
            },
          ],
        },
      ]);
      expect(parameters(sent[0])["filter{email.iexact}"]).toBe("ANA.ruiz@example.org");
    });

    it("asks for several at once, then one by one for those who were not found", async () => {
      const sent = serve(userRoutes());
      const keys = byEmail("bo+lab@example.org", "ana.ruiz@example.org", "nobody@example.org");
      const findings = await makeProvider().findAccounts(keys, createCallContext());
      expect(findings.map(({ accounts }) => accounts.map(({ userId }) => userId))).toEqual([["8"], ["7"], []]);
      expect(sent.map((request) => request.query.filter(([name]) => name.startsWith("filter")))).toEqual([
        [["filter{email.in}", "bo+lab@example.org,ana.ruiz@example.org,nobody@example.org"]],
        [["filter{email.iexact}", "ana.ruiz@example.org"]],
        [["filter{email.iexact}", "nobody@example.org"]],
      ]);
    });

    it("leaves an address with a comma out of the list of several", async () => {
      const sent = serve(userRoutes());
      await makeProvider().findAccounts(
        byEmail('"a,b"@example.org', "a@example.org", "b@example.org"),
        createCallContext(),
      );
      expect(parameters(sent[0])["filter{email.in}"]).toBe("a@example.org,b@example.org");
      expect(sent.map((request) => parameters(request)["filter{email.iexact}"])).toContain('"a,b"@example.org');
    });

    it.each([
      ["refuses", fail(400, ["Invalid filter field: email.in"])],
      ["ignores", ok({ users: [{ id: 99, email: "else@example.org" }] })],
    ])("does not use a filter again that the service %s", async (_title, answer) => {
      const routes = userRoutes();
      const sent = serve({
        ...routes,
        [`GET ${USERS}`]: (request) =>
          parameter(request, "filter{email.in}") === undefined ? routes[`GET ${USERS}`](request) : answer,
      });
      const provider = makeProvider();
      const keys = byEmail("bo+lab@example.org", "owner@example.org");
      for (let round = 0; round < 2; round++) {
        const findings = await provider.findAccounts(keys, createCallContext());
        expect(findings.map(({ accounts }) => accounts.length)).toEqual([1, 1]);
      }
      expect(sent.filter((request) => parameter(request, "filter{email.in}") !== undefined)).toHaveLength(1);
    });

    it("falls back to the exact filter in both spellings where there is none without regard to case", async () => {
      const routes = userRoutes();
      const sent = serve({
        ...routes,
        [`GET ${USERS}`]: (request) =>
          parameter(request, "filter{email.iexact}") === undefined
            ? routes[`GET ${USERS}`](request)
            : fail(400, ["Invalid filter"]),
      });
      const provider = makeProvider();
      const found = await provider.findAccounts(byEmail("BO+lab@example.org"), createCallContext());
      expect(found[0]?.accounts).toMatchObject([{ userId: "8" }]);
      expect(sent.slice(1).map((request) => parameters(request)["filter{email}"])).toEqual([
        "BO+lab@example.org",
        "bo+lab@example.org",
      ]);
    });

    it("does not take a filter that is ignored for an absence", async () => {
      serve({ [`GET ${USERS}`]: ok({ users: people }) });
      const error = await errorOf(makeProvider().findAccounts(byEmail("nobody@example.org"), createCallContext()));
      expect(error.code).toBe("bad-answer");
    });

    it.each([403, 404, 500])("does not take an error %s for an absence", async (status) => {
      serve({ [`GET ${USERS}`]: fail(status) });
      const error = await errorOf(makeProvider().findAccounts(byEmail("a@example.org"), createCallContext()));
      expect(error.code).toBe(status === 403 ? "forbidden" : "unavailable");
    });

    it("gives all accounts of one address, whichever way they were asked for", async () => {
      const twins = [
        { id: 7, email: "ana@example.org" },
        { id: 9, email: "Ana@example.org" },
        { id: 8, email: "bo@example.org" },
      ];
      serve(userRoutes(twins));
      for (const keys of [byEmail("Ana@example.org"), byEmail("Ana@example.org", "bo@example.org")]) {
        const [finding] = await makeProvider().findAccounts(keys, createCallContext());
        expect(finding?.accounts.map(({ id, userId }) => [id, userId])).toEqual([
          ["ana@example.org", "7"],
          ["ana@example.org", "9"],
        ]);
      }
    });

    it("finds by user id and by e-mail as an id; what does not exist has no accounts", async () => {
      serve(userRoutes());
      const keys = byId("7", "bo+lab@example.org", "404", "owner@example.org");
      const findings = await makeProvider().findAccounts(keys, createCallContext());
      expect(findings.map(({ accounts }) => accounts.map(({ id }) => id))).toEqual([
        ["ana.ruiz@example.org"],
        ["bo+lab@example.org"],
        [],
        ["owner@example.org"],
      ]);
    });

    it("does not take an error for the absence of a user id", async () => {
      serve({ [`GET ${USERS}7/`]: fail(403) });
      expect((await errorOf(makeProvider().findAccounts(byId("7"), createCallContext()))).code).toBe("forbidden");
    });

    it("marks an account without an e-mail as one that cannot be a member", async () => {
      serve(userRoutes([{ id: 5, email: null }]));
      const [finding] = await makeProvider().findAccounts(byId("5"), createCallContext());
      expect(finding?.accounts).toMatchObject([{ id: "5", eligible: false, note: expect.stringContaining("e-mail") }]);
    });

    it("asks nothing for an empty address", async () => {
      const sent = serve({});
      expect(await makeProvider().findAccounts(byEmail(" "), createCallContext())).toMatchObject([{ accounts: [] }]);
      expect(sent).toEqual([]);
    });
  });

  describe("making batches so", () => {
    const routes = (users: Readonly<Record<string, unknown>> = {}, invitations: Route = noInvitations) => ({
      [`GET ${GROUPS}48/`]: groupOf(users),
      [`PATCH ${GROUPS}48/`]: groupOf(users),
      [`GET ${INVITATIONS}`]: invitations,
      ...userRoutes(),
    });
    const patchOf = (sent: readonly CapturedRequest[]) => sent.find(({ method }) => method === "PATCH")?.body;

    it("creates with a name only and shows the caller as the owner", async () => {
      const sent = serve({
        [`POST ${GROUPS}`]: {
          status: 201,
          body: { group: { id: 50, name: "New", users: { "o@x.org": flags(true, true) } } },
        },
      });
      const result = await makeProvider().applyBatch(
        { kind: "group.create", name: "New", add: [] },
        createCallContext(),
      );
      expect(sent.map(({ body }) => body)).toEqual([{ name: "New" }]);
      expect(result.group).toEqual({ id: "50", name: "New", kind: "plain" });
      expect(result.members).toMatchObject([{ account: "o@x.org", role: "owner" }]);
    });

    it("renames with PATCH and says nothing about members when the answer does not", async () => {
      const sent = serve({ [`PATCH ${GROUPS}48/`]: ok({ group: { id: 48, name: "Other" } }) });
      const batch: Batch = { kind: "group.update", group: { id: "48", name: "L" }, name: "Other" };
      expect(await makeProvider().applyBatch(batch, createCallContext())).toEqual({
        group: { id: "48", name: "Other", kind: "plain" },
      });
      expect(sent.map(({ body }) => body)).toEqual([{ name: "Other" }]);
    });

    it("deletes", async () => {
      const sent = serve({ [`DELETE ${GROUPS}48/`]: { status: 204 } });
      const batch: Batch = { kind: "group.delete", group: { id: "48", name: "L" } };
      expect(await makeProvider().applyBatch(batch, createCallContext())).toEqual({});
      expect(lines(sent)).toEqual([`DELETE ${GROUPS}48/`]);
    });

    it("puts additions, role changes and removals into one PATCH, always with both flags", async () => {
      const sent = serve(routes({ "o@x.org": flags(true, true) }));
      const result = await makeProvider().applyBatch(
        membersBatch({
          add: [edit("new@example.org"), edit("boss@example.org", "owner"), edit("lead@example.org", "manager")],
          update: [edit("down@example.org"), edit("up@example.org", "owner")],
          remove: [edit("gone@example.org")],
        }),
        createCallContext(),
      );
      expect(sent.filter(({ method }) => method === "PATCH")).toHaveLength(1);
      expect(patchOf(sent)).toEqual({
        users: {
          "up@example.org": flags(true, true),
          "down@example.org": flags(false, false),
          "new@example.org": flags(false, false),
          "boss@example.org": flags(true, true),
          "lead@example.org": flags(true, false),
          "gone@example.org": { remove: true },
        },
      });
      expect(Object.keys((patchOf(sent) as { users: object }).users)[0]).toBe("up@example.org");
      expect(result.members).toMatchObject([{ account: "o@x.org", role: "owner", state: "active" }]);
    });

    it("does not say of someone invited that they are a member", async () => {
      serve(routes({ "o@x.org": flags(true, true) }));
      const result = await makeProvider().applyBatch(
        membersBatch({ add: [edit("new@example.org")] }),
        createCallContext(),
      );
      expect(result.members?.map(({ account }) => account)).toEqual(["o@x.org"]);
    });

    it("sends the spelling that the service showed: of members as in the group, of others as in the profile", async () => {
      const sent = serve(routes({ "Bo+Lab@example.org": flags() }));
      const provider = makeProvider();
      await provider.readGroup("48", createCallContext());
      await provider.findAccounts([{ by: "email", value: "ana.ruiz@example.org" }], createCallContext());
      await provider.applyBatch(
        membersBatch({ add: [edit("ana.ruiz@example.org")], remove: [edit("bo+lab@example.org")] }),
        createCallContext(),
      );
      expect(patchOf(sent)).toEqual({
        users: { "Ana.Ruiz@Example.org": flags(), "Bo+Lab@example.org": { remove: true } },
      });
    });

    it("does not invite who is invited already", async () => {
      const sent = serve(routes({}, paged("group_membership_invitations", [invitation("i-1", 7)])));
      await makeProvider().applyBatch(
        membersBatch({ add: [edit("ana.ruiz@example.org"), edit("new@example.org")] }),
        createCallContext(),
      );
      expect(patchOf(sent)).toEqual({ users: { "new@example.org": flags() } });
    });

    it("sends nothing when everybody is invited already, and tells nothing about members", async () => {
      const sent = serve(routes({}, paged("group_membership_invitations", [invitation("i-1", 7)])));
      const batch = membersBatch({ add: [edit("Ana.Ruiz@example.org")] });
      expect(await makeProvider().applyBatch(batch, createCallContext())).toEqual({});
      expect(patchOf(sent)).toBeUndefined();
    });

    it("invites into one group who is invited into another", async () => {
      const rows = [invitation("i-1", 7, { authgroup: 49 })];
      const sent = serve(routes({}, paged("group_membership_invitations", rows)));
      await makeProvider().applyBatch(membersBatch({ add: [edit("ana.ruiz@example.org")] }), createCallContext());
      expect(patchOf(sent)).toEqual({ users: { "ana.ruiz@example.org": flags() } });
    });

    it("looks at the invitations anew after an invitation whose outcome is unknown, even in the same pass", async () => {
      const rows: unknown[] = [];
      const sent = serve({
        ...routes({}, (request) => paged("group_membership_invitations", rows)(request)),
        [`PATCH ${GROUPS}48/`]: () => {
          rows.push(invitation("i-1", 7));
          return fail(502);
        },
      });
      const provider = makeProvider();
      const context = createCallContext();
      const batch = membersBatch({ add: [edit("ana.ruiz@example.org")] });
      expect((await errorOf(provider.applyBatch(batch, context))).facts.outcomeUnknown).toBe(true);
      await provider.applyBatch(batch, context);
      expect(sent.filter(({ method }) => method === "PATCH")).toHaveLength(1);
      expect((await provider.readGroup("48", context)).members).toMatchObject([{ state: "pending" }]);
    });

    it.each([
      [
        "not whole",
        paged("group_membership_invitations", manyInvitations(45), { meta: false, by: "nothing", cap: 20 }),
      ],
      ["forbidden", fail(403)],
    ])("invites nobody while the list of invitations is %s", async (_title, invitations) => {
      const sent = serve(routes({}, invitations));
      const error = await errorOf(
        makeProvider().applyBatch(membersBatch({ add: [edit("new@example.org")] }), createCallContext()),
      );
      expect(error.code).toBe("unavailable");
      expect(error.message).toContain("list of invitations");
      expect(patchOf(sent)).toBeUndefined();
    });

    it("does not need the list of invitations to change roles and to remove", async () => {
      const sent = serve(routes({}, fail(403)));
      await makeProvider().applyBatch(
        membersBatch({ update: [edit("a@example.org", "manager")], remove: [edit("b@example.org")] }),
        createCallContext(),
      );
      expect(lines(sent)).toEqual([`PATCH ${GROUPS}48/`]);
    });

    it("withdraws invitations one by one, each of someone invited twice, after the PATCH", async () => {
      const sent = serve({
        ...routes(),
        [`GET ${INVITATIONS}i-1/cancel/`]: ok(),
        [`GET ${INVITATIONS}i-2/cancel/`]: ok({}),
      });
      await makeProvider().applyBatch(
        membersBatch({
          remove: [edit("404", "member", { invitation: "i-1,i-2" }), edit("b@example.org")],
        }),
        createCallContext(),
      );
      expect(lines(sent)).toEqual([
        `PATCH ${GROUPS}48/`,
        `GET ${INVITATIONS}i-1/cancel/`,
        `GET ${INVITATIONS}i-2/cancel/`,
      ]);
      expect(patchOf(sent)).toEqual({ users: { "b@example.org": { remove: true } } });
    });

    it.each([
      ["is withdrawn", ok(), false],
      ["was answered, as the refusal to withdraw it tells", fail(400), false],
      ["may not be withdrawn by us", fail(403), true],
    ])("sees to what is left of a removed member's invitation: it %s", async (_what, answer, looksInvited) => {
      const users = { "owner@example.org": flags(true, true), "ana.ruiz@example.org": flags() };
      const rows = [invitation("i-1", 7), invitation("i-2", 8), invitation("i-3", 7, { authgroup: 49 })];
      const { "ana.ruiz@example.org": _ana, ...others } = users;
      let isRemoved = false;
      const sent = serve({
        ...userRoutes(),
        [`GET ${GROUPS}48/`]: () => groupOf(isRemoved ? others : users),
        [`GET ${INVITATIONS}`]: (request) =>
          paged("group_membership_invitations", isRemoved && answer.status === 200 ? rows.slice(1) : rows)(request),
        [`PATCH ${GROUPS}48/`]: () => {
          isRemoved = true;
          return groupOf(others);
        },
        [`GET ${INVITATIONS}i-1/cancel/`]: answer,
      });
      const provider = makeProvider();
      await provider.readGroup("48", createCallContext());
      const before = sent.length;
      await provider.applyBatch(membersBatch({ remove: [edit("ana.ruiz@example.org")] }), createCallContext());
      expect(lines(sent.slice(before))).toEqual([`PATCH ${GROUPS}48/`, `GET ${INVITATIONS}i-1/cancel/`]);

      const { members } = await provider.readGroup("48", createCallContext());
      const ana = members.filter(({ account }) => account === "ana.ruiz@example.org").map(({ state }) => state);
      expect(ana).toEqual(looksInvited ? ["pending"] : []);
    });

    it("takes an invitation for answered only on the service's own word, not on that of something between", async () => {
      nock(origin).get(`${INVITATIONS}i-4/cancel/`).reply(400, "<html>no</html>");
      const batch = membersBatch({ remove: [edit("a@example.org", "member", { invitation: "i-4" })] });
      expect((await errorOf(makeProvider().applyBatch(batch, createCallContext()))).code).toBe("bad-answer");
    });

    it("takes an invitation that is gone for withdrawn, but passes any other error on", async () => {
      serve({ [`GET ${INVITATIONS}i-3/cancel/`]: fail(403) });
      const withdraw = (invitation: string) =>
        makeProvider().applyBatch(
          membersBatch({ remove: [edit("a@example.org", "member", { invitation })] }),
          createCallContext(),
        );
      expect(await withdraw("i-404")).toEqual({});
      expect((await errorOf(withdraw("i-3"))).code).toBe("forbidden");
    });

    const owners = { "owner@example.org": flags(true, true), "ana@example.org": flags(true) };
    it.each([
      ["removes", membersBatch({ remove: [edit("owner@example.org")] })],
      ["demotes", membersBatch({ update: [edit("owner@example.org", "manager")] })],
      [
        "replaces by someone who is only invited",
        membersBatch({ add: [edit("new@example.org", "owner")], remove: [edit("owner@example.org")] }),
      ],
    ])("refuses a change that %s the last owner, and sends nothing", async (_title, batch) => {
      const sent = serve(routes(owners));
      const provider = makeProvider();
      await provider.readGroup("48", createCallContext());
      const before = sent.length;
      const error = await errorOf(provider.applyBatch(batch, createCallContext()));
      expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining("without an owner") });
      expect(sent).toHaveLength(before);
    });

    it("lets an owner go when a member becomes one in the same call", async () => {
      const sent = serve(routes(owners));
      const provider = makeProvider();
      await provider.readGroup("48", createCallContext());
      const batch = membersBatch({ update: [edit("ana@example.org", "owner")], remove: [edit("owner@example.org")] });
      await provider.applyBatch(batch, createCallContext());
      expect(patchOf(sent)).toEqual({
        users: { "ana@example.org": flags(true, true), "owner@example.org": { remove: true } },
      });
    });

    it("never removes the account of the token", async () => {
      const sent = serve(routes());
      const batch = membersBatch({ remove: [edit("me@example.org")] });
      const error = await errorOf(makeProvider({ account: "Me@Example.org" }).applyBatch(batch, createCallContext()));
      expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining("me@example.org") });
      expect(sent).toEqual([]);
    });

    const crowd = (count: number) => Array.from({ length: count }, (_, index) => edit(`p${index}@example.org`));
    it.each([
      ["members on creation", { kind: "group.create", name: "N", add: [edit("a@b.org")] }, "unsupported"],
      ["a description on creation", { kind: "group.create", name: "N", description: "d", add: [] }, "unsupported"],
      ["a creation without a name", { kind: "group.create", name: " ", add: [] }, "options-invalid"],
      [
        "a description",
        { kind: "group.update", group: { id: "48", name: "L" }, name: "N", description: "" },
        "unsupported",
      ],
      ["an update of nothing", { kind: "group.update", group: { id: "48", name: "L" } }, "options-invalid"],
      [
        "two groups at once",
        {
          ...membersBatch({ add: [edit("a@b.org")] }),
          groups: [
            { id: "48", name: "L" },
            { id: "49", name: "M" },
          ],
        },
        "unsupported",
      ],
      ["no group", { ...membersBatch({ add: [edit("a@b.org")] }), groups: [] }, "unsupported"],
      [
        "a change of an invitation",
        membersBatch({ update: [edit("a@b.org", "owner", { invitation: "i-1" })] }),
        "unsupported",
      ],
      ["an empty account", membersBatch({ add: [edit("")] }), "options-invalid"],
      ["a user id as an account", membersBatch({ remove: [edit("7")] }), "options-invalid"],
      ["one person twice", membersBatch({ update: [edit("a@b.org")], remove: [edit("A@B.org")] }), "unsupported"],
      ["101 people", membersBatch({ remove: crowd(101) }), "unsupported"],
      [
        "an invitation without an id",
        membersBatch({ remove: [edit("a@b.org", "member", { invitation: "" })] }),
        "unsupported",
      ],
    ] as const)("refuses %s and sends nothing", async (_title, batch, code) => {
      const sent = serve(routes());
      expect((await errorOf(makeProvider().applyBatch(batch, createCallContext()))).code).toBe(code);
      expect(sent).toEqual([]);
    });

    it("takes 100 people in one call", async () => {
      const sent = serve(routes());
      await makeProvider().applyBatch(membersBatch({ remove: crowd(100) }), createCallContext());
      expect(Object.keys((patchOf(sent) as { users: object }).users)).toHaveLength(100);
    });

    it.each([
      [403, "forbidden"],
      [400, "refused"],
      [404, "not-found"],
      [409, "conflict"],
    ])("passes a refusal %s on as %s, and reads nothing into it", async (status, code) => {
      const sent = serve({ ...routes(), [`PATCH ${GROUPS}48/`]: fail(status) });
      const batch = membersBatch({ update: [edit("a@example.org", "owner")] });
      expect((await errorOf(makeProvider().applyBatch(batch, createCallContext()))).code).toBe(code);
      expect(sent).toHaveLength(1);
    });
  });

  describe("checking access", () => {
    const jwt = (claims: unknown) =>
      ["e30", Buffer.from(JSON.stringify(claims)).toString("base64url"), `signature${++tokens}`].join(".");
    const routes = {
      [`GET ${GROUPS}`]: paged("groups", labs(3)),
      [`GET ${INVITATIONS}`]: noInvitations,
      ...userRoutes(),
    };
    const check = (options: Partial<BrainstemProviderOptions> = {}) =>
      makeProvider(options).checkAccess(createCallContext());
    const findingsOf = (report: Awaited<ReturnType<typeof check>>, level: string) =>
      report.findings.filter((finding) => finding.level === level).map(({ message }) => message);

    it("finds the own account by the user that the token names, and what it owns", async () => {
      serve(routes);
      const report = await check({ token: jwt({ user_id: 1 }) });
      expect(report).toMatchObject({
        identity: "BrainSTEM at brainstem.test, as owner@example.org",
        ownAccount: "owner@example.org",
      });
      expect(report.findings.map(({ level }) => level)).toEqual(["ok", "ok", "ok"]);
      expect(findingsOf(report, "ok").at(-1)).toContain('owner@example.org owns "L"');
    });

    it("finds the own account by the option, and warns when it owns no group", async () => {
      serve(routes);
      const report = await check({ account: " Ana.Ruiz@example.org" });
      expect(report.ownAccount).toBe("ana.ruiz@example.org");
      expect(findingsOf(report, "warning")).toEqual([expect.stringContaining("owns no group")]);
    });

    it("says the same identity each time, and nothing of the token", async () => {
      serve(routes);
      const token = jwt({ user_id: "1" });
      const reports = [await check({ token }), await check({ token })];
      expect(reports[0]?.identity).toBe(reports[1]?.identity);
      expect(JSON.stringify(reports)).not.toContain(token);
    });

    it.each([
      ["an opaque token", () => nextToken()],
      ["a token of three parts that holds no claims", () => `a.b.${nextToken()}`],
      ["a token that names no user", () => jwt({ sub: "x" })],
      ["a token that names a user who is gone", () => jwt({ user_id: 404 })],
    ])("warns that the own account is not protected, for %s", async (_title, token) => {
      serve(routes);
      const report = await check({ token: token() });
      expect(report.ownAccount).toBeUndefined();
      expect(report.identity).toBe("BrainSTEM at brainstem.test, as an account that the token does not name");
      expect(findingsOf(report, "warning")).toEqual([expect.stringContaining("Set `account`")]);
    });

    it("reports an account that does not exist, and one that the token contradicts", async () => {
      serve(routes);
      expect(findingsOf(await check({ account: "nobody@example.org" }), "error")).toEqual([
        expect.stringContaining("nobody@example.org"),
      ]);
      const contradicted = await check({ token: jwt({ user_id: 1 }), account: "ana.ruiz@example.org" });
      expect(findingsOf(contradicted, "error")).toEqual([expect.stringContaining("belongs to owner@example.org")]);
      expect(contradicted.ownAccount).toBe("owner@example.org");
    });

    it("never removes the account that it found", async () => {
      const sent = serve(routes);
      const provider = makeProvider({ token: jwt({ user_id: 1 }) });
      await provider.checkAccess(createCallContext());
      const before = sent.length;
      const batch = membersBatch({ remove: [edit("owner@example.org")] });
      expect((await errorOf(provider.applyBatch(batch, createCallContext()))).code).toBe("unsupported");
      expect(sent).toHaveLength(before);
    });

    it("reports rights that are missing", async () => {
      serve({ ...routes, [`GET ${GROUPS}`]: fail(403), [`GET ${INVITATIONS}`]: fail(403) });
      expect(findingsOf(await check(), "error")).toEqual([
        expect.stringContaining("Groups cannot be read"),
        expect.stringContaining("invitations cannot be read"),
      ]);
    });

    it("warns when groups are at the other address", async () => {
      const { [`GET ${GROUPS}`]: list = notFound, ...others } = routes as Readonly<Record<string, Route>>;
      serve({ ...others, [`GET ${AUTH_GROUPS}`]: list });
      expect(findingsOf(await check(), "warning")[0]).toContain("set groupApp: auth");
    });

    it("warns when invitations are spelled otherwise", async () => {
      const { [`GET ${INVITATIONS}`]: list = notFound, ...others } = routes as Readonly<Record<string, Route>>;
      serve({ ...others, "GET /api/private/users/group_membership_invitation/": list });
      expect(findingsOf(await check(), "warning")[0]).toContain("set inviteSpelling: underscore");
    });

    it("throws when the token is refused or the service is not there", async () => {
      serve({ [`GET ${GROUPS}`]: fail(401, { detail: "Given token not valid", code: "token_not_valid" }) });
      const error = await errorOf(check());
      expect(error).toMatchObject({ code: "unauthenticated", facts: { serviceCode: "token_not_valid" } });
      expect(error.facts.hint).toContain("/private/users/tokens/");
      nock.cleanAll();
      serve({});
      expect((await errorOf(check())).code).toBe("unavailable");
    });
  });
});

function manyInvitations(count: number): readonly unknown[] {
  return Array.from({ length: count }, (_, index) => invitation(`i-${index}`, 1000 + index, { authgroup: 1 }));
}
