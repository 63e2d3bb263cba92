/** What the tests of the HTTP layer share: a client with a rate scope of its own, and servers that misbehave on order. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { GroupSyncError } from "../../../src/errors.js";
import {
  createHttpClient,
  type HttpClient,
  type HttpClientOptions,
  type HttpRequest,
} from "../../../src/http/client.js";
import type { CallEvent } from "../../../src/provider.js";

let scopes = 0;

/** No limits, no delays, errors described by their `message`. Budgets are process-wide, so each client has its own. */
export function createTestClient(options: Partial<HttpClientOptions> & Pick<HttpClientOptions, "baseUrl">): HttpClient {
  return createHttpClient({
    provider: "crew",
    scopeKey: `scope ${++scopes}`,
    capabilities: limits(),
    retryDelayMs: 0,
    describeError: (_status, data) => {
      const message = (data as { message?: unknown } | undefined)?.message;
      return typeof message === "string" ? { message } : {};
    },
    ...options,
  });
}

export function limits(
  rates: HttpClientOptions["capabilities"]["rates"] = [],
  reads = 4,
  writes = 1,
): HttpClientOptions["capabilities"] {
  return { rates, inFlight: { reads: { value: reads, source: "test" }, writes: { value: writes, source: "test" } } };
}

export const read = (path = "/thing"): HttpRequest => ({ operation: "getThing", method: "GET", path, effect: "read" });
export const write = (path = "/thing", body: unknown = { a: 1 }): HttpRequest => ({
  operation: "putThing",
  method: "PUT",
  path,
  body,
  effect: "write",
});

/** The error of ours that a promise ends with; fails on anything else. */
export async function errorOf(work: Promise<unknown>): Promise<GroupSyncError> {
  const outcome = await work.then(
    (value) => `it answered ${inspect(value)}`,
    (error: unknown) => error,
  );
  if (outcome instanceof GroupSyncError) return outcome;
  throw new Error(`An error of ours was expected, but: ${inspect(outcome)}`);
}

/** Everything of an error that could end up in a log. */
export function everythingOf(error: Error): string {
  return [
    String(error),
    error.stack,
    JSON.stringify(error),
    JSON.stringify(Object.getOwnPropertyNames(error).map((name) => [name, Reflect.get(error, name)])),
    inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: true }),
    inspect(error.cause, { depth: Number.POSITIVE_INFINITY, showHidden: true }),
  ].join("\n");
}

/** Collects events, without the milliseconds that a call took. */
export function collectEvents(): { readonly events: object[]; readonly onCall: (event: CallEvent) => void } {
  const events: object[] = [];
  return {
    events,
    onCall: (event) => {
      const { ms, ...rest } = { ms: 0, ...event };
      events.push(event.type === "call" && !(Number.isInteger(ms) && ms >= 0) ? { ...rest, ms } : rest);
    },
  };
}

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly at: number;
}

export interface TestServer {
  readonly url: string;
  readonly seen: readonly Seen[];
  readonly connections: () => number;
  readonly server: Server;
}

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => unknown;

const running = new Set<Server>();

/** A server on a port of its own. `count` tells the handler which request this is, from 1. */
export async function startServer(handle: Handler, port = 0): Promise<TestServer> {
  const seen: Seen[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    let body = "";
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      seen.push({ method, url, headers, body, at: Date.now() });
      handle(request, response, seen.length);
    });
  });
  server.on("connection", () => {
    connections++;
  });
  running.add(server);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    connections: () => connections,
    server,
  };
}

/** For `afterEach`. */
export function stopServers(): void {
  for (const server of running) {
    server.closeAllConnections();
    server.close();
  }
  running.clear();
}

/** A port at which nothing listens. */
export async function findFreePort(): Promise<number> {
  const { server, url } = await startServer(() => undefined);
  server.close();
  await once(server, "close");
  running.delete(server);
  return Number(new URL(url).port);
}

export function answer(response: ServerResponse, status: number, body?: unknown, headers: Record<string, string> = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body));
}

/** Milliseconds that something took. */
export async function timeOf(work: Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work.catch(() => undefined);
  return performance.now() - begun;
}

/** Waits until something holds; a test that never gets there ends by its own timeout. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}
