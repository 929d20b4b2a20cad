import type { TestDatabase } from '../support/database.js';

/** What the service writes by itself while nobody asks it for anything. */
const HOUSEKEEPING = [
  'api_key_count_changes',
  'api_key_counts',
  'change_feed',
  'change_feed_horizon',
  'clock_marks',
  'instances',
];

/** Every row of every table as text, by table; two of them are equal when nothing has changed between them. */
export async function databaseContents(database: TestDatabase): Promise<Record<string, string[]>> {
  const tables = await database.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables
     WHERE schemaname = 'public' AND tablename <> ALL($1) ORDER BY tablename`,
    [HOUSEKEEPING],
  );
  const contents: Record<string, string[]> = {};
  for (const { name } of tables) {
    const rows = await database.query<{ row: string }>(
      `SELECT to_jsonb(t)::text AS row FROM ${name} AS t ORDER BY 1`,
    );
    contents[name] = rows.map(({ row }) => row);
  }
  return contents;
}
