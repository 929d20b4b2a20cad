import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { isUuid } from '../common/uuid.js';
import type { Pool } from 'pg';
import { AuthorityPool, ControlPool } from '../database/pools.js';
import type { Principal, ScopedPermissions } from './principal.js';

interface PrincipalRow {
  readonly id: number;
  readonly username: string;
  readonly role: string;
  readonly permissions: string[];
  readonly scoped: ScopedPermissions[];
  readonly expires_at: Date;
}

/** The memberships of a user as JSON, in an order of their own: two readings of the same are equal. */
const scopedPermissionsOf = (user: string) => `(
      SELECT coalesce(json_agg(json_build_object('organizationId', memberships.organization_id,
        'projectId', memberships.project_id, 'permissions', membership_roles.permissions)
        ORDER BY memberships.organization_id, memberships.project_id NULLS FIRST), '[]')
      FROM memberships JOIN membership_roles ON membership_roles.name = memberships.role
      WHERE memberships.user_id = ${user}
    )`;

const FIND_PRINCIPAL = {
  name: 'find_session_principal',
  text: `
    SELECT users.id, users.username, users.role, roles.permissions || users.permissions AS permissions, sessions.expires_at,
      ${scopedPermissionsOf('users.id')} AS scoped
    FROM sessions
    JOIN users ON users.id = sessions.user_id
    JOIN roles ON roles.name = users.role
    WHERE sessions.id = $1 AND sessions.user_id = $2 AND sessions.ended_at IS NULL AND sessions.expires_at > $3
      AND users.is_active AND users.deleted_at IS NULL`,
};

/** Reads the principal of a session from the database, so that an ended session or a removed permission counts at once. */
@Injectable()
export class SessionPrincipals {
  constructor(
    private readonly pool: ControlPool,
    private readonly authority: AuthorityPool,
    private readonly clock: Clock,
  ) {}

  find(sessionId: string, userId: string): Promise<Principal | undefined> {
    return this.#find(sessionId, userId, this.pool);
  }

  /** The same, while a change holds a connection of the control plane. */
  findDuringChange(sessionId: string, userId: string): Promise<Principal | undefined> {
    return this.#find(sessionId, userId, this.authority);
  }

  async #find(sessionId: string, userId: string, pool: Pool): Promise<Principal | undefined> {
    if (!isUuid(sessionId) || !/^\d{1,15}$/.test(userId)) return undefined;
    const { rows } = await pool.query<PrincipalRow>({
      ...FIND_PRINCIPAL,
      values: [sessionId, userId, this.clock.now()],
    });
    const [row] = rows;
    if (row === undefined) return undefined;
    const { username, role, permissions, scoped } = row;
    const credential = { kind: 'session', sessionId, expiresAtMs: row.expires_at.getTime() } as const;
    return { userId: row.id, username, role, permissions, scoped, credential };
  }
}
