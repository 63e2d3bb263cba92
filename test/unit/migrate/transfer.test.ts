import { describe, expect, it } from "vitest";
import type { Group, Member, Role } from "../../../src/model.js";
import {
  buildTransfer,
  type Loss,
  migrate,
  proposeMigration,
  renderLosses,
  type TransferOptions,
} from "../../../src/migrate/transfer.js";
import type { Source } from "../../../src/migrate/source.js";
import type { WorksheetRow } from "../../../src/migrate/worksheet.js";
import { createMemoryProvider, memoryCapabilities } from "../../../src/testing/memory.js";
import { fact } from "../reconcile/builders.js";

const { groups, roles } = memoryCapabilities;
const many = { max: fact(null), clearable: fact(true), guarded: fact(false) };

function source(
  ...snapshots: readonly { readonly group: Partial<Group>; readonly members?: readonly Partial<Member>[] }[]
): Source {
  return {
    provider: "docs",
    type: "memory",
    identity: "there",
    readAt: "2026-06-15T12:00:00Z",
    foreign: [],
    leftOut: [],
    snapshots: snapshots.map(({ group, members = [] }, index) => ({
      group: { id: `${index}`, name: "Crew", kind: "plain", ...group },
      members: members.map((member) => ({ account: "a", role: "member", direct: true, state: "active", ...member })),
      evidence: { complete: true, because: "one page", pages: 1, counted: members.length, duplicates: 0 },
    })),
  };
}

function transfer(given: Source, more: Partial<TransferOptions> & { readonly rows?: readonly WorksheetRow[] } = {}) {
  const accounts = new Set(given.snapshots.flatMap(({ members }) => members.map(({ account }) => account)));
  const taken = [...accounts].map(
    (account): WorksheetRow => ({
      account,
      groups: 1,
      match: "email",
      target: account.toUpperCase(),
      decision: "take",
    }),
  );
  const worksheet = { from: "docs", to: "calls", rows: more.rows ?? taken };
  const to = { id: "calls", type: "memory", capabilities: { ...memoryCapabilities, roles: {} } };
  return buildTransfer({ source: given, worksheet, to, ...more });
}
const target = (capabilities: Partial<typeof memoryCapabilities>) => ({
  to: { id: "calls", type: "memory", capabilities: { ...memoryCapabilities, roles: {}, ...capabilities } },
});
const said = (losses: readonly Loss[]) =>
  losses.map(({ kind, group, message }) => [kind, group, message].filter(Boolean).join(": "));
const member = (account: string, role: Role = "member", more: Partial<Member> = {}): Partial<Member> => ({
  account,
  role,
  ...more,
});

describe("what is lost", () => {
  it("is nothing where the target can do everything", () => {
    const given = source({ group: { description: "All of us" }, members: [member("a"), member("b", "owner")] });
    const { losses, spec } = transfer(given, target({ roles: { owner: many } }));
    expect(losses).toEqual([]);
    expect(spec.targets).toMatchObject([
      {
        name: "Crew",
        description: "All of us",
        mode: "additive",
        members: [
          { person: "a", role: "member" },
          { person: "b", role: "owner" },
        ],
      },
    ]);
    expect(spec.people["b"]?.accounts).toEqual({ docs: "b", calls: "B" });
  });

  it.each<[string, Source, Partial<TransferOptions>, readonly string[]]>([
    [
      "a role that is not there",
      source({ group: {}, members: [member("a", "owner"), member("b", "manager")] }),
      {},
      [
        "role: Crew: b: manager becomes a plain member; calls has no managers",
        "role: Crew: a: owner becomes a plain member; calls has no owners",
      ],
    ],
    [
      "a role with one place",
      source({ group: {}, members: [member("b", "manager"), member("a", "manager"), member("c", "manager")] }),
      target({ roles: { manager: { ...many, max: fact(1) } } }),
      ["role: Crew: 3 managers, and a group at calls has one place: a stays, b, c become plain members"],
    ],
    [
      "a description",
      source({ group: { description: "x" } }),
      target({ groups: { ...groups, description: fact(false) } }),
      ["description: Crew: its description is lost: calls has none"],
    ],
    [
      "a group that is too large",
      source({ group: {}, members: [member("a"), member("b")] }),
      target({ maxMembers: fact(1) }),
      ["group: Crew: has 2 members, and a group at calls takes at most 1; it is left out"],
    ],
    [
      "a name that is too long",
      source({ group: { name: "A long name" } }),
      target({ groups: { ...groups, maxNameLength: fact(7) } }),
      ['name: A long name: is called "A long…" at calls: a name has at most 7 characters'],
    ],
    [
      "a name that two groups have",
      source({ group: {} }, { group: {} }),
      {},
      ['name: Crew: is called "Crew (2)" at calls: another group has this name'],
    ],
    [
      "membership by rule, by role, and not yet answered",
      source({
        group: {},
        members: [
          member("a", "member", { direct: false }),
          member("b", "owner", { direct: false }),
          member("c", "member", { state: "pending" }),
        ],
      }),
      target({ roles: { owner: many } }),
      [
        "membership: Crew: 1 person there by a rule alone, so not brought along: a",
        "membership: Crew: 1 person invited and yet to answer; at calls there is nothing to answer: c",
        "membership: Crew: 1 person there by a role without being a member, and a member at calls: b",
      ],
    ],
    [
      "being in at once",
      source({ group: {}, members: [member("a")] }),
      target({ invitations: fact(true) }),
      ["invitation: calls only invites people; they are in when they have accepted"],
    ],
    [
      "groups that are decided elsewhere",
      { ...source(), foreign: [{ id: "9", name: "Everyone", kind: "dynamic" }] },
      {},
      ["group: Everyone: is filled by rules, so it is left out"],
    ],
  ])("%s", (_, given, more, expected) => {
    expect(said(transfer(given, more).losses)).toEqual(expected);
  });

  it("names each person who does not come along, and why", () => {
    const rows: readonly WorksheetRow[] = [
      { account: "a", name: "Ada", groups: 2, match: "none" },
      { account: "b", groups: 1, match: "likeness", target: "B", because: "the same name" },
      { account: "c", groups: 1, match: "email", target: "C", because: "the account is disabled" },
      { account: "d", groups: 1, match: "email", target: "D", decision: "leave" },
    ];
    const given = source({ group: {}, members: ["a", "b", "c", "d"].map((account) => member(account)) });
    const { losses, spec } = transfer(given, { rows });
    expect(said(losses)).toEqual([
      "person: Ada has no known account at calls (2 groups)",
      "person: b may be B at calls (the same name), which nobody has confirmed (1 group)",
      "person: c cannot be taken into a group at calls: the account is disabled (1 group)",
      "person: d is left out, as decided (1 group)",
    ]);
    // The undecided stay wanted, so that nobody is removed on their account; who was left out is not.
    expect(spec.targets[0]?.members.map(({ person }) => person)).toEqual(["ada", "b", "c"]);
    expect(spec.people["d"]?.accounts["calls"]).toBeNull();
  });
});

