/** Stores to test with: samples of what goes in, a real PostgreSQL, and processes that can be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import Database from "libsql";
import ts from "typescript";
import { expect, onTestFinished } from "vitest";
import { GroupSyncError } from "../../../src/errors.js";
import type { Change, Plan, Report } from "../../../src/model.js";
import { openState } from "../../../src/state/index.js";
import { createMemoryState } from "../../../src/state/memory.js";
import { openSqlState } from "../../../src/state/sql.js";
import { openSqlite } from "../../../src/state/sqlite.js";
import type { Scope, State } from "../../../src/state/state.js";
import type { Postgres } from "./postgres.js";

export { freePort, type Postgres, startPostgres } from "./postgres.js";

export const faces: Scope = { provider: "faces", identity: "space 1 as ada@example.org" };
export const strangers: Scope = { provider: "faces", identity: "space 2 as ada@example.org" };

export const add = (account: string, reason = "listed in the spec"): Change => ({
  type: "member.add",
  group: "night-shift",
  groupId: "g1",
  account,
  role: "member",
  reason,
});

export function plan(planId: string, changes: readonly Change[] = [add("a1")]): Plan {
  const calls = { read: 2, write: 0, retried: 0, throttledSeconds: 0 };
  return {
    kind: "plan",
    formatVersion: 1,
    planId,
    checksum: `sum of ${planId}`,
    createdAt: "2026-11-21T10:00:00.000Z",
    expiresAt: "2026-11-22T10:00:00.000Z",
    toolVersion: "0.1.0",
    specDigest: "digest",
    status: "changes",
    summary: { create: 0, rename: 0, delete: 0, add: changes.length, role: 0, remove: 0, held: 0, unresolved: 0 },
    providers: [
      {
        id: "faces",
        type: "neuroio",
        identity: faces.identity,
        changes,
        held: [],
        unresolved: [],
        problems: [],
        groups: [],
        notes: [],
        cost: { calls: 1, seconds: 0.5 },
        calls,
      },
    ],
  };
}

export function report(runId: string, planId: string, finishedAt = "2026-11-21T10:00:09.000Z"): Report {
  return {
    kind: "report",
    formatVersion: 1,
    runId,
    planId,
    startedAt: "2026-11-21T10:00:00.000Z",
    finishedAt,
    status: "converged",
    summary: { applied: 1, already: 0, pending: 0, held: 0, skipped: 0, failed: 0, unknown: 0 },
    providers: [],
    residual: [],
  };
}

/** A store of the first version as SQL, in the words of SQLite. */
export const versionOne = readFileSync(join(import.meta.dirname, "version-1.sql"), "utf8");

/** Looks for everything of `versionOne`, and whether what came later works on it. */
export async function expectVersionOne(state: State): Promise<void> {
  expect(await state.installation()).toBe("11111111-2222-4333-8444-555555555555");
  expect(await state.lastIdentity("faces")).toBe(faces.identity);
  expect(await state.managedGroups(faces)).toEqual([{ groupId: "g1", group: "night-shift", origin: "adopted" }]);
  expect((await state.ownedMemberships(faces)).map(({ account }) => account)).toEqual(["a1", "ä2"]);
  expect(await state.invitations(faces)).toHaveLength(1);
  expect((await state.runs()).map(({ runId, status }) => [runId, status])).toEqual([
    ["r2", undefined],
    ["r1", "converged"],
  ]);
  expect((await state.run("r1"))?.journal).toEqual([
    { provider: "faces", sequence: 1, kind: "members", changes: [add("a1")], outcome: "answered" },
  ]);
  expect((await state.run("r2"))?.journal).toHaveLength(1);
  expect(await state.approvals("p1")).toHaveLength(1);
  expect(await state.verifiedGroups(faces)).toEqual([]);
  expect(await state.quarantines()).toEqual([]);
  expect(await state.knownAccounts(faces)).toEqual([]);
  const lease = await state.acquireLeases(["faces"], "host-1", 60_000);
  if ("busy" in lease) throw new Error("Nobody had a lease in version 1.");
  await state.releaseLeases(lease);
}

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "group-sync-state-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Opens a file with one engine by name, where `openState` would choose. */
export async function openWith(engine: "node" | "libsql", file: string, busyTimeoutMs = 10_000): Promise<State> {
  return openSqlState(await openSqlite({ file, busyTimeoutMs, engine }));
}

