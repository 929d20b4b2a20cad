import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LastUse } from '../../src/api-keys/last-use.service.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { newSecret } from './secrets.js';
import { act, codeOf } from './verdicts.js';

/** `last_used_at` may lag so far behind. */
const BOUND_MS = 60_000;

let app: TestApp;
let key: TestApiKey;
beforeAll(async () => {
  app = await TestApp.start();
  await app.database.query(`
    CREATE SEQUENCE writes;
    CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM nextval('writes'); RETURN NULL; END $$;
    CREATE TRIGGER note_write AFTER INSERT OR UPDATE ON api_key_totals FOR EACH STATEMENT EXECUTE FUNCTION note_write()`);
});
afterAll(() => app.stop());
beforeEach(async () => {
  key = await app.apiKey();
});

const use = (asked = {}) => codeOf(app.admin, key.secret, asked);
const flush = () => app.app.get(LastUse).flush();

async function lastUsedAt(): Promise<number | null> {
  const { body } = await app.admin.get(`/api-keys/${key.id}`);
  return body['last_used_at'] === null ? null : Date.parse(body['last_used_at']);
}

/** Statements that wrote to the totals of keys. */
async function writes(): Promise<number> {
  const [row] = await app.database.query<{ count: number }>(
    'SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS count FROM writes',
  );
  return row!.count;
}

describe('last_used_at', () => {
  it('is there within a minute of a valid verdict', async () => {
    const usedAt = app.clock.now().getTime();
    expect(await use()).toBe('VALID');
    await expect.poll(lastUsedAt, { timeout: BOUND_MS, interval: 250 }).not.toBeNull();
    expect((await lastUsedAt())! - usedAt).toBeGreaterThanOrEqual(0);
    expect((await lastUsedAt())! - usedAt).toBeLessThan(BOUND_MS);
  });

  it('costs one write for many verdicts on many keys', async () => {
    await flush();
    const others = await Promise.all([app.apiKey(), app.apiKey()]);
    const before = await writes();
    for (let n = 0; n < 100; n += 1) {
      await use();
      for (const { secret } of others) await codeOf(app.admin, secret);
    }
    await flush();
    // The service writes by itself as well, every 20 seconds.
    expect(await writes()).toBeLessThan(before + 5);
    expect(await lastUsedAt()).not.toBeNull();
  });

  it('is of the newest use, and never set back', async () => {
    app.clock.advanceSeconds(30);
    await use();
    const newest = app.clock.now().getTime();
    await flush();
    app.clock.advanceSeconds(-30);
    await use();
    await flush();
    expect(Math.abs((await lastUsedAt())! - newest)).toBeLessThan(10_000);
  });

  it('is no matter of refusals, looks and introspection', async () => {
    await use({ cost: 0 });
    await app.admin.send('POST', '/introspect', {
      rawBody: `token=${key.secret}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    await act(app, key, 'deactivate');
    expect(await use()).toBe('DISABLED');
    await flush();
    expect(await lastUsedAt()).toBeNull();
  });

  it('waits while the database cannot write it', async () => {
    await use();
    await app.database.query('ALTER TABLE api_key_totals RENAME TO totals_away');
    await flush();
    await app.database.query('ALTER TABLE totals_away RENAME TO api_key_totals');
    await flush();
    expect(await lastUsedAt()).not.toBeNull();
  });
});

describe('latchkey_verdicts_total', () => {
  async function counts(): Promise<Record<string, number>> {
    const { text } = await app.anonymous.get('//metrics');
    const series = [...text.matchAll(/^latchkey_verdicts_total\{code="(\w+)"\} (\d+)$/gm)];
    return Object.fromEntries(series.map(([, code, count]) => [code, Number(count)]));
  }

  it('counts each verdict once, by its code, whichever door it was asked at', async () => {
    const refusing = await Promise.all(
      [
        { allowed_ips: ['192.0.2.1'] },
        { allowed_models: ['x'] },
        { allowed_chatbots: ['x'] },
        { is_unlimited: false, budget_limit_cents: 0 },
      ].map((fields) => app.apiKey(app.admin, fields)),
    );
    const [disabled, expired, limited] = await Promise.all([
      app.apiKey(),
      app.apiKey(),
      app.apiKey(app.admin, { rate_limit_per_minute: 1 }),
    ]);
    await app.database.query('UPDATE api_keys SET expires_at = now() WHERE id = $1', [expired.id]);
    await act(app, disabled, 'deactivate');
    const before = await counts();
    for (const { secret } of [...refusing, disabled, expired, limited, limited])
      await codeOf(app.admin, secret);
    await use({ scopes: ['x'] });
    await use();
    await use({ explain: true });
    const requests = [{ key: key.secret }, { key: newSecret() }, { key: 'nonsense' }];
    await app.admin.post('/api-keys/verify/batch', { requests });
    await app.anonymous.withApiKey(key.secret).get('/forward-auth');
    await app.anonymous.withApiKey(newSecret()).get('/forward-auth');
    const after = await counts();
    const added = Object.entries(after).map(([code, count]) => [code, count - before[code]!]);
    expect(Object.fromEntries(added)).toEqual({
      VALID: 4,
      NOT_FOUND: 3,
      DISABLED: 1,
      EXPIRED: 1,
      POLICY_VIOLATION: 0,
      IP_NOT_ALLOWED: 1,
      MODEL_NOT_ALLOWED: 1,
      CHATBOT_NOT_ALLOWED: 1,
      INSUFFICIENT_SCOPE: 1,
      BUDGET_EXCEEDED: 1,
      RATE_LIMITED: 1,
    });
  });
});
