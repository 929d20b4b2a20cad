-- A person who is created belongs to the default organization, however they are created.
CREATE OR REPLACE FUNCTION add_default_memberships() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO memberships (user_id, organization_id, role)
    SELECT id, 1, 'org_member' FROM after_rows WHERE kind = 'person' AND deleted_at IS NULL
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
