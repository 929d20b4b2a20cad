import { Body, Controller, Delete, Header, HttpCode, Param, Post, Res } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentPrincipal, OwnerOrPermission } from '../auth/access.decorators.js';
import { MessageResponse } from '../contract/message.response.js';
import { actorOf, type Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import { API_PATH } from '../contract/api-path.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { IdempotencyKey } from '../contract/request-headers.js';
import { ApiKeyIdParameter, ApiKeySecretParameters, RegenerateApiKeyDto } from './api-keys.dto.js';
import { ApiKeyWithSecretResponse } from './api-keys.responses.js';
import { IDEMPOTENCY_KEY, REPLAYED, toIssuedResponse } from './issued-response.js';
import { SecretsService } from './secrets.service.js';

const RESOURCE = { resourceType: 'api_key' } as const;

@ApiTags('API keys')
@Controller(`${API_PATH}/api-keys`)
export class SecretsController {
  constructor(
    private readonly secrets: SecretsService,
    private readonly clock: Clock,
  ) {}

  @Post(':id/regenerate')
  @HttpCode(200)
  @OwnerOrPermission('platform:api-keys:update')
  @Operation('regenerate_api_key', {
    ...RESOURCE,
    summary: 'Give an API key a new secret',
    description:
      'The old secret stays valid for `grace_period_seconds`, beside at most four that are retiring already; without a grace period, all earlier secrets end at once. Id, limits, budget and history stay.',
    errors: [
      'idempotency.in_progress',
      'idempotency.key_reused',
      'api_key.not_found',
      'api_key.too_many_secrets',
    ],
  })
  @ApiHeader(IDEMPOTENCY_KEY)
  @ApiOkResponse({ type: ApiKeyWithSecretResponse, headers: REPLAYED })
  @Header('cache-control', 'no-store')
  async regenerate(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
    @Body() body: RegenerateApiKeyDto,
    @IdempotencyKey() key: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ApiKeyWithSecretResponse> {
    const request = { id, grace_period_seconds: body.grace_period_seconds };
    const claim =
      key === undefined
        ? undefined
        : { caller: actorOf(principal), operation: 'regenerate_api_key', key, request };
    const issued = await this.secrets.regenerate(principal, id, body.grace_period_seconds, claim);
    return toIssuedResponse(reply, issued, this.clock.now());
  }

  @Delete(':id/secrets/:secret_id')
  @OwnerOrPermission('platform:api-keys:update')
  @NoBody()
  @Operation('delete_api_key_secret', {
    ...RESOURCE,
    summary: 'End a secret before its grace period is over',
    description:
      'For a secret that is retiring. The current one ends when the key is regenerated or deleted.',
    errors: ['api_key.not_found', 'api_key.secret_not_found', 'api_key.secret_in_use'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async deleteSecret(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, secret_id }: ApiKeySecretParameters,
  ): Promise<MessageResponse> {
    await this.secrets.endSecret(principal, id, secret_id);
    return { message: 'Secret deleted successfully' };
  }
}
