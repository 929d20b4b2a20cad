import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { TestApp } from '../support/test-app.js';

const THE_FUTURE = '9000000000000000000';

describe('The maintenance of the change feed', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('removes what is older than ten minutes, and remembers how far it removed', async () => {
    await app.database.query(`
      INSERT INTO change_feed (kind, id, created_at) VALUES ('user', 901, now() - interval '11 minutes');
      INSERT INTO change_feed (kind, id) VALUES ('user', 902);`);
    const [old] = await rows('WHERE id = 901');
    // A transaction that is open anywhere on the server keeps rows for as long as it lasts.
    await vi.waitFor(
      async () => {
        await expire();
        expect((await rows('WHERE id > 900')).map(({ id }) => id)).toEqual([902]);
      },
      { timeout: 30_000, interval: 50 },
    );
    expect(await horizon()).toBe(old?.xid);
  });

  it('removes nothing that an open transaction may still hide, and takes no horizon back', async () => {
    const before = await horizon();
    await expire();
    expect(await horizon()).toBe(before);
    expect(await rows('WHERE id = 902')).toHaveLength(1);
  });

  it('forgets a future that a backup of another server brought', async () => {
    await app.database.query(`
      INSERT INTO change_feed (kind, id, xid) VALUES ('user', 903, '${THE_FUTURE}');
      UPDATE change_feed_horizon SET xid = '${THE_FUTURE}';`);
    await expire();
    expect(await rows('WHERE id = 903')).toEqual([]);
    expect(await horizon()).toBe('0');
  });

  async function expire(): Promise<void> {
    await app.app.get(Maintenance).runNow('expire-change-feed');
  }

  async function rows(condition: string): Promise<{ id: number; xid: string }[]> {
    return app.database.query(`SELECT id::int, xid::text FROM change_feed ${condition}`);
  }

  async function horizon(): Promise<string | undefined> {
    const [row] = await app.database.query<{ xid: string }>('SELECT xid::text FROM change_feed_horizon');
    return row?.xid;
  }
});
