import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { User } from './user.entity.js';

/** Rows of users as changes write them. Every method is part of the caller's transaction. */
@Injectable()
export class UserRows {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /** The id of the new person; undefined when their name is taken. */
  async insert(
    {
      permissions,
      ...values
    }: Pick<User, 'username' | 'passwordHash' | 'role'> & { readonly permissions: readonly string[] },
    now: Date,
  ): Promise<number | undefined> {
    const inserted = await this.transactions.tx
      .createQueryBuilder()
      .insert()
      .into(User)
      .values({ ...values, permissions: [...permissions], createdAt: now, updatedAt: now })
      .orIgnore()
      .returning('id')
      .execute();
    return (inserted.raw as { id: number }[])[0]?.id;
  }
}
