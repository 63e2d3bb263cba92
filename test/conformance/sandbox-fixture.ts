/** The world of the conformance suite as the sandbox's control surface sees it, the same for all four services. */
import type { GroupProvider } from "../../src/provider.js";
import { type SeedPerson, type ServiceName, startSandbox } from "../../src/sandbox/index.js";
import type { ProviderFixture, World, WorldStatus } from "../../src/testing/index.js";

/** More than two pages and two caps of every service. */
const PEOPLE = 250;

/** So that no test waits for a limit or a back-off. */
export const unpaced = { retryDelayMs: 1, requestsPerMinute: 1_000_000 } as const;

/** What a service needs besides its name. */
export interface SandboxFixtureOptions {
  readonly create: (options: Readonly<Record<string, string>>) => GroupProvider;
  /** A member key of the service's form that nobody has. */
  readonly unknownAccount: string;
  /** The states that the service tells apart from `active`. */
  readonly statuses: readonly WorldStatus[];
  /** The emulator's switches. */
  readonly switches?: Readonly<Record<string, string | number>>;
}

const seed: { readonly people: readonly SeedPerson[]; readonly groups: readonly [] } = {
  people: Array.from({ length: PEOPLE }, (_, index) => ({
    id: `person-${index}`,
    email: `person${index}@conformance.example`,
    name: `Person ${index}`,
  })),
  groups: [],
};

/** Starts one service of the sandbox, with people and without groups, and a provider for it. */
export async function createSandboxFixture(
  service: ServiceName,
  { create, unknownAccount, statuses, switches = {} }: SandboxFixtureOptions,
): Promise<ProviderFixture> {
  const sandbox = await startSandbox({ services: [service], seed, switches: { [service]: switches } });
  const [entry = {}] = Object.values(sandbox.config());
  const options = Object.fromEntries(Object.entries(entry).filter(([key]) => key !== "type"));
  const { control } = sandbox.services[service];
  let people = 0;
  const world: World = {
    people: seed.people.map(({ id, email }) => ({ id: control.accountOf(id) ?? "", email })),
    unknownAccount,
    statuses,
    groups: () => control.groups(),
    addGroup: (name, members = []) => {
      const groupId = control.addGroup({ name });
      for (const account of members) control.addMember(groupId, account);
      return groupId;
    },
    deleteGroup: (groupId) => control.deleteGroup(groupId),
    addMember: (groupId, account, role = "member") => {
      // An owner at Genesys is not a member by that alone.
      control.addMember(groupId, account, "member");
      if (role !== "member") control.addMember(groupId, account, role);
    },
    removeMember: (groupId, account) => control.removeMember(groupId, account),
    addPerson: (email) => ({ id: control.addPerson({ id: `newcomer-${++people}`, email }), email }),
    setStatus: (account, status) => control.setPersonStatus(account, status),
    settle: () => void control.answerInvitations("accept"),
    requests: () => sandbox.log.length + sandbox.log.dropped,
  };
  return {
    provider: create(options),
    world,
    secrets: Object.entries(options).flatMap(([key, value]) => (/token|key|secret|password/i.test(key) ? [value] : [])),
    dispose: () => sandbox.close(),
  };
}
