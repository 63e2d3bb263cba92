import { describe, expect, it } from "vitest";
import type { Change, HeldChange, Plan, ProviderPlan } from "../../../src/model.js";
import { approvePlan, releaseApproved } from "../../../src/reconcile/approve.js";
import { buildPlan, digestOf, parsePlan } from "../../../src/reconcile/plan.js";
import { memoryCapabilities } from "../../../src/testing/index.js";

const now = new Date("2026-03-01T12:00:00Z");
const later = (hours: number) => new Date(now.getTime() + hours * 3_600_000);
const held = (group: string, guard: HeldChange["guard"] = "max-removals"): HeldChange => ({
  type: "member.remove",
  group,
  groupId: `id-${group}`,
  account: `@${group}`,
  role: "member",
  guard,
  reason: "too many",
  wantedBecause: "not listed",
});
const provider = (id: string, ...of: readonly HeldChange[]): ProviderPlan => ({
  id,
  type: "memory",
  identity: id,
  changes: [],
  held: of,
  unresolved: [],
  problems: [],
  groups: [],
  notes: [],
  cost: { calls: 0, seconds: 0 },
  calls: { read: 0, write: 0, retried: 0, throttledSeconds: 0 },
});
const planOf = (...providers: readonly ProviderPlan[]): Plan =>
  buildPlan(providers, { specDigest: "d", toolVersion: "1", now });
const released = (plan: Plan, at = now): readonly Change[] =>
  releaseApproved(plan, () => memoryCapabilities, at).providers.flatMap(({ changes }) => changes);
const approve = { approvedBy: "ada", now };

