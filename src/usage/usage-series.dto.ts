import { ApiSchema } from '@nestjs/swagger';
import type { CsvCell } from '../contract/csv.js';
import { ChoiceField, ResponseField, TimestampField } from '../contract/fields.js';
import { ID, openEnum } from '../contract/wire-schemas.js';
import type { ApiKeyUsageSeries, UsageSeriesRequest } from './usage-series.queries.js';
import { FROM, fromQuery, TO, TO_QUERY } from './usage-span-fields.js';
import { USAGE_INTERVALS, type UsageInterval } from './usage-spans.policy.js';
import { DetailedUsageFields, USAGE_FIELD_NAMES, usageCells, usageFields } from './usage-sums.js';

export class UsageSeriesQuery {
  @TimestampField(fromQuery('24 hours, 30 days or 12 months'))
  from?: Date;

  @TimestampField(TO_QUERY)
  to?: Date;

  @ChoiceField({
    choices: USAGE_INTERVALS,
    optional: true,
    default: 'day',
    description: 'The length of a bucket.',
  })
  interval: UsageInterval = 'day';

  @ChoiceField({ choices: ['model'], optional: true, description: 'One series for each model.' })
  group_by?: 'model';
}

@ApiSchema({ name: 'UsageBucket' })
export class UsageBucketResponse extends DetailedUsageFields {
  @ResponseField({
    type: 'string',
    format: 'date-time',
    description: 'When the hour, day or month begins (UTC).',
  })
  start!: string;
}

@ApiSchema({ name: 'UsageLine' })
export class UsageLineResponse {
  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'Null for usage without a model, and where the series is not grouped by model.',
  })
  model!: string | null;

  @ResponseField({ type: () => [UsageBucketResponse], description: 'Without a gap, oldest first.' })
  buckets!: UsageBucketResponse[];
}

@ApiSchema({ name: 'ApiKeyUsageSeries' })
export class ApiKeyUsageSeriesResponse {
  @ResponseField({ ...ID, description: 'The key.', example: 1 })
  api_key_id!: number;

  @ResponseField(openEnum(USAGE_INTERVALS, 'The length of a bucket.'))
  interval!: UsageInterval;

  @ResponseField({
    ...openEnum(['model'], 'What the series is grouped by; null for nothing.'),
    nullable: true,
  })
  group_by!: 'model' | null;

  @ResponseField(FROM)
  from!: string;

  @ResponseField(TO)
  to!: string;

  @ResponseField({ type: () => [UsageLineResponse], description: 'One series, or one for each model.' })
  series!: UsageLineResponse[];
}

export function toUsageSeriesRequest(query: UsageSeriesQuery): UsageSeriesRequest {
  const { interval, from, to, group_by } = query;
  return { interval, from, to, byModel: group_by === 'model' };
}

export function toApiKeyUsageSeriesResponse(series: ApiKeyUsageSeries): ApiKeyUsageSeriesResponse {
  const { apiKeyId, interval, byModel, span, lines } = series;
  return {
    api_key_id: apiKeyId,
    interval,
    group_by: byModel ? 'model' : null,
    from: span.from.toISOString(),
    to: span.to.toISOString(),
    series: lines.map(({ model, buckets }) => ({
      model,
      buckets: buckets.map(({ start, usage }) => ({ start: start.toISOString(), ...usageFields(usage) })),
    })),
  };
}

/** The columns of a series as CSV; the model is one of them where the series is grouped by model. */
export function usageSeriesColumns({ byModel }: ApiKeyUsageSeries): string[] {
  return ['start', ...(byModel ? ['model'] : []), ...USAGE_FIELD_NAMES];
}

export function usageSeriesRows({ byModel, lines }: ApiKeyUsageSeries): CsvCell[][] {
  return lines.flatMap(({ model, buckets }) =>
    buckets.map(({ start, usage }) => [
      start.toISOString(),
      ...(byModel ? [model] : []),
      ...usageCells(usageFields(usage)),
    ]),
  );
}
