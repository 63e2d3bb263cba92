/** Runs that want to write to the same accounts: one works, the others wait their turn; who has lost it sends nothing. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import type { Report } from "../../src/model.js";
import { createFolder, expectClear, json, quickSpec, type Ran, run, sampleEnvironment, startSandbox } from "./kit.js";

const library = new URL("../../dist/index.js", import.meta.url).href;

async function scene(latencyMs: number) {
  const sandbox = await startSandbox({ latencyMs });
  const folder = createFolder();
  onTestFinished(async () => {
    await sandbox.close();
    folder.remove();
  });
  const config = folder.write("group-sync.yaml", quickSpec(sandbox));
  const env = sampleEnvironment(sandbox);
  const cli = (...args: readonly string[]): Promise<Ran> => run([...args, "--config", config], { env });
  const writes = () => sandbox.log.filter(({ write }) => write).length;
  return { sandbox, folder, config, env, cli, writes };
}

it("of two that are started together one works, and one says that it is not its turn", async () => {
  const { cli } = await scene(150);
  const ends = await Promise.all([cli("apply", "--yes"), cli("apply", "--yes")]);
  const [first, second] = ends.toSorted((one, other) => (one.code ?? 0) - (other.code ?? 0));
  expect([first?.code, second?.code]).toEqual([0, 5]);
  if (second)
    expectClear(second, /^Another run is at work on .+; it has until 20\d\d-[-:.\dTZ]+\.\nWait until it is done\./);
  // Nothing is left to do.
  expect((await cli("plan")).code).toBe(0);
}, 120_000);

it("one that slept through its turn sends nothing when it wakes, and is told as it was", async () => {
  const { sandbox, folder, config, env, cli, writes } = await scene(100);
  const script = `
    import { createProviders, loadSpec, openState, reconcile } from ${JSON.stringify(library)};
    const spec = await loadSpec(${JSON.stringify(config)});
    const state = await openState({ file: ${JSON.stringify(folder.at(".group-sync/state.db"))} });
    const report = await reconcile({ spec, providers: createProviders(spec), state, leaseMs: 3000 });
    console.log(JSON.stringify(report));
    await state.close();
  `;
  const sleeper = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void sleeper.kill("SIGKILL"));
  let said = "";
  sleeper.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = once(sleeper, "close");
  while (writes() === 0 && sleeper.exitCode === null) await sleep(1);
  sleeper.kill("SIGSTOP");
  const written = writes();

  // As long as its lease runs nobody else may write; then somebody does.
  let other = await cli("apply", "--yes", "--json");
  while (other.code === 5) other = await cli("apply", "--yes", "--json");
  expect(other.code).toBe(0);
  expect((json(other) as Report).providers.flatMap(({ notes }) => notes).join()).toContain("did not come to its end");
  expect(sandbox.log.every(({ status }) => status !== 0)).toBe(true);
  const before = writes();
  expect(before).toBeGreaterThan(written);

  sleeper.kill("SIGCONT");
  await ended;
  expect(writes()).toBe(before);
  const report = JSON.parse(said) as Report;
  expect(report.status).toBe("partial");
  expect(report.stopped).toMatch(/lost its turn|no longer holds its lease/);
  const [made, left] = [
    report.providers.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status === "applied")),
    report.providers.flatMap(({ outcomes }) => outcomes.filter(({ status }) => status !== "applied")),
  ];
  expect(made.length).toBeGreaterThan(0);
  expect(left.length).toBeGreaterThan(0);
  expect((await cli("plan")).code).toBe(0);
  const history = await cli("history");
  expect(history.stdout).toContain(report.runId);
  expect(history.stdout).not.toContain("did not end");
}, 180_000);
