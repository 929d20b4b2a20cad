import { describe, expect, it } from 'vitest';
import { printable } from '../../src/common/printable.js';

describe('what the command line prints of a name', () => {
  it('holds no control character: each is escaped as in JSON', () => {
    const all = Array.from({ length: 0x100 }, (_, code) => String.fromCharCode(code)).join('');
    expect(printable(all)).toMatch(/^[^\p{Cc}]+$/u);
    expect(printable('a\u001b[31m\u007f\u009bz\n')).toBe('a\\u001b[31m\\u007f\\u009bz\\u000a');
    const json = JSON.stringify({ username: all });
    expect(JSON.parse(printable(json))).toEqual({ username: all });
  });

  it('keeps every other character', () => {
    expect(printable('Zoë ✓ 名')).toBe('Zoë ✓ 名');
  });
});
