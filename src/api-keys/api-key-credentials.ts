import { Injectable } from '@nestjs/common';
import { platformScopes } from '../auth/access.policy.js';
import type { ApiKeyAuthenticator } from '../auth/api-key-authenticator.js';
import { intersection } from '../auth/permission.policy.js';
import type { Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import type { Secret } from '../common/secret.js';
import { Config } from '../config/config.js';
import { ControlPool } from '../database/pools.js';
import { isCredentialUsable } from './credential.policy.js';
import { SecretDigests } from './secret-digests.js';
import { isWellFormedSecret } from './secret-format.js';

interface CredentialRow {
  readonly id: number;
  readonly user_id: number;
  readonly username: string;
  readonly role: string;
  readonly permissions: string[];
  readonly scopes: string[];
  readonly is_active: boolean;
  readonly is_owner_active: boolean;
  readonly expires_at: Date | null;
  readonly retires_at: Date | null;
  readonly allowed_ips: string[];
}

const FIND_CREDENTIAL = {
  name: 'find_api_key_credential',
  text: `
    SELECT keys.id, keys.user_id, keys.scopes, keys.is_active, keys.expires_at, keys.allowed_ips, secrets.retires_at,
      users.username, users.role, roles.permissions || users.permissions AS permissions,
      users.is_active AND users.deleted_at IS NULL AS is_owner_active
    FROM api_key_secrets AS secrets
    JOIN api_keys AS keys ON keys.id = secrets.api_key_id
    JOIN users ON users.id = keys.user_id
    JOIN roles ON roles.name = users.role
    WHERE secrets.digest = ANY($1::bytea[]) AND keys.deleted_at IS NULL`,
};

/** Turns an API key used as a credential into its owner, limited to what both the owner and the scopes allow. */
@Injectable()
export class ApiKeyCredentials implements ApiKeyAuthenticator {
  readonly #prefixes: readonly string[];

  constructor(
    config: Config,
    private readonly pool: ControlPool,
    private readonly digests: SecretDigests,
    private readonly clock: Clock,
  ) {
    this.#prefixes = [config.apiKeyPrefix, ...config.apiKeyFormerPrefixes];
  }

  async authenticate(secret: Secret, clientAddress: string | undefined): Promise<Principal | undefined> {
    const plain = secret.reveal();
    if (!isWellFormedSecret(plain, this.#prefixes)) return undefined;
    const { rows } = await this.pool.query<CredentialRow>({
      ...FIND_CREDENTIAL,
      values: [this.digests.candidates(plain)],
    });
    const [row] = rows;
    return row === undefined || !isCredentialUsable(factsOf(row), clientAddress, this.clock.now())
      ? undefined
      : principalOf(row);
  }
}

function factsOf(row: CredentialRow) {
  return {
    isActive: row.is_active,
    isOwnerActive: row.is_owner_active,
    expiresAt: row.expires_at,
    retiresAt: row.retires_at,
    allowedIps: row.allowed_ips,
  };
}

function principalOf(row: CredentialRow): Principal {
  return {
    userId: row.user_id,
    username: row.username,
    role: row.role,
    permissions: intersection(row.permissions, platformScopes(row.scopes)),
    credential: { kind: 'api_key', apiKeyId: row.id },
  };
}
