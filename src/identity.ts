/**
 * People → accounts: who is meant at one provider.
 *
 * A pinned account wins; else e-mail, then aliases, where the provider can look people up. Every person ends in one
 * of six ways, and only `found` leads to a change. The others say why, and hold removals where being wrong about
 * someone could cost another person their access.
 */
import { chunk, groupBy } from "./collections.js";
import { type ErrorCode, GroupSyncError } from "./errors.js";
import type { Account, Person, ProviderId, Unresolved } from "./model.js";
import type { AccountFinding, AccountKey, CallContext, GroupProvider } from "./provider.js";

/** How a person stands at a provider. */
export type Resolution =
  | {
      readonly state: "found";
      readonly account: Account;
      readonly pinned: boolean;
      /** The address that led to the account, as {@link normalizeEmail} writes it. Absent: it is pinned. */
      readonly address?: string;
    }
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

/**
 * Looks up each person once, in as few questions as the provider allows. An error is never absence: whose look-up alone
 * fails is unresolved, and what may concern everybody (no connection, no rights for anyone) is thrown.
 */
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
      hasFound(resolutions),
    );
    asked.forEach(({ person, address }, index) => {
      const answer = answers[index] ?? [];
      const resolution = judge(answer, address);
      const better = isFailure(answer) || resolution.state !== "missing" || !resolutions.has(person.id);
      if (resolution.state === "found") {
        resolutions.set(person.id, { ...resolution, address: normalizeEmail(address) });
      } else if (better) resolutions.set(person.id, resolution);
    });
    // Whom an address may have led to nobody knows: the next one could lead to somebody else.
    open = asked
      .filter((_, index) => !isFailure(answers[index]))
      .map(({ person }) => person)
      .filter((person) => resolutions.get(person.id)?.state === "missing" && addressesOf(person).length > round + 1);
  }
  const addresses = people.map((person) => [person.id, addressesOf(person).map(normalizeEmail)] as const);
  const identities = indexed(provider.id, resolutions, new Map(addresses));
  return provider.capabilities.lookup.pinsAreKeys.value
    ? identities
    : confirmPins(identities, pinned, provider, context);
}

/** An account that a person had when last resolved, and the addresses that the spec gave them then. */
export interface FormerAccount {
  readonly account: string;
  readonly addresses: readonly string[];
}

/**
 * Whoever is found under an address that led to another account before may be somebody else, to whom the address was
 * given: nothing is given to either account, and nothing taken, until the right one is pinned. An address that is new
 * in the spec is believed. `former`: by person.
 */
export function distrustNewcomers(identities: Identities, former: ReadonlyMap<string, FormerAccount>): Identities {
  const { provider, addressesOf: addresses } = identities;
  const resolutions = new Map(identities.resolutions);
  for (const [person, resolution] of identities.resolutions) {
    const before = former.get(person);
    if (!before || resolution.state !== "found" || resolution.address === undefined) continue;
    const { account, address } = resolution;
    if (account.id === before.account || !before.addresses.includes(address)) continue;
    const reason = `was account ${before.account} before, and is account ${account.id} now under the same address; pin the right one: people.${person}.accounts.${provider}`;
    const candidates = [account, { id: before.account, status: "active", eligible: false } as const];
    resolutions.set(person, { state: "ambiguous", reason, candidates });
  }
  return indexed(provider, resolutions, addresses);
}

/** Asks the provider whether pinned accounts exist; those that do not, or of whom that cannot be read, become unresolved. */
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
    hasFound(identities.resolutions),
  );
  const resolutions = new Map(identities.resolutions);
  pinned.forEach(({ person, id }, index) => {
    const answer = answers[index] ?? [];
    const resolution = judge(answer, id);
    if (resolution.state === "found") resolutions.set(person, { ...resolution, pinned: true });
    else if (resolution.state !== "missing") resolutions.set(person, resolution);
    else if (isFailure(answer)) {
      resolutions.set(person, { ...resolution, candidates: [{ id, status: "active", eligible: false }] });
    } else resolutions.set(person, { state: "missing", reason: `the pinned account ${id} does not exist there` });
  });
  return indexed(identities.provider, resolutions, identities.addressesOf);
}

/**
 * Accounts by id; undefined: there is no such account, or its look-up failed; then `failed` says why. Empty where
 * accounts cannot be looked up by id.
 */
