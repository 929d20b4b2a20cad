import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import type { Secret } from '../common/secret.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import type { ApiKeyRecord } from './api-key.js';
import { ApiKeysStore } from './api-keys.queries.js';

/** A key whose secret was just made; null when the request was a repeat, since a secret is shown once. */
export interface IssuedApiKey {
  readonly apiKey: ApiKeyRecord;
  readonly secret: Secret | null;
}

/** What the repeat of a request with an `Idempotency-Key` returns: the key as it is now, without the secret. */
@Injectable()
export class Replays {
  constructor(
    private readonly store: ApiKeysStore,
    private readonly events: EventPublisher,
  ) {}

  async of(apiKeyId: number): Promise<IssuedApiKey> {
    await this.events.observe('api_key.viewed', { apiKeyId });
    return { apiKey: requireFound(await this.store.read(apiKeyId)), secret: null };
  }
}

/** @throws AppError `api_key.not_found` */
export function requireFound<Key>(apiKey: Key | undefined): Key {
  if (apiKey === undefined) throw apiKeyNotFound();
  return apiKey;
}

/** What an unknown key is answered with, and one of an organization that the caller does not belong to. */
export function apiKeyNotFound(): AppError {
  return new AppError('api_key.not_found', 'API key not found');
}
