/** What the RFCs leave to each SCIM service, every way it can be: one story under every value of every switch. */
import { expect, it } from "vitest";
import { createProviders, parseSpec, reconcile } from "../../src/index.js";
import { scimSwitches, startSandbox } from "../../src/sandbox/index.js";

const people = Array.from({ length: 130 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const ids = (from: number, to: number) => people.slice(from, to).map(({ id }) => id);
const groups = {
  Changed: { members: ids(1, 6) },
  Large: { members: ids(5, 125) },
  Renamed: { previously: ["Old name"], members: ids(0, 2) },
  New: { members: ids(0, 120) },
};
const seed = {
  people,
  groups: [
    { name: "Changed", members: ids(0, 4) },
    { name: "Large", members: ids(0, 120) },
    { name: "Old name", members: ids(0, 2) },
    { name: "Untouched", members: ids(0, 3) },
  ],
};
const numbers: Readonly<Record<string, readonly number[]>> = { maxResults: [1, 3], lag: [150] };
const settings = Object.entries(scimSwitches).flatMap(([name, values]) =>
  [...values.filter((value) => value !== "number"), ...(numbers[name] ?? [])].map(
    (value) => [`${name}: ${value}`, name, value] as const,
  ),
);

it("has values for every switch that takes a number", () => {
  const numeric = Object.entries(scimSwitches).filter(([, values]) =>
    (values as readonly unknown[]).includes("number"),
  );
  expect(numeric.map(([name]) => name)).toEqual(Object.keys(numbers));
});

it.concurrent.each(settings)("ends well under %s", async (_title, name, value) => {
  const sandbox = await startSandbox({ services: ["scim"], seed, switches: { scim: { [name]: value } } });
  try {
    const { control } = sandbox.services.scim;
    // A service that takes fewer filters is told so, and one that takes none leaves nothing but pinned ids.
    const option = name === "filter" && value === "userName" ? { addressIn: "userName" } : {};
    const isPinned = name === "filter" && value === "off";
    const spec = await parseSpec(
      JSON.stringify({
        version: 1,
        mode: "authoritative",
        adopt: true,
        providers: {
          directory: { ...sandbox.config()["directory"], ...option, retryDelayMs: 1, requestsPerMinute: 1_000_000 },
        },
        people: Object.fromEntries(
          people.map(({ id, email }) => [
            id,
            { email, ...(isPinned && { accounts: { directory: control.accountOf(id) } }) },
          ]),
        ),
        groups: Object.fromEntries(
          Object.entries(groups).map(([key, group]) => [key, { name: key, ...group, targets: ["directory"] }]),
        ),
      }),
      { file: "test.json" },
    );
    const report = await reconcile({ spec, providers: createProviders(spec), verifyMs: 2_000 });
    expect({ status: report.status, residual: report.residual }).toEqual({ status: "converged", residual: [] });
    const actual = control
      .groups()
      .map((group) => [group.name, group.members.map(({ account }) => account).toSorted()]);
    const accounts = (members: readonly string[]) => members.map((id) => control.accountOf(id) ?? "").toSorted();
    const wanted = Object.entries(groups).map(([key, { members }]) => [key, accounts(members)]);
    expect(Object.fromEntries(actual)).toEqual(Object.fromEntries([...wanted, ["Untouched", accounts(ids(0, 3))]]));
  } finally {
    await sandbox.close();
  }
});
