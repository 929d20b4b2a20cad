import { Body, Controller, Delete, Get, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import {
  Authenticated,
  CurrentPrincipal,
  RequirePermission,
  RequirePermissionInScope,
} from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { pageRequest, shownPage } from '../contract/paging.js';
import { entityTag, IF_MATCH, IfMatchVersions } from '../contract/request-headers.js';
import { VERSION_HEADERS } from '../contract/response-headers.js';
import {
  CreateOrganizationDto,
  ListOrganizationsQuery,
  OrganizationIdParameter,
  OrganizationListResponse,
  OrganizationResponse,
  toNewScope,
  toOrganizationResponse,
  toScopeUpdate,
  UpdateOrganizationDto,
} from './organizations.dto.js';
import { OrganizationsService } from './organizations.service.js';
import { ScopeLists } from './scope-lists.queries.js';

const RESOURCE = { resourceType: 'organization' } as const;

@ApiTags('Organizations')
@Controller(`${API_PATH}/organizations`)
export class OrganizationsController {
  constructor(
    private readonly organizations: OrganizationsService,
    private readonly lists: ScopeLists,
  ) {}

  @Get()
  @Authenticated()
  @Operation('list_organizations', {
    ...RESOURCE,
    summary: 'List organizations',
    description: 'Those that the caller may read, the oldest first.',
    isExpensive: () => true,
  })
  @ApiOkResponse({ type: OrganizationListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query() query: ListOrganizationsQuery,
  ): Promise<OrganizationListResponse> {
    const asked = pageRequest(query);
    const { rows, total, nextCursor } = await this.lists.organizations(principal, query.external_id, asked);
    return {
      organizations: rows.map(toOrganizationResponse),
      total,
      page: shownPage(asked),
      size: asked.size,
      next_cursor: nextCursor,
    };
  }

  @Post()
  @RequirePermission('platform:organizations:create')
  @Operation('create_organization', {
    ...RESOURCE,
    summary: 'Create an organization',
    description: 'A caller with a session who could not change it otherwise becomes its owner.',
    errors: ['organization.slug_taken'],
  })
  @ApiCreatedResponse({ type: OrganizationResponse, headers: VERSION_HEADERS })
  async create(
    @CurrentPrincipal() principal: Principal,
    @Body() body: CreateOrganizationDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrganizationResponse> {
    const organization = await this.organizations.create(principal, toNewScope(body));
    void reply.header('etag', entityTag(organization.version));
    return toOrganizationResponse(organization);
  }

  @Get(':id')
  @RequirePermissionInScope('platform:organizations:read', 'organization')
  @Operation('get_organization', {
    ...RESOURCE,
    summary: 'Read an organization',
    description: 'The `ETag` is its version.',
    errors: ['organization.not_found'],
  })
  @ApiOkResponse({ type: OrganizationResponse, headers: VERSION_HEADERS })
  async get(
    @Param() { id }: OrganizationIdParameter,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrganizationResponse> {
    const organization = await this.organizations.get(id);
    void reply.header('etag', entityTag(organization.version));
    return toOrganizationResponse(organization);
  }

  @Put(':id')
  @RequirePermissionInScope('platform:organizations:update', 'organization')
  @Operation('update_organization', {
    ...RESOURCE,
    summary: 'Change an organization, disable or enable it',
    description:
      'Changes the fields present. While an organization is disabled, every key in it is refused with `DISABLED`.',
    errors: [
      'organization.not_found',
      'organization.version_mismatch',
      'organization.slug_taken',
      'organization.is_default',
    ],
  })
  @ApiHeader(IF_MATCH)
  @ApiOkResponse({ type: OrganizationResponse, headers: VERSION_HEADERS })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Body() body: UpdateOrganizationDto,
    @IfMatchVersions() expectedVersions: readonly number[] | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<OrganizationResponse> {
    const update = toScopeUpdate(body);
    const organization = await this.organizations.update(principal, id, update, expectedVersions);
    void reply.header('etag', entityTag(organization.version));
    return toOrganizationResponse(organization);
  }

  @Delete(':id')
  @RequirePermissionInScope('platform:organizations:delete', 'organization')
  @NoBody()
  @Operation('delete_organization', {
    ...RESOURCE,
    summary: 'Delete an organization without projects',
    description: 'Its members lose what they could do in it; history stays.',
    errors: ['organization.not_found', 'organization.not_empty', 'organization.is_default'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async delete(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
  ): Promise<MessageResponse> {
    await this.organizations.delete(principal, id);
    return { message: 'Organization deleted successfully' };
  }
}
