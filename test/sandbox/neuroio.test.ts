import { readFileSync } from "node:fs";
import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { markRequest, type Seed } from "../../src/sandbox/kit.js";
import { createNeuroioEmulator, neuroioSwitches } from "../../src/sandbox/neuroio.js";

const groupsPath = "/v1/groups/persons/";
const pidsPath = "/v1/groups/persons/pids/";
const unknownPid = "00000000-0000-4000-8000-00000000dead";

/** Ann, Bob and Cy; `test` (id 1) holds Ann and Bob, `Empty` (id 2) nobody, `contest` (id 3) Bob. */
const smallSeed: Seed = {
  people: ["ann", "bob", "cy"].map((id) => ({ id, email: `${id}@example.org` })),
  groups: [{ name: "test", members: ["ann", "bob"] }, { name: "Empty" }, { name: "contest", members: ["bob"] }],
};

/** As many people as asked for (`p1`…), all in the group with id 1. */
function crowd(size: number): Seed {
  const ids = Array.from({ length: size }, (_, index) => `p${index + 1}`);
  return { people: ids.map((id) => ({ id, email: `${id}@example.org` })), groups: [{ name: "crowd", members: ids }] };
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly body: unknown;
  readonly headers: Headers;
}

function drive(switches: Readonly<Record<string, string | number>> = {}, seed: Seed = smallSeed) {
  const clock = { at: Date.UTC(2026, 0, 1) };
  const emulator = createNeuroioEmulator({ seed, switches, now: () => clock.at });
  async function send(
    method: string,
    path: string,
    body?: unknown,
    extra: { readonly authorization?: string | null; readonly lagMs?: number } = {},
  ): Promise<Answer> {
    const headers = new Headers();
    const authorization =
      extra.authorization === undefined ? `Token ${emulator.credentials.token}` : extra.authorization;
    if (authorization !== null) headers.set("authorization", authorization);
    if (body !== undefined) headers.set("content-type", "application/json");
    const request = new Request(`http://localhost${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    if (extra.lagMs !== undefined) markRequest(request, { lagMs: extra.lagMs });
    const response = await emulator.app.request(request);
    const text = await response.text();
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      parsed = undefined;
    }
    return { status: response.status, text, body: parsed, headers: response.headers };
  }
  const pid = (personId: string): string => {
    const account = emulator.control.accountOf(personId);
    if (account === undefined) throw new Error(`no account for ${personId}`);
    return account;
  };
  return {
    emulator,
    clock,
    pid,
    send,
    get: (path: string) => send("GET", path),
    add: (pids: readonly string[], groups: readonly number[]) => send("POST", pidsPath, { pids, groups_ids: groups }),
    remove: (pids: readonly string[], groups: readonly number[]) =>
      send("DELETE", pidsPath, { pids, groups_ids: groups }),
    /** Who is truly in the group, by seed ids where there is one. */
    truth: (groupId: number): readonly string[] | undefined => {
      const names = new Map(seed.people.map(({ id }) => [emulator.control.accountOf(id), id]));
      return emulator.control
        .groups()
        .find(({ id }) => id === String(groupId))
        ?.members.map(({ account }) => names.get(account) ?? account);
    },
  };
}

function results(answer: Answer): readonly Record<string, unknown>[] {
  const { body } = answer;
  return (Array.isArray(body) ? body : (body as { results: unknown }).results) as Record<string, unknown>[];
}

function names(answer: Answer): readonly unknown[] {
  return results(answer).map(({ name }) => name);
}

function pids(answer: Answer): readonly unknown[] {
  return results(answer).map(({ pid }) => pid);
}

function invalid(...fields: readonly (readonly [string, string])[]): unknown {
  return {
    error_codes: [400],
    message: "Validation error.",
    fields: fields.map(([name, message]) => ({ name, message, error_code: 400 })),
  };
}

const notFound = { error_codes: [404], message: "Not found.", fields: [] };
const notAuthenticated = { error_codes: [401], message: "Not authenticated.", fields: [] };
const forbidden = { error_codes: [403], message: "Forbidden.", fields: [] };
const oddForbidden = { code: 403, detail: "Forbidden.", fields: [] };

describe("groups", () => {
  test("a group is created by name alone, read, renamed and deleted; persons stay", async () => {
    const { send, get, pid } = drive();
    const created = await send("POST", groupsPath, { name: "  padded\tname  " });
    expect([created.status, created.body]).toEqual([
      201,
      { id: 4, name: "  padded\tname  ", space_id: 1, persons_count: 0 },
    ]);
    expect((await get(`${groupsPath}1/`)).body).toEqual({ id: 1, name: "test", space_id: 1, persons_count: 2 });
    const renamed = await send("PATCH", `${groupsPath}1/`, { name: "newname" });
    expect([renamed.status, renamed.body]).toEqual([200, { id: 1, name: "newname", space_id: 1, persons_count: 2 }]);
    expect((await get(`${groupsPath}1/`)).body).toMatchObject({ name: "newname" });
    const deleted = await send("DELETE", `${groupsPath}1/`);
    expect([deleted.status, deleted.text]).toEqual([204, ""]);
    expect((await get(`${groupsPath}1/`)).status).toBe(404);
    expect((await send("DELETE", `${groupsPath}1/`)).status).toBe(404);
    expect((await get(`/v1/entries/stats/pid/${pid("ann")}/`)).status).toBe(200);
  });

  test("PUT renames as PATCH does", async () => {
    const { send, emulator } = drive();
    expect((await send("PUT", `${groupsPath}2/`, { name: "via put" })).status).toBe(200);
    expect(emulator.control.groups()[1]?.name).toBe("via put");
  });

  test("an id is never given to another group, and names may repeat", async () => {
    const { send } = drive();
    await send("DELETE", `${groupsPath}3/`);
    expect((await send("POST", groupsPath, { name: "test" })).body).toMatchObject({ id: 4, name: "test" });
  });

  test.each([
    [{}, "Field required."],
    [{ name: 7 }, "Str type expected."],
    [{ name: "" }, "Ensure this value has at least 1 characters."],
    [{ name: "x".repeat(256) }, "Ensure this value has at most 255 characters."],
  ])("a create with the name of %j is refused", async (body, message) => {
    const { send, emulator } = drive();
    const answer = await send("POST", groupsPath, body);
    expect([answer.status, answer.body]).toEqual([400, invalid(["name", message])]);
    expect(emulator.control.groups()).toHaveLength(3);
  });

  test("a body that is no JSON object is refused as a whole", async () => {
    const { send } = drive();
    expect((await send("POST", groupsPath, "{oops")).body).toEqual(invalid(["__all__", "Invalid JSON."]));
    expect((await send("PATCH", `${groupsPath}1/`, [])).body).toEqual(
      invalid(["__all__", "Value is not a valid dict."]),
    );
    expect((await send("DELETE", pidsPath)).body).toEqual(invalid(["__all__", "Invalid JSON."]));
  });

  test.each(["GET", "PATCH", "DELETE"])(
    "%s of an unknown group is 404, of an id that is no number 400",
    async (method) => {
      const { send } = drive();
      const body = method === "PATCH" ? { name: "x" } : undefined;
      const answer = await send(method, `${groupsPath}99/`, body);
      expect([answer.status, answer.body]).toEqual([404, notFound]);
      expect((await send(method, `${groupsPath}abc/`, body)).body).toEqual(
        invalid(["id", "Value is not a valid integer."]),
      );
    },
  );

  test("a known path answers 405 to other methods, an unknown one 404", async () => {
    const { send } = drive();
    expect((await send("GET", pidsPath)).status).toBe(405);
    expect((await send("PUT", groupsPath, { name: "x" })).body).toEqual({
      error_codes: [405],
      message: "Method Not Allowed.",
      fields: [],
    });
    expect((await send("GET", "/v1/nothing/")).body).toEqual(notFound);
  });

  test("the list filters by name, by member, by absent member, by id and by space", async () => {
    const { get, pid } = drive();
    const list = (query: string) => get(`${groupsPath}?${query}`);
    expect((await list("")).body).toMatchObject({ count: 3, results: [{ id: 1 }, { id: 2 }, { id: 3 }] });
    expect(names(await list("q=te"))).toEqual(["test", "contest"]);
    expect(names(await list(`pids_include=${pid("ann")}`))).toEqual(["test"]);
    expect(names(await list(`pids_exclude=${pid("ann")}`))).toEqual(["Empty", "contest"]);
    expect(names(await list(`pids_include=${pid("bob")}&pids_exclude=${pid("ann")}`))).toEqual(["contest"]);
    expect(names(await list("groups_ids=1%2C3"))).toEqual(["test", "contest"]);
    expect(names(await list("spaces_ids=1"))).toHaveLength(3);
    expect(names(await list("spaces_ids=2,3"))).toEqual([]);
    expect((await list("groups_ids=1,x")).body).toEqual(invalid(["groups_ids", "Value is not a valid integer."]));
  });

  test("an empty filter asks for everything", async () => {
    const { get } = drive();
    expect(results(await get(`${groupsPath}?q=&pids_include=&pids_exclude=&groups_ids=`))).toHaveLength(3);
    expect(results(await get(`${groupsPath}1/pids/?pids=`))).toHaveLength(2);
  });
});

describe("members", () => {
  test("adding acts on the product of pids and groups, and answers 200 with nothing", async () => {
    const { add, pid, truth } = drive();
    const answer = await add([pid("cy"), pid("ann")], [2, 3]);
    expect([answer.status, answer.text]).toEqual([200, ""]);
    expect([truth(1), truth(2), truth(3)]).toEqual([
      ["ann", "bob"],
      ["cy", "ann"],
      ["bob", "cy", "ann"],
    ]);
  });

  test("removing is a DELETE with a JSON body, and answers 200, not 204", async () => {
    const { remove, pid, truth } = drive();
    const answer = await remove([pid("bob")], [1, 3]);
    expect([answer.status, answer.text]).toEqual([200, ""]);
    expect([truth(1), truth(3)]).toEqual([["ann"], []]);
  });

  test("members are listed by time of joining, with a count and rows of pid and source", async () => {
    const { add, remove, get, pid } = drive();
    await remove([pid("ann")], [1]);
    await add([pid("cy")], [1]);
    await add([pid("ann")], [1]);
    expect((await get(`${groupsPath}1/pids/?limit=100&offset=0`)).body).toEqual({
      count: 3,
      results: ["bob", "cy", "ann"].map((id) => ({ pid: pid(id), pid_source: "default" })),
    });
  });

  test("the pids filter is an exact list: it proves presence and absence", async () => {
    const { get, pid } = drive();
    const filter = (...ids: readonly string[]) => get(`${groupsPath}1/pids/?pids=${ids.join("%2C")}`);
    expect((await filter(pid("bob"))).body).toMatchObject({ count: 1, results: [{ pid: pid("bob") }] });
    expect((await filter(pid("cy"))).body).toEqual({ count: 0, results: [] });
    expect(pids(await filter(pid("bob"), unknownPid, pid("ann"), pid("bob")))).toEqual([pid("ann"), pid("bob")]);
  });

  test.each([0, 1, 99, 100, 101])("a group of %i is read completely, page by page", async (size) => {
    const { get, pid } = drive({}, crowd(size));
    const read: unknown[] = [];
    const counts = new Set<unknown>();
    const sizes: number[] = [];
    do {
      const page = await get(`${groupsPath}1/pids/?limit=100&offset=${read.length}`);
      counts.add((page.body as { count: number }).count);
      sizes.push(pids(page).length);
      read.push(...pids(page));
    } while (sizes.at(-1) === 100);
    expect(read).toEqual(Array.from({ length: size }, (_, index) => pid(`p${index + 1}`)));
    expect([...counts]).toEqual([size]);
    expect(sizes).toEqual(size < 100 ? [size] : [100, size - 100]);
  });

  test("a page is 20 rows unless said otherwise, and lies past the end without rows", async () => {
    const { get } = drive({}, crowd(21));
    expect(pids(await get(`${groupsPath}1/pids/`))).toHaveLength(20);
    expect(pids(await get(`${groupsPath}1/pids/?limit=1`))).toHaveLength(1);
    expect((await get(`${groupsPath}1/pids/?limit=20&offset=40`)).body).toEqual({ count: 21, results: [] });
  });

  test.each([
    ["limit=0", "limit", "Ensure this value is greater than or equal to 1."],
    ["limit=101", "limit", "Ensure this value is less than or equal to 100."],
    ["limit=ten", "limit", "Value is not a valid integer."],
    ["offset=-1", "offset", "Ensure this value is greater than or equal to 0."],
  ])("a page of %s is refused with 400, not 422", async (query, field, message) => {
    const { get } = drive();
    for (const path of [groupsPath, `${groupsPath}1/pids/`, "/v1/tokens/", "/v1/spaces/"]) {
      const answer = await get(`${path}?${query}`);
      expect([answer.status, answer.body]).toEqual([400, invalid([field, message])]);
    }
  });

  test("each bad field of an add or a remove is named", async () => {
    const { send } = drive();
    expect((await send("POST", pidsPath, {})).body).toEqual(
      invalid(["pids", "Field required."], ["groups_ids", "Field required."]),
    );
    expect((await send("DELETE", pidsPath, { pids: "a", groups_ids: ["x"] })).body).toEqual(
      invalid(["pids", "Value is not a valid list."], ["groups_ids", "Value is not a valid integer."]),
    );
  });

  test("an empty list is accepted and does nothing", async () => {
    const { add, truth } = drive();
    expect((await add([], [1])).status).toBe(200);
    expect(truth(1)).toEqual(["ann", "bob"]);
  });

  test("a hundred pids go in one request; one more is refused and nothing is applied", async () => {
    const { add, remove, pid, truth } = drive({}, { ...crowd(101), groups: [{ name: "crowd" }] });
    const everyone = Array.from({ length: 101 }, (_, index) => pid(`p${index + 1}`));
    for (const call of [add, remove]) {
      const answer = await call(everyone, [1]);
      expect([answer.status, answer.body]).toEqual([
        400,
        invalid(["pids", "Ensure this value has at most 100 items."]),
      ]);
    }
    expect(truth(1)).toEqual([]);
    expect((await add(everyone.slice(0, 100), [1])).status).toBe(200);
    expect(truth(1)).toHaveLength(100);
    expect((await remove(everyone.slice(0, 100), [1])).status).toBe(200);
    expect(truth(1)).toEqual([]);
  });

  test("a group holds 100,000 persons and no more, and is listed to its end quickly", async () => {
    const { emulator, add, get, pid, truth } = drive({}, crowd(99_999));
    const last = emulator.control.addPerson({ id: "last", email: "last@example.org" });
    const surplus = emulator.control.addPerson({ id: "surplus", email: "surplus@example.org" });
    expect((await add([last], [1])).status).toBe(200);
    const answer = await add([surplus], [1]);
    expect(answer.body).toEqual(invalid(["groups_ids", "Group 1 can not hold more than 100000 persons."]));
    expect(truth(1)).toHaveLength(100_000);
    const seen = new Set<unknown>();
    for (let offset = 0; offset < 100_000; offset += 100) {
      for (const row of pids(await get(`${groupsPath}1/pids/?limit=100&offset=${offset}`))) seen.add(row);
    }
    expect(seen.size).toBe(100_000);
    expect(seen.has(pid("p1")) && seen.has(last)).toBe(true);
  });

  test("a person of another space looks like an unknown one", async () => {
    const { emulator, send, pid } = drive({ unknownPid: "404" });
    const space = { authorization: `Token ${emulator.otherCredentials.space?.token}` };
    const created = await send("POST", groupsPath, { name: "theirs" }, space);
    expect(created.body).toMatchObject({ id: 4, space_id: 2 });
    const answer = await send("POST", pidsPath, { pids: [pid("ann")], groups_ids: [4] }, space);
    expect(answer.status).toBe(404);
    expect((await send("GET", `/v1/entries/stats/pid/${pid("ann")}/`, undefined, space)).status).toBe(404);
  });
});

describe("persons", () => {
  test("the statistics prove a pid, and are 404 for an unknown or deleted one", async () => {
    const { send, get, pid, truth } = drive();
    expect((await get(`/v1/entries/stats/pid/${pid("ann")}/`)).body).toMatchObject({ pid: pid("ann"), total: 1 });
    const missing = await get(`/v1/entries/stats/pid/${unknownPid}/`);
    expect([missing.status, missing.body]).toEqual([404, notFound]);
    expect((await send("DELETE", `/v1/persons/${pid("ann")}/`)).status).toBe(204);
    expect((await get(`/v1/entries/stats/pid/${pid("ann")}/`)).status).toBe(404);
    expect((await send("DELETE", `/v1/persons/${pid("ann")}/`)).status).toBe(404);
    expect(truth(1)).toEqual(["bob"]);
  });

  test("a person made from an entry exists; a photo search that finds nobody is a 200", async () => {
    const { send, get, emulator } = drive();
    const created = await send("POST", "/v1/persons/entry/", { id: 11 });
    expect(created.status).toBe(201);
    expect((await get(`/v1/entries/stats/pid/${(created.body as { pid: string }).pid}/`)).status).toBe(200);
    const form = new FormData();
    form.set("image", new File(["abc"], "image"));
    const headers = { authorization: `Token ${emulator.credentials.token}` };
    const found = await emulator.app.request("/v1/persons/search/", { method: "POST", headers, body: form });
    expect([found.status, await found.json()]).toEqual([200, { result: "nm", pid: null }]);
    const incomplete = await emulator.app.request("/v1/persons/", { method: "POST", headers, body: form });
    expect([incomplete.status, await incomplete.json()]).toEqual([400, invalid(["source", "Field required."])]);
  });

  test("a person whom the seed calls deleted has a pid that leads nowhere", async () => {
    const seed: Seed = {
      people: [{ id: "gone", email: "gone@example.org", status: "deleted" }],
      groups: [{ name: "a", members: ["gone"] }],
    };
    const dropped = drive({}, seed);
    expect((await dropped.get(`/v1/entries/stats/pid/${dropped.pid("gone")}/`)).status).toBe(404);
    expect(dropped.truth(1)).toEqual([]);
    const kept = drive({ deletePersonDropsMembership: "off" }, seed);
    expect(kept.truth(1)).toEqual(["gone"]);
  });
});

describe("who is let in", () => {
  test.each([
    ["no header", null],
    ["an unknown token", "Token nobody"],
  ])("%s is 401", async (_, authorization) => {
    const { send } = drive();
    const answer = await send("GET", groupsPath, undefined, { authorization });
    expect([answer.status, answer.body]).toEqual([401, notAuthenticated]);
  });

  test.each(["Bearer x", "Token", "Basic dXNlcjpwYXNz"])(
    "the header %j is 403 with the odd body",
    async (authorization) => {
      const { send } = drive();
      const answer = await send("GET", "/v1/whoami/", undefined, { authorization });
      expect([answer.status, answer.body]).toEqual([403, oddForbidden]);
    },
  );

  test("a header named token is no authentication", async () => {
    const { emulator } = drive();
    const answer = await emulator.app.request(groupsPath, {
      headers: { token: `Token ${emulator.credentials.token}` },
    });
    expect(answer.status).toBe(401);
  });

  test.each(["expired", "inactive"])("the %s token is 401", async (holder) => {
    const { emulator, send } = drive();
    const authorization = `Token ${emulator.otherCredentials[holder]?.token}`;
    expect((await send("GET", "/v1/whoami/", undefined, { authorization })).status).toBe(401);
  });

  test("a temporary token dies after 24 hours, a permanent one never", async () => {
    const { emulator, send, get, clock } = drive();
    const authorization = `Token ${emulator.otherCredentials.temporary?.token}`;
    clock.at += 24 * 3_600_000 - 1;
    expect((await send("GET", groupsPath, undefined, { authorization })).status).toBe(200);
    clock.at += 1;
    expect((await send("GET", groupsPath, undefined, { authorization })).status).toBe(401);
    clock.at += 10 * 365 * 24 * 3_600_000;
    expect((await get(groupsPath)).status).toBe(200);
  });

  test("the token of another space sees an empty world, not an error", async () => {
    const { emulator, send } = drive();
    const space = { authorization: `Token ${emulator.otherCredentials.space?.token}` };
    expect((await send("GET", groupsPath, undefined, space)).body).toEqual({ count: 0, results: [] });
    expect((await send("GET", `${groupsPath}?spaces_ids=1`, undefined, space)).body).toEqual({ count: 0, results: [] });
    for (const method of ["GET", "PATCH", "DELETE"]) {
      const body = method === "PATCH" ? { name: "x" } : undefined;
      expect((await send(method, `${groupsPath}1/`, body, space)).status).toBe(404);
    }
    expect((await send("GET", "/v1/whoami/", undefined, space)).body).toEqual({
      username: "sandbox@example.org",
      space: { id: 2, name: "annex" },
    });
    expect((await send("GET", "/v1/spaces/", undefined, space)).body).toEqual({ results: [{ id: 2, name: "annex" }] });
    expect((await send("POST", "/v1/spaces/", { name: "x" }, space)).body).toEqual(forbidden);
  });

  test("a manager token works on the IAM paths only", async () => {
    const { emulator, send } = drive();
    const manager = { authorization: `Token ${emulator.otherCredentials.manager?.token}` };
    const answer = await send("GET", groupsPath, undefined, manager);
    expect([answer.status, answer.body]).toEqual([403, forbidden]);
    expect((await send("GET", "/v1/whoami/", undefined, manager)).status).toBe(200);
    expect((await send("GET", "/v1/lists/spaces/", undefined, manager)).body).toEqual({
      results: [
        { id: 1, name: "default" },
        { id: 2, name: "annex" },
      ],
    });
  });

  test("logging in gives a temporary token that works; a wrong password says so", async () => {
    const { emulator, send } = drive();
    const right = await send("POST", "/v1/auth/token/", emulator.otherCredentials.login, { authorization: null });
    expect(right.body).toMatchObject({
      user: { username: "sandbox@example.org", space: null },
      token: { is_active: true, created: "2026-01-01T00:00:00.000Z", expires: "2026-01-02T00:00:00.000Z" },
    });
    const { key } = (right.body as { token: { key: string } }).token;
    expect((await send("GET", groupsPath, undefined, { authorization: `Token ${key}` })).status).toBe(200);
    const wrong = await send("POST", "/v1/auth/token/", { username: "x", password: "y" }, { authorization: null });
    expect([wrong.status, wrong.body]).toEqual([
      401,
      { error_codes: [602], message: "Username and password do not match.", fields: [] },
    ]);
    expect((await send("POST", "/v1/auth/token/", { username: "x" })).body).toEqual(
      invalid(["password", "Field required."]),
    );
  });

  test("expireTokens ends every token so far; a new log-in works", async () => {
    const { emulator, send, get } = drive();
    emulator.control.expireTokens();
    expect((await get(groupsPath)).status).toBe(401);
    const answer = await send("POST", "/v1/auth/token/", emulator.otherCredentials.login, { authorization: null });
    const { key } = (answer.body as { token: { key: string } }).token;
    expect((await send("GET", groupsPath, undefined, { authorization: `Token ${key}` })).status).toBe(200);
  });
});

describe("tokens and spaces", () => {
  test("five permanent tokens at most, temporary ones without end", async () => {
    const { send } = drive();
    for (let held = 1; held < 5; held++) {
      expect((await send("POST", "/v1/tokens/", { permanent: true })).status).toBe(201);
    }
    expect((await send("POST", "/v1/tokens/", { permanent: true })).body).toEqual(
      invalid(["permanent", "No more than 5 permanent tokens are allowed."]),
    );
    expect((await send("POST", "/v1/tokens/", { permanent: false })).status).toBe(201);
  });

  test("the list is a bare array of the tokens of the kind that was sent", async () => {
    const { get, emulator, send } = drive();
    const list = (await get("/v1/tokens/?limit=20&offset=0")).body as { id: number; expires: string | null }[];
    expect(list.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    expect((await get("/v1/tokens/?permanent=true")).body).toMatchObject([{ id: 1, expires: null }]);
    const space = { authorization: `Token ${emulator.otherCredentials.space?.token}` };
    expect((await send("GET", "/v1/tokens/", undefined, space)).body).toMatchObject([{ id: 5 }]);
    expect((await send("GET", "/v1/tokens/1/", undefined, space)).status).toBe(404);
  });

  test("a token is read by id or key, switched off by JSON or by form, and deleted", async () => {
    const { emulator, send, get } = drive();
    const temporary = emulator.otherCredentials.temporary?.token ?? "";
    expect((await get(`/v1/tokens/${temporary}/`)).body).toEqual((await get("/v1/tokens/2/")).body);
    const use = () => send("GET", groupsPath, undefined, { authorization: `Token ${temporary}` });
    await send("PATCH", "/v1/tokens/2/", { is_active: false });
    expect((await use()).status).toBe(401);
    const form = await emulator.app.request("/v1/tokens/2/", {
      method: "PATCH",
      headers: { authorization: `Token ${emulator.credentials.token}` },
      body: new URLSearchParams({ is_active: "true" }),
    });
    expect(await form.json()).toMatchObject({ id: 2, is_active: true });
    expect((await use()).status).toBe(200);
    expect((await send("DELETE", "/v1/tokens/2/")).status).toBe(204);
    expect((await use()).status).toBe(401);
    expect((await send("DELETE", "/v1/tokens/?permanent=false")).status).toBe(204);
    expect((await get("/v1/tokens/")).body).toMatchObject([{ id: 1 }]);
  });

  test("a space is made, found, renamed, given a token, and takes its data with it", async () => {
    const { send, get } = drive();
    expect((await send("POST", "/v1/spaces/", { name: "north" })).body).toEqual({ id: 3, name: "north" });
    expect((await get("/v1/spaces/?q=nor")).body).toEqual({ results: [{ id: 3, name: "north" }] });
    expect((await send("PATCH", "/v1/spaces/3/", { name: "south" })).body).toEqual({ id: 3, name: "south" });
    const token = (await send("POST", "/v1/spaces/3/tokens/", { permanent: true })).body as { key: string };
    const own = { authorization: `Token ${token.key}` };
    expect((await send("POST", groupsPath, { name: "g" }, own)).body).toMatchObject({ space_id: 3 });
    expect((await send("GET", "/v1/tokens/", undefined, own)).body).toMatchObject([{ key: token.key }]);
    expect((await send("DELETE", "/v1/spaces/3/")).status).toBe(204);
    expect((await send("GET", groupsPath, undefined, own)).status).toBe(401);
    expect((await get("/v1/spaces/3/")).status).toBe(404);
    expect((await send("DELETE", "/v1/spaces/1/")).status).toBe(400);
  });
});

describe("switches", () => {
  test("an unknown switch or value throws; a status may be given as a number", () => {
    expect(() => drive({ mood: "on" })).toThrow('neuroio has no switch "mood"');
    expect(() => drive({ slash: "maybe" })).toThrow("switch slash takes 404 | 307 | accept");
    expect(() => drive({ maxLimit: 0 })).toThrow("at least 1");
    expect(() => drive({ slash: 307, duplicateAdd: 400 })).not.toThrow();
  });

  test("every value in the table makes an emulator", () => {
    for (const [name, values] of Object.entries(neuroioSwitches)) {
      for (const value of values) {
        const { emulator } = drive({ [name]: value === "number" ? 3 : value });
        expect(emulator.control.groups()).toHaveLength(3);
      }
    }
  });

  test.each([
    ["ignore", 200],
    ["400", 400],
    ["404", 404],
  ])("duplicateAdd and absentRemove %s", async (value, status) => {
    const { add, remove, pid, truth } = drive({ duplicateAdd: value, absentRemove: value });
    expect((await add([pid("cy"), pid("ann")], [1])).status).toBe(status);
    expect(truth(1)).toEqual(status === 200 ? ["ann", "bob", "cy"] : ["ann", "bob"]);
    expect((await remove([pid("bob"), pid("ann")], [3])).status).toBe(status);
    expect(truth(3)).toEqual(status === 200 ? [] : ["bob"]);
  });

  test.each([
    ["ignore", 200, undefined],
    ["400", 400, invalid(["pids", `Person ${unknownPid} does not exist.`])],
    ["404", 404, notFound],
  ])("unknownPid %s", async (value, status, body) => {
    const { add, remove, pid, truth } = drive({ unknownPid: value });
    const added = await add([pid("cy"), unknownPid], [1]);
    expect([added.status, added.body]).toEqual([status, body]);
    expect(truth(1)).toEqual(status === 200 ? ["ann", "bob", "cy"] : ["ann", "bob"]);
    expect((await remove([pid("ann"), unknownPid], [1])).status).toBe(status);
    expect(truth(1)).toEqual(status === 200 ? ["bob", "cy"] : ["ann", "bob"]);
  });

  test.each([
    ["ignore", 200, undefined],
    ["400", 400, invalid(["groups_ids", "Group 99 does not exist."])],
    ["404", 404, notFound],
  ])("unknownGroup %s", async (value, status, body) => {
    const { add, remove, pid, truth } = drive({ unknownGroup: value });
    const added = await add([pid("cy")], [1, 99]);
    expect([added.status, added.body]).toEqual([status, body]);
    expect(truth(1)).toEqual(status === 200 ? ["ann", "bob", "cy"] : ["ann", "bob"]);
    expect((await remove([pid("bob")], [3, 99])).status).toBe(status);
    expect(truth(3)).toEqual(status === 200 ? [] : ["bob"]);
  });

  test("partialApply on keeps what came before the refusal", async () => {
    const { add, remove, pid, truth } = drive({ partialApply: "on", unknownPid: "400", unknownGroup: "404" });
    expect((await add([pid("cy"), unknownPid, pid("ann")], [2, 3])).status).toBe(400);
    expect([truth(2), truth(3)]).toEqual([["cy"], ["bob"]]);
    expect((await remove([pid("bob")], [1, 99, 3])).status).toBe(404);
    expect([truth(1), truth(3)]).toEqual([["ann"], ["bob"]]);
  });

  test("writeBody {} answers an empty object", async () => {
    const { add, pid } = drive({ writeBody: "{}" });
    expect((await add([pid("cy")], [1])).text).toBe("{}");
  });

  test("overLimit truncate drops the surplus and says nothing", async () => {
    const wide = drive({ overLimit: "truncate" }, { ...crowd(101), groups: [{ name: "crowd" }] });
    const everyone = Array.from({ length: 101 }, (_, index) => wide.pid(`p${index + 1}`));
    expect((await wide.add(everyone, [1])).status).toBe(200);
    expect(wide.truth(1)).toHaveLength(100);
    const full = drive({ overLimit: "truncate", maxMembers: 2 });
    expect((await full.add([full.pid("cy"), full.pid("ann")], [2, 1])).status).toBe(200);
    expect([full.truth(1), full.truth(2)]).toEqual([
      ["ann", "bob"],
      ["cy", "ann"],
    ]);
  });

  test("overLimit 400 refuses a group that would grow too large, and nothing is applied", async () => {
    const { add, pid, truth } = drive({ maxMembers: 2 });
    expect((await add([pid("cy")], [2, 1])).body).toEqual(
      invalid(["groups_ids", "Group 1 can not hold more than 2 persons."]),
    );
    expect([truth(1), truth(2)]).toEqual([["ann", "bob"], []]);
  });

  test("the persons of one request count together against what a group holds", async () => {
    const { add, pid, truth } = drive({ maxMembers: 2 });
    expect((await add([pid("ann"), pid("bob"), pid("cy")], [2])).status).toBe(400);
    expect(truth(2)).toEqual([]);
    expect((await add([pid("ann"), pid("cy")], [2])).status).toBe(200);
  });

  test("maxGroups caps the groups of one request", async () => {
    const { add, pid, truth } = drive({ maxGroups: 2 });
    expect((await add([pid("cy")], [1, 2, 3])).body).toEqual(
      invalid(["groups_ids", "Ensure this value has at most 2 items."]),
    );
    expect((await add([pid("cy")], [1, 2])).status).toBe(200);
    expect(truth(2)).toEqual(["cy"]);
  });

  test("maxLimit and overMaxLimit: refused, or lowered without a word", async () => {
    const strict = drive({ maxLimit: 2 }, crowd(5));
    expect((await strict.get(`${groupsPath}1/pids/?limit=3`)).status).toBe(400);
    expect(pids(await strict.get(`${groupsPath}1/pids/`))).toHaveLength(2);
    const clamping = drive({ maxLimit: 2, overMaxLimit: "clamp" }, crowd(5));
    expect((await clamping.get(`${groupsPath}1/pids/?limit=100`)).body).toMatchObject({ count: 5 });
    expect(pids(await clamping.get(`${groupsPath}1/pids/?limit=100`))).toHaveLength(2);
  });

  test.each([
    ["count+results", ["count", "results"]],
    ["results", ["results"]],
    ["count+next+previous+results", ["count", "next", "previous", "results"]],
  ])("envelope %s", async (envelope, keys) => {
    const { get } = drive({ envelope });
    for (const path of [groupsPath, `${groupsPath}1/pids/`]) {
      const answer = await get(path);
      expect(Object.keys(answer.body as object)).toEqual(keys);
      expect(results(answer).length).toBeGreaterThan(0);
    }
  });

  test("envelope array is the bare rows", async () => {
    const { get, pid } = drive({ envelope: "array" });
    expect(Array.isArray((await get(groupsPath)).body)).toBe(true);
    expect(pids(await get(`${groupsPath}1/pids/`))).toEqual([pid("ann"), pid("bob")]);
  });

  test("next and previous lead through all pages and end with null", async () => {
    const { get } = drive({ envelope: "count+next+previous+results" }, crowd(5));
    const path = `${groupsPath}1/pids/`;
    const sizes: number[] = [];
    let link: string | null = "?limit=2";
    while (link !== null) {
      const page: Answer = await get(`${path}${link}`);
      sizes.push(pids(page).length);
      const { next, previous } = page.body as { next: string | null; previous: string | null };
      expect(previous === null).toBe(sizes.length === 1);
      link = next;
    }
    expect(sizes).toEqual([2, 2, 1]);
  });

  test("order shuffled is neither by id nor by joining, yet complete and the same on each page", async () => {
    const seed: Seed = { people: crowd(30).people, groups: crowd(30).people.map(({ id }) => ({ name: id })) };
    const { get, emulator } = drive({ order: "shuffled" }, seed);
    const ids = results(await get(`${groupsPath}?limit=100`)).map(({ id }) => Number(id));
    const ascending = ids.toSorted((a, b) => a - b);
    expect(ids).not.toEqual(ascending);
    expect(ascending).toEqual(Array.from({ length: 30 }, (_, index) => index + 1));
    for (const { id } of seed.people) emulator.control.addMember("1", emulator.control.accountOf(id) ?? "");
    const joined = emulator.control.groups()[0]?.members.map(({ account }) => account) ?? [];
    const whole = pids(await get(`${groupsPath}1/pids/?limit=100`));
    expect(whole).not.toEqual(joined);
    expect(new Set(whole)).toEqual(new Set(joined));
    expect(whole).toHaveLength(30);
    const halves = [await get(`${groupsPath}1/pids/?limit=15`), await get(`${groupsPath}1/pids/?limit=15&offset=15`)];
    expect(halves.flatMap(pids)).toEqual(whole);
    expect(pids(await get(`${groupsPath}1/pids/?pids=${joined.slice(0, 9).join(",")}`))).toEqual(
      whole.filter((pid) => joined.slice(0, 9).includes(String(pid))),
    );
  });

  test.each([
    ["all", ["test"], ["Empty", "contest"]],
    ["any", ["test", "contest"], ["Empty"]],
  ])("pidsMatch %s", async (pidsMatch, included, excluded) => {
    const { get, pid } = drive({ pidsMatch });
    const both = `${pid("ann")}%2C${pid("bob")}`;
    expect(names(await get(`${groupsPath}?pids_include=${both}`))).toEqual(included);
    expect(names(await get(`${groupsPath}?pids_exclude=${both}`))).toEqual(excluded);
  });

  test.each([
    [{}, "TE", ["test", "contest"]],
    [{ qMatch: "prefix" }, "TE", ["test"]],
    [{ qCase: "sensitive" }, "TE", []],
    [{ qCase: "sensitive" }, "te", ["test", "contest"]],
  ])("q under %j finds by %s", async (switches, query, found) => {
    const { get } = drive(switches);
    expect(names(await get(`${groupsPath}?q=${query}`))).toEqual(found);
  });

  test("uniqueNames 400 refuses a name that is taken, and lets a group keep its own", async () => {
    const { send } = drive({ uniqueNames: "400" });
    const taken = invalid(["name", "Group with this name already exists."]);
    expect((await send("POST", groupsPath, { name: "test" })).body).toEqual(taken);
    expect((await send("PATCH", `${groupsPath}2/`, { name: "test" })).body).toEqual(taken);
    expect((await send("PATCH", `${groupsPath}1/`, { name: "test" })).status).toBe(200);
    await send("DELETE", `${groupsPath}1/`);
    expect((await send("POST", groupsPath, { name: "test" })).status).toBe(201);
  });

  test("maxName counts characters, not halves of them", async () => {
    const { send } = drive({ maxName: 2 });
    expect((await send("POST", groupsPath, { name: "🧪🧪" })).status).toBe(201);
    expect((await send("POST", groupsPath, { name: "abc" })).status).toBe(400);
  });

  test.each([
    ["on", "40"],
    ["off", null],
  ])("rateLimit n answers 429 from the n+1st request of a minute on, retryAfter %s", async (retryAfter, header) => {
    const { get, clock, emulator } = drive({ rateLimit: 2, retryAfter });
    expect((await get(groupsPath)).status).toBe(200);
    clock.at += 20_000;
    expect((await get(groupsPath)).status).toBe(200);
    const refused = await get(groupsPath);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, header]);
    expect(refused.body).toEqual(emulator.rateLimitBody(40).body);
    clock.at += 40_000;
    expect((await get(groupsPath)).status).toBe(200);
  });

  test("deletePersonDropsMembership off leaves a pid that exists nowhere else, and it can be removed", async () => {
    const { send, get, remove, pid, truth } = drive({ deletePersonDropsMembership: "off", unknownPid: "400" });
    await send("DELETE", `/v1/persons/${pid("ann")}/`);
    expect((await get(`/v1/entries/stats/pid/${pid("ann")}/`)).status).toBe(404);
    expect(pids(await get(`${groupsPath}1/pids/`))).toEqual([pid("ann"), pid("bob")]);
    expect((await remove([pid("ann")], [1])).status).toBe(200);
    expect(truth(1)).toEqual(["bob"]);
  });

  test("slash 404 does not know a path without its slash", async () => {
    const { send, truth } = drive();
    const answer = await send("DELETE", `${groupsPath}1`);
    expect([answer.status, answer.body]).toEqual([404, notFound]);
    expect(truth(1)).toHaveLength(2);
  });

  test("slash 307 sends on to the same path with it, whatever the prefix", async () => {
    const { emulator } = drive({ slash: "307" });
    const root = new Hono().route("/neuroio", emulator.app);
    for (const [app, prefix] of [
      [emulator.app, ""],
      [root, "/neuroio"],
    ] as const) {
      const from = `http://localhost${prefix}/v1/groups/persons/1/pids?limit=5`;
      const answer = await app.request(from);
      expect(answer.status).toBe(307);
      expect(new URL(answer.headers.get("location") ?? "", from).href).toBe(
        `http://localhost${prefix}/v1/groups/persons/1/pids/?limit=5`,
      );
    }
  });

  test("slash accept does as if it were there", async () => {
    const { get, send, pid, truth } = drive({ slash: "accept" });
    expect(names(await get("/v1/groups/persons?q=emp"))).toEqual(["Empty"]);
    await send("POST", "/v1/groups/persons/pids", { pids: [pid("cy")], groups_ids: [2] });
    expect(truth(2)).toEqual(["cy"]);
  });

  test("authFailure 403odd", async () => {
    const { emulator, send } = drive({ authFailure: "403odd" });
    for (const authorization of [null, "Token nobody", `Token ${emulator.otherCredentials.expired?.token}`]) {
      const answer = await send("GET", groupsPath, undefined, { authorization });
      expect([answer.status, answer.body]).toEqual([403, oddForbidden]);
    }
    const wrong = await send("POST", "/v1/auth/token/", { username: "x", password: "y" });
    expect([wrong.status, wrong.body]).toMatchObject([403, { error_codes: [602] }]);
  });

  test("managerToken 401", async () => {
    const { emulator, send } = drive({ managerToken: "401" });
    const authorization = `Token ${emulator.otherCredentials.manager?.token}`;
    const answer = await send("GET", groupsPath, undefined, { authorization });
    expect([answer.status, answer.body]).toEqual([401, notAuthenticated]);
  });

  test("personsCount off leaves the count out of groups", async () => {
    const { get } = drive({ personsCount: "off" });
    expect((await get(`${groupsPath}1/`)).body).toEqual({ id: 1, name: "test", space_id: 1 });
  });
});

