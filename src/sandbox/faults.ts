/**
 * Everything that goes wrong on request, once, around any emulator.
 *
 * A fault is plain JSON: which requests it strikes (service, method, path, read or write, after how many, how often)
 * and what happens to them. The wrapper looks at every request before the emulator does:
 *
 *   matching faults → edits and expiries "before" → the emulator's handler (or not) → edits "after" → delay → answer
 *
 * Faults of two sorts can meet on one request. *Preparations* (`lag`, `edit`, `expired-token`, `slow`) all take place.
 * Of the *answers* (every other kind) the first one added takes place; the others wait for their next request, so that
 * two faults added one after the other strike two requests one after the other.
 *
 * What the wrapper says about a request that it kills is nothing: the connection ends, and whether the state changed
 * depends on the kind (`reset-before`: no, `reset-after`: yes), which is exactly what a client cannot know.
 */
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { z } from "zod";
import { applyEdit, describeIssues, type SandboxEdit, sandboxEditSchema } from "./edits.js";
import { type Emulator, markRequest, type ServiceName } from "./kit.js";

/** What a request is for: it reads, it changes something, or it asks for a token. */
export type RequestPurpose = "read" | "write" | "login";

/** Which requests a fault strikes. Absent keys mean: any. */
export interface FaultSelection {
  /** @default every service */
  readonly service?: ServiceName;
  /** HTTP method, in any case. */
  readonly method?: string;
  /**
   * A part of the vendor's path (with or without its query), or a regular expression written between slashes:
   * `/groups\/[^/]+$/`. Text between slashes without any of `^$.*+?()[]{}|\`, or with bare slashes inside, is a part
   * of a path: `/user/`, `/v1/groups/persons/`.
   */
  readonly path?: string;
  /**
   * `write`: the vendor's mutating requests, among them BrainSTEM's `GET …/accept/`. `read`: those that change
   * nothing, among them searches by POST. `login`: requests for a token.
   * @default any; `write` for `lag` and `lying-200`; any but `login` for `expired-token`
   */
  readonly when?: RequestPurpose;
  /** Let this many matching requests pass first. @default 0 */
  readonly skip?: number;
  /** Strike this many requests, then never again; 0: no end. @default 1; 0 with `every` or `probability` */
  readonly times?: number;
  /** Strike only every n-th matching request, counted after `skip`. */
  readonly every?: number;
  /** Strike with this probability (0 to 1), drawn from the sandbox's random seed. */
  readonly probability?: number;
}

/** The forms of a `Retry-After`: RFC 9110 §10.2.3 has seconds and dates, §5.6.7 three forms of date. */
export type RetryAfterForm =
  | "seconds"
  | "http-date"
  | "http-date-rfc850"
  | "http-date-asctime"
  | "none"
  | "huge"
  | "garbage";

