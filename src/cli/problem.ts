import picocolors from "picocolors";
import type { SpecProblem } from "../model.js";

/** One problem of a spec on one line of stderr, as editors understand it. */
export function formatProblem({ severity, file, line, column, path, message }: SpecProblem): string {
  const { yellow, red } = picocolors.createColors(picocolors.isColorSupported && process.stderr.isTTY);
  const label = severity === "warning" ? yellow("warning") : red("error");
  return `${file}:${line}:${column}: ${label}: ${path ? `${path}: ` : ""}${message}`;
}
