import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Holds, and the functions that move money. Every function first locks the accounts it touches, ancestors included,
 * in the order of their ids, and looks at them in a later statement: a statement that waited for a lock does not read
 * its other tables again. Holding those locks also keeps the holds and request ids of the keys still.
 *
 * A session plans each statement once, often while the tables are empty. So that such a plan is never ruinous later,
 * tables are only ever asked by index: with `= ANY (…)`, or row by row in a LATERAL that cannot be merged.
 */
export class CreateBudgetLedger1763800700000 implements MigrationInterface {
  readonly name = 'CreateBudgetLedger1763800700000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLES);
    await runner.query(ACCOUNT_FUNCTIONS);
    await runner.query(HOLD_VIEWS);
    await runner.query(GRANT_HOLDS);
    await runner.query(CLOSE_HOLDS);
    await runner.query(USAGE_STEPS);
    await runner.query(RECORD_USAGE);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION record_usage(bigint[], text[], text[], text[], text[], bigint[], bigint[], bigint[], integer[], bigint[],
        timestamptz[], uuid[]);
      DROP FUNCTION judge_usage(bigint[], text[], uuid[], bigint[]), charge_usage(bigint[], bigint[], uuid[], bigint[]);
      DROP FUNCTION release_holds(uuid[]), extend_holds(uuid[], integer[]), sweep_lapsed_holds(integer, bigint[]),
        close_holds(uuid[], boolean);
      DROP FUNCTION grant_holds(uuid[], bigint[], bigint[], integer[], text[]), grant_all_holds(uuid[], bigint[], bigint[],
        integer[], text[], bigint[], bigint[], timestamptz);
      DROP FUNCTION find_holds(uuid[]), earliest_hold_expiry(bigint);
      DROP FUNCTION set_budget_limit(bigint, bigint, text), notice_budget_thresholds(bigint[]),
        charge_budget_accounts(bigint[], bigint[], bigint[]), lock_budgets(bigint[], uuid[]),
        lock_budget_accounts(bigint[]), budget_states(bigint[]),
        budget_state(budget_accounts, integer),
        keys_under_accounts(bigint[]), accounts_of_holds(uuid[]), budget_chains(bigint[]),
        ensure_budget_accounts(bigint[]), budget_month(timestamptz);
      DROP TABLE budget_notices, budget_holds;
    `);
  }
}

/** Of every function: how its statements are planned. */
const PLANS = 'SET plan_cache_mode = force_generic_plan SET enable_seqscan = off';

/** What an account without a limit can count, in micro-cents: nearly 2^63. */
const MOST_COUNTED = '9000000000000000000';

const TABLES = `
  CREATE TABLE budget_holds (
    id uuid NOT NULL CONSTRAINT budget_holds_pkey PRIMARY KEY,
    api_key_id bigint NOT NULL,
    request_id text,
    amount_micro_cents bigint NOT NULL,
    status text NOT NULL DEFAULT 'held',
    account_ids bigint[] NOT NULL,
    period_numbers integer[] NOT NULL,
    cost_micro_cents bigint,
    expires_at timestamptz NOT NULL,
    closed_at timestamptz,
    CONSTRAINT budget_holds_status_check CHECK (status IN ('held', 'settled', 'released', 'lapsed')),
    CONSTRAINT budget_holds_amount_check CHECK (amount_micro_cents > 0 AND cost_micro_cents >= 0),
    CONSTRAINT budget_holds_chain_check CHECK (cardinality(account_ids) = cardinality(period_numbers))
  );
  CREATE UNIQUE INDEX budget_holds_request_key ON budget_holds (api_key_id, request_id) WHERE request_id IS NOT NULL;
  CREATE INDEX budget_holds_expires_at_idx ON budget_holds (expires_at) WHERE status = 'held';
  CREATE INDEX budget_holds_api_key_id_idx ON budget_holds (api_key_id, expires_at) WHERE status = 'held';

