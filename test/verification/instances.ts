import type { ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment } from '../support/test-app.js';

/** Some instances of the service, each a process, over one database. */
export class Instances {
  private constructor(
    readonly database: TestDatabase,
    readonly processes: readonly AppProcess[],
    /** The admin as a client of each instance. */
    readonly admins: readonly ApiClient[],
  ) {}

  static async start(count: number, environment: Readonly<Record<string, string>> = {}): Promise<Instances> {
    const database = await createTestDatabase();
    const settings = { ...testEnvironment(database.url), ...environment };
    const processes = await Promise.all(Array.from({ length: count }, () => AppProcess.start(settings)));
    // One session for all: they share the database.
    const token = await processes[0]!.accessToken();
    const admins = processes.map(({ anonymous }) => anonymous.withAccessToken(token));
    return new Instances(database, processes, admins);
  }

  /** A key of the admin's, made through the first instance. */
  async apiKey(fields: Readonly<Record<string, unknown>> = {}): Promise<{ id: number; secret: string }> {
    const { status, body, text } = await this.admins[0]!.post('/api-keys', { name: 'A key', ...fields });
    if (status !== 201) throw new Error(`The key was not made: ${text}`);
    return { id: Number(body['api_key'].id), secret: String(body['secret_key']) };
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map((process) => process.kill9()));
    await this.database.drop();
  }
}
