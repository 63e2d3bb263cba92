import { connect } from "node:net";
import { createServer, request as httpRequest } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import type { Seed, ServiceName } from "../../src/sandbox/kit.js";
import { type Sandbox, type SandboxOptions, serviceNames, startSandbox } from "../../src/sandbox/server.js";

const seed: Seed = {
  people: ["ada", "ben", "cleo"].map((id) => ({ id, email: `${id}@example.org`, name: `${id} x` })),
  groups: [{ name: "Crew", owners: ["ada"], members: ["ben"], invited: ["cleo"] }],
};

const running: Sandbox[] = [];

async function start(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ seed, ...options });
  running.push(sandbox);
  return sandbox;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((sandbox) => sandbox.close()));
});

function authorizationOf(sandbox: Sandbox, service: ServiceName): string {
  const { token, apiKey } = sandbox.services[service].credentials;
  return service === "neuroio" ? `Token ${token}` : `Bearer ${token ?? apiKey}`;
}

type Init = Omit<RequestInit, "headers"> & { readonly headers?: Readonly<Record<string, string>> };

async function get(sandbox: Sandbox, service: ServiceName, path: string, init: Init = {}): Promise<Response> {
  const headers = { authorization: authorizationOf(sandbox, service), accept: "application/json", ...init.headers };
  return fetch(sandbox.services[service].url + path, { ...init, headers });
}

async function control(sandbox: Sandbox, method: string, path: string, body?: unknown) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(`${sandbox.url}/_sandbox${path}`, { method, ...(body !== undefined && { body: text }) });
  const content = await answer.text();
  return { status: answer.status, json: content === "" ? undefined : JSON.parse(content) };
}

