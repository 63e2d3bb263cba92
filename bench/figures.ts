/** What is measured, where it must stand, and the table that shows both. */

/** Where a figure must stand. `reported`: nothing is asked of it. */
type Bound = { readonly atMost: number } | { readonly atLeast: number } | { readonly exactly: number } | "reported";

/** One row of the table. */
export interface Figure {
  readonly measure: string;
  readonly bound: Bound;
  readonly value: number;
  /** What the value was made of. */
  readonly detail: string;
  /** `count`: the same on every machine. `time`: depends on the machine and on what else it does. */
  readonly kind: "count" | "time";
}

/** Whether a figure stands where it must; undefined when nothing is asked of it. */
export function isReached({ bound, value }: Figure): boolean | undefined {
  if (bound === "reported") return undefined;
  if ("atMost" in bound) return value <= bound.atMost;
  if ("atLeast" in bound) return value >= bound.atLeast;
  return value === bound.exactly;
}

function describeBound(bound: Bound): string {
  if (bound === "reported") return "reported";
  if ("atMost" in bound) return `≤ ${format(bound.atMost)}`;
  if ("atLeast" in bound) return `≥ ${format(bound.atLeast)}`;
  return format(bound.exactly);
}

function format(value: number): string {
  return Number.isInteger(value) && value >= 10 ? String(value) : value.toFixed(value < 0.1 && value > 0 ? 3 : 2);
}

const HEAD = ["measure", "must reach", "measured", "ok", "made of"] as const;

/** The table as Markdown, its columns aligned so that a terminal shows it well too. */
export function renderTable(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const reached = isReached(figure);
    const ok = reached === undefined ? "–" : reached ? "yes" : "NO";
    return [figure.measure, describeBound(figure.bound), format(figure.value), ok, figure.detail];
  });
  const widths = HEAD.map((head, column) =>
    Math.max(...[head, ...rows.map((row) => row[column] ?? "")].map((cell) => cell.length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join(" | ")} |`;
  return [
    line(HEAD),
    `|${HEAD.map((head) => "-".repeat(Math.max(3, head.length))).join("|")}|`,
    ...rows.map(line),
  ].join("\n");
}

/** The least of a few timings: whatever else the machine does only adds to them. */
export async function fastest(times: number, act: () => void | Promise<void>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let count = 0; count < times; count++) {
    const started = performance.now();
    await act();
    best = Math.min(best, performance.now() - started);
  }
  return best;
}

/** `1,234`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}
