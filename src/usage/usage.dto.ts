import { ApiSchema } from '@nestjs/swagger';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { ResponseField } from '../http/fields.js';
import type { ApiKeyUsage } from './usage-statistics.js';

const COUNT = { type: 'integer', format: 'int64' } as const;
const CENTS = { type: 'integer', format: 'int64', description: 'Rounded half up.' } as const;
const DECIMAL_CENTS = {
  type: 'string',
  description: 'The exact cost in cents.',
  example: '0.004250',
} as const;

@ApiSchema({ name: 'ApiKeyUsage' })
export class ApiKeyUsageResponse {
  @ResponseField({ type: 'string', example: '1' })
  api_key_id!: string;

  @ResponseField(COUNT)
  total_requests!: number;

  @ResponseField(COUNT)
  total_tokens!: number;

  @ResponseField(CENTS)
  total_cost_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  total_cost_cents_decimal!: string;

  @ResponseField(COUNT)
  requests_today!: number;

  @ResponseField(COUNT)
  tokens_today!: number;

  @ResponseField(CENTS)
  cost_today_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  cost_today_cents_decimal!: string;

  @ResponseField(COUNT)
  requests_this_hour!: number;

  @ResponseField(COUNT)
  tokens_this_hour!: number;

  @ResponseField(CENTS)
  cost_this_hour_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  cost_this_hour_cents_decimal!: string;

  @ResponseField({ type: 'string', format: 'date-time', nullable: true })
  last_used_at!: string | null;
}

export function toApiKeyUsageResponse({
  apiKeyId,
  totals,
  today,
  thisHour,
}: ApiKeyUsage): ApiKeyUsageResponse {
  return {
    api_key_id: String(apiKeyId),
    total_requests: totals.requests,
    total_tokens: totals.tokens,
    total_cost_cents: centsFromMicroCents(totals.costMicroCents),
    total_cost_cents_decimal: decimalCentsFromMicroCents(totals.costMicroCents),
    requests_today: today.requests,
    tokens_today: today.tokens,
    cost_today_cents: centsFromMicroCents(today.costMicroCents),
    cost_today_cents_decimal: decimalCentsFromMicroCents(today.costMicroCents),
    requests_this_hour: thisHour.requests,
    tokens_this_hour: thisHour.tokens,
    cost_this_hour_cents: centsFromMicroCents(thisHour.costMicroCents),
    cost_this_hour_cents_decimal: decimalCentsFromMicroCents(thisHour.costMicroCents),
    last_used_at: totals.lastUsedAt?.toISOString() ?? null,
  };
}
