import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createGenesysEmulator, genesysSwitches } from "../../src/sandbox/genesys.js";
import { type Emulator, markRequest, type Seed, type SeedGroup, type SeedPerson } from "../../src/sandbox/kit.js";

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // Answers are looked at field by field; their shape is what the tests are about.
  readonly body: Body;
}

interface Entity {
  readonly id: string;
  readonly name: string;
  readonly email: string;
  readonly state: string;
}

interface Body {
  readonly entities: readonly Entity[];
  readonly results: readonly Entity[];
  readonly Resources: readonly Entity[];
  readonly [field: string]: unknown;
}

interface Desk {
  readonly emulator: Emulator;
  readonly clock: { now: number };
  readonly token: string;
  readonly call: (method: string, path: string, body?: unknown, extra?: CallExtra) => Promise<Answer>;
  readonly login: (credentials: Readonly<Record<string, string>>) => Promise<string>;
  /** The id of a person, who must have an account. */
  readonly person: (id: string) => string;
  /** The true group of a name. */
  readonly group: (name: string) => ReturnType<Emulator["control"]["groups"]>[number];
}

interface CallExtra {
  readonly token?: string;
  readonly lagMs?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const basic = (id: string | undefined, secret: string | undefined) =>
  `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;

function logIn(emulator: Emulator, authorization: string, form = "grant_type=client_credentials") {
  return emulator.app.request("/oauth/token", {
    method: "POST",
    headers: { authorization, "content-type": "application/x-www-form-urlencoded" },
    body: form,
  });
}

async function open(seed: Partial<Seed> = {}, switches: Readonly<Record<string, string | number>> = {}): Promise<Desk> {
  const clock = { now: 1_750_000_000_000 };
  const emulator = createGenesysEmulator({
    seed: { people: seed.people ?? [], groups: seed.groups ?? [] },
    switches,
    now: () => clock.now,
  });
  const login = async (credentials: Readonly<Record<string, string>>) => {
    const response = await logIn(emulator, basic(credentials.clientId, credentials.clientSecret));
    const { access_token } = (await response.json()) as { access_token: string };
    return access_token;
  };
  const token = await login(emulator.credentials);
  return {
    emulator,
    clock,
    token,
    login,
    call: async (method, path, body, extra = {}) => {
      const headers: Record<string, string> = { authorization: `Bearer ${extra.token ?? token}` };
      if (body !== undefined) headers["content-type"] = "application/json";
      const request = new Request(`http://sandbox${path}`, {
        method,
        headers: { ...headers, ...extra.headers },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      if (extra.lagMs !== undefined) markRequest(request, { lagMs: extra.lagMs });
      const response = await emulator.app.request(request);
      const text = await response.text();
      const json = text === "" ? {} : (JSON.parse(text) as Body);
      return { status: response.status, headers: response.headers, text, body: json as Body };
    },
    person: (id) => {
      const account = emulator.control.accountOf(id);
      if (account === undefined) throw new Error(`no account for ${id}`);
      return account;
    },
    group: (name) => {
      const found = emulator.control.groups().find((group) => group.name === name);
      if (!found) throw new Error(`no group ${name}`);
      return found;
    },
  };
}

const people = (count: number): SeedPerson[] =>
  Array.from({ length: count }, (_, index) => {
    const id = `p${String(index).padStart(6, "0")}`;
    return { id, email: `${id}@example.org`, name: `Person ${id}` };
  });

const idsOf = (count: number) => people(count).map(({ id }) => id);

const ana: SeedPerson = { id: "ana", email: "Ana.Ruiz@Example.org", name: "Ana Ruiz" };
const ben: SeedPerson = { id: "ben", email: "ben@example.org", name: "Ben" };
const cleo: SeedPerson = { id: "cleo", email: "cleo@example.org", name: "Cleo", status: "disabled" };
const dora: SeedPerson = { id: "dora", email: "dora@example.org", name: "Dora", status: "deleted" };
const elsewhere: SeedPerson = { id: "eve", email: "eve@example.org", services: ["neuroio"] };
const nightShift: SeedGroup = { name: "Night shift", members: ["ana"], owners: ["ben"] };
const skilled: SeedGroup = { name: "Skilled", members: ["ana", "ben"], kind: "dynamic" };
const small: Seed = { people: [ana, ben, cleo, dora, elsewhere], groups: [nightShift, skilled] };

const individualsOf = async (desk: Desk, name: string) => {
  const { body } = await desk.call("GET", `/api/v2/groups/${desk.group(name).id}/individuals`);
  return body.entities.map(({ id }) => id);
};

const versionOf = async (desk: Desk, name: string) =>
  Number((await desk.call("GET", `/api/v2/groups/${desk.group(name).id}`)).body.version);

/** Adds people to a group with the version read just before. */
const add = async (desk: Desk, name: string, memberIds: readonly string[], extra: CallExtra = {}) =>
  desk.call(
    "POST",
    `/api/v2/groups/${desk.group(name).id}/members`,
    { memberIds, version: await versionOf(desk, name) },
    extra,
  );

const remove = (desk: Desk, name: string, ids: readonly string[], extra: CallExtra = {}) =>
  desk.call("DELETE", `/api/v2/groups/${desk.group(name).id}/members?ids=${ids.join(",")}`, undefined, extra);

const directMembers = (desk: Desk, name: string) =>
  desk
    .group(name)
    .members.filter(({ direct }) => direct)
    .map(({ account }) => account);

describe("logging in", () => {
  test("client credentials give a token for a day", async () => {
    const { emulator } = await open();
    const response = await logIn(emulator, basic(emulator.credentials.clientId, emulator.credentials.clientSecret));
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      access_token: "sandbox-genesys-token-2",
      token_type: "bearer",
      expires_in: 86_400,
    });
  });

  test.each([
    ["400", 400],
    ["401", 401],
  ])("a wrong secret is invalid_client (wrongSecret %s)", async (wrongSecret, status) => {
    const { emulator } = await open({}, { wrongSecret });
    const wrong = emulator.otherCredentials.wrongSecret;
    const response = await logIn(emulator, basic(wrong?.clientId, wrong?.clientSecret));
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: "invalid_client", error_description: expect.any(String) });
  });

  test("other grants, no grant and no Basic header are refused", async () => {
    const { emulator } = await open();
    const good = basic(emulator.credentials.clientId, emulator.credentials.clientSecret);
    expect(await (await logIn(emulator, good, "grant_type=password")).json()).toMatchObject({
      error: "unsupported_grant_type",
    });
    expect(await (await logIn(emulator, good, "")).json()).toMatchObject({ error: "invalid_request" });
    expect(await (await logIn(emulator, "Bearer x")).json()).toMatchObject({ error: "invalid_client" });
  });

  test("throttling of the log-in is a 400 with its own words", async () => {
    const { emulator } = await open({}, { rateLimit: 1 });
    const response = await logIn(emulator, basic(emulator.credentials.clientId, emulator.credentials.clientSecret));
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: "invalid_request",
      error_description: expect.stringMatching(/^rate limit exceeded;/),
    });
  });

  test.each([
    ["bad.credentials", "bad.credentials"],
    ["authentication.required", "authentication.required"],
  ])("a bad token is 401 with code %s, a missing one authentication.required", async (authCode, code) => {
    const { call, emulator } = await open({}, { authCode });
    const bad = await call("GET", "/api/v2/groups", undefined, { token: "nonsense" });
    expect([bad.status, bad.body.code]).toEqual([401, code]);
    const missing = await emulator.app.request("/api/v2/groups");
    expect(missing.status).toBe(401);
    expect(await missing.json()).toMatchObject({ code: "authentication.required", status: 401 });
  });

  test("a token ends with its day, with expireTokens and with DELETE tokens/me; a new log-in works", async () => {
    const desk = await open();
    desk.clock.now += 86_400_000;
    expect((await desk.call("GET", "/api/v2/tokens/me")).status).toBe(401);
    const second = await desk.login(desk.emulator.credentials);
    expect((await desk.call("GET", "/api/v2/tokens/me", undefined, { token: second })).status).toBe(200);
    desk.emulator.control.expireTokens();
    expect((await desk.call("GET", "/api/v2/tokens/me", undefined, { token: second })).status).toBe(401);
    const third = await desk.login(desk.emulator.credentials);
    expect((await desk.call("DELETE", "/api/v2/tokens/me", undefined, { token: third })).status).toBe(200);
    expect((await desk.call("GET", "/api/v2/tokens/me", undefined, { token: third })).status).toBe(401);
  });

  test("a client has an organisation but is no user", async () => {
    const { call } = await open();
    expect((await call("GET", "/api/v2/organizations/me")).body.name).toBe("Sandbox");
    expect((await call("GET", "/api/v2/tokens/me")).body.organization).toMatchObject({ name: "Sandbox" });
    expect((await call("GET", "/api/v2/users/me")).status).toBe(400);
  });
});

