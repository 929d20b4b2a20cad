import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { expectProblem } from '../support/problems.js';
import { ADMIN, TestApp } from '../support/test-app.js';

const NDJSON = { accept: 'application/x-ndjson' };

let app: TestApp;
beforeAll(async () => {
  app = await TestApp.start();
});
afterAll(() => app.stop());

async function logs(query: string): Promise<ApiAnswer['body'][]> {
  return (await app.admin.get(`/audit-logs?${query}`)).body['audit_logs'];
}

async function allPages(query: string): Promise<string[]> {
  const ids: string[] = [];
  let cursor = '';
  do {
    const { body } = await app.admin.get(`/audit-logs?${query}${cursor}`);
    ids.push(...body['audit_logs'].map((row: ApiAnswer['body']) => row['id']));
    cursor = body['next_cursor'] === null ? '' : `&cursor=${String(body['next_cursor'])}`;
  } while (cursor !== '');
  return ids;
}

/** Rows of an action of their own, so that a test can select exactly them; `createdAt` is SQL over the row's number `i`. */
async function insertRows(
  action: string,
  count: number,
  createdAt: string,
  details = `'{}'::jsonb`,
): Promise<void> {
  await app.database.query(
    `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
     SELECT gen_random_uuid(), ${createdAt}, $1, 'test', ${details}, true FROM generate_series(0, $2 - 1) AS i`,
    [action, count],
  );
}

/** Makes the database refuse rows of requests with this id, as long as `work` takes. */
async function whileRefusing(requestId: string, work: () => Promise<void>): Promise<void> {
  await app.database.query(`
    CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.request_id = '${requestId}' THEN RAISE EXCEPTION 'refused by the test'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse_row BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION refuse_row()`);
  try {
    await work();
  } finally {
    await app.database.query('DROP TRIGGER refuse_row ON audit_logs; DROP FUNCTION refuse_row()');
  }
}

describe('What leaves a row', () => {
  it('records every action on a key under the name the seed gives it', async () => {
    const { id } = await app.apiKey(app.admin, { name: 'Traced', scopes: ['a'] });
    await app.admin.get('/api-keys?page=2&size=5&search=Trac');
    await app.admin.get(`/api-keys/${id}`);
    await app.admin.get(`/api-keys/${id}/usage`);
    await app.admin.put(`/api-keys/${id}`, { name: 'Renamed' });
    await app.admin.post(`/api-keys/${id}/regenerate`);
    await app.admin.post(`/api-keys/${id}/deactivate`);
    await app.admin.post(`/api-keys/${id}/activate`);
    await app.admin.delete(`/api-keys/${id}`);

    const rows = await logs(`resource_type=api_key&resource_id=${id}`);
    const seen = rows.map((row) => [row['action'], row['success'], row['details']]).toReversed();
    expect(seen).toEqual([
      ['create_api_key', true, { name: 'Traced', scopes: ['a'] }],
      ['get_api_key', true, {}],
      ['get_api_key_usage', true, {}],
      [
        'update_api_key',
        true,
        { updated_fields: ['name'], before_values: { name: 'Traced' }, after_values: { name: 'Renamed' } },
      ],
      ['regenerate_api_key', true, { name: 'Renamed' }],
      ['deactivate_api_key', true, { name: 'Renamed' }],
      ['activate_api_key', true, { name: 'Renamed' }],
      ['delete_api_key', true, { name: 'Renamed' }],
    ]);
    const [listed] = await logs('action=list_api_keys&limit=1');
    expect(listed).toMatchObject({ resource_type: 'api_key', resource_id: null });
    expect(listed?.['details']).toMatchObject({ page: 2, size: 5, filters: { search: 'Trac' } });
  });

  it('names actor, address, agent and request', async () => {
    const user = await app.user({ role: 'developer' });
    await user.client.get('/api-keys', { 'x-request-id': 'request-of-this-test', 'user-agent': 'agent' });
    expect(await logs(`user_id=${user.id}&action=list_api_keys`)).toEqual([
      expect.objectContaining({
        user_id: user.id,
        api_key_id: null,
        ip_address: '127.0.0.1',
        user_agent: 'agent',
        request_id: 'request-of-this-test',
      }),
    ]);
  });

  it('names the key that a caller used', async () => {
    const key = await app.apiKey(app.admin, { scopes: ['platform:api-keys:read'] });
    await app.anonymous.withApiKey(key.secret).get(`/api-keys/${key.id}`);
    const [row] = await logs(`resource_type=api_key&resource_id=${key.id}&action=get_api_key`);
    expect(row).toMatchObject({ api_key_id: key.id, user_id: key.body['user_id'] });
  });

  it('records a refusal as the same action without success', async () => {
    const { id } = await app.apiKey();
    const user = await app.user();
    expect((await user.client.delete(`/api-keys/${id}`)).status).toBe(403);
    expect(await logs(`user_id=${user.id}&success=false`)).toEqual([
      expect.objectContaining({
        action: 'delete_api_key',
        resource_type: 'api_key',
        resource_id: String(id),
      }),
    ]);
  });

  it('records logins, failed ones without an actor, and the reuse of a refresh token', async () => {
    const user = await app.user();
    const { username, id } = user;
    await app.anonymous.post('/auth/login', { username, password: 'not the password' });
    const [failed] = await logs('action=login&success=false&limit=1');
    expect(failed).toMatchObject({ user_id: null, details: { username, reason: 'credentials' } });

    const login = await app.anonymous.post('/auth/login', { username, password: 'a long user passphrase' });
    const refresh = { refresh_token: login.body['refresh_token'] };
    await app.anonymous.post('/auth/refresh', refresh);
    app.clock.advanceSeconds(10);
    await app.anonymous.post('/auth/refresh', refresh);
    const rows = await logs(`user_id=${id}&limit=3`);
    expect(rows.map((row) => [row['action'], row['success']])).toEqual([
      ['refresh_session', false],
      ['refresh_session', true],
      ['login', true],
    ]);
  });

  it('masks what is shaped like a secret, wherever it was put', async () => {
    const { secret } = await app.apiKey();
    const headers = { 'user-agent': `agent ${secret}`, 'x-request-id': secret };
    await app.anonymous.post('/auth/login', { username: secret, password: 'x' }, headers);
    expect((await app.admin.post('/api-keys', { name: `My ${secret}` })).status).toBe(422);
    await app.admin.get(`/audit-logs?resource_id=${secret}`);
    const found = await app.database.query('SELECT FROM audit_logs WHERE audit_logs::text ILIKE $1', [
      `%${secret}%`,
    ]);
    expect(found).toEqual([]);
  });
});

