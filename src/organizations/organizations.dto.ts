import { ApiSchema } from '@nestjs/swagger';
import { BooleanField, IdField, ResponseField, TextField } from '../contract/fields.js';
import { EndsWithPagePart, PagePart, PageQuery } from '../contract/paging.js';
import { COUNT, ID, TIMESTAMP } from '../contract/wire-schemas.js';
import type { Organization, Project } from './organization.entity.js';
import type { NewScope, ScopeUpdate } from './scope-changes.js';

const SLUG = { regex: /^[a-z0-9-]+$/, rule: 'made of the characters a-z 0-9 -' };
const SLUG_FIELD = { minLength: 2, maxLength: 40, pattern: SLUG, example: 'acme' };
const NAME_FIELD = { minLength: 1, maxLength: 100, description: 'For people.', example: 'Acme' };
const EXTERNAL_ID_FIELD = { minLength: 1, maxLength: 200, example: 'cus_8f21' };

export class OrganizationIdParameter {
  @IdField('The id of an organization.')
  id!: number;
}

export class ProjectIdParameter {
  @IdField('The id of a project.')
  id!: number;
}

const UNIQUE = 'unique, of a project within its organization.';

/** What organizations and projects are created with. */
abstract class ScopeCreate {
  @TextField({ ...SLUG_FIELD, description: `Names it in addresses; ${UNIQUE}` })
  slug!: string;

  @TextField(NAME_FIELD)
  name!: string;

  @TextField({
    ...EXTERNAL_ID_FIELD,
    optional: true,
    nullable: true,
    description: `What your own system calls it; ${UNIQUE}`,
  })
  external_id?: string | null;
}

@ApiSchema({ name: 'OrganizationCreate' })
export class CreateOrganizationDto extends ScopeCreate {}

@ApiSchema({ name: 'ProjectCreate' })
export class CreateProjectDto extends ScopeCreate {}

/** What can be changed of both. */
abstract class ScopeUpdateDto {
  @TextField({ ...SLUG_FIELD, optional: true, description: `Names it in addresses; ${UNIQUE}` })
  slug?: string;

  @TextField({ ...NAME_FIELD, optional: true })
  name?: string;

  @TextField({
    ...EXTERNAL_ID_FIELD,
    optional: true,
    nullable: true,
    description: `What your own system calls it; ${UNIQUE}`,
  })
  external_id?: string | null;
}

@ApiSchema({ name: 'OrganizationUpdate' })
export class UpdateOrganizationDto extends ScopeUpdateDto {
  @BooleanField({
    optional: true,
    description:
      '`false`: every key in it is refused, until it is `true` again. Only with `platform:organizations:update` for the whole platform.',
  })
  is_active?: boolean;
}

@ApiSchema({ name: 'ProjectUpdate' })
export class UpdateProjectDto extends ScopeUpdateDto {
  @BooleanField({
    optional: true,
    description: '`false`: every key in it is refused, until it is `true` again.',
  })
  is_active?: boolean;
}

export class ListOrganizationsQuery extends PageQuery {
  @TextField({
    ...EXTERNAL_ID_FIELD,
    optional: true,
    description: 'Only the one with this `external_id`.',
  })
  external_id?: string;
}

export class ListProjectsQuery extends PageQuery {
  @TextField({ ...EXTERNAL_ID_FIELD, optional: true, description: 'Only those with this `external_id`.' })
  external_id?: string;
}

/** What organizations and projects show after what is their own. */
abstract class ScopeResponse {
  @ResponseField({ type: 'string', description: 'Names it in addresses.', example: 'acme' })
  slug!: string;

  @ResponseField({ type: 'string', description: 'For people.', example: 'Acme' })
  name!: string;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'What your own system calls it.',
    example: 'cus_8f21',
  })
  external_id!: string | null;

  @ResponseField({ type: 'boolean', description: 'False: every key in it is refused.' })
  is_active!: boolean;

  @ResponseField({ ...TIMESTAMP, description: 'When it was created.' })
  created_at!: string;

  @ResponseField({ ...TIMESTAMP, description: 'When it was last changed.' })
  updated_at!: string;
}

@ApiSchema({ name: 'Organization' })
export class OrganizationResponse extends ScopeResponse {
  @ResponseField({ ...ID, description: 'Names the organization.', example: 1 })
  id!: number;
}

@ApiSchema({ name: 'Project' })
export class ProjectResponse extends ScopeResponse {
  @ResponseField({ ...ID, description: 'Names the project.', example: 1 })
  id!: number;

  @ResponseField({ ...ID, description: 'The organization that it is a part of.', example: 1 })
  organization_id!: number;
}

@EndsWithPagePart()
@ApiSchema({ name: 'OrganizationList' })
export class OrganizationListResponse extends PagePart {
  @ResponseField({ type: () => [OrganizationResponse], description: 'A page, the oldest first.' })
  organizations!: OrganizationResponse[];

  @ResponseField({ ...COUNT, description: 'How many there are in all.' })
  total!: number;
}

@EndsWithPagePart()
@ApiSchema({ name: 'ProjectList' })
export class ProjectListResponse extends PagePart {
  @ResponseField({ type: () => [ProjectResponse], description: 'A page, the oldest first.' })
  projects!: ProjectResponse[];

  @ResponseField({ ...COUNT, description: 'How many there are in all.' })
  total!: number;
}

/** A create as the service takes it. */
export function toNewScope({
  slug,
  name,
  external_id = null,
}: CreateOrganizationDto | CreateProjectDto): NewScope {
  return { slug, name, externalId: external_id };
}

/** An update as the service takes it. */
export function toScopeUpdate(body: UpdateOrganizationDto | UpdateProjectDto): ScopeUpdate {
  const { slug, name, external_id, is_active } = body;
  return { slug, name, externalId: external_id, isActive: is_active };
}

export function toOrganizationResponse(organization: Organization): OrganizationResponse {
  return { id: organization.id, ...shared(organization) };
}

export function toProjectResponse(project: Project): ProjectResponse {
  return { id: project.id, organization_id: project.organizationId, ...shared(project) };
}

/** What both show. */
interface SharedFields {
  readonly slug: string;
  readonly name: string;
  readonly external_id: string | null;
  readonly is_active: boolean;
  readonly created_at: string;
  readonly updated_at: string;
}

function shared(scope: Organization | Project): SharedFields {
  return {
    slug: scope.slug,
    name: scope.name,
    external_id: scope.externalId,
    is_active: scope.isActive,
    created_at: scope.createdAt.toISOString(),
    updated_at: scope.updatedAt.toISOString(),
  };
}
