import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { OwnedThing, Scope } from '../auth/scope.policy.js';
import { runPrepared } from '../database/prepared-statement.js';
import {
  type ApiKeyCore,
  type ApiKeyRecord,
  columnValues,
  type OwnerKind,
  POLICY_COLUMNS,
} from './api-key.js';
import {
  type ApiKeyCoreRow,
  type ApiKeyRow,
  SELECT_API_KEY,
  SELECT_API_KEY_CORE,
  toApiKeyCore,
  toApiKeyRecord,
} from './api-key-rows.js';
import type { SecretDigest } from './secret-digests.service.js';

/** A key before it is stored; its owner says of which kind it is. */
export type NewApiKey = Omit<ApiKeyCore, 'id' | 'version' | 'ownerKind' | 'inactiveReason'>;

/** What the database says of a new key. */
export interface StoredApiKey {
  readonly id: number;
  readonly ownerKind: OwnerKind;
}

/** A key that was deleted, for its audit row. */
export interface EndedApiKey {
  readonly id: number;
  readonly name: string;
}

// The lock waits for a deletion of the owner that is in progress: it would not delete this key with the others.
const INSERT = {
  name: 'insert_api_key',
  text: `
    WITH new_key AS (
      INSERT INTO api_keys (user_id, key_prefix, created_at, updated_at, parent_key_id, organization_id, project_id, owner_kind,
        service_account_id, ${POLICY_COLUMNS.join(', ')})
      SELECT $3, $4, $5, $6, $7, $8, $9, users.kind, CASE WHEN users.kind = 'service' THEN users.id END,
        ${POLICY_COLUMNS.map((_column, index) => `$${index + 10}`).join(', ')}
      FROM users WHERE users.id = $3 AND users.is_active AND users.deleted_at IS NULL
      FOR KEY SHARE OF users
      RETURNING id, created_at, owner_kind
    )
    INSERT INTO api_key_secrets (digest, pepper_version, api_key_id, created_at, key_prefix)
    SELECT $1, $2, id, created_at, $4 FROM new_key
    RETURNING api_key_id AS id, (SELECT owner_kind FROM new_key) AS "ownerKind"`,
};
const SAVE = {
  name: 'save_api_key',
  text: `
    UPDATE api_keys SET key_prefix = $2, version = $3, updated_at = $4, inactive_reason = $5,
      ${POLICY_COLUMNS.map((column, index) => `${column} = $${index + 6}`).join(', ')}
    WHERE id = $1`,
};
const READ = { name: 'read_api_key', text: `${SELECT_API_KEY} WHERE keys.id = $1` };
// No change decides by counters. Not FOR UPDATE: that would block inserts of rows that refer to this one.
const LOCK = {
  name: 'lock_api_key',
  text: `${SELECT_API_KEY_CORE} WHERE keys.id = $1 AND keys.deleted_at IS NULL FOR NO KEY UPDATE OF keys`,
};

/**
 * The end of a statement that deletes the keys of its part `chosen`, which locks them; `$2` is the time. Secrets are deleted
 * by two conditions because each has an index.
 */
export const END_CHOSEN = `current_secrets AS (
      DELETE FROM api_key_secrets WHERE api_key_id = ANY (ARRAY(SELECT id FROM chosen)) AND retires_at IS NULL
    ), retiring_secrets AS (
      DELETE FROM api_key_secrets WHERE api_key_id = ANY (ARRAY(SELECT id FROM chosen)) AND retires_at IS NOT NULL
    ), ended AS (
      UPDATE api_keys SET is_active = false, deleted_at = $2, updated_at = $2
      WHERE id = ANY (ARRAY(SELECT id FROM chosen))
      RETURNING id, name
    )
    SELECT id, name FROM ended ORDER BY id`;

/** Deletes some keys of a user. They are locked in the order of their ids, as everywhere, so that there is no deadlock. */
export const END_API_KEYS_OF_USER = {
  name: 'end_api_keys_of_user',
  text: `
    WITH chosen AS MATERIALIZED (
      SELECT id FROM api_keys WHERE user_id = $1 AND deleted_at IS NULL AND id > $4
      ORDER BY user_id, id LIMIT $3 FOR NO KEY UPDATE
    ), ${END_CHOSEN}`,
};

