/** What is wrong in a spec, where, and what would be right. Everything is collected; nothing stops at the first. */
import { SpecError } from "../errors.js";
import type { SpecProblem } from "../model.js";

/** Keys and list positions from the root to a value. */
export type KeyPath = readonly (string | number)[];

/** A place in a file, and the key path that stands there. */
export type Origin = Pick<SpecProblem, "file" | "line" | "column" | "path">;

/** A place that is worked out only when something is said about it: most of a large spec is right. */
export type LazyOrigin = () => Origin;

/** A list of problems that grows. */
export interface Problems {
  error(origin: Origin, message: string): void;
  warn(origin: Origin, message: string): void;
  hasErrors(): boolean;
  /** In order of file (the spec first), line and column; each said once. */
  sorted(): readonly SpecProblem[];
  /** Throws `SpecError` with everything, if there is an error. */
  throwIfAny(): void;
}

/** Starts a list. `mainFile` sorts before the files that it names. */
export function createProblems(mainFile: string): Problems {
  const problems = new Map<string, SpecProblem>();
  const add = (severity: SpecProblem["severity"], { file, line, column, path }: Origin, message: string): void => {
    const problem = { severity, file, line, column, path, message };
    problems.set(JSON.stringify(problem), problem);
  };
  const hasErrors = () => [...problems.values()].some(({ severity }) => severity === "error");
  const sorted = () =>
    [...problems.values()].toSorted(
      (left, right) =>
        Number(right.file === mainFile) - Number(left.file === mainFile) ||
        compareText(left.file, right.file) ||
        left.line - right.line ||
        left.column - right.column,
    );
  return {
    error: (origin, message) => add("error", origin, message),
    warn: (origin, message) => add("warning", origin, message),
    hasErrors,
    sorted,
    throwIfAny: () => {
      if (hasErrors()) throw new SpecError(sorted());
    },
  };
}

/** Order that is the same on every machine, unlike a locale's. */
export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** A key path as people read it: `groups.night-shift.members[2]`; keys with other characters in quotes. */
export function renderPath(path: KeyPath): string {
  return path
    .map((key, index) => {
      if (typeof key === "number") return `[${key}]`;
      if (!/^[\p{L}\p{N}_-]+$/u.test(key)) return `[${JSON.stringify(key)}]`;
      return index === 0 ? key : `.${key}`;
    })
    .join("");
}

const MAX_QUOTED = 60;

/** Text as it is shown in a message: in quotes, on one line, not endless. */
export function quote(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}

/** The first few of a list, and how many more there are. */
export function listSome(words: readonly string[], shown = 3): string {
  const head = words.slice(0, shown).join(", ");
  return words.length > shown ? `${head} and ${words.length - shown} more` : head;
}

/** Finds the known word that a mistyped one stands for; undefined when nothing is near. */
export type Speller = (word: string) => string | undefined;

/**
 * Comparisons that a speller makes. With that many different unknown words the file is not mistyped but wrong, and
 * searching on would only take time.
 */
const MAX_COMPARISONS = 400_000;

/** Suggests from a list of known words. */
export function createSpeller(known: Iterable<string>): Speller {
  const words = [...known].map((word) => ({ word, folded: word.toLowerCase() }));
  const found = new Map<string, string | undefined>();
  return (word) => {
    if (!found.has(word) && found.size * words.length < MAX_COMPARISONS)
      found.set(word, nearest(word.toLowerCase(), words));
    return found.get(word);
  };
}

/** ` Did you mean "x"?`, or nothing. */
export function didYouMean(word: string, speller: Speller): string {
  const suggestion = speller(word);
  return suggestion === undefined ? "" : ` Did you mean ${quote(suggestion)}?`;
}

function nearest(word: string, known: readonly { readonly word: string; readonly folded: string }[]) {
  // One slip in a short word, two in a longer one: more would suggest words that merely look alike.
  const limit = word.length < 3 ? 0 : word.length < 6 ? 1 : 2;
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.folded.length - word.length) >= bestDistance) continue;
    const distance = editDistance(word, candidate.folded);
    if (distance < bestDistance) [best, bestDistance] = [candidate.word, distance];
  }
  return best;
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other. */
export function editDistance(left: string, right: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      const swapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      current[column] = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1),
        swapped ? (beforePrevious[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforePrevious, previous] = [previous, current];
  }
  return previous[right.length] ?? 0;
}
