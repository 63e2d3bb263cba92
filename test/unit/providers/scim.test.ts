import { inspect } from "node:util";
import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch, GroupRef, MemberEdit } from "../../../src/model.js";
import { createCallContext } from "../../../src/provider.js";
import {
  createScimApi,
  createScimProvider,
  scimEquals,
  type ScimProviderOptions,
  scimProviderType,
} from "../../../src/providers/scim/index.js";
import { type CannedAnswer, type CapturedRequest, captureRequests } from "../../wire/compare.js";

const ORIGIN = "https://directory.test";
const BASE = "/scim/v2";
const PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

let tokens = 0;

/** A provider with a token of its own, so that a pause of one test does not reach the next. */
function setUp(answer: (request: CapturedRequest) => CannedAnswer, options: Partial<ScimProviderOptions> = {}) {
  const token = `secret-token-${++tokens}`;
  const sent = captureRequests(ORIGIN, answer);
  const settings = { baseUrl: `${ORIGIN}${BASE}/`, token, retryDelayMs: 1, maxAttempts: 2, ...options };
  const provider = createScimProvider({ id: "directory", ...settings });
  return { provider, sent, token, context: createCallContext() };
}

/** Answers by `GET /path`, one after the other; the last one of a row again and again. */
function answers(rows: Readonly<Record<string, CannedAnswer | readonly CannedAnswer[]>>) {
  const taken = new Map<string, number>();
  return ({ method, path }: CapturedRequest): CannedAnswer => {
    const key = `${method} ${path.slice(BASE.length)}`;
    const row = rows[key];
    if (row === undefined) return gone;
    const list = Array.isArray(row) ? row : [row as CannedAnswer];
    const at = taken.get(key) ?? 0;
    taken.set(key, at + 1);
    return list[Math.min(at, list.length - 1)] ?? gone;
  };
}

const ok = (body: unknown, headers: Readonly<Record<string, string>> = {}): CannedAnswer => ({
  status: 200,
  body,
  headers: { "content-type": "application/scim+json", ...headers },
});
const failure = (status: number, scimType?: string, detail = "No."): CannedAnswer => ({
  status,
  body: { schemas: ["urn:ietf:params:scim:api:messages:2.0:Error"], status: String(status), scimType, detail },
});
const gone = failure(404, undefined, "Not found.");
const done: CannedAnswer = { status: 204 };
const list = (rows: readonly unknown[], total = rows.length): CannedAnswer =>
  ok({ totalResults: total, startIndex: 1, itemsPerPage: rows.length, Resources: rows });
const person = (value: string) => ({ value, type: "User" });
const group = (members: readonly unknown[] | undefined, version = 'W/"1"') =>
  ok({ id: "g1", displayName: "Night shift", ...(members && { members }), meta: { version } });

/** What reading group g1 says when it has these members. */
async function readWith(members: readonly unknown[] | undefined, more: Parameters<typeof answers>[0] = {}) {
  const { provider, sent, context } = setUp(
    answers({ "GET /Groups/g1": group(members), "GET /Users": list([]), ...more }),
  );
  const snapshot = await provider.readGroup("g1", context);
  return { ...snapshot, accounts: snapshot.members.map(({ account }) => account), sent };
}

function edits(accounts: readonly string[], more: Partial<MemberEdit> = {}): MemberEdit[] {
  return accounts.map((account) => ({ account, role: "member", ...more }));
}

const nightShift: GroupRef = { id: "g1", name: "Night shift", version: 'W/"7"' };
function members(change: Partial<Batch & { kind: "members" }>): Batch {
  return { kind: "members", groups: [nightShift], add: [], update: [], remove: [], ...change };
}

async function failureOf(promise: Promise<unknown>): Promise<GroupSyncError> {
  const outcome: unknown = await promise.then(
    () => "no error",
    (error: unknown) => error,
  );
  if (outcome instanceof GroupSyncError) return outcome;
  throw new Error(`expected an error of ours, got ${inspect(outcome)}`);
}

beforeEach(() => nock.disableNetConnect());
afterEach(() => {
  nock.cleanAll();
  nock.enableNetConnect();
});

