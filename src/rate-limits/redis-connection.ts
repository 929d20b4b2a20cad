import { Cluster, Redis, type RedisOptions, type Result } from 'ioredis';
import { EPOCH_SCRIPT, CONSUME_SCRIPT } from './redis-consumption.js';
import { isSentinelUrl, readSentinelUrl } from '../config/sentinel-url.js';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    consumeFromWindows(key: string, ...parameters: (string | number)[]): Result<number[], Context>;
    readEpoch(key: string, candidate: string): Result<string, Context>;
  }
}

/** A connection to Redis or to a Redis Cluster, with the scripts as commands. */
export type RedisConnection = Redis | Cluster;

/** Milliseconds. By default all of these wait for seconds or for ever. */
const BOUNDS = {
  connectTimeout: 300,
  /** For the handshake; the time limit of a consumption is shorter. */
  commandTimeout: 700,
  /** A connection that says nothing for so long while it owes an answer is dead: a new one is made. */
  socketTimeout: 700,
  disconnectTimeout: 100,
  /** Between two looks at a server that is loading its data. By default up to 10 s. */
  maxLoadingRetryTime: 200,
} as const;

/** A consumption is refused at once when it cannot be sent, and never sent twice: it might count twice. */
const NEVER_WAIT = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
} as const;

const SCRIPTS = {
  /** EVALSHA; a server that does not know the script, or has forgotten it, is sent EVAL. */
  consumeFromWindows: { lua: CONSUME_SCRIPT, numberOfKeys: 1 },
  readEpoch: { lua: EPOCH_SCRIPT, numberOfKeys: 1 },
};

/** Takes that are made in one turn of the event loop share one write. */
const TOGETHER = { enableAutoPipelining: true } as const;

/** How soon a new master of a cluster is known when nothing says MOVED. */
const SLOTS_REFRESH_MS = 1_000;

/**
 * A connection that is not open yet: `connect` opens it, and from then on it comes back by itself.
 *
 * @param url of a server, or of Sentinels (`redis+sentinel://`), or of some nodes of a Redis Cluster, separated by
 * commas; user, password and TLS are then those of the first
 */
export function createRedisConnection(url: string): RedisConnection {
  if (isSentinelUrl(url)) return new Redis({ ...serverOptions(), ...sentinelOptions(url) });
  return url.includes(',') ? createClusterConnection(url) : new Redis(url, serverOptions());
}

/** A connection to a Redis Cluster, some of whose nodes have these URLs. */
export function createClusterConnection(url: string): Cluster {
  const urls = url.split(',').map((item) => new URL(item.trim()));
  const [{ username, password, protocol } = new URL(url)] = urls;
  const redisOptions: RedisOptions = {
    ...BOUNDS,
    maxRetriesPerRequest: NEVER_WAIT.maxRetriesPerRequest,
    autoResendUnfulfilledCommands: NEVER_WAIT.autoResendUnfulfilledCommands,
    connectionName: 'latchkey',
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  };
  return new Cluster(
    urls.map(({ hostname, port }) => ({ host: hostname, port: Number(port || 6_379) })),
    {
      ...TOGETHER,
      enableOfflineQueue: NEVER_WAIT.enableOfflineQueue,
      scripts: SCRIPTS,
      lazyConnect: true,
      redisOptions,
      clusterRetryStrategy: reconnectDelayMs,
      slotsRefreshTimeout: BOUNDS.connectTimeout,
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      // The health of each node is known apart: that some slots are not served must not end the connection.
      enableReadyCheck: false,
      // A move is followed; anything else is for the local windows, not worth a wait.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      maxRedirections: 3,
    },
  );
}

function serverOptions(): RedisOptions {
  return {
    ...BOUNDS,
    ...NEVER_WAIT,
    ...TOGETHER,
    scripts: SCRIPTS,
    lazyConnect: true,
    connectionName: 'latchkey',
    retryStrategy: reconnectDelayMs,
    reconnectOnError: isOfAnotherServer,
  };
}

function sentinelOptions(url: string): RedisOptions {
  const { sentinels, name, username, password, sentinelPassword, db, isTls } = readSentinelUrl(url);
  return {
    sentinels,
    name,
    db,
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(sentinelPassword === '' ? {} : { sentinelPassword }),
    ...(isTls ? { tls: {}, sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: BOUNDS.connectTimeout,
    sentinelRetryStrategy: reconnectDelayMs,
    sentinelReconnectStrategy: () => SLOTS_REFRESH_MS,
    // Sentinels publish a switch: it is followed also when the old master still answers.
    failoverDetector: true,
  };
}

/**
 * After a failover the address may lead to another server while the connection still leads to the old one. Scripts of
 * Redis 6 quote the error within theirs.
 */
function isOfAnotherServer({ message }: Error): boolean {
  return /\b(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN)\b/.test(message);
}

/** Quick, because limits are divided meanwhile; apart, because all instances lose Redis at once. */
function reconnectDelayMs(): number {
  return 100 + Math.random() * 100;
}
