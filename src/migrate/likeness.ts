/**
 * Who may be whom, by name and address alone. Only ever a suggestion: somebody has to confirm it, and of two that fit
 * alike neither is suggested.
 */
import { groupBy } from "../collections.js";
import { normalizeEmail } from "../identity.js";
import { createSpeller } from "../spec/problems.js";

/** Someone as far as a service tells. */
export interface Described {
  readonly name?: string;
  readonly email?: string;
}

/** What was found: at most one account, and why it, or why none. */
export interface Likeness<T> {
  readonly account?: T;
  readonly because: string;
}

/** Finds the accounts that look like someone. */
export type LikenessFinder<T> = (someone: Described) => Likeness<T>;

/** Below this many letters two names are near each other by chance. */
const LEAST_LETTERS = 6;

/** Puts accounts in order, so that each of many people costs little to compare. */
export function createLikenessFinder<T extends Described>(accounts: readonly T[]): LikenessFinder<T> {
  const byName = indexBy(accounts, ({ name }) => [foldName(name)]);
  const byLocalPart = indexBy(accounts, ({ email }) => [localPart(email)]);
  const byNameInAddress = indexBy(accounts, ({ name }) => spellingsOf(name));
  const byAddressAsName = indexBy(accounts, ({ email }) => [foldName(localPart(email))]);
  const nearestName = createSpeller([...byName.keys()].filter((name) => name.length >= LEAST_LETTERS));

  return (someone) => {
    const name = foldName(someone.name);
    const local = localPart(someone.email);
    const near = name.length >= LEAST_LETTERS ? nearestName(name) : undefined;
    // From the surest to the least sure; the first that finds anybody decides.
    const attempts: readonly (readonly [string, readonly T[]])[] = [
      ["the same name", byName.get(name) ?? []],
      ["the same address before the @", byLocalPart.get(local) ?? []],
      ["a name that is spelt nearly so", near === undefined ? [] : (byName.get(near) ?? [])],
      ["a name that fits the address", byNameInAddress.get(local) ?? []],
      ["an address that fits the name", spellingsOf(someone.name).flatMap((word) => byLocalPart.get(word) ?? [])],
      ["a name that fits the address", byName.get(foldName(local)) ?? []],
      ["an address that fits the name", byAddressAsName.get(name) ?? []],
    ];
    for (const [why, found] of attempts) {
      const distinct = [...new Set(found)];
      const [only, second] = distinct;
      if (second) return { because: `${distinct.length} accounts have ${why}` };
      if (only) return { account: only, because: why };
    }
    return { because: "" };
  };
}

function indexBy<T>(
  accounts: readonly T[],
  keysOf: (account: T) => readonly string[],
): ReadonlyMap<string, readonly T[]> {
  const pairs = accounts.flatMap((account) => keysOf(account).flatMap((key) => (key === "" ? [] : [{ key, account }])));
  return new Map(
    [...groupBy(pairs, ({ key }) => key)].map(([key, found]) => [key, found.map(({ account }) => account)]),
  );
}

/** `Hopper, Gräce` and `grace hopper` → `grace hopper`: letters alone, in order, without accents. */
function foldName(name: string | undefined): string {
  return wordsOf(name).toSorted().join(" ");
}

function wordsOf(name: string | undefined): readonly string[] {
  return (name ?? "")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== "");
}

function localPart(email: string | undefined): string {
  return (
    normalizeEmail(email ?? "")
      .split("@")[0]
      ?.split("+")[0] ?? ""
  );
}

/** How the name may stand in an address: `g.hopper`, `ghopper`, `grace.h`. */
function spellingsOf(name: string | undefined): readonly string[] {
  const words = wordsOf(name);
  const [first, last] = [words[0], words.at(-1)];
  if (first === undefined || last === undefined || words.length < 2) return [];
  const initial = first.charAt(0);
  return [`${initial}.${last}`, `${initial}${last}`, `${first}.${last.charAt(0)}`, `${first}${last}`];
}
