import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { testEnvironment } from '../support/test-app.js';
import { newSecret } from './secrets.js';

/** For how long memory may be used without news, and how soon all is well again. */
const BOUND_MS = 5_000;
const RECOVERY_MS = 2_000;
/** How soon 503 comes, for every caller, once memory is too old. */
const REFUSAL_MS = 100;
/** What PostgreSQL has sent by then may still be news. */
const EARLY_MS = 1_500;

interface Key {
  readonly id: number;
  readonly secret: string;
}

/** One answer: when it was asked for, in milliseconds since something began, how long it took, and what it said. */
interface Told {
  readonly atMs: number;
  readonly tookMs: number;
  readonly what: string;
}

/** An instance with a way of its own to the database, and what it is asked by. */
interface Subject {
  readonly proxy: TcpProxy;
  readonly app: AppProcess;
  readonly byKey: ApiClient;
  readonly bySession: ApiClient;
}

const WAYS = [
  ['nobody listens', (proxy: TcpProxy) => proxy.refuse()],
  ['nothing passes', (proxy: TcpProxy) => proxy.blackHole()],
  ['every byte takes a second', (proxy: TcpProxy) => proxy.delay(1_000)],
] as const;

describe('PostgreSQL may go away in any way', { timeout: 60_000 }, () => {
  let database: TestDatabase;
  const subjects: Subject[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    const proxies = await Promise.all(WAYS.map(() => TcpProxy.start(database.url)));
    const apps = await Promise.all(
      proxies.map((proxy) => AppProcess.start(testEnvironment(proxy.urlOf(database.url)))),
    );
    const token = await apps[0]!.accessToken();
    const service = await newKey(apps[0]!.anonymous.withAccessToken(token), {
      scopes: ['platform:api-keys:verify'],
    });
    for (const [index, app] of apps.entries()) {
      const bySession = app.anonymous.withAccessToken(token);
      subjects.push({
        app,
        bySession,
        byKey: app.anonymous.withApiKey(service.secret),
        proxy: proxies[index]!,
      });
    }
  }, 120_000);
  afterAll(async () => {
    for (const { app, proxy } of subjects) {
      await app.kill9();
      proxy.stop();
    }
    await database.drop();
  });

  describe.each(WAYS.map(([way, fail], index) => ({ way, fail, index })))('$way:', ({ fail, index }) => {
    it.concurrent('known keys are answered, right, for at most five seconds, then 503 at once', async () => {
      const { proxy, byKey, bySession } = subjects[index]!;
      const [valid, revoked, disabled] = [
        await newKey(bySession),
        await newKey(bySession),
        await newKey(bySession),
      ];
      await bySession.post(`/api-keys/${disabled.id}/deactivate`);
      for (const client of [byKey, bySession])
        for (const { secret } of [valid, revoked]) expect(whatOf(await ask(client, secret))).toBe('VALID');
      const beganAt = performance.now();
      fail(proxy);
      // Past the proxy, as another instance would.
      await database.query('UPDATE api_keys SET is_active = false WHERE id = $1', [revoked.id]);
      const revokedAtMs = performance.now() - beganAt;
      const isAway = (told: readonly Told[]) =>
        told.length > 10 && told.slice(-10).every(({ what }) => what === '503');
      const [ofValid, ofRevoked, ofDisabled, ofMalformed, ofUnknown, toSession] = await Promise.all([
        watch(byKey, valid.secret, beganAt, isAway),
        watch(byKey, revoked.secret, beganAt, isAway),
        watch(byKey, disabled.secret, beganAt, isAway),
        watch(byKey, 'nonsense', beganAt, isAway),
        watch(byKey, newSecret(), beganAt, isAway),
        watch(bySession, valid.secret, beganAt, isAway),
      ]);
      expect(saidOf(ofValid)).toEqual(['503', 'VALID']);
      expect(saidOf(ofRevoked)).toEqual(['503', 'VALID']);
      expect(saidOf(toSession)).toEqual(['503', 'VALID']);
      expect(saidOf(ofDisabled, 'DISABLED')).toEqual(['503']);
      expect(saidOf(ofMalformed, 'NOT_FOUND')).toEqual(['503']);
      expect(saidOf(ofUnknown, 'NOT_FOUND')).toEqual(['503']);
      const lastYes = (told: readonly Told[]) => told.findLast(({ what }) => what === 'VALID')!.atMs;
      expect(lastYes(ofValid)).toBeGreaterThan(BOUND_MS - EARLY_MS);
      expect(lastYes(ofRevoked)).toBeLessThan(BOUND_MS + revokedAtMs);
      expect(usualWaitMs(ofValid)).toBeLessThan(REFUSAL_MS);
      expect(usualWaitMs(toSession)).toBeLessThan(REFUSAL_MS);

      const healedAt = performance.now();
      await proxy.pass();
      const isBack = (told: readonly Told[]) => told.length > 0 && told.at(-1)!.what !== '503';
      const [backValid, backRevoked] = await Promise.all([
        watch(byKey, valid.secret, healedAt, isBack),
        watch(byKey, revoked.secret, healedAt, isBack),
      ]);
      expect([saidOf(backValid, '503'), saidOf(backRevoked, '503')]).toEqual([['VALID'], ['DISABLED']]);
      expect(Math.max(backValid.at(-1)!.atMs, backRevoked.at(-1)!.atMs)).toBeLessThan(RECOVERY_MS);
    });
  });

  it('a connection that is reset is no outage: keys that are known stay known', async () => {
    const { proxy, byKey, bySession } = subjects[0]!;
    const { secret } = await newKey(bySession);
    expect(whatOf(await ask(byKey, secret))).toBe('VALID');
    for (let n = 0; n < 20; n += 1) {
      proxy.cut();
      expect(whatOf(await ask(byKey, secret))).toBe('VALID');
    }
  });

  it('a batch consumes nothing when it cannot answer for all', async () => {
    const { proxy, byKey, bySession } = subjects[1]!;
    const [limited, cold] = [await newKey(bySession, { rate_limit_per_hour: 10 }), await newKey(bySession)];
    expect(whatOf(await ask(byKey, limited.secret))).toBe('VALID');
    proxy.blackHole();
    const requests = [{ key: limited.secret, cost: 5 }, { key: cold.secret }];
    expect((await byKey.post('/api-keys/verify/batch', { requests })).status).toBe(503);
    await proxy.pass();
    await watch(byKey, limited.secret, 0, (told) => told.at(-1)?.what === 'VALID');
    const { body } = await byKey.post('/api-keys/verify', { key: limited.secret, cost: 0 });
    expect(body['rate_limits'][0].remaining).toBe(8);
  });
});

