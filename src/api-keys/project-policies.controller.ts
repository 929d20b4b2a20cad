import { Body, Controller, Get, Param, Put, Query, Res } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentPrincipal, RequirePermissionInScope } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { IF_MATCH, IfMatchVersions } from '../contract/request-headers.js';
import { VERSION_HEADERS } from '../contract/response-headers.js';
import { ProjectIdParameter } from '../organizations/organizations.dto.js';
import { PolicyResponse, PolicyUpdateQuery, UpdatePolicyDto } from '../organizations/policies.dto.js';
import { PolicyChangeResponse } from './policy-trial.responses.js';
import { isTrial, PolicyRequests } from './policy-requests.service.js';

const RESOURCE = { resourceType: 'policy' } as const;

@ApiTags('Policies')
@Controller(`${API_PATH}/projects/:id/policy`)
export class ProjectPoliciesController {
  constructor(private readonly requests: PolicyRequests) {}

  @Get()
  @RequirePermissionInScope('platform:policies:read', 'project')
  @Operation('get_project_policy', {
    ...RESOURCE,
    summary: 'Read what the keys of a project must obey',
    description:
      'The `ETag` is the version of the policy. `inherited` has the rules of its organization, which bind its keys as well.',
    errors: ['project.not_found'],
  })
  @ApiOkResponse({ type: PolicyResponse, headers: VERSION_HEADERS })
  async get(
    @Param() { id }: ProjectIdParameter,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<PolicyResponse> {
    return this.requests.get(reply, { kind: 'project', id });
  }

  @Put()
  @RequirePermissionInScope('platform:policies:update', 'project')
  @Operation('update_project_policy', {
    ...RESOURCE,
    summary: 'Change what the keys of a project must obey',
    description:
      'Changes the rules present; null clears one. They bind its keys beside those of its organization, and may not say less than these. With `dry_run=true` nothing changes, and the response says which keys would be refused.',
    isExpensive: isTrial,
    errors: ['project.not_found', 'policy.version_mismatch'],
  })
  @ApiHeader(IF_MATCH)
  @ApiOkResponse({ type: PolicyChangeResponse, headers: VERSION_HEADERS })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Query() query: PolicyUpdateQuery,
    @Body() body: UpdatePolicyDto,
    @IfMatchVersions() expectedVersions: readonly number[] | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<PolicyChangeResponse> {
    return this.requests.update(reply, principal, { kind: 'project', id }, { query, body, expectedVersions });
  }
}
