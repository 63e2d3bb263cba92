/** Reads a spec: text → document → schema → people → groups → desired state. Everything that is wrong is told at once. */
import { readFile as readFromDisk } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { SpecError } from "../errors.js";
import type { Spec } from "../model.js";
import type { ProviderType } from "../provider.js";
import { type Environment, readDocument, type SpecDocument } from "./document.js";
import { type MembershipRow, readMemberships, resolveGroups } from "./groups.js";
import { checkPeople, createDirectory, listPeople, personColumns, type PlacedPerson, readPeople } from "./people.js";
import { createProblems, type KeyPath, type Problems, quote } from "./problems.js";
import { resolveSpec } from "./resolve.js";
import { createSpecSchema, providerEntryKeys, type SpecFile } from "./schema.js";
import { checkShape, type Shaped } from "./shape.js";

/** How a spec is read. */
export interface SpecOptions {
  /** The services that a spec may name under `type`. */
  readonly providerTypes: readonly ProviderType[];
  /** Where `${NAME}` comes from. @default process.env */
  readonly env?: Environment;
  /** The moment by which memberships have ended when places are counted. @default now */
  readonly now?: Date;
  /**
   * Reads a file: the CSV files that a spec names, their paths joined to the folder of the spec. Bytes are taken as
   * UTF-8. `loadSpec` reads from disk; `parseSpec` reads nothing that it is not given.
   */
  readonly readFile?: (file: string) => Promise<string | Uint8Array>;
}

/** {@link SpecOptions} for a text, which has no name of its own. */
export interface ParseSpecOptions extends SpecOptions {
  /** The name in messages, from whose folder other files are read. @default "group-sync.yaml" */
  readonly file?: string;
}

/**
 * Reads a spec file (YAML or JSON) and the CSV files that it names.
 *
 * Throws `SpecError` with every error and warning that was found; a file that cannot be read is one of them. Sends
 * nothing. Warnings of a spec that can be used are in `spec.warnings`.
 *
 * @example
 * const spec = await loadSpec("group-sync.yaml", { providerTypes });
 */
export async function loadSpec(file: string, options: SpecOptions): Promise<Spec> {
  const readFile = options.readFile ?? readFromDisk;
  const content = await readText(file, readFile);
  if ("failure" in content) {
    const start = { file, line: 1, column: 1, path: "" };
    throw new SpecError([{ severity: "error", ...start, message: `Cannot read the spec: ${content.failure}.` }]);
  }
  return parseSpec(content.text, { ...options, readFile, file });
}

/** Reads a spec from its text. Like {@link loadSpec} otherwise; CSV files need `readFile`. */
export async function parseSpec(text: string, options: ParseSpecOptions): Promise<Spec> {
  const { providerTypes, env = process.env, now = new Date(), file = "group-sync.yaml" } = options;
  const problems = createProblems(file);
  const document = readDocument(text, file, env, problems);
  const shaped = document && checkDocument(document, providerTypes, problems);
  if (!document || !shaped) throw new SpecError(problems.sorted());
  const { data, origin, isBroken } = shaped;

  const listedProviders = keysOf(document.value["providers"]) ?? [];
  const providerIds = listedProviders.length > 0 ? listedProviders : undefined;
  const context = { document, shaped, problems, options, file };
  const people = await collectPeople(context, providerIds);
  const canonicalId = (provider: string, id: string): string => {
    const type = providerTypes.find((known) => known.type === data.providers[provider]?.type);
    return type?.capabilities.lookup.idsAreLowerCase.value ? id.toLowerCase() : id;
  };
  if (people && providerIds) checkPeople(people, providerIds, canonicalId, problems);
  const written = data.people && "file" in data.people ? [] : (keysOf(document.value["people"]) ?? []);
  const directory = createDirectory(people ?? [], written);
  // Where people could not be read, that is the error; that nobody is known follows from it.
  const knownDirectory = people ? directory : { ...directory, isKnown: () => true };
  const groupContext = {
    groups: new Map(Object.entries(data.groups)),
    groupIds: new Set(keysOf(document.value["groups"])),
    isBroken,
    directory: knownDirectory,
    origin,
    problems,
  };
  const table = data.memberships && (await readCsv(data.memberships.file, ["memberships", "file"], context));
  const memberships: ReadonlyMap<string, readonly MembershipRow[]> =
    (table && readMemberships(table.text, table.file, groupContext)) ?? new Map();
  const spec = resolveSpec({
    data,
    document,
    origin,
    isBroken,
    providerIds,
    providerTypes,
    directory: knownDirectory,
    groups: resolveGroups(groupContext, memberships),
    canonicalId,
    today: now.toISOString().slice(0, 10),
    problems,
  });
  const state = resolveState(data.state, document, file, problems);
  problems.throwIfAny();
  return { ...spec, ...(state && { state }), warnings: problems.sorted() };
}

