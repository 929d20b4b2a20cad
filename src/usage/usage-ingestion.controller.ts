import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { RequirePermissionSomewhere } from '../auth/access.decorators.js';
import { type GuardedRequest, reporterOf } from '../auth/access.guard.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { type IngestionResult, UsageIngestionService } from './usage-ingestion.service.js';
import { USAGE_REPORT_RESULT_SCHEMA, USAGE_REPORT_SCHEMA } from './usage-report.schema.js';

const PERMISSION = 'platform:usage:write';
const LARGE_BODY = 1_048_576;

@ApiTags('Usage')
@Controller(`${API_PATH}/usage`)
export class UsageIngestionController {
  constructor(private readonly ingestion: UsageIngestionService) {}

  @Post()
  @HttpCode(200)
  @RequirePermissionSomewhere(PERMISSION)
  @Operation('report_usage', {
    summary: 'Report what keys were used for',
    description:
      'One event, or a list of up to 1,000. Answered after commit; the same key and request id of the same caller count once for at least 31 days, however often they are sent. In a list a bad event harms only itself. To a caller of one organization or project, the keys of others are unknown.',
    resourceType: 'usage',
    isDataPlane: true,
    isDirect: true,
    bodyLimit: LARGE_BODY,
  })
  @ApiBody({ schema: USAGE_REPORT_SCHEMA as object })
  @ApiOkResponse({ content: { 'application/json': { schema: USAGE_REPORT_RESULT_SCHEMA as object } } })
  report(@Req() request: GuardedRequest): Promise<IngestionResult> {
    return this.ingestion.ingest(request.body, reporterOf(request, PERMISSION));
  }
}
