/**
 * The store in one file: SQLite, by Node itself where it has it without a flag (`node:sqlite`, from 22.13), else by
 * libsql, whose binary comes inside its package.
 *
 * What is written is on the disk when the promise resolves (WAL, synchronous=FULL): a `kill -9` or a power cut loses
 * nothing that was answered. Two processes may use one file: a writer takes the lock at the start of its transaction
 * (`begin immediate`), and the other one waits, asleep rather than blocking the thread.
 *
 * A file that is not ours is refused before anything is written to it.
 */
import { accessSync, closeSync, constants, mkdirSync, openSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from "kysely";
import { GroupSyncError } from "../errors.js";
import { type Backend, MIGRATIONS_TABLE, type Tables } from "./sql.js";

/** One open file: what `node:sqlite` and libsql have in common. */
interface Engine {
  /** Runs one statement and returns its rows, none for a statement without rows. */
  all(statement: string, parameters: readonly unknown[]): unknown[];
  /**
   * Runs a statement without values or rows. The way to begin, commit and roll back: libsql leaves a prepared `begin`
   * that was busy half done, and then no commit succeeds until the garbage collector has found it.
   */
  exec(statement: string): void;
  close(): void;
}

type EngineName = "node" | "libsql";

/** How to open a file. */
export interface SqliteOptions {
  readonly file: string;
  readonly busyTimeoutMs: number;
  /** @default "node" where Node has it, else "libsql" */
  readonly engine?: EngineName;
}

/** The part of `node:sqlite` that is used; the types of Node 20 do not know it. */
interface NodeSqlite {
  readonly DatabaseSync: new (
    file: string,
  ) => {
    prepare(statement: string): { all(...parameters: readonly unknown[]): object[] };
    exec(statement: string): void;
    close(): void;
  };
}

/** The longest that SQLite itself may wait for a lock, during which nothing else runs. */
const BLOCKING_MS = 20;

/** No SQLite file is shorter, in bytes, an empty one apart. */
const SMALLEST = 512;

/** SQLite's result codes: https://www.sqlite.org/rescode.html */
const CODE = {
  perm: 3,
  busy: 5,
  locked: 6,
  readonly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  auth: 23,
  notADatabase: 26,
} as const;

/** Opens the file, and creates it and its folders when they are not there, for this user alone. */
export async function openSqlite(options: SqliteOptions): Promise<Backend> {
  const file = resolve(options.file);
  const explain = (error: unknown) => explainSqlite(error, file, options.busyTimeoutMs);
  let engine: Engine | undefined;
  try {
    claimFile(file);
    const opened = await openEngine(file, options.engine);
    engine = opened;
    const patient = <T>(work: () => T) => patiently(work, options.busyTimeoutMs);
    opened.exec(`pragma busy_timeout = ${BLOCKING_MS}`);
    refuseForeign(file, await patient(() => opened.all("select name from sqlite_master where type = 'table'", [])));
    await patient(() => opened.exec("pragma journal_mode = wal"));
    opened.exec("pragma synchronous = full");
    opened.exec("pragma foreign_keys = on");
    return {
      db: new Kysely<Tables>({ dialect: createDialect(opened, options.busyTimeoutMs) }),
      place: file,
      textType: sql`text`,
      tableExists: (name) => sql`select 1 from sqlite_master where type = 'table' and name = ${name}`,
      clock: sql`cast(unixepoch('subsec') * 1000 as integer)`,
      // A writer has the whole file to itself.
      keepRows: sql``,
      explain,
    };
  } catch (error) {
    engine?.close();
    throw error instanceof GroupSyncError ? error : explain(error);
  }
}

/**
 * Creates the file with its folders, or looks at what is there; the system's errors say more than SQLite's. A file that
 * is there is not opened here: closing it would drop the locks of every other connection of this process to it
 * (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
 */
function claimFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    accessSync(file, constants.R_OK | constants.W_OK);
    const found = statSync(file);
    if (found.isDirectory()) throw invalid(file, "is a folder", "Name a file.");
    if (!found.isFile() || (found.size > 0 && found.size < SMALLEST)) throw notOurs(file);
  }
}

function refuseForeign(file: string, tables: readonly unknown[]): void {
  const names = tables.map((row) => (row as { readonly name: string }).name);
  if (names.length > 0 && !names.includes(MIGRATIONS_TABLE)) throw notOurs(file);
}

async function openEngine(file: string, name?: EngineName): Promise<Engine> {
  const sqlite = name === "libsql" ? undefined : loadNodeSqlite();
  if (sqlite) {
    const database = new sqlite.DatabaseSync(file);
    return {
      // Its rows have no prototype; everybody else's have.
      all: (statement, parameters) =>
        database
          .prepare(statement)
          .all(...parameters)
          .map((row) => ({ ...row })),
      exec: (statement) => database.exec(statement),
      close: () => database.close(),
    };
  }
  if (name === "node") throw new GroupSyncError("unsupported", "This Node has no node:sqlite; it came with 22.13.");
  const { default: Database } = await import("libsql");
  const database = new Database(file);
  return {
    // As a list: libsql takes a lone null for a set of named values.
    all: (statement, parameters) => database.prepare(statement).all([...parameters]),
    exec: (statement) => void database.exec(statement),
    close: () => void database.close(),
  };
}

