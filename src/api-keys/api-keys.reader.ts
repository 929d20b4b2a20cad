import { Injectable } from '@nestjs/common';
import { isOwner, requireOwnerOr, requirePermission } from '../auth/access.policy.js';
import { grants } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { AppError } from '../common/app-error.js';
import { ControlPool } from '../database/pools.js';
import { EventPublisher } from '../events/event-publisher.js';
import type { ApiKeyRecord } from './api-key.js';
import { API_KEY_COLUMNS, type ApiKeyRow, toApiKeyRecord } from './api-key-rows.js';
import { type ApiKeyFilter, ApiKeySearch, type ApiKeyPage } from './api-key.search.js';

const READ_PERMISSION = 'platform:api-keys:read';

/** Reads of API keys: each is allowed to the owner or with permission, and leaves its trace. */
@Injectable()
export class ApiKeysReader {
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
    requireOwnerOr(principal, apiKey.userId, READ_PERMISSION);
    return apiKey;
  }

  /** A page of the keys the caller may see. Without the permission to read all, that is their own. */
  async list(principal: Principal, filter: ApiKeyFilter, page: number, size: number): Promise<ApiKeyPage> {
    const userId = visibleOwner(principal, filter.userId);
    const found = await this.search.page({ ...filter, userId }, page, size);
    const { isActive = null, search = null, tag = null } = filter;
    const filters = { user_id: userId ?? null, is_active: isActive, search, tag };
    await this.events.observe('api_key.listed', { page, size, filters });
    return found;
  }

  /** @throws AppError `api_key.not_found` */
  async find(apiKeyId: number): Promise<ApiKeyRecord> {
    const { rows } = await this.pool.query<ApiKeyRow>({
      name: 'find_api_key',
      text: `
        SELECT ${API_KEY_COLUMNS}
        FROM api_keys AS keys LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id
        WHERE keys.id = $1 AND keys.deleted_at IS NULL`,
      values: [apiKeyId],
    });
    const [row] = rows;
    if (row === undefined) throw new AppError('api_key.not_found', 'API key not found');
    return toApiKeyRecord(row);
  }
}

/** Whose keys a list shows: undefined for everyone's. */
function visibleOwner(principal: Principal, askedUserId: number | undefined): number | undefined {
  if (grants(principal.permissions, READ_PERMISSION)) return askedUserId;
  const userId = askedUserId ?? principal.userId;
  if (!isOwner(principal, userId)) requirePermission(principal, READ_PERMISSION);
  return userId;
}
