import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ChangeFeed } from '../../src/change-feed/change-feed.service.js';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { createTestDatabase } from '../support/database.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { Loads } from '../verification/loads.js';
import { withSession } from '../verification/sessions.js';
import { codeOf, settle } from '../verification/verdicts.js';

const KEYS = 80;

describe('the change feed', () => {
  let app: TestApp;
  let loads: Loads;
  const unused: TestApiKey[] = [];
  beforeAll(async () => {
    app = await TestApp.start();
    unused.push(...(await Promise.all(Array.from({ length: KEYS }, () => app.apiKey()))));
    loads = await Loads.watch(app.database);
    // Statements that are known by their text alone must not be held back by what is counted and held below.
    await settle(app);
  });
  afterAll(() => app.stop());

  /** A key that is in memory as valid. */
  async function knownKey(): Promise<TestApiKey> {
    const key = unused.pop()!;
    expect(await code(key)).toBe('VALID');
    return key;
  }
  const code = ({ secret }: TestApiKey) => codeOf(app.admin, secret);
  const deactivate = (session: pg.Client, { id }: TestApiKey) =>
    session.query('UPDATE api_keys SET is_active = false WHERE id = $1', [id]);
  const inTransaction = <Result>(work: (session: pg.Client) => Promise<Result>) =>
    withSession(app.database, async (session) => {
      await session.query('BEGIN; SELECT pg_current_xact_id()');
      return work(session);
    });

  it('hides nothing and waits for nobody while a transaction is open, here or in another database', async () => {
    const elsewhere = await createTestDatabase({ isEmpty: true });
    await withSession(elsewhere, async (stranger) => {
      await stranger.query('BEGIN; SELECT pg_current_xact_id()');
      await inTransaction(async (neighbour) => {
        const [slow, quick] = [await knownKey(), await knownKey()];
        await deactivate(neighbour, slow);
        await withSession(app.database, (session) => deactivate(session, quick));
        await settle(app);
        expect(await code(quick)).toBe('DISABLED');
        expect(await code(slow)).toBe('VALID');
        // Meanwhile others come and go, and are read again and again.
        for (let n = 0; n < 5; n += 1) {
          const key = await knownKey();
          await withSession(app.database, (session) => deactivate(session, key));
          await settle(app);
          expect(await code(key)).toBe('DISABLED');
        }
        await neighbour.query('COMMIT');
        await settle(app);
        expect(await code(slow)).toBe('DISABLED');
      });
    });
    await elsewhere.drop();
  });

  it('misses no transaction, in whatever order they begin, change and commit', async () => {
    const keys = await Promise.all(Array.from({ length: 12 }, knownKey));
    const orders = [0, 1, 2].map((turn) => keys.map((_, index) => (index * 5 + turn * 7) % keys.length));
    const sessions = await Promise.all(
      keys.map(
        () =>
          new Promise<{ session: pg.Client; end: () => Promise<unknown> }>((resolve) => {
            let end: () => void = () => undefined;
            const over = new Promise<void>((ended) => (end = ended));
            const closed = withSession(app.database, (session) => {
              resolve({ session, end: () => (end(), closed) });
              return over;
            });
          }),
      ),
    );
    const [begin, change, commit] = orders as [number[], number[], number[]];
    for (const index of begin) await sessions[index]!.session.query('BEGIN; SELECT pg_current_xact_id()');
    for (const index of change) await deactivate(sessions[index]!.session, keys[index]!);
    const disabled = new Set<number>();
    for (const index of commit) {
      await sessions[index]!.session.query('COMMIT');
      disabled.add(index);
      await settle(app);
      const codes = await Promise.all(keys.map(code));
      expect(codes).toEqual(keys.map((_, other) => (disabled.has(other) ? 'DISABLED' : 'VALID')));
    }
    await Promise.all(sessions.map(({ end }) => end()));
  });

  it('reads a change once, and forgets no key but the changed one, also beside an open transaction', async () => {
    const [changed, other] = [await knownKey(), await knownKey()];
    await inTransaction(async () => {
      await app.database.query(`UPDATE api_keys SET tags = '{x}' WHERE id = $1`, [changed.id]);
      await settle(app);
      expect(await loads.during(async () => [await code(changed), await code(other)])).toBe(1);
      const loadsOfChanged: number[] = [];
      for (let n = 0; n < 3; n += 1) {
        await settle(app);
        expect(await loads.during(() => code(other))).toBe(0);
        loadsOfChanged.push(await loads.during(() => code(changed)));
      }
      // A read that came too late is made again on a new connection, which looks back a minute.
      expect(loadsOfChanged).toContain(0);
    });
  });

  it('stays young behind a backlog of changes that a long transaction keeps from being forgotten', async () => {
    await inTransaction(async () => {
      for (const kind of ['api_key', 'user']) {
        await app.database.query(
          `INSERT INTO change_feed (kind, id) SELECT $1, n FROM generate_series(1, 150000) AS n`,
          [kind],
        );
      }
      const key = await knownKey();
      await settle(app);
      for (let n = 0; n < 3; n += 1) {
        const askedAt = performance.now();
        await settle(app);
        expect(app.app.get(ChangeFeed).ageMs()).toBeLessThanOrEqual(performance.now() - askedAt);
        expect(await code(key)).toBe('VALID');
      }
      await withSession(app.database, (session) => deactivate(session, key));
      await settle(app);
      expect(await code(key)).toBe('DISABLED');
    });
    await app.database.query('TRUNCATE change_feed');
  });

  it('lets nothing be answered or kept that was loaded before it was evicted', async () => {
    // A load is given up after a quarter of a second; on a busy machine that may come before the change.
    for (let attempt = 0; ; attempt += 1) {
      const key = unused.pop()!;
      let first: number | string = 0;
      const begin = async () => {
        const { status, body } = await app.admin.post('/api-keys/verify', { key: key.secret });
        first = status === 200 ? String(body['code']) : status;
      };
      await withSession(app.database, (session) =>
        loads.whileHeld(begin, async () => {
          await deactivate(session, key);
          await settle(app);
        }),
      );
      if (first === 503 && attempt < 10) continue;
      expect(first).toBe('DISABLED');
      expect(await code(key)).toBe('DISABLED');
      break;
    }
  });

  it('makes all be forgotten when rows expired that were not read', async () => {
    const key = await knownKey();
    await inTransaction(async (session) => {
      await deactivate(session, key);
      // As when the instance had slept for longer than rows are kept.
      await session.query(`
        DELETE FROM change_feed;
        UPDATE change_feed_horizon SET xid = pg_current_xact_id();
        COMMIT`);
    });
    await settle(app);
    expect(await code(key)).toBe('DISABLED');
  });

  it('forgets nothing when rows expire that were read', async () => {
    const [key, changed] = [await knownKey(), await knownKey()];
    await withSession(app.database, (session) => deactivate(session, changed));
    await settle(app);
    expect(await code(changed)).toBe('DISABLED');
    await app.database.query(`UPDATE change_feed SET created_at = now() - interval '11 minutes'`);
    await settle(app);
    // While a transaction is open, anywhere on the server, that began before rows were written, they are kept, and while
    // one is that began before the horizon, all is forgotten with every read.
    await vi.waitFor(
      async () => {
        const [now] = await app.database.query<{ past: boolean }>(`
          SELECT pg_snapshot_xmin(pg_current_snapshot()) > greatest(max(change_feed.xid), max(horizon.xid)) AS past
          FROM change_feed_horizon AS horizon LEFT JOIN change_feed ON true`);
        expect(now).toEqual({ past: true });
      },
      { timeout: 30_000, interval: 50 },
    );
    await settle(app);
    await settle(app);
    expect(await code(key)).toBe('VALID');
    await expire();
    expect(await app.database.query('SELECT FROM change_feed')).toEqual([]);
    await settle(app);
    expect(await loads.during(() => code(key))).toBe(0);
  });

  it('looks back a minute on a new connection: a server that crashed gives numbers again', async () => {
    const key = await knownKey();
    await inTransaction(async (session) => {
      await deactivate(session, key);
      // A number that the last read had seen to be over.
      await session.query(`UPDATE change_feed SET xid = '3' WHERE xid = pg_current_xact_id(); COMMIT`);
    });
    await settle(app);
    await app.database.query(
      `SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
       WHERE application_name = 'latchkey-feed' AND datname = current_database()`,
    );
    // The first read may still meet the connection that has gone.
    await vi.waitFor(async () => {
      await settle(app);
      expect(await code(key)).toBe('DISABLED');
    });
  });

  it('works over a restored backup, whose rows bear the numbers of another server', async () => {
    const key = await knownKey();
    const future = `(pg_current_xact_id()::text::bigint + 1000000)::text::xid8`;
    await app.database.query(`
      INSERT INTO change_feed (kind, id, xid) VALUES ('api_key', 1, ${future});
      UPDATE change_feed_horizon SET xid = ${future}`);
    await settle(app);
    expect(await code(key)).toBe('VALID');
    await settle(app);
    expect(await loads.during(() => code(key))).toBe(0);
    await expire();
    expect(
      await app.database.query(
        'SELECT FROM change_feed WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())',
      ),
    ).toEqual([]);
    const [horizon] = await app.database.query<{ isPast: boolean }>(
      'SELECT xid < pg_snapshot_xmax(pg_current_snapshot()) AS "isPast" FROM change_feed_horizon',
    );
    expect(horizon).toEqual({ isPast: true });
    await withSession(app.database, (session) => deactivate(session, key));
    await settle(app);
    expect(await code(key)).toBe('DISABLED');
  });

  it('tells its age to those who watch', async () => {
    await settle(app);
    const { text } = await app.anonymous.get('//metrics');
    const age = /^latchkey_change_feed_age_seconds ([\d.]+)$/m.exec(text)?.[1];
    expect(Number(age)).toBeGreaterThan(0);
    expect(Number(age)).toBeLessThan(5);
  });

  async function expire(): Promise<void> {
    await app.app.get(Maintenance).runNow('expire-change-feed');
  }
});
