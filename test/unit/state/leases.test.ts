/** Who may write: leases in every store, and between processes that race, die and are put to sleep. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { openState, type StatePlace } from "../../../src/state/index.js";
import type { Lease, LeaseBusy, State } from "../../../src/state/state.js";
import {
  compileStore,
  errorOf,
  placesIn,
  plan,
  type Postgres,
  startChild,
  startPostgres,
  temporaryFolder,
} from "./kit.js";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres?.stop();
});

const hourMs = 3_600_000;
const startedAt = "2026-11-21T10:00:00.000Z";
const intent = (sequence: number) => ({ provider: "faces", sequence, kind: "members", changes: [] });

function given(lease: Lease | LeaseBusy): Lease {
  if ("busy" in lease) throw new Error(`${lease.name} is taken by ${lease.holder}.`);
  return lease;
}

function refused(lease: Lease | LeaseBusy): LeaseBusy {
  if (!("busy" in lease)) throw new Error(`${lease.holder} got ${lease.names.join(", ")}.`);
  return lease;
}

/** Asks again until the names are free, as another run would. */
async function acquired(state: State, names: readonly string[], holder: string): Promise<Lease> {
  for (;;) {
    const lease = await state.acquireLeases(names, holder, hourMs);
    if (!("busy" in lease)) return lease;
    await sleep(5);
  }
}

async function sequences(state: State, runId = "r1"): Promise<readonly number[] | undefined> {
  return (await state.run(runId))?.journal.map(({ sequence }) => sequence);
}

