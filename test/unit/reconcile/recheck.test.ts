/** What is looked at again before a saved plan is applied: a group that has moved since is left out, all others go on. */
import { describe, expect, it } from "vitest";
import { exitCodeOfReport } from "../../../src/cli/exit.js";
import { type ErrorCode, GroupSyncError } from "../../../src/errors.js";
import type { Report, Target } from "../../../src/model.js";
import { applyPlan, createPlan } from "../../../src/reconcile/reconcile.js";
import { createCallContext } from "../../../src/provider.js";
import type { MemoryProvider } from "../../../src/testing/memory.js";
import { lab, linesOf, membersOf, spec } from "./apply-scenes.js";
import { fact, group } from "./builders.js";

const groups = [
  { id: "g", name: "crew", description: "By day.", members: ["p0", "p1"] },
  { id: "h", name: "deck", members: ["p0", "p1"] },
];
const withVersions = (value: boolean) => ({ groups, capabilities: { versions: fact(value) } });
/** The other group, to which nothing happens. */
const deck = group("deck", { groupId: "h", members: ["p0", "p1", "p2"] });
const deckGoes = "member.add p2 applied";

/** Plans, lets others do something, and applies what was planned. */
async function afterwards(
  provider: MemoryProvider,
  target: Target,
  meanwhile: (provider: MemoryProvider) => void | Promise<unknown>,
): Promise<Report> {
  const plan = await createPlan({
    spec: spec([target, deck]),
    providers: [provider],
    allow: [{ guard: "group-delete" }, { guard: "empty-group" }],
  });
  expect(plan.providers[0]?.held).toEqual([]);
  await meanwhile(provider);
  return applyPlan(plan, { providers: [provider], verifyMs: 250 });
}

const messagesOf = (report: Report) =>
  report.providers.flatMap(({ outcomes }) => outcomes.flatMap(({ error }) => (error ? [error.message] : [])));
const crewOf = ({ control }: MemoryProvider) => control.groups().find(({ id }) => id === "g");
/** Somebody else describes the group anew; what they send names no version. */
const describeAnew = (provider: MemoryProvider) =>
  provider.applyBatch(
    { kind: "group.update", group: { id: "g", name: "crew" }, description: "Theirs." },
    createCallContext({}),
  );
/** There and back: nothing differs but the version. */
const comeAndGo = ({ control }: MemoryProvider) => {
  control.addMember("g", "p9");
  control.removeMember("g", "p9");
};

describe.each([true, false])("with versions: %s", (versions) => {
  it("a group that was renamed is not deleted, and keeps the name it was given", async () => {
    for (const target of [
      group("crew", { groupId: "g", absent: true }),
      group("crew", { groupId: "g", name: "Night crew" }),
      group("crew", { groupId: "g", members: ["p0", "p1", "p3"] }),
    ]) {
      const provider = lab(withVersions(versions));
      const report = await afterwards(provider, target, ({ control }) => control.renameGroup("g", "Theirs"));
      expect(crewOf(provider)).toMatchObject({ name: "Theirs", members: [{ account: "p0" }, { account: "p1" }] });
      expect(linesOf(report)).toEqual([expect.stringMatching(/^\S+ (p3 )?skipped conflict$/), deckGoes]);
      expect(messagesOf(report)).toEqual([
        'The group was called "crew" when the plan was made, and is called "Theirs" now; plan anew.',
      ]);
    }
  });

  it("a description that was changed is not overwritten", async () => {
    const provider = lab(withVersions(versions));
    const target = group("crew", { groupId: "g", description: "By night." });
    const report = await afterwards(provider, target, describeAnew);
    expect(crewOf(provider)?.description).toBe("Theirs.");
    expect(linesOf(report)).toEqual(["group.update skipped conflict", deckGoes]);
    expect(messagesOf(report)).toEqual([
      "The description of the group has changed since the plan was made; plan anew.",
    ]);
  });

  it("a group with other members is left out", async () => {
    const provider = lab(withVersions(versions));
    const report = await afterwards(provider, group("crew", { groupId: "g", absent: true }), ({ control }) =>
      control.addMember("g", "p9"),
    );
    expect(membersOf(provider)).toEqual(["p0", "p1", "p9"]);
    expect(linesOf(report)).toEqual(["group.delete skipped conflict", deckGoes]);
    expect(messagesOf(report)).toEqual(["The group has changed since the plan was made; plan anew."]);
  });

  it("a group to which nothing happened is written to", async () => {
    const provider = lab(withVersions(versions));
    const target = group("crew", {
      groupId: "g",
      name: "Night crew",
      description: "By night.",
      members: ["p0", "p3"],
    });
    const report = await afterwards(provider, target, () => {});
    expect(report.status).toBe("converged");
    expect(crewOf(provider)).toMatchObject({ name: "Night crew", description: "By night." });
  });
});

