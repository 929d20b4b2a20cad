import type { TestDatabase } from './database.js';

/** Lifetime usage of a key, as it is stored. */
interface Totals {
  readonly requests: number;
  readonly tokens: number;
  readonly costMicroCents: bigint;
  readonly lastUsedAt: string;
}

/** Usage of a key in one hour, as it is stored. */
interface Rollup {
  readonly hour: Date;
  readonly requests: number;
  readonly model?: string;
  readonly requestTokens?: number;
  readonly responseTokens?: number;
  readonly costMicroCents?: bigint;
}

/** Writes the lifetime usage of a key that had none, past the service. */
export async function writeTotals(database: TestDatabase, apiKeyId: number, totals: Totals): Promise<void> {
  const { requests, tokens, costMicroCents, lastUsedAt } = totals;
  await database.query(
    `INSERT INTO api_key_totals (api_key_id, requests, tokens, cost_micro_cents, last_used_at)
     VALUES ($1, $2, $3, $4, $5)`,
    [apiKeyId, requests, tokens, String(costMicroCents), lastUsedAt],
  );
}

/** Writes what a key used in an hour, past the service. */
export async function writeRollup(database: TestDatabase, apiKeyId: number, rollup: Rollup): Promise<void> {
  const { hour, requests, model = '', requestTokens = 0, responseTokens = 0, costMicroCents = 0n } = rollup;
  await database.query(
    `INSERT INTO usage_hourly_rollups
       (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [apiKeyId, hour, model, requests, requestTokens, responseTokens, String(costMicroCents)],
  );
}
