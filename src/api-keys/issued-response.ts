import type { FastifyReply } from 'fastify';
import { type ApiKeyWithSecretResponse, toApiKeyResponse } from './api-keys.responses.js';
import type { IssuedApiKey } from './replays.service.js';

/** Documents the header by which a repeat is known. */
export const REPLAYED = {
  'Idempotency-Replayed': {
    description: '`true` when the request was a repeat.',
    schema: { type: 'string' },
  },
} as const;

/** Documents the header that makes a request safe to repeat. */
export const IDEMPOTENCY_KEY = {
  name: 'Idempotency-Key',
  required: false,
  description: 'Makes the request safe to send again for a day.',
} as const;

/** A key with its new secret as they are shown; a repeat is marked by a header. */
export function toIssuedResponse(
  reply: FastifyReply,
  { apiKey, secret }: IssuedApiKey,
  now: Date,
): ApiKeyWithSecretResponse {
  if (secret === null) void reply.header('idempotency-replayed', 'true');
  return { api_key: toApiKeyResponse(apiKey, now), secret_key: secret?.reveal() ?? null };
}
