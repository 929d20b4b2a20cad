import { appendFile, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import pg from 'pg';
import { vi } from 'vitest';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/embedded-postgres/embedded-postgres.js';
import { DataDirectory } from './data-directory.js';

// What these switch off is not what tests of replication are about.
const SETTINGS = { fsync: 'off', max_connections: '100', shared_buffers: '16MB' };

/** A server of a pair, with a session of the superuser. */
export interface ReplicatedServer {
  readonly url: string;
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
}

/** A primary and a hot standby that follows it by streaming replication. */
export class ReplicatedServers {
  private constructor(
    private readonly directory: DataDirectory,
    private readonly servers: readonly EmbeddedPostgres[],
    private readonly pools: readonly pg.Pool[],
    readonly primary: ReplicatedServer,
    readonly standby: ReplicatedServer,
  ) {}

  /** @param prepare is given the primary before the standby is made of it */
  static async start(prepare: (primaryUrl: string) => Promise<unknown>): Promise<ReplicatedServers> {
    const directory = await DataDirectory.make();
    const primary = await startEmbeddedPostgres({
      dataDirectory: join(directory.path, 'primary'),
      settings: SETTINGS,
    });
    await prepare(primary.url);
    await copyCluster(primary.url, join(directory.path, 'primary/cluster'), join(directory.path, 'standby'));
    const standby = await startEmbeddedPostgres({
      dataDirectory: join(directory.path, 'standby'),
      settings: SETTINGS,
    });
    const pools = [primary, standby].map(({ url }) => new pg.Pool({ connectionString: url, max: 2 }));
    const [ofPrimary, ofStandby] = pools.map((pool, index) => {
      pool.on('error', () => undefined);
      return {
        url: [primary, standby][index]!.url,
        query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
          (await pool.query<Row>(text, values)).rows,
      };
    });
    return new ReplicatedServers(directory, [primary, standby], pools, ofPrimary!, ofStandby!);
  }

  /** Resolves when the standby shows all that the primary has committed so far. */
  async caughtUp(): Promise<void> {
    const [here] = await this.primary.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
    await vi.waitUntil(
      async () => {
        const [there] = await this.standby.query<{ is_there: boolean }>(
          'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS is_there',
          [here?.lsn],
        );
        return there?.is_there === true;
      },
      { timeout: 30_000, interval: 10 },
    );
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.pools.map((pool) => pool.end()));
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.directory.remove();
  }
}

/** A base backup, made by copying the files (PostgreSQL's documentation, 25.3.3): pg_basebackup is not in the package. */
async function copyCluster(url: string, cluster: string, to: string): Promise<void> {
  const copy = join(to, 'cluster');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('standby', true)`);
    await mkdir(to, { mode: 0o755 });
    await cp(cluster, copy, {
      recursive: true,
      filter: (file) => !['postmaster.pid', 'postmaster.opts'].includes(basename(file)),
    });
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    await writeFile(join(copy, 'backup_label'), rows[0]?.labelfile ?? '');
  } finally {
    await client.end();
  }
  await rm(join(copy, 'pg_replslot'), { recursive: true, force: true });
  await mkdir(join(copy, 'pg_replslot'), { mode: 0o700 });
  const host = new URLSearchParams(url.split('?')[1]).get('host');
  await appendFile(
    join(copy, 'postgresql.auto.conf'),
    `\nprimary_conninfo = 'user=postgres host=''${host ?? ''}'' port=5432'\n`,
  );
  await writeFile(join(copy, 'standby.signal'), '');
}
