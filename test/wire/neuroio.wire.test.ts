import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createNeuroioApi, type NeuroioApi } from "../../src/providers/neuroio/index.js";
import { captureRequests, expectEquivalent, loadRecordings, sortRecordings, titleOf, wireRules } from "./compare.js";

type Args = Readonly<Record<string, unknown>>;

const groupQuery = (args: Args) => ({
  ...named<string>("q", args["q"]),
  ...named<string[]>("pidsInclude", args["pids_include"]),
  ...named<string[]>("pidsExclude", args["pids_exclude"]),
  ...named<number[]>("groupsIds", args["groups_ids"]),
  ...named<number[]>("spacesIds", args["spaces_ids"]),
  ...pageQuery(args),
});
const pageQuery = (args: Args) => ({
  ...named<number>("limit", args["limit"]),
  ...named<number>("offset", args["offset"]),
});
const named = <T>(name: string, value: unknown): Readonly<Record<string, T>> =>
  value === undefined ? {} : { [name]: value as T };
const text = (value: unknown) => value as string;
const number = (value: unknown) => value as number;
const pids = (value: unknown) => value as string[];
const numbers = (value: unknown) => value as number[];
const entry = (args: Args, id: unknown) => ({
  id: number(id),
  createOnHa: args["create_on_ha"] === true,
  createOnJunk: args["create_on_junk"] === true,
});

/** The vendor's calls as calls of ours. */
const drivers: Readonly<Record<string, (api: NeuroioApi, args: Args) => Promise<unknown>>> = {
  "groups.create": (api, args) => api.createGroup(text(args["name"])),
  "groups.list": (api, args) => api.listGroups(groupQuery(args)),
  "groups.get": (api, args) => api.getGroup(number(args["id"])),
  "groups.update": (api, args) => api.updateGroup(number(args["id"]), text(args["name"])),
  "groups.delete": (api, args) => api.deleteGroup(number(args["id"])),
  "groups.persons": (api, args) =>
    api.listGroupPersons(number(args["id"]), { ...named<string[]>("pids", args["pids"]), ...pageQuery(args) }),
  "groups.add": (api, args) => api.addPersons(pids(args["pids"]), numbers(args["groups_ids"])),
  "groups.remove": (api, args) => api.removePersons(pids(args["pids"]), numbers(args["groups_ids"])),
  "entries.get": (api, args) => api.getPersonStatistics(text(args["pid"])),
  "auth.login": (api, args) => api.logIn(text(args["username"]), text(args["password"])),
  "whoami.me": (api) => api.whoAmI(),
  "tokens.create": (api, args) => api.createToken(args["permanent"] === true),
  "tokens.list": (api, args) => api.listTokens(named<boolean>("permanent", args["permanent"])),
  "tokens.get": (api, args) => api.getToken(number(args["token_id_or_key"])),
  "tokens.delete": (api, args) => api.deleteToken(number(args["token_id_or_key"])),
  "tokens.delete_list": (api) => api.deleteTokens(),
  "spaces.get": (api, args) => api.getSpace(number(args["id"])),
  "spaces.create": (api, args) => api.createSpace(text(args["name"])),
  "spaces.update": (api, args) => api.updateSpace(number(args["id"]), text(args["name"])),
  "spaces.delete": (api, args) => api.deleteSpace(number(args["id"])),
  "spaces.token": (api, args) => api.createSpaceToken(number(args["id"]), args["permanent"] === true),
  "lists.spaces.all": (api) => api.listAllSpaces(),
  "persons.delete": (api, args) => api.deletePerson(text(args["pid"])),
  "persons.create_by_entry": (api, args) => api.createPersonFromEntry(entry(args, args["id"])),
  "persons.reinit": (api, args) => api.reinitializePerson(number(args["id"])),
  "personsGroups.createPersonsGroup": (api, args) => api.createGroup(text(args["name"])),
  "personsGroups.getPersonsGroups": (api, args) => api.listGroups(groupQuery(args)),
  "personsGroups.getPersonsGroup": (api, args) => api.getGroup(number(args["personGroupId"])),
  "personsGroups.deletePersonsGroup": (api, args) => api.deleteGroup(number(args["personGroupId"])),
  "personsGroups.getPersonsGroupPersons": (api, args) =>
    api.listGroupPersons(number(args["groupId"]), { ...named<string[]>("pids", args["pids"]), ...pageQuery(args) }),
  "personsGroups.addPersonsToPersonsGroups": (api, args) =>
    api.addPersons(pids(args["persons"]), numbers(args["groupsIds"])),
  "personsGroups.removePersonsFromPersonsGroups": (api, args) =>
    api.removePersons(pids(args["persons"]), numbers(args["groupsIds"])),
  "entries.getEntriesStatsByPersonId": (api, args) => api.getPersonStatistics(text(args["pid"])),
  "auth.whoami": (api) => api.whoAmI(),
  "auth.logout": (api, args) => api.deleteToken(text(args["tokenId"])),
  "tokens.createToken": (api, args) => api.createToken(args["permanent"] === true),
  "tokens.getTokens": (api, args) => api.listTokens(named<boolean>("permanent", args["permanent"])),
  "tokens.getToken": (api, args) => api.getToken(number(args["id"])),
  "tokens.deleteToken": (api, args) => api.deleteToken(number(args["id"])),
  "tokens.deleteTokens": (api, args) => api.deleteTokens(named<boolean>("permanent", args["permanent"])),
  "spaces.getSpaces": (api) => api.listSpaces(),
  "spaces.getSpace": (api, args) => api.getSpace(number(args["id"])),
  "spaces.createSpace": (api, args) => api.createSpace(text(args["name"])),
  "spaces.deleteSpace": (api, args) => api.deleteSpace(number(args["id"])),
  "spaces.createToken": (api, args) => api.createSpaceToken(number(args["id"]), args["permanent"] === true),
  "persons.deletePerson": (api, args) => api.deletePerson(text(args["pid"])),
  "persons.createPersonFromEntry": (api, args) => api.createPersonFromEntry(entry(args, args["entryId"])),
  "persons.reinitializePersonByEntry": (api, args) => api.reinitializePerson(number(args["entryId"])),
};

