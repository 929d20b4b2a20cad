import pg from 'pg';
import type { TestDatabase } from '../support/database.js';

/** A session of somebody else's, with transactions of its own. */
export async function withSession<Result>(
  { url }: Pick<TestDatabase, 'url'>,
  work: (session: pg.Client) => Promise<Result>,
): Promise<Result> {
  const session = new pg.Client({ connectionString: url, application_name: 'somebody' });
  // What is lost fails the statement that needs it.
  session.on('error', () => undefined);
  await session.connect();
  try {
    return await work(session);
  } finally {
    await session.end();
  }
}
