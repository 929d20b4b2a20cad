import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { newSecret } from './secrets.js';
import { act, type Asked, change, codeOf, settle, verdictOf } from './verdicts.js';

/** A rule, what makes a key and a request break it, and what mends that again. */
interface Fault {
  readonly code: string;
  readonly policy?: Asked;
  readonly mended?: Asked;
  readonly sql?: readonly [breaking: string, mending: string];
  readonly asked?: Asked;
}

/** In the order of the checks. */
const FAULTS: readonly Fault[] = [
  { code: 'DISABLED', policy: { is_active: false }, mended: { is_active: true } },
  {
    code: 'EXPIRED',
    sql: [
      `UPDATE api_keys SET expires_at = '2020-01-01' WHERE id = $1`,
      'UPDATE api_keys SET expires_at = NULL WHERE id = $1',
    ],
  },
  {
    code: 'IP_NOT_ALLOWED',
    policy: { allowed_ips: ['192.0.2.0/24'] },
    mended: { allowed_ips: [] },
    asked: { ip: '198.51.100.1' },
  },
  {
    code: 'MODEL_NOT_ALLOWED',
    policy: { allowed_models: ['gpt-*'] },
    mended: { allowed_models: [] },
    asked: { model: 'claude' },
  },
  {
    code: 'CHATBOT_NOT_ALLOWED',
    policy: { allowed_chatbots: ['sales'] },
    mended: { allowed_chatbots: [] },
    asked: { chatbot: 'help' },
  },
  {
    code: 'INSUFFICIENT_SCOPE',
    policy: { scopes: ['read'] },
    mended: { scopes: ['read', 'write'] },
    asked: { scopes: ['read', 'write'] },
  },
  {
    code: 'BUDGET_EXCEEDED',
    policy: { is_unlimited: false, budget_limit_cents: 0 },
    mended: { is_unlimited: true },
  },
  { code: 'RATE_LIMITED', policy: { rate_limit_per_minute: 1 }, mended: { rate_limit_per_minute: null } },
];

