-- Closes open holds and returns their amounts to the budgets. Those whose time is over get the status lapsed, which the API
-- shows as expired; the others are released, unless only_lapsed is true. Returns how many were closed.
CREATE OR REPLACE FUNCTION close_holds(ids uuid[], only_lapsed boolean) RETURNS integer LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  at timestamptz;
  closed integer;
  returned_ids bigint[];
  returned bigint[];
  -- Of periods that their accounts are not in now.
  elsewhere_ids bigint[];
  elsewhere_numbers integer[];
  elsewhere bigint[];
BEGIN
  PERFORM lock_budget_accounts(accounts_of_holds(ids));
  at := clock_timestamp();
  WITH closed AS (
    UPDATE budget_holds SET closed_at = at, status = CASE WHEN expires_at <= at THEN 'lapsed' ELSE 'released' END
      WHERE id = ANY(ids) AND status = 'held' AND (expires_at <= at OR NOT only_lapsed)
      RETURNING amount_micro_cents, account_ids, period_numbers
  ), charges AS (
    SELECT charge.account_id, charge.period, closed.amount_micro_cents AS amount, of_this_period.id IS NULL AS is_elsewhere
    FROM closed CROSS JOIN unnest(closed.account_ids, closed.period_numbers) AS charge (account_id, period)
    LEFT JOIN LATERAL (
      SELECT id FROM budget_accounts WHERE id = charge.account_id AND period_number = charge.period LIMIT 1
    ) AS of_this_period ON true
  ), returned AS (
    SELECT account_id, least(sum(amount), 9223372036854775807)::bigint AS amount
    FROM charges WHERE NOT is_elsewhere GROUP BY account_id
  )
  SELECT (SELECT count(*) FROM closed), array_agg(account_id ORDER BY account_id), array_agg(-amount ORDER BY account_id),
    (SELECT array_agg(account_id) FROM charges WHERE is_elsewhere),
    (SELECT array_agg(period) FROM charges WHERE is_elsewhere),
    (SELECT array_agg(-amount) FROM charges WHERE is_elsewhere)
  INTO closed, returned_ids, returned, elsewhere_ids, elsewhere_numbers, elsewhere FROM returned;
  IF returned_ids IS NOT NULL THEN
    PERFORM charge_budget_accounts(returned_ids, array_fill(0::bigint, ARRAY[cardinality(returned)]), returned);
  END IF;
  IF elsewhere_ids IS NOT NULL THEN
    PERFORM charge_budget_periods(elsewhere_ids, elsewhere_numbers, array_fill(0::bigint, ARRAY[cardinality(elsewhere)]),
      elsewhere);
  END IF;
  RETURN closed;
END $$;
