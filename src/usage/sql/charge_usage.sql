-- Charges what keys have spent to their chains, and settles holds. Answers the accounts that were charged.
CREATE OR REPLACE FUNCTION charge_usage(keys bigint[], costs bigint[], settled_ids uuid[], settled_costs bigint[]) RETURNS bigint[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  ids bigint[];
  spent bigint[];
  held bigint[];
  is_elsewhere boolean;
BEGIN
  SELECT array_agg(account_id ORDER BY account_id) FILTER (WHERE is_now),
    array_agg(sum_spent ORDER BY account_id) FILTER (WHERE is_now),
    array_agg(sum_held ORDER BY account_id) FILTER (WHERE is_now), bool_or(NOT is_now)
  INTO ids, spent, held, is_elsewhere
  FROM (
    SELECT account_id, is_now, least(sum(spent), 9223372036854775807)::bigint AS sum_spent, greatest(sum(held), -9223372036854775807)::bigint AS sum_held
    FROM (
      SELECT (chain.account).id AS account_id, cost AS spent, 0::bigint AS held, true AS is_now
      FROM budget_chains(keys) AS chain
      JOIN unnest(keys, costs) AS charged (api_key_id, cost) USING (api_key_id)
      UNION ALL
      SELECT charge.account_id, settled.cost, CASE WHEN holds.status = 'held' THEN -holds.amount_micro_cents ELSE 0 END,
        of_this_period.id IS NOT NULL
      FROM unnest(settled_ids, settled_costs) AS settled (id, cost)
      CROSS JOIN LATERAL (SELECT * FROM budget_holds WHERE id = settled.id LIMIT 1) AS holds
      CROSS JOIN unnest(holds.account_ids, holds.period_numbers) AS charge (account_id, period)
      LEFT JOIN LATERAL (
        SELECT id FROM budget_accounts WHERE id = charge.account_id AND period_number = charge.period LIMIT 1
      ) AS of_this_period ON true
    ) AS charges
    GROUP BY account_id, is_now
  ) AS sums;
  -- A hold counts in the period it was taken in, though that is over, or the clock has jumped out of it for a moment.
  IF is_elsewhere THEN
    PERFORM charge_budget_periods(array_agg(charge.account_id), array_agg(charge.period), array_agg(settled.cost),
        array_agg(CASE WHEN holds.status = 'held' THEN -holds.amount_micro_cents ELSE 0 END))
      FROM unnest(settled_ids, settled_costs) AS settled (id, cost)
      CROSS JOIN LATERAL (SELECT * FROM budget_holds WHERE id = settled.id LIMIT 1) AS holds
      CROSS JOIN unnest(holds.account_ids, holds.period_numbers) AS charge (account_id, period);
  END IF;
  UPDATE budget_holds SET status = 'settled', cost_micro_cents = settled_costs[width_bucket(id, settled_ids)],
      closed_at = clock_timestamp()
    WHERE id = ANY(settled_ids);
  PERFORM charge_budget_accounts(ids, spent, held);
  RETURN ids;
END $$;
