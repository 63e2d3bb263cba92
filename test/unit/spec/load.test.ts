import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadSpec, parseSpec } from "../../../src/spec/index.js";
import { HEAD, problemsFrom, providerTypes, say } from "./kit.js";

const options = { providerTypes, env: { TOKEN: "t0p-secret" } };
const TEXT = `${HEAD}people: { file: data/people.csv }\ngroups: { a: { members: [ada] } }\n`;
let folder = "";
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "group-sync-spec-"));
  await mkdir(at("data"));
  await writeFile(at("team.yaml"), TEXT);
  await writeFile(at("data/people.csv"), "id,email\nada,ada@x.org\n");
});

afterAll(() => rm(folder, { recursive: true }));

describe("loadSpec", () => {
  test("reads a spec and the CSV files beside it", async () => {
    const spec = await loadSpec(at("team.yaml"), options);
    expect(spec).toMatchObject({
      version: 1,
      mode: "authoritative",
      people: { ada: { email: "ada@x.org" } },
      warnings: [],
    });
    expect(spec.targets).toMatchObject([
      { group: "a", provider: "main", members: [{ person: "ada", role: "member" }] },
    ]);
  });

  test("says why a file cannot be read", async () => {
    await writeFile(at("latin1.yaml"), Buffer.from("# caf\xe9\n", "latin1"));
    await writeFile(at("utf16.yaml"), Buffer.from("\uFEFFversion: 1\n", "utf16le"));
    const expected = {
      "nowhere.yaml": "there is no such file",
      data: "it is a folder, not a file",
      "team.yaml/x.yaml": "a part of the path is a file, not a folder",
      "latin1.yaml": "it is not UTF-8 text; save it in UTF-8",
      "utf16.yaml": "it is written in UTF-16; save it in UTF-8",
    };
    for (const [name, why] of Object.entries(expected)) {
      const problems = await problemsFrom(loadSpec(at(name), options));
      expect(problems.map(say)).toEqual([`${at(name)}:1:1 error : Cannot read the spec: ${why}.`]);
    }
  });

  test("says that a file may not be read", async () => {
    const denied = () => Promise.reject(Object.assign(new Error("no"), { code: "EACCES" }));
    const problems = await problemsFrom(loadSpec("team.yaml", { ...options, readFile: denied }));
    expect(problems.map(say)).toEqual([
      "team.yaml:1:1 error : Cannot read the spec: we may not read it (permission denied).",
    ]);
    const broken = () => Promise.reject(new Error("the disk is on fire."));
    const others = await problemsFrom(loadSpec("team.yaml", { ...options, readFile: broken }));
    expect(others.map(say)).toEqual(["team.yaml:1:1 error : Cannot read the spec: the disk is on fire."]);
  });

  test("says where the spec names a CSV file that cannot be read", async () => {
    await writeFile(at("data/latin1.csv"), Buffer.from("id,name\nada,caf\xe9\n", "latin1"));
    await writeFile(at("wrong.yaml"), TEXT.replace("people.csv", "latin1.csv"));
    const problems = await problemsFrom(loadSpec(at("wrong.yaml"), options));
    expect(problems.map(say)).toEqual([
      `${at("wrong.yaml")}:5:17 error people.file: Cannot read ${JSON.stringify(at("data/latin1.csv"))}: it is not UTF-8 text; save it in UTF-8. (The path is relative to the spec's folder.)`,
    ]);
    await chmod(at("data/latin1.csv"), 0o600);
  });
});

describe("parseSpec", () => {
  test("reads no file that it was not given a way to read", async () => {
    const problems = await problemsFrom(parseSpec(TEXT, options));
    expect(problems.map(say)).toEqual([
      'group-sync.yaml:5:17 error people.file: Found the file "data/people.csv", but no way to read files was given (the option readFile).',
    ]);
  });

  test("takes the environment of the process unless told otherwise", async () => {
    const text = HEAD.replace("${TOKEN}", "${PATH}");
    const spec = await parseSpec(`${text}groups: {}\n`, { providerTypes });
    expect(spec.providers[0]?.options).toEqual({ token: process.env["PATH"] });
  });

  test("throws one error with a code, a count and every problem, warnings too", async () => {
    const text = "version: 1\nmode: additive\nproviders:\n  a: { type: plain, token: x }\ngroups: 5\nadopt: 1\n";
    await expect(parseSpec(text, options)).rejects.toMatchObject({
      name: "SpecError",
      code: "spec-invalid",
      message: expect.stringContaining("The spec has 2 errors; nothing was sent."),
      problems: [{ severity: "warning" }, { severity: "error" }, { severity: "error" }],
    });
  });
});
