import { request as httpRequest } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import { createFaultBox, type FaultSelection, faultKinds, parseFault, purposeOf } from "../../src/sandbox/faults.js";
import type { Seed, ServiceName } from "../../src/sandbox/kit.js";
import { createNeuroioEmulator } from "../../src/sandbox/neuroio.js";
import { type Sandbox, type SandboxOptions, startSandbox } from "../../src/sandbox/server.js";

const seed: Seed = {
  people: ["ada", "ben", "cleo", "dan"].map((id) => ({ id, email: `${id}@example.org`, name: `${id} x` })),
  groups: [{ name: "Crew", owners: ["ada"], members: ["ben", "cleo"] }],
};

let sandbox: Sandbox;

async function start(options: SandboxOptions = {}): Promise<Sandbox> {
  sandbox = await startSandbox({ seed, ...options });
  return sandbox;
}

afterEach(async () => {
  await sandbox?.close();
});

interface Seen {
  /** Undefined when not even a header came. */
  readonly status?: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** Set when the connection ended before the answer was complete. */
  readonly error?: string;
  readonly ms: number;
  /** The longest silence between two pieces of the body. */
  readonly longestPauseMs: number;
}

interface Ask {
  readonly method?: string;
  readonly body?: unknown;
  readonly authorization?: string;
  /** The client gives up after so many milliseconds. */
  readonly patienceMs?: number;
}

/** What a client without any comfort sees. */
function ask(service: ServiceName, path: string, options: Ask = {}): Promise<Seen> {
  const { credentials, url } = sandbox.services[service];
  const scheme = service === "neuroio" ? "Token" : "Bearer";
  const authorization = options.authorization ?? `${scheme} ${credentials["token"] ?? credentials["apiKey"] ?? ""}`;
  const begun = Date.now();
  return new Promise((resolve) => {
    let text = "";
    let lastAt = 0;
    let longestPauseMs = 0;
    let status: number | undefined;
    let headers = {};
    const finish = (error?: string) => {
      const ms = Date.now() - begun;
      resolve({ headers, text, ms, longestPauseMs, ...(status && { status }), ...(error && { error }) });
    };
    const sent = httpRequest(
      url + path,
      {
        agent: false,
        method: options.method ?? "GET",
        headers: { authorization, accept: "application/json", "content-type": "application/json" },
      },
      (response) => {
        status = response.statusCode;
        headers = response.headers;
        lastAt = Date.now();
        response.on("data", (chunk) => {
          longestPauseMs = Math.max(longestPauseMs, Date.now() - lastAt);
          lastAt = Date.now();
          text += String(chunk);
        });
        response.on("end", () => finish());
        response.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
      },
    );
    sent.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
    if (options.patienceMs !== undefined) setTimeout(() => sent.destroy(), options.patienceMs);
    if (options.body !== undefined) sent.write(JSON.stringify(options.body));
    sent.end();
  });
}

const crew = (service: ServiceName) => {
  const group = sandbox.services[service].control.groups().find(({ name }) => name === "Crew");
  if (!group) throw new Error("no Crew");
  return group;
};
const names = (service: ServiceName) => sandbox.services[service].control.groups().map(({ name }) => name);
const readGroups = (options?: Ask) => ask("neuroio", "/v1/groups/persons/?limit=100&offset=0", options);
const createGroup = (name: string, options?: Ask) =>
  ask("neuroio", "/v1/groups/persons/", { method: "POST", body: { name }, ...options });
const readMembers = () => ask("neuroio", `/v1/groups/persons/${crew("neuroio").id}/pids/?limit=100&offset=0`);

