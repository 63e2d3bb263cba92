import { GroupSyncError } from "../../errors.js";
import type { Mode } from "../../model.js";
import { builtinProviderTypes } from "../../providers/builtin.js";
import { createSpeller, didYouMean } from "../../spec/problems.js";
import { environmentName } from "../../spec/resolve.js";
import { mustNotExist, writeText } from "../files.js";
import { type Ask, canAsk, talk } from "../questions.js";
import { type CommonFlags, configFlag, type Session, USUAL_FILE } from "../session.js";

/** Flags of `init`. */
export interface InitFlags extends CommonFlags {
  readonly service?: readonly string[];
  readonly mode?: Mode;
  readonly yes?: boolean;
  readonly force?: boolean;
}

/** One account of one service in the starter. */
interface Entry {
  readonly id: string;
  readonly type: string;
}

/** How each service is called in the starter, and what it asks for; a secret is given as its name alone. */
const SERVICES: Readonly<
  Record<string, { readonly id: string; readonly options: Readonly<Record<string, string | undefined>> }>
> = {
  neuroio: { id: "faces", options: { token: undefined } },
  brainstem: { id: "lab", options: { token: undefined } },
  docspace: { id: "docs", options: { baseUrl: "https://acme.onlyoffice.com", apiKey: undefined } },
  genesys: { id: "calls", options: { region: "mypurecloud.de", clientId: undefined, clientSecret: undefined } },
  scim: { id: "directory", options: { baseUrl: "https://scim.example.org/v2", token: undefined } },
};

const USUAL_SERVICES = ["neuroio", "brainstem", "docspace", "genesys"];

/** `init`: a commented starter config. */
export async function runInit(session: Session, flags: InitFlags): Promise<number> {
  const given = flags.service && readEntries(flags.service);
  // Better now than after all the questions.
  if (!flags.force && flags.config !== USUAL_FILE) await mustNotExist(flags.config);
  const asks = !flags.yes && !flags.json && canAsk();
  const { file, entries, mode } = asks
    ? await talk(session, (ask) => askAll(ask, flags, given))
    : { file: flags.config, entries: given ?? readEntries(USUAL_SERVICES), mode: flags.mode ?? "authoritative" };
  await writeText(file, renderStarter(entries, mode), flags.force === true);
  if (flags.json) session.json({ kind: "init", formatVersion: 1, file });
  else session.result(`Wrote ${file}. Next:\n${nextSteps(file).join("\n")}\n`);
  return 0;
}

async function askAll(ask: Ask, flags: InitFlags, given: readonly Entry[] | undefined) {
  const entries = given ?? (await askServices(ask));
  const mode = flags.mode ?? (await askMode(ask));
  const file = flags.config === USUAL_FILE ? await ask("Which file?", USUAL_FILE) : flags.config;
  return { file, entries, mode };
}

async function askServices(ask: Ask): Promise<readonly Entry[]> {
  const types = builtinProviderTypes.map(({ type, label }) => `  ${type.padEnd(10)} ${label}`).join("\n");
  const question = `${types}\nWhich services? Names with blanks between them; two accounts of one: east=genesys west=genesys`;
  return insist(question, USUAL_SERVICES.join(" "), ask, (answer) => readEntries(answer.split(/[\s,]+/)));
}

async function askMode(ask: Ask): Promise<Mode> {
  const question = `  authoritative  removes people who are not listed
  additive       never removes anyone
  owned          removes only memberships that group-sync added
Which mode?`;
  const modes: readonly Mode[] = ["authoritative", "additive", "owned"];
  return insist(question, "authoritative", ask, (answer) => {
    // The first letters do.
    const mode = modes.find((known) => known.startsWith(answer.toLowerCase()));
    if (mode) return mode;
    throw new GroupSyncError(
      "options-invalid",
      `There is no mode "${answer}".${didYouMean(answer, createSpeller(modes))}`,
    );
  });
}

/** Asks until the answer can be read. */
async function insist<T>(question: string, usual: string, ask: Ask, read: (answer: string) => T): Promise<T> {
  for (let asked = question; ; ) {
    try {
      return read(await ask(asked, usual));
    } catch (error) {
      if (!(error instanceof GroupSyncError) || error.code !== "options-invalid") throw error;
      asked = error.message;
    }
  }
}

