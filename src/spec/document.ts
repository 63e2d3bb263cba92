/**
 * A YAML (or JSON) text as plain data in which every value can be found again by file, line and column.
 *
 * The data is made from the syntax tree here instead of by the YAML library, because keys that are not text, doubled
 * keys, aliases that multiply and `${NAME}` all have to be told with their place. Sections that start with `x-` are
 * for anchors only: they are not part of the data.
 */
import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  visit,
  type YAMLError,
  type YAMLMap,
} from "yaml";
import { type KeyPath, type Origin, type Problems, quote, renderPath } from "./problems.js";

/** Where environment variables come from. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A text that was read. */
export interface SpecDocument {
  /** Plain data, `${NAME}` filled in. A value that could not be filled in is left as it was written. */
  readonly value: Readonly<Record<string, unknown>>;
  /** Where a value stands. Of a value that is missing: where its parent stands. */
  readonly locate: (path: KeyPath) => Origin;
  /** Where a key stands. */
  readonly locateKey: (path: KeyPath) => Origin;
  /** What was written there, before `${NAME}` was filled in. */
  readonly written: (path: KeyPath) => Written;
  /** Values that could not be read, such as a `${NAME}` that is not set; `problems` has them already. */
  readonly unfilled: readonly KeyPath[];
  /** Everything that came from the environment, by name: it must not show in a message. */
  readonly filledIn: ReadonlyMap<string, string>;
}

/** What stands at a place. */
export type Written =
  | { readonly kind: "absent" | "nothing" | "list" | "map" }
  | { readonly kind: "text"; readonly text: string; readonly usesEnvironment: boolean }
  | { readonly kind: "number" | "boolean" | "null" | "other"; readonly text: string; readonly source: string };

/** Values that aliases may add to a file. More is an alias bomb. */
const MAX_ALIASED_VALUES = 1_000_000;
const MAX_DEPTH = 50;
const MAX_SYNTAX_ERRORS = 20;
/** Stands for a reference that was told already. Not a character, so it is in no text. */
const BLANK = "\uffff";
const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{[^}\n]*\}?/g;

/** Reads a text. Undefined when it cannot be understood at all; `problems` says why. */
export function readDocument(
  text: string,
  file: string,
  environment: Environment,
  problems: Problems,
): SpecDocument | undefined {
  const start: Origin = { file, line: 1, column: 1, path: "" };
  const content = text.replace(/^\uFEFF/, "");
  if (content.trim() === "") {
    problems.error(start, "The file is empty. `group-sync init` writes a commented one to start from.");
    return undefined;
  }
  if (content.includes("\u0000")) {
    problems.error(start, "This is not a text file, or not UTF-8. Save it as YAML or JSON in UTF-8.");
    return undefined;
  }
  const parsed = parseText(content, file, problems);
  if (!parsed) return undefined;
  const { document, lines } = parsed;
  const root = document.contents;
  if (!isMap(root)) {
    const found = root === null || (isScalar(root) && root.value === null) ? "nothing but comments" : wordFor(root);
    problems.error(
      root?.range ? placeAt(lines, file, root.range[0], []) : start,
      `Found ${found}; a spec is a map of sections: version, mode, providers, people, groups.`,
    );
    return undefined;
  }
  return readTree(root, findAnchors(root), lines, file, environment, problems);
}

function parseText(text: string, file: string, problems: Problems) {
  let current = text;
  // An unquoted ${NAME} inside { } breaks the syntax from there on. Each is told, blanked out at the same length and
  // the text is read again, so that everything after it is checked at its true place.
  for (;;) {
    const lines = new LineCounter();
    const document = parseDocument(current, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      merge: false,
      stringKeys: false,
    });
    const bare = document.errors.flatMap((error) => findBareReference(current, error.pos[0]) ?? []);
    if (bare.length === 0) {
      reportSyntax(document.errors, document.warnings, lines, file, current, problems);
      return document.errors.length === 0 ? { document, lines } : undefined;
    }
    for (const { start, name } of bare) {
      problems.error(
        placeAt(lines, file, start, []),
        `Inside { } or [ ], YAML wants quotes around a reference: "\${${name}}".`,
      );
      const end = start + name.length + 3;
      current = `${current.slice(0, start)}${BLANK.repeat(end - start)}${current.slice(end)}`;
    }
  }
}

