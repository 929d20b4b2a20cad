import { afterEach, describe, expect, it } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { DataDirectory } from '../support/data-directory.js';
import { testEnvironment } from '../support/test-app.js';

const apps: AppProcess[] = [];
const databases: TestDatabase[] = [];

describe('instances that start together', () => {
  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.kill9()));
    await Promise.all(databases.splice(0).map((database) => database.drop()));
  });

  it('over one empty database all become ready; each migration runs once and one admin is made', async () => {
    const database = await emptyDatabase();
    const directory = await DataDirectory.make();
    const { ADMIN_PASSWORD: _chosen, ...settings } = testEnvironment(database.url);
    const environment = { ...settings, LOG_FORMAT: 'pretty', DATA_DIR: directory.path };
    const started = await Promise.all([start(environment), start(environment), start(environment)]);

    const migrations = await database.query<{ name: string }>('SELECT name FROM schema_migrations');
    expect(new Set(migrations.map(({ name }) => name)).size).toBe(migrations.length);
    expect(migrations.length).toBeGreaterThan(0);
    expect(await database.query('SELECT username, role FROM users')).toEqual([
      { username: 'admin', role: 'admin' },
    ]);
    expect(
      await database.query(`SELECT user_id, success FROM audit_logs WHERE action = 'create_user'`),
    ).toEqual([{ user_id: null, success: true }]);

    const passwords = started.flatMap(({ stdout }) => /Password: (\S+)/.exec(stdout)?.[1] ?? []);
    expect(passwords).toHaveLength(1);
    for (const app of started) {
      const admin = await app.admin(passwords[0]);
      expect((await admin.get('/api-keys')).status).toBe(200);
    }
    await directory.remove();
  });

  it('make one admin, however long that takes', async () => {
    const database = await createTestDatabase();
    databases.push(database);
    await database.query(`
      CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_sleep(1.6); RETURN NULL; END $$;
      CREATE TRIGGER be_slow AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION be_slow();`);
    const environment = testEnvironment(database.url);
    await Promise.all([start(environment), start(environment), start(environment)]);

    expect(await database.query('SELECT username FROM users')).toEqual([{ username: 'admin' }]);
    expect(await database.query('SELECT action FROM audit_logs')).toEqual([{ action: 'create_user' }]);
  });

  it('over one empty DATA_DIR share its server and its secrets, and the last to stop stops the server', async () => {
    const directory = await DataDirectory.make();
    const environment = {
      DATA_DIR: directory.path,
      BCRYPT_COST: '4',
      ADMIN_PASSWORD: 'a long admin passphrase',
    };
    const [first, second] = await Promise.all([start(environment), start(environment)]);
    const created = await (
      await first.admin()
    ).post('/api-keys', { name: 'shared', scopes: ['platform:api-keys:read'] });

    const answer = await second.anonymous.withApiKey(created.body['secret_key']).get('/auth/me');
    expect(answer.status).toBe(200);
    expect(await first.stop()).toBe(0);
    expect(await directory.postgresPid()).toBeDefined();
    expect((await (await second.admin()).get('/api-keys')).body['total']).toBe(1);
    expect(await second.stop()).toBe(0);
    expect(await directory.postgresPid()).toBeUndefined();
    await directory.remove();
  });

  it('let a migration take longer than any statement of a request may', async () => {
    const database = await emptyDatabase();
    await database.query(`
      CREATE FUNCTION be_slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2.6); END $$;
      CREATE EVENT TRIGGER slow_extension ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION')
        EXECUTE FUNCTION be_slow();`);
    const [app] = await Promise.all([
      start(testEnvironment(database.url)),
      start(testEnvironment(database.url)),
    ]);

    expect((await (await app.admin()).get('/api-keys')).status).toBe(200);
  });
});

async function start(environment: Record<string, string>): Promise<AppProcess> {
  const app = await AppProcess.launch(environment);
  apps.push(app);
  await app.ready();
  return app;
}

async function emptyDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase({ isEmpty: true });
  databases.push(database);
  return database;
}
