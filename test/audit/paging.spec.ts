import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { TestApp, type TestUser } from '../support/test-app.js';

type Row = ApiAnswer['body'];

let app: TestApp;
beforeAll(async () => {
  app = await TestApp.start();
});
afterAll(() => app.stop());

describe('Paging through the audit log while it grows', () => {
  it('shows every row that was there, once, in order, and the new ones to the next reader', async () => {
    for (let index = 0; index < 60; index += 1) await app.admin.get('/api-keys?search=before');
    const before = await ids(`SELECT id FROM audit_logs ORDER BY created_at DESC, id DESC`);
    let isOver = false;
    let made = 0;
    const writers = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        await app.admin.post('/api-keys', { name: 'made while somebody reads' });
        made += 1;
      }
    });
    const pages: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body }: ApiAnswer = await app.admin.get(`/audit-logs?limit=3${cursor}`);
      pages.push(...body['audit_logs'].map((row: Row) => row['id'] as string));
      cursor =
        body['next_cursor'] === null ? null : `&cursor=${encodeURIComponent(String(body['next_cursor']))}`;
    }
    isOver = true;
    await Promise.all(writers);

    expect(made).toBeGreaterThan(10);
    expect(new Set(pages).size).toBe(pages.length);
    expect(pages.filter((id) => before.includes(id))).toEqual(before);
  });

  it('keeps its place when the row of the cursor is not in the selection any more', async () => {
    const first = await app.admin.get('/audit-logs?limit=1');
    const next = String(first.body['next_cursor']);
    const rest = await app.admin.get(`/audit-logs?limit=200&action=list_api_keys&cursor=${next}`);
    expect(rest.status).toBe(200);
    expect(rest.body['audit_logs'].length).toBeGreaterThan(0);
  });

  it('ends with a null cursor, also where the last page is full', async () => {
    const user = await app.user();
    await user.client.get('/api-keys');
    const rows = await app.database.query('SELECT FROM audit_logs WHERE user_id = $1', [user.id]);
    const full = await app.admin.get(`/audit-logs?user_id=${user.id}&limit=${rows.length}`);
    expect(full.body['audit_logs']).toHaveLength(rows.length);
    expect(full.body['next_cursor']).toBeNull();
    const none = await app.admin.get('/audit-logs?action=never_done');
    expect(none.body).toEqual({ audit_logs: [], next_cursor: null });
  });
});

describe('Filters of the audit log', () => {
  let user: TestUser;
  let keyId: number;
  beforeAll(async () => {
    user = await app.user({ role: 'developer' });
    keyId = (await app.apiKey(user.client)).id;
    await user.client.get(`/api-keys/${keyId}`);
    await user.client.get('/users');
  });

  it.each([
    ['user_id', () => `user_id=${user.id}`, (row: Row) => row['user_id'] === user.id],
    ['action', () => 'action=get_api_key', (row: Row) => row['action'] === 'get_api_key'],
    ['resource_type', () => 'resource_type=session', (row: Row) => row['resource_type'] === 'session'],
    ['resource_id', () => `resource_id=${keyId}`, (row: Row) => row['resource_id'] === String(keyId)],
    ['success', () => 'success=false', (row: Row) => row['success'] === false],
    ['no success', () => 'success=true', (row: Row) => row['success'] === true],
    [
      'all together',
      () => `user_id=${user.id}&action=get_api_key&resource_type=api_key&resource_id=${keyId}&success=true`,
      (row: Row) => row['user_id'] === user.id && row['action'] === 'get_api_key',
    ],
  ])('by %s answer exactly the rows that match', async (_name, query, matches) => {
    const all = await exported('');
    const wanted = all.filter(matches).map((row) => row['id']);
    const { body } = await app.admin.get(`/audit-logs?limit=200&${query()}`);
    // Reading the log adds to it; the export above is older.
    const known = new Set(all.map((row) => row['id']));
    const found = body['audit_logs'].map((row: Row) => row['id']).filter((id: string) => known.has(id));
    expect(wanted.length).toBeGreaterThan(0);
    expect(wanted.length).toBeLessThan(all.length);
    expect(found).toEqual(wanted.slice(0, 200));
  });

  it('work alike on the export', async () => {
    const rows = await exported(`?user_id=${user.id}&resource_type=api_key`);
    expect(rows.map((row) => row['action'])).toEqual(['get_api_key', 'create_api_key']);
  });
});

async function exported(query: string): Promise<Row[]> {
  const { text } = await app.admin.get(`/audit-logs${query}`, { accept: 'application/x-ndjson' });
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
}

async function ids(statement: string): Promise<string[]> {
  return (await app.database.query<{ id: string }>(statement)).map(({ id }) => id);
}
