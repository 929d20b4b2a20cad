import { randomBytes } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../src/app.factory.js';
import { FirstAdmin } from '../../src/users/first-admin.service.js';
import { loadConfig } from '../../src/config/load-config.js';
import { ApiClient, type ApiAnswer } from './api-client.js';
import { untilAnswered } from './api-keys.js';
import { createTestDatabase, type TestDatabase } from './database.js';
import { TestClock } from './test-clock.js';

export const ADMIN = { username: 'admin', password: 'a long admin passphrase' } as const;
export const USER_PASSWORD = 'a long user passphrase';

/** Settings of every application under test; cheap password hashes, no log. */
export function testEnvironment(databaseUrl: string): Record<string, string> {
  return {
    NODE_ENV: 'test',
    DATABASE_URL: databaseUrl,
    PORT: '0',
    JWT_SECRET: 'jwt secret of the tests, long enough for them',
    API_KEY_PEPPERS: '1:pepper_of_the_tests_long_enough_for_them',
    ADMIN_USERNAME: ADMIN.username,
    ADMIN_PASSWORD: ADMIN.password,
    BCRYPT_COST: '4',
    LOG_LEVEL: 'silent',
  };
}

/** A user with a session. */
export interface TestUser {
  readonly id: number;
  readonly username: string;
  readonly client: ApiClient;
}

/** A key as create answered it, with its secret. */
export interface TestApiKey {
  readonly id: number;
  readonly secret: string;
  readonly body: ApiAnswer['body'];
}

/** The whole application over a database of its own, listening on a free port. */
export class TestApp {
  private constructor(
    readonly app: NestFastifyApplication,
    readonly database: TestDatabase,
    readonly clock: TestClock,
    readonly anonymous: ApiClient,
    readonly admin: ApiClient,
    private readonly ownsDatabase: boolean,
  ) {}

  /** `environment` adds to the settings of every test; with `database`, another application's is shared. */
  static async start({
    environment = {},
    database,
  }: { environment?: Record<string, string>; database?: TestDatabase } = {}): Promise<TestApp> {
    const ownDatabase = database ?? (await createTestDatabase());
    const config = loadConfig({ ...testEnvironment(ownDatabase.url), ...environment });
    const clock = new TestClock();
    const app = await createApp(config, clock);
    await app.init();
    await app.get(FirstAdmin).ensure();
    await app.listen({ port: 0, host: '127.0.0.1' });
    const anonymous = new ApiClient(await app.getUrl());
    const admin = await logIn(anonymous, ADMIN.username, ADMIN.password);
    return new TestApp(app, ownDatabase, clock, anonymous, admin, database === undefined);
  }

  /** A new user of the given role and extra permissions, logged in. */
  async user({
    role = 'user',
    permissions = [],
  }: { role?: string; permissions?: string[] } = {}): Promise<TestUser> {
    const username = `user-${randomBytes(4).toString('hex')}`;
    const answer = await this.admin.post('/users', { username, password: USER_PASSWORD, role, permissions });
    if (answer.status !== 201) throw new Error(`The user was not made: ${answer.text}`);
    return { id: answer.body['id'], username, client: await logIn(this.anonymous, username, USER_PASSWORD) };
  }

  /** A new key of the client's user, who must be allowed to make one; `fields` override the defaults. */
  async apiKey(client: ApiClient = this.admin, fields: Record<string, unknown> = {}): Promise<TestApiKey> {
    const answer = await untilAnswered(() => client.post('/api-keys', { name: 'A key', ...fields }));
    if (answer.status !== 201) throw new Error(`The key was not made: ${answer.text}`);
    return { id: answer.body['api_key'].id, secret: answer.body['secret_key'], body: answer.body['api_key'] };
  }

  /** A new key owned by a user who may not make keys: made while they briefly could. */
  async apiKeyOf(user: TestUser, fields: Record<string, unknown> = {}): Promise<TestApiKey> {
    const before = (await this.admin.get(`/users/${user.id}`)).body;
    await this.admin.put(`/users/${user.id}`, { permissions: ['platform:*'] });
    const key = await this.apiKey(user.client, fields);
    await this.admin.put(`/users/${user.id}`, { permissions: before['permissions'] });
    return key;
  }

  async stop(): Promise<void> {
    await this.app.close();
    if (this.ownsDatabase) await this.database.drop();
  }
}

/** A client with a new session of the user. */
export async function logIn(anonymous: ApiClient, username: string, password: string): Promise<ApiClient> {
  const answer = await anonymous.post('/auth/login', { username, password });
  if (answer.status !== 200) throw new Error(`The login failed: ${answer.text}`);
  return anonymous.withAccessToken(answer.body['access_token']);
}
