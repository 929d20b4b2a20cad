import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runBounded } from './support/cleanup.js';
import { startLatchkey } from './support/latchkey.js';
import { markdownTable, provenance, writeToDocument } from './support/report.js';
import { openSeededDatabase } from './support/seeded-database.js';
import type { ServerProcess } from './support/server-process.js';
import { ALLOWED, type BenchKey, restrictKeys } from './support/verify-seed.js';

/*
 * Verifies very many keys once each, all with three windows, and shows the memory that Latchkey then uses.
 * Usage: npm run bench:verify-memory -- [--write] [--keys 1000000]
 */
const { values: flags } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    keys: { type: 'string', default: '1000000' },
    minutes: { type: 'string', default: '30' },
  },
});
const BATCH = 100;
const AT_ONCE = 4;
const MEBIBYTE = 1_048_576;

await runBounded(Number(flags.minutes), async (cleanup) => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-memory-'));
  cleanup.add(() => rmSync(folder, { recursive: true, force: true }));
  const database = await openSeededDatabase({ keys: Number(flags.keys), directory: undefined }, cleanup);
  const [caller, ...keys] = await restrictKeys(database.url, join(folder, 'keys.json'));
  if (caller === undefined) throw new Error('There are no keys.');
  const latchkey = await startLatchkey(database, cleanup);
  const before = await residentBytes(latchkey);
  const batches = Array.from({ length: Math.ceil(keys.length / BATCH) }, (_, index) =>
    keys.slice(index * BATCH, (index + 1) * BATCH),
  );
  const worker = async (): Promise<void> => {
    for (let batch = batches.pop(); batch !== undefined; batch = batches.pop())
      await verify(latchkey, caller, batch);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const after = await residentBytes(latchkey);
  const rows = [[String(keys.length), mebibytes(before), mebibytes(after)]];
  const table = `${provenance()}\n\n${markdownTable(['keys verified once', 'RSS before, MiB', 'RSS after, MiB'], rows)}\n`;
  console.log(`\n${table}`);
  if (flags.write) writeToDocument('bench:verify-memory', table);
});

async function verify(latchkey: ServerProcess, caller: BenchKey, keys: readonly BenchKey[]): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${latchkey.port}/api/v1/api-keys/verify/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': caller.secret },
    body: JSON.stringify({ requests: keys.map(({ secret }) => ({ key: secret, ...ALLOWED })) }),
  });
  const { verdicts } = (await response.json()) as { verdicts: { valid: boolean }[] };
  if (!verdicts.every(({ valid }) => valid)) throw new Error('A key was refused.');
}

async function residentBytes(latchkey: ServerProcess): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${latchkey.port}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1]);
}

function mebibytes(bytes: number): string {
  return String(Math.round(bytes / MEBIBYTE));
}
