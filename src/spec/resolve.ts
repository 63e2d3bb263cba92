/**
 * From a spec file that fits its schema to the desired state: settings inherited, groups placed at their providers,
 * and everything held against what the services can do.
 */
import type { DesiredMember, GuardSettings, Mode, ProviderId, Spec, SpecProvider, Target } from "../model.js";
import { ABOVE_ROLES } from "../model.js";
import type { ProviderType } from "../provider.js";
import { digestSpec } from "./digest.js";
import type { SpecDocument } from "./document.js";
import { LIST_KEYS, mostSpecific, type ResolvedGroups } from "./groups.js";
import { type Directory, withoutPrototype } from "./people.js";
import {
  createSpeller,
  didYouMean,
  type KeyPath,
  type LazyOrigin,
  listSome,
  type Problems,
  quote,
  renderPath,
} from "./problems.js";
import { type GroupEntry, type GuardEntry, optionsOf, type SpecFile, type TargetEntry } from "./schema.js";

/** Everything that was read, ready to be put together. */
export interface ResolveSource {
  readonly data: SpecFile;
  readonly document: SpecDocument;
  readonly origin: (path: KeyPath) => LazyOrigin;
  readonly isBroken: (path: KeyPath) => boolean;
  /** The providers of the file, even if what is said about one is wrong. Undefined when that cannot be told. */
  readonly providerIds: readonly ProviderId[] | undefined;
  readonly providerTypes: readonly ProviderType[];
  readonly directory: Directory;
  readonly groups: ResolvedGroups;
  /** How a provider itself writes an id. */
  readonly canonicalId: (provider: ProviderId, id: string) => string;
  readonly today: string;
  readonly problems: Problems;
}

const DEFAULT_GUARDS: GuardSettings = { maxRemovals: { count: 50, percent: 25 }, protect: [], minOwners: 1 };

interface PlacedProvider {
  readonly provider: SpecProvider;
  readonly type: ProviderType;
  readonly mode: Mode | undefined;
  readonly adopt: boolean | undefined;
}

/** Puts the spec together, but for `state` and `warnings`. What is wrong is told to `problems`. */
export function resolveSpec(source: ResolveSource): Omit<Spec, "state" | "warnings"> {
  const { data, directory, providerTypes } = source;
  const guards = inherit(DEFAULT_GUARDS, data.guards, ["guards"], source);
  const providers = placeProviders(guards, source);
  const targets = placeTargets(guards, providers, source);
  checkNames(targets, source);
  checkTargets(targets, providers, source);
  const desired = targets.map(({ target }) => target);
  const people = withoutPrototype([...directory.people].map(([id, { person }]) => [id, person] as const));
  const specProviders = [...providers.values()].map(({ provider }) => provider);
  return {
    version: 1,
    mode: data.mode,
    providers: specProviders,
    people,
    targets: desired,
    guards,
    digest: digestSpec({ providers: specProviders, people, targets: desired, guards, providerTypes }),
  };
}

/** Guards of one level: what it says replaces, but protected people add up. */
function inherit(
  above: GuardSettings,
  own: GuardEntry | undefined,
  path: KeyPath,
  { directory, problems, origin }: ResolveSource,
): GuardSettings {
  if (!own) return above;
  (own.protect ?? []).forEach((name, index) => {
    if (/[*?@]/.test(name) || directory.isKnown(name)) return;
    problems.error(
      origin([...path, "protect", index])(),
      `${directory.explainUnknown(name, new Set())} (Protected are person ids, e-mail addresses, or globs over them.)`,
    );
  });
  return {
    maxRemovals: {
      count: own.maxRemovals?.count ?? above.maxRemovals.count,
      percent: own.maxRemovals?.percent ?? above.maxRemovals.percent,
    },
    protect: [...new Set([...above.protect, ...(own.protect ?? [])])],
    minOwners: own.minOwners ?? above.minOwners,
  };
}

