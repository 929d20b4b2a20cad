import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * API keys, their secrets, their usage counters and what keeps lists fast. A row of `api_keys` is the policy
 * and changes only when that changes; counters and secrets live in tables of their own.
 */
export class CreateApiKeys1763800100000 implements MigrationInterface {
  readonly name = 'CreateApiKeys1763800100000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE EXTENSION IF NOT EXISTS pg_trgm;

      CREATE TABLE api_keys (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT api_keys_pkey PRIMARY KEY,
        user_id bigint NOT NULL CONSTRAINT api_keys_user_id_fkey REFERENCES users (id),
        name text NOT NULL,
        description text,
        key_prefix text NOT NULL,
        scopes text[] NOT NULL DEFAULT '{}',
        is_active boolean NOT NULL DEFAULT true,
        expires_at timestamptz,
        rate_limit_per_minute integer,
        rate_limit_per_hour integer,
        rate_limit_per_day integer,
        allowed_ips text[] NOT NULL DEFAULT '{}',
        allowed_models text[] NOT NULL DEFAULT '{}',
        allowed_chatbots text[] NOT NULL DEFAULT '{}',
        is_unlimited boolean NOT NULL DEFAULT true,
        budget_limit_cents bigint,
        budget_type text,
        tags text[] NOT NULL DEFAULT '{}',
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        deleted_at timestamptz,
        CONSTRAINT api_keys_name_check CHECK (char_length(name) BETWEEN 1 AND 100),
        CONSTRAINT api_keys_rate_limits_check CHECK (
          rate_limit_per_minute BETWEEN 1 AND 10000
          AND rate_limit_per_hour BETWEEN 1 AND 100000
          AND rate_limit_per_day BETWEEN 1 AND 1000000
        ),
        CONSTRAINT api_keys_budget_check CHECK (
          is_unlimited AND budget_limit_cents IS NULL AND budget_type IS NULL
          OR NOT is_unlimited AND budget_limit_cents BETWEEN 0 AND 1000000000000 AND budget_limit_cents IS NOT NULL
            AND budget_type IN ('total', 'monthly') AND budget_type IS NOT NULL
        )
      );
      CREATE INDEX api_keys_live_idx ON api_keys (id) WHERE deleted_at IS NULL;
      CREATE INDEX api_keys_owner_idx ON api_keys (user_id, id) WHERE deleted_at IS NULL;
      CREATE INDEX api_keys_state_idx ON api_keys (is_active, id) WHERE deleted_at IS NULL;
      CREATE INDEX api_keys_owner_state_idx ON api_keys (user_id, is_active, id) WHERE deleted_at IS NULL;
      CREATE INDEX api_keys_tags_idx ON api_keys USING gin (tags) WHERE deleted_at IS NULL;
      CREATE INDEX api_keys_search_idx ON api_keys USING gin (name gin_trgm_ops, description gin_trgm_ops)
        WHERE deleted_at IS NULL;

      CREATE TABLE api_key_secrets (
        digest bytea NOT NULL CONSTRAINT api_key_secrets_pkey PRIMARY KEY,
        pepper_version integer NOT NULL,
        api_key_id bigint NOT NULL CONSTRAINT api_key_secrets_api_key_id_fkey REFERENCES api_keys (id),
        created_at timestamptz NOT NULL DEFAULT now(),
        retires_at timestamptz,
        CONSTRAINT api_key_secrets_digest_check CHECK (octet_length(digest) = 32)
      );
      CREATE UNIQUE INDEX api_key_secrets_current_key ON api_key_secrets (api_key_id) WHERE retires_at IS NULL;
      CREATE UNIQUE INDEX api_key_secrets_retiring_key ON api_key_secrets (api_key_id) WHERE retires_at IS NOT NULL;
      CREATE INDEX api_key_secrets_retires_at_idx ON api_key_secrets (retires_at) WHERE retires_at IS NOT NULL;

      CREATE TABLE api_key_totals (
        api_key_id bigint NOT NULL CONSTRAINT api_key_totals_pkey PRIMARY KEY,
        requests bigint NOT NULL DEFAULT 0,
        tokens bigint NOT NULL DEFAULT 0,
        cost_micro_cents bigint NOT NULL DEFAULT 0,
        last_used_at timestamptz,
        CONSTRAINT api_key_totals_check CHECK (requests >= 0 AND tokens >= 0 AND cost_micro_cents >= 0)
      );

