/** The sandbox in a process of its own, so that its work is not mistaken for ours. Started by world.ts. */
import { type SandboxOptions, startSandbox, type ServiceName } from "../src/sandbox/index.js";

/** What world.ts sends first. */
export interface Start extends SandboxOptions {
  readonly services: readonly ServiceName[];
}

/** What comes back. */
export interface Started {
  readonly url: string;
  readonly config: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Service → seed person → account. */
  readonly accounts: ReadonlyMap<ServiceName, ReadonlyMap<string, string>>;
}

/** The requests since the last time that someone asked. */
export interface Served {
  readonly requests: number;
  /** Answered with 429. */
  readonly refused: number;
}

process.once("message", (start: Start) => void begin(start));

async function begin(options: Start): Promise<void> {
  const sandbox = await startSandbox(options);
  const people = (options.seed?.people ?? []).map(({ id }) => id);
  const started: Started = {
    url: sandbox.url,
    config: sandbox.config(),
    accounts: new Map(
      options.services.map((service) => {
        const { control } = sandbox.services[service];
        return [service, new Map(people.map((person) => [person, control.accountOf(person) ?? ""]))];
      }),
    ),
  };
  process.send?.(started);
  process.on("message", (message) => {
    if (message !== "served") return;
    const served: Served = {
      requests: sandbox.log.length + sandbox.log.dropped,
      refused: sandbox.log.filter(({ status }) => status === 429).length,
    };
    sandbox.log.clear();
    process.send?.(served);
  });
}

// Nobody is left to ask.
process.on("disconnect", () => process.exit());
