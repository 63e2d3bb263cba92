import { GroupSyncError } from "../../errors.js";
import type { ProviderId, Spec } from "../../model.js";
import { openQueues, type JobRequest, type Queues, type Repeat } from "../../jobs/queue.js";
import { planOptions, readSpec } from "../inputs.js";
import { type CommonFlags, parseDuration, type Session } from "../session.js";
import { timetableOf } from "./run.js";

/** Flags that say where the queues are. */
export interface QueueFlags extends CommonFlags {
  readonly queue?: string;
  readonly queueName: string;
}

/** Flags of `enqueue`. */
export interface EnqueueFlags extends QueueFlags {
  readonly cron?: string;
  readonly timeZone?: string;
  readonly every?: string;
  readonly unschedule?: boolean;
  readonly show?: boolean;
}

/** `enqueue`: puts jobs into the queues for workers, now or on a schedule. */
export async function runEnqueue(session: Session, flags: EnqueueFlags): Promise<number> {
  const act = actionOf(flags);
  const spec = await readSpec(session);
  // Guards and groups that are not there are told now, not by a worker.
  planOptions(session, spec);
  const request = requestOf(flags);
  const queues = await openPlace(flags);
  try {
    const rows = [];
    for (const provider of providersOf(spec, flags)) {
      await act(queues, provider, request);
      rows.push({ provider, ...(await queues.counts(provider)) });
    }
    if (flags.json) session.json({ kind: "queues", formatVersion: 1, queues: rows });
    else {
      for (const { provider, waiting, active, delayed, failed, schedule } of rows) {
        const counts = `${waiting} waiting, ${active} under way, ${delayed} put off, ${failed} given up`;
        session.result(`${provider}: ${counts}${schedule === undefined ? "" : `; comes by itself: ${schedule}`}\n`);
      }
    }
    return 0;
  } finally {
    await queues.close();
  }
}

type Act = (queues: Queues, provider: ProviderId, request: JobRequest) => Promise<unknown>;

function actionOf(flags: EnqueueFlags): Act {
  const { cron, every, timeZone, unschedule, show } = flags;
  const repeats = cron !== undefined || every !== undefined || timeZone !== undefined;
  if ([repeats, unschedule, show].filter(Boolean).length > 1) {
    throw new GroupSyncError("options-invalid", "--cron or --every, --unschedule and --show exclude each other.");
  }
  if (show) return async () => {};
  if (unschedule) return (queues, provider) => queues.unschedule(provider);
  if (!repeats) return (queues, provider, request) => queues.enqueue(provider, request);
  // Refuses what is no time, before a server is asked.
  timetableOf({
    ...(cron !== undefined && { cron }),
    ...(every !== undefined && { every }),
    ...(timeZone !== undefined && { timeZone }),
  });
  const repeat: Repeat =
    cron === undefined
      ? { everyMs: parseDuration("--every", every ?? "") }
      : { pattern: cron, ...(timeZone !== undefined && { timeZone }) };
  return (queues, provider, request) => queues.schedule(provider, repeat, request);
}

function requestOf({ group, allow, removals }: EnqueueFlags): JobRequest {
  return {
    ...(group && { groups: [...group] }),
    ...(allow && { allow: [...allow] }),
    ...(removals === false && { removals }),
  };
}

/** The providers that are asked for, as far as the groups that are asked for stand there. */
function providersOf({ targets }: Spec, { provider, group }: EnqueueFlags): readonly ProviderId[] {
  const wanted = targets.filter(
    (target) => (provider?.includes(target.provider) ?? true) && (group?.includes(target.group) ?? true),
  );
  return [...new Set(wanted.map((target) => target.provider))];
}

/** Opens the queues that the flags name. */
export async function openPlace({ queue, queueName }: QueueFlags): Promise<Queues> {
  if (queue === undefined) {
    throw new GroupSyncError("options-invalid", "It is not said where the queues are.", {
      hint: "Set GROUP_SYNC_QUEUE, or give --queue, to an address such as redis://127.0.0.1:6379 or postgres://….",
    });
  }
  if (!/^[\w-]{1,64}$/.test(queueName)) {
    throw new GroupSyncError("options-invalid", `--queue-name ${queueName}: only letters, digits, - and _, up to 64.`);
  }
  return openQueues({ url: queue, name: queueName });
}
