// Brings the groups of BrainSTEM to Genesys Cloud: who is whom, what gets lost on the way, and what came of it. Nobody is
// removed at the target, and whoever cannot be matched is left out and named.
import { createProviders, migrate, parseSpec, renderLosses, renderText, viewReport } from "group-sync";
import { sampleSpec, startSandbox } from "group-sync/sandbox";

const sandbox = await startSandbox();
try {
  const spec = await parseSpec(sampleSpec(sandbox));
  const providers = createProviders(spec);
  const from = providers.find(({ id }) => id === "lab");
  const to = providers.find(({ id }) => id === "calls");
  if (!from || !to) throw new Error("The spec lacks a provider.");

  const { report } = await migrate({
    from,
    to,
    // What the spec knows of people (aliases, pinned accounts) helps to find them.
    people: Object.values(spec.people),
    // Genesys Cloud has no managers: they become owners there.
    roles: { manager: "owner" },
    // Shown everything before anything is written.
    confirm: ({ losses, worksheet, plan }) => {
      const undecided = worksheet.rows.filter(({ decision }) => decision === undefined);
      console.log(`${worksheet.rows.length} people, ${undecided.length} of them not found for certain`);
      console.log(renderLosses(losses));
      return plan.summary.remove === 0;
    },
  });
  console.log(report ? renderText(viewReport(report)) : "Nothing was written.");
} finally {
  await sandbox.close();
}
