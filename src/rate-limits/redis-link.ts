import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { createClusterConnection, createRedisConnection, type RedisConnection } from './redis-connection.js';
import { slotOfTag } from './redis-slots.js';

/** The only node of what is not a cluster, and its tag. */
const ONLY_NODE = 'redis';
/** How many tags are tried to find one that lies on a node: nearly every slot has one of them. */
const TAGS = 200_000;
/** What a server says that is part of a Redis Cluster. */
const OF_A_CLUSTER = /^(MOVED|ASK|CLUSTERDOWN|CROSSSLOT)\b/;

/**
 * The way to Redis, whatever it is: a server, the master that Sentinels name, or a Redis Cluster, which one URL of a
 * node is enough for. Knows on which node the windows of a key are.
 */
export class RedisLink {
  #connection: RedisConnection;
  #isClosed = false;
  #lastError = '';

  /** @param onReady called whenever a connection has been made, with what the servers say of themselves */
  constructor(
    private readonly url: string,
    private readonly onReady: (infos: readonly string[]) => void,
  ) {
    this.#connection = this.#listenTo(createRedisConnection(url));
  }

  /** Connects. Resolves when that is done, or the time is over. */
  async open(boundMs: number): Promise<void> {
    await this.#connect(boundMs);
    if (!(this.#connection instanceof Redis)) return;
    const info = await this.#connection.info('cluster').catch(() => '');
    if (info.includes('cluster_enabled:1')) await this.#becomeCluster(boundMs);
  }

  close(): void {
    this.#isClosed = true;
    this.#connection.disconnect();
  }

  /** Why there is no connection; empty when nothing is known. */
  get lastError(): string {
    return this.#lastError;
  }

  /** The nodes that hold windows; one of a name of its own while a cluster is not known. */
  get nodes(): readonly string[] {
    const connection = this.#connection;
    if (!(connection instanceof Cluster)) return [ONLY_NODE];
    const masters = new Set(connection.slots.flatMap(([master]) => master ?? []));
    return masters.size === 0 ? [ONLY_NODE] : [...masters];
  }

  /** The node that holds the keys with this tag. */
  nodeOf(tag: string): string {
    const connection = this.#connection;
    if (connection instanceof Cluster) return connection.slots[slotOfTag(tag)]?.[0] ?? ONLY_NODE;
    return ONLY_NODE;
  }

  /** The first tag whose keys are on the node: the same on all instances. */
  tagOn(node: string): string | undefined {
    if (!this.nodes.includes(node)) return undefined;
    for (let tag = 0; tag < TAGS; tag++) if (this.nodeOf(String(tag)) === node) return String(tag);
    return undefined;
  }

  /** Asynchronous, so that what the connection throws is a rejection too. */
  async consume(key: string, parameters: (string | number)[]): Promise<number[]> {
    return this.#try((connection) => connection.consumeFromWindows(key, ...parameters));
  }

  /** The epoch of the server that holds the key, which is `candidate` if it had none. */
  async readEpoch(key: string, candidate: string): Promise<string> {
    return this.#try((connection) => connection.readEpoch(key, candidate));
  }

  async #try<T>(send: (connection: RedisConnection) => Promise<T>): Promise<T> {
    const connection = this.#connection;
    if (connection.status !== 'ready') throw new Error('not connected');
    try {
      return await send(connection);
    } catch (error) {
      const isOfCluster = error instanceof Error && OF_A_CLUSTER.test(error.message);
      if (isOfCluster && connection === this.#connection && connection instanceof Redis) {
        void this.#becomeCluster(0);
      }
      throw error;
    }
  }

  async #becomeCluster(boundMs: number): Promise<void> {
    if (this.#isClosed) return;
    this.#connection.disconnect();
    this.#connection = this.#listenTo(createClusterConnection(this.url));
    await this.#connect(boundMs);
  }

  async #connect(boundMs: number): Promise<void> {
    const connected = this.#connection.connect().catch(() => undefined);
    await Promise.race([connected, sleep(boundMs, undefined, { ref: false })]);
  }

  #listenTo(connection: RedisConnection): RedisConnection {
    // Without a listener each failed attempt to connect would be printed.
    connection.on('error', (error: Error & { code?: string }) => {
      this.#lastError = error.message || (error.code ?? error.name);
    });
    connection.on('ready', () => {
      this.#lastError = '';
      void this.#inquire(connection);
    });
    return connection;
  }

  /** Empty for a server that does not let this user read it. */
  async #inquire(connection: RedisConnection): Promise<void> {
    const servers = connection instanceof Cluster ? connection.nodes('master') : [connection];
    this.onReady(await Promise.all(servers.map((server) => server.info('memory').catch(() => ''))));
  }
}
