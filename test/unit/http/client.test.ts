/** How the client waits, repeats, stops and reports. Real servers, because order and time matter. */
import { getEventListeners } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import { createRenewingCredential, createTokenCredential } from "../../../src/http/auth.js";
import {
  answer,
  collectEvents,
  createTestClient,
  errorOf,
  limits,
  read,
  startServer,
  stopServers,
  timeOf,
  until,
  write,
} from "./support.js";

afterEach(stopServers);

/** Much less than what is waited for, and much more than a busy machine needs. */
const SOON_MS = 1000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const call = (status: number | undefined, attempt: number, effect: "read" | "write" = "read") => ({
  type: "call",
  provider: "crew",
  operation: effect === "read" ? "getThing" : "putThing",
  effect,
  ...(status !== undefined && { status }),
  attempt,
});
const retry = (attempt: number, delayMs: unknown, reason: string, operation = "getThing") => ({
  type: "retry",
  provider: "crew",
  operation,
  attempt,
  delayMs,
  reason,
});

/** A server that gives these answers one after the other; the last one stays. */
function serveInTurn(...answers: readonly (readonly [number, unknown?, Record<string, string>?])[]) {
  return startServer((_request, response, count) => {
    const [status, body, headers] = answers[Math.min(count, answers.length) - 1] ?? [500];
    answer(response, status, body, headers);
  });
}

describe("a request that fails", () => {
  test("is sent again until it succeeds, and each step is reported", async () => {
    const { url, seen } = await serveInTurn([503], [500], [200, { ok: true }]);
    const { events, onCall } = collectEvents();
    const { data } = await createTestClient({ baseUrl: url }).send(read(), { onCall });
    expect(data).toEqual({ ok: true });
    expect(seen).toHaveLength(3);
    expect(events).toEqual([
      call(503, 1),
      retry(1, 0, "unavailable"),
      call(500, 2),
      retry(2, 0, "unavailable"),
      call(200, 3),
    ]);
  });

  test("is sent again as often as allowed, and ends with the last error", async () => {
    const { url, seen } = await serveInTurn([503], [503], [502, { message: "third" }], [200]);
    const { events, onCall } = collectEvents();
    const error = await errorOf(createTestClient({ baseUrl: url, maxAttempts: 3 }).send(read(), { onCall }));
    expect(error.message).toBe("crew answered 502 to getThing: third");
    expect(seen).toHaveLength(3);
    expect(events.at(-1)).toEqual(call(502, 3));
  });

  test("is sent five times unless told otherwise, and once when told so", async () => {
    const { url, seen } = await serveInTurn([503]);
    await errorOf(createTestClient({ baseUrl: url }).send(read()));
    expect(seen).toHaveLength(5);
    await errorOf(createTestClient({ baseUrl: url, maxAttempts: 1 }).send(read()));
    expect(seen).toHaveLength(6);
  });

  test.each([400, 403, 404, 409, 422, 501])("with %i is final", async (status) => {
    const { url, seen } = await serveInTurn([status]);
    const { events, onCall } = collectEvents();
    await errorOf(createTestClient({ baseUrl: url }).send(read(), { onCall }));
    expect(seen).toHaveLength(1);
    expect(events).toEqual([call(status, 1)]);
  });

  test.each([500, 502, 503, 504, 408])("with %i is not repeated when it is a write", async (status) => {
    const { url, seen } = await serveInTurn([status]);
    const error = await errorOf(createTestClient({ baseUrl: url }).send(write()));
    expect(error.facts.outcomeUnknown).toBe(true);
    expect(seen).toHaveLength(1);
  });

  test("waits between attempts for as long as reported", async () => {
    const { url, seen } = await serveInTurn([503], [200]);
    const { events, onCall } = collectEvents();
    await createTestClient({ baseUrl: url, retryDelayMs: 100 }).send(read(), { onCall });
    const { delayMs } = events[1] as { delayMs: number };
    expect(delayMs).toBeGreaterThanOrEqual(50);
    expect(delayMs).toBeLessThanOrEqual(100);
    expect((seen[1]?.at ?? 0) - (seen[0]?.at ?? 0)).toBeGreaterThanOrEqual(delayMs - 2);
  });

  test("with a fault that says when it is over waits until then, or ends if that is too long", async () => {
    const { url, seen } = await serveInTurn([503, {}, { "retry-after": "1" }], [200]);
    await createTestClient({ baseUrl: url }).send(read());
    expect((seen[1]?.at ?? 0) - (seen[0]?.at ?? 0)).toBeGreaterThanOrEqual(990);
    const late = await serveInTurn([503, {}, { "retry-after": "2" }], [200]);
    const error = await errorOf(createTestClient({ baseUrl: late.url, maxWaitMs: 1000 }).send(read()));
    expect(error).toMatchObject({ code: "unavailable", facts: { retryAt: expect.any(Number) } });
    expect(late.seen).toHaveLength(1);
  });
});

