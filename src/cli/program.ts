/** The commands as data over the library. No logic of its own. */
import { Command, CommanderError, Option } from "commander";
import { toolVersion } from "../version.js";
import { exitCodeOfError, explainError } from "./exit.js";
import { type CommonFlags, openSession, type Session } from "./session.js";

/** A command's work: returns its exit code. */
export type CommandRun<Flags> = (session: Session, flags: Flags, args: readonly string[]) => Promise<number>;

const EXIT_CODES = `
Exit codes:
  0 in sync, or converged     1 error in spec, credentials or program
  2 plan: changes pending     3 something is held by a guard
  4 some changes failed or are unknown
  5 another run is at work    6 stopped for a long rate limit (the message says when to come back)`;

/** Runs one command line (without `node` and the script) and returns the exit code. */
export async function runCli(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command("group-sync")
    .description("Keeps the same groups of people right in several systems at once.")
    .version(toolVersion, "-V, --version")
    .showSuggestionAfterError()
    .showHelpAfterError("(--help tells more)")
    .exitOverride()
    .addHelpText(
      "after",
      `
Examples:
  group-sync init                      write a commented starter config
  group-sync plan                      what would change, what is held and why; writes nothing
  group-sync apply --yes               make it so, and read back what is really so
  group-sync plan --out plan.json && group-sync apply plan.json
  group-sync sandbox --port 4010       play with all four services on your own machine
${EXIT_CODES}`,
    );

  function add<Flags>(
    name: string,
    description: string,
    load: () => Promise<CommandRun<Flags & CommonFlags>>,
    example: string,
  ): Command {
    const command = program.command(name).description(description).addHelpText("after", `\nExample:\n  ${example}`);
    command
      .option("--json", "print one JSON document on stdout and nothing else there")
      .option("-q, --quiet", "no progress, no remarks")
      .option("-v, --verbose", "tell more")
      .option("--no-color", "no colours");
    command.action(async () => {
      const flags = command.opts<Flags & CommonFlags>();
      exitCode = await runCommand(load, flags, command.args);
    });
    return command;
  }
  const withSpec = (command: Command) => command.option("-c, --config <file>", "the spec", "group-sync.yaml");
  const withScope = (command: Command) =>
    withSpec(command)
      .option("--provider <id...>", "only these providers of the spec")
      .option("--group <id...>", "only these groups of the spec")
      .option("--timeout <duration>", "stop after this long, such as 90s, 15m, 2h");
  const withGuards = (command: Command) =>
    withScope(command)
      .option("--allow <guard[:group]...>", "acknowledge a guard for this run, everywhere or for one group")
      .option("--no-removals", "hold everything that would take something away");

  withSpec(
    add(
      "init",
      "write a commented starter config",
      async () => (await import("./commands/init.js")).runInit,
      "group-sync init --config group-sync.yaml",
    ),
  ).option("--force", "write over an existing file");
  withSpec(
    add(
      "validate",
      "check the spec, offline",
      async () => (await import("./commands/validate.js")).runValidate,
      "group-sync validate -c group-sync.yaml",
    ),
  );
  withScope(
    add(
      "check",
      "are the providers reachable, the credentials good, the rights sufficient?",
      async () => (await import("./commands/check.js")).runCheck,
      "group-sync check --provider docs",
    ),
  );
  withGuards(
    add(
      "plan",
      "what would change, what is held and why; writes nothing to providers",
      async () => (await import("./commands/plan.js")).runPlan,
      "group-sync plan --out plan.json",
    ),
  )
    .option("--out <file>", "save the plan, to be applied later")
    .addOption(
      new Option("--format <format>", "how to print it").choices(["text", "json", "markdown", "html"]).default("text"),
    );
  withGuards(
    add(
      "apply [plan]",
      "plan (or take a saved plan), ask, apply, and read back",
      async () => (await import("./commands/apply.js")).runApply,
      "group-sync apply plan.json --yes",
    ),
  )
    .option("-y, --yes", "do not ask; required where there is no terminal")
    .option("--report <file>", "save the report as JSON");
  withSpec(
    add(
      "export",
      "current groups of one provider as a spec that plans to no change",
      async () => (await import("./commands/export.js")).runExport,
      "group-sync export --provider docs > now.yaml",
    ),
  )
    .requiredOption("--provider <id>", "the provider of the spec to export")
    .option("--group <name...>", "only groups of these names or ids")
    .option("--out <file>", "write there instead of to stdout")
    .option("--timeout <duration>", "stop after this long");
  add(
    "sandbox",
    "local emulators of the four services, with a sample organisation",
    async () => (await import("./commands/sandbox.js")).runSandbox,
    "group-sync sandbox --port 4010 --spec group-sync.yaml",
  )
    .option("--port <number>", "0: any free one", "4010")
    .option("--seed <file>", "JSON with people and groups, instead of the sample organisation")
    .option("--latency <ms>", "milliseconds added to every answer", "0")
    .option("--fault <json...>", 'a fault from the start, such as \'{"kind":"rate-limit","service":"genesys"}\'')
    .option("--spec <file>", "write a spec for the sandbox to this file");
  add(
    "demo",
    "the main job on a sandbox, from drift to converged, without any service",
    async () => (await import("./commands/demo.js")).runDemo,
    "group-sync demo",
  );
  add(
    "schema",
    "print the JSON Schema of the spec",
    async () => (await import("./commands/schema.js")).runSchema,
    "group-sync schema > group-sync.schema.json",
  );

  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    // commander has already said what is wrong (or printed the help that was asked for).
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 1;
    throw error;
  }
}

async function runCommand<Flags extends CommonFlags>(
  load: () => Promise<CommandRun<Flags>>,
  flags: Flags,
  args: readonly string[],
): Promise<number> {
  let session: ReturnType<typeof openSession> | undefined;
  try {
    session = openSession(flags);
    const run = await load();
    return await run(session, flags, args);
  } catch (error) {
    if (flags.json) process.stdout.write(`${JSON.stringify(await errorDocument(error), null, 2)}\n`);
    process.stderr.write(`${explainError(error)}\n`);
    if (flags.verbose && error instanceof Error && error.stack) process.stderr.write(`${error.stack}\n`);
    return exitCodeOfError(error);
  } finally {
    session?.end();
  }
}

async function errorDocument(error: unknown): Promise<unknown> {
  const { SpecError, summarizeError } = await import("../errors.js");
  return {
    kind: "error",
    formatVersion: 1,
    ...summarizeError(error),
    ...(error instanceof SpecError && { problems: error.problems }),
  };
}