  -- The outbox of thresholds reached: a row is written with the charge that reached it, once per period.
  CREATE TABLE budget_notices (
    account_id bigint NOT NULL CONSTRAINT budget_notices_account_id_fkey REFERENCES budget_accounts (id),
    period_number integer NOT NULL,
    percent integer NOT NULL,
    period_start timestamptz NOT NULL,
    spent_micro_cents bigint NOT NULL,
    limit_micro_cents bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    CONSTRAINT budget_notices_pkey PRIMARY KEY (account_id, period_number, percent)
  );
  CREATE INDEX budget_notices_unpublished_idx ON budget_notices (noticed_at) WHERE published_at IS NULL;
`;

const ACCOUNT_FUNCTIONS = `
  CREATE FUNCTION budget_month(at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT date_trunc('month', at, 'UTC')
  $$;

  -- Makes the accounts of keys that have none yet.
  CREATE FUNCTION ensure_budget_accounts(keys bigint[]) RETURNS void LANGUAGE plpgsql ${PLANS} AS $$
  BEGIN
    INSERT INTO budget_accounts (api_key_id)
      SELECT api_keys.id FROM api_keys
      WHERE id = ANY(keys)
        AND (SELECT accounts.id FROM budget_accounts AS accounts WHERE api_key_id = api_keys.id) IS NULL
      ORDER BY id
    ON CONFLICT (api_key_id) DO NOTHING;
  END $$;

  -- The accounts that a charge to each key counts in: its own first (depth 1), then at most 15 ancestors.
  CREATE FUNCTION budget_chains(keys bigint[])
  RETURNS TABLE (api_key_id bigint, depth integer, account budget_accounts) LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  BEGIN
    RETURN QUERY
      WITH RECURSIVE chain AS (
        SELECT accounts.api_key_id, 1 AS depth, accounts AS account
        FROM budget_accounts AS accounts WHERE accounts.api_key_id = ANY(keys)
        UNION ALL
        SELECT chain.api_key_id, chain.depth + 1, parents.account
        FROM chain CROSS JOIN LATERAL (
          SELECT accounts AS account FROM budget_accounts AS accounts WHERE id = (chain.account).parent_id LIMIT 1
        ) AS parents
        WHERE chain.depth < 16
      )
      SELECT chain.api_key_id, chain.depth, chain.account FROM chain;
  END $$;

  -- The keys whose charges count in any of these accounts.
  CREATE FUNCTION keys_under_accounts(ids bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql ${PLANS} AS $$
  BEGIN
    RETURN QUERY
      WITH RECURSIVE family AS (
        SELECT id, api_key_id FROM budget_accounts WHERE id = ANY(ids)
        UNION
        SELECT children.id, children.api_key_id FROM family CROSS JOIN LATERAL (
          SELECT accounts.id, accounts.api_key_id FROM budget_accounts AS accounts WHERE parent_id = family.id OFFSET 0
        ) AS children
      )
      SELECT api_key_id FROM family WHERE api_key_id IS NOT NULL;
  END $$;

  -- What an account stands at: [id, depth, revision, limit, period type, period start in Unix ms or null, spent, held].
  -- What may pass 2^53 is text.
  CREATE FUNCTION budget_state(account budget_accounts, depth integer) RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_array(account.id, depth, account.revision, account.limit_micro_cents::text, account.period_type,
      CASE WHEN isfinite(account.period_start) THEN (extract(epoch FROM account.period_start) * 1000)::bigint END,
      account.spent_micro_cents::text, account.held_micro_cents::text)
  $$;

  -- What each key's budget stands at: {key: [its own account, …ancestors]}, only accounts with a limit and keys that
  -- have one.
  CREATE FUNCTION budget_states(keys bigint[]) RETURNS json LANGUAGE sql AS $$
    SELECT json_object_agg(api_key_id, accounts) FROM (
      SELECT api_key_id, json_agg(budget_state(account, depth) ORDER BY depth) AS accounts
      FROM budget_chains(keys) WHERE (account).limit_micro_cents IS NOT NULL GROUP BY api_key_id
    ) AS states
  $$;

  -- Locks accounts in the one order, and begins the month of those whose month is over. Answers whether any has a limit,
  -- and whether any has a parent.
  CREATE FUNCTION lock_budget_accounts(ids bigint[], OUT is_limited boolean, OUT is_chained boolean)
  LANGUAGE plpgsql ${PLANS} AS $$
  DECLARE
    is_over boolean;
  BEGIN
    SELECT bool_or(limit_micro_cents IS NOT NULL), bool_or(parent_id IS NOT NULL),
      bool_or(period_type = 'monthly' AND period_start < budget_month(clock_timestamp()))
    INTO is_limited, is_chained, is_over
    FROM (
      SELECT limit_micro_cents, parent_id, period_type, period_start FROM budget_accounts
      WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE
    ) AS locked;
    IF is_over THEN
      UPDATE budget_accounts SET period_start = budget_month(clock_timestamp()), period_number = period_number + 1,
          spent_micro_cents = 0, held_micro_cents = 0, revision = revision + 1
        WHERE id = ANY(ids) AND period_type = 'monthly' AND period_start < budget_month(clock_timestamp());
    END IF;
  END $$;

  -- Locks the accounts in which charges to these keys and holds count; those that keys lack are made. Keys are named
  -- once, in order; holds that are not named are null. Answers the keys that there are, and as lock_budget_accounts does.
  CREATE FUNCTION lock_budgets(
    keys bigint[], hold_ids uuid[], OUT known_keys bigint[], OUT is_limited boolean, OUT is_chained boolean
  ) LANGUAGE plpgsql ${PLANS} AS $$
  DECLARE
    ids bigint[];
  BEGIN
    SELECT array_agg(id), array_agg(api_key_id ORDER BY api_key_id), bool_or(parent_id IS NOT NULL)
    INTO ids, known_keys, is_chained
    FROM budget_accounts WHERE api_key_id = ANY(keys);
    IF is_chained OR known_keys IS DISTINCT FROM keys OR hold_ids IS NOT NULL THEN
      PERFORM ensure_budget_accounts(keys);
      ids := ARRAY(SELECT (account).id FROM budget_chains(keys) UNION SELECT unnest(accounts_of_holds(hold_ids)));
      known_keys := ARRAY(SELECT api_key_id FROM budget_accounts WHERE api_key_id = ANY(keys) ORDER BY api_key_id);
    END IF;
    SELECT locked.is_limited, locked.is_chained INTO is_limited, is_chained FROM lock_budget_accounts(ids) AS locked;
  END $$;

  -- Adds to what locked accounts have spent and hold. Each is named once, in the order of the ids: width_bucket is the
  -- binary search for a place in a sorted array.
  CREATE FUNCTION charge_budget_accounts(ids bigint[], spent bigint[], held bigint[]) RETURNS void
  LANGUAGE plpgsql ${PLANS} AS $$
  BEGIN
    UPDATE budget_accounts SET revision = revision + 1,
        spent_micro_cents = spent_micro_cents + spent[width_bucket(id, ids)],
        held_micro_cents = held_micro_cents + held[width_bucket(id, ids)]
      WHERE id = ANY(ids);
  END $$;

  -- Notes which thresholds locked accounts have reached in their period. Answers how many are news.
  CREATE FUNCTION notice_budget_thresholds(ids bigint[]) RETURNS integer LANGUAGE plpgsql ${PLANS} AS $$
  DECLARE
    noticed integer;
  BEGIN
    INSERT INTO budget_notices (account_id, period_number, percent, period_start, spent_micro_cents, limit_micro_cents)
      SELECT id, period_number, percent, period_start, spent_micro_cents, limit_micro_cents
      FROM budget_accounts CROSS JOIN (VALUES (50), (80), (100)) AS threshold (percent)
      WHERE id = ANY(ids) AND spent_micro_cents > 0
        AND spent_micro_cents::numeric * 100 >= limit_micro_cents::numeric * percent
      ORDER BY id, percent
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS noticed = ROW_COUNT;
    RETURN noticed;
  END $$;

  -- Sets the limit and the period type of a key's account; what is spent and held stays, in the period that now runs.
  CREATE FUNCTION set_budget_limit(key bigint, new_limit bigint, new_type text) RETURNS void LANGUAGE plpgsql AS $$
  DECLARE
    account bigint;
  BEGIN
    PERFORM ensure_budget_accounts(ARRAY[key]);
    SELECT id INTO account FROM budget_accounts WHERE api_key_id = key;
    PERFORM lock_budget_accounts(ARRAY[account]);
    UPDATE budget_accounts SET limit_micro_cents = new_limit, period_type = new_type, revision = revision + 1,
        period_start = CASE
          WHEN new_type = period_type THEN period_start
          WHEN new_type = 'monthly' THEN budget_month(clock_timestamp())
          ELSE '-infinity' END
      WHERE id = account;
    PERFORM notice_budget_thresholds(ARRAY[account]);
  END $$;
`;

const HOLD_VIEWS = `
  -- The accounts in which holds count.
  CREATE FUNCTION accounts_of_holds(ids uuid[]) RETURNS bigint[] LANGUAGE plpgsql ${PLANS} AS $$
  BEGIN
    RETURN ARRAY(SELECT DISTINCT unnest(account_ids) FROM budget_holds WHERE id = ANY(ids));
  END $$;

  -- When the first of the holds that count in an account ends.
  CREATE FUNCTION earliest_hold_expiry(account bigint) RETURNS timestamptz LANGUAGE plpgsql ${PLANS} AS $$
  BEGIN
    RETURN (
      SELECT min(earliest.expires_at)
      FROM keys_under_accounts(ARRAY[account]) AS key
      CROSS JOIN LATERAL (
        SELECT expires_at FROM budget_holds WHERE api_key_id = key AND status = 'held' ORDER BY expires_at LIMIT 1
      ) AS earliest
    );
  END $$;

  -- Holds as they are shown. One whose time is over has lapsed, swept or not. The first row carries the states of the
  -- budgets of all keys.
  CREATE FUNCTION find_holds(ids uuid[]) RETURNS TABLE (
    id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamptz, states json
  ) LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  BEGIN
    RETURN QUERY
      WITH holds AS MATERIALIZED (
        SELECT *, row_number() OVER () AS n FROM budget_holds WHERE id = ANY(ids)
      )
      SELECT id, api_key_id, CASE WHEN status = 'held' AND expires_at <= clock_timestamp() THEN 'lapsed' ELSE status END,
        amount_micro_cents::text, cost_micro_cents::text, expires_at,
        CASE WHEN n = 1 THEN budget_states(ARRAY(SELECT DISTINCT api_key_id FROM holds)) END
      FROM holds;
  END $$;
`;

const GRANT_HOLDS = `
  -- Grants holds when nothing stands in the way of any of them: every key is there and its account, which is locked and
  -- has no parent, has room for all that is asked of it, and none was granted before. Otherwise does nothing. Answers
  -- whether it granted them, and the states of the budgets of all keys.
  CREATE FUNCTION grant_all_holds(
    new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[], named_keys bigint[],
    asked_amounts bigint[], at timestamptz, OUT is_granted boolean, OUT states json
  ) LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  DECLARE
    ids bigint[];
    periods integer[];
    fitting integer;
    changed integer;
  BEGIN
    is_granted := false;
    SELECT array_agg(id ORDER BY api_key_id), array_agg(period_number ORDER BY api_key_id),
      count(*) FILTER (WHERE asked_amounts[width_bucket(api_key_id, named_keys)]
        <= coalesce(limit_micro_cents, ${MOST_COUNTED}) - spent_micro_cents - held_micro_cents)
    INTO ids, periods, fitting FROM budget_accounts WHERE api_key_id = ANY(named_keys);
    IF fitting < cardinality(named_keys)
      OR cardinality(named_keys) > (SELECT count(*) FROM api_keys WHERE id = ANY(named_keys) AND deleted_at IS NULL)
      OR EXISTS (SELECT FROM budget_holds WHERE id = ANY(new_ids))
      OR cardinality(array_remove(request_ids, NULL)) > 0 AND EXISTS (
        SELECT FROM unnest(keys, request_ids) AS asked (api_key_id, request_id)
        LEFT JOIN LATERAL (
          SELECT id FROM budget_holds WHERE api_key_id = asked.api_key_id AND request_id = asked.request_id LIMIT 1
        ) AS earlier ON true
        WHERE asked.request_id IS NOT NULL
        GROUP BY asked.api_key_id, asked.request_id HAVING count(*) > 1 OR count(earlier.id) > 0
      )
    THEN RETURN; END IF;

    INSERT INTO budget_holds (id, api_key_id, request_id, amount_micro_cents, account_ids, period_numbers, expires_at)
      SELECT id, api_key_id, request_id, amount, ARRAY[ids[place]], ARRAY[periods[place]], at + ttl * interval '1 second'
      FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids) AS asked (id, api_key_id, amount, ttl, request_id)
      CROSS JOIN LATERAL (SELECT width_bucket(api_key_id, named_keys) AS place) AS places;
    WITH charged AS (
      UPDATE budget_accounts AS accounts SET revision = revision + 1,
          held_micro_cents = held_micro_cents + asked_amounts[width_bucket(api_key_id, named_keys)]
        WHERE api_key_id = ANY(named_keys) AND (limit_micro_cents IS NULL
          OR asked_amounts[width_bucket(api_key_id, named_keys)] <= limit_micro_cents - spent_micro_cents - held_micro_cents)
        RETURNING accounts AS account
    )
    SELECT count(*), json_object_agg((account).api_key_id, json_build_array(budget_state(account, 1)))
      FILTER (WHERE (account).limit_micro_cents IS NOT NULL)
    INTO changed, states FROM charged;
    IF changed <> cardinality(ids) THEN
      RAISE EXCEPTION 'A grant would have passed the limit of an account.';
    END IF;
    is_granted := true;
  END $$;

  -- Grants holds in the order in which they come, each on the whole chain of its key or on none of it.
  -- When all are granted, one row says so: outcome all_granted, and in expires_at the moment from which their seconds
  -- count. Else each has a row: granted, existing (same id, or same key and request id), unknown_key, or the reason of a
  -- refusal: amount_exceeds_limit, budget_exhausted, held. wait_seconds, for held: until holds end that stand in the way; 0 or
  -- less when they have ended and were not swept yet. The first row carries the states of the budgets of all keys.
  CREATE FUNCTION grant_holds(
    new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[]
  ) RETURNS TABLE (
    n integer, outcome text, wait_seconds integer, id uuid, status text, amount text, expires_at timestamptz, states json
  ) LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  DECLARE
    at timestamptz;
    is_chained boolean;
    granted record;
    -- By key: what is asked for altogether.
    named_keys bigint[];
    asked_amounts bigint[];
    -- By key: where its chain begins and ends in the arrays by link.
    known_keys bigint[];
    first_links integer[];
    last_links integer[];
    -- By link of a chain, those of a key one after the other.
    link_ids bigint[];
    link_periods integer[];
    -- By account. One without a limit still has that of what can be counted.
    ids bigint[];
    limits bigint[];
    spent bigint[];
    room bigint[];
    added bigint[];
    stored_expiries timestamptz[];
    granted_expiries timestamptz[];
    -- By hold that is asked for.
    outcomes text[] := '{}';
    hold_ids uuid[] := '{}';
    waits integer[] := '{}';
    key_places integer[] := '{}';
    granted_by_first uuid[] := '{}';
    item record;
    key_place integer;
    place integer;
    reason text;
    free_at timestamptz;
    changed integer;
  BEGIN
    SELECT array_agg(key ORDER BY key), array_agg(amount ORDER BY key) INTO named_keys, asked_amounts
    FROM (SELECT key, least(sum(amount), ${MOST_COUNTED})::bigint AS amount FROM unnest(keys, amounts) AS asked (key, amount) GROUP BY key) AS sums;
    SELECT locked.is_chained INTO is_chained FROM lock_budgets(named_keys, NULL) AS locked;
    at := clock_timestamp();
    IF NOT is_chained THEN
      SELECT * INTO granted
      FROM grant_all_holds(new_ids, keys, amounts, ttl_seconds, request_ids, named_keys, asked_amounts, at);
      IF granted.is_granted THEN
        RETURN QUERY SELECT 1, 'all_granted', NULL::integer, NULL::uuid, NULL, NULL, at, granted.states;
        RETURN;
      END IF;
    END IF;
    WITH links AS MATERIALIZED (
      SELECT *, row_number() OVER (ORDER BY api_key_id, depth)::integer AS link FROM budget_chains(keys)
    ), chains AS (
      SELECT api_key_id, min(link) AS first_link, max(link) AS last_link FROM links GROUP BY api_key_id
    ), accounts AS (
      SELECT DISTINCT ON ((account).id) account FROM links ORDER BY (account).id
    )
    SELECT * INTO known_keys, first_links, last_links, link_ids, link_periods, ids, limits, spent, room, added,
      stored_expiries, granted_expiries
    FROM (
      SELECT array_agg(api_key_id ORDER BY api_key_id), array_agg(first_link ORDER BY api_key_id),
        array_agg(last_link ORDER BY api_key_id) FROM chains
    ) AS by_key, (
      SELECT array_agg((account).id ORDER BY link), array_agg((account).period_number ORDER BY link) FROM links
    ) AS by_link, (
      SELECT array_agg((account).id ORDER BY (account).id), array_agg(most ORDER BY (account).id),
        array_agg((account).spent_micro_cents ORDER BY (account).id),
        array_agg(most - (account).spent_micro_cents - (account).held_micro_cents ORDER BY (account).id),
        array_agg(0::bigint), array_agg(NULL::timestamptz), array_agg('infinity'::timestamptz)
      FROM (SELECT account, coalesce((account).limit_micro_cents, ${MOST_COUNTED}) AS most FROM accounts) AS accounts
    ) AS by_account;

    FOR item IN
      SELECT asked.id, asked.api_key_id, asked.amount, asked.ttl, known.id IS NOT NULL AS is_known,
        coalesce(same_id.id, same_request.id) AS earlier_id,
        min(asked.n) OVER (
          PARTITION BY asked.api_key_id, asked.request_id, CASE WHEN asked.request_id IS NULL THEN asked.id END
        )::integer AS first_n
      FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids) WITH ORDINALITY
        AS asked (id, api_key_id, amount, ttl, request_id, n)
      LEFT JOIN LATERAL (
        SELECT id FROM api_keys WHERE id = asked.api_key_id AND deleted_at IS NULL LIMIT 1
      ) AS known ON true
      LEFT JOIN LATERAL (SELECT id FROM budget_holds WHERE id = asked.id LIMIT 1) AS same_id ON true
      LEFT JOIN LATERAL (
        SELECT id FROM budget_holds WHERE api_key_id = asked.api_key_id AND request_id = asked.request_id LIMIT 1
      ) AS same_request ON true
      ORDER BY asked.n
    LOOP
      reason := NULL;
      free_at := NULL;
      key_place := CASE WHEN item.is_known THEN width_bucket(item.api_key_id, known_keys) END;
      key_places := key_places || key_place;
      IF NOT item.is_known THEN
        reason := 'unknown_key';
      ELSIF item.earlier_id IS NOT NULL OR granted_by_first[item.first_n] IS NOT NULL THEN
        outcomes := outcomes || 'existing'::text;
        hold_ids := hold_ids || coalesce(item.earlier_id, granted_by_first[item.first_n]);
        waits := waits || NULL::integer;
        CONTINUE;
      ELSE
        FOR link IN first_links[key_place]..last_links[key_place] LOOP
          place := width_bucket(link_ids[link], ids);
          IF item.amount <= room[place] THEN
            CONTINUE;
          ELSIF item.amount > limits[place] THEN
            reason := 'amount_exceeds_limit';
          ELSIF item.amount > limits[place] - spent[place] THEN
            reason := CASE WHEN reason = 'amount_exceeds_limit' THEN reason ELSE 'budget_exhausted' END;
          ELSE
            reason := coalesce(reason, 'held');
            IF stored_expiries[place] IS NULL THEN
              stored_expiries[place] := coalesce(earliest_hold_expiry(ids[place]), 'infinity');
            END IF;
            free_at := greatest(free_at, least(stored_expiries[place], granted_expiries[place]));
          END IF;
        END LOOP;
      END IF;
      IF reason IS NULL THEN
        FOR link IN first_links[key_place]..last_links[key_place] LOOP
          place := width_bucket(link_ids[link], ids);
          room[place] := room[place] - item.amount;
          added[place] := added[place] + item.amount;
          granted_expiries[place] := least(granted_expiries[place], at + item.ttl * interval '1 second');
        END LOOP;
        granted_by_first[item.first_n] := item.id;
      END IF;
      outcomes := outcomes || coalesce(reason, 'granted');
      hold_ids := hold_ids || CASE WHEN reason IS NULL THEN item.id END;
      waits := waits || CASE
        WHEN reason <> 'held' THEN NULL
        WHEN free_at = 'infinity' THEN 1
        ELSE ceil(extract(epoch FROM free_at - at))::integer END;
    END LOOP;

