import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull, MoreThan } from 'typeorm';
import { EventPublisher } from '../events/event-publisher.js';
import { decodeCursor, encodeCursor } from '../http/cursor.js';
import type { PageRequest } from '../http/paging.js';
import { User } from './user.entity.js';

/** A page of users. */
export interface UserPage {
  readonly users: User[];
  readonly total: number;
  /** Leads to the users that follow; null when there are none. */
  readonly nextCursor: string | null;
}

const LIST = ['users'];

/** Lists of users. */
@Injectable()
export class UsersReader {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly events: EventPublisher,
  ) {}

  /** Newest last, as people look for names in the order they came. @throws AppError `validation.failed` */
  async list({ page, size, cursor }: PageRequest): Promise<UserPage> {
    const after = cursor === undefined ? undefined : decodeCursor(LIST, cursor);
    // One user more than is shown: it says whether others follow.
    const found = await this.transactions.tx.find(User, {
      where: { deletedAt: IsNull(), ...(after === undefined ? {} : { id: MoreThan(after.id) }) },
      order: { id: 'ASC' },
      skip: after === undefined ? (page - 1) * size : 0,
      take: size + 1,
    });
    const total = after?.total ?? (await this.transactions.tx.countBy(User, { deletedAt: IsNull() }));
    const users = found.slice(0, size);
    const last = found.length > size ? users.at(-1) : undefined;
    await this.events.observe('user.listed', { ...(cursor === undefined ? { page } : { cursor }), size });
    return {
      users,
      total,
      nextCursor: last ? encodeCursor(LIST, { id: last.id, value: null, total, isTotalExact: true }) : null,
    };
  }
}
