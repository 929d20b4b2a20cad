import { Body, Controller, Get, Param, Put, Query, Res } from '@nestjs/common';
import { ApiHeader, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { CurrentPrincipal, RequirePermissionInScope } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { IF_MATCH, IfMatchVersions } from '../contract/request-headers.js';
import { VERSION_HEADERS } from '../contract/response-headers.js';
import { OrganizationIdParameter } from '../organizations/organizations.dto.js';
import { PolicyResponse, PolicyUpdateQuery, UpdatePolicyDto } from '../organizations/policies.dto.js';
import { PolicyChangeResponse } from './policy-trial.responses.js';
import { isTrial, PolicyRequests } from './policy-requests.service.js';

const RESOURCE = { resourceType: 'policy' } as const;

@ApiTags('Policies')
@Controller(`${API_PATH}/organizations/:id/policy`)
export class OrganizationPoliciesController {
  constructor(private readonly requests: PolicyRequests) {}

  @Get()
  @RequirePermissionInScope('platform:policies:read', 'organization')
  @Operation('get_organization_policy', {
    ...RESOURCE,
    summary: 'Read what the keys of an organization must obey',
    description: 'The `ETag` is the version of the policy. A rule that is null binds nothing.',
    errors: ['organization.not_found'],
  })
  @ApiOkResponse({ type: PolicyResponse, headers: VERSION_HEADERS })
  async get(
    @Param() { id }: OrganizationIdParameter,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<PolicyResponse> {
    return this.requests.get(reply, { kind: 'organization', id });
  }

  @Put()
  @RequirePermissionInScope('platform:policies:update', 'organization')
  @Operation('update_organization_policy', {
    ...RESOURCE,
    summary: 'Change what the keys of an organization must obey',
    description:
      'Changes the rules present; null clears one. They bind the keys of all its projects, beside the policy of each project. With `dry_run=true` nothing changes, and the response says which keys would be refused.',
    isExpensive: isTrial,
    errors: ['organization.not_found', 'policy.version_mismatch'],
  })
  @ApiHeader(IF_MATCH)
  @ApiOkResponse({ type: PolicyChangeResponse, headers: VERSION_HEADERS })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Query() query: PolicyUpdateQuery,
    @Body() body: UpdatePolicyDto,
    @IfMatchVersions() expectedVersions: readonly number[] | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<PolicyChangeResponse> {
    return this.requests.update(
      reply,
      principal,
      { kind: 'organization', id },
      { query, body, expectedVersions },
    );
  }
}
