import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
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
/** How much more than in the first half may be in use in the second: caches that are not yet full. */
const SWING_MB = 4;
const MOST_RESIDENT_MB = 512;
/** Collects garbage on request, and then reports how much is in use: what is only not yet swept is no leak. */
const PROBE = `process.on('SIGUSR2', () => {
  gc();
  const { heapUsed, external, rss } = process.memoryUsage();
  console.log(JSON.stringify({ probe: { usedMb: (heapUsed + external) / 2 ** 20, residentMb: rss / 2 ** 20 } }));
});`;

interface Probe {
  readonly usedMb: number;
  readonly residentMb: number;
}

describe(
  `the memory of the service over ${EVENTS} usage events`,
  { timeout: IS_LONG ? 900_000 : 240_000 },
  () => {
    let database: TestDatabase;
    let app: AppProcess;
    let admin: ApiClient;
    beforeAll(async () => {
      database = await createTestDatabase();
      const module = `data:text/javascript,${encodeURIComponent(PROBE)}`;
      app = await AppProcess.start(testEnvironment(database.url), ['--expose-gc', '--import', module]);
      admin = await app.admin();
    });
    afterAll(async () => {
      await app.kill9();
      await database.drop();
    });

    it('is flat', async () => {
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
      const taken: Probe[] = [];
      for (let part = 1; part <= PARTS; part += 1) {
        const until = Math.round((EVENTS / BATCH) * (1 - part / PARTS));
        await Promise.all(Array.from({ length: CLIENTS }, () => report(until)));
        taken.push(await probe(app));
      }
      const used = taken.map(({ usedMb }) => usedMb);
      console.log(`MB in use after each eighth: ${used.map(Math.round).join(' ')}`);
      expect(Math.max(...used.slice(PARTS / 2))).toBeLessThan(
        Math.max(...used.slice(0, PARTS / 2)) + SWING_MB,
      );
      expect(Math.max(...taken.map(({ residentMb }) => residentMb))).toBeLessThan(MOST_RESIDENT_MB);
      const [row] = await database.query<{ requests: number }>(
        'SELECT sum(requests)::int AS requests FROM api_key_totals',
      );
      expect(row?.requests).toBe(EVENTS);
    });
  },
);

async function probe(app: AppProcess): Promise<Probe> {
  const taken = () => app.logLines().flatMap((line) => ('probe' in line ? [line['probe'] as Probe] : []));
  const before = taken().length;
  app.signal('SIGUSR2');
  await vi.waitUntil(() => taken().length > before, { timeout: 10_000, interval: 10 });
  return taken().at(-1)!;
}
