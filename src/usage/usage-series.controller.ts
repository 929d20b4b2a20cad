import { Controller, Get, Header, Param, Query, type StreamableFile } from '@nestjs/common';
import { ApiExtraModels, ApiOkResponse, ApiTags, getSchemaPath } from '@nestjs/swagger';
import { ApiKeyIdParameter } from '../api-keys/api-keys.dto.js';
import { CurrentPrincipal, OwnerOrPermission } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { AcceptedMediaType } from '../contract/accept.js';
import { API_PATH } from '../contract/api-path.js';
import { CSV_MEDIA_TYPE, csvFile } from '../contract/csv.js';
import { Operation } from '../contract/operation.js';
import { UsageSeries } from './usage-series.queries.js';
import {
  ApiKeyUsageSeriesResponse,
  toApiKeyUsageSeriesResponse,
  toUsageSeriesQuestion,
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
      'Usage is kept by the hour: the span is widened to whole hours. At most 10,000 buckets, 20,000 over all models. With `Accept: text/csv` a table.',
    isExpensive: () => true,
  })
  @Header('vary', 'Accept, Origin')
  @ApiExtraModels(ApiKeyUsageSeriesResponse)
  @ApiOkResponse({
    description: 'The series, or a table with a row for each bucket.',
    content: {
      'application/json': { schema: { $ref: getSchemaPath(ApiKeyUsageSeriesResponse) } },
      [CSV_MEDIA_TYPE]: { schema: { type: 'string' } },
    },
  })
  async getApiKeyUsageSeries(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
    @Query() query: UsageSeriesQuery,
    @AcceptedMediaType(['application/json', CSV_MEDIA_TYPE]) mediaType: string,
  ): Promise<ApiKeyUsageSeriesResponse | StreamableFile> {
    const series = await this.series.ofApiKey(principal, id, toUsageSeriesQuestion(query));
    return mediaType === CSV_MEDIA_TYPE
      ? csvFile(`api-key-${id}-usage.csv`, usageSeriesColumns(series), usageSeriesRows(series))
      : toApiKeyUsageSeriesResponse(series);
  }
}
