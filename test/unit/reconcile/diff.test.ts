import { describe, expect, it } from "vitest";
import type { Resolution } from "../../../src/identity.js";
import type { Member, Mode, Role } from "../../../src/model.js";
import { diffTarget, digestWish } from "../../../src/reconcile/diff.js";
import type { TargetReading } from "../../../src/reconcile/snapshot.js";
import {
  actual,
  compare,
  disabled,
  everything,
  fact,
  freeze,
  group,
  identitiesOf,
  member,
  missing,
  person,
  oneManager,
  snapshotOf,
  TODAY,
  withoutRoles,
} from "./builders.js";

const there = (...members: string[]) => [actual("crew", members)];

describe("a frozen state", () => {
  it("differs in nothing from what is wanted", () => {
    const wanted = [
      group("crew", { members: ["ada", "grace"], managers: ["linus"], owners: ["barbara"], description: "At night" }),
      group("empty", { members: [] }),
      group("unmanaged", {}),
    ];
    expect(compare({ wanted, there: freeze(wanted) })).toMatchObject({ wishes: [], heldLines: [], problems: [] });
  });

  it("differs by one addition when one person is listed besides", () => {
    const wanted = [group("crew", { members: ["ada"] })];
    const more = [group("crew", { members: ["ada", "grace"] })];
    expect(compare({ wanted: more, there: freeze(wanted) }).wishes).toEqual(["crew + grace"]);
  });

  it("differs by one removal when one person is not listed any more", () => {
    const wanted = [group("crew", { members: ["ada", "grace"] })];
    const fewer = [group("crew", { members: ["ada"] })];
    const { changes } = compare({ wanted: fewer, there: freeze(wanted) });
    expect(changes).toEqual([
      {
        type: "member.remove",
        group: "crew",
        groupId: "id-crew",
        account: "@grace",
        // Nobody is looked up who is not wanted; what the service calls them tells a reader who it is.
        label: "grace@example.org",
        role: "member",
        reason: "not listed in the spec",
      },
    ]);
  });

  it("differs by one change of role when someone is listed under another role", () => {
    const wanted = [group("crew", { members: ["ada", "grace"], managers: [] })];
    const raised = [group("crew", { members: ["ada"], managers: ["grace"] })];
    expect(compare({ wanted: raised, there: freeze(wanted) }).wishes).toEqual(["crew ~ grace member → manager"]);
    expect(compare({ wanted, there: freeze(raised) }).wishes).toEqual(["crew ~ grace manager → member"]);
  });
});

