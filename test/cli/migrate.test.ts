/** `migrate` and `export --active` as users run them. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Sandbox } from "../../src/sandbox/index.js";
import { createFolder, expectClear, json, quickSpec, run, sampleEnvironment, startSandbox } from "./kit.js";

const folder = createFolder();
let sandbox: Sandbox;
let env: Readonly<Record<string, string>>;

beforeAll(async () => {
  sandbox = await startSandbox();
  env = sampleEnvironment(sandbox);
  folder.write("group-sync.yaml", quickSpec(sandbox));
  // Without the pins of the sample, NeuroIO's people are unknown.
  folder.write(
    "unpinned.yaml",
    quickSpec(sandbox, (spec) => {
      for (const person of Object.values(spec.people)) delete person["accounts"];
      spec.groups = {};
    }),
  );
});
afterAll(async () => {
  await sandbox.close();
  folder.remove();
});

const here = (...args: string[]) => run(args, { cwd: folder.path, env });
const writes = () => sandbox.log.filter(({ write }) => write).length;

it("shows what gets lost and what would change, and writes nothing", async () => {
  const before = writes();
  const { code, stdout } = await here("migrate", "--from", "docs", "--to", "calls", "--dry-run");
  // 3: Niklaus is in a group, and his account there is switched off.
  expect([code, writes() - before]).toEqual([3, 0]);
  expect(stdout).toMatch(/^From docs to calls: \d+ people: .*found by e-mail/);
  expect(stdout).toContain("  All employees: is kept by a directory, so it is left out\n");
  expect(stdout).toContain("Roles that are lost");
  expect(stdout).toMatch(/create the group "Chess club"/);
});

it("asks for --yes where there is nobody to ask, before anything is read", async () => {
  const before = sandbox.log.length;
  const ran = await here("migrate", "--from", "docs", "--to", "calls");
  expectClear(ran, /There is no terminal to ask on\.\n.*--dry-run/);
  expect([ran.code, sandbox.log.length - before]).toEqual([1, 0]);
});

it("goes by a worksheet that is written, filled in and read back", async () => {
  const move = (...args: string[]) =>
    here("migrate", "--from", "docs", "--to", "faces", "-c", "unpinned.yaml", ...args);
  const asked = await move("--worksheet", "people.csv", "--group", "Chess club");
  expect(asked).toMatchObject({ code: 0, stdout: "3 people: 3 not found; 3 undecided.\n" });
  expect(asked.stderr).toContain("--map people.csv");
  const again = await move("--worksheet", "people.csv");
  expect(again.code).toBe(1);
  expect(again.stderr).toContain("--force");

  const accountOf = (person: string) => sandbox.services.neuroio.control.accountOf(person) ?? "";
  const filled = folder
    .read("people.csv")
    .split("\r\n")
    .map((line) => {
      const cells = line.split(",");
      const person = cells[2]?.split("@")[0] ?? "";
      if (person === "tony") return [...cells.slice(0, -1), "leave"].join(",");
      return person && person !== "email"
        ? [...cells.slice(0, 5), accountOf(person), ...cells.slice(6, -1), "take"].join(",")
        : line;
    });
  folder.write("people.csv", filled.join("\n"));
  const done = await move("--map", "people.csv", "--group", "Chess club", "--yes", "--json", "--report", "report.json");
  expect(done.code).toBe(0);
  const report = json(done);
  expect(report).toMatchObject({ kind: "report", status: "converged", from: "docs", to: "faces", undecided: [] });
  expect(JSON.parse(readFileSync(folder.at("report.json"), "utf8"))).toEqual(report);
  const club = sandbox.services.neuroio.control.groups().find(({ name }) => name === "Chess club");
  expect(club?.members.map(({ account }) => account).toSorted()).toEqual(
    [accountOf("alan"), accountOf("donald")].toSorted(),
  );
});

it("tells a mistake in the worksheet with its place", async () => {
  folder.write("wrong.csv", "docs account,calls account,decision\nx,,take\n");
  const ran = await here("migrate", "--from", "docs", "--to", "calls", "--map", "wrong.csv", "--yes");
  expectClear(ran, /^wrong\.csv:2:3: error: To be taken, but which account\?/);
  expect(ran.code).toBe(1);
});

it.each([
  [["--from", "nowhere", "--to", "calls"], /The spec has no provider "nowhere"/],
  [["--from", "docs", "--to", "docs"], /docs cannot be moved to itself/],
  [["--from", "docs", "--to", "calls", "--role", "boss=owner"], /--role boss=owner: write two roles/],
  [["--from", "docs", "--to", "calls", "--group", "No such"], /docs has no group "No such"/],
])("refuses %j", async (args, message) => {
  const ran = await here("migrate", ...args, "--dry-run");
  expectClear(ran, message);
  expect(ran.code).toBe(1);
});

it("exports active people only, and says that a plan would take the others out", async () => {
  const args = ["export", "--provider", "docs", "--group", "Platform team"];
  const [all, active] = await Promise.all([here(...args), here(...args, "--active")]);
  expect(all.stdout).toContain("niklaus");
  expect(active.stdout).not.toContain("niklaus:");
  expect(active.stdout).toContain("1 person without an active account is left out");
  expect(active.stdout).toMatch(/^x-exported:\n {2}provider: docs/m);
});
