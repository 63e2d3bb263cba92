/**
 * The error bodies of the Platform API (sheet §5) and of its token endpoint, and the reading of request bodies:
 * what a handler throws when it refuses.
 */
import type { Context } from "hono";
import type { z } from "zod";

/** The limit of a request body, `request.bytes.max` (sheet §4). */
const maxRequestBytes = 512_000;

/** A refusal on its way to the client: `body` is sent with `status`. */
export class GenesysRefusal extends Error {
  override readonly name = "GenesysRefusal";
  constructor(
    readonly status: number,
    readonly body: Readonly<Record<string, unknown>>,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(`${status} ${JSON.stringify(body)}`);
  }
}

/** The vendor's ErrorBody, but for the contextId, which the answer adds. */
export function errorBody(
  status: number,
  code: string,
  message: string,
  extra: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  return { message, code, status, ...extra, details: [], errors: [] };
}

export function refusal(
  status: number,
  code: string,
  message: string,
  extra: Readonly<Record<string, unknown>> = {},
): GenesysRefusal {
  return new GenesysRefusal(status, errorBody(status, code, message, extra));
}

/** A refusal of the token endpoint, which has another shape (sheet §1). */
export function tokenRefusal(status: number, error: string, description: string): GenesysRefusal {
  return new GenesysRefusal(status, { error, error_description: description });
}

export function badRequest(message: string): GenesysRefusal {
  return refusal(400, "bad.request", message);
}

export function invalidValue(value: unknown, type: string): GenesysRefusal {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "null");
  return refusal(400, "invalid.value", `Value [${text}] is not valid for field type [${type}].`, {
    messageWithParams: "Value [{value}] is not valid for field type [{type}].",
    messageParams: { value: text, type },
  });
}

export function missingPermission(...permissions: readonly string[]): GenesysRefusal {
  const list = permissions.join(", ");
  const [code, words] =
    permissions.length > 1
      ? ["missing.any.permissions", "at least one of the following permissions"]
      : ["missing.permissions", "the following permission(s)"];
  return refusal(403, code, `Unable to perform the requested action. You are missing ${words}: ${list}`, {
    messageWithParams: `Unable to perform the requested action. You are missing ${words}: {permissions}`,
    messageParams: { permissions: list },
  });
}

/** The 429 of all APIs since 2021-11-10 (sheet §4); search has a code of its own. */
export function rateLimitAnswer(retryAfterSeconds: number | undefined, search = false): Record<string, unknown> {
  const retry = retryAfterSeconds === undefined ? "" : `. Retry the request in [${retryAfterSeconds}] seconds`;
  const code = search ? "too.many.search.requests" : "too.many.requests.retry.after";
  return { ...errorBody(429, code, `Rate limit exceeded the maximum${retry}`) };
}

export function serverErrorAnswer(status: number): Readonly<Record<string, unknown>> {
  if (status === 503 || status === 502) return errorBody(status, "service.unavailable", "Service Unavailable");
  if (status === 504) return errorBody(status, "request.timeout", "The request timed out.");
  return errorBody(status, "internal.server.error", "The server encountered an unexpected condition.");
}

/** The JSON body of a request; undefined when there is none. Refuses what the API refuses before looking at it. */
export async function readJson(context: Context): Promise<unknown> {
  const text = await context.req.text();
  if (Buffer.byteLength(text) > maxRequestBytes) {
    const message = `The request is over the size limit. Maximum bytes: ${maxRequestBytes}`;
    throw refusal(413, "request.entity.too.large", message);
  }
  if (text === "") return undefined;
  if (!/^application\/([\w.-]+\+)?json\b/i.test(context.req.header("content-type") ?? "")) {
    throw refusal(415, "unsupported.media.type", "Content-Type must be application/json.");
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw badRequest("The request could not be understood by the server due to malformed syntax.");
  }
}

/** Checks a body against its model; what does not fit is the vendor's `invalid.value` with the field's name. */
export function checkBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const path = issue?.path.map(String) ?? [];
  let value: unknown = body;
  for (const key of path) value = (value as Record<string, unknown> | null | undefined)?.[key];
  const refused = invalidValue(value ?? null, issue && "expected" in issue ? String(issue.expected) : "enum");
  const details = [{ errorCode: "invalid.value", fieldName: path.join(".") }];
  throw new GenesysRefusal(400, { ...refused.body, details });
}
