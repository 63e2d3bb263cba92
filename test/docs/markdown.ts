/** Reads documents: their blocks of code, links and headings. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** A fenced block of code. */
export interface Block {
  readonly page: string;
  readonly line: number;
  readonly language: string;
  /** The name after the language, such as `people.csv`. */
  readonly file: string | undefined;
  readonly code: string;
}

/** One document. */
export interface Page {
  /** Relative to the root. */
  readonly name: string;
  readonly text: string;
  readonly blocks: readonly Block[];
  /** Everything outside of blocks. */
  readonly prose: string;
  /** As other pages link to them. */
  readonly anchors: ReadonlySet<string>;
}

const ELSEWHERE = new Set([
  "node_modules",
  "dist",
  "coverage",
  "api",
  ".git",
  "fixtures",
  "group-sync-demo",
  ".group-sync",
]);

/** Every document of the repository. */
export function readPages(folder = ""): readonly Page[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ELSEWHERE.has(entry.name) ? [] : readPages(name);
    return entry.name.endsWith(".md") ? [readPage(name, readFileSync(join(root, name), "utf8"))] : [];
  });
}

/** A document from its text. */
export function readPage(name: string, text: string): Page {
  const fence = /^( *)```(\w*)(?: (\S+))?[^\n]*\n(.*?)\n\1```$/gms;
  const blocks = [...text.matchAll(fence)].map((match): Block => {
    const [, , language = "", file, code = ""] = match;
    return { page: name, line: text.slice(0, match.index).split("\n").length, language, file, code };
  });
  const prose = text.replace(fence, "");
  return { name, text, blocks, prose, anchors: anchorsOf(prose) };
}

/** Headings as hosts of repositories name them: small letters, blanks as hyphens, the rest of the punctuation gone. */
function anchorsOf(prose: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of prose.matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = plain.replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, "").replaceAll(" ", "-");
    let unique = anchor;
    for (let copy = 1; anchors.has(unique); copy++) unique = `${anchor}-${copy}`;
    anchors.add(unique);
  }
  return anchors;
}

/** Targets of links within the repository. */
export function linksOf({ prose }: Page): readonly string[] {
  const visible = prose.replace(/`[^`\n]*`/g, "``");
  return [...visible.matchAll(/\]\(([^()\s]+(?:\([^()]*\)[^()\s]*)?)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^(https?|mailto):/.test(target));
}
