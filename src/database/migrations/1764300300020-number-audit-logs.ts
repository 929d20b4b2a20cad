import type { MigrationInterface, QueryRunner } from 'typeorm';
import { sqlFunctionText } from '../sql-functions.js';

/**
 * Numbers rows of the audit log by their transaction, so that collectors can read them in the order in which they became
 * visible. Rows that are there have no number: they are older than all others. Says how long the log is kept, in a table
 * that only the owner of the schema may change.
 */
export class NumberAuditLogs1764300300020 implements MigrationInterface {
  readonly name = 'NumberAuditLogs1764300300020';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      SET LOCAL lock_timeout = '5s';
      CREATE TABLE audit_log_numbering (
        only_row boolean NOT NULL DEFAULT true CONSTRAINT audit_log_numbering_pkey PRIMARY KEY CHECK (only_row),
        base bigint NOT NULL,
        unnumbered_until timestamptz
      );
      CREATE TABLE audit_retention (
        only_row boolean NOT NULL DEFAULT true CONSTRAINT audit_retention_pkey PRIMARY KEY CHECK (only_row),
        months integer CONSTRAINT audit_retention_months_check CHECK (months > 0)
      );
      INSERT INTO audit_retention (months) VALUES (NULL);
      ${sqlFunctionText('audit_log_position')}
      ALTER TABLE audit_logs ADD COLUMN position bigint;
      ALTER TABLE audit_logs ALTER COLUMN position SET DEFAULT audit_log_position();
      INSERT INTO audit_log_numbering (base, unnumbered_until) SELECT 0, max(created_at) FROM audit_logs;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE audit_logs DROP COLUMN position;
      DROP FUNCTION audit_log_position();
      DROP TABLE audit_log_numbering, audit_retention;
    `);
  }
}
