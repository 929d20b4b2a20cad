import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Holds, and the functions that move money. Every function first locks the accounts it touches, ancestors included,
 * in the order of their ids, and looks at them in a later statement: a statement that waited for a lock does not read
 * its other tables again. Holding those locks also keeps the holds and request ids of the keys still.
 */
export class CreateBudgetLedger1763800700000 implements MigrationInterface {
  readonly name = 'CreateBudgetLedger1763800700000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLES);
    await runner.query(ACCOUNT_FUNCTIONS);
    await runner.query(GRANT_HOLDS);
    await runner.query(CLOSE_HOLDS);
    await runner.query(RECORD_USAGE);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION record_usage(bigint[], text[], text[], text[], text[], bigint[], bigint[], bigint[], integer[], bigint[],
        timestamptz[], uuid[]);
      DROP FUNCTION release_hold(uuid), extend_hold(uuid, integer), sweep_lapsed_holds(integer);
      DROP FUNCTION grant_holds(uuid[], bigint[], bigint[], integer[], text[]);
      DROP FUNCTION set_budget_limit(bigint, bigint, text), lock_budget_accounts(bigint[]), budget_chains(bigint[]),
        ensure_budget_accounts(bigint[]), budget_month(timestamptz);
      DROP TABLE budget_notices, budget_holds;
    `);
  }
}

const TABLES = `
  CREATE TABLE budget_holds (
    id uuid NOT NULL CONSTRAINT budget_holds_pkey PRIMARY KEY,
    api_key_id bigint NOT NULL,
    request_id text,
    amount_micro_cents bigint NOT NULL,
    status text NOT NULL DEFAULT 'held',
    account_ids bigint[] NOT NULL,
    periods timestamptz[] NOT NULL,
    cost_micro_cents bigint,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    closed_at timestamptz,
    CONSTRAINT budget_holds_status_check CHECK (status IN ('held', 'settled', 'released', 'lapsed')),
    CONSTRAINT budget_holds_amount_check CHECK (amount_micro_cents > 0 AND cost_micro_cents >= 0),
    CONSTRAINT budget_holds_chain_check CHECK (cardinality(account_ids) = cardinality(periods))
  );
  CREATE UNIQUE INDEX budget_holds_request_key ON budget_holds (api_key_id, request_id) WHERE request_id IS NOT NULL;
  CREATE INDEX budget_holds_expires_at_idx ON budget_holds (expires_at) WHERE status = 'held';
  CREATE INDEX budget_holds_closed_at_idx ON budget_holds (closed_at) WHERE status <> 'held';

