import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createDocspaceEmulator, docspaceSwitches } from "../../src/sandbox/docspace.js";
import { markRequest, type Seed, type SeedGroup, type SeedPerson } from "../../src/sandbox/kit.js";

const zeroGuid = "00000000-0000-0000-0000-000000000000";
const unknownGuid = "3f1c9a52-7b1e-4f6d-9c2a-0000000000ff";
const everyoneId = "c5cc67d1-c3e8-43c0-a3ad-3928ae3e5b5e";
const roomAdminsId = "abef62db-11a8-4673-9d32-ef1d8af19dc0";

const people: readonly SeedPerson[] = [
  { id: "ana", email: "ana.ruiz@example.org", name: "Ana Ruiz" },
  { id: "bo", email: "Bo.Lind@example.org", name: "Bo Lind" },
  { id: "cy", email: "cy+lab@example.org", name: "Cy O'Hara" },
  { id: "pia", email: "pia@example.org", name: "Pia Pending", status: "pending" },
  { id: "dan", email: "dan@example.org", name: "Dan Disabled", status: "disabled" },
  { id: "gus", email: "gus@example.org", name: "Gus Guest", status: "guest" },
  { id: "del", email: "del@example.org", name: "Del Deleted", status: "deleted" },
  { id: "elsewhere", email: "else@example.org", services: ["genesys"] },
];

const team: SeedGroup = { name: "Team", members: ["ana", "bo", "dan", "gus", "elsewhere"], managers: ["ana"] };

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  // The answers are other people's JSON: each assertion names what it expects there.
  readonly json: Record<string, unknown>;
  readonly response: Record<string, unknown>;
  readonly rows: readonly Record<string, unknown>[];
}

type Switches = Readonly<Record<string, string | number>>;

function start(switches: Switches = {}, seed: Partial<Seed> = {}) {
  let time = Date.UTC(2026, 5, 1, 12);
  const emulator = createDocspaceEmulator({
    seed: { people: seed.people ?? people, groups: seed.groups ?? [team, { name: "Other", members: ["cy"] }] },
    switches,
    now: () => time,
  });
  const ask = async (
    method: string,
    path: string,
    body?: unknown,
    settings: { authorization?: string | null; lagMs?: number; rawBody?: string; contentType?: string } = {},
  ): Promise<Answer> => {
    const headers = new Headers();
    const authorization =
      settings.authorization === undefined ? `Bearer ${emulator.credentials.apiKey}` : settings.authorization;
    if (authorization !== null) headers.set("authorization", authorization);
    const sent = settings.rawBody ?? (body === undefined ? undefined : JSON.stringify(body));
    if (sent !== undefined) headers.set("content-type", settings.contentType ?? "application/json");
    const request = new Request(`http://sandbox.invalid/api/2.0${path}`, { method, headers, body: sent ?? null });
    if (settings.lagMs !== undefined) markRequest(request, { lagMs: settings.lagMs });
    const response = await emulator.app.request(request);
    const text = await response.text();
    const json = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {};
    return {
      status: response.status,
      text,
      headers: response.headers,
      json,
      response: (json.response ?? {}) as Record<string, unknown>,
      rows: (Array.isArray(json.response) ? json.response : []) as Record<string, unknown>[],
    };
  };
  const id = (person: string): string => {
    const account = emulator.control.accountOf(person);
    if (account === undefined) throw new Error(`no account for ${person}`);
    return account;
  };
  const group = (name: string) => {
    const found = emulator.control.groups().find((candidate) => candidate.name === name);
    if (!found) throw new Error(`no group ${name}`);
    return found;
  };
  return {
    emulator,
    control: emulator.control,
    ask,
    id,
    group,
    groupId: (name: string) => group(name).id,
    truth: (name: string) => group(name).members.map((member) => member.account),
    as: (name: string) => {
      const { apiKey, token } = emulator.otherCredentials[name] ?? {};
      return { authorization: `Bearer ${apiKey ?? token}` };
    },
    pass: (ms: number) => {
      time += ms;
    },
  };
}

const memberIds = (answer: Answer): unknown[] => (answer.response.members as { id: string }[]).map((row) => row.id);
const rowIds = (answer: Answer): unknown[] => answer.rows.map((row) => row.id);
const errorMessage = (answer: Answer): unknown => (answer.json.error as { message?: unknown } | undefined)?.message;

const manyPeople = (count: number): SeedPerson[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `p${index}`,
    email: `person${String(index).padStart(5, "0")}@example.org`,
    name: `Same Name${index}`,
  }));

/** A seed with so many groups of one name, or of numbered names. */
const manyGroups = (count: number, name?: string): SeedGroup[] =>
  Array.from({ length: count }, (_, index) => ({ name: name ?? `Group ${String(index).padStart(5, "0")}` }));

describe("auth", () => {
  test("a key with all rights reads and writes", async () => {
    const { ask, emulator } = start();
    expect(emulator.credentials.apiKey).toMatch(/^sk-[0-9a-f]{64}$/);
    expect((await ask("GET", "/group")).status).toBe(200);
    expect((await ask("POST", "/group", { groupName: "New" })).status).toBe(200);
  });

  test("a key without the word Bearer, a wrong, inactive or expired key, a JWT and no key at all are 401 with an empty body", async () => {
    const { ask, as, emulator } = start();
    const refused = [
      emulator.credentials.apiKey ?? "",
      `Bearer sk-${"0".repeat(64)}`,
      as("inactive").authorization,
      as("expired").authorization,
      "Bearer aaaa.bbbb.cccc",
      null,
    ];
    for (const authorization of refused) {
      const answer = await ask("GET", "/group", undefined, { authorization });
      expect([authorization, answer.status, answer.text]).toEqual([authorization, 401, ""]);
    }
  });

  test("a log-in gives a token, which works with and without Bearer until log-out", async () => {
    const { ask, emulator } = start();
    const { userName, password } = emulator.otherCredentials.owner ?? {};
    const login = await ask("POST", "/authentication", { userName, password }, { authorization: null });
    expect([login.status, login.json.statusCode]).toEqual([201, 201]);
    const token = String(login.response.token);
    expect((await ask("GET", "/group", undefined, { authorization: token })).status).toBe(200);
    expect((await ask("GET", "/group", undefined, { authorization: `Bearer ${token}` })).status).toBe(200);
    expect((await ask("GET", "/authentication", undefined, { authorization: token })).json.response).toBe(true);
    await ask("POST", "/authentication/logout", undefined, { authorization: `Bearer ${token}` });
    expect((await ask("GET", "/group", undefined, { authorization: token })).status).toBe(401);
    expect((await ask("GET", "/authentication", undefined, { authorization: token })).json.response).toBe(false);
  });

  test("a wrong password is 401, and Basic takes the same password as the log-in", async () => {
    const { ask, emulator } = start();
    const { userName, password } = emulator.otherCredentials.owner ?? {};
    expect((await ask("POST", "/authentication", { userName, password: "wrong" })).status).toBe(401);
    const basic = (secret: string | undefined) => `Basic ${Buffer.from(`${userName}:${secret}`).toString("base64")}`;
    expect((await ask("GET", "/group", undefined, { authorization: basic(password) })).status).toBe(200);
    expect((await ask("GET", "/group", undefined, { authorization: basic("wrong") })).status).toBe(401);
  });

  test("expired tokens and keys of a disabled owner stop working; a new log-in works again", async () => {
    const { ask, as, control, emulator } = start();
    control.setPersonStatus(emulator.otherCredentials.admin?.userId ?? "", "disabled");
    expect((await ask("GET", "/group", undefined, as("admin"))).status).toBe(401);
    control.expireTokens();
    expect((await ask("GET", "/group")).status).toBe(401);
    expect((await ask("GET", "/group", undefined, as("guest"))).status).toBe(401);
    const { userName, password } = emulator.otherCredentials.owner ?? {};
    const login = await ask("POST", "/authentication", { userName, password });
    const authorization = `Bearer ${String(login.response.token)}`;
    expect((await ask("GET", "/group", undefined, { authorization })).status).toBe(200);
  });

  test.each([
    { key: "readWrite", read: 200, write: 200, people: 200, self: 403 },
    { key: "readOnly", read: 200, write: 403, people: 200, self: 403 },
    { key: "writeOnly", read: 403, write: 200, people: 200, self: 403 },
    { key: "readAll", read: 200, write: 403, people: 200, self: 200 },
    { key: "writeAll", read: 200, write: 200, people: 200, self: 200 },
    { key: "selfOnly", read: 403, write: 403, people: 403, self: 200 },
    { key: "otherScope", read: 403, write: 403, people: 403, self: 403 },
    { key: "emptyScopes", read: 200, write: 200, people: 200, self: 200 },
  ])("scopes: the key $key", async ({ key, read, write, people, self }) => {
    const { ask, as, groupId } = start();
    expect((await ask("GET", "/group", undefined, as(key))).status).toBe(read);
    expect((await ask("PUT", `/group/${groupId("Team")}`, {}, as(key))).status).toBe(write);
    expect((await ask("GET", "/people/filter", undefined, as(key))).status).toBe(people);
    expect((await ask("GET", "/people/@self", undefined, as(key))).status).toBe(self);
    expect((await ask("GET", "/people/%40self", undefined, as(key))).status).toBe(self);
    expect((await ask("GET", "/keys/@self", undefined, as(key))).status).toBe(200);
  });

  test("the own key shows its permissions; a log-in has no key", async () => {
    const { ask, as, emulator } = start();
    const own = await ask("GET", "/keys/@self", undefined, as("readOnly"));
    expect(own.response).toMatchObject({ permissions: ["accounts:read"], isActive: true });
    expect(own.text).not.toContain("sk-");
    expect((await ask("GET", "/keys/%40self")).status).toBe(200);
    expect((await ask("GET", "/keys")).rows.length).toBeGreaterThan(1);
    const { token = "" } = emulator.otherCredentials.owner ?? {};
    expect((await ask("GET", "/keys/@self", undefined, { authorization: token })).status).toBe(404);
  });

  test("reads are for administrators and RoomAdmins, writes for administrators alone, group managers included", async () => {
    const { ask, as, groupId, control, emulator } = start();
    const team = groupId("Team");
    control.addMember(team, emulator.otherCredentials.user?.userId ?? "", "manager");
    const seen = async (name: string) => [
      (await ask("GET", "/group", undefined, as(name))).status,
      (await ask("GET", `/group/${team}`, undefined, as(name))).status,
      (await ask("PUT", `/group/${team}`, {}, as(name))).status,
      (await ask("POST", "/group", { groupName: "x" }, as(name))).status,
      (await ask("GET", "/people/filter", undefined, as(name))).status,
      (await ask("DELETE", `/group/${team}`, undefined, as(name))).status,
    ];
    expect(await seen("user")).toEqual([403, 403, 403, 403, 403, 403]);
    expect(await seen("guest")).toEqual([403, 403, 403, 403, 403, 403]);
    expect(await seen("roomAdmin")).toEqual([200, 200, 403, 403, 200, 403]);
    expect(await seen("admin")).toEqual([200, 200, 200, 200, 200, 204]);
  });

  test("a refused right is shape 1, before the group is looked for", async () => {
    const { ask, as } = start();
    const answer = await ask("GET", `/group/${unknownGuid}`, undefined, as("user"));
    expect(answer.json).toEqual({
      error: { message: "Access denied", type: null, stack: null, hresult: 0 },
      status: 1,
      statusCode: 403,
    });
  });
});