describe('the code of a verdict is that of the first rule that is broken', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  /** A key that has used up what one request a minute gives it, and that breaks these rules. */
  async function keyWith(faults: readonly Fault[]): Promise<TestApiKey> {
    const key = await app.apiKey(app.admin, { rate_limit_per_minute: 1 });
    expect(await codeOf(app.admin, key.secret)).toBe('VALID');
    if (!faults.some(({ code }) => code === 'RATE_LIMITED'))
      await change(app, key, { rate_limit_per_minute: null });
    for (const { sql } of faults) if (sql !== undefined) await app.database.query(sql[0], [key.id]);
    // The API asks for an expiry ahead only where it is sent.
    await change(app, key, Object.assign({ tags: ['x'] }, ...faults.map(({ policy }) => policy)));
    return key;
  }

  const askedOf = (faults: readonly Fault[]): Asked =>
    Object.assign({}, ...faults.map(({ asked }) => asked)) as Asked;

  const PAIRS = FAULTS.flatMap((first, index) =>
    FAULTS.slice(index + 1).map((second) => [first, second] as const),
  );

  it.each(PAIRS.map(([first, second]) => ({ first, second })))(
    '$first.code comes before $second.code',
    async ({ first, second }) => {
      const faults = [second, first];
      const { secret } = await keyWith(faults);
      expect(await codeOf(app.admin, secret, askedOf(faults))).toBe(first.code);
      expect(await codeOf(app.admin, secret, { ...askedOf(faults), cost: 0 })).toBe(first.code);
    },
  );

  it('and when one after the other is mended, the next is returned, to the last, and then it is valid', async () => {
    const key = await keyWith(FAULTS);
    const told: unknown[] = [];
    for (const fault of FAULTS) {
      told.push(await codeOf(app.admin, key.secret, askedOf(FAULTS)));
      if (fault.sql !== undefined) await app.database.query(fault.sql[1], [key.id]);
      await change(app, key, fault.mended ?? {});
    }
    expect(told).toEqual(FAULTS.map(({ code }) => code));
    expect(await codeOf(app.admin, key.secret, askedOf(FAULTS))).toBe('VALID');
  });

  it('and no refusal takes anything from the rate limits', async () => {
    const key = await app.apiKey(app.admin, { rate_limit_per_minute: 1, allowed_models: ['a'] });
    for (let n = 0; n < 5; n += 1) {
      expect(await codeOf(app.admin, key.secret, { model: 'b' })).toBe('MODEL_NOT_ALLOWED');
    }
    expect(await codeOf(app.admin, key.secret, { model: 'a' })).toBe('VALID');
    expect(await codeOf(app.admin, key.secret, { model: 'a' })).toBe('RATE_LIMITED');
  });

  it('and DISABLED is returned for an owner who was disabled as well', async () => {
    const owner = await app.user({ permissions: ['platform:*'] });
    const key = await app.apiKey(owner.client, { allowed_models: ['a'] });
    expect(await codeOf(app.admin, key.secret, { model: 'a' })).toBe('VALID');
    await app.admin.put(`/users/${owner.id}`, { is_active: false });
    await settle(app);
    expect(await codeOf(app.admin, key.secret)).toBe('DISABLED');
    await app.admin.put(`/users/${owner.id}`, { is_active: true });
    await settle(app);
    expect(await codeOf(app.admin, key.secret, { model: 'a' })).toBe('VALID');
  });

  it('and NOT_FOUND comes before all: unknown, malformed, deleted, and every key of a deleted owner', async () => {
    const faulty = await keyWith(FAULTS);
    await act(app, faulty, 'delete');
    const owner = await app.user({ permissions: ['platform:*'] });
    const orphan = await app.apiKey(owner.client);
    expect(await codeOf(app.admin, orphan.secret)).toBe('VALID');
    expect((await app.admin.delete(`/users/${owner.id}`)).status).toBe(200);
    await settle(app);

    const unknown = [newSecret(), newSecret('xx_'), faulty.secret, orphan.secret];
    const malformed = ['', 'x', 'en_', `${orphan.secret}x`, ` ${orphan.secret}`, 'x'.repeat(10_000), '🔑'];
    for (const secret of [...unknown, ...malformed]) {
      expect(await verdictOf(app.admin, secret, askedOf(FAULTS))).toEqual({
        valid: false,
        code: 'NOT_FOUND',
      });
    }
  });

  it.each([
    ['allowed_ips', ['0.0.0.0/0', '::/0'], 'IP_NOT_ALLOWED', 'ip', '203.0.113.1'],
    ['allowed_models', ['*'], 'MODEL_NOT_ALLOWED', 'model', ''],
    ['allowed_chatbots', ['*'], 'CHATBOT_NOT_ALLOWED', 'chatbot', 'any'],
  ])(
    'and a restriction by %s to anything refuses what is not told',
    async (field, allowed, code, input, told) => {
      const { secret } = await app.apiKey(app.admin, { [field]: allowed });
      expect(await codeOf(app.admin, secret)).toBe(code);
      expect(await codeOf(app.admin, secret, { [input]: told })).toBe('VALID');
    },
  );

  it.each([
    ['read', 'VALID'],
    ['READ', 'INSUFFICIENT_SCOPE'],
    ['read:all', 'INSUFFICIENT_SCOPE'],
    ['rea', 'INSUFFICIENT_SCOPE'],
    ['', 'INSUFFICIENT_SCOPE'],
    ['*', 'INSUFFICIENT_SCOPE'],
    ['anything', 'INSUFFICIENT_SCOPE'],
    ['chat:*', 'VALID'],
    ['chat:write', 'INSUFFICIENT_SCOPE'],
  ])('and scopes match exactly: of read and chat:*, %j is %s', async (scope, code) => {
    const { secret } = await app.apiKey(app.admin, { scopes: ['read', 'chat:*'] });
    expect(await codeOf(app.admin, secret, { scopes: [scope] })).toBe(code);
    expect(await codeOf(app.admin, secret, { scopes: ['read', scope] })).toBe(code);
  });

  it('and EXPIRED begins with the very millisecond, by the clock of the service', async () => {
    const expiresAt = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000);
    const { secret } = await app.apiKey(app.admin, { expires_at: expiresAt.toISOString() });
    // A session would end meanwhile; a key without expiry does not.
    const service = await app.apiKey(app.admin, { scopes: ['platform:api-keys:verify'] });
    const caller = app.anonymous.withApiKey(service.secret);
    const codeAt = async (ms: number) => {
      app.clock.stopAt(ms);
      return codeOf(caller, secret);
    };
    try {
      expect(await codeAt(expiresAt.getTime() - 1)).toBe('VALID');
      expect(await codeAt(expiresAt.getTime())).toBe('EXPIRED');
      // Clocks that jump lose no key and revive none for longer than they are wrong.
      expect(await codeAt(expiresAt.getTime() + 10 * 365 * 86_400_000)).toBe('EXPIRED');
      expect(await codeAt(expiresAt.getTime() - 7_200_000)).toBe('VALID');
    } finally {
      app.clock.goOn();
    }
    expect(await codeOf(app.admin, secret)).toBe('VALID');
  });
});
