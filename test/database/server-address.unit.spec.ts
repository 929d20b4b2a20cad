import { describe, expect, it } from 'vitest';
import { parseDatabaseUrl } from '../../src/database/server-address.js';

describe('the URL of a database', () => {
  it.each([
    'postgresql://user:pa%40ss@db.internal:5433/latchkey?sslmode=require',
    'postgresql://postgres@/latchkey?host=%2Frun%2Fpostgresql&port=5432&sslmode=disable',
    'postgres://db/latchkey',
  ])('is left to the driver when it names one host: %s', (url) => {
    expect(parseDatabaseUrl(url)).toEqual({ connectionString: url, hosts: [] });
  });

  it('may name several hosts, tried in their order, each with a port of its own', () => {
    const { hosts, connectionString } = parseDatabaseUrl(
      'postgresql://user:pa%40ss@a,b:5433,[2001:db8::1]:5434/latchkey?target_session_attrs=read-write&sslmode=require',
    );
    expect(hosts).toEqual([
      { host: 'a', port: 5432 },
      { host: 'b', port: 5433 },
      { host: '2001:db8::1', port: 5434 },
    ]);
    expect(connectionString).toBe('postgresql://user:pa%40ss@a:5432/latchkey?sslmode=require');
  });

  it('may name them in its query, as folders of unix sockets too', () => {
    const { hosts, connectionString } = parseDatabaseUrl(
      'postgresql://user@/latchkey?host=/run/one,/run/two&port=5432,5433',
    );
    expect(hosts).toEqual([
      { host: '/run/one', port: 5432 },
      { host: '/run/two', port: 5433 },
    ]);
    expect(connectionString).toBe('postgresql://user@localhost:5432/latchkey');
  });
});
