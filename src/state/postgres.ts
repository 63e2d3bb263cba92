/**
 * The store for many machines: PostgreSQL by `pg`, which is loaded when it is asked for and need not be installed
 * otherwise.
 *
 * The address holds a password. It goes to `pg` and nowhere else: no error names it, and what the driver says is
 * passed on only when it holds no part of it.
 */
import { Kysely, PostgresDialect, sql } from "kysely";
import { GroupSyncError } from "../errors.js";
import type { Backend, Tables } from "./sql.js";

/** Whom to connect to. */
export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters that `pg` takes. A secret. */
  readonly url: string;
  readonly busyTimeoutMs: number;
}

/** "group-sync" as a number: the advisory lock of whoever migrates. */
const MIGRATION_LOCK = 7_310_311_904;

const CONNECT_MS = 10_000;
const CONNECTIONS = 3;
const PLACE = "in PostgreSQL";

/** Prepares the connections. Nothing is sent yet. */
export async function openPostgres({ url, busyTimeoutMs }: PostgresOptions): Promise<Backend> {
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw invalid("has an address that is not of PostgreSQL", "It begins with postgres:// or postgresql://.");
  }
  const Pool = await loadPool();
  const pool = new Pool({
    connectionString: url,
    application_name: "group-sync",
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    // A process that is stopped in the middle of a transaction would keep its locks for as long as it sleeps; others
    // wait for them no longer than `busyTimeoutMs`.
    idle_in_transaction_session_timeout: Math.ceil(busyTimeoutMs / 2),
    // A store that nobody closed does not keep the process alive.
    allowExitOnIdle: true,
  });
  // An idle connection that breaks is replaced at the next query; without a listener it would end the process.
  pool.on("error", () => undefined);
  // So would one that breaks in the middle of its work, though the query that it was at is told of it.
  pool.on("connect", (client) => client.on("error", () => undefined));
  return {
    db: new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }),
    place: PLACE,
    // By bytes, as in SQLite, whatever language the database sorts in.
    textType: sql`text collate "C"`,
    // Not to_regclass: behind the lock it may still answer from a cache that is older than the lock.
    tableExists: (name) =>
      sql`select 1 from pg_catalog.pg_class where relname = ${name} and relkind = 'r' and pg_table_is_visible(oid)`,
    beginWrite: (transaction) =>
      sql`select set_config('lock_timeout', ${`${Math.max(1, busyTimeoutMs)}ms`}, true)`.execute(transaction),
    lockMigrations: (transaction) => sql`select pg_advisory_xact_lock(${sql.lit(MIGRATION_LOCK)})`.execute(transaction),
    // Not now(): that one stands still from the beginning of the transaction.
    clock: sql`floor(extract(epoch from clock_timestamp()) * 1000)::bigint`,
    keepRows: sql`for update`,
    explain: (error) => explainPostgres(error, url, busyTimeoutMs),
  };
}

async function loadPool() {
  try {
    const { default: pg } = await import("pg");
    return pg.Pool;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw invalid("needs the package pg, which is not installed", "Install it: npm install pg");
  }
}

const invalid = (problem: string, hint: string) =>
  new GroupSyncError("options-invalid", `The state ${PLACE} ${problem}.`, { hint });

/** By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), or by the code of the connection. */
function explainPostgres(error: unknown, url: string, busyTimeoutMs: number): GroupSyncError {
  const code = codeOf(error);
  const message = harmlessMessage(error, url);
  switch (code) {
    case "55P03":
      return busy(`was locked by another process for ${busyTimeoutMs} ms`);
    case "40P01":
    case "40001":
      return busy("was changed by another process at the same time");
    case "28P01":
      return invalid("refused the user name or the password", "Check the address of the state.");
    case "28000":
      return invalid("refused this user, or this way to connect", "Check the address, and pg_hba.conf of the server.");
    case "3D000":
      return invalid("has no database of that name", "Create it, or check the address of the state.");
    case "3F000":
      return invalid("has no schema to create tables in", "Check search_path of the user.");
    case "42501":
      return invalid(
        `lacks a right${message && `: ${message}`}`,
        "The user must be able to create tables in the schema, and own those that are there.",
      );
    case "25006":
      return invalid("is read-only", "Name the primary server, not a replica.");
    case "53100":
      return invalid("cannot grow: the disk of the server is full", "Make room there.");
    case "ERR_INVALID_URL":
      return invalid(
        "has an address that cannot be read",
        "Encode special characters of the password, such as @ as %40.",
      );
  }
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^(08|53|57P|58)/.test(code)) {
    return new GroupSyncError(
      "internal",
      `The state ${PLACE} refused a statement (${code})${message && `: ${message}`}.`,
    );
  }
  const details = [code, message].filter(Boolean).join(": ");
  return new GroupSyncError("network", `The state ${PLACE} cannot be reached${details && ` (${details})`}.`, {
    retryable: true,
    hint: "Check that the server runs, and the host and port of the address.",
  });
}

const busy = (problem: string) =>
  new GroupSyncError("busy", `The state ${PLACE} ${problem}.`, {
    retryable: true,
    hint: "Wait for the other run to end.",
  });

function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === "string" && code !== "" ? code : undefined;
}

/** What the driver says, unless a part of the address that may be secret is in it. */
function harmlessMessage(error: unknown, url: string): string {
  if (!(error instanceof Error) || !URL.canParse(url)) return "";
  const { password, searchParams } = new URL(url);
  const secrets = [url, password, decode(password), searchParams.get("password") ?? ""];
  const leaks = secrets.some((secret) => secret !== "" && error.message.includes(secret));
  return leaks ? "" : error.message.replace(/\.$/, "");
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
