import { format, inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/common/secret.js';

const PLAIN = 'the plain text of a secret';

describe('a secret', () => {
  const secret = new Secret(PLAIN);

  it('is revealed on purpose', () => {
    expect(secret.reveal()).toBe(PLAIN);
  });

  const showings: Record<string, () => string> = {
    'a template': () => `it is ${secret as unknown as string}`,
    concatenation: () => 'x' + (secret as unknown as string),
    'String()': () => String(secret),
    'toString()': () => secret.toString(),
    'toLocaleString()': () => [secret].toLocaleString(),
    'join()': () => [secret].join(),
    'JSON.stringify()': () => JSON.stringify(secret),
    'JSON.stringify() of what holds it': () =>
      JSON.stringify({ config: { jwtSecret: secret }, list: [secret] }),
    'inspect()': () => inspect(secret),
    'inspect() of what holds it, with everything shown': () =>
      inspect({ config: { jwtSecret: secret } }, { showHidden: true, depth: null, customInspect: true }),
    'inspect() without its help': () =>
      inspect(secret, { showHidden: true, depth: null, customInspect: false }),
    'format() as text': () => format('%s', secret),
    'format() as an object': () => format('%o %O', secret, { secret }),
    'format() as JSON': () => format('%j', secret),
    'the text of an error': () => new Error('it was ' + String(secret), { cause: secret }).message,
    'an error that carries it': () => inspect(new Error('failed', { cause: { secret } })),
    'its keys': () => Object.entries(secret).join() + Reflect.ownKeys(secret).join(),
    'a copy of it': () => inspect(Object.assign({}, secret)) + JSON.stringify(Object.assign({}, secret)),
    'a structured clone': () => inspect(structuredClone(secret)),
    'a number made of it': () => String(Number(secret)),
  };
  it.each(Object.keys(showings))('is not shown by %s', (name) => {
    expect(showings[name]!()).not.toContain(PLAIN);
  });

  it('says that something was left out', () => {
    expect([String(secret), JSON.stringify(secret), inspect(secret)]).toEqual([
      '[redacted]',
      '"[redacted]"',
      '[redacted]',
    ]);
  });
});
