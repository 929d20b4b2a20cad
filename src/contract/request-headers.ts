import { createHash } from 'node:crypto';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { validationFailed } from '../common/app-error.js';

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;
/** The next entry of a list of entity tags (RFC 9110 §8.8.3), which may be empty, and the comma or end after it. */
const LISTED_TAG = /[ \t]*(?:(?<tag>(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|$)/y;
/** A tag that this service gives. */
const VERSION_TAG = /^"([1-9]\d{0,9})"$/;

/**
 * What stands for the `Idempotency-Key` of the request; undefined when it has none, 422 when it is malformed. Its
 * digest, because it is kept for a day and only ever compared: people paste secrets into any header.
 */
export const IdempotencyKey = createParamDecorator(
  (_data: unknown, context: ExecutionContext): string | undefined => {
    const value = headerOf(context, 'idempotency-key');
    if (value !== undefined && !IDEMPOTENCY_KEY.test(value)) {
      throw validationFailed([
        { field: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' },
      ]);
    }
    return value === undefined ? undefined : createHash('sha256').update(value).digest('base64url');
  },
);

/**
 * The versions that `If-Match` lets pass (RFC 9110 §13.1.1); undefined when the header is absent or `*`. A tag that
 * this service never gave, a weak one and a list that is malformed name no version.
 */
export const IfMatchVersions = createParamDecorator(
  (_data: unknown, context: ExecutionContext): readonly number[] | undefined => {
    const value = headerOf(context, 'if-match')?.trim();
    return value === undefined || value === '*' ? undefined : versionsIn(value);
  },
);

/** Documents the header that names the versions a change may be made of. */
export const IF_MATCH = {
  name: 'If-Match',
  required: false,
  description: 'The ETag last seen, or a list of them; 412 when what is stored has none of these.',
} as const;

/** The entity tag of a version. */
export function entityTag(version: number): string {
  return `"${version}"`;
}

/** Whether an `If-None-Match` names a tag, or any: compared weakly, as RFC 9110 §13.1.2 asks for. */
export function namesEntityTag(ifNoneMatch: string | undefined, tag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const opaque = tag.replace(/^W\//, '');
  return entityTagsIn(ifNoneMatch).some((named) => named.replace(/^W\//, '') === opaque);
}

function versionsIn(list: string): number[] {
  return entityTagsIn(list).flatMap((tag) => {
    const version = VERSION_TAG.exec(tag)?.[1];
    return version === undefined ? [] : [Number(version)];
  });
}

/** The entity tags of a list; none of one that is malformed. */
function entityTagsIn(list: string): string[] {
  const tags: string[] = [];
  LISTED_TAG.lastIndex = 0;
  while (LISTED_TAG.lastIndex < list.length) {
    const entry = LISTED_TAG.exec(list);
    if (entry === null) return [];
    const tag = entry.groups?.['tag'];
    if (tag !== undefined) tags.push(tag);
  }
  return tags;
}

function headerOf(context: ExecutionContext, name: string): string | undefined {
  const value = context.switchToHttp().getRequest<FastifyRequest>().headers[name];
  return value === undefined ? undefined : String(value);
}
