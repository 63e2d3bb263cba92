/**
 * Who is calling, and how often: API keys, log-in tokens, Basic, the scopes of keys, and the rate limits of sheet §4.
 */
import { stableUuid } from "../kit.js";
import type { Account, AccountType, Portal } from "./portal.js";

export interface ApiKey {
  readonly id: string;
  readonly name: string;
  readonly secret: string;
  readonly ownerId: string;
  /** Empty or `*`: everything. */
  readonly scopes: readonly string[];
  readonly isActive: boolean;
  expiresAt?: number;
}

/** The person behind a request, and the key used, if it was one. */
export interface Caller {
  readonly account: Account;
  readonly key?: ApiKey;
}

interface AccessState {
  keys: Map<string, ApiKey>;
  /** Log-in token → account and end of life. */
  sessions: Map<string, { accountId: string; expiresAt: number }>;
  passwords: Map<string, string>;
  loginCount: number;
}

/** The portal's own people, who hold the ready-made credentials. A guest cannot have a key, only a log-in. */
const holders = [
  { name: "owner", type: "owner", hasKey: true },
  { name: "admin", type: "admin", hasKey: true },
  { name: "roomAdmin", type: "roomAdmin", hasKey: true },
  { name: "user", type: "user", hasKey: true },
  { name: "guest", type: "guest", hasKey: false },
] as const satisfies readonly { name: string; type: AccountType; hasKey: boolean }[];

/** Further keys of the owner, by what they may not do. */
const ownerKeys = [
  { name: "readWrite", scopes: ["accounts:read", "accounts:write"] },
  { name: "readOnly", scopes: ["accounts:read"] },
  { name: "writeOnly", scopes: ["accounts:write"] },
  { name: "readAll", scopes: ["*:read"] },
  { name: "writeAll", scopes: ["*:write"] },
  { name: "selfOnly", scopes: ["accounts.self:read"] },
  { name: "otherScope", scopes: ["rooms:read"] },
  { name: "emptyScopes", scopes: [] },
  { name: "inactive", scopes: ["*"] },
  { name: "expired", scopes: ["*"] },
] as const;

/** All log-ins of the sandbox have this password. */
const password = "sandbox-password";

const sessionMs = 24 * 60 * 60 * 1000;
const minuteMs = 60 * 1000;
const dayMs = 24 * 60 * minuteMs;

/** POST and PUT of one user in a day, and requests of one user at once (sheet §4). */
const dailyWrites = 10_000;
const concurrentReads = 50;
const concurrentWrites = 15;

/** A key of the vendor's shape that nobody could take for a real one. */
const fakeSecret = (index: number): string => `sk-${"fa4e".repeat(15)}${index.toString(16).padStart(4, "0")}`;

const isJwt = (token: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]*$/.test(token);

