-- What an account stands at: [id, depth, revision, limit, period type, period start in Unix ms or null, spent, held].
-- What may pass 2^53 is text.
CREATE OR REPLACE FUNCTION budget_state(account budget_accounts, depth integer) RETURNS json LANGUAGE sql STABLE AS $$
  SELECT json_build_array(account.id, depth, account.revision, account.limit_micro_cents::text, account.period_type,
    CASE WHEN isfinite(account.period_start) THEN (extract(epoch FROM account.period_start) * 1000)::bigint END,
    account.spent_micro_cents::text, account.held_micro_cents::text)
$$;
