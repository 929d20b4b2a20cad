import { Injectable } from '@nestjs/common';
import { platformScopes } from '../auth/access.policy.js';
import { intersection } from '../auth/permission.policy.js';
import { GroupCommit } from '../common/group-commit.js';
import { DataPlanePool } from '../database/pools.js';
import { addressMatcher, nameMatcher } from './matchers.js';
import { SecretDigests } from './secret-digests.service.js';
import { withinAncestors } from './line-restrictions.policy.js';
import type { KeyRestrictions, CachedKey } from './cached-key.js';

/** What restricts a key, from a row or from JSON. */
interface RestrictionColumns {
  readonly id: number;
  readonly version: number;
  readonly is_active: boolean;
  readonly expires_at: Date | string | null;
  readonly scopes: string[];
  readonly allowed_ips: string[];
  readonly allowed_models: string[];
  readonly allowed_chatbots: string[];
  readonly rate_limit_per_minute: number | null;
  readonly rate_limit_per_hour: number | null;
  readonly rate_limit_per_day: number | null;
}

interface CachedKeyRow extends RestrictionColumns {
  readonly digest: Buffer;
  readonly retires_at: Date | null;
  readonly name: string;
  readonly user_id: number;
  readonly username: string;
  readonly role: string;
  readonly permissions: string[];
  readonly is_owner_active: boolean;
  readonly created_at: Date;
  readonly tags: string[];
  readonly ancestors: readonly RestrictionColumns[] | null;
  readonly has_budget: boolean;
}

const LOAD_CACHED_KEYS = {
  name: 'load_cached_keys',
  text: `
    SELECT secrets.digest, secrets.retires_at, keys.id, keys.version, keys.name, keys.user_id, users.username, users.role,
      roles.permissions || users.permissions AS permissions,
      users.is_active AND users.deleted_at IS NULL AS is_owner_active, keys.is_active, keys.expires_at, keys.created_at,
      keys.scopes, keys.tags, keys.allowed_ips, keys.allowed_models, keys.allowed_chatbots,
      keys.rate_limit_per_minute, keys.rate_limit_per_hour, keys.rate_limit_per_day,
      CASE WHEN keys.parent_key_id IS NOT NULL THEN api_key_ancestors(keys.id) END AS ancestors,
      accounts.id IS NOT NULL AS has_budget
    FROM api_key_secrets AS secrets
    JOIN api_keys AS keys ON keys.id = secrets.api_key_id
    JOIN users ON users.id = keys.user_id
    JOIN roles ON roles.name = users.role
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

/**
 * Every cached key is written out as one literal, in one order: with a spread each would get a hidden class of its own in
 * V8, and verdicts would take a fifth longer.
 */
function toCachedKey(row: CachedKeyRow): CachedKey {
  const own = toRestrictions(row);
  const ancestors = row.ancestors?.map(toRestrictions);
  const effective = ancestors === undefined ? own : withinAncestors(own, ancestors);
  const scopes = [own, ...(ancestors ?? [])].map((key) => platformScopes(key.scopes));
  return {
    apiKeyId: effective.apiKeyId,
    version: effective.version,
    isActive: effective.isActive,
    expiresAtMs: effective.expiresAtMs,
    scopes: effective.scopes,
    addresses: effective.addresses,
    models: effective.models,
    chatbots: effective.chatbots,
    rateLimits: effective.rateLimits,
    name: row.name,
    userId: row.user_id,
    username: row.username,
    role: row.role,
    isOwnerActive: row.is_owner_active,
    retiresAtMs: row.retires_at?.getTime() ?? Number.POSITIVE_INFINITY,
    secretDigest: row.digest.toString('latin1'),
    createdAtMs: row.created_at.getTime(),
    tags: row.tags,
    permissions: scopes.reduce(intersection, row.permissions),
    line: ancestors === undefined ? undefined : [own, ...ancestors],
    hasBudget: row.has_budget,
  };
}

function toRestrictions(row: RestrictionColumns): KeyRestrictions {
  return {
    apiKeyId: row.id,
    version: row.version,
    isActive: row.is_active,
    expiresAtMs: row.expires_at === null ? Number.POSITIVE_INFINITY : new Date(row.expires_at).getTime(),
    scopes: row.scopes,
    addresses: addressMatcher(row.allowed_ips),
    models: nameMatcher(row.allowed_models),
    chatbots: nameMatcher(row.allowed_chatbots),
    rateLimits: {
      perMinute: row.rate_limit_per_minute,
      perHour: row.rate_limit_per_hour,
      perDay: row.rate_limit_per_day,
    },
  };
}
