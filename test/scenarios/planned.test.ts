/**
 * What is planned is what is sent: as many writing requests as the plan counts, and what each really changed, as an
 * onlooker at the services wrote it down, is the changes of the plan: all of them, each once, and nothing else.
 */
import { expect, it, onTestFinished } from "vitest";
import { applyPlan, type Change, createPlan, parsePlan } from "../../src/index.js";
import type { Seed } from "../../src/sandbox/index.js";
import { startSandbox } from "../../src/sandbox/server.js";
import { BRAINSTEM_OWN } from "../chaos/scenario.js";
import { createWitness, type Effect } from "../chaos/witness.js";
import { providerIds, providerKeys, specFor } from "./world.js";

const people = Array.from({ length: 80 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const crowd = (from: number, to: number) => people.slice(from, to).map(({ id }) => id);
const seed: Seed = {
  people,
  groups: [
    { name: "Alpha", members: crowd(0, 60) },
    { name: "Beta", members: crowd(4, 9) },
    { name: "Old gamma", members: ["p0", "p9", "p10", "p11"] },
    { name: "Untouched", members: ["p12", "p13"] },
  ],
};
/** More than one call's worth of people come and go; one group is renamed, one is new, and one is of others. */
const wish = {
  groups: [
    { name: "Alpha", members: crowd(2, 80) },
    { name: "Beta", members: ["p4", "p5", "p6", "p7", "p9"] },
    { name: "Gamma", previously: ["Old gamma"], members: ["p0", "p9", "p10", "p12"] },
    { name: "Delta", members: ["p1", "p2", "p3"] },
  ],
  guards: { maxRemovals: { count: 1_000, percent: 100 } },
};

it.each(providerKeys)("what is planned for %s is what is sent, call by call and change by change", async (key) => {
  const service = providerIds[key];
  const witness = createWitness();
  const sandbox = await startSandbox({ seed, services: [service] }, witness.factories);
  onTestFinished(() => sandbox.close());
  const { spec, providers } = await specFor({ sandbox, seed, close: () => sandbox.close() }, wish);

  const plan = await createPlan({ spec, providers });
  expect(sandbox.log.filter(({ write }) => write)).toEqual([]);
  const [planned = { changes: [], held: [], cost: { calls: 0 } }, ...others] = plan.providers;
  expect([others, planned.held]).toEqual([[], []]);

  const report = await applyPlan(parsePlan(JSON.parse(JSON.stringify(plan)), new Date()), { providers });
  expect(report.status).toBe("converged");
  const sent = sandbox.log.filter(({ write }) => write).length;
  expect(sent).toBe(planned.cost.calls);

  const changed = planned.changes.map(lineOfChange);
  // Whoever makes a group at BrainSTEM owns it.
  const seen = witness.effects.filter(({ account }) => account !== BRAINSTEM_OWN);
  expect(seen.map(lineOfEffect).toSorted()).toEqual(changed.toSorted());
  expect(changed).toHaveLength(31);
});

/** Groups go by the name that they end up with, which is their id in the spec. */
function lineOfChange({ type, group, account = "" }: Change): string {
  return `${type} ${group} ${account}`;
}

const types: Readonly<Record<Effect["kind"], Change["type"]>> = {
  created: "group.create",
  deleted: "group.delete",
  renamed: "group.update",
  described: "group.update",
  gained: "member.add",
  invited: "member.add",
  lost: "member.remove",
  uninvited: "member.remove",
  role: "member.update",
};

function lineOfEffect({ kind, groupName, account = "" }: Effect): string {
  return `${types[kind]} ${groupName === "Old gamma" ? "Gamma" : groupName} ${account}`;
}
