import { randomBytes } from 'node:crypto';
import { readFile, readdir, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from './embedded-postgres-error.js';
import { isStillRunning, processIdentity } from './process-identity.js';

/** Notes, under the lock, that this process uses the server; resolves to the file of the note. */
export async function registerClient(directory: string): Promise<string> {
  const note = join(directory, `${process.pid}-${randomBytes(4).toString('hex')}`);
  await writeFile(note, (await processIdentity(process.pid)) ?? '', { mode: 0o644 });
  return note;
}

/** Takes the note back, under the lock, and says whether a living process still uses the server. */
export async function unregisterClient(directory: string, note: string): Promise<{ othersRemain: boolean }> {
  await unlessMissing(unlink(note));
  let othersRemain = false;
  for (const name of await readdir(directory)) {
    const other = join(directory, name);
    // A client that was killed could not take its note back, and must not keep the server for ever.
    if (await isStillRunning(await readFile(other, 'utf8'))) othersRemain = true;
    else await unlessMissing(unlink(other));
  }
  return { othersRemain };
}