describe("absent is not empty", () => {
  const lists = { member: "members", manager: "managers", owner: "owners" } as const;
  const rows: readonly [
    role: Role,
    mode: Mode,
    list: "absent" | "empty",
    others: "absent" | "empty",
    line: string[],
  ][] = [
    // Someone holds `role` and is listed nowhere. `others`: whether the other roles have a list.
    ["member", "authoritative", "absent", "absent", []],
    ["member", "authoritative", "empty", "absent", ["crew - eve"]],
    ["member", "authoritative", "absent", "empty", []],
    ["member", "authoritative", "empty", "empty", ["crew - eve"]],
    ["manager", "authoritative", "absent", "absent", []],
    ["manager", "authoritative", "absent", "empty", []],
    ["manager", "authoritative", "empty", "absent", ["crew ~ eve manager → member"]],
    ["manager", "authoritative", "empty", "empty", ["crew - eve as manager"]],
    ["owner", "authoritative", "absent", "absent", []],
    ["owner", "authoritative", "absent", "empty", []],
    ["owner", "authoritative", "empty", "absent", ["crew ~ eve owner → member"]],
    ["owner", "authoritative", "empty", "empty", ["crew - eve as owner"]],
    ["member", "additive", "empty", "empty", []],
    ["manager", "additive", "empty", "absent", []],
    ["manager", "additive", "empty", "empty", []],
    ["owner", "additive", "empty", "absent", []],
    ["owner", "additive", "empty", "empty", []],
  ];
  it.each(rows)("an unlisted %s in %s mode, own list %s, other lists %s: %j", (role, mode, list, others, wishes) => {
    const wish = Object.fromEntries(
      Object.entries(lists).flatMap(([each, key]) => ((each === role ? list : others) === "empty" ? [[key, []]] : [])),
    );
    const wanted = [group("crew", { mode, ...wish })];
    expect(compare({ wanted, there: there(`eve:${role}`) }).wishes).toEqual(wishes);
  });

  it.each<[Role, Role, boolean, string[]]>([
    // Holds the first, is listed under the second; whether the list of the held role exists.
    ["owner", "member", false, []],
    ["owner", "member", true, ["crew ~ eve owner → member"]],
    ["owner", "manager", false, []],
    ["owner", "manager", true, ["crew ~ eve owner → manager"]],
    ["manager", "member", false, []],
    ["manager", "member", true, ["crew ~ eve manager → member"]],
    ["manager", "owner", false, ["crew ~ eve manager → owner"]],
    ["member", "owner", false, ["crew ~ eve member → owner"]],
  ])(
    "a %s listed as %s is changed only by a list that may say so (list of the held role: %s)",
    (held, listed, exists, wishes) => {
      const wish = { ...(exists && { [lists[held]]: [] }), [lists[listed]]: ["eve"] };
      expect(compare({ wanted: [group("crew", wish)], there: there(`eve:${held}`) }).wishes).toEqual(wishes);
    },
  );

  it("additive mode raises a role and never lowers one", () => {
    const lower = group("crew", { mode: "additive", members: ["eve"], managers: [], owners: [] });
    expect(compare({ wanted: [lower], there: there("eve:owner") }).wishes).toEqual([]);
    const higher = group("crew", { mode: "additive", members: [], owners: ["eve"] });
    expect(compare({ wanted: [higher], there: there("eve:manager") }).wishes).toEqual(["crew ~ eve manager → owner"]);
  });

  it("a description without a key is left alone, and an empty one clears it", () => {
    const crew = [actual("crew", [], { description: "Old" })];
    expect(compare({ wanted: [group("crew")], there: crew }).wishes).toEqual([]);
    expect(compare({ wanted: [group("crew", { description: "" })], there: crew }).wishes).toEqual([
      "crew update description=",
    ]);
    expect(compare({ wanted: [group("crew", { description: "" })], there: there() }).wishes).toEqual([]);
  });
});

describe("a role that the service lacks", () => {
  const wanted = [group("crew", { members: [], managers: ["ada"], owners: ["grace", "linus"] })];

  it("is plain membership, and a note says so for each role", () => {
    const { wishes, notes } = compare({ wanted, there: there(), capabilities: withoutRoles });
    expect(wishes).toEqual(["crew + ada", "crew + grace", "crew + linus"]);
    expect(notes).toEqual([
      "crew: lab has no managers; ada listed as manager is a plain member there",
      "crew: lab has no owners; 2 people listed as owner are plain members there",
    ]);
  });

  it("asks for nothing once its holders are plain members", () => {
    const frozen = freeze(wanted, withoutRoles);
    expect(compare({ wanted, there: frozen, capabilities: withoutRoles }).wishes).toEqual([]);
  });

  it("is not replaced by a lower role that the service has", () => {
    expect(compare({ wanted, there: there(), capabilities: oneManager }).wishes).toEqual([
      "crew + ada as manager",
      "crew + grace",
      "crew + linus",
    ]);
  });
});

