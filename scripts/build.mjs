// @ts-check
/**
 * Compiles to dist/ with `nest build`, and beside it builds the docs site (`guide.mjs`). With --if-stale it builds only when
 * an input has changed since the last build, and never where the sources are missing (a container image with dist/ alone).
 * A service starts without its docs site: with --if-stale a site that cannot be built is only a warning, and with
 * --guide-later it is built in the background.
 * Two at once (two instances started after one checkout) take turns: the second finds the work done.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { digestOf, root } from './digest.mjs';

const output = path.join(root, 'dist/src/main.js');
const stamp = path.join(root, 'dist/.inputs');
const guide = path.join(root, 'scripts/guide.mjs');
const lock = path.join(root, '.build.lock');
const inputs = [
  'src',
  'ormconfig.ts',
  'tsconfig.json',
  'tsconfig.build.json',
  'nest-cli.json',
  'package-lock.json',
];
const lockTimeoutMs = 120_000;

/** @returns {boolean} */
function isFresh() {
  if (!existsSync(output)) return false;
  if (!existsSync(path.join(root, 'src'))) return true;
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === digestOf(inputs);
}

/** @returns {boolean} whether this process now holds the lock */
function takeLock() {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  }
  if (isHolderGone()) rmSync(lock, { force: true });
  return false;
}

/** @returns {boolean} whether the process that wrote the lock ended without removing it */
function isHolderGone() {
  try {
    const { mtimeMs } = statSync(lock);
    const holder = Number(readFileSync(lock, 'utf8'));
    if (Date.now() - mtimeMs > lockTimeoutMs) return true;
    if (holder === 0) return false;
    process.kill(holder, 0);
    return false;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH';
  }
}

/**
 * Runs a program of ours, or of a package, beside the others.
 * @param {string} script @param {readonly string[]} options @param {'inherit' | 'pipe'} stdio
 * @returns {Promise<{ status: number, said: string }>}
 */
function run(script, options, stdio) {
  const child = spawn(process.execPath, [path.join(root, script), ...options], {
    cwd: root,
    stdio: ['ignore', stdio, stdio],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk) => (said += chunk));
  }
  return new Promise((resolve) => {
    child.on('error', (error) => (said += `${error.message}\n`));
    child.on('close', (code) => resolve({ status: code ?? 1, said }));
  });
}

/** @returns {Promise<number>} the compiler's exit status */
async function compile() {
  // Taken before compiling: a file saved meanwhile makes the next start build again.
  const digest = digestOf(inputs);
  const { status } = await run('node_modules/@nestjs/cli/bin/nest.js', ['build'], 'inherit');
  if (status === 0) writeFileSync(stamp, digest);
  return status;
}

/** @returns {Promise<boolean>} also true where the docs site cannot be built, and with --if-stale after it failed */
async function isGuideDone() {
  if (!existsSync(guide)) return true;
  const { guideState } = await import('./guide.mjs');
  const state = guideState();
  return state !== 'stale' && (ifStale || state !== 'failed');
}

/** @returns {Promise<number>} 0, or 1 when the docs site has to be built and cannot be */
async function buildGuide() {
  const { status, said } = await run('scripts/guide.mjs', [], 'pipe');
  if (status === 0) return 0;
  console.error(`${said}The docs site at /guide could not be built.`);
  return ifStale ? 0 : 1;
}

/** Builds the docs site in the background. A start does not wait for documents: the service serves them as soon as they are there. */
function startGuide() {
  spawn(process.execPath, [guide, '--if-stale'], { cwd: root, detached: true, stdio: 'ignore' }).unref();
}

const ifStale = process.argv.includes('--if-stale');
const isGuideLater = process.argv.includes('--guide-later');
const isDone = async () => ifStale && isFresh() && (await isGuideDone());
if (!(await isDone())) {
  while (!takeLock()) await new Promise((resolve) => setTimeout(resolve, 100));
  try {
    // Read under the lock: another build may have done the work meanwhile.
    const [isCompiled, needsGuide] = [ifStale && isFresh(), !(await isGuideDone())];
    const statuses = await Promise.all([
      isCompiled ? 0 : compile(),
      needsGuide && !isGuideLater ? buildGuide() : 0,
    ]);
    process.exitCode = Math.max(...statuses);
    if (needsGuide && isGuideLater) startGuide();
  } finally {
    rmSync(lock, { force: true });
  }
}
