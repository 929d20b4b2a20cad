import { readFileSync } from 'node:fs';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { dump } from 'js-yaml';
import { projectPath } from '../common/project-path.js';
import { addExamples } from './api-examples.js';
import { API_GUIDE } from './api-guide.js';
import { addProblemResponses } from './api-document-problems.js';
import { completeSchemas } from './document-schemas.js';
import { GUIDE_PATH } from './api-path.js';
import { serveStaticText } from './static-text.js';

/** Where the pages of the API document are served. */
export const DOCS_PATH = 'docs';

/** Describes the application from its controllers: the OpenAPI 3.1 document that `openapi.json` holds. */
export function describeApi(app: NestFastifyApplication, version: string): OpenAPIObject {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Latchkey')
    .setDescription(API_GUIDE)
    .setVersion(version)
    .setLicense('MIT', 'https://opensource.org/license/mit')
    .addServer('/')
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'An access token from `login`, or an API key.',
      },
      'accessToken',
    )
    .addApiKey(
      {
        type: 'apiKey',
        in: 'header',
        name: 'X-API-Key',
        description: 'An API key; it acts as its owner, limited to its scopes.',
      },
      'apiKeyHeader',
    );
  for (const [name, description] of TAGS) builder.addTag(name, description);
  const document = SwaggerModule.createDocument(app, builder.build());
  document.info.contact = { name: 'The operators of this installation' };
  addProblemResponses(document);
  completeSchemas(document);
  addExamples(document);
  return document;
}

/** The document as it is checked in. */
export function readApiDocument(): OpenAPIObject {
  return JSON.parse(readFileSync(projectPath('openapi.json'), 'utf8')) as OpenAPIObject;
}

/**
 * Serves the checked-in document as JSON, as YAML and as pages for people. `publicUrl` is where callers reach the service;
 * without it they are sent to where they read the document.
 */
export function serveApiDocument(app: NestFastifyApplication, publicUrl: string | undefined): void {
  const servers = publicUrl === undefined ? {} : { servers: [{ url: publicUrl }] };
  // Read again where it is needed: most instances never show it, and it is large.
  const read = () => ({ ...readApiDocument(), ...servers });
  serveStaticText(app, '/openapi.json', 'application/json', () => JSON.stringify(read()));
  serveStaticText(app, '/openapi.yaml', 'text/yaml', () => dump(read(), { noRefs: true }));
  protectPages(app.getHttpAdapter().getInstance(), publicUrl);
  // Of this server alone: the document itself may be read anywhere.
  const externalDocs = { description: 'Tutorial and guides', url: `/${GUIDE_PATH}` };
  SwaggerModule.setup(DOCS_PATH, app, () => ({ ...read(), externalDocs }), {
    // Nest's own routes convert the document for each request.
    raw: false,
    customSiteTitle: 'Latchkey API',
    swaggerOptions: { persistAuthorization: true, displayRequestDuration: true, tryItOutEnabled: true },
  });
}

/** The pages keep a credential in the browser: nothing but their own scripts runs in them, and no other page frames them. */
function protectPages(server: FastifyInstance, publicUrl: string | undefined): void {
  const called = publicUrl === undefined ? "'self'" : `'self' ${new URL(publicUrl).origin}`;
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    // The pages of Swagger UI have styles in their elements.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src ${called}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  server.addHook('onRoute', (route) => {
    if (route.url !== `/${DOCS_PATH}` && !route.url.startsWith(`/${DOCS_PATH}/`)) return;
    const earlier = route.onRequest === undefined ? [] : [route.onRequest].flat();
    route.onRequest = [
      ...earlier,
      (_request, reply, done) => {
        void reply.headers({ 'content-security-policy': policy, 'x-content-type-options': 'nosniff' });
        done();
      },
    ];
  });
}

const TAGS = [
  ['Authentication', 'Log in, refresh, log out, and ask who a credential belongs to.'],
  ['API keys', 'Create, restrict, budget, rotate and revoke API keys.'],
  ['Verification', 'Ask whether a key may do something now.'],
  ['Usage', 'What keys were used for.'],
  ['Budget holds', 'Set amounts of budgets aside before they are spent.'],
  ['Users', 'Administration of users, their roles and permissions.'],
  ['Organizations', 'Tenants: companies, or customers of a platform.'],
  ['Projects', 'Parts of organizations, with keys and members of their own.'],
  ['Policies', 'What the keys of organizations and projects must obey.'],
  ['Budgets', 'What all keys of an organization or a project may spend together.'],
  ['Members', 'Who may do what in an organization or a project.'],
  ['Invitations', 'Offers to become a member.'],
  ['Service accounts', 'Owners of keys that are no person.'],
  ['Audit', 'The record of every action.'],
  ['Service', 'Health, metrics and error pages.'],
] as const;