describe("order of checks", () => {
  test("a malformed id of the path is a 404 even without credentials, a wrong verb a 405", async () => {
    const { ask, groupId } = start();
    for (const path of ["/group/10001", "/group/full", `/group/${groupId("Team").replaceAll("-", "")}`, "/nowhere"]) {
      expect([path, (await ask("GET", path, undefined, { authorization: null })).status]).toEqual([path, 404]);
    }
    expect((await ask("POST", `/group/${groupId("Team")}`, {})).status).toBe(405);
    expect((await ask("GET", "/group/", undefined)).status).toBe(404);
  });

  test("401 before scope, scope before validation, validation before the right, the right before existence", async () => {
    const { ask, as } = start();
    expect((await ask("GET", "/group?count=101", undefined, { authorization: null })).status).toBe(401);
    expect((await ask("GET", "/group?count=101", undefined, as("otherScope"))).status).toBe(403);
    expect((await ask("GET", "/group?count=101", undefined, as("user"))).status).toBe(400);
    expect((await ask("PUT", `/group/${unknownGuid}`, { membersToAdd: ["x"] }, as("user"))).status).toBe(400);
    expect((await ask("PUT", `/group/${unknownGuid}`, {}, as("user"))).status).toBe(403);
    expect((await ask("PUT", `/group/${unknownGuid}`, {})).status).toBe(404);
  });

  test("ids are taken in any case and given back in lower case", async () => {
    const { ask, groupId } = start();
    const answer = await ask("GET", `/group/${groupId("Team").toUpperCase()}`);
    expect(answer.response.id).toBe(groupId("Team"));
  });
});

describe("the list of groups", () => {
  test("has the envelope's properties in order, a total, no members and no nulls", async () => {
    const { ask } = start();
    const answer = await ask("GET", "/group");
    expect(Object.keys(answer.json)).toEqual(["response", "count", "total", "links", "status", "statusCode"]);
    expect(answer.json).toMatchObject({
      count: 2,
      total: 2,
      links: [{ href: "/api/2.0/group", action: "GET" }],
      status: 0,
      statusCode: 200,
    });
    expect(Object.keys(answer.rows[0] ?? {})).toEqual(["name", "parent", "category", "id", "isLDAP", "membersCount"]);
    expect(answer.rows.map((row) => row.name)).toEqual(["Other", "Team"]);
  });

  test.each([
    { groups: 0, pages: [0] },
    { groups: 1, pages: [1] },
    { groups: 99, pages: [99] },
    { groups: 100, pages: [100, 0] },
    { groups: 101, pages: [100, 1] },
  ])("pages of 100: $groups groups", async ({ groups, pages }) => {
    const { ask } = start({}, { groups: manyGroups(groups) });
    const ids = new Set<unknown>();
    for (const [index, length] of pages.entries()) {
      const answer = await ask("GET", `/group?count=100&startIndex=${index * 100}`);
      expect([answer.rows.length, answer.json.count, answer.json.total]).toEqual([length, length, groups]);
      for (const row of answer.rows) ids.add(row.id);
    }
    expect(ids.size).toBe(groups);
  });

  test.each(["count=0", "count=101", "count=x", "startIndex=-1", "sortOrder=99", "userId=x", "manager=perhaps"])(
    "%s is refused with shape 2",
    async (parameters) => {
      const answer = await start().ask("GET", `/group?${parameters}`);
      expect(answer.status).toBe(400);
      expect(answer.json).toMatchObject({ count: 1, status: 1, statusCode: 400 });
      expect(answer.response).toMatchObject({ status: 400, title: "One or more validation errors occurred." });
      expect(Object.keys(answer.response.errors as object)).toEqual([parameters.split("=")[0]]);
    },
  );

  test("query names bind in any case, sort orders by name and number, and unknown sort keys mean the title", async () => {
    const { ask } = start({}, { groups: [{ name: "b", members: ["ana"] }, { name: "A" }, { name: "c" }] });
    const names = async (parameters: string) => (await ask("GET", `/group?${parameters}`)).rows.map((row) => row.name);
    expect(await names("sortby=Name&sortorder=descending")).toEqual(["c", "b", "A"]);
    expect(await names("SORTORDER=1")).toEqual(["c", "b", "A"]);
    expect(await names("sortOrder=Ascending")).toEqual(["A", "b", "c"]);
    expect((await names("sortBy=membersCount&sortOrder=1"))[0]).toBe("b");
    expect((await names("sortBy=membersCount")).at(-1)).toBe("b");
    expect(await names("startindex=1&COUNT=1")).toEqual(["b"]);
  });

  test("filterValue is a contains without case, userId and manager narrow, built-in groups never show", async () => {
    const { ask, id, groupId } = start(
      {},
      { groups: [team, { name: "Team two", members: ["ana"] }, { name: "Everyone", kind: "builtin" }] },
    );
    expect((await ask("GET", "/group?filterValue=%20TEAM%20")).json.total).toBe(2);
    expect((await ask("GET", "/group?filterValue=veryo")).json.total).toBe(0);
    expect((await ask("GET", `/group?userId=${id("ana")}`)).json.total).toBe(2);
    expect(rowIds(await ask("GET", `/group?userId=${id("ana")}&manager=true`))).toEqual([groupId("Team")]);
    expect((await ask("GET", `/group?userId=${unknownGuid}`)).json).toMatchObject({ response: [], total: 0, count: 0 });
  });

  test("groups of a user: custom groups in ordinal order, without a total", async () => {
    const { ask, id } = start(
      {},
      {
        groups: [
          { ...team, name: "a" },
          { name: "B", members: ["ana"] },
        ],
      },
    );
    const answer = await ask("GET", `/group/user/${id("ana")}`);
    expect(answer.rows.map((row) => row.name)).toEqual(["B", "a"]);
    expect(answer.rows[1]).toMatchObject({ manager: "ana.ruiz" });
    expect(answer.json).not.toHaveProperty("total");
    expect((await ask("GET", `/group/user/${unknownGuid}`)).json.response).toEqual([]);
  });

  test("sharing views know their routes and find no room", async () => {
    const answer = await start().ask("GET", "/group/room/10?count=100");
    expect([answer.status, errorMessage(answer)]).toEqual([404, "The required room was not found"]);
  });
});

