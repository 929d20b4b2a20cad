import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { HeldPermissions, Scope } from '../auth/scope.policy.js';
import type { MembershipRole } from './membership-roles.js';

/** An offer to become a member, which the holder of its token accepts. */
export interface Invitation extends Scope {
  readonly id: number;
  /** Who is invited; perhaps no user has this name yet. */
  readonly username: string;
  readonly role: MembershipRole;
  readonly invitedByUserId: number;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** The columns of an invitation; table `invitations`. */
export const INVITATION_COLUMNS = `invitations.id, invitations.username, invitations.role,
  invitations.organization_id AS "organizationId", invitations.project_id AS "projectId",
  invitations.invited_by_user_id AS "invitedByUserId", invitations.created_at AS "createdAt", invitations.expires_at AS "expiresAt"`;

const IS_UNUSED = 'invitations.accepted_at IS NULL AND invitations.revoked_at IS NULL';
/** What is true of the invitations to a scope, `$1` and `$2`, that were neither accepted nor revoked. */
export const IS_OPEN_INVITATION = `invitations.organization_id = $1 AND invitations.project_id IS NOT DISTINCT FROM $2 AND ${IS_UNUSED}`;

// A change of the user waits for the end of this transaction.
const LOCK_INVITER = `
  SELECT kind, roles.permissions || users.permissions AS permissions, organization_id AS "organizationId", project_id AS "projectId"
  FROM users JOIN roles ON roles.name = users.role
  WHERE users.id = $1 AND users.is_active AND users.deleted_at IS NULL FOR SHARE OF users`;

type InviterRow = { readonly permissions: string[] } & (
  | { readonly kind: 'person' }
  | { readonly kind: 'service'; readonly organizationId: number; readonly projectId: number }
);

/** Rows of invitations. But for `find`, every method is part of the caller's transaction. */
@Injectable()
export class InvitationRows {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  async insert(invitation: Omit<Invitation, 'id'>, token: string): Promise<number> {
    const { organizationId, projectId, username, role, invitedByUserId, createdAt, expiresAt } = invitation;
    const [row] = await this.#query<{ id: number }>(
      `INSERT INTO invitations (digest, organization_id, project_id, role, username, invited_by_user_id, created_at, expires_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
      [digestOf(token), organizationId, projectId, role, username, invitedByUserId, createdAt, expiresAt],
    );
    if (row === undefined) throw new Error('An invitation was stored without an id.');
    return row.id;
  }

  /** The invitation of a token that can be accepted at this time, in a scope that was not deleted. */
  async find(token: string, now: Date): Promise<Invitation | undefined> {
    return this.#open(token, now, '');
  }

  /** The same, kept from being accepted or revoked by others. */
  async lock(token: string, now: Date): Promise<Invitation | undefined> {
    return this.#open(token, now, 'FOR UPDATE');
  }

  /** False where nothing was left to revoke. */
  async revoke({ organizationId, projectId }: Scope, id: number, now: Date): Promise<Invitation | undefined> {
    const [rows] = await this.transactions.tx.query<[Invitation[], number]>(
      `UPDATE invitations SET revoked_at = $4 WHERE ${IS_OPEN_INVITATION} AND invitations.id = $3 RETURNING ${INVITATION_COLUMNS}`,
      [organizationId, projectId, id, now],
    );
    return rows[0];
  }

  async accept(id: number, now: Date): Promise<void> {
    await this.#query('UPDATE invitations SET accepted_at = $2 WHERE id = $1', [id, now]);
  }

  /** What the inviter may do now; undefined when they were disabled or deleted. */
  async lockInviter(userId: number): Promise<HeldPermissions | undefined> {
    const [inviter] = await this.#query<InviterRow>(LOCK_INVITER, [userId]);
    if (inviter === undefined) return undefined;
    const { permissions } = inviter;
    if (inviter.kind === 'service') {
      const { organizationId, projectId } = inviter;
      return { permissions: [], scoped: [{ organizationId, projectId, permissions }] };
    }
    const scoped = await this.#query<HeldPermissions['scoped'][number]>(
      `SELECT memberships.organization_id AS "organizationId", memberships.project_id AS "projectId", membership_roles.permissions
       FROM memberships JOIN membership_roles ON membership_roles.name = memberships.role WHERE memberships.user_id = $1`,
      [userId],
    );
    return { permissions, scoped };
  }

  /** Takes a user who was just created out of the default organization, which every new person is put into. */
  async leaveDefault(userId: number): Promise<void> {
    await this.#query('DELETE FROM memberships WHERE user_id = $1', [userId]);
  }

  async #open(token: string, now: Date, lock: string): Promise<Invitation | undefined> {
    const [row] = await this.#query<Invitation>(
      `SELECT ${INVITATION_COLUMNS} FROM invitations WHERE digest = $1 AND ${IS_UNUSED} AND expires_at > $2 ${lock}`,
      [digestOf(token), now],
    );
    return row;
  }

  #query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return this.transactions.tx.query<Row[]>(text, values);
  }
}

/** The token is 256 random bits: a plain hash is as good as a keyed one. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
