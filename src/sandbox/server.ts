/**
 * The sandbox: emulators of the services on one local server, with faults on request and a log of what was asked.
 *
 *   http://127.0.0.1:<port>/neuroio    /brainstem    /docspace    /genesys     the services, at the vendors' own paths
 *                          /scim                                              any service with SCIM 2.0, on request only
 *                          /_sandbox                                          state, faults, log, edits: for people
 *
 * It listens on 127.0.0.1 alone and answers nobody who calls it by another name: its credentials are no secrets, and
 * its groups can be changed by whoever reaches it.
 */
import { setMaxListeners } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { createBrainstemEmulator } from "./brainstem.js";
import { createControlApp } from "./control-routes.js";
import { createDocspaceEmulator } from "./docspace.js";
import { type ActiveFault, createFaultBox, type Fault, type FaultKind, purposeOf, wait } from "./faults.js";
import { createGenesysEmulator } from "./genesys.js";
import {
  createRandom,
  type Emulator,
  type EmulatorControl,
  type EmulatorOptions,
  type Seed,
  type ServiceName,
} from "./kit.js";
import { createNeuroioEmulator } from "./neuroio.js";
import { sampleSeed } from "./sample.js";
import { createScimEmulator } from "./scim.js";

export interface SandboxOptions {
  /** 0: any free port. @default 0 */
  readonly port?: number;
  /** Which services to start. @default serviceNames */
  readonly services?: readonly ServiceName[];
  /** The people and groups that the services begin with. @default sampleSeed */
  readonly seed?: Seed;
  /** How the services behave where their documents leave it open: the switches of each emulator. */
  readonly switches?: Readonly<Partial<Record<ServiceName, Readonly<Record<string, string | number>>>>>;
  /** Faults that wait for their requests from the start. */
  readonly faults?: readonly Fault[];
  /** Added to every answer of a service, in milliseconds. @default 0 */
  readonly latencyMs?: number;
  /** The same number gives the same luck to faults with a `probability`. @default 1 */
  readonly randomSeed?: number;
  /** The clock of services and log, in milliseconds. @default Date.now */
  readonly now?: () => number;
  /** How many requests the log keeps; older ones are dropped and counted. @default 10_000 */
  readonly logSize?: number;
}

/** One request to a service, without anything secret in it. */
export interface RequestLogEntry {
  /** When it came, in milliseconds of the sandbox's clock. */
  readonly at: number;
  readonly service: ServiceName;
  readonly method: string;
  /** The vendor's path. */
  readonly path: string;
  /** The query, decoded key by key no further than the client sent it: without `?`, empty when there is none. */
  readonly query: string;
  /** 0 while no answer was sent, and for good when the connection ended without one. */
  readonly status: number;
  /** Whether it is one of the vendor's mutating requests. */
  readonly write: boolean;
  /** The fault that struck it. */
  readonly faulted?: FaultKind;
  /** The shape of the body: its keys, how many entries each holds, names and versions. Never a credential. */
  readonly bodySummary?: string;
  /** Why a fault could not do what it says. */
  readonly problem?: string;
}

/** The requests so far, oldest first; a live view. */
export interface RequestLog extends ReadonlyArray<RequestLogEntry> {
  /** Forgets all requests, the count of dropped ones too. */
  clear(): void;
  /** How many old requests the log no longer holds. */
  readonly dropped: number;
}

