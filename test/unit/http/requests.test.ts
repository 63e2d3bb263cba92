import nock from "nock";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTokenCredential } from "../../../src/http/auth.js";
import { type HttpRequest, path } from "../../../src/http/client.js";
import { createTestClient, errorOf, read, write } from "./support.js";

const ORIGIN = "https://crew.test";

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Answers everything with 200 and `{}`, and shows what came. */
function capture(): Sent[] {
  const sent: Sent[] = [];
  for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
    nock(/./)
      .persist()
      .intercept(/.*/, method)
      .reply(function reply(_uri, body) {
        const { headers, path: url } = this.req as unknown as { path: string; headers: Record<string, string> };
        const text = typeof body === "string" ? body : JSON.stringify(body);
        sent.push({ method, url, headers: { ...headers }, body: text });
        return [200, "{}"];
      });
  }
  return sent;
}

async function sendOne(request: HttpRequest, baseUrl = ORIGIN): Promise<Sent> {
  const sent = capture();
  await createTestClient({ baseUrl, credential: createTokenCredential("Bearer", "t0ken") }).send(request);
  expect(sent).toHaveLength(1);
  return sent[0] as Sent;
}

beforeEach(() => nock.disableNetConnect());
afterEach(() => {
  nock.cleanAll();
  nock.enableNetConnect();
});

describe("what is sent", () => {
  test("a reading: the header of the credential, JSON wanted, no body and no word about one", async () => {
    const { headers, ...sent } = await sendOne(read("/v1/groups/"));
    expect(sent).toEqual({ method: "GET", url: "/v1/groups/", body: "" });
    expect(headers).toMatchObject({
      host: "crew.test",
      accept: "application/json",
      authorization: "Bearer t0ken",
      "user-agent": "group-sync",
    });
    expect(headers).not.toHaveProperty("content-type");
    expect(headers).not.toHaveProperty("content-length");
  });

  test.each(["POST", "PUT", "PATCH", "DELETE"] as const)(
    "%s without a body says nothing about a body",
    async (method) => {
      const { headers, body } = await sendOne({ operation: "act", method, path: "/x", effect: "write" });
      expect(body).toBe("");
      expect(headers).not.toHaveProperty("content-type");
    },
  );

  test.each(["POST", "PUT", "PATCH", "DELETE"] as const)("%s with a body sends it as JSON", async (method) => {
    const body = { name: "Crew ✓ & co", ids: [1, 2], none: null };
    const sent = await sendOne({ operation: "act", method, path: "/x", body, effect: "write" });
    expect(sent.headers["content-type"]).toBe("application/json");
    expect(sent.headers["content-length"]).toBe(String(Buffer.byteLength(JSON.stringify(body))));
    expect(sent.body).toBe(JSON.stringify(body));
  });

  test.each([[{}], [[]], [null], [false], [0], [""], ["  text "], ["{}"]])(
    "the body %j is a body, and is sent as the JSON that it is",
    async (body) => {
      const sent = await sendOne(write("/x", body));
      expect(sent.headers["content-type"]).toBe("application/json");
      expect(sent.headers["content-length"]).toBe(String(JSON.stringify(body).length));
    },
  );

  test("a form is encoded as a form", async () => {
    const form = { grant_type: "client credentials", "a&b": "c=d+e%f", ü: "😀" };
    const sent = await sendOne({ operation: "logIn", method: "POST", path: "/oauth", form, effect: "read" });
    expect(sent.headers["content-type"]).toBe("application/x-www-form-urlencoded");
    expect(sent.body).toBe("grant_type=client+credentials&a%26b=c%3Dd%2Be%25f&%C3%BC=%F0%9F%98%80");
  });

  test("a query is encoded so that every character arrives as itself", async () => {
    const query = [
      ["q", "a+b & c=d%20?#/é😀'\"<>"],
      ["filter{name}", "x[]"],
      ["q", "twice"],
      ["empty", ""],
    ] as const;
    const { url } = await sendOne({ ...read("/list"), query });
    expect(url.startsWith("/list?q=a%2Bb%20%26%20c%3Dd%2520%3F%23%2F%C3%A9%F0%9F%98%80")).toBe(true);
    expect([...new URL(url, ORIGIN).searchParams]).toEqual(query);
  });

  test("an empty query leaves no question mark", async () => {
    expect((await sendOne({ ...read("/list"), query: [] })).url).toBe("/list");
  });

  test("a query with half a character is refused, and nothing is sent", async () => {
    const sent = capture();
    const error = await errorOf(createTestClient({ baseUrl: ORIGIN }).send({ ...read(), query: [["q", "\ud83d"]] }));
    expect(error.code).toBe("options-invalid");
    expect(sent).toEqual([]);
  });

  test.each([
    ["https://crew.test/tenant/a", "/v1/x", "/tenant/a/v1/x"],
    ["https://crew.test/tenant/a/", "/v1/x/", "/tenant/a/v1/x/"],
    ["https://crew.test", "v1/x", "/v1/x"],
    ["https://crew.test/", "//evil.test/x", "/evil.test/x"],
  ])("the path of the address %s goes before %s", async (baseUrl, to, url) => {
    const sent = await sendOne(read(to), baseUrl);
    expect(sent.url).toBe(url);
    expect(sent.headers["host"]).toBe("crew.test");
  });

  test.each(["https://evil.test/x", "//evil.test/x", "\\\\evil.test\\x", "http:evil.test"])(
    "the path %j never leads to another host",
    async (to) => {
      const sent = capture();
      await createTestClient({ baseUrl: ORIGIN, maxAttempts: 1 })
        .send(read(to))
        .catch(() => undefined);
      expect(sent.filter(({ headers }) => headers["host"] !== "crew.test")).toEqual([]);
    },
  );

  test("an id that looks like a path arrives as one encoded segment", async () => {
    expect((await sendOne(read(path`/groups/${"../../a/b?c#d"}/members`))).url).toBe(
      "/groups/..%2F..%2Fa%2Fb%3Fc%23d/members",
    );
  });

  test("a request's own authorization replaces the credential's; null sends none", async () => {
    expect((await sendOne({ ...read(), authorization: "Basic abc" })).headers["authorization"]).toBe("Basic abc");
    nock.cleanAll();
    expect((await sendOne({ ...read(), authorization: null })).headers).not.toHaveProperty("authorization");
  });

  test("a client without a credential sends no authorization", async () => {
    const sent = capture();
    await createTestClient({ baseUrl: ORIGIN }).send(read());
    expect(sent[0]?.headers).not.toHaveProperty("authorization");
  });

  test("a body above 6 MB is refused as too large, without being sent or tried again", async () => {
    const sent = capture();
    const events: unknown[] = [];
    const body = "x".repeat(6 * 1024 * 1024);
    const client = createTestClient({ baseUrl: ORIGIN });
    const error = await errorOf(client.send(write("/x", body), { onCall: (event) => events.push(event) }));
    expect(error).toMatchObject({ code: "too-large", facts: { provider: "crew", operation: "putThing" } });
    expect(error.facts.outcomeUnknown ?? false).toBe(false);
    expect(error.facts.retryable ?? false).toBe(false);
    expect(sent).toEqual([]);
    expect(events).toHaveLength(1);
    await client.send(write("/x", "x".repeat(6 * 1024 * 1024 - 2)));
    expect(sent).toHaveLength(1);
  });
});

