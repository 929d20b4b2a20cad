import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Logger } from '@nestjs/common';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Metrics } from '../../src/observability/metrics.service.js';
import { MemoryRateLimiter } from '../../src/rate-limits/memory-rate-limiter.service.js';
import { RedisRateLimiter } from '../../src/rate-limits/redis-rate-limiter.js';
import { redisKeyOf } from '../../src/rate-limits/redis-consumption.js';
import { slotOfTag } from '../../src/rate-limits/redis-slots.js';
import { RedisCluster } from '../support/redis-cluster.js';
import { HAS_REDIS, RedisServer } from '../support/redis-server.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const POLICY = { perMinute: 60, perHour: null, perDay: null };
const BACK = { timeout: 10_000, interval: 10 };
/** A server that can be told to load its data again, and answers meanwhile. */
const LOADS_SLOWLY =
  '--enable-debug-command local --rdbcompression no --loading-process-events-interval-bytes 1024'.split(' ');

/** One instance of the service, as far as rate limits go. */
class Instance {
  readonly metrics = new Metrics();
  readonly limiter: RedisRateLimiter;

  constructor(url: string, count: number) {
    this.limiter = new RedisRateLimiter(url, new MemoryRateLimiter(new Metrics()), { count }, this.metrics);
  }

  /** How many of so many requests are admitted. */
  async admitted(
    requests: number,
    id = 1,
    policy: Parameters<RedisRateLimiter['consume']>[1] = POLICY,
  ): Promise<number> {
    const takes = Array.from({ length: requests }, async () =>
      this.limiter.consume(id, policy, 1, Date.now()),
    );
    return (await Promise.all(takes)).filter(({ allowed }) => allowed).length;
  }

  async count(metric: string): Promise<number> {
    const [, value] = new RegExp(`^${metric} (\\d+)$`, 'm').exec(await this.metrics.text()) ?? [];
    return Number(value);
  }
}