describe("late reading", () => {
  const late = { lagMs: 1000 };

  test("an add and a remove show to every reader after the lag, and to control at once", async () => {
    const { send, get, pid, truth, clock } = drive();
    await send("POST", pidsPath, { pids: [pid("cy")], groups_ids: [1] }, late);
    await send("DELETE", pidsPath, { pids: [pid("ann")], groups_ids: [1] }, late);
    expect(truth(1)).toEqual(["bob", "cy"]);
    const read = async () => ({
      list: pids(await get(`${groupsPath}1/pids/`)),
      proof: pids(await get(`${groupsPath}1/pids/?pids=${pid("ann")},${pid("cy")}`)),
      count: ((await get(`${groupsPath}1/`)).body as { persons_count: number }).persons_count,
      ofAnn: names(await get(`${groupsPath}?pids_include=${pid("ann")}`)),
      ofCy: names(await get(`${groupsPath}?pids_include=${pid("cy")}`)),
    });
    const [ann, bob, cy] = ["ann", "bob", "cy"].map(pid);
    const before = { list: [ann, bob], proof: [ann], count: 2, ofAnn: ["test"], ofCy: [] };
    expect(await read()).toEqual(before);
    clock.at += 999;
    expect(await read()).toEqual(before);
    clock.at += 1;
    expect(await read()).toEqual({ list: [bob, cy], proof: [cy], count: 2, ofAnn: [], ofCy: ["test"] });
  });

  test("a late create, rename and delete", async () => {
    const { send, get, emulator, clock } = drive();
    expect((await send("POST", groupsPath, { name: "new" }, late)).body).toMatchObject({ id: 4, name: "new" });
    expect((await send("PATCH", `${groupsPath}1/`, { name: "renamed" }, late)).body).toMatchObject({ name: "renamed" });
    await send("DELETE", `${groupsPath}2/`, undefined, late);
    expect(emulator.control.groups().map(({ name }) => name)).toEqual(["renamed", "contest", "new"]);
    expect(names(await get(groupsPath))).toEqual(["test", "Empty", "contest"]);
    expect((await get(`${groupsPath}4/`)).status).toBe(404);
    expect((await get(`${groupsPath}2/`)).status).toBe(200);
    expect((await send("DELETE", `${groupsPath}2/`)).status).toBe(404);
    clock.at += 1000;
    expect(names(await get(groupsPath))).toEqual(["renamed", "contest", "new"]);
    expect((await get(`${groupsPath}2/`)).status).toBe(404);
  });

  test("a late deletion of a person", async () => {
    const { send, get, pid, clock, truth } = drive();
    await send("DELETE", `/v1/persons/${pid("ann")}/`, undefined, late);
    expect(truth(1)).toEqual(["bob"]);
    expect((await get(`/v1/entries/stats/pid/${pid("ann")}/`)).status).toBe(200);
    expect(pids(await get(`${groupsPath}1/pids/`))).toHaveLength(2);
    clock.at += 1000;
    expect((await get(`/v1/entries/stats/pid/${pid("ann")}/`)).status).toBe(404);
    expect(pids(await get(`${groupsPath}1/pids/`))).toHaveLength(1);
  });

  test("later writes with other delays neither hide nor uncover what is not theirs", async () => {
    const { send, get, pid, clock } = drive();
    const change = (method: string, lagMs: number, id = "cy") =>
      send(method, pidsPath, { pids: [pid(id)], groups_ids: [1] }, { lagMs });
    const sees = async () => pids(await get(`${groupsPath}1/pids/?pids=${pid("cy")}`)).length === 1;
    await change("POST", 1000);
    await change("DELETE", 0, "ann");
    expect(pids(await get(`${groupsPath}1/pids/`))).toEqual([pid("bob")]);
    await change("DELETE", 2000);
    clock.at += 1500;
    expect(await sees()).toBe(true);
    clock.at += 500;
    expect(await sees()).toBe(false);
    // The newest write shows as soon as it may, overtaking what was to show later.
    await change("POST", 1000);
    await change("DELETE", 1200);
    await change("POST", 300);
    clock.at += 299;
    expect(await sees()).toBe(false);
    clock.at += 1;
    expect(await sees()).toBe(true);
    clock.at += 2000;
    expect(await sees()).toBe(true);
  });

  test("edits by control show at once, over what is still late", async () => {
    const { send, get, pid, emulator } = drive();
    await send("DELETE", pidsPath, { pids: [pid("ann")], groups_ids: [1] }, late);
    await send("POST", pidsPath, { pids: [pid("cy")], groups_ids: [1] }, late);
    await send("PATCH", `${groupsPath}1/`, { name: "late" }, late);
    emulator.control.removeMember("1", pid("ann"));
    emulator.control.addMember("1", pid("cy"));
    emulator.control.renameGroup("1", "now");
    expect(pids(await get(`${groupsPath}1/pids/`))).toEqual([pid("bob"), pid("cy")]);
    expect((await get(`${groupsPath}1/`)).body).toMatchObject({ name: "now", persons_count: 2 });
  });

  test("the lag switch delays every write, and a mark goes before it", async () => {
    const { send, get, add, pid, clock } = drive({ lag: 500 });
    await add([pid("cy")], [1]);
    await send("POST", pidsPath, { pids: [pid("cy")], groups_ids: [2] }, { lagMs: 0 });
    expect(pids(await get(`${groupsPath}1/pids/`))).toHaveLength(2);
    expect(pids(await get(`${groupsPath}2/pids/`))).toHaveLength(1);
    clock.at += 500;
    expect(pids(await get(`${groupsPath}1/pids/`))).toHaveLength(3);
  });

  test("a row that is about to go keeps its place", async () => {
    const { send, get, pid } = drive();
    await send("DELETE", pidsPath, { pids: [pid("ann")], groups_ids: [1] }, late);
    expect(pids(await get(`${groupsPath}1/pids/`))).toEqual([pid("ann"), pid("bob")]);
  });
});

