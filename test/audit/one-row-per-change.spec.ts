import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestDatabase } from '../support/database.js';
import { TestApp, USER_PASSWORD } from '../support/test-app.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const REQUESTS = IS_LONG ? 10_000 : 1_000;
const CLIENTS = 48;

/** What the clients saw of one request. */
interface Seen {
  readonly requestId: string;
  readonly action: string;
  readonly status: number;
  /** The thing it was about, once the answer told. */
  readonly resourceId: number;
}

interface Row {
  readonly request_id: string;
  readonly action: string;
  readonly resource_id: string | null;
  readonly success: boolean;
}

describe('R5: one audit row for each committed change, none for one that was rolled back', () => {
  let app: TestApp;
  beforeAll(async () => {
    // A login under way counts as failed until it is not; many of one account are under way here.
    const environment = { DATABASE_POOL_SIZE: '16', LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: '1000' };
    app = await TestApp.start({ environment });
  });
  afterAll(() => app.stop());

  it(
    `holds over ${REQUESTS} concurrent requests with random faults`,
    { timeout: IS_LONG ? 600_000 : 120_000 },
    async () => {
      const keys = await Promise.all(Array.from({ length: 24 }, async () => (await app.apiKey()).id));
      const users = await Promise.all(Array.from({ length: 8 }, async () => (await app.user()).id));
      await installRandomFaults(app.database);
      const seen = await sendAll(app, keys, users);
      const rows = await app.database.query<Row & Record<string, unknown>>(
        `SELECT request_id, action, resource_id, success FROM audit_logs WHERE request_id LIKE 'mixed-%'`,
      );

      const committed = seen.filter(({ status }) => status < 300);
      const failed = seen.filter(({ status }) => status >= 500);
      expect(failed.length).toBeGreaterThan(REQUESTS / 50);
      expect(committed.length).toBeGreaterThan(REQUESTS / 2);
      const [told, written] = [committed.map(nameOfSeen), rows.map(nameOfRow)];
      expect({
        missing: told.filter((name) => !written.includes(name)),
        unfounded: written.filter((name) => !told.includes(name)),
      }).toEqual({ missing: [], unfounded: [] });
      expect(written).toHaveLength(told.length);
      expect(rows.every(({ success }) => success)).toBe(true);
      await expectStateToBe(app.database, keys, committed);
    },
  );
});

/** Rows of every table that changes are refused now and then: at once or at commit, as a fault or as an overload. */
async function installRandomFaults(database: TestDatabase): Promise<void> {
  await database.query(`
    CREATE FUNCTION fail_at_random() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'injected' USING ERRCODE = (ARRAY['P0001', '40001', '23514', '53200'])[1 + floor(random() * 4)];
    END $$;
    CREATE TRIGGER fail BEFORE INSERT ON audit_logs FOR EACH ROW WHEN (random() < 0.02)
      EXECUTE FUNCTION fail_at_random();`);
  for (const table of ['api_keys', 'api_key_secrets', 'users', 'sessions', 'refresh_tokens']) {
    await database.query(`
      CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON ${table} FOR EACH ROW WHEN (random() < 0.02)
        EXECUTE FUNCTION fail_at_random();
      CREATE CONSTRAINT TRIGGER fail_late AFTER INSERT OR UPDATE ON ${table} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (random() < 0.04) EXECUTE FUNCTION fail_at_random();`);
  }
}

async function sendAll(app: TestApp, keys: readonly number[], users: readonly number[]): Promise<Seen[]> {
  const seen: Seen[] = [];
  let sent = 0;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (sent < REQUESTS) {
      sent += 1;
      seen.push(await sendOne(app, `mixed-${sent}`, sent, keys, users));
    }
  });
  await Promise.all(clients);
  return seen;
}

async function sendOne(
  app: TestApp,
  requestId: string,
  turn: number,
  keys: readonly number[],
  users: readonly number[],
): Promise<Seen> {
  const [key, user] = [pick(keys), pick(users)];
  const operations: readonly [action: string, method: string, path: string, body?: unknown][] = [
    ['create_api_key', 'POST', '/api-keys', { name: requestId }],
    ['update_api_key', 'PUT', `/api-keys/${key}`, { description: requestId }],
    ['regenerate_api_key', 'POST', `/api-keys/${key}/regenerate`, { grace_period_seconds: turn % 2 }],
    ['get_api_key', 'GET', `/api-keys/${key}`],
    ['create_user', 'POST', '/users', { username: requestId, password: USER_PASSWORD }],
    ['update_user', 'PUT', `/users/${user}`, { role: pick(['user', 'developer', 'auditor']) }],
    ['login', 'POST', '/auth/login', { username: 'admin', password: 'a long admin passphrase' }],
    ['list_api_keys', 'GET', '/api-keys'],
  ];
  const [action, method, path, body] = pick(operations);
  const headers = { 'x-request-id': requestId };
  const answer = await app.admin.send(method, path, { body, headers });
  const made = answer.body['api_key']?.id ?? answer.body['id'];
  const hasResource = answer.status < 300 && /^(create|update|regenerate|get)_/.test(action);
  return { requestId, action, status: answer.status, resourceId: hasResource ? Number(made) : 0 };
}

/** The keys that exist, and how often each was changed, are what the clients were told. */
async function expectStateToBe(
  database: TestDatabase,
  keys: readonly number[],
  committed: readonly Seen[],
): Promise<void> {
  const created = committed
    .filter(({ action }) => action === 'create_api_key')
    .map(({ resourceId }) => resourceId);
  const changes = new Map([...keys, ...created].map((id) => [id, 1]));
  for (const { action, resourceId } of committed) {
    if (action === 'update_api_key' || action === 'regenerate_api_key')
      changes.set(resourceId, (changes.get(resourceId) ?? 0) + 1);
  }
  const found = await database.query<{ id: number; version: number }>(
    'SELECT id::int, version FROM api_keys',
  );
  expect(new Map(found.map(({ id, version }) => [id, version]))).toEqual(changes);
  const users = await database.query(`SELECT FROM users WHERE username LIKE 'mixed-%'`);
  expect(users).toHaveLength(committed.filter(({ action }) => action === 'create_user').length);
}

function nameOfSeen({ requestId, action, resourceId }: Seen): string {
  return `${requestId} ${action} ${resourceId}`;
}

function nameOfRow({ request_id, action, resource_id }: Row): string {
  return `${request_id} ${action} ${action === 'login' ? 0 : Number(resource_id)}`;
}

function pick<Item>(items: readonly Item[]): Item {
  return items[Math.floor(Math.random() * items.length)]!;
}
