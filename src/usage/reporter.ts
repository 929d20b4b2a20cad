import type { Reach } from '../auth/reach.js';
import type { Authority } from '../common/authority.js';

/** Who reports usage or takes a hold: a user, with a session or by one of their API keys. */
export interface Reporter {
  readonly userId: number;
  /** Set when the credential is an API key: each of a user's keys is a reporter of its own. */
  readonly apiKeyId: number | null;
  /** Judged again for what has to wait; absent for what the service does by itself. */
  readonly authority?: Authority | undefined;
  /** The scopes whose keys they may charge. Default: everywhere. */
  readonly reach?: Reach;
}

/** A reporter as the one number that the database compares: the id of the key, or minus that of the user. */
export function reporterNumber({ userId, apiKeyId }: Reporter): number {
  return apiKeyId ?? -userId;
}
