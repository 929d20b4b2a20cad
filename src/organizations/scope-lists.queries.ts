import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { type ProjectScope, type Scope, scopesOf } from '../auth/scope.policy.js';
import { decodeCursor, encodeCursor } from '../contract/cursor.js';
import type { PageRequest } from '../contract/paging.js';
import { ReportQueries } from '../database/report.queries.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { type Member, MEMBER_COLUMNS } from './member-rows.queries.js';
import { type Invitation, INVITATION_COLUMNS, IS_OPEN_INVITATION } from './invitation-rows.queries.js';
import type { Organization, Project } from './organization.entity.js';
import type { ServiceAccount } from './service-account.js';
import { IS_SERVICE_ACCOUNT_OF_PROJECT, SERVICE_ACCOUNT_COLUMNS } from './service-account-rows.queries.js';

/** A page of a list. */
export interface Page<Row> {
  readonly rows: Row[];
  readonly total: number;
  /** Leads to the rows that follow; null when there are none. */
  readonly nextCursor: string | null;
}

/** What a list is read from; `values` are the parameters of `condition`. */
interface List {
  readonly name: string;
  readonly columns: string;
  readonly from: string;
  /** By which it is sorted, and the name of that in a row. */
  readonly id: string;
  readonly condition: string;
  readonly values: readonly unknown[];
}

const SCOPE_COLUMNS = (
  table: string,
) => `${table}.id, ${table}.slug, ${table}.name, ${table}.external_id AS "externalId",
  ${table}.is_active AS "isActive", ${table}.version, ${table}.created_at AS "createdAt", ${table}.updated_at AS "updatedAt"`;

/** Lists of organizations, projects, and what is in them: what the caller may read of them. They are counted whole, so these are reports. */
@Injectable()
export class ScopeLists {
  constructor(
    private readonly reports: ReportQueries,
    private readonly events: EventPublisher,
  ) {}

