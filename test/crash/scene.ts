/**
 * A scene from a number: what the four services hold, what the spec wants of them, and when the runs are killed. The
 * same number gives the same scene; what a kill hits depends on the machine.
 */
import { createRandom, type SeedGroup, type SeedPerson } from "../../src/sandbox/kit.js";

interface WantedGroup extends SeedGroup {
  readonly previously?: readonly string[];
  /** There is none yet. */
  readonly fresh?: boolean;
  /** The spec wants it deleted. */
  readonly gone?: boolean;
}

/** When a run is killed: so long after a request has come, or after its start. */
export type Moment = { readonly thenMs: number } & (
  | { readonly after: "start" }
  /** `at`: from 0 to 1, of all requests (or writes) of a run that is left alone. */
  | { readonly after: "request" | "write"; readonly at: number }
);

export interface Scene {
  readonly seed: number;
  readonly people: readonly SeedPerson[];
  readonly before: readonly SeedGroup[];
  readonly wanted: readonly WantedGroup[];
  /** One run after the other is killed; the one after them is left alone. */
  readonly kills: readonly Moment[];
  readonly latencyMs: number;
}

const NAMES = ["Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta"] as const;

export function createScene(seed: number): Scene {
  // Neighbouring seeds of mulberry32 begin alike; spread them.
  const random = createRandom(Math.imul(seed + 1, 0x9e3779b1));
  const int = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));
  const chance = (probability: number) => random() < probability;
  const take = <T>(values: readonly T[], count: number): T[] => {
    const left = [...values];
    return Array.from({ length: Math.min(count, left.length) }, () => left.splice(int(0, left.length - 1), 1)).flat();
  };
  const people = Array.from({ length: 10 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
  // p0 owns what can be owned: at BrainSTEM a group keeps an owner.
  const others = people.slice(1).map(({ id }) => id);
  const listsOf = (crew: readonly string[]): Pick<SeedGroup, "members" | "managers" | "owners"> => {
    const managers = chance(0.5) ? crew.slice(0, 1) : [];
    return { owners: ["p0"], managers, members: crew.slice(managers.length) };
  };
  const before: SeedGroup[] = [];
  const wanted: WantedGroup[] = [];
  for (const name of NAMES) {
    const was = take(others, int(1, 5));
    const kept = was.filter(() => chance(0.6));
    const strangers = others.filter((person) => !was.includes(person));
    const is = [...kept, ...take(strangers, int(1, 3))];
    const kind =
      name === "Alpha" ? "new" : (["new", "changed", "changed", "changed", "renamed", "gone"] as const)[int(0, 5)];
    if (kind !== "new") {
      // A deletion that is taken back brings back members, not open invitations.
      const invited = kind !== "gone" && chance(0.4) ? take(strangers, 1) : [];
      before.push({ name: kind === "renamed" ? `Old ${name}` : name, ...listsOf(was), invited });
    }
    if (kind === "gone") wanted.push({ name, gone: true });
    else
      wanted.push({
        name,
        ...listsOf(is),
        fresh: kind === "new",
        ...(kind === "renamed" && { previously: [`Old ${name}`] }),
      });
  }
  const latencyMs = int(3, 25);
  const kills = Array.from({ length: chance(0.6) ? 1 : int(2, 3) }, (): Moment => {
    const which = random();
    if (which < 0.08) return { after: "start", thenMs: int(200, 3_000) };
    // Somewhere between a request, its answer, and what is made of it.
    const thenMs = int(0, 2 * latencyMs);
    if (which < 0.3) return { after: "request", at: random(), thenMs };
    // After the last write: reading back and writing down what it came to.
    return which < 0.4 ? { after: "write", at: 1, thenMs: int(0, 400) } : { after: "write", at: random(), thenMs };
  });
  return { seed, people, before, wanted, kills, latencyMs };
}