/** `node:sqlite`, without the warning that its interface may change: the part that is used is tested on each Node. */
function loadNodeSqlite(): NodeSqlite | undefined {
  // oxlint-disable-next-line typescript/unbound-method -- put back as it was
  const { emitWarning } = process;
  process.emitWarning = () => undefined;
  try {
    return process.getBuiltinModule("node:sqlite") as NodeSqlite | undefined;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Tries again while another process holds the file, until the time is over. Nothing of a busy statement was done. */
async function patiently<T>(work: () => T, busyTimeoutMs: number): Promise<T> {
  const until = Date.now() + busyTimeoutMs;
  for (;;) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(codeOf(error)) || Date.now() >= until) throw error;
    }
    // Not in step with the other one, which may be waiting just so.
    await sleep(5 + Math.random() * 20);
  }
}

function createDialect(engine: Engine, busyTimeoutMs: number): Dialect {
  const connection: DatabaseConnection = {
    async executeQuery({ sql: statement, parameters }: CompiledQuery) {
      return { rows: (await patiently(() => engine.all(statement, parameters), busyTimeoutMs)) as never[] };
    },
    streamQuery() {
      throw new GroupSyncError("unsupported", "The state is not read as a stream.");
    },
  };
  const run = (statement: string) => patiently(() => engine.exec(statement), busyTimeoutMs);

  // There is one connection: whoever wants it queues up.
  let free = Promise.resolve();
  let release: () => void = () => undefined;
  const acquire = async (): Promise<DatabaseConnection> => {
    const before = free;
    let mine: () => void = () => undefined;
    free = new Promise((done) => {
      mine = done;
    });
    await before;
    release = mine;
    return connection;
  };

  const driver: Driver = {
    init: async () => undefined,
    acquireConnection: acquire,
    releaseConnection: async () => release(),
    async beginTransaction(_connection, { accessMode }) {
      await run(accessMode === "read only" ? "begin" : "begin immediate");
    },
    async commitTransaction() {
      await run("commit");
    },
    async rollbackTransaction() {
      // SQLite has already gone back by itself after some errors, a full disk for one; the first error is the one to tell.
      await run("rollback").catch(() => undefined);
    },
    async destroy() {
      await acquire();
      try {
        // libsql may leave the log behind: with this, the file alone holds everything, for whoever copies it.
        engine.exec("pragma wal_checkpoint(truncate)");
      } catch {
        // Another process is at work; the log stays, and is read by the next one.
      } finally {
        engine.close();
      }
    },
  };
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => driver,
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

const isBusy = (code: number | undefined): boolean => code === CODE.busy || code === CODE.locked;

/** SQLite's primary result code, wherever the engine puts it. */
function codeOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const { rawCode, errcode } = error as { readonly rawCode?: unknown; readonly errcode?: unknown };
  const code = rawCode ?? errcode;
  if (typeof code === "number") return code & 0xff;
  // libsql, when it cannot open: `ConnectionFailed("Unable to open connection to local database /x: 14")`
  const opening = /ConnectionFailed\(.*: (\d+)"\)/.exec(error.message)?.[1];
  return opening === undefined ? undefined : Number(opening) & 0xff;
}

function notOurs(file: string): GroupSyncError {
  return new GroupSyncError("options-invalid", `The state ${file} is not a file that group-sync wrote.`, {
    hint: "Name another file for the state, or move this one away. It was left as it is.",
  });
}

const invalid = (file: string, problem: string, hint: string) =>
  new GroupSyncError("options-invalid", `The state ${file} ${problem}.`, { hint });

function explainSqlite(error: unknown, file: string, busyTimeoutMs: number): GroupSyncError {
  const lost = "Move it away: the next run begins a new one, without history, undo and ownership.";

  const code = codeOf(error);
  switch (code) {
    case CODE.busy:
    case CODE.locked:
      return new GroupSyncError("busy", `The state ${file} was in use by another process for ${busyTimeoutMs} ms.`, {
        retryable: true,
        hint: "Wait for the other run to end.",
      });
    case CODE.notADatabase:
      return notOurs(file);
    case CODE.corrupt:
      return invalid(file, "is damaged", lost);
    case CODE.perm:
    case CODE.readonly:
    case CODE.cantOpen:
    case CODE.auth:
      return invalid(file, "cannot be opened for writing", "Check the rights of the file and of its folder.");
    case CODE.full:
      return invalid(file, "cannot grow: the disk is full", "Make room on the disk.");
    case CODE.io:
      return invalid(file, "cannot be read or written: the disk reports an error", "Check the disk.");
  }
  switch ((error as NodeJS.ErrnoException | undefined)?.code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return invalid(file, "cannot be opened for writing", "Check the rights of the file and of its folder.");
    case "ENOTDIR":
    case "EEXIST":
      return invalid(file, "cannot be created: a part of its path is not a folder", "Check the path.");
    case "ENOENT":
    case "ENAMETOOLONG":
      return invalid(file, "cannot be created", "Check the path.");
    case "ENOSPC":
    case "EDQUOT":
      return invalid(file, "cannot grow: the disk is full", "Make room on the disk.");
  }
  const message = error instanceof Error ? error.message : "something that is not an error was thrown";
  return new GroupSyncError("internal", `The state ${file} failed: ${message}`);
}
