import type { ListPosition } from '../contract/cursor.js';
import type { InactiveReason } from './api-key.js';
import type { ApiKeyState } from './api-key.policy.js';
import {
  EXPIRY,
  searchConditions,
  stateCondition,
  type VisibleKeys,
  visibleCondition,
} from './api-key-conditions.js';
import { API_KEY_COLUMNS, WITH_OWNER_AND_TOTALS } from './api-key-rows.js';

/** What a list is narrowed to; `search` is a part of name or description in any case. */
export interface ApiKeyFilter {
  readonly userId?: number | undefined;
  readonly organizationId?: number | undefined;
  readonly projectId?: number | undefined;
  /** What a caller may see who may not see all: their own keys and those in some scopes. */
  readonly visible?: VisibleKeys | undefined;
  readonly isActive?: boolean | undefined;
  readonly inactiveReason?: InactiveReason | undefined;
  /** The state at `now`, which must be given with it. */
  readonly state?: ApiKeyState | undefined;
  readonly now?: Date | undefined;
  readonly expiresBefore?: Date | undefined;
  readonly search?: string | undefined;
  readonly tag?: string | undefined;
  /** Texts of keys below this id are folded as they are searched. */
  readonly unfoldedBelow?: number | undefined;
}

/** Orders of a list; with `-` the greatest comes first. */
export const API_KEY_SORTS = [
  '-created_at',
  'created_at',
  '-expires_at',
  'expires_at',
  '-last_used_at',
  'last_used_at',
] as const;
export type ApiKeySort = (typeof API_KEY_SORTS)[number];
export const NEWEST_FIRST = '-created_at' satisfies ApiKeySort;

/** Where a page begins: after so many keys, or after one. */
export type ListStart = { readonly offset: number } | { readonly after: ListPosition };

/** A statement, with a name where it is worth to be prepared. */
interface ListStatement {
  readonly name?: string;
  readonly text: string;
  readonly values: unknown[];
}

/** How many matches of a filter that no counter counts are counted. */
export const MOST_COUNTED = 10_000;
/** A key that was never used stands before all others. */
const LAST_USE = `coalesce(totals.last_used_at, '-infinity'::timestamptz)`;

/** True where counters know how many keys there are. */
export function isCounted(filter: ApiKeyFilter): boolean {
  const { organizationId, projectId, visible, inactiveReason, state, expiresBefore, search, tag } = filter;
  const others = [organizationId, projectId, visible, inactiveReason, state, expiresBefore, tag];
  return !search && others.every((other) => other === undefined);
}

/** Some keys: those after a position, or after so many. The ids are found first, in an index alone where that can be. */
export function rowsStatement(
  filter: ApiKeyFilter,
  sort: ApiKeySort,
  limit: number,
  start: ListStart,
): ListStatement {
  const { from, condition, values, name } = selectionOf(filter, sort);
  const order = orderOf(sort);
  const bound: unknown[] = [];
  const parameter = (value: unknown) => `$${values.length + bound.push(value)}`;
  const isAfter = 'after' in start;
  const following = isAfter ? `AND ${order.after(start.after, parameter)}` : '';
  const count = parameter(limit);
  const skipped = isAfter ? '' : `OFFSET ${parameter(start.offset)}`;
  const isPrepared = !isAfter && sort === NEWEST_FIRST && isCounted(filter);
  return {
    ...(isPrepared ? { name: `list_api_keys${name}` } : {}),
    text: `
      SELECT ${API_KEY_COLUMNS}, ${order.shown} AS position
      FROM (
        SELECT keys.id, ${order.position} AS position FROM ${from} WHERE ${condition} ${following}
        ORDER BY ${order.by('keys.id', order.position)} LIMIT ${count} ${skipped}
      ) AS page
      JOIN api_keys AS keys ON keys.id = page.id ${WITH_OWNER_AND_TOTALS}
      ORDER BY ${order.by('page.id', 'page.position')}`,
    values: [...values, ...bound],
  };
}

/**
 * A page of the keys that match, and how many match: one more than are counted at most, or as many as it takes to get to
 * the page. Not prepared: whether an index over texts, tags or expiries helps depends on the values.
 */
