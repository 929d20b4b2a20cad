import pg from 'pg';
import { uuidV7 } from '../../src/common/uuid.js';
import type { TestDatabase } from '../support/database.js';
import type { ModelEvent, ModelRequest } from './integer-ledger.js';

/** Connections to a test's own database, which may be dropped before the last of them is closed. */
export function openPool(database: TestDatabase, options: pg.PoolConfig): pg.Pool {
  const pool = new pg.Pool({ connectionString: database.url, ...options });
  pool.on('error', () => undefined);
  return pool;
}

/** Where the keys of a test are. */
export interface KeyPlace {
  readonly organization: number;
  readonly project: number;
}

const DEFAULT_PLACE: KeyPlace = { organization: 1, project: 1 };

/** Makes a project in an organization of its own. */
export async function insertPlace(pool: pg.Pool): Promise<KeyPlace> {
  const { rows } = await pool.query<KeyPlace>(
    `WITH made AS (
       INSERT INTO organizations (slug, name) VALUES (left(gen_random_uuid()::text, 40), 'An organization') RETURNING id
     )
     INSERT INTO projects (organization_id, slug, name) SELECT id, 'project', 'A project' FROM made
     RETURNING organization_id::int AS organization, id::int AS project`,
  );
  return rows[0]!;
}

/** Makes keys past the service, and answers their ids in order. */
export async function insertKeys(pool: pg.Pool, count: number, place = DEFAULT_PLACE): Promise<number[]> {
  const { rows } = await pool.query<{ id: string }>(
    `INSERT INTO api_keys (user_id, name, key_prefix, organization_id, project_id)
     SELECT (SELECT min(id) FROM users), 'key', 'en_aaaaa', $2, $3 FROM generate_series(1, $1) RETURNING id`,
    [count, place.organization, place.project],
  );
  return rows.map(({ id }) => Number(id)).toSorted((a, b) => a - b);
}

/** Makes the one user that keys of these tests belong to. */
export async function insertOwner(pool: pg.Pool): Promise<void> {
  await pool.query(`INSERT INTO users (username, password_hash, role) VALUES ('owner', 'none', 'user')`);
}

const USER_ID = 1;
/** The number of a reporter with a session of that user. */
const OF_SESSION = -USER_ID;

/** The users and the reporters of so many events or holds: always the same. */
export function reporting(count: number): [userIds: number[], reporters: number[]] {
  return [Array<number>(count).fill(USER_ID), Array<number>(count).fill(OF_SESSION)];
}

/** The functions of the database over a few keys of their own, called as the model is. */
export class SqlLedger {
  readonly holdIds: string[] = [];
  /** Those of the events that were accepted. */
  readonly #eventIds: number[] = [];

  private constructor(
    private readonly pool: pg.Pool,
    private readonly keys: readonly number[],
    private readonly place: KeyPlace,
  ) {}

  static async over(pool: pg.Pool, parents: readonly (number | undefined)[]): Promise<SqlLedger> {
    const place = await insertPlace(pool);
    const keys = await insertKeys(pool, parents.length, place);
    await pool.query('SELECT ensure_budget_accounts($1)', [keys]);
    await pool.query(
      `UPDATE budget_accounts SET parent_id = (SELECT id FROM budget_accounts WHERE api_key_id = parent)
       FROM unnest($1::bigint[], $2::bigint[]) AS link (child, parent) WHERE api_key_id = child`,
      [keys, parents.map((parent) => (parent === undefined ? null : keys[parent]))],
    );
    return new SqlLedger(pool, keys, place);
  }

  get holdCount(): number {
    return this.holdIds.length;
  }

  get eventCount(): number {
    return this.#eventIds.length;
  }

  async hold(requests: readonly ModelRequest[]): Promise<string[]> {
    const ids = requests.map(() => uuidV7());
    const { rows } = await this.pool.query<{ outcome: string }>(
      'SELECT outcome FROM grant_holds($1, $2, $3, $4, $5, $6, $7) ORDER BY n',
      [
        ids,
        requests.map(({ key }) => this.keys[key]),
        requests.map(({ amount }) => amount),
        requests.map(() => 3_600),
        requests.map(({ requestId }) => requestId),
        ...reporting(requests.length),
      ],
    );
    const areAllGranted = rows[0]?.outcome === 'all_granted';
    const outcomes = ids.map((_, place) => (areAllGranted ? 'granted' : (rows[place]?.outcome ?? 'none')));
    for (const [place, id] of ids.entries()) if (outcomes[place] === 'granted') this.holdIds.push(id);
    return outcomes;
  }

