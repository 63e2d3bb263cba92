/** Each command with its flags, its machine output and its exit code. */
import { Ajv2020 } from "ajv/dist/2020.js";
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Sandbox } from "../../src/sandbox/index.js";
import {
  createFolder,
  json,
  quickSpec,
  type Ran,
  run,
  runShell,
  sampleEnvironment,
  start,
  startSandbox,
} from "./kit.js";

const folder = createFolder();
let sandbox: Sandbox;
let env: Readonly<Record<string, string>>;
const commands = [
  "init",
  "validate",
  "check",
  "plan",
  "apply",
  "export",
  "import",
  "migrate",
  "sandbox",
  "demo",
  "schema",
];

beforeAll(async () => {
  sandbox = await startSandbox();
  env = sampleEnvironment(sandbox);
  folder.write("group-sync.yaml", quickSpec(sandbox));
});
afterAll(async () => {
  await sandbox.close();
  folder.remove();
});

/** What is said on stderr beside the lines of progress, which come where the machine is slow. */
const remarksOf = ({ stderr }: Ran) => stderr.replace(/^\w+: reading groups \d+ of \d+\n/gm, "");

/** Runs in the folder with the sample's spec and its credentials. */
const here = (...args: string[]) => run(args, { cwd: folder.path, env });

describe("help", () => {
  it("lists every command and every exit code", async () => {
    const { code, stdout, stderr } = await here("--help");
    expect([code, stderr]).toEqual([0, ""]);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"));
    for (const exitCode of [0, 1, 2, 3, 4, 5, 6]) expect(stdout).toMatch(new RegExp(`\\b${exitCode} [a-z]`));
  });

  it("teaches each command with an example", async () => {
    const helps = await Promise.all(commands.map((command) => here(command, "--help")));
    for (const [index, { code, stdout }] of helps.entries()) {
      expect(code).toBe(0);
      expect(stdout).toMatch(/Examples?:\n {2}group-sync /);
      expect(stdout).toContain(`group-sync ${commands[index]}`);
      expect(stdout).toContain("--json");
    }
  });

  it("prints the version, and the help with exit code 1 when no command is given", async () => {
    const [version, nothing] = await Promise.all([here("--version"), here()]);
    expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/), stderr: "" });
    expect(nothing).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("Commands:") });
  });
});

describe("validate", () => {
  it("counts what a good spec holds", async () => {
    const [text, machine] = await Promise.all([here("validate"), here("validate", "--json")]);
    expect(text).toMatchObject({ code: 0, stderr: "" });
    expect(text.stdout).toBe("group-sync.yaml is good: 39 people, 10 groups, 16 places at 4 providers.\n");
    expect(machine).toMatchObject({ code: 0, stderr: "" });
    expect(json(machine)).toEqual({
      kind: "validation",
      formatVersion: 1,
      valid: true,
      specDigest: expect.stringMatching(/^[0-9a-f]{64}$/),
      summary: { providers: 4, people: 39, groups: 10, targets: 16 },
      problems: [],
    });
  });

  it("tells every problem with its place, to people and to machines", async () => {
    folder.write("bad.yaml", "version: 1\nmode: authorative\nproviders: {}\ngroups: {}\nextra: 1\n");
    const [text, machine] = await Promise.all([
      here("validate", "-c", "bad.yaml"),
      here("validate", "-c", "bad.yaml", "--json"),
    ]);
    expect(text).toMatchObject({ code: 1, stdout: "" });
    expect(text.stderr).toMatch(/^bad\.yaml:2:7: error: mode: .*Did you mean "authoritative"\?/m);
    expect(text.stderr).toMatch(/^bad\.yaml:5:1: error: extra: /m);
    expect(machine.code).toBe(1);
    const { valid, problems } = json(machine) as { valid: boolean; problems: readonly object[] };
    expect(valid).toBe(false);
    expect(problems).toHaveLength(text.stderr.trim().split("\n").length);
    for (const problem of problems) {
      expect(problem).toEqual({
        severity: expect.stringMatching(/^(error|warning)$/),
        file: "bad.yaml",
        line: expect.any(Number),
        column: expect.any(Number),
        path: expect.any(String),
        message: expect.any(String),
      });
    }
  });
});

