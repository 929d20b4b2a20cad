import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Metrics } from '../../src/observability/metrics.service.js';
import { consumeFromLine } from '../../src/rate-limits/line-consumption.js';
import { MemoryRateLimiter } from '../../src/rate-limits/memory-rate-limiter.service.js';
import {
  type RateLimitPolicy,
  consumeFrom,
  type ConsumeOutcome,
} from '../../src/rate-limits/rate-windows.policy.js';
import { RateLimiter } from '../../src/rate-limits/rate-limiter.js';
import { createRedisConnection } from '../../src/rate-limits/redis-connection.js';
import { RedisRateLimiter } from '../../src/rate-limits/redis-rate-limiter.js';
import {
  argumentsOf,
  outcomeOf,
  redisKeyOf,
  CONSUME_SCRIPT,
} from '../../src/rate-limits/redis-consumption.js';
import { WINDOW_WORDS } from '../../src/rate-limits/window-rings.policy.js';
import { HAS_REDIS, RedisServer } from '../support/redis-server.js';
import { TestApp } from '../support/test-app.js';
import {
  anyHistory,
  anyPolicy,
  anySetBacks,
  anyStart,
  ExactLog,
  expectExact,
  expectNoExcess,
} from './exact-log.js';

const POLICY = { perMinute: 100, perHour: 1_000, perDay: 10_000 };

