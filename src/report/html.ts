/** Plan and report as one self-contained HTML page: no script, nothing loaded from elsewhere. */
import type { DocumentView, LineView } from "./model.js";
import { printable, remarksOf } from "./text.js";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --add: #1a7f37; --remove: #cf222e; --change: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --add: #3fb950; --remove: #ff7b72; --change: #d29922; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; border-top: 1px solid var(--line); padding-top: 1rem; }
ul { list-style: none; padding-left: 1rem; } li { overflow-wrap: anywhere; }
.add b { color: var(--add); } .remove b, .alarm b, .error { color: var(--remove); } .change b, .held > p { color: var(--change); }
small { opacity: .75; }
@media print { body { margin: 0; max-width: none; } }
`;

/** Lays a plan or report out as an HTML page. */
export function renderHtml(view: DocumentView): string {
  const body = view.providers.map((provider) =>
    [
      `<section><h2>${escape(provider.title)}</h2>`,
      provider.error === undefined ? "" : `<p class="error">${escape(provider.error)}</p>`,
      ...provider.groups.map(({ group, lines }) => `<h3>${escape(group)}</h3>${list(lines)}`),
      ...provider.held.map(
        (held) =>
          `<div class="held"><p>Held in <b>${escape(held.group)}</b> by <code>${escape(held.guard)}</code>: ${escape(held.message)}</p>${list(held.lines)}</div>`,
      ),
      ...remarksOf(provider).flatMap(([label, items]) =>
        items.map((item) => `<p><i>${label}:</i> ${escape(item)}</p>`),
      ),
      `<p><small>${escape(provider.footer)}</small></p></section>`,
    ].join("\n"),
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(view.title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(view.title)}</h1>
<p><strong>${escape(view.headline)}</strong></p>
${body.join("\n")}
${view.closing.map((line) => `<p class="error">${escape(line)}</p>`).join("\n")}
</body>
</html>
`;
}

const CLASSES: Readonly<Record<LineView["sign"], string>> = {
  "+": "add",
  "-": "remove",
  "~": "change",
  "!": "alarm",
  "?": "change",
};

function list(lines: readonly LineView[]): string {
  const items = lines.map(
    ({ sign, what, why }) =>
      `<li class="${CLASSES[sign]}"><b>${escape(sign)}</b> ${escape(what)} <small>${escape(why)}</small></li>`,
  );
  return `<ul>${items.join("\n")}</ul>`;
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
