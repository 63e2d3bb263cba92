/** The people of a spec, from the file itself or from a CSV file, checked against each other. */
import type { Person, ProviderId } from "../model.js";
import { readTable, type TableRow } from "./csv.js";
import {
  createSpeller,
  didYouMean,
  type KeyPath,
  type LazyOrigin,
  listSome,
  type Origin,
  type Problems,
  quote,
} from "./problems.js";
import { emailSchema, type SpecFile } from "./schema.js";

/** A person with the places of what is said about them. */
export interface PlacedPerson {
  readonly person: Person;
  /** The place of a part, such as `["email"]`; of the whole person without one. */
  readonly origin: (part?: KeyPath) => Origin;
}

/** All people by id, and how to say that someone is not among them. */
export interface Directory {
  readonly people: ReadonlyMap<string, PlacedPerson>;
  /** Whether someone is in the spec, even if what is said about them is wrong. */
  readonly isKnown: (id: string) => boolean;
  /** What to say about an id that nobody has. */
  readonly explainUnknown: (id: string, groups: ReadonlySet<string>) => string;
}

/** People as the spec's section lists them. */
export function listPeople(
  section: Exclude<SpecFile["people"], undefined>,
  origin: (path: KeyPath) => LazyOrigin,
): readonly PlacedPerson[] {
  return Object.entries(section as Readonly<Record<string, PersonEntry>>).map(([id, entry]) => ({
    person: toPerson(id, entry),
    origin: (part = []) => origin(["people", id, ...part])(),
  }));
}

interface PersonEntry {
  readonly email?: string | undefined;
  readonly aliases?: readonly string[] | undefined;
  readonly name?: string | undefined;
  readonly accounts?: Readonly<Record<string, string | null>> | undefined;
}

function toPerson(id: string, { email, aliases, name, accounts }: PersonEntry): Person {
  return {
    id,
    ...(email !== undefined && { email }),
    aliases: aliases ?? [],
    ...(name !== undefined && { name }),
    accounts: withoutPrototype(Object.entries(accounts ?? {})),
  };
}

/** A record that answers only for its own keys: ids are the users' words, and `constructor` is one. */
export function withoutPrototype<T>(entries: Iterable<readonly [string, T]>): Readonly<Record<string, T>> {
  const record = Object.create(null) as Record<string, T>;
  for (const [key, value] of entries) record[key] = value;
  return record;
}

/** The columns of a table of people that are not providers. */
export const personColumns: readonly string[] = ["id", "email", "aliases", "name"];

/** People from a CSV file. An empty cell of a provider: to be looked up; `null` or `-`: known to have no account. */
export function readPeople(
  text: string,
  file: string,
  providers: readonly ProviderId[],
  problems: Problems,
): readonly PlacedPerson[] | undefined {
  const columns = { required: ["id"], optional: [...personColumns.slice(1), ...providers] };
  const rows = readTable(text, file, columns, problems);
  if (!rows) return undefined;
  const people = new Map<string, PlacedPerson>();
  for (const row of rows) {
    const placed = readPerson(row, providers, problems);
    if (!placed) continue;
    const { id } = placed.person;
    const first = people.get(id);
    if (first) {
      problems.error(
        row.origin("id", ["people", id])(),
        `The person ${quote(id)} stands here a second time (first in line ${first.origin().line}).`,
      );
    } else people.set(id, placed);
  }
  return [...people.values()];
}

function readPerson(row: TableRow, providers: readonly ProviderId[], problems: Problems): PlacedPerson | undefined {
  const id = row.cell("id");
  if (id === "" || id === "__proto__") {
    problems.error(row.origin("id", ["people"])(), id === "" ? "This row has no id." : "`__proto__` cannot be an id.");
    return undefined;
  }
  const email = row.cell("email");
  const aliases = row
    .cell("aliases")
    .split(/[;\s]+/)
    .filter((alias) => alias !== "");
  const name = row.cell("name");
  checkCellAddresses(row, id, [email], "email", problems);
  checkCellAddresses(row, id, aliases, "aliases", problems);
  const accounts = providers.flatMap((provider) => {
    const cell = row.cell(provider);
    return cell === "" ? [] : [[provider, cell === "null" || cell === "-" ? null : cell] as const];
  });
  return {
    person: toPerson(id, {
      aliases,
      accounts: Object.fromEntries(accounts),
      ...(email !== "" && { email }),
      ...(name !== "" && { name }),
    }),
    origin: (part = []) => {
      const [key, provider] = part;
      const column = key === "accounts" ? String(provider) : String(key ?? "id");
      return row.origin(column, ["people", id, ...part])();
    },
  };
}

