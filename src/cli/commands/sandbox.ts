import { GroupSyncError } from "../../errors.js";
import type { Fault, Sandbox, Seed } from "../../sandbox/index.js";
import { parseFault, parseSeed, sampleSpec, startSandbox } from "../../sandbox/index.js";
import { readText, writeText } from "../files.js";
import type { CommonFlags, Session } from "../session.js";

/** Flags of `sandbox`. */
export interface SandboxFlags extends CommonFlags {
  readonly port: string;
  readonly seed?: string;
  readonly latency: string;
  readonly fault?: readonly string[];
  readonly spec?: string;
  readonly force?: boolean;
}

/** `sandbox`: the four services on this machine, until Ctrl-C. */
export async function runSandbox(session: Session, flags: SandboxFlags): Promise<number> {
  if (flags.seed !== undefined && flags.spec !== undefined) {
    throw new GroupSyncError("options-invalid", "--spec writes the spec of the sample organisation, not of a --seed.", {
      hint: "Leave one of them out. For a seed of your own, `providers` of a spec are what the sandbox prints.",
    });
  }
  const sandbox = await start(flags);
  try {
    if (flags.spec !== undefined) await writeText(flags.spec, sampleSpec(sandbox), flags.force === true);
    if (flags.json) session.json({ kind: "sandbox", formatVersion: 1, url: sandbox.url, providers: sandbox.config() });
    else session.result(describe(sandbox, flags));
    await untilStopped(session.signal);
  } finally {
    await sandbox.close();
  }
  return 0;
}

async function start(flags: SandboxFlags): Promise<Sandbox> {
  const options = {
    port: wholeNumber("--port", flags.port, 65_535),
    latencyMs: wholeNumber("--latency", flags.latency, 600_000),
    faults: (flags.fault ?? []).map(readFault),
    ...(flags.seed !== undefined && { seed: await readSeed(flags.seed) }),
  };
  try {
    return await startSandbox(options);
  } catch (error) {
    // Such as a port that is taken: it says so in plain words.
    const message = error instanceof Error ? error.message : String(error);
    throw new GroupSyncError("options-invalid", message);
  }
}

function describe(sandbox: Sandbox, { spec, seed }: SandboxFlags): string {
  const services = Object.entries(sandbox.config()).map(([id, options]) => {
    const lines = Object.entries(options).map(([name, value]) => `    ${name}: ${value}`);
    return `  ${id}:\n${lines.join("\n")}`;
  });
  const next =
    spec === undefined
      ? seed === undefined && "Add --spec <file> for a spec that fits."
      : `A spec that fits is in ${spec}. In another terminal: group-sync plan -c ${spec}`;
  return [
    `The sandbox listens at ${sandbox.url} (this machine only). Faults, log and state: curl ${sandbox.url}/_sandbox`,
    `\nproviders:\n${services.join("\n")}\n`,
    ...(next ? [next] : []),
    "Ctrl-C ends it.\n",
  ].join("\n");
}

function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function wholeNumber(flag: string, text: string, most: number): number {
  if (/^\d{1,6}$/.test(text) && Number(text) <= most) return Number(text);
  throw new GroupSyncError("options-invalid", `${flag} takes a whole number from 0 to ${most}, not ${text}.`);
}

function readFault(text: string): Fault {
  try {
    return parseFault(JSON.parse(text));
  } catch (error) {
    throw new GroupSyncError("options-invalid", `--fault ${text}: ${explainParse(error)}`, {
      hint: `Such as: --fault '{"kind":"rate-limit","service":"genesys","when":"write","seconds":5}'`,
    });
  }
}

async function readSeed(file: string): Promise<Seed> {
  const text = await readText(file);
  try {
    return parseSeed(JSON.parse(text));
  } catch (error) {
    throw new GroupSyncError("options-invalid", `${file}: ${explainParse(error)}`, {
      hint: 'Such as: {"people":[{"id":"ada","email":"ada@example.org"}],"groups":[{"name":"On-call","members":["ada"]}]}',
    });
  }
}

function explainParse(error: unknown): string {
  if (error instanceof SyntaxError) return "this is not JSON.";
  return error instanceof Error ? error.message : "this cannot be read.";
}
