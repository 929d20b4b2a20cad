import { join } from 'node:path';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/embedded-postgres/embedded-postgres.js';
import { AppProcess } from './app-process.js';
import { DataDirectory } from './data-directory.js';
import { ADMIN } from './test-app.js';

/** Services over one DATA_DIR, and their PostgreSQL, which is kept while none of them runs. Each may be killed. */
export class AppCluster {
  readonly #apps: (AppProcess | undefined)[];
  #server: EmbeddedPostgres | undefined;
  #turn = 0;

  private constructor(
    private readonly directory: DataDirectory,
    readonly size: number,
  ) {
    this.#apps = Array.from({ length: size }, () => undefined);
  }

  static async start(size: number): Promise<AppCluster> {
    const cluster = new AppCluster(await DataDirectory.make(), size);
    for (let place = 0; place < size; place += 1) await cluster.startApp(place);
    cluster.#server = await cluster.#openServer();
    return cluster;
  }

  /** Where one of those that run is, another each time; undefined while none does. */
  get baseUrl(): string | undefined {
    const running = this.running;
    this.#turn += 1;
    return running[this.#turn % running.length]?.baseUrl;
  }

  /** Those that run; at least one when a test asks for `[0]`. */
  get running(): readonly AppProcess[] {
    return this.#apps.filter((app) => app !== undefined);
  }

  /** The database of the services, for tests that read it without them. */
  get databaseUrl(): string {
    return this.#server?.url.replace(/@([^/]*)\/[^?]*/, '@$1/latchkey') ?? '';
  }

  async startApp(place: number): Promise<void> {
    this.#apps[place] = await AppProcess.start({
      DATA_DIR: this.directory.path,
      BCRYPT_COST: '4',
      ADMIN_PASSWORD: ADMIN.password,
      LOG_LEVEL: 'silent',
      ACCESS_TOKEN_TTL_SECONDS: '86400',
    });
  }

  async killApp(place: number): Promise<void> {
    const app = this.#apps[place];
    this.#apps[place] = undefined;
    await app?.kill9();
  }

  /** Stops one as an operator does, and answers how it ended. */
  async stopApp(place: number): Promise<unknown> {
    const app = this.#apps[place];
    this.#apps[place] = undefined;
    return app?.stop();
  }

  /** Kills PostgreSQL, and has it start again. */
  async killPostgres(): Promise<void> {
    await this.directory.killPostgres();
    this.#server = await this.#openServer();
  }

  /** Kills everything at once, and starts it again. */
  async killAll(): Promise<void> {
    await Promise.all([
      this.directory.killPostgres(),
      ...this.#apps.map((_app, place) => this.killApp(place)),
    ]);
    for (let place = 0; place < this.size; place += 1) await this.startApp(place);
    this.#server = await this.#openServer();
  }

  async end(): Promise<void> {
    await Promise.all(this.running.map((app) => app.kill9()));
    await this.#server?.stop();
    await this.directory.remove();
  }

  #openServer(): Promise<EmbeddedPostgres> {
    return startEmbeddedPostgres({ dataDirectory: join(this.directory.path, 'postgres') });
  }
}
