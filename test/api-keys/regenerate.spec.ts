import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { currentSecretBody, isAccepted, ownerOfKeys, storedKey, untilAnswered } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { writeTotals } from '../support/usage-rows.js';

const WEEK_SECONDS = 604_800;

describe('POST /api-keys/{id}/regenerate', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const regenerate = ({ id }: TestApiKey, body?: unknown) =>
    app.admin.post(`/api-keys/${id}/regenerate`, body);
  const accepted = (...secrets: string[]) => Promise.all(secrets.map((secret) => isAccepted(app, secret)));

  it('answers the same key with a new secret, and one audit row with the name', async () => {
    const { owner, key } = await ownerOfKeys(app, 1, {
      name: 'Kept',
      tags: ['kept'],
      rate_limit_per_day: 9,
    });
    await writeTotals(app.database, key.id, {
      requests: 5,
      tokens: 50,
      costMicroCents: 500n,
      lastUsedAt: '2026-11-22T08:12:00Z',
    });
    const before = (await app.admin.get(`/api-keys/${key.id}`)).body;
    const answer = await owner.client.post(`/api-keys/${key.id}/regenerate`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const secret: string = answer.body['secret_key'];
    expect(secret).toMatch(/^en_[0-9A-Za-z]{38}$/);
    expect(secret).not.toBe(key.secret);
    expect(answer.body).toStrictEqual({
      api_key: {
        ...before,
        key_prefix: secret.slice(0, 8),
        updated_at: expect.any(String),
        secrets: [currentSecretBody({ key_prefix: secret.slice(0, 8) })],
      },
      secret_key: secret,
    });
    await expectOneAuditRow(app.database, answer, {
      action: 'regenerate_api_key',
      resource_type: 'api_key',
      resource_id: String(key.id),
      user_id: owner.id,
      details: { name: 'Kept' },
    });
  });

  it.each([[undefined], [{}], [{ grace_period_seconds: 0 }]])(
    'ends the old secret at once with the body %j',
    async (body) => {
      const key = await app.apiKey();
      const { body: issued } = await regenerate(key, body);
      expect(await accepted(key.secret, issued['secret_key'])).toEqual([false, true]);
    },
  );

  it('keeps both secrets valid until the grace period has passed, and not a moment longer', async () => {
    const key = await app.apiKey();
    const answer = await regenerate(key, { grace_period_seconds: WEEK_SECONDS });
    const secrets: [string, string] = [key.secret, answer.body['secret_key']];
    await expectOneAuditRow(app.database, answer, {
      details: { name: 'A key', grace_period_seconds: WEEK_SECONDS },
    });
    expect(await accepted(...secrets)).toEqual([true, true]);
    app.clock.advanceSeconds(WEEK_SECONDS - 60);
    expect(await accepted(...secrets)).toEqual([true, true]);
    app.clock.advanceSeconds(60);
    expect(await accepted(...secrets)).toEqual([false, true]);
  });

  it('ends all earlier secrets at once without a grace period, retiring ones too', async () => {
    const key = await app.apiKey();
    const second = await regenerate(key, { grace_period_seconds: 600 });
    const third = await regenerate(key, { grace_period_seconds: 600 });
    const secrets = [key.secret, second.body['secret_key'], third.body['secret_key']];
    expect(await accepted(...secrets)).toEqual([true, true, true]);
    const fourth = await regenerate(key);
    expect(await accepted(...secrets, fourth.body['secret_key'])).toEqual([false, false, false, true]);
  });

  it('keeps one current secret and at most five retiring ones, however many come at once', async () => {
    const key = await app.apiKey();
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => untilAnswered(() => regenerate(key, { grace_period_seconds: 600 }))),
    );
    const done = answers.filter(({ status }) => status === 200);
    expect(done).toHaveLength(5);
    for (const answer of answers.filter(({ status }) => status !== 200))
      expectProblem(answer, 'api_key.too_many_secrets');
    const secrets = done.map(({ body }) => String(body['secret_key']));
    expect(new Set(secrets).size).toBe(5);
    expect(await accepted(key.secret, ...secrets)).toEqual([true, true, true, true, true, true]);
    const { body } = await app.admin.get(`/api-keys/${key.id}`);
    expect(body['secrets']).toHaveLength(6);
    expect(secrets.some((secret) => secret.startsWith(body['key_prefix']))).toBe(true);
  });

  it('never revives a key that is inactive', async () => {
    const key = await app.apiKey();
    await app.admin.post(`/api-keys/${key.id}/deactivate`);
    const { status, body } = await regenerate(key, { grace_period_seconds: 600 });
    expect(status).toBe(200);
    expect(body['api_key'].is_active).toBe(false);
    expect(await accepted(key.secret, body['secret_key'])).toEqual([false, false]);
  });

  it('leaves nothing of a secret that retired hours ago once the job has run', async () => {
    const key = await app.apiKey();
    await regenerate(key, { grace_period_seconds: 600 });
    await app.database.query(
      `UPDATE api_key_secrets SET retires_at = now() - interval '3 hours' WHERE retires_at IS NOT NULL`,
    );
    await app.app.get(Maintenance).runNow('expire-retired-secrets');
    expect(await storedKey(app, key.id)).toMatchObject({ secrets: [{ retires_at: null }] });
  });

  it.each([-1, WEEK_SECONDS + 1, 0.5, '60', null, true, [], {}, 1e300])(
    'refuses a grace period of %j and changes nothing',
    async (value) => {
      const key = await app.apiKey();
      const before = await storedKey(app, key.id);
      const answer = await regenerate(key, { grace_period_seconds: value });
      const message = value === null ? 'must not be null' : 'must be a whole number from 0 to 604800';
      expectInvalid(answer, { field: 'grace_period_seconds', message });
      expect(await storedKey(app, key.id)).toEqual(before);
    },
  );

  it('refuses other properties, bodies that are no objects and bodies over 64 kB', async () => {
    const key = await app.apiKey();
    const before = await storedKey(app, key.id);
    expectInvalid(
      await regenerate(key, { secret_key: 'en_mine', id: 1 }),
      {
        field: 'secret_key',
        message: 'is not a known property',
      },
      { field: 'id', message: 'is not a known property' },
    );
    expectInvalid(await regenerate(key, []), { field: 'body', message: 'must be a JSON object' });
    const path = `/api-keys/${key.id}/regenerate`;
    const rawBody = `{}${' '.repeat(65_536)}`;
    expectProblem(await app.admin.send('POST', path, { rawBody }), 'request.body_too_large');
    expectProblem(await app.admin.send('POST', path, { rawBody: '{' }), 'request.malformed');
    expect(await storedKey(app, key.id)).toEqual(before);
  });
});
