import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Usage events, by day of what they tell of; and the request ids that make each count once. The ids are kept for
 * 30 days whatever the retention of events: a unique index over partitions by day could not promise that.
 */
export class CreateUsage1763800600000 implements MigrationInterface {
  readonly name = 'CreateUsage1763800600000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
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
        received_at timestamptz NOT NULL
      ) PARTITION BY RANGE (occurred_at);

      CREATE TABLE usage_request_ids (
        api_key_id bigint NOT NULL,
        request_id text COLLATE "C" NOT NULL,
        received_at timestamptz NOT NULL,
        CONSTRAINT usage_request_ids_pkey PRIMARY KEY (api_key_id, request_id)
      ) PARTITION BY HASH (api_key_id, request_id);

      CREATE FUNCTION ensure_usage_event_partitions(from_day date, days integer) RETURNS void
      LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
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

      CREATE FUNCTION drop_usage_event_partitions(before_day date) RETURNS integer
      LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
      DECLARE
        partition text;
        dropped integer := 0;
      BEGIN
        FOR partition IN
          SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
          WHERE inhparent = 'usage_events'::regclass AND relname ~ '^usage_events_\\d{4}_\\d\\d_\\d\\d$'
            AND to_date(right(relname, 10), 'YYYY_MM_DD') < before_day
        LOOP
          EXECUTE format('DROP TABLE %I', partition);
          dropped := dropped + 1;
        END LOOP;
        RETURN dropped;
      END $$;
      REVOKE EXECUTE ON FUNCTION ensure_usage_event_partitions(date, integer), drop_usage_event_partitions(date) FROM PUBLIC;
      SELECT ensure_usage_event_partitions((now() AT TIME ZONE 'UTC')::date - 31, 35);
    `);
    for (let remainder = 0; remainder < REQUEST_ID_PARTITIONS; remainder += 1) {
      await runner.query(`
        CREATE TABLE usage_request_ids_${remainder} PARTITION OF usage_request_ids
          FOR VALUES WITH (MODULUS ${REQUEST_ID_PARTITIONS}, REMAINDER ${remainder});
        CREATE INDEX ON usage_request_ids_${remainder} USING brin (received_at);
      `);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE usage_events, usage_request_ids;
      DROP FUNCTION ensure_usage_event_partitions(date, integer), drop_usage_event_partitions(date);
    `);
  }
}

const REQUEST_ID_PARTITIONS = 8;