/** What happens to a request that a fault strikes. */
export type FaultEffect =
  | {
      /**
       * 429 with the service's own body; the handler does not run. Genesys' log-in throttles in its own way: 400.
       */
      readonly kind: "rate-limit";
      /** @default "seconds" */
      readonly retryAfter?: RetryAfterForm;
      /** How long to wait, for `seconds` and the dates. @default 1 */
      readonly seconds?: number;
    }
  | {
      /** A server error with the service's own body. */
      readonly kind: "server-error";
      /** @default 503 */
      readonly status?: 500 | 502 | 503 | 504;
      /** Whether the handler ran first, so that the state changed all the same. @default false */
      readonly applied?: boolean;
    }
  | {
      /** A page for people where JSON was due: a gateway's error, or a log-in page with 200. */
      readonly kind: "html";
      /** @default 502 */
      readonly status?: number;
      /** @default false */
      readonly applied?: boolean;
    }
  /** The connection is reset before the handler runs: nothing changes. */
  | { readonly kind: "reset-before" }
  /** The handler runs, then the connection is reset without an answer: the state changed and the client can't know. */
  | { readonly kind: "reset-after" }
  | {
      /** The handler runs and its answer is cut in the middle. */
      readonly kind: "truncate";
      /**
       * `broken-json`: a well-formed answer with half a JSON document. `short-body`: half the body of the promised
       * content-length, then the connection ends.
       * @default "broken-json"
       */
      readonly variant?: "broken-json" | "short-body";
    }
  | {
      /**
       * The lists of the answer are emptied. Answers without a filled list pass and are not counted.
       */
      readonly kind: "empty-page";
      /** `kept`: counts still tell the truth. `too`: counts beside the list become 0 as well. @default "kept" */
      readonly totals?: "kept" | "too";
    }
  | {
      /** The lists of the answer lose their last rows; counts stay. Answers without a filled list pass and are not counted. */
      readonly kind: "short-page";
      /** @default 1 */
      readonly rows?: number;
    }
  /** The handler runs and answers, then the state is put back: a success that changed nothing. */
  | { readonly kind: "lying-200" }
  /** The write shows to readers only after so many milliseconds of the sandbox's clock. */
  | { readonly kind: "lag"; readonly ms: number }
  | {
      /** Someone else edits right before the request is handled, or right after it and before its answer is sent. */
      readonly kind: "edit";
      /** @default "before" */
      readonly at?: "before" | "after";
      readonly edit: SandboxEdit;
    }
  /** Every token issued so far stops working right before the request. */
  | { readonly kind: "expired-token" }
  | {
      /** No answer for so many milliseconds, then the connection ends. */
      readonly kind: "hang";
      readonly ms: number;
      /** Whether the handler ran first. @default false */
      readonly applied?: boolean;
    }
  /** The handler runs at once; its answer comes so many milliseconds later. */
  | { readonly kind: "slow"; readonly ms: number }
  /**
   * The handler runs; its body comes a byte at a time, spread over so many milliseconds, so that a time limit on
   * silence never strikes. A body too short for that is preceded by blanks, which mean nothing in JSON. An answer
   * without a body is merely slow.
   */
  | { readonly kind: "drip"; readonly ms: number };

/** A fault: which requests, and what happens to them. Plain JSON. */
export type Fault = FaultSelection & FaultEffect;
export type FaultKind = Fault["kind"];

/** A fault that was added, with what has come of it. */
export interface ActiveFault {
  readonly id: string;
  readonly fault: Fault;
  /** How many requests matched. */
  readonly seen: number;
  /** How many requests it struck. */
  readonly struck: number;
}

// setTimeout turns longer times into none.
const milliseconds = z.int().min(0).max(2_147_483_647);

const selection = {
  service: z.enum(["neuroio", "brainstem", "docspace", "genesys", "scim"]).exactOptional(),
  method: z.string().min(1).exactOptional(),
  path: z.string().min(1).refine(isPathPattern, "is not a valid regular expression").exactOptional(),
  when: z.enum(["read", "write", "login"]).exactOptional(),
  skip: z.int().min(0).exactOptional(),
  times: z.int().min(0).exactOptional(),
  every: z.int().min(1).exactOptional(),
  probability: z.number().min(0).max(1).exactOptional(),
};

function faultOf<const K extends FaultKind, S extends z.ZodRawShape>(kind: K, shape: S) {
  return z.strictObject({ ...selection, kind: z.literal(kind), ...shape });
}