describe("what goes over the wire", () => {
  it("is a bearer token and SCIM's content type, under the path of the service", async () => {
    const { provider, sent, token, context } = setUp(() => done);
    await provider.applyBatch(members({ add: edits(["u1"]) }), context);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ method: "PATCH", path: `${BASE}/Groups/g1`, query: [] });
    expect(sent[0]?.headers).toMatchObject({
      authorization: `Bearer ${token}`,
      accept: "application/scim+json, application/json",
      "content-type": "application/scim+json",
      "if-match": 'W/"7"',
    });
  });

  it("is one PATCH for additions and removals: a list of values, and a path for each who leaves", async () => {
    const { provider, sent, context } = setUp(() => done);
    await provider.applyBatch(members({ add: edits(["u1", "u2", "u1"]), remove: edits(["u3", 'u"4']) }), context);
    expect(sent.map(({ body }) => body)).toEqual([
      {
        schemas: [PATCH],
        Operations: [
          { op: "add", path: "members", value: [{ value: "u1" }, { value: "u2" }] },
          { op: "remove", path: 'members[value eq "u3"]' },
          { op: "remove", path: 'members[value eq "u\\"4"]' },
        ],
      },
    ]);
  });

  it("has no If-Match without a version, and no content type without a body", async () => {
    const { provider, sent, context } = setUp(() => done);
    await provider.applyBatch({ kind: "group.delete", group: { id: "g1", name: "Night shift" } }, context);
    expect(sent[0]).toMatchObject({ method: "DELETE", path: `${BASE}/Groups/g1` });
    expect(sent[0]?.headers).not.toHaveProperty("if-match");
    expect(sent[0]?.headers).not.toHaveProperty("content-type");
    expect(sent[0]).not.toHaveProperty("body");
  });

  it("renames by replacing displayName, checked against the version", async () => {
    const { provider, sent, context } = setUp(() => done);
    expect(await provider.applyBatch({ kind: "group.update", group: nightShift, name: "Days" }, context)).toEqual({});
    expect(sent[0]?.body).toEqual({
      schemas: [PATCH],
      Operations: [{ op: "replace", path: "displayName", value: "Days" }],
    });
    expect(sent[0]?.headers).toMatchObject({ "if-match": 'W/"7"' });
  });

  it("makes a group with its first members and learns its id and version", async () => {
    const created = { status: 201, body: { id: "g9", displayName: "Days" }, headers: { etag: 'W/"1"' } };
    const { provider, sent, context } = setUp(answers({ "POST /Groups": created }));
    const result = await provider.applyBatch({ kind: "group.create", name: "Days", add: edits(["u1"]) }, context);
    expect(result).toEqual({ group: { id: "g9", name: "Days", kind: "plain", version: 'W/"1"' } });
    expect(sent[0]?.body).toEqual({
      schemas: ["urn:ietf:params:scim:schemas:core:2.0:Group"],
      displayName: "Days",
      members: [{ value: "u1" }],
    });
  });

  it("lists groups from 1 on and without members, and goes on after what was received", async () => {
    const rows = ["a", "b", "c"].map((id) => ({ id, displayName: id.toUpperCase(), meta: { version: `W/"${id}"` } }));
    const { provider, sent, context } = setUp(
      answers({ "GET /Groups": [list(rows.slice(0, 2), 3), list(rows.slice(2), 3)] }),
    );
    const { groups, evidence } = await provider.listGroups(context);
    expect(sent.map(({ query }) => Object.fromEntries(query))).toEqual([
      { startIndex: "1", count: "100", excludedAttributes: "members" },
      { startIndex: "3", count: "100", excludedAttributes: "members" },
    ]);
    expect(groups[2]).toEqual({ id: "c", name: "C", kind: "plain", version: 'W/"c"' });
    expect(evidence).toMatchObject({ complete: true, pages: 2, declared: 3, counted: 3 });
  });

  it("quotes what is looked for, so that an address is never more than an address", async () => {
    expect(scimEquals("userName", 'a" or active eq true or userName eq "b\\')).toBe(
      'userName eq "a\\" or active eq true or userName eq \\"b\\\\"',
    );
    expect(scimEquals("active", false)).toBe("active eq false");
  });
});

