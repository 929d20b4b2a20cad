-- Locks accounts in the one order, and brings monthly ones into the month that the clock is in. Answers whether any has a
-- limit, and whether any has a parent.
CREATE OR REPLACE FUNCTION lock_budget_accounts(ids bigint[], OUT is_limited boolean, OUT is_chained boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  is_in_another_month boolean;
BEGIN
  SELECT bool_or(limit_micro_cents IS NOT NULL), bool_or(parent_id IS NOT NULL),
    bool_or(period_type = 'monthly' AND period_start <> budget_month(clock_timestamp()))
  INTO is_limited, is_chained, is_in_another_month
  FROM (
    SELECT limit_micro_cents, parent_id, period_type, period_start FROM budget_accounts
    WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE
  ) AS locked;
  IF is_in_another_month THEN PERFORM change_budget_periods(ids); END IF;
END $$;
