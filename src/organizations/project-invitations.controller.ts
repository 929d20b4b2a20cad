import { Body, Controller, Delete, Get, Header, Param, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CurrentPrincipal, RequirePermissionInScope } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { ScopeCheck } from '../auth/scope-check.service.js';
import { Clock } from '../common/clock.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { PageQuery, pageRequest } from '../contract/paging.js';
import {
  InvitationListResponse,
  InvitationWithTokenResponse,
  InviteToProjectDto,
  ProjectInvitationParameters,
  toInvitationListResponse,
  toIssuedInvitationResponse,
} from './invitations.dto.js';
import { InvitationsService } from './invitations.service.js';
import { ProjectIdParameter } from './organizations.dto.js';
import { ScopeLists } from './scope-lists.queries.js';

const RESOURCE = { resourceType: 'invitation' } as const;

@ApiTags('Invitations')
@Controller(`${API_PATH}/projects/:id/invitations`)
export class ProjectInvitationsController {
  constructor(
    private readonly invitations: InvitationsService,
    private readonly lists: ScopeLists,
    private readonly scopes: ScopeCheck,
    private readonly clock: Clock,
  ) {}

  @Get()
  @RequirePermissionInScope('platform:members:read', 'project')
  @Operation('list_project_invitations', {
    ...RESOURCE,
    summary: 'List the invitations to a project',
    description: 'Those that were neither accepted nor revoked, the oldest first.',
    isExpensive: () => true,
    errors: ['project.not_found'],
  })
  @ApiOkResponse({ type: InvitationListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Query() query: PageQuery,
  ): Promise<InvitationListResponse> {
    const asked = pageRequest(query);
    const page = await this.lists.invitations(principal, await this.scopes.requireProject(id), asked);
    return toInvitationListResponse(asked, page, this.clock.now());
  }

  @Post()
  @RequirePermissionInScope('platform:members:create', 'project')
  @Operation('create_project_invitation', {
    ...RESOURCE,
    summary: 'Invite somebody to a project',
    description:
      'Nobody can give a role that allows more than they hold there. The token is shown this once. It can be accepted once within 7 days, while the sender may still give the role.',
    errors: ['project.not_found'],
  })
  @ApiCreatedResponse({ type: InvitationWithTokenResponse })
  @Header('cache-control', 'no-store')
  async create(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Body() { username, role }: InviteToProjectDto,
  ): Promise<InvitationWithTokenResponse> {
    return toIssuedInvitationResponse(
      await this.invitations.create(principal, await this.scopes.requireProject(id), username, role),
    );
  }

  @Delete(':invitation_id')
  @RequirePermissionInScope('platform:members:delete', 'project')
  @NoBody()
  @Operation('revoke_project_invitation', {
    ...RESOURCE,
    summary: 'Revoke an invitation to a project',
    description: 'Its token is not accepted any more.',
    errors: ['project.not_found', 'invitation.not_found'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async revoke(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, invitation_id }: ProjectInvitationParameters,
  ): Promise<MessageResponse> {
    await this.invitations.revoke(principal, await this.scopes.requireProject(id), invitation_id);
    return { message: 'Invitation revoked successfully' };
  }
}
