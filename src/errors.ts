/**
 * Every error of this project. One class with a stable `code`, one status → error function.
 *
 * An error says which provider and operation, the status and the request id, whether a retry can help, and what to
 * do. It never holds a secret, a header or a whole body: `serviceMessage` is short, stripped text.
 */
import type { ErrorSummary, SpecProblem } from "./model.js";

/** The stable codes. */
export type ErrorCode =
  /** The spec cannot be used; `problems` lists everything that is wrong. */
  | "spec-invalid"
  /** An option of a provider or of the command line is wrong. */
  | "options-invalid"
  /** A saved plan was changed, has expired, or is not for this spec. */
  | "plan-invalid"
  /** The credentials were refused. */
  | "unauthenticated"
  /** The credentials are good, but lack a right. */
  | "forbidden"
  | "not-found"
  /** The service refused the request as such (400, 422 and the like). */
  | "refused"
  /** Too much in one request (413). */
  | "too-large"
  /** Someone else changed the thing at the same time, or the version was stale. */
  | "conflict"
  /** A rate limit; `retryAt` says when to come back. */
  | "rate-limited"
  /** The service is down or faulty (5xx), or the whole tenant is suspended or unpaid. */
  | "unavailable"
  /** No connection, or it broke. */
  | "network"
  | "timeout"
  | "cancelled"
  /** The service's answer is not what its documents promise (HTML, broken JSON, a missing field). */
  | "bad-answer"
  /** The provider cannot do that. */
  | "unsupported"
  /** Another run is at work. */
  | "busy"
  /** A bug of ours. */
  | "internal";

/** What an error carries besides its message. */
export interface ErrorFacts {
  readonly provider?: string;
  readonly operation?: string;
  readonly status?: number;
  readonly requestId?: string;
  /** The service's own machine code, such as Genesys' `general.conflict`. */
  readonly serviceCode?: string;
  /** The field that the service complained about, where it names one. */
  readonly field?: string;
  /** Whether the same request may succeed later. */
  readonly retryable?: boolean;
  /** True: a write may or may not have taken effect; only reading can tell. */
  readonly outcomeUnknown?: boolean;
  /** Milliseconds since the epoch from which a retry makes sense. */
  readonly retryAt?: number;
  /** What the user can do. */
  readonly hint?: string;
}

/** Base of all errors of this project. */
export class GroupSyncError extends Error {
  override readonly name: string = "GroupSyncError";
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message);
    this.code = code;
    this.facts = facts;
  }
}

/** The spec cannot be used. Nothing was sent. */
export class SpecError extends GroupSyncError {
  override readonly name = "SpecError";
  readonly problems: readonly SpecProblem[];

  constructor(problems: readonly SpecProblem[]) {
    const errors = problems.filter((problem) => problem.severity === "error");
    const first = errors
      .slice(0, 3)
      .map(({ file, line, column, path, message }) => `${file}:${line}:${column}: ${path}: ${message}`);
    const more = errors.length > first.length ? [`and ${errors.length - first.length} more`] : [];
    const count = errors.length === 1 ? "an error" : `${errors.length} errors`;
    super("spec-invalid", [`The spec has ${count}; nothing was sent.`, ...first, ...more].join("\n"));
    this.problems = problems;
  }
}

/** Whether this is one of ours, with the given code if one is given. */
export function isGroupSyncError(error: unknown, code?: ErrorCode): error is GroupSyncError {
  return error instanceof GroupSyncError && (code === undefined || error.code === code);
}

/**
 * The error for an HTTP status ≥ 300. `write` tells whether the request could have changed something: a gateway's
 * 502, 503 or 504 and a 500 leave the outcome of a write unknown; a 4xx means it was not done.
 */
export function errorFromStatus(
  status: number,
  serviceMessage: string | undefined,
  facts: ErrorFacts & { readonly write: boolean },
): GroupSyncError {
  const { write, ...rest } = facts;
  const where = `${facts.provider ?? "The service"} answered ${status} to ${facts.operation ?? "a request"}`;
  const message = serviceMessage ? `${where}: ${serviceMessage}` : `${where}.`;
  const make = (code: ErrorCode, more: ErrorFacts = {}) =>
    new GroupSyncError(code, message, { ...rest, status, ...more });

  if (status < 400) {
    return make("bad-answer", {
      hint: "A redirect is not followed. Check the address: the right host, https, no extra path.",
    });
  }
  switch (status) {
    case 401:
      return make("unauthenticated", {
        hint: "Check the credentials of this provider: they are wrong, expired or revoked.",
      });
    case 402:
      return make("unavailable", { hint: "The account of this provider is unpaid or over its quota." });
    case 403:
      return make("forbidden", {
        hint: "The credentials are accepted, but lack a right; `group-sync check` says which.",
      });
    case 404:
    case 410:
      return make("not-found");
    case 408:
    case 425:
      return make("timeout", { retryable: true, outcomeUnknown: write });
    case 409:
    case 412:
      return make("conflict");
    case 413:
      return make("too-large");
    case 429:
      return make("rate-limited", { retryable: true });
    default:
      return status >= 500
        ? make("unavailable", { retryable: status !== 501, outcomeUnknown: write })
        : make("refused");
  }
}

/** The safe, short form of any error, for plans, reports and machine output. */
export function summarizeError(error: unknown): ErrorSummary {
  if (!(error instanceof GroupSyncError)) {
    return {
      code: "internal",
      message: error instanceof Error ? error.message : "Something that is not an error was thrown.",
    };
  }
  const { status, requestId, hint, retryAt } = error.facts;
  return {
    code: error.code,
    message: error.message,
    ...(hint !== undefined && { hint }),
    ...(status !== undefined && { status }),
    ...(requestId !== undefined && { requestId }),
    ...(retryAt !== undefined && { retryAt: new Date(retryAt).toISOString() }),
  };
}
