/** Pictures of a plan: groups × providers, and the drift of past runs. Inline SVG, drawn once, without a script. */
import type { DocumentView, PastView } from "./model.js";
import { tally } from "./model.js";

/** Escapes text for markup. */
type Escape = (text: string) => string;

/** More groups would make a picture that nobody can read; the rest is counted below it. */
const MOST_GROUPS = 40;
const MOST_PROVIDERS = 12;
const ROW = 26;
const LETTER = 7;
const CELL = 170;
const MOST_LETTERS = 26;

interface Cell {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly held: number;
}

/** How much comes, goes, changes and is held in each group at each provider. Empty where nothing does. */
export function renderPlanPicture(view: DocumentView, escape: Escape): string {
  const cells = new Map<string, Map<string, Cell>>();
  for (const { id, groups, held } of view.providers) {
    for (const { group, lines } of groups) {
      const counts = tally(lines);
      put(cells, group, id, {
        added: counts["+"],
        removed: counts["-"],
        changed: counts["~"] + counts["!"] + counts["?"],
        held: 0,
      });
    }
    for (const { group, lines } of held)
      put(cells, group, id, { added: 0, removed: 0, changed: 0, held: lines.length });
  }
  const bySize = [...cells].toSorted(([, left], [, right]) => sizeOf(right) - sizeOf(left));
  if (bySize.length === 0) return "";
  const rows = bySize.slice(0, MOST_GROUPS);
  const columns = view.providers.map(({ id }) => id).slice(0, MOST_PROVIDERS);
  const most = Math.max(
    1,
    ...rows.flatMap(([, ofGroup]) =>
      [...ofGroup.values()].flatMap(({ added, removed, held }) => [added, removed, held]),
    ),
  );
  const longest = Math.max(...rows.map(([group]) => Array.from(shorten(group)).length));
  const names = 20 + longest * LETTER;
  const width = names + columns.length * CELL;
  const height = (rows.length + 1) * ROW + 6;
  const drawn = rows.map(([group, ofGroup], row) => {
    const y = (row + 1) * ROW;
    const bars = columns.map((id, column) => {
      const cell = ofGroup.get(id);
      return cell ? renderCell(cell, names + column * CELL + CELL / 2, y, most, `${group} at ${id}`, escape) : "";
    });
    return `<text x="${names - 10}" y="${y + 17}" text-anchor="end">${escape(shorten(group))}<title>${escape(group)}</title></text>${bars.join("")}`;
  });
  const heads = columns.map((id, column) => {
    const x = names + column * CELL + CELL / 2;
    return `<text class="soft" x="${x}" y="17" text-anchor="middle">${escape(shorten(id))}</text><line class="rule" x1="${x}" x2="${x}" y1="${ROW}" y2="${height - 6}"/>`;
  });
  const rest = bySize.length - rows.length;
  return `<div class="scroll" tabindex="0" role="region" aria-label="Picture of the changes">
<svg class="wide" role="img" aria-label="Changes by group and provider; the list below has the same in words" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
${heads.join("\n")}
${drawn.join("\n")}
</svg></div>
<p class="legend"><span class="remove">◀ removed</span> · <span class="add">added ▶</span> · <span class="change">● changed or not done</span> · <span class="heldback">┄ held</span>${rest > 0 ? ` · the ${rows.length} groups with the most; ${rest} more below` : ""}</p>`;
}

function put(cells: Map<string, Map<string, Cell>>, group: string, provider: string, more: Cell): void {
  const ofGroup = cells.get(group) ?? new Map<string, Cell>();
  const known = ofGroup.get(provider) ?? { added: 0, removed: 0, changed: 0, held: 0 };
  cells.set(group, ofGroup);
  ofGroup.set(provider, {
    added: known.added + more.added,
    removed: known.removed + more.removed,
    changed: known.changed + more.changed,
    held: known.held + more.held,
  });
}

function sizeOf(ofGroup: ReadonlyMap<string, Cell>): number {
  return [...ofGroup.values()].reduce(
    (sum, { added, removed, changed, held }) => sum + added + removed + changed + held,
    0,
  );
}

