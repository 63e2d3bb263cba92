import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createGenesysApi,
  type GenesysApi,
  type GenesysDynamicQuery,
  type GenesysGeneralSearchRequest,
  type GenesysGroupCreate,
  type GenesysGroupUpdate,
  type GenesysUserSearchRequest,
} from "../../src/providers/genesys/index.js";
import {
  type CapturedRequest,
  captureRequests,
  expectEquivalent,
  isPreferred,
  loadRecordings,
  sortRecordings,
  titleOf,
  wireRules,
} from "./compare.js";

type Args = Readonly<Record<string, unknown>>;
type Driver = (api: GenesysApi, args: Args) => Promise<unknown>;

const text = (value: unknown) => value as string;
const list = (value: unknown) => (typeof value === "string" ? value.split(",") : (value as string[]));
/** The arguments of these names that were given, lists made of single texts. */
const query = (args: Args, ...names: readonly string[]): Args =>
  Object.fromEntries(
    names
      .filter((name) => args[name] !== undefined)
      .map((name) => [name, ["id", "jabberId", "expand", "fields"].includes(name) ? list(args[name]) : args[name]]),
  );
const paging = ["pageSize", "pageNumber", "sortOrder"];
const memberChange = (args: Args) => args["body"] as { memberIds: string[]; version: number };
const stored = (args: Args) => ({ q64: text(args["q64"]), ...query(args, "expand") });

/** The vendor's calls as calls of ours, under the names of the JavaScript client. */
const driversByName: Readonly<Record<string, Driver>> = {
  "ApiClient.loginClientCredentialsGrant": (api) => api.logIn(),
  "GroupsApi.getGroups": (api, args) => api.listGroups(query(args, ...paging, "id", "jabberId")),
  "GroupsApi.getProfilesGroups": (api, args) => api.listGroupProfiles(query(args, ...paging, "id", "jabberId")),
  "GroupsApi.getGroup": (api, args) => api.getGroup(text(args["groupId"])),
  "GroupsApi.postGroups": (api, args) => api.createGroup(args["body"] as GenesysGroupCreate),
  "GroupsApi.putGroup": (api, args) => api.updateGroup(text(args["groupId"]), args["body"] as GenesysGroupUpdate),
  "GroupsApi.deleteGroup": (api, args) => api.deleteGroup(text(args["groupId"])),
  "GroupsApi.getGroupMembers": (api, args) =>
    api.listGroupMembers(text(args["groupId"]), query(args, ...paging, "expand")),
  "GroupsApi.getGroupIndividuals": (api, args) => api.listGroupIndividuals(text(args["groupId"])),
  "GroupsApi.postGroupMembers": (api, args) =>
    api.addGroupMembers(text(args["groupId"]), memberChange(args).memberIds, memberChange(args).version),
  "GroupsApi.deleteGroupMembers": (api, args) => api.removeGroupMembers(text(args["groupId"]), list(args["ids"])),
  "GroupsApi.postGroupsSearch": (api, args) => api.searchGroups(args["body"] as GenesysUserSearchRequest),
  "GroupsApi.getGroupsSearch": (api, args) => api.continueGroupSearch(stored(args)),
  "GroupsApi.getGroupDynamicsettings": (api, args) => api.getGroupDynamicSettings(text(args["groupId"])),
  "GroupsApi.putGroupDynamicsettings": (api, args) =>
    api.updateGroupDynamicSettings(text(args["groupId"]), args["body"] as GenesysDynamicQuery),
  "GroupsApi.deleteGroupDynamicsettings": (api, args) => api.deleteGroupDynamicSettings(text(args["groupId"])),
  "GroupsApi.postGroupsDynamicsettingsPreview": (api, args) =>
    api.previewGroupDynamicSettings(args["body"] as GenesysDynamicQuery),
  "GroupsApi.getGroupProfile": (api, args) => api.getGroupProfile(text(args["groupId"]), query(args, "fields")),
  "GroupsApi.getFieldconfig": (api, args) => api.getFieldConfig(args["type"] as "group"),
  "UsersApi.getUsers": (api, args) => api.listUsers(query(args, ...paging, "id", "jabberId", "expand", "state")),
  "UsersApi.getUser": (api, args) => api.getUser(text(args["userId"]), query(args, "expand")),
  "UsersApi.getUsersMe": (api) => api.getOwnUser(),
  "UsersApi.postUsersSearch": (api, args) => api.searchUsers(args["body"] as GenesysUserSearchRequest),
  "UsersApi.getUsersSearch": (api, args) => api.continueUserSearch(stored(args)),
  "UsersApi.postUserInvite": (api, args) => api.inviteUser(text(args["userId"])),
  "SearchApi.postSearch": (api, args) =>
    api.search(args["body"] as GenesysGeneralSearchRequest, query(args, "profile")),
  "TokensApi.getTokensMe": (api) => api.getOwnToken(),
  "TokensApi.deleteTokensMe": (api) => api.deleteOwnToken(),
  "OrganizationApi.getOrganizationsMe": (api) => api.getOrganization(),
};

