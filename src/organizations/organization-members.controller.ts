import { Body, Controller, Delete, Get, Param, Post, Put, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import {
  CurrentPrincipal,
  RequirePermissionInScope,
  SelfOrPermissionInScope,
} from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { PageQuery, pageRequest } from '../contract/paging.js';
import {
  AddOrganizationMemberDto,
  MemberListResponse,
  MemberResponse,
  OrganizationMemberParameters,
  toMemberListResponse,
  toMemberResponse,
  UpdateOrganizationMemberDto,
} from './members.dto.js';
import { MembersService } from './members.service.js';
import { OrganizationIdParameter } from './organizations.dto.js';
import { ScopeLists } from './scope-lists.queries.js';
import { organizationScope } from './scopes.js';

const RESOURCE = { resourceType: 'member' } as const;

@ApiTags('Members')
@Controller(`${API_PATH}/organizations/:id/members`)
export class OrganizationMembersController {
  constructor(
    private readonly members: MembersService,
    private readonly lists: ScopeLists,
  ) {}

  @Get()
  @RequirePermissionInScope('platform:members:read', 'organization')
  @Operation('list_organization_members', {
    ...RESOURCE,
    summary: 'List the members of an organization',
    description: 'Those of the whole organization; projects list their own.',
    isExpensive: () => true,
    errors: ['organization.not_found'],
  })
  @ApiOkResponse({ type: MemberListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Query() query: PageQuery,
  ): Promise<MemberListResponse> {
    const asked = pageRequest(query);
    return toMemberListResponse(asked, await this.lists.members(principal, organizationScope(id), asked));
  }

  @Post()
  @RequirePermissionInScope('platform:members:create', 'organization')
  @Operation('add_organization_member', {
    ...RESOURCE,
    summary: 'Make a user a member of an organization',
    description:
      'Nobody can give a role that allows more than they hold there. Somebody who is not in the organization yet is invited, unless the caller may read all users.',
    errors: ['organization.not_found', 'user.not_found', 'member.exists'],
  })
  @ApiCreatedResponse({ type: MemberResponse })
  async add(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Body() { user_id, role }: AddOrganizationMemberDto,
  ): Promise<MemberResponse> {
    return toMemberResponse(await this.members.add(principal, organizationScope(id), user_id, role));
  }

  @Put(':user_id')
  @RequirePermissionInScope('platform:members:update', 'organization')
  @Operation('update_organization_member', {
    ...RESOURCE,
    summary: 'Change the role of a member',
    description: 'Both roles must lie within what the caller holds there. The last owner must remain.',
    errors: ['organization.not_found', 'member.not_found', 'organization.last_owner'],
  })
  @ApiOkResponse({ type: MemberResponse })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, user_id }: OrganizationMemberParameters,
    @Body() { role }: UpdateOrganizationMemberDto,
  ): Promise<MemberResponse> {
    return toMemberResponse(await this.members.update(principal, organizationScope(id), user_id, role));
  }

  @Delete(':user_id')
  @SelfOrPermissionInScope('platform:members:delete', 'organization')
  @NoBody()
  @Operation('remove_organization_member', {
    ...RESOURCE,
    summary: 'Remove a member, or leave',
    description:
      'Needs `platform:members:delete` there, unless one leaves by oneself. Ends the membership of the organization and all its projects; the personal keys of the member there are deactivated with the reason `owner_left`, and can be transferred. The last owner cannot leave.',
    errors: ['organization.not_found', 'member.not_found', 'organization.last_owner'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async remove(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, user_id }: OrganizationMemberParameters,
  ): Promise<MessageResponse> {
    await this.members.remove(principal, organizationScope(id), user_id);
    return { message: 'Member removed successfully' };
  }
}
