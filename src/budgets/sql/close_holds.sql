-- Gives back what open holds held: those whose time is over lapse, the others are released unless only_lapsed.
-- Answers how many were closed.
CREATE OR REPLACE FUNCTION close_holds(ids uuid[], only_lapsed boolean) RETURNS integer LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
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
    SELECT charge.account_id, least(sum(closed.amount_micro_cents), 9223372036854775807)::bigint AS amount
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
