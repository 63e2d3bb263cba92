import { renderCount } from "../../collections.js";
import { SpecError } from "../../errors.js";
import { writeRemark } from "../output.js";
import { formatProblem } from "../problem.js";
import { loadSpecFile } from "../inputs.js";
import type { CommonFlags, Session } from "../session.js";

/** `validate`: the spec, offline. */
export async function runValidate(session: Session, flags: CommonFlags): Promise<number> {
  try {
    const spec = await loadSpecFile(session);
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
        `${flags.config} is good: ${[
          renderCount(summary.people, "person", "people"),
          renderCount(groups, "group", "groups"),
          renderCount(summary.targets, "place", "places"),
        ].join(", ")} at ${renderCount(summary.providers, "provider", "providers")}.\n`,
      );
    }
    return 0;
  } catch (error) {
    if (!(error instanceof SpecError)) throw error;
    if (flags.json) session.json({ kind: "validation", formatVersion: 1, valid: false, problems: error.problems });
    for (const problem of error.problems) writeRemark(formatProblem(problem));
    return 1;
  }
}
