-- Records events: each once per key, reporter and request id, with its rollups, totals and the settlement of its budget.
-- A sum that would pass 2^63 − 1 ends there. Answers one row. others: the status of each event that was not accepted, by
-- its place from 0, null when all were: duplicate, conflict (a duplicate whose content is another), unknown_key,
-- unknown_hold, hold_released, hold_settled. notices: how many thresholds of budgets were reached. states: of the budgets
-- of all keys.
CREATE OR REPLACE FUNCTION record_usage(
  keys bigint[], request_ids text[], endpoints text[], methods text[], models text[], request_tokens bigint[],
  response_tokens bigint[], costs bigint[], status_codes integer[], response_times bigint[], occurred_ats timestamptz[],
  hold_ids uuid[], user_ids bigint[], reporters bigint[], content_digests integer[], OUT others json,
  OUT notices integer, OUT states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  named_keys bigint[];
  named_holds uuid[] := nullif(array_remove(hold_ids, NULL), '{}');
  event_ids bigint[];
  may_be_nameless boolean;
  generations integer[];
  newest_generation integer;
  has_older_generations boolean;
  began_at timestamptz;
  at timestamptz := clock_timestamp();
  locked record;
  -- By event; null when all are accepted.
  statuses text[];
  -- Sorted.
  noted_ids bigint[];
  charged_keys bigint[];
  charged_costs bigint[];
  charged_ids bigint[];
  settled_ids uuid[];
  settled_costs bigint[];
BEGIN
  SELECT ARRAY(SELECT DISTINCT key FROM unnest(keys) AS key ORDER BY key),
    ARRAY(SELECT nextval('usage_event_ids') FROM generate_series(1, cardinality(keys))),
    (SELECT known_since > now() - interval '32 days' FROM usage_reporters LIMIT 1)
  INTO named_keys, event_ids, may_be_nameless;
  -- The moment of receipt lies in the month that is charged.
  LOOP
    began_at := at;
    SELECT * INTO locked FROM lock_budgets(named_keys, named_holds);
    at := clock_timestamp();
    EXIT WHEN budget_month(began_at) = budget_month(at);
  END LOOP;
  -- Read under the locks: events of a key wait for each other, so what the one before wrote is in these generations.
  generations := ARRAY(SELECT number FROM usage_request_generations ORDER BY number);
  newest_generation := generations[cardinality(generations)];
  has_older_generations := newest_generation > generations[1];
  IF named_holds IS NOT NULL OR locked.known_keys <> named_keys OR 0 = ANY(reporters)
    OR may_be_nameless AND has_nameless_requests(keys, request_ids)
    OR generations[1] = 0 AND has_former_requests(keys, request_ids)
  THEN
    statuses := judge_usage(keys, request_ids, reporters, content_digests, hold_ids, locked.known_keys);
  END IF;

  WITH noted AS (
    INSERT INTO usage_requests (generation, api_key_id, request_id, received_at, reporter, event_id, content_digest)
      SELECT newest_generation, input.api_key_id, input.request_id, at, input.reporter, input.event_id, input.content_digest
      FROM unnest(keys, request_ids, reporters, event_ids, content_digests, statuses)
        AS input (api_key_id, request_id, reporter, event_id, content_digest, status)
      LEFT JOIN LATERAL (
        SELECT event_id FROM usage_requests AS ids
        WHERE has_older_generations AND ids.generation <> newest_generation AND ids.api_key_id = input.api_key_id
          AND ids.request_id = input.request_id AND ids.reporter = input.reporter
        LIMIT 1
      ) AS earlier ON true
      WHERE coalesce(input.status, 'accepted') = 'accepted' AND earlier.event_id IS NULL
    ON CONFLICT DO NOTHING RETURNING event_id
  )
  SELECT array_agg(event_id ORDER BY event_id) INTO noted_ids FROM noted;
  IF statuses IS NULL AND cardinality(keys) > coalesce(cardinality(noted_ids), 0) THEN
    statuses := ARRAY(
      SELECT CASE
        WHEN noted_ids[width_bucket(event_id, noted_ids)] = event_id THEN 'accepted'
        WHEN earlier.content_digest <> input.content_digest THEN 'conflict'
        ELSE 'duplicate' END
      FROM unnest(keys, request_ids, reporters, event_ids, content_digests) WITH ORDINALITY
        AS input (api_key_id, request_id, reporter, event_id, content_digest, n)
      LEFT JOIN LATERAL (
        SELECT content_digest FROM usage_requests AS ids
        WHERE ids.api_key_id = input.api_key_id AND ids.request_id = input.request_id AND ids.reporter = input.reporter
          AND noted_ids[width_bucket(input.event_id, noted_ids)] IS DISTINCT FROM input.event_id
        LIMIT 1
      ) AS earlier ON true
      ORDER BY input.n);
  END IF;

  WITH taken AS MATERIALIZED (
    SELECT input.*
    FROM unnest(keys, request_ids, endpoints, methods, models, request_tokens, response_tokens, costs, status_codes,
      response_times, occurred_ats, hold_ids, user_ids, reporters, event_ids, statuses) AS input (api_key_id, request_id,
      endpoint, method, model, request_tokens, response_tokens, cost, status_code, response_time, occurred_at, hold_id,
      user_id, reporter, event_id, status)
    WHERE coalesce(input.status, 'accepted') = 'accepted'
  ), stored AS (
    INSERT INTO usage_events (api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens,
        cost_micro_cents, status_code, response_time_ms, hold_id, occurred_at, received_at, id, reported_by_user_id,
        reported_by_api_key_id)
      SELECT api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens, cost, status_code,
        response_time, hold_id, occurred_at, at, event_id, user_id, CASE WHEN reporter > 0 THEN reporter END FROM taken
  ), sums AS MATERIALIZED (
    SELECT api_key_id, date_bin('1 hour', occurred_at, 'epoch') AS hour, coalesce(model, '') AS model, count(*) AS requests,
      sum(request_tokens)::bigint AS request_tokens, sum(response_tokens)::bigint AS response_tokens,
      least(sum(cost), 9223372036854775807)::bigint AS cost,
      least(coalesce(sum(cost) FILTER (WHERE hold_id IS NULL), 0), 9223372036854775807)::bigint AS unheld_cost,
      max(occurred_at) AS last_occurred_at
    FROM taken GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
  ), rolled_up AS (
    INSERT INTO usage_hourly_rollups AS rollups
        (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
      SELECT api_key_id, hour, model, requests, request_tokens, response_tokens, cost FROM sums
    ON CONFLICT (api_key_id, hour, model) DO UPDATE SET
      requests = rollups.requests + least(excluded.requests, 9223372036854775807 - rollups.requests),
      request_tokens = rollups.request_tokens + least(excluded.request_tokens, 9223372036854775807 - rollups.request_tokens),
      response_tokens = rollups.response_tokens + least(excluded.response_tokens, 9223372036854775807 - rollups.response_tokens),
      cost_micro_cents = rollups.cost_micro_cents + least(excluded.cost_micro_cents, 9223372036854775807 - rollups.cost_micro_cents)
  ), sums_of_keys AS MATERIALIZED (
    SELECT api_key_id, sum(requests)::bigint AS requests, sum(request_tokens + response_tokens)::bigint AS tokens,
      least(sum(cost), 9223372036854775807)::bigint AS cost, least(sum(unheld_cost), 9223372036854775807)::bigint AS unheld_cost,
      max(last_occurred_at) AS last_occurred_at
    FROM sums GROUP BY 1 ORDER BY 1
  ), totalled AS (
    INSERT INTO api_key_totals AS totals (api_key_id, requests, tokens, cost_micro_cents, last_used_at)
      SELECT api_key_id, requests, tokens, cost, last_occurred_at FROM sums_of_keys
    ON CONFLICT (api_key_id) DO UPDATE SET
      requests = totals.requests + least(excluded.requests, 9223372036854775807 - totals.requests),
      tokens = totals.tokens + least(excluded.tokens, 9223372036854775807 - totals.tokens),
      cost_micro_cents = totals.cost_micro_cents + least(excluded.cost_micro_cents, 9223372036854775807 - totals.cost_micro_cents),
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
          spent_micro_cents = spent_micro_cents
            + least(charged_costs[width_bucket(api_key_id, charged_keys)], 9223372036854775807 - spent_micro_cents)
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
