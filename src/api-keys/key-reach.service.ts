import { Injectable } from '@nestjs/common';
import { isReached, type Reach } from '../auth/reach.js';
import type { ProjectScope } from '../auth/scope.policy.js';
import { GroupCommit } from '../common/group-commit.js';
import { DataPlanePool } from '../database/pools.js';

interface PlaceRow extends ProjectScope {
  readonly id: number;
}

type Places = ReadonlyMap<number, ProjectScope>;

/** The id of a key that there is not, in place of one that the caller may not know of: it takes the same way. */
export const ID_OF_NO_KEY = 0;

const FIND_PLACES = {
  name: 'find_api_key_places',
  text: `SELECT id, organization_id AS "organizationId", project_id AS "projectId" FROM api_keys WHERE id = ANY($1::bigint[])`,
};

const MOST_IN_STATEMENT = 5_000;
const MOST_WAITING = 4_000;

/**
 * Finds which keys a caller of the data plane may charge who names them by id. A caller who may charge all costs no
 * statement; all others who ask at the same time share one.
 */
@Injectable()
export class KeyReach {
  readonly #places: GroupCommit<readonly number[], Places>;

  constructor(private readonly pool: DataPlanePool) {
    this.#places = new GroupCommit({
      commit: (lists) => this.#find(lists),
      sizeOf: (apiKeyIds) => apiKeyIds.length,
      maxGroupSize: MOST_IN_STATEMENT,
      maxWaiting: MOST_WAITING,
      isRetried: false,
    });
  }

  /** Whether a key lies within a reach. An unknown key lies only in one that is everywhere. */
  async contains(reach: Reach, apiKeyId: number): Promise<boolean> {
    return reach === undefined || (await this.among(reach, [apiKeyId])).has(apiKeyId);
  }

  /** Those of the keys that lie within a reach that is not everywhere. */
  async among(reach: NonNullable<Reach>, apiKeyIds: readonly number[]): Promise<ReadonlySet<number>> {
    const places = await this.#places.submit(apiKeyIds);
    return new Set(
      apiKeyIds.filter((id) => {
        const place = places.get(id);
        return place !== undefined && isReached(reach, place);
      }),
    );
  }

  async #find(lists: readonly (readonly number[])[]): Promise<Places[]> {
    const apiKeyIds = [...new Set(lists.flat())];
    const { rows } = await this.pool.query<PlaceRow>({ ...FIND_PLACES, values: [apiKeyIds] });
    const places = new Map(rows.map((row) => [row.id, row]));
    return lists.map(() => places);
  }
}
