import { ApiSchema } from '@nestjs/swagger';
import {
  BooleanField,
  ChoiceField,
  IntegerField,
  ResponseField,
  TextField,
  TimestampField,
} from '../contract/fields.js';
import { ID, TIMESTAMP } from '../contract/wire-schemas.js';
import type { Principal } from '../auth/principal.js';
import type { AuditLog } from './audit-log.entity.js';
import { readableOrganizations } from './audit-access.policy.js';
import type { AuditLogOrder, AuditLogPage, AuditLogRequest } from './audit-logs.service.js';

/** Which rows, and in which order. */
export class AuditLogExportQuery {
  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    fromText: true,
    optional: true,
    description: 'The actor.',
  })
  user_id?: number;

  @TextField({
    minLength: 1,
    maxLength: 100,
    optional: true,
    description: 'Only rows of this action.',
    example: 'create_api_key',
  })
  action?: string;

  @TextField({
    minLength: 1,
    maxLength: 100,
    optional: true,
    description: 'Only rows of this kind of thing.',
    example: 'api_key',
  })
  resource_type?: string;

  @TextField({
    minLength: 1,
    maxLength: 200,
    optional: true,
    description: 'Only rows of the thing with this id.',
    example: '1',
  })
  resource_id?: string;

  @BooleanField({ fromText: true, optional: true, description: 'false: what was refused or failed.' })
  success?: boolean;

  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    fromText: true,
    optional: true,
    description: 'Only rows about this organization.',
  })
  organization_id?: number;

  @TimestampField({ optional: true, description: 'The first moment.', example: '2026-11-01T00:00:00Z' })
  from?: Date;

  @TimestampField({
    optional: true,
    description: 'The moment after the last.',
    example: '2026-12-01T00:00:00Z',
  })
  to?: Date;

  @TextField({
    minLength: 1,
    maxLength: 200,
    optional: true,
    description: 'The `next_cursor` of the page before, of the same order.',
  })
  cursor?: string;

  @ChoiceField({
    choices: ['desc', 'asc'],
    optional: true,
    default: 'desc',
    description:
      '`asc`: rows in the order in which they were committed, up to the oldest change that still runs; none is skipped.',
  })
  order: AuditLogOrder = 'desc';
}

/** The same, a page at a time. */
export class AuditLogQuery extends AuditLogExportQuery {
  @IntegerField({
    minimum: 1,
    maximum: 200,
    fromText: true,
    optional: true,
    default: 50,
    description: 'The most rows in a page.',
  })
  limit: number = 50;
}

@ApiSchema({ name: 'AuditLog' })
export class AuditLogResponse {
  @ResponseField({ type: 'string', format: 'uuid', description: 'Names the row.' })
  id!: string;

  @ResponseField({
    ...ID,
    nullable: true,
    description: 'The actor; null for the system and for callers that were not authenticated.',
  })
  user_id!: number | null;

  @ResponseField({
    ...ID,
    nullable: true,
    description: 'The API key the actor called with, if any.',
  })
  api_key_id!: number | null;

  @ResponseField({ type: 'string', description: 'The operation or the event.', example: 'create_api_key' })
  action!: string;

  @ResponseField({ type: 'string', description: 'The kind of thing it was done to.', example: 'api_key' })
  resource_type!: string;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'The thing it was done to; null for none or many.',
    example: '1',
  })
  resource_id!: string | null;

  @ResponseField({
    type: 'object',
    additionalProperties: true,
    description: 'What the action was about; secrets are masked.',
    example: { name: 'CI', scopes: [] },
  })
  details!: Readonly<Record<string, unknown>>;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'Where the request came from; null for the service itself.',
    example: '192.0.2.1',
  })
  ip_address!: string | null;

  @ResponseField({ type: 'string', nullable: true, description: 'What the client called itself.' })
  user_agent!: string | null;

  @ResponseField({ type: 'string', nullable: true, description: 'The `X-Request-Id` of the response.' })
  request_id!: string | null;

  @ResponseField({
    ...ID,
    nullable: true,
    description: 'The organization that it is about; null where there is none.',
  })
  organization_id!: number | null;

  @ResponseField({ type: 'boolean', description: 'false: it was refused or failed.' })
  success!: boolean;

  @ResponseField({ ...TIMESTAMP, description: 'When it was recorded.' })
  created_at!: string;
}

@ApiSchema({ name: 'AuditLogList' })
export class AuditLogListResponse {
  @ResponseField({
    type: () => [AuditLogResponse],
    description: 'In the order asked for; may be fewer than `limit`.',
  })
  audit_logs!: AuditLogResponse[];

  @ResponseField({
    type: 'string',
    nullable: true,
    description:
      'Leads to the next page; null on the last. With `order=asc` it is never null: later it leads to what is new.',
  })
  next_cursor!: string | null;
}

/**
 * What is read for a caller who may read the log, or that of some organizations.
 * @throws AppError `permission.denied`
 */
export function toAuditLogRequest(principal: Principal, query: AuditLogExportQuery): AuditLogRequest {
  const { user_id, action, resource_type, resource_id, success, from, to, order, cursor } = query;
  const selection = {
    userId: user_id,
    action,
    resourceType: resource_type,
    resourceId: resource_id,
    success,
    organizationIds: readableOrganizations(principal, query.organization_id),
    from,
    to,
  };
  return { selection, order, cursor };
}

export function toAuditLogListResponse({ rows, nextCursor }: AuditLogPage): AuditLogListResponse {
  return { audit_logs: rows.map(toAuditLogResponse), next_cursor: nextCursor };
}

export function toAuditLogResponse(row: AuditLog): AuditLogResponse {
  return {
    id: row.id,
    user_id: row.userId,
    api_key_id: row.apiKeyId,
    action: row.action,
    resource_type: row.resourceType,
    resource_id: row.resourceId,
    details: row.details,
    ip_address: row.ipAddress,
    user_agent: row.userAgent,
    request_id: row.requestId,
    organization_id: row.organizationId,
    success: row.success,
    created_at: row.createdAt.toISOString(),
  };
}