/** Both where this Node has both; on Node 20 libsql alone. */
export const ENGINES: readonly ("node" | "libsql")[] = isBuiltin("node:sqlite") ? ["libsql", "node"] : ["libsql"];

/**
 * A connection behind the store's back, by the same engine: two copies of SQLite in one process do not see each other's
 * locks.
 */
export function connect(engine: "node" | "libsql", file: string): { exec(statement: string): void; close(): void } {
  if (engine === "libsql") return new Database(file);
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite") as { DatabaseSync: typeof Database };
  return new DatabaseSync(file);
}

/** The error that a promise rejects with, which has to be one of ours. */
export async function errorOf(promise: Promise<unknown>): Promise<GroupSyncError> {
  const error = await promise.then(
    () => new Error("It did not fail."),
    (error: unknown) => error,
  );
  if (error instanceof GroupSyncError) return error;
  throw error;
}

/** Says how to open one new store again and again. */
export type Place = () => Promise<{
  readonly open: () => Promise<State>;
  /** False: what is closed is gone. */
  readonly lasting: boolean;
}>;

/** A place of each kind: in memory, in a file by each engine, in the database server. */
export function placesIn(postgres: () => Postgres): Readonly<Record<string, Place>> {
  return {
    memory: async () => ({ open: async () => createMemoryState(), lasting: false }),
    ...Object.fromEntries(
      ENGINES.map((engine): [string, Place] => [
        `a file by ${engine}`,
        async () => {
          const file = join(temporaryFolder(), "state.db");
          return { open: () => openWith(engine, file), lasting: true };
        },
      ]),
    ),
    PostgreSQL: async () => {
      const url = await postgres().createDatabase();
      return { open: () => openState({ postgres: url }), lasting: true };
    },
  };
}

/** A process that was started, the lines that it has written, and its end. */
export interface Child {
  readonly process: ChildProcess;
  readonly lines: readonly string[];
  line(text: string): Promise<void>;
  readonly ended: Promise<number | null>;
}

/**
 * A folder with the store as JavaScript, for processes of their own: Node 20 does not read TypeScript, and the built
 * package may be older than the source.
 */
export function compileStore(): string {
  const root = join(import.meta.dirname, "../../..");
  const folder = mkdtempSync(join(tmpdir(), "group-sync-store-"));
  const files = [
    "errors.ts",
    "collections.ts",
    "model.ts",
    ...readdirSync(join(root, "src/state")).map((name) => `state/${name}`),
  ];
  for (const file of files) {
    const source = readFileSync(join(root, "src", file), "utf8");
    const target = join(folder, file.replace(/\.ts$/, ".js"));
    mkdirSync(dirname(target), { recursive: true });
    const compilerOptions = {
      module: ts.ModuleKind.ESNext,
      target: ts.ScriptTarget.ES2023,
      verbatimModuleSyntax: true,
    };
    writeFileSync(target, ts.transpileModule(source, { compilerOptions }).outputText);
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** Starts a process with `openState` and `say(line)` in reach; it ends with the test. */
export function startChild(store: string, script: string): Child {
  const head = `
    import { writeSync } from "node:fs";
    import { openState } from ${JSON.stringify(join(store, "state/index.js"))};
    const say = (line) => writeSync(1, line + "\\n");
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", head + script], {
    cwd: store,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  const ended = Promise.all([once(child, "exit"), once(reader, "close")]).then(([[code]]) => code as number | null);
  return {
    process: child,
    lines,
    async line(text) {
      while (!lines.includes(text)) {
        if (child.exitCode !== null) throw new Error(`The process ended before it said "${text}".`);
        await new Promise((done) => setTimeout(done, 2));
      }
    },
    ended,
  };
}
