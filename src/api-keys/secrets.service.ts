import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import type { ApiKeySecretRecord } from './api-key.js';
import { ApiKeyLineage } from './api-key-lineage.service.js';
import { ApiKeySecrets } from './api-key-secrets.queries.js';
import { ApiKeysStore } from './api-keys.queries.js';
import { Idempotency, type IdempotencyClaim } from './idempotency.service.js';
import { KeyPolicies } from './key-policies.service.js';
import { LockedApiKeys } from './locked-api-keys.queries.js';
import { type IssuedApiKey, Replays, requireFound } from './replays.service.js';

/** Changes of the secrets of keys. Each method is one transaction. */
@Injectable()
export class SecretsService {
  constructor(
    private readonly store: ApiKeysStore,
    private readonly locked: LockedApiKeys,
    private readonly secrets: ApiKeySecrets,
    private readonly lineage: ApiKeyLineage,
    private readonly policies: KeyPolicies,
    private readonly idempotency: Idempotency,
    private readonly replays: Replays,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /**
   * Gives the key a new secret; the old one stays valid for `gracePeriodSeconds`.
   * @throws AppError `api_key.not_found`, `permission.denied`, `api_key.expired`, `api_key.too_many_secrets`,
   * `validation.failed` where it breaks a policy, `idempotency.*`
   */
  @Change()
  async regenerate(
    principal: Principal,
    apiKeyId: number,
    gracePeriodSeconds: number,
    claim?: IdempotencyClaim,
  ): Promise<IssuedApiKey> {
    const apiKey = await this.locked.forUpdate(principal, apiKeyId);
    await this.lineage.requireMayIssue(principal, apiKey);
    const earlierId = claim && (await this.idempotency.earlier(claim));
    if (earlierId !== undefined) return this.replays.of(earlierId);
    const now = this.clock.now();
    await this.lineage.requireUnexpired(apiKey, now);
    await this.policies.requireRegenerable(apiKey, now);
    const fresh = this.secrets.generate();
    await this.secrets.rotate(apiKey, fresh, gracePeriodSeconds, now);
    await this.locked.save(apiKey, { keyPrefix: fresh.keyPrefix });
    if (claim !== undefined) await this.idempotency.remember(claim, apiKeyId);
    await this.events.change('api_key.regenerated', { apiKeyId, name: apiKey.name, gracePeriodSeconds });
    return { apiKey: requireFound(await this.store.read(apiKeyId)), secret: fresh.secret };
  }

  /**
   * Ends a secret before its grace period is over. The current one ends with a new one, or with the key.
   * @throws AppError `api_key.not_found`, `permission.denied`, `api_key.secret_not_found`, `api_key.secret_in_use`
   */
  @Change()
  async endSecret(principal: Principal, apiKeyId: number, secretId: string): Promise<void> {
    const apiKey = await this.locked.forAction(principal, apiKeyId, 'update');
    const secrets = await this.secrets.of(apiKey);
    const { keyPrefix } = requireRetiring(secrets, secretId, this.clock.now());
    await this.secrets.end(apiKeyId, secretId);
    await this.locked.save(apiKey, {});
    await this.events.change('api_key.secret_ended', { apiKeyId, name: apiKey.name, secretId, keyPrefix });
  }
}

function requireRetiring(
  secrets: readonly ApiKeySecretRecord[],
  secretId: string,
  now: Date,
): ApiKeySecretRecord {
  const secret = secrets.find(({ id }) => id === secretId);
  if (secret === undefined || (secret.retiresAt !== null && secret.retiresAt <= now))
    throw new AppError('api_key.secret_not_found', 'The API key has no such secret.');
  if (secret.retiresAt !== null) return secret;
  const detail = 'This is the current secret; regenerate, deactivate or delete the key instead.';
  throw new AppError('api_key.secret_in_use', detail);
}
