import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../support/test-app.js';
import { withChecksum } from './secrets.js';
import { act, change, codeOf, settle, verdictOf } from './verdicts.js';

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const NEARLY = 10_000;
const IN_A_BATCH = 100;

describe('a key is found by the whole of its secret and by nothing less', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  async function codesOf(secrets: readonly string[]): Promise<Set<string>> {
    const codes = new Set<string>();
    for (let start = 0; start < secrets.length; start += IN_A_BATCH) {
      const requests = secrets.slice(start, start + IN_A_BATCH).map((key) => ({ key }));
      const answer = await app.admin.post('/api-keys/verify/batch', { requests });
      expect(answer.status).toBe(200);
      for (const { code } of answer.body['verdicts'] as { code: string }[]) codes.add(code);
    }
    return codes;
  }

  it('none of ten thousand that share its beginning or its end is accepted, from memory or not', async () => {
    const { secret } = await app.apiKey();
    expect(await codeOf(app.admin, secret)).toBe('VALID');
    const nearly = new Set<string>();
    for (let n = 0; nearly.size < NEARLY; n += 1) {
      // One character of the random part is another, or some are; most with the checksum that makes it well-formed.
      const at = 3 + (n % 32);
      const other = DIGITS[(DIGITS.indexOf(secret[at]!) + 1 + (n % 61)) % 62]!;
      const changed = secret.slice(0, at) + other + secret.slice(at + 1);
      const beginning =
        secret.slice(0, 3 + (n % 30)) +
        String(n)
          .padStart(32, '0')
          .slice(-(32 - (n % 30)));
      nearly.add(n % 5 === 0 ? changed : withChecksum((n % 2 === 0 ? beginning : changed).slice(0, 35)));
    }
    nearly.delete(secret);
    expect(await codesOf([...nearly])).toEqual(new Set(['NOT_FOUND']));
    await app.database.query(`INSERT INTO change_feed (kind) VALUES ('everything')`);
    await settle(app);
    expect(await codesOf([...nearly].slice(0, 1_000))).toEqual(new Set(['NOT_FOUND']));
    expect(await codeOf(app.admin, secret)).toBe('VALID');
  });

  it('of two keys whose secrets begin alike each has its own verdict', async () => {
    const [first, second] = [await app.apiKey(), await app.apiKey()];
    await app.database.query(
      'UPDATE api_keys SET key_prefix = (SELECT key_prefix FROM api_keys WHERE id = $1) WHERE id = $2',
      [first.id, second.id],
    );
    await act(app, second, 'deactivate');
    const of = async (secret: string) => {
      const { api_key_id: id, code } = await verdictOf(app.admin, secret);
      return [id, code];
    };
    expect(await of(first.secret)).toEqual([first.id, 'VALID']);
    expect(await of(second.secret)).toEqual([second.id, 'DISABLED']);
  });

  it('after a regenerate the old secret is NOT_FOUND, from memory too, and the new one is the same key', async () => {
    const key = await app.apiKey();
    expect(await codeOf(app.admin, key.secret)).toBe('VALID');
    const { body } = await act(app, key, 'regenerate');
    expect(await verdictOf(app.admin, key.secret)).toEqual({ valid: false, code: 'NOT_FOUND' });
    expect(await verdictOf(app.admin, body['secret_key'])).toMatchObject({
      code: 'VALID',
      api_key_id: key.id,
    });
  });

  it('with a grace both secrets are valid until its very end, and then only the new one', async () => {
    const key = await app.apiKey();
    const answer = await app.admin.post(`/api-keys/${key.id}/regenerate`, { grace_period_seconds: 3_600 });
    const current = String(answer.body['secret_key']);
    await settle(app);
    const codes = async () => [await codeOf(app.admin, key.secret), await codeOf(app.admin, current)];
    expect(await codes()).toEqual(['VALID', 'VALID']);
    app.clock.advanceSeconds(3_590);
    expect(await codes()).toEqual(['VALID', 'VALID']);
    app.clock.advanceSeconds(11);
    expect(await codes()).toEqual(['NOT_FOUND', 'VALID']);
    // Not from memory alone.
    await change(app, key, { tags: ['x'] });
    expect(await codes()).toEqual(['NOT_FOUND', 'VALID']);
    app.clock.advanceSeconds(-3_601);
    expect(await codes()).toEqual(['VALID', 'VALID']);
  });

  it('a regenerate within the grace of an earlier one leaves each secret until its own time', async () => {
    const key = await app.apiKey();
    const secrets = [key.secret];
    for (let n = 0; n < 2; n += 1) {
      const answer = await app.admin.post(`/api-keys/${key.id}/regenerate`, { grace_period_seconds: 3_600 });
      secrets.push(String(answer.body['secret_key']));
    }
    await settle(app);
    const codes = await Promise.all(secrets.map((secret) => codeOf(app.admin, secret)));
    expect(codes).toEqual(['VALID', 'VALID', 'VALID']);
    app.clock.advanceSeconds(3_601);
    expect(await Promise.all(secrets.map((secret) => codeOf(app.admin, secret)))).toEqual([
      'NOT_FOUND',
      'NOT_FOUND',
      'VALID',
    ]);
    app.clock.advanceSeconds(-3_601);
  });

  it('rate limits belong to the key: neither a new secret nor another policy gives anything back', async () => {
    const key = await app.apiKey(app.admin, { rate_limit_per_minute: 3, rate_limit_per_day: 100 });
    const remaining = async (secret: string, cost: number) => {
      const { code, rate_limits: windows } = await verdictOf(app.admin, secret, { cost });
      return [code, ...(windows as { remaining: number }[]).map((window) => window.remaining)];
    };
    expect(await remaining(key.secret, 3)).toEqual(['VALID', 0, 97]);
    const answer = await app.admin.post(`/api-keys/${key.id}/regenerate`, { grace_period_seconds: 60 });
    await settle(app);
    const secret = String(answer.body['secret_key']);
    expect(await remaining(secret, 1)).toEqual(['RATE_LIMITED', 0, 97]);
    expect(await remaining(key.secret, 1)).toEqual(['RATE_LIMITED', 0, 97]);
    await change(app, key, { name: 'Another name', scopes: ['x'] });
    expect(await remaining(secret, 1)).toEqual(['RATE_LIMITED', 0, 97]);
    await change(app, key, { rate_limit_per_minute: 4 });
    expect(await remaining(secret, 1)).toEqual(['VALID', 0, 96]);
    await change(app, key, { rate_limit_per_minute: 2 });
    expect(await remaining(secret, 0)).toEqual(['RATE_LIMITED', 0, 96]);
    await change(app, key, { rate_limit_per_minute: null });
    await change(app, key, { rate_limit_per_minute: 4 });
    expect(await remaining(secret, 1)).toEqual(['RATE_LIMITED', 0, 96]);
    await act(app, key, 'deactivate');
    await act(app, key, 'activate');
    expect(await remaining(secret, 1)).toEqual(['RATE_LIMITED', 0, 96]);
  });
});
