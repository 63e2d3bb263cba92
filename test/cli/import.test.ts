/** `import` as users run it, and its spec through `validate`. */
import { afterAll, describe, expect, it } from "vitest";
import { createFolder, expectClear, json, run } from "./kit.js";

const folder = createFolder();
afterAll(() => folder.remove());
const env = {
  NEUROIO_TOKEN: "t",
  BRAINSTEM_TOKEN: "t",
  DOCSPACE_API_KEY: "sk-t",
  GENESYS_CLIENT_ID: "1",
  GENESYS_CLIENT_SECRET: "2",
  SCIM_TOKEN: "t",
};
const here = (...args: string[]) => run(args, { cwd: folder.path, env });

describe("import", () => {
  it.each(["genesys", "docspace", "brainstem", "neuroio", "scim"])(
    "writes a spec for %s that validates",
    async (type) => {
      folder.write("people.csv", "group,email,role\nCrew,ada@example.org,manager\nCrew,grace@example.org,\n");
      const made = await here("import", "people.csv", "--to", type, "--out", `${type}.yaml`);
      expect(made).toMatchObject({ code: 0, stdout: "" });
      expect(made.stderr).toContain(`1 group and 2 people written to ${type}.yaml`);
      const checked = await here("validate", "-c", `${type}.yaml`);
      expect(checked.stdout).toContain("is good: 2 people, 1 group");
      expect(checked.code).toBe(0);
    },
  );

  it("prints it, or one JSON document", async () => {
    folder.write("org.yaml", "teams:\n  crew:\n    privacy: closed\n    members: [ada]\n");
    const printed = await here("import", "org.yaml");
    expect(printed.stdout).toMatch(/^# Imported from org\.yaml \(peribolos\)/);
    expect(printed.stderr).toContain("crew: not carried: privacy");
    const machine = json(await here("import", "org.yaml", "--json"));
    expect(machine).toMatchObject({ kind: "import", format: "peribolos", groups: 1, people: 1, spec: printed.stdout });
  });

  it("tells what is wrong with file, line and column, and writes nothing", async () => {
    folder.write("bad.csv", "group,person,role\nCrew,ada,boss\n");
    const ran = await here("import", "bad.csv", "--out", "never.yaml");
    expectClear(ran, /^bad\.csv:2:10: error: Found the role "boss"/);
    expect(ran.code).toBe(1);
    expect(() => folder.read("never.yaml")).toThrow(/ENOENT/);
    expectClear(await here("import", "none.csv"), /none\.csv cannot be read: there is no such file/);
    expectClear(await here("import", "bad.csv", "--to", "slack"), /There is no service "slack"/);
  });
});
