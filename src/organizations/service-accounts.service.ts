import { Injectable } from '@nestjs/common';
import { KeyBounds } from '../auth/key-bounds.js';
import { lacking } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { type ProjectScope, requireHeldForService } from '../auth/scope.policy.js';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { MemberRows } from './member-rows.queries.js';
import { type ServiceAccount, type ServiceAccountUpdate, updated } from './service-account.js';
import { ServiceAccountRows } from './service-account-rows.queries.js';

/** Service accounts of projects. The guard has judged the caller. Nobody gives an account what they lack there. */
@Injectable()
export class ServiceAccountsService {
  constructor(
    private readonly rows: ServiceAccountRows,
    private readonly members: MemberRows,
    private readonly keyBounds: KeyBounds,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `service_account.not_found` */
  async get({ organizationId, projectId }: ProjectScope, id: number): Promise<ServiceAccount> {
    const account = requireFound(await this.rows.find(projectId, id));
    await this.events.observe('service_account.viewed', { organizationId, projectId, userId: id });
    return account;
  }

  /** @throws AppError `project.not_found`, `permission.denied`, `service_account.name_taken` */
  @Change()
  async create(
    principal: Principal,
    place: ProjectScope,
    name: string,
    permissions: readonly string[],
  ): Promise<ServiceAccount> {
    await this.members.lockScope(place);
    requireHeldForService(principal, place, permissions);
    if (permissions.length > 0) await this.keyBounds.requireUnbound(principal);
    const id = await this.rows.insert(place, name, permissions, this.clock.now());
    if (id === undefined) throw nameTaken();
    await this.events.change('service_account.created', { ...place, userId: id, name, permissions });
    return requireFound(await this.rows.find(place.projectId, id));
  }

  /** @throws AppError `service_account.not_found`, `permission.denied`, `service_account.name_taken` */
  @Change()
  async update(
    principal: Principal,
    place: ProjectScope,
    id: number,
    update: ServiceAccountUpdate,
  ): Promise<ServiceAccount> {
    await this.members.lockScope(place);
    const account = requireFound(await this.rows.lock(place.projectId, id));
    const { after, beforeValues, afterValues } = updated(account, update);
    requireHeldForService(principal, place, [...account.permissions, ...after.permissions]);
    const isRevived = !account.isActive && after.isActive;
    if (isRevived || lacking(account.permissions, after.permissions).length > 0)
      await this.keyBounds.requireUnbound(principal);
    if (Object.keys(afterValues).length > 0 && !(await this.rows.save(account, after, this.clock.now())))
      throw nameTaken();
    await this.events.change('service_account.updated', { ...place, userId: id, beforeValues, afterValues });
    return requireFound(await this.rows.find(place.projectId, id));
  }

  /**
   * Ends the account; subscribers of the event delete its keys.
   * @throws AppError `service_account.not_found`, `permission.denied`
   */
  @Change()
  async delete(principal: Principal, place: ProjectScope, id: number): Promise<void> {
    const { name, permissions } = requireFound(await this.rows.lock(place.projectId, id));
    requireHeldForService(principal, place, permissions);
    await this.rows.end(id, this.clock.now());
    await this.events.change('service_account.deleted', { ...place, userId: id, name });
  }
}

function requireFound(account: ServiceAccount | undefined): ServiceAccount {
  if (account === undefined) throw new AppError('service_account.not_found', 'Service account not found');
  return account;
}

function nameTaken(): AppError {
  return new AppError('service_account.name_taken', 'Another service account of the project has this name.');
}
