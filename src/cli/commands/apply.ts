import { extname } from "node:path";
import { createInterface } from "node:readline/promises";
import { GroupSyncError } from "../../errors.js";
import type { Plan, Report } from "../../model.js";
import { parsePlan } from "../../reconcile/plan.js";
import { applyPlan, reconcile } from "../../reconcile/reconcile.js";
import { renderHtml } from "../../report/html.js";
import { renderMarkdown } from "../../report/markdown.js";
import { viewReport } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import type { RunRecord } from "../../state/state.js";
import { brokenProviders, exitCodeOfPlan, exitCodeOfReport } from "../exit.js";
import { mustBeWritable, readJson, writeText } from "../files.js";
import { createProviders, planOptions, readSpec } from "../inputs.js";
import type { CommonFlags, Session } from "../session.js";
import { readHistory, type StateFlags, withState } from "../state.js";
import { renderPlan, textOptions } from "./plan.js";

/** Flags of `apply`. */
export interface ApplyFlags extends StateFlags {
  readonly yes?: boolean;
  readonly report?: string;
}

/** A report, with the runs before it where they are remembered, or the plan that was not agreed to. */
export type Ending = { readonly report: Report; readonly history?: readonly RunRecord[] } | { readonly declined: Plan };

/** `apply [plan.json]`: makes it so, and reads back what is really so. */
export async function runApply(session: Session, flags: ApplyFlags, [planFile]: readonly string[]): Promise<number> {
  mustBeAbleToAsk(flags, "Look at `group-sync plan` first, then apply with --yes.");
  await mustBeWritable(flags.report);
  const ending = planFile === undefined ? await applyFresh(session, flags) : await applySaved(planFile, session, flags);
  return endWith(ending, session, flags);
}

/** Shows the report, saves it where asked, and says how it went. */
export async function endWith(ending: Ending, session: Session, flags: ApplyFlags): Promise<number> {
  session.progress.stop();
  if ("declined" in ending) return exitCodeOfPlan(ending.declined);
  const { report } = ending;
  if (flags.json) {
    session.json(report);
    brokenProviders(report.providers).forEach(session.say);
  } else session.result(renderText(viewReport(report), textOptions(flags, session)));
  await saveReport(report, session, flags, ending.history);
  return exitCodeOfReport(report);
}

/** Saves the report where `--report` says, in the form that the file's name ends in: a page, Markdown, else JSON. */
export async function saveReport(
  report: Report,
  session: Session,
  { report: file }: Pick<ApplyFlags, "report">,
  history: readonly RunRecord[] = [],
): Promise<void> {
  if (file === undefined) return;
  const view = viewReport(report, { history });
  const render = { ".html": () => renderHtml(view), ".md": () => renderMarkdown(view) }[extname(file).toLowerCase()];
  await writeText(file, render?.() ?? `${JSON.stringify(report, null, 2)}\n`, true);
  session.say(`The report is in ${file}.`);
}

/** Refuses to begin what would have to be asked about, where there is nobody to ask. */
export function mustBeAbleToAsk({ yes }: Pick<ApplyFlags, "yes">, hint: string): void {
  if (yes || (process.stdin.isTTY && process.stderr.isTTY)) return;
  throw new GroupSyncError("options-invalid", "There is no terminal to ask on.", { hint });
}

async function applyFresh(session: Session, flags: ApplyFlags): Promise<Ending> {
  const spec = await readSpec(session);
  const asking = askFirst(session, flags);
  return withState(spec, session, { create: true }, async (state) => {
    const report = await reconcile({ ...planOptions(session, spec), ...(state && { state }), ...asking.options });
    return asking.declined() ?? { report, history: await readHistory(state) };
  });
}

/** Asks before writing, unless `--yes` was given; `declined` tells of a no. */
export function askFirst(session: Session, flags: ApplyFlags) {
  let declined: { readonly declined: Plan } | undefined;
  const ask = async (plan: Plan) => {
    const agreed = await confirm(plan, session, flags);
    if (!agreed) declined = { declined: plan };
    return agreed;
  };
  return { options: flags.yes ? {} : { confirm: ask }, declined: () => declined };
}

async function applySaved(file: string, session: Session, flags: ApplyFlags): Promise<Ending> {
  refusePlanningFlags(file, flags);
  const plan = parsePlan(await readJson(file, "plan-invalid"), new Date());
  const spec = await readSpec(session);
  if (spec.digest !== plan.specDigest) {
    throw new GroupSyncError("plan-invalid", `${flags.config} has changed since ${file} was made.`, {
      hint: "Plan anew, or give the spec that the plan was made from.",
    });
  }
  if (!flags.yes && !(await confirm(plan, session, flags))) return { declined: plan };
  const { signal, progress } = session;
  const providers = createProviders(spec, session);
  return withState(spec, session, { create: true }, async (state) => ({
    report: await applyPlan(plan, { providers, signal, onEvent: progress.onEvent, ...(state && { state }) }),
    history: await readHistory(state),
  }));
}

/** A saved plan has been looked at as it is: nothing is taken out of it or added to it any more. */
function refusePlanningFlags(file: string, { provider, group, allow, removals }: ApplyFlags): void {
  const given = Object.entries({ provider, group, allow, "no-removals": removals === false || undefined })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => `--${name}`);
  if (given.length === 0) return;
  throw new GroupSyncError("options-invalid", `${file} is applied as it was made, without ${given.join(", ")}.`, {
    hint: `Make it anew: group-sync plan ${given[0]} … --out ${file}`,
  });
}

/** Shows the plan and asks. A plan without changes needs no answer. */
export async function confirm(plan: Plan, session: Session, flags: CommonFlags): Promise<boolean> {
  session.progress.stop();
  process.stderr.write(renderPlan(plan, { ...flags, format: "text" }, session));
  if (plan.providers.every(({ changes }) => changes.length === 0)) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await Promise.race([
    terminal.question("\nMake these changes? Type yes: ", { signal: session.signal }).catch(() => "no"),
    // Ctrl-C and Ctrl-D at the question end it without an answer.
    new Promise<string>((resolve) => terminal.once("close", () => resolve("no"))),
  ]);
  terminal.close();
  const agreed = /^y(es)?$/i.test(answer.trim());
  if (!agreed) session.say("Nothing was changed.");
  return agreed;
}
