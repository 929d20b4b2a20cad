import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { DataDirectory } from '../support/data-directory.js';

describe('the service on a DATA_DIR of its own', () => {
  let directory: DataDirectory;
  let environment: Record<string, string>;
  let password = '';
  let apiKey: { id: number; secret: string };

  beforeAll(async () => {
    directory = await DataDirectory.make();
    environment = { DATA_DIR: directory.path, BCRYPT_COST: '4', LOG_FORMAT: 'pretty', LOG_LEVEL: 'warn' };
  });
  afterAll(() => directory.remove());

  it('starts on an empty one, and says where it is and how to log in', async () => {
    const app = await AppProcess.start(environment);

    expect(app.stdout).toContain(`API:   ${app.baseUrl}/api/v1`);
    expect((await app.anonymous.get('//docs')).status).toBe(200);
    expect(app.stdout).toContain(`Docs:  ${app.baseUrl}/docs`);
    expect(app.stdout).toContain('Admin: admin');
    expect(app.stdout).toContain('npx latchkey admin reset-password');
    password = /Password: (\S+)/.exec(app.stdout)?.[1] ?? '';
    expect(app.stdout.split(password)).toHaveLength(2);
    expect(app.stdout.indexOf(password)).toBeLessThan(app.stdout.indexOf('Latchkey is ready'));
    expect(await directory.read('initial-admin-password')).toBe(`${password}\n`);
    expect(await directory.modeOf('initial-admin-password')).toBe(0o600);
    const admin = await app.admin(password);
    expect(await directory.read('initial-admin-password')).toBeUndefined();
    const answer = await admin.post('/api-keys', { name: 'Made on the first day' });
    expect(answer.status).toBe(201);
    apiKey = { id: answer.body['api_key'].id, secret: answer.body['secret_key'] };
    expect(app.stderr).toBe('');
    expect(await app.stop()).toBe(0);
  });

  it('keeps the secrets it made for itself to its owner', async () => {
    expect(await directory.modeOf('secrets.json')).toBe(0o600);
  });

  it('leaves no PostgreSQL behind when it stops', async () => {
    expect(await directory.postgresPid()).toBeUndefined();
  });

  it('keeps everything over a restart, and shows no password again', async () => {
    const app = await AppProcess.start(environment);

    expect(app.stdout).toContain('Admin: admin');
    expect(app.stdout).not.toMatch(/Password: |password in/);
    const admin = await app.admin(password);
    expect((await admin.get(`/api-keys/${apiKey.id}`)).body['name']).toBe('Made on the first day');
    expect((await app.anonymous.withApiKey(apiKey.secret).get('/auth/me')).status).toBe(200);
    const created = await admin.get('/audit-logs?action=create_api_key');
    expect(created.body['audit_logs']).toHaveLength(1);
    expect(await app.stop()).toBe(0);
  });

  it('locks nobody out whose first start fails: the password is shown and kept until the first login', async () => {
    const app = await AppProcess.start(environment);
    const other = await DataDirectory.make();
    const { port } = new URL(app.baseUrl);
    const second = await AppProcess.launch({ ...environment, DATA_DIR: other.path, PORT: port });

    expect(await second.exit).toBe(1);
    expect(second.stderr).toContain(`Port ${port} of 127.0.0.1 is in use by another program.`);
    expect(await other.postgresPid()).toBeUndefined();
    const shown = /Password: (\S+)/.exec(second.stdout)?.[1] ?? 'none was shown';
    expect(second.stdout).not.toContain('Latchkey is ready');
    expect(second.stdout).toContain('Lost? npx latchkey admin reset-password');
    expect(await other.read('initial-admin-password')).toBe(`${shown}\n`);

    const third = await AppProcess.start({ ...environment, DATA_DIR: other.path });
    expect(third.stdout).toMatch(/Admin: admin \(password in .*initial-admin-password\)/);
    expect(third.stdout).not.toContain(shown);
    expect((await (await third.admin(shown)).get('/api-keys')).status).toBe(200);
    expect(await other.read('initial-admin-password')).toBeUndefined();
    expect(await third.stop()).toBe(0);
    await other.remove();
    expect(await app.stop()).toBe(0);
  });

  it('uses the password that a start wrote which was killed before its admin was made', async () => {
    const other = await DataDirectory.make();
    await other.write('initial-admin-password', 'written by a killed start\n');
    const app = await AppProcess.start({ ...environment, DATA_DIR: other.path });
    expect(app.stdout).toContain('Password: written by a killed start');
    expect((await (await app.admin('written by a killed start')).get('/auth/me')).status).toBe(200);
    expect(await app.stop()).toBe(0);
    await other.remove();
  });

  it('ends at once when it is stopped while it starts, and leaves no PostgreSQL behind', async () => {
    const app = await AppProcess.launch(environment);
    await vi.waitUntil(async () => (await directory.postgresPid()) !== undefined, {
      timeout: 60_000,
      interval: 1,
    });
    expect(await app.stop()).toBe(0);
    expect(await directory.postgresPid()).toBeUndefined();
  });
});
