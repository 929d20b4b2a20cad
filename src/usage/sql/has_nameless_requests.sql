-- Whether one of these requests was recorded without its reporter, by an instance of the version before.
CREATE OR REPLACE FUNCTION has_nameless_requests(keys bigint[], request_ids text[]) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM unnest(keys, request_ids) AS input (api_key_id, request_id)
    CROSS JOIN LATERAL (
      SELECT FROM usage_requests AS ids
      WHERE ids.api_key_id = input.api_key_id AND ids.request_id = input.request_id AND ids.reporter = 0 LIMIT 1
    ) AS nameless);
END $$;