const faultShapes = [
  faultOf("rate-limit", {
    retryAfter: z
      .enum(["seconds", "http-date", "http-date-rfc850", "http-date-asctime", "none", "huge", "garbage"])
      .exactOptional(),
    seconds: z.int().min(0).exactOptional(),
  }),
  faultOf("server-error", {
    status: z.union([z.literal(500), z.literal(502), z.literal(503), z.literal(504)]).exactOptional(),
    applied: z.boolean().exactOptional(),
  }),
  faultOf("html", { status: z.int().min(200).max(599).exactOptional(), applied: z.boolean().exactOptional() }),
  faultOf("reset-before", {}),
  faultOf("reset-after", {}),
  faultOf("truncate", { variant: z.enum(["broken-json", "short-body"]).exactOptional() }),
  faultOf("empty-page", { totals: z.enum(["kept", "too"]).exactOptional() }),
  faultOf("short-page", { rows: z.int().min(1).exactOptional() }),
  faultOf("lying-200", {}),
  faultOf("lag", { ms: milliseconds }),
  faultOf("edit", { at: z.enum(["before", "after"]).exactOptional(), edit: sandboxEditSchema }),
  faultOf("expired-token", {}),
  faultOf("hang", { ms: milliseconds, applied: z.boolean().exactOptional() }),
  faultOf("slow", { ms: milliseconds }),
  faultOf("drip", { ms: milliseconds }),
] as const;

const faultSchema = z.discriminatedUnion("kind", faultShapes) satisfies z.ZodType<Fault>;

/** Every kind of fault, in the order of the documentation. */
export const faultKinds: readonly FaultKind[] = faultShapes.map((shape) => shape.shape.kind.value);

/**
 * Reads a fault from a file or a request.
 *
 * @throws Error that says in plain words what is wrong and what would be right.
 */
export function parseFault(value: unknown): Fault {
  const kind = typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined;
  if (!faultKinds.some((known) => known === kind)) {
    throw new Error(
      `A fault needs a kind, one of ${faultKinds.join(", ")}; found ${kind === undefined ? "none" : JSON.stringify(kind)}.`,
    );
  }
  const parsed = faultSchema.safeParse(value);
  if (!parsed.success) throw new Error(`The fault "${String(kind)}" is not right: ${describeIssues(parsed.error)}.`);
  const fault = parsed.data;
  if (fault.every !== undefined && fault.probability !== undefined) {
    throw new Error(`The fault "${fault.kind}" has both "every" and "probability": choose one.`);
  }
  if ((fault.kind === "lag" || fault.kind === "lying-200") && fault.when !== undefined && fault.when !== "write") {
    throw new Error(`The fault "${fault.kind}" strikes writes only; "when" is ${JSON.stringify(fault.when)}.`);
  }
  return fault;
}

/** Requests whose purpose their method does not tell, by service. The first row that fits wins. */
const exceptions: Readonly<
  Record<ServiceName, readonly { readonly path: RegExp; readonly purpose: RequestPurpose; readonly method?: string }[]>
> = {
  neuroio: [
    { path: /^\/v1\/auth\/token\/?$/, purpose: "login" },
    { path: /^\/v1\/persons\/search\/?$/, purpose: "read" },
  ],
  brainstem: [
    { path: /^\/api\/(auth|token)(\/|$)/, purpose: "login" },
    // Side effects behind GET: sheet §2 rows 6, 7, 10 and 12.
    { path: /\/(accept|reject|cancel|join|leave)\/?$/, purpose: "write", method: "GET" },
  ],
  docspace: [{ path: /^\/api\/2\.0\/authentication(\/|\.json)?$/, purpose: "login" }],
  genesys: [
    { path: /^\/oauth\/token$/, purpose: "login" },
    { path: /^\/api\/v2\/((groups|users)\/)?search$/, purpose: "read" },
    { path: /^\/api\/v2\/groups\/dynamicsettings\/preview$/, purpose: "read" },
  ],
  scim: [],
};

/** What a request to the vendor's path is for. */
export function purposeOf(service: ServiceName, method: string, path: string): RequestPurpose {
  const exception = exceptions[service].find(
    (row) => row.path.test(path) && (row.method === undefined || row.method === method),
  );
  if (exception) return exception.purpose;
  return method === "GET" || method === "HEAD" || method === "OPTIONS" ? "read" : "write";
}