describe("the control surface and the kit's contract", () => {
  test("it makes people and groups, edits them, and reads them back", async () => {
    const { emulator, get, pid } = drive();
    const { control } = emulator;
    const dee = control.addPerson({ id: "dee", email: "dee@example.org" });
    expect(control.accountOf("dee")).toBe(dee);
    expect(control.accountOf("nobody")).toBeUndefined();
    const id = control.addGroup({ name: "by hand", members: ["ann"], managers: ["dee"], owners: ["ann", "nobody"] });
    expect(control.groups().at(-1)).toEqual({
      id,
      name: "by hand",
      members: [pid("ann"), dee].map((account) => ({ account, role: "member", direct: true })),
      invited: [],
    });
    control.removeMember(id, dee);
    control.addMember(id, pid("bob"), "owner");
    expect(pids(await get(`${groupsPath}${id}/pids/`))).toEqual([pid("ann"), pid("bob")]);
    control.setPersonStatus(dee, "deleted");
    expect((await get(`/v1/entries/stats/pid/${dee}/`)).status).toBe(404);
    control.setPersonStatus(dee, "active");
    expect((await get(`/v1/entries/stats/pid/${dee}/`)).status).toBe(200);
    control.deleteGroup(id);
    expect((await get(`${groupsPath}${id}/`)).status).toBe(404);
    expect(control.answerInvitations("accept")).toBe(0);
    expect(() => control.renameGroup(id, "x")).toThrow(`there is no group ${id}`);
    expect(() => control.addMember("1", unknownPid)).toThrow(`there is no person ${unknownPid}`);
  });

  test("people and groups of other services are left out", () => {
    const { emulator } = drive(
      {},
      {
        people: [{ id: "else", email: "else@example.org", services: ["genesys"] }],
        groups: [
          { name: "here", members: ["else"] },
          { name: "there", services: ["docspace"] },
        ],
      },
    );
    expect(emulator.control.accountOf("else")).toBeUndefined();
    expect(emulator.control.groups()).toMatchObject([{ name: "here", members: [] }]);
  });

  test("a saved state comes back whole, as often as asked, late effects included", async () => {
    const { emulator, send, get, add, pid, truth, clock } = drive();
    await send("POST", pidsPath, { pids: [pid("cy")], groups_ids: [1] }, { lagMs: 1000 });
    const saved = emulator.saveState();
    for (let round = 0; round < 2; round++) {
      await add([pid("cy")], [2]);
      await send("POST", groupsPath, { name: "more" });
      await send("DELETE", `${groupsPath}3/`);
      await send("PATCH", `${groupsPath}1/`, { name: "other" });
      expect(truth(3)).toBeUndefined();
      emulator.restoreState(saved);
      expect(emulator.control.groups().map(({ name }) => name)).toEqual(["test", "Empty", "contest"]);
      expect([truth(1), truth(2)]).toEqual([["ann", "bob", "cy"], []]);
      expect(pids(await get(`${groupsPath}1/pids/`))).toEqual([pid("ann"), pid("bob")]);
    }
    clock.at += 1000;
    expect(pids(await get(`${groupsPath}1/pids/`))).toHaveLength(3);
  });

  test("two emulators of one seed answer alike", async () => {
    const session = async () => {
      const { emulator, send, get, add, pid } = drive({ order: "shuffled" });
      const answers = [
        await get(groupsPath),
        await add([pid("cy")], [1, 2]),
        await get(`${groupsPath}1/pids/`),
        await send("POST", "/v1/persons/entry/", { id: 1 }),
        await send("POST", "/v1/auth/token/", emulator.otherCredentials.login),
        await get("/v1/tokens/"),
      ];
      return answers.map(({ status, text }) => ({ status, text }));
    };
    expect(await session()).toEqual(await session());
  });

  test("its own bodies for faults have the service's shape", () => {
    const { emulator } = drive();
    expect(emulator.rateLimitBody(undefined)).toEqual({
      body: { error_codes: [429], message: "Too Many Requests.", fields: [] },
      headers: {},
    });
    expect(emulator.serverErrorBody(500)).toEqual({
      error_codes: [500],
      message: "Internal Server Error.",
      fields: [],
    });
    expect(emulator.serverErrorBody(503)).toMatchObject({ error_codes: [503], message: "Service Unavailable." });
    expect(emulator.listKeys).toEqual(["results"]);
  });

  test("2,000 people in 700 groups are seeded within two seconds", () => {
    const { people } = crowd(2000);
    const groups = Array.from({ length: 700 }, (_, group) => ({
      name: `group ${group}`,
      members: Array.from({ length: 100 }, (_, member) => `p${((group * 37 + member) % 2000) + 1}`),
    }));
    const { emulator } = drive({}, { people, groups });
    expect(emulator.control.groups()).toHaveLength(700);
  });
});

