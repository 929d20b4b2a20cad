/** What a URL of Sentinels says. */
export interface SentinelAddress {
  readonly sentinels: { readonly host: string; readonly port: number }[];
  /** The master's name, as the Sentinels know it. */
  readonly name: string;
  /** Of Redis; empty for none. */
  readonly username: string;
  readonly password: string;
  /** Of the Sentinels; empty for none. */
  readonly sentinelPassword: string;
  readonly db: number;
  readonly isTls: boolean;
}

const SENTINEL_URL =
  /^redis(?<tls>s)?\+sentinel:\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^@/?]+)\/(?<name>[^/?]+)(?:\/(?<db>\d+))?(?:\?sentinel_password=(?<sentinel>[^&]*))?$/;
const HOST = /^(?<host>\[[0-9A-Fa-f:.]+\]|[^:[\]]+)(?::(?<port>\d{1,5}))?$/;

/** True for `redis+sentinel://` and `rediss+sentinel://`. */
export function isSentinelUrl(url: string): boolean {
  return /^rediss?\+sentinel:/.test(url);
}

/** True when a URL of Sentinels can be read. */
export function isReadableSentinelUrl(url: string): boolean {
  const hosts = SENTINEL_URL.exec(url)?.groups?.['hosts'];
  return hosts !== undefined && hosts.split(',').every((item) => HOST.test(item.trim()));
}

/**
 * Reads `redis+sentinel://user:password@host:26379,host:26379/master/db?sentinel_password=…`; what is not needed may be
 * left out.
 * @throws Error without the URL, which holds a password
 */
export function readSentinelUrl(url: string): SentinelAddress {
  const groups = isReadableSentinelUrl(url) ? SENTINEL_URL.exec(url)?.groups : undefined;
  if (groups === undefined)
    throw new Error('A URL of Sentinels is redis+sentinel://host:port,host:port/master.');
  const text = (name: string) => decodeURIComponent(groups[name] ?? '');
  return {
    sentinels: (groups['hosts'] ?? '').split(',').map((item) => addressOf(item.trim())),
    name: text('name'),
    username: text('user'),
    password: text('password'),
    sentinelPassword: text('sentinel'),
    db: Number(groups['db'] ?? 0),
    isTls: groups['tls'] !== undefined,
  };
}

function addressOf(item: string): { host: string; port: number } {
  const groups = HOST.exec(item)?.groups;
  return { host: (groups?.['host'] ?? '').replace(/^\[|\]$/g, ''), port: Number(groups?.['port'] ?? 26_379) };
}
