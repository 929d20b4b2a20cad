import { parse } from 'pg-connection-string';

/** Where a database is and who connects to it, without the password. */
export interface DatabaseAddress {
  /** `host:port`, or the folder of a Unix socket. */
  readonly server: string;
  readonly database: string;
  readonly user: string;
}

/** The address in a connection URL, with the defaults of pg. */
export function databaseAddress(url: string): DatabaseAddress {
  const { host, port, database, user } = parse(url);
  const name = host || 'localhost';
  return {
    server: name.startsWith('/') ? name : `${name.includes(':') ? `[${name}]` : name}:${port || '5432'}`,
    user: user || 'postgres',
    database: database || user || 'postgres',
  };
}
