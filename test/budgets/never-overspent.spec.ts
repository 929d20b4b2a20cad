import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { AppCluster } from '../support/app-cluster.js';
import { AppProcess } from '../support/app-process.js';
import { storedAccount } from '../support/budgets.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { testEnvironment, type TestApiKey } from '../support/test-app.js';
import { faultsIn, storm, type StormOutcome } from '../holds/hold-storm.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const SEED = Number(process.env['STORM_SEED'] ?? Date.now() % 2 ** 31);
/** Of each kind of storm. */
const SEEDS = IS_LONG ? 20 : 2;
const INSTANCES = 4;
const CLIENTS = 500;
const MICRO_CENTS_PER_CENT = 1_000_000n;

/** A limit that is enough for about half of the amounts. */
const stormArbitrary = fc.array(fc.bigInt({ min: 1n, max: 3_000_000n }), {
  minLength: CLIENTS,
  maxLength: CLIENTS,
});

interface Given {
  readonly key: TestApiKey;
  readonly limit: bigint;
  readonly amounts: readonly bigint[];
}

/** A key whose budget has room for about half of what is going to be asked for. */
async function givenKey(client: ApiClient, run: number): Promise<Given> {
  const [amounts] = fc.sample(stormArbitrary, { seed: SEED + run, numRuns: 1 }) as [bigint[]];
  const sum = amounts.reduce((total, amount) => total + amount, 0n);
  const limitCents = sum / 2n / MICRO_CENTS_PER_CENT + 1n;
  const fields = { name: 'A key', is_unlimited: false, budget_limit_cents: Number(limitCents) };
  const { body } = await client.post('/api-keys', fields);
  const key = { id: body['api_key'].id, secret: body['secret_key'], body: body['api_key'] };
  return { key, limit: limitCents * MICRO_CENTS_PER_CENT, amounts };
}

describe(
  `R2: no budget is overspent, ever (STORM_SEED=${SEED})`,
  { timeout: IS_LONG ? 1_800_000 : 240_000 },
  () => {
    let database: TestDatabase;
    let proxies: TcpProxy[];
    let instances: AppProcess[];
    let accessToken: string;

    const start = (proxy: TcpProxy) =>
      AppProcess.start({ ...testEnvironment(proxy.urlOf(database.url)), ACCESS_TOKEN_TTL_SECONDS: '86400' });
    beforeAll(async () => {
      database = await createTestDatabase();
      proxies = await Promise.all(Array.from({ length: INSTANCES }, () => TcpProxy.start(database.url)));
      instances = [];
      for (const proxy of proxies) instances.push(await start(proxy));
      accessToken = await instances[0]!.accessToken();
    }, 180_000);
    afterAll(async () => {
      await Promise.all(instances.map((instance) => instance.kill9()));
      for (const proxy of proxies) proxy.stop();
      await database.drop();
    });

    const given = (run: number) => givenKey(instances[0]!.anonymous.withAccessToken(accessToken), run);

    const ask = ({ key, amounts }: Given): Promise<StormOutcome> => {
      const baseUrls = instances.map((_, index) => () => instances[index]!.baseUrl);
      return storm({ baseUrls, accessToken }, key, amounts);
    };

    async function expectNoFault({ key, limit, amounts }: Given, outcome: StormOutcome): Promise<void> {
      expect(faultsIn(outcome, limit, amounts)).toEqual([]);
      const stored = await storedAccount(database, key.id);
      const counted = [...outcome.granted.values()].reduce((total, amount) => total + amount, 0n);
      expect(stored.spent + stored.held).toBeLessThanOrEqual(limit);
      expect(stored.held).toBeGreaterThanOrEqual(counted);
    }

    it('when nothing fails, and nearly all of it can be used', async () => {
      for (let run = 0; run < SEEDS; run += 1) {
        const storming = await given(run);
        const outcome = await ask(storming);
        expect(outcome).toMatchObject({ unanswered: 0 });
        expect(outcome.granted.size + outcome.refused).toBe(CLIENTS);
        await expectNoFault(storming, outcome);
      }
    });

    it('when the replies to commits are lost', async () => {
      const lostBefore = proxies.reduce((sum, proxy) => sum + proxy.lostReplies, 0);
      for (let run = 0; run < SEEDS; run += 1) {
        const storming = await given(SEEDS + run);
        const turns = fc.sample(fc.noBias(fc.integer({ min: 0, max: 2 })), {
          seed: SEED + run,
          numRuns: 1_000,
        });
        // Mostly twice in a row, so that the repeated statement has an unknown outcome as well.
        for (const proxy of proxies) proxy.loseReplies('grant_holds', () => turns.pop() !== 0);
        const outcome = await ask(storming);
        for (const proxy of proxies) await proxy.pass();
        await expectNoFault(storming, outcome);
        expect(outcome.granted.size).toBeGreaterThan(0);
      }
      expect(proxies.reduce((sum, proxy) => sum + proxy.lostReplies, 0)).toBeGreaterThan(lostBefore);
    });

    it('when instances are killed', async () => {
      for (let run = 0; run < SEEDS; run += 1) {
        const storming = await given(2 * SEEDS + run);
        const asking = ask(storming);
        const [killAfterMs = 0] = fc.sample(fc.noBias(fc.integer({ min: 20, max: 400 })), {
          seed: SEED + run,
          numRuns: 1,
        });
        await setTimeout(killAfterMs);
        const killed = [1, 2].map((place) => (place + run) % INSTANCES);
        await Promise.all(killed.map((place) => instances[place]!.kill9()));
        const outcome = await asking;
        await expectNoFault(storming, outcome);
        for (const place of killed) instances[place] = await start(proxies[place]!);
      }
    });

    it('and a ledger that reads a budget and then writes it is caught overspending', async () => {
      await database.query(READ_THEN_WRITE);
      const storming = await given(3 * SEEDS);
      const outcome = await ask(storming);
      expect(faultsIn(outcome, storming.limit, storming.amounts)).toEqual([
        expect.stringMatching(/^\d+ were granted of \d+\.$/),
      ]);
    });
  },
);

