// @ts-check
import { writeSync } from 'node:fs';

/** @typedef {import('vitest/reporters').Reporter} Reporter */

/** Files after which a log shows how far the run is; a terminal shows it all the time. */
const FILES_PER_LINE = 20;

/**
 * Prints `N passed, N failed` as the very last line of a run, after the summary, the coverage table and
 * whatever the teardown says. A file that could not be loaded and an error outside of tests count as
 * failed, so that a red run never reads `0 failed`. In a log it also prints how far the run is.
 * @implements {Reporter}
 */
export default class ProgressReporter {
  #line = '';
  #startedAt = performance.now();
  #files = 0;
  #ended = 0;

  onInit() {
    process.once('exit', () => {
      if (this.#line !== '') writeSync(1, `${this.#line}\n`);
    });
  }

  /** @param {ReadonlyArray<import('vitest/node').TestSpecification>} specifications */
  onTestRunStart(specifications) {
    this.#files = specifications.length;
    this.#ended = 0;
    this.#startedAt = performance.now();
  }

  onTestModuleEnd() {
    this.#ended += 1;
    if (process.stdout.isTTY || this.#ended % FILES_PER_LINE !== 0) return;
    const seconds = Math.round((performance.now() - this.#startedAt) / 1_000);
    console.log(`${this.#ended} of ${this.#files} files after ${seconds} s`);
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
