import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Metrics } from '../../src/observability/metrics.service.js';
import { MemoryRateLimiter } from '../../src/rate-limits/memory-rate-limiter.service.js';
import type { ConsumeOutcome } from '../../src/rate-limits/rate-windows.policy.js';
import { RedisRateLimiter } from '../../src/rate-limits/redis-rate-limiter.js';
import { HAS_REDIS, RedisServer } from '../support/redis-server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const POLICY = { perMinute: 100, perHour: 1_000, perDay: null };
const INSTANCES = 4;
/** What a take may last, with room for a machine that has other things to do. */
const BOUND_MS = 600;

describe.skipIf(!HAS_REDIS)('rate limits with Redis away (needs redis-server)', () => {
  let server: RedisServer;
  let proxy: TcpProxy;
  let metrics: Metrics;
  let limiter: RedisRateLimiter;

  beforeEach(async () => {
    server = await RedisServer.start();
    proxy = await TcpProxy.start(server.url);
    start(`redis://127.0.0.1:${proxy.port}`);
  });
  afterEach(async () => {
    limiter.onApplicationShutdown();
    proxy.stop();
    await server.stop();
  });

  function start(url: string): void {
    metrics = new Metrics();
    limiter = new RedisRateLimiter(url, new MemoryRateLimiter(new Metrics()), { count: INSTANCES }, metrics);
  }

  async function take(id: number, cost = 1): Promise<ConsumeOutcome> {
    const sinceMs = performance.now();
    const outcome = await limiter.consume(id, POLICY, cost, Date.now());
    expect(performance.now() - sinceMs).toBeLessThan(BOUND_MS);
    return outcome;
  }

  async function admittedOf(count: number, id: number): Promise<number> {
    const outcomes = await Promise.all(Array.from({ length: count }, () => take(id)));
    return outcomes.filter(({ allowed }) => allowed).length;
  }

  /** Resolves when Redis is used again. */
  async function back(): Promise<void> {
    await vi.waitFor(() => expect(limiter.isDegraded).toBe(false), { timeout: 2_000, interval: 10 });
  }

  const WAYS: Record<string, [leave: () => Promise<void> | void, heal: () => Promise<void>]> = {
    'refuses connections': [() => proxy.refuse(), () => proxy.pass()],
    'swallows everything': [() => proxy.blackHole(), () => proxy.pass()],
    'answers late': [() => proxy.delay(200), () => proxy.pass()],
    'has died': [() => server.kill(), () => server.run()],
    'is full': [() => configure('maxmemory', '1'), () => configure('maxmemory', '0')],
  };

  async function configure(name: string, value: string): Promise<void> {
    const admin = new Redis(server.url);
    await admin.config('SET', name, value);
    admin.disconnect();
  }

  for (const [way, [leave, heal]] of Object.entries(WAYS)) {
    it(`admit this instance's part when Redis ${way}, and are shared again within 2 s of its healing`, async () => {
      await limiter.onModuleInit();
      expect((await take(1)).windows[0]?.remaining).toBe(99);
      await leave();
      expect(await admittedOf(300, 2)).toBe(25);
      expect(limiter.isDegraded).toBe(true);
      expect(await metrics.text()).toContain('latchkey_rate_limiter_degraded 1');
      expect(await metrics.text()).toContain('latchkey_rate_limiter_redis_losses_total 1');
      await heal();
      await back();
      expect(await metrics.text()).toContain('latchkey_rate_limiter_degraded 0');
      expect((await take(3)).windows[0]?.remaining).toBe(99);
      expect(limiter.isDegraded).toBe(false);
    });
  }

  it('do not start over: what went through Redis counts in the local windows', async () => {
    await limiter.onModuleInit();
    await take(1, 20);
    proxy.refuse();
    expect(await admittedOf(50, 1)).toBe(5);
  });

  it('tell the limit of the key, what is left here, and when to try again', async () => {
    await limiter.onModuleInit();
    proxy.refuse();
    await take(1, 10);
    const outcome = await take(1, 15);
    expect(outcome.windows[0]).toMatchObject({ window: 'minute', limit: 100, remaining: 0 });
    expect((await take(1)).retryAfterSeconds).toBeGreaterThan(50);
    expect((await take(2, 26)).retryAfterSeconds).toBe(2);
    expect((await take(2, 101)).retryAfterSeconds).toBeNull();
  });

  it('survive a cut connection without losing more than a moment', async () => {
    await limiter.onModuleInit();
    await take(1);
    proxy.cut();
    expect((await take(1)).allowed).toBe(true);
    await back();
    expect((await take(1)).allowed).toBe(true);
  });

  it('are shared again over another connection when the one they had has died without a word', async () => {
    const gate = await listenBefore(server.port);
    start(`redis://127.0.0.1:${gate.port}`);
    await limiter.onModuleInit();
    gate.forsakeLinks();
    expect(await admittedOf(50, 1)).toBe(25);
    await back();
    expect((await take(2)).windows[0]?.remaining).toBe(99);
    limiter.onApplicationShutdown();
    gate.close();
  });

  it('start without Redis, and use it once it is there', async () => {
    await server.kill();
    const sinceMs = performance.now();
    await limiter.onModuleInit();
    expect(performance.now() - sinceMs).toBeLessThan(2_000);
    expect(await admittedOf(50, 1)).toBe(25);
    await server.run();
    await back();
    expect((await take(2)).windows[0]?.remaining).toBe(99);
  });

  it('wait for nothing when they are stopped', async () => {
    await limiter.onModuleInit();
    proxy.blackHole();
    const waiting = take(1);
    limiter.onApplicationShutdown();
    expect((await waiting).allowed).toBe(true);
  });
});

/** Passes connections on, and can let those it has at the time hear and say nothing ever again, like a lost route. */
async function listenBefore(
  port: number,
): Promise<{ readonly port: number; forsakeLinks(): void; close(): void }> {
  const sockets: Socket[] = [];
  const listener = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    sockets.push(client, upstream);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    forsakeLinks: () => {
      for (const socket of sockets) socket.unpipe().resume();
    },
    close: () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
