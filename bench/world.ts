/** A sandbox to measure against, and specs for it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createProviders, type CallEvent, parseSpec, reconcile, type Report, type SyncEvent } from "../src/index.js";
import type { SeedGroup } from "../src/sandbox/index.js";
import type { Served, Start, Started } from "./sandbox-process.js";

/** What the network adds to each request. */
const LATENCY_MS = 20;

/** Ids of the providers, as the sandbox names them. */
export const PROVIDERS = { neuroio: "faces", brainstem: "lab", docspace: "docs", genesys: "calls" } as const;
/** The services that are measured. */
export type Service = keyof typeof PROVIDERS;
/** All of them. */
export const SERVICES = Object.keys(PROVIDERS) as readonly Service[];

/** What each service is called for people. */
export const LABELS = {
  neuroio: "NeuroIO",
  brainstem: "BrainSTEM",
  docspace: "DocSpace",
  genesys: "Genesys",
} as const satisfies Record<Service, string>;

/** A sandbox in a process of its own. */
export interface World extends Started {
  /** The requests since the last time. */
  served(): Promise<Served>;
  close(): void;
}

/** Starts a sandbox with this latency. The log holds everything, so that refusals are all counted. */
export async function startWorld(start: Start): Promise<World> {
  const child = fork(fileURLToPath(new URL("sandbox-process.js", import.meta.url)), { serialization: "advanced" });
  child.send({ latencyMs: LATENCY_MS, logSize: 1_000_000, ...start });
  const started = (await answerOf(child)) as Started;
  return {
    ...started,
    served: async () => {
      child.send("served");
      return (await answerOf(child)) as Served;
    },
    close: () => void child.kill(),
  };
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const exited = once(child, "exit").then(() => {
    throw new Error("The sandbox has ended.");
  });
  const [answer] = (await Promise.race([once(child, "message"), exited])) as [unknown];
  return answer;
}

/** Nothing is paced, unless that is what is measured. */
const UNLIMITED = { requestsPerMinute: 1_000_000 };

/** What is wanted of whom. */
export interface Wish {
  readonly services: readonly Service[];
  readonly people: readonly string[];
  readonly groups: readonly SeedGroup[];
  /** Further options of a service's provider. */
  readonly connections?: Partial<Record<Service, Readonly<Record<string, unknown>>>>;
}

/** An address for everybody. */
export const addressOf = (person: string): string => `${person}@example.org`;

/** People as a seed has them. */
export function seedPeople(people: readonly string[]) {
  return people.map((id) => ({ id, email: addressOf(id) }));
}

/** Groups as a seed or a wish has them. */
export function groupsOf(memberships: ReadonlyMap<string, readonly string[]>): readonly SeedGroup[] {
  return [...memberships].map(([name, members]) => ({ name, members }));
}

/** One run, and what it sent. */
export interface Played {
  readonly report: Report;
  readonly ms: number;
  readonly calls: readonly (Extract<CallEvent, { type: "call" }> & { readonly phase: string })[];
}

/** Plans, applies and verifies, with nothing held. */
export async function play(world: World, wish: Wish): Promise<Played> {
  const pins = wish.services.includes("neuroio") ? world.accounts.get("neuroio") : undefined;
  const providers = wish.services.map((service) => {
    const id = PROVIDERS[service];
    return [id, { ...world.config[id], ...UNLIMITED, ...wish.connections?.[service] }] as const;
  });
  const spec = await parseSpec(
    JSON.stringify({
      version: 1,
      mode: "authoritative",
      adopt: true,
      providers: Object.fromEntries(providers),
      people: Object.fromEntries(
        wish.people.map((id) => [id, { email: addressOf(id), ...(pins && { accounts: { faces: pins.get(id) } }) }]),
      ),
      groups: Object.fromEntries(
        wish.groups.map(({ name, members }) => [name, { name, members, targets: providers.map(([id]) => id) }]),
      ),
      guards: { maxRemovals: { count: 1_000_000, percent: 100 }, minOwners: 0 },
    }),
    { file: "bench.json" },
  );
  const phases = new Map<string, string>();
  const calls: Played["calls"][number][] = [];
  const onEvent = (event: SyncEvent) => {
    if (event.type === "phase") phases.set(event.provider, event.phase);
    if (event.type === "call") calls.push({ ...event, phase: phases.get(event.provider) ?? "resolve" });
  };
  const started = performance.now();
  const report = await reconcile({
    spec,
    providers: createProviders(spec),
    onEvent,
  });
  const ms = performance.now() - started;
  if (report.status !== "converged")
    throw new Error(`A run ended ${report.status}: ${JSON.stringify(report.residual.slice(0, 3))}`);
  return { report, ms, calls };
}
