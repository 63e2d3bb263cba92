import { createScimProvider } from "../../src/providers/scim/index.js";
import { describeProvider } from "../../src/testing/index.js";
import { createSandboxFixture, unpaced } from "./sandbox-fixture.js";

describeProvider("SCIM 2.0", () =>
  createSandboxFixture("scim", {
    create: ({ baseUrl = "", token = "" }) => createScimProvider({ id: "directory", baseUrl, token, ...unpaced }),
    unknownAccount: "00000000-0000-4000-8000-000000000001",
    statuses: ["disabled", "deleted"],
  }),
);
