import { ApiSchema } from '@nestjs/swagger';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { ResponseField } from '../contract/fields.js';
import { DECIMAL_CENTS, DECIMAL_COUNT, ROUNDED_CENTS, TOTAL } from '../contract/wire-schemas.js';
import type { ApiKeyUsage } from './usage-statistics.queries.js';

@ApiSchema({ name: 'ApiKeyUsage' })
export class ApiKeyUsageResponse {
  @ResponseField({ type: 'string', description: 'The key: here, and only here, as a string.', example: '1' })
  api_key_id!: string;

  @ResponseField({ ...TOTAL, description: 'Requests in all; 2^53 − 1 for more.' })
  total_requests!: number;

  @ResponseField(DECIMAL_COUNT)
  total_requests_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Tokens in all; 2^53 − 1 for more.' })
  total_tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  total_tokens_decimal!: string;

  @ResponseField({
    ...ROUNDED_CENTS,
    description: 'What they cost in all, rounded half up; 2^53 − 1 for more.',
  })
  total_cost_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  total_cost_cents_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Requests today (UTC); 2^53 − 1 for more.' })
  requests_today!: number;

  @ResponseField(DECIMAL_COUNT)
  requests_today_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Tokens today (UTC); 2^53 − 1 for more.' })
  tokens_today!: number;

  @ResponseField(DECIMAL_COUNT)
  tokens_today_decimal!: string;

  @ResponseField({
    ...ROUNDED_CENTS,
    description: 'What today (UTC) cost, rounded half up; 2^53 − 1 for more.',
  })
  cost_today_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  cost_today_cents_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Requests this hour; 2^53 − 1 for more.' })
  requests_this_hour!: number;

  @ResponseField(DECIMAL_COUNT)
  requests_this_hour_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Tokens this hour; 2^53 − 1 for more.' })
  tokens_this_hour!: number;

  @ResponseField(DECIMAL_COUNT)
  tokens_this_hour_decimal!: string;

  @ResponseField({
    ...ROUNDED_CENTS,
    description: 'What this hour cost, rounded half up; 2^53 − 1 for more.',
  })
  cost_this_hour_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  cost_this_hour_cents_decimal!: string;

  @ResponseField({
    type: 'string',
    format: 'date-time',
    nullable: true,
    description: 'True to within a minute; null when never used.',
  })
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
