import { Injectable } from '@nestjs/common';
import type { QueryConfig } from 'pg';
import { ApiKeysReader } from '../api-keys/api-keys-reader.service.js';
import type { Principal } from '../auth/principal.js';
import { validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { ReportQueries } from '../database/report.queries.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import {
  groupsStatement,
  type GroupRow,
  type GroupUsage,
  rollupsOf,
  type SummedKeys,
  toGroupUsage,
  type UsageGroup,
} from './usage-groups.queries.js';
import { bucketStarts, usageSpan, type UsageSpan } from './usage-spans.policy.js';
import {
  type DetailedUsage,
  NO_USAGE,
  toDetailedUsage,
  USAGE_SUM_COLUMNS,
  type UsageSumRow,
} from './usage-sums.js';

/** What a summary is asked for; `from` belongs to it, `to` does not. */
export interface UsageSummaryRequest {
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  /** Whose keys. Default: the caller's own and those that they may read. */
  readonly userId?: number | undefined;
  readonly organizationId?: number | undefined;
  readonly projectId?: number | undefined;
  readonly groupBy?: UsageGroup | undefined;
}

export interface KeyUsage {
  readonly apiKeyId: number;
  readonly name: string;
  readonly usage: DetailedUsage;
}

export interface ModelUsage {
  /** Null for usage without a model. */
  readonly model: string | null;
  readonly usage: DetailedUsage;
}

export interface DayUsage {
  readonly day: Date;
  readonly usage: DetailedUsage;
}

/** Usage of all keys that the caller may see. Keys that are deleted count: they were used. */
export interface SummedUsage {
  /** Null for everyone. */
  readonly userId: number | null;
  readonly span: UsageSpan;
  readonly total: DetailedUsage;
  /** The ten that cost most, those first. */
  readonly topKeys: readonly KeyUsage[];
  readonly topModels: readonly ModelUsage[];
  /** Without a gap, oldest first. */
  readonly days: readonly DayUsage[];
  /** The hundred that cost most, those first; undefined where no grouping was asked for. */
  readonly groups: readonly GroupUsage[] | undefined;
}

interface SummaryRow extends UsageSumRow {
  readonly kind: 'total' | 'key' | 'model' | 'day';
  readonly api_key_id: number | null;
  readonly name: string | null;
  readonly model: string | null;
  readonly day: Date | null;
}

const MOST_DAYS = 366;
const TOP = 10;

/** Usage of many keys together, from the hourly rollups: what it costs does not grow with the number of events. */
@Injectable()
export class UsageSummary {
  constructor(
    private readonly apiKeys: ApiKeysReader,
    private readonly reports: ReportQueries,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `permission.denied`; `validation.failed` for a span that is empty or longer than 366 days */
  async of(principal: Principal, request: UsageSummaryRequest): Promise<SummedUsage> {
    const { organizationId, projectId, groupBy } = request;
    const { userId = null, visible } = this.apiKeys.visible(principal, request);
    const keys = { userId, organizationId, projectId, visible };
    const span = usageSpan('day', request, this.clock.now());
    const days = daysOf(span);
    const rows = await this.reports.query<SummaryRow>(principal.userId, sumsStatement(span, keys));
    const groups =
      groupBy === undefined
        ? undefined
        : await this.reports.query<GroupRow>(principal.userId, groupsStatement(span, keys, groupBy));
    await this.events.observe('usage.summary_viewed', {
      filters: {
        from: span.from.toISOString(),
        to: span.to.toISOString(),
        user_id: userId,
        ...(organizationId === undefined ? {} : { organization_id: organizationId }),
        ...(projectId === undefined ? {} : { project_id: projectId }),
        ...(groupBy === undefined ? {} : { group_by: groupBy }),
      },
    });
    return { userId, span, ...toSummary(rows, days), groups: groups?.map(toGroupUsage) };
  }
}

/** Sums of some keys: one pass over the rollups, grouped in four ways at once. */
export function sumsStatement({ from, to }: UsageSpan, keys: SummedKeys): QueryConfig {
  const { name, rollups, values } = rollupsOf(keys);
  return {
    ...(name === undefined ? {} : { name: `sum_usage_of_${name}` }),
    text: `
      SELECT kind, api_key_id, names.name, model, day, requests, request_tokens, response_tokens, cost_micro_cents
      FROM (
        SELECT *, row_number() OVER (
          PARTITION BY kind ORDER BY cost_micro_cents::numeric DESC, requests::numeric DESC, api_key_id, model COLLATE "C"
        ) AS place
        FROM (
          SELECT CASE GROUPING(api_key_id, model, day) WHEN 3 THEN 'key' WHEN 5 THEN 'model' WHEN 6 THEN 'day' ELSE 'total' END
            AS kind, api_key_id, model, day, ${USAGE_SUM_COLUMNS}
          FROM (
            SELECT *, date_trunc('day', hour, 'UTC') AS day FROM ${rollups}
          ) AS rollups
          GROUP BY GROUPING SETS ((), (api_key_id), (model), (day))
          HAVING sum(requests) IS NOT NULL
        ) AS sums
      ) AS placed
      LEFT JOIN api_keys AS names ON names.id = placed.api_key_id
      WHERE kind = 'day' OR place <= ${TOP} ORDER BY kind, place`,
    values: [from, to, ...values],
  };
}

function daysOf(span: UsageSpan): Date[] {
  if (span.from >= span.to) throw validationFailed([{ field: 'to', message: 'must be later than from' }]);
  const days = bucketStarts('day', span, MOST_DAYS);
  if (days !== undefined) return days;
  throw validationFailed([{ field: 'from', message: `must be at most ${MOST_DAYS} days before to` }]);
}

function toSummary(
  rows: readonly SummaryRow[],
  days: readonly Date[],
): Omit<SummedUsage, 'userId' | 'span' | 'groups'> {
  const ofKind = (kind: SummaryRow['kind']) => rows.filter((row) => row.kind === kind);
  const [total] = ofKind('total');
  const byDay = new Map(ofKind('day').map((row) => [row.day?.getTime(), toDetailedUsage(row)]));
  return {
    total: total === undefined ? NO_USAGE : toDetailedUsage(total),
    topKeys: ofKind('key').map((row) => ({
      apiKeyId: row.api_key_id ?? 0,
      name: row.name ?? '',
      usage: toDetailedUsage(row),
    })),
    topModels: ofKind('model').map((row) => ({
      model: row.model === '' ? null : row.model,
      usage: toDetailedUsage(row),
    })),
    days: days.map((day) => ({ day, usage: byDay.get(day.getTime()) ?? NO_USAGE })),
  };
}