describe("a last day", () => {
  const wanted = [
    group("crew", { members: ["ada until 2026-06-14", "grace until 2026-06-15", "linus until 2026-06-16"] }),
  ];

  it("counts in full: the membership ends on the day after", () => {
    const { wishes, changes } = compare({ wanted, there: there("ada", "grace", "linus"), today: TODAY });
    expect(wishes).toEqual(["crew - ada"]);
    expect(changes[0]).toMatchObject({ person: "ada", reason: "membership ended on 2026-06-14" });
  });

  it("keeps people from being added after it", () => {
    expect(compare({ wanted, there: there() }).wishes).toEqual(["crew + grace", "crew + linus"]);
  });

  it("does not make a person unresolved whose membership is over anyway", () => {
    const { wishes, diffs } = compare({ wanted, there: there("grace", "linus"), resolutions: { ada: missing } });
    expect(wishes).toEqual([]);
    expect(diffs[0]?.unresolved).toEqual([]);
  });

  it("is the reason given for a disabled account too", () => {
    const { changes } = compare({ wanted, there: there("ada!"), resolutions: { ada: disabled("ada") } });
    expect(changes.find(({ type }) => type === "member.remove")?.reason).toBe("membership ended on 2026-06-14");
  });

  it("removes nobody in additive mode", () => {
    const additive = [group("crew", { mode: "additive", members: ["ada until 2020-01-01"] })];
    expect(compare({ wanted: additive, there: there("ada") }).wishes).toEqual([]);
  });
});

describe("people who cannot be matched", () => {
  it("a disabled person who is a member stays, and one who is not is not added; others may go", () => {
    const wanted = [group("crew", { members: ["ada", "grace"] })];
    const resolutions = { ada: disabled("ada"), grace: disabled("grace") };
    const result = compare({ wanted, there: there("ada!", "eve"), resolutions });
    expect(result.wishes).toEqual(["crew - eve"]);
    expect(result.diffs[0]?.unresolved).toEqual(["ada", "grace"]);
  });

  it("every account that an ambiguous person may have is kept, even when the hold is acknowledged", () => {
    const candidates = ["@ada", "@eve"].map((id) => ({ id, status: "active", eligible: true }) as const);
    const wanted = [group("crew", { members: ["ada"] })];
    const result = compare({
      wanted,
      there: there("eve", "mallory"),
      resolutions: { ada: { state: "ambiguous", reason: "two accounts", candidates } },
      allow: ["unresolved-person"],
    });
    expect(result.lines).toEqual(["crew - mallory"]);
  });

  it("someone who is known to have no account is neither added nor unresolved", () => {
    const wanted = [group("crew", { members: ["ada"] })];
    const result = compare({ wanted, there: there("eve"), resolutions: { ada: { state: "none" } } });
    expect(result.wishes).toEqual(["crew - eve"]);
    expect(result.diffs[0]?.unresolved).toEqual([]);
  });

  it("someone who was not looked up at all is unresolved", () => {
    const reading = { state: "absent", target: group("crew", { members: ["ada"] }) } as const;
    expect(diffTarget(reading, identitiesOf([]), everything, TODAY).unresolved).toEqual(["ada"]);
  });
});

