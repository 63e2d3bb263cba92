/** Plan and report as Markdown that fits a pull-request comment. */
import type { DocumentView, LineView } from "./model.js";
import { printable, remarksOf } from "./text.js";

/** Longer groups are folded. */
const FOLD_ABOVE = 12;

/** Lays a plan or report out as Markdown. */
export function renderMarkdown(view: DocumentView): string {
  const out = [`### ${escape(view.title)}`, "", escape(view.headline), ""];
  for (const provider of view.providers) {
    out.push(`#### ${escape(provider.title)}`, "");
    if (provider.error !== undefined) out.push(`**Error:** ${escape(provider.error)}`, "");
    for (const { group, lines } of provider.groups) out.push(...section(`**${escape(group)}**`, lines));
    for (const held of provider.held) {
      out.push(
        ...section(`**Held in ${escape(held.group)}** by \`${held.guard}\`: ${escape(held.message)}`, held.lines),
      );
    }
    for (const [label, items] of remarksOf(provider))
      for (const item of items) out.push(`- *${label}:* ${escape(item)}`);
    out.push("", escape(provider.footer), "");
  }
  out.push(...view.closing.map((line) => `> ${escape(line)}`));
  return `${out.join("\n").trimEnd()}\n`;
}

function section(heading: string, lines: readonly LineView[]): readonly string[] {
  const list = lines.map(({ sign, what, why }) => `- \`${sign}\` ${escape(what)}${why ? `: ${escape(why)}` : ""}`);
  return lines.length > FOLD_ABOVE
    ? [heading, "", `<details><summary>${lines.length} changes</summary>`, "", ...list, "", "</details>", ""]
    : [heading, "", ...list, ""];
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
