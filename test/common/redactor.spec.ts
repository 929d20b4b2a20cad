import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { generateSecret } from '../../src/api-keys/secret-format.js';
import { Redactor } from '../../src/common/redactor.js';
import { forged, HEADER } from '../security/tokens.js';

const redactor = new Redactor(['en_', 'old_prefix_']);
const API_KEY = generateSecret('en_');
const FORMER_API_KEY = generateSecret('old_prefix_');
const ACCESS_TOKEN = forged(HEADER, { sub: '1', sid: 'x' });
const UNSIGNED_TOKEN = ACCESS_TOKEN.replace(/\.[^.]*$/, '.');
const REFRESH_TOKEN = `rt_${'aB3-_'.repeat(8)}xyz`;
const SECRETS = { API_KEY, FORMER_API_KEY, ACCESS_TOKEN, UNSIGNED_TOKEN, REFRESH_TOKEN };

describe('the redactor', () => {
  it.each(Object.keys(SECRETS) as (keyof typeof SECRETS)[])(
    'masks %s wherever it stands in a text',
    (name) => {
      const secret = SECRETS[name];
      expect(redactor.maskText(secret)).toBe('[redacted]');
      for (const text of [
        `a ${secret} b`,
        `/api-keys/${secret}`,
        `"${secret}"`,
        `x=${secret}&y`,
        `(${secret})`,
      ]) {
        expect(redactor.maskText(text)).toBe(text.replace(secret, '[redacted]'));
      }
    },
  );

  it('masks every secret of a text, also those that touch', () => {
    const masked = redactor.maskText(Object.values(SECRETS).join(',') + API_KEY + FORMER_API_KEY);
    for (const secret of Object.values(SECRETS)) expect(masked).not.toContain(secret);
    expect(masked.replaceAll('[redacted]', '').replaceAll(',', '')).toBe('');
  });

  it('masks a secret that was cut or written on', () => {
    for (const text of [API_KEY.slice(0, 30), `${API_KEY}AndMore`, `x${API_KEY}`, `${REFRESH_TOKEN}more`]) {
      expect(redactor.maskText(text)).toMatch(/^x?\[redacted\]$/);
    }
  });

  it('leaves what is no secret, the hint of a key included', () => {
    const texts = [
      '',
      'en_',
      API_KEY.slice(0, 8),
      'an open_question',
      'eyJ',
      'rt_short',
      'platform:api-keys:read',
    ];
    for (const text of texts) expect(redactor.maskText(text)).toBe(text);
  });

  it('masks every text of a JSON value at any depth, and the names of properties', () => {
    const value = {
      [API_KEY]: 1,
      list: [ACCESS_TOKEN, { deep: [[{ deeper: `of ${REFRESH_TOKEN}` }]] }],
      number: 1,
      nothing: null,
      flag: true,
    };
    expect(redactor.maskJson(value)).toEqual({
      '[redacted]': 1,
      list: ['[redacted]', { deep: [[{ deeper: 'of [redacted]' }]] }],
      number: 1,
      nothing: null,
      flag: true,
    });
    expect(value.list[0]).toBe(ACCESS_TOKEN);
  });

  it('masks any key among any text', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const secret = generateSecret('en_');
        expect(redactor.maskText(before + secret + after)).not.toContain(secret.slice(3));
      }),
    );
  });

  // With work that grows with the square of the length, one of these takes minutes.
  it.each(['en_', 'old_prefix_', 'eyJ', 'eyJaaaaaa.', 'eyJaaaaaa.eyJ', 'a-', 'a.', 'rt_', 'rt'])(
    'is soon done with half a megabyte that almost is a secret: %s…',
    (part) => {
      const text = part.repeat(Math.ceil(500_000 / part.length));
      expect(redactor.maskText(text).length).toBeLessThanOrEqual(text.length);
      expect(redactor.maskText(`eyJaaaaaa.${text}`).length).toBeLessThanOrEqual(text.length + 10);
    },
  );
});
