/**
 * Holds a document against a schema and puts what is wrong in words that name the place, what was found and what
 * would be right. What is wrong is then cut out and the rest handed on, so that the checks that follow can say
 * everything that they find in the same go.
 */
import { z } from "zod";
import type { SpecDocument, Written } from "./document.js";
import { createSpeller, didYouMean, type KeyPath, type LazyOrigin, type Problems, quote } from "./problems.js";
import { UNTRANSLATED } from "./schema.js";

/** Data that fits the schema, made of what was right. */
export interface Shaped<T> {
  readonly data: T;
  /** The place of a value of `data`, whose lists are shorter than the document's where an entry was wrong. */
  readonly origin: (path: KeyPath) => LazyOrigin;
  /** Whether something at or below this place (a path of keys) was wrong and has been cut out. */
  readonly isBroken: (path: KeyPath) => boolean;
}

/** What the check has to know besides the schema. */
export interface ShapeOptions {
  /** Top-level sections to go on with when theirs are missing or wrong. */
  readonly fallbacks: Readonly<Record<string, unknown>>;
  /** The schema of the options at a path, where the main schema leaves them open. */
  readonly schemaAt?: (path: KeyPath) => { readonly schema: z.ZodType; readonly from: number } | undefined;
  /** Whether what is written there may be a secret and is not shown. */
  readonly isSecret: (path: KeyPath) => boolean;
}

type Issue = z.core.$ZodIssue;

/** Each round cuts out what the one before brought to light; few files need more than two. */
const MAX_ROUNDS = 30;

/** Checks a document. Undefined when too much is wrong to go on. */
export function checkShape<T>(
  schema: z.ZodType<T>,
  document: SpecDocument,
  problems: Problems,
  options: ShapeOptions,
): Shaped<T> | undefined {
  const wrong = createCuts();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const { data, originalOf } = cutOut(document.value, wrong, options.fallbacks);
    const checked = schema.safeParse(data, { error: () => UNTRANSLATED });
    if (checked.success) {
      return {
        data: checked.data,
        origin: (path) => () => document.locate(originalOf(path)),
        isBroken: (path) => wrong.touches(path),
      };
    }
    const issues = checked.error.issues.flatMap((issue) => unfold(issue, document, originalOf(toKeys(issue.path))));
    // A later round finds what the first could not see, or what is a consequence of our cutting: of an entry that was
    // told to be wrong already, nothing more is said.
    const told = issues.filter(({ path }) => round === 0 || !wrong.touches(path.slice(0, 2)));
    reportAll(told, document, problems, schema, options);
    for (const { issue, path } of issues) {
      if (issue.code === "unrecognized_keys") for (const key of issue.keys) wrong.add([...path, key]);
      else wrong.add(cutFor(path, document, wrong));
    }
    if (wrong.isEverything()) return undefined;
  }
  return undefined;
}

/** What has to go so that an issue goes: the value, or, where that is missing, whatever lacks it. */
function cutFor(path: KeyPath, document: SpecDocument, wrong: Cuts): KeyPath {
  let cut = path;
  while (cut.length > 1 && (wrong.has(cut) || document.written(cut).kind === "absent")) cut = cut.slice(0, -1);
  return cut;
}

/** A `${NAME}` that is not set was told already; what is made of it cannot be judged. */
function concernsUnfilled(path: KeyPath, document: SpecDocument): boolean {
  return document.unfilled.some((unfilled) => path.length > 0 && path.every((key, index) => unfilled[index] === key));
}

function toKeys(path: readonly PropertyKey[]): KeyPath {
  return path.map((key) => (typeof key === "number" ? key : String(key)));
}

interface PlacedIssue {
  readonly issue: Issue;
  readonly path: KeyPath;
}

/** Of alternatives, the one that the author most likely meant: the one that fits furthest. */
function unfold(issue: Issue, document: SpecDocument, path: KeyPath): readonly PlacedIssue[] {
  if (issue.code !== "invalid_union") return [{ issue, path }];
  const depth = (branch: readonly Issue[]) => Math.min(...branch.map((inner) => inner.path.length));
  const fitting = issue.errors.filter((branch) => !branch.some((inner) => isWrongKind(inner)));
  const [best] = fitting.toSorted((left, right) => depth(right) - depth(left));
  if (!best) return [{ issue, path }];
  return best.flatMap((inner) => unfold(inner, document, [...path, ...toKeys(inner.path)]));
}

function isWrongKind(issue: Issue): boolean {
  return issue.path.length === 0 && issue.code === "invalid_type";
}

