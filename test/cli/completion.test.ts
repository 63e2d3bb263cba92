/** Scripts for shells: the one for bash is played, those for zsh and fish are held against the commands and flags. */
import { beforeAll, describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/program.js";
import { run, runShell } from "./kit.js";

const { commands } = createProgram(() => {});
const scripts: Record<string, string> = {};

beforeAll(async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout, stderr } = await run(["completion", shell]);
    if (code !== 0 || stderr !== "") throw new Error(`No script for ${shell}: ${stderr}`);
    scripts[shell] = stdout;
  }
});

/** What bash offers for the last of some words. */
async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const quoted = words.map((word) => `"${word}"`).join(" ");
  const { code, stdout, stderr } = await runShell(
    `${scripts["bash"]}\nCOMP_WORDS=(group-sync ${quoted}); COMP_CWORD=${words.length}; _group_sync; echo "\${COMPREPLY[@]}"`,
  );
  expect([code, stderr]).toEqual([0, ""]);
  return stdout.trim() === "" ? [] : stdout.trim().split(" ");
}

describe("completion in bash", () => {
  it("offers commands first, all of them, and by their beginning", async () => {
    expect(await offered("")).toEqual([...commands.map((command) => command.name()), "help", "--help", "--version"]);
    expect(await offered("val")).toEqual(["validate"]);
  });

  it("offers the flags of the command at hand", async () => {
    expect(await offered("plan", "--form")).toEqual(["--format"]);
    expect(await offered("validate", "--form")).toEqual([]);
    const own = commands.find((command) => command.name() === "apply")?.options.map(({ long }) => long) ?? [];
    expect(await offered("apply", "--")).toEqual(expect.arrayContaining(own));
  });

  it("offers the words that a flag or a command takes", async () => {
    expect(await offered("plan", "--format", "m")).toEqual(["markdown"]);
    expect(await offered("init", "--mode", "")).toEqual(["authoritative", "additive", "owned"]);
    expect(await offered("completion", "")).toEqual(["bash", "zsh", "fish"]);
    expect(await offered("plan", "--allow", "last")).toEqual(["last-owner"]);
    // It can't be acknowledged.
    expect(await offered("plan", "--allow", "incomplete")).toEqual([]);
  });

  it("leaves files to the shell", async () => {
    expect(await offered("apply", "pla")).toEqual([]);
    expect(await offered("plan", "--config", "init")).toEqual([]);
  });
});

describe.each(["zsh", "fish"])("completion in %s", (shell) => {
  it("knows every command with its flags", () => {
    for (const command of commands) {
      const lines = (scripts[shell] ?? "")
        .split("\n")
        .filter((line) => line.includes(`from ${command.name()}'`) || line.startsWith(`    ${command.name()}) `))
        .join("\n");
      for (const { long = "" } of command.options) {
        expect(lines).toContain(shell === "zsh" ? `'*${long}[` : `-l ${long.slice(2)} `);
      }
    }
  });
});

describe("completion", () => {
  it("refuses a shell that it does not know", async () => {
    const { code, stdout, stderr } = await run(["completion", "tcsh"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("Allowed choices are bash, zsh, fish");
  });
});
