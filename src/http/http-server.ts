import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config/config.js';
import { addressList, clientAddress } from './client-address.js';
import { type RequestContext, runInRequestContext } from './request-context.js';
import { RouteTable } from './route-table.js';

const DEFAULT_BODY_LIMIT = 64 * 1024;
const WELL_FORMED_REQUEST_ID = /^[\w.:-]{1,128}$/;
const LONGEST_USER_AGENT = 512;

/** The Fastify server under Nest, with what holds for every request: id, context, body limits, JSON reading. */
export function createHttpAdapter(config: Config, routes: RouteTable): FastifyAdapter {
  const adapter = new FastifyAdapter({
    genReqId: requestId,
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
  openRequestContext(server, config);
  readJson(server);
  return adapter;
}

/** A caller's `X-Request-Id` when it is well formed, else a new one. */
function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && WELL_FORMED_REQUEST_ID.test(given) ? given : randomUUID();
}

function noteRoutes(server: FastifyInstance, routes: RouteTable): void {
  server.addHook('onRoute', (route) => {
    if (route.url !== '*') routes.add(route.method, route.url);
    const limit = (route.config as { bodyLimit?: number } | undefined)?.bodyLimit;
    if (limit !== undefined) route.bodyLimit = limit;
  });
}

/**
 * The context is opened when the request begins and entered once more after its body was read: the body arrives
 * in callbacks of the connection, which belong to no request.
 */
function openRequestContext(server: FastifyInstance, config: Config): void {
  const trustedProxies = addressList(config.trustedProxies);
  const contexts = new WeakMap<IncomingMessage, RequestContext>();
  server.addHook('onRequest', (request, reply, done) => {
    const { headers, socket } = request.raw;
    const forwardedFor = headers['x-forwarded-for'];
    const context: RequestContext = {
      requestId: request.id,
      clientAddress: clientAddress(socket.remoteAddress, forwardedFor?.toString(), trustedProxies),
      userAgent: headers['user-agent']?.slice(0, LONGEST_USER_AGENT),
    };
    contexts.set(request.raw, context);
    void reply.header('x-request-id', request.id);
    runInRequestContext(context, done);
  });
  server.addHook('preValidation', (request, _reply, done) => {
    const context = contexts.get(request.raw);
    if (context === undefined) done();
    else runInRequestContext(context, done);
  });
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
