import { ApiSchema } from '@nestjs/swagger';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { ResponseField } from '../contract/fields.js';
import type { ApiKeyUsage } from './usage-statistics.queries.js';

const COUNT = { type: 'integer', format: 'int64', description: '2^53 − 1 for more.' } as const;
const DECIMAL_COUNT = { type: 'string', description: 'The exact number.', example: '1024' } as const;
const CENTS = {
  type: 'integer',
  format: 'int64',
  description: 'Rounded half up; 2^53 − 1 for more.',
} as const;
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

  @ResponseField(DECIMAL_COUNT)
  total_requests_decimal!: string;

  @ResponseField(COUNT)
  total_tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  total_tokens_decimal!: string;

  @ResponseField(CENTS)
  total_cost_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  total_cost_cents_decimal!: string;

  @ResponseField(COUNT)
  requests_today!: number;

  @ResponseField(DECIMAL_COUNT)
  requests_today_decimal!: string;

  @ResponseField(COUNT)
  tokens_today!: number;

  @ResponseField(DECIMAL_COUNT)
  tokens_today_decimal!: string;

  @ResponseField(CENTS)
  cost_today_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  cost_today_cents_decimal!: string;

  @ResponseField(COUNT)
  requests_this_hour!: number;

  @ResponseField(DECIMAL_COUNT)
  requests_this_hour_decimal!: string;

  @ResponseField(COUNT)
  tokens_this_hour!: number;

  @ResponseField(DECIMAL_COUNT)
  tokens_this_hour_decimal!: string;

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
    total_requests: wireInteger(totals.requests),
    total_requests_decimal: totals.requests.toString(),
    total_tokens: wireInteger(totals.tokens),
    total_tokens_decimal: totals.tokens.toString(),
    total_cost_cents: centsFromMicroCents(totals.costMicroCents),
    total_cost_cents_decimal: decimalCentsFromMicroCents(totals.costMicroCents),
    requests_today: wireInteger(today.requests),
    requests_today_decimal: today.requests.toString(),
    tokens_today: wireInteger(today.tokens),
    tokens_today_decimal: today.tokens.toString(),
    cost_today_cents: centsFromMicroCents(today.costMicroCents),
    cost_today_cents_decimal: decimalCentsFromMicroCents(today.costMicroCents),
    requests_this_hour: wireInteger(thisHour.requests),
    requests_this_hour_decimal: thisHour.requests.toString(),
    tokens_this_hour: wireInteger(thisHour.tokens),
    tokens_this_hour_decimal: thisHour.tokens.toString(),
    cost_this_hour_cents: centsFromMicroCents(thisHour.costMicroCents),
    cost_this_hour_cents_decimal: decimalCentsFromMicroCents(thisHour.costMicroCents),
    last_used_at: totals.lastUsedAt?.toISOString() ?? null,
  };
}