  /** Those that the caller may read. */
  async organizations(
    principal: Principal,
    externalId: string | undefined,
    asked: PageRequest,
  ): Promise<Page<Organization>> {
    const scopes = scopesOf(principal, 'platform:organizations:read');
    const page = await this.#page<Organization>(principal, asked, {
      name: 'organizations',
      columns: SCOPE_COLUMNS('organizations'),
      from: 'organizations',
      id: 'organizations.id',
      condition: `organizations.deleted_at IS NULL AND ($1::bigint[] IS NULL OR organizations.id = ANY ($1))
        AND ($2::text IS NULL OR organizations.external_id = $2)`,
      values: [idsOf(scopes, 'organizationId'), externalId ?? null],
    });
    await this.events.observe('organization.listed', shownPart(asked));
    return page;
  }

  /** Those that the caller may read: of one organization, or of all. */
  async projects(
    principal: Principal,
    {
      organizationId,
      externalId,
    }: { readonly organizationId?: number; readonly externalId?: string | undefined },
    asked: PageRequest,
  ): Promise<Page<Project>> {
    const scopes = scopesOf(principal, 'platform:projects:read');
    const page = await this.#page<Project>(principal, asked, {
      name: 'projects',
      columns: `${SCOPE_COLUMNS('projects')}, projects.organization_id AS "organizationId"`,
      from: 'projects JOIN organizations ON organizations.id = projects.organization_id',
      id: 'projects.id',
      condition: `projects.deleted_at IS NULL AND organizations.deleted_at IS NULL
        AND ($1::bigint IS NULL OR projects.organization_id = $1)
        AND ($2::text IS NULL OR projects.external_id = $2)
        AND ($3::bigint[] IS NULL OR projects.organization_id = ANY ($3) OR projects.id = ANY ($4))`,
      values: [
        organizationId ?? null,
        externalId ?? null,
        idsOf(
          scopes?.filter(({ projectId }) => projectId === null),
          'organizationId',
        ),
        idsOf(scopes, 'projectId'),
      ],
    });
    await this.events.observe('project.listed', {
      organizationId: organizationId ?? null,
      ...shownPart(asked),
    });
    return page;
  }

  /** Of an organization those of all of it; of a project its own. */
  async members(principal: Principal, scope: Scope, asked: PageRequest): Promise<Page<Member>> {
    const page = await this.#page<Member & { readonly id: number }>(principal, asked, {
      name: 'members',
      columns: `memberships.user_id AS id, ${MEMBER_COLUMNS}`,
      from: 'memberships JOIN users ON users.id = memberships.user_id',
      id: 'memberships.user_id',
      condition: 'memberships.organization_id = $1 AND memberships.project_id IS NOT DISTINCT FROM $2',
      values: [scope.organizationId, scope.projectId],
    });
    await this.events.observe('member.listed', { ...scope, ...shownPart(asked) });
    return page;
  }

  async serviceAccounts(
    principal: Principal,
    { organizationId, projectId }: ProjectScope,
    asked: PageRequest,
  ): Promise<Page<ServiceAccount>> {
    const page = await this.#page<ServiceAccount>(principal, asked, {
      name: 'service_accounts',
      columns: SERVICE_ACCOUNT_COLUMNS,
      from: 'users',
      id: 'users.id',
      condition: IS_SERVICE_ACCOUNT_OF_PROJECT,
      values: [projectId],
    });
    await this.events.observe('service_account.listed', { organizationId, projectId, ...shownPart(asked) });
    return page;
  }

  /** Those that were neither accepted nor revoked: of an organization those to all of it, of a project its own. */
  async invitations(principal: Principal, scope: Scope, asked: PageRequest): Promise<Page<Invitation>> {
    const page = await this.#page<Invitation>(principal, asked, {
      name: 'invitations',
      columns: INVITATION_COLUMNS,
      from: 'invitations',
      id: 'invitations.id',
      condition: IS_OPEN_INVITATION,
      values: [scope.organizationId, scope.projectId],
    });
    await this.events.observe('invitation.listed', { ...scope, ...shownPart(asked) });
    return page;
  }

  async #page<Row extends { readonly id: number }>(
    { userId }: Principal,
    { page, size, cursor }: PageRequest,
    { name, columns, from, id, condition, values }: List,
  ): Promise<Page<Row>> {
    const list = [name, ...values];
    const after = cursor === undefined ? undefined : decodeCursor(list, cursor);
    const own = (place: number) => `$${values.length + place}`;
    // One row more than is shown: it says whether others follow.
    const found = await this.reports.query<Row>(userId, {
      text: `SELECT ${columns} FROM ${from} WHERE ${condition} AND ${id} > ${own(1)}
        ORDER BY ${id} LIMIT ${own(2)} OFFSET ${own(3)}`,
      values: [...values, after?.id ?? 0, size + 1, after === undefined ? (page - 1) * size : 0],
    });
    const total = after?.total ?? (await this.#count(userId, from, condition, values));
    const rows = found.slice(0, size);
    const last = found.length > size ? rows.at(-1) : undefined;
    return {
      rows,
      total,
      nextCursor: last ? encodeCursor(list, { id: last.id, value: null, total, isTotalExact: true }) : null,
    };
  }

  async #count(
    callerId: number,
    from: string,
    condition: string,
    values: readonly unknown[],
  ): Promise<number> {
    const text = `SELECT count(*) AS total FROM ${from} WHERE ${condition}`;
    const [row] = await this.reports.query<{ total: number }>(callerId, { text, values: [...values] });
    return row?.total ?? 0;
  }
}

function idsOf(scopes: readonly Scope[] | undefined, name: keyof Scope): number[] | null {
  return scopes === undefined ? null : scopes.flatMap((scope) => scope[name] ?? []);
}

function shownPart({ page, size, cursor }: PageRequest) {
  return { ...(cursor === undefined ? { page } : { cursor }), size };
}