describe("every answer", () => {
  test("carries a correlation id, which is the contextId of an error", async () => {
    const { call } = await open();
    const fine = await call("GET", "/api/v2/groups");
    expect(fine.headers.get("ININ-Correlation-Id")).toMatch(/^[0-9a-f-]{36}$/);
    const refused = await call("GET", "/api/v2/groups/none");
    expect(refused.headers.get("ININ-Correlation-Id")).toBe(refused.body.contextId);
    expect(refused.body).toEqual({
      message: "Unable to find a group with that groupId",
      code: "general.resource.not.found",
      status: 404,
      details: [],
      errors: [],
      contextId: expect.any(String),
    });
  });

  test("says how much of the rate limit is used", async () => {
    const { call, clock } = await open();
    await call("GET", "/api/v2/groups");
    clock.now += 20_000;
    const { headers } = await call("GET", "/api/v2/groups");
    expect(headers.get("inin-ratelimit-count")).toBe("2");
    expect(headers.get("inin-ratelimit-allowed")).toBe("300");
    expect(headers.get("inin-ratelimit-reset")).toBe("40");
  });

  test("an unknown path is not.found, which no existing route says", async () => {
    const { call } = await open();
    const { status, body } = await call("PATCH", "/api/v2/groups/x");
    expect([status, body.code]).toEqual([404, "not.found"]);
  });

  test.each([
    ["{", 400, "bad.request", "application/json"],
    ["{}", 415, "unsupported.media.type", "text/plain"],
    [JSON.stringify({ name: "x".repeat(512_000) }), 413, "request.entity.too.large", "application/json"],
  ])("a body that is broken, of another type or too large is refused (%#)", async (body, status, code, type) => {
    const { call } = await open();
    const answer = await call("POST", "/api/v2/groups", body, { headers: { "content-type": type } });
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  test("a body that does not fit its model is invalid.value and names the field", async () => {
    const { call } = await open();
    const { status, body } = await call("POST", "/api/v2/groups", { name: "A", type: "secret" });
    expect(status).toBe(400);
    expect(body).toMatchObject({
      code: "invalid.value",
      message: expect.stringMatching(/^Value \[secret\] is not valid for field type \[/),
      details: [{ errorCode: "invalid.value", fieldName: "type" }],
    });
  });
});

describe("permissions", () => {
  const attempts = [
    ["POST", "/api/v2/groups", "directory:group:add"],
    ["PUT", "/api/v2/groups/{id}", "directory:group:edit"],
    ["DELETE", "/api/v2/groups/{id}", "directory:group:delete"],
    ["POST", "/api/v2/groups/{id}/members", "directory:group:edit"],
    ["DELETE", "/api/v2/groups/{id}/members?ids=x", "directory:group:edit"],
    ["GET", "/api/v2/groups/{id}/dynamicsettings", "directory:group:view"],
    ["PUT", "/api/v2/groups/{id}/dynamicsettings", "directory:group:edit"],
    ["DELETE", "/api/v2/groups/{id}/dynamicsettings", "directory:group:delete"],
    ["POST", "/api/v2/groups/dynamicsettings/preview", "directory:group:view"],
    ["POST", "/api/v2/users/search", "directory:user:view"],
    ["GET", "/api/v2/users/search?q64=e30=", "directory:user:view"],
  ] as const;

  test.each(attempts)("%s %s without any right is 403 and names %s", async (method, path, permission) => {
    const desk = await open(small);
    const token = await desk.login(desk.emulator.otherCredentials.noRights ?? {});
    const { status, body } = await desk.call(
      method,
      path.replace("{id}", desk.group("Night shift").id),
      method === "GET" || method === "DELETE" ? undefined : {},
      { token },
    );
    expect([status, body.code]).toEqual([403, "missing.permissions"]);
    expect(body.message).toBe(
      `Unable to perform the requested action. You are missing the following permission(s): ${permission}`,
    );
  });

  test("general search needs any of two rights", async () => {
    const desk = await open();
    const token = await desk.login(desk.emulator.otherCredentials.noRights ?? {});
    const { status, body } = await desk.call("POST", "/api/v2/search?profile=true", { types: ["users"] }, { token });
    expect([status, body.code]).toEqual([403, "missing.any.permissions"]);
  });

  test("reading groups and people needs no right", async () => {
    const desk = await open(small);
    const token = await desk.login(desk.emulator.otherCredentials.noRights ?? {});
    const { id } = desk.group("Night shift");
    const paths = ["groups", `groups/${id}`, `groups/${id}/members`, `groups/${id}/individuals`, "users"];
    for (const path of [...paths, `users/${desk.person("ana")}`, `groups/${id}/profile`]) {
      expect([path, (await desk.call("GET", `/api/v2/${path}`, undefined, { token })).status]).toEqual([path, 200]);
    }
    expect((await desk.call("POST", "/api/v2/groups/search", {}, { token })).status).toBe(200);
  });

  test("an editor changes members but makes no group; a reader changes nothing", async () => {
    const desk = await open(small);
    const editor = await desk.login(desk.emulator.otherCredentials.editor ?? {});
    const reader = await desk.login(desk.emulator.otherCredentials.readOnly ?? {});
    expect((await add(desk, "Night shift", [desk.person("ben")], { token: editor })).status).toBe(202);
    expect((await desk.call("POST", "/api/v2/groups", {}, { token: editor })).status).toBe(403);
    expect((await remove(desk, "Night shift", [desk.person("ben")], { token: reader })).status).toBe(403);
    expect(directMembers(desk, "Night shift")).toContain(desk.person("ben"));
  });

  test("writePermission allowed: members can be changed without directory:group:edit", async () => {
    const desk = await open(small, { writePermission: "allowed" });
    const token = await desk.login(desk.emulator.otherCredentials.readOnly ?? {});
    expect((await add(desk, "Night shift", [desk.person("ben")], { token })).status).toBe(202);
    expect((await remove(desk, "Night shift", [desk.person("ana")], { token })).status).toBe(202);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ben")]);
  });
});

describe("groups", () => {
  const create = { name: "Ops", type: "official", rulesVisible: true, visibility: "public" };

  test("are made with 200, and their description is lost until a PUT sets it", async () => {
    const { call } = await open();
    const made = await call("POST", "/api/v2/groups", { ...create, description: "On call" });
    expect(made.status).toBe(200);
    expect(made.body).toMatchObject({ name: "Ops", state: "active", version: 1, memberCount: 0, owners: [] });
    expect(made.body).not.toHaveProperty("description");
    const path = String(made.body.selfUri);
    const changed = await call("PUT", path, { version: 1, description: "On call" });
    expect(changed.body).toMatchObject({ description: "On call", version: 2, name: "Ops" });
    expect((await call("GET", path)).body).toEqual(changed.body);
  });

  test.each(["name", "type", "rulesVisible", "visibility"])("are not made without %s", async (field) => {
    const { call, emulator } = await open();
    expect((await call("POST", "/api/v2/groups", { ...create, [field]: undefined })).status).toBe(400);
    expect(emulator.control.groups()).toEqual([]);
  });

  test("are not changed without a version or body, nor with a stale version", async () => {
    const desk = await open(small);
    const path = `/api/v2/groups/${desk.group("Night shift").id}`;
    expect((await desk.call("PUT", path, { name: "Day shift" })).status).toBe(400);
    expect((await desk.call("PUT", path)).status).toBe(400);
    expect((await desk.call("PUT", path, "null")).status).toBe(400);
    expect((await desk.call("PUT", path, { name: "Day shift", version: 7 })).status).toBe(409);
    expect(desk.group("Night shift").name).toBe("Night shift");
  });

  test("keep their type; their visibility goes by another name on PUT; addresses: [] clears, null is ignored", async () => {
    const { call } = await open();
    const address = { address: "+493012345", type: "GROUPRING", mediaType: "PHONE" };
    const { body } = await call("POST", "/api/v2/groups", { ...create, addresses: [address] });
    const path = String(body.selfUri);
    const first = await call("PUT", path, { version: 1, type: "social", visibility: "ownerIds", addresses: null });
    expect(first.body).toMatchObject({ type: "official", visibility: "owners", addresses: [address] });
    expect((await call("PUT", path, { version: 2, addresses: [] })).body.addresses).toEqual([]);
    expect((await call("PUT", path, { version: 3, visibility: "friends" })).status).toBe(400);
  });

  test("ownerIds: [] does not clear the owners, a blank does", async () => {
    const desk = await open(small);
    const path = `/api/v2/groups/${desk.group("Night shift").id}`;
    const owner = { id: desk.person("ben"), selfUri: `/api/v2/users/${desk.person("ben")}` };
    expect((await desk.call("PUT", path, { version: 1, ownerIds: [] })).body.owners).toEqual([owner]);
    expect((await desk.call("PUT", path, { version: 2, ownerIds: [" "] })).body.owners).toEqual([]);
  });

  test("with includeOwners, owners added later become individuals; without, they do not", async () => {
    const desk = await open(small);
    const path = `/api/v2/groups/${desk.group("Night shift").id}`;
    const [first, second] = [desk.person("cleo"), desk.person("ben")];
    await desk.call("PUT", path, { version: 1, ownerIds: [second, first] });
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana")]);
    await desk.call("PUT", path, { version: 2, includeOwners: true, ownerIds: [second] });
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana")]);
    await desk.call("PUT", path, { version: 3, ownerIds: [second, first] });
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana"), first]);
  });

  test.each([
    ["none", 0],
    ["client", 1],
  ])("made without owners have the owner of creatorOwner %s", async (creatorOwner, owners) => {
    const { call } = await open({}, { creatorOwner });
    expect((await call("POST", "/api/v2/groups", create)).body.owners).toHaveLength(owners);
  });

  test.each([
    ["off", 200],
    ["400", 400],
    ["409", 409],
    [409, 409],
  ])("of one name: uniqueNames %s answers %i", async (uniqueNames, status) => {
    const { call } = await open(small, { uniqueNames });
    expect((await call("POST", "/api/v2/groups", { ...create, name: "Skilled" })).status).toBe(status);
    expect((await call("POST", "/api/v2/groups", create)).status).toBe(200);
  });

  test.each([
    ["200", 200],
    ["204", 204],
  ])("are deleted with voidStatus %s and are then 404 everywhere", async (voidStatus, status) => {
    const desk = await open(small, { voidStatus });
    const path = `/api/v2/groups/${desk.group("Night shift").id}`;
    const deleted = await desk.call("DELETE", path);
    expect([deleted.status, deleted.text]).toEqual([status, ""]);
    for (const part of ["", "/members", "/individuals", "/profile"]) {
      expect([part, (await desk.call("GET", path + part)).status]).toEqual([part, 404]);
    }
    expect((await desk.call("DELETE", path)).status).toBe(404);
    expect((await desk.call("DELETE", `${path}/members?ids=x`)).status).toBe(404);
    expect((await desk.call("POST", `${path}/members`, { memberIds: ["x"], version: 1 })).status).toBe(404);
  });

  test("deleteLost on: the first delete has no effect, the second has", async () => {
    const desk = await open(small, { deleteLost: "on" });
    const path = `/api/v2/groups/${desk.group("Night shift").id}`;
    expect((await desk.call("DELETE", path)).status).toBe(200);
    expect((await desk.call("GET", path)).status).toBe(200);
    expect((await desk.call("DELETE", path)).status).toBe(200);
    expect((await desk.call("GET", path)).status).toBe(404);
  });

  test("deleteConflict on: the first delete of a group and of members is a 409, the second works", async () => {
    const desk = await open(small, { deleteConflict: "on" });
    const path = `/api/v2/groups/${desk.group("Night shift").id}`;
    const refused = await remove(desk, "Night shift", [desk.person("ana")]);
    expect([refused.status, refused.body.code]).toEqual([409, "general.conflict"]);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana")]);
    expect((await remove(desk, "Night shift", [desk.person("ana")])).status).toBe(202);
    expect((await desk.call("DELETE", path)).status).toBe(409);
    expect((await desk.call("DELETE", path)).status).toBe(200);
  });

  test("have a profile, one by one and listed, and a field configuration", async () => {
    const desk = await open(small);
    const { id } = desk.group("Night shift");
    const profile = await desk.call("GET", `/api/v2/groups/${id}/profile?fields=name`);
    expect(profile.body).toMatchObject({ id, name: "Night shift", state: "active", version: 1 });
    expect((await desk.call("GET", "/api/v2/profiles/groups")).body.entities).toContainEqual(profile.body);
    expect((await desk.call("GET", "/api/v2/fieldconfig?type=group")).body.entityType).toBe("group");
    const wrong = await desk.call("GET", "/api/v2/fieldconfig?type=queue");
    expect([wrong.status, wrong.body.code, wrong.body.message]).toEqual([
      400,
      "bad.entity.type",
      "The entity type is invalid.",
    ]);
  });
});

describe("members and individuals", () => {
  test("/individuals lists the people added one by one, /members owners too", async () => {
    const desk = await open(small);
    const { id } = desk.group("Night shift");
    expect(await individualsOf(desk, "Night shift")).toEqual([desk.person("ana")]);
    const { body } = await desk.call("GET", `/api/v2/groups/${id}/members`);
    expect(body.entities.map((user) => user.id)).toEqual([desk.person("ana"), desk.person("ben")]);
    expect((await desk.call("GET", `/api/v2/groups/${id}`)).body.memberCount).toBe(1);
  });

  test("people included by a skill expression are in /members alone", async () => {
    const desk = await open(small);
    expect(await individualsOf(desk, "Skilled")).toEqual([]);
    const { body } = await desk.call("GET", `/api/v2/groups/${desk.group("Skilled").id}/members`);
    expect(body).toMatchObject({ total: 2 });
  });

  test("a new member needs the version, gets 202 with {}, and raises the version", async () => {
    const desk = await open(small);
    const answer = await add(desk, "Night shift", [desk.person("ben")]);
    expect([answer.status, answer.text]).toEqual([202, "{}"]);
    expect(await individualsOf(desk, "Night shift")).toEqual([desk.person("ana"), desk.person("ben")]);
    expect(await versionOf(desk, "Night shift")).toBe(2);
  });

  test("a removal takes one comma-separated text, raw or encoded, and answers 202 without a body", async () => {
    const desk = await open(small);
    await add(desk, "Night shift", [desk.person("ben"), desk.person("cleo")]);
    const path = `/api/v2/groups/${desk.group("Night shift").id}/members?ids=`;
    const encoded = await desk.call("DELETE", `${path}${desk.person("ana")}%2C${desk.person("ben")}`);
    expect([encoded.status, encoded.text]).toEqual([202, ""]);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("cleo")]);
    const repeated = await desk.call("DELETE", `${path}${desk.person("ana")}&ids=${desk.person("cleo")}`);
    expect(repeated.status).toBe(202);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("cleo")]);
  });

  test("repeating a write is accepted, changes nothing and leaves the version alone", async () => {
    const desk = await open(small);
    expect((await add(desk, "Night shift", [desk.person("ana")])).status).toBe(202);
    expect((await remove(desk, "Night shift", [desk.person("cleo")])).status).toBe(202);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana")]);
    expect(await versionOf(desk, "Night shift")).toBe(1);
  });

  test("empty lists are refused in both directions", async () => {
    const desk = await open(small);
    expect((await add(desk, "Night shift", [])).status).toBe(400);
    expect((await remove(desk, "Night shift", [])).status).toBe(400);
    const body = { ids: [desk.person("ana")] };
    const inBody = await desk.call("DELETE", `/api/v2/groups/${desk.group("Night shift").id}/members`, body);
    expect(inBody.status).toBe(400);
  });

  test.each([49, 50])("%i ids go through in both directions", async (count) => {
    const desk = await open({ people: people(51), groups: [{ name: "Ops" }] });
    const accounts = idsOf(count).map(desk.person);
    expect((await add(desk, "Ops", accounts)).status).toBe(202);
    expect(new Set(directMembers(desk, "Ops"))).toEqual(new Set(accounts));
    expect((await remove(desk, "Ops", accounts)).status).toBe(202);
    expect(directMembers(desk, "Ops")).toEqual([]);
  });

  test("51 ids are refused as a whole (overCap 400) in both directions", async () => {
    const desk = await open({ people: people(51), groups: [{ name: "Ops", members: ["p000000"] }] });
    const accounts = idsOf(51).map(desk.person);
    expect((await add(desk, "Ops", accounts)).status).toBe(400);
    expect((await remove(desk, "Ops", accounts)).status).toBe(400);
    expect(directMembers(desk, "Ops")).toEqual([desk.person("p000000")]);
  });

  test("overCap truncate: only the first 50 ids are looked at, in both directions", async () => {
    const desk = await open({ people: people(51), groups: [{ name: "Ops" }] }, { overCap: "truncate" });
    const accounts = idsOf(51).map(desk.person);
    expect((await add(desk, "Ops", accounts)).status).toBe(202);
    expect(directMembers(desk, "Ops")).toHaveLength(50);
    await add(desk, "Ops", accounts.slice(50));
    expect((await remove(desk, "Ops", accounts)).status).toBe(202);
    expect(directMembers(desk, "Ops")).toEqual([desk.person("p000050")]);
  });

  test.each([
    ["409", 409, "general.conflict"],
    ["400text", 400, "bad.request"],
    ["408", 408, "request.timeout"],
  ])("mismatch %s: a stale version is refused and nothing applied", async (mismatch, status, code) => {
    const desk = await open(small, { mismatch });
    const path = `/api/v2/groups/${desk.group("Night shift").id}/members`;
    const answer = await desk.call("POST", path, { memberIds: [desk.person("ben")], version: 0 });
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body.message).toBe("The version supplied does not match the current version of the user");
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana")]);
  });

  test.each([
    ["accept", 202],
    ["400", 400],
  ])("missingVersion %s: an addition without version is answered %i", async (missingVersion, status) => {
    const desk = await open(small, { missingVersion });
    const path = `/api/v2/groups/${desk.group("Night shift").id}/members`;
    expect((await desk.call("POST", path, { memberIds: [desk.person("ben")] })).status).toBe(status);
    expect(directMembers(desk, "Night shift")).toHaveLength(status === 202 ? 2 : 1);
  });

  test("badId ignore: unknown, deleted and repeated ids are left out, inactive people are added", async () => {
    const desk = await open(small);
    const [bens, cleos] = [desk.person("ben"), desk.person("cleo")];
    const memberIds = ["unknown", desk.person("dora"), bens, bens, cleos];
    expect((await add(desk, "Night shift", memberIds)).status).toBe(202);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana"), bens, cleos]);
    expect((await remove(desk, "Night shift", ["unknown", cleos, cleos])).status).toBe(202);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana"), bens]);
  });

  test.each([
    ["400", 400, "bad.request"],
    ["404", 404, "general.resource.not.found"],
  ])("badId %s: one bad id refuses the whole request", async (badId, status, code) => {
    const desk = await open(small, { badId });
    const [anas, bens] = [desk.person("ana"), desk.person("ben")];
    for (const bad of ["unknown", desk.person("dora"), bens]) {
      const answer = await add(desk, "Night shift", [bens, bad]);
      expect([answer.status, answer.body.code]).toEqual([status, code]);
    }
    for (const bad of ["unknown", desk.person("cleo"), anas]) {
      expect((await remove(desk, "Night shift", [anas, bad])).status).toBe(status);
    }
    expect(directMembers(desk, "Night shift")).toEqual([anas]);
    expect((await add(desk, "Night shift", [anas, bens])).status).toBe(202);
  });

  test.each([
    ["ignore", ["ana", "ben"], ["ana", "ben"]],
    ["removes", ["ana"], ["ana"]],
  ])("removeDerived %s: removing an owner or someone there by rule", async (removeDerived, shift, skilled) => {
    const desk = await open(small, { removeDerived });
    const accounts = (name: string) => desk.group(name).members.map(({ account }) => account);
    expect((await remove(desk, "Night shift", [desk.person("ben")])).status).toBe(202);
    expect((await remove(desk, "Skilled", [desk.person("ben")])).status).toBe(202);
    expect(accounts("Night shift")).toEqual(shift.map(desk.person));
    expect(accounts("Skilled")).toEqual(skilled.map(desk.person));
    // An owner who is an individual as well stays an owner.
    desk.emulator.control.addMember(desk.group("Night shift").id, desk.person("ana"), "owner");
    expect((await remove(desk, "Night shift", [desk.person("ana")])).status).toBe(202);
    expect(desk.group("Night shift").members).toContainEqual({
      account: desk.person("ana"),
      role: "owner",
      direct: false,
    });
  });

  test("lost202 on: additions and removals are accepted and nothing happens", async () => {
    const desk = await open(small, { lost202: "on" });
    expect((await add(desk, "Night shift", [desk.person("ben")])).status).toBe(202);
    expect((await remove(desk, "Night shift", [desk.person("ana")])).status).toBe(202);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana")]);
    expect(await versionOf(desk, "Night shift")).toBe(1);
  });

  test.each([
    ["on", 3, 2],
    ["off", 2, 1],
  ])("listInactive %s: who is shown of inactive people", async (listInactive, members, individuals) => {
    const groups: SeedGroup[] = [{ name: "Mixed", members: ["ana", "cleo"], owners: ["ben"] }];
    const desk = await open({ people: small.people, groups }, { listInactive });
    const { id } = desk.group("Mixed");
    expect((await desk.call("GET", `/api/v2/groups/${id}/members`)).body.total).toBe(members);
    expect((await desk.call("GET", `/api/v2/groups/${id}/individuals`)).body.total).toBe(individuals);
    expect((await desk.call("GET", `/api/v2/groups/${id}`)).body.memberCount).toBe(2);
  });

  test.each([
    ["400", 400],
    ["ignore", 202],
  ])("groupCap %s: the 101st official group of a person is answered %i", async (groupCap, status) => {
    const full = Array.from({ length: 100 }, (_, index) => ({ name: `G${index}`, members: ["ana"] }));
    const desk = await open({ people: [ana, ben], groups: [...full, { name: "One more" }] }, { groupCap });
    const accounts = [desk.person("ben"), desk.person("ana")];
    expect((await add(desk, "One more", accounts)).status).toBe(status);
    expect(directMembers(desk, "One more")).toEqual(status === 202 ? accounts : []);
    const social = { name: "Chess", type: "social", rulesVisible: true, visibility: "public" };
    await desk.call("POST", "/api/v2/groups", social);
    expect((await add(desk, "Chess", accounts)).status).toBe(202);
    desk.emulator.control.removeMember(desk.group("G7").id, desk.person("ana"));
    expect((await add(desk, "One more", accounts)).status).toBe(202);
  });

  test("versionStep: a change raises the version so far; 0 is not allowed", async () => {
    const desk = await open(small, { versionStep: 7 });
    await add(desk, "Night shift", [desk.person("ben")]);
    expect(await versionOf(desk, "Night shift")).toBe(8);
    await expect(open(small, { versionStep: 0 })).rejects.toThrow("whole numbers from 1");
  });

  test.each([
    ["full", { total: 60, pageCount: 1, pageNumber: 1, pageSize: 60 }, 60],
    ["truncated", { total: 60, pageCount: 3, pageNumber: 1, pageSize: 25 }, 25],
    ["bare", { total: undefined, pageCount: undefined }, 60],
  ])("individuals %s", async (individuals, envelope, length) => {
    const desk = await open({ people: people(60), groups: [{ name: "Ops", members: idsOf(60) }] }, { individuals });
    const { body } = await desk.call("GET", `/api/v2/groups/${desk.group("Ops").id}/individuals`);
    expect(body.entities).toHaveLength(length);
    expect({ total: undefined, pageCount: undefined, ...body }).toMatchObject(envelope);
  });

  test("an empty group has no individuals and no pages of members", async () => {
    const desk = await open({ groups: [{ name: "Empty" }] });
    const path = `/api/v2/groups/${desk.group("Empty").id}`;
    expect((await desk.call("GET", `${path}/individuals`)).body).toMatchObject({ entities: [], total: 0 });
    expect((await desk.call("GET", `${path}/members`)).body).toMatchObject({ entities: [], total: 0, pageCount: 0 });
  });
});

