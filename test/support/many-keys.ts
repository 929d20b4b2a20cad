import type { TestDatabase } from './database.js';

/** How much of everything there is. */
export interface ManyKeys {
  /** Keys of each owner, by the id of the owner. */
  readonly keys: Readonly<Record<number, number>>;
  readonly rollupsPerKey: number;
  readonly auditRows: number;
}

/** Fills a database with keys, their secrets and their usage, and with rows of the audit log of the action `exported`. */
export async function seedManyKeys(
  database: TestDatabase,
  { keys, rollupsPerKey, auditRows }: ManyKeys,
): Promise<void> {
  for (const [ownerId, count] of Object.entries(keys))
    await database.query(
      `INSERT INTO api_keys (user_id, name, key_prefix)
       SELECT $1, 'Key ' || n, 'en_heavy' FROM generate_series(1, $2::int) AS n`,
      [ownerId, count],
    );
  await database.query(
    `INSERT INTO api_key_secrets (digest, pepper_version, api_key_id)
     SELECT sha256(id::text::bytea), 1, id FROM api_keys WHERE key_prefix = 'en_heavy';
     INSERT INTO usage_hourly_rollups (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
     SELECT id, date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 'm', 1, 1, 1, 1
     FROM api_keys, generate_series(1, ${rollupsPerKey}) AS n WHERE key_prefix = 'en_heavy';
     INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
     SELECT gen_random_uuid(), now() - n * interval '1 second', 'exported', 'test', jsonb_build_object('text', repeat('x', 500)), true
     FROM generate_series(1, ${auditRows}) AS n;
     ANALYZE api_keys, api_key_secrets, usage_hourly_rollups, audit_logs`,
  );
}
