import { Controller, Get, Param } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { ApiKeyIdParameter } from '../api-keys/api-keys.dto.js';
import { CurrentPrincipal, OwnerOrPermission } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { ApiKeyUsageResponse, toApiKeyUsageResponse } from './usage.dto.js';
import { UsageStatistics } from './usage-statistics.queries.js';

@ApiTags('Usage')
@Controller(`${API_PATH}/api-keys`)
export class UsageController {
  constructor(private readonly statistics: UsageStatistics) {}

  @Get(':id/usage')
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('get_api_key_usage', {
    resourceType: 'api_key',
    summary: 'Read usage: in all, today and this hour (UTC)',
    description: 'Costs are whole cents rounded half up, each beside its exact decimal.',
    errors: ['api_key.not_found'],
  })
  @ApiOkResponse({ type: ApiKeyUsageResponse })
  async getApiKeyUsage(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
  ): Promise<ApiKeyUsageResponse> {
    return toApiKeyUsageResponse(await this.statistics.ofApiKey(principal, id));
  }
}
