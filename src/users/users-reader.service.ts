import { Injectable } from '@nestjs/common';
import { ReportQueries } from '../database/report.queries.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { decodeCursor, encodeCursor } from '../contract/cursor.js';
import type { PageRequest } from '../contract/paging.js';
import type { User } from './user.entity.js';

/** What is shown of a user. */
export type ShownUser = Omit<User, 'passwordHash' | 'deletedAt' | 'kind' | 'organizationId' | 'projectId'>;

/** A page of users. */
export interface UserPage {
  readonly users: ShownUser[];
  readonly total: number;
  /** Leads to the users that follow; null when there are none. */
  readonly nextCursor: string | null;
}

const LIST = ['users'];
const SHOWN_COLUMNS = `id, username, role, permissions, is_active AS "isActive", created_at AS "createdAt",
  updated_at AS "updatedAt"`;

/** Lists of users; projects list their service accounts. All of them are counted, and a far page is looked for from the first on, so that these are reports. */
@Injectable()
export class UsersReader {
  constructor(
    private readonly reports: ReportQueries,
    private readonly events: EventPublisher,
  ) {}

  /** A page for the user who calls. Newest last, as people look for names in the order they came. @throws AppError `validation.failed` */
  async list(callerId: number, { page, size, cursor }: PageRequest): Promise<UserPage> {
    const after = cursor === undefined ? undefined : decodeCursor(LIST, cursor);
    // One user more than is shown: it says whether others follow.
    const found = await this.reports.query<ShownUser>(callerId, {
      name: 'list_users',
      text: `
        SELECT ${SHOWN_COLUMNS} FROM users WHERE kind = 'person' AND deleted_at IS NULL AND id > $1
        ORDER BY id LIMIT $2 OFFSET $3`,
      values: [after?.id ?? 0, size + 1, after === undefined ? (page - 1) * size : 0],
    });
    const total = after?.total ?? (await this.#count(callerId));
    const users = found.slice(0, size);
    const last = found.length > size ? users.at(-1) : undefined;
    await this.events.observe('user.listed', { ...(cursor === undefined ? { page } : { cursor }), size });
    return {
      users,
      total,
      nextCursor: last ? encodeCursor(LIST, { id: last.id, value: null, total, isTotalExact: true }) : null,
    };
  }

  async #count(callerId: number): Promise<number> {
    const [row] = await this.reports.query<{ total: number }>(callerId, {
      name: 'count_users',
      text: `SELECT count(*) AS total FROM users WHERE kind = 'person' AND deleted_at IS NULL`,
    });
    return row?.total ?? 0;
  }
}
