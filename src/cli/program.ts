/** The commands as data over the library. No logic of its own. */
import { Argument, Command, CommanderError, Option } from "commander";
import { GroupSyncError, isGroupSyncError } from "../errors.js";
import type { Mode } from "../model.js";
import { toolVersion } from "../version.js";
import { errorDocument, exitCodeOfError, explainError } from "./exit.js";
import { writeJson, writeRemark, writeResult } from "./output.js";
import { type CommonFlags, type OpenSession, openSession, type Session } from "./session.js";

/** A command's work: returns its exit code. */
type CommandRun<Flags> = (session: Session, flags: Flags, args: readonly string[]) => Promise<number>;

const EXAMPLES = `
A first look, without any service:
  group-sync demo                      the whole story on local emulators
  group-sync sandbox --spec try.yaml   the emulators alone; then, elsewhere: group-sync plan -c try.yaml

With your own services:
  group-sync init                      write a commented starter config
  group-sync validate                  is the spec right? offline
  group-sync check                     are the services reachable, the credentials good?
  group-sync plan                      what would change, what is held and why; writes nothing
  group-sync apply                     asks, makes it so, and reads back what is really so

In a script, with a review in between:
  group-sync plan --out plan.json && group-sync apply plan.json --yes
`;

const MODES = ["authoritative", "additive", "owned"] as const satisfies readonly Mode[];

const EXIT_CODES = `
Exit codes:
  0 in sync, or converged     1 error in spec, credentials or program
  2 plan: changes pending     3 something is held by a guard
  4 some changes failed or are unknown
  5 another run is at work    6 stopped for a long rate limit (the message says when to come back)`;

