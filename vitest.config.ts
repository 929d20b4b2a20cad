import { defineConfig } from 'vitest/config';

const TIMEOUTS = { testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    pool: 'forks',
    // One more than the two cores of a small machine: many tests wait for processes that start, stop or time out.
    maxWorkers: 3,
    // The files of a worker share what they import: loading it anew for each would take a third of the time.
    isolate: false,
    // Without a person who watches, only what failed is worth saying: a log is often cut.
    reporters: [process.stdout.isTTY ? 'default' : 'minimal', './scripts/progress-reporter.mjs'],
    coverage: { include: ['src/**/*.ts'], reporter: ['text', 'html'] },
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/**/*.unit.spec.ts'], ...TIMEOUTS } },
      {
        extends: true,
        test: {
          name: 'service',
          include: ['test/**/*.spec.ts'],
          exclude: ['test/**/*.unit.spec.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          ...TIMEOUTS,
        },
      },
    ],
  },
});
