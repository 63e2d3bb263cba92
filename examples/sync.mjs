// Who should be in which group comes from somewhere else, here a list as an HR system would give it. The program makes a
// spec of it, looks at the plan, applies it, and plans again to see that nothing is left.
import { applyPlan, createPlan, createProviders, parseSpec, renderText, viewPlan, viewReport } from "group-sync";
import { startSandbox } from "group-sync/sandbox";

const employees = [
  { id: "ada", email: "ada@example.org", teams: ["platform", "on-call"] },
  { id: "grace", email: "g.hopper@example.org", teams: ["platform"] },
  { id: "margaret", email: "margaret@example.org", teams: ["on-call"] },
];

// The services' addresses and credentials are the sandbox's here, and `${NAME}` in real life.
const sandbox = await startSandbox();
try {
  const { docs, calls } = sandbox.config();
  const team = (name) => ({
    name,
    members: employees.filter(({ teams }) => teams.includes(name)).map(({ id }) => id),
    targets: ["docs", "calls"],
  });
  const spec = await parseSpec(
    JSON.stringify({
      version: 1,
      mode: "additive", // nobody is removed; make it authoritative once the plans look right
      providers: { docs, calls },
      people: Object.fromEntries(employees.map(({ id, email }) => [id, { email }])),
      groups: { platform: team("platform"), "on-call": team("on-call") },
    }),
  );
  const providers = createProviders(spec);

  const plan = await createPlan({ spec, providers });
  console.log(renderText(viewPlan(plan)));

  // A program may look, too: here it goes on only if everyone was found.
  if (plan.summary.unresolved > 0) throw new Error("Somebody has no account.");
  const report = await applyPlan(plan, { providers });
  console.log(renderText(viewReport(report)));

  const again = await createPlan({ spec, providers });
  console.log("And now:", again.status);
} finally {
  await sandbox.close();
}
