import { readFile, writeFile } from "node:fs/promises";
import { GroupSyncError } from "../../errors.js";
import type { Fault, Sandbox, Seed } from "../../sandbox/index.js";
import { parseFault, sampleSpec, startSandbox } from "../../sandbox/index.js";
import type { CommonFlags, Session } from "../session.js";

/** Flags of `sandbox`. */
export interface SandboxFlags extends CommonFlags {
  readonly port: string;
  readonly seed?: string;
  readonly latency: string;
  readonly fault?: readonly string[];
  readonly spec?: string;
}

/** `sandbox`: the four services on this machine, until Ctrl-C. */
export async function runSandbox(session: Session, flags: SandboxFlags): Promise<number> {
  const sandbox = await startSandbox({
    port: wholeNumber("--port", flags.port),
    latencyMs: wholeNumber("--latency", flags.latency),
    faults: (flags.fault ?? []).map(readFault),
    ...(flags.seed !== undefined && { seed: await readSeed(flags.seed) }),
  });
  try {
    if (flags.spec !== undefined)
      await writeFile(flags.spec, sampleSpec(sandbox), { flag: "wx" }).catch(explainTaken(flags.spec));
    if (flags.json) session.json({ kind: "sandbox", formatVersion: 1, url: sandbox.url, providers: sandbox.config() });
    else session.result(describe(sandbox, flags));
    await untilStopped(session.signal);
  } finally {
    await sandbox.close();
  }
  return 0;
}

function describe(sandbox: Sandbox, { spec }: SandboxFlags): string {
  const services = Object.entries(sandbox.config()).map(([id, options]) => {
    const lines = Object.entries(options).map(([name, value]) => `    ${name}: ${value}`);
    return `  ${id}:\n${lines.join("\n")}`;
  });
  const next =
    spec === undefined
      ? "Add --spec <file> for a spec that fits."
      : `A spec that fits is in ${spec}. Try: group-sync plan -c ${spec}`;
  return `The sandbox listens at ${sandbox.url} (this machine only). Faults, log and state: curl ${sandbox.url}/\n\nproviders:\n${services.join("\n")}\n\n${next}\nCtrl-C ends it.\n`;
}

function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function wholeNumber(flag: string, text: string): number {
  if (!/^\d{1,6}$/.test(text))
    throw new GroupSyncError("options-invalid", `${flag} takes a whole number, not ${JSON.stringify(text)}.`);
  return Number(text);
}

function readFault(text: string): Fault {
  try {
    return parseFault(JSON.parse(text));
  } catch (error) {
    throw new GroupSyncError("options-invalid", `--fault: ${error instanceof Error ? error.message : "not a fault"}`);
  }
}

async function readSeed(file: string): Promise<Seed> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new GroupSyncError("options-invalid", `${file} cannot be read (${error.code ?? "unknown"}).`);
  });
  try {
    const seed = JSON.parse(text) as Seed;
    if (Array.isArray(seed.people) && Array.isArray(seed.groups)) return seed;
  } catch {
    // Said below.
  }
  throw new GroupSyncError("options-invalid", `${file} is not a seed: JSON with "people" and "groups".`);
}

function explainTaken(file: string) {
  return (error: NodeJS.ErrnoException): never => {
    const why = error.code === "EEXIST" ? "it is there already" : (error.code ?? "unknown");
    throw new GroupSyncError("options-invalid", `${file} cannot be written: ${why}.`);
  };
}
