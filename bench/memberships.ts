/**
 * One job on many memberships, in a process of its own, so that its peak of memory is its own: `ours` (a plan of them),
 * `sets` (bare Set differences of the same ids), `ids` (holding them) or `nothing`. Prints a `Sample` as JSON.
 *
 *     node memberships.js <job> <groups>
 */
import { parseArgs } from "node:util";
import type { Evidence, Group, Member, Person, Snapshot, Spec, Target } from "../src/model.js";
import type { GroupProvider } from "../src/provider.js";
import { genesysCapabilities } from "../src/providers/genesys/index.js";
import { createPlan } from "../src/reconcile/reconcile.js";

/** What a job took. */
export interface Sample {
  /** Time of the processor, so that whatever else the machine does counts for nothing. */
  readonly ms: number;
  readonly peakBytes: number;
  /** Differences found. */
  readonly found: number;
}

const PEOPLE = 20_000;
const MEMBERS = 1_000;
/** Of each group so many are new, and as many others gone. */
const MOVED = 15;

/** As random as a UUID. */
const accountOf = (person: number) => {
  const hex = (factor: number) => (Math.imul(person + 1, factor) >>> 0).toString(16).padStart(8, "0");
  return `${hex(0x9e3779b1)}-${hex(0x85ebca6b).slice(0, 4)}-4d6e-8f70-${person.toString(16).padStart(12, "0")}`;
};
/** Members of a group are neighbours, a step of five apart. */
const personOf = (group: number, at: number) => (group * 37 + at * 5) % PEOPLE;

/** The ids on both sides, each a text of its own, as they come from a file and from a service. */
function createIds(groups: number) {
  const side = (from: number) =>
    Array.from({ length: groups }, (_, group) =>
      Array.from({ length: MEMBERS }, (_, at) => accountOf(personOf(group, from + at))),
    );
  return { wanted: side(MOVED), present: side(0) };
}

type Ids = ReturnType<typeof createIds>;

function differ({ wanted, present }: Ids): number {
  let found = 0;
  wanted.forEach((ids, group) => {
    const want = new Set(ids);
    const have = new Set(present[group]);
    const adds = ids.filter((id) => !have.has(id));
    const removes = [...have].filter((id) => !want.has(id));
    found += adds.length + removes.length;
  });
  return found;
}

/** A provider whose groups are at hand, and the spec that wants them otherwise. */
function createJob(groups: number): { readonly spec: Spec; readonly provider: GroupProvider } {
  const { present } = createIds(groups);
  const guards = { maxRemovals: { count: 10_000_000, percent: 100 }, protect: [], minOwners: 0 };
  const people = Array.from({ length: PEOPLE }, (_, index): readonly [string, Person] => {
    const id = `p${index}`;
    return [id, { id, aliases: [], accounts: { calls: accountOf(index) } }];
  });
  const names = people.map(([id]) => id);
  const targets = present.map(
    (_, group): Target => ({
      group: `g${group}`,
      provider: "calls",
      name: `Group ${group}`,
      previously: [],
      mode: "authoritative",
      adopt: true,
      absent: false,
      guards,
      managed: { member: true, manager: false, owner: false },
      members: Array.from({ length: MEMBERS }, (_, at) => ({
        person: names[personOf(group, MOVED + at)] ?? "",
        role: "member" as const,
      })),
    }),
  );
  const spec: Spec = {
    version: 1,
    mode: "authoritative",
    providers: [{ id: "calls", type: "genesys", options: {}, guards }],
    people: Object.fromEntries(people),
    targets,
    guards,
    digest: "",
    warnings: [],
  };
  const snapshots = new Map(
    present.map((ids, index) => {
      const group: Group = { id: `id${index}`, name: `Group ${index}`, kind: "plain" };
      const members = ids.map((account): Member => ({ account, role: "member", direct: true, state: "active" }));
      return [group.id, { group, members, evidence: wholeOf(ids.length) } satisfies Snapshot] as const;
    }),
  );
  present.length = 0;
  const listed = [...snapshots.values()].map(({ group }) => group);
  const refuse = () => Promise.reject(new Error("Not in this job."));
  const provider: GroupProvider = {
    id: "calls",
    type: "genesys",
    capabilities: genesysCapabilities,
    checkAccess: async () => ({ identity: "here", findings: [] }),
    listGroups: async () => ({ groups: listed, evidence: wholeOf(listed.length) }),
    readGroup: async (id) => snapshots.get(id) ?? refuse(),
    // Pins are taken as they are here; only those who are seen nowhere are asked about.
    findAccounts: async (keys) =>
      keys.map((key) => ({ key, accounts: [{ id: key.value, status: "active", eligible: true }] })),
    applyBatch: refuse,
  };
  return { spec, provider };
}

function wholeOf(counted: number): Evidence {
  return { complete: true, because: "it is made up", pages: 1, counted, duplicates: 0 };
}

async function timed(act: () => number | Promise<number>): Promise<{ readonly ms: number; readonly found: number }> {
  // What the setting up left behind is not to be swept up within the time.
  globalThis.gc?.();
  const before = process.cpuUsage();
  const found = await act();
  const { user, system } = process.cpuUsage(before);
  return { ms: (user + system) / 1000, found };
}

const jobs: Readonly<Record<string, (groups: number) => Promise<{ readonly ms: number; readonly found: number }>>> = {
  nothing: async () => ({ ms: 0, found: 0 }),
  ids: async (groups) => {
    const ids = createIds(groups);
    return { ms: 0, found: ids.wanted.length };
  },
  sets: async (groups) => {
    const ids = createIds(groups);
    return timed(() => differ(ids));
  },
  ours: async (groups) => {
    const { spec, provider } = createJob(groups);
    return timed(async () => {
      const { summary } = await createPlan({ spec, providers: [provider] });
      return summary.add + summary.remove;
    });
  },
};

const [job = "", groups = "0"] = parseArgs({ allowPositionals: true }).positionals;
const done = await jobs[job]?.(Number(groups));
if (!done) throw new Error(`There is no job ${job}.`);
const sample: Sample = { ...done, peakBytes: process.resourceUsage().maxRSS * 1024 };
console.log(JSON.stringify(sample));