describe("reading a group", () => {
  it("asks for the members by name, twice, and is whole by weak proof when both answers agree", async () => {
    const { sent, evidence, accounts, group: read } = await readWith([person("u1"), person("u2"), person("u1")]);
    expect(sent.filter(({ path }) => path === `${BASE}/Groups/g1`).map(({ query }) => query)).toEqual([
      [["attributes", "displayName,members,meta"]],
      [["attributes", "displayName,members,meta"]],
    ]);
    expect(accounts).toEqual(["u1", "u2"]);
    expect(read).toEqual({ id: "g1", name: "Night shift", kind: "plain", version: 'W/"1"' });
    expect(evidence).toEqual({
      complete: true,
      weak: true,
      because: "two answers in a row showed the same 2 members",
      pages: 2,
      counted: 2,
      duplicates: 1,
      versionBefore: 'W/"1"',
      versionAfter: 'W/"1"',
    });
  });

  it.each([
    ["joined", ["u1"], ["u1", "u2"]],
    ["left", ["u1", "u2"], ["u1"]],
    ["was replaced", ["u1", "u2"], ["u1", "u3"]],
  ])("is not whole when someone %s in between", async (_, before, after) => {
    const moving = [group(before.map(person)), group(after.map(person), 'W/"2"')];
    const { evidence } = await readWith([], { "GET /Groups/g1": moving });
    expect(evidence).toMatchObject({ complete: false, moved: true, versionBefore: 'W/"1"', versionAfter: 'W/"2"' });
  });

  it.each([undefined, [], null])("takes members %j for an empty group, as the RFC says", async (none) => {
    const { accounts, evidence } = await readWith(none as readonly unknown[] | undefined);
    expect(accounts).toEqual([]);
    expect(evidence).toMatchObject({ complete: true, counted: 0 });
  });

  it("takes the version of the header where the body has none, and does without where there is none", async () => {
    const body = { id: "g1", displayName: "Night shift" };
    const tagged = await readWith([], { "GET /Groups/g1": ok(body, { etag: '"abc"' }) });
    expect(tagged.group.version).toBe('"abc"');
    nock.cleanAll();
    const bare = await readWith([], { "GET /Groups/g1": ok(body) });
    expect(bare.group).not.toHaveProperty("version");
  });

  it("marks who is switched off, asked for once for all groups of a pass", async () => {
    const { provider, sent, context } = setUp(
      answers({
        "GET /Groups/g1": group([person("u1"), person("u2")]),
        "GET /Users": list([{ id: "u2", active: false }]),
      }),
    );
    const [first, second] = [await provider.readGroup("g1", context), await provider.readGroup("g1", context)];
    expect(first.members.map(({ state }) => state)).toEqual(["active", "disabled"]);
    expect(second.members).toEqual(first.members);
    const asked = sent.filter(({ path }) => path === `${BASE}/Users`);
    expect(asked.map(({ query }) => query[0])).toEqual([["filter", "active eq false"]]);
  });

  it("shows all as active where the service does not take that filter", async () => {
    const { members: read } = await readWith([person("u1")], { "GET /Users": failure(400, "invalidFilter") });
    expect(read).toEqual([{ account: "u1", role: "member", direct: true, state: "active" }]);
  });

  it("says not-found of a group that is gone, when the list of groups is there", async () => {
    const { provider, context } = setUp(answers({ "GET /Groups": list([]) }));
    const error = await failureOf(provider.readGroup("g1", context));
    expect(error).toMatchObject({ code: "not-found", facts: { provider: "directory", operation: "getGroup" } });
  });

  it("concludes nothing from a 404 when everything is 404", async () => {
    const { provider, context } = setUp(() => ({ status: 404, text: "<html>not here</html>" }));
    const error = await failureOf(provider.readGroup("g1", context));
    expect(error).toMatchObject({ code: "unavailable", facts: { hint: expect.stringContaining("baseUrl") } });
    expect((await failureOf(provider.findAccounts([{ by: "id", value: "u1" }], context))).code).toBe("unavailable");
  });

  it("refuses another group's answer, and one that is no group", async () => {
    const other = setUp(answers({ "GET /Groups/g1": ok({ id: "g2", displayName: "Other" }) }));
    expect((await failureOf(other.provider.readGroup("g1", other.context))).code).toBe("bad-answer");
    nock.cleanAll();
    const none = setUp(answers({ "GET /Groups/g1": ok({ hello: "world" }) }));
    const error = await failureOf(none.provider.readGroup("g1", none.context));
    expect(error).toMatchObject({ code: "bad-answer", facts: { outcomeUnknown: false } });
  });
});

