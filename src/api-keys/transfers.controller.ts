import { Body, Controller, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentPrincipal, RequirePermissionSomewhere } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { entityTag, IF_MATCH, IfMatchVersions } from '../contract/request-headers.js';
import { VERSION_HEADERS } from '../contract/response-headers.js';
import { ApiKeyIdParameter } from './api-keys.dto.js';
import { ApiKeyResponse, toApiKeyResponse } from './api-keys.responses.js';
import { toTransferRequest, TransferApiKeyDto } from './transfers.dto.js';
import { TransfersService } from './transfers.service.js';

@ApiTags('API keys')
@Controller(`${API_PATH}/api-keys`)
export class TransfersController {
  constructor(
    private readonly transfers: TransfersService,
    private readonly clock: Clock,
  ) {}

  @Post(':id/transfer')
  @HttpCode(200)
  @RequirePermissionSomewhere('platform:api-keys:update')
  @Operation('transfer_api_key', {
    resourceType: 'api_key',
    summary: 'Give an API key to another owner, or move it to another project',
    description:
      'Needs `platform:api-keys:update` where the key is and `platform:api-keys:create` where it is to be, and the permissions among its scopes there. Secret, limits, budget and history stay, and so does its state: a key that was deactivated because its owner left is activated afterwards. The keys that it created move along.',
    errors: [
      'api_key.not_found',
      'api_key.version_mismatch',
      'api_key.has_parent',
      'project.not_found',
      'project.inactive',
      'user.not_found',
      'service_account.not_found',
      'service_account.inactive',
    ],
  })
  @ApiHeader(IF_MATCH)
  @ApiOkResponse({ type: ApiKeyResponse, headers: VERSION_HEADERS })
  async transfer(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
    @Body() body: TransferApiKeyDto,
    @IfMatchVersions() expectedVersions: readonly number[] | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ApiKeyResponse> {
    const request = toTransferRequest(body);
    const apiKey = await this.transfers.transfer(principal, id, request, expectedVersions);
    void reply.header('etag', entityTag(apiKey.version));
    return toApiKeyResponse(apiKey, this.clock.now());
  }
}