function placeProviders(guards: GuardSettings, source: ResolveSource): ReadonlyMap<ProviderId, PlacedProvider> {
  const { data, document, providerTypes, problems } = source;
  const placed = new Map<ProviderId, PlacedProvider>();
  for (const [id, entry] of Object.entries(data.providers)) {
    const type = providerTypes.find((known) => known.type === entry.type);
    const options = type?.options.safeParse(optionsOf(entry));
    if (!type || !options?.success) continue;
    for (const name of type.secretOptions) {
      const written = document.written(["providers", id, name]);
      if (written.kind !== "text" || written.usesEnvironment) continue;
      problems.warn(
        document.locate(["providers", id, name]),
        `This is a secret, written out in the file. Keep it in the environment: ${name}: \${${environmentName(id, name)}}.`,
      );
    }
    if (entry.incremental === true && !type.capabilities.versions.value) {
      problems.warn(
        document.locate(["providers", id, "incremental"]),
        `${type.label} shows no versions of groups, so every group is read each time, as without this key.`,
      );
    }
    placed.set(id, {
      provider: {
        id,
        type: type.type,
        options: options.data as Readonly<Record<string, unknown>>,
        guards: inherit(guards, entry.guards, ["providers", id, "guards"], source),
        ...(entry.incremental === true && { incremental: true }),
      },
      type,
      mode: entry.mode,
      adopt: entry.adopt,
    });
  }
  return placed;
}

/** `calls` and `clientSecret` → `CALLS_CLIENT_SECRET`. */
export function environmentName(id: string, option: string): string {
  const words = `${id}_${option.replace(/([a-z0-9])([A-Z])/g, "$1_$2")}`;
  const name = words.toUpperCase().replace(/[^A-Z0-9]+/g, "_");
  return /^\d/.test(name) ? `_${name}` : name;
}

interface PlacedTarget {
  readonly target: Target;
  /** Where it stands: the entry under `targets`, or the group where there is none. */
  readonly path: KeyPath;
  readonly groupPath: KeyPath;
  readonly entry: TargetEntry | undefined;
  readonly origin: (path: KeyPath) => LazyOrigin;
}

function placeTargets(
  guards: GuardSettings,
  providers: ReadonlyMap<ProviderId, PlacedProvider>,
  source: ResolveSource,
): readonly PlacedTarget[] {
  const targets: PlacedTarget[] = [];
  for (const [id, group] of Object.entries(source.data.groups)) {
    const wanted = readTargets(id, group, source);
    // An entry without a provider that can be used was told already; its lists are checked all the same.
    for (const [provider, { entry, path }] of wanted) {
      if (!providers.has(provider)) source.groups.rosterOf(id, entry, path);
    }
    for (const placed of providers.values()) {
      const found = wanted.get(placed.provider.id);
      if (found) targets.push(placeTarget(id, group, placed, found, guards, source));
    }
  }
  return targets;
}

interface FoundTarget {
  readonly entry: TargetEntry | undefined;
  readonly path: KeyPath;
}

function readTargets(
  id: string,
  { targets }: GroupEntry,
  { providerIds, origin, problems, isBroken }: ResolveSource,
): ReadonlyMap<ProviderId, FoundTarget> {
  const path = ["groups", id, "targets"] as const;
  const found = new Map<ProviderId, FoundTarget>();
  if (targets === undefined) {
    const [only, second] = providerIds ?? [];
    if (only !== undefined && second === undefined) found.set(only, { entry: undefined, path: ["groups", id] });
    else if (providerIds !== undefined && only !== undefined && !isBroken(path)) {
      problems.error(
        origin(["groups", id])(),
        `This group has no \`targets\`, and the spec has several providers. Say where it exists: targets: [${listSome(providerIds, 4)}]; [] for a group that only others include.`,
      );
    }
    return found;
  }
  const isList = Array.isArray(targets);
  const entries: readonly (readonly [string, TargetEntry | null, KeyPath])[] = isList
    ? targets.map((provider, index) => [provider, null, [...path, index]])
    : Object.entries(targets).map(([provider, entry]) => [provider, entry, [...path, provider]]);
  const speller = createSpeller(providerIds ?? []);
  for (const [provider, entry, at] of entries) {
    if (providerIds && !providerIds.includes(provider)) {
      const hint = didYouMean(provider, speller) || ` Providers: ${listSome(providerIds, 10)}.`;
      problems.error(origin(at)(), `There is no provider ${quote(provider)}.${hint}`);
    } else if (found.has(provider)) {
      problems.error(origin(at)(), `${quote(provider)} stands here a second time.`);
    } else found.set(provider, { entry: entry ?? undefined, path: at });
  }
  return found;
}

