import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { Principal } from '../auth/principal.js';
import { scopeNotFound } from '../auth/scope-check.service.js';
import { DEFAULT_SCOPE, type ProjectScope, requireIn } from '../auth/scope.policy.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { nameOrganization } from '../context/request-context.js';
import { runPrepared } from '../database/prepared-statement.js';

// The lock waits for a deletion of the project or its organization that is in progress.
const LOCK_PROJECT = {
  name: 'lock_project_of_new_key',
  text: `
    SELECT projects.organization_id AS "organizationId", projects.is_active AND organizations.is_active AS "isActive"
    FROM projects JOIN organizations ON organizations.id = projects.organization_id
    WHERE projects.id = $1 AND projects.deleted_at IS NULL AND organizations.deleted_at IS NULL
    FOR KEY SHARE`,
};

const CREATE_PERMISSION = 'platform:api-keys:create';

/** Where keys may be put. Every method is part of the caller's transaction. */
@Injectable()
export class ApiKeyPlaces {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /**
   * The project of a new key, kept from being deleted until the transaction ends. What an API key creates is in the project of
   * that key, `parent`.
   * @throws AppError `permission.denied`, `project.not_found`, `project.inactive`, `validation.failed`
   */
  async lock(
    principal: Principal,
    asked: number | undefined,
    parent: ProjectScope | undefined,
  ): Promise<ProjectScope> {
    const projectId = asked ?? parent?.projectId ?? DEFAULT_SCOPE.projectId;
    if (parent !== undefined && projectId !== parent.projectId) {
      const message = `must be ${parent.projectId}, the project of the API key that creates it`;
      throw validationFailed([{ field: 'project_id', message }]);
    }
    const [project] = await runPrepared<{ organizationId: number; isActive: boolean }>(
      this.transactions.tx,
      LOCK_PROJECT,
      [projectId],
    );
    if (project === undefined) throw scopeNotFound('project');
    const place = { organizationId: project.organizationId, projectId };
    requireIn(principal, place, CREATE_PERMISSION, () => scopeNotFound('project'));
    nameOrganization(place.organizationId);
    if (!project.isActive)
      throw new AppError('project.inactive', 'The project, or its organization, is disabled.');
    return place;
  }
}
