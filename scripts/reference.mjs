// The reference pages that are made of the program: docs/commands.md of the commands and their help, and the tables of
// docs/spec.md of the JSON Schema. Pure: scripts/docs.mjs writes them, test/docs/docs.test.ts compares them.

const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

/** docs/commands.md. `program` is the commander program, as `createProgram` makes it. */
export function renderCommands(program) {
  const commands = program.commands;
  const lines = [
    "# Commands",
    "",
    "Made by `npm run docs` from the commands themselves; `group-sync <command> --help` says the same.",
    "",
    "| command | does |",
    "|---|---|",
    ...commands.map((command) => `| [\`${command.name()}\`](#${command.name()}) | ${cell(command.description())} |`),
    "",
    "Every command takes `--json` (one JSON document on stdout and nothing else there), `-q`, `-v` and `--no-color`. What",
    "people read beside the result, and progress, go to stderr. Exit codes are explained in",
    "[troubleshooting](guides/troubleshooting.md#exit-codes).",
    "",
    ...commands.flatMap((command) => [`## ${command.name()}`, "", "```text", helpOf(command), "```", ""]),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
}

/** The help as it is printed, at a width that does not hang on the terminal. */
function helpOf(command) {
  let text = "";
  const output = { writeOut: (part) => (text += part), getOutHelpWidth: () => 100, getOutHasColors: () => false };
  command.configureOutput(output).outputHelp();
  return text.trim();
}

const OPENING = "<!-- Made by `npm run docs` from the JSON Schema. -->";
const CLOSING = "<!-- End of what is made. -->";

/** docs/spec.md with its tables made anew; the rest of it is written by hand. */
export function renderSpecPage(page, schema) {
  const [before, rest] = page.split(OPENING);
  const after = rest?.split(CLOSING)[1];
  if (after === undefined) throw new Error("docs/spec.md has no place for its tables.");
  return `${before}${[OPENING, "", ...renderSchema(schema), CLOSING].join("\n")}${after}`;
}

function renderSchema(schema) {
  const { properties } = schema;
  const services = properties.providers.additionalProperties.anyOf;
  const person = alternative(properties.people, "additionalProperties").additionalProperties;
  const group = properties.groups.additionalProperties;
  const target = alternative(group.properties.targets, "additionalProperties").additionalProperties;
  const targetEntry = alternative(target, "properties");
  const member = alternative(group.properties.members.items, "properties");
  const [first] = services;
  const sharedKeys = ["type", "mode", "adopt", "guards"];
  // What every service says in the same words; an address is each one's own.
  const isShared = (key) =>
    services.every(({ properties: own }) => own[key]?.description === first.properties[key].description);
  const connection = Object.keys(first.properties).filter((key) => !sharedKeys.includes(key) && isShared(key));
  const only = (source, keep) => ({
    ...source,
    properties: Object.fromEntries(Object.entries(source.properties).filter(([key]) => keep(key))),
  });
  const shared = { ...only(first, (key) => sharedKeys.includes(key)), required: ["type"] };
  shared.properties.type = {
    description: `Which service: ${services
      .map((one) => one.properties.type.const)
      .filter(unique)
      .map((type) => `\`${type}\``)
      .join(", ")}.`,
    type: "string",
  };
  return [
    ...section("The file", schema),
    ...section(
      "`providers.<id>`",
      shared,
      "One account of one service. Beside these keys it has the options of its service:",
    ),
    ...mergeByTitle(services).flatMap((service) =>
      section(
        `\`providers.<id>\` of type \`${service.properties.type.const}\``,
        only(service, (key) => !sharedKeys.includes(key) && !connection.includes(key)),
        service.title,
      ),
    ),
    ...section(
      "`providers.<id>`, the connection",
      { properties: only(first, (key) => connection.includes(key)).properties },
      "Every service takes these.",
    ),
    ...section("`people.<id>`", person),
    ...section("`groups.<id>`", group),
    ...section(
      "A member",
      member,
      "An entry of `members`, `managers` and `owners`: a person id alone, or with an end:",
    ),
    ...section("`groups.<id>.targets.<provider>`", targetEntry),
    ...section("`guards`", properties.guards),
    ...section("`guards.maxRemovals`", properties.guards.properties.maxRemovals),
    ...section("`state`", properties.state),
  ];
}

const unique = (value, index, all) => all.indexOf(value) === index;

function alternative(schema, key) {
  const found = schema.anyOf.find((one) => typeof one[key] === "object");
  if (!found) throw new Error(`None of the alternatives has ${key}.`);
  return found;
}

/** A service whose options are alternatives is several variants in the schema, and one table here. */
function mergeByTitle(services) {
  return [...new Set(services.map(({ title }) => title))].map((title) => {
    const variants = services.filter((service) => service.title === title);
    const required = variants[0].required.filter((key) => variants.every((variant) => variant.required.includes(key)));
    return { ...variants[0], required, properties: Object.assign({}, ...variants.map(({ properties }) => properties)) };
  });
}

function section(title, { properties, required = [], description }, words = description) {
  const rows = Object.entries(properties).map(([key, value]) => {
    const needed = required.includes(key) ? ", required" : "";
    return `| \`${key}\` | ${cell(kindOf(value) + needed)} | ${cell(wordsOf(value))} |`;
  });
  return [`### ${title}`, "", ...(words ? [words, ""] : []), "| key | | |", "|---|---|---|", ...rows, ""];
}

function wordsOf({ description, anyOf = [] }) {
  if (description) return description;
  return anyOf.flatMap((one) => one.description ?? []).join(" Or: ");
}

function kindOf(schema) {
  const { type, enum: words, const: only, anyOf, items, additionalProperties } = schema;
  if (only !== undefined) return `\`${only}\``;
  if (words) return words.map((word) => `\`${word}\``).join(", ");
  if (anyOf) return [...new Set(anyOf.filter((one) => !isReference(one)).map(kindOf))].join(" or ");
  if (type === "array") return `list of ${kindOf(items)}`;
  if (type === "object") return additionalProperties ? "map" : "keys below";
  if (Array.isArray(type)) return type.map((one) => (one === "string" ? "text" : one)).join(" or ");
  return { string: "text", integer: "whole number", boolean: "true or false", null: "nothing" }[type] ?? String(type);
}

/** What takes a value in some form takes `${NAME}` too; the page says so once. */
const isReference = ({ pattern }) => pattern?.startsWith("\\$\\{") === true;
