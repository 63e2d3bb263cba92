import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HeldChange, Member, Plan, ProviderPlan, Role } from "../../../src/model.js";
import { GroupSyncError } from "../../../src/errors.js";
import { buildPlan, digestMembers, digestOf, parsePlan } from "../../../src/reconcile/plan.js";
import { evidence, member } from "./builders.js";

const now = new Date("2026-06-15T12:00:00.000Z");
const later = (ms: number) => new Date(now.getTime() + ms);
const DAY_MS = 86_400_000;

const held: HeldChange = {
  type: "member.remove",
  group: "crew",
  groupId: "1",
  account: "@eve",
  guard: "max-removals",
  reason: "Too many. Ünïcödé 名前 😀",
  wantedBecause: "not listed in the spec",
};
const provider = (more: Partial<ProviderPlan> = {}): ProviderPlan => ({
  id: "lab",
  type: "memory",
  identity: "memory lab",
  changes: [],
  held: [],
  unresolved: [],
  problems: [],
  groups: [{ group: "crew", groupId: "1", name: "Crew", memberCount: 2, membersDigest: "ab", evidence: evidence() }],
  notes: [],
  cost: { calls: 0, seconds: 0 },
  calls: { read: 3, write: 0, retried: 0, throttledSeconds: 0.5 },
  ...more,
});
const build = (...providers: ProviderPlan[]) => buildPlan(providers, { specDigest: "d", toolVersion: "1.2.3", now });
const full = () =>
  build(
    provider({
      changes: [
        { type: "group.create", group: "new", name: "New", reason: "r" },
        { type: "group.update", group: "crew", groupId: "1", name: "Crew", reason: "r" },
        { type: "group.delete", group: "old", groupId: "2", reason: "r" },
        { type: "member.add", group: "crew", account: "@ada", person: "ada", role: "member", reason: "r" },
        { type: "member.add", group: "crew", account: "@grace", role: "owner", reason: "r" },
        { type: "member.update", group: "crew", account: "@x", role: "member", previousRole: "owner", reason: "r" },
        { type: "member.remove", group: "crew", account: "@y", role: "member", reason: "r" },
      ],
      held: [held],
      unresolved: [{ person: "linus", state: "missing", reason: "r", groups: ["crew"] }],
    }),
  );
const copy = (plan: Plan) => JSON.parse(JSON.stringify(plan)) as Record<string, unknown>;

describe("a plan", () => {
  it("counts what it holds", () => {
    expect(full().summary).toEqual({
      create: 1,
      rename: 1,
      delete: 1,
      add: 2,
      role: 1,
      remove: 1,
      held: 1,
      unresolved: 1,
    });
  });

  it.each<[string, Plan["status"], Partial<ProviderPlan>]>([
    ["nothing differs", "in-sync", {}],
    ["something differs", "changes", { changes: [{ type: "group.create", group: "g", reason: "r" }] }],
    ["something is held", "held", { held: [held] }],
    ["someone is unresolved", "held", { unresolved: [{ person: "p", state: "missing", reason: "r", groups: [] }] }],
    ["a group could not be planned", "held", { problems: [{ group: "g", message: "m" }] }],
    ["a provider could not be planned", "held", { error: { code: "network", message: "m" } }],
  ])("when %s is %s", (_, status, more) => {
    expect(build(provider(), provider({ id: "other", ...more })).status).toBe(status);
  });

  it("is the same from the same facts, and another from other facts", () => {
    expect(build(provider())).toEqual(build(provider()));
    expect(build(provider()).planId).toMatch(/^plan-[0-9a-f]{12}$/);
    const other = buildPlan([provider()], { specDigest: "d", toolVersion: "1.2.3", now: later(1) });
    expect(other.planId).not.toBe(build(provider()).planId);
  });
});