describe("one group", () => {
  test("shows Active and Pending members, hides the disabled whose row stays, leaves out guests and strangers", async () => {
    const { ask, id, groupId, control, truth } = start();
    const answer = await ask("GET", `/group/${groupId("Team")}?includeMembers=true`);
    expect(memberIds(answer)).toEqual([id("ana"), id("bo")]);
    expect(answer.response).toMatchObject({ membersCount: 2, manager: { id: id("ana") }, isLDAP: false });
    expect(answer.response).not.toHaveProperty("isSystem");
    expect(truth("Team")).toEqual([id("ana"), id("bo"), id("dan")]);
    control.setPersonStatus(id("dan"), "active");
    expect(memberIds(await ask("GET", `/group/${groupId("Team")}`))).toContain(id("dan"));
  });

  test("deleting a person or making it a guest takes the rows away for good", async () => {
    const { id, control, truth } = start();
    control.setPersonStatus(id("bo"), "guest");
    control.setPersonStatus(id("dan"), "deleted");
    control.setPersonStatus(id("bo"), "active");
    expect(truth("Team")).toEqual([id("ana")]);
  });

  test("fields= trims the answer, and a name alone takes the whole", async () => {
    const { ask, id, groupId } = start();
    const path = `/group/${groupId("Team")}?includeMembers=true&fields=`;
    expect((await ask("GET", `${path}id,Members.id,members.email`)).response).toEqual({
      id: groupId("Team"),
      members: [
        { id: id("ana"), email: "ana.ruiz@example.org" },
        { id: id("bo"), email: "Bo.Lind@example.org" },
      ],
    });
    const whole = await ask("GET", `${path}members,members.id`);
    expect(Object.keys((whole.response.members as object[])[0] ?? {}).length).toBeGreaterThan(10);
  });

  test("without includeMembers there is no members key; an unknown or deleted group is shape 1, 404", async () => {
    const { ask, groupId } = start();
    expect((await ask("GET", `/group/${groupId("Team")}?includeMembers=false`)).response).not.toHaveProperty("members");
    const missing = await ask("GET", `/group/${unknownGuid}`);
    expect([missing.status, missing.json.statusCode, typeof errorMessage(missing)]).toEqual([404, 404, "string"]);
  });

  test("people in it are the full objects: HTML-encoded display name and department, one kind each", async () => {
    const { ask, groupId } = start(
      {},
      {
        groups: [
          { name: "R&D <x>", members: ["cy"] },
          { name: "LDAP", kind: "directory" },
        ],
      },
    );
    const answer = await ask("GET", `/group/${groupId("R&D <x>")}`);
    expect(answer.response.name).toBe("R&D <x>");
    expect((answer.response.members as object[])[0]).toMatchObject({
      displayName: "Cy O&#39;Hara",
      department: "R&amp;D &lt;x&gt;",
      groups: [{ name: "R&D <x>" }],
      status: 1,
      isCollaborator: true,
      isVisitor: false,
      isAdmin: false,
      registrationDate: "2026-01-15T09:00:00.0000000Z",
    });
    expect((await ask("GET", `/group/${groupId("LDAP")}`)).response.isLDAP).toBe(true);
  });

  test("built-in groups are read by id and carry isSystem", async () => {
    const { ask, id, control, groupId } = start(
      {},
      { groups: [team, { name: "Everyone", kind: "builtin" }, { name: "House", kind: "builtin", members: ["bo"] }] },
    );
    const everyone = await ask("GET", `/group/${everyoneId}`);
    expect(everyone.response).toMatchObject({ isSystem: true, category: "7717039d-fbe9-45ad-81c1-68a1aa10ce1f" });
    expect(memberIds(everyone)).toContain(id("bo"));
    expect(control.groups().map((group) => group.name)).toEqual(["Everyone", "Team", "House"]);
    expect((await ask("GET", `/group/${groupId("House")}`)).response).toMatchObject({
      isSystem: true,
      membersCount: 1,
    });
  });
});

describe("creating", () => {
  test("answers 200 with the group, its members and its manager, who becomes a member", async () => {
    const { ask, id, truth } = start();
    const answer = await ask("POST", "/group", {
      groupName: " New ",
      groupManager: id("bo"),
      members: [id("ana"), id("ana")],
    });
    expect(answer.status).toBe(200);
    expect(answer.response).toMatchObject({ name: " New ", membersCount: 2, manager: { id: id("bo") } });
    expect(new Set(memberIds(answer))).toEqual(new Set([id("ana"), id("bo")]));
    expect(truth(" New ")).toHaveLength(2);
    const managed = await ask("POST", "/group", { groupName: "Managed", groupManager: id("bo"), members: [] });
    expect(managed.response.membersCount).toBe(1);
  });

  test("takes names of 1 to 128, the same name again, and extra properties", async () => {
    const { ask, control } = start();
    const status = async (groupName: unknown) => (await ask("POST", "/group", { groupName, extra: 1 })).status;
    expect(await status("x")).toBe(200);
    expect(await status("y".repeat(128))).toBe(200);
    expect(await status("x")).toBe(200);
    expect(control.groups().filter((group) => group.name === "x")).toHaveLength(2);
    const before = control.groups().length;
    for (const bad of ["", "  \t", "y".repeat(129), null, undefined, 7]) {
      expect([bad, await status(bad)]).toEqual([bad, 400]);
    }
    expect(control.groups()).toHaveLength(before);
  });

  test("refuses everything for one unknown, disabled, guest, zero or malformed id", async () => {
    const { ask, id, control } = start();
    const before = control.groups().length;
    for (const bad of [unknownGuid, id("dan"), id("gus"), id("del"), zeroGuid, "10001", 5, null]) {
      const members = await ask("POST", "/group", { groupName: "bad", members: [id("ana"), bad] });
      expect([bad, members.status]).toEqual([bad, 400]);
    }
    for (const groupManager of [unknownGuid, id("gus"), "", 7]) {
      expect((await ask("POST", "/group", { groupName: "bad", groupManager })).status).toBe(400);
    }
    expect(control.groups()).toHaveLength(before);
  });

  test("needs a JSON body", async () => {
    const { ask } = start();
    expect((await ask("POST", "/group")).status).toBe(400);
    expect((await ask("POST", "/group", undefined, { rawBody: "{" })).status).toBe(400);
    expect((await ask("POST", "/group", undefined, { rawBody: "[]" })).status).toBe(400);
    const form = await ask("POST", "/group", undefined, {
      rawBody: "a=b",
      contentType: "application/x-www-form-urlencoded",
    });
    expect(form.status).toBe(415);
  });
});

describe("updating", () => {
  test("adds and removes in one call, skips the invalid silently, and answers the truth", async () => {
    const { ask, id, groupId, truth } = start();
    const answer = await ask("PUT", `/group/${groupId("Team")}`, {
      membersToAdd: [id("cy"), id("pia"), id("gus"), id("del"), unknownGuid, zeroGuid],
      membersToRemove: [id("bo"), id("dan"), unknownGuid],
    });
    expect(answer.status).toBe(200);
    expect(memberIds(answer)).toEqual([id("ana"), id("cy"), id("pia")]);
    expect(truth("Team")).toEqual([id("ana"), id("cy"), id("pia")]);
  });

  test("a disabled person is not added, and its row can be removed", async () => {
    const { ask, id, groupId, truth } = start();
    expect((await ask("PUT", `/group/${groupId("Other")}`, { membersToAdd: [id("dan")] })).status).toBe(200);
    expect(truth("Other")).toEqual([id("cy")]);
    await ask("PUT", `/group/${groupId("Team")}`, { membersToRemove: [id("dan")] });
    expect(truth("Team")).not.toContain(id("dan"));
  });

  test("the same id in both lists ends removed, and repeating changes nothing", async () => {
    const { ask, id, groupId, truth } = start();
    const both = { membersToAdd: [id("cy")], membersToRemove: [id("cy")] };
    await ask("PUT", `/group/${groupId("Team")}`, both);
    expect(truth("Team")).not.toContain(id("cy"));
    for (const _ of [1, 2]) await ask("PUT", `/group/${groupId("Team")}`, { membersToAdd: [id("cy")] });
    expect(truth("Team").filter((account) => account === id("cy"))).toHaveLength(1);
  });

  test("one malformed id refuses the whole request, name included", async () => {
    const { ask, id, groupId, truth } = start();
    const answer = await ask("PUT", `/group/${groupId("Team")}`, {
      groupName: "Renamed",
      membersToAdd: [id("cy"), "10002"],
    });
    expect(answer.status).toBe(400);
    expect(truth("Team")).not.toContain(id("cy"));
  });

  test("the name: absent or null keeps, 128 is taken, 129 refused", async () => {
    const { ask, groupId, group } = start();
    const path = `/group/${groupId("Team")}`;
    expect((await ask("PUT", path, {})).response.name).toBe("Team");
    expect((await ask("PUT", path, { groupName: null })).response.name).toBe("Team");
    expect((await ask("PUT", path, { groupName: "z".repeat(129) })).status).toBe(400);
    expect(group("Team").name).toBe("Team");
    expect((await ask("PUT", path, { groupName: "z".repeat(128) })).response.name).toBe("z".repeat(128));
  });

  test("groupManager sets the manager, cannot clear it, and an invalid one is ignored", async () => {
    const { ask, id, groupId, group } = start();
    const path = `/group/${groupId("Team")}`;
    for (const groupManager of [zeroGuid, unknownGuid, id("dan"), null]) {
      expect((await ask("PUT", path, { groupManager })).response.manager).toMatchObject({ id: id("ana") });
    }
    expect((await ask("PUT", path, { groupManager: "" })).status).toBe(400);
    await ask("PUT", path, { groupManager: id("cy") });
    expect(group("Team").members.filter((member) => member.role === "manager")).toEqual([
      { account: id("cy"), role: "manager", direct: true },
    ]);
    expect(group("Team").members.map((member) => member.account)).toContain(id("ana"));
  });

  test("removing the manager drops the role, and adding does not bring it back", async () => {
    const { ask, id, groupId } = start();
    const path = `/group/${groupId("Team")}`;
    expect((await ask("PUT", path, { membersToRemove: [id("ana")] })).response).not.toHaveProperty("manager");
    expect((await ask("PUT", path, { membersToAdd: [id("ana")] })).response).not.toHaveProperty("manager");
  });
});

