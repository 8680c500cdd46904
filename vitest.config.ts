import { defineConfig } from "vitest/config"

export default defineConfig({
  // Tests import the package by its own name and run from its source. Not by the condition `source`: packages that
  // the MCP SDK depends on have it too, and Node takes no TypeScript from node_modules.
  resolve: { conditions: ["effect-durable-mcp"] },
  ssr: { resolve: { conditions: ["effect-durable-mcp"], externalConditions: ["effect-durable-mcp"] } },
  test: {
    include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
    // Node loads it, whose hook finds its imports in the folder of Reboot.
    server: { deps: { external: [/\/reboot\/generated\//] } },
    reporters: ["default", "./test/reboot/SkippedReporter.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000
  }
})
