/** What `init` asks on a terminal, and what it takes from flags. */
import { stripVTControlCharacters } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { createFolder, expectClear, run, startOnTerminal } from "./kit.js";

const folder = createFolder();
afterAll(() => folder.remove());

const here = (...args: string[]) => run(args, { cwd: folder.path });

interface Starter {
  readonly mode: string;
  readonly providers: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly people: Readonly<Record<string, { readonly accounts?: object }>>;
  readonly groups: Readonly<Record<string, { readonly targets: object }>>;
}
const read = (name: string) => parse(folder.read(name)) as Starter;

/** Validates with every variable set that the file names. */
function validate(name: string) {
  const names = [...folder.read(name).matchAll(/\$\{([A-Z_]+)\}/g)].map(([, variable = ""]) => variable);
  const env = Object.fromEntries(names.map((variable) => [variable, `sk-${variable}`]));
  return run(["validate", "-c", name], { cwd: folder.path, env });
}

describe("init by flags", () => {
  it.each(["neuroio", "brainstem", "docspace", "genesys", "scim"])(
    "writes a starter for %s alone that validates",
    async (service) => {
      const { code, stderr } = await here("init", "-c", `${service}.yaml`, "--yes", "--service", service);
      expect([code, stderr]).toEqual([0, ""]);
      const { mode, providers, groups } = read(`${service}.yaml`);
      expect(mode).toBe("authoritative");
      expect(Object.values(providers).map(({ type }) => type)).toEqual([service]);
      expect(Object.keys(groups["night-shift"]?.targets ?? {})).toEqual(Object.keys(providers));
      expect(await validate(`${service}.yaml`)).toMatchObject({ code: 0, stderr: "" });
    },
  );

  it("gives two accounts of one service keys and variables of their own", async () => {
    await here("init", "-c", "two.yaml", "--mode", "owned", "--service", "east=genesys", "west=genesys", "docspace");
    const { mode, providers } = read("two.yaml");
    expect(mode).toBe("owned");
    expect(providers["east"]?.["clientSecret"]).toBe("${EAST_CLIENT_SECRET}");
    expect(providers["west"]?.["clientSecret"]).toBe("${WEST_CLIENT_SECRET}");
    expect(providers["docs"]?.["apiKey"]).toBe("${DOCSPACE_API_KEY}");
    expect(await validate("two.yaml")).toMatchObject({ code: 0, stderr: "" });
  });

  it.each([
    [["--service", "genesy"], /^There is no service "genesy"\. Did you mean "genesys"\?/],
    [["--service", "constructor"], /^There is no service "constructor"\./],
    [["--service", "genesys", "genesys"], /^Two services would be called "calls"; .*east=genesys west=genesys/],
    [["--service", "my calls=genesys"], /^"my calls" is no key;/],
    [["--mode", "authorative"], /Allowed choices are authoritative, additive, owned/],
  ])("refuses %j and writes nothing", async (flags, message) => {
    const ran = await here("init", "-c", "never.yaml", ...flags);
    expect(ran.code).toBe(1);
    expectClear(ran, message);
    expect(() => folder.read("never.yaml")).toThrow("ENOENT");
  });
});

describe("init on a terminal", () => {
  it("asks for services, mode and file, and asks again when it cannot read the answer", async () => {
    const running = startOnTerminal(["init"], 120, { cwd: folder.path });
    await running.until(/Which services\?.*\]: /s);
    running.child.stdin?.write("docspace genesy\n");
    await running.until(/Did you mean "genesys"\?.*\]: /s);
    running.child.stdin?.write("docspace, calls=genesys\n");
    await running.until(/Which mode\?.*\]: /s);
    running.child.stdin?.write("add\n");
    await running.until(/Which file\?.*\]: /s);
    running.child.stdin?.write("asked.yaml\n");
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(stripVTControlCharacters(stdout)).toContain("group-sync validate -c asked.yaml");
    const { mode, providers } = read("asked.yaml");
    expect([mode, Object.keys(providers)]).toEqual(["additive", ["docs", "calls"]]);
  });

  it("does not ask what flags have said, and takes the usual for an empty answer", async () => {
    const args = ["init", "-c", "flags.yaml", "--service", "scim"];
    const running = startOnTerminal(args, 120, { cwd: folder.path });
    await running.until(/Which mode\?.*\]: /s);
    running.child.stdin?.write("\n");
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/Which services|Which file/);
    expect(read("flags.yaml").mode).toBe("authoritative");
  });

  it("writes nothing after Ctrl-C", async () => {
    const running = startOnTerminal(["init", "-c", "stopped.yaml"], 120, { cwd: folder.path });
    await running.until(/Which services\?.*\]: /s);
    running.child.stdin?.write("\u0003");
    const { code, stdout } = await running.ended;
    expect(code).toBe(1);
    expect(stdout).toContain("Stopped; nothing was written.");
    expect(() => folder.read("stopped.yaml")).toThrow("ENOENT");
  });

  it("says before the first question that the file is there already", async () => {
    folder.write("there.yaml", "mine");
    const { code, stdout } = await startOnTerminal(["init", "-c", "there.yaml"], 120, { cwd: folder.path }).ended;
    expect(code).toBe(1);
    expect(stdout).toContain("it is there already");
    expect(stdout).not.toContain("Which");
  });

  it("asks nothing with --yes", async () => {
    const { code, stdout } = await startOnTerminal(["init", "-y", "-c", "yes.yaml"], 120, { cwd: folder.path }).ended;
    expect([code, Object.keys(read("yes.yaml").providers)]).toEqual([0, ["faces", "lab", "docs", "calls"]]);
    expect(stdout).not.toContain("Which");
  });
});