it("a group of another version is left out, whatever has changed in it", async () => {
  const provider = lab(withVersions(true));
  const report = await afterwards(provider, group("crew", { groupId: "g", absent: true }), comeAndGo);
  expect(linesOf(report)).toEqual(["group.delete skipped conflict", deckGoes]);
  expect(messagesOf(report)).toEqual(["The group has changed since the plan was made; plan anew."]);
  expect(report.status).toBe("partial");
});

it("where there are no versions, a group that is as it was has not moved", async () => {
  const provider = lab(withVersions(false));
  const report = await afterwards(provider, group("crew", { groupId: "g", absent: true }), comeAndGo);
  expect(linesOf(report)).toEqual(["group.delete applied", deckGoes]);
});

describe("a group that cannot be read again", () => {
  const failing = (error: Error) => {
    let isFailing = false;
    const provider = lab({
      ...withVersions(true),
      onRead: (groupId) => {
        if (isFailing && groupId === "g") throw error;
      },
    });
    const report = afterwards(provider, group("crew", { groupId: "g", members: ["p0", "p3"] }), () => {
      isFailing = true;
    });
    return { provider, report };
  };

  it.each<ErrorCode>(["unavailable", "forbidden", "bad-answer", "refused"])(
    "is left out alone, with the reason: %s",
    async (code) => {
      const { provider, report } = failing(new GroupSyncError(code, "Not this one.", { status: 500 }));
      expect(linesOf(await report)).toEqual([
        `member.add p3 skipped ${code}`,
        `member.remove p1 skipped ${code}`,
        deckGoes,
      ]);
      expect(messagesOf(await report)).toEqual([
        "The group could not be read again: Not this one.",
        "The group could not be read again: Not this one.",
      ]);
      expect(membersOf(provider)).toEqual(["p0", "p1"]);
      expect(await report).toMatchObject({ status: "partial" });
      expect((await report).providers[0]).not.toHaveProperty("error");
      expect(exitCodeOfReport(await report)).toBe(4);
    },
  );

  it("that is gone is left out alone", async () => {
    const { report } = failing(new GroupSyncError("not-found", "Gone."));
    expect(messagesOf(await report)).toEqual(
      Array.from({ length: 2 }, () => "The group has disappeared since the plan was made; plan anew."),
    );
    expect(linesOf(await report)).toContain(deckGoes);
  });

  it.each<ErrorCode>(["unauthenticated", "rate-limited", "network", "internal"])(
    "ends the provider where no other could be read either: %s",
    async (code) => {
      const { provider, report } = failing(new GroupSyncError(code, "No more."));
      expect(linesOf(await report)).toEqual([
        `member.add p3 skipped ${code}`,
        `member.remove p1 skipped ${code}`,
        `member.add p2 skipped ${code}`,
      ]);
      expect((await report).providers[0]?.error).toMatchObject({ code, message: "No more." });
      expect(membersOf(provider, "deck")).toEqual(["p0", "p1"]);
    },
  );
});

it("a description that nobody wants to change may change", async () => {
  const provider = lab(withVersions(false));
  const target = group("crew", { groupId: "g", members: ["p0", "p1", "p3"] });
  const report = await afterwards(provider, target, describeAnew);
  expect(linesOf(report)).toEqual(["member.add p3 applied", deckGoes]);
  expect(crewOf(provider)?.description).toBe("Theirs.");
});