  async record(events: readonly ModelEvent[]): Promise<string[]> {
    const texts = events.map(() => '');
    const zeros = events.map(() => 0);
    const { rows } = await this.pool.query<{ others: Record<number, string> | null }>(
      'SELECT others FROM record_usage($1, $2, $3, $3, $3, $4::bigint[], $4::bigint[], $5, $4::bigint[]::integer[], $4::bigint[], $6, $7, $8, $9, $10)',
      [
        events.map(({ key }) => this.keys[key]),
        events.map(({ requestId }) => requestId),
        texts,
        zeros,
        events.map(({ cost }) => cost),
        events.map(() => new Date()),
        events.map(({ hold }) => (hold === undefined ? null : this.holdIds[hold])),
        ...reporting(events.length),
        events.map(() => 0),
      ],
    );
    const statuses = events.map((_, place) => rows[0]?.others?.[place] ?? 'accepted');
    for (const [place, { key, requestId }] of events.entries()) {
      if (statuses[place] !== 'accepted') continue;
      const { rows: stored } = await this.pool.query<{ id: number }>(
        'SELECT event_id::int AS id FROM usage_requests WHERE api_key_id = $1 AND request_id = $2',
        [this.keys[key], requestId],
      );
      this.#eventIds.push(stored[0]!.id);
    }
    return statuses;
  }

  release(index: number): Promise<string> {
    return this.#status('SELECT status FROM release_holds($1, $2)', [[this.holdIds[index]], [OF_SESSION]]);
  }

  extend(index: number): Promise<string> {
    return this.#status('SELECT status FROM extend_holds($1, $2, $3)', [
      [this.holdIds[index]],
      [7_200],
      [OF_SESSION],
    ]);
  }

  async endTime(index: number): Promise<void> {
    await this.pool.query(`UPDATE budget_holds SET expires_at = now() - interval '1 second' WHERE id = $1`, [
      this.holdIds[index],
    ]);
  }

  async sweep(): Promise<number> {
    const { rows } = await this.pool.query<{ swept: number }>(
      'SELECT swept FROM sweep_lapsed_holds(1000, $1)',
      [this.keys],
    );
    return rows[0]!.swept;
  }

  /** After the keys come their project and their organization. */
  async setLimit(key: number, limit: number | null, isMonthly: boolean): Promise<void> {
    const type = isMonthly ? 'monthly' : 'total';
    if (key >= this.keys.length) {
      const { organization, project } = this.place;
      const values = [organization, key === this.keys.length ? project : null, limit, type];
      await this.pool.query('SELECT set_scope_budget($1, $2, $3, $4)', values);
      return;
    }
    const values = [this.keys[key], limit, type];
    await this.pool.query('SELECT set_budget_limit($1, $2, $3)', values);
  }

  /** All that is remembered of times lies a month further back. */
  async endMonth(): Promise<void> {
    const month = `interval '1 month'`;
    await this.pool.query(
      `UPDATE budget_accounts SET spent_since = spent_since - ${month}, period_start = period_start - ${month},
         linked_at = linked_at - ${month}
       WHERE api_key_id = ANY($1) OR project_id = $2 OR organization_id = $3`,
      [this.keys, this.place.project, this.place.organization],
    );
    await this.pool.query(
      `UPDATE usage_events SET received_at = received_at - ${month} WHERE api_key_id = ANY($1)`,
      [this.keys],
    );
  }

  async setActive(key: number, isActive: boolean): Promise<void> {
    await this.pool.query('UPDATE api_keys SET is_active = $2 WHERE id = $1', [this.keys[key], isActive]);
  }

  async reverse(index: number): Promise<boolean> {
    const { rows } = await this.pool.query<{ is_new: boolean }>(
      'SELECT is_new FROM reverse_usage($1, 1, NULL)',
      [this.#eventIds[index]],
    );
    return rows[0]!.is_new;
  }

  /** Every account and every hold, as they are stored. */
  async contents(): Promise<{ accounts: unknown[]; holds: unknown[] }> {
    const accounts = await this.pool.query(
      `SELECT limit_micro_cents::int AS limit, period_type = 'monthly' AS "isMonthly",
         period_number - 1 AS period, spent_micro_cents::int AS spent, held_micro_cents::int AS held
       FROM budget_accounts WHERE api_key_id = ANY($1) OR project_id = $2 OR organization_id = $3
       ORDER BY api_key_id, project_id`,
      [this.keys, this.place.project, this.place.organization],
    );
    const holds = await this.pool.query(
      `SELECT amount_micro_cents::int AS amount, status, cost_micro_cents::int AS cost
       FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (id, n) JOIN budget_holds USING (id) ORDER BY n`,
      [this.holdIds],
    );
    return { accounts: accounts.rows, holds: holds.rows };
  }

  async #status(text: string, values: unknown[]): Promise<string> {
    const { rows } = await this.pool.query<{ status: string }>(text, values);
    return rows[0]!.status;
  }
}
