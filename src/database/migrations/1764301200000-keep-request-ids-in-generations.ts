import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Request ids by generation: one takes the new ids, the one before is only looked into, and what is older is dropped whole.
 * `usage_request_ids` takes no more. Its ids stay where they are, as generation 0, until they are old: instances of the
 * version before go on deleting from it.
 */
export class KeepRequestIdsInGenerations1764301200000 implements MigrationInterface {
  readonly name = 'KeepRequestIdsInGenerations1764301200000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
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
      -- The columns of the key leave out the generation: in a partition it is always the same.
      CREATE TABLE usage_requests_1 PARTITION OF usage_requests (
        CONSTRAINT usage_requests_1_pkey PRIMARY KEY (api_key_id, request_id, reporter)
      ) FOR VALUES IN (1);
      INSERT INTO usage_request_generations (number, began_at) VALUES (1, now());

      -- Until the functions are replaced, instances of the version before may still add ids to the table of before, though it
      -- was empty a moment ago. Only where there is no user yet there is no such instance.
      INSERT INTO usage_request_generations (number, began_at, ended_at)
        SELECT 0, '-infinity', now() WHERE EXISTS (SELECT FROM users);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      INSERT INTO usage_request_ids (api_key_id, request_id, received_at, reporter, event_id, content_digest)
        SELECT api_key_id, request_id, received_at, reporter, event_id, content_digest FROM usage_requests
      ON CONFLICT DO NOTHING;
      DROP TABLE usage_requests, usage_request_generations;
    `);
  }
}