describe.each(Object.entries(placesIn(() => postgres)))("leases in %s", (_name, place) => {
  async function fresh(): Promise<State> {
    const state = await (await place()).open();
    onTestFinished(() => state.close());
    await state.beginRun({ runId: "r1", planId: "p1", startedAt }, plan("p1"));
    return state;
  }

  test("are on all names or on none, and whoever is refused is told by whom and until when", async () => {
    const state = await fresh();
    const before = Date.now();
    const first = given(await state.acquireLeases(["docs", "calls", "docs"], "one", hourMs));
    const after = Date.now();
    expect(first).toStrictEqual({ names: ["calls", "docs"], holder: "one", fence: first.fence });
    const busy = refused(await state.acquireLeases(["lab", "docs", "calls"], "two", hourMs));
    expect(busy).toStrictEqual({ busy: true, name: "calls", holder: "one", fence: first.fence, until: busy.until });
    expect(busy.until).toBe(new Date(busy.until).toISOString());
    // The clocks are of one machine; some cut off what is less than a millisecond, some round it.
    expect(Date.parse(busy.until)).toBeGreaterThanOrEqual(before + hourMs - 5);
    expect(Date.parse(busy.until)).toBeLessThanOrEqual(after + hourMs + 5);
    // The refused one has not taken what was free.
    expect(given(await state.acquireLeases(["lab"], "three", hourMs)).fence).toBeGreaterThan(first.fence);
    await state.releaseLeases(first);
    expect(refused(await state.acquireLeases(["lab", "docs"], "two", hourMs)).holder).toBe("three");
    given(await state.acquireLeases(["calls", "docs"], "two", hourMs));
  });

  test("are not given twice to one holder either", async () => {
    const state = await fresh();
    given(await state.acquireLeases(["docs"], "one", hourMs));
    expect(refused(await state.acquireLeases(["docs"], "one", hourMs)).holder).toBe("one");
  });

  test("differ by exact text: case, accents and what looks like a pattern", async () => {
    const state = await fresh();
    for (const name of ["docs", "Docs", "docs ", "döcs", "%", ""]) {
      given(await state.acquireLeases([name], "one", hourMs));
    }
    expect(refused(await state.acquireLeases(["%"], "two", hourMs)).name).toBe("%");
  });

  test("that have run out are free, and are of no use to their old holder, even under the same name", async () => {
    const state = await fresh();
    const old = given(await state.acquireLeases(["docs"], "one", 0));
    expect(await state.renewLeases(old, hourMs)).toBe(false);
    expect((await errorOf(state.recordIntent("r1", intent(1), old))).code).toBe("busy");
    const lease = given(await state.acquireLeases(["docs"], "one", hourMs));
    expect(lease.fence).toBeGreaterThan(old.fence);
    expect(await state.renewLeases(old, hourMs)).toBe(false);
    await state.releaseLeases(old);
    const error = await errorOf(state.recordIntent("r1", intent(1), old));
    expect([error.code, error.message]).toEqual([
      "busy",
      "This run no longer holds its lease on docs; the call was not sent.",
    ]);
    expect(await sequences(state)).toEqual([]);
    await state.recordIntent("r1", intent(1), lease);
    expect(await sequences(state)).toEqual([1]);
    expect(refused(await state.acquireLeases(["docs"], "two", hourMs)).fence).toBe(lease.fence);
  });

  test("of which one name is lost are lost: not renewed, and good for no intention", async () => {
    const state = await fresh();
    const old = given(await state.acquireLeases(["calls", "docs"], "one", hourMs));
    await state.releaseLeases({ ...old, names: ["docs"] });
    const other = given(await state.acquireLeases(["docs"], "two", hourMs));
    const until = async () => refused(await state.acquireLeases(["calls"], "three", hourMs)).until;
    const before = await until();
    expect(await state.renewLeases(old, 2 * hourMs)).toBe(false);
    expect(await until()).toBe(before);
    expect((await errorOf(state.recordIntent("r1", intent(1), old))).code).toBe("busy");
    expect(await sequences(state)).toEqual([]);
    // What is still held is given back; what is another's is not.
    await state.releaseLeases(old);
    given(await state.acquireLeases(["calls"], "three", hourMs));
    expect(await state.renewLeases(other, hourMs)).toBe(true);
  });

  test("last longer when renewed, and no longer than renewed for", async () => {
    const state = await fresh();
    const lease = given(await state.acquireLeases(["calls", "docs"], "one", hourMs));
    expect(await state.renewLeases(lease, 3 * hourMs)).toBe(true);
    for (const name of lease.names) {
      const { until, fence } = refused(await state.acquireLeases([name], "two", hourMs));
      expect(Date.parse(until) - Date.now()).toBeGreaterThan(2 * hourMs);
      expect(fence).toBe(lease.fence);
    }
    await state.recordIntent("r1", intent(1), lease);
    expect(await state.renewLeases(lease, 0)).toBe(true);
    expect(await state.renewLeases(lease, hourMs)).toBe(false);
    given(await state.acquireLeases(["calls", "docs"], "two", hourMs));
  });

  test("run out by themselves, not before their time", async () => {
    const state = await fresh();
    const before = Date.now();
    const old = given(await state.acquireLeases(["docs"], "one", 150));
    const lease = await acquired(state, ["docs"], "two");
    // One millisecond: where the store's clock cuts off what is less.
    expect(Date.now() - before).toBeGreaterThanOrEqual(149);
    expect(lease.fence).toBeGreaterThan(old.fence);
    expect(await state.renewLeases(old, hourMs)).toBe(false);
  });

  test("of a wrong fence, holder or name are no leases", async () => {
    const state = await fresh();
    const lease = given(await state.acquireLeases(["docs"], "one", hourMs));
    const wrong = [
      { ...lease, fence: lease.fence + 1 },
      { ...lease, holder: "two" },
      { ...lease, names: ["docs", "calls"] },
    ];
    for (const one of wrong) {
      expect(await state.renewLeases(one, hourMs)).toBe(false);
      expect((await errorOf(state.recordIntent("r1", intent(1), one))).code).toBe("busy");
    }
    await state.releaseLeases(wrong[0] as Lease);
    await state.releaseLeases(wrong[1] as Lease);
    expect(await state.renewLeases(lease, hourMs)).toBe(true);
  });

  test("on nothing hinder nobody", async () => {
    const state = await fresh();
    const lease = given(await state.acquireLeases([], "one", hourMs));
    expect(lease.names).toEqual([]);
    given(await state.acquireLeases([], "two", hourMs));
    expect(await state.renewLeases(lease, hourMs)).toBe(true);
    await state.recordIntent("r1", intent(1), lease);
    await state.releaseLeases(lease);
  });

  test("of names that a store cannot keep are refused, and take nothing", async () => {
    const state = await fresh();
    expect((await errorOf(state.acquireLeases(["calls", "do\0cs"], "one", hourMs))).code).toBe("bad-answer");
    expect((await errorOf(state.acquireLeases(["calls"], "half \ud83d", hourMs))).code).toBe("bad-answer");
    given(await state.acquireLeases(["calls"], "one", hourMs));
  });

  test("an intention that was refused can be written down by the next lease", async () => {
    const state = await fresh();
    const lost = given(await state.acquireLeases(["docs"], "one", 0));
    for (const sequence of [1, 2]) await errorOf(state.recordIntent("r1", intent(sequence), lost));
    const lease = given(await state.acquireLeases(["docs"], "one", hourMs));
    for (const sequence of [1, 2]) await state.recordIntent("r1", intent(sequence), lease);
    expect(await sequences(state)).toEqual([1, 2]);
  });

  test("asked for at the same time go to one of those who overlap", async () => {
    const state = await fresh();
    const wishes = Array.from({ length: 24 }, (_, index) => [`n${index % 4}`, `n${(index + 1) % 4}`]);
    const leases = await Promise.all(wishes.map((names, index) => state.acquireLeases(names, `${index}`, hourMs)));
    const winners = leases.filter((lease): lease is Lease => !("busy" in lease));
    const names = winners.flatMap((lease) => lease.names);
    expect(winners.length).toBeOneOf([1, 2]);
    expect(new Set(names).size).toBe(names.length);
  });

  test("and their numbers outlive the one who opened the store", async () => {
    const { open, lasting } = await place();
    const first = await open();
    const lease = given(await first.acquireLeases(["docs"], "one", hourMs));
    const released = given(await first.acquireLeases(["calls"], "one", hourMs));
    await first.releaseLeases(released);
    await first.close();
    const second = await open();
    onTestFinished(() => second.close());
    const again = given(await second.acquireLeases(["calls"], "two", hourMs));
    expect(again.fence > released.fence).toBe(lasting);
    expect("busy" in (await second.acquireLeases(["docs"], "two", hourMs))).toBe(lasting);
    expect(await second.renewLeases(lease, hourMs)).toBe(lasting);
  });
});

