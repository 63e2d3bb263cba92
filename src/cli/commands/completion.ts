import type { Command } from "commander";
import { GUARDS } from "../../model.js";
import { UNLIFTABLE } from "../../reconcile/guard.js";
import type { CommonFlags, Session } from "../session.js";

/** A flag as shells complete it. */
interface Flag {
  /** `-c`, `--config`. */
  readonly names: readonly string[];
  readonly description: string;
  /** What follows it: nothing, one of some words, a file, or anything. */
  readonly value: "none" | readonly string[] | "file" | "any";
}

/** A command as shells complete it. */
interface Entry {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly Flag[];
  /** What follows the command itself. */
  readonly argument: Flag["value"];
}

const RENDERERS: Readonly<Record<string, (entries: readonly Entry[]) => string>> = {
  bash: renderBash,
  zsh: renderZsh,
  fish: renderFish,
};

/** `completion <shell>`: a script made of the commands and flags that there are. */
export function createCompletion(program: Command) {
  return async (session: Session, flags: CommonFlags, [shell = ""]: readonly string[]): Promise<number> => {
    const script = RENDERERS[shell]?.(listEntries(program)) ?? "";
    if (flags.json) session.json({ kind: "completion", formatVersion: 1, shell, script });
    else session.result(script);
    return 0;
  };
}

function listEntries(program: Command): readonly Entry[] {
  const help: Flag = { names: ["-h", "--help"], description: "tell more", value: "none" };
  return program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    argument: argumentOf(command),
    flags: [
      ...command.options.map(({ short, long, description, required, optional, argChoices, flags }) => ({
        names: [short, long].filter((name) => name !== undefined),
        description,
        value: required || optional ? valueOf(flags, argChoices) : ("none" as const),
      })),
      help,
    ],
  }));
}

function argumentOf(command: Command): Flag["value"] {
  const [argument] = command.registeredArguments;
  return argument ? valueOf(argument.name(), argument.argChoices) : "none";
}

function valueOf(name: string, choices: readonly string[] | undefined): Flag["value"] {
  if (choices) return choices;
  if (name.includes("<guard")) return GUARDS.filter((guard) => !UNLIFTABLE.includes(guard));
  return /<file>|^file$|^plan$/.test(name) ? "file" : "any";
}

const wordsOf = (value: Flag["value"]): readonly string[] => (typeof value === "string" ? [] : value);

/** Files are what bash falls back to where nothing is offered. */
function renderBash(entries: readonly Entry[]): string {
  const cases = entries.map(({ name, flags, argument }) => {
    const values = flags
      .filter(({ value }) => wordsOf(value).length > 0)
      .map(({ names, value }) => `${names.join("|")}) words="${wordsOf(value).join(" ")}" ;;`);
    const anyFile = flags.filter(({ value }) => value === "file" || value === "any").flatMap(({ names }) => names);
    return `    ${name})
      words="${wordsOf(argument).join(" ")}"
      [[ $current == -* ]] && words="${flags.flatMap(({ names }) => names).join(" ")}"
      case $previous in
${[...values, ...(anyFile.length > 0 ? [`${anyFile.join("|")}) words="" ;;`] : [])].map((line) => `        ${line}\n`).join("")}      esac ;;`;
  });
  return `# Completion of group-sync for bash; made by: group-sync completion bash
_group_sync() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  local command="\${COMP_WORDS[1]}"
  ((COMP_CWORD == 1)) && command=""
  case $command in
    "") words="${[...entries.map(({ name }) => name), "help", "--help", "--version"].join(" ")}" ;;
    help) words="${entries.map(({ name }) => name).join(" ")}" ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _group_sync group-sync
`;
}

function renderZsh(entries: readonly Entry[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const inBrackets = (text: string) => text.replace(/[[\]:\\]/g, "\\$&");
  const action = (value: Flag["value"]) => {
    if (value === "none") return "";
    if (value === "file") return ":file:_files";
    return value === "any" ? ":value: " : `:value:(${value.join(" ")})`;
  };
  const cases = entries.map(({ name, flags, argument }) => {
    const specs = flags.flatMap(({ names, description, value }) =>
      names.map((flag) => quote(`*${flag}[${inBrackets(description)}]${action(value)}`)),
    );
    const own = argument === "none" ? [] : [quote(`1${action(argument)}`)];
    return `    ${name}) _arguments ${[...specs, ...own].join(" ")} ;;`;
  });
  return `#compdef group-sync
# Completion of group-sync for zsh; made by: group-sync completion zsh
_group_sync() {
  local -a commands
  commands=(${entries.map(({ name, description }) => quote(`${name}:${description.replaceAll(":", "\\:")}`)).join(" ")})
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
${cases.join("\n")}
  esac
}
if [[ $funcstack[1] == _group_sync ]]; then _group_sync "$@"; else compdef _group_sync group-sync; fi
`;
}

function renderFish(entries: readonly Entry[]): string {
  const quote = (text: string) => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const action = (value: Flag["value"]) => {
    if (value === "none") return "";
    if (value === "file") return " -r -F";
    return value === "any" ? " -x" : ` -x -a ${quote(value.join(" "))}`;
  };
  const lines = entries.flatMap(({ name, description, flags, argument }) => {
    const within = `complete -c group-sync -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c group-sync -n __fish_use_subcommand -f -a ${name} -d ${quote(description)}`,
      ...(argument === "file" ? [`${within} -F`] : []),
      ...(wordsOf(argument).length > 0 ? [`${within} -a ${quote(wordsOf(argument).join(" "))}`] : []),
      ...flags.map(({ names, description: about, value }) => {
        const spelled = names.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
        return `${within} ${spelled.join(" ")}${action(value)} -d ${quote(about)}`;
      }),
    ];
  });
  return `# Completion of group-sync for fish; made by: group-sync completion fish
complete -c group-sync -f
${lines.join("\n")}
`;
}
