import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { DataDirectory } from '../support/data-directory.js';
import { ADMIN, USER_PASSWORD } from '../support/test-app.js';

const CLIENTS = 8;
const ACKNOWLEDGED_BEFORE_THE_KILL = 60;

/** What a client was told exists. */
interface Acknowledged {
  readonly keys: Map<number, string>;
  readonly usernames: Set<string>;
}

describe('whatever was acknowledged is there after kill -9', () => {
  let directory: DataDirectory;
  let app: AppProcess;
  const acknowledged: Acknowledged = { keys: new Map(), usernames: new Set() };
  const start = () =>
    AppProcess.start({ DATA_DIR: directory.path, BCRYPT_COST: '4', ADMIN_PASSWORD: ADMIN.password });

  beforeAll(async () => {
    directory = await DataDirectory.make();
    app = await start();
  });
  afterAll(async () => {
    await app.kill9();
    await directory.remove();
  });

  it('of the service', async () => {
    const writers = await writeUntilBroken(app, acknowledged);
    await app.kill9();
    await writers.end;
    expect(await directory.postgresPid()).toBeDefined();

    app = await start();
    await expectEverything(app, acknowledged);
  });

  it('of PostgreSQL, which is started again while the service runs on', async () => {
    const writers = await writeUntilBroken(app, acknowledged);
    const admin = await app.admin();
    await directory.killPostgres();
    await writers.end;
    expect((await app.anonymous.get('//health/live')).status).toBe(200);
    await vi.waitUntil(async () => (await admin.get('/api-keys')).status === 200, {
      timeout: 20_000,
      interval: 100,
    });
    await expectEverything(app, acknowledged);
  });

  it('and a PostgreSQL that was started again ends with the service', async () => {
    expect(await app.stop()).toBe(0);
    expect(await directory.postgresPid()).toBeUndefined();
    app = await start();
    await expectEverything(app, acknowledged);
  });

  it('of one PostgreSQL session, from which the service recovers without a restart', async () => {
    const writers = await writeUntilBroken(app, acknowledged);
    await directory.killPostgresSession();
    await writers.end;
    const admin = await vi.waitUntil(() => app.admin().catch(() => undefined), {
      timeout: 15_000,
      interval: 50,
    });

    expect((await admin.get('/api-keys')).status).toBe(200);
    await expectEverything(app, acknowledged);
  });

  it('of both', async () => {
    const writers = await writeUntilBroken(app, acknowledged);
    await Promise.all([directory.killPostgres(), app.kill9()]);
    await writers.end;

    app = await start();
    await expectEverything(app, acknowledged);
  });
});

/** Clients that make keys and users until one is not answered; resolves when many were, to their ends. */
async function writeUntilBroken(
  app: AppProcess,
  acknowledged: Acknowledged,
): Promise<{ end: Promise<unknown> }> {
  const admin = await app.admin();
  let count = 0;
  const write = async (client: number): Promise<void> => {
    for (;;) {
      const answer = await (client === 0 ? makeUser(admin, acknowledged) : makeKey(admin, acknowledged));
      if (answer !== 201) return;
      count += 1;
    }
  };
  const end = Promise.all(
    Array.from({ length: CLIENTS }, (_value, client) => write(client).catch(() => undefined)),
  );
  await vi.waitUntil(() => count >= ACKNOWLEDGED_BEFORE_THE_KILL, { timeout: 20_000, interval: 1 });
  return { end };
}

async function makeKey(admin: ApiClient, { keys }: Acknowledged): Promise<number> {
  const { status, body } = await admin.post('/api-keys', {
    name: 'kept',
    scopes: ['platform:api-keys:read'],
  });
  if (status === 201) keys.set(body['api_key'].id, body['secret_key']);
  return status;
}

async function makeUser(admin: ApiClient, { usernames }: Acknowledged): Promise<number> {
  const username = `user-${process.pid}-${performance.now()}`;
  const { status } = await admin.post('/users', { username, password: USER_PASSWORD });
  if (status === 201) usernames.add(username);
  return status;
}

/** Every acknowledged key and user is there, works, and has its audit row. */
async function expectEverything(app: AppProcess, { keys, usernames }: Acknowledged): Promise<void> {
  const admin = await app.admin();
  expect(keys.size + usernames.size).toBeGreaterThanOrEqual(ACKNOWLEDGED_BEFORE_THE_KILL);
  const lost: string[] = [];
  const audited = await auditedIds(admin);
  for (const [id, secret] of keys) {
    const { status, body } = await app.anonymous.withApiKey(secret).get(`/api-keys/${id}`);
    if (status !== 200 || body['id'] !== id) lost.push(`key ${id}: ${status}`);
    if (!audited.has(`api_key ${id}`)) lost.push(`audit row of key ${id}`);
  }
  for (const username of usernames) {
    const { status } = await app.anonymous.post('/auth/login', { username, password: USER_PASSWORD });
    if (status !== 200) lost.push(`user ${username}: ${status}`);
  }
  expect(lost).toEqual([]);
}

/** Which things the log says were made, each as often as it says so. */
async function auditedIds(admin: ApiClient): Promise<Set<string>> {
  const { text } = await admin.get('/audit-logs?resource_type=api_key&action=create_api_key', {
    accept: 'application/x-ndjson',
  });
  const rows = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return new Set(rows.map((row) => `${String(row['resource_type'])} ${String(row['resource_id'])}`));
}
