import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hash } from 'bcrypt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { migrate } from '../../src/database/migrate.js';
import { MIGRATIONS } from '../../src/database/migrations/index.js';
import type { TestDatabase } from '../support/database.js';
import { createDatabaseOf010 } from '../support/former-database.js';
import { ADMIN, TestApp, testEnvironment } from '../support/test-app.js';

const SECRET = 'en_0123456789ABCDEFGHIJKLMNOPQRSTUV206ZPL';
const REFRESH_TOKEN = `rt_${'r'.repeat(43)}`;
const HOLD = '0196f0c0-0000-7000-8000-000000000001';

interface Column {
  readonly name: string;
  readonly is_required: boolean;
}

describe('R12: an upgrade from 0.1.0', () => {
  let database: TestDatabase;
  let columnsBefore: Column[];
  let ran: string[];

  beforeAll(async () => {
    database = await createDatabaseOf010();
    await fill();
    columnsBefore = await columns();
    ran = await migrate(database.url);
  });
  afterAll(() => database.drop());

  /** What a service of 0.1.0 had stored. */
  async function fill(): Promise<void> {
    const pepper = testEnvironment('')['API_KEY_PEPPERS']!.slice('1:'.length);
    const digest = createHmac('sha256', pepper).update(SECRET).digest();
    await database.query(`INSERT INTO users (username, password_hash, role) VALUES ($1, $2, 'admin')`, [
      ADMIN.username,
      await hash(ADMIN.password, 4),
    ]);
    await database.query(`
      INSERT INTO api_keys (user_id, name, description, key_prefix, is_unlimited, budget_limit_cents, budget_type, tags)
        VALUES (1, 'Kept from before', 'Übergang', '${SECRET.slice(0, 8)}', false, 1000, 'total', '{old}');
      SELECT set_budget_limit(1, 1000 * 1000000::bigint, 'total');
      INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ('${HOLD}', 1, now(), now() + interval '1 day');
      SELECT grant_holds(ARRAY['${HOLD}']::uuid[], ARRAY[1]::bigint[], ARRAY[2000000]::bigint[], ARRAY[3600], ARRAY['h']);
      SELECT record_usage(ARRAY[1]::bigint[], ARRAY['r-1'], ARRAY['/chat'], ARRAY['POST'], ARRAY['gpt'], ARRAY[10]::bigint[],
        ARRAY[5]::bigint[], ARRAY[3000000]::bigint[], ARRAY[200], ARRAY[12]::bigint[], ARRAY[now()], ARRAY[NULL]::uuid[]);
      INSERT INTO audit_logs (id, created_at, user_id, action, resource_type, resource_id, details, success)
        VALUES ('${HOLD}', now() - interval '1 hour', 1, 'create_api_key', 'api_key', '1', '{}', true);`);
    await database.query(
      'INSERT INTO api_key_secrets (digest, pepper_version, api_key_id) VALUES ($1, 1, 1)',
      [digest],
    );
    await database.query('INSERT INTO refresh_tokens (digest, session_id) VALUES ($1, $2)', [
      createHash('sha256').update(REFRESH_TOKEN).digest(),
      HOLD,
    ]);
  }

  /** `table.column` of every table, and whether an INSERT that does not name it is refused. */
  function columns(): Promise<Column[]> {
    return database.query<Column>(`
      SELECT attrelid::regclass || '.' || attname AS name,
        attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = '' AS is_required
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
        AND NOT relispartition
      ORDER BY 1`);
  }

  it('runs the baseline and the migrations that came after it', () => {
    expect(ran).toEqual(MIGRATIONS.map((Migration) => new Migration().name));
  });

  it('keeps every column, and adds none that an INSERT of 0.1.0 would have to name', async () => {
    const after = await columns();
    const names = after.map(({ name }) => name);
    expect(columnsBefore.filter(({ name }) => !names.includes(name))).toEqual([]);
    const tables = new Set(columnsBefore.map(({ name }) => name.split('.')[0]));
    const before = new Map(columnsBefore.map(({ name, is_required: isRequired }) => [name, isRequired]));
    const demanded = after.filter(
      ({ name, is_required: isRequired }) =>
        isRequired && tables.has(name.split('.')[0]) && before.get(name) !== true,
    );
    expect(demanded).toEqual([]);
  });

  it('understands every statement of 0.1.0, which goes on running beside it', async () => {
    const file = projectPath('test/database/statements-of-0.1.0.json');
    const statements = JSON.parse(readFileSync(file, 'utf8')) as string[];
    expect(statements.length).toBeGreaterThan(100);
    const refused: { statement: string; message: string }[] = [];
    for (const statement of statements) {
      await database
        .query(
          `DO $do$ BEGIN EXECUTE $prepare$PREPARE former AS ${statement}$prepare$; DEALLOCATE former; END $do$`,
        )
        .catch((error: unknown) => refused.push({ statement, message: String(error) }));
    }
    expect(refused).toEqual([]);
  });

  it('does not count again a request that 0.1.0 recorded, from any reporter', async () => {
    const [asBefore] = await database.query<{ others: unknown }>(`
      SELECT others FROM record_usage(ARRAY[1]::bigint[], ARRAY['r-1'], ARRAY['/chat'], ARRAY['POST'], ARRAY['gpt'],
        ARRAY[10]::bigint[], ARRAY[5]::bigint[], ARRAY[1000000]::bigint[], ARRAY[200], ARRAY[12]::bigint[], ARRAY[now()],
        ARRAY[NULL]::uuid[])`);
    expect(asBefore?.others).toEqual({ 0: 'duplicate' });
    const [asNow] = await database.query<{ others: unknown }>(`
      SELECT others FROM record_usage(ARRAY[1]::bigint[], ARRAY['r-1'], ARRAY['/chat'], ARRAY['POST'], ARRAY['gpt'],
        ARRAY[10]::bigint[], ARRAY[5]::bigint[], ARRAY[1000000]::bigint[], ARRAY[200], ARRAY[12]::bigint[], ARRAY[now()],
        ARRAY[NULL]::uuid[], ARRAY[1]::bigint[], ARRAY[-1]::bigint[], ARRAY[7])`);
    expect(asNow?.others).toEqual({ 0: 'duplicate' });
  });

  it('takes usage and grants holds as 0.1.0 asks for it', async () => {
    const [recorded] = await database.query<{ others: unknown }>(`
      SELECT others FROM record_usage(ARRAY[1]::bigint[], ARRAY['r-2'], ARRAY['/chat'], ARRAY['POST'], ARRAY['gpt'],
        ARRAY[10]::bigint[], ARRAY[5]::bigint[], ARRAY[1000000]::bigint[], ARRAY[200], ARRAY[12]::bigint[], ARRAY[now()],
        ARRAY[NULL]::uuid[])`);
    expect(recorded?.others).toBeNull();
    const [granted] = await database.query<{ outcome: string }>(`
      SELECT outcome FROM grant_holds(ARRAY[gen_random_uuid()], ARRAY[1]::bigint[], ARRAY[1000000]::bigint[], ARRAY[60],
        ARRAY[NULL]::text[])`);
    expect(granted?.outcome).toBe('all_granted');
  });

  it('keeps users, sessions, keys, usage, budgets and the audit log, and works on', async () => {
    const app = await TestApp.start({ database });
    try {
      const { body: key } = await app.admin.get('/api-keys/1');
      expect(key).toMatchObject({
        name: 'Kept from before',
        description: 'Übergang',
        budget_limit_cents: 1000,
        tags: ['old'],
        total_requests: 2,
        total_tokens: 30,
        total_cost_cents: 4,
      });
      const { body: verdict } = await app.admin.post('/api-keys/verify', { key: SECRET });
      expect(verdict).toMatchObject({
        valid: true,
        budget: { spent_cents_decimal: '4.000000', held_cents_decimal: '3.000000', limit_cents: 1000 },
      });
      const found = await app.admin.get('/api-keys?search=ÜBERGANG');
      expect(found.body['api_keys'].map(({ id }: { id: number }) => id)).toEqual([1]);
      const refreshed = await app.anonymous.post('/auth/refresh', { refresh_token: REFRESH_TOKEN });
      expect(refreshed.status).toBe(200);
      const { body: log } = await app.admin.get('/audit-logs?action=create_api_key');
      expect(log['audit_logs']).toHaveLength(1);
      const changed = await app.admin.put('/api-keys/1', { budget_limit_cents: 2000 });
      expect(changed).toMatchObject({ status: 200 });
      const regenerated = await app.admin.post('/api-keys/1/regenerate', { grace_period_seconds: 60 });
      expect(regenerated).toMatchObject({ status: 200 });
      expect((await app.admin.post('/api-keys/verify', { key: SECRET })).body['valid']).toBe(true);
      expect((await app.anonymous.get('//health/ready')).status).toBe(200);
    } finally {
      await app.stop();
    }
  });

  it('looks into the request ids of 0.1.0 until 31 days after the upgrade, and then empties their table', async () => {
    const ids = () => database.query(`SELECT request_id FROM usage_request_ids`);
    const rotateAfter = async (interval: string) => {
      await database.query(
        'UPDATE usage_request_generations SET ended_at = now() - $1::interval WHERE number = 0',
        [interval],
      );
      await database.query('SELECT rotate_usage_requests()');
      const rows = await database.query<{ number: number }>(
        'SELECT number FROM usage_request_generations ORDER BY number',
      );
      return rows.map(({ number }) => number);
    };
    expect(await rotateAfter('30 days 23 hours')).toEqual([0, 1]);
    expect(await ids()).toEqual([{ request_id: 'r-1' }]);
    expect(await rotateAfter('31 days 1 second')).toEqual([1]);
    expect(await ids()).toEqual([]);
  });
});
