/**
 * People → accounts: who is meant at one provider.
 *
 * A pinned account wins; else e-mail, then aliases, where the provider can look people up. Every person ends in one
 * of six ways, and only `found` leads to a change. The others say why, and hold removals where being wrong about
 * someone could cost another person their access.
 */
import { chunk, groupBy } from "./collections.js";
import { GroupSyncError } from "./errors.js";
import type { Account, Person, ProviderId, Unresolved } from "./model.js";
import type { AccountKey, CallContext, GroupProvider } from "./provider.js";

/** How a person stands at a provider. */
export type Resolution =
  | { readonly state: "found"; readonly account: Account; readonly pinned: boolean }
  /** `accounts.<provider>: null` in the spec: known to have none there. */
  | { readonly state: "none" }
  | {
      readonly state: Unresolved["state"];
      readonly reason: string;
      /** Accounts that are or may be theirs: nothing is given to them, and nothing is taken from them. */
      readonly candidates?: readonly Account[];
    };

/** The people of a spec at one provider. */
export interface Identities {
  readonly provider: ProviderId;
  readonly resolutions: ReadonlyMap<string, Resolution>;
  /** Person by account id, for naming the accounts that are read. */
  readonly personOf: ReadonlyMap<string, string>;
  /** By person: e-mail and aliases, as {@link normalizeEmail} writes them. */
  readonly addressesOf: ReadonlyMap<string, readonly string[]>;
}

/** Looks up each person once, in as few questions as the provider allows. Throws when a look-up fails: an error is never absence. */
export async function resolvePeople(
  people: readonly Person[],
  provider: GroupProvider,
  context: CallContext,
): Promise<Identities> {
  const canFindByEmail = provider.capabilities.lookup.by.value.includes("email");
  const resolutions = new Map<string, Resolution>();
  const wanted: Person[] = [];
  const pinned: string[] = [];
  for (const person of people) {
    const written = person.accounts[provider.id];
    if (written === null) resolutions.set(person.id, { state: "none" });
    else if (written !== undefined) {
      pinned.push(person.id);
      const pin = normalizeId(written, provider);
      const account: Account = { id: pin, status: "active", eligible: true };
      resolutions.set(person.id, { state: "found", account, pinned: true });
    } else if (!canFindByEmail) {
      resolutions.set(person.id, {
        state: "unpinned",
        reason: `${provider.id} cannot look people up; pin the account under people.${person.id}.accounts.${provider.id}`,
      });
    } else if (addressesOf(person).length === 0) {
      resolutions.set(person.id, {
        state: "unpinned",
        reason: `has no e-mail in the spec; add one, or pin the account under people.${person.id}.accounts.${provider.id}`,
      });
    } else wanted.push(person);
  }
  // E-mail first; aliases only for those whose e-mail found nobody.
  let open: readonly Person[] = wanted;
  for (let round = 0; open.length > 0; round++) {
    const asked = open.flatMap((person) => {
      const address = addressesOf(person)[round];
      return address === undefined ? [] : [{ person, address }];
    });
    const answers = await findAll(
      asked.map(({ address }) => ({ by: "email", value: address })),
      provider,
      context,
    );
    asked.forEach(({ person, address }, index) => {
      const resolution = judge(answers[index] ?? [], address);
      const better = resolution.state !== "missing" || !resolutions.has(person.id);
      if (better) resolutions.set(person.id, resolution);
    });
    open = asked
      .map(({ person }) => person)
      .filter((person) => resolutions.get(person.id)?.state === "missing" && addressesOf(person).length > round + 1);
  }
  const addresses = people.map((person) => [person.id, addressesOf(person).map(normalizeEmail)] as const);
  const identities = indexed(provider.id, resolutions, new Map(addresses));
  return provider.capabilities.lookup.pinsAreKeys.value
    ? identities
    : confirmPins(identities, pinned, provider, context);
}

/** Asks the provider whether pinned accounts exist; those that do not become unresolved. */
export async function confirmPins(
  identities: Identities,
  persons: readonly string[],
  provider: GroupProvider,
  context: CallContext,
): Promise<Identities> {
  const pinned = persons.flatMap((person) => {
    const resolution = identities.resolutions.get(person);
    return resolution?.state === "found" && resolution.pinned ? [{ person, id: resolution.account.id }] : [];
  });
  if (pinned.length === 0 || !provider.capabilities.lookup.by.value.includes("id")) return identities;
  const answers = await findAll(
    pinned.map(({ id }) => ({ by: "id", value: id })),
    provider,
    context,
  );
  const resolutions = new Map(identities.resolutions);
  pinned.forEach(({ person, id }, index) => {
    const resolution = judge(answers[index] ?? [], id);
    resolutions.set(
      person,
      resolution.state === "found"
        ? { ...resolution, pinned: true }
        : resolution.state === "missing"
          ? { state: "missing", reason: `the pinned account ${id} does not exist there` }
          : resolution,
    );
  });
  return indexed(identities.provider, resolutions, identities.addressesOf);
}

/** Accounts by id; undefined: there is no such account. Empty where accounts cannot be looked up by id. */
export async function lookUpAccounts(
  ids: readonly string[],
  provider: GroupProvider,
  context: CallContext,
): Promise<ReadonlyMap<string, Account | undefined>> {
  if (ids.length === 0 || !provider.capabilities.lookup.by.value.includes("id")) return new Map();
  const answers = await findAll(
    ids.map((value) => ({ by: "id", value })),
    provider,
    context,
  );
  return new Map(ids.map((id, index) => [id, answers[index]?.find((account) => account.id === id)]));
}

