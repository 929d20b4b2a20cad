import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { ProjectScope } from '../auth/scope.policy.js';
import type { ServiceAccount, ServiceAccountUpdate } from './service-account.js';

/** The columns of a service account; table `users`. */
export const SERVICE_ACCOUNT_COLUMNS = `users.id, substr(users.username, strpos(users.username, ':') + 1) AS name,
  users.permissions, users.is_active AS "isActive", users.organization_id AS "organizationId", users.project_id AS "projectId",
  users.created_at AS "createdAt", users.updated_at AS "updatedAt"`;

/** What is true of the service accounts of a project, `$1`. */
export const IS_SERVICE_ACCOUNT_OF_PROJECT = `users.kind = 'service' AND users.project_id = $1 AND users.deleted_at IS NULL`;

const SELECT = `SELECT ${SERVICE_ACCOUNT_COLUMNS} FROM users WHERE ${IS_SERVICE_ACCOUNT_OF_PROJECT} AND users.id = $2`;

/** Rows of service accounts as changes read and write them. Every method is part of the caller's transaction. */
@Injectable()
export class ServiceAccountRows {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  async find(projectId: number, id: number): Promise<ServiceAccount | undefined> {
    const [row] = await this.#query<ServiceAccount>(SELECT, [projectId, id]);
    return row;
  }

  /** Kept from other changes until the transaction ends, and from being given a key. */
  async lock(projectId: number, id: number): Promise<ServiceAccount | undefined> {
    const [row] = await this.#query<ServiceAccount>(`${SELECT} FOR UPDATE`, [projectId, id]);
    return row;
  }

  /**
   * The id of the new account; undefined when its name is taken. The name of the user holds a colon, as no person's does, and no
   * password matches an empty hash.
   */
  async insert(
    { organizationId, projectId }: ProjectScope,
    name: string,
    permissions: readonly string[],
    now: Date,
  ): Promise<number | undefined> {
    const [row] = await this.#query<{ id: number }>(
      `INSERT INTO users (kind, organization_id, project_id, username, password_hash, role, permissions, created_at, updated_at)
       VALUES ('service', $1, $2, $3, '', 'user', $4, $5, $5)
       ON CONFLICT (username) WHERE deleted_at IS NULL DO NOTHING RETURNING id`,
      [organizationId, projectId, usernameOf(projectId, name), permissions, now],
    );
    return row?.id;
  }

  /** False when the name is taken. Service accounts of a project change one after the other: see `lockScope`. */
  async save(
    { id, projectId }: ServiceAccount,
    update: Required<ServiceAccountUpdate>,
    now: Date,
  ): Promise<boolean> {
    const rows = await this.#query<unknown>(
      `UPDATE users SET username = $2, permissions = $3, is_active = $4, updated_at = $5
       WHERE id = $1 AND NOT EXISTS (
         SELECT FROM users AS others WHERE others.username = $2 AND others.deleted_at IS NULL AND others.id <> $1)
       RETURNING id`,
      [id, usernameOf(projectId, update.name), update.permissions, update.isActive, now],
    );
    // TypeORM answers an UPDATE with its rows and their number.
    return (rows[0] as unknown[]).length > 0;
  }

  async end(id: number, now: Date): Promise<void> {
    await this.#query('UPDATE users SET is_active = false, deleted_at = $2, updated_at = $2 WHERE id = $1', [
      id,
      now,
    ]);
  }

  #query<Row>(text: string, values: unknown[]): Promise<Row[]> {
    return this.transactions.tx.query<Row[]>(text, values);
  }
}

function usernameOf(projectId: number, name: string): string {
  return `${projectId}:${name}`;
}
