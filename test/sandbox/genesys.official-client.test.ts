/**
 * The emulator driven by the vendor's own client over a real socket, mounted under a prefix as the sandbox server
 * does it. What the client makes of an answer, we can not have misread together with the emulator.
 */
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import type platformClient from "purecloud-platform-client-v2";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createGenesysApi, GENESYS_REGIONS } from "../../src/providers/genesys/index.js";
import { createGenesysEmulator } from "../../src/sandbox/genesys.js";

const emulator = createGenesysEmulator({
  seed: {
    people: [
      { id: "ana", email: "ana@example.org", name: "Ana" },
      { id: "ben", email: "ben@example.org", name: "Ben" },
      { id: "cleo", email: "cleo@example.org", name: "Cleo", status: "disabled" },
    ],
    groups: [
      { name: "Night shift", members: ["ana"], owners: ["ben"] },
      { name: "Skilled", members: ["ana"], kind: "dynamic" },
    ],
  },
});

const home = mkdtempSync(join(tmpdir(), "genesys-client-"));
const previousHome = process.env.HOME;
const server = serve({ fetch: new Hono().mount("/genesys", emulator.app.fetch).fetch, hostname: "127.0.0.1", port: 0 });
let platform: typeof platformClient;
/** Every call of the client's for groups, each watched. */
const groupCalls = new Map<string, ReturnType<typeof vi.spyOn>>();

beforeAll(async () => {
  // The client reads ~/.genesyscloudjavascript/config while it is loaded, which could override the gateway.
  process.env.HOME = home;
  platform = (await import("purecloud-platform-client-v2")).default;
  const calls = platform.GroupsApi.prototype as unknown as Record<string, () => unknown>;
  for (const name of Object.getOwnPropertyNames(calls)) {
    if (name !== "constructor") groupCalls.set(name, vi.spyOn(calls, name));
  }
  const { port } = server.address() as AddressInfo;
  const prefix = { path_params_login: "genesys", path_params_api: "genesys" };
  platform.ApiClient.instance.setGateway({ host: "127.0.0.1", protocol: "http", port, ...prefix });
  const { clientId = "", clientSecret = "" } = emulator.credentials;
  await platform.ApiClient.instance.loginClientCredentialsGrant(clientId, clientSecret);
});

afterAll(async () => {
  platform.ApiClient.instance.config.setConfigPath("");
  await new Promise((resolve) => {
    server.close(resolve);
  });
  process.env.HOME = previousHome;
  rmSync(home, { recursive: true });
});

const person = (id: string) => emulator.control.accountOf(id) ?? "";
const groupId = (name: string) => emulator.control.groups().find((group) => group.name === name)?.id ?? "";
const idsOf = (entities: readonly { readonly id?: string }[] | undefined) => entities?.map(({ id }) => id);

test("the client logs in, and a wrong secret is told apart", async () => {
  const { tokenExpiryTime, accessToken } = await platform.ApiClient.instance.loginClientCredentialsGrant(
    emulator.credentials.clientId ?? "",
    emulator.credentials.clientSecret ?? "",
  );
  expect(accessToken).toMatch(/^sandbox-genesys-token-/);
  expect(tokenExpiryTime).toBeGreaterThan(Date.now() + 86_000_000);
  // Another client object, so that the failed log-in does not take this one's token away.
  const Other = platform.ApiClient.instance.constructor as new () => typeof platform.ApiClient.instance;
  const other = new Other();
  const gateway = platform.ApiClient.instance.config.gateway;
  if (gateway) other.setGateway(gateway);
  const { clientId = "", clientSecret = "" } = emulator.otherCredentials.wrongSecret ?? {};
  // A refused log-in is rejected with the error of axios, not with its body as API calls are.
  await expect(other.loginClientCredentialsGrant(clientId, clientSecret)).rejects.toMatchObject({
    response: { status: 400, data: { error: "invalid_client" } },
  });
  other.config.setConfigPath("");
});

test("groups are made, read, changed, listed, searched and deleted", async () => {
  const groups = new platform.GroupsApi();
  const made = await groups.postGroups({
    name: "Ops",
    description: "On call",
    type: "official",
    rulesVisible: true,
    visibility: "public",
  });
  const id = made.id ?? "";
  expect(made).toMatchObject({ name: "Ops", version: 1, memberCount: 0 });
  const changed = await groups.putGroup(id, { body: { version: 1, description: "On call", name: "Operations" } });
  expect(changed).toMatchObject({ version: 2, description: "On call" });
  expect(await groups.getGroup(id)).toEqual(changed);
  expect(await groups.getGroupProfile(id, { fields: "name" })).toMatchObject({ id, name: "Operations" });

  const listed = await groups.getGroups({ pageSize: 100, id: [id, groupId("Skilled")] });
  expect(idsOf(listed.entities)).toEqual([id, groupId("Skilled")]);
  const profiles = await groups.getProfilesGroups({ pageSize: 1, pageNumber: 2, sortOrder: "descending" });
  expect(profiles).toMatchObject({ total: 3, pageCount: 3, pageNumber: 2, entities: [{ name: "Operations" }] });
  expect(await groups.getFieldconfig("group")).toMatchObject({ entityType: "group" });

  const search = { pageSize: 1, query: [{ type: "CONTAINS", fields: ["name"], value: "i" }] };
  const first = await groups.postGroupsSearch(search);
  expect(first).toMatchObject({ total: 3, results: [{ name: "Night shift" }] });
  const second = await groups.getGroupsSearch(first.nextPage ?? "");
  expect(second).toMatchObject({ total: 3, pageNumber: 2, results: [{ name: "Operations" }] });

  await groups.deleteGroup(id);
  await expect(groups.getGroup(id)).rejects.toMatchObject({ status: 404, code: "general.resource.not.found" });
});

