import { ApiSchema } from '@nestjs/swagger';
import { ChoiceField, IdField, ResponseField, TextField } from '../contract/fields.js';
import { EndsWithPagePart, PagePart, type PageRequest, shownPage } from '../contract/paging.js';
import { COUNT, ID, openEnum, TIMESTAMP } from '../contract/wire-schemas.js';
import { USERNAME } from '../users/users.dto.js';
import type { Invitation } from './invitation-rows.queries.js';
import type { IssuedInvitation } from './invitations.service.js';
import { ORGANIZATION_ROLE, PROJECT_ROLE } from './members.dto.js';
import { type MembershipRole, ORGANIZATION_ROLES, PROJECT_ROLES } from './membership-roles.js';
import type { Page } from './scope-lists.queries.js';

const INVITATION_STATES = ['open', 'expired'] as const;
type InvitationState = (typeof INVITATION_STATES)[number];

const INVITED = {
  ...USERNAME,
  description: 'Who is invited: a user of this name, or who is to become one. Case does not count.',
} as const;

export class OrganizationInvitationParameters {
  @IdField('The id of an organization.')
  id!: number;

  @IdField('The id of an invitation.')
  invitation_id!: number;
}

export class ProjectInvitationParameters {
  @IdField('The id of a project.')
  id!: number;

  @IdField('The id of an invitation.')
  invitation_id!: number;
}

@ApiSchema({ name: 'OrganizationInvitationCreate' })
export class InviteToOrganizationDto {
  @TextField(INVITED)
  username!: string;

  @ChoiceField(ORGANIZATION_ROLE)
  role!: MembershipRole;
}

@ApiSchema({ name: 'ProjectInvitationCreate' })
export class InviteToProjectDto {
  @TextField(INVITED)
  username!: string;

  @ChoiceField(PROJECT_ROLE)
  role!: MembershipRole;
}

@ApiSchema({ name: 'InvitationAccept' })
export class AcceptInvitationDto {
  @TextField({ minLength: 1, maxLength: 256, isSecret: true, description: 'The token of the invitation.' })
  token!: string;

  @TextField({
    minLength: 12,
    maxLength: 72,
    isSecret: true,
    optional: true,
    description: 'For a new user, who has no session: 12 characters to 72 bytes.',
  })
  password?: string;
}

@ApiSchema({ name: 'Invitation' })
export class InvitationResponse {
  @ResponseField({ ...ID, description: 'Names the invitation.', example: 1 })
  id!: number;

  @ResponseField({ type: 'string', description: 'Who is invited, in lower case.', example: 'dana' })
  username!: string;

  @ResponseField(openEnum([...ORGANIZATION_ROLES, ...PROJECT_ROLES], 'What the member will be allowed.'))
  role!: string;

  @ResponseField({ ...ID, description: 'The organization.', example: 1 })
  organization_id!: number;

  @ResponseField({ ...ID, nullable: true, description: 'The project; null for the whole organization.' })
  project_id!: number | null;

  @ResponseField({ ...ID, description: 'The user who sent it.', example: 1 })
  invited_by_user_id!: number;

  @ResponseField(openEnum(INVITATION_STATES, 'Only an `open` invitation can be accepted.'))
  state!: InvitationState;

  @ResponseField({ ...TIMESTAMP, description: 'When it was sent.' })
  created_at!: string;

  @ResponseField({ ...TIMESTAMP, description: 'Until when it can be accepted: for 7 days.' })
  expires_at!: string;
}

@ApiSchema({ name: 'InvitationWithToken' })
export class InvitationWithTokenResponse {
  @ResponseField({ type: () => InvitationResponse, description: 'The invitation.' })
  invitation!: InvitationResponse;

  @ResponseField({
    type: 'string',
    description: 'To be handed to who is invited; shown this once, and accepted once.',
  })
  token!: string;
}

@EndsWithPagePart()
@ApiSchema({ name: 'InvitationList' })
export class InvitationListResponse extends PagePart {
  @ResponseField({ type: () => [InvitationResponse], description: 'A page, the oldest first.' })
  invitations!: InvitationResponse[];

  @ResponseField({ ...COUNT, description: 'How many there are in all.' })
  total!: number;
}

function toInvitationResponse(invitation: Invitation, now: Date): InvitationResponse {
  return {
    id: invitation.id,
    username: invitation.username,
    role: invitation.role,
    organization_id: invitation.organizationId,
    project_id: invitation.projectId,
    invited_by_user_id: invitation.invitedByUserId,
    state: invitation.expiresAt > now ? 'open' : 'expired',
    created_at: invitation.createdAt.toISOString(),
    expires_at: invitation.expiresAt.toISOString(),
  };
}

export function toIssuedInvitationResponse({
  invitation,
  token,
}: IssuedInvitation): InvitationWithTokenResponse {
  return { invitation: toInvitationResponse(invitation, invitation.createdAt), token: token.reveal() };
}

export function toInvitationListResponse(
  asked: PageRequest,
  { rows, total, nextCursor }: Page<Invitation>,
  now: Date,
): InvitationListResponse {
  return {
    invitations: rows.map((invitation) => toInvitationResponse(invitation, now)),
    total,
    page: shownPage(asked),
    size: asked.size,
    next_cursor: nextCursor,
  };
}