export function matchesStatement(
  filter: ApiKeyFilter,
  limit: number,
  offset: number,
  sort: ApiKeySort = NEWEST_FIRST,
): ListStatement {
  const { from, condition, values } = selectionOf(filter, sort);
  const order = orderOf(sort);
  const next = values.length + 1;
  const text = `
    WITH matches AS MATERIALIZED (
      SELECT keys.id, ${order.position} AS position
      FROM ${from}
      WHERE ${condition}
      ORDER BY ${order.by('keys.id', order.position)}
      LIMIT $${next + 2}
    )
    SELECT found.matches, ${API_KEY_COLUMNS}, ${order.shown} AS position
    FROM (SELECT count(*) AS matches FROM matches) AS found
    LEFT JOIN (
      SELECT id, position FROM matches ORDER BY ${order.by('id', 'position')} LIMIT $${next} OFFSET $${next + 1}
    ) AS page ON true
    LEFT JOIN (api_keys AS keys ${WITH_OWNER_AND_TOTALS}) ON keys.id = page.id
    ORDER BY ${order.by('page.id', 'page.position')}`;
  return { text, values: [...values, limit, offset, Math.max(MOST_COUNTED + 1, offset + limit)] };
}

interface Order {
  /** What is sorted by, beside the id; `NULL` where that is all. */
  readonly position: string;
  /** The position of a row of `page` as decimal text: seconds since 1970. */
  readonly shown: string;
  by(id: string, position: string): string;
  after(last: ListPosition, parameter: (value: unknown) => string): string;
}

/** Keys are numbered in the order in which they are made. */
function orderOf(sort: ApiKeySort): Order {
  const [direction, than] = sort.startsWith('-') ? ['DESC', '<'] : ['ASC', '>'];
  if (sort.endsWith('created_at')) {
    return {
      position: 'NULL',
      shown: 'NULL',
      by: (id) => `${id} ${direction}`,
      after: ({ id }, parameter) => `keys.id ${than} ${parameter(id)}`,
    };
  }
  const position = sort.endsWith('expires_at') ? EXPIRY : LAST_USE;
  return {
    position,
    shown: 'extract(epoch FROM page.position)::text',
    by: (id, value) => `${value} ${direction}, ${id} ${direction}`,
    after: ({ id, value }, parameter) => {
      const [seconds, micros] = secondsOf(value ?? '0');
      const time = `to_timestamp(${parameter(seconds)}::float8) + ${parameter(micros)}::integer * interval '1 microsecond'`;
      return `(${position}, keys.id) ${than} (${time}, ${parameter(id)})`;
    },
  };
}

/** Whole seconds and microseconds: as one number, far times would lose their last digits, and pages repeat or skip a key. */
function secondsOf(decimal: string): readonly [seconds: string, micros: number] {
  const [seconds = '0', fraction = ''] = decimal.split('.');
  const micros = Number(fraction.padEnd(6, '0'));
  return [seconds, seconds.startsWith('-') ? -micros : micros];
}

interface Selection {
  readonly from: string;
  readonly condition: string;
  /** Those of the condition: `$1` and so on. */
  readonly values: unknown[];
  /** Names the shape of the condition, so that a statement with it can be prepared. */
  readonly name: string;
}

/** On `keys`, and on `texts`, `owners` and `totals` where they are needed; an empty search asks for nothing. */
function selectionOf(filter: ApiKeyFilter, sort: ApiKeySort): Selection {
  const { userId, isActive, state, now, expiresBefore, search, tag, unfoldedBelow = 0 } = filter;
  const { organizationId, projectId, visible } = filter;
  const conditions = ['keys.deleted_at IS NULL'];
  const values: unknown[] = [];
  let from = 'api_keys AS keys';
  let name = '';
  const parameter = (value: unknown) => `$${values.push(value)}`;
  if (userId !== undefined) {
    conditions.push(`keys.user_id = ${parameter(userId)}`);
    name += '_user';
  }
  if (organizationId !== undefined) conditions.push(`keys.organization_id = ${parameter(organizationId)}`);
  if (projectId !== undefined) conditions.push(`keys.project_id = ${parameter(projectId)}`);
  if (visible !== undefined) conditions.push(visibleCondition(visible, parameter));
  if (isActive !== undefined) {
    conditions.push(`keys.is_active = ${parameter(isActive)}`);
    name += '_active';
  }
  if (filter.inactiveReason !== undefined)
    conditions.push(`keys.inactive_reason = ${parameter(filter.inactiveReason)}`);
  if (state !== undefined) {
    from += ` JOIN users AS owners ON owners.id = keys.user_id JOIN projects ON projects.id = keys.project_id
      JOIN organizations ON organizations.id = keys.organization_id`;
    conditions.push(stateCondition(state, () => `${parameter(now)}::timestamptz`));
  }
  if (expiresBefore !== undefined) conditions.push(`${EXPIRY} < ${parameter(expiresBefore)}`);
  if (tag !== undefined) conditions.push(`keys.tags @> ${parameter([tag])}::text[]`);
  if (search) {
    from += ' JOIN api_key_search_texts AS texts ON texts.api_key_id = keys.id';
    conditions.push(...searchConditions(search, unfoldedBelow, parameter));
  }
  if (sort.endsWith('last_used_at'))
    from += ' LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id';
  return { from, condition: conditions.join(' AND '), values, name };
}