/** Reads `genesys` and `calls=genesys`. Throws `options-invalid`. */
function readEntries(names: readonly string[]): readonly Entry[] {
  const entries = names.map((name) => {
    const [type = "", id] = name.split("=").reverse();
    const service = Object.hasOwn(SERVICES, type) ? SERVICES[type] : undefined;
    if (!service) {
      const known = Object.keys(SERVICES);
      throw new GroupSyncError(
        "options-invalid",
        `There is no service "${type}".${didYouMean(type, createSpeller(known))} There are: ${known.join(", ")}.`,
      );
    }
    if (id !== undefined && !/^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u.test(id)) {
      throw new GroupSyncError("options-invalid", `"${id}" is no key; write one word of letters, digits, - _ and .`);
    }
    return { id: id ?? service.id, type };
  });
  const twice = entries.find(({ id }, index) => entries.findIndex((entry) => entry.id === id) !== index);
  if (!twice) return entries;
  throw new GroupSyncError(
    "options-invalid",
    `Two services would be called "${twice.id}"; give each a key of its own, such as east=${twice.type} west=${twice.type}.`,
  );
}

function nextSteps(file: string): readonly string[] {
  const config = configFlag({ config: file });
  return [
    "  1. put your people and groups there, and set the variables it names",
    ...["validate", "check", "plan"].map((command, index) => `  ${index + 2}. group-sync ${command}${config}`),
  ];
}

function renderStarter(entries: readonly Entry[], mode: Mode): string {
  const idsOf = (type: string) => entries.filter((entry) => entry.type === type).map(({ id }) => id);
  return `# Who should be in which group. \`group-sync plan\` shows what would change; \`group-sync apply\` makes it so.
# An editor that knows YAML schemas helps while typing: group-sync schema > group-sync.schema.json
# yaml-language-server: $schema=./group-sync.schema.json
version: 1

# authoritative: people who are not listed are removed; additive: nobody is ever removed;
# owned: only memberships that group-sync added are removed.
mode: ${mode}

# false: the first time a group is met that was there before, additions go and removals wait
# until it is adopted (adopt: true here or on a group, a pinned id, or --allow adoption:<group>).
adopt: false

# Each entry is one account of one service. Secrets come from the environment as \${NAME}.
providers:
${entries.map((entry) => renderEntry(entry, entries)).join("\n")}

# Or: people: { file: people.csv } with the columns id,email,aliases,name,<provider>...
people:
  ada:
    email: ada@example.org
${renderAccounts(idsOf("neuroio"), "749c9583-5ae9-4b72-a8f9-e1018d99af7e", idsOf("genesys"))}  grace:
    email: grace@example.org
    aliases: [g.hopper@example.org]
${renderAccounts(idsOf("neuroio"), "2f1d6a3c-1b7e-4f0a-9c55-0d9b1a7c4e21", [])}
groups:
  night-shift:
    name: Night shift
    # No such key: not managed. An empty list: managed, and meant to be empty.
    members: [ada]
    managers: [grace]
    previously: [] # former names: the group is renamed, never deleted and made anew
    targets: # where the group lives; { id: ... } pins it, { name: ... } calls it otherwise there
${entries.map(({ id, type }) => `      ${id}: ${type === "genesys" ? "{ name: Night shift EMEA }" : "{}"}`).join("\n")}

# What is held instead of done, until acknowledged with --allow <guard>:<group>. The defaults:
guards:
  maxRemovals: { count: 50, percent: 25 } # per group, per provider and per run
  protect: [] # person ids, or globs such as "*@board.example.org", that are never removed
  minOwners: 1
`;
}

function renderEntry({ id, type }: Entry, entries: readonly Entry[]): string {
  // Two accounts of one service have credentials of their own.
  const named = entries.filter((entry) => entry.type === type).length > 1 ? id : type;
  const options = Object.entries(SERVICES[type]?.options ?? {});
  const lines = options.map(([option, value]) => `    ${option}: ${value ?? `\${${environmentName(named, option)}}`}`);
  return [`  ${id}:`, `    type: ${type}`, ...lines].join("\n");
}

/** NeuroIO has to be told who is who; someone may be known to have no account elsewhere. */
function renderAccounts(pinned: readonly string[], pid: string, without: readonly string[]): string {
  if (pinned.length + without.length === 0) return "";
  return [
    "    accounts:",
    ...pinned.map((id) => `      ${id}: ${pid} # NeuroIO cannot look people up: pin the pid`),
    ...without.map((id) => `      ${id}: null # known to have no account there`),
    "",
  ].join("\n");
}
