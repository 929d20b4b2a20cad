import { callbackify } from 'node:util';
import pg from 'pg';
import { DatabaseServer, SERVER_STATE } from './database-server.js';
import { READ_ONLY_SQLSTATE } from './not-primary-error.js';

/** What holds for a session from its first statement on; bounds in milliseconds, 0 for none. */
export interface SessionSettings {
  readonly statementMs: number;
  readonly lockMs: number;
  readonly idleInTransactionMs: number;
}

/** How a session is opened: what node-postgres reads, and what is ours. */
export interface SessionConfig extends pg.ClientConfig {
  readonly server: DatabaseServer;
  readonly session: SessionSettings;
}

type Connected = (error: Error | null, client: pg.Client) => void;

/** The parts of node-postgres's connection that its types leave out. */
interface RawConnection {
  readonly stream: { readonly destroyed: boolean; destroy(): void };
  on(event: 'errorMessage', listener: (message: { readonly code?: string }) => void): void;
}

/**
 * A connection of the service, only to a server that accepts writes: a standby or read-only server is refused on
 * connecting, and the connection is closed as soon as a statement is refused for that reason.
 *
 * Its bounds and its schema are set by a statement once it is open. PgBouncer refuses them as start-up parameters.
 *
 * A connection may break at any moment. Its query fails then, and the pool replaces it; but between the moment when the pool
 * hands it out and the moment when its user listens, an unhandled error event would end the process.
 */
export class SessionClient extends pg.Client {
  readonly #server: DatabaseServer;
  readonly #session: SessionSettings;

  constructor(config?: string | pg.ClientConfig) {
    const { server, session } = sessionConfig(config);
    super(config);
    this.#server = server;
    this.#session = session;
    this.on('error', () => undefined);
    this.on('end', () => server.remove(this));
    this.#raw.on('errorMessage', ({ code }) => {
      // The refused statement fails first; those queued behind it belong on another server.
      if (code === READ_ONLY_SQLSTATE) setImmediate(() => server.closeConnections());
    });
  }

  /** Ends the connection at once. What runs on it fails as it would if the server had gone. */
  close(): void {
    this.#raw.stream.destroy();
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: Connected): void;
  override connect(callback?: Connected): Promise<pg.Client> | void {
    if (callback === undefined) return this.#open();
    callbackify(() => this.#open())(callback);
  }

  async #open(): Promise<pg.Client> {
    const address = await this.#server.address();
    if (this.#raw.stream.destroyed) throw new Error('timeout exceeded when trying to connect');
    if (address !== undefined) Object.assign(this, address);
    try {
      await super.connect();
      await this.#setUp();
      return this;
    } catch (error) {
      this.#server.forgetAddress();
      this.end().catch(() => undefined);
      throw error;
    }
  }

  async #setUp(): Promise<void> {
    const { statementMs, lockMs, idleInTransactionMs } = this.#session;
    const { rows } = await this.query<{ is_read_only: boolean; server: string }>(
      `SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),
         set_config('idle_in_transaction_session_timeout', $3, false), set_config('search_path', $4, false),
         ${SERVER_STATE}`,
      [String(statementMs), String(lockMs), String(idleInTransactionMs), this.#server.searchPath],
    );
    const [state] = rows;
    if (state === undefined) throw new Error('PostgreSQL does not say which server it is.');
    this.#server.admit(this, state);
  }

  get #raw(): RawConnection {
    return (this as unknown as { readonly connection: RawConnection }).connection;
  }
}

/** What a session was given; @throws Error when that is not enough to open one */
export function sessionConfig(config: string | pg.ClientConfig | undefined): SessionConfig {
  if (typeof config === 'object' && 'server' in config && config.server instanceof DatabaseServer)
    return config as SessionConfig;
  throw new Error('A session needs the server that it leads to.');
}
