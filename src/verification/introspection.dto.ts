import { ApiSchema } from '@nestjs/swagger';
import { component } from '../contract/components.js';
import { TextField } from '../contract/fields.js';
import { COUNT, nullable, TEXTS } from '../contract/wire-schemas.js';
import { NAMED_RESTRICTIONS } from './named-restrictions.js';

@ApiSchema({ name: 'IntrospectionRequest' })
export class IntrospectionDto {
  @TextField({ maxLength: 16_384, isSecret: true, description: 'The secret to ask about.' })
  token!: string;

  @TextField({ maxLength: 100, optional: true, description: 'Accepted as the RFC asks, and not needed.' })
  token_type_hint?: string;
}

const LIMIT = { ...nullable(COUNT), description: 'The smallest limit that binds the key; null for none.' };

/** RFC 7662 §2.2, and the restrictions of the key. Everything beside `active` is absent when that is false. */
export const INTROSPECTION_SCHEMA = component('Introspection', {
  type: 'object',
  description:
    'Whether a key is active (RFC 7662 §2.2). Everything beside `active` is absent when that is false.',
  required: ['active'],
  properties: {
    active: { type: 'boolean', description: 'Whether the key and its owner are active.' },
    scope: { type: 'string', description: 'The scopes, separated by spaces.' },
    client_id: { type: 'string', description: 'The id of the key.' },
    sub: { type: 'string', description: 'The id of its owner.' },
    username: { type: 'string', description: 'The name of its owner.' },
    exp: { ...COUNT, description: 'When it ends, Unix seconds; absent when it does not.' },
    iat: { ...COUNT, description: 'When it was created, Unix seconds.' },
    token_type: { type: 'string', description: 'Always `Bearer`.', examples: ['Bearer'] },
    tags: { ...TEXTS, description: 'The tags of the key.' },
    allowed_ips: { ...TEXTS, description: 'Addresses and blocks it may be used from; empty for any.' },
    ...Object.fromEntries(
      NAMED_RESTRICTIONS.map(({ field, meaning }) => [field, { ...TEXTS, description: meaning }]),
    ),
    rate_limit_per_minute: LIMIT,
    rate_limit_per_hour: LIMIT,
    rate_limit_per_day: LIMIT,
  },
});
