import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { coverPairs, type Product } from "../../../src/reconcile/cover.js";

type Pair = readonly [person: string, group: string];

const limits = { people: 100, groups: 100 };
const people = (count: number, from = 0) => Array.from({ length: count }, (_, index) => `p${from + index}`);
const product = (some: readonly string[], groups: readonly string[]): readonly Pair[] =>
  groups.flatMap((group) => some.map((person) => [person, group] as const));
const pairsOf = (products: readonly Product[]) =>
  products.flatMap((each) => product(each.people, each.groups)).map((pair) => pair.join(" "));

/** What going group by group takes. */
function chunked(pairs: readonly Pair[], size: number): number {
  const groups = new Map<string, Set<string>>();
  for (const [person, group] of pairs) groups.set(group, new Set([...(groups.get(group) ?? []), person]));
  return [...groups.values()].reduce((sum, set) => sum + Math.ceil(set.size / size), 0);
}

describe("the number of calls", () => {
  it("is nothing for nothing", () => {
    expect(coverPairs([], limits)).toEqual([]);
  });

  it("is the fewest possible where everybody wants the same groups", () => {
    const products = coverPairs(product(people(1_050), ["a", "b", "c", "d", "e"]), limits);
    expect(products).toHaveLength(11);
    expect(products.every(({ groups }) => groups.length === 5)).toBe(true);
  });

  it("is one call where small groups lie within a large one", () => {
    const pairs = [...product(people(30), ["all", "left"]), ...product(people(30, 30), ["all", "right"])];
    expect(coverPairs(pairs, limits)).toHaveLength(2);
  });

  it("sends small groups with what their people share, rather than large groups first", () => {
    // 20 departments × 15 roles, each pair of them a group too. Department with shift is the richest product at first
    // sight, and would leave every small group with a call of its own.
    const pairs = people(3_000).flatMap((person, index) => {
      const [department, role] = [index % 20, Math.floor(index / 20) % 15];
      return [`d${department}`, `r${role}`, `d${department} r${role}`, `shift ${Math.floor(index / 300) % 3}`].map(
        (group) => [person, group] as const,
      );
    });
    expect(chunked(pairs, 100)).toBe(300 + 20 * 2 + 15 * 2 + 12 + 9 + 9);
    // 300 small groups carry departments and roles; the shifts go alone.
    expect(coverPairs(pairs, limits)).toHaveLength(330);
  });

  it("is what going group by group takes where nothing is shared", () => {
    const pairs = [...product(people(150), ["a"]), ...product(people(150, 150), ["b"])];
    expect(coverPairs(pairs, limits)).toHaveLength(4);
  });

  it("obeys the cap on groups too", () => {
    const groups = Array.from({ length: 7 }, (_, index) => `g${index}`);
    const products = coverPairs(product(people(3), groups), { people: 100, groups: 3 });
    expect(products).toHaveLength(3);
    expect(Math.max(...products.map((each) => each.groups.length))).toBe(3);
  });

  it("is found for 200,000 random pairs too, where there is little to share", () => {
    let state = 1;
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const names = people(20_000);
    const groups = Array.from({ length: 1_000 }, (_, index) => `g${index}`);
    const pairs = Array.from(
      { length: 200_000 },
      () => [names[random(20_000)] ?? "", groups[random(1_000)] ?? ""] as const,
    );
    const calls = coverPairs(pairs, limits).length;
    expect(calls).toBeGreaterThan(1_900);
  });
});

describe("any pairs", () => {
  const pair = fc.tuple(fc.constantFrom(...people(25)), fc.constantFrom("a", "b", "c", "d", "e", "f"));
  // Sets of groups that many share, as roles make them, and single memberships beside them.
  const blocks = fc.array(
    fc.tuple(
      fc.uniqueArray(fc.constantFrom(...people(25)), { minLength: 1 }),
      fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e", "f"), { minLength: 1 }),
    ),
    { maxLength: 5 },
  );
  const pairs = fc
    .tuple(fc.array(pair, { maxLength: 40 }), blocks)
    .map(([single, some]) => [...single, ...some.flatMap(([who, groups]) => product(who, groups))]);
  const caps = fc.record({ people: fc.integer({ min: 1, max: 8 }), groups: fc.integer({ min: 1, max: 4 }) });

  it("are each in exactly one product, and no other pair is in any", () => {
    fc.assert(
      fc.property(pairs, caps, (wanted, cap) => {
        expect(pairsOf(coverPairs(wanted, cap)).toSorted()).toEqual(
          [...new Set(wanted.map((each) => each.join(" ")))].toSorted(),
        );
      }),
      { numRuns: 300 },
    );
  });

  it("make products within the caps, never more than going group by group", () => {
    fc.assert(
      fc.property(pairs, caps, (wanted, cap) => {
        const products = coverPairs(wanted, cap);
        for (const each of products) {
          expect(each.people.length).toBeGreaterThan(0);
          expect(each.people.length).toBeLessThanOrEqual(cap.people);
          expect(each.groups.length).toBeLessThanOrEqual(cap.groups);
        }
        expect(products.length).toBeLessThanOrEqual(chunked(wanted, cap.people));
      }),
      { numRuns: 300 },
    );
  });

  it("give the same products in whatever order they come", () => {
    const shuffled = pairs.chain((wanted) =>
      fc.tuple(
        fc.constant(wanted),
        fc.shuffledSubarray(wanted, { minLength: wanted.length, maxLength: wanted.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, caps, ([wanted, other], cap) => {
        expect(coverPairs(other, cap)).toEqual(coverPairs(wanted, cap));
      }),
      { numRuns: 200 },
    );
  });
});
