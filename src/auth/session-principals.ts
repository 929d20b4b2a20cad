import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { ControlPool } from '../database/pools.js';
import type { Principal } from './principal.js';

interface PrincipalRow {
  readonly id: number;
  readonly username: string;
  readonly role: string;
  readonly permissions: string[];
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const FIND_PRINCIPAL = {
  name: 'find_session_principal',
  text: `
    SELECT users.id, users.username, users.role, roles.permissions || users.permissions AS permissions
    FROM sessions
    JOIN users ON users.id = sessions.user_id
    JOIN roles ON roles.name = users.role
    WHERE sessions.id = $1 AND sessions.user_id = $2 AND sessions.ended_at IS NULL AND sessions.expires_at > $3
      AND users.is_active AND users.deleted_at IS NULL`,
};

/** Reads the principal of a session afresh, so that an ended session or a removed permission counts at once. */
@Injectable()
export class SessionPrincipals {
  constructor(
    private readonly pool: ControlPool,
    private readonly clock: Clock,
  ) {}

  async find(sessionId: string, userId: string): Promise<Principal | undefined> {
    if (!UUID.test(sessionId) || !/^\d{1,15}$/.test(userId)) return undefined;
    const { rows } = await this.pool.query<PrincipalRow>({
      ...FIND_PRINCIPAL,
      values: [sessionId, userId, this.clock.now()],
    });
    const [row] = rows;
    if (row === undefined) return undefined;
    const { username, role, permissions } = row;
    return { userId: row.id, username, role, permissions, credential: { kind: 'session', sessionId } };
  }
}
