import type { Plan } from "../../model.js";
import { createPlan } from "../../reconcile/reconcile.js";
import { renderHtml } from "../../report/html.js";
import { renderMarkdown } from "../../report/markdown.js";
import { viewPlan } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import { brokenProviders, exitCodeOfPlan } from "../exit.js";
import { mustBeWritable, writeText } from "../files.js";
import { planOptions, readSpec } from "../inputs.js";
import { type CommonFlags, configFlag, type Session } from "../session.js";
import type { RunRecord } from "../../state/state.js";
import { readHistory, type StateFlags, withStateToRead } from "../state.js";

/** Flags of `plan`. */
export interface PlanFlags extends StateFlags {
  readonly out?: string;
  readonly format: "text" | "json" | "markdown" | "html";
}

/** `plan`: what would change, what is held and why. */
export async function runPlan(session: Session, flags: PlanFlags): Promise<number> {
  await mustBeWritable(flags.out);
  const spec = await readSpec(session);
  const { plan, history } = await withStateToRead(spec, session, async (state) => ({
    plan: await createPlan({ ...planOptions(session, spec), ...(state && { state }) }),
    history: await readHistory(state),
  }));
  session.progress.stop();
  if (flags.json || flags.format === "json") session.json(plan);
  else session.result(renderPlan(plan, flags, session, history));
  // The text says it itself; another format goes to a file or a program.
  if (flags.json || flags.format !== "text") brokenProviders(plan.providers).forEach(session.say);
  if (flags.out !== undefined) {
    await writeText(flags.out, `${JSON.stringify(plan, null, 2)}\n`, true);
    session.say(
      `Saved to ${flags.out}, good until ${plan.expiresAt}. Next: group-sync apply ${flags.out}${configFlag(flags)}`,
    );
  }
  return exitCodeOfPlan(plan);
}

/** The plan as `--format` asks. */
export function renderPlan(
  plan: Plan,
  flags: Pick<PlanFlags, "format" | "verbose">,
  session: Session,
  history: readonly RunRecord[] = [],
): string {
  const view = viewPlan(plan, { history });
  if (flags.format === "markdown") return renderMarkdown(view);
  if (flags.format === "html") return renderHtml(view);
  return renderText(view, textOptions(flags, session));
}

/** How text fits this terminal. */
export function textOptions({ verbose }: Pick<CommonFlags, "verbose">, session: Session) {
  return {
    colors: session.colors,
    width: process.stdout.isTTY ? (process.stdout.columns ?? 0) : 0,
    ...(verbose && { linesPerGroup: 0 }),
  };
}
