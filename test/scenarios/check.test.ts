/**
 * What `check` finds under every kind of credentials that a service knows, against the sandbox: who we are, what we may
 * not do, and what to take instead. Nothing is written, and no secret is repeated.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GroupSyncError } from "../../src/errors.js";
import { createCallContext, type GroupProvider } from "../../src/provider.js";
import { builtinProviderTypes } from "../../src/providers/builtin.js";
import { type ProviderKey, providerIds, startWorld, type World } from "./world.js";

let world: World;
beforeAll(async () => {
  world = await startWorld({
    seed: { people: [{ id: "ana", email: "ana@example.org" }], groups: [{ name: "Night shift", members: ["ana"] }] },
    switches: { brainstem: { staff: "everyGroup" } },
  });
});
afterAll(() => world.close());

/** The provider as the sandbox says to reach it, with other credentials in place of the usual ones. */
function createProvider(key: ProviderKey, who: string, take: readonly string[]): GroupProvider {
  const type = builtinProviderTypes.find((candidate) => candidate.type === providerIds[key]);
  if (!type) throw new Error(`There is no type for ${key}.`);
  const { type: _, ...usual } = world.sandbox.config()[key] ?? {};
  const kept = Object.entries(usual).filter(([name]) => !type.secretOptions.includes(name) && name !== "account");
  const given = world.sandbox.services[providerIds[key]].otherCredentials[who] ?? {};
  const options = Object.fromEntries([...kept, ...take.map((name) => [name, given[name]])]);
  return type.create(key, type.options.parse(options));
}

const refusesToList = /^error: The portal refuses to list groups \(403\)/;
/** Whose credentials, which of them, what is said besides what is well, and how we are known. */
const usable: readonly (readonly [ProviderKey, string, readonly string[], readonly RegExp[], RegExp])[] = [
  ["faces", "login", ["username", "password"], [], /NeuroIO at .*, as sandbox@example\.org/],
  ["faces", "space", ["token"], [/^warning: No group is visible/], /space 2/],
  ["faces", "temporary", ["token"], [/^warning: .*a temporary token ends 24 hours after its creation/], /sandbox@/],
  ["faces", "manager", ["token"], [/^error: .*A manager's token is for tokens and spaces only; take/], /sandbox@/],
  ["lab", "owner", ["token", "account"], [], /as owner@sandbox\.example/],
  ["lab", "manager", ["token", "account"], [/^warning: .* owns no group.*where it is a manager/], /as manager@/],
  ["lab", "member", ["token", "account"], [/^warning: .* owns no group.*it cannot change/], /as member@/],
  ["lab", "owner", ["token"], [/^warning: Whose token this is cannot be read.*Set `account`/], /BrainSTEM at/],
  ["docs", "owner", ["apiKey"], [], /owner/],
  ["docs", "admin", ["apiKey"], [], /admin/],
  ["docs", "readWrite", ["apiKey"], [], /owner/],
  ["docs", "readOnly", ["apiKey"], [/^error: The API key lacks the scope accounts:write/], /owner/],
  [
    "docs",
    "writeOnly",
    ["apiKey"],
    [/^error: The API key lacks the scope accounts:read/, /^warning: The account behind/],
    /docspace as [0-9a-f-]{36}/,
  ],
  ["docs", "roomAdmin", ["apiKey"], [/^error: Acts as .*a room admin.*Use the key of a DocSpace admin/], /roomadmin/],
  ["docs", "user", ["apiKey"], [/^error: Acts as .*a user.*Use the key of a DocSpace admin/, refusesToList], /user/],
  ["docs", "guest", ["userName", "password"], [/^error: Acts as .*a guest/, refusesToList], /guest/],
  ["docs", "admin", ["token"], [/^warning: .*it runs out and is not renewed/], /admin/],
  ["calls", "editor", ["clientId", "clientSecret"], [], /OAuth client sandbox-genesys-editor/],
  ["calls", "readOnly", ["clientId", "clientSecret"], [], /OAuth client sandbox-genesys-read-only/],
  [
    "calls",
    "noRights",
    ["clientId", "clientSecret"],
    [/directory:group:view/, /directory:user:view/],
    /OAuth client sandbox-genesys-no-rights/,
  ],
];

/** Credentials that are refused outright. */
const refused: readonly (readonly [ProviderKey, string, readonly string[]])[] = [
  ["faces", "expired", ["token"]],
  ["faces", "inactive", ["token"]],
  ["docs", "inactive", ["apiKey"]],
  ["docs", "expired", ["apiKey"]],
  ["calls", "wrongSecret", ["clientId", "clientSecret"]],
];

function expectNoSecret(text: string, key: ProviderKey, who: string): void {
  const credentials = world.sandbox.services[providerIds[key]].otherCredentials[who] ?? {};
  for (const name of ["token", "apiKey", "password", "clientSecret"]) {
    const secret = credentials[name];
    if (secret !== undefined) expect(text).not.toContain(secret);
  }
}

describe("check", () => {
  it.each(usable)(
    "of %s as %s (by %j) says who we are and what is missing",
    async (key, who, take, wanted, identity) => {
      const report = await createProvider(key, who, take).checkAccess(createCallContext());
      const remarks = report.findings
        .filter(({ level }) => level !== "ok")
        .map(({ level, message }) => `${level}: ${message}`);
      expect(remarks).toEqual(wanted.map((pattern) => expect.stringMatching(pattern)));
      expect(report.identity).toMatch(identity);
      expectNoSecret(JSON.stringify(report), key, who);
    },
  );

  it.each(refused)("of %s as %s (by %j) ends with refused credentials", async (key, who, take) => {
    const error = await createProvider(key, who, take)
      .checkAccess(createCallContext())
      .then(
        () => undefined,
        (reason: unknown) => reason as GroupSyncError,
      );
    expect(error?.code).toBe("unauthenticated");
    expectNoSecret(String(error), key, who);
  });

  it("has written nothing", () => {
    expect(world.sandbox.log.length).toBeGreaterThan(20);
    expect(world.sandbox.log.filter(({ write, path }) => write && !/token|authentication/.test(path))).toEqual([]);
  });
});
