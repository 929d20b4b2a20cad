-- Takes an event back: out of the sums of its hour and of its key, and of what the budgets that it was charged to have
-- spent, as far as they still are in that period. Answers whether there is such an event, whether this took it back or an
-- earlier call did, and the states of the budgets of its key.
CREATE OR REPLACE FUNCTION reverse_usage(
  event_id bigint, by_user_id bigint, by_api_key_id bigint, OUT is_found boolean, OUT is_new boolean, OUT states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  event usage_events;
  hold budget_holds;
  charged_ids bigint[];
  -- The accounts that it may count in: of a key that has moved to another project since, not those above it.
  chain bigint[];
BEGIN
  SELECT * INTO event FROM usage_events WHERE id = reverse_usage.event_id LIMIT 1;
  is_found := event.id IS NOT NULL;
  is_new := false;
  IF NOT is_found THEN RETURN; END IF;
  PERFORM lock_budgets(ARRAY[event.api_key_id], CASE WHEN event.hold_id IS NOT NULL THEN ARRAY[event.hold_id] END);
  INSERT INTO usage_reversals (event_id, api_key_id, reversed_by_user_id, reversed_by_api_key_id, reversed_at)
    VALUES (event.id, event.api_key_id, by_user_id, by_api_key_id, clock_timestamp())
  ON CONFLICT DO NOTHING;
  is_new := FOUND;
  IF is_new THEN
    SELECT * INTO hold FROM budget_holds WHERE id = event.hold_id LIMIT 1;
    IF hold.id IS NOT NULL THEN
      charged_ids := ARRAY(
        SELECT account_id FROM unnest(hold.account_ids, hold.period_numbers) AS charge (account_id, period)
        CROSS JOIN LATERAL (
          SELECT FROM budget_accounts WHERE id = charge.account_id AND period_number = charge.period LIMIT 1
        ) AS of_this_period);
      PERFORM charge_budget_periods(hold.account_ids, hold.period_numbers,
        array_fill(-event.cost_micro_cents, ARRAY[cardinality(hold.account_ids)]),
        array_fill(0::bigint, ARRAY[cardinality(hold.account_ids)]));
    ELSE
      chain := ARRAY(
        SELECT id FROM (
          SELECT (account).id,
            max((account).linked_at) OVER (ORDER BY depth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS linked_at
          FROM budget_chains(ARRAY[event.api_key_id])
        ) AS accounts
        WHERE coalesce(linked_at, '-infinity') <= event.received_at);
      charged_ids := ARRAY(
        SELECT (account).id FROM budget_chains(ARRAY[event.api_key_id])
        WHERE (account).id = ANY(chain) AND coalesce((account).spent_since, (account).period_start) <= event.received_at
          AND ((account).period_type = 'total' OR budget_month(event.received_at) <= (account).period_start));
      UPDATE budget_periods SET spent_micro_cents = greatest(spent_micro_cents - event.cost_micro_cents, 0)
        WHERE account_id = ANY(chain)
          AND coalesce(spent_since, period_start) <= event.received_at AND budget_month(event.received_at) <= period_start;
    END IF;
    UPDATE budget_accounts SET revision = revision + 1,
        spent_micro_cents = greatest(spent_micro_cents - event.cost_micro_cents, 0)
      WHERE id = ANY(charged_ids);
    UPDATE usage_hourly_rollups SET requests = greatest(requests - 1, 0),
        request_tokens = greatest(request_tokens - event.request_tokens, 0),
        response_tokens = greatest(response_tokens - event.response_tokens, 0),
        cost_micro_cents = greatest(cost_micro_cents - event.cost_micro_cents, 0)
      WHERE api_key_id = event.api_key_id AND hour = date_bin('1 hour', event.occurred_at, 'epoch')
        AND model = coalesce(event.model, '');
    UPDATE api_key_totals SET requests = greatest(requests - 1, 0),
        tokens = greatest(tokens - event.request_tokens - event.response_tokens, 0),
        cost_micro_cents = greatest(cost_micro_cents - event.cost_micro_cents, 0)
      WHERE api_key_id = event.api_key_id;
  END IF;
  states := budget_states(ARRAY[event.api_key_id]);
END $$;
