import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment } from '../support/test-app.js';

/** How old what is lost in a crash may be. */
const LOSS_MS = 10_000;

describe('a restart of the service', { timeout: 120_000 }, () => {
  let database: TestDatabase;
  let app: AppProcess;
  let key: string;

  beforeEach(async () => {
    database = await createTestDatabase();
    app = await start();
    const admin = await app.admin();
    const answer = await admin.post('/api-keys', { name: 'Limited', rate_limit_per_day: 100 });
    key = answer.body['secret_key'];
    await take(60);
  });
  afterEach(async () => {
    await app.kill9();
    await database.drop();
  });

  function start(): Promise<AppProcess> {
    return AppProcess.start(testEnvironment(database.url));
  }

  async function take(cost: number): Promise<[code: string, remaining: number]> {
    const admin = await app.admin();
    const { body } = await admin.post('/api-keys/verify', { key, cost });
    return [body['code'], body['rate_limits'][0].remaining];
  }

  it('gives nobody a second limit when it stops as told', async () => {
    expect(await app.stop()).toBe(0);
    app = await start();
    expect(await take(41)).toEqual(['RATE_LIMITED', 40]);
    expect(await take(40)).toEqual(['VALID', 0]);
  });

  it('gives nobody a second limit when it is killed, but for the last seconds', async () => {
    const isSaved = async () => (await database.query('SELECT FROM rate_windows')).length > 0;
    await vi.waitUntil(isSaved, { timeout: LOSS_MS, interval: 50 });
    await app.kill9();
    app = await start();
    expect(await take(41)).toEqual(['RATE_LIMITED', 40]);
    expect(await take(40)).toEqual(['VALID', 0]);
  });
});
