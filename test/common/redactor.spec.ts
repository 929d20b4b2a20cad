import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { generateSecret } from '../../src/api-keys/secret-format.js';
import { Redactor } from '../../src/common/redactor.js';
import { maskLine } from '../../src/observability/logging.js';
import { FORM_NAMES, reveals, SECRET_FORMS } from '../security/secret-forms.js';
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

  it('masks a secret behind escapes as `escape()` of JavaScript writes them', () => {
    for (const secret of Object.values(SECRETS)) {
      for (const count of [1, 2, secret.length]) {
        const hex = (character: string) => character.charCodeAt(0).toString(16).padStart(4, '0');
        const escaped = Array.from(secret.slice(0, count), (character) => `%u${hex(character)}`).join('');
        expect(redactor.maskText(escaped + secret.slice(count))).toBe('[redacted]');
      }
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

  it.each(FORM_NAMES)('masks each secret %s, and leaves what stands around it', (form) => {
    for (const secret of Object.values(SECRETS)) {
      const written = SECRET_FORMS[form](secret);
      for (const [before, after] of [
        ['', ''],
        ['/api/v1/users/', '/keys'],
        ['a "quoted" ', ' word'],
        ['x=', '&y=100%'],
      ] as const) {
        const text = before + written + after;
        const masked = redactor.maskText(text);
        expect([secret, text, reveals(masked, secret)]).toEqual([secret, text, false]);
        expect(masked).toContain('[redacted]');
        expect(redactor.holdsSecret(text)).toBe(true);
        expect(redactor.holdsSecret(masked)).toBe(false);
        // A slash belongs to base64: what stands behind it may be taken for more of the same.
        const around = [masked.slice(0, before.length), after.includes('/') || masked.endsWith(after)];
        expect([text, ...around]).toEqual([text, before, true]);
      }
    }
  });

  it('masks any key in any form among any text, also in a line of JSON, which stays one', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom(...FORM_NAMES), fc.string(), (before, form, after) => {
        const secret = generateSecret('en_');
        const text = `${before} ${SECRET_FORMS[form](secret)} ${after}`;
        expect(reveals(redactor.maskText(text), secret)).toBe(false);
        const line = maskLine(JSON.stringify({ text }), redactor);
        expect(reveals(line, secret)).toBe(false);
        expect(JSON.parse(line)).toEqual({ text: expect.any(String) });
      }),
    );
  });

  it('leaves ids, digests and encoded text alone', () => {
    const harmless = [
      '019ab1c2-6d9e-7c3a-b5f0-2f1d4a6b8c9d',
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
      '/api/v1/audit-logs/2026-11-22T08%3A12%3A00.000Z%2F019ab1c2-6d9e-7c3a-b5f0-2f1d4a6b8c9d',
      Buffer.from('2026-11-22T08:12:00.000000Z/019ab1c2-6d9e-7c3a-b5f0-2f1d4a6b8c9d').toString('base64url'),
      Buffer.from('en_is the beginning of a key, and this is none').toString('base64'),
      String.raw`C:\users\x41\u0065n_vironment and so on, and so on`,
    ];
    for (const text of harmless) {
      expect([text, redactor.holdsSecret(text)]).toEqual([text, false]);
      expect(redactor.maskText(text)).toBe(text);
    }
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
  const almost = `en_ old_prefix_ eyJ eyJaaaaaa. eyJaaaaaa.eyJ a- a. rt_ rt % %25 %2565 ZW5f ZXlK 656e5f 656e5f33`;
  it.each([...almost.split(' '), '\\', String.raw`\u005c`, String.raw`\u0025`, `ZW5f${'A'.repeat(40)} `])(
    'is soon done with half a megabyte that almost is a secret: %s…',
    (part) => {
      const text = part.repeat(Math.ceil(500_000 / part.length));
      expect(redactor.maskText(text).length).toBeLessThanOrEqual(text.length);
      expect(redactor.maskText(`eyJaaaaaa.${text}`).length).toBeLessThanOrEqual(text.length + 10);
    },
  );
});
