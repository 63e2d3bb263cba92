/** Queues on real servers, without workers as processes: what is asked for, schedules, limits that are shared. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { JobRequest, Queues } from "../../src/jobs/queue.js";
import { cutLimit } from "../../src/jobs/shared-limits.js";
import type { Tick } from "../../src/jobs/tick.js";
import {
  createFolder,
  expectClear,
  type Folder,
  json,
  quickSpec,
  run,
  sampleEnvironment,
  startSandbox,
} from "../cli/kit.js";
import { dist, mostWithin, openQueues, type QueueServer, queueServers } from "./queue-kit.js";

describe("a limit that is cut into windows", () => {
  /** The worst that windows allow: each begins with its first request, and the next with the next one after its end. */
  const worstOf = ({ requests, seconds }: { requests: number; seconds: number }, windowMs: number) => {
    const times: number[] = [];
    // The first window is used up at its very end, all others at once.
    for (let index = 0; index < requests; index++) times.push(index === 0 ? 0 : seconds * 1000 - 1);
    for (let at = seconds * 1000; at < 3 * windowMs; at += seconds * 1000) {
      for (let index = 0; index < requests; index++) times.push(at);
    }
    return mostWithin(times, windowMs);
  };

  it.each([
    [1, 1_000],
    [2, 1_000],
    [5, 1_000],
    [10, 10_000],
    [60, 60_000],
    [300, 60_000],
    [1_500, 60_000],
    [7, 60_000],
    [10_000, 86_400_000],
    [3, 2_500],
  ])("lets through no more than %i in any %i ms, and not much less", (requests, windowMs) => {
    const cut = cutLimit(requests, windowMs);
    expect(worstOf(cut, windowMs)).toBeLessThanOrEqual(requests);
    const throughput = (cut.requests * windowMs) / (cut.seconds * 1000);
    expect(throughput).toBeGreaterThanOrEqual(requests * (windowMs >= 60_000 ? 0.8 : 0.4));
  });
});

/** A turn that ended well. */
const done = (): Tick => {
  const now = new Date().toISOString();
  return { status: "converged", startedAt: now, finishedAt: now, drift: 0, resting: [], providers: [], targets: [] };
};

describe.each(Object.entries(queueServers))("queues on %s", (_name, startServer) => {
  let server: QueueServer;
  let queues: Queues;
  let folder: Folder;
  beforeAll(async () => {
    server = await startServer();
    queues = await openQueues({ url: server.url, name: "test" });
    folder = createFolder();
  });
  afterAll(async () => {
    await queues?.close();
    await server?.stop();
    folder?.remove();
  });
  /** Works until so many turns were made. */
  async function work(provider: string, turns: number, end: () => Tick = done) {
    const made: JobRequest[] = [];
    const errors: string[] = [];
    const { stop } = await queues.work({
      providers: [provider],
      pollMs: 50,
      turn: async (_provider, request) => {
        made.push(request);
        return end();
      },
      onError: (message) => errors.push(message),
      onLost: () => errors.push("lost"),
    });
    await expect.poll(() => made.length, { timeout: 20_000, interval: 20 }).toBeGreaterThanOrEqual(turns);
    await stop();
    expect(errors).toEqual([]);
    return made;
  }

  it("hold what is asked for once, however often, and what is asked for differently beside it", async () => {
    for (let index = 0; index < 3; index++) await queues.enqueue("docs: 1", {});
    await queues.enqueue("docs: 1", { groups: ["night"], allow: ["max-removals:night"], removals: false });
    expect(await queues.counts("docs: 1")).toEqual({ waiting: 2, active: 0, delayed: 0, failed: 0 });
    const made = await work("docs: 1", 2);
    expect(made).toEqual([{}, { groups: ["night"], allow: ["max-removals:night"], removals: false }]);
    expect(await queues.counts("docs: 1")).toEqual({ waiting: 0, active: 0, delayed: 0, failed: 0 });
  });

  it("take one schedule for each provider, though three processes set it side by side, until it is taken back", async () => {
    const others = await Promise.all([1, 2].map(() => openQueues({ url: server.url, name: "test" })));
    await Promise.all([queues, ...others].map((each) => each.schedule("lab", { everyMs: 3_600_000 }, {})));
    await Promise.all(others.map((each) => each.close()));
    const { waiting, delayed, schedule } = await queues.counts("lab");
    expect({ jobs: waiting + delayed, schedule }).toEqual({ jobs: 1, schedule: "every 3600000 ms" });
    await queues.schedule("lab", { everyMs: 300 }, { removals: false });
    expect((await work("lab", 3)).at(-1)).toEqual({ removals: false });
    await queues.schedule("lab", { pattern: "0 6 * * 1-5", timeZone: "Europe/Berlin" }, {});
    expect((await queues.counts("lab")).schedule).toBe("0 6 * * 1-5");
    expect(await queues.unschedule("lab")).toBe(true);
    expect(await queues.unschedule("lab")).toBe(false);
    expect(await queues.counts("lab")).not.toHaveProperty("schedule");
  });

  it("put off what is busy or rests, and try again what failed", async () => {
    await queues.enqueue("calls", {});
    await work("calls", 1, () => ({ ...done(), status: "busy" }));
    expect(await queues.counts("calls")).toMatchObject({ waiting: 0, active: 0, delayed: 1, failed: 0 });
    await queues.enqueue("faces", {});
    await work("faces", 1, () => ({ ...done(), status: "error", error: { code: "network", message: "No way." } }));
    expect(await queues.counts("faces")).toMatchObject({ waiting: 0, active: 0, delayed: 1, failed: 0 });
  });

  it.each([{ removals: true }, { config: "elsewhere.yaml" }])("give up a job that asks for %j", async (request) => {
    await queues.enqueue("strict", request as unknown as JobRequest);
    const before = (await queues.counts("strict")).failed;
    const { stop } = await queues.work({
      providers: ["strict"],
      pollMs: 50,
      turn: () => Promise.reject(new Error("There was a turn.")),
      onError: () => undefined,
      onLost: () => undefined,
    });
    const failed = async () => (await queues.counts("strict")).failed;
    await expect.poll(failed, { timeout: 20_000, interval: 50 }).toBe(before + 1);
    await stop();
    // Given up, not put off to be tried again, as after a turn that failed.
    expect(await queues.counts("strict")).toMatchObject({ waiting: 0, active: 0, delayed: 0 });
  });

  it("let processes keep a limit together, in any stretch of its length", async () => {
    const [requests, windowMs] = [8, 2_000];
    const script = `
      const { openQueues } = await import(${JSON.stringify(join(dist, "jobs/queue.js"))});
      const { shareLimits, sharedBudget } = await import(${JSON.stringify(join(dist, "http/budget.js"))});
      const queues = await openQueues({ url: process.env.QUEUE, name: "test" });
      shareLimits(await queues.shareLimits());
      const rates = [{ scope: "token", requests: ${requests}, windowMs: ${windowMs}, counts: "all" }];
      const budget = sharedBudget("one credential", { rates, reads: 4, writes: 4 });
      const until = Date.now() + 5000;
      const send = async () => process.stdout.write(Date.now() + "\\n");
      while (Date.now() < until) await budget.run("read", send, undefined, () => {});
      await queues.close();`;
    const children = [1, 2, 3].map(() => {
      const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
        env: { PATH: process.env["PATH"] ?? "", QUEUE: server.url },
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
      return once(child, "close").then(([code]) => ({
        code: code as number,
        times: said.trim().split("\n").map(Number),
      }));
    });
    const ends = await Promise.all(children);
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0]);
    const times = ends.flatMap((end) => end.times);
    expect(mostWithin(times, windowMs)).toBeLessThanOrEqual(requests);
    // Each had its part of it, and it was used.
    expect(Math.min(...ends.map((end) => end.times.length))).toBeGreaterThan(1);
    expect(times.length).toBeGreaterThan(requests);
  });

  it("say by the command line what is in them, and no word of the password when it is wrong", async () => {
    const sandbox = await startSandbox();
    const env = { ...sampleEnvironment(sandbox), GROUP_SYNC_QUEUE: server.url };
    const config = folder.write("group-sync.yaml", quickSpec(sandbox));
    const wrong = { ...env, GROUP_SYNC_QUEUE: server.url.replace(/planted-\w+/, "planted-wrong") };
    const ran = await run(["enqueue", "-c", config], { env: wrong });
    expect(ran.code).toBe(1);
    expectClear(ran, /The queues on (Redis|PostgreSQL) cannot be reached or used/);
    expect(ran.stderr).not.toMatch(/planted-/);
    expect(json(await run(["enqueue", "-c", config, "--json", "--provider", "docs"], { env }))).toEqual({
      kind: "queues",
      formatVersion: 1,
      queues: [{ provider: "docs", waiting: 1, active: 0, delayed: 0, failed: 0 }],
    });
    await sandbox.close();
  });
});

