import { Injectable } from '@nestjs/common';
import { ControlPool } from '../database/pools.js';
import type { ApiKeyRecord } from './api-key.js';
import { API_KEY_COLUMNS, type ApiKeyRow, toApiKeyRecord } from './api-key-rows.js';

/** What a list is narrowed to; `search` is a case-insensitive substring of name or description. */
export interface ApiKeyFilter {
  readonly userId?: number | undefined;
  readonly isActive?: boolean | undefined;
  readonly search?: string | undefined;
  readonly tag?: string | undefined;
}

/** A page of keys, newest first, and how many there are in all. */
export interface ApiKeyPage {
  readonly apiKeys: ApiKeyRecord[];
  readonly total: number;
}

/** Owner under which `api_key_counts` keeps the sums over everyone. */
const EVERYONE = 0;

/**
 * Lists of keys that stay fast at a million: the page walks an index, a search uses the trigram index, and the
 * total comes from counters that triggers keep. Only a search or a tag has to count what it matches.
 */
@Injectable()
export class ApiKeySearch {
  constructor(private readonly pool: ControlPool) {}

  async page(filter: ApiKeyFilter, page: number, size: number): Promise<ApiKeyPage> {
    const hasPattern = filter.search !== undefined || filter.tag !== undefined;
    const [apiKeys, total] = await Promise.all([
      this.#rows(filter, size, (page - 1) * size),
      hasPattern ? this.#countMatches(filter) : this.#countKept(filter),
    ]);
    return { apiKeys, total };
  }

  /** The ids are found first, in an index alone, so that a far page does not read the rows before it. */
  async #rows(filter: ApiKeyFilter, limit: number, offset: number): Promise<ApiKeyRecord[]> {
    const { condition, values, name } = conditionOf(filter, 3);
    const { rows } = await this.pool.query<ApiKeyRow>({
      ...(name === undefined ? {} : { name: `list_api_keys${name}` }),
      text: `
        SELECT ${API_KEY_COLUMNS}
        FROM (
          SELECT id FROM api_keys WHERE ${condition} ORDER BY id DESC LIMIT $1 OFFSET $2
        ) AS page
        JOIN api_keys AS keys ON keys.id = page.id
        LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id
        ORDER BY keys.id DESC`,
      values: [limit, offset, ...values],
    });
    return rows.map(toApiKeyRecord);
  }

  async #countKept({ userId = EVERYONE, isActive }: ApiKeyFilter): Promise<number> {
    const changesOf = userId === EVERYONE ? '' : 'AND user_id = $1';
    const { rows } = await this.pool.query<{ total: number }>({
      name: `count_api_keys${userId === EVERYONE ? '' : '_of_user'}`,
      text: `
        SELECT (coalesce((SELECT sum(keys) FROM api_key_counts WHERE user_id = $1 AND ($2::boolean IS NULL OR is_active = $2)), 0)
          + coalesce((SELECT sum(keys) FROM api_key_count_changes WHERE ($2::boolean IS NULL OR is_active = $2) ${changesOf}), 0)
        )::bigint AS total`,
      values: [userId, isActive ?? null],
    });
    return rows[0]?.total ?? 0;
  }

  async #countMatches(filter: ApiKeyFilter): Promise<number> {
    const { condition, values } = conditionOf(filter, 1);
    const { rows } = await this.pool.query<{ total: number }>(
      `SELECT count(*) AS total FROM api_keys WHERE ${condition}`,
      values,
    );
    return rows[0]?.total ?? 0;
  }
}

interface Condition {
  readonly condition: string;
  readonly values: unknown[];
  /** Names the statement's shape so that it can be prepared; a search is planned for each text anew. */
  readonly name: string | undefined;
}

function conditionOf({ userId, isActive, search, tag }: ApiKeyFilter, firstParameter: number): Condition {
  const conditions = ['deleted_at IS NULL'];
  const values: unknown[] = [];
  let name = '';
  const add = (shape: string, value: unknown, write: (parameter: string) => string) => {
    conditions.push(write(`$${firstParameter + values.length}`));
    values.push(value);
    name += `_${shape}`;
  };
  if (userId !== undefined) add('user', userId, (parameter) => `user_id = ${parameter}`);
  if (isActive !== undefined) add('active', isActive, (parameter) => `is_active = ${parameter}`);
  if (tag !== undefined) add('tag', [tag], (parameter) => `tags @> ${parameter}::text[]`);
  if (search !== undefined) {
    const pattern = `%${search.replace(/[\\%_]/g, String.raw`\$&`)}%`;
    add('search', pattern, (parameter) => `(name ILIKE ${parameter} OR description ILIKE ${parameter})`);
  }
  const isPlanned = search === undefined && tag === undefined;
  return { condition: conditions.join(' AND '), values, name: isPlanned ? name : undefined };
}
