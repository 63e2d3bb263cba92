/** `incremental: true`: what is not read again, what is, and that nothing is done on the word of what was not read. */
import { describe, expect, it, onTestFinished } from "vitest";
import { createPlan, type Report, reconcile, undo } from "../../src/index.js";
import { createMemoryState } from "../../src/state/memory.js";
import { type SpecWish, specFor, startWorld, trueMembers, type World } from "./world.js";

const people = Array.from({ length: 8 }, (_, index) => ({ id: `p${index}`, email: `p${index}@example.org` }));
const groups = [
  { name: "Crew", members: ["p0", "p1"] },
  { name: "Deck", members: ["p2", "p3"] },
  { name: "Bridge", members: ["p4"] },
];
const HOUR_MS = 3_600_000;

async function startScene(service: "genesys" | "docspace" = "genesys") {
  const world = await startWorld({ services: [service], seed: { people, groups } });
  onTestFinished(() => world.close());
  const state = createMemoryState();
  const started = Date.now();
  let hours = 0;
  const optionsFor = async (wish: Partial<SpecWish>) => ({
    ...(await specFor(world, {
      groups,
      connection: { incremental: true },
      guards: { maxRemovals: { count: 100, percent: 100 }, minOwners: 0 },
      ...wish,
    })),
    state,
    verifyMs: 300,
    now: () => new Date(started + hours * HOUR_MS),
  });
  return {
    world,
    state,
    optionsFor,
    /** The clock, in hours since the beginning. */
    at: (time: number) => {
      hours = time;
    },
    run: async (wish: Partial<SpecWish> = {}): Promise<Report> => reconcile(await optionsFor(wish)),
  };
}

/** Groups whose members were asked for since the last time, by name. */
function readGroups({ sandbox }: World): readonly string[] {
  const nameOf = new Map(sandbox.services.genesys.control.groups().map(({ id, name }) => [id, name]));
  const names = sandbox.log.flatMap(({ path }) => {
    const id = /\/groups\/([^/]+)\/individuals$/.exec(path)?.[1];
    return id === undefined ? [] : [nameOf.get(id) ?? id];
  });
  sandbox.log.clear();
  return names.toSorted();
}

function groupIdOf({ sandbox }: World, name: string): string {
  return sandbox.services.genesys.control.groups().find((group) => group.name === name)?.id ?? "";
}

const accountOf = ({ sandbox }: World, person: string) => sandbox.services.genesys.control.accountOf(person) ?? "";
const notesOf = (report: Report) => report.providers.flatMap(({ notes }) => notes).join("\n");

describe("a group as wished whose version has not moved", () => {
  it("is not read again, and the report says so", async () => {
    const { world, run } = await startScene();
    expect(notesOf(await run())).toBe("");
    expect(readGroups(world)).toEqual(["Bridge", "Crew", "Deck"]);
    const second = await run();
    expect(second.status).toBe("converged");
    expect(readGroups(world)).toEqual([]);
    expect(notesOf(second)).toBe(
      "3 groups were not read again: as wished when last read, and of the same version since (incremental)",
    );
  });

  it("is read in each run without the option, and without state, which the plan says", async () => {
    const { world, run, optionsFor } = await startScene();
    await run({ connection: {} });
    await run({ connection: {} });
    expect(readGroups(world)).toHaveLength(6);
    const { state: _state, ...stateless } = await optionsFor({});
    await reconcile(stateless);
    expect(notesOf(await reconcile(stateless))).toContain("incremental needs state");
    expect(readGroups(world)).toHaveLength(6);
  });

  it("is read whole again after a day, and after a clock was set back", async () => {
    const { world, run, at } = await startScene();
    await run();
    at(23);
    await run();
    expect(readGroups(world)).toHaveLength(3);
    at(24);
    await run();
    expect(readGroups(world)).toHaveLength(3);
    at(1);
    await run();
    expect(readGroups(world)).toHaveLength(3);
  });

  it("takes one call per list: no calls for its members, its kind or its version", async () => {
    const { world, run } = await startScene();
    await run();
    world.sandbox.log.clear();
    await run();
    const groupCalls = world.sandbox.log.filter(({ path }) => path.includes("/groups"));
    expect(groupCalls.map(({ method, path }) => `${method} ${path}`)).toEqual([
      expect.stringMatching(/^GET .*\/api\/v2\/groups$/),
    ]);
  });
});

