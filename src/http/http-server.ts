import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../config/config.js';
import { ClientAddresses } from './client-address.js';
import { problemDocument, PROBLEM_MEDIA_TYPE, toAppError } from './problem.js';
import { openRequestContext, type RequestContext, resumeRequestContext } from './request-context.js';
import { RouteTable } from './route-table.js';

const DEFAULT_BODY_LIMIT = 64 * 1024;
const WELL_FORMED_REQUEST_ID = /^[\w.:-]{1,128}$/;
const LONGEST_USER_AGENT = 512;

/** The Fastify server under Nest, with what holds for every request: id, context, body limits, JSON reading. */
export function createHttpAdapter(config: Config, routes: RouteTable): FastifyAdapter {
  const adapter = new FastifyAdapter({
    genReqId: requestId,
    frameworkErrors: answerUnreadableAddress,
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
  noteRoutes(server, routes);
  openContexts(server, config);
  readJson(server);
  return adapter;
}

/** What `@Operation` leaves in the configuration of a route. */
interface RouteSettings {
  readonly bodyLimit?: number;
}

/** A caller's `X-Request-Id` when it is well formed, else a new one. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && WELL_FORMED_REQUEST_ID.test(given) ? given : randomUUID();
}

function noteRoutes(server: FastifyInstance, routes: RouteTable): void {
  server.addHook('onRoute', (route) => {
    if (route.url !== '*') routes.add(route.method, route.url);
    const settings: RouteSettings | undefined = route.config;
    const limit = settings?.bodyLimit;
    if (limit !== undefined) route.bodyLimit = limit;
  });
}

/**
 * The context is opened when the request begins and entered once more after its body was read: the body arrives
 * in callbacks of the connection, which belong to no request.
 */
function openContexts(server: FastifyInstance, config: Config): void {
  const addresses = new ClientAddresses(config);
  server.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    openRequestContext(request.raw, contextOf(request, addresses), done);
  });
  server.addHook('preValidation', (request, _reply, done) => resumeRequestContext(request.raw, done));
}

function contextOf(request: FastifyRequest, addresses: ClientAddresses): RequestContext {
  return {
    requestId: request.id,
    clientAddress: addresses.of(request.raw),
    userAgent: request.headers['user-agent']?.slice(0, LONGEST_USER_AGENT),
  };
}

/** An address that Fastify cannot read never reaches Nest: it is answered here, as a problem like any other. */
function answerUnreadableAddress(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemDocument(toAppError(error), '/', request.id);
  void reply
    .code(400)
    .type(PROBLEM_MEDIA_TYPE)
    .header('x-request-id', request.id)
    .send(JSON.stringify(problem));
}

/** JSON as the wire has it; an empty body counts as none, since many clients send the header alone. */
function readJson(server: FastifyInstance): void {
  server.removeContentTypeParser(['application/json', 'text/plain']);
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body: string, done) => {
    if (body === '') return done(null, undefined);
    try {
      return done(null, JSON.parse(body));
    } catch {
      return done(Object.assign(new Error('The body is not valid JSON.'), { statusCode: 400 }));
    }
  });
}