export async function lookUpAccounts(
  ids: readonly string[],
  provider: GroupProvider,
  context: CallContext,
): Promise<{
  readonly accounts: ReadonlyMap<string, Account | undefined>;
  readonly failed: ReadonlyMap<string, string>;
}> {
  if (ids.length === 0 || !provider.capabilities.lookup.by.value.includes("id")) {
    return { accounts: new Map(), failed: new Map() };
  }
  const answers = await findAll(
    ids.map((value) => ({ by: "id", value })),
    provider,
    context,
    true,
  );
  const accountOfId = (id: string, answer: Answer = []) =>
    isFailure(answer) ? undefined : answer.find((account) => account.id === id);
  return {
    accounts: new Map(ids.map((id, index) => [id, accountOfId(id, answers[index])])),
    failed: new Map(
      ids.flatMap((id, index) => {
        const answer = answers[index];
        return isFailure(answer) ? [[id, describeFailure(answer)] as const] : [];
      }),
    ),
  };
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

/** What came of one key: accounts, or why that alone could not be answered. */
type Answer = readonly Account[] | GroupSyncError;

function isFailure(answer: Answer | undefined): answer is GroupSyncError {
  return answer instanceof GroupSyncError;
}

function describeFailure({ message }: GroupSyncError): string {
  return `the look-up failed: ${message}`;
}

/** Errors that may be about one of several keys. All others concern every question. */
const ABOUT_ONE: readonly ErrorCode[] = ["refused", "bad-answer", "too-large", "forbidden", "not-found"];
/** Questions are split this often in one go, and less while nothing at all is answered. What is left then has failed. */
const SPLITS = 100;
const SPLITS_UNANSWERED = 16;

/**
 * The answer to each key. The same question is asked once, in as few calls as the provider allows; one that fails is
 * split until the bad key stands alone. Throws what concerns all, and the first error when nothing is answered at all,
 * unless look-ups are known to work there (`worksThere`).
 */
async function findAll(
  keys: readonly AccountKey[],
  provider: GroupProvider,
  context: CallContext,
  worksThere: boolean,
): Promise<readonly Answer[]> {
  const questions = [...new Map(keys.map((key) => [`${key.by} ${key.value}`, key])).values()];
  let splits = 0;
  let isAnswered = worksThere;
  const askInParts = async (piece: readonly AccountKey[]): Promise<readonly (readonly [string, Answer])[]> => {
    const answers = await ask(piece, provider, context);
    if (!(answers instanceof GroupSyncError)) {
      isAnswered = true;
      return answers;
    }
    if (piece.length === 1 || splits >= (isAnswered ? SPLITS : SPLITS_UNANSWERED)) {
      return piece.map(({ by, value }) => [`${by} ${value}`, answers]);
    }
    splits++;
    const halves = chunk(piece, Math.ceil(piece.length / 2));
    return (await Promise.all(halves.map(askInParts))).flat();
  };
  // The provider's own budget decides how many of these are under way at once.
  const answers = await Promise.all(
    chunk(questions, provider.capabilities.lookup.keysPerCall.value).map((piece) => askInParts(piece)),
  );
  const found = new Map(answers.flat());
  const [first] = found.values();
  if (!isAnswered && isFailure(first)) throw first;
  return keys.map(({ by, value }) => found.get(`${by} ${value}`) ?? []);
}

/** Whether a look-up has found anybody yet. */
function hasFound(resolutions: ReadonlyMap<string, Resolution>): boolean {
  return [...resolutions.values()].some((each) => each.state === "found" && !each.pinned);
}

/**
 * One question. Returned: an error that may be about one of the keys. Thrown: any other; and answers that do not fit the
 * questions, which would hand one person's account to another.
 */
async function ask(
  keys: readonly AccountKey[],
  provider: GroupProvider,
  context: CallContext,
): Promise<readonly (readonly [string, readonly Account[]])[] | GroupSyncError> {
  let findings: readonly AccountFinding[];
  try {
    findings = await provider.findAccounts(keys, context);
  } catch (error) {
    if (error instanceof GroupSyncError && ABOUT_ONE.includes(error.code)) return error;
    throw error;
  }
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

function judge(accounts: Answer, key: string): Resolution {
  if (isFailure(accounts)) return { state: "missing", reason: describeFailure(accounts) };
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