describe.skipIf(!HAS_REDIS)('rate limits in Redis (needs redis-server)', () => {
  let server: RedisServer;
  let redis: Redis;
  let nextId = 1;
  const limiters: RedisRateLimiter[] = [];

  beforeAll(async () => {
    server = await RedisServer.start();
    redis = createRedisConnection(server.url) as Redis;
    await redis.connect();
  });
  afterEach(() => {
    for (const limiter of limiters.splice(0)) limiter.onApplicationShutdown();
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  async function startLimiter(url = server.url): Promise<RedisRateLimiter> {
    const limiter = new RedisRateLimiter(
      url,
      new MemoryRateLimiter(new Metrics()),
      { count: 1 },
      new Metrics(),
    );
    limiters.push(limiter);
    await limiter.onModuleInit();
    expect(limiter.isDegraded).toBe(false);
    return limiter;
  }

  /** The script at a time of the test's choosing. */
  async function takeAt(
    key: string,
    policy: RateLimitPolicy,
    cost: number,
    nowMs: number,
  ): Promise<ConsumeOutcome> {
    const parameters = [...argumentsOf(policy, cost).slice(0, -1), nowMs];
    return outcomeOf(await redis.consumeFromWindows(key, ...parameters), policy, cost, nowMs);
  }

  it('keep the same promises as in memory, by the same rule', async () => {
    await fc.assert(
      fc.asyncProperty(anyPolicy, anyStart, anyHistory, async (firstPolicy, startMs, steps) => {
        const key = redisKeyOf(`property-${nextId++}`);
        const words = new Uint32Array(WINDOW_WORDS);
        const log = new ExactLog();
        let policy = firstPolicy;
        let nowMs = startMs;
        for (const { gapMs, cost, policy: nextPolicy } of steps) {
          nowMs += gapMs;
          policy = nextPolicy ?? policy;
          const outcome = await takeAt(key, policy, cost, nowMs);
          expect(outcome).toEqual(consumeFrom(words, 0, policy, cost, nowMs));
          expectExact(log, outcome, policy, cost, nowMs);
        }
      }),
      { numRuns: 150 },
    );
  }, 120_000);

  it('never admit more than the limit in real time when the clock of Redis is set back', async () => {
    await fc.assert(
      fc.asyncProperty(anyPolicy, anyHistory, anySetBacks, async (policy, steps, setBacks) => {
        const key = redisKeyOf(`property-${nextId++}`);
        const log = new ExactLog();
        let realMs = Date.UTC(2026, 10, 22);
        let behindMs = 0;
        for (const { gapMs, cost } of steps) {
          realMs += gapMs;
          behindMs += setBacks.next().value as number;
          const nowMs = Math.max(realMs - behindMs, Date.UTC(1980));
          expectNoExcess(log, await takeAt(key, policy, cost, nowMs), policy, cost, realMs);
        }
      }),
      { numRuns: 100 },
    );
  }, 120_000);

  it('admit exactly the limit of 2,000 concurrent requests to four instances', async () => {
    const id = nextId++;
    const instances = await Promise.all([1, 2, 3, 4].map(() => startLimiter()));
    const takes = Array.from({ length: 2_000 }, async (_value, index) =>
      instances[index % 4]!.consume(id, POLICY, 1, Date.now()),
    );
    const outcomes = await Promise.all(takes);
    expect(instances.map(({ isDegraded }) => isDegraded)).toEqual([false, false, false, false]);
    expect(outcomes.filter(({ allowed }) => allowed)).toHaveLength(100);
  });

  it('admit no more for the children of a key together than for the key, and take nothing for what is refused', async () => {
    const perHour = (limit: number) => ({ perMinute: null, perHour: limit, perDay: null });
    const pair = [await startLimiter(), await startLimiter()];
    const [origin, middle] = [nextId++, nextId++].map((apiKeyId, index) => ({
      apiKeyId,
      rateLimits: perHour([100, 80][index]!),
    }));
    const children = [0, 1, 2, 3].map(() => ({ apiKeyId: nextId++, rateLimits: perHour(60) }));
    // Two come from the middle one, two from the origin itself.
    const lines = children.map((child, index) => (index < 2 ? [child, middle!, origin!] : [child, origin!]));
    const consumeFor = async (n: number, cost: number) =>
      consumeFromLine(pair[n % 2]!, lines[n % 4]!, cost, Date.now());
    const consumed = async () =>
      Promise.all(
        [origin!, middle!, ...children].map(async ({ apiKeyId, rateLimits }) => {
          const { windows } = await pair[0]!.consume(apiKeyId, rateLimits, 0, Date.now());
          return rateLimits.perHour - windows[0]!.remaining;
        }),
      );

    const outcomes = await Promise.all(Array.from({ length: 240 }, (_value, n) => consumeFor(n, 1)));
    // At one time another may be admitted between the reading and the consuming of a line: never more than the limit.
    const admitted = outcomes.filter(({ allowed }) => allowed).length;
    const [ofOrigin, ofMiddle, ...ofChildren] = await consumed();
    expect(admitted).toBeGreaterThan(0);
    expect(admitted).toBeLessThanOrEqual(ofOrigin!);
    expect([ofOrigin! <= 100, ofMiddle! <= 80, ofChildren.every((sum) => sum <= 60)]).toEqual([
      true,
      true,
      true,
    ]);

    // One after the other, what one key of the line refuses costs none of them anything.
    const fresh = [0, 1, 2].map((index) => ({
      apiKeyId: nextId++,
      rateLimits: perHour([10, 5, 10][index]!),
    }));
    const take = async (cost: number) => consumeFromLine(pair[0]!, fresh, cost, Date.now());
    const ofFresh = async () =>
      Promise.all(
        fresh.map(async ({ apiKeyId, rateLimits }) => {
          const { windows } = await pair[1]!.consume(apiKeyId, rateLimits, 0, Date.now());
          return windows[0]!.remaining;
        }),
      );
    expect((await take(3)).allowed).toBe(true);
    expect(await ofFresh()).toEqual([7, 2, 7]);
    for (const cost of [3, 4, 8]) expect((await take(cost)).allowed).toBe(false);
    expect(await ofFresh()).toEqual([7, 2, 7]);
    expect((await take(2)).allowed).toBe(true);
    expect((await take(1)).allowed).toBe(false);
    expect(await ofFresh()).toEqual([5, 0, 5]);
    expect(pair.map(({ isDegraded }) => isDegraded)).toEqual([false, false]);
  });

  it('are dated by Redis, in the time of the caller', async () => {
    const limiter = await startLimiter();
    const id = nextId++;
    const longAgo = Date.UTC(2020, 0, 1);
    await limiter.consume(id, POLICY, 99, Date.now());
    const outcome = await limiter.consume(id, POLICY, 1, longAgo);
    expect(outcome.windows[0]).toMatchObject({ window: 'minute', limit: 100, remaining: 0 });
    const resetInMs = outcome.windows[0]!.resetAtMs - longAgo;
    expect(resetInMs).toBeGreaterThan(60_000);
    expect(resetInMs).toBeLessThanOrEqual(66_000);
    const refused = await limiter.consume(id, POLICY, 1, longAgo);
    expect(refused.allowed).toBe(false);
    expect(refused.retryAfterSeconds).toBeGreaterThan(54);
    expect(refused.retryAfterSeconds).toBeLessThanOrEqual(66);
  });

  it('are taken together or not at all, and only looked at by a cost of 0', async () => {
    const limiter = await startLimiter();
    const id = nextId++;
    const policy = { perMinute: 100, perHour: 10, perDay: null };
    const remaining = async (cost: number) => {
      const { allowed, windows } = await limiter.consume(id, policy, cost, Date.now());
      return [allowed, ...windows.map((state) => state.remaining)];
    };
    expect(await remaining(8)).toEqual([true, 92, 2]);
    expect(await remaining(3)).toEqual([false, 92, 2]);
    expect(await remaining(0)).toEqual([true, 92, 2]);
    expect(await remaining(2)).toEqual([true, 90, 0]);
    expect(await remaining(0)).toEqual([false, 90, 0]);
  });

  it('leave Redis by themselves when they are empty', async () => {
    const limiter = await startLimiter();
    const [minuteId, dayId, lookId] = [nextId++, nextId++, nextId++];
    await limiter.consume(minuteId, { perMinute: 10, perHour: null, perDay: null }, 1, Date.now());
    await limiter.consume(dayId, POLICY, 1, Date.now());
    await limiter.consume(lookId, POLICY, 0, Date.now());
    const minuteMs = await redis.pttl(redisKeyOf(minuteId));
    expect(minuteMs).toBeGreaterThan(50_000);
    expect(minuteMs).toBeLessThanOrEqual(66_000);
    const dayMs = await redis.pttl(redisKeyOf(dayId));
    expect(dayMs).toBeGreaterThan(86_400_000 - 10_000);
    expect(dayMs).toBeLessThanOrEqual(95_040_000);
    expect(await redis.exists(redisKeyOf(lookId))).toBe(0);
  });

  it('go on when Redis forgets the script', async () => {
    const limiter = await startLimiter();
    const id = nextId++;
    await limiter.consume(id, POLICY, 1, Date.now());
    await redis.script('FLUSH');
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, async () => limiter.consume(id, POLICY, 1, Date.now())),
    );
    expect(Math.min(...outcomes.map(({ windows }) => windows[0]!.remaining))).toBe(79);
    expect(limiter.isDegraded).toBe(false);
  });

  it('answer keys without limits without asking Redis', async () => {
    const limiter = await startLimiter();
    const outcome = limiter.consume(1, { perMinute: null, perHour: null, perDay: null }, 1, Date.now());
    expect(outcome).toEqual({ allowed: true, windows: [], retryAfterSeconds: null });
  });

  it('are shared by services that are given the same REDIS_URL', async () => {
    const environment = { REDIS_URL: server.url };
    const one = await TestApp.start({ environment });
    const other = await TestApp.start({ environment, database: one.database });
    const [id, now] = [nextId++, Date.now()];
    const first = await one.app.get(RateLimiter, { strict: false }).consume(id, POLICY, 60, now);
    const second = await other.app.get(RateLimiter, { strict: false }).consume(id, POLICY, 41, now);
    expect([first.allowed, second.allowed]).toEqual([true, false]);
    await other.stop();
    await one.stop();
  });

  it('work on a Redis Cluster', async () => {
    const nodes = await Promise.all([1, 2].map(() => RedisServer.start({ isClusterNode: true })));
    const clients = nodes.map(({ url }) => createRedisConnection(url) as Redis);
    await Promise.all(clients.map((client) => client.connect()));
    await clients[0]!.call('CLUSTER', 'ADDSLOTSRANGE', 0, 8_191);
    await clients[1]!.call('CLUSTER', 'ADDSLOTSRANGE', 8_192, 16_383);
    await clients[1]!.call('CLUSTER', 'SET-CONFIG-EPOCH', 2);
    const info = await nodesInfoOf(clients[0]!);
    await clients[1]!.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]!.port, info.busPort);
    for (const client of clients) {
      while (!String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) continue;
    }
    const limiter = await startLimiter(nodes.map(({ url }) => url).join(','));
    const ids = Array.from({ length: 200 }, (_value, index) => index + 1);
    await Promise.all(ids.map(async (id) => limiter.consume(id, POLICY, 1 + (id % 7), Date.now())));
    const outcomes = await Promise.all(ids.map(async (id) => limiter.consume(id, POLICY, 0, Date.now())));
    expect(limiter.isDegraded).toBe(false);
    expect(outcomes.map(({ windows }) => windows[0]!.remaining)).toEqual(ids.map((id) => 99 - (id % 7)));
    const sizes = await Promise.all(clients.map((client) => client.dbsize()));
    expect(Math.min(...sizes)).toBeGreaterThan(50);
    for (const client of clients) client.disconnect();
    await Promise.all(nodes.map((node) => node.stop()));
  });
});

describe('the script', () => {
  it('touches one key, whose slot in a Redis Cluster is that of the API key', () => {
    expect([...CONSUME_SCRIPT.matchAll(/KEYS\[(.*?)\]/g)].map(([, index]) => index)).toEqual(
      Array.from({ length: 2 }, () => '1'),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1 }), (id) => {
        expect(slotOf(redisKeyOf(id))).toBe(crc16(String(id)) % 16_384);
      }),
    );
  });
});

async function nodesInfoOf(client: Redis): Promise<{ busPort: number }> {
  const nodes = String(await client.call('CLUSTER', 'NODES'));
  const [, busPort = ''] = /@(\d+)/.exec(nodes) ?? [];
  return { busPort: Number(busPort) };
}

/** As the specification of Redis Cluster says: what is in the first braces counts, if anything is. */
function slotOf(key: string): number {
  const [, tag] = /\{([^}]+)\}/.exec(key) ?? [];
  return crc16(tag ?? key) % 16_384;
}

/** CRC16/XMODEM. */
function crc16(text: string): number {
  let crc = 0;
  for (const byte of Buffer.from(text)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}