    IF cardinality(granted_by_first) > 0 THEN
      INSERT INTO budget_holds (id, api_key_id, request_id, amount_micro_cents, account_ids, period_numbers, expires_at)
        SELECT id, api_key_id, request_id, amount, link_ids[first_links[key_place]:last_links[key_place]],
          link_periods[first_links[key_place]:last_links[key_place]], at + ttl * interval '1 second'
        FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids, outcomes, key_places)
          AS asked (id, api_key_id, amount, ttl, request_id, outcome, key_place)
        WHERE outcome = 'granted';

      -- The guard: whatever was reckoned above, no account passes its limit by a grant.
      UPDATE budget_accounts AS accounts SET revision = revision + 1,
          held_micro_cents = held_micro_cents + added[width_bucket(id, ids)]
        WHERE id = ANY(ids) AND (limit_micro_cents IS NULL OR added[width_bucket(id, ids)] = 0
          OR added[width_bucket(id, ids)] <= limit_micro_cents - spent_micro_cents - held_micro_cents);
      GET DIAGNOSTICS changed = ROW_COUNT;
      IF changed <> cardinality(ids) THEN
        RAISE EXCEPTION 'A grant would have passed the limit of an account.';
      END IF;
    END IF;

    RETURN QUERY
      SELECT asked.n::integer, asked.outcome, asked.wait, asked.hold_id,
        CASE WHEN holds.status = 'held' AND holds.expires_at <= at THEN 'lapsed' ELSE holds.status END,
        holds.amount_micro_cents::text, holds.expires_at, CASE WHEN asked.n = 1 THEN budget_states(keys) END
      FROM unnest(outcomes, waits, hold_ids) WITH ORDINALITY AS asked (outcome, wait, hold_id, n)
      LEFT JOIN LATERAL (SELECT * FROM budget_holds WHERE id = asked.hold_id LIMIT 1) AS holds ON true
      ORDER BY asked.n;
  END $$;
