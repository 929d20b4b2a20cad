import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { type FieldError, validationFailed } from '../common/app-error.js';
import { isDependencyFailure } from '../common/dependency-failure.js';
import { type Caller, currentRequestContext } from '../context/request-context.js';
import { ReportQueries } from '../database/report.queries.js';
import type { EventValue } from '../events/event-values.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import {
  type AuditLogPosition,
  COMMITTED_FROM_THE_START,
  decodeCursor,
  encodeCursor,
} from './audit-cursor.js';
import type { Principal } from '../auth/principal.js';
import { requireStillReadable } from './audit-access.policy.js';
import type { AuditLog } from './audit-log.entity.js';
import {
  type AuditLogPageRow,
  type AuditLogSelection,
  type PageLimit,
  pageStatement,
  scanEndStatement,
} from './audit-log.query.js';

/** A selection and its order. */
export interface AuditLogRequest {
  readonly selection: AuditLogSelection;
  readonly order: AuditLogOrder;
  /** The cursor of an earlier answer. */
  readonly cursor?: string | undefined;
}

export type AuditLogOrder = 'asc' | 'desc';

/** Some rows and the cursor of those that follow. Null when none can follow; oldest first there is always one. */
export interface AuditLogPage {
  readonly rows: readonly AuditLog[];
  readonly nextCursor: string | null;
}

interface Batch {
  readonly rows: readonly AuditLogPageRow[];
  /** The position after the rows that were read; undefined at the end. */
  readonly next: AuditLogPosition | undefined;
  /** After the last row, or where it began. */
  readonly end: AuditLogPosition | undefined;
}

/** An export that is under way. */
interface Export {
  readonly callerId: number;
  readonly request: AuditLogRequest;
  /** Aborted when nobody waits for the export any more. */
  readonly ended: AbortSignal;
  readonly caller: Caller | undefined;
}

const MEGABYTE = 1_024 * 1_024;
/** Bytes of details after which a page ends early: it is written in one go, and other requests wait meanwhile. */
const PAGE_BYTES = MEGABYTE;
/** What an export keeps in memory. */
const EXPORT_BATCH = { maxRows: 1_000, maxBytes: 4 * MEGABYTE };
/** After a batch that could not be read, batches have half its rows, down to this many: it may have been too large. */
const SMALLEST_BATCH_ROWS = 50;
/** Between the attempts to read a batch. */
const PAUSE_MS = 250;
/** How long a page is searched for; one that is not full by then is returned as it is. */
const PAGE_TIME_MS = 1_000;

/** Reading the audit log, which is itself audited. */
@Injectable()
export class AuditLogsService {
  readonly #logger = new Logger(AuditLogsService.name);

  constructor(
    private readonly reports: ReportQueries,
    private readonly events: EventPublisher,
  ) {}