describe("a rate limit", () => {
  test("is waited out and the write is repeated, since it was not done", async () => {
    const { url, seen } = await serveInTurn([429, {}, { "retry-after": "1" }], [200, {}]);
    const { events, onCall } = collectEvents();
    await createTestClient({ baseUrl: url }).send(write(), { onCall });
    expect((seen[1]?.at ?? 0) - (seen[0]?.at ?? 0)).toBeGreaterThanOrEqual(990);
    expect(events).toEqual([
      call(429, 1, "write"),
      retry(1, expect.any(Number), "rate limit", "putThing"),
      {
        type: "wait",
        provider: "crew",
        scope: "service",
        delayMs: expect.any(Number),
        reason: "the service asked to wait",
      },
      call(200, 2, "write"),
    ]);
  });

  test("holds everything that uses the same credential, and nothing else", async () => {
    const { url, seen } = await startServer((request, response, count) => {
      answer(response, count === 1 ? 429 : 200, {}, { "x-path": request.url ?? "" });
    });
    const shared = { baseUrl: url, scopeKey: "shared by two clients", retryDelayMs: 800 };
    const [one, two] = [createTestClient(shared), createTestClient(shared)];
    const other = createTestClient({ baseUrl: url });
    const first = one.send(read("/first"));
    await until(() => seen.length === 1);
    await pause(30);
    await Promise.all([first, one.send(read("/a")), two.send(write("/b")), other.send(read("/free"))]);
    const waited = (path: string) => (seen.findLast((each) => each.url === path)?.at ?? 0) - (seen[0]?.at ?? 0);
    expect(seen[1]?.url).toBe("/free");
    for (const path of ["/first", "/a", "/b"]) expect(waited(path)).toBeGreaterThanOrEqual(398);
    expect(seen).toHaveLength(5);
  });

  test("that lasts longer than allowed ends the request at once, with the time to come back", async () => {
    const { url, seen } = await serveInTurn([429, {}, { "retry-after": "3600" }]);
    const { events, onCall } = collectEvents();
    const sending = errorOf(createTestClient({ baseUrl: url }).send(write(), { onCall }));
    expect(await timeOf(sending)).toBeLessThan(SOON_MS);
    const error = await sending;
    expect(error).toMatchObject({ code: "rate-limited", facts: { retryable: true, status: 429 } });
    expect(Math.abs((error.facts.retryAt ?? 0) - Date.now() - 3_600_000)).toBeLessThan(1500);
    expect(seen).toHaveLength(1);
    expect(events).toEqual([call(429, 1, "write")]);
  });

  test("that never ends is given up after five attempts more than a fault", async () => {
    const { url, seen } = await serveInTurn([429]);
    const error = await errorOf(createTestClient({ baseUrl: url, maxAttempts: 2 }).send(read()));
    expect(error.code).toBe("rate-limited");
    expect(seen).toHaveLength(7);
  });

  test("which is documented as used up for longer than allowed ends the request before it is sent", async () => {
    const { url, seen } = await serveInTurn([200, {}]);
    const rates = [{ scope: "key owner", requests: 1, windowMs: 86_400_000, counts: "write", source: "test" }] as const;
    const client = createTestClient({ baseUrl: url, capabilities: limits(rates) });
    const { events, onCall } = collectEvents();
    await client.send(write(), { onCall });
    const error = await errorOf(client.send(write(), { onCall }));
    expect(error).toMatchObject({
      code: "rate-limited",
      message: "crew, putThing: The limit of 1 requests per 86400 s (key owner) is used up.",
      facts: { provider: "crew", operation: "putThing", retryable: true },
    });
    expect(Math.abs((error.facts.retryAt ?? 0) - Date.now() - 86_400_000)).toBeLessThan(1500);
    expect(events).toEqual([call(200, 1, "write")]);
    await client.send(read());
    expect(seen).toHaveLength(2);
  });

  test.each([
    ["in place of the documented one", [{ scope: "token", requests: 100, windowMs: 60_000, counts: "all" }]],
    ["where none is documented", []],
    ["beside one of another length", [{ scope: "token", requests: 100, windowMs: 1000, counts: "all" }]],
  ] as const)("per minute can be set by the user %s", async (_where, rates) => {
    const { url, seen } = await serveInTurn([200, {}]);
    const client = createTestClient({
      baseUrl: url,
      capabilities: limits(rates.map((rate) => ({ ...rate, source: "test" }))),
      requestsPerMinute: 2,
      maxWaitMs: 1000,
    });
    await client.send(read());
    await client.send(write());
    for (const request of [read(), write()]) expect((await errorOf(client.send(request))).code).toBe("rate-limited");
    expect(seen).toHaveLength(2);
  });

  test("per second is kept, and the wait is reported", async () => {
    const { url, seen } = await serveInTurn([200, {}]);
    const rates = [{ scope: "token", requests: 2, windowMs: 300, counts: "all", source: "test" }] as const;
    const client = createTestClient({ baseUrl: url, capabilities: limits(rates) });
    const { events, onCall } = collectEvents();
    const sending = Promise.all([1, 2, 3].map(() => client.send(read(), { onCall })));
    expect(await timeOf(sending)).toBeGreaterThanOrEqual(295);
    expect(seen).toHaveLength(3);
    expect(events.filter((event) => (event as { type: string }).type === "wait")).toEqual([
      {
        type: "wait",
        provider: "crew",
        scope: "token",
        delayMs: expect.any(Number),
        reason: "2 requests per 0.3 s",
      },
    ]);
  });
});

