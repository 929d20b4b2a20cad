import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/database/embedded/embedded-postgres.js';
import { AppProcess } from '../support/app-process.js';
import { DataDirectory } from '../support/data-directory.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { ADMIN } from '../support/test-app.js';
import { faultsInBooks } from '../support/usage-books.js';
import { type UsageReceiver, UsageReporters } from '../support/usage-reporters.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const KILLS = IS_LONG ? { app: 20, postgres: 10, stops: 5 } : { app: 2, postgres: 1, stops: 1 };
const REPORTS_BETWEEN_KILLS = 60;
const CLIENTS = 12;
const KEYS = 4;
const TIMEOUT_MS = IS_LONG ? 1_200_000 : 180_000;

describe('R1: an acknowledged usage event survives, and counts once', { timeout: TIMEOUT_MS }, () => {
  let directory: DataDirectory;
  let app: AppProcess;
  /** A user of the server beside the service: it keeps it when the service ends, and starts it when it was killed. */
  let server: EmbeddedPostgres | undefined;
  let receiver: UsageReceiver & { headers: Record<string, string> };
  let reporters: UsageReporters;

  const openServer = () => startEmbeddedPostgres({ dataDirectory: join(directory.path, 'postgres') });
  const start = async () => {
    app = await AppProcess.start({
      DATA_DIR: directory.path,
      BCRYPT_COST: '4',
      ADMIN_PASSWORD: ADMIN.password,
      LOG_LEVEL: 'silent',
    });
    receiver.baseUrl = app.baseUrl;
  };

  beforeAll(async () => {
    directory = await DataDirectory.make();
    receiver = { baseUrl: undefined, headers: {} };
    await start();
    server = await openServer();
  });
  beforeEach(async () => {
    const admin = await app.admin();
    const make = async (scopes: string[]) => (await admin.post('/api-keys', { name: 'used', scopes })).body;
    receiver.headers['x-api-key'] = String((await make(['platform:usage:write']))['secret_key']);
    const keys = await Promise.all(Array.from({ length: KEYS }, () => make([])));
    const ids = keys.map((body) => Number(body['api_key'].id));
    reporters = new UsageReporters(receiver, ids, CLIENTS);
  });
  afterEach(() => reporters.stop());
  afterAll(async () => {
    await app.kill9();
    await server?.stop();
    await directory.remove();
  });

  /** All that was sent is acknowledged in the end, so what is stored must be that and nothing else. */
  const expectTrueBooks = async () => {
    await reporters.stop();
    const url = server?.url.replace(/@([^/]*)\/[^?]*/, '@$1/latchkey') ?? '';
    expect(await faultsInBooks(url, reporters.acknowledged)).toEqual([]);
    expect(reporters.complaints).toEqual([]);
    expect(reporters.accepted).toBeLessThanOrEqual(reporters.events);
    console.log(
      `${reporters.events} events acknowledged in ${reporters.reports} reports, ${reporters.failures} reports cut off or refused, ${reporters.events - reporters.accepted} events found recorded already.`,
    );
  };

  it(`over ${KILLS.app} kill -9 of the service`, async () => {
    for (let kill = 0; kill < KILLS.app; kill += 1) {
      await reporters.more(REPORTS_BETWEEN_KILLS);
      receiver.baseUrl = undefined;
      await app.kill9();
      await start();
    }
    await reporters.more(REPORTS_BETWEEN_KILLS);
    expect(reporters.failures).toBeGreaterThan(0);
    await expectTrueBooks();
  });

  it(`over ${KILLS.postgres} kill -9 of PostgreSQL, while the service runs on`, async () => {
    for (let kill = 0; kill < KILLS.postgres; kill += 1) {
      await reporters.more(REPORTS_BETWEEN_KILLS);
      await directory.killPostgres();
      server = await openServer();
    }
    await reporters.more(REPORTS_BETWEEN_KILLS);
    expect(reporters.failures).toBeGreaterThan(0);
    await expectTrueBooks();
  });

  it('over kill -9 of both at once', async () => {
    await reporters.more(REPORTS_BETWEEN_KILLS);
    receiver.baseUrl = undefined;
    await Promise.all([directory.killPostgres(), app.kill9()]);
    await start();
    server = await openServer();
    await reporters.more(REPORTS_BETWEEN_KILLS);
    await expectTrueBooks();
  });

  it(`over ${KILLS.stops} SIGTERM under load`, async () => {
    for (let stop = 0; stop < KILLS.stops; stop += 1) {
      await reporters.more(REPORTS_BETWEEN_KILLS);
      expect(await app.stop()).toBe(0);
      await start();
    }
    await reporters.more(REPORTS_BETWEEN_KILLS);
    await expectTrueBooks();
  });
});

/** Answers first and commits later, a group at a time, as a service must not. */
const ACKNOWLEDGES_FIRST = `
  const { createServer } = require('node:http');
  const { Pool } = require('pg');
  const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 1 });
  let waiting = [];
  setInterval(() => {
    const group = waiting;
    waiting = [];
    if (group.length > 0) void pool.query(
      \`INSERT INTO usage_events (api_key_id, request_id, endpoint, method, request_tokens, response_tokens, cost_micro_cents,
         occurred_at, received_at) SELECT (e->>'api_key_id')::bigint, e->>'request_id', '/', 'POST', 0, 0, 0, now(), now()
       FROM json_array_elements($1) AS e\`, [JSON.stringify(group)]);
  }, 100);
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
    const receiver: UsageReceiver = { baseUrl: line.toString().trim(), headers: {} };
    const reporters = new UsageReporters(receiver, [1], 4);
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