describe("a change says what there is to say, and nothing else", () => {
  const diff = (scene: Parameters<typeof compare>[0]) => compare(scene).diffs[0];
  const removal = { type: "member.remove", group: "crew", groupId: "id-crew", role: "member" };
  const unlisted = "not listed in the spec";

  it("of a removal: who it is, and whether we added them", () => {
    const people = [group("crew", { members: ["ada", "grace until 2020-01-01"] })];
    const account = (id: string): Member => ({ account: id, role: "member", direct: true, state: "active" });
    const members = [account("@grace"), account("@anon"), { ...account("@named"), name: "Eve" }];
    const self = { ...account("@self"), name: "@self" };
    const isOurs = (groupId: string, id: string) => groupId === "id-crew" && ["@ada", "@named"].includes(id);
    expect(diff({ wanted: people, there: [actual("crew", [...members, self])], isOurs })?.changes).toStrictEqual([
      {
        type: "member.add",
        group: "crew",
        groupId: "id-crew",
        person: "ada",
        account: "@ada",
        role: "member",
        reason: "listed in the spec, not a member there",
      },
      { ...removal, person: "grace", account: "@grace", reason: "membership ended on 2020-01-01" },
      { ...removal, account: "@anon", reason: unlisted },
      { ...removal, account: "@named", label: "Eve", reason: unlisted, ours: true },
      { ...removal, account: "@self", reason: unlisted },
    ]);
  });

  it("of a deletion: whom and what it takes to make the group anew", () => {
    const members = ["ada", "kim:owner?", "rule?", "bob…"];
    const scene = { wanted: [group("crew", { absent: true })], isOurs: (_: string, id: string) => id === "@kim" };
    const deletion = { type: "group.delete", group: "crew", groupId: "id-crew", name: "crew" };
    const rest = {
      members: [
        { account: "@ada", role: "member" },
        { account: "@kim", role: "owner", ours: true },
      ],
      reason: "the spec says that this group should not exist",
    };
    expect(diff({ ...scene, there: there(...members) })?.changes).toStrictEqual([{ ...deletion, ...rest }]);
    const described = [actual("crew", members, { description: "At night" })];
    expect(diff({ ...scene, there: described })?.changes).toStrictEqual([
      { ...deletion, description: "At night", ...rest },
    ]);
  });

  it("of a group: its name, its description, or both", () => {
    const update = { type: "group.update", group: "crew", groupId: "id-crew" };
    const changes = (wish: Parameters<typeof group>[1], description?: string) =>
      diff({
        wanted: [group("crew", { groupId: "id-crew", ...wish })],
        there: [actual("crew", [], description === undefined ? {} : { description })],
      })?.changes;
    expect(changes({ description: "New" })).toStrictEqual([
      { ...update, description: "New", previousDescription: "", reason: "the description differs" },
    ]);
    expect(changes({ description: "New" }, "Old")).toStrictEqual([
      { ...update, description: "New", previousDescription: "Old", reason: "the description differs" },
    ]);
    expect(changes({ name: "Night", description: "Old" }, "Old")).toStrictEqual([
      { ...update, name: "Night", previousName: "crew", reason: 'is called "crew" there' },
    ]);
    expect(diff({ wanted: [group("crew")], there: [] })?.changes).toStrictEqual([
      { type: "group.create", group: "crew", name: "crew", reason: "no group of this name exists there" },
    ]);
  });

  it("and there are no notes without a reason", () => {
    const capabilities = { ...everything, groups: { ...everything.groups, rename: fact(false) } };
    expect(diff({ wanted: [group("crew")], there: [] })?.notes).toEqual([]);
    expect(diff({ wanted: [group("crew")], there: there(), capabilities })?.notes).toEqual([]);
  });
});

describe("where nothing can be compared", () => {
  it.each(["unread", "problem"] as const)("there is nothing to change: %s", (state) => {
    const target = group("crew", { members: ["ada"], absent: true });
    const reading = { state, target, matchedBy: "id", message: "no", group: { id: "g" } } as unknown as TargetReading;
    expect(diffTarget(reading, identitiesOf(["ada"]), everything, TODAY)).toStrictEqual({
      target,
      reading,
      changes: [],
      unresolved: [],
      notes: [],
    });
  });

  it("someone who was not looked up and whose time is over is nobody", () => {
    const wanted = group("crew", { members: ["ada until 2020-01-01"] });
    const reading = { state: "absent", target: wanted } as const;
    const { changes, unresolved } = diffTarget(reading, identitiesOf([]), everything, TODAY);
    expect([changes.map(({ type }) => type), unresolved]).toEqual([["group.create"], []]);
  });
});