test("members are added with the version, removed as one text, and read in both lists", async () => {
  const groups = new platform.GroupsApi();
  const id = groupId("Night shift");
  const { version = 0 } = await groups.getGroup(id);
  expect(await groups.postGroupMembers(id, { memberIds: [person("ben"), person("cleo")], version })).toEqual({});
  expect(idsOf((await groups.getGroupIndividuals(id)).entities)).toEqual(["ana", "ben", "cleo"].map(person));

  await groups.deleteGroupMembers(id, [person("ana"), person("ben")].join(","));
  expect(idsOf((await groups.getGroupIndividuals(id)).entities)).toEqual([person("cleo")]);
  const members = await groups.getGroupMembers(id, { pageSize: 1, pageNumber: 2, expand: ["groups"] });
  expect(members).toMatchObject({ total: 2, pageCount: 2, entities: [{ id: person("cleo"), groups: [{ id }] }] });

  const stale = groups.postGroupMembers(id, { memberIds: [person("ana")], version });
  await expect(stale).rejects.toMatchObject({ status: 409, code: "general.conflict" });
});

test("both membership writes are answered with 202", async () => {
  const client = platform.ApiClient.instance;
  client.setReturnExtendedResponses(true);
  try {
    const groups = new platform.GroupsApi();
    const id = groupId("Night shift");
    const added: unknown = await groups.postGroupMembers(id, { memberIds: [person("ana")] });
    const removed: unknown = await groups.deleteGroupMembers(id, person("ana"));
    expect(added).toMatchObject({ status: 202 });
    expect(removed).toMatchObject({ status: 202 });
  } finally {
    client.setReturnExtendedResponses(false);
  }
});

test("skill expressions are set, read, previewed and removed", async () => {
  const groups = new platform.GroupsApi();
  const id = groupId("Night shift");
  const condition = { routingSkill: "Deutsch", comparator: "EqualTo", proficiency: 3, childConditions: [] };
  const query = {
    skillConditions: [{ routingSkillConditions: [condition], languageSkillConditions: [], operation: "And" }],
  };
  await groups.putGroupDynamicsettings(id, query);
  expect(await groups.getGroupDynamicsettings(id)).toMatchObject({ group: { id }, query });
  expect(await groups.postGroupsDynamicsettingsPreview(query)).toEqual({ userCount: 0 });
  await groups.deleteGroupDynamicsettings(id);
  await expect(groups.getGroupDynamicsettings(id)).rejects.toMatchObject({ status: 404 });
});

test("people are found by id and by e-mail", async () => {
  const users = new platform.UsersApi();
  const both = { pageSize: 100, id: [person("ana"), person("cleo")] };
  expect(idsOf((await users.getUsers(both)).entities)).toEqual([person("ana")]);
  expect(idsOf((await users.getUsers({ ...both, state: "any" })).entities)).toEqual([person("ana"), person("cleo")]);
  expect(await users.getUser(person("cleo"))).toMatchObject({ email: "cleo@example.org", state: "inactive" });
  const query = [{ type: "EXACT", fields: ["email"], value: "ANA@example.org" }];
  const found = await users.postUsersSearch({ pageSize: 25, pageNumber: 1, query });
  expect(found).toMatchObject({ total: 1, results: [{ id: person("ana"), email: "ana@example.org" }] });
});

test("our regions are the client's", () => {
  const { PureCloudRegionHosts: hosts } = platform as unknown as { readonly PureCloudRegionHosts: object };
  expect(GENESYS_REGIONS).toEqual({ ...hosts });
  for (const region of Object.entries(GENESYS_REGIONS).flat()) {
    expect(() => createGenesysApi({ region, clientId: "c", clientSecret: "s" })).not.toThrow();
  }
});

test("all 18 calls of the client for groups were made above", () => {
  expect(groupCalls.size).toBe(18);
  expect([...groupCalls].filter(([, call]) => call.mock.calls.length === 0).map(([name]) => name)).toEqual([]);
});
