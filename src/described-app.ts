import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { Redactor } from './common/redactor.js';
import { loadConfig } from './config/load-config.js';
import { RouteTable } from './contract/route-table.service.js';
import { createHttpAdapter } from './http/http-server.js';

const UNUSED_SECRET = 'nothing_is_signed_while_the_service_is_described';

/** How an application is created that only describes itself. */
export interface DescribedAppOptions {
  /** Settings beside the secrets, as environment variables. */
  readonly environment: Readonly<Record<string, string>>;
  /** With providers, which register jobs and metrics; without them only the routes exist. */
  readonly hasProviders: boolean;
}

/** The application for generated documents: nothing connects and no job starts, because it is never initialized. */
export function createDescribedApp({
  environment,
  hasProviders,
}: DescribedAppOptions): Promise<NestFastifyApplication> {
  const config = loadConfig({
    JWT_SECRET: UNUSED_SECRET,
    API_KEY_PEPPERS: `1:${UNUSED_SECRET}`,
    ...environment,
  });
  const routes = new RouteTable();
  const redactor = new Redactor(config.apiKeyPrefixes);
  return NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(config, routes, redactor, { isConnected: false }),
    createHttpAdapter(config, routes, redactor),
    { preview: !hasProviders, logger: false, abortOnError: false },
  );
}
