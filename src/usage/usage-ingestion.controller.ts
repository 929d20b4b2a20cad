import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { RequirePermission } from '../auth/access.decorators.js';
import { type GuardedRequest, reporterOf } from '../auth/access.guard.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { USAGE_EVENT_SCHEMA } from './usage-event.schema.js';
import { type IngestionResult, UsageIngestionService } from './usage-ingestion.service.js';

const LARGE_BODY = 1_048_576;
const RESULT_SCHEMA = {
  type: 'object',
  required: ['accepted', 'duplicates', 'conflicts', 'rejected'],
  properties: {
    accepted: { type: 'integer', description: 'Events recorded by this request.' },
    duplicates: { type: 'integer', description: 'Events that were recorded before.' },
    conflicts: {
      type: 'array',
      description: 'Those of the duplicates that say something else than what was recorded.',
      items: {
        type: 'object',
        required: ['index', 'request_id'],
        properties: {
          index: { type: 'integer', description: 'The place of the event in the list.' },
          request_id: { type: 'string' },
        },
      },
    },
    rejected: {
      type: 'array',
      items: {
        type: 'object',
        required: ['index', 'errors'],
        properties: {
          index: { type: 'integer', description: 'The place of the event in the list.' },
          errors: {
            type: 'array',
            items: {
              type: 'object',
              required: ['field', 'message'],
              properties: { field: { type: 'string' }, message: { type: 'string' } },
            },
          },
        },
      },
      description: 'Every event that was not recorded. Together they name at most 50 broken rules.',
    },
    errors_truncated: {
      type: 'boolean',
      description: '`true` when more rules are broken than are named; absent otherwise.',
    },
  },
};

@ApiTags('Usage')
@Controller(`${API_PATH}/usage`)
export class UsageIngestionController {
  constructor(private readonly ingestion: UsageIngestionService) {}

  @Post()
  @HttpCode(200)
  @RequirePermission('platform:usage:write')
  @Operation('report_usage', {
    summary: 'Report what keys were used for',
    description:
      'One event, or a list of up to 1,000. Answered after commit; the same key and request id of the same caller count once in 30 days, however often they are sent. In a list a bad event harms only itself.',
    resourceType: 'usage',
    isDataPlane: true,
    isDirect: true,
    bodyLimit: LARGE_BODY,
  })
  @ApiBody({
    schema: {
      oneOf: [USAGE_EVENT_SCHEMA, { type: 'array', maxItems: 1_000, items: USAGE_EVENT_SCHEMA }],
    } as object,
  })
  @ApiOkResponse({ content: { 'application/json': { schema: RESULT_SCHEMA } } })
  report(@Req() request: GuardedRequest): Promise<IngestionResult> {
    return this.ingestion.ingest(request.body, reporterOf(request));
  }
}
