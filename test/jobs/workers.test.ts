/**
 * The same work spread over processes: real queues on Redis and on PostgreSQL, the built command line, emulators in this
 * process. `WORKERS_ACCOUNTS=40 npm run workers` does it with forty accounts.
 */
import { isDeepStrictEqual } from "node:util";
import { stringify } from "yaml";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Sandbox, ServiceName } from "../../src/sandbox/index.js";
import { createFolder, type Folder, run, type Running, start, startSandbox } from "../cli/kit.js";
import {
  createRecorder,
  mostWithin,
  openQueues,
  type QueueServer,
  queueServers,
  type SentRequest,
} from "./queue-kit.js";

const ACCOUNTS = Number(process.env["WORKERS_ACCOUNTS"] ?? 6);
/** Of one account. Low enough to be felt by whoever takes over a job. */
const REQUESTS_PER_MINUTE = 200;
const TAKEOVER_MS = 3_000;

const people = ["ada", "alan", "barbara", "edsger", "grace", "linus", "margaret", "radia"].map((id) => ({
  id,
  name: id,
  email: `${id}@example.org`,
}));
const wish: Readonly<Record<string, readonly string[]>> = {
  day: ["ada", "alan", "barbara", "radia"],
  night: ["edsger", "grace", "linus"],
  "on call": ["ada", "grace", "margaret"],
};

/** One account of one service, on a sandbox of its own. */
interface Account {
  readonly id: string;
  readonly service: ServiceName;
  readonly sandbox: Sandbox;
  readonly host: string;
}

const SERVICES: readonly ServiceName[] = ["docspace", "neuroio", "brainstem"];

async function startAccounts(count: number): Promise<readonly Account[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      // All Genesys emulators are one organisation, so that there is one; its second queue is `twin`.
      const service = index === 0 ? "genesys" : (SERVICES[index % SERVICES.length] ?? "docspace");
      const sandbox = await startSandbox({ services: [service], seed: { people, groups: [] }, latencyMs: 100 });
      return { id: `tenant-${index + 1}`, service, sandbox, host: new URL(sandbox.url).host };
    }),
  );
}

function specOf(accounts: readonly Account[], state: QueueServer["state"]): string {
  const connection = { requestsPerMinute: REQUESTS_PER_MINUTE, retryDelayMs: 10, timeoutMs: 10_000 };
  const configOf = ({ sandbox }: Account) => ({ ...Object.values(sandbox.config())[0], ...connection });
  const providers = Object.fromEntries(accounts.map((account) => [account.id, configOf(account)]));
  const [first] = accounts;
  if (first) providers["twin"] = configOf(first);
  const pinned = accounts.filter(({ service }) => service === "neuroio");
  return stringify({
    version: 1,
    mode: "authoritative",
    ...(state && { state }),
    providers,
    people: Object.fromEntries(
      people.map(({ id, email }) => {
        const pins = pinned.map((account) => [account.id, account.sandbox.services.neuroio.control.accountOf(id)]);
        return [id, { email, accounts: Object.fromEntries(pins) as Record<string, string> }];
      }),
    ),
    groups: Object.fromEntries(
      Object.entries(wish).map(([name, members]) => [name, { name, members, targets: Object.keys(providers) }]),
    ),
  });
}

/** What is truly so at an account: who is in each group, invited or not, each row as it stands. */
function truthOf({ service, sandbox }: Account): Record<string, readonly string[]> {
  const { control } = sandbox.services[service];
  const nameOf = new Map(people.map(({ id }) => [control.accountOf(id), id]));
  const rows = control.groups().map(({ name, members, invited }) => {
    const accounts = [...members.map(({ account }) => account), ...invited];
    return [name, accounts.flatMap((account) => nameOf.get(account) ?? []).toSorted()] as const;
  });
  expect(new Set(rows.map(([name]) => name)).size, "no group twice").toBe(rows.length);
  return Object.fromEntries(rows);
}

const isConverged = (account: Account) => isDeepStrictEqual(truthOf(account), sorted(wish));
const sorted = (groups: typeof wish) =>
  Object.fromEntries(Object.entries(groups).map(([name, members]) => [name, members.toSorted()]));

/** Which requests of an account were writes, by what its emulator says. */
function writesOf({ host, service, sandbox }: Account, requests: readonly SentRequest[]): readonly SentRequest[] {
  const writes = new Set(sandbox.log.filter(({ write }) => write).map(({ method, path }) => `${method} ${path}`));
  return requests.filter(
    (request) => request.host === host && writes.has(`${request.method} ${request.path.slice(service.length + 1)}`),
  );
}

const folders: Folder[] = [];
const started: Running[] = [];
const sandboxes: Sandbox[] = [];
afterEach(async ({ task }) => {
  for (const { child, ended } of started.splice(0)) {
    child.kill("SIGKILL");
    const { stdout, stderr } = await ended;
    // Nothing else tells why.
    if (task.result?.state === "fail") console.error(`${child.pid}:\n${stdout}\n${stderr}`);
  }
  for (const sandbox of sandboxes.splice(0)) await sandbox.close();
  for (const folder of folders.splice(0)) folder.remove();
});

