import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The change feed: which keys and users changed, written by triggers inside the changing transaction, however the
 * change was made. Caches read it by transaction id, so a row can neither be overtaken nor missed. Triggers fire
 * per statement; one that touches very many rows leaves a single row that says everything changed.
 *
 * `change_feed_horizon` is the newest transaction whose rows were removed again: whoever has read no further than
 * that must forget everything.
 */
export class CreateChangeFeed1763800400000 implements MigrationInterface {
  readonly name = 'CreateChangeFeed1763800400000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE change_feed (
        seq bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT change_feed_pkey PRIMARY KEY,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        kind text NOT NULL CONSTRAINT change_feed_kind_check CHECK (kind IN ('api_key', 'user', 'everything')),
        id bigint,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
      );
      CREATE INDEX change_feed_xid_idx ON change_feed (xid);
      CREATE INDEX change_feed_created_at_idx ON change_feed (created_at);

      CREATE TABLE change_feed_horizon (
        only_row boolean NOT NULL DEFAULT true CONSTRAINT change_feed_horizon_pkey PRIMARY KEY CHECK (only_row),
        xid xid8 NOT NULL
      );
      INSERT INTO change_feed_horizon (xid) VALUES ('0');

      CREATE FUNCTION note_changes(changed_kind text, changed_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        IF cardinality(changed_ids) = 0 THEN
          RETURN;
        ELSIF cardinality(changed_ids) > 5000 THEN
          INSERT INTO change_feed (kind) VALUES ('everything');
        ELSE
          INSERT INTO change_feed (kind, id) SELECT changed_kind, unnest(changed_ids);
        END IF;
        PERFORM pg_notify('latchkey_changes', '');
      END $$;

      CREATE FUNCTION note_api_key_changes() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM note_changes('api_key', ARRAY(SELECT id FROM before_rows));
        RETURN NULL;
      END $$;
      CREATE FUNCTION note_api_key_secret_changes() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM note_changes('api_key', ARRAY(SELECT DISTINCT api_key_id FROM before_rows));
        RETURN NULL;
      END $$;
      CREATE FUNCTION note_user_changes() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(
          SELECT id FROM before_rows EXCEPT
          SELECT after_rows.id FROM before_rows JOIN after_rows USING (id, username, role, permissions, is_active)
          WHERE after_rows.deleted_at IS NOT DISTINCT FROM before_rows.deleted_at
        ));
        RETURN NULL;
      END $$;
      CREATE FUNCTION note_session_changes() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(
          SELECT DISTINCT before_rows.user_id FROM before_rows JOIN after_rows USING (id)
          WHERE after_rows.ended_at IS DISTINCT FROM before_rows.ended_at OR after_rows.user_id <> before_rows.user_id
            OR after_rows.expires_at < before_rows.expires_at
        ));
        RETURN NULL;
      END $$;
      CREATE FUNCTION note_session_removals() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(
          SELECT DISTINCT user_id FROM before_rows WHERE ended_at IS NULL AND expires_at > now()
        ));
        RETURN NULL;
      END $$;
      CREATE FUNCTION note_user_removals() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(SELECT id FROM before_rows));
        RETURN NULL;
      END $$;
      CREATE FUNCTION note_everything_changed() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO change_feed (kind) VALUES ('everything');
        PERFORM pg_notify('latchkey_changes', '');
        RETURN NULL;
      END $$;
    `);
    await runner.query(TRIGGERS.map(createTrigger).join('\n'));
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(TRIGGERS.map(({ name, table }) => `DROP TRIGGER ${name} ON ${table};`).join('\n'));
    await runner.query(`
      DROP FUNCTION note_api_key_changes(), note_api_key_secret_changes(), note_user_changes(), note_session_changes(),
        note_session_removals(), note_user_removals(), note_everything_changed(), note_changes(text, bigint[]);
      DROP TABLE change_feed, change_feed_horizon;
    `);
  }
}

interface Trigger {
  readonly name: string;
  readonly table: string;
  readonly event: 'UPDATE' | 'DELETE' | 'TRUNCATE' | 'INSERT OR UPDATE OR DELETE';
  readonly run: string;
  /** Which of the rows before and after the statement the function reads. */
  readonly rows: 'before' | 'both' | 'none';
}

/** A new key or secret needs no row: no cache can know it, and what is not there is forgotten within a second. */
const TRIGGERS: readonly Trigger[] = [
  { name: 'feed_updates', table: 'api_keys', event: 'UPDATE', run: 'note_api_key_changes', rows: 'before' },
  { name: 'feed_deletes', table: 'api_keys', event: 'DELETE', run: 'note_api_key_changes', rows: 'before' },
  {
    name: 'feed_updates',
    table: 'api_key_secrets',
    event: 'UPDATE',
    run: 'note_api_key_secret_changes',
    rows: 'before',
  },
  {
    name: 'feed_deletes',
    table: 'api_key_secrets',
    event: 'DELETE',
    run: 'note_api_key_secret_changes',
    rows: 'before',
  },
  { name: 'feed_updates', table: 'users', event: 'UPDATE', run: 'note_user_changes', rows: 'both' },
  { name: 'feed_deletes', table: 'users', event: 'DELETE', run: 'note_user_removals', rows: 'before' },
  { name: 'feed_updates', table: 'sessions', event: 'UPDATE', run: 'note_session_changes', rows: 'both' },
  { name: 'feed_deletes', table: 'sessions', event: 'DELETE', run: 'note_session_removals', rows: 'before' },
  {
    name: 'feed_changes',
    table: 'roles',
    event: 'INSERT OR UPDATE OR DELETE',
    run: 'note_everything_changed',
    rows: 'none',
  },
  ...['api_keys', 'api_key_secrets', 'users', 'sessions', 'roles'].map((table): Trigger => ({
    name: 'feed_truncate',
    table,
    event: 'TRUNCATE',
    run: 'note_everything_changed',
    rows: 'none',
  })),
];

const ROWS = {
  before: 'REFERENCING OLD TABLE AS before_rows',
  both: 'REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows',
  none: '',
} as const;

/** Enabled always: also where a session replicates or switches ordinary triggers off. */
function createTrigger({ name, table, event, run, rows }: Trigger): string {
  return `
    CREATE TRIGGER ${name} AFTER ${event} ON ${table} ${ROWS[rows]} FOR EACH STATEMENT EXECUTE FUNCTION ${run}();
    ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${name};`;
}
