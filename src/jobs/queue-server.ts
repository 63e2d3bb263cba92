/**
 * The servers that queues can stand on: Redis, or PostgreSQL by BullMQ's own backend. Everything that differs between the
 * two is here, and nothing of what the queues are for.
 *
 * The packages are optional: bullmq, with ioredis for Redis or pg for PostgreSQL, and rate-limiter-flexible. They are
 * loaded when they are asked for, and a missing one is named.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { BackendFactory, IQueueBackend, Job, PgPool, Queue, Worker } from "bullmq";
import type * as bullmqModule from "bullmq";
import { GroupSyncError } from "../errors.js";
import type { SharedLimits } from "../http/budget.js";
import { createSharedLimits } from "./shared-limits.js";

/** Where the queues are. */
export interface QueuePlace {
  /** `redis://…`, `rediss://…` or `postgres://…`. A secret. */
  readonly url: string;
  /** Sets the queues of one installation apart from those of others on the same server: letters, digits, `-`, `_`. */
  readonly name: string;
}

/** BullMQ itself. */
export type Bullmq = typeof bullmqModule;

/** A connection to a server, and what to do over it. `Data`: what a job holds. */
export interface QueueServer<Data> {
  readonly bullmq: Bullmq;
  readonly createQueue: (name: string) => Queue<Data>;
  readonly createWorker: (
    name: string,
    process: (job: Job<Data>, token?: string) => Promise<string>,
    takeoverMs: number,
  ) => Worker<Data>;
  /** Does something while no other process does the like. */
  readonly alone: <T>(act: () => Promise<T>) => Promise<T>;
  readonly shareLimits: () => Promise<SharedLimits>;
  /** What went wrong, in plain words and without the address. */
  readonly explain: (error: unknown) => string;
  readonly close: () => Promise<void>;
}

/** What helps when a server does not answer. */
export const QUEUE_HINT = "Check the server of the queues, and its address in GROUP_SYNC_QUEUE or --queue.";

/**
 * Connects to the server. Throws `options-invalid` when a package is missing or the address is none, `network` when it
 * does not answer.
 */
export async function connectServer<Data>(place: QueuePlace): Promise<QueueServer<Data>> {
  const scheme = /^([a-z]+):\/\//.exec(place.url)?.[1] ?? "";
  if (["redis", "rediss"].includes(scheme)) return connectRedis(place);
  if (["postgres", "postgresql"].includes(scheme)) return connectPostgres(place);
  throw new GroupSyncError("options-invalid", "The address of the queues is neither of Redis nor of PostgreSQL.", {
    hint: "It begins with redis://, rediss:// or postgres://. Give it by GROUP_SYNC_QUEUE, or by --queue.",
  });
}

/** A job whose worker died is no worse for it. */
const MOST_TAKEOVERS = 1_000;
const CONNECT_MS = 10_000;
/** Of one process, for all its queues. */
const POSTGRES_CONNECTIONS = 8;
/** BullMQ's tables and ours live there; a pool that is handed to it cannot choose another. */
const POSTGRES_SCHEMA = "bullmq";
/** "group-sync queues" as a number: schedules and tables are made under this advisory lock. */
const POSTGRES_LOCK = 7_310_311_905;
const RATE_TABLE = "group_sync_rates";
const KEY_PREFIX = "group-sync";

async function connectRedis<Data>({ url, name }: QueuePlace): Promise<QueueServer<Data>> {
  const bullmq = await load("bullmq", () => import("bullmq"));
  const { Redis } = await load("ioredis", () => import("ioredis"));
  const { RateLimiterRedis } = await load("rate-limiter-flexible", () => import("rate-limiter-flexible"));
  // Workers wait for their server as long as it takes.
  const client = new Redis(url, { maxRetriesPerRequest: null, lazyConnect: true });
  let trouble: unknown;
  client.on("error", (error) => {
    trouble = error;
  });
  client.setMaxListeners(0);
  const explain = createExplainer(url, "Redis");
  try {
    await within(CONNECT_MS, client.connect());
  } catch (error) {
    client.disconnect();
    throw new GroupSyncError("network", explain(trouble ?? error), { retryable: true, hint: QUEUE_HINT });
  }
  return {
    ...bindBullmq(bullmq, bullmq.createRedisBackend, client),
    // Redis does each command alone.
    alone: (act) => act(),
    shareLimits: async () =>
      createSharedLimits(
        async ({ requests, seconds }) =>
          new RateLimiterRedis({
            storeClient: client,
            points: requests,
            duration: seconds,
            keyPrefix: `${KEY_PREFIX}:${name}:rate:${requests}:${seconds}`,
          }),
      ),
    explain,
    close: async () => client.disconnect(),
  };
}