describe("check", () => {
  it("says of each provider who we are there, and sends no write", async () => {
    sandbox.log.clear();
    const [text, machine, narrowed] = await Promise.all([
      here("check"),
      here("check", "--json"),
      here("check", "--json", "--provider", "docs"),
    ]);
    expect(text).toMatchObject({ code: 0, stderr: "" });
    for (const id of ["faces · neuroio", "lab · brainstem", "docs · docspace", "calls · genesys"])
      expect(text.stdout).toContain(id);
    expect(machine.code).toBe(0);
    expect(json(machine)).toMatchObject({ kind: "check", formatVersion: 1, ok: true });
    expect((json(machine) as { providers: readonly { id: string }[] }).providers.map(({ id }) => id)).toEqual([
      "faces",
      "lab",
      "docs",
      "calls",
    ]);
    expect((json(narrowed) as { providers: readonly object[] }).providers).toEqual([
      expect.objectContaining({
        id: "docs",
        type: "docspace",
        ok: true,
        identity: expect.any(String),
        findings: expect.any(Array),
      }),
    ]);
    expect(sandbox.log.filter(({ write }) => write)).toEqual([]);
  });
});

interface PlanShape {
  readonly status: string;
  readonly summary: Readonly<Record<string, number>>;
  readonly providers: readonly {
    readonly id: string;
    readonly changes: readonly { readonly type: string; readonly group: string }[];
    readonly held: readonly { readonly guard: string; readonly group: string; readonly reason: string }[];
  }[];
}

