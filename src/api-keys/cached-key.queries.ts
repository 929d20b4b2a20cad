import { Injectable } from '@nestjs/common';
import { GroupCommit } from '../common/group-commit.js';
import { DataPlanePool } from '../database/pools.js';
import { cachedColumns } from './api-key.fields.js';
import { IS_SCOPE_ACTIVE } from './api-key-rows.js';
import { ENFORCED_RULES, RULED_OF_KEY_ALONE } from './enforced-rules.js';
import { SecretDigests } from './secret-digests.service.js';
import { type CachedKey, type CachedKeyRow, toCachedKey } from './cached-key.js';

const POLICY_OF_KEY = [...cachedColumns('line'), ...cachedColumns('key')].map((column) => `keys.${column}`);

const LOAD_CACHED_KEYS = {
  name: 'load_cached_keys',
  text: `
    SELECT secrets.digest, secrets.retires_at, keys.id, keys.version, keys.deleted_at, keys.user_id, users.username, users.role,
      roles.permissions || users.permissions AS permissions, keys.organization_id, keys.project_id, users.kind AS owner_kind,
      (
        SELECT coalesce(array_agg(permission), '{}') FROM memberships
        JOIN membership_roles ON membership_roles.name = memberships.role, unnest(membership_roles.permissions) AS permission
        WHERE memberships.user_id = keys.user_id AND memberships.organization_id = keys.organization_id
          AND (memberships.project_id IS NULL OR memberships.project_id = keys.project_id)
      ) AS scoped_permissions,
      users.is_active AND users.deleted_at IS NULL AS is_owner_active, ${IS_SCOPE_ACTIVE} AS is_scope_active, keys.created_at, ${POLICY_OF_KEY.join(', ')},
      ${RULED_OF_KEY_ALONE}, ${ENFORCED_RULES} AS enforced_rules,
      CASE WHEN secrets.retires_at IS NULL THEN secrets.created_at ELSE (
        SELECT created_at FROM api_key_secrets AS current WHERE current.api_key_id = keys.id AND current.retires_at IS NULL
      ) END AS secret_created_at,
      CASE WHEN keys.parent_key_id IS NOT NULL THEN api_key_ancestors(keys.id) END AS ancestors,
      accounts.id IS NOT NULL AS has_budget
    FROM api_key_secrets AS secrets
    JOIN api_keys AS keys ON keys.id = secrets.api_key_id
    JOIN users ON users.id = keys.user_id
    JOIN roles ON roles.name = users.role
    JOIN projects ON projects.id = keys.project_id
    JOIN organizations ON organizations.id = keys.organization_id
    LEFT JOIN budget_accounts AS accounts ON accounts.api_key_id = keys.id
      AND (accounts.limit_micro_cents IS NOT NULL OR accounts.parent_id IS NOT NULL)
    WHERE secrets.digest = ANY($1::bytea[]) AND keys.deleted_at IS NULL`,
};

/** Loads at once at most this many; the others of a flood wait, beyond that they are refused. */
const MAX_IN_STATEMENT = 500;
const MAX_WAITING = 4_000;

/**
 * Loads cached keys by the digests of their secrets. Everyone who asks while a statement runs shares the next one, so a
 * flood of unknown keys takes one connection and no more.
 */
@Injectable()
export class CachedKeyLoader {
  readonly #loads: GroupCommit<readonly Buffer[], CachedKey | undefined>;

  constructor(
    private readonly pool: DataPlanePool,
    private readonly digests: SecretDigests,
  ) {
    this.#loads = new GroupCommit({
      commit: (items) => this.#load(items),
      maxGroupSize: MAX_IN_STATEMENT,
      maxWaiting: MAX_WAITING,
      isRetried: false,
    });
  }

  /** Undefined when no live key has this secret. */
  load(secret: string): Promise<CachedKey | undefined> {
    return this.#loads.submit(this.digests.candidates(secret));
  }

  async #load(items: readonly (readonly Buffer[])[]): Promise<(CachedKey | undefined)[]> {
    const { rows } = await this.pool.query<CachedKeyRow>({ ...LOAD_CACHED_KEYS, values: [items.flat()] });
    const found = new Map(rows.map((row) => [row.digest.toString('latin1'), row]));
    return items.map((digests) => {
      const row = digests
        .map((digest) => found.get(digest.toString('latin1')))
        .find((match) => match !== undefined);
      return row === undefined ? undefined : toCachedKey(row);
    });
  }
}
