/** The built command line in a child process, against emulators in this one. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { parse, stringify } from "yaml";
import type * as sources from "../../src/sandbox/index.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const main = join(root, "dist/cli/main.js");
if (!existsSync(main)) throw new Error("The command line is not built: npm run build first.");

/** The package as it is built; typed by its sources. */
export const { sampleEnvironment, sampleSpec, startSandbox } = (await import(
  join(root, "dist/sandbox/index.js")
)) as typeof sources;

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A command that runs until it ends or is sent a signal. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ran>;
  /** Waits until the output so far fits. */
  until(pattern: RegExp): Promise<string>;
}

/** An environment with nothing of ours: no credentials, no proxies, no colours. */
function bareEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", NO_COLOR: "1", ...more };
}

/** Starts `group-sync …`. */
export function start(args: readonly string[], { cwd, env }: RunOptions = {}): Running {
  return watch(spawn(process.execPath, [main, ...args], { cwd: cwd ?? tmpdir(), env: bareEnvironment(env) }));
}

/** Runs `group-sync …` to its end. */
export function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { child, ended } = start(args, options);
  child.stdin?.end();
  return ended;
}

/** Runs a line of shell, in which `group-sync` stands for the built command line. */
export function runShell(line: string, { cwd, env }: RunOptions = {}): Promise<Ran> {
  const script = `group-sync() { "${process.execPath}" "${main}" "$@"; }\n${line}`;
  const { child, ended } = watch(spawn("bash", ["-c", script], { cwd: cwd ?? tmpdir(), env: bareEnvironment(env) }));
  child.stdin?.end();
  return ended;
}

/** Starts `group-sync …` on a terminal of its own (util-linux's script), so many columns wide. */
export function startOnTerminal(args: readonly string[], columns: number, options: RunOptions = {}): Running {
  const quoted = [process.execPath, main, ...args].map((word) => `'${word}'`).join(" ");
  const line = `stty cols ${columns} rows 50 -echo; exec ${quoted}`;
  const { NO_COLOR: _plain, ...env } = bareEnvironment({ TERM: "xterm", ...options.env });
  return watch(spawn("script", ["-qec", line, "/dev/null"], { cwd: options.cwd ?? tmpdir(), env }));
}

function watch(child: ChildProcess): Running {
  let stdout = "";
  let stderr = "";
  const listeners = new Set<() => void>();
  const heard = () => {
    for (const listener of listeners) listener();
  };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    heard();
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    heard();
  });
  // Whoever ends before it has read its input is no failure of the test.
  child.stdin?.on("error", () => {});
  const ended = new Promise<Ran>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })));
  return {
    child,
    ended,
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const listener = () => {
          if (!pattern.test(stdout + stderr)) return;
          listeners.delete(listener);
          resolve(stdout + stderr);
        };
        listeners.add(listener);
        listener();
        void ended.then(() => reject(new Error(`ended without ${String(pattern)}:\n${stdout}\n${stderr}`)));
      }),
  };
}

/** The one JSON document on stdout. */
export function json({ stdout }: Ran): object {
  return JSON.parse(stdout) as object;
}

/** A folder of its own for each file of tests. */
export interface Folder {
  readonly path: string;
  at(name: string): string;
  read(name: string): string;
  write(name: string, text: string): string;
  /** Forgets what earlier runs remembered: another sandbox is another tenant. */
  forget(): void;
  remove(): void;
}

export function createFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "group-sync-cli-"));
  const at = (name: string) => join(path, name);
  return {
    path,
    at,
    read: (name) => readFileSync(at(name), "utf8"),
    write: (name, text) => {
      writeFileSync(at(name), text);
      return at(name);
    },
    forget: () => rmSync(at(".group-sync"), { recursive: true, force: true }),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

type Tree = Record<string, unknown>;

/** The sample's spec with quick and impatient connections, and whatever `change` does to it. */
export function quickSpec(sandbox: sources.Sandbox, change: (spec: SampleFile) => void = () => {}): string {
  const spec = parse(sampleSpec(sandbox, { secrets: "environment" })) as SampleFile;
  for (const entry of Object.values(spec.providers)) {
    Object.assign(entry, { retryDelayMs: 1, maxAttempts: 2, requestsPerMinute: 1_000_000, timeoutMs: 5_000 });
  }
  change(spec);
  return stringify(spec);
}

export interface SampleFile extends Tree {
  providers: Record<string, Tree>;
  people: Record<string, Tree>;
  groups: Record<string, Tree>;
}

/** One clear message: short, no stack trace, nothing about a bug of ours. */
export function expectClear({ stderr, stdout }: Ran, pattern: RegExp, lines = 3): void {
  expect(stderr).toMatch(pattern);
  expect(stderr).not.toMatch(/\n\s+at |Unexpected error|node:internal|\[object |undefined/);
  expect(stderr.trim().split("\n").slice(lines)).toEqual([]);
  expect(stdout).toBe("");
}
