/**
 * What the conformance suite stands on: the world behind a provider, and a few ways of asking whether the two agree.
 *
 * Every question goes out under a new context, because an adapter may keep what it read for the length of one.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { expect } from "vitest";
import { type ErrorCode, GroupSyncError } from "../errors.js";
import type { Batch, BatchResult, GroupRef, Member, MemberEdit, Role, Snapshot } from "../model.js";
import {
  type AccountFinding,
  type AccountKey,
  type CallEvent,
  type Capabilities,
  createCallContext,
  type GroupListing,
  type GroupProvider,
} from "../provider.js";

/** A value, or one to be waited for. */
export type Awaitable<T> = T | Promise<T>;

/** A known account that is active, may be in groups, and is in none. */
export interface WorldPerson {
  /** The member key, in the spelling in which the provider lists it. */
  readonly id: string;
  /** Where the service knows no addresses, any. */
  readonly email: string;
}

/** A group as it truly is at the service. */
export interface WorldGroup {
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  /** Everyone in the group, also those who are disabled or there by role or rule. */
  readonly members: readonly { readonly account: string; readonly role: Role }[];
  /** Accounts with an open invitation, one entry each, so that a second invitation shows. */
  readonly invited: readonly string[];
}

/** A state of an account besides `active`. */
export type WorldStatus = "pending" | "disabled" | "deleted";

/**
 * The service as someone sees and changes it who does not go through the provider: an emulator's control surface, a
 * second client, the database. None of it counts as a request.
 */
export interface World {
  /** At least {@link countPeopleNeeded} of them. */
  readonly people: readonly WorldPerson[];
  /** A member key of the right form that nobody has. */
  readonly unknownAccount: string;
  /** Which of these states the service tells apart from `active`. */
  readonly statuses: readonly WorldStatus[];
  groups(): Awaitable<readonly WorldGroup[]>;
  /** Someone else makes a group with these plain members. Returns its id. */
  addGroup(name: string, members?: readonly string[]): Awaitable<string>;
  deleteGroup(groupId: string): Awaitable<void>;
  /** Makes a member (no invitation), or gives a member this role. */
  addMember(groupId: string, account: string, role?: Role): Awaitable<void>;
  removeMember(groupId: string, account: string): Awaitable<void>;
  /** A new active account with this address. */
  addPerson(email: string): Awaitable<WorldPerson>;
  /** Called with `statuses` only. `deleted`: as when the account is closed for good. */
  setStatus(account: string, status: WorldStatus): Awaitable<void>;
  /** Everyone who is invited accepts. Needed where `capabilities.invitations` is true. */
  settle?(): Awaitable<void>;
  /** How many requests the provider has sent so far, log-ins included. */
  requests(): Awaitable<number>;
}

/** A provider and the world behind it, without groups at first. */
export interface ProviderFixture {
  readonly provider: GroupProvider;
  readonly world: World;
  /** Tokens, passwords and keys that the provider was given: no error may hold one. */
  readonly secrets?: readonly string[];
  dispose(): Awaitable<void>;
}

/** Someone and the role that they should be read with. */
export type Wanted = readonly [account: string, role: Role];

/** How many people the suite needs: one more than the largest cap, and two pages of members and one more. */
export function countPeopleNeeded({ add, remove, pageSize }: Capabilities): number {
  const pages = 2 * (pageSize.members.value ?? 0) + 1;
  return Math.max(add.accountsPerCall.value + 1, remove.accountsPerCall.value + 1, pages, 12);
}

/** The questions of the suite, asked about one fixture. */
export type Scene = ReturnType<typeof createScene>;

