import { describe, expect, it } from 'vitest';
import { isSentinelUrl, readSentinelUrl } from '../../src/config/sentinel-url.js';

describe('a URL of Sentinels', () => {
  it('names the Sentinels and the master, and nothing else need be said', () => {
    expect(readSentinelUrl('redis+sentinel://one,two:26380/mymaster')).toEqual({
      sentinels: [
        { host: 'one', port: 26_379 },
        { host: 'two', port: 26_380 },
      ],
      name: 'mymaster',
      username: '',
      password: '',
      sentinelPassword: '',
      db: 0,
      isTls: false,
    });
  });

  it('may say user and password of Redis, the password of the Sentinels, the database and TLS', () => {
    expect(
      readSentinelUrl('rediss+sentinel://user:p%40ss@[::1]:26379/main/2?sentinel_password=s%2Fw'),
    ).toEqual({
      sentinels: [{ host: '::1', port: 26_379 }],
      name: 'main',
      username: 'user',
      password: 'p@ss',
      sentinelPassword: 's/w',
      db: 2,
      isTls: true,
    });
  });

  it('is never shown when it cannot be read', () => {
    expect(isSentinelUrl('redis://h')).toBe(false);
    expect(() => readSentinelUrl('redis+sentinel://:hunter2@h')).toThrow(/^((?!hunter2).)*$/);
  });
});
