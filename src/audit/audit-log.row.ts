import type { Redactor } from '../common/redactor.js';
import { uuidV7 } from '../common/uuid.js';
import type { DomainEvent } from '../events/domain-events.js';
import { auditEntryOf } from './audit-entries.js';
import type { AuditEntry } from './audit-entry.js';
import type { AuditLog } from './audit-log.entity.js';
import { storableDetails, storableText } from './storable.js';

const LONGEST_TEXT = 512;

/** The rows of an event, most often one: masked, storable and bounded, whatever the caller sent. */
export function auditLogsOf(event: DomainEvent, redactor: Redactor): AuditLog[] {
  const { origin } = event;
  const entry = auditEntryOf(event);
  const { action, resourceType, resourceId, success, actorUserId, resources } = entry;
  const text = (value: string) => storableText(redactor.maskText(value), LONGEST_TEXT);
  const optional = (value: string | null) => (value === null ? null : text(value));
  const detailsOf = (details: AuditEntry['details']) =>
    storableDetails(redactor.maskJson(details) as AuditLog['details']);
  const row = {
    id: event.id,
    createdAt: event.occurredAt,
    userId: actorUserId === undefined ? origin.userId : actorUserId,
    apiKeyId: origin.apiKeyId,
    action: text(action),
    resourceType: text(resourceType),
    resourceId: optional(resourceId),
    details: detailsOf(entry.details),
    ipAddress: optional(origin.ipAddress),
    userAgent: optional(origin.userAgent),
    requestId: optional(origin.requestId),
    success,
    organizationId: origin.organizationId,
  };
  if (resources === undefined) return [row];
  // In order: the rows are then the next entries of nearly all indexes.
  const ids = resources.map(() => uuidV7(event.occurredAt.getTime())).toSorted();
  return resources.map(({ id, details }, index) => ({
    ...row,
    id: ids[index] ?? row.id,
    resourceId: text(id),
    details: detailsOf(details),
  }));
}