describe("paging", () => {
  const pages = async (desk: Desk, path: string, pageSize: number) => {
    const seen: string[] = [];
    for (let pageNumber = 1; ; pageNumber++) {
      const { body } = await desk.call("GET", `${path}?pageSize=${pageSize}&pageNumber=${pageNumber}`);
      seen.push(...body.entities.map(({ id }) => id));
      if (pageNumber >= Number(body.pageCount)) return seen;
    }
  };

  test.each([1, 199, 200, 201])("%i members come once each, page by page", async (count) => {
    const desk = await open({ people: people(count), groups: [{ name: "Ops", members: idsOf(count) }] });
    const path = `/api/v2/groups/${desk.group("Ops").id}/members`;
    const expected = idsOf(count).map(desk.person);
    expect(await pages(desk, path, 200)).toEqual(expected);
    expect(await pages(desk, path, 100)).toEqual(expected);
  });

  test("the envelope has relative addresses, and none for a page that is not there", async () => {
    const desk = await open({ people: people(60), groups: [{ name: "Ops", members: idsOf(60) }] });
    const path = `/api/v2/groups/${desk.group("Ops").id}/members`;
    const first = await desk.call("GET", `${path}?expand=groups`);
    const uri = (page: number) => `${path}?expand=groups&pageSize=25&pageNumber=${page}`;
    expect(first.body).toMatchObject({
      total: 60,
      pageSize: 25,
      pageNumber: 1,
      pageCount: 3,
      firstUri: uri(1),
      selfUri: uri(1),
      nextUri: uri(2),
      lastUri: uri(3),
    });
    expect(first.body).not.toHaveProperty("previousUri");
    const last = await desk.call("GET", uri(3));
    expect(last.body.entities).toHaveLength(10);
    expect(last.body).not.toHaveProperty("nextUri");
    expect(last.body.previousUri).toBe(uri(2));
    expect((await desk.call("GET", uri(4))).body.entities).toEqual([]);
  });

  test("a descending list is the ascending one turned round", async () => {
    const desk = await open({ people: people(30), groups: [{ name: "Ops", members: idsOf(30) }] });
    const path = `/api/v2/groups/${desk.group("Ops").id}/members?pageSize=20`;
    const first = await desk.call("GET", `${path}&sortOrder=descending`);
    const second = await desk.call("GET", `${path}&sortOrder=DESC&pageNumber=2`);
    const ids = [...first.body.entities, ...second.body.entities].map(({ id }) => id);
    expect(ids).toEqual(idsOf(30).map(desk.person).toReversed());
    expect((await desk.call("GET", `${path}&sortOrder=sideways`)).status).toBe(400);
  });

  test.each(["pageSize=0", "pageNumber=0", "pageSize=ten", "pageNumber=-1"])("%s is refused", async (query) => {
    const { call } = await open();
    const { status, body } = await call("GET", `/api/v2/groups?${query}`);
    expect([status, body.code]).toEqual([400, "invalid.value"]);
  });

  test.each([
    ["groups", 500],
    ["users", 500],
  ])("%s take pages of up to %i; above, pageOver decides", async (path, maximum) => {
    const strict = await open();
    expect((await strict.call("GET", `/api/v2/${path}?pageSize=${maximum}`)).status).toBe(200);
    expect((await strict.call("GET", `/api/v2/${path}?pageSize=${maximum + 1}`)).status).toBe(400);
    const lenient = await open({}, { pageOver: "clamp" });
    const { body } = await lenient.call("GET", `/api/v2/${path}?pageSize=${maximum + 1}`);
    expect(body.pageSize).toBe(maximum);
  });

  test("pageDrift on: every other reading repeats and leaves out rows, and the last page has a nextUri", async () => {
    const seed = { people: people(100), groups: [{ name: "Ops", members: idsOf(100) }] };
    const desk = await open(seed, { pageDrift: "on" });
    const path = `/api/v2/groups/${desk.group("Ops").id}/members`;
    const drifted = await pages(desk, path, 25);
    expect(new Set(drifted).size).toBeLessThan(drifted.length);
    expect(new Set(drifted).size).toBeLessThan(100);
    expect(await pages(desk, path, 25)).toEqual(idsOf(100).map(desk.person));
    expect((await desk.call("GET", `${path}?pageSize=100`)).body).toHaveProperty("nextUri");
  });

  test("groups are found by id, comma-joined or repeated, and by jabber id, but not by both", async () => {
    const desk = await open({ groups: [{ name: "A" }, { name: "B" }, { name: "C" }] });
    const [a, b] = [desk.group("A").id, desk.group("B").id];
    const names = async (query: string) =>
      (await desk.call("GET", `/api/v2/groups?${query}`)).body.entities.map(({ name }) => name);
    expect(await names(`id=${a},${b}`)).toEqual(["A", "B"]);
    expect(await names(`id=${b}&id=${a}`)).toEqual(["A", "B"]);
    expect(await names("sortOrder=descending")).toEqual(["C", "B", "A"]);
    const { jabberId } = (await desk.call("GET", `/api/v2/groups/${a}`)).body.chat as { jabberId: string };
    expect(await names(`jabberId=${jabberId}`)).toEqual(["A"]);
    expect((await desk.call("GET", `/api/v2/groups?id=${a}&jabberId=${jabberId}`)).status).toBe(400);
  });
});

