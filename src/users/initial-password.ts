import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../common/make-folder.js';
import { Secret } from '../common/secret.js';

/**
 * The generated password of the first admin, in `DATA_DIR/initial-admin-password` (mode 0600). It is
 * written before the admin exists and stays until they log in, so that no crash or failed start can lock them out.
 */
export class InitialPassword {
  readonly path: string;

  constructor(private readonly dataDir: string) {
    this.path = join(dataDir, 'initial-admin-password');
  }

  /** The password that the file holds; undefined when there is none. */
  read(): Secret | undefined {
    try {
      const text = readFileSync(this.path, 'utf8').trim();
      return text === '' ? undefined : new Secret(text);
    } catch {
      return undefined;
    }
  }

  /** The password of an earlier start that did not finish, or a new random one of 144 bits. */
  readOrGenerate(): { readonly password: Secret; readonly isKept: boolean } {
    const kept = this.read();
    if (kept !== undefined) return { password: kept, isKept: true };
    const password = new Secret(randomBytes(18).toString('base64url'));
    try {
      makeFolder(this.dataDir, 0o755);
      writeFileSync(this.path, `${password.reveal()}\n`, { mode: 0o600, flag: 'wx' });
      return { password, isKept: true };
    } catch {
      // When two starts share a folder, the second uses the file of the first. Without a writable folder the password is
      // only shown.
      const other = this.read();
      return other === undefined ? { password, isKept: false } : { password: other, isKept: true };
    }
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}
