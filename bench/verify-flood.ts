import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { generateSecret } from '../src/api-keys/secret-format.js';
import { runBounded } from './support/cleanup.js';
import { TRIAL_FLAGS } from './support/flags.js';
import { startLatchkey } from './support/latchkey.js';
import { startLoad } from './support/load.js';
import type { LoadPlan, LoadRequest, LoadResult } from './support/load-plan.js';
import { markdownTable, provenance, rounded, writeToDocument } from './support/report.js';
import { openSeededDatabase } from './support/seeded-database.js';
import { median } from './support/statistics.js';
import { ALLOWED, restrictKeys } from './support/verify-seed.js';

/*
 * Shows what callers of known keys keep while others flood the service with keys that nobody made. Half of the
 * connections ask about known keys all the time; the other half ask about known keys too, or about unknown ones, by turns.
 * Usage: npm run bench:verify-flood -- [--write] [--seconds 3] [--rounds 5] …
 */
const { values: flags } = parseArgs({
  options: {
    ...TRIAL_FLAGS,
    keys: { type: 'string', default: '10000' },
    minutes: { type: 'string', default: '15' },
  },
});
/** More than are asked for in a round: each unknown key is asked for once. */
const UNKNOWN_PER_SECOND = 30_000;
const seconds = Number(flags.seconds);

await runBounded(Number(flags.minutes), async (cleanup) => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-verify-'));
  cleanup.add(() => rmSync(folder, { recursive: true, force: true }));
  const database = await openSeededDatabase({ keys: Number(flags.keys), directory: undefined }, cleanup);
  const [caller, ...keys] = await restrictKeys(database.url, join(folder, 'keys.json'));
  if (caller === undefined) throw new Error('There are no keys.');
  const latchkey = await startLatchkey(database, cleanup);
  const [first, second] = [startLoad(), startLoad()];
  cleanup.add(() => first.stop());
  cleanup.add(() => second.stop());
  const plan = (secrets: readonly string[]): LoadPlan => ({
    method: 'POST',
    headers: { 'x-api-key': caller.secret },
    requests: secrets.map(question),
    port: latchkey.port,
    connections: Number(flags.connections) / 2,
    seconds,
  });
  const known = plan(keys.map(({ secret }) => secret));
  const unknown = () =>
    plan(Array.from({ length: UNKNOWN_PER_SECOND * seconds }, () => generateSecret('en_')));

  const [calm, flooded]: [LoadResult[], LoadResult[]] = [[], []];
  const flood: number[] = [];
  for (let round = 0; round <= Number(flags.rounds); round += 1) {
    const [beside] = await Promise.all([first.run(known), second.run(known)]);
    const [during, others] = await Promise.all([first.run(known), second.run(unknown())]);
    if (Object.keys(during.refused).length > 0) throw new Error('Who asked about a known key was refused.');
    if (round === 0) continue;
    calm.push(beside);
    flooded.push(during);
    flood.push(others.answered / seconds);
  }
  const ratios = flooded.map(
    (result, round) => result.requestsPerSecond / (calm[round]?.requestsPerSecond ?? 0),
  );
  const ratio = `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`;
  const figures = (results: readonly LoadResult[]) =>
    [
      results.map(({ requestsPerSecond }) => requestsPerSecond),
      results.map(({ p50Ms }) => p50Ms),
      results.map(({ p99Ms }) => p99Ms),
    ].map((values) => rounded(median(values)));
  const rows = [
    ['others ask about known keys', '1', ...figures(calm), '–'],
    ['others ask about unknown keys', ratio, ...figures(flooded), rounded(median(flood))],
  ];
  const header = [
    'known keys, while',
    'ratio (least–most)',
    'verdicts/s',
    'p50 ms',
    'p99 ms',
    'unknown keys/s',
  ];
  const table = `${provenance()}\n\n${markdownTable(header, rows)}\n`;
  console.log(`\n${table}`);
  if (flags.write) writeToDocument('bench:verify-flood', table);
});

function question(key: string): LoadRequest {
  return { path: '/api/v1/api-keys/verify', body: { key, ...ALLOWED } };
}
