-- Adds to what periods have spent and hold that their accounts, which are locked, are not in now. A period may be named
-- more than once; those that are not kept are left out.
CREATE OR REPLACE FUNCTION charge_budget_periods(ids bigint[], numbers integer[], spent bigint[], held bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  UPDATE budget_periods AS periods SET
      spent_micro_cents = greatest(least(periods.spent_micro_cents::numeric + sums.spent, 9223372036854775807), 0)::bigint,
      held_micro_cents = greatest(periods.held_micro_cents + sums.held, 0)::bigint
    FROM (
      SELECT id, number, sum(spent) AS spent, sum(held) AS held
      FROM unnest(ids, numbers, spent, held) AS charge (id, number, spent, held) GROUP BY id, number
    ) AS sums
    WHERE periods.account_id = ANY(ids) AND periods.account_id = sums.id AND periods.period_number = sums.number;
END $$;
