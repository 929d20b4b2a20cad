import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const EVENTS = IS_LONG ? 1_000_000 : 200_000;
const BATCH = 500;
const CLIENTS = 4;
const KEYS = 20;
const PARTS = 8;
/** How much more than in the first half the process may take in the second: what the heap swings by between two sweeps. */
const SWING_MB = 48;

describe(
  `the memory of the service over ${EVENTS} usage events`,
  { timeout: IS_LONG ? 900_000 : 240_000 },
  () => {
    let database: TestDatabase;
    let app: AppProcess;
    let admin: ApiClient;
    beforeAll(async () => {
      database = await createTestDatabase();
      app = await AppProcess.start(testEnvironment(database.url), ['--max-semi-space-size=4']);
      admin = await app.admin();
    });
    afterAll(async () => {
      await app.kill9();
      await database.drop();
    });

    it.runIf(process.platform === 'linux')('is flat', async () => {
      const keys: number[] = [];
      for (let made = 0; made < KEYS; made += 1) {
        keys.push(Number((await admin.post('/api-keys', { name: 'used' })).body['api_key'].id));
      }
      let left = EVENTS / BATCH;
      const report = async (until: number): Promise<void> => {
        while (left > until) {
          left -= 1;
          const turn = left;
          const events = Array.from({ length: BATCH }, (_value, index) =>
            usageEvent(keys[(turn + index) % KEYS]!),
          );
          expect((await admin.post('/usage', events)).body).toMatchObject({ accepted: BATCH });
        }
      };
      const taken: number[] = [];
      for (let part = 1; part <= PARTS; part += 1) {
        const until = Math.round((EVENTS / BATCH) * (1 - part / PARTS));
        await Promise.all(Array.from({ length: CLIENTS }, () => report(until)));
        taken.push(await residentMegabytes(app.pid));
      }
      console.log(`Resident MB after each eighth: ${taken.map(Math.round).join(' ')}`);
      const most = (values: readonly number[]) => Math.max(...values);
      expect(most(taken.slice(PARTS / 2))).toBeLessThan(most(taken.slice(0, PARTS / 2)) + SWING_MB);
      const [row] = await database.query<{ requests: number }>(
        'SELECT sum(requests)::int AS requests FROM api_key_totals',
      );
      expect(row?.requests).toBe(EVENTS);
    });
  },
);

async function residentMegabytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}
