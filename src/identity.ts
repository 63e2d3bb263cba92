/**
 * People → accounts: who is meant at one provider.
 *
 * A pinned account wins; else e-mail, then aliases, where the provider can look people up. Every person ends in one
 * of six ways, and only `found` leads to a change. The others say why, and hold removals where being wrong about
 * someone could cost another person their access.
 */
import type { Account, Person, ProviderId, Unresolved } from "./model.js";
import type { AccountKey, CallContext, GroupProvider } from "./provider.js";

/** How a person stands at a provider. */
export type Resolution =
  | { readonly state: "found"; readonly account: Account; readonly pinned: boolean }
  /** `accounts.<provider>: null` in the spec: known to have none there. */
  | { readonly state: "none" }
  | { readonly state: Unresolved["state"]; readonly reason: string; readonly account?: Account };

/** The people of a spec at one provider. */
export interface Identities {
  readonly provider: ProviderId;
  readonly resolutions: ReadonlyMap<string, Resolution>;
  /** Person by account id, for naming the accounts that are read. */
  readonly personOf: ReadonlyMap<string, string>;
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
  const identities = indexed(provider.id, resolutions);
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
  return indexed(identities.provider, resolutions);
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
  return [...new Set(all.map(normalizeEmail))];
}

async function findAll(
  keys: readonly AccountKey[],
  provider: GroupProvider,
  context: CallContext,
): Promise<readonly (readonly Account[])[]> {
  const found: (readonly Account[])[] = [];
  const size = provider.capabilities.lookup.keysPerCall.value;
  const chunks = Array.from({ length: Math.ceil(keys.length / size) }, (_, index) =>
    keys.slice(index * size, (index + 1) * size),
  );
  // The provider's own budget decides how many of these are under way at once.
  const answers = await Promise.all(chunks.map((chunk) => provider.findAccounts(chunk, context)));
  for (const answer of answers) for (const finding of answer) found.push(finding.accounts);
  return found;
}

function judge(accounts: readonly Account[], key: string): Resolution {
  const alive = accounts.filter((account) => account.status !== "deleted");
  const [only, second] = alive;
  if (!only) {
    const deleted = accounts.length > 0 ? "; a deleted account had it" : "";
    return { state: "missing", reason: `no account for ${key}${deleted}` };
  }
  if (second) {
    const ids = alive.map(({ id }) => id).join(", ");
    return { state: "ambiguous", reason: `${alive.length} accounts for ${key}: ${ids}; pin the right one` };
  }
  if (!only.eligible) {
    return { state: "disabled", reason: only.note ?? `the account of ${key} is ${only.status}`, account: only };
  }
  return { state: "found", account: only, pinned: false };
}

/** Two people of the spec who turn out to be one account are both ambiguous: nobody may gain or lose by a mix-up. */
function indexed(provider: ProviderId, given: ReadonlyMap<string, Resolution>): Identities {
  const holders = new Map<string, string[]>();
  for (const [person, resolution] of given) {
    if (resolution.state !== "found") continue;
    holders.set(resolution.account.id, [...(holders.get(resolution.account.id) ?? []), person]);
  }
  const resolutions = new Map(given);
  const personOf = new Map<string, string>();
  for (const [account, persons] of holders) {
    const [first, ...others] = persons;
    if (first !== undefined && others.length === 0) personOf.set(account, first);
    else {
      for (const person of persons) {
        const rest = persons.filter((other) => other !== person).join(", ");
        resolutions.set(person, { state: "ambiguous", reason: `is the same account as ${rest} (${account})` });
      }
    }
  }
  for (const [person, resolution] of resolutions) {
    if (resolution.state === "disabled" && resolution.account) personOf.set(resolution.account.id, person);
  }
  return { provider, resolutions, personOf };
}
