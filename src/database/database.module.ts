import { type DynamicModule, Global, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { ClsPluginTransactional } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ClsModule } from 'nestjs-cls';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { Config } from '../config/config.js';
import {
  authorityPoolOptions,
  backgroundPoolOptions,
  controlPlaneOptions,
  dataPlanePoolOptions,
  feedPoolOptions,
  meteringPoolOptions,
  reportPoolOptions,
} from './connection-options.js';
import { DatabaseServer } from './database-server.js';
import {
  AuthorityPool,
  BackgroundPool,
  ControlPool,
  DataPlanePool,
  FeedPool,
  MeteringPool,
  ReportPool,
} from './pools.js';
import { ReportQueries } from './report.queries.js';
import { SchemaState } from './schema-state.service.js';

/** Connections to PostgreSQL and the transactions of the control plane. Features bring their own entities. */
@Global()
@Module({})
export class DatabaseModule implements OnApplicationShutdown {
  constructor(
    private readonly authority: AuthorityPool,
    private readonly background: BackgroundPool,
    private readonly dataPlane: DataPlanePool,
    private readonly feed: FeedPool,
    private readonly metering: MeteringPool,
    private readonly reports: ReportPool,
  ) {}

  /** @param isConnected false where the application is only described: no connection is opened then */
  static forRoot(isConnected = true): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRootAsync({
          inject: [Config, DatabaseServer],
          useFactory: (config: Config, server: DatabaseServer) => ({
            ...controlPlaneOptions(server, config.databasePoolSize),
            autoLoadEntities: true,
            manualInitialization: !isConnected,
            retryAttempts: 5,
            retryDelay: 500,
          }),
        }),
        // The plugin alone: the root module adds an interceptor to every route, which halves the speed of a verdict.
        ClsModule.registerPlugins([
          new ClsPluginTransactional({
            adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
          }),
        ]),
      ],
      providers: [
        {
          provide: DatabaseServer,
          inject: [Config],
          useFactory: (config: Config) => new DatabaseServer(databaseUrl(config), config.databaseSchema),
        },
        {
          provide: ControlPool,
          inject: [getDataSourceToken()],
          useFactory: (dataSource: DataSource) => (dataSource.driver as PostgresDriver).master as pg.Pool,
        },
        ...POOLS.map(({ provide, options }) => ({
          provide,
          inject: [DatabaseServer],
          useFactory: (server: DatabaseServer) => openPool(provide.name, options(server)),
        })),
        ReportQueries,
        SchemaState,
      ],
      exports: [
        DatabaseServer,
        SchemaState,
        ControlPool,
        AuthorityPool,
        BackgroundPool,
        DataPlanePool,
        FeedPool,
        MeteringPool,
        ReportQueries,
        ReportPool,
      ],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([
      this.authority.end(),
      this.background.end(),
      this.dataPlane.end(),
      this.feed.end(),
      this.metering.end(),
      this.reports.end(),
    ]);
  }
}

const POOLS = [
  { provide: AuthorityPool, options: authorityPoolOptions },
  { provide: BackgroundPool, options: backgroundPoolOptions },
  { provide: DataPlanePool, options: dataPlanePoolOptions },
  { provide: FeedPool, options: feedPoolOptions },
  { provide: MeteringPool, options: meteringPoolOptions },
  { provide: ReportPool, options: reportPoolOptions },
] as const;

function openPool(name: string, options: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool(options);
  const logger = new Logger(name);
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on('error', (error) => logger.warn(`A connection was lost: ${error.message}`));
  return pool;
}

function databaseUrl(config: Config): string {
  if (config.databaseUrl === undefined)
    throw new Error('The database must be known before the modules are made.');
  return config.databaseUrl.reveal();
}