/** The stores that processes share. */
const shared: Readonly<Record<string, () => Promise<StatePlace>>> = {
  "a file": async () => ({ file: join(temporaryFolder(), "state.db") }),
  PostgreSQL: async () => ({ postgres: await postgres.createDatabase() }),
};

test.each(Object.entries(shared))(
  "the time is that of %s, not of a process whose clock is wrong",
  async (_name, share) => {
    const state = await openState(await share());
    onTestFinished(() => state.close());
    const lease = given(await state.acquireLeases(["docs"], "one", hourMs));
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 24 * hourMs });
    onTestFinished(() => void vi.useRealTimers());
    refused(await state.acquireLeases(["docs"], "two", hourMs));
    expect(await state.renewLeases(lease, hourMs)).toBe(true);
  },
);

describe.each(Object.entries(shared))("processes that share %s", (_name, shareOne) => {
  let store: string;
  beforeAll(() => {
    store = compileStore();
  });
  afterAll(() => rmSync(store, { recursive: true, force: true }));

  async function share(): Promise<{ readonly place: string; readonly state: State }> {
    const place = await shareOne();
    const state = await openState(place);
    onTestFinished(() => state.close());
    return { place: JSON.stringify(place), state };
  }

  test("of two who want the same names at once, exactly one gets them, a hundred times over", async () => {
    const { place } = await share();
    const script = (holder: string, names: string) => `
      const state = await openState(${place});
      say("ready");
      const { existsSync } = await import("node:fs");
      while (!existsSync(${JSON.stringify(go)})) await new Promise((done) => setTimeout(done, 1));
      const start = Date.now();
      for (let n = 1; n <= 100; n++) {
        while (Date.now() < start + n * 10) await new Promise((done) => setTimeout(done, 0));
        const lease = await state.acquireLeases(${names}, "${holder}", ${hourMs});
        if (!("busy" in lease)) say(n + " " + lease.fence);
      }
      await state.close();
    `;
    const go = join(temporaryFolder(), "go");
    const children = [
      startChild(store, script("one", '["x" + n, "y" + n, "z" + n]')),
      startChild(store, script("two", '["z" + n, "y" + n]')),
    ];
    await Promise.all(children.map((child) => child.line("ready")));
    writeFileSync(go, "");
    expect(await Promise.all(children.map(({ ended }) => ended))).toEqual([0, 0]);
    const won = children.flatMap(({ lines }) =>
      lines.filter((line) => line !== "ready").map((line) => line.split(" ")),
    );
    const rounds = won.map(([round]) => Number(round)).toSorted((a, b) => a - b);
    expect(rounds).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
    expect(new Set(won.map(([, fence]) => fence)).size).toBe(100);
  });

  test("whoever has names has them alone, whatever others want that overlaps", async () => {
    const { place, state } = await share();
    const held = join(temporaryFolder(), "held");
    mkdirSync(held);
    // A file per name, which only one can create: it tells of two who are in at once, without asking the store.
    const script = (holder: string) => `
      const { openSync, closeSync, unlinkSync } = await import("node:fs");
      const state = await openState(${place});
      const wishes = [["a", "b"], ["b", "c"], ["c", "a"], ["a", "b", "c"], ["b"]];
      await state.beginRun({ runId: "${holder}", planId: "p1", startedAt: "2026-11-21" }, { kind: "plan" });
      for (let n = 1; n <= 25; ) {
        const wish = wishes[Math.floor(Math.random() * wishes.length)];
        const lease = await state.acquireLeases(wish, "${holder}", ${hourMs});
        if ("busy" in lease) {
          await new Promise((done) => setTimeout(done, Math.random() * 4));
          continue;
        }
        const files = wish.map((name) => ${JSON.stringify(held)} + "/" + name);
        for (const file of files) closeSync(openSync(file, "wx"));
        await state.recordIntent("${holder}", { provider: "faces", sequence: n, kind: "members", changes: [] }, lease);
        if (n % 5 === 0 && !(await state.renewLeases(lease, ${hourMs}))) throw new Error("lost");
        for (const file of files) unlinkSync(file);
        await state.releaseLeases(lease);
        say(String(lease.fence));
        n++;
      }
      await state.close();
    `;
    const holders = ["one", "two", "three"];
    const children = holders.map((holder) => startChild(store, script(holder)));
    expect(await Promise.all(children.map(({ ended }) => ended))).toEqual([0, 0, 0]);
    const fences = children.map(({ lines }) => lines.map(Number));
    expect(new Set(fences.flat()).size).toBe(75);
    for (const list of fences) expect(list).toEqual(list.toSorted((a, b) => a - b));
    for (const holder of holders) expect(await sequences(state, holder)).toHaveLength(25);
    given(await state.acquireLeases(["a", "b", "c"], "four", hourMs));
  });

  test("after kill -9 the lease stays until it runs out, and the run stays as it was", async () => {
    const { place, state } = await share();
    const child = startChild(
      store,
      `
      const state = await openState(${place});
      await state.beginRun({ runId: "r1", planId: "p1", startedAt: "2026-11-21" }, { kind: "plan" });
      const lease = await state.acquireLeases(["docs"], "one", 1500);
      await state.recordIntent("r1", { provider: "faces", sequence: 1, kind: "members", changes: [] }, lease);
      await state.renewLeases(lease, 1500);
      say("sent");
      await new Promise((done) => setTimeout(done, 60_000));
    `,
    );
    await child.line("sent");
    child.process.kill("SIGKILL");
    await child.ended;
    const { until } = refused(await state.acquireLeases(["docs"], "two", hourMs));
    await acquired(state, ["docs"], "two");
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(until) - 5);
    const run = await state.run("r1");
    expect(run?.record).toStrictEqual({ runId: "r1", planId: "p1", startedAt: "2026-11-21" });
    expect(run?.journal).toEqual([intent(1)]);
  });

  test("one that wakes up after its lease went to another sends nothing", async () => {
    const { place, state } = await share();
    const go = join(temporaryFolder(), "go");
    const child = startChild(
      store,
      `
      const { existsSync } = await import("node:fs");
      const state = await openState(${place});
      await state.beginRun({ runId: "r1", planId: "p1", startedAt: "2026-11-21" }, { kind: "plan" });
      const lease = await state.acquireLeases(["docs"], "one", 1500);
      await state.recordIntent("r1", { provider: "faces", sequence: 1, kind: "members", changes: [] }, lease);
      say("sent");
      while (!existsSync(${JSON.stringify(go)})) await new Promise((done) => setTimeout(done, 5));
      await state.recordIntent("r1", { provider: "faces", sequence: 2, kind: "members", changes: [] }, lease)
        .then(() => say("sent again"), (error) => say(error.code));
      say(String(await state.renewLeases(lease, 60_000)));
      await state.releaseLeases(lease);
      await state.close();
    `,
    );
    await child.line("sent");
    child.process.kill("SIGSTOP");
    const lease = await acquired(state, ["docs"], "two");
    writeFileSync(go, "");
    child.process.kill("SIGCONT");
    expect(await child.ended).toBe(0);
    expect(child.lines).toEqual(["sent", "busy", "false"]);
    expect(await sequences(state)).toEqual([1]);
    expect(await state.renewLeases(lease, hourMs)).toBe(true);
  });
});

test("whoever had to wait for a lease's row judges it by the time after the wait", async () => {
  const url = await postgres.createDatabase();
  const state = await openState({ postgres: url });
  onTestFinished(() => state.close());
  await state.beginRun({ runId: "r1", planId: "p1", startedAt }, plan("p1"));
  const lease = given(await state.acquireLeases(["docs"], "one", 800));
  const holding = postgres.query(
    url,
    "begin; select 1 from group_sync_leases for update; select pg_sleep(1.2); commit",
  );
  await expect
    .poll(() =>
      postgres.query(
        url,
        "select 1 from pg_locks where mode = 'RowShareLock' and relation = 'group_sync_leases'::regclass",
      ),
    )
    .toHaveLength(1);
  expect((await errorOf(state.recordIntent("r1", intent(1), lease))).code).toBe("busy");
  await holding;
  expect(await sequences(state)).toEqual([]);
});
