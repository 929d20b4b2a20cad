import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runBounded } from './support/cleanup.js';
import { compare, type Contender } from './support/comparison.js';
import { TRIAL_FLAGS, trialOptions } from './support/flags.js';
import { startLatchkey, startReference } from './support/latchkey.js';
import { startLoad } from './support/load.js';
import type { LoadRequest } from './support/load-plan.js';
import { canPin } from './support/pinning.js';
import {
  comparisonHeader,
  comparisonRow,
  markdownTable,
  provenance,
  writeToDocument,
} from './support/report.js';
import { openSeededDatabase } from './support/seeded-database.js';
import type { ServerProcess } from './support/server-process.js';
import { ALLOWED, type BenchKey, restrictKeys } from './support/verify-seed.js';

/*
 * Compares verdicts with a bare node:http server that does the same work on the same keys.
 * Usage: npm run bench:verify -- [--write] [--seconds 3] [--rounds 5] …; docs/performance.md says how to read it.
 */
const { values: flags } = parseArgs({
  options: {
    ...TRIAL_FLAGS,
    keys: { type: 'string', default: '10000' },
    /** Only operations whose name holds this. */
    only: { type: 'string', default: '' },
    /** Writes CPU profiles of both servers to this folder. */
    profile: { type: 'string' },
    /** Keeps the windows in the Redis at this address. */
    redis: { type: 'string' },
    minutes: { type: 'string', default: '15' },
  },
});
const options = trialOptions(flags);
const nodeFlags = flags.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', flags.profile];
const HEADER = comparisonHeader('verdicts', 'Latchkey', 'bare');

interface Asking {
  readonly name: string;
  readonly requests: readonly LoadRequest[];
}

await runBounded(Number(flags.minutes), async (cleanup) => {
  if (!canPin()) console.log('`taskset`, or a second core, is missing: the processes are not pinned.');
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-verify-'));
  cleanup.add(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'keys.json');
  const database = await openSeededDatabase({ keys: Number(flags.keys), directory: undefined }, cleanup);
  const [caller, ...keys] = await restrictKeys(database.url, file);
  if (caller === undefined) throw new Error('There are no keys.');
  const redis: Record<string, string> = flags.redis === undefined ? {} : { REDIS_URL: flags.redis };
  const latchkey = await startLatchkey(database, cleanup, nodeFlags, redis);
  const reference = await startReference('verify.mjs', database, cleanup, nodeFlags, { KEYS: file });
  const load = startLoad();
  cleanup.add(() => load.stop());
  const rows: string[][] = [];
  for (const asking of askings(keys)) {
    if (!asking.name.includes(flags.only)) continue;
    const trial = {
      name: asking.name,
      subject: contender(latchkey, caller, asking),
      reference: contender(reference, caller, asking),
    };
    const comparison = await compare(load, trial, options);
    rows.push(comparisonRow(comparison));
    console.log(rows.at(-1)?.join('  '));
  }
  const table = `${provenance()}\n\n${markdownTable(HEADER, rows)}\n`;
  console.log(`\n${table}`);
  if (flags.write) writeToDocument('bench:verify', table);
});

function askings(keys: readonly BenchKey[]): Asking[] {
  const questions = keys.map(({ secret }) => ({ key: secret, ...ALLOWED }));
  const batches = Array.from({ length: Math.floor(questions.length / 100) }, (_, index) => ({
    requests: questions.slice(index * 100, index * 100 + 100),
  }));
  return [
    {
      name: 'one',
      requests: questions.map((body) => ({ path: '/api/v1/api-keys/verify', body })),
    },
    {
      name: 'batch of 100',
      requests: batches.map((body) => ({ path: '/api/v1/api-keys/verify/batch', body })),
    },
  ];
}

function contender(server: ServerProcess, caller: BenchKey, { requests }: Asking): Contender {
  return { server, plan: { method: 'POST', headers: { 'x-api-key': caller.secret }, requests } };
}
