/** Progress of long work on stderr: bars on a terminal, now and then a plain line elsewhere, nothing with -q. */
import { createRequire } from "node:module";
import type cliProgress from "cli-progress";
import type { SyncEvent } from "../reconcile/events.js";
import { writeRemark } from "./output.js";

/** Where events of a run go. */
export interface Progress {
  readonly onEvent: (event: SyncEvent) => void;
  /** Removes the bars. The next event draws them anew. */
  stop(): void;
}

/** What the user asked to hear. */
export interface ProgressOptions {
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly stream: NodeJS.WriteStream;
}

const PLAIN_LINE_EVERY_MS = 5_000;

const PHASES = {
  resolve: "looking people up",
  read: "reading groups",
  apply: "writing",
  verify: "reading back",
  done: "done",
} as const;

/** Makes the progress that fits the terminal. */
export function createProgress(options: ProgressOptions): Progress {
  if (options.quiet) return { onEvent: () => {}, stop: () => {} };
  const waits = createWaitLines(options.verbose);
  if (options.stream.isTTY && !options.verbose) return createBars(waits, options.stream);

  let lastLineAt = Date.now();
  return {
    onEvent: (event) => {
      const wait = waits(event);
      if (wait !== undefined) writeRemark(wait);
      else if (options.verbose && event.type === "phase") writeRemark(`${event.provider}: ${PHASES[event.phase]}`);
      else if (event.type === "progress" && Date.now() - lastLineAt > PLAIN_LINE_EVERY_MS && event.done < event.total) {
        writeRemark(`${event.provider}: ${PHASES[event.phase]} ${event.done} of ${event.total}`);
        lastLineAt = Date.now();
      }
    },
    stop: () => {},
  };
}

/** What a wait or a repetition is worth saying; one line for many requests that wait for the same thing. */
function createWaitLines(verbose: boolean): (event: SyncEvent) => string | undefined {
  const saidUntil = new Map<string, number>();
  return (event) => {
    if (event.type !== "wait" && event.type !== "retry") return undefined;
    const { provider, delayMs, reason } = event;
    const end = Date.now() + delayMs;
    if (!verbose && (delayMs < 1000 || end < (saidUntil.get(provider) ?? 0) + 1000)) return undefined;
    saidUntil.set(provider, end);
    const seconds = Math.ceil(delayMs / 1000);
    return event.type === "wait"
      ? `${provider}: waiting ${seconds} s (${reason})`
      : `${provider}: ${event.operation} again in ${seconds} s (${reason})`;
  };
}

function createBars(waits: (event: SyncEvent) => string | undefined, stream: NodeJS.WriteStream): Progress {
  let bars: cliProgress.MultiBar | undefined;
  const byProvider = new Map<string, cliProgress.SingleBar>();
  const barOf = (provider: string): cliProgress.SingleBar => {
    bars ??= drawBars(stream);
    const bar = byProvider.get(provider) ?? bars.create(1, 0, { provider, phase: "", note: "" });
    byProvider.set(provider, bar);
    return bar;
  };
  return {
    onEvent: (event) => {
      const bar = barOf(event.provider);
      if (event.type === "phase") bar.update({ phase: PHASES[event.phase], note: "" });
      else if (event.type === "progress") {
        bar.setTotal(Math.max(1, event.total));
        bar.update(event.done, { phase: PHASES[event.phase], note: "" });
      } else bar.update({ note: waits(event) ?? "" });
    },
    stop: () => {
      bars?.stop();
      bars = undefined;
      byProvider.clear();
    },
  };
}

/** Loaded only where there is something to draw. */
function drawBars(stream: NodeJS.WriteStream): cliProgress.MultiBar {
  const { MultiBar, Presets } = createRequire(import.meta.url)("cli-progress") as typeof cliProgress;
  return new MultiBar(
    {
      format: "{provider} {phase} {bar} {value}/{total} {note}",
      barsize: Math.max(8, Math.min(30, (stream.columns ?? 80) - 50)),
      stream,
      clearOnComplete: true,
      hideCursor: true,
      noTTYOutput: false,
    },
    Presets.shades_grey,
  );
}
