import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../common/make-folder.js';
import { StartFailure } from '../common/start-failure.js';

/** The secrets that production must be given and development makes for itself. */
export interface DevelopmentSecrets {
  readonly jwtSecret: string;
  readonly apiKeyPepper: string;
}

/**
 * Reads `<dataDir>/secrets.json`, or creates it once with mode 0600. Two processes that start together use the same secrets:
 * the file is renamed into place whole, and the second process reads that of the first.
 */
export function developmentSecrets(dataDir: string): DevelopmentSecrets {
  const path = join(dataDir, 'secrets.json');
  const existing = readSecrets(path);
  if (existing !== undefined) return existing;
  makeFolder(dataDir, 0o755);
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  const secrets: DevelopmentSecrets = {
    jwtSecret: randomBytes(32).toString('base64url'),
    apiKeyPepper: randomBytes(32).toString('base64url'),
  };
  writeFileSync(draft, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(draft, path);
    return secrets;
  } catch (error) {
    const winner = readSecrets(path);
    if (winner === undefined) throw error;
    return winner;
  } finally {
    rmSync(draft, { force: true });
  }
}

function readSecrets(path: string): DevelopmentSecrets | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  chmodSync(path, 0o600);
  const parsed = parse(text);
  if (isDevelopmentSecrets(parsed)) return parsed;
  throw new StartFailure(
    `${path} does not hold the development secrets; restore it, or remove it to make new ones (existing keys and sessions then end).`,
  );
}

/** Undefined for what is no JSON: the parser's own error would quote a part of the secrets. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isDevelopmentSecrets(value: unknown): value is DevelopmentSecrets {
  return (
    typeof value === 'object' &&
    value !== null &&
    'jwtSecret' in value &&
    typeof value.jwtSecret === 'string' &&
    'apiKeyPepper' in value &&
    typeof value.apiKeyPepper === 'string'
  );
}
