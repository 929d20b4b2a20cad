import { resolve } from 'node:path';
import { isAddressOrBlock } from '../common/ip-address.js';
import { Secret } from '../common/secret.js';
import { type Config, ConfigurationError, type Pepper } from './config.js';
import { developmentSecrets } from './development-secrets.js';
import { type Environment, EnvironmentReader } from './environment-reader.js';
import { misspelledVariables } from './misspelled-variables.js';
import type { SettingName } from './settings.js';
import { isReadableSentinelUrl, isSentinelUrl } from './sentinel-url.js';

const MINIMUM_SECRET_BYTES = 32;
const EXAMPLE_SECRET = /change[-_ ]?me|example|placeholder|replace|secret[-_ ]?here|^(.)\1+$/i;
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/**
 * The configuration from environment variables (`SETTING_GROUPS` describes them).
 * @throws ConfigurationError listing every problem; values are never part of it.
 */
export function loadConfig(environment: Environment = process.env): Config {
  const env = new EnvironmentReader(environment);
  const isProduction =
    env.oneOf('NODE_ENV', ['development', 'test', 'production'], 'development') === 'production';
  const dataDir = resolve(env.text('DATA_DIR', '.data'));
  const settings = {
    isProduction,
    dataDir,
    host: env.text('HOST', '127.0.0.1'),
    port: env.integer('PORT'),
    databaseUrl: databaseUrl(env, 'DATABASE_URL'),
    databaseMigrationUrl: databaseUrl(env, 'DATABASE_MIGRATION_URL'),
    databaseSchema: env.matching('DATABASE_SCHEMA', SCHEMA_RULE, isSchema) ?? 'public',
    databasePoolSize: env.integer('DATABASE_POOL_SIZE'),
    redisUrl: redisUrl(env),
    accessTokenTtlSeconds: env.integer('ACCESS_TOKEN_TTL_SECONDS'),
    refreshTokenTtlSeconds: env.integer('REFRESH_TOKEN_TTL_SECONDS'),
    apiKeyPrefixes: [
      apiKeyPrefix(env),
      ...env.list('API_KEY_FORMER_PREFIXES', API_KEY_PREFIX_RULE, isApiKeyPrefix),
    ] as const,
    adminUsername:
      env.matching('ADMIN_USERNAME', '1 to 64 of the characters A-Z a-z 0-9 . _ @ + -', isUsername) ??
      'admin',
    adminPassword: adminPassword(env),
    corsOrigins: env.list(
      'CORS_ORIGINS',
      'origins such as https://console.example.com, or the single entry *',
      isOrigin,
    ),
    publicUrl: env.matching('PUBLIC_URL', 'an http or https URL without a slash at the end', isBaseUrl),
    trustedProxies: env.list('TRUSTED_PROXIES', 'IP addresses and CIDR blocks', isAddressOrBlock),
    logLevel: env.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
    logFormat: env.oneOf(
      'LOG_FORMAT',
      ['json', 'pretty'],
      process.stdout.isTTY && !isProduction ? 'pretty' : 'json',
    ),
    bcryptCost: env.integer('BCRYPT_COST', isProduction ? { minimum: 10 } : {}),
    loginFailureWindowSeconds: env.integer('LOGIN_FAILURE_WINDOW_SECONDS'),
    loginFailuresPerAccountAndAddress: env.integer('LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS'),
    loginFailuresPerAddress: env.integer('LOGIN_FAILURES_PER_ADDRESS'),
    auditRetentionMonths: env.integer('AUDIT_RETENTION_MONTHS') || undefined,
    usageRetentionDays: env.integer('USAGE_RETENTION_DAYS'),
    keyCacheBytes: env.integer('SNAPSHOT_CACHE_MEGABYTES') * 1_048_576,
    shutdownDrainSeconds: env.integer('SHUTDOWN_DRAIN_SECONDS', isProduction ? { default: 5 } : {}),
    shutdownTimeoutSeconds: env.integer('SHUTDOWN_TIMEOUT_SECONDS'),
    startupTimeoutSeconds: env.integer('STARTUP_TIMEOUT_SECONDS'),
  };
  const jwt = jwtSecrets(env, isProduction);
  const peppers = apiKeyPeppers(env, isProduction);
  if (settings.databaseMigrationUrl !== undefined && settings.databaseUrl === undefined) {
    env.problems.push('DATABASE_MIGRATION_URL needs DATABASE_URL: the embedded PostgreSQL has one role.');
  }
  if (env.problems.length > 0) throw new ConfigurationError(env.problems);

  const needsMade = jwt === undefined || peppers === undefined;
  const made = needsMade ? developmentSecrets(dataDir) : undefined;
  return {
    ...settings,
    warnings: [...env.warnings, ...misspelledVariables(Object.keys(environment), env.names)],
    jwtSecrets: jwt ?? [new Secret(made?.jwtSecret ?? '')],
    apiKeyPeppers: peppers ?? [{ version: 1, secret: new Secret(made?.apiKeyPepper ?? '') }],
  };
}

const SCHEMA_RULE = '1 to 63 lower-case letters, digits and _, not beginning with a digit or pg_';

function isSchema(value: string): boolean {
  return /^(?!pg_)[a-z_][a-z0-9_]{0,62}$/.test(value);
}

const API_KEY_PREFIX_RULE = 'prefixes of 1 to 16 letters, digits and _, ending in _';

function isApiKeyPrefix(value: string): boolean {
  return /^[0-9A-Za-z][0-9A-Za-z_]{0,14}_$/.test(value);
}

