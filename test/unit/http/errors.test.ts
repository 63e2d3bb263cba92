import nock from "nock";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ErrorCode } from "../../../src/errors.js";
import { type Credential, createRenewingCredential, createTokenCredential } from "../../../src/http/auth.js";
import type { ErrorDescription, HttpClientOptions, HttpRequest } from "../../../src/http/client.js";
import {
  answer,
  createTestClient,
  errorOf,
  everythingOf,
  read,
  startServer,
  stopServers,
  until,
  write,
} from "./support.js";

const ORIGIN = "https://crew.test";
const TOKEN = "s3cr3t-t0ken/+=";

beforeEach(() => nock.disableNetConnect());
afterEach(() => {
  nock.cleanAll();
  nock.enableNetConnect();
  stopServers();
});

/** The error that one answer gives. A 429 is asked again, so the answer stays. */
function errorFor(
  request: HttpRequest,
  status: number,
  body: string | object = "",
  headers: Record<string, string> = {},
  options: Partial<HttpClientOptions> = {},
) {
  nock(ORIGIN).persist().intercept("/thing", request.method).reply(status, body, headers);
  return errorOf(createTestClient({ baseUrl: ORIGIN, maxAttempts: 1, ...options }).send(request));
}

describe("a status becomes an error", () => {
  const transient = { retryable: true, outcomeUnknown: true };
  const table: [number, ErrorCode, { retryable?: boolean; outcomeUnknown?: boolean }][] = [
    [300, "bad-answer", {}],
    [301, "bad-answer", {}],
    [302, "bad-answer", {}],
    [303, "bad-answer", {}],
    [304, "bad-answer", {}],
    [307, "bad-answer", {}],
    [308, "bad-answer", {}],
    [400, "refused", {}],
    [401, "unauthenticated", {}],
    [402, "unavailable", {}],
    [403, "forbidden", {}],
    [404, "not-found", {}],
    [405, "refused", {}],
    [406, "refused", {}],
    [408, "timeout", transient],
    [409, "conflict", {}],
    [410, "not-found", {}],
    [412, "conflict", {}],
    [413, "too-large", {}],
    [414, "refused", {}],
    [415, "refused", {}],
    [418, "refused", {}],
    [422, "refused", {}],
    [423, "refused", {}],
    [425, "timeout", transient],
    [429, "rate-limited", { retryable: true }],
    [431, "refused", {}],
    [451, "refused", {}],
    [500, "unavailable", transient],
    [501, "unavailable", { outcomeUnknown: true }],
    [502, "unavailable", transient],
    [503, "unavailable", transient],
    [504, "unavailable", transient],
    [507, "unavailable", transient],
    [599, "unavailable", transient],
  ];
  const flags = ({ facts }: { facts: { retryable?: boolean; outcomeUnknown?: boolean } }) => ({
    retryable: facts.retryable ?? false,
    outcomeUnknown: facts.outcomeUnknown ?? false,
  });

  test.each(table)("%i to a reading: %s", async (status, code, { retryable = false }) => {
    const error = await errorFor(read(), status);
    expect(error).toMatchObject({ code, facts: { status, provider: "crew", operation: "getThing" } });
    expect(flags(error)).toEqual({ retryable, outcomeUnknown: false });
    expect(error.message).toBe(`crew answered ${status} to getThing.`);
  });

  test.each(table)("%i to a write: %s", async (status, code, { retryable = false, outcomeUnknown = false }) => {
    const error = await errorFor(write(), status);
    expect(error).toMatchObject({ code, facts: { status, provider: "crew", operation: "putThing" } });
    expect(flags(error)).toEqual({ retryable, outcomeUnknown });
  });

  test.each([
    [302, /host/],
    [401, /credentials/],
    [402, /unpaid/],
    [403, /right/],
  ])("%i says what to do", async (status, hint) => {
    expect((await errorFor(read(), status)).facts.hint).toMatch(hint);
  });

  test("HTML, broken JSON and no body at all are fine in an error answer", async () => {
    for (const body of ["<html>Bad gateway</html>", '{"message":', ""]) {
      expect((await errorFor(read(), 502, body)).message).toBe("crew answered 502 to getThing.");
      nock.cleanAll();
    }
  });
});

