import { createDocspaceProvider } from "../../src/providers/docspace/index.js";
import { describeProvider } from "../../src/testing/index.js";
import { createSandboxFixture, unpaced } from "./sandbox-fixture.js";

describeProvider("DocSpace", () =>
  createSandboxFixture("docspace", {
    create: ({ baseUrl = "", ...options }) => createDocspaceProvider({ id: "docs", baseUrl, ...options, ...unpaced }),
    unknownAccount: "00000000-0000-4000-8000-000000000001",
    statuses: ["pending", "disabled", "deleted"],
  }),
);
