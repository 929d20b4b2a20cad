import { Body, Controller, Delete, Get, Header, Param, Post, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CurrentPrincipal, RequirePermissionInScope } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { PageQuery, pageRequest } from '../contract/paging.js';
import {
  InvitationListResponse,
  InvitationWithTokenResponse,
  InviteToOrganizationDto,
  OrganizationInvitationParameters,
  toInvitationListResponse,
  toIssuedInvitationResponse,
} from './invitations.dto.js';
import { InvitationsService } from './invitations.service.js';
import { OrganizationIdParameter } from './organizations.dto.js';
import { ScopeLists } from './scope-lists.queries.js';
import { organizationScope } from './scopes.js';

const RESOURCE = { resourceType: 'invitation' } as const;

@ApiTags('Invitations')
@Controller(`${API_PATH}/organizations/:id/invitations`)
export class OrganizationInvitationsController {
  constructor(
    private readonly invitations: InvitationsService,
    private readonly lists: ScopeLists,
    private readonly clock: Clock,
  ) {}

  @Get()
  @RequirePermissionInScope('platform:members:read', 'organization')
  @Operation('list_organization_invitations', {
    ...RESOURCE,
    summary: 'List the invitations to an organization',
    description: 'Those that were neither accepted nor revoked, the oldest first.',
    isExpensive: () => true,
    errors: ['organization.not_found'],
  })
  @ApiOkResponse({ type: InvitationListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Query() query: PageQuery,
  ): Promise<InvitationListResponse> {
    const asked = pageRequest(query);
    const page = await this.lists.invitations(principal, organizationScope(id), asked);
    return toInvitationListResponse(asked, page, this.clock.now());
  }

  @Post()
  @RequirePermissionInScope('platform:members:create', 'organization')
  @Operation('create_organization_invitation', {
    ...RESOURCE,
    summary: 'Invite somebody to an organization',
    description:
      'Nobody can give a role that allows more than they hold there. The token is shown this once. It can be accepted once within 7 days, while the sender may still give the role.',
    errors: ['organization.not_found'],
  })
  @ApiCreatedResponse({ type: InvitationWithTokenResponse })
  @Header('cache-control', 'no-store')
  async create(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Body() { username, role }: InviteToOrganizationDto,
  ): Promise<InvitationWithTokenResponse> {
    return toIssuedInvitationResponse(
      await this.invitations.create(principal, organizationScope(id), username, role),
    );
  }

  @Delete(':invitation_id')
  @RequirePermissionInScope('platform:members:delete', 'organization')
  @NoBody()
  @Operation('revoke_organization_invitation', {
    ...RESOURCE,
    summary: 'Revoke an invitation to an organization',
    description: 'Its token is not accepted any more.',
    errors: ['organization.not_found', 'invitation.not_found'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async revoke(
    @CurrentPrincipal() principal: Principal,
    @Param() { id, invitation_id }: OrganizationInvitationParameters,
  ): Promise<MessageResponse> {
    await this.invitations.revoke(principal, organizationScope(id), invitation_id);
    return { message: 'Invitation revoked successfully' };
  }
}