describe("what the adapter says about an error answer", () => {
  test("it gets the status and the parsed body; undefined for what is no JSON", async () => {
    const asked: unknown[] = [];
    const describeError = (status: number, data: unknown): ErrorDescription => {
      asked.push([status, data]);
      return {};
    };
    await errorFor(read(), 400, { detail: "no" }, {}, { describeError });
    nock.cleanAll();
    await errorFor(read(), 502, "<html>", {}, { describeError });
    expect(asked).toEqual([
      [400, { detail: "no" }],
      [502, undefined],
    ]);
  });

  test("its message, code and field are in the error", async () => {
    const describeError = () => ({ message: "Name taken.", serviceCode: "general.conflict", field: "name" });
    const error = await errorFor(write(), 400, {}, {}, { describeError });
    expect(error.message).toBe("crew answered 400 to putThing: Name taken.");
    expect(error.facts).toMatchObject({ serviceCode: "general.conflict", field: "name" });
  });

  test("its word on what the error is goes before the status; so does its hint", async () => {
    const describeError = () => ({ code: "conflict", hint: "Read again." }) as const;
    const error = await errorFor(write(), 400, {}, {}, { describeError });
    expect(error).toMatchObject({ code: "conflict", facts: { status: 400, hint: "Read again." } });
  });

  test("a rate limit under another status is one: to be retried, and known not to be done", async () => {
    const describeError = () => ({ code: "rate-limited" }) as const;
    const error = await errorFor(write(), 503, {}, { "retry-after": "100000" }, { describeError });
    expect(error).toMatchObject({ code: "rate-limited", facts: { retryable: true, outcomeUnknown: false } });
    expect(error.facts.retryAt).toBeGreaterThan(Date.now() + 99_000_000);
  });

  test("the request id is taken from the header that the adapter names", async () => {
    const options = { requestIdHeader: "x-request-id" };
    expect((await errorFor(read(), 500, "", { "X-Request-ID": "r-1" }, options)).facts.requestId).toBe("r-1");
    nock.cleanAll();
    expect((await errorFor(read(), 200, "<html>", { "x-request-id": "r-2" }, options)).facts.requestId).toBe("r-2");
    nock.cleanAll();
    expect((await errorFor(read(), 500, "", {}, options)).facts).not.toHaveProperty("requestId");
    nock.cleanAll();
    expect((await errorFor(read(), 500, "", { "x-request-id": "r-3" })).facts).not.toHaveProperty("requestId");
  });
});

describe("a service's message", () => {
  const messageFor = async (message: string) => {
    const error = await errorFor(read(), 400, { message });
    return error.message.replace(/^crew answered 400 to getThing(: |\.$)/, "");
  };

  test.each([
    ["one\r\n\ttwo   three ", "one two three"],
    ["\u001b[31mred\u001b[0m", "[31mred [0m"],
    ["a\u0000b\u0007c", "a b c"],
    ["left\u202eright\u2066x\u200b", "left right x"],
    ["line\u2028line\u2029line\u0085end", "line line line end"],
    ["half \ud83d here", "half here"],
    ["Gruppe „Nachtwache“ 😀", "Gruppe „Nachtwache“ 😀"],
    [" \n ", ""],
    ["", ""],
  ])("%j is shown as %j", async (message, shown) => {
    expect(await messageFor(message)).toBe(shown);
  });

  test("is shortened to 300 characters", async () => {
    expect(await messageFor("x".repeat(300))).toBe("x".repeat(300));
    nock.cleanAll();
    expect(await messageFor("x".repeat(301))).toBe(`${"x".repeat(299)}…`);
    nock.cleanAll();
    expect(await messageFor("y".repeat(1_000_000))).toHaveLength(300);
  });

  test("is not cut through the middle of a character", async () => {
    expect(await messageFor("😀".repeat(200))).toBe(`${"😀".repeat(149)}…`);
  });

  test("the service's code, field and request id are cleaned likewise", async () => {
    const long = "z\n".repeat(500);
    const describeError = () => ({ serviceCode: long, field: `a\u001b[2Jb${TOKEN}` });
    const error = await errorFor(
      read(),
      400,
      "",
      { "x-id": `id ${TOKEN}` },
      { describeError, requestIdHeader: "x-id", credential: createTokenCredential("Bearer", TOKEN) },
    );
    expect(error.facts.serviceCode).toHaveLength(300);
    expect(error.facts.serviceCode).not.toContain("\n");
    expect(error.facts.field).toBe("a [2Jb[redacted]");
    expect(error.facts.requestId).toBe("id [redacted]");
  });
});

