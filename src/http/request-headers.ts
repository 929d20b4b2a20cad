import { createHash } from 'node:crypto';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { validationFailed } from '../common/app-error.js';

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;
const ENTITY_TAG = /^"(\d{1,10})"$/;

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
 * The version that `If-Match` asks for (RFC 9110 §13.1.1); undefined when the header is absent or `*`. A tag this
 * service never gave is a version that nothing has.
 */
export const IfMatchVersion = createParamDecorator(
  (_data: unknown, context: ExecutionContext): number | undefined => {
    const value = headerOf(context, 'if-match')?.trim();
    if (value === undefined || value === '*') return undefined;
    return Number(ENTITY_TAG.exec(value)?.[1] ?? -1);
  },
);

/** The entity tag of a version. */
export function entityTag(version: number): string {
  return `"${version}"`;
}

function headerOf(context: ExecutionContext, name: string): string | undefined {
  const value = context.switchToHttp().getRequest<FastifyRequest>().headers[name];
  return value === undefined ? undefined : String(value);
}