/** What was made of one request. */
interface HandledRequest {
  /** For node-server: an answer, or the mark that there is none to send any more. */
  readonly response: Response;
  /** The status that the client gets; 0 when the connection ends without one. */
  readonly status: number;
  /** The kind of fault that struck; of several the one that made the answer. */
  readonly faulted?: FaultKind;
  /** Why a fault could not do what it says (an edit of a group that is not there). The client got a 500 that says so. */
  readonly problem?: string;
}

/** The faults of one sandbox, and the way of a request through them. */
export interface FaultBox {
  /** Adds a fault after checking it. Returns its id. */
  add(fault: Fault): string;
  /** Whether there was such a fault. */
  remove(id: string): boolean;
  clear(): void;
  list(): readonly ActiveFault[];
  /**
   * Hands a request to an emulator through the faults.
   *
   * @param request at the vendor's own path
   * @param env node-server's bindings (`context.env`); without them the kinds that end a connection throw
   */
  handle(emulator: Emulator, request: Request, env?: Partial<HttpBindings>): Promise<HandledRequest>;
  /** Ends everything that waits, at once and for good. */
  close(): void;
}

export interface FaultBoxOptions {
  /** Where probabilities are drawn. Numbers in [0, 1). */
  readonly random: () => number;
  /** The clock of `Retry-After` dates, in milliseconds. */
  readonly now: () => number;
}

interface MutableFault {
  readonly id: string;
  readonly fault: Fault;
  seen: number;
  struck: number;
}

interface Incoming {
  readonly service: ServiceName;
  readonly method: string;
  readonly path: string;
  readonly target: string;
  readonly purpose: RequestPurpose;
}

type FaultOf<K extends FaultKind> = Extract<Fault, { readonly kind: K }>;
type ListFault = FaultOf<"empty-page" | "short-page">;

