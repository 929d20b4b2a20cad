import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { Principal } from '../auth/principal.js';
import { DEFAULT_SCOPE, type OwnedThing, type ProjectScope, requireIn } from '../auth/scope.policy.js';
import { AppError } from '../common/app-error.js';
import { runPrepared } from '../database/prepared-statement.js';

const CREATE_PERMISSION = 'platform:api-keys:create';

// The locks wait for a deletion of the owner that is in progress: it would not see the key.
const LOCK_SERVICE_ACCOUNT = {
  name: 'lock_service_account_of_key',
  text: `
    SELECT id AS "userId", organization_id AS "organizationId", project_id AS "projectId", is_active AS "isActive"
    FROM users WHERE id = $1 AND kind = 'service' AND deleted_at IS NULL FOR KEY SHARE`,
};
const LOCK_PERSON = {
  name: 'lock_person_of_key',
  text: `SELECT id FROM users WHERE id = $1 AND kind = 'person' AND is_active AND deleted_at IS NULL FOR KEY SHARE`,
};
// A change that ends such a membership waits for this lock, and then deactivates the key with the others.
const LOCK_MEMBERSHIPS = {
  name: 'lock_memberships_of_key_owner',
  text: `
    SELECT user_id FROM memberships
    WHERE user_id = $1 AND organization_id = $2 AND (project_id IS NULL OR project_id = $3) FOR KEY SHARE`,
};

/** Who may be given a key. Every method is part of the caller's transaction. */
@Injectable()
export class KeyOwners {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /**
   * A service account where the caller may create keys, in this project when one is named.
   * @throws AppError `service_account.not_found`, `service_account.inactive`, `permission.denied`
   */
  async lockServiceAccount(
    principal: Principal,
    id: number,
    projectId: number | undefined,
  ): Promise<OwnedThing> {
    const [found] = await runPrepared<OwnedThing & { readonly isActive: boolean }>(
      this.transactions.tx,
      LOCK_SERVICE_ACCOUNT,
      [id],
    );
    if (found === undefined || (projectId ?? found.projectId) !== found.projectId) throw notFound();
    requireIn(principal, found, CREATE_PERMISSION, notFound);
    if (!found.isActive) throw new AppError('service_account.inactive', 'The service account is disabled.');
    const { userId, organizationId } = found;
    return { userId, organizationId, projectId: found.projectId };
  }

  /**
   * An active person who belongs to the place; in the default organization anyone.
   * @throws AppError `user.not_found`
   */
  async lockPerson(userId: number, { organizationId, projectId }: ProjectScope): Promise<void> {
    const { tx } = this.transactions;
    const persons = await runPrepared(tx, LOCK_PERSON, [userId]);
    const memberships = await runPrepared(tx, LOCK_MEMBERSHIPS, [userId, organizationId, projectId]);
    const isMember = memberships.length > 0 || organizationId === DEFAULT_SCOPE.organizationId;
    if (persons.length === 0 || !isMember) throw new AppError('user.not_found', 'User not found');
  }
}

function notFound(): AppError {
  return new AppError('service_account.not_found', 'Service account not found');
}
