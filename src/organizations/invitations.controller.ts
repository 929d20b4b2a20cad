import { Body, Controller, Header, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { OptionallyAuthenticated, OptionalPrincipal } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { InvitationAcceptance } from './invitation-acceptance.service.js';
import { AcceptInvitationDto } from './invitations.dto.js';
import { MemberResponse, toMemberResponse } from './members.dto.js';

@ApiTags('Invitations')
@Controller(`${API_PATH}/invitations`)
export class InvitationsController {
  constructor(private readonly acceptance: InvitationAcceptance) {}

  @Post('accept')
  @HttpCode(200)
  @OptionallyAuthenticated()
  @Header('cache-control', 'no-store')
  @Operation('accept_invitation', {
    resourceType: 'invitation',
    summary: 'Accept an invitation',
    description:
      'Somebody who is a user logs in first, and sends the access token beside the token of the invitation. Anyone else chooses a `password`, and becomes a user of the name that was invited. A token that is wrong, used, expired or revoked, or whose sender may not give the role any more, is not found, and so is one for somebody else.',
    errors: [
      'auth.credential_ambiguous',
      'auth.credential_invalid',
      'permission.denied',
      'invitation.not_found',
      'member.exists',
    ],
  })
  @ApiOkResponse({ type: MemberResponse })
  async accept(
    @OptionalPrincipal() principal: Principal | undefined,
    @Body() { token, password }: AcceptInvitationDto,
  ): Promise<MemberResponse> {
    return toMemberResponse(await this.acceptance.accept(principal, token, password));
  }
}
