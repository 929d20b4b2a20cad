import { ApiSchema } from '@nestjs/swagger';
import { ChoiceField, IdField, IntegerField, ResponseField } from '../contract/fields.js';
import { EndsWithPagePart, PagePart, type PageRequest, shownPage } from '../contract/paging.js';
import { COUNT, ID, openEnum, TIMESTAMP } from '../contract/wire-schemas.js';
import type { Member } from './member-rows.queries.js';
import type { Page } from './scope-lists.queries.js';
import { type MembershipRole, ORGANIZATION_ROLES, PROJECT_ROLES } from './membership-roles.js';

const USER_ID = {
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'Who becomes a member: a user of the organization, or with `platform:users:read` any user.',
  example: 2,
} as const;
export const ORGANIZATION_ROLE = {
  name: 'OrganizationRole',
  choices: ORGANIZATION_ROLES,
  description: 'What the member may do in the organization and all its projects.',
} as const;
export const PROJECT_ROLE = {
  name: 'ProjectRole',
  choices: PROJECT_ROLES,
  description: 'What the member may do in the project.',
} as const;

export class OrganizationMemberParameters {
  @IdField('The id of an organization.')
  id!: number;

  @IdField('The id of a user.')
  user_id!: number;
}

export class ProjectMemberParameters {
  @IdField('The id of a project.')
  id!: number;

  @IdField('The id of a user.')
  user_id!: number;
}

@ApiSchema({ name: 'OrganizationMemberCreate' })
export class AddOrganizationMemberDto {
  @IntegerField(USER_ID)
  user_id!: number;

  @ChoiceField(ORGANIZATION_ROLE)
  role!: MembershipRole;
}

@ApiSchema({ name: 'OrganizationMemberUpdate' })
export class UpdateOrganizationMemberDto {
  @ChoiceField(ORGANIZATION_ROLE)
  role!: MembershipRole;
}

@ApiSchema({ name: 'ProjectMemberCreate' })
export class AddProjectMemberDto {
  @IntegerField(USER_ID)
  user_id!: number;

  @ChoiceField(PROJECT_ROLE)
  role!: MembershipRole;
}

@ApiSchema({ name: 'ProjectMemberUpdate' })
export class UpdateProjectMemberDto {
  @ChoiceField(PROJECT_ROLE)
  role!: MembershipRole;
}

@ApiSchema({ name: 'Member' })
export class MemberResponse {
  @ResponseField({ ...ID, description: 'The user.', example: 2 })
  user_id!: number;

  @ResponseField({ type: 'string', description: 'The name of the user.', example: 'dana' })
  username!: string;

  @ResponseField(openEnum([...ORGANIZATION_ROLES, ...PROJECT_ROLES], 'What the member may do there.'))
  role!: string;

  @ResponseField({ ...ID, description: 'The organization.', example: 1 })
  organization_id!: number;

  @ResponseField({
    ...ID,
    nullable: true,
    description: 'The project; null for a member of the whole organization.',
  })
  project_id!: number | null;

  @ResponseField({ ...TIMESTAMP, description: 'Since when the user is a member.' })
  created_at!: string;

  @ResponseField({ ...TIMESTAMP, description: 'When the role was last changed.' })
  updated_at!: string;
}

@EndsWithPagePart()
@ApiSchema({ name: 'MemberList' })
export class MemberListResponse extends PagePart {
  @ResponseField({ type: () => [MemberResponse], description: 'A page, by the ids of the users.' })
  members!: MemberResponse[];

  @ResponseField({ ...COUNT, description: 'How many there are in all.' })
  total!: number;
}

export function toMemberResponse(member: Member): MemberResponse {
  return {
    user_id: member.userId,
    username: member.username,
    role: member.role,
    organization_id: member.organizationId,
    project_id: member.projectId,
    created_at: member.createdAt.toISOString(),
    updated_at: member.updatedAt.toISOString(),
  };
}

export function toMemberListResponse(
  asked: PageRequest,
  { rows, total, nextCursor }: Page<Member>,
): MemberListResponse {
  return {
    members: rows.map(toMemberResponse),
    total,
    page: shownPage(asked),
    size: asked.size,
    next_cursor: nextCursor,
  };
}
