/** Users who own the seeded keys; their names are `user-1`, `user-2` and so on. The last ones are developers. */
export const SEEDED_USERS = 1_000;
export const SEEDED_DEVELOPERS = 50;
export const SEEDED_ADMIN = 'admin';
export const SEEDED_PASSWORD = 'a long passphrase of the benchmarks';

/** Parts of the seeded names and descriptions: a search for a team matches one key in 32. */
export const TEAMS =
  'billing payments support search catalog identity ledger fraud logistics pricing growth mobile reporting warehouse notifications onboarding analytics compliance editorial marketing partnerships platform recruiting research robotics sales security shipping storage streaming translations vision'.split(
    ' ',
  );
const PURPOSES =
  'worker gateway importer exporter dashboard chatbot scheduler crawler summariser classifier assistant pipeline webhook notebook'.split(
    ' ',
  );
const PLACES = 'production staging development'.split(' ');
const PROJECTS =
  'invoices refunds tickets transcripts embeddings contracts receipts reviews profiles forecasts experiments answers'.split(
    ' ',
  );
const MODELS = 'gpt-4* claude-* gemini-* llama-3* mistral-*'.split(' ');

/** The reference by which a description, and with it one key in the whole seed, can be searched for. */
export function ticketOf(apiKeyId: number): string {
  return `OPS-${100_000_000 + ((apiKeyId * 7_919) % 100_000_007)}`;
}

/**
 * The statements that fill a migrated, empty database with an admin, `SEEDED_USERS` users and `keys` API keys, one
 * secret each, four of five with usage. All is a function of the id, so that every seed is the same. The indexes that
 * no constraint needs are dropped before and made again after: that is several times faster.
 */
export function seedStatements(keys: number, passwordHash: string): string[] {
  return [
    `SET maintenance_work_mem = '512MB'`,
    `INSERT INTO users (username, password_hash, role) VALUES ('${SEEDED_ADMIN}', '${passwordHash}', 'admin')`,
    `INSERT INTO users (username, password_hash, role)
     SELECT 'user-' || n, '${passwordHash}',
       CASE WHEN n > ${SEEDED_USERS - SEEDED_DEVELOPERS} THEN 'developer' ELSE 'user' END
     FROM generate_series(1, ${SEEDED_USERS}) AS n`,
    `CREATE TEMPORARY TABLE later_indexes AS
       SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
         AND tablename IN ('api_keys', 'api_key_search_texts')
         AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = quote_ident(indexname)::regclass)`,
    `DO $$ DECLARE name text; BEGIN
       FOR name IN SELECT indexname FROM later_indexes LOOP EXECUTE format('DROP INDEX %I', name); END LOOP;
     END $$`,
    `INSERT INTO api_keys (user_id, name, description, key_prefix, scopes, is_active, expires_at, rate_limit_per_minute,
       rate_limit_per_day, allowed_ips, allowed_models, is_unlimited, budget_limit_cents, budget_type, tags, created_at, updated_at)
     SELECT
       (SELECT min(id) FROM users) + 1 + n * 7919 % ${SEEDED_USERS},
       initcap(${pick(TEAMS, 'n * 31 / 7')}) || ' ' || ${pick(PURPOSES, 'n * 17 / 5')} || ' ' || n,
       CASE WHEN n % 7 = 0 THEN NULL ELSE 'Calls the models for the ' || ${pick(PROJECTS, 'n * 13 / 3')} || ' of the '
         || ${pick(TEAMS, 'n * 31 / 7')} || ' team, ticket OPS-' || 100000000 + n * 7919 % 100000007 || '.' END,
       'en_' || substr(md5(n::text), 1, 5),
       CASE n % 3 WHEN 0 THEN '{}'::text[] WHEN 1 THEN '{chat:write}' ELSE '{chat:write,embeddings:read}' END,
       n % 20 <> 0,
       CASE WHEN n % 4 = 0 THEN timestamptz '2040-01-01 00:00:00Z' + n * interval '1 minute' END,
       CASE WHEN n % 2 = 0 THEN 600 END,
       CASE WHEN n % 5 = 0 THEN 100000 END,
       CASE WHEN n % 10 = 0 THEN '{203.0.113.0/24}'::text[] ELSE '{}' END,
       CASE WHEN n % 3 = 0 THEN ARRAY[${pick(MODELS, 'n')}] ELSE '{}' END,
       n % 6 <> 0,
       CASE WHEN n % 6 = 0 THEN 50000 END,
       CASE WHEN n % 6 = 0 THEN 'monthly' END,
       CASE WHEN n % 4 = 3 THEN '{}' ELSE ARRAY[${pick(PLACES, 'n')}, ${pick(TEAMS, 'n * 31 / 7')}] END,
       timestamptz '2026-01-01 00:00:00Z' + n * interval '20 seconds',
       timestamptz '2026-01-01 00:00:00Z' + n * interval '20 seconds'
     FROM generate_series(1::bigint, ${keys}) AS n`,
    `DO $$ DECLARE definition text; BEGIN
       FOR definition IN SELECT indexdef FROM later_indexes LOOP EXECUTE definition; END LOOP;
     END $$`,
    `INSERT INTO api_key_secrets (digest, pepper_version, api_key_id) SELECT sha256(id::text::bytea), 1, id FROM api_keys`,
    `INSERT INTO api_key_totals (api_key_id, requests, tokens, cost_micro_cents, last_used_at)
     SELECT id, id % 9973, id % 9973 * 811, id % 9973 * 1234567, created_at + interval '1 day'
     FROM api_keys WHERE id % 5 <> 0`,
    `SELECT fold_api_key_counts()`,
    // Also marks the pages all-visible, so that no autovacuum has to do it while a benchmark runs.
    `VACUUM (ANALYZE)`,
    `CHECKPOINT`,
  ];
}

/** One of the words, by a number that is an SQL expression. */
function pick(words: readonly string[], number: string): string {
  return `(ARRAY['${words.join("','")}'])[1 + (${number}) % ${words.length}]`;
}
