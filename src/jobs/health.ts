/** What a service says of itself over HTTP: alive, ready, and its numbers. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { GroupSyncError } from "../errors.js";
import type { JobEvent } from "./tick.js";

/** Where it listens, and what it has to say. */
export interface HealthOptions {
  readonly port: number;
  /** @default 127.0.0.1: this machine only */
  readonly host?: string;
  /** What `/metrics` answers. */
  readonly metrics: () => string;
}

/** A server that answers `/healthz`, `/readyz` and `/metrics`. */
export interface HealthServer {
  readonly url: string;
  onEvent(event: JobEvent): void;
  /** Ready without a turn: there may be none for hours where others call for it. */
  admit(): void;
  /** The service is ending: not ready any more. */
  retire(): void;
  close(): Promise<void>;
}

/**
 * Starts to listen. `/healthz` answers 200 while the process does anything at all. `/readyz` answers 200 once a turn has
 * gone through with a good spec, and 503 with the reason when the last one could not. Throws `options-invalid` when the
 * port cannot be had.
 */
export async function startHealthServer({ port, host = "127.0.0.1", metrics }: HealthOptions): Promise<HealthServer> {
  let unready: string | undefined = "no turn has ended yet";
  let retiring = false;
  const server = createServer((request, response) => {
    const answer = (status: number, body: string, type = "application/json; charset=utf-8") => {
      response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
      response.end(request.method === "HEAD" ? undefined : body);
    };
    if (request.method !== "GET" && request.method !== "HEAD") return answer(405, '{"error":"GET only"}\n');
    const problem = retiring ? "the service is stopping" : unready;
    switch ((request.url ?? "").split("?")[0]) {
      case "/healthz":
        return answer(200, '{"status":"ok"}\n');
      case "/readyz":
        return problem === undefined
          ? answer(200, '{"status":"ready"}\n')
          : answer(503, `${JSON.stringify({ status: "not ready", reason: problem })}\n`);
      case "/metrics":
        return answer(200, metrics(), "text/plain; version=0.0.4; charset=utf-8");
      default:
        return answer(404, '{"error":"there is /healthz, /readyz and /metrics"}\n');
    }
  });
  // Nobody needs longer to ask for this; idle connections do not add up.
  server.requestTimeout = 5_000;
  server.keepAliveTimeout = 5_000;
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new GroupSyncError(
          "options-invalid",
          `Cannot listen on ${host}, port ${port} (${error.code ?? error.message}).`,
          {
            hint: "Choose another --health-port (0: any free one), or another --health-host.",
          },
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  const { port: actual } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${actual}`,
    onEvent: (event) => {
      // Busy, resting and failing services are states of work, not of this process; a turn that could not begin is.
      if (event.type === "tick") unready = event.tick.status === "error" ? event.tick.error?.message : undefined;
    },
    admit: () => {
      unready = undefined;
    },
    retire: () => {
      retiring = true;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
