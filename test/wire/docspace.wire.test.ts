import nock from "nock";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  createDocspaceApi,
  type DocspaceApi,
  type DocspaceGroupFilter,
  type DocspaceGroupUpdate,
  type DocspaceNewGroup,
  type DocspacePeopleFilter,
  type DocspaceSharingFilter,
} from "../../src/providers/docspace/index.js";
import {
  captureRequests,
  expectEquivalent,
  loadRecordings,
  type OutOfScope,
  sortRecordings,
  titleOf,
  wireRules,
} from "./compare.js";

const origin = "https://acme.example";

interface Args {
  readonly id?: string | number;
  readonly userid?: string;
  readonly fromId?: string;
  readonly toId?: string;
  readonly email?: string;
  readonly groupRequestDto?: DocspaceNewGroup;
  readonly updateGroupRequest?: DocspaceGroupUpdate;
  readonly membersRequest?: { readonly members: readonly string[] };
  readonly setManagerRequest?: { readonly userId: string };
  readonly authRequestsDto?: { readonly userName: string; readonly password: string };
}

function given<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("A recording lacks an argument that its driver needs.");
  return value;
}

const idOf = (args: Args) => String(given(args.id));
const roomOf = (args: Args) => Number(given(args.id));
const membersOf = (args: Args) => given(args.membersRequest).members;

function sharingOf(args: Args): DocspaceSharingFilter {
  const { id: _, ...filter } = args as Args & DocspaceSharingFilter;
  return filter;
}

const drivers: Readonly<Record<string, (api: DocspaceApi, args: Args) => Promise<unknown>>> = {
  "GroupApi.getGroups": (api, args) => api.listGroups(args as DocspaceGroupFilter),
  "GroupApi.getGroup": (api, args) => api.getGroup(idOf(args)),
  "GroupApi.getGroupByUserId": (api, args) => api.listGroupsOfPerson(given(args.userid)),
  "GroupApi.addGroup": (api, args) => api.createGroup(given(args.groupRequestDto)),
  "GroupApi.updateGroup": (api, args) => api.updateGroup(idOf(args), given(args.updateGroupRequest)),
  "GroupApi.deleteGroup": (api, args) => api.deleteGroup(idOf(args)),
  "GroupApi.addMembersTo": (api, args) => api.addGroupMembers(idOf(args), membersOf(args)),
  "GroupApi.removeMembersFrom": (api, args) => api.removeGroupMembers(idOf(args), membersOf(args)),
  "GroupApi.setMembersTo": (api, args) => api.replaceGroupMembers(idOf(args), membersOf(args)),
  "GroupApi.setGroupManager": (api, args) => api.setGroupManager(idOf(args), given(args.setManagerRequest).userId),
  "GroupApi.moveMembersTo": (api, args) => api.moveGroupMembers(given(args.fromId), given(args.toId)),
  "SearchApi.getGroupsWithRoomsShared": (api, args) => api.listGroupsOfRoom(roomOf(args), sharingOf(args)),
  "SearchApi.getGroupsWithFoldersShared": (api, args) => api.listGroupsOfFolder(roomOf(args), sharingOf(args)),
  "SearchApi.getGroupsWithFilesShared": (api, args) => api.listGroupsOfFile(roomOf(args), sharingOf(args)),
  "ProfilesApi.getProfileByEmail": (api, args) => api.getPersonByEmail(given(args.email)),
  "ProfilesApi.getProfileByUserId": (api, args) => api.getPerson(given(args.userid)),
  "ProfilesApi.getSelfProfile": (api) => api.getOwnPerson(),
  "ProfilesApi.getAllProfiles": (api, args) => api.listPeople(args as DocspacePeopleFilter),
  "PeopleSearchApi.searchUsersByExtendedFilter": (api, args) => api.filterPeople(args as DocspacePeopleFilter),
  "PeopleSearchApi.getSimpleByFilter": (api, args) => api.filterPeopleLight(args as DocspacePeopleFilter),
  "ApiKeysApi.getApiKey": (api) => api.getOwnKey(),
  "AuthenticationApi.authenticateMe": (api, { authRequestsDto }) =>
    api.logIn(given(authRequestsDto).userName, given(authRequestsDto).password),
};

const notInSheet = "not an endpoint of the provider sheet; nothing here needs it";
const outOfScope: readonly OutOfScope[] = [
  { method: "ProfilesApi.inviteUsers", reason: "invites people to the portal, which is not membership" },
  { method: "ProfilesApi.resendUserInvites", reason: "invites people to the portal, which is not membership" },
  { method: "ProfilesApi.updateMember", reason: "rewrites a person's whole list of groups; never to be used here" },
  { method: "PeopleSearchApi.getSearch", reason: notInSheet },
  { method: "PeopleSearchApi.searchUsersByQuery", reason: notInSheet },
  { method: "PeopleSearchApi.searchUsersByStatus", reason: notInSheet },
  { method: "UserStatusApi.getByStatus", reason: notInSheet },
  { method: "UsersApi.getUserById", reason: notInSheet },
  { method: "UsersApi.getInvitationLink", reason: notInSheet },
  { method: "ApiKeysApi.getApiKeys", reason: notInSheet },
  { method: "ApiKeysApi.getAllPermissions", reason: notInSheet },
  {
    method: "AuthenticationApi.getIsAuthentificated",
    reason: "by a client that held no token; ours always holds one and sends it, as the recordings' README prefers",
  },
];

const person = { id: "3f1c9a52-7b1e-4f6d-9c2a-000000000001" };
const group = { id: "b7d4e0aa-52c3-4a8e-8f10-000000000001", name: "Group", members: [person], membersCount: 1 };

/** A plausible answer, so that the call ends well and a request is not captured from a call that then fails. */
function answerTo({ method, path }: { readonly method: string; readonly path: string }) {
  if (method === "DELETE" && !path.endsWith("/members")) return { status: 204 };
  if (path.endsWith("/authentication")) return { status: 201, body: { response: { token: "made-up" } } };
  if (path.endsWith("/keys/@self")) return { status: 200, body: { response: { permissions: ["*"] } } };
  const isList =
    method === "GET" &&
    /\/group$|\/people$|\/filter$|\/group\/(user|room|folder|file)\//.test(decodeURIComponent(path));
  if (isList) return { status: 200, body: { response: [], total: 0 } };
  return { status: 200, body: { response: path.includes("/people/") ? person : group } };
}

describe("docspace: what goes out equals what the vendor's client sends", () => {
  beforeAll(() => nock.disableNetConnect());
  afterEach(() => nock.cleanAll());
  afterAll(() => nock.enableNetConnect());

  const { covered, problems, counts } = sortRecordings(loadRecordings("docspace"), drivers, outOfScope);

  it("covers every preferred recording, or says why not", () => {
    expect(problems).toEqual([]);
    expect(counts).toEqual({ compared: 74, leftOut: 14, notPreferred: 9 });
  });

  it.each(covered.map((recording) => [titleOf(recording), recording] as const))("%s", async (_, recording) => {
    const captured = captureRequests(origin, answerTo);
    const api = createDocspaceApi({ baseUrl: origin, apiKey: "sk-made-up" });
    await given(drivers[recording.call.method])(api, recording.call.args as Args);
    expect(captured).toHaveLength(1);
    expectEquivalent(captured[0], recording, wireRules.docspace);
  });
});
