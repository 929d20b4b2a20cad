import { Controller, Get, Header, Query, type StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CurrentPrincipal, OwnerOrPermission } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { AcceptedMediaType } from '../contract/accept.js';
import { API_PATH } from '../contract/api-path.js';
import { ApiCsvResponse, CSV_MEDIA_TYPE, csvFile } from '../contract/csv.js';
import { Operation } from '../contract/operation.js';
import { UsageSummary } from './usage-summary.queries.js';
import {
  toUsageSummaryRequest,
  toUsageSummaryResponse,
  USAGE_SUMMARY_COLUMNS,
  UsageSummaryExportQuery,
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
      'Of one’s own keys, and those that one may read: with `platform:api-keys:read` in a project or an organization those there, for the whole platform everyone’s. `group_by` adds sums by organization, project, user, model or tag. The span, at most 366 days, is widened to whole hours. As a table: `export_usage_summary`, or this with `Accept: text/csv`.',
    isExpensive: () => true,
    errors: ['request.not_acceptable'],
  })
  @Header('vary', 'Accept, Origin')
  @ApiOkResponse({ type: UsageSummaryResponse, description: 'The sums.' })
  async getUsageSummary(
    @CurrentPrincipal() principal: Principal,
    @Query() query: UsageSummaryQuery,
    @AcceptedMediaType(['application/json', CSV_MEDIA_TYPE]) mediaType: string,
  ): Promise<UsageSummaryResponse | StreamableFile> {
    if (mediaType === CSV_MEDIA_TYPE) return this.exportUsageSummary(principal, query);
    return toUsageSummaryResponse(await this.summary.of(principal, toUsageSummaryRequest(query)));
  }

  @Get('summary.csv')
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('export_usage_summary', {
    resourceType: 'usage',
    summary: 'Sum usage up, as a table',
    description:
      'What `get_usage_summary` returns without groups, as CSV (RFC 4180). The first column says which part of the summary a row is of.',
    isExpensive: () => true,
  })
  @ApiCsvResponse()
  async exportUsageSummary(
    @CurrentPrincipal() principal: Principal,
    @Query() query: UsageSummaryExportQuery,
  ): Promise<StreamableFile> {
    const summary = await this.summary.of(principal, toUsageSummaryRequest(query));
    return csvFile('usage-summary.csv', USAGE_SUMMARY_COLUMNS, usageSummaryRows(summary));
  }
}
