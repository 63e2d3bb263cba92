/** Taking a run back: what is inverted, what has been changed by others since and stays, and what is said before. */
import { describe, expect, it } from "vitest";
import type { Outcome, Report, Spec } from "../../../src/model.js";
import type { Capabilities } from "../../../src/provider.js";
import type { TargetDiff } from "../../../src/reconcile/diff.js";
import { diffDeed, listDeeds } from "../../../src/reconcile/undo.js";
import { type Actual, actual, defaults, everything, fact, group, line, noLimits, snapshotOf } from "./builders.js";

type Did = Omit<Outcome, "group" | "reason" | "status"> & Partial<Pick<Outcome, "group" | "status">>;

const crew = { groupId: "id-crew" };
const added = (name: string, more: Partial<Did> = {}): Did => ({
  type: "member.add",
  ...crew,
  person: name,
  account: `@${name}`,
  role: "member",
  ...more,
});
const removed = (name: string, more: Partial<Did> = {}): Did => ({ ...added(name, more), type: "member.remove" });
const changedRole = (name: string, previousRole: Outcome["role"], role: Outcome["role"]): Did => ({
  ...added(name),
  type: "member.update",
  ...(role && { role }),
  ...(previousRole && { previousRole }),
});
const updated = (more: Partial<Did>): Did => ({ type: "group.update", ...crew, ...more });
const created: Did = { type: "group.create", ...crew, name: "crew" };
const deleted = (members: Outcome["members"] = []): Did => ({ type: "group.delete", ...crew, name: "crew", members });

/** What a run did, all of it applied unless it is said otherwise. */
function reportOf(...outcomes: readonly Did[]): Report {
  const full = outcomes.map((outcome): Outcome => ({ group: "crew", reason: "test", status: "applied", ...outcome }));
  const calls = { read: 0, write: 0, retried: 0, throttledSeconds: 0 };
  const lists = { unresolved: [], problems: [], notes: [] };
  return {
    kind: "report",
    formatVersion: 1,
    runId: "run-1",
    planId: "plan-1",
    startedAt: "2026-06-15T10:00:00.000Z",
    finishedAt: "2026-06-15T10:00:09.000Z",
    status: "converged",
    summary: { applied: full.length, already: 0, pending: 0, held: 0, skipped: 0, failed: 0, unknown: 0 },
    providers: [{ id: "lab", type: "memory", outcomes: full, ...lists, calls }],
    residual: [],
  };
}

const spec: Pick<Spec, "targets" | "guards"> = { targets: [], guards: defaults };

interface Now {
  /** Undefined: the group is not there. */
  readonly there?: Actual;
  readonly capabilities?: Capabilities;
  /** Default: whoever the run added. */
  readonly ours?: readonly string[];
}

/** The inverse of one group's deed. */
function inverse(outcomes: readonly Did[], { there, capabilities = everything, ours }: Now): TargetDiff {
  const [deed, other] = listDeeds(reportOf(...outcomes), spec);
  if (!deed || other) throw new Error("not one deed");
  const { target } = deed;
  const reading = there
    ? ({ state: "found", target, matchedBy: "id", snapshot: snapshotOf(there) } as const)
    : ({ state: "absent", target } as const);
  const added = outcomes.flatMap(({ type, account }) =>
    type === "member.add" && account !== undefined ? [account] : [],
  );
  return diffDeed(deed, reading, capabilities, (_, account) => (ours ?? added).includes(account));
}

const lines = (outcomes: readonly Did[], now: Now): readonly string[] => inverse(outcomes, now).changes.map(line);