function apiKeyPrefix(env: EnvironmentReader): string {
  return (
    env.matching('API_KEY_PREFIX', '2 to 16 letters, digits and _, ending in _', isApiKeyPrefix) ?? 'en_'
  );
}

function secretUrl(
  env: EnvironmentReader,
  name: SettingName,
  protocols: readonly string[],
): Secret | undefined {
  const rule = `a URL that begins with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`;
  const value = env.matching(name, rule, (url) =>
    protocols.some((protocol) => url.startsWith(`${protocol}//`)),
  );
  return value === undefined ? undefined : new Secret(value);
}

/** libpq's `target_session_attrs`, where it asks for a server that no change could be made on. */
const STANDBY_WANTED = /[?&]target_session_attrs=(?!(?:any|read-write|primary)(?:&|$))/;

function databaseUrl(env: EnvironmentReader, name: SettingName): Secret | undefined {
  const url = secretUrl(env, name, ['postgres:', 'postgresql:']);
  if (url !== undefined && STANDBY_WANTED.test(url.reveal()))
    env.problems.push(`${name} must lead to a primary: target_session_attrs is any, read-write or primary.`);
  return url;
}

function redisUrl(env: EnvironmentReader): Secret | undefined {
  const rule =
    'a URL that begins with redis:// or rediss://, or a list of them with commas between, or ' +
    'redis+sentinel://host:port,host:port/master (rediss+sentinel://). A comma in a password is written %2C';
  const value = env.matching('REDIS_URL', rule, (url) =>
    isSentinelUrl(url) ? isReadableSentinelUrl(url) : url.split(',').every(isRedisUrl),
  );
  return value === undefined ? undefined : new Secret(value);
}

function isRedisUrl(text: string): boolean {
  return /^\s*rediss?:\/\//.test(text) && URL.canParse(text.trim());
}

function weakness(value: string): string | undefined {
  if (Buffer.byteLength(value) < MINIMUM_SECRET_BYTES)
    return `must be at least ${MINIMUM_SECRET_BYTES} bytes long`;
  if (EXAMPLE_SECRET.test(value)) return 'is an example value; make a random one';
  return undefined;
}

/** `JWT_SECRETS` is a comma-separated list, the current one first; `JWT_SECRET` is one secret, and counts where the list is not set. */
function jwtSecrets(env: EnvironmentReader, isRequired: boolean): Config['jwtSecrets'] | undefined {
  const [list, single] = [env.optional('JWT_SECRETS'), env.optional('JWT_SECRET')];
  if (list === undefined) {
    const problem = single === undefined ? undefined : weakness(single);
    if (problem !== undefined) env.problems.push(`JWT_SECRET ${problem}.`);
    if (single === undefined && isRequired) env.problems.push('JWT_SECRET must be set in production.');
    return single === undefined ? undefined : [new Secret(single)];
  }
  if (single !== undefined) env.warnings.push('JWT_SECRET is ignored, because JWT_SECRETS is set.');
  const secrets = list.split(',').map((secret) => secret.trim());
  for (const [index, secret] of secrets.entries()) {
    const problem = weakness(secret);
    if (problem !== undefined) env.problems.push(`JWT_SECRETS entry ${index + 1} ${problem}.`);
  }
  if (new Set(secrets).size !== secrets.length) env.problems.push('JWT_SECRETS must not repeat a secret.');
  const [current = '', ...former] = secrets;
  return [new Secret(current), ...former.map((secret) => new Secret(secret))];
}

/** `API_KEY_PEPPERS` is `version:secret` pairs, comma-separated, the current one first: `2:…,1:…`. */
function apiKeyPeppers(env: EnvironmentReader, isRequired: boolean): Pepper[] | undefined {
  const value = env.optional('API_KEY_PEPPERS');
  if (value === undefined) {
    if (isRequired) env.problems.push('API_KEY_PEPPERS must be set in production.');
    return undefined;
  }
  const peppers: Pepper[] = [];
  for (const [index, item] of value.split(',').entries()) {
    const match = /^\s*(\d{1,4}):(\S+)\s*$/.exec(item);
    const problem = match === null ? 'must be version:secret' : weakness(match[2] ?? '');
    if (problem !== undefined) env.problems.push(`API_KEY_PEPPERS entry ${index + 1} ${problem}.`);
    else peppers.push({ version: Number(match?.[1]), secret: new Secret(match?.[2] ?? '') });
  }
  const versions = new Set(peppers.map((pepper) => pepper.version));
  if (versions.size !== peppers.length) env.problems.push('API_KEY_PEPPERS must not repeat a version.');
  return peppers;
}

function adminPassword(env: EnvironmentReader): Secret | undefined {
  const rule = 'at least 12 characters and at most 72 bytes';
  const value = env.matching('ADMIN_PASSWORD', rule, (password) => {
    return [...password].length >= 12 && Buffer.byteLength(password) <= 72;
  });
  return value === undefined ? undefined : new Secret(value);
}

function isUsername(value: string): boolean {
  return /^[A-Za-z0-9._@+-]{1,64}$/.test(value);
}

function isBaseUrl(value: string): boolean {
  if (!/^https?:\/\/.+[^/]$/.test(value) || !URL.canParse(value)) return false;
  const { search, hash, username } = new URL(value);
  return search === '' && hash === '' && username === '';
}

function isOrigin(value: string): boolean {
  // A wildcard inside an origin would be compared as it stands and never match.
  if (value.includes('*')) return value === '*';
  return URL.canParse(value) && new URL(value).origin === value;
}
