import { createHmac } from 'node:crypto';
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleInit } from '@nestjs/common';
import { Config, type Pepper } from '../config/config.js';
import { StartFailure } from '../common/start-failure.js';
import { BackgroundPool } from '../database/pools.js';

/** The text that is digested to identify a pepper. It does not have the shape of a secret, so its digest finds no key. */
const FINGERPRINT_TEXT = 'latchkey: fingerprint of a pepper';
const MOST_NAMED = 10;

/**
 * Compares the peppers and prefixes of the keys in the database with the configuration, before the first request. With another
 * pepper under a known version every key would be NOT_FOUND, and new keys would be stored under the wrong one.
 */
@Injectable()
export class StoredKeyChecks implements OnModuleInit, OnApplicationBootstrap {
  readonly #logger = new Logger(StoredKeyChecks.name);

  constructor(
    private readonly config: Config,
    private readonly pool: BackgroundPool,
  ) {}

  /** @throws StartFailure when a pepper is not the one that was used under its version before */
  async onModuleInit(): Promise<void> {
    await this.#comparePeppers();
    await this.#namePeppersThatAreMissing();
  }

  /** It may read every key, so the start does not wait for it. */
  onApplicationBootstrap(): void {
    this.#namePrefixesThatAreUnknown().catch((error: unknown) => {
      this.#logger.warn(`The prefixes of the stored API keys could not be compared: ${String(error)}`);
    });
  }

  /** A version that is seen for the first time is recorded; of instances that start together the first one's counts. */
  async #comparePeppers(): Promise<void> {
    const peppers = this.config.apiKeyPeppers;
    const fingerprints = peppers.map(fingerprintOf);
    const versions = peppers.map(({ version }) => version);
    await this.pool.query(
      `INSERT INTO pepper_fingerprints (pepper_version, fingerprint)
         SELECT * FROM unnest($1::integer[], $2::bytea[]) ON CONFLICT DO NOTHING`,
      [versions, fingerprints],
    );
    const { rows } = await this.pool.query<{ version: number }>(
      `SELECT pepper_version AS version FROM pepper_fingerprints
       JOIN unnest($1::integer[], $2::bytea[]) AS ours (pepper_version, fingerprint) USING (pepper_version)
       WHERE pepper_fingerprints.fingerprint <> ours.fingerprint ORDER BY 1`,
      [versions, fingerprints],
    );
    if (rows.length === 0) return;
    throw new StartFailure(
      `API_KEY_PEPPERS holds another secret under version ${rows.map(({ version }) => version).join(', ')} than the one that ` +
        'the keys in this database were made with; give the old one back under that version, or put the new one in front ' +
        'under a version of its own.',
    );
  }

  async #namePeppersThatAreMissing(): Promise<void> {
    const { rows } = await this.pool.query<{ version: number }>(
      `SELECT pepper_version AS version FROM pepper_fingerprints WHERE pepper_version <> ALL ($1::integer[])
         AND EXISTS (SELECT FROM api_key_secrets AS secrets WHERE secrets.pepper_version = pepper_fingerprints.pepper_version)
       ORDER BY 1`,
      [this.config.apiKeyPeppers.map(({ version }) => version)],
    );
    if (rows.length === 0) return;
    this.#logger.warn(
      `API keys whose pepper is missing from API_KEY_PEPPERS can never be verified: version ${rows.map(({ version }) => version).join(', ')}.`,
    );
  }

  async #namePrefixesThatAreUnknown(): Promise<void> {
    const { rows } = await this.pool.query<{ prefix: string; keys: number }>(
      `SELECT substring(key_prefix FROM '^.*_') AS prefix, count(*) AS keys FROM api_keys
       WHERE deleted_at IS NULL AND NOT EXISTS (
         SELECT FROM unnest($1::text[]) AS known (prefix) WHERE starts_with(key_prefix, left(known.prefix, 8)))
       GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ${MOST_NAMED}`,
      [this.config.apiKeyPrefixes],
    );
    if (rows.length === 0) return;
    const named = rows.map(({ prefix, keys }) => `${prefix ?? 'no prefix'} (${keys})`).join(', ');
    this.#logger.warn(
      `API keys whose prefix is neither API_KEY_PREFIX nor one of API_KEY_FORMER_PREFIXES are refused: ${named}.`,
    );
  }
}

function fingerprintOf(pepper: Pepper): Buffer {
  return createHmac('sha256', pepper.secret.reveal()).update(FINGERPRINT_TEXT).digest();
}
