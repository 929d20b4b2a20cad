import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { IntegerLedger } from './integer-ledger.js';
import { insertOwner, openPool, SqlLedger } from './sql-ledger.js';

const LANES = 8;
const HISTORIES = process.env['LATCHKEY_LONG'] === undefined ? 1_040 : 10_000;
const SEED = Number(process.env['LEDGER_SEED'] ?? Date.now() % 2 ** 31);

/** Three keys on their own, two under a third, and a chain of three. */
const FAMILIES = [
  [undefined, undefined, undefined],
  [2, 2, undefined],
  [1, 2, undefined],
];

const key = fc.integer({ min: 0, max: 2 });
/** The keys, then their project and their organization. */
const anyAccount = fc.integer({ min: 0, max: 4 });
/** Of all holds there are, whichever this comes to. */
const pick = fc.nat(1_000);
const amount = fc.integer({ min: 1, max: 60 });
const requestId = fc.integer({ min: 0, max: 30 }).map(String);
const limit = fc.record({
  kind: fc.constant('limit' as const),
  key: anyAccount,
  limit: fc.option(fc.integer({ min: 0, max: 200 }), { freq: 6 }),
  isMonthly: fc.boolean(),
});
const onHold = <Kind extends string>(kind: Kind) => fc.record({ kind: fc.constant(kind), pick });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('hold' as const),
      requests: fc.array(fc.record({ key, amount, requestId: fc.option(requestId) }), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('record' as const),
      events: fc.array(
        fc.record({
          key,
          requestId,
          cost: fc.integer({ min: 0, max: 80 }),
          pick: fc.option(pick, { freq: 3 }),
        }),
        { minLength: 1, maxLength: 5 },
      ),
    }),
  },
  { weight: 2, arbitrary: onHold('release') },
  { weight: 1, arbitrary: onHold('extend') },
  { weight: 2, arbitrary: onHold('endTime') },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sweep' as const) }) },
  { weight: 2, arbitrary: limit },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('endMonth' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reverse' as const), pick }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('setActive' as const), key, isActive: fc.boolean() }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

const history = fc.record({
  parents: fc.constantFrom(...FAMILIES),
  // Nearly always there are limits from the beginning.
  limits: fc.array(limit, { maxLength: 4 }),
  steps: fc.array(step, { minLength: 1, maxLength: 12 }),
});

describe(`the ledger (LEDGER_SEED=${SEED})`, { timeout: 600_000 }, () => {
  let database: TestDatabase;
  let pool: pg.Pool;
  beforeAll(async () => {
    database = await createTestDatabase();
    pool = openPool(database, { max: LANES });
    await insertOwner(pool);
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  it('does what whole numbers in memory do, over random histories at the same time', async () => {
    const granted = { holds: 0, reversals: 0 };
    const lane = (index: number) =>
      fc.assert(
        fc.asyncProperty(history, async ({ parents, limits, steps }) => {
          const [model, sql] = [new IntegerLedger(parents), await SqlLedger.over(pool, parents)];
          for (const each of [...limits, ...steps]) {
            expect({ each, answer: await take(sql, each) }).toEqual({
              each,
              answer: await take(model, each),
            });
          }
          expect(await sql.contents()).toEqual(contentsOf(model));
          granted.holds += model.holds.length;
          granted.reversals += model.events.filter(({ isReversed }) => isReversed).length;
        }),
        { numRuns: HISTORIES / LANES, seed: SEED + index },
      );
    await Promise.all(Array.from({ length: LANES }, (_, index) => lane(index)));
    expect(granted.holds).toBeGreaterThan(HISTORIES);
    expect(granted.reversals).toBeGreaterThan(HISTORIES / 10);
  });
});

type Ledger = IntegerLedger | SqlLedger;

async function take(ledger: Ledger, each: Step): Promise<unknown> {
  const { holdCount: holds, eventCount: events } = ledger;
  switch (each.kind) {
    case 'hold':
      return ledger.hold(each.requests);
    case 'record':
      return ledger.record(
        each.events.map(({ pick: picked, ...event }) =>
          picked === null || holds === 0 ? event : { ...event, hold: picked % holds },
        ),
      );
    case 'release':
    case 'extend':
    case 'endTime':
      return holds === 0 ? undefined : ledger[each.kind](each.pick % holds);
    case 'sweep':
      return ledger.sweep();
    case 'limit':
      return ledger.setLimit(each.key, each.limit, each.isMonthly);
    case 'endMonth':
      return ledger.endMonth();
    case 'reverse':
      return events === 0 ? undefined : ledger.reverse(each.pick % events);
    case 'setActive':
      return ledger.setActive(each.key, each.isActive);
  }
}

function contentsOf({ storedAccounts, holds }: IntegerLedger): unknown {
  return {
    accounts: storedAccounts.map(({ isMonthOver: _, ...account }) => account),
    holds: holds.map(({ amount: held, status, cost = null }) => ({ amount: held, status, cost })),
  };
}