function findBareReference(text: string, position: number) {
  if (text[position] !== "{" || text[position - 1] !== "$") return undefined;
  const name = /^\{([A-Za-z_][A-Za-z0-9_]*)\}/.exec(text.slice(position, position + 200))?.[1];
  return name === undefined ? undefined : { start: position - 1, name };
}

function reportSyntax(
  errors: readonly YAMLError[],
  warnings: readonly YAMLError[],
  lines: LineCounter,
  file: string,
  text: string,
  problems: Problems,
): void {
  const tooDeep = errors.find(({ code }) => code === "RESOURCE_EXHAUSTION");
  const seen = new Set<number>();
  for (const error of tooDeep ? [tooDeep] : errors) {
    const origin = placeAt(lines, file, error.pos[0], []);
    // What follows on the same line is nearly always a consequence of the first.
    if (seen.has(origin.line) || seen.size === MAX_SYNTAX_ERRORS) continue;
    seen.add(origin.line);
    problems.error(origin, explainSyntax(error, text));
  }
  for (const warning of warnings) {
    const tag = warning.code === "TAG_RESOLVE_FAILED" ? "YAML tags (!…) have no meaning here. " : "";
    problems.error(placeAt(lines, file, warning.pos[0], []), `${tag}${warning.message}.`);
  }
}

function explainSyntax(error: YAMLError, text: string): string {
  switch (error.code) {
    case "RESOURCE_EXHAUSTION":
      return "The file is nested too deeply.";
    case "TAB_AS_INDENT":
      return "Found a tab as indentation; YAML takes spaces only.";
    case "MULTIPLE_DOCS":
      return "Found a second document (---); a spec is one document. Split it into files, or join them.";
    case "BAD_SCALAR_START":
      return `Found ${quote(text[error.pos[0]] ?? "")}, which YAML keeps for itself; put the value in quotes.`;
    case "BLOCK_AS_IMPLICIT_KEY":
      return 'Found a second ": " in one line; put a value that contains one in quotes, or a nested key on its own line.';
    default:
      return `Not valid YAML: ${error.message.replace(/\.$/, "")}.`;
  }
}

function placeAt(lines: LineCounter, file: string, offset: number, path: KeyPath): Origin {
  const { line, col } = lines.linePos(offset);
  // An empty counter answers 0.
  return { file, line: Math.max(line, 1), column: Math.max(col, 1), path: renderPath(path) };
}

/** What each alias stands for: the anchor of that name that came last before it. */
function findAnchors(root: Node): ReadonlyMap<Alias, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(root, {
    Node: (_, node) => {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target) targets.set(node, target);
      } else if ("anchor" in node && typeof node.anchor === "string") anchors.set(node.anchor, node);
    },
  });
  return targets;
}

interface Entry {
  readonly key: Node;
  readonly value: Node | null;
}

