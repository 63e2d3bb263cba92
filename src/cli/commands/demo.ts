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
import { createProviders } from "../inputs.js";
import type { CommonFlags, Session } from "../session.js";
import { textOptions } from "./plan.js";

const FOLDER = "group-sync-demo";

/** `demo`: the main job on a sandbox. Needs no service, no credential, no network. */
export async function runDemo(session: Session, flags: CommonFlags): Promise<number> {
  const color = picocolors.createColors(session.colors);
  // With --json stdout is for the document alone.
  const show = (text: string) => (flags.json ? session.say(text.trimEnd()) : session.result(text));
  const step = (text: string) => show(`\n${color.bold(color.cyan(`── ${text}`))}\n\n`);
  const sandbox = await startSandbox();
  try {
    await mkdir(FOLDER, { recursive: true });
    const text = sampleSpec(sandbox);
    const options = { providerTypes: builtinProviderTypes, file: `${FOLDER}/group-sync.yaml` };
    await writeFile(options.file, text);
    const spec = await parseSpec(text, options);
    const run = { spec, providers: createProviders(spec, session), signal: session.signal };
    const layout = { linesPerGroup: 6, ...textOptions(flags, session) };

    step("Four services have drifted from the spec. The plan: what would change, and what is held");
    const plan = await createPlan(run);
    show(renderText(viewPlan(plan), layout));

    step("Apply it, and read back what is really so");
    const report = await reconcile(run);
    show(renderText({ ...viewReport(report), providers: [] }, layout));
    for (const { id, calls } of report.providers)
      show(`  ${id}: ${calls.read} reading and ${calls.write} writing calls\n`);

    step("Plan again: there is nothing left to do");
    const second = await createPlan(run);
    show(renderText({ ...viewPlan(second), providers: [] }, layout));

    step("Now a dangerous spec: the list of people came out almost empty. Removals are held");
    const dangerous = {
      ...spec,
      targets: spec.targets.map((target) => ({ ...target, members: target.members.slice(0, 1) })),
    };
    const held = await createPlan({ ...run, spec: dangerous });
    show(renderText(viewPlan(held), { linesPerGroup: 2, ...textOptions(flags, session) }));

    await writeFile(`${FOLDER}/plan.html`, renderHtml(viewPlan(plan)));
    await writeFile(`${FOLDER}/report.json`, `${JSON.stringify(report, null, 2)}\n`);
    await writeFile(`${FOLDER}/report.html`, renderHtml(viewReport(report)));
    step("Look around");
    show(
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
