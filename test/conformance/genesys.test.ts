import { createGenesysProvider } from "../../src/providers/genesys/index.js";
import { describeProvider } from "../../src/testing/index.js";
import { createSandboxFixture, unpaced } from "./sandbox-fixture.js";

describeProvider("Genesys Cloud", () =>
  createSandboxFixture("genesys", {
    create: ({ clientId = "", clientSecret = "", ...options }) =>
      createGenesysProvider({
        id: "calls",
        clientId,
        clientSecret,
        ...options,
        ...unpaced,
      }),
    unknownAccount: "00000000-0000-4000-8000-000000000001",
    statuses: ["disabled", "deleted"],
  }),
);
