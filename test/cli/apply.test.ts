/** From a plan to what is truly so at the services, by the built command line. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Plan } from "../../src/model.js";
import type { Sandbox } from "../../src/sandbox/index.js";
import { createFolder, json, quickSpec, type Ran, run, sampleEnvironment, startSandbox } from "./kit.js";

const folder = createFolder();
let sandbox: Sandbox;
let env: Readonly<Record<string, string>>;

beforeEach(async () => {
  folder.forget();
  sandbox = await startSandbox();
  env = sampleEnvironment(sandbox);
  folder.write("group-sync.yaml", quickSpec(sandbox));
});
afterEach(() => sandbox.close());
afterAll(() => folder.remove());

const here = (...args: string[]) => run(args, { cwd: folder.path, env });

interface Outcome {
  readonly type: string;
  readonly group: string;
  readonly status: string;
  readonly error?: { readonly code: string };
}
interface ReportShape {
  readonly status: string;
  readonly summary: Readonly<Record<string, number>>;
  readonly retryAt?: string;
  readonly providers: readonly { readonly id: string; readonly outcomes: readonly Outcome[] }[];
}

function outcomes(ran: Ran): readonly (Outcome & { readonly provider: string })[] {
  return (json(ran) as ReportShape).providers.flatMap((part) =>
    part.outcomes.map((outcome) => ({ ...outcome, provider: part.id })),
  );
}

const writes = () => sandbox.log.filter(({ write }) => write).length;

describe("apply", () => {
  it("does not write without being told yes, and says what to do", async () => {
    const ran = await here("apply");
    expect(ran).toMatchObject({ code: 1, stdout: "" });
    expect(ran.stderr).toBe(
      "There is no terminal to ask on.\nLook at `group-sync plan` first, then apply with --yes.\n",
    );
    expect(sandbox.log).toHaveLength(0);
  });

  it("makes it so, reports it, saves the report, and has nothing to do the second time", async () => {
    const first = await here("apply", "--yes", "--json", "--report", "report.json");
    // On a slow machine lines of progress come before.
    expect([first.code, first.stderr.split("\n").slice(-2)]).toEqual([0, ["The report is in report.json.", ""]]);
    expect(JSON.parse(folder.read("report.json"))).toEqual(json(first));
    const count = expect.any(Number);
    expect(json(first)).toMatchObject({
      kind: "report",
      formatVersion: 1,
      runId: expect.stringMatching(/^run-/),
      planId: expect.stringMatching(/^plan-/),
      status: "converged",
      summary: { applied: 41, already: 0, pending: 1, held: 0, skipped: 0, failed: 0, unknown: 0 },
      providers: ["faces", "lab", "docs", "calls"].map((id) => ({
        id,
        calls: { read: count, write: count, retried: 0, throttledSeconds: 0 },
      })),
      residual: [],
    });
    for (const outcome of outcomes(first)) {
      expect(outcome).toMatchObject({ group: expect.any(String), reason: expect.stringMatching(/\S/) });
      expect(["applied", "pending"]).toContain(outcome.status);
    }
    sandbox.log.clear();
    const second = await here("apply", "--yes", "--quiet");
    expect([second.code, second.stderr]).toEqual([0, ""]);
    expect(second.stdout).toMatch(/^Converged: nothing to do\.\n/);
    const plan = await here("plan");
    expect([plan.code, plan.stdout.split("\n")[0]]).toEqual([0, "In sync: nothing to change."]);
    expect(writes()).toBe(0);
  });

  it("shows past runs on a page, in plan, report and show", async () => {
    const chart = /Differences that (the last run|each of the last (\d+) runs) met/;
    expect((await here("plan", "--format", "html")).stdout).not.toMatch(chart);
    expect((await here("apply", "--yes", "--provider", "docs", "--report", "first.html")).code).toBe(0);
    expect(folder.read("first.html")).toMatch(chart);
    expect((await here("apply", "--yes", "--report", "second.html")).code).toBe(0);
    expect(chart.exec(folder.read("second.html"))?.[2]).toBe("2");
    expect(chart.exec((await here("plan", "--format", "html")).stdout)?.[2]).toBe("2");
    const [line] = (await here("history")).stdout.split("\n");
    const run = /run-\S+/.exec(line ?? "")?.[0] ?? "";
    expect(chart.exec((await here("show", run, "--format", "html")).stdout)?.[2]).toBe("2");
    expect((await here("plan", "--format", "html", "--no-state")).stdout).not.toMatch(chart);
  });

  it("narrows to a provider and a group", async () => {
    const ran = await here("apply", "--yes", "--json", "--provider", "docs", "--group", "on-call");
    expect(ran.code).toBe(0);
    expect(new Set(outcomes(ran).map(({ provider, group }) => `${provider}/${group}`))).toEqual(
      new Set(["docs/on-call"]),
    );
    expect(new Set(sandbox.log.filter(({ write }) => write).map(({ service }) => service))).toEqual(
      new Set(["docspace"]),
    );
  });

  it("holds removals with --no-removals, does the rest, and exits with 3", async () => {
    const ran = await here("apply", "--yes", "--json", "--no-removals");
    expect(ran.code).toBe(3);
    const report = json(ran) as ReportShape;
    expect(report).toMatchObject({ status: "held", summary: { failed: 0, skipped: 0 } });
    const removals = outcomes(ran).filter(({ type }) => type === "member.remove");
    expect(removals).toHaveLength(9);
    expect(removals.every(({ status }) => status === "held")).toBe(true);
    expect(
      outcomes(ran)
        .filter(({ type }) => type === "member.add")
        .every(({ status }) => status !== "held"),
    ).toBe(true);
  });

  it("exits with 4 when a service says yes and does nothing", async () => {
    sandbox.addFault({ kind: "lying-200", service: "brainstem", times: 0 });
    const ran = await here("apply", "--yes", "--json", "--provider", "lab");
    expect(ran.code).toBe(4);
    expect((json(ran) as ReportShape).status).not.toBe("converged");
    for (const { status, error } of outcomes(ran)) expect([status, error?.code]).toEqual(["skipped", "not-applied"]);
    sandbox.clearFaults();
    // An invitation that was sent and is not there may have been declined.
    const again = await here("apply", "--yes", "--provider", "lab");
    expect([again.code, again.stdout]).toEqual([3, expect.stringContaining("--allow declined-invitation:")]);
    const acknowledged = await here("apply", "--yes", "--provider", "lab", "--allow", "declined-invitation");
    expect(acknowledged.code).toBe(0);
  });

  it("exits with 6 on a rate limit of hours, finishes the other services, and says when to come back", async () => {
    sandbox.addFault({ kind: "rate-limit", service: "genesys", when: "write", seconds: 7200, times: 0 });
    const ran = await here("apply", "--yes");
    expect(ran.code).toBe(6);
    const [, at] = /^Come back after (\S+)\.$/m.exec(ran.stdout) ?? [];
    expect(Date.parse(at ?? "") - Date.now()).toBeGreaterThan(3_600_000);
    sandbox.clearFaults();
    const others = await here("plan", "--provider", "faces", "lab", "docs");
    expect(others.code).toBe(0);
    expect((await here("apply", "--yes")).code).toBe(0);
  });

  it("exits with 1 when credentials are refused, and still does what the others take", async () => {
    const ran = await run(["apply", "--yes", "--json"], {
      cwd: folder.path,
      env: { ...env, DOCSPACE_API_KEY: `sk-${"0".repeat(64)}` },
    });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/^docs answered 401 .*Check the credentials/m);
    expect(json(ran) as ReportShape).toMatchObject({
      status: "partial",
      providers: [{}, {}, { error: { code: "unauthenticated" } }, {}],
    });
    expect((await here("plan", "--provider", "faces", "lab", "calls")).code).toBe(0);
  });
});

describe("a saved plan", () => {
  it("is applied as it was made", async () => {
    const plan = await here("plan", "--out", "plan.json");
    expect(plan.code).toBe(2);
    expect(plan.stderr).toMatch(/^Saved to plan\.json, good until \d{4}-.*Z\. Next: group-sync apply plan\.json$/m);
    const ran = await here("apply", "plan.json", "--yes", "--json");
    expect(ran.code).toBe(0);
    expect(json(ran)).toMatchObject({
      planId: (JSON.parse(folder.read("plan.json")) as { planId: string }).planId,
      status: "converged",
    });
    expect((await here("plan")).code).toBe(0);
  });

  it("is refused, with nothing sent, when it was changed, is too old, or the spec has changed", async () => {
    await here("plan", "--out", "plan.json");
    const saved = folder.read("plan.json");
    folder.write("changed.json", saved.replace("linus", "minus"));
    const old = new Date(Date.now() - 25 * 3_600_000);
    const shifted = {
      ...(JSON.parse(saved) as object),
      createdAt: old.toISOString(),
      expiresAt: new Date(old.getTime() + 86_400_000).toISOString(),
    };
    folder.write("backdated.json", JSON.stringify(shifted));
    folder.write(
      "other.yaml",
      quickSpec(sandbox, ({ groups }) => Object.assign(groups["on-call"] ?? {}, { members: ["ada"] })),
    );
    sandbox.log.clear();
    const [changed, backdated, otherSpec, expired] = await Promise.all([
      here("apply", "changed.json", "--yes"),
      here("apply", "backdated.json", "--yes"),
      here("apply", "plan.json", "--yes", "-c", "other.yaml"),
      // A preload moves the clock of that one process two days ahead.
      run(["apply", "plan.json", "--yes"], {
        cwd: folder.path,
        env: { ...env, NODE_OPTIONS: `--import ${clockAhead}` },
      }),
    ]);
    for (const ran of [changed, backdated, otherSpec, expired]) expect(ran).toMatchObject({ code: 1, stdout: "" });
    expect(changed.stderr).toMatch(/^The plan was changed after it was made/);
    // Nor does a new date make an old plan young.
    expect(backdated.stderr).toMatch(/^The plan was changed after it was made/);
    expect(otherSpec.stderr).toMatch(/^other\.yaml has changed since plan\.json was made\.\nPlan anew/);
    expect(expired.stderr).toMatch(/^The plan expired on .*\nPlan anew/);
    expect(sandbox.log).toHaveLength(0);
  });

  it("is refused, with nothing sent, when an approval in it was changed or is none", async () => {
    folder.write(
      "group-sync.yaml",
      quickSpec(sandbox, (spec) => Object.assign(spec, { guards: { maxRemovals: { count: 0, percent: 25 } } })),
    );
    await here("plan", "--out", "plan.json");
    const { providers } = JSON.parse(folder.read("plan.json")) as Plan;
    const [group = "", other = ""] = new Set(providers.flatMap(({ held }) => held.map((each) => each.group)));
    expect([group, other]).not.toContain("");
    expect(await here("approve", "plan.json", "--group", group, "--for", "1h")).toMatchObject({ code: 0 });
    const saved = folder.read("plan.json");
    const plan = JSON.parse(saved) as Plan;
    const [approval] = plan.approvals ?? [];
    const edits: Readonly<Record<string, unknown>> = {
      group: [{ ...approval, group: other }],
      expiry: [{ ...approval, expiresAt: approval?.expiresAt.replace(/^\d+/, "3026") }],
      shape: [null],
    };
    for (const [name, approvals] of Object.entries(edits)) {
      folder.write(`${name}.json`, JSON.stringify({ ...plan, approvals }));
    }
    sandbox.log.clear();
    const refused = await Promise.all([
      ...Object.keys(edits).map((name) => here("apply", `${name}.json`, "--yes")),
      here("approve", "shape.json", "--group", other),
    ]);
    for (const ran of refused) {
      expect(ran).toMatchObject({ code: 1, stdout: "" });
      expect(ran.stderr).toMatch(/^Approval 1 of the plan [^]*approve anew/);
    }
    expect(sandbox.log).toHaveLength(0);
    await here("apply", "plan.json", "--yes");
    expect(writes()).toBeGreaterThan(0);
  });

  it("leaves out a group that has changed in between, does the others, and exits with 4", async () => {
    await here("plan", "--out", "plan.json", "--provider", "docs");
    const { control } = sandbox.services.docspace;
    const onCall = control.groups().find(({ name }) => name === "On-call");
    control.addMember(onCall?.id ?? "", control.accountOf("vint") ?? "");
    const ran = await here("apply", "plan.json", "--yes", "--json");
    expect(ran.code).toBe(4);
    const of = (group: string) => outcomes(ran).filter((outcome) => outcome.group === group);
    expect(of("on-call").length).toBeGreaterThan(0);
    for (const outcome of of("on-call"))
      expect(outcome).toMatchObject({ status: "skipped", error: { code: "conflict" } });
    expect(of("platform-team").length).toBeGreaterThan(0);
    for (const outcome of of("platform-team")) expect(outcome.status).toBe("applied");
    expect(
      control
        .groups()
        .find(({ name }) => name === "On-call")
        ?.members.map(({ account }) => account),
    ).toContain(control.accountOf("vint"));
  });

  it("leaves out a group that was renamed in between, though its members are the same", async () => {
    const wish = quickSpec(sandbox, ({ groups }) => {
      groups["support-queue"] = { name: "Support queue", targets: ["calls"], delete: true };
    });
    folder.write("group-sync.yaml", wish);
    const allow = ["--allow", "group-delete", "--allow", "adoption"];
    await here("plan", "--out", "plan.json", "--provider", "calls", ...allow);
    const { control } = sandbox.services.genesys;
    const queue = control.groups().find(({ name }) => name === "Support queue");
    control.renameGroup(queue?.id ?? "", "Support queue EMEA");
    const ran = await here("apply", "plan.json", "--yes", "--json");
    expect(ran.code).toBe(4);
    expect(outcomes(ran).filter(({ group }) => group === "support-queue")).toEqual([
      expect.objectContaining({
        type: "group.delete",
        status: "skipped",
        error: {
          code: "conflict",
          message:
            'The group was called "Support queue" when the plan was made, and is called "Support queue EMEA" now; plan anew.',
        },
      }),
    ]);
    expect(outcomes(ran).filter(({ status }) => status === "applied").length).toBeGreaterThan(0);
    expect(control.groups().find(({ id }) => id === queue?.id)?.members).toEqual(queue?.members);
  });

  it("takes no flags that belong to planning", async () => {
    await here("plan", "--out", "plan.json");
    const [allow, removals, swallowed] = await Promise.all([
      here("apply", "plan.json", "--yes", "--allow", "adoption"),
      here("apply", "plan.json", "--yes", "--no-removals", "--json"),
      here("apply", "--yes", "--provider", "docs", "plan.json"),
    ]);
    expect(allow).toMatchObject({ code: 1, stdout: "" });
    expect(allow.stderr).toBe(
      "plan.json is applied as it was made, without --allow.\nMake it anew: group-sync plan --allow … --out plan.json\n",
    );
    expect(removals.code).toBe(1);
    expect(json(removals)).toMatchObject({
      kind: "error",
      code: "options-invalid",
      message: expect.stringContaining("--no-removals"),
    });
    expect(swallowed.stderr).toContain("name it first: group-sync apply plan.json");
    expect(writes()).toBe(0);
  });

  it("is refused when it is not a plan, or cannot be read", async () => {
    folder.write("text.json", "hello");
    folder.write("other.json", '{"kind":"report"}');
    const [text, other, missing, directory] = await Promise.all([
      here("apply", "text.json", "--yes"),
      here("apply", "other.json", "--yes"),
      here("apply", "missing.json", "--yes"),
      here("apply", folder.path, "--yes"),
    ]);
    expect(text).toMatchObject({
      code: 1,
      stderr: "text.json is not JSON.\nMake a plan with: group-sync plan --out plan.json\n",
    });
    expect(other).toMatchObject({ code: 1, stderr: expect.stringMatching(/^This is not a plan of group-sync\.\n/) });
    expect(missing).toMatchObject({ code: 1, stderr: "missing.json cannot be read: there is no such file.\n" });
    expect(directory).toMatchObject({ code: 1, stderr: `${folder.path} cannot be read: it is a folder.\n` });
  });
});

const clockAhead = `data:text/javascript,${encodeURIComponent("const now=Date.now();const Real=Date;globalThis.Date=class extends Real{constructor(...a){if(a.length)super(...a);else super(Real.now()+172800000)}};")}`;
