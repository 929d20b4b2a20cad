import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Requests whose caller waits for `100 Continue` before it sends the body. */
const waiting = new WeakSet<IncomingMessage>();

/**
 * Lets callers that send `Expect: 100-continue` wait until their request is admitted. One that gets its
 * response before may send its body or not, so its connection is closed then (RFC 9110 §10.1.1). Any other expectation is
 * ignored, which the RFC allows; Node's own response to one has no body.
 */
export function holdBackBodies({ server }: FastifyInstance): void {
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('checkContinue', (request, response) => {
    waiting.add(request);
    response.setHeader('connection', 'close');
    server.emit('request', request, response);
  });
}

/** Tells the caller of an admitted request to send the body, unless it is larger than the route accepts. */
export function letBodyCome({ raw, headers, routeOptions }: FastifyRequest, reply: FastifyReply): void {
  if (headers.expect === undefined || !waiting.has(raw)) return;
  if (Number(headers['content-length'] ?? 0) > (routeOptions.bodyLimit ?? 0)) return;
  waiting.delete(raw);
  reply.raw.removeHeader('connection');
  reply.raw.writeContinue();
}

/** Whether a request has a body, by its headers (RFC 9112 §6.3). */
export function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/**
 * Bounds how much of a body is received that no handler reads: up to the limit of the route it is discarded, so that the
 * connection can be used again; beyond it the connection is closed.
 */
export function passOverBody(request: FastifyRequest, reply: FastifyReply): void {
  const { raw, headers, routeOptions } = request;
  if (raw.complete || !hasBody(request)) return;
  const length = headers['content-length'];
  const limit = routeOptions.bodyLimit ?? 0;
  if (length === undefined) cutBeyond(limit, raw, reply);
  else if (Number(length) > limit) void reply.header('connection', 'close');
}

/** The response is sent before the connection is closed. */
function cutBeyond(limit: number, raw: IncomingMessage, { raw: response }: FastifyReply): void {
  let left = limit;
  raw.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left >= 0) return;
    raw.pause();
    if (response.writableFinished) raw.destroy();
    else response.once('finish', () => raw.destroy());
  });
}
