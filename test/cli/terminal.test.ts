/** Terminals, pipes that close early, and Ctrl-C. */
import { stripVTControlCharacters } from "node:util";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import type { Sandbox, SandboxOptions, Seed } from "../../src/sandbox/index.js";
import {
  createFolder,
  json,
  quickSpec,
  run,
  runShell,
  sampleEnvironment,
  start,
  startOnTerminal,
  startSandbox,
} from "./kit.js";

const folder = createFolder();
let sandbox: Sandbox | undefined;
let env: Readonly<Record<string, string>>;

async function open(options: SandboxOptions = {}): Promise<Sandbox> {
  folder.forget();
  sandbox = await startSandbox(options);
  env = sampleEnvironment(sandbox);
  return sandbox;
}
afterEach(() => sandbox?.close());
afterAll(() => folder.remove());

const here = (...args: string[]) => run(args, { cwd: folder.path, env });

const withoutControls = (text: string) => stripVTControlCharacters(text).replaceAll("\r", "");

describe("a pipe", () => {
  it("that closes early is no error, for results, help and remarks", async () => {
    folder.write("group-sync.yaml", quickSpec(await open()));
    const first = (line: string) =>
      runShell(`${line} | head -1; echo "code \${PIPESTATUS[0]}"`, { cwd: folder.path, env });
    const [plan, help, usage, document] = await Promise.all([
      first("group-sync plan -v"),
      first("group-sync --help"),
      first("group-sync 2>&1"),
      first("group-sync plan --json"),
    ]);
    expect(plan).toMatchObject({ stdout: expect.stringMatching(/^2 groups to create.*\ncode 2\n$/) });
    expect(help).toMatchObject({ stdout: "Usage: group-sync <command> [options]\ncode 0\n", stderr: "" });
    expect(usage).toMatchObject({ stdout: "Usage: group-sync <command> [options]\ncode 1\n", stderr: "" });
    expect(document).toMatchObject({ stdout: "{\ncode 2\n", stderr: "" });
  });

  it("that is read slowly gets everything", async () => {
    folder.write("group-sync.yaml", quickSpec(await open()));
    const ran = await runShell("group-sync plan --json | (sleep 1; cat)", { cwd: folder.path, env });
    expect(json(ran)).toMatchObject({ kind: "plan" });
  });
});

describe("a terminal", () => {
  it("gets colours and lines that fit, unless --no-color says otherwise", async () => {
    folder.write("group-sync.yaml", quickSpec(await open()));
    const options = { cwd: folder.path, env };
    const [narrow, plain] = await Promise.all([
      startOnTerminal(["plan", "-q", "--provider", "docs"], 60, options).ended,
      startOnTerminal(["plan", "-q", "--provider", "docs", "--no-color"], 60, options).ended,
    ]);
    expect([narrow.code, plain.code]).toEqual([2, 2]);
    expect(narrow.stdout).toContain("\u001b[32m");
    expect(plain.stdout).not.toContain("\u001b[3");
    expect(withoutControls(narrow.stdout)).toBe(withoutControls(plain.stdout));
    const lines = withoutControls(narrow.stdout).split("\n");
    expect(lines.filter((line) => line.length > 60)).toEqual([]);
    expect(lines.join(" ").replace(/\s+/g, " ")).toContain("add sophie (");
  });

  it("shows the plan, asks, and does what the answer says", async () => {
    const { log } = await open();
    folder.write("group-sync.yaml", quickSpec(sandbox as Sandbox));
    const ask = async (answer: string) => {
      const running = startOnTerminal(["apply", "--provider", "docs"], 100, { cwd: folder.path, env });
      const shown = await running.until(/Type yes: /);
      expect(withoutControls(shown)).toContain("3 additions, 2 role changes, 2 removals.");
      running.child.stdin?.write(answer);
      const ended = await running.ended;
      return { ...ended, stdout: withoutControls(ended.stdout) };
    };
    const no = await ask("no\n");
    expect(no).toMatchObject({ code: 2, stdout: expect.stringMatching(/Nothing was changed\.\n$/) });
    const interrupted = await ask("\u0003");
    expect(interrupted).toMatchObject({ code: 2, stdout: expect.stringMatching(/Nothing was changed\.\n$/) });
    expect(log.filter(({ write }) => write)).toEqual([]);
    const yes = await ask("yes\n");
    expect(yes).toMatchObject({ code: 0, stdout: expect.stringMatching(/Converged: 7 applied\./) });
  });
});