describe("the digest of a wish", () => {
  const wish = { members: ["ada", "grace"], owners: ["kim"], description: "At night" };
  const digest = (more: Parameters<typeof group>[1] = {}, others: Readonly<Record<string, Resolution>> = {}) => {
    const target = group("crew", { ...wish, ...more });
    const people = target.members.map((each) => each.person);
    return digestWish(target, identitiesOf(people, others), everything, TODAY);
  };

  it("does not depend on the order of the lists", () => {
    expect(digest({ members: ["grace", "ada"] })).toBe(digest());
  });

  it.each<[string, Parameters<typeof group>[1], Readonly<Record<string, Resolution>>]>([
    ["who is wanted", { members: ["ada"] }, {}],
    ["the role of each", { members: ["ada"], owners: ["grace", "kim"] }, {}],
    ["who is not wanted any more", { members: ["ada", "grace", "bob until 2020-01-01"] }, {}],
    ["who is not found", { members: ["ada", "grace", "bob"] }, { bob: missing }],
    ["who is switched off", { members: ["ada", "grace", "bob"] }, { bob: disabled("bob") }],
    ["the name", { name: "Night" }, {}],
    ["the description", { description: "At day" }, {}],
    ["the mode", { mode: "additive" }, {}],
    ["whether it should exist", { absent: true }, {}],
    ["which lists there are", { managers: [] }, {}],
  ])("depends on %s", (_, more, others) => {
    expect(digest(more, others)).not.toBe(digest());
  });

  it("tells those who are not found from those who are switched off", () => {
    const members = ["ada", "grace", "bob"];
    expect(digest({ members }, { bob: missing })).not.toBe(digest({ members }, { bob: disabled("bob") }));
  });
});

describe("people who are there by a role alone", () => {
  it("an owner who is no direct member is left alone when listed as owner", () => {
    expect(
      compare({ wanted: [group("crew", { members: [], owners: ["eve"] })], there: there("eve:owner?") }).wishes,
    ).toEqual([]);
  });

  it("an owner who is no direct member is added when only a member is wanted", () => {
    const wanted = [group("crew", { members: ["eve"], owners: [] })];
    expect(compare({ wanted, there: there("eve:owner?") }).wishes).toEqual(["crew ~ eve owner → member (add)"]);
  });

  it("is raised together with becoming a member", () => {
    const wanted = [group("crew", { owners: ["eve"] })];
    expect(compare({ wanted, there: there("eve:manager?") }).wishes).toEqual(["crew ~ eve manager → owner (add)"]);
  });

  it.each([{ members: [], owners: [] }, { owners: [] }])("is a removal when the role goes: %j", (wish) => {
    expect(compare({ wanted: [group("crew", wish)], there: there("eve:owner?") }).wishes).toEqual([
      "crew - eve as owner (role alone)",
    ]);
  });

  it("is left alone where the role is not managed", () => {
    expect(compare({ wanted: [group("crew", { members: [] })], there: there("eve:owner?") }).wishes).toEqual([]);
  });

  it("is never removed as a plain member, who is there by rule", () => {
    const wanted = [group("crew", { members: [], managers: [], owners: [] })];
    expect(compare({ wanted, there: there("eve?") }).wishes).toEqual([]);
  });

  it("is not added again when there by rule", () => {
    expect(compare({ wanted: [group("crew", { members: ["eve"] })], there: there("eve?") }).wishes).toEqual([]);
  });
});

describe("somebody who is wanted and could not be found", () => {
  const wanted = [group("crew", { members: ["ada"] })];
  const resolutions = { ada: missing };
  const allow = ["unresolved-person", "empty-group"];

  it("stays where a member has the e-mail or an alias, whatever is acknowledged", () => {
    const scene = { wanted, resolutions, allow, there: there("eve", "bob") };
    expect(compare({ ...scene, people: [person("ada", { aliases: ["eve@example.org"] })] }).lines).toEqual([
      "crew - bob",
    ]);
    expect(compare({ ...scene, people: [person("ada", { email: "bob@example.org" })] }).lines).toEqual(["crew - eve"]);
    expect(compare({ ...scene, people: [person("ada")] }).lines).toEqual(["crew - eve", "crew - bob"]);
  });

  it("keeps the role, too", () => {
    const roles = [group("crew", { members: ["ada"], owners: [] })];
    const people = [person("ada", { aliases: ["eve@example.org"] })];
    expect(compare({ wanted: roles, resolutions, allow, people, there: there("eve:owner") }).wishes).toEqual([]);
  });
});

