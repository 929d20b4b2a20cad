import type { ApiAnswer, ApiClient } from './api-client.js';
import type { TestDatabase } from './database.js';
import type { TestApp, TestApiKey } from './test-app.js';

/** A new key of the admin with a budget. */
export function keyWithBudget(
  app: TestApp,
  limitCents: number,
  fields: Record<string, unknown> = {},
): Promise<TestApiKey> {
  return app.apiKey(app.admin, { is_unlimited: false, budget_limit_cents: limitCents, ...fields });
}

/** Asks for a hold on the budget of a key; `fields` override or add to the body. */
export function askToHold(
  client: ApiClient,
  key: TestApiKey,
  amountCents: number | string,
  fields: Record<string, unknown> = {},
): Promise<ApiAnswer> {
  const body = { api_key_id: key.id, amount_cents: amountCents, ttl_seconds: 60, ...fields };
  return client.post('/budget-holds', body);
}

/** The id of a hold that must be granted. */
export async function heldId(
  client: ApiClient,
  key: TestApiKey,
  amountCents: number | string,
  fields: Record<string, unknown> = {},
): Promise<string> {
  const answer = await askToHold(client, key, amountCents, fields);
  if (answer.status !== 201) throw new Error(`The hold was refused: ${answer.text}`);
  return String(answer.body['id']);
}

/** A step in the life of a hold. */
export function step(
  client: ApiClient,
  holdId: string,
  action: 'settle' | 'release' | 'extend',
  body?: unknown,
): Promise<ApiAnswer> {
  return client.post(`/budget-holds/${holdId}/${action}`, body);
}

/** An account as it is stored. Amounts are micro-cents. */
export interface StoredAccount extends Record<string, unknown> {
  readonly id: number;
  readonly spent: bigint;
  readonly held: bigint;
  readonly limit: bigint | null;
}

/** The account of a key, read past the service. */
export async function storedAccount(database: TestDatabase, apiKeyId: number): Promise<StoredAccount> {
  const [row] = await database.query<Record<'id' | 'spent' | 'held' | 'limit', string>>(
    `SELECT id::text, spent_micro_cents::text AS spent, held_micro_cents::text AS held,
       limit_micro_cents::text AS limit
     FROM budget_accounts WHERE api_key_id = $1`,
    [apiKeyId],
  );
  if (row === undefined) throw new Error(`Key ${apiKeyId} has no account.`);
  const { id, spent, held, limit } = row;
  return {
    id: Number(id),
    spent: BigInt(spent),
    held: BigInt(held),
    limit: limit === null ? null : BigInt(limit),
  };
}

/** Puts the accounts of keys under each other, the last one on top; past the service, which has no route for it. */
export async function chainAccounts(database: TestDatabase, ...apiKeyIds: number[]): Promise<void> {
  for (const [index, apiKeyId] of apiKeyIds.entries()) {
    const parentId = apiKeyIds[index + 1];
    if (parentId === undefined) return;
    await database.query(
      `UPDATE budget_accounts SET parent_id = (SELECT id FROM budget_accounts WHERE api_key_id = $2)
       WHERE api_key_id = $1`,
      [apiKeyId, parentId],
    );
  }
}

/** Lets the time of a hold be over. */
export async function endTimeOf(database: TestDatabase, holdId: string): Promise<void> {
  await database.query(`UPDATE budget_holds SET expires_at = now() - interval '1 second' WHERE id = $1`, [
    holdId,
  ]);
}

/** Lets the month of a monthly account be over: its period began a month ago. */
export async function endMonthOf(database: TestDatabase, apiKeyId: number): Promise<void> {
  await database.query(
    `UPDATE budget_accounts SET period_start = period_start - interval '1 month'
     WHERE api_key_id = $1 AND period_type = 'monthly'`,
    [apiKeyId],
  );
}