async function logInToGenesys(sandbox: Sandbox): Promise<string> {
  const { clientId, clientSecret } = sandbox.services.genesys.credentials;
  const answer = await fetch(`${sandbox.services.genesys.url}/oauth/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
  });
  const { access_token: token } = (await answer.json()) as { access_token: string };
  return token;
}

describe("services", () => {
  test("all four answer on one server, at the vendors' own paths under a prefix", async () => {
    const sandbox = await start();
    const { services } = sandbox;
    expect(serviceNames.map((name) => services[name].url)).toEqual(
      serviceNames.map((name) => `${sandbox.url}/${name}`),
    );
    expect((await get(sandbox, "neuroio", "/v1/groups/persons/")).status).toBe(200);
    expect((await get(sandbox, "brainstem", "/api/private/users/group/")).status).toBe(200);
    expect((await get(sandbox, "docspace", "/api/2.0/group")).status).toBe(200);
    const authorization = `Bearer ${await logInToGenesys(sandbox)}`;
    expect((await get(sandbox, "genesys", "/api/v2/groups", { headers: { authorization } })).status).toBe(200);
  });

  test("config() is the providers section of a spec file", async () => {
    const sandbox = await start();
    const { url, services } = sandbox;
    expect(sandbox.config()).toEqual({
      faces: { type: "neuroio", baseUrl: `${url}/neuroio`, iamUrl: `${url}/neuroio`, ...services.neuroio.credentials },
      lab: { type: "brainstem", baseUrl: `${url}/brainstem`, ...services.brainstem.credentials },
      docs: { type: "docspace", baseUrl: `${url}/docspace`, ...services.docspace.credentials },
      calls: {
        type: "genesys",
        baseUrl: `${url}/genesys`,
        loginUrl: `${url}/genesys`,
        ...services.genesys.credentials,
      },
    });
    expect(Object.values(sandbox.config()).map((provider) => Object.keys(provider).slice(1))).toEqual([
      ["baseUrl", "iamUrl", "token"],
      ["baseUrl", "token"],
      ["baseUrl", "apiKey"],
      ["baseUrl", "loginUrl", "clientId", "clientSecret"],
    ]);
  });

  test("a part of them: the others have no address, and asking for one says so", async () => {
    const sandbox = await start({ services: ["docspace", "neuroio"] });
    expect(Object.keys(sandbox.services)).toEqual(["neuroio", "docspace"]);
    expect(Object.keys(sandbox.config())).toEqual(["faces", "docs"]);
    expect(() => sandbox.services.genesys).toThrow("started without genesys. It has: neuroio, docspace.");
    expect((await fetch(`${sandbox.url}/genesys/api/v2/groups`)).status).toBe(404);
    expect(() => sandbox.addFault({ kind: "reset-before", service: "genesys" })).toThrow("would never strike");
  });

  test("switches reach their emulator; unknown ones are refused with the names of the right ones", async () => {
    const sandbox = await start({ switches: { genesys: { missingVersion: "400" } } });
    const authorization = `Bearer ${await logInToGenesys(sandbox)}`;
    const [group] = sandbox.services.genesys.control.groups();
    const memberIds = [sandbox.services.genesys.control.accountOf("cleo")];
    const answer = await get(sandbox, "genesys", `/api/v2/groups/${group?.id}/members`, {
      method: "POST",
      body: JSON.stringify({ memberIds }),
      headers: { authorization, "content-type": "application/json" },
    });
    expect(answer.status).toBe(400);
    await expect(start({ switches: { genesys: { nonsense: 1 } } })).rejects.toThrow("missingVersion");
    await expect(start({ services: ["slack" as ServiceName] })).rejects.toThrow('no service "slack"');
    await expect(start({ faults: [{ kind: "slow" } as never] })).rejects.toThrow("ms:");
  });

  test("bodies and queries arrive as they were sent", async () => {
    const sandbox = await start();
    const made = await get(sandbox, "neuroio", "/v1/groups/persons/", {
      method: "POST",
      body: JSON.stringify({ name: "Größe & 100 %" }),
      headers: { "content-type": "application/json" },
    });
    expect(await made.json()).toMatchObject({ name: "Größe & 100 %" });
    const found = await get(sandbox, "neuroio", `/v1/groups/persons/?q=${encodeURIComponent("Größe & 100 %")}`);
    expect(await found.json()).toMatchObject({ results: [{ name: "Größe & 100 %" }] });
    expect(sandbox.log.at(-1)?.query).toBe("q=Gr%C3%B6%C3%9Fe%20%26%20100%20%25");
  });

  test("latencyMs delays every answer of a service", async () => {
    const sandbox = await start({ latencyMs: 80 });
    const begun = Date.now();
    await get(sandbox, "docspace", "/api/2.0/group");
    expect(Date.now() - begun).toBeGreaterThanOrEqual(75);
  });

  test("the globals of the process stay as they were", async () => {
    const { Request, Response, fetch } = globalThis;
    await get(await start(), "docspace", "/api/2.0/group");
    expect([globalThis.Request, globalThis.Response, globalThis.fetch]).toEqual([Request, Response, fetch]);
  });
});

describe("the log", () => {
  test("says when, where, what and how it ended", async () => {
    const sandbox = await start({ now: () => 1_800_000_000_000 });
    await get(sandbox, "neuroio", "/v1/groups/persons/?limit=5");
    await get(sandbox, "neuroio", "/v1/groups/persons/pids/", {
      method: "DELETE",
      body: JSON.stringify({ pids: ["a", "b"], groups_ids: [1] }),
      headers: { "content-type": "application/json" },
    });
    const at = 1_800_000_000_000;
    expect([...sandbox.log]).toEqual([
      {
        at,
        service: "neuroio",
        method: "GET",
        path: "/v1/groups/persons/",
        query: "limit=5",
        status: 200,
        write: false,
      },
      {
        at,
        service: "neuroio",
        method: "DELETE",
        path: "/v1/groups/persons/pids/",
        query: "",
        status: expect.any(Number),
        write: true,
        bodySummary: "pids[2] groups_ids[1]",
      },
    ]);
    sandbox.log.clear();
    expect(sandbox.log).toHaveLength(0);
  });

  test("shows a request that still hangs", async () => {
    const sandbox = await start({ faults: [{ kind: "hang", ms: 60_000 }] });
    const hanging = get(sandbox, "neuroio", "/v1/groups/persons/").catch((error: unknown) => error);
    await expect.poll(() => sandbox.log.length).toBe(1);
    expect(sandbox.log[0]).toMatchObject({ path: "/v1/groups/persons/", status: 0 });
    await sandbox.close();
    expect(await hanging).toBeInstanceOf(TypeError);
    expect(sandbox.log[0]).toMatchObject({ status: 0, faulted: "hang" });
  });

  test("keeps the newest and counts what it dropped", async () => {
    const sandbox = await start({ logSize: 2 });
    for (const limit of [1, 2, 3]) await get(sandbox, "neuroio", `/v1/groups/persons/?limit=${limit}`);
    expect(sandbox.log.map(({ query }) => query)).toEqual(["limit=2", "limit=3"]);
    expect(sandbox.log.dropped).toBe(1);
    sandbox.log.clear();
    expect(sandbox.log.dropped).toBe(0);
  });

  test("holds no credential, wherever a client puts one", async () => {
    const sandbox = await start();
    const { token = "" } = sandbox.services.neuroio.credentials;
    const { clientSecret = "" } = sandbox.services.genesys.credentials;
    const bearer = await logInToGenesys(sandbox);
    await get(sandbox, "neuroio", `/v1/tokens/${token}/`);
    await get(sandbox, "neuroio", "/v1/tokens/some-other-key/");
    await get(sandbox, "neuroio", "/v1/tokens/17/");
    await get(sandbox, "genesys", `/api/v2/groups?note=${bearer}`, { headers: { authorization: `Bearer ${bearer}` } });
    await get(sandbox, "genesys", "/api/v2/groups?access_token=abcdefgh");
    await get(sandbox, "neuroio", "/v1/auth/token/", {
      method: "POST",
      body: JSON.stringify({ username: "ada", password: "hunter22", name: clientSecret }),
    });
    const text = JSON.stringify(sandbox.log);
    for (const secret of [token, clientSecret, bearer, "some-other-key", "abcdefgh", "hunter22", "Bearer", "Basic "]) {
      expect(text).not.toContain(secret);
    }
    expect(sandbox.log.map(({ path }) => path)).toContain("/v1/tokens/17/");
    expect(sandbox.log[0]).toMatchObject({ path: "/oauth/token", bodySummary: "grant_type" });
    expect(sandbox.log.at(-1)).toMatchObject({ bodySummary: 'username password name="***"' });
  });
});

describe("the server", () => {
  test("a port that is taken is refused in plain words", async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
    });
    await expect(start({ port })).rejects.toMatchObject({
      code: "EADDRINUSE",
      message: `Port ${port} on 127.0.0.1 is taken by another program. Choose another port, or port 0 for any free one.`,
    });
    other.close();
  });

  test("a port of one's choice is taken, and free again after close", async () => {
    const first = await start();
    const port = Number(new URL(first.url).port);
    await first.close();
    const second = await start({ port });
    expect(second.url).toBe(`http://127.0.0.1:${port}`);
  });

  test("close ends idle and hanging connections at once, and a second close does nothing", async () => {
    const sandbox = await start({
      faults: [
        { kind: "hang", ms: 600_000, service: "neuroio" },
        { kind: "slow", ms: 600_000, service: "docspace" },
        { kind: "drip", ms: 600_000, service: "brainstem" },
      ],
    });
    const outcomes = [
      get(sandbox, "neuroio", "/v1/groups/persons/"),
      get(sandbox, "docspace", "/api/2.0/group"),
      get(sandbox, "brainstem", "/api/private/users/group/").then((answer) => answer.text()),
    ].map((outcome) => outcome.catch((error: unknown) => error));
    const idle = connect(Number(new URL(sandbox.url).port), "127.0.0.1");
    const idleEnd = new Promise((resolve) => {
      idle.once("close", resolve);
    });
    await expect.poll(() => sandbox.log.length).toBe(3);
    await sandbox.close();
    await sandbox.close();
    await idleEnd;
    expect(await Promise.all(outcomes)).toEqual(outcomes.map(() => expect.any(TypeError)));
    await expect(fetch(sandbox.url)).rejects.toThrow(TypeError);
  });

  test("it listens on 127.0.0.1 alone", async () => {
    const sandbox = await start();
    const { port } = new URL(sandbox.url);
    // The whole of 127/8 is this machine: a server bound to any address would answer here.
    const other = fetch(`http://127.0.0.2:${port}/`).then((answer) => answer.status);
    await expect(other).rejects.toThrow(TypeError);
    expect((await fetch(sandbox.url)).status).toBe(200);
  });

  test.each([
    ["sandbox.attacker.example", 403],
    ["127.0.0.1.attacker.example", 403],
    ["localhost:1234", 200],
    ["127.0.0.1", 200],
  ])("called as %s it answers %d", async (name, status) => {
    const sandbox = await start();
    const answered = await new Promise((resolve, reject) => {
      const sent = httpRequest(`${sandbox.url}/_sandbox/state`, { headers: { host: name } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      sent.on("error", reject);
      sent.end();
    });
    expect(answered).toBe(status);
  });

  test("an address of no service says what there is", async () => {
    const sandbox = await start();
    const answer = await fetch(`${sandbox.url}/slack/users`);
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain("/neuroio, /brainstem, /docspace, /genesys");
    expect(sandbox.log).toHaveLength(0);
  });
});