// ---- the recordings of the vendor's clients

interface Recording {
  readonly client: string;
  readonly call: { readonly method: string };
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query: readonly (readonly [string, unknown])[];
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
  };
  readonly note?: string;
}

/** Writes a shortened list out: the values count up by one in their last twelve hexadecimal digits. */
function expand(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expand);
  if (typeof value !== "object" || value === null) return value;
  if ("$list" in value) {
    const { count, first, join } = value.$list as { count: number; first: string; join?: string };
    const start = Number.parseInt(first.slice(-12), 16);
    const list = Array.from(
      { length: count },
      (_, index) => first.slice(0, -12) + (start + index).toString(16).padStart(12, "0"),
    );
    return join === undefined ? list : list.join(join);
  }
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, expand(part)]));
}

function bodyOf({ headers, body }: Recording["request"]): {
  readonly body?: string | FormData;
  readonly type?: string;
} {
  if (body === undefined) return {};
  const type = headers["content-type"] ?? "";
  const expanded = expand(body) as Record<string, unknown>;
  if (type.startsWith("multipart/form-data")) {
    const form = new FormData();
    for (const [name, value] of Object.entries(expanded)) {
      form.set(name, typeof value === "string" ? value : new File(["abc"], "image"));
    }
    // The boundary is new, so the type comes from the form.
    return { body: form };
  }
  if (type.startsWith("application/x-www-form-urlencoded")) {
    return { body: new URLSearchParams(expanded as Record<string, string>).toString(), type };
  }
  return { body: JSON.stringify(expanded), type };
}

