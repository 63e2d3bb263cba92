/** What newcomers get wrong: one clear message, exit code 1, no stack trace. */
import { symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Sandbox } from "../../src/sandbox/index.js";
import {
  createFolder,
  expectClear,
  json,
  quickSpec,
  run,
  sampleEnvironment,
  type SampleFile,
  startSandbox,
} from "./kit.js";

const folder = createFolder();
let sandbox: Sandbox;
let env: Readonly<Record<string, string>>;

beforeAll(async () => {
  sandbox = await startSandbox();
  env = sampleEnvironment(sandbox);
  folder.write("group-sync.yaml", quickSpec(sandbox));
});
afterAll(async () => {
  await sandbox.close();
  folder.remove();
});

const here = (...args: string[]) => run(args, { cwd: folder.path, env });

/** Writes the sample's spec with one thing changed. */
function changed(name: string, change: (spec: SampleFile) => void): string {
  folder.write(name, quickSpec(sandbox, change));
  return name;
}

/** A spec of one provider, without the others' accounts. */
const oneProvider = (options: string, extra = "") =>
  `version: 1\nmode: additive\nproviders:\n  it: { ${options} }\npeople: { ada: { email: ada@example.org${extra} } }\ngroups: { g: { members: [ada] } }\n`;

function rename(map: Record<string, unknown> = {}, from: string, to: string): void {
  map[to] = map[from];
  delete map[from];
}

describe("the command line itself", () => {
  it.each([
    [["plna"], /^error: unknown command 'plna'\n\(Did you mean plan\?\)\n/],
    [
      ["plan", "--provder", "docs"],
      /^error: unknown option '--provder'\n\(Did you mean --provider\?\)\ngroup-sync plan --help/,
    ],
    [["-c", "x.yaml", "plan"], /^error: unknown option '-c'\nCommands come first, flags after them/],
    [["plan", "--format", "pdf"], /'pdf' is invalid\. Allowed choices are text, json, markdown, html\./],
    [["plan", "--provider"], /argument missing/],
    [["export"], /required option '--provider <id>'/],
    [["plan", "plan.json"], /too many arguments/],
  ])("%j", async (args, pattern) => {
    const ran = await here(...args);
    expect(ran.code).toBe(1);
    expectClear(ran, pattern);
  });

  it.each([
    [["plan", "--timeout", "5"], /^--timeout 5 is not a duration; write 90s, 15m or 2h\.$/m],
    [["plan", "--timeout", "0s"], /^--timeout 0s is not a duration/],
    [
      ["plan", "--provider", "doc"],
      /^The spec has no provider "doc"\. Did you mean "docs"\?\nIt has: faces, lab, docs, calls\.$/m,
    ],
    [["plan", "--group", "on-cal"], /^The spec has no group "on-cal"\. Did you mean "on-call"\?/],
    [
      ["plan", "--allow", "adoptoin"],
      /^--allow adoptoin: there is no such guard\. Did you mean "adoption"\?\nGuards that can be/,
    ],
    [["plan", "--allow", "adoption:on-cal"], /^The spec has no group "on-cal"/],
    [["plan", "--allow", "adoption:"], /^--allow adoption:: the group is missing after the colon\./],
    [["plan", "--allow", "incomplete-reading"], /^--allow incomplete-reading: this guard cannot be acknowledged\./],
    [["plan", "--out", "no/such/plan.json"], /^no\/such\/plan\.json cannot be written: there is no such folder\.\n$/],
    [["plan", "--out", "."], /^\. cannot be written: it is a folder\.\n$/],
    [["apply", "--yes", "--report", "no/such/report.json"], /^no\/such\/report\.json cannot be written/],
    [["sandbox", "--port", "http"], /^--port takes a whole number from 0 to 65535, not http\.\n$/],
    [["sandbox", "--port", "70000"], /^--port takes a whole number from 0 to 65535/],
    [["sandbox", "--latency", "1s"], /^--latency takes a whole number/],
    [["sandbox", "--fault", "rate-limit"], /^--fault rate-limit: this is not JSON\.\nSuch as: /],
    [["sandbox", "--fault", '{"kind":"fire"}'], /A fault needs a kind, one of rate-limit, /],
    [["sandbox", "--seed", "none.json"], /^none\.json cannot be read: there is no such file\.\n$/],
    [["sandbox", "--seed", "group-sync.yaml"], /^group-sync\.yaml: this is not JSON\.\nSuch as: /],
    [
      ["sandbox", "--port", "0", "--spec", "group-sync.yaml"],
      /^group-sync\.yaml cannot be written: it is there already; --force/,
    ],
  ])("%j", async (args, pattern) => {
    sandbox.log.clear();
    const ran = await here(...args);
    expect(ran.code).toBe(1);
    expectClear(ran, pattern);
    expect(sandbox.log).toHaveLength(0);
  });

  it("gives machines the same as one document", async () => {
    const [usage, flag] = await Promise.all([
      here("plan", "--json", "--format", "pdf"),
      here("plan", "--json", "--provider", "doc"),
    ]);
    expect(json(usage)).toMatchObject({
      kind: "error",
      formatVersion: 1,
      code: "options-invalid",
      message: expect.stringContaining("pdf"),
    });
    expect(json(flag)).toMatchObject({
      kind: "error",
      code: "options-invalid",
      message: expect.stringContaining('"doc"'),
      hint: expect.any(String),
    });
    expect([usage.code, flag.code]).toEqual([1, 1]);
  });

  it("says what is wrong in a seed", async () => {
    folder.write("typo.json", '{"people":[{"id":"ada","email":"a@b.c"}],"groups":[{"name":"G","membrs":["ada"]}]}');
    folder.write(
      "stranger.json",
      '{"people":[{"id":"ada","email":"a@b.c"}],"groups":[{"name":"G","members":["bob"]}]}',
    );
    const [typo, stranger] = await Promise.all([
      here("sandbox", "--port", "0", "--seed", "typo.json"),
      here("sandbox", "--port", "0", "--seed", "stranger.json"),
    ]);
    expectClear(typo, /groups\.0: .*membrs/);
    expectClear(stranger, /no person "bob", whom the group "G" names/);
    expect([typo.code, stranger.code]).toEqual([1, 1]);
  });
});

