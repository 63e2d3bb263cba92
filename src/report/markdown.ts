/** Plan and report as Markdown that fits a pull-request comment. */
import { type DocumentView, type LineView, type ProviderView, renderTally, tally, type Tally } from "./model.js";
import { printable, remarksOf } from "./text.js";

/** Longer groups are folded. */
const FOLD_ABOVE = 12;

/** GitHub takes 65,536 characters in a comment; some are left to whoever posts it. */
const MOST_CHARACTERS = 65_000;

/** How much is shown: lines of a group, groups and remarks of a provider, characters of one text, providers. */
interface Room {
  readonly lines: number;
  readonly groups: number;
  readonly text: number;
  readonly providers: number;
}

/** From everything to next to nothing; the first that fits is taken. */
const ROOMS: readonly Room[] = [
  ...[Number.POSITIVE_INFINITY, 100, 25, 5, 0].map((lines) => ({
    lines,
    groups: Number.POSITIVE_INFINITY,
    text: lines === 0 ? 300 : Number.POSITIVE_INFINITY,
    providers: Number.POSITIVE_INFINITY,
  })),
  ...[100, 20, 5, 0].map((groups) => ({ lines: 0, groups, text: 100, providers: 50 })),
  { lines: 0, groups: 0, text: 40, providers: 10 },
];

/**
 * Lays a plan or report out as Markdown of at most 65,000 characters, whatever its size: what does not fit is counted.
 */
export function renderMarkdown(view: DocumentView): string {
  let out = "";
  for (const room of ROOMS) {
    out = render(view, room);
    if (out.length <= MOST_CHARACTERS) break;
  }
  return out;
}

function render(view: DocumentView, room: Room): string {
  const say = (text: string) => escape(clip(text, room.text));
  const out = [`### ${say(view.title)}`, "", say(view.headline), ""];
  const shown = view.providers.slice(0, room.providers);
  if (view.providers.length > 1) out.push(...renderTable(shown, say), "");
  let cut = shown.length < view.providers.length;
  const some = <T>(items: readonly T[], most: number): readonly T[] => {
    if (items.length > most) cut = true;
    return items.slice(0, most);
  };
  for (const provider of shown) {
    out.push(`#### ${say(provider.title)}`, "");
    if (provider.error !== undefined) out.push(`**Error:** ${say(provider.error)}`, "");
    for (const { group, lines } of some(provider.groups, room.groups)) {
      out.push(...section(`**${say(group)}** ${code(tally(lines))}`, lines, some(lines, room.lines), say));
    }
    for (const held of some(provider.held, room.groups)) {
      const heading = `**Held in ${say(held.group)}** by \`${held.guard}\`: ${say(held.message)}`;
      out.push(...section(heading, held.lines, some(held.lines, room.lines), say));
    }
    for (const [label, items] of remarksOf(provider))
      for (const item of some(items, room.groups)) out.push(`- *${label}:* ${say(item)}`);
    out.push("", say(provider.footer), "");
  }
  if (view.footer !== undefined) out.push(say(view.footer), "");
  out.push(...some(view.closing, Math.max(room.groups, 5)).map((line) => `> ${say(line)}`));
  if (cut) out.push("", "Not everything fits here; the plan or report itself has the rest.");
  return `${out.join("\n").trimEnd()}\n`;
}

/** One row per provider, for the first look. */
function renderTable(providers: readonly ProviderView[], say: (text: string) => string): readonly string[] {
  const rows = providers.map(({ id, groups, held, error, footer, unresolved }) => {
    const counts = tally(groups.flatMap(({ lines }) => lines));
    const heldLines = held.reduce((sum, { lines }) => sum + lines.length, 0);
    const cells = [counts["+"], counts["-"], counts["~"], counts["!"], heldLines, unresolved.length];
    return `| ${[say(id), ...cells.map((number) => number || ""), error === undefined ? say(footer) : "**error**"].join(" | ")} |`;
  });
  return [
    "| provider | added | removed | changed | not done | held | unresolved | |",
    "|---|--:|--:|--:|--:|--:|--:|---|",
    ...rows,
  ];
}

function code(counts: Tally): string {
  return `\`${renderTally(counts)}\``;
}

function section(
  heading: string,
  lines: readonly LineView[],
  shown: readonly LineView[],
  say: (text: string) => string,
): readonly string[] {
  const list = shown.map(({ sign, what, why }) => `- \`${sign}\` ${say(what)}${why ? `: ${say(why)}` : ""}`);
  if (shown.length < lines.length) list.push(`- … and ${lines.length - shown.length} more`);
  return lines.length > FOLD_ABOVE && shown.length > 0
    ? [heading, "", `<details><summary>${lines.length} changes</summary>`, "", ...list, "", "</details>", ""]
    : [heading, "", ...list, ""];
}

function clip(text: string, most: number): string {
  if (text.length <= most) return text;
  // Half a character at the end would not be one.
  return `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}

/** Names come from services and files: they are text here, never markup, mentions or links. */
function escape(text: string): string {
  return (
    printable(text)
      .replace(/[&<>]/g, (mark) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[mark] ?? mark)
      .replace(/[\\`*_{}[\]#|~!$]/g, "\\$&")
      // A backslash does not stop what GitHub looks for in the finished page: mentions, issues, bare addresses.
      .replace(/@|#(?=\d)|\b(?:https?|ftp):(?=\/\/)|\bwww(?=\.)/gi, "$&\u200b")
  );
}