describe("deleting", () => {
  test("is 204 without a body, then 404 for every call", async () => {
    const { ask, groupId, control, id } = start();
    const team = groupId("Team");
    const answer = await ask("DELETE", `/group/${team}`);
    expect([answer.status, answer.text]).toEqual([204, ""]);
    expect((await ask("DELETE", `/group/${team}`)).status).toBe(404);
    expect((await ask("GET", `/group/${team}`)).status).toBe(404);
    expect((await ask("PUT", `/group/${team}`, {})).status).toBe(404);
    expect((await ask("GET", "/group")).json.total).toBe(1);
    expect((await ask("GET", `/people/filter?groupId=${team}`)).json).toMatchObject({ response: [], total: 0 });
    expect((await ask("GET", `/people/${id("ana")}`)).response).not.toHaveProperty("groups");
    expect(control.groups().map((group) => group.name)).toEqual(["Other"]);
  });
});

describe("members calls", () => {
  test("PUT adds, DELETE removes, POST replaces, each answering with the members", async () => {
    const { ask, id, groupId } = start();
    const path = `/group/${groupId("Team")}/members`;
    expect(memberIds(await ask("PUT", path, { members: [id("cy"), id("gus")] }))).toEqual([
      id("ana"),
      id("bo"),
      id("cy"),
    ]);
    expect(memberIds(await ask("DELETE", path, { members: [id("bo"), id("bo"), unknownGuid] }))).toEqual([
      id("ana"),
      id("cy"),
    ]);
    const replaced = await ask("POST", path, { members: [id("ana"), id("pia"), id("dan"), unknownGuid] });
    expect(memberIds(replaced)).toEqual([id("ana"), id("pia")]);
  });

  test("replacing loses the manager even if listed, and disabled members survive it", async () => {
    const { ask, id, groupId, truth } = start();
    const answer = await ask("POST", `/group/${groupId("Team")}/members`, { members: [id("ana")] });
    expect(answer.response).not.toHaveProperty("manager");
    expect(truth("Team").toSorted()).toEqual([id("ana"), id("dan")].toSorted());
  });

  test("a replacement without a valid id is 400 and touches nothing, before the right and the group are looked at", async () => {
    const { ask, as, id, groupId, truth } = start();
    const before = truth("Team");
    for (const body of [{ members: [] }, { members: [id("dan"), id("gus")] }, { members: null }, {}]) {
      expect((await ask("POST", `/group/${groupId("Team")}/members`, body)).status).toBe(400);
      expect((await ask("POST", `/group/${unknownGuid}/members`, body, as("user"))).status).toBe(400);
    }
    expect((await ask("POST", `/group/${unknownGuid}/members`, { members: [id("ana")] }, as("user"))).status).toBe(403);
    expect((await ask("POST", `/group/${unknownGuid}/members`, { members: [id("ana")] })).status).toBe(404);
    expect(truth("Team")).toEqual(before);
  });

  test("empty and missing lists: nothing to add or remove is 200, no body is 400", async () => {
    const { ask, groupId } = start();
    const path = `/group/${groupId("Team")}/members`;
    expect((await ask("PUT", path, { members: [] })).status).toBe(200);
    expect((await ask("DELETE", path, { members: [] })).status).toBe(200);
    expect((await ask("DELETE", path, {})).status).toBe(200);
    expect((await ask("PUT", path, { members: null })).status).toBe(500);
    expect((await ask("PUT", path, {})).json).toMatchObject({ status: 1, statusCode: 500 });
    for (const method of ["PUT", "DELETE", "POST"]) expect((await ask(method, path)).status).toBe(400);
  });

  test("the manager call: sets and adds, keeps the old one as a member, ignores the disabled and guests", async () => {
    const { ask, id, groupId, group } = start();
    const path = `/group/${groupId("Team")}/manager`;
    const answer = await ask("PUT", path, { userId: id("cy") });
    expect(answer.response).toMatchObject({ manager: { id: id("cy") }, membersCount: 3 });
    for (const userId of [id("dan"), id("gus"), id("cy")]) {
      expect((await ask("PUT", path, { userId })).response.manager).toMatchObject({ id: id("cy") });
    }
    for (const userId of [null, undefined, "", "x"]) expect((await ask("PUT", path, { userId })).status).toBe(400);
    expect((await ask("PUT", path, { userId: unknownGuid })).status).toBe(404);
    expect((await ask("PUT", `/group/${unknownGuid}/manager`, { userId: id("cy") })).status).toBe(404);
    expect(group("Team").members.filter((member) => member.role === "manager")).toHaveLength(1);
  });

  test("the manager call asks for the right last", async () => {
    const { ask, as, id, groupId } = start();
    const set = (groupId: string, userId: string) => ask("PUT", `/group/${groupId}/manager`, { userId }, as("user"));
    expect((await set(unknownGuid, id("cy"))).status).toBe(404);
    expect((await set(groupId("Team"), unknownGuid)).status).toBe(404);
    expect((await set(groupId("Team"), id("cy"))).status).toBe(403);
  });

  test("moving empties the source of Active and Pending people, keeps the target's manager, and answers the target", async () => {
    const { ask, id, groupId, truth, group } = start();
    const answer = await ask("PUT", `/group/${groupId("Team")}/members/${groupId("Other")}`);
    expect(answer.response.id).toBe(groupId("Other"));
    expect(memberIds(answer)).toEqual([id("cy"), id("ana"), id("bo")]);
    expect(truth("Team")).toEqual([id("dan")]);
    expect(group("Other").members.every((member) => member.role === "member")).toBe(true);
    expect((await ask("PUT", `/group/${unknownGuid}/members/${groupId("Other")}`)).status).toBe(404);
  });

  test("moving a group onto itself empties it", async () => {
    const { ask, groupId, id, truth } = start();
    await ask("PUT", `/group/${groupId("Team")}/members/${groupId("Team")}`);
    expect(truth("Team")).toEqual([id("dan")]);
  });
});

