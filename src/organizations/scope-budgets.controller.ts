import { Body, Controller, Get, Param, Put } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { CurrentPrincipal, RequirePermissionInScope } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { ScopeCheck } from '../auth/scope-check.service.js';
import { Clock } from '../common/clock.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { OrganizationIdParameter, ProjectIdParameter } from './organizations.dto.js';
import {
  ScopeBudgetResponse,
  toBudgetLimit,
  toScopeBudgetResponse,
  UpdateScopeBudgetDto,
} from './scope-budgets.dto.js';
import { ScopeBudgetsService } from './scope-budgets.service.js';
import { organizationScope } from './scopes.js';

const OF_ORGANIZATION = { resourceType: 'organization', errors: ['organization.not_found'] } as const;
const OF_PROJECT = { resourceType: 'project', errors: ['project.not_found'] } as const;
const UPDATE =
  'Costs and holds of every key count in it as well as in the budget of the key, and none may pass a limit. The first limit begins at 0: what was spent before does not count. `null` takes the limit away and keeps what was spent.';

@ApiTags('Budgets')
@Controller(API_PATH)
export class ScopeBudgetsController {
  constructor(
    private readonly budgets: ScopeBudgetsService,
    private readonly scopes: ScopeCheck,
    private readonly clock: Clock,
  ) {}

  @Get('organizations/:id/budgets')
  @RequirePermissionInScope('platform:budgets:read', 'organization')
  @Operation('get_organization_budget', {
    ...OF_ORGANIZATION,
    summary: 'Read the budget of an organization',
    description: 'What all keys of its projects may spend together.',
  })
  @ApiOkResponse({ type: ScopeBudgetResponse })
  async ofOrganization(@Param() { id }: OrganizationIdParameter): Promise<ScopeBudgetResponse> {
    return toScopeBudgetResponse(await this.budgets.get(organizationScope(id)), this.clock.nowMs());
  }

  @Put('organizations/:id/budgets')
  @RequirePermissionInScope('platform:budgets:update', 'organization')
  @Operation('update_organization_budget', {
    ...OF_ORGANIZATION,
    summary: 'Limit what the keys of an organization may spend together',
    description: UPDATE,
  })
  @ApiOkResponse({ type: ScopeBudgetResponse })
  async setOfOrganization(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: OrganizationIdParameter,
    @Body() body: UpdateScopeBudgetDto,
  ): Promise<ScopeBudgetResponse> {
    const budget = await this.budgets.set(principal, organizationScope(id), toBudgetLimit(body));
    return toScopeBudgetResponse(budget, this.clock.nowMs());
  }

  @Get('projects/:id/budgets')
  @RequirePermissionInScope('platform:budgets:read', 'project')
  @Operation('get_project_budget', {
    ...OF_PROJECT,
    summary: 'Read the budget of a project',
    description: 'What all its keys may spend together.',
  })
  @ApiOkResponse({ type: ScopeBudgetResponse })
  async ofProject(@Param() { id }: ProjectIdParameter): Promise<ScopeBudgetResponse> {
    const scope = await this.scopes.requireProject(id);
    return toScopeBudgetResponse(await this.budgets.get(scope), this.clock.nowMs());
  }

  @Put('projects/:id/budgets')
  @RequirePermissionInScope('platform:budgets:update', 'project')
  @Operation('update_project_budget', {
    ...OF_PROJECT,
    summary: 'Limit what the keys of a project may spend together',
    description: UPDATE,
  })
  @ApiOkResponse({ type: ScopeBudgetResponse })
  async setOfProject(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ProjectIdParameter,
    @Body() body: UpdateScopeBudgetDto,
  ): Promise<ScopeBudgetResponse> {
    const scope = await this.scopes.requireProject(id);
    const budget = await this.budgets.set(principal, scope, toBudgetLimit(body));
    return toScopeBudgetResponse(budget, this.clock.nowMs());
  }
}
