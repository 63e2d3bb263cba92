/**
 * The spec file as people write it: every key, strict, with the words that editors show. The same schema checks files
 * and makes the JSON Schema, so the two cannot disagree.
 */
import { z } from "zod";
import type { ProviderType } from "../provider.js";

const MODES = {
  authoritative: "removes direct members who are not listed",
  additive: "never removes anyone",
  owned: "removes only memberships that this tool added",
} as const;

const modeNames = Object.keys(MODES) as readonly (keyof typeof MODES)[];
const modeList = modeNames.map((name) => `${name} (${MODES[name]})`).join(", ");

/** Text that is not blank and has no blanks at its ends: such names look alike and are not. */
const trimmedText = z.string().check((check) => {
  const { value } = check;
  const message =
    value.trim() === ""
      ? "Found blank text; write something."
      : value !== value.trim()
        ? `Found blanks at the ends of ${JSON.stringify(value.slice(0, 60))}; remove them.`
        : CONTROL.test(value)
          ? "Found a line break or another control character; write it on one line."
          : undefined;
  if (message) check.issues.push({ code: "custom", message, input: value });
});

const CONTROL = /\p{Cc}/u;

const mode = z
  .enum(modeNames, {
    error: ({ input }) =>
      input === undefined ? `Say which mode, there is no silent default: ${modeList}.` : undefined,
  })
  .describe(`What the tool may do to memberships: ${modeList}.`);

const adopt = z
  .boolean()
  .describe(
    "Whether groups that were there before and match by name are ours to manage. False: additions go, removals are held until each group is adopted.",
  );

const personId = trimmedText.describe("A key of `people`.");
const groupId = trimmedText.describe("A key of `groups`.");
const providerId = trimmedText.describe("A key of `providers`.");

/** A day that exists, as `YYYY-MM-DD`. */
export const dateSchema = z.iso.date().describe("The last day of the membership, inclusive (UTC): YYYY-MM-DD.");

