import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { longRunningOptions } from '../../src/database/connection-options.js';
import { DatabaseServer } from '../../src/database/database-server.js';
import { migrate } from '../../src/database/migrate.js';
import { FORMER_MIGRATIONS } from '../../src/database/migrations/1764302000000-baseline.js';
import { MIGRATIONS } from '../../src/database/migrations/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { createDatabaseOf010 } from '../support/former-database.js';
import { readCatalog } from '../support/schema-catalog.js';

const NAMES = MIGRATIONS.map((Migration) => new Migration().name);
const [BASELINE = '', ...LATER] = NAMES;
const OLDER =
  /^The schema of the database is older than that of version 0\.1\.0 of Latchkey: upgrade it to 0\.1\.0 first/;
const IN_USE = 'there are users or later migrations: drop the database instead.';

describe('the baseline', () => {
  let made: TestDatabase;
  let upgraded: TestDatabase;
  beforeAll(async () => {
    [made, upgraded] = await Promise.all([createTestDatabase(), createDatabaseOf010()]);
  });
  afterAll(() => Promise.all([made.drop(), upgraded.drop()]));

  /** The migrations that a database says it has, in the order of their names. */
  async function recorded({ query }: TestDatabase): Promise<string[]> {
    const rows = await query<{ name: string }>('SELECT name FROM schema_migrations');
    return rows.map(({ name }) => name).toSorted();
  }

  /** Every object with its last change: a row of the catalog that anything rewrites has another `xmin`. */
  function objects({ query }: TestDatabase): Promise<unknown[]> {
    return query(
      ['pg_class', 'pg_attribute', 'pg_constraint', 'pg_index', 'pg_trigger', 'pg_proc', 'schema_functions']
        .map((table) => `SELECT '${table}' AS kind, ctid::text, xmin::text FROM ${table}`)
        .join(' UNION ALL '),
    );
  }

  it('and what came after it are all that a new database runs', async () => {
    expect(await recorded(made)).toEqual(NAMES.toSorted());
  });

  it('goes on with an upgrade from 0.1.0 that was interrupted', async () => {
    // The last step cannot make its table.
    await upgraded.query('CREATE TABLE audit_log_digests ()');
    await expect(migrate(upgraded.url)).rejects.toThrow('relation "audit_log_digests" already exists');
    expect(await recorded(upgraded)).toEqual(FORMER_MIGRATIONS.slice(0, -1).toSorted());
    await upgraded.query('DROP TABLE audit_log_digests');
    expect(await migrate(upgraded.url)).toEqual(NAMES);
    expect(await recorded(upgraded)).toEqual([...NAMES, ...FORMER_MIGRATIONS].toSorted());
  });

  it('is, object by object, what the migrations made whose place it took', async () => {
    const [expected, found] = [await readCatalog(upgraded), await readCatalog(made)];
    expect(expected['constraints']?.length).toBeGreaterThan(50);
    // Rows of 0.1.0 have no parent: there the check was added without reading them.
    const checked = expected['constraints']?.map((line) =>
      line.includes('"api_keys_parent_key_id_check"') ? line.replace(' NOT VALID', '') : line,
    );
    expect(found).toEqual({ ...expected, constraints: checked });
  });

  it('is recorded in a database that has all of those migrations, and changes nothing there', async () => {
    await upgraded.query('DELETE FROM schema_migrations WHERE name = $1', [BASELINE]);
    const before = await objects(upgraded);
    expect(await migrate(upgraded.url)).toEqual([BASELINE]);
    expect(await objects(upgraded)).toEqual(before);
    expect(await recorded(upgraded)).toEqual([...NAMES, ...FORMER_MIGRATIONS].toSorted());
    expect(await migrate(upgraded.url)).toEqual([]);
  });

  it('refuses a database that lacks a migration of 0.1.0, and changes nothing there', async () => {
    const [last] = await upgraded.query<{ name: string }>(
      `DELETE FROM schema_migrations WHERE name IN ($1, 'CreateSearchTexts1763800900000') RETURNING name`,
      [BASELINE],
    );
    expect(last).toBeDefined();
    const before = await objects(upgraded);
    await expect(migrate(upgraded.url)).rejects.toThrow(OLDER);
    expect(await objects(upgraded)).toEqual(before);
    expect(await recorded(upgraded)).toHaveLength(FORMER_MIGRATIONS.length - 1 + LATER.length);
  });

  it('is not taken back while there are users or later migrations, nor from a schema that it did not make', async () => {
    const undo = async ({ url }: TestDatabase) => {
      const dataSource = await new DataSource(longRunningOptions(new DatabaseServer(url))).initialize();
      try {
        await dataSource.undoLastMigration();
      } finally {
        await dataSource.destroy();
      }
    };
    for (const _later of LATER) {
      await undo(made);
      await undo(upgraded);
    }
    await made.query(`INSERT INTO users (username, password_hash, role) VALUES ('a', '', 'user')`);
    await expect(undo(made)).rejects.toThrow(IN_USE);
    await made.query('DELETE FROM users');
    await made.query(`INSERT INTO schema_migrations (id, timestamp, name) VALUES (0, 9, 'Later9')`);
    await expect(undo(made)).rejects.toThrow(IN_USE);
    expect(await recorded(made)).toEqual([BASELINE, 'Later9']);
    await upgraded.query(
      `INSERT INTO schema_migrations (timestamp, name)
       VALUES (1, 'CreateSearchTexts1763800900000'), (1764302000000, $1)`,
      [BASELINE],
    );
    await undo(upgraded);
    expect(await upgraded.query('SELECT count(*)::int AS roles FROM roles')).toEqual([{ roles: 5 }]);
    expect(await migrate(upgraded.url)).toEqual(NAMES);
  });
});
