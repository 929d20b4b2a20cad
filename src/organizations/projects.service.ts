import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull } from 'typeorm';
import type { Principal } from '../auth/principal.js';
import { scopeNotFound } from '../auth/scope-check.service.js';
import { DEFAULT_SCOPE } from '../auth/scope.policy.js';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { nextVersion } from '../common/version.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { Organization, Project } from './organization.entity.js';
import { applied, type NewScope, type ScopeUpdate } from './scope-changes.js';
import { ScopeRows } from './scope-rows.queries.js';

/** Projects of organizations. The guard has judged the caller where a path names one, or its organization. */
@Injectable()
export class ProjectsService {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly rows: ScopeRows,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `project.not_found` */
  async get(projectId: number): Promise<Project> {
    const project = await this.#manager.findOneBy(Project, { id: projectId, deletedAt: IsNull() });
    if (project === null) throw scopeNotFound('project');
    const { organizationId } = project;
    await this.events.observe('project.viewed', { organizationId, projectId });
    return project;
  }

  /** @throws AppError `organization.not_found`, `project.slug_taken` */
  @Change()
  async create(_principal: Principal, organizationId: number, input: NewScope): Promise<Project> {
    // Waits for a deletion of the organization that is in progress.
    const lock = { mode: 'pessimistic_read' } as const;
    const where = { id: organizationId, deletedAt: IsNull() };
    if ((await this.#manager.findOne(Organization, { where, lock })) === null)
      throw scopeNotFound('organization');
    const now = this.clock.now();
    const values = { ...input, organizationId, createdAt: now, updatedAt: now };
    const id = await this.rows.insert(Project, values);
    if (id === undefined) throw slugTaken();
    const { slug, name } = input;
    await this.events.change('project.created', { organizationId, projectId: id, slug, name });
    return this.#locked(id);
  }

  /** Changes the fields present. @throws AppError `project.not_found`, `project.version_mismatch`, `project.slug_taken` */
  @Change()
  async update(
    _principal: Principal,
    projectId: number,
    update: ScopeUpdate,
    expectedVersions?: readonly number[],
  ): Promise<Project> {
    const project = await this.#locked(projectId);
    if (expectedVersions?.includes(project.version) === false) {
      throw new AppError(
        'project.version_mismatch',
        'The project has changed since it was read; read it again.',
      );
    }
    const { changes, ...values } = applied(project, update);
    if (changes.isActive === false && projectId === DEFAULT_SCOPE.projectId) throw isDefault();
    const version = nextVersion(project.version);
    const saved = { ...changes, version, updatedAt: this.clock.now() };
    await this.rows.save(Project, projectId, saved, slugTaken);
    const { organizationId } = project;
    await this.events.change('project.updated', { organizationId, projectId, ...values });
    return this.#locked(projectId);
  }

  /** @throws AppError `project.not_found`, `project.not_empty`, `project.is_default` */
  @Change()
  async delete(_principal: Principal, projectId: number): Promise<void> {
    const { organizationId, slug } = await this.#locked(projectId);
    if (projectId === DEFAULT_SCOPE.projectId) throw isDefault();
    const [inUse] = await this.#manager.query<unknown[]>(
      `SELECT FROM api_keys WHERE project_id = $1 AND deleted_at IS NULL
       UNION ALL SELECT FROM users WHERE project_id = $1 AND deleted_at IS NULL LIMIT 1`,
      [projectId],
    );
    if (inUse !== undefined) {
      throw new AppError(
        'project.not_empty',
        'Delete or transfer the API keys of the project, and delete its service accounts, first.',
      );
    }
    const now = this.clock.now();
    await this.rows.save(Project, projectId, { deletedAt: now, updatedAt: now }, slugTaken);
    await this.rows.endMemberships({ organizationId, projectId });
    await this.events.change('project.deleted', { organizationId, projectId, slug });
  }

  async #locked(id: number): Promise<Project> {
    const where = { id, deletedAt: IsNull() };
    const project = await this.#manager.findOne(Project, { where, lock: { mode: 'pessimistic_write' } });
    if (project === null) throw scopeNotFound('project');
    return project;
  }

  get #manager() {
    return this.transactions.tx;
  }
}

function slugTaken(): AppError {
  return new AppError(
    'project.slug_taken',
    'Another project of the organization has this slug or external id.',
  );
}

function isDefault(): AppError {
  return new AppError('project.is_default', 'The default project can be neither disabled nor deleted.');
}