/** Opens a fixture for one test. */
export function createScene({ provider, world, secrets = [] }: ProviderFixture) {
  const { capabilities } = provider;
  const needed = countPeopleNeeded(capabilities);
  if (world.people.length < needed) {
    throw new Error(`The suite needs ${needed} people for these capabilities; the world has ${world.people.length}.`);
  }

  /** `count` accounts, from the `from`-th on. */
  function accounts(count: number, from = 0): readonly string[] {
    return world.people.slice(from, from + count).map(({ id }) => id);
  }

  const readGroup = (groupId: string): Promise<Snapshot> => provider.readGroup(groupId, createCallContext());
  const listGroups = (): Promise<GroupListing> => provider.listGroups(createCallContext());
  const apply = (batch: Batch): Promise<BatchResult> => provider.applyBatch(batch, createCallContext());
  const find = (keys: readonly AccountKey[]): Promise<readonly AccountFinding[]> =>
    provider.findAccounts(keys, createCallContext());

  async function trueGroup(groupId: string): Promise<WorldGroup> {
    const group = (await world.groups()).find(({ id }) => id === groupId);
    if (!group) throw new Error(`The world has no group ${groupId}.`);
    return group;
  }

  /** A batch about the members of groups, named as the core names them. */
  async function members(
    groupIds: string | readonly string[],
    edits: Partial<Pick<Extract<Batch, { kind: "members" }>, "add" | "update" | "remove">>,
  ): Promise<Batch> {
    const ids = typeof groupIds === "string" ? [groupIds] : groupIds;
    const groups = await Promise.all(ids.map(refTo));
    return { kind: "members", groups, add: [], update: [], remove: [], ...edits };
  }

  async function refTo(groupId: string): Promise<GroupRef> {
    return { id: groupId, name: (await trueGroup(groupId)).name };
  }

  /** Checks until the check holds, for as long as the service may take to show a write. */
  async function eventually<T>(check: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + capabilities.consistencyMs.value;
    for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 1000)) {
      try {
        return await check();
      } catch (error) {
        if (performance.now() + pauseMs > deadline) throw error;
        await sleep(pauseMs);
      }
    }
  }

  /**
   * Everyone invited accepts; then the provider reads exactly these members, in a complete reading, and they are what
   * is truly there.
   */
  async function expectMembers(groupId: string, wanted: readonly Wanted[]): Promise<Snapshot> {
    await world.settle?.();
    const expected = sortWanted(wanted);
    const snapshot = await eventually(async () => {
      const reading = await readGroup(groupId);
      expect(sortWanted(reading.members.map(wantedOf))).toEqual(expected);
      expect(reading.evidence).toMatchObject({ complete: true, because: expect.stringMatching(/\S/) });
      return reading;
    });
    const truth = await trueGroup(groupId);
    expect(sortWanted(truth.members.map(wantedOf))).toEqual(expected);
    expect(truth.invited).toEqual([]);
    return snapshot;
  }

  /** What went wrong; it must go wrong with an error of ours that is fit to be shown to people. */
  async function failureOf(run: () => Promise<unknown>): Promise<GroupSyncError> {
    const error = await outcomeOf(run);
    if (!error) throw new Error("This should have been refused, but went through.");
    return error;
  }

  /** The error, or undefined when all went well. Any other error than ours is a failure of the test. */
  async function outcomeOf(run: () => Promise<unknown>): Promise<GroupSyncError | undefined> {
    try {
      await run();
      return undefined;
    } catch (error) {
      expect(error).toBeInstanceOf(GroupSyncError);
      if (!(error instanceof GroupSyncError)) throw error;
      expectPresentable(error);
      return error;
    }
  }

  function expectPresentable(error: GroupSyncError): void {
    expect(error.message).toMatch(/\S/);
    expect(error.facts.provider, `the provider's name in: ${error.message}`).toBe(provider.id);
    if (error.facts.status !== undefined) expect(error.facts.operation).toMatch(/\S/);
    const everything = `${inspect(error, { depth: 10, showHidden: true })}${JSON.stringify(error)}`;
    for (const secret of secrets) expect(everything).not.toContain(secret);
  }

  /** It is refused for what it is, before anything is sent. */
  async function expectRefused(run: () => Promise<unknown>, codes: readonly ErrorCode[] = ["unsupported"]) {
    const before = await world.requests();
    const error = await failureOf(run);
    expect(codes, `the code of: ${error.message}`).toContain(error.code);
    expect(await world.requests(), "requests sent").toBe(before);
    return error;
  }

  /** Runs something and returns the calls that it told of. */
  async function callsDuring(
    run: (context: ReturnType<typeof createCallContext>) => Promise<unknown>,
  ): Promise<readonly Extract<CallEvent, { type: "call" }>[]> {
    const calls: Extract<CallEvent, { type: "call" }>[] = [];
    await run(
      createCallContext({
        onCall: (event) => {
          if (event.type === "call") calls.push(event);
        },
      }),
    );
    return calls;
  }

  return {
    provider,
    world,
    secrets,
    capabilities,
    accounts,
    readGroup,
    listGroups,
    apply,
    find,
    trueGroup,
    members,
    refTo,
    eventually,
    expectMembers,
    failureOf,
    outcomeOf,
    expectRefused,
    callsDuring,
  };
}

/** Edits that make plain members. */
export function editsOf(accounts: readonly string[], role: Role = "member"): readonly MemberEdit[] {
  return accounts.map((account) => ({ account, role }));
}

/** Plain members. */
export function plain(accounts: readonly string[]): readonly Wanted[] {
  return accounts.map((account) => [account, "member"]);
}

/** A member, as far as the suite compares them. */
export function wantedOf({ account, role }: Pick<Member, "account" | "role">): Wanted {
  return [account, role];
}

/** In one order, whatever the service's. */
export function sortWanted(wanted: readonly Wanted[]): readonly Wanted[] {
  return wanted.toSorted(([left], [right]) => (left < right ? -1 : 1));
}

/** The scene of the test that runs. */
export type Scenery = () => Scene;

/** Refused by the adapter for what was asked, not by the service. */
export const LOCAL: readonly ErrorCode[] = ["unsupported", "options-invalid"];

/** None of these is anything's id, and each would be somewhere else if it were put into an address as it is. */
export const strangeIds = [
  "",
  ".",
  "..",
  "../group",
  "a/b",
  "%2e%2e%2f",
  "?x=1",
  "#",
  " ",
  "*",
  "0,1",
  "null",
] as const;

/** Who is truly in a group. */
export async function everybodyOf({ trueGroup }: Scene, groupId: string): Promise<readonly Wanted[]> {
  return (await trueGroup(groupId)).members.map(wantedOf);
}

/** All but these accounts. */
export function without(wanted: readonly Wanted[], accounts: readonly string[]): readonly Wanted[] {
  return wanted.filter(([account]) => !accounts.includes(account));
}

/** The same people, some with another role. */
export function replaceRoles(wanted: readonly Wanted[], changed: readonly Wanted[]): readonly Wanted[] {
  const accounts = changed.map(([account]) => account);
  return [...without(wanted, accounts), ...changed];
}

/** A question about the first person. */
export function keyOf({ world }: Scene, by: AccountKey["by"]): AccountKey {
  return { by, value: world.people[0]?.[by] ?? "" };
}
