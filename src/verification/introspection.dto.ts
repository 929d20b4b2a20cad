import { ApiSchema } from '@nestjs/swagger';
import { TextField } from '../contract/fields.js';
import { NAMED_RESTRICTIONS } from './named-restrictions.js';

@ApiSchema({ name: 'IntrospectionRequest' })
export class IntrospectionDto {
  @TextField({ maxLength: 16_384, isSecret: true, description: 'The secret to ask about.' })
  token!: string;

  @TextField({ maxLength: 100, optional: true, description: 'Accepted as the RFC asks, and not needed.' })
  token_type_hint?: string;
}

const LIMIT = { type: ['integer', 'null'] };
const TEXTS = { type: 'array', items: { type: 'string' } };

/** RFC 7662 §2.2, and the restrictions of the key. Everything beside `active` is absent when that is false. */
export const INTROSPECTION_SCHEMA = {
  type: 'object',
  required: ['active'],
  properties: {
    active: { type: 'boolean' },
    scope: { type: 'string', description: 'The scopes, separated by spaces.' },
    client_id: { type: 'string', description: 'The id of the key.' },
    sub: { type: 'string', description: 'The id of its owner.' },
    username: { type: 'string' },
    exp: { type: 'integer', description: 'When it ends, Unix seconds; absent when it does not.' },
    iat: { type: 'integer', description: 'When it was made, Unix seconds.' },
    token_type: { type: 'string', enum: ['Bearer'] },
    tags: TEXTS,
    allowed_ips: TEXTS,
    ...Object.fromEntries(NAMED_RESTRICTIONS.map(({ field }) => [field, TEXTS])),
    rate_limit_per_minute: LIMIT,
    rate_limit_per_hour: LIMIT,
    rate_limit_per_day: LIMIT,
  },
} as object;