describe("requests under way", () => {
  test("are no more than the service's capabilities say, readings and writes apart", async () => {
    const now = { read: 0, write: 0 };
    const most = { read: 0, write: 0 };
    const { url } = await startServer((request, response) => {
      const kind = request.method === "GET" ? "read" : "write";
      most[kind] = Math.max(most[kind], ++now[kind]);
      setTimeout(() => {
        now[kind]--;
        answer(response, 200, {});
      }, 15);
    });
    const client = createTestClient({ baseUrl: url, capabilities: limits([], 3, 1) });
    await Promise.all(Array.from({ length: 12 }, (_, index) => client.send(index % 3 === 0 ? write() : read())));
    expect(most).toEqual({ read: 3, write: 1 });
  });
});

describe("a refused token", () => {
  const loggingIn = (tokens: readonly string[]) => {
    let logIns = 0;
    const credential = createRenewingCredential({
      scheme: "Bearer",
      secrets: [],
      logIn: async () => ({ token: tokens[Math.min(logIns++, tokens.length - 1)] ?? "" }),
    });
    return { credential, count: () => logIns };
  };
  const serveFor = (...good: readonly string[]) =>
    startServer((request, response) => {
      answer(response, good.includes(request.headers.authorization ?? "") ? 200 : 401, {});
    });

  test("is renewed once, and even a write is sent again, since it was not done", async () => {
    const { url, seen } = await serveFor("Bearer new");
    const { credential, count } = loggingIn(["old", "new"]);
    const { events, onCall } = collectEvents();
    await createTestClient({ baseUrl: url, credential, maxAttempts: 1 }).send(write(), { onCall });
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer old", "Bearer new"]);
    expect(seen.map(({ body }) => body)).toEqual(['{"a":1}', '{"a":1}']);
    expect(count()).toBe(2);
    expect(events).toEqual([call(401, 1, "write"), call(200, 2, "write")]);
  });

  test("twice is final", async () => {
    const { url, seen } = await serveFor();
    const { credential, count } = loggingIn(["old", "new", "newer"]);
    const error = await errorOf(createTestClient({ baseUrl: url, credential }).send(read()));
    expect(error).toMatchObject({ code: "unauthenticated", facts: { status: 401 } });
    expect(seen).toHaveLength(2);
    expect(count()).toBe(2);
  });

  test("of many requests at once is renewed once", async () => {
    const { url, seen } = await serveFor("Bearer new");
    const { credential, count } = loggingIn(["old", "new", "newer"]);
    const client = createTestClient({ baseUrl: url, credential, capabilities: limits([], 10) });
    await Promise.all(Array.from({ length: 10 }, () => client.send(read())));
    expect(count()).toBe(2);
    expect(seen).toHaveLength(20);
  });

  test("that cannot be renewed is final", async () => {
    const { url, seen } = await serveFor();
    const client = createTestClient({ baseUrl: url, credential: createTokenCredential("Bearer", "old") });
    expect((await errorOf(client.send(read()))).code).toBe("unauthenticated");
    expect(seen).toHaveLength(1);
  });

  test.each(["Basic bob", null])(
    "that the request brought along (%s) is final, and renews nothing",
    async (authorization) => {
      const { url, seen } = await serveFor();
      const { credential, count } = loggingIn(["old", "new"]);
      const client = createTestClient({ baseUrl: url, credential });
      expect((await errorOf(client.send({ ...read(), authorization }))).code).toBe("unauthenticated");
      expect(seen).toHaveLength(1);
      expect(count()).toBe(0);
    },
  );

  test("stays refused when the log-in fails; the error is that of the log-in, and the next request logs in anew", async () => {
    const { url, seen } = await serveFor("Bearer good");
    let logIns = 0;
    const logIn = async () => {
      if (++logIns === 1) throw new GroupSyncError("unavailable", "log-in is down");
      return { token: "good" };
    };
    const credential = createRenewingCredential({ scheme: "Bearer", secrets: [], logIn });
    const client = createTestClient({ baseUrl: url, credential });
    expect((await errorOf(client.send(read()))).message).toBe("log-in is down");
    expect(seen).toHaveLength(0);
    await client.send(read());
    expect(seen).toHaveLength(1);
  });
});

