-- The schema of Latchkey: tables with their constraints, indexes and triggers, partitions, and the rows that a new database
-- begins with. Functions have files of their own, src/<module>/sql/<function>.sql; those that a trigger, a default or a
-- partition needs are there when this runs. Sections stand in the order in which tables refer to each other.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- Users ------------------------------------------------------------------------------------------------------------------

CREATE TABLE roles (
  name text NOT NULL CONSTRAINT roles_pkey PRIMARY KEY,
  permissions text[] NOT NULL
);
INSERT INTO roles (name, permissions) VALUES
  ('admin', '{platform:*}'),
  ('developer', '{platform:api-keys:*}'),
  ('auditor', '{platform:*:read}'),
  ('service', '{platform:api-keys:verify,platform:usage:write}'),
  ('user', '{}');

CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT users_pkey PRIMARY KEY,
  username text NOT NULL,
  password_hash text NOT NULL,
  role text NOT NULL CONSTRAINT users_role_fkey REFERENCES roles (name),
  permissions text[] NOT NULL DEFAULT '{}',
  is_active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE UNIQUE INDEX users_username_key ON users (username) WHERE deleted_at IS NULL;

-- What throttles logins: failures of an account and address, or of an address, within a window.
CREATE TABLE login_failures (
  subject text NOT NULL CONSTRAINT login_failures_pkey PRIMARY KEY,
  failures integer NOT NULL,
  window_ends_at timestamptz NOT NULL
);
CREATE INDEX login_failures_window_ends_at_idx ON login_failures (window_ends_at);

-- Sessions ---------------------------------------------------------------------------------------------------------------

CREATE TABLE sessions (
  id uuid NOT NULL CONSTRAINT sessions_pkey PRIMARY KEY,
  user_id bigint NOT NULL CONSTRAINT sessions_user_id_fkey REFERENCES users (id),
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  ended_at timestamptz
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- Used tokens stay, so that a later use of one is noticed and ends the session.
CREATE TABLE refresh_tokens (
  digest bytea NOT NULL CONSTRAINT refresh_tokens_pkey PRIMARY KEY,
  session_id uuid NOT NULL CONSTRAINT refresh_tokens_session_id_fkey REFERENCES sessions (id) ON DELETE CASCADE,
  used_at timestamptz
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);

-- API keys ---------------------------------------------------------------------------------------------------------------

-- A row is the policy of a key and changes only when that changes; counters and secrets live in tables of their own.
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
  -- The key that this one was created with.
  parent_key_id bigint CONSTRAINT api_keys_parent_key_id_fkey REFERENCES api_keys (id),
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
  ),
  -- A parent is older than its child, so that no chain of parents ever closes.
  CONSTRAINT api_keys_parent_key_id_check CHECK (parent_key_id < id)
);
CREATE INDEX api_keys_live_idx ON api_keys (id) WHERE deleted_at IS NULL;
CREATE INDEX api_keys_owner_idx ON api_keys (user_id, id) WHERE deleted_at IS NULL;
CREATE INDEX api_keys_state_idx ON api_keys (is_active, id) WHERE deleted_at IS NULL;
CREATE INDEX api_keys_owner_state_idx ON api_keys (user_id, is_active, id) WHERE deleted_at IS NULL;
CREATE INDEX api_keys_tags_idx ON api_keys USING gin (tags) WHERE deleted_at IS NULL;
-- Lists by expiry: a key that never expires stands after all others.
CREATE INDEX api_keys_expiry_idx ON api_keys ((coalesce(expires_at, 'infinity'::timestamptz)), id) WHERE deleted_at IS NULL;
CREATE INDEX api_keys_owner_expiry_idx ON api_keys (user_id, (coalesce(expires_at, 'infinity'::timestamptz)), id)
  WHERE deleted_at IS NULL;
CREATE INDEX api_keys_parent_key_id_idx ON api_keys (parent_key_id) WHERE parent_key_id IS NOT NULL;
-- Keys of a user that have ended: their usage counts in the sums of the user.
CREATE INDEX api_keys_ended_idx ON api_keys (user_id, id) WHERE deleted_at IS NOT NULL;

