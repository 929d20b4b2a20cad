CREATE OR REPLACE FUNCTION note_user_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('user', ARRAY(
    SELECT id FROM before_rows EXCEPT
    SELECT after_rows.id FROM before_rows JOIN after_rows USING (id, username, role, permissions, is_active)
    WHERE after_rows.deleted_at IS NOT DISTINCT FROM before_rows.deleted_at
  ));
  RETURN NULL;
END $$;
