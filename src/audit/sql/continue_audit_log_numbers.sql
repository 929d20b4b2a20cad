-- On another server, to which a backup was restored, transactions begin to count anew: what is written there must be numbered
-- after what came with the backup.
CREATE OR REPLACE FUNCTION continue_audit_log_numbers() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  next_transaction bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
  UPDATE audit_log_numbering AS numbering SET base = last.position
  FROM (SELECT position FROM audit_logs WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1) AS last
  WHERE last.position >= numbering.base + next_transaction;
END $$;