describe("people", () => {
  test("exist here only when the seed says so; pending people and guests are active", async () => {
    const guest: SeedPerson = { id: "gus", email: "gus@example.org", status: "guest" };
    const pending: SeedPerson = { id: "pia", email: "pia@example.org", status: "pending" };
    const groups = [{ name: "Ops", members: ["eve", "gus", "ana"] }];
    const desk = await open({ people: [...small.people, guest, pending], groups });
    expect(desk.emulator.control.accountOf("eve")).toBeUndefined();
    expect(directMembers(desk, "Ops")).toEqual([desk.person("gus"), desk.person("ana")]);
    for (const id of ["gus", "pia"]) {
      expect((await desk.call("GET", `/api/v2/users/${desk.person(id)}`)).body.state).toBe("active");
    }
  });

  test("are listed by state, active by default, and by id within that state", async () => {
    const desk = await open(small);
    const names = async (query: string) =>
      (await desk.call("GET", `/api/v2/users?${query}`)).body.entities.map(({ name }) => name);
    expect(await names("")).toEqual(["Ana Ruiz", "Ben"]);
    expect(await names("state=inactive")).toEqual(["Cleo"]);
    expect(await names("state=deleted")).toEqual(["Dora"]);
    expect(await names("state=any")).toEqual(["Ana Ruiz", "Ben", "Cleo", "Dora"]);
    const ids = `${desk.person("cleo")},${desk.person("ana")},unknown`;
    expect(await names(`id=${ids}`)).toEqual(["Ana Ruiz"]);
    expect(await names(`id=${ids}&state=any`)).toEqual(["Ana Ruiz", "Cleo"]);
    expect((await desk.call("GET", "/api/v2/users?state=asleep")).status).toBe(400);
  });

  test.each([99, 100])("%i can be asked for by id at once", async (count) => {
    const desk = await open({ people: people(101) });
    const query = idsOf(count).map(desk.person).join(",");
    const { status, body } = await desk.call("GET", `/api/v2/users?pageSize=100&id=${query}`);
    expect([status, body.total, body.entities.length]).toEqual([200, count, count]);
  });

  test("101 ids in one request are refused", async () => {
    const desk = await open({ people: people(101) });
    const query = idsOf(101).map(desk.person).join(",");
    const { status, body } = await desk.call("GET", `/api/v2/users?pageSize=100&id=${query}`);
    expect([status, body.code]).toEqual([400, "max.user.ids"]);
    expect(body.message).toBe("Only 100 users can be requested at a time.");
  });

  test("inactive people are not listed beyond the 10,000th row", async () => {
    const { call } = await open();
    expect((await call("GET", "/api/v2/users?state=inactive&pageSize=100&pageNumber=100")).status).toBe(200);
    expect((await call("GET", "/api/v2/users?state=inactive&pageSize=100&pageNumber=101")).status).toBe(400);
    expect((await call("GET", "/api/v2/users?state=any&pageSize=100&pageNumber=101")).status).toBe(200);
  });

  test("are found one by one: inactive ones too, deleted ones only when asked for", async () => {
    const desk = await open(small);
    const state = async (id: string, query = "") => {
      const { status, body } = await desk.call("GET", `/api/v2/users/${desk.person(id)}${query}`);
      return status === 200 ? body.state : status;
    };
    expect(await state("ana")).toBe("active");
    expect(await state("cleo")).toBe("inactive");
    expect(await state("dora")).toBe(404);
    expect(await state("dora", "?state=deleted")).toBe("deleted");
    expect(await state("ana", "?state=deleted")).toBe(404);
  });

  test("show their groups when expanded, by whatever way they are in, but not those they only own", async () => {
    const desk = await open(small);
    const names = async (id: string) => {
      const { body } = await desk.call("GET", `/api/v2/users/${desk.person(id)}?expand=groups`);
      return (body.groups as readonly Entity[]).map(({ name }) => name);
    };
    expect(await names("ana")).toEqual(["Night shift", "Skilled"]);
    expect(await names("ben")).toEqual(["Skilled"]);
    expect((await desk.call("GET", `/api/v2/users/${desk.person("ana")}`)).body).not.toHaveProperty("groups");
  });

  test("can be sent an invitation unless deleted", async () => {
    const desk = await open(small);
    expect((await desk.call("POST", `/api/v2/users/${desk.person("ana")}/invite`)).status).toBe(200);
    expect((await desk.call("POST", `/api/v2/users/${desk.person("dora")}/invite`)).status).toBe(404);
  });
});

