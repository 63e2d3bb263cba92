/** `run` as a service manager sees it: a process that is started, watched and stopped. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Sandbox } from "../../src/sandbox/index.js";
import {
  createFolder,
  expectClear,
  type Folder,
  json,
  quickSpec,
  run,
  type Running,
  sampleEnvironment,
  start as startCommand,
  startSandbox,
} from "./kit.js";

let sandbox: Sandbox;
let folder: Folder;
let env: Readonly<Record<string, string>>;
let config: string;
const started: Running[] = [];
/** Starts a service that does not outlive its test. */
const start: typeof startCommand = (...args) => {
  const running = startCommand(...args);
  started.push(running);
  return running;
};
afterEach(async () => {
  for (const { child, ended } of started.splice(0)) {
    child.kill("SIGKILL");
    await ended;
  }
});
beforeAll(() => {
  folder = createFolder();
});
beforeEach(async () => {
  await sandbox?.close();
  sandbox = await startSandbox();
  env = sampleEnvironment(sandbox);
  folder.forget();
  config = folder.write("group-sync.yaml", quickSpec(sandbox));
});
afterAll(async () => {
  await sandbox.close();
  folder.remove();
});

/** The lines of a JSON log. */
const entries = (stdout: string) =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);

describe("run", () => {
  it("keeps the services right until it is stopped, and tells it in lines of JSON", async () => {
    const service = start(["run", "-c", config, "--every", "1s", "--log", "json"], { env });
    await service.until(/"status":"converged".*"applied":41/);
    const { control } = sandbox.services.docspace;
    const group = control.groups().find(({ name }) => name === "On-call");
    const gone = group?.members.find(({ role }) => role === "member")?.account ?? "";
    control.removeMember(group?.id ?? "", gone);
    await service.until(/"drift":1/);
    expect(
      control
        .groups()
        .find(({ id }) => id === group?.id)
        ?.members.map(({ account }) => account),
    ).toContain(gone);
    service.child.kill("SIGTERM");
    const { code, stdout, stderr } = await service.ended;
    expect({ code, stderr: stderr.replace(/\n?SIGTERM: .*\n/, "") }).toEqual({ code: 0, stderr: "" });
    const lines = entries(stdout);
    expect(lines[0]).toMatchObject({ event: "start" });
    expect(lines.at(-1)).toMatchObject({ event: "stop" });
    for (const secret of Object.values(env)) expect(stdout).not.toContain(secret);
  });

  it("finishes what is under way on SIGTERM, tells what was done, and leaves nothing unknown", async () => {
    sandbox.addFault({ kind: "slow", when: "write", ms: 700, times: 0 });
    const service = start(["run", "-c", config, "--every", "1h", "--log", "json"], { env });
    while (!sandbox.log.some(({ write }) => write)) await new Promise((resolve) => setTimeout(resolve, 20));
    service.child.kill("SIGTERM");
    const { code, stdout } = await service.ended;
    expect(code).toBe(0);
    const told = entries(stdout).find(({ event }) => event === "run") as { summary: Readonly<Record<string, number>> };
    expect(told.summary).toMatchObject({ unknown: 0, failed: 0 });
    expect(told.summary["applied"]).toBeGreaterThan(0);
    expect(told.summary["skipped"]).toBeGreaterThan(0);
    const sent = sandbox.log.length;
    sandbox.clearFaults();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(sandbox.log).toHaveLength(sent);
    const next = await run(["run", "-c", config, "--once", "--json"], { env });
    expect(json(next)).toMatchObject({ kind: "report", status: "converged" });
  });

  it("goes on with the next run after a broken spec, and sends nothing meanwhile", async () => {
    const service = start(["run", "-c", config, "--every", "1s"], { env });
    await service.until(/converged: 41 applied/);
    const good = folder.read("group-sync.yaml");
    folder.write("group-sync.yaml", good.replace("mode: authoritative", "mode: whatever"));
    await service.until(/error The spec has[\s\S]*group-sync\.yaml:\d+:\d+/);
    const sent = sandbox.log.length;
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(sandbox.log).toHaveLength(sent);
    folder.write("group-sync.yaml", good);
    await service.until(/error [\s\S]*converged, nothing to do/);
    service.child.kill("SIGTERM");
    expect((await service.ended).code).toBe(0);
  });

  it("does not begin with a broken spec, or without being told when", async () => {
    const bad = folder.write("bad.yaml", "version: 1\n");
    expectClear(await run(["run", "-c", bad, "--every", "1m"], { env }), /bad\.yaml:1:1/, 6);
    for (const [args, pattern] of [
      [[], /either --cron or --every/],
      [["--every", "1m", "--cron", "* * * * *"], /either --cron or --every/],
      [["--cron", "0 0 31 2 *"], /fits no date to come/],
      [["--every", "1m", "--jitter", "2m"], /is not shorter than/],
      [["--every", "soon"], /--every soon is not a duration/],
      [["--every", "1m", "--health-port", "x"], /--health-port takes a whole number/],
      [["--every", "1m", "--notify", "http://example.org/s3cret"], /--notify: .*https/],
    ] as const) {
      const ran = await run(["run", "-c", config, ...args], { env });
      expect(ran.code, args.join(" ")).toBe(1);
      expectClear(ran, pattern);
      expect(ran.stderr).not.toContain("s3cret");
    }
    expect(sandbox.log).toHaveLength(0);
  });

  it("ends with 5 when another run is at work, with --once", async () => {
    sandbox.addFault({ kind: "slow", when: "write", ms: 1_500, times: 0 });
    const first = start(["apply", "-c", config, "--yes"], { env });
    while (!sandbox.log.some(({ write }) => write)) await new Promise((resolve) => setTimeout(resolve, 20));
    const second = await run(["run", "-c", config, "--once", "--json"], { env });
    expect(second.code).toBe(5);
    expect(json(second)).toMatchObject({ kind: "error", code: "busy" });
    expect((await first.ended).code).toBe(0);
  });

  it("with --once ends as apply does: 3 held, 4 in part, 6 while everybody is left alone", async () => {
    expect((await run(["run", "-c", config, "--once", "--no-removals"], { env })).code).toBe(3);
    sandbox.addFault({ kind: "server-error", service: "docspace", times: 0 });
    expect((await run(["run", "-c", config, "--once"], { env })).code).toBe(4);
    sandbox.addFault({ kind: "server-error", times: 0 });
    expect((await run(["run", "-c", config, "--once", "--provider", "docs"], { env })).code).toBe(6);
  });

  it("answers for its health, and notifies without telling where", async () => {
    const notices: unknown[] = [];
    const hook = createServer((request, response) => {
      let text = "";
      request.on("data", (part: Buffer) => {
        text += part.toString();
      });
      request.on("end", () => {
        notices.push(JSON.parse(text));
        response.writeHead(notices.length > 1 ? 404 : 200).end();
      });
    });
    await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${(hook.address() as AddressInfo).port}/hooks/S3CRET`;
    const service = start(
      ["run", "-c", config, "--every", "1s", "--no-removals", "--health-port", "0", "--log", "json"],
      {
        env: { ...env, GROUP_SYNC_NOTIFY: address },
      },
    );
    const said = await service.until(/"event":"run"/);
    const url = /"url":"([^"]+)"/.exec(said)?.[1] ?? "";
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status).toBe(200);
    expect(await (await fetch(`${url}/metrics`)).text()).toMatch(/^group_sync_runs_total\{status="held"\} \d+$/m);
    await expect.poll(() => notices.length).toBe(1);
    expect(notices[0]).toMatchObject({ kind: "notice", event: "held", status: "held" });
    // What is held is told once; what could not be told is in the log.
    const { control } = sandbox.services.genesys;
    const onCall = control.groups().find(({ name }) => name === "On-call");
    control.removeMember(onCall?.id ?? "", onCall?.members.find(({ role }) => role === "member")?.account ?? "");
    await service.until(/"event":"notify"/);
    expect(notices[1]).toMatchObject({ event: "drift", drift: 1 });
    service.child.kill("SIGTERM");
    const { code, stdout, stderr } = await service.ended;
    expect(code).toBe(0);
    expect(stdout + stderr).not.toContain("S3CRET");
    hook.close();
  });

  it("holds no more memory and no more files after many runs", async () => {
    const service = start(["run", "-c", config, "--every", "250ms", "--provider", "docs"], { env });
    const measure = () => {
      const status = readStatus(service.child.pid ?? 0);
      return { files: readdirSync(`/proc/${service.child.pid}/fd`).length, kB: status };
    };
    let lines = 0;
    service.child.stdout?.on("data", (text: string) => {
      lines += text.split("\n").length - 1;
    });
    const untilLines = async (count: number) => {
      await expect.poll(() => lines, { timeout: 40_000, interval: 50 }).toBeGreaterThan(count);
    };
    await untilLines(30);
    const early = measure();
    await untilLines(90);
    const late = measure();
    service.child.kill("SIGTERM");
    expect((await service.ended).code).toBe(0);
    expect(late.files).toBeLessThanOrEqual(early.files + 4);
    expect(late.kB).toBeLessThan(early.kB + 60_000);
  });
});

function readStatus(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}
