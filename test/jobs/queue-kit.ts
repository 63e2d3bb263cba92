/** Real servers for queues, and worker processes whose every request is written down with the process that sent it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as queueSource from "../../src/jobs/queue.js";
import { freePort, startPostgres } from "../unit/state/kit.js";

/** The built package. */
export const dist = fileURLToPath(new URL("../../dist/", import.meta.url));

/** As it is built; typed by its source. */
export const { openQueues } = (await import(join(dist, "jobs/queue.js"))) as typeof queueSource;

/** A server that holds queues. */
export interface QueueServer {
  readonly url: string;
  /** What the spec says of the state of those who use it. Absent: the file beside the spec. */
  readonly state?: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const redisServer = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((folder) => join(folder, "redis-server"))
  .find((file) => existsSync(file));

/** What the tests run on. Where there is no redis-server, they say so in a line and run on PostgreSQL alone. */
export const queueServers: Readonly<Record<string, () => Promise<QueueServer>>> = {
  ...(redisServer !== undefined && { Redis: () => startRedis(redisServer) }),
  PostgreSQL: startPostgresQueues,
};
if (redisServer === undefined) console.warn("No redis-server is installed: queues are tested on PostgreSQL alone.");

async function startRedis(file: string): Promise<QueueServer> {
  const folder = mkdtempSync(join(tmpdir(), "group-sync-redis-"));
  const port = await freePort();
  const password = "planted-r3dis";
  const settings = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--requirepass", password];
  const server = spawn(file, [...settings, "--save", "", "--maxmemory-policy", "noeviction"], { stdio: "pipe" });
  let said = "";
  server.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  while (!said.includes("Ready to accept connections")) {
    if (server.exitCode !== null) throw new Error(`Redis did not start:\n${said}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return {
    url: `redis://:${password}@127.0.0.1:${port}`,
    stop: async () => {
      const ended = once(server, "exit");
      server.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startPostgresQueues(): Promise<QueueServer> {
  const server = await startPostgres();
  return {
    url: await server.createDatabase(),
    state: { postgres: await server.createDatabase() },
    stop: () => server.stop(),
  };
}

/** A request as its sender saw it. */
export interface SentRequest {
  readonly pid: number;
  readonly at: number;
  readonly method: string;
  /** Host and port of whom it went to. */
  readonly host: string;
  readonly path: string;
}

/** Lets processes write down each request before it goes out, so that a process that is killed leaves its own behind. */
export function createRecorder(folder: string): {
  readonly env: Readonly<Record<string, string>>;
  readonly requests: () => readonly SentRequest[];
} {
  const file = join(folder, "requests.jsonl");
  const script = join(folder, "record.cjs");
  writeFileSync(file, "");
  writeFileSync(
    script,
    `const { appendFileSync } = require("node:fs");
     require("node:diagnostics_channel").subscribe("http.client.request.start", ({ request }) => {
       const { method, path, host } = request;
       const address = host + ":" + (request.getHeader("host") ?? "").split(":")[1];
       const line = { pid: process.pid, at: Date.now(), method, host: address, path: path.split("?")[0] };
       appendFileSync(${JSON.stringify(file)}, JSON.stringify(line) + "\\n");
     });`,
  );
  return {
    env: { NODE_OPTIONS: `--require ${script}` },
    requests: () =>
      readFileSync(file, "utf8")
        .split("\n")
        .filter((line) => line.endsWith("}"))
        .map((line) => JSON.parse(line) as SentRequest),
  };
}

/** The most requests in any stretch of so many milliseconds. */
export function mostWithin(times: readonly number[], windowMs: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  let first = 0;
  let most = 0;
  for (const [index, time] of sorted.entries()) {
    while ((sorted[first] ?? time) <= time - windowMs) first++;
    most = Math.max(most, index - first + 1);
  }
  return most;
}
