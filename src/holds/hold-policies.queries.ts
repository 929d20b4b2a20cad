import { Injectable } from '@nestjs/common';
import type { CachedKey } from '../api-keys/cached-key.js';
import { PolicyStates } from '../api-keys/policy-states.service.js';
import { Clock } from '../common/clock.js';
import { MeteringPool } from '../database/pools.js';
import { reporterNumber } from '../usage/reporter.js';
import type { HoldRequest } from './hold.js';

/** What comes before a policy: a refusal that a verdict would name first, and a hold that was granted already. */
const FIND_PRECEDENCE = {
  name: 'find_what_precedes_policy',
  text: `
    SELECT EXISTS (SELECT FROM refused_keys(ARRAY[$1::bigint], now())) OR EXISTS (
      SELECT FROM budget_holds WHERE api_key_id = $1 AND request_id = $2
        AND coalesce(taken_by_api_key_id, -taken_by_user_id, $3) = $3
    ) AS "isPreceded"`,
};

/** Judges the key of a requested hold by policies that are enforced for all keys. */
@Injectable()
export class HoldPolicies {
  constructor(
    private readonly states: PolicyStates,
    private readonly pool: MeteringPool,
    private readonly clock: Clock,
  ) {}

  /** Whether a verdict would refuse the key with `POLICY_VIOLATION`. A repeated request gets what was granted. */
  async isRefused(request: HoldRequest, key: Partial<CachedKey>): Promise<boolean> {
    const fromMs = key.breaksPolicyFromMs ?? (await this.states.breaksFromMs(request.apiKeyId));
    if (fromMs > this.clock.nowMs()) return false;
    const { apiKeyId, requestId, takenBy } = request;
    const values = [apiKeyId, requestId, reporterNumber(takenBy)];
    const { rows } = await this.pool.query<{ isPreceded: boolean }>({ ...FIND_PRECEDENCE, values });
    return rows[0]?.isPreceded !== true;
  }
}