/** Bars from the middle: to the right what comes, to the left what goes; around it what is held. */
function renderCell(cell: Cell, x: number, y: number, most: number, where: string, escape: Escape): string {
  const room = CELL / 2 - 34;
  // By the root: one removal must not vanish beside a thousand additions.
  const length = (number: number) => (number === 0 ? 0 : Math.max(3, Math.round(room * Math.sqrt(number / most))));
  const { added, removed, changed, held } = cell;
  const words = [
    added > 0 && `${added} added`,
    removed > 0 && `${removed} removed`,
    changed > 0 && `${changed} changed or not done`,
    held > 0 && `${held} held`,
  ].filter(Boolean);
  return [
    `<g><title>${escape(`${where}: ${words.join(", ")}`)}</title>`,
    held > 0 &&
      `<rect class="held" x="${x - length(held)}" y="${y + 2}" width="${Math.max(6, length(held))}" height="21"/>`,
    added > 0 &&
      `<rect class="add" x="${x}" y="${y + 6}" width="${length(added)}" height="13"/><text x="${x + length(added) + 3}" y="${y + 17}">${added}</text>`,
    removed > 0 &&
      `<rect class="remove" x="${x - length(removed)}" y="${y + 6}" width="${length(removed)}" height="13"/>`,
    (removed > 0 || held > 0) &&
      `<text x="${x - Math.max(length(removed), length(held)) - 3}" y="${y + 17}" text-anchor="end">${removed > 0 ? removed : `(${held})`}</text>`,
    changed > 0 && `<circle class="change" cx="${x}" cy="${y + 12}" r="5"/>`,
    "</g>",
  ]
    .filter(Boolean)
    .join("");
}

function shorten(text: string): string {
  const letters = Array.from(text);
  return letters.length > MOST_LETTERS ? `${letters.slice(0, MOST_LETTERS - 1).join("")}…` : text;
}

const CHART = { height: 120, bar: 22, gap: 8, left: 44 } as const;

/** How many differences each of the last runs met. Empty where nothing is remembered. */
export function renderDrift(history: readonly PastView[], escape: Escape): string {
  if (history.length === 0) return "";
  const { height, bar, gap, left } = CHART;
  const most = Math.max(1, ...history.map(({ done, held, open }) => done + held + open));
  const scale = (number: number) => (number === 0 ? 0 : Math.max(2, Math.round(((height - 20) * number) / most)));
  const bars = history.map(({ runId, at, done, held, open, ended }, index) => {
    const x = left + index * (bar + gap);
    let y = height;
    const block = (className: string, number: number) => {
      const size = scale(number);
      y -= size;
      return size === 0 ? "" : `<rect class="${className}" x="${x}" y="${y}" width="${bar}" height="${size}"/>`;
    };
    const blocks = [block("add", done), block("remove", open), block("held", held)].join("");
    const words = ended ? `${done} done, ${open} not done, ${held} held` : "did not come to its end";
    const mark = ended ? "" : `<text class="soft" x="${x + bar / 2}" y="${height - 4}" text-anchor="middle">?</text>`;
    return `<g><title>${escape(`${at} ${runId}: ${words}`)}</title>${blocks}${mark}</g>`;
  });
  const width = left + history.length * (bar + gap);
  const rows = history.map(
    ({ runId, at, done, held, open, ended }) =>
      `<tr><td>${escape(at)}</td><td>${ended ? done : ""}</td><td>${ended ? open : ""}</td><td>${ended ? held : ""}</td><td>${escape(runId)}${ended ? "" : " (did not come to its end)"}</td></tr>`,
  );
  return `<section aria-labelledby="drift"><h2 id="drift">Drift over the last runs</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Chart of the last runs">
<svg class="wide" role="img" aria-label="Differences that ${history.length === 1 ? "the last run" : `each of the last ${history.length} runs`} met; the table below has the numbers" width="${width}" height="${height + 4}" viewBox="0 0 ${width} ${height + 4}">
<text class="soft" x="${left - 6}" y="12" text-anchor="end">${most}</text><text class="soft" x="${left - 6}" y="${height}" text-anchor="end">0</text>
<line class="rule" x1="${left - 2}" x2="${width}" y1="${height + 1}" y2="${height + 1}"/>
${bars.join("\n")}
</svg></div>
<p class="legend"><span class="add">■ done</span> · <span class="remove">■ not done</span> · <span class="heldback">┄ held</span></p>
<details><summary>The numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="Table of the last runs"><table><thead><tr><th scope="col">run</th><th scope="col">done</th><th scope="col">not done</th><th scope="col">held</th><th scope="col">id</th></tr></thead><tbody>${rows.join("")}</tbody></table></div></details></section>`;
}
