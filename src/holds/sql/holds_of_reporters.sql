-- Those of the holds that are there for one of those who ask for them: each id is asked for by the reporter in its place,
-- null for one who may see any. A hold of which nobody knows who took it is there for everyone.
CREATE OR REPLACE FUNCTION holds_of_reporters(ids uuid[], reporters bigint[]) RETURNS uuid[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN ARRAY(
    SELECT DISTINCT holds.id
    FROM unnest(ids, reporters) AS asked (id, reporter)
    CROSS JOIN LATERAL (
      SELECT * FROM budget_holds WHERE budget_holds.id = asked.id LIMIT 1
    ) AS holds
    WHERE asked.reporter IS NULL OR holds.taken_by_user_id IS NULL
      OR asked.reporter = coalesce(holds.taken_by_api_key_id, -holds.taken_by_user_id));
END $$;
