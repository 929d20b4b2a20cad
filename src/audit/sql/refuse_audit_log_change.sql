CREATE OR REPLACE FUNCTION refuse_audit_log_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'Audit logs are append-only: % is refused.', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
