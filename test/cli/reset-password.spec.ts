import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import type { ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { DataDirectory } from '../support/data-directory.js';
import { ADMIN, USER_PASSWORD } from '../support/test-app.js';

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('latchkey admin reset-password', () => {
  let directory: DataDirectory;
  let app: AppProcess;
  let admin: ApiClient;
  let environment: Record<string, string>;
  beforeAll(async () => {
    directory = await DataDirectory.make();
    environment = { DATA_DIR: directory.path, BCRYPT_COST: '4', ADMIN_PASSWORD: ADMIN.password };
    app = await AppProcess.start(environment);
    admin = await app.admin();
  });
  afterAll(async () => {
    await app.kill9();
    await directory.remove();
  });

  /** Runs the command as an operator would, in a folder that has no .env. */
  async function latchkey(args: string[]): Promise<Outcome> {
    const { PATH = '' } = process.env;
    try {
      const run = promisify(execFile)(process.execPath, [projectPath('scripts/latchkey.mjs'), ...args], {
        cwd: directory.path,
        env: { PATH, ...environment },
      });
      return { code: 0, ...(await run) };
    } catch (error) {
      const { code, stdout, stderr } = error as Outcome;
      return { code, stdout, stderr };
    }
  }

  it('gives the admin a password that works, beside the running service, and ends the admin’s sessions', async () => {
    const { code, stdout, stderr } = await latchkey(['admin', 'reset-password']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const password = /^The new password of admin: (\S+)\n$/.exec(stdout)?.[1] ?? '';
    expect((await admin.get('/auth/me')).status).toBe(401);
    await expect(app.admin()).rejects.toThrow('The login failed');
    admin = await app.admin(password);
    const { body } = await admin.get('/audit-logs?resource_type=user');
    expect(body['audit_logs']).toContainEqual(
      expect.objectContaining({
        action: 'set_user_password',
        user_id: null,
        resource_id: '1',
        success: true,
      }),
    );
  });

  it('works while the service does not run, and leaves no PostgreSQL behind', async () => {
    expect(await app.stop()).toBe(0);
    const { code, stdout } = await latchkey(['admin', 'reset-password', '--username', 'ADMIN', '--json']);
    expect(code).toBe(0);
    expect(await directory.postgresPid()).toBeUndefined();
    const { password } = JSON.parse(stdout) as { password: string };
    app = await AppProcess.start(environment);
    admin = await app.admin(password);
  });

  it('refuses users that are not active admins, in one sentence', async () => {
    await admin.post('/users', { username: 'dana', password: USER_PASSWORD });
    for (const username of ['dana', 'nobody']) {
      expect(await latchkey(['admin', 'reset-password', '--username', username])).toEqual({
        code: 1,
        stdout: '',
        stderr: `There is no active admin named ${username}.\n`,
      });
    }
    const login = await app.anonymous.post('/auth/login', { username: 'dana', password: USER_PASSWORD });
    expect(login.status).toBe(200);
  });
});
