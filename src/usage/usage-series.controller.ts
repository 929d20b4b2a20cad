import { Controller, Get, Header, Param, Query, type StreamableFile } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { ApiKeyIdParameter } from '../api-keys/api-keys.dto.js';
import { CurrentPrincipal, OwnerOrPermission } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { AcceptedMediaType } from '../contract/accept.js';
import { API_PATH } from '../contract/api-path.js';
import { ApiCsvResponse, CSV_MEDIA_TYPE, csvFile } from '../contract/csv.js';
import { Operation } from '../contract/operation.js';
import { UsageSeries } from './usage-series.queries.js';
import {
  ApiKeyUsageSeriesResponse,
  toApiKeyUsageSeriesResponse,
  toUsageSeriesRequest,
  usageSeriesColumns,
  UsageSeriesQuery,
  usageSeriesRows,
} from './usage-series.dto.js';

@ApiTags('Usage')
@Controller(`${API_PATH}/api-keys`)
export class UsageSeriesController {
  constructor(private readonly series: UsageSeries) {}

  @Get(':id/usage/series')
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('get_api_key_usage_series', {
    resourceType: 'api_key',
    summary: 'Read usage over time, by hour, day or month (UTC)',
    description:
      'Usage is kept by the hour: the span is widened to whole hours. At most 10,000 buckets, 20,000 over all models. As a table: `export_api_key_usage_series`, or this with `Accept: text/csv`.',
    isExpensive: () => true,
    errors: ['api_key.not_found', 'request.not_acceptable'],
  })
  @Header('vary', 'Accept, Origin')
  @ApiOkResponse({ type: ApiKeyUsageSeriesResponse, description: 'The series.' })
  async getApiKeyUsageSeries(
    @CurrentPrincipal() principal: Principal,
    @Param() key: ApiKeyIdParameter,
    @Query() query: UsageSeriesQuery,
    @AcceptedMediaType(['application/json', CSV_MEDIA_TYPE]) mediaType: string,
  ): Promise<ApiKeyUsageSeriesResponse | StreamableFile> {
    if (mediaType === CSV_MEDIA_TYPE) return this.exportApiKeyUsageSeries(principal, key, query);
    const series = await this.series.ofApiKey(principal, key.id, toUsageSeriesRequest(query));
    return toApiKeyUsageSeriesResponse(series);
  }

  @Get(':id/usage/series.csv')
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('export_api_key_usage_series', {
    resourceType: 'api_key',
    summary: 'Read usage over time, as a table',
    description: 'What `get_api_key_usage_series` returns, as CSV (RFC 4180) with a row for each bucket.',
    isExpensive: () => true,
    errors: ['api_key.not_found'],
  })
  @ApiCsvResponse()
  async exportApiKeyUsageSeries(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
    @Query() query: UsageSeriesQuery,
  ): Promise<StreamableFile> {
    const series = await this.series.ofApiKey(principal, id, toUsageSeriesRequest(query));
    return csvFile(`api-key-${id}-usage.csv`, usageSeriesColumns(series), usageSeriesRows(series));
  }
}
