import type { TestDatabase } from './database.js';

/**
 * The request id by which PostgreSQL knows that it must refuse the audit row of this action. It is an
 * `X-Request-Id`, so that one request is doomed and no other.
 */
export function doom(action: string): string {
  return `doomed:${action}`;
}

/** Installs what `doom` needs. */
export async function installDoom(database: TestDatabase): Promise<void> {
  await database.query(`
    CREATE FUNCTION refuse_doomed_row() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
    CREATE TRIGGER refuse_doomed_row BEFORE INSERT ON audit_logs
      FOR EACH ROW WHEN (NEW.request_id = 'doomed:' || NEW.action) EXECUTE FUNCTION refuse_doomed_row();`);
}
