import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { EntityTarget, QueryDeepPartialEntity } from 'typeorm';
import type { Scope } from '../auth/scope.policy.js';
import type { AppError } from '../common/app-error.js';
import type { Organization, Project } from './organization.entity.js';

const UNIQUE_VIOLATION = '23505';

/** Rows of organizations and projects as changes write them. Every method is part of the caller's transaction. */
@Injectable()
export class ScopeRows {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /** The id of the new row; undefined when its slug or external id is taken. */
  async insert<Row extends Organization | Project>(
    entity: EntityTarget<Row>,
    values: QueryDeepPartialEntity<Row>,
  ): Promise<number | undefined> {
    const inserted = await this.transactions.tx
      .createQueryBuilder()
      .insert()
      .into(entity)
      .values(values)
      .orIgnore()
      .returning('id')
      .execute();
    return (inserted.raw as { id: number }[])[0]?.id;
  }

  /** @throws AppError `taken` when the slug or the external id is, which ends the transaction */
  async save<Row extends Organization | Project>(
    entity: EntityTarget<Row>,
    id: number,
    values: QueryDeepPartialEntity<Row>,
    taken: () => AppError,
  ): Promise<void> {
    try {
      await this.transactions.tx.update(entity, id, values);
    } catch (error) {
      throw isUniqueViolation(error) ? taken() : error;
    }
  }

  /** Takes away all memberships in a scope, and the invitations to it that are still open. */
  async endMemberships({ organizationId, projectId }: Scope): Promise<void> {
    const isInScope = 'organization_id = $1 AND ($2::bigint IS NULL OR project_id = $2)';
    const values = [organizationId, projectId];
    await this.transactions.tx.query(`DELETE FROM memberships WHERE ${isInScope}`, values);
    await this.transactions.tx.query(
      `UPDATE invitations SET revoked_at = now() WHERE ${isInScope} AND accepted_at IS NULL AND revoked_at IS NULL`,
      values,
    );
  }
}

function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION;
}
