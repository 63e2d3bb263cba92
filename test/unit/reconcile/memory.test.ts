import { describe, expect, it } from "vitest";
import type { Evidence, Member } from "../../../src/model.js";
import { type BrokenRun, rememberLosses } from "../../../src/reconcile/memory.js";
import type { TargetReading } from "../../../src/reconcile/snapshot.js";
import { createMemoryState } from "../../../src/state/memory.js";
import { actual, evidence, group, snapshotOf } from "./builders.js";

describe("memberships of ours that a reading does not show", () => {
  const scope = { provider: "lab", identity: "here" };
  const target = group("crew");
  const reading = (members: readonly (string | Member)[], proof: Evidence = evidence()): TargetReading => ({
    state: "found",
    target,
    matchedBy: "name",
    snapshot: { ...snapshotOf(actual("crew", members)), evidence: proof },
  });
  const byRole = { account: "@bob", role: "owner", direct: false, state: "active" } as const satisfies Member;
  const died = (provider: string, name: string): BrokenRun => ({
    runId: "run-1",
    startedAt: "2026-06-14T10:00:00.000Z",
    plan: { providers: [] } as unknown as BrokenRun["plan"],
    journal: [
      {
        provider,
        sequence: 1,
        kind: "members",
        changes: [{ type: "member.add", group: name, groupId: "id-crew", account: "@bob", reason: "listed" }],
      },
    ],
  });

  it.each<[string, readonly TargetReading[], readonly BrokenRun[], boolean]>([
    ["of a whole reading: they are forgotten", [reading(["ada"])], [], false],
    ["as they are there by role alone: they are forgotten", [reading(["ada", byRole])], [], false],
    ["that is incomplete: they are kept", [reading(["ada"], evidence("page 2 failed"))], [], true],
    ["that is weak: they are kept", [reading(["ada"], { ...evidence(), weak: true })], [], true],
    ["as the group was not found: they are kept", [{ state: "absent", target }], [], true],
    ["as the group was not read: they are kept", [{ state: "problem", target, message: "down" }], [], true],
    ["yet, after a run that died there: they are kept", [reading(["ada"])], [died("lab", "crew")], true],
    ["after a run that died in another group: they are forgotten", [reading(["ada"])], [died("lab", "deck")], false],
    ["after a run that died elsewhere: they are forgotten", [reading(["ada"])], [died("docs", "crew")], false],
  ])("%s", async (_, readings, broken, isKept) => {
    const state = createMemoryState();
    const added = ["@ada", "@bob"].map((account) => ({ groupId: "id-crew", account }));
    const elsewhere = { groupId: "id-deck", account: "@bob" };
    await state.rememberAdded(scope, "run-0", [...added, elsewhere]);
    await rememberLosses(state, scope, readings, broken);
    expect(await state.ownedMemberships(scope)).toEqual([...(isKept ? added : added.slice(0, 1)), elsewhere]);
  });
});
