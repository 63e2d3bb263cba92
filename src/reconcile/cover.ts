/**
 * Wanted (person, group) pairs → as few calls as possible, where one call takes people × groups: everybody it names
 * joins every group it names.
 *
 * Each pair is in exactly one product, and no product has a pair that is not wanted. A pair that is true already
 * could be covered once more and save calls; but whether a service takes that or refuses the whole call is
 * documented nowhere (NeuroIO), so it is not done: the worst case would be a refusal, a reading and a repetition.
 *
 * The best cover is out of reach: covering with products is NP-hard. Two greedy ones are built, and the better is
 * taken, or group by group where that needs no more calls; so the result is never worse than going group by group.
 *
 * - A pair is worth the share of a call that it costs when its group is sent alone: a hundredth in a large group, more
 *   in a small one. A product worth more than one call saves something. The most valuable one is taken again and
 *   again, until none saves anything; the rest goes group by group.
 * - The same, but small groups go first: each needs a call of its own in any case, and whatever else all of its
 *   people want comes along for nothing. Best where groups nest (department × role within department and role).
 */
import { chunk } from "../collections.js";

/** Everybody of `people` × everything of `groups`. */
export interface Product {
  readonly people: readonly string[];
  readonly groups: readonly string[];
}

/** The most that one call may name of each. */
export interface ProductLimits {
  readonly people: number;
  readonly groups: number;
}

/** Covers the pairs. The same pairs give the same products, whatever their order; repeated pairs count once. */
export function coverPairs(
  pairs: Iterable<readonly [person: string, group: string]>,
  limits: ProductLimits,
): readonly Product[] {
  const people = new Map<string, number>();
  const wanted = new Map<string, number[]>();
  for (const [person, group] of pairs) {
    let index = people.get(person);
    if (index === undefined) people.set(person, (index = people.size));
    const some = wanted.get(group);
    if (some) some.push(index);
    else wanted.set(group, [index]);
  }
  // By name from here on, so that the order of the pairs leaves no trace.
  const names = [...people.keys()].sort();
  const rankOf = new Int32Array(names.length);
  names.forEach((name, rank) => {
    rankOf[people.get(name) ?? 0] = rank;
  });
  const groups = [...wanted.keys()].sort();
  const members = groups.map((group) => sortedOnce((wanted.get(group) ?? []).map((index) => rankOf[index] ?? 0)));
  let best = sendAlone(members, limits.people);
  // A group alone needs so many calls, so no cover has fewer.
  const fewest = Math.max(0, ...members.map((some) => Math.ceil(some.length / Math.max(1, limits.people))));
  for (const smallFirst of [false, true]) {
    if (limits.groups < 2 || best.length <= fewest) break;
    const cover = coverGreedily(members, names.length, limits, smallFirst);
    if (cover.length < best.length) best = cover;
  }
  return best.map((product) => ({
    people: product.people.map((index) => names[index] ?? ""),
    groups: product.groups.map((index) => groups[index] ?? ""),
  }));
}

function sortedOnce(numbers: readonly number[]): readonly number[] {
  const sorted = Int32Array.from(numbers).sort();
  return Array.from(sorted.filter((number, at) => at === 0 || number !== sorted[at - 1]));
}

/** A product by indices. */
interface IndexProduct {
  readonly groups: readonly number[];
  readonly people: readonly number[];
}

/** A product under construction. Its people may be more than one call takes. */
interface Candidate extends IndexProduct {
  /** What one call of it is worth, in calls. */
  readonly value: number;
}

/** Rounding of sums of shares must not look like a saving. */
const WORTH_IT = 1 + 1e-9;

/** Group by group. */
function sendAlone(members: readonly (readonly number[])[], size: number): readonly IndexProduct[] {
  return members.flatMap((people, group) => chunk(people, size).map((some) => ({ groups: [group], people: some })));
}