describe("searches", () => {
  const byEmail = (value: string, ...more: unknown[]) => ({
    query: [{ type: "EXACT", fields: ["email"], value }, ...more],
  });
  const find = async (desk: Desk, kind: string, request: unknown) =>
    (await desk.call("POST", `/api/v2/${kind}/search`, request)).body.results.map(({ name }) => name);

  test("answer with results, not entities", async () => {
    const desk = await open(small);
    const { body } = await desk.call("POST", "/api/v2/users/search", byEmail("ben@example.org"));
    expect(body).toMatchObject({ total: 1, pageCount: 1, pageSize: 25, pageNumber: 1, types: ["users"] });
    expect(body.results).toMatchObject([{ id: desk.person("ben"), email: "ben@example.org", state: "active" }]);
    expect(body).not.toHaveProperty("entities");
    expect(body).not.toHaveProperty("nextPage");
  });

  test.each([
    ["insensitive", ["Ana Ruiz"]],
    ["sensitive", []],
  ])("EXACT on e-mail is %s about case as searchCase says", async (searchCase, expected) => {
    const desk = await open(small, { searchCase });
    expect(await find(desk, "users", byEmail("ana.ruiz@example.org"))).toEqual(expected);
    expect(await find(desk, "users", byEmail("Ana.Ruiz@Example.org"))).toEqual(["Ana Ruiz"]);
    expect(await find(desk, "users", byEmail("uiz@example.org"))).toEqual([]);
  });

  test.each([
    ["active", []],
    ["all", ["Cleo"]],
  ])("searchStates %s: who is found without naming a state", async (searchStates, expected) => {
    const desk = await open(small, { searchStates });
    expect(await find(desk, "users", byEmail("cleo@example.org"))).toEqual(expected);
    const deleted = { type: "EXACT", fields: ["state"], values: ["deleted"] };
    expect(await find(desk, "users", byEmail("dora@example.org", deleted))).toEqual(["Dora"]);
    expect(await find(desk, "users", byEmail("ben@example.org", deleted))).toEqual([]);
  });

  test("several people may have one e-mail, and several e-mails may be asked for", async () => {
    const twin: SeedPerson = { id: "twin", email: "BEN@example.org", name: "Ben's twin" };
    const desk = await open({ people: [...small.people, twin] });
    expect(await find(desk, "users", byEmail("ben@example.org"))).toEqual(["Ben", "Ben's twin"]);
    const query = [{ type: "EXACT", fields: ["email"], values: ["ben@example.org", "Ana.Ruiz@example.org"] }];
    expect(await find(desk, "users", { query, sortOrder: "DESC" })).toEqual(["Ben's twin", "Ben", "Ana Ruiz"]);
    const limited = await open(small, { searchValues: 1 });
    expect((await limited.call("POST", "/api/v2/users/search", { query })).status).toBe(400);
  });

  test.each([
    [{ type: "STARTS_WITH", fields: ["name"], value: "night" }, ["Night & day", "Night shift"]],
    [{ type: "CONTAINS", fields: ["name"], value: "SHIFT" }, ["Night shift"]],
    [{ type: "TERM", fields: ["name"], value: "day" }, ["Night & day"]],
    [{ type: "REGEX", fields: ["name"], value: "N\\w+ \\D+t" }, ["Night shift"]],
    [{ type: "REQUIRED_FIELDS", fields: ["description"] }, ["Night & day"]],
    [{ type: "MATCH_ALL" }, ["Night & day", "Night shift", "Ops"]],
    [{ type: "EXACT", fields: ["name"], value: "ops", operator: "NOT" }, ["Night & day", "Night shift"]],
    [
      {
        type: "EXACT",
        group: ["ops", "night shift"].map((value) => ({ type: "EXACT", fields: ["name"], value, operator: "OR" })),
      },
      ["Night shift", "Ops"],
    ],
  ])("groups are found by criteria (%#)", async (criterion, expected) => {
    const groups = [{ name: "Night shift" }, { name: "Night & day", description: "Both" }, { name: "Ops" }];
    expect(await find(await open({ groups }), "groups", { query: [criterion] })).toEqual(expected);
  });

  test("groups know fewer criteria than users", async () => {
    const desk = await open(small);
    const request = { query: [{ type: "RANGE", fields: ["email"], startValue: "b", endValue: "c" }] };
    expect(await find(desk, "users", request)).toEqual(["Ben"]);
    expect((await desk.call("POST", "/api/v2/groups/search", request)).status).toBe(400);
  });

  test("go on with nextPage, which GET search takes as q64", async () => {
    const desk = await open({ people: people(30) });
    const first = await desk.call("POST", "/api/v2/users/search", { pageSize: 20, query: [{ type: "MATCH_ALL" }] });
    const q64 = encodeURIComponent(String(first.body.nextPage));
    const second = await desk.call("GET", `/api/v2/users/search?q64=${q64}`);
    expect(second.body).toMatchObject({ pageNumber: 2, total: 30 });
    expect([...first.body.results, ...second.body.results].map(({ id }) => id)).toEqual(idsOf(30).map(desk.person));
    expect((await desk.call("GET", "/api/v2/users/search")).status).toBe(400);
    expect((await desk.call("GET", "/api/v2/groups/search?q64=%25%25")).status).toBe(400);
  });

  test("general search needs types and finds users and groups", async () => {
    const desk = await open(small);
    const query = [{ type: "STARTS_WITH", fields: ["name"], value: "" }];
    const { body } = await desk.call("POST", "/api/v2/search?profile=true", { types: ["users", "groups"], query });
    expect(body.results.map(({ name }) => name)).toEqual(["Ana Ruiz", "Ben", "Night shift", "Skilled"]);
    expect((await desk.call("POST", "/api/v2/search?profile=true", { query })).status).toBe(400);
  });

  test("searchLag: a new group is read at once and found later", async () => {
    const desk = await open({}, { searchLag: 5_000 });
    const create = { name: "Ops", type: "official", rulesVisible: true, visibility: "public" };
    const { body } = await desk.call("POST", "/api/v2/groups", create);
    const named = (value: string) => find(desk, "groups", { query: [{ type: "EXACT", fields: ["name"], value }] });
    expect((await desk.call("GET", String(body.selfUri))).status).toBe(200);
    expect(await named("Ops")).toEqual([]);
    desk.clock.now += 5_000;
    expect(await named("Ops")).toEqual(["Ops"]);
    await desk.call("PUT", String(body.selfUri), { version: 1, name: "Operations" });
    expect(await named("Ops")).toEqual(["Ops"]);
    desk.clock.now += 5_000;
    expect(await named("Ops")).toEqual([]);
    expect(await named("Operations")).toEqual(["Operations"]);
  });
});

