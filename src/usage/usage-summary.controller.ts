import { Controller, Get, Header, Query, type StreamableFile } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiTags, getSchemaPath } from '@nestjs/swagger';
import { CurrentPrincipal, OwnerOrPermission } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { AcceptedMediaType } from '../contract/accept.js';
import { API_PATH } from '../contract/api-path.js';
import { CSV_MEDIA_TYPE, csvFile } from '../contract/csv.js';
import { Operation } from '../contract/operation.js';
import { UsageSummary } from './usage-summary.queries.js';
import {
  toUsageSummaryQuestion,
  toUsageSummaryResponse,
  USAGE_SUMMARY_COLUMNS,
  UsageSummaryQuery,
  UsageSummaryResponse,
  usageSummaryRows,
} from './usage-summary.dto.js';

@ApiTags('Usage')
@Controller(`${API_PATH}/usage`)
export class UsageSummaryController {
  constructor(private readonly summary: UsageSummary) {}

  @Get('summary')
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('get_usage_summary', {
    resourceType: 'usage',
    summary: 'Sum usage up: in all, by key, by model and by day (UTC)',
    description:
      'Of one’s own keys, or, with `platform:api-keys:read`, those of everyone or of `user_id`. The span, at most 366 days, is widened to whole hours. With `Accept: text/csv` a table.',
    isExpensive: () => true,
  })
  @Header('vary', 'Accept, Origin')
  @ApiExtraModels(UsageSummaryResponse)
  @ApiOkResponse({
    description: 'The sums, or a table of them.',
    content: {
      'application/json': { schema: { $ref: getSchemaPath(UsageSummaryResponse) } },
      [CSV_MEDIA_TYPE]: { schema: { type: 'string' } },
    },
  })
  async getUsageSummary(
    @CurrentPrincipal() principal: Principal,
    @Query() query: UsageSummaryQuery,
    @AcceptedMediaType(['application/json', CSV_MEDIA_TYPE]) mediaType: string,
  ): Promise<UsageSummaryResponse | StreamableFile> {
    const summary = await this.summary.of(principal, toUsageSummaryQuestion(query));
    return mediaType === CSV_MEDIA_TYPE
      ? csvFile('usage-summary.csv', USAGE_SUMMARY_COLUMNS, usageSummaryRows(summary))
      : toUsageSummaryResponse(summary);
  }
}
