import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Finds rows of the audit log by their number. Made partition by partition, while the log is written. */
export class IndexAuditLogNumbers1764300300030 implements MigrationInterface {
  readonly name = 'IndexAuditLogNumbers1764300300030';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX IF EXISTS audit_logs_position_idx;
      CREATE INDEX audit_logs_position_idx ON ONLY audit_logs (position, id) WHERE position IS NOT NULL`);
    const partitions = (await runner.query(
      `SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
       WHERE inhparent = 'audit_logs'::regclass ORDER BY 1`,
    )) as { name: string }[];
    for (const { name } of partitions) {
      const index = `${name}_position_id_idx`;
      // One that was begun and not finished is of no use.
      await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS "${index}"`);
      await runner.query(
        `CREATE INDEX CONCURRENTLY "${index}" ON "${name}" (position, id) WHERE position IS NOT NULL`,
      );
      await runner.query(`ALTER INDEX audit_logs_position_idx ATTACH PARTITION "${index}"`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX audit_logs_position_idx');
  }
}
