import { Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { Maintenance } from '../jobs/maintenance.service.js';
import { ControlPool } from '../database/pools.js';

/** Few, so that a change of one of these keys does not wait for long. */
const TEXTS_IN_A_TURN = 500;

/**
 * Folds the search texts that a version stored which left the case to the database's locale, the newest first, a few at
 * a time. `fold_search_text` folds every other as it is stored. Texts of ASCII alone are the same either way.
 */
@Injectable()
export class SearchTexts {
  #areFolded = false;

  constructor(
    private readonly pool: ControlPool,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'fold-api-key-search-texts',
      purpose:
        'after an upgrade, folds the search texts of the version before, 500 at a time; then does nothing',
      everySeconds: 5,
      isDestructive: false,
      run: (client) => this.#foldSome(client),
    });
  }

  /** Texts of keys below this id may not be folded yet: a search folds them as it reads them. 0 when all are. */
  async unfoldedBelow(): Promise<number> {
    if (this.#areFolded) return 0;
    const { rows } = await this.pool.query<{ below: number }>({
      name: 'find_unfolded_search_texts',
      text: 'SELECT below FROM api_key_search_backlog',
    });
    const below = rows[0]?.below ?? 0;
    this.#areFolded = below === 0;
    return below;
  }

  /**
   * The first turn only notes the newest key: by the next, whatever was still being stored in the old way is committed.
   */
  async #foldSome(client: PoolClient): Promise<void> {
    if (this.#areFolded) return;
    const { rows } = await client.query<{ below: number }>('SELECT below FROM api_key_search_backlog');
    const below = rows[0]?.below ?? 0;
    if (below === Number.MAX_SAFE_INTEGER) await client.query(NOTE_NEWEST);
    else if (below > 0) await client.query(FOLD, [below, TEXTS_IN_A_TURN]);
    else this.#areFolded = true;
  }
}

const NOTE_NEWEST = `
  UPDATE api_key_search_backlog
  SET below = coalesce(pg_sequence_last_value(pg_get_serial_sequence('api_keys', 'id')::regclass), 0) + 1`;

/** A text that is changed meanwhile is folded already, and stays as it is. */
const FOLD = `
  WITH batch AS MATERIALIZED (
    SELECT api_key_id, text FROM api_key_search_texts
    WHERE api_key_id < $1 AND octet_length(text) <> char_length(text) ORDER BY api_key_id DESC LIMIT $2
  ), folds AS MATERIALIZED (
    SELECT batch.api_key_id, batch.text, api_key_search_text(keys.name, keys.description) AS folded
    FROM batch JOIN api_keys AS keys ON keys.id = batch.api_key_id
  ), folded AS (
    UPDATE api_key_search_texts AS texts SET text = folds.folded FROM folds
    WHERE texts.api_key_id = folds.api_key_id AND texts.text = folds.text AND folds.folded <> folds.text
  )
  UPDATE api_key_search_backlog
  SET below = (SELECT CASE WHEN count(*) < $2 THEN 0 ELSE min(api_key_id) END FROM batch)`;