describe("the emulator understands every recording", () => {
  const recordings = JSON.parse(
    readFileSync(new URL("../fixtures/wire/neuroio.json", import.meta.url), "utf8"),
  ) as Recording[];
  const doesNotAuthenticate = ({ note }: Recording): boolean => note?.includes("does not authenticate") ?? false;
  const recordedPid = "5d2f7c10-1a2b-4c3d-8e4f-000000000001";
  const successes: Readonly<Record<string, readonly number[]>> = { POST: [200, 201, 204], DELETE: [200, 204] };

  /** Groups 1 to 48, spaces 1 to 4, tokens 1 to 4 of the account: every id that the recordings name. */
  async function replay({ call, request }: Recording): Promise<Response> {
    const { emulator, send, pid } = drive();
    for (let group = 4; group <= 48; group++) emulator.control.addGroup({ name: `group ${group}` });
    for (const name of ["third", "fourth"]) await send("POST", "/v1/spaces/", { name });
    const query = new URLSearchParams(
      request.query.map(([name, value]): [string, string] => [name, String(expand(value))]),
    ).toString();
    const path = request.path.replace(recordedPid, pid("ann")) + (query === "" ? "" : `?${query}`);
    const { body, type } = bodyOf(request);
    const headers = new Headers();
    if (request.headers.accept !== undefined) headers.set("accept", request.headers.accept);
    if (request.headers.authorization !== undefined) {
      headers.set(
        "authorization",
        request.headers.authorization.replace("<token>", String(emulator.credentials.token)),
      );
    }
    if (type !== undefined) headers.set("content-type", type);
    // The recorded password is made up; the sandbox has its own.
    const sent = call.method === "auth.login" ? JSON.stringify(emulator.otherCredentials.login) : body;
    return emulator.app.request(path, {
      method: request.method,
      headers,
      ...(sent === undefined ? {} : { body: sent }),
    });
  }

  test("there are recordings, and one of them alone does not authenticate", () => {
    expect(recordings).toHaveLength(134);
    expect(recordings.filter(doesNotAuthenticate)).toHaveLength(1);
  });

  test.each(
    recordings
      .filter((recording) => !doesNotAuthenticate(recording))
      .map((recording, index) => [`${index} ${recording.client} ${recording.call.method}`, recording] as const),
  )("%s", async (_, recording) => {
    const answer = await replay(recording);
    expect(successes[recording.request.method] ?? [200]).toContain(answer.status);
  });

  // The client built with the constructor option sends a header named `token` and no Authorization.
  test("the recording that does not authenticate is refused", async () => {
    const recording = recordings.find(doesNotAuthenticate);
    expect(recording && (await replay(recording)).status).toBe(401);
  });
});
