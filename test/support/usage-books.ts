import pg from 'pg';
import type { Acknowledged } from './usage-reporters.js';

interface BookRow {
  readonly api_key_id: string;
  readonly requests: string;
  readonly cost_micro_cents: string | null;
}

const BOOKS = {
  events:
    'SELECT api_key_id, count(*) AS requests, sum(cost_micro_cents) AS cost_micro_cents FROM usage_events GROUP BY 1',
  request_ids:
    'SELECT api_key_id, count(*) AS requests, NULL AS cost_micro_cents FROM usage_requests GROUP BY 1',
  rollups:
    'SELECT api_key_id, sum(requests) AS requests, sum(cost_micro_cents) AS cost_micro_cents FROM usage_hourly_rollups GROUP BY 1',
  totals: 'SELECT api_key_id, requests, cost_micro_cents FROM api_key_totals',
  budgets: `SELECT totals.api_key_id, totals.requests, accounts.spent_micro_cents AS cost_micro_cents
    FROM api_key_totals AS totals JOIN budget_accounts AS accounts USING (api_key_id)`,
};

/**
 * What is wrong with what a database stores, by what clients were told; empty when every event is there, and counted
 * once.
 */
export async function faultsInBooks(databaseUrl: string, acknowledged: Acknowledged): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return [...(await faultsInEvents(client, acknowledged)), ...(await faultsInSums(client, acknowledged))];
  } finally {
    await client.end();
  }
}

async function faultsInEvents(client: pg.Client, acknowledged: Acknowledged): Promise<string[]> {
  const faults: string[] = [];
  const { rows } = await client.query<{ api_key_id: string; request_id: string; times: string }>(
    'SELECT api_key_id, request_id, count(*) AS times FROM usage_events GROUP BY 1, 2',
  );
  const times = new Map(rows.map((row) => [`${row.api_key_id} ${row.request_id}`, Number(row.times)]));
  for (const [apiKeyId, events] of acknowledged) {
    const counts = [...events.keys()].map((requestId) => times.get(`${apiKeyId} ${requestId}`) ?? 0);
    const lost = counts.filter((count) => count === 0).length;
    const doubled = counts.filter((count) => count > 1).length;
    if (lost > 0) faults.push(`key ${apiKeyId}: ${lost} of ${counts.length} acknowledged events are lost`);
    if (doubled > 0) faults.push(`key ${apiKeyId}: ${doubled} events are stored twice`);
  }
  return faults;
}

async function faultsInSums(client: pg.Client, acknowledged: Acknowledged): Promise<string[]> {
  const faults: string[] = [];
  for (const [book, statement] of Object.entries(BOOKS)) {
    const { rows } = await client.query<BookRow>(statement);
    const byKey = new Map(rows.map((row) => [Number(row.api_key_id), row]));
    for (const [apiKeyId, events] of acknowledged) {
      const row = byKey.get(apiKeyId);
      const cost = [...events.values()].reduce((sum, microCents) => sum + microCents, 0n);
      const found = `${row?.requests ?? 0} requests, ${row?.cost_micro_cents ?? cost} micro-cents`;
      const expected = `${events.size} requests, ${cost} micro-cents`;
      if (found !== expected) faults.push(`key ${apiKeyId}: ${book} say ${found} instead of ${expected}`);
    }
  }
  return faults;
}
