import { Injectable } from '@nestjs/common';
import { ControlPool } from '../database/pools.js';
import { ReportQueries } from '../database/report-queries.js';
import type { ApiKeyRecord } from './api-key.js';
import { API_KEY_COLUMNS, type ApiKeyRow, toApiKeyRecord, WITH_OWNER_AND_TOTALS } from './api-key-rows.js';

/** What a list is narrowed to; `search` is a case-insensitive substring of name or description. */
export interface ApiKeyFilter {
  readonly userId?: number | undefined;
  readonly isActive?: boolean | undefined;
  readonly search?: string | undefined;
  readonly tag?: string | undefined;
}

/** A page of keys, newest first, and how many there are in all: at least so many, when `isTotalExact` is false. */
export interface ApiKeyPage {
  readonly apiKeys: ApiKeyRecord[];
  readonly total: number;
  readonly isTotalExact: boolean;
}

/** How many matches of a search or a tag are counted. */
const MOST_COUNTED = 10_000;
/** Stands between name and description in `api_key_search_texts`; a search that holds it must not span both. */
const BETWEEN_TEXTS = '\u001f';
/** Owner under which `api_key_counts` keeps the sums over everyone. */
const EVERYONE = 0;

/**
 * Lists of keys that stay fast at a million: a page walks an index, and its total comes from counters that triggers
 * keep. A search or a tag collects the ids that match, newest first, and no more of them than are counted or shown.
 */
@Injectable()
export class ApiKeySearch {
  constructor(
    private readonly pool: ControlPool,
    private readonly reports: ReportQueries,
  ) {}

  /** The page for the user who calls. */
  async page(callerId: number, filter: ApiKeyFilter, page: number, size: number): Promise<ApiKeyPage> {
    const offset = (page - 1) * size;
    if (isSearch(filter)) return this.#matches(callerId, filter, size, offset);
    const [apiKeys, total] = await Promise.all([
      this.#rows(callerId, filter, size, offset),
      this.#count(filter),
    ]);
    return { apiKeys, total, isTotalExact: true };
  }

  /** The ids are found first, in an index alone, so that a far page does not read the rows before it. */
  async #rows(
    callerId: number,
    filter: ApiKeyFilter,
    limit: number,
    offset: number,
  ): Promise<ApiKeyRecord[]> {
    const { condition, values, name } = conditionOf(filter, 3);
    const statement = {
      name: `list_api_keys${name}`,
      text: `
        SELECT ${API_KEY_COLUMNS}
        FROM (
          SELECT keys.id FROM api_keys AS keys WHERE ${condition} ORDER BY keys.id DESC LIMIT $1 OFFSET $2
        ) AS page
        JOIN api_keys AS keys ON keys.id = page.id ${WITH_OWNER_AND_TOTALS}
        ORDER BY keys.id DESC`,
      values: [limit, offset, ...values],
    };
    const rows = isFar(offset)
      ? await this.reports.query<ApiKeyRow>(callerId, statement)
      : (await this.pool.query<ApiKeyRow>(statement)).rows;
    return rows.map(toApiKeyRecord);
  }

  async #count({ userId = EVERYONE, isActive }: ApiKeyFilter): Promise<number> {
    const changesOf = userId === EVERYONE ? '' : 'AND user_id = $1';
    const { rows } = await this.pool.query<{ total: number }>({
      name: `count_api_keys${userId === EVERYONE ? '' : '_of_user'}`,
      text: `
        SELECT least(9007199254740991, greatest(0, coalesce((SELECT sum(keys) FROM api_key_counts WHERE user_id = $1 AND ($2::boolean IS NULL OR is_active = $2)), 0)
          + coalesce((SELECT sum(keys) FROM api_key_count_changes WHERE ($2::boolean IS NULL OR is_active = $2) ${changesOf}), 0)
        ))::bigint AS total`,
      values: [userId, isActive ?? null],
    });
    return rows[0]?.total ?? 0;
  }

  async #matches(callerId: number, filter: ApiKeyFilter, limit: number, offset: number): Promise<ApiKeyPage> {
    const rows = await this.reports.query<MatchRow>(callerId, matchesStatement(filter, limit, offset));
    const matches = rows[0]?.matches ?? 0;
    return {
      apiKeys: rows.filter(isKey).map(toApiKeyRecord),
      total: Math.min(matches, MOST_COUNTED),
      isTotalExact: matches <= MOST_COUNTED,
    };
  }
}

