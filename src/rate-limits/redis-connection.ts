import { Cluster, Redis, type RedisOptions, type Result } from 'ioredis';
import { TAKE_SCRIPT } from './redis-take.js';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    takeFromWindows(key: string, ...parameters: (string | number)[]): Result<number[], Context>;
  }
}

/** A connection to Redis or to a Redis Cluster, with the script as a command. */
export type RedisConnection = Redis | Cluster;

/** Milliseconds. By default all of these wait for seconds or for ever. */
const BOUNDS = {
  connectTimeout: 300,
  /** For the handshake; the patience for takes ends earlier. */
  commandTimeout: 700,
  /** A connection that says nothing for so long while it owes an answer is dead: a new one is made. */
  socketTimeout: 700,
  disconnectTimeout: 100,
} as const;

/** A take is refused at once when it cannot be sent, and never sent twice: it might count twice. */
const NEVER_WAIT = {
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
} as const;

const SCRIPTS = {
  /** EVALSHA; a server that does not know the script, or has forgotten it, is sent EVAL. */
  takeFromWindows: { lua: TAKE_SCRIPT, numberOfKeys: 1 },
};

/** Takes that are made in one turn of the event loop share one write. */
const TOGETHER = { enableAutoPipelining: true } as const;

/**
 * A connection that is not open yet: `connect` opens it, and from then on it comes back by itself.
 *
 * @param url of a server, or of some nodes of a Redis Cluster, separated by commas; user, password and TLS are then
 * those of the first
 */
export function createRedisConnection(url: string): RedisConnection {
  const urls = url.split(',').map((item) => item.trim());
  const [first = ''] = urls;
  return urls.length > 1 ? clusterOf(urls, new URL(first)) : serverOf(first);
}

function serverOf(url: string): Redis {
  return new Redis(url, {
    ...BOUNDS,
    ...NEVER_WAIT,
    ...TOGETHER,
    scripts: SCRIPTS,
    lazyConnect: true,
    connectionName: 'latchkey',
    retryStrategy: reconnectDelayMs,
  });
}

function clusterOf(urls: readonly string[], { username, password, protocol }: URL): Cluster {
  const redisOptions: RedisOptions = {
    ...BOUNDS,
    maxRetriesPerRequest: NEVER_WAIT.maxRetriesPerRequest,
    autoResendUnfulfilledCommands: NEVER_WAIT.autoResendUnfulfilledCommands,
    connectionName: 'latchkey',
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  };
  const nodes = urls.map((url) => new URL(url));
  return new Cluster(
    nodes.map(({ hostname, port }) => ({ host: hostname, port: Number(port || 6_379) })),
    {
      ...TOGETHER,
      enableOfflineQueue: NEVER_WAIT.enableOfflineQueue,
      scripts: SCRIPTS,
      lazyConnect: true,
      redisOptions,
      clusterRetryStrategy: reconnectDelayMs,
      slotsRefreshTimeout: BOUNDS.connectTimeout,
      // A move is followed; anything else is for the local windows, not worth a wait.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      maxRedirections: 3,
    },
  );
}

/** Quick, because limits are divided meanwhile; apart, because all instances lose Redis at once. */
function reconnectDelayMs(): number {
  return 100 + Math.random() * 100;
}
