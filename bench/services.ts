/** Whole runs against the sandbox: how few calls they make, and how well they use what a service allows. */
import { builtinProviderTypes } from "../src/providers/builtin.js";
import { estimateCost } from "../src/reconcile/batch.js";
import type { SeedGroup } from "../src/sandbox/index.js";
import { scripts } from "./clients.js";
import { count, type Figure } from "./figures.js";
import { countChunks, createOrganisation, namePeople } from "./org.js";
import type { Start } from "./sandbox-process.js";
import {
  groupsOf,
  LABELS,
  play,
  type Played,
  seedPeople,
  type Service,
  SERVICES,
  startWorld,
  type Wish,
  type World,
} from "./world.js";

const pages = (rows: number, size: number) => Math.max(1, Math.ceil(rows / size));
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** An organisation as it is there, of which nothing has to change. */
interface Scene {
  readonly people: number;
  /** Members of each group. */
  readonly groups: readonly number[];
}

/**
 * The fewest reading requests that prove a whole organisation unchanged, each with the evidence that removals need (the
 * sheets' §6). All begin by asking who we are: a plan for another tenant must not be carried out.
 */
const FEWEST_READS: Readonly<Record<Service, { readonly reads: (scene: Scene) => number; readonly because: string }>> =
  {
    neuroio: {
      reads: ({ groups }) => 1 + 2 * pages(groups.length, 100) + sum(groups.map((size) => pages(size, 100))),
      because:
        "who we are; the list of groups before and after, whose counts frame the reading; each group's pages of 100",
    },
    brainstem: {
      reads: ({ people, groups }) => 1 + pages(groups.length, 100) + pages(people, 50),
      because:
        "the invitations, which also prove the token; the list of groups, which holds the members; 50 people a look-up",
    },
    docspace: {
      reads: ({ people, groups }) =>
        2 +
        pages(groups.length, 100) +
        sum(groups.map((size) => pages(size, 100))) +
        Math.min(pages(people, 20), pages(people + 1, 100)),
      because:
        "the key and its owner; the list of groups with number of members and manager; each group's people by 100, which show the disabled too; everybody by 100, or look-ups of 20",
    },
    genesys: {
      reads: ({ people, groups }) =>
        1 + 1 + 2 * pages(groups.length, 100) + groups.length + Math.min(people, pages(people, 100)),
      because:
        "log-in; who we are; the list of groups before and after, whose versions frame the reading; each group's individuals, which have no pages; everybody by 100",
    },
  };

/** A run with nothing to change, service by service. */
export async function measureQuietRuns(quick: boolean): Promise<readonly Figure[]> {
  const size = quick ? 250 : 2_000;
  const people = namePeople(size);
  const organisation = createOrganisation(size, 4);
  // As many groups as fit the time; each service has all of them.
  const groups = groupsOf(organisation).slice(0, quick ? 40 : undefined);
  return within({ services: SERVICES, seed: { people: seedPeople(people), groups } }, async (world) => {
    const figures: Figure[] = [];
    for (const service of SERVICES) {
      const { calls } = await play(world, { services: [service], people, groups });
      const { reads, because } = FEWEST_READS[service];
      const fewest = reads({ people: size, groups: groups.map(({ members = [] }) => members.length) });
      figures.push({
        measure: `${LABELS[service]}, nothing to change: calls ÷ the fewest reads`,
        bound: { atMost: 1.05 },
        value: calls.length / fewest,
        detail: `${count(groups.length)} groups, ${count(size)} people: ${count(calls.length)} ÷ ${count(fewest)} (${because})`,
        kind: "count",
      });
    }
    return figures;
  });
}

/** Groups of half of the people, of whom some leave while others come. */
function drifted(groupCount: number, adds: number, removes: number, size = 400) {
  const people = namePeople(size);
  const names = Array.from({ length: groupCount }, (_, index) => `group ${index}`);
  const before: readonly SeedGroup[] = names.map((name) => ({ name, members: people.slice(0, size / 2) }));
  const after: readonly SeedGroup[] = names.map((name) => ({ name, members: people.slice(removes, size / 2 + adds) }));
  return { people, before, after };
}

