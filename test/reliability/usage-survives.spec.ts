import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AppCluster } from '../support/app-cluster.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { faultsInBooks } from '../support/usage-books.js';
import { type UsageReceiver, UsageReporters } from '../support/usage-reporters.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const KILLS = IS_LONG ? { app: 20, postgres: 10, stops: 5 } : { app: 2, postgres: 1, stops: 1 };
const REPORTS_BETWEEN_KILLS = 60;
const INSTANCES = 4;
const CLIENTS = 12;
const KEYS = 4;
const TIMEOUT_MS = IS_LONG ? 1_200_000 : 180_000;

describe(
  'R1: an acknowledged usage event survives, and counts once, over four instances',
  { timeout: TIMEOUT_MS },
  () => {
    let cluster: AppCluster;
    let receiver: UsageReceiver & { headers: Record<string, string> };
    let reporters: UsageReporters;

    beforeAll(async () => {
      cluster = await AppCluster.start(INSTANCES);
      receiver = {
        get baseUrl() {
          return cluster.baseUrl;
        },
        headers: {},
      };
    });
    beforeEach(async () => {
      const admin = await cluster.running[0]!.admin();
      const make = async (scopes: string[]) => (await admin.post('/api-keys', { name: 'used', scopes })).body;
      receiver.headers['x-api-key'] = String((await make(['platform:usage:write']))['secret_key']);
      const keys = await Promise.all(Array.from({ length: KEYS }, () => make([])));
      const ids = keys.map((body) => Number(body['api_key'].id));
      reporters = new UsageReporters(receiver, ids, CLIENTS);
    });
    afterEach(() => reporters.stop());
    afterAll(() => cluster.end());

    /** All that was sent is acknowledged in the end, so what is stored must be that and nothing else. */
    const expectTrueBooks = async () => {
      await reporters.stop();
      expect(await faultsInBooks(cluster.databaseUrl, reporters.acknowledged)).toEqual([]);
      expect(reporters.complaints).toEqual([]);
      expect(reporters.accepted).toBeLessThanOrEqual(reporters.events);
      console.log(
        `${reporters.events} events acknowledged in ${reporters.reports} reports, ${reporters.failures} reports cut off or refused, ${reporters.events - reporters.accepted} events found recorded already.`,
      );
    };

    it(`over ${KILLS.app} kill -9 of an instance`, async () => {
      for (let kill = 0; kill < KILLS.app; kill += 1) {
        await reporters.more(REPORTS_BETWEEN_KILLS);
        await cluster.killApp(kill % INSTANCES);
        await reporters.more(REPORTS_BETWEEN_KILLS);
        await cluster.startApp(kill % INSTANCES);
      }
      await reporters.more(REPORTS_BETWEEN_KILLS);
      // A kill or two may meet an instance that nobody is asking at that moment.
      if (IS_LONG) expect(reporters.failures).toBeGreaterThan(0);
      await expectTrueBooks();
    });

    it(`over ${KILLS.postgres} kill -9 of PostgreSQL, while the instances run on`, async () => {
      for (let kill = 0; kill < KILLS.postgres; kill += 1) {
        await reporters.more(REPORTS_BETWEEN_KILLS);
        await cluster.killPostgres();
      }
      await reporters.more(REPORTS_BETWEEN_KILLS);
      expect(reporters.failures).toBeGreaterThan(0);
      await expectTrueBooks();
    });

    it('over kill -9 of everything at once', async () => {
      await reporters.more(REPORTS_BETWEEN_KILLS);
      await cluster.killAll();
      await reporters.more(REPORTS_BETWEEN_KILLS);
      await expectTrueBooks();
    });

    it(`over ${KILLS.stops} SIGTERM under load`, async () => {
      for (let stop = 0; stop < KILLS.stops; stop += 1) {
        await reporters.more(REPORTS_BETWEEN_KILLS);
        expect(await cluster.stopApp(stop % INSTANCES)).toBe(0);
        await cluster.startApp(stop % INSTANCES);
      }
      await reporters.more(REPORTS_BETWEEN_KILLS);
      await expectTrueBooks();
    });
  },
);

/**
 * Answers first and commits later, a group at a time, as a service must not. Once it has committed a few hundred events, one
 * of them twice, it says so and commits no more: whatever it still acknowledges is lost, whenever it is killed.
 */
const ACKNOWLEDGES_FIRST = `
  const { createServer } = require('node:http');
  const { Pool } = require('pg');
  const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 1 });
  let waiting = [];
  const committed = new Set();
  let count = 0;
  const commit = async () => {
    const group = waiting;
    waiting = [];
    if (group.length > 0) await pool.query(
      \`INSERT INTO usage_events (api_key_id, request_id, endpoint, method, request_tokens, response_tokens, cost_micro_cents,
         occurred_at, received_at) SELECT (e->>'api_key_id')::bigint, e->>'request_id', '/', 'POST', 0, 0, 0, now(), now()
       FROM json_array_elements($1) AS e\`, [JSON.stringify(group)]);
    count += group.length;
    for (const { request_id } of group) committed.add(request_id);
    if (count > 200 && committed.size < count) console.log('commits no more');
    else setTimeout(commit, 100);
  };
  setTimeout(commit, 100);
  createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk) => (text += chunk)).on('end', () => {
      const events = [JSON.parse(text)].flat();
      waiting.push(...events);
      response.end(JSON.stringify({ accepted: events.length, duplicates: 0 }));
    });
  }).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port); });
`;

describe('the count that proves R1', () => {
  let database: TestDatabase;
  let child: ChildProcess;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    child.kill('SIGKILL');
    await database.drop();
  });

  it('notices a service that acknowledges before it commits, and one that counts twice', async () => {
    child = spawn(process.execPath, ['--eval', ACKNOWLEDGES_FIRST], {
      env: { DATABASE_URL: database.url },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout!, 'data')) as [Buffer];
    const hasCommitted = once(child.stdout!, 'data');
    const receiver: UsageReceiver = { baseUrl: line.toString().trim(), headers: {} };
    const reporters = new UsageReporters(receiver, [1], 4);
    await hasCommitted;
    await reporters.more(200);
    child.kill('SIGKILL');
    receiver.baseUrl = undefined;
    const acknowledged = new Map([...reporters.acknowledged].map(([id, events]) => [id, new Map(events)]));
    const faults = await faultsInBooks(database.url, acknowledged);
    expect(faults).toContainEqual(
      expect.stringMatching(/^key 1: [1-9]\d* of \d+ acknowledged events are lost$/),
    );
    expect(faults).toContainEqual(expect.stringMatching(/^key 1: [1-9]\d* events are stored twice$/));
    await reporters.abandon();
  });
});
