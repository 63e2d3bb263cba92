/**
 * The HTTP client of all adapters. axios lives here and nowhere else, set so that it cannot be led astray: no
 * redirects, no absolute addresses, no proxy from the environment, bounded bodies, a deadline beside the idle
 * timeout. Whatever axios throws is turned into our own error at once, because an AxiosError carries the token.
 */
import { createHash } from "node:crypto";
import { setMaxListeners } from "node:events";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import axios, { type AxiosInstance, isAxiosError } from "axios";
import { type ErrorCode, type ErrorFacts, errorFromStatus, GroupSyncError, isGroupSyncError } from "../errors.js";
import type { ProviderId } from "../model.js";
import type { CallContext, Capabilities } from "../provider.js";
import type { Credential } from "./auth.js";
import { type Effect, type RateBudget, sharedBudget } from "./budget.js";
import type { ConnectionOptions } from "./options.js";
import { decideRetry, defaultRetryPolicy, parseRetryAfter, type RetryPolicy } from "./retry.js";

/** What an adapter says about an error answer. Everything is optional: unknown shapes are no problem. */
export interface ErrorDescription {
  /** The service's message: shortened and cleaned before use. */
  readonly message?: string;
  readonly serviceCode?: string;
  readonly field?: string;
  /** Overrides the error that the status stands for, where a service uses a status oddly. */
  readonly code?: ErrorCode;
  readonly hint?: string;
}

/** How a client is made. */
export interface HttpClientOptions extends ConnectionOptions {
  readonly provider: ProviderId;
  /** `https://…`; plain http for loopback only. May have a path. */
  readonly baseUrl: string;
  /** Absent: the client sends no Authorization. */
  readonly credential?: Credential;
  readonly capabilities: Pick<Capabilities, "rates" | "inFlight">;
  /** What else distinguishes the rate scope, besides service and address: the token or client id. Hashed. */
  readonly scopeKey: string;
  /** The header that carries the service's request id, lower case. */
  readonly requestIdHeader?: string;
  readonly describeError: (status: number, data: unknown) => ErrorDescription;
}

/** One request. `path` comes from {@link path}. */
export interface HttpRequest {
  /** The name of the call for people and logs, such as `getGroup`. */
  readonly operation: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** Names and values, encoded here. */
  readonly query?: readonly (readonly [string, string])[];
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as a form. */
  readonly form?: Readonly<Record<string, string>>;
  /** Replaces the credential's header for this request; `null`: none. */
  readonly authorization?: string | null;
  /** `write`: may change something, whatever the method (BrainSTEM acts on GET). Decides about retries. */
  readonly effect: Effect;
  /** Further headers, or other values of `accept` and `content-type`. Names in lower case; never the credential. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The service leaves the body of its 2xx open (NeuroIO's add and remove), so it is not looked at. @default false */
  readonly ignoreBody?: boolean;
}

