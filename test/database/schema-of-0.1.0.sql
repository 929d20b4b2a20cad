-- What the migrations of 0.1.0 make of an empty database: a dump by pg_dump 15 (--no-owner --inserts), without the partitions of
-- months and days, which the last two statements make for today. The check of rate limits stands as its migration wrote it:
-- PostgreSQL reads what pg_dump writes of it with other parentheses. Never changed.

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;

CREATE FUNCTION public.accounts_of_holds(ids uuid[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  BEGIN
    RETURN ARRAY(SELECT DISTINCT unnest(account_ids) FROM budget_holds WHERE id = ANY(ids));
  END $$;

CREATE FUNCTION public.add_api_key_search_texts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        INSERT INTO api_key_search_texts (api_key_id, text)
          SELECT id, api_key_search_text(name, description) FROM after_rows WHERE deleted_at IS NULL;
        RETURN NULL;
      END $$;

CREATE FUNCTION public.api_key_search_text(name text, description text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN lower(((name || chr(31)) || COALESCE(description, ''::text)));

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE public.budget_accounts (
    id bigint NOT NULL,
    parent_id bigint,
    api_key_id bigint,
    limit_micro_cents bigint,
    period_type text DEFAULT 'total'::text NOT NULL,
    period_start timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    period_number integer DEFAULT 1 NOT NULL,
    spent_micro_cents bigint DEFAULT 0 NOT NULL,
    held_micro_cents bigint DEFAULT 0 NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    CONSTRAINT budget_accounts_amounts_check CHECK (((limit_micro_cents >= 0) AND (spent_micro_cents >= 0) AND (held_micro_cents >= 0))),
    CONSTRAINT budget_accounts_parent_check CHECK ((parent_id <> id)),
    CONSTRAINT budget_accounts_period_type_check CHECK ((period_type = ANY (ARRAY['total'::text, 'monthly'::text])))
)
WITH (fillfactor='70');

CREATE FUNCTION public.budget_chains(keys bigint[]) RETURNS TABLE(api_key_id bigint, depth integer, account public.budget_accounts)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  BEGIN
    RETURN QUERY
      WITH RECURSIVE chain AS (
        SELECT accounts.api_key_id, 1 AS depth, accounts AS account
        FROM budget_accounts AS accounts WHERE accounts.api_key_id = ANY(keys)
        UNION ALL
        SELECT chain.api_key_id, chain.depth + 1, parents.account
        FROM chain CROSS JOIN LATERAL (
          SELECT accounts AS account FROM budget_accounts AS accounts WHERE id = (chain.account).parent_id LIMIT 1
        ) AS parents
        WHERE chain.depth < 16
      )
      SELECT chain.api_key_id, chain.depth, chain.account FROM chain;
  END $$;

CREATE FUNCTION public.budget_month(at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE
    AS $$
    SELECT date_trunc('month', at, 'UTC')
  $$;

CREATE FUNCTION public.budget_state(account public.budget_accounts, depth integer) RETURNS json
    LANGUAGE sql STABLE
    AS $$
    SELECT json_build_array(account.id, depth, account.revision, account.limit_micro_cents::text, account.period_type,
      CASE WHEN isfinite(account.period_start) THEN (extract(epoch FROM account.period_start) * 1000)::bigint END,
      account.spent_micro_cents::text, account.held_micro_cents::text)
  $$;

CREATE FUNCTION public.budget_states(keys bigint[]) RETURNS json
    LANGUAGE sql
    AS $$
    SELECT json_object_agg(api_key_id, accounts) FROM (
      SELECT api_key_id, json_agg(budget_state(account, depth) ORDER BY depth) AS accounts
      FROM budget_chains(keys) WHERE (account).limit_micro_cents IS NOT NULL GROUP BY api_key_id
    ) AS states
  $$;

CREATE FUNCTION public.change_api_key_search_text() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        IF NEW.deleted_at IS NULL THEN
          INSERT INTO api_key_search_texts AS texts (api_key_id, text)
            VALUES (NEW.id, api_key_search_text(NEW.name, NEW.description))
            ON CONFLICT (api_key_id) DO UPDATE SET text = excluded.text;
        ELSE
          DELETE FROM api_key_search_texts WHERE api_key_id = NEW.id;
        END IF;
        RETURN NULL;
      END $$;

CREATE FUNCTION public.charge_budget_accounts(ids bigint[], spent bigint[], held bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  BEGIN
    UPDATE budget_accounts SET revision = revision + 1,
        spent_micro_cents = spent_micro_cents + spent[width_bucket(id, ids)],
        held_micro_cents = held_micro_cents + held[width_bucket(id, ids)]
      WHERE id = ANY(ids);
  END $$;

CREATE FUNCTION public.charge_usage(keys bigint[], costs bigint[], settled_ids uuid[], settled_costs bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  DECLARE
    ids bigint[];
    spent bigint[];
    held bigint[];
  BEGIN
    SELECT array_agg(account_id ORDER BY account_id), array_agg(sum_spent ORDER BY account_id),
      array_agg(sum_held ORDER BY account_id)
    INTO ids, spent, held
    FROM (
      SELECT account_id, sum(spent) AS sum_spent, sum(held) AS sum_held
      FROM (
        SELECT (chain.account).id AS account_id, cost AS spent, 0::bigint AS held
        FROM budget_chains(keys) AS chain
        JOIN unnest(keys, costs) AS charged (api_key_id, cost) USING (api_key_id)
        UNION ALL
        SELECT charge.account_id, settled.cost, CASE WHEN holds.status = 'held' THEN -holds.amount_micro_cents ELSE 0 END
        FROM unnest(settled_ids, settled_costs) AS settled (id, cost)
        CROSS JOIN LATERAL (SELECT * FROM budget_holds WHERE id = settled.id LIMIT 1) AS holds
        CROSS JOIN unnest(holds.account_ids, holds.period_numbers) AS charge (account_id, period)
        CROSS JOIN LATERAL (
          SELECT FROM budget_accounts WHERE id = charge.account_id AND period_number = charge.period LIMIT 1
        ) AS of_this_period
      ) AS charges
      GROUP BY account_id
    ) AS sums;
    UPDATE budget_holds SET status = 'settled', cost_micro_cents = settled_costs[width_bucket(id, settled_ids)],
        closed_at = clock_timestamp()
      WHERE id = ANY(settled_ids);
    PERFORM charge_budget_accounts(ids, spent, held);
    RETURN ids;
  END $$;

CREATE FUNCTION public.close_holds(ids uuid[], only_lapsed boolean) RETURNS integer
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  DECLARE
    at timestamptz;
    closed integer;
    returned_ids bigint[];
    returned bigint[];
  BEGIN
    PERFORM lock_budget_accounts(accounts_of_holds(ids));
    at := clock_timestamp();
    WITH closed AS (
      UPDATE budget_holds SET closed_at = at, status = CASE WHEN expires_at <= at THEN 'lapsed' ELSE 'released' END
        WHERE id = ANY(ids) AND status = 'held' AND (expires_at <= at OR NOT only_lapsed)
        RETURNING amount_micro_cents, account_ids, period_numbers
    ), returned AS (
      SELECT charge.account_id, sum(closed.amount_micro_cents) AS amount
      FROM closed CROSS JOIN unnest(closed.account_ids, closed.period_numbers) AS charge (account_id, period)
      CROSS JOIN LATERAL (
        SELECT FROM budget_accounts WHERE id = charge.account_id AND period_number = charge.period LIMIT 1
      ) AS of_this_period
      GROUP BY charge.account_id
    )
    SELECT (SELECT count(*) FROM closed), array_agg(account_id ORDER BY account_id), array_agg(-amount ORDER BY account_id)
    INTO closed, returned_ids, returned FROM returned;
    IF returned_ids IS NOT NULL THEN
      PERFORM charge_budget_accounts(returned_ids, array_fill(0::bigint, ARRAY[cardinality(returned)]), returned);
    END IF;
    RETURN closed;
  END $$;

CREATE FUNCTION public.drop_usage_event_partitions(before_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $_$
      DECLARE
        partition text;
        dropped integer := 0;
      BEGIN
        FOR partition IN
          SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
          WHERE inhparent = 'usage_events'::regclass AND relname ~ '^usage_events_\d{4}_\d\d_\d\d$'
            AND to_date(right(relname, 10), 'YYYY_MM_DD') < before_day
        LOOP
          EXECUTE format('DROP TABLE %I', partition);
          dropped := dropped + 1;
        END LOOP;
        RETURN dropped;
      END $_$;

CREATE FUNCTION public.earliest_hold_expiry(account bigint) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  BEGIN
    RETURN (
      SELECT min(earliest.expires_at)
      FROM keys_under_accounts(ARRAY[account]) AS key
      CROSS JOIN LATERAL (
        SELECT expires_at FROM budget_holds WHERE api_key_id = key AND status = 'held' ORDER BY expires_at LIMIT 1
      ) AS earliest
    );
  END $$;

CREATE FUNCTION public.ensure_audit_log_partitions(from_month date, months integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
      DECLARE
        month date := date_trunc('month', from_month);
        partition text;
      BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('ensure_audit_log_partitions'));
        FOR step IN 1..months LOOP
          partition := 'audit_logs_' || to_char(month, 'YYYY_MM');
          IF to_regclass(format('public.%I', partition)) IS NULL THEN
           BEGIN
            EXECUTE format(
              'CREATE TABLE %I PARTITION OF audit_logs FOR VALUES FROM (%L) TO (%L)',
              partition, month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
            );
            EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER audit_logs_append_only', partition);
            EXECUTE format(
              'CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON %I
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change()', partition
            );
            EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER audit_logs_no_truncate', partition);
           EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'Rows of % stand in audit_logs_other_months and stay there.', partition;
           END;
          END IF;
          month := month + interval '1 month';
        END LOOP;
      END $$;

CREATE FUNCTION public.ensure_budget_accounts(keys bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  BEGIN
    INSERT INTO budget_accounts (api_key_id)
      SELECT api_keys.id FROM api_keys
      WHERE id = ANY(keys)
        AND (SELECT accounts.id FROM budget_accounts AS accounts WHERE api_key_id = api_keys.id) IS NULL
      ORDER BY id
    ON CONFLICT (api_key_id) DO NOTHING;
  END $$;

CREATE FUNCTION public.ensure_usage_event_partitions(from_day date, days integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
      DECLARE
        day date := from_day;
        partition text;
      BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('ensure_usage_event_partitions'));
        FOR step IN 1..days LOOP
          partition := 'usage_events_' || to_char(day, 'YYYY_MM_DD');
          IF to_regclass(format('%I', partition)) IS NULL THEN
            EXECUTE format(
              'CREATE TABLE %I PARTITION OF usage_events FOR VALUES FROM (%L) TO (%L)',
              partition, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
            );
          END IF;
          day := day + 1;
        END LOOP;
      END $$;

CREATE FUNCTION public.extend_holds(ids uuid[], ttl_seconds integer[]) RETURNS TABLE(id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamp with time zone, states json)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  BEGIN
    PERFORM lock_budget_accounts(accounts_of_holds(ids));
    UPDATE budget_holds AS holds SET expires_at = greatest(expires_at, clock_timestamp() + interval '1 second' * (
        SELECT max(ttl) FROM unnest(ids, ttl_seconds) AS asked (id, ttl) WHERE asked.id = holds.id))
      WHERE id = ANY(ids) AND status = 'held' AND expires_at > clock_timestamp();
    RETURN QUERY SELECT * FROM find_holds(ids);
  END $$;

CREATE FUNCTION public.find_holds(ids uuid[]) RETURNS TABLE(id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamp with time zone, states json)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  BEGIN
    RETURN QUERY
      WITH holds AS MATERIALIZED (
        SELECT *, row_number() OVER () AS n FROM budget_holds WHERE id = ANY(ids)
      )
      SELECT id, api_key_id, CASE WHEN status = 'held' AND expires_at <= clock_timestamp() THEN 'lapsed' ELSE status END,
        amount_micro_cents::text, cost_micro_cents::text, expires_at,
        CASE WHEN n = 1 THEN budget_states(ARRAY(SELECT DISTINCT api_key_id FROM holds)) END
      FROM holds;
  END $$;

CREATE FUNCTION public.fold_api_key_counts() RETURNS void
    LANGUAGE sql
    AS $$
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

CREATE FUNCTION public.grant_all_holds(new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[], named_keys bigint[], asked_amounts bigint[], at timestamp with time zone, OUT is_granted boolean, OUT states json) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  DECLARE
    ids bigint[];
    periods integer[];
    fitting integer;
    changed integer;
  BEGIN
    is_granted := false;
    SELECT array_agg(id ORDER BY api_key_id), array_agg(period_number ORDER BY api_key_id),
      count(*) FILTER (WHERE asked_amounts[width_bucket(api_key_id, named_keys)]
        <= coalesce(limit_micro_cents, 9000000000000000000) - spent_micro_cents - held_micro_cents)
    INTO ids, periods, fitting FROM budget_accounts WHERE api_key_id = ANY(named_keys);
    IF fitting < cardinality(named_keys)
      OR cardinality(named_keys) > (SELECT count(*) FROM api_keys WHERE id = ANY(named_keys) AND deleted_at IS NULL)
      OR EXISTS (SELECT FROM budget_holds WHERE id = ANY(new_ids))
      OR cardinality(array_remove(request_ids, NULL)) > 0 AND EXISTS (
        SELECT FROM unnest(keys, request_ids) AS asked (api_key_id, request_id)
        LEFT JOIN LATERAL (
          SELECT id FROM budget_holds WHERE api_key_id = asked.api_key_id AND request_id = asked.request_id LIMIT 1
        ) AS earlier ON true
        WHERE asked.request_id IS NOT NULL
        GROUP BY asked.api_key_id, asked.request_id HAVING count(*) > 1 OR count(earlier.id) > 0
      )
    THEN RETURN; END IF;

    INSERT INTO budget_holds (id, api_key_id, request_id, amount_micro_cents, account_ids, period_numbers, expires_at)
      SELECT id, api_key_id, request_id, amount, ARRAY[ids[place]], ARRAY[periods[place]], at + ttl * interval '1 second'
      FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids) AS asked (id, api_key_id, amount, ttl, request_id)
      CROSS JOIN LATERAL (SELECT width_bucket(api_key_id, named_keys) AS place) AS places;
    WITH charged AS (
      UPDATE budget_accounts AS accounts SET revision = revision + 1,
          held_micro_cents = held_micro_cents + asked_amounts[width_bucket(api_key_id, named_keys)]
        WHERE api_key_id = ANY(named_keys) AND (limit_micro_cents IS NULL
          OR asked_amounts[width_bucket(api_key_id, named_keys)] <= limit_micro_cents - spent_micro_cents - held_micro_cents)
        RETURNING accounts AS account
    )
    SELECT count(*), json_object_agg((account).api_key_id, json_build_array(budget_state(account, 1)))
      FILTER (WHERE (account).limit_micro_cents IS NOT NULL)
    INTO changed, states FROM charged;
    IF changed <> cardinality(ids) THEN
      RAISE EXCEPTION 'A grant would have passed the limit of an account.';
    END IF;
    is_granted := true;
  END $$;

CREATE FUNCTION public.grant_holds(new_ids uuid[], keys bigint[], amounts bigint[], ttl_seconds integer[], request_ids text[]) RETURNS TABLE(n integer, outcome text, wait_seconds integer, id uuid, status text, amount text, expires_at timestamp with time zone, states json)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  DECLARE
    at timestamptz;
    is_chained boolean;
    granted record;
    -- By key: what is asked for altogether.
    named_keys bigint[];
    asked_amounts bigint[];
    -- By key: where its chain begins and ends in the arrays by link.
    known_keys bigint[];
    first_links integer[];
    last_links integer[];
    -- By link of a chain, those of a key one after the other.
    link_ids bigint[];
    link_periods integer[];
    -- By account. One without a limit still has that of what can be counted.
    ids bigint[];
    limits bigint[];
    spent bigint[];
    room bigint[];
    added bigint[];
    stored_expiries timestamptz[];
    granted_expiries timestamptz[];
    -- By hold that is asked for.
    outcomes text[] := '{}';
    hold_ids uuid[] := '{}';
    waits integer[] := '{}';
    key_places integer[] := '{}';
    granted_by_first uuid[] := '{}';
    item record;
    key_place integer;
    place integer;
    reason text;
    free_at timestamptz;
    changed integer;
  BEGIN
    SELECT array_agg(key ORDER BY key), array_agg(amount ORDER BY key) INTO named_keys, asked_amounts
    FROM (SELECT key, least(sum(amount), 9000000000000000000)::bigint AS amount FROM unnest(keys, amounts) AS asked (key, amount) GROUP BY key) AS sums;
    SELECT locked.is_chained INTO is_chained FROM lock_budgets(named_keys, NULL) AS locked;
    at := clock_timestamp();
    IF NOT is_chained THEN
      SELECT * INTO granted
      FROM grant_all_holds(new_ids, keys, amounts, ttl_seconds, request_ids, named_keys, asked_amounts, at);
      IF granted.is_granted THEN
        RETURN QUERY SELECT 1, 'all_granted', NULL::integer, NULL::uuid, NULL, NULL, at, granted.states;
        RETURN;
      END IF;
    END IF;
    WITH links AS MATERIALIZED (
      SELECT *, row_number() OVER (ORDER BY api_key_id, depth)::integer AS link FROM budget_chains(keys)
    ), chains AS (
      SELECT api_key_id, min(link) AS first_link, max(link) AS last_link FROM links GROUP BY api_key_id
    ), accounts AS (
      SELECT DISTINCT ON ((account).id) account FROM links ORDER BY (account).id
    )
    SELECT * INTO known_keys, first_links, last_links, link_ids, link_periods, ids, limits, spent, room, added,
      stored_expiries, granted_expiries
    FROM (
      SELECT array_agg(api_key_id ORDER BY api_key_id), array_agg(first_link ORDER BY api_key_id),
        array_agg(last_link ORDER BY api_key_id) FROM chains
    ) AS by_key, (
      SELECT array_agg((account).id ORDER BY link), array_agg((account).period_number ORDER BY link) FROM links
    ) AS by_link, (
      SELECT array_agg((account).id ORDER BY (account).id), array_agg(most ORDER BY (account).id),
        array_agg((account).spent_micro_cents ORDER BY (account).id),
        array_agg(most - (account).spent_micro_cents - (account).held_micro_cents ORDER BY (account).id),
        array_agg(0::bigint), array_agg(NULL::timestamptz), array_agg('infinity'::timestamptz)
      FROM (SELECT account, coalesce((account).limit_micro_cents, 9000000000000000000) AS most FROM accounts) AS accounts
    ) AS by_account;

    FOR item IN
      SELECT asked.id, asked.api_key_id, asked.amount, asked.ttl, known.id IS NOT NULL AS is_known,
        coalesce(same_id.id, same_request.id) AS earlier_id,
        min(asked.n) OVER (
          PARTITION BY asked.api_key_id, asked.request_id, CASE WHEN asked.request_id IS NULL THEN asked.id END
        )::integer AS first_n
      FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids) WITH ORDINALITY
        AS asked (id, api_key_id, amount, ttl, request_id, n)
      LEFT JOIN LATERAL (
        SELECT id FROM api_keys WHERE id = asked.api_key_id AND deleted_at IS NULL LIMIT 1
      ) AS known ON true
      LEFT JOIN LATERAL (SELECT id FROM budget_holds WHERE id = asked.id LIMIT 1) AS same_id ON true
      LEFT JOIN LATERAL (
        SELECT id FROM budget_holds WHERE api_key_id = asked.api_key_id AND request_id = asked.request_id LIMIT 1
      ) AS same_request ON true
      ORDER BY asked.n
    LOOP
      reason := NULL;
      free_at := NULL;
      key_place := CASE WHEN item.is_known THEN width_bucket(item.api_key_id, known_keys) END;
      key_places := key_places || key_place;
      IF NOT item.is_known THEN
        reason := 'unknown_key';
      ELSIF item.earlier_id IS NOT NULL OR granted_by_first[item.first_n] IS NOT NULL THEN
        outcomes := outcomes || 'existing'::text;
        hold_ids := hold_ids || coalesce(item.earlier_id, granted_by_first[item.first_n]);
        waits := waits || NULL::integer;
        CONTINUE;
      ELSE
        FOR link IN first_links[key_place]..last_links[key_place] LOOP
          place := width_bucket(link_ids[link], ids);
          IF item.amount <= room[place] THEN
            CONTINUE;
          ELSIF item.amount > limits[place] THEN
            reason := 'amount_exceeds_limit';
          ELSIF item.amount > limits[place] - spent[place] THEN
            reason := CASE WHEN reason = 'amount_exceeds_limit' THEN reason ELSE 'budget_exhausted' END;
          ELSE
            reason := coalesce(reason, 'held');
            IF stored_expiries[place] IS NULL THEN
              stored_expiries[place] := coalesce(earliest_hold_expiry(ids[place]), 'infinity');
            END IF;
            free_at := greatest(free_at, least(stored_expiries[place], granted_expiries[place]));
          END IF;
        END LOOP;
      END IF;
      IF reason IS NULL THEN
        FOR link IN first_links[key_place]..last_links[key_place] LOOP
          place := width_bucket(link_ids[link], ids);
          room[place] := room[place] - item.amount;
          added[place] := added[place] + item.amount;
          granted_expiries[place] := least(granted_expiries[place], at + item.ttl * interval '1 second');
        END LOOP;
        granted_by_first[item.first_n] := item.id;
      END IF;
      outcomes := outcomes || coalesce(reason, 'granted');
      hold_ids := hold_ids || CASE WHEN reason IS NULL THEN item.id END;
      waits := waits || CASE
        WHEN reason <> 'held' THEN NULL
        WHEN free_at = 'infinity' THEN 1
        ELSE ceil(extract(epoch FROM free_at - at))::integer END;
    END LOOP;

    IF cardinality(granted_by_first) > 0 THEN
      INSERT INTO budget_holds (id, api_key_id, request_id, amount_micro_cents, account_ids, period_numbers, expires_at)
        SELECT id, api_key_id, request_id, amount, link_ids[first_links[key_place]:last_links[key_place]],
          link_periods[first_links[key_place]:last_links[key_place]], at + ttl * interval '1 second'
        FROM unnest(new_ids, keys, amounts, ttl_seconds, request_ids, outcomes, key_places)
          AS asked (id, api_key_id, amount, ttl, request_id, outcome, key_place)
        WHERE outcome = 'granted';

      -- The guard: whatever was reckoned above, no account passes its limit by a grant.
      UPDATE budget_accounts AS accounts SET revision = revision + 1,
          held_micro_cents = held_micro_cents + added[width_bucket(id, ids)]
        WHERE id = ANY(ids) AND (limit_micro_cents IS NULL OR added[width_bucket(id, ids)] = 0
          OR added[width_bucket(id, ids)] <= limit_micro_cents - spent_micro_cents - held_micro_cents);
      GET DIAGNOSTICS changed = ROW_COUNT;
      IF changed <> cardinality(ids) THEN
        RAISE EXCEPTION 'A grant would have passed the limit of an account.';
      END IF;
    END IF;

    RETURN QUERY
      SELECT asked.n::integer, asked.outcome, asked.wait, asked.hold_id,
        CASE WHEN holds.status = 'held' AND holds.expires_at <= at THEN 'lapsed' ELSE holds.status END,
        holds.amount_micro_cents::text, holds.expires_at, CASE WHEN asked.n = 1 THEN budget_states(keys) END
      FROM unnest(outcomes, waits, hold_ids) WITH ORDINALITY AS asked (outcome, wait, hold_id, n)
      LEFT JOIN LATERAL (SELECT * FROM budget_holds WHERE id = asked.hold_id LIMIT 1) AS holds ON true
      ORDER BY asked.n;
  END $$;

CREATE FUNCTION public.judge_usage(keys bigint[], request_ids text[], hold_ids uuid[], known_keys bigint[]) RETURNS text[]
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  DECLARE
    statuses text[];
    item record;
    request_taken boolean[] := '{}';
    hold_taken boolean[] := '{}';
  BEGIN
    -- What each would be if it came alone.
    SELECT array_agg(
        CASE
          WHEN known_keys[width_bucket(input.api_key_id, known_keys)] IS DISTINCT FROM input.api_key_id THEN 'unknown_key'
          WHEN seen.request_id IS NOT NULL THEN 'duplicate'
          WHEN input.hold_id IS NULL THEN 'accepted'
          WHEN holds.id IS NULL THEN 'unknown_hold'
          WHEN holds.status = 'released' THEN 'hold_released'
          WHEN holds.status = 'settled' THEN 'hold_settled'
          ELSE 'accepted'
        END ORDER BY input.n)
    INTO statuses
    FROM unnest(keys, request_ids, hold_ids) WITH ORDINALITY AS input (api_key_id, request_id, hold_id, n)
    LEFT JOIN LATERAL (
      SELECT request_id FROM usage_request_ids WHERE api_key_id = input.api_key_id AND request_id = input.request_id LIMIT 1
    ) AS seen ON true
    LEFT JOIN LATERAL (
      SELECT id, status FROM budget_holds WHERE id = input.hold_id AND api_key_id = input.api_key_id LIMIT 1
    ) AS holds ON true;
    FOR item IN
      SELECT * FROM (
        SELECT n::integer, hold_id, status,
          count(*) OVER same_request + CASE WHEN hold_id IS NULL THEN 0 ELSE count(*) OVER same_hold - 1 END AS rivals,
          (min(n) OVER same_request)::integer AS request_place, (min(n) OVER same_hold)::integer AS hold_place
        FROM unnest(keys, request_ids, hold_ids, statuses) WITH ORDINALITY
          AS input (api_key_id, request_id, hold_id, status, n)
        WHERE status NOT IN ('unknown_key', 'duplicate')
        WINDOW same_request AS (PARTITION BY api_key_id, request_id), same_hold AS (PARTITION BY hold_id)
      ) AS contested
      WHERE rivals > 1 ORDER BY n
    LOOP
      IF request_taken[item.request_place] THEN
        statuses[item.n] := 'duplicate';
      ELSIF item.status = 'accepted' AND item.hold_id IS NOT NULL AND hold_taken[item.hold_place] THEN
        statuses[item.n] := 'hold_settled';
      ELSIF item.status = 'accepted' THEN
        request_taken[item.request_place] := true;
        IF item.hold_id IS NOT NULL THEN hold_taken[item.hold_place] := true; END IF;
      END IF;
    END LOOP;
    RETURN statuses;
  END $$;

CREATE FUNCTION public.keys_under_accounts(ids bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  BEGIN
    RETURN QUERY
      WITH RECURSIVE family AS (
        SELECT id, api_key_id FROM budget_accounts WHERE id = ANY(ids)
        UNION
        SELECT children.id, children.api_key_id FROM family CROSS JOIN LATERAL (
          SELECT accounts.id, accounts.api_key_id FROM budget_accounts AS accounts WHERE parent_id = family.id OFFSET 0
        ) AS children
      )
      SELECT api_key_id FROM family WHERE api_key_id IS NOT NULL;
  END $$;

CREATE FUNCTION public.lock_budget_accounts(ids bigint[], OUT is_limited boolean, OUT is_chained boolean) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  DECLARE
    is_over boolean;
  BEGIN
    SELECT bool_or(limit_micro_cents IS NOT NULL), bool_or(parent_id IS NOT NULL),
      bool_or(period_type = 'monthly' AND period_start < budget_month(clock_timestamp()))
    INTO is_limited, is_chained, is_over
    FROM (
      SELECT limit_micro_cents, parent_id, period_type, period_start FROM budget_accounts
      WHERE id = ANY(ids) ORDER BY id FOR NO KEY UPDATE
    ) AS locked;
    IF is_over THEN
      UPDATE budget_accounts SET period_start = budget_month(clock_timestamp()), period_number = period_number + 1,
          spent_micro_cents = 0, held_micro_cents = 0, revision = revision + 1
        WHERE id = ANY(ids) AND period_type = 'monthly' AND period_start < budget_month(clock_timestamp());
    END IF;
  END $$;

CREATE FUNCTION public.lock_budgets(keys bigint[], hold_ids uuid[], OUT known_keys bigint[], OUT is_limited boolean, OUT is_chained boolean) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  DECLARE
    ids bigint[];
  BEGIN
    SELECT array_agg(id), array_agg(api_key_id ORDER BY api_key_id), bool_or(parent_id IS NOT NULL)
    INTO ids, known_keys, is_chained
    FROM budget_accounts WHERE api_key_id = ANY(keys);
    IF is_chained OR known_keys IS DISTINCT FROM keys OR hold_ids IS NOT NULL THEN
      PERFORM ensure_budget_accounts(keys);
      ids := ARRAY(SELECT (account).id FROM budget_chains(keys) UNION SELECT unnest(accounts_of_holds(hold_ids)));
      known_keys := ARRAY(SELECT api_key_id FROM budget_accounts WHERE api_key_id = ANY(keys) ORDER BY api_key_id);
    END IF;
    SELECT locked.is_limited, locked.is_chained INTO is_limited, is_chained FROM lock_budget_accounts(ids) AS locked;
  END $$;

CREATE FUNCTION public.note_api_key_changes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        PERFORM note_changes('api_key', ARRAY(SELECT id FROM before_rows));
        RETURN NULL;
      END $$;

CREATE FUNCTION public.note_api_key_deletes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
  BEGIN
    INSERT INTO api_key_count_changes (user_id, is_active, keys)
      SELECT user_id, is_active, -count(*) FROM before_rows WHERE deleted_at IS NULL GROUP BY 1, 2;
    RETURN NULL;
  END $$;

CREATE FUNCTION public.note_api_key_inserts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
  BEGIN
    INSERT INTO api_key_count_changes (user_id, is_active, keys)
      SELECT user_id, is_active, count(*) FROM after_rows WHERE deleted_at IS NULL GROUP BY 1, 2;
    RETURN NULL;
  END $$;

CREATE FUNCTION public.note_api_key_secret_changes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        PERFORM note_changes('api_key', ARRAY(SELECT DISTINCT api_key_id FROM before_rows));
        RETURN NULL;
      END $$;

CREATE FUNCTION public.note_api_key_updates() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
  BEGIN
    INSERT INTO api_key_count_changes (user_id, is_active, keys)
      SELECT user_id, is_active, sum(step) FROM (
        SELECT user_id, is_active, 1 AS step FROM after_rows WHERE deleted_at IS NULL
        UNION ALL
        SELECT user_id, is_active, -1 FROM before_rows WHERE deleted_at IS NULL
      ) AS steps GROUP BY 1, 2 HAVING sum(step) <> 0;
    RETURN NULL;
  END $$;

CREATE FUNCTION public.note_changes(changed_kind text, changed_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.note_everything_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        INSERT INTO change_feed (kind) VALUES ('everything');
        PERFORM pg_notify('latchkey_changes', '');
        RETURN NULL;
      END $$;

CREATE FUNCTION public.note_session_changes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(
          SELECT DISTINCT before_rows.user_id FROM before_rows JOIN after_rows USING (id)
          WHERE after_rows.ended_at IS DISTINCT FROM before_rows.ended_at OR after_rows.user_id <> before_rows.user_id
            OR after_rows.expires_at < before_rows.expires_at
        ));
        RETURN NULL;
      END $$;

CREATE FUNCTION public.note_session_removals() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(
          SELECT DISTINCT user_id FROM before_rows WHERE ended_at IS NULL AND expires_at > now()
        ));
        RETURN NULL;
      END $$;

CREATE FUNCTION public.note_user_changes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(
          SELECT id FROM before_rows EXCEPT
          SELECT after_rows.id FROM before_rows JOIN after_rows USING (id, username, role, permissions, is_active)
          WHERE after_rows.deleted_at IS NOT DISTINCT FROM before_rows.deleted_at
        ));
        RETURN NULL;
      END $$;

CREATE FUNCTION public.note_user_removals() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        PERFORM note_changes('user', ARRAY(SELECT id FROM before_rows));
        RETURN NULL;
      END $$;

CREATE FUNCTION public.notice_budget_thresholds(ids bigint[]) RETURNS integer
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  DECLARE
    noticed integer;
  BEGIN
    INSERT INTO budget_notices (account_id, period_number, percent, period_start, spent_micro_cents, limit_micro_cents)
      SELECT id, period_number, percent, period_start, spent_micro_cents, limit_micro_cents
      FROM budget_accounts CROSS JOIN (VALUES (50), (80), (100)) AS threshold (percent)
      WHERE id = ANY(ids) AND spent_micro_cents > 0
        AND spent_micro_cents::numeric * 100 >= limit_micro_cents::numeric * percent
      ORDER BY id, percent
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS noticed = ROW_COUNT;
    RETURN noticed;
  END $$;

CREATE FUNCTION public.record_usage(keys bigint[], request_ids text[], endpoints text[], methods text[], models text[], request_tokens bigint[], response_tokens bigint[], costs bigint[], status_codes integer[], response_times bigint[], occurred_ats timestamp with time zone[], hold_ids uuid[], OUT others json, OUT notices integer, OUT states json) RETURNS record
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  #variable_conflict use_column
  DECLARE
    named_keys bigint[] := ARRAY(SELECT DISTINCT key FROM unnest(keys) AS key ORDER BY key);
    named_holds uuid[] := nullif(array_remove(hold_ids, NULL), '{}');
    locked record;
    -- By event; null when all are accepted.
    statuses text[];
    noted_keys bigint[];
    noted_requests text[];
    charged_keys bigint[];
    charged_costs bigint[];
    charged_ids bigint[];
    settled_ids uuid[];
    settled_costs bigint[];
  BEGIN
    SELECT * INTO locked FROM lock_budgets(named_keys, named_holds);
    IF named_holds IS NOT NULL OR locked.known_keys <> named_keys THEN
      statuses := judge_usage(keys, request_ids, hold_ids, locked.known_keys);
    END IF;

    WITH noted AS (
      INSERT INTO usage_request_ids (api_key_id, request_id, received_at)
        SELECT api_key_id, request_id, now()
        FROM unnest(keys, request_ids, statuses) AS input (api_key_id, request_id, status)
        WHERE coalesce(status, 'accepted') = 'accepted'
      ON CONFLICT DO NOTHING RETURNING api_key_id, request_id
    )
    SELECT array_agg(api_key_id), array_agg(request_id) INTO noted_keys, noted_requests FROM noted;
    IF statuses IS NULL AND cardinality(keys) > coalesce(cardinality(noted_keys), 0) THEN
      statuses := ARRAY(
        SELECT CASE WHEN is_noted AND place = 1 THEN 'accepted' ELSE 'duplicate' END
        FROM (
          SELECT n, bool_or(n IS NULL) OVER same AS is_noted, row_number() OVER (same ORDER BY n) AS place
          FROM (
            SELECT * FROM unnest(keys, request_ids) WITH ORDINALITY AS input (api_key_id, request_id, n)
            UNION ALL
            SELECT api_key_id, request_id, NULL FROM unnest(noted_keys, noted_requests) AS noted (api_key_id, request_id)
          ) AS requests
          WINDOW same AS (PARTITION BY api_key_id, request_id)
        ) AS judged
        WHERE n IS NOT NULL ORDER BY n);
    END IF;

    WITH taken AS MATERIALIZED (
      SELECT input.*
      FROM unnest(keys, request_ids, endpoints, methods, models, request_tokens, response_tokens, costs, status_codes,
        response_times, occurred_ats, hold_ids, statuses) AS input (api_key_id, request_id, endpoint, method, model,
        request_tokens, response_tokens, cost, status_code, response_time, occurred_at, hold_id, status)
      WHERE coalesce(input.status, 'accepted') = 'accepted'
    ), stored AS (
      INSERT INTO usage_events (api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens,
          cost_micro_cents, status_code, response_time_ms, hold_id, occurred_at, received_at)
        SELECT api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens, cost, status_code,
          response_time, hold_id, occurred_at, now() FROM taken
    ), sums AS MATERIALIZED (
      SELECT api_key_id, date_bin('1 hour', occurred_at, 'epoch') AS hour, coalesce(model, '') AS model, count(*) AS requests,
        sum(request_tokens)::bigint AS request_tokens, sum(response_tokens)::bigint AS response_tokens,
        sum(cost)::bigint AS cost, coalesce(sum(cost) FILTER (WHERE hold_id IS NULL), 0)::bigint AS unheld_cost,
        max(occurred_at) AS last_occurred_at
      FROM taken GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ), rolled_up AS (
      INSERT INTO usage_hourly_rollups AS rollups
          (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
        SELECT api_key_id, hour, model, requests, request_tokens, response_tokens, cost FROM sums
      ON CONFLICT (api_key_id, hour, model) DO UPDATE SET
        requests = rollups.requests + excluded.requests,
        request_tokens = rollups.request_tokens + excluded.request_tokens,
        response_tokens = rollups.response_tokens + excluded.response_tokens,
        cost_micro_cents = rollups.cost_micro_cents + excluded.cost_micro_cents
    ), sums_of_keys AS MATERIALIZED (
      SELECT api_key_id, sum(requests)::bigint AS requests, sum(request_tokens + response_tokens)::bigint AS tokens,
        sum(cost)::bigint AS cost, sum(unheld_cost)::bigint AS unheld_cost, max(last_occurred_at) AS last_occurred_at
      FROM sums GROUP BY 1 ORDER BY 1
    ), totalled AS (
      INSERT INTO api_key_totals AS totals (api_key_id, requests, tokens, cost_micro_cents, last_used_at)
        SELECT api_key_id, requests, tokens, cost, last_occurred_at FROM sums_of_keys
      ON CONFLICT (api_key_id) DO UPDATE SET
        requests = totals.requests + excluded.requests,
        tokens = totals.tokens + excluded.tokens,
        cost_micro_cents = totals.cost_micro_cents + excluded.cost_micro_cents,
        last_used_at = greatest(totals.last_used_at, excluded.last_used_at)
    )
    SELECT * INTO charged_keys, charged_costs, settled_ids, settled_costs
    FROM (SELECT array_agg(api_key_id), array_agg(unheld_cost) FROM sums_of_keys) AS charged, (
      SELECT array_agg(hold_id ORDER BY hold_id), array_agg(cost ORDER BY hold_id) FROM taken WHERE hold_id IS NOT NULL
    ) AS settled;

    IF locked.is_chained OR settled_ids IS NOT NULL THEN
      charged_ids := charge_usage(charged_keys, charged_costs, settled_ids, settled_costs);
    ELSE
      WITH charged AS (
        UPDATE budget_accounts SET revision = revision + 1,
            spent_micro_cents = spent_micro_cents + charged_costs[width_bucket(api_key_id, charged_keys)]
          WHERE api_key_id = ANY(charged_keys) RETURNING id
      )
      SELECT array_agg(id) INTO charged_ids FROM charged;
    END IF;

    IF statuses IS NOT NULL THEN
      others := (
        SELECT json_object_agg(n - 1, status) FROM unnest(statuses) WITH ORDINALITY AS input (status, n)
        WHERE status <> 'accepted');
    END IF;
    notices := 0;
    IF locked.is_limited THEN
      notices := notice_budget_thresholds(charged_ids);
      states := budget_states(named_keys);
    END IF;
  END $$;

CREATE FUNCTION public.refuse_audit_log_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        RAISE EXCEPTION 'Audit logs are append-only: % is refused.', TG_OP USING ERRCODE = 'insufficient_privilege';
      END $$;

CREATE FUNCTION public.release_holds(ids uuid[]) RETURNS TABLE(id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamp with time zone, states json)
    LANGUAGE plpgsql
    AS $$
  BEGIN
    PERFORM close_holds(ids, false);
    RETURN QUERY SELECT * FROM find_holds(ids);
  END $$;

CREATE FUNCTION public.remove_api_key_search_texts() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
      BEGIN
        DELETE FROM api_key_search_texts WHERE api_key_id IN (SELECT id FROM before_rows);
        RETURN NULL;
      END $$;

CREATE FUNCTION public.set_budget_limit(key bigint, new_limit bigint, new_type text) RETURNS void
    LANGUAGE plpgsql
    AS $$
  DECLARE
    account bigint;
  BEGIN
    PERFORM ensure_budget_accounts(ARRAY[key]);
    SELECT id INTO account FROM budget_accounts WHERE api_key_id = key;
    PERFORM lock_budget_accounts(ARRAY[account]);
    UPDATE budget_accounts SET limit_micro_cents = new_limit, period_type = new_type, revision = revision + 1,
        period_start = CASE
          WHEN new_type = period_type THEN period_start
          WHEN new_type = 'monthly' THEN budget_month(clock_timestamp())
          ELSE '-infinity' END
      WHERE id = account;
    PERFORM notice_budget_thresholds(ARRAY[account]);
  END $$;

CREATE FUNCTION public.sweep_lapsed_holds(most integer, of_keys bigint[] DEFAULT NULL::bigint[]) RETURNS TABLE(swept integer, states json)
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    AS $$
  DECLARE
    at timestamptz := clock_timestamp();
    lapsed uuid[];
  BEGIN
    IF of_keys IS NULL THEN
      lapsed := ARRAY(
        SELECT id FROM budget_holds WHERE status = 'held' AND expires_at <= at ORDER BY expires_at LIMIT most);
    ELSE
      lapsed := ARRAY(
        SELECT holds.id
        FROM keys_under_accounts(ARRAY(SELECT DISTINCT (account).id FROM budget_chains(of_keys))) AS key
        CROSS JOIN LATERAL (
          SELECT id FROM budget_holds WHERE api_key_id = key AND status = 'held' AND expires_at <= at LIMIT most
        ) AS holds
        LIMIT most);
    END IF;
    swept := CASE WHEN cardinality(lapsed) = 0 THEN 0 ELSE close_holds(lapsed, true) END;
    IF swept > 0 THEN
      states := budget_states(ARRAY(SELECT DISTINCT api_key_id FROM budget_holds WHERE id = ANY(lapsed)));
    END IF;
    RETURN NEXT;
  END $$;

CREATE TABLE public.api_key_count_changes (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    is_active boolean NOT NULL,
    keys bigint NOT NULL
);

ALTER TABLE public.api_key_count_changes ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.api_key_count_changes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.api_key_counts (
    user_id bigint NOT NULL,
    is_active boolean NOT NULL,
    keys bigint NOT NULL
);

CREATE TABLE public.api_key_search_texts (
    api_key_id bigint NOT NULL,
    text text NOT NULL COLLATE pg_catalog."C"
);
ALTER TABLE ONLY public.api_key_search_texts ALTER COLUMN text SET STATISTICS 400;

CREATE TABLE public.api_key_secrets (
    digest bytea NOT NULL,
    pepper_version integer NOT NULL,
    api_key_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    retires_at timestamp with time zone,
    CONSTRAINT api_key_secrets_digest_check CHECK ((octet_length(digest) = 32))
);

CREATE TABLE public.api_key_totals (
    api_key_id bigint NOT NULL,
    requests bigint DEFAULT 0 NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    cost_micro_cents bigint DEFAULT 0 NOT NULL,
    last_used_at timestamp with time zone,
    CONSTRAINT api_key_totals_check CHECK (((requests >= 0) AND (tokens >= 0) AND (cost_micro_cents >= 0)))
)
WITH (fillfactor='60');

CREATE TABLE public.api_keys (
    id bigint NOT NULL,
    user_id bigint NOT NULL,
    name text NOT NULL,
    description text,
    key_prefix text NOT NULL,
    scopes text[] DEFAULT '{}'::text[] NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    expires_at timestamp with time zone,
    rate_limit_per_minute integer,
    rate_limit_per_hour integer,
    rate_limit_per_day integer,
    allowed_ips text[] DEFAULT '{}'::text[] NOT NULL,
    allowed_models text[] DEFAULT '{}'::text[] NOT NULL,
    allowed_chatbots text[] DEFAULT '{}'::text[] NOT NULL,
    is_unlimited boolean DEFAULT true NOT NULL,
    budget_limit_cents bigint,
    budget_type text,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    version integer DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT api_keys_budget_check CHECK (((is_unlimited AND (budget_limit_cents IS NULL) AND (budget_type IS NULL)) OR ((NOT is_unlimited) AND ((budget_limit_cents >= 0) AND (budget_limit_cents <= '1000000000000'::bigint)) AND (budget_limit_cents IS NOT NULL) AND (budget_type = ANY (ARRAY['total'::text, 'monthly'::text])) AND (budget_type IS NOT NULL)))),
    CONSTRAINT api_keys_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 100))),
    CONSTRAINT api_keys_rate_limits_check CHECK (rate_limit_per_minute BETWEEN 1 AND 10000 AND rate_limit_per_hour BETWEEN 1 AND 100000 AND rate_limit_per_day BETWEEN 1 AND 1000000)
);

ALTER TABLE public.api_keys ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.api_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.audit_logs (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    user_id bigint,
    api_key_id bigint,
    action text NOT NULL,
    resource_type text NOT NULL,
    resource_id text,
    details jsonb NOT NULL,
    ip_address text,
    user_agent text,
    request_id text,
    success boolean NOT NULL
)
PARTITION BY RANGE (created_at);

CREATE TABLE public.audit_logs_other_months (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    user_id bigint,
    api_key_id bigint,
    action text NOT NULL,
    resource_type text NOT NULL,
    resource_id text,
    details jsonb NOT NULL,
    ip_address text,
    user_agent text,
    request_id text,
    success boolean NOT NULL
);

ALTER TABLE public.budget_accounts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.budget_accounts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.budget_holds (
    id uuid NOT NULL,
    api_key_id bigint NOT NULL,
    request_id text,
    amount_micro_cents bigint NOT NULL,
    status text DEFAULT 'held'::text NOT NULL,
    account_ids bigint[] NOT NULL,
    period_numbers integer[] NOT NULL,
    cost_micro_cents bigint,
    expires_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT budget_holds_amount_check CHECK (((amount_micro_cents > 0) AND (cost_micro_cents >= 0))),
    CONSTRAINT budget_holds_chain_check CHECK ((cardinality(account_ids) = cardinality(period_numbers))),
    CONSTRAINT budget_holds_status_check CHECK ((status = ANY (ARRAY['held'::text, 'settled'::text, 'released'::text, 'lapsed'::text])))
);

CREATE TABLE public.budget_notices (
    account_id bigint NOT NULL,
    period_number integer NOT NULL,
    percent integer NOT NULL,
    period_start timestamp with time zone NOT NULL,
    spent_micro_cents bigint NOT NULL,
    limit_micro_cents bigint NOT NULL,
    noticed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    published_at timestamp with time zone
);

CREATE TABLE public.change_feed (
    seq bigint NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    kind text NOT NULL,
    id bigint,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT change_feed_kind_check CHECK ((kind = ANY (ARRAY['api_key'::text, 'user'::text, 'everything'::text])))
);

CREATE TABLE public.change_feed_horizon (
    only_row boolean DEFAULT true NOT NULL,
    xid xid8 NOT NULL,
    CONSTRAINT change_feed_horizon_only_row_check CHECK (only_row)
);

ALTER TABLE public.change_feed ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.change_feed_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.idempotency_keys (
    user_id bigint NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    request_digest bytea NOT NULL,
    api_key_id bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.instances (
    id uuid NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    seen_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.login_failures (
    subject text NOT NULL,
    failures integer NOT NULL,
    window_ends_at timestamp with time zone NOT NULL
);

CREATE TABLE public.rate_windows (
    api_key_id bigint NOT NULL,
    windows bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT rate_windows_windows_check CHECK ((octet_length(windows) = 148))
)
WITH (fillfactor='50');
ALTER TABLE ONLY public.rate_windows ALTER COLUMN windows SET STORAGE PLAIN;

CREATE TABLE public.refresh_tokens (
    digest bytea NOT NULL,
    session_id uuid NOT NULL,
    used_at timestamp with time zone
);

CREATE TABLE public.roles (
    name text NOT NULL,
    permissions text[] NOT NULL
);

CREATE TABLE public.schema_migrations (
    id integer NOT NULL,
    "timestamp" bigint NOT NULL,
    name character varying NOT NULL
);

CREATE SEQUENCE public.schema_migrations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.schema_migrations_id_seq OWNED BY public.schema_migrations.id;

CREATE TABLE public.sessions (
    id uuid NOT NULL,
    user_id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone
);

CREATE TABLE public.usage_events (
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
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL
)
PARTITION BY RANGE (occurred_at);

CREATE TABLE public.usage_hourly_rollups (
    api_key_id bigint NOT NULL,
    hour timestamp with time zone NOT NULL,
    model text DEFAULT ''::text NOT NULL,
    requests bigint NOT NULL,
    request_tokens bigint NOT NULL,
    response_tokens bigint NOT NULL,
    cost_micro_cents bigint NOT NULL,
    CONSTRAINT usage_hourly_rollups_check CHECK (((requests >= 0) AND (request_tokens >= 0) AND (response_tokens >= 0) AND (cost_micro_cents >= 0) AND (date_trunc('hour'::text, hour, 'UTC'::text) = hour)))
)
WITH (fillfactor='60');

CREATE TABLE public.usage_request_ids (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
)
PARTITION BY HASH (api_key_id, request_id);

CREATE TABLE public.usage_request_ids_0 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.usage_request_ids_1 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.usage_request_ids_2 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.usage_request_ids_3 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.usage_request_ids_4 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.usage_request_ids_5 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.usage_request_ids_6 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.usage_request_ids_7 (
    api_key_id bigint NOT NULL,
    request_id text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.users (
    id bigint NOT NULL,
    username text NOT NULL,
    password_hash text NOT NULL,
    role text NOT NULL,
    permissions text[] DEFAULT '{}'::text[] NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone
);

ALTER TABLE public.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.audit_logs ATTACH PARTITION public.audit_logs_other_months DEFAULT;

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_0 FOR VALUES WITH (modulus 8, remainder 0);

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_1 FOR VALUES WITH (modulus 8, remainder 1);

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_2 FOR VALUES WITH (modulus 8, remainder 2);

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_3 FOR VALUES WITH (modulus 8, remainder 3);

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_4 FOR VALUES WITH (modulus 8, remainder 4);

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_5 FOR VALUES WITH (modulus 8, remainder 5);

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_6 FOR VALUES WITH (modulus 8, remainder 6);

ALTER TABLE ONLY public.usage_request_ids ATTACH PARTITION public.usage_request_ids_7 FOR VALUES WITH (modulus 8, remainder 7);

ALTER TABLE ONLY public.schema_migrations ALTER COLUMN id SET DEFAULT nextval('public.schema_migrations_id_seq'::regclass);

INSERT INTO public.change_feed_horizon VALUES (true, '0');

INSERT INTO public.roles VALUES ('admin', '{platform:*}');
INSERT INTO public.roles VALUES ('developer', '{platform:api-keys:*}');
INSERT INTO public.roles VALUES ('auditor', '{platform:*:read}');
INSERT INTO public.roles VALUES ('service', '{platform:api-keys:verify,platform:usage:write}');
INSERT INTO public.roles VALUES ('user', '{}');

INSERT INTO public.schema_migrations VALUES (1, 1763800000000, 'CreateUsers1763800000000');
INSERT INTO public.schema_migrations VALUES (2, 1763800100000, 'CreateApiKeys1763800100000');
INSERT INTO public.schema_migrations VALUES (3, 1763800200000, 'CreateAuditLogs1763800200000');
INSERT INTO public.schema_migrations VALUES (4, 1763800300000, 'CreateRateWindows1763800300000');
INSERT INTO public.schema_migrations VALUES (5, 1763800400000, 'CreateChangeFeed1763800400000');
INSERT INTO public.schema_migrations VALUES (6, 1763800500000, 'CreateBudgetAccounts1763800500000');
INSERT INTO public.schema_migrations VALUES (7, 1763800600000, 'CreateUsage1763800600000');
INSERT INTO public.schema_migrations VALUES (8, 1763800700000, 'CreateBudgetLedger1763800700000');
INSERT INTO public.schema_migrations VALUES (9, 1763800800000, 'IndexUsageRollups1763800800000');
INSERT INTO public.schema_migrations VALUES (10, 1763800900000, 'CreateSearchTexts1763800900000');

SELECT pg_catalog.setval('public.api_key_count_changes_id_seq', 1, false);

SELECT pg_catalog.setval('public.api_keys_id_seq', 1, false);

SELECT pg_catalog.setval('public.budget_accounts_id_seq', 1, false);

SELECT pg_catalog.setval('public.change_feed_seq_seq', 1, false);

SELECT pg_catalog.setval('public.schema_migrations_id_seq', 10, true);

SELECT pg_catalog.setval('public.users_id_seq', 1, false);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT "PK_62441bec32630ced9e4cccae336" PRIMARY KEY (id);

ALTER TABLE ONLY public.api_key_count_changes
    ADD CONSTRAINT api_key_count_changes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.api_key_counts
    ADD CONSTRAINT api_key_counts_pkey PRIMARY KEY (user_id, is_active);

ALTER TABLE ONLY public.api_key_search_texts
    ADD CONSTRAINT api_key_search_texts_pkey PRIMARY KEY (api_key_id);

ALTER TABLE ONLY public.api_key_secrets
    ADD CONSTRAINT api_key_secrets_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY public.api_key_totals
    ADD CONSTRAINT api_key_totals_pkey PRIMARY KEY (api_key_id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.audit_logs
    ADD CONSTRAINT audit_logs_pkey PRIMARY KEY (created_at, id);

ALTER TABLE ONLY public.audit_logs_other_months
    ADD CONSTRAINT audit_logs_other_months_pkey PRIMARY KEY (created_at, id);

ALTER TABLE ONLY public.budget_accounts
    ADD CONSTRAINT budget_accounts_api_key_id_key UNIQUE (api_key_id);

ALTER TABLE ONLY public.budget_accounts
    ADD CONSTRAINT budget_accounts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.budget_holds
    ADD CONSTRAINT budget_holds_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.budget_notices
    ADD CONSTRAINT budget_notices_pkey PRIMARY KEY (account_id, period_number, percent);

ALTER TABLE ONLY public.change_feed_horizon
    ADD CONSTRAINT change_feed_horizon_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY public.change_feed
    ADD CONSTRAINT change_feed_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, operation, key);

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.login_failures
    ADD CONSTRAINT login_failures_pkey PRIMARY KEY (subject);

ALTER TABLE ONLY public.rate_windows
    ADD CONSTRAINT rate_windows_pkey PRIMARY KEY (api_key_id);

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.usage_hourly_rollups
    ADD CONSTRAINT usage_hourly_rollups_pkey PRIMARY KEY (api_key_id, hour, model);

ALTER TABLE ONLY public.usage_request_ids
    ADD CONSTRAINT usage_request_ids_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_0
    ADD CONSTRAINT usage_request_ids_0_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_1
    ADD CONSTRAINT usage_request_ids_1_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_2
    ADD CONSTRAINT usage_request_ids_2_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_3
    ADD CONSTRAINT usage_request_ids_3_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_4
    ADD CONSTRAINT usage_request_ids_4_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_5
    ADD CONSTRAINT usage_request_ids_5_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_6
    ADD CONSTRAINT usage_request_ids_6_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.usage_request_ids_7
    ADD CONSTRAINT usage_request_ids_7_pkey PRIMARY KEY (api_key_id, request_id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

CREATE INDEX api_key_search_texts_idx ON public.api_key_search_texts USING gin (text public.gin_trgm_ops);

CREATE UNIQUE INDEX api_key_secrets_current_key ON public.api_key_secrets USING btree (api_key_id) WHERE (retires_at IS NULL);

CREATE INDEX api_key_secrets_retires_at_idx ON public.api_key_secrets USING btree (retires_at) WHERE (retires_at IS NOT NULL);

CREATE UNIQUE INDEX api_key_secrets_retiring_key ON public.api_key_secrets USING btree (api_key_id) WHERE (retires_at IS NOT NULL);

CREATE INDEX api_keys_live_idx ON public.api_keys USING btree (id) WHERE (deleted_at IS NULL);

CREATE INDEX api_keys_owner_idx ON public.api_keys USING btree (user_id, id) WHERE (deleted_at IS NULL);

CREATE INDEX api_keys_owner_state_idx ON public.api_keys USING btree (user_id, is_active, id) WHERE (deleted_at IS NULL);

CREATE INDEX api_keys_state_idx ON public.api_keys USING btree (is_active, id) WHERE (deleted_at IS NULL);

CREATE INDEX api_keys_tags_idx ON public.api_keys USING gin (tags) WHERE (deleted_at IS NULL);

CREATE INDEX audit_logs_action_idx ON ONLY public.audit_logs USING btree (action, created_at, id);

CREATE INDEX audit_logs_failures_idx ON ONLY public.audit_logs USING btree (created_at, id) WHERE (NOT success);

CREATE INDEX audit_logs_other_months_action_created_at_id_idx ON public.audit_logs_other_months USING btree (action, created_at, id);

CREATE INDEX audit_logs_other_months_created_at_id_idx ON public.audit_logs_other_months USING btree (created_at, id) WHERE (NOT success);

CREATE INDEX audit_logs_resource_idx ON ONLY public.audit_logs USING btree (resource_id, resource_type, created_at, id);

CREATE INDEX audit_logs_other_months_resource_id_resource_type_created_a_idx ON public.audit_logs_other_months USING btree (resource_id, resource_type, created_at, id);

CREATE INDEX audit_logs_user_id_idx ON ONLY public.audit_logs USING btree (user_id, created_at, id);

CREATE INDEX audit_logs_other_months_user_id_created_at_id_idx ON public.audit_logs_other_months USING btree (user_id, created_at, id);

CREATE INDEX budget_accounts_parent_id_idx ON public.budget_accounts USING btree (parent_id) WHERE (parent_id IS NOT NULL);

CREATE INDEX budget_holds_api_key_id_idx ON public.budget_holds USING btree (api_key_id, expires_at) WHERE (status = 'held'::text);

CREATE INDEX budget_holds_expires_at_idx ON public.budget_holds USING btree (expires_at) WHERE (status = 'held'::text);

CREATE UNIQUE INDEX budget_holds_request_key ON public.budget_holds USING btree (api_key_id, request_id) WHERE (request_id IS NOT NULL);

CREATE INDEX budget_notices_unpublished_idx ON public.budget_notices USING btree (noticed_at) WHERE (published_at IS NULL);

CREATE INDEX change_feed_created_at_idx ON public.change_feed USING btree (created_at);

CREATE INDEX change_feed_xid_idx ON public.change_feed USING btree (xid);

CREATE INDEX idempotency_keys_created_at_idx ON public.idempotency_keys USING btree (created_at);

CREATE INDEX login_failures_window_ends_at_idx ON public.login_failures USING btree (window_ends_at);

CREATE INDEX refresh_tokens_session_id_idx ON public.refresh_tokens USING btree (session_id);

CREATE INDEX sessions_expires_at_idx ON public.sessions USING btree (expires_at);

CREATE INDEX sessions_user_id_idx ON public.sessions USING btree (user_id) WHERE (ended_at IS NULL);

CREATE INDEX usage_hourly_rollups_hour_idx ON public.usage_hourly_rollups USING btree (hour);

CREATE INDEX usage_request_ids_0_received_at_idx ON public.usage_request_ids_0 USING brin (received_at);

CREATE INDEX usage_request_ids_1_received_at_idx ON public.usage_request_ids_1 USING brin (received_at);

CREATE INDEX usage_request_ids_2_received_at_idx ON public.usage_request_ids_2 USING brin (received_at);

CREATE INDEX usage_request_ids_3_received_at_idx ON public.usage_request_ids_3 USING brin (received_at);

CREATE INDEX usage_request_ids_4_received_at_idx ON public.usage_request_ids_4 USING brin (received_at);

CREATE INDEX usage_request_ids_5_received_at_idx ON public.usage_request_ids_5 USING brin (received_at);

CREATE INDEX usage_request_ids_6_received_at_idx ON public.usage_request_ids_6 USING brin (received_at);

CREATE INDEX usage_request_ids_7_received_at_idx ON public.usage_request_ids_7 USING brin (received_at);

CREATE UNIQUE INDEX users_username_key ON public.users USING btree (username) WHERE (deleted_at IS NULL);

ALTER INDEX public.audit_logs_action_idx ATTACH PARTITION public.audit_logs_other_months_action_created_at_id_idx;

ALTER INDEX public.audit_logs_failures_idx ATTACH PARTITION public.audit_logs_other_months_created_at_id_idx;

ALTER INDEX public.audit_logs_pkey ATTACH PARTITION public.audit_logs_other_months_pkey;

ALTER INDEX public.audit_logs_resource_idx ATTACH PARTITION public.audit_logs_other_months_resource_id_resource_type_created_a_idx;

ALTER INDEX public.audit_logs_user_id_idx ATTACH PARTITION public.audit_logs_other_months_user_id_created_at_id_idx;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_0_pkey;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_1_pkey;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_2_pkey;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_3_pkey;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_4_pkey;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_5_pkey;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_6_pkey;

ALTER INDEX public.usage_request_ids_pkey ATTACH PARTITION public.usage_request_ids_7_pkey;

CREATE TRIGGER api_keys_count_deletes AFTER DELETE ON public.api_keys REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_api_key_deletes();

CREATE TRIGGER api_keys_count_inserts AFTER INSERT ON public.api_keys REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_api_key_inserts();

CREATE TRIGGER api_keys_count_updates AFTER UPDATE ON public.api_keys REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_api_key_updates();

CREATE TRIGGER api_keys_search_deletes AFTER DELETE ON public.api_keys REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.remove_api_key_search_texts();

CREATE TRIGGER api_keys_search_inserts AFTER INSERT ON public.api_keys REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION public.add_api_key_search_texts();

CREATE TRIGGER api_keys_search_updates AFTER UPDATE ON public.api_keys FOR EACH ROW WHEN (((old.name <> new.name) OR (old.description IS DISTINCT FROM new.description) OR ((old.deleted_at IS NULL) <> (new.deleted_at IS NULL)))) EXECUTE FUNCTION public.change_api_key_search_text();

CREATE TRIGGER audit_logs_append_only BEFORE DELETE OR UPDATE ON public.audit_logs FOR EACH ROW EXECUTE FUNCTION public.refuse_audit_log_change();

ALTER TABLE public.audit_logs ENABLE ALWAYS TRIGGER audit_logs_append_only;

CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON public.audit_logs FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_log_change();

ALTER TABLE public.audit_logs ENABLE ALWAYS TRIGGER audit_logs_no_truncate;

CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON public.audit_logs_other_months FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_log_change();

ALTER TABLE public.audit_logs_other_months ENABLE ALWAYS TRIGGER audit_logs_no_truncate;

CREATE TRIGGER feed_changes AFTER INSERT OR DELETE OR UPDATE ON public.roles FOR EACH STATEMENT EXECUTE FUNCTION public.note_everything_changed();

ALTER TABLE public.roles ENABLE ALWAYS TRIGGER feed_changes;

CREATE TRIGGER feed_deletes AFTER DELETE ON public.api_key_secrets REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_api_key_secret_changes();

ALTER TABLE public.api_key_secrets ENABLE ALWAYS TRIGGER feed_deletes;

CREATE TRIGGER feed_deletes AFTER DELETE ON public.api_keys REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_api_key_changes();

ALTER TABLE public.api_keys ENABLE ALWAYS TRIGGER feed_deletes;

CREATE TRIGGER feed_deletes AFTER DELETE ON public.sessions REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_session_removals();

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER feed_deletes;

CREATE TRIGGER feed_deletes AFTER DELETE ON public.users REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_user_removals();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER feed_deletes;

CREATE TRIGGER feed_truncate AFTER TRUNCATE ON public.api_key_secrets FOR EACH STATEMENT EXECUTE FUNCTION public.note_everything_changed();

ALTER TABLE public.api_key_secrets ENABLE ALWAYS TRIGGER feed_truncate;

CREATE TRIGGER feed_truncate AFTER TRUNCATE ON public.api_keys FOR EACH STATEMENT EXECUTE FUNCTION public.note_everything_changed();

ALTER TABLE public.api_keys ENABLE ALWAYS TRIGGER feed_truncate;

CREATE TRIGGER feed_truncate AFTER TRUNCATE ON public.roles FOR EACH STATEMENT EXECUTE FUNCTION public.note_everything_changed();

ALTER TABLE public.roles ENABLE ALWAYS TRIGGER feed_truncate;

CREATE TRIGGER feed_truncate AFTER TRUNCATE ON public.sessions FOR EACH STATEMENT EXECUTE FUNCTION public.note_everything_changed();

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER feed_truncate;

CREATE TRIGGER feed_truncate AFTER TRUNCATE ON public.users FOR EACH STATEMENT EXECUTE FUNCTION public.note_everything_changed();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER feed_truncate;

CREATE TRIGGER feed_updates AFTER UPDATE ON public.api_key_secrets REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_api_key_secret_changes();

ALTER TABLE public.api_key_secrets ENABLE ALWAYS TRIGGER feed_updates;

CREATE TRIGGER feed_updates AFTER UPDATE ON public.api_keys REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_api_key_changes();

ALTER TABLE public.api_keys ENABLE ALWAYS TRIGGER feed_updates;

CREATE TRIGGER feed_updates AFTER UPDATE ON public.sessions REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_session_changes();

ALTER TABLE public.sessions ENABLE ALWAYS TRIGGER feed_updates;

CREATE TRIGGER feed_updates AFTER UPDATE ON public.users REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION public.note_user_changes();

ALTER TABLE public.users ENABLE ALWAYS TRIGGER feed_updates;

ALTER TABLE ONLY public.api_key_secrets
    ADD CONSTRAINT api_key_secrets_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES public.api_keys(id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.budget_accounts
    ADD CONSTRAINT budget_accounts_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES public.api_keys(id);

ALTER TABLE ONLY public.budget_accounts
    ADD CONSTRAINT budget_accounts_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES public.budget_accounts(id);

ALTER TABLE ONLY public.budget_notices
    ADD CONSTRAINT budget_notices_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.budget_accounts(id);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_api_key_id_fkey FOREIGN KEY (api_key_id) REFERENCES public.api_keys(id);

ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_role_fkey FOREIGN KEY (role) REFERENCES public.roles(name);

REVOKE ALL ON FUNCTION public.drop_usage_event_partitions(before_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.ensure_audit_log_partitions(from_month date, months integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION public.ensure_usage_event_partitions(from_day date, days integer) FROM PUBLIC;

SELECT public.ensure_audit_log_partitions((now() AT TIME ZONE 'UTC')::date, 3);

SELECT public.ensure_usage_event_partitions((now() AT TIME ZONE 'UTC')::date - 31, 35);
