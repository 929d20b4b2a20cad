import { statfs } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Config } from '../config/config.js';
import { BackgroundPool } from '../database/pools.js';
import { Metrics } from './metrics.service.js';

/** Adding up the files of a large database takes a while: scrapes get the last measurement. */
const MEASURE_EVERY_MS = 60_000;

const MEASURE = `
  SELECT relname AS name, (CASE WHEN relkind = 'p'
      THEN (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(tables.oid))
      ELSE pg_total_relation_size(tables.oid) END)::text AS bytes,
    pg_database_size(current_database())::text AS database_bytes,
    (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory
  FROM pg_class AS tables
  WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`;

interface TableRow {
  readonly name: string;
  readonly bytes: string;
  readonly database_bytes: string;
  /** Null for a role that may not see it. */
  readonly data_directory: string | null;
}

/** How large the database and its tables are, and how much space is left where that is known: beside the embedded server. */
@Injectable()
export class StorageMetrics implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #logger = new Logger(StorageMetrics.name);
  readonly #database;
  readonly #tables;
  readonly #disk;
  #timer: NodeJS.Timeout | undefined;
  #measuring: Promise<void> | undefined;

  constructor(
    private readonly config: Config,
    private readonly pool: BackgroundPool,
    metrics: Metrics,
  ) {
    this.#database = metrics.gauge({
      name: 'latchkey_database_size_bytes',
      help: 'Size of the database, measured once a minute.',
    });
    this.#tables = metrics.gauge({
      name: 'latchkey_table_size_bytes',
      help: 'Size of a table with its partitions and indexes, measured once a minute.',
      labelNames: ['table'],
    });
    // With a label it has no value until there is one: 0 would raise the alarm.
    this.#disk = metrics.gauge({
      name: 'latchkey_data_directory_bytes',
      help: 'Space of the file system of DATA_DIR (free, all), only with the embedded PostgreSQL. For another server, watch its own machine.',
      labelNames: ['space'],
    });
  }

  onApplicationBootstrap(): void {
    void this.measure();
    this.#timer = setInterval(() => void this.measure(), MEASURE_EVERY_MS);
    this.#timer.unref();
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.#timer);
    await this.#measuring;
  }

  /** Measures now. Never rejects: after a failure the last measurement stays. */
  measure(): Promise<void> {
    this.#measuring ??= this.#measure()
      .catch((error: unknown) => this.#logger.warn(`The database was not measured: ${String(error)}`))
      .finally(() => {
        this.#measuring = undefined;
      });
    return this.#measuring;
  }

  async #measure(): Promise<void> {
    const { rows } = await this.pool.query<TableRow>({ name: 'measure_tables', text: MEASURE });
    for (const { name, bytes } of rows) this.#tables.set({ table: name }, Number(bytes));
    const [{ database_bytes: databaseBytes, data_directory: dataDirectory } = {}] = rows;
    if (databaseBytes !== undefined) this.#database.set(Number(databaseBytes));
    if (!dataDirectory?.startsWith(resolve(this.config.dataDir) + sep)) return;
    const { bavail, blocks, bsize } = await statfs(this.config.dataDir);
    this.#disk.set({ space: 'free' }, bavail * bsize);
    this.#disk.set({ space: 'all' }, blocks * bsize);
  }
}