-- A key has one current secret, and others that retire.
CREATE TABLE api_key_secrets (
  digest bytea NOT NULL CONSTRAINT api_key_secrets_pkey PRIMARY KEY,
  pepper_version integer NOT NULL,
  api_key_id bigint NOT NULL CONSTRAINT api_key_secrets_api_key_id_fkey REFERENCES api_keys (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  retires_at timestamptz,
  key_prefix text,
  last_used_at timestamptz,
  CONSTRAINT api_key_secrets_digest_check CHECK (octet_length(digest) = 32)
);
CREATE UNIQUE INDEX api_key_secrets_current_key ON api_key_secrets (api_key_id) WHERE retires_at IS NULL;
CREATE INDEX api_key_secrets_retiring_idx ON api_key_secrets (api_key_id) WHERE retires_at IS NOT NULL;
CREATE INDEX api_key_secrets_retires_at_idx ON api_key_secrets (retires_at) WHERE retires_at IS NOT NULL;

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

-- How many live keys there are, per owner and for everyone (owner 0), without counting them for each page of a list. Statement
-- triggers append the change (no shared row, so writers never wait for each other); a job folds the changes into the counts.
-- The truth at any moment is the counts plus the changes not folded yet.
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
CREATE TRIGGER api_keys_count_inserts AFTER INSERT ON api_keys
  REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_inserts();
CREATE TRIGGER api_keys_count_updates AFTER UPDATE ON api_keys
  REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_updates();
CREATE TRIGGER api_keys_count_deletes AFTER DELETE ON api_keys
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_deletes();

-- What searches read: the folded name and description of each live key, in a narrow table of its own that triggers keep,
-- however a key is changed. More statistics than usual: whether few or many keys match decides whether the trigram index is
-- used.
CREATE TABLE api_key_search_texts (
  api_key_id bigint NOT NULL CONSTRAINT api_key_search_texts_pkey PRIMARY KEY,
  text text COLLATE "C" NOT NULL
);
ALTER TABLE api_key_search_texts ALTER COLUMN text SET STATISTICS 400;
CREATE INDEX api_key_search_texts_idx ON api_key_search_texts USING gin (text gin_trgm_ops);
CREATE TRIGGER api_keys_search_inserts AFTER INSERT ON api_keys
  REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION add_api_key_search_texts();
CREATE TRIGGER api_keys_search_updates AFTER UPDATE ON api_keys
  REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
  FOR EACH STATEMENT EXECUTE FUNCTION change_api_key_search_texts();
CREATE TRIGGER api_keys_search_deletes AFTER DELETE ON api_keys
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION remove_api_key_search_texts();

-- Of keys below this one, texts may still be folded as 0.1.0 folded them; a job folds them anew. 0: none are left.
CREATE TABLE api_key_search_backlog (
  only_row boolean NOT NULL DEFAULT true CONSTRAINT api_key_search_backlog_pkey PRIMARY KEY CHECK (only_row),
  below bigint NOT NULL
);
INSERT INTO api_key_search_backlog (below) VALUES (0);

-- Rate limits ------------------------------------------------------------------------------------------------------------

-- The rate windows of an instance that has no Redis, as it saved them a few seconds ago. They are rewritten all the time:
-- pages keep room for that, and there is no index but that of the primary key.
CREATE TABLE rate_windows (
  api_key_id bigint NOT NULL CONSTRAINT rate_windows_pkey PRIMARY KEY,
  windows bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT rate_windows_windows_check CHECK (octet_length(windows) = 148)
) WITH (fillfactor = 50);
ALTER TABLE rate_windows ALTER COLUMN windows SET STORAGE PLAIN;

-- Heartbeats: how many instances share a limit.
CREATE TABLE instances (
  id uuid NOT NULL CONSTRAINT instances_pkey PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at timestamptz NOT NULL DEFAULT now()
);

-- Audit ------------------------------------------------------------------------------------------------------------------

-- Rows are numbered by their transaction, so that collectors can read them in the order in which they became visible. Rows of
-- 0.1.0 have no number: `unnumbered_until` is when the last of them was created.
CREATE TABLE audit_log_numbering (
  only_row boolean NOT NULL DEFAULT true CONSTRAINT audit_log_numbering_pkey PRIMARY KEY CHECK (only_row),
  base bigint NOT NULL,
  unnumbered_until timestamptz
);
INSERT INTO audit_log_numbering (base, unnumbered_until) VALUES (0, NULL);

-- How long the log is kept, in a table that only the owner of the schema may change. Null: for ever.
CREATE TABLE audit_retention (
  only_row boolean NOT NULL DEFAULT true CONSTRAINT audit_retention_pkey PRIMARY KEY CHECK (only_row),
  months integer CONSTRAINT audit_retention_months_check CHECK (months > 0)
);
INSERT INTO audit_retention (months) VALUES (NULL);

-- The month of the log that is being dropped, and what was read of it so far: a digest of its rows goes into the log before
-- they are gone.
CREATE TABLE audit_log_digests (
  month text NOT NULL CONSTRAINT audit_log_digests_pkey PRIMARY KEY,
  row_count bigint NOT NULL DEFAULT 0,
  first_id uuid,
  first_created_at timestamptz,
  last_id uuid,
  last_created_at timestamptz,
  digest bytea NOT NULL DEFAULT '',
  CONSTRAINT audit_log_digests_month_check CHECK (month ~ '^\d{4}_\d\d$')
);

-- The log: partitioned by month, append-only. Triggers refuse UPDATE, DELETE and TRUNCATE on the table and on each partition,
-- also in sessions that replicate.
CREATE TABLE audit_logs (
  id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  user_id bigint,
  api_key_id bigint,
  action text NOT NULL,
  resource_type text NOT NULL,
  resource_id text,
  details jsonb NOT NULL,
  ip_address text,
  user_agent text,
  request_id text,
  success boolean NOT NULL,
  position bigint DEFAULT audit_log_position(),
  CONSTRAINT audit_logs_pkey PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
CREATE INDEX audit_logs_user_id_idx ON audit_logs (user_id, created_at, id);
CREATE INDEX audit_logs_resource_idx ON audit_logs (resource_id, resource_type, created_at, id);
CREATE INDEX audit_logs_failures_idx ON audit_logs (created_at, id) WHERE NOT success;
CREATE INDEX audit_logs_action_idx ON audit_logs (action, created_at, id);
CREATE INDEX audit_logs_position_idx ON audit_logs (position, id) WHERE position IS NOT NULL;
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
  FOR EACH ROW EXECUTE FUNCTION refuse_audit_log_change();
ALTER TABLE audit_logs ENABLE ALWAYS TRIGGER audit_logs_append_only;
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change();
ALTER TABLE audit_logs ENABLE ALWAYS TRIGGER audit_logs_no_truncate;

CREATE TABLE audit_logs_other_months PARTITION OF audit_logs DEFAULT;
ALTER TABLE audit_logs_other_months ENABLE ALWAYS TRIGGER audit_logs_append_only;
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs_other_months
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change();
ALTER TABLE audit_logs_other_months ENABLE ALWAYS TRIGGER audit_logs_no_truncate;
SELECT ensure_audit_log_partitions((now() AT TIME ZONE 'UTC')::date, 3);

-- Budgets ----------------------------------------------------------------------------------------------------------------

-- Accounts in integer micro-cents. The account of a key is made when it first gets a limit or spends; one without a limit is
-- never refused. An account may have a parent whose limit counts as well.
--
-- `period_number` counts the periods an account has begun: what a hold or a notice belongs to. Another period type leaves it
-- as it is, and with it all that belongs to the current period. `revision` grows with every change, so that of two readings
-- the newer is known.
CREATE TABLE budget_accounts (
  id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT budget_accounts_pkey PRIMARY KEY,
  parent_id bigint CONSTRAINT budget_accounts_parent_id_fkey REFERENCES budget_accounts (id),
  api_key_id bigint CONSTRAINT budget_accounts_api_key_id_key UNIQUE
    CONSTRAINT budget_accounts_api_key_id_fkey REFERENCES api_keys (id),
  limit_micro_cents bigint,
  period_type text NOT NULL DEFAULT 'total',
  period_start timestamptz NOT NULL DEFAULT '-infinity',
  period_number integer NOT NULL DEFAULT 1,
  spent_micro_cents bigint NOT NULL DEFAULT 0,
  held_micro_cents bigint NOT NULL DEFAULT 0,
  revision bigint NOT NULL DEFAULT 1,
  spent_since timestamptz,
  newest_period_number integer,
  CONSTRAINT budget_accounts_amounts_check CHECK (
    limit_micro_cents >= 0 AND spent_micro_cents >= 0 AND held_micro_cents >= 0
  ),
  CONSTRAINT budget_accounts_period_type_check CHECK (period_type IN ('total', 'monthly')),
  CONSTRAINT budget_accounts_parent_check CHECK (parent_id <> id)
) WITH (fillfactor = 70);
CREATE INDEX budget_accounts_parent_id_idx ON budget_accounts (parent_id) WHERE parent_id IS NOT NULL;

-- The periods that accounts are not in: an account can come back to its month when the clock was wrong.
CREATE TABLE budget_periods (
  account_id bigint NOT NULL CONSTRAINT budget_periods_account_id_fkey REFERENCES budget_accounts (id),
  period_number integer NOT NULL,
  period_start timestamptz NOT NULL,
  spent_micro_cents bigint NOT NULL,
  held_micro_cents bigint NOT NULL,
  spent_since timestamptz,
  CONSTRAINT budget_periods_pkey PRIMARY KEY (account_id, period_number)
);
CREATE INDEX budget_periods_period_start_idx ON budget_periods (period_start);

-- Thresholds that were reached: a row is written with the charge that reached it, once per period.
CREATE TABLE budget_notices (
  account_id bigint NOT NULL CONSTRAINT budget_notices_account_id_fkey REFERENCES budget_accounts (id),
  period_number integer NOT NULL,
  percent integer NOT NULL,
  period_start timestamptz NOT NULL,
  spent_micro_cents bigint NOT NULL,
  limit_micro_cents bigint NOT NULL,
  noticed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  published_at timestamptz,
  CONSTRAINT budget_notices_pkey PRIMARY KEY (account_id, period_number, percent)
);
CREATE INDEX budget_notices_unpublished_idx ON budget_notices (noticed_at) WHERE published_at IS NULL;

-- Holds ------------------------------------------------------------------------------------------------------------------

CREATE TABLE budget_holds (
  id uuid NOT NULL CONSTRAINT budget_holds_pkey PRIMARY KEY,
  api_key_id bigint NOT NULL,
  request_id text,
  amount_micro_cents bigint NOT NULL,
  status text NOT NULL DEFAULT 'held',
  -- The accounts that the hold counts in, and the period of each.
  account_ids bigint[] NOT NULL,
  period_numbers integer[] NOT NULL,
  cost_micro_cents bigint,
  expires_at timestamptz NOT NULL,
  closed_at timestamptz,
  taken_by_user_id bigint,
  taken_by_api_key_id bigint,
  CONSTRAINT budget_holds_status_check CHECK (status IN ('held', 'settled', 'released', 'lapsed')),
  CONSTRAINT budget_holds_amount_check CHECK (amount_micro_cents > 0 AND cost_micro_cents >= 0),
  CONSTRAINT budget_holds_chain_check CHECK (cardinality(account_ids) = cardinality(period_numbers))
);
CREATE UNIQUE INDEX budget_holds_request_taker_key
  ON budget_holds (api_key_id, request_id, coalesce(taken_by_api_key_id, -taken_by_user_id)) WHERE request_id IS NOT NULL;
CREATE INDEX budget_holds_expires_at_idx ON budget_holds (expires_at) WHERE status = 'held';
CREATE INDEX budget_holds_api_key_id_idx ON budget_holds (api_key_id, expires_at) WHERE status = 'held';

-- Usage ------------------------------------------------------------------------------------------------------------------

-- Pages of the two tables of sums are left with room for the next version of their rows: nearly all updates stay on their
-- page, and no index is touched.
CREATE TABLE api_key_totals (
  api_key_id bigint NOT NULL CONSTRAINT api_key_totals_pkey PRIMARY KEY,
  requests bigint NOT NULL DEFAULT 0,
  tokens bigint NOT NULL DEFAULT 0,
  cost_micro_cents bigint NOT NULL DEFAULT 0,
  last_used_at timestamptz,
  CONSTRAINT api_key_totals_check CHECK (requests >= 0 AND tokens >= 0 AND cost_micro_cents >= 0)
) WITH (fillfactor = 60);

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
) WITH (fillfactor = 60);
-- A span over all keys. The hour alone: an index that held sums as well would have to change with every event.
CREATE INDEX usage_hourly_rollups_hour_idx ON usage_hourly_rollups (hour);

-- Events, by the day that they occurred on; those of a day without a partition are in `usage_events_other_days`. Ids grow as
-- rows are added, so a block range index finds one, and costs next to nothing. Who reported an event is the API key that the
-- caller used, or the user of its session.
CREATE SEQUENCE usage_event_ids CACHE 100;
CREATE TABLE usage_events (
  api_key_id bigint NOT NULL,
  request_id text NOT NULL,
  endpoint text NOT NULL,
  method text NOT NULL,
  model text,
  request_tokens bigint NOT NULL,
  response_tokens bigint NOT NULL,
  cost_micro_cents bigint NOT NULL,
  status_code integer,
  response_time_ms bigint,
  hold_id uuid,
  occurred_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  id bigint,
  reported_by_user_id bigint,
  reported_by_api_key_id bigint
) PARTITION BY RANGE (occurred_at);
CREATE INDEX usage_events_id_idx ON usage_events USING brin (id) WITH (autosummarize = on);
CREATE TABLE usage_events_other_days PARTITION OF usage_events DEFAULT;
SELECT ensure_usage_event_partitions((now() AT TIME ZONE 'UTC')::date - 31, 35);

CREATE TABLE usage_reversals (
  event_id bigint NOT NULL CONSTRAINT usage_reversals_pkey PRIMARY KEY,
  api_key_id bigint NOT NULL,
  reversed_by_user_id bigint NOT NULL,
  reversed_by_api_key_id bigint,
  reversed_at timestamptz NOT NULL
);

-- The request ids that make each event count once, by generation: one takes the new ids, the one before is only looked into,
-- and what is older is dropped whole. A reporter is the API key that the caller used, or minus the id of the user of its
-- session, so that one number tells both apart.
CREATE TABLE usage_request_generations (
  number integer NOT NULL CONSTRAINT usage_request_generations_pkey PRIMARY KEY,
  began_at timestamptz NOT NULL,
  -- When the next one began; null for the one that takes the new ids.
  ended_at timestamptz
);
CREATE TABLE usage_requests (
  api_key_id bigint NOT NULL,
  reporter bigint NOT NULL,
  event_id bigint NOT NULL,
  received_at timestamptz NOT NULL,
  generation integer NOT NULL,
  content_digest integer,
  request_id text COLLATE "C" NOT NULL
) PARTITION BY LIST (generation);
-- The primary key leaves out the generation: in a partition it is always the same.
CREATE TABLE usage_requests_1 PARTITION OF usage_requests (
  CONSTRAINT usage_requests_1_pkey PRIMARY KEY (api_key_id, request_id, reporter)
) FOR VALUES IN (1);
INSERT INTO usage_request_generations (number, began_at) VALUES (1, now());

-- Where 0.1.0 kept request ids: generation 0, which takes no more. A new database has none there.
CREATE TABLE usage_request_ids (
  api_key_id bigint NOT NULL,
  request_id text COLLATE "C" NOT NULL,
  received_at timestamptz NOT NULL,
  reporter bigint NOT NULL DEFAULT 0,
  event_id bigint,
  content_digest integer,
  CONSTRAINT usage_request_ids_pkey PRIMARY KEY (api_key_id, request_id, reporter)
) PARTITION BY HASH (api_key_id, request_id);
DO $$ BEGIN
  FOR part IN 0..7 LOOP
    EXECUTE format('CREATE TABLE usage_request_ids_%s PARTITION OF usage_request_ids
      FOR VALUES WITH (MODULUS 8, REMAINDER %1$s)', part);
    EXECUTE format('CREATE INDEX usage_request_ids_%s_received_at ON usage_request_ids_%1$s (received_at)', part);
  END LOOP;
END $$;
-- Since when every request id there has its reporter.
CREATE TABLE usage_reporters (known_since timestamptz NOT NULL);
INSERT INTO usage_reporters (known_since) VALUES ('-infinity');

-- The change feed --------------------------------------------------------------------------------------------------------

-- Which keys and users changed, written by triggers inside the changing transaction, however the change was made. Caches read
-- it by transaction id, so a row can neither be overtaken nor missed.
CREATE TABLE change_feed (
  seq bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT change_feed_pkey PRIMARY KEY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  kind text NOT NULL CONSTRAINT change_feed_kind_check CHECK (kind IN ('api_key', 'user', 'everything')),
  id bigint,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX change_feed_xid_idx ON change_feed (xid);
CREATE INDEX change_feed_created_at_idx ON change_feed (created_at);

-- The newest transaction whose rows were removed again: a reader that has read no further must evict everything.
CREATE TABLE change_feed_horizon (
  only_row boolean NOT NULL DEFAULT true CONSTRAINT change_feed_horizon_pkey PRIMARY KEY CHECK (only_row),
  xid xid8 NOT NULL
);
INSERT INTO change_feed_horizon (xid) VALUES ('0');

-- Per statement, and enabled always: also where a session replicates or switches ordinary triggers off. A new key or secret
-- needs no row: no cache can know it, and what is not there is forgotten within a second.
CREATE TRIGGER feed_updates AFTER UPDATE ON api_keys
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_changes();
CREATE TRIGGER feed_deletes AFTER DELETE ON api_keys
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_changes();
CREATE TRIGGER feed_updates AFTER UPDATE ON api_key_secrets
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_secret_changes();
CREATE TRIGGER feed_deletes AFTER DELETE ON api_key_secrets
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_api_key_secret_changes();
CREATE TRIGGER feed_updates AFTER UPDATE ON users
  REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION note_user_changes();
CREATE TRIGGER feed_deletes AFTER DELETE ON users
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_user_removals();
CREATE TRIGGER feed_updates AFTER UPDATE ON sessions
  REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION note_session_changes();
CREATE TRIGGER feed_deletes AFTER DELETE ON sessions
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION note_session_removals();
CREATE TRIGGER feed_changes AFTER INSERT OR UPDATE OR DELETE ON roles
  FOR EACH STATEMENT EXECUTE FUNCTION note_everything_changed();
CREATE TRIGGER feed_truncate AFTER TRUNCATE ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION note_everything_changed();
CREATE TRIGGER feed_truncate AFTER TRUNCATE ON api_key_secrets FOR EACH STATEMENT EXECUTE FUNCTION note_everything_changed();
CREATE TRIGGER feed_truncate AFTER TRUNCATE ON users FOR EACH STATEMENT EXECUTE FUNCTION note_everything_changed();
CREATE TRIGGER feed_truncate AFTER TRUNCATE ON sessions FOR EACH STATEMENT EXECUTE FUNCTION note_everything_changed();
CREATE TRIGGER feed_truncate AFTER TRUNCATE ON roles FOR EACH STATEMENT EXECUTE FUNCTION note_everything_changed();
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER feed_updates, ENABLE ALWAYS TRIGGER feed_deletes,
  ENABLE ALWAYS TRIGGER feed_truncate;
ALTER TABLE api_key_secrets ENABLE ALWAYS TRIGGER feed_updates, ENABLE ALWAYS TRIGGER feed_deletes,
  ENABLE ALWAYS TRIGGER feed_truncate;
ALTER TABLE users ENABLE ALWAYS TRIGGER feed_updates, ENABLE ALWAYS TRIGGER feed_deletes,
  ENABLE ALWAYS TRIGGER feed_truncate;
ALTER TABLE sessions ENABLE ALWAYS TRIGGER feed_updates, ENABLE ALWAYS TRIGGER feed_deletes,
  ENABLE ALWAYS TRIGGER feed_truncate;
ALTER TABLE roles ENABLE ALWAYS TRIGGER feed_changes, ENABLE ALWAYS TRIGGER feed_truncate;

-- The schema itself ------------------------------------------------------------------------------------------------------

-- What the database has of the files in src/<module>/sql: a hash for each function.
CREATE TABLE schema_functions (
  name text NOT NULL CONSTRAINT schema_functions_pkey PRIMARY KEY,
  hash text NOT NULL
);

-- Migrations that a version has to know to work on this schema: one that takes something away names itself here, one that only
-- adds does not.
CREATE TABLE schema_requirements (
  migration text NOT NULL CONSTRAINT schema_requirements_pkey PRIMARY KEY
);

-- Whether a pepper is the one that was used under its version before.
CREATE TABLE pepper_fingerprints (
  pepper_version integer NOT NULL CONSTRAINT pepper_fingerprints_pkey PRIMARY KEY,
  fingerprint bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pepper_fingerprints_fingerprint_check CHECK (octet_length(fingerprint) = 32)
);

-- Jobs -------------------------------------------------------------------------------------------------------------------

-- The clock that was last seen, and whether it has jumped since.
CREATE TABLE clock_marks (
  id boolean NOT NULL DEFAULT true CONSTRAINT clock_marks_pkey PRIMARY KEY,
  seen_at timestamptz NOT NULL,
  jump text,
  CONSTRAINT clock_marks_id_check CHECK (id),
  CONSTRAINT clock_marks_jump_check CHECK (jump IN ('seen', 'found'))
);
