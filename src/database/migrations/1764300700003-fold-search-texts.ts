import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Search texts are folded by a function of ours from here on. Those that are there already are folded by a job, the
 * newest first: of keys below `below`, texts may still be as the database's locale left them. The largest number says
 * that the job has not begun, 0 that it is done.
 */
export class FoldSearchTexts1764300700003 implements MigrationInterface {
  readonly name = 'FoldSearchTexts1764300700003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE api_key_search_backlog (
        only_row boolean NOT NULL DEFAULT true CONSTRAINT api_key_search_backlog_pkey PRIMARY KEY CHECK (only_row),
        below bigint NOT NULL
      );
      INSERT INTO api_key_search_backlog (below)
        SELECT CASE WHEN EXISTS (SELECT FROM api_key_search_texts) THEN ${Number.MAX_SAFE_INTEGER} ELSE 0 END;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE api_key_search_backlog');
  }
}