describe("groups within a group", () => {
  const nested = [
    { value: "g2", type: "Group" },
    { value: "g3", $ref: "https://directory.test/scim/v2/Groups/g3" },
    { value: "g4", type: "group", $ref: null },
  ];

  it("are left alone where type or $ref tell what they are, without another question", async () => {
    const people = [person("u1"), { value: "u2", $ref: "../Users/u2" }];
    const { accounts, evidence, sent } = await readWith([...people, ...nested]);
    expect(accounts).toEqual(["u1", "u2"]);
    expect(evidence).toMatchObject({ complete: true, counted: 2 });
    expect(evidence.because).toBe(
      "two answers in a row showed the same 5 members; 3 of them are groups and left alone",
    );
    expect(sent.some(({ path }) => path === `${BASE}/Groups`)).toBe(false);
  });

  it("are found in the list of groups where nothing tells what a member is", async () => {
    const groups = list([{ id: "g2", displayName: "Inner" }]);
    const { accounts, evidence } = await readWith([{ value: "u1" }, { value: "g2" }], { "GET /Groups": groups });
    expect(accounts).toEqual(["u1"]);
    expect(evidence).toMatchObject({ complete: true, counted: 1 });
  });

  it("make the reading incomplete where they cannot be told from people", async () => {
    const short = list([{ id: "g7", displayName: "Other" }], 2);
    const { evidence } = await readWith([{ value: "u1" }, { value: "g2" }], {
      "GET /Groups": [short, list([], 2)],
    });
    expect(evidence.complete).toBe(false);
    expect(evidence.because).toContain("whether members are people or groups is not told");
  });
});

describe("finding accounts", () => {
  const ada = { id: "u1", userName: "ada", displayName: "Ada", emails: [{ value: "Ada@x.org", primary: true }] };

  it("asks for userName and for emails, and counts who is found twice once", async () => {
    const { provider, sent, context } = setUp(answers({ "GET /Users": list([ada]) }));
    const key = { by: "email", value: "ada@X.org" } as const;
    expect(await provider.findAccounts([key], context)).toEqual([
      { key, accounts: [{ id: "u1", email: "Ada@x.org", name: "Ada", status: "active", eligible: true }] },
    ]);
    expect(new Set(sent.map(({ query }) => query[0]?.[1]))).toEqual(
      new Set(['emails.value eq "ada@X.org"', 'userName eq "ada@X.org"']),
    );
    expect(sent).toHaveLength(2);
  });

  it("asks for one of them only when told so", async () => {
    const { provider, sent, context } = setUp(answers({ "GET /Users": list([ada]) }), { addressIn: "emails" });
    await provider.findAccounts([{ by: "email", value: "ada@x.org" }], context);
    expect(sent.map(({ query }) => query[0])).toEqual([["filter", 'emails.value eq "ada@x.org"']]);
  });

  it("names the option when the service does not take one of the filters", async () => {
    const { provider, context } = setUp(() => failure(400, "invalidFilter", "emails is not searchable"));
    const error = await failureOf(provider.findAccounts([{ by: "email", value: "ada@x.org" }], context));
    expect(error).toMatchObject({
      code: "refused",
      facts: { serviceCode: "invalidFilter", hint: expect.stringContaining("addressIn") },
    });
  });

  it("takes nobody who has another address, whatever the service takes for equal", async () => {
    const { provider, context } = setUp(
      answers({ "GET /Users": list([ada, { id: "u2", userName: "joada@x.org" }, { id: "u3" }]) }),
    );
    const [finding] = await provider.findAccounts([{ by: "email", value: "ada@x.org" }], context);
    expect(finding?.accounts.map(({ id }) => id)).toEqual(["u1"]);
  });

  it("shows two accounts of one address as two", async () => {
    const twin = { id: "u2", userName: "ADA@x.org" };
    const { provider, context } = setUp(answers({ "GET /Users": list([ada, twin]) }));
    const [finding] = await provider.findAccounts([{ by: "email", value: "ada@x.org" }], context);
    expect(finding?.accounts.map(({ id }) => id)).toEqual(["u1", "u2"]);
  });

  it("does not answer from a list that is not whole: the missing one may be the second account", async () => {
    const { provider, context } = setUp(({ query }) => list(query.some(([, value]) => value === "1") ? [ada] : [], 2));
    const error = await failureOf(provider.findAccounts([{ by: "email", value: "ada@x.org" }], context));
    expect(error).toMatchObject({ code: "bad-answer", facts: { retryable: true } });
  });

  it("checks an id, and says who is switched off", async () => {
    const { provider, context } = setUp(
      answers({ "GET /Users/u1": ok({ ...ada, active: false }), "GET /Groups": list([]) }),
    );
    const keys = ["u1", "u9"].map((value) => ({ by: "id", value }) as const);
    const [known, unknown] = await provider.findAccounts(keys, context);
    expect(known?.accounts).toEqual([
      {
        id: "u1",
        email: "Ada@x.org",
        name: "Ada",
        status: "disabled",
        eligible: false,
        note: "the account is switched off (active is false)",
      },
    ]);
    expect(unknown?.accounts).toEqual([]);
  });

  it("refuses another user's answer", async () => {
    const { provider, context } = setUp(answers({ "GET /Users/u2": ok(ada) }));
    expect((await failureOf(provider.findAccounts([{ by: "id", value: "u2" }], context))).code).toBe("bad-answer");
  });
});

