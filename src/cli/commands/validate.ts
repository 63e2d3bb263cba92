import { SpecError } from "../../errors.js";
import { builtinProviderTypes } from "../../providers/builtin.js";
import { loadSpec } from "../../spec/index.js";
import { formatProblem, type CommonFlags, type Session } from "../session.js";

/** `validate`: the spec, offline. */
export async function runValidate(session: Session, flags: CommonFlags): Promise<number> {
  try {
    const spec = await loadSpec(flags.config, { providerTypes: builtinProviderTypes });
    const groups = new Set(spec.targets.map(({ group }) => group)).size;
    const summary = {
      providers: spec.providers.length,
      people: Object.keys(spec.people).length,
      groups,
      targets: spec.targets.length,
    };
    if (flags.json)
      session.json({
        kind: "validation",
        formatVersion: 1,
        valid: true,
        specDigest: spec.digest,
        summary,
        problems: spec.warnings,
      });
    else {
      for (const warning of spec.warnings) session.say(formatProblem(warning));
      session.result(
        `${flags.config} is good: ${summary.people} people, ${groups} groups, ${summary.targets} places at ${summary.providers} providers.\n`,
      );
    }
    return 0;
  } catch (error) {
    if (!(error instanceof SpecError)) throw error;
    if (flags.json) session.json({ kind: "validation", formatVersion: 1, valid: false, problems: error.problems });
    for (const problem of error.problems) process.stderr.write(`${formatProblem(problem)}\n`);
    return 1;
  }
}