function reportAll(
  issues: readonly PlacedIssue[],
  document: SpecDocument,
  problems: Problems,
  schema: z.ZodType,
  options: ShapeOptions,
): void {
  // A mistyped key is both unknown and missing; once told as the one, it is not told as the other.
  const misspelt = new Set<string>();
  for (const { issue, path } of issues) {
    if (issue.code !== "unrecognized_keys") continue;
    const known = knownKeys(schema, path, options);
    const speller = createSpeller(known.filter((key) => document.written([...path, key]).kind === "absent"));
    for (const key of issue.keys) {
      const meant = speller(key);
      if (meant !== undefined) misspelt.add(JSON.stringify([...path, meant]));
      const list = known.length > 0 ? ` Known here: ${known.join(", ")}.` : "";
      const hint = path.length === 0 ? " (Sections for YAML anchors start with x-.)" : "";
      const text = `There is no key ${quote(key)} here.${didYouMean(key, speller) || list}${hint}`;
      problems.error(document.locateKey([...path, key]), text);
    }
  }
  for (const { issue, path } of issues) {
    if (issue.code === "unrecognized_keys" || concernsUnfilled(path, document)) continue;
    const isMissing = document.written(path).kind === "absent";
    if (!isMissing || !misspelt.has(JSON.stringify(path))) report(issue, path, document, problems, schema, options);
  }
}

function report(
  issue: Issue,
  path: KeyPath,
  document: SpecDocument,
  problems: Problems,
  schema: z.ZodType,
  options: ShapeOptions,
): void {
  const written = document.written(path);
  const message =
    issue.message === UNTRANSLATED
      ? translate(issue, written, descriptionAt(schema, path, options), options.isSecret(path))
      : hideFilledIn(issue.message, document);
  const origin = issue.code === "invalid_key" ? document.locateKey(path) : document.locate(path);
  problems.error(origin, message);
}

/** A message of an adapter's schema may quote what it was given; what came from the environment stays there. */
function hideFilledIn(message: string, document: SpecDocument): string {
  let hidden = message;
  for (const [name, value] of document.filledIn) {
    for (const form of [value, JSON.stringify(value).slice(1, -1)]) {
      if (form.length > 3) hidden = hidden.replaceAll(form, () => `\${${name}}`);
    }
  }
  return hidden;
}

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a map (key: value)",
  record: "a map (key: value)",
  null: "null",
};

function translate(issue: Issue, written: Written, description: string | undefined, isSecret: boolean): string {
  if (written.kind === "absent") return `This is missing${description === undefined ? "." : `: ${description}`}`;
  const found = nameFound(written, isSecret);
  switch (issue.code) {
    case "invalid_type":
      return `Found ${found}; expected ${KINDS[issue.expected] ?? issue.expected}.${advise(written, [issue.expected], isSecret)}`;
    case "invalid_union": {
      const expected = issue.errors.flatMap((branch) =>
        branch.flatMap((inner) => (inner.code === "invalid_type" ? [inner.expected] : [])),
      );
      const kinds = [...new Set(expected.map((kind) => KINDS[kind] ?? kind))].join(" or ");
      return `Found ${found}; expected ${kinds}.${advise(written, expected, isSecret)}${description === undefined ? "" : ` (${description})`}`;
    }
    case "invalid_value": {
      const values = issue.values.map(String);
      const near = written.kind === "text" && !isSecret ? didYouMean(written.text, createSpeller(values)) : "";
      return `Found ${found}; expected ${values.length === 1 ? "" : "one of "}${values.join(", ")}.${near}`;
    }
    case "invalid_format":
      return issue.format === "date"
        ? `Found ${found}; expected a day that exists, as YYYY-MM-DD.`
        : `Found ${found}; expected ${issue.format === "regex" ? `text like ${issue.pattern ?? ""}` : issue.format}.`;
    case "too_small":
    case "too_big": {
      const limit = issue.code === "too_small" ? issue.minimum : issue.maximum;
      const word = issue.code === "too_small" ? "at least" : "at most";
      const unit = issue.origin === "string" ? " characters" : issue.origin === "array" ? " entries" : "";
      return `Found ${found}; expected ${word} ${limit}${unit}.`;
    }
    case "invalid_key":
      return issue.issues
        .map(({ message }) => (message === UNTRANSLATED ? "This key is not allowed." : message))
        .join(" ");
    default:
      return `Found ${found}, which does not fit here.${description === undefined ? "" : ` ${description}`}`;
  }
}

function nameFound(written: Written, isSecret: boolean): string {
  switch (written.kind) {
    case "absent":
    case "nothing":
      return "nothing";
    case "list":
      return "a list";
    case "map":
      return "a map";
    case "text":
      return isSecret ? "text" : `the text ${quote(written.text)}`;
    default: {
      const kind = written.kind === "other" ? "value" : written.kind;
      if (isSecret) return written.kind === "null" ? "null" : `a ${kind}`;
      const source = written.source === written.text || written.source === "" ? "" : ` (written ${written.source})`;
      return written.kind === "null" ? `null${source}` : `the ${kind} ${written.text}${source}`;
    }
  }
}

/** What would be right, where the mistake is a usual one. */
function advise(written: Written, expected: readonly string[], isSecret: boolean): string {
  const wants = (kind: string) => expected.includes(kind);
  if (written.kind === "nothing" && wants("array"))
    return " Write [] for an empty list, or leave the key out to leave it alone.";
  if (written.kind === "nothing" && (wants("object") || wants("record"))) return " Write {} for an empty map.";
  if (wants("string") && (written.kind === "number" || written.kind === "boolean"))
    return ` Put it in quotes to make it text${isSecret ? "" : `: ${JSON.stringify(written.source)}`}.`;
  if (wants("string") && written.kind === "null") return ' If it is meant as text, put it in quotes: "null".';
  if (written.kind === "text" && wants("boolean")) return " YAML 1.2 knows only true and false, without quotes.";
  if (written.kind === "text" && (wants("number") || wants("int")))
    return written.usesEnvironment ? " A value from the environment is always text." : " Write it without quotes.";
  if (written.kind === "text" && wants("array")) return " Put it in brackets to make it a list: [ … ].";
  return "";
}

