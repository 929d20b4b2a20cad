import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { AppModule } from './app.module.js';
import { projectVersion } from './common/project-path.js';
import { Redactor } from './common/redactor.js';
import { loadConfig } from './config/load-config.js';
import { describeApi } from './contract/api-document.js';
import { createHttpAdapter } from './http/http-server.js';
import { RouteTable } from './contract/route-table.service.js';

const UNUSED_SECRET = 'nothing is signed while the API is being described';

/** The OpenAPI document of the application as it is built, without a database: nothing is instantiated. */
export async function buildOpenApiDocument(): Promise<OpenAPIObject> {
  const config = loadConfig({
    JWT_SECRET: UNUSED_SECRET,
    API_KEY_PEPPERS: `1:${UNUSED_SECRET.replaceAll(' ', '_')}`,
  });
  const routes = new RouteTable();
  const redactor = new Redactor(config.apiKeyPrefixes);
  const adapter = createHttpAdapter(config, routes, redactor);
  const module = AppModule.forRoot(config, routes, redactor);
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, {
    preview: true,
    logger: false,
    abortOnError: false,
  });
  return describeApi(app, projectVersion());
}