/** Deactivates some personal keys of a user in a scope, in the order of their ids. */
const DEACTIVATE_API_KEYS_OF_MEMBER = {
  name: 'deactivate_api_keys_of_member',
  text: `
    WITH chosen AS MATERIALIZED (
      SELECT id FROM api_keys
      WHERE user_id = $1 AND owner_kind = 'person' AND organization_id = $2 AND ($3::bigint IS NULL OR project_id = $3)
        AND deleted_at IS NULL AND is_active
      ORDER BY user_id, id LIMIT $5 FOR NO KEY UPDATE
    ), ended AS (
      UPDATE api_keys SET is_active = false, inactive_reason = 'owner_left', updated_at = $4,
        version = CASE WHEN version < 2147483647 THEN version + 1 ELSE 1 END
      WHERE id = ANY (ARRAY(SELECT id FROM chosen))
      RETURNING id, name
    )
    SELECT id, name FROM ended ORDER BY id`,
};

/**
 * Gives a key and all that came from it, deleted ones too, to an owner: in one statement, since the foreign keys hold a line in one
 * project.
 */
const TRANSFER = {
  name: 'transfer_api_key',
  text: `
    WITH RECURSIVE line AS (
      SELECT id FROM api_keys WHERE id = $1
      UNION ALL
      SELECT children.id FROM line JOIN api_keys AS children ON children.parent_key_id = line.id
    ), chosen AS MATERIALIZED (
      SELECT id FROM api_keys WHERE id IN (SELECT id FROM line) ORDER BY id FOR UPDATE
    )
    UPDATE api_keys SET user_id = owners.id, owner_kind = owners.kind,
      service_account_id = CASE WHEN owners.kind = 'service' THEN owners.id END,
      organization_id = $3, project_id = $4, updated_at = $5,
      version = CASE WHEN version < 2147483647 THEN version + 1 ELSE 1 END
    FROM users AS owners WHERE owners.id = $2 AND api_keys.id = ANY (ARRAY(SELECT id FROM chosen))`,
};

/** Rows of keys as changes read and write them. Every method is part of the caller's transaction. */
@Injectable()
export class ApiKeysStore {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /** Stores a key with its first secret; undefined when its owner was disabled or deleted meanwhile. */
  async insert(
    apiKey: NewApiKey,
    { digest, pepperVersion }: SecretDigest,
  ): Promise<StoredApiKey | undefined> {
    const { userId, keyPrefix, createdAt, updatedAt, parentKeyId, organizationId, projectId } = apiKey;
    const place = [organizationId, projectId];
    const own = [digest, pepperVersion, userId, keyPrefix, createdAt, updatedAt, parentKeyId, ...place];
    const values = [...own, ...columnValues(apiKey)];
    const [row] = await runPrepared<StoredApiKey>(this.#manager, INSERT, values);
    return row;
  }

  /** The key, kept from other changes until the transaction ends; undefined when there is none or it was deleted. */
  async lock(apiKeyId: number): Promise<ApiKeyCore | undefined> {
    const [row] = await runPrepared<ApiKeyCoreRow>(this.#manager, LOCK, [apiKeyId]);
    return row && toApiKeyCore(row);
  }

  /** The key as it stands in this transaction; a deleted one included, as the repeat of a create may find it. */
  async read(apiKeyId: number): Promise<ApiKeyRecord | undefined> {
    const [row] = await runPrepared<ApiKeyRow>(this.#manager, READ, [apiKeyId]);
    return row && toApiKeyRecord(row);
  }

  /** Writes all that can change of a key that was locked. */
  async save(apiKey: ApiKeyCore): Promise<void> {
    const { id, keyPrefix, version, updatedAt, isActive } = apiKey;
    const inactiveReason = isActive ? null : apiKey.inactiveReason;
    const own = [id, keyPrefix, version, updatedAt, inactiveReason];
    await runPrepared(this.#manager, SAVE, [...own, ...columnValues(apiKey)]);
  }

  /** Gives a locked key, with all that came from it, to an owner in a project. */
  async transfer(
    apiKeyId: number,
    { userId, organizationId, projectId }: OwnedThing,
    now: Date,
  ): Promise<void> {
    await runPrepared(this.#manager, TRANSFER, [apiKeyId, userId, organizationId, projectId, now]);
  }

  /** Deletes the next live keys of a user after an id, up to a limit, in the order of their ids; fewer means that none are left. */
  async endSomeOf(userId: number, endedAt: Date, afterId: number, most: number): Promise<EndedApiKey[]> {
    return runPrepared(this.#manager, END_API_KEYS_OF_USER, [userId, endedAt, most, afterId]);
  }

  /** Deactivates the first active personal keys of a user in a scope, up to a limit; fewer means that none are left. */
  async deactivateSomeOf(
    userId: number,
    { organizationId, projectId }: Scope,
    now: Date,
    most: number,
  ): Promise<EndedApiKey[]> {
    const values = [userId, organizationId, projectId, now, most];
    return runPrepared(this.#manager, DEACTIVATE_API_KEYS_OF_MEMBER, values);
  }

  get #manager() {
    return this.transactions.tx;
  }
}