/** The schemas that could stand at a path; several where there are alternatives. */
function schemasAt(schema: z.ZodType, path: KeyPath, options: ShapeOptions): readonly z.ZodType[] {
  let current = alternatives(schema);
  const own = options.schemaAt?.(path);
  path.forEach((key, index) => {
    current = current.flatMap((candidate) => alternatives(step(candidate, key)));
    if (own && own.from === index + 1) current = [...current, ...alternatives(own.schema)];
  });
  return current;
}

function alternatives(schema: unknown): readonly z.ZodType[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault) {
    return alternatives(schema.unwrap());
  }
  if (schema instanceof z.ZodReadonly) return alternatives(schema.unwrap());
  if (schema instanceof z.ZodPipe) return alternatives(schema.in);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => alternatives(option));
  return schema instanceof z.ZodType ? [schema] : [];
}

function step(schema: z.ZodType, key: string | number): unknown {
  if (schema instanceof z.ZodObject) return (schema.shape as Readonly<Record<string, unknown>>)[key];
  if (schema instanceof z.ZodRecord) return schema.valueType;
  if (schema instanceof z.ZodArray) return schema.element;
  return undefined;
}

function knownKeys(schema: z.ZodType, path: KeyPath, options: ShapeOptions): readonly string[] {
  const keys = schemasAt(schema, path, options).flatMap((candidate) =>
    candidate instanceof z.ZodObject ? Object.keys(candidate.shape) : [],
  );
  return [...new Set(keys)];
}

function descriptionAt(schema: z.ZodType, path: KeyPath, options: ShapeOptions): string | undefined {
  const parents = path.length === 0 ? [] : schemasAt(schema, path.slice(0, -1), options);
  const whole = parents.flatMap((parent) => {
    let part = step(parent, path.at(-1) ?? "");
    while (part instanceof z.ZodOptional || part instanceof z.ZodNullable) part = part.unwrap();
    return part instanceof z.ZodType ? [part] : [];
  });
  return [...whole, ...schemasAt(schema, path, options)].find(({ description }) => description !== undefined)
    ?.description;
}

interface Cuts {
  add(path: KeyPath): void;
  has(path: KeyPath): boolean;
  /** Whether something at, above or below the path is in it. */
  touches(path: KeyPath): boolean;
  isEverything(): boolean;
}

interface CutNode {
  here: boolean;
  readonly below: Map<string | number, CutNode>;
}

function createCuts(): Cuts {
  const newNode = (): CutNode => ({ here: false, below: new Map() });
  const root = newNode();
  const find = (path: KeyPath): { readonly node: CutNode | undefined; readonly above: boolean } => {
    let node: CutNode | undefined = root;
    let above = root.here;
    for (const key of path) {
      node = node?.below.get(key);
      above ||= node?.here ?? false;
    }
    return { node, above };
  };
  return {
    add: (path) => {
      let node = root;
      for (const key of path) {
        const next = node.below.get(key) ?? newNode();
        node.below.set(key, next);
        node = next;
      }
      node.here = true;
    },
    has: (path) => find(path).node?.here ?? false,
    touches: (path) => {
      const { node, above } = find(path);
      return above || node !== undefined;
    },
    isEverything: () => root.here,
  };
}

/** A copy without what is wrong, and the way back from its paths to the document's. */
function cutOut(value: Readonly<Record<string, unknown>>, cuts: Cuts, fallbacks: Readonly<Record<string, unknown>>) {
  const keptItems = new Map<string, readonly number[]>();
  const copy = (part: unknown, original: KeyPath, cut: KeyPath): unknown => {
    if (!cuts.touches(original) || typeof part !== "object" || part === null) return part;
    if (Array.isArray(part)) {
      const kept = [...part.keys()].filter((index) => !cuts.has([...original, index]));
      keptItems.set(JSON.stringify(cut), kept);
      return kept.map((index, position) => copy(part[index], [...original, index], [...cut, position]));
    }
    const entries = Object.entries(part).filter(([key]) => !cuts.has([...original, key]));
    return Object.fromEntries(entries.map(([key, inner]) => [key, copy(inner, [...original, key], [...cut, key])]));
  };
  const data = copy(value, [], []) as Record<string, unknown>;
  for (const [key, fallback] of Object.entries(fallbacks)) {
    if (cuts.has([key])) data[key] = fallback;
  }
  const originalOf = (path: KeyPath): KeyPath => {
    if (keptItems.size === 0) return path;
    return path.map((key, index) =>
      typeof key === "number" ? (keptItems.get(JSON.stringify(path.slice(0, index)))?.[key] ?? key) : key,
    );
  };
  return { data, originalOf };
}
