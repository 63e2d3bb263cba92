/** A sample of the crash runner in CI: runs are killed, started again, and everything is as if nobody had been. */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { playCrash } from "./play.js";
import { createScene } from "./scene.js";

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

// Scenes in which two runs are killed between their first and their last write.
it.each([18, 40])(
  "runs of scene %i that are killed lose nothing, do nothing twice, and are told as they were",
  async (seed) => {
    const { attempts, midway, violations } = await playCrash(seed, { cli });
    expect(violations).toEqual([]);
    expect(attempts.map(({ killed }) => killed)).toContain(true);
    // A sample in which nothing is cut short would prove nothing.
    expect(midway).toBeGreaterThan(0);
  },
  240_000,
);

it("a scene is the same for the same number", () => {
  expect(createScene(7)).toEqual(createScene(7));
});
