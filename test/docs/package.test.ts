/** What is published, and what each of its entries loads. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./markdown.js";

if (!existsSync(join(root, "dist/index.js"))) throw new Error("The package is not built: npm run build first.");

interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<"types" | "default", string>>>>;
  readonly bin: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

/** Files that `npm pack` would take. */
function listPacked(): readonly string[] {
  const { stdout } = spawnSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: root,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  const [pack] = JSON.parse(stdout) as readonly [{ readonly files: readonly { readonly path: string }[] }];
  return pack.files.map(({ path }) => path);
}

/** Writes down every file that is loaded, from the thread that Node loads them in. */
const HOOK = `
import { writeSync } from "node:fs";
export async function load(url, context, next) {
  writeSync(1, url + "\\n");
  return next(url, context);
}`;

/** Files that importing an entry loads, relative to the root; of packages only their names. */
function listLoaded(entry: string): ReadonlySet<string> {
  const script = `
import { register } from "node:module";
register("data:text/javascript," + encodeURIComponent(${JSON.stringify(HOOK)}));
await import(${JSON.stringify(entry)});`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: root,
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([0, ""]);
  return new Set(
    stdout.split("\n").flatMap((url) => {
      const [, name] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? [];
      const [, file] = /\/(dist\/.*)$/.exec(url) ?? [];
      return name ?? file ?? [];
    }),
  );
}

describe("the package", () => {
  it("holds what users need, and nothing else", () => {
    const packed = listPacked();
    expect(
      packed.filter((path) => !/^(dist\/.*(\.js|\.d\.ts)|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path)),
    ).toEqual([]);
    const entries = Object.values(manifest.exports).flatMap((entry) =>
      typeof entry === "string" ? entry : Object.values(entry),
    );
    for (const path of [...entries, ...Object.values(manifest.bin)]) expect(packed).toContain(path.replace("./", ""));
    expect(packed.length).toBeGreaterThan(100);
  });
});

describe("an entry loads what it needs", () => {
  const services = ["neuroio", "brainstem", "docspace", "genesys", "scim"];

  it.each(services)("of %s, and nothing of the others, the core, the command line or the sandbox", (service) => {
    const loaded = [...listLoaded(`group-sync/${service}`)];
    expect(loaded).toContain(`dist/providers/${service}/provider.js`);
    const own = /^dist\/(errors|model|provider|collections)\.js$|^dist\/http\//;
    const foreign = loaded.filter((file) => file.startsWith("dist/") && !own.test(file));
    expect(foreign.filter((file) => !file.startsWith(`dist/providers/${service}/`))).toEqual([]);
    expect(loaded.filter((file) => /^(hono|kysely|commander|yaml|libsql|vitest)$/.test(file))).toEqual([]);
  });

  it("of the library: no store, sandbox, command line, queue or test runner before it is asked for", () => {
    const loaded = [...listLoaded("group-sync")];
    expect(loaded).toContain("dist/reconcile/reconcile.js");
    expect(loaded.filter((file) => /^dist\/(sandbox|cli|testing)\//.test(file))).toEqual([]);
    expect(
      loaded.filter((file) => /^(hono|@hono|kysely|libsql|pg|bullmq|ioredis|commander|vitest|cli-progress)/.test(file)),
    ).toEqual([]);
  });

  it("of the sandbox: no adapter, and nothing of the core", () => {
    const ours = [...listLoaded("group-sync/sandbox")].filter((file) => file.startsWith("dist/"));
    expect(ours).toContain("dist/sandbox/server.js");
    expect(ours.filter((file) => !file.startsWith("dist/sandbox/"))).toEqual([]);
  });
});
