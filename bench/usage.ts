import { hash } from 'node:crypto';
import { parseArgs } from 'node:util';
import { SEEDED_ADMIN } from './support/api-key-seed.js';
import { runBounded } from './support/cleanup.js';
import { compare, type Comparison, type Contender, type Summary, type Trial } from './support/comparison.js';
import { TRIAL_FLAGS, trialOptions } from './support/flags.js';
import { startLatchkey, startReference } from './support/latchkey.js';
import { startLoad } from './support/load.js';
import { canPin } from './support/pinning.js';
import { markdownTable, provenance, rounded, writeToDocument } from './support/report.js';
import { type BenchDatabase, openSeededDatabase } from './support/seeded-database.js';
import type { ServerProcess } from './support/server-process.js';
import { logIn } from './support/sessions.js';
import { freshReports, giveBudgets, holdRequests, writeHistory } from './support/usage-seed.js';

/*
 * Compares taking usage in with a bare server that stores events by INSERT, holds with one that guards an UPDATE by the
 * limit, and statistics of a key of many events with those of a key of few.
 * Usage: npm run bench:usage -- [--write] [--seconds 3] [--rounds 5] …; docs/performance.md says how to read it.
 */
const { values: flags } = parseArgs({
  options: {
    ...TRIAL_FLAGS,
    /** Events of the key with few and of the key with many. */
    few: { type: 'string', default: '10000' },
    many: { type: 'string', default: '10000000' },
    /** Only trials whose name holds this. */
    only: { type: 'string', default: '' },
    /** Writes CPU profiles of both servers to this folder. */
    profile: { type: 'string' },
    minutes: { type: 'string', default: '30' },
  },
});
const options = trialOptions(flags);
const nodeFlags = flags.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', flags.profile];
const [few, many] = [Number(flags.few), Number(flags.many)];
/** More reports a second than any server here takes in: none is sent twice. */
const MOST_PER_SECOND = { single: 25_000, batch: 1_500 };
const SEEDED_KEYS = 10_000;
const HOLD_KEYS = [1, 100, SEEDED_KEYS];
const HEADER = [
  'usage',
  'ratio (least–most)',
  'events/s',
  'p50 ms',
  'p99 ms',
  'CPU µs',
  'reference events/s',
  'p50 ms',
  'p99 ms',
  'CPU µs',
];

interface Measured extends Trial {
  /** Default: 1. */
  readonly eventsPerRequest?: number;
  /** Requests available in a second. Default: unlimited. */
  readonly mostPerSecond?: number;
}