/** An e-mail address and nothing around it. Generous: whether it exists is the providers' business. */
export const emailSchema = z
  .string()
  .regex(
    /^[^\s@,;:<>()"[\]]+@[^\s@,;:<>()"[\].]+(\.[^\s@,;:<>()"[\].]+)*$/,
    "This is not an e-mail address; write one address alone, such as ada@example.org.",
  );

const maxRemovals = z
  .strictObject({
    count: z.int().min(0).optional().describe("Removals that may go at once; 0 holds every removal. Default 50."),
    percent: z
      .number()
      .min(0)
      .max(100)
      .optional()
      .describe("Share of the members that may go at once, 0 to 100. A single removal never trips it. Default 25."),
  })
  .describe(
    "More removals than either limit are held: per group, per provider and per run. The one left out is inherited.",
  );

const guards = z
  .strictObject({
    maxRemovals: maxRemovals.optional(),
    protect: z
      .array(trimmedText)
      .optional()
      .describe(
        "People who are never removed: person ids, e-mail addresses, or globs over them such as *@board.example.org. Lists add up from the spec to the target.",
      ),
    minOwners: z
      .int()
      .min(0)
      .optional()
      .describe("Owners (or managers, where there are no owners) that a group keeps at least. Default 1."),
  })
  .describe(
    "Limits that hold removals back for a person to look at. Inherited from the spec to provider, group and target.",
  );

const member = z
  .union([
    personId,
    z.strictObject({ person: personId, until: dateSchema.optional() }).describe("A membership with an end."),
  ])
  .describe("Someone in a group: a person id, or { person, until }.");

const members = z
  .array(member)
  .describe("People who hold plain membership. [] empties the group; without the key, members are left alone.");
const managers = z
  .array(member)
  .describe(
    "People who manage the group; they are members too and listed only here. Without the key, managers are left alone.",
  );
const owners = z
  .array(member)
  .describe(
    "People who own the group; they are members too and listed only here. Without the key, owners are left alone.",
  );
const previously = z
  .array(trimmedText)
  .describe("Names that the group had before: it is renamed instead of made anew.");
const description = z.string().describe('The group\'s description. Without the key it is left alone; "" clears it.');
const remove = z.boolean().describe("True: the group should not exist. Deleting is held by its own guard.");

const target = z
  .strictObject({
    id: trimmedText
      .optional()
      .describe(
        "The provider's own id of the group. Without it the group is found by its exact name, and made when missing.",
      ),
    name: trimmedText.optional().describe("The name at this provider, where it differs."),
    description: description.optional(),
    previously: previously.optional(),
    mode: mode.optional(),
    adopt: adopt.optional(),
    guards: guards.optional(),
    members: members.optional().describe("Replaces the group's members and includes at this provider."),
    managers: managers.optional().describe("Replaces the group's managers at this provider."),
    owners: owners.optional().describe("Replaces the group's owners at this provider."),
    delete: remove.optional(),
  })
  .describe("What is different at this provider. {} for nothing.");

const targets = z
  .union([
    z.array(providerId).describe("The providers that have this group."),
    z
      .record(providerId, target.nullable())
      .describe("The providers that have this group, with what is different there."),
  ])
  .describe(
    "Where the group exists. [] for a group that only others include. May be left out where there is one provider.",
  );

const group = z
  .strictObject({
    name: trimmedText.optional().describe("The group's name at the providers. Default: its key here."),
    description: description.optional(),
    members: members.optional(),
    managers: managers.optional(),
    owners: owners.optional(),
    includes: z
      .array(groupId)
      .optional()
      .describe(
        "Groups whose people all belong to this one too, as plain members unless they are listed here with more.",
      ),
    previously: previously.optional(),
    targets: targets.optional(),
    mode: mode.optional(),
    adopt: adopt.optional(),
    guards: guards.optional(),
    delete: remove.optional(),
  })
  .describe("A group, the same at all its targets unless they say otherwise.");

const person = z
  .strictObject({
    email: emailSchema.optional().describe("The address under which the providers know this person."),
    aliases: z
      .array(emailSchema)
      .optional()
      .describe("Other addresses, tried in this order when the first finds nobody."),
    name: trimmedText.optional().describe("For people to read; never used to find anyone."),
    accounts: z
      .record(providerId, trimmedText.nullable())
      .optional()
      .describe("Accounts that are known by their id at a provider. null: known to have none there."),
  })
  .describe("A person, and how the providers know them.");

const csvFile = (columns: string) =>
  z
    .strictObject({ file: trimmedText.describe("The path of a CSV file, relative to this file.") })
    .describe(`A CSV file with a header. Columns: ${columns}.`);

const people = z
  .union([
    csvFile("id, email, aliases (separated by ; or blanks), name, and one per provider with the account id, or null"),
    z.record(personId, person).describe("People by an id of yours."),
  ])
  .describe("Everyone who is named in the groups.");

/** The keys that every provider's entry may have besides its own options. */
const providerEntryShape = {
  type: trimmedText.describe("Which service this is."),
  mode: mode.optional(),
  adopt: adopt.optional(),
  guards: guards.optional(),
  incremental: z
    .boolean()
    .optional()
    .describe(
      "True: groups that were as wished when last read, and whose version has not moved since, are not read again for a day. For services with versions (Genesys); needs state. Default false.",
    ),
};

/** Keys of a provider's entry that are ours; the rest are the adapter's options. */
export const providerEntryKeys: readonly string[] = Object.keys(providerEntryShape);

const providerIdKey = z
  .string()
  .regex(
    /^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u,
    "A provider's key is one word of letters, digits, - _ and . because it is used on the command line.",
  );

const state = z
  .strictObject({
    file: trimmedText.optional().describe("A file beside the spec."),
    postgres: trimmedText
      .optional()
      .describe("The address of a Postgres database, from the environment: ${DATABASE_URL}."),
  })
  .check((check) => {
    const given = Object.values(check.value).filter((value) => value !== undefined).length;
    if (given === 1) return;
    const message = `Found ${given === 0 ? "neither" : "both"} \`file\` and \`postgres\`; give one of them.`;
    check.issues.push({ code: "custom", message, input: check.value });
  })
  .describe("Where the tool remembers what it did. Default: { file: .group-sync/state.db }.");

/**
 * The schema of a spec file for the given services. A provider's own options are checked by its type's schema.
 * Sections that start with `x-` have to be taken off before.
 */
export function createSpecSchema(providerTypes: readonly ProviderType[]) {
  const provider = z
    .looseObject(providerEntryShape)
    .check((check) => {
      const found = providerTypes.find(({ type }) => type === check.value.type);
      if (!found) {
        const message = unknownType(check.value.type, providerTypes);
        check.issues.push({ code: "custom", path: ["type"], message, input: check.value.type });
        return;
      }
      const checked = found.options.safeParse(optionsOf(check.value), { error: () => UNTRANSLATED });
      if (checked.success) return;
      for (const issue of checked.error.issues) check.issues.push({ ...issue, input: undefined });
    })
    .describe("One account of one service.");
  return z
    .strictObject({
      version: z
        .literal(1, {
          error: ({ input }) =>
            input === undefined
              ? "Say which format this is: `version: 1`."
              : "The format's version is the number 1: `version: 1`.",
        })
        .describe("The version of this format: 1."),
      mode,
      adopt: adopt.optional(),
      providers: z
        .record(providerIdKey, provider)
        .check((check) => {
          if (Object.keys(check.value).length > 0) return;
          check.issues.push({
            code: "custom",
            message: "There is no provider here; list at least one.",
            input: check.value,
          });
        })
        .describe("The accounts of services to keep in step, each under a key of your choice."),
      people: people.optional(),
      groups: z
        .record(groupId, group)
        .describe("The groups, each under a key of your choice that stays when the name changes."),
      memberships: csvFile("group, person, role (member, manager or owner; member when empty), until")
        .optional()
        .describe(
          "Memberships too many for YAML. They add to the lists of the groups; a role is managed in a group that has rows of that role.",
        ),
      guards: guards.optional(),
      state: state.optional(),
    })
    .describe("Who should be in which group, at which services.");
}

/** A spec file that has passed its schema. */
export type SpecFile = z.output<ReturnType<typeof createSpecSchema>>;
export type GroupEntry = z.output<typeof group>;
export type TargetEntry = z.output<typeof target>;
export type GuardEntry = z.output<typeof guards>;
export type MemberEntry = z.output<typeof member>;

/** The message of an issue that has not been put in words yet: only the place where it stands tells what was found. */
export const UNTRANSLATED = "\u0000";

/** A provider's entry without the keys that are ours. */
export function optionsOf(entry: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry).filter(([key]) => !providerEntryKeys.includes(key)));
}

