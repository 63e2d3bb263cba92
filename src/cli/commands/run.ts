import { GroupSyncError } from "../../errors.js";
import { type HealthServer, startHealthServer } from "../../jobs/health.js";
import { describeEvent, type LogEntry, renderEntry } from "../../jobs/log.js";
import { createMetrics } from "../../jobs/metrics.js";
import { createNoticeMaker, createNotifier, explainNotifyError, type Notifier } from "../../jobs/notify.js";
import { runSchedule } from "../../jobs/schedule.js";
import { createTicker, type JobEvent, type Tick, type TickerOptions } from "../../jobs/tick.js";
import { createCronTimetable, createPeriodicTimetable, type Timetable } from "../../jobs/timetable.js";
import { createTelemetry } from "../../jobs/trace.js";
import type { ProviderId } from "../../model.js";
import type { ReconcileOptions } from "../../reconcile/reconcile.js";
import { exitCodeOfReport } from "../exit.js";
import { planOptions, readSpec } from "../inputs.js";
import { type CommonFlags, parseDuration, type Session } from "../session.js";
import { withState } from "../state.js";

/** Flags that `run` and `worker` share. */
export interface ServiceFlags extends CommonFlags {
  readonly deadline?: string;
  readonly healthPort?: string;
  readonly healthHost: string;
  readonly notify?: string;
  readonly notifyFormat: "json" | "text";
  readonly notifyCommand?: string;
  readonly log: "json" | "text";
}

/** Flags of `run`. */
export interface RunFlags extends ServiceFlags {
  readonly cron?: string;
  readonly timeZone?: string;
  readonly every?: string;
  readonly jitter?: string;
  readonly once?: boolean;
}

/** `run`: keeps reconciling on a schedule, in the foreground. */
export async function runRun(session: Session, flags: RunFlags): Promise<number> {
  const timetable = flags.once ? undefined : timetableOf(flags);
  const jitterMs = flags.jitter === undefined ? 0 : parseDuration("--jitter", flags.jitter);
  const service = await startService(session, flags);
  const { onEvent, tell } = service.lane();
  try {
    const tick = createTicker(tickerOptions(() => session, flags, { onEvent, warn: service.warn }));
    if (!timetable) return endOnce(await tell(await tick(session.signal)), session, flags);
    service.log({ level: "info", event: "start", message: `${flags.config}: ${timetable.description}` });
    await runSchedule({
      timetable,
      jitterMs,
      signal: session.signal,
      onEvent,
      turn: async (signal) => {
        await tell(await tick(signal));
      },
    });
    service.log({ level: "info", event: "stop", message: "stopped on request" });
    return 0;
  } finally {
    await service.close();
  }
}

function endOnce(tick: Tick, session: Session, flags: RunFlags): number {
  if (tick.report) {
    if (flags.json) session.json(tick.report);
    return exitCodeOfReport(tick.report);
  }
  const { code, message } = tick.error ?? { code: tick.status, message: `Nothing was done: ${tick.status}.` };
  if (flags.json) session.json({ kind: "error", formatVersion: 1, code, message });
  return { busy: 5, resting: 6 }[tick.status as string] ?? (code === "rate-limited" ? 6 : 1);
}

/** When, by the flags. Throws `options-invalid` unless it is said in exactly one way. */
export function timetableOf({
  cron,
  every,
  timeZone,
  jitter,
}: Pick<RunFlags, "cron" | "every" | "timeZone" | "jitter">): Timetable {
  if ((cron === undefined) === (every === undefined)) {
    throw new GroupSyncError("options-invalid", "When to run is said by either --cron or --every.", {
      hint: 'Such as: group-sync run --every 15m, or: group-sync run --cron "*/15 * * * *"',
    });
  }
  if (cron !== undefined) return createCronTimetable(cron, timeZone);
  if (timeZone !== undefined) throw new GroupSyncError("options-invalid", "--time-zone goes with --cron.");
  const periodMs = parseDuration("--every", every ?? "");
  if (jitter !== undefined && parseDuration("--jitter", jitter) >= periodMs) {
    throw new GroupSyncError("options-invalid", `--jitter ${jitter} is not shorter than --every ${every}.`);
  }
  return createPeriodicTimetable(periodMs);
}

/**
 * What a turn works with: everything is opened anew, so that a changed spec, credential or database is no matter.
 * `sessionOf` is asked at each turn, as its flags may narrow that turn.
 */
