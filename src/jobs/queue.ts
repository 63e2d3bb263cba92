/**
 * The same work spread over machines, on BullMQ: one queue for each provider of the spec, on Redis or on PostgreSQL.
 *
 * That only one run at a time works on an account is held three times over, each against another failure: a queue gives
 * out one job at a time over all workers; a worker that cannot show any more that a job is its own (it was asleep, or
 * cut off) stops it; and no write is sent without the lease in the state, which is asked before each of them.
 *
 * A worker looks through its queues in turn instead of waiting at each: hundreds of queues cost one connection, and a
 * worker takes no more jobs than it was told to.
 */
import type { Job, Queue, Worker } from "bullmq";
import { z } from "zod";
import { GroupSyncError } from "../errors.js";
import type { SharedLimits } from "../http/budget.js";
import type { ProviderId } from "../model.js";
import { type Bullmq, connectServer, QUEUE_HINT, type QueuePlace, type QueueServer } from "./queue-server.js";
import { LOST, type Tick } from "./tick.js";

/** What a job asks for, besides its provider. It comes from another machine, so it is checked. */
const jobSchema = z.strictObject({
  /** Only these groups. */
  groups: z.array(z.string()).exactOptional(),
  /** Guards that are acknowledged, as in `--allow`. */
  allow: z.array(z.string()).exactOptional(),
  /** As `--no-removals`. A job can switch them off; it cannot switch on what the worker was told to leave. */
  removals: z.literal(false).exactOptional(),
});

/** What a job asks for, besides its provider. */
export type JobRequest = z.infer<typeof jobSchema>;

/** When jobs come by themselves. */
export type Repeat = { readonly pattern: string; readonly timeZone?: string } | { readonly everyMs: number };

/** What is in a queue. */
export interface QueueCounts {
  readonly waiting: number;
  /** 0 or 1. */
  readonly active: number;
  /** Put off: to its time, or until something is tried again. */
  readonly delayed: number;
  /** Given up. The last 50 are kept. */
  readonly failed: number;
  /** How jobs come by themselves: a cron pattern, or `every 900000 ms`. Absent: they do not. */
  readonly schedule?: string;
}

/** How a worker works. */
export interface WorkOptions {
  readonly providers: readonly ProviderId[];
  /** Makes one turn for one provider. Never throws. The signal aborts when the worker stops, or has lost the job. */
  readonly turn: (provider: ProviderId, request: JobRequest, signal: AbortSignal) => Promise<Tick>;
  /** How many jobs this worker does side by side, each for another provider. @default 4 */
  readonly concurrency?: number;
  /** So long, in milliseconds, after a worker fell silent, its jobs go to another. @default 30000 */
  readonly takeoverMs?: number;
  /** An idle worker looks through its queues this often, in milliseconds. @default 1000 */
  readonly pollMs?: number;
  /** Trouble with the server of the queues; the worker goes on trying. */
  readonly onError: (message: string) => void;
  /** This worker has lost a job, and has stopped it. */
  readonly onLost: (provider: ProviderId) => void;
}

/** The queues of one installation. */
export interface Queues {
  /** Puts a job into the queue of a provider. One that asks for the same and waits there already is enough. */
  enqueue(provider: ProviderId, request: JobRequest): Promise<void>;
  /** Lets jobs come by themselves from now on. Replaces what was said before. */
  schedule(provider: ProviderId, repeat: Repeat, request: JobRequest): Promise<void>;
  /** No job comes by itself any more. False: none did. */
  unschedule(provider: ProviderId): Promise<boolean>;
  counts(provider: ProviderId): Promise<QueueCounts>;
  /** Works until `stop` is called; that ends what is under way in good order, and gives back the rest of it. */
  work(options: WorkOptions): Promise<{ readonly stop: () => Promise<void> }>;
  /** Rate limits that all who work on these queues keep together. */
  shareLimits(): Promise<SharedLimits>;
  close(): Promise<void>;
}

const SCHEDULE = "schedule";
const JOB = "reconcile";
const DEFAULT_CONCURRENCY = 4;
const DEFAULT_TAKEOVER_MS = 30_000;
const DEFAULT_POLL_MS = 1_000;
/** Somebody else is at work on the account, such as a run by hand. */
const BUSY_AGAIN_MS = 5_000;
/** What ended badly is tried again after 30 s, then after twice as long, …; a quarantine may put it off further. */
const JOB_OPTIONS = {
  attempts: 5,
  backoff: { type: "exponential", delay: 30_000 },
  removeOnComplete: { count: 20 },
  removeOnFail: { count: 50 },
} as const;