function checkDocument(
  document: SpecDocument,
  providerTypes: readonly ProviderType[],
  problems: Problems,
): Shaped<SpecFile> | undefined {
  const typeAt = (path: KeyPath): ProviderType | undefined => {
    const written =
      path[0] === "providers" && path.length > 1 ? document.written([...path.slice(0, 2), "type"]) : undefined;
    return written?.kind === "text" ? providerTypes.find(({ type }) => type === written.text) : undefined;
  };
  return checkShape(createSpecSchema(providerTypes), document, problems, {
    fallbacks: { version: 1, mode: "authoritative", providers: {}, people: {}, groups: {} },
    schemaAt: (path) => {
      const type = typeAt(path);
      return type && { schema: type.options, from: 2 };
    },
    isSecret: (path) => {
      const [section, , option] = path;
      if (section === "state") return true;
      if (section !== "providers" || providerEntryKeys.includes(String(option))) return false;
      // Of an entry whose type is not known, any value may be a secret.
      return typeAt(path)?.secretOptions.includes(String(option)) ?? true;
    },
  });
}

function keysOf(section: unknown): readonly string[] | undefined {
  return typeof section === "object" && section !== null && !Array.isArray(section) ? Object.keys(section) : undefined;
}

interface ReadContext {
  readonly document: SpecDocument;
  readonly shaped: Shaped<SpecFile>;
  readonly problems: Problems;
  readonly options: ParseSpecOptions;
  readonly file: string;
}

/** Everyone who could be read; undefined when the section or its file as a whole could not. */
async function collectPeople(
  context: ReadContext,
  providerIds: readonly string[] | undefined,
): Promise<readonly PlacedPerson[] | undefined> {
  const { shaped, problems, document } = context;
  const section = shaped.data.people;
  if (section === undefined) return document.value["people"] === undefined ? [] : undefined;
  if (!("file" in section) || typeof section.file !== "string") {
    const isUnreadable = document.value["people"] !== undefined && keysOf(document.value["people"]) === undefined;
    return isUnreadable ? undefined : listPeople(section, shaped.origin);
  }
  for (const id of providerIds ?? []) {
    if (!personColumns.includes(id)) continue;
    const message = `${quote(id)} is a column of every table of people, and cannot name a provider's accounts there. Choose another key.`;
    problems.error(document.locateKey(["providers", id]), message);
  }
  const table = await readCsv(section.file, ["people", "file"], context);
  if (!table || !providerIds) return undefined;
  return readPeople(table.text, table.file, providerIds, problems);
}

async function readCsv(
  name: string,
  path: KeyPath,
  { options, problems, file, shaped }: ReadContext,
): Promise<{ readonly text: string; readonly file: string } | undefined> {
  const origin = shaped.origin(path);
  const csvFile = isAbsolute(name) ? name : join(dirname(file), name);
  if (!options.readFile) {
    problems.error(
      origin(),
      `Found the file ${quote(name)}, but no way to read files was given (the option readFile).`,
    );
    return undefined;
  }
  const content = await readText(csvFile, options.readFile);
  if ("text" in content) return { text: content.text, file: csvFile };
  problems.error(
    origin(),
    `Cannot read ${quote(csvFile)}: ${content.failure}. (The path is relative to the spec's folder.)`,
  );
  return undefined;
}

async function readText(
  file: string,
  readFile: (file: string) => Promise<string | Uint8Array>,
): Promise<{ readonly text: string } | { readonly failure: string }> {
  let content: string | Uint8Array;
  try {
    content = await readFile(file);
  } catch (error) {
    return { failure: explainReadError(error) };
  }
  if (typeof content === "string") return { text: content };
  const [first, second] = content;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return { failure: "it is written in UTF-16; save it in UTF-8" };
  }
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(content) };
  } catch {
    return { failure: "it is not UTF-8 text; save it in UTF-8" };
  }
}

function explainReadError(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
      return "there is no such file";
    case "EISDIR":
      return "it is a folder, not a file";
    case "ENOTDIR":
      return "a part of the path is a file, not a folder";
    case "EACCES":
    case "EPERM":
      return "we may not read it (permission denied)";
    default:
      return error instanceof Error ? error.message.replace(/\.$/, "") : "reading failed";
  }
}

function resolveState(
  state: SpecFile["state"],
  document: SpecDocument,
  file: string,
  problems: Problems,
): Spec["state"] {
  if (state?.file !== undefined) {
    return { file: isAbsolute(state.file) ? state.file : join(dirname(file), state.file) };
  }
  if (state?.postgres === undefined) return undefined;
  const written = document.written(["state", "postgres"]);
  if (written.kind === "text" && !written.usesEnvironment && /\/\/[^/@]*:[^/@]+@/.test(written.text)) {
    problems.warn(
      document.locate(["state", "postgres"]),
      "This is a secret, written out in the file. Keep it in the environment: postgres: ${DATABASE_URL}.",
    );
  }
  return { postgres: state.postgres };
}