function placeTarget(
  id: string,
  group: GroupEntry,
  { provider, mode, adopt }: PlacedProvider,
  { entry, path }: FoundTarget,
  specGuards: GuardSettings,
  source: ResolveSource,
): PlacedTarget {
  const { data, groups, origin } = source;
  const groupPath = ["groups", id];
  const { managed, members } = groups.rosterOf(id, entry, path);
  const description = entry?.description ?? group.description;
  // The provider's own guards stand between those of the spec and of the group; `inherit` has put them together.
  const above = provider.guards ?? specGuards;
  const ofGroup = inherit(above, group.guards, [...groupPath, "guards"], source);
  return {
    target: {
      group: id,
      provider: provider.id,
      ...(entry?.id !== undefined && { groupId: entry.id }),
      name: entry?.name ?? group.name ?? id,
      ...(description !== undefined && { description }),
      previously: entry?.previously ?? group.previously ?? [],
      mode: mostSpecific(data.mode, mode, group.mode, entry?.mode) ?? data.mode,
      adopt: mostSpecific(data.adopt, adopt, group.adopt, entry?.adopt) ?? false,
      absent: mostSpecific(group.delete, entry?.delete) ?? false,
      guards: inherit(ofGroup, entry?.guards, [...path, "guards"], source),
      managed,
      members,
    },
    path,
    groupPath,
    entry,
    origin,
  };
}

/** The place of something that a target may say itself and else has from its group. */
function originOf({ entry, path, groupPath, origin }: PlacedTarget, key: keyof TargetEntry & keyof GroupEntry) {
  return origin([...(entry?.[key] === undefined ? groupPath : path), key])();
}

/** Two groups that answer to one name or id at a provider would be taken for one, unless both are pinned by id. */
function checkNames(targets: readonly PlacedTarget[], { canonicalId, problems }: ResolveSource): void {
  const names = new Map<string, PlacedTarget>();
  const ids = new Map<string, PlacedTarget>();
  for (const placed of targets) {
    const { provider, name, group, groupId } = placed.target;
    const key = JSON.stringify([provider, name]);
    const other = names.get(key);
    if (!other) names.set(key, placed);
    else if (groupId === undefined || other.target.groupId === undefined) {
      problems.error(
        nameOrigin(placed),
        `At ${provider} the groups ${other.target.group} (line ${nameOrigin(other).line}) and ${group} would both be called ${quote(name)}; groups are told apart by name, or by a pinned id each.`,
      );
    }
    if (groupId === undefined) continue;
    const idKey = JSON.stringify([provider, canonicalId(provider, groupId)]);
    const otherId = ids.get(idKey);
    if (!otherId) ids.set(idKey, placed);
    else {
      const { line } = otherId.origin([...otherId.path, "id"])();
      problems.error(
        placed.origin([...placed.path, "id"])(),
        `The groups ${otherId.target.group} (line ${line}) and ${group} are both pinned to ${quote(groupId)} at ${provider}.`,
      );
    }
  }
  checkFormerNames(targets, names, problems);
}

function nameOrigin(placed: PlacedTarget) {
  const { entry, groupPath, path, origin } = placed;
  return origin([...(entry?.name === undefined ? groupPath : path), "name"])();
}

function checkFormerNames(
  targets: readonly PlacedTarget[],
  names: ReadonlyMap<string, PlacedTarget>,
  problems: Problems,
): void {
  const formerNames = new Map<string, PlacedTarget>();
  for (const placed of targets) {
    const { provider, group, previously } = placed.target;
    for (const name of new Set(previously)) {
      const key = JSON.stringify([provider, name]);
      const owner = names.get(key) ?? formerNames.get(key);
      if (!formerNames.has(key)) formerNames.set(key, placed);
      if (!owner || owner.target.group === group) continue;
      const is = names.has(key) ? "is the name" : "is a former name";
      problems.error(
        originOf(placed, "previously"),
        `${quote(name)} ${is} of the group ${owner.target.group} at ${provider} too; a group that is found by it could be either.`,
      );
    }
  }
}

/** Holds targets against what their services can do. */
function checkTargets(
  targets: readonly PlacedTarget[],
  providers: ReadonlyMap<ProviderId, PlacedProvider>,
  source: ResolveSource,
): void {
  for (const { provider, type } of providers.values()) {
    const own = targets.filter(({ target }) => target.provider === provider.id && !target.absent);
    for (const placed of own) {
      checkPlaces(placed, type, source);
      checkSize(placed, type, source);
    }
    warnOfDescriptions(own, type, source.problems);
    warnOfUnpinned(own, type, source);
  }
}

