import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { validationFailed } from '../common/app-error.js';
import type { Redactor } from '../common/redactor.js';
import type { Config } from '../config/config.js';
import { ClientAddresses } from './client-address.service.js';
import { answerClientError } from './client-errors.js';
import { RequestContextFactory } from './request-context-factory.service.js';
import { addControlPlaneHooks } from './control-plane-hooks.js';
import { excessOf, parseJson } from '../contract/json-text.js';
import type { OperationSettings } from '../contract/operation.js';
import { pathOf, problemDocument, PROBLEM_MEDIA_TYPE, toAppError } from '../contract/problem.js';
import { openRequestContext, resumeRequestContext } from '../context/request-context.js';
import { BrokenSchema } from '../contract/route-schema.js';
import { RouteTable } from '../contract/route-table.service.js';
import { schemaValidator } from '../contract/schema-validator.js';
import { holdBackBodies } from './unread-body.js';

const DEFAULT_BODY_LIMIT = 64 * 1024;
const WELL_FORMED_REQUEST_ID = /^[\w.:-]{1,128}$/;
const MOST_FORM_FIELDS = 100;
const FORM = 'application/x-www-form-urlencoded';

/** The Fastify server under Nest, with what holds for every request: id, context, body limits, JSON reading. */
export function createHttpAdapter(config: Config, routes: RouteTable, redactor: Redactor): FastifyAdapter {
  const adapter = new FastifyAdapter({
    genReqId: (request: IncomingMessage) => requestId(request, redactor),
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) =>
      answerUnreadableAddress(error, request, reply, redactor),
    clientErrorHandler: answerClientError,
    requestIdHeader: false,
    bodyLimit: DEFAULT_BODY_LIMIT,
    forceCloseConnections: 'idle',
    // While the service stops, requests on connections that are still open are answered, not refused.
    return503OnClosing: false,
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 256 },
    skipMiddie: true,
  });
  const server: FastifyInstance = adapter.getInstance();
  holdBackBodies(server);
  recordRoutes(server, routes);
  openContexts(server, config);
  readJson(server);
  readForms(server);
  checkBySchemas(server);
  return adapter;
}

/** A caller's `X-Request-Id` when it is well formed, else a new one. What is shaped like a secret is not. */
function requestId(request: IncomingMessage, redactor: Redactor): string {
  const given = request.headers['x-request-id'];
  const isUsable =
    typeof given === 'string' && WELL_FORMED_REQUEST_ID.test(given) && !redactor.holdsSecret(given);
  return isUsable ? given : randomUUID();
}

function recordRoutes(server: FastifyInstance, routes: RouteTable): void {
  server.addHook('onRoute', (route) => {
    if (route.url !== '*') routes.add(route.method, route.url);
    const settings: OperationSettings | undefined = route.config;
    if (settings?.bodyLimit !== undefined) route.bodyLimit = settings.bodyLimit;
    if (route.schema?.body !== undefined) route.attachValidation = true;
  });
}

/**
 * The context is opened when the request begins and entered once more after its body was read: the body arrives
 * in callbacks of the connection, which belong to no request.
 */
function openContexts(server: FastifyInstance, config: Config): void {
  const origins = new RequestContextFactory(new ClientAddresses(config));
  addControlPlaneHooks(server, {
    onRequest: (request, reply, done) => {
      void reply.header('x-request-id', request.id);
      openRequestContext(request.raw, origins.contextOf(request), done);
    },
    preValidation: (request, _reply, done) => resumeRequestContext(request.raw, done),
  });
}

/** An address that Fastify cannot read never reaches Nest: it is answered here, as a problem like any other. */
function answerUnreadableAddress(
  thrown: Error,
  request: FastifyRequest,
  reply: FastifyReply,
  redactor: Redactor,
): void {
  const error = toAppError(thrown);
  const problem = problemDocument(error, redactor.maskText(pathOf(request.url)), request.id);
  void reply
    .code(error.status)
    .header('x-request-id', request.id)
    .header('cache-control', 'no-store')
    .type(PROBLEM_MEDIA_TYPE)
    .send(JSON.stringify(problem));
}

/** JSON as the wire has it; an empty body counts as none, since many clients send the header alone. */
function readJson(server: FastifyInstance): void {
  server.removeContentTypeParser(['application/json', 'text/plain']);
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body: string, done) => {
    if (body === '') return done(null, undefined);
    const excess = excessOf(body, request.routeOptions.bodyLimit);
    if (excess !== undefined) return done(validationFailed([{ field: 'body', message: excess }]));
    try {
      return done(null, parseJson(body));
    } catch {
      return done(Object.assign(new Error('The body is not valid JSON.'), { statusCode: 400 }));
    }
  });
}

/**
 * Forms, on the routes that take one; elsewhere they are no better than any other unknown media type. OAuth, whose forms
 * these are, has each field at most once (RFC 6749 §3.2).
 */
function readForms(server: FastifyInstance): void {
  server.addContentTypeParser(FORM, { parseAs: 'string' }, (request, body: string, done) => {
    const { isForm } = request.routeOptions.config as OperationSettings;
    if (!isForm) return done(Object.assign(new Error('The body must be JSON.'), { statusCode: 415 }));
    if (body.split('&', MOST_FORM_FIELDS + 1).length > MOST_FORM_FIELDS)
      return done(
        validationFailed([{ field: 'body', message: `must have at most ${MOST_FORM_FIELDS} fields` }]),
      );
    const fields = new Map<string, string>();
    const repeated = new Set<string>();
    for (const [name, value] of new URLSearchParams(body)) {
      if (fields.has(name)) repeated.add(name);
      fields.set(name, value);
    }
    if (repeated.size === 0) return done(null, Object.fromEntries(fields));
    done(validationFailed(Array.from(repeated, (field) => ({ field, message: 'must be sent once' }))));
  });
}

/** Bodies of routes with a schema are checked by ours, which bounds what a body that breaks it costs. */
function checkBySchemas(server: FastifyInstance): void {
  server.setValidatorCompiler<object>(({ schema }) => {
    const validate = schemaValidator(schema);
    return (value: unknown) => {
      const errors = validate(value);
      return errors.length === 0 ? true : { error: new BrokenSchema(errors) };
    };
  });
}
