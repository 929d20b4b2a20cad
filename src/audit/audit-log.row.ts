import type { Redactor } from '../common/redactor.js';
import type { DomainEvent } from '../events/domain-events.js';
import { auditEntryOf } from './audit-entries.js';
import type { AuditLog } from './audit-log.entity.js';
import { storableJson, storableText } from './storable.js';

/** Above the largest change that the API accepts (five lists of 100 texts of 200 characters, before and after). */
const LONGEST_DETAILS = 512 * 1024;
const LONGEST_TEXT = 512;

/** The row of an event: masked, storable and bounded, whatever the caller sent. */
export function auditLogOf(event: DomainEvent, redactor: Redactor): AuditLog {
  const { origin } = event;
  const { action, resourceType, resourceId, details, success, actorUserId } = auditEntryOf(event);
  const text = (value: string) => storableText(redactor.maskText(value), LONGEST_TEXT);
  const optional = (value: string | null) => (value === null ? null : text(value));
  return {
    id: event.id,
    createdAt: event.occurredAt,
    userId: actorUserId === undefined ? origin.userId : actorUserId,
    apiKeyId: origin.apiKeyId,
    action: text(action),
    resourceType: text(resourceType),
    resourceId: optional(resourceId),
    details: storableJson(redactor.maskJson(details), LONGEST_DETAILS) as AuditLog['details'],
    ipAddress: optional(origin.ipAddress),
    userAgent: optional(origin.userAgent),
    requestId: optional(origin.requestId),
    success,
  };
}
