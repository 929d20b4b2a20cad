DROP FUNCTION IF EXISTS judge_usage(bigint[], text[], uuid[], bigint[]);
-- What becomes of events that name holds, keys that are not there, or request ids of unknown reporters (0): a status for each. Those that share a request
-- id or a hold are judged in their order: only the first that counts, counts.
CREATE OR REPLACE FUNCTION judge_usage(
  keys bigint[], request_ids text[], reporters bigint[], content_digests integer[], hold_ids uuid[], known_keys bigint[]
) RETURNS text[]
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  statuses text[];
  item record;
  request_taken boolean[] := '{}';
  taken_digests integer[] := '{}';
  hold_taken boolean[] := '{}';
BEGIN
  -- What each would be if it came alone.
  SELECT array_agg(
      CASE
        WHEN known_keys[width_bucket(input.api_key_id, known_keys)] IS DISTINCT FROM input.api_key_id THEN 'unknown_key'
        WHEN seen.content_digest <> input.content_digest THEN 'conflict'
        WHEN seen.request_id IS NOT NULL THEN 'duplicate'
        WHEN input.hold_id IS NULL THEN 'accepted'
        WHEN holds.id IS NULL THEN 'unknown_hold'
        WHEN holds.status = 'released' THEN 'hold_released'
        WHEN holds.status = 'settled' THEN 'hold_settled'
        ELSE 'accepted'
      END ORDER BY input.n)
  INTO statuses
  FROM unnest(keys, request_ids, reporters, content_digests, hold_ids) WITH ORDINALITY
    AS input (api_key_id, request_id, reporter, content_digest, hold_id, n)
  LEFT JOIN LATERAL (
    SELECT request_id, content_digest
    FROM (
      SELECT request_id, content_digest, reporter FROM usage_requests
      WHERE api_key_id = input.api_key_id AND request_id = input.request_id
      UNION ALL
      SELECT request_id, content_digest, reporter FROM usage_request_ids
      WHERE api_key_id = input.api_key_id AND request_id = input.request_id
    ) AS ids
    WHERE reporter IN (input.reporter, 0) OR input.reporter = 0
    ORDER BY reporter DESC LIMIT 1
  ) AS seen ON true
  LEFT JOIN LATERAL (
    SELECT id, status FROM budget_holds WHERE id = input.hold_id AND api_key_id = input.api_key_id
      AND (input.reporter = 0 OR coalesce(taken_by_api_key_id, -taken_by_user_id, input.reporter) = input.reporter)
    LIMIT 1
  ) AS holds ON true;
  FOR item IN
    SELECT * FROM (
      SELECT n::integer, hold_id, content_digest, status,
        count(*) OVER same_request + CASE WHEN hold_id IS NULL THEN 0 ELSE count(*) OVER same_hold - 1 END AS rivals,
        (min(n) OVER same_request)::integer AS request_place, (min(n) OVER same_hold)::integer AS hold_place
      FROM unnest(keys, request_ids, reporters, content_digests, hold_ids, statuses) WITH ORDINALITY
        AS input (api_key_id, request_id, reporter, content_digest, hold_id, status, n)
      WHERE status NOT IN ('unknown_key', 'duplicate', 'conflict')
      WINDOW same_request AS (PARTITION BY api_key_id, request_id, reporter), same_hold AS (PARTITION BY hold_id)
    ) AS contested
    WHERE rivals > 1 ORDER BY n
  LOOP
    IF request_taken[item.request_place] THEN
      statuses[item.n] := CASE
        WHEN taken_digests[item.request_place] <> item.content_digest THEN 'conflict' ELSE 'duplicate' END;
    ELSIF item.status = 'accepted' AND item.hold_id IS NOT NULL AND hold_taken[item.hold_place] THEN
      statuses[item.n] := 'hold_settled';
    ELSIF item.status = 'accepted' THEN
      request_taken[item.request_place] := true;
      taken_digests[item.request_place] := item.content_digest;
      IF item.hold_id IS NOT NULL THEN hold_taken[item.hold_place] := true; END IF;
    END IF;
  END LOOP;
  RETURN statuses;
END $$;