const { covered, problems, counts } = sortRecordings(loadRecordings("neuroio"), drivers, [
  { method: "persons.create", reason: "uploads a photo, which says nothing about membership" },
  { method: "persons.search", reason: "uploads a photo, which says nothing about membership" },
  {
    method: "auth.login",
    when: ({ note }) => note === "the client object held a token, so it was sent too",
    reason: "a log-in needs no token; the other recordings of it send none",
  },
]);

/** Fits every answer that a call of ours reads. */
const plausible = {
  id: 1,
  name: "test",
  pid: "5d2f7c10-1a2b-4c3d-8e4f-000000000001",
  username: "sync@example.org",
  key: "k",
  token: { key: "k" },
  results: [],
};

describe("NeuroIO on the wire", () => {
  beforeEach(() => nock.disableNetConnect());
  afterEach(() => {
    nock.cleanAll();
    nock.enableNetConnect();
  });

  it("covers every recording or says why not", () => {
    expect(problems).toEqual([]);
    expect(counts).toEqual({ compared: 113, leftOut: 3, notPreferred: 18 });
  });

  it.each(covered.map((recording) => [titleOf(recording), recording] as const))("%s", async (_title, recording) => {
    const sent = captureRequests("https://wire.test", () => ({ status: 200, body: plausible }));
    const api = createNeuroioApi({ token: "secret", baseUrl: "https://wire.test", iamUrl: "https://wire.test" });
    await drivers[recording.call.method]?.(api, recording.call.args as Args);
    expect(sent).toHaveLength(1);
    expectEquivalent(sent[0], recording, wireRules.neuroio);
  });

  it("changes a token by PATCH with JSON, which is preferred though neither client sends just that", async () => {
    const sent = captureRequests("https://wire.test", () => ({ status: 200 }));
    const api = createNeuroioApi({ token: "secret", baseUrl: "https://wire.test", iamUrl: "https://wire.test" });
    await api.updateToken(3, false);
    expect(sent).toMatchObject([{ method: "PATCH", path: "/v1/tokens/3/", body: { is_active: false } }]);
    expect(sent[0]?.headers).toMatchObject({ "content-type": "application/json", authorization: "Token secret" });
  });

  it("leaves an unset and an empty q out of the list of spaces", async () => {
    const sent = captureRequests("https://wire.test", () => ({ status: 200, body: { results: [] } }));
    const api = createNeuroioApi({ token: "secret", baseUrl: "https://wire.test", iamUrl: "https://wire.test" });
    await api.listSpaces({ q: "" });
    await api.listSpaces({ q: "nor" });
    expect(sent.map(({ query }) => query.find(([name]) => name === "q")?.[1])).toEqual([undefined, "nor"]);
  });

  it("takes groups and persons to the API host, and log-in, tokens and spaces to the IAM host", async () => {
    const answer = () => ({ status: 200, body: plausible });
    const sentToApi = captureRequests("https://api.neuroio.com", answer);
    const sentToIam = captureRequests("https://iam.neuroio.com", answer);
    const api = createNeuroioApi({ token: "secret" });
    await api.listGroups();
    await api.getPersonStatistics("p");
    await api.logIn("u", "p");
    await api.whoAmI();
    await api.listTokens();
    await api.listAllSpaces();
    expect(sentToApi.map(({ path }) => path)).toEqual(["/v1/groups/persons/", "/v1/entries/stats/pid/p/"]);
    expect(sentToIam.map(({ path }) => path)).toEqual([
      "/v1/auth/token/",
      "/v1/whoami/",
      "/v1/tokens/",
      "/v1/lists/spaces/",
    ]);
  });
});