/** Writes of runs that have something to change, against what they would have to be. */
export async function measureWrites(quick: boolean): Promise<readonly Figure[]> {
  const groupCount = quick ? 4 : 12;
  const figures: Figure[] = [];
  const run = (service: Service, adds: number, removes: number): Promise<Played> => {
    const { people, before, after } = drifted(groupCount, adds, removes);
    return within({ services: [service], seed: { people: seedPeople(people), groups: before } }, (world) =>
      play(world, { services: [service], people, groups: after }),
    );
  };
  const told = (service: Service, { report, calls }: Played) => {
    const capabilities = builtinProviderTypes.find(({ type }) => type === service)?.capabilities;
    const planned = capabilities ? estimateCost(report.providers[0]?.outcomes ?? [], capabilities).calls : Number.NaN;
    const sent = calls.filter(({ effect }) => effect === "write").length;
    figures.push({
      measure: `${LABELS[service]}: calls that the plan tells ÷ writes sent`,
      bound: { exactly: 1 },
      value: planned / sent,
      detail: `${count(planned)} ÷ ${count(sent)}`,
      kind: "count",
    });
  };

  const genesys = await run("genesys", 120, 70);
  const writes = genesys.calls.filter(({ effect }) => effect === "write").length;
  const fewest = groupCount * (Math.ceil(120 / 50) + Math.ceil(70 / 50));
  figures.push({
    measure: "Genesys: writes ÷ (⌈adds/50⌉ + ⌈removes/50⌉)",
    bound: { exactly: 1 },
    value: writes / fewest,
    detail: `${groupCount} groups, 120 in and 70 out of each: ${count(writes)} ÷ ${count(fewest)}`,
    kind: "count",
  });
  const versionReads = genesys.calls.filter(
    ({ phase, operation }) => phase === "apply" && operation === "getGroup",
  ).length;
  const addCalls = genesys.calls.filter(({ operation }) => operation === "addGroupMembers").length;
  figures.push({
    measure: "Genesys: version reads ÷ add calls",
    bound: { atMost: 1 },
    value: versionReads / addCalls,
    detail: `${count(versionReads)} ÷ ${count(addCalls)}`,
    kind: "count",
  });
  told("genesys", genesys);

  for (const service of ["docspace", "brainstem"] as const) {
    const played = await run(service, 50, 50);
    const sent = played.calls.filter(({ effect }) => effect === "write").length;
    figures.push({
      measure: `${LABELS[service]}: writes ÷ changed groups`,
      bound: { exactly: 1 },
      value: sent / groupCount,
      detail: `${groupCount} groups, 50 in and 50 out of each: ${count(sent)} ÷ ${groupCount}`,
      kind: "count",
    });
    told(service, played);
  }

  const size = quick ? 120 : 2_000;
  const organisation = createOrganisation(size, 6);
  const people = namePeople(size);
  const empty = [...organisation.keys()].map((name) => ({ name }));
  const seed = { people: seedPeople(people), groups: empty };
  const played = await within({ services: ["neuroio"], seed }, (world) =>
    play(world, { services: ["neuroio"], people, groups: groupsOf(organisation) }),
  );
  const sent = played.calls.filter(({ effect }) => effect === "write").length;
  const chunks = countChunks(organisation, 100);
  figures.push({
    measure: "NeuroIO, a whole run: writes ÷ going group by group",
    bound: { atMost: 1 },
    value: sent / chunks,
    detail: `${count(size)} people into ${count(organisation.size)} groups: ${count(sent)} ÷ ${count(chunks)}`,
    kind: "count",
  });
  told("neuroio", played);
  return figures;
}

