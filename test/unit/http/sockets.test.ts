/** What sockets do to us: real servers on this machine that reset, hang, drip, cut, swell and redirect. */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { brotliCompressSync, createGzip, gzipSync } from "node:zlib";
import nock from "nock";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { createTokenCredential } from "../../../src/http/auth.js";
import {
  answer,
  collectEvents,
  createTestClient,
  errorOf,
  findFreePort,
  read,
  startServer,
  stopServers,
  timeOf,
  write,
} from "./support.js";

// nock replaces Node's http as soon as it is imported; only the last group wants that.
beforeAll(() => nock.restore());
afterEach(() => {
  stopServers();
  vi.unstubAllEnvs();
});

const reset = (response: ServerResponse) => (response.socket as Socket).resetAndDestroy();
const raw = (response: ServerResponse, text: string) => (response.socket as Socket).end(text);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const brokenWrite = { code: "network", facts: { provider: "crew", operation: "putThing", outcomeUnknown: true } };

describe("a connection that breaks", () => {
  const breaks: [string, (response: ServerResponse) => unknown][] = [
    ["is reset before the answer", reset],
    ["is closed before the answer", (response) => response.socket?.end()],
    [
      "is reset in the middle of the header",
      (response) => response.socket?.write("HTTP/1.1 200 O", () => reset(response)),
    ],
    [
      "is reset in the middle of the body",
      (response) => {
        response.writeHead(200, { "content-length": "100" });
        response.write('{"rows":[1', () => reset(response));
      },
    ],
    [
      "is closed before the length is reached",
      (response) => raw(response, 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"a":1}'),
    ],
    [
      "is closed before the last chunk",
      (response) => raw(response, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n'),
    ],
    ["does not speak HTTP", (response) => raw(response, "SSH-2.0-OpenSSH_9.6\r\n")],
    [
      "is cut in the middle of a compressed body",
      (response) => {
        const packed = gzipSync(JSON.stringify({ rows: Array.from({ length: 5000 }, Math.random) }));
        response.writeHead(200, { "content-encoding": "gzip", "content-length": String(packed.length) });
        response.write(packed.subarray(0, packed.length / 2), () => reset(response));
      },
    ],
  ];

  test.each(breaks)("and %s: a reading is sent again", async (_how, breakIt) => {
    const { url, seen } = await startServer((_request, response, count) => {
      if (count === 1) breakIt(response);
      else answer(response, 200, { rows: [] });
    });
    const { events, onCall } = collectEvents();
    expect((await createTestClient({ baseUrl: url }).send(read(), { onCall })).data).toEqual({ rows: [] });
    expect(seen).toHaveLength(2);
    expect(events.map((event) => (event as { type: string }).type)).toEqual(["call", "retry", "call"]);
    expect(events[0]).not.toHaveProperty("status");
    expect(events[1]).toMatchObject({ attempt: 1, reason: "network" });
  });

  test.each(breaks)("and %s: a write is not sent again, and its outcome is unknown", async (_how, breakIt) => {
    const { url, seen } = await startServer((_request, response) => breakIt(response));
    const error = await errorOf(createTestClient({ baseUrl: url }).send(write()));
    expect(error).toMatchObject(brokenWrite);
    expect(seen).toHaveLength(1);
  });

  test("always: a reading ends after the attempts that it has", async () => {
    const { url, seen } = await startServer((_request, response) => reset(response));
    const error = await errorOf(createTestClient({ baseUrl: url, maxAttempts: 3 }).send(read()));
    expect(error).toMatchObject({ code: "network", facts: { retryable: true, outcomeUnknown: false } });
    expect(error.message).toMatch(/^The connection to crew broke during getThing \(\w+\)\.$/);
    expect(seen).toHaveLength(3);
  });
});

describe("a connection that was never made", () => {
  test("is known to have done nothing, so even a write is tried again, until the service is there", async () => {
    const port = await findFreePort();
    const { events, onCall } = collectEvents();
    const client = createTestClient({ baseUrl: `http://127.0.0.1:${port}`, retryDelayMs: 300 });
    const sending = client.send(write(), { onCall });
    await pause(50);
    const { seen } = await startServer((_request, response) => answer(response, 200, { ok: true }), port);
    expect((await sending).data).toEqual({ ok: true });
    expect(seen).toHaveLength(1);
    expect(events.slice(0, 2)).toMatchObject([
      { type: "call", attempt: 1 },
      { type: "retry", reason: "network" },
    ]);
  });

  test("ends with an error that says where to look", async () => {
    const baseUrl = `http://127.0.0.1:${await findFreePort()}`;
    const { events, onCall } = collectEvents();
    const error = await errorOf(createTestClient({ baseUrl, maxAttempts: 2 }).send(write(), { onCall }));
    expect(error).toMatchObject({
      code: "network",
      message: "crew cannot be reached: nothing listens at that address (ECONNREFUSED).",
      facts: { retryable: true, hint: "Check the address of this provider and the network." },
    });
    expect(error.facts.outcomeUnknown ?? false).toBe(false);
    expect(events).toHaveLength(3);
  });

  test("is recognised behind a name with several addresses, too", async () => {
    const baseUrl = `http://localhost:${await findFreePort()}`;
    const error = await errorOf(createTestClient({ baseUrl, maxAttempts: 1 }).send(write()));
    expect(error.message).toContain("ECONNREFUSED");
    expect(error.facts.outcomeUnknown ?? false).toBe(false);
  });
});

describe("time", () => {
  test("is up for a server that never answers: a reading is tried again, a write is not", async () => {
    const { url, seen } = await startServer(() => undefined);
    const client = createTestClient({ baseUrl: url, timeoutMs: 80, maxAttempts: 2 });
    const reading = await errorOf(client.send(read()));
    expect(reading).toMatchObject({ code: "timeout", facts: { retryable: true, outcomeUnknown: false } });
    expect(reading.message).toMatch(/^crew did not answer getThing within 0\.[1-9] s\.$/);
    expect(seen).toHaveLength(2);
    const writing = await errorOf(client.send(write()));
    expect(writing).toMatchObject({ code: "timeout", facts: { outcomeUnknown: true, operation: "putThing" } });
    expect(seen).toHaveLength(3);
  });

  test.each([["read", read()] as const, ["write", write()] as const])(
    "is up for a body that drips on and on, though the connection is never idle (%s)",
    async (effect, request) => {
      const { url } = await startServer((_request, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        const drip = setInterval(() => response.write(" "), 15);
        response.on("close", () => clearInterval(drip));
      });
      const sending = errorOf(createTestClient({ baseUrl: url, timeoutMs: 200, maxAttempts: 1 }).send(request));
      const took = await timeOf(sending);
      expect(took).toBeGreaterThanOrEqual(190);
      expect(took).toBeLessThan(2000);
      expect(await sending).toMatchObject({ code: "timeout", facts: { outcomeUnknown: effect === "write" } });
    },
  );

  test("is up in the same way when the run has a signal", async () => {
    const { url } = await startServer(() => undefined);
    const { signal } = new AbortController();
    const sending = errorOf(createTestClient({ baseUrl: url, timeoutMs: 60, maxAttempts: 1 }).send(read(), { signal }));
    expect(await timeOf(sending)).toBeLessThan(2000);
    expect((await sending).code).toBe("timeout");
  });

  test("that was spent waiting for one's turn does not count", async () => {
    const { url } = await startServer((_request, response) => setTimeout(() => answer(response, 200, {}), 150));
    const client = createTestClient({ baseUrl: url, timeoutMs: 500, maxAttempts: 1 });
    const sent = await Promise.all(Array.from({ length: 5 }, () => client.send(write())));
    expect(sent.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  });

  test("longer than a timer can hold is not taken for none", async () => {
    const { url } = await startServer((_request, response) => setTimeout(() => answer(response, 200, {}), 30));
    const client = createTestClient({ baseUrl: url, timeoutMs: 1e15, maxAttempts: 1 });
    expect((await client.send(read())).status).toBe(200);
  });

  test("is not kept by a request that is done: nothing keeps the process from ending", async () => {
    const { url } = await startServer((_request, response) => answer(response, 200, {}));
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const client = createTestClient({ baseUrl: url });
    await client.send(read());
    const before = timers();
    await Promise.all(Array.from({ length: 20 }, () => client.send(read())));
    await errorOf(client.send({ ...read(), query: [["q", "\ud83d"]] }));
    expect(timers() - before).toBeLessThan(10);
  });
});

describe("a body", () => {
  test.each([
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
  ])("may come packed as %s", async (encoding, pack) => {
    const { url, seen } = await startServer((_request, response) => {
      response.writeHead(200, { "content-encoding": encoding });
      response.end(pack('{"name":"é"}'));
    });
    expect((await createTestClient({ baseUrl: url }).send(read())).data).toEqual({ name: "é" });
    expect(seen[0]?.headers["accept-encoding"]).toContain(encoding);
  });

  test("that was cut before it was packed is no success", async () => {
    const packed = gzipSync(JSON.stringify({ rows: Array.from({ length: 2000 }, Math.random) }));
    const { url } = await startServer((_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      response.end(packed.subarray(0, packed.length - 2000));
    });
    const error = await errorOf(createTestClient({ baseUrl: url, maxAttempts: 1 }).send(read()));
    expect(error).toMatchObject({ code: "bad-answer", facts: { status: 200, retryable: true } });
  });

  test("cut within its JSON, or HTML in its place, is asked for again when it was a reading", async () => {
    const { url, seen } = await startServer((_request, response, count) => {
      const bodies = ['{"rows":[1,2', "<html><title>Log in</title></html>"];
      answer(response, 200, bodies[count - 1] ?? { rows: [1, 2, 3] });
    });
    expect((await createTestClient({ baseUrl: url }).send(read())).data).toEqual({ rows: [1, 2, 3] });
    expect(seen).toHaveLength(3);
  });

  test("that swells beyond all bounds is given up, and not asked for again", async () => {
    const zeros = Buffer.alloc(1024 * 1024, "0");
    const { url, seen } = await startServer((_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip", "content-type": "application/json" });
      // 300 MB of zeros: 300 kB on the wire.
      const gzip = createGzip({ level: 1 });
      gzip.pipe(response);
      let left = 300;
      const push = () => {
        while (left > 0 && !response.destroyed)
          if (!gzip.write(zeros) && left-- > 0) return void gzip.once("drain", push);
        gzip.end();
      };
      push();
    });
    const error = await errorOf(createTestClient({ baseUrl: url }).send(read()));
    expect(error).toMatchObject({
      code: "bad-answer",
      message: "The answer of crew to getThing is too large.",
      facts: { provider: "crew", operation: "getThing" },
    });
    expect(seen).toHaveLength(1);
  });

  test("of some megabytes is fine", async () => {
    const rows = Array.from({ length: 100_000 }, (_, id) => ({ id, name: "Someone" }));
    const { url } = await startServer((_request, response) => answer(response, 200, { rows }));
    const { data } = await createTestClient({ baseUrl: url }).send(read());
    expect((data as { rows: unknown[] }).rows).toHaveLength(100_000);
  });
});

describe("a redirect", () => {
  test.each([301, 302, 303, 307, 308])("(%i) is not followed, so the token goes nowhere else", async (status) => {
    const elsewhere = await startServer((_request, response) => answer(response, 200, {}));
    const { url, seen } = await startServer((_request, response) => {
      answer(response, status, undefined, { location: `${elsewhere.url}/thing` });
    });
    const client = createTestClient({ baseUrl: url, credential: createTokenCredential("Bearer", "tok-tok-tok") });
    for (const request of [read(), write()]) {
      const error = await errorOf(client.send(request));
      expect(error).toMatchObject({ code: "bad-answer", facts: { status } });
      expect(error.facts.hint).toContain("redirect");
    }
    expect(seen).toHaveLength(2);
    expect(elsewhere.seen).toEqual([]);
  });
});

describe("a proxy named in the environment", () => {
  test("is not used", async () => {
    const proxy = await startServer((_request, response) => answer(response, 200, { by: "proxy" }));
    const { url, seen } = await startServer((_request, response) => answer(response, 200, { by: "service" }));
    for (const name of ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) {
      vi.stubEnv(name, proxy.url);
    }
    for (const name of ["NO_PROXY", "no_proxy"]) vi.stubEnv(name, "");
    expect((await createTestClient({ baseUrl: url }).send(read())).data).toEqual({ by: "service" });
    expect([seen.length, proxy.seen.length]).toEqual([1, 0]);
  });
});

describe("connections", () => {
  test("are used again", async () => {
    const { url, connections } = await startServer((_request, response) => answer(response, 200, {}));
    const client = createTestClient({ baseUrl: url });
    for (let count = 0; count < 5; count++) await client.send(count % 2 ? write() : read());
    expect(connections()).toBe(1);
  });

  test.each([["reading", read()] as const, ["write", write()] as const])(
    "which the server closed while they were idle do no harm to a %s",
    async (_effect, request) => {
      const { url, seen, connections, server } = await startServer((_request, response) => answer(response, 200, {}));
      const client = createTestClient({ baseUrl: url, maxAttempts: 1 });
      await client.send(request);
      server.closeIdleConnections();
      await pause(20);
      await client.send(request);
      expect([seen.length, connections()]).toEqual([2, 2]);
    },
  );

  test("which die just when they are used again cost a reading one more attempt, and leave a write unknown", async () => {
    const { url, seen } = await startServer((request, response) => {
      // The second request on a connection finds it dead.
      const socket = request.socket as Socket & { used?: boolean };
      if (socket.used) return reset(response);
      socket.used = true;
      return answer(response, 200, { ok: true });
    });
    const client = createTestClient({ baseUrl: url });
    await client.send(read());
    expect((await client.send(read())).data).toEqual({ ok: true });
    expect(seen).toHaveLength(3);
    expect(await errorOf(client.send(write()))).toMatchObject(brokenWrite);
    expect(seen).toHaveLength(4);
  });
});

describe("a failure with a code of its own", () => {
  const failWith = async (code: string, request = write()) => {
    if (!nock.isActive()) nock.activate();
    try {
      nock("https://crew.test")
        .put("/thing")
        .replyWithError(Object.assign(new Error("words"), { code }));
      return await errorOf(createTestClient({ baseUrl: "https://crew.test", maxAttempts: 1 }).send(request));
    } finally {
      nock.cleanAll();
      nock.restore();
    }
  };

  test.each(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"])(
    "%s: no connection was made, so nothing was done",
    async (code) => {
      const error = await failWith(code);
      expect(error).toMatchObject({ code: "network", facts: { retryable: true } });
      expect(error.message).toMatch(new RegExp(`^crew cannot be reached: .+ \\(${code}\\)\\.$`));
      expect(error.facts.outcomeUnknown ?? false).toBe(false);
    },
  );

  test.each([
    "CERT_HAS_EXPIRED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "ERR_TLS_CERT_ALTNAME_INVALID",
  ])("%s: a certificate that is not trusted does not mend itself, and nothing was sent", async (code) => {
    const error = await failWith(code);
    expect(error.message).toBe(`crew cannot be reached: its certificate is not trusted (${code}).`);
    expect(error).toMatchObject({ code: "network", facts: { hint: expect.stringContaining("NODE_EXTRA_CA_CERTS") } });
    expect(error.facts.retryable ?? false).toBe(false);
    expect(error.facts.outcomeUnknown ?? false).toBe(false);
  });

  test.each(["ECONNRESET", "EPIPE", "EPROTO", "HPE_INVALID_CONSTANT", "SOMETHING_NEW"])(
    "%s: the outcome of a write is unknown",
    async (code) => {
      expect(await failWith(code)).toMatchObject({ ...brokenWrite, message: expect.stringContaining(code) });
    },
  );

  test.each(["ETIMEDOUT", "ECONNABORTED"])("%s: time is up", async (code) => {
    expect(await failWith(code)).toMatchObject({ code: "timeout", facts: { outcomeUnknown: true } });
  });
});
