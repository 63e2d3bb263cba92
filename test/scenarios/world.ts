/** A sandbox, a spec for it, and a look at the true state: what the scenario tests share. */
import { expect } from "vitest";
import { createProviders, parseSpec, type GroupProvider, type Spec } from "../../src/index.js";
import {
  type Sandbox,
  type SandboxOptions,
  type Seed,
  type SeedGroup,
  type ServiceName,
  startSandbox,
} from "../../src/sandbox/index.js";

/** Provider ids as `sandbox.config()` names them. */
export const providerIds = {
  faces: "neuroio",
  lab: "brainstem",
  docs: "docspace",
  calls: "genesys",
} as const satisfies Record<string, ServiceName>;
export type ProviderKey = keyof typeof providerIds;
export const providerKeys = Object.keys(providerIds) as readonly ProviderKey[];

/** Options that keep tests quick: no pacing, short back-off, short patience. */
const quick = { retryDelayMs: 1, requestsPerMinute: 1_000_000, timeoutMs: 5_000, maxWaitMs: 3_000 };

export interface World {
  readonly sandbox: Sandbox;
  readonly seed: Seed;
  close(): Promise<void>;
}

export async function startWorld(options: SandboxOptions & { readonly seed: Seed }): Promise<World> {
  const sandbox = await startSandbox(options);
  return { sandbox, seed: options.seed, close: () => sandbox.close() };
}

export interface SpecWish {
  readonly groups: readonly (SeedGroup & {
    readonly previously?: readonly string[];
    readonly only?: readonly ProviderKey[];
  })[];
  readonly mode?: string;
  readonly guards?: Readonly<Record<string, unknown>>;
  /** More provider options, for all. */
  readonly connection?: Readonly<Record<string, unknown>>;
  readonly adopt?: boolean;
}

/** The spec as a plain object: people of the seed, groups as wished, each at all of its providers. */
export function specObject({ sandbox, seed }: World, wish: SpecWish): Record<string, unknown> {
  const config = sandbox.config();
  const providers = Object.fromEntries(
    Object.entries(config).map(([id, options]) => [id, { ...options, ...quick, ...wish.connection }]),
  );
  const faces = "faces" in config ? sandbox.services.neuroio.control : undefined;
  return {
    version: 1,
    mode: wish.mode ?? "authoritative",
    adopt: wish.adopt ?? true,
    providers,
    people: Object.fromEntries(
      seed.people.map(({ id, email }) => [
        id,
        { email, ...(faces && { accounts: { faces: faces.accountOf(id) ?? null } }) },
      ]),
    ),
    groups: Object.fromEntries(
      wish.groups.map((group) => [
        group.name,
        {
          name: group.name,
          ...(group.members && { members: group.members }),
          ...(group.managers && { managers: group.managers }),
          ...(group.owners && { owners: group.owners }),
          ...(group.previously && { previously: group.previously }),
          targets: Object.fromEntries(
            (group.only ?? providerKeys)
              .filter((id) => id in config)
              .map((id) => [id, id === "docs" ? withOneManager(group) : {}]),
          ),
        },
      ]),
    ),
    ...(wish.guards && { guards: wish.guards }),
  };
}

/** DocSpace has one place for a manager; the others are members there. */
function withOneManager({ members = [], managers = [] }: SeedGroup): Record<string, unknown> {
  return managers.length > 1 ? { managers: managers.slice(0, 1), members: [...members, ...managers.slice(1)] } : {};
}

export async function specFor(
  world: World,
  wish: SpecWish,
): Promise<{ spec: Spec; providers: readonly GroupProvider[] }> {
  const spec = await parseSpec(JSON.stringify(specObject(world, wish)), { file: "test.json" });
  return { spec, providers: createProviders(spec) };
}

/** Who is truly in a group, as seed ids; pending invitations count as in. */
export function trueMembers(
  { sandbox, seed }: World,
  provider: ProviderKey,
  groupName: string,
): readonly string[] | undefined {
  const { control } = sandbox.services[providerIds[provider]];
  const groups = control.groups().filter(({ name }) => name === groupName);
  const [group] = groups;
  if (!group) return undefined;
  expect(groups, `one group called ${groupName}`).toHaveLength(1);
  const personOf = new Map(seed.people.map(({ id }) => [control.accountOf(id), id]));
  const accounts = [...group.members.map(({ account }) => account), ...group.invited];
  return accounts.flatMap((account) => personOf.get(account) ?? []).toSorted();
}

/** Everybody who should be in a group. */
export function wantedMembers({ members = [], managers = [], owners = [] }: SeedGroup): readonly string[] {
  return [...members, ...managers, ...owners].toSorted();
}

/** Asserts that every group of every provider holds exactly who is wished, and nobody was invited twice. */
export function expectConverged(world: World, wish: SpecWish, providers: readonly ProviderKey[] = providerKeys): void {
  for (const provider of providers) {
    for (const group of wish.groups) {
      if (group.only && !group.only.includes(provider)) continue;
      expect({ provider, group: group.name, members: trueMembers(world, provider, group.name) }).toEqual({
        provider,
        group: group.name,
        members: wantedMembers(group),
      });
    }
    for (const { invited } of world.sandbox.services[providerIds[provider]].control.groups()) {
      expect(new Set(invited).size, "invited once each").toBe(invited.length);
    }
  }
}
