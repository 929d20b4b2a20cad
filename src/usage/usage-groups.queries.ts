import type { QueryConfig } from 'pg';
import { visibleCondition, type VisibleKeys } from '../api-keys/api-key-conditions.js';
import type { UsageSpan } from './usage-spans.policy.js';
import { type DetailedUsage, toDetailedUsage, USAGE_SUM_COLUMNS, type UsageSumRow } from './usage-sums.js';

/** By what usage can be summed up beside keys and days. A key with several tags counts in each. */
export const USAGE_GROUPS = ['organization', 'project', 'user', 'model', 'tag'] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

/** Usage of one organization, project, user, model or tag. */
export interface GroupUsage {
  /** As text: an id, the name of a model, or a tag; null for usage without a model. */
  readonly id: string | null;
  /** Of an organization, a project or a user; null for models and tags. */
  readonly name: string | null;
  readonly usage: DetailedUsage;
}

/** A row of `groupsStatement`. */
export interface GroupRow extends UsageSumRow {
  readonly id: string | null;
  readonly name: string | null;
}

/** Keys whose usage is summed up: those of a user, of a place, or that a caller may see; all where nothing is said. */
export interface SummedKeys {
  readonly userId: number | null;
  readonly organizationId?: number | undefined;
  readonly projectId?: number | undefined;
  readonly visible?: VisibleKeys | undefined;
}

/** Rollups of some keys within `$1` and `$2` as table expression; further values follow these two. */
interface Rollups {
  /** Of the keys, so that the statement can be prepared; undefined where too many differ. */
  readonly name: string | undefined;
  readonly rollups: string;
  readonly values: unknown[];
}

const ROLLUPS_OF_EVERYONE = '(SELECT * FROM usage_hourly_rollups WHERE hour >= $1 AND hour < $2) AS in_span';
/**
 * Reads key by key, so that the plan, which is prepared once, never reads keys or usage of other users: live and deleted
 * keys have an index each, and rollups are found by their key.
 */
const ROLLUPS_OF_USER = `(
                SELECT id FROM api_keys WHERE user_id = $3 AND deleted_at IS NULL
                UNION ALL SELECT id FROM api_keys WHERE user_id = $3 AND deleted_at IS NOT NULL
              ) AS owned CROSS JOIN LATERAL (
                SELECT * FROM usage_hourly_rollups WHERE api_key_id = owned.id AND hour >= $1 AND hour < $2 OFFSET 0
              ) AS in_span`;
const MOST_GROUPS = 100;

/** The rollups of keys. Keys that are deleted count: they were used. */
export function rollupsOf({ userId, organizationId, projectId, visible }: SummedKeys): Rollups {
  const isNarrowed = [organizationId, projectId, visible].some((part) => part !== undefined);
  if (!isNarrowed)
    return userId === null
      ? { name: 'everyone', rollups: ROLLUPS_OF_EVERYONE, values: [] }
      : { name: 'user', rollups: ROLLUPS_OF_USER, values: [userId] };
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value) + 2}`;
  const conditions = [
    ...(userId === null ? [] : [`keys.user_id = ${parameter(userId)}`]),
    ...(organizationId === undefined ? [] : [`keys.organization_id = ${parameter(organizationId)}`]),
    ...(projectId === undefined ? [] : [`keys.project_id = ${parameter(projectId)}`]),
    ...(visible === undefined ? [] : [visibleCondition(visible, parameter)]),
  ];
  const rollups = `(SELECT id FROM api_keys AS keys WHERE ${conditions.join(' AND ')}) AS owned CROSS JOIN LATERAL (
                SELECT * FROM usage_hourly_rollups WHERE api_key_id = owned.id AND hour >= $1 AND hour < $2 OFFSET 0
              ) AS in_span`;
  return { name: undefined, rollups, values };
}

/** What each group is named by, and what that is read from beside the rollups and their keys. */
const GROUPS: Readonly<
  Record<UsageGroup, { readonly id: string; readonly name: string; readonly from: string }>
> = {
  organization: {
    id: 'keys.organization_id::text',
    name: 'organizations.name',
    from: 'JOIN organizations ON organizations.id = keys.organization_id',
  },
  project: {
    id: 'keys.project_id::text',
    name: 'projects.name',
    from: 'JOIN projects ON projects.id = keys.project_id',
  },
  user: { id: 'keys.user_id::text', name: 'users.username', from: 'JOIN users ON users.id = keys.user_id' },
  model: { id: "nullif(in_span.model, '')", name: 'NULL', from: '' },
  tag: { id: 'tag', name: 'NULL', from: 'CROSS JOIN LATERAL unnest(keys.tags) AS tag' },
};

/** Sums of some keys by a group, the costliest first. */
export function groupsStatement({ from, to }: UsageSpan, asked: SummedKeys, group: UsageGroup): QueryConfig {
  const { rollups, values } = rollupsOf(asked);
  const { id, name, from: more } = GROUPS[group];
  return {
    text: `
      SELECT ${id} AS id, ${name} AS name, ${USAGE_SUM_COLUMNS}
      FROM ${rollups} JOIN api_keys AS keys ON keys.id = in_span.api_key_id ${more}
      GROUP BY 1, 2
      ORDER BY sum(cost_micro_cents) DESC, sum(in_span.requests) DESC, 1
      LIMIT ${MOST_GROUPS}`,
    values: [from, to, ...values],
  };
}

export function toGroupUsage(row: GroupRow): GroupUsage {
  return { id: row.id, name: row.name, usage: toDetailedUsage(row) };
}
