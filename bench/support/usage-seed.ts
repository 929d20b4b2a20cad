import { randomBytes } from 'node:crypto';
import type { BenchDatabase } from './seeded-database.js';
import type { LoadRequest } from './load-plan.js';

/** Over how many keys the events of a load are spread. */
const KEYS = 1_000;
const HOUR_MS = 3_600_000;

let serial = 0;
const run = randomBytes(4).toString('hex');

/** Reports that nobody has sent before, of one event each or of a list. */
export function freshReports(requests: number, batch: number, firstKey: number): LoadRequest[] {
  return Array.from({ length: requests }, () => ({
    path: '/api/v1/usage',
    body: batch === 1 ? freshEvent(firstKey) : Array.from({ length: batch }, () => freshEvent(firstKey)),
  }));
}

function freshEvent(firstKey: number) {
  serial += 1;
  return {
    api_key_id: firstKey + ((serial * 7_919) % KEYS),
    request_id: `req-${run}-${String(serial).padStart(12, '0')}`,
    endpoint: '/v1/chat/completions',
    method: 'POST',
    model: `gpt-4o-${serial % 3}`,
    request_tokens: 812,
    response_tokens: 96,
    cost_cents: '0.304250',
    status_code: 200,
    response_time_ms: 731,
    occurred_at: new Date().toISOString(),
  };
}

/** Requests for holds, spread over so many keys. */
export function holdRequests(keys: number, firstKey: number): LoadRequest[] {
  return Array.from({ length: keys }, (_value, place) => ({
    path: '/api/v1/budget-holds',
    body: { api_key_id: firstKey + ((place * 7_919) % keys), amount_cents: 1, ttl_seconds: 3_600 },
  }));
}

/** Makes every key one that holds are granted for, with a budget that no benchmark uses up. */
export async function giveBudgets(database: BenchDatabase): Promise<void> {
  await database.query(
    `UPDATE api_keys SET is_active = true, expires_at = NULL, is_unlimited = false, budget_limit_cents = 1000000000,
       budget_type = 'total'`,
  );
  await database.query(`SELECT count(set_budget_limit(id, 1000000000000000, 'total')) FROM api_keys`);
}

/**
 * Gives a key so many events of the last 30 days, with the request ids, rollups and totals that they make; the rollups
 * are of three models, in every hour.
 */
export async function writeHistory(database: BenchDatabase, apiKeyId: number, events: number): Promise<void> {
  const [hours, models] = [29 * 24, 3];
  const now = Date.now();
  const lastHour = new Date(now - (now % HOUR_MS)).toISOString();
  const hourOf = (n: string) => `timestamptz '${lastHour}' - (${n} % ${hours}) * interval '1 hour'`;
  await database.query(
    `INSERT INTO usage_events (api_key_id, request_id, endpoint, method, model, request_tokens, response_tokens,
       cost_micro_cents, status_code, response_time_ms, occurred_at, received_at)
     SELECT ${apiKeyId}, 'seed-' || n, '/v1/chat/completions', 'POST', 'gpt-4o-' || n % ${models}, 812, 96, 304250, 200, 731,
       ${hourOf('n')}, now() FROM generate_series(1, ${events}) AS n`,
  );
  await database.query(
    `INSERT INTO usage_hourly_rollups (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
     SELECT ${apiKeyId}, ${hourOf('n')}, 'gpt-4o-' || model, share, share * 812, share * 96, share * 304250
     FROM generate_series(0, ${hours - 1}) AS n CROSS JOIN generate_series(0, ${models - 1}) AS model
     CROSS JOIN (SELECT greatest(1, ${events}::bigint / ${hours * models}) AS share) AS shares
     ON CONFLICT DO NOTHING`,
  );
  await database.query(
    `INSERT INTO api_key_totals (api_key_id, requests, tokens, cost_micro_cents)
     VALUES (${apiKeyId}, ${events}, ${events}::bigint * 908, ${events}::bigint * 304250)
     ON CONFLICT (api_key_id) DO UPDATE SET requests = excluded.requests`,
  );
}