/** Many groups, so that there is a middle to be stopped in. */
const names = Array.from({ length: 24 }, (_, index) => `Team ${index}`);
const people = Array.from({ length: 6 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const seed: Seed = { people, groups: names.map((name) => ({ name, owners: ["p0"], services: ["brainstem"] })) };

function manySpec(many: Sandbox): string {
  return JSON.stringify({
    version: 1,
    mode: "additive",
    providers: { lab: { ...many.config()["lab"], retryDelayMs: 1, requestsPerMinute: 1_000_000 } },
    people: Object.fromEntries(people.map(({ id, email }) => [id, { email }])),
    groups: Object.fromEntries(names.map((name, index) => [`team-${index}`, { name, members: ["p1", "p2", "p3"] }])),
  });
}

async function untilWrites(at: Sandbox, least: number): Promise<void> {
  while (at.log.filter(({ write }) => write).length < least) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("Ctrl-C", () => {
  it("in the middle of an apply stops after what is under way, tells what was done, and leaves the rest to the next run", async () => {
    const many = await startSandbox({ seed, latencyMs: 150 });
    sandbox = many;
    folder.write("many.json", manySpec(many));
    const running = start(["apply", "--yes", "--json", "-c", "many.json"], { cwd: folder.path });
    await untilWrites(many, 3);
    running.child.kill("SIGINT");
    const ran = await running.ended;
    expect(ran.code).toBe(4);
    expect(ran.stderr).toMatch(/Ctrl-C: stopping after what is under way/);
    const { status, summary, stopped } = json(ran) as {
      status: string;
      summary: Record<string, number>;
      stopped: string;
    };
    expect({ status, stopped }).toEqual({ status: "partial", stopped: "Stopped on request." });
    const invited = () => many.services.brainstem.control.groups().flatMap((group) => group.invited);
    // What is reported is what is so: nothing more, nothing less.
    expect(summary["pending"]).toBe(invited().length);
    expect(summary["pending"]).toBeGreaterThanOrEqual(3);
    expect(summary["skipped"]).toBe(names.length * 3 - invited().length);
    expect(summary["skipped"]).toBeGreaterThan(0);
    const second = await here("apply", "--yes", "-q", "-c", "many.json");
    expect(second.code).toBe(0);
    expect(invited()).toHaveLength(names.length * 3);
    for (const group of many.services.brainstem.control.groups()) expect(new Set(group.invited).size).toBe(3);
  });

  it("twice quits at once", async () => {
    const many = await startSandbox({ seed });
    sandbox = many;
    many.addFault({ kind: "hang", ms: 60_000, when: "write", times: 0 });
    folder.write("many.json", manySpec(many));
    const running = start(["apply", "--yes", "--no-state", "-c", "many.json"], { cwd: folder.path });
    await untilWrites(many, 1);
    running.child.kill("SIGINT");
    await running.until(/stopping after what is under way/);
    const from = Date.now();
    running.child.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130, stdout: "" });
    expect(Date.now() - from).toBeLessThan(5_000);
  });

  it("while reading says that nothing was changed", async () => {
    const many = await startSandbox({ seed, latencyMs: 500 });
    sandbox = many;
    folder.write("many.json", manySpec(many));
    const running = start(["plan", "-c", "many.json"], { cwd: folder.path });
    while (many.log.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    running.child.kill("SIGINT");
    const ran = await running.ended;
    expect(ran).toMatchObject({ code: 1, stdout: "" });
    expect(ran.stderr).toMatch(/Stopped by Ctrl-C; nothing was changed\.\n$/);
  });
});
