import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import pg from 'pg';
import { generateSecret } from '../../src/api-keys/secret-format.js';
import { BENCH_PEPPER } from './latchkey.js';

/** A key of the verdict benchmarks, as the bare server reads it; its restrictions are those of `restrictKeys`. */
export interface BenchKey {
  readonly id: number;
  readonly name: string;
  readonly userId: number;
  readonly secret: string;
  readonly scopes: readonly string[];
  readonly tags: readonly string[];
  readonly network: number;
  readonly mask: number;
  readonly modelPrefix: string;
  readonly limits: readonly [number, number, number];
}

/** An address and a model that every restricted key allows. */
export const ALLOWED = { ip: '203.0.113.7', model: 'gpt-4o-mini' } as const;
const LIMITS = [10_000, 100_000, 1_000_000] as const;
const NETWORK = (203 << 24) | (113 << 8);

/**
 * Gives every seeded key a secret that is known here, three windows, one network and one model; the first belongs to
 * the admin and is the caller's. Writes what it made to `file`.
 */
export async function restrictKeys(databaseUrl: string, file: string): Promise<BenchKey[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query(
      `UPDATE api_keys SET is_active = true, expires_at = NULL, is_unlimited = true, budget_limit_cents = NULL,
         budget_type = NULL, rate_limit_per_minute = $1, rate_limit_per_hour = $2, rate_limit_per_day = $3,
         allowed_ips = '{203.0.113.0/24}', allowed_models = '{gpt-4*}', allowed_chatbots = '{}',
         scopes = '{chat:write}', tags = '{production}'`,
      [...LIMITS],
    );
    await client.query(
      `UPDATE api_keys SET user_id = (SELECT id FROM users WHERE username = 'admin'), scopes = '{platform:api-keys:verify}',
         allowed_ips = '{}', allowed_models = '{}' WHERE id = (SELECT min(id) FROM api_keys)`,
    );
    const { rows } = await client.query<{
      id: string;
      name: string;
      user_id: string;
      scopes: string[];
      tags: string[];
    }>('SELECT id, name, user_id, scopes, tags FROM api_keys ORDER BY id');
    const keys = rows.map((row) => ({
      id: Number(row.id),
      name: row.name,
      userId: Number(row.user_id),
      secret: generateSecret('en_'),
      scopes: row.scopes,
      tags: row.tags,
      network: NETWORK >>> 0,
      mask: 0xffffff00,
      modelPrefix: 'gpt-4',
      limits: LIMITS,
    }));
    const digests = keys.map(({ secret }) => createHmac('sha256', BENCH_PEPPER).update(secret).digest());
    await client.query('DELETE FROM api_key_secrets');
    await client.query(
      `INSERT INTO api_key_secrets (digest, pepper_version, api_key_id)
       SELECT digest, 1, id FROM unnest($1::bytea[], $2::bigint[]) AS made (digest, id)`,
      [digests, keys.map(({ id }) => id)],
    );
    await client.query('ANALYZE');
    writeFileSync(file, JSON.stringify(keys));
    return keys;
  } finally {
    await client.end();
  }
}
