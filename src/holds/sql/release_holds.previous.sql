-- For instances of the version before, which know no reporters.
-- Gives holds back, and answers as find_holds does. One that is settled stays so; one that lapsed has lapsed.
CREATE OR REPLACE FUNCTION release_holds(ids uuid[]) RETURNS TABLE (
  id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamptz, states json
) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM close_holds(ids, false);
  RETURN QUERY SELECT * FROM find_holds(ids);
END $$;
