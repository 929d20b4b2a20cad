import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '../../src/audit/audit-log.entity.js';
import { ApiKey, ApiKeySecret } from '../../src/api-keys/api-key.entity.js';
import { Organization, Project } from '../../src/organizations/organization.entity.js';
import { RefreshToken, Session } from '../../src/sessions/session.entity.js';
import { Role, User } from '../../src/users/user.entity.js';
import { longRunningOptions } from '../../src/database/connection-options.js';
import { DatabaseServer } from '../../src/database/database-server.js';
import { SessionClient } from '../../src/database/session-client.js';
import { migrate } from '../../src/database/migrate.js';
import { applySqlFunctions, sqlFunctions } from '../../src/database/sql-functions.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

const ENTITIES = [ApiKey, ApiKeySecret, AuditLog, Organization, Project, RefreshToken, Role, Session, User];

/** TypeORM reads a schema with many queries at once on one connection; pg warns of a query that has to wait. */
class SequentialClient extends SessionClient {
  #last: Promise<unknown> = Promise.resolve();

  override query = ((...parameters: Parameters<SessionClient['query']>) => {
    const result = this.#last.then(() => super.query(...parameters));
    this.#last = result.catch(() => undefined);
    return result;
  }) as unknown as SessionClient['query'];
}

describe('the schema', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase({ isEmpty: true });
  });
  afterAll(() => database.drop());

  it('is what the entities say, after all migrations', async () => {
    await migrate(database.url);
    const options = longRunningOptions(new DatabaseServer(database.url));
    const dataSource = await new DataSource({
      ...options,
      entities: ENTITIES,
      extra: { ...options.extra, Client: SequentialClient },
    }).initialize();
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    await dataSource.destroy();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  it('has the functions of the files in src/*/sql, each as its file says, and no others', async () => {
    const definitions = () =>
      database.query<{ signature: string; definition: string }>(`
        SELECT oid::regprocedure::text AS signature, pg_get_functiondef(oid) AS definition FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
        ORDER BY 1`);
    const migrated = await definitions();
    expect(migrated.map(({ signature }) => signature.replace(/\(.*/, '')).toSorted()).toEqual(
      sqlFunctions().map(({ name }) => name.replace(/\.previous$/, '')),
    );
    await database.query('DELETE FROM schema_functions');
    await migrate(database.url);
    expect(await definitions()).toEqual(migrated);
  });

  it('has no function that could be led to objects of its caller', async () => {
    const functions = await database.query<{
      name: string;
      is_definer: boolean;
      path: string;
      is_for_all: boolean;
    }>(`
      SELECT proname AS name, prosecdef AS is_definer,
        coalesce((SELECT setting FROM unnest(proconfig) AS setting WHERE setting LIKE 'search_path=%'), '') AS path,
        proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0 AND privilege_type = 'EXECUTE') AS is_for_all
      FROM pg_proc
      WHERE pronamespace = 'public'::regnamespace AND (prosecdef OR prorettype = 'trigger'::regtype)
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')`);
    expect(functions.length).toBeGreaterThan(15);
    // Its names are looked for in the catalog first and among temporary objects last, also in a trigger of a session
    // with a setting of its own.
    for (const { name, path } of functions)
      expect({ name, path }).toEqual({ name, path: 'search_path=pg_catalog, public, pg_temp' });
    // Only who is granted it may run as the owner.
    const definers = functions.filter(({ is_definer }) => is_definer);
    expect(definers.length).toBeGreaterThan(2);
    for (const { name, is_for_all: isForAll } of definers)
      expect({ name, isForAll }).toEqual({ name, isForAll: false });
  });

  it('replaces a function whose file has changed since, and no other', async () => {
    await database.query(`UPDATE schema_functions SET hash = 'of another text' WHERE name = 'budget_month'`);
    await database.query(`
      CREATE OR REPLACE FUNCTION budget_month(at timestamptz) RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'`);
    const dataSource = await new DataSource(
      longRunningOptions(new DatabaseServer(database.url)),
    ).initialize();
    expect(await applySqlFunctions(dataSource)).toEqual(['budget_month']);
    expect(await applySqlFunctions(dataSource)).toEqual([]);
    await dataSource.destroy();
    const [row] = await database.query<{ month: Date }>(
      `SELECT budget_month('2026-11-28T12:00:00Z') AS month`,
    );
    expect(row?.month).toEqual(new Date('2026-11-01T00:00:00Z'));
  });

  it('goes back to nothing, migration by migration, and forth again', async () => {
    const dataSource = await new DataSource(
      longRunningOptions(new DatabaseServer(database.url)),
    ).initialize();
    for (const _migration of dataSource.migrations) await dataSource.undoLastMigration();
    await dataSource.query('DROP TABLE schema_migrations');
    const left = await dataSource.query<{ name: string }[]>(`
      SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace
      UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace`);
    expect(left.map(({ name }) => name)).toEqual([]);
    const done = await dataSource.runMigrations();
    expect(done).toHaveLength(dataSource.migrations.length);
    await dataSource.destroy();
  });
});