/**
 * Pinned accounts whose address, as a provider shows it, is none of the person's: a wrong pin, or an account that was
 * given to somebody else. `addressOf`: the address of an account, where a reading has shown one.
 */
export function notePins(
  identities: Identities,
  people: Readonly<Record<string, Person>>,
  addressOf: ReadonlyMap<string, string>,
): readonly string[] {
  return [...identities.resolutions].flatMap(([id, resolution]) => {
    if (resolution.state !== "found" || !resolution.pinned) return [];
    const address = resolution.account.email ?? addressOf.get(resolution.account.id);
    const person = people[id];
    const known = person ? addressesOf(person).map(normalizeEmail) : [];
    if (address === undefined || known.length === 0 || known.includes(normalizeEmail(address))) return [];
    return [
      `${id} is pinned to ${resolution.account.id}, whose address there is ${address}; the spec says ${known.join(", ")}. Is the pin still right?`,
    ];
  });
}

/** An id of an account or group as the provider itself writes it. */
export function normalizeId(id: string, provider: Pick<GroupProvider, "capabilities">): string {
  return provider.capabilities.lookup.idsAreLowerCase.value ? id.toLowerCase() : id;
}

/** Addresses are compared without regard to case and outer white space. */
export function normalizeEmail(email: string): string {
  return email.trim().toLowerCase();
}

function addressesOf(person: Person): readonly string[] {
  const all = [person.email, ...person.aliases].filter((address) => address !== undefined);
  // Asked as the spec spells it: a service may mind the case. The first spelling of an address is the one.
  const spellings = new Map<string, string>();
  for (const address of all) {
    const key = normalizeEmail(address);
    // An empty address would be a question about everybody who has none.
    if (key !== "" && !spellings.has(key)) spellings.set(key, address.trim());
  }
  return [...spellings.values()];
}

/** The accounts of each key. The same question is asked once, in as few calls as the provider allows. */
async function findAll(
  keys: readonly AccountKey[],
  provider: GroupProvider,
  context: CallContext,
): Promise<readonly (readonly Account[])[]> {
  const questions = [...new Map(keys.map((key) => [`${key.by} ${key.value}`, key])).values()];
  // The provider's own budget decides how many of these are under way at once.
  const answers = await Promise.all(
    chunk(questions, provider.capabilities.lookup.keysPerCall.value).map((piece) => ask(piece, provider, context)),
  );
  const found = new Map(answers.flat());
  return keys.map(({ by, value }) => found.get(`${by} ${value}`) ?? []);
}

/** Answers that do not fit the questions would hand one person's account to another. */
async function ask(
  keys: readonly AccountKey[],
  provider: GroupProvider,
  context: CallContext,
): Promise<readonly (readonly [string, readonly Account[]])[]> {
  const findings = await provider.findAccounts(keys, context);
  return keys.map(({ by, value }, index) => {
    const finding = findings[index];
    const fits = finding?.key.by === by && normalizeEmail(finding.key.value) === normalizeEmail(value);
    if (!fits || findings.length !== keys.length) {
      throw new GroupSyncError(
        "bad-answer",
        `${provider.id} was asked about ${keys.length} people and answered about others.`,
        { provider: provider.id, operation: "findAccounts" },
      );
    }
    return [`${by} ${value}`, finding.accounts];
  });
}

function judge(accounts: readonly Account[], key: string): Resolution {
  const alive = [
    ...new Map(
      accounts.filter(({ status }) => status !== "deleted").map((account) => [account.id, account] as const),
    ).values(),
  ];
  const [only, second] = alive;
  if (!only) {
    const deleted = accounts.length > 0 ? "; a deleted account had it" : "";
    return { state: "missing", reason: `no account for ${key}${deleted}` };
  }
  if (second) {
    const ids = alive.map(({ id }) => id).join(", ");
    const reason = `${alive.length} accounts for ${key}: ${ids}; pin the right one`;
    return { state: "ambiguous", reason, candidates: alive };
  }
  if (!only.eligible) {
    const why = only.status === "active" ? "cannot be taken into a group" : `is ${only.status}`;
    return { state: "disabled", reason: only.note ?? `the account of ${key} ${why}`, candidates: [only] };
  }
  return { state: "found", account: only, pinned: false };
}

/** Two people of the spec who turn out to be one account are both ambiguous: nobody may gain or lose by a mix-up. */
function indexed(
  provider: ProviderId,
  given: ReadonlyMap<string, Resolution>,
  addresses: Identities["addressesOf"],
): Identities {
  const resolutions = new Map(given);
  const personOf = new Map<string, string>();
  const holders = groupBy(
    [...given].flatMap(([person, resolution]) => {
      const account = accountOf(resolution);
      return account ? [{ person, account }] : [];
    }),
    ({ account }) => account.id,
  );
  for (const [id, claims] of holders) {
    const [first, ...others] = claims;
    if (first && others.length === 0) personOf.set(id, first.person);
    else {
      for (const { person, account } of claims) {
        const rest = claims.flatMap((claim) => (claim.person === person ? [] : [claim.person])).join(", ");
        const reason = `is the same account as ${rest} (${id})`;
        resolutions.set(person, { state: "ambiguous", reason, candidates: [account] });
      }
    }
  }
  return { provider, resolutions, personOf, addressesOf: addresses };
}

/** The one account that a person certainly has. */
function accountOf(resolution: Resolution): Account | undefined {
  if (resolution.state === "found") return resolution.account;
  return resolution.state === "disabled" ? resolution.candidates?.[0] : undefined;
}