`;

const CLOSE_HOLDS = `
  -- Gives back what open holds held: those whose time is over lapse, the others are released unless only_lapsed.
  -- Answers how many were closed.
  CREATE FUNCTION close_holds(ids uuid[], only_lapsed boolean) RETURNS integer LANGUAGE plpgsql ${PLANS} AS $$
  DECLARE
    at timestamptz;
    closed integer;
    returned_ids bigint[];
    returned bigint[];
  BEGIN
    PERFORM lock_budget_accounts(accounts_of_holds(ids));
    at := clock_timestamp();
    WITH closed AS (
      UPDATE budget_holds SET closed_at = at, status = CASE WHEN expires_at <= at THEN 'lapsed' ELSE 'released' END
        WHERE id = ANY(ids) AND status = 'held' AND (expires_at <= at OR NOT only_lapsed)
        RETURNING amount_micro_cents, account_ids, period_numbers
    ), returned AS (
      SELECT charge.account_id, sum(closed.amount_micro_cents) AS amount
      FROM closed CROSS JOIN unnest(closed.account_ids, closed.period_numbers) AS charge (account_id, period)
      CROSS JOIN LATERAL (
        SELECT FROM budget_accounts WHERE id = charge.account_id AND period_number = charge.period LIMIT 1
      ) AS of_this_period
      GROUP BY charge.account_id
    )
    SELECT (SELECT count(*) FROM closed), array_agg(account_id ORDER BY account_id), array_agg(-amount ORDER BY account_id)
    INTO closed, returned_ids, returned FROM returned;
    IF returned_ids IS NOT NULL THEN
      PERFORM charge_budget_accounts(returned_ids, array_fill(0::bigint, ARRAY[cardinality(returned)]), returned);
    END IF;
    RETURN closed;
  END $$;

  -- Gives holds back, and answers as find_holds does. One that is settled stays so; one that lapsed has lapsed.
  CREATE FUNCTION release_holds(ids uuid[]) RETURNS TABLE (
    id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamptz, states json
  ) LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM close_holds(ids, false);
    RETURN QUERY SELECT * FROM find_holds(ids);
  END $$;

  -- Lets holds live for at least so many seconds from now, and answers as find_holds does. Whichever is not held, or
  -- should have lapsed, stays as it is.
  CREATE FUNCTION extend_holds(ids uuid[], ttl_seconds integer[]) RETURNS TABLE (
    id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamptz, states json
  ) LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  BEGIN
    PERFORM lock_budget_accounts(accounts_of_holds(ids));
    UPDATE budget_holds AS holds SET expires_at = greatest(expires_at, clock_timestamp() + interval '1 second' * (
        SELECT max(ttl) FROM unnest(ids, ttl_seconds) AS asked (id, ttl) WHERE asked.id = holds.id))
      WHERE id = ANY(ids) AND status = 'held' AND expires_at > clock_timestamp();
    RETURN QUERY SELECT * FROM find_holds(ids);
  END $$;

  -- Closes lapsed holds, at most so many: any, or those that count in the accounts of these keys. Answers how many,
  -- with the states of the budgets of their keys.
  CREATE FUNCTION sweep_lapsed_holds(most integer, of_keys bigint[] DEFAULT NULL)
  RETURNS TABLE (swept integer, states json) LANGUAGE plpgsql ${PLANS} AS $$
  DECLARE
    at timestamptz := clock_timestamp();
    lapsed uuid[];
  BEGIN
    IF of_keys IS NULL THEN
      lapsed := ARRAY(
        SELECT id FROM budget_holds WHERE status = 'held' AND expires_at <= at ORDER BY expires_at LIMIT most);
    ELSE
      lapsed := ARRAY(
        SELECT holds.id
        FROM keys_under_accounts(ARRAY(SELECT DISTINCT (account).id FROM budget_chains(of_keys))) AS key
        CROSS JOIN LATERAL (
          SELECT id FROM budget_holds WHERE api_key_id = key AND status = 'held' AND expires_at <= at LIMIT most
        ) AS holds
        LIMIT most);
    END IF;
    swept := CASE WHEN cardinality(lapsed) = 0 THEN 0 ELSE close_holds(lapsed, true) END;
    IF swept > 0 THEN
      states := budget_states(ARRAY(SELECT DISTINCT api_key_id FROM budget_holds WHERE id = ANY(lapsed)));
    END IF;
    RETURN NEXT;
  END $$;
