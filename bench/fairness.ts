import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { runBounded } from './support/cleanup.js';
import { call } from './support/key-watch.js';
import { startLatchkey } from './support/latchkey.js';
import { markdownTable, provenance, rounded, writeToDocument } from './support/report.js';
import { openSeededDatabase } from './support/seeded-database.js';
import { logIn } from './support/sessions.js';
import { percentile } from './support/statistics.js';

/*
 * What one caller can do to the others: the latency of `GET /auth/me` of a bystander, idle and while another user has the
 * heaviest requests there are under way. Usage: npm run bench:fairness -- [--write] [--keys 200000] [--seconds 10]
 */
const { values: flags } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    keys: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '10' },
    minutes: { type: 'string', default: '15' },
  },
});
const [keys, seconds] = [Number(flags.keys), Number(flags.seconds)];
const PAUSE_MS = 10;
/** The user whose keys are a quarter of all. */
const LARGE_OWNER = 'user-500';

const MORE_ROWS = [
  `UPDATE api_keys SET user_id = (SELECT id FROM users WHERE username = '${LARGE_OWNER}') WHERE id <= ${keys / 4}`,
  `INSERT INTO usage_hourly_rollups (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
   SELECT id, date_trunc('hour', now(), 'UTC') - n * interval '7 hours', 'fair', 1, 1, 1, 1
   FROM api_keys, generate_series(1, 2) AS n`,
  `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
   SELECT gen_random_uuid(), now() - n * interval '1 second', 'exported', 'test', jsonb_build_object('text', repeat('x', 1000)), true
   FROM generate_series(1, ${keys}) AS n`,
  'VACUUM ANALYZE',
];

await runBounded(Number(flags.minutes), async (cleanup) => {
  const database = await openSeededDatabase({ keys, directory: undefined }, cleanup);
  for (const statement of MORE_ROWS) await database.query(statement);
  const latchkey = await startLatchkey(database, cleanup, [], { LOG_LEVEL: 'error' });
  const { port } = latchkey;
  const { accessToken: heavy } = await logIn(latchkey, 'admin');
  const { accessToken: bystander } = await logIn(latchkey, 'user-1');
  const [owner] = await database.query<{ id: string }>(
    `SELECT id FROM users WHERE username = '${LARGE_OWNER}'`,
  );

  const send = async (path: string, accept = 'application/json') => {
    const headers = { authorization: `Bearer ${heavy}`, accept };
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, { headers });
    for await (const _part of answer.body ?? []);
    if (answer.status === 429) await sleep(100);
    else if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
  };
  /** So many callers, each again and again for the time of a trial. */
  const loop = (callers: number, path: string, accept?: string) => async () => {
    const endsAt = performance.now() + seconds * 1_000;
    const callAgain = async () => {
      while (performance.now() < endsAt) await send(path, accept);
    };
    await Promise.all(Array.from({ length: callers }, callAgain));
  };
  const loads: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['nothing', () => sleep(seconds * 1_000)],
    ['an export of the audit log', loop(1, '/audit-logs?action=exported', 'application/x-ndjson')],
    ['20 sums of all usage at once', loop(20, '/usage/summary')],
    ['20 searches at once', loop(20, '/api-keys?search=ti&size=100')],
    ['20 pages of the audit log at once', loop(20, '/audit-logs?limit=200&success=true&resource_type=none')],
    [
      `the end of a user with ${keys / 4} keys`,
      () => call(port, 'DELETE', `/users/${String(owner?.id)}`, heavy),
    ],
  ];

  const rows: string[][] = [];
  let idleP99: number | undefined;
  for (const [name, work] of loads) {
    const began = performance.now();
    const sorted = await latenciesWhile(port, bystander, work());
    const tookMs = performance.now() - began;
    const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
    idleP99 ??= p99;
    rows.push([
      name,
      rounded(tookMs / 1_000),
      String(sorted.length),
      rounded(p50),
      rounded(p99),
      rounded(p99 / idleP99),
    ]);
    console.log(rows.at(-1)?.join('  '));
  }
  const header = ['what another user does', 'seconds', 'requests', 'p50 ms', 'p99 ms', 'p99 to idle'];
  const text = `${provenance()} ${keys} keys, ${keys * 2} rollups, ${keys} audit rows.\n\n${markdownTable(header, rows)}`;
  console.log(`\n${text}`);
  if (flags.write) writeToDocument('bench:fairness', text);
});

/** How long each `GET /auth/me` took in ms, ascending, sent one after the other for as long as `work` takes. */
async function latenciesWhile(port: number, token: string, work: Promise<unknown>): Promise<Float64Array> {
  const agent = new Agent({ keepAlive: true });
  const latencies: number[] = [];
  let isOver = false;
  const end = work.finally(() => (isOver = true));
  while (!isOver) {
    const sentAt = performance.now();
    await call(port, 'GET', '/auth/me', token, undefined, agent);
    latencies.push(performance.now() - sentAt);
    await sleep(PAUSE_MS);
  }
  await end;
  agent.destroy();
  return Float64Array.from(latencies).toSorted();
}
