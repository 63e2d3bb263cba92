/**
 * Tells people: drift was found, something is held, something failed, all is well again. Once each, not at every turn:
 * what is held is told when it becomes held, and when it is held no more.
 */
import { spawn } from "node:child_process";
import { GroupSyncError, isGroupSyncError } from "../errors.js";
import { createHttpClient, findBaseUrlProblem } from "../http/client.js";
import type { Report } from "../model.js";
import type { Tick } from "./tick.js";

/** What is told. `text` alone is enough to be understood. */
export interface Notice {
  readonly kind: "notice";
  readonly formatVersion: 1;
  readonly event: "drift" | "held" | "failed" | "recovered";
  readonly text: string;
  readonly at: string;
  readonly status: Tick["status"];
  readonly runId?: string;
  readonly drift: number;
  readonly summary?: Report["summary"];
  /** Providers with something to tell. */
  readonly providers: readonly {
    readonly id: string;
    readonly held: number;
    readonly failed: number;
    readonly error?: string;
  }[];
}

/** Decides, turn by turn, what is worth telling. Keeps the last trouble in mind. */
export function createNoticeMaker(): (tick: Tick) => Notice | undefined {
  let trouble = "";
  return (tick) => {
    // Somebody else is at work, or we were stopped: nothing is known anew.
    if (tick.status === "busy" || tick.status === "stopped") return undefined;
    const providers = (tick.report?.providers ?? []).flatMap(({ id, outcomes, unresolved, problems, error }) => {
      const held = outcomes.filter(({ status }) => status === "held").length + unresolved.length + problems.length;
      const failed = outcomes.filter(({ status }) => ["failed", "unknown", "skipped"].includes(status)).length;
      return held + failed > 0 || error ? [{ id, held, failed, ...(error && { error: error.message }) }] : [];
    });
    const failing = providers.filter(({ failed, error }) => failed > 0 || error !== undefined).map(({ id }) => id);
    const holding = providers.filter(({ held }) => held > 0).map(({ id, held }) => `${id} ${held}`);
    const resting = tick.resting.map(({ provider }) => provider);
    const isBroken = failing.length > 0 || tick.status === "error";
    const before = trouble;
    // Whoever rests is the failure that was told before.
    trouble = JSON.stringify([tick.error?.message, [...failing, ...resting].toSorted(), holding]);
    const isNew = trouble !== before;
    const wasWell = before === "" || before === NO_TROUBLE;
    const isWell = trouble === NO_TROUBLE;
    const make = (event: Notice["event"], text: string): Notice => ({
      kind: "notice",
      formatVersion: 1,
      event,
      text: `group-sync: ${text}`,
      at: tick.finishedAt,
      status: tick.status,
      ...(tick.report && { runId: tick.report.runId, summary: tick.report.summary }),
      drift: tick.drift,
      providers,
    });
    if (isBroken && isNew) {
      const who = providers.filter(({ id }) => failing.includes(id));
      const what = who.map(({ id, failed, error }) => `${id}: ${error ?? `${failed} changes failed`}`);
      return make("failed", ["something failed.", tick.error?.message, ...what].filter(Boolean).join("\n"));
    }
    if (tick.drift > 0) {
      const done = tick.report?.summary.applied ?? 0;
      return make("drift", `drift was found: ${tick.drift} changes were needed, ${done} made.${showRun(tick)}`);
    }
    if (holding.length > 0 && isNew) {
      return make("held", `something waits for you: ${holding.join(", ")}.${showRun(tick)}`);
    }
    return isWell && !wasWell ? make("recovered", "all is well again.") : undefined;
  };
}

const NO_TROUBLE = JSON.stringify([undefined, [], []]);

function showRun({ report }: Tick): string {
  return report ? ` group-sync show ${report.runId}` : "";
}

/** Where notices go. */
export interface NotifierOptions {
  /** Gets each notice as a POST of JSON. A secret: it is never logged. */
  readonly webhook?: string;
  /** `text`: only `{"text": …}`, as chat services take it. @default "json", the whole notice */
  readonly format?: "json" | "text";
  /** A line of shell that gets each notice as JSON on its input. */
  readonly command?: string;
  /** First step of the back-off between attempts, in milliseconds. @default 1000 */
  readonly retryDelayMs?: number;
}

/** Sends a notice everywhere. Throws when it did not arrive; the message holds no address. */
export type Notifier = (notice: Notice, signal: AbortSignal) => Promise<void>;

const COMMAND_MS = 60_000;
const ANSWER_MS = 10_000;

/** Makes a notifier. Throws `options-invalid` for an address that is not https (or loopback). */
export function createNotifier(options: NotifierOptions): Notifier {
  const hook = options.webhook === undefined ? undefined : createHook(options.webhook, options);
  return async (notice, signal) => {
    const body = options.format === "text" ? { text: notice.text } : notice;
    const ways: Promise<unknown>[] = [];
    if (hook) ways.push(hook(body, signal));
    if (options.command !== undefined) ways.push(runCommand(options.command, notice));
    const failed = (await Promise.allSettled(ways)).flatMap((way) => (way.status === "rejected" ? [way.reason] : []));
    if (failed.length > 0) throw failed[0];
  };
}

function createHook(address: string, { retryDelayMs = 1_000 }: NotifierOptions) {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const problem = url ? findBaseUrlProblem(url.origin) : "it is not an address; it should look like https://host/path.";
  if (!url || problem !== undefined || url.username || url.password) {
    throw new GroupSyncError(
      "options-invalid",
      `--notify: ${problem ?? "the address holds a user name or password."}`,
      {
        hint: "What needs other ways can be told by --notify-command.",
      },
    );
  }
  const secrets = [address, `${url.pathname}${url.search}`, ...url.pathname.split("/"), ...url.searchParams.values()];
  const client = createHttpClient({
    provider: "webhook",
    baseUrl: url.origin,
    scopeKey: address,
    capabilities: {
      rates: [],
      inFlight: { reads: { value: 1, source: "a choice" }, writes: { value: 1, source: "a choice" } },
    },
    timeoutMs: ANSWER_MS,
    maxAttempts: 4,
    retryDelayMs,
    maxWaitMs: 30_000,
    // Without a header of its own; it keeps the address out of messages that repeat it.
    credential: { authorization: async () => "", renew: () => false, secrets: () => secrets },
    describeError: () => ({}),
  });
  const path = `${url.pathname}${url.search}`;
  return (body: unknown, signal: AbortSignal) =>
    client.send(
      // Told twice is better than never: as a reading, it is sent again after anything that may pass.
      { operation: "notify", method: "POST", path, body, effect: "read", authorization: null, ignoreBody: true },
      { signal },
    );
}

function runCommand(command: string, notice: Notice): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, {
      shell: true,
      stdio: ["pipe", "ignore", "inherit"],
      timeout: COMMAND_MS,
      env: { ...process.env, GROUP_SYNC_EVENT: notice.event },
    });
    const fail = (how: string) =>
      reject(new GroupSyncError("options-invalid", `The command of --notify-command ${how}.`));
    child.once("error", () => fail("could not be started"));
    child.once("close", (code, signal) =>
      code === 0 ? resolve() : fail(signal ? `was ended by ${signal}` : `ended with ${code}`),
    );
    // A command that does not read is no failure.
    child.stdin.on("error", () => undefined);
    child.stdin.end(`${JSON.stringify(notice)}\n`);
  });
}

/** What a notifier threw, in words that can be logged. */
export function explainNotifyError(error: unknown): string {
  return isGroupSyncError(error) ? error.message : "The notice could not be sent.";
}
