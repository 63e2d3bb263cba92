/**
 * Holds the documents to the program: links lead somewhere, commands and flags exist, examples are right, and what is
 * made of the program is up to date.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { parse, parseDocument } from "yaml";
import { renderReference } from "../../scripts/docs.mjs";
import { createProgram } from "../../src/cli/program.js";
import { parseSpec } from "../../src/index.js";
import { GUARDS } from "../../src/model.js";
import { builtinProviderTypes } from "../../src/providers/builtin.js";
import { renderJsonSchema } from "../../src/spec/index.js";
import { compile } from "./compile.js";
import { type Block, linksOf, type Page, readPage, readPages, root } from "./markdown.js";

const pages = readPages();
const byName = new Map(pages.map((page) => [page.name, page]));
const blocks = pages.flatMap((page) => page.blocks);
const read = (name: string) => readFileSync(join(root, name), "utf8");
const program = createProgram(() => {});

/** Links of a page that lead nowhere. */
function brokenLinks(page: Page): readonly string[] {
  return linksOf(page).filter((link) => {
    const [file = "", anchor] = link.split("#");
    const target = normalize(join(dirname(page.name), decodeURIComponent(file)));
    const linked = file === "" ? page : byName.get(target);
    if (!linked && !existsSync(join(root, target))) return true;
    return anchor !== undefined && linked?.anchors.has(anchor) !== true;
  });
}

describe("links", () => {
  it.each(pages.map((page) => [page.name, page] as const))("of %s lead somewhere", (_name, page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  it("that lead nowhere are noticed, and what only looks like one is not", () => {
    const page = readPage(
      "docs/x.md",
      "# A `b` c?\n[1](#a-b-c) [2](#d) [3](no.md) [4](spec.md#no) `[5](no)`\n```ts\n[6](no)\n```\n",
    );
    expect(brokenLinks(page)).toEqual(["#d", "no.md", "spec.md#no"]);
  });

  it("reach every document from the README", () => {
    const reached = new Set(["README.md"]);
    for (const name of reached) {
      for (const link of linksOf(byName.get(name) ?? readPage(name, ""))) {
        const target = normalize(join(dirname(name), link.split("#")[0] ?? ""));
        const page = target.endsWith(".md") ? target : join(target, "README.md");
        if (byName.has(page)) reached.add(page);
      }
    }
    const unreached = pages.map(({ name }) => name).filter((name) => !reached.has(name));
    expect(unreached.filter((name) => /^[^/]+$|^docs\/|^examples\//.test(name))).toEqual([]);
  });
});

/** A line of shell as words; what a shell would do with the rest of the line is none of ours. */
function wordsOf(line: string): readonly string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/'([^']*)'|"((?:\\.|[^"])*)"|(&&|\|\||[|;>]|#.*$)|([^\s'"|;>]+)/g)) {
    const [, single, double, end, plain] = match;
    if (end !== undefined) break;
    words.push(single ?? double ?? plain ?? "");
  }
  return words;
}

/** What is wrong with a command line that begins with `group-sync`. */
function findMistake(line: string): string | undefined {
  const [, name, ...rest] = wordsOf(line);
  if (name === undefined || /^[<…]/.test(name) || ["--version", "--help"].includes(name)) return undefined;
  const command = program.commands.find((known) => known.name() === name);
  if (!command) return `there is no command ${name}: ${line}`;
  const known = ["--help", "-h", ...command.options.flatMap(({ long, short }) => [long, short])];
  const unknown = rest.filter((word) => /^--?[a-z]/.test(word)).find((flag) => !known.includes(flag.split("=")[0]));
  return unknown === undefined ? undefined : `${name} has no ${unknown}: ${line}`;
}

