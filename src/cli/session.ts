/** What all commands share: flags, output, the spec, providers, Ctrl-C. */
import { writeSync } from "node:fs";
import picocolors from "picocolors";
import { GroupSyncError } from "../errors.js";
import { GUARDS, type Spec, type SpecProblem } from "../model.js";
import type { GroupProvider } from "../provider.js";
import { builtinProviderTypes } from "../providers/builtin.js";
import { type Allowance, parseAllowance } from "../reconcile/guard.js";
import { loadSpec } from "../spec/index.js";
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

/** One invocation of the command line. */
export interface Session {
  readonly flags: CommonFlags;
  readonly colors: boolean;
  /** Aborts on Ctrl-C, SIGTERM and after `--timeout`. */
  readonly signal: AbortSignal;
  /** The result of the command: stdout. */
  result(text: string): void;
  /** People's text beside the result: stderr. Silent with -q. */
  say(text: string): void;
  /** A document on stdout, for machines. */
  json(document: unknown): void;
  progress(): Promise<Progress>;
}

/** Makes a session and listens for Ctrl-C until `end` is called. */
export function openSession(flags: CommonFlags): Session & { end(): void } {
  const stopper = new AbortController();
  const colors = flags.color !== false && picocolors.isColorSupported && process.stdout.isTTY;
  let interrupts = 0;
  const interrupt = (name: NodeJS.Signals) => {
    interrupts++;
    if (interrupts > 1) process.exit(name === "SIGINT" ? 130 : 143);
    process.stderr.write("\nStopping after what is under way; once more to stop at once.\n");
    stopper.abort();
  };
  process.on("SIGINT", interrupt);
  process.on("SIGTERM", interrupt);
  const timeoutMs = flags.timeout === undefined ? undefined : parseDuration(flags.timeout);
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => stopper.abort(), timeoutMs);
  return {
    flags,
    colors,
    signal: stopper.signal,
    result: (text) => writeAll(1, text),
    say: (text) => {
      if (!flags.quiet) process.stderr.write(`${text}\n`);
    },
    json: (document) => writeAll(1, `${JSON.stringify(document, null, 2)}\n`),
    progress: () =>
      createProgress({ quiet: flags.quiet === true, verbose: flags.verbose === true, stream: process.stderr }),
    end: () => {
      clearTimeout(timer);
      process.off("SIGINT", interrupt);
      process.off("SIGTERM", interrupt);
    },
  };
}

/** Writes everything, also to a pipe that is slow; a reader that has gone away is no error of ours. */
function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let offset = 0; offset < bytes.length; ) {
    try {
      offset += writeSync(descriptor, bytes, offset);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** Milliseconds of `90s`, `15m`, `2h`, `500ms`. Throws `options-invalid` otherwise. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ""];
  if (!match || factor === undefined) {
    throw new GroupSyncError("options-invalid", `${JSON.stringify(text)} is not a duration; write 90s, 15m or 2h.`);
  }
  return Number(match[1]) * factor;
}

/** Reads the spec that `--config` names; prints its warnings. */
export async function readSpec(session: Session): Promise<Spec> {
  const spec = await loadSpec(session.flags.config, { providerTypes: builtinProviderTypes });
  for (const warning of spec.warnings) session.say(formatProblem(warning));
  checkNames(
    "provider",
    session.flags.provider,
    spec.providers.map(({ id }) => id),
  );
  checkNames("group", session.flags.group, [...new Set(spec.targets.map(({ group }) => group))]);
  return spec;
}

/** One problem of a spec on one line, as editors understand it. */
export function formatProblem({ severity, file, line, column, path, message }: SpecProblem): string {
  const { yellow, red } = picocolors.createColors(picocolors.isColorSupported && process.stderr.isTTY);
  const label = severity === "warning" ? yellow("warning") : red("error");
  return `${file}:${line}:${column}: ${label}: ${path ? `${path}: ` : ""}${message}`;
}

function checkNames(what: "provider" | "group", given: readonly string[] | undefined, known: readonly string[]): void {
  const unknown = given?.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const shown = known.slice(0, 10).join(", ") + (known.length > 10 ? ", …" : "");
  throw new GroupSyncError("options-invalid", `The spec has no ${what} "${unknown}".`, { hint: `It has: ${shown}.` });
}

/** The providers of the spec, narrowed by `--provider`. */
export function createProviders(spec: Spec, session: Session): readonly GroupProvider[] {
  const wanted = session.flags.provider;
  return spec.providers
    .filter(({ id }) => wanted?.includes(id) ?? true)
    .map(({ id, type, options }) => {
      const providerType = builtinProviderTypes.find((known) => known.type === type);
      if (!providerType) throw new GroupSyncError("options-invalid", `There is no provider type "${type}".`);
      return providerType.create(id, options);
    });
}

/** The acknowledgements of `--allow`. Throws `options-invalid` for an unknown guard or group. */
export function readAllowances(session: Session, spec: Spec): readonly Allowance[] {
  return (session.flags.allow ?? []).map((text) => {
    const allowance = parseAllowance(text, GUARDS);
    if (!allowance) {
      throw new GroupSyncError("options-invalid", `--allow ${text}: there is no such guard.`, {
        hint: `Guards: ${GUARDS.join(", ")}.`,
      });
    }
    if (allowance.group !== undefined)
      checkNames("group", [allowance.group], [...new Set(spec.targets.map(({ group }) => group))]);
    return allowance;
  });
}

/** What plan and apply are told by the flags. */
export function planOptions(session: Session, spec: Spec) {
  const { provider, group } = session.flags;
  return {
    spec,
    providers: createProviders(spec, session),
    allow: readAllowances(session, spec),
    removals: session.flags.removals !== false,
    only: { ...(provider && { providers: provider }), ...(group && { groups: group }) },
    signal: session.signal,
  };
}