/** A successful answer (2xx). */
interface HttpAnswer {
  readonly status: number;
  /** The parsed JSON, or undefined for an empty body. */
  readonly data: unknown;
  /** Header names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends requests of one provider; retries, waits and counts as told. */
export interface HttpClient {
  /** Throws {@link GroupSyncError} for everything that is not a 2xx with a readable body. */
  send(request: HttpRequest, context?: Partial<CallContext>): Promise<HttpAnswer>;
}

const DEFAULT_TIMEOUT_MS = 60_000;
/** A group of 100,000 people in one answer is some tens of MB. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const MAX_REQUEST_BYTES = 6 * 1024 * 1024;
const MAX_MESSAGE_LENGTH = 300;
/** Shorter ones would blot out ordinary words. */
const MIN_SECRET_LENGTH = 4;
/** Longer timers fire at once in Node. 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const agents = { httpAgent: new HttpAgent({ keepAlive: true }), httpsAgent: new HttpsAgent({ keepAlive: true }) };

/** Makes a client. Throws `options-invalid` for an address that is not https (or loopback). */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  const baseUrl = checkBaseUrl(options.baseUrl, options.provider);
  const timeoutMs = Math.min(options.timeoutMs ?? DEFAULT_TIMEOUT_MS, MAX_TIMER_MS);
  const policy: RetryPolicy = {
    ...defaultRetryPolicy,
    ...(options.maxAttempts !== undefined && { maxAttempts: options.maxAttempts }),
    ...(options.retryDelayMs !== undefined && { baseDelayMs: options.retryDelayMs }),
    ...(options.maxWaitMs !== undefined && { maxWaitMs: Math.min(options.maxWaitMs, MAX_TIMER_MS) }),
  };
  const scope = createHash("sha256").update(`${baseUrl}\n${options.scopeKey}`).digest("hex");
  const budget = sharedBudget(scope, {
    rates: ownRates(options),
    reads: options.capabilities.inFlight.reads.value,
    writes: options.capabilities.inFlight.writes.value,
  });
  const instance = axios.create({
    baseURL: baseUrl,
    allowAbsoluteUrls: false,
    maxRedirects: 0,
    proxy: false,
    timeout: timeoutMs,
    maxContentLength: MAX_ANSWER_BYTES,
    maxBodyLength: MAX_REQUEST_BYTES,
    responseType: "text",
    // The body is parsed here, below: axios would hand broken JSON on as a string.
    transformResponse: [(body: unknown) => body],
    transitional: { clarifyTimeoutError: true, silentJSONParsing: false },
    validateStatus: () => true,
    ...agents,
  });

  async function send(request: HttpRequest, context: Partial<CallContext> = {}): Promise<HttpAnswer> {
    // Any number of requests may wait for one signal; Node would warn of a leak from the eleventh on.
    if (context.signal) setMaxListeners(0, context.signal);
    let renewed = false;
    for (let attempt = 1; ; attempt++) {
      const authorization =
        request.authorization === undefined
          ? await options.credential?.authorization(context)
          : (request.authorization ?? undefined);
      let started: number | undefined;
      try {
        return await budget.run(
          request.effect,
          () => {
            started = performance.now();
            return attemptOnce(instance, options, request, authorization, timeoutMs, attempt, context);
          },
          context.signal,
          (waitScope, delayMs, reason) =>
            context.onCall?.({ type: "wait", provider: options.provider, scope: waitScope, delayMs, reason }),
          policy.maxWaitMs,
        );
      } catch (thrown) {
        if (started === undefined && isGroupSyncError(thrown)) {
          // The budget let nothing out: stopped, or too long a wait. It says neither who nor what.
          const { provider } = options;
          throw new GroupSyncError(thrown.code, `${provider}, ${request.operation}: ${thrown.message}`, {
            ...thrown.facts,
            provider,
            operation: request.operation,
          });
        }
        const elapsedMs = performance.now() - (started ?? performance.now());
        const error = ownError(thrown, options.provider, request, context.signal, elapsedMs);
        // A refused token was not acted upon, so asking again with a new one is safe for writes too. A header that
        // the request brought along stays as it is: the same password twice only locks an account sooner.
        if (
          isGroupSyncError(error, "unauthenticated") &&
          !renewed &&
          request.authorization === undefined &&
          authorization !== undefined &&
          options.credential?.renew(authorization)
        ) {
          renewed = true;
          continue;
        }
        await waitToRetry(error, attempt, request, policy, budget, options.provider, context);
      }
    }
  }
  return { send };
}

/** The declared limits, with the user's own number of requests per minute where one was given. */
function ownRates({ capabilities, requestsPerMinute: requests }: HttpClientOptions): Capabilities["rates"] {
  if (requests === undefined) return capabilities.rates;
  const own = { scope: "requestsPerMinute", requests, windowMs: 60_000, counts: "all", source: "option" } as const;
  return [...capabilities.rates.filter(({ windowMs }) => windowMs !== own.windowMs), own];
}

