/**
 * Every fault of the sandbox, on each service, while reading and while writing: nobody is removed wrongly, the report and
 * the exit code tell the truth, and a run after the fault is gone converges.
 */
import { describe, expect, it } from "vitest";
import { exitCodeOfReport } from "../../src/cli/exit.js";
import { type Report, reconcile } from "../../src/index.js";
import type { Fault, Seed } from "../../src/sandbox/index.js";
import {
  expectConverged,
  type ProviderKey,
  providerIds,
  providerKeys,
  specFor,
  startWorld,
  trueMembers,
  wantedMembers,
  type World,
} from "./world.js";

const people = Array.from({ length: 14 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const seed: Seed = {
  people,
  groups: [
    { name: "Alpha", members: ["p0", "p1", "p2", "p3", "p4", "p5"] },
    { name: "Beta", members: ["p4", "p5", "p6", "p7", "p8"] },
    { name: "Old gamma", members: ["p0", "p9", "p10", "p11"] },
    { name: "Untouched", members: ["p12", "p13"] },
  ],
};
/** One person leaves each group, some come, one group is renamed and one is new. */
const wish = {
  groups: [
    { name: "Alpha", members: ["p0", "p1", "p2", "p3", "p4", "p6", "p7"] },
    { name: "Beta", members: ["p4", "p5", "p6", "p7", "p9"] },
    { name: "Gamma", previously: ["Old gamma"], members: ["p0", "p9", "p10", "p12"] },
    { name: "Delta", members: ["p1", "p2", "p3"] },
  ],
  connection: { timeoutMs: 400, maxAttempts: 3, maxWaitMs: 1_500 },
};
const former: Readonly<Record<string, readonly string[]>> = {
  Alpha: ["p0", "p1", "p2", "p3", "p4", "p5"],
  Beta: ["p4", "p5", "p6", "p7", "p8"],
  Gamma: ["p0", "p9", "p10", "p11"],
  Delta: [],
};

const noLimits = { maxRemovals: { count: 1_000, percent: 100 } };

type BareOf<F> = F extends Fault ? Omit<F, "service" | "when"> : never;
type Bare = BareOf<Fault>;
const faults: readonly (readonly [string, Bare])[] = [
  ["429 with seconds", { kind: "rate-limit", retryAfter: "seconds", seconds: 1 }],
  ["429 with a date", { kind: "rate-limit", retryAfter: "http-date", seconds: 1 }],
  ["429 without Retry-After", { kind: "rate-limit", retryAfter: "none" }],
  ["429 with garbage", { kind: "rate-limit", retryAfter: "garbage" }],
  ["429 for hours", { kind: "rate-limit", retryAfter: "huge" }],
  ["500 once", { kind: "server-error", status: 500 }],
  ["503 once", { kind: "server-error", status: 503 }],
  ["503 for good", { kind: "server-error", status: 503, times: 0 }],
  ["504 after it was done", { kind: "server-error", status: 504, applied: true }],
  ["an HTML page with 502", { kind: "html", status: 502 }],
  ["an HTML page with 200", { kind: "html", status: 200 }],
  ["HTML for good", { kind: "html", status: 200, times: 0 }],
  ["a reset before", { kind: "reset-before" }],
  ["a reset after", { kind: "reset-after" }],
  ["resets after, several", { kind: "reset-after", times: 3 }],
  ["broken JSON", { kind: "truncate", variant: "broken-json" }],
  ["a short body", { kind: "truncate", variant: "short-body" }],
  ["an empty page", { kind: "empty-page", totals: "kept", times: 0 }],
  ["an empty page with totals of zero", { kind: "empty-page", totals: "too" }],
  ["short pages", { kind: "short-page", rows: 1, times: 0 }],
  ["one short page", { kind: "short-page", rows: 2 }],
  ["a 200 that lies", { kind: "lying-200" }],
  ["only 200s that lie", { kind: "lying-200", times: 0 }],
  ["lag", { kind: "lag", ms: 400, times: 0 }],
  ["someone else adding", { kind: "edit", at: "after", edit: { action: "add-member", group: "Alpha", person: "p13" } }],
  [
    "someone else removing",
    { kind: "edit", at: "before", edit: { action: "remove-member", group: "Alpha", person: "p1" } },
  ],
  ["an expired token", { kind: "expired-token" }],
  ["a hang", { kind: "hang", ms: 1_000 }],
  ["a hang after it was done", { kind: "hang", ms: 1_000, applied: true }],
  ["a slow answer", { kind: "slow", ms: 150 }],
  ["a dripping body", { kind: "drip", ms: 1_000 }],
];
const cases = faults.flatMap(([name, fault]) =>
  (["read", "write"] as const)
    .filter((when) =>
      when === "read" ? !["lying-200", "lag"].includes(fault.kind) : !["empty-page", "short-page"].includes(fault.kind),
    )
    .flatMap((when) => [0, 2].map((skip) => [`${name}, ${when}, after ${skip}`, { ...fault, when, skip }] as const)),
);

describe.each(providerKeys)("%s", (provider) => {
  it.concurrent.each(cases)(
    "survives %s",
    async (_name, fault) => {
      const service = providerIds[provider];
      const world = await startWorld({ seed, services: [service] });
      try {
        world.sandbox.addFault({ ...fault, service });
        const { spec, providers } = await specFor(world, wish);
        const report = await reconcile({ spec, providers, verifyMs: 1_000 });
        expectNoWrongRemoval(world, provider, fault);
        expectTruth(world, provider, report, fault);

        world.sandbox.clearFaults();
        const again = await specFor(world, {
          ...wish,
          // New credentials where the old ones were revoked for good; a scope of its own, so that no pause is inherited.
          connection: { ...wish.connection, timeoutMs: 4_000 },
        });
        if (fault.kind === "expired-token" && service !== "genesys") return;
        if (fault.kind === "rate-limit" && "retryAfter" in fault && fault.retryAfter === "huge")
          expect(exitCodeOfReport(report)).not.toBe(0);
        const second = await reconcile({ ...again, verifyMs: 3_000 });
        expect({ status: second.status, residual: second.residual }).toEqual({ status: "converged", residual: [] });
        expectConverged(world, wish, [provider]);
      } finally {
        await world.close();
      }
    },
    60_000,
  );
});

it("a look-up that fails for one person holds the removals of that person's groups, and nothing else", async () => {
  const world = await startWorld({ seed, services: ["docspace"] });
  try {
    world.sandbox.addFault({ kind: "html", status: 400, path: "p8%40example.org", times: 0 });
    const guards = { maxRemovals: { count: 1000, percent: 100 } };
    const groups = [
      { name: "Alpha", members: ["p0", "p1", "p2", "p3", "p4", "p7"] },
      { name: "Beta", members: ["p4", "p5", "p6", "p8", "p9"] },
    ];
    const report = await reconcile({ ...(await specFor(world, { groups, guards })), verifyMs: 1_000 });
    expect(world.sandbox.log.some(({ path, status }) => path.includes("/people") && status === 400)).toBe(true);
    const [docs] = report.providers;
    expect(docs?.error).toBeUndefined();
    expect(docs?.unresolved).toMatchObject([{ person: "p8", state: "missing", groups: ["Beta"] }]);
    expect(docs?.unresolved[0]?.reason).toMatch(/^the look-up failed: /);
    expect(trueMembers(world, "docs", "Alpha")).toEqual(["p0", "p1", "p2", "p3", "p4", "p7"]);
    expect(trueMembers(world, "docs", "Beta")).toEqual(["p4", "p5", "p6", "p7", "p8", "p9"]);
    expect(exitCodeOfReport(report)).not.toBe(0);
  } finally {
    await world.close();
  }
});

/** How many lists are told before all others are empty: groups are seen then, and nobody in them. */
const told: Readonly<Record<ProviderKey, readonly number[]>> = {
  faces: [0, 1, 2, 3],
  // The record of a group holds its members; whoever was seen before may go.
  lab: [0, 1],
  docs: [0, 1, 2, 3],
  calls: [0, 1, 2, 3],
};
it.concurrent.each(providerKeys.flatMap((key) => told[key].map((skip) => [key, skip] as const)))(
  "nothing is taken from anybody at %s when every list after the first %i is empty, with totals of zero",
  async (provider, skip) => {
    const service = providerIds[provider];
    const world = await startWorld({ seed, services: [service] });
    try {
      const { control } = world.sandbox.services[service];
      const before = control.groups();
      const fault: Fault = { kind: "empty-page", totals: "too", times: 0, when: "read", skip, service };
      const id = world.sandbox.addFault(fault);
      const { spec, providers } = await specFor(world, { ...wish, guards: noLimits });
      const report = await reconcile({ spec, providers, verifyMs: 300 });
      expect(world.sandbox.faults().find((each) => each.id === id)?.struck).toBeGreaterThan(1);
      expect(report.status).not.toBe("converged");
      const after = new Map(control.groups().map((group) => [group.id, group]));
      const lost = before.flatMap(({ id: groupId, name, members }) =>
        members
          .filter(({ account }) => !after.get(groupId)?.members.some((member) => member.account === account))
          .map(({ account }) => `${name} - ${account}`),
      );
      expect(lost).toEqual([]);
    } finally {
      await world.close();
    }
  },
  60_000,
);

/** Whoever was a member and is wanted is still there; nobody but the unwanted has gone. */
function expectNoWrongRemoval(world: World, provider: ProviderKey, fault: Fault): void {
  const removedByOthers = fault.kind === "edit" && fault.edit.action === "remove-member" ? [fault.edit.person] : [];
  for (const group of wish.groups) {
    const members =
      trueMembers(world, provider, group.name) ?? trueMembers(world, provider, group.previously?.[0] ?? "");
    const mustStay = (former[group.name] ?? []).filter(
      (person) => wantedMembers(group).includes(person) && !removedByOthers.includes(person),
    );
    if (mustStay.length > 0) expect(members).toEqual(expect.arrayContaining([...mustStay]));
  }
  expect(trueMembers(world, provider, "Untouched")).toEqual(["p12", "p13"]);
}

/** What the report calls applied is so, and "converged" is never said of what is not. */
function expectTruth(world: World, provider: ProviderKey, report: Report, fault: Fault): void {
  const edited = fault.kind === "edit";
  for (const outcome of report.providers.flatMap(({ outcomes }) => outcomes)) {
    if (outcome.status !== "applied" && outcome.status !== "pending") continue;
    const members = trueMembers(world, provider, outcome.group);
    if (outcome.type === "member.add") expect(members).toContain(outcome.person);
    if (outcome.type === "member.remove" && !edited && outcome.person) expect(members).not.toContain(outcome.person);
    const names = world.sandbox.services[providerIds[provider]].control.groups().map(({ name }) => name);
    if (outcome.type === "group.create" || outcome.type === "group.update") expect(names).toContain(outcome.group);
  }
  if (report.status === "converged" && !edited) {
    expect(exitCodeOfReport(report)).toBe(0);
    expectConverged(world, wish, [provider]);
  }
  if (report.status !== "converged") expect(exitCodeOfReport(report)).not.toBe(0);
}