/** Makes an empty set of faults. */
export function createFaultBox(options: FaultBoxOptions): FaultBox {
  const active: MutableFault[] = [];
  const closing = new AbortController();
  const gates = new Map<Emulator, Gate>();
  let added = 0;

  function gateOf(emulator: Emulator): Gate {
    const gate = gates.get(emulator) ?? createGate();
    gates.set(emulator, gate);
    return gate;
  }

  /** Counts the request, and says whether the fault's turn has come. */
  function isDue(row: MutableFault): boolean {
    const { fault } = row;
    row.seen++;
    const afterSkip = row.seen - (fault.skip ?? 0);
    if (afterSkip <= 0) return false;
    if (fault.every !== undefined && afterSkip % fault.every !== 0) return false;
    // Drawn for every matching request, spent or not: one fault's luck does not depend on another's limits.
    if (fault.probability !== undefined && options.random() >= fault.probability) return false;
    const isEndless = fault.every !== undefined || fault.probability !== undefined;
    const times = fault.times ?? (isEndless ? 0 : 1);
    return times === 0 || row.struck < times;
  }

  async function run(emulator: Emulator, request: Request, env: object): Promise<Response> {
    return gateOf(emulator).shared(async () => emulator.app.fetch(request, env));
  }

  /** Runs the handler, and puts the state back while nobody else is at it. */
  async function runWithoutEffect(emulator: Emulator, request: Request, env: object): Promise<Response> {
    return gateOf(emulator).alone(async () => {
      const state = emulator.saveState();
      try {
        return await emulator.app.fetch(request, env);
      } finally {
        emulator.restoreState(state);
      }
    });
  }

  return {
    add(fault) {
      const checked = parseFault(fault);
      const id = `fault-${++added}`;
      active.push({ id, fault: checked, seen: 0, struck: 0 });
      return id;
    },

    remove(id) {
      const index = active.findIndex((row) => row.id === id);
      if (index >= 0) active.splice(index, 1);
      return index >= 0;
    },

    clear() {
      active.length = 0;
    },

    list() {
      return active.map((row) => ({ ...row }));
    },

    async handle(emulator, request, env = {}) {
      const url = new URL(request.url);
      const incoming: Incoming = {
        service: emulator.service,
        method: request.method,
        path: url.pathname,
        target: url.pathname + url.search,
        purpose: purposeOf(emulator.service, request.method, url.pathname),
      };
      const matching = active.filter((row) => strikes(row.fault, incoming));
      if (matching.length === 0) {
        const response = await run(emulator, request, env);
        return { response, status: response.status };
      }

      const preparations: Fault[] = [];
      let answer: Fault | undefined;
      for (const row of matching) {
        const { fault } = row;
        if (isListFault(fault) || !isDue(row)) continue;
        if (isPreparation(fault)) preparations.push(fault);
        else if (answer) continue;
        else answer = fault;
        row.struck++;
      }
      let faulted = answer?.kind ?? preparations[0]?.kind;

      // Asked before anything changes: a fault that can't be done has to leave no trace.
      const connection = answer && needsConnection(answer) ? connectionOf(env, answer.kind) : undefined;
      const signal = AbortSignal.any([closing.signal, goneSignal(env)]);

      try {
        for (const fault of preparations) {
          if (fault.kind === "expired-token") emulator.control.expireTokens();
          if (fault.kind === "edit" && fault.at !== "after") applyEdit(emulator, fault.edit);
          if (fault.kind === "lag") markRequest(request, { lagMs: fault.ms });
        }

        let response: Response | undefined;
        if (answer?.kind === "lying-200") response = await runWithoutEffect(emulator, request, env);
        else if (!answer || runsHandler(answer)) response = await run(emulator, request, env);

        for (const fault of preparations) {
          if (fault.kind === "edit" && fault.at === "after") applyEdit(emulator, fault.edit);
          if (fault.kind === "slow") await wait(fault.ms, signal);
        }

        if (answer && answer.kind !== "lying-200") {
          const made = await answerWith(answer, emulator, incoming, response, connection, signal);
          return made ? { response: made, status: made.status, faulted: answer.kind } : killed(answer.kind);
        }
        if (!response) throw new Error("sandbox: a request was left without an answer");

        const listFaults = matching.filter((row) => isListFault(row.fault));
        if (listFaults.length > 0) {
          const lists = await readLists(response, emulator.listKeys);
          if (lists) {
            let struck: ListFault | undefined;
            for (const row of listFaults) {
              if (!isListFault(row.fault) || !isDue(row) || struck) continue;
              struck = row.fault;
              row.struck++;
            }
            if (struck) {
              faulted = struck.kind;
              response = jsonLike(response, JSON.stringify(shortenLists(lists, emulator.listKeys, struck)));
            }
          }
        }
        return { response, status: response.status, ...(faulted && { faulted }) };
      } catch (error) {
        if (!faulted) throw error;
        const problem = error instanceof Error ? error.message : String(error);
        const response = Response.json(
          { sandbox: `The fault "${faulted}" could not be done: ${problem}` },
          { status: 500 },
        );
        return { response, status: 500, faulted, problem };
      }
    },

    close() {
      closing.abort();
    },
  };

  /** The answer that a fault makes, or undefined when the connection ended without one. */
  async function answerWith(
    fault: Fault,
    emulator: Emulator,
    incoming: Incoming,
    response: Response | undefined,
    connection: HttpBindings | undefined,
    signal: AbortSignal,
  ): Promise<Response | undefined> {
    switch (fault.kind) {
      case "rate-limit":
        return rateLimited(fault, emulator, incoming, options.now());
      case "server-error": {
        const status = fault.status ?? 503;
        return bodied(emulator.serverErrorBody(status), status, {});
      }
      case "html":
        return htmlPage(fault.status ?? 502);
      case "reset-before":
      case "reset-after":
        connection?.incoming.socket.resetAndDestroy();
        return undefined;
      case "hang":
        await wait(fault.ms, signal);
        connection?.incoming.socket.destroy();
        return undefined;
      case "truncate":
        if (!response) return undefined;
        if (connection) return sendHalf(response, connection);
        return brokenJson(response);
      case "drip":
        return response && drip(response, fault.ms, signal);
      default:
        return response;
    }
  }
}

