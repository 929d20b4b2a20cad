import {
  Body,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  Param,
  Post,
  Put,
  Query,
  Res,
} from '@nestjs/common';
import { ApiCreatedResponse, ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import {
  CurrentPrincipal,
  OwnerOrPermission,
  RequirePermissionSomewhere,
} from '../auth/access.decorators.js';
import { MessageResponse } from '../contract/message.response.js';
import { actorOf, type Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import { API_PATH } from '../contract/api-path.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { pageRequest, shownPage } from '../contract/paging.js';
import { entityTag, IdempotencyKey, IF_MATCH, IfMatchVersions } from '../contract/request-headers.js';
import { VERSION_HEADERS } from '../contract/response-headers.js';
import type { ApiKeyRecord } from './api-key.js';
import { ApiKeyIdParameter, CreateApiKeyDto, toApiKeyChanges, UpdateApiKeyDto } from './api-keys.dto.js';
import { isExpensiveList } from './api-key-search.queries.js';
import { ApiKeysReader } from './api-keys-reader.service.js';
import {
  ApiKeyListResponse,
  ApiKeyResponse,
  ApiKeyWithSecretResponse,
  toApiKeyResponse,
} from './api-keys.responses.js';
import { ListApiKeysQuery, toApiKeyFilter } from './list-query.dto.js';
import { ApiKeysService } from './api-keys.service.js';
import { IDEMPOTENCY_KEY, REPLAYED, toIssuedResponse } from './issued-response.js';

const RESOURCE = { resourceType: 'api_key' } as const;
const LARGE_BODY = 1_048_576;

@ApiTags('API keys')
@Controller(`${API_PATH}/api-keys`)
export class ApiKeysController {
  constructor(
    private readonly apiKeys: ApiKeysService,
    private readonly reader: ApiKeysReader,
    private readonly clock: Clock,
  ) {}

  @Get()
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('list_api_keys', {
    ...RESOURCE,
    summary: 'List API keys, newest first unless sorted otherwise',
    description:
      'Shows one’s own keys, or, with `platform:api-keys:read`, those of everyone or of `user_id`. The matches of `search`, `tag`, `state` and `expires_before` are counted up to 10 000: `total_is_exact` is false where there are more. `next_cursor` leads on without repeating or skipping a key when others are made or deleted meanwhile.',
    isExpensive: isExpensiveList,
  })
  @ApiOkResponse({ type: ApiKeyListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query() query: ListApiKeysQuery,
  ): Promise<ApiKeyListResponse> {
    const asked = pageRequest(query);
    const { apiKeys, total, isTotalExact, nextCursor } = await this.reader.list(
      principal,
      toApiKeyFilter(query),
      query.sort,
      asked,
    );
    return {
      api_keys: apiKeys.map((apiKey) => this.#shown(apiKey)),
      total,
      total_is_exact: isTotalExact,
      page: shownPage(asked),
      size: asked.size,
      next_cursor: nextCursor,
    };
  }

  @Post()
  @RequirePermissionSomewhere('platform:api-keys:create')
  @Operation('create_api_key', {
    ...RESOURCE,
    summary: 'Create an API key; the secret is shown this once',
    description:
      'The key belongs to the caller, or to the service account that is named. A `platform:` scope beyond the caller’s own permissions is refused. What an API key creates is its child: it has the restrictions of that key where it states none, and none beyond them.',
    bodyLimit: LARGE_BODY,
    errors: [
      'idempotency.in_progress',
      'idempotency.key_reused',
      'api_key.not_found',
      'api_key.too_many_ancestors',
      'project.not_found',
      'project.inactive',
      'policy.too_many_keys',
      'service_account.not_found',
      'service_account.inactive',
    ],
  })
  @ApiHeader(IDEMPOTENCY_KEY)
  @ApiCreatedResponse({ type: ApiKeyWithSecretResponse, headers: REPLAYED })
  @Header('cache-control', 'no-store')
  async create(
    @CurrentPrincipal() principal: Principal,
    @Body() body: CreateApiKeyDto,
    @IdempotencyKey() key: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ApiKeyWithSecretResponse> {
    const changes = {
      ...toApiKeyChanges(body),
      projectId: body.project_id,
      serviceAccountId: body.service_account_id,
    };
    // Not the body itself: its members may come in another order when it is sent again, and mean the same.
    const claim =
      key === undefined
        ? undefined
        : { caller: actorOf(principal), operation: 'create_api_key', key, request: changes };
    return toIssuedResponse(reply, await this.apiKeys.create(principal, changes, claim), this.clock.now());
  }

  @Get(':id')
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('get_api_key', {
    ...RESOURCE,
    summary: 'Read an API key',
    description: 'The `ETag` is the version of the policy; usage counters do not change it.',
    errors: ['api_key.not_found'],
  })
  @ApiOkResponse({ type: ApiKeyResponse, headers: VERSION_HEADERS })
  async get(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ApiKeyResponse> {
    const apiKey = await this.reader.get(principal, id);
    void reply.header('etag', entityTag(apiKey.version));
    return this.#shown(apiKey);
  }

  @Put(':id')
  @OwnerOrPermission('platform:api-keys:update')
  @Operation('update_api_key', {
    ...RESOURCE,
    summary: 'Change the fields present; null clears one',
    description: 'Rules across fields judge the result. `is_unlimited: true` clears the budget.',
    bodyLimit: LARGE_BODY,
    errors: ['api_key.not_found', 'api_key.version_mismatch', 'policy.too_many_keys'],
  })
  @ApiHeader(IF_MATCH)
  @ApiOkResponse({ type: ApiKeyResponse, headers: VERSION_HEADERS })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
    @Body() body: UpdateApiKeyDto,
    @IfMatchVersions() expectedVersions: readonly number[] | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ApiKeyResponse> {
    const apiKey = await this.apiKeys.update(principal, id, toApiKeyChanges(body), expectedVersions);
    void reply.header('etag', entityTag(apiKey.version));
    return this.#shown(apiKey);
  }

  @Delete(':id')
  @OwnerOrPermission('platform:api-keys:delete')
  @NoBody()
  @Operation('delete_api_key', {
    ...RESOURCE,
    summary: 'Delete an API key; its usage and audit history stay',
    description: 'The key is never valid again and is gone from reads.',
    errors: ['api_key.not_found'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async delete(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
  ): Promise<MessageResponse> {
    await this.apiKeys.delete(principal, id);
    return { message: 'API key deleted successfully' };
  }

  @Post(':id/activate')
  @HttpCode(200)
  @OwnerOrPermission('platform:api-keys:update')
  @NoBody()
  @Operation('activate_api_key', {
    ...RESOURCE,
    summary: 'Activate an API key',
    description: 'Activating an active key changes nothing.',
    errors: ['api_key.not_found', 'api_key.expired', 'policy.too_many_keys'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async activate(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
  ): Promise<MessageResponse> {
    await this.apiKeys.activate(principal, id);
    return { message: 'API key activated successfully' };
  }

  @Post(':id/deactivate')
  @HttpCode(200)
  @OwnerOrPermission('platform:api-keys:update')
  @NoBody()
  @Operation('deactivate_api_key', {
    ...RESOURCE,
    summary: 'Deactivate an API key',
    description: 'The key is refused at once, until it is activated again.',
    errors: ['api_key.not_found'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async deactivate(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
  ): Promise<MessageResponse> {
    await this.apiKeys.deactivate(principal, id);
    return { message: 'API key deactivated successfully' };
  }

  #shown(apiKey: ApiKeyRecord): ApiKeyResponse {
    return toApiKeyResponse(apiKey, this.clock.now());
  }
}
