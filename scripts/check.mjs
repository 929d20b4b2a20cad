// @ts-check
/**
 * Runs every check: one line for each with its time, the output of those that fail, a summary, and at the
 * very end the closing line of the tests. The static checks share the cores; the tests have them alone.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** Steps of one stage are independent of each other; a stage needs the one before it to have ended. */
const stages = [
  [
    'build',
    'types',
    'lint',
    'boundaries',
    'deadcode',
    'duplicates',
    'format:check',
    'openapi:lint',
    'migrations:check',
  ],
  ['openapi:check', 'docs:check'],
  ['test'],
];

/** @typedef {{ step: string, ok: boolean, output: string }} Outcome */

/** @param {string} step @returns {Promise<Outcome>} */
function run(step) {
  const startedAt = performance.now();
  const child = spawn('npm', ['run', '--silent', step], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  }
  return new Promise((resolve) => {
    child.on('error', (error) => (output += `${error.message}\n`));
    child.on('close', (code) => {
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      const ok = code === 0;
      console.log(`${ok ? 'ok  ' : 'FAIL'} ${step.padEnd(14)} ${seconds.padStart(6)} s`);
      if (!ok) console.log(output.trimEnd());
      resolve({ step, ok, output });
    });
  });
}

/** @param {string[]} steps @returns {Promise<Outcome[]>} */
async function runStage(steps) {
  const waiting = [...steps];
  /** @type {Outcome[]} */
  const outcomes = [];
  const lane = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift())
      outcomes.push(await run(step));
  };
  await Promise.all(Array.from({ length: Math.min(steps.length, availableParallelism()) }, lane));
  return outcomes;
}

const startedAt = performance.now();
/** @type {Outcome[]} */
const outcomes = [];
for (const stage of stages) outcomes.push(...(await runStage(stage)));

const failed = outcomes.filter(({ ok }) => !ok).map(({ step }) => step);
const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
console.log(
  failed.length === 0
    ? `All ${outcomes.length} checks passed in ${seconds} s.`
    : `${failed.length} of ${outcomes.length} checks failed in ${seconds} s: ${failed.join(', ')}.`,
);
const closingLine = outcomes
  .find(({ step }) => step === 'test')
  ?.output.split('\n')
  .findLast((line) => /^\d+ passed, \d+ failed(, \d+ skipped)?$/.test(line));
if (closingLine !== undefined) console.log(closingLine);
process.exitCode = failed.length === 0 ? 0 : 1;
