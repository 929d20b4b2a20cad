import { Injectable, Logger } from '@nestjs/common';
import { type FieldError, validationFailed } from '../common/app-error.js';
import { ControlPool } from '../database/pools.js';
import type { EventValue } from '../events/domain-events.js';
import { EventPublisher } from '../events/event-publisher.js';
import { type AuditLogPosition, decodeCursor, encodeCursor } from './audit-cursor.js';
import type { AuditLog } from './audit-log.entity.js';
import { type AuditLogPageRow, type AuditLogSelection, pageStatement } from './audit-log.query.js';

/** Some rows, newest first, and the cursor of those that follow; null when there are none. */
export interface AuditLogPage {
  readonly rows: readonly AuditLog[];
  readonly nextCursor: string | null;
}

interface Batch {
  readonly rows: readonly AuditLog[];
  readonly next: AuditLogPosition | undefined;
}

const EXPORT_BATCH_ROWS = 1_000;

/** Reading the audit log, which is itself audited. */
@Injectable()
export class AuditLogsService {
  readonly #logger = new Logger(AuditLogsService.name);

  constructor(
    private readonly pool: ControlPool,
    private readonly events: EventPublisher,
  ) {}

  /** Newest first. A page of very large rows may have fewer than `limit`. @throws AppError `validation.failed` */
  async list(selection: AuditLogSelection, limit: number, cursor: string | undefined): Promise<AuditLogPage> {
    const { rows, next } = await this.#read(selection, startOf(selection, cursor), limit);
    await this.events.observe('audit_log.listed', { filters: filtersOf(selection) });
    return { rows, nextCursor: next === undefined ? null : encodeCursor(next) };
  }

  /**
   * The whole selection, from the cursor on when there is one, newest first, a batch at a time as the caller takes
   * them. The first batch is read before this resolves, so that what can go wrong mostly does before the answer begins.
   * @throws AppError `validation.failed`
   */
  async export(
    selection: AuditLogSelection,
    cursor: string | undefined,
  ): Promise<AsyncIterable<readonly AuditLog[]>> {
    const first = await this.#read(selection, startOf(selection, cursor), EXPORT_BATCH_ROWS);
    await this.events.observe('audit_log.exported', { filters: filtersOf(selection) });
    return this.#batches(selection, first);
  }

  /** Once the answer has begun a failure can only cut it off: the client sees that, nobody else would. */
  async *#batches(
    selection: AuditLogSelection,
    first: Batch,
  ): AsyncGenerator<readonly AuditLog[], void, void> {
    let batch = first;
    yield batch.rows;
    while (batch.next !== undefined) {
      batch = await this.#read(selection, batch.next, EXPORT_BATCH_ROWS).catch((error: unknown) => {
        this.#logger.warn(`An export was cut off: ${String(error)}`);
        throw error;
      });
      yield batch.rows;
    }
  }

  /** One row more than wanted is asked for: it tells whether others follow. */
  async #read(
    selection: AuditLogSelection,
    after: AuditLogPosition | undefined,
    maxRows: number,
  ): Promise<Batch> {
    const { text, values } = pageStatement(selection, after, maxRows + 1);
    const found = await this.pool.query<AuditLogPageRow>(text, [...values]);
    const rows = found.rows.slice(0, maxRows);
    const last = rows.at(-1);
    const hasMore = last !== undefined && last.found > rows.length;
    return { rows, next: hasMore ? { createdAt: last.position, id: last.id } : undefined };
  }
}

/** Checks what no single field can tell. */
function startOf({ from, to }: AuditLogSelection, cursor: string | undefined): AuditLogPosition | undefined {
  const errors: FieldError[] = [];
  const start = cursor === undefined ? undefined : decodeCursor(cursor);
  if (cursor !== undefined && start === undefined) {
    errors.push({ field: 'cursor', message: 'must be the next_cursor of an earlier answer' });
  }
  if (from !== undefined && to !== undefined && from > to) {
    errors.push({ field: 'from', message: 'must not lie after to' });
  }
  if (errors.length > 0) throw validationFailed(errors);
  return start;
}

/** The selection as an audit row tells it: by its names on the wire, only what was asked for. */
function filtersOf(selection: AuditLogSelection): Record<string, EventValue> {
  const { userId, action, resourceType, resourceId, success, from, to } = selection;
  const filters = {
    user_id: userId,
    action,
    resource_type: resourceType,
    resource_id: resourceId,
    success,
    from: from?.toISOString(),
    to: to?.toISOString(),
  };
  return Object.fromEntries(
    Object.entries(filters).filter(
      (filter): filter is [string, string | number | boolean] => filter[1] !== undefined,
    ),
  );
}