describe("a plan from a file", () => {
  it("is taken as it was made, whatever the order of its keys", () => {
    const turn = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(turn);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .map(([key, part]) => [key, turn(part)] as const)
          .toReversed(),
      );
    };
    const plan = full();
    expect(parsePlan(turn(copy(plan)), now)).toEqual(plan);
    expect(parsePlan(JSON.parse(JSON.stringify(plan, null, 4)), now)).toEqual(plan);
  });

  it("is refused when any byte was changed", () => {
    const bytes = Buffer.from(JSON.stringify(full()));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (position, flip) => {
        const changed = Buffer.from(bytes);
        changed[position] = (changed[position] ?? 0) ^ flip;
        let value: unknown;
        try {
          value = JSON.parse(changed.toString("utf8"));
        } catch {
          return; // Not even JSON.
        }
        expect(() => parsePlan(value, now)).toThrow(expect.objectContaining({ code: "plan-invalid" }));
      }),
      { numRuns: 2000 },
    );
  });

  it("is refused when a value at any depth was changed, added or taken away", () => {
    const places: (readonly (string | number)[])[] = [];
    const walk = (value: unknown, path: readonly (string | number)[]) => {
      if (path.length > 0) places.push(path);
      if (Array.isArray(value)) value.forEach((part, index) => walk(part, [...path, index]));
      else if (typeof value === "object" && value !== null)
        for (const [key, part] of Object.entries(value)) walk(part, [...path, key]);
    };
    walk(full(), []);
    expect(places.length).toBeGreaterThan(80);
    for (const path of places) {
      for (const edit of ["drop", "replace", "add"] as const) {
        const plan = copy(full());
        const key = path.at(-1) ?? "";
        const parent = path
          .slice(0, -1)
          .reduce<unknown>((part, step) => (part as Record<string, unknown>)[step], plan) as Record<string, unknown>;
        if (edit === "drop") delete parent[key];
        else if (edit === "replace") parent[key] = "something else";
        else if (Array.isArray(parent)) parent.push(null);
        else parent[`${key}-`] = null;
        expect(() => parsePlan(plan, now), `${edit} ${path.join(".")}`).toThrow(
          expect.objectContaining({ code: "plan-invalid" }),
        );
      }
    }
  });

  it("is refused with a key that only looks like a prototype", () => {
    const text = JSON.stringify(full()).replace(/^\{/, '{"__proto__":{"changes":[]},');
    expect(() => parsePlan(JSON.parse(text), now)).toThrow(/was changed/);
  });

  it("is good for a day, to the millisecond", () => {
    expect(parsePlan(full(), later(DAY_MS)).planId).toBe(full().planId);
    expect(() => parsePlan(full(), later(DAY_MS + 1))).toThrow("The plan expired on 2026-06-16T12:00:00.000Z.");
  });

  it("is refused with a moment that is none", () => {
    const { checksum: _, ...rest } = { ...full(), expiresAt: "never" };
    expect(() => parsePlan({ ...rest, checksum: digestOf(rest) }, now)).toThrow(/expired/);
  });

  it("of another format says which", () => {
    expect(() => parsePlan({ ...full(), formatVersion: 2 }, now)).toThrow("format version 2; this version reads 1");
  });

  it.each([null, undefined, 7, "plan", [], {}, { kind: "plan" }, { kind: "report", checksum: "x" }])(
    "%j is none",
    (value) => {
      expect(() => parsePlan(value, now)).toThrow("This is not a plan of group-sync.");
    },
  );
});

it("a digest does not tell a value that is not there from one that is undefined, as JSON does not", () => {
  expect(digestOf({ a: 1, b: undefined })).toBe(digestOf({ a: 1 }));
  expect(digestOf({ a: 1, b: null })).not.toBe(digestOf({ a: 1 }));
});

it("a plan that is not taken says how to get one", () => {
  const error = (value: unknown) => {
    try {
      return parsePlan(value, now);
    } catch (caught) {
      return caught instanceof GroupSyncError ? [caught.code, caught.facts.hint] : caught;
    }
  };
  expect(error({})).toEqual(["plan-invalid", "Make one with: group-sync plan --out plan.json"]);
});

describe("the digest of members", () => {
  const anyMember = fc.record({
    account: fc.constantFrom("@a", "@b", "@c"),
    role: fc.constantFrom<Role[]>("member", "manager", "owner"),
    direct: fc.boolean(),
    state: fc.constantFrom<Member["state"][]>("active", "disabled", "pending"),
  });
  const rows = (members: readonly Member[]) =>
    members.map(({ account, role, direct, state }) => [account, role, direct, state].join("|")).toSorted();
  it("is the same for the same members alone", () => {
    fc.assert(
      fc.property(
        fc.array(anyMember, { maxLength: 2 }),
        fc.array(anyMember, { maxLength: 2 }),
        (left, right) =>
          (digestMembers(left) === digestMembers(right)) ===
          (JSON.stringify(rows(left)) === JSON.stringify(rows(right))),
      ),
      { numRuns: 5000 },
    );
  });

  const members = ["ada", "grace:owner", "linus!", "eve…"].map(member);
  it("does not depend on order or on names", () => {
    expect(digestMembers(members.toReversed())).toBe(digestMembers(members));
    expect(digestMembers(members.map((each) => ({ ...each, name: "Someone", email: "other@example.org" })))).toBe(
      digestMembers(members),
    );
  });
  it.each<[string, Partial<Member>]>([
    ["account", { account: "@eve" }],
    ["role", { role: "owner" }],
    ["directness", { direct: false }],
    ["state", { state: "disabled" }],
  ])("depends on the %s of each", (_, more) => {
    const [first, ...others] = members;
    if (!first) throw new Error("no members");
    expect(digestMembers([{ ...first, ...more }, ...others])).not.toBe(digestMembers(members));
    expect(digestMembers(others)).not.toBe(digestMembers(members));
  });
});
