import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { StorageMetrics } from '../../src/observability/storage-metrics.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

describe('the size of what is stored', () => {
  let database: TestDatabase;
  let app: TestApp;
  beforeAll(async () => {
    database = await createTestDatabase();
    const [server] = await database.query<{ data_directory: string }>('SHOW data_directory');
    app = await TestApp.start({
      database,
      environment: { DATA_DIR: dirname(server?.data_directory ?? '') },
    });
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const measured = async (series: string): Promise<number> => {
    const { text } = await app.anonymous.get('//metrics');
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1));
  };

  it('is measured for the database and every table, partitions included, and grows with it', async () => {
    const tables = await database.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class
       WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`,
    );
    await app.app.get(StorageMetrics).measure();
    for (const { name } of tables) {
      expect(await measured(`latchkey_table_size_bytes{table="${name}"}`)).toBeGreaterThanOrEqual(0);
    }
    const before = await measured('latchkey_table_size_bytes{table="audit_logs"}');
    await database.query(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
       SELECT gen_random_uuid(), now(), 'test', 'test', jsonb_build_object('text', repeat(n::text, 500)), true
       FROM generate_series(1, 500) AS n`,
    );
    await app.app.get(StorageMetrics).measure();
    expect(await measured('latchkey_table_size_bytes{table="audit_logs"}')).toBeGreaterThan(before);
    expect(await measured('latchkey_database_size_bytes')).toBeGreaterThan(1_000_000);
  });

  it('has the space that is left beside the embedded PostgreSQL, and none beside another', async () => {
    await app.app.get(StorageMetrics).measure();
    const free = await measured('latchkey_data_directory_bytes{space="free"}');
    expect(free).toBeGreaterThan(0);
    expect(await measured('latchkey_data_directory_bytes{space="all"}')).toBeGreaterThanOrEqual(free);
    const elsewhere = await TestApp.start({ database });
    await elsewhere.app.get(StorageMetrics).measure();
    expect((await elsewhere.anonymous.get('//metrics')).text).not.toContain('latchkey_data_directory_bytes{');
    await elsewhere.stop();
  });

  it('is what the alert rules ask for: each names only measurements that are served', async () => {
    const rules = readFileSync(projectPath('docs/prometheus-rules.yaml'), 'utf8');
    const { text } = await app.anonymous.get('//metrics');
    const named = rules.match(/\b(?:latchkey|http|nodejs)_[a-z0-9_]+/g) ?? [];
    expect(named.length).toBeGreaterThan(8);
    for (const name of new Set(named)) {
      // Of Redis, only where there is one.
      if (name.startsWith('latchkey_rate_limiter_')) continue;
      expect(text).toContain(`# TYPE ${name.replace(/_count$/, '')} `);
    }
  });
});
