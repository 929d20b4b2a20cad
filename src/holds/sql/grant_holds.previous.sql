-- For instances of the version before, which know no reporters, and no refusals of keys: those are shown as unknown keys.
CREATE OR REPLACE FUNCTION grant_holds(
  new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[]
) RETURNS TABLE (
  n integer, outcome text, wait_seconds integer, id uuid, status text, amount text, expires_at timestamptz, states json
) LANGUAGE plpgsql AS $$
DECLARE
  nobody bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(keys)]);
BEGIN
  RETURN QUERY
    SELECT granted.n, CASE WHEN granted.outcome IN ('disabled', 'expired') THEN 'unknown_key' ELSE granted.outcome END,
      granted.wait_seconds, granted.id, granted.status, granted.amount, granted.expires_at, granted.states
    FROM grant_holds(new_ids, keys, amounts, ttl_seconds, request_ids, nobody, nobody) AS granted;
END $$;
