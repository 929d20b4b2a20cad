import { parse } from 'pg-connection-string';
import { parseDatabaseUrl } from './server-address.js';

/** Where a database is and who connects to it, without the password. */
export interface DatabaseAddress {
  /** `host:port`, or the folder of a Unix socket; several are separated by commas. */
  readonly server: string;
  readonly database: string;
  readonly user: string;
}

/** The address in a connection URL, with the defaults of pg. */
export function databaseAddress(url: string): DatabaseAddress {
  const { connectionString, hosts } = parseDatabaseUrl(url);
  const { host, port, database, user } = parse(connectionString);
  const servers = hosts.length > 0 ? hosts : [{ host: host || 'localhost', port: port || 5432 }];
  return {
    server: servers.map(placeOf).join(', '),
    user: user || 'postgres',
    database: database || user || 'postgres',
  };
}

function placeOf({ host, port }: { readonly host: string; readonly port: string | number }): string {
  if (host.startsWith('/')) return host;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
