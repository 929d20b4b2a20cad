-- For instances of the version before, which know no reporters. Their request ids are those of any reporter.
CREATE OR REPLACE FUNCTION record_usage(
  keys bigint[], request_ids text[], endpoints text[], methods text[], models text[], request_tokens bigint[],
  response_tokens bigint[], costs bigint[], status_codes integer[], response_times bigint[],
  occurred_ats timestamptz[], hold_ids uuid[], OUT others json, OUT notices integer, OUT states json
) LANGUAGE plpgsql AS $$
DECLARE
  unknown bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(keys)]);
BEGIN
  UPDATE usage_reporters SET known_since = now() WHERE known_since < now() - interval '1 hour';
  SELECT recorded.others, recorded.notices, recorded.states INTO others, notices, states
  FROM record_usage(keys, request_ids, endpoints, methods, models, request_tokens, response_tokens, costs, status_codes,
    response_times, occurred_ats, hold_ids, unknown, array_fill(0::bigint, ARRAY[cardinality(keys)]),
    array_fill(NULL::integer, ARRAY[cardinality(keys)])) AS recorded;
END $$;
