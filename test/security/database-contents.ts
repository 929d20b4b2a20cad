import type pg from 'pg';

/** Whatever runs statements: a database, or one connection with what its transaction sees. */
interface Queries {
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
}

/** What the service writes by itself while nobody asks it for anything. */
const HOUSEKEEPING = [
  'api_key_count_changes',
  'api_key_counts',
  'api_key_search_backlog',
  'change_feed',
  'change_feed_horizon',
  'clock_marks',
  'instances',
];

/**
 * Every row of every table but those in `leftOut` as text, by table, without last uses, which are written later. Two results
 * are equal when nothing changed between them.
 */
export async function databaseContents(
  database: Queries,
  leftOut: readonly string[] = [],
): Promise<Record<string, string[]>> {
  const tables = await database.query<{ name: string }>(
    // Rows of partitions are read through their table: a job may make new partitions at any time.
    `SELECT relname AS name FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
       AND relname <> ALL($1) ORDER BY relname`,
    [[...HOUSEKEEPING, ...leftOut]],
  );
  const contents: Record<string, string[]> = {};
  for (const { name } of tables) {
    const rows = await database.query<{ row: string }>(
      `SELECT (to_jsonb(t) - 'last_used_at')::text AS row FROM ${name} AS t ORDER BY 1`,
    );
    contents[name] = rows.map(({ row }) => row);
  }
  return contents;
}