describe("invitations", () => {
  it("someone invited is not invited again, nor changed in role before the answer", () => {
    expect(compare({ wanted: [group("crew", { managers: ["ada"] })], there: there("ada…") }).wishes).toEqual([]);
  });

  it("an invitation of someone unlisted is withdrawn by its id", () => {
    const { changes } = compare({ wanted: [group("crew", { members: [] })], there: there("eve…") });
    expect(changes).toMatchObject([
      { type: "member.remove", invitation: "invitation-eve", reason: "invited, not listed in the spec" },
    ]);
  });

  it("stays in additive mode, and where membership is not managed", () => {
    expect(
      compare({ wanted: [group("crew", { mode: "additive", members: [] })], there: there("eve…") }).wishes,
    ).toEqual([]);
    expect(compare({ wanted: [group("crew", { managers: [] })], there: there("eve:manager…") }).wishes).toEqual([]);
  });
});

describe("the group itself", () => {
  it("is created with its description, and its people follow", () => {
    const { changes } = compare({ wanted: [group("crew", { description: "At night", members: ["ada"] })], there: [] });
    expect(changes).toMatchObject([
      { type: "group.create", group: "crew", name: "crew", description: "At night" },
      { type: "member.add", group: "crew", person: "ada", account: "@ada" },
    ]);
    expect(changes.every((change) => !("groupId" in change))).toBe(true);
  });

  it("is renamed, never deleted and created, when found under a previous name", () => {
    const wanted = [group("crew", { name: "Night crew", previously: ["Late crew", "Old crew"], members: ["ada"] })];
    const { changes, wishes } = compare({ wanted, there: [actual("Old crew", ["ada"])] });
    expect(wishes).toEqual(["crew update name=Night crew"]);
    expect(changes[0]).toMatchObject({ previousName: "Old crew", reason: 'is called "Old crew" there' });
  });

  it("is changed in name and description by one change with both reasons", () => {
    const wanted = [group("crew", { groupId: "id-Old", description: "New words" })];
    const { changes } = compare({ wanted, there: [actual("Old", [])] });
    expect(changes).toMatchObject([{ type: "group.update", reason: 'is called "Old" there; the description differs' }]);
  });

  it("has no description where the service has none", () => {
    const capabilities = { ...everything, groups: { ...everything.groups, description: fact(false) } };
    const wanted = [group("crew", { description: "Words" }), group("new", { description: "Words" })];
    const { changes } = compare({ wanted, there: there(), capabilities });
    expect(changes).toMatchObject([{ type: "group.create", group: "new" }]);
    expect(changes[0]).not.toHaveProperty("description");
  });

  it("keeps its name, with a note, where groups cannot be renamed", () => {
    const capabilities = { ...everything, groups: { ...everything.groups, rename: fact(false) } };
    const wanted = [group("crew", { groupId: "id-Old", members: ["ada"] })];
    const { wishes, notes } = compare({ wanted, there: [actual("Old", [])], capabilities });
    expect(wishes).toEqual(["crew + ada"]);
    expect(notes).toEqual(['crew: is called "Old" at lab, where groups cannot be renamed']);
  });

  it("that should not exist is deleted, and nothing is said about its members", () => {
    const wanted = [group("crew", { absent: true, members: ["ada"] })];
    expect(compare({ wanted, there: there("eve"), allow: ["group-delete"] }).wishes).toEqual(["crew delete"]);
    expect(compare({ wanted, there: [] }).wishes).toEqual([]);
  });
});

it("a member who is listed twice by a service is removed once", () => {
  const reading = {
    state: "found",
    target: group("crew", { members: [] }),
    matchedBy: "id",
    snapshot: snapshotOf(actual("crew", [member("eve"), member("eve")])),
  } as const;
  expect(diffTarget(reading, identitiesOf([]), everything, TODAY).changes).toHaveLength(1);
});

it("additions come before changes of role, and those before removals", () => {
  const wanted = [group("crew", { members: ["ada"], managers: ["grace"] })];
  expect(compare({ wanted, there: there("eve", "grace", "linus:manager") }).wishes).toEqual([
    "crew + ada",
    "crew ~ grace member → manager",
    "crew - eve",
    "crew - linus as manager",
  ]);
});
