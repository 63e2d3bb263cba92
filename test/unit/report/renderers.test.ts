import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createHash } from "node:crypto";
import { renderHtml } from "../../../src/report/html.js";
import { renderMarkdown } from "../../../src/report/markdown.js";
import type { DocumentView, LineView, ProviderView } from "../../../src/report/model.js";
import type { PageData } from "../../../src/report/page.js";
import { renderText } from "../../../src/report/text.js";

const lines = (count: number): LineView[] =>
  Array.from({ length: count }, (_, index) => ({ sign: "+", what: `add p${index}`, why: "listed" }));
const provider = (more: Partial<ProviderView> = {}): ProviderView => ({
  id: "lab",
  title: "lab",
  groups: [],
  held: [],
  unresolved: [],
  problems: [],
  notes: [],
  footer: "nothing to write",
  ...more,
});
const view = (...providers: ProviderView[]): DocumentView => ({
  title: "Plan plan-1",
  headline: "1 addition.",
  providers,
  closing: [],
});
/** The same text in every place where a name, a message or an error can stand. */
const everywhere = (text: string): DocumentView => ({
  title: text,
  headline: text,
  closing: [text],
  providers: [
    {
      id: text,
      title: text,
      error: text,
      groups: [{ group: text, lines: [{ sign: "+", what: text, why: text }] }],
      held: [{ guard: "adoption", group: text, message: text, lines: [{ sign: "-", what: text, why: text }] }],
      unresolved: [text],
      problems: [text],
      notes: [text],
      footer: text,
    },
  ],
});
/** The places above; the title stands in a text for terminals nowhere. */
const PLACES = 14;
const count = (text: string, part: string) => text.split(part).length - 1;
/** What no rendering may let through: control characters, line separators, marks that turn the reading direction. */
const INVISIBLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;
const anyText = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 0x2fff }), fc.integer({ min: 0x1f300, max: 0x1faff })))
  .map((points) => String.fromCodePoint(...points));
const renderings = { text: renderText, markdown: renderMarkdown, html: renderHtml };

describe.each(Object.entries(renderings))("%s", (_, render) => {
  it.each([
    ["colours", "\u001b[31mred\u001b[0m"],
    ["a title for the terminal", "\u001b]0;owned\u0007"],
    ["a cleared screen, in one character", "\u009b2J"],
    ["a carriage return", "safe\rgone"],
    ["line breaks", "one\ntwo\u2028three\u2029four"],
    ["backspaces", "remove\b\b\b\b\b\badd"],
    ["a text that runs backwards", "\u202egro.elpmaxe@ada"],
    ["isolates", "\u2066ada\u2069"],
    ["marks of direction", "ada\u200f\u200e\u061c"],
  ])("shows %s as a replacement character", (_name, text) => {
    const out = render(everywhere(text));
    expect(out.replaceAll("\n", "")).not.toMatch(INVISIBLE);
    expect(out).toContain("�");
    expect(count(out, "\n")).toBe(count(render(everywhere("plain")), "\n"));
  });

  it("lets names of all scripts through as they are", () => {
    for (const name of ["Zoë", "名前", "مريم", "नमस्ते", "👩‍🚀"])
      expect(count(render(everywhere(name)), name)).toBeGreaterThanOrEqual(PLACES - 1);
  });

  it("leaves nothing out", () => {
    expect(count(render(everywhere("needle")), "needle")).toBeGreaterThanOrEqual(PLACES - 1);
  });

  it("never lets a control character through, whatever is in a name", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(render(everywhere(text)).replaceAll("\n", "")).not.toMatch(INVISIBLE);
      }),
    );
  });

  it("is the same each time", () => {
    expect(render(everywhere("x"))).toBe(render(everywhere("x")));
  });
});

