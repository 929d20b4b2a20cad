import { Injectable } from '@nestjs/common';
import type { QueryConfig } from 'pg';
import { ApiKeysReader } from '../api-keys/api-keys-reader.service.js';
import type { Principal } from '../auth/principal.js';
import { validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { ReportQueries } from '../database/report.queries.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { bucketStarts, type UsageInterval, usageSpan, type UsageSpan } from './usage-spans.policy.js';
import {
  type DetailedUsage,
  NO_USAGE,
  toDetailedUsage,
  USAGE_SUM_COLUMNS,
  type UsageSumRow,
} from './usage-sums.js';

/** What a series is asked for; `from` belongs to it, `to` does not. */
export interface UsageSeriesRequest {
  readonly interval: UsageInterval;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  readonly byModel: boolean;
}

export interface UsageBucket {
  readonly start: Date;
  readonly usage: DetailedUsage;
}

/** Buckets without a gap, oldest first. The model is null for usage without one, and where the series is not grouped by model. */
export interface UsageLine {
  readonly model: string | null;
  readonly buckets: readonly UsageBucket[];
}

/** Usage of a key over time. The span is what was asked for, widened to whole hours. */
export interface ApiKeyUsageSeries {
  readonly apiKeyId: number;
  readonly interval: UsageInterval;
  readonly byModel: boolean;
  readonly span: UsageSpan;
  readonly lines: readonly UsageLine[];
}

interface BucketRow extends UsageSumRow {
  readonly start: Date;
  readonly model: string;
}

const MOST_BUCKETS = 10_000;
/** Over all models: what one answer may hold. */
const MOST_BUCKETS_IN_ALL = 20_000;

/** Usage of a key over time, from the hourly rollups: what it costs does not grow with the number of events. */
@Injectable()
export class UsageSeries {
  constructor(
    private readonly apiKeys: ApiKeysReader,
    private readonly reports: ReportQueries,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `api_key.not_found`, `permission.denied`; `validation.failed` for a span that is empty or too long */
  async ofApiKey(
    principal: Principal,
    apiKeyId: number,
    request: UsageSeriesRequest,
  ): Promise<ApiKeyUsageSeries> {
    await this.apiKeys.readable(principal, apiKeyId);
    const { interval, byModel } = request;
    const span = usageSpan(interval, request, this.clock.now());
    const starts = startsOf(interval, span);
    const statement = bucketsStatement(apiKeyId, request, span);
    const rows = await this.reports.query<BucketRow>(principal.userId, statement);
    const lines = toLines(rows, starts, byModel);
    await this.events.observe('api_key.usage_series_viewed', {
      apiKeyId,
      interval,
      from: span.from.toISOString(),
      to: span.to.toISOString(),
      groupBy: byModel ? 'model' : null,
    });
    return { apiKeyId, interval, byModel, span, lines };
  }
}

/** Sums of a key's rollups, by the first columns of their index. */
export function bucketsStatement(
  apiKeyId: number,
  { interval, byModel }: UsageSeriesRequest,
  { from, to }: UsageSpan,
): QueryConfig {
  return {
    name: 'sum_usage_series',
    text: `
        SELECT date_trunc($4::text, hour, 'UTC') AS start, (CASE WHEN $5::boolean THEN model ELSE '' END) COLLATE "C" AS model, ${USAGE_SUM_COLUMNS}
        FROM usage_hourly_rollups AS rollups
        WHERE api_key_id = $1 AND hour >= $2 AND hour < $3
        GROUP BY 1, 2 ORDER BY 2, 1 LIMIT ${MOST_BUCKETS_IN_ALL + 1}`,
    values: [apiKeyId, from, to, interval, byModel],
  };
}

function startsOf(interval: UsageInterval, span: UsageSpan): Date[] {
  if (span.from >= span.to) throw validationFailed([{ field: 'to', message: 'must be later than from' }]);
  const starts = bucketStarts(interval, span, MOST_BUCKETS);
  if (starts !== undefined) return starts;
  throw validationFailed([
    { field: 'from', message: `must be at most ${MOST_BUCKETS} times the interval before to` },
  ]);
}

function toLines(rows: readonly BucketRow[], starts: readonly Date[], byModel: boolean): UsageLine[] {
  const byModelName = new Map<string, Map<number, DetailedUsage>>(byModel ? [] : [['', new Map()]]);
  for (const row of rows) {
    const line = byModelName.get(row.model) ?? new Map<number, DetailedUsage>();
    byModelName.set(row.model, line.set(row.start.getTime(), toDetailedUsage(row)));
  }
  if (rows.length > MOST_BUCKETS_IN_ALL || byModelName.size * starts.length > MOST_BUCKETS_IN_ALL) {
    throw validationFailed([
      { field: 'group_by', message: `must not make more than ${MOST_BUCKETS_IN_ALL} buckets in all` },
    ]);
  }
  return [...byModelName].map(([model, used]) => ({
    model: model === '' ? null : model,
    buckets: starts.map((start) => ({ start, usage: used.get(start.getTime()) ?? NO_USAGE })),
  }));
}
