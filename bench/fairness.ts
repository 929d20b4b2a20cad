import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { runBounded } from './support/cleanup.js';
import type { CallerLoops } from './support/caller-loops.js';
import { ChildTask } from './support/child-task.js';
import { call } from './support/key-watch.js';
import { startLatchkey } from './support/latchkey.js';
import { markdownTable, provenance, rounded, writeToDocument } from './support/report.js';
import { openSeededDatabase } from './support/seeded-database.js';
import { logIn } from './support/sessions.js';
import { percentile } from './support/statistics.js';

/*
 * What one caller can do to the others: what a bystander waits for `GET /auth/me` and an admin for a change, idle and
 * while another user has the heaviest requests there are under way. Ends with 1 where the 99th percentile grows beyond its
 * bound, or the end of a user takes too long. Usage: npm run bench:fairness -- [--write] [--keys 200000] [--seconds 10] [--only logins]
 */
const { values: flags } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    keys: { type: 'string', default: '200000' },
    seconds: { type: 'string', default: '10' },
    /** Only loads whose name holds this, beside no load. */
    only: { type: 'string', default: '' },
    minutes: { type: 'string', default: '15' },
  },
});
const [keys, seconds] = [Number(flags.keys), Number(flags.seconds)];
const PAUSE_MS = 10;
/** Times the idle 99th percentile, which counts as this much at least: below, the machine's noise would decide. */
const [MOST_TIMES, MOST_TIMES_AT_DELETION, LEAST_P99_MS] = [3, 2, 5];
/** For each key of a user who ends. */
const MOST_DELETION_MS_PER_KEY = 1_000 / 50_000;
/** Changes of an owner with the largest details there were before these were bounded. */
const LARGE_ROWS = 420;
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
  `INSERT INTO audit_logs (id, created_at, user_id, action, resource_type, details, success)
   SELECT gen_random_uuid(), now() - n * interval '1 second', users.id, 'update_api_key', 'api_key', jsonb_build_object('after',
     (SELECT string_agg(md5(n::text || part::text), '') FROM generate_series(1, 5000) AS part)), true
   FROM users, generate_series(1, ${LARGE_ROWS}) AS n WHERE username = '${LARGE_OWNER}'`,
  'VACUUM ANALYZE',
];

