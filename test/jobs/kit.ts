/** A service under test: turns against emulators, with a clock of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTicker, type JobEvent, type Tick, type TickerOptions } from "../../src/jobs/tick.js";
import { openState } from "../../src/state/index.js";
import type { State } from "../../src/state/state.js";
import { type SpecWish, specFor, type World } from "../scenarios/world.js";

export const seed = {
  people: ["ada", "alan", "barbara", "edsger", "grace", "linus", "margaret", "radia"].map((id) => ({
    id,
    name: id,
    email: `${id}@example.org`,
  })),
  groups: [],
};
export const wish: SpecWish = {
  groups: [
    { name: "day", members: ["ada", "alan", "barbara"] },
    { name: "night", members: ["edsger", "grace"] },
    { name: "all", members: ["ada", "alan", "barbara", "edsger", "grace", "linus", "margaret"] },
  ],
};

export interface TestService {
  /** One turn. */
  tick(signal?: AbortSignal): Promise<Tick>;
  /** Lets time pass. */
  pass(ms: number): void;
  readonly events: JobEvent[];
  /** The spec of the next turns; an error: it is broken. */
  wish: SpecWish | Error;
  withState<T>(act: (state: State) => Promise<T>): Promise<T>;
  close(): void;
}

/** A service over a world. Spec, providers and state are opened for each turn, as the command line does. */
export function createService(world: World, options: Partial<TickerOptions> = {}): TestService {
  const folder = mkdtempSync(join(tmpdir(), "group-sync-jobs-"));
  let skew = 0;
  const withState = async <T>(act: (state: State) => Promise<T>): Promise<T> => {
    const state = await openState({ file: join(folder, "state.db") });
    try {
      return await act(state);
    } finally {
      await state.close();
    }
  };
  const events: JobEvent[] = [];
  const tick = createTicker({
    now: () => Date.now() + skew,
    onEvent: (event) => {
      events.push(event);
    },
    withWork: async (act) => {
      if (service.wish instanceof Error) throw service.wish;
      const { spec, providers } = await specFor(world, service.wish);
      return withState((state) => act({ spec, providers, state }));
    },
    ...options,
  });
  const service: TestService = {
    tick: (signal = new AbortController().signal) => tick(signal),
    pass: (ms) => {
      skew += ms;
    },
    events,
    wish,
    withState,
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
  return service;
}
