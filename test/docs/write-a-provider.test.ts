/** Holds the guide for writers of providers to the code that it shows. */
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { parseSpec } from "../../src/index.js";
import { compile } from "./compile.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const guide = "docs/guides/write-a-provider.md";
const text = readFileSync(join(root, guide), "utf8");

interface Block {
  readonly language: string;
  /** The file that the block says it is from. */
  readonly file: string | undefined;
  readonly code: string;
  readonly line: number;
}

const blocks: readonly Block[] = [...text.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)\n```$/gms)].map((match) => ({
  language: match[1] ?? "",
  file: match[2],
  code: match[3] ?? "",
  line: text.slice(0, match.index).split("\n").length,
}));
const quoted = blocks.flatMap((block) => (block.file === undefined ? [] : [{ ...block, file: block.file }]));
const standalone = blocks.filter(({ language, file }) => language === "ts" && file === undefined);

/** Without the indentation that all lines share, so that code within a function may stand at the margin. */
function dedent(lines: readonly string[]): string {
  const depths = lines.filter((line) => line.trim() !== "").map((line) => line.search(/\S/));
  return lines.map((line) => line.slice(Math.min(...depths))).join("\n");
}

/** The number of the line after the piece, looked for from a line on; undefined when it is not there. */
function findEnd(source: readonly string[], piece: readonly string[], from: number): number | undefined {
  const wanted = dedent(piece);
  for (let at = from; at + piece.length <= source.length; at++) {
    if (dedent(source.slice(at, at + piece.length)) === wanted) return at + piece.length;
  }
  return undefined;
}

/** The pieces between the lines `// …`. */
function piecesOf(code: string): readonly (readonly string[])[] {
  return code.split(/^ *\/\/ …\n/m).map((piece) => piece.replace(/\n$/, "").split("\n"));
}

/** What TypeScript says about a block that stands by itself. */
const compileBlock = (code: string) => compile({ "test/docs/guide-block.ts": code });

describe("the guide for writing a provider", () => {
  it("shows code, and every block of TypeScript says where it is from or stands by itself", () => {
    expect(quoted.length).toBeGreaterThanOrEqual(20);
    expect(standalone.length).toBeGreaterThanOrEqual(2);
    expect(text.match(/^```/gm)).toHaveLength(2 * blocks.length);
  });

  it.each(quoted)("shows in line $line what stands in $file, in its order", ({ file, code }) => {
    const source = readFileSync(join(root, file), "utf8").split("\n");
    let from = 0;
    for (const piece of piecesOf(code)) {
      const end = findEnd(source, piece, from);
      expect(end ?? -1, `in ${file} after line ${from}:\n${piece.join("\n")}`).toBeGreaterThan(from);
      from = end ?? from;
    }
  });

  it.each(standalone)("shows in line $line code that compiles", { timeout: 120_000 }, ({ code }) => {
    expect(compileBlock(code)).toEqual([]);
  });

  it("would notice code that does not compile, and code that is not there", () => {
    expect(compileBlock('import { nothing } from "group-sync";\nnothing();\n')).not.toEqual([]);
    expect(findEnd(["  const one = 1;", "  const two = 2;"], ["const two = 2;"], 0)).toBe(2);
    expect(findEnd(["const one = 1;"], ["const one = 2;"], 0)).toBeUndefined();
  });

  it("shows specs that are right", async () => {
    const specs = blocks.filter(({ language }) => language === "yaml");
    expect(specs.length).toBeGreaterThanOrEqual(1);
    for (const { code } of specs) {
      const spec = await parseSpec(code, { env: { DIRECTORY_TOKEN: "a-token" } });
      expect(spec.providers).toMatchObject([{ id: "directory", type: "scim" }]);
    }
  });

  it("links to files that are there", () => {
    const links = [...text.matchAll(/\]\((?!https:)([^)]+)\)/g)].map(([, link = ""]) => link);
    expect(links.length).toBeGreaterThanOrEqual(5);
    expect(links.filter((link) => !existsAt(link))).toEqual([]);
  });
});

function existsAt(link: string): boolean {
  const path = resolve(root, dirname(guide), link);
  return ts.sys.fileExists(path) || ts.sys.directoryExists(path);
}
