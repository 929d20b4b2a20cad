import type { MigrationInterface, QueryRunner } from 'typeorm';
import { sqlFunctionText } from '../sql-functions.js';

/**
 * Search texts follow their keys once for each statement. The trigger fired for each row until now, which took half of the
 * time in which the keys of a user ended.
 */
export class ChangeSearchTextsByStatement1764300300000 implements MigrationInterface {
  readonly name = 'ChangeSearchTextsByStatement1764300300000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ${sqlFunctionText('change_api_key_search_texts')}
      DROP TRIGGER api_keys_search_updates ON api_keys;
      CREATE TRIGGER api_keys_search_updates AFTER UPDATE ON api_keys
        REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
        FOR EACH STATEMENT EXECUTE FUNCTION change_api_key_search_texts()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER api_keys_search_updates ON api_keys;
      CREATE TRIGGER api_keys_search_updates AFTER UPDATE ON api_keys FOR EACH ROW
        WHEN (OLD.name <> NEW.name OR OLD.description IS DISTINCT FROM NEW.description
          OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL))
        EXECUTE FUNCTION change_api_key_search_text();
      DROP FUNCTION change_api_key_search_texts()`);
  }
}
