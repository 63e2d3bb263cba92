import { createNeuroioProvider } from "../../src/providers/neuroio/index.js";
import { describeProvider } from "../../src/testing/index.js";
import { createSandboxFixture, unpaced } from "./sandbox-fixture.js";

describeProvider("NeuroIO", () =>
  createSandboxFixture("neuroio", {
    create: (options) => createNeuroioProvider({ id: "faces", ...options, ...unpaced }),
    unknownAccount: "00000000-0000-4000-8000-000000000001",
    statuses: ["deleted"],
  }),
);
