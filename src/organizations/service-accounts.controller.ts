import { Body, Controller, Delete, Get, Param, Post, Put, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CurrentPrincipal, RequirePermissionInScope } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { ScopeCheck } from '../auth/scope-check.service.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { PageQuery, pageRequest } from '../contract/paging.js';
import { ProjectIdParameter } from './organizations.dto.js';
import { ScopeLists } from './scope-lists.queries.js';
import {
  CreateServiceAccountDto,
  ServiceAccountListResponse,
  ServiceAccountParameters,
  ServiceAccountResponse,
  toServiceAccountListResponse,
  toServiceAccountResponse,
  UpdateServiceAccountDto,
} from './service-accounts.dto.js';
import { ServiceAccountsService } from './service-accounts.service.js';

const RESOURCE = { resourceType: 'service_account' } as const;

@ApiTags('Service accounts')
@Controller(`${API_PATH}/projects/:id/service-accounts`)
export class ServiceAccountsController {
  constructor(
    private readonly accounts: ServiceAccountsService,
    private readonly lists: ScopeLists,
    private readonly scopes: ScopeCheck,
  ) {}

  @Get()
  @RequirePermissionInScope('platform:service-accounts:read', 'project')
  @Operation('list_service_accounts', {
    ...RESOURCE,
    summary: 'List the service accounts of a project',
    description: 'The oldest first.',
    isExpensive: () => true,
    errors: ['project.not_found'],
  })
  @ApiOkResponse({ type: ServiceAccountListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Query() query: PageQuery,
  ): Promise<ServiceAccountListResponse> {
    const asked = pageRequest(query);
    const project = await this.scopes.requireProject(id);
    return toServiceAccountListResponse(asked, await this.lists.serviceAccounts(principal, project, asked));
  }

  @Post()
  @RequirePermissionInScope('platform:service-accounts:create', 'project')
  @Operation('create_service_account', {
    ...RESOURCE,
    summary: 'Create a service account in a project',
    description:
      'It owns keys, which no person’s leaving touches, and cannot log in. Nobody can give permissions beyond those that they hold there.',
    errors: ['project.not_found', 'service_account.name_taken'],
  })
  @ApiCreatedResponse({ type: ServiceAccountResponse })
  async create(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Body() { name, permissions }: CreateServiceAccountDto,
  ): Promise<ServiceAccountResponse> {
    const project = await this.scopes.requireProject(id);
    return toServiceAccountResponse(await this.accounts.create(principal, project, name, permissions));
  }

  @Get(':service_account_id')
  @RequirePermissionInScope('platform:service-accounts:read', 'project')
  @Operation('get_service_account', {
    ...RESOURCE,
    summary: 'Read a service account',
    description: 'One of another project is not found.',
    errors: ['project.not_found', 'service_account.not_found'],
  })
  @ApiOkResponse({ type: ServiceAccountResponse })
  async get(@Param() { id, service_account_id }: ServiceAccountParameters): Promise<ServiceAccountResponse> {
    const project = await this.scopes.requireProject(id);
    return toServiceAccountResponse(await this.accounts.get(project, service_account_id));
  }

  @Put(':service_account_id')
  @RequirePermissionInScope('platform:service-accounts:update', 'project')
  @Operation('update_service_account', {
    ...RESOURCE,
    summary: 'Change a service account, disable or enable it',
    description:
      'Changes the fields present. The permissions before and after must lie within what the caller holds there.',
    errors: ['project.not_found', 'service_account.not_found', 'service_account.name_taken'],
  })
  @ApiOkResponse({ type: ServiceAccountResponse })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, service_account_id }: ServiceAccountParameters,
    @Body() { name, permissions, is_active }: UpdateServiceAccountDto,
  ): Promise<ServiceAccountResponse> {
    const project = await this.scopes.requireProject(id);
    const update = { name, permissions, isActive: is_active };
    return toServiceAccountResponse(
      await this.accounts.update(principal, project, service_account_id, update),
    );
  }

  @Delete(':service_account_id')
  @RequirePermissionInScope('platform:service-accounts:delete', 'project')
  @NoBody()
  @Operation('delete_service_account', {
    ...RESOURCE,
    summary: 'Delete a service account and its keys',
    description: 'Keys that are to live on are transferred first. History stays.',
    errors: ['project.not_found', 'service_account.not_found'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async delete(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, service_account_id }: ServiceAccountParameters,
  ): Promise<MessageResponse> {
    await this.accounts.delete(principal, await this.scopes.requireProject(id), service_account_id);
    return { message: 'Service account deleted successfully' };
  }
}
