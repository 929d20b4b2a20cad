import { Readable } from 'node:stream';
import {
  Controller,
  createParamDecorator,
  type ExecutionContext,
  Get,
  Header,
  Query,
  StreamableFile,
} from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentPrincipal, RequirePermissionSomewhere } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { AcceptedMediaType } from '../contract/accept.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import {
  AuditLogExportQuery,
  AuditLogListResponse,
  AuditLogQuery,
  AuditLogResponse,
  toAuditLogListResponse,
  toAuditLogResponse,
  toAuditLogRequest,
} from './audit.dto.js';
import { AuditLogsService } from './audit-logs.service.js';
import { NDJSON_MEDIA_TYPE, ndjsonLines } from './ndjson.js';

/** A client that reads nothing of a response for so long has left it. */
const LONGEST_PAUSE_MS = 60_000;

/** Aborted when the response has been sent, or the client has left or reads no further. */
const ResponseEnded = createParamDecorator((_data: unknown, context: ExecutionContext): AbortSignal => {
  const ended = new AbortController();
  const { raw } = context.switchToHttp().getResponse<FastifyReply>();
  raw.setTimeout(LONGEST_PAUSE_MS, () => raw.destroy());
  raw.once('close', () => ended.abort());
  return ended.signal;
});

@ApiTags('Audit')
@Controller(`${API_PATH}/audit-logs`)
export class AuditController {
  constructor(private readonly auditLogs: AuditLogsService) {}

  @Get()
  @RequirePermissionSomewhere('platform:audit:read')
  @Operation('list_audit_logs', {
    summary: 'Read the audit log',
    description:
      'A page, newest first; with `order=asc` in the order in which rows were committed, so that a collector who goes on from `next_cursor` misses none. All rows of a selection at once: `export_audit_logs`, or this with `Accept: application/x-ndjson`.',
    isExpensive: () => true,
    resourceType: 'audit_log',
    errors: ['request.not_acceptable'],
  })
  @Header('cache-control', 'no-store')
  @ApiOkResponse({ type: AuditLogListResponse, description: 'A page of rows.' })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query() query: AuditLogQuery,
    @AcceptedMediaType(['application/json', NDJSON_MEDIA_TYPE]) mediaType: string,
    @ResponseEnded() ended: AbortSignal,
  ): Promise<AuditLogListResponse | StreamableFile> {
    if (mediaType === NDJSON_MEDIA_TYPE) return this.export(principal, query, ended);
    const page = await this.auditLogs.list(
      principal.userId,
      toAuditLogRequest(principal, query),
      query.limit,
    );
    return toAuditLogListResponse(page);
  }

  @Get('export')
  @RequirePermissionSomewhere('platform:audit:read')
  @Operation('export_audit_logs', {
    summary: 'Export the audit log',
    description:
      'All rows of a selection as a stream: newline-delimited JSON with one row in each line, in the order of `list_audit_logs`. A stream that ends without its last chunk was cut off.',
    isExpensive: () => true,
    resourceType: 'audit_log',
  })
  @Header('cache-control', 'no-store')
  @ApiExtraModels(AuditLogResponse)
  @ApiOkResponse({
    description: 'One row in each line: JSON texts of `AuditLog`.',
    content: { [NDJSON_MEDIA_TYPE]: { schema: { type: 'string' } } },
  })
  async export(
    @CurrentPrincipal() principal: Principal,
    @Query() query: AuditLogExportQuery,
    @ResponseEnded() ended: AbortSignal,
  ): Promise<StreamableFile> {
    const batches = await this.auditLogs.export(principal.userId, toAuditLogRequest(principal, query), ended);
    const lines = Readable.from(ndjsonLines(batches, toAuditLogResponse), { objectMode: false });
    return new StreamableFile(lines, { type: NDJSON_MEDIA_TYPE });
  }
}
