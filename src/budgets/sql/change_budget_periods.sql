-- Brings locked monthly accounts into the month that the clock is in, back as well as forth: a clock that jumped ahead comes
-- back. The period they were in is put away under its number; one of this month that was put away is taken out again, else
-- one with a new number begins at zero.
CREATE OR REPLACE FUNCTION change_budget_periods(ids bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  month timestamptz := budget_month(clock_timestamp());
  moving bigint[];
BEGIN
  moving := ARRAY(
    SELECT id FROM budget_accounts WHERE id = ANY(ids) AND period_type = 'monthly' AND period_start <> month);
  INSERT INTO budget_periods (account_id, period_number, period_start, spent_micro_cents, held_micro_cents, spent_since)
    SELECT id, period_number, period_start, spent_micro_cents, held_micro_cents, spent_since
    FROM budget_accounts WHERE id = ANY(moving) AND isfinite(period_start)
  ON CONFLICT (account_id, period_number) DO UPDATE SET period_start = excluded.period_start,
    spent_micro_cents = excluded.spent_micro_cents, held_micro_cents = excluded.held_micro_cents,
    spent_since = excluded.spent_since;
  WITH resumed AS (
    DELETE FROM budget_periods WHERE account_id = ANY(moving) AND period_start = month RETURNING *
  ), newest AS (
    SELECT DISTINCT ON (account_id) * FROM resumed ORDER BY account_id, period_number DESC
  ), periods AS (
    SELECT moved.id AS account_id, newest.period_number, newest.spent_micro_cents, newest.held_micro_cents, newest.spent_since
    FROM unnest(moving) AS moved (id) LEFT JOIN newest ON newest.account_id = moved.id
  )
  UPDATE budget_accounts AS accounts SET revision = revision + 1, period_start = month,
      period_number = coalesce(periods.period_number, greatest(newest_period_number, accounts.period_number) + 1),
      newest_period_number = greatest(newest_period_number, accounts.period_number)
        + CASE WHEN periods.period_number IS NULL THEN 1 ELSE 0 END,
      spent_micro_cents = coalesce(periods.spent_micro_cents, 0), held_micro_cents = coalesce(periods.held_micro_cents, 0),
      spent_since = periods.spent_since
    FROM periods WHERE accounts.id = ANY(moving) AND accounts.id = periods.account_id;
END $$;
