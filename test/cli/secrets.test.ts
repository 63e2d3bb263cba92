/** No command ever shows a credential: not in results, remarks, errors, plans or reports. */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Fault, Sandbox } from "../../src/sandbox/index.js";
import { createFolder, quickSpec, type Ran, run, sampleEnvironment, sampleSpec, startSandbox } from "./kit.js";

const folder = createFolder();
let sandbox: Sandbox;
let env: Readonly<Record<string, string>>;
let secrets: readonly string[];

beforeAll(async () => {
  sandbox = await startSandbox();
  env = sampleEnvironment(sandbox);
  const {
    NEUROIO_TOKEN = "",
    BRAINSTEM_TOKEN = "",
    DOCSPACE_API_KEY = "",
    GENESYS_CLIENT_SECRET = "",
    GENESYS_CLIENT_ID,
  } = env;
  const basic = Buffer.from(`${GENESYS_CLIENT_ID}:${GENESYS_CLIENT_SECRET}`).toString("base64");
  secrets = [NEUROIO_TOKEN, BRAINSTEM_TOKEN, DOCSPACE_API_KEY, GENESYS_CLIENT_SECRET, basic];
  if (secrets.some((secret) => secret.length < 12)) throw new Error("A secret is too short to be recognised.");
  folder.write("env.yaml", quickSpec(sandbox));
  folder.write("literal.yaml", sampleSpec(sandbox, { secrets: "literal" }));
});
afterAll(async () => {
  await sandbox.close();
  folder.remove();
});

const here = (...args: string[]) => run(args, { cwd: folder.path, env });

function expectNoSecret(ran: Ran, what: string, hidden = secrets): void {
  const text = ran.stdout + ran.stderr;
  const shown = hidden
    .filter((secret) => text.includes(secret))
    .map((secret) => `${what} shows ${secret.slice(0, 6)}…`);
  expect(shown).toEqual([]);
  expect(text).not.toBe("");
  // A token that Genesys issued stands in no text either.
  expect(text).not.toMatch(/[Bb]earer [\w.-]{8}|access_token/);
}

const everything = [
  ["validate", "--json"],
  ["check", "-v"],
  ["check", "--json"],
  ["plan", "--json"],
  ["plan", "--format", "html"],
  ["export", "--provider", "calls"],
];
// What a secret that is written out in the file might slip into.
const most = [
  ["validate", "-v"],
  ["plan", "-v", "--out", "plan.json"],
  ["export", "--provider", "faces", "-v"],
  ["export", "--provider", "docs", "--json"],
  ["apply", "--yes", "-v", "--json", "--report", "report.json"],
];

it.each([
  ...everything.map((args) => [...args, "-c", "env.yaml"]),
  ...most.flatMap((args) => ["env.yaml", "literal.yaml"].map((spec) => [...args, "-c", spec])),
])("%s %s %s %s %s %s %s shows none", async (...args) => {
  const ran = await here(...args);
  expect([0, 2]).toContain(ran.code);
  expectNoSecret(ran, args.join(" "));
});

it("saved plans and reports hold none", () => {
  const saved = readdirSync(folder.path).filter((name) => name.endsWith(".json"));
  expect(saved.toSorted()).toEqual(["plan.json", "report.json"]);
  for (const name of saved) expectNoSecret({ code: 0, stdout: folder.read(name), stderr: "" }, name);
});

describe("when something goes wrong", () => {
  const faults: readonly Fault[] = [
    { kind: "server-error", times: 0 },
    { kind: "html", times: 0 },
    { kind: "truncate", times: 0 },
    { kind: "reset-before", times: 0 },
  ];
  it.each(faults)("$kind shows none", async (fault) => {
    sandbox.addFault(fault);
    const ran = await here("plan", "-v", "-c", "env.yaml");
    sandbox.clearFaults();
    expect(ran.code).toBe(1);
    expectNoSecret(ran, fault.kind);
  });

  it("wrong credentials are shown no more than right ones", async () => {
    const wrong = {
      NEUROIO_TOKEN: "hush-neuroio-0001",
      BRAINSTEM_TOKEN: "hush-brainstem-0002",
      DOCSPACE_API_KEY: "sk-hush-docspace-0003",
      GENESYS_CLIENT_SECRET: "hush-genesys-0004",
    };
    const options = { cwd: folder.path, env: { ...env, ...wrong } };
    const [check, plan, document] = await Promise.all([
      run(["check", "-v", "-c", "env.yaml"], options),
      run(["plan", "-v", "-c", "env.yaml"], options),
      run(["plan", "--json", "-c", "env.yaml"], options),
    ]);
    for (const ran of [check, plan, document]) {
      expect(ran.code).toBe(1);
      expectNoSecret(ran, "wrong credentials", Object.values(wrong));
    }
  });

  it("a secret in the wrong place of the file is not repeated", async () => {
    const secret = "hush-misplaced-0005";
    const entries = [
      `{ type: docspce, apiKey: ${secret} }`,
      `{ type: docspace, apiKey: [${secret}] }`,
      `{ type: docspace, apiKye: ${secret} }`,
      `{ type: brainstem, token: { value: ${secret} } }`,
      `{ type: docspace, baseUrl: "https://user:${secret}@docs.example.org", apiKey: "\${DOCSPACE_API_KEY}" }`,
      `{ type: brainstem, token: ${secret}`,
    ];
    const spec = (entry: string) => `version: 1\nmode: additive\nproviders:\n  it: ${entry}\ngroups: {}\n`;
    const runs = await Promise.all(
      entries.map((entry, index) => {
        folder.write(`misplaced-${index}.yaml`, spec(entry));
        return here("validate", "-v", "-c", `misplaced-${index}.yaml`);
      }),
    );
    for (const [index, ran] of runs.entries()) {
      expect({ entry: entries[index], code: ran.code }).toEqual({ entry: entries[index], code: 1 });
      expectNoSecret(ran, entries[index] ?? "", [secret]);
    }
  });
});