  /**
   * A page for the user who calls. One of very large rows, or of rows that are hard to find, may have fewer than `limit`,
   * or none, and a cursor all the same.
   * @throws AppError `validation.failed`
   */
  async list(callerId: number, request: AuditLogRequest, limit: number): Promise<AuditLogPage> {
    const rows: AuditLog[] = [];
    const endsAt = performance.now() + PAGE_TIME_MS;
    let [at, bytes] = [startOf(request), 0];
    let batch: Batch;
    do {
      batch = await this.#read(callerId, request, at, {
        maxRows: limit - rows.length,
        maxBytes: PAGE_BYTES - bytes,
      });
      rows.push(...batch.rows);
      bytes += batch.rows.reduce((sum, row) => sum + row.bytes, 0);
      at = batch.next;
    } while (at !== undefined && rows.length < limit && bytes < PAGE_BYTES && performance.now() < endsAt);
    await this.events.observe('audit_log.listed', { filters: filtersOf(request) });
    const next = batch.next ?? (request.order === 'asc' ? batch.end : undefined);
    return { rows, nextCursor: next === undefined ? null : encodeCursor(next) };
  }

  /**
   * The whole selection, from the cursor on when there is one, a batch at a time as the caller takes them. The first batch
   * is read before this resolves, so that what can go wrong mostly does before the answer begins. Later ones are read again
   * when the database could not return them in time, until `ended` says that nobody waits for them. Before each the caller is
   * judged again: the stream fails when they may not read the log any more.
   * @throws AppError `validation.failed`
   */
  async export(
    callerId: number,
    request: AuditLogRequest,
    ended: AbortSignal,
  ): Promise<AsyncIterable<readonly AuditLog[]>> {
    const caller = currentRequestContext()?.caller;
    const first = await this.#read(callerId, request, startOf(request), EXPORT_BATCH);
    await this.events.observe('audit_log.exported', { filters: filtersOf(request) });
    return this.#batches({ callerId, request, ended, caller }, first);
  }

  async *#batches(underWay: Export, first: Batch): AsyncGenerator<readonly AuditLog[], void, void> {
    let batch: Batch | undefined = first;
    let { maxRows } = EXPORT_BATCH;
    yield batch.rows;
    while (batch?.next !== undefined) {
      const found = await this.#readWithRetries(underWay, batch.next, maxRows);
      ({ batch, maxRows } = found);
      if (batch !== undefined) yield batch.rows;
    }
  }

  /**
   * The next batch of an export, undefined when nobody waits for it, and how many rows the batch after it may have. Any other
   * end would cut the export off.
   */
  async #readWithRetries(
    { callerId, request, ended, caller }: Export,
    after: AuditLogPosition,
    allowedRows: number,
  ): Promise<{ readonly batch: Batch | undefined; readonly maxRows: number }> {
    let maxRows = allowedRows;
    while (!ended.aborted) {
      try {
        // Only a principal is a caller.
        const principal = (await caller?.judgeWhileReading()) as Principal | undefined;
        if (principal !== undefined) requireStillReadable(principal, request.selection.organizationIds);
        const batch = await this.#read(callerId, request, after, { ...EXPORT_BATCH, maxRows });
        return { batch, maxRows };
      } catch (error) {
        if (!isDependencyFailure(error)) {
          // Once the answer has begun, a failure can only cut it off: the client sees that, nobody else would.
          this.#logger.warn(`An export was cut off: ${String(error)}`);
          throw error;
        }
        if (maxRows === allowedRows) this.#logger.warn(`An export waits for its next rows: ${String(error)}`);
        maxRows = Math.max(SMALLEST_BATCH_ROWS, Math.floor(maxRows / 2));
        await sleep(PAUSE_MS);
      }
    }
    return { batch: undefined, maxRows };
  }

  /** One row more than wanted is asked for: it tells whether others follow. */
  async #read(
    callerId: number,
    { selection, order }: AuditLogRequest,
    after: AuditLogPosition | undefined,
    { maxRows, maxBytes }: PageLimit,
  ): Promise<Batch> {
    const walk = after?.walk ?? (order === 'asc' ? 'unnumbered' : 'newest_first');
    const statement = pageStatement(selection, walk, after, { maxRows: maxRows + 1, maxBytes });
    const found = await this.reports.query<AuditLogPageRow>(callerId, statement);
    const rows = found.slice(0, maxRows);
    const last = rows.at(-1);
    const end = last === undefined ? after : { walk, place: last.place, id: last.id };
    if (last !== undefined && last.found > rows.length) return { rows, next: end, end };
    const scanEnd = scanEndStatement(selection, walk, after);
    const [unseen] =
      scanEnd === undefined ? [] : await this.reports.query<{ place: string; id: string }>(callerId, scanEnd);
    // Reading again after the last row is cheap, and rows that were added meanwhile are not skipped.
    if (unseen !== undefined) return { rows, next: last === undefined ? { walk, ...unseen } : end, end };
    return { rows, end, next: walk === 'unnumbered' ? COMMITTED_FROM_THE_START : undefined };
  }
}

/** Checks rules across fields. */
function startOf({ selection, order, cursor }: AuditLogRequest): AuditLogPosition | undefined {
  const { from, to } = selection;
  const errors: FieldError[] = [];
  const start = cursor === undefined ? undefined : decodeCursor(cursor);
  const isOfOrder = start !== undefined && (start.walk === 'newest_first') === (order === 'desc');
  if (cursor !== undefined && !isOfOrder) {
    errors.push({
      field: 'cursor',
      message: 'must be the next_cursor of an earlier answer in the same order',
    });
  }
  if (from !== undefined && to !== undefined && from > to) {
    errors.push({ field: 'from', message: 'must not lie after to' });
  }
  if (errors.length > 0) throw validationFailed(errors);
  return start;
}

/** The selection as an audit row tells it: by its names on the wire, only what was asked for. */
function filtersOf({ selection, order }: AuditLogRequest): Record<string, EventValue> {
  const { userId, action, resourceType, resourceId, success, organizationIds, from, to } = selection;
  const filters = {
    user_id: userId,
    action,
    resource_type: resourceType,
    resource_id: resourceId,
    success,
    organization_ids: organizationIds,
    from: from?.toISOString(),
    to: to?.toISOString(),
    order: order === 'asc' ? order : undefined,
  };
  return Object.fromEntries(
    Object.entries(filters).filter(
      (filter): filter is [string, string | number | boolean | number[]] => filter[1] !== undefined,
    ),
  );
}
