import type { Capabilities } from "../../src/provider.js";
import { createMemoryProvider, type ProviderFixture } from "../../src/testing/index.js";

const people = Array.from({ length: 250 }, (_, index) => ({
  id: `person-${index}`,
  email: `person${index}@conformance.example`,
}));

/** A provider in memory and its control surface as the world behind it. */
export async function createMemoryFixture(capabilities: Partial<Capabilities>): Promise<ProviderFixture> {
  const provider = createMemoryProvider({ capabilities, people });
  const { control } = provider;
  return {
    provider,
    world: {
      people,
      unknownAccount: "nobody",
      statuses: ["pending", "disabled", "deleted"],
      groups: () => control.groups(),
      addGroup: (name, members = []) => control.addGroup({ name, members }),
      deleteGroup: (groupId) => control.deleteGroup(groupId),
      addMember: (groupId, account, role) => control.addMember(groupId, account, role),
      removeMember: (groupId, account) => control.removeMember(groupId, account),
      addPerson: (email) => ({ id: control.addPerson({ email }), email }),
      setStatus: (account, status) => control.setPersonStatus(account, status),
      settle: () => void control.answerInvitations("accept"),
      requests: () => control.calls.length,
    },
    dispose: () => {},
  };
}
