import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { withDatabase } from '../test/support/database-url.js';
import { TcpProxy } from '../test/support/tcp-proxy.js';
import { type Cleanup, runBounded } from './support/cleanup.js';
import { call, KeyWatch } from './support/key-watch.js';
import { startLatchkey } from './support/latchkey.js';
import { markdownTable, provenance, rounded, writeToDocument } from './support/report.js';
import { type BenchDatabase, openSeededDatabase } from './support/seeded-database.js';
import type { ServerProcess } from './support/server-process.js';
import { logIn } from './support/sessions.js';
import { percentile, seededRandom } from './support/statistics.js';

/*
 * How long a key lives on after the answer to what ended it: four instances over one database are asked about it all
 * the time, and the last "valid" of any of them counts. Usage: npm run bench:revocation -- [--write] [--trials 200]
 */
const { values: flags } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    trials: { type: 'string', default: '200' },
    minutes: { type: 'string', default: '15' },
  },
});
const INSTANCES = 4;
/** How often an instance that hears nothing reads the change feed; a key may end at any moment between two reads. */
const FEED_INTERVAL_MS = 500;
const OWNER = 'user-1000';
/** The instances and those who act in the trials. */
interface Scene {
  readonly instances: readonly ServerProcess[];
  readonly adminToken: string;
  /** The caller who asks for verdicts. */
  readonly callerSecret: string;
  readonly owner: { readonly id: string; readonly secret: string };
}

/** What ends a key: makes one, and answers its secret and how it ends. */
type Ending = (scene: Scene, port: number) => Promise<{ secret: string; end: () => Promise<unknown> }>;

const ENDINGS: Readonly<Record<string, Ending>> = {
  regenerate: (scene, port) => newKeyThat(scene, port, 'POST', '/regenerate'),
  deactivate: (scene, port) => newKeyThat(scene, port, 'POST', '/deactivate'),
  delete: (scene, port) => newKeyThat(scene, port, 'DELETE', ''),
  'owner disabled': async ({ adminToken, owner }, port) => {
    const setActive = (isActive: boolean) =>
      call(port, 'PUT', `/users/${owner.id}`, adminToken, { is_active: isActive });
    await setActive(true);
    return { secret: owner.secret, end: () => setActive(false) };
  },
};

await runBounded(Number(flags.minutes), async (cleanup) => {
  const trials = Number(flags.trials);
  const database = await openSeededDatabase({ keys: 1_000, directory: undefined }, cleanup);
  const hearing = await openScene(database, database.url, cleanup);
  const rows: string[][] = [];
  const undisturbed = await runTrials(hearing, trials);
  for (const ending of Object.keys(ENDINGS))
    rows.push(
      row(
        ending,
        undisturbed.filter((trial) => trial.ending === ending),
      ),
    );
  rows.push(row('all of these', undisturbed));

  const open = new pg.Client({ connectionString: withDatabase(database.url, 'postgres') });
  await open.connect();
  await open.query('BEGIN; SELECT pg_current_xact_id()');
  rows.push(row('all, beside a transaction left open', await runTrials(hearing, trials / 2)));
  await open.end();

  const proxy = await TcpProxy.start(database.url);
  proxy.swallow('LISTEN latchkey_changes');
  cleanup.add(() => {
    proxy.stop();
  });
  const deaf = await openScene(database, proxy.urlOf(database.url), cleanup);
  rows.push(row('all, with notifications cut', await runTrials(deaf, trials / 5, FEED_INTERVAL_MS)));

  const header = ['what ended the key', 'trials', 'p50 ms', 'p99 ms', 'longest ms'];
  const text = `${provenance()} ${INSTANCES} instances, all on one core.\n\n${markdownTable(header, rows)}`;
  console.log(`\n${text}`);
  if (flags.write) writeToDocument('bench:revocation', text);
});

/** Instances over the database, which they reach by `url`. */
async function openScene(database: BenchDatabase, url: string, cleanup: Cleanup): Promise<Scene> {
  const instances: ServerProcess[] = [];
  while (instances.length < INSTANCES) {
    const environment = { DATABASE_POOL_SIZE: '3', LOG_LEVEL: 'error' };
    instances.push(await startLatchkey({ ...database, url }, cleanup, [], environment));
  }
  const [first] = instances as [ServerProcess];
  const { accessToken: adminToken } = await logIn(first, 'admin');
  await database.query(`UPDATE users SET is_active = true WHERE username = '${OWNER}'`);
  const { accessToken, userId } = await logIn(first, OWNER);
  const newSecret = async (token: string, scopes: string[]) =>
    String((await call(first.port, 'POST', '/api-keys', token, { name: 'A key', scopes }))['secret_key']);
  const callerSecret = await newSecret(adminToken, ['platform:api-keys:verify']);
  return {
    instances,
    adminToken,
    callerSecret,
    owner: { id: userId, secret: await newSecret(accessToken, []) },
  };
}

/** One trial after the other, by each instance and ending in turn; each key ends after a wait of up to `mostWaitMs`. */
async function runTrials(
  scene: Scene,
  count: number,
  mostWaitMs = 0,
): Promise<{ ending: string; livedMs: number }[]> {
  const random = seededRandom(1);
  const trials = [];
  for (let n = 0; n < count; n += 1) {
    const [ending, begin] = Object.entries(ENDINGS)[n % 4]!;
    const { port } = scene.instances[(n >> 2) % INSTANCES]!;
    const { secret, end } = await begin(scene, port);
    const watches = scene.instances.map(
      (instance) => new KeyWatch(instance.port, scene.callerSecret, secret),
    );
    await Promise.all(watches.map(({ known }) => known));
    await sleep(random() * mostWaitMs);
    await end();
    const endedAt = performance.now();
    const lastYes = await Promise.all(watches.map(({ over }) => over));
    trials.push({ ending, livedMs: Math.max(0, ...lastYes.map((at) => at - endedAt)) });
  }
  return trials;
}

async function newKeyThat({ adminToken }: Scene, port: number, method: string, path: string) {
  const { api_key: key, secret_key: secret } = await call(port, 'POST', '/api-keys', adminToken, {
    name: 'A key',
  });
  return {
    secret: String(secret),
    end: () => call(port, method, `/api-keys/${Number(key.id)}${path}`, adminToken),
  };
}

function row(name: string, trials: readonly { readonly livedMs: number }[]): string[] {
  const sorted = Float64Array.from(trials, ({ livedMs }) => livedMs).toSorted();
  const figures = [percentile(sorted, 0.5), percentile(sorted, 0.99), percentile(sorted, 1)];
  const cells = [name, String(trials.length), ...figures.map(rounded)];
  console.log(cells.join('  '));
  return cells;
}
