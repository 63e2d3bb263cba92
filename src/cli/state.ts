/** Where the command line remembers its runs. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { GroupSyncError } from "../errors.js";
import type { Spec } from "../model.js";
import type { StatePlace } from "../state/index.js";
import { MOST_PAST_RUNS } from "../report/model.js";
import type { RunRecord, State } from "../state/state.js";
import type { CommonFlags, Session } from "./session.js";

/** Flags of commands that remember. */
export interface StateFlags extends CommonFlags {
  /** commander's reading of `--no-state`. */
  readonly state?: boolean;
}

/** Where the spec says, else beside it. */
function placeOf(spec: Spec, { config }: CommonFlags): StatePlace {
  return spec.state ?? { file: join(dirname(config), ".group-sync", "state.db") };
}

/**
 * Works with the state open, and closes it. `create`: makes one where there is none; otherwise work goes on without.
 * With `--no-state` there is none.
 */
export async function withState<T>(
  spec: Spec,
  session: Session,
  { create }: { readonly create: boolean },
  act: (state: State | undefined) => Promise<T>,
): Promise<T> {
  const flags: StateFlags = session.flags;
  const place = placeOf(spec, flags);
  if (flags.state === false || (!create && "file" in place && !existsSync(place.file))) return act(undefined);
  const { openState } = await import("../state/index.js");
  const state = await openState(place);
  try {
    return await act(state);
  } finally {
    await state.close();
  }
}

/**
 * As {@link withState}, for commands that only look. Where nothing is remembered yet, they see what the first run will
 * see, a memory in which nothing is ours, and none is made.
 */
export function withStateToRead<T>(
  spec: Spec,
  session: Session,
  act: (state: State | undefined) => Promise<T>,
): Promise<T> {
  const flags: StateFlags = session.flags;
  return withState(spec, session, { create: false }, async (state) => {
    if (state || flags.state === false) return act(state);
    const { createMemoryState } = await import("../state/memory.js");
    return act(createMemoryState());
  });
}

/**
 * The last runs, for the chart of a page. None where nothing is remembered, or where that fails: a plan or a report is
 * worth more than its chart.
 */
export async function readHistory(state: State | undefined): Promise<readonly RunRecord[]> {
  return (await state?.runs(MOST_PAST_RUNS).catch(() => [])) ?? [];
}

/** As {@link withState}, for commands that are about the past. Throws `options-invalid` where nothing is remembered. */
export function withHistory<T>(spec: Spec, session: Session, act: (state: State) => Promise<T>): Promise<T> {
  return withState(spec, session, { create: false }, (state) => {
    if (state) return act(state);
    const place = placeOf(spec, session.flags);
    const where = "file" in place ? ` in ${place.file}` : "";
    throw new GroupSyncError("options-invalid", `Nothing is remembered yet${where}.`, {
      hint: "Runs are remembered from the first group-sync apply on.",
    });
  });
}
