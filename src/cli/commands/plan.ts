import { writeFile } from "node:fs/promises";
import type { Plan } from "../../model.js";
import { createPlan } from "../../reconcile/reconcile.js";
import { renderHtml } from "../../report/html.js";
import { renderMarkdown } from "../../report/markdown.js";
import { viewPlan } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import { brokenProviders, exitCodeOfPlan } from "../exit.js";
import { type CommonFlags, planOptions, readSpec, type Session } from "../session.js";

/** Flags of `plan`. */
export interface PlanFlags extends CommonFlags {
  readonly out?: string;
  readonly format: "text" | "json" | "markdown" | "html";
}

/** `plan`: what would change, what is held and why. */
export async function runPlan(session: Session, flags: PlanFlags): Promise<number> {
  const spec = await readSpec(session);
  const progress = await session.progress();
  const plan = await createPlan({ ...planOptions(session, spec), onEvent: progress.onEvent }).finally(() =>
    progress.stop(),
  );
  if (flags.out !== undefined) {
    await writeFile(flags.out, `${JSON.stringify(plan, null, 2)}\n`);
    session.say(`Saved ${plan.planId} to ${flags.out}; it is good until ${plan.expiresAt}.`);
  }
  if (flags.json || flags.format === "json") session.json(plan);
  else session.result(renderPlan(plan, flags, session));
  for (const line of brokenProviders(plan.providers)) session.say(line);
  return exitCodeOfPlan(plan);
}

/** The plan as `--format` asks. */
export function renderPlan(plan: Plan, flags: Pick<PlanFlags, "format" | "verbose">, session: Session): string {
  const view = viewPlan(plan);
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
