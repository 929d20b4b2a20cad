import { Injectable } from '@nestjs/common';
import type { QueryConfig } from 'pg';
import { ApiKeysReader } from '../api-keys/api-keys-reader.service.js';
import { grants } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { wireInteger } from '../common/wire-integer.js';
import { ControlPool } from '../database/pools.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import type { DetailedUsage } from './usage-sums.js';

/** An event as it is stored, and who reported it. */
export interface RecordedEvent {
  readonly id: number;
  readonly apiKeyId: number;
  readonly requestId: string;
  readonly reportedByUserId: number | null;
  /** Set when it was reported with an API key. */
  readonly reportedByApiKeyId: number | null;
  readonly endpoint: string;
  readonly method: string;
  readonly model: string | null;
  readonly usage: Omit<DetailedUsage, 'requests'>;
  readonly statusCode: number | null;
  readonly responseTimeMs: number | null;
  readonly holdId: string | null;
  readonly occurredAt: Date;
  readonly receivedAt: Date;
  /** By whom and when it was reversed; null for an event that counts. */
  readonly reversal: Reversal | null;
}

export interface Reversal {
  readonly at: Date;
  readonly byUserId: number;
  readonly byApiKeyId: number | null;
}

/** A row of `SELECT_EVENTS`. */
export interface EventRow {
  readonly id: number;
  readonly api_key_id: number;
  readonly request_id: string;
  readonly reported_by_user_id: number | null;
  readonly reported_by_api_key_id: number | null;
  readonly endpoint: string;
  readonly method: string;
  readonly model: string | null;
  readonly request_tokens: string;
  readonly response_tokens: string;
  readonly cost: string;
  readonly status_code: number | null;
  readonly response_time_ms: string | null;
  readonly hold_id: string | null;
  readonly occurred_at: Date;
  readonly received_at: Date;
  readonly reversed_at: Date | null;
  readonly reversed_by_user_id: number | null;
  readonly reversed_by_api_key_id: number | null;
}

/** Reads events with what became of them; a condition on `events` follows. */
export const SELECT_EVENTS = `
  SELECT events.id, events.api_key_id, events.request_id, events.reported_by_user_id, events.reported_by_api_key_id,
    events.endpoint, events.method, events.model, events.request_tokens::text, events.response_tokens::text,
    events.cost_micro_cents::text AS cost, events.status_code, events.response_time_ms::text, events.hold_id,
    events.occurred_at, events.received_at, reversals.reversed_at, reversals.reversed_by_user_id,
    reversals.reversed_by_api_key_id
  FROM usage_events AS events LEFT JOIN usage_reversals AS reversals ON reversals.event_id = events.id`;

/** The most reporters of one request id that are read; there is hardly ever more than one. */
const MOST_REPORTERS = 100;
const READ_PERMISSION = 'platform:api-keys:read';

/** Single events, found by their request id as long as that is remembered: 31 to 62 days. */
@Injectable()
export class UsageEvents {
  constructor(
    private readonly apiKeys: ApiKeysReader,
    private readonly pool: ControlPool,
    private readonly events: EventPublisher,
  ) {}

  /**
   * The events of a key with a request id, one for each reporter that gave it.
   * @throws AppError `api_key.not_found`, `permission.denied`
   */
  async find(principal: Principal, apiKeyId: number, requestId: string): Promise<RecordedEvent[]> {
    // A caller who may read all keys may also read events of a deleted one: its usage stays.
    if (!grants(principal.permissions, READ_PERMISSION)) await this.apiKeys.readable(principal, apiKeyId);
    const { rows } = await this.pool.query<EventRow>(eventsStatement(apiKeyId, requestId));
    await this.events.observe('usage.events_viewed', { apiKeyId, requestId });
    return rows.map(toRecordedEvent);
  }
}

/** The events of a key that were reported under a request id. */
export function eventsStatement(apiKeyId: number, requestId: string): QueryConfig {
  return {
    name: 'find_usage_events',
    text: `
        ${SELECT_EVENTS}
        JOIN (
          SELECT event_id, received_at FROM usage_requests WHERE api_key_id = $1 AND request_id = $2
          UNION ALL
          SELECT event_id, received_at FROM usage_request_ids
          WHERE api_key_id = $1 AND request_id = $2 AND event_id IS NOT NULL
          LIMIT ${MOST_REPORTERS}
        ) AS named ON named.event_id = events.id
        WHERE events.occurred_at >= named.received_at - interval '31 days'
          AND events.occurred_at < named.received_at + interval '1 hour'
        ORDER BY events.id`,
    values: [apiKeyId, requestId],
  };
}

export function toRecordedEvent(row: EventRow): RecordedEvent {
  return {
    id: row.id,
    apiKeyId: row.api_key_id,
    requestId: row.request_id,
    reportedByUserId: row.reported_by_user_id,
    reportedByApiKeyId: row.reported_by_api_key_id,
    endpoint: row.endpoint,
    method: row.method,
    model: row.model,
    usage: {
      requestTokens: BigInt(row.request_tokens),
      responseTokens: BigInt(row.response_tokens),
      costMicroCents: BigInt(row.cost),
    },
    statusCode: row.status_code,
    responseTimeMs: row.response_time_ms === null ? null : wireInteger(BigInt(row.response_time_ms)),
    holdId: row.hold_id,
    occurredAt: row.occurred_at,
    receivedAt: row.received_at,
    reversal:
      row.reversed_at === null
        ? null
        : {
            at: row.reversed_at,
            byUserId: row.reversed_by_user_id ?? 0,
            byApiKeyId: row.reversed_by_api_key_id,
          },
  };
}