describe('A row and what it tells of', () => {
  it('undoes the change when it cannot be written', async () => {
    await whileRefusing('doomed-change', async () => {
      const headers = { 'x-request-id': 'doomed-change' };
      const answer = await app.admin.post('/api-keys', { name: 'Never made' }, headers);
      expect(answer.status).toBe(500);
    });
    expect(await app.database.query(`SELECT FROM api_keys WHERE name = 'Never made'`)).toEqual([]);
  });

  it('is not kept when the change fails to commit', async () => {
    await app.database.query(`
      CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
      CREATE CONSTRAINT TRIGGER refuse_commit AFTER INSERT ON api_keys DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse_commit()`);
    const headers = { 'x-request-id': 'never-committed' };
    const answer = await app.admin.post('/api-keys', { name: 'Never committed' }, headers);
    await app.database.query('DROP TRIGGER refuse_commit ON api_keys; DROP FUNCTION refuse_commit()');
    expect(answer.status).toBe(500);
    expect(await app.database.query(`SELECT FROM audit_logs WHERE request_id = 'never-committed'`)).toEqual(
      [],
    );
  });

  it('keeps the read from being answered when it cannot be written, and no other read', async () => {
    await whileRefusing('doomed-read', async () => {
      const reads = Array.from({ length: 20 }, (_, index) =>
        app.admin.get('/api-keys', { 'x-request-id': index === 7 ? 'doomed-read' : `read-${index}` }),
      );
      const statuses = (await Promise.all(reads)).map((answer) => answer.status);
      expect(statuses).toEqual(statuses.map((_, index) => (index === 7 ? 500 : 200)));
    });
    const written = await app.database.query(`SELECT FROM audit_logs WHERE request_id LIKE 'read-%'`);
    expect(written).toHaveLength(19);
  });
});

