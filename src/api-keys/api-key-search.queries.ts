import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { ControlPool } from '../database/pools.js';
import { ReportQueries } from '../database/report.queries.js';
import { decodeCursor, encodeCursor, type ListPosition } from '../contract/cursor.js';
import type { PageRequest } from '../contract/paging.js';
import type { ApiKeyRecord } from './api-key.js';
import {
  type ApiKeyFilter,
  type ApiKeySort,
  isCounted,
  type ListStart,
  matchesStatement,
  MOST_COUNTED,
  rowsStatement,
} from './api-key-list.js';
import { type ApiKeyRow, toApiKeyRecord } from './api-key-rows.js';
import { SearchTexts } from './search-texts.service.js';

/** A page of keys, and how many there are in all: at least so many, when `isTotalExact` is false. */
export interface ApiKeyPage {
  readonly apiKeys: ApiKeyRecord[];
  readonly total: number;
  readonly isTotalExact: boolean;
  /** Leads to the keys that follow; null when there are none. */
  readonly nextCursor: string | null;
}

/** A key with its place in the order, as `ListPosition` has it. */
type PlacedRow = ApiKeyRow & { readonly position: string | null };
/** A key of the page beside the number of matches; a page without keys has one row, of nulls. */
type MatchRow = { readonly matches: number } & (PlacedRow | { readonly id: null });

interface Found {
  readonly rows: readonly PlacedRow[];
  readonly total: number;
  readonly isTotalExact: boolean;
}

/** Which keys are asked for, and by whom. */
interface Wanted {
  readonly callerId: number;
  readonly filter: ApiKeyFilter;
  readonly sort: ApiKeySort;
  readonly limit: number;
}

/** Owner under which `api_key_counts` keeps the sums over everyone. */
const EVERYONE = 0;

/**
 * Lists of keys that stay fast at a million: a page walks an index, and its total comes from counters that triggers
 * keep. What no counter knows collects the ids that match, and no more of them than are counted or shown. A page by
 * cursor counts nothing: the cursor says what was counted before it.
 */
@Injectable()
export class ApiKeySearch {
  constructor(
    private readonly pool: ControlPool,
    private readonly reports: ReportQueries,
    private readonly texts: SearchTexts,
    private readonly clock: Clock,
  ) {}

  /** The page for the user who calls. @throws AppError `validation.failed` when the cursor is not one of this list */
  async page(
    callerId: number,
    asked: ApiKeyFilter,
    sort: ApiKeySort,
    { page, size, cursor }: PageRequest,
  ): Promise<ApiKeyPage> {
    const list = listOf(asked, sort);
    const after = cursor === undefined ? undefined : decodeCursor(list, cursor);
    const unfoldedBelow = asked.search ? await this.texts.unfoldedBelow() : 0;
    const narrowed = { ...asked, now: this.clock.now(), unfoldedBelow };
    // One key more than is shown: it says whether others follow.
    const wanted = { callerId, filter: narrowed, sort, limit: size + 1 };
    const found =
      after === undefined
        ? await this.#numbered(wanted, (page - 1) * size)
        : await this.#following(wanted, after);
    const shown = found.rows.slice(0, size);
    const last = found.rows.length > size ? shown.at(-1) : undefined;
    const { total, isTotalExact } = found;
    return {
      apiKeys: shown.map(toApiKeyRecord),
      total,
      isTotalExact,
      nextCursor: last
        ? encodeCursor(list, { id: last.id, value: last.position, total, isTotalExact })
        : null,
    };
  }

  async #following(wanted: Wanted, after: ListPosition): Promise<Found> {
    const rows = await this.#rows(wanted, { after });
    return { rows, total: after.total, isTotalExact: after.isTotalExact };
  }

  async #numbered(wanted: Wanted, offset: number): Promise<Found> {
    if (!isCounted(wanted.filter)) return this.#matches(wanted, offset);
    const [rows, total] = await Promise.all([this.#rows(wanted, { offset }), this.#count(wanted.filter)]);
    return { rows, total, isTotalExact: true };
  }

  async #rows({ callerId, filter, sort, limit }: Wanted, start: ListStart): Promise<PlacedRow[]> {
    const statement = rowsStatement(filter, sort, limit, start);
    const isCheap = isCounted(filter) && isIndexed(sort) && !('offset' in start && isFar(start.offset));
    if (!isCheap) return this.reports.query<PlacedRow>(callerId, statement);
    return (await this.pool.query<PlacedRow>(statement)).rows;
  }

  async #matches({ callerId, filter, sort, limit }: Wanted, offset: number): Promise<Found> {
    const statement = matchesStatement(filter, limit, offset, sort);
    const rows = await this.reports.query<MatchRow>(callerId, statement);
    const matches = rows[0]?.matches ?? 0;
    return {
      rows: rows.filter(isKey),
      total: Math.min(matches, MOST_COUNTED),
      isTotalExact: matches <= MOST_COUNTED,
    };
  }

  async #count({ userId = EVERYONE, isActive }: ApiKeyFilter): Promise<number> {
    const changesOf = userId === EVERYONE ? '' : 'AND user_id = $1';
    const { rows } = await this.pool.query<{ total: number }>({
      name: `count_api_keys${userId === EVERYONE ? '' : '_of_user'}`,
      text: `
        SELECT greatest(0, coalesce((SELECT sum(keys) FROM api_key_counts WHERE user_id = $1 AND ($2::boolean IS NULL OR is_active = $2)), 0)
          + coalesce((SELECT sum(keys) FROM api_key_count_changes WHERE ($2::boolean IS NULL OR is_active = $2) ${changesOf}), 0)
        )::bigint AS total`,
      values: [userId, isActive ?? null],
    });
    return rows[0]?.total ?? 0;
  }
}

/** Keys before a page, from which on reading it is expensive: an index is walked from its beginning. */
const FAR_OFFSET = 20_000;

function isFar(offset: number): boolean {
  return offset > FAR_OFFSET;
}

/** Last uses change too often to be indexed: a list in their order reads those of all its keys. */
function isIndexed(sort: unknown): boolean {
  return sort !== 'last_used_at' && sort !== '-last_used_at';
}

/** Whether a list is expensive, by its query as it was sent: what no counter knows or no index sorts, or a far page. */
export function isExpensiveList(query: Readonly<Record<string, unknown>>): boolean {
  const { search, sort, page, size } = query;
  const isFiltered =
    Boolean(search) ||
    ['tag', 'state', 'inactive_reason', 'expires_before', 'project_id', 'organization_id'].some(
      (name) => query[name] !== undefined,
    );
  return isFiltered || !isIndexed(sort) || isFar(Number(page ?? 1) * Number(size ?? 10));
}

function isKey(row: MatchRow): row is { readonly matches: number } & PlacedRow {
  return row.id !== null;
}

/** What a cursor is bound to. */
function listOf(filter: ApiKeyFilter, sort: ApiKeySort) {
  const { userId, organizationId, projectId, isActive, inactiveReason, state, expiresBefore, search, tag } =
    filter;
  const narrowed = [userId, isActive, state, expiresBefore, search, tag, sort];
  const later = [organizationId, projectId, inactiveReason];
  const added = later.some((value) => value !== undefined) ? later : [];
  return ['api_keys', ...narrowed, ...added].map((part) => part ?? null);
}