describe("no error holds a secret", () => {
  const basic = Buffer.from("client:cl1ent-s3cret").toString("base64");
  const basicCredential: Credential = {
    authorization: async () => `Basic ${basic}`,
    renew: () => false,
    secrets: () => ["cl1ent-s3cret", basic],
  };
  const loggedIn = () =>
    createRenewingCredential({ scheme: "Bearer", secrets: ["passw0rd"], logIn: async () => ({ token: TOKEN }) });
  const credentials: [string, () => Credential, readonly string[]][] = [
    ["a token", () => createTokenCredential("Bearer", TOKEN), [TOKEN]],
    ["a token with a line break at its end", () => createTokenCredential("Bearer", `${TOKEN}\n`), [TOKEN]],
    ["Basic", () => basicCredential, ["cl1ent-s3cret", basic]],
    ["a log-in", loggedIn, [TOKEN, "passw0rd"]],
  ];

  describe.each(credentials)("%s", (_name, credential, secrets) => {
    const expectClean = (error: Error) => {
      const everything = everythingOf(error);
      expect(everything).toContain("crew");
      for (const secret of secrets) expect(everything).not.toContain(secret);
      expect(error.cause).toBeUndefined();
    };

    test.each([302, 400, 401, 403, 404, 409, 429, 500, 503])("echoed in every place of a %i", async (status) => {
      const echo = `You sent Authorization: ${secrets.map((secret) => `Bearer ${secret}`).join(", ")}; ${secrets.join(" ")}`;
      const describeError = (_status: number, data: unknown) => {
        const { message } = data as { message: string };
        return { message, serviceCode: message, field: message };
      };
      const options = { credential: credential(), describeError, requestIdHeader: "x-request-id" };
      const headers = { "x-request-id": echo, location: echo };
      const error = await errorFor(read(), status, { message: echo }, headers, options);
      expect(error.facts).toMatchObject({ status, requestId: expect.stringContaining("[redacted]") });
      expectClean(error);
    });

    test("echoed where the message is cut off", async () => {
      const [secret = ""] = secrets;
      for (let length = 280; length <= 300; length++) {
        const options = { credential: credential() };
        const message = `${"x".repeat(length)}${secret} and more`;
        const error = await errorFor(read(), 400, { message }, {}, options);
        expect(error.message.replaceAll("[redacted]", "")).not.toContain(secret.slice(0, 4));
        nock.cleanAll();
      }
    });

    test("echoed as HTML and as broken JSON in a 200", async () => {
      for (const body of [`<html>${secrets.join(" ")}`, `{"token":"${secrets.join('","')}`]) {
        const error = await errorFor(read(), 200, body, {}, { credential: credential() });
        expect(error.code).toBe("bad-answer");
        expectClean(error);
        nock.cleanAll();
      }
    });

    test.each(["ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EPROTO", "CERT_HAS_EXPIRED", "WHATEVER"])(
      "when the connection fails with %s, in words that hold it",
      async (code) => {
        nock(ORIGIN)
          .get("/thing")
          .replyWithError(Object.assign(new Error(`failed for ${secrets.join(" ")}`), { code }));
        const client = createTestClient({ baseUrl: ORIGIN, maxAttempts: 1, credential: credential() });
        const error = await errorOf(client.send(read()));
        expect(error.code).toBe("network");
        expectClean(error);
      },
    );

    test("when time is up", async () => {
      nock(ORIGIN).get("/thing").delay(300).reply(200, "{}");
      const options = { baseUrl: ORIGIN, maxAttempts: 1, timeoutMs: 30, credential: credential() };
      const error = await errorOf(createTestClient(options).send(read()));
      expect(error.code).toBe("timeout");
      expectClean(error);
    });

    test("when an adapter's own code fails", async () => {
      const describeError = () => {
        throw new Error(`bug near ${secrets.join(" ")}`);
      };
      const error = await errorFor(read(), 400, {}, {}, { credential: credential(), describeError });
      expect(error.code).toBe("internal");
      expectClean(error);
    });
  });

  test("a header that the request brought along is kept out as well, with and without its scheme", async () => {
    const request = { ...read(), authorization: "Basic b64-0f-a-passw0rd" };
    const error = await errorFor(request, 400, { message: "Basic b64-0f-a-passw0rd, b64-0f-a-passw0rd" });
    expect(error.message).toBe("crew answered 400 to getThing: [redacted], [redacted]");
  });

  test("a secret that is the beginning of another one does not uncover the rest", async () => {
    const credential = { ...createTokenCredential("Bearer", "abcd-efgh"), secrets: () => ["abcd", "abcd-efgh"] };
    const error = await errorFor(read(), 400, { message: "abcd-efgh abcd" }, {}, { credential });
    expect(error.message).toBe("crew answered 400 to getThing: [redacted] [redacted]");
  });

  test("the token of a request is kept out even when it was renewed before the answer came", async () => {
    let slow: (() => void) | undefined;
    const { url } = await startServer((request, response) => {
      const token = request.headers.authorization?.replace("Bearer ", "");
      if (request.url === "/slow") slow = () => answer(response, 400, { message: `bad token ${token}` });
      else answer(response, token === "first-token" ? 401 : 200, {});
    });
    nock.enableNetConnect("127.0.0.1");
    const tokens = ["first-token", "second-token"];
    const logIn = async () => ({ token: tokens.shift() ?? "none-left" });
    const credential = createRenewingCredential({ scheme: "Bearer", secrets: [], logIn });
    const client = createTestClient({ baseUrl: url, credential });
    const failing = errorOf(client.send(read("/slow")));
    await until(() => slow !== undefined);
    await client.send(read("/other"));
    expect(credential.secrets()).toEqual(["second-token"]);
    slow?.();
    const error = await failing;
    expect(error.message).toBe("crew answered 400 to getThing: bad token [redacted]");
    expect(everythingOf(error)).not.toContain("first-token");
  });
});