describe("the spec file", () => {
  it("is missing, a folder, a link in a circle, or empty", async () => {
    symlinkSync("circle.yaml", folder.at("circle.yaml"));
    folder.write("empty.yaml", "");
    const [missing, directory, circle, empty] = await Promise.all([
      here("plan", "-c", "gone.yaml"),
      here("plan", "-c", folder.path),
      here("plan", "-c", "circle.yaml"),
      here("plan", "-c", "empty.yaml"),
    ]);
    expectClear(
      missing,
      /^There is no spec gone\.yaml\.\nName yours with --config <file>, or write a starter with: group-sync init\n$/,
    );
    expectClear(directory, /it is a folder, not a file/);
    expectClear(circle, /circle\.yaml.*Cannot read the spec/);
    expectClear(empty, /The file is empty\. `group-sync init`/);
    for (const ran of [missing, directory, circle, empty]) expect(ran.code).toBe(1);
  });

  it("names variables that are not set: all of them at once, and nothing is sent", async () => {
    sandbox.log.clear();
    const ran = await run(["plan"], { cwd: folder.path, env: { ...env, NEUROIO_TOKEN: "", DOCSPACE_API_KEY: "" } });
    expect(ran.code).toBe(1);
    expectClear(ran, /NEUROIO_TOKEN/, 4);
    expect(ran.stderr).toContain("DOCSPACE_API_KEY");
    expect(ran.stderr).not.toContain("GENESYS_CLIENT_ID");
    expect(sandbox.log).toHaveLength(0);
  });

  it.each([
    [
      "a key that does not exist",
      ({ groups }: SampleFile) => rename(groups["on-call"], "members", "membrs"),
      /membrs.*Did you mean "members"\?/,
    ],
    [
      "an option that does not exist",
      ({ providers }: SampleFile) => rename(providers["docs"], "baseUrl", "basUrl"),
      /basUrl.*Did you mean "baseUrl"\?/,
    ],
    [
      "a service that does not exist",
      ({ providers }: SampleFile) => Object.assign(providers["calls"] ?? {}, { type: "genesis" }),
      /no service "genesis"|Did you mean "genesys"/,
    ],
    [
      "a person who is spelled wrong",
      ({ groups }: SampleFile) => Object.assign(groups["on-call"] ?? {}, { members: ["adda"] }),
      /"adda".*Did you mean "ada"\?/,
    ],
    [
      "a provider that is spelled wrong",
      ({ groups }: SampleFile) => Object.assign(groups["on-call"] ?? {}, { targets: ["dcos"] }),
      /"dcos".*Did you mean "docs"\?/,
    ],
    [
      "http to another machine",
      ({ providers }: SampleFile) => Object.assign(providers["docs"] ?? {}, { baseUrl: "http://docs.example.org" }),
      /https/,
    ],
    [
      "a mode that does not exist",
      (spec: SampleFile) => Object.assign(spec, { mode: "strict" }),
      /mode: .*authoritative/,
    ],
  ] as const)("has %s", async (what, change, pattern) => {
    const file = changed(`${what.replaceAll(" ", "-")}.yaml`, change);
    sandbox.log.clear();
    const ran = await here("plan", "-c", file);
    expect(ran.code).toBe(1);
    expectClear(ran, pattern, 6);
    expect(ran.stderr).toMatch(new RegExp(`^${file}:\\d+:\\d+: error: `));
    expect(sandbox.log).toHaveLength(0);
  });

  it("has groups that include each other in a circle", async () => {
    const file = changed("cycle.yaml", ({ groups }) => {
      Object.assign(groups["on-call"] ?? {}, { includes: ["reception"] });
      Object.assign(groups["reception"] ?? {}, { includes: ["on-call"] });
    });
    const ran = await here("validate", "-c", file);
    expect(ran.code).toBe(1);
    expectClear(ran, /on-call → reception → on-call|reception → on-call → reception/, 2);
  });

  it("does not pin a NeuroIO person: a warning, and at the plan a person who is not resolved", async () => {
    const file = changed("unpinned.yaml", ({ people }) => {
      people["ada"] = { email: "ada@example.org" };
    });
    const [validated, planned] = await Promise.all([
      here("validate", "-c", file),
      here("plan", "-c", file, "--provider", "faces", "--group", "on-call"),
    ]);
    expect(validated.code).toBe(0);
    expect(validated.stderr).toMatch(/warning: .*NeuroIO.*cannot look people up by e-mail.*ada/);
    expect(planned.code).toBe(3);
    expect(planned.stdout).toMatch(/unresolved: ada: /);
  });
});

