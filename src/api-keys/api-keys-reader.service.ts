import { Injectable } from '@nestjs/common';
import { isOwner, requirePermission } from '../auth/access.policy.js';
import type { ApiKeyOwners } from '../auth/api-key-owners.js';
import { grants } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { type OwnedThing, requireOwnerOrIn, scopesOf } from '../auth/scope.policy.js';
import { nameOrganization } from '../context/request-context.js';
import { ControlPool } from '../database/pools.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import type { PageRequest } from '../contract/paging.js';
import type { ApiKeyRecord } from './api-key.js';
import { type ApiKeyRow, SELECT_API_KEY, toApiKeyRecord } from './api-key-rows.js';
import { type ApiKeyFilter, type ApiKeySort, NEWEST_FIRST } from './api-key-list.js';
import { type ApiKeyPage, ApiKeySearch } from './api-key-search.queries.js';
import { apiKeyNotFound, requireFound } from './replays.service.js';

/** No user has this id. */
const NOBODY = 0;
const READ_PERMISSION = 'platform:api-keys:read';

/** Reads of API keys: each is allowed to the owner or with permission, and leaves its trace. */
@Injectable()
export class ApiKeysReader implements ApiKeyOwners {
  constructor(
    private readonly pool: ControlPool,
    private readonly search: ApiKeySearch,
    private readonly events: EventPublisher,
  ) {}

  /** @throws AppError `api_key.not_found`, `permission.denied` */
  async get(principal: Principal, apiKeyId: number): Promise<ApiKeyRecord> {
    const apiKey = await this.readable(principal, apiKeyId);
    await this.events.observe('api_key.viewed', { apiKeyId });
    return apiKey;
  }

  /** The key, when the caller may read it; for rooms that show something else of it and tell of that themselves. */
  async readable(principal: Principal, apiKeyId: number): Promise<ApiKeyRecord> {
    const apiKey = await this.find(apiKeyId);
    requireOwnerOrIn(principal, apiKey, READ_PERMISSION, apiKeyNotFound);
    nameOrganization(apiKey.organizationId);
    return apiKey;
  }

  /** A page of the keys the caller may see. Without the permission to read all, that is their own. */
  async list(
    principal: Principal,
    filter: ApiKeyFilter,
    sort: ApiKeySort,
    asked: PageRequest,
  ): Promise<ApiKeyPage> {
    const { userId, visible } = this.visible(principal, filter);
    const found = await this.search.page(principal.userId, { ...filter, userId, visible }, sort, asked);
    const { isActive = null, search = null, tag = null, state, expiresBefore } = filter;
    const { organizationId, projectId, inactiveReason } = filter;
    const filters = {
      user_id: userId ?? null,
      is_active: isActive,
      search,
      tag,
      ...(organizationId === undefined ? {} : { organization_id: organizationId }),
      ...(projectId === undefined ? {} : { project_id: projectId }),
      ...(inactiveReason === undefined ? {} : { inactive_reason: inactiveReason }),
      ...(state === undefined ? {} : { state }),
      ...(expiresBefore === undefined ? {} : { expires_before: expiresBefore.toISOString() }),
    };
    const { page, size, cursor } = asked;
    const part = cursor === undefined ? { page } : { cursor };
    const order = sort === NEWEST_FIRST ? {} : { sort };
    await this.events.observe('api_key.listed', { ...part, ...order, size, filters });
    return found;
  }

  /**
   * Whose keys a list shows: all, for a caller who may read all; those of some scopes and their own, for one who may read
   * these; else their own. A filter by place shows what of that lies there: a place that is not the caller's has no keys.
   * @throws AppError `permission.denied`
   */
  visible(
    principal: Principal,
    { userId, organizationId, projectId }: Pick<ApiKeyFilter, 'userId' | 'organizationId' | 'projectId'>,
  ): Pick<ApiKeyFilter, 'userId' | 'visible'> {
    const scopes = scopesOf(principal, READ_PERMISSION);
    if (scopes === undefined) return { userId };
    const isNarrowed = organizationId !== undefined || projectId !== undefined;
    if (scopes.length === 0 && !isNarrowed) return { userId: this.visibleOwner(principal, userId) };
    if (scopes.length === 0 && userId !== undefined && !isOwner(principal, userId))
      requirePermission(principal, READ_PERMISSION);
    // A key sees its owner's things with the permission alone.
    const ownId = isOwner(principal, principal.userId) ? principal.userId : NOBODY;
    return { userId, visible: { userId: ownId, scopes } };
  }

  /**
   * Whose keys are shown to a caller who asks for those of everyone or of one user: undefined for everyone's.
   * @throws AppError `permission.denied`
   */
  visibleOwner(principal: Principal, askedUserId: number | undefined): number | undefined {
    if (grants(principal.permissions, READ_PERMISSION)) return askedUserId;
    const userId = askedUserId ?? principal.userId;
    if (!isOwner(principal, userId)) requirePermission(principal, READ_PERMISSION);
    return userId;
  }

  async ownerOf(apiKeyId: number): Promise<OwnedThing> {
    const { rows } = await this.pool.query<OwnedThing>({
      name: 'find_api_key_owner',
      text: `
        SELECT user_id AS "userId", organization_id AS "organizationId", project_id AS "projectId"
        FROM api_keys WHERE id = $1 AND deleted_at IS NULL`,
      values: [apiKeyId],
    });
    return requireFound(rows[0]);
  }

  get notFound() {
    return apiKeyNotFound;
  }

  /** @throws AppError `api_key.not_found` */
  async find(apiKeyId: number): Promise<ApiKeyRecord> {
    const { rows } = await this.pool.query<ApiKeyRow>({
      name: 'find_api_key',
      text: `${SELECT_API_KEY} WHERE keys.id = $1 AND keys.deleted_at IS NULL`,
      values: [apiKeyId],
    });
    return toApiKeyRecord(requireFound(rows[0]));
  }
}
