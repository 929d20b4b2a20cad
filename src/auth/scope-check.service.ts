import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AppError, validationFailed } from '../common/app-error.js';
import { nameOrganization } from '../context/request-context.js';
import { idCheck, integerFromText } from '../contract/fields.js';
import { ControlPool } from '../database/pools.js';
import type { ScopeKind } from './access.decorators.js';
import type { Principal } from './principal.js';
import { type ProjectScope, requireIn, type Scope } from './scope.policy.js';

/** Decides what a route below an organization or a project asks of its caller, before a body is read. */
@Injectable()
export class ScopeCheck {
  constructor(private readonly pool: ControlPool) {}

  /** @throws AppError `permission.denied`, `organization.not_found`, `project.not_found`, `validation.failed` */
  async require(
    request: FastifyRequest,
    kind: ScopeKind,
    principal: Principal,
    permission: string,
  ): Promise<void> {
    const { id: text = '' } = request.params as { readonly id?: string };
    const id = integerFromText(text) as number;
    const problem = idCheck(id);
    if (problem !== undefined) throw validationFailed([{ field: 'id', message: problem }]);
    const scope = await this.#find(kind, id);
    if (scope === undefined) throw scopeNotFound(kind);
    requireIn(principal, scope, permission, () => scopeNotFound(kind));
    nameOrganization(scope.organizationId);
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
