import { createHash } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';

interface Served {
  readonly bytes: Buffer;
  readonly tag: string;
}

/**
 * Serves a text that stays the same while the service runs. It is created on the first request and kept, because
 * anybody may ask for it; a caller that has it already gets 304.
 */
export function serveUnchangingText(
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
    if (hasTag(request.headers['if-none-match'], kept.tag)) return reply.code(304).send();
    return reply.type(`${mediaType}; charset=utf-8`).send(kept.bytes);
  });
}

function taggedBytes(text: string): Served {
  const bytes = Buffer.from(text);
  return { bytes, tag: `"${createHash('sha256').update(bytes).digest('base64url')}"` };
}

/** Whether an `If-None-Match` names a tag: weak comparison, as RFC 9110 §13.1.2 asks for. */
export function hasTag(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(',').some((each) => ['*', tag, `W/${tag}`].includes(each.trim()));
}