describe("people", () => {
  test.each([0, 1, 99, 100, 101])("the members of a group of %i, page by page", async (count) => {
    const seed = manyPeople(count);
    const { ask, groupId } = start(
      {},
      { people: seed, groups: [{ name: "Big", members: seed.map((person) => person.id) }] },
    );
    const ids = new Set<unknown>();
    for (let startIndex = 0; startIndex <= count; startIndex += 100) {
      const path = `/people/filter?groupId=${groupId("Big")}&count=100&sortBy=email&startIndex=${startIndex}`;
      const answer = await ask("GET", path);
      expect([answer.rows.length, answer.json.total]).toEqual([Math.min(100, count - startIndex), count]);
      for (const row of answer.rows) ids.add(row.id);
    }
    expect(ids.size).toBe(count);
    expect((await ask("GET", "/people/filter?count=101")).status).toBe(400);
  });

  test("statuses: none shows the disabled to an administrator, 1 and 5 the active alone, 4 the pending, 7 all", async () => {
    const { ask, id, groupId, control, as } = start();
    control.addMember(groupId("Team"), id("pia"));
    const list = async (parameters: string, settings = {}) =>
      rowIds(
        await ask("GET", `/people/filter?groupId=${groupId("Team")}&sortBy=email${parameters}`, undefined, settings),
      );
    const everybody = [id("ana"), id("bo"), id("dan"), id("pia")];
    expect(await list("")).toEqual(everybody);
    expect(await list("&employeeStatus=7")).toEqual(everybody);
    expect(await list("&employeeStatus=1")).toEqual([id("ana"), id("bo")]);
    expect(await list("&employeeStatus=Default")).toEqual([id("ana"), id("bo")]);
    expect(await list("&employeeStatus=pending")).toEqual([id("pia")]);
    expect(await list("&employeeStatus=2")).toEqual([id("dan")]);
    expect(await list("", as("roomAdmin"))).toEqual([id("ana"), id("bo"), id("pia")]);
    expect((await ask("GET", "/people/filter?employeeStatus=99")).status).toBe(400);
    expect((await ask("GET", `/people/filter?groupId=${unknownGuid}`)).json).toMatchObject({ response: [], total: 0 });
    expect((await ask("GET", "/people/filter?groupId=10")).status).toBe(400);
  });

  test("further filters: outside the group, without a group, by type, area, activation, payments, administrators", async () => {
    const { ask, id, groupId } = start();
    const list = async (parameters: string) => rowIds(await ask("GET", `/people/filter?sortBy=email&${parameters}`));
    const outside = await list(`groupId=${groupId("Team")}&excludeGroup=true`);
    expect(outside).toContain(id("cy"));
    expect(outside).not.toContain(id("ana"));
    expect(await list("withoutGroup=true&employeeTypes=4&filterValue=example.org")).toEqual([id("pia")]);
    expect(await list("employeeType=2&filterValue=example.org")).toEqual([id("gus")]);
    expect(await list("employeeType=Guest&filterValue=example.org")).toEqual([id("gus")]);
    expect(await list("area=2&filterValue=example.org")).toEqual([id("gus")]);
    expect(await list("area=1")).not.toContain(id("gus"));
    expect(await list("activationStatus=2")).toEqual([id("pia")]);
    expect(await list("isAdministrator=true")).toEqual(await list("employeeTypes=3"));
    expect(await list("payments=1")).not.toContain((await list("employeeType=3"))[0]);
    expect(await list("accountLoginType=1")).toEqual([]);
    expect(await list("invitedByMe=true")).toEqual([]);
  });

  test("filterValue is a substring: several terms all, with a separator any", async () => {
    const { ask, id } = start();
    const find = async (text: string, separator = "") =>
      rowIds(await ask("GET", `/people/filter?sortBy=email&filterValue=${encodeURIComponent(text)}${separator}`));
    expect(await find("LIND")).toEqual([id("bo")]);
    expect(await find("ana ruiz")).toEqual([id("ana")]);
    expect(await find("ana lind")).toEqual([]);
    expect(await find("ana.ruiz@example.org|cy+lab@example.org", "&filterSeparator=%7C")).toEqual([
      id("ana"),
      id("cy"),
    ]);
    expect(await find("a@example.org")).toContain(id("pia"));
  });

  test("the list of people is the active ones; the light list has no e-mail and no status", async () => {
    const { ask, id } = start();
    const active = rowIds(await ask("GET", "/people"));
    expect(active).toContain(id("gus"));
    expect(active).not.toContain(id("pia"));
    expect(rowIds(await ask("GET", "/people/status/4"))).toEqual([id("pia")]);
    const light = await ask("GET", "/people/simple/filter?filterValue=ana.ruiz");
    expect(light.rows).toHaveLength(1);
    expect(light.rows[0]).toMatchObject({ id: id("ana"), displayName: "Ana Ruiz" });
    expect(light.rows[0]).not.toHaveProperty("email");
    expect(light.rows[0]).not.toHaveProperty("status");
    expect(rowIds(await ask("GET", "/people/search?query=ana%20ruiz"))).toEqual([id("ana")]);
    expect(rowIds(await ask("GET", "/people/@search/cy%2Blab%40example.org"))).toEqual([id("cy")]);
    expect(rowIds(await ask("GET", "/people/status/2/search?query=dan"))).toEqual([id("dan")]);
  });

  test("sorts by each key, and by first name for an unknown one", async () => {
    const { ask } = start();
    const first = async (sortBy: string, order = 0) => {
      const path = `/people/filter?filterValue=example.org&sortBy=${sortBy}&sortOrder=${order}`;
      return (await ask("GET", path)).rows[0]?.firstName;
    };
    expect(await first("firstName", 1)).toBe("Pia");
    expect(await first("nonsense", 1)).toBe("Pia");
    expect(await first("lastName", 1)).toBe("Ana");
    expect(await first("displayName")).toBe("Ana");
    expect(await first("email", 1)).toBe("Pia");
    expect(await first("type", 1)).toBe("Gus");
    expect(await first("department", 1)).toBe("Ana");
    expect(await first("usedSpace")).toBe("Ana");
    expect(await first("createdBy")).toBe("Ana");
    expect(await first("registrationDate")).toBe("Ana");
  });

  test("by e-mail: exact but for case and accents, disabled, pending and guests too, deleted people not", async () => {
    const { ask, id } = start();
    const find = (email: string) => ask("GET", `/people/email?email=${encodeURIComponent(email)}`);
    expect((await find("cy+lab@example.org")).response.id).toBe(id("cy"));
    expect((await find("BO.lind@EXAMPLE.org")).response.id).toBe(id("bo"));
    expect((await find("bó.lind@example.org")).response.id).toBe(id("bo"));
    expect((await find("dan@example.org")).response).toMatchObject({ status: 2, terminated: expect.any(String) });
    expect((await find("pia@example.org")).response.status).toBe(4);
    expect((await find("gus@example.org")).response.isVisitor).toBe(true);
    expect((await find("del@example.org")).status).toBe(404);
    expect((await find("nobody@example.org")).status).toBe(404);
    expect((await ask("GET", "/people/email?email=cy+lab@example.org")).status).toBe(400);
    for (const bad of ["", "  ", "no-at-sign", `${"x".repeat(250)}@example.org`])
      expect((await find(bad)).status).toBe(400);
  });

  test("one person by id or user name; a user sees only itself, a RoomAdmin no strangers' guests", async () => {
    const { ask, as, id, emulator } = start();
    expect((await ask("GET", `/people/${id("ana").toUpperCase()}`)).response.email).toBe("ana.ruiz@example.org");
    expect((await ask("GET", "/people/ana.ruiz")).response.id).toBe(id("ana"));
    expect((await ask("GET", `/people/${id("del")}`)).status).toBe(404);
    expect((await ask("GET", `/people/${unknownGuid}`)).status).toBe(404);
    expect((await ask("GET", `/people/${id("ana")}`, undefined, as("user"))).status).toBe(403);
    const own = emulator.otherCredentials.user?.userId ?? "";
    expect((await ask("GET", `/people/${own}`, undefined, as("user"))).response.id).toBe(own);
    expect((await ask("GET", "/people/email?email=gus@example.org", undefined, as("roomAdmin"))).status).toBe(403);
    expect((await ask("GET", "/people/@self")).response.isOwner).toBe(true);
    expect((await ask("GET", "/people/exists?email=a@example.org")).status).toBe(403);
  });

  test("an invited person is Pending and can be a member at once; a second invitation makes nobody", async () => {
    const { ask, groupId } = start();
    const invite = () => ask("POST", "/people/invite", { invitations: [{ type: 4, email: "new@example.org" }] });
    const invitedId = (await invite()).rows[0]?.id;
    expect((await invite()).rows[0]?.id).toBe(invitedId);
    const answer = await ask("PUT", `/group/${groupId("Other")}`, { membersToAdd: [invitedId] });
    expect(memberIds(answer)).toContain(invitedId);
    expect((await ask("GET", "/people/email?email=new@example.org")).response).toMatchObject({
      id: invitedId,
      status: 4,
    });
    expect((await ask("PUT", "/people/invite", { userIds: [invitedId], resendAll: false })).rows).toHaveLength(1);
    expect((await ask("POST", "/people/invite", { invitations: [{ type: 4, email: "x" }] })).status).toBe(400);
  });

  test("PUT people with department rewrites one's own groups, nobody else's", async () => {
    const { ask, id, groupId, truth, control, emulator } = start();
    const own = emulator.otherCredentials.owner?.userId ?? "";
    control.addMember(groupId("Team"), own);
    expect((await ask("PUT", `/people/${own}`, { department: [groupId("Other"), unknownGuid] })).status).toBe(200);
    expect([truth("Team").includes(own), truth("Other").includes(own)]).toEqual([false, true]);
    expect((await ask("PUT", `/people/${id("ana")}`, { department: [] })).status).toBe(200);
    expect(truth("Team")).toContain(id("ana"));
    expect((await ask("PUT", `/people/${unknownGuid}`, {})).status).toBe(404);
  });
});

