import { inspect } from "node:util";
import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch, GroupRef, MemberEdit } from "../../../src/model.js";
import { type CallContext, createCallContext } from "../../../src/provider.js";
import {
  createNeuroioApi,
  createNeuroioProvider,
  neuroioCapabilities,
  type NeuroioProviderOptions,
  neuroioProviderType,
} from "../../../src/providers/neuroio/index.js";
import { type CannedAnswer, type CapturedRequest, captureRequests } from "../../wire/compare.js";

const ORIGIN = "https://neuro.test";
const GROUPS = "/v1/groups/persons/";
const MEMBERS = "/v1/groups/persons/7/pids/";

let tokens = 0;

/** A provider with a token of its own, so that a pause of one test does not reach the next. */
function setUp(
  answer: (request: CapturedRequest) => CannedAnswer,
  options: Partial<NeuroioProviderOptions> = { token: `secret-token-${++tokens}` },
) {
  // What answered before in the same test must not answer now.
  nock.cleanAll();
  const sent = captureRequests(ORIGIN, answer);
  const provider = createNeuroioProvider({
    id: "faces",
    baseUrl: ORIGIN,
    iamUrl: ORIGIN,
    retryDelayMs: 1,
    maxAttempts: 2,
    ...options,
  });
  return { provider, sent, context: createCallContext() };
}

/** Pids in a fixed order. */
function people(count: number, from = 1): string[] {
  return Array.from({ length: count }, (_, i) => `p-${String(i + from).padStart(6, "0")}`);
}

interface ServiceState {
  /** The members at the nth reading of a page, from 0. */
  readonly members: (page: number) => readonly string[];
  readonly personsCount?: (read: number) => number | undefined;
  /** The declared total of the nth page; undefined: none. */
  readonly count?: (page: number, members: readonly string[]) => number | undefined;
  readonly maxLimit?: number;
  readonly envelope?: "object" | "array";
}

/** A service with group 7, as far as reading it goes. */
function serviceOf(state: ServiceState): (request: CapturedRequest) => CannedAnswer {
  let pages = 0;
  let reads = 0;
  return ({ path, query }) => {
    if (path === `${GROUPS}7/`) {
      return { status: 200, body: { id: 7, name: "night", persons_count: state.personsCount?.(reads++) } };
    }
    if (path !== MEMBERS) return notFound;
    const page = pages++;
    const members = state.members(page);
    const { limit, offset } = Object.fromEntries(query);
    const rows = members
      .slice(Number(offset), Number(offset) + Math.min(Number(limit), state.maxLimit ?? 1000))
      .map((pid) => ({ pid, pid_source: "default" }));
    if (state.envelope === "array") return { status: 200, body: rows };
    return { status: 200, body: { results: rows, count: (state.count ?? countAll)(page, members) } };
  };
}

const countAll = (_page: number, members: readonly string[]) => members.length;
const noCount = () => undefined;
const notFound: CannedAnswer = { status: 404, body: { error_codes: [404], message: "Not found.", fields: [] } };

async function readSeven(state: ServiceState) {
  const { provider, sent, context } = setUp(serviceOf(state));
  const snapshot = await provider.readGroup("7", context);
  return { ...snapshot, pids: snapshot.members.map(({ account }) => account), sent };
}

function edits(accounts: readonly string[], more: Partial<MemberEdit> = {}): MemberEdit[] {
  return accounts.map((account) => ({ account, role: "member", ...more }));
}