      CREATE TABLE usage_hourly_rollups (
        api_key_id bigint NOT NULL,
        hour timestamptz NOT NULL,
        model text NOT NULL DEFAULT '',
        requests bigint NOT NULL,
        request_tokens bigint NOT NULL,
        response_tokens bigint NOT NULL,
        cost_micro_cents bigint NOT NULL,
        CONSTRAINT usage_hourly_rollups_pkey PRIMARY KEY (api_key_id, hour, model),
        CONSTRAINT usage_hourly_rollups_check CHECK (
          requests >= 0 AND request_tokens >= 0 AND response_tokens >= 0 AND cost_micro_cents >= 0
          AND date_trunc('hour', hour, 'UTC') = hour
        )
      );

      CREATE TABLE idempotency_keys (
        user_id bigint NOT NULL,
        operation text NOT NULL,
        key text NOT NULL,
        request_digest bytea NOT NULL,
        api_key_id bigint NOT NULL CONSTRAINT idempotency_keys_api_key_id_fkey REFERENCES api_keys (id),
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, operation, key)
      );
      CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);
    `);
    await runner.query(API_KEY_COUNTS);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE idempotency_keys, usage_hourly_rollups, api_key_totals, api_key_secrets, api_keys,
        api_key_counts, api_key_count_changes;
      DROP FUNCTION note_api_key_inserts(), note_api_key_updates(), note_api_key_deletes(), fold_api_key_counts();
      DROP EXTENSION IF EXISTS pg_trgm;
    `);
  }
}

/**
 * How many live keys there are, per owner and for everyone (owner 0), without counting them for each page of a
 * list. Statement triggers append the change (no shared row, so writers never wait for each other); a job folds
 * the changes into the counts. The truth at any moment is the counts plus the changes not folded yet.
 */
const API_KEY_COUNTS = `
  CREATE TABLE api_key_counts (
    user_id bigint NOT NULL,
    is_active boolean NOT NULL,
    keys bigint NOT NULL,
    CONSTRAINT api_key_counts_pkey PRIMARY KEY (user_id, is_active)
  );
  CREATE TABLE api_key_count_changes (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT api_key_count_changes_pkey PRIMARY KEY,
    user_id bigint NOT NULL,
    is_active boolean NOT NULL,
    keys bigint NOT NULL
  );

  CREATE FUNCTION note_api_key_inserts() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO api_key_count_changes (user_id, is_active, keys)
      SELECT user_id, is_active, count(*) FROM after_rows WHERE deleted_at IS NULL GROUP BY 1, 2;
    RETURN NULL;
  END $$;
  CREATE FUNCTION note_api_key_updates() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO api_key_count_changes (user_id, is_active, keys)
      SELECT user_id, is_active, sum(step) FROM (
        SELECT user_id, is_active, 1 AS step FROM after_rows WHERE deleted_at IS NULL
        UNION ALL
        SELECT user_id, is_active, -1 FROM before_rows WHERE deleted_at IS NULL
      ) AS steps GROUP BY 1, 2 HAVING sum(step) <> 0;
    RETURN NULL;
  END $$;
  CREATE FUNCTION note_api_key_deletes() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO api_key_count_changes (user_id, is_active, keys)
      SELECT user_id, is_active, -count(*) FROM before_rows WHERE deleted_at IS NULL GROUP BY 1, 2;
    RETURN NULL;
  END $$;
  CREATE TRIGGER api_keys_count_inserts AFTER INSERT ON api_keys
    REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_inserts();
  CREATE TRIGGER api_keys_count_updates AFTER UPDATE ON api_keys
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_updates();
  CREATE TRIGGER api_keys_count_deletes AFTER DELETE ON api_keys
    REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_deletes();

  CREATE FUNCTION fold_api_key_counts() RETURNS void LANGUAGE sql AS $$
    WITH folded AS (
      DELETE FROM api_key_count_changes RETURNING user_id, is_active, keys
    ), sums AS (
      SELECT user_id, is_active, sum(keys) AS keys FROM folded GROUP BY 1, 2
      UNION ALL
      SELECT 0, is_active, sum(keys) FROM folded GROUP BY 2
    )
    INSERT INTO api_key_counts AS counts (user_id, is_active, keys)
      SELECT user_id, is_active, keys FROM sums ORDER BY 1, 2
      ON CONFLICT (user_id, is_active) DO UPDATE SET keys = counts.keys + excluded.keys;
  $$;
`;