`;

const USAGE_STEPS = `
  -- What becomes of events that name holds, or keys that are not there: a status for each. Those that share a request
  -- id or a hold are judged in their order: only the first that counts, counts.
  CREATE FUNCTION judge_usage(keys bigint[], request_ids text[], hold_ids uuid[], known_keys bigint[]) RETURNS text[]
  LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  DECLARE
    statuses text[];
    item record;
    request_taken boolean[] := '{}';
    hold_taken boolean[] := '{}';
  BEGIN
    -- What each would be if it came alone.
    SELECT array_agg(
        CASE
          WHEN known_keys[width_bucket(input.api_key_id, known_keys)] IS DISTINCT FROM input.api_key_id THEN 'unknown_key'
          WHEN seen.request_id IS NOT NULL THEN 'duplicate'
          WHEN input.hold_id IS NULL THEN 'accepted'
          WHEN holds.id IS NULL THEN 'unknown_hold'
          WHEN holds.status = 'released' THEN 'hold_released'
          WHEN holds.status = 'settled' THEN 'hold_settled'
          ELSE 'accepted'
        END ORDER BY input.n)
    INTO statuses
    FROM unnest(keys, request_ids, hold_ids) WITH ORDINALITY AS input (api_key_id, request_id, hold_id, n)
    LEFT JOIN LATERAL (
      SELECT request_id FROM usage_request_ids WHERE api_key_id = input.api_key_id AND request_id = input.request_id LIMIT 1
    ) AS seen ON true
    LEFT JOIN LATERAL (
      SELECT id, status FROM budget_holds WHERE id = input.hold_id AND api_key_id = input.api_key_id LIMIT 1
    ) AS holds ON true;
    FOR item IN
      SELECT * FROM (
        SELECT n::integer, hold_id, status,
          count(*) OVER same_request + CASE WHEN hold_id IS NULL THEN 0 ELSE count(*) OVER same_hold - 1 END AS rivals,
          (min(n) OVER same_request)::integer AS request_place, (min(n) OVER same_hold)::integer AS hold_place
        FROM unnest(keys, request_ids, hold_ids, statuses) WITH ORDINALITY
          AS input (api_key_id, request_id, hold_id, status, n)
        WHERE status NOT IN ('unknown_key', 'duplicate')
        WINDOW same_request AS (PARTITION BY api_key_id, request_id), same_hold AS (PARTITION BY hold_id)
      ) AS contested
      WHERE rivals > 1 ORDER BY n
    LOOP
      IF request_taken[item.request_place] THEN
        statuses[item.n] := 'duplicate';
      ELSIF item.status = 'accepted' AND item.hold_id IS NOT NULL AND hold_taken[item.hold_place] THEN
        statuses[item.n] := 'hold_settled';
      ELSIF item.status = 'accepted' THEN
        request_taken[item.request_place] := true;
        IF item.hold_id IS NOT NULL THEN hold_taken[item.hold_place] := true; END IF;
      END IF;
    END LOOP;
    RETURN statuses;
  END $$;

  -- Charges what keys have spent to their chains, and settles holds. Answers the accounts that were charged.
  CREATE FUNCTION charge_usage(keys bigint[], costs bigint[], settled_ids uuid[], settled_costs bigint[]) RETURNS bigint[]
  LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  DECLARE
    ids bigint[];
    spent bigint[];
    held bigint[];
  BEGIN
    SELECT array_agg(account_id ORDER BY account_id), array_agg(sum_spent ORDER BY account_id),
      array_agg(sum_held ORDER BY account_id)
    INTO ids, spent, held
    FROM (
      SELECT account_id, sum(spent) AS sum_spent, sum(held) AS sum_held
      FROM (
        SELECT (chain.account).id AS account_id, cost AS spent, 0::bigint AS held
        FROM budget_chains(keys) AS chain
        JOIN unnest(keys, costs) AS charged (api_key_id, cost) USING (api_key_id)
        UNION ALL
        SELECT charge.account_id, settled.cost, CASE WHEN holds.status = 'held' THEN -holds.amount_micro_cents ELSE 0 END
        FROM unnest(settled_ids, settled_costs) AS settled (id, cost)
        CROSS JOIN LATERAL (SELECT * FROM budget_holds WHERE id = settled.id LIMIT 1) AS holds
        CROSS JOIN unnest(holds.account_ids, holds.period_numbers) AS charge (account_id, period)
        CROSS JOIN LATERAL (
          SELECT FROM budget_accounts WHERE id = charge.account_id AND period_number = charge.period LIMIT 1
        ) AS of_this_period
      ) AS charges
      GROUP BY account_id
    ) AS sums;
    UPDATE budget_holds SET status = 'settled', cost_micro_cents = settled_costs[width_bucket(id, settled_ids)],
        closed_at = clock_timestamp()
      WHERE id = ANY(settled_ids);
    PERFORM charge_budget_accounts(ids, spent, held);
    RETURN ids;
  END $$;