/** All commands with their flags and words. `finish` is told the exit code of the one that ran. */
export function createProgram(finish: (exitCode: number) => void): Command {
  const program = new Command("group-sync")
    .description("Keeps the same groups of people right in several systems at once.")
    .usage("<command> [options]")
    .version(toolVersion, "-V, --version")
    .showHelpAfterError("Commands come first, flags after them; group-sync --help tells more.")
    .configureOutput({ writeOut: writeResult, writeErr: (text) => writeRemark(text.trimEnd()) })
    .exitOverride()
    .addHelpText("after", EXAMPLES + EXIT_CODES);

  function add<Flags>(
    name: string,
    description: string,
    load: () => Promise<CommandRun<Flags & CommonFlags>>,
    more: string,
  ): Command {
    const command = program.command(name).description(description).addHelpText("after", `\n${more}`);
    command
      .showHelpAfterError(`group-sync ${command.name()} --help tells more.`)
      .option("--json", "print one JSON document on stdout and nothing else there")
      .option("-q, --quiet", "no progress, no remarks")
      .option("-v, --verbose", "tell more: all lines, all warnings, each step")
      .option("--no-color", "no colours");
    command.action(async () => {
      const flags = command.opts<Flags & CommonFlags>();
      finish(await runCommand(load, flags, command.args));
    });
    return command;
  }
  const withSpec = (command: Command) => command.option("-c, --config <file>", "the spec", "group-sync.yaml");
  const withTimeout = (command: Command) =>
    command.option("--timeout <duration>", "stop after this long, such as 90s, 15m, 2h");
  const withScope = (command: Command) =>
    withTimeout(withSpec(command)).option("--provider <id...>", "only these providers of the spec");
  const withMemory = (command: Command) =>
    command.option("--no-state", "remember nothing, recall nothing: no history, no undo, no lock");
  const withChoice = (command: Command) =>
    command
      .option("--group <id...>", "only these groups of the spec")
      .option("--allow <guard:group...>", "acknowledge a guard for this run, for one group; <guard> alone: everywhere")
      .option("--no-removals", "hold everything that would take something away");
  const withGuards = (command: Command) => withChoice(withMemory(withScope(command)));
  const withQueue = (command: Command) =>
    command
      .addOption(
        new Option("--queue <url>", "where the queues are: redis://…, rediss://… or postgres://…").env(
          "GROUP_SYNC_QUEUE",
        ),
      )
      .option("--queue-name <name>", "sets these queues apart from others on that server", "group-sync");
  const withService = (command: Command) =>
    withScope(command)
      .option("--deadline <duration>", "a run that takes longer is stopped in good order")
      .addOption(
        new Option("--log <format>", "one line for each thing that matters").choices(["text", "json"]).default("text"),
      )
      .option("--health-port <number>", "answer /healthz, /readyz and /metrics there; 0: any free port")
      .option("--health-host <host>", "the address to listen on", "127.0.0.1")
      .addOption(
        new Option(
          "--notify <url>",
          "post a notice when there is drift, something held or failed, and when it is over",
        ).env("GROUP_SYNC_NOTIFY"),
      )
      .addOption(
        new Option("--notify-format <format>", "the whole notice, or only its text, as chat services take it")
          .choices(["json", "text"])
          .default("json"),
      )
      .option("--notify-command <command>", "a line of shell that gets each notice as JSON on its input");

  withSpec(
    add(
      "init",
      "write a commented starter config",
      async () => (await import("./commands/init.js")).runInit,
      `On a terminal it asks what the flags do not say; elsewhere, and with --yes, it takes the usual.

Examples:
  group-sync init
  group-sync init --yes --service docspace genesys --mode additive
  group-sync init --config calls.yaml --service east=genesys west=genesys`,
    ),
  )
    .option("--service <name...>", "services to start with, such as genesys; with a key of yours: calls=genesys")
    .addOption(new Option("--mode <mode>", "what may be done to memberships").choices(MODES))
    .option("-y, --yes", "do not ask")
    .option("--force", "write over an existing file");
  withSpec(
    add(
      "validate",
      "check the spec, offline",
      async () => (await import("./commands/validate.js")).runValidate,
      "Every mistake at once, with file, line and column. Sends nothing.\n\nExample:\n  group-sync validate -c group-sync.yaml",
    ),
  );
  withScope(
    add(
      "check",
      "are the providers reachable, the credentials good, the rights sufficient?",
      async () => (await import("./commands/check.js")).runCheck,
      "Reads only. Exit code 0: all good; 1: something is not.\n\nExample:\n  group-sync check --provider docs",
    ),
  );
  withGuards(
    add(
      "plan",
      "what would change, what is held and why; writes nothing to providers",
      async () => (await import("./commands/plan.js")).runPlan,
      `Signs: + comes  - goes  ~ changes  ! failed
Held is what a guard keeps back; its line says why, and how to acknowledge it.
Exit code 0: in sync; 2: changes pending; 3: something is held.

Examples:
  group-sync plan
  group-sync plan --provider docs --group night-shift
  group-sync plan --out plan.json --format html > plan.html
  group-sync plan --allow max-removals:night-shift`,
    ),
  )
    .option("--out <file>", "save the plan as JSON, for group-sync apply <file>")
    .addOption(
      new Option("--format <format>", "how to print it").choices(["text", "json", "markdown", "html"]).default("text"),
    );
  withGuards(
    add(
      "apply [plan]",
      "plan (or take a saved plan), ask, apply, and read back",
      async () => (await import("./commands/apply.js")).runApply,
      `Run it again at any time: it does what is missing, and nothing twice.
A saved plan is applied as it was made; a group that has changed since, or in which the state has
recorded something new (an invitation, a broken run), is left out.
Ctrl-C stops after what is under way and tells what was done.

Examples:
  group-sync apply
  group-sync apply --yes --no-removals
  group-sync apply plan.json --yes --report report.json`,
    ),
  )
    .option("-y, --yes", "do not ask; required where there is no terminal")
    .option("--report <file>", "save the report: by the ending of the name .html, .md, else JSON");
  add(
    "approve <plan>",
    "release held changes of exactly one saved plan",
    async () => (await import("./commands/approve.js")).runApprove,
    `Writes the approval into the plan file; sends nothing. It counts for that very plan, until it expires.

Examples:
  group-sync approve plan.json --group night-shift
  group-sync approve plan.json --group night-shift --provider docs --by ada@example.org --for 2h`,
  )
    .requiredOption("--group <id...>", "groups whose held changes are released")
    .option("--provider <id...>", "only at these providers")
    .option("--by <name>", "who approves")
    .option("--for <duration>", "how long it counts, such as 2h; never longer than the plan");
  withGuards(
    add(
      "undo <run>",
      "plan the inverse of a past run, then as apply",
      async () => (await import("./commands/undo.js")).runUndo,
      `What others have changed since stays as they left it. What cannot be taken back is said before.
The id may be cut short; group-sync history lists them.

Examples:
  group-sync undo run-1f2e --dry-run
  group-sync undo run-1f2e --yes`,
    ),
  )
    .option("--dry-run", "show the plan, write nothing to providers")
    .option("-y, --yes", "do not ask; required where there is no terminal")
    .option("--report <file>", "save the report: by the ending of the name .html, .md, else JSON");
  withSpec(
    add(
      "history",
      "past runs, newest first",
      async () => (await import("./commands/history.js")).runHistory,
      "Example:\n  group-sync history --limit 5",
    ),
  ).option("--limit <number>", "how many", "20");
  withSpec(
    add(
      "show <run>",
      "what a past run did",
      async () => (await import("./commands/history.js")).runShow,
      "Of a run that did not come to its end: what it meant to do.\n\nExample:\n  group-sync show run-1f2e --format html > run.html",
    ),
  ).addOption(
    new Option("--format <format>", "how to print it").choices(["text", "json", "markdown", "html"]).default("text"),
  );
  withTimeout(
    withSpec(
      add(
        "export",
        "current groups of one provider as a spec that plans to no change",
        async () => (await import("./commands/export.js")).runExport,
        "Reads only. The provider's entry is taken from the spec, its credentials as ${NAME}.\n\nExample:\n  group-sync export --provider docs > now.yaml",
      ),
    ),
  )
    .requiredOption("--provider <id>", "the provider of the spec to export")
    .option("--group <name...>", "only groups of these names or ids at the provider")
    .option("--active", "without people whose account is switched off, or who have yet to accept an invitation")
    .option("--out <file>", "write there instead of to stdout")
    .option("--force", "write over an existing file");
  add(
    "import <file>",
    "a roster (CSV, JSON, peribolos, Google groups, SCIM) as a spec",
    async () => (await import("./commands/import.js")).runImport,
    `Sends nothing. What could not be carried is said, and stands in the spec as comments.
CSV: one row per membership (group,email,role) or one per person with a column for each group.

Examples:
  group-sync import people.csv --out group-sync.yaml
  group-sync import org.yaml --from peribolos --to docspace > group-sync.yaml`,
  )
    .addOption(
      new Option("--from <form>", "what the file is; else seen from it").choices([
        "csv",
        "json",
        "peribolos",
        "google-groups",
        "scim",
      ]),
    )
    .option("--to <service>", "the service at which the groups shall stand", "genesys")
    .option("--out <file>", "write there instead of to stdout")
    .option("--force", "write over an existing file");
  withTimeout(
    withSpec(
      add(
        "migrate",
        "bring the groups of one provider to another: match people, show losses, ask, apply, read back",
        async () => (await import("./commands/migrate.js")).runMigrate,
        `Adds; removes nobody at the target. Run again, it does what is missing.
Who is found by e-mail or alias comes along. Everyone else is a row of the worksheet: write take or leave.

Examples:
  group-sync migrate --from docs --to calls --dry-run
  group-sync migrate --from docs --to faces --worksheet people.csv     (fill in the column "decision")
  group-sync migrate --from docs --to faces --map people.csv --yes
  group-sync migrate --from lab --to calls --role manager=owner`,
      ),
    ),
  )
    .requiredOption("--from <provider>", "the provider of the spec to read")
    .requiredOption("--to <provider>", "the provider of the spec to write to")
    .option("--group <name...>", "only groups of these names or ids at the source")
    .option("--active", "without people whose account is switched off, or who have yet to accept an invitation")
    .option("--worksheet <file>", "write who is whom as CSV to fill in, and stop")
    .option("--map <file>", "a worksheet that was filled in")
    .option("--role <role=role...>", "make one role another on the way, such as manager=owner")
    .option("--dry-run", "show losses and plan, write nothing to providers")
    .option("-y, --yes", "do not ask; required where there is no terminal")
    .option("--report <file>", "save the report: by the ending of the name .html, .md, else JSON")
    .option("--force", "write over an existing worksheet");
  withChoice(
    withService(
      add(
        "run",
        "keep reconciling on a schedule, in the foreground",
        async () => (await import("./commands/run.js")).runRun,
        `Each run reads the spec anew; one that is broken is told, and nothing is sent. Runs never overlap.
A provider that fails is left alone for a while, longer each time, and comes back by itself.
SIGTERM and Ctrl-C finish what is under way, and end with exit code 0.
--once runs once and ends as apply does; 5: another run is at work, 6: all providers are left alone for now.

Examples:
  group-sync run --every 15m --jitter 1m --health-port 8080
  group-sync run --cron "0 6 * * 1-5" --time-zone Europe/Berlin --log json
  GROUP_SYNC_NOTIFY=https://chat.example.org/hooks/… group-sync run --every 1h --notify-format text`,
      ),
    ),
  )
    .option("--cron <pattern>", "when to run, such as '*/15 * * * *'")
    .option("--time-zone <name>", "the time zone of --cron, such as Europe/Berlin; else this machine's")
    .option("--every <duration>", "run at once and then every so often, such as 15m")
    .option("--jitter <duration>", "begin each run late by a random part of this")
    .option("--once", "run once, now, with all that a service does around it");
  withQueue(
    withChoice(
      withScope(
        add(
          "enqueue",
          "put a job for each provider into the queues of workers, now or on a schedule",
          async () => (await import("./commands/enqueue.js")).runEnqueue,
          `Needs the packages bullmq and rate-limiter-flexible, and ioredis for Redis or pg for PostgreSQL.
A job that asks for the same and waits already is enough. One schedule for each provider: a new one replaces it.

Examples:
  export GROUP_SYNC_QUEUE=redis://127.0.0.1:6379
  group-sync enqueue
  group-sync enqueue --every 15m
  group-sync enqueue --cron "0 6 * * 1-5" --time-zone Europe/Berlin --provider docs
  group-sync enqueue --show --json`,
        ),
      ),
    ),
  )
    .option("--cron <pattern>", "let jobs come by themselves at these times, such as '*/15 * * * *'")
    .option("--time-zone <name>", "the time zone of --cron, such as Europe/Berlin; else that of the workers")
    .option("--every <duration>", "let jobs come by themselves every so often, such as 15m")
    .option("--unschedule", "let no jobs come by themselves any more")
    .option("--show", "add nothing, only show what is in the queues");
  withQueue(
    withService(
      add(
        "worker",
        "do the jobs of the queues, beside other workers, in the foreground",
        async () => (await import("./commands/worker.js")).runWorker,
        `One job at a time for each provider, over all workers; rate limits are kept by all workers together.
A worker that dies or falls asleep loses its jobs to another, and sends nothing more for them.
SIGTERM and Ctrl-C finish what is under way, give back the rest, and end with exit code 0.
Workers on several machines need one state for all: state: { postgres: ... } in the spec.

Examples:
  group-sync worker --queue redis://127.0.0.1:6379
  group-sync worker --concurrency 8 --log json --health-port 8080 --health-host 0.0.0.0`,
      ),
    ),
  )
    .option("--concurrency <number>", "how many jobs side by side, each for another provider", "4")
    .option("--takeover <duration>", "so long after a worker fell silent, its jobs go to another", "30s");
  add(
    "sandbox",
    "local emulators of the four services, with a sample organisation",
    async () => (await import("./commands/sandbox.js")).runSandbox,
    `Nothing real is behind them. Ctrl-C ends it. Its page (/_sandbox) tells how to look inside and break things.

Example:
  group-sync sandbox --spec try.yaml
  group-sync plan -c try.yaml              (in another terminal)`,
  )
    .option("--port <number>", "0: any free one", "4010")
    .option("--seed <file>", "JSON with people and groups, instead of the sample organisation")
    .option("--latency <ms>", "milliseconds added to every answer", "0")
    .option("--fault <json...>", 'a fault from the start, such as \'{"kind":"rate-limit","service":"genesys"}\'')
    .option("--spec <file>", "write a spec for the sample organisation to this file")
    .option("--force", "write over an existing file");
  add(
    "demo",
    "the main job on a sandbox, from drift to converged, without any service",
    async () => (await import("./commands/demo.js")).runDemo,
    "Writes the spec, a plan and a report to the folder group-sync-demo.\n\nExample:\n  group-sync demo",
  );
  add(
    "schema",
    "print the JSON Schema of the spec",
    async () => (await import("./commands/schema.js")).runSchema,
    "For editors; the starter config points at it.\n\nExample:\n  group-sync schema > group-sync.schema.json",
  );
  add(
    "completion",
    "print a script that completes commands and flags in bash, zsh or fish",
    async () => (await import("./commands/completion.js")).createCompletion(program),
    `Examples:
  group-sync completion bash > ~/.local/share/bash-completion/completions/group-sync
  group-sync completion zsh > "\${fpath[1]}/_group-sync"
  group-sync completion fish > ~/.config/fish/completions/group-sync.fish`,
  ).addArgument(new Argument("<shell>", "which one").choices(["bash", "zsh", "fish"]));
  return program;
}

