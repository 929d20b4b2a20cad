// @ts-check
/**
 * Starts the service as the README says (`npm start`), on a free port and the data directory given as argument,
 * waits until it is ready, tells it to stop and expects exit code 0. Every wait is bounded.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_MS = 90_000;
const STOP_MS = 30_000;

/** @returns {Promise<number>} a port that nobody listens on */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('No port was given.');
  return address.port;
}

/** @param {string} url @returns {Promise<boolean>} */
async function answers(url) {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(5_000) })).ok;
  } catch {
    return false;
  }
}

const port = await freePort();
const startedAt = performance.now();
const child = spawn('npm', ['start'], {
  // A group of its own, so that whatever is left of it at the end can be ended.
  detached: true,
  env: { ...process.env, HOST: '127.0.0.1', PORT: String(port), DATA_DIR: process.argv[2] },
  stdio: 'inherit',
});
/** @type {Promise<string>} an exit code, or the signal that ended it */
const exit = new Promise((resolve, reject) => {
  child.on('error', reject);
  child.on('exit', (code, signal) => resolve(String(code ?? signal)));
});
let exited = false;
const noteExit = exit.then(() => (exited = true));

try {
  while (!(await answers(`http://127.0.0.1:${port}/health/ready`))) {
    if (exited) throw new Error(`npm start ended with ${await exit} before it was ready.`);
    if (performance.now() - startedAt > READY_MS) throw new Error(`It was not ready within ${READY_MS} ms.`);
    await sleep(100);
  }
  const readyMs = Math.round(performance.now() - startedAt);
  child.kill('SIGTERM');
  const outcome = await Promise.race([exit, sleep(STOP_MS, 'no exit', { ref: false })]);
  if (outcome !== '0') throw new Error(`SIGTERM was answered with ${outcome} instead of exit code 0.`);
  console.log(`npm start was ready after ${readyMs} ms and stopped cleanly.`);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
  if (!exited && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
}
await noteExit;
