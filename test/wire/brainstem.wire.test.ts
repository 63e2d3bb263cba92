import nock from "nock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BrainstemApi, type BrainstemQuery, createBrainstemApi } from "../../src/providers/brainstem/index.js";
import {
  captureRequests,
  expectEquivalent,
  loadRecordings,
  type Recording,
  sortRecordings,
  titleOf,
  wireRules,
} from "./compare.js";

type Args = Readonly<Record<string, unknown>>;
type Users = NonNullable<Parameters<BrainstemApi["updateGroup"]>[1]["users"]>;
interface GroupData {
  readonly name?: string;
  readonly users?: Users;
}

const origin = "https://brainstem.test";
const makeApi = (portal: unknown) =>
  createBrainstemApi({ token: "wire-token", baseUrl: origin, portal: portal === "public" ? "public" : "private" });

const text = (value: unknown) => String(value);
const named = (name: string, value: unknown) => (value === undefined ? {} : { [name]: value });

/** Loading everything is one call there and several requests; which one a recording is, its note says. */
const requestNumber = ({ note }: Recording) => Number(/^request (\d) of/.exec(note ?? "")?.[1] ?? "1");

function listQuery(args: Args, recording: Recording): BrainstemQuery {
  const query = {
    ...named("filters", args["filters"]),
    ...named("sort", args["sort"]),
    ...named("include", args["include"]),
    ...named("limit", args["limit"]),
    ...named("offset", args["offset"]),
  };
  return args["load_all"] === true ? { ...query, limit: 100, offset: (requestNumber(recording) - 1) * 100 } : query;
}

function load(args: Args, recording: Recording): Promise<unknown> {
  const api = makeApi(args["portal"]);
  const id = args["id"] === undefined ? undefined : text(args["id"]);
  const query = listQuery(args, recording);
  switch ([args["model"], args["options"]].filter(Boolean).join(" ")) {
    case "group":
      return id === undefined ? api.listGroups(query) : api.getGroup(id);
    case "group join":
      return api.joinGroup(text(id));
    case "group leave":
      return api.leaveGroup(text(id));
    case "groupmembershipinvitation":
      return id === undefined ? api.listInvitations(query) : api.getInvitation(id);
    case "groupmembershipinvitation accept":
      return api.acceptInvitation(text(id));
    case "groupmembershipinvitation reject":
      return api.rejectInvitation(text(id));
    case "groupmembershipinvitation cancel":
      return api.cancelInvitation(text(id));
    case "groupmembershiprequest":
      return id === undefined ? api.listRequests(query) : api.getRequest(id);
    case "groupmembershiprequest accept":
      return api.acceptRequest(text(id));
    case "groupmembershiprequest reject":
      return api.rejectRequest(text(id));
    case "groupmembershiprequest cancel":
      return api.cancelRequest(text(id));
    case "user":
      return id === undefined ? api.listUsers(query) : api.getUser(id);
    default:
      throw new Error(`No call of ours for ${JSON.stringify(args)}.`);
  }
}

function save(args: Args): Promise<unknown> {
  const data = args["data"] as GroupData;
  const api = makeApi("private");
  return args["id"] === undefined ? api.createGroup(text(data.name)) : api.updateGroup(text(args["id"]), data);
}

const remove = (args: Args) => makeApi("private").deleteGroup(text(args["id"]));

/** The command line's words as arguments of the library: `load group --id 48`. */
function commandLine(words: readonly string[], recording: Recording): Promise<unknown> {
  const [command, model, ...rest] = words;
  const option = (name: string) => {
    const at = rest.indexOf(`--${name}`);
    return at < 0 ? undefined : rest[at + 1];
  };
  const filter = option("filters")?.split(/=(.*)/s);
  const data = option("data");
  const args: Args = {
    model,
    ...named("id", option("id")),
    ...(filter && { filters: { [text(filter[0])]: text(filter[1]) } }),
    ...(data !== undefined && { data: JSON.parse(data) as unknown }),
  };
  if (command === "save") return save(args);
  return command === "delete" ? remove(args) : load(args, recording);
}

/** The log-in of a device: a start, then polls. */
function logIn(_args: Args, recording: Recording): Promise<unknown> {
  const api = makeApi("private");
  return requestNumber(recording) === 1
    ? api.startDeviceLogIn("brainstem-python")
    : api.pollDeviceLogIn("device-code-1");
}

/** The vendor's calls as calls of ours. */
const drivers: Readonly<Record<string, (args: Args, recording: Recording) => Promise<unknown>>> = {
  load,
  load_model: load,
  save,
  save_model: save,
  delete: remove,
  delete_model: remove,
  brainstem: (args, recording) => commandLine(args as unknown as readonly string[], recording),
  BrainstemClient: logIn,
};

const { covered, problems, counts } = sortRecordings(loadRecordings("brainstem"), drivers, [
  {
    method: "load",
    when: ({ call }) => (call.args as Args)["model"] === "laboratory",
    reason: "laboratories are not groups of people; no call of the sheet is about them",
  },
]);

const group = { id: 48, name: "Petersen lab", users: {} };
const invitation = { id: "3654964e-1bf7-40c7-a376-9dcec4c125cd", user_account_invitation: 7, authgroup: 48 };
const request = { id: "3654964e-1bf7-40c7-a376-9dcec4c125cd", user_account_request: 7, authgroup: 48 };
const user = { id: 7, email: "ana.ruiz@example.org" };
/** Fits every answer that a call of ours reads. */
const plausible = {
  group,
  groups: [group],
  user,
  users: [user],
  group_membership_invitation: invitation,
  group_membership_invitations: [invitation],
  group_membership_request: request,
  group_membership_requests: [request],
  device_code: "device-code-1",
  status: "success",
  token: "issued-token",
};

describe("BrainSTEM on the wire", () => {
  beforeEach(() => nock.disableNetConnect());
  afterEach(() => {
    nock.cleanAll();
    nock.enableNetConnect();
  });

  it("covers every recording or says why not", () => {
    expect(problems).toEqual([]);
    expect(counts).toEqual({ compared: 78, leftOut: 2, notPreferred: 28 });
  });

  it.each(covered.map((recording) => [titleOf(recording), recording] as const))("%s", async (_title, recording) => {
    const captured = captureRequests(origin, () => ({ status: 200, body: plausible }));
    await drivers[recording.call.method]?.(recording.call.args as Args, recording);
    expect(captured).toHaveLength(1);
    expectEquivalent(captured[0], recording, wireRules.brainstem);
    expect(captured[0]?.path).toMatch(/\/$/);
  });
});