/** Registers the holders on the portal and lets their requests in. */
export function createAccess(portal: Portal, now: () => number) {
  let state: AccessState = { keys: new Map(), sessions: new Map(), passwords: new Map(), loginCount: 0 };

  function addKey(name: string, ownerId: string, scopes: readonly string[]): string {
    const secret = fakeSecret(state.keys.size + 1);
    state.keys.set(secret, {
      id: stableUuid("docspace", "key", name),
      name,
      secret,
      ownerId,
      scopes,
      isActive: name !== "inactive",
      ...(name === "expired" ? { expiresAt: 0 } : {}),
    });
    return secret;
  }

  function logIn(userName: string, given: string): { token: string; expiresAt: number } | undefined {
    const account = portal.accountByEmail(userName, false) ?? portal.accountByUserName(userName);
    if (!account || account.removed || account.status === 2) return undefined;
    if (state.passwords.get(account.id) !== given) return undefined;
    state.loginCount++;
    const token = `sandbox-token-${stableUuid("docspace", "session", String(state.loginCount))}`;
    const expiresAt = now() + sessionMs;
    state.sessions.set(token, { accountId: account.id, expiresAt });
    return { token, expiresAt };
  }

  const usable = (accountId: string): Account | undefined => {
    const account = portal.account(accountId);
    return account && !account.removed && account.status !== 2 ? account : undefined;
  };

  const bySession = (token: string): Caller | undefined => {
    const session = state.sessions.get(token);
    const account = session && session.expiresAt > now() ? usable(session.accountId) : undefined;
    return account && { account };
  };

  /** Chooses the scheme by the header alone, as the vendor does (sheet §1). */
  function authenticate(authorization: string | undefined, cookie: string | undefined): Caller | undefined {
    if (authorization === undefined || authorization === "") {
      const fromCookie = /(?:^|;\s*)asc_auth_key=([^;]+)/.exec(cookie ?? "")?.[1];
      return fromCookie === undefined ? undefined : bySession(fromCookie);
    }
    const basic = /^Basic\s+(.+)$/i.exec(authorization)?.[1];
    if (basic !== undefined) {
      const [userName = "", ...rest] = Buffer.from(basic, "base64").toString("utf8").split(":");
      const account = portal.accountByEmail(userName, false) ?? portal.accountByUserName(userName);
      const known = account && usable(account.id);
      return known && state.passwords.get(known.id) === rest.join(":") ? { account: known } : undefined;
    }
    const bearer = /^Bearer\s+(.+)$/i.exec(authorization)?.[1];
    // OAuth2 has no issuer here: a JWT is well-formed and unknown.
    if (bearer !== undefined && isJwt(bearer)) return undefined;
    if (bearer?.startsWith("sk-")) {
      const key = state.keys.get(bearer);
      if (!key?.isActive || (key.expiresAt !== undefined && key.expiresAt <= now())) return undefined;
      const account = usable(key.ownerId);
      return account && { account, key };
    }
    // A key without the word Bearer ends here, and is no log-in token.
    return bySession(bearer ?? authorization);
  }

  const others: Record<string, Readonly<Record<string, string>>> = {};
  let ownerId = "";
  for (const { name, type, hasKey } of holders) {
    const account = portal.register({
      id: stableUuid("docspace", "holder", name),
      email: `${name.toLowerCase()}@docspace-sandbox.invalid`,
      name: `Sandbox ${name}`,
      type,
      status: 1,
    });
    if (type === "owner") ownerId = account.id;
    state.passwords.set(account.id, password);
    others[name] = {
      ...(hasKey ? { apiKey: addKey(name, account.id, ["*"]) } : {}),
      userName: account.email,
      password,
      token: logIn(account.email, password)?.token ?? "",
      userId: account.id,
    };
  }
  for (const { name, scopes } of ownerKeys) others[name] = { apiKey: addKey(name, ownerId, scopes), userId: ownerId };

  return {
    authenticate,
    logIn,
    logOut: (authorization: string | undefined): void => {
      state.sessions.delete((authorization ?? "").replace(/^Bearer\s+/i, ""));
    },
    /** The owner's key with all rights, and everybody else's. */
    credentials: { apiKey: others.owner?.apiKey ?? "" },
    otherCredentials: others,
    keysOf: (accountId: string): readonly ApiKey[] =>
      [...state.keys.values()].filter((key) => key.ownerId === accountId),
    /** Log-ins end, and keys have reached their last day: a key cannot be renewed by its user's own means. */
    expireTokens: (): void => {
      state.sessions.clear();
      for (const key of state.keys.values()) key.expiresAt = Math.min(key.expiresAt ?? now(), now());
    },
    saveState: (): unknown => structuredClone(state),
    restoreState: (saved: unknown): void => {
      state = structuredClone(saved) as AccessState;
    },
  };
}

/** A request that came too soon. Only the daily window knows when to come back (sheet §4). */
export interface Rejection {
  readonly daily: boolean;
  readonly limit: number;
  readonly retryAfterSeconds: number;
}

/** The limits of one portal, per owner of the key (so shared by all its keys). `perMinute` undefined: off, as shipped. */
export function createRateLimits(perMinute: number | undefined, now: () => number) {
  const windows = new Map<string, number[]>();
  const days = new Map<string, { day: number; count: number }>();
  const running = new Map<string, number>();

  /** Lets the request in and returns how to sign it off, or says why not. */
  return function admit(who: string, method: string): Rejection | (() => void) {
    if (perMinute === undefined) return () => {};
    const at = now();
    const isRead = method === "GET";
    const lane = `${who} ${isRead ? "read" : "write"}`;
    const atOnce = running.get(lane) ?? 0;
    const cap = isRead ? concurrentReads : concurrentWrites;
    if (atOnce >= cap) return { daily: false, limit: cap, retryAfterSeconds: 1 };

    const counted = (windows.get(who) ?? []).filter((time) => time > at - minuteMs);
    windows.set(who, counted);
    if (counted.length >= perMinute) {
      const wait = ((counted[0] ?? at) + minuteMs - at) / 1000;
      return { daily: false, limit: perMinute, retryAfterSeconds: Math.max(1, Math.ceil(wait)) };
    }
    if (method === "POST" || method === "PUT") {
      const day = Math.floor(at / dayMs);
      const today = days.get(who);
      const count = today?.day === day ? today.count : 0;
      if (count >= dailyWrites) {
        const wait = ((day + 1) * dayMs - at) / 1000;
        return { daily: true, limit: dailyWrites, retryAfterSeconds: Math.max(1, Math.ceil(wait)) };
      }
      days.set(who, { day, count: count + 1 });
    }
    counted.push(at);
    running.set(lane, atOnce + 1);
    return () => {
      running.set(lane, (running.get(lane) ?? 1) - 1);
    };
  };
}