`;

const RECORD_USAGE = `
  -- Records events: each once per key and request id, with its rollups, totals and the settlement of its budget.
  -- Answers one row. others: the status of each event that was not accepted, by its place from 0, null when all were:
  -- duplicate, unknown_key, unknown_hold, hold_released, hold_settled. notices: how many thresholds of budgets were
  -- reached. states: of the budgets of all keys.
  CREATE FUNCTION record_usage(
    keys bigint[], request_ids text[], endpoints text[], methods text[], models text[], request_tokens bigint[],
    response_tokens bigint[], costs bigint[], status_codes integer[], response_times bigint[],
    occurred_ats timestamptz[], hold_ids uuid[], OUT others json, OUT notices integer, OUT states json
  ) LANGUAGE plpgsql ${PLANS} AS $$
  #variable_conflict use_column
  DECLARE
    named_keys bigint[] := ARRAY(SELECT DISTINCT key FROM unnest(keys) AS key ORDER BY key);
    named_holds uuid[] := nullif(array_remove(hold_ids, NULL), '{}');
    locked record;
    -- By event; null when all are accepted.
    statuses text[];
    noted_keys bigint[];
    noted_requests text[];
    charged_keys bigint[];
    charged_costs bigint[];
    charged_ids bigint[];
    settled_ids uuid[];
    settled_costs bigint[];
  BEGIN
    SELECT * INTO locked FROM lock_budgets(named_keys, named_holds);
    IF named_holds IS NOT NULL OR locked.known_keys <> named_keys THEN
      statuses := judge_usage(keys, request_ids, hold_ids, locked.known_keys);
    END IF;

    WITH noted AS (
      INSERT INTO usage_request_ids (api_key_id, request_id, received_at)
        SELECT api_key_id, request_id, now()
        FROM unnest(keys, request_ids, statuses) AS input (api_key_id, request_id, status)
        WHERE coalesce(status, 'accepted') = 'accepted'
      ON CONFLICT DO NOTHING RETURNING api_key_id, request_id
    )
    SELECT array_agg(api_key_id), array_agg(request_id) INTO noted_keys, noted_requests FROM noted;
    IF statuses IS NULL AND cardinality(keys) > coalesce(cardinality(noted_keys), 0) THEN
      statuses := ARRAY(
        SELECT CASE WHEN is_noted AND place = 1 THEN 'accepted' ELSE 'duplicate' END
        FROM (
          SELECT n, bool_or(n IS NULL) OVER same AS is_noted, row_number() OVER (same ORDER BY n) AS place
          FROM (
            SELECT * FROM unnest(keys, request_ids) WITH ORDINALITY AS input (api_key_id, request_id, n)
            UNION ALL
            SELECT api_key_id, request_id, NULL FROM unnest(noted_keys, noted_requests) AS noted (api_key_id, request_id)
          ) AS requests
          WINDOW same AS (PARTITION BY api_key_id, request_id)
        ) AS judged
        WHERE n IS NOT NULL ORDER BY n);
    END IF;

    WITH taken AS MATERIALIZED (
      SELECT input.*
      FROM unnest(keys, request_ids, endpoints, methods, models, request_tokens, response_tokens, costs, status_codes,
        response_times, occurred_ats, hold_ids, statuses) AS input (api_key_id, request_id, endpoint, method, model,
        request_tokens, response_tokens, cost, status_code, response_time, occurred_at, hold_id, status)
      WHERE coalesce(input.status, 'accepted') = 'accepted'
    ), stored AS (
      INSERT INTO usage_events (api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens,
          cost_micro_cents, status_code, response_time_ms, hold_id, occurred_at, received_at)
        SELECT api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens, cost, status_code,
          response_time, hold_id, occurred_at, now() FROM taken
    ), sums AS MATERIALIZED (
      SELECT api_key_id, date_bin('1 hour', occurred_at, 'epoch') AS hour, coalesce(model, '') AS model, count(*) AS requests,
        sum(request_tokens)::bigint AS request_tokens, sum(response_tokens)::bigint AS response_tokens,
        sum(cost)::bigint AS cost, coalesce(sum(cost) FILTER (WHERE hold_id IS NULL), 0)::bigint AS unheld_cost,
        max(occurred_at) AS last_occurred_at
      FROM taken GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ), rolled_up AS (
      INSERT INTO usage_hourly_rollups AS rollups
          (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
        SELECT api_key_id, hour, model, requests, request_tokens, response_tokens, cost FROM sums
      ON CONFLICT (api_key_id, hour, model) DO UPDATE SET
        requests = rollups.requests + excluded.requests,
        request_tokens = rollups.request_tokens + excluded.request_tokens,
        response_tokens = rollups.response_tokens + excluded.response_tokens,
        cost_micro_cents = rollups.cost_micro_cents + excluded.cost_micro_cents
    ), sums_of_keys AS MATERIALIZED (
      SELECT api_key_id, sum(requests)::bigint AS requests, sum(request_tokens + response_tokens)::bigint AS tokens,
        sum(cost)::bigint AS cost, sum(unheld_cost)::bigint AS unheld_cost, max(last_occurred_at) AS last_occurred_at
      FROM sums GROUP BY 1 ORDER BY 1
    ), totalled AS (
      INSERT INTO api_key_totals AS totals (api_key_id, requests, tokens, cost_micro_cents, last_used_at)
        SELECT api_key_id, requests, tokens, cost, last_occurred_at FROM sums_of_keys
      ON CONFLICT (api_key_id) DO UPDATE SET
        requests = totals.requests + excluded.requests,
        tokens = totals.tokens + excluded.tokens,
        cost_micro_cents = totals.cost_micro_cents + excluded.cost_micro_cents,
        last_used_at = greatest(totals.last_used_at, excluded.last_used_at)
    )
    SELECT * INTO charged_keys, charged_costs, settled_ids, settled_costs
    FROM (SELECT array_agg(api_key_id), array_agg(unheld_cost) FROM sums_of_keys) AS charged, (
      SELECT array_agg(hold_id ORDER BY hold_id), array_agg(cost ORDER BY hold_id) FROM taken WHERE hold_id IS NOT NULL
    ) AS settled;

    IF locked.is_chained OR settled_ids IS NOT NULL THEN
      charged_ids := charge_usage(charged_keys, charged_costs, settled_ids, settled_costs);
    ELSE
      WITH charged AS (
        UPDATE budget_accounts SET revision = revision + 1,
            spent_micro_cents = spent_micro_cents + charged_costs[width_bucket(api_key_id, charged_keys)]
          WHERE api_key_id = ANY(charged_keys) RETURNING id
      )
      SELECT array_agg(id) INTO charged_ids FROM charged;
    END IF;

    IF statuses IS NOT NULL THEN
      others := (
        SELECT json_object_agg(n - 1, status) FROM unnest(statuses) WITH ORDINALITY AS input (status, n)
        WHERE status <> 'accepted');
    END IF;
    notices := 0;
    IF locked.is_limited THEN
      notices := notice_budget_thresholds(charged_ids);
      states := budget_states(named_keys);
    END IF;
  END $$;
`;