describe("what a run did", () => {
  it("is what was applied, waits for an answer, or may have been done; nothing that was held, refused or so already", () => {
    const statuses = ["applied", "pending", "already", "held", "skipped", "failed", "unknown"] as const;
    const deeds = listDeeds(reportOf(...statuses.map((status) => added(status, { status }))), spec);
    expect(deeds.flatMap(({ outcomes }) => outcomes.map(({ person }) => person))).toEqual([
      "applied",
      "pending",
      "unknown",
    ]);
    // Whether the group itself was made or deleted is nothing to guess about.
    expect(listDeeds(reportOf({ ...created, status: "unknown" }, { ...deleted(), status: "unknown" }), spec)).toEqual(
      [],
    );
  });

  it("is one deed for each group at each provider", () => {
    const report = reportOf(added("ada"), added("ben", { group: "deck", groupId: "id-deck" }), added("cy"));
    const [part] = report.providers;
    const twice = { ...report, providers: part ? [part, { ...part, id: "docs" }] : [] };
    const places = listDeeds(twice, spec).map(({ target, outcomes }) => [
      target.provider,
      target.group,
      target.groupId,
      outcomes.length,
    ]);
    expect(places).toEqual([
      ["lab", "crew", "id-crew", 2],
      ["lab", "deck", "id-deck", 1],
      ["docs", "crew", "id-crew", 2],
      ["docs", "deck", "id-deck", 1],
    ]);
  });

  it("is guarded by the limits of the group in the spec at hand, else by those of the spec", () => {
    const report = reportOf(added("ada"), added("ben", { group: "deck" }));
    const deeds = listDeeds(report, { targets: [group("crew", { guards: noLimits })], guards: defaults });
    expect(deeds.map(({ target }) => target.guards)).toEqual([noLimits, defaults]);
  });

  it("is looked for by the group's id, whatever its name is by now, but a deleted group by its name", () => {
    const [renamed] = listDeeds(reportOf(updated({ name: "new", previousName: "old" })), spec);
    expect(renamed?.target).toMatchObject({ groupId: "id-crew", absent: false });
    const [gone] = listDeeds(reportOf(deleted()), spec);
    expect(gone?.target).toMatchObject({ name: "crew", absent: false });
    expect(gone?.target).not.toHaveProperty("groupId");
    const [made] = listDeeds(reportOf(created), spec);
    expect(made?.target).toMatchObject({ groupId: "id-crew", name: "crew", absent: true });
  });
});

describe("an addition", () => {
  it("is taken back", () => {
    expect(
      lines([added("ada"), added("ben", { role: "manager" })], { there: actual("crew", ["ada", "ben:manager", "cy"]) }),
    ).toEqual(["crew - ben as manager", "crew - ada"]);
  });

  it("of somebody who is gone by now is nothing to take back", () => {
    expect(inverse([added("ada")], { there: actual("crew", ["ben"]) })).toMatchObject({ changes: [], notes: [] });
  });

  it("of somebody to whom others have given another role since is left alone, and that is said", () => {
    const diff = inverse([added("ada")], { there: actual("crew", ["ada:owner"]) });
    expect(diff.changes).toEqual([]);
    expect(diff.notes).toEqual(["crew: ada is owner by now; left alone"]);
  });

  it("that is still an invitation is taken back by withdrawing it, whatever role it was for", () => {
    const pending = added("ada", { status: "pending", role: "manager" });
    expect(lines([pending], { there: actual("crew", ["ada…"]) })).toEqual(["crew - ada (invitation)"]);
  });

  it("of somebody who is there by a role alone by now takes the role", () => {
    expect(lines([added("ada", { role: "owner" })], { there: actual("crew", ["ada:owner?"]) })).toEqual([
      "crew - ada as owner (role alone)",
    ]);
  });
});

describe("a removal", () => {
  it("is taken back with the role that was lost", () => {
    expect(lines([removed("ada", { role: "manager" }), removed("ben")], { there: actual("crew", ["cy"]) })).toEqual([
      "crew + ben",
      "crew + ada as manager",
    ]);
  });

  it("of somebody whom others have put back since is done already, with whatever role they gave", () => {
    const there = actual("crew", ["ada:owner"]);
    expect(inverse([removed("ada")], { there })).toMatchObject({ changes: [], notes: [] });
  });

  it("names whom the removal named, who may be nobody of the spec", () => {
    const { person: _nobody, ...stranger } = removed("eve", { label: "eve@example.org" });
    const { changes } = inverse([stranger], { there: actual("crew", []) });
    expect(changes).toMatchObject([{ type: "member.add", account: "@eve", label: "eve@example.org" }]);
  });

  it("says where people have to accept an invitation to be back", () => {
    const capabilities = { ...everything, invitations: fact(true) };
    const there = actual("crew", []);
    expect(inverse([removed("ada"), removed("ben")], { there, capabilities }).notes).toEqual([
      "crew: 2 people have to accept a new invitation to be back",
    ]);
    expect(inverse([removed("ada")], { there, capabilities }).notes).toEqual([
      "crew: 1 person has to accept a new invitation to be back",
    ]);
    expect(inverse([removed("ada")], { there }).notes).toEqual([]);
  });

  it("of a role, from somebody who stays by a rule, gives the role back", () => {
    const lost = removed("ada", { role: "owner", direct: false });
    expect(lines([lost], { there: actual("crew", ["ada"]) })).toEqual(["crew ~ ada member → owner"]);
    expect(lines([lost], { there: actual("crew", ["ada:member?"]) })).toEqual(["crew ~ ada member → owner (add)"]);
    expect(lines([lost], { there: actual("crew", ["ada:manager"]) })).toEqual([]);
  });

  it("of a membership that was ours makes it ours again, and no other", () => {
    const diff = inverse([removed("ada", { ours: true }), removed("ben")], { there: actual("crew", []) });
    expect(diff.changes.map(({ person, ours }) => [person, ours])).toEqual([
      ["ben", undefined],
      ["ada", true],
    ]);
  });
});

