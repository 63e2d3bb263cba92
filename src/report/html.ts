/**
 * Plan and report as one self-contained HTML page: nothing is loaded from elsewhere, and nothing but the page's own
 * script runs, which its content security policy names by its hash.
 */
import { createHash } from "node:crypto";
import { type DocumentView, type ProviderView, tally } from "./model.js";
import { PAGE_SCRIPT, PAGE_STYLE, type PageData } from "./page.js";
import { renderDrift, renderPlanPicture } from "./picture.js";
import { printable, remarksOf } from "./text.js";

/** Remarks of one kind at one provider; more would bury the rest, and the JSON has them all. */
const MOST_REMARKS = 500;

/** Lays a plan or report out as an HTML page. Readable on a phone and in print, light and dark, with 100,000 lines too. */
export function renderHtml(view: DocumentView): string {
  const policy = `default-src 'none'; script-src '${hashOf(PAGE_SCRIPT)}'; style-src '${hashOf(PAGE_STYLE)}'; base-uri 'none'; form-action 'none'`;
  const picture = renderPlanPicture(view, escape);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="referrer" content="no-referrer">
<title>${escape(view.title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>${escape(view.title)}</h1>
<p class="headline"><strong>${escape(view.headline)}</strong></p>
${view.closing.map((line) => `<p class="error">${escape(line)}</p>`).join("\n")}
</header>
<main>
${renderProviders(view.providers)}
${picture && `<section aria-labelledby="picture"><h2 id="picture">The picture</h2>${picture}</section>`}
${renderBrowser(view)}
${renderRemarks(view.providers)}
${renderDrift(view.history ?? [], escape)}
</main>
<footer>${view.footer === undefined ? "" : `<p>${escape(view.footer)}</p>`}<p>Made by group-sync.</p></footer>
<script type="application/json" id="data">${toScriptJson(collect(view))}</script>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

function renderProviders(providers: readonly ProviderView[]): string {
  if (providers.length === 0) return "";
  const cell = (className: string, number: number) =>
    `<td${number > 0 ? ` class="${className}"` : ""}>${number > 0 ? number.toLocaleString("en") : ""}</td>`;
  const rows = providers.map(({ title, groups, held, unresolved, error, footer }) => {
    const counts = tally(groups.flatMap(({ lines }) => lines));
    return [
      `<tr><td>${escape(title)}</td>`,
      cell("add", counts["+"]),
      cell("remove", counts["-"]),
      cell("change", counts["~"]),
      cell("error", counts["!"]),
      cell(
        "heldback",
        held.reduce((sum, { lines }) => sum + lines.length, 0),
      ),
      cell("change", unresolved.length),
      `<td>${error === undefined ? "" : `<span class="error">${escape(error)}</span> `}${escape(footer)}</td></tr>`,
    ].join("");
  });
  const heads = ["provider", "added", "removed", "changed", "not done", "held", "unresolved", "calls"];
  return `<section aria-labelledby="providers"><h2 id="providers">Providers</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Table of the providers"><table><thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join("")}</tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div></section>`;
}

/** The place where the script draws every group's and every person's story. */
function renderBrowser(view: DocumentView): string {
  const isEmpty = view.providers.every(({ groups, held }) => groups.length + held.length === 0);
  const options = view.providers.map(({ id }, index) => `<option value="${index}">${escape(id)}</option>`);
  return `<section aria-labelledby="changes"${isEmpty ? " hidden" : ""}><h2 id="changes">Line by line</h2>
<noscript><p>The single lines need the page's own script, which is switched off here. <code>group-sync</code> prints them as text too.</p></noscript>
<div id="browse" hidden>
<div class="controls" role="search" aria-label="Search and filter">
<label class="search">Search people, groups, reasons<input id="search" type="search" autocomplete="off" spellcheck="false"></label>
<label>Show<select id="kind"><option value="">everything</option><option value="+">added</option><option value="-">removed</option><option value="~">changed</option><option value="!">not done</option><option value="held">held</option></select></label>
<label>At<select id="provider"><option value="">all providers</option>${options.join("")}</select></label>
<label>By<select id="view"><option value="group">group</option><option value="person">person</option></select></label>
</div>
<p id="count" role="status" aria-live="polite"></p>
<div id="list"></div>
</div></section>`;
}

function renderRemarks(providers: readonly ProviderView[]): string {
  const parts = providers.flatMap((provider) => {
    const items = remarksOf(provider).flatMap(([label, texts]) => {
      const shown = texts.slice(0, MOST_REMARKS).map((text) => `<li><b>${label}:</b> ${escape(text)}</li>`);
      const rest = texts.length - shown.length;
      return rest > 0 ? [...shown, `<li>… and ${rest} more ${label}</li>`] : shown;
    });
    if (items.length === 0) return [];
    const open = items.length <= 12 ? " open" : "";
    return [
      `<details${open}><summary><b>${escape(provider.id)}</b> ${items.length}</summary><ul class="remarks">${items.join("\n")}</ul></details>`,
    ];
  });
  return parts.length === 0
    ? ""
    : `<section aria-labelledby="remarks"><h2 id="remarks">What else to know</h2>${parts.join("\n")}</section>`;
}

/** Every line of the document once, as the page's script wants it. */
function collect(view: DocumentView): PageData {
  const texts: string[] = [];
  const known = new Map<string, number>();
  const indexOf = (text: string | undefined): number => {
    if (text === undefined) return -1;
    const shown = printable(text);
    const index = known.get(shown) ?? texts.push(shown) - 1;
    known.set(shown, index);
    return index;
  };
  const lines: PageData["lines"][number][] = [];
  for (const [index, { groups, held }] of view.providers.entries()) {
    const all = [
      ...groups.map((group) => ({ ...group, message: undefined })),
      ...held.map(({ group, message, guard, lines }) => ({ group, lines, message: `${guard}: ${message}` })),
    ];
    for (const { group, lines: own, message } of all) {
      for (const { sign, what, why, who } of own) {
        lines.push([sign, printable(what), indexOf(why), indexOf(who), indexOf(group), index, indexOf(message)]);
      }
    }
  }
  return { texts, providers: view.providers.map(({ id }) => printable(id)), lines };
}

/** JSON that no name can end early: inside a script element only `<` could. */
function toScriptJson(data: unknown): string {
  return JSON.stringify(data).replace(
    /[<>&'\u2028\u2029]/g,
    (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

function escape(text: string): string {
  const marks: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return printable(text).replace(/[&<>"']/g, (mark) => marks[mark] ?? mark);
}