describe("what comes back", () => {
  const answerWith = async (
    status: number,
    body: string,
    headers: Record<string, string> = {},
    request: HttpRequest = read(),
  ) => {
    nock(ORIGIN).persist().intercept("/thing", request.method).reply(status, body, headers);
    return createTestClient({ baseUrl: ORIGIN, maxAttempts: 1 }).send(request);
  };

  test.each([
    ['{"a":[1,{"b":null}]}', { a: [1, { b: null }] }],
    ["[]", []],
    ["null", null],
    ["0", 0],
    ['"ok"', "ok"],
    ["", undefined],
    [" \r\n ", undefined],
    ["\ufeff{}", {}],
    ['{"name":"é😀\\ud83d\\ude00"}', { name: "é😀😀" }],
  ])("the body %j is read as %j", async (body, data) => {
    expect((await answerWith(200, body)).data).toEqual(data);
  });

  test.each([200, 201, 202, 204, 206, 299])("%i is a success", async (status) => {
    expect(await answerWith(status, "")).toMatchObject({ status, data: undefined });
  });

  test("header names are in lower case", async () => {
    expect((await answerWith(200, "{}", { "X-Total": "7", ETag: '"a"' })).headers).toMatchObject({
      "x-total": "7",
      etag: '"a"',
    });
  });

  test("JSON is read whatever the content type says", async () => {
    expect((await answerWith(200, '{"a":1}', { "content-type": "text/html" })).data).toEqual({ a: 1 });
  });

  test.each([
    ["<!DOCTYPE html><title>Log in</title>", "HTML"],
    ["\n <html>", "HTML"],
    ['{"rows":[1,2', "cut or broken JSON"],
    ["{} {}", "cut or broken JSON"],
    ["NaN", "cut or broken JSON"],
    ["OK", "cut or broken JSON"],
  ])("200 with %j is no success", async (body, what) => {
    const error = await errorOf(answerWith(200, body));
    expect(error.message).toBe(`crew answered 200 to getThing, but not with readable JSON (${what}).`);
    expect(error).toMatchObject({
      code: "bad-answer",
      facts: { provider: "crew", operation: "getThing", status: 200, retryable: true, outcomeUnknown: false },
    });
  });

  test("200 with HTML to a write leaves its outcome unknown, and the write is not repeated", async () => {
    const client = createTestClient({ baseUrl: ORIGIN });
    nock(ORIGIN).put("/thing").once().reply(200, "<html>");
    const error = await errorOf(client.send(write()));
    expect(error).toMatchObject({ code: "bad-answer", facts: { outcomeUnknown: true } });
  });

  test("a body that the service leaves open is not looked at", async () => {
    expect(await answerWith(200, "<ok>", {}, { ...write(), ignoreBody: true })).toMatchObject({ data: undefined });
  });
});
