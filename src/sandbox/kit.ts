/**
 * What every emulator of the sandbox shares: the seed, the control surface, and the marks a handler
 * reads when a fault was asked for.
 *
 * An emulator is written from its provider sheet alone and never imports an adapter: two independent
 * readings of a vendor's documents have to agree. It is a Hono app for the vendor's routes plus a
 * control surface for tests, which sees the true state directly, past lag, paging and permissions.
 *
 * Everything that goes wrong on request (429, 5xx, HTML, resets, truncated JSON, empty or short pages, a lying
 * 200, a hang) is done once, in `faults.ts`, around the emulator: an emulator is only asked for its own
 * bodies (`rateLimitBody`, `serverErrorBody`), its list keys, and a way to put its state back
 * (`saveState`, `restoreState`) after a 200 that lied.
 */
import type { Context, Hono } from "hono";

/** The services that the sandbox emulates. `scim` stands for any service with SCIM 2.0 and is started on request only. */
export type ServiceName = "neuroio" | "brainstem" | "docspace" | "genesys" | "scim";

/** What a person holds in a group. An emulator without a role ignores it. */
export type SeedRole = "member" | "manager" | "owner";

/** A person of the seed. The same seed person exists on every service, under an id of that service's kind. */
export interface SeedPerson {
  /** The seed's own id; account ids of each service are derived from it, the same in every run. */
  readonly id: string;
  readonly email: string;
  readonly name?: string;
  /** Default `active`. `guest` matters to DocSpace alone; elsewhere it is `active`. */
  readonly status?: "active" | "pending" | "disabled" | "deleted" | "guest";
  /** Services on which this person has an account. Default: all. */
  readonly services?: readonly ServiceName[];
}

/** A group of the seed. People are named by their seed ids; someone without an account on the service is left out. */
export interface SeedGroup {
  readonly name: string;
  readonly description?: string;
  readonly members?: readonly string[];
  readonly managers?: readonly string[];
  readonly owners?: readonly string[];
  /** BrainSTEM: people who hold a pending invitation. */
  readonly invited?: readonly string[];
  /**
   * `plain` (default), or a group that must not be touched: `builtin`, `directory` (LDAP) at DocSpace,
   * `dynamic` (skill expression) at Genesys.
   */
  readonly kind?: "plain" | "builtin" | "directory" | "dynamic";
  /** Services on which the group exists. Default: all. */
  readonly services?: readonly ServiceName[];
}

/** The state in which the services begin. */
export interface Seed {
  readonly people: readonly SeedPerson[];
  readonly groups: readonly SeedGroup[];
}

/** A member as the service truly holds it, seen past lag, paging and permissions. */
export interface TrueMember {
  /** The service's member key: NeuroIO pid, BrainSTEM e-mail, DocSpace, Genesys or SCIM user id. */
  readonly account: string;
  readonly role: SeedRole;
  /** Genesys: false for an owner who is not an individual. Elsewhere true. */
  readonly direct: boolean;
}

/** A group as the service truly holds it. */
export interface TrueGroup {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  readonly members: readonly TrueMember[];
  /** Accounts with a pending invitation (BrainSTEM; empty elsewhere). One row each, so a double invitation shows twice. */
  readonly invited: readonly string[];
}

/** What tests do to and see of an emulator, without its HTTP interface. All of it takes effect at once, whatever the lag. */
export interface EmulatorControl {
  /** Every group that is not deleted, in the order of creation. */
  groups(): readonly TrueGroup[];
  /** The account id (member key) of a seed person, or undefined when the person has no account here. */
  accountOf(personId: string): string | undefined;
  /** Adds a person, as if registered by hand. Returns the account id. */
  addPerson(person: SeedPerson): string;
  /** Adds a group, as if made by hand. Returns its id. */
  addGroup(group: SeedGroup): string;
  /** Someone else's edits. `account` is the member key. Adding at BrainSTEM makes a member, not an invitation. */
  addMember(groupId: string, account: string, role?: SeedRole): void;
  removeMember(groupId: string, account: string): void;
  renameGroup(groupId: string, name: string): void;
  deleteGroup(groupId: string): void;
  setPersonStatus(account: string, status: NonNullable<SeedPerson["status"]>): void;
  /** BrainSTEM: the invitee's answer. Returns how many invitations were answered. Other services return 0. */
  answerInvitations(answer: "accept" | "reject", filter?: { groupId?: string; account?: string }): number;
  /** Every access token issued so far stops working (a client may log in again where the service has a log-in). */
  expireTokens(): void;
}