describe(`R2: no budget is overspent when PostgreSQL is killed (STORM_SEED=${SEED})`, () => {
  let cluster: AppCluster;
  beforeAll(async () => {
    cluster = await AppCluster.start(INSTANCES);
  }, 180_000);
  afterAll(() => cluster.end());

  it('while holds are granted', { timeout: IS_LONG ? 1_800_000 : 240_000 }, async () => {
    const app = cluster.running[0]!;
    const accessToken = await app.accessToken();
    for (let run = 0; run < SEEDS; run += 1) {
      const storming = await givenKey(app.anonymous.withAccessToken(accessToken), 100 + run);
      const asking = storm(
        { baseUrls: cluster.running.map((instance) => () => instance.baseUrl), accessToken },
        storming.key,
        storming.amounts,
      );
      const [killAfterMs = 0] = fc.sample(fc.noBias(fc.integer({ min: 20, max: 400 })), {
        seed: SEED + run,
        numRuns: 1,
      });
      await setTimeout(killAfterMs);
      await cluster.killPostgres();
      const outcome = await asking;
      expect(faultsIn(outcome, storming.limit, storming.amounts)).toEqual([]);
      expect(outcome.granted.size).toBeGreaterThan(0);
      const database = new pg.Client({ connectionString: cluster.databaseUrl });
      await database.connect();
      const { rows } = await database.query<{ held: string }>(
        'SELECT held_micro_cents::text AS held FROM budget_accounts WHERE api_key_id = $1',
        [storming.key.id],
      );
      await database.end();
      const counted = [...outcome.granted.values()].reduce((total, amount) => total + amount, 0n);
      expect(BigInt(rows[0]?.held ?? 0)).toBeGreaterThanOrEqual(counted);
      expect(BigInt(rows[0]?.held ?? 0)).toBeLessThanOrEqual(storming.limit);
    }
  });
});

/** What many would write: look whether there is room, then write down what was reckoned. */
const READ_THEN_WRITE = `
  CREATE OR REPLACE FUNCTION grant_holds(
    new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[], user_ids bigint[],
    reporters bigint[]
  ) RETURNS TABLE (
    n integer, outcome text, wait_seconds integer, id uuid, status text, amount text, expires_at timestamptz, states json
  ) LANGUAGE plpgsql AS $$
  #variable_conflict use_column
  DECLARE
    account budget_accounts;
    is_granted boolean[] := '{}';
  BEGIN
    SELECT * INTO account FROM budget_accounts WHERE api_key_id = keys[1];
    PERFORM pg_sleep(0.2);
    FOR place IN 1..cardinality(new_ids) LOOP
      is_granted[place] := account.held_micro_cents + amounts[place] <= account.limit_micro_cents;
      IF is_granted[place] THEN account.held_micro_cents := account.held_micro_cents + amounts[place]; END IF;
    END LOOP;
    UPDATE budget_accounts SET held_micro_cents = account.held_micro_cents WHERE id = account.id;
    RETURN QUERY
      SELECT place::integer, CASE WHEN granted THEN 'granted' ELSE 'budget_exhausted' END, NULL::integer, new_id, 'held',
        amount::text, now() + interval '1 hour', NULL::json
      FROM unnest(new_ids, amounts, is_granted) WITH ORDINALITY AS asked (new_id, amount, granted, place);
  END $$;
`;