describe("errors", () => {
  it.each([
    [409, "uniqueness", "conflict"],
    [412, undefined, "conflict"],
    [400, "invalidValue", "refused"],
    [400, "noTarget", "refused"],
    [401, undefined, "unauthenticated"],
    [403, undefined, "forbidden"],
    [404, undefined, "not-found"],
    [413, undefined, "too-large"],
    [501, undefined, "unavailable"],
  ] as const)("of status %i and scimType %s are %s, with the service's words", async (status, scimType, code) => {
    const { provider, context } = setUp(() => failure(status, scimType, "Said so."));
    const error = await failureOf(provider.applyBatch(members({ add: edits(["u1"]) }), context));
    expect(error.code).toBe(code);
    expect(error.message).toContain("Said so.");
    expect(error.facts).toMatchObject({ provider: "directory", operation: "patchGroup", status });
    expect(error.facts.serviceCode).toBe(scimType);
  });

  it("of a rate limit are waited out as told, also for a write", async () => {
    const limited = { ...failure(429), headers: { "retry-after": "0" } };
    const { provider, sent, context } = setUp(answers({ "PATCH /Groups/g1": [limited, done] }));
    await provider.applyBatch(members({ add: edits(["u1"]) }), context);
    expect(sent).toHaveLength(2);
  });

  it("leave a write unknown when its answer cannot be read, and never repeat it", async () => {
    const { provider, sent, context } = setUp(() => ({ status: 201, body: { displayName: "Days" } }));
    const error = await failureOf(provider.applyBatch({ kind: "group.create", name: "Days", add: [] }, context));
    expect(error).toMatchObject({ code: "bad-answer", facts: { outcomeUnknown: true, operation: "createGroup" } });
    expect(sent).toHaveLength(1);
  });

  it("hold no token, even when the service repeats it", async () => {
    const { provider, token, context } = setUp(({ headers }) => failure(403, undefined, headers["authorization"]));
    const error = await failureOf(provider.listGroups(context));
    expect(inspect(error, { depth: 10 })).not.toContain(token);
  });
});

describe("what SCIM cannot do is refused before anything is sent", () => {
  const wrong: readonly (readonly [string, Batch, string])[] = [
    ["a role", members({ add: edits(["u1"], { role: "owner" }) }), "unsupported"],
    ["a change of role", members({ update: edits(["u1"]) }), "unsupported"],
    ["an invitation", members({ remove: edits(["u1"], { invitation: "i" }) }), "unsupported"],
    ["two groups", members({ groups: [nightShift, nightShift], add: edits(["u1"]) }), "unsupported"],
    ["no group", members({ groups: [], add: edits(["u1"]) }), "unsupported"],
    ["a description", { kind: "group.update", group: nightShift, description: "x" }, "unsupported"],
    ["an empty name", { kind: "group.update", group: nightShift, name: " " }, "options-invalid"],
    ["an empty id", members({ remove: edits([""]) }), "options-invalid"],
    [
      "a version that would start another header",
      members({ groups: [{ ...nightShift, version: "1\r\nx-evil: 1" }], add: edits(["u1"]) }),
      "options-invalid",
    ],
  ];

  it.each(wrong)("%s", async (_, batch, code) => {
    const { provider, sent, context } = setUp(() => done);
    const error = await failureOf(provider.applyBatch(batch, context));
    expect(error).toMatchObject({ code, facts: { provider: "directory" } });
    expect(sent).toEqual([]);
  });

  it("sends nothing for a batch that says nothing", async () => {
    const { provider, sent, context } = setUp(() => done);
    expect(await provider.applyBatch(members({}), context)).toEqual({});
    expect(sent).toEqual([]);
  });

  it("takes who leaves with whatever role they were listed", async () => {
    const { provider, sent, context } = setUp(() => done);
    await provider.applyBatch(members({ remove: edits(["u1"], { role: "owner" }) }), context);
    expect(sent).toHaveLength(1);
  });
});