function makeFolder(): Folder {
  const folder = createFolder();
  folders.push(folder);
  return folder;
}
function startOne(args: readonly string[], env: Readonly<Record<string, string>>): Running {
  const running = start(args, { env });
  started.push(running);
  return running;
}
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(Object.entries(queueServers))("workers on %s", (name, startServer) => {
  let server: QueueServer;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(async () => {
    await server?.stop();
  });

  it(
    `bring ${ACCOUNTS} accounts to what the spec says, though one worker is killed and one is stopped in mid-job`,
    async () => {
      const accounts = await startAccounts(ACCOUNTS);
      sandboxes.push(...accounts.map(({ sandbox }) => sandbox));
      const folder = makeFolder();
      const recorder = createRecorder(folder.path);
      const config = folder.write("group-sync.yaml", specOf(accounts, server.state));
      const queue = { GROUP_SYNC_QUEUE: server.url };
      const env = { ...queue, ...recorder.env };
      expect((await run(["enqueue", "-c", config, "-q"], { env: queue })).code).toBe(0);

      const args = ["worker", "-c", config, "--log", "json", "--concurrency", "2", "--takeover", `${TAKEOVER_MS}ms`];
      const workers = Array.from({ length: 3 }, () => startOne(args, env));
      const [killed, stopped, third] = workers as [Running, Running, Running];
      /** Waits until this worker has written to an account that is not as it should be yet. */
      const inMidJob = async ({ child }: Running): Promise<Account> => {
        for (;;) {
          const requests = recorder.requests();
          const found = accounts.find(
            (account) => writesOf(account, requests).at(-1)?.pid === child.pid && !isConverged(account),
          );
          if (found) return found;
          await pause(5);
        }
      };
      const leftByDeath = await inMidJob(killed);
      killed.child.kill("SIGKILL");
      const leftAsleep = await inMidJob(stopped);
      stopped.child.kill("SIGSTOP");
      const stoppedAt = Date.now();
      await expect
        .poll(() => accounts.filter((each) => !isConverged(each)).map(({ id }) => id), {
          timeout: 90_000 + ACCOUNTS * 2_000,
          interval: 50,
        })
        .toEqual([]);
      const takenOver = Date.now() - stoppedAt;
      const ids = [...accounts.map(({ id }) => id), "twin"];
      const queues = await openQueues({ url: server.url, name: "group-sync" });
      const areDone = async () => {
        const counts = await Promise.all(ids.map((id) => queues.counts(id)));
        return counts.every(({ waiting, active, delayed, failed }) => waiting + active + delayed + failed === 0);
      };
      await expect.poll(areDone, { timeout: 60_000, interval: 100 }).toBe(true);

      // The one that was asleep wakes, finds its job gone, and sends nothing more for it.
      const asleep = recorder.requests().length;
      stopped.child.kill("SIGCONT");
      await stopped.until(/"event":"lost"/);
      await pause(500);
      const late = recorder.requests().slice(asleep);
      expect(accounts.flatMap((account) => writesOf(account, late))).toEqual([]);
      // It reads what has become of its last write; a job of its own would be several times as much.
      expect(late.length).toBeLessThanOrEqual(12);

      // Nothing is left to do, for whoever looks.
      const before = recorder.requests().length;
      for (const id of ids) await queues.enqueue(id, {});
      await expect.poll(areDone, { timeout: 60_000 + ACCOUNTS * 1_000, interval: 100 }).toBe(true);
      await queues.close();
      for (const { child } of [stopped, third]) child.kill("SIGTERM");
      const ends = await Promise.all([stopped.ended, third.ended]);
      expect(ends.map(({ code }) => code)).toEqual([0, 0]);
      const runs = ends.flatMap(({ stdout }) => stdout.split("\n")).filter((line) => line.includes('"event":"run"'));
      expect(runs.length).toBeGreaterThanOrEqual(ids.length);

      const requests = recorder.requests();
      const second = requests.slice(before);
      for (const account of accounts) {
        expect(writesOf(account, second), `${account.id} needs nothing more`).toEqual([]);
        expect(truthOf(account), account.id).toEqual(sorted(wish));
        // Whoever has been followed by another never writes again: nobody was at work together with another.
        const writers = writesOf(account, requests).map(({ pid }) => pid);
        const turns = writers.filter((pid, index) => pid !== writers[index - 1]);
        expect(new Set(turns).size, `${account.id}: ${turns.join(" ")}`).toBe(turns.length);
      }
      const busiest = accounts.map(({ host }) =>
        mostWithin(
          requests.filter((request) => request.host === host).map(({ at }) => at),
          60_000,
        ),
      );
      expect(Math.max(...busiest)).toBeLessThanOrEqual(REQUESTS_PER_MINUTE);
      for (const left of [leftByDeath, leftAsleep]) {
        expect(new Set(writesOf(left, requests).map(({ pid }) => pid)).size, left.id).toBeLessThanOrEqual(2);
      }
      const said = ends.map(({ stdout, stderr }) => stdout + stderr).join("\n");
      expect(said).not.toContain("planted-");
      if (process.env["WORKERS_ACCOUNTS"] === undefined) return;
      const writes = accounts.flatMap((account) => writesOf(account, requests)).length;
      console.log(
        `${name}: ${ACCOUNTS} accounts and a twin, ${requests.length} requests, ${writes} of them writes; ` +
          `all as the spec says ${(takenOver / 1000).toFixed(1)} s after the second worker fell silent; ` +
          `at most ${Math.max(...busiest)} of ${REQUESTS_PER_MINUTE} requests to one account in a minute.`,
      );
    },
    240_000 + ACCOUNTS * 5_000,
  );
});