describe("an approval", () => {
  const plan = planOf(provider("lab", held("a"), held("b")), provider("docs", held("a")));

  it("releases what is held of its group, at all providers, and nothing else", () => {
    const approved = approvePlan(plan, { ...approve, group: "a" });
    expect(released(approved).map(({ account }) => account)).toEqual(["@a", "@a"]);
    const after = releaseApproved(approved, () => memoryCapabilities, now);
    expect(after.providers.flatMap((part) => part.held.map(({ group }) => group))).toEqual(["b"]);
    expect(after.providers[0]?.cost.calls).toBe(1);
  });

  it("can be for one provider", () => {
    const approved = approvePlan(plan, { ...approve, group: "a", provider: "docs" });
    const after = releaseApproved(approved, () => memoryCapabilities, now);
    expect(after.providers.map(({ changes }) => changes.length)).toEqual([0, 1]);
  });

  it("leaves the plan valid, and is told in the reason of what it released", () => {
    const approved = approvePlan(plan, { ...approve, group: "a" });
    expect(parsePlan(JSON.parse(JSON.stringify(approved)), now)).toEqual(approved);
    expect(released(approved)[0]?.reason).toBe("not listed (held by max-removals, approved)");
    expect(released(approved)[0]).not.toHaveProperty("guard");
  });

  it("is worth nothing for another plan", () => {
    const other = planOf(provider("lab", held("a"), held("b"), held("c")));
    const [approval] = approvePlan(plan, { ...approve, group: "a" }).approvals ?? [];
    expect(released({ ...other, approvals: approval ? [approval] : [] })).toEqual([]);
  });

  it("is refused with another plan, also with a checksum that fits", () => {
    const other = planOf(provider("lab", held("a"), held("b"), held("c")));
    const { approvals } = approvePlan(plan, { ...approve, group: "a" });
    expect(() => parsePlan({ ...other, approvals }, now)).toThrow("Approval 1 of the plan was given for another plan.");
  });

  it("is refused when any byte was changed", () => {
    const twice = approvePlan(approvePlan(plan, { ...approve, group: "a" }), {
      ...approve,
      group: "b",
      provider: "lab",
    });
    const bytes = Buffer.from(JSON.stringify(twice));
    const start = bytes.indexOf('"approvals"');
    expect(start).toBeGreaterThan(0);
    let parsed = 0;
    for (let position = start; position < bytes.length; position++) {
      for (const flip of [1, 2, 4, 8, 16, 32, 64, 128]) {
        const changed = Buffer.from(bytes);
        changed[position] = (changed[position] ?? 0) ^ flip;
        let value: unknown;
        try {
          value = JSON.parse(changed.toString("utf8"));
        } catch {
          continue; // Not even JSON.
        }
        parsed++;
        expect(() => parsePlan(value, now), changed.toString("utf8", start)).toThrow(
          expect.objectContaining({ code: "plan-invalid" }),
        );
      }
    }
    expect(parsed).toBeGreaterThan(1000);
  });

  it("is refused when anything was changed, added or taken away, and it says how to go on", () => {
    const approved = approvePlan(plan, { ...approve, group: "a", provider: "lab" });
    const [approval] = approved.approvals ?? [];
    if (!approval) throw new Error("not approved");
    const without = Object.keys(approval).map((key) =>
      Object.fromEntries(Object.entries(approval).filter(([other]) => other !== key)),
    );
    const changed = Object.keys(approval).map((key) => ({ ...approval, [key]: "something else" }));
    const far = { ...approval, expiresAt: "3026-03-02T12:00:00.000Z" };
    for (const edited of [...without, ...changed, far, { ...approval, more: true }]) {
      expect(() => parsePlan({ ...approved, approvals: [approval, edited] }, now), JSON.stringify(edited)).toThrow(
        expect.objectContaining({
          code: "plan-invalid",
          message: expect.stringMatching(/^Approval 2 of the plan (was changed after|has no checksum of its own)/),
          facts: expect.objectContaining({ hint: expect.stringContaining("approve anew: group-sync approve") }),
        }),
      );
    }
  });

  it.each<[unknown, string]>([
    [{}, "The approvals of the plan are not a list."],
    ["x", "The approvals of the plan are not a list."],
    [null, "The approvals of the plan are not a list."],
    [7, "The approvals of the plan are not a list."],
    [[null], "Approval 1 of the plan is not an approval."],
    [["x"], "Approval 1 of the plan is not an approval."],
    [[{}], "Approval 1 of the plan has no checksum of its own (ownChecksum)."],
    [[[]], "Approval 1 of the plan has no checksum of its own (ownChecksum)."],
    [[{ ownChecksum: digestOf({}) }], "Approval 1 of the plan was given for another plan."],
  ])("%j are no approvals", (approvals, message) => {
    expect(() => parsePlan({ ...plan, approvals }, now)).toThrow(
      expect.objectContaining({ code: "plan-invalid", message }),
    );
  });

  it("expires, with the plan at the latest", () => {
    const short = approvePlan(plan, { ...approve, group: "a", forMs: 3_600_000 });
    expect(released(short, later(1))).toHaveLength(2);
    expect(released(short, later(1.01))).toEqual([]);
    const long = approvePlan(plan, { ...approve, group: "a", forMs: 1e12 });
    expect(long.approvals?.[0]?.expiresAt).toBe(plan.expiresAt);
  });

  it("never lifts a guard that stands for a missing proof", () => {
    const mixed = planOf(provider("lab", held("a", "incomplete-reading"), held("a", "last-owner")));
    expect(released(approvePlan(mixed, { ...approve, group: "a" }))).toHaveLength(1);
    const hopeless = planOf(provider("lab", held("a", "foreign-group")));
    expect(() => approvePlan(hopeless, { ...approve, group: "a" })).toThrow(/cannot be released: foreign-group/);
  });

  it("is refused for a group of which nothing is held", () => {
    expect(() => approvePlan(plan, { ...approve, group: "c" })).toThrow(/Nothing of "c" is held/);
    expect(() => approvePlan(plan, { ...approve, group: "b", provider: "docs" })).toThrow(/Nothing of "b"/);
  });
});
