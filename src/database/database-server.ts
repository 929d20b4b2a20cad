import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { NotPrimaryError } from './not-primary-error.js';
import { parseDatabaseUrl, type ServerAddress } from './server-address.js';

/** A connection that can be closed at once, whatever runs on it. */
export interface Closable {
  close(): void;
}

/** Delay before the next host of a URL is tried; it is tried at once when the one before it failed. */
const NEXT_HOST_MS = 200;
const PROBE_MS = 2_000;

/** Columns that tell whether a server refuses writes, and identify it until its next restart. */
export const SERVER_STATE =
  `pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS is_read_only, ` +
  'pg_postmaster_start_time()::text AS server';

/**
 * The primary: the server behind the database's URL that accepts writes. Every connection of the service is registered
 * here, and is closed when its server no longer accepts writes, or when a newer connection reached another server: after
 * a failover the old primary may keep its connections and go on returning outdated data.
 */
export class DatabaseServer {
  readonly connectionString: string;
  /**
   * The search path of every session, whatever the role's own setting: the catalog, our schema, and temporary objects
   * last, so that none can replace one of ours.
   */
  readonly searchPath: string;
  readonly #hosts: readonly ServerAddress[];
  readonly #connections = new Map<Closable, string>();
  /** The host for the next connection, once one of several was found to accept writes. */
  #found: Promise<ServerAddress> | undefined;
  #server: string | undefined;

  constructor(
    url: string,
    /** The schema of our tables and functions. */
    readonly schema: string = 'public',
    furtherSchemas: readonly string[] = [],
  ) {
    const { connectionString, hosts } = parseDatabaseUrl(url);
    this.connectionString = connectionString;
    this.#hosts = hosts;
    this.searchPath = [schema, ...furtherSchemas, 'pg_temp']
      .map((name) => pg.escapeIdentifier(name))
      .join(', ');
  }

  /** Where to connect; undefined when the URL names one host, which the driver reads by itself. */
  async address(): Promise<ServerAddress | undefined> {
    if (this.#hosts.length === 0) return undefined;
    this.#found ??= this.#find();
    try {
      return await this.#found;
    } catch (error) {
      this.forgetAddress();
      throw error;
    }
  }

  /** The next connection looks for the server again. */
  forgetAddress(): void {
    this.#found = undefined;
  }

  /**
   * Registers a new connection.
   * @param server which server it met; if that is another than before, all earlier connections are closed
   * @throws NotPrimaryError when the server takes no changes
   */
  admit(connection: Closable, state: { readonly is_read_only: boolean; readonly server: string }): void {
    if (state.is_read_only) {
      throw new NotPrimaryError('The PostgreSQL server takes no changes: it is a standby, or read-only.');
    }
    if (this.#server !== undefined && this.#server !== state.server) this.closeConnections();
    this.#server = state.server;
    this.#connections.set(connection, state.server);
  }

  /** Call it when a connection has ended. */
  remove(connection: Closable): void {
    this.#connections.delete(connection);
  }

  /** Closes every connection, with what runs on it, so that the next ones look for the server that takes changes. */
  closeConnections(): void {
    this.forgetAddress();
    const connections = [...this.#connections.keys()];
    this.#connections.clear();
    for (const connection of connections) connection.close();
  }

  /** The first host, in their order, that takes changes. */
  async #find(): Promise<ServerAddress> {
    const abort = new AbortController();
    const attempts: Promise<ServerAddress>[] = [];
    for (const [index, host] of this.#hosts.entries()) {
      const before = attempts[index - 1];
      attempts.push(this.#try(host, index * NEXT_HOST_MS, before, abort.signal));
    }
    try {
      return await Promise.any(attempts);
    } catch (error) {
      // One that does not answer may be the primary, so that is what is wrong.
      const reasons: unknown[] = error instanceof AggregateError ? error.errors : [error];
      throw reasons.find((reason) => !(reason instanceof NotPrimaryError)) ?? reasons[0];
    } finally {
      abort.abort();
    }
  }

  async #try(
    address: ServerAddress,
    delayMs: number,
    before: Promise<ServerAddress> | undefined,
    signal: AbortSignal,
  ): Promise<ServerAddress> {
    if (before !== undefined) {
      const failed = new Promise<void>((resolve) => void before.catch(() => resolve()));
      await Promise.race([failed, sleep(delayMs, undefined, { signal, ref: false }).catch(() => undefined)]);
      signal.throwIfAborted();
    }
    const client = new pg.Client({
      connectionString: this.connectionString,
      application_name: 'latchkey-probe',
      connectionTimeoutMillis: PROBE_MS,
      query_timeout: PROBE_MS,
    });
    Object.assign(client, address);
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ is_read_only: boolean }>(`SELECT ${SERVER_STATE}`);
      if (rows[0]?.is_read_only !== false)
        throw new NotPrimaryError(`${address.host}:${address.port} takes no changes.`);
      return address;
    } finally {
      client.end().catch(() => undefined);
    }
  }
}
