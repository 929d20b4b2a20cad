import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '../../src/audit/audit-log.entity.js';
import { ApiKey, ApiKeySecret } from '../../src/api-keys/api-key.entity.js';
import { RefreshToken, Session } from '../../src/auth/session.entity.js';
import { Role, User } from '../../src/auth/user.entity.js';
import { unhurriedOptions } from '../../src/database/connection-options.js';
import { migrate } from '../../src/database/migrate.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

const ENTITIES = [ApiKey, ApiKeySecret, AuditLog, RefreshToken, Role, Session, User];

describe('the schema', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase({ isEmpty: true });
  });
  afterAll(() => database.drop());

  it('is what the entities say, after all migrations', async () => {
    await migrate(database.url);
    const dataSource = await new DataSource({
      ...unhurriedOptions(database.url),
      entities: ENTITIES,
    }).initialize();
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    await dataSource.destroy();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  it('goes back to nothing, migration by migration, and forth again', async () => {
    const dataSource = await new DataSource(unhurriedOptions(database.url)).initialize();
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
