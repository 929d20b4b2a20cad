import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { DataDirectory } from '../support/data-directory.js';

const STRONG = 'V3ry-str0ng-and-r4ndom-for-these-tests';

describe('a start with a weak configuration', () => {
  let database: TestDatabase;
  let dataDirectory: DataDirectory;
  beforeAll(async () => {
    database = await createTestDatabase();
    dataDirectory = await DataDirectory.make();
    // Builds the service where `npm test` has not done so already.
    await outcome({ JWT_SECRET: '' });
  }, 180_000);
  afterAll(async () => {
    await dataDirectory.remove();
    await database.drop();
  });

  /** How the service ended, and what it said. */
  async function outcome(environment: Record<string, string>) {
    const app = await AppProcess.launch({
      NODE_ENV: 'production',
      DATABASE_URL: database.url,
      DATA_DIR: dataDirectory.path,
      JWT_SECRET: STRONG,
      API_KEY_PEPPERS: `1:${STRONG}`,
      ...environment,
    });
    const exit = await app.exit;
    const said = app
      .logLines()
      .map(({ msg }) => String(msg))
      .join('\n');
    return { exit, said: said + app.stderr };
  }

  it.each(['JWT_SECRET', 'API_KEY_PEPPERS'])('fails in production without %s, and says so', async (name) => {
    const { exit, said } = await outcome({ [name]: '' });
    expect(exit).toBe(1);
    expect(said).toContain(`${name} must be set in production.`);
    expect(said).not.toContain(STRONG);
  });

  it('fails with every problem listed, and no value, no stack', async () => {
    const weak = 'change-me-hunter2-change-me-hunter2-change-me';
    const { exit, said } = await outcome({
      JWT_SECRET: weak,
      API_KEY_PEPPERS: `1:${weak},2:hunter2`,
      ADMIN_PASSWORD: 'hunter2',
      DATABASE_URL: 'mysql://hunter2@db',
      BCRYPT_COST: '4',
    });
    expect(exit).toBe(1);
    const named = said.match(/^ {2}- \w+/gm)?.map((line) => line.slice(4));
    expect(named).toEqual(
      expect.arrayContaining([
        'DATABASE_URL',
        'ADMIN_PASSWORD',
        'BCRYPT_COST',
        'JWT_SECRET',
        'API_KEY_PEPPERS',
      ]),
    );
    expect(said).not.toContain('hunter2');
    expect(said).not.toMatch(/^\s+at /m);
    expect(said).not.toContain('Latchkey is ready');
  });

  it('fails where the password of the first admin is one of the commonest', async () => {
    const { exit, said } = await outcome({ ADMIN_PASSWORD: 'password1234' });
    expect(exit).toBe(1);
    expect(said).toContain('ADMIN_PASSWORD is one of the most common passwords');
    expect(said).not.toContain('password1234');
  });
});
