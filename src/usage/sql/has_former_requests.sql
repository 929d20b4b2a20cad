-- Whether one of these requests is among those that were recorded before ids had generations.
CREATE OR REPLACE FUNCTION has_former_requests(keys bigint[], request_ids text[]) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM unnest(keys, request_ids) AS input (api_key_id, request_id)
    CROSS JOIN LATERAL (
      SELECT FROM usage_request_ids AS ids
      WHERE ids.api_key_id = input.api_key_id AND ids.request_id = input.request_id LIMIT 1
    ) AS former);
END $$;