async function genesysToken(): Promise<{ readonly status: number; readonly token: string; readonly text: string }> {
  const { clientId, clientSecret } = sandbox.services.genesys.credentials;
  const answer = await fetch(`${sandbox.services.genesys.url}/oauth/token`, {
    method: "POST",
    headers: {
      authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString("base64")}`,
      "content-type": "application/x-www-form-urlencoded",
    },
    body: "grant_type=client_credentials",
  });
  const text = await answer.text();
  const token = /"access_token":\s*"([^"]+)"/.exec(text)?.[1] ?? "";
  return { status: answer.status, token, text };
}

describe("rate-limit", () => {
  test("answers 429 with the service's body and seconds to wait, and applies nothing", async () => {
    await start({ faults: [{ kind: "rate-limit", service: "neuroio", when: "write", seconds: 7 }] });
    const seen = await createGroup("New");
    expect(seen).toMatchObject({ status: 429, headers: { "retry-after": "7" } });
    expect(JSON.parse(seen.text)).toMatchObject({ error_codes: [429] });
    expect(names("neuroio")).toEqual(["Crew"]);
    expect((await createGroup("New")).status).toBe(201);
  });

  test.each([
    ["http-date", "Fri, 06 Mar 2026 12:00:05 GMT"],
    ["http-date-rfc850", "Friday, 06-Mar-26 12:00:05 GMT"],
    ["http-date-asctime", "Fri Mar  6 12:00:05 2026"],
    ["none", undefined],
    ["garbage", "soon, please"],
    ["huge", "99999999"],
  ] as const)("writes Retry-After as %s", async (retryAfter, expected) => {
    await start({
      now: () => Date.UTC(2026, 2, 6, 11, 59, 59, 500),
      faults: [{ kind: "rate-limit", retryAfter, seconds: 5 }],
    });
    const seen = await readGroups();
    expect(seen.status).toBe(429);
    expect(seen.headers["retry-after"]).toBe(expected);
  });

  test("has no body at DocSpace, and vendor headers there", async () => {
    await start({ faults: [{ kind: "rate-limit", service: "docspace" }] });
    const seen = await ask("docspace", "/api/2.0/group");
    expect(seen).toMatchObject({ status: 429, text: "" });
    expect(seen.headers["x-ratelimit-limit"]).toMatch(/^[1-9]\d*$/);
  });

  test("is a 400 at the log-in of Genesys", async () => {
    await start({ faults: [{ kind: "rate-limit", service: "genesys", when: "login" }] });
    const { status, text } = await genesysToken();
    expect(status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ error: "invalid_request" });
    expect((await genesysToken()).status).toBe(200);
  });
});

describe("errors and pages instead of answers", () => {
  test.each([500, 502, 503, 504] as const)(
    "server-error %d carries the service's body and applies nothing",
    async (status) => {
      await start({ faults: [{ kind: "server-error", status }] });
      const seen = await createGroup("New");
      expect(seen.status).toBe(status);
      expect(JSON.parse(seen.text)).toBeTypeOf("object");
      expect(names("neuroio")).toEqual(["Crew"]);
    },
  );

  test("server-error with applied: the state changed all the same", async () => {
    await start({ faults: [{ kind: "server-error", applied: true }] });
    expect((await createGroup("New")).status).toBe(503);
    expect(names("neuroio")).toEqual(["Crew", "New"]);
  });

  test.each([200, 502])("html comes with status %d", async (status) => {
    await start({ faults: [{ kind: "html", status }] });
    const seen = await readGroups();
    expect(seen).toMatchObject({ status, headers: { "content-type": "text/html; charset=utf-8" } });
    expect(seen.text).toContain("<!DOCTYPE html>");
  });
});

describe("ended connections", () => {
  test("reset-before: no answer, nothing applied", async () => {
    await start({ faults: [{ kind: "reset-before", when: "write" }] });
    const seen = await createGroup("New");
    expect(seen).toMatchObject({ error: "ECONNRESET" });
    expect(seen.status).toBeUndefined();
    expect(names("neuroio")).toEqual(["Crew"]);
    expect(sandbox.log[0]).toMatchObject({ status: 0, faulted: "reset-before" });
  });

  test("reset-after: no answer, applied", async () => {
    await start({ faults: [{ kind: "reset-after", when: "write" }] });
    const seen = await createGroup("New");
    expect(seen).toMatchObject({ error: "ECONNRESET" });
    expect(seen.status).toBeUndefined();
    expect(names("neuroio")).toEqual(["Crew", "New"]);
  });

  test("truncate: a well-formed answer whose JSON is broken", async () => {
    await start({ faults: [{ kind: "truncate" }] });
    const seen = await readGroups();
    expect(seen.status).toBe(200);
    expect(seen.error).toBeUndefined();
    expect(Number(seen.headers["content-length"])).toBe(Buffer.byteLength(seen.text));
    expect(() => JSON.parse(seen.text)).toThrow(SyntaxError);
  });

  test("truncate gives an answer without a body the beginning of one", async () => {
    await start({ faults: [{ kind: "truncate" }] });
    const seen = await ask("neuroio", `/v1/groups/persons/${crew("neuroio").id}/`, { method: "DELETE" });
    expect(seen).toMatchObject({ status: 200, text: '{"' });
    expect(names("neuroio")).toEqual([]);
  });

  test("truncate short-body: less than the promised length, then the end", async () => {
    await start({ faults: [{ kind: "truncate", variant: "short-body", when: "write" }] });
    const seen = await createGroup("New");
    expect(seen).toMatchObject({ status: 201, error: "ECONNRESET" });
    expect(seen.text.length).toBeGreaterThan(0);
    expect(seen.text.length).toBeLessThan(Number(seen.headers["content-length"]));
    expect(names("neuroio")).toEqual(["Crew", "New"]);
  });

  test("hang: nothing for a while, then the end; nothing applied", async () => {
    await start({ faults: [{ kind: "hang", ms: 120 }] });
    const seen = await createGroup("New");
    expect(seen.error).toBe("ECONNRESET");
    expect(seen.status).toBeUndefined();
    expect(seen.ms).toBeGreaterThanOrEqual(110);
    expect(names("neuroio")).toEqual(["Crew"]);
  });

  test("hang with applied: a client that gives up cannot know that it worked", async () => {
    await start({ faults: [{ kind: "hang", ms: 60_000, applied: true }] });
    const seen = await createGroup("New", { patienceMs: 300 });
    expect(seen.status).toBeUndefined();
    expect(names("neuroio")).toEqual(["Crew", "New"]);
  });

  test("a kind that ends the connection says so where there is none, and changes nothing", async () => {
    const emulator = createNeuroioEmulator({ seed });
    for (const fault of [
      { kind: "reset-before" },
      { kind: "reset-after" },
      { kind: "hang", ms: 1 },
      { kind: "truncate", variant: "short-body" },
    ] as const) {
      const box = createFaultBox({ random: () => 0, now: Date.now });
      box.add(fault);
      const request = new Request("http://x.test/v1/groups/persons/", { method: "POST", body: '{"name":"New"}' });
      await expect(box.handle(emulator, request)).rejects.toThrow(`The fault "${fault.kind}" ends a real connection`);
    }
    expect(emulator.control.groups().map(({ name }) => name)).toEqual(["Crew"]);
  });
});

describe("lists", () => {
  test("empty-page empties the list and keeps the totals", async () => {
    await start({ faults: [{ kind: "empty-page", service: "neuroio" }] });
    expect(JSON.parse((await readMembers()).text)).toMatchObject({ count: 3, results: [] });
    expect(JSON.parse((await readMembers()).text)).toMatchObject({ count: 3, results: { length: 3 } });
  });

  test("empty-page with totals: too makes a consistent lie", async () => {
    await start({ faults: [{ kind: "empty-page", totals: "too" }] });
    expect(JSON.parse((await readMembers()).text)).toMatchObject({ count: 0, results: [] });
    expect(crew("neuroio").members).toHaveLength(3);
  });

  test("short-page loses the last rows and keeps the totals", async () => {
    await start({ faults: [{ kind: "short-page", rows: 2 }] });
    expect(JSON.parse((await readMembers()).text)).toMatchObject({ count: 3, results: { length: 1 } });
  });

  test("a list in a record is one as well: DocSpace's members, BrainSTEM's users", async () => {
    await start({
      faults: [
        { kind: "empty-page", service: "docspace", totals: "too" },
        { kind: "short-page", service: "brainstem" },
      ],
    });
    const docs = await ask("docspace", `/api/2.0/group/${crew("docspace").id}?includeMembers=true`);
    expect(JSON.parse(docs.text).response).toMatchObject({ name: "Crew", members: [], membersCount: 0 });
    const lab = await ask("brainstem", `/api/private/users/group/${crew("brainstem").id}/`);
    expect(Object.keys(JSON.parse(lab.text).group.users)).toHaveLength(2);
  });

  test("answers without a filled list pass and are not counted", async () => {
    await start({ faults: [{ kind: "empty-page", skip: 1 }] });
    await ask("neuroio", `/v1/groups/persons/${crew("neuroio").id}/`);
    expect(sandbox.faults()).toMatchObject([{ seen: 0, struck: 0 }]);
    expect(JSON.parse((await readMembers()).text).results).toHaveLength(3);
    expect(JSON.parse((await readMembers()).text).results).toHaveLength(0);
    expect(sandbox.faults()).toMatchObject([{ seen: 2, struck: 1 }]);
  });
});

describe("lies, lag and other people", () => {
  test("lying-200: a success that changed nothing", async () => {
    await start({ faults: [{ kind: "lying-200", service: "neuroio" }] });
    await readGroups();
    const seen = await createGroup("New");
    expect(seen.status).toBe(201);
    expect(JSON.parse(seen.text)).toMatchObject({ name: "New" });
    expect(names("neuroio")).toEqual(["Crew"]);
  });

  test("lying-200 takes nothing back of what others write at the same moment", async () => {
    await start({ faults: [{ kind: "lying-200", service: "neuroio", every: 2 }] });
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => createGroup(`G${index}`)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 201));
    expect(names("neuroio")).toHaveLength(1 + 5);
  });

  test("lag: the write shows to readers later, and to control at once", async () => {
    let time = 1_800_000_000_000;
    await start({ now: () => time, faults: [{ kind: "lag", ms: 1000 }] });
    const pid = sandbox.services.neuroio.control.accountOf("dan");
    const added = await ask("neuroio", "/v1/groups/persons/pids/", {
      method: "POST",
      body: { pids: [pid], groups_ids: [Number(crew("neuroio").id)] },
    });
    expect(added.status).toBe(200);
    expect(crew("neuroio").members).toHaveLength(4);
    expect(JSON.parse((await readMembers()).text).count).toBe(3);
    time += 1001;
    expect(JSON.parse((await readMembers()).text).count).toBe(4);
  });

  test("edit before: the request already sees it", async () => {
    await start({ faults: [{ kind: "edit", edit: { action: "add-member", group: "Crew", person: "dan" } }] });
    expect(JSON.parse((await readMembers()).text).count).toBe(4);
  });

  test("edit after: the request does not see it, the next one does", async () => {
    await start({
      faults: [{ kind: "edit", at: "after", edit: { action: "remove-member", group: "Crew", person: "ben" } }],
    });
    expect(JSON.parse((await readMembers()).text).count).toBe(3);
    expect(JSON.parse((await readMembers()).text).count).toBe(2);
  });

  test("edits rename, delete and make groups and disable people", async () => {
    await start({
      faults: [
        { kind: "edit", service: "docspace", edit: { action: "rename-group", group: "Crew", name: "Team" } },
        { kind: "edit", service: "docspace", edit: { action: "add-group", name: "Other" } },
        { kind: "edit", service: "docspace", edit: { action: "set-status", person: "ben", status: "disabled" } },
        { kind: "edit", service: "genesys", when: "login", edit: { action: "delete-group", group: "Crew" } },
      ],
    });
    const listed = JSON.parse((await ask("docspace", "/api/2.0/group")).text).response;
    expect(listed.map((group: { name: string }) => group.name)).toEqual(["Other", "Team"]);
    expect(listed.map((group: { membersCount: number }) => group.membersCount)).toEqual([0, 2]);
    await genesysToken();
    expect(names("genesys")).toEqual([]);
  });

  test("an edit that can't be done says so to the client and in the log", async () => {
    await start({ faults: [{ kind: "edit", edit: { action: "delete-group", group: "Nobody" } }] });
    const seen = await readGroups();
    expect(seen.status).toBe(500);
    expect(seen.text).toContain('neuroio has no group named \\"Nobody\\"');
    expect(sandbox.log[0]).toMatchObject({ status: 500, faulted: "edit", problem: expect.stringContaining("Nobody") });
  });

  test("expired-token: the token stops working, and a new log-in helps", async () => {
    await start({ faults: [{ kind: "expired-token", service: "genesys" }] });
    const { token } = await genesysToken();
    const read = (bearer: string) => ask("genesys", "/api/v2/groups", { authorization: `Bearer ${bearer}` });
    expect((await read(token)).status).toBe(401);
    expect((await read(token)).status).toBe(401);
    expect((await read((await genesysToken()).token)).status).toBe(200);
  });
});

describe("slowness", () => {
  test("slow: the whole answer, later; applied at once", async () => {
    await start({ faults: [{ kind: "slow", ms: 400 }] });
    const answer = createGroup("New");
    await expect.poll(() => names("neuroio"), { timeout: 350, interval: 5 }).toContain("New");
    const seen = await answer;
    expect(seen.status).toBe(201);
    expect(seen.ms).toBeGreaterThanOrEqual(390);
  });

  test("drip: bytes keep coming, so that a limit on silence never strikes, and the JSON is whole", async () => {
    await start({ faults: [{ kind: "drip", ms: 800 }] });
    const seen = await createGroup("New");
    expect(seen.error).toBeUndefined();
    expect(seen.ms).toBeGreaterThanOrEqual(750);
    expect(seen.longestPauseMs).toBeLessThan(500);
    expect(JSON.parse(seen.text)).toMatchObject({ name: "New" });
  });
});

describe("which requests a fault strikes", () => {
  const statuses = async (count: number) => {
    const seen: (number | undefined)[] = [];
    for (let index = 0; index < count; index++) seen.push((await readGroups()).status);
    return seen;
  };

  test("skip, then times", async () => {
    await start({ faults: [{ kind: "server-error", skip: 1, times: 2 }] });
    expect(await statuses(5)).toEqual([200, 503, 503, 200, 200]);
  });

  test("once by default, for ever with times 0, every third with every", async () => {
    await start({ faults: [{ kind: "server-error" }] });
    expect(await statuses(2)).toEqual([503, 200]);
    sandbox.clearFaults();
    sandbox.addFault({ kind: "server-error", times: 0 });
    expect(await statuses(3)).toEqual([503, 503, 503]);
    sandbox.clearFaults();
    sandbox.addFault({ kind: "server-error", every: 3 });
    expect(await statuses(7)).toEqual([200, 200, 503, 200, 200, 503, 200]);
  });

  test("probability draws from the random seed: the same seed, the same luck", async () => {
    const run = async (randomSeed: number) => {
      await start({ randomSeed, faults: [{ kind: "server-error", probability: 0.5 }] });
      const seen = await statuses(12);
      await sandbox.close();
      return seen.join(" ");
    };
    const first = await run(7);
    expect(first).toContain("200");
    expect(first).toContain("503");
    expect(await run(7)).toBe(first);
    expect(await run(8)).not.toBe(first);
  });

  test("method, path as text, path as expression, service", async () => {
    await start();
    const struckBy = async (selection: FaultSelection) => {
      sandbox.clearFaults();
      sandbox.addFault({ kind: "server-error", ...selection });
      return (await readMembers()).status === 503;
    };
    expect(await struckBy({ method: "get" })).toBe(true);
    expect(await struckBy({ method: "POST" })).toBe(false);
    expect(await struckBy({ path: "/pids/" })).toBe(true);
    expect(await struckBy({ path: "/pid/" })).toBe(false);
    expect(await struckBy({ path: "offset=0" })).toBe(true);
    expect(await struckBy({ path: String.raw`/persons\/\d+\/pids\/$/` })).toBe(true);
    expect(await struckBy({ path: String.raw`/persons\/\d+\/$/` })).toBe(false);
    expect(await struckBy({ service: "neuroio" })).toBe(true);
    expect(await struckBy({ service: "genesys" })).toBe(false);
  });

  test("two faults strike two requests one after the other; preparations join them", async () => {
    await start({
      faults: [
        { kind: "rate-limit" },
        { kind: "server-error" },
        { kind: "edit", edit: { action: "rename-group", group: "Crew", name: "Team" } },
      ],
    });
    expect((await createGroup("New")).status).toBe(429);
    expect(names("neuroio")).toEqual(["Team"]);
    expect((await createGroup("New")).status).toBe(503);
    expect((await createGroup("New")).status).toBe(201);
  });

  test("a removed fault strikes no more", async () => {
    await start();
    const id = sandbox.addFault({ kind: "server-error", times: 0 });
    expect(sandbox.removeFault(id)).toBe(true);
    expect(sandbox.removeFault(id)).toBe(false);
    expect(await statuses(1)).toEqual([200]);
  });

  test.each([
    ["neuroio", "GET", "/v1/groups/persons/", "read"],
    ["neuroio", "DELETE", "/v1/groups/persons/pids/", "write"],
    ["neuroio", "POST", "/v1/persons/search/", "read"],
    ["neuroio", "POST", "/v1/auth/token/", "login"],
    ["brainstem", "GET", "/api/private/users/group/9/", "read"],
    ["brainstem", "GET", "/api/private/users/group/9/join", "write"],
    ["brainstem", "GET", "/api/private/users/groupmembershipinvitation/x/accept/", "write"],
    ["brainstem", "PATCH", "/api/private/users/group/9/", "write"],
    ["brainstem", "POST", "/api/auth/device/token/", "login"],
    ["docspace", "PUT", "/api/2.0/group/x/members", "write"],
    ["docspace", "POST", "/api/2.0/authentication", "login"],
    ["genesys", "POST", "/oauth/token", "login"],
    ["genesys", "POST", "/api/v2/users/search", "read"],
    ["genesys", "POST", "/api/v2/search", "read"],
    ["genesys", "POST", "/api/v2/groups", "write"],
    ["genesys", "POST", "/api/v2/groups/dynamicsettings/preview", "read"],
  ] as const)("%s %s %s is a %s", (service, method, path, purpose) => {
    expect(purposeOf(service, method, path)).toBe(purpose);
  });
});

describe("reading a fault", () => {
  test("every kind is read back as it was written", () => {
    const faults = [
      { kind: "rate-limit", retryAfter: "huge" },
      { kind: "server-error", status: 504, applied: true },
      { kind: "html", status: 200 },
      { kind: "reset-before", when: "write" },
      { kind: "reset-after", service: "genesys" },
      { kind: "truncate", variant: "short-body" },
      { kind: "empty-page", totals: "too" },
      { kind: "short-page", rows: 3 },
      { kind: "lying-200", skip: 2 },
      { kind: "lag", ms: 10 },
      { kind: "edit", at: "after", edit: { action: "remove-member", group: "Crew", person: "ada" } },
      { kind: "expired-token", every: 5 },
      { kind: "hang", ms: 10 },
      { kind: "slow", ms: 10, probability: 0.1 },
      { kind: "drip", ms: 10 },
    ];
    expect(faults.map((fault) => fault.kind)).toEqual(faultKinds);
    for (const fault of faults) expect(parseFault(JSON.parse(JSON.stringify(fault)))).toEqual(fault);
  });

  test.each([
    [{ kind: "explode" }, "one of rate-limit,"],
    [null, "found none"],
    [{ kind: "slow" }, "ms:"],
    [{ kind: "slow", ms: 3_000_000_000 }, "ms:"],
    [{ kind: "html", satus: 200 }, '"satus"'],
    [{ kind: "reset-after", path: "/groups(/" }, "path: is not a valid regular expression"],
    [{ kind: "reset-after", every: 2, probability: 0.5 }, "choose one"],
    [{ kind: "lying-200", when: "read" }, "strikes writes only"],
    [{ kind: "edit", edit: { action: "add-member", group: "Crew" } }, "edit.person"],
  ])("%j is refused in plain words", (value, words) => {
    expect(() => parseFault(value)).toThrow(words);
  });
});
