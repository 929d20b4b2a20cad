import { expect, it } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase } from '../support/database.js';
import { testEnvironment } from '../support/test-app.js';

it('R5: the first admin is not made when that cannot be recorded, and is made by the next start', async () => {
  const database = await createTestDatabase();
  await database.query(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION refuse();`);
  const refused = await AppProcess.launch(testEnvironment(database.url));
  expect(await refused.exit).toBe(1);
  expect(refused.stdout + refused.stderr).toContain('refused');
  expect(await database.query('SELECT FROM users')).toEqual([]);

  await database.query('DROP TRIGGER refuse ON audit_logs');
  const app = await AppProcess.start(testEnvironment(database.url));
  expect(await database.query('SELECT user_id, action, request_id FROM audit_logs')).toEqual([
    { user_id: null, action: 'create_user', request_id: null },
  ]);
  expect((await app.admin()).baseUrl).toBe(app.baseUrl);
  expect(await app.stop()).toBe(0);
  await database.drop();
});
