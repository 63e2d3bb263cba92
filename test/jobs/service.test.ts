/** What a scheduled service keeps right over a day, and what it leaves alone. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GroupSyncError } from "../../src/index.js";
import {
  expectConverged,
  type ProviderKey,
  providerIds,
  startWorld,
  trueMembers,
  type World,
} from "../scenarios/world.js";
import { LOST } from "../../src/jobs/tick.js";
import { createService, seed, type TestService, wish } from "./kit.js";

const MINUTE = 60_000;

describe("a service", () => {
  let world: World;
  let service: TestService;
  beforeEach(async () => {
    world = await startWorld({ seed });
    service = createService(world);
  });
  afterEach(async () => {
    service.close();
    await world.close();
  });
  const control = (key: ProviderKey) => world.sandbox.services[providerIds[key]].control;
  const requests = () => world.sandbox.log.length;

  /** Somebody else adds or removes somebody at a service. True: something is different now. */
  function meddle(key: ProviderKey, groupIndex: number, personIndex: number): boolean {
    const group = control(key).groups()[groupIndex % control(key).groups().length];
    const account = control(key).accountOf(seed.people[personIndex % seed.people.length]?.id ?? "");
    if (!group || account === undefined || group.invited.includes(account)) return false;
    const isIn = group.members.some((member) => member.account === account);
    if (isIn) control(key).removeMember(group.id, account);
    else control(key).addMember(group.id, account);
    return true;
  }

  it("puts drift right at the next turn, a day long, and keeps no handle", async () => {
    expect((await service.tick()).status).toBe("converged");
    control("lab").answerInvitations("accept");
    const keys = Object.keys(providerIds) as ProviderKey[];
    // One change of somebody else per turn: never more than the guards let through.
    const drifts = fc.sample(fc.tuple(fc.constantFrom(...keys), fc.nat(2), fc.nat(7)), 24);
    const handles: number[] = [];
    for (const [index, [key, group, person]] of drifts.entries()) {
      service.pass(60 * MINUTE);
      const drifted = meddle(key, group, person);
      const tick = await service.tick();
      // Whoever is put back at BrainSTEM is invited, and has to accept once more.
      expect(tick, `turn ${index}: ${key}`).toMatchObject({ status: "converged", drift: drifted ? 1 : 0 });
      expectConverged(world, wish);
      control("lab").answerInvitations("accept");
      service.events.length = 0;
      handles.push(
        process.getActiveResourcesInfo().filter((name) => name === "Timeout" || name === "FSReqPromise").length,
      );
    }
    expect(Math.max(...handles.slice(-5))).toBeLessThanOrEqual(Math.max(...handles.slice(0, 5)) + 5);
  });

  it("leaves a provider that is down alone for longer and longer, keeps the others right, and takes it back", async () => {
    await service.tick();
    const fault = world.sandbox.addFault({ kind: "server-error", service: "docspace", times: 0 });
    const at = (type: string) => service.events.flatMap((event) => (event.type === type ? [event] : []));

    expect(await service.tick()).toMatchObject({ status: "partial", resting: [] });
    expect(at("quarantined")).toMatchObject([{ provider: "docs", failures: 1 }]);

    // Within the quarantine nothing is sent there, and the others are put right all the same.
    const before = world.sandbox.log.filter(({ service: name }) => name === "docspace").length;
    meddle("calls", 0, 0);
    expect(await service.tick()).toMatchObject({ status: "converged", resting: [{ provider: "docs" }], drift: 1 });
    expect(world.sandbox.log.filter(({ service: name }) => name === "docspace")).toHaveLength(before);
    expect(trueMembers(world, "calls", "day")).toEqual(["ada", "alan", "barbara"]);

    const pauses = [];
    for (let failures = 2; failures <= 5; failures++) {
      service.pass(6 * 60 * MINUTE);
      service.events.length = 0;
      const { finishedAt } = await service.tick();
      const [event] = at("quarantined");
      expect(event).toMatchObject({ failures });
      if (event?.type === "quarantined")
        pauses.push(Math.round((Date.parse(event.until) - Date.parse(finishedAt)) / MINUTE));
    }
    expect(pauses).toEqual([2, 4, 8, 16]);

    world.sandbox.removeFault(fault);
    meddle("docs", 0, 0);
    service.pass(17 * MINUTE);
    service.events.length = 0;
    expect(await service.tick()).toMatchObject({ status: "converged", resting: [] });
    expect(at("returned")).toEqual([{ type: "returned", provider: "docs" }]);
    expect(await service.withState((state) => state.quarantines())).toEqual([]);
    expectConverged(world, wish);
  });

  it("rests when everybody is left alone, and sends nothing", async () => {
    world.sandbox.addFault({ kind: "server-error", times: 0 });
    expect((await service.tick()).status).toBe("failed");
    const before = requests();
    expect(await service.tick()).toMatchObject({ status: "resting" });
    expect(requests()).toBe(before);
  });

  it("comes back to a service no sooner than that asked for", async () => {
    await service.tick();
    world.sandbox.addFault({ kind: "rate-limit", service: "genesys", when: "read", seconds: 7200, times: 0 });
    const tick = await service.tick();
    const [quarantine] = await service.withState((state) => state.quarantines());
    expect(quarantine).toMatchObject({ provider: "calls", failures: 1 });
    expect(Date.parse(quarantine?.until ?? "") - Date.parse(tick.finishedAt)).toBeGreaterThan(7_100_000);
  });

  it("sends nothing while the spec is broken, says so, and goes on when it is mended", async () => {
    await service.tick();
    const before = requests();
    service.wish = new GroupSyncError("spec-invalid", "group-sync.yaml:3:1: error: mode is missing");
    expect(await service.tick()).toMatchObject({ status: "error", error: { code: "spec-invalid" }, targets: [] });
    expect(requests()).toBe(before);
    service.wish = wish;
    meddle("docs", 0, 0);
    expect(await service.tick()).toMatchObject({ status: "converged", drift: 1 });
  });

  it("takes what a changed spec asks for as no drift", async () => {
    await service.tick();
    service.wish = { groups: [...wish.groups, { name: "new", members: ["radia"] }] };
    expect(await service.tick()).toMatchObject({ status: "converged", drift: 0 });
  });

  it("is busy while another run is at work there, and writes nothing", async () => {
    await service.tick();
    meddle("faces", 0, 0);
    let writes: number | undefined;
    const outcome = await service.withState(async (state) => {
      const names = (await state.run((await state.runs(1))[0]?.runId ?? ""))?.plan.providers.map(
        ({ identity }) => identity,
      );
      const lease = await state.acquireLeases(names ?? [], "another", 60_000);
      const count = () => world.sandbox.log.filter(({ write }) => write).length;
      writes = count();
      const tick = await service.tick();
      expect(count()).toBe(writes);
      if (!("busy" in lease)) await state.releaseLeases(lease);
      return tick;
    });
    expect(outcome).toMatchObject({ status: "busy", error: { code: "busy" } });
    expect(await service.tick()).toMatchObject({ status: "converged", drift: 1 });
  });

  it("stops in good order when its time is up, and counts that against who was late", async () => {
    service.close();
    service = createService(world, { deadlineMs: 2_500 });
    world.sandbox.addFault({ kind: "slow", service: "genesys", when: "write", ms: 4_000, times: 0 });
    const tick = await service.tick();
    expect(tick.report?.summary.skipped).toBeGreaterThan(0);
    expect(await service.withState((state) => state.quarantines())).toContainEqual(
      expect.objectContaining({ provider: "calls", failures: 1 }),
    );
  });

  it("blames no service when the work is somebody else's by now", async () => {
    world.sandbox.addFault({ kind: "server-error", service: "docspace", when: "write", times: 0 });
    const lost = new AbortController();
    const turn = service.tick(lost.signal);
    // It has begun to write, and hears nothing good.
    const hasWritten = () => world.sandbox.log.some(({ service: name, write }) => write && name === "docspace");
    await expect.poll(hasWritten, { timeout: 20_000, interval: 5 }).toBe(true);
    lost.abort(LOST);
    expect((await turn).report?.providers.find(({ id }) => id === "docs")?.outcomes).not.toEqual([]);
    expect(await service.withState((state) => state.quarantines())).toEqual([]);
  });

  it("tells a stop on request from a failure", async () => {
    const stopper = new AbortController();
    stopper.abort();
    expect(await service.tick(stopper.signal)).toMatchObject({ status: "stopped" });
    expect(await service.withState((state) => state.quarantines())).toEqual([]);
  });
});
