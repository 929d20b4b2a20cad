import { Injectable } from '@nestjs/common';
import { Propagation, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { Scope } from '../auth/scope.policy.js';
import { type MembershipRole, OWNER_ROLE } from './membership-roles.js';
import { scopeNotFoundOf } from './scopes.js';

/** A user with their role in an organization or in a project. */
export interface Member extends Scope {
  readonly userId: number;
  readonly username: string;
  readonly role: MembershipRole;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The columns of a member; tables `memberships` and `users`. */
export const MEMBER_COLUMNS = `memberships.user_id AS "userId", users.username, memberships.role,
  memberships.organization_id AS "organizationId", memberships.project_id AS "projectId",
  memberships.created_at AS "createdAt", memberships.updated_at AS "updatedAt"`;

const IS_SCOPE = 'memberships.organization_id = $1 AND memberships.project_id IS NOT DISTINCT FROM $2';
/** Of an organization, its projects too. */
const IS_IN_SCOPE = 'organization_id = $1 AND ($2::bigint IS NULL OR project_id = $2)';

/** Rows of memberships as changes read and write them. Every method is part of the caller's transaction. */
@Injectable()
export class MemberRows {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /**
   * Lets changes of the members of an organization follow each other, so that of two owners who remove each other one stays.
   * @throws AppError `organization.not_found`, `project.not_found`
   */
  @Transactional(Propagation.Mandatory)
  async lockScope(scope: Scope): Promise<void> {
    if (!(await this.isThere(scope))) throw scopeNotFoundOf(scope);
  }

  /** The same; false where the scope was deleted. */
  @Transactional(Propagation.Mandatory)
  async isThere(scope: Scope): Promise<boolean> {
    const [organization] = await this.#query<unknown>(
      `SELECT FROM organizations
       WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`,
      [scope.organizationId],
    );
    if (organization === undefined || scope.projectId === null) return organization !== undefined;
    // Waits for a deletion of the project that is in progress.
    const [project] = await this.#query<unknown>(
      'SELECT FROM projects WHERE id = $1 AND organization_id = $2 AND deleted_at IS NULL FOR KEY SHARE',
      [scope.projectId, scope.organizationId],
    );
    return project !== undefined;
  }

  async permissionsOf(role: MembershipRole): Promise<string[]> {
    const [row] = await this.#query<{ permissions: string[] }>(
      'SELECT permissions FROM membership_roles WHERE name = $1',
      [role],
    );
    if (row === undefined) throw new Error(`The database has no role ${role}.`);
    return row.permissions;
  }

  /** Whether there is such a person, who can log in; with an organization only if they are a member of it. */
  async isUser(userId: number, organizationId: number | undefined): Promise<boolean> {
    const rows = await this.#query<unknown>(
      `SELECT FROM users WHERE id = $1 AND kind = 'person' AND is_active AND deleted_at IS NULL
         AND ($2::bigint IS NULL OR EXISTS (SELECT FROM memberships WHERE user_id = $1 AND organization_id = $2))
       FOR KEY SHARE`,
      [userId, organizationId ?? null],
    );
    return rows.length > 0;
  }

  /** False when the user is a member already. */
  async insert({ organizationId, projectId }: Scope, userId: number, role: MembershipRole): Promise<boolean> {
    const rows = await this.#query<unknown>(
      `INSERT INTO memberships (user_id, organization_id, project_id, role) VALUES ($1, $2, $3, $4)
       ON CONFLICT DO NOTHING RETURNING user_id`,
      [userId, organizationId, projectId, role],
    );
    return rows.length > 0;
  }

  async find(scope: Scope, userId: number): Promise<Member | undefined> {
    const [row] = await this.#query<Member>(
      `SELECT ${MEMBER_COLUMNS} FROM memberships JOIN users ON users.id = memberships.user_id
       WHERE ${IS_SCOPE} AND memberships.user_id = $3`,
      [scope.organizationId, scope.projectId, userId],
    );
    return row;
  }

  /** All memberships of a user in a scope, those in projects of an organization too. */
  inScope(scope: Scope, userId: number): Promise<{ readonly role: MembershipRole }[]> {
    return this.#query(`SELECT role FROM memberships WHERE ${IS_IN_SCOPE} AND user_id = $3`, [
      scope.organizationId,
      scope.projectId,
      userId,
    ]);
  }

  async setRole(scope: Scope, userId: number, role: MembershipRole): Promise<void> {
    await this.#query(
      `UPDATE memberships SET role = $4, updated_at = now() WHERE ${IS_SCOPE} AND user_id = $3`,
      [scope.organizationId, scope.projectId, userId, role],
    );
  }

  /** Ends the memberships of a user in a scope, and the invitations to it that they sent and nobody accepted. */
  async remove(scope: Scope, userId: number): Promise<void> {
    const values = [scope.organizationId, scope.projectId, userId];
    await this.#query(`DELETE FROM memberships WHERE ${IS_IN_SCOPE} AND user_id = $3`, values);
    await this.#query(
      `UPDATE invitations SET revoked_at = now()
       WHERE ${IS_IN_SCOPE} AND invited_by_user_id = $3 AND accepted_at IS NULL AND revoked_at IS NULL`,
      values,
    );
  }

  /** Ends all memberships of a user, and the invitations that they sent and nobody accepted. */
  async removeEverywhere(userId: number): Promise<void> {
    await this.#query('DELETE FROM memberships WHERE user_id = $1', [userId]);
    await this.#query(
      `UPDATE invitations SET revoked_at = now()
       WHERE invited_by_user_id = $1 AND accepted_at IS NULL AND revoked_at IS NULL`,
      [userId],
    );
  }

  async hasOtherOwner(organizationId: number, userId: number): Promise<boolean> {
    const rows = await this.#query<unknown>(
      `SELECT FROM memberships JOIN users ON users.id = memberships.user_id
       WHERE memberships.organization_id = $1 AND memberships.project_id IS NULL AND memberships.role = $3 AND user_id <> $2
         AND users.is_active AND users.deleted_at IS NULL LIMIT 1`,
      [organizationId, userId, OWNER_ROLE],
    );
    return rows.length > 0;
  }

  #query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return this.transactions.tx.query<Row[]>(text, values);
  }
}
