import { COMMON_PASSWORDS } from './common-passwords.js';

const MINIMUM_CHARACTERS = 12;
/** bcrypt reads no further. */
const MAXIMUM_BYTES = 72;

/** Why a new password is refused, as the end of a sentence; undefined when it is fine. No composition rules. */
export function passwordProblem(password: string, username: string): string | undefined {
  if ([...password].length < MINIMUM_CHARACTERS)
    return `must be at least ${MINIMUM_CHARACTERS} characters long`;
  if (!fitsBcrypt(password)) return `must be at most ${MAXIMUM_BYTES} bytes long`;
  const plain = password.toLowerCase();
  if (COMMON_PASSWORDS.has(plain)) return 'is one of the most common passwords';
  if (plain.includes(username.toLowerCase()) && plain.length < username.length + 8)
    return 'must not be built on the username';
  return undefined;
}

/** False for a password whose end bcrypt would ignore. */
export function fitsBcrypt(password: string): boolean {
  return Buffer.byteLength(password) <= MAXIMUM_BYTES;
}
