import type { DomainEventName, DomainEvents } from '../events/domain-events.js';
import type { EventValue } from '../events/event-values.js';

/** One of the resources of an event. */
interface AuditedResource {
  readonly id: string;
  readonly details: AuditEntry['details'];
}

/** What an audit row says of an event, beside who, when and from where. */
export interface AuditEntry {
  readonly action: string;
  readonly resourceType: string;
  readonly resourceId: string | null;
  readonly details: Readonly<Record<string, EventValue>>;
  readonly success: boolean;
  /** For an event about many resources: a row for each, instead of one. */
  readonly resources?: readonly AuditedResource[];
  /** Set where the event knows the actor better than the request does: on routes without a credential. */
  readonly actorUserId?: number | null;
}

/** An entry for each of some events. */
export type Entries<Of extends DomainEventName = DomainEventName> = {
  readonly [Name in Of]: (payload: DomainEvents[Name]) => AuditEntry;
};

/** A row that says that something succeeded. */
export function entry(
  action: string,
  resourceType: string,
  resourceId: number | string | null,
  details: AuditEntry['details'],
): AuditEntry {
  const id = resourceId === null ? null : String(resourceId);
  return { action, resourceType, resourceId: id, details, success: true };
}

/** What an update changed. */
export function updateDetails({ beforeValues, afterValues }: Omit<DomainEvents['user.updated'], 'userId'>) {
  return {
    updated_fields: Object.keys(afterValues),
    before_values: beforeValues,
    after_values: afterValues,
  };
}

/** The action on something of an organization, or of a project. */
export function ofPlace(verb: string, what: string, projectId: number | null): string {
  return `${verb}_${projectId === null ? 'organization' : 'project'}_${what}`;
}

/** The organization has a column of its own. */
export function placed(projectId: number | null, details: AuditEntry['details']): AuditEntry['details'] {
  return projectId === null ? details : { project_id: projectId, ...details };
}
