import { Redis } from 'ioredis';
import { RedisServer } from './redis-server.js';

const SLOTS = 16_384;
/** Long enough that no master is declared dead by itself: tests say when a replica takes over. */
const NEVER_MS = 600_000;

/** A Redis Cluster of a test's own: masters that share the slots evenly, with a replica each when asked for. */
export class RedisCluster {
  private constructor(
    readonly masters: readonly RedisServer[],
    readonly replicas: readonly RedisServer[],
  ) {}

  static async start({ masters = 3, replicas = 0 } = {}): Promise<RedisCluster> {
    const settings = ['--cluster-node-timeout', String(NEVER_MS), '--cluster-require-full-coverage', 'no'];
    const servers = await Promise.all(
      Array.from({ length: masters + replicas }, () => RedisServer.start({ isClusterNode: true, settings })),
    );
    const clients = servers.map(({ url }) => new Redis(url));
    const first = servers[0]!;
    const [, busPort = ''] = /@(\d+)/.exec(String(await clients[0]!.call('CLUSTER', 'NODES'))) ?? [];
    for (const [index, client] of clients.entries()) {
      if (index < masters) {
        const [from, to] = [index, index + 1].map((part) => Math.floor((part * SLOTS) / masters));
        await client.call('CLUSTER', 'ADDSLOTSRANGE', from!, to! - 1);
      }
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
      if (index > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', first.port, busPort);
    }
    for (const client of clients) {
      await until(async () => {
        const info = String(await client.call('CLUSTER', 'INFO'));
        return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${servers.length}`);
      });
    }
    for (let index = 0; index < replicas; index++) {
      const id = String(await clients[index]!.call('CLUSTER', 'MYID'));
      const replica = clients[masters + index]!;
      await replica.call('CLUSTER', 'REPLICATE', id);
      await until(async () => (await replica.info('replication')).includes('master_link_status:up'));
    }
    for (const client of clients) client.disconnect();
    return new RedisCluster(servers.slice(0, masters), servers.slice(masters));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.masters, ...this.replicas].map((server) => server.stop()));
  }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}