/**
 * Opens the queues. Throws `options-invalid` when a package is missing or the address is none, `network` when no server
 * answers.
 */
export async function openQueues(place: QueuePlace): Promise<Queues> {
  return createQueues(await connectServer<JobRequest>(place), place);
}

function createQueues(server: QueueServer<JobRequest>, place: QueuePlace): Queues {
  const opened = new Map<ProviderId, Promise<Queue<JobRequest>>>();
  // Colons mean something to BullMQ, and an id may hold anything.
  const nameOf = (provider: ProviderId) => `${place.name}.${encodeURIComponent(provider)}`;

  const queueOf = (provider: ProviderId): Promise<Queue<JobRequest>> => {
    const known = opened.get(provider);
    if (known) return known;
    const open = async () => {
      const queue = server.createQueue(nameOf(provider));
      // What goes wrong is told by the call that it happens to.
      queue.on("error", () => undefined);
      await queue.waitUntilReady();
      await queue.setGlobalConcurrency(1);
      return queue;
    };
    const opening = open();
    opened.set(provider, opening);
    return opening;
  };
  /** Passes on what went wrong in plain words. */
  const withQueue = async <T>(provider: ProviderId, act: (queue: Queue<JobRequest>) => Promise<T>): Promise<T> => {
    try {
      return await act(await queueOf(provider));
    } catch (error) {
      throw new GroupSyncError("network", server.explain(error), { retryable: true, hint: QUEUE_HINT });
    }
  };

  return {
    enqueue: (provider, request) =>
      withQueue(provider, async (queue) => {
        // One that is asked for while another is under way comes after it: the spec may have changed since that began.
        const deduplication = { id: JSON.stringify(request), keepLastIfActive: true };
        await queue.add(JOB, request, { ...JOB_OPTIONS, deduplication });
      }),
    schedule: (provider, repeat, request) =>
      withQueue(provider, async (queue) => {
        const options =
          "everyMs" in repeat
            ? { every: repeat.everyMs }
            : { pattern: repeat.pattern, ...(repeat.timeZone !== undefined && { tz: repeat.timeZone }) };
        const template = { name: JOB, data: request, opts: JOB_OPTIONS };
        await server.alone(() => queue.upsertJobScheduler(SCHEDULE, options, template));
      }),
    unschedule: (provider) => withQueue(provider, (queue) => server.alone(() => queue.removeJobScheduler(SCHEDULE))),
    counts: (provider) =>
      withQueue(provider, async (queue) => {
        const counts = await queue.getJobCounts("waiting", "active", "delayed", "failed");
        const scheduler = await queue.getJobScheduler(SCHEDULE);
        const { waiting = 0, active = 0, delayed = 0, failed = 0 } = counts;
        const schedule = scheduler && (scheduler.pattern ?? `every ${scheduler.every} ms`);
        return { waiting, active, delayed, failed, ...(schedule !== undefined && { schedule }) };
      }),
    work: async (options) => {
      for (const provider of options.providers) await withQueue(provider, async () => {});
      return startWork(server, nameOf, options);
    },
    shareLimits: server.shareLimits,
    close: async () => {
      for (const opening of opened.values()) {
        const queue = await opening.catch(() => undefined);
        await queue?.close().catch(() => undefined);
      }
      await server.close();
    },
  };
}