function killed(kind: FaultKind): HandledRequest {
  return { response: RESPONSE_ALREADY_SENT, status: 0, faulted: kind };
}

// --- which requests

function strikes(fault: Fault, incoming: Incoming): boolean {
  if (fault.service !== undefined && fault.service !== incoming.service) return false;
  if (fault.method !== undefined && fault.method.toUpperCase() !== incoming.method) return false;
  if (fault.path !== undefined && !matchesPath(fault.path, incoming)) return false;
  if (fault.when !== undefined) return fault.when === incoming.purpose;
  if (fault.kind === "lag" || fault.kind === "lying-200") return incoming.purpose === "write";
  if (fault.kind === "expired-token") return incoming.purpose !== "login";
  return true;
}

/** The expression in `/…/` or `/…/i`; undefined for a plain part of a path. */
function regexText(pattern: string): { readonly source: string; readonly flags: string } | undefined {
  const match = /^\/((?:[^/\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+)\/(i?)$/.exec(pattern);
  const [, source, flags] = match ?? [];
  // A vendor's path may well be written with a slash on both ends: only special characters make it an expression.
  if (source === undefined || flags === undefined || !/[\^$.*+?()[\]{}|\\]/.test(source)) return undefined;
  return { source, flags };
}

function isPathPattern(pattern: string): boolean {
  const regex = regexText(pattern);
  if (!regex) return true;
  try {
    return new RegExp(regex.source, regex.flags) instanceof RegExp;
  } catch {
    return false;
  }
}

function matchesPath(pattern: string, incoming: Incoming): boolean {
  const regex = regexText(pattern);
  if (!regex) return incoming.target.includes(pattern);
  const expression = new RegExp(regex.source, regex.flags);
  // Both, so that `$` can mean the end of the path although a query follows.
  return expression.test(incoming.path) || expression.test(incoming.target);
}

function isListFault(fault: Fault): fault is ListFault {
  return fault.kind === "empty-page" || fault.kind === "short-page";
}

function isPreparation(fault: Fault): boolean {
  return fault.kind === "lag" || fault.kind === "edit" || fault.kind === "expired-token" || fault.kind === "slow";
}

function needsConnection(fault: Fault): boolean {
  if (fault.kind === "truncate") return fault.variant === "short-body";
  return fault.kind === "reset-before" || fault.kind === "reset-after" || fault.kind === "hang";
}

function runsHandler(fault: Fault): boolean {
  if (fault.kind === "server-error" || fault.kind === "html" || fault.kind === "hang") return fault.applied === true;
  return fault.kind !== "rate-limit" && fault.kind !== "reset-before";
}

// --- the connection

function connectionOf(env: Partial<HttpBindings>, kind: FaultKind): HttpBindings {
  const { incoming, outgoing } = env;
  if (!incoming || !outgoing) {
    throw new Error(
      `The fault "${kind}" ends a real connection, and this request came without one (app.request or app.fetch). Use startSandbox().`,
    );
  }
  return { incoming, outgoing };
}

/** Aborted when the client goes away before it has its answer. Without a connection: never. */
function goneSignal(env: Partial<HttpBindings>): AbortSignal {
  const gone = new AbortController();
  env.outgoing?.once("close", () => gone.abort());
  return gone.signal;
}

/** Waits, or less: until the signal. */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

/** Lets requests run side by side, and one that must be alone wait for the others. */
interface Gate {
  shared<T>(task: () => Promise<T>): Promise<T>;
  alone<T>(task: () => Promise<T>): Promise<T>;
}

/**
 * A 200 that lied puts the whole state back, and with it whatever others wrote meanwhile: it has to be alone.
 */
function createGate(): Gate {
  let running = 0;
  let holder: Promise<void> | undefined;
  let onIdle: (() => void) | undefined;
  return {
    async shared(task) {
      for (let other = holder; other; other = holder) await other;
      running++;
      try {
        return await task();
      } finally {
        running--;
        if (running === 0) onIdle?.();
      }
    },
    async alone(task) {
      for (let other = holder; other; other = holder) await other;
      let release = () => {};
      holder = new Promise((resolve) => {
        release = resolve;
      });
      try {
        if (running > 0) {
          await new Promise<void>((resolve) => {
            onIdle = resolve;
          });
        }
        return await task();
      } finally {
        holder = undefined;
        onIdle = undefined;
        release();
      }
    },
  };
}

// --- answers

/** A body as its service sends it: JSON, or nothing where the service sends nothing (DocSpace's 429). */
function bodied(body: unknown, status: number, headers: Readonly<Record<string, string>>): Response {
  if (body === undefined || body === null || body === "") return new Response(null, { status, headers });
  if (typeof body === "string") return new Response(body, { status, headers });
  return Response.json(body, { status, headers });
}

// Longer than a timer can wait (2³¹ ms): a client that trusts it sleeps for years, or not at all.
const hugeRetryAfterSeconds = 99_999_999;

function rateLimited(fault: FaultOf<"rate-limit">, emulator: Emulator, incoming: Incoming, now: number): Response {
  if (incoming.service === "genesys" && incoming.purpose === "login") {
    // Genesys' token endpoint throttles with 400 (sheet §1), never with 429.
    const body = { error: "invalid_request", error_description: "rate limit exceeded; retry later" };
    return bodied(body, 400, {});
  }
  const form = fault.retryAfter ?? "seconds";
  const seconds = form === "huge" ? hugeRetryAfterSeconds : (fault.seconds ?? 1);
  const isStated = form !== "none" && form !== "garbage";
  const { body, headers } = emulator.rateLimitBody(isStated ? seconds : undefined);
  const retryAfter = retryAfterText(form, seconds, now);
  return bodied(body, 429, { ...headers, ...(retryAfter !== undefined && { "retry-after": retryAfter }) });
}

function retryAfterText(form: RetryAfterForm, seconds: number, now: number): string | undefined {
  if (form === "none") return undefined;
  if (form === "garbage") return "soon, please";
  if (form === "seconds" || form === "huge") return String(seconds);
  // A date has whole seconds: rounded up, or the client would come too early.
  const date = new Date(Math.ceil(now / 1000) * 1000 + seconds * 1000);
  const imf = date.toUTCString();
  if (form === "http-date") return imf;
  const [weekday = "", day = "", month = "", year = "", time = ""] = imf.replace(",", "").split(" ");
  if (form === "http-date-asctime") return `${weekday} ${month} ${day.replace(/^0/, " ")} ${time} ${year}`;
  const longWeekday = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"][date.getUTCDay()];
  return `${longWeekday}, ${day}-${month}-${year.slice(2)} ${time} GMT`;
}

function htmlPage(status: number): Response {
  const title = status < 400 ? "Sign in" : `${status} gateway error`;
  const page = `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`;
  return new Response(page, { status, headers: { "content-type": "text/html; charset=utf-8" } });
}

/** The same answer with another JSON body. */
function jsonLike(response: Response, text: string, status = response.status): Response {
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  if (!headers.has("content-type")) headers.set("content-type", "application/json");
  return new Response(text, { status, headers });
}

/** The first half of a text; a beginning of JSON where there is no text to cut. */
function firstHalf(text: string): string {
  return text.length < 2 ? '{"' : text.slice(0, Math.ceil(text.length / 2));
}

async function brokenJson(response: Response): Promise<Response> {
  const text = await response.text();
  // 204 can't carry a body, not even a broken one.
  return jsonLike(response, firstHalf(text), response.status === 204 ? 200 : response.status);
}

/** Writes half the promised body to the connection itself and ends it. */
async function sendHalf(response: Response, { outgoing }: HttpBindings): Promise<Response> {
  const text = await response.text();
  const body = Buffer.from(text);
  const half = Buffer.from(firstHalf(text));
  const headers = Object.fromEntries(response.headers);
  const status = response.status === 204 ? 200 : response.status;
  headers["content-length"] = String(Math.max(body.length, half.length + 64));
  headers["content-type"] ??= "application/json";
  outgoing.writeHead(status, headers);
  await new Promise<void>((resolve) => {
    outgoing.write(half, () => resolve());
  });
  outgoing.socket?.destroy();
  return new Response(null, { status, headers: RESPONSE_ALREADY_SENT.headers });
}

const dripTickMs = 20;

async function drip(response: Response, ms: number, signal: AbortSignal): Promise<Response> {
  const body = Buffer.from(await response.text());
  const headers = new Headers(response.headers);
  if (body.length === 0) {
    await wait(ms, signal);
    return new Response(null, { status: response.status, headers });
  }
  const ticks = Math.max(1, Math.ceil(ms / dripTickMs));
  const padded = Buffer.concat([Buffer.alloc(Math.max(0, ticks - body.length), " "), body]);
  headers.set("content-length", String(padded.length));
  let sent = 0;
  let tick = 0;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await wait(dripTickMs, signal);
      tick++;
      const end = tick >= ticks ? padded.length : Math.floor((padded.length * tick) / ticks);
      if (end > sent) controller.enqueue(padded.subarray(sent, end));
      sent = end;
      if (sent >= padded.length || signal.aborted) controller.close();
    },
  });
  return new Response(stream, { status: response.status, headers });
}

