/** The search language shared by group search, user search and general search (sheet §7). */
import { z } from "zod";
import { badRequest, checkBody, invalidValue } from "./answers.js";
import { compare } from "./organisation.js";

const groupTypes = [
  "EXACT",
  "STARTS_WITH",
  "CONTAINS",
  "REGEX",
  "TERM",
  "TERMS",
  "REQUIRED_FIELDS",
  "MATCH_ALL",
] as const;
const userTypes = [
  ...groupTypes,
  "QUERY_STRING",
  "RANGE",
  "LESS_THAN",
  "LESS_THAN_EQUAL_TO",
  "GREATER_THAN",
  "GREATER_THAN_EQUAL_TO",
] as const;

export interface Criterion {
  readonly type: string;
  readonly value?: string | undefined;
  readonly values?: readonly string[] | undefined;
  readonly fields?: readonly string[] | undefined;
  readonly operator?: string | undefined;
  readonly group?: readonly Criterion[] | undefined;
  readonly startValue?: string | undefined;
  readonly endValue?: string | undefined;
}

function requestSchema(types: readonly string[]) {
  const criterion: z.ZodType<Criterion> = z.object({
    type: z.enum(types),
    value: z.string().optional(),
    values: z.array(z.string()).optional(),
    fields: z.array(z.string()).optional(),
    operator: z.enum(["AND", "OR", "NOT"]).optional(),
    get group() {
      return z.array(criterion).optional();
    },
    startValue: z.string().optional(),
    endValue: z.string().optional(),
  });
  return z.looseObject({
    pageSize: z.number().int().optional(),
    pageNumber: z.number().int().optional(),
    sortOrder: z.enum(["ASC", "DESC", "SCORE"]).optional(),
    sortBy: z.string().optional(),
    types: z.array(z.string()).optional(),
    expand: z.array(z.string()).optional(),
    integrationPresenceSource: z.string().optional(),
    query: z.array(criterion).optional(),
  });
}

const groupRequest = requestSchema(groupTypes);
const userRequest = requestSchema(userTypes);
export type SearchRequest = z.infer<typeof userRequest>;

/** Checks a search request; groups know only the first eight types of criteria. */
export function parseSearch(kind: "groups" | "users", body: unknown): SearchRequest {
  return checkBody(kind === "groups" ? groupRequest : userRequest, body ?? {});
}

/** A request as the one text in which `nextPage` and the GET searches carry it. */
export function encodeQ64(request: SearchRequest): string {
  return Buffer.from(JSON.stringify(request)).toString("base64");
}

export function decodeQ64(text: string | undefined): unknown {
  if (!text) throw badRequest("q64 is required.");
  try {
    return JSON.parse(Buffer.from(text, "base64").toString("utf8")) as unknown;
  } catch {
    throw invalidValue(text, "q64");
  }
}

/** Every criterion of a request, those in groups included. */
export function allCriteria(criteria: readonly Criterion[] = []): readonly Criterion[] {
  return criteria.flatMap((criterion) => [criterion, ...allCriteria(criterion.group)]);
}

type Fields = Readonly<Record<string, unknown>>;

function textOf(record: Fields, field: string): string | undefined {
  const value = record[field];
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined;
}

/** Criteria are ANDed; one with the operator OR makes its row of OR enough, one with NOT must not hold. */
export function matchesQuery(record: Fields, query: readonly Criterion[] = [], caseSensitive = false): boolean {
  const anyOf = query.filter((criterion) => criterion.operator === "OR");
  const holds = (criterion: Criterion) => matchesCriterion(record, criterion, caseSensitive);
  return (
    query.every((criterion) => {
      if (criterion.operator === "OR") return true;
      return holds(criterion) !== (criterion.operator === "NOT");
    }) &&
    (anyOf.length === 0 || anyOf.some(holds))
  );
}

function matchesCriterion(record: Fields, criterion: Criterion, caseSensitive: boolean): boolean {
  if (criterion.group) return matchesQuery(record, criterion.group, caseSensitive);
  if (criterion.type === "MATCH_ALL") return true;
  const fields = criterion.fields ?? [];
  if (criterion.type === "REQUIRED_FIELDS") return fields.every((field) => textOf(record, field) !== undefined);
  const wanted = [...(criterion.value === undefined ? [] : [criterion.value]), ...(criterion.values ?? [])];
  const asWritten = criterion.type === "REGEX" || (caseSensitive && criterion.type === "EXACT");
  const fold = (text: string) => (asWritten ? text : text.toLowerCase());
  return fields.some((field) => {
    const text = textOf(record, field);
    if (text === undefined) return false;
    const have = fold(text);
    if (!wanted.length) return inRange(text, criterion);
    return wanted.some((value) => matchesText(have, fold(value), criterion.type));
  });
}

function inRange(text: string, { type, startValue, endValue }: Criterion): boolean {
  if (type !== "RANGE" || (startValue === undefined && endValue === undefined)) return false;
  return (startValue === undefined || text >= startValue) && (endValue === undefined || text <= endValue);
}

function matchesText(have: string, value: string, type: string): boolean {
  switch (type) {
    case "EXACT":
      return have === value;
    case "STARTS_WITH":
      return have.startsWith(value);
    case "CONTAINS":
    case "QUERY_STRING":
      return have.includes(value);
    case "TERM":
    case "TERMS":
      return have.split(/[^\p{L}\p{N}]+/u).includes(value);
    case "REGEX":
      return safeRegex(value).test(have);
    case "LESS_THAN":
      return have < value;
    case "LESS_THAN_EQUAL_TO":
      return have <= value;
    case "GREATER_THAN":
      return have > value;
    case "GREATER_THAN_EQUAL_TO":
      return have >= value;
    default:
      return false;
  }
}

function safeRegex(pattern: string): RegExp {
  try {
    return new RegExp(`^(?:${pattern})$`, "iu");
  } catch {
    throw invalidValue(pattern, "regular expression");
  }
}

/** Orders hits by a field of theirs; SCORE leaves the order of the index. */
export function sortHits<T extends Fields>(hits: T[], request: SearchRequest, sortBy: string): T[] {
  if (request.sortOrder === "SCORE") return hits;
  const field = request.sortBy ?? sortBy;
  const sign = request.sortOrder === "DESC" ? -1 : 1;
  return hits.sort((left, right) => sign * compare(textOf(left, field) ?? "", textOf(right, field) ?? ""));
}
