import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../src/database/migrate.js';
import { MIGRATIONS } from '../../src/database/migrations/index.js';
import { TestApp } from '../support/test-app.js';

const LATEST = new (MIGRATIONS.at(-1)!)().name;

describe('an instance is ready only on the schema that it expects', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  async function readiness(): Promise<[number, unknown]> {
    const { status, body } = await app.anonymous.get('//health/ready');
    return [status, body['detail']];
  }

  it('not on an older one, such as a backup from before an upgrade', async () => {
    await app.database.query('DELETE FROM schema_migrations WHERE name = $1', [LATEST]);
    expect(await readiness()).toEqual([503, `The schema is older than this version: ${LATEST} has not run.`]);
    await app.database.query('INSERT INTO schema_migrations (timestamp, name) VALUES (1, $1)', [LATEST]);
    expect((await readiness())[0]).toBe(200);
  });

  it('not on one that lacks a function of its own', async () => {
    await app.database.query(`UPDATE schema_functions SET name = 'another' WHERE name = 'record_usage'`);
    expect(await readiness()).toEqual([
      503,
      'The schema lacks the SQL function record_usage of this version.',
    ]);
    await app.database.query(`UPDATE schema_functions SET name = 'record_usage' WHERE name = 'another'`);
  });

  it('on a newer one, which it leaves as it is, unless something that it needs was taken away there', async () => {
    const { query, url } = app.database;
    await query(`INSERT INTO schema_migrations (timestamp, name) VALUES (9, 'OfTheNextVersion9')`);
    await query(`UPDATE schema_functions SET hash = 'of the next version' WHERE name = 'budget_month'`);
    expect((await readiness())[0]).toBe(200);
    expect(await migrate(url)).toEqual([]);
    expect(await query(`SELECT hash FROM schema_functions WHERE name = 'budget_month'`)).toEqual([
      { hash: 'of the next version' },
    ]);
    await query(`INSERT INTO schema_requirements (migration) VALUES ('OfTheNextVersion9')`);
    expect(await readiness()).toEqual([
      503,
      'The schema is too new for this version, which does not know OfTheNextVersion9.',
    ]);
    await expect(migrate(url)).rejects.toThrow(/was made by a newer version of Latchkey/);
  });

  it('not where there is none', async () => {
    await app.database.query('ALTER TABLE schema_migrations RENAME TO moved');
    expect(await readiness()).toEqual([503, 'There is no schema of Latchkey in public.']);
  });
});
