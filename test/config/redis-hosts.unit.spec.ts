import { describe, expect, it } from 'vitest';
import { redisHosts } from '../../src/config/redis-hosts.js';

describe('the servers of REDIS_URL are named without a user, a password or any other part of it', () => {
  it.each([
    ['redis://redis', 'redis:6379'],
    ['redis://user:hunter2@redis:7000/2', 'redis:7000'],
    ['redis://:p@ss-hunter2@redis', 'redis:6379'],
    ['rediss://redis:6380?password=hunter2', 'redis:6380'],
    ['redis://u:hunter2@a:1,redis://u:hunter2@b:2', 'a:1,b:2'],
    ['redis://u:hunter2@[::1]:6379', '[::1]:6379'],
    ['redis+sentinel://u:hunter2@a:26379,b/main?sentinel_password=hunter2', 'a:26379,b:26379/main'],
    ['rediss+sentinel://:hunter2@[fd00::1]:1/main/3?sentinel_password=hunter2', '[fd00::1]:1/main'],
  ])('%s', (url, expected) => {
    expect(redisHosts(url)).toBe(expected);
  });
});