describe("a role", () => {
  it("goes back to what it was", () => {
    expect(lines([changedRole("ada", "member", "owner")], { there: actual("crew", ["ada:owner"]) })).toEqual([
      "crew ~ ada owner → member",
    ]);
  });

  it("is given back before another is taken back, as the group may need somebody who has it", () => {
    const handedOver = [changedRole("ben", "member", "owner"), changedRole("ada", "owner", "member")];
    expect(lines(handedOver, { there: actual("crew", ["ben:owner", "ada"]) })).toEqual([
      "crew ~ ada member → owner",
      "crew ~ ben owner → member",
    ]);
  });

  it("that others have changed since is left alone, and that is said", () => {
    const diff = inverse([changedRole("ada", "member", "owner")], { there: actual("crew", ["ada:manager"]) });
    expect(diff.changes).toEqual([]);
    expect(diff.notes).toEqual(["crew: ada is manager by now; left alone"]);
  });

  it("that others have changed back is as it was", () => {
    const there = actual("crew", ["ada"]);
    expect(inverse([changedRole("ada", "member", "owner")], { there })).toMatchObject({ changes: [], notes: [] });
  });

  it("of somebody who is gone by now is left alone, and that is said", () => {
    const diff = inverse([changedRole("ada", "member", "owner")], { there: actual("crew", []) });
    expect(diff.changes).toEqual([]);
    expect(diff.notes).toEqual(["crew: ada is not there any more; left alone"]);
  });
});

describe("name and description", () => {
  const renamed = updated({ name: "new", previousName: "old", description: "now", previousDescription: "" });

  it("go back to what they were", () => {
    const { changes } = inverse([renamed], { there: actual("new", [], { description: "now" }) });
    expect(changes).toMatchObject([
      { type: "group.update", name: "old", previousName: "new", description: "", previousDescription: "now" },
    ]);
  });

  it("stay where others have changed them since, each for itself", () => {
    const [ofName] = inverse([renamed], { there: actual("new", [], { description: "theirs" }) }).changes;
    expect(ofName).toMatchObject({ name: "old" });
    expect(ofName).not.toHaveProperty("description");
    const [ofDescription] = inverse([renamed], { there: actual("theirs", [], { description: "now" }) }).changes;
    expect(ofDescription).toMatchObject({ description: "" });
    expect(ofDescription).not.toHaveProperty("name");
    expect(lines([renamed], { there: actual("theirs", [], { description: "theirs" }) })).toEqual([]);
  });

  it("an emptied description is put back", () => {
    const emptied = updated({ description: "", previousDescription: "before" });
    expect(lines([emptied], { there: actual("crew", []) })).toEqual(["crew update description=before"]);
  });
});

describe("a group that was created", () => {
  it("is deleted, and the plan keeps what it takes to make it anew", () => {
    const there = actual("crew", ["ada", "ben:owner", "cy…", "dot:member?"], { description: "told" });
    const [change, ...rest] = inverse([created, added("ada"), added("ben")], { there, ours: ["@ada"] }).changes;
    expect(rest).toEqual([]);
    expect(change).toMatchObject({ type: "group.delete", groupId: "id-crew", name: "crew", description: "told" });
    // Neither who has only been invited, nor who is there by a rule.
    expect(change?.members).toEqual([
      { account: "@ada", role: "member", ours: true },
      { account: "@ben", role: "owner" },
    ]);
  });

  it("says of whom it is taken besides", () => {
    const notesWith = (...members: readonly string[]) =>
      inverse([created, added("ada")], { there: actual("crew", ["ada", ...members]) }).notes;
    expect(notesWith()).toEqual([]);
    expect(notesWith("ben")).toEqual(["crew: 1 person who was not added by that run would lose the group too"]);
    expect(notesWith("ben", "cy")).toEqual(["crew: 2 people who were not added by that run would lose the group too"]);
  });

  it("and is gone by now is nothing to take back", () => {
    expect(inverse([created, added("ada")], {})).toMatchObject({ changes: [], notes: [] });
  });
});

