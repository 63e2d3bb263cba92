/**
 * The same job by plain scripts on the vendors' own npm clients, as one would write them with the vendors' pages open:
 * one call after another, nothing batched that the pages do not batch.
 */
import { createRequire } from "node:module";
import type * as neuroio from "@neuroio/rest-api";
import { chunk } from "../src/collections.js";
import type { SeedGroup } from "../src/sandbox/index.js";
import { addressOf, LABELS, PROVIDERS, type World } from "./world.js";

/** What is wanted. */
interface Job {
  readonly people: readonly string[];
  readonly groups: readonly SeedGroup[];
}

/** A script and how it goes about it. */
export interface Script {
  readonly service: "genesys" | "neuroio";
  readonly client: string;
  readonly how: string;
  run(world: World, job: Job): Promise<void>;
}

/** The scripts. */
export const scripts: readonly Script[] = [
  {
    service: "genesys",
    client: `${LABELS.genesys}, purecloud-platform-client-v2`,
    how: "people searched one by one, as postUsersSearch is shown; groups read, changed by 50 and read back one by one",
    run: runGenesys,
  },
  {
    service: "neuroio",
    client: `${LABELS.neuroio}, @neuroio/rest-api`,
    how: "person by person, as the vendor's own interface does it: which groups, one addition, one removal",
    run: runNeuroio,
  },
];

async function runGenesys({ config }: World, { people, groups }: Job): Promise<void> {
  const { default: platform } = await import("purecloud-platform-client-v2");
  const client = platform.ApiClient.instance;
  // Whatever the home folder says about this client is about somebody else's.
  client.config.setConfigPath("");
  const { baseUrl = "", clientId = "", clientSecret = "" } = config[PROVIDERS.genesys] ?? {};
  const { hostname, port, pathname } = new URL(baseUrl);
  const prefix = pathname.replace(/^\//, "");
  client.setGateway({
    host: hostname,
    protocol: "http",
    port: Number(port),
    path_params_login: prefix,
    path_params_api: prefix,
  });
  await client.loginClientCredentialsGrant(clientId, clientSecret);
  const usersApi = new platform.UsersApi();
  const groupsApi = new platform.GroupsApi();

  const idOf = new Map<string, string>();
  for (const person of people) {
    const { results } = await usersApi.postUsersSearch({
      query: [{ type: "EXACT", fields: ["email"], value: addressOf(person) }],
    });
    idOf.set(person, results?.[0]?.id ?? "");
  }
  const present = new Map<string, string>();
  for (let page = 1, pages = 1; page <= pages; page++) {
    const listing = await groupsApi.getGroups({ pageSize: 100, pageNumber: page });
    for (const { id = "", name } of listing.entities ?? []) present.set(name, id);
    pages = listing.pageCount ?? 1;
  }
  for (const { name, members = [] } of groups) {
    const groupId = present.get(name) ?? "";
    const have = new Set(((await groupsApi.getGroupIndividuals(groupId)).entities ?? []).map(({ id = "" }) => id));
    const want = new Set(members.map((person) => idOf.get(person) ?? ""));
    for (const memberIds of chunk(without(want, have), 50)) {
      const { version } = await groupsApi.getGroup(groupId);
      await groupsApi.postGroupMembers(groupId, {
        memberIds: [...memberIds],
        ...(version !== undefined && { version }),
      });
    }
    for (const ids of chunk(without(have, want), 50)) await groupsApi.deleteGroupMembers(groupId, ids.join(","));
    const now = (await groupsApi.getGroupIndividuals(groupId)).entities ?? [];
    if (now.length !== want.size) throw new Error(`${name} is not as it should be.`);
  }
}

function without<T>(some: ReadonlySet<T>, others: ReadonlySet<T>): readonly T[] {
  return [...some].filter((each) => !others.has(each));
}

// A CommonJS module whose names Node cannot see.
const { createNeuroioRestApi } = createRequire(import.meta.url)("@neuroio/rest-api") as typeof neuroio;

async function runNeuroio({ config, accounts }: World, { people, groups }: Job): Promise<void> {
  const { baseUrl = "", token = "" } = config[PROVIDERS.neuroio] ?? {};
  const client = createNeuroioRestApi({ version: 1 });
  if (!client) throw new Error("The client knows no version 1.");
  const url = `${baseUrl.replace(/\/+$/, "")}/v1/`;
  client.setEndpoint({ base: url, auth: url });
  client.setToken(token);
  const { personsGroups } = client;
  // The client says that its lists are null.
  const listOf = (answer: unknown) => answer as { results: readonly { id: number; name: string }[]; count: number };
  const all = listOf(await personsGroups.getPersonsGroups({ limit: 100, offset: 0 })).results;
  const idOf = new Map(all.map(({ id, name }) => [name, id]));
  const wishes = new Map<string, Set<number>>(people.map((person) => [person, new Set()]));
  for (const { name, members = [] } of groups) {
    for (const person of members) wishes.get(person)?.add(idOf.get(name) ?? 0);
  }
  for (const [person, want] of wishes) {
    const persons = [accounts.get("neuroio")?.get(person) ?? ""];
    const list = listOf(await personsGroups.getPersonsGroups({ pids_include: persons, limit: 100, offset: 0 }));
    const have = new Set(list.results.map(({ id }) => id));
    const missing = [...without(want, have)];
    const surplus = [...without(have, want)];
    if (missing.length > 0) await personsGroups.addPersonsToPersonsGroups({ groupsIds: missing, persons });
    if (surplus.length > 0) await personsGroups.removePersonsFromPersonsGroups({ groupsIds: surplus, persons });
  }
}
