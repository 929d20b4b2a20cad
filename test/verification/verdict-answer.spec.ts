import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UTC_TIMESTAMP } from '../support/api-keys.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { newSecret } from './secrets.js';
import { act, change, codeOf, verdictOf } from './verdicts.js';

describe('the answer of verify', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('is whole for every code but NOT_FOUND, and holds nothing else', async () => {
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const key = await app.apiKey(app.admin, {
      name: 'Ünïcode "key" 🔑',
      scopes: ['chat', 'a b'],
      tags: ['prod', 'é'],
      expires_at: expiresAt,
      rate_limit_per_minute: 3,
      rate_limit_per_day: 1_000_000,
      is_unlimited: false,
      budget_limit_cents: 1_000_000_000_000,
      budget_type: 'monthly',
    });
    const now = new Date();
    const month = (step: number) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + step));
    const whole = (valid: boolean, code: string, taken: number) => ({
      valid,
      code,
      api_key_id: key.id,
      name: 'Ünïcode "key" 🔑',
      user_id: key.body['user_id'],
      scopes: ['chat', 'a b'],
      tags: ['prod', 'é'],
      expires_at: expiresAt,
      rate_limits: [
        { window: 'minute', limit: 3, remaining: 3 - taken, reset_at: expect.stringMatching(UTC_TIMESTAMP) },
        {
          window: 'day',
          limit: 1_000_000,
          remaining: 1_000_000 - taken,
          reset_at: expect.stringMatching(UTC_TIMESTAMP),
        },
      ],
      budget: {
        limit_cents: 1_000_000_000_000,
        spent_cents_decimal: '0.000000',
        held_cents_decimal: '0.000000',
        remaining_cents_decimal: '1000000000000.000000',
        period_start: month(0).toISOString(),
        period_end: month(1).toISOString(),
      },
    });
    const ask = (asked = {}) => verdictOf(app.admin, key.secret, asked);
    expect(await ask()).toEqual(whole(true, 'VALID', 1));
    expect(await ask({ scopes: ['other'] })).toEqual(whole(false, 'INSUFFICIENT_SCOPE', 1));
    expect(await ask({ cost: 2 })).toEqual(whole(true, 'VALID', 3));
    expect(await ask()).toEqual(whole(false, 'RATE_LIMITED', 3));
    await act(app, key, 'deactivate');
    expect(await ask()).toEqual(whole(false, 'DISABLED', 3));
    await act(app, key, 'delete');
    expect(await ask()).toEqual({ valid: false, code: 'NOT_FOUND' });
  });

  it('of a key that nothing was asked of is empty where nothing is set', async () => {
    const { id, secret, body } = await app.apiKey();
    expect(await verdictOf(app.admin, secret)).toEqual({
      valid: true,
      code: 'VALID',
      api_key_id: id,
      name: 'A key',
      user_id: body['user_id'],
      scopes: [],
      tags: [],
      expires_at: null,
      rate_limits: [],
      budget: null,
    });
  });

  it('counts `cost` requests: all windows together or none, and 0 only peeks', async () => {
    const { secret } = await app.apiKey(app.admin, {
      rate_limit_per_minute: 10,
      rate_limit_per_hour: 12,
      rate_limit_per_day: 100,
    });
    const ask = async (cost?: number) => {
      const { code, rate_limits: windows } = await verdictOf(app.admin, secret, { cost });
      return [code, ...(windows as { remaining: number }[]).map(({ remaining }) => remaining)];
    };
    expect(await ask(0)).toEqual(['VALID', 10, 12, 100]);
    expect(await ask()).toEqual(['VALID', 9, 11, 99]);
    expect(await ask(10)).toEqual(['RATE_LIMITED', 9, 11, 99]);
    expect(await ask(1_000_000)).toEqual(['RATE_LIMITED', 9, 11, 99]);
    expect(await ask(9)).toEqual(['VALID', 0, 2, 90]);
    expect(await ask(0)).toEqual(['RATE_LIMITED', 0, 2, 90]);
    expect(await ask(1)).toEqual(['RATE_LIMITED', 0, 2, 90]);
    // The minute passes, the hour has two left.
    app.clock.advanceSeconds(67);
    expect(await ask(3)).toEqual(['RATE_LIMITED', 10, 2, 90]);
    expect(await ask(2)).toEqual(['VALID', 8, 0, 88]);
  });

  it('says when a window that refused has room again, and otherwise when it is whole', async () => {
    const { secret } = await app.apiKey(app.admin, { rate_limit_per_minute: 2 });
    const resetIn = async (cost: number) => {
      const askedAt = app.clock.now().getTime();
      const { rate_limits: windows } = await verdictOf(app.admin, secret, { cost });
      return (Date.parse((windows as { reset_at: string }[])[0]!.reset_at) - askedAt) / 1000;
    };
    const between = (low: number, high: number) =>
      expect.toSatisfy((seconds: number) => seconds > low && seconds < high, `between ${low} and ${high}`);
    expect(await resetIn(1)).toEqual(between(59, 67));
    app.clock.advanceSeconds(30);
    expect(await resetIn(1)).toEqual(between(59, 67));
    // Room for one is there when the first has left, room for two when both have.
    expect(await resetIn(1)).toEqual(between(29, 37));
    expect(await resetIn(2)).toEqual(between(59, 67));
  });

  it('is 422 for a request that breaks the rules, each of them named, and consumes nothing', async () => {
    const { secret } = await app.apiKey(app.admin, { rate_limit_per_minute: 1 });
    const ask = (body: unknown) => app.admin.post('/api-keys/verify', body);
    expectInvalid(await ask({}), { field: 'key', message: 'is required' });
    expectInvalid(
      await ask({ key: 7, ip: 'x'.repeat(65), model: {}, scopes: [1], cost: -1, explain: 'no', more: 1 }),
      ...['key', 'ip', 'model', 'scopes[0]', 'cost', 'explain', 'more'].map((field) => ({
        field,
        message: expect.stringMatching(/\S/),
      })),
    );
    expectInvalid(
      await ask({ key: secret, cost: -1, ip: 'nowhere', hold_cents: 0 }),
      ...['cost', 'ip', 'hold_cents', 'hold_ttl_seconds'].map((field) => ({
        field,
        message: expect.stringMatching(/\S/),
      })),
    );
    for (const ip of [
      ' 10.0.0.1',
      '10.0.0.1\n',
      'fe80::1%<b>',
      '',
      'localhost',
      '300.1.1.1',
      '10.0.0.1/8',
      '1.2.3',
      '[::1]',
      '::g',
      '10.0.0.1:80',
    ]) {
      expectInvalid(await ask({ key: secret, ip }), {
        field: 'ip',
        message: 'must be an IPv4 or IPv6 address',
      });
    }
    for (const field of ['ip', 'model', 'chatbot', 'scopes', 'cost', 'explain', 'key']) {
      expectProblem(await ask({ key: secret, [field]: null }), 'validation.failed');
    }
    for (const cost of [0.5, -1, '1', 1_000_001, 1e300]) {
      expectProblem(await ask({ key: secret, cost }), 'validation.failed');
    }
    expectProblem(await ask({ key: secret, model: 'x'.repeat(201) }), 'validation.failed');
    expectProblem(
      await ask({ key: secret, scopes: Array.from({ length: 101 }, () => 'x') }),
      'validation.failed',
    );
    for (const body of [[], 'text', 1, true, null]) expectProblem(await ask(body), 'validation.failed');
    expectProblem(await app.admin.post('/api-keys/verify'), 'validation.failed');
    expectProblem(
      await app.admin.send('POST', '/api-keys/verify', { rawBody: '{"key":' }),
      'request.malformed',
    );
    expectProblem(await ask({ key: 'x'.repeat(65_536) }), 'request.body_too_large');
    expect(await codeOf(app.admin, secret)).toBe('VALID');
  });

  it.each(['key', 'ip', 'model', 'chatbot', 'scopes'])(
    'is 422 for text in %s that could not be stored',
    async (field) => {
      const { secret } = await app.apiKey(app.admin, { allowed_models: ['*'] });
      for (const text of ['a\0', '\ud800', 'a\udc00b']) {
        const answer = await app.admin.post('/api-keys/verify', {
          key: secret,
          [field]: field === 'scopes' ? [text] : text,
        });
        expectProblem(answer, 'validation.failed');
      }
    },
  );

  describe('in a batch', () => {
    const ask = (requests: readonly unknown[]) => app.admin.post('/api-keys/verify/batch', { requests });
    const repeated = (count: number, question: unknown) => ask(Array.from({ length: count }, () => question));
    const limited = (): Promise<TestApiKey> => app.apiKey(app.admin, { rate_limit_per_minute: 3 });

    it('has one verdict per request, in their order, each of which consumes on its own', async () => {
      const [first, second] = [await limited(), await limited()];
      const answer = await ask([
        { key: first.secret },
        { key: 'nonsense' },
        { key: second.secret, cost: 0 },
        { key: first.secret, cost: 2 },
        { key: newSecret() },
        { key: first.secret },
        { key: second.secret, scopes: ['x'] },
      ]);
      expect(answer.status).toBe(200);
      expect(Object.keys(answer.body)).toEqual(['verdicts']);
      const told = (answer.body['verdicts'] as Record<string, unknown>[]).map((verdict) => [
        verdict['code'],
        verdict['api_key_id'],
        (verdict['rate_limits'] as { remaining: number }[] | undefined)?.[0]?.remaining,
      ]);
      expect(told).toEqual([
        ['VALID', first.id, 2],
        ['NOT_FOUND', undefined, undefined],
        ['VALID', second.id, 3],
        ['VALID', first.id, 0],
        ['NOT_FOUND', undefined, undefined],
        ['RATE_LIMITED', first.id, 0],
        ['INSUFFICIENT_SCOPE', second.id, 3],
      ]);
    });

    it('names every rule that any of its questions breaks', async () => {
      const { secret } = await limited();
      const fieldsIn = async (requests: unknown[]) =>
        ((await ask(requests)).body['errors'] as { field: string }[]).map(({ field }) => field).toSorted();
      const bad = { key: secret, ip: 'nowhere', hold_cents: 0 };
      const badFields = (index: number) =>
        ['hold_cents', 'hold_ttl_seconds', 'ip'].map((field) => `requests[${index}].${field}`);
      expect(await fieldsIn([bad, { key: secret }, bad])).toEqual([...badFields(0), ...badFields(2)]);
      expect(await fieldsIn([bad, { key: secret, cost: -1, ip: 7 }, null])).toEqual([
        ...badFields(0),
        'requests[1].cost',
        'requests[1].ip',
        'requests[2]',
      ]);
    });

    it('takes up to a hundred, and one that breaks a rule lets none be taken', async () => {
      const key = await limited();
      const good = { key: key.secret };
      for (const broken of [{ ...good, ip: 'nowhere' }, { ...good, cost: -1 }, {}, null, { ...good, x: 1 }]) {
        expectProblem(await ask([good, good, broken]), 'validation.failed');
      }
      expectInvalid(await ask([good, { ...good, ip: 'nowhere' }]), {
        field: 'requests[1].ip',
        message: 'must be an IPv4 or IPv6 address',
      });
      expectProblem(await ask([]), 'validation.failed');
      expectProblem(await repeated(101, good), 'validation.failed');
      expect((await repeated(100, { ...good, cost: 0 })).body['verdicts']).toHaveLength(100);
      const [verdict] = (await ask([{ ...good, cost: 3 }])).body['verdicts'] as { code: string }[];
      expect(verdict!.code).toBe('VALID');
    });
  });

  describe('with `explain`', () => {
    it('has every rule in its order with what it compared, and consumes nothing', async () => {
      const key = await app.apiKey(app.admin, {
        rate_limit_per_minute: 2,
        allowed_ips: ['10.0.0.0/8'],
        allowed_models: ['gpt-*'],
        scopes: ['a'],
        is_unlimited: false,
        budget_limit_cents: 0,
      });
      const asked = { ip: '10.1.1.1', model: 'claude', scopes: ['a', 'b'], cost: 2, explain: true };
      for (let n = 0; n < 3; n += 1) {
        const { code, valid, rules, rate_limits: windows } = await verdictOf(app.admin, key.secret, asked);
        expect([code, valid]).toEqual(['MODEL_NOT_ALLOWED', false]);
        expect(
          (rules as { code: string; passed: boolean }[]).map((rule) => [rule.code, rule.passed]),
        ).toEqual([
          ['DISABLED', true],
          ['EXPIRED', true],
          ['POLICY_VIOLATION', true],
          ['IP_NOT_ALLOWED', true],
          ['MODEL_NOT_ALLOWED', false],
          ['CHATBOT_NOT_ALLOWED', true],
          ['INSUFFICIENT_SCOPE', false],
          ['BUDGET_EXCEEDED', false],
          ['RATE_LIMITED', true],
        ]);
        expect(windows).toEqual([expect.objectContaining({ remaining: 2 })]);
        const inputs = (rules as { inputs: unknown }[]).map((rule) => rule.inputs);
        expect(inputs[3]).toEqual({ allowed_ips: ['10.0.0.0/8'], ip: '10.1.1.1' });
        expect(inputs[4]).toEqual({ allowed_models: ['gpt-*'], model: 'claude' });
        expect(inputs[6]).toEqual({ scopes: ['a'], required_scopes: ['a', 'b'] });
        expect(JSON.stringify(inputs)).not.toContain(key.secret);
      }
      await change(app, key, { is_unlimited: true, scopes: ['a', 'b'] });
      const fits = { ...asked, model: 'gpt-4' };
      expect(await codeOf(app.admin, key.secret, fits)).toBe('VALID');
      expect(await codeOf(app.admin, key.secret, { ...fits, cost: 3 })).toBe('RATE_LIMITED');
      expect(await codeOf(app.admin, key.secret, { ...fits, explain: false })).toBe('VALID');
      expect(await codeOf(app.admin, key.secret, { ...fits, cost: 1 })).toBe('RATE_LIMITED');
    });

    it('is the verdict that would be given, for an unknown key as well', async () => {
      expect(await verdictOf(app.admin, newSecret(), { explain: true })).toEqual({
        valid: false,
        code: 'NOT_FOUND',
        rules: [{ code: 'NOT_FOUND', passed: false, inputs: {} }],
      });
    });

    it('may be mixed with others in a batch, and sees what was there before them', async () => {
      const { secret } = await app.apiKey(app.admin, { rate_limit_per_minute: 1 });
      const answer = await app.admin.post('/api-keys/verify/batch', {
        requests: [{ key: secret }, { key: secret, explain: true }, { key: secret }],
      });
      const verdicts = answer.body['verdicts'] as Record<string, unknown>[];
      expect(verdicts.map(({ code }) => code)).toEqual(['VALID', 'VALID', 'RATE_LIMITED']);
      expect(verdicts.map((verdict) => 'rules' in verdict)).toEqual([false, true, false]);
    });
  });
});
