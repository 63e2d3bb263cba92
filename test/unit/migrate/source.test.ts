import { describe, expect, it, onTestFinished } from "vitest";
import { createProviders, parseSpec } from "../../../src/index.js";
import { readSource } from "../../../src/migrate/source.js";
import { type ServiceName, startSandbox } from "../../../src/sandbox/index.js";

const people = Array.from({ length: 6 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const groups = Array.from({ length: 12 }, (_, index) => ({ name: `Group ${index}`, members: [`p${index % 6}`] }));

async function start(service: ServiceName, more: readonly { name: string; kind: "dynamic"; members: string[] }[] = []) {
  const sandbox = await startSandbox({ services: [service], seed: { people, groups: [...groups, ...more] } });
  onTestFinished(() => sandbox.close());
  const config = sandbox.config();
  const text = JSON.stringify({ version: 1, mode: "additive", providers: config, groups: {} });
  const spec = await parseSpec(text, { file: "test.json" });
  const [provider] = createProviders(spec);
  if (!provider) throw new Error("no provider");
  return { sandbox, provider };
}

describe("a source", () => {
  it.each<readonly [ServiceName, number]>([
    // Who we are and what may be done; then lists, and one call a group at the most.
    ["brainstem", 12],
    ["docspace", 12 + 6],
    ["neuroio", 12 + 6],
    // Each group's kind has a call of its own.
    ["genesys", 2 * 12 + 10],
  ])("is read from lists at %s, not group by group with calls of their own", async (service, most) => {
    const { sandbox, provider } = await start(service);
    const { snapshots } = await readSource({ provider });
    const sizes = snapshots.map(({ group, members }) => `${group.name}: ${members.length}`);
    expect(sizes.toSorted()).toEqual(groups.map(({ name }) => `${name}: 1`).toSorted());
    expect(snapshots.every(({ evidence }) => evidence.complete)).toBe(true);
    expect(sandbox.log.length).toBeLessThanOrEqual(most);
  });

  it("leaves a group out that is filled by rules, and does not ask for its members", async () => {
    const { sandbox, provider } = await start("genesys", [{ name: "Skilled", kind: "dynamic", members: ["p0"] }]);
    const { snapshots, foreign } = await readSource({ provider });
    expect(snapshots).toHaveLength(groups.length);
    expect(foreign.map(({ name, kind }) => [name, kind])).toEqual([["Skilled", "dynamic"]]);
    expect(sandbox.log.filter(({ path }) => path.endsWith(`/groups/${foreign[0]?.id}/individuals`))).toEqual([]);
  });
});