export function tickerOptions(
  sessionOf: () => Session,
  flags: ServiceFlags,
  { onEvent, warn }: Pick<Lane, "onEvent"> & Pick<Service, "warn">,
  more: Pick<ReconcileOptions, "leaseMs"> = {},
): TickerOptions {
  return {
    onEvent,
    ...(flags.deadline !== undefined && { deadlineMs: parseDuration("--deadline", flags.deadline) }),
    withWork: async (act) => {
      const session = sessionOf();
      const warnings: string[] = [];
      const spec = await readSpec({ ...session, say: (text) => warnings.push(text) });
      warn(spec.digest, warnings);
      return withState(spec, session, { create: true }, (state) => {
        if (!state) throw new GroupSyncError("internal", "A service was started without a state.");
        const { signal: _signal, onEvent: _progress, ...options } = planOptions(session, spec);
        return act({ ...options, ...more, state });
      });
    },
  };
}

/** What stands around turns of which one follows the other. */
interface Lane {
  readonly onEvent: (event: JobEvent) => void;
  /** Notifies of what came of a turn, as wished. */
  readonly tell: (tick: Tick) => Promise<Tick>;
}

/** What stands around the turns of a service: log, metrics, health, notices. */
interface Service {
  readonly log: (entry: LogEntry) => void;
  /** One for each row of turns that go on side by side; `provider`: turns of this one alone. */
  readonly lane: (provider?: ProviderId) => Lane;
  /** Tells warnings about a spec: once for each spec, not at every turn. */
  readonly warn: (digest: string, messages: readonly string[]) => void;
  /** Ready from now on, whether or not there was a turn. */
  readonly admit: () => void;
  readonly close: () => Promise<void>;
}

/** How long a notice may hold up the next turn. */
const NOTICE_MS = 30_000;

/** Starts everything around the turns. */
export async function startService(
  session: Session,
  flags: ServiceFlags & { readonly once?: boolean },
): Promise<Service> {
  const format = flags.json ? "json" : flags.log;
  const log = (entry: LogEntry) => {
    if (entry.level === "debug" && !flags.verbose) return;
    if (flags.quiet && entry.level !== "error" && entry.level !== "warn") return;
    const line = `${renderEntry(entry, format, new Date())}\n`;
    // The log is the result of a service; of a single run that prints a document, it is a remark.
    if (flags.once && flags.json) process.stderr.write(line);
    else session.result(line);
  };
  // A spec that is wrong from the start is a mistake to be seen now, not a line in a log.
  const spec = await readSpec({ ...session, say: () => {} });
  const notifier = notifierOf(flags);
  let warned: string | undefined;
  const metrics = createMetrics();
  const createSpans = await createTelemetry(metrics);
  let health: HealthServer | undefined;
  if (flags.healthPort !== undefined) {
    health = await startHealthServer({
      port: portOf(flags.healthPort),
      host: flags.healthHost,
      metrics: () => metrics.render(),
    });
    log({ level: "info", event: "health", message: `health and metrics at ${health.url}`, facts: { url: health.url } });
  }
  const retire = () => health?.retire();
  session.signal.addEventListener("abort", retire, { once: true });
  await withState(spec, session, { create: false }, async (state) => {
    if (state) await metrics.recall(state);
  });
  return {
    log,
    lane: (provider) => {
      const makeNotice = createNoticeMaker();
      const telemetry = createSpans?.();
      return {
        onEvent: (event) => {
          metrics.onEvent(event);
          telemetry?.(event);
          health?.onEvent(event);
          for (const entry of describeEvent(event)) log(provider === undefined ? entry : nameProvider(entry, provider));
        },
        tell: async (tick) => {
          const notice = makeNotice(tick);
          if (!notice || !notifier) return tick;
          try {
            await notifier(notice, AbortSignal.timeout(NOTICE_MS));
          } catch (error) {
            log({ level: "error", event: "notify", message: explainNotifyError(error) });
          }
          return tick;
        },
      };
    },
    admit: () => health?.admit(),
    warn: (digest, messages) => {
      if (warned !== digest) for (const message of messages) log({ level: "warn", event: "spec", message });
      warned = digest;
    },
    close: async () => {
      session.signal.removeEventListener("abort", retire);
      await health?.close();
    },
  };
}

/** Many lines of a service tell of all its providers together; beside other turns they have to say whose they are. */
function nameProvider(entry: LogEntry, provider: ProviderId): LogEntry {
  if (entry.facts?.["provider"] !== undefined) return entry;
  return { ...entry, message: `${provider}: ${entry.message}`, facts: { provider, ...entry.facts } };
}

function notifierOf({ notify, notifyFormat, notifyCommand }: ServiceFlags): Notifier | undefined {
  if (notify === undefined && notifyCommand === undefined) return undefined;
  return createNotifier({
    format: notifyFormat,
    ...(notify !== undefined && { webhook: notify }),
    ...(notifyCommand !== undefined && { command: notifyCommand }),
  });
}

function portOf(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new GroupSyncError("options-invalid", `--health-port takes a whole number from 0 to 65535, not ${text}.`);
}
