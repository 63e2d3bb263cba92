/**
 * The query grammar of BrainSTEM's lists: `filter{}`, `sort[]`, `limit`/`offset`, `page`/`per_page`.
 *
 * It is dynamic-rest's (sheet §1 and §2, "Query grammar"); nothing here knows what a group is.
 */

/** An answer that is not a success; thrown anywhere below the router, which sends it. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly body: unknown,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(`refused with ${status}`);
  }
}

type FieldValue = number | string | boolean;

/** A field that may be filtered and sorted by. `foldCase`: exact comparison ignores case. */
export interface Field<Row> {
  readonly type: "number" | "text" | "flag";
  readonly read: (row: Row) => FieldValue;
  readonly foldCase?: boolean;
}

type Fields<Row> = Readonly<Record<string, Field<Row>>>;

/** One `filter{}` of a request. Several are joined with AND. */
interface Filter {
  readonly field: string;
  readonly operator: string;
  readonly negated: boolean;
  readonly values: readonly string[];
}

const operators = new Set([
  "eq",
  "iexact",
  "in",
  "contains",
  "icontains",
  "startswith",
  "istartswith",
  "endswith",
  "iendswith",
  "gt",
  "gte",
  "lt",
  "lte",
  "range",
  "isnull",
  "regex",
  "iregex",
]);

/** The filters of a request. A malformed key or an unknown field is a 400 (sheet §5). */
export function parseFilters<Row>(parameters: URLSearchParams, fields: Fields<Row>): readonly Filter[] {
  const filters: Filter[] = [];
  for (const key of new Set(parameters.keys())) {
    if (!key.startsWith("filter{")) continue;
    const [, sign, inner = ""] = /^filter\{(-?)([^{}]+)\}$/.exec(key) ?? [];
    if (sign === undefined) throw new Refusal(400, { detail: `"${key}" is not a well-formed filter key.` });
    const dot = inner.lastIndexOf(".");
    const suffix = inner.slice(dot + 1);
    const hasOperator = dot > 0 && operators.has(suffix);
    const field = hasOperator ? inner.slice(0, dot) : inner;
    if (!Object.hasOwn(fields, field)) throw new Refusal(400, [`Invalid filter field: ${inner}`]);
    const operator = hasOperator ? suffix : "eq";
    const given = parameters.getAll(key);
    // dynamic-rest takes the first value of a repeated filter, except where the operator wants a list.
    const takesList = operator === "in" || operator === "range";
    filters.push({
      field,
      operator,
      negated: sign === "-",
      values: takesList ? given.flatMap((value) => value.split(",")) : given.slice(0, 1),
    });
  }
  return filters;
}

function parseNumber(field: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw new Refusal(400, [`Field '${field}' expected a number but got '${text}'.`]);
  }
  return value;
}

function parseFlag(text: string): boolean {
  return !["", "0", "false", "no"].includes(text.toLowerCase());
}

function order(left: FieldValue, right: FieldValue): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** A test of one row by one filter. Values are parsed once, so that a bad one is a 400 even on an empty list. */
function buildTest<Row>(filter: Filter, field: Field<Row>): (row: Row) => boolean {
  const fold = (value: FieldValue): FieldValue =>
    field.foldCase === true && typeof value === "string" ? value.toLowerCase() : value;
  const parse = (text: string): FieldValue => {
    if (field.type === "number") return parseNumber(filter.field, text);
    return field.type === "flag" ? parseFlag(text) : text;
  };
  const first = filter.values[0] ?? "";
  const text = (row: Row) => String(field.read(row));
  const lower = first.toLowerCase();
  switch (filter.operator) {
    case "iexact":
      return (row) => text(row).toLowerCase() === lower;
    case "in": {
      const wanted = new Set(filter.values.map((value) => fold(parse(value))));
      return (row) => wanted.has(fold(field.read(row)));
    }
    case "contains":
      return (row) => text(row).includes(first);
    case "icontains":
      return (row) => text(row).toLowerCase().includes(lower);
    case "startswith":
      return (row) => text(row).startsWith(first);
    case "istartswith":
      return (row) => text(row).toLowerCase().startsWith(lower);
    case "endswith":
      return (row) => text(row).endsWith(first);
    case "iendswith":
      return (row) => text(row).toLowerCase().endsWith(lower);
    case "isnull":
      // No field of these models is ever null.
      return () => !parseFlag(first);
    case "regex":
    case "iregex": {
      let pattern: RegExp;
      try {
        pattern = new RegExp(first, filter.operator === "iregex" ? "iu" : "u");
      } catch {
        throw new Refusal(400, [`invalid regular expression: ${first}`]);
      }
      return (row) => pattern.test(text(row));
    }
    case "range": {
      const from = parse(filter.values[0] ?? "");
      const to = parse(filter.values[1] ?? "");
      return (row) => order(field.read(row), from) >= 0 && order(field.read(row), to) <= 0;
    }
    default: {
      const wanted = parse(first);
      const folded = fold(wanted);
      if (filter.operator === "gt") return (row) => order(field.read(row), wanted) > 0;
      if (filter.operator === "gte") return (row) => order(field.read(row), wanted) >= 0;
      if (filter.operator === "lt") return (row) => order(field.read(row), wanted) < 0;
      if (filter.operator === "lte") return (row) => order(field.read(row), wanted) <= 0;
      return (row) => fold(field.read(row)) === folded;
    }
  }
}

