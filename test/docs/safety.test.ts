/** docs/safety.md: every guard with the message it really gives, every complaint with tests that are really there. */
import { existsSync, readFileSync } from "node:fs";
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
      return !existsSync(url) || !readFileSync(url, "utf8").includes(title);
    });
    expect(wrong.map(([link]) => link)).toEqual([]);
  });
});
