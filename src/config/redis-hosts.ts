import { isSentinelUrl, readSentinelUrl } from './sentinel-url.js';

const DEFAULT_PORT = 6_379;

/** `host:port` of each server that `REDIS_URL` names, with the master's name for Sentinels, and nothing else of it. */
export function redisHosts(url: string): string {
  if (!isSentinelUrl(url)) return url.split(',').map(hostOf).join(',');
  const { sentinels, name } = readSentinelUrl(url);
  return `${sentinels.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`).join(',')}/${name}`;
}

function hostOf(url: string): string {
  const { hostname, port } = new URL(url.trim());
  return `${hostname}:${port || DEFAULT_PORT}`;
}
