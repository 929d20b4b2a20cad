import type { FieldError } from '../common/app-error.js';
import { COMMON_PASSWORDS } from './common-passwords.js';

const MINIMUM_CHARACTERS = 12;
/** bcrypt reads no further. */
const MAXIMUM_BYTES = 72;

/** Why a new password is refused, as errors of its field; none when it is fine. */
export function passwordErrors(field: string, password: string, username?: string): FieldError[] {
  const message = passwordProblem(password, username);
  return message === undefined ? [] : [{ field, message }];
}

/**
 * Why a new password is refused, as the end of a sentence; undefined when it is fine. No composition rules. Without a
 * username, whether it is built on that is not judged.
 */
export function passwordProblem(password: string, username?: string): string | undefined {
  if ([...password].length < MINIMUM_CHARACTERS)
    return `must be at least ${MINIMUM_CHARACTERS} characters long`;
  if (!fitsBcrypt(password)) return `must be at most ${MAXIMUM_BYTES} bytes long`;
  const plain = password.toLowerCase();
  if (COMMON_PASSWORDS.has(plain)) return 'is one of the most common passwords';
  if (username !== undefined && plain.includes(username.toLowerCase()) && plain.length < username.length + 8)
    return 'must not be built on the username';
  return undefined;
}

/** False for a password whose end bcrypt would ignore. */
export function fitsBcrypt(password: string): boolean {
  return Buffer.byteLength(password) <= MAXIMUM_BYTES;
}