describe("stopping", () => {
  test("ends a reading that is under way, at once", async () => {
    const { url, seen } = await startServer(() => undefined);
    const stopper = new AbortController();
    const { events, onCall } = collectEvents();
    const sending = errorOf(createTestClient({ baseUrl: url }).send(read(), { signal: stopper.signal, onCall }));
    await until(() => seen.length === 1);
    stopper.abort();
    expect(await timeOf(sending)).toBeLessThan(SOON_MS);
    expect(await sending).toMatchObject({ code: "cancelled", facts: { provider: "crew", operation: "getThing" } });
    expect(events).toEqual([call(undefined, 1)]);
  });

  test("ends a reading in the middle of its body", async () => {
    const { url, seen } = await startServer((_request, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write('{"rows":[');
    });
    const stopper = new AbortController();
    const sending = errorOf(createTestClient({ baseUrl: url }).send(read(), { signal: stopper.signal }));
    await until(() => seen.length === 1);
    await pause(30);
    stopper.abort();
    expect(await timeOf(sending)).toBeLessThan(SOON_MS);
    expect((await sending).code).toBe("cancelled");
  });

  test("never cuts off a write that is under way: its answer counts", async () => {
    const { url, seen } = await startServer((_request, response) => {
      setTimeout(() => answer(response, 200, { done: true }), 100);
    });
    const stopper = new AbortController();
    const sending = createTestClient({ baseUrl: url }).send(write(), { signal: stopper.signal });
    await until(() => seen.length === 1);
    stopper.abort();
    expect((await sending).data).toEqual({ done: true });
  });

  test("a write that fails after the stop is not repeated, and its own error is told", async () => {
    const { url, seen } = await startServer((_request, response) => {
      setTimeout(() => answer(response, 503), 50);
    });
    const stopper = new AbortController();
    const sending = errorOf(createTestClient({ baseUrl: url }).send(write(), { signal: stopper.signal }));
    await until(() => seen.length === 1);
    stopper.abort();
    expect(await sending).toMatchObject({ code: "unavailable", facts: { outcomeUnknown: true } });
    expect(seen).toHaveLength(1);
  });

  test("before the start sends nothing at all", async () => {
    const { url, seen } = await serveInTurn([200, {}]);
    const client = createTestClient({ baseUrl: url });
    const { events, onCall } = collectEvents();
    for (const request of [read(), write()]) {
      const error = await errorOf(client.send(request, { signal: AbortSignal.abort(), onCall }));
      expect(error).toMatchObject({ code: "cancelled", facts: { provider: "crew", operation: request.operation } });
      expect(error.facts.outcomeUnknown ?? false).toBe(false);
    }
    expect([seen, events]).toEqual([[], []]);
  });

  test.each([
    ["the back-off after a fault", 503, {}],
    ["the wait for a rate limit", 429, { "retry-after": "60" }],
  ])("ends %s at once", async (_what, status, headers) => {
    const { url, seen } = await serveInTurn([status, {}, headers], [200, {}]);
    const stopper = new AbortController();
    const client = createTestClient({ baseUrl: url, retryDelayMs: 60_000 });
    const { events, onCall } = collectEvents();
    const sending = errorOf(client.send(read(), { signal: stopper.signal, onCall }));
    await until(() => events.length >= 2);
    await pause(20);
    stopper.abort();
    expect(await timeOf(sending)).toBeLessThan(SOON_MS);
    expect(await sending).toMatchObject({ code: "cancelled", facts: { provider: "crew", operation: "getThing" } });
    expect(seen).toHaveLength(1);
  });

  test("ends the wait behind another write at once, and that one goes on", async () => {
    const { url, seen } = await startServer((_request, response, count) => {
      setTimeout(() => answer(response, 200, {}), count === 1 ? 1500 : 0);
    });
    const stopper = new AbortController();
    const { signal } = stopper;
    const client = createTestClient({ baseUrl: url });
    const underWay = client.send(write("/first"), { signal });
    await until(() => seen.length === 1);
    const waiting = errorOf(client.send(write("/second"), { signal }));
    await pause(10);
    stopper.abort();
    expect(await timeOf(waiting)).toBeLessThan(SOON_MS);
    expect((await waiting).code).toBe("cancelled");
    expect((await underWay).status).toBe(200);
    await client.send(write("/third"));
    expect(seen.map((each) => each.url)).toEqual(["/first", "/third"]);
  });

  test("ends the wait for a log-in at once", async () => {
    const { url, seen } = await serveInTurn([200, {}]);
    const logIn = () => new Promise<never>(() => undefined);
    const credential = createRenewingCredential({ scheme: "Bearer", secrets: [], logIn });
    const stopper = new AbortController();
    const client = createTestClient({ baseUrl: url, credential });
    const sending = [read(), write()].map((request) => errorOf(client.send(request, { signal: stopper.signal })));
    await pause(10);
    stopper.abort();
    for (const each of sending) {
      expect(await timeOf(each)).toBeLessThan(SOON_MS);
      expect((await each).code).toBe("cancelled");
    }
    expect(seen).toEqual([]);
  });

  test("is heard by any number of requests, with no warning and nothing left behind", async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on("warning", onWarning);
    const { url } = await serveInTurn([200, {}]);
    const { signal } = new AbortController();
    const credential = createRenewingCredential({ scheme: "B", secrets: [], logIn: async () => ({ token: "tok" }) });
    const client = createTestClient({ baseUrl: url, credential });
    await Promise.all(Array.from({ length: 60 }, (_, index) => client.send(index % 2 ? read() : write(), { signal })));
    await pause(5);
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