/** The rows that pass every filter. */
export function filterRows<Row>(rows: Iterable<Row>, filters: readonly Filter[], fields: Fields<Row>): Row[] {
  const tests = filters.flatMap((filter) => {
    const field = fields[filter.field];
    return field ? [{ negated: filter.negated, test: buildTest(filter, field) }] : [];
  });
  const kept: Row[] = [];
  for (const row of rows) if (tests.every(({ negated, test }) => test(row) !== negated)) kept.push(row);
  return kept;
}

/** Sorts in place by the request's `sort[]`; rows that it does not tell apart stay as they were. */
export function sortRows<Row>(rows: Row[], parameters: URLSearchParams, fields: Fields<Row>): void {
  const keys = parameters.getAll("sort[]").map((name) => {
    const bare = name.replace(/^-/, "");
    const field = Object.hasOwn(fields, bare) ? fields[bare] : undefined;
    if (!field) throw new Refusal(400, [`Invalid filter field: ${bare}`]);
    return { field, direction: name.startsWith("-") ? -1 : 1 };
  });
  if (keys.length === 0) return;
  rows.sort((left, right) => {
    for (const { field, direction } of keys) {
      const compared = order(field.read(left), field.read(right));
      if (compared !== 0) return compared * direction;
    }
    return 0;
  });
}

/** The candidates that `filter{field}=…` or `filter{field.in}=…` can match, for rows that have an index on that field. */
export function exactValues(filters: readonly Filter[], field: string): readonly string[] | undefined {
  const filter = filters.find(
    (candidate) =>
      candidate.field === field && !candidate.negated && ["eq", "iexact", "in"].includes(candidate.operator),
  );
  return filter?.values;
}

/** Page size when none is asked for, and the most that is granted (sheet §4). */
const defaultPageSize = 20;
const maxPageSize = 100;

/** Which rows a request asks for. `page` counts from 1. */
interface Page {
  readonly offset: number;
  readonly size: number;
  readonly page: number;
  readonly totalPages: number;
}

/** A whole number ≥ `least`, or undefined for anything else: DRF falls back to its default without a word. */
function readWhole(text: string | null, least: number): number | undefined {
  const value = text !== null && /^\d+$/.test(text) ? Number(text) : undefined;
  return value !== undefined && value >= least ? value : undefined;
}

/**
 * The page asked for under the switch `paging`. A page number past the end is a 404 "Invalid page.";
 * an offset past the end is an empty list. Where a request gives both, `offset` decides.
 */
export function readPage(parameters: URLSearchParams, paging: string | number, total: number): Page {
  const readsOffset = paging !== "pageOnly";
  const readsPage = paging !== "limitOffset";
  const limit = readsOffset ? readWhole(parameters.get("limit"), 1) : undefined;
  const perPage = readsPage ? readWhole(parameters.get("per_page"), 1) : undefined;
  const size = Math.min(limit ?? perPage ?? defaultPageSize, maxPageSize);
  const totalPages = Math.max(1, Math.ceil(total / size));
  const offset = readsOffset && parameters.has("offset") ? (readWhole(parameters.get("offset"), 0) ?? 0) : undefined;
  if (offset !== undefined) return { offset, size, page: Math.floor(offset / size) + 1, totalPages };
  if (!readsPage || !parameters.has("page")) return { offset: 0, size, page: 1, totalPages };
  const page = readWhole(parameters.get("page"), 1);
  if (page === undefined || page > totalPages) throw new Refusal(404, { detail: "Invalid page." });
  return { offset: (page - 1) * size, size, page, totalPages };
}

/** The withdrawn `{count,next,previous}` beside the list (switch `count`). Links are relative to the request. */
export function pageLinks(parameters: URLSearchParams, paging: string | number, page: Page, total: number) {
  const link = (step: number) => {
    const target = new URLSearchParams(parameters);
    if (paging === "pageOnly") {
      target.set("page", String(page.page + step));
    } else {
      target.set("limit", String(page.size));
      target.set("offset", String(Math.max(0, page.offset + step * page.size)));
    }
    return `?${target.toString()}`;
  };
  return {
    count: total,
    next: page.offset + page.size < total ? link(1) : null,
    previous: page.offset > 0 ? link(-1) : null,
  };
}
