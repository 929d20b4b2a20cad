import { createHash } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { namesEntityTag } from './request-headers.js';

interface Served {
  readonly bytes: Buffer;
  readonly tag: string;
}

/**
 * Serves a text that stays the same while the service runs. It is created on the first request and kept, because
 * anybody may ask for it; a caller that has it already gets 304.
 */
export function serveStaticText(
  app: NestFastifyApplication,
  url: string,
  mediaType: string,
  create: () => string,
): void {
  const server: FastifyInstance = app.getHttpAdapter().getInstance();
  let kept: Served | undefined;
  server.get(url, (request, reply) => {
    kept ??= taggedBytes(create());
    void reply.header('etag', kept.tag).header('cache-control', 'no-cache');
    if (namesEntityTag(request.headers['if-none-match'], kept.tag))
      return answerNotModified(request, reply, kept.bytes);
    return reply.type(`${mediaType}; charset=utf-8`).send(kept.bytes);
  });
}

function taggedBytes(text: string): Served {
  const bytes = Buffer.from(text);
  return { bytes, tag: `"${createHash('sha256').update(bytes).digest('base64url')}"` };
}

/** Answers 304. To HEAD the length is that of the content (RFC 9110 §8.6), which Fastify then does not send. */
export function answerNotModified(
  { method }: FastifyRequest,
  reply: FastifyReply,
  content: Buffer | undefined,
): FastifyReply {
  return reply.code(304).send(method === 'HEAD' ? content : undefined);
}
