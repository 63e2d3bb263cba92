/**
 * Style and script of the HTML page, as text. The script only ever makes text nodes out of data, and fetches nothing.
 *
 * What it is given (`PageData`, as JSON in the page) may hold 100,000 lines: sections are drawn closed, their lines when
 * they are opened, both a page at a time.
 */

/** What the script draws. Texts that come often are numbers into `texts`. */
export interface PageData {
  readonly texts: readonly string[];
  readonly providers: readonly string[];
  /** Sign, what, why, who (-1: the group itself), group, provider, held message (-1: not held). */
  readonly lines: readonly (readonly [string, string, number, number, number, number, number])[];
}

export const PAGE_STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1f2328; --soft: #59636e; --line: #d1d9e0; --card: #f6f8fa;
  --add: #1a7f37; --remove: #cf222e; --change: #9a6700; --held: #6639ba; --link: #0969da; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --text: #e6edf3; --soft: #9da7b3; --line: #3d444d;
  --card: #151b23; --add: #3fb950; --remove: #ff7b72; --change: #d29922; --held: #c297ff; --link: #6cb6ff; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: var(--back); color: var(--text); }
header, main, footer { max-width: 70rem; margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.1rem; color: var(--soft); font-weight: 600; overflow-wrap: anywhere; margin: 1.5rem 0 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.headline { font-size: 1.35rem; margin: .25rem 0 1rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, td:last-child, th:last-child { text-align: left; overflow-wrap: anywhere; min-width: 8rem; }
.add { color: var(--add); } .remove, .error { color: var(--remove); } .change { color: var(--change); } .heldback { color: var(--held); }
.error { overflow-wrap: anywhere; }
svg { display: block; max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg.wide { max-width: none; }
svg text { fill: var(--text); } svg .soft { fill: var(--soft); } svg .rule { stroke: var(--line); }
svg .add { fill: var(--add); } svg .remove { fill: var(--remove); } svg .change { fill: var(--change); }
svg .held { fill: none; stroke: var(--held); stroke-width: 2; stroke-dasharray: 3 2; }
.legend { color: var(--soft); font-size: .9rem; }
.controls { display: flex; flex-wrap: wrap; gap: .75rem 1rem; align-items: end; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .75rem; position: sticky; top: 0; z-index: 1; }
.controls label { display: grid; grid-template-columns: minmax(0, 1fr); min-width: 0; max-width: 100%; font-size: .85rem; color: var(--soft); }
.controls label.search { flex: 1 1 14rem; }
input, select, button { font: inherit; color: var(--text); background: var(--back); border: 1px solid var(--soft); border-radius: .35rem;
  padding: .35rem .5rem; min-height: 2.5rem; max-width: 100%; }
button { cursor: pointer; }
button.who { border: 0; background: none; padding: 0; min-height: 1.5rem; color: var(--link); text-decoration: underline; text-align: left; overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
details { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .6rem .25rem; overflow-wrap: anywhere; }
summary b { font-weight: 600; }
ul { list-style: none; margin: 0; padding: 0 0 .75rem 1rem; }
li { overflow-wrap: anywhere; padding: .2rem 0 .2rem 1.4rem; text-indent: -1.4rem; }
li > .sign { display: inline-block; width: 1.4rem; text-indent: 0; font-weight: 700; }
small { color: var(--soft); font-size: .85rem; }
.remarks li { text-indent: 0; padding-left: 0; }
footer { padding-top: 1.5rem; padding-bottom: 2rem; color: var(--soft); }
@media (max-width: 40rem) { .controls { position: static; } .headline { font-size: 1.15rem; } }
@media (prefers-reduced-motion: reduce) { * { scroll-behavior: auto !important; transition: none !important; animation: none !important; } }
@media print { .controls, button.more { display: none; } body { font-size: 11pt; } details { break-inside: avoid-page; } }
`;

export const PAGE_SCRIPT = String.raw`
"use strict";
(() => {
  const { texts, providers, lines } = JSON.parse(document.getElementById("data").textContent);
  const [SIGN, WHAT, WHY, WHO, GROUP, PROVIDER, HELD] = [0, 1, 2, 3, 4, 5, 6];
  const SECTIONS = 100, LINES = 200, OPEN_AT_ONCE = 300, MOST_PRINTED = 5000;
  const CLASSES = { "+": "add", "-": "remove", "~": "change", "!": "error", "?": "change" };
  const WORDS = { "+": "added", "-": "removed", "~": "changed", "!": "not done", "?": "unclear" };
  const byId = (id) => document.getElementById(id);
  const [search, kind, provider, view, list, count] = ["search", "kind", "provider", "view", "list", "count"].map(byId);
  const text = (index) => (index < 0 ? "" : texts[index]);
  const folded = texts.map((each) => each.toLowerCase());
  const foldedWhat = lines.map((line) => line[WHAT].toLowerCase());
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  function matches(line, index, words) {
    const wanted = kind.value;
    if (wanted === "held" ? line[HELD] < 0 : wanted !== "" && (line[SIGN] !== wanted || line[HELD] >= 0)) return false;
    if (provider.value !== "" && String(line[PROVIDER]) !== provider.value) return false;
    return words.every((word) => foldedWhat[index].includes(word)
      || folded[line[GROUP]].includes(word) || folded[line[WHY]].includes(word)
      || (line[WHO] >= 0 && folded[line[WHO]].includes(word)) || (line[HELD] >= 0 && folded[line[HELD]].includes(word)));
  }

  function pager(items, size, draw, target, noun) {
    let next = 0;
    const more = make("button", { type: "button", class: "more" });
    const step = () => {
      const hadFocus = document.activeElement === more;
      more.remove();
      const drawn = items.slice(next, next + size).map(draw);
      target.append(...drawn);
      next += size;
      if (next < items.length) {
        more.textContent = "Show more " + noun + " (" + (items.length - next).toLocaleString("en") + " left)";
        target.append(target.tagName === "UL" ? make("li", {}, more) : more);
      }
      if (hadFocus && drawn[0]) (drawn[0].querySelector("summary, button") || drawn[0]).focus?.();
    };
    more.addEventListener("click", () => { const item = more.parentElement; step(); if (item.tagName === "LI" && !item.firstChild) item.remove(); });
    step();
  }

  function drawLine(line) {
    const persons = view.value === "person";
    const held = line[HELD] >= 0;
    const item = make("li", {}, make("span", { class: "sign " + (held ? "heldback" : CLASSES[line[SIGN]]), "aria-label": (held ? "held: " : "") + WORDS[line[SIGN]], role: "img" }, line[SIGN]));
    item.append(make("small", {}, providers[line[PROVIDER]] + (persons ? " · " + text(line[GROUP]) : "") + " "));
    if (persons || line[WHO] < 0) item.append(line[WHAT]);
    else {
      // A name leads to everything about that person.
      const name = text(line[WHO]);
      const at = line[WHAT].indexOf(name);
      if (at < 0) item.append(line[WHAT]);
      else {
        const button = make("button", { type: "button", class: "who", title: "Everything about " + name }, name);
        button.addEventListener("click", () => { view.value = "person"; kind.value = ""; provider.value = ""; search.value = name; draw(); search.focus(); });
        item.append(line[WHAT].slice(0, at), button, line[WHAT].slice(at + name.length));
      }
    }
    if (line[WHY] >= 0 && text(line[WHY])) item.append(make("small", {}, " " + text(line[WHY])));
    if (held) item.append(make("small", { class: "heldback" }, " — held: " + text(line[HELD])));
    return item;
  }

  function drawSection([name, own], open) {
    const counts = { "+": 0, "-": 0, "~": 0, "!": 0, "?": 0 };
    let held = 0;
    for (const line of own) if (line[HELD] >= 0) held++; else counts[line[SIGN]]++;
    const summary = make("summary", {}, make("b", {}, name));
    for (const [sign, number] of Object.entries(counts)) if (number > 0) summary.append(" ", make("span", { class: CLASSES[sign] }, sign + number.toLocaleString("en")));
    if (held > 0) summary.append(" ", make("span", { class: "heldback" }, held.toLocaleString("en") + " held"));
    const section = make("details", {}, summary);
    let isDrawn = false;
    const fill = () => {
      if (isDrawn) return;
      isDrawn = true;
      const items = make("ul", {});
      section.append(items);
      pager(own, LINES, drawLine, items, "lines");
    };
    section.addEventListener("toggle", () => { if (section.open) fill(); });
    if (open) { fill(); section.open = true; }
    return section;
  }

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const sections = new Map();
    let found = 0;
    lines.forEach((line, index) => {
      if (!matches(line, index, words)) return;
      found++;
      const name = view.value === "person" ? (line[WHO] < 0 ? "(groups themselves)" : text(line[WHO])) : text(line[GROUP]);
      const own = sections.get(name);
      if (own) own.push(line); else sections.set(name, [line]);
    });
    list.replaceChildren();
    const noun = view.value === "person" ? "people" : "groups";
    const one = view.value === "person" ? "person" : "group";
    count.textContent = found.toLocaleString("en") + (found === 1 ? " line" : " lines") + " in " + sections.size.toLocaleString("en") + " " + (sections.size === 1 ? one : noun);
    pager([...sections], SECTIONS, (section) => drawSection(section, found <= OPEN_AT_ONCE), list, noun);
  }

  let timer;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(draw, 120); });
  for (const control of [kind, provider, view]) control.addEventListener("change", draw);
  addEventListener("beforeprint", () => {
    if (lines.length > MOST_PRINTED) return;
    for (let button; (button = list.querySelector(":scope > button.more")); ) button.click();
    for (const section of list.querySelectorAll("details")) section.open = true;
    for (const section of list.querySelectorAll("details")) section.dispatchEvent(new Event("toggle"));
    for (let button; (button = list.querySelector("button.more")); ) button.click();
  });
  byId("browse").hidden = false;
  draw();
})();
`;