describe("skill expressions", () => {
  const query = {
    skillConditions: [
      {
        routingSkillConditions: [{ routingSkill: "x", comparator: "EqualTo", proficiency: 3, childConditions: [] }],
        languageSkillConditions: [],
        operation: "And",
      },
    ],
  };

  test("dynamic404 on: a plain group has none, and a group with one refuses additions", async () => {
    const desk = await open(small);
    const plain = await desk.call("GET", `/api/v2/groups/${desk.group("Night shift").id}/dynamicsettings`);
    expect([plain.status, plain.body.code]).toEqual([404, "general.resource.not.found"]);
    expect((await add(desk, "Skilled", [desk.person("cleo")])).status).toBe(400);
    expect(desk.group("Skilled").members).toHaveLength(2);
  });

  test("dynamic404 off: a plain group has an empty one, and a group with one takes additions", async () => {
    const desk = await open(small, { dynamic404: "off" });
    const plain = await desk.call("GET", `/api/v2/groups/${desk.group("Night shift").id}/dynamicsettings`);
    expect(plain.body.query).toEqual({ skillConditions: [] });
    expect((await add(desk, "Skilled", [desk.person("cleo")])).status).toBe(202);
    expect(directMembers(desk, "Skilled")).toEqual([desk.person("cleo")]);
  });

  test.each([
    ["200", 200],
    ["204", 204],
  ])("are set and taken away with voidStatus %s", async (voidStatus, status) => {
    const desk = await open(small, { voidStatus });
    const { id } = desk.group("Night shift");
    const path = `/api/v2/groups/${id}/dynamicsettings`;
    expect((await desk.call("PUT", path, query)).status).toBe(status);
    expect((await desk.call("GET", path)).body).toMatchObject({ group: { id }, query });
    expect((await desk.call("DELETE", path)).status).toBe(status);
    expect((await desk.call("GET", path)).status).toBe(404);
    expect((await desk.call("DELETE", path)).status).toBe(404);
    expect(directMembers(desk, "Night shift")).toEqual([desk.person("ana")]);
  });

  test("taking one away takes the people it included", async () => {
    const desk = await open(small);
    await desk.call("DELETE", `/api/v2/groups/${desk.group("Skilled").id}/dynamicsettings`);
    expect(desk.group("Skilled").members).toEqual([]);
  });

  test("are checked, also for a preview", async () => {
    const desk = await open(small);
    const wrong = JSON.parse(JSON.stringify(query).replace("EqualTo", "Like")) as unknown;
    const path = "/api/v2/groups/dynamicsettings/preview";
    expect((await desk.call("POST", path, query)).body).toEqual({ userCount: 0 });
    expect((await desk.call("POST", path, wrong)).status).toBe(400);
  });
});

