/** One line for each thing that matters, for people or for machines that collect logs. Pure. */
import type { Report } from "../model.js";
import type { JobEvent, Tick } from "./tick.js";

/** A line of the log, before it is text. */
export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  /** What happened, in one word that stays the same. */
  readonly event: string;
  readonly message: string;
  /** What a machine would look for. Never a secret. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** What an event is worth in the log: mostly nothing, for a turn that went wrong several lines. */
export function describeEvent(event: JobEvent): readonly LogEntry[] {
  switch (event.type) {
    case "next":
      return [{ level: "debug", event: "next", message: `next run at ${event.at}`, facts: { at: event.at } }];
    case "missed": {
      const message = `the run took so long that ${event.turns === 1 ? "one was" : `${event.turns} were`} left out`;
      return [{ level: "warn", event: "missed", message, facts: { runs: event.turns } }];
    }
    case "begin":
      return [{ level: "debug", event: "begin", message: "a run begins" }];
    case "quarantined": {
      const { provider, failures, until, reason } = event;
      const message = `${provider} is left alone until ${until}, after ${failures === 1 ? "a failure" : `${failures} failures in a row`}: ${reason}`;
      return [{ level: "warn", event: "quarantined", message, facts: { provider, failures, until } }];
    }
    case "returned":
      return [
        {
          level: "info",
          event: "returned",
          message: `${event.provider} works again`,
          facts: { provider: event.provider },
        },
      ];
    case "phase": {
      const { provider, phase } = event;
      return [{ level: "debug", event: "phase", message: `${provider}: ${phase}`, facts: { provider, phase } }];
    }
    case "wait":
    case "retry": {
      const { provider, delayMs, reason } = event;
      const message = `${provider}: ${event.type === "wait" ? "waits" : `${event.operation} again in`} ${Math.ceil(delayMs / 1000)} s (${reason})`;
      const level = event.type === "wait" && delayMs >= WORTH_A_LINE_MS ? "info" : "debug";
      return [{ level, event: event.type, message, facts: { provider, delayMs } }];
    }
    case "tick":
      return describeTick(event.tick);
    default:
      return [];
  }
}

const WORTH_A_LINE_MS = 10_000;

function describeTick({ status, report, error, drift, resting, startedAt, finishedAt }: Tick): readonly LogEntry[] {
  const ms = Date.parse(finishedAt) - Date.parse(startedAt);
  const alone = resting.map(({ provider }) => provider);
  const facts = { status, ms, ...(alone.length > 0 && { resting: alone }), ...(error && { code: error.code }) };
  if (!report) {
    const entry = (level: LogEntry["level"], event: string, message: string) => [{ level, event, message, facts }];
    switch (status) {
      case "busy":
        return entry("info", "busy", `left out: ${error?.message ?? "another run is at work"}`);
      case "resting":
        return entry("warn", "resting", `nothing to do: ${alone.join(", ")} left alone for now`);
      case "stopped":
        return entry("info", "stopped", "stopped before anything was written");
      default:
        return entry("error", "error", error?.message ?? "the run could not begin");
    }
  }
  const { runId, summary } = report;
  const counts = countsOf(summary);
  const level = status === "converged" ? "info" : status === "held" ? "warn" : "error";
  const line: LogEntry = {
    level,
    event: "run",
    message: `${status}${counts === "" ? ", nothing to do" : `: ${counts}`}${drift > 0 ? ` (${drift} by drift)` : ""}, ${runId}`,
    facts: { ...facts, runId, drift, summary },
  };
  const details = report.providers.flatMap(({ id: provider, error: broken, problems, outcomes }): LogEntry[] => {
    const failed = outcomes.filter((outcome) => outcome.status === "failed" || outcome.status === "unknown");
    return [
      ...(broken
        ? [{ event: "provider", message: `${provider}: ${broken.message}`, facts: { code: broken.code } }]
        : []),
      ...problems.map(({ group, message }) => ({
        event: "problem",
        message: `${provider}, ${group}: ${message}`,
        facts: { group },
      })),
      ...failed.map(({ type, group, person, status: ending, error: why }) => ({
        event: "change",
        message: `${provider}, ${group}: ${type} ${ending}: ${why?.message ?? "no reason was given"}`,
        facts: { group, type, status: ending, ...(person !== undefined && { person }) },
      })),
    ].map((entry) => ({ ...entry, level: "error" as const, facts: { ...entry.facts, provider, runId } }));
  });
  const unsaved: LogEntry[] = error
    ? [
        {
          level: "error",
          event: "state",
          message: `the run could not be written down: ${error.message}`,
          facts: { runId, code: error.code },
        },
      ]
    : [];
  return [line, ...details, ...unsaved];
}

function countsOf(summary: Report["summary"]): string {
  return Object.entries(summary)
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${count} ${status}`)
    .join(", ");
}

/** Renders a line, without its end. JSON: one object; text: time, level, words. */
export function renderEntry({ level, event, message, facts }: LogEntry, format: "json" | "text", at: Date): string {
  const time = at.toISOString();
  if (format === "json") return JSON.stringify({ time, level, event, message, ...facts });
  return `${time.replace(/\.\d+Z$/, "Z")} ${level.padEnd(5)} ${message.replace(/\n/g, "\n  ")}`;
}
