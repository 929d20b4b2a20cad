import { Logger } from '@nestjs/common';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ClockGuard } from '../../src/jobs/clock-guard.service.js';
import { judgeClock } from '../../src/jobs/clock.policy.js';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { DatabaseClock } from '../support/database-clock.js';
import { TestApp } from '../support/test-app.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('the judgment of a clock', () => {
  const at = (clockMs: number, monotonicMs: number) => ({ clockMs, monotonicMs });

  it('believes one that is no more than an hour from what was last seen', () => {
    expect(judgeClock(at(10 * DAY + HOUR, 0), 10 * DAY, undefined)).toEqual({ kind: 'believed' });
    expect(judgeClock(at(10 * DAY - HOUR, 0), 10 * DAY, undefined)).toEqual({ kind: 'believed' });
  });

  it('doubts one that is further away, until it has run evenly for an hour', () => {
    const first = at(400 * DAY, 5);
    expect(judgeClock(first, 10 * DAY, undefined)).toEqual({ kind: 'doubted', since: first });
    expect(judgeClock(at(400 * DAY + HOUR - 1, 4 + HOUR), 10 * DAY, first)).toEqual({
      kind: 'doubted',
      since: first,
    });
    expect(judgeClock(at(400 * DAY + HOUR, 5 + HOUR), 10 * DAY, first)).toEqual({ kind: 'confirmed' });
  });

  it('begins that hour again when the clock jumps again', () => {
    const second = at(800 * DAY, 2 * HOUR);
    expect(judgeClock(second, 10 * DAY, at(400 * DAY, 0))).toEqual({ kind: 'doubted', since: second });
  });
});

describe('jobs that delete', () => {
  let database: TestDatabase;
  let clock: DatabaseClock;
  let app: TestApp;
  beforeAll(async () => {
    database = await createTestDatabase();
    clock = await DatabaseClock.over(database);
    app = await TestApp.start({ database });
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const metric = async (name: string): Promise<number> => {
    const { text } = await app.anonymous.get('//metrics');
    return Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1]);
  };
  const storeOldSession = () =>
    database.query(
      `INSERT INTO sessions (id, user_id, created_at, expires_at)
       VALUES (gen_random_uuid(), (SELECT min(id) FROM users), transaction_timestamp() - interval '9 days',
         transaction_timestamp() - interval '8 days')`,
    );
  const oldSessions = async () =>
    (await database.query(`SELECT FROM sessions WHERE expires_at < transaction_timestamp()`)).length;

  it('do nothing while the clock is in doubt, say so in metrics, and go on when an operator confirms it', async () => {
    const guard = app.app.get(ClockGuard);
    const maintenance = app.app.get(Maintenance);
    // The run of the start is over then: it would delete the session before the clock jumps.
    await maintenance.runNow('expire-sessions');
    await storeOldSession();
    await clock.set('400 days');
    const warn = vi.spyOn(Logger.prototype, 'warn');
    await guard.observe();
    expect(warn.mock.calls.map(([text]) => String(text))).toContainEqual(
      expect.stringMatching(
        /^The clock of the database is 9600 hours ahead of what was last seen: nothing is deleted/,
      ),
    );
    warn.mockRestore();
    await maintenance.runNow('expire-sessions');
    expect(await oldSessions()).toBe(1);
    expect(await metric('latchkey_clock_jump_seconds')).toBeGreaterThan(399 * 86_400);
    await clock.set('0');
    await guard.observe();
    expect(await metric('latchkey_clock_jump_seconds')).toBe(0);
    await maintenance.runNow('expire-sessions');
    expect(await oldSessions()).toBe(0);

    await storeOldSession();
    await clock.set('3 hours');
    await maintenance.runNow('expire-sessions');
    expect(await oldSessions()).toBe(1);
    await database.query('UPDATE clock_marks SET seen_at = now()');
    await maintenance.runNow('expire-sessions');
    expect(await oldSessions()).toBe(0);
  });

  it('are all those whose statements delete or drop', () => {
    const kept = app.app.get(Maintenance).jobs.filter(({ isDestructive }) => !isDestructive);
    expect(kept.map(({ name }) => name).toSorted()).toEqual([
      'continue-audit-log-numbers',
      // It asks the clock itself, in each call.
      'expire-holds',
      'fold-api-key-counts',
      'fold-api-key-search-texts',
      'make-audit-log-partitions',
      'make-usage-partitions',
      'publish-budget-alerts',
    ]);
  });
});
