import { createHash, randomBytes } from 'node:crypto';
import { link, readFile, unlink, writeFile } from 'node:fs/promises';
import { EmbeddedPostgresError, errorCodeOf, unlessMissing } from './embedded-postgres-error.js';
import { isStillRunning, processIdentity } from './process-identity.js';
import { waitUntil } from './wait-until.js';

/**
 * Runs `work` while no other process, nor another call in this one, holds the same lock file. A lock
 * whose holder was killed is broken. Processes must see each other: one machine, one pid namespace.
 */
export async function withLock<T>(lockFile: string, deadlineMs: number, work: () => Promise<T>): Promise<T> {
  const me = await processIdentity(process.pid);
  if (me === undefined) throw new EmbeddedPostgresError('This process cannot find itself: is /proc mounted?');
  await acquire(lockFile, me, deadlineMs);
  try {
    return await work();
  } finally {
    await unlessMissing(unlink(lockFile));
  }
}

async function acquire(lockFile: string, me: string, deadlineMs: number): Promise<void> {
  let holder: string | undefined;
  const acquired = await waitUntil(async () => {
    holder = await unlessMissing(readFile(lockFile, 'utf8'));
    if (holder !== undefined && !(await isStillRunning(holder))) {
      await breakLock(lockFile, holder, me, deadlineMs);
      holder = undefined;
    }
    return holder === undefined && (await tryCreate(lockFile, me));
  }, deadlineMs);
  if (acquired) return;
  const pid = Number.parseInt(holder ?? '', 10) || 'unknown';
  throw new EmbeddedPostgresError(
    `Process ${pid} has held the lock ${lockFile} for too long while it starts or stops PostgreSQL. ` +
      `Wait for it, or end it (kill ${pid}), and start again.`,
  );
}

/**
 * Removes the lock of a dead holder. Two processes may find it dead at once, and the slower one must
 * not remove what the faster one has locked meanwhile: so each dead holder has a lock of its own,
 * under which its content is read again.
 */
async function breakLock(lockFile: string, holder: string, me: string, deadlineMs: number): Promise<void> {
  const guard = `${lockFile}.${createHash('sha256').update(holder).digest('hex').slice(0, 12)}`;
  await acquire(guard, me, deadlineMs);
  try {
    if ((await unlessMissing(readFile(lockFile, 'utf8'))) === holder) await unlink(lockFile);
  } finally {
    await unlessMissing(unlink(guard));
  }
}

async function tryCreate(lockFile: string, me: string): Promise<boolean> {
  // Linking a finished file makes the lock appear together with its content; creating it would not.
  const draft = `${lockFile}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, me, { flag: 'wx', mode: 0o644 });
  try {
    await link(draft, lockFile);
    return true;
  } catch (error) {
    if (errorCodeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}
