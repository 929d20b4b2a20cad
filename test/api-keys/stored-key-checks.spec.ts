import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp, testEnvironment } from '../support/test-app.js';

const ANOTHER = 'another_pepper_that_is_long_enough_for_it';
const FIRST = testEnvironment('')['API_KEY_PEPPERS']!;

describe('a start on keys that were made with other settings', () => {
  let database: TestDatabase;
  let secret: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    const app = await TestApp.start({ database });
    ({ secret } = await app.apiKey());
    await app.stop();
  });
  afterAll(() => database.drop());

  const start = (environment: Record<string, string>) => TestApp.start({ database, environment });

  it('is refused, in one sentence, with another pepper under a known version', async () => {
    const app = await AppProcess.launch({
      ...testEnvironment(database.url),
      API_KEY_PEPPERS: `1:${ANOTHER}`,
    });
    expect(await app.exit).toBe(1);
    const sentences = app.logLines().filter(({ level }) => level === 'fatal');
    expect(sentences.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(/^API_KEY_PEPPERS holds another secret under version 1 than .*\.$/),
    ]);
    expect(app.stdout + app.stderr).not.toContain(ANOTHER);
  });

  it('goes on with the same pepper, and with a new one in front under a version of its own', async () => {
    for (const peppers of [FIRST, `2:${ANOTHER},${FIRST}`, FIRST]) {
      const app = await start({ API_KEY_PEPPERS: peppers });
      expect((await app.admin.post('/api-keys/verify', { key: secret })).body['valid']).toBe(true);
      await app.stop();
    }
    await expect(start({ API_KEY_PEPPERS: `2:${ANOTHER}x,${FIRST}` })).rejects.toThrow(/under version 2/);
  });

  it('names a pepper that keys need and that is gone, and prefixes of keys that are not known', async () => {
    const app = await AppProcess.start({
      ...testEnvironment(database.url),
      API_KEY_PEPPERS: `2:${ANOTHER}`,
      API_KEY_PREFIX: 'new_',
      LOG_LEVEL: 'warn',
    });
    await expect
      .poll(() => app.logLines().map(({ msg }) => msg), { timeout: 30_000 })
      .toEqual(
        expect.arrayContaining([
          'API keys whose pepper is missing from API_KEY_PEPPERS can never be verified: version 1.',
          'API keys whose prefix is neither API_KEY_PREFIX nor one of API_KEY_FORMER_PREFIXES are refused: en_ (1).',
        ]),
      );
    expect(await app.stop()).toBe(0);
  });

  it('says nothing of prefixes that are known, former ones too', async () => {
    const app = await AppProcess.start({
      ...testEnvironment(database.url),
      API_KEY_PEPPERS: `2:${ANOTHER},${FIRST}`,
      API_KEY_PREFIX: 'new_',
      API_KEY_FORMER_PREFIXES: 'en_',
      LOG_LEVEL: 'warn',
    });
    expect(await app.stop()).toBe(0);
    expect(app.stdout).not.toContain('API keys whose');
  });
});
