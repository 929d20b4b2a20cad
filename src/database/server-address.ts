/** Where a server listens: a host name, an address or the folder of a unix socket, and a port. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** A database's URL taken apart, so far as several hosts need it. */
export interface DatabaseUrl {
  /** What node-postgres reads: the URL itself, or the same with the first of its hosts. */
  readonly connectionString: string;
  /** In the order of the URL; empty when it names one host at most, which node-postgres reads by itself. */
  readonly hosts: readonly ServerAddress[];
}

const DEFAULT_PORT = 5432;
/** Scheme, user with `@`, hosts, path, query. */
const URL_PARTS = /^(postgres(?:ql)?:\/\/)([^@/?]*@)?([^/?]*)(\/[^?]*)?(?:\?(.*))?$/;

/**
 * Reads a URL that may name several hosts as libpq's do: `postgresql://a:5432,b:5433/db`, or `?host=a,b&port=1,2`.
 * node-postgres knows one host.
 */
export function parseDatabaseUrl(url: string): DatabaseUrl {
  const match = URL_PARTS.exec(url);
  if (match === null) return { connectionString: url, hosts: [] };
  const [, scheme = '', user = '', authority = '', path = '', queryText = ''] = match;
  const query = new URLSearchParams(queryText);
  const inQuery = query.get('host');
  const names = inQuery === null ? authority.split(',') : inQuery.split(',');
  if (names.length < 2) return { connectionString: url, hosts: [] };
  const ports = query.get('port')?.split(',') ?? [];
  const hosts = names.map((name, index) => {
    const { host, port } = inQuery === null ? splitPort(name) : { host: name, port: undefined };
    return { host, port: Number(port ?? ports[index] ?? ports[0] ?? DEFAULT_PORT) };
  });
  for (const name of ['host', 'port', 'target_session_attrs', 'load_balance_hosts']) query.delete(name);
  const [first] = hosts;
  // The host is set afterwards; this one is only the name that a certificate is compared with.
  const host = first === undefined || first.host.startsWith('/') ? 'localhost' : first.host;
  const place = `${host.includes(':') ? `[${host}]` : host}:${first?.port ?? DEFAULT_PORT}`;
  const rest = query.size === 0 ? '' : `?${query.toString()}`;
  return { connectionString: `${scheme}${user}${place}${path}${rest}`, hosts };
}

function splitPort(text: string): { host: string; port: string | undefined } {
  const [, address, name, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? [];
  return { host: decodeURIComponent(address ?? name ?? ''), port };
}