/** Runs one command line (without `node` and the script) and returns the exit code. */
export async function runCli(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // commander has already said what is wrong (or printed the help that was asked for).
    if (error.exitCode === 0) return 0;
    const message = error.message.replace(/^error: /, "");
    if (argv.includes("--json")) writeJson(errorDocument(new GroupSyncError("options-invalid", message)));
    return 1;
  }
}

async function runCommand<Flags extends CommonFlags>(
  load: () => Promise<CommandRun<Flags>>,
  flags: Flags,
  args: readonly string[],
): Promise<number> {
  let session: OpenSession | undefined;
  try {
    session = openSession(flags);
    const run = await load();
    return await run(session, flags, args);
  } catch (thrown) {
    session?.progress.stop();
    // What was stopped while it wrote ends in a report; only reading ends like this.
    const stoppedBy = isGroupSyncError(thrown, "cancelled") ? session?.stoppedBy() : undefined;
    const error = stoppedBy ? new GroupSyncError("cancelled", `Stopped by ${stoppedBy}; nothing was changed.`) : thrown;
    if (flags.json) writeJson(errorDocument(error));
    writeRemark(explainError(error));
    if (flags.verbose && thrown instanceof Error && thrown.stack) writeRemark(thrown.stack);
    return exitCodeOfError(error);
  } finally {
    session?.end();
  }
}
