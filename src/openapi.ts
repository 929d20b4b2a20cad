import type { OpenAPIObject } from '@nestjs/swagger';
import { projectVersion } from './common/project-path.js';
import { describeApi } from './contract/api-document.js';
import { createDescribedApp } from './described-app.js';

/** The OpenAPI document of the application as it is built, without a database: nothing is instantiated. */
export async function buildOpenApiDocument(): Promise<OpenAPIObject> {
  return describeApi(await createDescribedApp({ environment: {}, hasProviders: false }), projectVersion());
}
