-- When the first of the holds that count in an account ends. Under an account of a project or an organization may be very
-- many keys: there all holds are looked through, in the order in which they end.
CREATE OR REPLACE FUNCTION earliest_hold_expiry(account bigint) RETURNS timestamptz LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM budget_accounts WHERE id = account AND api_key_id IS NULL) THEN
    RETURN (
      SELECT expires_at FROM budget_holds WHERE status = 'held' AND account_ids @> ARRAY[account]
      ORDER BY expires_at LIMIT 1
    );
  END IF;
  RETURN (
    SELECT min(earliest.expires_at)
    FROM keys_under_accounts(ARRAY[account]) AS key
    CROSS JOIN LATERAL (
      SELECT expires_at FROM budget_holds WHERE api_key_id = key AND status = 'held' ORDER BY expires_at LIMIT 1
    ) AS earliest
  );
END $$;
