import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { testEnvironment } from '../support/test-app.js';

const MEGABYTE = 1_048_576;
const ROWS = 16_000;
const DETAILS_BYTES = 4_000;
/** What goes through the service in one export. */
const EXPORT_BYTES = ROWS * DETAILS_BYTES;
const MAY_GROW_BY = 30 * MEGABYTE;

describe('An export of the audit log', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let app: AppProcess;
  let token: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.query(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
       SELECT gen_random_uuid(), now() - i * interval '1 second', 'exported', 'test',
         jsonb_build_object('text', repeat('x', ${DETAILS_BYTES})), true FROM generate_series(1, ${ROWS}) AS i`,
    );
    proxy = await TcpProxy.start(database.url);
    const environment = { ...testEnvironment(proxy.urlOf(database.url)), LOG_LEVEL: 'info' };
    // So small a heap keeps garbage from being mistaken for what is held. The service itself takes 90 MB at rest.
    app = await AppProcess.start(environment, ['--max-old-space-size=112']);
    token = await app.accessToken();
  });
  afterAll(async () => {
    await app.kill9();
    proxy.stop();
    await database.drop();
  });

  it('reads no faster than its reader, then gives it everything, in little memory', async () => {
    const answer = await beginExport();
    answer.pause();
    const readForNobody = await bytesUntilQuiet(proxy);
    expect(readForNobody).toBeLessThan(EXPORT_BYTES / 2);
    const memoryBefore = peakMemory(app);

    let lines = 0;
    for await (const chunk of answer) lines += (chunk as string).split('\n').length - 1;

    expect(lines).toBe(ROWS);
    expect(peakMemory(app) - memoryBefore).toBeLessThan(MAY_GROW_BY);
  });

  it('ends when its caller may not read the log any more', async () => {
    const admin = app.anonymous.withAccessToken(token);
    const auditor = { username: 'auditor', password: 'a long passphrase of a reader' };
    const { body: user } = await admin.post('/users', { ...auditor, role: 'auditor' });
    const { body: session } = await app.anonymous.post('/auth/login', auditor);
    const answer = await beginExport(String(session['access_token']));
    answer.pause();
    await bytesUntilQuiet(proxy);
    expect((await admin.delete(`/users/${String(user['id'])}`)).status).toBe(200);
    let lines = 0;
    const read = async () => {
      for await (const chunk of answer) lines += (chunk as string).split('\n').length - 1;
    };
    await expect(read()).rejects.toThrow('aborted');
    expect(lines).toBeLessThan(ROWS);
  });

  it('of one organization ends when its caller may read only that of another any more', async () => {
    const admin = app.anonymous.withAccessToken(token);
    const reader = { username: 'reader', password: 'a long passphrase of a reader' };
    const { body: user } = await admin.post('/users', reader);
    const { body: other } = await admin.post('/organizations', { slug: 'other', name: 'Other' });
    await admin.put(`/organizations/1/members/${String(user['id'])}`, { role: 'org_auditor' });
    await admin.post(`/organizations/${String(other['id'])}/members`, {
      user_id: user['id'],
      role: 'org_auditor',
    });
    await database.query(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success, organization_id)
       SELECT gen_random_uuid(), now() - i * interval '1 second', 'exported', 'test',
         jsonb_build_object('text', repeat('x', ${DETAILS_BYTES})), true, 1 FROM generate_series(1, ${ROWS}) AS i`,
    );
    const { body: session } = await app.anonymous.post('/auth/login', reader);
    const answer = await beginExport(String(session['access_token']));
    answer.pause();
    await bytesUntilQuiet(proxy);
    expect((await admin.delete(`/organizations/1/members/${String(user['id'])}`)).status).toBe(200);
    let lines = 0;
    const read = async () => {
      for await (const chunk of answer) lines += (chunk as string).split('\n').length - 1;
    };
    await expect(read()).rejects.toThrow('aborted');
    expect(lines).toBeLessThan(ROWS);
  });

  it('ends when its client reads nothing for a minute', async () => {
    // For this instance a minute is half a second.
    const hurry = `import { ServerResponse } from 'node:http'; const { setTimeout } = ServerResponse.prototype;
      ServerResponse.prototype.setTimeout = function (ms, done) { return setTimeout.call(this, ms / 120, done); };`;
    const hurried = await AppProcess.start({ ...testEnvironment(database.url), LOG_LEVEL: 'info' }, [
      `--import=data:text/javascript,${encodeURIComponent(hurry)}`,
    ]);
    const answer = await beginExport(await hurried.accessToken(), hurried);
    answer.pause();
    await vi.waitUntil(() => exportsOf(hurried).length > 0, { timeout: 40_000 });
    const ended = once(answer, 'end');
    answer.resume();
    await expect(ended).rejects.toThrow('aborted');
    await hurried.stop();
  });

  it('stops reading when the client leaves', async () => {
    const answer = await beginExport();
    const before = proxy.bytesFromServer;
    answer.destroy();
    await vi.waitUntil(() => exportsOf(app).some(({ status }) => status === 499 || status === 200), {
      timeout: 10_000,
    });
    await bytesUntilQuiet(proxy);

    expect(proxy.bytesFromServer - before).toBeLessThan(EXPORT_BYTES / 2);
    // Its connection is free again: everything else works on.
    expect((await app.anonymous.withAccessToken(token).get('/audit-logs?limit=1')).status).toBe(200);
  });

  /** The lines of exports that have ended. */
  function exportsOf(instance: AppProcess): Record<string, unknown>[] {
    return instance
      .logLines()
      .filter(({ msg, route }) => msg === 'request' && route === '/api/v1/audit-logs');
  }

  function beginExport(as = token, from = app): Promise<IncomingMessage> {
    const headers = { authorization: `Bearer ${as}`, accept: 'application/x-ndjson' };
    return new Promise((resolve, reject) => {
      const sent = request(`${from.baseUrl}/api/v1/audit-logs?action=exported`, { headers });
      sent.on('error', reject);
      sent.on('response', (answer) => {
        expect(answer.statusCode).toBe(200);
        expect(answer.headers['content-type']).toBe('application/x-ndjson');
        resolve(answer.setEncoding('utf8'));
      });
      sent.end();
    });
  }
});

/** How much PostgreSQL has answered when it has been silent for a moment. */
async function bytesUntilQuiet(proxy: TcpProxy): Promise<number> {
  let [bytes, since] = [proxy.bytesFromServer, performance.now()];
  await vi.waitUntil(
    () => {
      if (proxy.bytesFromServer - bytes > MEGABYTE / 4)
        [bytes, since] = [proxy.bytesFromServer, performance.now()];
      return performance.now() - since > 1_500;
    },
    { timeout: 40_000, interval: 20 },
  );
  return proxy.bytesFromServer;
}

/** The most memory the process ever had, in bytes; of Linux alone. */
function peakMemory(app: AppProcess): number {
  if (process.platform !== 'linux') return 0;
  const status = readFileSync(`/proc/${app.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024;
}
