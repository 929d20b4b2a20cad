import { Injectable } from '@nestjs/common';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { FreshCache } from '../change-feed/fresh-cache.js';
import { GroupCommit } from '../common/group-commit.js';
import { DataPlanePool } from '../database/pools.js';
import { ENFORCED_RULES, type EnforcedRow, RULED_COLUMNS, toBreaksPolicyFromMs } from './enforced-rules.js';

const LOAD = {
  name: 'load_policy_states',
  text: `
    SELECT keys.id, keys.organization_id, keys.project_id, users.kind AS owner_kind, ${RULED_COLUMNS},
      ${ENFORCED_RULES} AS enforced_rules, secrets.created_at AS secret_created_at
    FROM api_keys AS keys
    JOIN users ON users.id = keys.user_id
    JOIN api_key_secrets AS secrets ON secrets.api_key_id = keys.id AND secrets.retires_at IS NULL
    WHERE keys.id = ANY($1::bigint[]) AND keys.deleted_at IS NULL`,
};

interface PolicyState {
  readonly organizationId: number;
  readonly projectId: number;
  readonly breaksPolicyFromMs: number;
}

type PolicyStateRow = EnforcedRow & {
  readonly id: number;
  readonly organization_id: number;
  readonly project_id: number;
};

const MOST_STATES = 200_000;
/** Loads at once at most this many; the others wait, beyond that they are refused. */
const [MAX_IN_STATEMENT, MAX_WAITING] = [500, 4_000];

/** When keys begin to break a policy that is enforced for all, for those who know a key by its id alone. */
@Injectable()
export class PolicyStates {
  readonly #known: FreshCache<PolicyState & { readonly apiKeyId: number }>;
  readonly #loads: GroupCommit<number, PolicyState | undefined>;

  constructor(
    private readonly pool: DataPlanePool,
    feed: ChangeFeed,
  ) {
    this.#known = new FreshCache(
      feed,
      { mostValues: MOST_STATES },
      ({ apiKeyId, organizationId, projectId }, evictions, position) =>
        evictions.isCurrent(position, 'api_key', apiKeyId) &&
        evictions.isCurrent(position, 'project', projectId) &&
        evictions.isCurrent(position, 'organization', organizationId),
    );
    this.#loads = new GroupCommit({
      commit: (ids) => this.#load(ids),
      maxGroupSize: MAX_IN_STATEMENT,
      maxWaiting: MAX_WAITING,
      isRetried: false,
    });
  }

  /**
   * Unix milliseconds; infinite for never, and for a key that is not there.
   * @throws AppError `service.unavailable` when neither memory nor the database may answer
   */
  breaksFromMs(apiKeyId: number): number | Promise<number> {
    const known = this.#known.find(String(apiKeyId));
    if (known !== undefined) return known.breaksPolicyFromMs;
    const { position } = this.#known;
    return this.#loads.submit(apiKeyId).then((state) => {
      if (state === undefined) return Number.POSITIVE_INFINITY;
      this.#known.keep(String(apiKeyId), { ...state, apiKeyId }, position);
      return state.breaksPolicyFromMs;
    });
  }

  async #load(ids: readonly number[]): Promise<(PolicyState | undefined)[]> {
    const { rows } = await this.pool.query<PolicyStateRow>({ ...LOAD, values: [ids] });
    const found = new Map(rows.map((row) => [row.id, row]));
    return ids.map((id) => {
      const row = found.get(id);
      if (row === undefined) return undefined;
      const { organization_id: organizationId, project_id: projectId } = row;
      return { organizationId, projectId, breaksPolicyFromMs: toBreaksPolicyFromMs(row) };
    });
  }
}
