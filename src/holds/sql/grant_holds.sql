-- Grants holds in the order in which they come, each on the whole chain of its key or on none of it.
-- When all are granted, one row says so: outcome all_granted, and in expires_at the moment from which their seconds
-- count. Else each has a row: granted, existing (same id, or same key, request id and
-- reporter), unknown_key, disabled or expired (refused_keys), or the reason of a
-- refusal: amount_exceeds_limit, budget_exhausted, held. wait_seconds, for held: until holds end that stand in the way; 0 or
-- less when they have ended and were not swept yet. The first row carries the states of the budgets of all keys.
CREATE OR REPLACE FUNCTION grant_holds(
  new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[], user_ids bigint[],
  reporters bigint[]
) RETURNS TABLE (
  n integer, outcome text, wait_seconds integer, id uuid, status text, amount text, expires_at timestamptz, states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
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
  FROM (SELECT key, least(sum(amount), 9000000000000000000)::bigint AS amount FROM unnest(keys, amounts) AS asked (key, amount) GROUP BY key) AS sums;
  SELECT locked.is_chained INTO is_chained FROM lock_budgets(named_keys, NULL) AS locked;
  at := clock_timestamp();
  IF NOT is_chained THEN
    SELECT * INTO granted
    FROM grant_all_holds(new_ids, keys, amounts, ttl_seconds, request_ids, user_ids, reporters, named_keys, asked_amounts, at);
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
      array_agg(greatest(most - (account).spent_micro_cents, 0) - (account).held_micro_cents ORDER BY (account).id),
      array_agg(0::bigint), array_agg(NULL::timestamptz), array_agg('infinity'::timestamptz)
    FROM (SELECT account, coalesce((account).limit_micro_cents, 9000000000000000000) AS most FROM accounts) AS accounts
  ) AS by_account;

  FOR item IN
    SELECT asked.id, asked.api_key_id, asked.amount, asked.ttl, refused.refusal,
      coalesce(same_id.id, same_request.id) AS earlier_id,
      min(asked.n) OVER (
        PARTITION BY asked.api_key_id, asked.request_id, asked.reporter, CASE WHEN asked.request_id IS NULL THEN asked.id END
      )::integer AS first_n
    FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids, reporters) WITH ORDINALITY
      AS asked (id, api_key_id, amount, ttl, request_id, reporter, n)
    LEFT JOIN LATERAL (
      SELECT refusal FROM refused_keys(ARRAY[asked.api_key_id], at) LIMIT 1
    ) AS refused ON true
    LEFT JOIN LATERAL (SELECT id FROM budget_holds WHERE id = asked.id LIMIT 1) AS same_id ON true
    LEFT JOIN LATERAL (
      SELECT id FROM budget_holds WHERE api_key_id = asked.api_key_id AND request_id = asked.request_id
        AND (asked.reporter IS NULL OR coalesce(taken_by_api_key_id, -taken_by_user_id, asked.reporter) = asked.reporter)
      LIMIT 1
    ) AS same_request ON true
    ORDER BY asked.n
  LOOP
    reason := NULL;
    free_at := NULL;
    key_place := CASE WHEN item.refusal IS NULL THEN width_bucket(item.api_key_id, known_keys) END;
    key_places := key_places || key_place;
    IF item.refusal = 'unknown_key' THEN
      reason := 'unknown_key';
    ELSIF item.earlier_id IS NOT NULL OR granted_by_first[item.first_n] IS NOT NULL THEN
      outcomes := outcomes || 'existing'::text;
      hold_ids := hold_ids || coalesce(item.earlier_id, granted_by_first[item.first_n]);
      waits := waits || NULL::integer;
      CONTINUE;
    ELSIF item.refusal IS NOT NULL THEN
      reason := item.refusal;
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
    INSERT INTO budget_holds (id, api_key_id, request_id, amount_micro_cents, account_ids, period_numbers, expires_at,
        taken_by_user_id, taken_by_api_key_id)
      SELECT id, api_key_id, request_id, amount, link_ids[first_links[key_place]:last_links[key_place]],
        link_periods[first_links[key_place]:last_links[key_place]], at + ttl * interval '1 second', user_id,
        CASE WHEN reporter > 0 THEN reporter END
      FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids, user_ids, reporters, outcomes, key_places)
        AS asked (id, api_key_id, amount, ttl, request_id, user_id, reporter, outcome, key_place)
      WHERE outcome = 'granted';

    -- The guard: whatever was reckoned above, no account passes its limit by a grant.
    UPDATE budget_accounts AS accounts SET revision = revision + 1,
        held_micro_cents = held_micro_cents + added[width_bucket(id, ids)]
      WHERE id = ANY(ids) AND (limit_micro_cents IS NULL OR added[width_bucket(id, ids)] = 0
        OR added[width_bucket(id, ids)] <= greatest(limit_micro_cents - spent_micro_cents, 0) - held_micro_cents);
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
