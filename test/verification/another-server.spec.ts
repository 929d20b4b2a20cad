import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/embedded-postgres/embedded-postgres.js';
import { migrate } from '../../src/database/migrate.js';
import type { TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { withSession } from './sessions.js';
import { codeOf, settle } from './verdicts.js';

/** Transactions that only the first server has seen. */
const LOST_TRANSACTIONS = 3_000;

describe('when another server takes over whose transactions have lower numbers', { timeout: 60_000 }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'latchkey-servers-'));
  const servers: EmbeddedPostgres[] = [];
  let proxy: TcpProxy;
  let app: TestApp;
  let service: TestApiKey;
  let key: TestApiKey;

  beforeAll(async () => {
    // A server that root starts runs as another user, who has to get there.
    chmodSync(directory, 0o755);
    const first = await start('first');
    await migrate(first.url);
    const before = await TestApp.start({ database: databaseOf(first) });
    service = await before.apiKey(before.admin, { scopes: ['platform:api-keys:verify'] });
    key = await before.apiKey();
    await before.stop();
    await first.stop();
    cpSync(join(directory, 'first'), join(directory, 'second'), {
      recursive: true,
      preserveTimestamps: true,
    });
    for (const name of ['first', 'second']) {
      const server = await start(name);
      servers.push(server);
    }
    proxy = await TcpProxy.start(servers[0]!.url);
    const url = proxy.urlOf(servers[0]!.url);
    app = await TestApp.start({ database: databaseOf(servers[0]!), environment: { DATABASE_URL: url } });
  }, 120_000);
  afterAll(async () => {
    await app.stop();
    proxy.stop();
    for (const server of servers) await server.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  function start(name: string): Promise<EmbeddedPostgres> {
    return startEmbeddedPostgres({
      dataDirectory: join(directory, name),
      database: 'latchkey',
      settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
    });
  }

  it('all that was known is forgotten, and a key that is dead there is dead', async () => {
    const caller = app.anonymous.withApiKey(service.secret);
    expect(await codeOf(caller, key.secret)).toBe('VALID');
    await withSession(servers[0]!, (session) =>
      session.query(`DO $$ BEGIN
        FOR n IN 1..${LOST_TRANSACTIONS} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP;
      END $$`),
    );
    await settle(app);
    // Longer ago than a new connection looks back.
    await withSession(servers[1]!, async (session) => {
      await session.query('UPDATE api_keys SET is_active = false WHERE id = $1', [key.id]);
      await session.query(`UPDATE change_feed SET created_at = created_at - interval '5 minutes'`);
    });
    expect(await codeOf(caller, key.secret)).toBe('VALID');
    proxy.leadTo(servers[1]!.url);
    proxy.cut();
    await vi.waitFor(async () => expect(await codeOf(caller, key.secret)).toBe('DISABLED'), {
      timeout: 5_000,
      interval: 5,
    });
  });
});

/** What an application under test needs to know of a server of its own. */
function databaseOf({ url }: EmbeddedPostgres): TestDatabase {
  return {
    url,
    name: 'latchkey',
    query: (text, values) =>
      withSession({ url }, async (session) => (await session.query(text, values)).rows),
    drop: () => Promise.resolve(),
  };
}
