/** The fingerprint of everything that decides who should be where. */
import { createHash } from "node:crypto";
import type { DesiredMember, GuardSettings, Person, SpecProvider, Target } from "../model.js";
import type { ProviderType } from "../provider.js";
import { compareText } from "./problems.js";

/** What goes into the digest. */
export interface DigestSource {
  readonly providers: readonly SpecProvider[];
  readonly people: Readonly<Record<string, Person>>;
  readonly targets: readonly Target[];
  readonly guards: GuardSettings;
  readonly providerTypes: readonly ProviderType[];
}

/**
 * SHA-256 as hexadecimal digits. The order of people, groups, providers and list entries does not count, nor do
 * people in no group, credentials, time limits and the place of the state. Of a provider's options those count that
 * say where it is: `region`, and everything whose name ends in `Url`.
 */
export function digestSpec({ providers, people, targets, guards, providerTypes }: DigestSource): string {
  const hash = createHash("sha256");
  const used = new Set(guards.protect);
  for (const target of targets) {
    for (const { person } of target.members) used.add(person);
    for (const name of target.guards.protect) used.add(name);
  }
  const add = (part: unknown): void => {
    hash.update(`${canonicalJson(part)}\n`);
  };
  add({ version: 1, guards: plainGuards(guards) });
  for (const provider of providers.toSorted((left, right) => compareText(left.id, right.id))) {
    const { id, type } = provider;
    add({ id, type, at: addressOf(provider, providerTypes), guards: plainGuards(provider.guards) });
  }
  for (const id of [...used].toSorted(compareText)) if (people[id]) add({ person: people[id] });
  // Groups with the same people at several providers share one list, which is put in order once.
  const memberDigests = new Map<readonly DesiredMember[], string>();
  const digestOf = (members: readonly DesiredMember[]): string => {
    const known = memberDigests.get(members);
    if (known !== undefined) return known;
    const rows = members.map(({ person, role, until }) => JSON.stringify([person, role, until ?? ""]));
    const digest = createHash("sha256").update(rows.toSorted(compareText).join()).digest("hex");
    memberDigests.set(members, digest);
    return digest;
  };
  const inOrder = targets.toSorted(
    (left, right) => compareText(left.group, right.group) || compareText(left.provider, right.provider),
  );
  for (const { members, guards: limits, ...target } of inOrder) {
    add({ ...target, guards: plainGuards(limits), members: digestOf(members) });
  }
  return hash.digest("hex");
}

function plainGuards({ protect, ...limits }: GuardSettings): unknown {
  return { ...limits, protect: protect.toSorted(compareText) };
}

function addressOf({ type, options }: SpecProvider, providerTypes: readonly ProviderType[]): unknown {
  const secrets = providerTypes.find((known) => known.type === type)?.secretOptions ?? [];
  const isAddress = (key: string) => (key === "region" || /url$/i.test(key)) && !secrets.includes(key);
  return Object.fromEntries(Object.entries(options).filter(([key]) => isAddress(key)));
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([left], [right]) => compareText(left, right)))
      : part,
  );
}
