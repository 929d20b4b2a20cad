import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { auditRowsOf } from '../support/audit-trail.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

const CLAIMS: Record<string, string> = {
  'x-forwarded-for': '198.51.100.7',
  forwarded: 'for=198.51.100.7',
  'x-real-ip': '198.51.100.7',
  'x-client-ip': '198.51.100.7',
  'cf-connecting-ip': '198.51.100.7',
  'true-client-ip': '198.51.100.7',
  'x-originating-ip': '198.51.100.7',
  via: '198.51.100.7',
};

describe('the client address over HTTP', () => {
  let database: TestDatabase;
  let direct: TestApp;
  let behindProxy: TestApp;
  let attempts = 0;
  beforeAll(async () => {
    database = await createTestDatabase();
    direct = await TestApp.start({ database });
    behindProxy = await TestApp.start({ database, environment: { TRUSTED_PROXIES: '127.0.0.1,10.0.0.0/8' } });
  });
  afterAll(async () => {
    await Promise.all([direct.stop(), behindProxy.stop()]);
    await database.drop();
  });

  /** What the audit log holds of the address of a login with these headers. */
  async function recordedAddress(app: TestApp, headers: Record<string, string>): Promise<unknown> {
    // Another name each time, so that the throttle lets it through.
    const credentials = { username: `nobody-${(attempts += 1)}`, password: 'no such password' };
    const answer: ApiAnswer = await app.anonymous.post('/auth/login', credentials, headers);
    expect(answer.status).toBe(401);
    const [row] = await auditRowsOf(database, answer);
    return row!.ip_address;
  }

  it.each(Object.keys(CLAIMS))('without trusted proxies is not moved by %s', async (name) => {
    expect(await recordedAddress(direct, { [name]: CLAIMS[name]! })).toBe('127.0.0.1');
  });

  it('without trusted proxies is not moved by all of them together', async () => {
    expect(await recordedAddress(direct, CLAIMS)).toBe('127.0.0.1');
  });

  it.each(Object.keys(CLAIMS).filter((name) => name !== 'x-forwarded-for'))(
    'behind a trusted proxy is not moved by %s either',
    async (name) => {
      expect(await recordedAddress(behindProxy, { [name]: CLAIMS[name]! })).toBe('127.0.0.1');
    },
  );

  it('behind a trusted proxy is the right-most forwarded one that is no proxy', async () => {
    const forwarded = (value: string) => recordedAddress(behindProxy, { 'x-forwarded-for': value });
    expect(await forwarded('198.51.100.7')).toBe('198.51.100.7');
    expect(await forwarded('1.1.1.1, 198.51.100.7, 10.2.3.4')).toBe('198.51.100.7');
    expect(await forwarded('::ffff:198.51.100.7')).toBe('198.51.100.7');
    expect(await forwarded('2001:0DB8:0:0::7')).toBe('2001:db8::7');
  });

  it('behind a trusted proxy may be forwarded with a port, which does not count', async () => {
    const forwarded = (value: string) => recordedAddress(behindProxy, { 'x-forwarded-for': value });
    expect(await forwarded('198.51.100.7:51234')).toBe('198.51.100.7');
    expect(await forwarded('1.1.1.1:1, 198.51.100.7:2, 10.2.3.4:3')).toBe('198.51.100.7');
    expect(await forwarded('[2001:db8::7]:51234')).toBe('2001:db8::7');
  });

  it('behind a trusted proxy that forwarded no address is that of the proxy', async () => {
    expect(await recordedAddress(behindProxy, { 'x-forwarded-for': 'evil, unknown' })).toBe('127.0.0.1');
    expect(await recordedAddress(behindProxy, { 'x-forwarded-for': 'evil, 10.2.3.4' })).toBe('10.2.3.4');
  });

  it('with a port is throttled for itself: who fails from one locks nobody out at another', async () => {
    const failures = { username: `throttled-${Date.now()}`, password: 'no such password' };
    const from = (address: string) =>
      behindProxy.anonymous.post('/auth/login', failures, { 'x-forwarded-for': address });
    const statuses: number[] = [];
    for (let port = 1_000; statuses.at(-1) !== 429 && statuses.length < 50; port += 1)
      statuses.push((await from(`198.51.100.8:${port}`)).status);
    expect(statuses.at(-1)).toBe(429);
    expect((await from('198.51.100.9:1000')).status).toBe(401);
    expect((await from('[2001:db8::9]:1000')).status).toBe(401);
  });

  it('decides which API keys are usable, and is not decided by their callers', async () => {
    const scopes = ['platform:users:read'];
    const { secret } = await direct.apiKey(direct.admin, { scopes, allowed_ips: ['198.51.100.0/24'] });
    const ask = async (app: TestApp, forwardedFor: string) => {
      const client = app.anonymous.withApiKey(secret);
      return (await client.get('/users', { 'x-forwarded-for': forwardedFor })).status;
    };
    expect(await ask(direct, '198.51.100.7')).toBe(401);
    expect(await ask(behindProxy, '198.51.100.7')).toBe(200);
    expect(await ask(behindProxy, '::ffff:198.51.100.7, 10.1.1.1')).toBe(200);
    expect(await ask(behindProxy, '198.51.100.7:4711')).toBe(200);
    expect(await ask(behindProxy, '198.51.100.7, 203.0.113.1')).toBe(401);
    expect(await ask(behindProxy, '198.51.100.7, unknown')).toBe(401);
  });
});
