// Holds the lines of import: the core never imports an adapter, an adapter never another nor the core, the sandbox
// nothing of ours but itself. Proves that modules were looked at: a cruiser that sees nothing passes everything.
import { cruise } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";

const core = "^src/(model|provider|errors|collections|identity)\\.ts$|^src/(spec|reconcile|http)/";
const forbid = (name, from, to, comment) => ({ name, severity: "error", comment, from, to });

const rules = [
  forbid("no-cycles", {}, { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } }, "imports flow one way"),
  forbid("model-knows-nothing", { path: "^src/model\\.ts$" }, { path: "^src/" }, "the model is plain data"),
  forbid(
    "errors-know-the-model",
    { path: "^src/errors\\.ts$" },
    { path: "^src/", pathNot: "^src/model\\.ts$" },
    "errors ← model",
  ),
  forbid(
    "provider-is-the-port",
    { path: "^src/provider\\.ts$" },
    { path: "^src/", pathNot: "^src/model\\.ts$" },
    "provider ← model",
  ),
  forbid(
    "core-without-adapters",
    { path: core },
    { path: "^src/(providers|sandbox|cli|migrate|testing|report)/" },
    "the core never imports an adapter",
  ),
  forbid(
    "http-is-low",
    { path: "^src/http/" },
    { path: "^src/", pathNot: "^src/(http/|errors\\.ts|provider\\.ts|model\\.ts|collections\\.ts)" },
    "errors ← http ← providers",
  ),
  forbid(
    "spec-is-low",
    { path: "^src/spec/" },
    { path: "^src/", pathNot: "^src/(spec/|errors\\.ts|provider\\.ts|model\\.ts|collections\\.ts)" },
    "spec ← model, provider, errors",
  ),
  forbid(
    "state-is-low",
    { path: "^src/state/" },
    { path: "^src/", pathNot: "^src/(state/|errors\\.ts|model\\.ts|collections\\.ts)" },
    "state ← model, errors",
  ),
  forbid(
    "one-adapter-alone",
    { path: "^src/providers/([^/]+)/" },
    { path: "^src/providers/", pathNot: "^src/providers/$1/" },
    "an adapter never imports another",
  ),
  forbid(
    "adapter-without-core",
    { path: "^src/providers/[^/]+/" },
    { path: "^src/", pathNot: "^src/(providers/|http/|errors\\.ts|provider\\.ts|model\\.ts|collections\\.ts)" },
    "an adapter never imports the core",
  ),
  forbid(
    "sandbox-alone",
    { path: "^src/sandbox/" },
    { path: "^src/", pathNot: "^src/sandbox/" },
    "two independent readings",
  ),
  forbid(
    "axios-lives-in-http",
    { path: "^src/", pathNot: "^src/http/client\\.ts$" },
    { path: "node_modules/axios" },
    "axios lives in one file",
  ),
  forbid(
    "jobs-run-the-core",
    { path: "^src/jobs/" },
    { path: "^src/(providers|sandbox|migrate|testing|report|cli)/" },
    "jobs are given their providers",
  ),
  forbid(
    "nothing-below-jobs",
    { path: "^src/", pathNot: "^src/(jobs/|cli/|index\\.ts$)" },
    { path: "^src/jobs/" },
    "spec ← reconcile ← jobs ← cli; the library offers its schedule",
  ),
  forbid(
    "report-is-pure",
    { path: "^src/report/" },
    { path: "^src/", pathNot: "^src/(report/|model\\.ts|collections\\.ts)" },
    "reports render the model",
  ),
  forbid(
    "cli-is-the-top",
    { path: "^src/", pathNot: "^src/cli/" },
    { path: "^src/cli/" },
    "nothing imports the command line",
  ),
];

const result = await cruise(
  ["src"],
  {
    validate: true,
    ruleSet: { forbidden: rules },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: {
      conditionNames: ["import", "require", "node", "default"],
      exportsFields: ["exports"],
      extensions: [".ts", ".js"],
    },
  },
  undefined,
  { tsConfig: extractTSConfig("tsconfig.json") },
);
const { violations, totalCruised, totalDependenciesCruised } = result.output.summary;
for (const { rule, from, to, cycle } of violations) {
  console.error(`${rule.name}: ${from} → ${cycle?.length ? cycle.map(({ name }) => name).join(" → ") : to}`);
}
const ours = result.output.modules.filter(({ source }) => source.startsWith("src/"));
const linked = ours.filter(({ dependencies }) => dependencies.some(({ resolved }) => resolved.startsWith("src/")));
console.log(
  `${ours.length} modules of ours, ${linked.length} with imports of ours, ${totalCruised} modules and ${totalDependenciesCruised} imports in all.`,
);
if (ours.length < 30 || linked.length < 20) {
  console.error("Too few modules were looked at: the check proves nothing.");
  process.exit(1);
}
process.exit(violations.length > 0 ? 1 : 0);
