/** Of whom the readings do not tell enough: who is looked up before the guards decide, and who is not. */
import { describe, expect, it } from "vitest";
import type { TargetDiff } from "../../../src/reconcile/diff.js";
import { doubtHolders, holdersToConfirm, pinsToConfirm } from "../../../src/reconcile/confirm.js";
import { findStranded, isImplied } from "../../../src/reconcile/handover.js";
import { actual, compare, everything, fact, group, oneManager, type Scene, snapshotOf } from "./builders.js";

const diffsOf = (scene: Scene): readonly TargetDiff[] => compare(scene).diffs;

describe("a pinned account", () => {
  const asked = (scene: Scene, cheap: boolean) => {
    const diffs = diffsOf(scene);
    return pinsToConfirm(
      diffs,
      diffs.map(({ reading }) => reading),
      cheap,
    );
  };
  const gaining = (wanted: string[], there: string[]): Scene => ({
    wanted: [group("crew", { members: wanted }), group("deck", { members: ["kim"] })],
    there: [actual("crew", there), actual("deck", ["kim"])],
  });

  it.each<[string, Scene, string[], string[]]>([
    ["that is added", gaining(["ada", "ben"], ["ada"]), ["ben"], []],
    ["that is added where somebody is removed", gaining(["ada", "ben"], ["ada", "eve"]), ["ben"], ["ben"]],
    ["that was seen elsewhere", gaining(["ada", "kim"], ["ada", "eve"]), [], []],
    ["that is removed", gaining(["ada"], ["ada", "eve"]), [], []],
  ])("%s is asked about, or only where somebody may be lost by it", (_what, scene, cheap, dear) => {
    expect(asked(scene, true)).toEqual(cheap);
    expect(asked(scene, false)).toEqual(dear);
  });

  it.each<[string, string[], string[]]>([
    ["a role is given", ["ada:owner", "ben"], ["ben"]],
    ["a role is only taken", ["ada:owner", "ben:owner"], []],
  ])("where %s", (_what, there, people) => {
    const owners = people.length > 0 ? ["ada", "ben"] : ["ada"];
    const scene: Scene = {
      wanted: [group("crew", { members: ["ben"].filter(() => people.length === 0), owners })],
      there: [
        actual(
          "crew",
          there.map((each) => (each === "ben" ? "ben!" : each)),
        ),
      ],
    };
    const diffs = diffsOf(scene);
    // As a list of members that shows nobody's state would have it.
    expect(pinsToConfirm(diffs, [], false)).toEqual(people);
  });
});

describe("who has a role and is there by it alone", () => {
  const [diff] = diffsOf({
    wanted: [group("crew", { members: ["x"], owners: ["ada"] })],
    there: [actual("crew", ["x", "ada:owner", "ben:owner"])],
  });
  if (!diff || diff.reading.state !== "found") throw new Error("nothing read");
  const { reading } = diff;
  const members = reading.snapshot.members.map((each) => ({ ...each, direct: each.account !== "@ada" }));
  const scene: TargetDiff = { ...diff, reading: { ...reading, snapshot: { ...reading.snapshot, members } } };

  it("is looked up where somebody loses that role, and no plain member is", () => {
    const nested: TargetDiff["reading"] = {
      ...reading,
      snapshot: { ...reading.snapshot, members: members.map((each) => ({ ...each, direct: false })) },
    };
    expect(holdersToConfirm([scene])).toEqual(["@ada"]);
    expect(holdersToConfirm([{ ...scene, reading: nested }])).toEqual(["@ada", "@ben"]);
    expect(holdersToConfirm([{ ...scene, changes: [] }])).toEqual([]);
  });

  it("and could not be looked up makes the reading one that proves nothing; nobody else does", () => {
    const evidenceOf = (failed: readonly string[]) => {
      const { reading: after } = doubtHolders(scene, new Map(failed.map((account) => [account, "is out of reach"])));
      return after.state === "found" ? after.snapshot.evidence : undefined;
    };
    expect(evidenceOf(["@ada"])).toMatchObject({
      complete: false,
      because: "of @ada, who is owner there, is out of reach",
    });
    expect(evidenceOf([])?.complete).toBe(true);
    expect(evidenceOf(["@ben", "@else"])?.complete).toBe(true);
    const gone: TargetDiff = { ...scene, reading: { state: "absent", target: scene.target } };
    expect(doubtHolders(gone, new Map([["@ada", "is out of reach"]]))).toBe(gone);
  });
});

describe("what waits", () => {
  it("needs no call where the role has room for one, and only then", () => {
    const change = {
      type: "member.update",
      group: "crew",
      role: "member",
      previousRole: "manager",
      reason: "",
    } as const;
    expect(isImplied(change, oneManager)).toBe(true);
    expect(isImplied(change, everything)).toBe(false);
    expect(isImplied({ ...change, type: "member.remove" }, oneManager)).toBe(false);
    expect(isImplied({ ...change, previousRole: "member" }, oneManager)).toBe(false);
    expect(isImplied({ ...change, previousRole: "owner" }, oneManager)).toBe(false);
  });

  const leaving = { type: "member.remove", group: "crew", account: "@a", role: "owner", reason: "" } as const;
  const gain = { type: "member.add", group: "crew", account: "@b", role: "owner", reason: "" } as const;
  const stranded = (
    there: string[],
    more: { gains?: readonly (typeof gain)[]; invites?: boolean; waiting?: object } = {},
  ) =>
    findStranded([{ ...leaving, ...more.waiting }], more.gains ?? [gain], snapshotOf(actual("crew", there)), {
      ...everything,
      invitations: fact(more.invites ?? false),
    }).map(({ why }) => why);

  it("stays where the successor is not seen in the role, whoever else has come", () => {
    expect(stranded(["a:owner", "b:owner"])).toEqual([]);
    expect(stranded(["a:owner", "b"])).toEqual([expect.stringContaining("@b is not seen as owner")]);
    const both = [gain, { ...gain, account: "@c" }] as unknown as readonly (typeof gain)[];
    expect(stranded(["a:owner", "x"], { gains: both })).toEqual([
      expect.stringContaining("@b, @c are not seen as owner"),
    ]);
    // Who comes as something else is no successor.
    const plain = [{ ...gain, role: "member" }] as unknown as readonly (typeof gain)[];
    expect(stranded(["a:owner", "x"], { gains: plain })).toEqual([]);
    // An invitation is awaited by nobody.
    expect(stranded(["a:owner", "x"], { invites: true })).toEqual([]);
  });

  it("stays where nobody would be left, but for an invitation that is taken back", () => {
    const waiting = { role: "member" };
    const plain = { gains: [], waiting };
    expect(stranded(["a"], plain)).toEqual([expect.stringContaining("the group would be left empty")]);
    expect(stranded(["a", "x"], plain)).toEqual([]);
    expect(stranded(["a", "x…"], plain)).toEqual([expect.stringContaining("the group would be left empty")]);
    expect(stranded(["a…"], { gains: [], waiting: { ...waiting, invitation: "i-1" } })).toEqual([]);
    expect(
      stranded(["a"], { gains: [], waiting: { type: "member.update", role: "member", previousRole: "owner" } }),
    ).toEqual([]);
  });
});
