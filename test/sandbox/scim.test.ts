import { describe, expect, test } from "vitest";
import { markRequest, type Seed } from "../../src/sandbox/kit.js";
import { createScimEmulator } from "../../src/sandbox/scim.js";
import { startSandbox } from "../../src/sandbox/server.js";

/** Ann, Bob and Cy; `Night` holds Ann and Bob, `Empty` nobody. */
const seed: Seed = {
  people: ["ann", "bob", "cy"].map((id) => ({ id, email: `${id}@example.org`, name: id.toUpperCase() })),
  groups: [{ name: "Night", members: ["ann"], owners: ["bob", "ann"] }, { name: "Empty" }],
};

const PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group";
const unknown = "00000000-0000-4000-8000-00000000dead";

interface Extra {
  readonly token?: string;
  readonly type?: string;
  readonly ifMatch?: string;
  readonly lagMs?: number;
}

function drive(switches: Readonly<Record<string, string | number>> = {}) {
  const clock = { at: Date.UTC(2026, 0, 1) };
  const emulator = createScimEmulator({ seed, switches, now: () => clock.at });
  const { control } = emulator;
  async function send(method: string, path: string, body?: unknown, extra: Extra = {}) {
    const headers = new Headers({ authorization: `Bearer ${extra.token ?? emulator.credentials["token"]}` });
    if (body !== undefined) headers.set("content-type", extra.type ?? "application/scim+json");
    if (extra.ifMatch !== undefined) headers.set("if-match", extra.ifMatch);
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const request = new Request(`http://localhost${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: text }),
    });
    if (extra.lagMs !== undefined) markRequest(request, { lagMs: extra.lagMs });
    const response = await emulator.app.request(request);
    const answered = await response.text();
    const parsed = answered === "" ? {} : (JSON.parse(answered) as Record<string, unknown>);
    return { status: response.status, body: parsed, headers: response.headers };
  }
  const [night, empty] = control.groups().map(({ id }) => id);
  const account = (person: string) => control.accountOf(person) ?? "";
  const people = new Map(seed.people.map(({ id }) => [account(id), id]));
  return {
    emulator,
    control,
    clock,
    send,
    account,
    night: night ?? "",
    empty: empty ?? "",
    get: (path: string) => send("GET", path),
    patch: (operations: readonly unknown[], extra?: Extra) =>
      send("PATCH", `/Groups/${night}`, { schemas: [PATCH], Operations: operations }, extra),
    /** Who is truly in the night shift, by seed ids. */
    truth: () =>
      control
        .groups()
        .find(({ id }) => id === night)
        ?.members.map((each) => people.get(each.account) ?? "?"),
  };
}

const leave = (id: string) => ({ op: "remove", path: `members[value eq "${id}"]` });
const join = (...ids: readonly string[]) => ({ op: "add", path: "members", value: ids.map((value) => ({ value })) });

describe("groups", () => {
  test("come in pages from 1 on, as many as there may be, with the total", async () => {
    const { get } = drive({ maxResults: 1 });
    const first = await get("/Groups?count=50");
    expect(first.headers.get("content-type")).toBe("application/scim+json");
    expect(first.body).toMatchObject({ totalResults: 2, startIndex: 1, itemsPerPage: 1 });
    expect((await get("/Groups?startIndex=2")).body["Resources"]).toMatchObject([{ displayName: "Empty" }]);
    expect((await get("/Groups?startIndex=0&count=0")).body).toMatchObject({ startIndex: 1, itemsPerPage: 0 });
    expect((await get("/Groups?startIndex=9")).body).toMatchObject({ totalResults: 2, Resources: [] });
    expect((await get("/Groups?count=x")).status).toBe(400);
  });

  test("show what attributes and excludedAttributes ask for", async () => {
    const { get, night, empty } = drive();
    const keys = async (path: string) => Object.keys((await get(path)).body);
    expect(await keys(`/Groups/${night}`)).toEqual(["schemas", "id", "displayName", "members", "meta"]);
    expect(await keys(`/Groups/${night}?excludedAttributes=members`)).not.toContain("members");
    expect(await keys(`/Groups/${night}?attributes=Members`)).toEqual(["schemas", "id", "members"]);
    expect(await keys(`/Groups/${empty}`)).not.toContain("members");
  });

  test("show members on request only, and by id only, where the switches say so", async () => {
    const { get, night, account } = drive({ members: "request", memberKind: "off" });
    expect((await get(`/Groups/${night}`)).body).not.toHaveProperty("members");
    expect((await get(`/Groups/${night}?attributes=members`)).body["members"]).toEqual([
      { value: account("ann"), display: "ANN" },
      { value: account("bob"), display: "BOB" },
    ]);
  });

  test("carry a version in body and header that moves with every change, and with no other request", async () => {
    const { get, patch, account, night } = drive();
    const before = (await get(`/Groups/${night}`)).headers.get("etag");
    await patch([join(account("ann"))]);
    const same = await get(`/Groups/${night}`);
    expect(same.headers.get("etag")).toBe(before);
    expect(same.body["meta"]).toMatchObject({ version: before });
    await patch([leave(account("ann"))]);
    expect((await get(`/Groups/${night}`)).headers.get("etag")).not.toBe(before);
    expect((await drive({ etag: "off" }).get("/ServiceProviderConfig")).body["etag"]).toEqual({ supported: false });
  });

  test("are made with members, renamed and deleted", async () => {
    const { send, get, control, account } = drive();
    const body = { schemas: [GROUP], displayName: "Days", members: [{ value: account("cy") }] };
    const made = await send("POST", "/Groups", body, { type: "application/json" });
    expect(made).toMatchObject({ status: 201, body: { displayName: "Days", members: [{ type: "User" }] } });
    expect(made.headers.get("location")).toContain(String(made.body["id"]));
    const path = `/Groups/${String(made.body["id"])}`;
    const rename = { schemas: [PATCH], Operations: [{ op: "Replace", value: { displayName: "Nights" } }] };
    expect((await send("PATCH", path, rename)).status).toBe(204);
    expect(control.groups().at(-1)).toMatchObject({ name: "Nights", members: [{ account: account("cy") }] });
    expect((await send("DELETE", path)).status).toBe(204);
    expect((await get(path)).body).toEqual({
      schemas: ["urn:ietf:params:scim:api:messages:2.0:Error"],
      status: "404",
      detail: expect.stringContaining("not found"),
    });
    expect((await send("DELETE", path)).status).toBe(404);
  });

  test("of one name are two, or the second is a conflict", async () => {
    const body = { schemas: [GROUP], displayName: "Night" };
    expect((await drive().send("POST", "/Groups", body)).status).toBe(201);
    expect(await drive({ uniqueNames: "409" }).send("POST", "/Groups", body)).toMatchObject({
      status: 409,
      body: { scimType: "uniqueness" },
    });
  });

  test("hold other groups, marked so, until those are deleted", async () => {
    const { control, get, send, patch, night, empty, truth } = drive();
    await patch([join(empty)]);
    expect(truth()).toEqual(["ann", "bob", "?"]);
    expect((await get(`/Groups/${night}`)).body["members"]).toContainEqual(
      expect.objectContaining({ value: empty, type: "Group" }),
    );
    expect(control.groups()[0]?.members.at(-1)).toMatchObject({ account: empty, direct: false });
    await send("DELETE", `/Groups/${empty}`);
    expect(truth()).toEqual(["ann", "bob"]);
  });
});

describe("a PATCH", () => {
  test("adds and removes together", async () => {
    const { patch, truth, account } = drive();
    expect((await patch([join(account("cy")), leave(account("ann"))])).status).toBe(204);
    expect(truth()).toEqual(["bob", "cy"]);
  });

  test("is done whole or not at all", async () => {
    const { patch, truth, account } = drive();
    const refused = await patch([leave(account("ann")), join(account("cy"), unknown)]);
    expect(refused).toMatchObject({ status: 400, body: { status: "400", scimType: "invalidValue" } });
    expect(truth()).toEqual(["ann", "bob"]);
  });

  test("with a removal of members without a condition removes all, whatever its value: why nobody should send one", async () => {
    const { patch, truth, account } = drive();
    await patch([{ op: "remove", path: "members", value: [{ value: account("ann") }] }]);
    expect(truth()).toEqual([]);
  });

  test("answers with the group where the switch says so", async () => {
    const { patch, account } = drive({ patchAnswer: "200" });
    expect(await patch([join(account("cy"))])).toMatchObject({ status: 200, body: { displayName: "Night" } });
  });

  test("of someone who is no member or not known does as the switches say", async () => {
    const { account } = drive();
    expect((await drive().patch([leave(account("cy"))])).status).toBe(204);
    expect((await drive({ absentRemove: "noTarget" }).patch([leave(account("cy"))])).body["scimType"]).toBe("noTarget");
    expect((await drive({ unknownMember: "ignore" }).patch([join(unknown)])).status).toBe(204);
  });

  test("is refused with a version that is not current", async () => {
    const { patch, get, account, night, truth } = drive();
    const ifMatch = (await get(`/Groups/${night}`)).headers.get("etag") ?? "";
    expect((await patch([leave(account("ann"))], { ifMatch })).status).toBe(204);
    expect((await patch([leave(account("bob"))], { ifMatch })).status).toBe(412);
    expect((await patch([leave(account("bob"))], { ifMatch: `"x", *` })).status).toBe(412);
    expect(truth()).toEqual(["bob"]);
    expect((await patch([leave(account("bob"))], { ifMatch: "*" })).status).toBe(204);
  });

  test.each([
    [{ op: "remove" }, "noTarget"],
    [{ op: "add", path: "members", value: [{}] }, "invalidValue"],
    [{ op: "add", path: "owners", value: [] }, "invalidPath"],
    [{ op: "remove", path: 'members[value sw "a"]' }, "invalidPath"],
    [{ op: "remove", path: 'members[value eq "a]' }, "invalidPath"],
    [{ op: "add", path: 'members[value eq "a"]' }, "invalidPath"],
    [{ op: "replace", path: "displayName", value: "" }, "invalidValue"],
    [{ op: "move", path: "members" }, "invalidSyntax"],
    [{ op: "add", value: 1 }, "invalidValue"],
    ["add", "invalidSyntax"],
  ])("with the operation %j is refused with %s", async (operation, scimType) => {
    const { patch, truth } = drive();
    expect(await patch([operation])).toMatchObject({ status: 400, body: { scimType } });
    expect(truth()).toEqual(["ann", "bob"]);
  });

  test("needs its schema, JSON and a content type for it", async () => {
    const { send, night } = drive();
    const path = `/Groups/${night}`;
    expect((await send("PATCH", path, { Operations: [] })).status).toBe(400);
    expect((await send("PATCH", path, "{")).status).toBe(400);
    expect((await send("PATCH", path, "[]")).status).toBe(400);
    expect((await send("PATCH", path, { schemas: [PATCH] }, { type: "text/plain" })).status).toBe(415);
  });

  test("shows to readers late, and at once to writers and to the truth", async () => {
    const { patch, get, clock, account, night, truth } = drive();
    await patch([leave(account("ann"))], { lagMs: 1000 });
    expect(truth()).toEqual(["bob"]);
    expect((await get(`/Groups/${night}`)).body["members"]).toHaveLength(2);
    clock.at += 1000;
    expect((await get(`/Groups/${night}`)).body["members"]).toHaveLength(1);
  });
});

describe("users", () => {
  const found = async (filter: string, switches = {}) => {
    const { status, body } = await drive(switches).get(`/Users?filter=${encodeURIComponent(filter)}`);
    const rows = (body["Resources"] ?? []) as readonly { readonly displayName: string }[];
    return status === 200 ? rows.map(({ displayName }) => displayName) : body["scimType"];
  };

  test.each([
    ['userName eq "ANN@example.org"', ["ANN"]],
    ['emails.value eq "bob@example.org"', ["BOB"]],
    ['USERNAME EQ "ann@example.org" or userName eq "cy@example.org"', ["ANN", "CY"]],
    ['userName eq "ann@example.org" and active eq false', []],
    ["active eq true", ["ANN", "BOB", "CY"]],
    ['userName eq "ann@example.org\\" or active eq true"', []],
    ['userName eq ""', []],
  ])("match the filter %s", async (filter, names) => {
    expect(await found(filter)).toEqual(names);
  });

  test.each(['userName sw "a"', "userName eq", 'phone eq "1"', "userName eq ann", 'userName eq "a', "", "()"])(
    "cannot be asked for by %s",
    async (filter) => {
      expect(await found(filter)).toBe("invalidFilter");
    },
  );

  test("can be asked for by less where the switches say so", async () => {
    expect(await found('userName eq "a or b"', { filter: "eq" })).toEqual([]);
    expect(await found('userName eq "a" or userName eq "b"', { filter: "eq" })).toBe("invalidFilter");
    expect(await found("active eq false", { filter: "userName" })).toBe("invalidFilter");
    expect(await found('userName eq "ann@example.org"', { filter: "userName" })).toEqual(["ANN"]);
    expect(await found('userName eq "ann@example.org"', { filter: "off" })).toBe("invalidFilter");
  });

  test("are switched off and deleted, which takes them out of their groups", async () => {
    const { control, get, account, truth } = drive();
    control.setPersonStatus(account("ann"), "disabled");
    expect((await get(`/Users/${account("ann")}`)).body).toMatchObject({ active: false });
    expect(truth()).toEqual(["ann", "bob"]);
    control.setPersonStatus(account("ann"), "deleted");
    expect((await get(`/Users/${account("ann")}`)).status).toBe(404);
    expect(truth()).toEqual(["bob"]);
  });
});

describe("the emulator", () => {
  test("lets nobody in without a token, with a dead one, or to write with one for reading", async () => {
    const { emulator, send, control, night } = drive();
    const readOnly = emulator.otherCredentials["readOnly"]?.["token"] ?? "";
    expect((await send("GET", "/Groups", undefined, { token: "wrong" })).status).toBe(401);
    const dead = emulator.otherCredentials["expired"]?.["token"] ?? "";
    expect((await send("GET", "/Groups", undefined, { token: dead })).status).toBe(401);
    expect((await send("GET", "/Groups", undefined, { token: readOnly })).status).toBe(200);
    expect((await send("DELETE", `/Groups/${night}`, undefined, { token: readOnly })).status).toBe(403);
    control.expireTokens();
    expect((await send("GET", "/Groups")).status).toBe(401);
  });

  test("answers other paths and methods with errors of SCIM", async () => {
    const { send } = drive();
    expect(await send("GET", "/Me")).toMatchObject({ status: 404, body: { status: "404" } });
    expect((await send("PUT", "/Groups", {})).status).toBe(405);
  });

  test("is put back to a state that was saved", async () => {
    const { emulator, patch, account, truth } = drive();
    const saved = emulator.saveState();
    await patch([leave(account("ann"))]);
    emulator.restoreState(saved);
    expect(truth()).toEqual(["ann", "bob"]);
  });

  test("refuses switches that there are not", () => {
    expect(() => createScimEmulator({ seed, switches: { colour: "red" } })).toThrow('no switch "colour"');
    expect(() => createScimEmulator({ seed, switches: { maxResults: 0 } })).toThrow("maxResults");
  });

  test("is part of a sandbox on request only, as `directory`", async () => {
    const without = await startSandbox({ seed });
    expect(Object.keys(without.config())).toEqual(["faces", "lab", "docs", "calls"]);
    expect(() => without.services.scim).toThrow("started without scim");
    await without.close();
    const sandbox = await startSandbox({ seed, services: ["scim"] });
    const { token, ...entry } = sandbox.config()["directory"] ?? {};
    expect(entry).toEqual({ type: "scim", baseUrl: `${sandbox.url}/scim` });
    const response = await fetch(`${sandbox.url}/scim/Groups`, { headers: { authorization: `Bearer ${token}` } });
    expect(response.status).toBe(200);
    expect(sandbox.log.at(-1)).toMatchObject({ service: "scim", path: "/Groups", write: false });
    await sandbox.close();
  });
});
