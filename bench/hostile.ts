import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runBounded } from './support/cleanup.js';
import { TRIAL_FLAGS } from './support/flags.js';
import { startLatchkey } from './support/latchkey.js';
import { startLoad } from './support/load.js';
import type { LoadPlan, LoadResult, RequestPlan } from './support/load-plan.js';
import { markdownTable, provenance, rounded, writeToDocument } from './support/report.js';
import { openSeededDatabase } from './support/seeded-database.js';
import { median } from './support/statistics.js';
import { ALLOWED, restrictKeys } from './support/verify-seed.js';

/*
 * Shows what verdicts take while a stranger, with two connections and without a credential, sends the most expensive
 * requests that are known, over and over; by turns with rounds in which nobody does. Exit code 1 when the p50 becomes more than
 * three times that of idle.
 * Usage: npm run bench:hostile -- [--write] [--seconds 3] [--rounds 5] …
 */
const { values: flags } = parseArgs({
  options: {
    ...TRIAL_FLAGS,
    keys: { type: 'string', default: '10000' },
    minutes: { type: 'string', default: '15' },
  },
});
const STRANGERS_CONNECTIONS = 2;
const AIM = 3;
const KILOBYTE = 1_024;
const seconds = Number(flags.seconds);

/** A name or text so long that as many of them as a body holds are read. */
const LONG = 'x'.repeat(70);
const manyProperties = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${LONG}${index}`, 1]));

/** What the stranger sends. All of it leaves the connection open, so that none of the time is spent on new ones. */
const HOSTILE: Readonly<Record<string, Omit<RequestPlan, 'headers'>>> = {
  '63 kB of unknown properties to login': {
    method: 'POST',
    requests: [{ path: '/api/v1/auth/login', body: manyProperties(800) }],
  },
  '63 kB of a username to login': {
    method: 'POST',
    requests: [{ path: '/api/v1/auth/login', body: { username: 'x'.repeat(63 * KILOBYTE), password: 'x' } }],
  },
  '1 MB to verify/batch': {
    method: 'POST',
    requests: [{ path: '/api/v1/api-keys/verify/batch', body: manyProperties(12_000) }],
  },
  '8 kB of scopes to forward-auth': {
    method: 'GET',
    requests: [{ path: `/api/v1/forward-auth?${`scope=${'a+'.repeat(27)}&`.repeat(128)}`.slice(0, 8_000) }],
  },
  'the API document as YAML': { method: 'GET', requests: [{ path: '/openapi.yaml' }] },
  'the largest file of its pages': { method: 'GET', requests: [{ path: '/docs/swagger-ui-bundle.js' }] },
};

await runBounded(Number(flags.minutes), async (cleanup) => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-hostile-'));
  cleanup.add(() => rmSync(folder, { recursive: true, force: true }));
  const database = await openSeededDatabase({ keys: Number(flags.keys), directory: undefined }, cleanup);
  const [caller, ...keys] = await restrictKeys(database.url, join(folder, 'keys.json'));
  if (caller === undefined) throw new Error('There are no keys.');
  const { port } = await startLatchkey(database, cleanup);
  const [callers, stranger] = [startLoad(), startLoad()];
  cleanup.add(() => callers.stop());
  cleanup.add(() => stranger.stop());
  const verdicts: LoadPlan = {
    method: 'POST',
    headers: { 'x-api-key': caller.secret },
    requests: keys.map(({ secret: key }) => ({ path: '/api/v1/api-keys/verify', body: { key, ...ALLOWED } })),
    port,
    connections: Number(flags.connections),
    seconds,
  };

  const rows: string[][] = [];
  const idle: LoadResult[] = [];
  let worst = 0;
  for (const [name, plan] of Object.entries(HOSTILE)) {
    const attack: LoadPlan = { ...plan, headers: {}, port, connections: STRANGERS_CONNECTIONS, seconds };
    const during: LoadResult[] = [];
    const hostile: number[] = [];
    const ratios: number[] = [];
    for (let round = 0; round <= Number(flags.rounds); round += 1) {
      const alone = await callers.run(verdicts);
      const [beside, sent] = await Promise.all([callers.run(verdicts), stranger.run(attack)]);
      if (Object.keys(beside.refused).length > 0) throw new Error('Who asked for a verdict was refused.');
      if (round === 0) continue;
      idle.push(alone);
      during.push(beside);
      hostile.push(sent.answered / seconds);
      ratios.push(beside.p50Ms / alone.p50Ms);
    }
    worst = Math.max(worst, median(ratios));
    rows.push([name, ...figures(during), median(ratios).toFixed(2), rounded(median(hostile))]);
  }
  const header = ['a stranger sends', 'verdicts/s', 'p50 ms', 'p99 ms', 'p50 ÷ idle', 'hostile/s'];
  const all = [['nothing', ...figures(idle), '1', '–'], ...rows];
  const outcome = `The worst p50 is ${worst.toFixed(2)} times that of idle; the aim is at most ${AIM}.`;
  const table = `${provenance()}\n\n${markdownTable(header, all)}\n\n${outcome}\n`;
  console.log(`\n${table}`);
  if (flags.write) writeToDocument('bench:hostile', table);
  if (worst > AIM) process.exitCode = 1;
});

function figures(results: readonly LoadResult[]): string[] {
  const values = [
    results.map(({ requestsPerSecond }) => requestsPerSecond),
    results.map(({ p50Ms }) => p50Ms),
    results.map(({ p99Ms }) => p99Ms),
  ];
  return values.map((each) => rounded(median(each)));
}