/** Runs in which some come and some go everywhere, one service after the other and all at once. */
async function race(
  { people, before, after }: ReturnType<typeof drifted>,
  limits: { readonly switches?: Start["switches"]; readonly connections?: Wish["connections"] },
) {
  const { switches = {}, connections = {} } = limits;
  const seed = { people: seedPeople(people), groups: before };
  const timed = (services: readonly Service[]) =>
    within({ services, seed, switches }, async (world) => {
      const { ms, calls } = await play(world, { services, people, groups: after, connections });
      return { ms, calls: calls.length, refused: (await world.served()).refused };
    });
  const alone = new Map<Service, Awaited<ReturnType<typeof timed>>>();
  for (const service of SERVICES) alone.set(service, await timed([service]));
  const together = await timed(SERVICES);
  const slowest = Math.max(...[...alone.values()].map(({ ms }) => ms));
  const times = [...alone].map(([service, { ms }]) => `${LABELS[service]} ${count(ms)} ms`).join(", ");
  const facts = { value: together.ms / slowest, detail: `${count(together.ms)} ms; alone: ${times}` };
  return { alone, together, facts };
}

/** All four services in one run, against the slowest of them alone. */
export async function measureTogether(quick: boolean): Promise<readonly Figure[]> {
  const { facts } = await race(drifted(quick ? 4 : 30, 30, 30), {});
  const measure = "four services at once, none of them limited: wall time ÷ the slowest alone";
  // Without limits a run is bound by the processor, which it shares with the four emulators.
  return [{ measure, bound: "reported", ...facts, kind: "time" }];
}

/** The same with the documented limit of Genesys, which its emulator enforces. The windows are real minutes. */
export async function measureLimit(): Promise<readonly Figure[]> {
  const perMinute = 300;
  const { alone, together, facts } = await race(drifted(95, 1, 1), {
    switches: { genesys: { rateLimit: perMinute } },
    connections: { genesys: { requestsPerMinute: perMinute } },
  });
  const { ms = Number.NaN, calls = Number.NaN, refused = Number.NaN } = alone.get("genesys") ?? {};
  const allowed = (calls / perMinute) * 60_000;
  const measure = `Genesys under ${perMinute} requests a minute`;
  return [
    {
      measure: `${measure}: wall time ÷ (calls ÷ limit)`,
      bound: { atMost: 1.1 },
      value: ms / allowed,
      detail: `${count(calls)} calls in ${count(ms / 1000)} s; at an even pace they would take ${count(allowed / 1000)} s`,
      kind: "time",
    },
    {
      measure: `${measure}: refusals (429)`,
      bound: { exactly: 0 },
      value: refused + together.refused,
      detail: "seen by the emulator, alone and together with the others",
      kind: "count",
    },
    {
      measure: "four services at once, Genesys limited: wall time ÷ the slowest alone",
      bound: { atMost: 1.1 },
      ...facts,
      kind: "time",
    },
  ];
}

/** The same job by plain scripts on the vendors' clients. */
export async function measureClients(quick: boolean): Promise<readonly Figure[]> {
  const { people, before, after } = quick ? drifted(4, 30, 30, 100) : drifted(30, 30, 30);
  const figures: Figure[] = [];
  for (const script of scripts) {
    const { service, client, how } = script;
    const seed = { people: seedPeople(people), groups: before };
    const theirs = await within({ services: [service], seed }, async (world) => {
      const started = performance.now();
      await script.run(world, { people, groups: after });
      const ms = performance.now() - started;
      return { ms, calls: (await world.served()).requests };
    });
    const ours = await within({ services: [service], seed }, async (world) => {
      const { ms } = await play(world, { services: [service], people, groups: after });
      return { ms, calls: (await world.served()).requests };
    });
    figures.push(
      {
        measure: `a plain script for ${client}: its calls ÷ ours`,
        bound: { atLeast: 1.5 },
        value: theirs.calls / ours.calls,
        detail: `${count(theirs.calls)} ÷ ${count(ours.calls)} for ${after.length} groups, 30 in and 30 out of each; the script: ${how}`,
        kind: "count",
      },
      {
        measure: `a plain script for ${client}: its wall time ÷ ours`,
        bound: { atLeast: 5 },
        value: theirs.ms / ours.ms,
        detail: `${count(theirs.ms)} ÷ ${count(ours.ms)} ms`,
        kind: "time",
      },
    );
  }
  return figures;
}

async function within<T>(start: Start, act: (world: World) => Promise<T>): Promise<T> {
  const world = await startWorld(start);
  try {
    return await act(world);
  } finally {
    world.close();
  }
}
