import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { Instances } from './instances.js';
import { Loads } from './loads.js';

/** Twice as long as memory may be used without news. */
const STOPPED_MS = 10_000;

describe('a process that was stopped and continued answers no stale yes', { timeout: 60_000 }, () => {
  let instances: Instances;
  beforeAll(async () => {
    instances = await Instances.start(1);
  }, 60_000);
  afterAll(() => instances.stop());

  it('neither from memory nor from a load that was under way', async () => {
    const [process] = instances.processes as [Instances['processes'][number]];
    const service = await instances.apiKey({ scopes: ['platform:api-keys:verify'] });
    const [known, loading] = [await instances.apiKey(), await instances.apiKey()];
    const caller = process.anonymous.withApiKey(service.secret);
    const ask = (secret: string): Promise<ApiAnswer> => caller.post('/api-keys/verify', { key: secret });
    const loads = await Loads.watch(instances.database);
    expect((await ask(known.secret)).body['code']).toBe('VALID');

    const asked: Promise<ApiAnswer>[] = [];
    await loads.whileHeld(
      () => Promise.resolve(asked.push(ask(loading.secret))),
      () => Promise.resolve(process.signal('SIGSTOP')),
    );
    await instances.database.query('UPDATE api_keys SET is_active = false WHERE id = ANY($1)', [
      [known.id, loading.id],
    ]);
    for (let n = 0; n < 40; n += 1) asked.push(ask(n % 2 === 0 ? known.secret : loading.secret));
    // Time itself is what is tried here.
    await sleep(STOPPED_MS);
    process.signal('SIGCONT');

    for (const { status, body } of await Promise.all(asked)) {
      expect(status === 503 ? 503 : body['code']).toBeOneOf([503, 'DISABLED']);
    }
    await vi.waitFor(async () => {
      expect((await ask(known.secret)).body['code']).toBe('DISABLED');
      expect((await ask(loading.secret)).body['code']).toBe('DISABLED');
    });
  });
});