describe('GET /audit-logs', () => {
  it('is for those who hold platform:audit:read', async () => {
    const [auditor, other] = [await app.user({ role: 'auditor' }), await app.user({ role: 'developer' })];
    expect((await auditor.client.get('/audit-logs')).status).toBe(200);
    expect((await other.client.get('/audit-logs')).status).toBe(403);
    expect((await other.client.get('/audit-logs', NDJSON)).status).toBe(403);
    expect((await app.anonymous.get('/audit-logs')).status).toBe(401);
  });

  it('answers newest first, 50 by default', async () => {
    await insertRows('many', 60, `now() - i * interval '1 minute'`);
    const { body } = await app.admin.get('/audit-logs?action=many');
    const times = body['audit_logs'].map((row: ApiAnswer['body']) => row['created_at']);
    expect(times).toHaveLength(50);
    expect(times).toEqual(times.toSorted().toReversed());
    expect(body['next_cursor']).toEqual(expect.any(String));
  });

  it('shows each row once over all pages, also rows of the same millisecond and across months', async () => {
    await insertRows('same_ms', 100, `timestamptz '2026-01-01 00:00:00.123Z' + i * interval '1 microsecond'`);
    await insertRows('months', 100, `now() - i * interval '3 days'`);
    for (const action of ['same_ms', 'months']) {
      const ids = await allPages(`action=${action}&limit=7`);
      const expected = await app.database.query<{ id: string }>(
        'SELECT id FROM audit_logs WHERE action = $1 ORDER BY created_at DESC, id DESC',
        [action],
      );
      expect(ids).toEqual(expected.map((row) => row.id));
    }
  });

  it('selects by time: from is part of it, to is not', async () => {
    await insertRows('timed', 5, `timestamptz '2026-02-01Z' + i * interval '1 hour'`);
    const rows = await logs('action=timed&from=2026-02-01T01:00:00Z&to=2026-02-01T03:00:00Z');
    expect(rows.map((row) => row['created_at'])).toEqual([
      '2026-02-01T02:00:00.000Z',
      '2026-02-01T01:00:00.000Z',
    ]);
  });

  it('ends a page early where rows are large, and loses none', async () => {
    await insertRows(
      'large',
      12,
      `now() - i * interval '1 second'`,
      `jsonb_build_object('a', repeat('x', 1000000))`,
    );
    const { body } = await app.admin.get('/audit-logs?action=large');
    expect(body['audit_logs'].length).toBeLessThan(12);
    expect(await allPages('action=large')).toHaveLength(12);
  });

  it.each([
    ['cursor=abc', ['cursor']],
    [`cursor=${Buffer.from('2026-13-45T00:00:00.000000Z/0').toString('base64url')}`, ['cursor']],
    ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z&cursor=no', ['cursor', 'from']],
    ['limit=0', ['limit']],
    ['limit=201', ['limit']],
    ['user_id=me&success=perhaps', ['user_id', 'success']],
    ['from=yesterday', ['from']],
    ['page=1', ['page']],
  ])('refuses %s', async (query, fields) => {
    const answer = await app.admin.get(`/audit-logs?${query}`);
    expect(answer.status).toBe(422);
    expect(answer.body['errors'].map((error: ApiAnswer['body']) => error['field']).toSorted()).toEqual(
      fields.toSorted(),
    );
  });

  it('records that it was read, and with which filters', async () => {
    await app.admin.get('/audit-logs?success=false&from=2026-01-01T00:00:00Z');
    const [row] = await logs('action=list_audit_logs&limit=1');
    expect(row).toMatchObject({
      resource_type: 'audit_log',
      details: { filters: { success: false, from: '2026-01-01T00:00:00.000Z' } },
    });
  });
});

describe('GET /audit-logs as application/x-ndjson', () => {
  it('is refused beside JSON when neither is acceptable, as on every other route', async () => {
    const answer = await app.admin.get('/audit-logs', { accept: 'text/html' });
    expectProblem(answer, 'request.not_acceptable');
  });

  it('streams the whole selection, one row in each line, whatever the limit', async () => {
    await insertRows('streamed', 2_500, `now() - i * interval '1 hour'`);
    const answer = await app.admin.get('/audit-logs?action=streamed&limit=10', NDJSON);
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
    const ids = answer.text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id);
    const expected = await app.database.query<{ id: string }>(
      `SELECT id FROM audit_logs WHERE action = 'streamed' ORDER BY created_at DESC, id DESC`,
    );
    expect(ids).toEqual(expected.map((row) => row.id));
  });

  it('records the export', async () => {
    await app.admin.get('/audit-logs?action=none', NDJSON);
    const [row] = await logs('action=export_audit_logs&limit=1');
    expect(row).toMatchObject({ success: true, details: { filters: { action: 'none' } } });
  });

  it('answers a problem document when the selection is not valid', async () => {
    const answer = await app.admin.get('/audit-logs?cursor=abc', NDJSON);
    expect(answer.status).toBe(422);
    expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  });

  it('is cut off, not ended, when it fails on the way', async () => {
    await insertRows('cut', 40_000, `now() - i * interval '1 second'`);
    const { body } = await app.anonymous.post('/auth/login', ADMIN);
    const headers = { ...NDJSON, authorization: `Bearer ${String(body['access_token'])}` };
    const response = await fetch(`${app.anonymous.baseUrl}/api/v1/audit-logs?action=cut`, { headers });
    expect(response.status).toBe(200);

    await app.database.query('ALTER TABLE audit_logs RENAME TO audit_logs_away');
    try {
      await expect(response.text()).rejects.toThrow();
    } finally {
      await app.database.query('ALTER TABLE audit_logs_away RENAME TO audit_logs');
    }
  });
});
