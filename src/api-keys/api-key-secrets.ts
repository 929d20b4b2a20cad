import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull, Not } from 'typeorm';
import { Secret } from '../common/secret.js';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../database/maintenance.js';
import { runPrepared } from '../database/prepared-statement.js';
import { ApiKeySecret } from './api-key.entity.js';
import { type SecretDigest, SecretDigests } from './secret-digests.js';
import { generateSecret, KEY_PREFIX_LENGTH } from './secret-format.js';

/** A secret that was just made, with what is kept of it: a hint in clear, and its digest. */
export interface FreshSecret extends SecretDigest {
  readonly secret: Secret;
  readonly keyPrefix: string;
}

const INSERT = {
  name: 'insert_api_key_secret',
  text: 'INSERT INTO api_key_secrets (digest, pepper_version, api_key_id, created_at) VALUES ($1, $2, $3, $4)',
};

/** Secrets of keys: made, rotated, ended. Every method is part of the caller's transaction. */
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
      everySeconds: 600,
      isDestructive: true,
      run: async (client) => {
        await client.query(`DELETE FROM api_key_secrets WHERE retires_at < now() - ${DELETION_SLACK}`);
      },
    });
  }

  make(): FreshSecret {
    const plain = generateSecret(this.config.apiKeyPrefix);
    return {
      secret: new Secret(plain),
      keyPrefix: plain.slice(0, KEY_PREFIX_LENGTH),
      ...this.digests.current(plain),
    };
  }

  /** Makes a secret the current one of a key that is stored already. */
  async store(apiKeyId: number, { digest, pepperVersion }: SecretDigest, now: Date): Promise<void> {
    await runPrepared(this.#manager, INSERT, [digest, pepperVersion, apiKeyId, now]);
  }

  /** The current secret ends at `retiresAt`, or now when that is null; one that was retiring already ends now. */
  async retireCurrent(apiKeyId: number, retiresAt: Date | null): Promise<void> {
    await this.#manager.delete(ApiKeySecret, {
      apiKeyId,
      ...(retiresAt === null ? {} : { retiresAt: Not(IsNull()) }),
    });
    if (retiresAt !== null) await this.#manager.update(ApiKeySecret, { apiKeyId }, { retiresAt });
  }

  async deleteAll(apiKeyId: number): Promise<void> {
    await this.#manager.delete(ApiKeySecret, { apiKeyId });
  }

  get #manager() {
    return this.transactions.tx;
  }
}