describe("lag", () => {
  test.each([
    ["of the request", {}, { lagMs: 3_000 }],
    ["of the switch", { lag: 3_000 }, {}],
  ])("%s: readers see the old members, count and version until then", async (_, switches, extra) => {
    const desk = await open(small, switches);
    const [anas, bens] = [desk.person("ana"), desk.person("ben")];
    await add(desk, "Night shift", [bens], extra);
    await remove(desk, "Night shift", [anas], extra);
    expect(directMembers(desk, "Night shift")).toEqual([bens]);
    const path = `/api/v2/groups/${desk.group("Night shift").id}`;
    const readings = async () => [
      await individualsOf(desk, "Night shift"),
      (await desk.call("GET", path)).body.version,
      (await desk.call("GET", path)).body.memberCount,
      (await desk.call("GET", `${path}/members`)).body.total,
    ];
    expect(await readings()).toEqual([[anas], 1, 1, 2]);
    desk.clock.now += 2_999;
    expect(await readings()).toEqual([[anas], 1, 1, 2]);
    desk.clock.now += 1;
    expect(await readings()).toEqual([[bens], 3, 1, 1]);
  });

  test("the version is checked against the truth, so a late reader is refused", async () => {
    const desk = await open(small);
    expect((await add(desk, "Night shift", [desk.person("ben")], { lagMs: 1_000 })).status).toBe(202);
    expect((await add(desk, "Night shift", [desk.person("cleo")])).status).toBe(409);
    desk.clock.now += 1_000;
    expect((await add(desk, "Night shift", [desk.person("cleo")])).status).toBe(202);
  });

  test("a quicker later write does not overtake, and in the end everything is right", async () => {
    const desk = await open(small);
    const [anas, bens] = [desk.person("ana"), desk.person("ben")];
    await add(desk, "Night shift", [bens], { lagMs: 5_000 });
    await remove(desk, "Night shift", [bens], { lagMs: 10 });
    await remove(desk, "Night shift", [anas], { lagMs: 8_000 });
    expect(await individualsOf(desk, "Night shift")).toEqual([anas]);
    desk.clock.now += 5_000;
    expect(await individualsOf(desk, "Night shift")).toEqual([anas]);
    desk.clock.now += 3_000;
    expect(await individualsOf(desk, "Night shift")).toEqual([]);
  });

  test("a group made with lag is 404 until then, a deleted one is still read", async () => {
    const desk = await open(small, { lag: 1_000 });
    const create = { name: "Ops", type: "official", rulesVisible: true, visibility: "public" };
    const made = await desk.call("POST", "/api/v2/groups", create);
    const deleted = `/api/v2/groups/${desk.group("Night shift").id}`;
    await desk.call("DELETE", deleted);
    const statuses = async () => [
      (await desk.call("GET", String(made.body.selfUri))).status,
      (await desk.call("GET", deleted)).status,
    ];
    expect(await statuses()).toEqual([404, 200]);
    desk.clock.now += 1_000;
    expect(await statuses()).toEqual([200, 404]);
  });

  test("edits by hand show at once, also while other changes are hidden", async () => {
    const desk = await open(small, { lag: 10_000 });
    const { control } = desk.emulator;
    const { id } = desk.group("Night shift");
    const [anas, bens, cleos] = [desk.person("ana"), desk.person("ben"), desk.person("cleo")];
    await remove(desk, "Night shift", [anas]);
    control.addMember(id, cleos);
    expect(await individualsOf(desk, "Night shift")).toEqual([anas, cleos]);
    control.addMember(id, anas);
    control.removeMember(id, anas);
    expect(await individualsOf(desk, "Night shift")).toEqual([cleos]);
    control.renameGroup(id, "Late shift");
    expect((await desk.call("GET", `/api/v2/groups/${id}`)).body.name).toBe("Late shift");
    desk.clock.now += 10_000;
    expect(await individualsOf(desk, "Late shift")).toEqual([cleos]);
    expect(desk.group("Late shift").members).toEqual([
      { account: cleos, role: "member", direct: true },
      { account: bens, role: "owner", direct: false },
    ]);
    expect((await desk.call("GET", `/api/v2/groups/${id}`)).body.version).toBe(6);
  });
});

describe("rate limits", () => {
  test("count per token and minute, and say when to come back", async () => {
    const desk = await open({}, { rateLimit: 2 });
    const other = await desk.login(desk.emulator.otherCredentials.readOnly ?? {});
    const statuses = [];
    for (let index = 0; index < 3; index++) {
      statuses.push((await desk.call("GET", "/api/v2/groups")).status);
      desk.clock.now += 10_000;
    }
    expect(statuses).toEqual([200, 200, 429]);
    const refused = await desk.call("GET", "/api/v2/groups");
    expect(refused.headers.get("Retry-After")).toBe("30");
    expect(refused.body).toEqual({
      message: "Rate limit exceeded the maximum. Retry the request in [30] seconds",
      code: "too.many.requests.retry.after",
      status: 429,
      contextId: refused.headers.get("ININ-Correlation-Id"),
      details: [],
      errors: [],
    });
    expect((await desk.call("GET", "/api/v2/groups", undefined, { token: other })).status).toBe(200);
    desk.clock.now += 30_000;
    expect((await desk.call("GET", "/api/v2/groups")).status).toBe(200);
  });

  test("retryAfter: a fixed number of seconds; general search has a code of its own", async () => {
    const desk = await open({}, { rateLimit: 1, retryAfter: 7_200 });
    await desk.call("GET", "/api/v2/groups");
    const refused = await desk.call("POST", "/api/v2/search?profile=true", { types: ["users"] });
    expect([refused.status, refused.body.code]).toEqual([429, "too.many.search.requests"]);
    expect(refused.headers.get("Retry-After")).toBe("7200");
  });

  test("the bodies for faults are the vendor's", async () => {
    const { emulator } = await open();
    const { body, headers } = emulator.rateLimitBody(42);
    expect(body).toMatchObject({
      message: "Rate limit exceeded the maximum. Retry the request in [42] seconds",
      code: "too.many.requests.retry.after",
      contextId: headers["ININ-Correlation-Id"],
    });
    expect(emulator.rateLimitBody(undefined).body).toMatchObject({ message: "Rate limit exceeded the maximum" });
    expect(emulator.serverErrorBody(500)).toMatchObject({ code: "internal.server.error", status: 500 });
    expect(emulator.serverErrorBody(503)).toMatchObject({ code: "service.unavailable", status: 503 });
    expect(emulator.serverErrorBody(504)).toMatchObject({ code: "request.timeout", status: 504 });
    expect(emulator.listKeys).toEqual(["entities", "results", "Resources"]);
  });
});

describe("SCIM", () => {
  const groupPath = (desk: Desk) => `/api/v2/scim/v2/groups/${desk.group("Night shift").id}`;

  test("shows a group with its individuals and its version as ETag", async () => {
    const desk = await open(small);
    const { body, headers } = await desk.call("GET", groupPath(desk));
    expect(body).toMatchObject({ displayName: "Night shift", members: [{ value: desk.person("ana") }] });
    expect([body.meta, headers.get("ETag")]).toMatchObject([{ version: "1" }, '"1"']);
  });

  test("lists with startIndex, count and filter; a count above 25 is a 429", async () => {
    const groups = Array.from({ length: 30 }, (_, index) => ({ name: `G${String(index).padStart(2, "0")}` }));
    const desk = await open({ people: small.people, groups });
    const second = await desk.call("GET", "/api/v2/scim/v2/groups?startIndex=26&count=25");
    expect(second.body).toMatchObject({ totalResults: 30, startIndex: 26, itemsPerPage: 5 });
    const found = await desk.call("GET", "/api/v2/scim/v2/groups?filter=displayname%20eq%20%22g07%22");
    expect(found.body.Resources).toMatchObject([{ displayName: "G07" }]);
    expect((await desk.call("GET", "/api/v2/scim/v2/users")).body).toMatchObject({ totalResults: 3 });
    expect((await desk.call("GET", "/api/v2/scim/v2/groups?count=26")).status).toBe(429);
  });

  test("changes with If-Match, and refuses a stale one with invalidVers", async () => {
    const desk = await open(small);
    const member = (id: string) => ({ value: desk.person(id) });
    const patch = (...Operations: unknown[]) => ({ Operations });
    const stale = await desk.call(
      "PATCH",
      groupPath(desk),
      patch({ op: "add", path: "members", value: [member("ben")] }),
      { headers: { "if-match": '"42"' } },
    );
    expect(stale.status).toBe(400);
    expect(stale.body).toMatchObject({ scimType: "invalidVers", status: "400" });
    const path = groupPath(desk);
    const added = patch(
      { op: "add", path: "members", value: [member("ben"), member("cleo")] },
      { op: "remove", path: `members[value eq "${desk.person("ana")}"]` },
      { op: "replace", path: "displayName", value: "Late shift" },
    );
    const changed = await desk.call("PATCH", path, added, { headers: { "if-match": '"1"' } });
    expect(changed.body).toMatchObject({ displayName: "Late shift", members: [member("ben"), member("cleo")] });
    expect((await desk.call("PUT", path, {}, { headers: { "if-match": "1" } })).status).toBe(400);
    const put = await desk.call("PUT", path, { displayName: "Late shift", members: [member("ana")] });
    expect(put.body).toMatchObject({ members: [member("ana")], meta: { version: "3" } });
    expect((await desk.call("PATCH", path, patch({ op: "move", path: "members" }))).status).toBe(400);
    const token = await desk.login(desk.emulator.otherCredentials.readOnly ?? {});
    expect((await desk.call("PUT", path, {}, { token })).status).toBe(403);
  });
});