function coverGreedily(
  members: readonly (readonly number[])[],
  personCount: number,
  limits: ProductLimits,
  smallFirst: boolean,
): readonly IndexProduct[] {
  const size = Math.max(1, Math.floor(limits.people));
  const open = trackOpenPairs(members, personCount);
  const shareOf = (group: number) => 1 / Math.max(1, Math.min(size, open.peopleOf(group).length));

  /** The best product around a group: other groups join while that makes a call of it worth more. */
  function grow(seed: number, atNoCost: boolean): Candidate {
    let people = open.peopleOf(seed);
    const groups = [seed];
    let share = shareOf(seed);
    for (;;) {
      let best: { readonly group: number; readonly count: number; readonly worth: number } | undefined;
      for (const [group, count] of open.countGroups(people, groups)) {
        if (groups.length >= limits.groups) break;
        if (count === people.length) {
          groups.push(group);
          share += shareOf(group);
        } else {
          const worth = Math.min(count, size) * (share + shareOf(group));
          if (!best || worth > best.worth || (worth === best.worth && count > best.count))
            best = { group, count, worth };
        }
      }
      const value = Math.min(people.length, size) * share;
      if (!best || atNoCost || groups.length >= limits.groups) return { groups, people, value };
      const { group, count } = best;
      if (Math.min(count, size) * (share + shareOf(group)) <= value) return { groups, people, value };
      groups.push(group);
      share += shareOf(group);
      people = people.filter((person) => open.wants(person, group));
    }
  }

  const products: IndexProduct[] = [];
  function take({ groups, people }: IndexProduct): void {
    products.push(...chunk(people, size).map((some) => ({ groups, people: some })));
    open.close(people, groups);
  }

  if (smallFirst) {
    const countOf = (group: number) => members[group]?.length ?? 0;
    const bySize = members.map((_, group) => group).toSorted((left, right) => countOf(left) - countOf(right));
    for (const group of bySize) {
      const count = open.peopleOf(group).length;
      if (count > 0 && count <= size) take(grow(group, true));
    }
  }
  const values = Float64Array.from(members, (_, group) => grow(group, false).value);
  for (;;) {
    const seed = indexOfLargest(values);
    if ((values[seed] ?? 0) <= WORTH_IT) break;
    const candidate = grow(seed, false);
    values[seed] = candidate.value;
    // What was taken since may have made it worth less: then another one may be the best.
    if (candidate.value < (values[indexOfLargest(values)] ?? 0) || candidate.value <= WORTH_IT) continue;
    // Full calls first; what is left of its people may find better company.
    const full = candidate.people.length - (candidate.people.length % size);
    take({ groups: candidate.groups, people: candidate.people.slice(0, full || size) });
  }
  return [
    ...products,
    ...sendAlone(
      members.map((_, group) => open.peopleOf(group)),
      size,
    ),
  ];
}

/** What is still to be covered, seen from both sides. Flat arrays, as this is where the time goes. */
function trackOpenPairs(members: readonly (readonly number[])[], personCount: number) {
  const peopleOf = [...members];
  const lengths = new Int32Array(personCount);
  for (const people of members) for (const person of people) lengths[person] = (lengths[person] ?? 0) + 1;
  const starts = new Int32Array(personCount);
  for (let person = 1; person < personCount; person++) {
    starts[person] = (starts[person - 1] ?? 0) + (lengths[person - 1] ?? 0);
  }
  const groupsOf = new Int32Array((starts.at(-1) ?? 0) + (lengths.at(-1) ?? 0));
  lengths.fill(0);
  members.forEach((people, group) => {
    for (const person of people) {
      groupsOf[(starts[person] ?? 0) + (lengths[person] ?? 0)] = group;
      lengths[person] = (lengths[person] ?? 0) + 1;
    }
  });
  const counts = new Int32Array(members.length);
  const marks = new Uint8Array(Math.max(personCount, members.length));

  return {
    peopleOf: (group: number): readonly number[] => peopleOf[group] ?? [],
    wants(person: number, group: number): boolean {
      const start = starts[person] ?? 0;
      const end = start + (lengths[person] ?? 0);
      for (let at = start; at < end; at++) if (groupsOf[at] === group) return true;
      return false;
    },
    /** How many of the people want each group, without some groups, by group. */
    countGroups(people: readonly number[], without: readonly number[]): readonly (readonly [number, number])[] {
      const seen: number[] = [];
      for (const person of people) {
        const start = starts[person] ?? 0;
        const end = start + (lengths[person] ?? 0);
        for (let at = start; at < end; at++) {
          const group = groupsOf[at] ?? 0;
          const count = counts[group] ?? 0;
          if (count === 0) seen.push(group);
          counts[group] = count + 1;
        }
      }
      for (const group of without) counts[group] = 0;
      const found: [number, number][] = [];
      for (const group of seen.sort((left, right) => left - right)) {
        const count = counts[group] ?? 0;
        if (count > 0) found.push([group, count]);
        counts[group] = 0;
      }
      return found;
    },
    /** These pairs are covered. */
    close(people: readonly number[], groups: readonly number[]): void {
      for (const group of groups) marks[group] = 1;
      for (const person of people) {
        const start = starts[person] ?? 0;
        let kept = start;
        for (let at = start; at < start + (lengths[person] ?? 0); at++) {
          const group = groupsOf[at] ?? 0;
          if (marks[group] === 0) groupsOf[kept++] = group;
        }
        lengths[person] = kept - start;
      }
      for (const group of groups) marks[group] = 0;
      for (const person of people) marks[person] = 1;
      for (const group of groups) peopleOf[group] = (peopleOf[group] ?? []).filter((person) => marks[person] === 0);
      for (const person of people) marks[person] = 0;
    },
  };
}

/** The first of the largest. */
function indexOfLargest(values: Float64Array): number {
  let best = 0;
  for (let index = 1; index < values.length; index++) if ((values[index] ?? 0) > (values[best] ?? 0)) best = index;
  return best;
}
