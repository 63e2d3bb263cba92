/** Groups values by a key, in order of first appearance. `Map.groupBy` came with Node 21. */
export function groupBy<K, V>(values: Iterable<V>, keyOf: (value: V) => K): Map<K, V[]> {
  const groups = new Map<K, V[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group) group.push(value);
    else groups.set(key, [value]);
  }
  return groups;
}

/** `1 person`, `2 people`. */
export function renderCount(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Cuts a list into pieces of at most `size`, but at least 1. */
export function chunk<T>(values: readonly T[], size: number): readonly (readonly T[])[] {
  const pieces: T[][] = [];
  const step = Math.max(1, Math.floor(size));
  for (let start = 0; start < values.length; start += step) pieces.push(values.slice(start, start + step));
  return pieces;
}
