import { createUndoPlan, undo } from "../../reconcile/reconcile.js";
import { planOptions, readSpec } from "../inputs.js";
import type { Session } from "../session.js";
import { readHistory, withHistory } from "../state.js";
import { type ApplyFlags, askFirst, endWith, mustBeAbleToAsk, type Ending } from "./apply.js";
import { mustBeWritable } from "../files.js";
import { exitCodeOfPlan } from "../exit.js";
import { renderPlan } from "./plan.js";

/** Flags of `undo`. */
export interface UndoFlags extends ApplyFlags {
  readonly dryRun?: boolean;
}

/** `undo <run>`: plans the inverse of what a run did, and then as `apply`. */
export async function runUndo(session: Session, flags: UndoFlags, [runId = ""]: readonly string[]): Promise<number> {
  if (!flags.dryRun)
    mustBeAbleToAsk(flags, `Look at \`group-sync undo ${runId} --dry-run\` first, then undo with --yes.`);
  await mustBeWritable(flags.report);
  const spec = await readSpec(session);
  return withHistory(spec, session, async (state) => {
    const options = { ...planOptions(session, spec), state, runId };
    if (flags.dryRun) {
      const plan = await createUndoPlan(options);
      session.progress.stop();
      if (flags.json) session.json(plan);
      else session.result(renderPlan(plan, { ...flags, format: "text" }, session));
      return exitCodeOfPlan(plan);
    }
    const asking = askFirst(session, flags);
    const report = await undo({ ...options, ...asking.options });
    const ending: Ending = asking.declined() ?? { report, history: await readHistory(state) };
    return endWith(ending, session, flags);
  });
}
