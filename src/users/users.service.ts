import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull, Not } from 'typeorm';
import { AppError, type FieldError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { runPrepared } from '../database/prepared-statement.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { isOwner, requireHeld, requireOwnerOr } from '../auth/access.policy.js';
import { CurrentPasswords } from './current-passwords.service.js';
import { KeyBounds } from '../auth/key-bounds.js';
import { passwordErrors } from './password.policy.js';
import { PasswordHasher } from './password-hasher.service.js';
import { lacking } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { changedValues, type NewUser, type UserChanges } from './user-changes.js';
import { Role, User } from './user.entity.js';
import { UserRows } from './user-rows.queries.js';
import { normalizeUsername } from './username.js';

const ADMIN_ROLE = 'admin';
const UPDATE_PERMISSION = 'platform:users:update';
/** Held until the transaction ends. */
const TAKE_AN_ADMIN_AWAY = {
  name: 'lock_removal_of_admins',
  text: `SELECT pg_advisory_xact_lock(hashtextextended('latchkey:removal-of-admins', 0))`,
};
const WRONG_PASSWORD: FieldError = { field: 'current_password', message: 'must be the current password' };

/** Administration of users. Each change is one transaction with its audit row. */
@Injectable()
export class UsersService {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly rows: UserRows,
    private readonly passwords: PasswordHasher,
    private readonly currentPasswords: CurrentPasswords,
    private readonly keyBounds: KeyBounds,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `user.not_found` */
  async get(userId: number): Promise<User> {
    const user = await this.#find(userId);
    await this.events.observe('user.viewed', { userId });
    return user;
  }

  /** @throws AppError `permission.denied`, `user.username_taken`, `validation.failed` */
  async create(principal: Principal, input: NewUser): Promise<User> {
    const username = normalizeUsername(input.username);
    requireNone(passwordErrors('password', input.password, username));
    return this.insert(principal, {
      ...input,
      username,
      password: await this.passwords.hash(input.password),
    });
  }

  /** @throws AppError `permission.denied`, `user.not_found`, `user.last_admin`, `validation.failed` */
  @Change()
  async update(principal: Principal, userId: number, changes: UserChanges): Promise<User> {
    const user = await this.#findLocked(userId);
    const held = await this.#permissionsOf(user.role, user.permissions);
    requireHeld(principal, held);
    const wasActiveAdmin = isActiveAdmin(user);
    const before = { role: user.role, permissions: user.permissions, is_active: user.isActive };
    if (changes.role !== undefined) user.role = changes.role;
    if (changes.permissions !== undefined) user.permissions = [...changes.permissions];
    if (changes.isActive !== undefined) user.isActive = changes.isActive;
    const after = { role: user.role, permissions: user.permissions, is_active: user.isActive };
    const wanted = await this.#permissionsOf(user.role, user.permissions);
    requireHeld(principal, wanted);
    const isRevived = !before.is_active && after.is_active;
    if (isRevived || lacking(held, wanted).length > 0) await this.keyBounds.requireUnbound(principal);
    if (wasActiveAdmin && !isActiveAdmin(user)) await this.#requireOtherAdminUnderLock(userId);
    user.updatedAt = this.clock.now();
    await this.#manager.save(User, user, { transaction: false });
    await this.events.change('user.updated', { userId, ...changedValues(before, after) });
    return user;
  }

  /**
   * Sets a password; all sessions of the user end with the change. One's own needs the current one.
   * @throws AppError `permission.denied`, `user.not_found`, `validation.failed`, `auth.too_many_failures`
   */
  async setPassword(
    principal: Principal,
    userId: number,
    newPassword: string,
    currentPassword?: string,
  ): Promise<void> {
    requireOwnerOr(principal, userId, UPDATE_PERMISSION);
    // Before the current password is compared: a key that may not change it must not learn whether it is right.
    await this.keyBounds.requireUnbound(principal);
    const user = await this.#find(userId);
    const errors =
      principal.userId === userId ? await this.#currentPasswordErrors(user, currentPassword) : [];
    requireNone([...errors, ...passwordErrors('new_password', newPassword, user.username)]);
    await this.replacePassword(principal, userId, user.passwordHash, await this.passwords.hash(newPassword));
  }

  /**
   * Deletes the user; subscribers of the event end their sessions and keys.
   * @throws AppError `permission.denied`, `user.not_found`, `user.last_admin`
   */
  @Change()
  async delete(principal: Principal, userId: number): Promise<void> {
    const user = await this.#findLocked(userId);
    requireHeld(principal, await this.#permissionsOf(user.role, user.permissions));
    const isAdmin = isActiveAdmin(user);
    if (isAdmin) await this.#requireOtherAdmin(userId);
    const now = this.clock.now();
    await this.#manager.update(User, { id: userId }, { isActive: false, deletedAt: now, updatedAt: now });
    await this.events.change('user.deleted', { userId, username: user.username });
    // Last, since others wait from here on: the keys of a user may be very many.
    if (isAdmin) await this.#requireOtherAdminUnderLock(userId);
  }

  @Change()
  protected async insert(principal: Principal, input: NewUser): Promise<User> {
    const wanted = await this.#permissionsOf(input.role, input.permissions);
    requireHeld(principal, wanted);
    if (wanted.length > 0) await this.keyBounds.requireUnbound(principal);
    const { username, password, role, permissions } = input;
    const values = { username, passwordHash: password, role, permissions };
    const userId = await this.rows.insert(values, this.clock.now());
    if (userId === undefined)
      throw new AppError('user.username_taken', 'A user of this name exists already.');
    await this.events.change('user.created', { userId, username, role, permissions });
    return this.#find(userId);
  }

  @Change()
  protected async replacePassword(
    principal: Principal,
    userId: number,
    seenHash: string,
    newHash: string,
  ): Promise<void> {
    requireOwnerOr(principal, userId, UPDATE_PERMISSION);
    await this.keyBounds.requireUnbound(principal);
    const user = await this.#findLocked(userId);
    if (!isOwner(principal, userId))
      requireHeld(principal, await this.#permissionsOf(user.role, user.permissions));
    if (principal.userId === userId && user.passwordHash !== seenHash) {
      throw validationFailed([WRONG_PASSWORD]);
    }
    await this.#manager.update(User, { id: userId }, { passwordHash: newHash, updatedAt: this.clock.now() });
    await this.events.change('user.password_changed', { userId });
  }

  async #currentPasswordErrors(user: User, password: string | undefined): Promise<FieldError[]> {
    const isRight = password !== undefined && (await this.currentPasswords.isRight(user, password));
    return isRight ? [] : [WRONG_PASSWORD];
  }

  async #find(userId: number): Promise<User> {
    const user = await this.#manager.findOneBy(User, personOf(userId));
    if (user === null) throw new AppError('user.not_found', 'User not found');
    return user;
  }

  async #findLocked(userId: number): Promise<User> {
    const where = personOf(userId);
    const user = await this.#manager.findOne(User, { where, lock: { mode: 'pessimistic_write' } });
    if (user === null) throw new AppError('user.not_found', 'User not found');
    return user;
  }

  /**
   * Changes that take an active admin away follow one another, so that of two admins who disable each other one stays.
   * They alone wait: a lock on the rows of all admins would hold up whatever any of them does.
   */
  async #requireOtherAdminUnderLock(userId: number): Promise<void> {
    await runPrepared(this.#manager, TAKE_AN_ADMIN_AWAY, []);
    await this.#requireOtherAdmin(userId);
  }

  /** Without the lock: another change may still remove those admins before this one commits. */
  async #requireOtherAdmin(userId: number): Promise<void> {
    const others = { id: Not(userId), role: ADMIN_ROLE, isActive: true, deletedAt: IsNull() };
    if (await this.#manager.existsBy(User, others)) return;
    throw new AppError('user.last_admin', 'The last active admin cannot be disabled, demoted or deleted.');
  }

  async #permissionsOf(role: string, extra: readonly string[]): Promise<string[]> {
    const found = await this.#manager.findOneBy(Role, { name: role });
    if (found === null) throw validationFailed([{ field: 'role', message: 'must be the name of a role' }]);
    return [...found.permissions, ...extra];
  }

  get #manager() {
    return this.transactions.tx;
  }
}

/** A service account is changed where its project is, and has no password. */
function personOf(userId: number) {
  return { id: userId, kind: 'person' as const, deletedAt: IsNull() };
}

function requireNone(errors: readonly FieldError[]): void {
  if (errors.length > 0) throw validationFailed(errors);
}

function isActiveAdmin({ role, isActive }: User): boolean {
  return role === ADMIN_ROLE && isActive;
}
