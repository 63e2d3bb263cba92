/** Progress of long work on stderr: bars on a terminal, now and then a plain line elsewhere (with -v), else nothing. */
import type { SyncEvent } from "../reconcile/events.js";

/** Where events of a run go. */
export interface Progress {
  readonly onEvent: (event: SyncEvent) => void;
  /** Removes the bars. */
  stop(): void;
}

/** What the user asked to hear. */
export interface ProgressOptions {
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly stream: NodeJS.WriteStream;
}

const PLAIN_LINE_EVERY_MS = 5_000;

/** Makes the progress that fits the terminal. */
export async function createProgress(options: ProgressOptions): Promise<Progress> {
  const { stream } = options;
  const say = (text: string) => stream.write(`${text}\n`);
  const waits = (event: SyncEvent): string | undefined => {
    if (event.type === "wait" && event.delayMs >= 1000)
      return `${event.provider}: waiting ${Math.ceil(event.delayMs / 1000)} s (${event.reason})`;
    if (event.type === "retry" && (options.verbose || event.delayMs >= 1000))
      return `${event.provider}: ${event.operation} again in ${Math.ceil(event.delayMs / 1000)} s (${event.reason})`;
    return undefined;
  };
  if (options.quiet) return { onEvent: () => {}, stop: () => {} };
  if (stream.isTTY && !options.verbose) return createBars(waits, stream);

  let lastLine = 0;
  return {
    onEvent: (event) => {
      const wait = waits(event);
      if (wait !== undefined) say(wait);
      else if (options.verbose && event.type === "phase") say(`${event.provider}: ${PHASES[event.phase]}`);
      else if (event.type === "progress" && Date.now() - lastLine > PLAIN_LINE_EVERY_MS && event.done < event.total) {
        if (lastLine > 0) say(`${event.provider}: ${PHASES[event.phase]} ${event.done} of ${event.total}`);
        lastLine = Date.now();
      }
    },
    stop: () => {},
  };
}

const PHASES = {
  resolve: "looking people up",
  read: "reading groups",
  apply: "writing",
  verify: "reading back",
  done: "done",
} as const;

async function createBars(
  waits: (event: SyncEvent) => string | undefined,
  stream: NodeJS.WriteStream,
): Promise<Progress> {
  const { default: cliProgress } = await import("cli-progress");
  const bars = new cliProgress.MultiBar(
    {
      format: "{provider} {phase} {bar} {value}/{total} {note}",
      barsize: Math.max(8, Math.min(30, (stream.columns ?? 80) - 50)),
      stream,
      clearOnComplete: true,
      hideCursor: true,
      noTTYOutput: false,
    },
    cliProgress.Presets.shades_grey,
  );
  const byProvider = new Map<string, ReturnType<typeof bars.create>>();
  return {
    onEvent: (event) => {
      let bar = byProvider.get(event.provider);
      if (!bar) {
        bar = bars.create(1, 0, { provider: event.provider, phase: "", note: "" });
        byProvider.set(event.provider, bar);
      }
      if (event.type === "phase") bar.update({ phase: PHASES[event.phase], note: "" });
      else if (event.type === "progress") {
        bar.setTotal(Math.max(1, event.total));
        bar.update(event.done, { phase: PHASES[event.phase], note: "" });
      } else bar.update({ note: waits(event) ?? "" });
    },
    stop: () => bars.stop(),
  };
}