function readTree(
  root: YAMLMap,
  targets: ReadonlyMap<Alias, Node>,
  lines: LineCounter,
  file: string,
  environment: Environment,
  problems: Problems,
): SpecDocument | undefined {
  const entriesOf = new Map<YAMLMap, ReadonlyMap<string, Entry>>();
  const unfilled: KeyPath[] = [];
  const filledIn = new Map<string, string>();
  let aliased = 0;

  const at = (node: Node, path: KeyPath): Origin => placeAt(lines, file, node.range?.[0] ?? 0, path);

  function follow(node: unknown): Node | null {
    let current = node;
    while (isAlias(current)) current = targets.get(current) ?? null;
    return (current ?? null) as Node | null;
  }

  /** The entries of a map by key, merged ones (`<<`) included; says what is wrong with its keys the first time. */
  function readEntries(map: YAMLMap, path: KeyPath): ReadonlyMap<string, Entry> {
    const known = entriesOf.get(map);
    if (known) return known;
    const entries = new Map<string, Entry>();
    entriesOf.set(map, entries);
    const merged: Entry[] = [];
    for (const pair of map.items as readonly Pair<Node, Node | null>[]) {
      const key = readKey(pair.key, path);
      if (key === undefined) continue;
      const entry = { key: pair.key, value: pair.value };
      const first = entries.get(key);
      if (key === "<<" && isScalar(pair.key) && pair.key.type === "PLAIN") merged.push(entry);
      else if (first) {
        const { line } = at(first.key, path);
        problems.error(
          at(pair.key, [...path, key]),
          `The key ${quote(key)} stands here a second time (first in line ${line}); YAML would drop one of the two. Join them.`,
        );
      } else entries.set(key, entry);
    }
    for (const { key, value } of merged) {
      const source = follow(value);
      for (const part of isSeq(source) ? source.items.map(follow) : [source]) {
        if (!isMap(part)) problems.error(at(key, path), "`<<` merges a map (or a list of maps); found something else.");
        else for (const [name, entry] of readEntries(part, path)) if (!entries.has(name)) entries.set(name, entry);
      }
    }
    return entries;
  }

  function readKey(node: unknown, path: KeyPath): string | undefined {
    const key = follow(node);
    if (!isScalar(key)) {
      const place = key ? at(key, path) : at(root, path);
      problems.error(place, `Found ${wordFor(key)} as a key; a key is text. (A value such as \${NAME} wants quotes.)`);
      return undefined;
    }
    if (typeof key.value === "string" && key.value !== "__proto__") {
      if (key.value.includes("${")) {
        problems.error(at(key, [...path, key.value]), "References (${NAME}) are filled in values, never in keys.");
      }
      return key.value;
    }
    const source = key.source ?? String(key.value);
    problems.error(
      at(key, [...path, source]),
      key.value === "__proto__"
        ? "`__proto__` cannot be a key; choose another word."
        : `YAML reads the key ${source === "" ? "that is empty" : source} as ${wordFor(key)}; a key is text. Put it in quotes: ${JSON.stringify(source)}.`,
    );
    return source === "__proto__" ? undefined : source;
  }

  function convert(given: unknown, path: KeyPath, open: readonly Node[], viaAlias: boolean): unknown {
    const node = follow(given);
    const isAliased = viaAlias || isAlias(given);
    if (isAlias(given) && node === null) {
      problems.error(at(given, path), `No anchor &${given.source} stands before this *${given.source}.`);
      unfilled.push(path);
      return null;
    }
    if (isAliased && ++aliased > MAX_ALIASED_VALUES) {
      if (aliased === MAX_ALIASED_VALUES + 1) {
        problems.error(
          at(given as Node, path.slice(0, 2)),
          `The aliases (*) of this file stand for more than ${MAX_ALIASED_VALUES} values; write less of them.`,
        );
      }
      return null;
    }
    if (node === null) return null;
    if (isScalar(node)) return readScalar(node, path);
    if (open.includes(node)) {
      problems.error(at(given as Node, path), "This alias (*) contains itself.");
      unfilled.push(path);
      return null;
    }
    if (open.length >= MAX_DEPTH) {
      problems.error(at(node, path.slice(0, 3)), "The file is nested too deeply.");
      return null;
    }
    const inside = [...open, node];
    if (isSeq(node)) return node.items.map((item, index) => convert(item, [...path, index], inside, isAliased));
    const value: Record<string, unknown> = {};
    for (const [key, entry] of readEntries(node as YAMLMap, path)) {
      if (path.length === 0 && key.startsWith("x-")) continue;
      value[key] = convert(entry.value, [...path, key], inside, isAliased);
    }
    return value;
  }

  function readScalar(node: Scalar, path: KeyPath): unknown {
    const { value, source } = node;
    if (typeof value === "string") return fillIn(value, node, path);
    if (value === null || typeof value === "boolean" || typeof value === "number") return value;
    // Dates, binary and the like, which only an old %YAML directive or a tag brings about.
    return fillIn(source ?? "", node, path);
  }

  function fillIn(text: string, node: Scalar, path: KeyPath): string {
    if (text.includes(BLANK)) unfilled.push(path);
    if (!text.includes("${")) return text;
    let complete = true;
    const filled = text.replace(REFERENCE, (match: string, name: string | undefined) => {
      if (match === "$${") return "${";
      const value = name === undefined ? undefined : environment[name];
      if (value) {
        filledIn.set(name ?? "", value);
        return value;
      }
      complete = false;
      problems.error(at(node, path), explainReference(match, name, value));
      return match;
    });
    if (!complete) unfilled.push(path);
    return complete ? filled : text;
  }

  function find(path: KeyPath): { readonly key?: Node; readonly value: Node | null; readonly found: boolean } {
    let key: Node | undefined;
    let value: Node | null = root;
    for (const step of path) {
      const node: Node | null = follow(value);
      const entry = isMap(node) && typeof step === "string" ? readEntries(node, []).get(step) : undefined;
      const item = isSeq(node) && typeof step === "number" ? node.items[step] : undefined;
      if (entry) {
        key = entry.key;
        value = entry.value;
      } else if (item !== undefined) {
        key = undefined;
        value = item as Node;
      } else return { ...(key && { key }), value, found: false };
    }
    return { ...(key && { key }), value, found: true };
  }

  function locate(path: KeyPath): Origin {
    const { key, value, found } = find(path);
    // Of a key without a value, or of a value that is not there, the nearest thing to point at is a key.
    const isEmpty = value === null || (isScalar(value) && value.value === null && (value.source ?? "") === "");
    return at((found && !isEmpty ? value : (key ?? value)) ?? root, path);
  }

  function written(path: KeyPath): Written {
    const { value, found } = find(path);
    if (!found) return { kind: "absent" };
    const node = follow(value);
    if (isMap(node)) return { kind: "map" };
    if (isSeq(node)) return { kind: "list" };
    if (!isScalar(node)) return { kind: "nothing" };
    const source = node.source ?? "";
    if (typeof node.value === "string") {
      return { kind: "text", text: node.value, usesEnvironment: /(^|[^$])\$\{|\uffff/.test(node.value) };
    }
    if (node.value === null) return source === "" ? { kind: "nothing" } : { kind: "null", text: "null", source };
    if (typeof node.value === "number") return { kind: "number", text: String(node.value), source };
    if (typeof node.value === "boolean") return { kind: "boolean", text: String(node.value), source };
    return { kind: "other", text: source, source };
  }

  const value = convert(root, [], [], false) as Record<string, unknown>;
  if (aliased > MAX_ALIASED_VALUES) return undefined;
  return {
    value,
    locate,
    locateKey: (path) => {
      const { key, value: node, found } = find(path);
      return at((found ? (key ?? node) : node) ?? root, path);
    },
    written,
    unfilled,
    filledIn,
  };
}

function explainReference(match: string, name: string | undefined, value: string | undefined): string {
  if (name === undefined) {
    return `${quote(match)} is not a reference that is understood here; only \${NAME} is (letters, digits, _), without defaults. To write the text itself, double the sign: $\${.`;
  }
  return value === undefined
    ? `The environment variable ${name} is not set.`
    : `The environment variable ${name} is set, but empty.`;
}

function wordFor(node: unknown): string {
  if (isMap(node)) return "a map";
  if (isSeq(node)) return "a list";
  if (!isScalar(node) || node.value === null) return "nothing";
  switch (typeof node.value) {
    case "number":
      return "a number";
    case "boolean":
      return "true or false";
    case "string":
      return "text";
    default:
      return "something that is not text";
  }
}
