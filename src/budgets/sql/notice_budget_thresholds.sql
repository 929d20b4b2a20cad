-- Notes which thresholds locked accounts have reached in their period. Answers how many are news.
CREATE OR REPLACE FUNCTION notice_budget_thresholds(ids bigint[]) RETURNS integer LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  noticed integer;
BEGIN
  INSERT INTO budget_notices (account_id, period_number, percent, period_start, spent_micro_cents, limit_micro_cents)
    SELECT id, period_number, percent, period_start, spent_micro_cents, limit_micro_cents
    FROM budget_accounts CROSS JOIN (VALUES (50), (80), (100)) AS threshold (percent)
    WHERE id = ANY(ids) AND spent_micro_cents > 0
      AND spent_micro_cents::numeric * 100 >= limit_micro_cents::numeric * percent
    ORDER BY id, percent
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS noticed = ROW_COUNT;
  RETURN noticed;
END $$;