async function newKey(client: ApiClient, fields: Readonly<Record<string, unknown>> = {}): Promise<Key> {
  const { status, body, text } = await client.post('/api-keys', { name: 'A key', ...fields });
  if (status !== 201) throw new Error(`The key was not made: ${text}`);
  return { id: Number(body['api_key'].id), secret: String(body['secret_key']) };
}

function ask(client: ApiClient, secret: string): Promise<ApiAnswer> {
  return client.post('/api-keys/verify', { key: secret });
}

function whatOf({ status, body }: ApiAnswer): string {
  return status === 200 ? String(body['code']) : String(status);
}

/** Everything that was said but what may be left out. */
function saidOf(told: readonly Told[], ...leftOut: readonly string[]): string[] {
  const said = new Set(told.map(({ what }) => what));
  for (const what of leftOut) said.delete(what);
  return [...said].toSorted();
}

/** The median of the times that 503 took. */
function usualWaitMs(told: readonly Told[]): number {
  const waits = told.filter(({ what }) => what === '503').map(({ tookMs }) => tookMs);
  return waits.toSorted((a, b) => a - b)[waits.length >> 1] ?? Number.NaN;
}

/** Asks about a key again and again until `isOver`. */
async function watch(
  client: ApiClient,
  secret: string,
  beganAt: number,
  isOver: (told: readonly Told[]) => boolean,
): Promise<Told[]> {
  const told: Told[] = [];
  while (!isOver(told)) {
    const askedAt = performance.now();
    const what = whatOf(await ask(client, secret));
    told.push({ atMs: askedAt - beganAt, tookMs: performance.now() - askedAt, what });
  }
  return told;
}
