import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The key that a key was created with. A parent is older than its child, so that no chain of parents ever closes. The
 * column is new and empty: its foreign key needs no check of the rows, and the other check is left out for them.
 */
export class CreateKeyLineage1764300400000 implements MigrationInterface {
  readonly name = 'CreateKeyLineage1764300400000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_keys
        ADD COLUMN parent_key_id bigint CONSTRAINT api_keys_parent_key_id_fkey REFERENCES api_keys (id),
        ADD CONSTRAINT api_keys_parent_key_id_check CHECK (parent_key_id < id) NOT VALID;
      CREATE INDEX api_keys_parent_key_id_idx ON api_keys (parent_key_id) WHERE parent_key_id IS NOT NULL;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_keys DROP COLUMN parent_key_id');
  }
}