await runBounded(Number(flags.minutes), async (cleanup) => {
  const database = await openSeededDatabase({ keys, directory: undefined }, cleanup);
  for (const statement of MORE_ROWS) await database.query(statement);
  const latchkey = await startLatchkey(database, cleanup, [], { LOG_LEVEL: 'error' }, { isPinned: false });
  const { port } = latchkey;
  const { accessToken: heavy } = await logIn(latchkey, 'admin');
  const { accessToken: bystander } = await logIn(latchkey, 'user-1');
  const newcomer = { username: 'newcomer', password: 'a long passphrase' };
  await call(port, 'POST', '/users', heavy, newcomer);
  const { id: changed } = await call(port, 'POST', '/users', heavy, { ...newcomer, username: 'changed' });
  const secondAdmin = { ...newcomer, username: 'other-admin' };
  await call(port, 'POST', '/users', heavy, { ...secondAdmin, role: 'admin' });
  const { access_token: otherAdmin } = await call(port, 'POST', '/auth/login', '', secondAdmin);
  const { access_token: withoutKeys } = await call(port, 'POST', '/auth/login', '', newcomer);
  const [owner] = await database.query<{ id: string }>(
    `SELECT id FROM users WHERE username = '${LARGE_OWNER}'`,
  );

  const callers = ChildTask.start<CallerLoops, number>('caller-loops.ts');
  cleanup.add(() => callers.stop());
  /** So many callers, each again and again for the time of a trial. */
  const loop =
    (count: number, token: string, path: string, asked: Partial<CallerLoops> = {}) =>
    () =>
      callers.run({ port, path, token, callers: count, seconds, ...asked });
  const ndjson = { accept: 'application/x-ndjson' };
  const ofOwner = `/audit-logs?user_id=${String(owner?.id)}`;
  const wrongLogin = { body: { ...newcomer, password: 'a wrong passphrase' }, statuses: [401, 429] };
  const loads: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['nothing', () => sleep(seconds * 1_000)],
    ['an export of the audit log', loop(1, heavy, '/audit-logs?action=exported', ndjson)],
    ['20 sums of all usage at once', loop(20, heavy, '/usage/summary')],
    ['20 sums at once by a user without keys', loop(20, withoutKeys, '/usage/summary')],
    ['20 searches at once', loop(20, heavy, '/api-keys?search=ti&size=100')],
    ['20 lists by last use at once', loop(20, heavy, '/api-keys?sort=-last_used_at')],
    ['20 far pages of users at once', loop(20, heavy, '/users?page=1000000000&size=100')],
    [
      '20 pages of the audit log at once',
      loop(20, heavy, '/audit-logs?limit=200&success=true&resource_type=none'),
    ],
    ['20 pages of large audit rows of one owner at once', loop(20, heavy, `${ofOwner}&limit=200`)],
    ['2 exports of large audit rows of one owner', loop(2, heavy, ofOwner, ndjson)],
    ['a flood of logins', loop(20, '', '/auth/login', wrongLogin)],
    ['a flood of refused requests', loop(20, withoutKeys, '/users', { statuses: [403] })],
  ];
  const agent = new Agent({ keepAlive: true });
  cleanup.add(() => agent.destroy());
  const asked: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['auth/me', () => call(port, 'GET', '/auth/me', bystander, undefined, agent)],
    [
      'a change',
      () => call(port, 'PUT', `/users/${String(changed)}`, otherAdmin, { permissions: [] }, agent),
    ],
  ];
  const rows: string[][] = [];
  const failures: string[] = [];
  const idle = new Map<string, number>();
  /** Notes what bystanders waited beside a load, and answers how long that took, in ms. */
  const trial = async (name: string, load: () => Promise<unknown>, most: number): Promise<number> => {
    const began = performance.now();
    const latencies = await latenciesWhile(
      asked.map(([, ask]) => ask),
      load(),
    );
    const tookMs = performance.now() - began;
    for (const [index, [request]] of asked.entries()) {
      const sorted = latencies[index] ?? new Float64Array();
      const [p50, p99] = [percentile(sorted, 0.5), percentile(sorted, 0.99)];
      const idleP99 = idle.get(request) ?? p99;
      idle.set(request, idleP99);
      const figures = [tookMs / 1_000, p50, p99, p99 / idleP99].map(rounded);
      rows.push([name, request, String(sorted.length), ...figures]);
      console.log(rows.at(-1)?.join('  '));
      if (p99 > most * Math.max(LEAST_P99_MS, idleP99))
        failures.push(
          `${name}: for ${request} a p99 of ${rounded(p99)} ms is more than ${most} times the idle one.`,
        );
    }
    return tookMs;
  };
  for (const [name, load] of loads)
    if (name === 'nothing' || name.includes(flags.only)) await trial(name, load, MOST_TIMES);
  const deletion = `the end of a user with ${keys / 4} keys`;
  const endOwner = () => call(port, 'DELETE', `/users/${String(owner?.id)}`, heavy);
  const tookMs = deletion.includes(flags.only) ? await trial(deletion, endOwner, MOST_TIMES_AT_DELETION) : 0;
  if (tookMs > (keys / 4) * MOST_DELETION_MS_PER_KEY)
    failures.push(`${deletion} took ${rounded(tookMs / 1_000)} s.`);

  const header = [
    'what another user does',
    'a bystander’s',
    'requests',
    'seconds',
    'p50 ms',
    'p99 ms',
    'p99 to idle',
  ];
  const text = `${provenance()} ${keys} keys, ${keys * 2} rollups, ${keys} audit rows. Nothing is pinned to a core.\n\n${markdownTable(header, rows)}`;
  console.log(`\n${text}`);
  if (flags.write) writeToDocument('bench:fairness', text);
  for (const failure of failures) console.error(failure);
  if (failures.length > 0) process.exitCode = 1;
});

/** How long each request of each kind took in ms, ascending, sent one after the other for as long as `work` takes. */
async function latenciesWhile(
  kinds: readonly (() => Promise<unknown>)[],
  work: Promise<unknown>,
): Promise<Float64Array[]> {
  let isOver = false;
  const end = work.finally(() => (isOver = true));
  const measured = kinds.map(async (ask) => {
    const latencies: number[] = [];
    while (!isOver) {
      const sentAt = performance.now();
      await ask();
      latencies.push(performance.now() - sentAt);
      await sleep(PAUSE_MS);
    }
    return Float64Array.from(latencies).toSorted();
  });
  await end;
  return Promise.all(measured);
}
