import { describe, expect, it } from 'vitest';
import * as options from '../../src/database/connection-options.js';
import { DatabaseServer } from '../../src/database/database-server.js';

describe('a connection of every pool', () => {
  const server = new DatabaseServer('postgres://localhost/none');
  const pools = Object.entries(options).filter(([name]) => name.endsWith('PoolOptions'));

  it.each(pools)('is replaced in time to notice another server at its address: %s', (_name, make) => {
    const { maxLifetimeSeconds } = (make as typeof options.feedPoolOptions)(server);
    expect(maxLifetimeSeconds).toBeGreaterThan(0);
    expect(maxLifetimeSeconds).toBeLessThanOrEqual(600);
  });

  it('so are those of the control plane, and there are seven pools in all', () => {
    const { extra } = options.controlPlaneOptions(server, 10) as { extra: { maxLifetimeSeconds: number } };
    expect([pools.length + 1, extra.maxLifetimeSeconds]).toEqual([7, 600]);
  });
});
