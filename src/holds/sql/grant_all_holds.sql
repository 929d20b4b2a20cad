DROP FUNCTION IF EXISTS grant_all_holds(uuid[], bigint[], bigint[], integer[], text[], bigint[], bigint[], timestamptz);
-- Grants holds when nothing stands in the way of any of them: no key is refused, and its account, which is locked and
-- has no parent, has room for all that is asked of it, and none was granted before. Otherwise does nothing. Answers
-- whether it granted them, and the states of the budgets of all keys.
CREATE OR REPLACE FUNCTION grant_all_holds(
  new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[], user_ids bigint[],
  reporters bigint[], named_keys bigint[], asked_amounts bigint[], at timestamptz, OUT is_granted boolean, OUT states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  ids bigint[];
  periods integer[];
  fitting integer;
  changed integer;
BEGIN
  is_granted := false;
  SELECT array_agg(id ORDER BY api_key_id), array_agg(period_number ORDER BY api_key_id),
    count(*) FILTER (WHERE asked_amounts[width_bucket(api_key_id, named_keys)]
      <= greatest(coalesce(limit_micro_cents, 9000000000000000000) - spent_micro_cents, 0) - held_micro_cents)
  INTO ids, periods, fitting FROM budget_accounts WHERE api_key_id = ANY(named_keys);
  IF fitting < cardinality(named_keys)
    OR EXISTS (SELECT FROM refused_keys(named_keys, at))
    OR EXISTS (SELECT FROM budget_holds WHERE id = ANY(new_ids))
    OR cardinality(array_remove(request_ids, NULL)) > 0 AND EXISTS (
      SELECT FROM unnest(keys, request_ids, reporters) AS asked (api_key_id, request_id, reporter)
      LEFT JOIN LATERAL (
        SELECT id FROM budget_holds WHERE api_key_id = asked.api_key_id AND request_id = asked.request_id
          AND (asked.reporter IS NULL OR coalesce(taken_by_api_key_id, -taken_by_user_id, asked.reporter) = asked.reporter)
        LIMIT 1
      ) AS earlier ON true
      WHERE asked.request_id IS NOT NULL
      GROUP BY asked.api_key_id, asked.request_id, asked.reporter HAVING count(*) > 1 OR count(earlier.id) > 0
    )
  THEN RETURN; END IF;

  INSERT INTO budget_holds (id, api_key_id, request_id, amount_micro_cents, account_ids, period_numbers, expires_at,
      taken_by_user_id, taken_by_api_key_id)
    SELECT id, api_key_id, request_id, amount, ARRAY[ids[place]], ARRAY[periods[place]], at + ttl * interval '1 second',
      user_id, CASE WHEN reporter > 0 THEN reporter END
    FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids, user_ids, reporters)
      AS asked (id, api_key_id, amount, ttl, request_id, user_id, reporter)
    CROSS JOIN LATERAL (SELECT width_bucket(api_key_id, named_keys) AS place) AS places;
  WITH charged AS (
    UPDATE budget_accounts AS accounts SET revision = revision + 1,
        held_micro_cents = held_micro_cents + asked_amounts[width_bucket(api_key_id, named_keys)]
      WHERE api_key_id = ANY(named_keys) AND (limit_micro_cents IS NULL
        OR asked_amounts[width_bucket(api_key_id, named_keys)]
          <= greatest(limit_micro_cents - spent_micro_cents, 0) - held_micro_cents)
      RETURNING accounts AS account
  )
  SELECT count(*), json_object_agg((account).api_key_id, json_build_array(budget_state(account, 1)))
    FILTER (WHERE (account).limit_micro_cents IS NOT NULL)
  INTO changed, states FROM charged;
  IF changed <> cardinality(ids) THEN
    RAISE EXCEPTION 'A grant would have passed the limit of an account.';
  END IF;
  is_granted := true;
END $$;
