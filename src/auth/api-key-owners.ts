import type { AppError } from '../common/app-error.js';
import type { OwnedThing } from './scope.policy.js';

/** Port: whose key it is. The module of the keys implements it. */
export abstract class ApiKeyOwners {
  /** The user who owns the key, and where it is. @throws AppError `api_key.not_found` */
  abstract ownerOf(apiKeyId: number): Promise<OwnedThing>;
  /** What an unknown key is answered with. */
  abstract readonly notFound: () => AppError;
}