describe("control routes", () => {
  test("the help page says what is where", async () => {
    const sandbox = await start();
    for (const path of ["/", "/_sandbox", "/_sandbox/"]) {
      const help = await (await fetch(sandbox.url + path)).text();
      expect(help).toContain(`${sandbox.url}/docspace`);
      expect(help).toContain(`POST   ${sandbox.url}/_sandbox/faults`);
    }
  });

  test("state shows groups, members, accounts, faults", async () => {
    const sandbox = await start();
    sandbox.addFault({ kind: "reset-before" });
    const { json } = await control(sandbox, "GET", "/state");
    expect(json.services.docspace.groups).toEqual(sandbox.services.docspace.control.groups());
    expect(json.services.genesys.accounts.ada).toBe(sandbox.services.genesys.control.accountOf("ada"));
    expect(json.faults).toMatchObject([{ id: "fault-1", fault: { kind: "reset-before" }, seen: 0, struck: 0 }]);
    expect(json.providers).toEqual(sandbox.config());
    const narrowed = await control(sandbox, "GET", "/state?service=genesys");
    expect(Object.keys(narrowed.json.services)).toEqual(["genesys"]);
  });

  test("faults are added, one or several, listed and removed", async () => {
    const sandbox = await start();
    expect((await control(sandbox, "POST", "/faults", { kind: "server-error" })).json).toEqual({ ids: ["fault-1"] });
    const both = await control(sandbox, "POST", "/faults", [{ kind: "slow", ms: 1 }, { kind: "reset-after" }]);
    expect(both).toMatchObject({ status: 201, json: { ids: ["fault-2", "fault-3"] } });
    expect((await get(sandbox, "docspace", "/api/2.0/group")).status).toBe(503);
    expect((await control(sandbox, "DELETE", "/faults/fault-2")).status).toBe(204);
    expect((await control(sandbox, "DELETE", "/faults/fault-2")).json).toEqual({
      error: 'There is no fault "fault-2".',
    });
    expect((await control(sandbox, "GET", "/faults")).json.faults).toMatchObject([
      { id: "fault-1", struck: 1 },
      { id: "fault-3", struck: 0 },
    ]);
    expect((await control(sandbox, "DELETE", "/faults")).status).toBe(204);
    expect(sandbox.faults()).toEqual([]);
  });

  test("a wrong fault in a list adds none of them", async () => {
    const sandbox = await start();
    const answer = await control(sandbox, "POST", "/faults", [{ kind: "reset-after" }, { kind: "explode" }]);
    expect(answer.status).toBe(400);
    expect(answer.json.error).toContain('found "explode"');
    expect(sandbox.faults()).toEqual([]);
  });

  test("the log is shown and forgotten", async () => {
    const sandbox = await start();
    await get(sandbox, "docspace", "/api/2.0/group");
    const { json } = await control(sandbox, "GET", "/log");
    expect(json).toMatchObject({
      dropped: 0,
      requests: [{ service: "docspace", path: "/api/2.0/group", status: 200 }],
    });
    await control(sandbox, "DELETE", "/log");
    expect(sandbox.log).toHaveLength(0);
  });

  test("edits change the true state, in order, all or none", async () => {
    const sandbox = await start();
    const crew = () => sandbox.services.docspace.control.groups()[0];
    const account = sandbox.services.docspace.control.accountOf("cleo");
    const edits = [
      { service: "docspace", action: "add-member", group: "Crew", person: "cleo", role: "manager" },
      { service: "docspace", action: "rename-group", group: "Crew", name: "Team" },
    ];
    expect((await control(sandbox, "POST", "/edits", edits)).json).toEqual({ applied: 2 });
    expect(crew()).toMatchObject({ name: "Team" });
    expect(crew()?.members).toContainEqual({ account, role: "manager", direct: true });
    const misspelt = await control(sandbox, "POST", "/edits", [edits[1], { service: "docspace", action: "add" }]);
    expect(misspelt.status).toBe(400);
    const unknown = await control(sandbox, "POST", "/edits", { ...edits[0], group: "Nobody" });
    expect(unknown.json).toEqual({ error: 'docspace has no group named "Nobody", nor one with that id.' });
    const stranger = await control(sandbox, "POST", "/edits", { ...edits[0], group: "Team", person: "zed" });
    expect(stranger.json.error).toContain('no account for the person "zed"');
  });

  test("a group can be named by its id, and a name of two groups is refused", async () => {
    const sandbox = await start();
    const { control: docs } = sandbox.services.docspace;
    const id = docs.addGroup({ name: "Crew" });
    const edit = { service: "docspace", action: "delete-group" };
    const refused = await control(sandbox, "POST", "/edits", { ...edit, group: "Crew" });
    expect(refused.json.error).toContain("2 groups named");
    expect((await control(sandbox, "POST", "/edits", { ...edit, group: id })).status).toBe(200);
    expect(docs.groups()).toHaveLength(1);
  });

  test("invitations of BrainSTEM are answered", async () => {
    const sandbox = await start();
    const { control: lab } = sandbox.services.brainstem;
    expect(lab.groups()[0]?.invited).toHaveLength(1);
    const nobody = await control(sandbox, "POST", "/brainstem/answer-invitations", { answer: "accept", person: "ben" });
    expect(nobody.json).toEqual({ answered: 0 });
    const accepted = await control(sandbox, "POST", "/brainstem/answer-invitations", {
      answer: "accept",
      group: "Crew",
    });
    expect(accepted.json).toEqual({ answered: 1 });
    expect(lab.groups()[0]?.invited).toHaveLength(0);
    expect(lab.groups()[0]?.members.map(({ account }) => account)).toContain("cleo@example.org");
    const wrong = await control(sandbox, "POST", "/brainstem/answer-invitations", { answer: "maybe" });
    expect(wrong).toMatchObject({ status: 400, json: { error: expect.stringContaining("answer:") } });
  });

  test("tokens expire on request", async () => {
    const sandbox = await start();
    const authorization = `Bearer ${await logInToGenesys(sandbox)}`;
    const read = async () => (await get(sandbox, "genesys", "/api/v2/groups", { headers: { authorization } })).status;
    expect(await read()).toBe(200);
    const { json } = await control(sandbox, "POST", "/expire-tokens", { service: "genesys" });
    expect(json).toEqual({ expired: ["genesys"] });
    expect(await read()).toBe(401);
  });

  test("what is not JSON, or not there, is answered in plain words", async () => {
    const sandbox = await start();
    expect((await control(sandbox, "POST", "/faults", "{oops")).json).toEqual({ error: "The body is not JSON." });
    expect((await control(sandbox, "POST", "/fautls")).json.error).toContain("has no POST /_sandbox/fautls");
  });
});
