import { randomUUID } from 'node:crypto';

/** An event of a key as a service reports it; `fields` override the defaults. */
export function usageEvent(apiKeyId: number, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    api_key_id: apiKeyId,
    request_id: randomUUID(),
    endpoint: '/v1/chat/completions',
    method: 'POST',
    model: 'gpt-4o',
    request_tokens: 100,
    response_tokens: 20,
    cost_cents: '0.25',
    ...fields,
  };
}
