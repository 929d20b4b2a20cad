-- Gives holds back, and answers as find_holds does. One that is settled stays so; one that expired stays expired.
CREATE OR REPLACE FUNCTION release_holds(ids uuid[], reporters bigint[]) RETURNS TABLE (
  id uuid, api_key_id bigint, taken_by bigint, status text, amount text, cost text, expires_at timestamptz, states json
) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM close_holds(holds_of_reporters(ids, reporters), false);
  RETURN QUERY SELECT * FROM find_holds(ids, reporters);
END $$;