  CREATE TABLE budget_notices (
    account_id bigint NOT NULL CONSTRAINT budget_notices_account_id_fkey REFERENCES budget_accounts (id),
    period_start timestamptz NOT NULL,
    percent integer NOT NULL,
    spent_micro_cents bigint NOT NULL,
    limit_micro_cents bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    CONSTRAINT budget_notices_pkey PRIMARY KEY (account_id, period_start, percent)
  );
  CREATE INDEX budget_notices_unpublished_idx ON budget_notices (noticed_at) WHERE published_at IS NULL;
`;

const ACCOUNT_FUNCTIONS = `
  CREATE FUNCTION budget_month(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT date_trunc('month', at, 'UTC')
  $$;

  -- Makes the accounts of keys that have none yet.
  CREATE FUNCTION ensure_budget_accounts(keys bigint[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO budget_accounts (api_key_id)
      SELECT api_keys.id FROM api_keys
      WHERE id = ANY(keys) AND NOT EXISTS (SELECT FROM budget_accounts WHERE api_key_id = api_keys.id)
      ORDER BY id
    ON CONFLICT (api_key_id) DO NOTHING
  $$;

  -- The accounts that a charge to each key counts in: its own first (depth 1), then the ancestors.
  CREATE FUNCTION budget_chains(keys bigint[]) RETURNS TABLE (api_key_id bigint, account_id bigint, depth integer)
  LANGUAGE sql STABLE ROWS 100 AS $$
    WITH RECURSIVE chain AS (
      SELECT accounts.api_key_id, accounts.id, accounts.parent_id, 1 AS depth
      FROM budget_accounts AS accounts WHERE accounts.api_key_id = ANY(keys)
      UNION ALL
      SELECT chain.api_key_id, parents.id, parents.parent_id, chain.depth + 1
      FROM chain JOIN budget_accounts AS parents ON parents.id = chain.parent_id WHERE chain.depth < 16
    )
    SELECT api_key_id, id, depth FROM chain
  $$;

  -- Locks accounts in the one order, and begins the month of those whose month is over.
  CREATE FUNCTION lock_budget_accounts(ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM FROM budget_accounts WHERE id = ANY(ids) ORDER BY id FOR UPDATE;
    UPDATE budget_accounts SET period_start = budget_month(clock_timestamp()), spent_micro_cents = 0, held_micro_cents = 0
      WHERE id = ANY(ids) AND period_type = 'monthly' AND period_start < budget_month(clock_timestamp());
  END $$;

  -- Sets the limit and the period type of a key's account; what is spent and held stays, in the period that now runs.
  CREATE FUNCTION set_budget_limit(key bigint, new_limit bigint, new_type text) RETURNS void LANGUAGE plpgsql AS $$
  DECLARE
    account budget_accounts;
    new_period timestamptz;
  BEGIN
    PERFORM ensure_budget_accounts(ARRAY[key]);
    PERFORM lock_budget_accounts(ARRAY(SELECT id FROM budget_accounts WHERE api_key_id = key));
    SELECT * INTO account FROM budget_accounts WHERE api_key_id = key;
    new_period := CASE
      WHEN new_type = account.period_type THEN account.period_start
      WHEN new_type = 'monthly' THEN budget_month(clock_timestamp())
      ELSE '-infinity' END;
    UPDATE budget_accounts SET limit_micro_cents = new_limit, period_type = new_type, period_start = new_period
      WHERE id = account.id;
    IF new_period <> account.period_start THEN
      UPDATE budget_holds SET periods[array_position(account_ids, account.id)] = new_period
        WHERE status = 'held' AND account_ids @> ARRAY[account.id]
          AND periods[array_position(account_ids, account.id)] = account.period_start;
    END IF;
  END $$;
`;

const GRANT_HOLDS = `
  -- Grants holds in the order in which they come, each on the whole chain of its key or on none of it.
  -- outcome: granted, existing, unknown_key, amount_exceeds_limit, budget_exhausted, held
  CREATE FUNCTION grant_holds(
    new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[]
  ) RETURNS TABLE (n integer, outcome text, hold_id uuid) LANGUAGE plpgsql AS $$
  #variable_conflict use_column
  DECLARE
    at timestamptz;
    ids bigint[];
    limits bigint[];
    spent bigint[];
    room bigint[];
    added bigint[];
    item record;
    place integer;
    reason text;
    changed integer;
    expected integer;
    granted_ids uuid[] := '{}';
  BEGIN
    PERFORM ensure_budget_accounts(keys);
    PERFORM lock_budget_accounts(ARRAY(SELECT DISTINCT account_id FROM budget_chains(keys)));
    at := clock_timestamp();
    SELECT array_agg(id ORDER BY id), array_agg(limit_micro_cents ORDER BY id), array_agg(spent_micro_cents ORDER BY id),
      array_agg(limit_micro_cents - spent_micro_cents - held_micro_cents ORDER BY id),
      array_agg(0::bigint ORDER BY id)
    INTO ids, limits, spent, room, added
    FROM budget_accounts WHERE id IN (SELECT account_id FROM budget_chains(keys));

    FOR item IN
      WITH accounts AS (
        SELECT account_id, place::integer FROM unnest(ids) WITH ORDINALITY AS numbered (account_id, place)
      ), chains AS (
        SELECT api_key_id, array_agg(place ORDER BY depth) AS places
        FROM budget_chains(keys) JOIN accounts USING (account_id) GROUP BY api_key_id
      )
      SELECT asked.n::integer, asked.id, asked.api_key_id, asked.amount, asked.ttl, asked.request_id, chains.places,
        api_keys.id IS NOT NULL AS is_known, earlier.id AS earlier_id,
        min(asked.n) OVER (PARTITION BY asked.api_key_id, coalesce(asked.request_id, asked.id::text))::integer AS first_n
      FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids) WITH ORDINALITY
        AS asked (id, api_key_id, amount, ttl, request_id, n)
      LEFT JOIN api_keys ON api_keys.id = asked.api_key_id AND api_keys.deleted_at IS NULL
      LEFT JOIN chains ON chains.api_key_id = asked.api_key_id
      LEFT JOIN budget_holds AS earlier
        ON earlier.api_key_id = asked.api_key_id AND earlier.request_id = asked.request_id
      ORDER BY asked.n
    LOOP
      n := item.n;
      hold_id := item.id;
      IF NOT item.is_known THEN
        outcome := 'unknown_key';
      ELSIF item.earlier_id IS NOT NULL THEN
        outcome := 'existing';
        hold_id := item.earlier_id;
      ELSIF item.first_n < item.n AND new_ids[item.first_n] = ANY(granted_ids) THEN
        outcome := 'existing';
        hold_id := new_ids[item.first_n];
      ELSE
        reason := NULL;
        FOREACH place IN ARRAY item.places LOOP
          IF limits[place] IS NULL OR item.amount <= room[place] THEN CONTINUE; END IF;
          IF item.amount > limits[place] THEN
            reason := 'amount_exceeds_limit';
          ELSIF spent[place] + item.amount > limits[place] THEN
            reason := CASE WHEN reason = 'amount_exceeds_limit' THEN reason ELSE 'budget_exhausted' END;
          ELSE
            reason := coalesce(reason, 'held');
          END IF;
        END LOOP;
        outcome := coalesce(reason, 'granted');
        IF reason IS NULL THEN
          FOREACH place IN ARRAY item.places LOOP
            room[place] := room[place] - item.amount;
            added[place] := added[place] + item.amount;
          END LOOP;
          granted_ids := granted_ids || item.id;
        END IF;
      END IF;
      RETURN NEXT;
    END LOOP;

    IF cardinality(granted_ids) = 0 THEN RETURN; END IF;
    INSERT INTO budget_holds (id, api_key_id, request_id, amount_micro_cents, account_ids, periods, created_at, expires_at)
      SELECT asked.id, asked.api_key_id, asked.request_id, asked.amount, chains.account_ids, chains.periods, at,
        at + asked.ttl * interval '1 second'
      FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids) AS asked (id, api_key_id, amount, ttl, request_id)
      JOIN (
        SELECT chain.api_key_id, array_agg(accounts.id ORDER BY chain.depth) AS account_ids,
          array_agg(accounts.period_start ORDER BY chain.depth) AS periods
        FROM budget_chains(keys) AS chain JOIN budget_accounts AS accounts ON accounts.id = chain.account_id
        GROUP BY chain.api_key_id
      ) AS chains USING (api_key_id)
      WHERE asked.id = ANY(granted_ids);

    -- The guard: whatever was reckoned above, no account passes its limit by a grant.
    UPDATE budget_accounts AS accounts SET held_micro_cents = held_micro_cents + change.amount
      FROM unnest(ids, added) AS change (id, amount)
      WHERE accounts.id = change.id AND change.amount > 0
        AND (limit_micro_cents IS NULL OR spent_micro_cents + held_micro_cents + change.amount <= limit_micro_cents);
    GET DIAGNOSTICS changed = ROW_COUNT;
    SELECT count(*) INTO expected FROM unnest(added) AS amount WHERE amount > 0;
    IF changed <> expected THEN
      RAISE EXCEPTION 'A grant would have passed the limit of an account.';
    END IF;
  END $$;
`;

const CLOSE_HOLDS = `
  -- Gives a hold back. Answers its status: released, or what it was before when that was not held.
  CREATE FUNCTION release_hold(hold uuid) RETURNS text LANGUAGE plpgsql AS $$
  DECLARE
    target budget_holds;
  BEGIN
    SELECT * INTO target FROM budget_holds WHERE id = hold;
    IF NOT FOUND THEN RETURN NULL; END IF;
    PERFORM lock_budget_accounts(target.account_ids);
    SELECT * INTO target FROM budget_holds WHERE id = hold;
    IF target.status <> 'held' THEN RETURN target.status; END IF;
    UPDATE budget_holds SET status = 'released', closed_at = clock_timestamp() WHERE id = hold;
    UPDATE budget_accounts AS accounts SET held_micro_cents = held_micro_cents - target.amount_micro_cents
      FROM unnest(target.account_ids, target.periods) AS charge (account_id, period)
      WHERE accounts.id = charge.account_id AND accounts.period_start = charge.period;
    RETURN 'released';
  END $$;

  -- Lets a hold live for so many seconds from now. One that has lapsed, or should have, cannot come back.
  CREATE FUNCTION extend_hold(hold uuid, ttl_seconds integer) RETURNS text LANGUAGE plpgsql AS $$
  DECLARE
    target budget_holds;
  BEGIN
    SELECT * INTO target FROM budget_holds WHERE id = hold;
    IF NOT FOUND THEN RETURN NULL; END IF;
    PERFORM lock_budget_accounts(target.account_ids);
    SELECT * INTO target FROM budget_holds WHERE id = hold;
    IF target.status <> 'held' THEN RETURN target.status; END IF;
    IF target.expires_at <= clock_timestamp() THEN RETURN 'lapsed'; END IF;
    UPDATE budget_holds SET expires_at = clock_timestamp() + ttl_seconds * interval '1 second' WHERE id = hold;
    RETURN 'held';
  END $$;

  -- Returns what lapsed holds held; at most so many at a time. Answers how many lapsed.
  CREATE FUNCTION sweep_lapsed_holds(most integer) RETURNS integer LANGUAGE plpgsql AS $$
  DECLARE
    lapsed uuid[];
    swept integer;
  BEGIN
    lapsed := ARRAY(SELECT id FROM budget_holds WHERE status = 'held' AND expires_at <= clock_timestamp()
      ORDER BY expires_at LIMIT most);
    IF cardinality(lapsed) = 0 THEN RETURN 0; END IF;
    PERFORM lock_budget_accounts(ARRAY(
      SELECT DISTINCT unnest(account_ids) FROM budget_holds WHERE id = ANY(lapsed)));
    WITH closed AS (
      UPDATE budget_holds SET status = 'lapsed', closed_at = clock_timestamp()
        WHERE id = ANY(lapsed) AND status = 'held' AND expires_at <= clock_timestamp()
        RETURNING amount_micro_cents, account_ids, periods
    ), returned AS (
      SELECT accounts.id, sum(closed.amount_micro_cents) AS amount
      FROM closed CROSS JOIN unnest(closed.account_ids, closed.periods) AS charge (account_id, period)
      JOIN budget_accounts AS accounts ON accounts.id = charge.account_id AND accounts.period_start = charge.period
      GROUP BY accounts.id
    ), given_back AS (
      UPDATE budget_accounts AS accounts SET held_micro_cents = held_micro_cents - returned.amount
        FROM returned WHERE accounts.id = returned.id
    )
    SELECT count(*) INTO swept FROM closed;
    RETURN swept;
  END $$;
`;

const RECORD_USAGE = `
  -- Records events: each once per key and request id, with its rollups, totals and the settlement of its budget.
  -- status per event: accepted, duplicate, unknown_key, unknown_hold, hold_released, hold_settled
  CREATE FUNCTION record_usage(
    keys bigint[], request_ids text[], endpoints text[], methods text[], models text[], request_tokens bigint[],
    response_tokens bigint[], costs bigint[], status_codes integer[], response_times bigint[],
    occurred_ats timestamptz[], hold_ids uuid[]
  ) RETURNS TABLE (n integer, status text, notices bigint) LANGUAGE plpgsql AS $$
  #variable_conflict use_column
  BEGIN
    PERFORM ensure_budget_accounts(keys);
    PERFORM lock_budget_accounts(ARRAY(
      SELECT account_id FROM budget_chains(keys)
      UNION SELECT unnest(account_ids) FROM budget_holds WHERE id = ANY(hold_ids)));

    RETURN QUERY
    WITH input AS (
      SELECT * FROM unnest(keys, request_ids, endpoints, methods, models, request_tokens, response_tokens, costs,
        status_codes, response_times, occurred_ats, hold_ids) WITH ORDINALITY AS event (api_key_id, request_id, endpoint,
        method, model, request_tokens, response_tokens, cost, status_code, response_time, occurred_at, hold_id, n)
    ), judged AS (
      SELECT input.*, holds.status AS hold_status, holds.amount_micro_cents AS hold_amount, holds.account_ids, holds.periods,
        CASE
          WHEN api_keys.id IS NULL THEN 'unknown_key'
          WHEN seen.request_id IS NOT NULL THEN 'duplicate'
          WHEN row_number() OVER (PARTITION BY input.api_key_id, input.request_id ORDER BY input.n) > 1 THEN 'duplicate'
          WHEN input.hold_id IS NULL THEN 'accepted'
          WHEN holds.id IS NULL THEN 'unknown_hold'
          WHEN holds.status = 'released' THEN 'hold_released'
          WHEN holds.status = 'settled' THEN 'hold_settled'
          WHEN row_number() OVER (PARTITION BY input.hold_id ORDER BY input.n) > 1 THEN 'hold_settled'
          ELSE 'accepted'
        END AS status
      FROM input
      LEFT JOIN api_keys ON api_keys.id = input.api_key_id
      LEFT JOIN usage_request_ids AS seen
        ON seen.api_key_id = input.api_key_id AND seen.request_id = input.request_id
      LEFT JOIN budget_holds AS holds ON holds.id = input.hold_id AND holds.api_key_id = input.api_key_id
    ), taken AS MATERIALIZED (
      SELECT * FROM judged WHERE status = 'accepted'
    ), noted AS (
      INSERT INTO usage_request_ids (api_key_id, request_id, received_at)
        SELECT api_key_id, request_id, now() FROM taken ORDER BY api_key_id, request_id
    ), stored AS (
      INSERT INTO usage_events (api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens,
          cost_micro_cents, status_code, response_time_ms, hold_id, occurred_at, received_at)
        SELECT api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens, cost, status_code,
          response_time, hold_id, occurred_at, now() FROM taken
    ), rolled_up AS (
      INSERT INTO usage_hourly_rollups AS rollups
          (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
        SELECT api_key_id, date_trunc('hour', occurred_at, 'UTC'), coalesce(model, ''), count(*), sum(request_tokens),
          sum(response_tokens), sum(cost) FROM taken GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
      ON CONFLICT (api_key_id, hour, model) DO UPDATE SET
        requests = rollups.requests + excluded.requests,
        request_tokens = rollups.request_tokens + excluded.request_tokens,
        response_tokens = rollups.response_tokens + excluded.response_tokens,
        cost_micro_cents = rollups.cost_micro_cents + excluded.cost_micro_cents
    ), totalled AS (
      INSERT INTO api_key_totals AS totals (api_key_id, requests, tokens, cost_micro_cents, last_used_at)
        SELECT api_key_id, count(*), sum(request_tokens + response_tokens), sum(cost), max(occurred_at)
        FROM taken GROUP BY 1 ORDER BY 1
      ON CONFLICT (api_key_id) DO UPDATE SET
        requests = totals.requests + excluded.requests,
        tokens = totals.tokens + excluded.tokens,
        cost_micro_cents = totals.cost_micro_cents + excluded.cost_micro_cents,
        last_used_at = greatest(totals.last_used_at, excluded.last_used_at)
    ), settled AS (
      UPDATE budget_holds AS holds SET status = 'settled', cost_micro_cents = taken.cost, closed_at = clock_timestamp()
        FROM taken WHERE holds.id = taken.hold_id
    ), charges AS (
      SELECT chain.account_id, taken.cost AS spent, 0::bigint AS returned
      FROM taken JOIN budget_chains(keys) AS chain ON chain.api_key_id = taken.api_key_id
      WHERE taken.hold_id IS NULL
      UNION ALL
      SELECT accounts.id, taken.cost, CASE WHEN taken.hold_status = 'held' THEN taken.hold_amount ELSE 0 END
      FROM taken CROSS JOIN unnest(taken.account_ids, taken.periods) AS charge (account_id, period)
      JOIN budget_accounts AS accounts ON accounts.id = charge.account_id AND accounts.period_start = charge.period
      WHERE taken.hold_id IS NOT NULL
    ), charged AS (
      UPDATE budget_accounts AS accounts SET
          spent_micro_cents = accounts.spent_micro_cents + change.spent,
          held_micro_cents = accounts.held_micro_cents - change.returned
        FROM (SELECT account_id, sum(spent) AS spent, sum(returned) AS returned FROM charges GROUP BY account_id) AS change
        WHERE accounts.id = change.account_id
        RETURNING accounts.id, accounts.period_start, accounts.spent_micro_cents, accounts.limit_micro_cents
    ), noticed AS (
      INSERT INTO budget_notices (account_id, period_start, percent, spent_micro_cents, limit_micro_cents)
        SELECT id, period_start, percent, spent_micro_cents, limit_micro_cents
        FROM charged CROSS JOIN (VALUES (50), (80), (100)) AS threshold (percent)
        WHERE limit_micro_cents IS NOT NULL
          AND spent_micro_cents::numeric * 100 >= limit_micro_cents::numeric * percent
      ON CONFLICT DO NOTHING
      RETURNING 1
    )
    SELECT judged.n::integer, judged.status, (SELECT count(*) FROM noticed) FROM judged ORDER BY judged.n;
  END $$;
`;