describe("a group is read", () => {
  it.each<readonly [string, (world: World) => void]>([
    [
      "someone came",
      (world) => world.sandbox.services.genesys.control.addMember(groupIdOf(world, "Crew"), accountOf(world, "p7")),
    ],
    [
      "someone went",
      (world) => world.sandbox.services.genesys.control.removeMember(groupIdOf(world, "Crew"), accountOf(world, "p1")),
    ],
  ])("when %s there, and put right; the others are not", async (_, edit) => {
    const { world, run } = await startScene();
    await run();
    readGroups(world);
    edit(world);
    const report = await run();
    expect(report.summary.applied).toBe(1);
    expect(new Set(readGroups(world))).toEqual(new Set(["Crew"]));
    expect(trueMembers(world, "calls", "Crew")).toEqual(["p0", "p1"]);
    // What was changed is believed once it has been read as wished, not because it was written.
    await run();
    expect(readGroups(world)).toEqual(["Crew"]);
    await run();
    expect(readGroups(world)).toEqual([]);
  });

  it("when the spec wants it otherwise, and whoever is too many goes", async () => {
    const { world, run } = await startScene();
    await run();
    readGroups(world);
    const wish = { groups: [{ name: "Crew", members: ["p0"] }, ...groups.slice(1)] };
    expect((await run(wish)).summary.applied).toBe(1);
    expect(trueMembers(world, "calls", "Crew")).toEqual(["p0"]);
    expect(new Set(readGroups(world))).toEqual(new Set(["Crew"]));
  });

  it("when a person of it is another account now", async () => {
    const { world, run } = await startScene();
    await run();
    readGroups(world);
    world.sandbox.services.genesys.control.setPersonStatus(accountOf(world, "p0"), "disabled");
    await run();
    expect(readGroups(world)).toEqual(["Crew"]);
    // Somebody who could not be matched leaves a question open: nothing is settled by such a reading.
    await run();
    expect(readGroups(world)).toEqual(["Crew"]);
  });

  it("when it was held from being put right before", async () => {
    const { world, run } = await startScene();
    const wish = {
      groups: [{ name: "Crew", members: ["p0"] }, ...groups.slice(1)],
      guards: { maxRemovals: { count: 0, percent: 0 }, minOwners: 0 },
    };
    expect((await run(wish)).summary.held).toBe(1);
    readGroups(world);
    expect((await run(wish)).summary.held).toBe(1);
    expect(readGroups(world)).toEqual(["Crew"]);
  });

  it("when a run is taken back", async () => {
    const { world, run, state, optionsFor } = await startScene();
    const wish = { groups: [{ name: "Crew", members: ["p0", "p1", "p5"] }, ...groups.slice(1)] };
    const { runId } = await run(wish);
    await run(wish);
    await run(wish);
    readGroups(world);
    const report = await undo({ ...(await optionsFor(wish)), state, runId });
    expect(report.summary.applied).toBe(1);
    expect(trueMembers(world, "calls", "Crew")).toEqual(["p0", "p1"]);
    expect(readGroups(world)).toContain("Crew");
  });
});

describe("what was read", () => {
  it("by a plan is not remembered: a plan writes nothing down", async () => {
    const { world, run, optionsFor } = await startScene();
    await createPlan(await optionsFor({}));
    readGroups(world);
    await run();
    expect(readGroups(world)).toEqual(["Bridge", "Crew", "Deck"]);
    const plan = await createPlan(await optionsFor({}));
    expect(plan.status).toBe("in-sync");
    expect(readGroups(world)).toEqual([]);
  });

  it("in a reading that is not whole is not remembered", async () => {
    const { world, run } = await startScene();
    // The list of members shows one fewer than it declares, each time.
    world.sandbox.addFault({ kind: "short-page", path: "/individuals", times: 0 });
    world.sandbox.clearFaults();
    readGroups(world);
    await run();
    expect(readGroups(world)).toEqual(["Bridge", "Crew", "Deck"]);
  });
});

it("a service without versions is read each time, and validation says that the option does nothing there", async () => {
  const { world, run, optionsFor } = await startScene("docspace");
  const { spec } = await optionsFor({});
  expect(spec.warnings.map(({ path, message }) => `${path}: ${message}`)).toContainEqual(
    expect.stringMatching(/^providers\.docs\.incremental: ONLYOFFICE DocSpace shows no versions/),
  );
  await run();
  world.sandbox.log.clear();
  await run();
  expect(world.sandbox.log.filter(({ path }) => path.endsWith("/people/filter")).length).toBeGreaterThanOrEqual(3);
});
