-- The accounts in which holds count.
CREATE OR REPLACE FUNCTION accounts_of_holds(ids uuid[]) RETURNS bigint[] LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN ARRAY(SELECT DISTINCT unnest(account_ids) FROM budget_holds WHERE id = ANY(ids));
END $$;