const seven: GroupRef = { id: "7", name: "night" };
function members(change: Partial<Batch & { kind: "members" }>): Batch {
  return { kind: "members", groups: [seven], add: [], update: [], remove: [], ...change };
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

describe("reading a group of NeuroIO", () => {
  it("is complete when every page declares the same total and it equals the distinct pids", async () => {
    const { evidence, pids, group, members: read } = await readSeven({ members: () => people(230) });
    expect(evidence).toEqual({
      complete: true,
      because: "230 distinct persons on 3 pages equal the declared total",
      pages: 3,
      declared: 230,
      counted: 230,
      duplicates: 0,
    });
    expect(pids).toEqual(people(230));
    expect(group).toEqual({ id: "7", name: "night", kind: "plain" });
    expect(read[0]).toEqual({ account: "p-000001", role: "member", direct: true, state: "active" });
  });

  it.each([0, 1, 99, 100, 101, 200])("reads %i members whole when a total is declared", async (size) => {
    const { evidence, pids, sent } = await readSeven({ members: () => people(size) });
    expect(evidence).toMatchObject({ complete: true, counted: size });
    expect(pids).toEqual(people(size));
    const offsets = sent.filter(({ path }) => path === MEMBERS).map(({ query }) => Object.fromEntries(query));
    expect(offsets).toEqual(
      Array.from({ length: Math.max(1, Math.ceil(size / 100)) }, (_, i) => ({ limit: "100", offset: `${i * 100}` })),
    );
  });

  it.each([0, 1, 99, 100, 101])("reads %i members twice when no total is declared, and says so", async (size) => {
    const { evidence, pids } = await readSeven({ members: () => people(size), count: noCount });
    expect(evidence).toMatchObject({ complete: true, weak: true, counted: size, duplicates: 0 });
    expect(evidence.because).toBe(`no total is declared, but two passes gave the same ${size} persons`);
    expect(evidence).not.toHaveProperty("declared");
    expect(pids).toEqual(people(size));
  });

  it("takes a bare array as a page without a total", async () => {
    const { evidence, pids } = await readSeven({ members: () => people(3), envelope: "array" });
    expect(evidence).toMatchObject({ complete: true, weak: true, pages: 4 });
    expect(pids).toEqual(people(3));
  });

  it("advances by the rows received when the service gives shorter pages than asked for", async () => {
    const counted = await readSeven({ members: () => people(55), maxLimit: 25 });
    expect(counted.evidence).toMatchObject({ complete: true, pages: 3, counted: 55 });
    const uncounted = await readSeven({ members: () => people(55), maxLimit: 25, count: noCount });
    expect(uncounted.evidence).toMatchObject({ complete: true, weak: true, pages: 8, counted: 55 });
  });

  it("asks for 20 rows when 100 are refused, and remembers it", async () => {
    const service = serviceOf({ members: () => people(30) });
    const { provider, sent, context } = setUp((request) =>
      request.query.some(([name, value]) => name === "limit" && Number(value) > 50)
        ? {
            status: 400,
            body: {
              error_codes: [400],
              message: "Validation error.",
              fields: [{ name: "limit", message: "Too big." }],
            },
          }
        : service(request),
    );
    const { evidence } = await provider.readGroup("7", context);
    expect(evidence).toMatchObject({ complete: true, counted: 30 });
    await provider.readGroup("7", context);
    const limits = sent
      .filter(({ path }) => path === MEMBERS)
      .map(({ query }) => query.find(([name]) => name === "limit")?.[1]);
    expect(limits).toEqual(["100", "20", "20", "20", "20"]);
  });

  it("does not ask again when a 400 names something else", async () => {
    const { provider, sent, context } = setUp(({ path }) =>
      path === MEMBERS
        ? { status: 400, body: { error_codes: [400], message: "No.", fields: [{ name: "offset", message: "No." }] } }
        : { status: 200, body: { id: 7, name: "night" } },
    );
    expect(await failureOf(provider.readGroup("7", context))).toMatchObject({
      code: "refused",
      facts: { field: "offset", serviceCode: "400" },
    });
    expect(sent).toHaveLength(2);
  });

  it("says that the list moved when the total changes between pages", async () => {
    const { evidence } = await readSeven({ members: () => people(150), count: (page) => 150 + page });
    expect(evidence).toMatchObject({ complete: false, moved: true });
  });

  it("says that the list moved when rows shift under it", async () => {
    // One person of the first page left after it was read, so the second page starts one row later.
    const { evidence } = await readSeven({
      members: (page) => (page === 0 ? people(150) : people(149, 2)),
      count: () => 150,
    });
    expect(evidence).toMatchObject({ complete: false, moved: true, declared: 150, counted: 149 });
  });

  it("says that the list moved when rows come twice, total or not", async () => {
    const twice = (page: number) => (page === 0 ? people(101) : ["p-new", ...people(100)]);
    expect((await readSeven({ members: twice })).evidence).toMatchObject({
      complete: false,
      moved: true,
      duplicates: 1,
    });
    expect((await readSeven({ members: twice, count: noCount })).evidence).toMatchObject({
      complete: false,
      moved: true,
      duplicates: 1,
      because: "1 of the persons came more than once",
    });
  });

  it.each([
    ["too high", 12],
    ["too low", 8],
  ])("does not believe a total that is %s", async (_how, total) => {
    const { evidence } = await readSeven({ members: () => people(10), count: () => total });
    expect(evidence).toMatchObject({ complete: false, moved: true, declared: total, counted: 10 });
  });

  it("is incomplete when only some pages declare a total", async () => {
    const { evidence } = await readSeven({
      members: () => people(150),
      count: (page) => (page === 0 ? undefined : 150),
    });
    expect(evidence).toMatchObject({ complete: false, because: "only 1 of 2 pages declare a total of persons" });
    expect(evidence).not.toHaveProperty("moved");
  });

  it("is incomplete when the service ignores the position and declares no total", async () => {
    const { provider, sent, context } = setUp(({ path }) => ({
      status: 200,
      body: path === MEMBERS ? [{ pid: "a" }, { pid: "b" }] : { id: 7, name: "night" },
    }));
    const { evidence } = await provider.readGroup("7", context);
    expect(evidence).toMatchObject({ complete: false, counted: 2, duplicates: 2 });
    expect(sent).toHaveLength(3);
  });

  it("says that the list moved when two passes without a total differ", async () => {
    const { evidence } = await readSeven({
      members: (page) => (page < 2 ? people(5) : [...people(4), "p-new"]),
      count: noCount,
    });
    expect(evidence).toMatchObject({ complete: false, moved: true, counted: 5 });
    expect(evidence).not.toHaveProperty("weak");
  });

  it("is incomplete when the second pass suddenly declares totals", async () => {
    const { evidence } = await readSeven({
      members: () => people(5),
      count: (page) => (page < 2 ? undefined : 5),
    });
    expect(evidence).toMatchObject({ complete: false });
  });

  it("holds the group's own count before and after against the reading", async () => {
    const same = await readSeven({ members: () => people(5), personsCount: () => 5 });
    expect(same.evidence).toMatchObject({
      complete: true,
      because: expect.stringContaining("and the group's own count before and after") as string,
    });
    const weak = await readSeven({ members: () => people(5), count: noCount, personsCount: () => 5 });
    expect(weak.evidence).toMatchObject({ complete: true, weak: true });
    const changed = await readSeven({ members: () => people(5), personsCount: (read) => 5 + read });
    expect(changed.evidence).toMatchObject({ complete: false, moved: true });
    expect(changed.evidence.because).toBe("the group's own count of persons was 5 before the reading and 6 after it");
    const other = await readSeven({ members: () => people(5), count: noCount, personsCount: () => 6 });
    expect(other.evidence).toMatchObject({ complete: false, moved: true });
    expect(other.evidence).not.toHaveProperty("weak");
  });

  it("reads the record once when it carries no count of its own", async () => {
    const { sent } = await readSeven({ members: () => people(5) });
    expect(sent.map(({ path }) => path)).toEqual([`${GROUPS}7/`, MEMBERS]);
  });

  it("takes pid_source as text, as an object or as nothing", async () => {
    const rows = [{ pid: "a", pid_source: "default" }, { pid: "b", pid_source: { id: 1, name: "x" } }, { pid: "c" }];
    const { provider, context } = setUp(({ path }) => ({
      status: 200,
      body: path === MEMBERS ? { count: 3, next: null, previous: null, results: rows } : { id: 7, name: "night" },
    }));
    const { members: read, evidence } = await provider.readGroup("7", context);
    expect(read.map(({ account }) => account)).toEqual(["a", "b", "c"]);
    expect(evidence.complete).toBe(true);
  });

  it("concludes that a group is missing only while the list of groups answers", async () => {
    const missing = setUp(({ path }) => (path === GROUPS ? { status: 200, body: [] } : notFound));
    const error = await failureOf(missing.provider.readGroup("7", missing.context));
    expect(error).toMatchObject({
      code: "not-found",
      facts: { provider: "faces", operation: "getGroup", status: 404 },
    });
    await failureOf(missing.provider.readGroup("8", missing.context));
    expect(missing.sent.filter(({ path }) => path === GROUPS)).toHaveLength(1);

    const elsewhere = setUp(() => ({ status: 404, text: "<html>no such site</html>" }));
    expect(await failureOf(elsewhere.provider.readGroup("7", elsewhere.context))).toMatchObject({
      code: "unavailable",
    });
  });

  it("does not take a 404 of the member list for a missing group while the group is there", async () => {
    const { provider, context } = setUp(({ path }) =>
      path === MEMBERS ? notFound : { status: 200, body: { id: 7, name: "night" } },
    );
    expect(await failureOf(provider.readGroup("7", context))).toMatchObject({ code: "unavailable" });
  });

  it("sees that a group was deleted between its record and its members", async () => {
    let reads = 0;
    const { provider, context } = setUp(({ path }) => {
      if (path === GROUPS) return { status: 200, body: { results: [] } };
      return path === MEMBERS || reads++ > 0 ? notFound : { status: 200, body: { id: 7, name: "night" } };
    });
    expect(await failureOf(provider.readGroup("7", context))).toMatchObject({ code: "not-found" });
  });

  it("refuses an answer about another group", async () => {
    const { provider, context } = setUp(() => ({ status: 200, body: { id: 70, name: "night" } }));
    expect(await failureOf(provider.readGroup("7", context))).toMatchObject({ code: "bad-answer" });
  });

  it.each(["", "abc", "7/../8", "-1", "07", "1.5", "99999999999999999999"])(
    "refuses %j as a group id and sends nothing",
    async (groupId) => {
      const { provider, sent, context } = setUp(() => ({ status: 200 }));
      expect(await failureOf(provider.readGroup(groupId, context))).toMatchObject({ code: "options-invalid" });
      expect(sent).toEqual([]);
    },
  );
});

describe("listing the groups of NeuroIO", () => {
  const rows = Array.from({ length: 120 }, (_, i) => ({ id: i + 1, name: "night", space_id: 4, persons_count: 0 }));
  const page = ({ query }: CapturedRequest) => {
    const { limit, offset } = Object.fromEntries(query);
    return rows.slice(Number(offset), Number(offset) + Number(limit));
  };

  it("reads all pages and proves it by the total", async () => {
    const { provider, context } = setUp((request) => ({
      status: 200,
      body: { count: rows.length, results: page(request) },
    }));
    const { groups, evidence } = await provider.listGroups(context);
    expect(groups).toHaveLength(120);
    expect(groups[119]).toEqual({ id: "120", name: "night", kind: "plain" });
    expect(evidence).toMatchObject({ complete: true, pages: 2, declared: 120 });
  });

  it("reads twice without a total", async () => {
    const { provider, context } = setUp((request) => ({ status: 200, body: page(request) }));
    const { groups, evidence } = await provider.listGroups(context);
    expect(groups).toHaveLength(120);
    expect(evidence).toMatchObject({ complete: true, weak: true, pages: 6 });
  });
});

describe("looking people up at NeuroIO", () => {
  const answer = ({ path }: CapturedRequest): CannedAnswer => {
    if (path === GROUPS) return { status: 200, body: { results: [] } };
    const pid = decodeURIComponent(path.split("/").at(-2) ?? "");
    return pid.startsWith("no") ? notFound : { status: 200, body: { pid: pid.toLowerCase(), total: 3 } };
  };

  it("finds a person by pid, trimmed and without regard to case, and answers in the order of the keys", async () => {
    const { provider, sent, context } = setUp(answer);
    const keys = ["a", "no-one", " A+b/c,d "].map((value) => ({ by: "id" as const, value }));
    expect(await provider.findAccounts(keys, context)).toEqual([
      { key: keys[0], accounts: [{ id: "a", status: "active", eligible: true }] },
      { key: keys[1], accounts: [] },
      { key: keys[2], accounts: [{ id: "a+b/c,d", status: "active", eligible: true }] },
    ]);
    expect(sent.map(({ path }) => path)).toContain("/v1/entries/stats/pid/A%2Bb%2Fc%2Cd/");
  });

  it("does not conclude absence from a 404 while the list of groups is not there either", async () => {
    const { provider, context } = setUp(() => notFound);
    const error = await failureOf(provider.findAccounts([{ by: "id", value: "a" }], context));
    expect(error.code).toBe("unavailable");
  });

  it.each([
    [403, "forbidden"],
    [500, "unavailable"],
    [401, "unauthenticated"],
  ])("does not take a %i for absence", async (status, code) => {
    const { provider, context } = setUp(() => ({ status }));
    expect((await failureOf(provider.findAccounts([{ by: "id", value: "a" }], context))).code).toBe(code);
  });

  it("refuses an answer about somebody else", async () => {
    const { provider, context } = setUp(() => ({ status: 200, body: { pid: "b" } }));
    expect((await failureOf(provider.findAccounts([{ by: "id", value: "a" }], context))).code).toBe("bad-answer");
  });

  it("refuses addresses, and ids that cannot stand in a path, and sends nothing", async () => {
    const { provider, sent, context } = setUp(answer);
    const byEmail = { by: "email" as const, value: "ana@example.org" };
    expect((await failureOf(provider.findAccounts([byEmail], context))).code).toBe("unsupported");
    expect((await failureOf(provider.findAccounts([{ by: "id", value: ".." }], context))).code).toBe("options-invalid");
    expect((await failureOf(provider.findAccounts([{ by: "id", value: " " }], context))).code).toBe("options-invalid");
    expect(sent).toEqual([]);
  });
});

describe("applying a batch at NeuroIO", () => {
  it("creates a group by its name and reports it, then says nothing about members", async () => {
    const { provider, sent, context } = setUp(() => ({ status: 201, body: { id: 9, name: "R&D" } }));
    const result = await provider.applyBatch({ kind: "group.create", name: "R&D", add: [] }, context);
    expect(result).toEqual({ group: { id: "9", name: "R&D", kind: "plain" } });
    expect(sent).toMatchObject([{ method: "POST", path: GROUPS, body: { name: "R&D" } }]);
  });

  it("renames by PATCH", async () => {
    const { provider, sent, context } = setUp(() => ({ status: 200, body: { id: 7, name: "day" } }));
    const result = await provider.applyBatch({ kind: "group.update", group: seven, name: "day" }, context);
    expect(result).toEqual({ group: { id: "7", name: "day", kind: "plain" } });
    expect(sent).toMatchObject([{ method: "PATCH", path: `${GROUPS}7/`, body: { name: "day" } }]);
  });

  it("deletes, whatever 2xx comes back", async () => {
    const { provider, sent, context } = setUp(() => ({ status: 204 }));
    expect(await provider.applyBatch({ kind: "group.delete", group: seven }, context)).toEqual({});
    expect(sent).toMatchObject([{ method: "DELETE", path: `${GROUPS}7/` }]);
  });

  it.each(["", "{}", "null", "OK", "<html></html>", '{"added":1}'])(
    "takes %j as the answer to adding and removing, and as proof of nothing",
    async (text) => {
      const { provider, sent, context } = setUp(() => ({ status: 200, text }));
      expect(await provider.applyBatch(members({ add: edits(["a", "b", "a"]) }), context)).toEqual({});
      const both = [seven, { id: "8", name: "day" }];
      expect(await provider.applyBatch(members({ groups: both, remove: edits(["a"]) }), context)).toEqual({});
      expect(sent).toMatchObject([
        { method: "POST", path: `${GROUPS}pids/`, body: { pids: ["a", "b"], groups_ids: [7] } },
        { method: "DELETE", path: `${GROUPS}pids/`, body: { pids: ["a"], groups_ids: [7, 8] } },
      ]);
    },
  );

  it("takes 100 people and 100 groups in one call, counting each once", async () => {
    const { provider, sent, context } = setUp(() => ({ status: 200 }));
    const groups = Array.from({ length: 100 }, (_, i) => ({ id: `${i}`, name: "g" }));
    await provider.applyBatch(members({ groups, add: edits([...people(100), ...people(1)]) }), context);
    expect(sent).toHaveLength(1);
    expect(sent[0]?.body).toEqual({ pids: people(100), groups_ids: groups.map(({ id }) => Number(id)) });
  });

  it.each([
    ["first members of a new group", { kind: "group.create", name: "a", add: edits(["p"]) }],
    ["the description of a new group", { kind: "group.create", name: "a", description: "b", add: [] }],
    ["a description", { kind: "group.update", group: seven, name: "a", description: "b" }],
    ["an added manager", members({ add: edits(["a"], { role: "manager" }) })],
    ["a change of role", members({ update: edits(["a"], { role: "owner" }) })],
    ["adding and removing in one", members({ add: edits(["a"]), remove: edits(["b"]) })],
    ["withdrawing an invitation", members({ remove: edits(["a"], { invitation: "i" }) })],
    ["101 people", members({ add: edits(people(101)) })],
    ["101 people to remove", members({ remove: edits(people(101)) })],
    [
      "101 groups",
      members({ groups: Array.from({ length: 101 }, (_, i) => ({ id: `${i}`, name: "g" })), add: edits(["a"]) }),
    ],
  ] satisfies readonly (readonly [string, Batch])[])("cannot do %s and sends nothing", async (_what, batch) => {
    const { provider, sent, context } = setUp(() => ({ status: 200, body: { id: 7, name: "a" } }));
    expect((await failureOf(provider.applyBatch(batch, context))).code).toBe("unsupported");
    expect(sent).toEqual([]);
  });

  it.each([
    ["nobody", members({})],
    ["no group", members({ groups: [], add: edits(["a"]) })],
    ["an empty pid", members({ remove: edits(["a", ""]) })],
    ["a group id that is none", members({ groups: [{ id: "x", name: "x" }], add: edits(["a"]) })],
    ["a blank name", { kind: "group.create", name: " ", add: [] }],
    ["no new name", { kind: "group.update", group: seven }],
    ["the deletion of a group id that is none", { kind: "group.delete", group: { id: "..", name: "x" } }],
  ] satisfies readonly (readonly [string, Batch])[])("refuses %s and sends nothing", async (_what, batch) => {
    const { provider, sent, context } = setUp(() => ({ status: 200, body: { id: 7, name: "a" } }));
    expect((await failureOf(provider.applyBatch(batch, context))).code).toBe("options-invalid");
    expect(sent).toEqual([]);
  });

  it("leaves the outcome of a write open after a 5xx, and sends it once", async () => {
    const { provider, sent, context } = setUp(() => ({ status: 502, text: "<html>bad gateway</html>" }));
    const error = await failureOf(provider.applyBatch(members({ add: edits(["a"]) }), context));
    expect(error).toMatchObject({ code: "unavailable", facts: { outcomeUnknown: true, operation: "addPersons" } });
    expect(sent).toHaveLength(1);
  });

  it("leaves the outcome of a create open when its answer cannot be read", async () => {
    const { provider, context } = setUp(() => ({ status: 201, body: { id: 9 } }));
    const error = await failureOf(provider.applyBatch({ kind: "group.create", name: "a", add: [] }, context));
    expect(error).toMatchObject({ code: "bad-answer", facts: { outcomeUnknown: true, status: 201 } });
    expect(error.message).toBe("faces answered 201 to createGroup with an object of id, but name is not as expected.");
  });

  it("names the field that a 400 is about, so that the caller can make smaller products", async () => {
    const { provider, context } = setUp(() => ({
      status: 400,
      body: {
        error_codes: [400],
        message: "Validation error.",
        fields: [{ name: "groups_ids", message: "Too many.", error_code: 400 }],
      },
    }));
    const error = await failureOf(provider.applyBatch(members({ add: edits(["a"]) }), context));
    expect(error).toMatchObject({ code: "refused", facts: { field: "groups_ids", serviceCode: "400", status: 400 } });
    expect(error.message).toBe("faces answered 400 to addPersons: Validation error. groups_ids: Too many.");
  });
});

describe("errors of NeuroIO", () => {
  it.each([
    ["the documented shape", 404, { error_codes: [404], message: "Not found.", fields: [] }, "not-found"],
    ["a missing right", 403, { error_codes: [403], message: "Forbidden.", fields: [] }, "forbidden"],
    ["an unknown token", 401, { error_codes: [401], message: "Not authenticated.", fields: [] }, "unauthenticated"],
    ["a header that is no credential", 403, { code: 403, detail: "Forbidden.", fields: [] }, "unauthenticated"],
    ["a wrong log-in under any status", 400, { error_codes: [602], message: "No.", fields: [] }, "unauthenticated"],
    ["detail alone", 422, { detail: "No." }, "refused"],
    ["detail as a list", 422, { detail: [{ loc: ["query"], msg: "No." }] }, "refused"],
    ["fields of the wrong kind", 400, { error_codes: "400", message: 3, fields: "limit" }, "refused"],
    ["too much", 413, { error_codes: [413], message: "Too big.", fields: [] }, "too-large"],
    ["a text", 403, "no", "forbidden"],
    ["an array", 409, ["no"], "conflict"],
    ["an empty body", 400, undefined, "refused"],
    ["a redirect", 307, undefined, "bad-answer"],
  ])("are told apart by status and code: %s", async (_shape, status, body, code) => {
    captureRequests(ORIGIN, () => ({ status, body }));
    const api = createNeuroioApi({ token: `secret-token-${++tokens}`, baseUrl: ORIGIN, iamUrl: ORIGIN });
    const error = await failureOf(api.updateGroup(7, "day"));
    expect(error).toMatchObject({ code, facts: { status, provider: "neuroio", operation: "updateGroup" } });
  });

  it.each([
    ["nothing", undefined, "an empty body"],
    ["null", null, "null"],
    ["a text", "hello", "a string"],
    ["a list", [1, 2], "a list of 2"],
    ["an empty object", {}, "an empty object"],
  ])("say what was found instead of a group: %s", async (_what, body, found) => {
    captureRequests(ORIGIN, () => ({ status: 200, body }));
    const api = createNeuroioApi({ token: `secret-token-${++tokens}`, baseUrl: ORIGIN, iamUrl: ORIGIN });
    const error = await failureOf(api.getGroup(7));
    expect(error.code).toBe("bad-answer");
    expect(error.message).toContain(`answered 200 to getGroup with ${found}`);
  });

  it("say which row of a list is wrong", async () => {
    captureRequests(ORIGIN, () => ({ status: 200, body: [{ pid: "a" }, { person: "b" }] }));
    const api = createNeuroioApi({ token: `secret-token-${++tokens}`, baseUrl: ORIGIN, iamUrl: ORIGIN });
    expect((await failureOf(api.listGroupPersons(7))).message).toContain("results.1.pid is not as expected");
  });

  it("take a page of HTML for what it is", async () => {
    captureRequests(ORIGIN, () => ({ status: 200, text: "<html>log in</html>" }));
    const api = createNeuroioApi({
      token: `secret-token-${++tokens}`,
      baseUrl: ORIGIN,
      iamUrl: ORIGIN,
      maxAttempts: 1,
    });
    const error = await failureOf(api.listGroups());
    expect(error).toMatchObject({ code: "bad-answer" });
    expect(error.message).toContain("HTML");
  });

  it("wait for the time in Retry-After and come back", async () => {
    let calls = 0;
    const { provider, context } = setUp(() =>
      calls++ === 0
        ? { status: 429, headers: { "retry-after": "0" } }
        : { status: 200, body: { count: 0, results: [] } },
    );
    expect((await provider.listGroups(context)).evidence.complete).toBe(true);
    expect(calls).toBe(2);
  });

  it("never hold the token or the password, even when the service echoes them", async () => {
    const echo = ({ headers, body }: CapturedRequest): CannedAnswer => ({
      status: 400,
      body: { error_codes: [400], message: `You sent ${headers["authorization"]} ${JSON.stringify(body)}`, fields: [] },
    });
    for (const secrets of [
      { token: "very-secret-token" },
      { username: "sync@example.org", password: "very-secret-word" },
    ]) {
      const { provider, context } = setUp(echo, secrets);
      const error = await failureOf(provider.listGroups(context));
      expect(error.message).toContain("[redacted]");
      for (const text of [error.message, JSON.stringify(error), inspect(error, { depth: 10 })]) {
        expect(text).not.toContain("very-secret");
      }
    }
  });

  it("refuse filters that would mean something else, before sending", async () => {
    const sent = captureRequests(ORIGIN);
    const api = createNeuroioApi({ token: `secret-token-${++tokens}`, baseUrl: ORIGIN, iamUrl: ORIGIN });
    expect((await failureOf(api.listGroups({ pidsInclude: [] }))).code).toBe("options-invalid");
    expect((await failureOf(api.listGroups({ pidsExclude: ["a,b"] }))).code).toBe("options-invalid");
    expect((await failureOf(api.listGroupPersons(7, { pids: [""] }))).code).toBe("options-invalid");
    expect((await failureOf(api.addPersons(people(101), [7]))).code).toBe("options-invalid");
    expect((await failureOf(api.deletePerson(".."))).code).toBe("options-invalid");
    expect(sent).toEqual([]);
  });
});

describe("checking access to NeuroIO", () => {
  interface Access {
    readonly whoAmI?: CannedAnswer;
    readonly groups?: CannedAnswer;
    readonly tokens?: CannedAnswer;
  }
  const accessOf =
    ({ whoAmI, groups, tokens }: Access) =>
    ({ path }: CapturedRequest): CannedAnswer => {
      if (path === "/v1/whoami/") {
        return whoAmI ?? { status: 200, body: { username: "sync@example.org", space: { id: 4, name: "north" } } };
      }
      if (path === GROUPS) return groups ?? { status: 200, body: { results: [{ id: 1, name: "a", space_id: 4 }] } };
      if (path === "/v1/tokens/") return tokens ?? { status: 200, body: [{ id: 3, key: "permanent-token" }] };
      return notFound;
    };
  const check = async (access: Access, options?: Partial<NeuroioProviderOptions>) => {
    const { provider, sent, context } = setUp(accessOf(access), options);
    return { ...(await provider.checkAccess(context)), sent };
  };

  it("names host, space and account, and asks three cheap questions", async () => {
    const { identity, findings, sent } = await check({}, { token: "permanent-token" });
    expect(identity).toBe("NeuroIO at neuro.test, space 4, as sync@example.org");
    expect(findings).toEqual([
      { level: "ok", message: "The credentials belong to sync@example.org, in the space north (4)." },
      { level: "ok", message: "Groups can be read; they are in space 4." },
      { level: "ok", message: "The token is permanent." },
    ]);
    expect(sent.map(({ path }) => path)).toEqual(["/v1/whoami/", GROUPS, "/v1/tokens/"]);
    expect(sent[1]?.query).toContainEqual(["limit", "1"]);
  });

  it("gives the same identity whatever the space's name and groups are at the moment", async () => {
    const renamed = { status: 200, body: { username: "sync@example.org", space: { id: 4, name: "south" } } };
    const { identity } = await check({ whoAmI: renamed, groups: { status: 200, body: [] } });
    expect(identity).toBe("NeuroIO at neuro.test, space 4, as sync@example.org");
  });

  it("warns of a token that is not among the permanent ones", async () => {
    const { findings } = await check({}, { token: "other-token" });
    expect(findings[2]).toMatchObject({ level: "warning" });
    expect(findings[2]?.message).toMatch(/^The token is not listed among the permanent ones; .*24 hours/);
  });

  it.each([
    ["the tokens cannot be listed", { status: 403 }],
    ["the list of tokens is broken", { status: 500 }],
    ["the list hides the keys", { status: 200, body: [{ id: 3 }] }],
  ])("warns that the token may be temporary when %s", async (_why, tokens) => {
    const { findings } = await check({ tokens });
    expect(findings[2]).toMatchObject({ level: "warning" });
    expect(findings[2]?.message).toMatch(/^The token may be a temporary one/);
  });

  it("warns that an empty list may be another space's", async () => {
    const { findings } = await check({ groups: { status: 200, body: { count: 0, results: [] } } });
    expect(findings[1]?.level).toBe("warning");
    expect(findings[1]?.message).toContain("another space's token shows an empty world");
  });

  it("warns when a group of another space than the credentials' is visible", async () => {
    const { findings } = await check({ groups: { status: 200, body: [{ id: 1, name: "a", space_id: 5 }] } });
    expect(findings[1]?.level).toBe("warning");
    expect(findings[1]?.message).toContain("belong to space 4, but a group of space 5 is visible");
  });

  it("finds that groups cannot be read, and says which token to take", async () => {
    const { findings } = await check({ groups: { status: 403, body: { error_codes: [403], message: "Forbidden." } } });
    expect(findings[1]?.level).toBe("error");
    expect(findings[1]?.message).toContain("manager's token");
  });

  it("goes on when only whoami is refused, without guessing a space", async () => {
    const { identity, findings } = await check({ whoAmI: { status: 403 } });
    expect(identity).toBe("NeuroIO at neuro.test, the space of the credentials, as an account without a name");
    expect(findings.map(({ level }) => level)).toEqual(["warning", "ok", "warning"]);
  });

  it.each([
    ["a refused token", { status: 401 }, "unauthenticated"],
    ["the odd refusal", { status: 403, body: { code: 403, detail: "Forbidden.", fields: [] } }, "unauthenticated"],
    ["a fault", { status: 500 }, "unavailable"],
  ])("throws on %s", async (_what, whoAmI, code) => {
    expect((await failureOf(check({ whoAmI }))).code).toBe(code);
  });

  it("throws when even the list of groups is a 404", async () => {
    expect((await failureOf(check({ groups: notFound }))).code).toBe("unavailable");
  });

  it("never puts the token into the report", async () => {
    const { identity, findings } = await check({}, { token: "permanent-token" });
    expect(JSON.stringify([identity, findings])).not.toContain("permanent-token");
  });
});

describe("logging in to NeuroIO", () => {
  const account = { username: "sync@example.org", password: "very-secret-word" };
  const created = "2026-01-01T00:00:00";

  /** A service whose log-ins give tokens `key-1`, `key-2`, …; `accepts` says which are good. */
  function serviceWithLogIn(accepts: (key: string) => boolean) {
    let logIns = 0;
    return ({ path, headers }: CapturedRequest): CannedAnswer => {
      if (path === "/v1/auth/token/") {
        const token = { id: 1, key: `key-${++logIns}`, is_active: true, created, expires: "2026-01-02T00:00:00" };
        return { status: 200, body: { user: { username: account.username, space: null }, token } };
      }
      return accepts(headers["authorization"]?.replace("Token ", "") ?? "")
        ? { status: 200, body: { count: 0, results: [] } }
        : { status: 401, body: { error_codes: [401], message: "Not authenticated.", fields: [] } };
    };
  }
  const pathsOf = (sent: readonly CapturedRequest[]) => sent.map(({ path }) => path);

  it("happens once, without a token, and its token goes along afterwards", async () => {
    const { provider, sent, context } = setUp(
      serviceWithLogIn(() => true),
      account,
    );
    await Promise.all([provider.listGroups(context), provider.listGroups(context)]);
    expect(pathsOf(sent)).toEqual(["/v1/auth/token/", GROUPS, GROUPS]);
    expect(sent[0]?.headers).not.toHaveProperty("authorization");
    expect(sent[0]?.body).toEqual(account);
    expect(sent[1]?.headers["authorization"]).toBe("Token key-1");
  });

  it("is done once more after a 401, for writes too", async () => {
    const { provider, sent, context } = setUp(
      serviceWithLogIn((key) => key === "key-2"),
      account,
    );
    await provider.applyBatch(members({ add: edits(["a"]) }), context);
    expect(pathsOf(sent)).toEqual(["/v1/auth/token/", `${GROUPS}pids/`, "/v1/auth/token/", `${GROUPS}pids/`]);
  });

  it("is not done a third time", async () => {
    const { provider, sent, context } = setUp(
      serviceWithLogIn(() => false),
      account,
    );
    expect((await failureOf(provider.listGroups(context))).code).toBe("unauthenticated");
    expect(pathsOf(sent)).toEqual(["/v1/auth/token/", GROUPS, "/v1/auth/token/", GROUPS]);
  });

  it("is never done with a plain token: a 401 is final", async () => {
    const { provider, sent, context } = setUp(serviceWithLogIn(() => false));
    expect((await failureOf(provider.listGroups(context))).code).toBe("unauthenticated");
    expect(pathsOf(sent)).toEqual([GROUPS]);
  });

  it.each([
    [400, { error_codes: [602], message: "Username and password do not match.", fields: [] }, "unauthenticated"],
    [401, undefined, "unauthenticated"],
    [400, { error_codes: [400], message: "Validation error.", fields: [] }, "unauthenticated"],
    [403, undefined, "unauthenticated"],
    [404, undefined, "unavailable"],
    [200, { token: {} }, "bad-answer"],
  ])("that fails with %i is no error of the call that needed it", async (status, body, code) => {
    const { provider, context } = setUp(
      ({ path }) => (path === "/v1/auth/token/" ? { status, body } : { status: 204 }),
      account,
    );
    const error = await failureOf(provider.applyBatch({ kind: "group.delete", group: seven }, context));
    expect(error).toMatchObject({ code, facts: { operation: "logIn" } });
    expect(inspect(error)).not.toContain(account.password);
  });

  it("is reported by checkAccess instead of a word about the token's end", async () => {
    const { provider, sent, context } = setUp(
      serviceWithLogIn(() => true),
      account,
    );
    const { findings } = await provider.checkAccess(context);
    expect(findings.at(-1)).toEqual({
      level: "ok",
      message: "Logged in; the token lives 24 hours and is fetched anew when it ends.",
    });
    expect(pathsOf(sent)).not.toContain("/v1/tokens/");
  });
});

describe("the options of NeuroIO", () => {
  it.each([
    ["no credentials", {}, "give a token, or a username and a password."],
    ["two kinds of credentials", { token: "t", username: "u", password: "p" }, "but not both"],
    ["half a log-in", { username: "u" }, "username and password go together"],
    ["a token with a line break", { token: "very-secret\nX-Evil: 1" }, "printable ASCII"],
    ["a token with a space", { token: "very-secret token" }, "printable ASCII"],
    ["plain http", { token: "t", baseUrl: "http://neuro.test", iamUrl: "https://neuro.test" }, "plain http"],
    ["a host of its own without the log-in host", { token: "t", baseUrl: "https://neuro.test" }, "iamUrl is missing"],
    ["an unknown key", { token: "t", tokne: "t" }, "tokne"],
    ["a wrong type", { token: 3 }, "token"],
    ["no attempts", { token: "t", maxAttempts: 0 }, "maxAttempts"],
  ])("refuse %s in plain words", async (_what, options, message) => {
    const error = await failureOf(
      (async () => createNeuroioProvider({ id: "faces", ...(options as NeuroioProviderOptions) }))(),
    );
    expect(error.code).toBe("options-invalid");
    expect(error.message).toMatch(/^faces: /);
    expect(error.message).toContain(message);
    expect(inspect(error)).not.toContain("very-secret");
  });

  it("take a token alone, or a log-in, with NeuroIO's own hosts", () => {
    expect(createNeuroioProvider({ token: "t" })).toMatchObject({ id: "neuroio", type: "neuroio" });
    expect(createNeuroioProvider({ username: "u", password: "p", baseUrl: "https://api.neuroio.com/" }).id).toBe(
      "neuroio",
    );
  });

  it("use a loopback baseUrl for the log-in as well", async () => {
    const sent = captureRequests("http://127.0.0.1:4010", () => ({ status: 200, body: { username: "u" } }));
    await createNeuroioApi({ token: "t", baseUrl: "http://127.0.0.1:4010" }).whoAmI();
    expect(sent.map(({ path }) => path)).toEqual(["/v1/whoami/"]);
  });

  it("are those of the provider type, which makes the same provider", () => {
    expect(neuroioProviderType.options.safeParse({ token: "t" }).success).toBe(true);
    expect(neuroioProviderType.options.safeParse({ token: "t", id: "x" }).success).toBe(false);
    expect(neuroioProviderType.create("faces", { token: "t" })).toMatchObject({ id: "faces", type: "neuroio" });
    expect(neuroioProviderType.secretOptions).toEqual(["token", "password"]);
  });
});

describe("the capabilities of NeuroIO", () => {
  it("name a source for every fact", () => {
    const facts: unknown[] = [];
    const collect = (value: unknown): void => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return;
      if ("value" in value) facts.push(value);
      else for (const part of Object.values(value)) collect(part);
    };
    collect(neuroioCapabilities);
    expect(facts.length).toBeGreaterThan(20);
    for (const fact of facts) expect(fact).toMatchObject({ source: expect.stringMatching(/\w{5}/) as string });
  });
});

describe("the calls of NeuroIO", () => {
  it("are told to onCall without addresses or secrets, and stop with the signal", async () => {
    const stop = new AbortController();
    const events: unknown[] = [];
    const { provider } = setUp(() => ({ status: 200, body: { count: 0, results: [] } }), {
      token: "very-secret-token",
    });
    const context: CallContext = {
      ...createCallContext(),
      signal: stop.signal,
      onCall: (event) => events.push(event),
    };
    await provider.listGroups(context);
    expect(events).toMatchObject([
      { type: "call", provider: "faces", operation: "listGroups", effect: "read", status: 200 },
    ]);
    expect(JSON.stringify(events)).not.toMatch(/very-secret|neuro\.test/);
    stop.abort();
    expect((await failureOf(provider.listGroups(context))).code).toBe("cancelled");
  });
});