describe("switches", () => {
  test("unknown switches and values are refused", () => {
    expect(() => start({ nonsense: 1 })).toThrow(/no switch "nonsense"/);
    expect(() => start({ portal: "500" })).toThrow(/portal/);
    const defaults = Object.fromEntries(Object.entries(docspaceSwitches).map(([name, values]) => [name, values[0]]));
    expect(defaults).toEqual({
      authBody: "empty",
      validationBody: "envelope",
      guidForms: "strict",
      includeMembersDefault: "true",
      nullMembers: "500",
      lag: 0,
      pageDrift: "off",
      retryAfter: "none",
      rateLimit: "off",
      failAfter: "off",
      emptyName: "accept",
      doubleManager: "off",
      managerBefore403: "off",
      systemGroupWrites: "accept",
      emailCase: "insensitive",
      compat: "3.7",
      portal: "ok",
      delay: 0,
    });
  });

  test.each([
    { authBody: "empty", type: null, text: "" },
    { authBody: "problem", type: "application/problem+json", text: '{"title":"Unauthorized","status":401}' },
    {
      authBody: "error",
      type: "application/json; charset=utf-8",
      text: '{"error":{"message":"Unauthorized","type":null,"stack":null,"hresult":0},"status":1,"statusCode":401}',
    },
  ])("authBody $authBody", async ({ authBody, type, text }) => {
    const answer = await start({ authBody }).ask("GET", "/group", undefined, { authorization: null });
    expect([answer.status, answer.headers.get("content-type"), answer.text]).toEqual([401, type, text]);
  });

  test("validationBody plain: problem details without the envelope", async () => {
    const answer = await start({ validationBody: "plain" }).ask("GET", "/group?count=0");
    expect([answer.status, Object.keys(answer.json)]).toEqual([400, ["title", "status", "errors"]]);
  });

  test.each([
    { guidForms: "strict", status: 400 },
    { guidForms: "lenient", status: 200 },
  ])("guidForms $guidForms", async ({ guidForms, status }) => {
    const { ask, id, groupId, truth } = start({ guidForms });
    for (const form of [id("cy").replaceAll("-", ""), `{${id("cy")}}`, `(${id("cy").toUpperCase()})`]) {
      const answer = await ask("PUT", `/group/${groupId("Team")}`, { membersToAdd: [form] });
      expect([form, answer.status]).toEqual([form, status]);
    }
    expect(truth("Team").includes(id("cy"))).toBe(status === 200);
  });

  test.each([
    { includeMembersDefault: "true", has: true },
    { includeMembersDefault: "false", has: false },
  ])("includeMembersDefault $includeMembersDefault", async ({ includeMembersDefault, has }) => {
    const { ask, groupId } = start({ includeMembersDefault });
    expect("members" in (await ask("GET", `/group/${groupId("Team")}`)).response).toBe(has);
    expect("members" in (await ask("GET", `/group/${groupId("Team")}?includeMembers=true`)).response).toBe(true);
    expect("members" in (await ask("PUT", `/group/${groupId("Team")}`, {})).response).toBe(true);
  });

  test("nullMembers 200: nothing happens", async () => {
    const { ask, groupId } = start({ nullMembers: 200 });
    expect((await ask("PUT", `/group/${groupId("Team")}/members`, { members: null })).status).toBe(200);
  });

  test("pageDrift on: rows of equal names are missed or repeated at page edges, unique keys are not", async () => {
    const read = async (switches: Switches, path: string) => {
      const { ask } = start(switches, { people: manyPeople(30), groups: manyGroups(30, "Same") });
      const ids: unknown[] = [];
      for (const startIndex of [0, 10, 20])
        ids.push(...rowIds(await ask("GET", `${path}count=10&startIndex=${startIndex}`)));
      return new Set(ids).size;
    };
    const byEmail = "/people/filter?filterValue=example.org&sortBy=email&";
    const byName = "/people/filter?filterValue=example.org&";
    expect(await read({}, "/group?")).toBe(30);
    expect(await read({}, byName)).toBe(30);
    expect(await read({ pageDrift: "on" }, "/group?")).toBeLessThan(30);
    expect(await read({ pageDrift: "on" }, "/people/filter?filterValue=example.org&sortBy=firstName&")).toBeLessThan(
      30,
    );
    expect(await read({ pageDrift: "on" }, byEmail)).toBe(30);
  });

  test("rateLimit: so many requests a minute and owner, whatever the key; the log-in of others is not touched", async () => {
    const { ask, as, pass } = start({ rateLimit: 2 });
    expect((await ask("GET", "/group")).status).toBe(200);
    pass(30_000);
    expect((await ask("GET", "/group", undefined, as("readOnly"))).status).toBe(200);
    const rejected = await ask("GET", "/group", undefined, as("writeOnly"));
    expect([rejected.status, rejected.text, rejected.headers.get("retry-after")]).toEqual([429, "", null]);
    expect(rejected.headers.get("x-ratelimit-limit")).toBe("2");
    expect((await ask("GET", "/group", undefined, as("admin"))).status).toBe(200);
    pass(30_000);
    expect((await ask("GET", "/group")).status).toBe(200);
    expect((await ask("GET", "/group")).status).toBe(429);
  });

  test.each([
    { retryAfter: "none", sliding: null, daily: null },
    { retryAfter: "daily", sliding: null, daily: String(12 * 3600 - 120) },
    { retryAfter: "always", sliding: "60", daily: String(12 * 3600 - 120) },
  ])("retryAfter $retryAfter", async ({ retryAfter, sliding, daily }) => {
    const { ask, pass } = start({ retryAfter, rateLimit: 5001 });
    // Noon: twelve hours are left of the day whose 10,000 POST and PUT are about to be used.
    const write = () => ask("PUT", `/group/${unknownGuid}`, {});
    for (let count = 0; count < 5001; count++) await write();
    expect((await write()).headers.get("retry-after")).toBe(sliding);
    pass(60_000);
    for (let count = 0; count < 4999; count++) await write();
    pass(60_000);
    const rejected = await write();
    expect([rejected.status, rejected.headers.get("retry-after")]).toEqual([429, daily]);
    expect(rejected.headers.has("x-ratelimit-reset")).toBe(daily !== null);
    expect((await ask("DELETE", `/group/${unknownGuid}`)).status).toBe(404);
    pass(12 * 3_600_000);
    expect((await write()).status).toBe(404);
  });

  test("with limits on, only 15 writes of one owner run at once", async () => {
    const { ask } = start({ rateLimit: 1000 });
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask("PUT", `/group/${unknownGuid}`, {})));
    expect(answers.filter((answer) => answer.status === 429)).toHaveLength(5);
    expect((await ask("PUT", `/group/${unknownGuid}`, {})).status).toBe(404);
  });

  test("failAfter: what was saved before the failure stays", async () => {
    const { ask, id, groupId, truth, group } = start({ failAfter: 1 });
    const body = { groupName: "Team", membersToAdd: [id("cy"), id("pia")], membersToRemove: [id("bo")] };
    const answer = await ask("PUT", `/group/${groupId("Team")}`, body);
    expect([answer.status, answer.json.statusCode]).toEqual([500, 500]);
    expect(truth("Team")).toEqual([id("ana"), id("bo"), id("dan"), id("cy")]);
    expect((await ask("PUT", `/group/${groupId("Other")}`, { membersToAdd: [id("bo")] })).status).toBe(200);
    expect(group("Other").members).toHaveLength(2);
  });

  test("failAfter in a replacement leaves the group without its members", async () => {
    const { ask, id, groupId, truth } = start({ failAfter: 2 });
    expect((await ask("POST", `/group/${groupId("Team")}/members`, { members: [id("cy")] })).status).toBe(500);
    expect(truth("Team")).toEqual([id("dan")]);
  });

  test.each([
    { emptyName: "accept", status: 200, name: "" },
    { emptyName: "400", status: 400, name: "Team" },
  ])("emptyName $emptyName", async ({ emptyName, status, name }) => {
    const { ask, groupId } = start({ emptyName });
    const path = `/group/${groupId("Team")}`;
    expect((await ask("PUT", path, { groupName: "" })).status).toBe(status);
    expect((await ask("GET", path)).response.name).toBe(name);
    expect((await ask("PUT", path, { groupName: "🧪" })).status).toBe(status);
    expect((await ask("POST", "/group", { groupName: "🧪" })).status).toBe(status);
  });

  test("doubleManager 403: two manager rows make every read of the group fail, until one manager is set", async () => {
    const { ask, id, groupId, control } = start({ doubleManager: "403" });
    const team = groupId("Team");
    control.addMember(team, id("bo"), "manager");
    expect((await ask("GET", `/group/${team}`)).status).toBe(403);
    expect((await ask("GET", "/group")).status).toBe(403);
    expect((await ask("GET", `/people/filter?groupId=${team}`)).status).toBe(200);
    expect((await ask("PUT", `/group/${team}/manager`, { userId: id("ana") })).status).toBe(200);
    expect((await ask("GET", `/group/${team}`)).response.manager).toMatchObject({ id: id("ana") });
  });

  test("doubleManager off: a second manager takes the place of the first", async () => {
    const { ask, id, groupId, control } = start();
    control.addMember(groupId("Team"), id("bo"), "manager");
    expect((await ask("GET", `/group/${groupId("Team")}`)).response.manager).toMatchObject({ id: id("bo") });
  });

  test.each([
    { managerBefore403: "off", manager: "ana" },
    { managerBefore403: "on", manager: "cy" },
  ])("managerBefore403 $managerBefore403", async ({ managerBefore403, manager }) => {
    const { ask, as, id, groupId } = start({ managerBefore403 });
    const path = `/group/${groupId("Team")}`;
    expect((await ask("PUT", `${path}/manager`, { userId: id("cy") }, as("user"))).status).toBe(403);
    const answer = await ask("GET", path);
    expect(answer.response.manager).toMatchObject({ id: id(manager) });
    expect(memberIds(answer)).not.toContain(id("cy"));
  });

  test("systemGroupWrites accept: adding to a built-in group changes what a person is", async () => {
    const { ask, id, truth } = start();
    await ask("PUT", `/group/${roomAdminsId}`, { membersToAdd: [id("bo")] });
    expect((await ask("GET", `/people/${id("bo")}`)).response.isRoomAdmin).toBe(true);
    await ask("DELETE", `/group/${roomAdminsId}/members`, { members: [id("bo")] });
    expect((await ask("GET", `/people/${id("bo")}`)).response.isCollaborator).toBe(true);
    await ask("PUT", "/group/aced04fa-dd96-4b35-af3e-346bf1eb972d/members", { members: [id("bo")] });
    expect((await ask("GET", `/people/${id("bo")}`)).response.isVisitor).toBe(true);
    expect(truth("Team")).not.toContain(id("bo"));
  });

  test("systemGroupWrites 403: refused as an operation, LDAP groups are not", async () => {
    const { ask, id, groupId } = start({ systemGroupWrites: 403 }, { groups: [{ name: "LDAP", kind: "directory" }] });
    expect((await ask("PUT", `/group/${roomAdminsId}`, { membersToAdd: [id("bo")] })).status).toBe(403);
    expect((await ask("DELETE", `/group/${everyoneId}`)).status).toBe(403);
    expect((await ask("PUT", `/group/${groupId("LDAP")}`, { membersToAdd: [id("bo")] })).response.membersCount).toBe(1);
  });

  test("emailCase sensitive: as typed or not at all", async () => {
    const { ask, id } = start({ emailCase: "sensitive" });
    expect((await ask("GET", "/people/email?email=Bo.Lind@example.org")).response.id).toBe(id("bo"));
    expect((await ask("GET", "/people/email?email=bo.lind@example.org")).status).toBe(404);
  });

  test.each([
    { compat: 3.7, page: 400, create: 400, wipe: 400, moved: ["dan"], nothing: 200 },
    { compat: "3.6", page: 400, create: 200, wipe: 200, moved: ["ana", "bo", "dan"], nothing: 500 },
    { compat: "3.1", page: 200, create: 200, wipe: 200, moved: ["ana", "bo", "dan"], nothing: 500 },
  ])("compat $compat", async ({ compat, page, create, wipe, moved, nothing }) => {
    const { ask, id, groupId, truth } = start({ compat });
    expect((await ask("GET", "/group?count=5000")).status).toBe(page);
    const created = await ask("POST", "/group", {
      groupName: "New",
      members: [unknownGuid, id("bo")],
      groupManager: id("dan"),
    });
    expect(created.status).toBe(create);
    expect((await ask("DELETE", `/group/${groupId("Team")}/members`, {})).status).toBe(nothing);
    await ask("PUT", `/group/${groupId("Team")}/members/${groupId("Other")}`);
    expect(truth("Team")).toEqual(moved.map(id));
    expect(truth("Other")).toHaveLength(3);
    expect((await ask("POST", `/group/${groupId("Other")}/members`, { members: [] })).status).toBe(wipe);
    expect(truth("Other")).toHaveLength(wipe === 200 ? 0 : 3);
  });

  test("compat 3.1 cuts a page down to 1000", async () => {
    const { ask } = start({ compat: "3.1" }, { groups: manyGroups(1001) });
    expect((await ask("GET", "/group?count=5000")).rows).toHaveLength(1000);
  });

  test.each([
    { portal: "404", groups: 404, people: 404 },
    { portal: 402, groups: 402, people: 200 },
    { portal: "403", groups: 403, people: 403 },
    { portal: "502html", groups: 502, people: 502 },
  ])("portal $portal", async ({ portal, groups, people }) => {
    const { ask, id } = start({ portal });
    const answer = await ask("GET", "/group");
    expect(answer.status).toBe(groups);
    expect(answer.text.startsWith("<html>")).toBe(portal === "502html");
    expect((await ask("GET", "/people/filter")).status).toBe(people);
    expect((await ask("GET", `/people/${id("ana")}`)).status).toBe(people);
    expect((await ask("GET", "/people/simple/filter")).status).toBe(groups);
    const anonymous = await ask("GET", "/group", undefined, { authorization: null });
    expect(anonymous.status).toBe(portal === "502html" ? 502 : 401);
  });

  test("delay: the work is done, the answer comes late", async () => {
    const { ask, groupId, group } = start({ delay: 60 });
    const began = performance.now();
    const waiting = ask("PUT", `/group/${groupId("Team")}`, { groupName: "Slow" });
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    expect(group("Slow").name).toBe("Slow");
    expect((await waiting).status).toBe(200);
    expect(performance.now() - began).toBeGreaterThanOrEqual(50);
  });
});