describe("plan", () => {
  it("exits with 2 while changes are pending, and writes nothing", async () => {
    sandbox.log.clear();
    const { code, stdout, stderr } = await here("plan");
    expect([code, stderr]).toEqual([2, ""]);
    expect(stdout).toMatch(/^2 groups to create, 2 groups to change, 26 additions, 3 role changes, 9 removals\.$/m);
    expect(sandbox.log.filter(({ write }) => write)).toEqual([]);
  });

  it("prints the promised document, and nothing else, with --json", async () => {
    const [flag, format] = await Promise.all([here("plan", "--json"), here("plan", "--format", "json")]);
    expect([flag.code, remarksOf(flag), format.code]).toEqual([2, "", 2]);
    expect(Object.keys(json(format))).toEqual(Object.keys(json(flag)));
    const count = expect.any(Number);
    expect(json(flag)).toMatchObject({
      kind: "plan",
      formatVersion: 1,
      planId: expect.stringMatching(/^plan-/),
      checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      specDigest: expect.stringMatching(/^[0-9a-f]{64}$/),
      status: "changes",
      summary: { create: 2, rename: 2, delete: 0, add: 26, role: 3, remove: 9, held: 0, unresolved: 0 },
      providers: [{ id: "faces", type: "neuroio" }, { id: "lab" }, { id: "docs" }, { id: "calls" }],
    });
    const plan = json(flag) as PlanShape;
    for (const provider of plan.providers) {
      expect(provider).toMatchObject({
        changes: expect.any(Array),
        held: [],
        unresolved: [],
        cost: { calls: count, seconds: count },
      });
      for (const change of provider.changes) {
        expect(change).toMatchObject({ group: expect.any(String), reason: expect.stringMatching(/\S/) });
        expect(change.type).toMatch(/^(group\.(create|update|delete)|member\.(add|update|remove))$/);
      }
    }
    const docs = plan.providers.find(({ id }) => id === "docs");
    expect(docs?.changes.find(({ type }) => type === "member.update")).toMatchObject({
      groupId: expect.any(String),
      person: expect.stringMatching(/^(ada|ken)$/),
      account: expect.any(String),
      role: expect.stringMatching(/^(member|manager)$/),
      previousRole: expect.stringMatching(/^(member|manager)$/),
    });
  });

  it("prints Markdown and a whole HTML page", async () => {
    const [markdown, html] = await Promise.all([
      here("plan", "--format", "markdown"),
      here("plan", "--format", "html"),
    ]);
    expect(markdown).toMatchObject({ code: 2, stdout: expect.stringMatching(/^#+ Plan plan-/) });
    expect(html).toMatchObject({ code: 2, stdout: expect.stringMatching(/^<!doctype html>[\s\S]*<\/html>\s*$/i) });
  });

  it("tells a reader who is removed, though nobody looks up who is not wanted", async () => {
    const { stdout } = await here("plan", "--group", "on-call");
    // NeuroIO shows no addresses: there the spec's own pin tells.
    expect(stdout.match(/- remove .+? \(/g)).toEqual([
      "- remove bjarne (",
      "- remove bjarne@example.org (",
      "- remove bjarne@example.org (",
    ]);
  });

  it("shows the first run in mode owned, where nothing is remembered yet, and leaves no state behind", async () => {
    const fresh = createFolder();
    const shown = (...args: string[]) => run([...args, "--provider", "faces"], { cwd: fresh.path, env });
    const owned = quickSpec(sandbox, (spec) => Object.assign(spec, { mode: "owned" }));
    fresh.write("group-sync.yaml", owned);
    const [text, machine, saved, without] = await Promise.all([
      shown("plan"),
      shown("plan", "--json"),
      shown("plan", "--out", "plan.json"),
      shown("plan", "--no-state"),
    ]);
    expect([text.code, machine.code, saved.code]).toEqual([2, 2, 2]);
    // Nobody who is there was added from here.
    expect(json(machine)).toMatchObject({ summary: { remove: 0, add: expect.any(Number) } });
    expect(existsSync(fresh.at("plan.json"))).toBe(true);
    expect(existsSync(fresh.at(".group-sync"))).toBe(false);
    expect(without).toMatchObject({ code: 1, stdout: "" });
    expect(without.stderr).toContain("This needs state, and none was given.");
    fresh.remove();
  });

  it("proposes the next step for the very spec", async () => {
    folder.write("second.yaml", folder.read("group-sync.yaml"));
    const ran = await here("plan", "-c", "second.yaml", "--group", "on-call", "--out", "plan.json");
    expect(ran.stderr).toMatch(/Next: group-sync apply plan\.json -c second\.yaml$/m);
  });

  it("narrows to providers and groups, named once or several times", async () => {
    const [provider, group, two] = await Promise.all([
      here("plan", "--json", "--provider", "docs"),
      here("plan", "--json", "--group", "on-call"),
      here("plan", "--json", "--provider", "docs", "--provider", "calls", "--group", "on-call", "platform-team"),
    ]);
    expect((json(provider) as PlanShape).providers.map(({ id }) => id)).toEqual(["docs"]);
    const groups = (ran: typeof group) => [
      ...new Set((json(ran) as PlanShape).providers.flatMap(({ changes }) => changes.map((change) => change.group))),
    ];
    expect(groups(group)).toEqual(["on-call"]);
    expect((json(group) as PlanShape).providers.map(({ id }) => id)).toEqual(["faces", "docs", "calls"]);
    expect((json(two) as PlanShape).providers.map(({ id }) => id)).toEqual(["docs", "calls"]);
    expect(groups(two)).toEqual(["platform-team", "on-call"]);
  });

  it("shows every line with -v, and says what it does on stderr", async () => {
    const many = quickSpec(sandbox, ({ people, groups }) => {
      groups["many"] = { members: Object.keys(people).slice(0, 20), targets: ["docs"] };
    });
    folder.write("many.yaml", many);
    const [short, long] = await Promise.all([
      here("plan", "-c", "many.yaml", "--group", "many"),
      here("plan", "-c", "many.yaml", "--group", "many", "-v"),
    ]);
    expect(short.stdout).toMatch(/^ {4}… and 9 more \(-v shows all\)$/m);
    expect(short.stderr).toBe("");
    expect(long.stdout).not.toContain("more (-v shows all)");
    expect(long.stdout.match(/^ {4}\+ add /gm)).toHaveLength(20);
    expect(long.stderr).toMatch(/^docs: reading groups$/m);
  });

  it("holds a purge with exit code 3; --allow releases one guard for one group, --no-removals holds all removals", async () => {
    const purge = quickSpec(sandbox, ({ groups, providers }) => {
      const { on, team } = { on: groups["on-call"], team: groups["platform-team"] };
      for (const group of [on, team]) Object.assign(group ?? {}, { members: ["ada"], managers: [], targets: ["docs"] });
      for (const id of Object.keys(groups)) if (!["on-call", "platform-team"].includes(id)) delete groups[id];
      for (const id of Object.keys(providers)) if (id !== "docs") delete providers[id];
    });
    // People who are pinned at a provider that the spec no longer has would be an error.
    folder.write("purge.yaml", purge.replaceAll(/^ {4}accounts:\n(?: {6}.*\n)*/gm, ""));
    const of = (...args: string[]) => here("plan", "--json", "-c", "purge.yaml", ...args);
    const [held, one, everywhere, none, text] = await Promise.all([
      of(),
      of("--allow", "max-removals:on-call"),
      of("--allow", "max-removals", "role-loss", "last-owner"),
      of("--no-removals"),
      here("plan", "-c", "purge.yaml"),
    ]);
    const guards = (ran: typeof held) =>
      (json(ran) as PlanShape).providers.flatMap((part) => part.held.map(({ group, guard }) => `${guard}:${group}`));
    expect(held.code).toBe(3);
    expect((json(held) as PlanShape).status).toBe("held");
    expect(new Set(guards(held))).toEqual(
      new Set(["max-removals:on-call", "max-removals:platform-team", "role-loss:platform-team"]),
    );
    expect((json(held) as PlanShape).providers[0]?.held.find(({ guard }) => guard === "max-removals")?.reason).toMatch(
      /of \d+ memberships .* --allow max-removals:/,
    );
    expect(one.code).toBe(3);
    expect(new Set(guards(one))).toEqual(new Set(["max-removals:platform-team", "role-loss:platform-team"]));
    expect(everywhere.code).toBe(2);
    expect(guards(everywhere)).toEqual([]);
    expect(none.code).toBe(3);
    expect((json(none) as PlanShape).summary["remove"]).toBe(0);
    expect(guards(none).every((guard) => guard.startsWith("no-removals:"))).toBe(true);
    expect(text.code).toBe(3);
    expect(text.stdout).toContain("Acknowledge with --allow max-removals:on-call.");
  });

  it("exits with 3 when a person is not known at the service, and plans everybody else", async () => {
    const text = quickSpec(sandbox, ({ people, groups }) => {
      people["nobody"] = { email: "nobody@example.org" };
      groups["chess-club"] = {
        name: "Chess club",
        members: ["alan", "donald", "tony", "nobody", "vint"],
        targets: ["docs"],
      };
    });
    folder.write("nobody.yaml", text);
    const only = ["-c", "nobody.yaml", "--group", "chess-club"];
    const [machine, words] = await Promise.all([here("plan", "--json", ...only), here("plan", ...only)]);
    expect([machine.code, words.code]).toEqual([3, 3]);
    expect(json(machine)).toMatchObject({
      status: "held",
      summary: { add: 1, unresolved: 1 },
      providers: [{ unresolved: [{ person: "nobody", reason: expect.any(String) }], changes: [{ person: "vint" }] }],
    });
    expect(words.stdout).toMatch(/^ {2}unresolved: nobody: /m);
  });

  it("exits with 6 when the service asks to come back in hours, and says when", async () => {
    sandbox.addFault({ kind: "rate-limit", service: "genesys", when: "read", seconds: 7200, times: 0 });
    const [text, machine] = await Promise.all([here("plan"), here("plan", "--json", "-q")]);
    sandbox.clearFaults();
    expect([text.code, machine.code]).toEqual([6, 6]);
    expect(text.stdout).toMatch(/calls · genesys\n {2}! .*[Rr]ate limit.* Come back after 20/);
    // Said once, and not a second time on stderr.
    expect(remarksOf(text)).toBe("");
    const broken = (
      json(machine) as { providers: readonly { id: string; error?: { code: string; retryAt: string } }[] }
    ).providers.find(({ id }) => id === "calls");
    expect(broken?.error?.code).toBe("rate-limited");
    expect(Date.parse(broken?.error?.retryAt ?? "") - Date.now()).toBeGreaterThan(3_600_000);
    expect(machine.stderr).toBe("");
  });

  it("exits with 1 when a provider cannot be reached, and plans the others", async () => {
    sandbox.addFault({ kind: "server-error", service: "docspace", times: 0 });
    const [text, machine] = await Promise.all([here("plan"), here("plan", "--json")]);
    sandbox.clearFaults();
    expect(text.code).toBe(1);
    expect(text.stdout).toMatch(/not everything could be planned\.\n/);
    expect(text.stdout).toMatch(/docs · docspace\n {2}! .*503/);
    expect(text.stdout).toContain("lab · brainstem");
    expect(text.stderr).not.toContain("503");
    expect(machine.code).toBe(1);
    expect(machine.stderr).toMatch(/^docs answered 503 /m);
    expect(json(machine)).toMatchObject({
      providers: [{}, {}, { id: "docs", error: { code: "unavailable", status: 503 }, changes: [] }, {}],
    });
  });

  it("stops after --timeout, with exit code 1", async () => {
    sandbox.addFault({ kind: "slow", ms: 3_000, times: 0 });
    const ran = await here("plan", "--timeout", "700ms");
    sandbox.clearFaults();
    expect(ran).toMatchObject({ code: 1, stdout: "" });
    expect(ran.stderr.trim().split("\n").at(-1)).toBe("Stopped by --timeout 700ms; nothing was changed.");
  });
});

describe("export", () => {
  it.each(["faces", "lab", "docs", "calls"])("writes what %s holds as a spec that plans to no change", async (id) => {
    const exported = await here("export", "--provider", id, "--out", `${id}.yaml`);
    expect(exported).toMatchObject({ code: 0, stdout: "" });
    const spec = parse(folder.read(`${id}.yaml`)) as {
      providers: Record<string, Record<string, string>>;
      groups: object;
    };
    expect(Object.keys(spec.groups).length).toBeGreaterThan(1);
    const [secret] = Object.entries(spec.providers[id] ?? {}).filter(([name]) =>
      /token|apiKey|clientSecret/.test(name),
    );
    expect(secret?.[1]).toMatch(/^\$\{[A-Z_]+\}$/);
    const plan = await here("plan", "-c", `${id}.yaml`, "--json");
    expect(json(plan)).toMatchObject({ status: "in-sync", providers: [{ id, changes: [], held: [], unresolved: [] }] });
    expect(plan.code).toBe(0);
  });

  it("takes some groups by name or id, and refuses one that is not there", async () => {
    const [some, wrong, machine] = await Promise.all([
      here("export", "--provider", "docs", "--group", "On-call", "Chess club"),
      here("export", "--provider", "docs", "--group", "Chess clbu"),
      here("export", "--provider", "docs", "--json", "--group", "On-call"),
    ]);
    expect(some.code).toBe(0);
    expect(Object.keys((parse(some.stdout) as { groups: object }).groups)).toEqual(["chess-club", "on-call"]);
    expect(wrong).toMatchObject({ code: 1, stdout: "" });
    expect(wrong.stderr).toMatch(/^docs has no group "Chess clbu"\.\nIt has: .*Chess club/);
    expect(json(machine)).toEqual({
      kind: "export",
      formatVersion: 1,
      provider: "docs",
      spec: expect.stringContaining("on-call:"),
      notes: [],
    });
  });

  it("leaves groups that are not ours out, and says so", async () => {
    const { stderr, stdout } = await here("export", "--provider", "docs");
    expect(stderr).toContain('"All employees" is left out');
    expect(stdout).not.toContain("All employees");
  });

  it("keeps text of the service from being read as a reference to the environment", async () => {
    const { control } = sandbox.services.docspace;
    const id = control.addGroup({ name: "Pay ${HOME} $${now}", members: ["alan"] });
    const exported = await here("export", "--provider", "docs", "--group", id, "--out", "dollar.yaml");
    expect(exported.code).toBe(0);
    const plan = await here("plan", "-c", "dollar.yaml");
    control.deleteGroup(id);
    expect(plan.stdout + plan.stderr).toMatch(/^In sync/);
    expect(plan.code).toBe(0);
  });

  it("writes over nothing unless told so", async () => {
    folder.write("mine.yaml", "mine");
    const refused = await here("export", "--provider", "docs", "--out", "mine.yaml");
    expect(refused).toMatchObject({ code: 1, stdout: "", stderr: expect.stringContaining("--force") });
    expect(folder.read("mine.yaml")).toBe("mine");
    const forced = await here("export", "--provider", "docs", "--out", "mine.yaml", "--force");
    expect(forced.code).toBe(0);
    expect(folder.read("mine.yaml")).toContain("version: 1");
  });
});

describe("schema", () => {
  it("is a JSON Schema of draft 2020-12 that takes the sample and refuses a slip of the pen", async () => {
    const { code, stdout, stderr } = await here("schema");
    expect([code, stderr]).toEqual([0, ""]);
    const schema = JSON.parse(stdout) as Record<string, unknown>;
    expect(schema["$schema"]).toBe("https://json-schema.org/draft/2020-12/schema");
    const ajv = new Ajv2020({ allErrors: true, strict: false, logger: false });
    expect(ajv.validateSchema(schema)).toBe(true);
    const fits = ajv.compile(schema);
    const sample = parse(folder.read("group-sync.yaml")) as { groups: Record<string, Record<string, unknown>> };
    expect([fits(sample), fits.errors]).toEqual([true, null]);
    expect(fits({ ...sample, mode: "authorative" })).toBe(false);
    expect(fits({ ...sample, groups: { "on-call": { ...sample.groups["on-call"], membrs: [] } } })).toBe(false);
  });
});

describe("init", () => {
  it("writes a starter that validates once its variables are set, and leaves an existing file alone", async () => {
    const options = { cwd: folder.path, env: {} };
    const written = await run(["init", "-c", "starter.yaml"], options);
    expect(written).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining("group-sync validate") });
    const names = [...folder.read("starter.yaml").matchAll(/^[^#\n]*\$\{(\w+)\}/gm)].map(([, name]) => name ?? "");
    expect(names.length).toBeGreaterThan(4);
    const [unset, set, again, machine] = await Promise.all([
      run(["validate", "-c", "starter.yaml"], options),
      run(["validate", "-c", "starter.yaml"], {
        ...options,
        env: Object.fromEntries(names.map((name) => [name, `sk-${name}`])),
      }),
      run(["init", "-c", "starter.yaml"], options),
      run(["init", "-c", "other.yaml", "--json"], options),
    ]);
    expect(unset).toMatchObject({ code: 1, stdout: "" });
    for (const name of names) expect(unset.stderr).toContain(name);
    expect(set).toMatchObject({ code: 0, stderr: "" });
    expect(again).toMatchObject({
      code: 1,
      stdout: "",
      stderr: "starter.yaml cannot be written: it is there already; --force writes over it.\n",
    });
    expect(json(machine)).toEqual({ kind: "init", formatVersion: 1, file: "other.yaml" });
    const starter = folder.read("starter.yaml");
    folder.write("starter.yaml", "old");
    expect((await run(["init", "-c", "starter.yaml", "--force"], options)).code).toBe(0);
    expect(folder.read("starter.yaml")).toBe(starter);
  });
});

describe("demo", () => {
  it("tells the whole story and leaves its files; with --json stdout is the document alone", async () => {
    const [text, machine] = await Promise.all([
      runShell("mkdir -p demo && cd demo && group-sync demo", { cwd: folder.path }),
      runShell("mkdir -p demo2 && cd demo2 && group-sync demo --json -q", { cwd: folder.path }),
    ]);
    expect([text.code, text.stderr]).toEqual([0, ""]);
    expect(text.stdout).toMatch(/Converged: [\s\S]*In sync: nothing to change\.[\s\S]*changes held/);
    for (const file of ["group-sync.yaml", "plan.html", "report.html", "report.json"])
      expect(existsSync(folder.at(`demo/group-sync-demo/${file}`))).toBe(true);
    expect([machine.code, machine.stderr]).toEqual([0, ""]);
    expect(json(machine)).toMatchObject({ kind: "demo", formatVersion: 1, asExpected: true });
  });
});

describe("sandbox", () => {
  it("prints what a spec says to reach it, writes one that fits, and ends with 0 on Ctrl-C", async () => {
    const running = start(["sandbox", "--port", "0", "--spec", "sandbox.yaml"], { cwd: folder.path });
    const printed = await running.until(/Ctrl-C ends it/);
    const { providers } = parse(
      printed.slice(printed.indexOf("providers:"), printed.indexOf("\nA spec that fits")),
    ) as {
      providers: object;
    };
    expect(Object.keys(providers)).toEqual(["faces", "lab", "docs", "calls"]);
    expect(printed).toContain("group-sync plan -c sandbox.yaml");
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(printed)?.[0] ?? "";
    const taken = run(["sandbox", "--port", url.split(":").at(-1) ?? ""]);
    expect(await taken).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^Port \d+ on 127\.0\.0\.1 is taken .*\n$/),
    });
    const plan = await run(["plan", "-c", "sandbox.yaml"], { cwd: folder.path });
    expect(plan.code).toBe(2);
    // The sandbox's credentials stand in the file; one line says so, not one for each.
    expect(plan.stderr).toBe("sandbox.yaml: 4 warnings; group-sync validate shows them.\n");
    const help = await (await fetch(`${url}/_sandbox`)).text();
    expect(help).toContain("Kinds of fault");
    running.child.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
  });

  it("starts from a seed, with faults, latency and JSON", async () => {
    const seed = {
      people: [{ id: "ada", email: "ada@example.org" }],
      groups: [{ name: "Only one", members: ["ada"] }],
    };
    folder.write("seed.json", JSON.stringify(seed));
    const running = start(
      [
        "sandbox",
        "--port",
        "0",
        "--json",
        "--seed",
        "seed.json",
        "--latency",
        "20",
        "--fault",
        '{"kind":"hang","ms":1}',
        '{"kind":"html"}',
      ],
      { cwd: folder.path },
    );
    const printed = await running.until(/\n\}\n$/);
    const document = JSON.parse(printed) as { kind: string; url: string; providers: object };
    expect(document).toMatchObject({
      kind: "sandbox",
      formatVersion: 1,
      url: expect.stringContaining("http://127.0.0.1:"),
    });
    const state = (await (await fetch(`${document.url}/_sandbox/state`)).json()) as {
      services: Record<string, { groups: readonly { name: string }[] }>;
      faults: readonly { fault: { kind: string } }[];
    };
    expect(state.services["genesys"]?.groups.map(({ name }) => name)).toEqual(["Only one"]);
    expect(state.faults.map(({ fault }) => fault.kind)).toEqual(["hang", "html"]);
    running.child.kill("SIGTERM");
    expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
  });
});
