-- The number of a row that is being written: of its transaction, after those of all servers this database was on before.
CREATE OR REPLACE FUNCTION audit_log_position() RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  RETURN (SELECT base + pg_current_xact_id()::text::bigint FROM audit_log_numbering);
END $$;
