import { afterEach, describe, expect, it, vi } from 'vitest';
import { Secret } from '../../src/common/secret.js';
import { OperatorOutput } from '../../src/observability/operator-output.js';
import { announceFirstAdmin } from '../../src/welcome.js';

describe('the announcement of the first admin', () => {
  afterEach(() => vi.restoreAllMocks());

  function announced(format: 'json' | 'pretty', passwordFile: string | undefined): string {
    const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const admin = { username: 'root', generatedPassword: new Secret('generated-once'), passwordFile };
    announceFirstAdmin(admin, new OperatorOutput(format));
    return write.mock.calls.map(([text]) => String(text)).join('');
  }

  it('is text with the password, where it is kept and how to get a new one', () => {
    const text = announced('pretty', '/data/initial-admin-password');
    for (const part of [
      'root',
      'generated-once',
      '/data/initial-admin-password',
      'npx latchkey admin reset-password',
    ])
      expect(text).toContain(part);
    expect(announced('pretty', undefined)).toContain('It is shown only this once.');
  });

  it('is a line of JSON that names the file, and holds the password only when no file could be written', () => {
    const reset = { reset_password: 'npx latchkey admin reset-password' };
    const kept = JSON.parse(announced('json', '/data/initial-admin-password')) as Record<string, unknown>;
    expect(kept).toMatchObject({ admin: 'root', password_file: '/data/initial-admin-password', ...reset });
    expect(kept['password']).toBeUndefined();
    vi.restoreAllMocks();
    expect(JSON.parse(announced('json', undefined))).toMatchObject({ password: 'generated-once', ...reset });
  });
});
