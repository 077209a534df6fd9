import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Tests that build packages or start processes take seconds on a small machine; a hang still shows.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Each worker may load ONNX Runtime: processes keep one crash from taking the others along.
    pool: 'forks',
    // Vitest leaves one processor to itself, which is half of a small machine.
    maxWorkers: availableParallelism(),
    globalSetup: ['test/support/build.ts'],
    reporters: process.env.RTC_VITEST_JSON ? ['default', 'json'] : ['default'],
    ...(process.env.RTC_VITEST_JSON ? { outputFile: { json: process.env.RTC_VITEST_JSON } } : {}),
  },
});
