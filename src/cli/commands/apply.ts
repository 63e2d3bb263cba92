import { createInterface } from "node:readline/promises";
import { GroupSyncError } from "../../errors.js";
import type { Plan, Report } from "../../model.js";
import { parsePlan } from "../../reconcile/plan.js";
import { applyPlan, reconcile } from "../../reconcile/reconcile.js";
import { viewReport } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import { brokenProviders, exitCodeOfPlan, exitCodeOfReport } from "../exit.js";
import { mustBeWritable, readText, writeText } from "../files.js";
import { createProviders, planOptions, readSpec } from "../inputs.js";
import type { CommonFlags, Session } from "../session.js";
import { renderPlan, textOptions } from "./plan.js";

/** Flags of `apply`. */
export interface ApplyFlags extends CommonFlags {
  readonly yes?: boolean;
  readonly report?: string;
}

/** A report, or the plan that was not agreed to. */
type Ending = { readonly report: Report } | { readonly declined: Plan };

/** `apply [plan.json]`: makes it so, and reads back what is really so. */
export async function runApply(session: Session, flags: ApplyFlags, [planFile]: readonly string[]): Promise<number> {
  mustBeAbleToAsk(flags, "Look at `group-sync plan` first, then apply with --yes.");
  await mustBeWritable(flags.report);
  const ending = planFile === undefined ? await applyFresh(session, flags) : await applySaved(planFile, session, flags);
  session.progress.stop();
  if ("declined" in ending) return exitCodeOfPlan(ending.declined);
  const { report } = ending;
  if (flags.json) {
    session.json(report);
    brokenProviders(report.providers).forEach(session.say);
  } else session.result(renderText(viewReport(report), textOptions(flags, session)));
  if (flags.report !== undefined) {
    await writeText(flags.report, `${JSON.stringify(report, null, 2)}\n`, true);
    session.say(`The report is in ${flags.report}.`);
  }
  return exitCodeOfReport(report);
}

/** Refuses to begin what would have to be asked about, where there is nobody to ask. */
export function mustBeAbleToAsk({ yes }: Pick<ApplyFlags, "yes">, hint: string): void {
  if (yes || (process.stdin.isTTY && process.stderr.isTTY)) return;
  throw new GroupSyncError("options-invalid", "There is no terminal to ask on.", { hint });
}

async function applyFresh(session: Session, flags: ApplyFlags): Promise<Ending> {
  const spec = await readSpec(session);
  let declined: Plan | undefined;
  const report = await reconcile({
    ...planOptions(session, spec),
    ...(!flags.yes && {
      confirm: async (plan: Plan) => {
        const agreed = await confirm(plan, session, flags);
        if (!agreed) declined = plan;
        return agreed;
      },
    }),
  });
  return declined ? { declined } : { report };
}

async function applySaved(file: string, session: Session, flags: ApplyFlags): Promise<Ending> {
  refusePlanningFlags(file, flags);
  const plan = parsePlan(await readJson(file), new Date());
  const spec = await readSpec(session);
  if (spec.digest !== plan.specDigest) {
    throw new GroupSyncError("plan-invalid", `${flags.config} has changed since ${file} was made.`, {
      hint: "Plan anew, or give the spec that the plan was made from.",
    });
  }
  if (!flags.yes && !(await confirm(plan, session, flags))) return { declined: plan };
  const { signal, progress } = session;
  const report = await applyPlan(plan, {
    providers: createProviders(spec, session),
    signal,
    onEvent: progress.onEvent,
  });
  return { report };
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

async function readJson(file: string): Promise<unknown> {
  const text = await readText(file, "plan-invalid");
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new GroupSyncError("plan-invalid", `${file} is not JSON.`, {
      hint: "Make a plan with: group-sync plan --out plan.json",
    });
  }
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