async function connectPostgres<Data>({ url, name }: QueuePlace): Promise<QueueServer<Data>> {
  const bullmq = await load("bullmq", () => import("bullmq"));
  const { default: pg } = await load("pg", () => import("pg"));
  const { RateLimiterPostgres } = await load("rate-limiter-flexible", () => import("rate-limiter-flexible"));
  const explain = createExplainer(url, "PostgreSQL");
  const pool = new pg.Pool({
    connectionString: url,
    application_name: "group-sync queues",
    options: `-c search_path=${POSTGRES_SCHEMA}`,
    max: POSTGRES_CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    // Whoever is stopped while it holds the lock keeps it no longer than this.
    idle_in_transaction_session_timeout: CONNECT_MS,
  });
  // A connection that breaks is told by the query that it happens to; without a listener it would end the process.
  pool.on("error", () => undefined);
  pool.on("connect", (connected) => connected.on("error", () => undefined));
  pool.setMaxListeners(0);
  const alone = async <T>(act: () => Promise<T>): Promise<T> => {
    const client = await pool.connect();
    let broken = true;
    try {
      await client.query("begin");
      await client.query("select pg_advisory_xact_lock($1)", [POSTGRES_LOCK]);
      const result = await act();
      await client.query("commit");
      broken = false;
      return result;
    } finally {
      // A connection that may still hold the lock is not handed on.
      client.release(broken);
    }
  };
  try {
    await alone(async () => {
      const client = await pool.connect();
      try {
        await bullmq.runMigrations(client, POSTGRES_SCHEMA);
        await client.query(
          `create table if not exists ${RATE_TABLE} (key varchar(255) primary key, points integer not null default 0, expire bigint)`,
        );
      } finally {
        client.release();
      }
    });
  } catch (error) {
    await pool.end();
    throw new GroupSyncError("network", explain(error), { retryable: true, hint: QUEUE_HINT });
  }
  return {
    ...bindBullmq(bullmq, bullmq.createPostgresBackend, pool as PgPool),
    // Schedules that are made side by side leave stray jobs behind.
    alone,
    shareLimits: async () =>
      createSharedLimits(
        async ({ requests, seconds }) =>
          new RateLimiterPostgres({
            storeClient: pool,
            storeType: "pool",
            points: requests,
            duration: seconds,
            tableName: RATE_TABLE,
            tableCreated: true,
            keyPrefix: `${name}:${requests}:${seconds}`,
          }),
      ),
    explain,
    close: () => pool.end(),
  };
}

/** Queues and workers on one backend, all of them over one connection (or pool). */
function bindBullmq<Data, B extends IQueueBackend, C>(
  bullmq: Bullmq,
  backend: BackendFactory<B, C>,
  connection: C,
): Pick<QueueServer<Data>, "bullmq" | "createQueue" | "createWorker"> {
  // Workers never wait at a queue here, so none of them needs a connection of its own for that.
  const { Queue: BackendQueue, Worker: BackendWorker } = bullmq.withBackend<B, C>((name, options) =>
    backend(name, options),
  );
  const base = { connection, prefix: KEY_PREFIX };
  return {
    bullmq,
    createQueue: (name) => new BackendQueue(name, base) as unknown as Queue<Data>,
    createWorker: (name, process, takeoverMs) =>
      new BackendWorker(name, process as never, {
        ...base,
        autorun: false,
        lockDuration: takeoverMs,
        stalledInterval: takeoverMs,
        maxStalledCount: MOST_TAKEOVERS,
      }) as unknown as Worker<Data>,
  };
}

async function load<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new GroupSyncError("options-invalid", `Work over queues needs the package ${name}, which is not installed.`, {
      hint: "Install what it needs: npm install bullmq rate-limiter-flexible, and ioredis for Redis or pg for PostgreSQL.",
    });
  }
}

/** What the driver says, unless a part of the address that may be secret is in it. */
function createExplainer(url: string, server: string): (error: unknown) => string {
  const { username, password } = URL.canParse(url) ? new URL(url) : { username: "", password: "" };
  const secrets = [url, password, decodeURIComponent(password), username].filter((secret) => secret.length > 2);
  return (error) => {
    const said = error instanceof Error ? error.message || (error as NodeJS.ErrnoException).code : undefined;
    const harmless = said !== undefined && !secrets.some((secret) => said.includes(secret));
    return `The queues on ${server} cannot be reached or used${harmless ? ` (${said.replace(/\.$/, "")})` : ""}.`;
  };
}

async function within(ms: number, promise: Promise<unknown>): Promise<void> {
  const stopper = new AbortController();
  const late = sleep(ms, undefined, { signal: stopper.signal, ref: false }).then(() => {
    throw new Error(`no answer within ${ms / 1000} s`);
  });
  // Whichever ends second is nobody's concern any more.
  late.catch(() => undefined);
  promise.catch(() => undefined);
  try {
    await Promise.race([promise, late]);
  } finally {
    stopper.abort();
  }
}
