/** What all commands share: flags, output, progress, Ctrl-C. Light: the help needs no more. */
import picocolors from "picocolors";
import { GroupSyncError } from "../errors.js";
import { writeJson, writeRemark, writeResult } from "./output.js";
import { createProgress, type Progress } from "./progress.js";

/** Flags that every command knows. */
export interface CommonFlags {
  readonly config: string;
  readonly provider?: readonly string[];
  readonly group?: readonly string[];
  readonly json?: boolean;
  readonly allow?: readonly string[];
  /** commander's reading of `--no-removals`. */
  readonly removals?: boolean;
  readonly timeout?: string;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  /** commander's reading of `--no-color`. */
  readonly color?: boolean;
}

/** The spec's name where none is given. */
export const USUAL_FILE = "group-sync.yaml";

/** ` -c <file>` where it has to be said, for commands that are proposed. */
export function configFlag({ config }: Pick<CommonFlags, "config">): string {
  return config === USUAL_FILE ? "" : ` -c ${config}`;
}

/** One invocation of the command line. */
export interface Session {
  readonly flags: CommonFlags;
  readonly colors: boolean;
  /** Aborts on Ctrl-C, SIGTERM and after `--timeout`. */
  readonly signal: AbortSignal;
  /** The result of the command: stdout. */
  readonly result: (text: string) => void;
  /** People's text beside the result: stderr. Silent with -q. */
  readonly say: (text: string) => void;
  /** A document on stdout, for machines. */
  readonly json: (document: unknown) => void;
  /** The progress of this invocation, on stderr. */
  readonly progress: Progress;
}

/** A session as its opener holds it. */
export interface OpenSession extends Session {
  /** What aborted the signal: `Ctrl-C`, `--timeout 90s`. */
  stoppedBy(): string | undefined;
  end(): void;
}

/** A notice that comes sooner than this would only flash by. */
const NOTICE_AFTER_MS = 200;

/** Makes a session and listens for Ctrl-C until `end` is called. */
export function openSession(flags: CommonFlags): OpenSession {
  const stopper = new AbortController();
  const timeoutMs = flags.timeout === undefined ? undefined : parseDuration("--timeout", flags.timeout);
  const progress = createProgress({
    quiet: flags.quiet === true,
    verbose: flags.verbose === true,
    stream: process.stderr,
  });
  let notice: NodeJS.Timeout | undefined;
  let stoppedBy: string | undefined;
  const stop = (by: string) => {
    stoppedBy = by;
    const notify = () => writeRemark(`\n${by}: stopping after what is under way; Ctrl-C (again) stops at once.`);
    notice = setTimeout(notify, NOTICE_AFTER_MS);
    stopper.abort();
  };
  const interrupt = (name: NodeJS.Signals) => {
    if (!stopper.signal.aborted) return stop(name === "SIGINT" ? "Ctrl-C" : name);
    progress.stop();
    return process.exit(name === "SIGINT" ? 130 : 143);
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => stop(`--timeout ${flags.timeout}`), timeoutMs);
  return {
    flags,
    colors: flags.color !== false && picocolors.isColorSupported && process.stdout.isTTY,
    signal: stopper.signal,
    result: writeResult,
    say: (text) => {
      if (!flags.quiet) writeRemark(text);
    },
    json: writeJson,
    progress,
    stoppedBy: () => stoppedBy,
    end: () => {
      progress.stop();
      clearTimeout(timer);
      clearTimeout(notice);
      process.off("SIGINT", interrupt);
      process.off("SIGTERM", interrupt);
    },
  };
}

/** setTimeout takes no more: 24 days. */
const LONGEST_MS = 2 ** 31 - 1;

/** Milliseconds of `90s`, `15m`, `2h`, `500ms`. Throws `options-invalid` otherwise. */
export function parseDuration(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ""] ?? 0;
  const durationMs = Number(match?.[1] ?? 0) * factor;
  if (durationMs > 0) return Math.min(durationMs, LONGEST_MS);
  throw new GroupSyncError("options-invalid", `${flag} ${text} is not a duration; write 90s, 15m or 2h.`);
}