describe("a group that was deleted", () => {
  const crowd = [
    { account: "@ada", role: "owner", ours: true },
    { account: "@ben", role: "member" },
  ] as const;

  it("is made anew with everybody in their roles, and what is lost for good is said", () => {
    const diff = inverse([{ ...deleted(crowd), description: "told" }], {});
    expect(diff.changes.map(line)).toEqual(["crew create", "crew + ada as owner", "crew + ben"]);
    expect(diff.changes[0]).toMatchObject({ name: "crew", description: "told" });
    expect(diff.changes.map(({ groupId }) => groupId)).toEqual([undefined, undefined, undefined]);
    expect(diff.changes.map(({ ours }) => ours)).toEqual([undefined, true, undefined]);
    expect(diff.notes).toEqual([
      "crew: comes back under a new id; what had been shared with the deleted group is not shared with it",
    ]);
  });

  it("says that people have to accept an invitation to be back", () => {
    const capabilities = { ...everything, invitations: fact(true) };
    expect(inverse([deleted(crowd)], { capabilities }).notes).toContain(
      "crew: 2 people have to accept a new invitation to be back",
    );
  });

  it("and made anew by others gets back whom it lacks, nothing else is touched, and that is said", () => {
    const diff = inverse([deleted(crowd)], { there: actual("crew", ["ben:manager", "eve"], { id: "id-theirs" }) });
    expect(diff.changes.map(line)).toEqual(["crew + ada as owner"]);
    expect(diff.changes[0]?.groupId).toBe("id-theirs");
    expect(diff.notes).toEqual([
      'crew: a group called "crew" is there again; who was in the deleted one is added to it, and nothing else is changed',
    ]);
  });

  it("and made anew by others with everybody is as it was", () => {
    const there = actual("crew", ["ada:owner", "ben"], { id: "id-theirs" });
    expect(inverse([deleted(crowd)], { there })).toMatchObject({ changes: [], notes: [] });
  });
});

it("an addition that somebody else has made anew since is left alone, and that is said", () => {
  const now = { there: actual("crew", ["ada", "ben"]), ours: ["@ben"] };
  expect(inverse([added("ada"), added("ben")], now).changes.map(line)).toEqual(["crew - ben"]);
  expect(inverse([added("ada")], now).notes).toEqual(["crew: ada was taken out and put back since; left alone"]);
});

it("what nobody knows the end of is left alone, and that is said, but for whom the run is known to have added", () => {
  const [ada, ben, cy] = [added("ada"), added("ben"), removed("cy")].map((did) => ({
    ...did,
    status: "unknown" as const,
  }));
  const now = { there: actual("crew", ["ada", "ben"]), ours: ["@ada"] };
  const diff = inverse(
    [ada, ben, cy].filter((did) => did !== undefined),
    now,
  );
  expect(diff.changes.map(line)).toEqual(["crew - ada"]);
  expect(diff.notes).toEqual([
    "crew: how the change for cy ended in that run is not known; left alone",
    "crew: how the change for ben ended in that run is not known; left alone",
  ]);
  // Gone already is as good as taken back.
  expect(
    inverse(
      [ada].filter((did) => did !== undefined),
      { there: actual("crew", []) },
    ),
  ).toMatchObject({ changes: [], notes: [] });
});

it("whom an undo put back is taken out again, whoever had added them first", () => {
  const [deed] = listDeeds({ ...reportOf(added("ada")), undoes: "run-0" }, spec);
  if (!deed) throw new Error("no deed");
  const reading = {
    state: "found",
    target: deed.target,
    matchedBy: "id",
    snapshot: snapshotOf(actual("crew", ["ada"])),
  } as const;
  expect(diffDeed(deed, reading, everything, () => false).changes.map(line)).toEqual(["crew - ada"]);
});

describe("a group", () => {
  it("that others have deleted since is nothing to take anything back in", () => {
    expect(inverse([added("ada"), removed("ben")], {})).toMatchObject({ changes: [], notes: [] });
  });

  it("that cannot be read is left alone", () => {
    const [deed] = listDeeds(reportOf(added("ada")), spec);
    if (!deed) throw new Error("no deed");
    const reading = { state: "problem", target: deed.target, message: "it cannot be read" } as const;
    expect(diffDeed(deed, reading, everything, () => true)).toMatchObject({ changes: [], notes: [] });
  });
});

describe("all of it together", () => {
  it("adds first and removes last, in the group as it is known there", () => {
    const outcomes = [
      added("ada"),
      changedRole("ben", "member", "owner"),
      removed("cy"),
      updated({ name: "crew", previousName: "old" }),
    ];
    const { changes } = inverse(outcomes, { there: actual("crew", ["ada", "ben:owner"]), ours: ["@ada"] });
    expect(changes.map(line)).toEqual(["crew + cy", "crew update name=old", "crew ~ ben owner → member", "crew - ada"]);
    expect(new Set(changes.map(({ groupId }) => groupId))).toEqual(new Set(["id-crew"]));
    // So that this can be taken back too.
    expect(changes.at(-1)?.ours).toBe(true);
  });
});