describe("the services", () => {
  const wrong = {
    NEUROIO_TOKEN: "wrong-token-1",
    BRAINSTEM_TOKEN: "wrong-token-2",
    DOCSPACE_API_KEY: `sk-${"1".repeat(64)}`,
    GENESYS_CLIENT_SECRET: "wrong-secret-4",
  };

  it("refuse wrong credentials: each says so once, with what to do, and the plan is an error", async () => {
    const [plan, check] = await Promise.all(
      ["plan", "check"].map((command) => run([command], { cwd: folder.path, env: { ...env, ...wrong } })),
    );
    expect([plan?.code, check?.code]).toEqual([1, 1]);
    for (const id of ["faces", "lab", "docs", "calls"]) {
      expect(plan?.stdout.match(new RegExp(`${id} answered 40[01] .*Check `, "g"))).toHaveLength(1);
      expect(check?.stdout.match(new RegExp(`${id} answered 40[01] .*Check `, "g"))).toHaveLength(1);
    }
    expect(`${plan?.stderr}${check?.stderr}`).toBe("");
    expect(plan?.stdout).not.toContain("nothing to write");
  });

  it("are not there: a port where nobody listens, a name that nobody knows", async () => {
    const probe = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => probe.once("listening", resolve));
    const { port } = probe.address() as { port: number };
    await new Promise((resolve) => probe.close(resolve));
    const quick = "retryDelayMs: 1, maxAttempts: 2";
    folder.write(
      "closed.yaml",
      oneProvider(`type: brainstem, baseUrl: "http://127.0.0.1:${port}", token: "\${BRAINSTEM_TOKEN}", ${quick}`),
    );
    folder.write(
      "nowhere.yaml",
      oneProvider(`type: brainstem, baseUrl: "https://no-such-host.invalid", token: "\${BRAINSTEM_TOKEN}", ${quick}`),
    );
    const [closed, nowhere] = await Promise.all([
      here("plan", "-c", "closed.yaml"),
      here("plan", "-c", "nowhere.yaml"),
    ]);
    expect([closed.code, nowhere.code]).toEqual([1, 1]);
    expect(closed.stdout).toMatch(/^ {2}! it .*(ECONNREFUSED|refused)/m);
    expect(nowhere.stdout).toMatch(/^ {2}! it .*(ENOTFOUND|EAI_AGAIN|not found|unknown)/m);
    for (const { stdout, stderr } of [closed, nowhere]) {
      expect(stdout).not.toMatch(/\n\s+at /);
      expect(stderr).toBe("");
    }
  });
});
