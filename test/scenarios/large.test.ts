/** A group of 100,000 people at NeuroIO: read whole, and 1,000 of them changed. People and memberships come as CSV. */
import { expect, it } from "vitest";
import { createProviders, parseSpec, reconcile } from "../../src/index.js";
import { startSandbox } from "../../src/sandbox/index.js";

it("reads a group of 100,000 people whole and changes 1,000 of them", async () => {
  const people = Array.from({ length: 100_500 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
  const ids = people.map(({ id }) => id);
  const sandbox = await startSandbox({
    seed: { people, groups: [{ name: "Everybody", members: ids.slice(0, 100_000) }] },
    services: ["neuroio"],
    logSize: 50,
  });
  try {
    const { control } = sandbox.services.neuroio;
    const files: Readonly<Record<string, string>> = {
      "people.csv": [
        "id,email,faces",
        ...people.map(({ id, email }) => `${id},${email},${control.accountOf(id)}`),
      ].join("\n"),
      "memberships.csv": ["group,person", ...ids.slice(500).map((id) => `everybody,${id}`)].join("\n"),
    };
    const text = JSON.stringify({
      version: 1,
      mode: "authoritative",
      adopt: true,
      providers: sandbox.config(),
      people: { file: "people.csv" },
      groups: { everybody: { name: "Everybody", targets: ["faces"] } },
      memberships: { file: "memberships.csv" },
      guards: { maxRemovals: { count: 500, percent: 25 } },
    });
    const spec = await parseSpec(text, { file: "large.json", readFile: async (file) => files[file] ?? "" });
    const report = await reconcile({ spec, providers: createProviders(spec) });
    expect({ status: report.status, summary: report.summary }).toEqual({
      status: "converged",
      summary: { applied: 1_000, already: 0, pending: 0, held: 0, skipped: 0, failed: 0, unknown: 0 },
    });
    const [group] = control.groups();
    const members = new Set(group?.members.map(({ account }) => account));
    expect(members.size).toBe(100_000);
    expect(ids.slice(500).every((id) => members.has(control.accountOf(id) ?? ""))).toBe(true);
    // 500 removed and 500 added, 100 people to a call.
    expect(report.providers[0]?.calls.write).toBe(10);
  } finally {
    await sandbox.close();
  }
}, 180_000);
