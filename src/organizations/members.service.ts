import { Injectable } from '@nestjs/common';
import { KeyBounds } from '../auth/key-bounds.js';
import { lacking } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { isOwner } from '../auth/access.policy.js';
import { requireHeldIn, type Scope } from '../auth/scope.policy.js';
import { AppError } from '../common/app-error.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { type Member, MemberRows } from './member-rows.queries.js';
import { type MembershipRole, OWNER_ROLE } from './membership-roles.js';

/** Members of organizations and projects. The guard has judged the caller. */
@Injectable()
export class MembersService {
  constructor(
    private readonly rows: MemberRows,
    private readonly keyBounds: KeyBounds,
    private readonly events: EventPublisher,
  ) {}

  /**
   * Makes a user a member. Only users who are in the organization already can be named, unless the caller may read all
   * users: others are invited.
   * @throws AppError `user.not_found`, `member.exists`, `permission.denied`
   */
  @Change()
  async add(principal: Principal, scope: Scope, userId: number, role: MembershipRole): Promise<Member> {
    await this.rows.lockScope(scope);
    await this.keyBounds.requireUnbound(principal);
    requireHeldIn(principal, scope, await this.rows.permissionsOf(role));
    const mayNameAnyone = lacking(principal.permissions, ['platform:users:read']).length === 0;
    if (!(await this.rows.isUser(userId, mayNameAnyone ? undefined : scope.organizationId)))
      throw new AppError('user.not_found', 'User not found');
    if (!(await this.rows.insert(scope, userId, role)))
      throw new AppError('member.exists', 'The user is a member already; change their role instead.');
    await this.events.change('member.added', { ...scope, userId, role });
    return this.#found(scope, userId);
  }

  /** Nobody changes a role that allows more than they hold. @throws AppError `member.not_found`, `permission.denied`, `organization.last_owner` */
  @Change()
  async update(principal: Principal, scope: Scope, userId: number, role: MembershipRole): Promise<Member> {
    await this.rows.lockScope(scope);
    const before = await this.#found(scope, userId);
    const [held, wanted] = [await this.rows.permissionsOf(before.role), await this.rows.permissionsOf(role)];
    requireHeldIn(principal, scope, [...held, ...wanted]);
    if (lacking(held, wanted).length > 0) await this.keyBounds.requireUnbound(principal);
    if (before.role === OWNER_ROLE && role !== OWNER_ROLE) await this.#requireOtherOwner(scope, userId);
    if (before.role !== role) await this.rows.setRole(scope, userId, role);
    await this.events.change('member.updated', {
      ...scope,
      userId,
      beforeValues: before.role === role ? {} : { role: before.role },
      afterValues: before.role === role ? {} : { role },
    });
    return this.#found(scope, userId);
  }

  /**
   * Removes a member from a project, or from an organization with all its projects; subscribers of the event disable their keys
   * there. Members may leave by themselves, with a session.
   * @throws AppError `member.not_found`, `permission.denied`, `organization.last_owner`
   */
  @Change()
  async remove(principal: Principal, scope: Scope, userId: number): Promise<void> {
    await this.rows.lockScope(scope);
    const isLeaving = isOwner(principal, userId);
    const ended = await this.rows.inScope(scope, userId);
    if (ended.length === 0) throw new AppError('member.not_found', 'Member not found');
    for (const { role } of ended) {
      if (!isLeaving) requireHeldIn(principal, scope, await this.rows.permissionsOf(role));
      if (role === OWNER_ROLE) await this.#requireOtherOwner(scope, userId);
    }
    await this.rows.remove(scope, userId);
    await this.events.change('member.removed', { ...scope, userId });
  }

  async #requireOtherOwner(scope: Scope, userId: number): Promise<void> {
    if (await this.rows.hasOtherOwner(scope.organizationId, userId)) return;
    throw new AppError(
      'organization.last_owner',
      'The last owner of an organization cannot leave it, nor get another role.',
    );
  }

  async #found(scope: Scope, userId: number): Promise<Member> {
    const member = await this.rows.find(scope, userId);
    if (member === undefined) throw new AppError('member.not_found', 'Member not found');
    return member;
  }
}