describe("roles", () => {
  const given = source({ group: {}, members: [member("a", "manager")] });
  it("become others when that is asked", () => {
    const { spec, losses } = transfer(given, { ...target({ roles: { owner: many } }), roles: { manager: "owner" } });
    expect(spec.targets[0]?.members).toEqual([{ person: "a", role: "owner" }]);
    expect(losses).toEqual([]);
  });
  it("go first to people with an account there", () => {
    const two = source({ group: {}, members: [member("a", "manager"), member("b", "manager")] });
    const rows: readonly WorksheetRow[] = [
      { account: "a", groups: 1, match: "none" },
      { account: "b", groups: 1, match: "email", target: "B", decision: "take" },
    ];
    const { spec } = transfer(two, { ...target({ roles: { manager: { ...many, max: fact(1) } } }), rows });
    expect(spec.targets[0]?.members).toEqual([
      { person: "a", role: "member" },
      { person: "b", role: "manager" },
    ]);
  });
});

describe("a migration", () => {
  const people = [
    { id: "1", email: "ada@example.org" },
    { id: "2", email: "grace@example.org" },
  ];
  const make = () => ({
    from: createMemoryProvider({
      id: "docs",
      people,
      groups: [{ name: "Crew", members: ["1", { account: "2", role: "owner" }] }],
    }),
    to: createMemoryProvider({
      id: "calls",
      capabilities: { roles },
      people: [...people.map(({ email }, index) => ({ id: `c${index}`, email })), { id: "other" }],
      groups: [{ name: "Crew", members: ["other"] }],
    }),
  });

  it("adds, and removes nobody unless asked to", async () => {
    const { from, to } = make();
    const { report, plan } = await migrate({ from, to });
    expect(report).toMatchObject({ status: "converged" });
    expect(plan.summary).toMatchObject({ add: 2, remove: 0, held: 0 });
    expect(
      to.control
        .groups()[0]
        ?.members.map(({ account }) => account)
        .toSorted(),
    ).toEqual(["c0", "c1", "other"]);
    const strict = await proposeMigration({ from, to, mode: "authoritative" });
    expect(strict.plan.providers[0]?.held).toMatchObject([{ account: "other", guard: "adoption" }]);
  });

  it("throws when the source cannot be read whole, and writes nothing", async () => {
    const { from, to } = make();
    const evidence = { complete: false, because: "a page is missing", pages: 1, counted: 1, duplicates: 0 };
    const torn = { ...from, listGroups: async () => ({ groups: [], evidence }) };
    await expect(migrate({ from: torn, to })).rejects.toMatchObject({ code: "bad-answer" });
    expect(to.control.calls.filter(({ operation }) => operation === "applyBatch")).toEqual([]);
  });
});

describe("losses in words", () => {
  const losses: readonly Loss[] = [
    { kind: "role", group: "Crew", message: "no managers" },
    ...Array.from({ length: 7 }, (_, index): Loss => ({ kind: "person", message: `p${index}` })),
  ];
  it("stand together by kind, the rest of many counted", () => {
    expect(renderLosses(losses)).toBe(
      "People who cannot come along (7):\n  p0\n  p1\n  p2\n  p3\n  p4\n  … and 2 more\nRoles that are lost (1):\n  Crew: no managers\n",
    );
    expect(renderLosses(losses, 0)).toContain("  p6\n");
    expect(renderLosses([])).toBe("Nothing gets lost.\n");
  });
  it("hold no control characters of names", () => {
    expect(renderLosses([{ kind: "name", group: "a\u001b[31m\u202eb", message: "x\ny" }])).not.toMatch(
      /[^\P{Cc}\n]|\u202e|x\ny/u,
    );
  });
});