describe("enqueue and worker", () => {
  it("refuse what is not right before they ask a server", async () => {
    const folder = createFolder();
    const sandbox = await startSandbox();
    const config = folder.write("group-sync.yaml", quickSpec(sandbox));
    const env = { ...sampleEnvironment(sandbox), GROUP_SYNC_QUEUE: "redis://127.0.0.1:1" };
    await Promise.all(
      (
        [
          [["enqueue", "--cron", "* * * * *", "--show"], /exclude each other/],
          [["enqueue", "--every", "soon"], /--every soon is not a duration/],
          [["enqueue", "--allow", "nothing"], /no such guard/],
          [["enqueue", "--queue-name", "a:b"], /only letters/],
          [["enqueue", "--queue", "https://example.org"], /neither of Redis nor of PostgreSQL/],
          [["worker", "--takeover", "10ms"], /less than a second/],
          [["worker", "--concurrency", "0"], /not a whole number from 1/],
        ] as const
      ).map(async ([args, pattern]) => {
        const ran = await run([...args, "-c", config], { env });
        expect(ran.code, args.join(" ")).toBe(1);
        expectClear(ran, pattern);
      }),
    );
    await sandbox.close();
    folder.remove();
  });
});

describe("without the packages", () => {
  it("names the one that is missing, and how to get it", async () => {
    const folder = createFolder();
    const hooks = `export async function resolve(name, context, next) {
      if (name !== process.env.MISSING) return next(name, context);
      throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
    }`;
    const script = folder.write(
      "without.mjs",
      `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});`,
    );
    const sandbox = await startSandbox();
    const config = folder.write("group-sync.yaml", quickSpec(sandbox));
    const lacks = async (missing: string, address: string) => {
      const env = { ...sampleEnvironment(sandbox), NODE_OPTIONS: `--import ${script}`, MISSING: missing };
      const ran = await run(["worker", "-c", config, "--queue", address], { env });
      expect(ran.code, missing).toBe(1);
      expectClear(ran, new RegExp(`needs the package ${missing}, which is not installed`));
      expect(ran.stderr).toContain("npm install bullmq rate-limiter-flexible");
    };
    await Promise.all([
      lacks("bullmq", "redis://127.0.0.1:1"),
      lacks("ioredis", "redis://127.0.0.1:1"),
      lacks("rate-limiter-flexible", "redis://127.0.0.1:1"),
      lacks("pg", "postgres://127.0.0.1:1/x"),
    ]);
    await sandbox.close();
    folder.remove();
  });
});