describe.skipIf(!HAS_REDIS)('rate limits with a Redis that misbehaves (needs redis-server)', () => {
  const cleanup: (() => unknown)[] = [];
  let told: string[] = [];

  beforeEach(() => {
    told = [];
    for (const level of ['warn', 'log'] as const) {
      vi.spyOn(Logger.prototype, level).mockImplementation(
        (message: unknown) => void told.push(String(message)),
      );
    }
  });
  afterEach(async () => {
    for (const clean of cleanup.splice(0).toReversed()) await clean();
    vi.restoreAllMocks();
  });

  async function startRedis(settings: readonly string[] = []): Promise<RedisServer> {
    const server = await RedisServer.start({ settings });
    cleanup.push(() => server.stop());
    return server;
  }

  /** On a busy machine Redis may be found too late for a start; then that start is no part of the test. */
  async function startInstance(url: string, count = 1): Promise<Instance> {
    for (;;) {
      const instance = new Instance(url, count);
      await instance.limiter.onModuleInit();
      if (!instance.limiter.isDegraded) {
        cleanup.push(() => instance.limiter.onApplicationShutdown());
        return instance;
      }
      instance.limiter.onApplicationShutdown();
      told = [];
    }
  }

  /** Resolves when Redis is used again, all of it. */
  async function isBack({ limiter }: Instance): Promise<void> {
    await vi.waitFor(() => expect(limiter.isDegraded).toBe(false), BACK);
  }

  function clientOf(url: string): Redis {
    const client = new Redis(url);
    cleanup.push(() => client.disconnect());
    return client;
  }

  const toldOf = (text: string) => told.filter((line) => line.includes(text));

  const DEMOTIONS: Record<string, (old: Redis, nextPort: number) => Promise<unknown>> = {
    READONLY: (old, nextPort) => old.replicaof('127.0.0.1', nextPort),
    MASTERDOWN: async (old) => {
      await old.config('SET', 'replica-serve-stale-data', 'no');
      await old.replicaof('127.0.0.1', 1);
    },
    // As a replica does that gets all of its data anew; for longer than the test waits.
    LOADING: async (old) => {
      await old.call('DEBUG', 'POPULATE', 3_000, 'filler', 2_000);
      await old.config('SET', 'key-load-delay', '5000');
      const other = clientOf(`redis://127.0.0.1:${String(old.options.port)}`);
      await other.ping();
      old.call('DEBUG', 'RELOAD').catch(() => undefined);
      await vi.waitFor(async () => expect(await other.info('persistence')).toContain('loading:1'), BACK);
    },
  };
  for (const [error, demote] of Object.entries(DEMOTIONS)) {
    it(`follow the address to the new master when the old one keeps the connection and says ${error}`, async () => {
      const [old, next] = [await startRedis(LOADS_SLOWLY), await startRedis()];
      let gatePort = old.port;
      const gate = await listenBefore(() => gatePort);
      cleanup.push(() => gate.close());
      const instance = await startInstance(`redis://127.0.0.1:${gate.port}`);
      expect(await instance.admitted(10)).toBe(10);
      gatePort = next.port;
      await demote(clientOf(old.url), next.port);
      await instance.admitted(1, 2);
      expect(instance.limiter.isDegraded).toBe(true);
      await isBack(instance);
      // The new master knew nothing: what this instance had admitted is restored.
      expect(await instance.admitted(100)).toBe(50);
      expect(await clientOf(next.url).exists(redisKeyOf(1))).toBe(1);
      expect(toldOf(`Redis is unavailable (${error}`)).toHaveLength(1);
    });
  }

  it('are shared again once a Redis that was LOADING has its data', async () => {
    const server = await startRedis(LOADS_SLOWLY);
    const operator = clientOf(server.url);
    for (let id = 1; id <= 50; id++) await operator.set(`filler-${id}`, 'x'.repeat(2_000));
    const instance = await startInstance(server.url);
    expect(await instance.admitted(10)).toBe(10);
    await operator.config('SET', 'key-load-delay', '20000');
    const reloaded = operator.call('DEBUG', 'RELOAD');
    await vi.waitFor(async () => {
      await instance.admitted(1, 2);
      expect(instance.limiter.isDegraded).toBe(true);
    }, BACK);
    await reloaded;
    await isBack(instance);
    expect(await instance.admitted(100)).toBe(50);
  });

  it('are shared again once the slots of a Redis Cluster that said CLUSTERDOWN are served', async () => {
    const cluster = await RedisCluster.start({ masters: 2 });
    cleanup.push(() => cluster.stop());
    const operator = clientOf(cluster.masters[0]!.url);
    const instance = await startInstance(cluster.masters[1]!.url, 2);
    const id = idOnPart(0, 2);
    expect(await instance.admitted(10, id)).toBe(10);
    await operator.call('CLUSTER', 'DELSLOTSRANGE', 0, 8_191);
    expect(await instance.admitted(100, id)).toBe(20);
    expect(instance.limiter.isDegraded).toBe(true);
    await operator.call('CLUSTER', 'ADDSLOTSRANGE', 0, 8_191);
    await vi.waitFor(async () => {
      await instance.admitted(1, id);
      expect(await instance.limiter.consume(id, POLICY, 0, Date.now())).toMatchObject({ allowed: true });
    }, BACK);
    await isBack(instance);
  });

  it('notice a Redis that was emptied, count and log it once, and restore what was admitted before they count', async () => {
    const server = await startRedis();
    const instance = await startInstance(server.url, 2);
    expect(await instance.admitted(50)).toBe(50);
    await clientOf(server.url).flushall();
    expect(await instance.admitted(50)).toBe(10);
    expect(await instance.count('latchkey_rate_limiter_restored_total')).toBeGreaterThan(0);
    await vi.waitFor(
      async () => expect(await instance.count('latchkey_rate_limiter_redis_emptied_total')).toBe(1),
      BACK,
    );
    expect(toldOf('lost')).toHaveLength(1);
  });

  it('restore into an emptied Redis also the keys that nobody asks about', async () => {
    const server = await startRedis();
    const [one, other] = [await startInstance(server.url, 2), await startInstance(server.url, 2)];
    expect(await one.admitted(60)).toBe(60);
    const client = clientOf(server.url);
    await client.flushall();
    await vi.waitFor(async () => expect(await client.exists(redisKeyOf(1))).toBe(1), BACK);
    expect(await other.admitted(60)).toBe(0);
  });

  it('restore what Redis evicts, and warn of a policy that evicts when they start', async () => {
    const server = await startRedis(['--maxmemory-policy', 'allkeys-random']);
    const instance = await startInstance(server.url);
    await vi.waitFor(() => expect(toldOf('maxmemory-policy allkeys-random')).toHaveLength(1), BACK);
    expect(await instance.admitted(40)).toBe(40);
    await clientOf(server.url).del(redisKeyOf(1));
    expect(await instance.admitted(60)).toBe(20);
    expect(await instance.count('latchkey_rate_limiter_restored_total')).toBeGreaterThan(0);
  });

  it('never restore what has left Redis by its time', async () => {
    const server = await startRedis();
    const instance = await startInstance(server.url);
    const startMs = Date.now();
    await instance.limiter.consume(1, POLICY, 60, startMs - 61_000);
    await clientOf(server.url).del(redisKeyOf(1));
    expect((await instance.limiter.consume(1, POLICY, 60, startMs)).allowed).toBe(true);
    expect(await instance.count('latchkey_rate_limiter_restored_total')).toBe(0);
  });

  it('admit at most the limit and the share of one more instance when Redis is away and comes back', async () => {
    const server = await startRedis();
    const proxy = await TcpProxy.start(server.url);
    cleanup.push(() => proxy.stop());
    const url = `redis://127.0.0.1:${proxy.port}`;
    const both = [await startInstance(url, 2), await startInstance(url, 2)];
    const admittedByBoth = async (requests: number) => {
      const counts = await Promise.all(both.map((instance) => instance.admitted(requests)));
      return counts[0]! + counts[1]!;
    };
    const limit = POLICY.perMinute;
    let log = await both[0]!.admitted(20);
    proxy.refuse();
    log += await admittedByBoth(5);
    log += await admittedByBoth(100);
    expect(log).toBe(limit);
    await proxy.pass();
    for (const instance of both) await isBack(instance);
    log += await admittedByBoth(100);
    // Both had a share left, and both shares were added before Redis was asked again.
    expect(log).toBe(limit);
    expect(log).toBeLessThanOrEqual(limit + limit / 2);
  });

  it('admit at most the limit and one share when all of it was used before Redis went away', async () => {
    const server = await startRedis();
    const proxy = await TcpProxy.start(server.url);
    cleanup.push(() => proxy.stop());
    const url = `redis://127.0.0.1:${proxy.port}`;
    const [one, other] = [await startInstance(url, 2), await startInstance(url, 2)];
    let log = await one.admitted(100);
    for (let turn = 0; turn < 3; turn++) {
      proxy.refuse();
      log += (await one.admitted(100)) + (await other.admitted(100));
      await proxy.pass();
      await Promise.all([isBack(one), isBack(other)]);
      log += (await one.admitted(100)) + (await other.admitted(100));
    }
    expect(log).toBe(POLICY.perMinute * 1.5);
  });

  it('find the whole cluster behind one URL, and judge alone only the keys of a master that dies', async () => {
    const cluster = await RedisCluster.start();
    cleanup.push(() => cluster.stop());
    const instance = await startInstance(cluster.masters[0]!.url, 2);
    const ids = [0, 1, 2].map((part) => idOnPart(part, 3));
    for (const id of ids) expect(await instance.admitted(10, id)).toBe(10);
    await cluster.masters[1]!.kill();
    // Half of 60 for each key of the dead master, less what went through Redis.
    expect(await instance.admitted(100, ids[1])).toBe(20);
    expect(await instance.admitted(100, ids[0])).toBe(50);
    expect(await instance.admitted(100, ids[2])).toBe(50);
    expect(await instance.count('latchkey_rate_limiter_degraded')).toBe(1);
    const probes = await instance.count('latchkey_rate_limiter_local_takes_total');
    for (let turn = 0; turn < 20; turn++) await instance.admitted(5, ids[turn % 3]);
    expect(await instance.count('latchkey_rate_limiter_local_takes_total')).toBeGreaterThan(probes);
    expect(await instance.count('latchkey_rate_limiter_redis_losses_total')).toBe(1);
    expect(toldOf('is unavailable')).toHaveLength(1);
    expect(toldOf(`The Redis node 127.0.0.1:${cluster.masters[1]!.port} is unavailable`)).toHaveLength(1);
    expect(toldOf('is back')).toHaveLength(0);
  });

  it('follow a Redis Cluster to the replica that takes over, and restore what it did not have', async () => {
    const cluster = await RedisCluster.start({ replicas: 1 });
    cleanup.push(() => cluster.stop());
    const instance = await startInstance(cluster.masters[1]!.url);
    const id = idOnPart(0, 3);
    expect(await instance.admitted(40, id)).toBe(40);
    await cluster.masters[0]!.kill();
    await instance.admitted(1, id);
    await clientOf(cluster.replicas[0]!.url).call('CLUSTER', 'FAILOVER', 'TAKEOVER');
    await isBack(instance);
    expect(await instance.admitted(100, id)).toBe(19);
    expect(toldOf('is unavailable')).toHaveLength(1);
  });

  it('follow Sentinels to the master that they name', async () => {
    const [old, next] = [await startRedis(), await startRedis()];
    await clientOf(next.url).replicaof('127.0.0.1', old.port);
    const sentinel = await RedisServer.startSentinel(old.port);
    cleanup.push(() => sentinel.stop());
    const instance = await startInstance(`redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`);
    expect(await instance.admitted(40)).toBe(40);
    await vi.waitFor(async () => expect(await clientOf(next.url).exists(redisKeyOf(1))).toBe(1), BACK);
    const operator = clientOf(sentinel.url);
    await vi.waitFor(async () => {
      expect(String(await operator.call('SENTINEL', 'REPLICAS', 'mymaster'))).toContain(String(next.port));
      await operator.call('SENTINEL', 'FAILOVER', 'mymaster');
    }, BACK);
    await vi.waitFor(async () => {
      await instance.admitted(1, 2);
      expect(await clientOf(next.url).exists(redisKeyOf(2))).toBe(1);
    }, BACK);
    await isBack(instance);
    expect(await instance.admitted(100)).toBe(20);
  });
});

/** A key whose slot is in one of so many even parts. */
function idOnPart(part: number, parts: number): number {
  let id = 1;
  while (Math.floor((slotOfTag(String(id)) * parts) / 16_384) !== part) id++;
  return id;
}

/** Passes each new connection on to what is behind the address by then; those it has stay where they are. */
async function listenBefore(port: () => number): Promise<{ readonly port: number; close(): void }> {
  const sockets: Socket[] = [];
  const listener = createServer((client) => {
    const upstream = connect(port(), '127.0.0.1');
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined);
      socket.on('close', () => [client, upstream].forEach((end) => end.destroy()));
    }
    sockets.push(client, upstream);
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  return {
    port: (listener.address() as AddressInfo).port,
    close: () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
