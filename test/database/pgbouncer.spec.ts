import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../src/database/migrate.js';
import { ControlPool, DataPlanePool, MeteringPool } from '../../src/database/pools.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { hasPgBouncer, PgBouncer } from '../support/pgbouncer.js';
import { AppProcess } from '../support/app-process.js';
import { TestApp, testEnvironment } from '../support/test-app.js';

describe.skipIf(!hasPgBouncer)('a database behind PgBouncer (skipped where it is not installed)', () => {
  let database: TestDatabase;
  let pooler: PgBouncer | undefined;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => pooler?.stop());
  afterAll(() => database.drop());

  it('works in session mode with the defaults, and every statement has its bound', async () => {
    pooler = await PgBouncer.start(database.url, 'session');
    const url = pooler.urlOf(database.url);
    await migrate(url);
    const app = await TestApp.start({ database, environment: { DATABASE_URL: url } });
    const { id, secret } = await app.apiKey();
    expect((await app.admin.post('/api-keys/verify', { key: secret })).body['code']).toBe('VALID');
    expect((await app.admin.post(`/api-keys/${id}/deactivate`)).status).toBe(200);
    expect((await app.admin.post('/api-keys/verify', { key: secret })).body['code']).toBe('DISABLED');
    expect((await app.anonymous.get('//health/ready')).status).toBe(200);
    const bounds = [
      [ControlPool, '2s'],
      [DataPlanePool, '250ms'],
      [MeteringPool, '5s'],
    ] as const;
    for (const [pool, bound] of bounds) {
      const { rows } = await app.app.get(pool).query('SHOW statement_timeout');
      expect(rows).toEqual([{ statement_timeout: bound }]);
    }
    await app.stop();
  });

  it('is where the service starts as a process of its own, and answers', async () => {
    pooler = await PgBouncer.start(database.url, 'session');
    const app = await AppProcess.launch(testEnvironment(pooler.urlOf(database.url)));
    await app.ready();
    expect((await app.anonymous.get('//health/ready')).status).toBe(200);
    expect((await (await app.admin()).get('/api-keys')).status).toBe(200);
    expect(await app.stop()).toBe(0);
  });

  it.each(['transaction', 'statement'] as const)(
    'is refused at the start in %s mode, in one sentence',
    async (mode) => {
      pooler = await PgBouncer.start(database.url, mode);
      const app = await AppProcess.launch(testEnvironment(pooler.urlOf(database.url)));
      expect(await app.exit).toBe(1);
      const sentences = app.logLines().filter(({ level }) => level === 'fatal');
      expect(sentences.map(({ msg }) => msg)).toEqual([
        expect.stringMatching(/^DATABASE_URL leads through a pooler .*\.$/),
      ]);
      await expect(migrate(pooler.urlOf(database.url))).rejects.toThrow(
        /^DATABASE_URL leads through a pooler that changes the session between transactions .*\.$/,
      );
      // One that is the service's alone is refused as well, before the owner's schema is touched.
      await expect(migrate(database.url, pooler.urlOf(database.url))).rejects.toThrow(
        /^DATABASE_URL leads through/,
      );
      await expect(migrate(pooler.urlOf(database.url), database.url)).rejects.toThrow(
        /^DATABASE_MIGRATION_URL leads through/,
      );
    },
  );
});
