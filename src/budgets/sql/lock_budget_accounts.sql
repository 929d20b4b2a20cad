-- Locks accounts in the one order, and begins the month of those whose month is over. Answers whether any has a limit,
-- and whether any has a parent.
CREATE OR REPLACE FUNCTION lock_budget_accounts(ids bigint[], OUT is_limited boolean, OUT is_chained boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
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
        spent_micro_cents = 0, held_micro_cents = 0, spent_since = NULL, revision = revision + 1
      WHERE id = ANY(ids) AND period_type = 'monthly' AND period_start < budget_month(clock_timestamp());
  END IF;
END $$;
