-- Drops the partitions of months older than the retention that the owner of the schema has set; a caller cannot choose others.
-- Each call does one short part and returns 1 when there is more to do, else 0. It first detaches a month. When a reader or
-- writer of the log holds a lock, it gives up and is called again later, so that nobody waits for it. Then it reads the rows
-- in the order of the log, some with each call. After the last row it drops the table and adds one row to the log: the number
-- of rows, the first and the last, and a digest. The digest starts empty; for each row it becomes the SHA-256 of the digest
-- so far and of the row as row_to_json writes it in UTC.
CREATE OR REPLACE FUNCTION drop_audit_log_partitions() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '200ms' SET timezone = 'UTC' AS $$
DECLARE
  most_rows constant integer := 5000;
  most_bytes constant integer := 16000000;
  read public.audit_log_digests;
  partition text;
  entry record;
  text_of_row bytea;
  bytes integer := 0;
  rows_of_part integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('drop_audit_log_partitions'));
  SELECT * INTO read FROM public.audit_log_digests ORDER BY month LIMIT 1;
  IF NOT FOUND THEN
    SELECT relname INTO partition FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE inhparent = 'public.audit_logs'::regclass AND relname ~ '^audit_logs_\d{4}_\d\d$'
      AND to_date(right(relname, 7), 'YYYY_MM') < date_trunc('month', (now() - interval '2 hours') AT TIME ZONE 'UTC')
        - make_interval(months => (SELECT months FROM public.audit_retention))
    ORDER BY relname LIMIT 1;
    IF NOT FOUND THEN RETURN 0; END IF;
    EXECUTE format('ALTER TABLE public.audit_logs DETACH PARTITION public.%I', partition);
    -- The trigger of the log went with the log.
    EXECUTE format('CREATE TRIGGER audit_logs_append_only BEFORE INSERT OR UPDATE OR DELETE ON public.%I
      FOR EACH ROW EXECUTE FUNCTION refuse_audit_log_change()', partition);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER audit_logs_append_only', partition);
    INSERT INTO public.audit_log_digests (month) VALUES (right(partition, 7));
    RETURN 1;
  END IF;

  partition := 'audit_logs_' || read.month;
  FOR entry IN EXECUTE format('SELECT id, created_at, row_to_json(logs) AS json FROM public.%I AS logs
      WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3', partition)
    USING coalesce(read.last_created_at, '-infinity'), coalesce(read.last_id, '00000000-0000-0000-0000-000000000000'), most_rows
  LOOP
    text_of_row := convert_to(entry.json::text, 'UTF8');
    read.digest := sha256(read.digest || text_of_row);
    read.row_count := read.row_count + 1;
    read.first_id := coalesce(read.first_id, entry.id);
    read.first_created_at := coalesce(read.first_created_at, entry.created_at);
    read.last_id := entry.id;
    read.last_created_at := entry.created_at;
    bytes := bytes + length(text_of_row);
    rows_of_part := rows_of_part + 1;
    EXIT WHEN bytes > most_bytes;
  END LOOP;
  IF rows_of_part > 0 THEN
    UPDATE public.audit_log_digests SET row_count = read.row_count, first_id = read.first_id, last_id = read.last_id,
      first_created_at = read.first_created_at, last_created_at = read.last_created_at, digest = read.digest
      WHERE month = read.month;
    RETURN 1;
  END IF;
  EXECUTE format('DROP TABLE public.%I', partition);
  DELETE FROM public.audit_log_digests WHERE month = read.month;
  INSERT INTO public.audit_logs (id, created_at, action, resource_type, resource_id, details, success)
    VALUES (gen_random_uuid(), clock_timestamp(), 'drop_audit_log_month', 'audit_log', replace(read.month, '_', '-'),
      jsonb_build_object('rows', read.row_count, 'first_id', read.first_id, 'first_created_at', read.first_created_at,
        'last_id', read.last_id, 'last_created_at', read.last_created_at, 'sha256', encode(read.digest, 'hex')), true);
  RETURN 1;
END $$;
REVOKE EXECUTE ON FUNCTION drop_audit_log_partitions() FROM PUBLIC;
