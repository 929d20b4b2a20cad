import { Injectable, Logger } from '@nestjs/common';
import { type FieldError, validationFailed } from '../common/app-error.js';
import { ReportQueries } from '../database/report-queries.js';
import type { EventValue } from '../events/domain-events.js';
import { EventPublisher } from '../events/event-publisher.js';
import {
  type AuditLogPosition,
  COMMITTED_FROM_THE_START,
  decodeCursor,
  encodeCursor,
} from './audit-cursor.js';
import type { AuditLog } from './audit-log.entity.js';
import {
  type AuditLogPageRow,
  type AuditLogSelection,
  PAGE_BYTES,
  pageStatement,
  scanEndStatement,
} from './audit-log.query.js';

/** A selection and its order. */
export interface AuditLogQuestion {
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
  readonly rows: readonly AuditLog[];
  /** The position after the rows that were read; undefined at the end. */
  readonly next: AuditLogPosition | undefined;
  /** After the last row, or where it began. */
  readonly end: AuditLogPosition | undefined;
}

const EXPORT_BATCH_ROWS = 1_000;
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
  async list(callerId: number, question: AuditLogQuestion, limit: number): Promise<AuditLogPage> {
    const rows: AuditLog[] = [];
    const endsAt = performance.now() + PAGE_TIME_MS;
    let [at, bytes] = [startOf(question), 0];
    let batch: Batch;
    do {
      batch = await this.#read(callerId, question, at, limit - rows.length);
      rows.push(...batch.rows);
      bytes += bytesOf(batch.rows);
      at = batch.next;
    } while (at !== undefined && rows.length < limit && bytes < PAGE_BYTES && performance.now() < endsAt);
    await this.events.observe('audit_log.listed', { filters: filtersOf(question) });
    const next = batch.next ?? (question.order === 'asc' ? batch.end : undefined);
    return { rows, nextCursor: next === undefined ? null : encodeCursor(next) };
  }

  /**
   * The whole selection, from the cursor on when there is one, a batch at a time as the caller takes them. The first batch
   * is read before this resolves, so that what can go wrong mostly does before the answer begins.
   * @throws AppError `validation.failed`
   */
  async export(callerId: number, question: AuditLogQuestion): Promise<AsyncIterable<readonly AuditLog[]>> {
    const first = await this.#read(callerId, question, startOf(question), EXPORT_BATCH_ROWS);
    await this.events.observe('audit_log.exported', { filters: filtersOf(question) });
    return this.#batches(callerId, question, first);
  }

  /** Once the answer has begun a failure can only cut it off: the client sees that, nobody else would. */
  async *#batches(
    callerId: number,
    question: AuditLogQuestion,
    first: Batch,
  ): AsyncGenerator<readonly AuditLog[], void, void> {
    let batch = first;
    yield batch.rows;
    while (batch.next !== undefined) {
      batch = await this.#read(callerId, question, batch.next, EXPORT_BATCH_ROWS).catch((error: unknown) => {
        this.#logger.warn(`An export was cut off: ${String(error)}`);
        throw error;
      });
      yield batch.rows;
    }
  }

  /** One row more than wanted is asked for: it tells whether others follow. */
  async #read(
    callerId: number,
    { selection, order }: AuditLogQuestion,
    after: AuditLogPosition | undefined,
    maxRows: number,
  ): Promise<Batch> {
    const walk = after?.walk ?? (order === 'asc' ? 'unnumbered' : 'newest_first');
    const statement = pageStatement(selection, walk, after, maxRows + 1);
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

function bytesOf(rows: readonly AuditLog[]): number {
  return rows.reduce((sum, { details }) => sum + Buffer.byteLength(JSON.stringify(details)), 0);
}

/** Checks what no single field can tell. */
function startOf({ selection, order, cursor }: AuditLogQuestion): AuditLogPosition | undefined {
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
function filtersOf({ selection, order }: AuditLogQuestion): Record<string, EventValue> {
  const { userId, action, resourceType, resourceId, success, from, to } = selection;
  const filters = {
    user_id: userId,
    action,
    resource_type: resourceType,
    resource_id: resourceId,
    success,
    from: from?.toISOString(),
    to: to?.toISOString(),
    order: order === 'asc' ? order : undefined,
  };
  return Object.fromEntries(
    Object.entries(filters).filter(
      (filter): filter is [string, string | number | boolean] => filter[1] !== undefined,
    ),
  );
}
