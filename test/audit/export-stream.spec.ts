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
    // So small a heap keeps garbage from being mistaken for what is held.
    app = await AppProcess.start(environment, ['--max-old-space-size=96']);
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

  it('stops reading when the client leaves', async () => {
    const answer = await beginExport();
    const before = proxy.bytesFromServer;
    answer.destroy();
    await vi.waitUntil(() => accessLog().some(({ status }) => status === 499 || status === 200), {
      timeout: 10_000,
    });
    await bytesUntilQuiet(proxy);

    expect(proxy.bytesFromServer - before).toBeLessThan(EXPORT_BYTES / 2);
    // Its connection is free again: everything else works on.
    expect((await app.anonymous.withAccessToken(token).get('/audit-logs?limit=1')).status).toBe(200);
  });

  function accessLog(): Record<string, unknown>[] {
    return app.logLines().filter(({ msg, route }) => msg === 'request' && route === '/api/v1/audit-logs');
  }

  function beginExport(): Promise<IncomingMessage> {
    const headers = { authorization: `Bearer ${token}`, accept: 'application/x-ndjson' };
    return new Promise((resolve, reject) => {
      const sent = request(`${app.baseUrl}/api/v1/audit-logs?action=exported`, { headers });
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