describe("lag", () => {
  test("the switch: a write shows to readers only after so many milliseconds, in its own answer and to control at once", async () => {
    const { ask, id, groupId, truth, pass } = start({ lag: 1000 });
    const team = groupId("Team");
    const answer = await ask("PUT", `/group/${team}`, {
      groupName: "Team",
      membersToAdd: [id("cy")],
      membersToRemove: [id("bo")],
    });
    expect(memberIds(answer)).toEqual([id("ana"), id("cy")]);
    expect(truth("Team")).toEqual([id("ana"), id("dan"), id("cy")]);
    const read = async () => [
      memberIds(await ask("GET", `/group/${team}`)),
      rowIds(await ask("GET", `/people/filter?groupId=${team}&employeeStatus=1&sortBy=email`)),
      (await ask("GET", `/group?userId=${id("cy")}`)).json.total,
    ];
    const before = [[id("ana"), id("bo")], [id("ana"), id("bo")], 1];
    expect(await read()).toEqual(before);
    pass(999);
    expect(await read()).toEqual(before);
    pass(1);
    expect(await read()).toEqual([[id("ana"), id("cy")], [id("ana"), id("cy")], 2]);
  });

  test("a mark concerns its request alone, and edits by control show through a lag at once", async () => {
    const { ask, id, groupId, control, pass } = start();
    const team = groupId("Team");
    const path = `/group/${team}`;
    await ask("PUT", path, { membersToAdd: [id("cy")] }, { lagMs: 500 });
    control.removeMember(team, id("bo"));
    await ask("PUT", path, { membersToAdd: [id("pia")] });
    expect(memberIds(await ask("GET", path))).toEqual([id("ana"), id("pia")]);
    await ask("PUT", path, { membersToRemove: [id("ana")] }, { lagMs: 200 });
    pass(200);
    expect(memberIds(await ask("GET", path))).toEqual([id("pia")]);
    pass(300);
    expect(new Set(memberIds(await ask("GET", path)))).toEqual(new Set([id("cy"), id("pia")]));
  });

  test("a later write with a shorter lag shows first, and neither undoes the other", async () => {
    const { ask, id, groupId, pass } = start();
    const path = `/group/${groupId("Other")}`;
    await ask("PUT", path, { membersToAdd: [id("ana")] }, { lagMs: 1000 });
    await ask("PUT", path, { membersToAdd: [id("bo")] }, { lagMs: 100 });
    await ask("PUT", path, { membersToRemove: [id("cy")] }, { lagMs: 1000 });
    const read = async () => new Set(memberIds(await ask("GET", path)));
    expect(await read()).toEqual(new Set([id("cy")]));
    pass(100);
    expect(await read()).toEqual(new Set([id("cy"), id("bo")]));
    pass(900);
    expect(await read()).toEqual(new Set([id("ana"), id("bo")]));
  });

  test("created, renamed and deleted groups and invited people follow it too", async () => {
    const { ask, groupId, control, pass } = start({ lag: 100 });
    const made = await ask("POST", "/group", { groupName: "New" });
    const path = `/group/${String(made.response.id)}`;
    await ask("PUT", `/group/${groupId("Other")}`, { groupName: "Renamed" });
    const team = groupId("Team");
    expect((await ask("DELETE", `/group/${team}`)).status).toBe(204);
    expect((await ask("DELETE", `/group/${team}`)).status).toBe(404);
    await ask("POST", "/people/invite", { invitations: [{ type: 4, email: "new@example.org" }] });
    const names = async () => (await ask("GET", "/group")).rows.map((row) => row.name);
    expect(control.groups().map((group) => group.name)).toEqual(["Renamed", "New"]);
    expect(await names()).toEqual(["Other", "Team"]);
    expect((await ask("GET", path)).status).toBe(404);
    expect((await ask("GET", `/group/${team}`)).status).toBe(200);
    expect((await ask("GET", "/people/email?email=new@example.org")).status).toBe(404);
    expect((await ask("GET", "/people/filter?filterValue=new@")).json.total).toBe(0);
    pass(100);
    expect(await names()).toEqual(["New", "Renamed"]);
    expect((await ask("GET", path)).status).toBe(200);
    expect((await ask("GET", "/people/email?email=new@example.org")).status).toBe(200);
    expect((await ask("GET", "/people/filter?filterValue=new@")).json.total).toBe(1);
  });
});