// --- lists

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A list of rows, or a record of rows by key (BrainSTEM's `users`: e-mail → flags). */
function isList(value: unknown): value is readonly unknown[] | JsonObject {
  return Array.isArray(value) || (isObject(value) && Object.values(value).every(isObject));
}

function isFilledList(value: unknown): boolean {
  return isList(value) && Object.keys(value).length > 0;
}

// An envelope, the record in it, the record's list: no service nests its lists deeper.
const listDepth = 3;

/** The parsed body of a successful JSON answer that holds at least one filled list; else undefined. */
async function readLists(response: Response, keys: readonly string[]): Promise<unknown> {
  if (!response.ok || !(response.headers.get("content-type") ?? "").includes("json")) return undefined;
  let body: unknown;
  try {
    body = JSON.parse(await response.clone().text());
  } catch {
    return undefined;
  }
  const holdsList = (value: unknown, depth: number): boolean =>
    isObject(value) &&
    Object.entries(value).some(
      ([key, child]) =>
        (keys.includes(key) && isFilledList(child)) || (depth < listDepth && holdsList(child, depth + 1)),
    );
  return (Array.isArray(body) && body.length > 0) || holdsList(body, 1) ? body : undefined;
}

// The services' names for how many rows there are: sheets §2 and §6.
const totalKeys = [
  "count",
  "total",
  "total_results",
  "totalResults",
  "persons_count",
  "membersCount",
  "memberCount",
  "pageCount",
  "total_pages",
];

function shortenLists(body: unknown, keys: readonly string[], fault: ListFault): unknown {
  const shorten = (list: readonly unknown[] | JsonObject): unknown => {
    const rows = Object.entries(list);
    const kept = fault.kind === "empty-page" ? [] : rows.slice(0, Math.max(0, rows.length - (fault.rows ?? 1)));
    return Array.isArray(list) ? kept.map(([, row]) => row) : Object.fromEntries(kept);
  };
  const walk = (value: unknown, depth: number): unknown => {
    if (!isObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, child]) => {
        if (keys.includes(key) && isList(child)) return [key, shorten(child)];
        const isTotal = totalKeys.includes(key) && typeof child === "number";
        if (isTotal && fault.kind === "empty-page" && fault.totals === "too") return [key, 0];
        return [key, depth < listDepth ? walk(child, depth + 1) : child];
      }),
    );
  };
  return Array.isArray(body) ? shorten(body) : walk(body, 1);
}