/** Memberships that have not ended, of people who may have an account there. */
function currentMembers({ target }: PlacedTarget, { directory, today }: ResolveSource): readonly DesiredMember[] {
  return target.members.filter(
    ({ person, until }) =>
      (until === undefined || until >= today) &&
      directory.people.get(person)?.person.accounts[target.provider] !== null,
  );
}

function checkPlaces(placed: PlacedTarget, type: ProviderType, source: ResolveSource): void {
  const { target, entry } = placed;
  for (const role of ABOVE_ROLES) {
    const places = type.capabilities.roles[role]?.max.value;
    if (places === undefined || places === null) continue;
    const holders = currentMembers(placed, source).filter((member) => member.role === role);
    if (holders.length <= places) continue;
    const key = LIST_KEYS[role];
    const targetPath = ["groups", target.group, "targets", target.provider];
    const keep = places === 0 ? "none" : places === 1 ? "one" : String(places);
    const fix =
      entry?.[key] === undefined
        ? `Name ${keep} in ${renderPath([...targetPath, key])} and list the others in ${renderPath([...targetPath, "members"])} together with the members.`
        : `Leave ${keep} and list the others in ${renderPath([...targetPath, "members"])} together with the members.`;
    source.problems.error(
      originOf(placed, key),
      `${holders.length} ${key} are listed (${listSome(holders.map(({ person }) => person))}), but ${type.label} (${target.provider}) has ${places === 1 ? "one place" : `${places} places`} for ${places === 1 ? `a ${role}` : key} in a group. ${fix}`,
    );
  }
}

function checkSize(placed: PlacedTarget, type: ProviderType, source: ResolveSource): void {
  const limit = type.capabilities.maxMembers.value;
  const { target } = placed;
  if (limit === null || target.members.length <= limit) return;
  const count = new Set(currentMembers(placed, source).map(({ person }) => person)).size;
  if (count <= limit) return;
  source.problems.error(
    placed.origin(placed.path)(),
    `The group ${target.group} has ${count} members, but ${type.label} (${target.provider}) takes at most ${limit} in a group. Split it, or list fewer in ${renderPath(["groups", target.group, "targets", target.provider, "members"])}.`,
  );
}

function warnOfDescriptions(own: readonly PlacedTarget[], type: ProviderType, problems: Problems): void {
  if (type.capabilities.groups.description.value) return;
  const described = own.filter(({ target }) => target.description !== undefined);
  const [first] = described;
  if (!first) return;
  const groups = listSome(described.map(({ target }) => target.group));
  problems.warn(
    originOf(first, "description"),
    `Groups at ${type.label} (${first.target.provider}) have no description, so there it is left out (${groups}).`,
  );
}

/** Someone who cannot be found keeps removals from their groups in every run; better to know that before the first. */
function warnOfUnpinned(own: readonly PlacedTarget[], type: ProviderType, source: ResolveSource): void {
  const [someTarget] = own;
  if (!someTarget) return;
  const { provider } = someTarget.target;
  const findsByEmail = type.capabilities.lookup.by.value.includes("email");
  const wanted = new Set(own.flatMap((placed) => currentMembers(placed, source).map(({ person }) => person)));
  const unpinned = [...wanted].flatMap((id) => {
    const placed = source.directory.people.get(id);
    if (!placed || placed.person.accounts[provider] !== undefined) return [];
    const hasAddress = placed.person.email !== undefined || placed.person.aliases.length > 0;
    return findsByEmail && hasAddress ? [] : [placed];
  });
  const [first] = unpinned;
  if (!first) return;
  const names = listSome(unpinned.map(({ person }) => person.id));
  const count = `${unpinned.length} ${unpinned.length === 1 ? "person" : "people"} (${names})`;
  const why = findsByEmail
    ? `${count} in groups at ${type.label} (${provider}) cannot be found there: without an e-mail`
    : `${type.label} (${provider}) cannot look people up by e-mail, and ${count} in its groups cannot be found there: without a pinned account`;
  source.problems.warn(
    first.origin(),
    `${why} their groups get no removals. Pin the account (accounts.${provider}: its id), or say that there is none (null).`,
  );
}
