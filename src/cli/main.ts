#!/usr/bin/env node
/** The command line. Everything heavy is loaded only by the command that needs it, so that `--version` is quick. */
import { toolVersion } from "../version.js";
import { tolerateClosedPipes, writeResult } from "./output.js";

tolerateClosedPipes();
const [first, ...others] = process.argv.slice(2);

if (others.length === 0 && (first === "--version" || first === "-V")) writeResult(`${toolVersion}\n`);
else {
  const { runCli } = await import("./program.js");
  process.exitCode = await runCli(process.argv.slice(2));
}
