import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull } from 'typeorm';
import { denied } from '../auth/access.policy.js';
import { grants } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { scopeNotFound } from '../auth/scope-check.service.js';
import { DEFAULT_SCOPE } from '../auth/scope.policy.js';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { nextVersion } from '../common/version.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { Organization } from './organization.entity.js';
import { applied, type NewScope, type ScopeUpdate } from './scope-changes.js';
import { ScopeRows } from './scope-rows.queries.js';

const UPDATE_PERMISSION = 'platform:organizations:update';
const OWNER_ROLE = 'org_owner';

/** Organizations. The guard has judged the caller where a path names one. */
@Injectable()
export class OrganizationsService {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly rows: ScopeRows,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `organization.not_found` */
  async get(organizationId: number): Promise<Organization> {
    const organization = await this.#manager.findOneBy(Organization, {
      id: organizationId,
      deletedAt: IsNull(),
    });
    if (organization === null) throw scopeNotFound('organization');
    await this.events.observe('organization.viewed', { organizationId });
    return organization;
  }

  /**
   * Creates an organization. A person who could not change it otherwise becomes its owner.
   * @throws AppError `organization.slug_taken`
   */
  @Change()
  async create(principal: Principal, input: NewScope): Promise<Organization> {
    const now = this.clock.now();
    const id = await this.rows.insert(Organization, { ...input, createdAt: now, updatedAt: now });
    if (id === undefined) throw slugTaken();
    const { slug, name } = input;
    await this.events.change('organization.created', { organizationId: id, slug, name });
    if (principal.credential.kind === 'session' && !grants(principal.permissions, UPDATE_PERMISSION)) {
      const { userId } = principal;
      await this.#manager.query(
        'INSERT INTO memberships (user_id, organization_id, role) VALUES ($1, $2, $3)',
        [userId, id, OWNER_ROLE],
      );
      await this.events.change('member.added', {
        organizationId: id,
        projectId: null,
        userId,
        role: OWNER_ROLE,
      });
    }
    return this.#locked(id);
  }

  /**
   * Changes the fields present. Whether it is active is decided by the platform alone.
   * @throws AppError `organization.not_found`, `organization.version_mismatch`, `organization.slug_taken`, `permission.denied`
   */
  @Change()
  async update(
    principal: Principal,
    organizationId: number,
    update: ScopeUpdate,
    expectedVersions?: readonly number[],
  ): Promise<Organization> {
    const organization = await this.#locked(organizationId);
    if (expectedVersions?.includes(organization.version) === false) {
      throw new AppError(
        'organization.version_mismatch',
        'The organization has changed since it was read; read it again.',
      );
    }
    const { changes, ...values } = applied(organization, update);
    if (changes.isActive !== undefined && !grants(principal.permissions, UPDATE_PERMISSION))
      throw denied(`To change is_active, ${UPDATE_PERMISSION} is needed for the whole platform.`);
    if (changes.isActive === false && organizationId === DEFAULT_SCOPE.organizationId) throw isDefault();
    const version = nextVersion(organization.version);
    const saved = { ...changes, version, updatedAt: this.clock.now() };
    await this.rows.save(Organization, organizationId, saved, slugTaken);
    await this.events.change('organization.updated', { organizationId, ...values });
    return this.#locked(organizationId);
  }

  /** @throws AppError `organization.not_found`, `organization.not_empty`, `organization.is_default` */
  @Change()
  async delete(_principal: Principal, organizationId: number): Promise<void> {
    const { slug } = await this.#locked(organizationId);
    if (organizationId === DEFAULT_SCOPE.organizationId) throw isDefault();
    const [project] = await this.#manager.query<unknown[]>(
      'SELECT FROM projects WHERE organization_id = $1 AND deleted_at IS NULL LIMIT 1',
      [organizationId],
    );
    if (project !== undefined)
      throw new AppError('organization.not_empty', 'Delete the projects of the organization first.');
    const now = this.clock.now();
    await this.rows.save(Organization, organizationId, { deletedAt: now, updatedAt: now }, slugTaken);
    await this.rows.endMemberships({ organizationId, projectId: null });
    await this.events.change('organization.deleted', { organizationId, slug });
  }

  async #locked(id: number): Promise<Organization> {
    const where = { id, deletedAt: IsNull() };
    const organization = await this.#manager.findOne(Organization, {
      where,
      lock: { mode: 'pessimistic_write' },
    });
    if (organization === null) throw scopeNotFound('organization');
    return organization;
  }

  get #manager() {
    return this.transactions.tx;
  }
}

function slugTaken(): AppError {
  return new AppError('organization.slug_taken', 'Another organization has this slug or external id.');
}

function isDefault(): AppError {
  return new AppError(
    'organization.is_default',
    'The default organization can be neither disabled nor deleted.',
  );
}
