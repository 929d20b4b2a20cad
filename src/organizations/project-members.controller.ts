import { Body, Controller, Delete, Get, Param, Post, Put, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import {
  CurrentPrincipal,
  RequirePermissionInScope,
  SelfOrPermissionInScope,
} from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { ScopeCheck } from '../auth/scope-check.service.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { PageQuery, pageRequest } from '../contract/paging.js';
import {
  AddProjectMemberDto,
  MemberListResponse,
  MemberResponse,
  ProjectMemberParameters,
  toMemberListResponse,
  toMemberResponse,
  UpdateProjectMemberDto,
} from './members.dto.js';
import { MembersService } from './members.service.js';
import { ProjectIdParameter } from './organizations.dto.js';
import { ScopeLists } from './scope-lists.queries.js';

const RESOURCE = { resourceType: 'member' } as const;

@ApiTags('Members')
@Controller(`${API_PATH}/projects/:id/members`)
export class ProjectMembersController {
  constructor(
    private readonly members: MembersService,
    private readonly lists: ScopeLists,
    private readonly scopes: ScopeCheck,
  ) {}

  @Get()
  @RequirePermissionInScope('platform:members:read', 'project')
  @Operation('list_project_members', {
    ...RESOURCE,
    summary: 'List the members of a project',
    description: 'Those of the project itself; members of its whole organization are listed there.',
    isExpensive: () => true,
    errors: ['project.not_found'],
  })
  @ApiOkResponse({ type: MemberListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Query() query: PageQuery,
  ): Promise<MemberListResponse> {
    const asked = pageRequest(query);
    return toMemberListResponse(
      asked,
      await this.lists.members(principal, await this.scopes.requireProject(id), asked),
    );
  }

  @Post()
  @RequirePermissionInScope('platform:members:create', 'project')
  @Operation('add_project_member', {
    ...RESOURCE,
    summary: 'Make a user a member of a project',
    description:
      'Nobody can give a role that allows more than they hold there. Somebody who is not in the organization yet is invited, unless the caller may read all users.',
    errors: ['project.not_found', 'user.not_found', 'member.exists'],
  })
  @ApiCreatedResponse({ type: MemberResponse })
  async add(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Body() { user_id, role }: AddProjectMemberDto,
  ): Promise<MemberResponse> {
    return toMemberResponse(
      await this.members.add(principal, await this.scopes.requireProject(id), user_id, role),
    );
  }

  @Put(':user_id')
  @RequirePermissionInScope('platform:members:update', 'project')
  @Operation('update_project_member', {
    ...RESOURCE,
    summary: 'Change the role of a member',
    description: 'Both roles must lie within what the caller holds there.',
    errors: ['project.not_found', 'member.not_found'],
  })
  @ApiOkResponse({ type: MemberResponse })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, user_id }: ProjectMemberParameters,
    @Body() { role }: UpdateProjectMemberDto,
  ): Promise<MemberResponse> {
    return toMemberResponse(
      await this.members.update(principal, await this.scopes.requireProject(id), user_id, role),
    );
  }

  @Delete(':user_id')
  @SelfOrPermissionInScope('platform:members:delete', 'project')
  @NoBody()
  @Operation('remove_project_member', {
    ...RESOURCE,
    summary: 'Remove a member, or leave',
    description:
      'Needs `platform:members:delete` there, unless one leaves by oneself. Ends the membership of the project; the personal keys of the member there are deactivated with the reason `owner_left`, and can be transferred.',
    errors: ['project.not_found', 'member.not_found'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async remove(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, user_id }: ProjectMemberParameters,
  ): Promise<MessageResponse> {
    await this.members.remove(principal, await this.scopes.requireProject(id), user_id);
    return { message: 'Member removed successfully' };
  }
}
