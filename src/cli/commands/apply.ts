import { readFile, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { GroupSyncError } from "../../errors.js";
import type { Plan, Report } from "../../model.js";
import { parsePlan } from "../../reconcile/plan.js";
import { applyPlan, reconcile } from "../../reconcile/reconcile.js";
import { viewReport } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import { brokenProviders, exitCodeOfReport } from "../exit.js";
import type { Progress } from "../progress.js";
import { createProviders, type CommonFlags, planOptions, readSpec, type Session } from "../session.js";
import { renderPlan, textOptions } from "./plan.js";

/** Flags of `apply`. */
export interface ApplyFlags extends CommonFlags {
  readonly yes?: boolean;
  readonly report?: string;
}

/** `apply [plan.json]`: makes it so, and reads back what is really so. */
export async function runApply(session: Session, flags: ApplyFlags, [planFile]: readonly string[]): Promise<number> {
  const asks = !flags.yes;
  if (asks && !(process.stdin.isTTY && process.stderr.isTTY)) {
    throw new GroupSyncError("options-invalid", "There is no terminal to ask on.", {
      hint: "Look at `group-sync plan` first, then apply with --yes.",
    });
  }
  const progress = await session.progress();
  const report = await (planFile === undefined
    ? applyFresh(session, flags, asks, progress)
    : applySaved(planFile, session, flags, asks, progress)
  ).finally(() => progress.stop());
  if (!report) return 0;
  if (flags.report !== undefined) {
    await writeFile(flags.report, `${JSON.stringify(report, null, 2)}\n`);
    session.say(`The report is in ${flags.report}.`);
  }
  if (flags.json) session.json(report);
  else session.result(renderText(viewReport(report), textOptions(flags, session)));
  for (const line of brokenProviders(report.providers)) session.say(line);
  return exitCodeOfReport(report);
}

async function applyFresh(
  session: Session,
  flags: ApplyFlags,
  asks: boolean,
  progress: Progress,
): Promise<Report | undefined> {
  const spec = await readSpec(session);
  let agreed = true;
  const report = await reconcile({
    ...planOptions(session, spec),
    onEvent: progress.onEvent,
    ...(asks && {
      confirm: async (plan: Plan) => {
        agreed = await confirm(plan, session, flags, progress);
        return agreed;
      },
    }),
  });
  return agreed ? report : undefined;
}

async function applySaved(
  file: string,
  session: Session,
  flags: ApplyFlags,
  asks: boolean,
  progress: Progress,
): Promise<Report | undefined> {
  const plan = parsePlan(await readJson(file), new Date());
  const spec = await readSpec(session);
  if (spec.digest !== plan.specDigest) {
    throw new GroupSyncError("plan-invalid", `${flags.config} has changed since ${file} was made.`, {
      hint: "Plan anew, or give the spec that the plan was made from.",
    });
  }
  if (asks && !(await confirm(plan, session, flags, progress))) return undefined;
  return applyPlan(plan, {
    providers: createProviders(spec, session),
    signal: session.signal,
    onEvent: progress.onEvent,
  });
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new GroupSyncError(
      "plan-invalid",
      `${file} cannot be read: ${error.code === "ENOENT" ? "there is no such file" : (error.code ?? "unknown")}.`,
    );
  });
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new GroupSyncError("plan-invalid", `${file} is not JSON.`, {
      hint: "Make a plan with: group-sync plan --out plan.json",
    });
  }
}

/** Shows the plan and asks. A plan without changes needs no answer. */
async function confirm(plan: Plan, session: Session, flags: ApplyFlags, progress: Progress): Promise<boolean> {
  progress.stop();
  process.stderr.write(renderPlan(plan, { ...flags, format: "text" }, session));
  if (plan.providers.every(({ changes }) => changes.length === 0)) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal
    .question("\nMake these changes? Type yes: ", { signal: session.signal })
    .catch(() => "no");
  terminal.close();
  const agreed = /^y(es)?$/i.test(answer.trim());
  if (!agreed) session.say("Nothing was changed.");
  return agreed;
}