describe("html", () => {
  it.each([
    "<img src=x onerror=alert(1)>",
    "</title><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "</style><style>*{display:none}",
    "<!--",
    "&lt;script&gt;",
  ])("shows %j as text", (text) => {
    const out = renderHtml(everywhere(text));
    const plain = renderHtml(everywhere("plain"));
    // Numbers in a picture depend on how long a name is; its elements and their attributes do not.
    const tags = (html: string) => html.match(/<[^>]*>/g)?.map((tag) => tag.replace(/="[^"]*"/g, ""));
    expect(tags(out)).toEqual(tags(plain));
    expect(out).not.toContain(text);
  });

  it("turns back into the very name", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        const out = renderHtml({ ...view(), headline: text });
        const shown = /<strong>(.*)<\/strong>/s.exec(out)?.[1] ?? "";
        const marks: Record<string, string> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };
        expect(shown.replace(/&(?:amp|lt|gt|quot|#39);/g, (mark) => marks[mark] ?? mark)).toBe(text);
      }),
    );
  });

  it("runs its own script alone, by its hash, and loads nothing", () => {
    const out = renderHtml(everywhere("x"));
    expect(out.match(/<script[^>]*>/g)).toEqual(['<script type="application/json" id="data">', "<script>"]);
    const script = /<script>([^]*)<\/script>/.exec(out)?.[1] ?? "";
    const hash = createHash("sha256").update(script).digest("base64");
    expect(out).toContain(`default-src 'none'; script-src 'sha256-${hash}'; style-src 'sha256-`);
    expect(out).not.toMatch(/<link|<img|\bsrc=|\bhref=|url\(|\bstyle=|\bon\w+=|unsafe-inline/);
    expect(script).not.toMatch(/innerHTML|insertAdjacent|document\.write|\beval\b|fetch\(|XMLHttp|import\(/);
  });

  it("holds every line once, with who, where and why", () => {
    const out = renderHtml(everywhere("needle"));
    const data = JSON.parse(/id="data">([^<]*)</.exec(out)?.[1] ?? "") as PageData;
    expect(data).toEqual({
      texts: ["needle", "adoption: needle"],
      providers: ["needle"],
      lines: [
        ["+", "needle", 0, -1, 0, 0, -1],
        ["-", "needle", 0, -1, 0, 0, 1],
      ],
    });
  });

  it("draws what comes, goes and is held by group and provider, the largest first", () => {
    const many = Array.from({ length: 45 }, (_, index) => ({ group: `g${index}`, lines: lines(index + 1) }));
    const held = [{ guard: "adoption", group: "g44", message: "m", lines: lines(7) }] as const;
    const out = renderHtml(view(provider({ groups: many, held })));
    expect(out).toContain("<title>g44 at lab: 45 added, 7 held</title>");
    expect(out).toContain("the 40 groups with the most; 5 more below");
    expect(out.indexOf("g44 at lab")).toBeLessThan(out.indexOf("g43 at lab"));
    expect(out).not.toContain("g4 at lab");
    expect(renderHtml(view(provider()))).not.toContain("<svg");
  });

  it("shows the drift of past runs, also of one that did not end", () => {
    const run = { runId: "run-1", at: "2026-06-15T12:00:00Z", done: 3, held: 1, open: 2, ended: true };
    const out = renderHtml({ ...view(), history: [run, { ...run, runId: "run-2", ended: false }] });
    expect(out).toContain("<title>2026-06-15T12:00:00Z run-1: 3 done, 2 not done, 1 held</title>");
    expect(out).toContain("run-2 (did not come to its end)");
    expect(renderHtml(view())).not.toContain("Drift");
  });
});

describe("markdown", () => {
  it.each([
    ["emphasis", "*a* _b_ ~~c~~ **d**", "\\*a\\* \\_b\\_ \\~\\~c\\~\\~ \\*\\*d\\*\\*"],
    ["links and images", "![x](http://e.org)[y]", "\\!\\[x\\](http:\u200b//e.org)\\[y\\]"],
    ["code", "`rm -rf`", "\\`rm -rf\\`"],
    ["headings and tables", "# a | b", "\\# a \\| b"],
    ["markup", "<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"],
    ["entities", "&lt;", "&amp;lt;"],
    ["backslashes", "\\*a", "\\\\\\*a"],
    ["formulas", "$x$", "\\$x\\$"],
    ["mentions", "@everyone", "@\u200beveryone"],
    ["issues", "#1 o/r#2", "\\#\u200b1 o/r\\#\u200b2"],
    ["bare addresses", "https://e.org www.e.org", "https:\u200b//e.org www\u200b.e.org"],
  ])("shows %s as text", (_, text, escaped) => {
    expect(renderMarkdown({ ...view(), headline: text })).toContain(`\n${escaped}\n`);
  });

  it("folds lists of more than twelve lines, and only those", () => {
    expect(renderMarkdown(view(provider({ groups: [{ group: "g", lines: lines(12) }] })))).not.toContain("<details>");
    const out = renderMarkdown(view(provider({ groups: [{ group: "g", lines: lines(13) }] })));
    expect(out).toContain("<details><summary>13 changes</summary>");
    expect(count(out, "add p")).toBe(13);
    expect(out.indexOf("</details>")).toBeGreaterThan(out.indexOf("add p12"));
  });

  it("begins with a table where there are several providers", () => {
    const out = renderMarkdown(
      view(provider({ groups: [{ group: "g", lines: lines(3) }] }), provider({ id: "calls", error: "Down." })),
    );
    expect(out).toContain("| lab | 3 |  |  |  |  |  | nothing to write |\n| calls |  |  |  |  |  |  | **error** |\n");
  });

  const huge = (groups: number, each: number, text = "x"): DocumentView =>
    view(
      provider({
        groups: Array.from({ length: groups }, (_, index) => ({ group: `${text}${index}`, lines: lines(each) })),
        notes: Array.from({ length: groups }, () => text),
      }),
    );
  it.each([
    ["many lines in one group", huge(1, 100_000)],
    ["many groups", huge(20_000, 5)],
    ["both", huge(1000, 100)],
    ["endless names", huge(50, 3, "name ".repeat(5000))],
    ["names of many escapes", huge(300, 3, "<@&#1*_".repeat(300))],
    ["many providers", view(...Array.from({ length: 3000 }, (_, index) => provider({ id: `p${index}`, error: "x" })))],
    ["an endless headline", { ...view(), headline: "h".repeat(200_000), closing: Array<string>(5000).fill("c") }],
  ])("fits a comment with %s, and says what it left out", (_, document) => {
    const out = renderMarkdown(document);
    expect(out.length).toBeLessThanOrEqual(65_000);
    expect(out.split("<details>").length).toBe(out.split("</details>").length);
    expect(out).toMatch(/… and \d+ more|Not everything fits here|…/);
  });

  it("leaves out no more than it must", () => {
    const out = renderMarkdown(huge(20, 100));
    expect(count(out, "add p")).toBe(2000);
    expect(renderMarkdown(huge(40, 100))).toContain("… and 75 more");
  });

  it("names the guard and how each change is signed", () => {
    const held = [
      { guard: "adoption", group: "g", message: "Not ours.", lines: [{ sign: "-", what: "remove x", why: "r" }] },
    ] as const;
    expect(renderMarkdown(view(provider({ held })))).toContain(
      "**Held in g** by `adoption`: Not ours.\n\n- `-` remove x: r\n",
    );
  });
});

describe("text", () => {
  const long = view(
    provider({
      groups: [{ group: "g", lines: lines(13) }],
      held: [{ guard: "adoption", group: "g", message: "m", lines: lines(14) }],
    }),
  );

  it("shows twelve lines of a group and counts the rest, unless all are asked for", () => {
    const out = renderText(long);
    expect(count(out, "add p")).toBe(24);
    expect(out).toContain("    … and 1 more (-v shows all)\n");
    expect(out).toContain("    … and 2 more (-v shows all)\n");
    const all = renderText(long, { linesPerGroup: 0 });
    expect(count(all, "add p")).toBe(27);
    expect(all).not.toContain("more (-v");
    expect(renderText(view(provider({ groups: [{ group: "g", lines: lines(12) }] })))).not.toContain("more (-v");
  });

  it("says a reason once for lines that share it", () => {
    const mixed: LineView[] = [...lines(2), { sign: "-", what: "remove p9", why: "not listed" }, ...lines(1)];
    const out = renderText(view(provider({ groups: [{ group: "g", lines: mixed }] })));
    expect(out).toContain(
      "  g  +3 -1\n    + add p0  listed\n    + add p1\n    - remove p9  not listed\n    + add p0  listed\n",
    );
  });

  it("has colours only on request", () => {
    expect(renderText(everywhere("x"))).not.toContain("\u001b");
    expect(renderText(everywhere("x"), { colors: true })).toContain("\u001b[");
    expect(renderText(everywhere("\u001b[31m"), { colors: true })).not.toContain("\u001b[31m[31m");
  });

  it("wraps at the width, indented, losing no word and adding none", () => {
    const word = fc.stringMatching(/^[a-z(),.]{1,15}$/);
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 30, max: 120 }),
        (words, width) => {
          const out = renderText(everywhere(words.join(" ")), { width });
          for (const row of out.split("\n")) {
            expect(row.length).toBeLessThanOrEqual(width);
            expect(row).toBe(row.trimEnd());
          }
          const flat = (text: string) => text.replace(/\s+/g, " ");
          expect(flat(out)).toBe(flat(renderText(everywhere(words.join(" ")))));
        },
      ),
    );
  });

  it("does not wrap into columns too narrow to read, nor without a width", () => {
    const text = "a few words that are longer than twenty columns";
    expect(renderText({ ...view(), headline: text }, { width: 19 })).toContain(text);
    expect(renderText({ ...view(), headline: text })).toContain(text);
    expect(renderText({ ...view(), headline: text }, { width: 20 })).not.toContain(text);
  });

  it("keeps a word that is longer than the line whole", () => {
    const id = "x".repeat(60);
    expect(renderText({ ...view(), headline: `see ${id} there` }, { width: 40 })).toContain(`  ${id}\n`);
  });

  it("puts remarks, errors and the closing on lines of their own", () => {
    expect(renderText({ ...everywhere("x"), headline: "Head." })).toBe(
      [
        "Head.",
        "",
        "x",
        "  ! x",
        "  x  +1",
        "    + x  x",
        "  held in x by adoption: x",
        "    - x  x",
        "  unresolved: x",
        "  not planned: x",
        "  note: x",
        "  x",
        "x",
        "",
      ].join("\n"),
    );
  });
});
