import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { AppError } from '../common/app-error.js';
import { Secret } from '../common/secret.js';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../jobs/maintenance.service.js';
import { runPrepared } from '../database/prepared-statement.js';
import type { ApiKeyCore, ApiKeySecretRecord } from './api-key.js';
import { SECRET_ID, type SecretRow, SECRETS_OF_KEY, toSecretRecord } from './api-key-rows.js';
import { type SecretDigest, SecretDigests, secretIdOf } from './secret-digests.service.js';
import { generateSecret, KEY_PREFIX_LENGTH } from './secret-format.js';

/** A secret that was just made, with what is kept of it: a hint in clear, and its digest. */
export interface FreshSecret extends SecretDigest {
  readonly secret: Secret;
  readonly keyPrefix: string;
}

/** How many secrets of a key may be in their grace period at once. */
const MOST_RETIRING = 5;

const INSERT = {
  name: 'insert_api_key_secret',
  text: `
    INSERT INTO api_key_secrets (digest, pepper_version, api_key_id, created_at, key_prefix)
    VALUES ($1, $2, $3, $4, $5)`,
};

const LIST = {
  name: 'list_api_key_secrets',
  text: `SELECT ${SECRETS_OF_KEY} AS secrets FROM (VALUES ($1::bigint)) AS keys (id)`,
};

/** In two statements, because each partial index (current, retiring) covers one of them and no index covers both. */
export const DELETE_SECRETS_OF_API_KEY = {
  name: 'delete_api_key_secrets',
  text: `
    WITH retiring AS (DELETE FROM api_key_secrets WHERE api_key_id = $1 AND retires_at IS NOT NULL)
    DELETE FROM api_key_secrets WHERE api_key_id = $1 AND retires_at IS NULL`,
};

/** Secrets of keys: created, rotated, deleted. Every method is part of the caller's transaction. */
@Injectable()
export class ApiKeySecrets {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly digests: SecretDigests,
    private readonly config: Config,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'expire-retired-secrets',
      purpose: 'deletes secrets whose grace period is over',
      everySeconds: 600,
      isDestructive: true,
      run: async (client) => {
        await client.query(`DELETE FROM api_key_secrets WHERE retires_at < now() - ${DELETION_SLACK}`);
      },
    });
  }

  generate(): FreshSecret {
    const plain = generateSecret(this.config.apiKeyPrefixes[0]);
    return {
      secret: new Secret(plain),
      keyPrefix: plain.slice(0, KEY_PREFIX_LENGTH),
      ...this.digests.current(plain),
    };
  }

  /** The secrets of a locked key, as they are now. */
  async of({ id, keyPrefix }: ApiKeyCore): Promise<readonly ApiKeySecretRecord[]> {
    const [row] = await runPrepared<{ secrets: SecretRow[] }>(this.#manager, LIST, [id]);
    return (row?.secrets ?? []).map((secret) => toSecretRecord(secret, keyPrefix));
  }

  /**
   * Makes a secret the current one of a locked key, in place of the one before. Without a grace period all earlier
   * secrets end now. With one, the current secret joins those that are retiring, each of which keeps its own time.
   * @throws AppError `api_key.too_many_secrets`
   */
  async rotate(apiKey: ApiKeyCore, fresh: FreshSecret, gracePeriodSeconds: number, now: Date): Promise<void> {
    if (gracePeriodSeconds === 0) await this.deleteAll(apiKey.id);
    else await this.#retireCurrent(apiKey, gracePeriodSeconds, now);
    const { digest, pepperVersion, keyPrefix } = fresh;
    await runPrepared(this.#manager, INSERT, [digest, pepperVersion, apiKey.id, now, keyPrefix]);
  }

  /** Ends one retiring secret of a locked key. */
  async end(apiKeyId: number, secretId: string): Promise<void> {
    await this.#manager.query(
      `DELETE FROM api_key_secrets WHERE api_key_id = $1 AND retires_at IS NOT NULL AND ${SECRET_ID} = $2`,
      [apiKeyId, secretId],
    );
  }

  async deleteAll(apiKeyId: number): Promise<void> {
    await runPrepared(this.#manager, DELETE_SECRETS_OF_API_KEY, [apiKeyId]);
  }

  async #retireCurrent(apiKey: ApiKeyCore, gracePeriodSeconds: number, now: Date): Promise<void> {
    const retiring = (await this.of(apiKey)).filter(({ retiresAt }) => retiresAt !== null && retiresAt > now);
    if (retiring.length >= MOST_RETIRING) {
      throw new AppError(
        'api_key.too_many_secrets',
        `At most ${MOST_RETIRING} secrets of a key can be in their grace period; end one of them first.`,
      );
    }
    await this.#manager.query(
      'DELETE FROM api_key_secrets WHERE api_key_id = $1 AND retires_at IS NOT NULL AND retires_at <= $2',
      [apiKey.id, now],
    );
    await this.#manager.query(
      'UPDATE api_key_secrets SET retires_at = $2, key_prefix = $3 WHERE api_key_id = $1 AND retires_at IS NULL',
      [apiKey.id, new Date(now.getTime() + gracePeriodSeconds * 1000), apiKey.keyPrefix],
    );
  }

  get #manager() {
    return this.transactions.tx;
  }
}

/** A new secret as it is shown. */
export function currentSecret(fresh: FreshSecret, now: Date): ApiKeySecretRecord {
  const { keyPrefix } = fresh;
  return { id: secretIdOf(fresh), keyPrefix, createdAt: now, lastUsedAt: null, retiresAt: null };
}
