import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // One more than the two cores of a small machine: much of the time goes into waiting for services to settle.
    maxWorkers: 3,
    // The vendors' clients read configuration from HOME and proxies from the environment.
    env: { NO_COLOR: "1" },
  },
});
