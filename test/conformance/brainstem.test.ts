import { createBrainstemProvider } from "../../src/providers/brainstem/index.js";
import { describeProvider } from "../../src/testing/index.js";
import { createSandboxFixture, unpaced } from "./sandbox-fixture.js";

describeProvider("BrainSTEM", () =>
  createSandboxFixture("brainstem", {
    create: ({ token = "", ...options }) =>
      createBrainstemProvider({ id: "lab", token, account: "sync@sandbox.example", ...options, ...unpaced }),
    unknownAccount: "nobody@nowhere.example",
    statuses: ["deleted"],
  }),
);
