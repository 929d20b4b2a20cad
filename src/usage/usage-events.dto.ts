import { ApiSchema } from '@nestjs/swagger';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { IntegerField, ResponseField, TextField } from '../contract/fields.js';
import {
  COUNT,
  DECIMAL_CENTS,
  DECIMAL_COUNT,
  ID,
  ROUNDED_CENTS,
  TIMESTAMP,
} from '../contract/wire-schemas.js';
import type { RecordedEvent } from './usage-events.queries.js';

const NULLABLE_ID = { ...ID, nullable: true } as const;
const NULLABLE_TEXT = { type: 'string', nullable: true } as const;

export class UsageEventIdParameter {
  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    fromText: true,
    description: 'The id of an event.',
  })
  id!: number;
}

export class UsageEventsQuery {
  @TextField({
    minLength: 1,
    maxLength: 200,
    description: 'As it was reported; `hold:<id>` for a settlement that told none.',
    example: '7c4cfe0e',
  })
  request_id!: string;
}

@ApiSchema({ name: 'RecordedUsageEvent' })
export class RecordedEventResponse {
  @ResponseField({ ...ID, description: 'Names the event.', example: 1 })
  id!: number;

  @ResponseField({ ...ID, description: 'The key it was made with.', example: 1 })
  api_key_id!: number;

  @ResponseField({ type: 'string', description: 'As it was reported.' })
  request_id!: string;

  @ResponseField({ ...NULLABLE_ID, description: 'Who reported it.' })
  reported_by_user_id!: number | null;

  @ResponseField({ ...NULLABLE_ID, description: 'Set when it was reported with an API key.' })
  reported_by_api_key_id!: number | null;

  @ResponseField({ type: 'string', description: 'What was called.' })
  endpoint!: string;

  @ResponseField({ type: 'string', description: 'The HTTP method.' })
  method!: string;

  @ResponseField({ ...NULLABLE_TEXT, description: 'The model that answered; null for none.' })
  model!: string | null;

  @ResponseField({ ...COUNT, description: 'Tokens that were sent.' })
  request_tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  request_tokens_decimal!: string;

  @ResponseField({ ...COUNT, description: 'Tokens that came back.' })
  response_tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  response_tokens_decimal!: string;

  @ResponseField(ROUNDED_CENTS)
  cost_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  cost_cents_decimal!: string;

  @ResponseField({ ...COUNT, nullable: true, description: 'The HTTP status of the answer.' })
  status_code!: number | null;

  @ResponseField({ ...COUNT, nullable: true, description: 'How long it took, in milliseconds.' })
  response_time_ms!: number | null;

  @ResponseField({ ...NULLABLE_TEXT, format: 'uuid', description: 'The hold that it settled.' })
  hold_id!: string | null;

  @ResponseField({ ...TIMESTAMP, description: 'When it was made.' })
  occurred_at!: string;

  @ResponseField({ ...TIMESTAMP, description: 'When it was reported.' })
  received_at!: string;

  @ResponseField({
    ...TIMESTAMP,
    nullable: true,
    description: 'When it was taken back; null while it counts.',
  })
  reversed_at!: string | null;

  @ResponseField({ ...NULLABLE_ID, description: 'Who took it back.' })
  reversed_by_user_id!: number | null;

  @ResponseField({ ...NULLABLE_ID, description: 'Set when it was taken back with an API key.' })
  reversed_by_api_key_id!: number | null;
}

@ApiSchema({ name: 'RecordedUsageEvents' })
export class RecordedEventsResponse {
  @ResponseField({ type: () => [RecordedEventResponse], description: 'One for each reporter, oldest first.' })
  usage_events!: RecordedEventResponse[];
}

export function toRecordedEventResponse(event: RecordedEvent): RecordedEventResponse {
  const { usage, reversal } = event;
  return {
    id: event.id,
    api_key_id: event.apiKeyId,
    request_id: event.requestId,
    reported_by_user_id: event.reportedByUserId,
    reported_by_api_key_id: event.reportedByApiKeyId,
    endpoint: event.endpoint,
    method: event.method,
    model: event.model,
    request_tokens: wireInteger(usage.requestTokens),
    request_tokens_decimal: usage.requestTokens.toString(),
    response_tokens: wireInteger(usage.responseTokens),
    response_tokens_decimal: usage.responseTokens.toString(),
    cost_cents: centsFromMicroCents(usage.costMicroCents),
    cost_cents_decimal: decimalCentsFromMicroCents(usage.costMicroCents),
    status_code: event.statusCode,
    response_time_ms: event.responseTimeMs,
    hold_id: event.holdId,
    occurred_at: event.occurredAt.toISOString(),
    received_at: event.receivedAt.toISOString(),
    reversed_at: reversal?.at.toISOString() ?? null,
    reversed_by_user_id: reversal?.byUserId ?? null,
    reversed_by_api_key_id: reversal?.byApiKeyId ?? null,
  };
}
