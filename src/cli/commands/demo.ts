import { mkdir, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import picocolors from "picocolors";
import { createPlan, reconcile } from "../../reconcile/reconcile.js";
import { renderHtml } from "../../report/html.js";
import { viewPlan, viewReport } from "../../report/model.js";
import { renderText } from "../../report/text.js";
import { builtinProviderTypes } from "../../providers/builtin.js";
import { sampleSpec, startSandbox } from "../../sandbox/index.js";
import { parseSpec } from "../../spec/index.js";
import { createProviders, type CommonFlags, type Session } from "../session.js";

const FOLDER = "group-sync-demo";

/** `demo`: the main job on a sandbox. Needs no service, no credential, no network. */
export async function runDemo(session: Session, flags: CommonFlags): Promise<number> {
  const color = picocolors.createColors(session.colors);
  const step = (text: string) => session.result(`\n${color.bold(color.cyan(`── ${text}`))}\n\n`);
  const sandbox = await startSandbox();
  try {
    await mkdir(FOLDER, { recursive: true });
    const text = sampleSpec(sandbox);
    const options = { providerTypes: builtinProviderTypes, file: `${FOLDER}/group-sync.yaml` };
    await writeFile(options.file, text);
    const spec = await parseSpec(text, options);
    const run = { spec, providers: createProviders(spec, session), signal: session.signal };
    const show = {
      colors: session.colors,
      width: process.stdout.isTTY ? (process.stdout.columns ?? 0) : 0,
      linesPerGroup: 6,
    };

    step("Four services have drifted from the spec. The plan: what would change, and what is held");
    const plan = await createPlan(run);
    session.result(renderText(viewPlan(plan), show));

    step("Apply it, and read back what is really so");
    const report = await reconcile(run);
    session.result(renderText({ ...viewReport(report), providers: [] }, show));
    for (const { id, calls } of report.providers)
      session.result(`  ${id}: ${calls.read} reading and ${calls.write} writing calls\n`);

    step("Plan again: there is nothing left to do");
    const second = await createPlan(run);
    session.result(renderText({ ...viewPlan(second), providers: [] }, show));

    step("Now a dangerous spec: the list of people came out almost empty. Removals are held");
    const dangerous = {
      ...spec,
      targets: spec.targets.map((target) => ({ ...target, members: target.members.slice(0, 1) })),
    };
    const held = await createPlan({ ...run, spec: dangerous });
    session.result(renderText(viewPlan(held), { ...show, linesPerGroup: 2 }));

    await writeFile(`${FOLDER}/plan.html`, renderHtml(viewPlan(plan)));
    await writeFile(`${FOLDER}/report.json`, `${JSON.stringify(report, null, 2)}\n`);
    await writeFile(`${FOLDER}/report.html`, renderHtml(viewReport(report)));
    step("Look around");
    session.result(
      `The spec, the plan and the report lie in ${resolve(FOLDER)}:\n  group-sync.yaml  plan.html  report.html  report.json\n`,
    );
    const asExpected =
      report.status !== "failed" &&
      report.status !== "partial" &&
      second.summary.add + second.summary.remove === 0 &&
      held.summary.held > 0;
    if (flags.json)
      session.json({ kind: "demo", formatVersion: 1, plan: plan.planId, report: report.runId, asExpected });
    return asExpected ? 0 : 1;
  } finally {
    await sandbox.close();
  }
}