/** Waits until the next attempt, or throws the error when there is to be none. */
async function waitToRetry(
  error: GroupSyncError,
  attempt: number,
  request: HttpRequest,
  policy: RetryPolicy,
  budget: RateBudget,
  provider: ProviderId,
  context: Partial<CallContext>,
): Promise<void> {
  const decision = decideRetry(error, attempt, request.effect, policy, Date.now(), Math.random());
  if (!decision.retry) throw error;
  const { delayMs, reason } = decision;
  context.onCall?.({ type: "retry", provider, operation: request.operation, attempt, delayMs, reason });
  if (error.code === "rate-limited") {
    // The whole scope waits: the budget lets nobody through before then, this request included.
    budget.pause(Date.now() + delayMs);
    return;
  }
  await sleep(delayMs, undefined, context.signal ? { signal: context.signal } : {}).catch(() => {
    throw new GroupSyncError("cancelled", "Stopped while waiting to try again.", {
      provider,
      operation: request.operation,
    });
  });
}

async function attemptOnce(
  instance: AxiosInstance,
  options: HttpClientOptions,
  request: HttpRequest,
  authorization: string | undefined,
  timeoutMs: number,
  attempt: number,
  context: Partial<CallContext>,
): Promise<HttpAnswer> {
  if (request.effect === "write") context.checkWrite?.();
  const started = performance.now();
  const count = (status?: number) =>
    context.onCall?.({
      type: "call",
      provider: options.provider,
      operation: request.operation,
      effect: request.effect,
      ...(status !== undefined && { status }),
      ms: Math.round(performance.now() - started),
      attempt,
    });
  const query = request.query?.length ? `?${encodeQuery(request.query)}` : "";
  const body = request.form ? new URLSearchParams(request.form).toString() : JSON.stringify(request.body);
  const stopper = new AbortController();
  const stop = () => stopper.abort();
  // The idle timeout of axios does not stop a body that drips; this deadline does.
  const deadline = setTimeout(stop, timeoutMs);
  // A write that is under way is never cut off: its outcome would be unknown. It ends by itself, or at the deadline.
  // By hand, not by AbortSignal.any, which in Node 20 leaves a trace on the run's signal for every request.
  const cutBy = request.effect === "read" ? context.signal : undefined;
  cutBy?.addEventListener("abort", stop, { once: true });
  const response = await instance
    .request<string>({
      method: request.method,
      url: request.path + query,
      ...(body !== undefined && { data: body }),
      headers: {
        accept: "application/json",
        // false: none; axios would announce a form that is not there.
        "content-type": body !== undefined && (request.form ? "application/x-www-form-urlencoded" : "application/json"),
        ...request.headers,
        ...(authorization !== undefined && { authorization }),
        "user-agent": "group-sync",
      },
      signal: stopper.signal,
    })
    .catch((error: unknown) => {
      count();
      throw error;
    })
    .finally(() => {
      clearTimeout(deadline);
      cutBy?.removeEventListener("abort", stop);
    });
  count(response.status);

  const headers = plainHeaders(response.headers);
  // The token of this very request comes first-hand: the credential may have been renewed since.
  const secrets = [
    ...(options.credential?.secrets() ?? []),
    ...(authorization ? [authorization, bareToken(authorization)] : []),
  ];
  const requestId = cleanText(options.requestIdHeader && headers[options.requestIdHeader], secrets);
  const facts: ErrorFacts = {
    provider: options.provider,
    operation: request.operation,
    ...(requestId !== undefined && { requestId }),
  };
  const text = typeof response.data === "string" ? response.data : "";
  const parsed = parseJson(text);
  if (response.status >= 200 && response.status < 300) {
    if (request.ignoreBody) return { status: response.status, data: undefined, headers };
    if (parsed === notJson) {
      throw new GroupSyncError(
        "bad-answer",
        `${options.provider} answered ${response.status} to ${request.operation}, but not with readable JSON (${describeBody(text)}).`,
        {
          ...facts,
          status: response.status,
          retryable: true,
          outcomeUnknown: request.effect === "write",
          hint: "Something between us and the service may have answered (a proxy, a log-in page), or the answer was cut.",
        },
      );
    }
    return { status: response.status, data: parsed, headers };
  }
  const data = parsed === notJson ? undefined : parsed;
  const described = options.describeError(response.status, data);
  const serviceCode = cleanText(described.serviceCode, secrets);
  const field = cleanText(described.field, secrets);
  const retryAt = parseRetryAfter(headers["retry-after"], Date.now());
  const base = errorFromStatus(response.status, cleanText(described.message, secrets), {
    ...facts,
    ...(serviceCode !== undefined && { serviceCode }),
    ...(field !== undefined && { field }),
    ...(retryAt !== undefined && { retryAt }),
    write: request.effect === "write",
  });
  throw described.code === undefined && described.hint === undefined
    ? base
    : new GroupSyncError(described.code ?? base.code, base.message, {
        ...base.facts,
        ...(described.code === "rate-limited" && { retryable: true, outcomeUnknown: false }),
        ...(described.hint !== undefined && { hint: described.hint }),
      });
}