describe("checkAccess", () => {
  const supported = { supported: true };
  const config = { patch: supported, filter: supported, etag: supported };
  const fine = { "GET /ServiceProviderConfig": ok(config), "GET /Groups": list([], 12), "GET /Users": list([]) };
  const check = async (more: Parameters<typeof answers>[0] = {}) => {
    const { provider, context } = setUp(answers({ ...fine, ...more }));
    return provider.checkAccess(context);
  };

  it("says where we are and that groups can be read", async () => {
    expect(await check()).toEqual({
      identity: "SCIM 2.0 at directory.test/scim/v2",
      findings: [{ level: "ok", message: "Groups can be read; there are 12." }],
    });
  });

  it.each([
    ["patch", "error", "no PATCH"],
    ["filter", "warning", "no filters"],
    ["etag", "warning", "no ETags"],
  ] as const)("tells that %s is missing: %s", async (what, level, words) => {
    const { findings } = await check({
      "GET /ServiceProviderConfig": ok({ ...config, [what]: { supported: false } }),
    });
    expect(findings[0]).toEqual({ level, message: expect.stringContaining(words) });
  });

  it.each([403, 404])("goes on with a warning when the service does not describe itself (%i)", async (status) => {
    const { findings } = await check({ "GET /ServiceProviderConfig": failure(status) });
    expect(findings.map(({ level }) => level)).toEqual(["warning", "ok"]);
  });

  it("warns that members who are switched off cannot be seen", async () => {
    const { findings } = await check({ "GET /Users": failure(400, "invalidFilter") });
    expect(findings.at(-1)).toEqual({ level: "warning", message: expect.stringContaining("active eq false") });
  });

  it("names the address when nothing is there", async () => {
    const { provider, context } = setUp(() => ({ status: 404 }));
    expect(await failureOf(provider.checkAccess(context))).toMatchObject({
      code: "unavailable",
      facts: { hint: expect.stringContaining("baseUrl") },
    });
  });

  it("throws when the token is refused", async () => {
    const { provider, context } = setUp(() => failure(401));
    expect((await failureOf(provider.checkAccess(context))).code).toBe("unauthenticated");
  });
});

describe("the options", () => {
  const good = { baseUrl: `${ORIGIN}${BASE}`, token: "t" };

  it("are an address and a token, and the connection's", () => {
    const options = { ...good, addressIn: "userName", timeoutMs: 5, requestsPerMinute: 60 };
    expect(scimProviderType.options.safeParse(options).success).toBe(true);
    expect(scimProviderType.create("x", good)).toMatchObject({ id: "x", type: "scim" });
    expect(createScimProvider(good).id).toBe("scim");
  });

  it.each([
    { token: "t" },
    { baseUrl: good.baseUrl },
    { ...good, token: "two words" },
    { ...good, token: "a\nb" },
    { ...good, baseUrl: "http://directory.test" },
    { ...good, baseUrl: "https://user:pass@directory.test" },
    { ...good, addressIn: "phone" },
    { ...good, surprise: 1 },
  ])("are refused when wrong: %j", (options) => {
    expect(scimProviderType.options.safeParse(options).success).toBe(false);
    expect(() => createScimProvider(options as unknown as ScimProviderOptions)).toThrow(GroupSyncError);
  });

  it("of the bare client need no provider name", async () => {
    captureRequests(ORIGIN, () => gone);
    const error = await failureOf(createScimApi({ ...good, token: "bare-token" }).getUser("u1"));
    expect(error.facts).toMatchObject({ provider: "scim", operation: "getUser" });
  });
});
