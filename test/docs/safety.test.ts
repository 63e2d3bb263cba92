/** docs/safety.md: every guard with the message it really gives, every complaint with tests that are really there. */
import { existsSync, readFileSync } from "node:fs";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { GUARDS } from "../../src/model.js";
import { compare } from "../unit/reconcile/builders.js";
import { scenes } from "../unit/reconcile/guard-scenes.js";

const root = new URL("../../", import.meta.url);
const text = readFileSync(new URL("docs/safety.md", root), "utf8");

describe("docs/safety.md", () => {
  it.each(GUARDS)("gives the message of %s as it is", (guard) => {
    const row = text.split("\n").find((line) => line.startsWith(`| \`${guard}\` |`));
    expect(row).toContain(`“${compare(scenes[guard]).held[0]?.reason}”`);
  });

  it("has a row for each complaint, and each row a test", () => {
    const rows = text.split("\n").flatMap((line) => /^\| (\d+) \|.*\| ([^|]*) \|$/.exec(line)?.slice(1) ?? []);
    const numbers = rows.filter((_, index) => index % 2 === 0);
    const shown = rows.filter((_, index) => index % 2 === 1);
    expect(numbers).toEqual(Array.from({ length: 25 }, (_, index) => `${index + 1}`));
    expect(shown.filter((cell) => !cell.includes("](../"))).toEqual([]);
  });

  it("names tests by titles that they have", () => {
    const links = [...text.matchAll(/\[“([^”]+)”\]\(\.\.\/([^)]+)\)/g)];
    expect(links.length).toBeGreaterThan(25);
    const wrong = links.filter(([, title = "", file = ""]) => {
      const url = new URL(file, root);
      return !existsSync(url) || !titlesIn(url).some((known) => known === title || startOf(known) === title);
    });
    expect(wrong.map(([link]) => link)).toEqual([]);
  });

  it("knows a title from words that stand elsewhere in a file", () => {
    const titles = titlesIn(new URL("test/docs/safety.test.ts", root));
    expect(titles).toContain("docs/safety.md");
    expect(titles.map(startOf)).toContain("gives the message of");
    expect(titles).not.toContain("TypeScript");
  });
});

/** The titles of all tests and of what holds them, also of those that have one for each row. */
function titlesIn(url: URL): readonly string[] {
  const titles: string[] = [];
  const look = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ["it", "test", "describe"].includes(rootOf(node.expression))) {
      const [title] = node.arguments;
      if (title && ts.isStringLiteralLike(title)) titles.push(title.text);
      if (title && ts.isTemplateExpression(title)) titles.push(`${title.head.text}\${`);
    }
    ts.forEachChild(node, look);
  };
  look(ts.createSourceFile(url.pathname, readFileSync(url, "utf8"), ts.ScriptTarget.Latest));
  return titles;
}

/** `it` of `it.concurrent.each(rows)`. */
function rootOf(node: ts.Expression): string {
  if (ts.isIdentifier(node)) return node.text;
  if (ts.isTaggedTemplateExpression(node)) return rootOf(node.tag);
  return ts.isPropertyAccessExpression(node) || ts.isCallExpression(node) ? rootOf(node.expression) : "";
}

/** What stands before the first place of a title that differs from row to row. */
function startOf(title: string): string {
  return (title.split(/%[a-z]|\$/)[0] ?? "").trimEnd();
}
