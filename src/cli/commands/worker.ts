import { once } from "node:events";
import { GroupSyncError } from "../../errors.js";
import { shareLimits } from "../../http/budget.js";
import type { JobRequest } from "../../jobs/queue.js";
import { createTicker } from "../../jobs/tick.js";
import type { ProviderId } from "../../model.js";
import { readSpec } from "../inputs.js";
import { parseDuration, type Session } from "../session.js";
import { openPlace, type QueueFlags } from "./enqueue.js";
import { type ServiceFlags, startService, tickerOptions } from "./run.js";

/** Flags of `worker`. */
export interface WorkerFlags extends ServiceFlags, QueueFlags {
  readonly concurrency: string;
  readonly takeover: string;
}

/** Less would take jobs from workers that are only busy. */
const SHORTEST_TAKEOVER_MS = 1_000;

/** `worker`: does the jobs of the queues, in the foreground, beside other workers. */
export async function runWorker(session: Session, flags: WorkerFlags): Promise<number> {
  const takeoverMs = parseDuration("--takeover", flags.takeover);
  if (takeoverMs < SHORTEST_TAKEOVER_MS) {
    throw new GroupSyncError("options-invalid", `--takeover ${flags.takeover} is less than a second.`);
  }
  const concurrency = Number(flags.concurrency);
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new GroupSyncError("options-invalid", `--concurrency ${flags.concurrency} is not a whole number from 1 on.`);
  }
  const spec = await readSpec(session);
  const providers = spec.providers.map(({ id }) => id).filter((id) => flags.provider?.includes(id) ?? true);
  const queues = await openPlace(flags);
  const service = await startService(session, flags);
  try {
    shareLimits(await queues.shareLimits());
    if (spec.state === undefined || "file" in spec.state) {
      const message = "the state is a file: only workers of this machine may share these queues";
      service.log({ level: "warn", event: "state", message });
    }
    const turns = new Map(providers.map((id) => [id, createTurn(session, flags, service, id, takeoverMs)]));
    const work = await queues.work({
      providers,
      concurrency,
      takeoverMs,
      turn: (provider, request, signal) => {
        const turn = turns.get(provider);
        if (!turn)
          throw new GroupSyncError("internal", `A job of ${provider} came to a worker that has no such queue.`);
        return turn(request, signal);
      },
      onError: (message) => service.log({ level: "error", event: "queue", message }),
      onLost: (provider) =>
        service.log({
          level: "warn",
          event: "lost",
          message: `${provider}: the job went to another worker, as this one fell silent; it was stopped here`,
          facts: { provider },
        }),
    });
    service.admit();
    const message = `at work on ${providers.length === 1 ? "one queue" : `${providers.length} queues`}`;
    service.log({ level: "info", event: "start", message, facts: { providers: providers.length } });
    if (!session.signal.aborted) await once(session.signal, "abort");
    await work.stop();
    service.log({ level: "info", event: "stop", message: "stopped on request" });
    return 0;
  } finally {
    shareLimits(undefined);
    await service.close();
    await queues.close();
  }
}

type Turn = (request: JobRequest, signal: AbortSignal) => ReturnType<ReturnType<typeof createTicker>>;

/** The turns of one provider. It never has two at once, so that what is asked for can be kept beside the ticker. */
function createTurn(
  session: Session,
  flags: WorkerFlags,
  service: Awaited<ReturnType<typeof startService>>,
  provider: ProviderId,
  leaseMs: number,
): Turn {
  const { onEvent, tell } = service.lane(provider);
  let asked: JobRequest = {};
  const options = tickerOptions(
    () => ({ ...session, flags: narrow(flags, provider, asked) }),
    flags,
    { onEvent, warn: service.warn },
    { leaseMs },
  );
  const tick = createTicker(options);
  return async (request, signal) => {
    asked = request;
    return tell(await tick(signal));
  };
}

/** The flags of a worker for one job. */
function narrow(flags: WorkerFlags, provider: ProviderId, { groups, allow, removals }: JobRequest): WorkerFlags {
  return {
    ...flags,
    provider: [provider],
    ...(groups && { group: groups }),
    ...(allow && { allow }),
    ...(removals !== undefined && { removals }),
  };
}
