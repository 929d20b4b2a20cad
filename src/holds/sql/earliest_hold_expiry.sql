-- When the first of the holds that count in an account ends.
CREATE OR REPLACE FUNCTION earliest_hold_expiry(account bigint) RETURNS timestamptz LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN (
    SELECT min(earliest.expires_at)
    FROM keys_under_accounts(ARRAY[account]) AS key
    CROSS JOIN LATERAL (
      SELECT expires_at FROM budget_holds WHERE api_key_id = key AND status = 'held' ORDER BY expires_at LIMIT 1
    ) AS earliest
  );
END $$;