/** Turns whatever was thrown into our own error; nothing of axios gets past this line. */
function ownError(
  thrown: unknown,
  provider: ProviderId,
  request: HttpRequest,
  signal: AbortSignal | undefined,
  elapsedMs: number,
): GroupSyncError {
  if (isGroupSyncError(thrown)) return thrown;
  const facts: ErrorFacts = { provider, operation: request.operation };
  const write = request.effect === "write";
  if (signal?.aborted && !write) {
    return new GroupSyncError("cancelled", `Stopped during ${request.operation} at ${provider}.`, {
      ...facts,
      outcomeUnknown: write,
    });
  }
  const cause = isAxiosError(thrown) ? (thrown.code ?? "") : "";
  if (cause === "ETIMEDOUT" || cause === "ECONNABORTED" || cause === "ERR_CANCELED") {
    return new GroupSyncError(
      "timeout",
      `${provider} did not answer ${request.operation} within ${Math.round(elapsedMs / 100) / 10} s.`,
      { ...facts, retryable: true, outcomeUnknown: write },
    );
  }
  const unreachable: Readonly<Record<string, string>> = {
    ECONNREFUSED: "nothing listens at that address",
    ENOTFOUND: "the host name is not known",
    EAI_AGAIN: "the host name could not be looked up (no network?)",
    EHOSTUNREACH: "no route to the host",
    ENETUNREACH: "no network",
  };
  const why = unreachable[cause];
  if (why !== undefined) {
    // No connection was made, so nothing can have been done.
    return new GroupSyncError("network", `${provider} cannot be reached: ${why} (${cause}).`, {
      ...facts,
      retryable: true,
      hint: "Check the address of this provider and the network.",
    });
  }
  if (BAD_CERTIFICATE.test(cause)) {
    // The handshake failed, so nothing was sent.
    return new GroupSyncError("network", `${provider} cannot be reached: its certificate is not trusted (${cause}).`, {
      ...facts,
      hint: "Check the address of this provider. A certificate authority of your own goes into NODE_EXTRA_CA_CERTS.",
    });
  }
  if (!isAxiosError(thrown)) {
    return new GroupSyncError("internal", `Unexpected failure in ${request.operation} at ${provider}.`, {
      ...facts,
      outcomeUnknown: write,
    });
  }
  if (cause === "ERR_BAD_REQUEST" && /maxBodyLength/.test(thrown.message)) {
    // Our own limit: nothing was sent.
    return new GroupSyncError("too-large", `What ${request.operation} should send to ${provider} is too large.`, facts);
  }
  if (cause === "ERR_BAD_RESPONSE" && /maxContentLength/.test(thrown.message)) {
    return new GroupSyncError("bad-answer", `The answer of ${provider} to ${request.operation} is too large.`, {
      ...facts,
      outcomeUnknown: write,
    });
  }
  return new GroupSyncError(
    "network",
    `The connection to ${provider} broke during ${request.operation}${cause ? ` (${cause})` : ""}.`,
    { ...facts, retryable: true, outcomeUnknown: write },
  );
}

const BAD_CERTIFICATE = /^(CERT_|ERR_TLS_CERT_|DEPTH_ZERO_SELF_|SELF_SIGNED_|UNABLE_TO_(GET_ISSUER|VERIFY))/;

const notJson = Symbol("not JSON");

