import { ApiSchema } from '@nestjs/swagger';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { IntegerField, ResponseField, TextField } from '../contract/fields.js';
import type { RecordedEvent } from './usage-events.queries.js';

const COUNT = { type: 'integer', format: 'int64' } as const;
const NULLABLE_COUNT = { ...COUNT, nullable: true } as const;
const NULLABLE_TEXT = { type: 'string', nullable: true } as const;
const TIMESTAMP = { type: 'string', format: 'date-time' } as const;

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
  @ResponseField({ ...COUNT, example: 1 })
  id!: number;

  @ResponseField({ ...COUNT, example: 1 })
  api_key_id!: number;

  @ResponseField({ type: 'string' })
  request_id!: string;

  @ResponseField({ ...NULLABLE_COUNT, description: 'Who reported it.' })
  reported_by_user_id!: number | null;

  @ResponseField({ ...NULLABLE_COUNT, description: 'Set when it was reported with an API key.' })
  reported_by_api_key_id!: number | null;

  @ResponseField({ type: 'string' })
  endpoint!: string;

  @ResponseField({ type: 'string' })
  method!: string;

  @ResponseField(NULLABLE_TEXT)
  model!: string | null;

  @ResponseField(COUNT)
  request_tokens!: number;

  @ResponseField({ type: 'string', description: 'The exact number.' })
  request_tokens_decimal!: string;

  @ResponseField(COUNT)
  response_tokens!: number;

  @ResponseField({ type: 'string', description: 'The exact number.' })
  response_tokens_decimal!: string;

  @ResponseField({ ...COUNT, description: 'Rounded half up.' })
  cost_cents!: number;

  @ResponseField({ type: 'string', description: 'The exact cost in cents.', example: '0.004250' })
  cost_cents_decimal!: string;

  @ResponseField({ type: 'integer', nullable: true })
  status_code!: number | null;

  @ResponseField(NULLABLE_COUNT)
  response_time_ms!: number | null;

  @ResponseField({ ...NULLABLE_TEXT, format: 'uuid', description: 'The hold that it settled.' })
  hold_id!: string | null;

  @ResponseField(TIMESTAMP)
  occurred_at!: string;

  @ResponseField(TIMESTAMP)
  received_at!: string;

  @ResponseField({
    ...TIMESTAMP,
    nullable: true,
    description: 'When it was taken back; null while it counts.',
  })
  reversed_at!: string | null;

  @ResponseField({ ...NULLABLE_COUNT, description: 'Who took it back.' })
  reversed_by_user_id!: number | null;

  @ResponseField({ ...NULLABLE_COUNT, description: 'Set when it was taken back with an API key.' })
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
