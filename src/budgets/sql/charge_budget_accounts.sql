-- Adds to what locked accounts have spent and hold. Each is named once, in the order of the ids: width_bucket is the
-- binary search for a place in a sorted array.
CREATE OR REPLACE FUNCTION charge_budget_accounts(ids bigint[], spent bigint[], held bigint[]) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  UPDATE budget_accounts SET revision = revision + 1,
      spent_micro_cents = spent_micro_cents + least(spent[width_bucket(id, ids)], 9223372036854775807 - spent_micro_cents),
      held_micro_cents = held_micro_cents + held[width_bucket(id, ids)]
    WHERE id = ANY(ids);
END $$;
