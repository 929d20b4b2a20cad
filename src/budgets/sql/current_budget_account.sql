-- An account as it stands in the month that the clock is in, though it was not brought there yet.
CREATE OR REPLACE FUNCTION current_budget_account(account budget_accounts) RETURNS budget_accounts
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  month timestamptz := budget_month(clock_timestamp());
  kept budget_periods;
BEGIN
  IF account.period_type = 'monthly' AND account.period_start <> month THEN
    SELECT * INTO kept FROM budget_periods WHERE account_id = account.id AND period_start = month
      ORDER BY period_number DESC LIMIT 1;
    account.period_start := month;
    account.spent_micro_cents := coalesce(kept.spent_micro_cents, 0);
    account.held_micro_cents := coalesce(kept.held_micro_cents, 0);
  END IF;
  RETURN account;
END $$;
