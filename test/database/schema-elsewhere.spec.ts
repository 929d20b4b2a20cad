import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../src/database/migrate.js';
import { MIGRATIONS } from '../../src/database/migrations/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

const NAMES = MIGRATIONS.map((Migration) => new Migration().name);

describe('a database that is arranged in its own way', () => {
  const role = `arranged_${randomBytes(4).toString('hex')}`;
  const url = (database: TestDatabase) => database.url.replace('//postgres@', `//${role}@`);
  const databases: TestDatabase[] = [];
  beforeAll(async () => {
    for (let index = 0; index < 2; index += 1) {
      const database = await createTestDatabase({ isEmpty: true });
      databases.push(database);
      if (index === 0) await database.query(`CREATE ROLE ${role} LOGIN`);
      await database.query(`
        ALTER DATABASE ${database.name} OWNER TO ${role};
        CREATE SCHEMA extensions; CREATE EXTENSION pg_trgm SCHEMA extensions; GRANT USAGE ON SCHEMA extensions TO ${role};
        CREATE SCHEMA elsewhere AUTHORIZATION ${role}; CREATE TABLE elsewhere.users (id int);
        ALTER ROLE ${role} SET search_path = elsewhere;`);
    }
  });
  afterAll(async () => {
    await databases[0]!.query(`ALTER ROLE ${role} NOLOGIN`);
    for (const database of databases) {
      await database.query(`REASSIGN OWNED BY ${role} TO postgres; DROP OWNED BY ${role}`);
    }
    await databases[0]!.query(`DROP ROLE ${role}`);
    for (const database of databases) await database.drop();
  });

  it.each([
    { schema: 'public', place: 0 },
    { schema: 'latchkey', place: 1 },
  ])(
    'works in the schema $schema, with pg_trgm in another one and a role that has a search_path of its own',
    async ({ schema, place }) => {
      const database = databases[place]!;
      expect(await migrate(url(database), url(database), schema)).toEqual(NAMES);
      const environment = { DATABASE_URL: url(database), DATABASE_SCHEMA: schema };
      const app = await TestApp.start({ database, environment });
      try {
        const { id, secret } = await app.apiKey(app.admin, { name: 'Sought and found' });
        const found = await app.admin.get('/api-keys?search=sought');
        expect(found.body['api_keys'].map((key: { id: number }) => key.id)).toEqual([id]);
        expect((await app.admin.post('/api-keys/verify', { key: secret })).body['code']).toBe('VALID');
        const event = { api_key_id: id, request_id: 'r', endpoint: '/', method: 'GET', request_tokens: 1 };
        const usage = await app.admin.post('/usage', { ...event, response_tokens: 1, cost_cents: 1 });
        expect(usage.body).toMatchObject({ accepted: 1 });
        expect((await app.anonymous.get('//health/ready')).status).toBe(200);
        const session = await database.query(`
          SELECT DISTINCT nspname AS schema FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
          WHERE relkind IN ('r', 'p') AND relname IN ('api_keys', 'schema_migrations', 'audit_logs', 'usage_events')`);
        expect(session).toEqual([{ schema }]);
        expect(await database.query('SELECT count(*)::int AS rows FROM elsewhere.users')).toEqual([
          { rows: 0 },
        ]);
        // Functions that run as the owner, and triggers in anybody's session, look there too.
        await database.query(`
          SET search_path = elsewhere;
          SELECT ${schema}.ensure_usage_event_partitions('2091-01-15', 1);
          SELECT ${schema}.ensure_audit_log_partitions('2091-01-15', 1);
          UPDATE ${schema}.api_keys SET is_active = false;
          RESET search_path;`);
        expect(
          await database.query(
            `SELECT to_regclass('${schema}.usage_events_2091_01_15') IS NOT NULL AS is_there`,
          ),
        ).toEqual([{ is_there: true }]);
        await expect
          .poll(async () => (await app.admin.post('/api-keys/verify', { key: secret })).body['code'])
          .toBe('DISABLED');
      } finally {
        await app.stop();
      }
    },
  );
});