/** The Python client's name of a call as the JavaScript client's. */
function javaScriptName(method: string): string {
  return method === "ApiClient.get_client_credentials_token" ? "ApiClient.loginClientCredentialsGrant" : camel(method);
}

function camel(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}

/** Both clients' arguments as one flat object in the JavaScript client's spelling. */
function flatten(args: unknown): Args {
  const { opts, ...rest } = camelKeys(args) as { readonly opts?: Args };
  return { ...rest, ...opts };
}

function camelKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [camel(key), camelKeys(part)]));
}

const recordings = loadRecordings("genesys");
const methods = [...new Set(recordings.filter(isPreferred).map(({ call }) => call.method))];
const drivers = Object.fromEntries(
  methods.flatMap((method) => {
    const driver = driversByName[javaScriptName(method)];
    return driver ? [[method, driver] as const] : [];
  }),
);
const scim = "SCIM reaches the same groups a second way; the adapter does not use it";
const { covered, problems, counts } = sortRecordings(recordings, drivers, [
  { method: "SCIMApi.getScimV2Groups", reason: scim },
  { method: "SCIMApi.get_scim_v2_groups", reason: scim },
  { method: "SCIMApi.getScimV2Group", reason: scim },
  { method: "SCIMApi.patchScimV2Group", reason: scim },
  { method: "SCIMApi.putScimV2Group", reason: scim },
  { method: "SCIMApi.getScimV2Users", reason: scim },
]);

/** Fits every answer that a call of ours reads. */
const plausible = {
  id: "b7d4e0aa-52c3-4a8e-8f10-000000000001",
  name: "Night shift",
  version: 3,
  access_token: "issued-token",
  expires_in: 86_400,
  entities: [],
  results: [],
  total: 0,
};

describe("Genesys Cloud on the wire", () => {
  beforeEach(() => nock.disableNetConnect());
  afterEach(() => {
    nock.cleanAll();
    nock.enableNetConnect();
  });

  function capture(body: unknown = plausible): readonly CapturedRequest[] {
    return captureRequests("https://wire.test", () => ({ status: 200, body }));
  }

  /** The log-in that goes before a call is left out, unless it is the call. */
  function withoutLogIn(sent: readonly CapturedRequest[]): readonly CapturedRequest[] {
    return sent.length > 1 ? sent.filter(({ path }) => path !== "/oauth/token") : sent;
  }

  let client = 0;
  function createApi(): GenesysApi {
    // A client of its own for each test: calls of one client share a rate limit.
    const clientId = `client-${++client}`;
    return createGenesysApi({
      baseUrl: "https://wire.test",
      loginUrl: "https://wire.test",
      clientId,
      clientSecret: "client-secret",
    });
  }

  it("covers every recording or says why not", () => {
    expect(problems).toEqual([]);
    expect(counts).toEqual({ compared: 101, leftOut: 6, notPreferred: 8 });
    const used = new Set(covered.map(({ call }) => javaScriptName(call.method)));
    expect(Object.keys(driversByName).filter((name) => !used.has(name))).toEqual([]);
  });

  it.each(covered.map((recording) => [titleOf(recording), recording] as const))("%s", async (_title, recording) => {
    const sent = capture();
    await drivers[recording.call.method]?.(createApi(), flatten(recording.call.args));
    const relevant = withoutLogIn(sent);
    expect(relevant).toHaveLength(1);
    expectEquivalent(relevant[0], recording, wireRules.genesys);
  });

  it("logs in with the id and the secret, joined by a colon, and calls with the token it was given", async () => {
    const sent = capture();
    const api = createGenesysApi({
      baseUrl: "https://wire.test",
      loginUrl: "https://wire.test",
      clientId: "client-id",
      clientSecret: "sécret",
    });
    await api.getOwnToken();
    expect(sent.map(({ path }) => path)).toEqual(["/oauth/token", "/api/v2/tokens/me"]);
    const basic = Buffer.from("client-id:sécret", "utf8").toString("base64");
    expect(sent[0]?.headers["authorization"]).toBe(`Basic ${basic}`);
    expect(sent[1]?.headers["authorization"]).toBe("Bearer issued-token");
  });

  it("sends an invitation without a body, also when it is forced", async () => {
    const sent = capture();
    await createApi().inviteUser("3f1c9a52-7b1e-4f6d-9c2a-000000000001", { force: true });
    const [invitation] = withoutLogIn(sent);
    expect(invitation?.query).toEqual([["force", "true"]]);
    expect(invitation).not.toHaveProperty("body");
  });

  it.each(["eu_central_1", "eu-central-1", "mypurecloud.de", "MyPureCloud.de"])(
    "finds both hosts of the region %s",
    async (region) => {
      const answer = () => ({ status: 200, body: plausible });
      const sentToLogIn = captureRequests("https://login.mypurecloud.de", answer);
      const sentToApi = captureRequests("https://api.mypurecloud.de", answer);
      await createGenesysApi({ region, clientId: `region-${region}`, clientSecret: "s3cret" }).getOwnToken();
      expect(sentToLogIn.map(({ path }) => path)).toEqual(["/oauth/token"]);
      expect(sentToApi.map(({ path }) => path)).toEqual(["/api/v2/tokens/me"]);
    },
  );
});
