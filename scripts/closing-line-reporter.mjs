// @ts-check
import { writeSync } from 'node:fs';

/** @typedef {import('vitest/reporters').Reporter} Reporter */

/**
 * Prints `N passed, N failed` as the very last line of a run, after the summary, the coverage table and
 * whatever the teardown says. A file that could not be loaded and an error outside of tests count as
 * failed, so that a red run never reads `0 failed`.
 * @implements {Reporter}
 */
export default class ClosingLineReporter {
  #line = '';

  onInit() {
    process.once('exit', () => {
      if (this.#line !== '') writeSync(1, `${this.#line}\n`);
    });
  }

  /**
   * @param {ReadonlyArray<import('vitest/node').TestModule>} testModules
   * @param {ReadonlyArray<unknown>} unhandledErrors
   */
  onTestRunEnd(testModules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const testModule of testModules) {
      for (const test of testModule.children.allTests()) count[test.result().state]++;
      count.failed += testModule.errors().length;
      for (const suite of testModule.children.allSuites()) count.failed += suite.errors().length;
    }
    const skipped = count.skipped + count.pending;
    this.#line = `${count.passed} passed, ${count.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  }
}