/** The fault marks that a handler, not the wrapper, has to honour. Read with `marksOf(context)`. */
export interface RequestMarks {
  /** Eventual consistency asked for this request: the write shows to readers only after so many milliseconds. */
  readonly lagMs?: number;
}

const marks = new WeakMap<Request, RequestMarks>();

/** Leaves marks for the handler of a request; done by the wrapper in `faults.ts`. */
export function markRequest(request: Request, requestMarks: RequestMarks): void {
  marks.set(request, requestMarks);
}

/** The marks left for this request; none for most. */
export function marksOf(context: Context): RequestMarks {
  return marks.get(context.req.raw) ?? {};
}

/** One emulated service. */
export interface Emulator {
  readonly service: ServiceName;
  /** The vendor's routes, at the vendor's own paths (`/v1/…`, `/api/private/…`, `/api/2.0/…`, `/api/v2/…`, `/oauth/token`). */
  readonly app: Hono;
  readonly control: EmulatorControl;
  /** Ready-made credentials: what a config of group-sync needs to be let in with all rights. Names as in the spec file. */
  readonly credentials: Readonly<Record<string, string>>;
  /**
   * Further credentials by what their holder may do, for tests (`brainstem`: owner, manager, member, outsider;
   * `docspace`: readOnly, writeOnly, roomAdmin, …). Names are the emulator's own and documented there.
   */
  readonly otherCredentials: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Keys under which this service's answers hold a list, for the faults that empty or shorten a page. */
  readonly listKeys: readonly string[];
  /** Body and extra headers of this service's 429 (a `Retry-After` is added by the caller when asked for). */
  rateLimitBody(retryAfterSeconds: number | undefined): {
    readonly body: unknown;
    readonly headers: Readonly<Record<string, string>>;
  };
  /** Body of this service's own 5xx. */
  serverErrorBody(status: number): unknown;
  /** A copy of the whole state, and back: used for a 200 that lied (nothing was applied). */
  saveState(): unknown;
  restoreState(state: unknown): void;
}

/** What an emulator is given when it is made. */
export interface EmulatorOptions {
  readonly seed: Seed;
  /** The service's switches of §10 of its sheet, by the names there. Unknown names or values throw. */
  readonly switches?: Readonly<Record<string, string | number>>;
  /** The clock, in milliseconds. Default `Date.now`. */
  readonly now?: () => number;
}

/** Deterministic pseudo-random numbers in [0, 1): the same seed gives the same row (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A UUID that depends only on its parts: the same text gives the same id in every run and on every machine. */
export function stableUuid(...parts: readonly string[]): string {
  // Four 32-bit FNV-1a hashes with different offsets: distinct enough for ids, no cryptography needed.
  const text = parts.join("\u0000");
  const words = [0x811c9dc5, 0x01000193, 0x9e3779b9, 0x85ebca6b].map((offset) => {
    let hash = offset;
    for (let index = 0; index < text.length; index++) {
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
      hash = (hash ^ (hash >>> 13)) >>> 0;
    }
    return hash.toString(16).padStart(8, "0");
  });
  const hex = words.join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Reads and checks the switches of one emulator against its table of allowed values (`"number"` admits any whole number ≥ 0). */
export function readSwitches<const T extends Readonly<Record<string, readonly (string | number)[]>>>(
  service: ServiceName,
  table: T,
  given: Readonly<Record<string, string | number>> = {},
): { [K in keyof T]: string | number } {
  const result: Record<string, string | number> = {};
  for (const [name, values] of Object.entries(table)) {
    const first = values[0];
    if (first === undefined) throw new Error(`${service}: switch ${name} has no values`);
    result[name] = first;
  }
  for (const [name, value] of Object.entries(given)) {
    const values = table[name];
    if (!values) {
      throw new Error(`${service} has no switch "${name}". Switches: ${Object.keys(table).join(", ")}.`);
    }
    const anyNumber = values.includes("number") && typeof value === "number" && Number.isInteger(value) && value >= 0;
    if (!anyNumber && !values.includes(value)) {
      throw new Error(`${service}: switch ${name} takes ${values.join(" | ")}, not ${JSON.stringify(value)}.`);
    }
    result[name] = value;
  }
  return result as { [K in keyof T]: string | number };
}
