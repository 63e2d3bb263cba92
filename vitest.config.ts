import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: the files that start processes or servers would only wait for each other.
    maxWorkers: 2,
    // The vendors' clients read configuration from HOME and proxies from the environment.
    env: { NO_COLOR: "1" },
  },
});
