import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Redactor } from '../common/redactor.js';
import type { DomainEvent } from '../events/domain-events.js';
import { auditLogsOf } from './audit-log.row.js';
import { AuditLogWriter } from './audit-log-writer.service.js';

/** Gives every event its row. An event whose row cannot be written fails, and with it the change. */
@Injectable()
export class AuditSubscriber {
  constructor(
    private readonly writer: AuditLogWriter,
    private readonly redactor: Redactor,
  ) {}

  @OnEvent('**', { suppressErrors: false })
  async record(event: DomainEvent): Promise<void> {
    const rows = auditLogsOf(event, this.redactor);
    await (event.isChange ? this.writer.addToChange(rows) : this.writer.addObservations(rows));
  }
}