function unknownType(found: string, providerTypes: readonly ProviderType[]): string {
  const types = providerTypes.map(({ type, label }) => `${type} (${label})`).join(", ");
  return `There is no service ${JSON.stringify(found.slice(0, 60))}; the types are: ${types}.`;
}

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The JSON Schema (draft 2020-12) of a spec file, for editors. A provider's options depend on its `type`. */
export function renderJsonSchema(providerTypes: readonly ProviderType[]): Readonly<Record<string, unknown>> {
  const { $schema, ...schema } = toJson(createSpecSchema(providerTypes));
  const providers = schema.properties?.["providers"];
  if (typeof providers === "object") {
    const { additionalProperties: entry } = providers;
    const shared = typeof entry === "object" ? (entry.properties ?? {}) : {};
    providers.additionalProperties = {
      description: "One account of one service.",
      anyOf: providerTypes.flatMap((type) => renderProvider(type, shared)),
    };
  }
  return {
    $schema,
    $id: "urn:group-sync:spec:1",
    title: "group-sync spec",
    ...schema,
    patternProperties: { "^x-": { description: "Not read: a place for YAML anchors." } },
    examples: [renderExample(providerTypes)],
  };
}

function toJson(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: "input", target: "draft-2020-12", unrepresentable: "any" });
}

/** One variant per service; several where a service's options are alternatives themselves. */
function renderProvider(
  type: ProviderType,
  shared: Readonly<Record<string, JsonSchema | boolean>>,
): readonly JsonSchema[] {
  const { $schema: _, ...options } = toJson(type.options);
  const variants = options.anyOf ?? options.oneOf ?? [options];
  return variants.map((variant) => {
    const own = typeof variant === "object" ? variant : {};
    const fields = Object.entries(own.properties ?? {}).map(([key, field]) => [key, allowReference(field)] as const);
    return {
      title: type.label,
      type: "object",
      properties: { ...shared, type: { const: type.type, description: type.label }, ...Object.fromEntries(fields) },
      required: ["type", ...(own.required ?? [])],
      additionalProperties: false,
    };
  });
}

/** What a service takes only in some form may still be written as `${NAME}`. */
function allowReference(field: JsonSchema | boolean): JsonSchema | boolean {
  if (typeof field === "boolean" || field.type !== "string") return field;
  const isFree = field.pattern === undefined && field.format === undefined && field.enum === undefined;
  if (isFree && field.const === undefined) return field;
  const { description: text, ...form } = field;
  const reference = { type: "string", pattern: "\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}" } as const;
  return { ...(text !== undefined && { description: text }), anyOf: [form, reference] };
}

function renderExample(providerTypes: readonly ProviderType[]): unknown {
  const [first] = providerTypes;
  const secrets = (first?.secretOptions ?? []).slice(0, 1).map((name) => [name, `\${${name.toUpperCase()}}`]);
  return {
    version: 1,
    mode: "authoritative",
    providers: first ? { main: { type: first.type, ...Object.fromEntries(secrets) } } : {},
    people: { ada: { email: "ada@example.org" }, grace: { email: "grace@example.org" } },
    groups: {
      "night-shift": {
        name: "Night shift",
        members: ["ada", { person: "grace", until: "2027-03-31" }],
        targets: first ? ["main"] : [],
      },
    },
  };
}
