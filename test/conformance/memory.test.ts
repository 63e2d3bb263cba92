import { describeProvider, memoryCapabilities } from "../../src/testing/index.js";
import { createMemoryFixture } from "./memory-fixture.js";

const can = <T>(value: T) => ({ value, source: "this test" });
const verb = { accountsPerCall: can(7), groupsPerCall: can(1) };
const small = { add: verb, remove: verb, versions: can(false) };
const { groups, roles } = memoryCapabilities;
const no = can(false);

describeProvider("A provider in memory that can do everything", () =>
  createMemoryFixture({ pageSize: { groups: can(10), members: can(10) } }),
);

describeProvider("A provider in memory that can do next to nothing", () =>
  createMemoryFixture({
    ...small,
    mixed: no,
    roles: {},
    groups: { create: no, membersOnCreate: can(0), rename: no, delete: no, description: no, duplicateNames: no },
    lookup: { by: can([]), pinsAreKeys: can(true), idsAreLowerCase: can(false), keysPerCall: can(1) },
    pageSize: { groups: can(5), members: can(null) },
  }),
);

describeProvider("A provider in memory with invitations, one manager and unique names", () =>
  createMemoryFixture({
    ...small,
    invitations: can(true),
    roles: { ...(roles.manager && { manager: { ...roles.manager, max: can(1), clearable: no } }) },
    groups: { ...groups, membersOnCreate: can(3), duplicateNames: no },
    lookup: { by: can(["id"]), pinsAreKeys: can(true), idsAreLowerCase: can(false), keysPerCall: can(1) },
  }),
);
