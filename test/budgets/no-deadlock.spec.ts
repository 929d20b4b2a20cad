import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { uuidV7 } from '../../src/common/uuid.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { insertKeys, insertOwner, insertPlace, type KeyPlace, openPool, reporting } from './sql-ledger.js';

const SEED = Number(process.env['LOAD_SEED'] ?? Date.now() % 2 ** 31);
const WORKERS = 16;
const STATEMENTS = process.env['LATCHKEY_LONG'] === '1' ? 2_000 : 150;
const KEYS = 12;

/** A statement of the ledger on keys of overlapping chains, in whatever order they come. */
const statement = fc.record({
  kind: fc.constantFrom(
    'grant',
    'grant',
    'usage',
    'usage',
    'settle',
    'release',
    'extend',
    'sweep',
    'limit',
    'scope',
  ),
  keys: fc.array(fc.integer({ min: 0, max: KEYS - 1 }), { minLength: 1, maxLength: 8 }),
  amount: fc.integer({ min: 1, max: 50 }),
});
type Statement = typeof statement extends fc.Arbitrary<infer Value> ? Value : never;

describe(`the ledger under mixed load (LOAD_SEED=${SEED})`, { timeout: 300_000 }, () => {
  let database: TestDatabase;
  let pool: pg.Pool;
  let keys: number[];
  let keyPlace: KeyPlace;
  const holds: { id: string; key: number }[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    // Deadlocks are looked for at once: one that exists is reported.
    pool = openPool(database, { max: WORKERS, options: '-c deadlock_timeout=50ms' });
    await insertOwner(pool);
    keyPlace = await insertPlace(pool);
    keys = await insertKeys(pool, KEYS, keyPlace);
    // Chains of three: every key under one of three, and those under one top; ids of parents below and above.
    for (const key of keys.toReversed())
      await pool.query('SELECT set_budget_limit($1, 5000, $2)', [key, 'monthly']);
    await pool.query(
      `UPDATE budget_accounts SET parent_id = parent.id FROM budget_accounts AS parent
       WHERE parent.api_key_id = CASE WHEN budget_accounts.api_key_id = ANY($1) THEN $2 ELSE $1[1 + budget_accounts.api_key_id % 3] END
         AND budget_accounts.api_key_id <> $2`,
      [[keys[1], keys[6], keys[11]], keys[5]],
    );
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  const someHolds = (picks: readonly number[]) =>
    holds.length === 0 ? [] : picks.map((pick) => holds[(holds.length * 31 + pick * 17) % holds.length]!);

  async function run({ kind, keys: picks, amount }: Statement): Promise<void> {
    const chosen = picks.map((pick) => keys[pick]!);
    if (kind === 'grant') {
      const ids = chosen.map(() => uuidV7());
      const { rows } = await pool.query<{ outcome: string }>(
        'SELECT outcome FROM grant_holds($1, $2, $3, $4, $5, $6, $7) ORDER BY n',
        [
          ids,
          chosen,
          chosen.map(() => amount),
          chosen.map(() => 1),
          chosen.map(() => null),
          ...reporting(ids.length),
        ],
      );
      const areAllGranted = rows[0]?.outcome === 'all_granted';
      for (const [place, id] of ids.entries())
        if (areAllGranted || rows[place]?.outcome === 'granted') holds.push({ id, key: chosen[place]! });
    } else if (kind === 'usage' || kind === 'settle') {
      const targets = kind === 'settle' ? someHolds(picks) : chosen.map((key) => ({ key, id: null }));
      const texts = targets.map(() => '');
      const zeros = targets.map(() => 0);
      await pool.query(
        `SELECT count(*) FROM record_usage($1, $2, $3, $3, $3, $4::bigint[], $4::bigint[], $5,
           $4::bigint[]::integer[], $4::bigint[], $6, $7, $8, $9, $4::bigint[]::integer[])`,
        [
          targets.map(({ key }) => key),
          targets.map(() => uuidV7()),
          texts,
          zeros,
          targets.map(() => amount),
          targets.map(() => new Date()),
          targets.map(({ id }) => id),
          ...reporting(targets.length),
        ],
      );
    } else if (kind === 'limit') {
      await changePolicy(chosen[0]!, 2_000 + amount * 100);
    } else if (kind === 'scope') {
      await changeScope(picks[0]! % 2 === 0, 20_000 + amount * 100);
    } else if (kind === 'sweep') {
      await pool.query('SELECT sweep_lapsed_holds(50, $1)', [amount % 2 === 0 ? null : chosen]);
    } else {
      const ids = someHolds(picks).map(({ id }) => id);
      const text =
        kind === 'release'
          ? 'release_holds($1, $2)'
          : 'extend_holds($1, array_fill(1, ARRAY[cardinality($1)]), $2)';
      const [, reporters] = reporting(ids.length);
      await pool.query(`SELECT count(*) FROM ${text.replaceAll('$1', '$1::uuid[]')}`, [ids, reporters]);
    }
  }

  /** The first of these puts all keys under the account of their project or organization. Beside it, a key is made. */
  async function changeScope(isOfProject: boolean, limit: number): Promise<void> {
    await Promise.all([
      pool.query('SELECT set_scope_budget($1, $2, $3, $4)', [
        keyPlace.organization,
        isOfProject ? keyPlace.project : null,
        limit,
        'total',
      ]),
      insertKeys(pool, 1, keyPlace),
    ]);
  }

  /** As the control plane does it: the key first, then its account, in one transaction. */
  async function changePolicy(key: number, limit: number): Promise<void> {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT FROM api_keys WHERE id = $1 FOR NO KEY UPDATE', [key]);
      await client.query('UPDATE api_keys SET version = version + 1 WHERE id = $1', [key]);
      await client.query('SELECT set_budget_limit($1, $2, $3)', [
        key,
        limit,
        limit % 200 === 0 ? 'total' : 'monthly',
      ]);
      await client.query('COMMIT');
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  it('never deadlocks, and its books are in order afterwards', async () => {
    const failures: unknown[] = [];
    await Promise.all(
      Array.from({ length: WORKERS }, async (_, worker) => {
        for (const each of fc.sample(statement, { seed: SEED + worker, numRuns: STATEMENTS }))
          await run(each).catch((error: unknown) => failures.push(error));
      }),
    );
    expect(failures).toEqual([]);
    expect(holds.length).toBeGreaterThan(WORKERS);
    const wrong = await database.query(`
      SELECT accounts.id FROM budget_accounts AS accounts
      WHERE held_micro_cents <> (
        SELECT coalesce(sum(amount_micro_cents), 0) FROM budget_holds
        WHERE status = 'held' AND account_ids @> ARRAY[accounts.id]
          AND period_numbers[array_position(account_ids, accounts.id)] = accounts.period_number
      )`);
    expect(wrong).toEqual([]);
    const [stats] = await database.query(
      'SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()',
    );
    expect(stats).toEqual({ deadlocks: 0 });
  });
});