function parseJson(text: string): unknown {
  if (text.trim() === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return notJson;
  }
}

function describeBody(text: string): string {
  return /^\s*</.test(text) ? "HTML" : "cut or broken JSON";
}

/** Short, one line, printable, and without any secret we know. */
function cleanText(text: string | undefined, secrets: readonly string[]): string | undefined {
  if (text === undefined) return undefined;
  let clean = toOneLine(text);
  // The longest first: a secret may be a part of another one. axios trims headers, so a token may come back trimmed.
  const known = secrets.map(toOneLine).sort((one, other) => other.length - one.length);
  for (const secret of known) if (secret.length >= MIN_SECRET_LENGTH) clean = clean.replaceAll(secret, "[redacted]");
  if (clean.length <= MAX_MESSAGE_LENGTH) return clean;
  // Not through the middle of a character.
  return `${clean.slice(0, MAX_MESSAGE_LENGTH - 1).replace(/\p{Cs}$/u, "")}…`;
}

function toOneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\s]+/gu, " ").trim();
}

/** `Bearer x` without `Bearer`. */
function bareToken(authorization: string): string {
  return authorization.replace(/^\S+\s+/, "");
}

function plainHeaders(headers: unknown): Record<string, string> {
  const plain: Record<string, string> = {};
  if (typeof headers !== "object" || headers === null) return plain;
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === "string" || typeof value === "number") plain[name.toLowerCase()] = String(value);
  }
  return plain;
}

function encodeQuery(query: readonly (readonly [string, string])[]): string {
  return query.map(([name, value]) => `${encodeText(name)}=${encodeText(value)}`).join("&");
}

/** Half a character (a lone surrogate) cannot be encoded; the plain function throws a bare URIError. */
function encodeText(text: string): string {
  if (/\p{Cs}/u.test(text)) {
    throw new GroupSyncError("options-invalid", `${JSON.stringify(text)} is not text that can stand in an address.`);
  }
  return encodeURIComponent(text);
}

const LOOPBACK = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** The address in its normal form, without a slash at its end. Throws `options-invalid` when it is not https, or http to loopback. */
export function checkBaseUrl(baseUrl: string, provider: ProviderId): string {
  const problem = findBaseUrlProblem(baseUrl);
  if (problem) throw new GroupSyncError("options-invalid", `${provider}: ${problem}`, { provider });
  return new URL(baseUrl).href.replace(/\/+$/, "");
}

/** What is wrong with a service's address, in plain words; undefined when it is fine. */
export function findBaseUrlProblem(baseUrl: string): string | undefined {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (url?.username || url?.password)
    return "the address holds a user name or password; credentials have their own keys.";
  // What could be a password or a token is not shown, even when the address is none.
  const shown = JSON.stringify(baseUrl.replace(/^.*@/s, "…@").replace(/[?#].+/s, (rest) => `${rest[0]}…`));
  if (!url || !/^https?:$/.test(url.protocol)) return `${shown} is not an address; it should look like https://host.`;
  if (/[?#]/.test(baseUrl)) return `${shown} should end after the path: no ? and no #.`;
  if (url.protocol === "http:" && !isLoopback(baseUrl)) {
    return `${shown} is plain http, which is accepted for loopback addresses only; use https.`;
  }
  return undefined;
}

/** Whether an address is on this machine. */
export function isLoopback(baseUrl: string): boolean {
  return URL.canParse(baseUrl) && LOOPBACK.test(new URL(baseUrl).hostname);
}

/**
 * Builds a path; every value becomes exactly one encoded segment or part of one. Refuses values that could escape the
 * path (empty, `.`, `..`): axios and servers resolve them, encoded or not.
 *
 * @example path`/v1/groups/persons/${id}/pids/`
 */
export function path(parts: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return parts.reduce((built, part, index) => {
    const value = String(values[index - 1] ?? "");
    if (value === "" || value === "." || value === "..") {
      throw new GroupSyncError("options-invalid", `${JSON.stringify(value)} is not an id that can stand in a path.`);
    }
    return `${built}${encodeText(value)}${part}`;
  });
}