await runBounded(Number(flags.minutes), async (cleanup) => {
  if (!canPin()) console.log('`taskset`, or a second core, is missing: the processes are not pinned.');
  const database = await openSeededDatabase({ keys: SEEDED_KEYS, directory: undefined }, cleanup);
  const [first] = await database.query<{ id: string }>('SELECT min(id) AS id FROM api_keys');
  const firstKey = Number(first?.id);
  const latchkey = await startLatchkey(database, cleanup, nodeFlags);
  const { accessToken } = await logIn(latchkey, SEEDED_ADMIN);
  const secret = await reportingKey(latchkey, accessToken);
  const reporter = { 'x-api-key': secret };
  const caller = { CALLER: hash('sha256', secret) };
  const reference = await startReference('usage.mjs', database, cleanup, nodeFlags, caller);
  const load = startLoad();
  cleanup.add(() => load.stop());
  const reader = { authorization: `Bearer ${accessToken}` };
  const rows: string[][] = [];
  const take = async ({ eventsPerRequest = 1, mostPerSecond = Infinity, ...trial }: Measured) => {
    if (!trial.name.includes(flags.only)) return;
    await bringToRest(database);
    const comparison = await compare(load, trial, options);
    const mostSent = options.seconds * mostPerSecond;
    for (const { requestsPerSecond } of [comparison.subject, comparison.reference]) {
      if (requestsPerSecond * options.seconds > mostSent) {
        throw new Error(`${trial.name}: events were sent twice; raise MOST_PER_SECOND.`);
      }
    }
    rows.push(row(comparison, eventsPerRequest));
    console.log(rows.at(-1)?.join('  '));
  };

  for (const [name, batch, perSecond] of [
    ['one event, beside one INSERT each', 1, MOST_PER_SECOND.single],
    ['100 events, beside one INSERT of 100', 100, MOST_PER_SECOND.batch],
  ] as const) {
    const reports = (server: ServerProcess) =>
      reporting(server, reporter, () => freshReports(perSecond * options.seconds, batch, firstKey));
    await take({
      name,
      eventsPerRequest: batch,
      mostPerSecond: perSecond,
      subject: reports(latchkey),
      reference: reports(reference),
    });
  }

  await giveBudgets(database);
  for (const keys of HOLD_KEYS) {
    const holds = (server: ServerProcess): Contender => ({
      server,
      plan: { method: 'POST', headers: reporter, requests: holdRequests(keys, firstKey) },
    });
    const name = `a hold on ${keys === 1 ? 'one key' : `one of ${keys.toLocaleString('en')} keys`}, beside one guarded UPDATE each`;
    await take({ name, subject: holds(latchkey), reference: holds(reference) });
  }

  const [keyOfFew, keyOfMany] = [firstKey + SEEDED_KEYS - 2, firstKey + SEEDED_KEYS - 1];
  const statistics = ['usage', 'usage/series?interval=hour', 'usage/series?interval=day&group_by=model'];
  if (statistics.some((name) => nameOfStatistic(name).includes(flags.only))) {
    await writeHistory(database, keyOfFew, few);
    await writeHistory(database, keyOfMany, many);
  }
  for (const path of statistics) {
    const asking = (apiKeyId: number): Contender => ({
      server: latchkey,
      plan: { method: 'GET', headers: reader, requests: [{ path: `/api/v1/api-keys/${apiKeyId}/${path}` }] },
    });
    await take({
      name: nameOfStatistic(path),
      subject: asking(keyOfMany),
      reference: asking(keyOfFew),
    });
  }
  const table = `${provenance()}\n\n${markdownTable(HEADER, rows)}\n`;
  console.log(`\n${table}`);
  if (flags.write) writeToDocument('bench:usage', table);
});

/** What one trial wrote would else be vacuumed and written out during the next. */
async function bringToRest(database: BenchDatabase): Promise<void> {
  await database.query('VACUUM (ANALYZE)');
  await database.query('CHECKPOINT');
}

function nameOfStatistic(path: string): string {
  return `GET …/${path}, ${many.toLocaleString('en')} beside ${few.toLocaleString('en')} events`;
}

/** Each round reports events of its own: one that was recorded before would cost less. */
function reporting(
  server: ServerProcess,
  headers: Readonly<Record<string, string>>,
  fresh: () => ReturnType<typeof freshReports>,
): Contender {
  return {
    server,
    plan: {
      method: 'POST',
      headers,
      get requests() {
        return fresh();
      },
    },
  };
}

async function reportingKey(latchkey: ServerProcess, accessToken: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${latchkey.port}/api/v1/api-keys`, {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Reporter', scopes: ['platform:usage:write'] }),
  });
  const { secret_key: secret } = (await response.json()) as { secret_key: string };
  return secret;
}

function row({ name, subject, reference, ratio }: Comparison, events: number): string[] {
  const figures = ({ requestsPerSecond, p50Ms, p99Ms, cpuMicroseconds }: Summary) =>
    [requestsPerSecond * events, p50Ms, p99Ms, cpuMicroseconds].map(rounded);
  const ratios = `${ratio.ofMedians.toFixed(2)} (${ratio.least.toFixed(2)}–${ratio.most.toFixed(2)})`;
  return [name, ratios, ...figures(subject), ...figures(reference)];
}
