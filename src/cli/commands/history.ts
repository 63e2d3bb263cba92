import { renderCount } from "../../collections.js";
import { GroupSyncError } from "../../errors.js";
import type { Report } from "../../model.js";
import { renderHtml } from "../../report/html.js";
import { renderMarkdown } from "../../report/markdown.js";
import { viewPlan, viewReport } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import { readSpec } from "../inputs.js";
import type { CommonFlags, Session } from "../session.js";
import { readHistory, withHistory } from "../state.js";
import { type PlanFlags, textOptions } from "./plan.js";

/** Flags of `history`. */
export interface HistoryFlags extends CommonFlags {
  readonly limit: string;
}

/** `history`: past runs, newest first. */
export async function runHistory(session: Session, flags: HistoryFlags): Promise<number> {
  const limit = Number(flags.limit);
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new GroupSyncError("options-invalid", `--limit ${flags.limit} is not a whole number from 1 up.`);
  }
  const spec = await readSpec(session);
  return withHistory(spec, session, async (state) => {
    const runs = await state.runs(limit);
    if (flags.json) session.json({ kind: "history", formatVersion: 1, runs });
    else if (runs.length === 0) session.say("No run yet.");
    else {
      const lines = runs.map(({ runId, startedAt, status, summary }) =>
        [startedAt.replace(/\.\d+Z$/, "Z"), runId, status ?? "did not end", countsOf(summary)].join("  ").trimEnd(),
      );
      session.result(`${lines.join("\n")}\n`);
    }
    return 0;
  });
}

function countsOf(summary: Report["summary"] | undefined): string {
  return Object.entries(summary ?? {})
    .filter(([, count]) => count > 0)
    .map(([status, count]) => `${count} ${status}`)
    .join(", ");
}

/** Flags of `show`. */
export type ShowFlags = CommonFlags & Pick<PlanFlags, "format">;

/** `show <run>`: what a past run did; of one that did not end, what it meant to do. */
export async function runShow(session: Session, flags: ShowFlags, [runId = ""]: readonly string[]): Promise<number> {
  const spec = await readSpec(session);
  return withHistory(spec, session, async (state) => {
    const run = await state.run(runId);
    if (!run) {
      throw new GroupSyncError("options-invalid", `There is no run ${runId}.`, {
        hint: "group-sync history lists them.",
      });
    }
    const { report, plan, record, journal } = run;
    if (!report) {
      const open = journal.filter(({ outcome }) => outcome === undefined || outcome === "unknown").length;
      session.say(
        `${record.runId} did not come to its end: ${renderCount(journal.length, "call was", "calls were")} begun, of ${open} nobody knows the end. The next apply finds out. This is what it meant to do:`,
      );
    }
    if (flags.json || flags.format === "json") session.json(report ?? plan);
    else {
      const history = await readHistory(state);
      const view = report ? viewReport(report, { history }) : viewPlan(plan, { history });
      if (flags.format === "markdown") session.result(renderMarkdown(view));
      else if (flags.format === "html") session.result(renderHtml(view));
      else session.result(renderText(view, textOptions(flags, session)));
    }
    return 0;
  });
}