/** Command lines in shells, pipelines and prose. */
function commandLines({ blocks: all, prose }: Page): readonly string[] {
  const code = all
    .filter(({ language }) => ["sh", "bash", "console", "yaml"].includes(language))
    .map((block) => block.code);
  const spans = [...prose.matchAll(/`(group-sync [^`\n]+)`/g)].map(([, span = ""]) => span);
  const inCode = code.flatMap((text) => [...text.matchAll(/(?:^|[\s;&(])(group-sync [a-z-][^\n]*)/gm)]);
  return [...inCode.map(([, line = ""]) => line), ...spans];
}

describe("commands in documents", () => {
  const lines = pages.flatMap((page) => commandLines(page).map((line) => [page.name, line] as const));

  it("exist, with their flags", () => {
    const mistakes = lines.flatMap(([page, line]) => {
      const mistake = findMistake(line);
      return mistake === undefined ? [] : [`${page}: ${mistake}`];
    });
    expect(mistakes).toEqual([]);
    expect(lines.length).toBeGreaterThan(60);
  });

  it("are noticed when they do not", () => {
    expect(findMistake("group-sync paln --json")).toMatch("no command paln");
    expect(findMistake("group-sync plan --allow 'x:y' --bogus")).toMatch("plan has no --bogus");
    expect(findMistake("group-sync plan -c x.yaml --no-removals > --bogus.md # --bogus")).toBeUndefined();
    const text =
      "```sh\nA=b group-sync one\nx && group-sync two\n```\n`group-sync three --x`\n```yaml\n- group-sync four\n```\n";
    expect(commandLines(readPage("x.md", text)).map((line) => wordsOf(line)[1])).toEqual([
      "one",
      "two",
      "four",
      "three",
    ]);
  });

  it("leave none out: each has a place outside the reference", () => {
    const told = new Set(lines.map(([, line]) => wordsOf(line)[1]));
    const readme = [...read("README.md").matchAll(/`([a-z]+)`/g)].map(([, word]) => word);
    expect(
      program.commands.map((command) => command.name()).filter((name) => !told.has(name) && !readme.includes(name)),
    ).toEqual([]);
  });
});

/** A whole spec, as opposed to a piece of one or another file. */
const isSpec = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "version" in value && "providers" in value && "groups" in value;

/** Any variable that a spec asks for. */
const anyEnvironment: Readonly<Record<string, string>> = new Proxy<Record<string, string>>(
  {},
  {
    get: (_, name) => `sk-${String(name).toLowerCase()}`,
    has: () => true,
    getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: "x" }),
  },
);

describe("data in documents", () => {
  const data = blocks.filter(({ language }) => language === "json" || language === "yaml");
  const places = data.map((block) => [`${block.page}:${block.line}`, block] as const);

  it.each(places)("at %s is well-formed, and right where it is a whole spec", async (_place, block) => {
    const document = parseDocument(block.code);
    expect(document.errors).toEqual([]);
    if (block.language === "json") expect(() => JSON.parse(block.code) as unknown).not.toThrow();
    if (!isSpec(document.toJS())) return;
    const { warnings } = await parseSpec(block.code, { env: anyEnvironment, readFile: tableOf(block) });
    expect(warnings.map(({ line, message }) => `${line}: ${message}`)).toEqual([]);
  });

  it("shows whole specs", () => {
    expect(data.filter(({ code }) => isSpec(parse(code))).map(({ page }) => page)).toEqual(
      expect.arrayContaining(["README.md", "docs/spec.md"]),
    );
  });
});

/** Tables that a spec names stand beside it on the same page. */
function tableOf({ page }: Block) {
  return (file: string): Promise<string> => {
    const table = byName.get(page)?.blocks.find((block) => block.file === file);
    return table ? Promise.resolve(table.code) : Promise.reject(new Error(`${page} does not show ${file}.`));
  };
}

describe("programs", () => {
  it("in documents compile", { timeout: 120_000 }, () => {
    const standalone = blocks.filter(({ language, file }) => language === "ts" && file === undefined);
    const files = standalone.map(({ page, line, code }) => [`test/docs/${page.replace(/\W/g, "-")}-${line}.ts`, code]);
    expect(files.length).toBeGreaterThan(8);
    expect(compile(Object.fromEntries(files) as Record<string, string>)).toEqual([]);
  });

  it("in examples compile", { timeout: 120_000 }, () => {
    const names = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".mjs"));
    expect(names.length).toBeGreaterThan(2);
    expect(compile(Object.fromEntries(names.map((name) => [`examples/${name}`, read(`examples/${name}`)])))).toEqual(
      [],
    );
    expect(compile({ "examples/wrong.mjs": 'import { nothing } from "group-sync";\n' })).not.toEqual([]);
  });
});

describe("what is made of the program", () => {
  it.each(["commands.md", "spec.md"])("is up to date in docs/%s; npm run docs makes it anew", async (name) => {
    const made = await renderReference(
      createProgram(() => {}),
      renderJsonSchema(builtinProviderTypes),
    );
    expect(read(`docs/${name}`)).toBe(made[name]);
  });
});

describe("troubleshooting", () => {
  const page = byName.get("docs/guides/troubleshooting.md") ?? readPage("", "");

  it("explains every error code, and none that there is not", () => {
    const [, union = ""] = /export type ErrorCode =(.*?);\n\n/s.exec(read("src/errors.ts")) ?? [];
    const codes = [...union.matchAll(/\| "([a-z-]+)"/g)].map(([, code]) => code);
    const [, section = ""] = /^## Error codes$(.*?)^## /ms.exec(page.text) ?? [];
    const headings = [...section.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading);
    expect(codes.length).toBeGreaterThan(15);
    expect(new Set(headings)).toEqual(new Set(codes));
  });

  it("explains every exit code", () => {
    const codes = [...page.text.matchAll(/^\| (\d) \|/gm)].map(([, code]) => code);
    expect(codes).toEqual(["0", "1", "2", "3", "4", "5", "6"]);
  });

  it("names guards that exist", () => {
    const [, section = ""] = /^## Something is held$(.*?)^## /ms.exec(page.text) ?? [];
    const named = [...section.matchAll(/^\| (`.+?`) \|/gm)].flatMap(([, cell = ""]) => cell.match(/[a-z-]+/g) ?? []);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !GUARDS.some((guard) => guard === name))).toEqual([]);
  });
});

describe("the GitHub Action", () => {
  interface Action {
    readonly inputs: Readonly<Record<string, object>>;
    readonly runs: {
      readonly steps: readonly { readonly run: string; readonly env: Readonly<Record<string, string>> }[];
    };
  }
  const action = parse(read("action.yml")) as Action;
  const [step] = action.runs.steps;

  it("takes its inputs by the environment alone, all of them, and its guide lists them", () => {
    expect(JSON.stringify(step?.run)).not.toContain("${{");
    const passed = Object.values(step?.env ?? {}).flatMap((value) => /inputs\.([a-z-]+)/.exec(value)?.[1] ?? []);
    expect(new Set(passed)).toEqual(new Set(Object.keys(action.inputs)));
    const listed = [...(byName.get("docs/guides/ci.md")?.text ?? "").matchAll(/^\| `([a-z-]+)` \|/gm)].map(
      ([, name]) => name,
    );
    expect(new Set(listed)).toEqual(new Set(passed));
  });

  it("begins a script that is there and can be run", () => {
    const script = /\$GITHUB_ACTION_PATH\/(\S+?)"/.exec(step?.run ?? "")?.[1] ?? "";
    expect(statSync(join(root, script)).mode & 0o100).toBe(0o100);
  });

  it("and the workflows are well-formed, with rights that are said", () => {
    for (const name of readdirSync(join(root, ".github/workflows"))) {
      const document = parseDocument(read(`.github/workflows/${name}`));
      expect(document.errors).toEqual([]);
      expect(document.toJS()).toMatchObject({ permissions: { contents: "read" }, jobs: expect.any(Object) });
    }
  });
});
