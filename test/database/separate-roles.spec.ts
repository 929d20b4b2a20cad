import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment, USER_PASSWORD } from '../support/test-app.js';

const DENIED = '42501';

describe('the service as a lesser role than the owner of its schema', () => {
  const suffix = randomBytes(4).toString('hex');
  const [ownerRole, serviceRole] = [`owner_${suffix}`, `service_${suffix}`];
  let database: TestDatabase;
  let environment: Record<string, string>;
  let app: AppProcess;
  let admin: ApiClient;
  let service: pg.Client;

  beforeAll(async () => {
    database = await createTestDatabase({ isEmpty: true });
    await database.query(`
      CREATE ROLE ${ownerRole} LOGIN; CREATE ROLE ${serviceRole} LOGIN;
      ALTER DATABASE ${database.name} OWNER TO ${ownerRole};`);
    environment = {
      ...testEnvironment(as(serviceRole)),
      DATABASE_MIGRATION_URL: as(ownerRole),
      LOG_LEVEL: 'warn',
    };
    app = await AppProcess.start(environment);
    admin = await app.admin();
    service = new pg.Client({ connectionString: as(serviceRole) });
    await service.connect();
  });
  afterAll(async () => {
    await service.end();
    await app.kill9();
    await database.query(`
      REASSIGN OWNED BY ${ownerRole} TO postgres; DROP OWNED BY ${ownerRole}, ${serviceRole};
      DROP ROLE ${ownerRole}, ${serviceRole};`);
    await database.drop();
  });

  function as(role: string): string {
    return database.url.replace('//postgres@', `//${role}@`);
  }

  it('works wholly', async () => {
    const created = await admin.post('/api-keys', { name: 'A key', scopes: ['platform:*'] });
    expect(created.status).toBe(201);
    const id = Number(created.body['api_key'].id);
    const user = { username: 'dana', password: USER_PASSWORD };
    const dana = Number((await admin.post('/users', user)).body['id']);
    const answers = [
      await admin.get('/api-keys?search=key'),
      await admin.put(`/api-keys/${id}`, { tags: ['changed'] }),
      await admin.post(
        `/api-keys/${id}/regenerate`,
        { grace_period_seconds: 60 },
        { 'idempotency-key': 'once' },
      ),
      await admin.post(`/api-keys/${id}/deactivate`),
      await admin.get(`/api-keys/${id}/usage`),
      await admin.delete(`/api-keys/${id}`),
      await admin.put(`/users/${dana}`, { role: 'developer' }),
      await app.anonymous.post('/auth/login', user),
      await admin.delete(`/users/${dana}`),
      await admin.get('/audit-logs'),
      await app.anonymous.get('//health/ready'),
    ];
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(answers.at(-2)?.body['audit_logs'].length).toBeGreaterThan(9);
    const roles = await database.query(
      `SELECT DISTINCT usename AS role FROM pg_stat_activity
       WHERE datname = current_database() AND application_name LIKE 'latchkey%'`,
    );
    expect(roles).toEqual([{ role: serviceRole }]);
  });

  it('does the maintenance', async () => {
    await admin.post('/api-keys', { name: 'Counted' });
    await service.query('SELECT fold_api_key_counts()');
    expect(
      await database.query('SELECT sum(keys)::int AS keys FROM api_key_counts WHERE user_id = 0'),
    ).toEqual([{ keys: 1 }]);
    await service.query(`SELECT ensure_audit_log_partitions('2090-01-15', 2)`);
    expect(await partitions()).toEqual(expect.arrayContaining(['audit_logs_2090_01', 'audit_logs_2090_02']));
    // Every job runs once at start; none of them was refused anything.
    // A busy machine may keep one from a connection in time; it runs again at its next turn.
    const warnings = app.logLines().filter(({ level, msg }) => {
      return level !== 'info' && !String(msg).includes('timeout exceeded when trying to connect');
    });
    expect(warnings).toEqual([]);
  });

  it('cannot make temporary objects, which functions of the owner could be led to', async () => {
    const statements = [
      'CREATE TEMPORARY TABLE audit_logs (id int)',
      'CREATE TEMPORARY VIEW pg_class AS SELECT 1::oid AS oid',
      'CREATE FUNCTION pg_temp.intruder() RETURNS name LANGUAGE sql AS $$ SELECT NULL::name $$',
    ];
    for (const statement of statements)
      expect({ statement, ...(await refusal(statement)) }).toMatchObject({ statement, code: DENIED });
  });

  it('makes and drops partitions as told, whatever temporary objects a role has made that may make them', async () => {
    await database.query(`GRANT TEMPORARY ON DATABASE ${database.name} TO ${serviceRole}`);
    await service.query('CREATE TEMPORARY TABLE audit_logs_2091_01 (id int)');
    await service.query(
      'CREATE TEMPORARY TABLE audit_logs (created_at timestamptz) PARTITION BY RANGE (created_at)',
    );
    await service.query('CREATE TEMPORARY TABLE usage_events_2091_01_15 (id int)');
    await service.query(`SELECT ensure_audit_log_partitions('2091-01-15', 1)`);
    await service.query(`SELECT ensure_usage_event_partitions('2091-01-15', 1)`);
    await service.query('DISCARD TEMP');
    expect(await partitions()).toContain('audit_logs_2091_01');
    expect(await partitions('usage_events')).toContain('usage_events_2091_01_15');
  });

  it('never becomes the owner through a function that runs as the owner', async () => {
    await database.query(`GRANT TEMPORARY ON DATABASE ${database.name} TO ${serviceRole}`);
    const counts = () => service.query('SELECT action, count(*) FROM audit_logs GROUP BY 1 ORDER BY 1');
    const before = (await counts()).rows;
    const notices: string[] = [];
    service.on('notice', ({ message }) => notices.push(message ?? ''));
    // Catalogs that lead to code of the caller's, for every function that runs with the rights of another.
    await service.query(`
      CREATE FUNCTION pg_temp.intruder() RETURNS name LANGUAGE plpgsql AS $$
      BEGIN
        RAISE NOTICE 'running as %', current_user;
        EXECUTE 'ALTER TABLE public.audit_logs DISABLE TRIGGER audit_logs_append_only';
        EXECUTE $q$DELETE FROM public.audit_logs WHERE action = 'create_api_key'$q$;
        RETURN 'nothing';
      END $$;
      CREATE TEMP VIEW pg_inherits AS SELECT 1::oid AS inhrelid, 'public.usage_events'::regclass AS inhparent;
      CREATE TEMP VIEW pg_class AS SELECT 1::oid AS oid, pg_temp.intruder() AS relname;
      GRANT SELECT ON pg_temp.pg_class, pg_temp.pg_inherits TO public;`);
    const definers = await database.query<{ call: string }>(`
      SELECT format('%s(%s)', proname, (
          SELECT string_agg(format('%s::%s', CASE WHEN kind = 'date'::regtype THEN quote_literal(current_date - 400) ELSE '1' END,
            kind::regtype), ', ' ORDER BY n)
          FROM unnest(proargtypes) WITH ORDINALITY AS arguments (kind, n))) AS call
      FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY 1`);
    expect(definers.length).toBeGreaterThan(2);
    for (const { call } of definers) await service.query(`SELECT ${call}`).catch(() => undefined);
    expect(notices).toEqual([]);
    expect((await counts()).rows).toEqual(before);
    await service.query('DISCARD TEMP');
    await database.query(`REVOKE TEMPORARY ON DATABASE ${database.name} FROM ${serviceRole}`);
  });

  it('cannot change or remove an audit row, in the log or in a partition of it', async () => {
    for (const log of ['audit_logs', ...(await partitions())]) {
      for (const statement of [`UPDATE ${log} SET success = true`, `DELETE FROM ${log}`, `TRUNCATE ${log}`]) {
        expect({ statement, ...(await refusal(statement)) }).toEqual({
          statement,
          code: DENIED,
          message: `permission denied for table ${log}`,
        });
      }
    }
  });

  it('cannot reach around the rules of the schema', async () => {
    const statements = [
      'CREATE TABLE mine (id int)',
      'ALTER TABLE audit_logs DISABLE TRIGGER ALL',
      'DROP TRIGGER audit_logs_append_only ON audit_logs',
      'ALTER TABLE audit_logs DETACH PARTITION audit_logs_other_months',
      'ALTER TABLE api_keys ADD COLUMN mine int',
      'DROP TABLE api_keys',
      'TRUNCATE api_keys',
      'CREATE OR REPLACE FUNCTION refuse_audit_log_change() RETURNS trigger LANGUAGE sql AS $$ SELECT $$',
      'SET session_replication_role = replica',
      `SET ROLE ${ownerRole}`,
      `UPDATE roles SET permissions = '{platform:*}'`,
      'DELETE FROM schema_migrations',
      "UPDATE schema_functions SET hash = ''",
    ];
    for (const statement of statements)
      expect({ statement, ...(await refusal(statement)) }).toMatchObject({ statement, code: DENIED });
  });

  it('starts again over the schema it has, and is never granted more', async () => {
    await app.stop();
    app = await AppProcess.start(environment);
    expect((await refusal('UPDATE audit_logs_2090_01 SET success = true')).code).toBe(DENIED);
    expect((await refusal('TRUNCATE audit_logs')).code).toBe(DENIED);
  });

  async function partitions(table = 'audit_logs'): Promise<string[]> {
    const rows = await database.query<{ name: string }>(
      'SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass',
      [table],
    );
    return rows.map(({ name }) => name);
  }

  async function refusal(statement: string): Promise<{ message: string; code: string | undefined }> {
    try {
      await service.query(statement);
    } catch (error) {
      if (error instanceof pg.DatabaseError) return { message: error.message, code: error.code };
    }
    return { message: 'It was done.', code: undefined };
  }
});
