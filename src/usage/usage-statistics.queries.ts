import { Injectable } from '@nestjs/common';
import type { QueryConfig } from 'pg';
import { ApiKeysReader } from '../api-keys/api-keys-reader.service.js';
import type { ApiKeyTotals } from '../api-keys/api-key.js';
import type { Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import { ControlPool } from '../database/pools.js';
import { EventPublisher } from '../events/event-publisher.service.js';

/** Requests, tokens and cost of a span of time. */
export interface UsageSums {
  readonly requests: bigint;
  readonly tokens: bigint;
  readonly costMicroCents: bigint;
}

/** Usage of one key: over its life, since midnight UTC, since the last full hour. */
export interface ApiKeyUsage {
  readonly apiKeyId: number;
  readonly totals: ApiKeyTotals;
  readonly today: UsageSums;
  readonly thisHour: UsageSums;
}

interface SumsRow {
  readonly is_today: boolean;
  readonly requests: string;
  readonly tokens: string;
  readonly cost_micro_cents: string;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Statistics over the hourly rollups: what they cost does not grow with the number of events. */
@Injectable()
export class UsageStatistics {
  constructor(
    private readonly apiKeys: ApiKeysReader,
    private readonly pool: ControlPool,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `api_key.not_found`, `permission.denied` */
  async ofApiKey(principal: Principal, apiKeyId: number): Promise<ApiKeyUsage> {
    const { totals } = await this.apiKeys.readable(principal, apiKeyId);
    const [today, thisHour] = await this.#recent(apiKeyId, this.clock.nowMs());
    await this.events.observe('api_key.usage_viewed', { apiKeyId });
    return { apiKeyId, totals, today, thisHour };
  }

  async #recent(apiKeyId: number, now: number): Promise<[today: UsageSums, thisHour: UsageSums]> {
    const { rows } = await this.pool.query<SumsRow>(recentUsageStatement(apiKeyId, now));
    return [sumsOf(rows.find((row) => row.is_today)), sumsOf(rows.find((row) => !row.is_today))];
  }
}

/** Sums of a key's rollups since midnight and since the last full hour. */
export function recentUsageStatement(apiKeyId: number, now: number): QueryConfig {
  return {
    name: 'sum_recent_usage',
    text: `
        SELECT span.is_today, coalesce(sum(requests), 0)::text AS requests,
          coalesce(sum(request_tokens) + sum(response_tokens), 0)::text AS tokens,
          coalesce(sum(cost_micro_cents), 0)::text AS cost_micro_cents
        FROM (VALUES (true, $2::timestamptz), (false, $3::timestamptz)) AS span (is_today, starts_at)
        LEFT JOIN usage_hourly_rollups AS rollups
          ON rollups.api_key_id = $1 AND rollups.hour >= span.starts_at AND rollups.hour < $4
        GROUP BY span.is_today`,
    values: [
      apiKeyId,
      startOf(now, DAY_MS),
      startOf(now, HOUR_MS),
      new Date(startOf(now, HOUR_MS).getTime() + HOUR_MS),
    ],
  };
}

/** Unix time has no leap seconds, so UTC days and hours begin at its multiples. */
function startOf(now: number, spanMs: number): Date {
  return new Date(now - (now % spanMs));
}

function sumsOf(row: SumsRow | undefined): UsageSums {
  return {
    requests: BigInt(row?.requests ?? 0),
    tokens: BigInt(row?.tokens ?? 0),
    costMicroCents: BigInt(row?.cost_micro_cents ?? 0),
  };
}