describe("the control surface", () => {
  test("shows owners who are individuals as direct, others not", async () => {
    const groups = [{ name: "Ops", members: ["ana", "ben"], managers: ["cleo"], owners: ["ben", "dora"] }];
    const desk = await open({ people: small.people, groups });
    expect(desk.group("Ops").members).toEqual([
      { account: desk.person("ana"), role: "member", direct: true },
      { account: desk.person("ben"), role: "owner", direct: true },
      { account: desk.person("cleo"), role: "member", direct: true },
      { account: desk.person("dora"), role: "owner", direct: false },
    ]);
  });

  test("adds and changes people and groups by hand", async () => {
    const desk = await open(small);
    const { control } = desk.emulator;
    const id = control.addPerson({ id: "fay", email: "fay@example.org" });
    expect(control.accountOf("fay")).toBe(id);
    expect(() => control.addPerson({ id: "fay", email: "fay@example.org" })).toThrow("exists already");
    const groupId = control.addGroup({ name: "New", members: ["fay"] });
    control.addMember(groupId, desk.person("ana"), "owner");
    expect(desk.group("New").members).toEqual([
      { account: id, role: "member", direct: true },
      { account: desk.person("ana"), role: "owner", direct: false },
    ]);
    control.removeMember(groupId, desk.person("ana"));
    expect(desk.group("New").members).toHaveLength(1);
    control.setPersonStatus(id, "disabled");
    expect((await desk.call("GET", `/api/v2/users/${id}`)).body.state).toBe("inactive");
    control.deleteGroup(groupId);
    expect((await desk.call("GET", `/api/v2/groups/${groupId}`)).status).toBe(404);
    expect(control.groups().map(({ name }) => name)).toEqual(["Night shift", "Skilled"]);
    expect(control.answerInvitations("accept")).toBe(0);
    expect(() => control.addMember(groupId, id)).toThrow("no group");
    expect(() => control.addMember(desk.group("Skilled").id, "unknown")).toThrow("no user");
  });

  test("saveState and restoreState take everything back, as often as wanted", async () => {
    const desk = await open(small, { lag: 1_000 });
    const { control } = desk.emulator;
    const before = control.groups();
    const state = desk.emulator.saveState();
    for (let round = 0; round < 2; round++) {
      await add(desk, "Night shift", [desk.person("ben")]);
      await desk.call("DELETE", `/api/v2/groups/${desk.group("Skilled").id}`);
      control.setPersonStatus(desk.person("ana"), "deleted");
      control.addPerson({ id: "fay", email: "fay@example.org" });
      expect(control.groups()).not.toEqual(before);
      desk.emulator.restoreState(state);
      expect(control.groups()).toEqual(before);
      expect(control.accountOf("fay")).toBeUndefined();
      desk.clock.now += 1_000;
      expect(await individualsOf(desk, "Night shift")).toEqual([desk.person("ana")]);
      expect((await desk.call("GET", `/api/v2/users/${desk.person("ana")}`)).body.state).toBe("active");
    }
  });

  test("two emulators of one seed answer alike", async () => {
    const run = async () => {
      const desk = await open(small);
      await add(desk, "Night shift", [desk.person("ben")]);
      const create = { name: "Ops", type: "official", rulesVisible: true, visibility: "public" };
      const answers = [
        await desk.call("POST", "/api/v2/groups", create),
        await desk.call("GET", "/api/v2/groups"),
        await desk.call("GET", "/api/v2/users?expand=groups"),
        await desk.call("GET", "/api/v2/groups/none"),
      ];
      return answers.map(({ text, headers }) => [text, [...headers]]);
    };
    expect(await run()).toEqual(await run());
  });

  test("switches of other names or values are refused", () => {
    const seed = { people: [], groups: [] };
    expect(() => createGenesysEmulator({ seed, switches: { nonsense: "on" } })).toThrow("nonsense");
    expect(() => createGenesysEmulator({ seed, switches: { mismatch: "410" } })).toThrow("mismatch");
    expect(Object.values(genesysSwitches).map((values) => values.length > 1)).not.toContain(false);
  });

  test("2,000 people in 700 groups are there at once, and 100,000 members are listed page by page", async () => {
    const crowd = people(2_000);
    const everyThird = crowd.map(({ id }) => id).filter((_, index) => index % 3 === 0);
    const groups = Array.from({ length: 700 }, (_, index) => ({ name: `G${index}`, members: everyThird }));
    const { group } = await open({ people: crowd, groups });
    expect(group("G699").members).toHaveLength(everyThird.length);
    const large = await open({ people: people(100_000), groups: [{ name: "All", members: idsOf(100_000) }] });
    const path = `/api/v2/groups/${large.group("All").id}/members?pageSize=200&pageNumber=`;
    const seen = new Set<string>();
    for (let page = 1; page <= 500; page++) {
      for (const { id } of (await large.call("GET", `${path}${page}`)).body.entities) seen.add(id);
    }
    expect(seen.size).toBe(100_000);
  });
});

describe("the emulator understands every recording", () => {
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
  }
  interface ListMark {
    readonly $list: { readonly count: number; readonly first: string; readonly last: string; readonly join?: string };
  }

  const recordings = JSON.parse(
    readFileSync(new URL("../fixtures/wire/genesys.json", import.meta.url), "utf8"),
  ) as readonly Recording[];

  const isListMark = (value: unknown): value is ListMark =>
    typeof value === "object" && value !== null && "$list" in value;

  /** Puts the shortened lists of a recording back at length. */
  const expand = (value: unknown): unknown => {
    if (isListMark(value)) {
      const { count, first, last, join } = value.$list;
      const start = Number.parseInt(first.slice(-12), 16);
      const whole = Array.from(
        { length: count },
        (_, index) => first.slice(0, -12) + (start + index).toString(16).padStart(12, "0"),
      );
      expect(whole.at(-1)).toBe(last);
      return join === undefined ? whole : whole.join(join);
    }
    if (Array.isArray(value)) return value.map(expand);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, expand(inner)]));
  };

  /**
   * Recordings that the emulator refuses although it understands them, with the reason. Every other one must be
   * answered with success.
   */
  const refused = new Map<string, readonly [number, string]>([
    ["GET /api/v2/groups/a%2Fb%20c", [404, "general.resource.not.found"]],
    ["GET /api/v2/users/me", [400, "bad.request"]],
  ]);
  const reasonToRefuse = ({
    method,
    path,
    query,
    body,
  }: Recording["request"]): readonly [number, string] | undefined => {
    if (method === "PUT" && /\/groups\/[^/]+$/.test(path) && !path.includes("scim") && !body)
      return [400, "invalid.value"];
    if (query.some(([name, value]) => name === "ids" && value === "")) return [400, "bad.request"];
    if (query.some(([name, value]) => name === "q64" && value === "eyJx+/9==")) return [400, "invalid.value"];
    const memberIds = (body as { memberIds?: unknown } | null | undefined)?.memberIds;
    if (Array.isArray(memberIds) && memberIds.length === 0) return [400, "invalid.value"];
    return refused.get(`${method} ${path}`);
  };

  test("there are recordings of both clients", () => {
    expect(recordings).toHaveLength(115);
    expect(new Set(recordings.map(({ client }) => client)).size).toBe(2);
  });

  test.each(recordings.map((recording, index) => [index, recording.call.method, recording] as const))(
    "%i %s",
    async (_, __, { request }) => {
      const desk = await open(small, { dynamic404: "off" });
      const { id } = desk.group("Night shift");
      const path = request.path
        .replace("b7d4e0aa-52c3-4a8e-8f10-000000000001", id)
        .replace("3f1c9a52-7b1e-4f6d-9c2a-000000000001", desk.person("ana"));
      const query = new URLSearchParams(
        request.query.map(([name, value]): [string, string] => [name, String(expand(value))]),
      ).toString();
      const { clientId, clientSecret } = desk.emulator.credentials;
      const headers = { ...request.headers };
      if (headers.authorization === "Bearer <token>") headers.authorization = `Bearer ${desk.token}`;
      else if (headers.authorization === "Basic <token>") headers.authorization = basic(clientId, clientSecret);
      else throw new Error(`unexpected authorization ${headers.authorization}`);
      let body: string | undefined;
      if (headers["content-type"] === "application/x-www-form-urlencoded") {
        body = new URLSearchParams(request.body as Record<string, string>).toString();
      } else if ("body" in request) {
        const json = expand(request.body) as { version?: number } | null;
        // The version of the recording is that of a group which is not here.
        body = JSON.stringify(json?.version === undefined ? json : { ...json, version: 1 });
      }
      const response = await desk.emulator.app.request(query ? `${path}?${query}` : path, {
        method: request.method,
        headers,
        ...(body === undefined ? {} : { body }),
      });
      const text = await response.text();
      const code = response.ok ? undefined : (JSON.parse(text) as Body).code;
      expect([response.status < 300 ? "success" : response.status, code]).toEqual(
        reasonToRefuse(request) ?? ["success", undefined],
      );
    },
  );
});
