import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AppError, validationFailed } from '../common/app-error.js';
import { nameOrganization } from '../context/request-context.js';
import { idCheck, integerFromText } from '../contract/fields.js';
import { ControlPool } from '../database/pools.js';
import type { AccessRule, ScopeKind } from './access.decorators.js';
import { isOwner } from './access.policy.js';
import type { Principal } from './principal.js';
import { isMember, type ProjectScope, requireIn, type Scope } from './scope.policy.js';

/** What the path of a request names, and what its route asks for there. */
export interface RequiredScope {
  /** @throws AppError `permission.denied`, `organization.not_found`, `project.not_found` */
  require(principal: Principal): void;
}

/** Finds what a route below an organization or a project asks of its caller, before a body is read. */
@Injectable()
export class ScopeCheck {
  constructor(private readonly pool: ControlPool) {}

  /**
   * Undefined for a route that names no scope.
   * @throws AppError `organization.not_found`, `project.not_found`, `validation.failed`
   */
  async find(request: FastifyRequest, rule: AccessRule): Promise<RequiredScope | undefined> {
    if (rule.kind !== 'permission_in_scope' || rule.below === undefined) return undefined;
    const { below: kind, permission, orSelf } = rule;
    const { id: text = '', user_id: userText = '' } = request.params as {
      readonly id?: string;
      readonly user_id?: string;
    };
    const id = integerFromText(text) as number;
    const problem = idCheck(id);
    if (problem !== undefined) throw validationFailed([{ field: 'id', message: problem }]);
    const scope = await this.#find(kind, id);
    if (scope === undefined) throw scopeNotFound(kind);
    const { organizationId } = scope;
    const isSelf = (principal: Principal) =>
      orSelf === true &&
      isOwner(principal, integerFromText(userText) as number) &&
      isMember(principal, organizationId);
    return {
      require: (principal) => {
        if (!isSelf(principal)) requireIn(principal, scope, permission, () => scopeNotFound(kind));
        nameOrganization(organizationId);
      },
    };
  }

  async #find(kind: ScopeKind, id: number): Promise<Scope | undefined> {
    if (kind === 'project') return this.project(id);
    const { rowCount } = await this.pool.query({
      name: 'find_organization_scope',
      text: 'SELECT FROM organizations WHERE id = $1 AND deleted_at IS NULL',
      values: [id],
    });
    return rowCount === 0 ? undefined : { organizationId: id, projectId: null };
  }

  /** @throws AppError `project.not_found` */
  async requireProject(projectId: number): Promise<ProjectScope> {
    const found = await this.project(projectId);
    if (found === undefined) throw scopeNotFound('project');
    return found;
  }

  /** A project that was not deleted, nor its organization, with that organization. */
  async project(projectId: number): Promise<ProjectScope | undefined> {
    const { rows } = await this.pool.query<ProjectScope>({
      name: 'find_project_scope',
      text: `
        SELECT projects.id AS "projectId", organizations.id AS "organizationId"
        FROM projects JOIN organizations ON organizations.id = projects.organization_id
        WHERE projects.id = $1 AND projects.deleted_at IS NULL AND organizations.deleted_at IS NULL`,
      values: [projectId],
    });
    return rows[0];
  }
}

/** What an unknown organization or project is answered with, and one that is not the caller's. */
export function scopeNotFound(kind: ScopeKind): AppError {
  return kind === 'organization'
    ? new AppError('organization.not_found', 'Organization not found')
    : new AppError('project.not_found', 'Project not found');
}