/** One running service. */
export interface SandboxService {
  /** The address that stands for the vendor's host: the vendor's paths follow it. */
  readonly url: string;
  /** The true state, and someone else's edits to it. */
  readonly control: EmulatorControl;
  /** What lets a client in with all rights; names as in the spec file. */
  readonly credentials: Readonly<Record<string, string>>;
  /** Credentials of people who may do less; names are the emulator's own. */
  readonly otherCredentials: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** The `providers` section of a spec file. */
export type SandboxProviders = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** A running sandbox. */
export interface Sandbox {
  readonly url: string;
  /** The services that were started; asking for another one throws. */
  readonly services: Readonly<Record<ServiceName, SandboxService>>;
  /** What a spec file says under `providers` to reach these services: `faces`, `lab`, `docs`, `calls`, `directory`. */
  config(): SandboxProviders;
  readonly log: RequestLog;
  /** Adds a fault. Returns its id. @throws Error in plain words when the fault is not right */
  addFault(fault: Fault): string;
  /** Whether there was such a fault. */
  removeFault(id: string): boolean;
  clearFaults(): void;
  /** The faults with how many requests each has matched and struck. */
  faults(): readonly ActiveFault[];
  /** Ends the server and every connection, also those that hang. A second call does nothing. */
  close(): Promise<void>;
}

/** What makes each service. Tests of the server put their own in. */
export type EmulatorFactories = Readonly<Record<ServiceName, (options: EmulatorOptions) => Emulator>>;

const emulatorFactories: EmulatorFactories = {
  neuroio: createNeuroioEmulator,
  brainstem: createBrainstemEmulator,
  docspace: createDocspaceEmulator,
  genesys: createGenesysEmulator,
  scim: createScimEmulator,
};

/** The services that a sandbox has unless told otherwise, in the order in which they are shown. */
export const serviceNames: readonly ServiceName[] = ["neuroio", "brainstem", "docspace", "genesys"];

/** These and the one that is started on request only. */
const allServiceNames: readonly ServiceName[] = [...serviceNames, "scim"];

const host = "127.0.0.1";

/**
 * Starts the services on a local server.
 *
 * @example
 * const sandbox = await startSandbox({ faults: [{ kind: "rate-limit", service: "genesys", when: "write" }] });
 * const spec = { version: 1, mode: "authoritative", providers: sandbox.config(), people, groups };
 * // … reconcile, then look at sandbox.services.genesys.control.groups() and sandbox.log
 * await sandbox.close();
 *
 * @throws Error with code `EADDRINUSE` when the port is taken; Error in plain words for wrong switches, services, faults
 */
export async function startSandbox(
  options: SandboxOptions = {},
  factories: EmulatorFactories = emulatorFactories,
): Promise<Sandbox> {
  const now = options.now ?? Date.now;
  const seed = options.seed ?? sampleSeed;
  const chosen = options.services ?? serviceNames;
  for (const name of [...chosen, ...Object.keys(options.switches ?? {})]) {
    if (!allServiceNames.some((known) => known === name)) {
      throw new Error(`There is no service "${name}". Services: ${allServiceNames.join(", ")}.`);
    }
  }

  const emulators = new Map<ServiceName, Emulator>();
  for (const name of allServiceNames) {
    if (!chosen.includes(name)) continue;
    const switches = options.switches?.[name];
    emulators.set(name, factories[name]({ seed, now, ...(switches && { switches }) }));
  }

  const faults = createFaultBox({ random: createRandom(options.randomSeed ?? 1), now });
  function addFault(fault: Fault): string {
    if (fault.service !== undefined && allServiceNames.includes(fault.service) && !emulators.has(fault.service)) {
      throw new Error(`This sandbox was started without ${fault.service}: the fault would never strike.`);
    }
    return faults.add(fault);
  }
  for (const fault of options.faults ?? []) addFault(fault);

  const log = createRequestLog(options.logSize ?? 10_000);
  const withoutKnownSecrets = redactor(collectSecrets([...emulators.values()]));
  const closing = new AbortController();
  // Any number of late answers may wait for it.
  setMaxListeners(0, closing.signal);
  const latencyMs = options.latencyMs ?? 0;

  async function serveService(
    emulator: Emulator,
    path: string,
    request: Request,
    env: HttpBindings,
  ): Promise<Response> {
    const url = new URL(request.url);
    const hasBody = request.method !== "GET" && request.method !== "HEAD";
    const body = hasBody ? Buffer.from(await request.arrayBuffer()) : undefined;
    const withoutOwnSecret = redactor(secretsOf(request));
    const clean = (text: string) => withoutOwnSecret(withoutKnownSecrets(text));
    const entry = log.add({
      at: now(),
      service: emulator.service,
      method: request.method,
      path: clean(path.replace(/(\/tokens\/)(?!\d+(?:\/|$))[^/]+/, "$1***")),
      query: clean(url.search.slice(1)),
      status: 0,
      write: purposeOf(emulator.service, request.method, path) === "write",
      ...(body && body.length > 0 && { bodySummary: clean(summariseBody(body, request.headers.get("content-type"))) }),
    });
    const inner = new Request(new URL(path + url.search, url.origin), {
      method: request.method,
      headers: [...request.headers],
      ...(body && body.length > 0 && { body }),
    });
    const handled = await faults.handle(emulator, inner, env);
    if (latencyMs > 0) await wait(latencyMs, closing.signal);
    entry.status = handled.status;
    if (handled.faulted) entry.faulted = handled.faulted;
    if (handled.problem !== undefined) entry.problem = clean(handled.problem);
    return handled.response;
  }

  async function serve(request: Request, env: HttpBindings): Promise<Response> {
    if (!isLoopbackName(env.incoming.headers.host) || !isLoopbackAddress(env.incoming.socket.remoteAddress)) {
      return plain("The sandbox answers on this machine only, under 127.0.0.1 or localhost.\n", 403);
    }
    const { pathname } = new URL(request.url);
    if (pathname === "/" || pathname === "/_sandbox" || pathname.startsWith("/_sandbox/")) {
      return control.fetch(request);
    }
    const [, first = ""] = pathname.split("/");
    const emulator = [...emulators.values()].find(({ service }) => service === first);
    if (!emulator) {
      const started = [...emulators.keys()].map((name) => `/${name}`).join(", ");
      return plain(`Nothing is at ${pathname}. Services: ${started}. Help: ${url}/_sandbox\n`, 404);
    }
    return serveService(emulator, pathname.slice(first.length + 1) || "/", request, env);
  }

  // The globals of the process under test stay as they are.
  const listener = getRequestListener((request, env) => serve(request, env as HttpBindings), {
    overrideGlobalObjects: false,
  });
  const server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
  // Longer than any pause of a client: a kept connection that ends between two requests would be a fault nobody asked for.
  server.keepAliveTimeout = 10 * 60_000;
  const port = await listen(server, options.port ?? 0);
  const url = `http://${host}:${port}`;

  const services = describeServices(emulators, url);
  let closed: Promise<void> | undefined;

  const sandbox: Sandbox = {
    url,
    services,
    config: () => providersOf(emulators, url),
    log: log.view,
    addFault,
    removeFault: (id) => faults.remove(id),
    clearFaults: () => faults.clear(),
    faults: () => faults.list(),
    close: () => {
      closed ??= new Promise((resolve) => {
        closing.abort();
        faults.close();
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closed;
    },
  };
  const control = createControlApp({ sandbox, emulators, people: seed.people.map(({ id }) => id) });
  return sandbox;
}

/** @throws Error with the system's code and words for people */
async function listen(server: ReturnType<typeof createServer>, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const code = cause.code ?? "";
      reject(Object.assign(new Error(listenMessage(code, port, cause.message), { cause }), { code, port }));
    });
    server.listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

function listenMessage(code: string, port: number, message: string): string {
  const choose = "Choose another port, or port 0 for any free one.";
  if (code === "EADDRINUSE") return `Port ${port} on ${host} is taken by another program. ${choose}`;
  if (code === "EACCES") return `Port ${port} on ${host} is not open to this user. ${choose}`;
  return `The sandbox can't listen on port ${port} of ${host}: ${message}. ${choose}`;
}

/** A page of another site that was pointed at 127.0.0.1 by its own name still sends that name. */
function isLoopbackName(hostHeader: string | undefined): boolean {
  const name = (hostHeader ?? "").replace(/:\d+$/, "").toLowerCase();
  return name === "127.0.0.1" || name === "localhost" || name === "[::1]";
}

function isLoopbackAddress(address: string | undefined): boolean {
  return address !== undefined && /^(::ffff:)?127\./.test(address);
}

function plain(text: string, status: number): Response {
  return new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}

function describeServices(
  emulators: ReadonlyMap<ServiceName, Emulator>,
  url: string,
): Readonly<Record<ServiceName, SandboxService>> {
  const services = {};
  for (const name of allServiceNames) {
    const emulator = emulators.get(name);
    if (emulator) {
      const { control, credentials, otherCredentials } = emulator;
      const service: SandboxService = { url: `${url}/${name}`, control, credentials, otherCredentials };
      Object.defineProperty(services, name, { enumerable: true, value: service });
    } else {
      Object.defineProperty(services, name, {
        get: () => {
          throw new Error(`This sandbox was started without ${name}. It has: ${[...emulators.keys()].join(", ")}.`);
        },
      });
    }
  }
  return services as Readonly<Record<ServiceName, SandboxService>>;
}

function providersOf(emulators: ReadonlyMap<ServiceName, Emulator>, url: string): SandboxProviders {
  const providers: Record<string, Readonly<Record<string, string>>> = {};
  for (const [name, { credentials }] of emulators) {
    const address = `${url}/${name}`;
    const type = name;
    if (name === "neuroio") providers["faces"] = { type, baseUrl: address, iamUrl: address, ...credentials };
    if (name === "brainstem") providers["lab"] = { type, baseUrl: address, ...credentials };
    if (name === "docspace") providers["docs"] = { type, baseUrl: address, ...credentials };
    if (name === "genesys") providers["calls"] = { type, baseUrl: address, loginUrl: address, ...credentials };
    if (name === "scim") providers["directory"] = { type, baseUrl: address, ...credentials };
  }
  return providers;
}

// --- the log

type MutableEntry = { -readonly [K in keyof RequestLogEntry]: RequestLogEntry[K] };

function createRequestLog(size: number): { readonly view: RequestLog; add(entry: MutableEntry): MutableEntry } {
  const entries: MutableEntry[] = [];
  let dropped = 0;
  const extras = {
    clear: {
      value: () => {
        entries.length = 0;
        dropped = 0;
      },
    },
    dropped: { get: () => dropped },
  };
  return {
    view: Object.defineProperties(entries, extras) as unknown as RequestLog,
    add(entry) {
      entries.push(entry);
      if (entries.length > size) {
        entries.shift();
        dropped++;
      }
      return entry;
    },
  };
}

/** Everything in the emulators' credentials that lets someone in; names of people and clients are no secrets. */
function collectSecrets(emulators: readonly Emulator[]): readonly string[] {
  return emulators
    .flatMap(({ credentials, otherCredentials }) => [credentials, ...Object.values(otherCredentials)])
    .flatMap((record) => Object.entries(record))
    .filter(([key, value]) => !/^(account|clientId|user(name)?|email|login)$/i.test(key) && value.length >= 6)
    .map(([, value]) => value);
}

/** The credential that this request carries: a client may put it in a path too (NeuroIO: `/v1/tokens/{key}/`). */
function secretsOf(request: Request): readonly string[] {
  const credential = (request.headers.get("authorization") ?? "").trim().split(/\s+/).at(-1) ?? "";
  return credential.length >= 6 ? [credential] : [];
}

/** Blanks out what is secret. Without secrets of its own it knows the usual names of parameters. */
function redactor(secrets: readonly string[]): (text: string) => string {
  // The longest first: one credential may begin like another.
  const literals = [...secrets]
    .sort((one, other) => other.length - one.length)
    .map((secret) => secret.replace(/[\^$.*+?()[\]{}|\\/-]/g, String.raw`\$&`));
  const known = literals.length > 0 ? new RegExp(literals.join("|"), "g") : undefined;
  return (text) =>
    (known ? text.replace(known, "***") : text).replace(
      /\b((?:access_?|refresh_?|device_?)?(?:token|key|secret|password))=[^&\s]+/gi,
      "$1=***",
    );
}

// Scalars that tell a reader of the log what was asked, and are never secret.
const tellingKeys = new Set(["name", "groupName", "version", "groupManager", "pageSize", "pageNumber", "permanent"]);

function summariseBody(body: Buffer, contentType: string | null): string {
  if (contentType?.includes("x-www-form-urlencoded")) {
    return [...new URLSearchParams(body.toString()).keys()].join(" ");
  }
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    return `${body.length} bytes, not JSON`;
  }
  if (Array.isArray(value)) return `[${value.length}]`;
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.entries(value)
    .map(([key, child]: [string, unknown]) => {
      if (Array.isArray(child)) return `${key}[${child.length}]`;
      if (typeof child === "object" && child !== null) return `${key}{${Object.keys(child).length}}`;
      return tellingKeys.has(key) ? `${key}=${JSON.stringify(child)?.slice(0, 80)}` : key;
    })
    .join(" ");
}