describe("control and state", () => {
  test("edits made by others are seen at once", async () => {
    const { ask, control, id } = start();
    const account = control.addPerson({ id: "eve", email: "eve@example.org", name: "Eve" });
    const group = control.addGroup({ name: "Made by hand", members: ["eve"], managers: ["bo", "ana"], owners: ["cy"] });
    const answer = await ask("GET", `/group/${group}`);
    expect(new Set(memberIds(answer))).toEqual(new Set([account, id("bo"), id("ana"), id("cy")]));
    expect(answer.response.manager).toMatchObject({ id: id("bo") });
    control.addMember(group, id("bo"), "member");
    expect((await ask("GET", `/group/${group}`)).response).not.toHaveProperty("manager");
    control.renameGroup(group, "Renamed");
    expect((await ask("GET", `/group/${group}`)).response.name).toBe("Renamed");
    control.deleteGroup(group);
    expect((await ask("GET", `/group/${group}`)).status).toBe(404);
    expect(control.accountOf("elsewhere")).toBeUndefined();
    expect(control.answerInvitations("accept")).toBe(0);
  });

  test("edits of what is not there throw", () => {
    const { control, groupId, id } = start();
    expect(() => control.addMember(unknownGuid, id("ana"))).toThrow(/no group/);
    expect(() => control.addMember(groupId("Team"), unknownGuid)).toThrow(/no account/);
    expect(() => control.addPerson({ id: "ana", email: "other@example.org" })).toThrow(/already/);
    expect(() => control.setPersonStatus(unknownGuid, "active")).toThrow(/no account/);
  });

  test("a saved state comes back whole, more than once, whatever happened since", async () => {
    const { ask, control, emulator, id, groupId } = start();
    const saved = emulator.saveState();
    const before = JSON.stringify(control.groups());
    const team = groupId("Team");
    for (const _ of [1, 2]) {
      await ask("PUT", `/group/${team}`, { groupName: "Changed", membersToRemove: [id("ana")] });
      const made = await ask("POST", "/group", { groupName: "New", members: [id("ana")] });
      control.setPersonStatus(id("bo"), "disabled");
      control.expireTokens();
      expect(JSON.stringify(control.groups())).not.toBe(before);
      emulator.restoreState(saved);
      expect(JSON.stringify(control.groups())).toBe(before);
      expect((await ask("GET", `/group/${String(made.response.id)}`)).status).toBe(404);
      expect((await ask("GET", `/people/${id("bo")}`)).response.status).toBe(1);
      expect((await ask("GET", `/people/filter?groupId=${team}`)).json.total).toBe(3);
    }
  });

  test("two emulators of one seed answer alike", async () => {
    const talk = async () => {
      const { ask, id, groupId, emulator } = start();
      const answers = [
        await ask("POST", "/group", { groupName: "New", members: [id("ana")] }),
        await ask("PUT", `/group/${groupId("Team")}`, { membersToAdd: [id("pia")] }),
        await ask("POST", "/people/invite", { invitations: [{ type: 4, email: "new@example.org" }] }),
        await ask("GET", "/people/filter"),
        await ask("GET", "/group"),
        await ask("POST", "/authentication", {
          userName: emulator.otherCredentials.owner?.userName,
          password: "sandbox-password",
        }),
      ];
      return answers.map((answer) => answer.text);
    };
    expect(await talk()).toEqual(await talk());
  });

  test("the bodies for faults from outside are the service's own", () => {
    const { emulator } = start();
    expect(emulator.rateLimitBody(30).body).toBe("");
    expect(emulator.rateLimitBody(undefined).headers).toHaveProperty("X-RateLimit-Limit");
    expect(emulator.serverErrorBody(500)).toMatchObject({ status: 1, statusCode: 500 });
    expect(emulator.listKeys).toEqual(["response", "members"]);
  });
});

interface Recording {
  readonly call: { readonly method: string };
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query: readonly (readonly [string, string])[];
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
  };
  readonly note?: string;
}

const recordings = JSON.parse(
  readFileSync(new URL("../fixtures/wire/docspace.json", import.meta.url), "utf8"),
) as readonly Recording[];

/** Writes out the marks for shortened lists. */
function expand(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expand);
  if (typeof value !== "object" || value === null) return value;
  const { $list } = value as { $list?: { count: number; first: string } };
  if (!$list) return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, expand(inner)]));
  const start = Number.parseInt($list.first.slice(-12), 16);
  return Array.from(
    { length: $list.count },
    (_, index) => $list.first.slice(0, -12) + (start + index).toString(16).padStart(12, "0"),
  );
}

describe("the emulator understands every recording", () => {
  /** Why a recording does not end in a success, by its place in the file. Everything not listed here is a 2xx. */
  const exceptions: Readonly<Record<number, { status: number; reason: string }>> = {
    10: { status: 404, reason: "no valid id: the vendor's route constraint gives 404 too" },
    37: { status: 400, reason: "an empty replacement fails on servers since 3.7" },
    40: { status: 404, reason: "reaches the sharing view; the sandbox has no rooms" },
    41: { status: 404, reason: "reaches the sharing view; the sandbox has no rooms" },
    42: { status: 404, reason: "reaches the sharing view; the sandbox has no folders" },
    43: { status: 404, reason: "reaches the sharing view; the sandbox has no folders" },
    44: { status: 404, reason: "reaches the sharing view; the sandbox has no files" },
    85: { status: 404, reason: "/portal is another service of the vendor, outside the sheet" },
    86: { status: 404, reason: "/portal is another service of the vendor, outside the sheet" },
    87: { status: 404, reason: "/portal is another service of the vendor, outside the sheet" },
    95: { status: 401, reason: "sends no Authorization" },
  };
  /** A 404 of no route at all has no body, that of a thing which is not there is shape 1. Nor have 204 and 401 one. */
  const withoutBody = new Set([10, 28, 85, 86, 87, 95]);

  const recordedPeople = [
    ...manyPeople(100),
    ...[
      "ana.ruiz@example.org",
      "ana+lab@example.org",
      "jürgen.müller@exämple.org",
      "Mixed.Case@Example.ORG",
      "r&d@example.org",
      "50%off@example.org",
    ].map((email, index) => ({ id: `mail${index}`, email })),
  ];

  test.each(recordings.map((recording, index) => ({ index, name: recording.call.method, recording })))(
    "$index $name",
    async ({ index, recording }) => {
      const { emulator, groupId, id } = start(
        {},
        { people: recordedPeople, groups: [{ name: "One", members: ["p0", "p1", "p2"] }, { name: "Two" }] },
      );
      const owner = emulator.otherCredentials.owner ?? {};
      // The recorded people and groups, in the ids of this portal.
      const mapped = (text: string): string =>
        text
          .replaceAll(/3f1c9a52-7b1e-4f6d-9c2a-([0-9a-f]{12})/g, (_, digits: string) =>
            id(`p${Number.parseInt(digits, 16) - 1}`),
          )
          .replaceAll("b7d4e0aa-52c3-4a8e-8f10-000000000001", groupId("One"))
          .replaceAll("b7d4e0aa-52c3-4a8e-8f10-000000000002", groupId("Two"))
          .replaceAll("j%C3%BCrgen%20m%C3%BCller%2Bx%40y", "j%C3%BCrgen.m%C3%BCller")
          .replaceAll("sync@example.org", owner.userName ?? "")
          .replaceAll("example-password", owner.password ?? "");
      const { request } = recording;
      const headers = new Headers(request.headers);
      if (request.headers.authorization?.startsWith("Bearer ")) {
        headers.set("authorization", `Bearer ${emulator.credentials.apiKey}`);
      } else if (request.headers.authorization?.startsWith("Basic ")) {
        const pair = Buffer.from(`${owner.userName}:${owner.password}`).toString("base64");
        headers.set("authorization", `Basic ${pair}`);
      }
      const query = new URLSearchParams(request.query.map(([name, value]): [string, string] => [name, mapped(value)]));
      const body = "body" in request ? mapped(JSON.stringify(expand(request.body))) : null;
      const url = `http://sandbox.invalid${mapped(request.path)}${query.size > 0 ? `?${query.toString()}` : ""}`;
      const response = await emulator.app.request(new Request(url, { method: request.method, headers, body }));
      const text = await response.text();
      const exception = exceptions[index];
      expect({ status: response.ok ? "2xx" : response.status, hasBody: text !== "", text }).toEqual({
        status: exception?.status ?? "2xx",
        hasBody: !withoutBody.has(index),
        text,
      });
    },
  );
});
