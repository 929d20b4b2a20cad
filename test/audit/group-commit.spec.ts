import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../support/test-app.js';

const READS = 500;
/** What a commit takes on a busy disk. The faster it is, the fewer callers come meanwhile to share the next. */
const COMMIT_SECONDS = 0.1;

describe('The rows of reads', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
    await app.database.query(`
      CREATE TABLE insert_statements (rows int NOT NULL);
      CREATE FUNCTION note_statement() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO insert_statements SELECT count(*) FROM added;
        PERFORM pg_sleep(${COMMIT_SECONDS});
        RETURN NULL;
      END $$;
      CREATE TRIGGER note_statement AFTER INSERT ON audit_logs REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION note_statement();`);
  });
  afterAll(() => app.stop());

  it('share statements: 500 reads at once need far fewer, and each is there when its answer is', async () => {
    const { id } = await app.apiKey();
    await app.database.query('TRUNCATE insert_statements');
    const unseen: string[] = [];
    const statuses = await Promise.all(
      Array.from({ length: READS }, async (_value, index) => {
        const requestId = `read-${index}`;
        const { status } = await app.admin.get(`/api-keys/${id}`, { 'x-request-id': requestId });
        if (index % 25 === 0 && !(await isAudited(app, requestId))) unseen.push(requestId);
        return status;
      }),
    );
    const [sums] = await app.database.query<{ statements: number; rows: number }>(
      'SELECT count(*)::int AS statements, sum(rows)::int AS rows FROM insert_statements',
    );

    expect(statuses).toEqual(statuses.map(() => 200));
    expect(unseen).toEqual([]);
    expect(sums?.rows).toBe(READS);
    // Usually about twenty; a machine that has other things to do takes longer to bring them forth.
    expect(sums?.statements).toBeLessThan(READS / 2);
  });
});

async function isAudited(app: TestApp, requestId: string): Promise<boolean> {
  const rows = await app.database.query('SELECT FROM audit_logs WHERE request_id = $1', [requestId]);
  return rows.length === 1;
}