async function startWork(
  server: QueueServer<JobRequest>,
  nameOf: (provider: ProviderId) => string,
  options: WorkOptions,
): Promise<{ readonly stop: () => Promise<void> }> {
  const { concurrency = DEFAULT_CONCURRENCY, takeoverMs = DEFAULT_TAKEOVER_MS, pollMs = DEFAULT_POLL_MS } = options;
  const stopping = new AbortController();
  const underWay = new Map<ProviderId, Promise<void>>();
  /** Ends the nap between two looks. */
  let wake = () => {};
  let fetches = 0;

  const workers = options.providers.map((provider) => {
    const holds = new Map<string, Hold>();
    const worker = server.createWorker(
      nameOf(provider),
      async (job, token = "") => {
        const request = jobSchema.safeParse(job.data);
        if (!request.success) {
          const { UnrecoverableError } = server.bullmq;
          throw new UnrecoverableError(`The job is of another version: ${z.prettifyError(request.error)}`);
        }
        const hold = holds.get(token);
        if (!hold) throw new Error("A job was begun that nobody holds.");
        const tick = await options.turn(provider, request.data, hold.signal);
        return settle(server.bullmq, job, token, tick, hold);
      },
      takeoverMs,
    );
    worker.on("error", (error) => options.onError(server.explain(error)));
    return { provider, worker, holds };
  });

  /** Takes a job from the queue, when there is one and nobody else has one of it, and does it. False: there is none. */
  async function look({ provider, worker, holds }: (typeof workers)[number]): Promise<boolean> {
    const token = `${worker.id}:${fetches++}`;
    const job = await worker.getNextJob(token, { block: false });
    if (!job) return false;
    const hold = holdJob(worker, String(job.id), token, takeoverMs, stopping.signal);
    holds.set(token, hold);
    const work = async () => {
      await worker.processJob(job, token, () => false);
      hold.release();
      holds.delete(token);
      underWay.delete(provider);
      if (hold.isLost()) options.onLost(provider);
      wake();
    };
    underWay.set(provider, work());
    return true;
  }

  async function lookAround(): Promise<void> {
    while (!stopping.signal.aborted) {
      // In another order each time: when there is more work than places, everybody's turn comes.
      for (const each of shuffle(workers)) {
        if (stopping.signal.aborted || underWay.size >= concurrency) break;
        if (underWay.has(each.provider)) continue;
        await look(each).catch((error: unknown) => options.onError(server.explain(error)));
      }
      if (!stopping.signal.aborted) await nap();
    }
  }

  function nap(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pollMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  for (const { worker } of workers) await worker.startStalledCheckTimer();
  const looking = lookAround();
  return {
    stop: async () => {
      stopping.abort();
      wake();
      await looking;
      await Promise.all(underWay.values());
      await Promise.all(workers.map(({ worker }) => worker.close()));
    },
  };
}

/** Ends a job by what came of its turn. What it throws is BullMQ's way of saying how. */
async function settle(
  { DelayedError }: Bullmq,
  job: Job<JobRequest>,
  token: string,
  tick: Tick,
  hold: Hold,
): Promise<string> {
  // It is somebody else's by now; there is nothing to say to the server.
  if (hold.isLost()) throw new DelayedError();
  const later = async (at: number): Promise<never> => {
    await job.moveToDelayed(at, token);
    throw new DelayedError();
  };
  const { status, report, error, resting } = tick;
  switch (status) {
    case "converged":
    case "held":
      return report?.runId ?? status;
    case "busy":
      return later(Date.now() + BUSY_AGAIN_MS);
    case "resting":
      return later(Math.max(Date.now() + BUSY_AGAIN_MS, ...resting.map(({ until }) => Date.parse(until))));
    default:
      // Stopped on request: given back at once.
      if (hold.signal.aborted || status === "stopped") return later(Date.now());
      if (report?.retryAt !== undefined) return later(Math.max(Date.now() + BUSY_AGAIN_MS, Date.parse(report.retryAt)));
      throw new Error(error?.message ?? `The run ended ${status}.`);
  }
}

/** A job that is this worker's for as long as it says so to the server. */
interface Hold {
  /** Aborts when the worker stops or the job is lost. */
  readonly signal: AbortSignal;
  readonly isLost: () => boolean;
  readonly release: () => void;
}

/**
 * Renews the lock of a job until it is released. By hand, not by BullMQ's own: it tells of a lock that somebody else
 * has, but goes on when the server cannot be asked, though the lock must have run out by then.
 */
function holdJob(
  worker: Worker<JobRequest>,
  jobId: string,
  token: string,
  takeoverMs: number,
  stopping: AbortSignal,
): Hold {
  const stopper = new AbortController();
  const stop = () => stopper.abort();
  if (stopping.aborted) stop();
  stopping.addEventListener("abort", stop, { once: true });
  let lost = false;
  // `performance.now` goes on while a process is stopped.
  let renewed = performance.now();
  const lose = () => {
    lost = true;
    stopper.abort(LOST);
  };
  const renew = async () => {
    if (performance.now() - renewed >= takeoverMs) return lose();
    const asked = performance.now();
    const refused = await worker.extendJobLocks([jobId], [token], takeoverMs);
    if (refused.length > 0) lose();
    else renewed = asked;
  };
  const timer = setInterval(() => void renew().catch(() => undefined), takeoverMs / 3);
  return {
    signal: stopper.signal,
    isLost: () => lost || performance.now() - renewed >= takeoverMs,
    release: () => {
      clearInterval(timer);
      stopping.removeEventListener("abort", stop);
    },
  };
}

function shuffle<T>(items: readonly T[]): readonly T[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
