import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilAnswered } from '../support/api-keys.js';
import { TestApp } from '../support/test-app.js';

const CHANGES = 50;

/** Of each field the value that the n-th change sets: no two changes set the same. */
const VALUE_OF: Readonly<Record<string, (n: number) => unknown>> = {
  name: (n) => `name ${n}`,
  description: (n) => `description ${n}`,
  scopes: (n) => [`app:${n}`],
  expires_at: (n) => new Date(Date.UTC(2999, 0, n)).toISOString(),
  rate_limit_per_minute: (n) => n,
  rate_limit_per_hour: (n) => n,
  rate_limit_per_day: (n) => n,
  allowed_ips: (n) => [`192.0.2.${n}`],
  allowed_models: (n) => [`model ${n}`],
  allowed_chatbots: (n) => [`chatbot ${n}`],
  budget_limit_cents: (n) => n,
  tags: (n) => [`tag ${n}`],
};
const FIELDS = Object.keys(VALUE_OF);

/** A different subset of the fields for each n: the binary digits of n choose. */
function changeOf(n: number): Record<string, unknown> {
  const fields = FIELDS.filter(
    (_, index) => ((n * 2_654_435_761) >>> (index + 8)) & 1 || n % FIELDS.length === index,
  );
  return Object.fromEntries(fields.map((field) => [field, VALUE_OF[field]?.(n)]));
}

interface UpdateDetails {
  readonly before_values: Record<string, unknown>;
  readonly after_values: Record<string, unknown>;
}

/**
 * Every field was replaced value by value: each value that a change set, but the last, was the one that exactly
 * one later change found. A change that worked on an old copy would have found a value that another had replaced.
 */
function expectUnbrokenHistory(
  first: Record<string, unknown>,
  last: Record<string, unknown>,
  history: UpdateDetails[],
) {
  for (const field of FIELDS) {
    const steps = history.filter(({ after_values: after }) => field in after);
    const nextOf = new Map(
      steps.map(({ before_values: before, after_values: after }) => [
        JSON.stringify(before[field]),
        after[field],
      ]),
    );
    expect(nextOf.size).toBe(steps.length);
    let value = first[field];
    for (const _step of steps) value = nextOf.get(JSON.stringify(value));
    expect({ field, value }).toEqual({ field, value: last[field] });
  }
}

describe('PUT /api-keys/{id} by many at once', () => {
  let app: TestApp;
  let second: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
    second = await TestApp.start({ database: app.database });
  });
  afterAll(async () => {
    await second.stop();
    await app.stop();
  });

  it.each([
    ['one instance', () => [app]],
    ['two instances on one database', () => [app, second]],
  ])('on %s loses none of the changed fields', async (_name, instances) => {
    const start = { is_unlimited: false, budget_limit_cents: 1_000, budget_type: 'total' };
    const { id, body: first } = await app.apiKey(app.admin, start);
    const answers = await Promise.all(
      Array.from({ length: CHANGES }, async (_, index) => {
        const n = index + 1;
        const instance = instances()[n % instances().length] ?? app;
        const answer = await untilAnswered(() => instance.admin.put(`/api-keys/${id}`, changeOf(n)));
        return { n, answer };
      }),
    );
    for (const { n, answer } of answers) {
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject(changeOf(n));
    }
    const last = await app.admin.get(`/api-keys/${id}`);
    expect(last.headers.get('etag')).toBe(`"${1 + CHANGES}"`);
    const versions = answers.map(({ answer }) => answer.headers.get('etag'));
    expect(new Set(versions).size).toBe(CHANGES);

    const history = await app.database.query<{ details: UpdateDetails }>(
      `SELECT details FROM audit_logs WHERE action = 'update_api_key' AND resource_id = $1`,
      [String(id)],
    );
    expect(history).toHaveLength(CHANGES);
    expectUnbrokenHistory(
      first,
      last.body,
      history.map(({ details }) => details),
    );
    expect(last.body).toMatchObject({ is_unlimited: false, budget_type: 'total', is_active: true });
  });

  it('with other changes of the same key loses neither', async () => {
    const { id } = await app.apiKey();
    const path = `/api-keys/${id}`;
    const [renamed, deactivated, regenerated] = await Promise.all([
      untilAnswered(() => app.admin.put(path, { name: 'Renamed' })),
      untilAnswered(() => second.admin.post(`${path}/deactivate`)),
      untilAnswered(() => app.admin.post(`${path}/regenerate`)),
      untilAnswered(() => second.admin.put(path, { tags: ['kept'] })),
    ]);
    expect([renamed.status, deactivated.status, regenerated.status]).toEqual([200, 200, 200]);
    const { body, headers } = await app.admin.get(path);
    expect(body).toMatchObject({
      name: 'Renamed',
      tags: ['kept'],
      is_active: false,
      key_prefix: regenerated.body['secret_key'].slice(0, 8),
    });
    expect(headers.get('etag')).toBe('"5"');
  });

  it('and a delete ends with the key gone, whichever came first', async () => {
    const { id } = await app.apiKey();
    const [deleted, ...updated] = await Promise.all([
      untilAnswered(() => second.admin.delete(`/api-keys/${id}`)),
      ...Array.from({ length: 10 }, (_, n) =>
        untilAnswered(() => app.admin.put(`/api-keys/${id}`, { name: `Name ${n}` })),
      ),
    ]);
    expect(deleted?.status).toBe(200);
    for (const { status } of updated) expect([200, 404]).toContain(status);
    expect((await app.admin.get(`/api-keys/${id}`)).status).toBe(404);
  });
});
