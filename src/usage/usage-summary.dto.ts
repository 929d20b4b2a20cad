import { ApiSchema } from '@nestjs/swagger';
import type { CsvCell } from '../contract/csv.js';
import { ChoiceField, IntegerField, ResponseField, TimestampField } from '../contract/fields.js';
import { ID } from '../contract/wire-schemas.js';
import { FROM, fromQuery, TO, TO_QUERY } from './usage-span-fields.js';
import { USAGE_GROUPS, type UsageGroup } from './usage-groups.queries.js';
import type { SummedUsage, UsageSummaryRequest } from './usage-summary.queries.js';
import { DetailedUsageFields, USAGE_FIELD_NAMES, usageCells, usageFields } from './usage-sums.js';

/** Which usage is summed up. */
export class UsageSummaryExportQuery {
  @TimestampField(fromQuery('30 days'))
  from?: Date;

  @TimestampField(TO_QUERY)
  to?: Date;

  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    fromText: true,
    optional: true,
    description:
      'Whose keys. Default: the caller’s own and those of the organizations and projects that they may read; with `platform:api-keys:read` for the whole platform, everyone’s.',
  })
  user_id?: number;

  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    fromText: true,
    optional: true,
    description: 'Only keys in this organization.',
  })
  organization_id?: number;

  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    fromText: true,
    optional: true,
    description: 'Only keys in this project.',
  })
  project_id?: number;
}

/** The same, with sums by one thing more. */
export class UsageSummaryQuery extends UsageSummaryExportQuery {
  @ChoiceField({
    choices: USAGE_GROUPS,
    optional: true,
    description: 'Adds `groups`: the sums by this. A key with several tags counts in each of them.',
  })
  group_by?: UsageGroup;
}

@ApiSchema({ name: 'GroupUsage' })
export class GroupUsageResponse extends DetailedUsageFields {
  @ResponseField({
    type: 'string',
    nullable: true,
    description:
      'The id of the organization, project or user, the model, or the tag; null for usage without a model.',
    example: '1',
  })
  id!: string | null;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'The name of the organization, project or user; null for models and tags.',
  })
  name!: string | null;
}

@ApiSchema({ name: 'KeyUsage' })
export class KeyUsageResponse extends DetailedUsageFields {
  @ResponseField({ ...ID, description: 'The key.', example: 1 })
  api_key_id!: number;

  @ResponseField({ type: 'string', description: 'The name of the key.' })
  name!: string;
}

@ApiSchema({ name: 'ModelUsage' })
export class ModelUsageResponse extends DetailedUsageFields {
  @ResponseField({ type: 'string', nullable: true, description: 'Null for usage without a model.' })
  model!: string | null;
}

@ApiSchema({ name: 'DayUsage' })
export class DayUsageResponse extends DetailedUsageFields {
  @ResponseField({ type: 'string', format: 'date', description: 'The day (UTC).', example: '2026-11-22' })
  day!: string;
}

@ApiSchema({ name: 'UsageSummary' })
export class UsageSummaryResponse {
  @ResponseField({ ...ID, nullable: true, description: 'Whose keys; null for everyone.' })
  user_id!: number | null;

  @ResponseField(FROM)
  from!: string;

  @ResponseField(TO)
  to!: string;

  @ResponseField({ type: () => DetailedUsageFields, description: 'Of all keys and models together.' })
  total!: DetailedUsageFields;

  @ResponseField({ type: () => [KeyUsageResponse], description: 'The ten that cost most, those first.' })
  top_api_keys!: KeyUsageResponse[];

  @ResponseField({ type: () => [ModelUsageResponse], description: 'The ten that cost most, those first.' })
  top_models!: ModelUsageResponse[];

  @ResponseField({ type: () => [DayUsageResponse], description: 'Days of UTC without a gap, oldest first.' })
  days!: DayUsageResponse[];

  @ResponseField({
    type: () => [GroupUsageResponse],
    required: false,
    description: 'With `group_by`: the hundred that cost most, those first.',
  })
  groups?: GroupUsageResponse[];
}

export function toUsageSummaryRequest(
  query: UsageSummaryExportQuery | UsageSummaryQuery,
): UsageSummaryRequest {
  const { from, to, user_id, organization_id, project_id } = query;
  return {
    from,
    to,
    userId: user_id,
    organizationId: organization_id,
    projectId: project_id,
    groupBy: 'group_by' in query ? query.group_by : undefined,
  };
}

export function toUsageSummaryResponse(summary: SummedUsage): UsageSummaryResponse {
  return {
    user_id: summary.userId,
    from: summary.span.from.toISOString(),
    to: summary.span.to.toISOString(),
    total: usageFields(summary.total),
    top_api_keys: summary.topKeys.map(({ apiKeyId, name, usage }) => ({
      api_key_id: apiKeyId,
      name,
      ...usageFields(usage),
    })),
    top_models: summary.topModels.map(({ model, usage }) => ({ model, ...usageFields(usage) })),
    days: summary.days.map(({ day, usage }) => ({
      day: day.toISOString().slice(0, 10),
      ...usageFields(usage),
    })),
    ...(summary.groups === undefined
      ? {}
      : { groups: summary.groups.map(({ id, name, usage }) => ({ id, name, ...usageFields(usage) })) }),
  };
}

/** The columns of a summary as CSV: `section` is total, api_key, model or day, and says which of the next are
 * filled: of a group its id stands as the model, whatever it is. */
export const USAGE_SUMMARY_COLUMNS = ['section', 'api_key_id', 'name', 'model', 'day', ...USAGE_FIELD_NAMES];

export function usageSummaryRows(summary: SummedUsage): CsvCell[][] {
  const { total, top_api_keys, top_models, days } = toUsageSummaryResponse(summary);
  return [
    ['total', null, null, null, null, ...usageCells(total)],
    ...top_api_keys.map((key) => ['api_key', key.api_key_id, key.name, null, null, ...usageCells(key)]),
    ...top_models.map((model) => ['model', null, null, model.model, null, ...usageCells(model)]),
    ...days.map((day) => ['day', null, null, null, day.day, ...usageCells(day)]),
  ];
}
