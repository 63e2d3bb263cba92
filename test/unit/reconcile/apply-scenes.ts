/** Runs against a provider in memory that misbehaves as it is told. Shared by the tests of applying. */
import { GroupSyncError } from "../../../src/errors.js";
import type { Batch, Outcome, Report, Spec, Target } from "../../../src/model.js";
import { type ReconcileOptions, reconcile } from "../../../src/reconcile/reconcile.js";
import {
  createMemoryProvider,
  type MemoryProvider,
  type MemoryProviderOptions,
  memoryCapabilities,
  type Misbehaviour,
} from "../../../src/testing/memory.js";
import { fact, group, noLimits, person } from "./builders.js";

export const people = Array.from({ length: 12 }, (_, index) => `p${index}`);
export const spec = (targets: readonly Target[]): Spec => ({
  version: 1,
  mode: "authoritative",
  providers: [{ id: "lab", type: "memory", options: {}, guards: noLimits }],
  people: Object.fromEntries(
    people.map((id) => [id, person(id, { accounts: { lab: id }, email: `${id}@example.org` })]),
  ),
  targets,
  guards: noLimits,
  digest: "spec",
  warnings: [],
});
export const crew = (members: readonly string[]) => group("crew", { members });

/** One person in each call. */
export const oneByOne = {
  add: { accountsPerCall: fact(1), groupsPerCall: fact(1) },
  remove: { accountsPerCall: fact(1), groupsPerCall: fact(1) },
};
/** One call at a time. */
export const inTurn = { inFlight: { ...memoryCapabilities.inFlight, writes: fact(1) } };

type Misbehaves = Misbehaviour | undefined | void;
/** What goes wrong, by what is asked for and which call of its kind it is. */
interface Faults {
  readonly onWrite?: (batch: Batch, nth: number) => Misbehaves;
  readonly onRead?: (groupId: string, nth: number) => Misbehaves;
  readonly onList?: (nth: number) => Misbehaves;
}

export function lab(options: Omit<MemoryProviderOptions, "before"> & Faults = {}): MemoryProvider {
  const { onWrite, onRead, onList, capabilities, ...rest } = options;
  return createMemoryProvider({
    id: "lab",
    people: people.map((id) => ({ id, email: `${id}@example.org` })),
    groups: [{ id: "g", name: "crew", members: ["p0", "p1"] }],
    capabilities: { consistencyMs: fact(200), ...capabilities },
    ...rest,
    before: (operation, [arg], nth) => {
      if (operation === "applyBatch") return onWrite?.(arg as Batch, nth);
      if (operation === "readGroup") return onRead?.(arg as string, nth);
      return operation === "listGroups" ? onList?.(nth) : undefined;
    },
  });
}

export const run = (provider: MemoryProvider, targets: readonly Target[], more: Partial<ReconcileOptions> = {}) =>
  reconcile({ spec: spec(targets), providers: [provider], verifyMs: 250, ...more });
export const writes = ({ control }: MemoryProvider) =>
  control.calls.flatMap(({ operation, args }) => (operation === "applyBatch" ? [args[0] as Batch] : []));
export const membersOf = ({ control }: MemoryProvider, name = "crew") =>
  control
    .groups()
    .find((each) => each.name === name)
    ?.members.map(({ account }) => account);
const line = ({ type, account, status, error }: Outcome) =>
  `${type} ${account ?? ""} ${status}${error ? ` ${error.code}` : ""}`.replace("  ", " ");
export const linesOf = (report: Report) => report.providers.flatMap(({ outcomes }) => outcomes.map(line));
export const names = (batch: Batch) =>
  batch.kind === "members" ? [...batch.add, ...batch.update, ...batch.remove].map(({ account }) => account) : [];
/** The groups that a batch names. */
export const refsOf = (batch: Batch) =>
  batch.kind === "members" ? batch.groups : batch.kind === "group.create" ? [] : [batch.group];

export const refused = (facts = {}) => new GroupSyncError("refused", "No.", facts);
export const conflict = () => new GroupSyncError("conflict", "Changed.");
export const lost = () => new GroupSyncError("network", "Broken.", { outcomeUnknown: true });