function checkCellAddresses(
  row: TableRow,
  id: string,
  addresses: readonly string[],
  column: string,
  problems: Problems,
): void {
  for (const address of addresses) {
    const checked = emailSchema.safeParse(address);
    if (address === "" || checked.success) continue;
    const message = checked.error.issues[0]?.message ?? "";
    problems.error(row.origin(column, ["people", id, column])(), `Found ${quote(address)}. ${message}`);
  }
}

/**
 * Holds people against each other: two with one address or one account would be mixed up. `canonicalId` is how a
 * provider itself writes an account's id.
 */
export function checkPeople(
  people: readonly PlacedPerson[],
  providers: readonly ProviderId[],
  canonicalId: (provider: ProviderId, id: string) => string,
  problems: Problems,
): void {
  const addresses = new Map<string, { readonly id: string; readonly origin: Origin }>();
  const accounts = new Map<string, { readonly id: string; readonly origin: Origin }>();
  const speller = createSpeller(providers);
  const known = new Set(providers);
  for (const { person, origin } of people) {
    const { id } = person;
    const claim = (
      claims: typeof addresses,
      key: string,
      part: KeyPath,
      explain: (other: string, line: number) => string,
    ): void => {
      const other = claims.get(key);
      if (!other)
        claims.set(key, {
          id,
          get origin() {
            return origin(part);
          },
        });
      else if (other.id !== id) problems.error(origin(part), explain(other.id, other.origin.line));
    };
    const claimAddress = (address: string, part: KeyPath): void =>
      claim(
        addresses,
        address.toLowerCase(),
        part,
        (other, line) => `${quote(address)} belongs to ${other} already (line ${line}); an address is one person's.`,
      );
    if (person.email !== undefined) claimAddress(person.email, ["email"]);
    person.aliases.forEach((alias, index) => claimAddress(alias, ["aliases", index]));
    for (const [provider, account] of Object.entries(person.accounts)) {
      if (!known.has(provider)) {
        problems.error(
          origin(["accounts", provider]),
          `There is no provider ${quote(provider)}.${didYouMean(provider, speller) || ` Providers: ${listSome(providers, 10)}.`}`,
        );
      } else if (account !== null) {
        claim(
          accounts,
          JSON.stringify([provider, canonicalId(provider, account)]),
          ["accounts", provider],
          (other, line) =>
            `This account at ${provider} is pinned for ${other} already (line ${line}); an account is one person's.`,
        );
      }
    }
  }
}

/** Puts people in order for look-ups. `alsoKnown`: ids that are in the file, but not in order. */
export function createDirectory(placed: readonly PlacedPerson[], alsoKnown: Iterable<string>): Directory {
  const people = new Map(placed.map((entry) => [entry.person.id, entry]));
  const broken = new Set(alsoKnown);
  const byOtherName = new Map<string, string>();
  for (const { person } of placed) {
    for (const name of [person.email, ...person.aliases, person.name]) {
      if (name !== undefined && !byOtherName.has(name.toLowerCase())) byOtherName.set(name.toLowerCase(), person.id);
    }
  }
  let speller: ReturnType<typeof createSpeller> | undefined;
  return {
    people,
    isKnown: (id) => people.has(id) || broken.has(id),
    explainUnknown: (id, groups) => {
      speller ??= createSpeller([...people.keys(), ...broken]);
      const owner = byOtherName.get(id.toLowerCase());
      if (owner !== undefined)
        return `There is no person with the id ${quote(id)}; that is ${owner}. Write ${quote(owner)}.`;
      if (groups.has(id)) return `${quote(id)} is a group, not a person; list it under includes.`;
      if (people.size + broken.size === 0)
        return `There is no person ${quote(id)}: the spec has no people. List everyone under people.`;
      return `There is no person ${quote(id)}.${didYouMean(id, speller) || " Add them to people."}`;
    },
  };
}