/** Keys before a page, from which on reading it is expensive: an index is walked from its beginning. */
const FAR_OFFSET = 20_000;

function isFar(offset: number): boolean {
  return offset > FAR_OFFSET;
}

/** Whether a list is expensive, by its query as it was sent: a search or a tag, or a far page. */
export function isExpensiveList({ search, tag, page, size }: Readonly<Record<string, unknown>>): boolean {
  return Boolean(search) || tag !== undefined || isFar(Number(page ?? 1) * Number(size ?? 10));
}

/** A key of the page beside the number of matches; a page without keys has one row, of nulls. */
type MatchRow = { readonly matches: number } & (ApiKeyRow | { readonly id: null });

function isKey(row: MatchRow): row is { readonly matches: number } & ApiKeyRow {
  return row.id !== null;
}

/**
 * A page of the keys that match a search or a tag, and how many match: one more than are counted at most, or as many
 * as it takes to get to the page. Not prepared: whether an index over texts and tags helps depends on the values.
 */
export function matchesStatement(
  filter: ApiKeyFilter,
  limit: number,
  offset: number,
): { readonly text: string; readonly values: unknown[] } {
  const { condition, values } = conditionOf(filter, 4);
  const isTextSearched = Boolean(filter.search);
  const text = `
    WITH matches AS MATERIALIZED (
      SELECT keys.id
      FROM api_keys AS keys
      ${isTextSearched ? 'JOIN api_key_search_texts AS texts ON texts.api_key_id = keys.id' : ''}
      WHERE ${condition}
      ORDER BY keys.id DESC
      LIMIT $3
    )
    SELECT found.matches, ${API_KEY_COLUMNS}
    FROM (SELECT count(*) AS matches FROM matches) AS found
    LEFT JOIN (SELECT id FROM matches ORDER BY id DESC LIMIT $1 OFFSET $2) AS page ON true
    LEFT JOIN api_keys AS keys ON keys.id = page.id
    LEFT JOIN users AS owners ON owners.id = keys.user_id
    LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id
    ORDER BY keys.id DESC`;
  return { text, values: [limit, offset, Math.max(MOST_COUNTED + 1, offset + limit), ...values] };
}

function isSearch({ search, tag }: ApiKeyFilter): boolean {
  return Boolean(search) || tag !== undefined;
}

interface Condition {
  readonly condition: string;
  readonly values: unknown[];
  /** Names the shape of the condition, so that a statement with it can be prepared. */
  readonly name: string;
}

/** On `keys`, and on `texts` where there is a search; an empty search asks for nothing. */
function conditionOf({ userId, isActive, search, tag }: ApiKeyFilter, firstParameter: number): Condition {
  const conditions = ['keys.deleted_at IS NULL'];
  const values: unknown[] = [];
  let name = '';
  const add = (shape: string, value: unknown, write: (parameter: string) => string) => {
    conditions.push(write(`$${firstParameter + values.length}`));
    values.push(value);
    name += `_${shape}`;
  };
  if (userId !== undefined) add('user', userId, (parameter) => `keys.user_id = ${parameter}`);
  if (isActive !== undefined) add('active', isActive, (parameter) => `keys.is_active = ${parameter}`);
  if (tag !== undefined) add('tag', [tag], (parameter) => `keys.tags @> ${parameter}::text[]`);
  if (search) {
    const pattern = `%${search.replace(/[\\%_]/g, String.raw`\$&`)}%`;
    add('search', pattern, (parameter) => `texts.text LIKE lower(${parameter})`);
    if (search.includes(BETWEEN_TEXTS)) {
      const ofOne = (parameter: string) =>
        `(keys.name ILIKE ${parameter} OR keys.description ILIKE ${parameter})`;
      add('one', pattern, ofOne);
    }
  }
  return { condition: conditions.join(' AND '), values, name };
}
