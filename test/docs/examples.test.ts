/** Plays the programs of `examples` as they are, with the package as it is built. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./markdown.js";

if (!existsSync(join(root, "dist/index.js"))) throw new Error("The package is not built: npm run build first.");

function play(name: string) {
  const env = { PATH: process.env["PATH"] ?? "", NO_COLOR: "1" };
  // From another folder: nothing may depend on where it is started, and nothing may be left there.
  return spawnSync(process.execPath, [join(root, "examples", name)], { cwd: tmpdir(), env, encoding: "utf8" });
}

/** What each program has to say, in this order. */
const said: Readonly<Record<string, readonly RegExp[]>> = {
  "sync.mjs": [/^4 groups to create, 8 additions\.$/m, /^Converged: 12 applied\.$/m, /^And now: in-sync$/m],
  "scheduled.mjs": [
    /^turn 1: converged, 41 applied, 0 of them drift$/m,
    /^turn 2: converged, 1 applied, 1 of them drift$/m,
    /^turn 3: converged, 0 applied, 0 of them drift$/m,
  ],
  "migrate.mjs": [/^\d+ people, 0 of them not found for certain$/m, /invited and yet to answer/, /^Converged: /m],
};

describe("examples", () => {
  it.each(Object.entries(said))("%s does what it says", (name, patterns) => {
    const { status, stdout, stderr } = play(name);
    expect([status, stderr]).toEqual([0, ""]);
    let from = 0;
    for (const pattern of patterns) {
      const found = stdout.slice(from).search(pattern);
      expect(found, `${String(pattern)} in:\n${stdout}`).toBeGreaterThanOrEqual(0);
      from += found;
    }
  });

  it("are all played", () => {
    const programs = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".mjs"));
    expect(new Set(programs)).toEqual(new Set(Object.keys(said)));
  });
});
