import { isExpensiveList } from '../src/api-keys/api-key-search.queries.js';
import { EXPENSIVE_REQUESTS_AT_ONCE } from '../src/contract/expensive-requests.service.js';
import { parseArgs } from 'node:util';
import {
  type Caller,
  CALLERS,
  type Operation,
  operations,
  readVariants,
} from './control-plane-operations.js';
import { runBounded } from './support/cleanup.js';
import { compare, type Contender } from './support/comparison.js';
import { TRIAL_FLAGS } from './support/flags.js';
import { startLatchkey, startReference } from './support/latchkey.js';
import { checkLikeness } from './support/likeness.js';
import { startLoad } from './support/load.js';
import { canPin } from './support/pinning.js';
import {
  comparisonHeader,
  comparisonRow,
  markdownTable,
  provenance,
  rounded,
  writeToDocument,
} from './support/report.js';
import { openSeededDatabase } from './support/seeded-database.js';
import type { ServerProcess } from './support/server-process.js';
import { type BenchSession, logIn } from './support/sessions.js';

/*
 * Compares the control plane with bare Fastify routes that run the same statements, over a million API keys, and
 * measures how long its reads take. Usage: npm run bench:control -- [--write] [--seconds 3] [--rounds 5] …;
 * docs/performance.md says how to read the figures.
 */
const { values: flags } = parseArgs({
  options: {
    ...TRIAL_FLAGS,
    keys: { type: 'string', default: '1000000' },
    /** Only operations and reads whose name holds this. */
    only: { type: 'string', default: '' },
    /** Keeps the seed in this folder for the next run. */
    data: { type: 'string' },
    /** Writes CPU profiles of both servers to this folder. */
    profile: { type: 'string' },
    minutes: { type: 'string', default: '30' },
  },
});
const [seconds, rounds, connections] = [
  Number(flags.seconds),
  Number(flags.rounds),
  Number(flags.connections),
];
const keys = Number(flags.keys);
const nodeFlags = flags.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', flags.profile];

/** The sessions that requests are made with, in turn. */
type Sessions = Readonly<Record<Caller, readonly BenchSession[]>>;

await runBounded(Number(flags.minutes), async (cleanup) => {
  if (!canPin()) console.log('`taskset`, or a second core, is missing: the processes are not pinned.');
  const database = await openSeededDatabase({ keys, directory: flags.data }, cleanup);
  const latchkey = await startLatchkey(database, cleanup, nodeFlags);
  const reference = await startReference('control-plane.mjs', database, cleanup, nodeFlags);
  const load = startLoad();
  cleanup.add(() => load.stop());
  const sessions = await logInAll(latchkey);

  const reads: string[][] = [];
  for (const { name, as, path } of readVariants(keys).filter(isWanted)) {
    const { plan } = contender(
      latchkey,
      { name, as, method: 'GET', requests: [{ path }] },
      sessions,
      ofLatchkey,
    );
    const result = await load.run({ ...plan, port: latchkey.port, connections: 1, seconds });
    const refused = Object.values(result.refused).reduce((sum, count) => sum + count, 0);
    reads.push([name, ...[result.p50Ms, result.p99Ms, result.maxMs].map(rounded), String(refused)]);
    console.log(reads.at(-1)?.join('  '));
  }
  const comparisons: string[][] = [];
  for (const operation of operations(keys, seconds * 2 * (rounds + 1)).filter(isWanted)) {
    const trial = {
      name: operation.name,
      subject: contender(latchkey, operation, sessions, ofLatchkey),
      reference: contender(reference, operation, sessions, ofReference),
    };
    await checkLikeness(database, trial);
    comparisons.push(
      comparisonRow(await compare(load, trial, { rounds, seconds, connections: connectionsOf(operation) })),
    );
    console.log(comparisons.at(-1)?.join('  '));
  }
  const text = [
    `${provenance()} ${keys} keys, ${connections} connections, ${rounds} rounds of ${seconds} s.`,
    markdownTable(comparisonHeader('operation', 'Latchkey ', 'reference '), comparisons),
    markdownTable(['read', 'p50 ms', 'p99 ms', 'longest ms', 'refused'], reads),
  ].join('\n\n');
  console.log(`\n${text}`);
  if (flags.write) writeToDocument('bench:control', text);
});

/** Of one user no more expensive requests may be under way. */
function connectionsOf({ requests }: Operation): number {
  const isExpensive = requests.some(({ path }) =>
    isExpensiveList(Object.fromEntries(new URL(path, 'http://latchkey').searchParams)),
  );
  return isExpensive ? Math.min(connections, EXPENSIVE_REQUESTS_AT_ONCE) : connections;
}

function isWanted({ name }: { readonly name: string }): boolean {
  return name.includes(flags.only);
}

async function logInAll(latchkey: ServerProcess): Promise<Sessions> {
  const sessions: Record<Caller, BenchSession[]> = { admin: [], users: [], developers: [] };
  for (const caller of ['admin', 'users', 'developers'] as const) {
    for (const username of CALLERS[caller]) sessions[caller].push(await logIn(latchkey, username));
  }
  return sessions;
}

function contender(
  server: ServerProcess,
  { method, as, requests }: Operation,
  sessions: Sessions,
  credential: (session: BenchSession) => string,
): Contender {
  const credentials = sessions[as].map(credential);
  const authorised = requests.map((request, index) => ({
    ...request,
    headers: { authorization: credentials[index % credentials.length] ?? '' },
  }));
  return { server, plan: { method, headers: { 'user-agent': 'latchkey-bench' }, requests: authorised } };
}

function ofLatchkey({ accessToken }: BenchSession): string {
  return `Bearer ${accessToken}`;
}

/** The reference proves no token. */
function ofReference({ sessionId, userId }: BenchSession): string {
  return `${sessionId} ${userId}`;
}
