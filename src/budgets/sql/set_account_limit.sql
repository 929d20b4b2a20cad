-- Sets the limit and the period type of an account; what is spent and held stays, in the period that now runs.
CREATE OR REPLACE FUNCTION set_account_limit(account bigint, new_limit bigint, new_type text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lock_budget_accounts(ARRAY[account]);
  UPDATE budget_accounts SET limit_micro_cents = new_limit, period_type = new_type, revision = revision + 1,
      -- What is spent stays: it counts from where it counted from.
      spent_since = CASE WHEN new_type = period_type THEN spent_since ELSE coalesce(spent_since, period_start) END,
      period_start = CASE
        WHEN new_type = period_type THEN period_start
        WHEN new_type = 'monthly' THEN budget_month(clock_timestamp())
        ELSE '-infinity' END
    WHERE id = account;
  PERFORM notice_budget_thresholds(ARRAY[account]);
END $$;
