import { Body, Controller, Delete, Get, Param, Post, Put, Query, Res } from '@nestjs/common';
import { ApiCreatedResponse, ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { Authenticated, CurrentPrincipal, RequirePermissionInScope } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { type PageRequest, pageRequest, shownPage } from '../contract/paging.js';
import { entityTag, IF_MATCH, IfMatchVersions } from '../contract/request-headers.js';
import { VERSION_HEADERS } from '../contract/response-headers.js';
import type { Project } from './organization.entity.js';
import {
  CreateProjectDto,
  ListProjectsQuery,
  OrganizationIdParameter,
  ProjectIdParameter,
  ProjectListResponse,
  ProjectResponse,
  toNewScope,
  toProjectResponse,
  toScopeUpdate,
  UpdateProjectDto,
} from './organizations.dto.js';
import { ProjectsService } from './projects.service.js';
import { type Page, ScopeLists } from './scope-lists.queries.js';

const RESOURCE = { resourceType: 'project' } as const;

@ApiTags('Projects')
@Controller(API_PATH)
export class ProjectsController {
  constructor(
    private readonly projects: ProjectsService,
    private readonly lists: ScopeLists,
  ) {}

  @Get('projects')
  @Authenticated()
  @Operation('list_projects', {
    ...RESOURCE,
    summary: 'List projects of all organizations',
    description: 'Those that the caller may read, the oldest first.',
    isExpensive: () => true,
  })
  @ApiOkResponse({ type: ProjectListResponse })
  async list(
    @CurrentPrincipal() principal: Principal,
    @Query() query: ListProjectsQuery,
  ): Promise<ProjectListResponse> {
    const asked = pageRequest(query);
    return shown(asked, await this.lists.projects(principal, { externalId: query.external_id }, asked));
  }

  @Get('organizations/:id/projects')
  @RequirePermissionInScope('platform:projects:read', 'organization')
  @Operation('list_organization_projects', {
    ...RESOURCE,
    summary: 'List the projects of an organization',
    description: 'The oldest first.',
    isExpensive: () => true,
    errors: ['organization.not_found'],
  })
  @ApiOkResponse({ type: ProjectListResponse })
  async listOfOrganization(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Query() query: ListProjectsQuery,
  ): Promise<ProjectListResponse> {
    const asked = pageRequest(query);
    const filter = { organizationId: id, externalId: query.external_id };
    return shown(asked, await this.lists.projects(principal, filter, asked));
  }

  @Post('organizations/:id/projects')
  @RequirePermissionInScope('platform:projects:create', 'organization')
  @Operation('create_project', {
    ...RESOURCE,
    summary: 'Create a project in an organization',
    description: 'Its slug is unique in the organization.',
    errors: ['organization.not_found', 'project.slug_taken'],
  })
  @ApiCreatedResponse({ type: ProjectResponse, headers: VERSION_HEADERS })
  async create(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Body() body: CreateProjectDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectResponse> {
    const project = await this.projects.create(principal, id, toNewScope(body));
    void reply.header('etag', entityTag(project.version));
    return toProjectResponse(project);
  }

  @Get('projects/:id')
  @RequirePermissionInScope('platform:projects:read', 'project')
  @Operation('get_project', {
    ...RESOURCE,
    summary: 'Read a project',
    description: 'The `ETag` is its version.',
    errors: ['project.not_found'],
  })
  @ApiOkResponse({ type: ProjectResponse, headers: VERSION_HEADERS })
  async get(
    @Param() { id }: ProjectIdParameter,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectResponse> {
    const project = await this.projects.get(id);
    void reply.header('etag', entityTag(project.version));
    return toProjectResponse(project);
  }

  @Put('projects/:id')
  @RequirePermissionInScope('platform:projects:update', 'project')
  @Operation('update_project', {
    ...RESOURCE,
    summary: 'Change a project, disable or enable it',
    description:
      'Changes the fields present. While a project is disabled, every key in it is refused with `DISABLED`.',
    errors: ['project.not_found', 'project.version_mismatch', 'project.slug_taken', 'project.is_default'],
  })
  @ApiHeader(IF_MATCH)
  @ApiOkResponse({ type: ProjectResponse, headers: VERSION_HEADERS })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Body() body: UpdateProjectDto,
    @IfMatchVersions() expectedVersions: readonly number[] | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ProjectResponse> {
    const project = await this.projects.update(principal, id, toScopeUpdate(body), expectedVersions);
    void reply.header('etag', entityTag(project.version));
    return toProjectResponse(project);
  }

  @Delete('projects/:id')
  @RequirePermissionInScope('platform:projects:delete', 'project')
  @NoBody()
  @Operation('delete_project', {
    ...RESOURCE,
    summary: 'Delete a project without keys and service accounts',
    description: 'Its members lose what they could do in it; history stays.',
    errors: ['project.not_found', 'project.not_empty', 'project.is_default'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async delete(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
  ): Promise<MessageResponse> {
    await this.projects.delete(principal, id);
    return { message: 'Project deleted successfully' };
  }
}

function shown(asked: PageRequest, { rows, total, nextCursor }: Page<Project>): ProjectListResponse {
  return {
    projects: rows.map(toProjectResponse),
    total,
    page: shownPage(asked),
    size: asked.size,
    next_cursor: nextCursor,
  };
}
