/** Plan and report for a terminal. */
import picocolors from "picocolors";
import { type DocumentView, type LineView, type ProviderView, renderTally, tally } from "./model.js";

/** How text is laid out. */
export interface TextOptions {
  /** @default false */
  readonly colors?: boolean;
  /** Columns to wrap at; 0: never. @default 0 */
  readonly width?: number;
  /** Lines shown per group before the rest is only counted; 0: all. @default 12 */
  readonly linesPerGroup?: number;
}

const DEFAULT_LINES = 12;

/** Lays a plan or report out as plain lines. */
export function renderText(view: DocumentView, options: TextOptions = {}): string {
  const color = picocolors.createColors(options.colors ?? false);
  const most = options.linesPerGroup ?? DEFAULT_LINES;
  const paint: Readonly<Record<LineView["sign"], (text: string) => string>> = {
    "+": color.green,
    "-": color.red,
    "~": color.yellow,
    "!": color.red,
    "?": color.yellow,
  };
  const out: string[] = [];
  const put = (indent: number, text: string, painter: (text: string) => string = String) => {
    for (const line of wrap(printable(text), indent, options.width ?? 0)) out.push(painter(line));
  };
  const putLines = (indent: number, lines: readonly LineView[]) => {
    const shown = most === 0 ? lines : lines.slice(0, most);
    let said = "";
    for (const { sign, what, why } of shown) {
      // The same reason many times over would hide the one that differs.
      put(indent, `${sign} ${what}${why && why !== said ? `  ${why}` : ""}`, paint[sign]);
      said = why;
    }
    if (shown.length < lines.length) put(indent, `… and ${lines.length - shown.length} more (-v shows all)`, color.dim);
  };
  put(0, view.headline, color.bold);
  for (const provider of view.providers) {
    out.push("");
    put(0, provider.title, color.bold);
    if (provider.error !== undefined) put(2, `! ${provider.error}`, color.red);
    for (const { group, lines } of provider.groups) {
      put(2, `${group}  ${renderTally(tally(lines))}`, color.cyan);
      putLines(4, lines);
    }
    for (const held of provider.held) {
      put(2, `held in ${held.group} by ${held.guard}: ${held.message}`, color.yellow);
      putLines(4, held.lines);
    }
    for (const [label, items] of remarksOf(provider))
      for (const item of items) put(2, `${label}: ${item}`, color.yellow);
    put(2, provider.footer, color.dim);
  }
  if (view.footer !== undefined) {
    out.push("");
    put(0, view.footer, color.dim);
  }
  for (const line of view.closing) put(0, line, color.yellow);
  return `${out.join("\n")}\n`;
}

/** What a provider's part says besides its changes, with a label for each kind. */
export function remarksOf(provider: ProviderView): readonly (readonly [string, readonly string[]])[] {
  return [
    ["unresolved", provider.unresolved],
    ["not planned", provider.problems],
    ["note", provider.notes],
  ];
}

/** Names come from services: no control characters, line breaks or marks that turn the reading direction get through. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, "�");
}

function wrap(text: string, indent: number, width: number): readonly string[] {
  const pad = " ".repeat(indent);
  const room = width - indent;
  if (width === 0 || room < 20 || text.length <= room) return [pad + text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room - (lines.length > 0 ? 2 : 0)) {
      lines.push(line.trimEnd());
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((part, index) => pad + (index > 0 ? "  " : "") + part);
}
