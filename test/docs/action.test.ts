/** Plays the script of action.yml with the built command line, the sandbox, and a GitHub that only writes down. */
import { chmodSync, existsSync } from "node:fs";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Sandbox } from "../../src/sandbox/index.js";
import { createFolder, quickSpec, sampleEnvironment, startSandbox } from "../cli/kit.js";
import { root } from "./markdown.js";

const folder = createFolder();
let sandbox: Sandbox;

beforeEach(async () => {
  sandbox = await startSandbox();
  folder.forget();
  folder.write("group-sync.yaml", quickSpec(sandbox));
  for (const name of ["summary", "output", "calls", "comments"]) folder.write(name, "");
  program("group-sync", `exec "${process.execPath}" "${join(root, "dist/cli/main.js")}" "$@"`);
  // Finds comments with jq's words taken as given: the ids that the test has put there.
  program(
    "gh",
    `echo "$*" >> calls
     for word in "$@"; do [[ $word == */comments && $* == *--paginate* ]] && exec cat comments; done
     while [[ $1 != --input ]]; do shift; done; cp "$2" comment.json`,
  );
});
afterEach(() => sandbox.close());
afterAll(() => folder.remove());

function program(name: string, script: string): void {
  chmodSync(folder.write(name, `#!/usr/bin/env bash\n${script}\n`), 0o755);
}

interface Ended {
  readonly code: number | null;
  readonly log: string;
}

/** Runs the action with these inputs. */
function act(inputs: Readonly<Record<string, string>>): Promise<Ended> {
  const env = {
    ...sampleEnvironment(sandbox),
    PATH: `${folder.path}:${process.env["PATH"] ?? ""}`,
    NO_COLOR: "1",
    INPUT_CONFIG: "group-sync.yaml",
    INPUT_PLAN_FILE: "plan.json",
    GITHUB_STEP_SUMMARY: folder.at("summary"),
    GITHUB_OUTPUT: folder.at("output"),
    GITHUB_REPOSITORY: "acme/groups",
    GITHUB_ACTOR: "grace",
    GH_TOKEN: "a-token-of-github",
    PULL_REQUEST: "7",
    ...inputs,
  };
  return new Promise((resolve) => {
    const child = spawn(join(root, "scripts/action.sh"), { cwd: folder.path, env });
    let log = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (log += text.toString()));
    child.on("close", (code) => resolve({ code, log }));
  });
}
const commentText = () => (JSON.parse(folder.read("comment.json")) as { readonly body: string }).body;
const secrets = () =>
  Object.entries(sampleEnvironment(sandbox)).flatMap(([name, value]) => (name.endsWith("_ID") ? [] : [value]));

describe("the action", () => {
  it("plans: exits with 0 on changes, saves the plan, writes a comment, and the second time the same one", async () => {
    const first = await act({ INPUT_COMMAND: "plan" });
    expect(first.code).toBe(0);
    expect(folder.read("output")).toBe("exit-code=2\nstatus=changes\n");
    expect(JSON.parse(folder.read("plan.json"))).toMatchObject({ kind: "plan", status: "changes" });
    expect(folder.read("summary")).toMatch(/^#+ Plan plan-/);
    expect(commentText()).toBe(`<!-- group-sync: group-sync.yaml -->\n${folder.read("summary")}`);
    expect(folder.read("calls")).toMatch(/--method POST repos\/acme\/groups\/issues\/7\/comments --input/);

    folder.write("comments", "4711\n");
    folder.write("calls", "");
    await act({ INPUT_COMMAND: "plan", INPUT_ARGUMENTS: "--provider docs --no-removals" });
    expect(folder.read("calls")).toMatch(/--method PATCH repos\/acme\/groups\/issues\/comments\/4711 --input/);
    expect(JSON.parse(folder.read("plan.json"))).toMatchObject({ providers: [{ id: "docs" }] });
    const everything = first.log + folder.read("summary") + folder.read("comment.json") + folder.read("plan.json");
    expect([...secrets(), "a-token-of-github"].filter((secret) => everything.includes(secret))).toEqual([]);
  });

  it("applies the plan that was saved, and refuses to go without one", async () => {
    const none = await act({ INPUT_COMMAND: "apply", INPUT_PLAN_FILE: "none.json" });
    expect(none).toMatchObject({ code: 1, log: expect.stringContaining("::error::There is no none.json") });
    await act({ INPUT_COMMAND: "plan", INPUT_COMMENT: "false" });
    expect(folder.read("calls")).toBe("");
    const done = await act({ INPUT_COMMAND: "apply" });
    expect([done.code, folder.read("output").split("\n").slice(-3)]).toEqual([
      0,
      ["exit-code=0", "status=converged", ""],
    ]);
    expect(folder.read("summary")).toMatch(/^#+ Report run-/m);
  });

  it("leaves what is held, and releases it in the name of whoever started the run", async () => {
    folder.write(
      "group-sync.yaml",
      quickSpec(sandbox, ({ groups }) => {
        Object.assign(groups["support-queue"] ?? {}, { members: ["annie"] });
      }),
    );
    const only = { INPUT_ARGUMENTS: "--group support-queue" };
    expect((await act({ INPUT_COMMAND: "plan", ...only })).code).toBe(0);
    expect(folder.read("output")).toBe("exit-code=3\nstatus=held\n");
    expect((await act({ INPUT_COMMAND: "apply" })).code).toBe(3);
    expect((await act({ INPUT_COMMAND: "apply", INPUT_APPROVE: "support-queue" })).code).toBe(0);
    expect(JSON.parse(folder.read("plan.json"))).toMatchObject({ approvals: [{ approvedBy: "grace" }] });
  });

  it("fails on a spec that is wrong, before anything is sent, and goes on when GitHub takes no comment", async () => {
    folder.write("wrong.yaml", "version: 1\n");
    expect((await act({ INPUT_COMMAND: "plan", INPUT_CONFIG: "wrong.yaml" })).code).toBe(1);
    expect(sandbox.log).toHaveLength(0);
    program("gh", "exit 1");
    const ran = await act({ INPUT_COMMAND: "plan" });
    expect(ran).toMatchObject({ code: 0, log: expect.stringContaining("::warning::The plan could not be written") });
    expect(existsSync(folder.at("plan.json"))).toBe(true);
  });
});
