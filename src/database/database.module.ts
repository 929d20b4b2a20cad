import { type DynamicModule, Global, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { ClsPluginTransactional } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ClsModule } from 'nestjs-cls';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { Config } from '../config/config.js';
import { backgroundPoolOptions, controlPlaneOptions } from './connection-options.js';
import { Maintenance } from './maintenance.js';
import { BackgroundPool, ControlPool } from './pools.js';

/** Connections to PostgreSQL and the transactions of the control plane. Features bring their own entities. */
@Global()
@Module({})
export class DatabaseModule implements OnApplicationShutdown {
  constructor(private readonly background: BackgroundPool) {}

  static forRoot(): DynamicModule {
    return {
      module: DatabaseModule,
      imports: [
        TypeOrmModule.forRootAsync({
          inject: [Config],
          useFactory: (config: Config) => ({
            ...controlPlaneOptions(databaseUrl(config), config.databasePoolSize),
            autoLoadEntities: true,
            retryAttempts: 5,
            retryDelay: 500,
          }),
        }),
        ClsModule.forRoot({
          plugins: [
            new ClsPluginTransactional({
              adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
            }),
          ],
        }),
      ],
      providers: [
        {
          provide: ControlPool,
          inject: [getDataSourceToken()],
          useFactory: (dataSource: DataSource) => (dataSource.driver as PostgresDriver).master as pg.Pool,
        },
        { provide: BackgroundPool, inject: [Config], useFactory: openBackgroundPool },
        Maintenance,
      ],
      exports: [ControlPool, BackgroundPool, Maintenance],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.background.end();
  }
}

function openBackgroundPool(config: Config): pg.Pool {
  const pool = new pg.Pool(backgroundPoolOptions(databaseUrl(config)));
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on('error', (error) => new Logger('BackgroundPool').warn(`A connection was lost: ${error.message}`));
  return pool;
}

function databaseUrl(config: Config): string {
  if (config.databaseUrl === undefined)
    throw new Error('The database must be known before the modules are made.');
  return config.databaseUrl.reveal();
}
